package graphapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/odata"
	"github.com/avouch/avouch/internal/problem"
)

// grantRoutes are what applications were granted: app roles, and delegated
// permissions.
func (a *API) grantRoutes() []Operation {
	return slices.Concat(a.appRoleRoutes(), a.permissionRoutes())
}

func grantsNeed(action string) access.Permission {
	values := []string{"DelegatedPermissionGrant.ReadWrite.All"}
	if strings.HasSuffix(action, "/read") {
		values = append(values, "Directory.Read.All", "Directory.ReadWrite.All")
	}
	return access.Permission{Delegated: values, Application: values, Action: "microsoft.directory/oAuth2PermissionGrants/" + action}
}

func (a *API) permissionRoutes() []Operation {
	const path = "/oauth2PermissionGrants"
	read := grantsNeed("standard/read")
	return []Operation{
		{Method: http.MethodGet, Path: path, Need: read, Query: &grantSchema, Options: selecting | filtering | paging | counting, Handle: listGrants},
		{Method: http.MethodPost, Path: path, Need: grantsNeed("create"), Handle: createGrant},
		{Method: http.MethodGet, Path: path + "/{id}", Need: read, Query: &grantSchema, Options: selecting, Handle: getGrant},
		{Method: http.MethodPatch, Path: path + "/{id}", Need: grantsNeed("basic/update"), Handle: updateGrant},
		{Method: http.MethodDelete, Path: path + "/{id}", Need: grantsNeed("delete"), Handle: deleteGrant},
		{Method: http.MethodGet, Path: "/servicePrincipals/{id}/oauth2PermissionGrants", Need: read, Query: &grantSchema, Options: selecting | filtering | paging | counting, Handle: listGrants},
	}
}

var grantSchema = odata.Schema{Type: "oAuth2PermissionGrant", Properties: map[string]odata.Property{
	"id":          {Kind: odata.StringExact, Filter: odata.OpEq},
	"clientId":    {Kind: odata.GUID, Filter: odata.OpEq},
	"consentType": {Kind: odata.String, Filter: odata.OpEq},
	"principalId": {Kind: odata.GUID, Filter: odata.OpEq},
	"resourceId":  {Kind: odata.GUID, Filter: odata.OpEq},
	"scope":       {Kind: odata.String},
}}

// The two ways to consent.
const (
	forEverybody = "AllPrincipals"
	forOne       = "Principal"
)

func grantEntity(g *directory.PermissionGrant) entity {
	consent := forOne
	if g.User.IsZero() {
		consent = forEverybody
	}
	return entity{
		{"clientId", g.Client.String()}, {"consentType", consent}, {"id", g.ID}, {"principalId", orNull(g.User.String())},
		{"resourceId", g.Resource.String()}, {"scope", strings.Join(g.Scopes, " ")},
	}
}

// listGrants lists those of one client, where the path or the filter names one,
// or all of them.
func listGrants(c *call) error {
	var client directory.ObjectID
	if len(c.params) > 0 {
		id, err := c.objectID(0)
		if err != nil {
			return err
		}
		client = id
	}
	for _, term := range odata.Conjuncts(c.query.Filter) {
		if path, value, ok := odata.Equals(term); ok && path.String() == "clientId" && client.IsZero() {
			id, err := directory.ParseObjectID(value.String)
			if err != nil {
				return c.replyAll("oauth2PermissionGrants", []entity{}, "", nil)
			}
			client = id
		}
	}
	grants, err := c.api.manage.Grants(c.ctx, c.caller, c.tenant, client)
	if err != nil {
		return err
	}
	all := make([]entity, len(grants))
	for i := range grants {
		all[i] = grantEntity(&grants[i])
	}
	values, next, count, err := listAll(c, &grantSchema, all)
	if err != nil {
		return err
	}
	return c.replyAll("oauth2PermissionGrants", values, next, count)
}

func getGrant(c *call) error {
	_, id := keyOf(c.params[0])
	g, err := c.api.manage.Grant(c.ctx, c.caller, c.tenant, id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, "oauth2PermissionGrants", grantEntity(g), "")
}

// createGrant consents. When a grant begins and ends was once part of it; the
// real service ignores it, and so is it here.
func createGrant(c *call) error {
	b, err := c.readBody()
	if err != nil {
		return err
	}
	if err := b.refuse("oAuth2PermissionGrant", "clientId", "consentType", "principalId", "resourceId", "scope", "startTime", "expiryTime"); err != nil {
		return err
	}
	var g directory.PermissionGrant
	if g.Client, err = b.objectIDOf("clientId"); err != nil {
		return err
	}
	if g.Resource, err = b.objectIDOf("resourceId"); err != nil {
		return err
	}
	var consent, user, scope string
	if _, err := b.text("consentType", &consent); err != nil {
		return err
	}
	if _, err := b.text("principalId", &user); err != nil {
		return err
	}
	switch {
	case consent != forEverybody && consent != forOne:
		return badRequest("'consentType' is '%s' or '%s'.", forEverybody, forOne)
	case consent == forEverybody && user != "":
		return badRequest("'principalId' must be null when 'consentType' is '%s'.", forEverybody)
	case consent == forOne:
		if g.User, err = b.objectIDOf("principalId"); err != nil {
			return err
		}
	}
	if set, err := b.text("scope", &scope); err != nil {
		return err
	} else if !set {
		return badRequest("A value is required for property 'scope'.")
	}
	g.Scopes = strings.Fields(scope)
	made, err := c.api.manage.CreateGrant(c.ctx, c.caller, c.tenant, g)
	if problem.KindOf(err) == problem.Conflict {
		return sameKey("Permission entry already exists.")
	}
	if err != nil {
		return c.naming(err)
	}
	return c.reply(http.StatusCreated, "oauth2PermissionGrants", grantEntity(made), "/oauth2PermissionGrants/"+made.ID)
}

func updateGrant(c *call) error {
	_, id := keyOf(c.params[0])
	b, err := c.readBody()
	if err != nil {
		return err
	}
	sent := b.take("id", "clientId", "consentType", "principalId", "resourceId")
	if err := b.refuse("oAuth2PermissionGrant", "scope", "startTime", "expiryTime"); err != nil {
		return err
	}
	var scope string
	set, err := b.text("scope", &scope)
	if err != nil {
		return err
	}
	err = c.api.manage.UpdateGrant(c.ctx, c.caller, c.tenant, id, func(g *directory.PermissionGrant) error {
		e := grantEntity(g)
		if err := sent.readOnlyAll(e); err != nil {
			return err
		}
		if set {
			g.Scopes = strings.Fields(scope)
		}
		return c.checkIfMatch(e)
	})
	if err != nil {
		return err
	}
	return c.replyNone()
}

func deleteGrant(c *call) error {
	_, id := keyOf(c.params[0])
	if err := c.api.manage.DeleteGrant(c.ctx, c.caller, c.tenant, id); err != nil {
		return err
	}
	return c.replyNone()
}
