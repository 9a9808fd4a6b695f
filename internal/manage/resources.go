package manage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// What the resource manager tells apart where a kind of problem alone would not
// do: each is the cause of the *problem.Error that says it.
var (
	ErrNoSubscription = errors.New("no such subscription")
	ErrNoGroup        = errors.New("no such resource group")
	ErrNoParent       = errors.New("no such parent resource")
	ErrNoResource     = errors.New("no such resource")
	ErrMoved          = errors.New("the location of a resource cannot be changed")
	ErrNoLocation     = errors.New("no location")
	ErrGroupMoved     = errors.New("the location of a resource group cannot be changed")
	ErrLinkDenied     = errors.New("the caller may not assign the identity")
	ErrLinkUnknown    = errors.New("no such identity to assign")
	ErrNameTaken      = errors.New("the name is taken by another resource")
)

// The actions of the resource manager that are decided here and not by the route
// alone.
const (
	AssignIdentity = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
	readGroup      = "Microsoft.Resources/subscriptions/resourceGroups/read"
)

// Limits of what is kept of resources that the platform only stores.
const (
	maxPlainResources = 100 // in one resource group
	mostShown         = 1 << 10
)

// Place is where a resource of the resource manager lives, and what the caller
// must be allowed to do there. Every method that takes one decides first.
type Place struct {
	Tenant       directory.TenantID
	Subscription directory.ObjectID // of the path; refused unless it is the tenant's
	Group        string             // "" for the whole subscription
	Name         string             // of the resource
	Action       string             // "Microsoft.ManagedIdentity/userAssignedIdentities/write"
}

// SubscriptionScope is the scope of a whole subscription.
func SubscriptionScope(subscription directory.ObjectID) string {
	return "/subscriptions/" + subscription.String()
}

// GroupScope is the scope, and the resource id, of a resource group.
func GroupScope(subscription directory.ObjectID, group string) string {
	return SubscriptionScope(subscription) + "/resourceGroups/" + group
}

func (p Place) scope() string {
	if p.Group == "" {
		return SubscriptionScope(p.Subscription)
	}
	return GroupScope(p.Subscription, p.Group)
}

func (p Place) resource(kind string) string { return p.scope() + "/providers/" + kind + "/" + p.Name }

const identityType = "Microsoft.ManagedIdentity/userAssignedIdentities"

// subscription finds the tenant whose subscription that is: a foreign one and
// one that nobody has are the same refusal (threats X4).
func (w *writer) subscription(t directory.TenantID, id directory.ObjectID) (*directory.Tenant, error) {
	tenant, err := found(w.tx.Tenant(t))
	if err != nil {
		return nil, fmt.Errorf("finding tenant: %w", err)
	}
	if tenant == nil || tenant.Subscription != id || id.IsZero() {
		return nil, problem.Wrap(problem.NotFound, ErrNoSubscription, "The subscription '%s' could not be found.", id)
	}
	return tenant, nil
}

// decideAt is the first step of every operation on one resource: the
// subscription is the tenant's, and the caller may.
func (w *writer) decideAt(p Place, scope string) error {
	if _, err := w.subscription(p.Tenant, p.Subscription); err != nil {
		return err
	}
	return w.allowAt(p.Tenant, p.Action, scope)
}

// decideList says for each scope whether the caller may see what is there. A
// caller that may see a part of a list gets that part.
func (w *writer) decideList(p Place) (func(scope string) bool, error) {
	if _, err := w.subscription(p.Tenant, p.Subscription); err != nil {
		return nil, err
	}
	w.decided = true
	if w.caller.Access == nil {
		return func(string) bool { return true }, nil
	}
	if w.caller.Access.Tenant != p.Tenant {
		return nil, problem.Newf(problem.NotFound, "", "there is no such resource in this tenant")
	}
	rights, err := w.rights()
	if err != nil {
		return nil, err
	}
	if p.Group != "" && len(access.AllowedAnywhere(rights, p.Action, p.scope())) == 0 {
		return nil, w.allowAt(p.Tenant, p.Action, p.scope())
	}
	return func(scope string) bool { return access.Resource(rights, p.Action, scope) == nil }, nil
}

// group finds a resource group that must exist.
func (w *writer) group(t directory.TenantID, name string) (*directory.ResourceGroup, error) {
	g, err := found(w.tx.ResourceGroup(t, name))
	if err != nil {
		return nil, fmt.Errorf("finding resource group: %w", err)
	}
	if g == nil {
		return nil, problem.Wrap(problem.NotFound, ErrNoGroup, "Resource group '%s' could not be found.", name)
	}
	return g, nil
}

// ensureGroup makes the group that an identity or a host is in, where no row
// stands for it yet. Files name groups without stating them, so this is part of
// writing the resource and no change of its own.
func (w *writer) ensureGroup(t directory.TenantID, name, location string) error {
	g, err := found(w.tx.ResourceGroup(t, name))
	if g != nil || err != nil {
		return err
	}
	if err := w.tx.PutResourceGroup(&directory.ResourceGroup{Tenant: t, Name: name, Location: location, Created: w.now}); err != nil {
		return fmt.Errorf("writing resource group: %w", err)
	}
	return nil
}

// noResource is the 404 of a resource of the type that is not in the group.
func noResource(kind, group, name string) error {
	return problem.Wrap(problem.NotFound, ErrNoResource,
		"The Resource '%s/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", kind, name, group)
}

// resourceField shows what clients keep with a resource. What is long is cut,
// and the hash tells one long text from another.
func resourceField(k directory.Kept) field {
	if len(k) == 0 {
		return field{name: "kept"}
	}
	text, err := json.Marshal(k)
	if err != nil {
		text = []byte("(not JSON)")
	}
	if len(text) > mostShown {
		sum := sha256.Sum256(text)
		return textField("kept", string(text[:mostShown])+"…[cut; sha256 "+hex.EncodeToString(sum[:8])+"]")
	}
	return textField("kept", string(text))
}

// Account is a tenant as the resource manager's callers see it.
type Account struct {
	Tenant directory.Tenant
	// Subscriber reports whether the caller holds any role on resources at,
	// above or below the tenant's subscription.
	Subscriber bool
}

// Account returns the caller's own tenant. Every caller of the tenant may.
func (s *Service) Account(ctx context.Context, caller Caller, t directory.TenantID) (*Account, error) {
	var a *Account
	err := s.read(ctx, caller, func(w *writer) (err error) {
		a, err = w.account(t)
		return err
	})
	return a, err
}

func (w *writer) account(t directory.TenantID) (*Account, error) {
	w.decided = true
	tenant, err := found(w.tx.Tenant(t))
	if err != nil {
		return nil, fmt.Errorf("finding tenant: %w", err)
	}
	if tenant == nil || w.caller.Access != nil && w.caller.Access.Tenant != t {
		return nil, problem.Newf(problem.NotFound, "", "there is no such tenant")
	}
	a := &Account{Tenant: *tenant, Subscriber: w.caller.Access == nil}
	if w.caller.Access == nil {
		return a, nil
	}
	rights, err := w.rights()
	if err != nil {
		return nil, err
	}
	scope := SubscriptionScope(tenant.Subscription)
	a.Subscriber = slices.ContainsFunc(rights.Assignments, func(h access.HeldAssignment) bool {
		return scopeWithin(scope, h.Scope) || scopeWithin(h.Scope, scope)
	})
	return a, nil
}

// Subscription returns the tenant whose subscription it is, to callers who hold
// any role in it.
func (s *Service) Subscription(ctx context.Context, caller Caller, p Place) (*directory.Tenant, error) {
	var t *directory.Tenant
	err := s.read(ctx, caller, func(w *writer) error {
		if _, err := w.subscription(p.Tenant, p.Subscription); err != nil {
			return err
		}
		a, err := w.account(p.Tenant)
		if err != nil {
			return err
		}
		if t = &a.Tenant; !a.Subscriber {
			return w.allowAt(p.Tenant, p.Action, p.scope())
		}
		return nil
	})
	return t, err
}

// DecideResource says whether the caller may do the place's action at its
// scope, for operations that touch nothing: reading what is the same for
// everyone, registering what is registered already.
func (s *Service) DecideResource(ctx context.Context, caller Caller, p Place) error {
	return s.read(ctx, caller, func(w *writer) error { return w.decideAt(p, p.scope()) })
}

// ResourceGroups lists those that the caller may read, by name.
func (s *Service) ResourceGroups(ctx context.Context, caller Caller, p Place) ([]directory.ResourceGroup, error) {
	var all []directory.ResourceGroup
	err := s.read(ctx, caller, func(w *writer) error {
		visible, err := w.decideList(p)
		if err != nil {
			return err
		}
		if all, err = w.tx.ResourceGroups(p.Tenant); err != nil {
			return fmt.Errorf("reading resource groups: %w", err)
		}
		all = slices.DeleteFunc(all, func(g directory.ResourceGroup) bool { return !visible(GroupScope(p.Subscription, g.Name)) })
		return nil
	})
	return all, err
}

// ResourceGroup returns one.
func (s *Service) ResourceGroup(ctx context.Context, caller Caller, p Place) (*directory.ResourceGroup, error) {
	var g *directory.ResourceGroup
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.decideAt(p, p.scope()); err != nil {
			return err
		}
		g, err = w.group(p.Tenant, p.Group)
		return err
	})
	return g, err
}

func resourceGroupFields(g *directory.ResourceGroup) []field {
	return []field{textField("name", g.Name), textField("location", g.Location), resourceField(g.Kept)}
}

func (w *writer) resourceGroupTarget(p Place, name string) audit.Target {
	return audit.Target{Kind: "resourceGroup", ID: GroupScope(p.Subscription, name), Name: w.name(p.Tenant, name)}
}

// ResourceWrite is what a caller states of a resource. Location is "" when he
// states none.
type ResourceWrite struct {
	Location string
	// Change gives what is kept of the resource, from what was kept before; it is
	// nil for a resource that does not exist yet.
	Change func(before directory.Kept) (directory.Kept, error)
	// Patch refuses to create.
	Patch bool
	// TenantID, PrincipalID and ClientID are what the caller states of an
	// identity's ids, which nobody can set: anything else than what they are is
	// refused, and "" says nothing.
	TenantID, PrincipalID, ClientID string
}

// readOnly refuses ids that are not the identity's (threats X12).
func (rw ResourceWrite) readOnly(m *directory.ManagedIdentity) error {
	for _, f := range []struct{ name, stated, is string }{
		{"properties.tenantId", rw.TenantID, m.Tenant.String()},
		{"properties.principalId", rw.PrincipalID, m.PrincipalID.String()},
		{"properties.clientId", rw.ClientID, m.ClientID.String()},
	} {
		if f.stated != "" && !strings.EqualFold(f.stated, f.is) {
			return problem.Newf(problem.Invalid, f.name, "is read-only and cannot be set")
		}
	}
	return nil
}

func (rw ResourceWrite) kept(before directory.Kept) (directory.Kept, error) {
	if rw.Change == nil {
		return before, nil
	}
	return rw.Change(before)
}

func noLocation() error {
	return problem.Wrap(problem.Invalid, ErrNoLocation, "The location property is required for this definition.")
}

func moved(name, at, group, to string) error {
	return problem.Wrap(problem.Conflict, ErrMoved,
		"The resource '%s' already exists in location '%s' in resource group '%s'. A resource with the same name cannot be created in location '%s'. Please select a new resource name.", name, at, group, to)
}

// PutResourceGroup makes the group or changes what is kept of it, and reports
// whether it made it. A location cannot be changed.
func (s *Service) PutResourceGroup(ctx context.Context, caller Caller, p Place, rw ResourceWrite) (*directory.ResourceGroup, bool, error) {
	var after directory.ResourceGroup
	created := false
	_, err := s.change(ctx, p.attempt(Update, "resourceGroup", p.scope(), false), false, caller, func(w *writer) error {
		created = false
		if err := w.decideAt(p, p.scope()); err != nil {
			return err
		}
		before, err := found(w.tx.ResourceGroup(p.Tenant, p.Group))
		if err != nil {
			return fmt.Errorf("finding resource group: %w", err)
		}
		switch {
		case before == nil && rw.Patch:
			_, err := w.group(p.Tenant, p.Group)
			return err
		case before == nil:
			if rw.Location == "" {
				return noLocation()
			}
			if err := validPlace(p.Group, rw.Location); err != nil {
				return err
			}
			created = true
			after = directory.ResourceGroup{Tenant: p.Tenant, Name: p.Group, Location: rw.Location, Created: w.now}
			if after.Kept, err = rw.kept(nil); err != nil {
				return err
			}
			if err := w.tx.PutResourceGroup(&after); err != nil {
				return conflict(err, "resource group", after.Name)
			}
			return w.record(change{op: Create, tenant: p.Tenant, target: w.resourceGroupTarget(p, after.Name), after: resourceGroupFields(&after)})
		case rw.Location != "" && !strings.EqualFold(rw.Location, before.Location):
			return problem.Wrap(problem.Conflict, ErrGroupMoved,
				"Invalid resource group location '%s'. The Resource group already exists in location '%s'.", rw.Location, before.Location)
		}
		after = *before
		if after.Kept, err = rw.kept(before.Kept); err != nil {
			return err
		}
		return w.putResourceGroup(p, before, &after)
	})
	if err != nil {
		return nil, false, err
	}
	return &after, created, nil
}

// putResourceGroup writes what changed of a group that exists.
func (w *writer) putResourceGroup(p Place, before, after *directory.ResourceGroup) error {
	old, now := resourceGroupFields(before), resourceGroupFields(after)
	if len(compare(old, now)) == 0 {
		return nil
	}
	if err := validKept(after.Kept, mostKeptInGroup); err != nil {
		return err
	}
	if err := w.tx.PutResourceGroup(after); err != nil {
		return conflict(err, "resource group", after.Name)
	}
	return w.record(change{op: Update, tenant: p.Tenant, target: w.resourceGroupTarget(p, after.Name), before: old, after: now})
}

// attempt is how a refused write is recorded.
func (p Place) attempt(op Op, kind, id string, high bool) audit.Change {
	return audit.Change{Tenant: p.Tenant, Action: string(op), High: high, Target: audit.Target{Kind: kind, ID: id, Name: id}}
}

// DeleteResourceGroup deletes the group with everything in it: hosts, managed
// identities, and the role assignments at the group and below. NotFound when
// there is none.
func (s *Service) DeleteResourceGroup(ctx context.Context, caller Caller, p Place) error {
	_, err := s.change(ctx, p.attempt(Delete, "resourceGroup", p.scope(), false), false, caller, func(w *writer) error {
		if err := w.decideAt(p, p.scope()); err != nil {
			return err
		}
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		hosts, err := w.tx.Hosts(p.Tenant)
		if err != nil {
			return fmt.Errorf("reading hosts: %w", err)
		}
		for i := range hosts {
			if strings.EqualFold(hosts[i].ResourceGroup, g.Name) {
				if err := w.deleteHost(&hosts[i]); err != nil {
					return err
				}
			}
		}
		identities, err := w.tx.Identities(p.Tenant)
		if err != nil {
			return fmt.Errorf("reading managed identities: %w", err)
		}
		for i := range identities {
			if identities[i].Kind == directory.UserAssigned && strings.EqualFold(identities[i].ResourceGroup, g.Name) {
				if err := w.deleteIdentity(&identities[i]); err != nil {
					return err
				}
			}
		}
		if err := w.dropAzureAssignmentsWithin(p.Tenant, p.scope()); err != nil {
			return err
		}
		if err := w.tx.DeleteResourceGroup(p.Tenant, g.Name); err != nil {
			return fmt.Errorf("deleting resource group: %w", err)
		}
		return w.record(change{op: Delete, tenant: p.Tenant, target: w.resourceGroupTarget(p, g.Name), before: resourceGroupFields(g)})
	})
	return err
}

// Contents are the resources of a group or of a subscription that the caller
// may read.
type Contents struct {
	Identities []directory.ManagedIdentity // user-assigned
	Hosts      []directory.Host
	Assigned   map[directory.ObjectID]directory.ManagedIdentity // whatever a host names
	Plain      []PlainResource
}

// Resources lists what is in the group, or in the subscription when the place
// names no group. The place's action is replaced by the read of each type.
func (s *Service) Resources(ctx context.Context, caller Caller, p Place) (*Contents, error) {
	c := &Contents{}
	err := s.read(ctx, caller, func(w *writer) error {
		*c = Contents{Assigned: make(map[directory.ObjectID]directory.ManagedIdentity)}
		list := p
		// Who may read one type and not another sees the one; who may read none is
		// refused.
		var refused error
		shown := 0
		see := func(err error) error {
			switch {
			case err == nil:
				shown++
			case problem.KindOf(err) != problem.Denied || errors.Is(err, ErrCallerGone):
				return err
			case refused == nil:
				refused = err
			}
			return nil
		}
		list.Action = identityType + "/read"
		identities, err := w.identities(list)
		c.Identities = identities
		if err := see(err); err != nil {
			return err
		}
		for _, kind := range []directory.HostKind{directory.VirtualMachine, directory.WebApp} {
			list.Action = kind.ResourceType() + "/read"
			hosts, err := w.hosts(list, kind)
			c.Hosts = append(c.Hosts, hosts...)
			if err := see(err); err != nil {
				return err
			}
		}
		if shown == 0 {
			return refused
		}
		if err := w.assignedTo(c.Hosts, c.Assigned); err != nil {
			return err
		}
		c.Plain, err = w.plainResources(p, "")
		return err
	})
	return c, err
}

// identities lists the user-assigned ones that the caller may do the place's
// action to.
func (w *writer) identities(p Place) ([]directory.ManagedIdentity, error) {
	visible, err := w.decideList(p)
	if err != nil {
		return nil, err
	}
	if p.Group != "" {
		if _, err := w.group(p.Tenant, p.Group); err != nil {
			return nil, err
		}
	}
	all, err := w.tx.Identities(p.Tenant)
	if err != nil {
		return nil, fmt.Errorf("reading managed identities: %w", err)
	}
	return slices.DeleteFunc(all, func(m directory.ManagedIdentity) bool {
		return m.Kind != directory.UserAssigned || p.Group != "" && !strings.EqualFold(m.ResourceGroup, p.Group) || !visible(m.ResourceID)
	}), nil
}

// ManagedIdentities lists the user-assigned identities of the group, or of the
// subscription, that the caller may read.
func (s *Service) ManagedIdentities(ctx context.Context, caller Caller, p Place) ([]directory.ManagedIdentity, error) {
	var all []directory.ManagedIdentity
	err := s.read(ctx, caller, func(w *writer) (err error) {
		all, err = w.identities(p)
		return err
	})
	return all, err
}

// identityIn finds a user-assigned identity that must exist, without regard to
// case.
func (w *writer) identityIn(p Place) (*directory.ManagedIdentity, error) {
	m, err := found(w.tx.IdentityIn(p.Tenant, p.Group, p.Name))
	if err != nil {
		return nil, fmt.Errorf("finding managed identity: %w", err)
	}
	if m == nil {
		if _, err := w.group(p.Tenant, p.Group); err != nil {
			return nil, err
		}
		return nil, noResource(identityType, p.Group, p.Name)
	}
	return m, nil
}

// ManagedIdentity returns the user-assigned identity at the place.
func (s *Service) ManagedIdentity(ctx context.Context, caller Caller, p Place) (*directory.ManagedIdentity, error) {
	var m *directory.ManagedIdentity
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.decideAt(p, p.resource(identityType)); err != nil {
			return err
		}
		m, err = w.identityIn(p)
		return err
	})
	return m, err
}

// IdentityHosts lists the hosts that the identity at the place is assigned to.
// The action for that is one of its own and covers hosts in any group.
func (s *Service) IdentityHosts(ctx context.Context, caller Caller, p Place) ([]directory.Host, error) {
	var on []directory.Host
	err := s.read(ctx, caller, func(w *writer) error {
		if err := w.decideAt(p, p.resource(identityType)); err != nil {
			return err
		}
		m, err := w.identityIn(p)
		if err != nil {
			return err
		}
		all, err := w.tx.Hosts(p.Tenant)
		if err != nil {
			return fmt.Errorf("reading hosts: %w", err)
		}
		on = slices.DeleteFunc(all, func(h directory.Host) bool { return !slices.Contains(h.Identities, m.PrincipalID) })
		return nil
	})
	return on, err
}

// PutManagedIdentity makes the user-assigned identity at the place or changes
// what is kept of it, and reports whether it made it. Ids and location never
// change.
func (s *Service) PutManagedIdentity(ctx context.Context, caller Caller, p Place, rw ResourceWrite) (*directory.ManagedIdentity, bool, error) {
	var after directory.ManagedIdentity
	created := false
	_, err := s.change(ctx, p.attempt(Update, "managedIdentity", p.resource(identityType), false), false, caller, func(w *writer) error {
		created = false
		if err := w.decideAt(p, p.resource(identityType)); err != nil {
			return err
		}
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		before, err := found(w.tx.IdentityIn(p.Tenant, p.Group, p.Name))
		if err != nil {
			return fmt.Errorf("finding managed identity: %w", err)
		}
		switch {
		case before == nil && rw.Patch:
			return noResource(identityType, p.Group, p.Name)
		case before == nil:
			if rw.Location == "" {
				return noLocation()
			}
			created = true
			after = directory.ManagedIdentity{
				Tenant: p.Tenant, PrincipalID: w.newObjectID(), ClientID: w.newClientID(), Kind: directory.UserAssigned,
				Name: p.Name, ResourceGroup: g.Name, Location: rw.Location,
				ResourceID: directory.IdentityResourceID(p.Subscription, g.Name, p.Name),
			}
			if err := rw.readOnly(&after); err != nil {
				return err
			}
			if after.Kept, err = rw.kept(nil); err != nil {
				return err
			}
			return w.createIdentity(&after)
		case rw.Location != "" && !strings.EqualFold(rw.Location, before.Location):
			return moved(before.Name, before.Location, before.ResourceGroup, rw.Location)
		}
		if err := rw.readOnly(before); err != nil {
			return err
		}
		after = *before
		if after.Kept, err = rw.kept(before.Kept); err != nil {
			return err
		}
		return w.updateIdentity(before, &after)
	})
	if err != nil {
		return nil, false, err
	}
	return &after, created, nil
}

// DeleteManagedIdentity deletes the identity and reports whether there was one.
func (s *Service) DeleteManagedIdentity(ctx context.Context, caller Caller, p Place) (bool, error) {
	existed := false
	_, err := s.change(ctx, p.attempt(Delete, "managedIdentity", p.resource(identityType), false), false, caller, func(w *writer) error {
		existed = false
		if err := w.decideAt(p, p.resource(identityType)); err != nil {
			return err
		}
		m, err := found(w.tx.IdentityIn(p.Tenant, p.Group, p.Name))
		if err != nil {
			return fmt.Errorf("finding managed identity: %w", err)
		}
		if m == nil {
			_, err := w.group(p.Tenant, p.Group)
			return err
		}
		existed = true
		return w.deleteIdentity(m)
	})
	return existed, err
}

// credentialHolder finds the identity at the place as the parent of its
// federated identity credentials.
func (w *writer) credentialHolder(p Place) (parent, []directory.FederatedCredential, error) {
	m, err := w.identityIn(p)
	if err != nil {
		if pe := (*problem.Error)(nil); errors.As(err, &pe) && errors.Is(err, ErrNoResource) {
			err = problem.Wrap(problem.NotFound, ErrNoParent, "Can not perform requested operation on nested resource. Parent resource '%s' not found.", p.Name)
		}
		return parent{}, nil, err
	}
	all, err := w.tx.Credentials(p.Tenant, m.PrincipalID)
	if err != nil {
		return parent{}, nil, fmt.Errorf("reading credentials: %w", err)
	}
	return parent{p.Tenant, m.PrincipalID, "managedIdentity", w.name(p.Tenant, m.Name)}, all, nil
}

func credentialScope(p Place, name string) string {
	scope := p.resource(identityType)
	if name != "" {
		scope += "/federatedIdentityCredentials/" + name
	}
	return scope
}

// credentialIn finds a credential by name, which resource ids compare without
// case.
func credentialIn(all []directory.FederatedCredential, name string) *directory.FederatedCredential {
	for i := range all {
		if strings.EqualFold(all[i].Name, name) {
			return &all[i]
		}
	}
	return nil
}

// IdentityCredentials lists the federated identity credentials of the identity
// at the place, or the one with the name.
func (s *Service) IdentityCredentials(ctx context.Context, caller Caller, p Place, name string) ([]directory.FederatedCredential, error) {
	var all []directory.FederatedCredential
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.decideAt(p, credentialScope(p, name)); err != nil {
			return err
		}
		_, all, err = w.credentialHolder(p)
		if err != nil || name == "" {
			return err
		}
		c := credentialIn(all, name)
		if c == nil {
			return noResource(identityType+"/federatedIdentityCredentials", p.Group, p.Name+"/"+name)
		}
		all = []directory.FederatedCredential{*c}
		return nil
	})
	return all, err
}

// PutIdentityCredential writes a federated identity credential of the identity
// at the place and reports whether it made it.
func (s *Service) PutIdentityCredential(ctx context.Context, caller Caller, p Place, c directory.FederatedCredential) (*directory.FederatedCredential, bool, error) {
	var after directory.FederatedCredential
	created := false
	_, err := s.change(ctx, p.attempt(Update, credentialKind, credentialScope(p, c.Name), true), false, caller, func(w *writer) error {
		created = false
		if err := w.decideAt(p, credentialScope(p, c.Name)); err != nil {
			return err
		}
		holder, all, err := w.credentialHolder(p)
		if err != nil {
			return err
		}
		after = c
		before := credentialIn(all, c.Name)
		if before == nil {
			created = true
			after.ID = w.newObjectID()
			return w.createCredential(holder, &after, config.Node{})
		}
		after.ID, after.Name, after.Description = before.ID, before.Name, before.Description
		return w.updateCredential(holder, before, &after, config.Node{})
	})
	if err != nil {
		return nil, false, err
	}
	return &after, created, nil
}

// DeleteIdentityCredential deletes one by name and reports whether there was one.
func (s *Service) DeleteIdentityCredential(ctx context.Context, caller Caller, p Place, name string) (bool, error) {
	existed := false
	_, err := s.change(ctx, p.attempt(Delete, credentialKind, credentialScope(p, name), true), false, caller, func(w *writer) error {
		existed = false
		if err := w.decideAt(p, credentialScope(p, name)); err != nil {
			return err
		}
		holder, all, err := w.credentialHolder(p)
		if err != nil {
			return err
		}
		c := credentialIn(all, name)
		if c == nil {
			return nil
		}
		existed = true
		return w.deleteCredential(holder, c)
	})
	return existed, err
}

// hosts lists the hosts of the kind that the caller may do the place's action to.
func (w *writer) hosts(p Place, kind directory.HostKind) ([]directory.Host, error) {
	visible, err := w.decideList(p)
	if err != nil {
		return nil, err
	}
	if p.Group != "" {
		if _, err := w.group(p.Tenant, p.Group); err != nil {
			return nil, err
		}
	}
	all, err := w.tx.Hosts(p.Tenant)
	if err != nil {
		return nil, fmt.Errorf("reading hosts: %w", err)
	}
	return slices.DeleteFunc(all, func(h directory.Host) bool {
		return h.Kind != kind || p.Group != "" && !strings.EqualFold(h.ResourceGroup, p.Group) || !visible(h.ResourceID)
	}), nil
}

// hostIn finds the host of the kind at the place, without regard to case; nil
// when there is none.
func (w *writer) hostIn(p Place, kind directory.HostKind) (*directory.Host, error) {
	all, err := w.tx.Hosts(p.Tenant)
	if err != nil {
		return nil, fmt.Errorf("reading hosts: %w", err)
	}
	for i := range all {
		if all[i].Kind == kind && strings.EqualFold(all[i].ResourceGroup, p.Group) && strings.EqualFold(all[i].Name, p.Name) {
			return &all[i], nil
		}
	}
	return nil, nil
}

// assignedTo collects every identity that the hosts name, their own included.
func (w *writer) assignedTo(hosts []directory.Host, into map[directory.ObjectID]directory.ManagedIdentity) error {
	for _, h := range hosts {
		for _, id := range append(slices.Clone(h.Identities), h.System) {
			if _, known := into[id]; known || id.IsZero() {
				continue
			}
			m, err := found(w.tx.Identity(h.Tenant, id))
			if err != nil {
				return fmt.Errorf("finding managed identity: %w", err)
			}
			if m != nil {
				into[id] = *m
			}
		}
	}
	return nil
}

// HostView is hosts with the identities that they name.
type HostView struct {
	Hosts    []directory.Host
	Assigned map[directory.ObjectID]directory.ManagedIdentity
}

// ComputeHosts lists the hosts of the kind in the group, or in the
// subscription, that the caller may read; with a name in the place, the one.
func (s *Service) ComputeHosts(ctx context.Context, caller Caller, p Place, kind directory.HostKind) (*HostView, error) {
	v := &HostView{}
	err := s.read(ctx, caller, func(w *writer) (err error) {
		*v = HostView{Assigned: make(map[directory.ObjectID]directory.ManagedIdentity)}
		if p.Name == "" {
			if v.Hosts, err = w.hosts(p, kind); err != nil {
				return err
			}
			return w.assignedTo(v.Hosts, v.Assigned)
		}
		if err := w.decideAt(p, p.resource(kind.ResourceType())); err != nil {
			return err
		}
		h, err := w.hostIn(p, kind)
		if err != nil {
			return err
		}
		if h == nil {
			if _, err := w.group(p.Tenant, p.Group); err != nil {
				return err
			}
			return noResource(kind.ResourceType(), p.Group, p.Name)
		}
		v.Hosts = []directory.Host{*h}
		return w.assignedTo(v.Hosts, v.Assigned)
	})
	return v, err
}

// IdentityRef names a user-assigned identity in the identity block of a host.
type IdentityRef struct {
	ResourceID   string // as the caller wrote it
	Subscription directory.ObjectID
	Group, Name  string
	Remove       bool
}

// HostIdentities is what an identity block asks for.
type HostIdentities struct {
	System bool
	User   bool // the type names user-assigned identities; without it none stay
	Merge  bool // identities that the block does not name stay
	Refs   []IdentityRef
}

// PutHost makes the host at the place or changes it, and reports whether it
// made it. Identities are left as they are when ids is nil; each identity that
// is newly put on the host needs the caller's right to assign it.
func (s *Service) PutHost(ctx context.Context, caller Caller, p Place, kind directory.HostKind, rw ResourceWrite, ids *HostIdentities) (*HostView, bool, error) {
	v := &HostView{}
	created := false
	_, err := s.change(ctx, p.attempt(Update, "host", p.resource(kind.ResourceType()), false), false, caller, func(w *writer) error {
		created = false
		// Step 1: Decide.
		if err := w.decideAt(p, p.resource(kind.ResourceType())); err != nil {
			return err
		}
		// Step 2: Find what is there.
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		before, err := w.hostIn(p, kind)
		if err != nil {
			return err
		}
		var after directory.Host
		switch {
		case before == nil && rw.Patch:
			return noResource(kind.ResourceType(), p.Group, p.Name)
		case before == nil:
			if rw.Location == "" {
				return noLocation()
			}
			other, err := found(w.tx.HostByName(p.Tenant, p.Name))
			if err != nil {
				return fmt.Errorf("finding host: %w", err)
			}
			if other != nil {
				// Only what the caller could read of the other is told.
				return problem.Wrap(problem.Conflict, ErrNameTaken, "The name '%s' is already in use: the names of virtual machines and sites are unique in a tenant.", p.Name)
			}
			created = true
			after = directory.Host{
				Tenant: p.Tenant, ID: w.newObjectID(), Name: p.Name, Kind: kind, ResourceGroup: g.Name, Location: rw.Location,
				ResourceID: directory.HostResourceID(p.Subscription, g.Name, kind, p.Name),
			}
			if after.Kept, err = rw.kept(nil); err != nil {
				return err
			}
		case rw.Location != "" && !strings.EqualFold(rw.Location, before.Location):
			return moved(before.Name, before.Location, before.ResourceGroup, rw.Location)
		default:
			after = *before
			if after.Kept, err = rw.kept(before.Kept); err != nil {
				return err
			}
		}
		// Step 3: Decide on each identity that comes new.
		system := !after.System.IsZero()
		if ids != nil {
			system = ids.System
			if after.Identities, err = w.assignIdentities(p, &after, ids); err != nil {
				return err
			}
		}
		// Step 4: Write.
		if created {
			err = w.createHost(&after)
		} else {
			err = w.updateHost(before, &after)
		}
		if err != nil {
			return err
		}
		if err := w.setSystemAssigned(&after, system); err != nil {
			return err
		}
		written, err := w.hostIn(p, kind)
		if err != nil {
			return err
		}
		*v = HostView{Hosts: []directory.Host{*written}, Assigned: make(map[directory.ObjectID]directory.ManagedIdentity)}
		return w.assignedTo(v.Hosts, v.Assigned)
	})
	if err != nil {
		return nil, false, err
	}
	return v, created, nil
}

// assignIdentities works out which user-assigned identities the host has after
// the write, and refuses those that the caller may not assign. Whether there is
// such an identity is told to those only who could assign it.
func (w *writer) assignIdentities(p Place, h *directory.Host, ids *HostIdentities) ([]directory.ObjectID, error) {
	if !ids.User {
		return nil, nil
	}
	var kept []directory.ObjectID
	if ids.Merge {
		kept = slices.Clone(h.Identities)
	}
	for _, ref := range ids.Refs {
		var m *directory.ManagedIdentity
		tenant, err := found(w.tx.Tenant(p.Tenant))
		if err != nil {
			return nil, fmt.Errorf("finding tenant: %w", err)
		}
		if tenant != nil && ref.Subscription == tenant.Subscription {
			if m, err = found(w.tx.IdentityIn(p.Tenant, ref.Group, ref.Name)); err != nil {
				return nil, fmt.Errorf("finding managed identity: %w", err)
			}
		}
		if ref.Remove {
			if m != nil {
				kept = slices.DeleteFunc(kept, func(id directory.ObjectID) bool { return id == m.PrincipalID })
			}
			continue
		}
		if m != nil && slices.Contains(h.Identities, m.PrincipalID) {
			if !slices.Contains(kept, m.PrincipalID) {
				kept = append(kept, m.PrincipalID)
			}
			continue
		}
		if err := w.allowAt(p.Tenant, AssignIdentity, ref.ResourceID); err != nil {
			if problem.KindOf(err) != problem.Denied || errors.Is(err, ErrCallerGone) {
				return nil, err
			}
			return nil, problem.Wrap(problem.Denied, errors.Join(ErrLinkDenied, err),
				"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
				w.caller.Access.Client, w.caller.Access.Principal, p.Action, h.ResourceID, AssignIdentity, ref.ResourceID)
		}
		if m == nil {
			return nil, problem.Wrap(problem.Invalid, ErrLinkUnknown,
				"Identity operation for resource '%s' failed with error 'Failed to perform resource identity operation. Status: 'NotFound'. The Resource '%s/%s' under resource group '%s' was not found.'",
				h.ResourceID, identityType, ref.Name, ref.Group)
		}
		if !slices.Contains(kept, m.PrincipalID) {
			kept = append(kept, m.PrincipalID)
		}
	}
	return kept, nil
}

// DeleteComputeHost deletes the host at the place with its own identity, and
// reports whether there was one.
func (s *Service) DeleteComputeHost(ctx context.Context, caller Caller, p Place, kind directory.HostKind) (bool, error) {
	existed := false
	_, err := s.change(ctx, p.attempt(Delete, "host", p.resource(kind.ResourceType()), false), false, caller, func(w *writer) error {
		existed = false
		if err := w.decideAt(p, p.resource(kind.ResourceType())); err != nil {
			return err
		}
		h, err := w.hostIn(p, kind)
		if err != nil {
			return err
		}
		if h == nil {
			_, err := w.group(p.Tenant, p.Group)
			return err
		}
		existed = true
		return w.deleteHost(h)
	})
	return existed, err
}

// SystemIdentity returns the system-assigned identity of the host at the place.
func (s *Service) SystemIdentity(ctx context.Context, caller Caller, p Place, kind directory.HostKind) (*directory.ManagedIdentity, *directory.Host, error) {
	var m *directory.ManagedIdentity
	var h *directory.Host
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.decideAt(p, p.resource(kind.ResourceType())); err != nil {
			return err
		}
		if h, err = w.hostIn(p, kind); err != nil {
			return err
		}
		if h == nil || h.System.IsZero() {
			return noResource("Microsoft.ManagedIdentity/identities", p.Group, "default")
		}
		m, err = w.tx.Identity(p.Tenant, h.System)
		return err
	})
	return m, h, err
}

// PlainResource is a resource that the platform stores for its clients and
// never looks into, such as an App Service plan. It lives in what is kept of its
// resource group.
type PlainResource struct {
	Group    string         `json:"-"`
	Type     string         `json:"type"` // Microsoft.Web/serverfarms
	Name     string         `json:"name"`
	Location string         `json:"location"`
	Kept     directory.Kept `json:"kept,omitempty"`
}

const plainKey = "resources" // in what is kept of a resource group

func plainIn(g *directory.ResourceGroup) ([]PlainResource, error) {
	var all []PlainResource
	if raw := g.Kept[plainKey]; raw != nil {
		if err := json.Unmarshal(raw, &all); err != nil {
			return nil, fmt.Errorf("reading the resources of a group: %w", err)
		}
	}
	for i := range all {
		all[i].Group = g.Name
	}
	return all, nil
}

// Tags are what clients keep of a resource group beside its resources.
func Tags(k directory.Kept) json.RawMessage { return k["tags"] }

func (w *writer) plainResources(p Place, kind string) ([]PlainResource, error) {
	groups, err := w.tx.ResourceGroups(p.Tenant)
	if err != nil {
		return nil, fmt.Errorf("reading resource groups: %w", err)
	}
	var all []PlainResource
	for i := range groups {
		if p.Group != "" && !strings.EqualFold(groups[i].Name, p.Group) {
			continue
		}
		some, err := plainIn(&groups[i])
		if err != nil {
			return nil, err
		}
		for _, r := range some {
			if kind != "" && !strings.EqualFold(r.Type, kind) {
				continue
			}
			at := p
			at.Group, at.Name, at.Action = groups[i].Name, r.Name, r.Type+"/read"
			visible, err := w.decideList(Place{Tenant: p.Tenant, Subscription: p.Subscription, Action: at.Action})
			if err != nil {
				return nil, err
			}
			if visible(at.resource(r.Type)) {
				all = append(all, r)
			}
		}
	}
	return all, nil
}

// PlainResources lists those of the type that the caller may read.
func (s *Service) PlainResources(ctx context.Context, caller Caller, p Place, kind string) ([]PlainResource, error) {
	var all []PlainResource
	err := s.read(ctx, caller, func(w *writer) error {
		if _, err := w.decideList(p); err != nil {
			return err
		}
		if p.Group != "" {
			if _, err := w.group(p.Tenant, p.Group); err != nil {
				return err
			}
		}
		var err error
		all, err = w.plainResources(p, kind)
		return err
	})
	return all, err
}

// PlainResource returns the one at the place.
func (s *Service) PlainResource(ctx context.Context, caller Caller, p Place, kind string) (*PlainResource, error) {
	var r *PlainResource
	err := s.read(ctx, caller, func(w *writer) error {
		if err := w.decideAt(p, p.resource(kind)); err != nil {
			return err
		}
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		all, err := plainIn(g)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, p.isPlain(kind))
		if i < 0 {
			return noResource(kind, p.Group, p.Name)
		}
		r = &all[i]
		return nil
	})
	return r, err
}

func (p Place) isPlain(kind string) func(PlainResource) bool {
	return func(r PlainResource) bool {
		return strings.EqualFold(r.Type, kind) && strings.EqualFold(r.Name, p.Name)
	}
}

// PutPlainResource makes or changes the one at the place and reports whether it
// made it.
func (s *Service) PutPlainResource(ctx context.Context, caller Caller, p Place, kind string, rw ResourceWrite) (*PlainResource, bool, error) {
	var after PlainResource
	created := false
	_, err := s.change(ctx, p.attempt(Update, "resource", p.resource(kind), false), false, caller, func(w *writer) error {
		created = false
		if err := w.decideAt(p, p.resource(kind)); err != nil {
			return err
		}
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		all, err := plainIn(g)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, p.isPlain(kind))
		switch {
		case i < 0 && rw.Patch:
			return noResource(kind, p.Group, p.Name)
		case i < 0:
			if rw.Location == "" {
				return noLocation()
			}
			if len(all) >= maxPlainResources {
				return problem.Newf(problem.Limit, "", "resource group %s holds %d stored resources, which is the most", g.Name, len(all))
			}
			if err := directory.ValidateResourceName("name", p.Name, 1, 128, "."); err != nil {
				return err
			}
			if err := validPlace(g.Name, rw.Location); err != nil {
				return err
			}
			created = true
			all = append(all, PlainResource{Group: g.Name, Type: kind, Name: p.Name, Location: rw.Location})
			i = len(all) - 1
		case rw.Location != "" && !strings.EqualFold(rw.Location, all[i].Location):
			return moved(all[i].Name, all[i].Location, g.Name, rw.Location)
		}
		if all[i].Kept, err = rw.kept(all[i].Kept); err != nil {
			return err
		}
		after = all[i]
		return w.putPlain(p, g, all)
	})
	if err != nil {
		return nil, false, err
	}
	return &after, created, nil
}

func (w *writer) putPlain(p Place, g *directory.ResourceGroup, all []PlainResource) error {
	var raw json.RawMessage
	if len(all) > 0 {
		var err error
		if raw, err = json.Marshal(all); err != nil {
			return fmt.Errorf("encoding resources: %w", err)
		}
	}
	after := *g
	after.Kept = g.Kept.With(plainKey, raw)
	return w.putResourceGroup(p, g, &after)
}

// DeletePlainResource deletes the one at the place and reports whether there
// was one.
func (s *Service) DeletePlainResource(ctx context.Context, caller Caller, p Place, kind string) (bool, error) {
	existed := false
	_, err := s.change(ctx, p.attempt(Delete, "resource", p.resource(kind), false), false, caller, func(w *writer) error {
		existed = false
		if err := w.decideAt(p, p.resource(kind)); err != nil {
			return err
		}
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		all, err := plainIn(g)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, p.isPlain(kind))
		if i < 0 {
			return nil
		}
		existed = true
		if err := w.dropAzureAssignmentsWithin(p.Tenant, p.resource(kind)); err != nil {
			return err
		}
		return w.putPlain(p, g, slices.Delete(all, i, i+1))
	})
	return existed, err
}
