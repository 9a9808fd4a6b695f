// Package audit holds the typed records of what the platform decided and
// changed. A record names a token by its id and the beginning of its hash,
// never by its text; there is no field that could hold one.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/avouch/avouch/internal/directory"
)

// Outcome says how a request ended.
type Outcome string

// The outcomes.
const (
	Succeeded Outcome = "success"
	Refused   Outcome = "refused"
	Failed    Outcome = "failed" // a fault of ours, not a decision
)

// SignInKind tells the two legs of the flow apart.
type SignInKind string

// The kinds of sign-in.
const (
	IdentitySignIn    SignInKind = "managedIdentity"  // a host asked for a managed identity's token
	ApplicationSignIn SignInKind = "servicePrincipal" // an application exchanged an assertion
	OperatorSignIn    SignInKind = "user"             // the platform's own user asked for a token on the control socket
)

// SignIn is the record of one token request, filled in as the request is
// answered. Fields stay zero when the request ended before they were known.
type SignIn struct {
	ID          string             `json:"id"` // trace id of the request, a GUID
	Time        time.Time          `json:"time"`
	Correlation string             `json:"correlationId,omitempty"`
	Kind        SignInKind         `json:"kind"`
	Outcome     Outcome            `json:"outcome"`
	Code        int                `json:"code,omitempty"`   // the wire error code; 0 on success
	Reason      string             `json:"reason,omitempty"` // why it was refused, in one word
	Detail      string             `json:"detail,omitempty"` // the same as a sentence, with the mending edit
	Tenant      directory.TenantID `json:"tenantId,omitzero"`
	TenantName  string             `json:"tenant,omitempty"` // as asked for until resolved
	HomeTenant  directory.TenantID `json:"homeTenantId,omitzero"`
	ClientID    directory.ClientID `json:"clientId,omitzero"`
	ClientName  string             `json:"client,omitempty"`
	PrincipalID directory.ObjectID `json:"principalId,omitzero"`

	Credential   string             `json:"credential,omitempty"` // name of the credential that matched
	CredentialID directory.ObjectID `json:"credentialId,omitzero"`
	Issuer       string             `json:"issuer,omitempty"` // as offered by the assertion
	Subject      string             `json:"subject,omitempty"`
	Audience     string             `json:"audience,omitempty"`
	AssertionKey string             `json:"assertionKeyId,omitempty"`
	Assertion    TokenHash          `json:"assertionHash,omitempty"`

	Host         string             `json:"host,omitempty"`     // which host asked, for identity sign-ins
	Resource     string             `json:"resource,omitempty"` // as asked for
	ResourceID   directory.ClientID `json:"resourceId,omitzero"`
	ResourceName string             `json:"resourceName,omitempty"`

	KeyID   string        `json:"keyId,omitempty"` // the key that signed the issued token
	TokenID string        `json:"tokenId,omitempty"`
	Token   TokenHash     `json:"tokenHash,omitempty"`
	Expires time.Time     `json:"expires,omitzero"`
	Source  string        `json:"source,omitempty"` // the peer's address
	Took    time.Duration `json:"tookNs,omitempty"`
	Repeats int           `json:"repeats,omitempty"` // how many like it were left out before this one
}

// TokenHash is the first 8 hexadecimal digits of the SHA-256 of a token:
// enough to find a token again, not enough to use it.
type TokenHash string

// HashOf names a token without telling it.
func HashOf(token string) TokenHash {
	sum := sha256.Sum256([]byte(token))
	return TokenHash(hex.EncodeToString(sum[:4]))
}

// Actor is who made a change.
type Actor struct {
	Kind string `json:"kind"` // "localUser" for the control socket, "servicePrincipal", "user", "system"
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// Target is what was changed.
type Target struct {
	Kind string `json:"kind"` // "application", "federatedIdentityCredential", …
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"` // as people write it: contoso/orders/by-hand
	// Parent is the id of the object that the target is a part of, such as a
	// credential's application.
	Parent string `json:"parentId,omitempty"`
}

// Change is the record of one change to the directory, written in the
// transaction that makes it. A refused change is recorded on its own.
type Change struct {
	Sequence    int64              `json:"sequence"` // gap-free within the tenant; set by the store
	ID          string             `json:"id"`
	Time        time.Time          `json:"time"`
	Correlation string             `json:"correlationId,omitempty"`
	Tenant      directory.TenantID `json:"tenantId,omitzero"`
	Actor       Actor              `json:"actor"`
	Action      string             `json:"action"` // "create", "update", "delete", "apply"
	Target      Target             `json:"target"`
	Outcome     Outcome            `json:"outcome"`
	Detail      string             `json:"detail,omitempty"` // why it was refused
	High        bool               `json:"highSeverity,omitempty"`
	Before      json.RawMessage    `json:"before,omitempty"`
	After       json.RawMessage    `json:"after,omitempty"`
}

// Query selects records for reading. Zero fields select everything.
type Query struct {
	Tenant  directory.TenantID
	Client  string // client id or name
	Outcome Outcome
	Since   time.Time
	Before  time.Time // only what was recorded before this moment
	Behind  Place     // go on behind this record; needs Tenant
	Limit   int       // 0 means 100; at most 1000
}

// Place is a record in the order of reading, the newest first.
type Place struct {
	Time     time.Time `json:"t,omitzero"`
	ID       string    `json:"i,omitempty"` // of a sign-in
	Sequence int64     `json:"s,omitempty"` // of a change
}

// Clip shortens a value offered by a caller to 1 KiB, so that no record grows
// by what strangers send; the cut is marked.
func Clip(s string) string {
	const most = 1024
	if len(s) <= most {
		return s
	}
	return s[:most] + "…[cut]"
}
