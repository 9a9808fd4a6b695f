package armapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/armapi"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/store"
	"github.com/avouch/avouch/internal/sts"
)

// The world that every test of the surface starts in.
const (
	contoso  = "3d1e2be9-a10a-4a0c-8380-7ce190f98ed9"
	fabrikam = "7a0b4f7e-5a3c-4d53-9d2f-16c8a6a6a001"

	ours    = "eeeeeeee-0000-4000-8000-000000000001" // contoso's subscription
	theirs  = "eeeeeeee-0000-4000-8000-0000000000f1" // fabrikam's
	nobodys = "eeeeeeee-0000-4000-8000-0000000000ff"

	msi       = "bbbbbbbb-0000-4000-8000-000000000001" // principal id of msi-webapp1
	msiClient = "aaaaaaaa-0000-4000-8000-000000000001"
	team      = "99999999-0000-4000-8000-000000000001" // a group that ada is in

	owner       = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	contributor = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	reader      = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	blobReader  = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
	idManager   = "e40ec5ca-96e0-45a2-b4ff-59039f2c2b59" // Managed Identity Contributor

	sub   = "/subscriptions/" + ours
	web   = sub + "/resourceGroups/web"
	lower = sub + "/resourcegroups/web"
	uami  = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/"
	roles = "/providers/Microsoft.Authorization/"

	v    = "?api-version=2023-01-31"
	base = "https://localhost:8443/arm"
)

const worldYAML = `
tenants:
  - name: contoso
    id: ` + contoso + `
    displayName: Contoso Ltd
    domains: [contoso.example]
    subscription: ` + ours + `
    managedIdentities:
      - {name: msi-webapp1, resourceGroup: web, location: westeurope, principalId: ` + msi + `, clientId: ` + msiClient + `}
    hosts:
      - {name: web-app, kind: webApp, resourceGroup: web, location: westeurope, identities: [msi-webapp1]}
      - {name: web-vm, kind: virtualMachine, resourceGroup: web, location: westeurope, systemAssigned: true}
    applications:
      - {name: owner, id: 11111111-0000-4000-8000-000000000001, clientId: cccccccc-0000-4000-8000-000000000001}
      - {name: reader, id: 11111111-0000-4000-8000-000000000002, clientId: cccccccc-0000-4000-8000-000000000002}
      - {name: contributor, id: 11111111-0000-4000-8000-000000000003, clientId: cccccccc-0000-4000-8000-000000000003}
      - {name: nobody, id: 11111111-0000-4000-8000-000000000004, clientId: cccccccc-0000-4000-8000-000000000004}
      - {name: webreader, id: 11111111-0000-4000-8000-000000000005, clientId: cccccccc-0000-4000-8000-000000000005}
      - {name: idmanager, id: 11111111-0000-4000-8000-000000000006, clientId: cccccccc-0000-4000-8000-000000000006}
      - {name: vmmaker, id: 11111111-0000-4000-8000-000000000007, clientId: cccccccc-0000-4000-8000-000000000007}
  - name: fabrikam
    id: ` + fabrikam + `
    domains: [fabrikam.example]
    subscription: ` + theirs + `
    managedIdentities:
      - {name: msi-fabrikam, resourceGroup: fab}
    hosts:
      - {name: fab-vm, kind: virtualMachine, resourceGroup: fab}
    applications:
      - {name: fab-owner, id: 11111111-0000-4000-8000-0000000000f1, clientId: cccccccc-0000-4000-8000-0000000000f1}
`

var operator = manage.Caller{Actor: audit.Actor{Kind: "system", Name: "test"}}

type world struct {
	t       testing.TB
	db      *store.DB
	manage  *manage.Service
	api     *armapi.API
	handler http.Handler
	callers map[string]*access.Caller
}

func newWorld(t testing.TB) *world { return newWorldWith(t, func(*armapi.Config) {}) }

func newWorldWith(t testing.TB, edit func(*armapi.Config)) *world {
	t.Helper()
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	db, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "avouch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	log := slog.New(slog.NewTextHandler(logger{t}, nil))
	w := &world{t: t, db: db, manage: manage.New(db, directory.Global(), now, log), callers: make(map[string]*access.Caller)}
	dir, err := config.ParseDirectory("world.yaml", []byte(worldYAML))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.manage.Apply(context.Background(), operator, []*config.Directory{dir}, manage.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	cfg := armapi.Config{Manage: w.manage, Authenticate: w.authenticate, Cloud: directory.Global(), Log: log, Now: now,
		Endpoints: armapi.Endpoints{Login: "https://localhost:8443/", Graph: "https://localhost:8443/graph", ResourceManager: base}}
	edit(&cfg)
	w.api = armapi.New(cfg)
	if w.handler, err = w.api.Handler(base); err != nil {
		t.Fatal(err)
	}
	w.people()
	return w
}

// people gives the callers their rights: applications by their names, and the
// user ada, who owns the subscription through a group.
func (w *world) people() {
	w.t.Helper()
	tenant, other := directory.MustTenantID(contoso), directory.MustTenantID(fabrikam)
	grants := []struct{ app, role, scope string }{
		{"owner", owner, sub}, {"reader", reader, sub}, {"contributor", contributor, sub}, {"webreader", reader, web},
		{"idmanager", idManager, sub}, {"fab-owner", owner, "/subscriptions/" + theirs},
		// vmmaker may do anything but with identities elsewhere.
		{"vmmaker", contributor, sub + "/resourceGroups/vms"},
	}
	err := w.db.Change(context.Background(), func(tx manage.Tx) error {
		for t, names := range map[directory.TenantID][]string{tenant: {"owner", "reader", "contributor", "nobody", "webreader", "idmanager", "vmmaker"}, other: {"fab-owner"}} {
			principals, err := tx.Principals(t)
			if err != nil {
				return err
			}
			for _, name := range names {
				for _, p := range principals {
					if p.Name == name {
						w.callers[name] = &access.Caller{Tenant: t, Principal: p.ID, Client: p.ClientID}
					}
				}
			}
		}
		ada := &directory.User{Tenant: tenant, ID: directory.NewObjectID(), Name: "Ada", UPN: "ada@contoso.example"}
		group := &directory.Group{Tenant: tenant, ID: directory.MustObjectID(team), Name: "team"}
		if err := tx.InsertUser(ada); err != nil {
			return err
		}
		if err := tx.InsertGroup(group); err != nil {
			return err
		}
		if err := tx.InsertLink(tenant, directory.MemberRelation, group.ID, directory.Reference{ID: ada.ID, Kind: directory.UserObject}); err != nil {
			return err
		}
		cli := directory.MustClientID("04b07795-8ddb-461a-bbee-02f9e1bf7b46")
		w.callers["ada"] = &access.Caller{Tenant: tenant, Principal: ada.ID, User: true, Client: cli, Scopes: []string{"user_impersonation"}}
		w.callers["ada-unscoped"] = &access.Caller{Tenant: tenant, Principal: ada.ID, User: true, Client: cli, Scopes: []string{"openid"}}
		w.callers["gone"] = &access.Caller{Tenant: tenant, Principal: directory.NewObjectID(), Client: cli}
		if err := tx.PutAzureAssignment(&directory.AzureAssignment{Tenant: tenant, ID: directory.NewObjectID(), Scope: sub, Role: directory.MustObjectID(owner), Principal: group.ID, PrincipalKind: directory.GroupObject}); err != nil {
			return err
		}
		for _, g := range grants {
			c := w.callers[g.app]
			if err := tx.PutAzureAssignment(&directory.AzureAssignment{Tenant: c.Tenant, ID: directory.NewObjectID(), Scope: g.scope, Role: directory.MustObjectID(g.role), Principal: c.Principal, PrincipalKind: directory.PrincipalObject}); err != nil {
				return err
			}
		}
		return tx.PutResourceGroup(&directory.ResourceGroup{Tenant: tenant, Name: "vms", Location: "westus"})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// authenticate takes a caller's name for its token; names with a meaning of
// their own stand for tokens that are refused.
func (w *world) authenticate(bearer string, audiences []string) (*access.Caller, error) {
	if len(audiences) < 5 {
		return nil, fmt.Errorf("audiences %q", audiences)
	}
	switch bearer {
	case "expired":
		return nil, &sts.BearerError{Fault: sts.BearerExpired, Detail: "it ended"}
	case "elsewhere":
		return nil, &sts.BearerError{Fault: sts.BearerAudience, Detail: "it is for Graph"}
	}
	if c, known := w.callers[bearer]; known {
		return c, nil
	}
	return nil, &sts.BearerError{Fault: sts.BearerForged, Detail: "a bad signature"}
}

type logger struct{ t testing.TB }

func (l logger) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// answer is what the surface answered.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (w *world) do(as, method, target, body string, header ...string) answer {
	w.t.Helper()
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	if as != "" {
		request.Header.Set("Authorization", "Bearer "+as)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, request)
	response := recorder.Result()
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, raw: string(raw)}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			w.t.Fatalf("%s %s: not JSON: %v: %s", method, target, err, raw)
		}
		if got := response.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
			w.t.Errorf("%s %s: Content-Type %q", method, target, got)
		}
	}
	if a.status == http.StatusInternalServerError {
		w.t.Errorf("%s %s: a fault: %s", method, target, raw)
	}
	return a
}

// ok does what must be answered with the status.
func (w *world) ok(status int, as, method, target, body string) answer {
	w.t.Helper()
	a := w.do(as, method, target, body)
	if a.status != status {
		w.t.Fatalf("%s %s as %s: %d, want %d: %s", method, target, as, a.status, status, a.raw)
	}
	return a
}

// refused does what must be refused with the status and code.
func (w *world) refused(status int, code, as, method, target, body string, header ...string) answer {
	w.t.Helper()
	a := w.do(as, method, target, body, header...)
	if a.status != status || a.at("error", "code") != code || a.at("error", "message") == "" {
		w.t.Errorf("%s %s as %s: %d %s, want %d %s: %s", method, target, as, a.status, a.at("error", "code"), status, code, a.raw)
	}
	return a
}

// at is the text at a path of names in the body; "" when there is none.
func (a answer) at(path ...string) string {
	var v any = a.body
	for _, name := range path {
		object, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = object[name]
	}
	s, _ := v.(string)
	return s
}

// names are those of a list.
func (a answer) names() []string {
	all := []string{}
	values, _ := a.body["value"].([]any)
	for _, v := range values {
		if o, ok := v.(map[string]any); ok {
			all = append(all, fmt.Sprint(o["name"]))
		}
	}
	return all
}
