package manage_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
)

const (
	resourceTenant       = "3d1e2be9-a10a-4a0c-8380-7ce190f98ed9"
	resourceSubscription = "eeeeeeee-0000-4000-8000-000000000001"
	webScope             = "/subscriptions/" + resourceSubscription + "/resourceGroups/web"
	azureReader          = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	azureOwner           = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
)

const resourceWorld = `
tenants:
  - name: contoso
    id: ` + resourceTenant + `
    subscription: ` + resourceSubscription + `
    managedIdentities:
      - {name: msi-one, resourceGroup: web, principalId: bbbbbbbb-0000-4000-8000-000000000001}
    hosts:
      - {name: vm-one, kind: virtualMachine, resourceGroup: web, identities: [msi-one]}
    applications:
      - {name: ada}
`

// resourcePlatform is a platform with an application that owns the subscription.
func resourcePlatform(t *testing.T) (*platform, *access.Caller) {
	p := newPlatform(t)
	p.apply(resourceWorld)
	tenant := directory.MustTenantID(resourceTenant)
	c := &access.Caller{Tenant: tenant}
	err := p.db.Change(context.Background(), func(tx manage.Tx) error {
		all, err := tx.Principals(tenant)
		if err != nil {
			return err
		}
		for _, sp := range all {
			if sp.Name == "ada" {
				c.Principal, c.Client = sp.ID, sp.ClientID
			}
		}
		return tx.PutAzureAssignment(&directory.AzureAssignment{Tenant: tenant, ID: directory.NewObjectID(), Scope: "/subscriptions/" + resourceSubscription,
			Role: directory.MustObjectID(azureOwner), Principal: c.Principal, PrincipalKind: directory.PrincipalObject})
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

func at(group, name, action string) manage.Place {
	return manage.Place{Tenant: directory.MustTenantID(resourceTenant), Subscription: directory.MustObjectID(resourceSubscription), Group: group, Name: name, Action: action}
}

const writeIdentity = "Microsoft.ManagedIdentity/userAssignedIdentities/write"

func callerOf(c *access.Caller) manage.Caller {
	return manage.Caller{Actor: manage.ActorOf(c), Access: c}
}

// TestAppliedGroupsAreNoNoise: a file makes the groups that it names, and neither
// its plan nor the records speak of them.
func TestAppliedGroupsAreNoNoise(t *testing.T) {
	p := newPlatform(t)
	for _, step := range p.apply(resourceWorld).Steps {
		if step.Target.Kind == "resourceGroup" {
			t.Errorf("step %+v", step)
		}
	}
	g, err := p.ResourceGroup(context.Background(), caller, at("WEB", "", ""))
	if err != nil || g.Name != "web" || g.Location != manage.DefaultLocation {
		t.Errorf("group %+v, %v", g, err)
	}
}

// TestKeptSurvivesApply: what clients keep of a resource is theirs; a file that
// says nothing of it changes nothing of it.
func TestKeptSurvivesApply(t *testing.T) {
	p, c := resourcePlatform(t)
	tags := json.RawMessage(`{"a":"b"}`)
	rw := manage.ResourceWrite{Change: func(k directory.Kept) (directory.Kept, error) { return k.With("tags", tags), nil }}
	if _, created, err := p.PutManagedIdentity(context.Background(), callerOf(c), at("web", "MSI-one", writeIdentity), rw); err != nil || created {
		t.Fatalf("created %v, %v", created, err)
	}
	if _, _, err := p.PutHost(context.Background(), callerOf(c), at("web", "vm-one", "Microsoft.Compute/virtualMachines/write"), directory.VirtualMachine, rw, nil); err != nil {
		t.Fatal(err)
	}
	p.wantSteps(p.apply(resourceWorld))
	m, err := p.ManagedIdentity(context.Background(), callerOf(c), at("web", "msi-one", "Microsoft.ManagedIdentity/userAssignedIdentities/read"))
	if err != nil || string(m.Kept["tags"]) != string(tags) {
		t.Errorf("identity %+v, %v", m, err)
	}
	v, err := p.ComputeHosts(context.Background(), callerOf(c), at("web", "vm-one", "Microsoft.Compute/virtualMachines/read"), directory.VirtualMachine)
	if err != nil || string(v.Hosts[0].Kept["tags"]) != string(tags) || len(v.Hosts[0].Identities) != 1 {
		t.Errorf("host %+v, %v", v, err)
	}
}

// TestRightsEndWithTheResource: whoever makes a resource of a deleted one's name,
// or of the name that one had, inherits nothing (threats X6).
func TestRightsEndWithTheResource(t *testing.T) {
	for _, name := range []string{"deleted", "moved"} {
		t.Run(name, func(t *testing.T) {
			p, c := resourcePlatform(t)
			tenant := directory.MustTenantID(resourceTenant)
			scope := manage.AzureScope{Text: webScope + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/msi-one",
				Subscription: directory.MustObjectID(resourceSubscription), Group: "web"}
			_, created, err := p.PutAzureAssignment(context.Background(), callerOf(c), tenant, "Microsoft.Authorization/roleAssignments/write", scope,
				directory.AzureAssignment{ID: directory.NewObjectID(), Role: directory.MustObjectID(azureReader), Principal: c.Principal})
			if err != nil || !created {
				t.Fatal(created, err)
			}
			if name == "deleted" {
				if existed, err := p.DeleteManagedIdentity(context.Background(), callerOf(c), at("web", "msi-one", "Microsoft.ManagedIdentity/userAssignedIdentities/delete")); err != nil || !existed {
					t.Fatal(existed, err)
				}
			} else {
				p.apply(strings.Replace(resourceWorld, "msi-one, resourceGroup: web", "msi-one, resourceGroup: elsewhere", 1))
			}
			left, err := p.AzureAssignments(context.Background(), callerOf(c), tenant, "Microsoft.Authorization/roleAssignments/read",
				manage.AzureScope{Text: "/subscriptions/" + resourceSubscription, Subscription: directory.MustObjectID(resourceSubscription)}, manage.AzureAssignmentQuery{})
			if err != nil || len(left) != 1 {
				t.Errorf("left %+v, %v", left, err)
			}
		})
	}
}

func TestResourceRefusals(t *testing.T) {
	p, c := resourcePlatform(t)
	ctx := context.Background()
	tenant := directory.MustTenantID(resourceTenant)
	foreign := at("web", "msi-one", writeIdentity)
	foreign.Subscription = directory.NewObjectID()
	stranger := *c
	stranger.Tenant = directory.NewTenantID()
	west := manage.ResourceWrite{Location: "westus"}
	subscription := manage.AzureScope{Text: "/subscriptions/" + resourceSubscription, Subscription: directory.MustObjectID(resourceSubscription)}
	assign := func(caller manage.Caller, scope manage.AzureScope, role, principal directory.ObjectID) error {
		_, _, err := p.PutAzureAssignment(ctx, caller, tenant, "Microsoft.Authorization/roleAssignments/write", scope,
			directory.AzureAssignment{ID: directory.NewObjectID(), Role: role, Principal: principal})
		return err
	}
	put := func(caller manage.Caller, place manage.Place, rw manage.ResourceWrite) error {
		_, _, err := p.PutManagedIdentity(ctx, caller, place, rw)
		return err
	}
	for _, row := range []struct {
		what string
		err  error
		kind problem.Kind
		is   error
	}{
		{"a foreign subscription", put(callerOf(c), foreign, west), problem.NotFound, manage.ErrNoSubscription},
		{"a caller who is not in the directory", put(callerOf(&stranger), at("web", "new", writeIdentity), west), problem.Denied, manage.ErrCallerGone},
		{"an absent group", put(callerOf(c), at("absent", "new", writeIdentity), west), problem.NotFound, manage.ErrNoGroup},
		{"another location", put(callerOf(c), at("web", "msi-one", writeIdentity), west), problem.Conflict, manage.ErrMoved},
		{"no location", put(callerOf(c), at("web", "new", writeIdentity), manage.ResourceWrite{}), problem.Invalid, manage.ErrNoLocation},
		{"an action that nobody has", put(callerOf(c), at("web", "new", ""), west), problem.Denied, nil},
		{"an id of one's own", put(callerOf(c), at("web", "new", writeIdentity), manage.ResourceWrite{Location: "westus", ClientID: azureReader}), problem.Invalid, nil},
		{"an unknown role", assign(callerOf(c), subscription, directory.NewObjectID(), c.Principal), problem.NotFound, manage.ErrNoRole},
		{"an unknown principal", assign(callerOf(c), subscription, directory.MustObjectID(azureReader), directory.NewObjectID()), problem.Invalid, manage.ErrNoPrincipal},
		{"the same again", assign(callerOf(c), subscription, directory.MustObjectID(azureOwner), c.Principal), problem.Conflict, manage.ErrAssignmentExists},
		{"the root", assign(callerOf(c), manage.AzureScope{Text: "/"}, directory.MustObjectID(azureOwner), c.Principal), problem.Denied, nil},
	} {
		if problem.KindOf(row.err) != row.kind || row.is != nil && !errors.Is(row.err, row.is) {
			t.Errorf("%s: %v", row.what, row.err)
		}
	}
	// Refusals are recorded in the tenant of who tried.
	changes, err := p.db.Changes(ctx, audit.Query{Tenant: tenant, Outcome: audit.Refused})
	if err != nil || !slices.ContainsFunc(changes, func(c audit.Change) bool { return c.High && c.Target.Kind == "roleAssignment" }) {
		t.Errorf("records %+v, %v", changes, err)
	}
}

// TestOneAssignment: of many that assign the same role at once, one does.
func TestOneAssignment(t *testing.T) {
	p, c := resourcePlatform(t)
	var mu sync.Mutex
	got := make(map[string]int)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			_, created, err := p.PutAzureAssignment(context.Background(), callerOf(c), c.Tenant, "Microsoft.Authorization/roleAssignments/write",
				manage.AzureScope{Text: webScope, Subscription: directory.MustObjectID(resourceSubscription), Group: "web"},
				directory.AzureAssignment{ID: directory.NewObjectID(), Role: directory.MustObjectID(azureReader), Principal: c.Principal})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case created && err == nil:
				got["created"]++
			case errors.Is(err, manage.ErrAssignmentExists):
				got["exists"]++
			default:
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if diff := cmp.Diff(map[string]int{"created": 1, "exists": 7}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
