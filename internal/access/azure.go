package access

import (
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

// AzureRole is a role definition of Azure RBAC. Its NotActions subtract from
// its own Actions only; another assignment may grant what they leave out.
// (Microsoft's documentation, "Understand Azure role definitions".)
type AzureRole struct {
	ID             directory.ObjectID
	Name           string
	Description    string
	Actions        []string
	NotActions     []string
	DataActions    []string
	NotDataActions []string
}

func (a *AzureRole) allows(action string, data bool) bool {
	yes, no := a.Actions, a.NotActions
	if data {
		yes, no = a.DataActions, a.NotDataActions
	}
	named := func(pattern string) bool { return matches(pattern, action) }
	return action != "" && slices.ContainsFunc(yes, named) && !slices.ContainsFunc(no, named)
}

// Resource decides whether the caller may do a control-plane action to the
// resource, or at the scope, that the scope names; nil means yes. Assignments
// of roles that are not built in grant nothing. The scope is a resource id
// without a query, already brought to one spelling but for case (threats A7).
func Resource(r *Rights, action, scope string) *Refusal {
	return r.decide(action, scope, false)
}

// Data decides as Resource does for an action on the data inside a resource.
// No control-plane role reaches data: neither Owner nor Contributor may read a
// blob.
func Data(r *Rights, action, scope string) *Refusal {
	return r.decide(action, scope, true)
}

func (r *Rights) decide(action, scope string, data bool) *Refusal {
	for _, a := range r.Assignments {
		if role := findAzureRole(a.Role); role != nil && covers(a.Scope, scope) && role.allows(action, data) {
			return nil
		}
	}
	refusal := &Refusal{Reason: ActionMissing, Action: action, Scope: scope}
	if data {
		refusal.Reason = DataActionMissing
	}
	for i := range azureRoles {
		if azureRoles[i].allows(action, data) {
			refusal.Roles = append(refusal.Roles, azureRoles[i].Name)
		}
	}
	if len(refusal.Roles) > 0 {
		refusal.Mend = "assign the Azure role " + refusal.Roles[0] + " at " + scope + " or above"
	}
	return refusal
}

// AllowedAnywhere lists the scopes at or below the given one at which the
// caller may do a control-plane action, and everywhere below them. None of them
// lies below another. Lists show what these scopes cover, and an empty answer
// means an empty list.
func AllowedAnywhere(r *Rights, action, below string) []string {
	if Resource(r, action, below) == nil {
		return []string{below}
	}
	var scopes []string
	for _, a := range r.Assignments {
		if covers(below, a.Scope) && Resource(r, action, a.Scope) == nil && !coveredByAny(scopes, a.Scope) {
			scopes = slices.DeleteFunc(scopes, func(s string) bool { return covers(a.Scope, s) })
			scopes = append(scopes, a.Scope)
		}
	}
	return scopes
}

func coveredByAny(scopes []string, scope string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return covers(s, scope) })
}

// covers reports whether what is assigned at a scope holds at the other: at the
// same, below it by whole segments, and everywhere for the root. Resource ids
// compare without case; a scope that does not begin with a slash covers nothing
// and is covered by nothing. ("Understand scope for Azure RBAC".)
func covers(assigned, scope string) bool {
	if !strings.HasPrefix(assigned, "/") || !strings.HasPrefix(scope, "/") {
		return false
	}
	if assigned == "/" {
		return true
	}
	assigned, scope = lower(assigned), lower(scope)
	return assigned == scope || strings.HasPrefix(scope, assigned+"/")
}

// matches reports whether a pattern of a role definition names the action. A
// star stands for any run of characters, slashes included; case does not count.
// A star that is a whole segment may also be no segment at all: Managed Identity
// Operator has "userAssignedIdentities/*/assign/action", and what the real
// service asks for is "userAssignedIdentities/assign/action".
//
// Patterns come from the table of built-in roles, which bounds the recursion.
func matches(pattern, action string) bool {
	for pattern != "" {
		if strings.HasPrefix(pattern, "/*/") && matches(pattern[2:], action) {
			return true
		}
		if pattern[0] == '*' {
			for i := range len(action) + 1 {
				if matches(pattern[1:], action[i:]) {
					return true
				}
			}
			return false
		}
		if action == "" || fold(pattern[0]) != fold(action[0]) {
			return false
		}
		pattern, action = pattern[1:], action[1:]
	}
	return action == ""
}

func lower(s string) string {
	folded := []byte(s)
	for i, b := range folded {
		folded[i] = fold(b)
	}
	return string(folded)
}

// fold folds the case of ASCII letters and of nothing else, as resource ids and
// actions do: letters that Unicode folds onto ASCII stay strangers.
func fold(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
