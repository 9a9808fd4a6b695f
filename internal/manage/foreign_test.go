package manage_test

import (
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
)

// TestRecordsOfAnotherTenantNameNoStranger: what follows an application into
// another tenant is recorded there without whoever changed it; and the refusal of
// what stands in the way names neither that tenant nor anything of it.
func TestRecordsOfAnotherTenantNameNoStranger(t *testing.T) {
	p := newPlatform(t)
	p.apply("tenants: [{name: home, applications: [{name: multi, signInAudience: AzureADMultipleOrgs, identifierUris: [api://one]}]}, {name: secretive, servicePrincipals: [{application: home/multi}], applications: [{name: local, identifierUris: [api://local]}]}]")
	home, away := p.tenant("home").ID, p.tenant("secretive").ID
	u, err := p.Operator(t.Context(), caller, home)
	if err != nil {
		t.Fatal(err)
	}
	c := callerOf(&access.Caller{Tenant: home, Principal: u.ID, User: true, Scopes: []string{"Directory.AccessAsUser.All"}})
	c.Need = access.Permission{Delegated: []string{"Application.ReadWrite.All"}, Action: "microsoft.directory/applications/basic/update"}
	rename := func(uri string) error {
		_, err := p.ChangeApplication(t.Context(), c, home, manage.Key{ID: p.app("multi").ID}, func(a *directory.Application) error {
			a.IdentifierURIs = []string{uri}
			return nil
		})
		return err
	}
	if err := rename("api://two"); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.changes(audit.Query{Tenant: away}) {
		if r.Actor.ID == u.ID.String() || strings.Contains(r.Actor.Name, "operator") {
			t.Errorf("%s %s by %+v", r.Action, r.Target.Name, r.Actor)
		}
	}
	if err := rename("api://local"); problem.KindOf(err) != problem.Conflict {
		t.Fatal(err)
	}
	for _, r := range p.changes(audit.Query{Tenant: home}) {
		if r.Outcome == audit.Refused && strings.Contains(r.Detail, "secretive") {
			t.Errorf("the refusal names the other tenant: %s", r.Detail)
		}
	}
}
