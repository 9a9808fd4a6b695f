package store

import (
	"fmt"

	"github.com/avouch/avouch/internal/directory"
)

const selectPrincipals = `SELECT tenant_id, object_id, client_id, kind, name, home_tenant_id, assignment_required, disabled, created_at, kept FROM service_principals`

func readPrincipal(s scanner) (directory.ServicePrincipal, error) {
	var r principalRow
	if err := s.Scan(&r.tenant, &r.object, &r.client, &r.kind, &r.name, &r.home, &r.assignmentRequired, &r.disabled, &r.created, &r.kept); err != nil {
		return directory.ServicePrincipal{}, fmt.Errorf("store: table service_principals: %w", err)
	}
	return r.decode()
}

func (t *tx) Principals(id directory.TenantID) ([]directory.ServicePrincipal, error) {
	found, err := all(t, readPrincipal, selectPrincipals+` WHERE tenant_id = $1 ORDER BY name_key, object_id`, id.String())
	if err != nil {
		return nil, err
	}
	names, err := all(t, readOwnedString("service_principal_names"),
		`SELECT principal_id, name FROM service_principal_names WHERE tenant_id = $1 ORDER BY principal_id, position`, id.String())
	if err != nil {
		return nil, err
	}
	of := grouped(names)
	for i := range found {
		found[i].Names = of[found[i].ID]
	}
	return found, nil
}

func (t *tx) withNames(p directory.ServicePrincipal, err error) (*directory.ServicePrincipal, error) {
	if err != nil {
		return nil, err
	}
	p.Names, err = all(t, readString, `SELECT name FROM service_principal_names WHERE tenant_id = $1 AND principal_id = $2 ORDER BY position`,
		p.Tenant.String(), p.ID.String())
	if err != nil {
		return nil, err
	}
	return &p, nil
}

func (t *tx) Principal(tenant directory.TenantID, id directory.ObjectID) (*directory.ServicePrincipal, error) {
	found, err := one(t, readPrincipal, selectPrincipals+` WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
	return t.withNames(found, missing(err, "service principal %s in tenant %s", id, tenant))
}

func (t *tx) PrincipalByClientID(tenant directory.TenantID, id directory.ClientID) (*directory.ServicePrincipal, error) {
	found, err := one(t, readPrincipal, selectPrincipals+` WHERE tenant_id = $1 AND client_id = $2`, tenant.String(), id.String())
	return t.withNames(found, missing(err, "service principal of client id %s in tenant %s", id, tenant))
}

func (t *tx) PrincipalNamed(tenant directory.TenantID, name string) (*directory.ServicePrincipal, error) {
	return t.principalNamed(tenant, name)
}

// principalNamed is the service principal that the tenant knows under one of
// its service principal names.
func (t *tx) principalNamed(tenant directory.TenantID, name string) (*directory.ServicePrincipal, error) {
	id, err := one(t, readString, `SELECT principal_id FROM service_principal_names WHERE tenant_id = $1 AND name = $2`, tenant.String(), name)
	if err != nil {
		return nil, missing(err, "service principal named %q in tenant %s", name, tenant)
	}
	found, err := one(t, readPrincipal, selectPrincipals+` WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id)
	return t.withNames(found, missing(err, "service principal %s in tenant %s", id, tenant))
}

func (t *tx) PrincipalsOf(id directory.ClientID) ([]directory.ServicePrincipal, error) {
	found, err := all(t, readPrincipal, selectPrincipals+` WHERE client_id = $1 ORDER BY tenant_id`, id.String())
	if err != nil {
		return nil, err
	}
	for i := range found {
		p, err := t.withNames(found[i], nil)
		if err != nil {
			return nil, err
		}
		found[i] = *p
	}
	return found, nil
}

func (t *tx) InsertPrincipal(p *directory.ServicePrincipal) error {
	r, err := encodePrincipal(p)
	if err != nil {
		return err
	}
	t.writing(p.Tenant)
	return t.atomically(func() error {
		_, err := t.exec(`INSERT INTO service_principals (tenant_id, object_id, client_id, kind, name, name_key, home_tenant_id, assignment_required, disabled, created_at, kept)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			r.tenant, r.object, r.client, r.kind, r.name, fold(r.name), r.home, r.assignmentRequired, r.disabled, r.created, r.kept)
		if err != nil {
			return err
		}
		return t.insertNames(p)
	})
}

func (t *tx) UpdatePrincipal(p *directory.ServicePrincipal) error {
	r, err := encodePrincipal(p)
	if err != nil {
		return err
	}
	t.writing(p.Tenant)
	return t.atomically(func() error {
		n, err := t.exec(`UPDATE service_principals SET name = $1, name_key = $2, assignment_required = $3, disabled = $4, kept = $5 WHERE tenant_id = $6 AND object_id = $7`,
			r.name, fold(r.name), r.assignmentRequired, r.disabled, r.kept, r.tenant, r.object)
		if err := met(n, err, "service principal %s in tenant %s", p.ID, p.Tenant); err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM service_principal_names WHERE tenant_id = $1 AND principal_id = $2`, r.tenant, r.object); err != nil {
			return err
		}
		return t.insertNames(p)
	})
}

func (t *tx) insertNames(p *directory.ServicePrincipal) error {
	for i, name := range p.Names {
		_, err := t.exec(`INSERT INTO service_principal_names (tenant_id, principal_id, position, name) VALUES ($1, $2, $3, $4)`,
			p.Tenant.String(), p.ID.String(), i, name)
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) DeletePrincipal(tenant directory.TenantID, id directory.ObjectID) error {
	t.writing(tenant)
	return t.atomically(func() error {
		for _, statement := range []string{
			`DELETE FROM app_role_assignments WHERE tenant_id = $1 AND principal_id = $2`,
			`DELETE FROM app_role_assignments WHERE tenant_id = $1 AND resource_id = $2`,
			`DELETE FROM permission_grants WHERE tenant_id = $1 AND client_id = $2`,
			`DELETE FROM permission_grants WHERE tenant_id = $1 AND resource_id = $2`,
			`DELETE FROM service_principal_names WHERE tenant_id = $1 AND principal_id = $2`,
		} {
			if _, err := t.exec(statement, tenant.String(), id.String()); err != nil {
				return err
			}
		}
		n, err := t.exec(`DELETE FROM service_principals WHERE tenant_id = $1 AND object_id = $2`, tenant.String(), id.String())
		return met(n, err, "service principal %s in tenant %s", id, tenant)
	})
}

const selectAssignments = `SELECT tenant_id, assignment_id, principal_id, resource_id, role_id, created_at FROM app_role_assignments`

func readAssignment(s scanner) (directory.AppRoleAssignment, error) {
	var r assignmentRow
	if err := s.Scan(&r.tenant, &r.assignment, &r.principal, &r.resource, &r.role, &r.created); err != nil {
		return directory.AppRoleAssignment{}, fmt.Errorf("store: table app_role_assignments: %w", err)
	}
	return r.decode()
}

func (t *tx) Assignments(id directory.TenantID) ([]directory.AppRoleAssignment, error) {
	return all(t, readAssignment, selectAssignments+` WHERE tenant_id = $1 ORDER BY assignment_id`, id.String())
}

func (t *tx) AssignmentsOf(tenant directory.TenantID, party directory.ObjectID) ([]directory.AppRoleAssignment, error) {
	return all(t, readAssignment, selectAssignments+` WHERE tenant_id = $1 AND principal_id = $2
		UNION `+selectAssignments+` WHERE tenant_id = $1 AND resource_id = $2 ORDER BY assignment_id`, tenant.String(), party.String())
}

func (t *tx) assignmentsBetween(tenant directory.TenantID, principal, resource directory.ObjectID) ([]directory.AppRoleAssignment, error) {
	return all(t, readAssignment, selectAssignments+` WHERE tenant_id = $1 AND principal_id = $2 AND resource_id = $3`,
		tenant.String(), principal.String(), resource.String())
}

func (t *tx) InsertAssignment(a *directory.AppRoleAssignment) error {
	r, err := encodeAssignment(a)
	if err != nil {
		return err
	}
	t.writing(a.Tenant)
	_, err = t.exec(`INSERT INTO app_role_assignments (tenant_id, assignment_id, principal_id, resource_id, role_id, created_at)
		VALUES ($1, $2, $3, $4, $5, $6)`, r.tenant, r.assignment, r.principal, r.resource, r.role, r.created)
	return err
}

func (t *tx) DeleteAssignment(tenant directory.TenantID, id directory.ObjectID) error {
	t.writing(tenant)
	n, err := t.exec(`DELETE FROM app_role_assignments WHERE tenant_id = $1 AND assignment_id = $2`, tenant.String(), id.String())
	return met(n, err, "app role assignment %s in tenant %s", id, tenant)
}
