package keyring

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFirstStart(t *testing.T) {
	store := newMemStore(t)
	ring := mustOpen(t, store, testConfig(newFakeClock()))
	published := ring.Published()
	if len(published) != 2 || published[0].State != Active || published[1].State != Prepared {
		t.Fatalf("published %+v; want an active and a prepared key", published)
	}
	if ring.Active().ID != published[0].ID {
		t.Error("the active key is not the one published as such")
	}

	digest := sha256.Sum256([]byte("token"))
	signature, err := ring.Active().Sign(digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := rsa.VerifyPKCS1v15(published[0].Key, crypto.SHA256, digest[:], signature); err != nil {
		t.Error(err)
	}
	certificate, err := x509.ParseCertificate(published[0].Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := certificate.CheckSignature(certificate.SignatureAlgorithm, certificate.RawTBSCertificate, certificate.Signature); err != nil {
		t.Error("the certificate is not self-signed:", err)
	}
	if id, err := base64.RawURLEncoding.DecodeString(published[0].ID); err != nil || len(id) != 20 {
		t.Errorf("key ID %q is not a SHA-1 thumbprint", published[0].ID)
	}

	again := mustOpen(t, store, testConfig(newFakeClock()))
	if again.Active().ID != ring.Active().ID || len(again.Published()) != 2 {
		t.Error("a second start changed the keys")
	}
}

func TestPublishedIsSharedUntilItChanges(t *testing.T) {
	clock, store := newFakeClock(), newMemStore(t)
	ring := mustOpen(t, store, testConfig(clock))
	before, active := &ring.Published()[0], ring.Active()
	mustAdvance(t, ring)
	if err := ring.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if &ring.Published()[0] != before || ring.Active() != active {
		t.Error("nothing changed, and the slice or the active key did")
	}
	clock.pass(3 * 24 * time.Hour)
	mustAdvance(t, ring)
	if &ring.Published()[0] == before {
		t.Error("the keys changed, and the slice did not")
	}
}

func TestDecide(t *testing.T) {
	const lead, activeFor, keep = 25 * time.Hour, 72 * time.Hour, 26 * time.Hour
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	active := Record{ID: "a", State: Active, Created: start, Activated: start}
	prepared := func(id string, after time.Duration) Record {
		return Record{ID: id, State: Prepared, Created: start.Add(after)}
	}
	retired := Record{ID: "r", State: Retired, Created: start, Activated: start, Retired: start}

	tests := []struct {
		name string
		keys []Record
		at   time.Duration
		want string
	}{
		{"an empty store gets a key", nil, 0, "begin"},
		{"retired keys alone do not sign", []Record{retired}, 0, "begin"},
		{"a lone active key gets a successor", []Record{active}, 0, "prepare"},
		{"without an active key the eldest prepared one steps in", []Record{prepared("q", 2), prepared("p", 1)}, 0, "activate p"},
		{"two keys rest", []Record{active, prepared("p", 0)}, activeFor - 1, "rest"},
		{"the hand-over comes on time", []Record{active, prepared("p", 0)}, activeFor, "activate p for a"},
		{"an overdue key goes on until its successor is known", []Record{active, prepared("p", 72*time.Hour)}, 72*time.Hour + lead - 1, "rest"},
		{"and not longer", []Record{active, prepared("p", 72*time.Hour)}, 72*time.Hour + lead, "activate p for a"},
		{"a key from the future is not known", []Record{active, prepared("p", 1000*time.Hour)}, 80 * time.Hour, "rest"},
		{"of two prepared keys the younger goes", []Record{prepared("q", 2), active, prepared("p", 1)}, 3, "remove q"},
		{"at the same age the order is that of the IDs", []Record{prepared("q", 1), active, prepared("p", 1)}, 3, "remove q"},
		{"a retired key stays while its tokens live", []Record{active, prepared("p", 0), retired}, keep - 1, "rest"},
		{"and then goes", []Record{active, prepared("p", 0), retired}, keep, "remove r"},
		{"retired in the future stays", []Record{active, prepared("p", 0), {ID: "f", State: Retired, Retired: start.Add(time.Hour)}}, keep, "rest"},
	}
	verbs := map[verb]string{rest: "rest", begin: "begin", prepare: "prepare", activate: "activate", remove: "remove"}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := decide(tt.keys, start.Add(tt.at), lead, activeFor, keep)
			got := strings.TrimSpace(verbs[s.do] + " " + s.key.ID)
			if s.present != nil {
				got += " for " + s.present.ID
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRotation runs two servers, which look at the store once an hour and half
// an hour apart, through more than twenty rotations (I6, I7). Verifiers keep key
// sets for nothing, five minutes or a day, ask either server, and never ask
// again because of an unknown key.
func TestRotation(t *testing.T) {
	t.Run("successors wait", func(t *testing.T) { testRotation(t, 3*24*time.Hour) })
	t.Run("successors are awaited", func(t *testing.T) { testRotation(t, 12*time.Hour) })
}

func testRotation(t *testing.T, activeFor time.Duration) {
	const (
		tick     = 5 * time.Minute
		lifetime = 24 * time.Hour
		skew     = 5 * time.Minute
	)
	clock, store := newFakeClock(), newMemStore(t)
	cfg := testConfig(clock)
	cfg.ActiveFor = activeFor
	rings := []*Ring{mustOpen(t, store, cfg), mustOpen(t, store, cfg)}
	first := rings[0].Active().ID

	type verifier struct {
		keep    time.Duration
		fetched time.Time
		keys    map[string]bool
	}
	var verifiers []*verifier
	for range 4 {
		for _, keep := range []time.Duration{0, 5 * time.Minute, 24 * time.Hour} {
			verifiers = append(verifiers, &verifier{keep: keep})
		}
	}
	expiry := make(map[string]time.Time)                                                    // of the last token of each key
	since := []map[string]time.Time{make(map[string]time.Time), make(map[string]time.Time)} // published, by server
	signedBy := make(map[string]bool)

	random := rand.New(rand.NewPCG(1, 2))
	for step := 0; len(signedBy) <= 21; step++ {
		if step > 100_000 {
			t.Fatal("no rotation happens")
		}
		now := clock.now()
		for i, r := range rings {
			if step%12 == 6*i {
				mustAdvance(t, r)
			}
			for _, k := range r.Published() {
				if _, ok := since[i][k.ID]; !ok {
					since[i][k.ID] = now
				}
			}
		}
		for _, r := range rings {
			id := r.Active().ID
			expiry[id] = now.Add(lifetime)
			if signedBy[id] {
				continue
			}
			signedBy[id] = true
			for i := range rings {
				if at, ok := since[i][id]; id != first && (!ok || now.Sub(at) < 24*time.Hour) {
					t.Errorf("key %s signs at %v, and server %d has published it since %v", id, now, i, at)
				}
			}
		}
		for _, v := range verifiers {
			if v.keys == nil || now.Sub(v.fetched) >= v.keep {
				v.fetched, v.keys = now, make(map[string]bool)
				for _, k := range rings[random.IntN(2)].Published() {
					v.keys[k.ID] = true
				}
			}
			for id, until := range expiry {
				if now.Before(until.Add(skew)) && !v.keys[id] {
					t.Fatalf("at %v a verifier that keeps keys for %v does not know %s, whose tokens expire at %v", now, v.keep, id, until)
				}
			}
		}
		if n := store.count(Active); n != 1 {
			t.Fatalf("%d keys are active", n)
		}
		clock.pass(tick)
	}
	if n := len(rings[0].Published()); n > 4 {
		t.Errorf("%d keys are published; retired ones are not removed", n)
	}
	for _, k := range store.gone {
		if k.State == Retired && k.Retired.IsZero() {
			t.Errorf("key %s was removed unretired", k.ID)
		}
	}
}

// TestCrash lets each call to the store fail in turn, before or after it took
// effect. The server dies of it and another takes over.
func TestCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			clock, store := newFakeClock(), newMemStore(t)
			store.failAt, store.failAfter = n, after
			cfg := testConfig(clock)
			open := func() *Ring {
				ring, err := Open(t.Context(), store, testSealer(t), cfg)
				if errors.Is(err, errCrash) {
					ring, err = Open(t.Context(), store, testSealer(t), cfg)
				}
				if err != nil {
					t.Fatalf("failing call %d: %v", n, err)
				}
				return ring
			}
			ring := open()
			ids := map[string]bool{ring.Active().ID: true}
			for range 12 {
				clock.pass(12 * time.Hour)
				if err := ring.Advance(t.Context()); errors.Is(err, errCrash) {
					ring = open()
				} else if err != nil {
					t.Fatalf("failing call %d: %v", n, err)
				}
				ids[ring.Active().ID] = true
				if a, p := store.count(Active), store.count(Prepared); a != 1 || p != 1 {
					t.Errorf("failing call %d: %d active and %d prepared keys", n, a, p)
				}
			}
			if len(ids) != 3 {
				t.Errorf("failing call %d: %d keys signed in two rotations", n, len(ids))
			}
			if store.calls < n {
				if n < 20 {
					t.Errorf("only %d calls were made to fail", n)
				}
				break
			}
		}
	}
}

// TestErrorKeepsKeys checks that a server lives on while the store is away.
func TestErrorKeepsKeys(t *testing.T) {
	clock, store := newFakeClock(), newMemStore(t)
	ring := mustOpen(t, store, testConfig(clock))
	active, published := ring.Active(), ring.Published()
	store.failAt = store.calls + 1
	clock.pass(100 * 24 * time.Hour)
	if err := ring.Advance(t.Context()); !errors.Is(err, errCrash) {
		t.Errorf("Advance returned %v", err)
	}
	if ring.Active() != active || &ring.Published()[0] != &published[0] {
		t.Error("the keys changed")
	}
}

// TestRace starts servers together on an empty store and lets them rotate
// together.
func TestRace(t *testing.T) {
	const servers = 6
	clock, store := newFakeClock(), newMemStore(t)
	cfg := testConfig(clock)
	together := func(f func(i int)) {
		var wg sync.WaitGroup
		for i := range servers {
			wg.Go(func() { f(i) })
		}
		wg.Wait()
	}
	rings := make([]*Ring, servers)
	together(func(i int) {
		var err error
		if rings[i], err = Open(t.Context(), store, testSealer(t), cfg); err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		return
	}
	seen := make(map[string]bool)
	for range 5 {
		together(func(i int) {
			if err := rings[i].Advance(t.Context()); err != nil {
				t.Error(err)
			}
		})
		together(func(i int) {
			if err := rings[i].Reload(t.Context()); err != nil {
				t.Error(err)
			}
		})
		for _, r := range rings {
			if r.Active().ID != rings[0].Active().ID || len(r.Published()) != len(rings[0].Published()) {
				t.Error("the servers do not agree")
			}
		}
		seen[rings[0].Active().ID] = true
		clock.pass(73 * time.Hour)
	}
	if len(seen) != 5 {
		t.Errorf("%d keys were active in 4 rotations", len(seen))
	}
	if a, p := store.count(Active), store.count(Prepared); a != 1 || p != 1 {
		t.Errorf("%d active and %d prepared keys are left", a, p)
	}
}

// TestClockJump moves the clock and expects nothing to happen because of it
// (K7, I16).
func TestClockJump(t *testing.T) {
	for _, jump := range []time.Duration{2 * time.Hour, -2 * time.Hour, -3 * 24 * time.Hour, 100 * 24 * time.Hour, 31 * time.Second} {
		t.Run(jump.String(), func(t *testing.T) {
			clock, store := newFakeClock(), newMemStore(t)
			ring := mustOpen(t, store, testConfig(clock))
			// A retired key is due to go, and the active one to be replaced, in
			// an hour.
			clock.pass(3 * 24 * time.Hour)
			mustAdvance(t, ring)
			clock.pass(25 * time.Hour)
			mustAdvance(t, ring)
			before, active := store.snapshot(), ring.Active()
			if store.count(Retired) != 1 {
				t.Fatal("the test expects a retired key")
			}

			clock.pass(30 * time.Minute)
			clock.jump(jump)
			if err := ring.Advance(t.Context()); !errors.Is(err, ErrClock) {
				t.Errorf("Advance returned %v after a jump, want ErrClock", err)
			}
			for range 24 {
				clock.pass(time.Hour)
				if err := ring.Advance(t.Context()); err != nil && !errors.Is(err, ErrClock) {
					t.Fatal(err)
				}
				if !maps.Equal(before, store.snapshot()) || ring.Active() != active {
					t.Fatal("the keys changed")
				}
			}

			clock.pass(8 * 24 * time.Hour)
			mustAdvance(t, ring)
			if ring.Active().ID == active.ID {
				t.Error("rotation did not go on once the clock had been steady")
			}
			for _, k := range ring.Published() {
				if _, old := before[k.ID]; k.State == Retired && old && k.ID != active.ID {
					t.Error("the retired key is still published")
				}
			}
		})
	}

	t.Run("small corrections do not matter", func(t *testing.T) {
		clock, store := newFakeClock(), newMemStore(t)
		ring := mustOpen(t, store, testConfig(clock))
		active := ring.Active().ID
		for range 4 * 24 {
			clock.pass(time.Hour)
			clock.jump(29 * time.Second)
			mustAdvance(t, ring)
		}
		if ring.Active().ID == active {
			t.Error("no rotation")
		}
	})

	t.Run("other servers' changes are still taken over", func(t *testing.T) {
		clock, other, store := newFakeClock(), newFakeClock(), newMemStore(t)
		ring, right := mustOpen(t, store, testConfig(clock)), mustOpen(t, store, testConfig(other))
		other.pass(3 * 24 * time.Hour)
		mustAdvance(t, right)
		clock.jump(-time.Hour)
		if err := ring.Advance(t.Context()); !errors.Is(err, ErrClock) {
			t.Errorf("got %v, want ErrClock", err)
		}
		if ring.Active().ID != right.Active().ID {
			t.Error("the server signs with a retired key")
		}
	})

	t.Run("time.Now carries its own monotonic clock", func(t *testing.T) {
		cfg := Config{Lead: time.Hour}
		if err := cfg.setDefaults(); err != nil {
			t.Fatal(err)
		}
		c := newClock(cfg)
		c.now = func() time.Time { return time.Now().Add(5 * time.Hour) } // moves both
		if _, jumped, _ := c.read(t.Context()); jumped {
			t.Error("a jump was seen where both clocks moved")
		}
		c.now = func() time.Time { return time.Now().Round(0).Add(time.Minute) } // has only the wall clock
		c.lastNow = c.lastNow.Add(-10 * time.Hour)
		if _, jumped, _ := c.read(t.Context()); !jumped {
			t.Error("no jump was seen")
		}
	})
}

func TestWitness(t *testing.T) {
	clock, store := newFakeClock(), newMemStore(t)
	cfg := testConfig(clock)
	var ahead time.Duration
	var broken error
	cfg.Witness = func(context.Context) (time.Time, error) { return clock.now().Add(-ahead), broken }

	ahead = time.Hour
	ring, err := Open(t.Context(), store, testSealer(t), cfg)
	if err != nil {
		t.Fatal("a first start needs a key whatever the clock says:", err)
	}
	if store.count(Prepared) != 0 {
		t.Error("a key was prepared by a wrong clock")
	}
	ahead = 0
	mustAdvance(t, ring)
	if store.count(Prepared) != 1 {
		t.Error("no key was prepared by a right clock")
	}

	clock.pass(3 * 24 * time.Hour)
	active := ring.Active()
	for _, disturb := range []func(){func() { ahead = 31 * time.Second }, func() { ahead = -31 * time.Second }, func() { ahead, broken = 0, errors.New("no answer") }} {
		disturb()
		if err := ring.Advance(t.Context()); !errors.Is(err, ErrClock) {
			t.Errorf("got %v, want ErrClock", err)
		}
		if ring.Active() != active {
			t.Error("a key was activated in doubt")
		}
	}
	broken = nil
	mustAdvance(t, ring)
	if ring.Active() == active {
		t.Error("the key was not activated")
	}
}

func TestWrongKEK(t *testing.T) {
	store := newMemStore(t)
	cfg := testConfig(newFakeClock())
	mustOpen(t, store, cfg)
	other, _ := NewSealer(make([]byte, 32))
	_, err := Open(t.Context(), store, other, cfg)
	if err == nil || !strings.Contains(err.Error(), "the key-encryption key does not open signing key ") || !strings.Contains(err.Error(), "was the file replaced?") {
		t.Errorf("Open with another key returned %v", err)
	}
}

// TestForgedRecords plays somebody who can write to the store and has not the
// key-encryption key.
func TestForgedRecords(t *testing.T) {
	attacker, _ := NewSealer(bytes.Repeat([]byte{9}, 32))
	foreign := func(now time.Time, state State) Record {
		r, err := newRecord(pooledKeys()[0], attacker, now)
		if err != nil {
			t.Fatal(err)
		}
		r.State, r.Version = state, 1
		if state == Retired {
			r.Activated, r.Retired = now, now
		}
		return r
	}
	pick := func(s *memStore, state State) Record {
		for _, k := range s.keys {
			if k.State == state {
				return k
			}
		}
		t.Fatalf("no %s key", state)
		return Record{}
	}
	tests := map[string]func(s *memStore, now time.Time){
		"a foreign prepared key": func(s *memStore, now time.Time) { r := foreign(now, Prepared); s.keys[r.ID] = r },
		"a foreign retired key":  func(s *memStore, now time.Time) { r := foreign(now, Retired); s.keys[r.ID] = r },
		"a foreign key in a genuine envelope": func(s *memStore, now time.Time) {
			r := foreign(now, Retired)
			r.Sealed = pick(s, Retired).Sealed
			s.keys[r.ID] = r
		},
		"a foreign certificate": func(s *memStore, now time.Time) {
			r := pick(s, Prepared)
			r.Certificate = foreign(now, Prepared).Certificate
			r.Version++
			s.keys[r.ID] = r
		},
		"a retired key revived": func(s *memStore, _ time.Time) {
			r := pick(s, Retired)
			r.State, r.Retired = Prepared, time.Time{}
			r.Version++
			s.keys[r.ID] = r
		},
		"another private key": func(s *memStore, _ time.Time) {
			r := pick(s, Prepared)
			public, err := x509.ParseCertificate(r.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			other := slices.IndexFunc(pooledKeys(), func(k *rsa.PrivateKey) bool { return !k.PublicKey.Equal(public.PublicKey) })
			plain, err := x509.MarshalPKCS8PrivateKey(pooledKeys()[other])
			if err != nil {
				t.Fatal(err)
			}
			r.Sealed = testSealer(t).Seal(r.ID, plain)
			r.Version++
			s.keys[r.ID] = r
		},
		"another algorithm": func(s *memStore, _ time.Time) {
			r := pick(s, Prepared)
			r.Algorithm = "none"
			r.Version++
			s.keys[r.ID] = r
		},
		"an unknown state": func(s *memStore, _ time.Time) {
			r := pick(s, Prepared)
			r.State = "Active"
			s.keys[r.ID] = r
		},
		"two active keys": func(s *memStore, now time.Time) {
			r := pick(s, Prepared)
			r.State, r.Activated = Active, now
			s.keys[r.ID] = r
		},
		"no active key, only retired ones": func(s *memStore, _ time.Time) {
			maps.DeleteFunc(s.keys, func(_ string, k Record) bool { return k.State != Retired })
		},
	}
	for name, forge := range tests {
		t.Run(name, func(t *testing.T) {
			clock, store := newFakeClock(), newMemStore(t)
			ring := mustOpen(t, store, testConfig(clock))
			clock.pass(3 * 24 * time.Hour)
			mustAdvance(t, ring)
			published := ring.Published()
			store.forged = true
			forge(store, clock.now())
			if err := ring.Reload(t.Context()); err == nil {
				t.Error("Reload took it over")
			}
			if !slices.EqualFunc(published, ring.Published(), func(a, b PublicKey) bool { return a.ID == b.ID && a.State == b.State }) {
				t.Error("the published keys changed")
			}
		})
	}
}

func TestRetiredKeyCannotSign(t *testing.T) {
	clock, store := newFakeClock(), newMemStore(t)
	ring := mustOpen(t, store, testConfig(clock))
	clock.pass(3 * 24 * time.Hour)
	mustAdvance(t, ring)
	for _, k := range store.keys {
		if k.State != Retired {
			continue
		}
		plain, err := testSealer(t).Open(k.ID, k.Sealed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x509.ParsePKIXPublicKey(plain); err != nil {
			t.Error("the record of a retired key holds more than the public key:", err)
		}
	}
}

// badEngine stands for an engine that breaks after the start.
type badEngine struct{ broken bool }

func (*badEngine) Name() string { return "bad" }
func (e *badEngine) Signer(key *rsa.PrivateKey) (crypto.Signer, error) {
	if e.broken {
		return pooledKeys()[(slices.IndexFunc(pooledKeys(), func(k *rsa.PrivateKey) bool { return k.Equal(key) })+1)%3], nil
	}
	return key, nil
}

func TestKeyThatCannotSignIsNotActivated(t *testing.T) {
	clock, store, engine := newFakeClock(), newMemStore(t), &badEngine{}
	cfg := testConfig(clock)
	cfg.Engine = engine
	ring := mustOpen(t, store, cfg)
	before := store.snapshot()
	engine.broken = true
	clock.pass(3 * 24 * time.Hour)
	if err := ring.Advance(t.Context()); err == nil {
		t.Error("a wrong signature went unnoticed")
	}
	if !maps.Equal(before, store.snapshot()) {
		t.Error("the keys changed")
	}
}

func TestRun(t *testing.T) {
	pooledKeys()
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore(t)
		cfg := Config{ActiveFor: 48 * time.Hour, Generate: cheapGenerate()}
		ring := mustOpen(t, store, cfg)
		first := ring.Active().ID
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		reported := 0
		go func() {
			defer close(done)
			ring.Run(ctx, time.Hour, func(error) { reported++ })
		}()
		time.Sleep(24 * time.Hour)
		store.mu.Lock()
		store.failAt = store.calls + 1
		store.mu.Unlock()
		time.Sleep(26 * time.Hour)
		if ring.Active().ID == first {
			t.Error("no rotation")
		}
		cancel()
		<-done
		if reported != 1 {
			t.Errorf("%d errors were reported, want 1", reported)
		}
	})
}

func TestNothingPrintsKeys(t *testing.T) {
	ring := mustOpen(t, newMemStore(t), testConfig(newFakeClock()))
	key := ring.Active()
	d := key.signer.(*rsa.PrivateKey).D
	holder := struct {
		Key    *SigningKey
		Value  SigningKey
		Sealer Sealer
	}{key, *key, *testSealer(t)}
	var out bytes.Buffer
	for _, v := range []any{key, *key, testSealer(t), *testSealer(t), holder, ring.Published(), ring} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, _ := json.Marshal(v)
		out.Write(text)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	}
	for _, secret := range []string{d.String(), d.Text(16), string(d.Bytes()), fmt.Sprint(d.Bytes()[:8]), "Primes", "round"} {
		if strings.Contains(out.String(), strings.Trim(secret, "[]")) {
			t.Errorf("the private key was printed (%.10s…)", secret)
		}
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing says that something was left out")
	}
}

func TestConfigRefusesNegativePeriods(t *testing.T) {
	for _, cfg := range []Config{{Lead: -1}, {ActiveFor: -1}, {KeepRetired: -1}} {
		if _, err := Open(t.Context(), newMemStore(t), testSealer(t), cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}
