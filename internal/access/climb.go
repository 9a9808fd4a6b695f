package access

import (
	"slices"
	"strings"
)

// Held is what an application holds in its home tenant: what a new credential
// would let its bearer do. Rights of groups it belongs to are included.
type Held struct {
	Roles       []HeldRole
	AppRoles    []HeldAppRole
	Assignments []HeldAssignment
}

// HeldAppRole is an app role on a resource.
type HeldAppRole struct {
	Resource string // display name
	Graph    bool   // the resource is Microsoft Graph, or Azure AD Graph before it
	Value    string
}

// What it takes to grant each kind of right. App roles on Microsoft Graph are
// exempt from what the application administrators may consent to (the reference
// of the built-in roles, Application Administrator).
var (
	grantsRoles      = grant{"microsoft.directory/roleAssignments/allProperties/allTasks", "RoleManagement.ReadWrite.Directory"}
	grantsGraphRoles = grant{"microsoft.directory/servicePrincipals/managePermissionGrantsForAll.microsoft-company-admin", "AppRoleAssignment.ReadWrite.All"}
	grantsAppRoles   = grant{"microsoft.directory/servicePrincipals/appRoleAssignedTo/update", "AppRoleAssignment.ReadWrite.All"}
)

const grantsAssignments = "Microsoft.Authorization/roleAssignments/write"

// grant is an action of directory roles, and the permission on Microsoft Graph
// that stands beside it: for a user a scope that he needs too, for an
// application an app role that is enough.
type grant struct{ action, permission string }

func (g grant) by(c *Caller, r *Rights) bool {
	// Over the whole tenant: a role over one application grants nothing on others.
	role := r.allows(g.action, Object{})
	if c.User {
		return role && c.hasScope([]string{g.permission})
	}
	return role || slices.Contains(r.AppRoles, g.permission)
}

// namedRights is how many rights a refusal names.
const namedRights = 3

// Climbs decides whether a credential that the caller adds to an application
// would carry him higher than he stands; nil means no. Every right that the
// application holds must be one that the caller could grant with this token: to
// hold it himself is not enough, since who may grant it is the tenant's choice.
// An application without rights is nobody's ladder. (Design decision 16, threat
// X10. The real service does not ask this.)
func Climbs(c *Caller, r *Rights, h *Held) *Refusal {
	if !c.known() {
		return &Refusal{Reason: CallerUnknown, Mend: "call with an access token of a user or an application of this tenant"}
	}
	refusal := &Refusal{Reason: Climb}
	lacks := func(right string) {
		if len(refusal.Rights) < namedRights {
			refusal.Rights = append(refusal.Rights, right)
		} else {
			refusal.More++
		}
	}
	judge := func(g grant, right string) {
		if g.by(c, r) {
			return
		}
		lacks(right)
		refusal.Roles = union(refusal.Roles, rolesAllowing(g.action)...)
		if c.User {
			refusal.Scopes = union(refusal.Scopes, g.permission)
		} else {
			refusal.AppRoles = union(refusal.AppRoles, g.permission)
		}
	}

	for _, role := range h.Roles {
		judge(grantsRoles, "directory role "+roleName(role.Role))
	}
	for _, role := range h.AppRoles {
		g := grantsAppRoles
		if role.Graph {
			g = grantsGraphRoles
		}
		judge(g, "app role "+role.Value+" on "+role.Resource)
	}
	// No scope of Microsoft Graph stands for Azure, so that the token is not
	// asked here.
	for _, a := range h.Assignments {
		if no := Resource(r, grantsAssignments, a.Scope); no != nil {
			lacks("Azure role " + azureRoleName(a.Role) + " at " + a.Scope)
			refusal.Roles = union(refusal.Roles, no.Roles...)
		}
	}

	if len(refusal.Rights) == 0 {
		return nil
	}
	refusal.Mend = "let somebody add the credential who could grant these rights (" + strings.Join(refusal.Roles, ", ") + ")"
	switch {
	case len(refusal.Scopes) > 0:
		refusal.Mend += ", with the scope " + strings.Join(refusal.Scopes, " and ") + " in his token"
	case len(refusal.AppRoles) > 0:
		refusal.Mend += ", grant the caller app role " + strings.Join(refusal.AppRoles, " and ") + " on Microsoft Graph"
	}
	refusal.Mend += ", or take the rights from the application"
	return refusal
}

// union appends what is not there yet.
func union(list []string, more ...string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}
