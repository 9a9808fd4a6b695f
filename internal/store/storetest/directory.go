package storetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/store"
)

func found[V any](t testing.TB, want V) func(V, error) {
	return func(got V, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("got error %v, want %v", err, want)
			return
		}
		equal(t, got, want)
	}
}

func lost[V any](t testing.TB) func(V, error) {
	return func(got V, err error) {
		t.Helper()
		if !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("got %v, error %v; want not found", got, err)
		}
	}
}

func testDirectory(t *testing.T, db *store.DB) {
	d := db.Directory(directory.Global())
	n := NewTenant("one")
	n.Domains = []string{"one.example", strings.Repeat("a", 28) + ".example"} // the second has a GUID's length
	lost[*directory.Tenant](t)(d.Tenant(ctx, n.ID.String()))
	lost[*directory.Tenant](t)(d.Tenant(ctx, n.Domains[0]))
	change(t, db, func(tx manage.Tx) error { return tx.InsertTenant(n) })
	for _, name := range []string{n.ID.String(), strings.ToUpper(n.ID.String()), "one.example", "ONE.Example", n.Domains[1]} {
		for range 2 {
			found(t, n)(d.Tenant(ctx, name))
		}
	}
	for _, name := range []string{"", "one", "one.example.", n.ID.String() + "0", strings.Repeat("x", 300), strings.Repeat("g", 36)} {
		lost[*directory.Tenant](t)(d.Tenant(ctx, name))
	}

	app, user, sys := NewApplication(n.ID, "app"), NewIdentity(n.ID, "user"), NewIdentity(n.ID, "sys")
	sys.Kind, user.Disabled = directory.SystemAssigned, true
	p := NewPrincipal(n.ID, app)
	host := NewHost(n.ID, "host", user.PrincipalID)
	a, b, c := NewCredential("a"), NewCredential("b"), NewCredential("c")
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertApplication(app), tx.InsertIdentity(user), tx.InsertIdentity(sys), tx.InsertPrincipal(p), tx.InsertHost(host),
			tx.InsertCredential(n.ID, app.ID, b), tx.InsertCredential(n.ID, app.ID, a), tx.InsertCredential(n.ID, user.PrincipalID, c))
	})
	other := directory.NewTenantID()
	for range 2 {
		found(t, &directory.Client{
			Tenant: n.ID, ClientID: app.ClientID, Object: app.ID, Name: "app", Audience: directory.MultiTenant,
			Kind: directory.ApplicationPrincipal, Credentials: []directory.FederatedCredential{*a, *b},
		})(d.Client(ctx, app.ClientID))
		found(t, &directory.Client{
			Tenant: n.ID, ClientID: user.ClientID, Object: user.PrincipalID, Name: "user", Audience: directory.SingleTenant,
			Kind: directory.IdentityPrincipal, Disabled: true, Credentials: []directory.FederatedCredential{*c},
		})(d.Client(ctx, user.ClientID))
		lost[*directory.Client](t)(d.Client(ctx, sys.ClientID))
		lost[*directory.Client](t)(d.Client(ctx, directory.NewClientID()))
		found(t, p)(d.Principal(ctx, n.ID, app.ClientID))
		lost[*directory.ServicePrincipal](t)(d.Principal(ctx, other, app.ClientID))
		found(t, sys)(d.Identity(ctx, n.ID, sys.PrincipalID))
		lost[*directory.ManagedIdentity](t)(d.Identity(ctx, other, sys.PrincipalID))
		found(t, host)(d.Host(ctx, n.ID, host.ID))
		lost[*directory.Host](t)(d.Host(ctx, other, host.ID))
	}

	// A caller who has given up gets what is in memory, and nothing else.
	gone, cancel := context.WithCancel(ctx)
	cancel()
	found(t, p)(d.Principal(gone, n.ID, app.ClientID))
	if _, err := d.Principal(gone, n.ID, directory.NewClientID()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func testResources(t *testing.T, db *store.DB) {
	cloud := directory.Global()
	d := db.Directory(cloud)
	tenants := newTenants(t, db, "home", "away")
	home, away := tenants[0].ID, tenants[1].ID
	app, plain := NewApplication(home, "app"), NewApplication(home, "plain")
	plain.TokenVersion = 0
	atHome, abroad, ofPlain := NewPrincipal(home, app), NewPrincipal(away, app), NewPrincipal(home, plain)
	abroad.Names = abroad.Names[:2]
	var storage directory.FirstParty
	for _, fp := range cloud.FirstParties() {
		if fp.Name == "Azure Storage" {
			storage = fp
		}
	}
	first := &directory.ServicePrincipal{
		Tenant: away, ID: directory.NewObjectID(), ClientID: storage.ClientID, Kind: directory.ApplicationPrincipal,
		Name: storage.Name, HomeTenant: storage.Owner, Names: storage.URIs,
	}
	m := NewIdentity(home, "m")
	ofIdentity := &directory.ServicePrincipal{
		Tenant: home, ID: m.PrincipalID, ClientID: m.ClientID, Kind: directory.IdentityPrincipal, Name: "m", HomeTenant: home,
		Names: []string{m.ClientID.String()},
	}
	// Somebody else's service principal with a first-party client id is not first-party.
	pretender := *first
	pretender.Tenant, pretender.ID, pretender.HomeTenant, pretender.Names = home, directory.NewObjectID(), home, []string{"api://pretender"}
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertApplication(app), tx.InsertApplication(plain), tx.InsertIdentity(m), tx.InsertPrincipal(ofIdentity),
			tx.InsertPrincipal(atHome), tx.InsertPrincipal(abroad), tx.InsertPrincipal(ofPlain), tx.InsertPrincipal(first), tx.InsertPrincipal(&pretender))
	})
	values := func(a *directory.Application) map[directory.ObjectID]string {
		return map[directory.ObjectID]string{a.AppRoles[0].ID: "Write", a.AppRoles[1].ID: "Read"}
	}
	for range 2 {
		for _, name := range atHome.Names {
			found(t, &directory.Resource{Principal: *atHome, TokenVersion: directory.V2, RoleValues: values(app)})(d.Resource(ctx, home, name))
		}
		found(t, &directory.Resource{Principal: *abroad, TokenVersion: directory.V2, RoleValues: values(app)})(d.Resource(ctx, away, abroad.Names[1]))
		found(t, &directory.Resource{Principal: *ofPlain, TokenVersion: directory.V1, RoleValues: values(plain)})(d.Resource(ctx, home, "api://plain"))
		for _, name := range []string{"https://storage.azure.com", "https://storage.azure.com/", "https://account.blob.core.windows.net", "https://account.blob.core.windows.net/"} {
			found(t, &directory.Resource{Principal: *first, TokenVersion: directory.V1, FirstParty: true})(d.Resource(ctx, away, name))
			lost[*directory.Resource](t)(d.Resource(ctx, home, name))
		}
		for _, name := range []string{app.IdentifierURIs[1], "API://z-app", "api://z-app/", "", strings.Repeat("x", 300), "https://a.b.blob.core.windows.net"} {
			lost[*directory.Resource](t)(d.Resource(ctx, away, name))
		}
		lost[*directory.Resource](t)(d.Resource(ctx, home, m.ClientID.String()))
		lost[*directory.Resource](t)(d.Resource(ctx, home, "api://pretender"))
	}
	// A disabled application is disabled wherever it is provisioned.
	app.Disabled = true
	change(t, db, func(tx manage.Tx) error { return tx.UpdateApplication(app) })
	disabled := *abroad
	disabled.Disabled = true
	found(t, &directory.Resource{Principal: disabled, TokenVersion: directory.V2, RoleValues: values(app)})(d.Resource(ctx, away, abroad.Names[1]))
	found(t, abroad)(d.Principal(ctx, away, app.ClientID))
	change(t, db, func(tx manage.Tx) error { return tx.DeleteApplication(home, app.ID) })
	lost[*directory.Resource](t)(d.Resource(ctx, home, app.ClientID.String()))
	lost[*directory.Resource](t)(d.Resource(ctx, away, app.ClientID.String()))
}

func testRoles(t *testing.T, db *store.DB) {
	d := db.Directory(directory.Global())
	tenants := newTenants(t, db, "home", "away")
	home, away := tenants[0].ID, tenants[1].ID
	app := NewApplication(home, "app")
	resource, client := NewPrincipal(away, app), NewPrincipal(away, NewApplication(home, "client"))
	grants := []*directory.AppRoleAssignment{}
	for _, r := range append(app.AppRoles, directory.AppRole{ID: directory.NewObjectID()}) {
		grants = append(grants, NewAssignment(away, client.ID, resource.ID, r.ID))
	}
	roles := func(want ...string) {
		t.Helper()
		for range 2 {
			found(t, want)(d.Roles(ctx, away, client.ID, resource.ID))
		}
	}
	roles()
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertApplication(app), tx.InsertPrincipal(resource), tx.InsertPrincipal(client))
	})
	roles()
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertAssignment(grants[0]), tx.InsertAssignment(grants[1]), tx.InsertAssignment(grants[2]), tx.InsertAssignment(grants[3]))
	})
	roles("Read", "Write")
	// These write to the home tenant, the answer is of the other one.
	app.AppRoles[0].Disabled = true
	change(t, db, func(tx manage.Tx) error { return tx.UpdateApplication(app) })
	roles("Read")
	app.AppRoles[1].Value, app.AppRoles[2].Disabled = "Renamed", false
	change(t, db, func(tx manage.Tx) error { return tx.UpdateApplication(app) })
	roles("Gone", "Renamed")
	change(t, db, func(tx manage.Tx) error { return tx.DeleteAssignment(away, grants[1].ID) })
	roles("Gone")
	change(t, db, func(tx manage.Tx) error { return tx.DeleteApplication(home, app.ID) })
	roles()
	found(t, []string{})(d.Roles(ctx, home, client.ID, resource.ID))
}

// The property: whatever is written, after each acknowledged write every cached
// read says what a plain model says.

// world is the model: what is stored of a fixed set of objects.
type world struct {
	tenants    map[directory.TenantID]directory.Tenant
	apps       map[directory.ObjectID]directory.Application
	identities map[directory.ObjectID]directory.ManagedIdentity
	principals map[directory.ObjectID]directory.ServicePrincipal
	hosts      map[directory.ObjectID]directory.Host
	creds      map[directory.ObjectID]map[string]directory.FederatedCredential // by parent, then name
	grants     map[directory.ObjectID]directory.AppRoleAssignment
}

func (w world) clone() world {
	c := world{
		maps.Clone(w.tenants), maps.Clone(w.apps), maps.Clone(w.identities), maps.Clone(w.principals), maps.Clone(w.hosts),
		make(map[directory.ObjectID]map[string]directory.FederatedCredential), maps.Clone(w.grants),
	}
	for parent, m := range w.creds {
		c.creds[parent] = maps.Clone(m)
	}
	return c
}

// cast is the fixed set.
type cast struct {
	tenants    []directory.Tenant
	domains    []string
	apps       []directory.Application
	identities []directory.ManagedIdentity
	principals []directory.ServicePrincipal
	hosts      []directory.Host
	creds      []directory.FederatedCredential
	grants     []directory.AppRoleAssignment
	clients    []directory.ClientID
	names      []string
}

func newCast() *cast {
	c := &cast{}
	for i := range 2 {
		t := NewTenant(fmt.Sprintf("t%d-%s", i, directory.NewObjectID().String()[:13]))
		c.domains = append(c.domains, t.Domains...)
		c.tenants = append(c.tenants, *t)
	}
	one, two := c.tenants[0].ID, c.tenants[1].ID
	c.apps = []directory.Application{*NewApplication(one, "a"), *NewApplication(one, "b"), *NewApplication(two, "c")}
	c.identities = []directory.ManagedIdentity{*NewIdentity(one, "user"), *NewIdentity(one, "sys"), *NewIdentity(two, "user")}
	c.identities[1].Kind = directory.SystemAssigned
	for i := range c.apps {
		for _, t := range c.tenants {
			c.principals = append(c.principals, *NewPrincipal(t.ID, &c.apps[i]))
		}
		c.clients = append(c.clients, c.apps[i].ClientID)
		c.names = append(c.names, c.apps[i].ClientID.String(), c.apps[i].IdentifierURIs[0], c.apps[i].IdentifierURIs[1])
	}
	for _, m := range c.identities {
		c.clients = append(c.clients, m.ClientID)
	}
	c.hosts = []directory.Host{*NewHost(one, "host", c.identities[0].PrincipalID, c.identities[1].PrincipalID), *NewHost(two, "host")}
	c.creds = []directory.FederatedCredential{*NewCredential("one"), *NewCredential("two")}
	for _, p := range c.principals {
		for _, r := range c.principals {
			if p.Tenant != r.Tenant || p.ID == r.ID {
				continue
			}
			i := slices.IndexFunc(c.apps, func(a directory.Application) bool { return a.ClientID == r.ClientID })
			for _, role := range c.apps[i].AppRoles[1:] {
				c.grants = append(c.grants, *NewAssignment(p.Tenant, p.ID, r.ID, role.ID))
			}
		}
	}
	return c
}

func have[K comparable, V any](m map[K]V, k K) bool { _, ok := m[k]; return ok }

// write draws one write, gives it to the store and applies it to the model.
func (c *cast) write(t *rapid.T, tx manage.Tx, w world) error {
	flip := func(name string) bool { return rapid.Bool().Draw(t, name) }
	switch rapid.IntRange(0, 7).Draw(t, "kind") {
	case 0:
		n := rapid.SampledFrom(c.tenants).Draw(t, "tenant")
		n.DisplayName = rapid.StringMatching(`[a-z]{0,3}`).Draw(t, "displayName")
		n.Domains = slices.DeleteFunc(slices.Clone(c.domains), func(d string) bool {
			taken := slices.ContainsFunc(slices.Collect(maps.Values(w.tenants)), func(o directory.Tenant) bool { return o.ID != n.ID && slices.Contains(o.Domains, d) })
			return taken || flip("drop")
		})
		w.tenants[n.ID] = n
		return tx.UpdateTenant(&n)
	case 1, 2:
		a := rapid.SampledFrom(c.apps).Draw(t, "application")
		if have(w.apps, a.ID) && flip("delete") {
			delete(w.apps, a.ID)
			delete(w.creds, a.ID)
			return tx.DeleteApplication(a.Tenant, a.ID)
		}
		a.Disabled, a.TokenVersion = flip("disabled"), directory.TokenVersion(rapid.IntRange(0, 2).Draw(t, "version"))
		a.AppRoles = slices.Clone(a.AppRoles)
		for i := range a.AppRoles {
			a.AppRoles[i].Disabled = flip("role disabled")
		}
		exists := have(w.apps, a.ID)
		w.apps[a.ID] = a
		if exists {
			return tx.UpdateApplication(&a)
		}
		return tx.InsertApplication(&a)
	case 3:
		p := rapid.SampledFrom(c.principals).Draw(t, "principal")
		if have(w.principals, p.ID) && flip("delete") {
			delete(w.principals, p.ID)
			maps.DeleteFunc(w.grants, func(_ directory.ObjectID, g directory.AppRoleAssignment) bool {
				return g.Principal == p.ID || g.Resource == p.ID
			})
			return tx.DeletePrincipal(p.Tenant, p.ID)
		}
		p.Disabled, p.Names = flip("disabled"), p.Names[:rapid.IntRange(0, 3).Draw(t, "names")]
		exists := have(w.principals, p.ID)
		w.principals[p.ID] = p
		if exists {
			return tx.UpdatePrincipal(&p)
		}
		return tx.InsertPrincipal(&p)
	case 4:
		m := rapid.SampledFrom(c.identities).Draw(t, "identity")
		if have(w.identities, m.PrincipalID) && flip("delete") {
			delete(w.identities, m.PrincipalID)
			delete(w.creds, m.PrincipalID)
			for id, h := range w.hosts {
				h.Identities = slices.DeleteFunc(slices.Clone(h.Identities), func(o directory.ObjectID) bool { return o == m.PrincipalID })
				if h.System == m.PrincipalID {
					h.System = directory.ObjectID{}
				}
				w.hosts[id] = h
			}
			return tx.DeleteIdentity(m.Tenant, m.PrincipalID)
		}
		m.Disabled = flip("disabled")
		exists := have(w.identities, m.PrincipalID)
		w.identities[m.PrincipalID] = m
		if exists {
			return tx.UpdateIdentity(&m)
		}
		return tx.InsertIdentity(&m)
	case 5:
		h := rapid.SampledFrom(c.hosts).Draw(t, "host")
		if have(w.hosts, h.ID) && flip("delete") {
			delete(w.hosts, h.ID)
			return tx.DeleteHost(h.Tenant, h.ID)
		}
		h.Identities = slices.DeleteFunc(slices.Clone(h.Identities), func(o directory.ObjectID) bool { return !have(w.identities, o) || flip("unplace") })
		exists := have(w.hosts, h.ID)
		w.hosts[h.ID] = h
		if exists {
			return tx.UpdateHost(&h)
		}
		return tx.InsertHost(&h)
	case 6:
		f := rapid.SampledFrom(c.creds).Draw(t, "credential")
		var parents []directory.ObjectID
		tenants := make(map[directory.ObjectID]directory.TenantID)
		for _, a := range c.apps {
			if have(w.apps, a.ID) {
				parents, tenants[a.ID] = append(parents, a.ID), a.Tenant
			}
		}
		for _, m := range c.identities {
			if have(w.identities, m.PrincipalID) && m.Kind == directory.UserAssigned {
				parents, tenants[m.PrincipalID] = append(parents, m.PrincipalID), m.Tenant
			}
		}
		if len(parents) == 0 {
			return nil
		}
		parent := rapid.SampledFrom(parents).Draw(t, "parent")
		if have(w.creds[parent], f.Name) && flip("delete") {
			delete(w.creds[parent], f.Name)
			return tx.DeleteCredential(tenants[parent], parent, f.ID)
		}
		f.Audience = rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "audience")
		exists := have(w.creds[parent], f.Name)
		if w.creds[parent] == nil {
			w.creds[parent] = make(map[string]directory.FederatedCredential)
		}
		w.creds[parent][f.Name] = f
		if exists {
			return tx.UpdateCredential(tenants[parent], parent, &f)
		}
		return tx.InsertCredential(tenants[parent], parent, &f)
	default:
		g := rapid.SampledFrom(c.grants).Draw(t, "grant")
		if have(w.grants, g.ID) {
			delete(w.grants, g.ID)
			return tx.DeleteAssignment(g.Tenant, g.ID)
		}
		if !have(w.principals, g.Principal) || !have(w.principals, g.Resource) {
			return nil
		}
		w.grants[g.ID] = g
		return tx.InsertAssignment(&g)
	}
}

func (w world) app(home directory.TenantID, id directory.ClientID) (directory.Application, bool) {
	for _, a := range w.apps {
		if a.Tenant == home && a.ClientID == id {
			return a, true
		}
	}
	return directory.Application{}, false
}

func (w world) credsOf(parent directory.ObjectID) []directory.FederatedCredential {
	return slices.SortedFunc(maps.Values(w.creds[parent]), func(a, b directory.FederatedCredential) int { return strings.Compare(a.Name, b.Name) })
}

// check compares every read with the model; nil stands for "not found".
func (c *cast) check(t *rapid.T, d *store.Directory, w world) {
	for _, n := range c.tenants {
		want := w.tenants[n.ID]
		same(t, "tenant", &want)(d.Tenant(ctx, n.ID.String()))
	}
	for _, domain := range c.domains {
		var want *directory.Tenant
		for _, n := range w.tenants {
			if slices.Contains(n.Domains, domain) {
				want = &n
			}
		}
		same(t, "tenant by domain", want)(d.Tenant(ctx, domain))
	}
	for _, id := range append(c.clients, directory.NewClientID()) {
		var want *directory.Client
		for _, a := range w.apps {
			if a.ClientID == id {
				want = &directory.Client{Tenant: a.Tenant, ClientID: id, Object: a.ID, Name: a.Name, Audience: a.Audience, Kind: directory.ApplicationPrincipal, Disabled: a.Disabled, Credentials: w.credsOf(a.ID)}
			}
		}
		for _, m := range w.identities {
			if m.ClientID == id && m.Kind == directory.UserAssigned {
				want = &directory.Client{Tenant: m.Tenant, ClientID: id, Object: m.PrincipalID, Name: m.Name, Audience: directory.SingleTenant, Kind: directory.IdentityPrincipal, Disabled: m.Disabled, Credentials: w.credsOf(m.PrincipalID)}
			}
		}
		same(t, "client", want)(d.Client(ctx, id))
	}
	for _, n := range c.tenants {
		for _, id := range c.clients {
			var want *directory.ServicePrincipal
			for _, p := range w.principals {
				if p.Tenant == n.ID && p.ClientID == id {
					want = &p
				}
			}
			same(t, "principal", want)(d.Principal(ctx, n.ID, id))
		}
		for _, name := range c.names {
			var want *directory.Resource
			for _, p := range w.principals {
				a, ok := w.app(p.HomeTenant, p.ClientID)
				if !ok || p.Tenant != n.ID || !slices.Contains(p.Names, name) {
					continue
				}
				p.Disabled = p.Disabled || a.Disabled
				want = &directory.Resource{Principal: p, TokenVersion: max(a.TokenVersion, directory.V1), RoleValues: make(map[directory.ObjectID]string)}
				for _, r := range a.AppRoles {
					if !r.Disabled {
						want.RoleValues[r.ID] = r.Value
					}
				}
			}
			same(t, "resource", want)(d.Resource(ctx, n.ID, name))
		}
		for _, m := range c.identities {
			var want *directory.ManagedIdentity
			if m, ok := w.identities[m.PrincipalID]; ok && m.Tenant == n.ID {
				want = &m
			}
			same(t, "identity", want)(d.Identity(ctx, n.ID, m.PrincipalID))
		}
		for _, h := range c.hosts {
			var want *directory.Host
			if h, ok := w.hosts[h.ID]; ok && h.Tenant == n.ID {
				want = &h
			}
			same(t, "host", want)(d.Host(ctx, n.ID, h.ID))
		}
	}
	for _, p := range c.principals {
		for _, r := range c.principals {
			if p.Tenant != r.Tenant {
				continue
			}
			var want []string
			a, _ := w.app(r.HomeTenant, r.ClientID)
			for _, role := range a.AppRoles {
				held := slices.ContainsFunc(slices.Collect(maps.Values(w.grants)), func(g directory.AppRoleAssignment) bool {
					return g.Principal == p.ID && g.Resource == r.ID && g.Role == role.ID
				})
				if held && !role.Disabled {
					want = append(want, role.Value)
				}
			}
			slices.Sort(want)
			got, err := d.Roles(ctx, p.Tenant, p.ID, r.ID)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("roles: got %q, error %v; want %q", got, err, want)
			}
		}
	}
}

func same[V any](t *rapid.T, what string, want *V) func(*V, error) {
	return func(got *V, err error) {
		t.Helper()
		if errors.Is(err, directory.ErrNotFound) {
			got, err = nil, nil
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b directory.TenantID) bool { return a == b }),
			cmp.Comparer(func(a, b directory.ObjectID) bool { return a == b }),
			cmp.Comparer(func(a, b directory.ClientID) bool { return a == b }), cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("%s: want -, got +:\n%s", what, d)
		}
	}
}

func testProperty(t *testing.T, db *store.DB) {
	// Each case is some thousand queries. Ask for more with -rapid.checks.
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set(fmt.Sprint(propertyCases)); err != nil {
			t.Fatal(err)
		}
	}
	d := db.Directory(directory.Global())
	given := errors.New("given up")
	rapid.Check(t, func(t *rapid.T) {
		c := newCast() // new ids each time, so that one database serves all
		w := world{tenants: make(map[directory.TenantID]directory.Tenant), apps: make(map[directory.ObjectID]directory.Application),
			identities: make(map[directory.ObjectID]directory.ManagedIdentity), principals: make(map[directory.ObjectID]directory.ServicePrincipal),
			hosts: make(map[directory.ObjectID]directory.Host), creds: make(map[directory.ObjectID]map[string]directory.FederatedCredential),
			grants: make(map[directory.ObjectID]directory.AppRoleAssignment)}
		if err := db.Change(ctx, func(tx manage.Tx) error {
			for _, n := range c.tenants {
				w.tenants[n.ID] = n
				if err := tx.InsertTenant(&n); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 25).Draw(t, "transactions") {
			next := w.clone()
			err := db.Change(ctx, func(tx manage.Tx) error {
				for range rapid.IntRange(1, 4).Draw(t, "writes") {
					if err := c.write(t, tx, next); err != nil {
						return err
					}
				}
				if rapid.IntRange(0, 5).Draw(t, "end") == 0 {
					return given
				}
				return nil
			})
			switch {
			case err == nil:
				w = next
			case !errors.Is(err, given):
				t.Fatal(err)
			}
			c.check(t, d, w)
		}
	})
}

// testConcurrently: while one goroutine writes ever higher numbers, no reader
// sees one that is lower than the last acknowledged before it asked.
func testConcurrently(t *testing.T, db *store.DB) {
	d := db.Directory(directory.Global())
	tenants := newTenants(t, db, "home", "away")
	home, away := tenants[0].ID, tenants[1].ID
	app := NewApplication(home, "app")
	app.AppRoles = app.AppRoles[:1]
	cred := NewCredential("cred")
	resource := NewPrincipal(away, app)
	grant := NewAssignment(away, resource.ID, resource.ID, app.AppRoles[0].ID)
	m := NewIdentity(away, "m")
	number := func(s string) (n int64, err error) { _, err = fmt.Sscan(s, &n); return n, err }
	write := func(tx manage.Tx, n int64) error {
		text := fmt.Sprint(n)
		app.AppRoles[0].Value, cred.Description, resource.Name, m.Location, tenants[0].DisplayName = text, text, text, text, text
		return errors.Join(tx.UpdateApplication(app), tx.UpdateCredential(home, app.ID, cred), tx.UpdatePrincipal(resource), tx.UpdateIdentity(m), tx.UpdateTenant(tenants[0]))
	}
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertApplication(app), tx.InsertCredential(home, app.ID, cred), tx.InsertPrincipal(resource), tx.InsertAssignment(grant), tx.InsertIdentity(m), write(tx, 0))
	})

	const writes = 150
	var acknowledged, reads atomic.Int64
	stop, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() {
		defer cancel()
		for n := int64(1); n <= writes && stop.Err() == nil; n++ {
			if err := db.Change(ctx, func(tx manage.Tx) error { return write(tx, n) }); err != nil {
				t.Error(err)
				return
			}
			acknowledged.Store(n)
			if n%3 == 0 {
				time.Sleep(time.Millisecond) // let readers hit
			}
		}
	})
	// Something else is written all the time, so that the count moves without
	// the numbers of these tenants.
	group.Go(func() {
		for stop.Err() == nil {
			n := NewTenant("x-" + directory.NewObjectID().String())
			if err := db.Change(ctx, func(tx manage.Tx) error { return tx.InsertTenant(n) }); err != nil {
				t.Error(err)
				return
			}
			found(t, n)(d.Tenant(ctx, n.Domains[0]))
		}
	})
	for i, read := range []func() (string, error){
		func() (string, error) { n, err := d.Tenant(ctx, home.String()); return n.DisplayName, err },
		func() (string, error) { n, err := d.Tenant(ctx, "home.example"); return n.DisplayName, err },
		func() (string, error) {
			n, err := d.Client(ctx, app.ClientID)
			return n.Credentials[0].Description, err
		},
		func() (string, error) { n, err := d.Principal(ctx, away, app.ClientID); return n.Name, err },
		func() (string, error) {
			n, err := d.Resource(ctx, away, "api://app")
			return n.RoleValues[app.AppRoles[0].ID], err
		},
		func() (string, error) {
			n, err := d.Roles(ctx, away, resource.ID, resource.ID)
			return strings.Join(n, " "), err
		},
		func() (string, error) { n, err := d.Identity(ctx, away, m.PrincipalID); return n.Location, err },
	} {
		for range 2 {
			group.Go(func() {
				for stop.Err() == nil {
					least := acknowledged.Load()
					text, err := read()
					if err != nil {
						t.Errorf("read %d: %v", i, err)
						return
					}
					if n, err := number(text); err != nil || n < least {
						t.Errorf("read %d: saw %q after %d was acknowledged", i, text, least)
						return
					}
					reads.Add(1)
					runtime.Gosched() // or the writer waits for its turn
				}
			})
		}
	}
	group.Wait()
	t.Logf("%d writes, %d reads", acknowledged.Load(), reads.Load())
}
