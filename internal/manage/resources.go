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

// attempt is how a refused write is recorded.
func (p Place) attempt(op Op, kind, id string, high bool) audit.Change {
	return audit.Change{Tenant: p.Tenant, Action: string(op), High: high, Target: audit.Target{Kind: kind, ID: id, Name: id}}
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

// Tags are what clients keep of a resource group beside its resources.
func Tags(k directory.Kept) json.RawMessage { return k["tags"] }
