package manage

import (
	"fmt"
	"slices"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

func tenantFields(t *directory.Tenant) []field {
	return []field{
		textField("id", t.ID.String()),
		textField("name", t.Name),
		textField("displayName", t.DisplayName),
		listField("domains", slices.Sorted(slices.Values(t.Domains))),
		textField("subscription", t.Subscription.String()),
	}
}

func (w *writer) validTenant(t *directory.Tenant) error {
	// No slash: references are written tenant/name.
	if err := directory.ValidateResourceName("name", t.Name, 1, 64, "."); err != nil {
		return err
	}
	if t.DisplayName != "" {
		if err := directory.ValidateDisplayName("displayName", t.DisplayName); err != nil {
			return err
		}
	}
	other, err := found(w.tx.TenantByName(t.Name))
	if err != nil {
		return fmt.Errorf("finding tenant: %w", err)
	}
	if other != nil && other.ID != t.ID {
		return problem.Newf(problem.Conflict, "name", "tenant %s exists with the id %s; tenant names are unique on the platform", t.Name, other.ID)
	}
	domains, err := w.allDomains()
	if err != nil {
		return err
	}
	for i, d := range t.Domains {
		target := fmt.Sprintf("domains[%d]", i)
		if err := directory.ValidateDomain(target, d); err != nil {
			return err
		}
		if holder, taken := domains[d]; taken && holder != t.ID {
			return problem.Newf(problem.Conflict, target, "%s already belongs to tenant %s; a domain belongs to one tenant", d, w.name(holder))
		}
	}
	return nil
}

func (w *writer) allDomains() (map[string]directory.TenantID, error) {
	if w.domains != nil {
		return w.domains, nil
	}
	all, err := w.tx.Tenants()
	if err != nil {
		return nil, fmt.Errorf("reading tenants: %w", err)
	}
	w.domains = make(map[string]directory.TenantID)
	for _, t := range all {
		for _, d := range t.Domains {
			w.domains[d] = t.ID
		}
	}
	return w.domains, nil
}

func (w *writer) keepDomains(before, after *directory.Tenant) {
	if before != nil {
		for _, d := range before.Domains {
			delete(w.domains, d)
		}
	}
	for _, d := range after.Domains {
		w.domains[d] = after.ID
	}
	w.tenants[after.ID] = after.Name
}

// createTenant makes the tenant, and in it the service principals of the
// resources that every tenant of the cloud has.
func (w *writer) createTenant(t *directory.Tenant) error {
	if err := w.validTenant(t); err != nil {
		return err
	}
	if err := w.tx.InsertTenant(t); err != nil {
		return conflict(err, "tenant", t.Name)
	}
	w.keepDomains(nil, t)
	if err := w.record(change{
		op: Create, tenant: t.ID, after: tenantFields(t),
		target: audit.Target{Kind: "tenant", ID: t.ID.String(), Name: t.Name},
	}); err != nil {
		return err
	}
	for _, fp := range w.cloud.FirstParties() {
		if err := w.insertPrincipal(&directory.ServicePrincipal{
			Tenant: t.ID, ID: w.newObjectID(), ClientID: fp.ClientID, Kind: directory.ApplicationPrincipal,
			Name: fp.Name, HomeTenant: fp.Owner, Names: append([]string{fp.ClientID.String()}, fp.URIs...),
		}); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) updateTenant(before, after *directory.Tenant) error {
	if err := w.validTenant(after); err != nil {
		return err
	}
	old, now := tenantFields(before), tenantFields(after)
	if len(compare(old, now)) == 0 {
		return nil
	}
	if err := w.tx.UpdateTenant(after); err != nil {
		return conflict(err, "tenant", after.Name)
	}
	w.keepDomains(before, after)
	return w.record(change{
		op: Update, tenant: after.ID, before: old, after: now,
		target: audit.Target{Kind: "tenant", ID: after.ID.String(), Name: after.Name},
	})
}
