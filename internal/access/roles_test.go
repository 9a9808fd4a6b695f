package access

import (
	"slices"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/directory"
)

func TestAllowed(t *testing.T) {
	const d = "microsoft.directory/"
	yes, no := true, false
	tests := []struct {
		role   string
		may    bool
		action string
	}{
		{"Global Administrator", yes, d + "applications/credentials/update"},
		{"Global Administrator", yes, d + "roleAssignments/allProperties/allTasks"},
		{"Global Administrator", yes, d + "deletedItems.applications/delete"},
		{"Global Administrator", yes, d + "somethingNew/basic/update"},
		{"Global Administrator", no, ""},
		{"Global Administrator", no, "Microsoft.Compute/virtualMachines/write"},

		{"Application Administrator", yes, d + "applications/create"},
		{"Application Administrator", yes, d + "applications/credentials/update"},
		{"Application Administrator", yes, d + "applications/owners/update"},
		{"Application Administrator", yes, d + "applications/standard/read"},
		{"Application Administrator", yes, d + "deletedItems.applications/restore"},
		{"Application Administrator", yes, d + "servicePrincipals/appRoleAssignedTo/update"},
		{"Application Administrator", yes, d + "servicePrincipals/credentials/update"},
		{"Application Administrator", yes, d + "oAuth2PermissionGrants/create"},
		{"Application Administrator", yes, d + "auditLogs/allProperties/read"},
		{"Application Administrator", no, d + "servicePrincipals/managePermissionGrantsForAll.microsoft-company-admin"},
		{"Application Administrator", no, d + "roleAssignments/allProperties/allTasks"},
		{"Application Administrator", no, d + "users/create"},
		{"Application Administrator", no, d + "deletedItems.users/restore"},

		{"Cloud Application Administrator", yes, d + "applications/credentials/update"},
		{"Cloud Application Administrator", yes, d + "servicePrincipals/appRoleAssignedTo/update"},
		{"Cloud Application Administrator", no, d + "roleAssignments/allProperties/allTasks"},

		{"Hybrid Identity Administrator", yes, d + "applications/create"},
		{"Hybrid Identity Administrator", yes, d + "applications/authentication/update"},
		{"Hybrid Identity Administrator", yes, d + "domains/standard/read"},
		{"Hybrid Identity Administrator", no, d + "applications/credentials/update"},
		{"Hybrid Identity Administrator", no, d + "servicePrincipals/credentials/update"},
		{"Hybrid Identity Administrator", no, d + "domains/create"},

		{"Application Developer", yes, d + "applications/createAsOwner"},
		{"Application Developer", yes, d + "servicePrincipals/createAsOwner"},
		{"Application Developer", yes, d + "applications/standard/read"},
		{"Application Developer", no, d + "applications/create"},
		{"Application Developer", no, d + "applications/credentials/update"},
		{"Application Developer", no, d + "applications/delete"},
		{"Application Developer", no, d + "oAuth2PermissionGrants/createAsOwner"},

		{"Privileged Role Administrator", yes, d + "roleAssignments/allProperties/allTasks"},
		{"Privileged Role Administrator", yes, d + "roleAssignments/standard/read"},
		{"Privileged Role Administrator", yes, d + "directoryRoles/members/update"},
		{"Privileged Role Administrator", yes, d + "servicePrincipals/managePermissionGrantsForAll.microsoft-company-admin"},
		{"Privileged Role Administrator", yes, d + "servicePrincipals/appRoleAssignedTo/update"},
		{"Privileged Role Administrator", no, d + "applications/credentials/update"},
		{"Privileged Role Administrator", no, d + "users/create"},

		{"Directory Readers", yes, d + "applications/standard/read"},
		{"Directory Readers", yes, d + "servicePrincipals/appRoleAssignedTo/read"},
		{"Directory Readers", yes, d + "users/standard/read"},
		{"Directory Readers", yes, d + "organization/standard/read"},
		{"Directory Readers", no, d + "auditLogs/allProperties/read"},
		{"Directory Readers", no, d + "applications/basic/update"},

		{"Directory Writers", yes, d + "users/create"},
		{"Directory Writers", yes, d + "groups/members/update"},
		{"Directory Writers", no, d + "users/delete"},
		{"Directory Writers", no, d + "groups/delete"},
		{"Directory Writers", no, d + "applications/create"},

		{"User Administrator", yes, d + "users/delete"},
		{"User Administrator", yes, d + "groups/create"},
		{"User Administrator", yes, d + "deletedItems.users/restore"},
		{"User Administrator", no, d + "applications/create"},
		{"User Administrator", no, d + "roleAssignments/allProperties/allTasks"},

		{"Groups Administrator", yes, d + "groups/delete"},
		{"Groups Administrator", yes, d + "groups/owners/update"},
		{"Groups Administrator", no, d + "users/create"},
		{"Groups Administrator", no, d + "groupsAssignableToRoles/create"},

		{"Security Reader", yes, d + "auditLogs/allProperties/read"},
		{"Security Reader", yes, d + "signInReports/allProperties/read"},
		{"Security Reader", no, d + "applications/basic/update"},
		{"Reports Reader", yes, d + "signInReports/allProperties/read"},
		{"Reports Reader", no, d + "users/basic/update"},

		{"Global Reader", yes, d + "applications/standard/read"},
		{"Global Reader", yes, d + "applications/owners/read"},
		{"Global Reader", yes, d + "roleAssignments/standard/read"},
		{"Global Reader", yes, d + "signInReports/allProperties/read"},
		{"Global Reader", no, d + "applications/credentials/update"},
		{"Global Reader", no, d + "roleAssignments/allProperties/allTasks"},
		{"Global Reader", no, d + "applications/create"},
	}
	for _, tt := range tests {
		if got := Allowed(role(t, tt.role), tt.action); got != tt.may {
			t.Errorf("%s, %s: %v, want %v", tt.role, tt.action, got, tt.may)
		}
	}
	if Allowed(custom, d+"applications/standard/read") {
		t.Error("a role that is not built in allows something")
	}
	if Allowed(directory.ObjectID{}, d+"applications/standard/read") {
		t.Error("the zero role allows something")
	}
}

func TestIncludes(t *testing.T) {
	tests := []struct {
		granted, action string
		want            bool
	}{
		{"microsoft.directory/applications/basic/update", "microsoft.directory/applications/basic/update", true},
		{"microsoft.directory/applications/basic/update", "microsoft.directory/applications/basic", false},
		{"microsoft.directory/applications/allProperties/allTasks", "microsoft.directory/applications/delete", true},
		{"microsoft.directory/applications/allProperties/allTasks", "microsoft.directory/applications/credentials/update", true},
		{"microsoft.directory/applications/allProperties/allTasks", "microsoft.directory/applicationTemplates/instantiate", false},
		{"microsoft.directory/applications/allProperties/allTasks", "microsoft.directory/applications", false},
		{"microsoft.directory/applications/allProperties/read", "microsoft.directory/applications/standard/read", true},
		{"microsoft.directory/applications/allProperties/read", "microsoft.directory/applications/synchronization/standard/read", true},
		{"microsoft.directory/applications/allProperties/read", "microsoft.directory/applications/basic/update", false},
		{"microsoft.directory/applications/allProperties/read", "microsoft.directory/applications/allProperties/allTasks", false},
		{"microsoft.directory/applications/allProperties/read", "microsoft.directory/users/standard/read", false},
		{"microsoft.directory/applications/*", "microsoft.directory/applications/create", false},
		{"microsoft.directory/groupsAssignableToRoles/allProperties/update", "microsoft.directory/groupsAssignableToRoles/basic/update", false},
	}
	for _, tt := range tests {
		if got := includes(tt.granted, tt.action); got != tt.want {
			t.Errorf("%s includes %s: %v, want %v", tt.granted, tt.action, got, tt.want)
		}
	}
}

// TestRolesAreWellFormed holds what matching relies on, and the template ids
// of reference/graph.md, 8.1.
func TestRolesAreWellFormed(t *testing.T) {
	ids := map[string]string{
		"Global Administrator":            "62e90394-69f5-4237-9190-012177145e10",
		"Application Administrator":       "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",
		"Cloud Application Administrator": "158c047a-c907-4556-b7ef-446551a6b5f7",
		"Hybrid Identity Administrator":   "8ac3fc64-6eca-42ea-9e69-59f4c7b60eb2",
		"Application Developer":           "cf1c38e5-3621-4004-a7cb-879624dced7c",
		"Privileged Role Administrator":   "e8611ab8-c189-46e8-94e1-60213ab1f814",
		"Directory Readers":               "88d8e3e3-8f55-4a1e-953a-9b9898b8876b",
		"Directory Writers":               "9360feb5-f418-4baa-8175-e2a00bac4301",
		"Security Reader":                 "5d6b6bb7-de71-4623-b4af-96380a352509",
		"Reports Reader":                  "4a5d8f65-41da-4de4-8968-e035b65339cf",
		"Global Reader":                   "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
		"User Administrator":              "fe930be7-5e62-47db-91af-98c3a49a38b1",
		"Groups Administrator":            "fdd7a751-b60b-444a-984c-02652fe8fa1c",
	}
	all := BuiltinRoles()
	if len(all) != len(ids) {
		t.Errorf("%d roles, want %d", len(all), len(ids))
	}
	for _, r := range all {
		if r.TemplateID.String() != ids[r.Name] {
			t.Errorf("%s has template id %s", r.Name, r.TemplateID)
		}
		if r.Description == "" || len(r.Actions) == 0 {
			t.Errorf("%s says or allows nothing", r.Name)
		}
		sorted := slices.Clone(r.Actions)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != len(r.Actions) {
			t.Errorf("%s names an action twice", r.Name)
		}
		for _, action := range r.Actions {
			if !strings.HasPrefix(action, namespace) || strings.Contains(action, "*") || len(strings.Split(action, "/")) < 3 {
				t.Errorf("%s: %q is no action of the directory", r.Name, action)
			}
			if !Allowed(role(t, "Global Administrator"), action) {
				t.Errorf("%s may %s, Global Administrator may not", r.Name, action)
			}
		}
	}
}

func TestTablesCannotBeChangedFromOutside(t *testing.T) {
	BuiltinRoles()[0].Actions[0] = "changed"
	byTemplate, ok := RoleByTemplate(directoryReaders)
	if !ok || byTemplate.Name != "Directory Readers" {
		t.Fatalf("found %q", byTemplate.Name)
	}
	byTemplate.Actions[1] = "changed"
	if slices.Contains(roles[0].Actions, "changed") {
		t.Error("a caller changed the directory roles")
	}
	reader := azureRole(t, "Reader")
	AzureRoles()[0].Actions[0] = "*"
	byID, ok := AzureRoleByID(reader)
	if !ok || byID.Name != "Reader" {
		t.Fatalf("found %q", byID.Name)
	}
	byID.Actions[0] = "*"
	if azureRoles[0].Actions[0] != "*/read" {
		t.Error("a caller changed the Azure roles")
	}
	if _, ok := RoleByTemplate(custom); ok {
		t.Error("found a role that is not built in")
	}
	if _, ok := AzureRoleByID(custom); ok {
		t.Error("found an Azure role that is not built in")
	}
}
