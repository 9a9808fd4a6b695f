package keyring

import (
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pooledKeys are made once per test binary. Certificates have serial numbers of
// their own, so that one RSA key serves for many key IDs.
var pooledKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	keys := make([]*rsa.PrivateKey, 3)
	for i := range keys {
		key, err := generate()
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

func cheapGenerate() func() (*rsa.PrivateKey, error) {
	var n atomic.Int64
	return func() (*rsa.PrivateKey, error) {
		keys := pooledKeys()
		return keys[int(n.Add(1))%len(keys)], nil
	}
}

// fakeClock is a wall clock that can be set and a monotonic one that cannot.
type fakeClock struct {
	mu      sync.Mutex
	wall    time.Time
	elapsed time.Duration
}

func newFakeClock() *fakeClock {
	return &fakeClock{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall
}

func (c *fakeClock) mono() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.elapsed
}

// pass lets time go by; jump sets the wall clock only.
func (c *fakeClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
	c.elapsed += d
}

func (c *fakeClock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
}

var errCrash = errors.New("the store went away")

// memStore keeps the contract of Store, and checks after each change what the
// ring owes to its readers.
type memStore struct {
	t *testing.T

	mu    sync.Mutex
	keys  map[string]Record
	calls int
	// failAt makes the call of that number fail; failAfter makes it fail after
	// it took effect, as when a connection breaks during a commit.
	failAt    int
	failAfter bool
	// gone collects the last record of each deleted key.
	gone []Record
	// forged says that somebody wrote past the methods.
	forged bool
}

func newMemStore(t *testing.T) *memStore {
	return &memStore{t: t, keys: make(map[string]Record)}
}

func clone(r Record) Record {
	r.Sealed, r.Certificate = bytes.Clone(r.Sealed), bytes.Clone(r.Certificate)
	return r
}

// call runs one method under the lock, with the planned failure.
func (s *memStore) call(change func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.calls == s.failAt && !s.failAfter {
		return errCrash
	}
	if err := change(); err != nil {
		return err
	}
	s.check()
	if s.calls == s.failAt {
		return errCrash
	}
	return nil
}

func (s *memStore) check() {
	if s.forged {
		return
	}
	active := 0
	for id, k := range s.keys {
		if k.State == Active {
			active++
		}
		if id != k.ID || len(k.Sealed) == 0 || len(k.Certificate) == 0 || k.Created.IsZero() || k.Version < 1 {
			s.t.Errorf("stored a malformed record: %+v", k)
		}
		if (k.State != Prepared) != !k.Activated.IsZero() || (k.State == Retired) != !k.Retired.IsZero() {
			s.t.Errorf("times of the %s key do not fit: %v, %v, %v", k.State, k.Created, k.Activated, k.Retired)
		}
	}
	if active > 1 {
		s.t.Errorf("%d keys are active", active)
	}
}

func (s *memStore) Keys(context.Context) (out []Record, err error) {
	err = s.call(func() error {
		for _, k := range s.keys {
			out = append(out, clone(k))
		}
		return nil
	})
	return out, err
}

func (s *memStore) CreateKey(_ context.Context, key Record) error {
	return s.call(func() error {
		if _, ok := s.keys[key.ID]; ok {
			return fmt.Errorf("creating: %w", ErrConflict)
		}
		if key.State == Active && s.activeOtherThan(key.ID) {
			return fmt.Errorf("creating: %w", ErrConflict)
		}
		key.Version = 1
		s.keys[key.ID] = clone(key)
		return nil
	})
}

func (s *memStore) activeOtherThan(ids ...string) bool {
	for id, k := range s.keys {
		if k.State == Active && !slices.Contains(ids, id) {
			return true
		}
	}
	return false
}

func (s *memStore) Activate(_ context.Context, next Record, present *Record) error {
	return s.call(func() error {
		ids := []string{next.ID}
		changes := []Record{next}
		if present != nil {
			ids, changes = append(ids, present.ID), append(changes, *present)
		}
		for _, c := range changes {
			if s.keys[c.ID].Version != c.Version {
				return fmt.Errorf("activating: %w", ErrConflict)
			}
		}
		if s.activeOtherThan(ids...) {
			return fmt.Errorf("activating: %w", ErrConflict)
		}
		for _, c := range changes {
			c.Version++
			s.keys[c.ID] = clone(c)
		}
		return nil
	})
}

func (s *memStore) DeleteKey(_ context.Context, id string, version int64) error {
	return s.call(func() error {
		k, ok := s.keys[id]
		if !ok || k.Version != version {
			return fmt.Errorf("deleting: %w", ErrConflict)
		}
		s.gone = append(s.gone, k)
		delete(s.keys, id)
		return nil
	})
}

// count returns how many keys are in a state.
func (s *memStore) count(state State) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.State == state {
			n++
		}
	}
	return n
}

// snapshot returns what a test compares to see that nothing has changed.
func (s *memStore) snapshot() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]string)
	for id, k := range s.keys {
		out[id] = fmt.Sprint(k.State, k.Version)
	}
	return out
}

func testSealer(t testing.TB) *Sealer {
	t.Helper()
	s, err := NewSealer(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testConfig(c *fakeClock) Config {
	return Config{Now: c.now, Elapsed: c.mono, ActiveFor: 3 * 24 * time.Hour, Generate: cheapGenerate()}
}

func mustOpen(t *testing.T, store Store, cfg Config) *Ring {
	t.Helper()
	r, err := Open(t.Context(), store, testSealer(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustAdvance(t *testing.T, r *Ring) {
	t.Helper()
	if err := r.Advance(t.Context()); err != nil {
		t.Fatal(err)
	}
}
