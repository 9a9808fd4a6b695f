package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

const identityType = "Microsoft.ManagedIdentity/userAssignedIdentities"

// identities lists the user-assigned ones that the caller may do the place's
// action to.
func (w *writer) identities(p Place) ([]directory.ManagedIdentity, error) {
	visible, err := w.decideList(p)
	if err != nil {
		return nil, err
	}
	if p.Group != "" {
		if _, err := w.group(p.Tenant, p.Group); err != nil {
			return nil, err
		}
	}
	all, err := w.tx.Identities(p.Tenant)
	if err != nil {
		return nil, fmt.Errorf("reading managed identities: %w", err)
	}
	return slices.DeleteFunc(all, func(m directory.ManagedIdentity) bool {
		return m.Kind != directory.UserAssigned || p.Group != "" && !strings.EqualFold(m.ResourceGroup, p.Group) || !visible(m.ResourceID)
	}), nil
}

// ManagedIdentities lists the user-assigned identities of the group, or of the
// subscription, that the caller may read.
func (s *Service) ManagedIdentities(ctx context.Context, caller Caller, p Place) ([]directory.ManagedIdentity, error) {
	var all []directory.ManagedIdentity
	err := s.read(ctx, caller, func(w *writer) (err error) {
		all, err = w.identities(p)
		return err
	})
	return all, err
}

// identityIn finds a user-assigned identity that must exist, without regard to
// case.
func (w *writer) identityIn(p Place) (*directory.ManagedIdentity, error) {
	m, err := found(w.tx.IdentityIn(p.Tenant, p.Group, p.Name))
	if err != nil {
		return nil, fmt.Errorf("finding managed identity: %w", err)
	}
	if m == nil {
		if _, err := w.group(p.Tenant, p.Group); err != nil {
			return nil, err
		}
		return nil, noResource(identityType, p.Group, p.Name)
	}
	return m, nil
}

// ManagedIdentity returns the user-assigned identity at the place.
func (s *Service) ManagedIdentity(ctx context.Context, caller Caller, p Place) (*directory.ManagedIdentity, error) {
	var m *directory.ManagedIdentity
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.decideAt(p, p.resource(identityType)); err != nil {
			return err
		}
		m, err = w.identityIn(p)
		return err
	})
	return m, err
}

// IdentityHosts lists the hosts that the identity at the place is assigned to.
// The action for that is one of its own and covers hosts in any group.
func (s *Service) IdentityHosts(ctx context.Context, caller Caller, p Place) ([]directory.Host, error) {
	var on []directory.Host
	err := s.read(ctx, caller, func(w *writer) error {
		if err := w.decideAt(p, p.resource(identityType)); err != nil {
			return err
		}
		m, err := w.identityIn(p)
		if err != nil {
			return err
		}
		all, err := w.tx.Hosts(p.Tenant)
		if err != nil {
			return fmt.Errorf("reading hosts: %w", err)
		}
		on = slices.DeleteFunc(all, func(h directory.Host) bool { return !slices.Contains(h.Identities, m.PrincipalID) })
		return nil
	})
	return on, err
}

// PutManagedIdentity makes the user-assigned identity at the place or changes
// what is kept of it, and reports whether it made it. Ids and location never
// change.
func (s *Service) PutManagedIdentity(ctx context.Context, caller Caller, p Place, rw ResourceWrite) (*directory.ManagedIdentity, bool, error) {
	var after directory.ManagedIdentity
	created := false
	_, err := s.change(ctx, p.attempt(Update, "managedIdentity", p.resource(identityType), false), false, caller, func(w *writer) error {
		created = false
		if err := w.decideAt(p, p.resource(identityType)); err != nil {
			return err
		}
		g, err := w.group(p.Tenant, p.Group)
		if err != nil {
			return err
		}
		before, err := found(w.tx.IdentityIn(p.Tenant, p.Group, p.Name))
		if err != nil {
			return fmt.Errorf("finding managed identity: %w", err)
		}
		switch {
		case before == nil && rw.Patch:
			return noResource(identityType, p.Group, p.Name)
		case before == nil:
			if rw.Location == "" {
				return noLocation()
			}
			created = true
			after = directory.ManagedIdentity{
				Tenant: p.Tenant, PrincipalID: w.newObjectID(), ClientID: w.newClientID(), Kind: directory.UserAssigned,
				Name: p.Name, ResourceGroup: g.Name, Location: rw.Location,
				ResourceID: directory.IdentityResourceID(p.Subscription, g.Name, p.Name),
			}
			if err := rw.readOnly(&after); err != nil {
				return err
			}
			if after.Kept, err = rw.kept(nil); err != nil {
				return err
			}
			return w.createIdentity(&after)
		case rw.Location != "" && !strings.EqualFold(rw.Location, before.Location):
			return moved(before.Name, before.Location, before.ResourceGroup, rw.Location)
		}
		if err := rw.readOnly(before); err != nil {
			return err
		}
		after = *before
		if after.Kept, err = rw.kept(before.Kept); err != nil {
			return err
		}
		return w.updateIdentity(before, &after)
	})
	if err != nil {
		return nil, false, err
	}
	return &after, created, nil
}

// DeleteManagedIdentity deletes the identity and reports whether there was one.
func (s *Service) DeleteManagedIdentity(ctx context.Context, caller Caller, p Place) (bool, error) {
	existed := false
	_, err := s.change(ctx, p.attempt(Delete, "managedIdentity", p.resource(identityType), false), false, caller, func(w *writer) error {
		existed = false
		if err := w.decideAt(p, p.resource(identityType)); err != nil {
			return err
		}
		m, err := found(w.tx.IdentityIn(p.Tenant, p.Group, p.Name))
		if err != nil {
			return fmt.Errorf("finding managed identity: %w", err)
		}
		if m == nil {
			_, err := w.group(p.Tenant, p.Group)
			return err
		}
		existed = true
		return w.deleteIdentity(m)
	})
	return existed, err
}

// credentialHolder finds the identity at the place as the parent of its
// federated identity credentials.
func (w *writer) credentialHolder(p Place) (parent, []directory.FederatedCredential, error) {
	m, err := w.identityIn(p)
	if err != nil {
		if pe := (*problem.Error)(nil); errors.As(err, &pe) && errors.Is(err, ErrNoResource) {
			err = problem.Wrap(problem.NotFound, ErrNoParent, "Can not perform requested operation on nested resource. Parent resource '%s' not found.", p.Name)
		}
		return parent{}, nil, err
	}
	all, err := w.tx.Credentials(p.Tenant, m.PrincipalID)
	if err != nil {
		return parent{}, nil, fmt.Errorf("reading credentials: %w", err)
	}
	return parent{p.Tenant, m.PrincipalID, "managedIdentity", w.name(p.Tenant, m.Name)}, all, nil
}

func credentialScope(p Place, name string) string {
	scope := p.resource(identityType)
	if name != "" {
		scope += "/federatedIdentityCredentials/" + name
	}
	return scope
}

// credentialIn finds a credential by name, which resource ids compare without
// case.
func credentialIn(all []directory.FederatedCredential, name string) *directory.FederatedCredential {
	for i := range all {
		if strings.EqualFold(all[i].Name, name) {
			return &all[i]
		}
	}
	return nil
}

// IdentityCredentials lists the federated identity credentials of the identity
// at the place, or the one with the name.
func (s *Service) IdentityCredentials(ctx context.Context, caller Caller, p Place, name string) ([]directory.FederatedCredential, error) {
	var all []directory.FederatedCredential
	err := s.read(ctx, caller, func(w *writer) (err error) {
		if err := w.decideAt(p, credentialScope(p, name)); err != nil {
			return err
		}
		_, all, err = w.credentialHolder(p)
		if err != nil || name == "" {
			return err
		}
		c := credentialIn(all, name)
		if c == nil {
			return noResource(identityType+"/federatedIdentityCredentials", p.Group, p.Name+"/"+name)
		}
		all = []directory.FederatedCredential{*c}
		return nil
	})
	return all, err
}

// PutIdentityCredential writes a federated identity credential of the identity
// at the place and reports whether it made it.
func (s *Service) PutIdentityCredential(ctx context.Context, caller Caller, p Place, c directory.FederatedCredential) (*directory.FederatedCredential, bool, error) {
	var after directory.FederatedCredential
	created := false
	_, err := s.change(ctx, p.attempt(Update, credentialKind, credentialScope(p, c.Name), true), false, caller, func(w *writer) error {
		created = false
		if err := w.decideAt(p, credentialScope(p, c.Name)); err != nil {
			return err
		}
		holder, all, err := w.credentialHolder(p)
		if err != nil {
			return err
		}
		after = c
		before := credentialIn(all, c.Name)
		if before == nil {
			created = true
			after.ID = w.newObjectID()
			return w.createCredential(holder, &after, config.Node{})
		}
		after.ID, after.Name, after.Description = before.ID, before.Name, before.Description
		return w.updateCredential(holder, before, &after, config.Node{})
	})
	if err != nil {
		return nil, false, err
	}
	return &after, created, nil
}

// DeleteIdentityCredential deletes one by name and reports whether there was one.
func (s *Service) DeleteIdentityCredential(ctx context.Context, caller Caller, p Place, name string) (bool, error) {
	existed := false
	_, err := s.change(ctx, p.attempt(Delete, credentialKind, credentialScope(p, name), true), false, caller, func(w *writer) error {
		existed = false
		if err := w.decideAt(p, credentialScope(p, name)); err != nil {
			return err
		}
		holder, all, err := w.credentialHolder(p)
		if err != nil {
			return err
		}
		c := credentialIn(all, name)
		if c == nil {
			return nil
		}
		existed = true
		return w.deleteCredential(holder, c)
	})
	return existed, err
}
