// Package avouchtest runs a whole platform inside a Go test: token service,
// directory and managed identity endpoints on loopback ports of their own, with
// a clock that the test moves. Everything is gone when the test ends.
//
//	p := avouchtest.NewPlatform(t)
//	p.Apply(`tenants: [{name: contoso, …}]`)
//	token := p.Token("orders", "contoso", "https://storage.azure.com")
package avouchtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/fixture"
	"github.com/avouch/avouch/internal/keyring"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/platform"
	"github.com/avouch/avouch/internal/workload"
)

// Platform is a running platform. Its methods end the test on failure; they
// may be called concurrently.
type Platform struct {
	t        testing.TB
	platform *platform.Platform
	clock    *clock
	logs     *fixture.Buffer
}

// Option changes how the platform starts.
type Option func(*platform.Config)

// WithCloud starts the platform as another cloud than global: "usgov" or
// "china".
func WithCloud(name string) Option { return func(c *platform.Config) { c.Cloud = name } }

// WithDir keeps the data in dir instead of a folder that is removed with the
// test, so that a second platform can go on from it.
func WithDir(dir string) Option { return func(c *platform.Config) { c.Dir = dir } }

// WithThrottle rehearses the real metadata service's throttling.
func WithThrottle() Option { return func(c *platform.Config) { c.Throttle = true } }

// NewPlatform starts a platform with an empty directory and the present time.
// It ends with the test.
func NewPlatform(t testing.TB, options ...Option) *Platform {
	t.Helper()
	p := &Platform{t: t, clock: &clock{}, logs: &fixture.Buffer{}}
	cfg := platform.Config{
		Listen: "127.0.0.1:0", IdentityListen: "127.0.0.1:0", Now: p.clock.now,
		Log: slog.New(slog.NewTextHandler(p.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, option := range options {
		option(&cfg)
	}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	opened, err := platform.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("starting the platform: %v", err)
	}
	p.platform = opened
	t.Cleanup(func() {
		opened.Close()
		if t.Failed() {
			t.Logf("the platform's log:\n%s", p.logs.String())
		}
	})
	return p
}

// Close ends the platform before the test does, for tests that start another
// one on the same data.
func (p *Platform) Close() { p.platform.Close() }

// Internal is the platform itself, for this project's own tests: its type is
// internal and changes without notice.
func (p *Platform) Internal() *platform.Platform { return p.platform }

// URL is the base URL of the token service: an authority host for SDKs.
func (p *Platform) URL() string { return p.platform.URL() }

// CAFile is the path of the certificate that the platform's HTTPS hangs on.
func (p *Platform) CAFile() string { return p.platform.CAFile() }

// Dir is the data directory.
func (p *Platform) Dir() string { return p.platform.Dir() }

// Logs is everything the platform has logged so far, at the debug level.
func (p *Platform) Logs() string { return p.logs.String() }

// Advance moves the platform's clock. Going back is possible, as it is for
// real clocks.
func (p *Platform) Advance(d time.Duration) { p.clock.advance(d) }

// Now is the platform's time.
func (p *Platform) Now() time.Time { return p.clock.now() }

// Client is an HTTP client that trusts the platform's certificate, follows no
// redirect and uses no proxy.
func (p *Platform) Client() *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.platform.CAPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64}
	p.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Apply makes the directory match a declarative file.
func (p *Platform) Apply(yaml string) *manage.Plan {
	p.t.Helper()
	plan, err := p.TryApply(yaml)
	if err != nil {
		p.t.Fatalf("applying the directory: %v", err)
	}
	return plan
}

// TryApply is Apply for files that may be refused.
func (p *Platform) TryApply(yaml string) (*manage.Plan, error) {
	parsed, err := config.ParseDirectory("directory.yaml", []byte(yaml))
	if err != nil {
		return nil, err
	}
	caller := manage.Caller{Actor: audit.Actor{Kind: "system", Name: "test"}}
	return p.platform.Manage().Apply(context.WithoutCancel(p.t.Context()), caller, []*config.Directory{parsed}, manage.ApplyOptions{})
}

// Env is the environment of a workload on the host: what a test gives to an
// SDK or to a child process. An empty host leaves the identity endpoint out.
func (p *Platform) Env(host string) map[string]string {
	p.t.Helper()
	env := make(map[string]string)
	for _, v := range p.variables(host) {
		if !v.Unset {
			env[v.Name] = v.Value
		}
	}
	return env
}

func (p *Platform) variables(host string) []platform.Variable {
	p.t.Helper()
	ctx := p.t.Context()
	if host == "" {
		vars, err := p.platform.Environment(nil)
		if err != nil {
			p.t.Fatal(err)
		}
		return vars
	}
	h, err := p.platform.Manage().FindHost(ctx, host)
	if err != nil {
		p.t.Fatal(err)
	}
	vars, err := p.platform.Environment(h)
	if err != nil {
		p.t.Fatal(err)
	}
	return vars
}

// IdentityToken gets the managed identity's token on a host that it is
// assigned to. Identity is a name, tenant/name or client id.
func (p *Platform) IdentityToken(identity, resource string) string {
	p.t.Helper()
	found, err := p.platform.Manage().FindWorkload(p.t.Context(), manage.WorkloadWish{Identity: identity})
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := p.player(found.Host.ID.String()).IdentityToken(p.t.Context(), found.Identity.ClientID.String(), resource)
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// Token gets the application's token in the tenant, through the managed
// identity that its credential names. Tenant "" is the application's home.
func (p *Platform) Token(application, tenant, resource string) string {
	p.t.Helper()
	token, err := p.TryToken(application, tenant, resource)
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// TryToken is Token for requests that may be refused. The error of a refusal
// holds the endpoint's text, AADSTS code included.
func (p *Platform) TryToken(application, tenant, resource string) (string, error) {
	ctx := context.WithoutCancel(p.t.Context())
	found, err := p.platform.Manage().FindWorkload(ctx, manage.WorkloadWish{Application: application, Tenant: tenant})
	if err != nil {
		return "", err
	}
	player := p.player(found.Host.ID.String())
	proof, err := player.IdentityToken(ctx, found.Identity.ClientID.String(), p.platform.Cloud().ExchangeURI)
	if err != nil {
		return "", err
	}
	return player.Exchange(ctx, found.Tenant.ID.String(), found.Application.ClientID.String(), proof, resource+"/.default")
}

func (p *Platform) player(host string) *workload.Player {
	p.t.Helper()
	player, err := workload.New(p.CAFile(), p.URL(), p.variables(host))
	if err != nil {
		p.t.Fatal(err)
	}
	return player
}

// Sign signs any claims with the platform's active key: tokens that the
// platform would never issue, for negative tests.
func (p *Platform) Sign(claims map[string]any) string {
	p.t.Helper()
	key := p.platform.Ring().Active()
	return sign(p.t, key.ID, key.Sign, claims)
}

// Forge is token with a signature of the right size that is not the
// platform's.
func Forge(token string) string {
	head, signature, ok := cutLast(token)
	if !ok {
		return token
	}
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(raw) == 0 {
		return token
	}
	raw[len(raw)/2] ^= 1
	return head + "." + base64.RawURLEncoding.EncodeToString(raw)
}

func cutLast(token string) (head, last string, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return "", "", false
	}
	return token[:i], token[i+1:], true
}

const rs256 = crypto.SHA256

func sign(t testing.TB, kid string, signer func([sha256.Size]byte) ([]byte, error), claims map[string]any) string {
	t.Helper()
	header, err := json.Marshal(map[string]string{"typ": "JWT", "alg": keyring.RS256, "kid": kid})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString(header) + "." + enc.EncodeToString(payload)
	signature, err := signer(sha256.Sum256([]byte(signed)))
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + enc.EncodeToString(signature)
}

// Claims are the claims of a token, unverified, for tests that change one and
// sign again.
func Claims(token string) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("not a signed token: it has %d parts", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	err = decoder.Decode(&claims)
	return claims, err
}

// clock is the real time plus what the test moved it by.
type clock struct {
	mu    sync.Mutex
	moved time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.moved)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved += d
}
