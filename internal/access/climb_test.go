package access

import (
	"testing"

	"github.com/avouch/avouch/internal/directory"
	"github.com/google/go-cmp/cmp"
)

func TestClimbs(t *testing.T) {
	const (
		roleManagement = "RoleManagement.ReadWrite.Directory"
		appRoleManager = "AppRoleAssignment.ReadWrite.All"
		asUser         = "Directory.AccessAsUser.All"
		writeApps      = "Application.ReadWrite.All"
	)
	directoryRole := func(name string) *Held { return &Held{Roles: []HeldRole{{Role: role(t, name)}}} }
	graphRole := func(value string) *Held {
		return &Held{AppRoles: []HeldAppRole{{Resource: "Microsoft Graph", Graph: true, Value: value}}}
	}
	otherRole := &Held{AppRoles: []HeldAppRole{{Resource: "Orders", Value: "Orders.Write"}}}
	azure := func(name, scope string) *Held {
		return &Held{Assignments: []HeldAssignment{{Role: azureRole(t, name), Scope: scope}}}
	}
	holding := func(names ...string) *Rights {
		r := new(Rights)
		for _, name := range names {
			r.Roles = append(r.Roles, HeldRole{Role: role(t, name)})
		}
		return r
	}
	granted := func(values ...string) *Rights { return &Rights{AppRoles: values} }
	user, application := caller(asUser), caller()
	yes, no := true, false

	tests := []struct {
		name   string
		climbs bool
		who    *Caller
		with   *Rights
		held   *Held
	}{
		{"an application without rights is nobody's ladder", no, caller(writeApps), new(Rights), new(Held)},
		{"nobody adds credentials even to that", yes, new(Caller), new(Rights), new(Held)},

		// Directory roles.
		{"Privileged Role Administrator could assign any role", no, user, holding("Privileged Role Administrator"), directoryRole("Global Administrator")},
		{"with the scope for it", no, caller(writeApps, roleManagement), holding("Privileged Role Administrator"), directoryRole("Global Administrator")},
		{"but not with a token for applications only", yes, caller(writeApps), holding("Privileged Role Administrator"), directoryRole("Global Administrator")},
		{"nor with the scope and no role", yes, caller(roleManagement), new(Rights), directoryRole("Directory Readers")},
		{"Global Administrator could", no, user, holding("Global Administrator"), directoryRole("Global Administrator")},
		{"Application Administrator could not, not even a reader's role", yes, user, holding("Application Administrator"), directoryRole("Directory Readers")},
		{"nor the role that he holds himself", yes, user, holding("Application Administrator"), directoryRole("Application Administrator")},
		{"a role over one object is a right too", yes, user, holding("Application Administrator"), &Held{Roles: []HeldRole{{Role: role(t, "Application Administrator"), Scope: thisApp}}}},
		{"so is a role that is not built in", yes, user, holding("Application Administrator"), &Held{Roles: []HeldRole{{Role: custom}}}},
		{"an application that manages roles could", no, application, granted(roleManagement), directoryRole("Global Administrator")},
		{"so could one that holds the directory role", no, application, holding("Privileged Role Administrator"), directoryRole("Global Administrator")},
		{"an application that manages app roles could not", yes, application, granted(appRoleManager), directoryRole("Directory Readers")},
		{"a user gains nothing from app roles", yes, user, granted(roleManagement), directoryRole("Directory Readers")},
		{"a role over one application grants nothing on the tenant", yes, user,
			&Rights{Roles: []HeldRole{{Role: role(t, "Privileged Role Administrator"), Scope: thisApp}}}, directoryRole("Directory Readers")},

		// App roles on Microsoft Graph.
		{"Application Administrator grants no app role on Graph", yes, user, holding("Application Administrator"), graphRole("User.Read.All")},
		{"Privileged Role Administrator does", no, user, holding("Privileged Role Administrator"), graphRole("RoleManagement.ReadWrite.Directory")},
		{"Global Administrator does", no, user, holding("Global Administrator"), graphRole("User.Read.All")},
		{"with the scope for it", no, caller(writeApps, appRoleManager), holding("Global Administrator"), graphRole("User.Read.All")},
		{"but not with a token for applications only", yes, caller(writeApps), holding("Global Administrator"), graphRole("User.Read.All")},
		{"an application that manages app roles does", no, application, granted(appRoleManager), graphRole("User.Read.All")},
		{"an application that writes applications does not", yes, application, granted(writeApps), graphRole("User.Read.All")},
		{"nor one that holds the same app role", yes, application, granted("User.Read.All", writeApps), graphRole("User.Read.All")},

		// App roles on other resources.
		{"Application Administrator grants app roles elsewhere", no, user, holding("Application Administrator"), otherRole},
		{"so does Cloud Application Administrator", no, user, holding("Cloud Application Administrator"), otherRole},
		{"but not with a token for applications only", yes, caller(writeApps), holding("Application Administrator"), otherRole},
		{"the owner of the application does not", yes, user, new(Rights), otherRole},
		{"nor Application Developer", yes, user, holding("Application Developer"), otherRole},
		{"an application that manages app roles does", no, application, granted(appRoleManager), otherRole},
		{"so does one that holds the directory role", no, application, holding("Cloud Application Administrator"), otherRole},
		{"an application that writes applications does not", yes, application, granted(writeApps), otherRole},
		{"Application Administrator over that application does not", yes, user,
			&Rights{Roles: []HeldRole{{Role: role(t, "Application Administrator"), Scope: thisApp}}}, otherRole},

		// Azure assignments.
		{"an Owner could assign at his scope", no, user, assigned(t, "Owner", groupA), azure("Owner", groupA)},
		{"and below", no, user, assigned(t, "User Access Administrator", groupA), azure("Storage Blob Data Reader", container)},
		{"but not above", yes, user, assigned(t, "Owner", groupA), azure("Reader", subscription)},
		{"nor beside", yes, user, assigned(t, "Owner", groupA), azure("Reader", groupB)},
		{"a Contributor could not", yes, user, assigned(t, "Contributor", groupA), azure("Contributor", groupA)},
		{"Global Administrator is nobody in Azure", yes, user, holding("Global Administrator"), azure("Reader", groupA)},
		{"an application could as a user could", no, application, assigned(t, "Role Based Access Control Administrator", "/"), azure("Owner", groupA)},
		{"an assignment without a scope is never covered", yes, user, assigned(t, "Owner", "/"), azure("Reader", "")},

		// Together.
		{"one right that is not covered is enough", yes, user, holding("Application Administrator"), &Held{
			AppRoles: []HeldAppRole{{Resource: "Orders", Value: "Orders.Write"}, {Resource: "Microsoft Graph", Graph: true, Value: "User.Read.All"}},
		}},
		{"everything covered", no, user, &Rights{
			Roles:       []HeldRole{{Role: role(t, "Global Administrator")}},
			Assignments: []HeldAssignment{{Role: azureRole(t, "Owner"), Scope: subscription}},
		}, &Held{
			Roles:       []HeldRole{{Role: role(t, "Directory Readers")}},
			AppRoles:    []HeldAppRole{{Resource: "Orders", Value: "Orders.Write"}, {Resource: "Microsoft Graph", Graph: true, Value: "User.Read.All"}},
			Assignments: []HeldAssignment{{Role: azureRole(t, "Contributor"), Scope: groupA}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			refusal := Climbs(tt.who, tt.with, tt.held)
			if got := refusal != nil; got != tt.climbs {
				t.Fatalf("climbs: %v, want %v (%+v)", got, tt.climbs, refusal)
			}
			if refusal != nil && refusal.Mend == "" {
				t.Error("nothing is said about how to mend it")
			}
		})
	}
}

func TestRefusalOfClimbs(t *testing.T) {
	held := &Held{
		Roles: []HeldRole{{Role: role(t, "Global Reader")}, {Role: custom, Scope: thisApp}},
		AppRoles: []HeldAppRole{
			{Resource: "Microsoft Graph", Graph: true, Value: "User.Read.All"},
			{Resource: "Orders", Value: "Orders.Write"},
		},
		Assignments: []HeldAssignment{{Role: azureRole(t, "Owner"), Scope: groupA}, {Role: custom, Scope: groupB}},
	}
	tests := []struct {
		name string
		got  *Refusal
		want *Refusal
	}{
		{
			"a user is told the scopes that he needs too",
			Climbs(caller("Application.ReadWrite.All"), new(Rights), &Held{Roles: held.Roles[:1]}),
			&Refusal{
				Reason: Climb, Rights: []string{"directory role Global Reader"},
				Roles: []string{"Privileged Role Administrator", "Global Administrator"}, Scopes: []string{"RoleManagement.ReadWrite.Directory"},
				Mend: "let somebody add the credential who could grant these rights (Privileged Role Administrator, Global Administrator), " +
					"with the scope RoleManagement.ReadWrite.Directory in his token, or take the rights from the application",
			},
		},
		{
			"an application is told the app role that would do",
			Climbs(caller(), new(Rights), &Held{AppRoles: held.AppRoles[:1]}),
			&Refusal{
				Reason: Climb, Rights: []string{"app role User.Read.All on Microsoft Graph"},
				Roles: []string{"Privileged Role Administrator", "Global Administrator"}, AppRoles: []string{"AppRoleAssignment.ReadWrite.All"},
				Mend: "let somebody add the credential who could grant these rights (Privileged Role Administrator, Global Administrator), " +
					"grant the caller app role AppRoleAssignment.ReadWrite.All on Microsoft Graph, or take the rights from the application",
			},
		},
		{
			"Azure has roles of its own",
			Climbs(caller(), new(Rights), &Held{Assignments: held.Assignments}),
			&Refusal{
				Reason: Climb, Rights: []string{"Azure role Owner at " + groupA, "Azure role " + custom.String() + " at " + groupB},
				Roles: []string{"Role Based Access Control Administrator", "User Access Administrator", "Owner"},
				Mend: "let somebody add the credential who could grant these rights " +
					"(Role Based Access Control Administrator, User Access Administrator, Owner), or take the rights from the application",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.got); diff != "" {
				t.Error(diff)
			}
		})
	}

	t.Run("only the first few rights are named", func(t *testing.T) {
		got := Climbs(caller(), new(Rights), held)
		want := []string{"directory role Global Reader", "directory role " + custom.String(), "app role User.Read.All on Microsoft Graph"}
		if diff := cmp.Diff(want, got.Rights); diff != "" {
			t.Error(diff)
		}
		if got.More != 3 {
			t.Errorf("%d more rights, want 3", got.More)
		}
	})
}

// TestOnlyRolesThatAssignRolesPass: of all built-in roles, two may add a
// credential to an application that holds a directory role.
func TestOnlyRolesThatAssignRolesPass(t *testing.T) {
	held := &Held{Roles: []HeldRole{{Role: directoryReaders}}}
	may := map[directory.ObjectID]bool{
		role(t, "Global Administrator"):          true,
		role(t, "Privileged Role Administrator"): true,
	}
	for _, r := range BuiltinRoles() {
		rights := &Rights{Roles: []HeldRole{{Role: r.TemplateID}}}
		if got := Climbs(caller("Directory.AccessAsUser.All"), rights, held) == nil; got != may[r.TemplateID] {
			t.Errorf("%s passes: %v", r.Name, got)
		}
	}
}
