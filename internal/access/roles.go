package access

import (
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

// Role is a built-in directory role.
type Role struct {
	TemplateID  directory.ObjectID // also the id of its role definition
	Name        string
	Description string
	Actions     []string // without those that it inherits from Directory Readers
}

// BuiltinRoles lists the built-in directory roles, the most modest first.
// The list is the caller's to keep.
func BuiltinRoles() []Role {
	all := slices.Clone(roles)
	for i := range all {
		all[i].Actions = slices.Clone(all[i].Actions)
	}
	return all
}

// RoleByTemplate returns the built-in directory role with the template id.
func RoleByTemplate(id directory.ObjectID) (Role, bool) {
	role := findRole(id)
	if role == nil {
		return Role{}, false
	}
	found := *role
	found.Actions = slices.Clone(role.Actions)
	return found, true
}

// Allowed reports whether a directory role lets its holder do the action. Every
// built-in role inherits from Directory Readers (inheritsPermissionsFrom of the
// role definitions of the real service), and Global Administrator may do
// everything in the directory. A role that is not built in allows nothing.
func Allowed(role directory.ObjectID, action string) bool {
	definition := findRole(role)
	switch {
	case definition == nil || !strings.HasPrefix(action, namespace):
		return false
	case role == GlobalAdministrator:
		return true
	}
	return definition.allows(action) || findRole(directoryReaders).allows(action)
}

func (r *Role) allows(action string) bool {
	return slices.ContainsFunc(r.Actions, func(granted string) bool { return includes(granted, action) })
}

// includes reports whether a granted action is the other one or includes it.
// There are two ways to include, and no other wildcards ("Built-in roles
// reference", how to read the permissions): "allProperties/allTasks" of an
// entity set is every action under that set, "allProperties/read" every action
// under it that ends in "/read".
func includes(granted, action string) bool {
	if granted == action {
		return true
	}
	if set, ok := strings.CutSuffix(granted, "allProperties/allTasks"); ok {
		return strings.HasPrefix(action, set)
	}
	if set, ok := strings.CutSuffix(granted, "allProperties/read"); ok {
		return strings.HasPrefix(action, set) && reads(action)
	}
	return false
}

// rolesAllowing names the roles to propose for an action, the most modest
// first: those that state it themselves, since every role inherits the reads of
// Directory Readers.
func rolesAllowing(action string) []string {
	if !strings.HasPrefix(action, namespace) {
		return nil
	}
	var names []string
	for i := range roles {
		r := &roles[i]
		if r.TemplateID == GlobalAdministrator || r.allows(action) || creates(action) && r.allows(action+"AsOwner") {
			names = append(names, r.Name)
		}
	}
	return names
}

func findRole(id directory.ObjectID) *Role {
	if i := slices.IndexFunc(roles, func(r Role) bool { return r.TemplateID == id }); i >= 0 {
		return &roles[i]
	}
	return nil
}

func roleName(id directory.ObjectID) string {
	if role := findRole(id); role != nil {
		return role.Name
	}
	return id.String()
}

// namespace is what every action of the directory begins with.
const namespace = "microsoft.directory/"

var (
	// GlobalAdministrator is the template id of the role that may do everything in
	// the directory.
	GlobalAdministrator = directory.MustObjectID("62e90394-69f5-4237-9190-012177145e10")
	directoryReaders    = directory.MustObjectID("88d8e3e3-8f55-4a1e-953a-9b9898b8876b")
)

// in names actions of one entity set of the directory.
func in(set string, actions ...string) []string {
	named := make([]string, len(actions))
	for i, action := range actions {
		named[i] = namespace + set + "/" + action
	}
	return named
}

// manageApplications is what Application Administrator, Cloud Application
// Administrator and Hybrid Identity Administrator have in common.
var manageApplications = slices.Concat(
	in("applications", "appRoles/update", "audience/update", "authentication/update", "basic/update", "create", "delete",
		"notes/update", "owners/update", "permissions/update", "policies/update", "tag/update"),
	in("auditLogs", "allProperties/read"),
	in("deletedItems.applications", "delete", "restore"),
	in("servicePrincipals", "appRoleAssignedTo/update", "audience/update", "authentication/update", "basic/update", "create",
		"delete", "disable", "enable", "notes/update", "owners/update", "permissions/update", "policies/update", "tag/update"),
	in("signInReports", "allProperties/read"),
)

// manageCredentials is what the first two have beyond the third.
var manageCredentials = slices.Concat(
	in("applications", "credentials/update", "disablement/update", "extensionProperties/update", "verification/update"),
	in("oAuth2PermissionGrants", "allProperties/allTasks"),
	in("servicePrincipals", "credentials/update", "managePermissionGrantsForAll.microsoft-application-admin"),
)

// roles holds what of each built-in role concerns this platform: actions on
// sets of objects that it does not have are left out. Source: Microsoft's
// "Microsoft Entra built-in roles", files of MicrosoftDocs/entra-docs under
// docs/identity/role-based-access-control/includes dated between June 2025 and
// January 2026; names and template ids also in reference/graph.md, 8.1.
//
// The order is from modest to mighty: the first that would do is proposed.
var roles = []Role{
	{
		TemplateID:  directoryReaders,
		Name:        "Directory Readers",
		Description: "Reads the basic facts of the directory. Meant for applications and guests.",
		Actions: slices.Concat(
			in("applications", "owners/read", "policies/read", "standard/read"),
			in("directoryRoles", "eligibleMembers/read", "members/read", "standard/read"),
			in("domains", "standard/read"),
			in("groups", "appRoleAssignments/read", "memberOf/read", "members/read", "owners/read", "settings/read", "standard/read"),
			in("oAuth2PermissionGrants", "standard/read"),
			in("organization", "standard/read"),
			in("roleAssignments", "standard/read"),
			in("roleDefinitions", "standard/read"),
			in("servicePrincipals", "appRoleAssignedTo/read", "appRoleAssignments/read", "memberOf/read", "oAuth2PermissionGrants/read",
				"ownedObjects/read", "owners/read", "policies/read", "standard/read"),
			in("subscribedSkus", "standard/read"),
			in("users", "appRoleAssignments/read", "directReports/read", "licenseDetails/read", "manager/read", "memberOf/read",
				"oAuth2PermissionGrants/read", "ownedObjects/read", "photo/read", "scopedRoleMemberOf/read", "standard/read"),
		),
	},
	{
		TemplateID:  directory.MustObjectID("cf1c38e5-3621-4004-a7cb-879624dced7c"),
		Name:        "Application Developer",
		Description: "Registers applications even where ordinary users may not, and owns what it registers.",
		// The real role may also consent for itself alone
		// (oAuth2PermissionGrants/createAsOwner). Left out: an action does not
		// tell a grant for oneself from one for everybody.
		Actions: slices.Concat(in("applications", "createAsOwner"), in("servicePrincipals", "createAsOwner")),
	},
	{
		TemplateID:  directory.MustObjectID("4a5d8f65-41da-4de4-8968-e035b65339cf"),
		Name:        "Reports Reader",
		Description: "Reads the records of sign-ins and of changes.",
		Actions:     slices.Concat(in("auditLogs", "allProperties/read"), in("signInReports", "allProperties/read")),
	},
	{
		TemplateID:  directory.MustObjectID("5d6b6bb7-de71-4623-b4af-96380a352509"),
		Name:        "Security Reader",
		Description: "Reads what concerns security: the records of sign-ins and of changes, and policies.",
		Actions: slices.Concat(
			in("auditLogs", "allProperties/read"),
			in("authorizationPolicy", "standard/read"),
			in("policies", "owners/read", "policyAppliedTo/read", "standard/read"),
			in("signInReports", "allProperties/read"),
		),
	},
	{
		TemplateID:  directory.MustObjectID("9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"),
		Name:        "Application Administrator",
		Description: "Manages all applications and their service principals, credentials included, and consents to any permission but app roles on Microsoft Graph.",
		Actions:     slices.Concat(manageApplications, manageCredentials),
	},
	{
		TemplateID:  directory.MustObjectID("158c047a-c907-4556-b7ef-446551a6b5f7"),
		Name:        "Cloud Application Administrator",
		Description: "Does what Application Administrator does, but for the application proxy.",
		Actions:     slices.Concat(manageApplications, manageCredentials),
	},
	{
		TemplateID:  directory.MustObjectID("8ac3fc64-6eca-42ea-9e69-59f4c7b60eb2"),
		Name:        "Hybrid Identity Administrator",
		Description: "Manages what joins the directory to an Active Directory, and applications but for their credentials.",
		Actions: slices.Concat(manageApplications,
			in("domains", "allProperties/read", "federation/update"),
			in("organization", "dirSync/update"),
			in("users", "authorizationInfo/update"),
		),
	},
	{
		TemplateID:  directory.MustObjectID("fdd7a751-b60b-444a-984c-02652fe8fa1c"),
		Name:        "Groups Administrator",
		Description: "Manages all groups but those that roles may be assigned to.",
		Actions: slices.Concat(
			in("deletedItems.groups", "delete", "restore"),
			in("groups", "assignLicense", "assignedLabels/update", "basic/update", "classification/update", "create", "delete",
				"dynamicMembershipRule/update", "groupType/update", "hiddenMembers/read", "members/update", "owners/update",
				"restore", "settings/update", "visibility/update"),
		),
	},
	{
		TemplateID:  directory.MustObjectID("fe930be7-5e62-47db-91af-98c3a49a38b1"),
		Name:        "User Administrator",
		Description: "Manages users and groups.",
		Actions: slices.Concat(
			in("deletedItems.groups", "restore"),
			in("deletedItems.users", "restore"),
			in("groups", "assignLicense", "basic/update", "classification/update", "create", "delete", "dynamicMembershipRule/update",
				"groupType/update", "hiddenMembers/read", "members/update", "owners/update", "restore", "settings/update", "visibility/update"),
			in("oAuth2PermissionGrants", "allProperties/allTasks"),
			in("policies", "standard/read"),
			in("servicePrincipals", "appRoleAssignedTo/update"),
			in("users", "assignLicense", "basic/update", "create", "delete", "disable", "enable", "invalidateAllRefreshTokens",
				"inviteGuest", "lifeCycleInfo/read", "manager/update", "password/update", "photo/update", "restore",
				"sponsors/update", "usageLocation/update", "userPrincipalName/update"),
		),
	},
	{
		TemplateID:  directory.MustObjectID("9360feb5-f418-4baa-8175-e2a00bac4301"),
		Name:        "Directory Writers",
		Description: "Reads and writes the basic facts of users and groups. Meant for applications.",
		Actions: slices.Concat(
			in("applications", "extensionProperties/update"),
			in("groups", "assignLicense", "assignedLabels/update", "basic/update", "classification/update", "create",
				"dynamicMembershipRule/update", "groupType/update", "members/update", "owners/update", "settings/update", "visibility/update"),
			in("oAuth2PermissionGrants", "basic/update", "create"),
			in("servicePrincipals", "appRoleAssignedTo/update"),
			in("users", "assignLicense", "basic/update", "create", "disable", "enable", "invalidateAllRefreshTokens", "inviteGuest",
				"manager/update", "photo/update", "sponsors/update", "userPrincipalName/update"),
		),
	},
	{
		TemplateID:  directory.MustObjectID("f2ef992c-3afb-46b9-b7cf-a126ee74c451"),
		Name:        "Global Reader",
		Description: "Reads everything that Global Administrator may, and changes nothing.",
		Actions: slices.Concat(
			in("applications", "allProperties/read"),
			in("auditLogs", "allProperties/read"),
			in("authorizationPolicy", "standard/read"),
			in("directoryRoleTemplates", "allProperties/read"),
			in("directoryRoles", "allProperties/read"),
			in("domains", "allProperties/read"),
			in("groups", "allProperties/read"),
			in("oAuth2PermissionGrants", "allProperties/read"),
			in("organization", "allProperties/read"),
			in("policies", "allProperties/read"),
			in("roleAssignments", "allProperties/read"),
			in("roleDefinitions", "allProperties/read"),
			in("servicePrincipals", "allProperties/read"),
			in("signInReports", "allProperties/read"),
			in("subscribedSkus", "allProperties/read"),
			in("users", "allProperties/read"),
		),
	},
	{
		TemplateID:  directory.MustObjectID("e8611ab8-c189-46e8-94e1-60213ab1f814"),
		Name:        "Privileged Role Administrator",
		Description: "Assigns directory roles, its own and mightier ones too, and consents to any permission of any application.",
		Actions: slices.Concat(
			in("authorizationPolicy", "allProperties/allTasks"),
			in("directoryRoles", "allProperties/allTasks"),
			in("groupsAssignableToRoles", "allProperties/update", "create", "delete", "restore"),
			in("oAuth2PermissionGrants", "allProperties/allTasks"),
			in("roleAssignments", "allProperties/allTasks"),
			in("roleDefinitions", "allProperties/allTasks"),
			in("servicePrincipals", "appRoleAssignedTo/update", "managePermissionGrantsForAll.microsoft-company-admin", "permissions/update"),
		),
	},
	{
		TemplateID:  GlobalAdministrator,
		Name:        "Global Administrator",
		Description: "Does everything in the directory.",
		// For those who read the definition; Allowed does not ask it.
		Actions: slices.Concat(
			in("applications", "allProperties/allTasks"),
			in("auditLogs", "allProperties/read"),
			in("authorizationPolicy", "allProperties/allTasks"),
			in("deletedItems", "delete", "restore"),
			in("directoryRoleTemplates", "allProperties/allTasks"),
			in("directoryRoles", "allProperties/allTasks"),
			in("domains", "allProperties/allTasks"),
			in("groups", "allProperties/allTasks"),
			in("groupsAssignableToRoles", "allProperties/update", "create", "delete", "restore"),
			in("oAuth2PermissionGrants", "allProperties/allTasks"),
			in("organization", "allProperties/allTasks"),
			in("policies", "allProperties/allTasks"),
			in("roleAssignments", "allProperties/allTasks"),
			in("roleDefinitions", "allProperties/allTasks"),
			in("servicePrincipals", "allProperties/allTasks", "managePermissionGrantsForAll.microsoft-company-admin"),
			in("signInReports", "allProperties/read"),
			in("subscribedSkus", "allProperties/allTasks"),
			in("users", "allProperties/allTasks"),
		),
	},
}
