package graphapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/odata"
)

var (
	roleScopes         = []string{"RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory", "Directory.Read.All", "Directory.ReadWrite.All"}
	readDirectoryRoles = access.Permission{Delegated: roleScopes, Application: roleScopes, Action: "microsoft.directory/directoryRoles/standard/read", Member: true}
	readHolders        = access.Permission{Delegated: roleScopes, Application: roleScopes, Action: "microsoft.directory/roleAssignments/standard/read"}
	assignRoles        = access.Permission{
		Delegated:   []string{"RoleManagement.ReadWrite.Directory"},
		Application: []string{"RoleManagement.ReadWrite.Directory"},
		Action:      "microsoft.directory/roleAssignments/allProperties/allTasks",
	}
)

// roleRoutes are directory roles, in the old form and the unified one. Every
// built-in role counts as activated: its id among directoryRoles is that of its
// template.
func (a *API) roleRoutes() []Operation {
	const unified = "/roleManagement/directory"
	return []Operation{
		{Method: http.MethodGet, Path: "/directoryRoles", Need: readDirectoryRoles, Query: &roleSchema, Options: listing, Handle: listRoles("directoryRoles", roleEntity)},
		{Method: http.MethodPost, Path: "/directoryRoles", Need: assignRoles, Handle: activateRole},
		{Method: http.MethodGet, Path: "/directoryRoles/{id}", Need: readDirectoryRoles, Query: &roleSchema, Options: selecting, Handle: getRole("directoryRoles", roleEntity)},
		{Method: http.MethodGet, Path: "/directoryRoles/{id}/members", Need: readDirectoryRoles, Query: &objectSchema, Options: listing, Handle: roleMembers},
		{Method: http.MethodPost, Path: "/directoryRoles/{id}/members/$ref", Need: assignRoles, Handle: addRoleMember},
		{Method: http.MethodDelete, Path: "/directoryRoles/{id}/members/{member}/$ref", Need: assignRoles, Handle: removeRoleMember},
		{Method: http.MethodGet, Path: "/directoryRoleTemplates", Need: readDirectoryRoles, Query: &templateSchema, Options: listing, Handle: listRoles("directoryRoleTemplates", templateEntity)},
		{Method: http.MethodGet, Path: "/directoryRoleTemplates/{id}", Need: readDirectoryRoles, Query: &templateSchema, Options: selecting, Handle: getRole("directoryRoleTemplates", templateEntity)},
		{Method: http.MethodGet, Path: unified + "/roleDefinitions", Need: readHolders, Query: &definitionSchema, Options: listing, Handle: listRoles("roleManagement/directory/roleDefinitions", definitionEntity)},
		{Method: http.MethodGet, Path: unified + "/roleDefinitions/{id}", Need: readHolders, Query: &definitionSchema, Options: selecting, Handle: getRole("roleManagement/directory/roleDefinitions", definitionEntity)},
		{Method: http.MethodGet, Path: unified + "/roleAssignments", Need: readHolders, Query: &roleAssignmentSchema, Options: selecting | filtering | paging | counting | expanding, Handle: listRoleAssignments},
		{Method: http.MethodPost, Path: unified + "/roleAssignments", Need: assignRoles, Handle: createRoleAssignment},
		{Method: http.MethodGet, Path: unified + "/roleAssignments/{id}", Need: readHolders, Query: &roleAssignmentSchema, Options: selecting | expanding, Handle: getRoleAssignment},
		{Method: http.MethodDelete, Path: unified + "/roleAssignments/{id}", Need: assignRoles, Handle: deleteRoleAssignment},
	}
}

var (
	roleName   = odata.Property{Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith, Sort: odata.Always, Search: odata.SearchTokens}
	roleSchema = odata.Schema{Type: "directoryRole", Properties: map[string]odata.Property{
		"id": {Kind: odata.GUID, Filter: odata.OpEq}, "deletedDateTime": {Kind: odata.Time}, "description": {Kind: odata.String},
		"displayName": roleName, "roleTemplateId": {Kind: odata.GUID, Filter: odata.OpEq},
	}}
	templateSchema = odata.Schema{Type: "directoryRoleTemplate", Properties: map[string]odata.Property{
		"id": {Kind: odata.GUID, Filter: odata.OpEq}, "deletedDateTime": {Kind: odata.Time}, "description": {Kind: odata.String}, "displayName": roleName,
	}}
	definitionSchema = odata.Schema{Type: "unifiedRoleDefinition", Properties: map[string]odata.Property{
		"id": {Kind: odata.GUID, Filter: odata.OpEq}, "description": {Kind: odata.String}, "displayName": roleName,
		"isBuiltIn": {Kind: odata.Bool, Filter: odata.OpEq}, "isEnabled": {Kind: odata.Bool, Filter: odata.OpEq},
		"resourceScopes": {Kind: odata.String, Collection: true}, "templateId": {Kind: odata.GUID, Filter: odata.OpEq}, "version": {Kind: odata.String},
		"rolePermissions": {Kind: odata.Complex, Type: "unifiedRolePermission", Collection: true, Members: map[string]odata.Property{
			"allowedResourceActions": {Kind: odata.String, Collection: true}, "condition": {Kind: odata.String},
		}},
	}}
	roleAssignmentSchema = odata.Schema{Type: "unifiedRoleAssignment", Properties: map[string]odata.Property{
		"id": {Kind: odata.StringExact, Filter: odata.OpEq}, "appScopeId": {Kind: odata.String}, "condition": {Kind: odata.String},
		"directoryScopeId": {Kind: odata.String, Filter: odata.OpEq}, "principalId": {Kind: odata.GUID, Filter: odata.OpEq},
		"principalOrganizationId": {Kind: odata.GUID}, "resourceScope": {Kind: odata.String}, "roleDefinitionId": {Kind: odata.GUID, Filter: odata.OpEq},
	}, Navigations: map[string]odata.Navigation{
		"principal": {Type: &objectSchema, Expand: true}, "roleDefinition": {Type: &definitionSchema, Expand: true},
	}}
)

func roleEntity(r *access.Role) entity {
	return entity{
		{"id", r.TemplateID.String()}, {"deletedDateTime", nil}, {"description", r.Description}, {"displayName", r.Name},
		{"roleTemplateId", r.TemplateID.String()},
	}
}

func templateEntity(r *access.Role) entity {
	return entity{{"id", r.TemplateID.String()}, {"deletedDateTime", nil}, {"description", r.Description}, {"displayName", r.Name}}
}

func definitionEntity(r *access.Role) entity {
	return entity{
		{"id", r.TemplateID.String()}, {"description", r.Description}, {"displayName", r.Name}, {"isBuiltIn", true}, {"isEnabled", true},
		{"resourceScopes", []string{"/"}}, {"templateId", r.TemplateID.String()}, {"version", "1"},
		{"rolePermissions", []entity{{{"allowedResourceActions", orEmpty(r.Actions)}, {"condition", nil}}}},
	}
}

func listRoles(context string, render func(*access.Role) entity) func(*call) error {
	return func(c *call) error {
		roles, err := c.api.manage.DirectoryRoles(c.ctx, c.caller, c.tenant)
		if err != nil {
			return err
		}
		all := make([]entity, len(roles))
		for i := range roles {
			all[i] = render(&roles[i])
		}
		values, next, count, err := listAll(c, c.op.Query, all)
		if err != nil {
			return err
		}
		return c.replyAll(context, values, next, count)
	}
}

// role is the path's directory role, by id, which is its template's, or by
// roleTemplateId in either spelling of keys.
func (c *call) role() (directory.ObjectID, error) {
	name, value := keyOf(c.params[0])
	if name == "" {
		if rest, ok := cutPrefixFold(value, "roleTemplateId="); ok {
			name, value = "roletemplateid", strings.Trim(rest, "'")
		}
	}
	c.named = value
	id, err := directory.ParseObjectID(value)
	if err != nil || name != "" && name != "id" && name != "roletemplateid" {
		return id, notFound(value)
	}
	return id, nil
}

func getRole(context string, render func(*access.Role) entity) func(*call) error {
	return func(c *call) error {
		id, err := c.role()
		if err != nil {
			return err
		}
		role, err := c.api.manage.DirectoryRole(c.ctx, c.caller, c.tenant, id)
		if err != nil {
			return err
		}
		return c.reply(http.StatusOK, context, render(role), "")
	}
}

// activateRole says that a role is there, which every built-in one is from the
// start; the real service refuses to activate one twice.
func activateRole(c *call) error {
	b, err := c.readBody()
	if err != nil {
		return err
	}
	if err := b.refuse("directoryRole", "roleTemplateId"); err != nil {
		return err
	}
	id, err := b.objectIDOf("roleTemplateId")
	if err != nil {
		return err
	}
	role, err := c.api.manage.DirectoryRole(c.ctx, c.caller, c.tenant, id)
	if err != nil {
		return c.naming(err)
	}
	return c.reply(http.StatusCreated, "directoryRoles", roleEntity(role), "/directoryRoles/"+role.TemplateID.String())
}

func roleMembers(c *call) error {
	id, err := c.role()
	if err != nil {
		return err
	}
	all, err := c.api.manage.RoleMembers(c.ctx, c.caller, c.tenant, id)
	if err != nil {
		return err
	}
	return c.replyObjects(all)
}

func addRoleMember(c *call) error {
	id, err := c.role()
	if err != nil {
		return err
	}
	target, err := c.readReference()
	if err != nil {
		return err
	}
	if _, ok := access.RoleByTemplate(id); !ok {
		return notFound(id.String())
	}
	held, err := c.holds(id, target)
	if err != nil {
		return err
	}
	if held {
		return badRequest(alreadyLinked, "members")
	}
	if _, err := c.api.manage.AssignRole(c.ctx, c.caller, c.tenant, id, target, directory.ObjectID{}); err != nil {
		return c.naming(err)
	}
	return c.replyNone()
}

// holds reports whether a principal holds a role in the whole tenant.
func (c *call) holds(role, principal directory.ObjectID) (bool, error) {
	assigned, err := c.api.manage.RoleAssignments(c.ctx, c.caller, c.tenant, principal)
	return slices.ContainsFunc(assigned, func(a directory.RoleAssignment) bool { return a.Role == role && a.Scope.IsZero() }), err
}

func removeRoleMember(c *call) error {
	id, err := c.role()
	if err != nil {
		return err
	}
	member, err := c.objectID(1)
	if err != nil {
		return err
	}
	if err := c.api.manage.UnassignRole(c.ctx, c.caller, c.tenant, directory.RoleAssignmentID(id, member, directory.ObjectID{})); err != nil {
		return err
	}
	return c.replyNone()
}

func (c *call) roleAssignmentEntity(a *directory.RoleAssignment) (entity, error) {
	scope := "/"
	if !a.Scope.IsZero() {
		scope += a.Scope.String()
	}
	e := entity{
		{"id", a.ID}, {"principalId", a.Principal.String()}, {"principalOrganizationId", c.tenant.String()}, {"resourceScope", scope},
		{"directoryScopeId", scope}, {"roleDefinitionId", a.Role.String()},
	}
	for _, x := range c.query.Expand {
		switch x.Name {
		case "roleDefinition":
			if role, ok := access.RoleByTemplate(a.Role); ok {
				e = append(e, property{x.Name, definitionEntity(&role).pick(x.Select)})
			}
		case "principal":
			all, err := c.api.manage.Objects(c.ctx, c.caller, c.tenant, []directory.ObjectID{a.Principal}, nil)
			if err != nil {
				return nil, err
			}
			if len(all) == 1 {
				o, err := c.objectEntity(&all[0])
				if err != nil {
					return nil, err
				}
				e = append(e, property{x.Name, o.pick(x.Select)})
			}
		}
	}
	return e, nil
}

const roleAssignments = "roleManagement/directory/roleAssignments"

// listRoleAssignments lists those of one principal, where the filter names one,
// or all of them. One navigation is expanded at a time, as in the real service.
func listRoleAssignments(c *call) error {
	if len(c.query.Expand) > 1 {
		return unsupportedQuery("Only one property can be expanded in a single query.")
	}
	var principal directory.ObjectID
	for _, term := range odata.Conjuncts(c.query.Filter) {
		if path, value, ok := odata.Equals(term); ok && path.String() == "principalId" {
			id, err := directory.ParseObjectID(value.String)
			if err != nil {
				return c.replyAll(roleAssignments, []entity{}, "", nil)
			}
			principal = id
		}
	}
	assigned, err := c.api.manage.RoleAssignments(c.ctx, c.caller, c.tenant, principal)
	if err != nil {
		return err
	}
	var all []entity
	for i := range assigned {
		e, err := c.roleAssignmentEntity(&assigned[i])
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	values, next, count, err := listAll(c, &roleAssignmentSchema, all)
	if err != nil {
		return err
	}
	return c.replyAll(roleAssignments, c.keepExpanded(values), next, count)
}

// keepExpanded keeps expanded members through $select.
func (c *call) keepExpanded(values []entity) []entity {
	if c.query.Select == nil {
		return values
	}
	for _, x := range c.query.Expand {
		c.query.Select = append(c.query.Select, x.Name)
	}
	return values
}

func getRoleAssignment(c *call) error {
	_, id := keyOf(c.params[0])
	a, err := c.api.manage.RoleAssignment(c.ctx, c.caller, c.tenant, id)
	if err != nil {
		return err
	}
	e, err := c.roleAssignmentEntity(a)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, roleAssignments, c.keepExpanded([]entity{e})[0], "")
}

func createRoleAssignment(c *call) error {
	b, err := c.readBody()
	if err != nil {
		return err
	}
	if err := b.refuse("unifiedRoleAssignment", "principalId", "roleDefinitionId", "directoryScopeId", "resourceScope", "appScopeId", "condition"); err != nil {
		return err
	}
	for _, name := range []string{"appScopeId", "condition"} {
		var s string
		if _, err := b.text(name, &s); err != nil {
			return err
		}
		if s != "" {
			return notOffered("'%s' is not offered here: leave it out.", name)
		}
	}
	principal, err := b.objectIDOf("principalId")
	if err != nil {
		return err
	}
	role, err := b.objectIDOf("roleDefinitionId")
	if err != nil {
		return err
	}
	var at, old string
	if _, err := b.text("directoryScopeId", &at); err != nil {
		return err
	}
	if _, err := b.text("resourceScope", &old); err != nil {
		return err
	}
	if at == "" {
		at = old
	}
	if old != "" && old != at {
		return badRequest("'resourceScope' and 'directoryScopeId' are the same thing by two names and differ here.")
	}
	scope, err := directoryScope(at)
	if err != nil {
		return err
	}
	a, err := c.api.manage.AssignRole(c.ctx, c.caller, c.tenant, role, principal, scope)
	if err != nil {
		return c.naming(err)
	}
	e, err := c.roleAssignmentEntity(a)
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, roleAssignments, e, "/"+roleAssignments+"/"+a.ID)
}

// directoryScope reads "/" or "/{object id}".
func directoryScope(s string) (directory.ObjectID, error) {
	rest, ok := strings.CutPrefix(s, "/")
	switch {
	case s == "":
		return directory.ObjectID{}, badRequest("A value is required for property 'directoryScopeId'.")
	case ok && rest == "":
		return directory.ObjectID{}, nil
	case ok && strings.Contains(rest, "/"):
		return directory.ObjectID{}, notOffered("The scope '%s' is not offered here: write '/' or '/' and the object id of an application.", printable(s))
	case ok:
		if id, err := directory.ParseObjectID(rest); err == nil {
			return id, nil
		}
	}
	return directory.ObjectID{}, badRequest("'directoryScopeId' is '/' or '/' and an object id, not '%s'.", printable(s))
}

func deleteRoleAssignment(c *call) error {
	_, id := keyOf(c.params[0])
	if err := c.api.manage.UnassignRole(c.ctx, c.caller, c.tenant, id); err != nil {
		return err
	}
	return c.replyNone()
}
