package resource

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	home     = "8e2f6a8e-6b1c-4c7f-9f55-0c2d6f4ab7f1"
	partner  = "11111111-2222-4333-8444-555555555555"
	stranger = "99999999-2222-4333-8444-555555555555"
	app      = "0f0a6c1b-4a0e-4b0e-8f55-1a2b3c4d5e6f"
	object   = "0f6b4b8a-93e7-4d53-a6a5-6a6e6a6e3c55"
	self     = "7b0d1c52-2d6c-4c39-9c64-6b9c6ad9d6f0" // the resource's client id
	uri      = "api://reports"
	role     = "Reports.Read"
)

// Keys are made once: RSA key generation under the race detector is slow.
var (
	firstKey  = sync.OnceValue(newKey)
	secondKey = sync.OnceValue(newKey)
	noon      = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func v1Issuer(tenant string) string { return "https://sts.windows.net/" + tenant + "/" }
func v2Issuer(tenant string) string { return "https://login.microsoftonline.com/" + tenant + "/v2.0" }

type jsonObject = map[string]any

// published is one key that the platform publishes.
type published struct {
	id     string
	key    *rsa.PrivateKey
	issuer string // of the v2 key; "" is the tenant's
	cloud  string
}

// platform serves discovery and keys as the token service does.
type platform struct {
	*httptest.Server
	mu      sync.Mutex
	clock   time.Time
	keys    []published
	answer  func(w http.ResponseWriter, r *http.Request) bool // before all others; true: answered
	fetches map[string]int
	asked   []http.Header
}

func newPlatform(t *testing.T) *platform {
	p := &platform{clock: noon, keys: []published{{id: "key-1", key: firstKey()}}, fetches: make(map[string]int)}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

func (p *platform) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.fetches[r.URL.Path]++
	p.asked = append(p.asked, r.Header.Clone())
	keys, answer := p.keys, p.answer
	p.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	tenant := parts[0]
	switch strings.Join(parts[1:], "/") {
	case ".well-known/openid-configuration":
		send(w, jsonObject{"issuer": v1Issuer(tenant), "jwks_uri": p.URL + "/common/discovery/keys", "cloud_instance_name": "microsoftonline.com"})
	case "v2.0/.well-known/openid-configuration":
		send(w, jsonObject{"issuer": v2Issuer(tenant), "jwks_uri": p.URL + "/" + tenant + "/discovery/v2.0/keys", "cloud_instance_name": "microsoftonline.com"})
	case "discovery/keys", "discovery/v2.0/keys":
		all := []jsonObject{}
		for _, k := range keys {
			key := jsonObject{"kty": "RSA", "use": "sig", "kid": k.id, "x5t": k.id, "n": encode(k.key.N.Bytes()), "e": "AQAB"}
			if parts[len(parts)-2] == "v2.0" {
				key["issuer"], key["cloud_instance_name"] = v2Issuer(tenant), "microsoftonline.com"
				if k.issuer != "" {
					key["issuer"] = k.issuer
				}
				if k.cloud != "" {
					key["cloud_instance_name"] = k.cloud
				}
				if k.issuer == "none" {
					delete(key, "issuer")
				}
			}
			all = append(all, key)
		}
		send(w, jsonObject{"keys": all})
	default:
		http.NotFound(w, r)
	}
}

func send(w http.ResponseWriter, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(data)
}

func (p *platform) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clock
}

func (p *platform) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock = p.clock.Add(d)
}

func (p *platform) publish(keys ...published) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

func (p *platform) intercept(answer func(w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *platform) fetched(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches[path]
}

const v2Keys = "/" + home + "/discovery/v2.0/keys"

func outage(w http.ResponseWriter, _ *http.Request) bool {
	http.Error(w, "gone", http.StatusServiceUnavailable)
	return true
}

// config accepts the tokens of home and partner for the resource.
func (p *platform) config() Config {
	return Config{
		Authority: p.URL, Client: p.Client(), Tenants: []string{home, partner},
		Audiences: []string{uri, self}, Role: role, Now: p.now,
	}
}

func (p *platform) resource(t *testing.T, change ...func(*Config)) *Resource {
	t.Helper()
	c := p.config()
	for _, f := range change {
		f(&c)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// token is a token that is good at its platform's time, until changed.
type token struct {
	header, claims jsonObject
	key            *rsa.PrivateKey
}

func v1Token(now time.Time) *token {
	t := v2Token(now)
	t.header["x5t"] = "key-1"
	t.claims["ver"], t.claims["iss"], t.claims["aud"] = "1.0", v1Issuer(home), uri
	t.claims["appid"] = app
	delete(t.claims, "azp")
	return t
}

func v2Token(now time.Time) *token {
	return &token{
		header: jsonObject{"typ": "JWT", "alg": "RS256", "kid": "key-1"},
		claims: jsonObject{
			"aud": self, "iss": v2Issuer(home), "iat": now.Unix() - 300, "nbf": now.Unix() - 300, "exp": now.Unix() + 3600,
			"azp": app, "azpacr": "2", "idtyp": "app", "oid": object, "sub": object, "tid": home,
			"roles": []string{role}, "uti": "Nn0JtyZ5T0Sh6mEyZ1MAAA", "ver": "2.0",
		},
		key: firstKey(),
	}
}

func (t *token) set(name string, value any) *token {
	t.claims[name] = value
	if value == nil {
		delete(t.claims, name)
	}
	return t
}

// by signs with another key under another id.
func (t *token) by(id string, key *rsa.PrivateKey) *token {
	t.header["kid"], t.key = id, key
	return t
}

func (t *token) signed() string {
	text := segment(t.header) + "." + segment(t.claims)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, t.key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return text + "." + encode(signature)
}

func (t *token) bearer() string { return "Bearer " + t.signed() }

// unsigned has algorithm none and whatever stands for a signature.
func (t *token) unsigned(signature string) string {
	t.header["alg"] = "none"
	return segment(t.header) + "." + segment(t.claims) + "." + signature
}

// hmacSigned uses the text of the public key as a secret.
func (t *token) hmacSigned() string {
	t.header["alg"] = "HS256"
	text := segment(t.header) + "." + segment(t.claims)
	h := hmac.New(sha256.New, firstKey().N.Bytes())
	h.Write([]byte(text))
	return text + "." + encode(h.Sum(nil))
}

func segment(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return encode(data)
}

// want fails the test unless the decision has the status and its reason contains why.
func want(t *testing.T, d Decision, status int, why string) {
	t.Helper()
	switch {
	case d.Status != status:
		t.Fatalf("status %d (%s), want %d", d.Status, d.Reason, status)
	case (d.Claims != nil) != (status == http.StatusOK):
		t.Fatalf("status %d with claims %v", status, d.Claims)
	case (d.Reason == "") != (status == http.StatusOK) || !strings.Contains(d.Reason, why):
		t.Fatalf("reason %q does not contain %q", d.Reason, why)
	case strings.ContainsFunc(d.Reason, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }):
		t.Fatalf("reason %q is not fit for a header", d.Reason)
	}
}

func check(t *testing.T, r *Resource, header string, status int, why string) {
	t.Helper()
	want(t, r.Check(context.Background(), header), status, why)
}

// eventually waits for something that happens in the background.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never happened: %s", what)
}
