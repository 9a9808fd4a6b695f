//go:build faults && unix

package faults

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// seed is printed, so that a failure can be had again (as far as the kernel's
// scheduling repeats itself).
func seed(t *testing.T) uint64 {
	t.Helper()
	s := setting(t, "AVOUCH_FAULTS_SEED", uint64(time.Now().UnixNano())%1_000_000)
	t.Logf("AVOUCH_FAULTS_SEED=%d", s)
	return s
}

// Threats R1, R11, I1 and I20: kill -9 at random moments while four writers
// write loses no acknowledged change, brings no deleted object back, keeps no
// half of a change, and leaves a sound file with a whole audit chain and the
// same keys.
func TestKillWhileWriting(t *testing.T) {
	s := seed(t)
	rounds := int(setting(t, "AVOUCH_FAULTS_ROUNDS", 50))
	random := rand.New(rand.NewPCG(s, 1<<32))
	dir := filepath.Join(t.TempDir(), "data")
	writers := newWriters(4, s)

	p := start(t, dir)
	p.applyDemo()
	for _, w := range writers {
		if err := w.begin(t.Context(), p.client()); err != nil {
			t.Fatal(err)
		}
	}
	keys := p.keyIDs()
	began := time.Now()
	kept := 0 // changes that were under way and are there
	for round := range rounds {
		if round > 0 {
			p = start(t, dir)
			if got := p.keyIDs(); !slices.Equal(got, keys) {
				t.Fatalf("round %d: the keys were %v and are %v", round, keys, got)
			}
			p.mustIssueTokens()
			for _, w := range writers {
				w.matches(t, p.client())
			}
		}
		moment := 20*time.Millisecond + time.Duration(random.Int64N(int64(130*time.Millisecond)))
		writeUntilKilled(t, p, writers, moment)
		found := examine(t, dir)
		if !slices.Equal(found.keys, keys) {
			t.Fatalf("round %d: the file holds the keys %v, not %v", round, found.keys, keys)
		}
		for _, w := range writers {
			before := w.records
			pending := w.pending != nil
			w.settle(t, found)
			if pending && w.records > before {
				kept++
			}
		}
		if t.Failed() {
			t.Fatalf("round %d failed", round)
		}
	}
	p = start(t, dir)
	p.mustIssueTokens()
	for _, w := range writers {
		w.matches(t, p.client())
	}
	writes := 0
	for _, w := range writers {
		writes += w.writes
	}
	t.Logf("%d rounds in %v: %d changes acknowledged, none lost; %d not acknowledged and wholly there", rounds, time.Since(began).Round(time.Millisecond), writes, kept)
	if writes < rounds {
		t.Errorf("only %d changes were acknowledged in %d rounds: the kills met nothing", writes, rounds)
	}
}

// writeUntilKilled lets the writers write, and tokens be asked for, until the
// process is killed at the moment.
func writeUntilKilled(t *testing.T, p *server, writers []*writer, moment time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	killed := make(chan struct{})
	var all sync.WaitGroup
	for _, w := range writers {
		all.Go(func() {
			client := p.client()
			for range 10_000 {
				if err := w.write(ctx, client); err != nil {
					select {
					case <-killed:
					default:
						t.Errorf("%s: a change failed before the kill: %v", w.tenant, err)
					}
					return
				}
			}
		})
	}
	all.Go(func() {
		// Sign-in records are written at the same time.
		for range 10_000 {
			if p.tokens(ctx) != nil {
				return
			}
		}
	})
	time.Sleep(moment)
	close(killed)
	p.kill()
	all.Wait()
}

// R10: a kill at any moment of the very first start, while keys, certificates
// and tables are being made, is mended by the next start.
func TestKillDuringFirstStart(t *testing.T) {
	random := rand.New(rand.NewPCG(seed(t), 2<<32))
	const firstStarts = 10
	early := 0
	for round := range firstStarts {
		dir := filepath.Join(t.TempDir(), "data")
		p := launch(t, dir)
		wait := time.Duration(random.Int64N(int64(400 * time.Millisecond)))
		select {
		case <-p.ready:
		case <-time.After(wait):
			early++
		}
		p.kill()
		p = start(t, dir)
		p.applyDemo()
		p.mustIssueTokens()
		p.mustStop()
		if leftover, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(leftover) > 0 {
			t.Errorf("round %d: unfinished files are left: %v %v", round, leftover, err)
		}
	}
	t.Logf("%d of %d kills met a start under way", early, firstStarts)
}
