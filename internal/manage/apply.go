package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// ApplyOptions says how to apply.
type ApplyOptions struct {
	DryRun bool // work the plan out, change nothing, record nothing
}

// Apply makes the directory match the files, all or nothing: one transaction,
// nothing of it when any rule is broken. Applying the same files again changes
// nothing and returns an empty plan.
//
// Only what the files state is touched. Tenants that no file names are left
// alone, and tenants are never deleted. In a named tenant a list that is stated
// is made to match exactly, so that objects it does not list are deleted with
// everything that hangs on them; a list whose key is absent is left alone. A
// scalar that is absent keeps its value, or gets its default when the object is
// created. One tenant stands in one file.
//
// Objects are matched by id where the entry states one (a changed name is then
// a rename), else by name; managed identities by resource group and name, or by
// name alone where only one has it. Ids never change: an entry that states
// another id for an existing name is refused. Ids that are not stated are made
// at random, and ids of deleted objects come back only if a file states them.
//
// Creating a tenant makes in it the service principals of the cloud's
// first-party resources; creating an application, the one in its home tenant.
// Identifier URIs and names of an application are kept in step in every tenant
// where it is provisioned. Deleting an application deletes its service principal
// in the home tenant; those in other tenants stay until those tenants remove
// them, and get no tokens. Deleting an identity or a host takes it off the
// hosts and deletes its service principal. Deleting a service principal or an
// app role deletes the assignments that name it.
//
// An error that files can mend is config.Errors and lists everything that was
// found wrong, with positions. Warnings concern every credential the files
// state, changed or not.
func (s *Service) Apply(ctx context.Context, caller Caller, files []*config.Directory, opts ApplyOptions) (*Plan, error) {
	var names []string
	for _, f := range files {
		names = append(names, f.Pos.File)
	}
	attempt := audit.Change{Action: "apply", Target: audit.Target{Kind: "directory", Name: strings.Join(names, ", ")}}
	return s.change(ctx, attempt, opts.DryRun, caller, func(w *writer) error {
		a := &applying{w: w}
		// What a step needs, the steps before it have made. Deletions come
		// first so that the names they free can be used.
		for _, step := range []func() error{
			func() error { return a.tenants(files) },
			a.match,
			a.deleteUnlisted,
			a.identities,
			a.hosts,
			a.applications,
			a.credentials,
			a.servicePrincipals,
			a.assignments,
			a.people,
			a.links,
			a.directoryRoles,
			a.azureRoles,
		} {
			err := step()
			if len(a.errs) > 0 {
				return a.errs
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// applying is one run of Apply.
type applying struct {
	w    *writer
	errs config.Errors
	work []*tenantWork
}

// tenantWork is a tenant that a file names, with its entries and what is stored.
type tenantWork struct {
	entry *config.Tenant
	id    directory.TenantID

	identities []pair[config.Identity, directory.ManagedIdentity]
	hosts      []pair[config.Host, directory.Host]
	apps       []pair[config.Application, directory.Application]
	groups     []pair[config.Group, directory.Group]

	unlistedIdentities []*directory.ManagedIdentity
	unlistedHosts      []*directory.Host
	unlistedApps       []*directory.Application
}

// report notes what a file can mend, at the field that the problem names, and
// returns anything else.
func (a *applying) report(at config.Node, err error) error {
	var p *problem.Error
	if !errors.As(err, &p) || p.Kind == problem.Internal || p.Kind == problem.Unavailable {
		return err
	}
	a.errs = append(a.errs, &config.Error{Pos: at.At(p.Target), Kind: p.Kind, Message: p.Message})
	return nil
}

// stable notes an id that differs from the one the object has.
func stable[T interface {
	comparable
	String() string
}](a *applying, at config.Node, field, what string, stated config.Value[T], have T) {
	if stated.Set && stated.V != have {
		a.errs = append(a.errs, &config.Error{Pos: at.At(field), Kind: problem.Conflict, Message: fmt.Sprintf(
			"%s exists with the %s %s, and ids never change; remove this line or state that id, or delete the object first to make a new one", what, field, have)})
	}
}

func ids(values ...string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return strings.HasSuffix(v, "=") })
}

func (a *applying) tenants(files []*config.Directory) error {
	var entries []config.Tenant
	first := make(map[string]config.Pos)
	for _, f := range files {
		for _, t := range f.Tenants.Items {
			for _, key := range ids("name="+strings.ToLower(t.Name), "id="+t.ID.V.String()) {
				if pos, twice := first[key]; twice {
					field, value, _ := strings.Cut(key, "=")
					a.errs = append(a.errs, &config.Error{Pos: t.At(field), Kind: problem.Invalid, Message: fmt.Sprintf("tenant %s stands also at %s; put all of one tenant into one entry", value, pos)})
				}
				first[key] = t.Pos
			}
			entries = append(entries, t)
		}
	}
	if len(a.errs) > 0 {
		return nil
	}
	stored, err := a.w.tx.Tenants()
	if err != nil {
		return fmt.Errorf("reading tenants: %w", err)
	}
	pairs, _ := pairUp(entries, stored,
		matcher[config.Tenant, directory.Tenant]{
			func(e *config.Tenant) []string { return ids("id=" + e.ID.V.String()) },
			func(t *directory.Tenant) []string { return ids("id=" + t.ID.String()) },
		},
		matcher[config.Tenant, directory.Tenant]{
			// Tenant names are compared without case.
			func(e *config.Tenant) []string { return []string{strings.ToLower(e.Name)} },
			func(t *directory.Tenant) []string { return []string{strings.ToLower(t.Name)} },
		})
	type update struct {
		entry         *config.Tenant
		before, after *directory.Tenant
	}
	var updates []update
	for _, p := range pairs {
		e, t := p.entry, p.stored
		if t == nil {
			continue
		}
		stable(a, e.Node, "id", "tenant "+e.Name, e.ID, t.ID)
		stable(a, e.Node, "subscription", "tenant "+e.Name, e.Subscription, t.Subscription)
		after := *t
		after.Name = e.Name
		after.DisplayName = e.DisplayName.Or(t.DisplayName)
		if e.Domains.Set {
			after.Domains = e.Domains.Items
		}
		updates = append(updates, update{e, t, &after})
	}
	if len(a.errs) > 0 {
		return nil
	}
	blocked := func(u update) (bool, error) {
		domains, err := a.w.allDomains()
		if err != nil {
			return false, err
		}
		for _, d := range u.after.Domains {
			if holder, taken := domains[d]; taken && holder != u.after.ID {
				return true, nil
			}
		}
		other, err := found(a.w.tx.TenantByName(u.after.Name))
		return other != nil && other.ID != u.after.ID, err
	}
	if err := settle(updates, blocked, func(u update) error {
		return a.report(u.entry.Node, a.w.updateTenant(u.before, u.after))
	}); err != nil {
		return err
	}
	for _, p := range pairs {
		work := &tenantWork{entry: p.entry}
		a.work = append(a.work, work)
		if p.stored != nil {
			work.id = p.stored.ID
			continue
		}
		e := p.entry
		t := &directory.Tenant{
			ID: a.w.tenantID(e.ID), Name: e.Name, DisplayName: e.DisplayName.V, Domains: e.Domains.Items,
			Subscription: a.w.objectID(e.Subscription),
		}
		work.id = t.ID
		if err := a.report(e.Node, a.w.createTenant(t)); err != nil {
			return err
		}
	}
	return nil
}

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
