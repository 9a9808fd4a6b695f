package platform

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/sts"
	"github.com/avouch/avouch/internal/trust"
)

// matrixDirectory has in each of two tenants one of everything, an identity that
// may do everything, and one that may do nothing.
func matrixDirectory(tenant string) string {
	return `
  - name: ` + tenant + `
    domains: [` + tenant + `.example]
    managedIdentities:
      - {name: admin, resourceGroup: admin}
      - {name: nobody, resourceGroup: rg, federatedIdentityCredentials: [{name: build, issuer: https://token.example, subject: s, audiences: [api://AzureADTokenExchange]}]}
      - {name: asking, resourceGroup: admin}
    hosts:
      - {name: vm-` + tenant + `, kind: virtualMachine, resourceGroup: rg, systemAssigned: true, identities: [nobody]}
      - {name: asker-` + tenant + `, kind: webApp, resourceGroup: admin, identities: [admin, asking]}
      - {name: site-` + tenant + `, kind: webApp, resourceGroup: rg, identities: [nobody]}
    users: [{userPrincipalName: ada@` + tenant + `.example}]
    groups: [{name: group-` + tenant + `, roleAssignable: true, members: ["user:ada@` + tenant + `.example"]}]
    applications:
      - name: app-` + tenant + `
        owners: ["user:ada@` + tenant + `.example"]
        appRoles: [{value: Read, displayName: Read}]
        federatedIdentityCredentials: [{name: by-admin, managedIdentity: admin}]
    appRoleAssignments: [{principal: nobody, resource: app-` + tenant + `, role: Read}]
    directoryRoleAssignments: [{principal: admin, role: Global Administrator}, {principal: "group:group-` + tenant + `", role: Directory Readers}]
    roleAssignments: [{principal: admin, role: Owner}]
`
}

// matrixTenant is one tenant of the matrix, as callers see it.
type matrixTenant struct {
	tenant                                        *directory.Tenant
	admin, nobody                                 string // tokens for Microsoft Graph
	adminResources, nobodyResources               string // for the resource manager
	adminStorage                                  string // for another audience
	app, principal, user, group, identity, credID string
	assignment, role                              string
	host, site                                    *directory.Host
	secrets                                       []string // what no other tenant may read
}

func newMatrixTenant(t *testing.T, p *Platform, name string) *matrixTenant {
	t.Helper()
	ctx := t.Context()
	m := &matrixTenant{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	m.tenant, err = p.Manage().FindTenant(ctx, name)
	must(err)
	asker, err := p.Manage().FindHost(ctx, "asker-"+name)
	must(err)
	m.host, err = p.Manage().FindHost(ctx, "vm-"+name)
	must(err)
	m.site, err = p.Manage().FindHost(ctx, "site-"+name)
	must(err)
	app, err := p.Manage().FindApplication(ctx, "app-"+name)
	must(err)
	m.app = app.ID.String()
	token := func(identity, resource string) string {
		found, err := p.Manage().FindIdentity(ctx, name+"/"+identity)
		must(err)
		answer, err := p.Tokens().Identity(ctx, sts.IdentityRequest{
			Tenant: m.tenant.ID, Host: asker.ID, Resource: resource, Want: trust.Selector{ClientID: found.ClientID},
		}, &audit.SignIn{})
		must(err)
		return answer.Token
	}
	const graph, resources = "https://graph.microsoft.com", "https://management.azure.com/"
	m.admin, m.nobody = token("admin", graph), token("asking", graph)
	m.adminResources, m.nobodyResources = token("admin", resources), token("asking", resources)
	m.adminStorage = token("admin", "https://storage.azure.com")
	must(p.db.View(ctx, func(tx manage.Tx) error {
		principal, err := tx.PrincipalByClientID(m.tenant.ID, app.ClientID)
		must(err)
		users, err := tx.SelectUsers(m.tenant.ID, directory.Selection{})
		must(err)
		groups, err := tx.SelectGroups(m.tenant.ID, directory.Selection{})
		must(err)
		credentials, err := tx.Credentials(m.tenant.ID, app.ID)
		must(err)
		assigned, err := tx.AssignmentsOf(m.tenant.ID, principal.ID)
		must(err)
		roles, err := tx.RoleAssignments(m.tenant.ID)
		must(err)
		identity, err := tx.IdentityIn(m.tenant.ID, "rg", "nobody")
		must(err)
		m.principal, m.user, m.group, m.credID = principal.ID.String(), users[0].ID.String(), groups[0].ID.String(), credentials[0].ID.String()
		m.assignment = directory.AppRoleAssignmentID(assigned[0].Principal, assigned[0].ID)
		m.identity = identity.PrincipalID.String()
		for _, r := range roles {
			if r.Principal == groups[0].ID {
				m.role = r.ID
			}
		}
		return nil
	}))
	m.secrets = []string{m.tenant.Subscription.String(), m.app, app.ClientID.String(), m.principal, m.user, m.group, m.identity, name + ".example", "app-" + name, "group-" + name, "vm-" + name}
	return m
}

const nowhere = "99999999-9999-4999-8999-999999999999"

// graphPath fills a route's parameters in.
func (m *matrixTenant) graphPath(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if !strings.HasPrefix(s, "{") {
			continue
		}
		before := strings.Join(segments[:i], "/")
		switch {
		case strings.HasSuffix(before, "/federatedIdentityCredentials"):
			s = m.credID
		case strings.HasPrefix(before, "/applications") && i == 2:
			s = m.app
		case strings.HasPrefix(before, "/servicePrincipals") && i == 2:
			s = m.principal
		case strings.HasSuffix(before, "/appRoleAssignedTo"), strings.HasSuffix(before, "/appRoleAssignments"):
			s = m.assignment
		case strings.HasPrefix(before, "/users"), strings.HasSuffix(before, "/owners"), strings.HasSuffix(before, "/members"), before == "/directoryObjects":
			s = m.user
		case strings.HasPrefix(before, "/groups"):
			s = m.group
		case strings.HasPrefix(before, "/organization"):
			s = m.tenant.ID.String()
		case strings.HasPrefix(before, "/domains"):
			s = m.tenant.Domains[0]
		case strings.HasSuffix(before, "/roleAssignments"):
			s = m.role
		case strings.HasPrefix(before, "/directoryRoles"), strings.HasSuffix(before, "/roleDefinitions"), strings.HasPrefix(before, "/directoryRoleTemplates"):
			s = "62e90394-69f5-4237-9190-012177145e10"
		default:
			s = nowhere
		}
		segments[i] = s
	}
	return strings.Join(segments, "/")
}

// graphBody is a body that the route takes.
func (m *matrixTenant) graphBody(method, path string) (any, bool) {
	object := map[string]any{"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/" + m.user}
	if method != http.MethodPost && method != http.MethodPatch {
		return nil, true
	}
	switch key := method + " " + path; {
	case strings.HasSuffix(path, "/$ref"):
		return object, true
	case strings.HasSuffix(path, "Password"), strings.HasSuffix(path, "Certificate"):
		return map[string]any{}, true
	case strings.HasSuffix(path, "Key"):
		return map[string]any{"keyId": nowhere, "proof": "x"}, true
	case strings.HasSuffix(path, "/getMemberGroups"):
		return map[string]any{"securityEnabledOnly": false}, true
	case strings.HasSuffix(path, "/checkMemberGroups"):
		return map[string]any{"groupIds": []string{m.group}}, true
	case strings.HasSuffix(path, "/restore"):
		return nil, true
	case strings.HasPrefix(key, "PATCH /applications/{id}/federatedIdentityCredentials"):
		return map[string]any{"description": "d"}, true
	case strings.HasPrefix(key, "POST /applications/{id}/federatedIdentityCredentials"):
		return map[string]any{"name": "new", "issuer": "https://token.example", "subject": "new", "audiences": []string{"api://AzureADTokenExchange"}}, true
	case strings.HasSuffix(path, "/appRoleAssignedTo"), strings.HasSuffix(path, "/appRoleAssignments"):
		return map[string]any{"principalId": m.identity, "resourceId": m.principal, "appRoleId": nowhere}, true
	}
	bodies := map[string]any{
		"POST /applications":                             map[string]any{"displayName": "new"},
		"PATCH /applications/{id}":                       map[string]any{"notes": "n"},
		"POST /servicePrincipals":                        map[string]any{"appId": nowhere},
		"PATCH /servicePrincipals/{id}":                  map[string]any{"notes": "n"},
		"POST /users":                                    map[string]any{"displayName": "n", "userPrincipalName": "n@" + m.tenant.Domains[0], "mailNickname": "n", "accountEnabled": true, "passwordProfile": map[string]any{"password": "x"}},
		"PATCH /users/{id}":                              map[string]any{"jobTitle": "n"},
		"POST /groups":                                   map[string]any{"displayName": "n", "mailNickname": "n", "mailEnabled": false, "securityEnabled": true},
		"PATCH /groups/{id}":                             map[string]any{"description": "n"},
		"POST /directoryObjects/getByIds":                map[string]any{"ids": []string{m.user, m.group, m.principal}},
		"POST /directoryRoles":                           map[string]any{"roleTemplateId": "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"},
		"POST /roleManagement/directory/roleAssignments": map[string]any{"principalId": m.user, "roleDefinitionId": "88d8e3e3-8f55-4a1e-953a-9b9898b8876b", "directoryScopeId": "/"},
		"POST /oauth2PermissionGrants":                   map[string]any{"clientId": m.principal, "consentType": "AllPrincipals", "resourceId": m.principal, "scope": "x"},
		"PATCH /oauth2PermissionGrants/{id}":             map[string]any{"scope": "y"},
		"POST /$batch":                                   map[string]any{"requests": []any{map[string]any{"id": "1", "method": "GET", "url": "/applications/" + m.app}}},
	}
	body, ok := bodies[method+" "+path]
	return body, ok
}

// azurePath fills a route's parameters in.
func (m *matrixTenant) azurePath(path string) string {
	values := map[string]string{
		"{subscription}": m.tenant.Subscription.String(), "{group}": "rg", "{name}": "nobody", "{credential}": "build",
		"{scope}": "subscriptions/" + m.tenant.Subscription.String(), "{id}": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
		"{namespace}": "Microsoft.ManagedIdentity", "{operation}": "none",
	}
	if strings.Contains(path, "Microsoft.Compute") {
		values["{name}"] = m.host.Name
	}
	if strings.Contains(path, "Microsoft.Web/sites") {
		values["{name}"] = m.site.Name
	}
	if strings.Contains(path, "identities/default") {
		values["{scope}"] = strings.TrimPrefix(m.host.ResourceID, "/")
	}
	for name, value := range values {
		path = strings.ReplaceAll(path, name, value)
	}
	return path
}

func (m *matrixTenant) azureBody(method, path string) any {
	switch {
	case method != http.MethodPut && method != http.MethodPatch:
		return nil
	case strings.Contains(path, "/federatedIdentityCredentials/"):
		return map[string]any{"properties": map[string]any{"issuer": "https://token.example", "subject": "s", "audiences": []string{"api://AzureADTokenExchange"}}}
	case strings.Contains(path, "/roleAssignments/"):
		return map[string]any{"properties": map[string]any{
			"roleDefinitionId": "/subscriptions/" + m.tenant.Subscription.String() + "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7",
			"principalId":      m.user,
		}}
	case method == http.MethodPatch:
		return map[string]any{"tags": map[string]any{"a": "b"}}
	}
	return map[string]any{"location": "local"}
}

// TestRouteMatrix walks every route of the management APIs with no token, one of
// another audience, a caller without rights, one of another tenant, and one that
// may do everything (threats X1, X2, X4).
func TestRouteMatrix(t *testing.T) {
	p := open(t, Config{})
	p.apply(t, "tenants:"+matrixDirectory("contoso")+matrixDirectory("fabrikam"))
	own, foreign := newMatrixTenant(t, p, "contoso"), newMatrixTenant(t, p, "fabrikam")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.CAPEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	t.Cleanup(client.CloseIdleConnections)

	call := func(method, address, token string, body any) (int, string) {
		t.Helper()
		var sent io.Reader
		if body != nil {
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			sent = bytes.NewReader(text)
		}
		r, err := http.NewRequestWithContext(t.Context(), method, address, sent)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		r.Header.Set("ConsistencyLevel", "eventual")
		if body != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}

	type route struct {
		method, path, address       string
		body                        any
		anyone                      bool // every caller of the tenant may
		admin, nobody, other, audit string
	}
	var routes []route
	for _, op := range p.graph.Routes() {
		body, known := own.graphBody(op.Method, op.Path)
		if !known {
			t.Errorf("no body is known for %s %s: add one", op.Method, op.Path)
		}
		versions := op.Versions
		if versions == nil {
			versions = []string{"v1.0", "beta"}
		}
		for _, version := range versions {
			routes = append(routes, route{
				method: op.Method, path: op.Path, address: p.Endpoints().Graph + "/" + version + own.graphPath(op.Path), body: body, anyone: op.Public,
				admin: own.admin, nobody: own.nobody, other: foreign.admin, audit: own.adminStorage,
			})
		}
	}
	for _, r := range p.resources.Routes() {
		if r.Public {
			continue
		}
		routes = append(routes, route{
			method: r.Method, path: r.Path, address: p.Endpoints().ResourceManager + own.azurePath(r.Path) + "?api-version=2022-09-01",
			body: own.azureBody(r.Method, r.Path), anyone: r.Anyone,
			admin: own.adminResources, nobody: own.nobodyResources, other: foreign.adminResources, audit: own.adminStorage,
		})
	}
	// What is taken away last is there for all the others.
	slices.SortStableFunc(routes, func(a, b route) int { return rank(a.method) - rank(b.method) })

	before, err := p.Changes(t.Context(), audit.Query{Tenant: own.tenant.ID, Outcome: audit.Succeeded, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		name := r.method + " " + r.path
		if status, text := call(r.method, r.address, "", r.body); status != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d %s", name, status, text)
		}
		if status, text := call(r.method, r.address, r.audit, r.body); status != http.StatusUnauthorized {
			t.Errorf("%s with a token for another API: %d %s", name, status, text)
		}
		status, text := call(r.method, r.address, r.nobody, r.body)
		switch {
		case r.anyone || strings.Contains(r.path, "/me"):
			leaks(t, name+" by nobody", text, own, own.tenant.Domains[0], own.tenant.Subscription.String())
		case status == http.StatusForbidden:
		case status == http.StatusBadRequest && refusedForAll(r.path): // and says what to do instead
		case status == http.StatusOK && emptyList(text): // lists hold what the caller may see
		default:
			t.Errorf("%s by a caller without rights: %d %s", name, status, text)
		}
		status, text = call(r.method, r.address, r.other, r.body)
		if status < 300 && r.method != http.MethodGet && r.method != http.MethodHead && strings.Contains(r.path, "{") && !r.anyone {
			t.Errorf("%s by another tenant's administrator: %d %s", name, status, text)
		}
		for _, secret := range own.secrets {
			if strings.Contains(text, secret) && !strings.Contains(r.address, secret) && !mentions(r.body, secret) {
				t.Errorf("%s tells another tenant %s: %s", name, secret, text)
			}
		}
	}
	after, err := p.Changes(t.Context(), audit.Query{Tenant: own.tenant.ID, Outcome: audit.Succeeded, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) {
		t.Errorf("callers without rights changed the directory: %d changes before, %d after", len(before), len(after))
	}
	for _, r := range routes {
		status, text := call(r.method, r.address, r.admin, r.body)
		if status == http.StatusUnauthorized || status == http.StatusForbidden || status >= 500 {
			t.Errorf("%s %s by the administrator: %d %s", r.method, r.path, status, text)
		}
	}
}

// refusedForAll are the operations that give out secrets.
func refusedForAll(path string) bool {
	return strings.HasSuffix(path, "Password") || strings.HasSuffix(path, "/addKey") || strings.HasSuffix(path, "/addTokenSigningCertificate") ||
		path == "/servicePrincipals/{id}/removeKey"
}

func rank(method string) int {
	switch method {
	case http.MethodGet, http.MethodHead:
		return 0
	case http.MethodDelete:
		return 2
	}
	return 1
}

func emptyList(text string) bool {
	var list struct{ Value []any }
	return json.Unmarshal([]byte(text), &list) == nil && len(list.Value) == 0
}

// mentions reports whether the caller itself named what the answer repeats.
func mentions(body any, secret string) bool { return strings.Contains(fmt.Sprint(body), secret) }

func leaks(t *testing.T, name, text string, m *matrixTenant, allowed ...string) {
	t.Helper()
	for _, secret := range []string{m.app, m.user, m.group} {
		if strings.Contains(text, secret) && !slices.Contains(allowed, secret) && strings.Contains(text, "displayName") {
			t.Errorf("%s tells %s: %s", name, secret, text)
		}
	}
}
