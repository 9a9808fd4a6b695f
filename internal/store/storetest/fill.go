package storetest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/store"
)

// Filled is a tenant with many applications, each with a credential, a
// service principal, an app role, and the role assigned to the next one's
// service principal; and with a host and its identity.
type Filled struct {
	Tenant     *directory.Tenant
	Apps       []*directory.Application
	Principals []*directory.ServicePrincipal
	Identity   *directory.ManagedIdentity
	Host       *directory.Host
}

// Fill makes a tenant with n applications, in a few transactions.
func Fill(t testing.TB, db *store.DB, name string, n int) *Filled {
	t.Helper()
	const batch = 20_000
	f := &Filled{Tenant: NewTenant(name)}
	f.Identity = NewIdentity(f.Tenant.ID, "identity")
	f.Host = NewHost(f.Tenant.ID, "host", f.Identity.PrincipalID)
	change(t, db, func(tx manage.Tx) error {
		return errors.Join(tx.InsertTenant(f.Tenant), tx.InsertIdentity(f.Identity), tx.InsertHost(f.Host),
			tx.InsertCredential(f.Tenant.ID, f.Identity.PrincipalID, NewCredential("cred")))
	})
	for len(f.Apps) < n {
		change(t, db, func(tx manage.Tx) error {
			for range min(batch, n-len(f.Apps)) {
				a := NewApplication(f.Tenant.ID, fmt.Sprintf("app-%06d", len(f.Apps)))
				a.IdentifierURIs, a.AppRoles = a.IdentifierURIs[1:], a.AppRoles[:1]
				p := NewPrincipal(f.Tenant.ID, a)
				if err := errors.Join(tx.InsertApplication(a), tx.InsertPrincipal(p), tx.InsertCredential(a.Tenant, a.ID, NewCredential("cred"))); err != nil {
					return err
				}
				if last := len(f.Apps) - 1; last >= 0 {
					if err := tx.InsertAssignment(NewAssignment(a.Tenant, p.ID, f.Principals[last].ID, f.Apps[last].AppRoles[0].ID)); err != nil {
						return err
					}
				}
				f.Apps, f.Principals = append(f.Apps, a), append(f.Principals, p)
			}
			return nil
		})
	}
	return f
}
