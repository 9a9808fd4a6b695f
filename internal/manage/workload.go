package manage

import (
	"context"
	"fmt"
	"slices"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// Workload is one way to get a token: a host, an identity assigned to it, and
// the application that the identity speaks for.
type Workload struct {
	Host        *directory.Host
	Identity    *directory.ManagedIdentity
	Application *directory.Application // nil when only the identity's token is wanted
	Tenant      *directory.Tenant      // where the token is to be issued
}

// WorkloadWish names what is wanted; empty fields are chosen: the tenant by
// the application, the identity by the application's credentials, the host by
// the identity.
type WorkloadWish struct {
	Host, Identity, Application, Tenant string
}

// FindWorkload finds a way to get the token that is wished for. When the wish
// leaves a choice, the first by name is taken, a web app before a machine.
func (s *Service) FindWorkload(ctx context.Context, wish WorkloadWish) (*Workload, error) {
	var found Workload
	var err error
	if wish.Application != "" {
		if found.Application, err = s.FindApplication(ctx, wish.Application); err != nil {
			return nil, err
		}
	}
	if wish.Host != "" {
		if found.Host, err = s.FindHost(ctx, wish.Host); err != nil {
			return nil, err
		}
	}
	if wish.Identity != "" {
		if found.Identity, err = s.FindIdentity(ctx, wish.Identity); err != nil {
			return nil, err
		}
	}
	if found.Identity == nil && found.Application != nil {
		if found.Identity, err = s.trustedIdentity(ctx, found.Application, found.Host); err != nil {
			return nil, err
		}
	}
	if found.Host == nil {
		if found.Identity == nil {
			return nil, problem.Newf(problem.Invalid, "", "name a host, an identity or an application")
		}
		if found.Host, err = s.hostOf(ctx, found.Identity); err != nil {
			return nil, err
		}
	}
	switch {
	case wish.Tenant != "":
		found.Tenant, err = s.FindTenant(ctx, wish.Tenant)
	case found.Application != nil:
		found.Tenant, err = s.FindTenant(ctx, found.Application.Tenant.String())
	default:
		found.Tenant, err = s.FindTenant(ctx, found.Host.Tenant.String())
	}
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// trustedIdentity is the first managed identity that a credential of the
// application names and that the host, if one is given, has.
func (s *Service) trustedIdentity(ctx context.Context, app *directory.Application, host *directory.Host) (*directory.ManagedIdentity, error) {
	var hit *directory.ManagedIdentity
	err := s.store.View(ctx, func(tx Tx) error {
		credentials, err := tx.Credentials(app.Tenant, app.ID)
		if err != nil {
			return fmt.Errorf("reading credentials: %w", err)
		}
		identities, err := tx.Identities(app.Tenant)
		if err != nil {
			return fmt.Errorf("reading managed identities: %w", err)
		}
		for _, c := range credentials {
			for i := range identities {
				m := &identities[i]
				if m.Kind == directory.UserAssigned && m.PrincipalID.String() == c.Subject &&
					(host == nil || slices.Contains(host.Identities, m.PrincipalID)) {
					hit = m
					return nil
				}
			}
		}
		// No credential leads to an identity. Whoever wants to see the refusal
		// still needs an identity to be refused with.
		for i := range identities {
			m := &identities[i]
			if m.Kind == directory.UserAssigned && (host == nil || slices.Contains(host.Identities, m.PrincipalID)) {
				hit = m
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if hit == nil {
		return nil, problem.Newf(problem.NotFound, "", "application %q's tenant has no user-assigned managed identity to prove itself with; name one with --identity", app.Name)
	}
	return hit, nil
}

// hostOf is a host that the identity is assigned to.
func (s *Service) hostOf(ctx context.Context, m *directory.ManagedIdentity) (*directory.Host, error) {
	var hosts []directory.Host
	err := s.store.View(ctx, func(tx Tx) (err error) {
		hosts, err = tx.Hosts(m.Tenant)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading hosts: %w", err)
	}
	hosts = slices.DeleteFunc(hosts, func(h directory.Host) bool {
		return h.System != m.PrincipalID && !slices.Contains(h.Identities, m.PrincipalID)
	})
	if len(hosts) == 0 {
		return nil, problem.Newf(problem.NotFound, "", "managed identity %q is assigned to no host; add it to a host's identities", m.Name)
	}
	for i := range hosts {
		if hosts[i].Kind == directory.WebApp {
			return &hosts[i], nil
		}
	}
	return &hosts[0], nil
}

// Summary is what a platform holds, for telling people at the start.
type Summary struct {
	Tenants []directory.Tenant
	Hosts   []directory.Host // of all tenants, by tenant and name
}

// Summarize reads tenants and hosts in one consistent state.
func (s *Service) Summarize(ctx context.Context) (*Summary, error) {
	var all Summary
	err := s.store.View(ctx, func(tx Tx) (err error) {
		if all.Tenants, err = tx.Tenants(); err != nil {
			return err
		}
		for _, t := range all.Tenants {
			hosts, err := tx.Hosts(t.ID)
			if err != nil {
				return err
			}
			all.Hosts = append(all.Hosts, hosts...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading tenants and hosts: %w", err)
	}
	return &all, nil
}
