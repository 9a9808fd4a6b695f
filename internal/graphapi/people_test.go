package graphapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
	"github.com/avouch/avouch/internal/store"
	"github.com/avouch/avouch/internal/sts"
)

// town is a platform with two tenants and callers of many rights, for the tests
// of people, rights and records.
type town struct {
	t       *testing.T
	service *manage.Service
	db      *store.DB
	handler http.Handler
	callers map[string]*access.Caller // by bearer token
	tenant  directory.TenantID
	ids     map[string]string // ids of objects, by name
	clock   time.Time
}

const townFile = `tenants:
- name: contoso
  domains: [contoso.example]
  managedIdentities: [{name: worker}]
  applications:
  - name: orders
    identifierUris: [api://orders]
    appRoles: [{value: Orders.Read, displayName: Read}]
  - {name: caller}
- name: fabrikam
  domains: [fabrikam.example]
`

func newTown(t *testing.T) *town {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "avouch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &town{t: t, db: db, callers: make(map[string]*access.Caller), ids: make(map[string]string), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return w.clock }
	w.service = manage.New(db, directory.Global(), now, slog.New(slog.DiscardHandler))
	file, err := config.ParseDirectory("town.yaml", []byte(townFile))
	if err != nil {
		t.Fatal(err)
	}
	operator := manage.Caller{Actor: audit.Actor{Kind: "localUser", Name: "ada"}}
	if _, err := w.service.Apply(t.Context(), operator, []*config.Directory{file}, manage.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"contoso", "fabrikam"} {
		tenant, err := w.service.FindTenant(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		user, err := w.service.Operator(t.Context(), operator, tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		token := "admin"
		if name == "fabrikam" {
			token = "foreign"
		} else {
			w.tenant = tenant.ID
		}
		w.user(token, tenant.ID, user.ID, "Directory.AccessAsUser.All")
	}
	if err := db.View(t.Context(), func(tx manage.Tx) error {
		all, err := tx.Principals(w.tenant)
		for _, p := range all {
			w.ids[p.Name] = p.ID.String()
			if p.Name == "caller" {
				w.callers["app"] = &access.Caller{Tenant: w.tenant, Principal: p.ID, Client: p.ClientID}
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	api := New(Config{
		Manage: w.service, Cloud: directory.Global(), Audiences: []string{"https://graph.microsoft.com"},
		Authenticate: func(bearer string, _ []string) (*access.Caller, error) {
			if c := w.callers[bearer]; c != nil {
				return c, nil
			}
			return nil, &sts.BearerError{Fault: sts.BearerEmpty}
		},
		SignIns: db.SignIns, Changes: db.Changes, Log: slog.New(slog.DiscardHandler), Now: now, Explain: true,
	})
	if w.handler, err = api.Handler("https://graph.test"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mary", "grace"} {
		w.ids[name] = w.as("admin").created("/users", `{"accountEnabled":true,"displayName":"`+name+`","mailNickname":"`+name+`","userPrincipalName":"`+name+`@contoso.example","passwordProfile":{"password":"x"}}`)
		w.user(name, w.tenant, directory.MustObjectID(w.ids[name]), "Directory.AccessAsUser.All")
	}
	return w
}

func (w *town) user(token string, t directory.TenantID, id directory.ObjectID, scopes ...string) {
	w.callers[token] = &access.Caller{Tenant: t, Principal: id, User: true, Client: directory.MustClientID("04b07795-8ddb-461a-bbee-02f9e1bf7b46"), Scopes: scopes}
	w.ids[token] = id.String()
}

// grants gives the application that calls an app role of Microsoft Graph.
func (w *town) grants(value string) {
	w.t.Helper()
	for _, fp := range directory.Global().FirstParties() {
		for _, r := range fp.AppRoles {
			if fp.ClientID == directory.GraphClientID && r.Value == value {
				graph := w.ids["Microsoft Graph"]
				w.as("admin").want(201, "POST", "/servicePrincipals/"+graph+"/appRoleAssignedTo",
					`{"principalId":"`+w.ids["caller"]+`","resourceId":"`+graph+`","appRoleId":"`+r.ID.String()+`"}`)
				return
			}
		}
	}
	w.t.Fatalf("Microsoft Graph has no app role %s", value)
}

// visitor calls with one token.
type visitor struct {
	w       *town
	token   string
	headers map[string]string
}

func (w *town) as(token string) visitor { return visitor{w, token, nil} }

func (v visitor) eventually() visitor {
	v.headers = map[string]string{"ConsistencyLevel": "eventual"}
	return v
}

// said is what a reply says.
type said map[string]any

// call sends a request; paths without a version are v1.0. {name} in paths and
// bodies is the id of that object.
func (v visitor) call(method, path, text string) (int, said) {
	v.w.t.Helper()
	for name, id := range v.w.ids {
		path, text = strings.ReplaceAll(path, "{"+name+"}", id), strings.ReplaceAll(text, "{"+name+"}", id)
	}
	if !strings.HasPrefix(path, "/beta/") {
		path = "/v1.0" + path
	}
	path = strings.ReplaceAll(path, " ", "%20")
	var from io.Reader
	if text != "" {
		from = strings.NewReader(text)
	}
	r := httptest.NewRequestWithContext(v.w.t.Context(), method, path, from)
	r.Header.Set("Authorization", "Bearer "+v.token)
	if text != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range v.headers {
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	v.w.handler.ServeHTTP(rec, r)
	var a said
	if body := bytes.TrimSpace(rec.Body.Bytes()); len(body) > 0 && body[0] == '{' {
		if err := json.Unmarshal(body, &a); err != nil {
			v.w.t.Fatalf("%s %s: %v in %s", method, path, err, body)
		}
	}
	return rec.Code, a
}

// want sends a request that must end with the status.
func (v visitor) want(status int, method, path, text string) said {
	v.w.t.Helper()
	got, a := v.call(method, path, text)
	if got != status {
		v.w.t.Fatalf("%s: %s %s is %d, want %d: %v", v.token, method, path, got, status, a)
	}
	return a
}

func (v visitor) created(path, text string) string {
	v.w.t.Helper()
	return v.want(201, "POST", path, text)["id"].(string)
}

// refused sends a request that must be refused with the status and a message
// that holds the text.
func (v visitor) refused(status int, method, path, text, message string) {
	v.w.t.Helper()
	got, a := v.call(method, path, text)
	e, _ := a["error"].(map[string]any)
	said, _ := e["message"].(string)
	if got != status || !strings.Contains(said, message) {
		v.w.t.Errorf("%s: %s %s is %d %v, want %d %q", v.token, method, path, got, a, status, message)
	}
}

// values are the members of a list, by one property.
func (a said) values(property string) []string {
	list := []string{}
	elements, _ := a["value"].([]any)
	for _, e := range elements {
		if m, ok := e.(map[string]any); ok {
			s, _ := m[property].(string)
			list = append(list, s)
		}
	}
	return list
}

func ref(id string) string {
	return `{"@odata.id":"https://any.host/v1.0/directoryObjects/` + id + `"}`
}

func TestUsers(t *testing.T) {
	w := newTown(t)
	admin := w.as("admin")
	t.Run("default projection and @odata.context", func(t *testing.T) {
		a := admin.want(200, "GET", "/users/{mary}", "")
		if a["@odata.context"] != "https://graph.test/v1.0/$metadata#users/$entity" || a["userPrincipalName"] != "mary@contoso.example" || len(a) != len(userDefaults)+1 {
			t.Errorf("got %v", a)
		}
	})
	t.Run("by principal name, in any case", func(t *testing.T) {
		if a := admin.want(200, "GET", "/users/MARY@contoso.example", ""); a["id"] != w.ids["mary"] {
			t.Errorf("got %v", a)
		}
	})
	t.Run("filters", func(t *testing.T) {
		for filter, want := range map[string]string{
			"userPrincipalName eq 'Mary@contoso.example'": "mary", "mailNickname eq 'grace'": "grace", "startswith(displayName,'ma')": "mary",
			"displayName eq 'grace'": "grace", "employeeId eq '7'": "", "mail eq 'x@y.example'": "", "id eq '{mary}'": "mary",
		} {
			got := admin.want(200, "GET", "/users?$filter="+filter+"&$select=id", "").values("id")
			if len(got) > 1 || len(got) == 1 && got[0] != w.ids[want] || (want == "") != (len(got) == 0) {
				t.Errorf("%s gives %v, want %s", filter, got, want)
			}
		}
	})
	t.Run("pages and counts", func(t *testing.T) {
		a := admin.eventually().want(200, "GET", "/users?$top=2&$count=true&$orderby=displayName", "")
		if next, _ := a["@odata.nextLink"].(string); len(a.values("id")) != 2 || a["@odata.count"] != 3.0 || next == "" {
			t.Fatalf("got %v", a)
		}
		next := strings.TrimPrefix(a["@odata.nextLink"].(string), "https://graph.test/v1.0")
		if rest := admin.eventually().want(200, "GET", next, "").values("id"); len(rest) != 1 {
			t.Errorf("the second page holds %v", rest)
		}
	})
	t.Run("update, and null takes away", func(t *testing.T) {
		admin.want(204, "PATCH", "/users/{mary}", `{"jobTitle":"Engineer","otherMails":["m@x.example"],"id":"{mary}"}`)
		if a := admin.want(200, "GET", "/users/{mary}?$select=jobTitle,otherMails", ""); a["jobTitle"] != "Engineer" {
			t.Errorf("got %v", a)
		}
		admin.want(204, "PATCH", "/users/{mary}", `{"jobTitle":null}`)
		if a := admin.want(200, "GET", "/users/{mary}", ""); a["jobTitle"] != nil {
			t.Errorf("got %v", a)
		}
	})
	t.Run("If-Match", func(t *testing.T) {
		v := admin
		v.headers = map[string]string{"If-Match": `W/"0123"`}
		v.want(412, "PATCH", "/users/{mary}", `{"jobTitle":"x"}`)
	})
	user := func(upn string) string {
		return `{"accountEnabled":true,"displayName":"n","mailNickname":"n","passwordProfile":{},"userPrincipalName":"` + upn + `"}`
	}
	for _, tt := range []struct {
		name, text, message string
	}{
		{"a domain of another tenant", user("x@fabrikam.example"), "domain portion"},
		{"no principal name", user("x"), "is not a principal name"},
		{"a name that is taken", user("MARY@contoso.example"), "Another object with the same value"},
		{"a missing member", `{"displayName":"n"}`, "A value is required for property 'accountEnabled'"},
		{"an unknown member", strings.Replace(user("x@contoso.example"), `{`, `{"tenantId":"x",`, 1), "does not exist as a declared property"},
		{"a chosen id", strings.Replace(user("x@contoso.example"), `{`, `{"id":"{mary}",`, 1), "read-only"},
		{"a chosen time", strings.Replace(user("x@contoso.example"), `{`, `{"createdDateTime":"2020-01-01T00:00:00Z",`, 1), "read-only"},
	} {
		t.Run(tt.name, func(*testing.T) { admin.refused(400, "POST", "/users", tt.text, tt.message) })
	}
	t.Run("no password is stored", func(t *testing.T) {
		admin.want(201, "POST", "/users", strings.Replace(user("p@contoso.example"), `{}`, `{"password":"hunter2-hunter2"}`, 1))
		changes, err := w.db.Changes(t.Context(), audit.Query{Tenant: w.tenant, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if bytes.Contains(c.After, []byte("hunter2")) {
				t.Errorf("the record says %s", c.After)
			}
		}
	})
	t.Run("rights", func(*testing.T) {
		w.as("mary").want(200, "GET", "/users", "")
		w.as("mary").refused(403, "POST", "/users", user("y@contoso.example"), insufficient)
		w.as("mary").refused(403, "PATCH", "/users/{grace}", `{"jobTitle":"x"}`, insufficient)
		w.as("app").refused(403, "GET", "/users", "", insufficient)
		w.as("foreign").refused(404, "GET", "/users/{mary}", "", "does not exist")
		w.as("nobody").refused(401, "GET", "/users", "", "empty")
		w.user("modest", w.tenant, directory.MustObjectID(w.ids["mary"]), "User.Read")
		w.as("modest").want(200, "GET", "/users/{mary}", "")
		w.as("modest").refused(403, "GET", "/users/{grace}", "", insufficient)
	})
}

func TestEveryReadMemberIsRefusedOnWrites(t *testing.T) {
	w := newTown(t)
	group := w.as("admin").created("/groups", `{"displayName":"g","mailNickname":"g","mailEnabled":false,"securityEnabled":true}`)
	for _, path := range []string{"/users/{mary}", "/groups/" + group} {
		read := w.as("admin").want(200, "GET", path, "")
		for _, name := range []string{"id", "createdDateTime"} {
			value := `"00000000-0000-4000-8000-000000000009"`
			if name == "createdDateTime" {
				value = `"2001-01-01T00:00:00Z"`
			}
			w.as("admin").refused(400, "PATCH", path, `{"`+name+`":`+value+`}`, "read-only")
		}
		// Sent back as it was read, it changes nothing.
		delete(read, "@odata.context")
		delete(read, "isAssignableToRole")
		text, err := json.Marshal(read)
		if err != nil {
			t.Fatal(err)
		}
		w.as("admin").want(204, "PATCH", path, string(text))
	}
}

func TestMe(t *testing.T) {
	w := newTown(t)
	w.grants("Directory.Read.All")
	w.user("modest", w.tenant, directory.MustObjectID(w.ids["mary"]), "User.Read")
	if a := w.as("modest").want(200, "GET", "/me", ""); a["id"] != w.ids["mary"] {
		t.Errorf("/me is %v", a)
	}
	if a := w.as("modest").want(200, "GET", "/me/ownedObjects", ""); len(a.values("id")) != 0 {
		t.Errorf("owned are %v", a)
	}
	w.as("app").refused(400, "GET", "/me", "", "delegated authentication flow")
}

func TestDeletedUserLeavesNothing(t *testing.T) {
	w := newTown(t)
	admin := w.as("admin")
	group := admin.created("/groups", `{"displayName":"g","mailNickname":"g","mailEnabled":false,"securityEnabled":true}`)
	admin.want(204, "POST", "/groups/"+group+"/members/$ref", ref(w.ids["mary"]))
	admin.want(204, "POST", "/groups/"+group+"/owners/$ref", ref(w.ids["mary"]))
	admin.want(201, "POST", "/roleManagement/directory/roleAssignments", `{"principalId":"{mary}","roleDefinitionId":"88d8e3e3-8f55-4a1e-953a-9b9898b8876b","directoryScopeId":"/"}`)
	admin.want(201, "POST", "/oauth2PermissionGrants", `{"clientId":"{caller}","consentType":"Principal","principalId":"{mary}","resourceId":"{orders}","scope":"x"}`)
	mary := directory.MustObjectID(w.ids["mary"])
	if err := w.db.Change(t.Context(), func(tx manage.Tx) error {
		return tx.PutAzureAssignment(&directory.AzureAssignment{Tenant: w.tenant, ID: directory.NewObjectID(), Scope: "/", Role: access.AzureOwner, Principal: mary, PrincipalKind: directory.UserObject, Created: w.clock, Updated: w.clock})
	}); err != nil {
		t.Fatal(err)
	}
	admin.want(204, "DELETE", "/users/{mary}", "")
	admin.refused(404, "GET", "/users/{mary}", "", "does not exist")
	if err := w.db.View(t.Context(), func(tx manage.Tx) error {
		roles, _ := tx.RoleAssignmentsOf(w.tenant, mary)
		azure, _ := tx.AzureAssignmentsOf(w.tenant, mary)
		grants, _ := tx.Grants(w.tenant)
		in, _ := tx.LinkedBy(w.tenant, directory.MemberRelation, mary)
		owned, err := tx.LinkedBy(w.tenant, directory.OwnerRelation, mary)
		if n := len(roles) + len(azure) + len(grants) + len(in) + len(owned); n != 0 {
			t.Errorf("%d things are left: %v %v %v %v %v", n, roles, azure, grants, in, owned)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.db.VerifyChanges(context.Background()); err != nil {
		t.Error(err)
	}
	// The name gives a new object without the old rights.
	again := admin.created("/users", `{"accountEnabled":true,"displayName":"mary","mailNickname":"mary","userPrincipalName":"mary@contoso.example","passwordProfile":{}}`)
	if again == w.ids["mary"] || len(admin.want(200, "GET", "/users/"+again+"/memberOf", "").values("id")) != 0 {
		t.Error("the new user is the old one")
	}
}

func TestAdministratorsCannotBeUnseatedFromBelow(t *testing.T) {
	w := newTown(t)
	const userAdministrator = "fe930be7-5e62-47db-91af-98c3a49a38b1"
	w.as("admin").want(204, "POST", "/directoryRoles/roleTemplateId="+userAdministrator+"/members/$ref", ref(w.ids["mary"]))
	w.as("mary").want(204, "PATCH", "/users/{grace}", `{"accountEnabled":false}`)
	for _, attack := range []struct{ method, text string }{
		{"PATCH", `{"accountEnabled":false}`}, {"PATCH", `{"userPrincipalName":"x@contoso.example"}`}, {"DELETE", ""},
	} {
		w.as("mary").refused(403, attack.method, "/users/{admin}", attack.text, insufficient)
	}
	w.as("mary").want(204, "PATCH", "/users/{admin}", `{"jobTitle":"Operator"}`)
	// The disabled user's token is worth nothing at once.
	w.as("grace").refused(401, "GET", "/me", "", "disabled")
}

func TestRefusedChangesAreRecorded(t *testing.T) {
	w := newTown(t)
	w.as("mary").want(403, "DELETE", "/users/{grace}", "")
	changes, err := w.db.Changes(t.Context(), audit.Query{Tenant: w.tenant, Outcome: audit.Refused})
	if err != nil || len(changes) != 1 || changes[0].Actor.ID != w.ids["mary"] || changes[0].Target.Kind != "user" {
		t.Errorf("records: %+v, %v", changes, err)
	}
}

func TestOperationsNeedARight(t *testing.T) {
	w := newTown(t)
	w.user("outsider", w.tenant, directory.MustObjectID(w.ids["mary"])) // a token without scopes
	api := New(Config{Manage: w.service, Cloud: directory.Global()})
	for _, op := range slices.Concat(api.peopleRoutes(), api.roleRoutes(), api.grantRoutes(), api.organizationRoutes(), api.auditRoutes()) {
		path := strings.NewReplacer("{id}", w.ids["grace"], "{member}", w.ids["mary"], "{owner}", w.ids["mary"], "{assignment}", directory.AppRoleAssignmentID(directory.NewObjectID(), directory.NewObjectID())).Replace(op.Path)
		if strings.HasPrefix(op.Path, "/groups/{id}") {
			path = strings.Replace(path, w.ids["grace"], directory.NewObjectID().String(), 1)
		}
		version := ""
		if slices.Contains(op.Versions, "beta") {
			version = "/beta"
		}
		if err := w.service.MayRead(t.Context(), manage.Caller{Access: w.callers["outsider"], Need: op.Need}, w.tenant); problem.KindOf(err) != problem.Denied {
			t.Errorf("%s %s lets a token without scopes in: %v", op.Method, op.Path, err)
		}
		if op.Method != http.MethodGet {
			continue
		}
		if status, a := w.as("outsider").eventually().call(op.Method, version+path, ""); status != 403 && status != 404 {
			t.Errorf("%s %s is %d: %v", op.Method, path, status, a)
		}
	}
}
