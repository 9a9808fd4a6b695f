package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/avouch/avouch/internal/keyring/openssl"
)

// engine is the signing engine that the platform uses, in this process.
type engine struct {
	name   string
	signer crypto.Signer
	public *rsa.PublicKey
}

func newEngine() (*engine, error) {
	chosen, err := openssl.Choose("auto")
	if err != nil {
		return nil, err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	signer, err := chosen.Signer(key)
	if err != nil {
		return nil, err
	}
	return &engine{name: chosen.Name(), signer: signer, public: &key.PublicKey}, nil
}

var digest = sha256.Sum256([]byte("bench"))

func (e *engine) sign() ([]byte, error) { return e.signer.Sign(rand.Reader, digest[:], crypto.SHA256) }

// signBothCores signs on two threads for a while and returns the processor time
// of one signature. Both cores are busy, as they are when the server is loaded.
func (e *engine) signBothCores(duration time.Duration) (time.Duration, error) {
	own, end := ownProcessorTime(), time.Now().Add(duration)
	var count atomic.Int64
	var failures [2]error
	var group sync.WaitGroup
	for i := range failures {
		group.Go(func() {
			for failures[i] == nil && time.Now().Before(end) {
				_, failures[i] = e.sign()
				count.Add(1)
			}
		})
	}
	group.Wait()
	return (ownProcessorTime() - own) / time.Duration(count.Load()), errors.Join(failures[:]...)
}

// perSecond is how often fn can be called in a second of one core's time.
func perSecond(duration time.Duration, fn func() error) (float64, error) {
	own, end := ownProcessorTime(), time.Now().Add(duration)
	count := 0
	for time.Now().Before(end) {
		if err := fn(); err != nil {
			return 0, err
		}
		count++
	}
	return float64(count) / (ownProcessorTime() - own).Seconds(), nil
}

// signatures is row 3. Ours and OpenSSL's take turns.
func (b *bench) signatures(ctx context.Context) ([]row, error) {
	e, err := newEngine()
	if err != nil {
		return nil, err
	}
	signature, err := e.sign()
	if err != nil {
		return nil, err
	}
	var signs, verifies, theirSigns, theirVerifies []float64
	var missing error
	for range 3 {
		rate, err := perSecond(b.effort.round/2, func() error { _, err := e.sign(); return err })
		if err != nil {
			return nil, err
		}
		signs = append(signs, rate)
		rate, err = perSecond(b.effort.round/4, func() error {
			return rsa.VerifyPKCS1v15(e.public, crypto.SHA256, digest[:], signature)
		})
		if err != nil {
			return nil, err
		}
		verifies = append(verifies, rate)
		sign, verify, err := opensslSpeed(ctx)
		if err != nil {
			missing = err
			continue
		}
		theirSigns, theirVerifies = append(theirSigns, sign), append(theirVerifies, verify)
	}
	r := row{
		what:     fmt.Sprintf("RSA-2048 on one core, engine %s", e.name),
		measured: fmt.Sprintf("sign %.0f/s, verify (crypto/rsa) %.0f/s", median(signs), median(verifies)),
	}
	if len(theirSigns) == 0 {
		r.outcome = fmt.Sprintf("openssl speed skipped: %v", missing)
		return []row{r}, nil
	}
	r.outcome = fmt.Sprintf("openssl speed: sign %.0f/s, verify %.0f/s; ours is %s and %s of it", median(theirSigns), median(theirVerifies),
		percent(median(signs)/median(theirSigns)), percent(median(verifies)/median(theirVerifies)))
	return []row{r}, nil
}

// opensslSpeed runs OpenSSL's own measurement, which counts a core's time too.
func opensslSpeed(ctx context.Context) (sign, verify float64, err error) {
	out, err := exec.CommandContext(ctx, "openssl", "speed", "-seconds", "1", "rsa2048").Output()
	if err != nil {
		return 0, 0, err
	}
	// "rsa  2048 bits 0.000520s 0.000015s   1922.2  66050.1"
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) == 7 && fields[0] == "rsa" && fields[1] == "2048" {
			sign, err1 := strconv.ParseFloat(fields[5], 64)
			verify, err2 := strconv.ParseFloat(fields[6], 64)
			return sign, verify, errors.Join(err1, err2)
		}
	}
	return 0, 0, errors.New("its output has an unknown form")
}
