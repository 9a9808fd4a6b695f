package manage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// view runs fn on one consistent state, with the lookups of a writer, for the
// platform's own operator.
func (s *Service) view(ctx context.Context, fn func(*writer) error) error {
	return s.read(ctx, Caller{}, fn)
}

// read runs fn on one consistent state for a caller; fn decides whether he may.
func (s *Service) read(ctx context.Context, caller Caller, fn func(*writer) error) error {
	return s.store.View(ctx, func(tx Tx) error {
		w := newWriter(tx, s.cloud, s.now(), caller)
		w.climbing = s.climbing
		if err := fn(w); err != nil {
			return err
		}
		if caller.Access != nil && !w.decided {
			return errUnauthorized
		}
		return nil
	})
}

// FindTenant finds a tenant by id, name or verified domain, ids and domains in
// any case. NotFound names tenants with near names.
func (s *Service) FindTenant(ctx context.Context, ref string) (*directory.Tenant, error) {
	var t *directory.Tenant
	err := s.view(ctx, func(w *writer) (err error) {
		t, err = w.findTenant(ref)
		return err
	})
	return t, err
}

// OnlyTenant is FindTenant, and the platform's only tenant where none is named.
func (s *Service) OnlyTenant(ctx context.Context, ref string) (*directory.Tenant, error) {
	if ref != "" {
		return s.FindTenant(ctx, ref)
	}
	var only *directory.Tenant
	err := s.view(ctx, func(w *writer) error {
		all, err := w.tx.Tenants()
		if err != nil {
			return fmt.Errorf("reading tenants: %w", err)
		}
		if len(all) == 1 {
			only = &all[0]
			return nil
		}
		var names []string
		for _, t := range all {
			names = append(names, t.Name)
		}
		if len(names) == 0 {
			return problem.Newf(problem.NotFound, "", "there is no tenant yet; make one with avouch apply")
		}
		return problem.Newf(problem.Conflict, "", "name a tenant; there are %s", strings.Join(names, ", "))
	})
	return only, err
}

func (w *writer) findTenant(ref string) (*directory.Tenant, error) {
	if id, err := directory.ParseTenantID(ref); err == nil {
		t, err := found(w.tx.Tenant(id))
		if t != nil || err != nil {
			return t, err
		}
	}
	domains, err := w.allDomains()
	if err != nil {
		return nil, err
	}
	if id, ok := domains[strings.ToLower(ref)]; ok {
		return w.tx.Tenant(id)
	}
	return w.tenantNamed(ref, "tenant")
}

// FindApplication finds an application by tenant/name, by name where only one
// tenant has it, or by client id.
func (s *Service) FindApplication(ctx context.Context, ref string) (*directory.Application, error) {
	var hit *directory.Application
	err := s.view(ctx, func(w *writer) error {
		if id, err := directory.ParseClientID(ref); err == nil {
			app, err := found(w.tx.ApplicationByClientID(id))
			if app != nil || err != nil {
				hit = app
				return err
			}
		}
		app, err := find(w, ref, "application", func(t *directory.Tenant, name string) ([]directory.Application, error) {
			a, err := w.applicationNamed(t.ID, name)
			if a == nil {
				return nil, err
			}
			return []directory.Application{*a}, nil
		}, func(t *directory.Tenant) ([]directory.Application, error) { return w.tx.Applications(t.ID) },
			func(a *directory.Application) string { return a.Name }, func(a *directory.Application) string { return a.Name })
		hit = app
		return err
	})
	return hit, err
}

// FindIdentity finds a managed identity by tenant/name, by tenant/group/name,
// by name where only one has it, by client id or by principal id; the identity
// of a host by tenant/host:NAME or host:NAME.
func (s *Service) FindIdentity(ctx context.Context, ref string) (*directory.ManagedIdentity, error) {
	var hit *directory.ManagedIdentity
	err := s.view(ctx, func(w *writer) error {
		label := func(m *directory.ManagedIdentity) string {
			if m.Kind == directory.SystemAssigned {
				return "host:" + m.Name
			}
			return m.Name
		}
		m, err := find(w, ref, "managed identity", func(t *directory.Tenant, name string) ([]directory.ManagedIdentity, error) {
			all, err := w.tx.Identities(t.ID)
			if err != nil {
				return nil, err
			}
			return slices.DeleteFunc(all, func(m directory.ManagedIdentity) bool {
				return !strings.EqualFold(label(&m), name) && !strings.EqualFold(m.ResourceGroup+"/"+label(&m), name) &&
					!strings.EqualFold(m.PrincipalID.String(), name) && !strings.EqualFold(m.ClientID.String(), name)
			}), nil
		}, func(t *directory.Tenant) ([]directory.ManagedIdentity, error) { return w.tx.Identities(t.ID) }, label,
			func(m *directory.ManagedIdentity) string { return m.ResourceGroup + "/" + label(m) })
		hit = m
		return err
	})
	return hit, err
}

// FindHost finds a host by tenant/name, by name where only one tenant has it,
// or by id.
func (s *Service) FindHost(ctx context.Context, ref string) (*directory.Host, error) {
	var hit *directory.Host
	err := s.view(ctx, func(w *writer) error {
		h, err := find(w, ref, "host", func(t *directory.Tenant, name string) ([]directory.Host, error) {
			all, err := w.tx.Hosts(t.ID)
			if err != nil {
				return nil, err
			}
			return slices.DeleteFunc(all, func(h directory.Host) bool {
				return h.Name != name && !strings.EqualFold(h.ID.String(), name)
			}), nil
		}, func(t *directory.Tenant) ([]directory.Host, error) { return w.tx.Hosts(t.ID) },
			func(h *directory.Host) string { return h.Name }, func(h *directory.Host) string { return h.Name })
		hit = h
		return err
	})
	return hit, err
}

// find looks a reference up: tenant/name first, then as a name in every tenant.
// Exactly one hit is an answer; several are listed by their full names, and when
// there is none, near names are.
func find[T any](w *writer, ref, kind string, lookup func(t *directory.Tenant, name string) ([]T, error), list func(*directory.Tenant) ([]T, error), name, full func(*T) string) (*T, error) {
	tenants, err := w.tx.Tenants()
	if err != nil {
		return nil, fmt.Errorf("reading tenants: %w", err)
	}
	var hits []T
	var labels []string
	try := func(t *directory.Tenant, what string) error {
		some, err := lookup(t, what)
		if err != nil {
			return fmt.Errorf("finding %s: %w", kind, err)
		}
		for i := range some {
			hits, labels = append(hits, some[i]), append(labels, t.Name+"/"+full(&some[i]))
		}
		return nil
	}
	if tenant, rest, ok := strings.Cut(ref, "/"); ok {
		if t, err := w.findTenant(tenant); err == nil {
			if err := try(t, rest); err != nil {
				return nil, err
			}
		} else if problem.KindOf(err) != problem.NotFound {
			return nil, err
		}
	}
	if len(hits) == 0 {
		for i := range tenants {
			if err := try(&tenants[i], ref); err != nil {
				return nil, err
			}
		}
	}
	switch len(hits) {
	case 1:
		return &hits[0], nil
	case 0:
		var known []string
		for i := range tenants {
			all, err := list(&tenants[i])
			if err != nil {
				return nil, fmt.Errorf("reading %s names: %w", kind, err)
			}
			for j := range all {
				known = append(known, name(&all[j]), tenants[i].Name+"/"+name(&all[j]))
			}
		}
		return nil, problem.Newf(problem.NotFound, "", "there is no %s %q.%s", kind, ref, near(ref, known))
	}
	slices.Sort(labels)
	return nil, problem.Newf(problem.Conflict, "", "%q names several; write one of %s, or an id", ref, strings.Join(labels, ", "))
}

// TenantOverview is a tenant with what people want to see of it.
type TenantOverview struct {
	Tenant       directory.Tenant
	Identities   []directory.ManagedIdentity
	Hosts        []directory.Host
	Applications []directory.Application
	Provisioned  []directory.ServicePrincipal // applications of other tenants
}

// Overview reads every tenant, by name, in one consistent state.
func (s *Service) Overview(ctx context.Context) ([]TenantOverview, error) {
	var all []TenantOverview
	err := s.view(ctx, func(w *writer) error {
		all = nil
		tenants, err := w.tx.Tenants()
		if err != nil {
			return fmt.Errorf("reading tenants: %w", err)
		}
		for _, t := range tenants {
			o := TenantOverview{Tenant: t}
			if o.Identities, err = w.tx.Identities(t.ID); err != nil {
				return fmt.Errorf("reading managed identities: %w", err)
			}
			if o.Hosts, err = w.tx.Hosts(t.ID); err != nil {
				return fmt.Errorf("reading hosts: %w", err)
			}
			if o.Applications, err = w.tx.Applications(t.ID); err != nil {
				return fmt.Errorf("reading applications: %w", err)
			}
			principals, err := w.tx.Principals(t.ID)
			if err != nil {
				return fmt.Errorf("reading service principals: %w", err)
			}
			o.Provisioned = slices.DeleteFunc(principals, func(p directory.ServicePrincipal) bool { return !w.provisioned(&p) })
			all = append(all, o)
		}
		return nil
	})
	return all, err
}
