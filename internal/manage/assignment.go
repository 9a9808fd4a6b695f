package manage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// assignmentIndex holds the assignments of one tenant by id.
type assignmentIndex struct {
	all map[directory.ObjectID]directory.AppRoleAssignment
}

func (x *assignmentIndex) add(a directory.AppRoleAssignment)    { x.all[a.ID] = a }
func (x *assignmentIndex) remove(a directory.AppRoleAssignment) { delete(x.all, a.ID) }

func (x *assignmentIndex) list() []directory.AppRoleAssignment {
	var list []directory.AppRoleAssignment
	for _, a := range x.all {
		list = append(list, a)
	}
	sortAssignments(list)
	return list
}

func sortAssignments(list []directory.AppRoleAssignment) {
	slices.SortFunc(list, func(a, b directory.AppRoleAssignment) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
}

// assignments are all of a tenant's, for whoever compares them all. Single
// writes ask for those of one party and keep the index in step if there is one.
func (w *writer) assignments(t directory.TenantID) (*assignmentIndex, error) {
	if index, ok := w.assigned[t]; ok {
		return index, nil
	}
	all, err := w.tx.Assignments(t)
	if err != nil {
		return nil, fmt.Errorf("reading app role assignments: %w", err)
	}
	index := &assignmentIndex{all: make(map[directory.ObjectID]directory.AppRoleAssignment, len(all))}
	for _, a := range all {
		index.add(a)
	}
	w.assigned[t] = index
	return index, nil
}

// assignmentNames are the parties and the role as people know them; an id
// stands in for what is gone.
type assignmentNames struct{ principal, resource, role string }

func (w *writer) assignmentNames(a directory.AppRoleAssignment) (assignmentNames, error) {
	n := assignmentNames{a.Principal.String(), a.Resource.String(), a.Role.String()}
	p, err := found(w.tx.Principal(a.Tenant, a.Principal))
	if err != nil {
		return n, fmt.Errorf("finding principal: %w", err)
	}
	if p != nil {
		n.principal = p.Name
	}
	r, err := found(w.tx.Principal(a.Tenant, a.Resource))
	if err != nil {
		return n, fmt.Errorf("finding resource: %w", err)
	}
	if r == nil {
		return n, nil
	}
	n.resource = r.Name
	offered, err := w.appRolesOf(r.ClientID)
	if err != nil {
		return n, fmt.Errorf("finding application: %w", err)
	}
	for _, role := range offered {
		if role.ID == a.Role {
			n.role = role.Value
		}
	}
	return n, nil
}

func (w *writer) recordAssignment(op Op, a directory.AppRoleAssignment) error {
	n, err := w.assignmentNames(a)
	if err != nil {
		return err
	}
	fields := []field{
		textField("principal", n.principal), textField("resource", n.resource), textField("role", n.role),
		textField("principalId", a.Principal.String()), textField("resourceId", a.Resource.String()), textField("appRoleId", a.Role.String()),
	}
	c := change{op: op, tenant: a.Tenant, high: true, target: audit.Target{
		Kind: "appRoleAssignment", ID: a.ID.String(),
		Name: w.name(a.Tenant, n.principal) + ": " + n.role + " of " + n.resource,
	}}
	if op == Delete {
		c.before = fields
	} else {
		c.after = fields
	}
	return w.record(c)
}

// assign gives a role of the resource to the principal; both are service
// principals of the tenant, the role is one of the resource's application.
func (w *writer) assign(t directory.TenantID, principal, resource, role directory.ObjectID) error {
	a := directory.AppRoleAssignment{
		Tenant: t, ID: w.newObjectID(), Principal: principal, Resource: resource, Role: role, Created: w.now,
	}
	if err := w.tx.InsertAssignment(&a); err != nil {
		if errors.Is(err, directory.ErrConflict) {
			return problem.Newf(problem.Conflict, "role", "the principal holds this app role already")
		}
		return fmt.Errorf("writing an app role assignment: %w", err)
	}
	if index, ok := w.assigned[t]; ok {
		index.add(a)
	}
	return w.recordAssignment(Create, a)
}

func (w *writer) unassign(a directory.AppRoleAssignment) error {
	// Recorded first, while the names can still be found.
	if err := w.recordAssignment(Delete, a); err != nil {
		return err
	}
	if err := w.tx.DeleteAssignment(a.Tenant, a.ID); err != nil {
		return fmt.Errorf("deleting an app role assignment: %w", err)
	}
	if index, ok := w.assigned[a.Tenant]; ok {
		index.remove(a)
	}
	return nil
}
