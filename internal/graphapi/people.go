package graphapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
)

// peopleRoutes are users, groups, me and directory objects.
func (a *API) peopleRoutes() []Operation {
	return slices.Concat(a.userRoutes(), a.groupRoutes(), a.meRoutes(), a.objectRoutes())
}

// What callers need. Sources: the permission tables of the operations in the
// reference of Microsoft Graph; reference/graph.md, 8.2.
var (
	userScopes = []string{"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	readUsers  = access.Permission{Delegated: userScopes, Application: userScopes, Action: "microsoft.directory/users/standard/read", Member: true}
	readSelf   = access.Permission{Delegated: append([]string{"User.Read"}, userScopes...), Self: true, Action: "microsoft.directory/users/standard/read"}
	readLinks  = access.Permission{Delegated: userScopes, Application: userScopes, Action: "microsoft.directory/users/memberOf/read", Member: true}
)

func writeUsers(action string) access.Permission {
	values := []string{"User.ReadWrite.All", "Directory.ReadWrite.All"}
	return access.Permission{Delegated: values, Application: values, Action: "microsoft.directory/users/" + action}
}

func (a *API) userRoutes() []Operation {
	return []Operation{
		{Method: http.MethodGet, Path: "/users", Need: readUsers, Query: &userSchema, Options: listing, Handle: listUsers},
		{Method: http.MethodGet, Path: "/users/$count", Need: readUsers, Query: &userSchema, Options: filtering | searching, Handle: countUsers},
		{Method: http.MethodPost, Path: "/users", Need: writeUsers("create"), Handle: createUser},
		{Method: http.MethodGet, Path: "/users/{id}", Need: readUsers, Query: &userSchema, Options: selecting, Handle: getUser},
		{Method: http.MethodPatch, Path: "/users/{id}", Need: writeUsers("basic/update"), Handle: updateUser},
		{Method: http.MethodDelete, Path: "/users/{id}", Need: writeUsers("delete"), Handle: deleteUser},
		{Method: http.MethodGet, Path: "/users/{id}/memberOf", Need: readLinks, Query: &objectSchema, Options: listing, Handle: memberOf(directory.UserObject, false)},
		{Method: http.MethodGet, Path: "/users/{id}/transitiveMemberOf", Need: readLinks, Query: &objectSchema, Options: listing, Handle: memberOf(directory.UserObject, true)},
		{Method: http.MethodGet, Path: "/users/{id}/ownedObjects", Need: readLinks, Query: &objectSchema, Options: listing, Handle: ownedObjects(directory.UserObject)},
	}
}

// The members of a user that clients write and read back, by their shape.
var (
	userTexts = []string{
		"ageGroup", "city", "companyName", "consentProvidedForMinor", "country", "department", "employeeId", "employeeType", "faxNumber",
		"givenName", "jobTitle", "mail", "mailNickname", "mobilePhone", "officeLocation", "onPremisesImmutableId", "passwordPolicies",
		"postalCode", "preferredLanguage", "state", "streetAddress", "surname", "usageLocation",
	}
	userLists = []string{"businessPhones", "otherMails"}
	// userDefaults come without $select (reference/graph.md, section 6).
	userDefaults = []string{
		"businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation", "preferredLanguage",
		"surname", "userPrincipalName", "id",
	}
)

var userSchema = odata.Schema{Type: "user", Properties: userProperties()}

func userProperties() map[string]odata.Property {
	text := odata.Property{Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith}
	properties := map[string]odata.Property{
		"id":                {Kind: odata.GUID, Filter: odata.OpEq},
		"deletedDateTime":   {Kind: odata.Time},
		"accountEnabled":    {Kind: odata.Bool, Filter: odata.OpEq},
		"createdDateTime":   {Kind: odata.Time, Filter: odata.OpEq | odata.OpGe | odata.OpLe},
		"displayName":       {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith, Sort: odata.Always, Search: odata.SearchTokens},
		"userPrincipalName": {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith, Advanced: odata.OpEndsWith, Search: odata.SearchPrefix},
		"userType":          text,
		"showInAddressList": {Kind: odata.Bool},
		"employeeOrgData": {Kind: odata.Complex, Type: "employeeOrgData", Members: map[string]odata.Property{
			"costCenter": {Kind: odata.String}, "division": {Kind: odata.String},
		}},
	}
	for _, name := range userTexts {
		properties[name] = text
	}
	mail := text
	mail.Advanced, mail.Search = odata.OpEndsWith, odata.SearchPrefix
	properties["mail"] = mail
	for _, name := range userLists {
		properties[name] = odata.Property{Kind: odata.String, Collection: true, Filter: odata.OpEq | odata.OpStartsWith}
	}
	// What the real service has and nobody here can write.
	for _, name := range userAbsent {
		properties[name] = odata.Property{Kind: odata.String}
	}
	return properties
}

var userAbsent = []string{
	"creationType", "externalUserState", "onPremisesDistinguishedName", "onPremisesDomainName", "onPremisesSamAccountName",
	"onPremisesSecurityIdentifier", "onPremisesUserPrincipalName", "securityIdentifier",
}

// userEntity is everything that is known of a user.
func userEntity(u *directory.User) entity {
	e := entity{
		{"id", u.ID.String()}, {"deletedDateTime", nil}, {"accountEnabled", !u.Disabled},
		{"businessPhones", kept(u.Kept, "businessPhones", []string{})}, {"createdDateTime", instant(u.Created)},
		{"displayName", u.Name}, {"employeeOrgData", kept(u.Kept, "employeeOrgData", nil)},
		{"otherMails", kept(u.Kept, "otherMails", []string{})}, {"showInAddressList", kept(u.Kept, "showInAddressList", nil)},
		{"userPrincipalName", u.UPN}, {"userType", kept(u.Kept, "userType", "Member")},
	}
	for _, name := range userTexts {
		e = append(e, property{name, kept(u.Kept, name, nil)})
	}
	for _, name := range userAbsent {
		e = append(e, property{name, nil})
	}
	return e
}

// kept is a member as it was sent; what stands instead when there is none.
func kept(k directory.Kept, name string, instead any) any {
	if raw, ok := k[name]; ok {
		return raw
	}
	return instead
}

// shown is a user as the query asks for him.
func (c *call) shownUser(e entity) entity {
	if c.query.Select != nil {
		return e
	}
	shown := make(entity, 0, len(userDefaults))
	for _, name := range userDefaults {
		value, _ := e.get(name)
		shown = append(shown, property{name, value})
	}
	return shown
}

func (c *call) userLister() lister[directory.User] {
	return lister[directory.User]{
		schema: &userSchema, narrow: narrowing{ids: "id", name: "displayName", aliases: []string{"userPrincipalName"}},
		page: func(s directory.Selection) ([]directory.User, error) {
			return c.api.manage.Users(c.ctx, c.caller, c.tenant, s)
		},
		count: func(s directory.Selection) (int, error) {
			return c.api.manage.CountUsers(c.ctx, c.caller, c.tenant, s)
		},
		cursor: func(u *directory.User) directory.Cursor { return directory.Cursor{Name: u.Name, ID: u.ID} },
		render: func(u *directory.User) (entity, error) { return c.shownUser(userEntity(u)), nil },
		full:   func(u *directory.User) (entity, error) { return userEntity(u), nil },
	}
}

func listUsers(c *call) error {
	values, next, count, err := list(c, c.userLister())
	if err != nil {
		return err
	}
	return c.replyAll("users", values, next, count)
}

func countUsers(c *call) error { return countAll(c, c.userLister()) }

// countAll answers a /$count segment, which needs ConsistencyLevel: eventual.
func countAll[T any](c *call, l lister[T]) error {
	if !c.eventual() {
		return badRequest("Request with $count segment needs the header 'ConsistencyLevel: eventual'.")
	}
	n, err := l.total(c, l.narrow.selection(c.query.Filter))
	if err != nil {
		return err
	}
	return c.replyCount(n)
}

func createUser(c *call) error {
	b, err := c.readBody()
	if err != nil {
		return err
	}
	for _, name := range []string{"accountEnabled", "displayName", "mailNickname", "passwordProfile", "userPrincipalName"} {
		if raw, ok := b[name]; !ok || string(raw) == "null" || string(raw) == `""` {
			return badRequest("A value is required for property '%s' of resource 'User'.", name)
		}
	}
	u := directory.User{Kept: directory.Kept{}}
	update, err := readUser(b, userEntity(&u))
	if err != nil {
		return err
	}
	u.Name, u.UPN, u.Disabled, u.Kept = *update.Name, *update.UPN, *update.Disabled, update.Kept
	made, err := c.api.manage.CreateUser(c.ctx, c.caller, c.tenant, u)
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, "users", c.shownUser(userEntity(made)), "/users/"+made.ID.String())
}

// readUser reads what a caller may write of a user. A passwordProfile is taken
// for the tools that must send one, and thrown away unread: nobody signs in with
// a password here, and no secret is stored.
func readUser(b body, current entity) (u manage.UserUpdate, err error) {
	if raw, ok := b["passwordProfile"]; ok {
		var profile *map[string]json.RawMessage
		if json.Unmarshal(raw, &profile) != nil {
			return u, wrongType("passwordProfile", "microsoft.graph.passwordProfile")
		}
		delete(b, "passwordProfile")
	}
	readOnly := append([]string{"id", "deletedDateTime", "createdDateTime"}, userAbsent...)
	if err := b.readOnly(current, readOnly...); err != nil {
		return u, err
	}
	known := slices.Concat([]string{"displayName", "userPrincipalName", "accountEnabled", "showInAddressList", "employeeOrgData", "userType"}, userTexts, userLists)
	if err := b.refuse("user", known...); err != nil {
		return u, err
	}
	var name, upn string
	if set, err := b.text("displayName", &name); err != nil {
		return u, err
	} else if set {
		u.Name = &name
	}
	if set, err := b.text("userPrincipalName", &upn); err != nil {
		return u, err
	} else if set {
		u.UPN = &upn
	}
	var enabled bool
	if set, err := b.flag("accountEnabled", &enabled); err != nil {
		return u, err
	} else if set {
		disabled := !enabled
		u.Disabled = &disabled
	}
	if u.Kept, err = readKept(b, append([]string{"userType"}, userTexts...), userLists, []string{"showInAddressList"}); err != nil {
		return u, err
	}
	if kind := u.Kept.Text("userType"); kind != "" && kind != "Member" && kind != "Guest" {
		return u, badRequest("Invalid value specified for property 'userType' of resource 'User'.")
	}
	if raw, ok := b["employeeOrgData"]; ok {
		if string(raw) != "null" {
			inner, err := parseBody(raw)
			if err != nil {
				return u, wrongType("employeeOrgData", "microsoft.graph.employeeOrgData")
			}
			if err := inner.refuse("employeeOrgData", "costCenter", "division"); err != nil {
				return u, err
			}
			if _, err := readKept(inner, []string{"costCenter", "division"}, nil, nil); err != nil {
				return u, err
			}
		}
		u.Kept = u.Kept.With("employeeOrgData", raw)
	}
	return u, nil
}

// Bounds of what is kept for clients.
const (
	maxKeptText = 1024 // characters of a text
	maxKeptList = 250  // elements of a list
)

// readKept reads the members that are only kept, by their shape: texts, lists of
// texts and flags. Null and the empty text take a member away.
func readKept(b body, texts, lists, flags []string) (directory.Kept, error) {
	var k directory.Kept
	for _, name := range texts {
		var s string
		set, err := b.text(name, &s)
		switch {
		case err != nil:
			return nil, err
		case !set:
			continue
		case utf8.RuneCountInString(s) > maxKeptText:
			return nil, badRequest("Property '%s' has more than %d characters.", name, maxKeptText)
		case s == "":
			k = k.With(name, json.RawMessage("null"))
		default:
			k = k.With(name, b[name])
		}
	}
	for _, name := range lists {
		var l []string
		set, err := b.texts(name, &l)
		switch {
		case err != nil:
			return nil, err
		case !set:
			continue
		case len(l) > maxKeptList || slices.ContainsFunc(l, func(s string) bool { return utf8.RuneCountInString(s) > maxKeptText }):
			return nil, badRequest("Property '%s' has more than %d elements, or one of more than %d characters.", name, maxKeptList, maxKeptText)
		case len(l) == 0:
			k = k.With(name, json.RawMessage("null"))
		default:
			k = k.With(name, b[name])
		}
	}
	for _, name := range flags {
		var v bool
		if set, err := b.flag(name, &v); err != nil {
			return nil, err
		} else if set && string(b[name]) == "null" {
			k = k.With(name, json.RawMessage("null"))
		} else if set {
			k = k.With(name, json.RawMessage(strconv.FormatBool(v)))
		}
	}
	return k, nil
}

// userParam is the path's user, by object id or principal name. Whoever asks for
// himself needs no more than his own reading.
func (c *call) userParam(i int) (string, error) {
	name, value := keyOf(c.params[i])
	c.named = value
	if name != "" && name != "id" && name != "userprincipalname" {
		return "", notFound(value)
	}
	if id, err := directory.ParseObjectID(value); err == nil && c.caller.Access.User && id == c.caller.Access.Principal && c.op.Method == http.MethodGet {
		c.caller.Need = readSelf
	}
	return value, nil
}

func getUser(c *call) error {
	ref, err := c.userParam(0)
	if err != nil {
		return err
	}
	u, err := c.api.manage.User(c.ctx, c.caller, c.tenant, ref)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, "users", c.shownUser(userEntity(u)), "")
}

func updateUser(c *call) error {
	ref, err := c.userParam(0)
	if err != nil {
		return err
	}
	b, err := c.readBody()
	if err != nil {
		return err
	}
	update, err := c.userUpdate(b)
	if err != nil {
		return err
	}
	if err := c.api.manage.UpdateUser(c.ctx, c.caller, c.tenant, ref, update); err != nil {
		return err
	}
	return c.replyNone()
}

// userUpdate reads a PATCH. What is read-only is judged against the user as he
// is, inside the transaction.
func (c *call) userUpdate(b body) (manage.UserUpdate, error) {
	sent := b.take(append([]string{"id", "deletedDateTime", "createdDateTime"}, userAbsent...)...)
	update, err := readUser(b, nil)
	if err != nil {
		return update, err
	}
	update.If = func(u *directory.User) error {
		e := userEntity(u)
		if err := sent.readOnlyAll(e); err != nil {
			return err
		}
		if c.checkIfMatch(e) == nil {
			return nil
		}
		return c.checkIfMatch(c.shownUser(e))
	}
	return update, nil
}

// take moves members out of the body.
func (b body) take(names ...string) body {
	taken := make(body)
	for _, name := range names {
		if raw, ok := b[name]; ok {
			taken[name] = raw
			delete(b, name)
		}
	}
	return taken
}

// readOnlyAll refuses the members of which one differs from the entity.
func (b body) readOnlyAll(current entity) error {
	sent := make(body, len(b))
	for name, raw := range b {
		sent[name] = raw
	}
	return sent.readOnly(current, sent.names()...)
}

func deleteUser(c *call) error {
	ref, err := c.userParam(0)
	if err != nil {
		return err
	}
	if err := c.api.manage.DeleteUser(c.ctx, c.caller, c.tenant, ref); err != nil {
		return err
	}
	return c.replyNone()
}
