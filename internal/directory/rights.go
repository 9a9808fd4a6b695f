package directory

import (
	"encoding/base64"
	"time"
)

// RoleAssignment gives a directory role to a user, a group or a service
// principal.
type RoleAssignment struct {
	Tenant    TenantID
	ID        string // as on the wire; see RoleAssignmentID
	Principal ObjectID
	Role      ObjectID // template id of a built-in role
	Scope     ObjectID // of one application or service principal; zero: the whole tenant
}

// AzureAssignment gives a role on resources to a user, a group or a service
// principal, at a scope and everything below it. Azure role assignments are
// apart from directory roles: neither implies the other.
type AzureAssignment struct {
	Tenant        TenantID
	ID            ObjectID // its name on the wire, made by the caller
	Scope         string   // "/", or a resource id without a slash at its end; compared without case
	Role          ObjectID // of a built-in role definition
	Principal     ObjectID
	PrincipalKind ObjectKind
	Created       time.Time
	Updated       time.Time
	CreatedBy     ObjectID // zero: the platform's own operator
	UpdatedBy     ObjectID
	Kept          Kept // description, condition and the like
}

// PermissionGrant lets an application act on a resource for one user, or for
// every user of the tenant: oauth2PermissionGrant on the wire.
type PermissionGrant struct {
	Tenant   TenantID
	ID       string   // as on the wire
	Client   ObjectID // service principal that acts
	Resource ObjectID // service principal that is acted on
	User     ObjectID // zero: every user (consentType AllPrincipals)
	Scopes   []string
}

// ResourceGroup holds managed identities and hosts of a tenant's subscription.
type ResourceGroup struct {
	Tenant   TenantID
	Name     string // unique in the tenant, compared without case
	Location string
	Created  time.Time
	Kept     Kept // tags
}

// PermissionScope is what an application offers to others that act for a user:
// an entry of api.oauth2PermissionScopes on the wire.
type PermissionScope struct {
	ID                      ObjectID `json:"id"`
	Value                   string   `json:"value"`
	Kind                    string   `json:"type"` // User or Admin
	Disabled                bool     `json:"disabled,omitempty"`
	AdminConsentDisplayName string   `json:"adminConsentDisplayName,omitempty"`
	AdminConsentDescription string   `json:"adminConsentDescription,omitempty"`
	UserConsentDisplayName  string   `json:"userConsentDisplayName,omitempty"`
	UserConsentDescription  string   `json:"userConsentDescription,omitempty"`
}

// KeyCredential is a certificate whose holder may speak for an application. It
// is a public key: nothing secret is stored.
type KeyCredential struct {
	ID          ObjectID  `json:"keyId"`
	Name        string    `json:"displayName,omitempty"`
	Thumbprint  string    `json:"customKeyIdentifier,omitempty"` // base64, as the caller gave it or SHA-1 of the certificate
	Certificate []byte    `json:"key"`                           // DER
	NotBefore   time.Time `json:"startDateTime"`
	NotAfter    time.Time `json:"endDateTime"`
}

// Deleted is an object that was deleted and may still be restored with
// everything that it had.
type Deleted struct {
	Tenant   TenantID
	ID       ObjectID
	Kind     ObjectKind
	Name     string
	ClientID ClientID // zero for users and groups; stays taken
	At       time.Time
	Record   []byte // JSON of the whole; package manage writes and reads it
}

// DeletedFor is how long a deleted object can be restored. Source: "Restore or
// remove a recently deleted application" in the product's documentation.
const DeletedFor = 30 * 24 * time.Hour

// RoleAssignmentID is the id of a directory role assignment on the wire: the two
// GUIDs in the order of bytes of the service's own platform, in base64url, and a
// number for the scope.
func RoleAssignmentID(role, principal, scope ObjectID) string {
	b := append(littleEndian(role.id), littleEndian(principal.id)...)
	if scope.IsZero() {
		return base64.RawURLEncoding.EncodeToString(b) + "-1"
	}
	return base64.RawURLEncoding.EncodeToString(append(b, littleEndian(scope.id)...)) + "-2"
}

// littleEndian is a GUID as Microsoft's platform keeps it in memory: the first
// three groups reversed.
func littleEndian(i id) []byte {
	u := i.u
	return append([]byte{u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6]}, u[8:]...)
}
