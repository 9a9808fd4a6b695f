package manage

import (
	"fmt"
	"slices"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

func principalFields(p *directory.ServicePrincipal) []field {
	return append([]field{
		textField("id", p.ID.String()),
		textField("clientId", p.ClientID.String()),
		textField("name", p.Name),
		listField("servicePrincipalNames", slices.Sorted(slices.Values(p.Names))),
		flagField("assignmentRequired", p.AssignmentRequired),
		flagField("disabled", p.Disabled),
	}, keptFields(p.Kept)...)
}

// provisionedTarget names an application's service principal in a tenant that
// is not its home: fabrikam/contoso/orders.
func (w *writer) provisionedTarget(p *directory.ServicePrincipal) audit.Target {
	return audit.Target{Kind: "servicePrincipal", ID: p.ID.String(), Name: w.name(p.Tenant, w.name(p.HomeTenant, p.Name))}
}

// principalTarget names any service principal: contoso/orders, or as
// provisionedTarget does.
func (w *writer) principalTarget(p *directory.ServicePrincipal) audit.Target {
	if w.provisioned(p) {
		return w.provisionedTarget(p)
	}
	return audit.Target{Kind: "servicePrincipal", ID: p.ID.String(), Name: w.name(p.Tenant, p.Name)}
}

// provisionable refuses applications that cannot stand in the tenant.
func (w *writer) provisionable(t directory.TenantID, a *directory.Application) error {
	if a.Tenant == t {
		return problem.Newf(problem.Invalid, "application", "%s is an application of this tenant and has its service principal already; state assignmentRequired on the application", a.Name)
	}
	if !a.Audience.ForeignTenants() {
		return problem.Newf(problem.Invalid, "application", "%s cannot be provisioned in other tenants: its signInAudience is %s; its owner must set it to %s first", w.name(a.Tenant, a.Name), a.Audience, directory.MultiTenant)
	}
	return nil
}

// provision makes the service principal of another tenant's application.
func (w *writer) provision(t directory.TenantID, a *directory.Application, assignmentRequired, disabled bool) error {
	if err := w.provisionable(t, a); err != nil {
		return err
	}
	if err := w.freeNames(t, directory.ObjectID{}, a.IdentifierURIs); err != nil {
		p, ok := err.(*problem.Error)
		if !ok {
			return err
		}
		return problem.Newf(p.Kind, "application", "%s cannot be provisioned: its identifier URI %s", w.name(a.Tenant, a.Name), p.Message)
	}
	p := &directory.ServicePrincipal{
		Tenant: t, ID: w.newObjectID(), ClientID: a.ClientID, Kind: directory.ApplicationPrincipal, Name: a.Name,
		HomeTenant: a.Tenant, Names: namesOf(a), AssignmentRequired: assignmentRequired, Disabled: disabled,
	}
	if err := w.insertPrincipal(p); err != nil {
		return err
	}
	return w.record(change{op: Create, tenant: t, high: true, target: w.provisionedTarget(p), after: principalFields(p)})
}

func (w *writer) updateProvisioned(before, after *directory.ServicePrincipal) error {
	old, now := principalFields(before), principalFields(after)
	if len(compare(old, now)) == 0 {
		return nil
	}
	if err := w.updatePrincipal(after); err != nil {
		return err
	}
	return w.record(change{op: Update, tenant: after.Tenant, target: w.principalTarget(after), before: old, after: now})
}

func (w *writer) deleteProvisioned(p *directory.ServicePrincipal) error {
	if err := w.removePrincipal(p); err != nil {
		return fmt.Errorf("removing an application from a tenant: %w", err)
	}
	return w.record(change{op: Delete, tenant: p.Tenant, target: w.provisionedTarget(p), before: principalFields(p)})
}

// provisioned reports whether the service principal is of the kind that
// servicePrincipals lists: an application of another tenant, other than the
// first-party resources that every tenant has.
func (w *writer) provisioned(p *directory.ServicePrincipal) bool {
	return p.Kind == directory.ApplicationPrincipal && p.HomeTenant != p.Tenant &&
		!slices.ContainsFunc(w.cloud.FirstParties(), func(fp directory.FirstParty) bool { return fp.ClientID == p.ClientID })
}
