package manage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// deletedApplication is what is kept of an application that was deleted: all
// that it had, its service principal in the home tenant included.
type deletedApplication struct {
	Application directory.Application           `json:"application"`
	Credentials []directory.FederatedCredential `json:"credentials,omitempty"`
	Owners      []directory.Reference           `json:"owners,omitempty"`
	Principal   *deletedPrincipal               `json:"principal,omitempty"`
}

// deletedPrincipal is what is kept of a service principal that was deleted.
type deletedPrincipal struct {
	Principal   directory.ServicePrincipal    `json:"principal"`
	Owners      []directory.Reference         `json:"owners,omitempty"`
	Owned       []directory.ObjectID          `json:"owned,omitempty"`
	Groups      []directory.ObjectID          `json:"groups,omitempty"`
	Assignments []directory.AppRoleAssignment `json:"assignments,omitempty"` // from and to it
	Roles       []directory.RoleAssignment    `json:"roles,omitempty"`
	Azure       []directory.AzureAssignment   `json:"azure,omitempty"`
	Grants      []directory.PermissionGrant   `json:"grants,omitempty"` // from and to it
}

// DeleteApplication deletes an application with everything that it has, so that it
// can be restored for [directory.DeletedFor]. Its client id stays taken. May is
// asked before, inside the change.
func (s *Service) DeleteApplication(ctx context.Context, caller Caller, t directory.TenantID, key Key, may func(*directory.Application) error) error {
	_, err := s.change(ctx, attempt(Delete, t, "application", key.ID.String(), audit.Clip(key.String()), true), false, caller, func(w *writer) error {
		a, err := w.allowedApplication(t, key)
		if err != nil {
			return err
		}
		if err := may(a); err != nil {
			return err
		}
		kept := deletedApplication{Application: *a}
		if kept.Credentials, err = w.tx.Credentials(t, a.ID); err != nil {
			return fmt.Errorf("reading credentials: %w", err)
		}
		if kept.Owners, err = w.tx.Links(t, directory.OwnerRelation, a.ID); err != nil {
			return fmt.Errorf("reading owners: %w", err)
		}
		home, err := found(w.tx.PrincipalByClientID(t, a.ClientID))
		if err != nil {
			return fmt.Errorf("finding service principal: %w", err)
		}
		if home != nil {
			if kept.Principal, err = w.keepPrincipal(home); err != nil {
				return err
			}
		}
		if err := w.deleteApplication(a); err != nil {
			return err
		}
		return w.keep(directory.Deleted{Tenant: t, ID: a.ID, Kind: directory.ApplicationObject, Name: a.Name, ClientID: a.ClientID}, kept)
	})
	return err
}

// DeletePrincipal deletes a service principal with all that it holds, so that it
// can be restored.
func (s *Service) DeletePrincipal(ctx context.Context, caller Caller, t directory.TenantID, key Key, may func(*PrincipalView) error) error {
	_, err := s.change(ctx, attempt(Delete, t, "servicePrincipal", key.ID.String(), key.String(), true), false, caller, func(w *writer) error {
		p, err := w.allowedPrincipalWith(t, key)
		if err != nil {
			return err
		}
		if err := w.editable(p); err != nil {
			return err
		}
		v, err := w.viewOf(p)
		if err != nil {
			return fmt.Errorf("reading what a service principal stands for: %w", err)
		}
		if err := may(&v); err != nil {
			return err
		}
		kept, err := w.keepPrincipal(p)
		if err != nil {
			return err
		}
		if err := w.removePrincipal(p); err != nil {
			return err
		}
		if err := w.record(change{op: Delete, tenant: t, high: true, target: w.principalTarget(p), before: principalFields(p)}); err != nil {
			return err
		}
		return w.keep(directory.Deleted{Tenant: t, ID: p.ID, Kind: directory.PrincipalObject, Name: p.Name, ClientID: p.ClientID}, kept)
	})
	return err
}

func (w *writer) keep(d directory.Deleted, record any) error {
	var err error
	d.At = w.now
	if d.Record, err = json.Marshal(record); err != nil {
		return err
	}
	if err := w.tx.InsertDeleted(&d); err != nil {
		return fmt.Errorf("keeping a deleted object: %w", err)
	}
	return nil
}

// keepPrincipal reads everything that goes with a service principal.
func (w *writer) keepPrincipal(p *directory.ServicePrincipal) (*deletedPrincipal, error) {
	k := &deletedPrincipal{Principal: *p}
	t := p.Tenant
	var grants []directory.PermissionGrant
	var err error
	for _, read := range []func() error{
		func() error { k.Owners, err = w.tx.Links(t, directory.OwnerRelation, p.ID); return err },
		func() error { k.Owned, err = w.tx.LinkedBy(t, directory.OwnerRelation, p.ID); return err },
		func() error { k.Groups, err = w.tx.LinkedBy(t, directory.MemberRelation, p.ID); return err },
		func() error { k.Assignments, err = w.tx.AssignmentsOf(t, p.ID); return err },
		func() error { k.Roles, err = w.tx.RoleAssignmentsOf(t, p.ID); return err },
		func() error { k.Azure, err = w.tx.AzureAssignmentsOf(t, p.ID); return err },
		func() error { grants, err = w.tx.Grants(t); return err },
	} {
		if err := read(); err != nil {
			return nil, fmt.Errorf("reading what a service principal holds: %w", err)
		}
	}
	for _, g := range grants {
		if g.Client == p.ID || g.Resource == p.ID {
			k.Grants = append(k.Grants, g)
		}
	}
	return k, nil
}

// DeletedObject is a deleted application or service principal.
type DeletedObject struct {
	directory.Deleted
	Application *directory.Application // as it was
	Principal   *PrincipalView         // as it was
	owners      []directory.Reference
}

// DeletedObjects lists the deleted objects of one kind.
func (s *Service) DeletedObjects(ctx context.Context, caller Caller, t directory.TenantID, kind directory.ObjectKind) ([]DeletedObject, error) {
	var all []DeletedObject
	err := s.read(ctx, caller, func(w *writer) error {
		if err := w.allow(t, access.Object{}); err != nil {
			return err
		}
		found, err := w.tx.DeletedObjects(t, kind)
		if err != nil {
			return fmt.Errorf("reading deleted objects: %w", err)
		}
		all = nil
		for i := range found {
			o, err := w.deletedOf(&found[i])
			if err != nil {
				return err
			}
			all = append(all, *o)
		}
		return nil
	})
	return all, err
}

// DeletedObject reads one deleted object; NotFound when there is none.
func (s *Service) DeletedObject(ctx context.Context, caller Caller, t directory.TenantID, id directory.ObjectID) (*DeletedObject, error) {
	var o *DeletedObject
	err := s.read(ctx, caller, func(w *writer) (err error) {
		o, err = w.allowedDeleted(t, id)
		return err
	})
	return o, err
}

func (w *writer) deletedOf(d *directory.Deleted) (*DeletedObject, error) {
	o := &DeletedObject{Deleted: *d}
	unreadable := func(err error) error { return fmt.Errorf("reading deleted %s %s: %w", d.Kind, d.ID, err) }
	switch d.Kind {
	case directory.ApplicationObject:
		var record deletedApplication
		if err := json.Unmarshal(d.Record, &record); err != nil {
			return nil, unreadable(err)
		}
		o.Application, o.owners = &record.Application, record.Owners
	case directory.PrincipalObject:
		var record deletedPrincipal
		if err := json.Unmarshal(d.Record, &record); err != nil {
			return nil, unreadable(err)
		}
		v, err := w.viewOf(&record.Principal)
		if err != nil {
			return nil, unreadable(err)
		}
		o.Principal, o.owners = &v, record.Owners
	}
	return o, nil
}

// allowedDeleted finds a deleted object and decides whether the caller may. Who
// owned it still owns it here.
func (w *writer) allowedDeleted(t directory.TenantID, id directory.ObjectID) (*DeletedObject, error) {
	d, err := found(w.tx.DeletedObject(t, id))
	if err != nil {
		return nil, fmt.Errorf("finding deleted object: %w", err)
	}
	if d == nil {
		return nil, w.nothingThere(t, id.String())
	}
	o, err := w.deletedOf(d)
	if err != nil {
		return nil, err
	}
	owned := w.caller.Access != nil && slices.Contains(idsOf(o.owners), w.caller.Access.Principal)
	return o, w.allow(t, access.Object{ID: id, Owned: owned})
}

// PurgeObject removes a deleted object for good.
func (s *Service) PurgeObject(ctx context.Context, caller Caller, t directory.TenantID, id directory.ObjectID) error {
	_, err := s.change(ctx, attempt(Delete, t, "deletedItem", id.String(), id.String(), true), false, caller, func(w *writer) error {
		o, err := w.allowedDeleted(t, id)
		if err != nil {
			return err
		}
		return w.purge(&o.Deleted)
	})
	return err
}

func (w *writer) purge(d *directory.Deleted) error {
	if err := w.tx.DeleteDeleted(d.Tenant, d.ID); err != nil {
		return fmt.Errorf("removing a deleted object: %w", err)
	}
	return w.record(change{op: Delete, tenant: d.Tenant, high: true,
		target: audit.Target{Kind: "deletedItem", ID: d.ID.String(), Name: w.name(d.Tenant, d.Name)},
		before: []field{textField("id", d.ID.String()), textField("kind", string(d.Kind)), textField("name", d.Name), textField("clientId", d.ClientID.String())},
	})
}

// PurgeDeleted removes for good what was deleted longer ago than it can be
// restored, and says how much that was. The platform calls it from time to time.
func (s *Service) PurgeDeleted(ctx context.Context) (int, error) {
	purged := 0
	caller := Caller{Actor: audit.Actor{Kind: "system", Name: "retention"}}
	for {
		n := 0
		_, err := s.change(ctx, audit.Change{Action: string(Delete), Target: audit.Target{Kind: "deletedItem"}}, false, caller, func(w *writer) error {
			old, err := w.tx.DeletedBefore(w.now.Add(-directory.DeletedFor))
			if err != nil {
				return fmt.Errorf("reading deleted objects: %w", err)
			}
			n = len(old)
			for i := range old {
				if err := w.purge(&old[i]); err != nil {
					return err
				}
			}
			return nil
		})
		purged += n
		if err != nil || n == 0 {
			return purged, err
		}
	}
}

// RestoreObject brings a deleted object back with everything that it had, under
// the same ids. What hung between it and something that is gone by now stays
// gone.
func (s *Service) RestoreObject(ctx context.Context, caller Caller, t directory.TenantID, id directory.ObjectID) (*DeletedObject, error) {
	var o *DeletedObject
	_, err := s.change(ctx, attempt("restore", t, "deletedItem", id.String(), id.String(), true), false, caller, func(w *writer) (err error) {
		if o, err = w.allowedDeleted(t, id); err != nil {
			return err
		}
		if err := w.tx.DeleteDeleted(t, id); err != nil {
			return fmt.Errorf("restoring: %w", err)
		}
		if o.Kind == directory.ApplicationObject {
			return w.restoreApplication(o.Record)
		}
		var k deletedPrincipal
		if err := json.Unmarshal(o.Record, &k); err != nil {
			return fmt.Errorf("reading deleted service principal: %w", err)
		}
		return w.restorePrincipal(&k)
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

func (w *writer) restoreApplication(text []byte) error {
	var k deletedApplication
	if err := json.Unmarshal(text, &k); err != nil {
		return fmt.Errorf("reading deleted application: %w", err)
	}
	a := &k.Application
	if err := w.validApplication(a, directory.ObjectID{}); err != nil {
		return err
	}
	if err := w.tx.InsertApplication(a); err != nil {
		return conflict(err, "application", a.Name)
	}
	if err := w.record(change{op: Create, tenant: a.Tenant, high: true, target: w.applicationTarget(a), after: applicationFields(a, nil)}); err != nil {
		return err
	}
	p := parent{a.Tenant, a.ID, "application", w.name(a.Tenant, a.Name)}
	for i := range k.Credentials {
		c := &k.Credentials[i]
		if err := w.tx.InsertCredential(a.Tenant, a.ID, c); err != nil {
			return conflict(err, "credential", c.Name)
		}
		if err := w.record(change{op: Create, tenant: a.Tenant, high: true, target: p.target(c), after: credentialFields(c)}); err != nil {
			return err
		}
	}
	if err := w.restoreOwners(a.Tenant, a.ID, k.Owners); err != nil {
		return err
	}
	if k.Principal == nil {
		return nil
	}
	return w.restorePrincipal(k.Principal)
}

func (w *writer) restoreOwners(t directory.TenantID, id directory.ObjectID, owners []directory.Reference) error {
	there, err := w.objects(t, idsOf(owners), nil)
	if err != nil {
		return err
	}
	for _, o := range there {
		if err := w.link(t, directory.OwnerRelation, id, o.Reference()); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) restorePrincipal(k *deletedPrincipal) error {
	p := &k.Principal
	// Step 1: The application must be there, and the name free.
	a, err := found(w.tx.ApplicationByClientID(p.ClientID))
	if err != nil {
		return fmt.Errorf("finding application: %w", err)
	}
	if a == nil || a.Tenant != p.Tenant && !a.Audience.ForeignTenants() {
		return problem.Newf(problem.Invalid, "", noApplication, p.ClientID)
	}
	there, err := found(w.tx.PrincipalByClientID(p.Tenant, p.ClientID))
	if err != nil {
		return fmt.Errorf("finding service principal: %w", err)
	}
	if there != nil {
		return problem.Newf(problem.Conflict, "servicePrincipalNames", nameInUse, p.ClientID)
	}
	if err := w.freeNames(p.Tenant, directory.ObjectID{}, a.IdentifierURIs); err != nil {
		return err
	}
	// A group may have got rights since: to come back into it is to join it.
	for _, id := range k.Groups {
		g, err := found(w.tx.Group(p.Tenant, id))
		if err != nil {
			return fmt.Errorf("finding group: %w", err)
		}
		if g == nil {
			continue
		}
		if err := w.mayReach(g); err != nil {
			return err
		}
	}
	p.Name, p.Names = a.Name, namesOf(a) // which may have changed since
	if err := w.createHome(p); err != nil {
		return err
	}

	// Step 2: What others are to it, and it to others.
	if err := w.restoreOwners(p.Tenant, p.ID, k.Owners); err != nil {
		return err
	}
	self := directory.Reference{ID: p.ID, Kind: directory.PrincipalObject}
	for relation, ids := range map[directory.Relation][]directory.ObjectID{directory.OwnerRelation: k.Owned, directory.MemberRelation: k.Groups} {
		holders, err := w.objects(p.Tenant, ids, nil)
		if err != nil {
			return err
		}
		for _, h := range holders {
			if err := w.link(p.Tenant, relation, h.Reference().ID, self); err != nil {
				return err
			}
		}
	}

	// Step 3: Its rights.
	for i := range k.Roles {
		switch err := w.assignRole(&k.Roles[i]); problem.KindOf(err) {
		case problem.NotFound, problem.Invalid: // the object of its scope is gone, or somebody assigned it anew
		default:
			if err != nil {
				return err
			}
		}
	}
	for i := range k.Azure {
		if err := w.assignAzure(&k.Azure[i]); err != nil {
			return err
		}
	}
	for _, x := range k.Assignments {
		if err := w.restoreAssignment(x); err != nil {
			return err
		}
	}
	for _, g := range k.Grants {
		if err := w.restoreGrant(g); err != nil {
			return err
		}
	}
	return nil
}

// restoreAssignment brings an app role assignment back if both ends and the role
// are still there.
func (w *writer) restoreAssignment(x directory.AppRoleAssignment) error {
	holder, err := w.object(x.Tenant, x.Principal, directory.UserObject, directory.GroupObject, directory.PrincipalObject)
	if err != nil || holder == nil {
		return err
	}
	resource, err := found(w.tx.Principal(x.Tenant, x.Resource))
	if err != nil || resource == nil {
		return err
	}
	role, err := w.roleOffered(resource, x.Role)
	if problem.KindOf(err) == problem.NotFound || err == nil && role == nil && !x.Role.IsZero() {
		return nil
	}
	if err != nil {
		return err
	}
	if err := w.tx.InsertAssignment(&x); err != nil {
		return conflict(err, "app role assignment", x.ID.String())
	}
	if index, ok := w.assigned[x.Tenant]; ok {
		index.add(x)
	}
	return w.recordAssignment(Create, x)
}

func (w *writer) restoreGrant(g directory.PermissionGrant) error {
	for _, id := range []directory.ObjectID{g.Client, g.Resource} {
		p, err := found(w.tx.Principal(g.Tenant, id))
		if err != nil || p == nil {
			return err
		}
	}
	if !g.User.IsZero() {
		if u, err := found(w.tx.User(g.Tenant, g.User)); err != nil || u == nil {
			return err
		}
	}
	err := w.tx.InsertGrant(&g)
	if errors.Is(err, directory.ErrConflict) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing a permission grant: %w", err)
	}
	target, err := w.grantTarget(&g)
	if err != nil {
		return err
	}
	return w.record(change{op: Create, tenant: g.Tenant, high: true, target: target, after: grantFields(&g)})
}
