package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/directory"
)

// Times are stored as microseconds. The zero time survives the way there and
// back.
func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

const selectTenants = `SELECT tenant_id, name, name_key, display_name, subscription_id FROM tenants`

func readTenant(s scanner) (directory.Tenant, error) {
	var r tenantRow
	if err := s.Scan(&r.tenant, &r.name, &r.nameKey, &r.displayName, &r.subscription); err != nil {
		return directory.Tenant{}, fmt.Errorf("store: table tenants: %w", err)
	}
	return r.decode()
}

func readString(s scanner) (string, error) {
	var v string
	err := s.Scan(&v)
	return v, err
}

func (t *tx) Tenants() ([]directory.Tenant, error) {
	found, err := all(t, readTenant, selectTenants+` ORDER BY name`)
	if err != nil {
		return nil, err
	}
	type row struct{ tenant, domain string }
	domains, err := all(t, func(s scanner) (row, error) {
		var r row
		if err := s.Scan(&r.tenant, &r.domain); err != nil {
			return row{}, fmt.Errorf("store: table tenant_domains: %w", err)
		}
		return r, nil
	}, `SELECT tenant_id, domain FROM tenant_domains ORDER BY tenant_id, position`)
	if err != nil {
		return nil, err
	}
	of := make(map[string][]string)
	for _, d := range domains {
		of[d.tenant] = append(of[d.tenant], d.domain)
	}
	for i := range found {
		found[i].Domains = of[found[i].ID.String()]
	}
	return found, nil
}

func (t *tx) withDomains(found directory.Tenant, err error) (*directory.Tenant, error) {
	if err != nil {
		return nil, err
	}
	found.Domains, err = all(t, readString, `SELECT domain FROM tenant_domains WHERE tenant_id = $1 ORDER BY position`, found.ID.String())
	if err != nil {
		return nil, err
	}
	return &found, nil
}

func (t *tx) Tenant(id directory.TenantID) (*directory.Tenant, error) {
	found, err := one(t, readTenant, selectTenants+` WHERE tenant_id = $1`, id.String())
	return t.withDomains(found, missing(err, "tenant %s", id))
}

func (t *tx) TenantByName(name string) (*directory.Tenant, error) {
	found, err := one(t, readTenant, selectTenants+` WHERE name_key = $1`, strings.ToLower(name))
	return t.withDomains(found, missing(err, "tenant %q", name))
}

func (t *tx) tenantByDomain(domain string) (*directory.Tenant, error) {
	id, err := one(t, readString, `SELECT tenant_id FROM tenant_domains WHERE domain = $1`, strings.ToLower(domain))
	if err != nil {
		return nil, missing(err, "tenant with domain %q", domain)
	}
	found, err := one(t, readTenant, selectTenants+` WHERE tenant_id = $1`, id)
	return t.withDomains(found, missing(err, "tenant %s", id))
}

func (t *tx) InsertTenant(d *directory.Tenant) error {
	r, err := encodeTenant(d)
	if err != nil {
		return err
	}
	t.writing(d.ID)
	return t.atomically(func() error {
		_, err := t.exec(`INSERT INTO tenants (tenant_id, name, name_key, display_name, subscription_id) VALUES ($1, $2, $3, $4, $5)`,
			r.tenant, r.name, r.nameKey, r.displayName, r.subscription)
		if err != nil {
			return err
		}
		return t.insertDomains(d)
	})
}

func (t *tx) UpdateTenant(d *directory.Tenant) error {
	r, err := encodeTenant(d)
	if err != nil {
		return err
	}
	t.writing(d.ID)
	return t.atomically(func() error {
		n, err := t.exec(`UPDATE tenants SET name = $1, name_key = $2, display_name = $3 WHERE tenant_id = $4`,
			r.name, r.nameKey, r.displayName, r.tenant)
		if err := met(n, err, "tenant %s", d.ID); err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM tenant_domains WHERE tenant_id = $1`, r.tenant); err != nil {
			return err
		}
		return t.insertDomains(d)
	})
}

func (t *tx) insertDomains(d *directory.Tenant) error {
	for i, domain := range d.Domains {
		_, err := t.exec(`INSERT INTO tenant_domains (tenant_id, position, domain) VALUES ($1, $2, $3)`,
			d.ID.String(), i, strings.ToLower(domain))
		if err != nil {
			return err
		}
	}
	return nil
}

// The platform-wide register of client ids.

func (t *tx) insertClientID(id directory.ClientID, tenant directory.TenantID, kind directory.PrincipalKind, object directory.ObjectID) error {
	_, err := t.exec(`INSERT INTO client_ids (client_id, tenant_id, kind, object_id) VALUES ($1, $2, $3, $4)`,
		id.String(), tenant.String(), string(kind), object.String())
	return err
}

func (t *tx) deleteClientID(tenant directory.TenantID, kind directory.PrincipalKind, object directory.ObjectID) error {
	_, err := t.exec(`DELETE FROM client_ids WHERE tenant_id = $1 AND object_id = $2 AND kind = $3`,
		tenant.String(), object.String(), string(kind))
	return err
}

func (t *tx) clientRef(id directory.ClientID) (clientRef, error) {
	return one(t, func(s scanner) (clientRef, error) {
		var r clientRow
		if err := s.Scan(&r.client, &r.tenant, &r.kind, &r.object); err != nil {
			return clientRef{}, fmt.Errorf("store: table client_ids: %w", err)
		}
		return r.decode()
	}, `SELECT client_id, tenant_id, kind, object_id FROM client_ids WHERE client_id = $1`, id.String())
}
