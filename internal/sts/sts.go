// Package sts tells the story of a token: who asks, how he proves it, whether
// the proof speaks for him, what the token may say, and its minting. It knows
// neither HTTP nor SQL. Refusals are values with a reason; package tokenapi
// and package imds turn them into the wire's words.
package sts

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/keyring"
)

// Lifetimes of issued tokens. Sources: "Access token lifetime" and "Managed
// identity tokens" in the identity platform's documentation.
const (
	shortestLife = 60 * time.Minute
	longestLife  = 90 * time.Minute
	identityLife = 24 * time.Hour
)

// Skew is how far clocks may differ before a proof counts as early or late.
const Skew = 300 * time.Second

// rememberedProofs bounds how many verified assertions are remembered.
const rememberedProofs = 4096

// Config is what a Service needs. Every field but Now is required.
type Config struct {
	Cloud     *directory.Cloud
	Directory Directory
	Keys      *keyring.Ring
	Now       func() time.Time // nil means time.Now
}

// Service issues tokens. Its methods may be called concurrently.
type Service struct {
	cloud    *directory.Cloud
	dir      Directory
	keys     *keyring.Ring
	verifier *assertion.Verifier
	now      func() time.Time
	issued   *issuedTokens
	keySet   atomic.Pointer[ownKeys]
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{
		cloud:    cfg.Cloud,
		dir:      cfg.Directory,
		keys:     cfg.Keys,
		verifier: assertion.NewVerifier(rememberedProofs),
		now:      cfg.Now,
		issued:   newIssuedTokens(),
	}
}

// Cloud is the profile whose names stand in the tokens.
func (s *Service) Cloud() *directory.Cloud { return s.cloud }

// Tenant resolves a tenant id or verified domain, in any case. The error wraps
// directory.ErrNotFound when there is none.
func (s *Service) Tenant(ctx context.Context, idOrDomain string) (*directory.Tenant, error) {
	return s.dir.Tenant(ctx, idOrDomain)
}

// ownKeys is the published key set in the verifier's form, beside the slice it
// was made from: the ring hands out a new slice whenever the set changes.
type ownKeys struct {
	from []keyring.PublicKey
	set  assertion.KeySet
}

func (s *Service) ownKeySet() assertion.KeySet {
	published := s.keys.Published()
	if k := s.keySet.Load(); k != nil && len(k.from) == len(published) && &k.from[0] == &published[0] {
		return k.set
	}
	keys := make([]assertion.Key, 0, len(published))
	for _, p := range published {
		keys = append(keys, assertion.Key{ID: p.ID, Algorithm: keyring.RS256, Public: p.Key})
	}
	k := &ownKeys{from: published, set: assertion.NewKeySet(keys...)}
	s.keySet.Store(k)
	return k.set
}

// issuer is the issuer of tokens in the tenant; its form follows the version.
func (s *Service) issuer(v directory.TokenVersion, t directory.TenantID) string {
	if v == directory.V1 {
		return s.cloud.V1IssuerOf(t)
	}
	return s.cloud.V2IssuerOf(t)
}

// audience is what stands in aud: v1.0 tokens repeat how the resource was
// asked for, v2.0 tokens always carry its client id.
func audience(r *directory.Resource, asked string) string {
	if r.TokenVersion == directory.V2 {
		return r.Principal.ClientID.String()
	}
	return asked
}

// newTokenID returns a uti: 128 random bits, base64url.
func newTokenID() string {
	var b [16]byte
	// crypto/rand.Read never fails; it ends the program when the system's
	// source does.
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// accessTokenLife spreads expiry over half an hour, so that clients which
// started together do not come back together (threats H8).
func accessTokenLife() time.Duration {
	return shortestLife + mathrand.N(longestLife-shortestLife+time.Second).Truncate(time.Second)
}

func fault(doing string, err error) error { return fmt.Errorf("%s: %w", doing, err) }
