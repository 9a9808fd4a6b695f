package directory

import "slices"

// GraphClientID is the client id of Microsoft Graph.
var GraphClientID = MustClientID("00000003-0000-0000-c000-000000000000")

// graphPermissions are the permissions of Microsoft Graph that operations here
// ask for, with the ids that clients have written into their code. Source: the
// permissions reference of Microsoft Graph.
var graphPermissions = []struct{ value, role, scope string }{
	{"Application.Read.All", "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", "c79f8feb-a9db-4090-85f9-90d820caa0eb"},
	{"Application.ReadWrite.All", "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9", "bdfbf15f-ee85-4955-8675-146e8e5296b5"},
	{"Application.ReadWrite.OwnedBy", "18a4783c-866b-4cc7-a460-3d5e5662c884", ""},
	{"Application.ReadUpdate.All", "fc023787-fd04-4e44-9bc7-d454f00c0f0a", "0586a906-4d89-4de8-b3c8-1aacdcc0c679"},
	{"AppRoleAssignment.ReadWrite.All", "06b708a9-e830-4db3-a914-8e69da51d44f", "84bccea3-f856-4a8a-967b-dbe0a3d53a64"},
	{"DelegatedPermissionGrant.ReadWrite.All", "8e8e4742-1d95-4f68-9d56-6ee75648c72a", "41ce6ca6-6826-4807-84f1-1c82854f7ee5"},
	{"Directory.Read.All", "7ab1d382-f21e-4acd-a863-ba3e13f7da61", "06da0dbc-49e2-44d2-8312-53f166ab848a"},
	{"Directory.ReadWrite.All", "19dbc75e-c2e2-444c-a770-ec69d8559fc7", "c5366453-9fb0-48a5-a156-24f0c49a4b84"},
	{"Directory.AccessAsUser.All", "", "0e263e50-5827-48a4-b97c-d940288653c7"},
	{"User.Read", "", "e1fe6dd8-ba31-4d61-89e7-88639da4683d"},
	{"User.Read.All", "df021288-bdef-4463-88db-98f22de89214", "a154be20-db9c-4678-8ab7-66f6cc099a59"},
	{"User.ReadWrite.All", "741f803b-c850-494e-b5df-cde7c675a1ca", "204e0828-b5ca-4ad8-b9f3-f32a958e7cc4"},
	{"Group.Read.All", "5b567255-7703-4780-807c-7be8301ae99b", "5f8c59db-677d-491f-a6b8-5f174b11ec1d"},
	{"RoleManagement.Read.Directory", "483bed4a-2ad3-4361-a73b-c83ccdbdc53c", "741c54c3-0c1e-44a1-818b-3f97ab4e8c83"},
	{"RoleManagement.ReadWrite.Directory", "9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8", "d01b97e9-cbc0-49fe-810a-750afd5527a3"},
	{"AuditLog.Read.All", "b0afded3-3588-46d8-8b3d-9842eff778da", "e4c9e354-4dc5-45b8-9e7c-e1393b0b1a20"},
	{"Organization.Read.All", "498476ce-e0fe-48b0-b801-37ba7e2685c6", "4908d5b9-3fb2-4b1e-9336-1888b7937185"},
	{"Policy.Read.All", "246dd0d5-5bd0-4def-940b-0421030a5b68", "572fea84-0151-49b2-9301-11cb16974376"},
	{"openid", "", "37f7f235-527c-4136-accd-4a02d197296e"},
	{"profile", "", "14dad69e-099b-42c9-810b-d002981feec1"},
	{"email", "", "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0"},
	{"offline_access", "", "7427e0e9-2fba-42fe-b0c0-848c9e6a8182"},
}

var graphAppRoles, graphScopes = func() (roles []AppRole, scopes []PermissionScope) {
	for _, p := range graphPermissions {
		if p.role != "" {
			roles = append(roles, AppRole{ID: MustObjectID(p.role), Value: p.value, DisplayName: p.value, Members: []string{"Application"}})
		}
		if p.scope != "" {
			scopes = append(scopes, PermissionScope{ID: MustObjectID(p.scope), Value: p.value, Kind: "Admin", AdminConsentDisplayName: p.value})
		}
	}
	return roles, scopes
}()

// GraphAppRole finds an app role of Microsoft Graph by its id.
func GraphAppRole(id ObjectID) (AppRole, bool) {
	if i := slices.IndexFunc(graphAppRoles, func(r AppRole) bool { return r.ID == id }); i >= 0 {
		return graphAppRoles[i], true
	}
	return AppRole{}, false
}
