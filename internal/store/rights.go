package store

import (
	"fmt"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

func readRoleAssignment(s scanner) (directory.RoleAssignment, error) {
	var tenant, id, principal, role, scope string
	if err := s.Scan(&tenant, &id, &principal, &role, &scope); err != nil {
		return directory.RoleAssignment{}, fmt.Errorf("store: table directory_role_assignments: %w", err)
	}
	c := checker{table: "directory_role_assignments", key: []string{tenant, id}}
	return directory.RoleAssignment{
		Tenant: c.tenant("tenant_id", tenant), ID: id, Principal: c.object("principal_id", principal),
		Role: c.object("role_id", role), Scope: c.optional("scope_id", scope),
	}, c.err
}

const selectRoleAssignments = `SELECT tenant_id, assignment_id, principal_id, role_id, scope_id FROM directory_role_assignments`

func (t *tx) RoleAssignments(tenant directory.TenantID) ([]directory.RoleAssignment, error) {
	return all(t, readRoleAssignment, selectRoleAssignments+` WHERE tenant_id = $1 ORDER BY assignment_id`, tenant.String())
}

func (t *tx) RoleAssignmentsOf(tenant directory.TenantID, principal directory.ObjectID) ([]directory.RoleAssignment, error) {
	return all(t, readRoleAssignment, selectRoleAssignments+` WHERE tenant_id = $1 AND principal_id = $2`, tenant.String(), principal.String())
}

func (t *tx) InsertRoleAssignment(a *directory.RoleAssignment) error {
	t.writing(a.Tenant)
	_, err := t.exec(`INSERT INTO directory_role_assignments (tenant_id, assignment_id, principal_id, role_id, scope_id) VALUES ($1, $2, $3, $4, $5)`,
		a.Tenant.String(), a.ID, a.Principal.String(), a.Role.String(), a.Scope.String())
	return err
}

func (t *tx) DeleteRoleAssignment(tenant directory.TenantID, id string) error {
	t.writing(tenant)
	n, err := t.exec(`DELETE FROM directory_role_assignments WHERE tenant_id = $1 AND assignment_id = $2`, tenant.String(), id)
	return met(n, err, "role assignment %s in tenant %s", id, tenant)
}

type azureRow struct {
	tenant, scopeKey, id, scope, role, principal, kind string
	created, updated                                   int64
	createdBy, updatedBy, kept                         string
}

func (r azureRow) decode() (directory.AzureAssignment, error) {
	c := checker{table: "azure_role_assignments", key: []string{r.tenant, r.scopeKey, r.id}}
	a := directory.AzureAssignment{
		Tenant: c.tenant("tenant_id", r.tenant), ID: c.object("assignment_id", r.id), Scope: r.scope, Role: c.object("role_id", r.role),
		Principal:     c.object("principal_id", r.principal),
		PrincipalKind: word(&c, "principal_kind", r.kind, directory.UserObject, directory.GroupObject, directory.PrincipalObject),
		Created:       sinceEpoch(r.created), Updated: sinceEpoch(r.updated),
		CreatedBy: c.optional("created_by", r.createdBy), UpdatedBy: c.optional("updated_by", r.updatedBy),
	}
	c.folded("scope_key", r.scopeKey, r.scope)
	if !strings.HasPrefix(r.scope, "/") || len(r.scope) > 1 && strings.HasSuffix(r.scope, "/") {
		c.fail("scope", r.scope, "a scope")
	}
	fromJSON(&c, "kept", r.kept, &a.Kept)
	return a, c.err
}

const selectAzure = `SELECT tenant_id, scope_key, assignment_id, scope, role_id, principal_id, principal_kind, created_at, updated_at, created_by, updated_by, kept FROM azure_role_assignments`

func readAzure(s scanner) (directory.AzureAssignment, error) {
	var r azureRow
	if err := s.Scan(&r.tenant, &r.scopeKey, &r.id, &r.scope, &r.role, &r.principal, &r.kind, &r.created, &r.updated, &r.createdBy, &r.updatedBy, &r.kept); err != nil {
		return directory.AzureAssignment{}, fmt.Errorf("store: table azure_role_assignments: %w", err)
	}
	return r.decode()
}

// AzureAssignments lists those of a tenant.
func (t *tx) AzureAssignments(tenant directory.TenantID) ([]directory.AzureAssignment, error) {
	return all(t, readAzure, selectAzure+` WHERE tenant_id = $1 ORDER BY scope_key, assignment_id`, tenant.String())
}

// AzureAssignmentsOf lists those of one principal.
func (t *tx) AzureAssignmentsOf(tenant directory.TenantID, principal directory.ObjectID) ([]directory.AzureAssignment, error) {
	return all(t, readAzure, selectAzure+` WHERE tenant_id = $1 AND principal_id = $2`, tenant.String(), principal.String())
}

// AzureAssignment finds one by its scope and name.
func (t *tx) AzureAssignment(tenant directory.TenantID, scope string, id directory.ObjectID) (*directory.AzureAssignment, error) {
	found, err := one(t, readAzure, selectAzure+` WHERE tenant_id = $1 AND scope_key = $2 AND assignment_id = $3`, tenant.String(), fold(scope), id.String())
	if err != nil {
		return nil, missing(err, "role assignment %s at %s in tenant %s", id, scope, tenant)
	}
	return &found, nil
}

// PutAzureAssignment writes one, replacing the one with its scope and name.
func (t *tx) PutAzureAssignment(a *directory.AzureAssignment) error {
	r := azureRow{
		a.Tenant.String(), fold(a.Scope), a.ID.String(), a.Scope, a.Role.String(), a.Principal.String(), string(a.PrincipalKind),
		micros(a.Created), micros(a.Updated), a.CreatedBy.String(), a.UpdatedBy.String(), "",
	}
	var err error
	if r.kept, err = encodeKept(a.Kept); err != nil {
		return err
	}
	if _, err := r.decode(); err != nil {
		return err
	}
	t.writing(a.Tenant)
	_, err = t.exec(`INSERT INTO azure_role_assignments (tenant_id, scope_key, assignment_id, scope, role_id, principal_id, principal_kind, created_at, updated_at, created_by, updated_by, kept)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (tenant_id, scope_key, assignment_id) DO UPDATE SET updated_at = excluded.updated_at, updated_by = excluded.updated_by, kept = excluded.kept`,
		r.tenant, r.scopeKey, r.id, r.scope, r.role, r.principal, r.kind, r.created, r.updated, r.createdBy, r.updatedBy, r.kept)
	return err
}

func (t *tx) DeleteAzureAssignment(tenant directory.TenantID, scope string, id directory.ObjectID) error {
	t.writing(tenant)
	n, err := t.exec(`DELETE FROM azure_role_assignments WHERE tenant_id = $1 AND scope_key = $2 AND assignment_id = $3`, tenant.String(), fold(scope), id.String())
	return met(n, err, "role assignment %s at %s in tenant %s", id, scope, tenant)
}

const selectGrants = `SELECT tenant_id, grant_id, client_id, resource_id, user_id, scopes FROM permission_grants`

func readGrant(s scanner) (directory.PermissionGrant, error) {
	var tenant, id, client, resource, user, scopes string
	if err := s.Scan(&tenant, &id, &client, &resource, &user, &scopes); err != nil {
		return directory.PermissionGrant{}, fmt.Errorf("store: table permission_grants: %w", err)
	}
	c := checker{table: "permission_grants", key: []string{tenant, id}}
	return directory.PermissionGrant{
		Tenant: c.tenant("tenant_id", tenant), ID: id, Client: c.object("client_id", client), Resource: c.object("resource_id", resource),
		User: c.optional("user_id", user), Scopes: strings.Fields(scopes),
	}, c.err
}

func (t *tx) Grants(tenant directory.TenantID) ([]directory.PermissionGrant, error) {
	return all(t, readGrant, selectGrants+` WHERE tenant_id = $1 ORDER BY grant_id`, tenant.String())
}

func (t *tx) GrantsOf(tenant directory.TenantID, client directory.ObjectID) ([]directory.PermissionGrant, error) {
	return all(t, readGrant, selectGrants+` WHERE tenant_id = $1 AND client_id = $2 ORDER BY resource_id, user_id`, tenant.String(), client.String())
}

func (t *tx) Grant(tenant directory.TenantID, id string) (*directory.PermissionGrant, error) {
	found, err := one(t, readGrant, selectGrants+` WHERE tenant_id = $1 AND grant_id = $2`, tenant.String(), id)
	if err != nil {
		return nil, missing(err, "permission grant %s in tenant %s", id, tenant)
	}
	return &found, nil
}

func (t *tx) InsertGrant(g *directory.PermissionGrant) error {
	t.writing(g.Tenant)
	_, err := t.exec(`INSERT INTO permission_grants (tenant_id, grant_id, client_id, resource_id, user_id, scopes) VALUES ($1, $2, $3, $4, $5, $6)`,
		g.Tenant.String(), g.ID, g.Client.String(), g.Resource.String(), g.User.String(), strings.Join(g.Scopes, " "))
	return err
}

func (t *tx) UpdateGrant(g *directory.PermissionGrant) error {
	t.writing(g.Tenant)
	n, err := t.exec(`UPDATE permission_grants SET scopes = $1 WHERE tenant_id = $2 AND grant_id = $3`,
		strings.Join(g.Scopes, " "), g.Tenant.String(), g.ID)
	return met(n, err, "permission grant %s in tenant %s", g.ID, g.Tenant)
}

func (t *tx) DeleteGrant(tenant directory.TenantID, id string) error {
	t.writing(tenant)
	n, err := t.exec(`DELETE FROM permission_grants WHERE tenant_id = $1 AND grant_id = $2`, tenant.String(), id)
	return met(n, err, "permission grant %s in tenant %s", id, tenant)
}
