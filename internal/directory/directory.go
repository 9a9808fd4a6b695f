// Package directory holds the nouns of the platform and the rules that hold
// for each on its own: tenants, applications, service principals, managed
// identities, hosts, federated identity credentials, app roles and their
// assignments. Rules between objects (counts, uniqueness, references) belong
// to package manage, which checks them inside the writing transaction.
package directory

import (
	"slices"
	"time"
)

// Tenant is one directory: the unit of isolation.
type Tenant struct {
	ID           TenantID
	Name         string   // short name, unique on the platform; used in files and on the command line
	DisplayName  string   // shown to people; Name when empty
	Domains      []string // verified domains, lower case, unique on the platform
	Subscription ObjectID // the subscription that managed identities and hosts of this tenant live in
}

// Title is the name shown to people.
func (t *Tenant) Title() string {
	if t.DisplayName != "" {
		return t.DisplayName
	}
	return t.Name
}

// Audience says who may use an application: signInAudience on the wire.
type Audience string

// The sign-in audiences. The zero Audience is invalid; SingleTenant is the
// default for new applications.
const (
	SingleTenant          Audience = "AzureADMyOrg"
	MultiTenant           Audience = "AzureADMultipleOrgs"
	MultiTenantAndPersons Audience = "AzureADandPersonalMicrosoftAccount"
	PersonsOnly           Audience = "PersonalMicrosoftAccount"
)

// ParseAudience accepts the four wire values, exactly.
func ParseAudience(s string) (Audience, bool) {
	a := Audience(s)
	return a, slices.Contains([]Audience{SingleTenant, MultiTenant, MultiTenantAndPersons, PersonsOnly}, a)
}

// ForeignTenants reports whether other tenants may provision the application.
func (a Audience) ForeignTenants() bool { return a == MultiTenant || a == MultiTenantAndPersons }

// TokenVersion is the format of the access tokens that a resource wants:
// requestedAccessTokenVersion on the wire. The zero value, unset, means V1.
type TokenVersion int

// The token versions.
const (
	V1 TokenVersion = 1
	V2 TokenVersion = 2
)

// Application is an application registration in its home tenant. Its
// service principals, one a tenant, act for it.
type Application struct {
	Tenant         TenantID // home tenant
	ID             ObjectID
	ClientID       ClientID
	Name           string // display name; files can only name applications whose name is unique in their tenant
	UniqueName     string // "" when unset; unique in the tenant, set once
	Audience       Audience
	IdentifierURIs []string
	AppRoles       []AppRole
	Scopes         []PermissionScope
	Keys           []KeyCredential
	TokenVersion   TokenVersion // 0 when unset
	Disabled       bool
	Created        time.Time // zero when it is not known
	Kept           Kept
}

// AppRole is a right that an application offers to callers.
type AppRole struct {
	ID          ObjectID
	Value       string // what stands in the roles claim
	DisplayName string
	Description string
	Disabled    bool
	Members     []string // allowedMemberTypes: Application, User; nil means Application
}

// PrincipalKind tells what a service principal stands for.
type PrincipalKind string

// The kinds of service principal.
const (
	ApplicationPrincipal PrincipalKind = "Application"
	IdentityPrincipal    PrincipalKind = "ManagedIdentity"
)

// ServicePrincipal is the presence of an application or a managed identity in
// one tenant.
type ServicePrincipal struct {
	Tenant             TenantID
	ID                 ObjectID
	ClientID           ClientID
	Kind               PrincipalKind
	Name               string
	HomeTenant         TenantID // the tenant that owns the application
	Names              []string // what a resource is asked for by: the client id and the identifier URIs
	AssignmentRequired bool     // without an app role there is no token
	Disabled           bool
	Created            time.Time // zero when it is not known
	Kept               Kept
}

// IdentityKind tells user-assigned from system-assigned managed identities.
type IdentityKind string

// The kinds of managed identity.
const (
	UserAssigned   IdentityKind = "UserAssigned"
	SystemAssigned IdentityKind = "SystemAssigned"
)

// ManagedIdentity is an identity without a credential of its own: hosts speak
// for it. Its PrincipalID is the id of its service principal in Tenant.
type ManagedIdentity struct {
	Tenant        TenantID
	PrincipalID   ObjectID
	ClientID      ClientID
	Kind          IdentityKind
	Name          string
	ResourceGroup string
	Location      string
	Host          ObjectID // the host it belongs to; zero for user-assigned ones
	ResourceID    string   // of the identity, or of its host when system-assigned
	Disabled      bool
	Kept          Kept // tags
}

// HostKind is the kind of compute resource that a host is.
type HostKind string

// The kinds of host. Each speaks its own managed identity dialect.
const (
	VirtualMachine HostKind = "virtualMachine"
	WebApp         HostKind = "webApp"
)

// ResourceType is the resource provider's type of the host.
func (k HostKind) ResourceType() string {
	switch k {
	case VirtualMachine:
		return "Microsoft.Compute/virtualMachines"
	case WebApp:
		return "Microsoft.Web/sites"
	}
	return ""
}

// Host is a compute resource whose workloads may use the identities assigned
// to it.
type Host struct {
	Tenant        TenantID
	ID            ObjectID
	Name          string // unique in the tenant
	Kind          HostKind
	ResourceGroup string
	Location      string
	ResourceID    string
	System        ObjectID   // principal id of its system-assigned identity; zero when it has none
	Identities    []ObjectID // principal ids of the user-assigned identities
	Kept          Kept       // tags, properties and the like
}

// FederatedCredential is a federated identity credential: whom an application
// or a user-assigned managed identity trusts to speak for it. All three trust
// values are compared whole and exact.
type FederatedCredential struct {
	ID          ObjectID
	Name        string
	Issuer      string
	Subject     string
	Audience    string // exactly one; audiences on the wire
	Description string
}

// AppRoleAssignment grants an app role of a resource to a principal, both
// being service principals in Tenant.
type AppRoleAssignment struct {
	Tenant    TenantID
	ID        ObjectID
	Principal ObjectID
	Resource  ObjectID
	Role      ObjectID
	Created   time.Time
}

// Client is what the token service needs to know of whoever a client_id
// names, in its home tenant: an application, or a user-assigned managed
// identity (which may be a client through federated credentials of its own).
type Client struct {
	Tenant      TenantID // home tenant
	ClientID    ClientID
	Object      ObjectID // application object id, or the identity's principal id
	Name        string
	Audience    Audience // SingleTenant for managed identities
	Kind        PrincipalKind
	Disabled    bool
	Credentials []FederatedCredential
}

// Resource is what the token service needs to know of the target of a token,
// as it stands in one tenant.
type Resource struct {
	Principal    ServicePrincipal
	TokenVersion TokenVersion // V1 or V2, resolved
	FirstParty   bool
	RoleValues   map[ObjectID]string // enabled app roles by id
}

// MaxCredentials is how many federated identity credentials one application
// or user-assigned managed identity may hold.
const MaxCredentials = 20
