package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// hosts lists the hosts of the kind that the caller may do the place's action to.
func (w *writer) hosts(p Place, kind directory.HostKind) ([]directory.Host, error) {
	visible, err := w.decideList(p)
	if err != nil {
		return nil, err
	}
	if p.Group != "" {
		if _, err := w.group(p.Tenant, p.Group); err != nil {
			return nil, err
		}
	}
	all, err := w.tx.Hosts(p.Tenant)
	if err != nil {
		return nil, fmt.Errorf("reading hosts: %w", err)
	}
	return slices.DeleteFunc(all, func(h directory.Host) bool {
		return h.Kind != kind || p.Group != "" && !strings.EqualFold(h.ResourceGroup, p.Group) || !visible(h.ResourceID)
	}), nil
}

// hostIn finds the host of the kind at the place, without regard to case; nil
// when there is none.
func (w *writer) hostIn(p Place, kind directory.HostKind) (*directory.Host, error) {
	all, err := w.tx.Hosts(p.Tenant)
	if err != nil {
		return nil, fmt.Errorf("reading hosts: %w", err)
	}
	for i := range all {
		if all[i].Kind == kind && strings.EqualFold(all[i].ResourceGroup, p.Group) && strings.EqualFold(all[i].Name, p.Name) {
			return &all[i], nil
		}
	}
	return nil, nil
}

// assignedTo collects every identity that the hosts name, their own included.
func (w *writer) assignedTo(hosts []directory.Host, into map[directory.ObjectID]directory.ManagedIdentity) error {
	for _, h := range hosts {
		for _, id := range append(slices.Clone(h.Identities), h.System) {
			if _, known := into[id]; known || id.IsZero() {
				continue
			}
			m, err := found(w.tx.Identity(h.Tenant, id))
			if err != nil {
				return fmt.Errorf("finding managed identity: %w", err)
			}
			if m != nil {
				into[id] = *m
			}
		}
	}
	return nil
}

// HostView is hosts with the identities that they name.
type HostView struct {
	Hosts    []directory.Host
	Assigned map[directory.ObjectID]directory.ManagedIdentity
}

// ComputeHosts lists the hosts of the kind in the group, or in the
// subscription, that the caller may read; with a name in the place, the one.
func (s *Service) ComputeHosts(ctx context.Context, caller Caller, p Place, kind directory.HostKind) (*HostView, error) {
	v := &HostView{}
	err := s.read(ctx, caller, func(w *writer) (err error) {
		*v = HostView{Assigned: make(map[directory.ObjectID]directory.ManagedIdentity)}
		if p.Name == "" {
			if v.Hosts, err = w.hosts(p, kind); err != nil {
				return err
			}
			return w.assignedTo(v.Hosts, v.Assigned)
		}
		if err := w.decideAt(p, p.resource(kind.ResourceType())); err != nil {
			return err
		}
		h, err := w.hostIn(p, kind)
		if err != nil {
			return err
		}
		if h == nil {
			if _, err := w.group(p.Tenant, p.Group); err != nil {
				return err
			}
			return noResource(kind.ResourceType(), p.Group, p.Name)
		}
		v.Hosts = []directory.Host{*h}
		return w.assignedTo(v.Hosts, v.Assigned)
	})
	return v, err
}

// IdentityRef names a user-assigned identity in the identity block of a host.
type IdentityRef struct {
	ResourceID   string // as the caller wrote it
	Subscription directory.ObjectID
	Group, Name  string
	Remove       bool
}

// HostIdentities is what an identity block asks for.
type HostIdentities struct {
	System bool
	User   bool // the type names user-assigned identities; without it none stay
	Merge  bool // identities that the block does not name stay
	Refs   []IdentityRef
}

// PutHost makes the host at the place or changes it, and reports whether it
// made it. Identities are left as they are when ids is nil; each identity that
// is newly put on the host needs the caller's right to assign it.
func (s *Service) PutHost(ctx context.Context, caller Caller, p Place, kind directory.HostKind, rw ResourceWrite, ids *HostIdentities) (*HostView, bool, error) {
	v := &HostView{}
	created := false
	_, err := s.change(ctx, p.attempt(Update, "host", p.resource(kind.ResourceType()), false), false, caller, func(w *writer) error {
		created = false
		// Step 1: Decide.
		if err := w.decideAt(p, p.resource(kind.ResourceType())); err != nil {
			return err
		}
		// Step 2: Find what is there.
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		before, err := w.hostIn(p, kind)
		if err != nil {
			return err
		}
		var after directory.Host
		switch {
		case before == nil && rw.Patch:
			return noResource(kind.ResourceType(), p.Group, p.Name)
		case before == nil:
			if rw.Location == "" {
				return noLocation()
			}
			other, err := found(w.tx.HostByName(p.Tenant, p.Name))
			if err != nil {
				return fmt.Errorf("finding host: %w", err)
			}
			if other != nil {
				// Only what the caller could read of the other is told.
				return problem.Wrap(problem.Conflict, ErrNameTaken, "The name '%s' is already in use: the names of virtual machines and sites are unique in a tenant.", p.Name)
			}
			created = true
			after = directory.Host{
				Tenant: p.Tenant, ID: w.newObjectID(), Name: p.Name, Kind: kind, ResourceGroup: g.Name, Location: rw.Location,
				ResourceID: directory.HostResourceID(p.Subscription, g.Name, kind, p.Name),
			}
			if after.Kept, err = rw.kept(nil); err != nil {
				return err
			}
		case rw.Location != "" && !strings.EqualFold(rw.Location, before.Location):
			return moved(before.Name, before.Location, before.ResourceGroup, rw.Location)
		default:
			after = *before
			if after.Kept, err = rw.kept(before.Kept); err != nil {
				return err
			}
		}
		// Step 3: Decide on each identity that comes new.
		system := !after.System.IsZero()
		if ids != nil {
			system = ids.System
			if after.Identities, err = w.assignIdentities(p, &after, ids); err != nil {
				return err
			}
		}
		// Step 4: Write.
		if created {
			err = w.createHost(&after)
		} else {
			err = w.updateHost(before, &after)
		}
		if err != nil {
			return err
		}
		if err := w.setSystemAssigned(&after, system); err != nil {
			return err
		}
		written, err := w.hostIn(p, kind)
		if err != nil {
			return err
		}
		*v = HostView{Hosts: []directory.Host{*written}, Assigned: make(map[directory.ObjectID]directory.ManagedIdentity)}
		return w.assignedTo(v.Hosts, v.Assigned)
	})
	if err != nil {
		return nil, false, err
	}
	return v, created, nil
}

// assignIdentities works out which user-assigned identities the host has after
// the write, and refuses those that the caller may not assign. Whether there is
// such an identity is told to those only who could assign it.
func (w *writer) assignIdentities(p Place, h *directory.Host, ids *HostIdentities) ([]directory.ObjectID, error) {
	if !ids.User {
		return nil, nil
	}
	var kept []directory.ObjectID
	if ids.Merge {
		kept = slices.Clone(h.Identities)
	}
	for _, ref := range ids.Refs {
		var m *directory.ManagedIdentity
		tenant, err := found(w.tx.Tenant(p.Tenant))
		if err != nil {
			return nil, fmt.Errorf("finding tenant: %w", err)
		}
		if tenant != nil && ref.Subscription == tenant.Subscription {
			if m, err = found(w.tx.IdentityIn(p.Tenant, ref.Group, ref.Name)); err != nil {
				return nil, fmt.Errorf("finding managed identity: %w", err)
			}
		}
		if ref.Remove {
			if m != nil {
				kept = slices.DeleteFunc(kept, func(id directory.ObjectID) bool { return id == m.PrincipalID })
			}
			continue
		}
		if m != nil && slices.Contains(h.Identities, m.PrincipalID) {
			if !slices.Contains(kept, m.PrincipalID) {
				kept = append(kept, m.PrincipalID)
			}
			continue
		}
		if err := w.allowAt(p.Tenant, AssignIdentity, ref.ResourceID); err != nil {
			if problem.KindOf(err) != problem.Denied || errors.Is(err, ErrCallerGone) {
				return nil, err
			}
			return nil, problem.Wrap(problem.Denied, errors.Join(ErrLinkDenied, err),
				"The client '%s' with object id '%s' has permission to perform action '%s' on scope '%s'; however, it does not have permission to perform action(s) '%s' on the linked scope(s) '%s' (respectively) or the linked scope(s) are invalid.",
				w.caller.Access.Client, w.caller.Access.Principal, p.Action, h.ResourceID, AssignIdentity, ref.ResourceID)
		}
		if m == nil {
			return nil, problem.Wrap(problem.Invalid, ErrLinkUnknown,
				"Identity operation for resource '%s' failed with error 'Failed to perform resource identity operation. Status: 'NotFound'. The Resource '%s/%s' under resource group '%s' was not found.'",
				h.ResourceID, identityType, ref.Name, ref.Group)
		}
		if !slices.Contains(kept, m.PrincipalID) {
			kept = append(kept, m.PrincipalID)
		}
	}
	return kept, nil
}

// DeleteComputeHost deletes the host at the place with its own identity, and
// reports whether there was one.
func (s *Service) DeleteComputeHost(ctx context.Context, caller Caller, p Place, kind directory.HostKind) (bool, error) {
	existed := false
	_, err := s.change(ctx, p.attempt(Delete, "host", p.resource(kind.ResourceType()), false), false, caller, func(w *writer) error {
		existed = false
		if err := w.decideAt(p, p.resource(kind.ResourceType())); err != nil {
			return err
		}
		h, err := w.hostIn(p, kind)
		if err != nil {
			return err
		}
		if h == nil {
			_, err := w.group(p.Tenant, p.Group)
			return err
		}
		existed = true
		return w.deleteHost(h)
	})
	return existed, err
}

// SystemIdentity returns the system-assigned identity of the host at the place.
func (s *Service) SystemIdentity(ctx context.Context, caller Caller, p Place, kind directory.HostKind) (*directory.ManagedIdentity, *directory.Host, error) {
	var m *directory.ManagedIdentity
	var h *directory.Host
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.decideAt(p, p.resource(kind.ResourceType())); err != nil {
			return err
		}
		if h, err = w.hostIn(p, kind); err != nil {
			return err
		}
		if h == nil || h.System.IsZero() {
			return noResource("Microsoft.ManagedIdentity/identities", p.Group, "default")
		}
		m, err = w.tx.Identity(p.Tenant, h.System)
		return err
	})
	return m, h, err
}
