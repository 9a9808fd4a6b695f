// Package keyring looks after the platform's signing keys: prepared, active,
// retired, gone.
//
// A key is published before it signs, signs alone, and stays published until
// the last token it signed has expired. Private keys rest in a [Store], sealed
// under a key-encryption key that the store never sees. Any number of servers
// may share a store; each keeps a [Ring] and calls [Ring.Advance] every now and
// then. Every step is one compare-and-swap, so that a server which loses a race
// or dies half way leaves nothing to repair.
package keyring

import (
	"context"
	"crypto/rsa"
	"errors"
	"time"
)

// State is a station in the life of a key. A key that is gone has no record.
type State string

const (
	// Prepared keys are published and sign nothing yet.
	Prepared State = "prepared"
	// Active is the state of the one key that signs.
	Active State = "active"
	// Retired keys are published for the sake of tokens already issued. Their
	// private half has been destroyed.
	Retired State = "retired"
)

// RS256 is the only algorithm of the ring.
const RS256 = "RS256"

// Record is a key as it is stored.
type Record struct {
	// ID is the key ID: the base64url SHA-1 of Certificate, as the original
	// service publishes it.
	ID        string
	State     State
	Algorithm string // RS256
	// Sealed is never empty. It holds the private key (PKCS#8) of a prepared or
	// active key, and only the public key of a retired one, both sealed by a
	// [Sealer] under ID. So whoever can write to the store, but has not the
	// key-encryption key, cannot have a key of his own published.
	Sealed []byte
	// Certificate is self-signed DER.
	Certificate []byte
	// Created, Activated and Retired are in UTC to the microsecond. A time that
	// has not come yet is zero.
	Created, Activated, Retired time.Time
	// Version is kept by the store: it is 1 after CreateKey, and one more after
	// each change.
	Version int64
}

// ErrConflict says that the store has moved on since it was read. The ring
// reads again; losing a race is not an error for it.
var ErrConflict = errors.New("keyring: the stored key has changed meanwhile")

// ErrClock says that the clock cannot be trusted at present, and that for this
// reason no key was prepared, activated or removed. Keys that other servers
// changed have been taken over all the same.
var ErrClock = errors.New("keyring: the clock cannot be trusted")

// Store keeps sealed keys. Its methods are safe for concurrent use by many
// servers. Each is one transaction: after nil the change is durable, after
// ErrConflict nothing has changed, and after any other error the outcome is
// unknown; the ring reads again before it goes on. At no instant does a store
// hold two active keys.
type Store interface {
	// Keys returns every key, in any order. An empty store has none and no error.
	Keys(ctx context.Context) ([]Record, error)

	// CreateKey adds a key and ignores its Version. It returns ErrConflict if
	// the ID exists, or if the key is active and another one is.
	CreateKey(ctx context.Context, key Record) error

	// Activate does the whole hand-over: it stores next, which is active now,
	// and present, which is retired now. Version in both is the version read.
	// present is nil if there was no active key. Activate returns ErrConflict if
	// either has another version or is gone, or if a key other than these two
	// is active.
	Activate(ctx context.Context, next Record, present *Record) error

	// DeleteKey removes a key. It returns ErrConflict if the key has another
	// version or is gone.
	DeleteKey(ctx context.Context, id string, version int64) error
}

// Config sets the pace of a ring. The zero value is meant for production.
type Config struct {
	// Engine signs. Nil means [GoEngine].
	Engine Engine

	// Now tells the time. Nil means time.Now.
	Now func() time.Time

	// Elapsed tells how much time has passed since some fixed moment, by a
	// clock that nobody can set. If it is nil, the monotonic readings in the
	// results of Now serve; where those carry none, as a fake clock's do not,
	// jumps of the clock go unnoticed.
	Elapsed func() time.Duration

	// Witness tells the time by a second clock, such as the database server's.
	// If it is set, nothing is prepared, activated or removed unless it answers
	// and agrees with Now to 30 seconds.
	Witness func(ctx context.Context) (time.Time, error)

	// Lead is how long a key is published before it signs. It has to cover the
	// time for which verifiers keep a key set, and the time until the slowest
	// server publishes what another has prepared. Zero means 25 hours: a day
	// for the first and an hour for the second.
	Lead time.Duration

	// ActiveFor is how long a key signs. Zero means 90 days.
	ActiveFor time.Duration

	// KeepRetired is how long a key stays published after it has been retired.
	// It has to cover the longest token lifetime, the time for which a server
	// may sign on without having noticed, and the clock skew that verifiers
	// allow. Zero means 26 hours: a day for the first and an hour for each of
	// the others.
	KeepRetired time.Duration

	// Generate makes a private key. It is called from two goroutines at once
	// when a store is empty. Nil means RSA of 2048 bits from crypto/rand.
	Generate func() (*rsa.PrivateKey, error)
}

// maxJump is how far the clock may move against another one.
const maxJump = 30 * time.Second

func (c *Config) setDefaults() error {
	if c.Lead < 0 || c.ActiveFor < 0 || c.KeepRetired < 0 {
		return errors.New("keyring: a period is negative")
	}
	if c.Engine == nil {
		c.Engine = GoEngine{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Lead == 0 {
		c.Lead = 25 * time.Hour
	}
	if c.ActiveFor == 0 {
		c.ActiveFor = 90 * 24 * time.Hour
	}
	if c.KeepRetired == 0 {
		c.KeepRetired = 26 * time.Hour
	}
	if c.Generate == nil {
		c.Generate = generate
	}
	return nil
}
