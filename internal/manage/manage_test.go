package manage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
	"github.com/avouch/avouch/internal/store"
)

var (
	caller    = manage.Caller{Actor: audit.Actor{Kind: "localUser", ID: "1000", Name: "ada"}, Correlation: "0b0c0d0e-0000-4000-8000-000000000001"}
	testClock = func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
)

// platform is a directory that a test works on.
type platform struct {
	*manage.Service
	t  testing.TB
	db *store.DB
}

func newPlatform(t testing.TB) *platform {
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
	return &platform{manage.New(db, directory.Global(), testClock, slog.New(slog.DiscardHandler)), t, db}
}

func parse(t testing.TB, name, text string) *config.Directory {
	t.Helper()
	dir, err := config.ParseDirectory(name, []byte(text))
	if err != nil {
		t.Fatalf("parsing %s: %v", name, err)
	}
	return dir
}

// try applies a file and returns what Apply does.
func (p *platform) try(text string) (*manage.Plan, error) {
	p.t.Helper()
	return p.Apply(context.Background(), caller, []*config.Directory{parse(p.t, "f.yaml", text)}, manage.ApplyOptions{})
}

// apply applies a file that must be accepted.
func (p *platform) apply(text string) *manage.Plan {
	p.t.Helper()
	plan, err := p.try(text)
	if err != nil {
		p.t.Fatalf("apply: %v", err)
	}
	return plan
}

// refuses applies a file that must be refused with exactly that message, and
// must leave no trace.
func (p *platform) refuses(text, want string) {
	p.t.Helper()
	before := p.dump()
	_, err := p.try(text)
	if err == nil {
		p.t.Fatalf("accepted; want the refusal %q", want)
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		p.t.Errorf("refusal (-want +got):\n%s", diff)
	}
	if problem.KindOf(err) == problem.Internal {
		p.t.Error("the refusal is internal: its text would not be shown")
	}
	if diff := cmp.Diff(before, p.dump()); diff != "" {
		p.t.Errorf("the refused file left a trace (-before +after):\n%s", diff)
	}
}

// steps prints a plan's steps, one a line.
func steps(plan *manage.Plan) []string {
	var lines []string
	for _, s := range plan.Steps {
		lines = append(lines, fmt.Sprintf("%s %s %s", s.Op, s.Target.Kind, s.Target.Name))
	}
	return lines
}

func (p *platform) wantSteps(plan *manage.Plan, want ...string) {
	p.t.Helper()
	if diff := cmp.Diff(want, steps(plan)); diff != "" {
		p.t.Errorf("steps (-want +got):\n%s", diff)
	}
}

// dump prints the whole directory, without the audit records.
func (p *platform) dump() string {
	p.t.Helper()
	var b strings.Builder
	err := p.db.View(context.Background(), func(tx manage.Tx) error {
		tenants, err := tx.Tenants()
		if err != nil {
			return err
		}
		for _, t := range tenants {
			fmt.Fprintf(&b, "%+v\n", t)
			apps, err1 := tx.Applications(t.ID)
			principals, err2 := tx.Principals(t.ID)
			identities, err3 := tx.Identities(t.ID)
			hosts, err4 := tx.Hosts(t.ID)
			assignments, err5 := tx.Assignments(t.ID)
			if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
				return err
			}
			for _, a := range apps {
				fmt.Fprintf(&b, "  %+v\n", a)
				creds, err := tx.Credentials(t.ID, a.ID)
				if err != nil {
					return err
				}
				fmt.Fprintf(&b, "    %+v\n", creds)
			}
			for _, m := range identities {
				fmt.Fprintf(&b, "  %+v\n", m)
				creds, err := tx.Credentials(t.ID, m.PrincipalID)
				if err != nil {
					return err
				}
				fmt.Fprintf(&b, "    %+v\n", creds)
			}
			fmt.Fprintf(&b, "  %+v\n  %+v\n  %+v\n", principals, hosts, assignments)
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return b.String()
}

// changes reads the audit records, oldest first.
func (p *platform) changes(q audit.Query) []audit.Change {
	p.t.Helper()
	q.Limit = 1000
	all, err := p.db.Changes(context.Background(), q)
	if err != nil {
		p.t.Fatal(err)
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

func (p *platform) tenant(ref string) *directory.Tenant {
	p.t.Helper()
	t, err := p.FindTenant(context.Background(), ref)
	if err != nil {
		p.t.Fatal(err)
	}
	return t
}

func (p *platform) app(ref string) *directory.Application {
	p.t.Helper()
	a, err := p.FindApplication(context.Background(), ref)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

func (p *platform) identity(ref string) *directory.ManagedIdentity {
	p.t.Helper()
	m, err := p.FindIdentity(context.Background(), ref)
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// principal is the service principal of a client id in a tenant, nil if none.
func (p *platform) principal(tenant string, id directory.ClientID) *directory.ServicePrincipal {
	p.t.Helper()
	t := p.tenant(tenant)
	var hit *directory.ServicePrincipal
	err := p.db.View(context.Background(), func(tx manage.Tx) error {
		found, err := tx.PrincipalByClientID(t.ID, id)
		if errors.Is(err, directory.ErrNotFound) {
			return nil
		}
		hit = found
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return hit
}

func (p *platform) assignments(tenant string) int {
	p.t.Helper()
	t := p.tenant(tenant)
	n := 0
	err := p.db.View(context.Background(), func(tx manage.Tx) error {
		all, err := tx.Assignments(t.ID)
		n = len(all)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

func sample(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("../config/testdata/sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestSampleOfTheIssue(t *testing.T) {
	p := newPlatform(t)
	plan := p.apply(sample(t))
	p.wantSteps(plan,
		"create tenant contoso",
		"create tenant fabrikam",
		"create managedIdentity contoso/msi-webapp1",
		"create host contoso/web-vm",
		"create managedIdentity contoso/host:web-vm",
		"create host contoso/web-app",
		"create application contoso/orders",
		"create application contoso/reports",
		"create federatedIdentityCredential contoso/orders/msi-webapp1",
		"create federatedIdentityCredential contoso/orders/by-hand",
		"create servicePrincipal fabrikam/contoso/orders",
		"create appRoleAssignment contoso/orders: Reports.Read of reports",
	)
	want := []manage.Warning{{
		Where:   "f.yaml:17:22: tenants[0].applications[0].federatedIdentityCredentials[1].subject",
		Field:   "subject",
		Message: "is not the principal id of any managed identity in this tenant",
		Mend:    "set subject to the principal id of a user-assigned managed identity of this tenant",
	}}
	got := append([]manage.Warning(nil), plan.Warnings...)
	for i := range got {
		if got[i].Target.Name != "contoso/orders/by-hand" {
			t.Errorf("warning for %s", got[i].Target.Name)
		}
		got[i].Target = audit.Target{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}

	contoso, orders, msi := p.tenant("contoso"), p.app("contoso/orders"), p.identity("msi-webapp1")
	creds, err := p.FederatedCredentials(t.Context(), contoso.ID, orders.ID)
	if err != nil {
		t.Fatal(err)
	}
	c := creds[1]
	c.ID = directory.ObjectID{}
	if diff := cmp.Diff(fmt.Sprint(directory.FederatedCredential{
		Name: "msi-webapp1", Issuer: "https://login.microsoftonline.com/3d1e2be9-a10a-4a0c-8380-7ce190f98ed9/v2.0",
		Subject: msi.PrincipalID.String(), Audience: "api://AzureADTokenExchange",
	}), fmt.Sprint(c)); diff != "" {
		t.Errorf("filled credential (-want +got):\n%s", diff)
	}
	if got, want := msi.ResourceID, "/subscriptions/"+contoso.Subscription.String()+"/resourcegroups/web/providers/Microsoft.ManagedIdentity/userAssignedIdentities/msi-webapp1"; got != want {
		t.Errorf("resource id = %s, want %s", got, want)
	}
	vm, err := p.FindHost(t.Context(), "web-vm")
	if err != nil {
		t.Fatal(err)
	}
	system := p.identity("host:web-vm")
	if system.PrincipalID != vm.System || system.ResourceID != vm.ResourceID || system.Host != vm.ID {
		t.Errorf("system-assigned identity %+v does not belong to host %+v", system, vm)
	}
	for _, fp := range directory.Global().FirstParties() {
		sp := p.principal("fabrikam", fp.ClientID)
		if sp == nil || !cmp.Equal(sp.Names, append([]string{fp.ClientID.String()}, fp.URIs...)) {
			t.Errorf("first party %s in fabrikam: %+v", fp.Name, sp)
		}
	}

	again := p.apply(sample(t))
	if !again.Empty() {
		t.Errorf("applying again changes %v", steps(again))
	}
	if len(again.Warnings) != 1 {
		t.Errorf("applying again gives %d warnings", len(again.Warnings))
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	p := newPlatform(t)
	changed := p.Changed()
	file := parse(t, "f.yaml", sample(t))
	plan, err := p.Apply(t.Context(), caller, []*config.Directory{file}, manage.ApplyOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.dump(); got != "" {
		t.Errorf("the dry run left %s", got)
	}
	if got := p.changes(audit.Query{}); len(got) != 0 {
		t.Errorf("the dry run recorded %v", got)
	}
	select {
	case <-changed:
		t.Error("the dry run was announced")
	default:
	}
	for _, s := range plan.Steps {
		for _, f := range s.Fields {
			if s.Target.Kind == "managedIdentity" && f.Name == "principalId" && f.After != "(known after apply)" {
				t.Errorf("the dry run promises principal id %s", f.After)
			}
		}
		if s.Target.ID != "" && s.Target.Name != "contoso" {
			t.Errorf("the dry run promises id %s for %s", s.Target.ID, s.Target.Name)
		}
	}
	if real := p.apply(sample(t)); !cmp.Equal(steps(real), steps(plan)) {
		t.Errorf("dry run and apply differ:\n%s", cmp.Diff(steps(plan), steps(real)))
	}
	if _, err := p.Apply(t.Context(), caller, []*config.Directory{parse(t, "f.yaml", "tenants: [{name: 'a/b'}]")}, manage.ApplyOptions{DryRun: true}); err == nil {
		t.Error("a dry run accepts what apply refuses")
	}
	if got := p.changes(audit.Query{Outcome: audit.Refused}); len(got) != 0 {
		t.Errorf("the refused dry run recorded %v", got)
	}
}

const tenantA = "tenants:\n- name: alpha\n  id: 11111111-1111-4111-8111-111111111111\n"

func TestRefusals(t *testing.T) {
	base := tenantA + `  domains: [alpha.example]
  managedIdentities:
  - {name: msi-one, clientId: 22222222-2222-4222-8222-222222222222, resourceGroup: east}
  - {name: msi-one, resourceGroup: west}
  - {name: shared}
  hosts: [{name: vm, kind: virtualMachine, systemAssigned: true}, {name: bare, kind: webApp}]
  applications:
  - name: orders
    id: 33333333-3333-4333-8333-333333333333
    clientId: 44444444-4444-4444-8444-444444444444
    identifierUris: [api://orders]
    appRoles: [{value: Read, displayName: Read}]
  - name: shared
  - {name: multi, signInAudience: AzureADMultipleOrgs, identifierUris: [api://multi]}
- name: beta
  domains: [beta.example]
  applications: [{name: taken, identifierUris: [api://multi]}]
`
	keep := "tenants:\n- name: alpha\n"
	shared := newPlatform(t) // refusals leave no trace, so one directory serves all
	shared.apply(base)
	for _, tt := range []struct{ name, text, want string }{
		{"tenant name with a slash", "tenants: [{name: a/b}]", `f.yaml:1:18: tenants[0].name: "a/b" may hold letters, digits, '-' and '_' only and begins with a letter or a digit`},
		{"another id for a tenant", "tenants:\n- name: alpha\n  id: 99999999-9999-4999-8999-999999999999", "f.yaml:3:7: tenants[0].id: tenant alpha exists with the id 11111111-1111-4111-8111-111111111111, and ids never change; remove this line or state that id, or delete the object first to make a new one"},
		{"domain of another tenant", "tenants:\n- name: gamma\n  domains: [g.example, alpha.example]", "f.yaml:3:24: tenants[0].domains[1]: alpha.example already belongs to tenant alpha; a domain belongs to one tenant"},
		{"domain in capitals", keep + "  domains: [Alpha.example]", `f.yaml:3:13: tenants[0].domains[0]: "Alpha.example" is not a domain name such as contoso.example (lower case)`},
		{"identity name too short", "tenants:\n- name: gamma\n  managedIdentities: [{name: ab}]", `f.yaml:3:30: tenants[0].managedIdentities[0].name: "ab" has 2 characters; between 3 and 128 are allowed`},
		{"resource group with a slash", "tenants:\n- name: gamma\n  managedIdentities: [{name: abc, resourceGroup: a/b}]", `f.yaml:3:50: tenants[0].managedIdentities[0].resourceGroup: "a/b" may hold letters, digits, '-' and '_' only and begins with a letter or a digit`},
		{"identity by an ambiguous name", keep + "  managedIdentities: [{name: msi-one}]", "f.yaml:3:23: tenants[0].managedIdentities[0].resourceGroup: is needed: several managed identities are named msi-one, in the resource groups east, west"},
		{"another client id for an identity", keep + "  managedIdentities: [{name: shared, clientId: 99999999-9999-4999-8999-999999999999}]", "f.yaml:3:48: tenants[0].managedIdentities[0].clientId: managed identity shared exists with the clientId CLIENT, and ids never change; remove this line or state that id, or delete the object first to make a new one"},
		{"client id of an identity for an application", "tenants: [{name: gamma, applications: [{name: x, clientId: 22222222-2222-4222-8222-222222222222}]}]", "f.yaml:1:60: tenants[0].applications[0].clientId: 22222222-2222-4222-8222-222222222222 is already the client id of managed identity alpha/msi-one; client ids are unique on the platform"},
		{"client id of a foreign application", "tenants: [{name: gamma, applications: [{name: x, clientId: 44444444-4444-4444-8444-444444444444}]}]", "f.yaml:1:60: tenants[0].applications[0].clientId: 44444444-4444-4444-8444-444444444444 is already the client id of application alpha/orders; client ids are unique on the platform"},
		{"client id of a first-party resource", "tenants: [{name: gamma, applications: [{name: x, clientId: 00000003-0000-0000-c000-000000000000}]}]", "f.yaml:1:60: tenants[0].applications[0].clientId: 00000003-0000-0000-c000-000000000000 is the client id of Microsoft Graph, which every tenant has"},
		{"another id for an application", keep + "  applications: [{name: orders, id: 99999999-9999-4999-8999-999999999999}]", "f.yaml:3:37: tenants[0].applications[0].id: application orders exists with the id 33333333-3333-4333-8333-333333333333, and ids never change; remove this line or state that id, or delete the object first to make a new one"},
		{"URI of a first-party resource", "tenants: [{name: gamma, applications: [{name: x, identifierUris: [api://x, 'https://graph.microsoft.com']}]}]", "f.yaml:1:76: tenants[0].applications[0].identifierUris[1]: https://graph.microsoft.com already belongs to Microsoft Graph in tenant gamma; identifier URIs are unique in a tenant"},
		{"URI without a scheme", "tenants: [{name: gamma, applications: [{name: x, identifierUris: [orders]}]}]", `f.yaml:1:67: tenants[0].applications[0].identifierUris[0]: "orders" is not an identifier URI such as api://orders or https://contoso.example/orders`},
		{"URI of two applications", "tenants:\n- name: gamma\n  applications:\n  - {name: x, identifierUris: [api://x]}\n  - {name: y, identifierUris: [api://x]}", "f.yaml:5:32: tenants[0].applications[1].identifierUris[0]: api://x already belongs to x in tenant gamma; identifier URIs are unique in a tenant"},
		{"role value with a blank", "tenants: [{name: gamma, applications: [{name: x, appRoles: [{value: a b, displayName: d}]}]}]", `f.yaml:1:69: tenants[0].applications[0].appRoles[0].value: "a b" may hold printable ASCII characters without blanks only`},
		{"role id twice", "tenants: [{name: gamma, applications: [{name: x, appRoles: [{value: a, displayName: d}, {value: '.b', displayName: d}]}]}]", `f.yaml:1:97: tenants[0].applications[0].appRoles[1].value: ".b" must have at most 120 characters and not begin with '.'`},
		{"host with an unknown identity", "tenants: [{name: gamma, managedIdentities: [{name: web-id}], hosts: [{name: h, kind: webApp, identities: [wed-id]}]}]", `f.yaml:1:107: tenants[0].hosts[0].identities[0]: tenant gamma has no user-assigned managed identity "wed-id". Did you mean web-id?`},
		{"host with another tenant's identity", "tenants: [{name: gamma, hosts: [{name: h, kind: webApp, identities: [alpha/msi-one]}]}]", `f.yaml:1:70: tenants[0].hosts[0].identities[0]: "alpha/msi-one" names tenant alpha; only an identity of this tenant (gamma) may stand here`},
		{"host with an ambiguous identity", keep + "  hosts: [{name: h, kind: webApp, identities: [msi-one]}]", `f.yaml:3:48: tenants[0].hosts[0].identities[0]: "msi-one" names several managed identities; write one of east/msi-one, west/msi-one`},
		{"host with a system-assigned identity", keep + "  hosts: [{name: vm, kind: virtualMachine}, {name: h, kind: webApp, identities: ['host:vm']}]", `f.yaml:3:82: tenants[0].hosts[1].identities[0]: "host:vm" is the system-assigned identity of a host; only user-assigned identities may stand here`},
		{"credential of a system-assigned identity", keep + "  applications: [{name: orders, federatedIdentityCredentials: [{name: abc, managedIdentity: 'host:vm'}]}]", `f.yaml:3:93: tenants[0].applications[0].federatedIdentityCredentials[0].managedIdentity: "host:vm" is the system-assigned identity of a host; only user-assigned identities may stand here`},
		{"credential of another tenant's identity", "tenants: [{name: beta, applications: [{name: taken, federatedIdentityCredentials: [{name: abc, managedIdentity: alpha/shared}]}]}]", `f.yaml:1:113: tenants[0].applications[0].federatedIdentityCredentials[0].managedIdentity: "alpha/shared" names tenant alpha; only an identity of this tenant (beta) may stand here`},
		{"credential name", keep + "  applications: [{name: orders, federatedIdentityCredentials: [{name: a.b, issuer: i, subject: s, audiences: [x]}]}]", "f.yaml:3:71: tenants[0].applications[0].federatedIdentityCredentials[0].name: may hold letters, digits, '-' and '_' only; character 2 is not one of them"},
		{"same issuer and subject", keep + "  applications:\n  - name: orders\n    federatedIdentityCredentials:\n    - {name: one, issuer: i, subject: s, audiences: [x]}\n    - {name: two, issuer: i, subject: s, audiences: [y]}", "f.yaml:7:39: tenants[0].applications[0].federatedIdentityCredentials[1].subject: credential one of alpha/orders has the same issuer and subject; the pair is unique on its parent, so change or delete that one"},
		{"provisioning a single-tenant application", "tenants: [{name: beta, servicePrincipals: [{application: alpha/orders}]}]", "f.yaml:1:58: tenants[0].servicePrincipals[0].application: alpha/orders cannot be provisioned in other tenants: its signInAudience is AzureADMyOrg; its owner must set it to AzureADMultipleOrgs first"},
		{"provisioning an own application", keep + "  servicePrincipals: [{application: alpha/multi}]", "f.yaml:3:37: tenants[0].servicePrincipals[0].application: multi is an application of this tenant and has its service principal already; state assignmentRequired on the application"},
		{"provisioning an unknown application", "tenants: [{name: beta, servicePrincipals: [{application: alpha/mutli}]}]", `f.yaml:1:58: tenants[0].servicePrincipals[0].application: tenant alpha has no application "mutli". Did you mean multi?`},
		{"provisioning from an unknown tenant", "tenants: [{name: beta, servicePrincipals: [{application: alhpa/multi}]}]", `f.yaml:1:58: tenants[0].servicePrincipals[0].application: there is no tenant "alhpa". Did you mean alpha?`},
		{"provisioning an unknown client id", "tenants: [{name: beta, servicePrincipals: [{application: 99999999-9999-4999-8999-999999999999}]}]", "f.yaml:1:58: tenants[0].servicePrincipals[0].application: no application has the client id 99999999-9999-4999-8999-999999999999; if it was deleted, remove what refers to it"},
		{"provisioning where the URI is taken", "tenants: [{name: beta, servicePrincipals: [{application: alpha/multi}]}]", "f.yaml:1:58: tenants[0].servicePrincipals[0].application: alpha/multi cannot be provisioned: its identifier URI api://multi already belongs to taken in tenant beta; identifier URIs are unique in a tenant"},
		{"provisioning twice", "tenants: [{name: gamma, servicePrincipals: [{application: alpha/multi}, {application: ALPHA/multi}]}]", "f.yaml:1:87: tenants[0].servicePrincipals[1].application: alpha/multi is listed twice; first in line 1"},
		{"assignment of an unknown role", keep + "  appRoleAssignments: [{principal: multi, resource: orders, role: Raed}]", `f.yaml:3:67: tenants[0].appRoleAssignments[0].role: orders offers no app role "Raed", only Read. Did you mean Read?`},
		{"assignment to a resource without roles", keep + "  appRoleAssignments: [{principal: orders, resource: multi, role: Read}]", "f.yaml:3:54: tenants[0].appRoleAssignments[0].resource: multi offers no app roles; add some under its appRoles"},
		{"assignment of an unknown principal", keep + "  appRoleAssignments: [{principal: order, resource: orders, role: Read}]", `f.yaml:3:36: tenants[0].appRoleAssignments[0].principal: tenant alpha has no application and no managed identity "order". Did you mean orders?`},
		{"assignment of an ambiguous principal", keep + "  appRoleAssignments: [{principal: shared, resource: orders, role: Read}]", `f.yaml:3:36: tenants[0].appRoleAssignments[0].principal: "shared" may mean several things; write one of alpha/shared (client id CLIENT), default/shared (client id CLIENT), or a client id`},
		{"assignment of a host without identity", keep + "  appRoleAssignments: [{principal: 'host:bare', resource: orders, role: Read}]", `f.yaml:3:36: tenants[0].appRoleAssignments[0].principal: host bare has no identity of its own; set systemAssigned: true on it`},
		{"assignment of a host by its bare name", keep + "  appRoleAssignments: [{principal: vm, resource: orders, role: Read}]", `f.yaml:3:36: tenants[0].appRoleAssignments[0].principal: tenant alpha has no application and no managed identity "vm". Did you mean host:vm, the host's own identity?`},
		{"assignment of an application that is not here", keep + "  appRoleAssignments: [{principal: beta/taken, resource: orders, role: Read}]", "f.yaml:3:36: tenants[0].appRoleAssignments[0].principal: application beta/taken is not provisioned in tenant alpha; list it under servicePrincipals"},
		{"the same assignment in two spellings", keep + "  appRoleAssignments:\n  - {principal: multi, resource: orders, role: Read}\n  - {principal: alpha/multi, resource: orders, role: Read}", "f.yaml:5:5: tenants[0].appRoleAssignments[1]: is the same assignment as the one in line 4"},
		{"many at once", "tenants:\n- name: gamma\n  managedIdentities: [{name: a}, {name: b_}]\n- name: delta\n  managedIdentities: [{name: good}, {name: c}]",
			"f.yaml:3:30: tenants[0].managedIdentities[0].name: \"a\" has 1 characters; between 3 and 128 are allowed\n" +
				"f.yaml:3:41: tenants[0].managedIdentities[1].name: \"b_\" has 2 characters; between 3 and 128 are allowed\n" +
				"f.yaml:5:44: tenants[1].managedIdentities[1].name: \"c\" has 1 characters; between 3 and 128 are allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &platform{shared.Service, t, shared.db}
			before := len(p.changes(audit.Query{Outcome: audit.Refused}))
			want := tt.want
			switch tt.name {
			case "another client id for an identity":
				want = strings.Replace(want, "CLIENT", p.identity("alpha/shared").ClientID.String(), 1)
			case "assignment of an ambiguous principal":
				want = strings.Replace(want, "CLIENT", p.app("alpha/shared").ClientID.String(), 1)
				want = strings.Replace(want, "CLIENT", p.identity("alpha/shared").ClientID.String(), 1)
			}
			p.refuses(tt.text, want)
			refused := p.changes(audit.Query{Outcome: audit.Refused})
			if len(refused) != before+1 {
				t.Fatalf("%d records of the refusal", len(refused)-before)
			}
			if r := recorded(refused, want); r.Detail != want || r.Action != "apply" || r.Target.Name != "f.yaml" || r.Actor != caller.Actor || r.Correlation != caller.Correlation {
				t.Errorf("record of the refusal: %+v", r)
			}
		})
	}
}

// recorded finds a record by its detail; the clock of the tests stands still, so
// that the order of records says nothing.
func recorded(all []audit.Change, detail string) audit.Change {
	for _, c := range all {
		if c.Detail == detail {
			return c
		}
	}
	return all[len(all)-1]
}

func TestTenantInTwoFiles(t *testing.T) {
	p := newPlatform(t)
	_, err := p.Apply(t.Context(), caller, []*config.Directory{
		parse(t, "a.yaml", "tenants: [{name: alpha}]"), parse(t, "b.yaml", "tenants:\n- name: Alpha"),
	}, manage.ApplyOptions{})
	if got, want := fmt.Sprint(err), "b.yaml:2:9: tenants[0].name: tenant alpha stands also at a.yaml:1:11: tenants[0]; put all of one tenant into one entry"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAFailureAtTheLastObjectLeavesNoTrace(t *testing.T) {
	p := newPlatform(t)
	p.refuses(strings.Replace(sample(t), "{application: contoso/orders}", "{application: contoso/nothing}", 1),
		`f.yaml:27:23: tenants[1].servicePrincipals[0].application: tenant contoso has no application "nothing".`)
	if p.dump() != "" {
		t.Error("something was stored")
	}
	if got := p.changes(audit.Query{}); len(got) != 1 || got[0].Outcome != audit.Refused {
		t.Errorf("records: %+v", got)
	}
}

func TestListsMatchExactlyAndAbsentOnesAreLeftAlone(t *testing.T) {
	p := newPlatform(t)
	p.apply(sample(t))

	if plan := p.apply("tenants: [{name: contoso}]"); !plan.Empty() {
		t.Errorf("a file that states no list changes %v", steps(plan))
	}
	p.wantSteps(p.apply("tenants: [{name: contoso, applications: [{name: orders, federatedIdentityCredentials: []}, {name: reports}]}]"),
		"delete federatedIdentityCredential contoso/orders/by-hand",
		"delete federatedIdentityCredential contoso/orders/msi-webapp1")
	p.wantSteps(p.apply("tenants: [{name: contoso, hosts: [{name: web-vm, kind: virtualMachine, systemAssigned: false, identities: []}]}]"),
		"delete host contoso/web-app",
		"update host contoso/web-vm",
		"delete managedIdentity contoso/host:web-vm")
	p.wantSteps(p.apply("tenants: [{name: contoso, applications: [{name: orders}]}]"),
		"delete appRoleAssignment contoso/orders: Reports.Read of reports",
		"delete application contoso/reports")
	if n := p.assignments("contoso"); n != 0 {
		t.Errorf("%d assignments left", n)
	}
	p.wantSteps(p.apply("tenants: [{name: contoso, managedIdentities: [], applications: []}, {name: fabrikam, servicePrincipals: []}]"),
		"delete application contoso/orders",
		"delete managedIdentity contoso/msi-webapp1",
		"delete servicePrincipal fabrikam/"+p.tenant("contoso").Name+"/orders")
}

func TestDeletedApplicationStaysProvisionedElsewhereAndItsClientIDStaysTaken(t *testing.T) {
	p := newPlatform(t)
	p.apply(sample(t))
	id := p.app("orders").ClientID
	p.apply("tenants: [{name: contoso, applications: []}]")
	if p.principal("contoso", id) != nil {
		t.Error("the service principal in the home tenant is left")
	}
	if p.principal("fabrikam", id) == nil {
		t.Error("the service principal in the other tenant is gone")
	}
	again := "tenants: [{name: contoso, applications: [{name: orders, clientId: " + id.String() + "}]}]"
	p.refuses(again, "f.yaml:1:67: tenants[0].applications[0].clientId: "+id.String()+" was the client id of a deleted application that is still provisioned in tenant fabrikam; remove its service principal there first, or use another client id")
	p.apply("tenants: [{name: fabrikam, servicePrincipals: []}]")
	p.apply(again)
	p.apply("tenants: [{name: contoso, applications: [{name: orders}]}]")
}

func TestSameNameAgainIsANewObject(t *testing.T) {
	p := newPlatform(t)
	p.apply(sample(t))
	app, msi := p.app("reports"), p.identity("msi-webapp1")
	p.apply("tenants: [{name: contoso, applications: [], managedIdentities: []}]")
	p.apply("tenants: [{name: contoso, applications: [{name: reports, appRoles: [{value: Reports.Read, displayName: Read reports}]}], managedIdentities: [{name: msi-webapp1}]}]")
	newApp, newMSI := p.app("reports"), p.identity("msi-webapp1")
	if newApp.ID == app.ID || newApp.ClientID == app.ClientID || newMSI.PrincipalID == msi.PrincipalID || newMSI.ClientID == msi.ClientID || newApp.AppRoles[0].ID == app.AppRoles[0].ID {
		t.Error("an id was used again")
	}
	if n := p.assignments("contoso"); n != 0 {
		t.Errorf("%d assignments inherited", n)
	}
	vm, err := p.FindHost(t.Context(), "web-vm")
	if err != nil || len(vm.Identities) != 0 {
		t.Errorf("host inherited identities %v, %v", vm.Identities, err)
	}
}

func TestRenameById(t *testing.T) {
	p := newPlatform(t)
	p.apply(sample(t))
	contoso, orders, msi := p.tenant("contoso"), p.app("orders"), p.identity("msi-webapp1")
	vm, err := p.FindHost(t.Context(), "web-vm")
	if err != nil {
		t.Fatal(err)
	}
	plan := p.apply(fmt.Sprintf(`tenants:
- name: contoso2
  id: %s
  managedIdentities: [{name: msi-two, principalId: %s}]
  hosts: [{name: vm-two, kind: virtualMachine, id: %s}, {name: web-app, kind: webApp}]
  applications: [{name: orders2, clientId: %s}, {name: reports}]
`, contoso.ID, msi.PrincipalID, vm.ID, orders.ClientID))
	p.wantSteps(plan,
		"update tenant contoso2",
		"update managedIdentity contoso2/msi-two",
		"update host contoso2/vm-two",
		"update managedIdentity contoso2/host:vm-two",
		"update application contoso2/orders2",
		"update servicePrincipal fabrikam/contoso2/orders2")
	renamed := p.identity("msi-two")
	if renamed.ClientID != msi.ClientID || !strings.HasSuffix(renamed.ResourceID, "/msi-two") || p.principal("contoso2", msi.ClientID).Name != "msi-two" {
		t.Errorf("renamed identity: %+v", renamed)
	}
	if p.principal("fabrikam", orders.ClientID).Name != "orders2" || p.principal("contoso2", orders.ClientID).Name != "orders2" {
		t.Error("service principals did not follow the name")
	}
	creds, err := p.FederatedCredentials(t.Context(), contoso.ID, orders.ID)
	if err != nil || len(creds) != 2 {
		t.Errorf("credentials after the rename: %v, %v", creds, err)
	}
}

func TestNamesMoveBetweenObjectsInOneApply(t *testing.T) {
	p := newPlatform(t)
	p.apply(`tenants:
- name: one
  domains: [a.example]
  managedIdentities: [{name: msi-a}, {name: msi-b}]
  applications:
  - {name: a, identifierUris: [api://x], federatedIdentityCredentials: [{name: one, issuer: i, subject: s1, audiences: [x]}, {name: two, issuer: i, subject: s2, audiences: [x]}]}
  - {name: b, identifierUris: [api://y]}
- {name: two, domains: [b.example]}
`)
	a, b, msiA, msiB := p.app("one/a"), p.app("one/b"), p.identity("msi-a"), p.identity("msi-b")
	p.apply(fmt.Sprintf(`tenants:
- name: one
  domains: [b.example]
  managedIdentities: [{name: msi-b, principalId: %s}, {name: msi-c, principalId: %s}]
  applications:
  - {name: b, id: %s, identifierUris: [api://y], federatedIdentityCredentials: [{name: one, issuer: i, subject: s2, audiences: [x]}, {name: two, issuer: i, subject: s1, audiences: [x]}]}
  - {name: c, id: %s, identifierUris: [api://z]}
- {name: two, domains: [c.example]}
`, msiA.PrincipalID, msiB.PrincipalID, a.ID, b.ID))
	if got := p.app("one/b"); got.ID != a.ID || got.IdentifierURIs[0] != "api://y" {
		t.Errorf("application b is %+v", got)
	}
	if got := p.identity("msi-b").PrincipalID; got != msiA.PrincipalID {
		t.Errorf("identity msi-b is %s", got)
	}
	// A circle has no order; it is refused with what stands in the way.
	p.refuses(fmt.Sprintf("tenants: [{name: one, applications: [{name: c, id: %s}, {name: b, id: %s}]}]", a.ID, b.ID),
		fmt.Sprintf("f.yaml:1:45: tenants[0].applications[0].name: application c exists in tenant one with the id %s; application names are unique in a tenant\n"+
			"f.yaml:1:98: tenants[0].applications[1].name: application b exists in tenant one with the id %s; application names are unique in a tenant", b.ID, a.ID))
}

func TestURIsFollowToEveryTenant(t *testing.T) {
	p := newPlatform(t)
	p.apply("tenants: [{name: home, applications: [{name: multi, signInAudience: AzureADMultipleOrgs, identifierUris: [api://one]}]}, {name: away, servicePrincipals: [{application: home/multi, assignmentRequired: true}], applications: [{name: local, identifierUris: [api://local]}]}]")
	id := p.app("multi").ClientID
	plan := p.apply("tenants: [{name: home, applications: [{name: multi, identifierUris: [api://two, api://three]}]}]")
	p.wantSteps(plan, "update application home/multi", "update servicePrincipal away/home/multi")
	for _, tenant := range []string{"home", "away"} {
		if got, want := p.principal(tenant, id).Names, []string{id.String(), "api://two", "api://three"}; !cmp.Equal(got, want) {
			t.Errorf("names in %s = %v, want %v", tenant, got, want)
		}
	}
	if !p.principal("away", id).AssignmentRequired {
		t.Error("assignmentRequired was lost")
	}
	p.refuses("tenants: [{name: home, applications: [{name: multi, identifierUris: [api://two, api://local]}]}]",
		"f.yaml:1:81: tenants[0].applications[0].identifierUris[1]: api://local is already in use in tenant away, where this application is provisioned; use another URI")
}

func TestRemovedAppRoleTakesItsAssignmentsAlong(t *testing.T) {
	p := newPlatform(t)
	p.apply(sample(t))
	role := p.app("reports").AppRoles[0].ID
	p.wantSteps(p.apply("tenants: [{name: contoso, applications: [{name: orders}, {name: reports, appRoles: [{value: Reports.Write, displayName: Write, id: "+role.String()+"}]}]}]"),
		"update application contoso/reports")
	if p.assignments("contoso") != 1 {
		t.Error("renaming the role's value by id lost its assignment")
	}
	p.wantSteps(p.apply("tenants: [{name: contoso, applications: [{name: orders}, {name: reports, appRoles: []}]}]"),
		"delete appRoleAssignment contoso/orders: Reports.Write of reports", "update application contoso/reports")
}

func TestAssignmentParties(t *testing.T) {
	p := newPlatform(t)
	p.apply(`tenants:
- name: home
  applications: [{name: caller, signInAudience: AzureADMultipleOrgs}]
- name: away
  managedIdentities: [{name: msi-one, resourceGroup: east}]
  hosts: [{name: vm, kind: virtualMachine, systemAssigned: true}]
  applications: [{name: api, appRoles: [{value: Read, displayName: Read}]}]
  servicePrincipals: [{application: home/caller}]
  appRoleAssignments:
  - {principal: home/caller, resource: api, role: Read}
  - {principal: east/msi-one, resource: away/api, role: Read}
  - {principal: 'host:vm', resource: api, role: Read}
`)
	if n := p.assignments("away"); n != 3 {
		t.Errorf("%d assignments", n)
	}
	p.refuses("tenants: [{name: away, appRoleAssignments: [{principal: caller, resource: api, role: Read}]}]",
		`f.yaml:1:57: tenants[0].appRoleAssignments[0].principal: tenant away has no application and no managed identity "caller". Did you mean home/caller, which is provisioned here?`)
}

func TestEveryChangeIsRecorded(t *testing.T) {
	p := newPlatform(t)
	plan := p.apply(sample(t))
	all := p.changes(audit.Query{})
	byName := make(map[string]audit.Change)
	for _, c := range all {
		byName[c.Action+" "+c.Target.Kind+" "+c.Target.Name] = c
		if c.Outcome != audit.Succeeded || c.Actor != caller.Actor || c.Correlation != caller.Correlation || !c.Time.Equal(testClock()) || c.ID == "" || c.Before != nil || c.After == nil || c.Tenant.IsZero() {
			t.Errorf("record %+v", c)
		}
	}
	for _, s := range steps(plan) {
		if _, ok := byName[s]; !ok {
			t.Errorf("no record of: %s", s)
		}
	}
	if len(all) != len(plan.Steps) {
		t.Errorf("%d records for %d steps", len(all), len(plan.Steps))
	}
	c := byName["create federatedIdentityCredential contoso/orders/by-hand"]
	want := `{"audiences":["api://AzureADTokenExchange"],"id":"` + c.Target.ID + `","issuer":"https://login.microsoftonline.com/3d1e2be9-a10a-4a0c-8380-7ce190f98ed9/v2.0","name":"by-hand","subject":"00000000-0000-0000-0000-000000000000"}`
	if !c.High || string(c.After) != want {
		t.Errorf("record of the credential: high %v, after %s, want %s", c.High, c.After, want)
	}
}

func TestCredentialWrites(t *testing.T) {
	p := newPlatform(t)
	p.apply(sample(t))
	ctx, contoso, orders, msi := t.Context(), p.tenant("contoso").ID, p.app("orders").ID, p.identity("msi-webapp1")
	cred := directory.FederatedCredential{Name: "github", Issuer: "https://token.actions.githubusercontent.com", Subject: "repo:contoso/web:ref:refs/heads/main", Audience: "api://AzureADTokenExchange"}

	changed := p.Changed()
	made, warnings, err := p.CreateFederatedCredential(ctx, caller, contoso, orders, cred)
	if err != nil || len(warnings) != 0 || made.ID.IsZero() {
		t.Fatalf("create: %+v, %v, %v", made, warnings, err)
	}
	select {
	case <-changed:
	default:
		t.Error("the change was not announced")
	}
	if _, _, err := p.CreateFederatedCredential(ctx, caller, contoso, msi.PrincipalID, cred); err != nil {
		t.Errorf("create on an identity: %v", err)
	}

	str := func(s string) *string { return &s }
	updated, warnings, err := p.UpdateFederatedCredential(ctx, caller, contoso, orders, made.ID, manage.CredentialUpdate{Subject: str(" repo:contoso/web "), Description: str("d")})
	if err != nil || updated.Subject != " repo:contoso/web " || updated.Issuer != cred.Issuer || updated.ID != made.ID {
		t.Fatalf("update: %+v, %v", updated, err)
	}
	if len(warnings) != 1 || warnings[0].Field != "subject" || warnings[0].Where != "" || warnings[0].Target.Name != "contoso/orders/github" {
		t.Errorf("warnings: %+v", warnings)
	}

	before := len(p.changes(audit.Query{}))
	changed = p.Changed()
	if _, _, err := p.UpdateFederatedCredential(ctx, caller, contoso, orders, made.ID, manage.CredentialUpdate{Name: str("github")}); err != nil {
		t.Errorf("update to the same: %v", err)
	}
	if n := len(p.changes(audit.Query{})); n != before {
		t.Errorf("an update to the same left %d records", n-before)
	}
	select {
	case <-changed:
		t.Error("an update to the same was announced")
	default:
	}

	create := func(tenant directory.TenantID, parent directory.ObjectID, edit func(*directory.FederatedCredential)) func() error {
		c := cred
		c.Name, c.Subject = "other", "other"
		edit(&c)
		return func() error { _, _, err := p.CreateFederatedCredential(ctx, caller, tenant, parent, c); return err }
	}
	update := func(u manage.CredentialUpdate) func() error {
		return func() error {
			_, _, err := p.UpdateFederatedCredential(ctx, caller, contoso, orders, made.ID, u)
			return err
		}
	}
	nobody := directory.NewObjectID()
	system := p.identity("host:web-vm").PrincipalID
	for _, tt := range []struct {
		name string
		do   func() error
		kind problem.Kind
		want string
	}{
		{"name taken", create(contoso, orders, func(c *directory.FederatedCredential) { c.Name = "github" }), problem.Conflict, "name: contoso/orders has a credential named github already; names are unique on their parent"},
		{"pair taken", create(contoso, orders, func(c *directory.FederatedCredential) { c.Subject = updated.Subject }), problem.Conflict, "subject: credential github of contoso/orders has the same issuer and subject; the pair is unique on its parent, so change or delete that one"},
		{"bad name", create(contoso, orders, func(c *directory.FederatedCredential) { c.Name = "-x-" }), problem.Invalid, `name: must begin with a letter or a digit, not "-"`},
		{"no issuer", create(contoso, orders, func(c *directory.FederatedCredential) { c.Issuer = "" }), problem.Invalid, "issuer: is required"},
		{"id chosen", create(contoso, orders, func(c *directory.FederatedCredential) { c.ID = nobody }), problem.Invalid, "id: is given by the platform and cannot be chosen"},
		{"unknown parent", create(contoso, nobody, func(*directory.FederatedCredential) {}), problem.NotFound, "no application and no user-assigned managed identity has the object id " + nobody.String() + " in this tenant"},
		{"parent in another tenant", create(p.tenant("fabrikam").ID, orders, func(*directory.FederatedCredential) {}), problem.NotFound, "no application and no user-assigned managed identity has the object id " + orders.String() + " in this tenant"},
		{"system-assigned parent", create(contoso, system, func(*directory.FederatedCredential) {}), problem.Invalid, "web-vm is a system-assigned identity, which cannot hold federated identity credentials; use a user-assigned one"},
		{"new name", update(manage.CredentialUpdate{Name: str("gitlab")}), problem.Invalid, "name: cannot be changed from github to gitlab: a credential's name is immutable; delete it and make a new one"},
		{"empty subject", update(manage.CredentialUpdate{Subject: str("")}), problem.Invalid, "subject: is required"},
		{"long description", update(manage.CredentialUpdate{Description: str(strings.Repeat("é", 601))}), problem.Invalid, "description: has 601 characters; at most 600 are allowed"},
		{"update of nothing", func() error {
			_, _, err := p.UpdateFederatedCredential(ctx, caller, contoso, orders, nobody, manage.CredentialUpdate{})
			return err
		}, problem.NotFound, "contoso/orders has no federated identity credential with the id " + nobody.String()},
		{"delete of nothing", func() error { return p.DeleteFederatedCredential(ctx, caller, contoso, orders, nobody) }, problem.NotFound, "contoso/orders has no federated identity credential with the id " + nobody.String()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state, records := p.dump(), len(p.changes(audit.Query{Outcome: audit.Refused}))
			err := tt.do()
			if fmt.Sprint(err) != tt.want || problem.KindOf(err) != tt.kind {
				t.Errorf("got %s (%v), want %s (%v)", err, problem.KindOf(err), tt.want, tt.kind)
			}
			if diff := cmp.Diff(state, p.dump()); diff != "" {
				t.Errorf("the refused write left a trace:\n%s", diff)
			}
			refused := p.changes(audit.Query{Outcome: audit.Refused})
			if len(refused) != records+1 {
				t.Fatalf("%d records of the refusal", len(refused)-records)
			}
			if last := recorded(refused, tt.want); last.Detail != tt.want || !last.High || last.Target.Kind != "federatedIdentityCredential" {
				t.Errorf("record of the refusal: %+v", last)
			}
		})
	}

	if err := p.DeleteFederatedCredential(ctx, caller, contoso, orders, made.ID); err != nil {
		t.Errorf("delete: %v", err)
	}
	for _, c := range p.changes(audit.Query{Tenant: contoso, Outcome: audit.Succeeded}) {
		if c.Target.ID == made.ID.String() {
			if !c.High || (c.Action != "create") != (c.Before != nil) || (c.Action != "delete") != (c.After != nil) {
				t.Errorf("record %+v", c)
			}
		}
	}
}

func TestNoMoreThanTwentyCredentialsAtAnyConcurrency(t *testing.T) {
	p := newPlatform(t)
	p.apply("tenants: [{name: alpha, applications: [{name: app}]}]")
	tenant, app := p.tenant("alpha").ID, p.app("app").ID
	errs := make([]error, 40)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() {
			_, _, errs[i] = p.CreateFederatedCredential(t.Context(), caller, tenant, app, directory.FederatedCredential{
				Name: fmt.Sprintf("cred%d", i), Issuer: "https://issuer.example", Subject: fmt.Sprint(i), Audience: "api://AzureADTokenExchange",
			})
		})
	}
	group.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case problem.KindOf(err) != problem.Limit || err.Error() != "alpha/app holds 20 federated identity credentials, which is the most that one object may hold; delete one first":
			t.Errorf("refused with %v", err)
		}
	}
	stored, err := p.FederatedCredentials(t.Context(), tenant, app)
	if err != nil || len(stored) != 20 || made != 20 {
		t.Errorf("%d stored, %d acknowledged, %v", len(stored), made, err)
	}
	if n := len(p.changes(audit.Query{Outcome: audit.Refused})); n != 20 {
		t.Errorf("%d refusals recorded", n)
	}

	// The pair is unique under concurrency, too.
	p.apply("tenants: [{name: alpha, applications: [{name: app, federatedIdentityCredentials: []}]}]")
	var made2 sync.Map
	for i := range 10 {
		group.Go(func() {
			if _, _, err := p.CreateFederatedCredential(t.Context(), caller, tenant, app, directory.FederatedCredential{
				Name: fmt.Sprintf("cred%d", i), Issuer: "https://issuer.example", Subject: "same", Audience: "api://AzureADTokenExchange",
			}); err == nil {
				made2.Store(i, true)
			}
		})
	}
	group.Wait()
	count := 0
	made2.Range(func(any, any) bool { count++; return true })
	if count != 1 {
		t.Errorf("the same pair was accepted %d times", count)
	}
}

func TestTwentyCredentialsInAFile(t *testing.T) {
	p := newPlatform(t)
	file := func(n int) string {
		var b strings.Builder
		b.WriteString("tenants:\n- name: alpha\n  applications:\n  - name: app\n    federatedIdentityCredentials:\n")
		for i := range n {
			fmt.Fprintf(&b, "    - {name: cred%d, issuer: 'https://i.example', subject: s%d, audiences: [api://AzureADTokenExchange]}\n", i, i)
		}
		return b.String()
	}
	p.apply(file(20))
	p.refuses(file(21), "f.yaml:26:7: tenants[0].applications[0].federatedIdentityCredentials[20]: alpha/app holds 20 federated identity credentials, which is the most that one object may hold; delete one first")
}

// brokenStore fails every write.
type brokenStore struct{ manage.Store }

func (brokenStore) Change(context.Context, func(manage.Tx) error) error {
	return errors.New("disk on fire at /secret/path")
}

func TestFaultsAreLoggedWhenTheyCannotBeRecorded(t *testing.T) {
	var log strings.Builder
	s := manage.New(brokenStore{}, directory.Global(), testClock, slog.New(slog.NewJSONHandler(&log, nil)))
	_, err := s.Apply(t.Context(), caller, []*config.Directory{parse(t, "f", "tenants: []")}, manage.ApplyOptions{})
	if err == nil || problem.KindOf(err) != problem.Internal {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(log.String(), "refused change not recorded") {
		t.Errorf("log: %s", log.String())
	}
}

func TestFind(t *testing.T) {
	p := newPlatform(t)
	p.apply(`tenants:
- name: alpha
  domains: [alpha.example]
  managedIdentities: [{name: msi-one, resourceGroup: east}, {name: msi-one, resourceGroup: west}, {name: only}]
  applications: [{name: orders}, {name: both}]
  hosts: [{name: vm, kind: webApp}]
- name: beta
  applications: [{name: both}]
`)
	ctx := t.Context()
	for _, ref := range []string{"alpha", "ALPHA.example", p.tenant("alpha").ID.String(), strings.ToUpper(p.tenant("alpha").ID.String())} {
		if got, err := p.FindTenant(ctx, ref); err != nil || got.Name != "alpha" {
			t.Errorf("FindTenant(%s) = %v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"orders", "alpha/orders", "alpha.example/orders", p.app("orders").ClientID.String()} {
		if got, err := p.FindApplication(ctx, ref); err != nil || got.Name != "orders" {
			t.Errorf("FindApplication(%s) = %v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"only", "alpha/only", "default/only", "alpha/default/only", p.identity("only").PrincipalID.String(), p.identity("only").ClientID.String()} {
		if got, err := p.FindIdentity(ctx, ref); err != nil || got.Name != "only" {
			t.Errorf("FindIdentity(%s) = %v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"vm", "alpha/vm"} {
		if got, err := p.FindHost(ctx, ref); err != nil || got.Name != "vm" {
			t.Errorf("FindHost(%s) = %v, %v", ref, got, err)
		}
	}
	for _, tt := range []struct {
		find func() error
		want string
	}{
		{func() error { _, err := p.FindTenant(ctx, "alhpa"); return err }, `tenant: there is no tenant "alhpa". Did you mean alpha?`},
		{func() error { _, err := p.FindApplication(ctx, "order"); return err }, `there is no application "order". Did you mean orders?`},
		{func() error { _, err := p.FindApplication(ctx, "both"); return err }, `"both" names several; write one of alpha/both, beta/both, or an id`},
		{func() error { _, err := p.FindIdentity(ctx, "msi-one"); return err }, `"msi-one" names several; write one of alpha/east/msi-one, alpha/west/msi-one, or an id`},
		{func() error { _, err := p.FindHost(ctx, "zzzzzz"); return err }, `there is no host "zzzzzz".`},
	} {
		if err := tt.find(); fmt.Sprint(err) != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	all, err := p.Overview(ctx)
	if err != nil || len(all) != 2 || len(all[0].Applications) != 2 || len(all[0].Identities) != 3 || len(all[0].Hosts) != 1 || len(all[1].Provisioned) != 0 {
		t.Errorf("Overview = %+v, %v", all, err)
	}
}
