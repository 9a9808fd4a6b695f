package manage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
)

func (a *applying) identities() error {
	for _, t := range a.work {
		tenant, err := a.w.tx.Tenant(t.id)
		if err != nil {
			return fmt.Errorf("reading tenant: %w", err)
		}
		type update struct {
			p     *pair[config.Identity, directory.ManagedIdentity]
			after *directory.ManagedIdentity
		}
		var updates []update
		for i := range t.identities {
			p := &t.identities[i]
			if p.stored == nil {
				continue
			}
			after := *p.stored
			after.Name = p.entry.Name
			after.ResourceGroup = p.entry.ResourceGroup.Or(after.ResourceGroup)
			after.Location = p.entry.Location.Or(after.Location)
			after.ResourceID = directory.IdentityResourceID(tenant.Subscription, after.ResourceGroup, after.Name)
			updates = append(updates, update{p, &after})
		}
		blocked := func(u update) (bool, error) {
			if u.after.Name == u.p.stored.Name && u.after.ResourceGroup == u.p.stored.ResourceGroup {
				return false, nil
			}
			same, err := a.w.tx.IdentitiesNamed(t.id, u.after.Name)
			return slices.ContainsFunc(same, func(m directory.ManagedIdentity) bool {
				return m.PrincipalID != u.after.PrincipalID && strings.EqualFold(m.ResourceGroup, u.after.ResourceGroup)
			}), err
		}
		if err := settle(updates, blocked, func(u update) error {
			err := a.w.updateIdentity(u.p.stored, u.after)
			u.p.stored = u.after
			return a.report(u.p.entry.Node, err)
		}); err != nil {
			return err
		}
		for i := range t.identities {
			p := &t.identities[i]
			if p.stored != nil {
				continue
			}
			e := p.entry
			p.stored = &directory.ManagedIdentity{
				Tenant: t.id, PrincipalID: a.w.objectID(e.PrincipalID), ClientID: a.w.clientID(e.ClientID), Kind: directory.UserAssigned,
				Name: e.Name, ResourceGroup: e.ResourceGroup.Or(DefaultResourceGroup), Location: e.Location.Or(DefaultLocation),
			}
			p.stored.ResourceID = directory.IdentityResourceID(tenant.Subscription, p.stored.ResourceGroup, p.stored.Name)
			if err := a.report(e.Node, a.w.createIdentity(p.stored)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *applying) hosts() error {
	for _, t := range a.work {
		if len(t.hosts) == 0 {
			continue
		}
		tenant, err := a.w.tx.Tenant(t.id)
		if err != nil {
			return fmt.Errorf("reading tenant: %w", err)
		}
		// Read again: deleted identities are off their hosts by now.
		all, err := a.w.tx.Hosts(t.id)
		if err != nil {
			return fmt.Errorf("reading hosts: %w", err)
		}
		current := make(map[directory.ObjectID]*directory.Host, len(all))
		for i := range all {
			current[all[i].ID] = &all[i]
		}
		type update struct {
			entry         *config.Host
			before, after *directory.Host
		}
		var updates, creates []update
		for _, p := range t.hosts {
			e := p.entry
			u := update{entry: e, after: &directory.Host{Tenant: t.id, ResourceGroup: DefaultResourceGroup, Location: DefaultLocation}}
			if p.stored != nil {
				u.before = current[p.stored.ID]
				after := *u.before
				u.after = &after
			} else {
				u.after.ID = a.w.objectID(e.ID)
			}
			u.after.Name, u.after.Kind = e.Name, e.Kind
			u.after.ResourceGroup = e.ResourceGroup.Or(u.after.ResourceGroup)
			u.after.Location = e.Location.Or(u.after.Location)
			u.after.ResourceID = directory.HostResourceID(tenant.Subscription, u.after.ResourceGroup, e.Kind, e.Name)
			if e.Identities.Set {
				if u.after.Identities, err = a.hostIdentities(t.id, e); err != nil {
					return err
				}
			}
			if u.before != nil {
				updates = append(updates, u)
			} else {
				creates = append(creates, u)
			}
		}
		if len(a.errs) > 0 {
			return nil
		}
		blocked := func(u update) (bool, error) {
			other, err := found(a.w.tx.HostByName(t.id, u.after.Name))
			return other != nil && other.ID != u.after.ID, err
		}
		write := func(u update) error {
			var err error
			if u.before != nil {
				err = a.w.updateHost(u.before, u.after)
			} else {
				err = a.w.createHost(u.after)
			}
			if err == nil && u.entry.SystemAssigned.Set {
				err = a.w.setSystemAssigned(u.after, u.entry.SystemAssigned.V)
			}
			return a.report(u.entry.Node, err)
		}
		if err := settle(updates, blocked, write); err != nil {
			return err
		}
		for _, u := range creates {
			if err := write(u); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *applying) hostIdentities(t directory.TenantID, e *config.Host) ([]directory.ObjectID, error) {
	var principals []directory.ObjectID
	for i, ref := range e.Identities.Items {
		m, err := a.w.userAssigned(t, ref, fmt.Sprintf("identities[%d]", i))
		if err != nil {
			if err := a.report(e.Node, err); err != nil {
				return nil, err
			}
			continue
		}
		if !slices.Contains(principals, m.PrincipalID) {
			principals = append(principals, m.PrincipalID)
		}
	}
	return principals, nil
}
