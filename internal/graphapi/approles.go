package graphapi

import (
	"net/http"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
)

var (
	appRoleScopes  = []string{"Application.Read.All", "Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	readGivenRoles = access.Permission{Delegated: appRoleScopes, Application: appRoleScopes, Action: "microsoft.directory/servicePrincipals/appRoleAssignedTo/read", Member: true}
	// What Microsoft Graph offers takes more: package manage asks for it.
	giveAppRoles = access.Permission{
		Delegated:   []string{"AppRoleAssignment.ReadWrite.All"},
		Application: []string{"AppRoleAssignment.ReadWrite.All"},
		Action:      "microsoft.directory/servicePrincipals/appRoleAssignedTo/update",
	}
)

// appRoleRoutes are the app roles that a service principal was granted, and
// those of its own that others were.
func (a *API) appRoleRoutes() []Operation {
	var all []Operation
	for _, side := range []appRoleSide{{"appRoleAssignments", true}, {"appRoleAssignedTo", false}} {
		path := "/servicePrincipals/{id}/" + side.name
		all = append(all,
			Operation{Method: http.MethodGet, Path: path, Need: readGivenRoles, Query: &givenRoleSchema, Options: listing, Handle: side.list},
			Operation{Method: http.MethodPost, Path: path, Need: giveAppRoles, Handle: side.create},
			Operation{Method: http.MethodGet, Path: path + "/{assignment}", Need: readGivenRoles, Query: &givenRoleSchema, Options: selecting, Handle: side.get},
			Operation{Method: http.MethodDelete, Path: path + "/{assignment}", Need: giveAppRoles, Handle: side.remove},
		)
	}
	return all
}

var givenRoleSchema = odata.Schema{Type: "appRoleAssignment", Properties: map[string]odata.Property{
	"id":                   {Kind: odata.StringExact, Filter: odata.OpEq},
	"appRoleId":            {Kind: odata.GUID, Filter: odata.OpEq},
	"createdDateTime":      {Kind: odata.Time, Filter: odata.OpEq | odata.OpGe | odata.OpLe},
	"deletedDateTime":      {Kind: odata.Time},
	"principalDisplayName": {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith, Sort: odata.Always, Search: odata.SearchTokens},
	"principalId":          {Kind: odata.GUID, Filter: odata.OpEq},
	"principalType":        {Kind: odata.String, Filter: odata.OpEq},
	"resourceDisplayName":  {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith, Sort: odata.Always, Search: odata.SearchTokens},
	"resourceId":           {Kind: odata.GUID, Filter: odata.OpEq},
}}

func givenRoleEntity(a *manage.AppRoleAssignment) entity {
	return entity{
		{"id", directory.AppRoleAssignmentID(a.Principal, a.ID)}, {"deletedDateTime", nil}, {"appRoleId", a.Role.String()},
		{"createdDateTime", instant(a.Created)}, {"principalDisplayName", a.PrincipalName}, {"principalId", a.Principal.String()},
		{"principalType", "ServicePrincipal"}, {"resourceDisplayName", a.ResourceName}, {"resourceId", a.Resource.String()},
	}
}

// appRoleSide is one of the two collections: granted to the service principal of
// the path, or by it.
type appRoleSide struct {
	name    string
	granted bool
}

// context names the collection of one service principal.
func (s appRoleSide) context(c *call) string {
	_, id := keyOf(c.params[0])
	return "servicePrincipals('" + id + "')/" + s.name
}

// assignment is the path's assignment: the id on the wire begins with the
// principal's, which is not needed to find it.
func (s appRoleSide) assignment(c *call) (manage.Key, directory.ObjectID, error) {
	key, err := c.principalKey(0)
	if err != nil {
		return key, directory.ObjectID{}, err
	}
	_, value := keyOf(c.params[1])
	c.named = value
	_, id, ok := directory.ParseAppRoleAssignmentID(value)
	if !ok {
		return key, id, notFound(value)
	}
	return key, id, nil
}

func (s appRoleSide) list(c *call) error {
	key, err := c.principalKey(0)
	if err != nil {
		return err
	}
	assigned, err := c.api.manage.AppRoleAssignments(c.ctx, c.caller, c.tenant, key, s.granted)
	if err != nil {
		return err
	}
	all := make([]entity, len(assigned))
	for i := range assigned {
		all[i] = givenRoleEntity(&assigned[i])
	}
	values, next, count, err := listAll(c, &givenRoleSchema, all)
	if err != nil {
		return err
	}
	return c.replyAll(s.context(c), values, next, count)
}

func (s appRoleSide) get(c *call) error {
	key, id, err := s.assignment(c)
	if err != nil {
		return err
	}
	a, err := c.api.manage.AppRoleAssignment(c.ctx, c.caller, c.tenant, key, s.granted, id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, s.context(c), givenRoleEntity(a), "")
}

// defaultAccess is the app role of a resource without app roles.
const defaultAccess = "00000000-0000-0000-0000-000000000000"

func (s appRoleSide) create(c *call) error {
	key, err := c.principalKey(0)
	if err != nil {
		return err
	}
	b, err := c.readBody()
	if err != nil {
		return err
	}
	if err := b.refuse("appRoleAssignment", "appRoleId", "principalId", "resourceId"); err != nil {
		return err
	}
	principal, err := b.objectIDOf("principalId")
	if err != nil {
		return err
	}
	resource, err := b.objectIDOf("resourceId")
	if err != nil {
		return err
	}
	var role string
	if _, err := b.text("appRoleId", &role); err != nil {
		return err
	}
	if role == defaultAccess {
		return notOffered("Default access is not offered here: give the resource an app role and assign that.")
	}
	id, err := b.objectIDOf("appRoleId")
	if err != nil {
		return err
	}
	a, err := c.api.manage.AssignAppRole(c.ctx, c.caller, c.tenant, key, s.granted, principal, resource, id)
	if err != nil {
		return c.naming(err)
	}
	e := givenRoleEntity(a)
	return c.reply(http.StatusCreated, s.context(c), e, "/servicePrincipals/"+c.params[0]+"/"+s.name+"/"+directory.AppRoleAssignmentID(a.Principal, a.ID))
}

func (s appRoleSide) remove(c *call) error {
	key, id, err := s.assignment(c)
	if err != nil {
		return err
	}
	if err := c.api.manage.UnassignAppRole(c.ctx, c.caller, c.tenant, key, s.granted, id); err != nil {
		return err
	}
	return c.replyNone()
}
