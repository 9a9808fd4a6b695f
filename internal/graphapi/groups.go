package graphapi

import (
	"net/http"
	"slices"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
)

var (
	groupScopes = []string{"GroupMember.Read.All", "Group.Read.All", "Group.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	readGroups  = access.Permission{Delegated: groupScopes, Application: groupScopes, Action: "microsoft.directory/groups/standard/read", Member: true}
	readMembers = access.Permission{Delegated: groupScopes, Application: groupScopes, Action: "microsoft.directory/groups/members/read", Member: true}
)

func writeGroups(action string, more ...string) access.Permission {
	values := append(more, "Group.ReadWrite.All", "Directory.ReadWrite.All")
	// Whoever owns a group manages it, and every member user may make one.
	created := action == "create"
	return access.Permission{Delegated: values, Application: values, Action: "microsoft.directory/groups/" + action, Owner: !created, Member: created}
}

func (a *API) groupRoutes() []Operation {
	members, owners := directory.MemberRelation, directory.OwnerRelation
	return []Operation{
		{Method: http.MethodGet, Path: "/groups", Need: readGroups, Query: &groupSchema, Options: listing, Handle: listGroups},
		{Method: http.MethodGet, Path: "/groups/$count", Need: readGroups, Query: &groupSchema, Options: filtering | searching, Handle: countGroups},
		{Method: http.MethodPost, Path: "/groups", Need: writeGroups("create"), Handle: createGroup},
		{Method: http.MethodGet, Path: "/groups/{id}", Need: readGroups, Query: &groupSchema, Options: selecting, Handle: getGroup},
		{Method: http.MethodPatch, Path: "/groups/{id}", Need: writeGroups("basic/update"), Handle: updateGroup},
		{Method: http.MethodDelete, Path: "/groups/{id}", Need: writeGroups("delete"), Handle: deleteGroup},
		{Method: http.MethodGet, Path: "/groups/{id}/members", Need: readMembers, Query: &objectSchema, Options: listing, Handle: groupLinks(members)},
		{Method: http.MethodGet, Path: "/groups/{id}/transitiveMembers", Need: readMembers, Query: &objectSchema, Options: listing, Handle: transitiveMembers},
		{Method: http.MethodPost, Path: "/groups/{id}/members/$ref", Need: writeGroups("members/update", "GroupMember.ReadWrite.All"), Handle: addToGroup(members)},
		{Method: http.MethodDelete, Path: "/groups/{id}/members/{member}/$ref", Need: writeGroups("members/update", "GroupMember.ReadWrite.All"), Handle: removeFromGroup(members)},
		{Method: http.MethodGet, Path: "/groups/{id}/owners", Need: readMembers, Query: &objectSchema, Options: listing, Handle: groupLinks(owners)},
		{Method: http.MethodPost, Path: "/groups/{id}/owners/$ref", Need: writeGroups("owners/update"), Handle: addToGroup(owners)},
		{Method: http.MethodDelete, Path: "/groups/{id}/owners/{owner}/$ref", Need: writeGroups("owners/update"), Handle: removeFromGroup(owners)},
		{Method: http.MethodGet, Path: "/groups/{id}/memberOf", Need: readGroups, Query: &objectSchema, Options: listing, Handle: memberOf(directory.GroupObject, false)},
		{Method: http.MethodGet, Path: "/groups/{id}/transitiveMemberOf", Need: readGroups, Query: &objectSchema, Options: listing, Handle: memberOf(directory.GroupObject, true)},
	}
}

var groupTexts = []string{"classification", "description", "mailNickname", "preferredDataLocation", "preferredLanguage", "theme", "visibility"}

// groupNulls and groupEmpties are what the real service has and nobody here can
// write: always null, always empty.
var (
	groupNulls = []string{
		"deletedDateTime", "expirationDateTime", "mail", "membershipRule", "membershipRuleProcessingState", "onPremisesDomainName",
		"onPremisesLastSyncDateTime", "onPremisesNetBiosName", "onPremisesSamAccountName", "onPremisesSecurityIdentifier",
		"onPremisesSyncEnabled", "renewedDateTime", "securityIdentifier",
	}
	groupEmpties = []string{
		"creationOptions", "groupTypes", "onPremisesProvisioningErrors", "proxyAddresses", "resourceBehaviorOptions",
		"resourceProvisioningOptions", "serviceProvisioningErrors",
	}
)

var groupSchema = odata.Schema{Type: "group", Properties: groupProperties()}

func groupProperties() map[string]odata.Property {
	properties := map[string]odata.Property{
		"id":                 {Kind: odata.GUID, Filter: odata.OpEq},
		"createdDateTime":    {Kind: odata.Time, Filter: odata.OpEq | odata.OpGe | odata.OpLe},
		"displayName":        {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith, Sort: odata.Always, Search: odata.SearchTokens},
		"isAssignableToRole": {Kind: odata.Bool, Filter: odata.OpEq},
		"mailEnabled":        {Kind: odata.Bool, Filter: odata.OpEq},
		"securityEnabled":    {Kind: odata.Bool, Filter: odata.OpEq},
	}
	for _, name := range groupTexts {
		properties[name] = odata.Property{Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith}
	}
	description := properties["description"]
	description.Search = odata.SearchTokens
	properties["description"] = description
	for _, name := range groupNulls {
		properties[name] = odata.Property{Kind: odata.String, Filter: odata.OpEq}
	}
	for _, name := range groupEmpties {
		properties[name] = odata.Property{Kind: odata.String, Collection: true, Filter: odata.OpEq, Advanced: odata.OpCount}
	}
	return properties
}

func groupEntity(g *directory.Group) entity {
	var assignable any // the real service shows null instead of false
	if g.RoleAssignable {
		assignable = true
	}
	e := entity{
		{"id", g.ID.String()}, {"createdDateTime", instant(g.Created)}, {"displayName", g.Name}, {"isAssignableToRole", assignable},
		{"mailEnabled", false}, {"securityEnabled", true},
	}
	for _, name := range groupTexts {
		e = append(e, property{name, kept(g.Kept, name, nil)})
	}
	for _, name := range groupNulls {
		e = append(e, property{name, nil})
	}
	for _, name := range groupEmpties {
		e = append(e, property{name, []string{}})
	}
	return e
}

func (c *call) groupLister() lister[directory.Group] {
	return lister[directory.Group]{
		schema: &groupSchema, narrow: narrowing{ids: "id", name: "displayName"},
		page: func(s directory.Selection) ([]directory.Group, error) {
			return c.api.manage.Groups(c.ctx, c.caller, c.tenant, s)
		},
		count: func(s directory.Selection) (int, error) {
			return c.api.manage.CountGroups(c.ctx, c.caller, c.tenant, s)
		},
		cursor: func(g *directory.Group) directory.Cursor { return directory.Cursor{Name: g.Name, ID: g.ID} },
		render: func(g *directory.Group) (entity, error) { return groupEntity(g), nil },
	}
}

func listGroups(c *call) error {
	values, next, count, err := list(c, c.groupLister())
	if err != nil {
		return err
	}
	return c.replyAll("groups", values, next, count)
}

func countGroups(c *call) error { return countAll(c, c.groupLister()) }

// readGroup reads what a caller may write of a group. Only security groups are
// offered: nothing here has a mailbox, and memberships follow no rules.
func readGroup(b body) (u manage.GroupUpdate, err error) {
	var mail, security bool
	if set, err := b.flag("mailEnabled", &mail); err != nil {
		return u, err
	} else if set && mail {
		return u, notOffered("Groups with mail are not offered here: set 'mailEnabled' to false.")
	}
	if set, err := b.flag("securityEnabled", &security); err != nil {
		return u, err
	} else if set && !security {
		return u, notOffered("Only security groups are offered here: set 'securityEnabled' to true.")
	}
	var types []string
	if _, err := b.texts("groupTypes", &types); err != nil {
		return u, err
	}
	if len(types) > 0 {
		return u, notOffered("Groups of type '%s' are not offered here: leave 'groupTypes' empty.", printable(types[0]))
	}
	if raw, ok := b["writebackConfiguration"]; ok && string(raw) != "null" {
		inner, err := parseBody(raw)
		if err != nil {
			return u, wrongType("writebackConfiguration", "microsoft.graph.groupWritebackConfiguration")
		}
		var enabled bool
		if _, err := inner.flag("isEnabled", &enabled); err != nil {
			return u, err
		}
		if enabled {
			return u, notOffered("Groups are not written back to another directory: set 'writebackConfiguration/isEnabled' to false.")
		}
	}
	for _, name := range []string{"mailEnabled", "securityEnabled", "groupTypes", "writebackConfiguration"} {
		delete(b, name)
	}
	if err := b.refuse("group", slices.Concat([]string{"displayName", "isAssignableToRole"}, groupTexts)...); err != nil {
		return u, err
	}
	var name string
	if set, err := b.text("displayName", &name); err != nil {
		return u, err
	} else if set {
		u.Name = &name
	}
	var assignable bool
	if set, err := b.flag("isAssignableToRole", &assignable); err != nil {
		return u, err
	} else if set {
		u.RoleAssignable = &assignable
	}
	if u.Kept, err = readKept(b, groupTexts, nil, nil); err != nil {
		return u, err
	}
	if v := u.Kept.Text("visibility"); v != "" && v != "Public" && v != "Private" && v != "HiddenMembership" {
		return u, badRequest("Invalid value specified for property 'visibility' of resource 'Group'.")
	}
	return u, nil
}

// groupReadOnly are the members that nobody writes.
func groupReadOnly() []string {
	return slices.Concat([]string{"id", "createdDateTime"}, groupNulls, groupEmpties)
}

// maxBound is how many members a new group may come with. Source: "Create group"
// in the reference of Microsoft Graph.
const maxBound = 20

func createGroup(c *call) error {
	b, err := c.readBody()
	if err != nil {
		return err
	}
	for _, name := range []string{"displayName", "mailEnabled", "mailNickname", "securityEnabled"} {
		if raw, ok := b[name]; !ok || string(raw) == "null" || string(raw) == `""` {
			return badRequest("A value is required for property '%s' of resource 'Group'.", name)
		}
	}
	owners, err := b.bound("owners")
	if err != nil {
		return err
	}
	members, err := b.bound("members")
	if err != nil {
		return err
	}
	if len(owners)+len(members) > maxBound {
		return badRequest("A new group comes with at most %d owners and members: add the others afterwards.", maxBound)
	}
	g := directory.Group{}
	types := b.take("groupTypes") // judged by readGroup, with its own text
	if err := b.readOnly(groupEntity(&g), groupReadOnly()...); err != nil {
		return err
	}
	for name, raw := range types {
		b[name] = raw
	}
	update, err := readGroup(b)
	if err != nil {
		return err
	}
	g.Name, g.Kept = *update.Name, update.Kept
	g.RoleAssignable = update.RoleAssignable != nil && *update.RoleAssignable
	made, err := c.api.manage.CreateGroup(c.ctx, c.caller, c.tenant, g, owners, members)
	if err != nil {
		return c.naming(err)
	}
	return c.reply(http.StatusCreated, "groups", groupEntity(made), "/groups/"+made.ID.String())
}

func getGroup(c *call) error {
	id, err := c.objectID(0)
	if err != nil {
		return err
	}
	g, err := c.api.manage.Group(c.ctx, c.caller, c.tenant, id)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, "groups", groupEntity(g), "")
}

func updateGroup(c *call) error {
	id, err := c.objectID(0)
	if err != nil {
		return err
	}
	b, err := c.readBody()
	if err != nil {
		return err
	}
	members, err := b.bound("members")
	if err != nil {
		return err
	}
	if len(members) > 0 {
		return notOffered("Members are added one by one: POST to /groups/%s/members/$ref.", id)
	}
	types := b.take("groupTypes")
	sent := b.take(groupReadOnly()...)
	for name, raw := range types {
		b[name] = raw
	}
	update, err := readGroup(b)
	if err != nil {
		return err
	}
	update.If = func(g *directory.Group) error {
		e := groupEntity(g)
		if err := sent.readOnlyAll(e); err != nil {
			return err
		}
		return c.checkIfMatch(e)
	}
	if err := c.api.manage.UpdateGroup(c.ctx, c.caller, c.tenant, id, update); err != nil {
		return err
	}
	return c.replyNone()
}

func deleteGroup(c *call) error {
	id, err := c.objectID(0)
	if err != nil {
		return err
	}
	if err := c.api.manage.DeleteGroup(c.ctx, c.caller, c.tenant, id); err != nil {
		return err
	}
	return c.replyNone()
}

func groupLinks(relation directory.Relation) func(*call) error {
	return func(c *call) error {
		id, err := c.objectID(0)
		if err != nil {
			return err
		}
		all, err := c.api.manage.GroupLinks(c.ctx, c.caller, c.tenant, id, relation)
		if err != nil {
			return err
		}
		return c.replyObjects(all)
	}
}

func transitiveMembers(c *call) error {
	id, err := c.objectID(0)
	if err != nil {
		return err
	}
	all, err := c.api.manage.TransitiveMembers(c.ctx, c.caller, c.tenant, id)
	if err != nil {
		return err
	}
	return c.replyObjects(all)
}

func addToGroup(relation directory.Relation) func(*call) error {
	return func(c *call) error {
		id, err := c.objectID(0)
		if err != nil {
			return err
		}
		target, err := c.readReference()
		if err != nil {
			return err
		}
		if err := c.api.manage.AddToGroup(c.ctx, c.caller, c.tenant, id, relation, target); err != nil {
			return c.naming(err)
		}
		return c.replyNone()
	}
}

func removeFromGroup(relation directory.Relation) func(*call) error {
	return func(c *call) error {
		id, err := c.objectID(0)
		if err != nil {
			return err
		}
		target, err := c.objectID(1)
		if err != nil {
			return err
		}
		if err := c.api.manage.RemoveFromGroup(c.ctx, c.caller, c.tenant, id, relation, target); err != nil {
			return err
		}
		return c.replyNone()
	}
}
