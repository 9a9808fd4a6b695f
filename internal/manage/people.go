package manage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// Limits of users and groups, in characters. Source: Microsoft Graph v1.0,
// resource types user and group.
const (
	maxPersonName = 256
	maxUPN        = 113
	maxUPNLocal   = 64
)

// absent is what a caller is told of an object that is not there, or not his
// tenant's. The target names it.
func absent(id string) error {
	return problem.Newf(problem.NotFound, audit.Clip(id), "there is no such object in this tenant")
}

func attempt(op Op, t directory.TenantID, kind, id, name string, high bool) audit.Change {
	return audit.Change{Tenant: t, Action: string(op), High: high, Target: audit.Target{Kind: kind, ID: id, Name: name}}
}

// keptFields are what an object keeps for its clients, as records show it.
func keptFields(k directory.Kept) []field {
	var fields []field
	for _, name := range slices.Sorted(keysOf(k)) {
		fields = append(fields, field{name, k[name], string(k[name])})
	}
	return fields
}

func keysOf(k directory.Kept) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range k {
			if !yield(name) {
				return
			}
		}
	}
}

// merged is what is kept after an update; a null member is taken away.
func merged(before, changes directory.Kept) directory.Kept {
	after := before
	for name, value := range changes {
		if string(value) == "null" {
			value = nil
		}
		after = after.With(name, value)
	}
	return after
}

// mostKept bounds what an object keeps for its clients, in bytes of JSON. A
// resource group keeps the plain resources in it too.
const (
	mostKept        = 256 << 10
	mostKeptInGroup = 1 << 20
)

func validKept(k directory.Kept, most int) error {
	size := 0
	for name, value := range k {
		size += len(name) + len(value)
	}
	if size > most {
		return problem.Newf(problem.Limit, "", "The size of the object has exceeded its limit. Please reduce the number of values and retry your request.")
	}
	return nil
}

func validPersonName(name string) error {
	switch n := utf8.RuneCountInString(name); {
	case strings.TrimSpace(name) == "":
		return problem.Newf(problem.Invalid, "displayName", "is required")
	case n > maxPersonName:
		return problem.Newf(problem.Invalid, "displayName", "has %d characters; at most %d are allowed", n, maxPersonName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return problem.Newf(problem.Invalid, "displayName", "holds control characters")
	}
	return nil
}

func userFields(u *directory.User) []field {
	return append([]field{
		textField("id", u.ID.String()),
		textField("displayName", u.Name),
		textField("userPrincipalName", u.UPN),
		flagField("disabled", u.Disabled),
	}, keptFields(u.Kept)...)
}

func (w *writer) userTarget(u *directory.User) audit.Target {
	return audit.Target{Kind: "user", ID: u.ID.String(), Name: w.name(u.Tenant, u.UPN)}
}

// validUser checks the user's names, and the principal name against the domains
// of the tenant and the other users. A tenant without a domain takes any.
func (w *writer) validUser(u *directory.User) error {
	if err := validKept(u.Kept, mostKept); err != nil {
		return err
	}
	if err := validPersonName(u.Name); err != nil {
		return err
	}
	local, domain, _ := strings.Cut(u.UPN, "@")
	outside := func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("'.-_!#^~", r))
	}
	switch {
	case u.UPN == "":
		return problem.Newf(problem.Invalid, "userPrincipalName", "is required")
	case len(u.UPN) > maxUPN || local == "" || len(local) > maxUPNLocal || strings.ContainsFunc(local, outside) || strings.HasSuffix(local, ".") ||
		directory.ValidateDomain("", strings.ToLower(domain)) != nil:
		return problem.Newf(problem.Invalid, "userPrincipalName", "is not a principal name such as ada@contoso.example")
	}
	tenant, err := w.tx.Tenant(u.Tenant)
	if err != nil {
		return fmt.Errorf("finding tenant: %w", err)
	}
	if len(tenant.Domains) > 0 && !slices.Contains(tenant.Domains, strings.ToLower(domain)) {
		return problem.Newf(problem.Invalid, "userPrincipalName", "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain names in your organization.")
	}
	other, err := found(w.tx.UserByUPN(u.Tenant, u.UPN))
	if err != nil {
		return fmt.Errorf("finding a user: %w", err)
	}
	if other != nil && other.ID != u.ID {
		return problem.Newf(problem.Invalid, "userPrincipalName", "Another object with the same value for property userPrincipalName already exists.")
	}
	return nil
}

// userReferred finds a user by object id or principal name; nil when there is none.
func (w *writer) userReferred(t directory.TenantID, ref string) (*directory.User, error) {
	var u *directory.User
	var err error
	if id, bad := directory.ParseObjectID(ref); bad == nil {
		u, err = found(w.tx.User(t, id))
	} else {
		u, err = found(w.tx.UserByUPN(t, ref))
	}
	if err != nil {
		return nil, fmt.Errorf("finding a user: %w", err)
	}
	return u, nil
}

// allowedUser finds a user and decides whether the caller may. Who has no right
// to any user is not told whether this one exists.
func (w *writer) allowedUser(t directory.TenantID, ref string) (*directory.User, error) {
	u, err := w.userReferred(t, ref)
	if err != nil {
		return nil, err
	}
	var o access.Object
	if u != nil {
		o.ID = u.ID
	}
	if err := w.allow(t, o); err != nil {
		return nil, err
	}
	if u == nil {
		return nil, absent(ref)
	}
	return u, nil
}

// Users lists the tenant's users that the selection picks, in its order.
func (s *Service) Users(ctx context.Context, caller Caller, t directory.TenantID, sel directory.Selection) ([]directory.User, error) {
	var all []directory.User
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		all, err = w.tx.SelectUsers(t, sel)
		return err
	})
	return all, err
}

// CountUsers counts those that Users would list without a limit.
func (s *Service) CountUsers(ctx context.Context, caller Caller, t directory.TenantID, sel directory.Selection) (int, error) {
	return s.count(ctx, caller, t, directory.UserObject, sel)
}

func (s *Service) count(ctx context.Context, caller Caller, t directory.TenantID, kind directory.ObjectKind, sel directory.Selection) (int, error) {
	n := 0
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		n, err = w.tx.Count(kind, t, sel)
		return err
	})
	return n, err
}

// User finds a user by object id or principal name; NotFound when there is none.
func (s *Service) User(ctx context.Context, caller Caller, t directory.TenantID, ref string) (*directory.User, error) {
	var u *directory.User
	err := s.read(ctx, caller, func(w *writer) (err error) {
		u, err = w.allowedUser(t, ref)
		return err
	})
	return u, err
}

// CreateUser makes a user; id and time are given here. A principal name whose
// domain is not the tenant's, or that another user has, is Invalid.
func (s *Service) CreateUser(ctx context.Context, caller Caller, t directory.TenantID, u directory.User) (*directory.User, error) {
	offered := u
	_, err := s.change(ctx, attempt(Create, t, "user", "", offered.UPN, false), false, caller, func(w *writer) error {
		if err := w.allow(t, access.Object{New: true}); err != nil {
			return err
		}
		u = offered
		u.Tenant, u.ID, u.Created, u.Kept = t, w.newObjectID(), w.now, merged(nil, offered.Kept)
		if err := w.validUser(&u); err != nil {
			return err
		}
		if err := w.mayBeCalled(u.UPN); err != nil {
			return err
		}
		if err := w.tx.InsertUser(&u); err != nil {
			return conflict(err, "user", u.UPN)
		}
		return w.record(change{op: Create, tenant: t, target: w.userTarget(&u), after: userFields(&u)})
	})
	if err != nil {
		return nil, err
	}
	return &u, nil
}

// UserUpdate says what to change of a user; nil leaves a field as it is, a kept
// member that is null is taken away.
type UserUpdate struct {
	Name     *string
	UPN      *string
	Disabled *bool
	Kept     directory.Kept
	If       func(*directory.User) error // refuses the change by what the user is; nil: no condition
}

// UpdateUser changes a user. To disable or rename one who holds directory roles
// takes the right to assign these.
func (s *Service) UpdateUser(ctx context.Context, caller Caller, t directory.TenantID, ref string, u UserUpdate) error {
	_, err := s.change(ctx, attempt(Update, t, "user", "", ref, false), false, caller, func(w *writer) error {
		before, err := w.allowedUser(t, ref)
		if err != nil {
			return err
		}
		if u.If != nil {
			if err := u.If(before); err != nil {
				return err
			}
		}
		after := *before
		if u.Name != nil {
			after.Name = *u.Name
		}
		if u.UPN != nil {
			after.UPN = *u.UPN
		}
		if u.Disabled != nil {
			after.Disabled = *u.Disabled
		}
		after.Kept = merged(before.Kept, u.Kept)
		if after.UPN != before.UPN || after.Disabled != before.Disabled {
			if err := w.mayUnseat(t, before.ID); err != nil {
				return err
			}
		}
		if after.UPN != before.UPN {
			if err := w.mayBeCalled(after.UPN); err != nil {
				return err
			}
		}
		if err := w.validUser(&after); err != nil {
			return err
		}
		if len(compare(userFields(before), userFields(&after))) == 0 {
			return nil
		}
		if err := w.tx.UpdateUser(&after); err != nil {
			return conflict(err, "user", after.UPN)
		}
		return w.record(change{op: Update, tenant: t, high: after.Disabled != before.Disabled, target: w.userTarget(&after), before: userFields(before), after: userFields(&after)})
	})
	return err
}

// DeleteUser removes a user with everything that hangs on him: memberships,
// what he owns, his roles and the permissions granted for him. A user who holds
// directory roles goes only at the hands of whoever may assign these.
func (s *Service) DeleteUser(ctx context.Context, caller Caller, t directory.TenantID, ref string) error {
	_, err := s.change(ctx, attempt(Delete, t, "user", "", ref, true), false, caller, func(w *writer) error {
		u, err := w.allowedUser(t, ref)
		if err != nil {
			return err
		}
		if err := w.mayUnseat(t, u.ID); err != nil {
			return err
		}
		if err := w.strip(t, u.ID); err != nil {
			return err
		}
		if err := w.tx.DeleteUser(t, u.ID); err != nil {
			return fmt.Errorf("deleting a user: %w", err)
		}
		return w.record(change{op: Delete, tenant: t, high: true, target: w.userTarget(u), before: userFields(u)})
	})
	return err
}

// mayUnseat refuses callers who could not assign the directory roles that a user
// holds, himself or through groups ("Who can perform sensitive actions" in the
// product's documentation of built-in roles).
func (w *writer) mayUnseat(t directory.TenantID, user directory.ObjectID) error {
	if w.caller.Access == nil {
		return nil
	}
	held, err := w.rightsOf(t, user)
	if err != nil {
		return err
	}
	return w.mayGrant(&access.Held{Roles: held.Roles})
}

// mayGrant refuses callers who could not grant everything that is held.
func (w *writer) mayGrant(held *access.Held) error {
	if w.caller.Access == nil {
		return nil
	}
	rights, err := w.rights()
	if err != nil {
		return err
	}
	if refusal := access.Climbs(w.caller.Access, rights, held); refusal != nil {
		refusal.Mend = "let somebody do it who could grant the rights that go with it (" + strings.Join(refusal.Rights, ", ") + "): " + strings.Join(refusal.Roles, " or ")
		return denied(refusal)
	}
	return nil
}

// strip takes away everything that hangs on a user or a group that is about to
// go, so that nothing is left for whoever comes after (threats X6).
func (w *writer) strip(t directory.TenantID, id directory.ObjectID) error {
	roles, err := w.tx.RoleAssignmentsOf(t, id)
	if err != nil {
		return fmt.Errorf("reading directory roles: %w", err)
	}
	for i := range roles {
		if err := w.unassignRole(&roles[i]); err != nil {
			return err
		}
	}
	azure, err := w.tx.AzureAssignmentsOf(t, id)
	if err != nil {
		return fmt.Errorf("reading role assignments: %w", err)
	}
	for _, a := range azure {
		if err := w.tx.DeleteAzureAssignment(t, a.Scope, a.ID); err != nil {
			return fmt.Errorf("deleting a role assignment: %w", err)
		}
		if err := w.record(change{op: Delete, tenant: t, high: true,
			target: audit.Target{Kind: "roleAssignment", ID: a.ID.String(), Name: w.name(t, a.Principal.String())},
			before: []field{textField("principalId", a.Principal.String()), textField("roleDefinitionId", a.Role.String()), textField("scope", a.Scope)},
		}); err != nil {
			return err
		}
	}
	grants, err := w.tx.Grants(t)
	if err != nil {
		return fmt.Errorf("reading permission grants: %w", err)
	}
	for i := range grants {
		if grants[i].User == id {
			if err := w.revoke(&grants[i]); err != nil {
				return err
			}
		}
	}
	if err := w.tx.DeleteLinks(t, id); err != nil {
		return fmt.Errorf("deleting links: %w", err)
	}
	return nil
}

func groupFields(g *directory.Group) []field {
	return append([]field{
		textField("id", g.ID.String()),
		textField("displayName", g.Name),
		flagField("isAssignableToRole", g.RoleAssignable),
	}, keptFields(g.Kept)...)
}

func (w *writer) groupTarget(g *directory.Group) audit.Target {
	return audit.Target{Kind: "group", ID: g.ID.String(), Name: w.name(g.Tenant, g.Name)}
}

// allowedGroup finds a group and decides whether the caller may.
func (w *writer) allowedGroup(t directory.TenantID, id directory.ObjectID) (*directory.Group, error) {
	if err := w.allow(t, access.Object{ID: id}); err != nil {
		return nil, err
	}
	g, err := found(w.tx.Group(t, id))
	if err != nil {
		return nil, fmt.Errorf("finding a group: %w", err)
	}
	if g == nil {
		return nil, absent(id.String())
	}
	return g, nil
}

// Groups lists the tenant's groups that the selection picks, in its order.
func (s *Service) Groups(ctx context.Context, caller Caller, t directory.TenantID, sel directory.Selection) ([]directory.Group, error) {
	var all []directory.Group
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		all, err = w.tx.SelectGroups(t, sel)
		return err
	})
	return all, err
}

// CountGroups counts those that Groups would list without a limit.
func (s *Service) CountGroups(ctx context.Context, caller Caller, t directory.TenantID, sel directory.Selection) (int, error) {
	return s.count(ctx, caller, t, directory.GroupObject, sel)
}

// Group finds a group; NotFound when there is none.
func (s *Service) Group(ctx context.Context, caller Caller, t directory.TenantID, id directory.ObjectID) (*directory.Group, error) {
	var g *directory.Group
	err := s.read(ctx, caller, func(w *writer) (err error) {
		g, err = w.allowedGroup(t, id)
		return err
	})
	return g, err
}

// CreateGroup makes a group with owners and members; id and time are given
// here. A user that creates one owns it. A group that roles may be assigned to
// takes the right to assign roles.
func (s *Service) CreateGroup(ctx context.Context, caller Caller, t directory.TenantID, g directory.Group, owners, members []directory.ObjectID) (*directory.Group, error) {
	offered := g
	_, err := s.change(ctx, attempt(Create, t, "group", "", offered.Name, offered.RoleAssignable), false, caller, func(w *writer) error {
		allowed := w.allow(t, access.Object{New: true})
		if offered.RoleAssignable {
			allowed = w.allowAs(t, shapesRoleGroups)
		}
		if allowed != nil {
			return allowed
		}
		g = offered
		g.Tenant, g.ID, g.Created, g.Kept = t, w.newObjectID(), w.now, merged(nil, offered.Kept)
		if err := validPersonName(g.Name); err != nil {
			return err
		}
		if err := validKept(g.Kept, mostKept); err != nil {
			return err
		}
		if err := w.tx.InsertGroup(&g); err != nil {
			return conflict(err, "group", g.Name)
		}
		if err := w.record(change{op: Create, tenant: t, high: g.RoleAssignable, target: w.groupTarget(&g), after: groupFields(&g)}); err != nil {
			return err
		}
		if c := w.caller.Access; c != nil && c.User && !slices.Contains(owners, c.Principal) {
			owners = append(slices.Clone(owners), c.Principal)
		}
		for _, id := range owners {
			if err := w.joinGroup(&g, directory.OwnerRelation, id); err != nil {
				return err
			}
		}
		for _, id := range members {
			if err := w.joinGroup(&g, directory.MemberRelation, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &g, nil
}

// GroupUpdate says what to change of a group; nil leaves a field as it is, a
// kept member that is null is taken away.
type GroupUpdate struct {
	Name           *string
	RoleAssignable *bool // immutable: refused when it differs
	Kept           directory.Kept
	If             func(*directory.Group) error // refuses the change by what the group is; nil: no condition
}

// UpdateGroup changes a group.
func (s *Service) UpdateGroup(ctx context.Context, caller Caller, t directory.TenantID, id directory.ObjectID, u GroupUpdate) error {
	_, err := s.change(ctx, attempt(Update, t, "group", id.String(), id.String(), false), false, caller, func(w *writer) error {
		before, err := w.groupToWrite(t, id)
		if err != nil {
			return err
		}
		if u.If != nil {
			if err := u.If(before); err != nil {
				return err
			}
		}
		after := *before
		if u.Name != nil {
			after.Name = *u.Name
		}
		if u.RoleAssignable != nil && *u.RoleAssignable != before.RoleAssignable {
			return problem.Newf(problem.Invalid, "isAssignableToRole", "is immutable: make another group")
		}
		after.Kept = merged(before.Kept, u.Kept)
		if err := validPersonName(after.Name); err != nil {
			return err
		}
		if len(compare(groupFields(before), groupFields(&after))) == 0 {
			return nil
		}
		if err := validKept(after.Kept, mostKept); err != nil {
			return err
		}
		if err := w.tx.UpdateGroup(&after); err != nil {
			return conflict(err, "group", after.Name)
		}
		return w.record(change{op: Update, tenant: t, target: w.groupTarget(&after), before: groupFields(before), after: groupFields(&after)})
	})
	return err
}

// DeleteGroup removes a group with everything that hangs on it. A group that
// holds rights goes only at the hands of whoever may grant these.
func (s *Service) DeleteGroup(ctx context.Context, caller Caller, t directory.TenantID, id directory.ObjectID) error {
	_, err := s.change(ctx, attempt(Delete, t, "group", id.String(), id.String(), true), false, caller, func(w *writer) error {
		g, err := w.groupToWrite(t, id)
		if err != nil {
			return err
		}
		if err := w.mayReach(g); err != nil {
			return err
		}
		if err := w.strip(t, id); err != nil {
			return err
		}
		if err := w.tx.DeleteGroup(t, id); err != nil {
			return fmt.Errorf("deleting a group: %w", err)
		}
		return w.record(change{op: Delete, tenant: t, high: true, target: w.groupTarget(g), before: groupFields(g)})
	})
	return err
}

// shapesRoleGroups is what it takes to touch a group that roles may be assigned
// to, whether it holds one yet or not ("Use Microsoft Entra groups to manage
// role assignments" in the product's documentation).
var shapesRoleGroups = access.Permission{
	Delegated:   []string{"RoleManagement.ReadWrite.Directory"},
	Application: []string{"RoleManagement.ReadWrite.Directory"},
	Action:      "microsoft.directory/groupsAssignableToRoles/allProperties/update",
}

// groupToWrite finds a group and decides whether the caller may write to it. A
// group that roles may be assigned to takes another right than the route states.
func (w *writer) groupToWrite(t directory.TenantID, id directory.ObjectID) (*directory.Group, error) {
	g, err := found(w.tx.Group(t, id))
	if err != nil {
		return nil, fmt.Errorf("finding a group: %w", err)
	}
	if g == nil || !g.RoleAssignable {
		return w.allowedGroup(t, id)
	}
	if err := w.allowAs(t, shapesRoleGroups); err != nil {
		return nil, err
	}
	return g, nil
}

// allowAs decides over the whole tenant whether the caller has another
// permission than the one that his route states.
func (w *writer) allowAs(t directory.TenantID, need access.Permission) error {
	stated := w.caller.Need
	w.caller.Need = need
	defer func() { w.caller.Need = stated }()
	return w.allow(t, access.Object{})
}

// mayReach refuses callers who may not change who belongs to a group: whoever
// does could make himself a member and hold what the group holds, itself and
// through groups that it is in.
func (w *writer) mayReach(g *directory.Group) error {
	if w.caller.Access == nil || w.climbing {
		return nil
	}
	held, err := w.rightsOf(g.Tenant, g.ID)
	if err != nil {
		return err
	}
	return w.mayGrant(&access.Held{Roles: held.Roles, Assignments: held.Assignments})
}
