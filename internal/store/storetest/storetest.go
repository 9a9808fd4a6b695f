// Package storetest is the suite that every engine of package store passes.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/keyring"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/store"
)

// Run runs the suite. open returns a new, empty database and closes it at the
// end of the test.
func Run(t *testing.T, open func(t *testing.T) *store.DB) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, db *store.DB)
	}{
		{"Tenants", testTenants},
		{"Applications", testApplications},
		{"Principals", testPrincipals},
		{"Identities", testIdentities},
		{"Hosts", testHosts},
		{"Credentials", testCredentials},
		{"Assignments", testAssignments},
		{"UniqueKeys", testUniqueKeys},
		{"SameIDsInTwoTenants", testSameIDs},
		{"MalformedIsNotWritten", testMalformed},
		{"Transactions", testTransactions},
		{"ConflictLeavesTheRest", testConflictInside},
		{"DanglingReference", testDangling},
		{"Changes", testChanges},
		{"SignIns", testSignIns},
		{"PruneSignIns", testPrune},
		{"Meta", testMeta},
		{"Keys", testKeys},
		{"KeysRace", testKeysRace},
		{"Directory", testDirectory},
		{"DirectoryResources", testResources},
		{"DirectoryRolesAcrossTenants", testRoles},
		{"DirectoryProperty", testProperty},
		{"DirectoryConcurrently", testConcurrently},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

var ctx = context.Background()

// change runs fn in a transaction that has to succeed.
func change(t testing.TB, db *store.DB, fn func(tx manage.Tx) error) {
	t.Helper()
	if err := db.Change(ctx, fn); err != nil {
		t.Fatal(err)
	}
}

// refused runs fn in a transaction that has to fail with want.
func refused(t testing.TB, db *store.DB, want error, fn func(tx manage.Tx) error) error {
	t.Helper()
	err := db.Change(ctx, fn)
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want one wrapping %v", err, want)
	}
	return err
}

// get reads one thing in a view.
func get[V any](t testing.TB, db *store.DB, fn func(tx manage.Tx) (V, error)) V {
	t.Helper()
	var v V
	err := db.View(ctx, func(tx manage.Tx) (err error) { v, err = fn(tx); return err })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func absent[V any](t testing.TB, db *store.DB, fn func(tx manage.Tx) (V, error)) {
	t.Helper()
	err := db.View(ctx, func(tx manage.Tx) error { _, err := fn(tx); return err })
	if !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("got error %v, want one wrapping %v", err, directory.ErrNotFound)
	}
}

func equal(t testing.TB, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b directory.TenantID) bool { return a == b }),
		cmp.Comparer(func(a, b directory.ObjectID) bool { return a == b }),
		cmp.Comparer(func(a, b directory.ClientID) bool { return a == b }), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}

// NewTenant returns a valid tenant with new ids and every field set.
func NewTenant(name string) *directory.Tenant {
	return &directory.Tenant{
		ID: directory.NewTenantID(), Name: name, DisplayName: strings.ToUpper(name),
		Domains: []string{name + ".example", "a." + name + ".example"}, Subscription: directory.NewObjectID(),
	}
}

// NewApplication returns a valid application with an app role that is disabled.
func NewApplication(t directory.TenantID, name string) *directory.Application {
	return &directory.Application{
		Tenant: t, ID: directory.NewObjectID(), ClientID: directory.NewClientID(), Name: name, Audience: directory.MultiTenant,
		IdentifierURIs: []string{"api://z-" + name, "api://" + name},
		AppRoles: []directory.AppRole{
			{ID: directory.NewObjectID(), Value: "Write", DisplayName: "write", Description: "may write"},
			{ID: directory.NewObjectID(), Value: "Read", DisplayName: "read"},
			{ID: directory.NewObjectID(), Value: "Gone", DisplayName: "gone", Disabled: true},
		},
		TokenVersion: directory.V2,
	}
}

// NewPrincipal returns the service principal of an application.
func NewPrincipal(t directory.TenantID, a *directory.Application) *directory.ServicePrincipal {
	return &directory.ServicePrincipal{
		Tenant: t, ID: directory.NewObjectID(), ClientID: a.ClientID, Kind: directory.ApplicationPrincipal, Name: a.Name,
		HomeTenant: a.Tenant, Names: append([]string{a.ClientID.String()}, a.IdentifierURIs...),
	}
}

// NewIdentity returns a user-assigned identity.
func NewIdentity(t directory.TenantID, name string) *directory.ManagedIdentity {
	return &directory.ManagedIdentity{
		Tenant: t, PrincipalID: directory.NewObjectID(), ClientID: directory.NewClientID(), Kind: directory.UserAssigned,
		Name: name, ResourceGroup: "Group", Location: "north", ResourceID: "/subscriptions/s/" + name,
	}
}

// NewHost returns a valid host with the identities.
func NewHost(t directory.TenantID, name string, identities ...directory.ObjectID) *directory.Host {
	return &directory.Host{
		Tenant: t, ID: directory.NewObjectID(), Name: name, Kind: directory.VirtualMachine, ResourceGroup: "Group",
		Location: "north", ResourceID: "/subscriptions/s/" + name, Identities: identities,
	}
}

// NewCredential returns a valid credential.
func NewCredential(name string) *directory.FederatedCredential {
	return &directory.FederatedCredential{
		ID: directory.NewObjectID(), Name: name, Issuer: "https://issuer.example/" + name, Subject: "Subject " + name,
		Audience: "api://AzureADTokenExchange", Description: "of " + name,
	}
}

// NewAssignment returns a valid assignment.
func NewAssignment(t directory.TenantID, principal, resource, role directory.ObjectID) *directory.AppRoleAssignment {
	return &directory.AppRoleAssignment{
		Tenant: t, ID: directory.NewObjectID(), Principal: principal, Resource: resource, Role: role,
		Created: time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC),
	}
}

func newTenants(t testing.TB, db *store.DB, names ...string) []*directory.Tenant {
	t.Helper()
	var tenants []*directory.Tenant
	change(t, db, func(tx manage.Tx) error {
		for _, name := range names {
			tenants = append(tenants, NewTenant(name))
			if err := tx.InsertTenant(tenants[len(tenants)-1]); err != nil {
				return err
			}
		}
		return nil
	})
	return tenants
}

func testTenants(t *testing.T, db *store.DB) {
	equal(t, get(t, db, manage.Tx.Tenants), []directory.Tenant{})
	all := newTenants(t, db, "fabrikam", "Contoso", "adatum")
	b := all[1]
	b.DisplayName, b.Domains = "", nil
	change(t, db, func(tx manage.Tx) error { return tx.UpdateTenant(b) })

	equal(t, get(t, db, manage.Tx.Tenants), []directory.Tenant{*all[1], *all[2], *all[0]})
	for _, name := range []string{"Contoso", "contoso", "CONTOSO"} {
		equal(t, get(t, db, func(tx manage.Tx) (*directory.Tenant, error) { return tx.TenantByName(name) }), b)
	}
	equal(t, get(t, db, func(tx manage.Tx) (*directory.Tenant, error) { return tx.Tenant(all[0].ID) }), all[0])
	absent(t, db, func(tx manage.Tx) (*directory.Tenant, error) { return tx.Tenant(directory.NewTenantID()) })
	absent(t, db, func(tx manage.Tx) (*directory.Tenant, error) { return tx.TenantByName("contos") })
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.UpdateTenant(NewTenant("new")) })

	// A domain that one tenant gives up is free for another.
	all[0].Domains, b.Domains = nil, all[0].Domains
	change(t, db, func(tx manage.Tx) error { return errors.Join(tx.UpdateTenant(all[0]), tx.UpdateTenant(b)) })
	equal(t, get(t, db, func(tx manage.Tx) (*directory.Tenant, error) { return tx.Tenant(b.ID) }), b)
}

func testApplications(t *testing.T, db *store.DB) {
	tenants := newTenants(t, db, "one", "two")
	one, two := tenants[0].ID, tenants[1].ID
	a, b, bare := NewApplication(one, "b"), NewApplication(one, "a"), NewApplication(two, "b")
	bare.IdentifierURIs, bare.AppRoles, bare.TokenVersion, bare.Disabled = nil, nil, 0, true
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertApplication(a), tx.InsertApplication(b), tx.InsertApplication(bare))
	})
	list := func(id directory.TenantID) []directory.Application {
		return get(t, db, func(tx manage.Tx) ([]directory.Application, error) { return tx.Applications(id) })
	}
	equal(t, list(one), []directory.Application{*b, *a})
	equal(t, list(two), []directory.Application{*bare})
	equal(t, list(directory.NewTenantID()), []directory.Application{})
	for _, read := range []func(tx manage.Tx) (*directory.Application, error){
		func(tx manage.Tx) (*directory.Application, error) { return tx.Application(one, a.ID) },
		func(tx manage.Tx) (*directory.Application, error) { return named(tx, one, "b") },
		func(tx manage.Tx) (*directory.Application, error) { return tx.ApplicationByClientID(a.ClientID) },
	} {
		equal(t, get(t, db, read), a)
	}
	for _, read := range []func(tx manage.Tx) (*directory.Application, error){
		func(tx manage.Tx) (*directory.Application, error) { return tx.Application(two, a.ID) },
		func(tx manage.Tx) (*directory.Application, error) { return named(tx, two, "a") },
		func(tx manage.Tx) (*directory.Application, error) { return named(tx, one, "B") },
		func(tx manage.Tx) (*directory.Application, error) {
			return tx.ApplicationByClientID(directory.NewClientID())
		},
	} {
		absent(t, db, read)
	}

	a.Name, a.Audience, a.Disabled, a.TokenVersion = "renamed", directory.SingleTenant, true, directory.V1
	a.IdentifierURIs, a.AppRoles = a.IdentifierURIs[1:], slices.Concat(a.AppRoles[2:], a.AppRoles[:1])
	change(t, db, func(tx manage.Tx) error { return tx.UpdateApplication(a) })
	equal(t, list(one), []directory.Application{*b, *a})

	foreign := *a
	foreign.Tenant = two
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.UpdateApplication(&foreign) })
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.DeleteApplication(two, a.ID) })
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error {
		return tx.InsertApplication(NewApplication(directory.NewTenantID(), "homeless"))
	})

	cred := NewCredential("cred")
	change(t, db, func(tx manage.Tx) error { return tx.InsertCredential(one, a.ID, cred) })
	change(t, db, func(tx manage.Tx) error { return tx.DeleteApplication(one, a.ID) })
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.DeleteApplication(one, a.ID) })
	equal(t, list(one), []directory.Application{*b})
	// Everything of it is gone, so that it may come back.
	change(t, db, func(tx manage.Tx) error { return tx.InsertApplication(a) })
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.FederatedCredential, error) { return tx.Credentials(one, a.ID) }), []directory.FederatedCredential{})
}

func testPrincipals(t *testing.T, db *store.DB) {
	tenants := newTenants(t, db, "one", "two")
	one, two := tenants[0].ID, tenants[1].ID
	app := NewApplication(one, "app")
	p, q := NewPrincipal(one, app), NewPrincipal(two, app)
	p.AssignmentRequired, q.Disabled, q.Names = true, true, nil
	other := NewPrincipal(one, NewApplication(two, "aaa"))
	other.Kind = directory.IdentityPrincipal
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertPrincipal(p), tx.InsertPrincipal(q), tx.InsertPrincipal(other))
	})
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.ServicePrincipal, error) { return tx.Principals(one) }), []directory.ServicePrincipal{*other, *p})
	equal(t, get(t, db, func(tx manage.Tx) (*directory.ServicePrincipal, error) { return tx.Principal(one, p.ID) }), p)
	equal(t, get(t, db, func(tx manage.Tx) (*directory.ServicePrincipal, error) {
		return tx.PrincipalByClientID(two, app.ClientID)
	}), q)
	both := get(t, db, func(tx manage.Tx) ([]directory.ServicePrincipal, error) { return tx.PrincipalsOf(app.ClientID) })
	want := []directory.ServicePrincipal{*p, *q}
	slices.SortFunc(want, func(a, b directory.ServicePrincipal) int {
		return strings.Compare(a.Tenant.String(), b.Tenant.String())
	})
	equal(t, both, want)
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.ServicePrincipal, error) {
		return tx.PrincipalsOf(directory.NewClientID())
	}), []directory.ServicePrincipal{})
	absent(t, db, func(tx manage.Tx) (*directory.ServicePrincipal, error) { return tx.Principal(two, p.ID) })
	absent(t, db, func(tx manage.Tx) (*directory.ServicePrincipal, error) {
		return tx.PrincipalByClientID(two, other.ClientID)
	})

	p.Name, p.Names, p.AssignmentRequired, p.Disabled = "zzz", []string{"api://new", p.Names[0]}, false, true
	change(t, db, func(tx manage.Tx) error { return tx.UpdatePrincipal(p) })
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.ServicePrincipal, error) { return tx.Principals(one) }), []directory.ServicePrincipal{*other, *p})
	foreign := *p
	foreign.Tenant = two
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.UpdatePrincipal(&foreign) })
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.DeletePrincipal(two, p.ID) })

	to, from := NewAssignment(one, other.ID, p.ID, app.AppRoles[0].ID), NewAssignment(one, p.ID, other.ID, app.AppRoles[0].ID)
	rest := NewAssignment(one, other.ID, other.ID, app.AppRoles[0].ID)
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertAssignment(to), tx.InsertAssignment(from), tx.InsertAssignment(rest))
	})
	change(t, db, func(tx manage.Tx) error { return tx.DeletePrincipal(one, p.ID) })
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.AppRoleAssignment, error) { return tx.Assignments(one) }), []directory.AppRoleAssignment{*rest})
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.ServicePrincipal, error) { return tx.Principals(one) }), []directory.ServicePrincipal{*other})
	change(t, db, func(tx manage.Tx) error { return tx.InsertPrincipal(p) }) // its names are free again
}

func testIdentities(t *testing.T, db *store.DB) {
	tenants := newTenants(t, db, "one", "two")
	one, two := tenants[0].ID, tenants[1].ID
	m, n := NewIdentity(one, "Mine"), NewIdentity(one, "mine")
	n.ResourceGroup = "another"
	sys := NewIdentity(one, "Mine")
	sys.Kind, sys.Host, sys.Disabled = directory.SystemAssigned, directory.NewObjectID(), true
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertIdentity(m), tx.InsertIdentity(n), tx.InsertIdentity(sys))
	})
	list := get(t, db, func(tx manage.Tx) ([]directory.ManagedIdentity, error) { return tx.Identities(one) })
	want := []directory.ManagedIdentity{*m, *sys}
	slices.SortFunc(want, func(a, b directory.ManagedIdentity) int {
		return strings.Compare(a.PrincipalID.String(), b.PrincipalID.String())
	})
	equal(t, list, append(want, *n))
	for _, name := range []string{"mine", "MINE"} {
		equal(t, get(t, db, func(tx manage.Tx) ([]directory.ManagedIdentity, error) { return tx.IdentitiesNamed(one, name) }), []directory.ManagedIdentity{*n, *m})
	}
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.ManagedIdentity, error) { return tx.IdentitiesNamed(two, "mine") }), []directory.ManagedIdentity{})
	equal(t, get(t, db, func(tx manage.Tx) (*directory.ManagedIdentity, error) { return tx.Identity(one, sys.PrincipalID) }), sys)
	absent(t, db, func(tx manage.Tx) (*directory.ManagedIdentity, error) { return tx.Identity(two, m.PrincipalID) })
	absent(t, db, func(tx manage.Tx) (*directory.Application, error) { return tx.ApplicationByClientID(m.ClientID) })

	m.Name, m.ResourceGroup, m.Location, m.ResourceID, m.Disabled = "Renamed", "Other", "south", "/x", true
	change(t, db, func(tx manage.Tx) error { return tx.UpdateIdentity(m) })
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.ManagedIdentity, error) { return tx.IdentitiesNamed(one, "renamed") }), []directory.ManagedIdentity{*m})
	foreign := *m
	foreign.Tenant = two
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.UpdateIdentity(&foreign) })
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.DeleteIdentity(two, m.PrincipalID) })

	host, cred := NewHost(one, "host", n.PrincipalID, m.PrincipalID), NewCredential("cred")
	host.System = sys.PrincipalID
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertHost(host), tx.InsertCredential(one, m.PrincipalID, cred))
	})
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.DeleteIdentity(one, n.PrincipalID), tx.DeleteIdentity(one, sys.PrincipalID))
	})
	host.Identities, host.System = host.Identities[1:], directory.ObjectID{}
	equal(t, get(t, db, func(tx manage.Tx) (*directory.Host, error) { return tx.HostByName(one, "host") }), host)
	change(t, db, func(tx manage.Tx) error { return tx.DeleteIdentity(one, m.PrincipalID) })
	absent(t, db, func(tx manage.Tx) ([]directory.FederatedCredential, error) { return tx.Credentials(one, m.PrincipalID) })
	change(t, db, func(tx manage.Tx) error { return tx.InsertIdentity(m) }) // its client id is free again
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.FederatedCredential, error) { return tx.Credentials(one, m.PrincipalID) }), []directory.FederatedCredential{})
}

func testHosts(t *testing.T, db *store.DB) {
	tenants := newTenants(t, db, "one", "two")
	one, two := tenants[0].ID, tenants[1].ID
	var ids []directory.ObjectID
	change(t, db, func(tx manage.Tx) error {
		for i := range 3 {
			m := NewIdentity(one, fmt.Sprint("identity", i))
			ids = append(ids, m.PrincipalID)
			if err := tx.InsertIdentity(m); err != nil {
				return err
			}
		}
		return nil
	})
	h, g, far := NewHost(one, "b", ids[2], ids[0]), NewHost(one, "a"), NewHost(two, "b")
	h.System = directory.NewObjectID()
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertHost(h), tx.InsertHost(g), tx.InsertHost(far))
	})
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.Host, error) { return tx.Hosts(one) }), []directory.Host{*g, *h})
	equal(t, get(t, db, func(tx manage.Tx) (*directory.Host, error) { return tx.HostByName(two, "b") }), far)
	absent(t, db, func(tx manage.Tx) (*directory.Host, error) { return tx.HostByName(two, "a") })

	h.Name, h.Kind, h.ResourceGroup, h.Location, h.ResourceID, h.System = "c", directory.WebApp, "g2", "l2", "r2", directory.ObjectID{}
	h.Identities = []directory.ObjectID{ids[0], ids[1], ids[2]}
	change(t, db, func(tx manage.Tx) error { return tx.UpdateHost(h) })
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.Host, error) { return tx.Hosts(one) }), []directory.Host{*g, *h})
	foreign := *h
	foreign.Tenant = two
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.UpdateHost(&foreign) })
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.DeleteHost(two, h.ID) })
	change(t, db, func(tx manage.Tx) error { return tx.DeleteHost(one, h.ID) })
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.Host, error) { return tx.Hosts(one) }), []directory.Host{*g})
	change(t, db, func(tx manage.Tx) error { return tx.InsertHost(h) })
}

func testCredentials(t *testing.T, db *store.DB) {
	tenants := newTenants(t, db, "one", "two")
	one, two := tenants[0].ID, tenants[1].ID
	app, m := NewApplication(one, "app"), NewIdentity(one, "identity")
	b, a, onIdentity := NewCredential("b"), NewCredential("a"), NewCredential("b")
	b.Issuer, b.Subject, b.Description = " spaces and ü ", strings.Repeat("ß", 600), ""
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertApplication(app), tx.InsertIdentity(m),
			tx.InsertCredential(one, app.ID, b), tx.InsertCredential(one, app.ID, a), tx.InsertCredential(one, m.PrincipalID, onIdentity))
	})
	list := func(parent directory.ObjectID) []directory.FederatedCredential {
		return get(t, db, func(tx manage.Tx) ([]directory.FederatedCredential, error) { return tx.Credentials(one, parent) })
	}
	equal(t, list(app.ID), []directory.FederatedCredential{*a, *b})
	equal(t, list(m.PrincipalID), []directory.FederatedCredential{*onIdentity})

	b.Issuer, b.Subject, b.Audience, b.Description = "i", "s", "aud", "d"
	change(t, db, func(tx manage.Tx) error { return tx.UpdateCredential(one, app.ID, b) })
	equal(t, list(app.ID), []directory.FederatedCredential{*a, *b})

	absent(t, db, func(tx manage.Tx) ([]directory.FederatedCredential, error) { return tx.Credentials(two, app.ID) })
	for _, parent := range []struct {
		t  directory.TenantID
		id directory.ObjectID
	}{{two, app.ID}, {one, directory.NewObjectID()}} {
		refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error {
			return tx.InsertCredential(parent.t, parent.id, NewCredential("new"))
		})
		refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.UpdateCredential(parent.t, parent.id, b) })
		refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.DeleteCredential(parent.t, parent.id, b.ID) })
	}
	change(t, db, func(tx manage.Tx) error { return tx.DeleteCredential(one, app.ID, b.ID) })
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.DeleteCredential(one, app.ID, b.ID) })
	equal(t, list(app.ID), []directory.FederatedCredential{*a})
}

func testAssignments(t *testing.T, db *store.DB) {
	tenants := newTenants(t, db, "one", "two")
	one, two := tenants[0].ID, tenants[1].ID
	app := NewApplication(one, "app")
	p, q := NewPrincipal(one, app), NewPrincipal(one, NewApplication(one, "client"))
	a, b := NewAssignment(one, q.ID, p.ID, app.AppRoles[0].ID), NewAssignment(one, q.ID, p.ID, app.AppRoles[1].ID)
	b.Created = time.Time{}
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertPrincipal(p), tx.InsertPrincipal(q), tx.InsertAssignment(a), tx.InsertAssignment(b))
	})
	got := get(t, db, func(tx manage.Tx) ([]directory.AppRoleAssignment, error) { return tx.Assignments(one) })
	byID := func(a, b directory.AppRoleAssignment) int { return strings.Compare(a.ID.String(), b.ID.String()) }
	want := []directory.AppRoleAssignment{*a, *b}
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	equal(t, got, want)
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.DeleteAssignment(two, a.ID) })
	change(t, db, func(tx manage.Tx) error { return tx.DeleteAssignment(one, a.ID) })
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.AppRoleAssignment, error) { return tx.Assignments(one) }), []directory.AppRoleAssignment{*b})
}

func testUniqueKeys(t *testing.T, db *store.DB) {
	tenants := newTenants(t, db, "one", "two")
	one, two := tenants[0].ID, tenants[1].ID
	app, m := NewApplication(one, "app"), NewIdentity(one, "identity")
	p, q := NewPrincipal(one, app), NewPrincipal(one, NewApplication(one, "client"))
	host, cred := NewHost(one, "host", m.PrincipalID), NewCredential("cred")
	grant := NewAssignment(one, q.ID, p.ID, app.AppRoles[0].ID)
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertApplication(app), tx.InsertIdentity(m), tx.InsertPrincipal(p), tx.InsertPrincipal(q),
			tx.InsertHost(host), tx.InsertCredential(one, app.ID, cred), tx.InsertAssignment(grant))
	})

	tenant := func(edit func(*directory.Tenant)) func(manage.Tx) error {
		n := NewTenant("new")
		edit(n)
		return func(tx manage.Tx) error { return tx.InsertTenant(n) }
	}
	application := func(t directory.TenantID, edit func(*directory.Application)) func(manage.Tx) error {
		n := NewApplication(t, "new")
		edit(n)
		return func(tx manage.Tx) error { return tx.InsertApplication(n) }
	}
	principal := func(t directory.TenantID, edit func(*directory.ServicePrincipal)) func(manage.Tx) error {
		n := NewPrincipal(t, NewApplication(t, "new"))
		edit(n)
		return func(tx manage.Tx) error { return tx.InsertPrincipal(n) }
	}
	identity := func(t directory.TenantID, edit func(*directory.ManagedIdentity)) func(manage.Tx) error {
		n := NewIdentity(t, "new")
		edit(n)
		return func(tx manage.Tx) error { return tx.InsertIdentity(n) }
	}
	newHost := func(t directory.TenantID, edit func(*directory.Host)) func(manage.Tx) error {
		n := NewHost(t, "new")
		edit(n)
		return func(tx manage.Tx) error { return tx.InsertHost(n) }
	}
	credential := func(edit func(*directory.FederatedCredential)) func(manage.Tx) error {
		n := NewCredential("new")
		edit(n)
		return func(tx manage.Tx) error { return tx.InsertCredential(one, app.ID, n) }
	}
	for _, c := range []struct {
		says  string
		write func(manage.Tx) error
	}{
		{"a tenant with that id", tenant(func(n *directory.Tenant) { n.ID = one })},
		{"a tenant with that name", tenant(func(n *directory.Tenant) { n.Name = "ONE" })},
		{"a tenant with that domain", tenant(func(n *directory.Tenant) { n.Domains = []string{"One.Example"} })},
		{"a tenant with that name", func(tx manage.Tx) error { n := *tenants[1]; n.Name = "One"; return tx.UpdateTenant(&n) }},
		{"a tenant with that domain", func(tx manage.Tx) error { n := *tenants[1]; n.Domains = tenants[0].Domains; return tx.UpdateTenant(&n) }},
		{"an application with that object id", application(one, func(n *directory.Application) { n.ID = app.ID })},
		{"the client id is in use", application(two, func(n *directory.Application) { n.ClientID = app.ClientID })},
		{"the client id is in use", application(two, func(n *directory.Application) { n.ClientID = m.ClientID })},
		{"an application with that identifier URI", application(one, func(n *directory.Application) { n.IdentifierURIs = app.IdentifierURIs[1:] })},
		{"two app roles with that id", application(one, func(n *directory.Application) { n.AppRoles[0].ID = n.AppRoles[1].ID })},
		{"a service principal with that object id", principal(one, func(n *directory.ServicePrincipal) { n.ID = p.ID })},
		{"a service principal of that client id", principal(one, func(n *directory.ServicePrincipal) { n.ClientID = p.ClientID })},
		{"that service principal name", principal(one, func(n *directory.ServicePrincipal) { n.Names = []string{"api://app"} })},
		{"that service principal name", func(tx manage.Tx) error { n := *q; n.Names = p.Names; return tx.UpdatePrincipal(&n) }},
		{"a managed identity with that principal id", identity(one, func(n *directory.ManagedIdentity) { n.PrincipalID = m.PrincipalID })},
		{"the client id is in use", identity(two, func(n *directory.ManagedIdentity) { n.ClientID = app.ClientID })},
		{"that name exists in the resource group", identity(one, func(n *directory.ManagedIdentity) { n.Name, n.ResourceGroup = "IDENTITY", "GROUP" })},
		{"a host with that id", newHost(one, func(n *directory.Host) { n.ID = host.ID })},
		{"a host with that name", newHost(one, func(n *directory.Host) { n.Name = "host" })},
		{"that identity twice", newHost(one, func(n *directory.Host) { n.Identities = []directory.ObjectID{m.PrincipalID, m.PrincipalID} })},
		{"a credential with that id", credential(func(n *directory.FederatedCredential) { n.ID = cred.ID })},
		{"a credential with that name", credential(func(n *directory.FederatedCredential) { n.Name = "cred" })},
		{"that issuer and subject", credential(func(n *directory.FederatedCredential) { n.Issuer, n.Subject = cred.Issuer, cred.Subject })},
		{"holds that app role", func(tx manage.Tx) error { n := *grant; n.ID = directory.NewObjectID(); return tx.InsertAssignment(&n) }},
		{"an app role assignment with that id", func(tx manage.Tx) error {
			n := *grant
			n.Role = directory.NewObjectID()
			return tx.InsertAssignment(&n)
		}},
	} {
		if err := refused(t, db, directory.ErrConflict, c.write); !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q does not say %q", err, c.says)
		}
	}
	// What is no clash: another tenant, another case where case counts, another parent.
	for i, write := range []func(manage.Tx) error{
		application(two, func(n *directory.Application) { n.Name, n.IdentifierURIs = "app", app.IdentifierURIs }),
		application(one, func(n *directory.Application) { n.Name, n.IdentifierURIs = "App", []string{"api://App"} }),
		principal(two, func(n *directory.ServicePrincipal) { n.ClientID, n.Names = p.ClientID, p.Names }),
		principal(one, func(n *directory.ServicePrincipal) { n.Name, n.Names = p.Name, []string{"api://App"} }),
		identity(two, func(n *directory.ManagedIdentity) { n.Name = "identity" }),
		identity(one, func(n *directory.ManagedIdentity) { n.Name, n.Kind = "identity", directory.SystemAssigned }),
		newHost(two, func(n *directory.Host) { n.Name = "host" }),
		newHost(one, func(n *directory.Host) { n.Name = "Host" }),
		credential(func(n *directory.FederatedCredential) { n.Issuer, n.Subject = cred.Issuer+"S", cred.Subject[1:] }),
		func(tx manage.Tx) error { return tx.InsertCredential(one, m.PrincipalID, cred) },
	} {
		if err := db.Change(ctx, write); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func testSameIDs(t *testing.T, db *store.DB) {
	tenants := newTenants(t, db, "one", "two")
	one, two := tenants[0].ID, tenants[1].ID
	app := NewApplication(one, "app")
	m := NewIdentity(one, "identity")
	host, cred := NewHost(one, "host", m.PrincipalID), NewCredential("cred")
	p := NewPrincipal(one, app)
	grant := NewAssignment(one, p.ID, p.ID, app.AppRoles[0].ID)

	app2, m2, host2, p2, grant2 := *app, *m, *host, *p, *grant
	app2.Tenant, m2.Tenant, host2.Tenant, p2.Tenant, p2.HomeTenant, grant2.Tenant = two, two, two, two, two, two
	app2.ClientID, m2.ClientID, p2.ClientID = directory.NewClientID(), directory.NewClientID(), directory.NewClientID()
	app2.Disabled, m2.Disabled, p2.Disabled, host2.Location, grant2.Created = true, true, true, "elsewhere", time.UnixMicro(1).UTC()
	cred2 := *cred
	cred2.Subject = "another"
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(
			tx.InsertApplication(app), tx.InsertIdentity(m), tx.InsertPrincipal(p), tx.InsertHost(host), tx.InsertCredential(one, app.ID, cred), tx.InsertAssignment(grant),
			tx.InsertApplication(&app2), tx.InsertIdentity(&m2), tx.InsertPrincipal(&p2), tx.InsertHost(&host2), tx.InsertCredential(two, app.ID, &cred2), tx.InsertAssignment(&grant2))
	})
	check := func() {
		t.Helper()
		equal(t, get(t, db, func(tx manage.Tx) (*directory.Application, error) { return tx.Application(two, app.ID) }), &app2)
		equal(t, get(t, db, func(tx manage.Tx) (*directory.ManagedIdentity, error) { return tx.Identity(two, m.PrincipalID) }), &m2)
		equal(t, get(t, db, func(tx manage.Tx) (*directory.ServicePrincipal, error) { return tx.Principal(two, p.ID) }), &p2)
		equal(t, get(t, db, func(tx manage.Tx) ([]directory.Host, error) { return tx.Hosts(two) }), []directory.Host{host2})
		equal(t, get(t, db, func(tx manage.Tx) ([]directory.FederatedCredential, error) { return tx.Credentials(two, app.ID) }), []directory.FederatedCredential{cred2})
		equal(t, get(t, db, func(tx manage.Tx) ([]directory.AppRoleAssignment, error) { return tx.Assignments(two) }), []directory.AppRoleAssignment{grant2})
	}
	check()
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.DeleteHost(one, host.ID), tx.DeletePrincipal(one, p.ID), tx.DeleteIdentity(one, m.PrincipalID), tx.DeleteApplication(one, app.ID))
	})
	check()
	for _, list := range []func(manage.Tx) (int, error){
		func(tx manage.Tx) (int, error) { l, err := tx.Applications(one); return len(l), err },
		func(tx manage.Tx) (int, error) { l, err := tx.Principals(one); return len(l), err },
		func(tx manage.Tx) (int, error) { l, err := tx.Identities(one); return len(l), err },
		func(tx manage.Tx) (int, error) { l, err := tx.Hosts(one); return len(l), err },
		func(tx manage.Tx) (int, error) { l, err := tx.Assignments(one); return len(l), err },
	} {
		equal(t, get(t, db, list), 0)
	}
}

func testMalformed(t *testing.T, db *store.DB) {
	one := newTenants(t, db, "one")[0].ID
	for i, write := range []func(manage.Tx) error{
		func(tx manage.Tx) error { return tx.InsertTenant(&directory.Tenant{Name: "x"}) },
		func(tx manage.Tx) error {
			a := NewApplication(one, "a")
			a.Audience = "everybody"
			return tx.InsertApplication(a)
		},
		func(tx manage.Tx) error {
			a := NewApplication(one, "a")
			a.TokenVersion = 3
			return tx.InsertApplication(a)
		},
		func(tx manage.Tx) error {
			a := NewApplication(one, "a")
			a.AppRoles = make([]directory.AppRole, 1)
			return tx.InsertApplication(a)
		},
		func(tx manage.Tx) error {
			a := NewApplication(directory.TenantID{}, "a")
			return tx.InsertApplication(a)
		},
		func(tx manage.Tx) error {
			p := NewPrincipal(one, NewApplication(one, "a"))
			p.Kind = ""
			return tx.InsertPrincipal(p)
		},
		func(tx manage.Tx) error {
			m := NewIdentity(one, "a")
			m.ClientID = directory.ClientID{}
			return tx.InsertIdentity(m)
		},
		func(tx manage.Tx) error { h := NewHost(one, "a"); h.Kind = "mainframe"; return tx.InsertHost(h) },
		func(tx manage.Tx) error { return tx.InsertHost(NewHost(one, "a", directory.ObjectID{})) },
		func(tx manage.Tx) error { return tx.InsertCredential(one, directory.ObjectID{}, NewCredential("a")) },
		func(tx manage.Tx) error {
			return tx.InsertAssignment(NewAssignment(one, directory.NewObjectID(), directory.NewObjectID(), directory.ObjectID{}))
		},
	} {
		if err := db.Change(ctx, write); err == nil || !strings.Contains(err.Error(), "table ") {
			t.Errorf("%d: got error %v, want one naming the table", i, err)
		}
	}
	equal(t, len(get(t, db, manage.Tx.Tenants)), 1)
}

func testTransactions(t *testing.T, db *store.DB) {
	one := newTenants(t, db, "one")[0]
	mine := errors.New("mine")
	if err := db.Change(ctx, func(tx manage.Tx) error {
		one.DisplayName = "not kept"
		if err := tx.UpdateTenant(one); err != nil {
			return err
		}
		if got, err := tx.Tenant(one.ID); err != nil || got.DisplayName != "not kept" {
			t.Errorf("a transaction does not see its own write: %v, %v", got, err)
		}
		return mine
	}); err != mine { //nolint:errorlint // unchanged
		t.Errorf("got %v, want the function's own error", err)
	}
	one.DisplayName = "ONE"
	read := func(tx manage.Tx) (*directory.Tenant, error) { return tx.Tenant(one.ID) }
	equal(t, get(t, db, read), one)
	if err := db.View(ctx, func(manage.Tx) error { return mine }); err != mine { //nolint:errorlint // unchanged
		t.Errorf("got %v, want the function's own error", err)
	}

	func() {
		defer func() { _ = recover() }()
		_ = db.Change(ctx, func(tx manage.Tx) error {
			_ = tx.InsertTenant(NewTenant("two"))
			panic("in the middle")
		})
	}()
	equal(t, len(get(t, db, manage.Tx.Tenants)), 1)

	for i, write := range []func(tx manage.Tx) error{
		func(tx manage.Tx) error { return tx.InsertTenant(NewTenant("two")) },
		func(tx manage.Tx) error { return tx.UpdateTenant(one) },
		func(tx manage.Tx) error { return tx.AppendChange(audit.Change{}) },
		func(tx manage.Tx) error { return tx.DeleteAssignment(one.ID, directory.NewObjectID()) },
		func(tx manage.Tx) error {
			return tx.InsertCredential(one.ID, directory.NewObjectID(), NewCredential("c"))
		},
	} {
		err := db.View(ctx, write)
		if err == nil || errors.Is(err, directory.ErrNotFound) {
			t.Errorf("write %d in a view: got error %v", i, err)
		}
	}

	// A view sees one state, and nothing uncommitted.
	wrote, looked := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- db.Change(ctx, func(tx manage.Tx) error {
			err := tx.InsertTenant(NewTenant("two"))
			close(wrote)
			<-looked
			return err
		})
	}()
	<-wrote
	if err := db.View(ctx, func(tx manage.Tx) error {
		for i := range 2 {
			list, err := tx.Tenants()
			if err != nil || len(list) != 1 {
				t.Errorf("look %d: %d tenants, error %v; want 1", i, len(list), err)
			}
			if i == 0 {
				close(looked)
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	equal(t, len(get(t, db, manage.Tx.Tenants)), 2)

	// Whoever has given up gets nothing written.
	gone, cancel := context.WithCancel(ctx)
	if err := db.Change(gone, func(tx manage.Tx) error {
		err := tx.InsertTenant(NewTenant("three"))
		cancel()
		return err
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if err := db.View(gone, func(manage.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	equal(t, len(get(t, db, manage.Tx.Tenants)), 2)
}

func testConflictInside(t *testing.T, db *store.DB) {
	one := newTenants(t, db, "one")[0].ID
	a := NewApplication(one, "a")
	b := NewApplication(one, "b")
	clash := NewApplication(one, "clash")
	clash.IdentifierURIs = append(clash.IdentifierURIs, a.IdentifierURIs[0])
	change(t, db, func(tx manage.Tx) error {
		if err := tx.InsertApplication(a); err != nil {
			return err
		}
		if err := tx.InsertApplication(clash); !errors.Is(err, directory.ErrConflict) {
			t.Errorf("got %v, want a conflict", err)
		}
		return tx.InsertApplication(b)
	})
	equal(t, get(t, db, func(tx manage.Tx) ([]directory.Application, error) { return tx.Applications(one) }), []directory.Application{*a, *b})
}

func testDangling(t *testing.T, db *store.DB) {
	one := newTenants(t, db, "one")[0].ID
	m := NewIdentity(one, "m")
	host := NewHost(one, "host", m.PrincipalID)
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error { return tx.InsertHost(host) })
	change(t, db, func(tx manage.Tx) error { return errors.Join(tx.InsertHost(host), tx.InsertIdentity(m)) })
	refused(t, db, directory.ErrNotFound, func(tx manage.Tx) error {
		return tx.InsertAssignment(NewAssignment(one, directory.NewObjectID(), directory.NewObjectID(), directory.NewObjectID()))
	})
	// The database goes on after a commit that was refused.
	equal(t, len(get(t, db, func(tx manage.Tx) ([]directory.Host, error) { return tx.Hosts(one) })), 1)
}

func testChanges(t *testing.T, db *store.DB) {
	tenants := newTenants(t, db, "one", "two")
	one, two := tenants[0].ID, tenants[1].ID
	at := time.Date(2026, 11, 22, 1, 2, 3, 456789123, time.FixedZone("east", 3600))
	record := func(tenant directory.TenantID, n int, outcome audit.Outcome) audit.Change {
		return audit.Change{
			ID: fmt.Sprint("change-", n), Time: at.Add(time.Duration(n) * time.Second), Tenant: tenant, Actor: audit.Actor{Kind: "system"},
			Action: "update", Target: audit.Target{Kind: "application", ID: fmt.Sprint("id-", n), Name: "one/app\x00\xff"}, Outcome: outcome,
			Before: json.RawMessage(`{"a": "<b>"}`), After: json.RawMessage(`null`), Sequence: 99,
		}
	}
	change(t, db, func(tx manage.Tx) error {
		for n := range 5 {
			if err := tx.AppendChange(record(one, n, audit.Succeeded)); err != nil {
				return err
			}
		}
		return tx.AppendChange(record(two, 5, audit.Succeeded))
	})
	rolledBack := errors.New("no")
	refused(t, db, rolledBack, func(tx manage.Tx) error {
		return errors.Join(tx.AppendChange(record(one, 6, audit.Succeeded)), rolledBack)
	})
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.AppendChange(record(one, 7, audit.Refused)), tx.AppendChange(record(directory.TenantID{}, 8, audit.Succeeded)))
	})
	for _, c := range []struct {
		name string
		q    audit.Query
		want []string // id/sequence
	}{
		{"everything", audit.Query{}, []string{"change-8/1", "change-7/6", "change-5/1", "change-4/5", "change-3/4", "change-2/3", "change-1/2", "change-0/1"}},
		{"one tenant", audit.Query{Tenant: one}, []string{"change-7/6", "change-4/5", "change-3/4", "change-2/3", "change-1/2", "change-0/1"}},
		{"outcome", audit.Query{Outcome: audit.Refused}, []string{"change-7/6"}},
		{"since", audit.Query{Tenant: one, Since: at.Add(4 * time.Second)}, []string{"change-7/6", "change-4/5"}},
		{"before", audit.Query{Tenant: one, Before: at.Add(2 * time.Second)}, []string{"change-1/2", "change-0/1"}},
		{"behind a record", audit.Query{Tenant: one, Behind: audit.Place{Time: at.Add(time.Second), Sequence: 2}}, []string{"change-0/1"}},
		{"behind a record of the same moment", audit.Query{Tenant: one, Behind: audit.Place{Time: at.Add(time.Second), Sequence: 3}}, []string{"change-1/2", "change-0/1"}},
		{"limit", audit.Query{Limit: 2}, []string{"change-8/1", "change-7/6"}},
		{"target id", audit.Query{Client: "id-3"}, []string{"change-3/4"}},
		{"nothing", audit.Query{Tenant: two, Client: "id-3"}, nil},
	} {
		found, err := db.Changes(ctx, c.q)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var got []string
		for _, f := range found {
			got = append(got, fmt.Sprint(f.ID, "/", f.Sequence))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: want -, got +:\n%s", c.name, d)
		}
	}
	if err := db.VerifyChanges(ctx); err != nil {
		t.Error(err)
	}
	refused := db.Change(ctx, func(tx manage.Tx) error {
		return tx.AppendChange(audit.Change{Before: json.RawMessage("{")})
	})
	if refused == nil {
		t.Error("a record that is no JSON was accepted")
	}
}

func testSignIns(t *testing.T, db *store.DB) {
	one, two := directory.NewTenantID(), directory.NewTenantID()
	client := directory.NewClientID()
	at := time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC)
	record := func(n int, edit func(*audit.SignIn)) audit.SignIn {
		s := audit.SignIn{ID: fmt.Sprint("trace-", n), Time: at.Add(time.Duration(n) * time.Second), Kind: audit.ApplicationSignIn, Outcome: audit.Succeeded, Tenant: one}
		edit(&s)
		return s
	}
	batch := []audit.SignIn{
		record(0, func(s *audit.SignIn) { s.Tenant = directory.TenantID{}; s.TenantName = "nowhere\x00" }),
		record(1, func(s *audit.SignIn) { s.ClientID, s.ClientName = client, "orders" }),
		record(2, func(s *audit.SignIn) {
			s.ClientID, s.ClientName, s.Outcome, s.Code = client, "orders", audit.Refused, 700213
			s.Expires, s.Took, s.Assertion = at.Add(time.Hour), time.Millisecond, audit.HashOf("x")
		}),
		record(3, func(s *audit.SignIn) { s.Tenant, s.ClientID = two, client }),
		record(4, func(s *audit.SignIn) { s.ClientName = "other" }),
	}
	for range 2 { // a batch may be tried again
		if err := db.RecordSignIns(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.RecordSignIns(ctx, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		q    audit.Query
		want []int
	}{
		{"everything", audit.Query{}, []int{4, 3, 2, 1, 0}},
		{"tenant", audit.Query{Tenant: one}, []int{4, 2, 1}},
		{"client id", audit.Query{Client: strings.ToUpper(client.String())}, []int{3, 2, 1}},
		{"client id in a tenant", audit.Query{Tenant: one, Client: client.String()}, []int{2, 1}},
		{"client name", audit.Query{Client: "orders"}, []int{2, 1}},
		{"outcome", audit.Query{Tenant: one, Outcome: audit.Refused}, []int{2}},
		{"since", audit.Query{Since: at.Add(3 * time.Second)}, []int{4, 3}},
		{"before", audit.Query{Tenant: one, Before: at.Add(4 * time.Second)}, []int{2, 1}},
		{"behind a record", audit.Query{Tenant: one, Behind: audit.Place{Time: at.Add(2 * time.Second), ID: "trace-2"}}, []int{1}},
		{"behind a record of the same moment", audit.Query{Tenant: one, Behind: audit.Place{Time: at.Add(2 * time.Second), ID: "trace-3"}}, []int{2, 1}},
		{"limit", audit.Query{Limit: 1}, []int{4}},
		{"nothing", audit.Query{Tenant: two, Client: "orders"}, nil},
	} {
		got, err := db.SignIns(ctx, c.q)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var want []audit.SignIn
		for _, n := range c.want {
			want = append(want, batch[n])
		}
		equal(t, got, want)
	}
}

func testPrune(t *testing.T, db *store.DB) {
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	const n = 1200
	var batch []audit.SignIn
	for i := range n {
		batch = append(batch, audit.SignIn{ID: fmt.Sprintf("%04d", i), Time: at.Add(time.Duration(i) * time.Minute)})
	}
	if err := db.RecordSignIns(ctx, batch); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		before  time.Time
		keep    int
		removed int64
		oldest  int
	}{
		{at, 0, 0, 0},
		{at, n, 0, 0},
		{at.Add(10 * time.Minute), n, 10, 10},
		{at.Add(11 * time.Minute), 0, 1, 11},
		{at.Add(12 * time.Minute), 100, n - 111, n - 100},
		{at.AddDate(1, 0, 0), 1, 100, n},
	} {
		removed, err := db.PruneSignIns(ctx, step.before, step.keep)
		if err != nil || removed != step.removed {
			t.Errorf("before %v, keep %d: removed %d, error %v; want %d", step.before, step.keep, removed, err, step.removed)
		}
		left, err := db.SignIns(ctx, audit.Query{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if want := min(1000, n-step.oldest); len(left) != want {
			t.Errorf("before %v, keep %d: %d left, want %d", step.before, step.keep, len(left), want)
		}
	}
}

func testMeta(t *testing.T, db *store.DB) {
	if _, err := db.Meta(ctx, "cloud"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
	for _, value := range []string{"global", "", "custom"} {
		if err := db.SetMeta(ctx, "cloud", value); err != nil {
			t.Fatal(err)
		}
		if got, err := db.Meta(ctx, "cloud"); got != value || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, value)
		}
	}
}

func newKey(id string, state keyring.State) keyring.Record {
	return keyring.Record{
		ID: id, State: state, Algorithm: keyring.RS256, Sealed: []byte("sealed " + id), Certificate: []byte{0, 1, 2},
		Created: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Version: 77,
	}
}

func keys(t testing.TB, db *store.DB) map[string]keyring.Record {
	t.Helper()
	list, err := db.Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]keyring.Record)
	for _, k := range list {
		m[k.ID] = k
	}
	return m
}

func testKeys(t *testing.T, db *store.DB) {
	conflict := func(err error) {
		t.Helper()
		if !errors.Is(err, keyring.ErrConflict) {
			t.Errorf("got %v, want %v", err, keyring.ErrConflict)
		}
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	equal(t, len(keys(t, db)), 0)
	first, second := newKey("first", keyring.Prepared), newKey("second", keyring.Prepared)
	ok(db.CreateKey(ctx, first))
	conflict(db.CreateKey(ctx, first))
	ok(db.CreateKey(ctx, second))
	first.Version, second.Version = 1, 1
	equal(t, keys(t, db), map[string]keyring.Record{"first": first, "second": second})

	activated := first
	activated.State, activated.Activated = keyring.Active, first.Created.Add(time.Hour)
	stale := activated
	stale.Version = 2
	conflict(db.Activate(ctx, stale, nil))
	ok(db.Activate(ctx, activated, nil))
	activated.Version = 2
	equal(t, keys(t, db)["first"], activated)
	conflict(db.CreateKey(ctx, newKey("third", keyring.Active)))

	heir := second
	heir.State, heir.Activated = keyring.Active, activated.Activated.Add(time.Hour)
	conflict(db.Activate(ctx, heir, nil)) // another one is active
	retired := activated
	retired.State, retired.Retired, retired.Sealed = keyring.Retired, heir.Activated, []byte("public")
	stale = retired
	stale.Version = 1
	conflict(db.Activate(ctx, heir, &stale))
	equal(t, keys(t, db)["first"], activated)
	equal(t, keys(t, db)["second"], second)
	gone := newKey("gone", keyring.Active)
	conflict(db.Activate(ctx, gone, &retired))
	equal(t, keys(t, db)["first"], activated) // nothing of the hand-over is kept
	if err := db.Activate(ctx, second, nil); err == nil || errors.Is(err, keyring.ErrConflict) {
		t.Errorf("activating a key that is not active: %v", err)
	}
	ok(db.Activate(ctx, heir, &retired))
	heir.Version, retired.Version = 2, 3
	equal(t, keys(t, db), map[string]keyring.Record{"first": retired, "second": heir})

	conflict(db.DeleteKey(ctx, "first", 2))
	conflict(db.DeleteKey(ctx, "gone", 1))
	ok(db.DeleteKey(ctx, "first", 3))
	equal(t, keys(t, db), map[string]keyring.Record{"second": heir})
}

func testKeysRace(t *testing.T, db *store.DB) {
	present := newKey("present", keyring.Active)
	if err := db.CreateKey(ctx, present); err != nil {
		t.Fatal(err)
	}
	const racers = 8
	for i := range racers {
		if err := db.CreateKey(ctx, newKey(fmt.Sprint("heir", i), keyring.Prepared)); err != nil {
			t.Fatal(err)
		}
	}
	var won atomic.Int32
	var group sync.WaitGroup
	for i := range racers {
		group.Go(func() {
			heir, retired := newKey(fmt.Sprint("heir", i), keyring.Active), newKey("present", keyring.Retired)
			heir.Version, retired.Version = 1, 1
			switch err := db.Activate(ctx, heir, &retired); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, keyring.ErrConflict):
				t.Error(err)
			}
		})
	}
	group.Wait()
	active := 0
	for _, k := range keys(t, db) {
		if k.State == keyring.Active {
			active++
		}
	}
	if won.Load() != 1 || active != 1 {
		t.Errorf("%d hand-overs won and %d keys are active, want 1 and 1", won.Load(), active)
	}
}

// named is the only application of a name.
func named(tx manage.Tx, t directory.TenantID, name string) (*directory.Application, error) {
	same, err := tx.ApplicationsNamed(t, name)
	if err != nil || len(same) != 1 {
		return nil, errors.Join(err, directory.ErrNotFound)
	}
	return &same[0], nil
}
