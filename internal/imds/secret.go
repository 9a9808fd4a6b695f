package imds

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"

	"github.com/avouch/avouch/internal/directory"
)

// Secret is the header secret of one host. However it is printed, logged or
// encoded, it shows as redacted; Reveal is the one way to its text. The zero
// Secret has none.
type Secret struct {
	// A pointer, so that a Secret in an unexported field, whose methods fmt
	// cannot call, prints as an address.
	text *string
}

const redacted = "[redacted]"

// Reveal is the text that a workload of the host presents.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// Format implements fmt.Formatter: the same under every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// secretBytes is how much of a secret is random.
const secretBytes = 32

// Secrets holds the header secrets of this run, one a host: 256 random bits
// each, made on first use. They are kept in memory only, so a restart rotates
// all of them. Methods may be called concurrently.
type Secrets struct {
	mu      sync.RWMutex
	secrets map[caller]Secret
	callers map[digest]known
}

type digest [sha256.Size]byte

type known struct {
	digest digest
	caller caller
}

// NewSecrets makes an empty set.
func NewSecrets() *Secrets {
	return &Secrets{secrets: make(map[caller]Secret), callers: make(map[digest]known)}
}

// Of is the host's secret, the same until Forget.
func (s *Secrets) Of(t directory.TenantID, host directory.ObjectID) Secret {
	who := caller{t, host}
	s.mu.Lock()
	defer s.mu.Unlock()
	if secret, ok := s.secrets[who]; ok {
		return secret
	}
	var b [secretBytes]byte
	// crypto/rand.Read never fails; it ends the program when the system's
	// source does.
	_, _ = rand.Read(b[:])
	text := hex.EncodeToString(b[:])
	d := digest(sha256.Sum256([]byte(text)))
	s.secrets[who] = Secret{&text}
	s.callers[d] = known{d, who}
	return s.secrets[who]
}

// Forget makes the host's secret worthless at once. Of makes a new one.
func (s *Secrets) Forget(t directory.TenantID, host directory.ObjectID) {
	who := caller{t, host}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.callers, digest(sha256.Sum256([]byte(s.secrets[who].Reveal()))))
	delete(s.secrets, who)
}

// caller returns the host whose secret was presented. It looks for the
// SHA-256 of the value, which a guesser cannot steer, so that the time it
// takes says nothing of how near a guess came.
func (s *Secrets) caller(presented string) (caller, bool) {
	if len(presented) != hex.EncodedLen(secretBytes) {
		return caller{}, false
	}
	d := digest(sha256.Sum256([]byte(presented)))
	s.mu.RLock()
	found := s.callers[d]
	s.mu.RUnlock()
	if subtle.ConstantTimeCompare(found.digest[:], d[:]) != 1 {
		return caller{}, false
	}
	return found.caller, true
}
