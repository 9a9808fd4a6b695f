package sts

import (
	"sync"
	"time"

	"github.com/avouch/avouch/internal/directory"
)

// issuedKey is everything a managed identity token says, but for its times and
// id. Whatever in the directory changes what the token would say changes the
// key, so a token that says something old is never found again; it needs no
// invalidation.
type issuedKey struct {
	tenant     directory.TenantID
	principal  directory.ObjectID
	host       directory.ObjectID
	resource   string
	audience   string
	version    directory.TokenVersion
	roles      string
	resourceID string
	hostID     string // resource id of the host
	signer     string
}

// issuedTokens remembers managed identity tokens until half their life. It is
// bounded: callers choose the resource string (only ones that exist), so the
// number of keys is that of identities in use times resources.
type issuedTokens struct {
	mu     sync.RWMutex
	tokens map[issuedKey]*issuedToken
}

// mostIssued bounds the remembered tokens; at about 2 KB each.
const mostIssued = 20_000

type issuedToken struct {
	mu       sync.Mutex // held while minting, so that a crowd signs once
	response *IdentityResponse
}

func newIssuedTokens() *issuedTokens {
	return &issuedTokens{tokens: make(map[issuedKey]*issuedToken)}
}

// get returns the remembered token, or mints one. Callers that ask for the
// same token at the same moment wait for one signature.
func (t *issuedTokens) get(key issuedKey, now time.Time, fresh bool, mint func() (*IdentityResponse, error)) (*IdentityResponse, error) {
	t.mu.RLock()
	entry := t.tokens[key]
	t.mu.RUnlock()
	if entry == nil {
		entry = t.add(key, now)
	}
	entry.mu.Lock()
	defer entry.mu.Unlock()
	if r := entry.response; r != nil && !fresh && young(r, now) {
		cached := *r
		cached.Now, cached.Cached = now, true
		return &cached, nil
	}
	response, err := mint()
	if err != nil {
		return nil, err
	}
	entry.response = response
	return response, nil
}

// young reports whether less than half of the token's life has passed, also
// when the clock was set back meanwhile.
func young(r *IdentityResponse, now time.Time) bool {
	half := r.Expires.Sub(r.NotBefore) / 2
	return now.Before(r.Expires.Add(-half)) && !now.Before(r.NotBefore)
}

func (t *issuedTokens) add(key issuedKey, now time.Time) *issuedToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	if entry := t.tokens[key]; entry != nil {
		return entry
	}
	if len(t.tokens) >= mostIssued {
		t.evict(now)
	}
	entry := &issuedToken{}
	t.tokens[key] = entry
	return entry
}

// evict drops what is past its use, and when that is not enough an arbitrary
// tenth: a dropped token costs one signature, nothing else.
func (t *issuedTokens) evict(now time.Time) {
	spare := len(t.tokens) / 10
	for key, entry := range t.tokens {
		if !entry.mu.TryLock() {
			continue
		}
		old := entry.response == nil || !young(entry.response, now)
		entry.mu.Unlock()
		if old || spare > 0 {
			delete(t.tokens, key)
			if !old {
				spare--
			}
		}
	}
}
