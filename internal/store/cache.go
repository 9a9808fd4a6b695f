package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/sts"
)

// versions counts the transactions that wrote to the directory, and remembers
// for each tenant the last one that wrote to it.
//
// Why a stale answer cannot outlive an acknowledged write. An answer carries
// the count as it stood before its rows were read, and the tenants that the rows
// belong to. It is good while no tenant of these was written to by a later
// transaction. Take a write W, number n, to a tenant that an answer rests on.
// The numbers change after W has been committed and before it is acknowledged.
//
//   - If the answer was counted before n was published, it carries less than n,
//     and from the acknowledgement of W on its tenant says n or more: it is not
//     good, whether its rows were read before or after W.
//   - If it was counted afterwards, W had been committed before its rows were
//     read, so they show W.
//
// In between, after the commit and before the acknowledgement, readers may see
// either state, as without a cache.
//
// "Not found" belongs to no tenant. Such answers rest on the count itself: they
// are good until anything is written.
type versions struct {
	count   atomic.Uint64
	tenants sync.Map // directory.TenantID → *atomic.Uint64
}

// of returns where the last write to the tenant stands. Only tenants that are
// stored, or named by what is stored, may be asked for: entries stay.
func (v *versions) of(id directory.TenantID) *atomic.Uint64 {
	if last, ok := v.tenants.Load(id); ok {
		return last.(*atomic.Uint64)
	}
	last, _ := v.tenants.LoadOrStore(id, new(atomic.Uint64))
	return last.(*atomic.Uint64)
}

// advance is called by whoever holds the writer, after the commit and before
// the write is acknowledged.
func (v *versions) advance(wrote map[directory.TenantID]struct{}) {
	if len(wrote) == 0 {
		return
	}
	n := v.count.Load() + 1
	for id := range wrote {
		v.of(id).Store(n)
	}
	v.count.Store(n)
}

// answer is what was read for a key: a value, or the error that there is none.
type answer[V any] struct {
	value V
	err   error
	size  int // bytes, roughly

	counted uint64            // versions.count before the rows were read
	on      [2]*atomic.Uint64 // last writes of what the rows belong to; the second may be nil
}

func (a *answer[V]) good() bool {
	return a.on[0].Load() <= a.counted && (a.on[1] == nil || a.on[1].Load() <= a.counted)
}

// cache keeps the answers to one question. What is no longer good stays until
// it is asked for again or crowded out.
type cache[K comparable, V any] struct {
	db   *DB
	kept *otter.Cache[K, *answer[V]]

	mu      sync.Mutex
	loading map[K]*load[V]
}

type load[V any] struct {
	done   chan struct{}
	answer *answer[V]
	err    error
}

// overhead is what an entry takes beside the strings in it.
const overhead = 400

func newCache[K comparable, V any](db *DB, bytes uint64) *cache[K, V] {
	return &cache[K, V]{
		db: db,
		kept: otter.Must(&otter.Options[K, *answer[V]]{
			MaximumWeight: bytes,
			Weigher:       func(_ K, a *answer[V]) uint32 { return uint32(min(a.size+overhead, 1<<30)) },
		}),
		loading: make(map[K]*load[V]),
	}
}

// hit returns the answer kept for the key if it is good.
func (c *cache[K, V]) hit(key K) (*answer[V], bool) {
	a, ok := c.kept.GetIfPresent(key)
	if !ok || !a.good() {
		return nil, false
	}
	return a, true
}

// load reads the answer and keeps it. Callers who ask for the same key at the
// same time wait for the first, and take its answer if it is good for them too.
func (c *cache[K, V]) load(ctx context.Context, key K, read func(*tx, *answer[V]) error) (V, error) {
	var none V
	c.mu.Lock()
	other := c.loading[key]
	if other != nil {
		c.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return none, ctx.Err()
		}
		// Good now means: nothing that was acknowledged before we came is missing.
		if other.err == nil && other.answer.good() {
			return other.answer.value, other.answer.err
		}
		a, err := c.read(ctx, read)
		if err != nil {
			return none, err
		}
		c.kept.Set(key, a)
		return a.value, a.err
	}
	l := &load[V]{done: make(chan struct{}), err: errors.New("store: a read was given up")}
	c.loading[key] = l
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.loading, key)
		c.mu.Unlock()
		close(l.done)
	}()
	l.answer, l.err = c.read(ctx, read)
	if l.err != nil {
		return none, l.err
	}
	c.kept.Set(key, l.answer)
	return l.answer.value, l.answer.err
}

// read asks the database. read fills in value, size and tenants; if it returns
// an error wrapping directory.ErrNotFound, that is the answer.
func (c *cache[K, V]) read(ctx context.Context, read func(*tx, *answer[V]) error) (*answer[V], error) {
	a := &answer[V]{counted: c.db.versions.count.Load()}
	err := c.db.view(ctx, func(t *tx) error { return read(t, a) })
	if errors.Is(err, directory.ErrNotFound) {
		var none V
		a.value, a.err, a.size = none, err, len(err.Error())
		a.on = [2]*atomic.Uint64{&c.db.versions.count}
		return a, nil
	}
	return a, err
}

// restsOn names the tenants whose rows the answer was made of.
func (a *answer[V]) restsOn(v *versions, tenant directory.TenantID, other directory.TenantID) {
	a.on[0] = v.of(tenant)
	if !other.IsZero() && other != tenant {
		a.on[1] = v.of(other)
	}
}

// How much the caches may hold, in bytes. They take what they need, not more:
// a platform with few objects has small caches.
const (
	largeCache = 64 << 20
	smallCache = 16 << 20
)

// longestName is the longest domain or identifier that is kept. Longer ones are
// made up, and would only fill the caches.
const longestName = 256

type inTenant[T comparable] struct {
	tenant directory.TenantID
	of     T
}

type grant struct {
	tenant              directory.TenantID
	principal, resource directory.ObjectID
}

// Directory answers [sts.Directory] from memory where it can: in the steady
// state no question reaches the database. Every answer shows all writes that
// were acknowledged before the question was asked; see [versions].
type Directory struct {
	db         *DB
	cloud      *directory.Cloud
	firstParty map[directory.ClientID]directory.FirstParty
	aliases    map[string]directory.ClientID

	tenants    *cache[directory.TenantID, *directory.Tenant]
	domains    *cache[string, *directory.Tenant]
	clients    *cache[directory.ClientID, *directory.Client]
	principals *cache[inTenant[directory.ClientID], *directory.ServicePrincipal]
	resources  *cache[inTenant[string], *directory.Resource]
	roles      *cache[grant, []string]
	identities *cache[inTenant[directory.ObjectID], *directory.ManagedIdentity]
	hosts      *cache[inTenant[directory.ObjectID], *directory.Host]
}

var _ sts.Directory = (*Directory)(nil)

// Directory returns a directory that knows the cloud's first-party resources.
// Each has caches of its own; one for each DB is enough.
func (db *DB) Directory(cloud *directory.Cloud) *Directory {
	d := &Directory{
		db: db, cloud: cloud, firstParty: make(map[directory.ClientID]directory.FirstParty),
		tenants:    newCache[directory.TenantID, *directory.Tenant](db, smallCache),
		domains:    newCache[string, *directory.Tenant](db, smallCache),
		clients:    newCache[directory.ClientID, *directory.Client](db, largeCache),
		principals: newCache[inTenant[directory.ClientID], *directory.ServicePrincipal](db, largeCache),
		resources:  newCache[inTenant[string], *directory.Resource](db, largeCache),
		roles:      newCache[grant, []string](db, smallCache),
		identities: newCache[inTenant[directory.ObjectID], *directory.ManagedIdentity](db, largeCache),
		hosts:      newCache[inTenant[directory.ObjectID], *directory.Host](db, smallCache),
	}
	for _, fp := range cloud.FirstParties() {
		d.firstParty[fp.ClientID] = fp
	}
	return d
}

// Alias adds names that first-party resources may be asked for by, in every
// tenant: the platform's own addresses of them. It is called before the first
// question.
func (d *Directory) Alias(names map[string]directory.ClientID) { d.aliases = names }

// Tenant implements [sts.Parties].
func (d *Directory) Tenant(ctx context.Context, idOrDomain string) (*directory.Tenant, error) {
	if len(idOrDomain) == 36 {
		if id, err := directory.ParseTenantID(idOrDomain); err == nil {
			return d.tenantByID(ctx, id)
		}
	}
	domain := strings.ToLower(idOrDomain)
	if len(domain) > longestName {
		return nil, fmt.Errorf("tenant with domain %q…: %w", domain[:longestName], directory.ErrNotFound)
	}
	if a, ok := d.domains.hit(domain); ok {
		return a.value, a.err
	}
	return d.domains.load(ctx, domain, func(t *tx, a *answer[*directory.Tenant]) error {
		return d.answerTenant(a)(t.tenantByDomain(domain))
	})
}

func (d *Directory) tenantByID(ctx context.Context, id directory.TenantID) (*directory.Tenant, error) {
	if a, ok := d.tenants.hit(id); ok {
		return a.value, a.err
	}
	return d.tenants.load(ctx, id, func(t *tx, a *answer[*directory.Tenant]) error {
		return d.answerTenant(a)(t.Tenant(id))
	})
}

func (d *Directory) answerTenant(a *answer[*directory.Tenant]) func(*directory.Tenant, error) error {
	return func(found *directory.Tenant, err error) error {
		if err != nil {
			return err
		}
		a.value, a.size = found, len(found.Name)+len(found.DisplayName)+sizeOf(found.Domains)
		a.restsOn(&d.db.versions, found.ID, directory.TenantID{})
		return nil
	}
}

// Client implements [sts.Parties]. A system-assigned managed identity is not a
// client: nobody but its host speaks for it.
func (d *Directory) Client(ctx context.Context, id directory.ClientID) (*directory.Client, error) {
	if a, ok := d.clients.hit(id); ok {
		return a.value, a.err
	}
	return d.clients.load(ctx, id, func(t *tx, a *answer[*directory.Client]) error {
		found, err := t.client(id)
		if err != nil {
			return err
		}
		a.value, a.size = found, len(found.Name)
		for i := range found.Credentials {
			f := &found.Credentials[i]
			a.size += 112 + len(f.Name) + len(f.Issuer) + len(f.Subject) + len(f.Audience) + len(f.Description)
		}
		a.restsOn(&d.db.versions, found.Tenant, directory.TenantID{})
		return nil
	})
}

func (t *tx) client(id directory.ClientID) (*directory.Client, error) {
	ref, err := t.clientRef(id)
	if err != nil {
		return nil, missing(err, "client %s", id)
	}
	c := &directory.Client{Tenant: ref.tenant, ClientID: id, Object: ref.object, Kind: ref.kind}
	if ref.kind == directory.ApplicationPrincipal {
		a, err := t.bareApplication(ref.tenant, ref.object)
		if err != nil {
			return nil, err
		}
		c.Name, c.Audience, c.Disabled = a.Name, a.Audience, a.Disabled
	} else {
		m, err := t.Identity(ref.tenant, ref.object)
		if err != nil {
			return nil, err
		}
		if m.Kind != directory.UserAssigned {
			return nil, fmt.Errorf("client %s: %w", id, directory.ErrNotFound)
		}
		c.Name, c.Audience, c.Disabled = m.Name, directory.SingleTenant, m.Disabled
	}
	c.Credentials, err = t.credentialsOf(ref.tenant, ref.object)
	return c, err
}

// Principal implements [sts.Parties].
func (d *Directory) Principal(ctx context.Context, tenant directory.TenantID, id directory.ClientID) (*directory.ServicePrincipal, error) {
	key := inTenant[directory.ClientID]{tenant, id}
	if a, ok := d.principals.hit(key); ok {
		return a.value, a.err
	}
	return d.principals.load(ctx, key, func(t *tx, a *answer[*directory.ServicePrincipal]) error {
		found, err := t.PrincipalByClientID(tenant, id)
		if err != nil {
			return err
		}
		a.value, a.size = found, len(found.Name)+sizeOf(found.Names)
		a.restsOn(&d.db.versions, tenant, directory.TenantID{})
		return nil
	})
}

// Resource implements [sts.Targets]. A service principal is a resource if its
// application is found in its home tenant, or if it is one of the cloud's
// first-party resources.
func (d *Directory) Resource(ctx context.Context, tenant directory.TenantID, identifier string) (*directory.Resource, error) {
	if len(identifier) > longestName {
		return nil, fmt.Errorf("resource %q…: %w", identifier[:longestName], directory.ErrNotFound)
	}
	key := inTenant[string]{tenant, identifier}
	if a, ok := d.resources.hit(key); ok {
		return a.value, a.err
	}
	return d.resources.load(ctx, key, func(t *tx, a *answer[*directory.Resource]) error {
		found, err := d.resource(t, tenant, identifier)
		if err != nil {
			return err
		}
		a.value, a.size = found, len(found.Principal.Name)+sizeOf(found.Principal.Names)
		for _, value := range found.RoleValues {
			a.size += 64 + len(value)
		}
		a.restsOn(&d.db.versions, tenant, found.Principal.HomeTenant)
		return nil
	})
}

func (d *Directory) resource(t *tx, tenant directory.TenantID, identifier string) (*directory.Resource, error) {
	// The platform's own addresses come first: an application that claims one as
	// its identifier URI would else stand between the tenant and its APIs.
	var p *directory.ServicePrincipal
	var err error
	if id, own := d.aliases[identifier]; own {
		p, err = t.PrincipalByClientID(tenant, id)
	} else if p, err = t.principalNamed(tenant, identifier); errors.Is(err, directory.ErrNotFound) {
		if id, ok := d.cloud.FirstPartyByHost(identifier); ok {
			p, err = t.PrincipalByClientID(tenant, id)
		}
	}
	if err != nil {
		return nil, err
	}
	app, err := t.applicationIn(p.HomeTenant, p.ClientID)
	fp, isFirst := d.firstParty[p.ClientID]
	switch {
	case err == nil:
		r := &directory.Resource{Principal: *p, TokenVersion: app.TokenVersion, RoleValues: make(map[directory.ObjectID]string)}
		if r.TokenVersion == 0 {
			r.TokenVersion = directory.V1
		}
		// A disabled application is disabled wherever it is provisioned.
		r.Principal.Disabled = r.Principal.Disabled || app.Disabled
		for _, role := range app.AppRoles {
			if !role.Disabled {
				r.RoleValues[role.ID] = role.Value
			}
		}
		return r, nil
	case errors.Is(err, directory.ErrNotFound) && isFirst && fp.Owner == p.HomeTenant:
		r := &directory.Resource{Principal: *p, TokenVersion: fp.TokenVersion, FirstParty: true, RoleValues: make(map[directory.ObjectID]string)}
		for _, role := range fp.AppRoles {
			r.RoleValues[role.ID] = role.Value
		}
		return r, nil
	}
	return nil, err
}

// Roles implements [sts.Targets].
func (d *Directory) Roles(ctx context.Context, tenant directory.TenantID, principal, resource directory.ObjectID) ([]string, error) {
	key := grant{tenant, principal, resource}
	if a, ok := d.roles.hit(key); ok {
		return a.value, nil
	}
	roles, err := d.roles.load(ctx, key, func(t *tx, a *answer[[]string]) error {
		target, err := t.Principal(tenant, resource)
		if err != nil {
			return err
		}
		a.value, err = d.roleValues(t, target, principal)
		if err != nil {
			return err
		}
		a.size = sizeOf(a.value)
		// The assignments belong to this tenant, the app roles to the home of the
		// application.
		a.restsOn(&d.db.versions, tenant, target.HomeTenant)
		return nil
	})
	if errors.Is(err, directory.ErrNotFound) {
		return nil, nil // kept as "not found": nobody holds a role on what is not there
	}
	return roles, err
}

func (d *Directory) roleValues(t *tx, target *directory.ServicePrincipal, principal directory.ObjectID) ([]string, error) {
	held, err := t.assignmentsBetween(target.Tenant, principal, target.ID)
	if err != nil || len(held) == 0 {
		return nil, err
	}
	app, err := t.applicationIn(target.HomeTenant, target.ClientID)
	if fp, isFirst := d.firstParty[target.ClientID]; errors.Is(err, directory.ErrNotFound) && isFirst && fp.Owner == target.HomeTenant {
		app, err = &directory.Application{AppRoles: fp.AppRoles}, nil
	}
	if errors.Is(err, directory.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var values []string
	for _, role := range app.AppRoles {
		if !role.Disabled && slices.ContainsFunc(held, func(a directory.AppRoleAssignment) bool { return a.Role == role.ID }) {
			values = append(values, role.Value)
		}
	}
	slices.Sort(values)
	return slices.Compact(values), nil
}

// Identity implements [sts.Workloads].
func (d *Directory) Identity(ctx context.Context, tenant directory.TenantID, principal directory.ObjectID) (*directory.ManagedIdentity, error) {
	key := inTenant[directory.ObjectID]{tenant, principal}
	if a, ok := d.identities.hit(key); ok {
		return a.value, a.err
	}
	return d.identities.load(ctx, key, func(t *tx, a *answer[*directory.ManagedIdentity]) error {
		found, err := t.Identity(tenant, principal)
		if err != nil {
			return err
		}
		a.value, a.size = found, len(found.Name)+len(found.ResourceGroup)+len(found.Location)+len(found.ResourceID)
		a.restsOn(&d.db.versions, tenant, directory.TenantID{})
		return nil
	})
}

// Host implements [sts.Workloads].
func (d *Directory) Host(ctx context.Context, tenant directory.TenantID, id directory.ObjectID) (*directory.Host, error) {
	key := inTenant[directory.ObjectID]{tenant, id}
	if a, ok := d.hosts.hit(key); ok {
		return a.value, a.err
	}
	return d.hosts.load(ctx, key, func(t *tx, a *answer[*directory.Host]) error {
		found, err := t.host(tenant, id)
		if err != nil {
			return err
		}
		a.value, a.size = found, len(found.Name)+len(found.ResourceGroup)+len(found.Location)+len(found.ResourceID)+16*len(found.Identities)
		a.restsOn(&d.db.versions, tenant, directory.TenantID{})
		return nil
	})
}

func sizeOf(list []string) int {
	n := 0
	for _, s := range list {
		n += 16 + len(s)
	}
	return n
}
