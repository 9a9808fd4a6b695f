package store

import (
	"fmt"

	"github.com/avouch/avouch/internal/directory"
)

type userRow struct {
	tenant, object, name, upn, kept string
	disabled, created               int64
}

func (r userRow) decode() (directory.User, error) {
	c := checker{table: "users", key: []string{r.tenant, r.object}}
	u := directory.User{
		Tenant: c.tenant("tenant_id", r.tenant), ID: c.object("object_id", r.object), Name: r.name, UPN: r.upn,
		Disabled: c.flag("disabled", r.disabled), Created: sinceEpoch(r.created),
	}
	fromJSON(&c, "kept", r.kept, &u.Kept)
	return u, c.err
}

func encodeUser(u *directory.User) (r userRow, err error) {
	r = userRow{u.Tenant.String(), u.ID.String(), u.Name, u.UPN, "", flag(u.Disabled), micros(u.Created)}
	if r.kept, err = encodeKept(u.Kept); err != nil {
		return r, err
	}
	_, err = r.decode()
	return r, err
}

const selectUsers = `SELECT tenant_id, object_id, name, upn, disabled, created_at, kept FROM users`

func readUser(s scanner) (directory.User, error) {
	var r userRow
	if err := s.Scan(&r.tenant, &r.object, &r.name, &r.upn, &r.disabled, &r.created, &r.kept); err != nil {
		return directory.User{}, fmt.Errorf("store: table users: %w", err)
	}
	return r.decode()
}

func (t *tx) User(tenant directory.TenantID, id directory.ObjectID) (*directory.User, error) {
	found, err := one(t, readUser, selectUsers+` WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
	if err != nil {
		return nil, missing(err, "user %s in tenant %s", id, tenant)
	}
	return &found, nil
}

func (t *tx) UserByUPN(tenant directory.TenantID, upn string) (*directory.User, error) {
	found, err := one(t, readUser, selectUsers+` WHERE tenant_id = $1 AND upn_key = $2`, tenant.String(), fold(upn))
	if err != nil {
		return nil, missing(err, "user %q in tenant %s", upn, tenant)
	}
	return &found, nil
}

func (t *tx) InsertUser(u *directory.User) error {
	r, err := encodeUser(u)
	if err != nil {
		return err
	}
	t.writing(u.Tenant)
	_, err = t.exec(`INSERT INTO users (tenant_id, object_id, name, name_key, upn, upn_key, disabled, created_at, kept) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.tenant, r.object, r.name, fold(r.name), r.upn, fold(r.upn), r.disabled, r.created, r.kept)
	return err
}

func (t *tx) UpdateUser(u *directory.User) error {
	r, err := encodeUser(u)
	if err != nil {
		return err
	}
	t.writing(u.Tenant)
	n, err := t.exec(`UPDATE users SET name = $1, name_key = $2, upn = $3, upn_key = $4, disabled = $5, kept = $6 WHERE tenant_id = $7 AND object_id = $8`,
		r.name, fold(r.name), r.upn, fold(r.upn), r.disabled, r.kept, r.tenant, r.object)
	return met(n, err, "user %s in tenant %s", u.ID, u.Tenant)
}

func (t *tx) DeleteUser(tenant directory.TenantID, id directory.ObjectID) error {
	t.writing(tenant)
	n, err := t.exec(`DELETE FROM users WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
	return met(n, err, "user %s in tenant %s", id, tenant)
}

type groupRow struct {
	tenant, object, name, kept string
	roleAssignable, created    int64
}

func (r groupRow) decode() (directory.Group, error) {
	c := checker{table: "groups", key: []string{r.tenant, r.object}}
	g := directory.Group{
		Tenant: c.tenant("tenant_id", r.tenant), ID: c.object("object_id", r.object), Name: r.name,
		RoleAssignable: c.flag("role_assignable", r.roleAssignable), Created: sinceEpoch(r.created),
	}
	fromJSON(&c, "kept", r.kept, &g.Kept)
	return g, c.err
}

func encodeGroup(g *directory.Group) (r groupRow, err error) {
	r = groupRow{g.Tenant.String(), g.ID.String(), g.Name, "", flag(g.RoleAssignable), micros(g.Created)}
	if r.kept, err = encodeKept(g.Kept); err != nil {
		return r, err
	}
	_, err = r.decode()
	return r, err
}

const selectGroups = `SELECT tenant_id, object_id, name, role_assignable, created_at, kept FROM groups`

func readGroup(s scanner) (directory.Group, error) {
	var r groupRow
	if err := s.Scan(&r.tenant, &r.object, &r.name, &r.roleAssignable, &r.created, &r.kept); err != nil {
		return directory.Group{}, fmt.Errorf("store: table groups: %w", err)
	}
	return r.decode()
}

func (t *tx) Group(tenant directory.TenantID, id directory.ObjectID) (*directory.Group, error) {
	found, err := one(t, readGroup, selectGroups+` WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
	if err != nil {
		return nil, missing(err, "group %s in tenant %s", id, tenant)
	}
	return &found, nil
}

func (t *tx) InsertGroup(g *directory.Group) error {
	r, err := encodeGroup(g)
	if err != nil {
		return err
	}
	t.writing(g.Tenant)
	_, err = t.exec(`INSERT INTO groups (tenant_id, object_id, name, name_key, role_assignable, created_at, kept) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		r.tenant, r.object, r.name, fold(r.name), r.roleAssignable, r.created, r.kept)
	return err
}

func (t *tx) UpdateGroup(g *directory.Group) error {
	r, err := encodeGroup(g)
	if err != nil {
		return err
	}
	t.writing(g.Tenant)
	n, err := t.exec(`UPDATE groups SET name = $1, name_key = $2, kept = $3 WHERE tenant_id = $4 AND object_id = $5`,
		r.name, fold(r.name), r.kept, r.tenant, r.object)
	return met(n, err, "group %s in tenant %s", g.ID, g.Tenant)
}

func (t *tx) DeleteGroup(tenant directory.TenantID, id directory.ObjectID) error {
	t.writing(tenant)
	n, err := t.exec(`DELETE FROM groups WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
	return met(n, err, "group %s in tenant %s", id, tenant)
}

func readReference(s scanner) (directory.Reference, error) {
	var id, kind string
	if err := s.Scan(&id, &kind); err != nil {
		return directory.Reference{}, fmt.Errorf("store: table directory_links: %w", err)
	}
	c := checker{table: "directory_links", key: []string{id}}
	return directory.Reference{ID: c.object("id", id), Kind: word(&c, "target_kind", kind,
		directory.UserObject, directory.GroupObject, directory.PrincipalObject, directory.ApplicationObject)}, c.err
}

// Links lists what the object has in the relation: its owners, its members.
func (t *tx) Links(tenant directory.TenantID, relation directory.Relation, object directory.ObjectID) ([]directory.Reference, error) {
	return all(t, readReference, `SELECT target_id, target_kind FROM directory_links WHERE tenant_id = $1 AND relation = $2 AND object_id = $3 ORDER BY target_id`,
		tenant.String(), string(relation), object.String())
}

// LinkedBy lists the objects that have the target in the relation: what it owns,
// what it is a member of.
func (t *tx) LinkedBy(tenant directory.TenantID, relation directory.Relation, target directory.ObjectID) ([]directory.ObjectID, error) {
	return all(t, func(s scanner) (directory.ObjectID, error) {
		var id string
		if err := s.Scan(&id); err != nil {
			return directory.ObjectID{}, fmt.Errorf("store: table directory_links: %w", err)
		}
		c := checker{table: "directory_links", key: []string{id}}
		return c.object("object_id", id), c.err
	}, `SELECT object_id FROM directory_links WHERE tenant_id = $1 AND target_id = $2 AND relation = $3 ORDER BY object_id`,
		tenant.String(), target.String(), string(relation))
}

func (t *tx) InsertLink(tenant directory.TenantID, relation directory.Relation, object directory.ObjectID, target directory.Reference) error {
	t.writing(tenant)
	_, err := t.exec(`INSERT INTO directory_links (tenant_id, relation, object_id, target_id, target_kind) VALUES ($1, $2, $3, $4, $5)`,
		tenant.String(), string(relation), object.String(), target.ID.String(), string(target.Kind))
	return err
}

func (t *tx) DeleteLink(tenant directory.TenantID, relation directory.Relation, object, target directory.ObjectID) error {
	t.writing(tenant)
	n, err := t.exec(`DELETE FROM directory_links WHERE tenant_id = $1 AND relation = $2 AND object_id = $3 AND target_id = $4`,
		tenant.String(), string(relation), object.String(), target.String())
	return met(n, err, "%s %s of %s in tenant %s", relation, target, object, tenant)
}

// DeleteLinks removes every link from and to the object.
func (t *tx) DeleteLinks(tenant directory.TenantID, object directory.ObjectID) error {
	t.writing(tenant)
	for _, relation := range []directory.Relation{directory.OwnerRelation, directory.MemberRelation} {
		if _, err := t.exec(`DELETE FROM directory_links WHERE tenant_id = $1 AND relation = $2 AND object_id = $3`,
			tenant.String(), string(relation), object.String()); err != nil {
			return err
		}
	}
	_, err := t.exec(`DELETE FROM directory_links WHERE tenant_id = $1 AND target_id = $2`, tenant.String(), object.String())
	return err
}
