package manage

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
)

// mayLend is mayBecome for whatever holds a credential. Managed identities are
// the resource manager's, which decides for itself.
func (w *writer) mayLend(p parent) error {
	if w.caller.Access == nil || p.kind != "application" {
		return nil
	}
	a, err := w.tx.Application(p.tenant, p.id)
	if err != nil {
		return fmt.Errorf("finding application: %w", err)
	}
	return w.mayBecome(a)
}

// mayBecome refuses callers who would climb by a new credential of the
// application: whoever adds one, or makes somebody an owner who can, can act as
// it from then on (design decision 16, threats X10).
func (w *writer) mayBecome(a *directory.Application) error {
	if w.caller.Access == nil || w.climbing {
		return nil
	}
	held, err := w.heldBy(a)
	if err != nil {
		return err
	}
	rights, err := w.rights()
	if err != nil {
		return err
	}
	if refusal := access.Climbs(w.caller.Access, rights, held); refusal != nil {
		return denied(refusal)
	}
	return nil
}

// heldBy is what the application holds in its home tenant, or would hold again
// if its deleted service principal was restored.
func (w *writer) heldBy(a *directory.Application) (*access.Held, error) {
	held := &access.Held{}
	home, err := found(w.tx.PrincipalByClientID(a.Tenant, a.ClientID))
	if err != nil {
		return nil, fmt.Errorf("finding service principal: %w", err)
	}
	if home != nil {
		rights, err := w.rightsOf(a.Tenant, home.ID)
		if err != nil {
			return nil, err
		}
		held.Roles, held.Assignments = rights.Roles, rights.Assignments
		groups, err := w.groupsOf(a.Tenant, home.ID)
		if err != nil {
			return nil, err
		}
		for _, id := range append([]directory.ObjectID{home.ID}, groups...) {
			assigned, err := w.tx.AssignmentsOf(a.Tenant, id)
			if err != nil {
				return nil, fmt.Errorf("reading app role assignments: %w", err)
			}
			if err := w.holdRoles(held, id, assigned); err != nil {
				return nil, err
			}
		}
	}
	deleted, err := w.tx.DeletedWith(a.ClientID)
	if err != nil {
		return nil, fmt.Errorf("reading deleted objects: %w", err)
	}
	for _, d := range deleted {
		if d.Tenant != a.Tenant || d.Kind != directory.PrincipalObject {
			continue
		}
		var record deletedPrincipal
		if err := json.Unmarshal(d.Record, &record); err != nil {
			return nil, fmt.Errorf("reading deleted service principal %s: %w", d.ID, err)
		}
		for _, r := range record.Roles {
			held.Roles = append(held.Roles, access.HeldRole{Role: r.Role, Scope: r.Scope})
		}
		for _, r := range record.Azure {
			held.Assignments = append(held.Assignments, access.HeldAssignment{Role: r.Role, Scope: r.Scope})
		}
		if err := w.holdRoles(held, d.ID, record.Assignments); err != nil {
			return nil, err
		}
		for _, group := range record.Groups {
			rights, err := w.rightsOf(a.Tenant, group)
			if err != nil {
				return nil, err
			}
			held.Roles = append(held.Roles, rights.Roles...)
			held.Assignments = append(held.Assignments, rights.Assignments...)
		}
	}
	return held, nil
}

// holdRoles adds the app roles among the assignments that the principal holds.
func (w *writer) holdRoles(held *access.Held, principal directory.ObjectID, assigned []directory.AppRoleAssignment) error {
	for _, x := range assigned {
		if x.Principal != principal {
			continue
		}
		resource, err := found(w.tx.Principal(x.Tenant, x.Resource))
		if err != nil {
			return fmt.Errorf("finding resource: %w", err)
		}
		if resource == nil {
			continue // gone, and the role with it
		}
		role := access.HeldAppRole{Resource: resource.Name, Graph: resource.ClientID == directory.GraphClientID, Value: x.Role.String()}
		if r, ok := directory.GraphAppRole(x.Role); ok && role.Graph {
			role.Value = r.Value
		} else if app, err := found(w.tx.ApplicationByClientID(resource.ClientID)); err != nil {
			return fmt.Errorf("finding application: %w", err)
		} else if app != nil {
			for _, r := range app.AppRoles {
				if r.ID == x.Role {
					role.Value = r.Value
				}
			}
		}
		held.AppRoles = append(held.AppRoles, role)
	}
	return nil
}

// keyAdded reports whether the application gains a key, or one of its keys
// becomes another.
func keyAdded(before, after *directory.Application) bool {
	return slices.ContainsFunc(after.Keys, func(k directory.KeyCredential) bool {
		return !slices.ContainsFunc(before.Keys, func(old directory.KeyCredential) bool {
			return old.ID == k.ID && slices.Equal(old.Certificate, k.Certificate) && old.NotAfter.Equal(k.NotAfter) && old.NotBefore.Equal(k.NotBefore)
		})
	})
}
