package manage

import (
	"context"
	"fmt"
	"strings"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// The operator's user in every tenant: whom the platform's own user acts as when
// he calls the management APIs.
const (
	operatorName   = "operator"
	operatorDomain = ".avouch.invalid" // for tenants without a domain; a name nobody can register (RFC 6761)
)

// Operator returns the user that stands for the platform's own user in a tenant,
// and makes it the tenant's administrator if it is not: Global Administrator in
// the directory, Owner of the subscription. It is the first administrator, and
// the way back when the last one is lost; nobody reaches it but through the
// control socket (threats X13). What it changes is recorded like any change.
func (s *Service) Operator(ctx context.Context, caller Caller, t directory.TenantID) (*directory.User, error) {
	var user *directory.User
	attempt := audit.Change{Tenant: t, Action: "administer", High: true, Target: audit.Target{Kind: "tenant", ID: t.String()}}
	_, err := s.change(ctx, attempt, false, caller, func(w *writer) error {
		tenant, err := w.tx.Tenant(t)
		if err != nil {
			return fmt.Errorf("finding tenant: %w", err)
		}
		domain := tenant.Name + operatorDomain
		if len(tenant.Domains) > 0 {
			domain = tenant.Domains[0]
		}
		upn := operatorName + "@" + domain
		if user, err = found(w.tx.UserByUPN(t, upn)); err != nil {
			return fmt.Errorf("finding the operator's user: %w", err)
		}
		target := func(kind, id, name string) audit.Target {
			return audit.Target{Kind: kind, ID: id, Name: w.name(t, name)}
		}
		if user == nil {
			user = &directory.User{Tenant: t, ID: w.newObjectID(), Name: "Operator of the platform", UPN: upn, Created: w.now}
			if err := w.tx.InsertUser(user); err != nil {
				return conflict(err, "user", upn)
			}
			if err := w.record(change{op: Create, tenant: t, high: true, target: target("user", user.ID.String(), upn), after: []field{
				textField("id", user.ID.String()), textField("userPrincipalName", upn),
			}}); err != nil {
				return err
			}
		}
		if user.Disabled {
			enabled := *user
			enabled.Disabled = false
			if err := w.tx.UpdateUser(&enabled); err != nil {
				return conflict(err, "user", upn)
			}
			if err := w.record(change{op: Update, tenant: t, high: true, target: w.userTarget(user), before: userFields(user), after: userFields(&enabled)}); err != nil {
				return err
			}
			user = &enabled
		}
		// What he holds through groups others can take away.
		held, err := w.rightsThrough(t, user.ID, nil)
		if err != nil {
			return err
		}
		if !holdsRole(held, access.GlobalAdministrator) {
			a := &directory.RoleAssignment{Tenant: t, ID: directory.RoleAssignmentID(access.GlobalAdministrator, user.ID, directory.ObjectID{}), Principal: user.ID, Role: access.GlobalAdministrator}
			if err := w.tx.InsertRoleAssignment(a); err != nil {
				return conflict(err, "role assignment", a.ID)
			}
			if err := w.record(change{op: Create, tenant: t, high: true, target: target("directoryRoleAssignment", a.ID, upn+": Global Administrator"), after: []field{
				textField("principal", upn), textField("role", "Global Administrator"),
			}}); err != nil {
				return err
			}
		}
		scope := "/subscriptions/" + tenant.Subscription.String()
		if access.Resource(held, "Microsoft.Authorization/roleAssignments/write", scope) == nil {
			return nil
		}
		a := &directory.AzureAssignment{
			Tenant: t, ID: w.newObjectID(), Scope: scope, Role: access.AzureOwner, Principal: user.ID,
			PrincipalKind: directory.UserObject, Created: w.now, Updated: w.now,
		}
		if err := w.tx.PutAzureAssignment(a); err != nil {
			return conflict(err, "role assignment", a.ID.String())
		}
		return w.record(change{op: Create, tenant: t, high: true, target: target("roleAssignment", a.ID.String(), upn+": Owner"), after: []field{
			textField("principal", upn), textField("role", "Owner"), textField("scope", scope),
		}})
	})
	return user, err
}

// mayBeCalled refuses callers of an API to name a user as the operator's: whom
// Operator finds by that name, it makes the tenant's administrator.
func (w *writer) mayBeCalled(upn string) error {
	local, _, _ := strings.Cut(upn, "@")
	if w.caller.Access == nil || !strings.EqualFold(local, operatorName) {
		return nil
	}
	return problem.Newf(problem.Invalid, "userPrincipalName", "%s@… is the name of the user that stands for the operator of the platform: take another name", operatorName)
}

func holdsRole(r *access.Rights, role directory.ObjectID) bool {
	for _, h := range r.Roles {
		if h.Role == role && h.Scope.IsZero() {
			return true
		}
	}
	return false
}
