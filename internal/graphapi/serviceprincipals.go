package graphapi

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
)

// What callers need. Source: reference/graph.md, 8.2.
var (
	principalWriters = []string{"Application.ReadWrite.All", "Directory.ReadWrite.All"}
	principalWriting = []string{"Application.ReadWrite.OwnedBy", "Application.ReadWrite.All", "Directory.ReadWrite.All"}

	readPrincipals  = access.Permission{Delegated: applicationReaders, Application: applicationReading, Action: "microsoft.directory/servicePrincipals/standard/read", Member: true}
	createPrincipal = access.Permission{Delegated: principalWriters, Application: principalWriting, Action: "microsoft.directory/servicePrincipals/create"}
	updatePrincipal = access.Permission{Delegated: principalWriters, Application: principalWriting, Action: "microsoft.directory/servicePrincipals/basic/update", Owner: true}
	deletePrincipal = access.Permission{Delegated: principalWriters, Application: principalWriting, Action: "microsoft.directory/servicePrincipals/delete", Owner: true}
)

func (a *API) principalRoutes() []Operation {
	return []Operation{
		{Method: http.MethodGet, Path: "/servicePrincipals", Need: readPrincipals, Query: &principalSchema, Options: listing | expanding, Handle: listPrincipals},
		{Method: http.MethodGet, Path: "/servicePrincipals/$count", Need: readPrincipals, Query: &principalSchema, Options: filtering | searching, Handle: countPrincipals},
		{Method: http.MethodPost, Path: "/servicePrincipals", Need: createPrincipal, Handle: provisionPrincipal},
		{Method: http.MethodGet, Path: "/servicePrincipals/{id}", Need: readPrincipals, Query: &principalSchema, Options: selecting | expanding, Handle: getPrincipal},
		{Method: http.MethodPatch, Path: "/servicePrincipals/{id}", Need: updatePrincipal, Handle: changePrincipal},
		{Method: http.MethodDelete, Path: "/servicePrincipals/{id}", Need: deletePrincipal, Handle: removePrincipal},
	}
}

// The members of a service principal that are only kept.
var (
	samlShape = objectShape(part{"relayState", textShape()}).orNothing()

	principalParts = []part{
		{"alternativeNames", textsShape()},
		{"description", shape{kind: textKind, max: 1024}},
		{"loginUrl", textShape()},
		{"notes", longText()},
		{"notificationEmailAddresses", textsShape()},
		{"preferredSingleSignOnMode", textShape("password", "saml", "notSupported", "oidc", "")},
		{"preferredTokenSigningKeyThumbprint", textShape()},
		{"samlSingleSignOnSettings", samlShape},
		{"tags", textsShape()},
		{"tokenEncryptionKeyId", guidShape()},
	}
)

// principalReadOnly are the members that nobody writes here: they are the
// application's.
var principalReadOnly = []string{
	"id", "deletedDateTime", "appDescription", "appDisplayName", "appId", "applicationTemplateId", "appOwnerOrganizationId", "createdByAppId",
	"createdDateTime", "disabledByMicrosoftStatus", "displayName", "homepage", "info", "isDisabled", "logoutUrl", "oauth2PermissionScopes",
	"appRoles", "addIns", "replyUrls", "resourceSpecificApplicationPermissions", "servicePrincipalNames", "servicePrincipalType", "signInAudience", "verifiedPublisher",
}

var principalSchema = odata.Schema{
	Type:        "servicePrincipal",
	Properties:  principalProperties(),
	Navigations: map[string]odata.Navigation{"owners": {Type: &objectSchema, Expand: true}},
}

func principalProperties() map[string]odata.Property {
	text := odata.Property{Kind: odata.String}
	m := map[string]odata.Property{
		"id":                                     {Kind: odata.GUID, Filter: odata.OpEq},
		"appId":                                  {Kind: odata.GUID, Filter: odata.OpEq},
		"deletedDateTime":                        {Kind: odata.Time},
		"createdDateTime":                        {Kind: odata.Time},
		"accountEnabled":                         {Kind: odata.Bool, Filter: odata.OpEq},
		"appRoleAssignmentRequired":              {Kind: odata.Bool},
		"isDisabled":                             {Kind: odata.Bool},
		"appOwnerOrganizationId":                 {Kind: odata.GUID, Filter: odata.OpEq},
		"displayName":                            {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith | odata.OpGe | odata.OpLe, Sort: odata.Always, Search: odata.SearchTokens},
		"servicePrincipalNames":                  {Kind: odata.String, Collection: true, Filter: odata.OpEq | odata.OpStartsWith},
		"servicePrincipalType":                   {Kind: odata.String, Filter: odata.OpEq},
		"signInAudience":                         {Kind: odata.String, Filter: odata.OpEq},
		"createdByAppId":                         {Kind: odata.GUID},
		"applicationTemplateId":                  {Kind: odata.GUID, Filter: odata.OpEq},
		"replyUrls":                              {Kind: odata.String, Collection: true},
		"keyCredentials":                         {Kind: odata.Complex, Type: "keyCredential", Collection: true, Members: map[string]odata.Property{"keyId": {Kind: odata.GUID}}},
		"passwordCredentials":                    {Kind: odata.Complex, Type: "passwordCredential", Collection: true, Members: map[string]odata.Property{"keyId": {Kind: odata.GUID}}},
		"appRoles":                               {Kind: odata.Complex, Type: "appRole", Collection: true, Members: map[string]odata.Property{"id": {Kind: odata.GUID}, "value": {Kind: odata.String}}},
		"oauth2PermissionScopes":                 {Kind: odata.Complex, Type: "permissionScope", Collection: true, Members: map[string]odata.Property{"id": {Kind: odata.GUID}, "value": {Kind: odata.String}}},
		"info":                                   infoShape.schema(),
		"addIns":                                 addInShape.schema(),
		"verifiedPublisher":                      {Kind: odata.Complex, Type: "verifiedPublisher", Members: map[string]odata.Property{"displayName": {Kind: odata.String}}},
		"resourceSpecificApplicationPermissions": {Kind: odata.Complex, Type: "resourceSpecificPermission", Collection: true, Members: map[string]odata.Property{"id": {Kind: odata.GUID}}},
	}
	for _, name := range []string{"appDescription", "appDisplayName", "disabledByMicrosoftStatus", "homepage", "logoutUrl"} {
		m[name] = text
	}
	for _, p := range principalParts {
		m[p.name] = p.shape.schema()
	}
	for _, name := range []string{"alternativeNames", "tags"} {
		p := m[name]
		p.Filter = odata.OpEq | odata.OpStartsWith
		m[name] = p
	}
	return m
}

// principalEntity is a service principal with every member. What it has from its
// application is read there each time.
func principalEntity(v *manage.PrincipalView) entity {
	k := func(name string) any { return keptAs(v.Kept, name, principalParts) }
	var (
		owner, homepage, logout, description any = v.HomeTenant.String(), nil, nil, nil
		audience                             any
		alternative                          = k("alternativeNames")
		roles, scopes                        = []entity{}, []entity{}
		info, addIns                         = infoShape.absent, addInShape.absent
		replies                              = []string{}
		disabled                             any
	)
	switch {
	case v.FirstParty != nil:
		owner, audience = v.FirstParty.Owner.String(), string(directory.MultiTenant)
		roles, scopes = roleEntities(v.FirstParty.AppRoles), scopeEntities(v.FirstParty.Scopes)
	case v.Kind == directory.IdentityPrincipal:
		owner = nil
		if m := v.Identity; m != nil {
			explicit := "isExplicit=True"
			if m.Kind == directory.SystemAssigned {
				explicit = "isExplicit=False"
			}
			alternative = []string{explicit, m.ResourceID}
		}
	case v.Application != nil:
		a := v.Application
		audience = string(a.Audience)
		roles, scopes = roleEntities(a.AppRoles), scopeEntities(a.Scopes)
		info, addIns, description = keptAs(a.Kept, "info", applicationParts), keptAs(a.Kept, "addIns", applicationParts), keptAs(a.Kept, "description", applicationParts)
		if a.Disabled {
			disabled = true
		}
		var web struct {
			HomePageURL  *string  `json:"homePageUrl"`
			LogoutURL    *string  `json:"logoutUrl"`
			RedirectURIs []string `json:"redirectUris"`
		}
		if raw, ok := a.Kept["web"]; ok && json.Unmarshal(raw, &web) == nil {
			replies = orEmpty(web.RedirectURIs)
			if web.HomePageURL != nil {
				homepage = *web.HomePageURL
			}
			if web.LogoutURL != nil {
				logout = *web.LogoutURL
			}
		}
	}
	return entity{
		{"id", v.ID.String()}, {"deletedDateTime", nil}, {"accountEnabled", !v.Disabled}, {"alternativeNames", alternative},
		{"appDisplayName", v.Name}, {"appDescription", description}, {"appId", v.ClientID.String()}, {"applicationTemplateId", nil},
		{"appOwnerOrganizationId", owner}, {"appRoleAssignmentRequired", v.AssignmentRequired}, {"createdByAppId", nil}, {"createdDateTime", instant(v.Created)},
		{"description", k("description")}, {"disabledByMicrosoftStatus", nil}, {"displayName", v.Name}, {"homepage", homepage},
		{"isDisabled", disabled}, {"loginUrl", k("loginUrl")}, {"logoutUrl", logout}, {"notes", k("notes")},
		{"notificationEmailAddresses", k("notificationEmailAddresses")}, {"preferredSingleSignOnMode", k("preferredSingleSignOnMode")},
		{"preferredTokenSigningKeyThumbprint", k("preferredTokenSigningKeyThumbprint")}, {"replyUrls", replies},
		{"servicePrincipalNames", orEmpty(v.Names)}, {"servicePrincipalType", string(v.Kind)}, {"signInAudience", audience},
		{"tags", k("tags")}, {"tokenEncryptionKeyId", k("tokenEncryptionKeyId")}, {"samlSingleSignOnSettings", k("samlSingleSignOnSettings")},
		{"addIns", addIns}, {"appRoles", roles}, {"info", info}, {"keyCredentials", []entity{}}, {"oauth2PermissionScopes", scopes},
		{"passwordCredentials", []entity{}}, {"resourceSpecificApplicationPermissions", []entity{}}, {"verifiedPublisher", verifiedPublisher},
	}
}

// principalKey is the path's service principal: by object id or appId.
func (c *call) principalKey(i int) (manage.Key, error) {
	name, value := keyOf(c.params[i])
	c.named = value
	var key manage.Key
	var err error
	switch name {
	case "", "id":
		key.ID, err = directory.ParseObjectID(value)
	case "appid":
		key.ClientID, err = directory.ParseClientID(value)
	default:
		return key, badRequest("The request URI is not valid: a service principal has no key '%s'.", printable(name))
	}
	if err != nil {
		return key, notFound(value)
	}
	return key, nil
}

func (c *call) principalLister() lister[manage.PrincipalView] {
	return lister[manage.PrincipalView]{
		schema: &principalSchema, narrow: narrowing{ids: "id", clientIDs: "appId", name: "displayName"},
		page: func(s directory.Selection) ([]manage.PrincipalView, error) {
			s = c.byName(s)
			return c.api.manage.Principals(c.ctx, c.caller, c.tenant, s)
		},
		count: func(s directory.Selection) (int, error) {
			return c.api.manage.CountPrincipals(c.ctx, c.caller, c.tenant, s)
		},
		cursor: func(v *manage.PrincipalView) directory.Cursor { return directory.Cursor{Name: v.Name, ID: v.ID} },
		render: func(v *manage.PrincipalView) (entity, error) { return c.expandPrincipal(principalEntity(v), v.ID) },
		full:   func(v *manage.PrincipalView) (entity, error) { return principalEntity(v), nil },
	}
}

// byName lets the index of names answer what every client asks first: whose name
// is this client id? Names are kept as they were written, so that only client
// ids, which are in one form, can be looked up without regard to case.
func (c *call) byName(s directory.Selection) directory.Selection {
	for _, term := range odata.Conjuncts(c.query.Filter) {
		path, value, ok := odata.HasElement(term)
		if !ok || path.String() != "servicePrincipalNames" || s.ClientIDs != nil {
			continue
		}
		if id, err := directory.ParseClientID(value.String); err == nil {
			s.ClientIDs = []directory.ClientID{id}
		}
	}
	return s
}

func (c *call) expandPrincipal(e entity, id directory.ObjectID) (entity, error) {
	for _, x := range c.query.Expand {
		owners, err := c.api.manage.Owners(c.ctx, c.caller, c.tenant, directory.PrincipalObject, manage.Key{ID: id})
		if err != nil {
			return nil, err
		}
		shown, err := c.objectEntities(owners[:min(len(owners), mostExpanded)])
		if err != nil {
			return nil, err
		}
		e = e.with(x.Name, pickAll(shown, x.Select))
	}
	return e, nil
}

func listPrincipals(c *call) error {
	values, next, count, err := list(c, c.principalLister())
	if err != nil {
		return err
	}
	return c.replyAll("servicePrincipals", values, next, count)
}

func countPrincipals(c *call) error { return countAll(c, c.principalLister()) }

func getPrincipal(c *call) error {
	key, err := c.principalKey(0)
	if err != nil {
		return err
	}
	v, err := c.api.manage.PrincipalOf(c.ctx, c.caller, c.tenant, key)
	if err != nil {
		return err
	}
	e, err := c.expandPrincipal(principalEntity(v), v.ID)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, "servicePrincipals", e, "")
}

func provisionPrincipal(c *call) error {
	b, err := c.readBody()
	if err != nil {
		return err
	}
	owners, err := b.bound("owners")
	if err != nil {
		return err
	}
	var text string
	if _, err := b.text("appId", &text); err != nil {
		return err
	}
	delete(b, "appId")
	id, err := directory.ParseClientID(text)
	if err != nil {
		return badRequest("The appId '%s' of the service principal does not reference a valid application object.", printable(text))
	}
	c.named = id.String()
	v, err := c.api.manage.ProvisionPrincipal(c.ctx, c.caller, c.tenant, id, owners, func(v *manage.PrincipalView) error {
		offered := cloneBody(b)
		if err := offered.readOnly(principalEntity(v), slices.DeleteFunc(slices.Clone(principalReadOnly), func(n string) bool { return n == "id" })...); err != nil {
			return err
		}
		if err := offered.readOnly(entity{}, "id"); err != nil {
			return err
		}
		return readPrincipal(offered, &v.ServicePrincipal)
	})
	if err != nil {
		return applicationFault(err)
	}
	return c.reply(http.StatusCreated, "servicePrincipals", principalEntity(v), "/servicePrincipals/"+v.ID.String())
}

// readPrincipal reads what may be written of a service principal.
func readPrincipal(b body, p *directory.ServicePrincipal) error {
	for _, name := range []string{"passwordCredentials", "keyCredentials"} {
		if raw, ok := b[name]; ok {
			if list, err := objects(raw, name); err != nil || len(list) > 0 {
				return noPasswords()
			}
			delete(b, name)
		}
	}
	enabled := !p.Disabled
	if set, err := b.flag("accountEnabled", &enabled); err != nil {
		return err
	} else if set {
		p.Disabled = !enabled
	}
	if _, err := b.flag("appRoleAssignmentRequired", &p.AssignmentRequired); err != nil {
		return err
	}
	delete(b, "accountEnabled")
	delete(b, "appRoleAssignmentRequired")
	var err error
	if p.Kept, err = b.keep(p.Kept, principalParts); err != nil {
		return err
	}
	return b.refuse("servicePrincipal")
}

func changePrincipal(c *call) error {
	key, err := c.principalKey(0)
	if err != nil {
		return err
	}
	b, err := c.readBody()
	if err != nil {
		return err
	}
	err = c.api.manage.ChangePrincipal(c.ctx, c.caller, c.tenant, key, func(v *manage.PrincipalView) error {
		current := principalEntity(v)
		if err := c.checkIfMatch(current); err != nil {
			return err
		}
		offered := cloneBody(b)
		if _, ok := offered["owners@odata.bind"]; ok {
			return badRequest("Owners are added through /servicePrincipals/{id}/owners/$ref.")
		}
		if err := offered.readOnly(current, principalReadOnly...); err != nil {
			return err
		}
		return readPrincipal(offered, &v.ServicePrincipal)
	})
	if err != nil {
		return applicationFault(err)
	}
	return c.replyNone()
}

func removePrincipal(c *call) error {
	key, err := c.principalKey(0)
	if err != nil {
		return err
	}
	err = c.api.manage.DeletePrincipal(c.ctx, c.caller, c.tenant, key, func(v *manage.PrincipalView) error {
		return c.checkIfMatch(principalEntity(v))
	})
	if err != nil {
		return err
	}
	return c.replyNone()
}
