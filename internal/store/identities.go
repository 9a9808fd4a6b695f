package store

import (
	"fmt"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

const selectIdentities = `SELECT tenant_id, principal_id, client_id, kind, name, name_key, resource_group, group_key, location, host_id, resource_id, disabled, kept FROM managed_identities`

func readIdentity(s scanner) (directory.ManagedIdentity, error) {
	var r identityRow
	err := s.Scan(&r.tenant, &r.principal, &r.client, &r.kind, &r.name, &r.nameKey, &r.group, &r.groupKey, &r.location, &r.host, &r.resource, &r.disabled, &r.kept)
	if err != nil {
		return directory.ManagedIdentity{}, fmt.Errorf("store: table managed_identities: %w", err)
	}
	return r.decode()
}

func (t *tx) Identities(id directory.TenantID) ([]directory.ManagedIdentity, error) {
	return all(t, readIdentity, selectIdentities+` WHERE tenant_id = $1 ORDER BY name, principal_id`, id.String())
}

func (t *tx) Identity(tenant directory.TenantID, principal directory.ObjectID) (*directory.ManagedIdentity, error) {
	found, err := one(t, readIdentity, selectIdentities+` WHERE tenant_id = $1 AND principal_id = $2`, tenant.String(), principal.String())
	if err != nil {
		return nil, missing(err, "managed identity %s in tenant %s", principal, tenant)
	}
	return &found, nil
}

// IdentitiesNamed compares names without case, as their uniqueness does.
func (t *tx) IdentitiesNamed(tenant directory.TenantID, name string) ([]directory.ManagedIdentity, error) {
	// The kind stands in the text because only so is the partial index used.
	return all(t, readIdentity, selectIdentities+` WHERE tenant_id = $1 AND name_key = $2 AND kind = 'UserAssigned' ORDER BY group_key`,
		tenant.String(), strings.ToLower(name))
}

func (t *tx) InsertIdentity(m *directory.ManagedIdentity) error {
	r, err := encodeIdentity(m)
	if err != nil {
		return err
	}
	t.writing(m.Tenant)
	return t.atomically(func() error {
		if err := t.insertClientID(m.ClientID, m.Tenant, directory.IdentityPrincipal, m.PrincipalID); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO managed_identities (tenant_id, principal_id, client_id, kind, name, name_key, resource_group, group_key, location, host_id, resource_id, disabled, kept)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			r.tenant, r.principal, r.client, r.kind, r.name, r.nameKey, r.group, r.groupKey, r.location, r.host, r.resource, r.disabled, r.kept)
		return err
	})
}

func (t *tx) UpdateIdentity(m *directory.ManagedIdentity) error {
	r, err := encodeIdentity(m)
	if err != nil {
		return err
	}
	t.writing(m.Tenant)
	n, err := t.exec(`UPDATE managed_identities SET name = $1, name_key = $2, resource_group = $3, group_key = $4, location = $5, resource_id = $6, disabled = $7, kept = $8
		WHERE tenant_id = $9 AND principal_id = $10`,
		r.name, r.nameKey, r.group, r.groupKey, r.location, r.resource, r.disabled, r.kept, r.tenant, r.principal)
	return met(n, err, "managed identity %s in tenant %s", m.PrincipalID, m.Tenant)
}

func (t *tx) DeleteIdentity(tenant directory.TenantID, principal directory.ObjectID) error {
	t.writing(tenant)
	return t.atomically(func() error {
		for _, statement := range []string{
			`DELETE FROM host_identities WHERE tenant_id = $1 AND principal_id = $2`,
			`UPDATE hosts SET system_id = '' WHERE tenant_id = $1 AND system_id = $2`,
		} {
			if _, err := t.exec(statement, tenant.String(), principal.String()); err != nil {
				return err
			}
		}
		if err := t.deleteCredentials(tenant, principal); err != nil {
			return err
		}
		if err := t.deleteClientID(tenant, directory.IdentityPrincipal, principal); err != nil {
			return err
		}
		n, err := t.exec(`DELETE FROM managed_identities WHERE tenant_id = $1 AND principal_id = $2`, tenant.String(), principal.String())
		return met(n, err, "managed identity %s in tenant %s", principal, tenant)
	})
}

const selectHosts = `SELECT tenant_id, object_id, name, kind, resource_group, location, resource_id, system_id, kept FROM hosts`

func readHost(s scanner) (directory.Host, error) {
	var r hostRow
	if err := s.Scan(&r.tenant, &r.object, &r.name, &r.kind, &r.group, &r.location, &r.resource, &r.system, &r.kept); err != nil {
		return directory.Host{}, fmt.Errorf("store: table hosts: %w", err)
	}
	return r.decode()
}

func readHostIdentity(s scanner) (owned[directory.ObjectID], error) {
	var host, principal string
	if err := s.Scan(&host, &principal); err != nil {
		return owned[directory.ObjectID]{}, fmt.Errorf("store: table host_identities: %w", err)
	}
	c := checker{table: "host_identities", key: []string{host}}
	return owned[directory.ObjectID]{c.object("host_id", host), c.object("principal_id", principal)}, c.err
}

func (t *tx) Hosts(id directory.TenantID) ([]directory.Host, error) {
	found, err := all(t, readHost, selectHosts+` WHERE tenant_id = $1 ORDER BY name`, id.String())
	if err != nil {
		return nil, err
	}
	identities, err := all(t, readHostIdentity,
		`SELECT host_id, principal_id FROM host_identities WHERE tenant_id = $1 ORDER BY host_id, position`, id.String())
	if err != nil {
		return nil, err
	}
	of := grouped(identities)
	for i := range found {
		found[i].Identities = of[found[i].ID]
	}
	return found, nil
}

func (t *tx) withIdentities(h directory.Host, err error) (*directory.Host, error) {
	if err != nil {
		return nil, err
	}
	identities, err := all(t, readHostIdentity,
		`SELECT host_id, principal_id FROM host_identities WHERE tenant_id = $1 AND host_id = $2 ORDER BY position`,
		h.Tenant.String(), h.ID.String())
	if err != nil {
		return nil, err
	}
	for _, i := range identities {
		h.Identities = append(h.Identities, i.value)
	}
	return &h, nil
}

func (t *tx) HostByName(tenant directory.TenantID, name string) (*directory.Host, error) {
	found, err := one(t, readHost, selectHosts+` WHERE tenant_id = $1 AND name = $2`, tenant.String(), name)
	return t.withIdentities(found, missing(err, "host %q in tenant %s", name, tenant))
}

func (t *tx) host(tenant directory.TenantID, id directory.ObjectID) (*directory.Host, error) {
	found, err := one(t, readHost, selectHosts+` WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
	return t.withIdentities(found, missing(err, "host %s in tenant %s", id, tenant))
}

func (t *tx) InsertHost(h *directory.Host) error {
	r, err := encodeHost(h)
	if err != nil {
		return err
	}
	t.writing(h.Tenant)
	return t.atomically(func() error {
		_, err := t.exec(`INSERT INTO hosts (tenant_id, object_id, name, kind, resource_group, location, resource_id, system_id, kept)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			r.tenant, r.object, r.name, r.kind, r.group, r.location, r.resource, r.system, r.kept)
		if err != nil {
			return err
		}
		return t.insertHostIdentities(h)
	})
}

func (t *tx) UpdateHost(h *directory.Host) error {
	r, err := encodeHost(h)
	if err != nil {
		return err
	}
	t.writing(h.Tenant)
	return t.atomically(func() error {
		n, err := t.exec(`UPDATE hosts SET name = $1, kind = $2, resource_group = $3, location = $4, resource_id = $5, system_id = $6, kept = $7
			WHERE tenant_id = $8 AND object_id = $9`,
			r.name, r.kind, r.group, r.location, r.resource, r.system, r.kept, r.tenant, r.object)
		if err := met(n, err, "host %s in tenant %s", h.ID, h.Tenant); err != nil {
			return err
		}
		if err := t.deleteHostIdentities(h.Tenant, h.ID); err != nil {
			return err
		}
		return t.insertHostIdentities(h)
	})
}

func (t *tx) insertHostIdentities(h *directory.Host) error {
	for i, identity := range h.Identities {
		c := checker{table: "host_identities", key: []string{h.ID.String()}}
		if c.object("principal_id", identity.String()); c.err != nil {
			return c.err
		}
		_, err := t.exec(`INSERT INTO host_identities (tenant_id, host_id, position, principal_id) VALUES ($1, $2, $3, $4)`,
			h.Tenant.String(), h.ID.String(), i, identity.String())
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) deleteHostIdentities(tenant directory.TenantID, id directory.ObjectID) error {
	_, err := t.exec(`DELETE FROM host_identities WHERE tenant_id = $1 AND host_id = $2`, tenant.String(), id.String())
	return err
}

// DeleteHost leaves the host's system-assigned identity to the caller.
func (t *tx) DeleteHost(tenant directory.TenantID, id directory.ObjectID) error {
	t.writing(tenant)
	return t.atomically(func() error {
		if err := t.deleteHostIdentities(tenant, id); err != nil {
			return err
		}
		n, err := t.exec(`DELETE FROM hosts WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
		return met(n, err, "host %s in tenant %s", id, tenant)
	})
}
