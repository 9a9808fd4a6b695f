package manage

import (
	"context"
	"fmt"
	"slices"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// AppRoleAssignment is an app role assignment with its parties.
type AppRoleAssignment struct {
	directory.AppRoleAssignment
	PrincipalName string
	ResourceName  string
}

// grantsGraphRoles is what it takes to give an app role of Microsoft Graph
// away: no application administrator may (the reference of the built-in roles,
// Application Administrator).
var grantsGraphRoles = access.Permission{
	Delegated:   []string{"AppRoleAssignment.ReadWrite.All"},
	Application: []string{"AppRoleAssignment.ReadWrite.All"},
	Action:      "microsoft.directory/servicePrincipals/managePermissionGrantsForAll.microsoft-company-admin",
}

// roleOffered finds an app role that a resource offers; nil when there is none.
func (w *writer) roleOffered(resource *directory.ServicePrincipal, id directory.ObjectID) (*directory.AppRole, error) {
	for _, fp := range w.cloud.FirstParties() {
		if fp.ClientID == resource.ClientID {
			if i := slices.IndexFunc(fp.AppRoles, func(r directory.AppRole) bool { return r.ID == id }); i >= 0 {
				return &fp.AppRoles[i], nil
			}
			return nil, nil
		}
	}
	app, err := found(w.tx.ApplicationByClientID(resource.ClientID))
	if err != nil {
		return nil, fmt.Errorf("finding application: %w", err)
	}
	if app == nil {
		return nil, nil
	}
	if i := slices.IndexFunc(app.AppRoles, func(r directory.AppRole) bool { return r.ID == id }); i >= 0 {
		return &app.AppRoles[i], nil
	}
	return nil, nil
}

// AppRoleAssignments lists what a service principal was granted or, when
// granted is false, what of it was granted to others, in the order of ids.
func (s *Service) AppRoleAssignments(ctx context.Context, caller Caller, t directory.TenantID, key Key, granted bool) ([]AppRoleAssignment, error) {
	var all []AppRoleAssignment
	err := s.read(ctx, caller, func(w *writer) (err error) {
		all, err = w.appRoleAssignments(t, key, granted)
		return err
	})
	return all, err
}

func (w *writer) appRoleAssignments(t directory.TenantID, key Key, granted bool) ([]AppRoleAssignment, error) {
	p, err := w.allowedPrincipalWith(t, key)
	if err != nil {
		return nil, err
	}
	party := p.ID
	assigned, err := w.tx.AssignmentsOf(t, party)
	if err != nil {
		return nil, fmt.Errorf("reading app role assignments: %w", err)
	}
	assigned = slices.DeleteFunc(assigned, func(a directory.AppRoleAssignment) bool {
		return granted && a.Principal != party || !granted && a.Resource != party
	})
	var ids []directory.ObjectID
	for _, a := range assigned {
		ids = append(ids, a.Principal, a.Resource)
	}
	parties, err := w.objects(t, ids, []directory.ObjectKind{directory.PrincipalObject})
	if err != nil {
		return nil, err
	}
	names := make(map[directory.ObjectID]string, len(parties))
	for _, p := range parties {
		names[p.Principal.ID] = p.Principal.Name
	}
	all := make([]AppRoleAssignment, len(assigned))
	for i, a := range assigned {
		all[i] = AppRoleAssignment{a, names[a.Principal], names[a.Resource]}
	}
	return all, nil
}

// AppRoleAssignment finds one of those that AppRoleAssignments lists; NotFound
// when there is none.
func (s *Service) AppRoleAssignment(ctx context.Context, caller Caller, t directory.TenantID, key Key, granted bool, id directory.ObjectID) (*AppRoleAssignment, error) {
	var hit *AppRoleAssignment
	err := s.read(ctx, caller, func(w *writer) (err error) {
		hit, err = w.appRoleAssignment(t, key, granted, id)
		return err
	})
	return hit, err
}

func (w *writer) appRoleAssignment(t directory.TenantID, key Key, granted bool, id directory.ObjectID) (*AppRoleAssignment, error) {
	all, err := w.appRoleAssignments(t, key, granted)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(a AppRoleAssignment) bool { return a.ID == id })
	if i < 0 {
		return nil, absent(id.String())
	}
	return &all[i], nil
}

// AssignAppRole grants an app role of a resource to a service principal. Key is
// one of the two: the principal when granted is true, else the resource. Both
// stand in the tenant, and the role is one that the resource offers to
// applications; what is granted already is Invalid. To give away what Microsoft
// Graph offers takes more than the route states.
func (s *Service) AssignAppRole(ctx context.Context, caller Caller, t directory.TenantID, key Key, granted bool, principal, resource, role directory.ObjectID) (*AppRoleAssignment, error) {
	var made AppRoleAssignment
	name := principal.String() + ": " + role.String() + " of " + resource.String()
	_, err := s.change(ctx, attempt(Create, t, "appRoleAssignment", "", name, true), false, caller, func(w *writer) error {
		named, err := w.allowedPrincipalWith(t, key)
		if err != nil {
			return err
		}
		if granted && named.ID != principal || !granted && named.ID != resource {
			return problem.Newf(problem.Invalid, "", "The service principal of the address, %s, must be the principalId of an assignment that it is granted, and the resourceId of one that it grants.", named.ID)
		}
		r, err := w.allowedPrincipalWith(t, Key{ID: resource})
		if err != nil {
			return err
		}
		if err := w.mayGiveRoleOf(r); err != nil {
			return err
		}
		holder, err := w.object(t, principal)
		if err != nil {
			return err
		}
		switch {
		case holder == nil:
			return problem.Newf(problem.Invalid, "principalId", "Not a valid reference update: no object of this tenant has the id %s.", principal)
		case holder.Principal == nil:
			return problem.Newf(problem.Invalid, "principalId", "%s is a %s: app roles are granted to service principals here", principal, holder.Reference().Kind)
		}
		offered, err := w.roleOffered(r, role)
		if err != nil {
			return err
		}
		if offered == nil || offered.Members != nil && !slices.Contains(offered.Members, "Application") {
			return problem.Newf(problem.Invalid, "", "Permission being assigned was not found on application '%s'.", r.ClientID)
		}
		if offered.Disabled {
			return problem.Newf(problem.Invalid, "", "Permission being assigned is disabled on application '%s': enable the app role first.", r.ClientID)
		}
		held, err := w.tx.AssignmentsOf(t, principal)
		if err != nil {
			return fmt.Errorf("reading app role assignments: %w", err)
		}
		if slices.ContainsFunc(held, func(a directory.AppRoleAssignment) bool {
			return a.Principal == principal && a.Resource == resource && a.Role == role
		}) {
			return problem.Newf(problem.Invalid, "", "Permission being assigned already exists on the object")
		}
		if err := w.assign(t, principal, resource, role); err != nil {
			return err
		}
		if held, err = w.tx.AssignmentsOf(t, principal); err != nil {
			return fmt.Errorf("reading app role assignments: %w", err)
		}
		for _, a := range held {
			if a.Principal == principal && a.Resource == resource && a.Role == role {
				made = AppRoleAssignment{a, holder.Principal.Name, r.Name}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

// UnassignAppRole takes away one of those that AppRoleAssignments lists;
// NotFound when there is none.
func (s *Service) UnassignAppRole(ctx context.Context, caller Caller, t directory.TenantID, key Key, granted bool, id directory.ObjectID) error {
	_, err := s.change(ctx, attempt(Delete, t, "appRoleAssignment", id.String(), id.String(), true), false, caller, func(w *writer) error {
		a, err := w.appRoleAssignment(t, key, granted, id)
		if err != nil {
			return err
		}
		r, err := w.tx.Principal(t, a.Resource)
		if err != nil {
			return fmt.Errorf("finding resource: %w", err)
		}
		if err := w.mayGiveRoleOf(r); err != nil {
			return err
		}
		return w.unassign(a.AppRoleAssignment)
	})
	return err
}

// mayGiveRoleOf refuses callers who may not grant app roles of Microsoft Graph,
// if the resource is that.
func (w *writer) mayGiveRoleOf(resource *directory.ServicePrincipal) error {
	if w.caller.Access == nil || resource.ClientID != directory.GraphClientID {
		return nil
	}
	return w.allowAs(resource.Tenant, grantsGraphRoles)
}
