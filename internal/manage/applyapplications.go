package manage

import (
	"fmt"

	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// applications updates those of every tenant before it creates any, so that
// identifier URIs can move between applications and tenants.
func (a *applying) applications() error {
	type update struct {
		p     *pair[config.Application, directory.Application]
		after *directory.Application
	}
	var updates, creates []update
	for _, t := range a.work {
		for i := range t.apps {
			p := &t.apps[i]
			after := a.wanted(t.id, p)
			if p.stored != nil {
				updates = append(updates, update{p, after})
			} else {
				creates = append(creates, update{p, after})
			}
		}
	}
	if len(a.errs) > 0 {
		return nil
	}
	blocked := func(u update) (bool, error) {
		if u.after.Name != u.p.stored.Name {
			other, err := a.w.applicationNamed(u.after.Tenant, u.after.Name)
			if err != nil || other != nil {
				return true, err
			}
		}
		if sameSet(u.p.stored.IdentifierURIs, u.after.IdentifierURIs) {
			return false, nil
		}
		principals, err := a.w.tx.PrincipalsOf(u.after.ClientID)
		if err != nil {
			return false, fmt.Errorf("reading service principals: %w", err)
		}
		for _, p := range principals {
			for _, uri := range u.after.IdentifierURIs {
				holder, err := a.w.holderOf(p.Tenant, uri)
				if err != nil {
					return false, err
				}
				if holder != nil && holder.ID != p.ID {
					return true, nil
				}
			}
		}
		return false, nil
	}
	if err := settle(updates, blocked, func(u update) error {
		var required *bool
		if u.p.entry.AssignmentRequired.Set {
			required = &u.p.entry.AssignmentRequired.V
		}
		var err error
		if u.after.Name != u.p.stored.Name {
			err = a.w.nameFree(u.after)
		}
		if err == nil {
			err = a.w.updateApplication(u.p.stored, u.after, required)
		}
		if err == nil {
			err = a.w.ensureHome(u.after, required)
		}
		u.p.stored = u.after
		return a.report(u.p.entry.Node, err)
	}); err != nil {
		return err
	}
	for _, u := range creates {
		u.p.stored = u.after
		err := a.w.nameFree(u.after)
		if err == nil {
			err = a.w.createApplication(u.after, a.w.homeOf(u.after, u.p.entry.AssignmentRequired.V))
		}
		if err := a.report(u.p.entry.Node, err); err != nil {
			return err
		}
	}
	return nil
}

// wanted is the application as the entry describes it.
func (a *applying) wanted(t directory.TenantID, p *pair[config.Application, directory.Application]) *directory.Application {
	e := p.entry
	x := directory.Application{Tenant: t, Audience: directory.SingleTenant}
	if p.stored != nil {
		x = *p.stored
	} else {
		x.ID, x.ClientID = a.w.objectID(e.ID), a.w.clientID(e.ClientID)
	}
	x.Name = e.Name
	x.Audience = e.Audience.Or(x.Audience)
	x.TokenVersion = e.TokenVersion.Or(x.TokenVersion)
	x.Disabled = e.Disabled.Or(x.Disabled)
	if e.IdentifierURIs.Set {
		x.IdentifierURIs = e.IdentifierURIs.Items
	}
	if !e.AppRoles.Set {
		return &x
	}
	pairs, _ := pairUp(e.AppRoles.Items, x.AppRoles,
		matcher[config.AppRole, directory.AppRole]{
			func(r *config.AppRole) []string { return ids("id=" + r.ID.V.String()) },
			func(r *directory.AppRole) []string { return ids("id=" + r.ID.String()) },
		},
		matcher[config.AppRole, directory.AppRole]{
			func(r *config.AppRole) []string { return []string{r.Value} },
			func(r *directory.AppRole) []string { return []string{r.Value} },
		})
	roles := make([]directory.AppRole, len(pairs))
	for i, p := range pairs {
		var role directory.AppRole
		if p.stored != nil {
			role = *p.stored
			stable(a, p.entry.Node, "id", "app role "+p.entry.Value, p.entry.ID, role.ID)
		} else {
			role.ID = a.w.objectID(p.entry.ID)
		}
		role.Value, role.DisplayName = p.entry.Value, p.entry.DisplayName
		role.Description = p.entry.Description.Or(role.Description)
		role.Disabled = p.entry.Disabled.Or(role.Disabled)
		roles[i] = role
	}
	x.AppRoles = roles
	return &x
}

func (a *applying) credentials() error {
	for _, t := range a.work {
		for _, p := range t.identities {
			at := parent{t.id, p.stored.PrincipalID, "managedIdentity", a.w.name(t.id, p.stored.Name)}
			if err := a.credentialsOf(at, p.entry.FederatedIdentityCredentials); err != nil {
				return err
			}
		}
		for _, p := range t.apps {
			at := parent{t.id, p.stored.ID, "application", a.w.name(t.id, p.stored.Name)}
			if err := a.credentialsOf(at, p.entry.FederatedIdentityCredentials); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *applying) credentialsOf(p parent, list config.List[config.Credential]) error {
	if !list.Set {
		return nil
	}
	stored, err := a.w.tx.Credentials(p.tenant, p.id)
	if err != nil {
		return fmt.Errorf("reading credentials: %w", err)
	}
	byName := matcher[config.Credential, directory.FederatedCredential]{
		func(e *config.Credential) []string { return []string{e.Name} },
		func(c *directory.FederatedCredential) []string { return []string{c.Name} },
	}
	pairs, unlisted := pairUp(list.Items, stored, byName)
	for _, c := range unlisted {
		if err := a.w.deleteCredential(p, c); err != nil {
			return err
		}
	}
	type update struct {
		entry         *config.Credential
		before, after *directory.FederatedCredential
	}
	holder := make(map[[2]string]directory.ObjectID)
	for _, pair := range pairs {
		if c := pair.stored; c != nil {
			holder[[2]string{c.Issuer, c.Subject}] = c.ID
		}
	}
	var updates, creates []update
	for _, pair := range pairs {
		u := update{entry: pair.entry, before: pair.stored, after: new(directory.FederatedCredential)}
		if u.before != nil {
			*u.after = *u.before
		} else {
			u.after.ID = a.w.newObjectID()
		}
		if err := a.fill(p.tenant, u.after, pair.entry); err != nil {
			if err := a.report(pair.entry.Node, err); err != nil {
				return err
			}
			continue
		}
		other, taken := holder[[2]string{u.after.Issuer, u.after.Subject}]
		switch {
		case u.before == nil:
			creates = append(creates, u)
		case taken && other != u.after.ID:
			// Another credential of the list still has the pair, as when two
			// trade subjects: step aside and come back, under the same id.
			if err := a.w.deleteCredential(p, u.before); err != nil {
				return err
			}
			creates = append(creates, u)
		default:
			updates = append(updates, u)
		}
	}
	for _, u := range updates {
		if err := a.report(u.entry.Node, a.w.updateCredential(p, u.before, u.after, u.entry.Node)); err != nil {
			return err
		}
	}
	for _, u := range creates {
		if err := a.report(u.entry.Node, a.w.createCredential(p, u.after, u.entry.Node)); err != nil {
			return err
		}
	}
	return nil
}

// fill puts what the entry states into the credential.
func (a *applying) fill(t directory.TenantID, c *directory.FederatedCredential, e *config.Credential) error {
	c.Name = e.Name
	c.Description = e.Description.Or(c.Description)
	c.Issuer, c.Subject, c.Audience = e.Issuer.V, e.Subject.V, e.Audience.V
	if !e.ManagedIdentity.Set {
		return nil
	}
	m, err := a.w.userAssigned(t, e.ManagedIdentity.V, "managedIdentity")
	if err != nil {
		return err
	}
	c.Issuer, c.Subject, c.Audience = a.w.cloud.V2IssuerOf(t), m.PrincipalID.String(), e.Audience.Or(a.w.cloud.ExchangeURI)
	return nil
}

func (a *applying) servicePrincipals() error {
	for _, t := range a.work {
		list := t.entry.ServicePrincipals
		if !list.Set {
			continue
		}
		all, err := a.w.tx.Principals(t.id)
		if err != nil {
			return fmt.Errorf("reading service principals: %w", err)
		}
		type wanted struct {
			entry *config.ServicePrincipal
			app   *directory.Application
		}
		var order []wanted
		byClient := make(map[directory.ClientID]*config.ServicePrincipal)
		for i := range list.Items {
			e := &list.Items[i]
			app, err := a.w.applicationReferred(e.Application, "application")
			if err == nil {
				err = a.w.provisionable(t.id, app)
			}
			if err == nil && byClient[app.ClientID] != nil {
				err = problem.Newf(problem.Invalid, "application", "%s is listed twice; first in line %d", a.w.name(app.Tenant, app.Name), byClient[app.ClientID].Pos.Line)
			}
			if err != nil {
				if err := a.report(e.Node, err); err != nil {
					return err
				}
				continue
			}
			byClient[app.ClientID] = e
			order = append(order, wanted{e, app})
		}
		if len(a.errs) > 0 {
			continue
		}
		stored := make(map[directory.ClientID]*directory.ServicePrincipal)
		for i := range all {
			p := &all[i]
			if a.w.provisioned(p) {
				stored[p.ClientID] = p
			}
		}
		for _, want := range order {
			e, before := want.entry, stored[want.app.ClientID]
			if before == nil {
				err = a.w.provision(t.id, want.app, e.AssignmentRequired.V, e.Disabled.V)
			} else {
				after := *before
				after.AssignmentRequired = e.AssignmentRequired.Or(after.AssignmentRequired)
				after.Disabled = e.Disabled.Or(after.Disabled)
				err = a.w.updateProvisioned(before, &after)
			}
			if err := a.report(e.Node, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *applying) assignments() error {
	for _, t := range a.work {
		list := t.entry.AppRoleAssignments
		if !list.Set {
			continue
		}
		index, err := a.w.assignments(t.id)
		if err != nil {
			return err
		}
		type grant struct{ principal, resource, role directory.ObjectID }
		wanted := make(map[grant]int)
		var order []grant
		for i := range list.Items {
			e := &list.Items[i]
			var g grant
			err := a.w.grantReferred(t.id, e, &g.principal, &g.resource, &g.role)
			if first, twice := wanted[g]; err == nil && twice {
				err = problem.Newf(problem.Invalid, "", "is the same assignment as the one in line %d", list.Items[first].Pos.Line)
			}
			if err != nil {
				if err := a.report(e.Node, err); err != nil {
					return err
				}
				continue
			}
			wanted[g] = i
			order = append(order, g)
		}
		if len(a.errs) > 0 {
			continue
		}
		held := make(map[grant]bool)
		for _, x := range index.list() {
			g := grant{x.Principal, x.Resource, x.Role}
			held[g] = true
			if _, keep := wanted[g]; !keep {
				if err := a.w.unassign(x); err != nil {
					return err
				}
			}
		}
		for _, g := range order {
			if held[g] {
				continue
			}
			if err := a.report(list.Items[wanted[g]].Node, a.w.assign(t.id, g.principal, g.resource, g.role)); err != nil {
				return err
			}
		}
	}
	return nil
}
