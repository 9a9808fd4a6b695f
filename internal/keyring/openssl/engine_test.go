//go:build linux && (amd64 || arm64) && !noopenssl

package openssl

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/fixture"
	"github.com/avouch/avouch/internal/keyring"
)

var testKeys = sync.OnceValue(func() map[int]*rsa.PrivateKey {
	keys := make(map[int]*rsa.PrivateKey)
	for _, bits := range []int{2048, 3072} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		keys[bits] = key
	}
	return keys
})

func engine(t testing.TB) *Engine {
	t.Helper()
	e, err := New()
	if err != nil {
		fixture.Missing(t, "OpenSSL 3 cannot be used here: "+err.Error())
	}
	return e
}

func signer(t testing.TB, key *rsa.PrivateKey) *Signer {
	t.Helper()
	s, err := engine(t).Signer(key)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*Signer)
}

func randomDigest() (d [sha256.Size]byte) {
	_, _ = rand.Read(d[:])
	return d
}

func TestEqualToGo(t *testing.T) {
	for bits, key := range testKeys() {
		t.Run(fmt.Sprint(bits), func(t *testing.T) {
			s := signer(t, key)
			defer s.Close()
			if !key.PublicKey.Equal(s.Public()) {
				t.Error("the public key is another one")
			}
			for range 50 {
				digest := randomDigest()
				got, err := s.Sign(nil, digest[:], crypto.SHA256)
				if err != nil {
					t.Fatal(err)
				}
				want, err := key.Sign(nil, digest[:], crypto.SHA256)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("the signatures of %x differ", digest)
				}
			}
		})
	}
}

func TestConcurrent(t *testing.T) {
	key := testKeys()[2048]
	s := signer(t, key)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 10 {
				digest := randomDigest()
				signature, err := s.Sign(nil, digest[:], crypto.SHA256)
				if err != nil {
					t.Error(err)
					return
				}
				if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, digest[:], signature); err != nil {
					t.Error(err)
					return
				}
				runtime.GC()
			}
		})
	}
	wg.Wait()
	if got := len(s.pool.idle); got != runtime.GOMAXPROCS(0) {
		t.Errorf("%d workers are idle, want %d", got, runtime.GOMAXPROCS(0))
	}
}

func TestRefusals(t *testing.T) {
	key := testKeys()[2048]
	s := signer(t, key)
	digest := randomDigest()
	tests := map[string]func() ([]byte, error){
		"no options":   func() ([]byte, error) { return s.Sign(nil, digest[:], nil) },
		"PSS":          func() ([]byte, error) { return s.Sign(nil, digest[:], &rsa.PSSOptions{Hash: crypto.SHA256}) },
		"SHA-384":      func() ([]byte, error) { return s.Sign(nil, digest[:], crypto.SHA384) },
		"no hash":      func() ([]byte, error) { return s.Sign(nil, digest[:], crypto.Hash(0)) },
		"short digest": func() ([]byte, error) { return s.Sign(nil, digest[:31], crypto.SHA256) },
		"long digest":  func() ([]byte, error) { return s.Sign(nil, make([]byte, 33), crypto.SHA256) },
	}
	for name, sign := range tests {
		if _, err := sign(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := engine(t).Signer(&rsa.PrivateKey{PublicKey: key.PublicKey, D: big.NewInt(3), Primes: key.Primes}); err == nil {
		t.Error("a broken key was accepted")
	}
	if _, err := newSigner(engine(t).lib, []byte("no key"), 2); err == nil {
		t.Error("OpenSSL accepted nonsense")
	}
}

func TestClose(t *testing.T) {
	s := signer(t, testKeys()[2048])
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				digest := randomDigest()
				if _, err := s.Sign(nil, digest[:], crypto.SHA256); err != nil {
					if !strings.Contains(err.Error(), "closed") {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	for range 3 {
		wg.Go(func() { _ = s.Close() })
	}
	wg.Wait()
	if n := len(s.pool.idle); n != 0 {
		t.Errorf("%d workers were not freed", n)
	}
}

func TestCleanup(t *testing.T) {
	s := signer(t, testKeys()[2048])
	closed := s.pool.closed
	s = nil
	for range 100 {
		runtime.GC()
		select {
		case <-closed:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Error("an unreachable signer was not freed")
	_ = s
}

// TestFaultIsCorrected gives OpenSSL a key whose CRT exponent has a bit wrong,
// which is what a fault in the computation amounts to. A signature from it
// would give the key away. It has to be right all the same, or absent.
func TestFaultIsCorrected(t *testing.T) {
	key := testKeys()[2048]
	var parts struct {
		Version              int
		N                    *big.Int
		E                    int
		D, P, Q, DP, DQ, Inv *big.Int
	}
	if _, err := asn1.Unmarshal(x509.MarshalPKCS1PrivateKey(key), &parts); err != nil {
		t.Fatal(err)
	}
	digest := randomDigest()
	want, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]**big.Int{"dP": &parts.DP, "dQ": &parts.DQ, "qInv": &parts.Inv} {
		whole := *part
		*part = new(big.Int).Xor(whole, big.NewInt(4))
		der, err := asn1.Marshal(parts)
		*part = whole
		if err != nil {
			t.Fatal(err)
		}
		s, err := newSigner(engine(t).lib, der, 1)
		if err != nil {
			t.Logf("%s: the key was refused: %v", name, err)
			continue
		}
		s.public = &key.PublicKey
		got, err := s.Sign(nil, digest[:], crypto.SHA256)
		switch {
		case err != nil:
			t.Logf("%s: no signature: %v", name, err)
		case !bytes.Equal(got, want):
			t.Errorf("%s: a wrong signature got out", name)
		default:
			t.Logf("%s: corrected", name)
		}
	}
}

func TestNothingPrintsKeys(t *testing.T) {
	s := signer(t, testKeys()[2048])
	if got := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(got, "0x") || !strings.Contains(got, "[redacted]") {
		t.Error(got)
	}
}

func TestChoose(t *testing.T) {
	engine(t)
	for kind, want := range map[string]string{"auto": "openssl", "openssl": "openssl", "go": "go"} {
		e, err := Choose(kind)
		if err != nil || e.Name() != want {
			t.Errorf("Choose(%q) = %v, %v", kind, e, err)
		}
	}
	for _, kind := range []string{"", "OpenSSL", "pkcs11"} {
		if _, err := Choose(kind); err == nil {
			t.Errorf("Choose(%q) returned no error", kind)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	for _, e := range []keyring.Engine{keyring.GoEngine{}, engine(b)} {
		s, err := e.Signer(testKeys()[2048])
		if err != nil {
			b.Fatal(err)
		}
		digest := randomDigest()
		sign := func() {
			if _, err := s.Sign(nil, digest[:], crypto.SHA256); err != nil {
				b.Error(err)
			}
		}
		b.Run(e.Name()+"/serial", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sign()
			}
		})
		b.Run(e.Name()+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					sign()
				}
			})
		})
	}
}
