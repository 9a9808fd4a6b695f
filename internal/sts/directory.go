package sts

import (
	"context"

	"github.com/avouch/avouch/internal/directory"
)

// Directory is what the token service reads while answering one request. It
// does no policy: it returns what is stored, as of the last acknowledged write.
// Every method returns an error wrapping directory.ErrNotFound when there is no
// such object. What is returned is shared between requests: callers must not
// change it. All methods may be called concurrently.
type Directory interface {
	Parties
	Targets
	Workloads
}

// Parties finds who a request names.
type Parties interface {
	// Tenant returns the tenant with that id or verified domain, in any case.
	Tenant(ctx context.Context, idOrDomain string) (*directory.Tenant, error)
	// Client returns what a client id names, in its home tenant, with every
	// credential it may authenticate with.
	Client(ctx context.Context, id directory.ClientID) (*directory.Client, error)
	// Principal returns the service principal of the client id in the tenant.
	Principal(ctx context.Context, t directory.TenantID, id directory.ClientID) (*directory.ServicePrincipal, error)
}

// Targets finds what a token is asked for.
type Targets interface {
	// Resource returns the resource that the tenant knows under the identifier,
	// which is compared whole and exact.
	Resource(ctx context.Context, t directory.TenantID, identifier string) (*directory.Resource, error)
	// Roles returns the values of the enabled app roles that the principal
	// holds on the resource, sorted; empty when it holds none.
	Roles(ctx context.Context, t directory.TenantID, principal, resource directory.ObjectID) ([]string, error)
}

// Workloads finds hosts and the identities that speak through them.
type Workloads interface {
	// Identity returns the managed identity whose service principal has the id.
	Identity(ctx context.Context, t directory.TenantID, principal directory.ObjectID) (*directory.ManagedIdentity, error)
	// Host returns the host with the id.
	Host(ctx context.Context, t directory.TenantID, id directory.ObjectID) (*directory.Host, error)
}
