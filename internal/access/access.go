// Package access decides whether a caller may do something to an object: by
// the scopes of his token, his app roles, his directory roles, his Azure role
// assignments, or because the object is his. Everything here is a pure function
// of its arguments: no clock, no network, no storage. What is not granted is
// refused, and the zero value of every type grants nothing.
//
// Objects are taken to be of the caller's own tenant: whoever looks them up
// compares the tenants first (threats X1, X4).
package access

import (
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

// Caller is whom a verified access token speaks for.
type Caller struct {
	Tenant    directory.TenantID
	Principal directory.ObjectID // a user's or a service principal's object id
	User      bool               // delegated: a user acts through Client
	Client    directory.ClientID
	Scopes    []string // of a delegated token
}

// known reports whether the caller is anybody at all.
func (c *Caller) known() bool { return !c.Tenant.IsZero() && !c.Principal.IsZero() }

// Rights are what the directory says the caller holds at this moment,
// memberships of groups included. They are never read from a token, so that
// what was taken away stops working at once.
type Rights struct {
	Roles       []HeldRole       // directory roles
	AppRoles    []string         // values of its app roles on Microsoft Graph
	Assignments []HeldAssignment // Azure role assignments
}

// HeldRole is a directory role, held in the whole tenant or over one object.
type HeldRole struct {
	Role  directory.ObjectID // template id
	Scope directory.ObjectID // of one application; zero: the whole tenant
}

// HeldAssignment is an Azure role, held at a scope and everywhere below it.
type HeldAssignment struct {
	Role  directory.ObjectID // name of the role definition
	Scope string
}

// allows reports whether a directory role lets the caller do the action to the
// object; an object without an id asks for the whole tenant. Whoever may create
// things that he then owns may create a new one: there, and nowhere else,
// "create" asks no more than "createAsOwner" gives.
func (r *Rights) allows(action string, o Object) bool {
	return slices.ContainsFunc(r.Roles, func(h HeldRole) bool {
		return (h.Scope.IsZero() || h.Scope == o.ID) &&
			(Allowed(h.Role, action) || o.New && creates(action) && Allowed(h.Role, action+"AsOwner"))
	})
}

func creates(action string) bool { return strings.HasSuffix(action, "/create") }
func reads(action string) bool   { return strings.HasSuffix(action, "/read") }

// accessAsUser is the scope that lets a client do whatever its user may. The
// Azure CLI and the admin center hold it.
const accessAsUser = "Directory.AccessAsUser.All"

// hasScope reports whether a delegated token carries one of the scopes.
func (c *Caller) hasScope(anyOf []string) bool {
	return slices.ContainsFunc(c.Scopes, func(s string) bool { return s == accessAsUser || slices.Contains(anyOf, s) })
}

// Permission is what a Graph operation asks of its caller; each route states
// one. The values come from the permission table of the operation in the
// reference of Microsoft Graph (reference/graph.md, 8.2).
type Permission struct {
	Delegated   []string // scopes of which a user's token needs one; none: not for users
	Application []string // app roles of which an application needs one
	Action      string   // what a directory role must allow, e.g. "microsoft.directory/applications/credentials/update"
	Owner       bool     // whoever owns the object may too: a user with the scope, an application with an …OwnedBy app role
	Self        bool     // the object itself may too, when it is the user
	Member      bool     // every member user may by default
}

// Object is what an operation concerns, as seen by the caller. For a part of an
// object, such as a credential, it is the whole object.
type Object struct {
	ID    directory.ObjectID // zero for a list
	Owned bool               // by the caller
	Self  bool               // the caller is the object
	New   bool               // being created; never for a new part of an existing object
}

// Decide says whether the caller may; nil means yes. A user needs the scope in
// his token and the right in the directory, so that neither a mighty client of
// a modest user nor a modest client of a mighty user goes beyond itself. An
// application needs an app role or a directory role (reference/graph.md, 8.2;
// the reference of Microsoft Graph, "Overview of permissions").
//
// An app role ending in .OwnedBy reaches the objects that the application owns,
// on operations that state Owner. It also reaches every read that does not, and
// what is being created. A read is an Action ending in /read and a creation one
// ending in /create, so that a write which forgets to state Owner is refused.
func (p Permission) Decide(c *Caller, r *Rights, o Object) *Refusal {
	switch {
	case !c.known():
		return &Refusal{Reason: CallerUnknown, Mend: "call with an access token of a user or an application of this tenant"}
	case c.User:
		return p.decideUser(c, r, o)
	}
	return p.decideApplication(r, o)
}

func (p Permission) decideUser(c *Caller, r *Rights, o Object) *Refusal {
	// Step 1: What may the client do in the user's name?
	switch {
	case len(p.Delegated) == 0:
		refusal := p.refuse(ApplicationsOnly)
		refusal.Mend = "call with an application's own token"
		return refusal
	case !c.hasScope(p.Delegated):
		refusal := p.refuse(ScopeMissing)
		refusal.Mend = "ask for a token with the scope " + modest(p.Delegated) + " of Microsoft Graph"
		return refusal
	}

	// Step 2: What may the user do?
	if r.allows(p.Action, o) || p.Owner && o.Owned || p.Self && o.Self || p.Member {
		return nil
	}
	refusal := p.refuse(RoleMissing)
	var mends []string
	if len(refusal.Roles) > 0 {
		mends = append(mends, "assign the directory role "+refusal.Roles[0])
	}
	if p.Owner && !o.New {
		mends = append(mends, "make the user an owner of the object")
	}
	if p.Self {
		mends = append(mends, "let the user himself do it")
	}
	refusal.Mend = strings.Join(mends, ", or ")
	return refusal
}

func (p Permission) decideApplication(r *Rights, o Object) *Refusal {
	reachesNothing := false
	for _, value := range p.Application {
		switch {
		case !slices.Contains(r.AppRoles, value):
			continue
		case !ownedBy(value),
			p.Owner && o.Owned,
			!p.Owner && reads(p.Action),
			o.New && creates(p.Action):
			return nil
		}
		reachesNothing = p.Owner
	}
	if r.allows(p.Action, o) {
		return nil
	}
	if len(p.Application) == 0 && p.Action == "" {
		refusal := p.refuse(UsersOnly)
		refusal.Mend = "call with a token that acts for a user"
		return refusal
	}
	refusal := p.refuse(AppRoleMissing)
	var mends []string
	if reachesNothing {
		refusal.Reason = NotOwner
		mends = append(mends, "make the application an owner of the object")
	}
	if len(p.Application) > 0 {
		mends = append(mends, "grant app role "+modest(p.Application)+" on Microsoft Graph")
	}
	if len(refusal.Roles) > 0 {
		mends = append(mends, "assign the directory role "+refusal.Roles[0])
	}
	refusal.Mend = strings.Join(mends, ", or ")
	return refusal
}

func (p Permission) refuse(reason Reason) *Refusal {
	return &Refusal{
		Reason: reason, Action: p.Action,
		Scopes: slices.Clone(p.Delegated), AppRoles: slices.Clone(p.Application), Roles: rolesAllowing(p.Action),
	}
}

func ownedBy(value string) bool { return strings.HasSuffix(value, ".OwnedBy") }

// modest is the value to propose: routes list the most modest first, but what
// reaches only owned objects may not be enough for this one.
func modest(values []string) string {
	if i := slices.IndexFunc(values, func(v string) bool { return !ownedBy(v) }); i >= 0 {
		return values[i]
	}
	return values[0]
}
