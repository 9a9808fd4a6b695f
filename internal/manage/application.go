package manage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// applicationFields are the application's, with what its home tenant says of its
// service principal; home is nil when there is none.
func applicationFields(a *directory.Application, home *directory.ServicePrincipal) []field {
	version := ""
	if a.TokenVersion != 0 {
		version = fmt.Sprint(int(a.TokenVersion))
	}
	fields := []field{
		textField("id", a.ID.String()),
		textField("clientId", a.ClientID.String()),
		textField("name", a.Name),
		textField("uniqueName", a.UniqueName),
		textField("signInAudience", string(a.Audience)),
		listField("identifierUris", slices.Sorted(slices.Values(a.IdentifierURIs))),
		{"requestedAccessTokenVersion", int(a.TokenVersion), version},
		flagField("disabled", a.Disabled),
		flagField("assignmentRequired", home != nil && home.AssignmentRequired),
	}
	roles := slices.SortedFunc(slices.Values(a.AppRoles), func(x, y directory.AppRole) int {
		if x.Value < y.Value {
			return -1
		}
		return 1
	})
	for _, r := range roles {
		text := r.DisplayName
		if r.Description != "" {
			text += " (" + r.Description + ")"
		}
		if r.Disabled {
			text += " [disabled]"
		}
		name := "appRoles[" + r.Value + "]"
		fields = append(fields, textField(name+".id", r.ID.String()), field{name, map[string]any{
			"displayName": r.DisplayName, "description": r.Description, "disabled": r.Disabled,
		}, text})
		if r.Members != nil {
			fields = append(fields, listField(name+".allowedMemberTypes", r.Members))
		}
	}
	for _, s := range a.Scopes {
		text := fmt.Sprintf("%s %s (%s, %s; %s, %s)", s.ID, s.Kind, s.AdminConsentDisplayName, s.AdminConsentDescription, s.UserConsentDisplayName, s.UserConsentDescription)
		if s.Disabled {
			text += " [disabled]"
		}
		fields = append(fields, field{"scopes[" + s.Value + "]", s, text})
	}
	for _, k := range a.Keys {
		text := fmt.Sprintf("%s %s until %s", k.Name, k.Thumbprint, k.NotAfter.UTC().Format(time.RFC3339))
		fields = append(fields, field{"keys[" + k.ID.String() + "]", map[string]any{
			"displayName": k.Name, "thumbprint": k.Thumbprint, "startDateTime": k.NotBefore, "endDateTime": k.NotAfter,
		}, text})
	}
	return append(fields, keptFields(a.Kept)...)
}

func (w *writer) applicationTarget(a *directory.Application) audit.Target {
	return audit.Target{Kind: "application", ID: a.ID.String(), Name: w.name(a.Tenant, a.Name)}
}

// applicationNamed is the application of the tenant with the name; nil when
// there is none. Names need not be unique: where several have it, a Conflict
// lists them.
func (w *writer) applicationNamed(t directory.TenantID, name string) (*directory.Application, error) {
	same, err := w.tx.ApplicationsNamed(t, name)
	if err != nil {
		return nil, fmt.Errorf("finding application: %w", err)
	}
	switch len(same) {
	case 0:
		return nil, nil
	case 1:
		return &same[0], nil
	}
	var candidates []string
	for _, a := range same {
		candidates = append(candidates, a.ClientID.String())
	}
	return nil, problem.Newf(problem.Conflict, "application", "tenant %s has several applications named %q; name one by its client id: %s", w.name(t), name, strings.Join(candidates, ", "))
}

// nameFree refuses a name that another application of the tenant has. Files need
// it: they refer to applications by name.
func (w *writer) nameFree(a *directory.Application) error {
	same, err := w.tx.ApplicationsNamed(a.Tenant, a.Name)
	if err != nil {
		return fmt.Errorf("finding application: %w", err)
	}
	for _, other := range same {
		if other.ID != a.ID {
			return problem.Newf(problem.Conflict, "name", "application %s exists in tenant %s with the id %s; application names are unique in a tenant", a.Name, w.name(a.Tenant), other.ID)
		}
	}
	return nil
}

// validApplication checks the application on its own and against the others of
// its tenant.
func (w *writer) validApplication(a *directory.Application, home directory.ObjectID) error {
	if err := validKept(a.Kept, mostKept); err != nil {
		return err
	}
	if err := directory.ValidateDisplayName("name", a.Name); err != nil {
		return err
	}
	if _, ok := directory.ParseAudience(string(a.Audience)); !ok {
		return problem.Newf(problem.Invalid, "signInAudience", "%q is not a sign-in audience", a.Audience)
	}
	seen := make(map[string]bool, len(a.IdentifierURIs))
	for i, uri := range a.IdentifierURIs {
		target := fmt.Sprintf("identifierUris[%d]", i)
		if err := directory.ValidateIdentifierURI(target, uri); err != nil {
			return err
		}
		if seen[uri] {
			return problem.Newf(problem.Invalid, target, "%s is listed twice", uri)
		}
		seen[uri] = true
	}
	values, ids := make(map[string]bool, len(a.AppRoles)), make(map[directory.ObjectID]bool, len(a.AppRoles))
	for i := range a.AppRoles {
		r := &a.AppRoles[i]
		at := fmt.Sprintf("appRoles[%d].", i)
		if err := r.Validate(); err != nil {
			return within(err, at)
		}
		if values[r.Value] {
			return problem.Newf(problem.Conflict, at+"value", "%s is the value of another app role of this application", r.Value)
		}
		if ids[r.ID] {
			return problem.Newf(problem.Conflict, at+"id", "%s is the id of another app role of this application", r.ID)
		}
		values[r.Value], ids[r.ID] = true, true
	}
	if a.UniqueName != "" {
		same, err := w.tx.SelectApplications(a.Tenant, directory.Selection{UniqueName: a.UniqueName})
		if err != nil {
			return fmt.Errorf("finding application: %w", err)
		}
		if len(same) > 0 && same[0].ID != a.ID {
			return problem.Newf(problem.Conflict, "uniqueName", "%s is the unique name of another application of this tenant", a.UniqueName)
		}
	}
	for i, uri := range a.IdentifierURIs {
		// One without a service principal holds no names yet.
		same, err := w.tx.SelectApplications(a.Tenant, directory.Selection{Alias: uri})
		if err != nil {
			return fmt.Errorf("finding application: %w", err)
		}
		for _, other := range same {
			if other.ID != a.ID {
				return problem.Newf(problem.Conflict, fmt.Sprintf("identifierUris[%d]", i), "%s already belongs to %s in tenant %s; identifier URIs are unique in a tenant", uri, other.Name, w.name(a.Tenant))
			}
		}
	}
	return w.freeNames(a.Tenant, home, a.IdentifierURIs)
}

// homeOf is a new service principal of the application in its home tenant.
func (w *writer) homeOf(a *directory.Application, assignmentRequired bool) *directory.ServicePrincipal {
	return &directory.ServicePrincipal{
		Tenant: a.Tenant, ID: w.newObjectID(), ClientID: a.ClientID, Kind: directory.ApplicationPrincipal, Name: a.Name,
		HomeTenant: a.Tenant, Names: namesOf(a), AssignmentRequired: assignmentRequired, Created: a.Created,
	}
}

// ensureHome makes the application's service principal in its home tenant where
// it lacks one: files describe applications that have theirs.
func (w *writer) ensureHome(a *directory.Application, assignmentRequired *bool) error {
	home, err := found(w.tx.PrincipalByClientID(a.Tenant, a.ClientID))
	if err != nil {
		return fmt.Errorf("finding service principal: %w", err)
	}
	if home != nil {
		return nil
	}
	if err := w.freeNames(a.Tenant, directory.ObjectID{}, a.IdentifierURIs); err != nil {
		return err
	}
	home = w.homeOf(a, assignmentRequired != nil && *assignmentRequired)
	return w.createHome(home)
}

func (w *writer) createHome(home *directory.ServicePrincipal) error {
	if err := w.insertPrincipal(home); err != nil {
		return err
	}
	return w.record(change{op: Create, tenant: home.Tenant, high: true, target: w.principalTarget(home), after: principalFields(home)})
}

// createApplication makes the application and, unless home is nil, its service
// principal in the home tenant.
func (w *writer) createApplication(a *directory.Application, home *directory.ServicePrincipal) error {
	if err := w.validApplication(a, directory.ObjectID{}); err != nil {
		return err
	}
	if err := w.clientIDFree(a.ClientID, "clientId"); err != nil {
		return err
	}
	if err := w.tx.InsertApplication(a); err != nil {
		return conflict(err, "application", a.Name)
	}
	if home != nil {
		if err := w.insertPrincipal(home); err != nil {
			return err
		}
	}
	return w.record(change{op: Create, tenant: a.Tenant, target: w.applicationTarget(a), after: applicationFields(a, home)})
}

// namesOf is what a resource is asked for by, in every tenant.
func namesOf(a *directory.Application) []string {
	return append([]string{a.ClientID.String()}, a.IdentifierURIs...)
}

// updateApplication writes what changed, and keeps the service principals of
// every tenant in step: their names follow, and assignments of app roles that
// are gone are deleted. assignmentRequired nil leaves the home tenant's as it is.
func (w *writer) updateApplication(before, after *directory.Application, assignmentRequired *bool) error {
	principals, err := w.tx.PrincipalsOf(before.ClientID)
	if err != nil {
		return fmt.Errorf("reading service principals: %w", err)
	}
	var home, newHome *directory.ServicePrincipal // nil when there is none
	var homeID directory.ObjectID
	if i := slices.IndexFunc(principals, func(p directory.ServicePrincipal) bool { return p.Tenant == after.Tenant }); i >= 0 {
		home = &principals[i]
		homeID = home.ID
		moved := *home
		newHome = &moved
		if assignmentRequired != nil {
			newHome.AssignmentRequired = *assignmentRequired
		}
	}
	old, now := applicationFields(before, home), applicationFields(after, newHome)
	if len(compare(old, now)) == 0 {
		return nil
	}
	if err := w.validApplication(after, homeID); err != nil {
		return err
	}
	moreKeys := keyAdded(before, after)
	if moreKeys {
		if err := w.mayBecome(after); err != nil {
			return err
		}
	}
	if err := w.revokeRoles(before, after, principals); err != nil {
		return err
	}
	if err := w.tx.UpdateApplication(after); err != nil {
		return conflict(err, "application", after.Name)
	}
	if err := w.record(change{op: Update, tenant: after.Tenant, high: moreKeys, target: w.applicationTarget(after), before: old, after: now}); err != nil {
		return err
	}
	for _, p := range principals {
		moved := p
		if p.Tenant == after.Tenant {
			moved = *newHome
		}
		moved.Name, moved.Names = after.Name, namesOf(after)
		if err := w.followApplication(&p, &moved, after); err != nil {
			return err
		}
	}
	return nil
}

// followApplication brings one service principal in step with its application.
func (w *writer) followApplication(before, after *directory.ServicePrincipal, a *directory.Application) error {
	if before.Name == after.Name && before.AssignmentRequired == after.AssignmentRequired && sameSet(before.Names, after.Names) {
		return nil
	}
	foreign := after.Tenant != a.Tenant
	if foreign {
		for i, uri := range a.IdentifierURIs {
			holder, err := w.holderOf(after.Tenant, uri)
			if err != nil {
				return err
			}
			if holder != nil && holder.ID != after.ID {
				// Who holds it there is not told: that is another tenant's business.
				// Nor is the tenant, to callers of an API, whose own tenant keeps the refusal.
				where := "tenant " + w.name(after.Tenant)
				if w.caller.Access != nil {
					where = "another tenant"
				}
				return problem.Newf(problem.Conflict, fmt.Sprintf("identifierUris[%d]", i), "%s is already in use in %s, where this application is provisioned; use another URI", uri, where)
			}
		}
	}
	if err := w.updatePrincipal(after); err != nil {
		return err
	}
	if !foreign {
		return nil // recorded with the application
	}
	return w.record(change{
		op: Update, tenant: after.Tenant, target: w.provisionedTarget(after),
		before: principalFields(before), after: principalFields(after),
	})
}

// revokeRoles deletes the assignments of app roles that the application is
// about to lose, in every tenant.
func (w *writer) revokeRoles(before, after *directory.Application, principals []directory.ServicePrincipal) error {
	kept := make(map[directory.ObjectID]bool)
	for _, r := range after.AppRoles {
		kept[r.ID] = true
	}
	gone := make(map[directory.ObjectID]bool)
	for _, r := range before.AppRoles {
		if !kept[r.ID] {
			gone[r.ID] = true
		}
	}
	if len(gone) == 0 {
		return nil
	}
	for _, p := range principals {
		all, err := w.tx.AssignmentsOf(p.Tenant, p.ID)
		if err != nil {
			return fmt.Errorf("reading app role assignments: %w", err)
		}
		for _, a := range all {
			if a.Resource == p.ID && gone[a.Role] {
				if err := w.unassign(a); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// deleteApplication deletes the application, its credentials, its service
// principal in the home tenant and the assignments of that. Service principals
// in other tenants stay theirs; the token service refuses them.
func (w *writer) deleteApplication(a *directory.Application) error {
	p := parent{tenant: a.Tenant, id: a.ID, kind: "application", name: w.name(a.Tenant, a.Name)}
	if err := w.deleteCredentials(p); err != nil {
		return err
	}
	home, err := found(w.tx.PrincipalByClientID(a.Tenant, a.ClientID))
	if err != nil {
		return fmt.Errorf("finding service principal: %w", err)
	}
	if home != nil {
		if err := w.removePrincipal(home); err != nil {
			return err
		}
	}
	if err := w.tx.DeleteLinks(a.Tenant, a.ID); err != nil {
		return fmt.Errorf("deleting owners: %w", err)
	}
	if err := w.tx.DeleteApplication(a.Tenant, a.ID); err != nil {
		return fmt.Errorf("deleting application: %w", err)
	}
	return w.record(change{op: Delete, tenant: a.Tenant, target: w.applicationTarget(a), before: applicationFields(a, home)})
}

// within puts the path of the surrounding field before a problem's target.
func within(err error, path string) error {
	if p, ok := err.(*problem.Error); ok {
		moved := *p
		moved.Target = path + p.Target
		return &moved
	}
	return err
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
