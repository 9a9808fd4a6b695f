package manage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// applicationReferred finds the application that tenant/name, or a client id,
// names. The problem's target is the given field.
func (w *writer) applicationReferred(ref, field string) (*directory.Application, error) {
	if id, err := directory.ParseClientID(ref); err == nil {
		app, err := found(w.tx.ApplicationByClientID(id))
		if err != nil {
			return nil, fmt.Errorf("finding application: %w", err)
		}
		if app == nil {
			return nil, problem.Newf(problem.NotFound, field, "no application has the client id %s; if it was deleted, remove what refers to it", id)
		}
		return app, nil
	}
	tenant, name, _ := strings.Cut(ref, "/")
	t, err := w.tenantNamed(tenant, field)
	if err != nil {
		return nil, err
	}
	app, err := w.applicationNamed(t.ID, name)
	if err != nil {
		return nil, fmt.Errorf("finding application: %w", err)
	}
	if app == nil {
		known, err := w.applicationNames(t.ID)
		if err != nil {
			return nil, err
		}
		return nil, problem.Newf(problem.NotFound, field, "tenant %s has no application %q.%s", t.Name, name, near(name, known))
	}
	return app, nil
}

func (w *writer) tenantNamed(name, field string) (*directory.Tenant, error) {
	t, err := found(w.tx.TenantByName(name))
	if err != nil {
		return nil, fmt.Errorf("finding tenant: %w", err)
	}
	if t != nil {
		return t, nil
	}
	all, err := w.tx.Tenants()
	if err != nil {
		return nil, fmt.Errorf("reading tenants: %w", err)
	}
	var known []string
	for _, t := range all {
		known = append(known, t.Name)
	}
	return nil, problem.Newf(problem.NotFound, field, "there is no tenant %q.%s", name, near(name, known))
}

func (w *writer) applicationNames(t directory.TenantID) ([]string, error) {
	all, err := w.tx.Applications(t)
	if err != nil {
		return nil, fmt.Errorf("reading applications: %w", err)
	}
	var names []string
	for _, a := range all {
		names = append(names, a.Name)
	}
	return names, nil
}

// party is a service principal that a reference may mean, and the spelling that
// means it alone.
type party struct {
	label     string
	principal directory.ObjectID
	client    directory.ClientID
}

// partyReferred finds the one service principal of the tenant that a reference
// names: an application of the tenant, tenant/application, a user-assigned
// identity (name or resourceGroup/name), host:NAME for a host's own identity,
// or a client id.
func (w *writer) partyReferred(t directory.TenantID, ref, field string) (party, error) {
	var parties []party
	missing := "" // what is there, but has no service principal here
	app := func(a *directory.Application) error {
		label := w.name(a.Tenant, a.Name)
		p, err := found(w.tx.PrincipalByClientID(t, a.ClientID))
		if err != nil {
			return fmt.Errorf("finding service principal: %w", err)
		}
		if p == nil {
			missing = fmt.Sprintf("application %s is not provisioned in tenant %s; list it under servicePrincipals", label, w.name(t))
			return nil
		}
		parties = append(parties, party{label, p.ID, p.ClientID})
		return nil
	}
	if id, err := directory.ParseClientID(ref); err == nil {
		p, err := found(w.tx.PrincipalByClientID(t, id))
		if err != nil {
			return party{}, fmt.Errorf("finding service principal: %w", err)
		}
		if p != nil {
			return party{ref, p.ID, p.ClientID}, nil
		}
	}
	for _, fp := range w.cloud.FirstParties() {
		if fp.Name == ref {
			p, err := w.tx.PrincipalByClientID(t, fp.ClientID)
			if err != nil {
				return party{}, fmt.Errorf("finding %s: %w", ref, err)
			}
			parties = append(parties, party{ref, p.ID, p.ClientID})
		}
	}
	local, err := w.applicationNamed(t, ref)
	if err != nil {
		return party{}, err
	}
	if local != nil {
		if err := app(local); err != nil {
			return party{}, err
		}
	}
	if tenant, name, ok := strings.Cut(ref, "/"); ok {
		home, err := found(w.tx.TenantByName(tenant))
		if err != nil {
			return party{}, fmt.Errorf("finding tenant: %w", err)
		}
		if home != nil {
			a, err := w.applicationNamed(home.ID, name)
			if err != nil {
				return party{}, fmt.Errorf("finding application: %w", err)
			}
			if a != nil {
				if err := app(a); err != nil {
					return party{}, err
				}
			}
		}
	}
	identities, err := w.identitiesReferred(t, ref)
	if err != nil {
		return party{}, err
	}
	for _, m := range identities {
		parties = append(parties, party{m.ResourceGroup + "/" + m.Name, m.PrincipalID, m.ClientID})
	}
	if name, ok := strings.CutPrefix(ref, "host:"); ok {
		h, err := found(w.tx.HostByName(t, name))
		if err != nil {
			return party{}, fmt.Errorf("finding host: %w", err)
		}
		switch {
		case h != nil && !h.System.IsZero():
			parties = append(parties, party{label: ref, principal: h.System})
		case h != nil:
			missing = fmt.Sprintf("host %s has no identity of its own; set systemAssigned: true on it", name)
		}
	}
	switch {
	case len(parties) == 1:
		return parties[0], nil
	case len(parties) > 1:
		return party{}, ambiguous(ref, field, parties)
	case missing != "":
		return party{}, problem.Newf(problem.Invalid, field, "%s", missing)
	}
	return party{}, w.noSuchParty(t, ref, field)
}

func ambiguous(ref, field string, parties []party) error {
	var labels []string
	for _, p := range parties {
		labels = append(labels, fmt.Sprintf("%s (client id %s)", p.label, p.client))
	}
	return problem.Newf(problem.Conflict, field, "%q may mean several things; write one of %s, or a client id", ref, strings.Join(labels, ", "))
}

func (w *writer) noSuchParty(t directory.TenantID, ref, field string) error {
	known, err := w.applicationNames(t)
	if err != nil {
		return err
	}
	identities, err := w.tx.Identities(t)
	if err != nil {
		return fmt.Errorf("reading managed identities: %w", err)
	}
	for _, m := range identities {
		if m.Kind == directory.SystemAssigned {
			known = append(known, "host:"+m.Name)
			if m.Name == ref {
				return problem.Newf(problem.NotFound, field, "tenant %s has no application and no managed identity %q. Did you mean host:%s, the host's own identity?", w.name(t), ref, ref)
			}
			continue
		}
		known = append(known, m.Name)
	}
	principals, err := w.tx.Principals(t)
	if err != nil {
		return fmt.Errorf("reading service principals: %w", err)
	}
	for i := range principals {
		p := &principals[i]
		if !w.provisioned(p) {
			continue
		}
		full := w.name(p.HomeTenant, p.Name)
		if p.Name == ref {
			return problem.Newf(problem.NotFound, field, "tenant %s has no application and no managed identity %q. Did you mean %s, which is provisioned here?", w.name(t), ref, full)
		}
		known = append(known, full)
	}
	return problem.Newf(problem.NotFound, field, "tenant %s has no application and no managed identity %q.%s", w.name(t), ref, near(ref, known))
}

// grantReferred finds what an entry of appRoleAssignments names.
func (w *writer) grantReferred(t directory.TenantID, e *config.Assignment, principal, resource, role *directory.ObjectID) error {
	p, err := w.partyReferred(t, e.Principal, "principal")
	if err != nil {
		return err
	}
	r, err := w.partyReferred(t, e.Resource, "resource")
	if err != nil {
		return err
	}
	*principal, *resource = p.principal, r.principal
	offered, err := w.appRolesOf(r.client)
	if err != nil {
		return err
	}
	if len(offered) == 0 {
		return problem.Newf(problem.Invalid, "resource", "%s offers no app roles; add some under its appRoles", e.Resource)
	}
	var values []string
	for _, x := range offered {
		if x.Value == e.Role {
			*role = x.ID
			return nil
		}
		values = append(values, x.Value)
	}
	return problem.Newf(problem.NotFound, "role", "%s offers no app role %q, only %s.%s", e.Resource, e.Role, strings.Join(values, ", "), near(e.Role, values))
}

// appRolesOf lists what the application of a client id offers: one that is
// registered, or a resource that every tenant has.
func (w *writer) appRolesOf(id directory.ClientID) ([]directory.AppRole, error) {
	for _, fp := range w.cloud.FirstParties() {
		if fp.ClientID == id {
			return fp.AppRoles, nil
		}
	}
	app, err := found(w.tx.ApplicationByClientID(id))
	if app == nil || err != nil {
		return nil, err
	}
	return app.AppRoles, nil
}

// principalReferred finds the user, group or service principal that a reference
// names: user:NAME@DOMAIN, group:NAME, or what partyReferred takes.
func (w *writer) principalReferred(t directory.TenantID, ref, field string) (directory.Reference, error) {
	if upn, ok := strings.CutPrefix(ref, "user:"); ok {
		u, err := found(w.tx.UserByUPN(t, upn))
		if err != nil {
			return directory.Reference{}, fmt.Errorf("finding user: %w", err)
		}
		if u == nil {
			return directory.Reference{}, problem.Newf(problem.NotFound, field, "tenant %s has no user %q; list it under users", w.name(t), upn)
		}
		return directory.Reference{ID: u.ID, Kind: directory.UserObject}, nil
	}
	if name, ok := strings.CutPrefix(ref, "group:"); ok {
		g, err := w.groupNamed(t, name, field)
		if err != nil {
			return directory.Reference{}, err
		}
		if g == nil {
			return directory.Reference{}, problem.Newf(problem.NotFound, field, "tenant %s has no group %q; list it under groups", w.name(t), name)
		}
		return directory.Reference{ID: g.ID, Kind: directory.GroupObject}, nil
	}
	p, err := w.partyReferred(t, ref, field)
	return directory.Reference{ID: p.principal, Kind: directory.PrincipalObject}, err
}

// groupNamed is the only group of the tenant with the name; nil when there is none.
func (w *writer) groupNamed(t directory.TenantID, name, field string) (*directory.Group, error) {
	same, err := w.tx.SelectGroups(t, directory.Selection{Name: name})
	if err != nil {
		return nil, fmt.Errorf("finding group: %w", err)
	}
	same = slices.DeleteFunc(same, func(g directory.Group) bool { return g.Name != name })
	switch len(same) {
	case 0:
		return nil, nil
	case 1:
		return &same[0], nil
	}
	return nil, problem.Newf(problem.Conflict, field, "tenant %s has %d groups named %q; give all but one another name", w.name(t), len(same), name)
}
