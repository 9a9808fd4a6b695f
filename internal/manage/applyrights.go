package manage

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// people makes the users and groups of every tenant match the entries; members
// of groups come later, when everything that they may name exists.
func (a *applying) people() error {
	for _, t := range a.work {
		if err := a.users(t); err != nil {
			return err
		}
		if err := a.groups(t); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) users(t *tenantWork) error {
	list := t.entry.Users
	if !list.Set {
		return nil
	}
	w := a.w
	stored, err := w.tx.SelectUsers(t.id, directory.Selection{})
	if err != nil {
		return fmt.Errorf("reading users: %w", err)
	}
	pairs, unlisted := pairUp(list.Items, stored,
		matcher[config.User, directory.User]{
			func(e *config.User) []string { return ids("id=" + e.ID.V.String()) },
			func(u *directory.User) []string { return ids("id=" + u.ID.String()) },
		},
		matcher[config.User, directory.User]{
			func(e *config.User) []string { return []string{strings.ToLower(e.UPN)} },
			func(u *directory.User) []string { return []string{strings.ToLower(u.UPN)} },
		})
	for _, u := range unlisted {
		if err := w.removeUser(u); err != nil {
			return err
		}
	}
	for _, p := range pairs {
		e := p.entry
		after := directory.User{Tenant: t.id, UPN: e.UPN, Name: e.Name.Or(e.UPN), Disabled: e.Disabled.V}
		if p.stored == nil {
			after.ID, after.Created = w.objectID(e.ID), w.now
		} else {
			stable(a, e.Node, "id", "user "+e.UPN, e.ID, p.stored.ID)
			after = *p.stored
			after.UPN, after.Name, after.Disabled = e.UPN, e.Name.Or(after.Name), e.Disabled.Or(after.Disabled)
		}
		if err := a.report(e.Node, w.putUser(p.stored, &after)); err != nil {
			return err
		}
	}
	return nil
}

// putUser creates a user, or updates the one before.
func (w *writer) putUser(before, after *directory.User) error {
	if before != nil && len(compare(userFields(before), userFields(after))) == 0 {
		return nil
	}
	if err := w.validUser(after); err != nil {
		return err
	}
	c := change{op: Create, tenant: after.Tenant, target: w.userTarget(after), after: userFields(after)}
	write := w.tx.InsertUser
	if before != nil {
		c.op, c.before, write = Update, userFields(before), w.tx.UpdateUser
	}
	if err := write(after); err != nil {
		return conflict(err, "user", after.UPN)
	}
	return w.record(c)
}

func (w *writer) removeUser(u *directory.User) error {
	if err := w.strip(u.Tenant, u.ID); err != nil {
		return err
	}
	if err := w.tx.DeleteUser(u.Tenant, u.ID); err != nil {
		return fmt.Errorf("deleting user: %w", err)
	}
	return w.record(change{op: Delete, tenant: u.Tenant, target: w.userTarget(u), before: userFields(u)})
}

func (a *applying) groups(t *tenantWork) error {
	list := t.entry.Groups
	if !list.Set {
		return nil
	}
	w := a.w
	stored, err := w.tx.SelectGroups(t.id, directory.Selection{})
	if err != nil {
		return fmt.Errorf("reading groups: %w", err)
	}
	pairs, unlisted := pairUp(list.Items, stored,
		matcher[config.Group, directory.Group]{
			func(e *config.Group) []string { return ids("id=" + e.ID.V.String()) },
			func(g *directory.Group) []string { return ids("id=" + g.ID.String()) },
		},
		matcher[config.Group, directory.Group]{
			func(e *config.Group) []string { return []string{e.Name} },
			func(g *directory.Group) []string { return []string{g.Name} },
		})
	for _, p := range pairs {
		if p.stored == nil && !p.entry.ID.Set && slices.ContainsFunc(unlisted, func(g *directory.Group) bool { return g.Name == p.entry.Name }) {
			a.errs = append(a.errs, &config.Error{Pos: p.entry.At("id"), Kind: problem.Conflict, Message: "is needed: several groups are named " + p.entry.Name})
		}
	}
	if len(a.errs) > 0 {
		return nil
	}
	for _, g := range unlisted {
		if err := w.removeGroup(g); err != nil {
			return err
		}
	}
	for _, p := range pairs {
		e := p.entry
		after := directory.Group{Tenant: t.id, Name: e.Name, RoleAssignable: e.RoleAssignable.V}
		if p.stored == nil {
			after.ID, after.Created = w.objectID(e.ID), w.now
		} else {
			stable(a, e.Node, "id", "group "+e.Name, e.ID, p.stored.ID)
			if e.RoleAssignable.Set && e.RoleAssignable.V != p.stored.RoleAssignable {
				a.errs = append(a.errs, &config.Error{Pos: e.At("roleAssignable"), Kind: problem.Invalid, Message: "never changes; delete the group first to make a new one"})
			}
			after = *p.stored
			after.Name = e.Name
		}
		if err := a.report(e.Node, w.putGroup(p.stored, &after)); err != nil {
			return err
		}
		t.groups = append(t.groups, pair[config.Group, directory.Group]{e, &after})
	}
	return nil
}

func (w *writer) putGroup(before, after *directory.Group) error {
	if before != nil && len(compare(groupFields(before), groupFields(after))) == 0 {
		return nil
	}
	if err := validPersonName(after.Name); err != nil {
		return within(err, "")
	}
	c := change{op: Create, tenant: after.Tenant, target: w.groupTarget(after), after: groupFields(after)}
	write := w.tx.InsertGroup
	if before != nil {
		c.op, c.before, write = Update, groupFields(before), w.tx.UpdateGroup
	}
	if err := write(after); err != nil {
		return conflict(err, "group", after.Name)
	}
	return w.record(c)
}

func (w *writer) removeGroup(g *directory.Group) error {
	if err := w.strip(g.Tenant, g.ID); err != nil {
		return err
	}
	if err := w.tx.DeleteGroup(g.Tenant, g.ID); err != nil {
		return fmt.Errorf("deleting group: %w", err)
	}
	return w.record(change{op: Delete, tenant: g.Tenant, target: w.groupTarget(g), before: groupFields(g)})
}

// links makes the members of groups and the owners of applications match.
func (a *applying) links() error {
	for _, t := range a.work {
		for _, p := range t.groups {
			if err := a.linksOf(t, directory.MemberRelation, p.stored.ID, "members", p.entry.Node, p.entry.Members); err != nil {
				return err
			}
		}
		for _, p := range t.apps {
			if err := a.linksOf(t, directory.OwnerRelation, p.stored.ID, "owners", p.entry.Node, p.entry.Owners); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *applying) linksOf(t *tenantWork, relation directory.Relation, object directory.ObjectID, key string, at config.Node, list config.List[string]) error {
	if !list.Set {
		return nil
	}
	w := a.w
	stored, err := w.tx.Links(t.id, relation, object)
	if err != nil {
		return fmt.Errorf("reading %s: %w", key, err)
	}
	wanted := make(map[directory.ObjectID]directory.Reference)
	for i, ref := range list.Items {
		target, err := w.principalReferred(t.id, ref, fmt.Sprintf("%s[%d]", key, i))
		if err != nil {
			if err := a.report(at, err); err != nil {
				return err
			}
			continue
		}
		wanted[target.ID] = target
	}
	for _, s := range stored {
		if _, keep := wanted[s.ID]; keep {
			delete(wanted, s.ID)
			continue
		}
		if err := w.unlink(t.id, relation, object, s.ID); err != nil {
			return err
		}
	}
	missing := slices.SortedFunc(maps.Values(wanted), func(x, y directory.Reference) int { return strings.Compare(x.ID.String(), y.ID.String()) })
	for _, target := range missing {
		if err := w.link(t.id, relation, object, target); err != nil {
			return err
		}
	}
	return nil
}

// directoryRoles makes the assignments of directory roles match.
func (a *applying) directoryRoles() error {
	w := a.w
	for _, t := range a.work {
		list := t.entry.DirectoryRoleAssignments
		if !list.Set {
			continue
		}
		wanted := make(map[string]directory.RoleAssignment)
		var order []string
		for i := range list.Items {
			x, err := a.roleAssignment(t.id, &list.Items[i])
			if err != nil {
				if err := a.report(list.Items[i].Node, err); err != nil {
					return err
				}
				continue
			}
			if _, twice := wanted[x.ID]; !twice {
				order = append(order, x.ID)
			}
			wanted[x.ID] = x
		}
		if len(a.errs) > 0 {
			continue
		}
		stored, err := w.tx.RoleAssignments(t.id)
		if err != nil {
			return fmt.Errorf("reading directory roles: %w", err)
		}
		for i := range stored {
			if _, keep := wanted[stored[i].ID]; keep {
				delete(wanted, stored[i].ID)
			} else if err := w.unassignRole(&stored[i]); err != nil {
				return err
			}
		}
		for _, id := range order {
			if x, missing := wanted[id]; missing {
				if err := w.assignRole(&x); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (a *applying) roleAssignment(t directory.TenantID, e *config.DirectoryRoleAssignment) (x directory.RoleAssignment, err error) {
	principal, err := a.w.principalReferred(t, e.Principal, "principal")
	if err != nil {
		return x, err
	}
	var names []string
	x = directory.RoleAssignment{Tenant: t, Principal: principal.ID}
	for _, r := range access.BuiltinRoles() {
		if names = append(names, r.Name); r.Name == e.Role {
			x.Role = r.TemplateID
		}
	}
	if x.Role.IsZero() {
		return x, problem.Newf(problem.NotFound, "role", "there is no directory role %q; there are %s.%s", e.Role, strings.Join(names, ", "), near(e.Role, names))
	}
	if principal.Kind == directory.GroupObject {
		g, err := a.w.tx.Group(t, principal.ID)
		if err != nil {
			return x, fmt.Errorf("finding group: %w", err)
		}
		if !g.RoleAssignable {
			return x, problem.Newf(problem.Invalid, "principal", "group %s may not hold directory roles; make it with roleAssignable: true", g.Name)
		}
	}
	if e.Application.Set {
		app, err := a.w.applicationNamed(t, e.Application.V)
		if err != nil {
			return x, err
		}
		if app == nil {
			return x, problem.Newf(problem.NotFound, "application", "the tenant has no application %q", e.Application.V)
		}
		x.Scope = app.ID
	}
	x.ID = directory.RoleAssignmentID(x.Role, x.Principal, x.Scope)
	return x, nil
}

// azureRoles makes the assignments of roles on resources match.
func (a *applying) azureRoles() error {
	w := a.w
	type key struct {
		principal, role directory.ObjectID
		scope           string
	}
	for _, t := range a.work {
		list := t.entry.RoleAssignments
		if !list.Set {
			continue
		}
		tenant, err := w.tx.Tenant(t.id)
		if err != nil {
			return fmt.Errorf("reading tenant: %w", err)
		}
		wanted := make(map[key]directory.AzureAssignment)
		var order []key
		for i := range list.Items {
			x, err := a.azureAssignment(tenant, &list.Items[i])
			if err != nil {
				if err := a.report(list.Items[i].Node, err); err != nil {
					return err
				}
				continue
			}
			k := key{x.Principal, x.Role, strings.ToLower(x.Scope)}
			if _, twice := wanted[k]; !twice {
				order = append(order, k)
			}
			wanted[k] = x
		}
		if len(a.errs) > 0 {
			continue
		}
		stored, err := w.tx.AzureAssignments(t.id)
		if err != nil {
			return fmt.Errorf("reading role assignments: %w", err)
		}
		for i := range stored {
			k := key{stored[i].Principal, stored[i].Role, strings.ToLower(stored[i].Scope)}
			if _, keep := wanted[k]; keep {
				delete(wanted, k)
			} else if err := w.unassignAzure(&stored[i]); err != nil {
				return err
			}
		}
		for _, k := range order {
			if x, missing := wanted[k]; missing {
				x.ID = w.newObjectID()
				if err := w.assignAzure(&x); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (a *applying) azureAssignment(tenant *directory.Tenant, e *config.RoleAssignment) (x directory.AzureAssignment, err error) {
	principal, err := a.w.principalReferred(tenant.ID, e.Principal, "principal")
	if err != nil {
		return x, err
	}
	scope := "/subscriptions/" + tenant.Subscription.String()
	switch {
	case e.ResourceGroup.Set:
		scope += "/resourceGroups/" + e.ResourceGroup.V
	case e.Scope.Set:
		own := strings.ToLower(scope)
		stated := strings.TrimSuffix(e.Scope.V, "/")
		if lower := strings.ToLower(stated); e.Scope.V != "/" && lower != own && !strings.HasPrefix(lower, own+"/") {
			return x, problem.Newf(problem.Invalid, "scope", "must be / or lie in the tenant's subscription: %s/…", scope)
		}
		if scope = stated; scope == "" {
			scope = "/"
		}
	}
	x = directory.AzureAssignment{
		Tenant: tenant.ID, Scope: scope, Principal: principal.ID, PrincipalKind: principal.Kind, Created: a.w.now, Updated: a.w.now,
	}
	var names []string
	for _, r := range access.AzureRoles() {
		if names = append(names, r.Name); r.Name == e.Role {
			x.Role = r.ID
		}
	}
	if x.Role.IsZero() {
		return x, problem.Newf(problem.NotFound, "role", "there is no role %q; there are %s.%s", e.Role, strings.Join(names, ", "), near(e.Role, names))
	}
	return x, nil
}
