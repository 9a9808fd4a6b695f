package graphapi

import (
	"errors"
	"net/http"
	"slices"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
	"github.com/avouch/avouch/internal/problem"
)

var (
	directoryScopes = []string{"Directory.Read.All", "Directory.ReadWrite.All"}
	readObjects     = access.Permission{Delegated: directoryScopes, Application: directoryScopes, Action: "microsoft.directory/users/standard/read", Member: true}
	// Whoever may read each kind of object on its own may read some by id.
	readByIDs = access.Permission{
		Delegated:   append([]string{"User.Read.All", "Group.Read.All", "Application.Read.All"}, directoryScopes...),
		Application: directoryScopes, Action: "microsoft.directory/users/standard/read", Member: true,
	}
	readOwned = access.Permission{
		Delegated:   append([]string{"Application.Read.All", "Application.ReadWrite.All"}, directoryScopes...),
		Application: append([]string{"Application.Read.All", "Application.ReadWrite.All"}, directoryScopes...),
		Action:      "microsoft.directory/servicePrincipals/ownedObjects/read", Member: true,
	}
)

func (a *API) objectRoutes() []Operation {
	return []Operation{
		{Method: http.MethodGet, Path: "/directoryObjects/{id}", Need: readObjects, Query: &objectSchema, Options: selecting, Handle: getObject},
		{Method: http.MethodPost, Path: "/directoryObjects/getByIds", Need: readByIDs, Query: &objectSchema, Options: selecting, Handle: getByIDs},
		{Method: http.MethodPost, Path: "/users/{id}/getMemberGroups", Need: readLinks, Handle: memberGroups(directory.UserObject, false)},
		{Method: http.MethodPost, Path: "/users/{id}/checkMemberGroups", Need: readLinks, Handle: memberGroups(directory.UserObject, true)},
		{Method: http.MethodPost, Path: "/servicePrincipals/{id}/getMemberGroups", Need: readOwned, Handle: memberGroups(directory.PrincipalObject, false)},
		{Method: http.MethodPost, Path: "/servicePrincipals/{id}/checkMemberGroups", Need: readOwned, Handle: memberGroups(directory.PrincipalObject, true)},
		{Method: http.MethodGet, Path: "/servicePrincipals/{id}/memberOf", Need: readOwned, Query: &objectSchema, Options: listing, Handle: memberOf(directory.PrincipalObject, false)},
		{Method: http.MethodGet, Path: "/servicePrincipals/{id}/transitiveMemberOf", Need: readOwned, Query: &objectSchema, Options: listing, Handle: memberOf(directory.PrincipalObject, true)},
		{Method: http.MethodGet, Path: "/servicePrincipals/{id}/ownedObjects", Need: readOwned, Query: &objectSchema, Options: listing, Handle: ownedObjects(directory.PrincipalObject)},
	}
}

// objectSchema is what lists of several kinds offer.
var objectSchema = odata.Schema{Type: "directoryObject", Properties: map[string]odata.Property{
	"id":                   {Kind: odata.GUID, Filter: odata.OpEq},
	"deletedDateTime":      {Kind: odata.Time},
	"appId":                {Kind: odata.GUID, Filter: odata.OpEq},
	"displayName":          {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith, Sort: odata.Always, Search: odata.SearchTokens},
	"description":          {Kind: odata.String},
	"mail":                 {Kind: odata.String, Filter: odata.OpEq},
	"mailEnabled":          {Kind: odata.Bool, Filter: odata.OpEq},
	"mailNickname":         {Kind: odata.String, Filter: odata.OpEq},
	"roleTemplateId":       {Kind: odata.GUID, Filter: odata.OpEq},
	"securityEnabled":      {Kind: odata.Bool, Filter: odata.OpEq},
	"servicePrincipalType": {Kind: odata.String, Filter: odata.OpEq},
	"userPrincipalName":    {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith},
}}

// objectEntity is an object as lists of several kinds show it, with its type.
func (c *call) objectEntity(o *manage.DirectoryObject) (entity, error) {
	var e entity
	kind := ""
	switch {
	case o.User != nil:
		kind, e = "user", c.shownUser(userEntity(o.User))
	case o.Group != nil:
		kind, e = "group", groupEntity(o.Group)
	case o.Role != nil:
		kind, e = "directoryRole", roleEntity(o.Role)
	case o.Principal != nil:
		kind, e = "servicePrincipal", principalEntity(o.Principal)
	case o.Application != nil:
		domain, err := c.domain()
		if err != nil {
			return nil, err
		}
		kind, e = "application", applicationEntity(o.Application, domain)
	}
	return append(entity{{"@odata.type", "#microsoft.graph." + kind}}, e...), nil
}

// replyObjects answers a list of several kinds.
func (c *call) replyObjects(all []manage.DirectoryObject) error {
	entities, err := c.objectEntities(all)
	if err != nil {
		return err
	}
	values, next, count, err := listAll(c, &objectSchema, entities)
	if err != nil {
		return err
	}
	return c.replyAll("directoryObjects", values, next, count)
}

// naming makes a "not found" name the object that is missing, where that is not
// the path's own.
func (c *call) naming(err error) error {
	var p *problem.Error
	if errors.As(err, &p) && p.Kind == problem.NotFound && p.Target != "" {
		c.named = p.Target
	}
	return err
}

func getObject(c *call) error {
	id, err := c.objectID(0)
	if err != nil {
		return err
	}
	o, err := c.api.manage.Object(c.ctx, c.caller, c.tenant, id)
	if err != nil {
		return err
	}
	e, err := c.objectEntity(o)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, "directoryObjects", e, "")
}

// maxByIDs is how many ids one getByIds takes. Source: reference/graph.md,
// section 6.
const maxByIDs = 1000

// getByIDs reads objects by id. Types narrow what is looked for; types that are
// unknown here name nothing, as objects of other clouds do there.
func getByIDs(c *call) error {
	b, err := c.readBody()
	if err != nil {
		return err
	}
	if err := b.refuse("getByIdsRequest", "ids", "types"); err != nil {
		return err
	}
	ids, err := b.ids("ids")
	if err != nil {
		return err
	}
	var types []string
	if _, err := b.texts("types", &types); err != nil {
		return err
	}
	kinds := []directory.ObjectKind{}
	for _, t := range types {
		switch t {
		case "directoryObject":
			kinds = append(kinds, directory.UserObject, directory.GroupObject, directory.PrincipalObject, directory.ApplicationObject)
		case "user", "group", "servicePrincipal", "application":
			kinds = append(kinds, directory.ObjectKind(t))
		}
	}
	if len(types) == 0 {
		kinds = nil
	}
	all, err := c.api.manage.Objects(c.ctx, c.caller, c.tenant, ids, kinds)
	if err != nil {
		return err
	}
	return c.replyObjects(all)
}

// ids reads a required member that is a list of object ids.
func (b body) ids(name string) ([]directory.ObjectID, error) {
	var texts []string
	if _, ok := b[name]; !ok {
		return nil, badRequest("A value is required for property '%s'.", name)
	}
	if _, err := b.texts(name, &texts); err != nil {
		return nil, err
	}
	if len(texts) > maxByIDs {
		return nil, badRequest("'%s' holds %d ids; at most %d are allowed.", name, len(texts), maxByIDs)
	}
	ids := make([]directory.ObjectID, 0, len(texts))
	for _, text := range texts {
		id, err := directory.ParseObjectID(text)
		if err != nil {
			return nil, badRequest("Invalid GUID: '%s'.", printable(text))
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// objectIDOf reads a required member that is an object id.
func (b body) objectIDOf(name string) (directory.ObjectID, error) {
	var text string
	if _, err := b.text(name, &text); err != nil {
		return directory.ObjectID{}, err
	}
	if text == "" {
		return directory.ObjectID{}, badRequest("A value is required for property '%s'.", name)
	}
	id, err := directory.ParseObjectID(text)
	if err != nil {
		return directory.ObjectID{}, badRequest("Invalid GUID: '%s' of property '%s'.", printable(text), name)
	}
	return id, nil
}

// member is the path's user, group or service principal.
func (c *call) member(kind directory.ObjectKind) (string, error) {
	if kind == directory.UserObject {
		return c.userParam(0)
	}
	id, err := c.objectID(0)
	return id.String(), err
}

func memberOf(kind directory.ObjectKind, transitive bool) func(*call) error {
	return func(c *call) error {
		ref, err := c.member(kind)
		if err != nil {
			return err
		}
		all, err := c.api.manage.MemberOf(c.ctx, c.caller, c.tenant, kind, ref, transitive)
		if err != nil {
			return err
		}
		return c.replyObjects(all)
	}
}

func ownedObjects(kind directory.ObjectKind) func(*call) error {
	return func(c *call) error {
		ref, err := c.member(kind)
		if err != nil {
			return err
		}
		all, err := c.api.manage.OwnedObjects(c.ctx, c.caller, c.tenant, kind, ref)
		if err != nil {
			return err
		}
		return c.replyObjects(all)
	}
}

// memberGroups answers with the ids of all groups that the object is in, or of
// those among the given ones.
func memberGroups(kind directory.ObjectKind, among bool) func(*call) error {
	return func(c *call) error {
		ref, err := c.member(kind)
		if err != nil {
			return err
		}
		b, err := c.readBody()
		if err != nil {
			return err
		}
		var asked []directory.ObjectID
		if among {
			if err := b.refuse("checkMemberGroupsRequest", "groupIds"); err != nil {
				return err
			}
			if asked, err = b.ids("groupIds"); err != nil {
				return err
			}
		} else {
			if err := b.refuse("getMemberGroupsRequest", "securityEnabledOnly"); err != nil {
				return err
			}
			// Every group here is a security group.
			var only bool
			if _, err := b.flag("securityEnabledOnly", &only); err != nil {
				return err
			}
		}
		all, err := c.api.manage.MemberOf(c.ctx, c.caller, c.tenant, kind, ref, true)
		if err != nil {
			return err
		}
		ids := []string{}
		for _, o := range all {
			if o.Group != nil && (!among || slices.Contains(asked, o.Group.ID)) {
				ids = append(ids, o.Group.ID.String())
			}
		}
		return writeJSON(c.w, http.StatusOK, entity{{"@odata.context", c.base + "/$metadata#Collection(Edm.String)"}, {"value", ids}})
	}
}
