package manage

import (
	"context"
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

// What is told apart in the refusals of role assignments.
var (
	ErrNoRole           = errors.New("no such role definition")
	ErrNoPrincipal      = errors.New("no such principal")
	ErrPrincipalKind    = errors.New("the principal is of another kind")
	ErrAssignmentExists = errors.New("the role is assigned already")
	ErrAssignmentFixed  = errors.New("only description and condition of a role assignment can be changed")
	ErrNoAssignment     = errors.New("no such role assignment")
)

// AzureScope is where roles on resources are assigned: the text is "/" or a
// resource id in one spelling but for case, whose parts say which subscription
// and group it lies in.
type AzureScope struct {
	Text         string
	Subscription directory.ObjectID // zero for "/"
	Group        string             // "" above resource groups
}

// scopeWithin reports whether the scope is the base or lies below it. Resource ids
// compare without the case of ASCII letters.
func scopeWithin(scope, base string) bool {
	if base == "/" {
		return true
	}
	scope, base = foldScope(scope), foldScope(base)
	return scope == base || strings.HasPrefix(scope, base+"/")
}

func foldScope(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// decideScope is the first step of every operation at a scope.
func (w *writer) decideScope(t directory.TenantID, action string, at AzureScope) error {
	if !at.Subscription.IsZero() {
		if _, err := w.subscription(t, at.Subscription); err != nil {
			return err
		}
	}
	return w.allowAt(t, action, at.Text)
}

// DecideAzure says whether the caller may do the action at the scope.
func (s *Service) DecideAzure(ctx context.Context, caller Caller, t directory.TenantID, action string, at AzureScope) error {
	return s.read(ctx, caller, func(w *writer) error { return w.decideScope(t, action, at) })
}

// AzureAssignmentQuery narrows a list of role assignments.
type AzureAssignmentQuery struct {
	AtScope    bool               // those at the scope and above; otherwise those below too
	Principal  directory.ObjectID // only those of the principal itself
	AssignedTo directory.ObjectID // only those of the principal or of a group that it is in
}

// AzureAssignments lists the role assignments at the scope, those inherited from
// above and, unless the query says otherwise, those below.
func (s *Service) AzureAssignments(ctx context.Context, caller Caller, t directory.TenantID, action string, at AzureScope, q AzureAssignmentQuery) ([]directory.AzureAssignment, error) {
	var all []directory.AzureAssignment
	err := s.read(ctx, caller, func(w *writer) error {
		if err := w.decideScope(t, action, at); err != nil {
			return err
		}
		var err error
		if all, err = w.tx.AzureAssignments(t); err != nil {
			return fmt.Errorf("reading role assignments: %w", err)
		}
		var parties []directory.ObjectID
		if !q.AssignedTo.IsZero() {
			if parties, err = w.groupsOf(t, q.AssignedTo); err != nil {
				return err
			}
			parties = append(parties, q.AssignedTo)
		}
		all = slices.DeleteFunc(all, func(a directory.AzureAssignment) bool {
			return !scopeWithin(at.Text, a.Scope) && (q.AtScope || !scopeWithin(a.Scope, at.Text)) ||
				!q.Principal.IsZero() && a.Principal != q.Principal ||
				parties != nil && !slices.Contains(parties, a.Principal)
		})
		return nil
	})
	return all, err
}

// AzureAssignment returns the one with the name at the scope.
func (s *Service) AzureAssignment(ctx context.Context, caller Caller, t directory.TenantID, action string, at AzureScope, id directory.ObjectID) (*directory.AzureAssignment, error) {
	var a *directory.AzureAssignment
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.decideScope(t, action, at); err != nil {
			return err
		}
		if a, err = found(w.tx.AzureAssignment(t, at.Text, id)); err != nil {
			return fmt.Errorf("finding role assignment: %w", err)
		}
		if a == nil {
			return problem.Wrap(problem.NotFound, ErrNoAssignment, "The role assignment '%s' is not found.", id)
		}
		return nil
	})
	return a, err
}

func azureAssignmentFields(a *directory.AzureAssignment) []field {
	role := a.Role.String()
	if def, ok := access.AzureRoleByID(a.Role); ok {
		role = def.Name
	}
	return []field{
		textField("id", a.ID.String()), textField("scope", a.Scope), textField("role", role), textField("roleId", a.Role.String()),
		textField("principalId", a.Principal.String()), textField("principalType", string(a.PrincipalKind)), resourceField(a.Kept),
	}
}

func (w *writer) azureAssignmentTarget(a *directory.AzureAssignment) audit.Target {
	role := a.Role.String()
	if def, ok := access.AzureRoleByID(a.Role); ok {
		role = def.Name
	}
	return audit.Target{Kind: "roleAssignment", ID: a.ID.String(), Name: w.name(a.Tenant, a.Principal.String()) + ": " + role}
}

// principalKind finds what the object is that a role is to be assigned to.
func (w *writer) principalKind(t directory.TenantID, id directory.ObjectID) (directory.ObjectKind, error) {
	p, err := found(w.tx.Principal(t, id))
	if err != nil {
		return "", fmt.Errorf("finding service principal: %w", err)
	}
	if p != nil {
		return directory.PrincipalObject, nil
	}
	u, err := found(w.tx.User(t, id))
	if err != nil {
		return "", fmt.Errorf("finding user: %w", err)
	}
	if u != nil {
		return directory.UserObject, nil
	}
	g, err := found(w.tx.Group(t, id))
	if err != nil {
		return "", fmt.Errorf("finding group: %w", err)
	}
	if g != nil {
		return directory.GroupObject, nil
	}
	return "", problem.Wrap(problem.Invalid, ErrNoPrincipal,
		"Principal %s does not exist in the directory %s. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
		strings.ReplaceAll(id.String(), "-", ""), t)
}

// PutAzureAssignment assigns a role at a scope and reports whether it made the
// assignment. Of one that exists only what is kept can be changed. The kind of
// principal may be left out; it is refused when it is wrong. Times and authors
// are set here.
func (s *Service) PutAzureAssignment(ctx context.Context, caller Caller, t directory.TenantID, action string, at AzureScope, a directory.AzureAssignment) (*directory.AzureAssignment, bool, error) {
	var after directory.AzureAssignment
	created := false
	attempt := audit.Change{Tenant: t, Action: string(Create), High: true, Target: audit.Target{Kind: "roleAssignment", ID: a.ID.String(), Name: at.Text + ": " + a.Principal.String()}}
	_, err := s.change(ctx, attempt, false, caller, func(w *writer) error {
		created = false
		// Step 1: Decide.
		if err := w.decideScope(t, action, at); err != nil {
			return err
		}
		// Step 2: Check what it names.
		if at.Group != "" {
			if _, err := w.group(t, at.Group); err != nil {
				return err
			}
		}
		after = a
		after.Tenant, after.Scope = t, at.Text
		if err := w.validAzureAssignment(&after); err != nil {
			return err
		}
		// Step 3: Compare with what is assigned.
		all, err := w.tx.AzureAssignments(t)
		if err != nil {
			return fmt.Errorf("reading role assignments: %w", err)
		}
		author := directory.ObjectID{}
		if caller.Access != nil {
			author = caller.Access.Principal
		}
		for i := range all {
			before := &all[i]
			same := foldScope(before.Scope) == foldScope(at.Text) && before.Role == a.Role && before.Principal == a.Principal
			switch {
			case before.ID == a.ID && same:
				after = *before
				after.Kept, after.Updated, after.UpdatedBy = a.Kept, w.now, author
				old, now := azureAssignmentFields(before), azureAssignmentFields(&after)
				if len(compare(old, now)) == 0 {
					after = *before
					return nil
				}
				if err := w.tx.PutAzureAssignment(&after); err != nil {
					return conflict(err, "role assignment", a.ID.String())
				}
				return w.record(change{op: Update, tenant: t, high: true, target: w.azureAssignmentTarget(&after), before: old, after: now})
			case before.ID == a.ID:
				return problem.Wrap(problem.Invalid, ErrAssignmentFixed, "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.")
			case same:
				return problem.Wrap(problem.Conflict, ErrAssignmentExists, "The role assignment already exists. The ID of the existing role assignment is %s.", strings.ReplaceAll(before.ID.String(), "-", ""))
			}
		}
		// Step 4: Write.
		created = true
		after.Created, after.Updated, after.CreatedBy, after.UpdatedBy = w.now, w.now, author, author
		return w.assignAzure(&after)
	})
	if err != nil {
		return nil, false, err
	}
	return &after, created, nil
}

// validAzureAssignment checks the role and the principal, and fills in the kind
// of principal where it is not stated.
func (w *writer) validAzureAssignment(a *directory.AzureAssignment) error {
	if _, ok := access.AzureRoleByID(a.Role); !ok {
		return problem.Wrap(problem.NotFound, ErrNoRole, "The specified role definition with ID '%s' does not exist.", a.Role)
	}
	kind, err := w.principalKind(a.Tenant, a.Principal)
	if err != nil {
		return err
	}
	if a.PrincipalKind != "" && a.PrincipalKind != kind {
		return problem.Wrap(problem.Invalid, ErrPrincipalKind, "The PrincipalId '%s' has type '%s', which is different from the specified PrincipalType '%s'.", a.Principal, kind, a.PrincipalKind)
	}
	a.PrincipalKind = kind
	return nil
}

// assignAzure assigns a role on resources.
func (w *writer) assignAzure(a *directory.AzureAssignment) error {
	if err := w.validAzureAssignment(a); err != nil {
		return err
	}
	if err := w.tx.PutAzureAssignment(a); err != nil {
		return conflict(err, "role assignment", a.ID.String())
	}
	return w.record(change{op: Create, tenant: a.Tenant, high: true, target: w.azureAssignmentTarget(a), after: azureAssignmentFields(a)})
}

// DeleteAzureAssignment takes a role away and returns what was assigned; nil
// when nothing was.
func (s *Service) DeleteAzureAssignment(ctx context.Context, caller Caller, t directory.TenantID, action string, at AzureScope, id directory.ObjectID) (*directory.AzureAssignment, error) {
	var gone *directory.AzureAssignment
	attempt := audit.Change{Tenant: t, Action: string(Delete), High: true, Target: audit.Target{Kind: "roleAssignment", ID: id.String(), Name: at.Text + ": " + id.String()}}
	_, err := s.change(ctx, attempt, false, caller, func(w *writer) (err error) {
		if err := w.decideScope(t, action, at); err != nil {
			return err
		}
		if gone, err = found(w.tx.AzureAssignment(t, at.Text, id)); err != nil {
			return fmt.Errorf("finding role assignment: %w", err)
		}
		if gone == nil {
			return nil
		}
		return w.unassignAzure(gone)
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// unassignAzure takes a role on resources away.
func (w *writer) unassignAzure(a *directory.AzureAssignment) error {
	if err := w.tx.DeleteAzureAssignment(a.Tenant, a.Scope, a.ID); err != nil {
		return fmt.Errorf("deleting role assignment: %w", err)
	}
	return w.record(change{op: Delete, tenant: a.Tenant, high: true, target: w.azureAssignmentTarget(a), before: azureAssignmentFields(a)})
}

// dropAzureAssignmentsWithin takes away the roles at a scope that is about to go
// and below it: whoever makes a resource of the same name later must not inherit
// them (threats X6).
func (w *writer) dropAzureAssignmentsWithin(t directory.TenantID, scope string) error {
	all, err := w.tx.AzureAssignments(t)
	if err != nil {
		return fmt.Errorf("reading role assignments: %w", err)
	}
	for i := range all {
		if scopeWithin(all[i].Scope, scope) {
			if err := w.unassignAzure(&all[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// KeptText makes a kept member of a text; nil for the empty text.
func KeptText(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return nil // a string always encodes
	}
	return raw
}
