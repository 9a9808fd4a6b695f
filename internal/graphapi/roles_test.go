package graphapi

import (
	"slices"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
)

const reader = "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"

func TestDirectoryRoles(t *testing.T) {
	w := newTown(t)
	admin := w.as("admin")
	if got := admin.want(200, "GET", "/directoryRoles", "").values("roleTemplateId"); len(got) != len(access.BuiltinRoles()) {
		t.Errorf("roles: %v", got)
	}
	for _, path := range []string{"/directoryRoles/" + reader, "/directoryRoles(roleTemplateId='" + reader + "')", "/directoryRoles/roleTemplateId=" + reader, "/directoryRoleTemplates/" + reader, "/roleManagement/directory/roleDefinitions/" + reader} {
		if a := admin.want(200, "GET", path, ""); a["displayName"] != "Directory Readers" {
			t.Errorf("%s is %v", path, a)
		}
	}
	for _, path := range []string{"/directoryRoles?$filter=roleTemplateId eq '" + reader + "'", "/roleManagement/directory/roleDefinitions?$filter=displayName eq 'directory readers'"} {
		if got := admin.want(200, "GET", path, "").values("id"); !slices.Equal(got, []string{reader}) {
			t.Errorf("%s gives %v", path, got)
		}
	}
	admin.want(201, "POST", "/directoryRoles", `{"roleTemplateId":"`+reader+`"}`)
	admin.want(204, "POST", "/directoryRoles/"+reader+"/members/$ref", ref(w.ids["mary"]))
	admin.refused(400, "POST", "/directoryRoles/"+reader+"/members/$ref", ref(w.ids["mary"]), "One or more added object references already exist")
	if got := admin.want(200, "GET", "/directoryRoles/"+reader+"/members", "").values("id"); !slices.Equal(got, []string{w.ids["mary"]}) {
		t.Errorf("members: %v", got)
	}
	if got := admin.want(200, "GET", "/users/{mary}/memberOf", "").values("@odata.type"); !slices.Equal(got, []string{"#microsoft.graph.directoryRole"}) {
		t.Errorf("memberOf: %v", got)
	}
	admin.want(204, "DELETE", "/directoryRoles/"+reader+"/members/{mary}/$ref", "")
	admin.refused(404, "DELETE", "/directoryRoles/"+reader+"/members/{mary}/$ref", "", "does not exist")
	w.as("mary").refused(403, "POST", "/directoryRoles/"+reader+"/members/$ref", ref(w.ids["mary"]), insufficient)
}

func TestRoleAssignments(t *testing.T) {
	w := newTown(t)
	admin := w.as("admin")
	const all = "/roleManagement/directory/roleAssignments"
	body := func(principal, role, scope string) string {
		return `{"@odata.type":"#microsoft.graph.unifiedRoleAssignment","principalId":"` + principal + `","roleDefinitionId":"` + role + `","directoryScopeId":"` + scope + `"}`
	}
	a := admin.want(201, "POST", all, body("{mary}", reader, "/"))
	id := a["id"].(string)
	if want := directory.RoleAssignmentID(directory.MustObjectID(reader), directory.MustObjectID(w.ids["mary"]), directory.ObjectID{}); id != want || !strings.HasSuffix(id, "-1") {
		t.Errorf("the id is %s, want %s", id, want)
	}
	if got := admin.want(200, "GET", all+"/"+id, ""); got["principalId"] != w.ids["mary"] || got["directoryScopeId"] != "/" {
		t.Errorf("got %v", got)
	}
	for filter, n := range map[string]int{"principalId eq '{mary}'": 1, "roleDefinitionId eq '" + reader + "'": 1, "principalId eq '{grace}'": 0,
		"principalId eq '{mary}' and roleDefinitionId eq '" + reader + "'": 1} {
		if got := admin.want(200, "GET", all+"?$filter="+filter, "").values("id"); len(got) != n {
			t.Errorf("%s gives %v", filter, got)
		}
	}
	expanded := admin.want(200, "GET", all+"?$filter=principalId eq '{mary}'&$expand=roleDefinition", "")
	if !strings.Contains(strings.Join(keys(expanded), " "), "roleDefinition") {
		t.Errorf("expanded: %v", expanded)
	}
	var app string
	for _, o := range admin.want(200, "GET", "/applications?$filter=displayName eq 'orders'", "").values("id") {
		app = o
	}
	const administrator = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
	scoped := admin.want(201, "POST", all, body("{mary}", administrator, "/"+app))
	if scoped["directoryScopeId"] != "/"+app {
		t.Errorf("scoped: %v", scoped)
	}
	for _, tt := range []struct {
		name, text string
		status     int
		message    string
	}{
		{"twice", body("{mary}", reader, "/"), 400, "A conflicting object with one or more of the specified property values is present in the directory."},
		{"twice at a scope", body("{mary}", administrator, "/"+app), 400, "A conflicting object"},
		{"a custom role", body("{mary}", "00000000-0000-4000-8000-000000000001", "/"), 400, "custom roles"},
		{"an unknown principal", body("00000000-0000-4000-8000-000000000001", reader, "/"), 404, "00000000-0000-4000-8000-000000000001"},
		{"an unknown scope", body("{grace}", reader, "/00000000-0000-4000-8000-000000000001"), 404, "00000000-0000-4000-8000-000000000001"},
		{"a user as a scope", body("{grace}", reader, "/{mary}"), 404, "does not exist"},
		{"no scope", `{"principalId":"{mary}","roleDefinitionId":"` + reader + `"}`, 400, "directoryScopeId"},
		{"an administrative unit", body("{mary}", reader, "/administrativeUnits/x"), 400, "not offered"},
		{"a chosen id", strings.Replace(body("{grace}", reader, "/"), "{", `{"id":"x",`, 1), 400, "'id'"},
	} {
		t.Run(tt.name, func(*testing.T) { admin.refused(tt.status, "POST", all, tt.text, tt.message) })
	}
	t.Run("only who may assign roles", func(*testing.T) {
		w.as("mary").refused(403, "POST", all, body("{mary}", "62e90394-69f5-4237-9190-012177145e10", "/"), insufficient)
		w.as("app").refused(403, "POST", all, body("{caller}", reader, "/"), insufficient)
		w.as("foreign").refused(404, "GET", all+"/"+id, "", "does not exist")
		w.as("foreign").refused(404, "POST", all, body("{mary}", reader, "/"), "does not exist")
		w.grants("RoleManagement.ReadWrite.Directory")
		w.as("app").want(201, "POST", all, body("{caller}", reader, "/"))
	})
	admin.want(204, "DELETE", all+"/"+id, "")
	admin.want(404, "DELETE", all+"/"+id, "")
}

func keys(a said) []string {
	var names []string
	for _, e := range a["value"].([]any) {
		for name := range e.(map[string]any) {
			names = append(names, name)
		}
	}
	return names
}

func TestLastAdministratorMayGo(t *testing.T) {
	w := newTown(t)
	const all = "/roleManagement/directory/roleAssignments"
	id := directory.RoleAssignmentID(access.GlobalAdministrator, directory.MustObjectID(w.ids["admin"]), directory.ObjectID{})
	w.as("admin").want(204, "DELETE", all+"/"+id, "")
	w.as("admin").refused(403, "DELETE", "/users/{mary}", "", insufficient)
}
