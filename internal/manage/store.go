package manage

import (
	"context"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
)

// Store is where the directory is kept. It holds no policy: it returns what is
// stored and writes what it is told, and refuses only what its own keys forbid.
//
// All methods of Tx return an error wrapping directory.ErrNotFound when the
// object they name is absent in that tenant, and directory.ErrConflict when a
// write meets an existing key.
type Store interface {
	// Change runs fn in one writing transaction. Writers are serialised. When
	// Change returns nil everything fn wrote is durable and visible to every
	// later read; when it returns an error nothing of it is. An error that fn
	// returned comes back unchanged.
	Change(ctx context.Context, fn func(Tx) error) error
	// View runs fn on one consistent state. Writes inside fn fail.
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is the directory inside one transaction.
type Tx interface {
	Tenants
	Applications
	Principals
	Identities
	Hosts
	Credentials
	Assignments
	// AppendChange adds an audit record to the tenant's chain (to the
	// platform's own chain when the tenant is zero).
	AppendChange(audit.Change) error
}

// Tenants are keyed by id; names and domains are unique on the platform.
type Tenants interface {
	Tenants() ([]directory.Tenant, error) // by name
	Tenant(directory.TenantID) (*directory.Tenant, error)
	TenantByName(name string) (*directory.Tenant, error)
	InsertTenant(*directory.Tenant) error
	UpdateTenant(*directory.Tenant) error // name, display name, domains
}

// Applications are keyed by tenant and object id; client ids are unique on
// the platform, names and identifier URIs within the tenant.
type Applications interface {
	Applications(directory.TenantID) ([]directory.Application, error) // by name
	Application(directory.TenantID, directory.ObjectID) (*directory.Application, error)
	ApplicationByName(t directory.TenantID, name string) (*directory.Application, error)
	ApplicationByClientID(directory.ClientID) (*directory.Application, error) // in any tenant
	InsertApplication(*directory.Application) error
	UpdateApplication(*directory.Application) error // everything but tenant and ids
	// DeleteApplication removes the application with its app roles and its
	// credentials. Service principals are left to the caller.
	DeleteApplication(directory.TenantID, directory.ObjectID) error
}

// Principals are keyed by tenant and object id; the client id, and each of the
// Names, is unique within the tenant.
type Principals interface {
	Principals(directory.TenantID) ([]directory.ServicePrincipal, error) // by name
	Principal(directory.TenantID, directory.ObjectID) (*directory.ServicePrincipal, error)
	PrincipalByClientID(directory.TenantID, directory.ClientID) (*directory.ServicePrincipal, error)
	// PrincipalsOf lists the service principals of a client id in every tenant.
	PrincipalsOf(directory.ClientID) ([]directory.ServicePrincipal, error)
	InsertPrincipal(*directory.ServicePrincipal) error
	UpdatePrincipal(*directory.ServicePrincipal) error // name, names, assignment required, disabled
	// DeletePrincipal removes it with every app role assignment from or to it.
	DeletePrincipal(directory.TenantID, directory.ObjectID) error
}

// Identities are keyed by tenant and principal id; client ids are unique on
// the platform, resource group and name (compared without case) among the
// user-assigned ones of a tenant.
type Identities interface {
	Identities(directory.TenantID) ([]directory.ManagedIdentity, error) // by name
	Identity(t directory.TenantID, principal directory.ObjectID) (*directory.ManagedIdentity, error)
	IdentitiesNamed(t directory.TenantID, name string) ([]directory.ManagedIdentity, error) // user-assigned ones
	InsertIdentity(*directory.ManagedIdentity) error
	UpdateIdentity(*directory.ManagedIdentity) error // name, resource group, location, resource id, disabled
	// DeleteIdentity removes it with its credentials and its places on hosts.
	// Its service principal is left to the caller.
	DeleteIdentity(t directory.TenantID, principal directory.ObjectID) error
}

// Hosts are keyed by tenant and object id; names are unique within the tenant.
type Hosts interface {
	Hosts(directory.TenantID) ([]directory.Host, error) // by name
	HostByName(t directory.TenantID, name string) (*directory.Host, error)
	InsertHost(*directory.Host) error
	UpdateHost(*directory.Host) error // everything but tenant and id
	DeleteHost(directory.TenantID, directory.ObjectID) error
}

// Credentials are the federated identity credentials of one parent: an
// application's object id or a user-assigned identity's principal id. Names,
// and pairs of issuer and subject, are unique on their parent.
type Credentials interface {
	Credentials(t directory.TenantID, parent directory.ObjectID) ([]directory.FederatedCredential, error) // by name
	InsertCredential(t directory.TenantID, parent directory.ObjectID, c *directory.FederatedCredential) error
	UpdateCredential(t directory.TenantID, parent directory.ObjectID, c *directory.FederatedCredential) error
	DeleteCredential(t directory.TenantID, parent, credential directory.ObjectID) error
}

// Assignments are the app role assignments of one tenant; principal, resource
// and role together are unique.
type Assignments interface {
	Assignments(directory.TenantID) ([]directory.AppRoleAssignment, error)
	InsertAssignment(*directory.AppRoleAssignment) error
	DeleteAssignment(directory.TenantID, directory.ObjectID) error
}
