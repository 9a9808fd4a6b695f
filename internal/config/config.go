// Package config holds the schema of the declarative directory file and its
// strict decoder. It knows shape only: which keys exist, what type each value
// has, what must be there. Rules about the directory belong to package manage.
//
// Presence matters. A key that is absent says "leave this alone"; a key with an
// empty list says "there are none". Every field therefore knows whether it was
// stated, and every object knows where each of its fields stands in the file.
package config

import (
	"fmt"
	"strings"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// MaxFileSize is the largest directory file that is read.
const MaxFileSize = 16 << 20

// Value is a scalar that may be absent. The zero Value is absent.
type Value[T any] struct {
	V   T
	Set bool
}

// Or returns the stated value, or otherwise when it is absent.
func (v Value[T]) Or(otherwise T) T {
	if v.Set {
		return v.V
	}
	return otherwise
}

// List is a list that may be absent. The zero List is absent, which is not the
// same as stated and empty.
type List[T any] struct {
	Items []T
	Set   bool
}

// Directory is one file.
type Directory struct {
	Node
	// Tenants that this file describes. Tenants that no file names are left alone.
	Tenants List[Tenant] // tenants, required
}

// Tenant is one tenant of a file.
type Tenant struct {
	Node
	Name         string                    // name, required: short name, unique on the platform; other tenants refer to it
	ID           Value[directory.TenantID] // id: made at random when absent; never changes
	DisplayName  Value[string]             // displayName: shown to people; the name when absent
	Domains      List[string]              // domains: verified domains, lower case, unique on the platform
	Subscription Value[directory.ObjectID] // subscription: what resource ids begin with; made at random when absent; never changes

	ManagedIdentities  List[Identity]         // managedIdentities: the user-assigned ones
	Hosts              List[Host]             // hosts: compute resources whose workloads use the identities
	Applications       List[Application]      // applications registered in this tenant
	ServicePrincipals  List[ServicePrincipal] // servicePrincipals: applications of other tenants provisioned in this one
	AppRoleAssignments List[Assignment]       // appRoleAssignments: who holds which app role

	Users                    List[User]                    // users: people
	Groups                   List[Group]                   // groups: users, service principals and groups together
	DirectoryRoleAssignments List[DirectoryRoleAssignment] // directoryRoleAssignments: who administers the directory
	RoleAssignments          List[RoleAssignment]          // roleAssignments: who may do what with resources
}

// User is a person.
type User struct {
	Node
	UPN      string                    // userPrincipalName, required: unique in the tenant, without regard to case
	Name     Value[string]             // displayName: the principal name when the user is made without one
	ID       Value[directory.ObjectID] // id: made at random when absent; never changes
	Disabled Value[bool]               // disabled: its tokens are worth nothing
}

// Group is a group of users, service principals and groups.
type Group struct {
	Node
	Name           string                    // name, required: unique in the file
	ID             Value[directory.ObjectID] // id: made at random when absent; never changes
	RoleAssignable Value[bool]               // roleAssignable: may hold directory roles; never changes
	Members        List[string]              // members: principals, as in directoryRoleAssignments
}

// DirectoryRoleAssignment gives a directory role to a principal.
type DirectoryRoleAssignment struct {
	Node
	Principal   string        // principal, required: user:NAME@DOMAIN, group:NAME, or as in appRoleAssignments
	Role        string        // role, required: the name of a built-in directory role, such as Global Administrator
	Application Value[string] // application: over this application of the tenant only
}

// RoleAssignment gives a role on resources to a principal.
type RoleAssignment struct {
	Node
	Principal     string        // principal, required: as in directoryRoleAssignments
	Role          string        // role, required: the name of a built-in role, such as Storage Blob Data Reader
	Scope         Value[string] // scope: a resource id; the tenant's subscription when absent
	ResourceGroup Value[string] // resourceGroup: a group of the tenant's subscription, instead of scope
}

// Identity is a user-assigned managed identity.
type Identity struct {
	Node
	Name                         string                    // name, required: 3 to 128 letters, digits, '-' and '_'
	ClientID                     Value[directory.ClientID] // clientId: made at random when absent; never changes
	PrincipalID                  Value[directory.ObjectID] // principalId: made at random when absent; never changes
	ResourceGroup                Value[string]             // resourceGroup: "default" when the identity is made without one
	Location                     Value[string]             // location: "local" when the identity is made without one
	FederatedIdentityCredentials List[Credential]          // federatedIdentityCredentials: whom the identity trusts to speak for it
}

// Host is a compute resource.
type Host struct {
	Node
	Name           string                    // name, required: unique in the tenant
	Kind           directory.HostKind        // kind, required: virtualMachine or webApp
	ID             Value[directory.ObjectID] // id: made at random when absent; never changes
	ResourceGroup  Value[string]             // resourceGroup: "default" when the host is made without one
	Location       Value[string]             // location: "local" when the host is made without one
	SystemAssigned Value[bool]               // systemAssigned: true gives the host an identity of its own, false takes it away
	Identities     List[string]              // identities: names of user-assigned identities of this tenant, or resourceGroup/name
}

// Application is an application registration.
type Application struct {
	Node
	Name               string                        // name, required: unique among the applications of the tenant
	ID                 Value[directory.ObjectID]     // id: made at random when absent; never changes
	ClientID           Value[directory.ClientID]     // clientId: made at random when absent; never changes
	Audience           Value[directory.Audience]     // signInAudience: AzureADMyOrg when the application is made without one
	IdentifierURIs     List[string]                  // identifierUris: what tokens for it may be asked for by
	TokenVersion       Value[directory.TokenVersion] // requestedAccessTokenVersion: 1 or 2, the format of tokens for it
	Disabled           Value[bool]                   // disabled: gets no tokens anywhere
	AssignmentRequired Value[bool]                   // assignmentRequired: in its own tenant, callers without an app role get no token for it
	AppRoles           List[AppRole]                 // appRoles: rights that it offers to callers
	Owners             List[string]                  // owners: principals who may change it, as in directoryRoleAssignments

	FederatedIdentityCredentials List[Credential] // federatedIdentityCredentials: whom it trusts to speak for it
}

// AppRole is a right that an application offers.
type AppRole struct {
	Node
	Value       string                    // value, required: what stands in the roles claim
	DisplayName string                    // displayName, required: shown to people
	ID          Value[directory.ObjectID] // id: made at random when absent; never changes
	Description Value[string]             // description
	Disabled    Value[bool]               // disabled: stands in no token
}

// Credential is a federated identity credential: either a managed identity of
// the same tenant, or issuer, subject and audience written out.
type Credential struct {
	Node
	Name            string        // name, required: 3 to 120 characters; never changes
	ManagedIdentity Value[string] // managedIdentity: fills issuer, subject and (unless stated) the audience
	Issuer          Value[string] // issuer: compared whole and exact with the token's iss
	Subject         Value[string] // subject: compared whole and exact with the token's sub
	Audience        Value[string] // audiences: a list of exactly one
	Description     Value[string] // description: at most 600 characters
}

// ServicePrincipal provisions an application of another tenant.
type ServicePrincipal struct {
	Node
	Application        string      // application, required: tenant/name, or a client id
	AssignmentRequired Value[bool] // assignmentRequired: callers without an app role get no token for it here
	Disabled           Value[bool] // disabled: gets no tokens in this tenant
}

// Assignment gives an app role of a resource to a principal.
type Assignment struct {
	Node
	Principal string // principal, required: application, tenant/application, managed identity, or host:NAME
	Resource  string // resource, required: likewise, or Microsoft Graph
	Role      string // role, required: the value of the app role
}

// Pos is a place in a file. The zero Pos means "not from a file".
type Pos struct {
	File         string
	Line, Column int    // from 1; 0 when unknown
	Path         string // tenants[0].applications[1].name; "" for the file as a whole
}

// IsZero reports whether the position names no file.
func (p Pos) IsZero() bool { return p == Pos{} }

// String prints file:line:column: path, leaving out what is unknown.
func (p Pos) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	if p.Path != "" {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(p.Path)
	}
	return b.String()
}

// Node is an object of a file: it knows where it and each of its fields stand.
// The zero Node stands nowhere.
type Node struct {
	Pos   Pos
	index map[string]place // of the whole file, shared by its nodes
}

type place struct{ line, column int }

// At returns the position of a field of the object, such as "name" or
// "identifierUris[0]". A field that the file does not state has the position of
// the nearest object around it, with the field's own path.
func (n Node) At(field string) Pos {
	if field == "" || n.Pos.IsZero() {
		return n.Pos
	}
	p := n.Pos
	p.Path = join(p.Path, field)
	for path := p.Path; len(path) > len(n.Pos.Path); {
		if at, ok := n.index[path]; ok {
			p.Line, p.Column = at.line, at.column
			break
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return p
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// Error is one thing that is wrong with a file. It is safe to show.
type Error struct {
	Pos     Pos
	Kind    problem.Kind
	Message string // what is wrong, and the likely fix
}

// Error prints file:line:column: path: message.
func (e *Error) Error() string {
	if at := e.Pos.String(); at != "" {
		return at + ": " + e.Message
	}
	return e.Message
}

// Errors is everything that is wrong with the files, in the order of the
// search; it is never empty. In its chain stands a *problem.Error with the kind
// of the first and the text of all, so that callers that know nothing of files
// show the same.
type Errors []*Error

const shownErrors = 50

// Error prints one error a line, at most 50, and says how many were left out.
func (e Errors) Error() string {
	var b strings.Builder
	for i, one := range e {
		if i == shownErrors {
			fmt.Fprintf(&b, "\n… and %d more", len(e)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(one.Error())
	}
	return b.String()
}

// Unwrap returns the errors as one problem.
func (e Errors) Unwrap() error {
	kind := problem.Invalid
	if len(e) > 0 {
		kind = e[0].Kind
	}
	return &problem.Error{Kind: kind, Message: e.Error()}
}
