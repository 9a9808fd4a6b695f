package access

import (
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/directory"
	"github.com/google/go-cmp/cmp"
)

var (
	tenant  = directory.MustTenantID("3d1e2be9-a10a-4a0c-8380-7ce190f98ed9")
	someone = directory.MustObjectID("0aaa0000-00aa-40aa-8aaa-00000000000a")
	thisApp = directory.MustObjectID("0ccc0000-00cc-40cc-8ccc-00000000000c")
	another = directory.MustObjectID("0ddd0000-00dd-40dd-8ddd-00000000000d")
	custom  = directory.MustObjectID("0eee0000-00ee-40ee-8eee-00000000000e") // a role that is not built in
)

// role is the template id of a built-in directory role.
func role(t *testing.T, name string) directory.ObjectID {
	t.Helper()
	for _, r := range BuiltinRoles() {
		if r.Name == name {
			return r.TemplateID
		}
	}
	t.Fatalf("no directory role %q", name)
	return directory.ObjectID{}
}

func azureRole(t *testing.T, name string) directory.ObjectID {
	t.Helper()
	for _, r := range AzureRoles() {
		if r.Name == name {
			return r.ID
		}
	}
	t.Fatalf("no Azure role %q", name)
	return directory.ObjectID{}
}

// caller is a user with the scopes, or without any the application itself.
func caller(scopes ...string) *Caller {
	return &Caller{Tenant: tenant, Principal: someone, User: len(scopes) > 0, Scopes: scopes}
}

// The permissions of some operations, as reference/graph.md 8.2 states them.
var (
	readApplication = Permission{
		Delegated:   []string{"Application.Read.All", "Application.ReadWrite.All"},
		Application: []string{"Application.Read.All", "Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"},
		Action:      "microsoft.directory/applications/standard/read", Member: true,
	}
	createApplication = Permission{
		Delegated:   []string{"Application.ReadWrite.All"},
		Application: []string{"Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"},
		Action:      "microsoft.directory/applications/create",
	}
	addCredential = Permission{
		Delegated:   []string{"Application.ReadWrite.All"},
		Application: []string{"Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"},
		Action:      "microsoft.directory/applications/credentials/update", Owner: true,
	}
	assignRole = Permission{
		Delegated:   []string{"RoleManagement.ReadWrite.Directory"},
		Application: []string{"RoleManagement.ReadWrite.Directory"},
		Action:      "microsoft.directory/roleAssignments/allProperties/allTasks",
	}
	readSignIns = Permission{
		Delegated: []string{"AuditLog.Read.All"}, Application: []string{"AuditLog.Read.All"},
		Action: "microsoft.directory/signInReports/allProperties/read",
	}
	createGroup = Permission{Delegated: []string{"Group.ReadWrite.All"}, Action: "microsoft.directory/groups/create", Owner: true}
	readMe      = Permission{Delegated: []string{"User.Read"}, Self: true}
	// A write of which the author forgot to state Owner.
	forgetful = Permission{
		Delegated: []string{"Application.ReadWrite.All"}, Application: []string{"Application.ReadWrite.OwnedBy"},
		Action: "microsoft.directory/applications/basic/update",
	}
	appOnly = Permission{Application: []string{"Application.ReadWrite.All"}}
)

func TestDecide(t *testing.T) {
	const (
		all   = "Application.ReadWrite.All"
		owned = "Application.ReadWrite.OwnedBy"
	)
	holding := func(names ...string) *Rights {
		r := new(Rights)
		for _, name := range names {
			r.Roles = append(r.Roles, HeldRole{Role: role(t, name)})
		}
		return r
	}
	over := func(scope directory.ObjectID, name string) *Rights {
		return &Rights{Roles: []HeldRole{{Role: role(t, name), Scope: scope}}}
	}
	granted := func(values ...string) *Rights { return &Rights{AppRoles: values} }
	none := new(Rights)
	existing, mine := Object{ID: thisApp}, Object{ID: thisApp, Owned: true}
	user, application := caller(all), caller()

	tests := []struct {
		name string
		is   Reason
		may  Permission
		who  *Caller
		with *Rights
		to   Object
	}{
		// Users: the token must carry the scope.
		{"an administrator adds a credential", "", addCredential, user, holding("Application Administrator"), existing},
		{"the scope to act as the user stands for any scope", "", addCredential, caller("openid", "Directory.AccessAsUser.All"), holding("Application Administrator"), existing},
		{"an administrator without the scope is refused", ScopeMissing, addCredential, caller("Application.Read.All"), holding("Global Administrator"), existing},
		{"an owner without the scope is refused", ScopeMissing, addCredential, caller("User.Read"), none, mine},
		{"a scope in another case is another scope", ScopeMissing, addCredential, caller(strings.ToLower(all)), holding("Global Administrator"), existing},
		{"what no scope allows is not for users", ApplicationsOnly, appOnly, caller("Directory.AccessAsUser.All"), holding("Global Administrator"), existing},
		{"a user's app roles do not stand for the scope", ScopeMissing, addCredential, caller("User.Read"), granted(all), existing},

		// Users: the directory must give the right.
		{"the scope alone adds no credential", RoleMissing, addCredential, user, none, existing},
		{"a user's app roles do not stand for a directory role", RoleMissing, addCredential, user, granted(all), existing},
		{"the owner adds a credential", "", addCredential, user, none, mine},
		{"Application Developer adds none to applications of others", RoleMissing, addCredential, user, holding("Application Developer"), existing},
		{"Application Developer adds one to its own application", "", addCredential, user, holding("Application Developer"), mine},
		{"a reader adds none", RoleMissing, addCredential, user, holding("Global Reader"), existing},
		{"a role over this application is enough", "", addCredential, user, over(thisApp, "Application Administrator"), existing},
		{"a role over another application is not", RoleMissing, addCredential, user, over(another, "Application Administrator"), existing},
		{"a role over one application does not list", RoleMissing, addCredential, user, over(thisApp, "Application Administrator"), Object{}},
		{"a role that is not built in allows nothing", RoleMissing, addCredential, user, &Rights{Roles: []HeldRole{{Role: custom}}}, existing},
		{"ownership is not asked where it is not stated", RoleMissing, assignRole, caller("RoleManagement.ReadWrite.Directory"), none, mine},
		{"a member reads applications", "", readApplication, user, none, existing},
		{"a member reads no sign-ins", RoleMissing, readSignIns, caller("AuditLog.Read.All"), none, Object{}},
		{"Reports Reader reads sign-ins", "", readSignIns, caller("AuditLog.Read.All"), holding("Reports Reader"), Object{}},
		{"everybody reads himself", "", readMe, caller("User.Read"), none, Object{ID: someone, Self: true}},
		{"and nobody else that way", RoleMissing, readMe, caller("User.Read"), holding("Global Administrator"), Object{ID: another}},
		{"being the object is not asked where it is not stated", RoleMissing, readSignIns, caller("AuditLog.Read.All"), none, Object{ID: someone, Self: true}},
		{"Application Developer registers an application", "", createApplication, user, holding("Application Developer"), Object{New: true}},
		{"Application Developer registers none for others", RoleMissing, createApplication, user, holding("Application Developer"), Object{}},
		{"a plain user does not where the tenant forbids it", RoleMissing, createApplication, user, none, Object{New: true}},
		{"a role over one application creates none", RoleMissing, createApplication, user, over(thisApp, "Application Administrator"), Object{New: true}},

		// Applications: an app role, or a directory role.
		{"an app role is enough", "", addCredential, application, granted(all), existing},
		{"another app role is not", AppRoleMissing, addCredential, application, granted("Application.Read.All"), existing},
		{"an application without rights may nothing", AppRoleMissing, addCredential, application, none, existing},
		{"owning without an app role is not enough", AppRoleMissing, addCredential, application, none, mine},
		{"OwnedBy reaches what the application owns", "", addCredential, application, granted(owned), mine},
		{"and nothing else", NotOwner, addCredential, application, granted(owned), existing},
		{"OwnedBy beside a wider app role does no harm", "", addCredential, application, granted(owned, all), existing},
		{"OwnedBy reads everything", "", readApplication, application, granted(owned), existing},
		{"OwnedBy creates", "", createApplication, application, granted(owned), Object{New: true}},
		{"OwnedBy adds no part to an object that a route calls new", NotOwner, addCredential, application, granted(owned), Object{ID: thisApp, New: true}},
		{"OwnedBy does not reach a write that forgot to state Owner", AppRoleMissing, forgetful, application, granted(owned), mine},
		{"a directory role stands for an app role", "", addCredential, application, holding("Application Administrator"), existing},
		{"also beside OwnedBy", "", addCredential, application, &Rights{AppRoles: []string{owned}, Roles: []HeldRole{{Role: role(t, "Application Administrator")}}}, existing},
		{"a directory role over this application too", "", addCredential, application, over(thisApp, "Cloud Application Administrator"), existing},
		{"but not over another", AppRoleMissing, addCredential, application, over(another, "Cloud Application Administrator"), existing},
		{"an application is no member", AppRoleMissing, readApplication, application, none, existing},
		{"Directory Readers reads as an application", "", readApplication, application, holding("Directory Readers"), existing},
		{"every role inherits from Directory Readers", "", readApplication, application, holding("Reports Reader"), existing},
		{"scopes in an application's token count for nothing", AppRoleMissing, addCredential, &Caller{Tenant: tenant, Principal: someone, Scopes: []string{all}}, none, existing},
		{"an application has no /me", UsersOnly, readMe, application, holding("Global Administrator"), Object{ID: someone, Self: true}},

		// What was never filled in.
		{"nobody may nothing", CallerUnknown, readApplication, new(Caller), granted("Application.Read.All"), existing},
		{"a caller without a tenant is nobody", CallerUnknown, readApplication, &Caller{Principal: someone}, granted("Application.Read.All"), existing},
		{"a caller without a principal is nobody", CallerUnknown, readApplication, &Caller{Tenant: tenant}, granted("Application.Read.All"), existing},
		{"an empty permission is for no user", ApplicationsOnly, Permission{}, caller("Directory.AccessAsUser.All"), holding("Global Administrator"), mine},
		{"and for no application", UsersOnly, Permission{}, application, holding("Global Administrator"), mine},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			refusal := tt.may.Decide(tt.who, tt.with, tt.to)
			var is Reason
			if refusal != nil {
				is = refusal.Reason
			}
			if is != tt.is {
				t.Fatalf("reason %q, want %q", is, tt.is)
			}
			if refusal != nil && refusal.Mend == "" {
				t.Error("nothing is said about how to mend it")
			}
		})
	}
}

func TestRefusalSaysWhatWasMissing(t *testing.T) {
	bare := new(Rights)
	tests := []struct {
		name string
		got  *Refusal
		want *Refusal
	}{
		{
			"an application that lacks everything",
			addCredential.Decide(caller(), bare, Object{ID: thisApp}),
			&Refusal{
				Reason: AppRoleMissing, Action: addCredential.Action,
				Scopes: addCredential.Delegated, AppRoles: addCredential.Application,
				Roles: []string{"Application Administrator", "Cloud Application Administrator", "Global Administrator"},
				Mend:  "grant app role Application.ReadWrite.All on Microsoft Graph, or assign the directory role Application Administrator",
			},
		},
		{
			"an application that does not own the object",
			addCredential.Decide(caller(), &Rights{AppRoles: []string{"Application.ReadWrite.OwnedBy"}}, Object{ID: thisApp}),
			&Refusal{
				Reason: NotOwner, Action: addCredential.Action,
				Scopes: addCredential.Delegated, AppRoles: addCredential.Application,
				Roles: []string{"Application Administrator", "Cloud Application Administrator", "Global Administrator"},
				Mend:  "make the application an owner of the object, or grant app role Application.ReadWrite.All on Microsoft Graph, or assign the directory role Application Administrator",
			},
		},
		{
			"a user's token without the scope",
			readSignIns.Decide(caller("User.Read"), bare, Object{}),
			&Refusal{
				Reason: ScopeMissing, Action: readSignIns.Action,
				Scopes: readSignIns.Delegated, AppRoles: readSignIns.Application,
				Roles: []string{"Reports Reader", "Security Reader", "Application Administrator", "Cloud Application Administrator",
					"Hybrid Identity Administrator", "Global Reader", "Global Administrator"},
				Mend: "ask for a token with the scope AuditLog.Read.All of Microsoft Graph",
			},
		},
		{
			"a user without the right",
			addCredential.Decide(caller("Application.ReadWrite.All"), bare, Object{ID: thisApp}),
			&Refusal{
				Reason: RoleMissing, Action: addCredential.Action,
				Scopes: addCredential.Delegated, AppRoles: addCredential.Application,
				Roles: []string{"Application Administrator", "Cloud Application Administrator", "Global Administrator"},
				Mend:  "assign the directory role Application Administrator, or make the user an owner of the object",
			},
		},
		{
			"a user who may not register",
			createApplication.Decide(caller("Application.ReadWrite.All"), bare, Object{New: true}),
			&Refusal{
				Reason: RoleMissing, Action: createApplication.Action,
				Scopes: createApplication.Delegated, AppRoles: createApplication.Application,
				Roles: []string{"Application Developer", "Application Administrator", "Cloud Application Administrator",
					"Hybrid Identity Administrator", "Global Administrator"},
				Mend: "assign the directory role Application Developer",
			},
		},
		{
			"nobody owns what is not there yet",
			createGroup.Decide(caller("Group.ReadWrite.All"), bare, Object{New: true}),
			&Refusal{
				Reason: RoleMissing, Action: createGroup.Action, Scopes: createGroup.Delegated,
				Roles: []string{"Groups Administrator", "User Administrator", "Directory Writers", "Global Administrator"},
				Mend:  "assign the directory role Groups Administrator",
			},
		},
		{
			"a user who asks for somebody else",
			readMe.Decide(caller("User.Read"), bare, Object{ID: another}),
			&Refusal{Reason: RoleMissing, Scopes: readMe.Delegated, Mend: "let the user himself do it"},
		},
		{
			"an app role that is only for what one owns is better than none",
			forgetful.Decide(caller(), bare, Object{ID: thisApp}),
			&Refusal{
				Reason: AppRoleMissing, Action: forgetful.Action,
				Scopes: forgetful.Delegated, AppRoles: forgetful.Application,
				Roles: []string{"Application Administrator", "Cloud Application Administrator", "Hybrid Identity Administrator",
					"Global Administrator"},
				Mend: "grant app role Application.ReadWrite.OwnedBy on Microsoft Graph, or assign the directory role Application Administrator",
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
}
