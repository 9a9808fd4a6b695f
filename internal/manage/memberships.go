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

// DirectoryObject is an object where several kinds may stand: exactly one
// member is set.
type DirectoryObject struct {
	User        *directory.User
	Group       *directory.Group
	Principal   *PrincipalView
	Application *directory.Application
	Role        *access.Role // a directory role that the object of a question holds
}

// Reference names the object; a role's is its template id, of no kind.
func (o DirectoryObject) Reference() directory.Reference {
	switch {
	case o.User != nil:
		return directory.Reference{ID: o.User.ID, Kind: directory.UserObject}
	case o.Group != nil:
		return directory.Reference{ID: o.Group.ID, Kind: directory.GroupObject}
	case o.Principal != nil:
		return directory.Reference{ID: o.Principal.ID, Kind: directory.PrincipalObject}
	case o.Application != nil:
		return directory.Reference{ID: o.Application.ID, Kind: directory.ApplicationObject}
	case o.Role != nil:
		return directory.Reference{ID: o.Role.TemplateID}
	}
	return directory.Reference{}
}

// objects reads objects of the tenant in the order of their ids; what is not
// there is left out. Kinds narrows them; nil means every kind.
func (w *writer) objects(t directory.TenantID, ids []directory.ObjectID, kinds []directory.ObjectKind) ([]DirectoryObject, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	byID := make(map[directory.ObjectID]DirectoryObject, len(ids))
	sel := directory.Selection{IDs: ids}
	wanted := func(kind directory.ObjectKind) bool { return kinds == nil || slices.Contains(kinds, kind) }
	if wanted(directory.UserObject) {
		users, err := w.tx.SelectUsers(t, sel)
		if err != nil {
			return nil, fmt.Errorf("reading users: %w", err)
		}
		for i := range users {
			byID[users[i].ID] = DirectoryObject{User: &users[i]}
		}
	}
	if wanted(directory.GroupObject) {
		groups, err := w.tx.SelectGroups(t, sel)
		if err != nil {
			return nil, fmt.Errorf("reading groups: %w", err)
		}
		for i := range groups {
			byID[groups[i].ID] = DirectoryObject{Group: &groups[i]}
		}
	}
	if wanted(directory.PrincipalObject) {
		principals, err := w.tx.SelectPrincipals(t, sel)
		if err != nil {
			return nil, fmt.Errorf("reading service principals: %w", err)
		}
		for i := range principals {
			v, err := w.viewOf(&principals[i])
			if err != nil {
				return nil, fmt.Errorf("reading what a service principal stands for: %w", err)
			}
			byID[v.ID] = DirectoryObject{Principal: &v}
		}
	}
	if wanted(directory.ApplicationObject) {
		applications, err := w.tx.SelectApplications(t, sel)
		if err != nil {
			return nil, fmt.Errorf("reading applications: %w", err)
		}
		for i := range applications {
			byID[applications[i].ID] = DirectoryObject{Application: &applications[i]}
		}
	}
	var all []DirectoryObject
	for _, id := range ids {
		if o, ok := byID[id]; ok {
			all = append(all, o)
			delete(byID, id) // each once
		}
	}
	return all, nil
}

func (w *writer) object(t directory.TenantID, id directory.ObjectID, kinds ...directory.ObjectKind) (*DirectoryObject, error) {
	all, err := w.objects(t, []directory.ObjectID{id}, kinds)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// Objects reads objects of the tenant by id; what is not there, or not of one
// of the kinds, is left out. No kinds means every kind.
func (s *Service) Objects(ctx context.Context, caller Caller, t directory.TenantID, ids []directory.ObjectID, kinds []directory.ObjectKind) ([]DirectoryObject, error) {
	var all []DirectoryObject
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		all, err = w.objects(t, ids, kinds)
		return err
	})
	return all, err
}

// Object reads one object of any kind; NotFound when there is none.
func (s *Service) Object(ctx context.Context, caller Caller, t directory.TenantID, id directory.ObjectID) (*DirectoryObject, error) {
	var o *DirectoryObject
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.allow(t, access.Object{ID: id}); err != nil {
			return err
		}
		if o, err = w.object(t, id); err == nil && o == nil {
			err = absent(id.String())
		}
		return err
	})
	return o, err
}

func idsOf(refs []directory.Reference) []directory.ObjectID {
	ids := make([]directory.ObjectID, len(refs))
	for i, r := range refs {
		ids[i] = r.ID
	}
	return ids
}

// GroupLinks lists the members or the owners of a group, in the order of ids.
func (s *Service) GroupLinks(ctx context.Context, caller Caller, t directory.TenantID, group directory.ObjectID, relation directory.Relation) ([]DirectoryObject, error) {
	var all []DirectoryObject
	err := s.read(ctx, caller, func(w *writer) error {
		g, err := w.allowedGroup(t, group)
		if err != nil {
			return err
		}
		refs, err := w.tx.Links(t, relation, g.ID)
		if err != nil {
			return fmt.Errorf("reading the %ss of a group: %w", relation, err)
		}
		all, err = w.objects(t, idsOf(refs), nil)
		return err
	})
	return all, err
}

// TransitiveMembers lists the members of a group and of the groups in it, each
// once. A group that is in itself ends the walk there.
func (s *Service) TransitiveMembers(ctx context.Context, caller Caller, t directory.TenantID, group directory.ObjectID) ([]DirectoryObject, error) {
	var all []DirectoryObject
	err := s.read(ctx, caller, func(w *writer) error {
		g, err := w.allowedGroup(t, group)
		if err != nil {
			return err
		}
		seen := make(map[directory.ObjectID]bool)
		var ids []directory.ObjectID
		groups := 0
		for next := []directory.ObjectID{g.ID}; len(next) > 0; next = next[1:] {
			if groups++; groups > mostGroups {
				return problem.Newf(problem.Limit, "", "%s has more than %d groups in it", group, mostGroups)
			}
			refs, err := w.tx.Links(t, directory.MemberRelation, next[0])
			if err != nil {
				return fmt.Errorf("reading the members of a group: %w", err)
			}
			for _, r := range refs {
				if seen[r.ID] {
					continue
				}
				seen[r.ID] = true
				ids = append(ids, r.ID)
				if r.Kind == directory.GroupObject && r.ID != g.ID {
					next = append(next, r.ID)
				}
			}
		}
		sortIDs(ids)
		all, err = w.objects(t, ids, nil)
		return err
	})
	return all, err
}

func sortIDs(ids []directory.ObjectID) {
	slices.SortFunc(ids, func(a, b directory.ObjectID) int {
		switch x, y := a.String(), b.String(); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

// member finds the user, group or service principal whose memberships are asked
// for, and decides whether the caller may.
func (w *writer) member(t directory.TenantID, kind directory.ObjectKind, ref string) (directory.ObjectID, error) {
	if kind == directory.UserObject {
		u, err := w.allowedUser(t, ref)
		if err != nil {
			return directory.ObjectID{}, err
		}
		return u.ID, nil
	}
	id, err := directory.ParseObjectID(ref)
	if err := w.allow(t, access.Object{ID: id}); err != nil {
		return directory.ObjectID{}, err
	}
	if err != nil {
		return directory.ObjectID{}, absent(ref)
	}
	o, err := w.object(t, id, kind)
	if err == nil && o == nil {
		err = absent(ref)
	}
	return id, err
}

// MemberOf lists the groups that a user (by object id or principal name), a
// group or a service principal is in, and the directory roles that it holds
// itself. Transitive adds the groups that these are in, and their roles.
func (s *Service) MemberOf(ctx context.Context, caller Caller, t directory.TenantID, kind directory.ObjectKind, ref string, transitive bool) ([]DirectoryObject, error) {
	var all []DirectoryObject
	err := s.read(ctx, caller, func(w *writer) error {
		id, err := w.member(t, kind, ref)
		if err != nil {
			return err
		}
		holders := []directory.ObjectID{id}
		var groups []directory.ObjectID
		if transitive {
			if groups, err = w.groupsOf(t, id); err != nil {
				return err
			}
			sortIDs(groups)
			holders = append(holders, groups...)
		} else if groups, err = w.tx.LinkedBy(t, directory.MemberRelation, id); err != nil {
			return fmt.Errorf("reading group memberships: %w", err)
		}
		if all, err = w.objects(t, groups, []directory.ObjectKind{directory.GroupObject}); err != nil {
			return err
		}
		held := make(map[directory.ObjectID]bool)
		for _, holder := range holders {
			assigned, err := w.tx.RoleAssignmentsOf(t, holder)
			if err != nil {
				return fmt.Errorf("reading directory roles: %w", err)
			}
			for _, a := range assigned {
				if role, ok := access.RoleByTemplate(a.Role); ok && a.Scope.IsZero() && !held[a.Role] {
					held[a.Role] = true
					all = append(all, DirectoryObject{Role: &role})
				}
			}
		}
		return nil
	})
	return all, err
}

// OwnedObjects lists what a user (by object id or principal name) or a service
// principal owns.
func (s *Service) OwnedObjects(ctx context.Context, caller Caller, t directory.TenantID, kind directory.ObjectKind, ref string) ([]DirectoryObject, error) {
	var all []DirectoryObject
	err := s.read(ctx, caller, func(w *writer) error {
		id, err := w.member(t, kind, ref)
		if err != nil {
			return err
		}
		owned, err := w.tx.LinkedBy(t, directory.OwnerRelation, id)
		if err != nil {
			return fmt.Errorf("reading owned objects: %w", err)
		}
		all, err = w.objects(t, owned, nil)
		return err
	})
	return all, err
}

// AddToGroup makes an object a member or an owner of a group. Who may not grant
// what the group holds may not add members to it.
func (s *Service) AddToGroup(ctx context.Context, caller Caller, t directory.TenantID, group directory.ObjectID, relation directory.Relation, target directory.ObjectID) error {
	_, err := s.change(ctx, linkAttempt(Create, t, group, relation, target), false, caller, func(w *writer) error {
		g, err := w.groupToWrite(t, group)
		if err != nil {
			return err
		}
		return w.joinGroup(g, relation, target)
	})
	return err
}

// RemoveFromGroup takes a member or an owner from a group; NotFound when it is
// none. Who may not grant what the group holds may not take members from it.
func (s *Service) RemoveFromGroup(ctx context.Context, caller Caller, t directory.TenantID, group directory.ObjectID, relation directory.Relation, target directory.ObjectID) error {
	_, err := s.change(ctx, linkAttempt(Delete, t, group, relation, target), false, caller, func(w *writer) error {
		g, err := w.groupToWrite(t, group)
		if err != nil {
			return err
		}
		if err := w.mayReach(g); err != nil {
			return err
		}
		return w.unlink(t, relation, g.ID, target)
	})
	return err
}

func (o DirectoryObject) name() string {
	switch {
	case o.User != nil:
		return o.User.UPN
	case o.Group != nil:
		return o.Group.Name
	case o.Principal != nil:
		return o.Principal.Name
	case o.Application != nil:
		return o.Application.Name
	case o.Role != nil:
		return o.Role.Name
	}
	return ""
}

// joinGroup adds a member or an owner to a group. Owners count as members: they
// can make themselves one.
func (w *writer) joinGroup(g *directory.Group, relation directory.Relation, target directory.ObjectID) error {
	if err := w.mayReach(g); err != nil {
		return err
	}
	o, err := w.object(g.Tenant, target)
	if err != nil {
		return err
	}
	if o == nil {
		return absent(target.String())
	}
	return w.link(g.Tenant, relation, g.ID, o.Reference())
}

// property is what a relation is called on the wire.
func property(r directory.Relation) string { return string(r) + "s" }

// link makes the target an owner or a member of the object; both are there.
func (w *writer) link(t directory.TenantID, relation directory.Relation, object directory.ObjectID, target directory.Reference) error {
	holder, err := w.object(t, object)
	if err != nil {
		return err
	}
	if holder == nil {
		return absent(object.String())
	}
	kinds := []directory.ObjectKind{directory.UserObject, directory.PrincipalObject}
	if relation == directory.MemberRelation {
		kinds = append(kinds, directory.GroupObject)
	}
	switch {
	case !slices.Contains(kinds, target.Kind):
		return problem.Newf(problem.Invalid, "", "An invalid operation was included in the following modified references: '%s'. An object of type %s cannot be among them.", property(relation), target.Kind)
	case target.ID == object:
		return problem.Newf(problem.Invalid, "", "An invalid operation was included in the following modified references: '%s'. A group cannot be a member of itself.", property(relation))
	case target.Kind == directory.GroupObject && holder.Group != nil && holder.Group.RoleAssignable:
		return problem.Newf(problem.Invalid, "", "An invalid operation was included in the following modified references: '%s'. Groups cannot be members of a group that roles can be assigned to: add their members one by one.", property(relation))
	}
	err = w.tx.InsertLink(t, relation, object, target)
	if errors.Is(err, directory.ErrConflict) {
		return problem.Newf(problem.Invalid, "", "One or more added object references already exist for the following modified properties: '%s'.", property(relation))
	}
	if err != nil {
		return fmt.Errorf("writing a link: %w", err)
	}
	return w.recordLink(Create, t, relation, holder, target.ID)
}

// unlink takes an owner or a member from the object; NotFound when it is none.
func (w *writer) unlink(t directory.TenantID, relation directory.Relation, object, target directory.ObjectID) error {
	holder, err := w.object(t, object)
	if err != nil {
		return err
	}
	if holder == nil {
		return absent(object.String())
	}
	err = w.tx.DeleteLink(t, relation, object, target)
	if errors.Is(err, directory.ErrNotFound) {
		return absent(target.String())
	}
	if err != nil {
		return fmt.Errorf("deleting a link: %w", err)
	}
	return w.recordLink(Delete, t, relation, holder, target)
}

func (w *writer) recordLink(op Op, t directory.TenantID, relation directory.Relation, holder *DirectoryObject, target directory.ObjectID) error {
	name := target.String()
	o, err := w.object(t, target)
	if err != nil {
		return err
	}
	if o != nil {
		name = o.name()
	}
	ref := holder.Reference()
	fields := []field{
		textField(string(ref.Kind)+"Id", ref.ID.String()), textField(string(ref.Kind), holder.name()),
		textField(string(relation)+"Id", target.String()), textField(string(relation), name),
	}
	c := change{op: op, tenant: t, high: true, target: audit.Target{
		Kind: linkKind(ref.Kind, relation), ID: target.String(), Name: w.name(t, holder.name(), name),
	}}
	if op == Delete {
		c.before = fields
	} else {
		c.after = fields
	}
	return w.record(c)
}

// linkKind is how records call a link: groupMember, applicationOwner.
func linkKind(holder directory.ObjectKind, relation directory.Relation) string {
	if relation == directory.OwnerRelation {
		return string(holder) + "Owner"
	}
	return string(holder) + "Member"
}

func linkAttempt(op Op, t directory.TenantID, group directory.ObjectID, relation directory.Relation, target directory.ObjectID) audit.Change {
	return attempt(op, t, linkKind(directory.GroupObject, relation), target.String(), group.String()+"/"+target.String(), true)
}
