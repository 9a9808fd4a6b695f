package graphapi

import (
	"bytes"
	"compress/gzip"
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
	"github.com/avouch/avouch/internal/store"
	"github.com/avouch/avouch/internal/sts"
)

const (
	testBase     = "https://localhost:8443/graph"
	testAudience = "https://graph.microsoft.com"
)

// platform is a directory behind the API. Tokens are names of callers.
type platform struct {
	t       testing.TB
	manage  *manage.Service
	api     *API
	handler http.Handler
	callers map[string]*access.Caller
	tenant  *directory.Tenant
	away    *directory.Tenant
	clock   time.Time
}

var operator = manage.Caller{Actor: audit.Actor{Kind: "localUser", ID: "1000", Name: "ada"}}

const (
	globalAdministrator      = "62e90394-69f5-4237-9190-012177145e10"
	applicationAdministrator = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
)

const testDirectory = `
tenants:
- name: contoso
  domains: [contoso.example]
  managedIdentities: [{name: mi-orders}]
  applications: [{name: base, signInAudience: AzureADMyOrg}]
- name: fabrikam
  domains: [fabrikam.example]
  applications: [{name: shared, signInAudience: AzureADMultipleOrgs}, {name: own, signInAudience: AzureADMyOrg}]
`

func newPlatform(t testing.TB) *platform {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "avouch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	p := &platform{t: t, callers: make(map[string]*access.Caller), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return p.clock }
	p.manage = manage.New(db, directory.Global(), now, slog.New(slog.DiscardHandler))
	dir, err := config.ParseDirectory("f.yaml", []byte(testDirectory))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.manage.Apply(t.Context(), operator, []*config.Directory{dir}, manage.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	p.tenant, p.away = p.findTenant("contoso"), p.findTenant("fabrikam")
	p.api = New(Config{
		Manage: p.manage, Cloud: directory.Global(), Audiences: []string{testAudience}, Log: slog.New(slog.NewTextHandler(logTo{t}, nil)), Now: now,
		SignIns: func(context.Context, audit.Query) ([]audit.SignIn, error) { return nil, nil },
		Changes: func(context.Context, audit.Query) ([]audit.Change, error) { return nil, nil },
		Authenticate: func(bearer string, audiences []string) (*access.Caller, error) {
			if bearer == "" {
				return nil, &sts.BearerError{Fault: sts.BearerEmpty}
			}
			if c, ok := p.callers[bearer]; ok && slices.Contains(audiences, testAudience) {
				return c, nil
			}
			return nil, &sts.BearerError{Fault: sts.BearerMalformed, Detail: "unknown"}
		},
	})
	if p.handler, err = p.api.Handler(testBase); err != nil {
		t.Fatal(err)
	}
	p.user("admin", "contoso.example", globalAdministrator)
	return p
}

type logTo struct{ t testing.TB }

func (l logTo) Write(b []byte) (int, error) { l.t.Log(string(b)); return len(b), nil }

func (p *platform) findTenant(name string) *directory.Tenant {
	p.t.Helper()
	t, err := p.manage.FindTenant(p.t.Context(), name)
	if err != nil {
		p.t.Fatal(err)
	}
	return t
}

// user makes a user with directory roles, whose token lets a client do what he may.
func (p *platform) user(name, domain string, roles ...string) *access.Caller {
	p.t.Helper()
	t := p.tenant
	if domain == "fabrikam.example" {
		t = p.away
	}
	u, err := p.manage.CreateUser(p.t.Context(), operator, t.ID, directory.User{Name: name, UPN: name + "@" + domain})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, r := range roles {
		if _, err := p.manage.AssignRole(p.t.Context(), operator, t.ID, directory.MustObjectID(r), u.ID, directory.ObjectID{}); err != nil {
			p.t.Fatal(err)
		}
	}
	c := &access.Caller{Tenant: t.ID, Principal: u.ID, User: true, Client: directory.MustClientID("04b07795-8ddb-461a-bbee-02f9e1bf7b46"), Scopes: []string{"Directory.AccessAsUser.All"}}
	p.callers[name] = c
	return c
}

// app makes an application with a service principal and app roles on Microsoft
// Graph that calls by itself.
func (p *platform) app(name string, roles ...string) (*access.Caller, *directory.Application) {
	p.t.Helper()
	ctx := p.t.Context()
	a, err := p.manage.RegisterApplication(ctx, operator, p.tenant.ID, directory.Application{Name: name, Audience: directory.SingleTenant}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	v, err := p.manage.ProvisionPrincipal(ctx, operator, p.tenant.ID, a.ClientID, nil, func(*manage.PrincipalView) error { return nil })
	if err != nil {
		p.t.Fatal(err)
	}
	graph, err := p.manage.PrincipalOf(ctx, operator, p.tenant.ID, manage.Key{ClientID: directory.GraphClientID})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, value := range roles {
		i := slices.IndexFunc(graph.FirstParty.AppRoles, func(r directory.AppRole) bool { return r.Value == value })
		if _, err := p.manage.AssignAppRole(ctx, operator, p.tenant.ID, manage.Key{ID: v.ID}, true, v.ID, graph.ID, graph.FirstParty.AppRoles[i].ID); err != nil {
			p.t.Fatal(err)
		}
	}
	c := &access.Caller{Tenant: p.tenant.ID, Principal: v.ID, Client: a.ClientID}
	p.callers[name] = c
	return c, a
}

type answer struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (a answer) code() string    { return a.str("error", "code") }
func (a answer) message() string { return a.str("error", "message") }

func (a answer) str(path ...string) string {
	var v any = a.body
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	s, _ := v.(string)
	return s
}

func (a answer) values() []map[string]any {
	list, _ := a.body["value"].([]any)
	var all []map[string]any
	for _, v := range list {
		m, _ := v.(map[string]any)
		all = append(all, m)
	}
	return all
}

// as calls with the token; headers come in pairs.
func (p *platform) as(token, method, target, body string, headers ...string) answer {
	p.t.Helper()
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, strings.ReplaceAll(target, " ", "%20"), from)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return p.send(r)
}

func (p *platform) send(r *http.Request) answer {
	p.t.Helper()
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Header(), text: w.Body.String()}
	if strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
			p.t.Fatalf("%s %s: %v in %s", r.Method, r.URL, err, a.text)
		}
	}
	if a.status == http.StatusInternalServerError {
		p.t.Errorf("%s %s: 500", r.Method, r.URL)
	}
	return a
}

// must calls as the administrator and fails on another status.
func (p *platform) must(status int, method, target, body string, headers ...string) answer {
	p.t.Helper()
	a := p.as("admin", method, target, body, headers...)
	if a.status != status {
		p.t.Fatalf("%s %s: %d %s, want %d", method, target, a.status, a.text, status)
	}
	return a
}

func (p *platform) register(body string) (id, appID string) {
	p.t.Helper()
	a := p.must(201, "POST", "/v1.0/applications", body)
	return a.str("id"), a.str("appId")
}

func TestEveryOperationNeedsAToken(t *testing.T) {
	p := newPlatform(t)
	for _, op := range p.api.Routes() {
		for _, version := range versions {
			path := "/" + version + strings.NewReplacer("{id}", "0a1b2c3d-0000-4000-8000-00000000000f").Replace(op.Path)
			for _, token := range []string{"", "nobody"} {
				a := p.as(token, op.Method, path, "")
				if a.status != 401 || a.code() != "InvalidAuthenticationToken" || a.header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s with %q: %d %s", op.Method, path, token, a.status, a.text)
				}
			}
		}
	}
	if a := p.as("", "GET", "/v1.0/nothing", ""); a.status != 401 {
		t.Errorf("unknown path: %d", a.status)
	}
}

// TestForeignTenantsSeeNothing sends the ids of one tenant's objects to every
// operation as another tenant's administrator (threats X1, X4).
func TestForeignTenantsSeeNothing(t *testing.T) {
	p := newPlatform(t)
	p.user("stranger", "fabrikam.example", globalAdministrator)
	id, _ := p.register(`{"displayName":"secret-name","signInAudience":"AzureADMyOrg"}`)
	fic := p.must(201, "POST", "/v1.0/applications/"+id+"/federatedIdentityCredentials",
		`{"name":"one","issuer":"https://i.example","subject":"s","audiences":["api://AzureADTokenExchange"]}`).str("id")
	for _, op := range p.api.Routes() {
		if !strings.Contains(op.Path, "{id}") || !strings.HasPrefix(op.Path, "/applications") {
			continue
		}
		path := "/v1.0" + strings.NewReplacer("{id}", id, "{fic}", fic, "{owner}", id).Replace(op.Path)
		body := ""
		switch {
		case strings.HasSuffix(op.Path, "/$ref") && op.Method == "POST":
			body = `{"@odata.id":"https://x/` + id + `"}`
		case strings.HasSuffix(op.Path, "/removeKey"):
			body = `{"keyId":"` + id + `"}`
		case op.Method == "POST" || op.Method == "PATCH":
			body = `{}`
		}
		a := p.as("stranger", op.Method, path, body)
		if refused := strings.HasSuffix(op.Path, "Password") || strings.HasSuffix(op.Path, "/addKey"); !refused && a.status != 404 {
			t.Errorf("%s %s: %d %s", op.Method, path, a.status, a.text)
		}
		if strings.Contains(a.text, "secret-name") {
			t.Errorf("%s %s tells the name", op.Method, path)
		}
	}
	p.must(200, "GET", "/v1.0/applications/"+id, "")
}

func TestReplyConventions(t *testing.T) {
	p := newPlatform(t)
	a := p.must(200, "GET", "/v1.0/applications", "", "client-request-id", "0A1B2C3D-0000-4000-8000-00000000000f")
	for name, want := range map[string]string{
		"Content-Type": jsonType, "Odata-Version": "4.0", "Cache-Control": "no-cache", "Client-Request-Id": "0a1b2c3d-0000-4000-8000-00000000000f",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if a.header.Get("request-id") == "" || a.str("@odata.context") != testBase+"/v1.0/$metadata#applications" {
		t.Errorf("context %q", a.str("@odata.context"))
	}
	bad := p.must(404, "GET", "/beta/applications/0a1b2c3d-0000-4000-8000-00000000000f", "")
	if bad.code() != "Request_ResourceNotFound" || bad.message() != "Resource '0a1b2c3d-0000-4000-8000-00000000000f' does not exist or one of its queried reference-property objects are not present." ||
		bad.str("error", "innerError", "date") != "2026-03-01T12:00:00" || bad.str("error", "innerError", "request-id") != bad.header.Get("request-id") {
		t.Error(bad.text)
	}
}

func TestRefusalsOfForm(t *testing.T) {
	p := newPlatform(t)
	for _, row := range []struct {
		method, target, body string
		status               int
		code, message        string
	}{
		{"GET", "/v1.0/nothing", "", 400, "BadRequest", "Resource not found for the segment 'nothing'."},
		{"GET", "/v2/applications", "", 400, "BadRequest", "Invalid version: v2. Paths begin with /v1.0 or /beta."},
		{"PUT", "/v1.0/applications", "{}", 405, "Request_BadRequest", ""},
		{"GET", "/v1.0/applications?$select=nope", "", 400, "Request_BadRequest", "Could not find a property named 'nope' on type 'microsoft.graph.application'."},
		{"GET", "/v1.0/applications?$filter=notes eq 'x'", "", 400, "Request_UnsupportedQuery", ""},
		{"GET", "/v1.0/applications/%2e%2e", "", 400, "BadRequest", ""},
		{"GET", "/v1.0/applications('", "", 400, "BadRequest", ""},
		{"POST", "/v1.0/applications", `{"displayName":"a","displayName":"b"}`, 400, "Request_BadRequest", ""},
		{"POST", "/v1.0/applications", `{"displayName":"a"} {}`, 400, "Request_BadRequest", ""},
		{"POST", "/v1.0/applications", `[]`, 400, "Request_BadRequest", ""},
		{"POST", "/v1.0/applications", strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), 400, "Request_BadRequest", ""},
		{"POST", "/v1.0/applications", `{"displayName":"` + strings.Repeat("x", maxBody) + `"}`, 413, "Request_BadRequest", ""},
		{"POST", "/v1.0/applications", `{"displayName":"a","zebra":1}`, 400, "Request_BadRequest", "Property 'zebra' does not exist as a declared property or extension property of type 'microsoft.graph.application'."},
	} {
		a := p.as("admin", row.method, row.target, row.body)
		if a.status != row.status || a.code() != row.code || row.message != "" && a.message() != row.message {
			t.Errorf("%s %s %.60s: %d %s", row.method, row.target, row.body, a.status, a.text)
		}
	}
	if a := p.as("admin", "POST", "/v1.0/applications", `{"displayName":"a"}`, "Content-Type", "text/plain"); a.status != 415 {
		t.Errorf("content type: %d", a.status)
	}
}

func TestBodiesMayBePacked(t *testing.T) {
	p := newPlatform(t)
	pack := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write([]byte(text))
		w.Close()
		return b.String()
	}
	if a := p.as("admin", "POST", "/v1.0/applications", pack(`{"displayName":"packed"}`), "Content-Encoding", "gzip"); a.status != 201 {
		t.Errorf("%d %s", a.status, a.text)
	}
	bomb := pack(`{"displayName":"` + strings.Repeat("x", 8<<20) + `"}`)
	if a := p.as("admin", "POST", "/v1.0/applications", bomb, "Content-Encoding", "gzip"); a.status != 413 {
		t.Errorf("bomb: %d", a.status)
	}
}

func TestPathsHaveOneReading(t *testing.T) {
	for _, row := range []struct{ path, want string }{
		{"/v1.0/applications", "v1.0/applications"},
		{"//v1.0//applications/", "v1.0/applications"},
		{"/v1.0/applications(appId='x')", "v1.0/applications/%28appId=%27x%27%29"},
		{"/v1.0/applications(appId=%27x%27)", "v1.0/applications/%28appId=%27x%27%29"},
		{"/v1.0/applications%28appId=%27x%27%29/owners", "v1.0/applications/%28appId=%27x%27%29/owners"},
		{"/v1.0/applications('x')/owners", "v1.0/applications/x/owners"},
		{"/v1.0/applications(uniqueName='it''s%2Fme')", "v1.0/applications/%28uniqueName=%27it%27s%2Fme%27%29"},
		{"/v1.0/directory/deletedItems/microsoft.graph.application", "v1.0/directory/deletedItems/microsoft.graph.application"},
		{"/v1.0/directoryObjects/microsoft.graph.getByIds", "v1.0/directoryObjects/getByIds"},
		{"/v1.0/applications/$count", "v1.0/applications/$count"},
		{"/v1.0/./applications", ""}, {"/v1.0/%2e%2e/x", ""}, {"/v1.0/a%2Fb", ""}, {"/v1.0/a%5Cb", ""}, {"/v1.0/a%00", ""},
		{"/v1.0/applications(appId='x'", ""}, {"/v1.0/applications(appId='x'y')", ""}, {"/v1.0/applications()", ""}, {"/v1.0/(x)", ""},
		{"/v1.0/applications('$count')", ""}, {"/v1.0/applications('(appId=''x'')')", ""},
	} {
		got, ok := readPath(row.path)
		if got != row.want || ok != (row.want != "") {
			t.Errorf("%s: %q %v, want %q", row.path, got, ok, row.want)
		}
	}
}

func FuzzReadPath(f *testing.F) {
	for _, s := range []string{"/v1.0/applications(appId='x')/owners/$ref", "/v1.0//a%27", "/beta/a('b''c')", "/%28"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		read, ok := readPath(s)
		if !ok {
			return
		}
		for segment := range strings.SplitSeq(read, "/") {
			if segment == "" && read != "" || segment == "." || segment == ".." {
				t.Fatalf("%q reads as %q", s, read)
			}
		}
	})
}

func FuzzParseBody(f *testing.F) {
	f.Add([]byte(`{"displayName":"a","web":{"redirectUris":["https://a"]},"appRoles":[{"id":"0a1b2c3d-0000-4000-8000-00000000000f"}]}`))
	f.Add([]byte(`{"keyCredentials":[{"key":"AA==","type":"AsymmetricX509Cert","usage":"Verify"}],"api":{"oauth2PermissionScopes":[{}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parseBody(text)
		if err != nil {
			return
		}
		a := newApplication()
		if readApplication(b, &a, true) != nil {
			return
		}
		if _, err := json.Marshal(applicationEntity(&a, "")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPages(t *testing.T) {
	p := newPlatform(t)
	p.user("reader", "contoso.example", globalAdministrator)
	p.user("stranger", "fabrikam.example", globalAdministrator)
	want := map[string]bool{}
	for _, a := range p.must(200, "GET", "/v1.0/applications", "").values() {
		want[a["id"].(string)] = true
	}
	for i := range 7 {
		id, _ := p.register(`{"displayName":"app ` + string(rune('a'+i)) + `"}`)
		want[id] = true
	}
	for _, query := range []string{"$top=3", "$top=3&$orderby=displayName desc", "$top=3&$filter=startswith(displayName,'app')", "$top=1&$filter=signInAudience eq 'AzureADandPersonalMicrosoftAccount'"} {
		seen := map[string]int{}
		pages := 0
		for next := "/v1.0/applications?" + query; next != ""; pages++ {
			a := p.must(200, "GET", next, "")
			for _, v := range a.values() {
				seen[v["id"].(string)]++
			}
			link := a.str("@odata.nextLink")
			if link != "" && !strings.HasPrefix(link, testBase+"/v1.0/applications?") {
				t.Fatal(link)
			}
			next = strings.TrimPrefix(link, testBase)
		}
		n := len(want)
		if strings.Contains(query, "filter") {
			n = 7
		}
		if len(seen) != n || pages < 3 {
			t.Errorf("%s: %d of %d in %d pages", query, len(seen), n, pages)
		}
		for id, times := range seen {
			if times != 1 {
				t.Errorf("%s: %s %d times", query, id, times)
			}
		}
	}

	// Tokens hold for their caller, list and query only (threats A2).
	link := strings.TrimPrefix(p.must(200, "GET", "/v1.0/applications?$top=2", "").str("@odata.nextLink"), testBase)
	_, token, _ := strings.Cut(link, "$skiptoken=")
	flipped := []byte(token)
	flipped[len(flipped)/2] ^= 1
	for _, row := range []struct{ who, target string }{
		{"reader", link}, {"stranger", link},
		{"admin", "/beta/applications?$top=2&$skiptoken=" + token},
		{"admin", "/v1.0/servicePrincipals?$top=2&$skiptoken=" + token},
		{"admin", "/v1.0/applications?$top=2&$filter=startswith(displayName,'a')&$skiptoken=" + token},
		{"admin", "/v1.0/applications?$top=2&$orderby=displayName&$skiptoken=" + token},
		{"admin", "/v1.0/applications?$skiptoken=" + string(flipped)},
		{"admin", "/v1.0/applications?$skiptoken=00"},
	} {
		if a := p.as(row.who, "GET", row.target, ""); a.status != 400 {
			t.Errorf("%s %s: %d", row.who, row.target, a.status)
		}
	}
	if a := p.as("admin", "GET", link, ""); a.status != 200 {
		t.Errorf("the true one: %s", a.text)
	}
}

func TestBatch(t *testing.T) {
	p := newPlatform(t)
	p.user("modest", "contoso.example")
	a := p.as("modest", "POST", "/v1.0/$batch", `{"requests":[
		{"id":"1","method":"GET","url":"/applications?$top=1"},
		{"id":"2","method":"DELETE","url":"/applications/0a1b2c3d-0000-4000-8000-00000000000f","headers":{"Authorization":"Bearer admin"}},
		{"id":"3","method":"GET","url":"/applications","dependsOn":["2"]},
		{"id":"4","method":"POST","url":"/applications","body":{"displayName":"batched"}}]}`)
	if a.status != 200 {
		t.Fatal(a.text)
	}
	list, _ := a.body["responses"].([]any)
	var statuses []float64
	for _, r := range list {
		statuses = append(statuses, r.(map[string]any)["status"].(float64))
	}
	if want := []float64{200, 404, 424, 201}; !slices.Equal(statuses, want) {
		t.Errorf("%v, want %v: %s", statuses, want, a.text)
	}
	for _, bad := range []string{
		`{"requests":[]}`, `{"requests":[{"id":"1","method":"POST","url":"/$batch","body":{}}]}`, `{"requests":[{"id":"1","method":"POST","url":"/%24batch","body":{}}]}`,
		`{"requests":[{"id":"1","method":"GET","url":"https://x/applications"}]}`, `{"requests":[{"id":"1","method":"GET","url":"/a"},{"id":"1","method":"GET","url":"/a"}]}`,
		`{"requests":[{"id":"1","method":"GET","url":"/a","dependsOn":["2"]}]}`,
		`{"requests":[` + strings.TrimSuffix(strings.Repeat(`{"id":"1","method":"GET","url":"/a"},`, 21), ",") + `]}`,
	} {
		if a := p.as("admin", "POST", "/beta/$batch", bad); a.status != 400 {
			t.Errorf("%.80s: %d %s", bad, a.status, a.text)
		}
	}
}

func TestTableIsClosed(t *testing.T) {
	p := newPlatform(t)
	for _, op := range p.api.Routes() {
		if op.Public && op.Path != "/$batch" {
			t.Errorf("%s %s asks for nothing", op.Method, op.Path)
		}
	}
}
