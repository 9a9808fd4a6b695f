package graphapi

import (
	"slices"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/directory"
)

func (w *town) roleOf(principal string) string {
	w.t.Helper()
	roles, _ := w.as("admin").want(200, "GET", "/servicePrincipals/{"+principal+"}", "")["appRoles"].([]any)
	if len(roles) == 0 {
		w.t.Fatalf("%s offers no app roles", principal)
	}
	return roles[0].(map[string]any)["id"].(string)
}

func TestAppRoleAssignments(t *testing.T) {
	w := newTown(t)
	admin := w.as("admin")
	w.group("admin", "team", "")
	w.ids["role"] = w.roleOf("orders")
	const body = `{"@odata.type":"#microsoft.graph.appRoleAssignment","principalId":"{worker}","resourceId":"{orders}","appRoleId":"{role}"}`
	a := admin.want(201, "POST", "/servicePrincipals/{orders}/appRoleAssignedTo", body)
	id := a["id"].(string)
	if principal, _, ok := directory.ParseAppRoleAssignmentID(id); !ok || principal.String() != w.ids["worker"] || a["principalType"] != "ServicePrincipal" ||
		a["principalDisplayName"] != "worker" || a["resourceDisplayName"] != "orders" {
		t.Errorf("created: %v", a)
	}
	for _, path := range []string{"/servicePrincipals/{orders}/appRoleAssignedTo", "/servicePrincipals/{worker}/appRoleAssignments"} {
		if got := admin.want(200, "GET", path, "").values("id"); !slices.Equal(got, []string{id}) {
			t.Errorf("%s lists %v", path, got)
		}
		if got := admin.want(200, "GET", path+"/"+id, ""); got["appRoleId"] != w.ids["role"] {
			t.Errorf("%s holds %v", path, got)
		}
	}
	with := func(old, now string) string { return strings.Replace(body, old, now, 1) }
	for _, tt := range []struct {
		name, path, text string
		status           int
		message          string
	}{
		{"twice", "/servicePrincipals/{worker}/appRoleAssignments", body, 400, "Permission being assigned already exists on the object"},
		{"an unknown role", "/servicePrincipals/{orders}/appRoleAssignedTo", with("{role}", "{mary}"), 400, "Permission being assigned was not found on application"},
		{"default access", "/servicePrincipals/{orders}/appRoleAssignedTo", with("{role}", defaultAccess), 400, "Default access is not offered"},
		{"an unknown principal", "/servicePrincipals/{orders}/appRoleAssignedTo", with("{worker}", "{role}"), 400, "Not a valid reference update"},
		{"a user", "/servicePrincipals/{orders}/appRoleAssignedTo", with("{worker}", "{mary}"), 400, "granted to service principals"},
		{"a group", "/servicePrincipals/{orders}/appRoleAssignedTo", with("{worker}", "{team}"), 400, "granted to service principals"},
		{"another address", "/servicePrincipals/{caller}/appRoleAssignedTo", body, 400, "of the address"},
		{"a chosen time", "/servicePrincipals/{orders}/appRoleAssignedTo", with("{", `{"createdDateTime":"2020-01-01T00:00:00Z",`), 400, "createdDateTime"},
	} {
		t.Run(tt.name, func(*testing.T) { admin.refused(tt.status, "POST", tt.path, tt.text, tt.message) })
	}
	t.Run("a disabled role", func(t *testing.T) {
		app := admin.want(200, "GET", "/applications?$filter=displayName eq 'orders'", "").values("id")[0]
		admin.want(204, "PATCH", "/applications/"+app, `{"appRoles":[{"id":"{role}","value":"Orders.Read","displayName":"Read","description":"d","isEnabled":false,"allowedMemberTypes":["Application"]}]}`)
		admin.refused(400, "POST", "/servicePrincipals/{orders}/appRoleAssignedTo", with("{worker}", "{caller}"), "disabled")
	})
	t.Run("another tenant", func(*testing.T) {
		w.as("foreign").refused(404, "POST", "/servicePrincipals/{orders}/appRoleAssignedTo", body, "does not exist")
		w.as("foreign").refused(404, "DELETE", "/servicePrincipals/{orders}/appRoleAssignedTo/"+id, "", "does not exist")
	})
	admin.want(204, "DELETE", "/servicePrincipals/{orders}/appRoleAssignedTo/"+id, "")
	admin.want(404, "DELETE", "/servicePrincipals/{orders}/appRoleAssignedTo/"+id, "")
	admin.want(404, "GET", "/servicePrincipals/{orders}/appRoleAssignedTo/not-an-id", "")
}

// What application administrators may give away does not reach Microsoft Graph.
func TestWhoGivesAppRoles(t *testing.T) {
	w := newTown(t)
	const applicationAdministrator, privileged = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3", "e8611ab8-c189-46e8-94e1-60213ab1f814"
	w.ids["role"], w.ids["graph"] = w.roleOf("orders"), w.ids["Microsoft Graph"]
	for token, role := range map[string]string{"mary": applicationAdministrator, "grace": privileged} {
		w.as("admin").want(204, "POST", "/directoryRoles/"+role+"/members/$ref", ref(w.ids[token]))
	}
	const own = `{"principalId":"{worker}","resourceId":"{orders}","appRoleId":"{role}"}`
	const graph = `{"principalId":"{caller}","resourceId":"{graph}","appRoleId":"9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8"}`
	w.as("app").refused(403, "POST", "/servicePrincipals/{orders}/appRoleAssignedTo", own, insufficient)
	id := w.as("mary").created("/servicePrincipals/{orders}/appRoleAssignedTo", own)
	w.as("mary").want(204, "DELETE", "/servicePrincipals/{orders}/appRoleAssignedTo/"+id, "")
	w.as("mary").refused(403, "POST", "/servicePrincipals/{graph}/appRoleAssignedTo", graph, insufficient)
	w.as("mary").refused(403, "POST", "/servicePrincipals/{caller}/appRoleAssignments", graph, insufficient)
	id = w.as("grace").created("/servicePrincipals/{caller}/appRoleAssignments", graph)
	w.as("mary").refused(403, "DELETE", "/servicePrincipals/{caller}/appRoleAssignments/"+id, "", insufficient)
	w.as("grace").want(204, "DELETE", "/servicePrincipals/{caller}/appRoleAssignments/"+id, "")
	w.grants("AppRoleAssignment.ReadWrite.All")
	w.as("app").created("/servicePrincipals/{graph}/appRoleAssignedTo", graph)
}

func TestPermissionGrants(t *testing.T) {
	w := newTown(t)
	admin := w.as("admin")
	const all = `{"clientId":"{caller}","consentType":"AllPrincipals","principalId":null,"resourceId":"{orders}","scope":"a b","startTime":"2020-01-01T00:00:00Z"}`
	a := admin.want(201, "POST", "/oauth2PermissionGrants", all)
	id := a["id"].(string)
	if want := directory.PermissionGrantID(directory.MustObjectID(w.ids["caller"]), directory.MustObjectID(w.ids["orders"]), directory.ObjectID{}); id != want || a["scope"] != "a b" || a["principalId"] != nil {
		t.Errorf("created: %v", a)
	}
	one := admin.created("/oauth2PermissionGrants", `{"clientId":"{caller}","consentType":"Principal","principalId":"{mary}","resourceId":"{orders}","scope":"a"}`)
	for filter, n := range map[string]int{"clientId eq '{caller}'": 2, "principalId eq '{mary}'": 1, "consentType eq 'AllPrincipals'": 1, "clientId eq '{orders}'": 0, "clientId eq '{caller}' and resourceId eq '{orders}'": 2} {
		if got := admin.want(200, "GET", "/oauth2PermissionGrants?$filter="+filter, "").values("id"); len(got) != n {
			t.Errorf("%s gives %v", filter, got)
		}
	}
	admin.refused(409, "POST", "/oauth2PermissionGrants", all, "Permission entry already exists.")
	admin.want(204, "PATCH", "/oauth2PermissionGrants/"+id, `{"scope":"c","clientId":"{caller}"}`)
	admin.refused(400, "PATCH", "/oauth2PermissionGrants/"+id, `{"clientId":"{orders}"}`, "read-only")
	if got := admin.want(200, "GET", "/oauth2PermissionGrants/"+id, ""); got["scope"] != "c" {
		t.Errorf("changed: %v", got)
	}
	for text, message := range map[string]string{
		`{"clientId":"{caller}","consentType":"Everybody","resourceId":"{orders}","scope":"a"}`:                            "'consentType'",
		`{"clientId":"{caller}","consentType":"Principal","resourceId":"{orders}","scope":"a"}`:                            "principalId",
		`{"clientId":"{caller}","consentType":"AllPrincipals","principalId":"{mary}","resourceId":"{orders}","scope":"a"}`: "must be null",
		`{"clientId":"{caller}","consentType":"AllPrincipals","resourceId":"{worker}","scope":"\""}`:                       "not a scope",
		`{"id":"x","clientId":"{caller}","consentType":"AllPrincipals","resourceId":"{worker}","scope":"a"}`:               "'id'",
	} {
		admin.refused(400, "POST", "/oauth2PermissionGrants", text, message)
	}
	admin.refused(404, "POST", "/oauth2PermissionGrants", `{"clientId":"{mary}","consentType":"AllPrincipals","resourceId":"{orders}","scope":"a"}`, w.ids["mary"])
	w.as("mary").refused(403, "POST", "/oauth2PermissionGrants", all, insufficient)
	w.as("foreign").refused(404, "GET", "/oauth2PermissionGrants/"+id, "", "does not exist")
	admin.want(204, "DELETE", "/oAuth2PermissionGrants/"+one, "")
	admin.want(404, "DELETE", "/oauth2PermissionGrants/"+one, "")
}

func TestOrganization(t *testing.T) {
	w := newTown(t)
	w.user("modest", w.tenant, directory.MustObjectID(w.ids["mary"]), "User.Read")
	a := w.as("modest").want(200, "GET", "/organization", "")
	if got := a.values("id"); !slices.Equal(got, []string{w.tenant.String()}) {
		t.Errorf("organization: %v", a)
	}
	if got := w.as("admin").want(200, "GET", "/domains", "").values("id"); !slices.Equal(got, []string{"contoso.example"}) {
		t.Errorf("domains: %v", got)
	}
	w.as("admin").want(200, "GET", "/domains/contoso.example", "")
	w.as("admin").want(404, "GET", "/domains/fabrikam.example", "")
	w.as("foreign").want(404, "GET", "/organization/"+w.tenant.String(), "")
	w.as("app").refused(403, "GET", "/organization", "", insufficient)
}
