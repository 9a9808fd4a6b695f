package access

// Reason says, in one word, why a caller was refused. Reasons are ours and
// stable; what clients see is made from them by each API family.
type Reason string

// The reasons that Decide gives.
const (
	CallerUnknown    Reason = "caller-unknown"    // no tenant or no principal
	ApplicationsOnly Reason = "applications-only" // no scope lets a user do this
	UsersOnly        Reason = "users-only"        // neither an app role nor a directory role lets an application do this
	ScopeMissing     Reason = "scope-missing"
	RoleMissing      Reason = "role-missing" // the user's token would do, the user's rights do not
	AppRoleMissing   Reason = "app-role-missing"
	NotOwner         Reason = "not-owner" // the application's app role reaches only what it owns
)

// The reasons that Resource and Data give.
const (
	ActionMissing     Reason = "action-missing"
	DataActionMissing Reason = "data-action-missing"
)

// Climb is the reason that Climbs gives: who adds a credential could become
// more than he could make of himself.
const Climb Reason = "climb"

// Refusal is a "no" with its reason, and what would have made it a "yes". It is
// for people: the message that callers see is fixed by their API.
type Refusal struct {
	Reason   Reason
	Scopes   []string // delegated scopes of which the token needs one
	AppRoles []string // app roles on Microsoft Graph of which the application needs one
	Roles    []string // names of the built-in roles of which one would do, the most modest first
	Action   string   // what a role must allow
	Scope    string   // where an Azure role must be assigned, here or above; "" for the directory
	Rights   []string // of a Climb: the first few rights of the application that the caller could not grant
	More     int      // of a Climb: how many such rights there are beside those
	Mend     string   // the likely fix
}
