package store

import (
	"testing"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

// TestOwnAddressesCannotBeClaimed: whoever registers an application under an
// address of the platform's own APIs does not come between these and the tenant.
func TestOwnAddressesCannotBeClaimed(t *testing.T) {
	const address = "https://avouch.example/graph"
	db := openTemp(t)
	tenant := &directory.Tenant{ID: directory.NewTenantID(), Name: "contoso", Subscription: directory.NewObjectID()}
	graph := &directory.ServicePrincipal{Tenant: tenant.ID, ID: directory.NewObjectID(), ClientID: directory.GraphClientID, Kind: directory.ApplicationPrincipal, Name: "Microsoft Graph"}
	for _, fp := range directory.Global().FirstParties() {
		if fp.ClientID == directory.GraphClientID {
			graph.HomeTenant, graph.Names = fp.Owner, []string{fp.ClientID.String()}
		}
	}
	claimed := &directory.Application{Tenant: tenant.ID, ID: directory.NewObjectID(), ClientID: directory.NewClientID(), Name: "claimed", Audience: directory.SingleTenant,
		TokenVersion: directory.V2, IdentifierURIs: []string{address}}
	if err := db.Change(t.Context(), func(tx manage.Tx) error {
		for _, write := range []func() error{
			func() error { return tx.InsertTenant(tenant) },
			func() error { return tx.InsertPrincipal(graph) },
			func() error { return tx.InsertApplication(claimed) },
			func() error {
				return tx.InsertPrincipal(&directory.ServicePrincipal{Tenant: tenant.ID, ID: directory.NewObjectID(), ClientID: claimed.ClientID,
					Kind: directory.ApplicationPrincipal, Name: claimed.Name, HomeTenant: tenant.ID, Names: []string{claimed.ClientID.String(), address}})
			},
		} {
			if err := write(); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	d := db.Directory(directory.Global())
	d.Alias(map[string]directory.ClientID{address: directory.GraphClientID})
	r, err := d.Resource(t.Context(), tenant.ID, address)
	if err != nil || r.Principal.ClientID != directory.GraphClientID {
		t.Errorf("%+v, %v", r, err)
	}
}
