package manage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// Defaults of managed identities and hosts that are made without them.
const (
	DefaultResourceGroup = "default"
	DefaultLocation      = "local"
)

func identityFields(m *directory.ManagedIdentity) []field {
	return []field{
		textField("principalId", m.PrincipalID.String()),
		textField("clientId", m.ClientID.String()),
		textField("kind", string(m.Kind)),
		textField("name", m.Name),
		textField("resourceGroup", m.ResourceGroup),
		textField("location", m.Location),
		textField("resourceId", m.ResourceID),
		flagField("disabled", m.Disabled),
		resourceField(m.Kept),
	}
}

func (w *writer) identityTarget(m *directory.ManagedIdentity) audit.Target {
	name := m.Name
	if m.Kind == directory.SystemAssigned {
		name = "host:" + name
	}
	return audit.Target{Kind: "managedIdentity", ID: m.PrincipalID.String(), Name: w.name(m.Tenant, name)}
}

// validPlace checks what identities and hosts have in common.
func validPlace(group, location string) error {
	if err := directory.ValidateResourceName("resourceGroup", group, 1, 90, "."); err != nil {
		return err
	}
	return directory.ValidateResourceName("location", location, 1, 64, "")
}

func (w *writer) validIdentity(m *directory.ManagedIdentity) error {
	if m.Kind == directory.SystemAssigned {
		return nil // everything in it is its host's
	}
	if err := validKept(m.Kept, mostKept); err != nil {
		return err
	}
	if err := directory.ValidateResourceName("name", m.Name, 3, 128, ""); err != nil {
		return err
	}
	if err := validPlace(m.ResourceGroup, m.Location); err != nil {
		return err
	}
	same, err := w.tx.IdentitiesNamed(m.Tenant, m.Name)
	if err != nil {
		return fmt.Errorf("finding managed identities: %w", err)
	}
	for _, other := range same {
		if other.PrincipalID != m.PrincipalID && strings.EqualFold(other.ResourceGroup, m.ResourceGroup) {
			return problem.Newf(problem.Conflict, "name", "managed identity %s exists in resource group %s with the principal id %s; names are unique in a resource group, without regard to case", other.Name, other.ResourceGroup, other.PrincipalID)
		}
	}
	return nil
}

// createIdentity makes the identity and its service principal.
func (w *writer) createIdentity(m *directory.ManagedIdentity) error {
	if err := w.validIdentity(m); err != nil {
		return err
	}
	if err := w.clientIDFree(m.ClientID, "clientId"); err != nil {
		return err
	}
	taken, err := found(w.tx.Principal(m.Tenant, m.PrincipalID))
	if err != nil {
		return fmt.Errorf("finding service principal: %w", err)
	}
	if taken != nil {
		return problem.Newf(problem.Conflict, "principalId", "%s is already the object id of service principal %s", m.PrincipalID, taken.Name)
	}
	if err := w.insertPrincipal(&directory.ServicePrincipal{
		Tenant: m.Tenant, ID: m.PrincipalID, ClientID: m.ClientID, Kind: directory.IdentityPrincipal, Name: m.Name,
		HomeTenant: m.Tenant, Names: []string{m.ClientID.String()},
	}); err != nil {
		return err
	}
	if err := w.ensureGroup(m.Tenant, m.ResourceGroup, m.Location); err != nil {
		return err
	}
	if err := w.tx.InsertIdentity(m); err != nil {
		return conflict(err, "managed identity", m.Name)
	}
	return w.record(change{op: Create, tenant: m.Tenant, target: w.identityTarget(m), after: identityFields(m)})
}

func (w *writer) updateIdentity(before, after *directory.ManagedIdentity) error {
	old, now := identityFields(before), identityFields(after)
	if len(compare(old, now)) == 0 {
		return nil
	}
	if err := w.validIdentity(after); err != nil {
		return err
	}
	if err := w.ensureGroup(after.Tenant, after.ResourceGroup, after.Location); err != nil {
		return err
	}
	if err := w.tx.UpdateIdentity(after); err != nil {
		return conflict(err, "managed identity", after.Name)
	}
	if after.Kind == directory.UserAssigned && foldScope(before.ResourceID) != foldScope(after.ResourceID) {
		if err := w.dropAzureAssignmentsWithin(before.Tenant, before.ResourceID); err != nil {
			return err
		}
	}
	if before.Name != after.Name {
		p, err := w.tx.Principal(after.Tenant, after.PrincipalID)
		if err != nil {
			return fmt.Errorf("finding service principal: %w", err)
		}
		renamed := *p
		renamed.Name = after.Name
		if err := w.updatePrincipal(&renamed); err != nil {
			return err
		}
	}
	return w.record(change{op: Update, tenant: after.Tenant, target: w.identityTarget(after), before: old, after: now})
}

// deleteIdentity deletes the identity, its credentials, its places on hosts,
// the rights that others hold over it, its service principal and the
// assignments of that.
func (w *writer) deleteIdentity(m *directory.ManagedIdentity) error {
	target := w.identityTarget(m)
	if err := w.deleteCredentials(parent{tenant: m.Tenant, id: m.PrincipalID, kind: "managedIdentity", name: target.Name}); err != nil {
		return err
	}
	p, err := w.tx.Principal(m.Tenant, m.PrincipalID)
	if err != nil {
		return fmt.Errorf("finding service principal: %w", err)
	}
	if err := w.tx.DeleteIdentity(m.Tenant, m.PrincipalID); err != nil {
		return fmt.Errorf("deleting managed identity: %w", err)
	}
	if m.Kind == directory.UserAssigned {
		if err := w.dropAzureAssignmentsWithin(m.Tenant, m.ResourceID); err != nil {
			return err
		}
	}
	if err := w.removePrincipal(p); err != nil {
		return err
	}
	return w.record(change{op: Delete, tenant: m.Tenant, target: target, before: identityFields(m)})
}

// hostFields names the identities as resourceGroup/name.
func (w *writer) hostFields(h *directory.Host) ([]field, error) {
	var names []string
	for _, id := range h.Identities {
		m, err := found(w.tx.Identity(h.Tenant, id))
		if err != nil {
			return nil, fmt.Errorf("finding managed identity: %w", err)
		}
		if m != nil {
			names = append(names, m.ResourceGroup+"/"+m.Name)
		}
	}
	slices.Sort(names)
	return []field{
		textField("id", h.ID.String()),
		textField("name", h.Name),
		textField("kind", string(h.Kind)),
		textField("resourceGroup", h.ResourceGroup),
		textField("location", h.Location),
		textField("resourceId", h.ResourceID),
		listField("identities", names),
		resourceField(h.Kept),
	}, nil
}

func (w *writer) hostTarget(h *directory.Host) audit.Target {
	return audit.Target{Kind: "host", ID: h.ID.String(), Name: w.name(h.Tenant, h.Name)}
}

func (w *writer) validHost(h *directory.Host) error {
	if err := validKept(h.Kept, mostKept); err != nil {
		return err
	}
	if err := directory.ValidateResourceName("name", h.Name, 1, 128, "."); err != nil {
		return err
	}
	if err := validPlace(h.ResourceGroup, h.Location); err != nil {
		return err
	}
	if h.Kind.ResourceType() == "" {
		return problem.Newf(problem.Invalid, "kind", "%q is not a kind of host", h.Kind)
	}
	other, err := found(w.tx.HostByName(h.Tenant, h.Name))
	if err != nil {
		return fmt.Errorf("finding host: %w", err)
	}
	if other != nil && other.ID != h.ID {
		return problem.Newf(problem.Conflict, "name", "host %s exists with the id %s; host names are unique in a tenant", h.Name, other.ID)
	}
	for i, id := range h.Identities {
		m, err := found(w.tx.Identity(h.Tenant, id))
		if err != nil {
			return fmt.Errorf("finding managed identity: %w", err)
		}
		if m == nil || m.Kind != directory.UserAssigned {
			return problem.Newf(problem.Invalid, fmt.Sprintf("identities[%d]", i), "is not a user-assigned managed identity of tenant %s", w.name(h.Tenant))
		}
	}
	return nil
}

// createHost makes the host, without a system-assigned identity.
func (w *writer) createHost(h *directory.Host) error {
	if err := w.validHost(h); err != nil {
		return err
	}
	if err := w.ensureGroup(h.Tenant, h.ResourceGroup, h.Location); err != nil {
		return err
	}
	if err := w.tx.InsertHost(h); err != nil {
		return conflict(err, "host", h.Name)
	}
	fields, err := w.hostFields(h)
	if err != nil {
		return err
	}
	return w.record(change{op: Create, tenant: h.Tenant, target: w.hostTarget(h), after: fields})
}

// updateHost writes what changed; the host's system-assigned identity follows
// its name and place.
func (w *writer) updateHost(before, after *directory.Host) error {
	if err := w.validHost(after); err != nil {
		return err
	}
	old, err := w.hostFields(before)
	if err != nil {
		return err
	}
	now, err := w.hostFields(after)
	if err != nil {
		return err
	}
	if len(compare(old, now)) == 0 {
		return nil
	}
	if err := w.ensureGroup(after.Tenant, after.ResourceGroup, after.Location); err != nil {
		return err
	}
	if err := w.tx.UpdateHost(after); err != nil {
		return conflict(err, "host", after.Name)
	}
	if foldScope(before.ResourceID) != foldScope(after.ResourceID) {
		if err := w.dropAzureAssignmentsWithin(before.Tenant, before.ResourceID); err != nil {
			return err
		}
	}
	if err := w.record(change{op: Update, tenant: after.Tenant, target: w.hostTarget(after), before: old, after: now}); err != nil {
		return err
	}
	if after.System.IsZero() {
		return nil
	}
	system, err := w.tx.Identity(after.Tenant, after.System)
	if err != nil {
		return fmt.Errorf("finding system-assigned identity: %w", err)
	}
	moved := *system
	moved.Name, moved.ResourceGroup, moved.Location, moved.ResourceID = after.Name, after.ResourceGroup, after.Location, after.ResourceID
	return w.updateIdentity(system, &moved)
}

// setSystemAssigned gives the host an identity of its own, or takes it away.
func (w *writer) setSystemAssigned(h *directory.Host, want bool) error {
	if want == !h.System.IsZero() {
		return nil
	}
	changed := *h
	if want {
		m := &directory.ManagedIdentity{
			Tenant: h.Tenant, PrincipalID: w.newObjectID(), ClientID: w.newClientID(), Kind: directory.SystemAssigned,
			Name: h.Name, ResourceGroup: h.ResourceGroup, Location: h.Location, Host: h.ID, ResourceID: h.ResourceID,
		}
		if err := w.createIdentity(m); err != nil {
			return err
		}
		changed.System = m.PrincipalID
		if err := w.tx.UpdateHost(&changed); err != nil {
			return conflict(err, "host", h.Name)
		}
		return nil
	}
	system, err := w.tx.Identity(h.Tenant, h.System)
	if err != nil {
		return fmt.Errorf("finding system-assigned identity: %w", err)
	}
	changed.System = directory.ObjectID{}
	if err := w.tx.UpdateHost(&changed); err != nil {
		return conflict(err, "host", h.Name)
	}
	return w.deleteIdentity(system)
}

// deleteHost deletes the host and its system-assigned identity.
func (w *writer) deleteHost(h *directory.Host) error {
	fields, err := w.hostFields(h)
	if err != nil {
		return err
	}
	if err := w.setSystemAssigned(h, false); err != nil {
		return err
	}
	if err := w.tx.DeleteHost(h.Tenant, h.ID); err != nil {
		return fmt.Errorf("deleting host: %w", err)
	}
	if err := w.dropAzureAssignmentsWithin(h.Tenant, h.ResourceID); err != nil {
		return err
	}
	return w.record(change{op: Delete, tenant: h.Tenant, target: w.hostTarget(h), before: fields})
}

// userAssigned finds the user-assigned identity of the tenant that a reference
// names: name, or resourceGroup/name. The problem's target is the given field.
func (w *writer) userAssigned(t directory.TenantID, ref, field string) (*directory.ManagedIdentity, error) {
	matches, err := w.identitiesReferred(t, ref)
	if err != nil {
		return nil, err
	}
	switch len(matches) {
	case 1:
		return &matches[0], nil
	case 0:
		return nil, w.noSuchIdentity(t, ref, field)
	}
	var candidates []string
	for _, m := range matches {
		candidates = append(candidates, m.ResourceGroup+"/"+m.Name)
	}
	return nil, problem.Newf(problem.Conflict, field, "%q names several managed identities; write one of %s", ref, strings.Join(candidates, ", "))
}

func (w *writer) identitiesReferred(t directory.TenantID, ref string) ([]directory.ManagedIdentity, error) {
	group, name, qualified := strings.Cut(ref, "/")
	if !qualified {
		name = ref
	}
	named, err := w.tx.IdentitiesNamed(t, name)
	if err != nil {
		return nil, fmt.Errorf("finding managed identities: %w", err)
	}
	if !qualified {
		return named, nil
	}
	return slices.DeleteFunc(named, func(m directory.ManagedIdentity) bool { return !strings.EqualFold(m.ResourceGroup, group) }), nil
}

func (w *writer) noSuchIdentity(t directory.TenantID, ref, field string) error {
	all, err := w.tx.Identities(t)
	if err != nil {
		return fmt.Errorf("reading managed identities: %w", err)
	}
	var names []string
	for _, m := range all {
		if m.Kind == directory.UserAssigned {
			names = append(names, m.Name)
		} else if "host:"+m.Name == ref || m.Name == ref {
			return problem.Newf(problem.Invalid, field, "%q is the system-assigned identity of a host; only user-assigned identities may stand here", ref)
		}
	}
	if tenant, _, ok := strings.Cut(ref, "/"); ok {
		other, err := found(w.tx.TenantByName(tenant))
		if err != nil {
			return fmt.Errorf("finding tenant: %w", err)
		}
		if other != nil && other.ID != t {
			return problem.Newf(problem.Invalid, field, "%q names tenant %s; only an identity of this tenant (%s) may stand here", ref, tenant, w.name(t))
		}
	}
	return problem.Newf(problem.NotFound, field, "tenant %s has no user-assigned managed identity %q.%s", w.name(t), ref, near(ref, names))
}
