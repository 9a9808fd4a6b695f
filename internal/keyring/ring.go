package keyring

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Ring is one server's view of the signing keys. All methods may be called
// concurrently.
type Ring struct {
	store  Store
	sealer *Sealer
	cfg    Config
	view   atomic.Pointer[view]

	mu    sync.Mutex // serialises Advance and Reload, and guards what follows
	clock *clock
	// heir has been proved able to sign, and is about to become active.
	heir *SigningKey
}

// view is what the ring last read. It is never changed.
type view struct {
	active    *SigningKey
	published []PublicKey
	read      map[string]Record
}

// maxSteps bounds one call of Advance. What is left is done by the next.
const maxSteps = 32

// Open reads the keys and takes the steps that are due, as [Ring.Advance] does.
// In an empty store it creates an active and a prepared key.
//
// It returns an error if a key cannot be opened with sealer, or is not what its
// record says.
func Open(ctx context.Context, store Store, sealer *Sealer, cfg Config) (*Ring, error) {
	if store == nil || sealer == nil {
		return nil, errors.New("keyring: a store and a sealer are needed")
	}
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	r := &Ring{store: store, sealer: sealer, cfg: cfg, clock: newClock(cfg)}
	err := r.Advance(ctx)
	if r.view.Load() == nil {
		return nil, cmp.Or(err, errors.New("keyring: found no active signing key, because other servers keep changing the keys; try again"))
	}
	// A clock in doubt withholds steps. It is no reason not to start, and the
	// next Advance will say it again.
	if err != nil && !errors.Is(err, ErrClock) {
		return nil, err
	}
	return r, nil
}

// Active returns the key to sign with. It is never nil and takes no lock. The
// result may be kept for the making of one token, not longer: the key may be
// retired meanwhile.
func (r *Ring) Active() *SigningKey { return r.view.Load().active }

// Published returns the keys that verifiers should know: the active one first,
// then prepared, then retired ones. The slice is shared, and callers must not
// change it. As long as neither a key nor a state changes, it is the same
// slice, so that what was made from it may be kept.
func (r *Ring) Published() []PublicKey { return r.view.Load().published }

// Reload takes over what other servers have changed, and changes nothing
// itself. After an error the ring goes on with the keys it has.
func (r *Ring) Reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys, err := r.store.Keys(ctx)
	if err != nil {
		return fmt.Errorf("reading signing keys: %w", err)
	}
	return r.adopt(keys)
}

// Advance takes over what other servers have changed, and takes the steps that
// are due: prepare a successor, activate it once the present key has served its
// time and the successor has been published for the lead, remove what has been
// retired long enough. It may be called at any time, by any number of servers;
// after an error, or a crash at any point, the next call goes on. After an
// error the ring goes on with the keys it has.
//
// If the clock cannot be trusted no step is taken. Advance says so with an
// error wrapping [ErrClock] when it notices that the clock has jumped, and
// whenever a step that seemed due was withheld.
func (r *Ring) Advance(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, jumped, doubt := r.clock.read(ctx)

	var spare *rsa.PrivateKey
	for range maxSteps {
		keys, err := r.store.Keys(ctx)
		if err != nil {
			return fmt.Errorf("reading signing keys: %w", err)
		}
		if hasActive(keys) {
			if err := r.adopt(keys); err != nil {
				return err
			}
		}
		s := decide(keys, now, r.cfg.Lead, r.cfg.ActiveFor, r.cfg.KeepRetired)
		if s.do == rest {
			if jumped {
				return doubt
			}
			return nil
		}
		// A server that has no key at all to sign with takes one all the same.
		if doubt != nil && r.view.Load() != nil {
			return doubt
		}
		if spare, err = r.take(ctx, s, now, spare); err != nil && !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return nil
}

func hasActive(keys []Record) bool {
	return slices.ContainsFunc(keys, func(k Record) bool { return k.State == Active })
}

// take does one step. spare is a private key that has been generated and not
// used, or nil; the one returned is too.
func (r *Ring) take(ctx context.Context, s step, now time.Time, spare *rsa.PrivateKey) (*rsa.PrivateKey, error) {
	switch s.do {
	case begin:
		first, second, err := generateTwo(r.cfg.Generate)
		if err != nil {
			return nil, err
		}
		key, err := newRecord(first, r.sealer, now)
		if err != nil {
			return nil, err
		}
		key.State, key.Activated = Active, now
		if err := r.store.CreateKey(ctx, key); err != nil {
			return second, fmt.Errorf("storing the first signing key: %w", err)
		}
		return second, nil

	case prepare:
		if spare == nil {
			var err error
			if spare, err = r.cfg.Generate(); err != nil {
				return nil, fmt.Errorf("generating a signing key: %w", err)
			}
		}
		key, err := newRecord(spare, r.sealer, now)
		if err != nil {
			return nil, err
		}
		if err := r.store.CreateKey(ctx, key); err != nil {
			return nil, fmt.Errorf("storing the prepared signing key: %w", err)
		}
		return nil, nil

	case activate:
		heir, err := r.signingKey(s.key)
		if err != nil {
			return spare, err
		}
		next := s.key
		next.State, next.Activated = Active, now
		var present *Record
		if s.present != nil {
			if present, err = r.retire(*s.present, now); err != nil {
				return spare, err
			}
		}
		if err := r.store.Activate(ctx, next, present); err != nil {
			return spare, fmt.Errorf("activating signing key %s: %w", next.ID, err)
		}
		r.heir = heir
		return spare, nil

	case remove:
		if err := r.store.DeleteKey(ctx, s.key.ID, s.key.Version); err != nil {
			return spare, fmt.Errorf("removing %s signing key %s: %w", s.key.State, s.key.ID, err)
		}
		return spare, nil
	}
	return spare, nil
}

// retire returns the record of a key that will never sign again. The private
// key is replaced by the public one, which keeps the record authentic.
func (r *Ring) retire(key Record, now time.Time) (*Record, error) {
	_, public, err := openRecord(key, r.sealer)
	if err != nil {
		return nil, err
	}
	key.State, key.Retired = Retired, now
	if key.Sealed, err = sealPublic(public, r.sealer); err != nil {
		return nil, err
	}
	return &key, nil
}

// signingKey opens a key and proves that it signs what its certificate
// verifies.
func (r *Ring) signingKey(key Record) (*SigningKey, error) {
	private, public, err := openRecord(key, r.sealer)
	if err != nil {
		return nil, err
	}
	return newSigningKey(r.cfg.Engine, private, public)
}

// adopt makes the keys read the ring's view. It opens each new record, also
// those that it only publishes, so that nothing is published which somebody
// without the key-encryption key has written.
func (r *Ring) adopt(keys []Record) error {
	old := r.view.Load()
	if old == nil {
		old = &view{}
	}
	known := make(map[string]PublicKey, len(old.published))
	for _, k := range old.published {
		known[k.ID] = k
	}
	next := &view{read: make(map[string]Record, len(keys))}
	for _, key := range keys {
		public, ok := known[key.ID]
		if was := old.read[key.ID]; !ok || was.Version != key.Version || was.State != key.State {
			var err error
			if _, public, err = openRecord(key, r.sealer); err != nil {
				return err
			}
		}
		next.read[key.ID] = key
		next.published = append(next.published, public)
		if key.State != Active {
			continue
		}
		if next.active != nil {
			return fmt.Errorf("keyring: signing keys %s and %s are both active; the store has broken its promise", next.active.ID, key.ID)
		}
		switch {
		case old.active != nil && old.active.ID == key.ID:
			next.active = old.active
		case r.heir != nil && r.heir.ID == key.ID:
			next.active = r.heir
		default:
			var err error
			if next.active, err = r.signingKey(key); err != nil {
				return err
			}
		}
	}
	if next.active == nil {
		return errors.New("keyring: no signing key is active in the store")
	}
	r.heir = nil

	rank := map[State]int{Active: 0, Prepared: 1, Retired: 2}
	slices.SortFunc(next.published, func(a, b PublicKey) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), byAge(next.read[a.ID], next.read[b.ID]))
	})
	same := func(a, b PublicKey) bool { return a.ID == b.ID && a.State == b.State }
	if slices.EqualFunc(old.published, next.published, same) {
		next.published = old.published
	}
	r.view.Store(next)
	return nil
}

// Run calls Advance about once in every period, until ctx is done. Servers do
// not keep step, because the period varies by a tenth. The period should be a
// minute or so, and must be well under an hour, which is what the default Lead
// and KeepRetired allow for. Errors of Advance go to report, which must not be
// nil, and Run goes on.
func (r *Ring) Run(ctx context.Context, every time.Duration, report func(error)) {
	for {
		wait := time.Duration(float64(every) * (0.9 + 0.2*rand.Float64()))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if err := r.Advance(ctx); err != nil && ctx.Err() == nil {
			report(err)
		}
	}
}
