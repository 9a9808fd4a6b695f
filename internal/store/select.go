package store

import (
	"fmt"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

// table says how one kind of directory object is selected: each condition of a
// [directory.Selection] that the kind knows, as SQL of its own.
type table struct {
	name   string // of the table
	alias  string // condition for Selection.Alias
	client bool   // has client ids
}

var (
	applicationTable = table{"applications", `object_id IN (SELECT application_id FROM application_uris WHERE tenant_id = $1 AND uri = ?)`, true}
	principalTable   = table{"service_principals", `object_id IN (SELECT principal_id FROM service_principal_names WHERE tenant_id = $1 AND name = ?)`, true}
	userTable        = table{"users", `upn_key = ?`, false}
	groupTable       = table{"groups", "", false}
)

// nothing is a condition that no row meets.
const nothing = "1 = 0"

func (b table) where(tenant directory.TenantID, s directory.Selection) (*where, error) {
	w := &where{}
	w.and("tenant_id = ?", tenant.String())
	among := func(column string, ids string, err error) error {
		if err == nil {
			w.and(column+" IN (SELECT value FROM json_each(?))", ids)
		}
		return err
	}
	if s.IDs != nil {
		ids, err := list(s.IDs)
		if err := among("object_id", ids, err); err != nil {
			return nil, err
		}
	}
	if s.ClientIDs != nil {
		if !b.client {
			w.text = append(w.text, nothing)
		} else {
			ids, err := list(s.ClientIDs)
			if err := among("client_id", ids, err); err != nil {
				return nil, err
			}
		}
	}
	if s.Alias != "" {
		switch {
		case b.alias == "":
			w.text = append(w.text, nothing)
		case b.name == userTable.name:
			w.and(b.alias, fold(s.Alias))
		default:
			w.and(b.alias, s.Alias)
		}
	}
	if s.Name != "" {
		w.and("name_key = ?", fold(s.Name))
	}
	if s.UniqueName != "" {
		if b.name == applicationTable.name {
			w.and("unique_name = ?", s.UniqueName)
		} else {
			w.text = append(w.text, nothing)
		}
	}
	if s.NamePrefix != "" {
		from := fold(s.NamePrefix)
		w.and("name_key >= ?", from)
		if to := after(from); to != "" {
			w.and("name_key < ?", to)
		}
	}
	return w, nil
}

// after is the first string, in the order of bytes, that does not begin with the
// prefix; "" when there is none.
func after(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// query completes a selecting statement with the conditions, the place to go on
// from, the order and the limit.
func (b table) query(from string, tenant directory.TenantID, s directory.Selection) (string, []any, error) {
	w, err := b.where(tenant, s)
	if err != nil {
		return "", nil, err
	}
	order, beyond := "ASC", ">"
	if s.Descending {
		order, beyond = "DESC", "<"
	}
	by := "object_id " + order
	if s.IDs != nil || s.ClientIDs != nil || s.Alias != "" || s.UniqueName != "" || s.Name != "" || s.NamePrefix != "" {
		// The plus keeps the engine from walking the whole tenant in this order
		// where the conditions name a few rows.
		by = "+object_id " + order
	}
	if s.ByName {
		by = "name_key " + order + ", object_id " + order
	}
	if !s.After.ID.IsZero() {
		if s.ByName {
			w.args = append(w.args, fold(s.After.Name), s.After.ID.String())
			w.text = append(w.text, fmt.Sprintf("(name_key, object_id) %s ($%d, $%d)", beyond, len(w.args)-1, len(w.args)))
		} else {
			w.and("object_id "+beyond+" ?", s.After.ID.String())
		}
	}
	limit := s.Limit
	if limit <= 0 {
		limit = -1
	}
	w.args = append(w.args, limit)
	return fmt.Sprintf("%s WHERE %s ORDER BY %s LIMIT $%d", from, strings.Join(w.text, " AND "), by, len(w.args)), w.args, nil
}

func (t *tx) count(b table, tenant directory.TenantID, s directory.Selection) (int, error) {
	w, err := b.where(tenant, s)
	if err != nil {
		return 0, err
	}
	return one(t, func(s scanner) (n int, err error) { return n, s.Scan(&n) },
		"SELECT count(*) FROM "+b.name+" WHERE "+strings.Join(w.text, " AND "), w.args...)
}

// Count implements [manage.Selections].
func (t *tx) Count(kind directory.ObjectKind, tenant directory.TenantID, s directory.Selection) (int, error) {
	switch kind {
	case directory.ApplicationObject:
		return t.count(applicationTable, tenant, s)
	case directory.PrincipalObject:
		return t.count(principalTable, tenant, s)
	case directory.UserObject:
		return t.count(userTable, tenant, s)
	case directory.GroupObject:
		return t.count(groupTable, tenant, s)
	}
	return 0, fmt.Errorf("store: %q cannot be counted", kind)
}

func (t *tx) SelectApplications(tenant directory.TenantID, s directory.Selection) ([]directory.Application, error) {
	query, args, err := applicationTable.query(selectApplications, tenant, s)
	if err != nil {
		return nil, err
	}
	found, err := all(t, readApplication, query, args...)
	if err != nil {
		return nil, err
	}
	return found, t.completeAll(tenant, found)
}

func (t *tx) SelectPrincipals(tenant directory.TenantID, s directory.Selection) ([]directory.ServicePrincipal, error) {
	query, args, err := principalTable.query(selectPrincipals, tenant, s)
	if err != nil {
		return nil, err
	}
	found, err := all(t, readPrincipal, query, args...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	ids := make([]directory.ObjectID, len(found))
	for i := range found {
		ids[i] = found[i].ID
	}
	among, err := list(ids)
	if err != nil {
		return nil, err
	}
	names, err := all(t, readOwnedString("service_principal_names"), `SELECT principal_id, name FROM service_principal_names
		WHERE tenant_id = $1 AND principal_id IN (SELECT value FROM json_each($2)) ORDER BY principal_id, position`, tenant.String(), among)
	if err != nil {
		return nil, err
	}
	of := grouped(names)
	for i := range found {
		found[i].Names = of[found[i].ID]
	}
	return found, nil
}

func (t *tx) SelectUsers(tenant directory.TenantID, s directory.Selection) ([]directory.User, error) {
	query, args, err := userTable.query(selectUsers, tenant, s)
	if err != nil {
		return nil, err
	}
	return all(t, readUser, query, args...)
}

func (t *tx) SelectGroups(tenant directory.TenantID, s directory.Selection) ([]directory.Group, error) {
	query, args, err := groupTable.query(selectGroups, tenant, s)
	if err != nil {
		return nil, err
	}
	return all(t, readGroup, query, args...)
}
