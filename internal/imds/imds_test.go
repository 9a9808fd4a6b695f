package imds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/sts"
	"github.com/avouch/avouch/internal/trust"
)

var (
	contoso  = directory.MustTenantID("3d1e2be9-a10a-4a0c-8380-7ce190f98ed9")
	webVM    = directory.MustObjectID("11111111-1111-4111-8111-111111111111")
	webApp   = directory.MustObjectID("22222222-2222-4222-8222-222222222222")
	otherApp = directory.MustObjectID("33333333-3333-4333-8333-333333333333")

	start = time.Date(2026, 11, 21, 1, 45, 54, 0, time.UTC)

	msi1 = &directory.ManagedIdentity{
		Tenant: contoso, Kind: directory.UserAssigned, Name: "msi-webapp1",
		ClientID:    directory.MustClientID("aaaaaaaa-0000-4000-8000-000000000001"),
		PrincipalID: directory.MustObjectID("bbbbbbbb-0000-4000-8000-000000000001"),
		ResourceID:  "/subscriptions/s/resourcegroups/web/providers/Microsoft.ManagedIdentity/userAssignedIdentities/msi-webapp1",
	}
	msi2 = &directory.ManagedIdentity{
		Tenant: contoso, Kind: directory.UserAssigned, Name: "msi-webapp2",
		ClientID:    directory.MustClientID("aaaaaaaa-0000-4000-8000-000000000002"),
		PrincipalID: directory.MustObjectID("bbbbbbbb-0000-4000-8000-000000000002"),
		ResourceID:  "/subscriptions/s/resourcegroups/web/providers/Microsoft.ManagedIdentity/userAssignedIdentities/msi-webapp2",
	}
	system = &directory.ManagedIdentity{
		Tenant: contoso, Kind: directory.SystemAssigned, Name: "web-vm",
		ClientID:    directory.MustClientID("aaaaaaaa-0000-4000-8000-00000000000f"),
		PrincipalID: directory.MustObjectID("bbbbbbbb-0000-4000-8000-00000000000f"),
	}
)

const (
	exchange = "api://AzureADTokenExchange"
	canary   = "canary-eyJhbGciOi.token.text"

	msi1Client   = "client_id=aaaaaaaa-0000-4000-8000-000000000001"
	msi1Object   = "object_id=bbbbbbbb-0000-4000-8000-000000000001"
	msi1Resource = "/subscriptions/s/resourcegroups/web/providers/Microsoft.ManagedIdentity/userAssignedIdentities/msi-webapp1"
)

// fakeIssuer has hosts with identities, and decides as the real one does.
type fakeIssuer struct {
	mu       sync.Mutex
	assigned map[directory.ObjectID][]*directory.ManagedIdentity
	fault    error
	cached   bool
	asked    []sts.IdentityRequest
	block    chan struct{} // when not nil, requests wait for it
}

func (f *fakeIssuer) Identity(ctx context.Context, req sts.IdentityRequest, rec *audit.SignIn) (*sts.IdentityResponse, error) {
	f.mu.Lock()
	f.asked = append(f.asked, req)
	assigned, known := f.assigned[req.Host]
	fault, cached, block := f.fault, f.cached, f.block
	f.mu.Unlock()
	if block != nil {
		<-block
	}
	if fault != nil {
		return nil, fault
	}
	if !known {
		return nil, &sts.Refusal{Reason: trust.HostUnknown, Value: req.Host.String()}
	}
	rec.Tenant, rec.Host, rec.Resource = req.Tenant, "web-vm", req.Resource
	identity, reason := trust.ChooseIdentity(assigned, req.Want, req.SoleUser)
	if reason != "" {
		var names []string
		for _, m := range assigned {
			names = append(names, m.Name)
		}
		return nil, &sts.Refusal{Reason: reason, Detail: "host web-vm has " + strings.Join(names, ", ")}
	}
	rec.ClientID = identity.ClientID
	if req.Resource != exchange && !strings.HasPrefix(req.Resource, "https://") {
		return nil, &sts.Refusal{Reason: trust.ResourceUnknown, Value: req.Resource}
	}
	rec.TokenID, rec.Token = "uti", audit.HashOf(canary)
	return &sts.IdentityResponse{
		Token: canary, Resource: req.Resource, Identity: identity,
		NotBefore: start.Add(-5 * time.Minute), Expires: start.Add(24*time.Hour - time.Second), Now: start,
		Cached: cached && !req.Fresh,
	}, nil
}

func (f *fakeIssuer) last(t *testing.T) sts.IdentityRequest {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 {
		t.Fatal("the issuer was not asked")
	}
	return f.asked[len(f.asked)-1]
}

type records struct {
	mu  sync.Mutex
	all []audit.SignIn
}

func (r *records) Record(rec audit.SignIn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, rec)
}

func (r *records) list() []audit.SignIn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]audit.SignIn(nil), r.all...)
}

// platform is the endpoints with everything around them replaced.
type platform struct {
	issuer  *fakeIssuer
	records *records
	log     *bytes.Buffer
	secrets *Secrets
	now     time.Time
	vm, app http.Handler
}

func newPlatform(t testing.TB, edit ...func(*Config)) *platform {
	t.Helper()
	p := &platform{
		issuer: &fakeIssuer{assigned: map[directory.ObjectID][]*directory.ManagedIdentity{
			webVM: {msi1}, webApp: {msi1, system}, otherApp: {msi1, msi2},
		}},
		records: &records{}, log: &bytes.Buffer{}, secrets: NewSecrets(), now: start,
	}
	cfg := Config{
		Issuer: p.issuer, Records: p.records, Now: func() time.Time { return p.now },
		Log: slog.New(slog.NewTextHandler(&lockedWriter{w: p.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Describe: func(r *sts.Refusal) (int, string, string) {
			switch r.Reason {
			case trust.ResourceUnknown:
				return 12345, "invalid_resource", "The resource principal named " + r.Value + " was not found."
			case trust.IdentityDisabled:
				return 12346, "unauthorized_client", "The managed identity is disabled."
			}
			t.Errorf("Describe was asked about %s", r.Reason)
			return 1, "temporarily_unavailable", "?"
		},
	}
	for _, e := range edit {
		e(&cfg)
	}
	s := New(cfg)
	var err error
	if p.vm, err = s.VirtualMachine(contoso, webVM, "169.254.169.254", "127.0.0.1:41231"); err != nil {
		t.Fatal(err)
	}
	if p.app, err = s.AppService(p.secrets, "127.0.0.1:41232", "localhost:41232"); err != nil {
		t.Fatal(err)
	}
	return p
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// vmRequest is what a good client sends, before the edits.
func vmRequest(target string, edit ...func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = "169.254.169.254"
	r.Header.Set("Metadata", "true")
	for _, e := range edit {
		e(r)
	}
	return r
}

func (p *platform) appRequest(target string, edit ...func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = "127.0.0.1:41232"
	r.Header.Set("X-IDENTITY-HEADER", p.secrets.Of(contoso, webApp).Reveal())
	for _, e := range edit {
		e(r)
	}
	return r
}

func header(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del(name)
		for _, v := range values {
			r.Header.Add(name, v)
		}
	}
}

// serve answers one request and checks what holds for every answer.
func serve(t testing.TB, h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if ct := w.Header().Get("Content-Type"); ct != "application/json; charset=utf-8" {
		t.Errorf("Content-Type %q", ct)
	}
	if cc := w.Header().Get("Cache-Control"); cc != "no-store" {
		t.Errorf("Cache-Control %q", cc)
	}
	for name := range w.Header() {
		if strings.HasPrefix(name, "Access-Control-") || name == "Location" {
			t.Errorf("header %s is never sent", name)
		}
	}
	if w.Code >= 300 && w.Code < 400 {
		t.Errorf("status %d redirects", w.Code)
	}
	if w.Code != http.StatusOK && strings.Contains(w.Body.String(), canary) {
		t.Errorf("status %d gives out a token", w.Code)
	}
	if w.Code == http.StatusForbidden && strings.Contains(strings.ToLower(w.Body.String()), "unreachable") {
		t.Errorf("clients take this 403 for a broken proxy: %s", w.Body)
	}
	if n := w.Header().Get("Content-Length"); n != fmt.Sprint(w.Body.Len()) {
		t.Errorf("Content-Length %s, body %d", n, w.Body.Len())
	}
	return w
}

func TestConstruction(t *testing.T) {
	s := New(Config{})
	for name, err := range map[string]error{
		"no host names":   second(s.VirtualMachine(contoso, webVM)),
		"empty host name": second(s.VirtualMachine(contoso, webVM, "")),
		"wildcard":        second(s.VirtualMachine(contoso, webVM, "*")),
		"a URL":           second(s.VirtualMachine(contoso, webVM, "http://127.0.0.1")),
		"no tenant":       second(s.VirtualMachine(directory.TenantID{}, webVM, "localhost")),
		"no host":         second(s.VirtualMachine(contoso, directory.ObjectID{}, "localhost")),
		"no secrets":      second(s.AppService(nil, "localhost")),
		"app no names":    second(s.AppService(NewSecrets())),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestRecords(t *testing.T) {
	const good = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" + exchange
	correlated := header("x-ms-client-request-id", "5C5D1BF4-3C1F-4D2A-8C8E-0A1B2C3D4E5F")
	tests := []struct {
		name    string
		setup   func(*platform)
		request func(*platform) *http.Request
		app     bool
		want    string // outcome reason code; "" for no record
	}{
		{"minted", nil, func(*platform) *http.Request { return vmRequest(good) }, false, "success  0"},
		{"from memory", func(p *platform) { p.issuer.cached = true }, func(*platform) *http.Request { return vmRequest(good) }, false, ""},
		{"asked anew", func(p *platform) { p.issuer.cached = true }, func(*platform) *http.Request { return vmRequest(good + "&bypass_cache=TRUE") }, false, "success  0"},
		{"not assigned", nil, func(*platform) *http.Request {
			return vmRequest(good + "&object_id=bbbbbbbb-0000-4000-8000-000000000002")
		}, false, "refused identity-not-assigned 0"},
		{"malformed id", nil, func(*platform) *http.Request { return vmRequest(good + "&client_id=msi-webapp1") }, false, "refused identity-not-assigned 0"},
		{"unknown resource", nil, func(*platform) *http.Request {
			return vmRequest("/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api://nobody")
		}, false, "refused resource-unknown 12345"},
		{"fault", func(p *platform) { p.issuer.fault = errors.New("disk on fire") }, func(*platform) *http.Request { return vmRequest(good) }, false, "failed  0"},
		{"bad form", nil, func(*platform) *http.Request { return vmRequest(good + "&resource=x") }, false, "refused request 0"},
		{"no resource", nil, func(*platform) *http.Request {
			return vmRequest("/metadata/identity/oauth2/token?api-version=2018-02-01")
		}, false, "refused request 0"},
		{"probe", nil, func(*platform) *http.Request { return vmRequest(good, header("Metadata")) }, false, ""},
		{"foreign host", nil, func(*platform) *http.Request {
			return vmRequest(good, func(r *http.Request) { r.Host = "evil.example" })
		}, false, ""},
		{"wrong secret", nil, func(p *platform) *http.Request {
			return p.appRequest("/msi/token?api-version=2019-08-01&resource="+exchange, header("X-IDENTITY-HEADER", "guess"))
		}, true, "refused host-secret 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			if tt.setup != nil {
				tt.setup(p)
			}
			h, r := p.vm, tt.request(p)
			if tt.app {
				h = p.app
			}
			correlated(r)
			w := serve(t, h, r)
			all := p.records.list()
			if tt.want == "" {
				if len(all) != 0 {
					t.Fatalf("recorded %+v", all)
				}
				return
			}
			if len(all) != 1 {
				t.Fatalf("%d records", len(all))
			}
			rec := all[0]
			if got := fmt.Sprintf("%s %s %d", rec.Outcome, rec.Reason, rec.Code); got != tt.want {
				t.Errorf("recorded %q, want %q", got, tt.want)
			}
			if rec.Kind != audit.IdentitySignIn || rec.Source != "192.0.2.1" || !rec.Time.Equal(start) {
				t.Errorf("kind %q, source %q, time %s", rec.Kind, rec.Source, rec.Time)
			}
			if rec.Correlation != "5c5d1bf4-3c1f-4d2a-8c8e-0a1b2c3d4e5f" {
				t.Errorf("correlation %q", rec.Correlation)
			}
			if rec.ID == "" || rec.ID != w.Header().Get("X-Ms-Request-Id") {
				t.Errorf("record %q, answer %q", rec.ID, w.Header().Get("X-Ms-Request-Id"))
			}
			if !tt.app && (rec.Tenant != contoso || rec.Host == "") {
				t.Errorf("tenant %s, host %q", rec.Tenant, rec.Host)
			}
		})
	}
}

// TestTenThousand asks often: the issuer decides each time, nothing is
// remembered here, and nothing is recorded but the minting.
func TestTenThousand(t *testing.T) {
	p := newPlatform(t, func(c *Config) { c.Log = slog.New(slog.DiscardHandler) })
	const target = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" + exchange
	const times = 10_000
	serve(t, p.vm, vmRequest(target))
	p.issuer.cached = true
	for range times - 1 {
		if w := serve(t, p.vm, vmRequest(target)); w.Code != http.StatusOK {
			t.Fatalf("status %d", w.Code)
		}
	}
	if n := len(p.issuer.asked); n != times {
		t.Errorf("the issuer was asked %d times", n)
	}
	if n := len(p.records.list()); n != 1 {
		t.Errorf("%d records", n)
	}
}

func TestFaultsStayInside(t *testing.T) {
	p := newPlatform(t)
	p.issuer.fault = errors.New("disk on fire")
	const q = "?api-version=2019-08-01&resource=" + exchange
	for _, w := range []*httptest.ResponseRecorder{
		serve(t, p.vm, vmRequest(vmToken+q)), serve(t, p.app, p.appRequest(AppServicePath+q)),
	} {
		if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "fire") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if !strings.Contains(p.log.String(), "disk on fire") {
		t.Error("the fault was not logged")
	}
}

func TestPanicIsAnswered(t *testing.T) {
	p := newPlatform(t)
	p.issuer = nil
	s := New(Config{Issuer: panicIssuer{}, Records: p.records, Log: slog.New(slog.DiscardHandler)})
	h, err := s.VirtualMachine(contoso, webVM, "169.254.169.254")
	if err != nil {
		t.Fatal(err)
	}
	if w := serve(t, h, vmRequest(vmToken+"?api-version=2018-02-01&resource=x")); w.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type panicIssuer struct{}

func (panicIssuer) Identity(context.Context, sts.IdentityRequest, *audit.SignIn) (*sts.IdentityResponse, error) {
	panic("no")
}

func TestThrottle(t *testing.T) {
	const q = "?api-version=2019-08-01&resource=" + exchange
	p := newPlatform(t, func(c *Config) { c.Throttle = true })
	for i := range throttleBurst {
		if w := serve(t, p.vm, vmRequest(vmToken+q)); w.Code != http.StatusOK {
			t.Fatalf("request %d: %d", i, w.Code)
		}
	}
	w := serve(t, p.vm, vmRequest(vmToken+q))
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	golden(t, w, `{"error":"too_many_requests","error_description":"Too many requests for managed identity tokens from this host; try again in a second."}`)
	if n := len(p.records.list()); n != throttleBurst {
		t.Errorf("%d records", n)
	}
	if w := serve(t, p.app, p.appRequest(AppServicePath+q)); w.Code != http.StatusOK {
		t.Errorf("another host is throttled too: %d", w.Code)
	}
	if w := serve(t, p.vm, vmRequest(vmVersions)); w.Code != http.StatusOK {
		t.Errorf("what costs nothing is throttled: %d", w.Code)
	}
	p.now = p.now.Add(time.Second)
	for i := range throttleRate {
		if w := serve(t, p.vm, vmRequest(vmToken+q)); w.Code != http.StatusOK {
			t.Fatalf("a second later, request %d: %d", i, w.Code)
		}
	}
	if w := serve(t, p.vm, vmRequest(vmToken+q)); w.Code != http.StatusTooManyRequests {
		t.Errorf("%d", w.Code)
	}

	p = newPlatform(t, func(c *Config) { c.Throttle = true })
	p.issuer.block = make(chan struct{})
	var wg sync.WaitGroup
	for range throttleOpen {
		wg.Go(func() { serve(t, p.vm, vmRequest(vmToken+q)) })
	}
	for {
		p.issuer.mu.Lock()
		n := len(p.issuer.asked)
		p.issuer.mu.Unlock()
		if n == throttleOpen {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if w := serve(t, p.vm, vmRequest(vmToken+q)); w.Code != http.StatusTooManyRequests {
		t.Errorf("a sixth at once: %d", w.Code)
	}
	close(p.issuer.block)
	wg.Wait()
	if w := serve(t, p.vm, vmRequest(vmToken+q)); w.Code != http.StatusOK {
		t.Errorf("after the crowd: %d", w.Code)
	}

	p = newPlatform(t)
	for i := range 500 {
		if w := serve(t, p.vm, vmRequest(vmToken+q)); w.Code != http.StatusOK {
			t.Fatalf("throttled without being told, request %d: %d", i, w.Code)
		}
	}
}

func golden(t *testing.T, w *httptest.ResponseRecorder, want string) {
	t.Helper()
	if got := w.Body.String(); got != want {
		t.Errorf("status %d, body\n got %s\nwant %s", w.Code, got, want)
	}
}
