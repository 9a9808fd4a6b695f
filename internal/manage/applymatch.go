package manage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// match pairs the entries of every tenant with what is stored, and refuses ids
// that differ.
func (a *applying) match() error {
	for _, t := range a.work {
		if err := a.matchIdentities(t); err != nil {
			return err
		}
		if err := a.matchHosts(t); err != nil {
			return err
		}
		if err := a.matchApplications(t); err != nil {
			return err
		}
	}
	return nil
}

func (a *applying) matchIdentities(t *tenantWork) error {
	list := t.entry.ManagedIdentities
	if !list.Set {
		return nil
	}
	stored, err := a.w.tx.Identities(t.id)
	if err != nil {
		return fmt.Errorf("reading managed identities: %w", err)
	}
	stored = slices.DeleteFunc(stored, func(m directory.ManagedIdentity) bool { return m.Kind != directory.UserAssigned })
	lower := strings.ToLower
	type identityMatcher = matcher[config.Identity, directory.ManagedIdentity]
	t.identities, t.unlistedIdentities = pairUp(list.Items, stored,
		identityMatcher{
			func(e *config.Identity) []string {
				return ids("principal="+e.PrincipalID.V.String(), "client="+e.ClientID.V.String())
			},
			func(m *directory.ManagedIdentity) []string {
				return ids("principal="+m.PrincipalID.String(), "client="+m.ClientID.String())
			},
		},
		identityMatcher{
			func(e *config.Identity) []string {
				if !e.ResourceGroup.Set {
					return nil
				}
				return []string{lower(e.ResourceGroup.V + "/" + e.Name)}
			},
			func(m *directory.ManagedIdentity) []string { return []string{lower(m.ResourceGroup + "/" + m.Name)} },
		},
		identityMatcher{
			func(e *config.Identity) []string { return []string{lower(e.Name)} },
			func(m *directory.ManagedIdentity) []string { return []string{lower(m.Name)} },
		})
	for _, p := range t.identities {
		e, m := p.entry, p.stored
		if m != nil {
			what := "managed identity " + e.Name
			stable(a, e.Node, "principalId", what, e.PrincipalID, m.PrincipalID)
			stable(a, e.Node, "clientId", what, e.ClientID, m.ClientID)
			continue
		}
		if e.ResourceGroup.Set {
			continue
		}
		var groups []string
		for _, m := range t.unlistedIdentities {
			if strings.EqualFold(m.Name, e.Name) {
				groups = append(groups, m.ResourceGroup)
			}
		}
		if len(groups) > 0 {
			slices.Sort(groups)
			a.errs = append(a.errs, &config.Error{Pos: e.At("resourceGroup"), Kind: problem.Conflict, Message: fmt.Sprintf(
				"is needed: several managed identities are named %s, in the resource groups %s", e.Name, strings.Join(groups, ", "))})
		}
	}
	return nil
}

func (a *applying) matchHosts(t *tenantWork) error {
	list := t.entry.Hosts
	if !list.Set {
		return nil
	}
	stored, err := a.w.tx.Hosts(t.id)
	if err != nil {
		return fmt.Errorf("reading hosts: %w", err)
	}
	t.hosts, t.unlistedHosts = pairUp(list.Items, stored,
		matcher[config.Host, directory.Host]{
			func(e *config.Host) []string { return ids("id=" + e.ID.V.String()) },
			func(h *directory.Host) []string { return ids("id=" + h.ID.String()) },
		},
		matcher[config.Host, directory.Host]{
			func(e *config.Host) []string { return []string{e.Name} },
			func(h *directory.Host) []string { return []string{h.Name} },
		})
	for _, p := range t.hosts {
		if p.stored != nil {
			stable(a, p.entry.Node, "id", "host "+p.entry.Name, p.entry.ID, p.stored.ID)
		}
	}
	return nil
}

func (a *applying) matchApplications(t *tenantWork) error {
	list := t.entry.Applications
	if !list.Set {
		return nil
	}
	stored, err := a.w.tx.Applications(t.id)
	if err != nil {
		return fmt.Errorf("reading applications: %w", err)
	}
	type appMatcher = matcher[config.Application, directory.Application]
	t.apps, t.unlistedApps = pairUp(list.Items, stored,
		appMatcher{
			func(e *config.Application) []string {
				return ids("id="+e.ID.V.String(), "client="+e.ClientID.V.String())
			},
			func(x *directory.Application) []string {
				return ids("id="+x.ID.String(), "client="+x.ClientID.String())
			},
		},
		appMatcher{
			func(e *config.Application) []string { return []string{e.Name} },
			func(x *directory.Application) []string { return []string{x.Name} },
		})
	for _, p := range t.apps {
		if p.stored != nil {
			what := "application " + p.entry.Name
			stable(a, p.entry.Node, "id", what, p.entry.ID, p.stored.ID)
			stable(a, p.entry.Node, "clientId", what, p.entry.ClientID, p.stored.ClientID)
			continue
		}
		var same []string
		for _, x := range t.unlistedApps {
			if x.Name == p.entry.Name && !p.entry.ID.Set && !p.entry.ClientID.Set {
				same = append(same, x.ClientID.String())
			}
		}
		if len(same) > 0 {
			a.errs = append(a.errs, &config.Error{Pos: p.entry.At("clientId"), Kind: problem.Conflict, Message: fmt.Sprintf(
				"is needed: several applications are named %s, with the client ids %s", p.entry.Name, strings.Join(same, ", "))})
		}
	}
	return nil
}

func (a *applying) deleteUnlisted() error {
	for _, t := range a.work {
		for _, x := range t.unlistedApps {
			if err := a.w.deleteApplication(x); err != nil {
				return err
			}
		}
		for _, h := range t.unlistedHosts {
			if err := a.w.deleteHost(h); err != nil {
				return err
			}
		}
		for _, m := range t.unlistedIdentities {
			if err := a.w.deleteIdentity(m); err != nil {
				return err
			}
		}
	}
	return a.deleteUnprovisioned()
}

// deleteUnprovisioned deletes the service principals of other tenants'
// applications that are stored and not listed. The entries name applications as
// they will be called when everything is applied.
func (a *applying) deleteUnprovisioned() error {
	renamed := make(map[directory.ClientID]string)
	for _, t := range a.work {
		for _, p := range t.apps {
			if p.stored != nil {
				renamed[p.stored.ClientID] = p.entry.Name
			}
		}
	}
	for _, t := range a.work {
		list := t.entry.ServicePrincipals
		if !list.Set {
			continue
		}
		listed := make(map[string]bool)
		for _, e := range list.Items {
			tenant, name, _ := strings.Cut(e.Application, "/")
			listed[strings.ToLower(tenant)+"/"+name] = true
		}
		all, err := a.w.tx.Principals(t.id)
		if err != nil {
			return fmt.Errorf("reading service principals: %w", err)
		}
		for i := range all {
			p := &all[i]
			if !a.w.provisioned(p) {
				continue
			}
			app, err := found(a.w.tx.ApplicationByClientID(p.ClientID))
			if err != nil {
				return fmt.Errorf("finding application: %w", err)
			}
			keep := false
			if app != nil {
				name, ok := renamed[app.ClientID]
				if !ok {
					name = app.Name
				}
				keep = listed[strings.ToLower(a.w.name(app.Tenant))+"/"+name] || listed[app.ClientID.String()+"/"]
			}
			if !keep {
				if err := a.w.deleteProvisioned(p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
