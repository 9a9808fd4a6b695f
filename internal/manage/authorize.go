package manage

import (
	"errors"
	"fmt"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// Caller is who asks for something, under which request, and by what right.
type Caller struct {
	Actor       audit.Actor
	Correlation string // a GUID; "" when there is none
	// Access is whom a verified access token speaks for. It is nil for the
	// platform's own operator, who may do everything: the control socket has
	// shown that he is the user that runs the platform.
	Access *access.Caller
	Need   access.Permission // what the operation asks for, as its route states it
}

// ActorOf names the caller of an API in records. The name is not known before
// the caller has been looked up.
func ActorOf(c *access.Caller) audit.Actor {
	kind := "servicePrincipal"
	if c.User {
		kind = "user"
	}
	return audit.Actor{Kind: kind, ID: c.Principal.String()}
}

// errUnauthorized is a fault of the program: an operation ended without having
// asked whether its caller may.
var errUnauthorized = errors.New("manage: an operation did not decide whether its caller may")

// denied is what every refused caller of a directory operation is told; the
// detail says what is missing, and goes to records and to callers on this
// machine.
func denied(r *access.Refusal) error {
	return problem.Wrap(problem.Denied, r, "Insufficient privileges to complete the operation.")
}

// allow decides whether the caller may do what its route states to an object of
// the tenant, inside the transaction that does it (threats X9). Every operation
// of an API calls it, or allowAt, before it writes or returns anything.
func (w *writer) allow(t directory.TenantID, o access.Object) error {
	w.decided = true
	if w.caller.Access == nil {
		return nil
	}
	rights, err := w.rights()
	if err != nil {
		return err
	}
	if w.caller.Access.Tenant != t {
		// Of another tenant's objects nothing is told, not even that they are there.
		return problem.Newf(problem.NotFound, "", "there is no such object in this tenant")
	}
	o.Self = o.ID == w.caller.Access.Principal
	if !o.Owned && !o.New && !o.ID.IsZero() && w.caller.Need.Owner {
		if o.Owned, err = w.owns(o.ID); err != nil {
			return err
		}
	}
	if refusal := w.caller.Need.Decide(w.caller.Access, rights, o); refusal != nil {
		return denied(refusal)
	}
	return nil
}

// allowAt decides whether the caller may do an action of the resource manager at
// a scope of the tenant.
func (w *writer) allowAt(t directory.TenantID, action, scope string) error {
	w.decided = true
	if w.caller.Access == nil {
		return nil
	}
	rights, err := w.rights()
	if err != nil {
		return err
	}
	if w.caller.Access.Tenant != t {
		return problem.Newf(problem.NotFound, "", "there is no such resource in this tenant")
	}
	if refusal := access.Resource(rights, action, scope); refusal != nil {
		return problem.Wrap(problem.Denied, refusal,
			"The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			w.caller.Access.Client, w.caller.Access.Principal, action, scope)
	}
	return nil
}

// owns reports whether the caller is an owner of the object.
func (w *writer) owns(object directory.ObjectID) (bool, error) {
	owners, err := w.tx.Links(w.caller.Access.Tenant, directory.OwnerRelation, object)
	if err != nil {
		return false, fmt.Errorf("reading owners: %w", err)
	}
	for _, o := range owners {
		if o.ID == w.caller.Access.Principal {
			return true, nil
		}
	}
	return false, nil
}

// rights are the caller's, read once in each transaction. A caller that is
// gone or disabled since its token was issued is refused here.
func (w *writer) rights() (*access.Rights, error) {
	if w.held != nil {
		return w.held, nil
	}
	c := w.caller.Access
	if err := w.present(c); err != nil {
		return nil, err
	}
	groups, err := w.groupsOf(c.Tenant, c.Principal)
	if err != nil && problem.KindOf(err) != problem.Limit {
		return nil, err
	}
	// Of too many groups some go uncounted, and their rights with them. To refuse
	// the caller instead would let whoever makes groups lock an administrator out
	// by putting him in them.
	held, err := w.rightsThrough(c.Tenant, c.Principal, groups)
	if err != nil {
		return nil, err
	}
	w.held = held
	return held, nil
}

// ErrCallerGone is wrapped by the problem that refuses a caller whose token is
// good but who is not in the directory any more, or disabled.
var ErrCallerGone = errors.New("the caller is gone")

func (w *writer) present(c *access.Caller) error {
	gone := func(what string) error {
		return problem.Wrap(problem.Denied, ErrCallerGone, "The caller's %s was deleted or disabled; its tokens are worth nothing any more.", what)
	}
	if c.User {
		u, err := found(w.tx.User(c.Tenant, c.Principal))
		if err != nil {
			return fmt.Errorf("finding the caller: %w", err)
		}
		if u == nil || u.Disabled {
			return gone("user")
		}
		w.caller.Actor.Name = u.UPN
		return nil
	}
	p, err := found(w.tx.Principal(c.Tenant, c.Principal))
	if err != nil {
		return fmt.Errorf("finding the caller: %w", err)
	}
	if p == nil || p.Disabled || p.ClientID != c.Client {
		return gone("service principal")
	}
	// An application ends where its owner ends it, wherever it is provisioned.
	if p.Kind == directory.ApplicationPrincipal && !w.firstParty(p) {
		app, err := found(w.tx.ApplicationByClientID(p.ClientID))
		if err != nil {
			return fmt.Errorf("finding the caller's application: %w", err)
		}
		if app == nil || app.Disabled || app.Tenant != c.Tenant && !app.Audience.ForeignTenants() {
			return gone("application")
		}
	}
	w.caller.Actor.Name = p.Name
	return nil
}

func (w *writer) firstParty(p *directory.ServicePrincipal) bool {
	for _, fp := range w.cloud.FirstParties() {
		if fp.ClientID == p.ClientID {
			return true
		}
	}
	return false
}

// mostGroups bounds the walk through groups in groups.
const mostGroups = 1000

// groupsOf lists the groups that the object is in, through groups in groups. Of
// more than mostGroups it lists as many, the nearest, beside the refusal.
func (w *writer) groupsOf(t directory.TenantID, object directory.ObjectID) ([]directory.ObjectID, error) {
	seen := map[directory.ObjectID]bool{object: true}
	var groups []directory.ObjectID
	for next := []directory.ObjectID{object}; len(next) > 0; {
		member := next[0]
		next = next[1:]
		in, err := w.tx.LinkedBy(t, directory.MemberRelation, member)
		if err != nil {
			return nil, fmt.Errorf("reading group memberships: %w", err)
		}
		for _, g := range in {
			if seen[g] {
				continue
			}
			if len(groups) == mostGroups {
				return groups, problem.Newf(problem.Limit, "", "%s is in more than %d groups", object, mostGroups)
			}
			seen[g] = true
			groups, next = append(groups, g), append(next, g)
		}
	}
	return groups, nil
}

// rightsOf reads what a principal holds, by itself and through its groups.
func (w *writer) rightsOf(t directory.TenantID, principal directory.ObjectID) (*access.Rights, error) {
	groups, err := w.groupsOf(t, principal)
	if err != nil {
		return nil, err
	}
	return w.rightsThrough(t, principal, groups)
}

func (w *writer) rightsThrough(t directory.TenantID, principal directory.ObjectID, groups []directory.ObjectID) (*access.Rights, error) {
	r := &access.Rights{}
	for _, id := range append([]directory.ObjectID{principal}, groups...) {
		roles, err := w.tx.RoleAssignmentsOf(t, id)
		if err != nil {
			return nil, fmt.Errorf("reading directory roles: %w", err)
		}
		for _, a := range roles {
			r.Roles = append(r.Roles, access.HeldRole{Role: a.Role, Scope: a.Scope})
		}
		azure, err := w.tx.AzureAssignmentsOf(t, id)
		if err != nil {
			return nil, fmt.Errorf("reading role assignments: %w", err)
		}
		for _, a := range azure {
			r.Assignments = append(r.Assignments, access.HeldAssignment{Role: a.Role, Scope: a.Scope})
		}
	}
	graph, err := found(w.tx.PrincipalByClientID(t, directory.GraphClientID))
	if err != nil {
		return nil, fmt.Errorf("finding Microsoft Graph: %w", err)
	}
	if graph == nil {
		return r, nil
	}
	assigned, err := w.tx.AssignmentsOf(t, principal)
	if err != nil {
		return nil, fmt.Errorf("reading app role assignments: %w", err)
	}
	for _, a := range assigned {
		if a.Principal == principal && a.Resource == graph.ID {
			if role, ok := directory.GraphAppRole(a.Role); ok {
				r.AppRoles = append(r.AppRoles, role.Value)
			}
		}
	}
	return r, nil
}
