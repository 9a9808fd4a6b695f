package store

import (
	"fmt"
	"time"

	"github.com/avouch/avouch/internal/directory"
)

const selectResourceGroups = `SELECT tenant_id, name_key, name, location, created_at, kept FROM resource_groups`

func readResourceGroup(s scanner) (directory.ResourceGroup, error) {
	var tenant, key, name, location, kept string
	var created int64
	if err := s.Scan(&tenant, &key, &name, &location, &created, &kept); err != nil {
		return directory.ResourceGroup{}, fmt.Errorf("store: table resource_groups: %w", err)
	}
	c := checker{table: "resource_groups", key: []string{tenant, key}}
	g := directory.ResourceGroup{Tenant: c.tenant("tenant_id", tenant), Name: name, Location: location, Created: sinceEpoch(created)}
	c.folded("name_key", key, name)
	fromJSON(&c, "kept", kept, &g.Kept)
	return g, c.err
}

func (t *tx) ResourceGroups(tenant directory.TenantID) ([]directory.ResourceGroup, error) {
	return all(t, readResourceGroup, selectResourceGroups+` WHERE tenant_id = $1 ORDER BY name_key`, tenant.String())
}

func (t *tx) ResourceGroup(tenant directory.TenantID, name string) (*directory.ResourceGroup, error) {
	found, err := one(t, readResourceGroup, selectResourceGroups+` WHERE tenant_id = $1 AND name_key = $2`, tenant.String(), fold(name))
	if err != nil {
		return nil, missing(err, "resource group %q in tenant %s", name, tenant)
	}
	return &found, nil
}

// PutResourceGroup writes one; the name and time of one that exists stay.
func (t *tx) PutResourceGroup(g *directory.ResourceGroup) error {
	kept, err := encodeKept(g.Kept)
	if err != nil {
		return err
	}
	t.writing(g.Tenant)
	_, err = t.exec(`INSERT INTO resource_groups (tenant_id, name_key, name, location, created_at, kept) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (tenant_id, name_key) DO UPDATE SET location = excluded.location, kept = excluded.kept`,
		g.Tenant.String(), fold(g.Name), g.Name, g.Location, micros(g.Created), kept)
	return err
}

func (t *tx) DeleteResourceGroup(tenant directory.TenantID, name string) error {
	t.writing(tenant)
	n, err := t.exec(`DELETE FROM resource_groups WHERE tenant_id = $1 AND name_key = $2`, tenant.String(), fold(name))
	return met(n, err, "resource group %q in tenant %s", name, tenant)
}

// IdentityIn finds a user-assigned identity by resource group and name, both
// compared without case.
func (t *tx) IdentityIn(tenant directory.TenantID, group, name string) (*directory.ManagedIdentity, error) {
	found, err := one(t, readIdentity, selectIdentities+` WHERE tenant_id = $1 AND group_key = $2 AND name_key = $3 AND kind = 'UserAssigned'`,
		tenant.String(), fold(group), fold(name))
	if err != nil {
		return nil, missing(err, "managed identity %q in group %q of tenant %s", name, group, tenant)
	}
	return &found, nil
}

const selectDeleted = `SELECT tenant_id, object_id, kind, name, client_id, deleted_at, record FROM deleted_objects`

func readDeleted(s scanner) (directory.Deleted, error) {
	var tenant, object, kind, name, client string
	var at int64
	var record []byte
	if err := s.Scan(&tenant, &object, &kind, &name, &client, &at, &record); err != nil {
		return directory.Deleted{}, fmt.Errorf("store: table deleted_objects: %w", err)
	}
	c := checker{table: "deleted_objects", key: []string{tenant, object}}
	d := directory.Deleted{
		Tenant: c.tenant("tenant_id", tenant), ID: c.object("object_id", object), Name: name, At: fromMicros(at), Record: record,
		Kind: word(&c, "kind", kind, directory.UserObject, directory.GroupObject, directory.PrincipalObject, directory.ApplicationObject),
	}
	if client != "" {
		d.ClientID = c.client("client_id", client)
	}
	return d, c.err
}

func (t *tx) DeletedObjects(tenant directory.TenantID, kind directory.ObjectKind) ([]directory.Deleted, error) {
	return all(t, readDeleted, selectDeleted+` WHERE tenant_id = $1 AND kind = $2 ORDER BY object_id`, tenant.String(), string(kind))
}

func (t *tx) DeletedObject(tenant directory.TenantID, id directory.ObjectID) (*directory.Deleted, error) {
	found, err := one(t, readDeleted, selectDeleted+` WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
	if err != nil {
		return nil, missing(err, "deleted object %s in tenant %s", id, tenant)
	}
	return &found, nil
}

// DeletedWith lists the deleted objects of a client id, in every tenant.
func (t *tx) DeletedWith(id directory.ClientID) ([]directory.Deleted, error) {
	return all(t, readDeleted, selectDeleted+` WHERE client_id = $1 ORDER BY tenant_id, object_id`, id.String())
}

// DeletedBefore lists up to 100 objects that were deleted before the time.
func (t *tx) DeletedBefore(at time.Time) ([]directory.Deleted, error) {
	return all(t, readDeleted, selectDeleted+` WHERE deleted_at < $1 ORDER BY deleted_at LIMIT 100`, at.UnixMicro())
}

func (t *tx) InsertDeleted(d *directory.Deleted) error {
	t.writing(d.Tenant)
	_, err := t.exec(`INSERT INTO deleted_objects (tenant_id, object_id, kind, name, client_id, deleted_at, record) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		d.Tenant.String(), d.ID.String(), string(d.Kind), d.Name, d.ClientID.String(), d.At.UnixMicro(), string(d.Record))
	return err
}

func (t *tx) DeleteDeleted(tenant directory.TenantID, id directory.ObjectID) error {
	t.writing(tenant)
	n, err := t.exec(`DELETE FROM deleted_objects WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
	return met(n, err, "deleted object %s in tenant %s", id, tenant)
}
