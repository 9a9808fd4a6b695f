package manage

import (
	"context"
	"time"

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
	Selections
	People
	Links
	Rights
	ResourceGroups
	Deletions
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
// the platform, identifier URIs and unique names within the tenant.
type Applications interface {
	Applications(directory.TenantID) ([]directory.Application, error) // by name, without case
	Application(directory.TenantID, directory.ObjectID) (*directory.Application, error)
	ApplicationsNamed(t directory.TenantID, name string) ([]directory.Application, error)
	ApplicationByClientID(directory.ClientID) (*directory.Application, error) // in any tenant
	InsertApplication(*directory.Application) error
	UpdateApplication(*directory.Application) error // everything but tenant, ids and time of creation
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
	PrincipalNamed(t directory.TenantID, name string) (*directory.ServicePrincipal, error) // by one of its Names
	// PrincipalsOf lists the service principals of a client id in every tenant.
	PrincipalsOf(directory.ClientID) ([]directory.ServicePrincipal, error)
	InsertPrincipal(*directory.ServicePrincipal) error
	UpdatePrincipal(*directory.ServicePrincipal) error // name, names, assignment required, disabled, kept
	// DeletePrincipal removes it with every app role assignment and permission
	// grant from or to it.
	DeletePrincipal(directory.TenantID, directory.ObjectID) error
}

// Identities are keyed by tenant and principal id; client ids are unique on
// the platform, resource group and name (compared without case) among the
// user-assigned ones of a tenant.
type Identities interface {
	Identities(directory.TenantID) ([]directory.ManagedIdentity, error) // by name
	Identity(t directory.TenantID, principal directory.ObjectID) (*directory.ManagedIdentity, error)
	IdentitiesNamed(t directory.TenantID, name string) ([]directory.ManagedIdentity, error)  // user-assigned ones
	IdentityIn(t directory.TenantID, group, name string) (*directory.ManagedIdentity, error) // user-assigned
	InsertIdentity(*directory.ManagedIdentity) error
	UpdateIdentity(*directory.ManagedIdentity) error // name, resource group, location, resource id, disabled, kept
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
	// AssignmentsOf lists those from or to a service principal.
	AssignmentsOf(t directory.TenantID, party directory.ObjectID) ([]directory.AppRoleAssignment, error)
	InsertAssignment(*directory.AppRoleAssignment) error
	DeleteAssignment(directory.TenantID, directory.ObjectID) error
}

// Selections read pages of what may be many. The order is the selection's.
type Selections interface {
	SelectApplications(directory.TenantID, directory.Selection) ([]directory.Application, error)
	SelectPrincipals(directory.TenantID, directory.Selection) ([]directory.ServicePrincipal, error)
	SelectUsers(directory.TenantID, directory.Selection) ([]directory.User, error)
	SelectGroups(directory.TenantID, directory.Selection) ([]directory.Group, error)
	// Count ignores the selection's order, place and limit.
	Count(directory.ObjectKind, directory.TenantID, directory.Selection) (int, error)
}

// People are users, whose principal names are unique in the tenant, compared
// without case, and groups.
type People interface {
	User(directory.TenantID, directory.ObjectID) (*directory.User, error)
	UserByUPN(t directory.TenantID, upn string) (*directory.User, error)
	InsertUser(*directory.User) error
	UpdateUser(*directory.User) error // everything but tenant, id and time of creation
	DeleteUser(directory.TenantID, directory.ObjectID) error
	Group(directory.TenantID, directory.ObjectID) (*directory.Group, error)
	InsertGroup(*directory.Group) error
	UpdateGroup(*directory.Group) error // name, kept
	DeleteGroup(directory.TenantID, directory.ObjectID) error
}

// Links are who owns what and who belongs to which group. They outlive neither
// end: whoever deletes an object deletes its links.
type Links interface {
	Links(directory.TenantID, directory.Relation, directory.ObjectID) ([]directory.Reference, error)              // owners, members
	LinkedBy(t directory.TenantID, r directory.Relation, target directory.ObjectID) ([]directory.ObjectID, error) // owned objects, groups
	InsertLink(t directory.TenantID, r directory.Relation, object directory.ObjectID, target directory.Reference) error
	DeleteLink(t directory.TenantID, r directory.Relation, object, target directory.ObjectID) error
	DeleteLinks(directory.TenantID, directory.ObjectID) error // all from and to the object
}

// Rights are the assignments of directory roles, of roles on resources, and the
// grants of delegated permissions.
type Rights interface {
	RoleAssignments(directory.TenantID) ([]directory.RoleAssignment, error)
	RoleAssignmentsOf(t directory.TenantID, principal directory.ObjectID) ([]directory.RoleAssignment, error)
	InsertRoleAssignment(*directory.RoleAssignment) error
	DeleteRoleAssignment(t directory.TenantID, id string) error

	AzureAssignments(directory.TenantID) ([]directory.AzureAssignment, error)
	AzureAssignmentsOf(t directory.TenantID, principal directory.ObjectID) ([]directory.AzureAssignment, error)
	AzureAssignment(t directory.TenantID, scope string, id directory.ObjectID) (*directory.AzureAssignment, error)
	// PutAzureAssignment inserts one, or updates what may change of the one with
	// the same scope and id: what is kept, when and by whom.
	PutAzureAssignment(*directory.AzureAssignment) error
	DeleteAzureAssignment(t directory.TenantID, scope string, id directory.ObjectID) error

	Grants(directory.TenantID) ([]directory.PermissionGrant, error)
	GrantsOf(t directory.TenantID, client directory.ObjectID) ([]directory.PermissionGrant, error)
	Grant(t directory.TenantID, id string) (*directory.PermissionGrant, error)
	InsertGrant(*directory.PermissionGrant) error
	UpdateGrant(*directory.PermissionGrant) error // scopes
	DeleteGrant(t directory.TenantID, id string) error
}

// ResourceGroups are keyed by tenant and name, compared without case.
type ResourceGroups interface {
	ResourceGroups(directory.TenantID) ([]directory.ResourceGroup, error) // by name
	ResourceGroup(t directory.TenantID, name string) (*directory.ResourceGroup, error)
	PutResourceGroup(*directory.ResourceGroup) error // inserts, or updates location and kept
	DeleteResourceGroup(t directory.TenantID, name string) error
}

// Deletions hold what was deleted and may be restored.
type Deletions interface {
	DeletedObjects(directory.TenantID, directory.ObjectKind) ([]directory.Deleted, error)
	DeletedObject(directory.TenantID, directory.ObjectID) (*directory.Deleted, error)
	DeletedWith(directory.ClientID) ([]directory.Deleted, error) // in every tenant
	DeletedBefore(time.Time) ([]directory.Deleted, error)        // of every tenant, the oldest 100
	InsertDeleted(*directory.Deleted) error
	DeleteDeleted(directory.TenantID, directory.ObjectID) error
}
