package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// DirectoryRoles lists the built-in directory roles, the most modest first.
func (s *Service) DirectoryRoles(ctx context.Context, caller Caller, t directory.TenantID) ([]access.Role, error) {
	err := s.read(ctx, caller, func(w *writer) error { return w.allow(t, access.Object{}) })
	if err != nil {
		return nil, err
	}
	return access.BuiltinRoles(), nil
}

// DirectoryRole finds a built-in directory role; NotFound when there is none.
func (s *Service) DirectoryRole(ctx context.Context, caller Caller, t directory.TenantID, id directory.ObjectID) (*access.Role, error) {
	if err := s.read(ctx, caller, func(w *writer) error { return w.allow(t, access.Object{}) }); err != nil {
		return nil, err
	}
	role, ok := access.RoleByTemplate(id)
	if !ok {
		return nil, absent(id.String())
	}
	return &role, nil
}

// RoleMembers lists who holds a directory role in the whole tenant, itself and
// not through a group.
func (s *Service) RoleMembers(ctx context.Context, caller Caller, t directory.TenantID, role directory.ObjectID) ([]DirectoryObject, error) {
	var all []DirectoryObject
	err := s.read(ctx, caller, func(w *writer) error {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		if _, ok := access.RoleByTemplate(role); !ok {
			return absent(role.String())
		}
		assigned, err := w.tx.RoleAssignments(t)
		if err != nil {
			return fmt.Errorf("reading role assignments: %w", err)
		}
		var ids []directory.ObjectID
		for _, a := range assigned {
			if a.Role == role && a.Scope.IsZero() {
				ids = append(ids, a.Principal)
			}
		}
		sortIDs(ids)
		all, err = w.objects(t, ids, nil)
		return err
	})
	return all, err
}

// RoleAssignments lists the directory role assignments of one principal, or of
// the whole tenant when it is zero, in the order of ids.
func (s *Service) RoleAssignments(ctx context.Context, caller Caller, t directory.TenantID, principal directory.ObjectID) ([]directory.RoleAssignment, error) {
	var all []directory.RoleAssignment
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		if principal.IsZero() {
			all, err = w.tx.RoleAssignments(t)
		} else {
			all, err = w.tx.RoleAssignmentsOf(t, principal)
		}
		if err != nil {
			return fmt.Errorf("reading role assignments: %w", err)
		}
		slices.SortFunc(all, func(a, b directory.RoleAssignment) int {
			switch {
			case a.ID < b.ID:
				return -1
			case a.ID > b.ID:
				return 1
			}
			return 0
		})
		return nil
	})
	return all, err
}

// RoleAssignment finds a directory role assignment; NotFound when there is none.
func (s *Service) RoleAssignment(ctx context.Context, caller Caller, t directory.TenantID, id string) (*directory.RoleAssignment, error) {
	var a *directory.RoleAssignment
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		a, err = w.roleAssignment(t, id)
		return err
	})
	return a, err
}

func (w *writer) roleAssignment(t directory.TenantID, id string) (*directory.RoleAssignment, error) {
	_, principal, _, ok := directory.ParseRoleAssignmentID(id)
	if !ok {
		return nil, absent(id)
	}
	held, err := w.tx.RoleAssignmentsOf(t, principal)
	if err != nil {
		return nil, fmt.Errorf("reading role assignments: %w", err)
	}
	if i := slices.IndexFunc(held, func(a directory.RoleAssignment) bool { return a.ID == id }); i >= 0 {
		return &held[i], nil
	}
	return nil, absent(id)
}

// AssignRole gives a built-in directory role to a user, a service principal or
// a group that roles may be assigned to, over the whole tenant or, when scope
// is not zero, over one application or service principal. What is held already
// is Invalid.
func (s *Service) AssignRole(ctx context.Context, caller Caller, t directory.TenantID, role, principal, scope directory.ObjectID) (*directory.RoleAssignment, error) {
	var a *directory.RoleAssignment
	name := principal.String() + ": " + role.String()
	_, err := s.change(ctx, attempt(Create, t, "directoryRoleAssignment", "", name, true), false, caller, func(w *writer) error {
		// Over the whole tenant, also for a scope: who holds a role over one
		// application gives it to nobody.
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		a = &directory.RoleAssignment{Tenant: t, ID: directory.RoleAssignmentID(role, principal, scope), Principal: principal, Role: role, Scope: scope}
		return w.assignRole(a)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// assignRole gives a directory role; the assignment is complete but unchecked.
func (w *writer) assignRole(a *directory.RoleAssignment) error {
	if _, ok := access.RoleByTemplate(a.Role); !ok {
		return problem.Newf(problem.Invalid, "roleDefinitionId", "names no role: custom roles are not offered, write the template id of a built-in one")
	}
	holder, err := w.object(a.Tenant, a.Principal, directory.UserObject, directory.GroupObject, directory.PrincipalObject)
	if err != nil {
		return err
	}
	if holder == nil {
		return absent(a.Principal.String())
	}
	if holder.Group != nil && !holder.Group.RoleAssignable {
		return problem.Newf(problem.Invalid, "principalId", "The group is not enabled for role assignments: make one with isAssignableToRole set to true.")
	}
	if !a.Scope.IsZero() {
		over, err := w.object(a.Tenant, a.Scope, directory.ApplicationObject, directory.PrincipalObject)
		if err != nil {
			return err
		}
		if over == nil {
			return absent(a.Scope.String())
		}
	}
	err = w.tx.InsertRoleAssignment(a)
	if errors.Is(err, directory.ErrConflict) {
		return problem.Newf(problem.Invalid, "", "A conflicting object with one or more of the specified property values is present in the directory.")
	}
	if err != nil {
		return fmt.Errorf("writing a role assignment: %w", err)
	}
	return w.recordRole(Create, a)
}

// UnassignRole takes a directory role assignment away; NotFound when there is
// none. The last Global Administrator may go too: the platform's operator can
// make another.
func (s *Service) UnassignRole(ctx context.Context, caller Caller, t directory.TenantID, id string) error {
	_, err := s.change(ctx, attempt(Delete, t, "directoryRoleAssignment", audit.Clip(id), audit.Clip(id), true), false, caller, func(w *writer) error {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		a, err := w.roleAssignment(t, id)
		if err != nil {
			return err
		}
		return w.unassignRole(a)
	})
	return err
}

func (w *writer) unassignRole(a *directory.RoleAssignment) error {
	// Recorded first, while the names can still be found.
	if err := w.recordRole(Delete, a); err != nil {
		return err
	}
	if err := w.tx.DeleteRoleAssignment(a.Tenant, a.ID); err != nil {
		return fmt.Errorf("deleting a role assignment: %w", err)
	}
	return nil
}

func (w *writer) recordRole(op Op, a *directory.RoleAssignment) error {
	principal, role := a.Principal.String(), a.Role.String()
	o, err := w.object(a.Tenant, a.Principal)
	if err != nil {
		return err
	}
	if o != nil {
		principal = o.name()
	}
	if r, ok := access.RoleByTemplate(a.Role); ok {
		role = r.Name
	}
	fields := []field{
		textField("principal", principal), textField("role", role),
		textField("principalId", a.Principal.String()), textField("roleDefinitionId", a.Role.String()), textField("scopeId", a.Scope.String()),
	}
	c := change{op: op, tenant: a.Tenant, high: true, target: audit.Target{
		Kind: "directoryRoleAssignment", ID: a.ID, Name: w.name(a.Tenant, principal) + ": " + role,
	}}
	if op == Delete {
		c.before = fields
	} else {
		c.after = fields
	}
	return w.record(c)
}
