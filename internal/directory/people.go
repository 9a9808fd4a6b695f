package directory

import "time"

// User is a person in a tenant. Users sign in nowhere yet; they own, hold roles
// and belong to groups.
type User struct {
	Tenant   TenantID
	ID       ObjectID
	Name     string // displayName on the wire
	UPN      string // userPrincipalName: unique in the tenant, compared without case
	Disabled bool
	Created  time.Time
	Kept     Kept
}

// Group gathers users, service principals and other groups, so that rights can
// be given to all of them. What a group holds, its members hold, through groups
// in groups too.
type Group struct {
	Tenant         TenantID
	ID             ObjectID
	Name           string // displayName on the wire; need not be unique
	RoleAssignable bool   // isAssignableToRole: may hold directory roles; immutable
	Created        time.Time
	Kept           Kept
}

// ObjectKind tells what a directory object is, where references may name
// several kinds.
type ObjectKind string

// The kinds of directory object that may be referred to.
const (
	UserObject        ObjectKind = "user"
	GroupObject       ObjectKind = "group"
	PrincipalObject   ObjectKind = "servicePrincipal"
	ApplicationObject ObjectKind = "application"
)

// Reference names a directory object of its tenant, and its kind.
type Reference struct {
	ID   ObjectID
	Kind ObjectKind
}

// Relation is how one directory object stands to others.
type Relation string

// The relations.
const (
	OwnerRelation  Relation = "owner"  // of applications, service principals and groups
	MemberRelation Relation = "member" // of groups
)
