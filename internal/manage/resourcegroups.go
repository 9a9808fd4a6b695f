package manage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// group finds a resource group that must exist.
func (w *writer) group(t directory.TenantID, name string) (*directory.ResourceGroup, error) {
	g, err := found(w.tx.ResourceGroup(t, name))
	if err != nil {
		return nil, fmt.Errorf("finding resource group: %w", err)
	}
	if g == nil {
		return nil, problem.Wrap(problem.NotFound, ErrNoGroup, "Resource group '%s' could not be found.", name)
	}
	return g, nil
}

// ensureGroup makes the group that an identity or a host is in, where no row
// stands for it yet. Files name groups without stating them, so this is part of
// writing the resource and no change of its own.
func (w *writer) ensureGroup(t directory.TenantID, name, location string) error {
	g, err := found(w.tx.ResourceGroup(t, name))
	if g != nil || err != nil {
		return err
	}
	if err := w.tx.PutResourceGroup(&directory.ResourceGroup{Tenant: t, Name: name, Location: location, Created: w.now}); err != nil {
		return fmt.Errorf("writing resource group: %w", err)
	}
	return nil
}

// ResourceGroups lists those that the caller may read, by name.
func (s *Service) ResourceGroups(ctx context.Context, caller Caller, p Place) ([]directory.ResourceGroup, error) {
	var all []directory.ResourceGroup
	err := s.read(ctx, caller, func(w *writer) error {
		visible, err := w.decideList(p)
		if err != nil {
			return err
		}
		if all, err = w.tx.ResourceGroups(p.Tenant); err != nil {
			return fmt.Errorf("reading resource groups: %w", err)
		}
		all = slices.DeleteFunc(all, func(g directory.ResourceGroup) bool { return !visible(GroupScope(p.Subscription, g.Name)) })
		return nil
	})
	return all, err
}

// ResourceGroup returns one.
func (s *Service) ResourceGroup(ctx context.Context, caller Caller, p Place) (*directory.ResourceGroup, error) {
	var g *directory.ResourceGroup
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.decideAt(p, p.scope()); err != nil {
			return err
		}
		g, err = w.group(p.Tenant, p.Group)
		return err
	})
	return g, err
}

func resourceGroupFields(g *directory.ResourceGroup) []field {
	return []field{textField("name", g.Name), textField("location", g.Location), resourceField(g.Kept)}
}

func (w *writer) resourceGroupTarget(p Place, name string) audit.Target {
	return audit.Target{Kind: "resourceGroup", ID: GroupScope(p.Subscription, name), Name: w.name(p.Tenant, name)}
}

// PutResourceGroup makes the group or changes what is kept of it, and reports
// whether it made it. A location cannot be changed.
func (s *Service) PutResourceGroup(ctx context.Context, caller Caller, p Place, rw ResourceWrite) (*directory.ResourceGroup, bool, error) {
	var after directory.ResourceGroup
	created := false
	_, err := s.change(ctx, p.attempt(Update, "resourceGroup", p.scope(), false), false, caller, func(w *writer) error {
		created = false
		if err := w.decideAt(p, p.scope()); err != nil {
			return err
		}
		before, err := found(w.tx.ResourceGroup(p.Tenant, p.Group))
		if err != nil {
			return fmt.Errorf("finding resource group: %w", err)
		}
		switch {
		case before == nil && rw.Patch:
			_, err := w.group(p.Tenant, p.Group)
			return err
		case before == nil:
			if rw.Location == "" {
				return noLocation()
			}
			if err := validPlace(p.Group, rw.Location); err != nil {
				return err
			}
			created = true
			after = directory.ResourceGroup{Tenant: p.Tenant, Name: p.Group, Location: rw.Location, Created: w.now}
			if after.Kept, err = rw.kept(nil); err != nil {
				return err
			}
			if err := w.tx.PutResourceGroup(&after); err != nil {
				return conflict(err, "resource group", after.Name)
			}
			return w.record(change{op: Create, tenant: p.Tenant, target: w.resourceGroupTarget(p, after.Name), after: resourceGroupFields(&after)})
		case rw.Location != "" && !strings.EqualFold(rw.Location, before.Location):
			return problem.Wrap(problem.Conflict, ErrGroupMoved,
				"Invalid resource group location '%s'. The Resource group already exists in location '%s'.", rw.Location, before.Location)
		}
		after = *before
		if after.Kept, err = rw.kept(before.Kept); err != nil {
			return err
		}
		return w.putResourceGroup(p, before, &after)
	})
	if err != nil {
		return nil, false, err
	}
	return &after, created, nil
}

// putResourceGroup writes what changed of a group that exists.
func (w *writer) putResourceGroup(p Place, before, after *directory.ResourceGroup) error {
	old, now := resourceGroupFields(before), resourceGroupFields(after)
	if len(compare(old, now)) == 0 {
		return nil
	}
	if err := validKept(after.Kept, mostKeptInGroup); err != nil {
		return err
	}
	if err := w.tx.PutResourceGroup(after); err != nil {
		return conflict(err, "resource group", after.Name)
	}
	return w.record(change{op: Update, tenant: p.Tenant, target: w.resourceGroupTarget(p, after.Name), before: old, after: now})
}

// DeleteResourceGroup deletes the group with everything in it: hosts, managed
// identities, and the role assignments at the group and below. NotFound when
// there is none.
func (s *Service) DeleteResourceGroup(ctx context.Context, caller Caller, p Place) error {
	_, err := s.change(ctx, p.attempt(Delete, "resourceGroup", p.scope(), false), false, caller, func(w *writer) error {
		if err := w.decideAt(p, p.scope()); err != nil {
			return err
		}
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		hosts, err := w.tx.Hosts(p.Tenant)
		if err != nil {
			return fmt.Errorf("reading hosts: %w", err)
		}
		for i := range hosts {
			if strings.EqualFold(hosts[i].ResourceGroup, g.Name) {
				if err := w.deleteHost(&hosts[i]); err != nil {
					return err
				}
			}
		}
		identities, err := w.tx.Identities(p.Tenant)
		if err != nil {
			return fmt.Errorf("reading managed identities: %w", err)
		}
		for i := range identities {
			if identities[i].Kind == directory.UserAssigned && strings.EqualFold(identities[i].ResourceGroup, g.Name) {
				if err := w.deleteIdentity(&identities[i]); err != nil {
					return err
				}
			}
		}
		if err := w.dropAzureAssignmentsWithin(p.Tenant, p.scope()); err != nil {
			return err
		}
		if err := w.tx.DeleteResourceGroup(p.Tenant, g.Name); err != nil {
			return fmt.Errorf("deleting resource group: %w", err)
		}
		return w.record(change{op: Delete, tenant: p.Tenant, target: w.resourceGroupTarget(p, g.Name), before: resourceGroupFields(g)})
	})
	return err
}
