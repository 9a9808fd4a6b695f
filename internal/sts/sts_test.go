package sts_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/keyring"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/store"
	"github.com/avouch/avouch/internal/store/storetest"
	"github.com/avouch/avouch/internal/sts"
	"github.com/avouch/avouch/internal/trust"
)

const exchange = "api://AzureADTokenExchange"

// keys are made once for all tests: certificates differ, so one RSA key serves
// for any number of key ids.
var key = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// world is a service over a real store, with a clock that stands still and a
// directory in which a host has an identity and an application trusts it.
type world struct {
	t       *testing.T
	db      *store.DB
	ring    *keyring.Ring
	service *sts.Service

	mu  sync.Mutex
	now time.Time

	tenant   *directory.Tenant
	identity *directory.ManagedIdentity
	host     *directory.Host
	app      *directory.Application // trusts the identity
	api      *directory.Application // a resource that wants version 2 tokens
	apiHere  *directory.ServicePrincipal
	held     *directory.AppRoleAssignment
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	var err error
	if w.db, err = store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "avouch.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	sealer, err := keyring.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
	if w.ring, err = keyring.Open(t.Context(), w.db, sealer, keyring.Config{Now: clock, Generate: key}); err != nil {
		t.Fatal(err)
	}
	cloud := directory.Global()
	w.tenant = storetest.NewTenant("contoso")
	w.identity = storetest.NewIdentity(w.tenant.ID, "msi")
	w.host = storetest.NewHost(w.tenant.ID, "vm", w.identity.PrincipalID)
	w.app, w.api = storetest.NewApplication(w.tenant.ID, "app"), storetest.NewApplication(w.tenant.ID, "reports")
	w.apiHere = storetest.NewPrincipal(w.tenant.ID, w.api)
	w.held = storetest.NewAssignment(w.tenant.ID, w.identity.PrincipalID, w.apiHere.ID, w.api.AppRoles[1].ID)
	w.change(func(tx manage.Tx) error {
		if err := tx.InsertTenant(w.tenant); err != nil {
			return err
		}
		for _, fp := range cloud.FirstParties() {
			if err := tx.InsertPrincipal(&directory.ServicePrincipal{
				Tenant: w.tenant.ID, ID: directory.NewObjectID(), ClientID: fp.ClientID, Kind: directory.ApplicationPrincipal,
				Name: fp.Name, HomeTenant: fp.Owner, Names: append([]string{fp.ClientID.String()}, fp.URIs...),
			}); err != nil {
				return err
			}
		}
		for _, step := range []func() error{
			func() error { return tx.InsertPrincipal(identityPrincipal(w.identity)) },
			func() error { return tx.InsertIdentity(w.identity) },
			func() error { return tx.InsertHost(w.host) },
			func() error { return tx.InsertApplication(w.app) },
			func() error { return tx.InsertPrincipal(storetest.NewPrincipal(w.tenant.ID, w.app)) },
			func() error { return tx.InsertApplication(w.api) },
			func() error { return tx.InsertPrincipal(w.apiHere) },
			func() error { return tx.InsertAssignment(w.held) },
			func() error {
				return tx.InsertCredential(w.tenant.ID, w.app.ID, &directory.FederatedCredential{
					ID: directory.NewObjectID(), Name: "msi", Issuer: cloud.V2IssuerOf(w.tenant.ID), Subject: w.identity.PrincipalID.String(), Audience: exchange,
				})
			},
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	w.service = sts.New(sts.Config{Cloud: cloud, Directory: w.db.Directory(cloud), Keys: w.ring, Now: clock})
	return w
}

func identityPrincipal(m *directory.ManagedIdentity) *directory.ServicePrincipal {
	return &directory.ServicePrincipal{
		Tenant: m.Tenant, ID: m.PrincipalID, ClientID: m.ClientID, Kind: directory.IdentityPrincipal,
		Name: m.Name, HomeTenant: m.Tenant, Names: []string{m.ClientID.String()},
	}
}

func (w *world) change(fn func(manage.Tx) error) {
	w.t.Helper()
	if err := w.db.Change(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) request(resource string) sts.IdentityRequest {
	return sts.IdentityRequest{Tenant: w.tenant.ID, Host: w.host.ID, SoleUser: true, Resource: resource}
}

func (w *world) ask(resource string) *sts.IdentityResponse {
	w.t.Helper()
	response, err := w.service.Identity(context.Background(), w.request(resource), &audit.SignIn{})
	if err != nil {
		w.t.Fatal(err)
	}
	return response
}

// refused checks that the identity gets no token, and why.
func (w *world) refused(resource string, want trust.Reason) {
	w.t.Helper()
	_, err := w.service.Identity(context.Background(), w.request(resource), &audit.SignIn{})
	if refusal, ok := sts.AsRefusal(err); !ok || refusal.Reason != want {
		w.t.Errorf("%v, want refused: %s", err, want)
	}
}

func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAskingOftenSignsOnce: ten thousand requests, from many sides at once,
// cost one signature.
func TestAskingOftenSignsOnce(t *testing.T) {
	w := newWorld(t)
	tokens := make([]map[string]bool, 8)
	signed := make([]int, len(tokens))
	var wg sync.WaitGroup
	for i := range tokens {
		tokens[i] = make(map[string]bool)
		wg.Go(func() {
			for range 10_000 / len(tokens) {
				var rec audit.SignIn
				response, err := w.service.Identity(context.Background(), w.request(exchange), &rec)
				if err != nil {
					t.Error(err)
					return
				}
				tokens[i][response.Token] = true
				if !response.Cached {
					signed[i]++
				}
				if !response.Cached != (rec.KeyID != "") {
					t.Error("the record says otherwise about who signed")
				}
			}
		})
	}
	wg.Wait()
	all, signatures := make(map[string]bool), 0
	for i := range tokens {
		signatures += signed[i]
		for token := range tokens[i] {
			all[token] = true
		}
	}
	if len(all) != 1 || signatures != 1 {
		t.Errorf("%d tokens, %d signatures", len(all), signatures)
	}
}

func TestHalfLife(t *testing.T) {
	w := newWorld(t)
	first := w.ask(exchange)
	if got := first.Expires.Sub(first.NotBefore); got != 24*time.Hour+300*time.Second {
		t.Errorf("life %v", got)
	}
	if got := first.Now.Sub(first.NotBefore); got != 300*time.Second {
		t.Errorf("valid from %v ago", got)
	}
	for _, step := range []struct {
		pass time.Duration
		same bool
	}{
		{time.Minute, true},
		{11 * time.Hour, true},
		{56*time.Minute + 29*time.Second, true},
		{2 * time.Second, false}, // half of 24 hours and 5 minutes, counted from nbf
		{time.Second, true},
		{-time.Minute, true},       // a clock that was set back a little
		{-20 * time.Minute, false}, // the token would not be valid yet
		{300 * 24 * time.Hour, false},
	} {
		w.pass(step.pass)
		next := w.ask(exchange)
		if (next.Token == first.Token) != step.same || next.Cached != step.same {
			t.Errorf("after %v: same token %t, cached %t, want %t", step.pass, next.Token == first.Token, next.Cached, step.same)
		}
		first = next
	}
	fresh := w.request(exchange)
	fresh.Fresh = true
	response, err := w.service.Identity(context.Background(), fresh, &audit.SignIn{})
	if err != nil || response.Cached || response.Token == first.Token {
		t.Errorf("a fresh token was asked for: cached %t, %v", response.Cached, err)
	}
	if again := w.ask(exchange); again.Token != response.Token {
		t.Error("the fresh token was not kept")
	}
}

// TestChangesMakeKeptTokensStale: after each change that the token would
// show, the very next request gets a token that shows it.
func TestChangesMakeKeptTokensStale(t *testing.T) {
	w := newWorld(t)
	const api = "api://reports"
	for _, row := range []struct {
		change string
		do     func(manage.Tx) error
		shows  func(map[string]any) bool
	}{
		{"a second role", func(tx manage.Tx) error {
			return tx.InsertAssignment(storetest.NewAssignment(w.tenant.ID, w.identity.PrincipalID, w.apiHere.ID, w.api.AppRoles[0].ID))
		}, func(c map[string]any) bool { return fmt.Sprint(c["roles"]) == "[Read Write]" }},
		{"a role less", func(tx manage.Tx) error { return tx.DeleteAssignment(w.tenant.ID, w.held.ID) },
			func(c map[string]any) bool { return fmt.Sprint(c["roles"]) == "[Write]" }},
		{"a role of another name", func(tx manage.Tx) error {
			w.api.AppRoles[0].Value = "Write.All"
			return tx.UpdateApplication(w.api)
		}, func(c map[string]any) bool { return fmt.Sprint(c["roles"]) == "[Write.All]" }},
		{"a role that was switched off", func(tx manage.Tx) error {
			w.api.AppRoles[0].Disabled = true
			return tx.UpdateApplication(w.api)
		}, func(c map[string]any) bool { return c["roles"] == nil }},
		{"another token version", func(tx manage.Tx) error {
			w.api.TokenVersion = directory.V1
			return tx.UpdateApplication(w.api)
		}, func(c map[string]any) bool { return c["ver"] == "1.0" && c["aud"] == api }},
		{"and back", func(tx manage.Tx) error {
			w.api.TokenVersion = directory.V2
			return tx.UpdateApplication(w.api)
		}, func(c map[string]any) bool { return c["ver"] == "2.0" && c["aud"] == w.api.ClientID.String() }},
		{"another resource id of the identity", func(tx manage.Tx) error {
			w.identity.ResourceID = "/subscriptions/s/moved"
			return tx.UpdateIdentity(w.identity)
		}, func(c map[string]any) bool { return c["xms_mirid"] == "/subscriptions/s/moved" }},
		{"another resource id of the host", func(tx manage.Tx) error {
			w.host.ResourceGroup, w.host.ResourceID = "Moved", "/subscriptions/s/vm-moved"
			return tx.UpdateHost(w.host)
		}, func(c map[string]any) bool { return c["xms_az_rid"] == "/subscriptions/s/vm-moved" }},
		{"another application under the same URI", func(tx manage.Tx) error {
			w.api.IdentifierURIs = nil
			w.apiHere.Names = []string{w.api.ClientID.String()}
			if err := tx.UpdateApplication(w.api); err != nil {
				return err
			}
			if err := tx.UpdatePrincipal(w.apiHere); err != nil {
				return err
			}
			w.api = storetest.NewApplication(w.tenant.ID, "successor")
			w.api.IdentifierURIs = []string{api}
			w.apiHere = storetest.NewPrincipal(w.tenant.ID, w.api)
			if err := tx.InsertApplication(w.api); err != nil {
				return err
			}
			return tx.InsertPrincipal(w.apiHere)
		}, func(c map[string]any) bool { return c["aud"] == w.api.ClientID.String() }},
	} {
		before := w.ask(api)
		if !w.ask(api).Cached {
			t.Errorf("before %s: not kept", row.change)
		}
		w.change(row.do)
		after := w.ask(api)
		if after.Token == before.Token {
			t.Errorf("after %s: the old token", row.change)
		}
		if c := claims(t, after.Token); !row.shows(c) {
			t.Errorf("after %s: %v", row.change, c)
		}
	}
	before := w.ask(api)
	w.change(func(tx manage.Tx) error {
		w.tenant.DisplayName = "Renamed"
		return tx.UpdateTenant(w.tenant)
	})
	if w.ask(api).Token != before.Token {
		t.Error("a change that no token shows made one stale")
	}
}

// TestWhatIsTakenFromAnIdentity: with a kept token at hand, each thing that is
// taken away refuses the very next request, fifty times over (threats F10).
func TestWhatIsTakenFromAnIdentity(t *testing.T) {
	w := newWorld(t)
	principal := identityPrincipal(w.identity)
	for _, row := range []struct {
		what       string
		take, give func(manage.Tx) error
		reason     trust.Reason
	}{
		{"the identity, disabled", func(tx manage.Tx) error { w.identity.Disabled = true; return tx.UpdateIdentity(w.identity) },
			func(tx manage.Tx) error { w.identity.Disabled = false; return tx.UpdateIdentity(w.identity) }, trust.IdentityDisabled},
		{"its principal, disabled", func(tx manage.Tx) error { principal.Disabled = true; return tx.UpdatePrincipal(principal) },
			func(tx manage.Tx) error { principal.Disabled = false; return tx.UpdatePrincipal(principal) }, trust.IdentityDisabled},
		{"its place on the host", func(tx manage.Tx) error { w.host.Identities = nil; return tx.UpdateHost(w.host) },
			func(tx manage.Tx) error {
				w.host.Identities = []directory.ObjectID{w.identity.PrincipalID}
				return tx.UpdateHost(w.host)
			}, trust.IdentityNone},
		{"the host", func(tx manage.Tx) error { return tx.DeleteHost(w.tenant.ID, w.host.ID) },
			func(tx manage.Tx) error { return tx.InsertHost(w.host) }, trust.HostUnknown},
	} {
		t.Run(row.what, func(t *testing.T) {
			for range 50 {
				w.ask(exchange)
				w.change(row.take)
				w.refused(exchange, row.reason)
				w.change(row.give)
				w.ask(exchange)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestDisabledIdentityCannotProveAnything: the exchange looks at the identity
// as it is now, not as the proof has it, fifty times over.
func TestDisabledIdentityCannotProveAnything(t *testing.T) {
	w := newWorld(t)
	request := sts.Request{Tenant: w.tenant.ID.String(), ClientID: w.app.ClientID.String(), Assertion: w.ask(exchange).Token, Resource: "https://storage.azure.com"}
	for range 50 {
		for _, disabled := range []bool{false, true} {
			w.identity.Disabled = disabled
			w.change(func(tx manage.Tx) error { return tx.UpdateIdentity(w.identity) })
			_, err := w.service.Exchange(context.Background(), request, &audit.SignIn{})
			refusal, ok := sts.AsRefusal(err)
			if disabled && (!ok || refusal.Reason != trust.IdentityDisabled) || !disabled && err != nil {
				t.Fatalf("disabled %t: %v", disabled, err)
			}
		}
	}
}

// TestRefusedIdentityIsNamed: the refusal says which identity is disabled,
// whether or not the request named it.
func TestRefusedIdentityIsNamed(t *testing.T) {
	w := newWorld(t)
	w.identity.Disabled = true
	w.change(func(tx manage.Tx) error { return tx.UpdateIdentity(w.identity) })
	for _, want := range []trust.Selector{{}, {ClientID: w.identity.ClientID}, {ObjectID: w.identity.PrincipalID}, {ResourceID: w.identity.ResourceID}} {
		request := w.request(exchange)
		request.Want = want
		_, err := w.service.Identity(context.Background(), request, &audit.SignIn{})
		refusal, ok := sts.AsRefusal(err)
		if !ok || refusal.Reason != trust.IdentityDisabled || refusal.Value != w.identity.PrincipalID.String() {
			t.Errorf("asked for %+v: %v names %q", want, err, refusal.Value)
		}
	}
}

// TestExplainSaysWhatExchangeDoes, without issuing or recording anything.
func TestExplainSaysWhatExchangeDoes(t *testing.T) {
	w := newWorld(t)
	good := sts.Request{Tenant: w.tenant.ID.String(), ClientID: w.app.ClientID.String(), Assertion: w.ask(exchange).Token, Resource: "https://storage.azure.com"}
	change := func(f func(*sts.Request)) sts.Request { r := good; f(&r); return r }
	digest := sha256.Sum256([]byte("e30.e30"))
	signature, err := w.ring.Active().Sign(digest)
	if err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]sts.Request{
		"good":              good,
		"an unknown tenant": change(func(r *sts.Request) { r.Tenant = "unknown.example" }),
		"an unknown client": change(func(r *sts.Request) { r.ClientID = directory.NewClientID().String() }),
		"no client id":      change(func(r *sts.Request) { r.ClientID = "x" }),
		"no token":          change(func(r *sts.Request) { r.Assertion = "x" }),
		"an empty token":    change(func(r *sts.Request) { r.Assertion = "e30.e30." + base64.RawURLEncoding.EncodeToString(signature) }),
		"another resource":  change(func(r *sts.Request) { r.Resource = "api://nothing" }),
		"another client":    change(func(r *sts.Request) { r.ClientID = w.api.ClientID.String() }),
		"storage's token":   change(func(r *sts.Request) { r.Assertion = w.ask("https://storage.azure.com").Token }),
	} {
		t.Run(name, func(t *testing.T) {
			e, err := w.service.Explain(context.Background(), request)
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.service.Exchange(context.Background(), request, &audit.SignIn{})
			refusal, _ := sts.AsRefusal(err)
			if (refusal == nil) != (e.Refusal == nil) || refusal != nil && refusal.Reason != e.Refusal.Reason {
				t.Errorf("explained as %v, answered with %v", e.Refusal, err)
			}
		})
	}
	signIns, err := w.db.SignIns(context.Background(), audit.Query{})
	if err != nil || len(signIns) != 0 {
		t.Errorf("%d records, %v", len(signIns), err)
	}
}

// TestManyTokensAtOnce mixes identities' and applications' tokens with changes
// under the race detector: every answer is a token of the asked-for resource.
func TestManyTokensAtOnce(t *testing.T) {
	w := newWorld(t)
	proof := w.ask(exchange).Token
	resources := []string{exchange, "https://storage.azure.com", "https://storage.azure.com/", "https://graph.microsoft.com", "api://reports"}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 40 {
				resource := resources[(i+n)%len(resources)]
				response, err := w.service.Identity(context.Background(), w.request(resource), &audit.SignIn{})
				if err != nil {
					t.Error(err)
					return
				}
				aud := claims(t, response.Token)["aud"]
				if !slices.Contains([]any{resource, directory.Global().ExchangeID.String(), w.api.ClientID.String()}, aud) || response.Resource != resource {
					t.Errorf("asked for %s, got a token for %v", resource, aud)
				}
				request := sts.Request{Tenant: w.tenant.Domains[0], ClientID: w.app.ClientID.String(), Assertion: proof, Resource: "https://storage.azure.com"}
				if n%8 == 0 {
					if _, err := w.service.Exchange(context.Background(), request, &audit.SignIn{}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for i := range 20 {
		role := w.api.AppRoles[1]
		w.change(func(tx manage.Tx) error {
			app := *w.api
			app.AppRoles = slices.Clone(app.AppRoles)
			role.Description = fmt.Sprint("change ", i)
			app.AppRoles[1] = role
			return tx.UpdateApplication(&app)
		})
	}
	wg.Wait()
}
