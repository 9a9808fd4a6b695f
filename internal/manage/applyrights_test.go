package manage_test

import (
	"context"
	"testing"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

const rightsFile = `tenants:
  - name: contoso
    domains: [contoso.example]
    managedIdentities: [{name: msi-admin, resourceGroup: admin}]
    applications:
      - {name: orders, owners: ["user:ada@contoso.example", msi-admin]}
    users:
      - {userPrincipalName: ada@contoso.example, displayName: Ada}
      - {userPrincipalName: bob@contoso.example}
    groups:
      - {name: admins, roleAssignable: true, members: ["user:ada@contoso.example", msi-admin]}
      - {name: readers, members: ["group:admins", "user:bob@contoso.example"]}
    directoryRoleAssignments:
      - {principal: msi-admin, role: Global Administrator}
      - {principal: "group:admins", role: Application Administrator}
      - {principal: "user:bob@contoso.example", role: Application Administrator, application: orders}
    roleAssignments:
      - {principal: msi-admin, role: Owner}
      - {principal: "group:readers", role: Reader, resourceGroup: admin}
    appRoleAssignments:
      - {principal: orders, resource: Microsoft Graph, role: Application.Read.All}
`

// TestApplyRights: people and rights are applied like everything else: once, and
// then no more; what a list leaves out is taken away.
func TestApplyRights(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	plan := p.apply(rightsFile)
	for _, want := range []string{
		"create user contoso/ada@contoso.example", "create group contoso/admins", "create directoryRoleAssignment contoso/msi-admin: Global Administrator",
		"create appRoleAssignment contoso/orders: Application.Read.All of Microsoft Graph",
	} {
		found := false
		for _, s := range steps(plan) {
			found = found || s == want
		}
		if !found {
			t.Errorf("the plan lacks %q: %q", want, steps(plan))
		}
	}
	if again := p.apply(rightsFile); !again.Empty() {
		t.Errorf("applied again it changes %q", steps(again))
	}
	tenant, err := p.FindTenant(t.Context(), "contoso")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := p.FindIdentity(t.Context(), "msi-admin")
	if err != nil {
		t.Fatal(err)
	}
	err = p.db.View(context.Background(), func(tx manage.Tx) error {
		azure, err := tx.AzureAssignmentsOf(tenant.ID, identity.PrincipalID)
		if err != nil {
			return err
		}
		if len(azure) != 1 || azure[0].Scope != "/subscriptions/"+tenant.Subscription.String() || azure[0].Role != access.AzureOwner {
			t.Errorf("the identity's roles on resources: %+v", azure)
		}
		groups, err := tx.LinkedBy(tenant.ID, directory.MemberRelation, identity.PrincipalID)
		if err != nil || len(groups) != 1 {
			t.Errorf("it is in %v, %v", groups, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.apply("tenants: [{name: contoso, users: [], groups: [], directoryRoleAssignments: [], roleAssignments: []}]")
	err = p.db.View(context.Background(), func(tx manage.Tx) error {
		users, err1 := tx.SelectUsers(tenant.ID, directory.Selection{})
		groups, err2 := tx.SelectGroups(tenant.ID, directory.Selection{})
		roles, err3 := tx.RoleAssignments(tenant.ID)
		azure, err4 := tx.AzureAssignments(tenant.ID)
		links, err5 := tx.LinkedBy(tenant.ID, directory.MemberRelation, identity.PrincipalID)
		if len(users)+len(groups)+len(roles)+len(azure)+len(links) != 0 {
			t.Errorf("left over: %v %v %v %v %v, %v", users, groups, roles, azure, links, []error{err1, err2, err3, err4, err5})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestApplyRightsRefusals(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	for file, want := range map[string]string{
		`tenants: [{name: a, directoryRoleAssignments: [{principal: "user:x@a.example", role: Global Administrator}]}]`:                                                 `f.yaml:1:60: tenants[0].directoryRoleAssignments[0].principal: tenant a has no user "x@a.example"; list it under users`,
		`tenants: [{name: a, users: [{userPrincipalName: x@a.example}], roleAssignments: [{principal: "user:x@a.example", role: Owner, scope: /subscriptions/other}]}]`: "",
		`tenants: [{name: a, users: [{userPrincipalName: nobody}]}]`:                                                                                                    "f.yaml:1:49: tenants[0].users[0].userPrincipalName: is not a principal name such as ada@contoso.example",
	} {
		if want != "" {
			p.refuses(file, want)
			continue
		}
		if _, err := p.try(file); err == nil {
			t.Errorf("%s: accepted", file)
		}
	}
}

// TestOperator: the platform's own user administers a tenant by a user of its
// own, made once; it comes back when it was taken away.
func TestOperator(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.apply("tenants: [{name: contoso, domains: [contoso.example]}, {name: bare}]")
	for _, c := range []struct{ tenant, upn string }{{"contoso", "operator@contoso.example"}, {"bare", "operator@bare.avouch.invalid"}} {
		tenant, err := p.FindTenant(t.Context(), c.tenant)
		if err != nil {
			t.Fatal(err)
		}
		first, err := p.Operator(t.Context(), caller, tenant.ID)
		if err != nil || first.UPN != c.upn {
			t.Fatalf("%+v, %v", first, err)
		}
		again, err := p.Operator(t.Context(), caller, tenant.ID)
		if err != nil || again.ID != first.ID {
			t.Errorf("a second operator: %+v, %v", again, err)
		}
		p.apply("tenants: [{name: " + c.tenant + ", directoryRoleAssignments: [], roleAssignments: []}]")
		if _, err := p.Operator(t.Context(), caller, tenant.ID); err != nil {
			t.Fatal(err)
		}
		err = p.db.View(t.Context(), func(tx manage.Tx) error {
			roles, err := tx.RoleAssignmentsOf(tenant.ID, first.ID)
			if len(roles) != 1 || roles[0].Role != access.GlobalAdministrator {
				t.Errorf("roles %v, %v", roles, err)
			}
			azure, err := tx.AzureAssignmentsOf(tenant.ID, first.ID)
			if len(azure) != 1 || azure[0].Role != access.AzureOwner {
				t.Errorf("roles on resources %v, %v", azure, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
