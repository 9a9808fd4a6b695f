package store

import (
	"fmt"

	"github.com/avouch/avouch/internal/directory"
)

const selectApplications = `SELECT tenant_id, object_id, client_id, name, unique_name, audience, token_version, disabled, created_at, scopes, keys, kept FROM applications`

func readApplication(s scanner) (directory.Application, error) {
	var r applicationRow
	if err := s.Scan(&r.tenant, &r.object, &r.client, &r.name, &r.unique, &r.audience, &r.tokenVersion, &r.disabled, &r.created, &r.scopes, &r.keys, &r.kept); err != nil {
		return directory.Application{}, fmt.Errorf("store: table applications: %w", err)
	}
	return r.decode()
}

const selectRoles = `SELECT tenant_id, application_id, role_id, value, display_name, description, disabled, members FROM app_roles`

func readRole(s scanner) (owned[directory.AppRole], error) {
	var r roleRow
	if err := s.Scan(&r.tenant, &r.application, &r.role, &r.value, &r.displayName, &r.description, &r.disabled, &r.members); err != nil {
		return owned[directory.AppRole]{}, fmt.Errorf("store: table app_roles: %w", err)
	}
	role, err := r.decode()
	if err != nil {
		return owned[directory.AppRole]{}, err
	}
	c := checker{table: "app_roles", key: []string{r.tenant, r.application, r.role}}
	return owned[directory.AppRole]{c.object("application_id", r.application), role}, c.err
}

func (t *tx) Applications(id directory.TenantID) ([]directory.Application, error) {
	found, err := all(t, readApplication, selectApplications+` WHERE tenant_id = $1 ORDER BY name_key, object_id`, id.String())
	if err != nil {
		return nil, err
	}
	uris, err := all(t, readOwnedString("application_uris"),
		`SELECT application_id, uri FROM application_uris WHERE tenant_id = $1 ORDER BY application_id, position`, id.String())
	if err != nil {
		return nil, err
	}
	roles, err := all(t, readRole, selectRoles+` WHERE tenant_id = $1 ORDER BY application_id, position`, id.String())
	if err != nil {
		return nil, err
	}
	urisOf, rolesOf := grouped(uris), grouped(roles)
	for i := range found {
		found[i].IdentifierURIs, found[i].AppRoles = urisOf[found[i].ID], rolesOf[found[i].ID]
	}
	return found, nil
}

// completeAll is complete for a page of applications of one tenant.
func (t *tx) completeAll(tenant directory.TenantID, found []directory.Application) error {
	if len(found) == 0 {
		return nil
	}
	ids := make([]directory.ObjectID, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	among, err := list(ids)
	if err != nil {
		return err
	}
	uris, err := all(t, readOwnedString("application_uris"), `SELECT application_id, uri FROM application_uris
		WHERE tenant_id = $1 AND application_id IN (SELECT value FROM json_each($2)) ORDER BY application_id, position`, tenant.String(), among)
	if err != nil {
		return err
	}
	roles, err := all(t, readRole, selectRoles+` WHERE tenant_id = $1 AND application_id IN (SELECT value FROM json_each($2)) ORDER BY application_id, position`,
		tenant.String(), among)
	if err != nil {
		return err
	}
	urisOf, rolesOf := grouped(uris), grouped(roles)
	for i := range found {
		found[i].IdentifierURIs, found[i].AppRoles = urisOf[found[i].ID], rolesOf[found[i].ID]
	}
	return nil
}

// complete adds what stands in other tables.
func (t *tx) complete(a directory.Application, err error) (*directory.Application, error) {
	if err != nil {
		return nil, err
	}
	a.IdentifierURIs, err = all(t, readString, `SELECT uri FROM application_uris WHERE tenant_id = $1 AND application_id = $2 ORDER BY position`,
		a.Tenant.String(), a.ID.String())
	if err != nil {
		return nil, err
	}
	roles, err := all(t, readRole, selectRoles+` WHERE tenant_id = $1 AND application_id = $2 ORDER BY position`,
		a.Tenant.String(), a.ID.String())
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		a.AppRoles = append(a.AppRoles, r.value)
	}
	return &a, nil
}

// bareApplication leaves out identifier URIs and app roles.
func (t *tx) bareApplication(tenant directory.TenantID, id directory.ObjectID) (directory.Application, error) {
	found, err := one(t, readApplication, selectApplications+` WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
	return found, missing(err, "application %s in tenant %s", id, tenant)
}

func (t *tx) Application(tenant directory.TenantID, id directory.ObjectID) (*directory.Application, error) {
	return t.complete(t.bareApplication(tenant, id))
}

// ApplicationsNamed compares names exactly. There may be several.
func (t *tx) ApplicationsNamed(tenant directory.TenantID, name string) ([]directory.Application, error) {
	found, err := all(t, readApplication, selectApplications+` WHERE tenant_id = $1 AND name_key = $2 AND name = $3 ORDER BY object_id`,
		tenant.String(), fold(name), name)
	if err != nil {
		return nil, err
	}
	return found, t.completeAll(tenant, found)
}

func (t *tx) ApplicationByClientID(id directory.ClientID) (*directory.Application, error) {
	ref, err := t.clientRef(id)
	if err == nil && ref.kind != directory.ApplicationPrincipal {
		err = directory.ErrNotFound
	}
	if err != nil {
		return nil, missing(err, "application with client id %s", id)
	}
	return t.Application(ref.tenant, ref.object)
}

// applicationIn is the application of a client id if the tenant is its home.
func (t *tx) applicationIn(home directory.TenantID, id directory.ClientID) (*directory.Application, error) {
	found, err := one(t, readApplication, selectApplications+` WHERE tenant_id = $1 AND client_id = $2`, home.String(), id.String())
	return t.complete(found, missing(err, "application with client id %s in tenant %s", id, home))
}

func (t *tx) InsertApplication(a *directory.Application) error {
	r, err := encodeApplication(a)
	if err != nil {
		return err
	}
	t.writing(a.Tenant)
	return t.atomically(func() error {
		if err := t.insertClientID(a.ClientID, a.Tenant, directory.ApplicationPrincipal, a.ID); err != nil {
			return err
		}
		_, err := t.exec(`INSERT INTO applications (tenant_id, object_id, client_id, name, name_key, unique_name, audience, token_version, disabled, created_at, scopes, keys, kept)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			r.tenant, r.object, r.client, r.name, r.nameKey, r.unique, r.audience, r.tokenVersion, r.disabled, r.created, r.scopes, r.keys, r.kept)
		if err != nil {
			return err
		}
		return t.insertParts(a)
	})
}

func (t *tx) UpdateApplication(a *directory.Application) error {
	r, err := encodeApplication(a)
	if err != nil {
		return err
	}
	t.writing(a.Tenant)
	return t.atomically(func() error {
		n, err := t.exec(`UPDATE applications SET name = $1, name_key = $2, unique_name = $3, audience = $4, token_version = $5, disabled = $6, scopes = $7, keys = $8, kept = $9
			WHERE tenant_id = $10 AND object_id = $11`,
			r.name, r.nameKey, r.unique, r.audience, r.tokenVersion, r.disabled, r.scopes, r.keys, r.kept, r.tenant, r.object)
		if err := met(n, err, "application %s in tenant %s", a.ID, a.Tenant); err != nil {
			return err
		}
		if err := t.deleteParts(a.Tenant, a.ID); err != nil {
			return err
		}
		return t.insertParts(a)
	})
}

func (t *tx) DeleteApplication(tenant directory.TenantID, id directory.ObjectID) error {
	t.writing(tenant)
	return t.atomically(func() error {
		if err := t.deleteParts(tenant, id); err != nil {
			return err
		}
		if err := t.deleteCredentials(tenant, id); err != nil {
			return err
		}
		if err := t.deleteClientID(tenant, directory.ApplicationPrincipal, id); err != nil {
			return err
		}
		n, err := t.exec(`DELETE FROM applications WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
		return met(n, err, "application %s in tenant %s", id, tenant)
	})
}

func (t *tx) insertParts(a *directory.Application) error {
	for i, uri := range a.IdentifierURIs {
		_, err := t.exec(`INSERT INTO application_uris (tenant_id, application_id, position, uri) VALUES ($1, $2, $3, $4)`,
			a.Tenant.String(), a.ID.String(), i, uri)
		if err != nil {
			return err
		}
	}
	for i, role := range a.AppRoles {
		members, err := list(role.Members)
		if err != nil {
			return err
		}
		r := roleRow{a.Tenant.String(), a.ID.String(), role.ID.String(), role.Value, role.DisplayName, role.Description, flag(role.Disabled), members}
		if _, err := r.decode(); err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO app_roles (tenant_id, application_id, position, role_id, value, display_name, description, disabled, members)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			r.tenant, r.application, i, r.role, r.value, r.displayName, r.description, r.disabled, r.members)
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) deleteParts(tenant directory.TenantID, id directory.ObjectID) error {
	if _, err := t.exec(`DELETE FROM application_uris WHERE tenant_id = $1 AND application_id = $2`, tenant.String(), id.String()); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM app_roles WHERE tenant_id = $1 AND application_id = $2`, tenant.String(), id.String())
	return err
}
