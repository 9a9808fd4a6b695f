package graphapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
	"github.com/avouch/avouch/internal/problem"
)

// What callers need. Source: reference/graph.md, 8.2.
var (
	applicationReaders = []string{"Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	applicationReading = []string{"Application.Read.All", "Application.ReadWrite.OwnedBy", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	applicationWriters = []string{"Application.ReadWrite.All"}
	applicationWriting = []string{"Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"}

	readApplications  = access.Permission{Delegated: applicationReaders, Application: applicationReading, Action: "microsoft.directory/applications/standard/read", Member: true}
	createApplication = access.Permission{Delegated: applicationWriters, Application: applicationWriting, Action: "microsoft.directory/applications/create"}
	updateApplication = access.Permission{Delegated: applicationWriters, Application: applicationWriting, Action: "microsoft.directory/applications/basic/update", Owner: true}
	deleteApplication = access.Permission{Delegated: applicationWriters, Application: applicationWriting, Action: "microsoft.directory/applications/delete", Owner: true}
	// A change may bring keys, and so asks for what credentials ask for.
	updateCredentials = access.Permission{Delegated: applicationWriters, Application: applicationWriting, Action: "microsoft.directory/applications/credentials/update", Owner: true}
)

func (a *API) applicationRoutes() []Operation {
	single := selecting | expanding
	return []Operation{
		{Method: http.MethodGet, Path: "/applications", Need: readApplications, Query: &applicationSchema, Options: listing | expanding, Handle: listApplications},
		{Method: http.MethodGet, Path: "/applications/$count", Need: readApplications, Query: &applicationSchema, Options: filtering | searching, Handle: countApplications},
		{Method: http.MethodPost, Path: "/applications", Need: createApplication, Handle: registerApplication},
		{Method: http.MethodGet, Path: "/applications/{id}", Need: readApplications, Query: &applicationSchema, Options: single, Handle: getApplication},
		{Method: http.MethodPatch, Path: "/applications/{id}", Need: updateApplication, Handle: changeApplication},
		{Method: http.MethodDelete, Path: "/applications/{id}", Need: deleteApplication, Handle: removeApplication},
	}
}

// The members of an application that are only kept, by their shapes. Source: the
// resource type application of Microsoft Graph v1.0.
var (
	webShape = objectShape(
		part{"homePageUrl", textShape()}, part{"logoutUrl", textShape()}, part{"redirectUris", textsShape()},
		part{"implicitGrantSettings", objectShape(part{"enableAccessTokenIssuance", firmFlag()}, part{"enableIdTokenIssuance", firmFlag()})},
		part{"redirectUriSettings", objectsShape(part{"uri", textShape()}, part{"index", numberShape()})},
	)
	redirectShape = objectShape(part{"redirectUris", textsShape()})
	infoShape     = objectShape(
		part{"logoUrl", textShape()}, part{"marketingUrl", textShape()}, part{"privacyStatementUrl", textShape()},
		part{"supportUrl", textShape()}, part{"termsOfServiceUrl", textShape()},
	)
	parentalShape = objectShape(
		part{"countriesBlockedForMinors", textsShape()},
		part{"legalAgeGroupRule", shape{kind: textKind, max: maxText, absent: "Allow",
			values: []string{"Allow", "RequireConsentForPrivacyServices", "RequireConsentForMinors", "RequireConsentForKids", "BlockMinors"}}},
	)
	claimShape = objectsShape(
		part{"additionalProperties", textsShape()}, part{"essential", firmFlag()}, part{"name", textShape()}, part{"source", textShape()},
	)
	claimsShape  = objectShape(part{"accessToken", claimShape}, part{"idToken", claimShape}, part{"saml2Token", claimShape}).orNothing()
	accessShape  = objectsShape(part{"resourceAppId", textShape()}, part{"resourceAccess", objectsShape(part{"id", guidShape()}, part{"type", textShape("Scope", "Role")})})
	addInShape   = objectsShape(part{"id", guidShape()}, part{"type", textShape()}, part{"properties", objectsShape(part{"key", textShape()}, part{"value", textShape()})})
	lockShape    = objectShape(part{"allProperties", flagShape()}, part{"credentialsWithUsageSign", flagShape()}, part{"credentialsWithUsageVerify", flagShape()}, part{"identifierUris", flagShape()}, part{"isEnabled", firmFlag()}, part{"tokenEncryptionKeyId", flagShape()}).orNothing()
	requestShape = objectShape(part{"isSignedRequestRequired", firmFlag()}, part{"allowedWeakAlgorithms", textShape("rsaSha1", "unknownFutureValue")}).orNothing()
	// apiShape is what is kept of api; its scopes and token version are the
	// platform's own.
	apiShape = objectShape(
		part{"acceptMappedClaims", flagShape()}, part{"knownClientApplications", guidsShape()},
		part{"preAuthorizedApplications", objectsShape(part{"appId", guidShape()}, part{"delegatedPermissionIds", guidsShape()})},
	)

	applicationParts = []part{
		{"description", shape{kind: textKind, max: 1024}},
		{"groupMembershipClaims", textShape()},
		{"isDeviceOnlyAuthSupported", flagShape()},
		{"isFallbackPublicClient", flagShape()},
		{"notes", longText()},
		{"serviceManagementReference", textShape()},
		{"tags", textsShape()},
		{"tokenEncryptionKeyId", guidShape()},
		{"samlMetadataUrl", textShape()},
		{"defaultRedirectUri", textShape()},
		{"optionalClaims", claimsShape},
		{"addIns", addInShape},
		{"info", infoShape},
		{"parentalControlSettings", parentalShape},
		{"publicClient", redirectShape},
		{"requestSignatureVerification", requestShape},
		{"requiredResourceAccess", accessShape},
		{"servicePrincipalLockConfiguration", lockShape},
		{"web", webShape},
		{"spa", redirectShape},
		{"oauth2RequirePostResponse", flagShape()},
	}

	verifiedPublisher = entity{{"displayName", nil}, {"verifiedPublisherId", nil}, {"addedDateTime", nil}}
)

// applicationReadOnly are the members that nobody writes.
var applicationReadOnly = []string{
	"id", "deletedDateTime", "appId", "applicationTemplateId", "disabledByMicrosoftStatus", "createdDateTime", "publisherDomain",
	"certification", "verifiedPublisher", "createdByAppId",
}

var applicationSchema = odata.Schema{
	Type:       "application",
	Properties: applicationProperties(),
	Navigations: map[string]odata.Navigation{
		"owners": {Type: &objectSchema, Expand: true}, "federatedIdentityCredentials": {Type: &federatedSchema, Expand: true},
	},
}

func applicationProperties() map[string]odata.Property {
	m := map[string]odata.Property{
		"id":                        {Kind: odata.GUID, Filter: odata.OpEq},
		"deletedDateTime":           {Kind: odata.Time},
		"appId":                     {Kind: odata.GUID, Filter: odata.OpEq},
		"applicationTemplateId":     {Kind: odata.GUID, Filter: odata.OpEq},
		"disabledByMicrosoftStatus": {Kind: odata.String},
		"createdByAppId":            {Kind: odata.GUID},
		"createdDateTime":           {Kind: odata.Time, Filter: odata.OpEq | odata.OpGe | odata.OpLe},
		"displayName":               {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith | odata.OpGe | odata.OpLe, Sort: odata.Always, Search: odata.SearchTokens},
		"identifierUris":            {Kind: odata.StringExact, Collection: true, Filter: odata.OpEq | odata.OpStartsWith, Advanced: odata.OpCount},
		"isDisabled":                {Kind: odata.Bool},
		"publisherDomain":           {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith},
		"signInAudience":            {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith},
		"uniqueName":                {Kind: odata.StringExact, Filter: odata.OpEq},
		"certification":             {Kind: odata.String},
		"api": {Kind: odata.Complex, Type: "apiApplication", Members: map[string]odata.Property{
			"acceptMappedClaims": {Kind: odata.Bool}, "knownClientApplications": {Kind: odata.String, Collection: true},
			"requestedAccessTokenVersion": {Kind: odata.Int}, "oauth2PermissionScopes": {Kind: odata.Complex, Type: "permissionScope", Collection: true, Members: map[string]odata.Property{"id": {Kind: odata.GUID}, "value": {Kind: odata.String}}},
			"preAuthorizedApplications": {Kind: odata.Complex, Type: "preAuthorizedApplication", Collection: true, Members: map[string]odata.Property{"appId": {Kind: odata.GUID}}},
		}},
		"appRoles":            {Kind: odata.Complex, Type: "appRole", Collection: true, Members: map[string]odata.Property{"id": {Kind: odata.GUID}, "value": {Kind: odata.String}}},
		"keyCredentials":      {Kind: odata.Complex, Type: "keyCredential", Collection: true, Members: map[string]odata.Property{"keyId": {Kind: odata.GUID}}},
		"passwordCredentials": {Kind: odata.Complex, Type: "passwordCredential", Collection: true, Members: map[string]odata.Property{"keyId": {Kind: odata.GUID}}},
		"verifiedPublisher":   {Kind: odata.Complex, Type: "verifiedPublisher", Members: map[string]odata.Property{"displayName": {Kind: odata.String}}},
	}
	for _, p := range applicationParts {
		m[p.name] = p.shape.schema()
	}
	tags := m["tags"]
	tags.Filter, tags.Search = odata.OpEq|odata.OpStartsWith, odata.SearchTokens
	m["tags"] = tags
	return m
}

// keptAs is a kept member in the form of its shape.
func keptAs(k directory.Kept, name string, parts []part) any {
	for _, p := range parts {
		if p.name == name {
			return kept(k, name, p.shape.absent)
		}
	}
	return nil
}

// applicationEntity is an application with every member, in the order of the
// real service (reference/graph.md, 3.1). Keys come without their certificates.
func applicationEntity(a *directory.Application, domain string) entity {
	k := func(name string) any { return keptAs(a.Kept, name, applicationParts) }
	keys := make([]entity, len(a.Keys))
	for i := range a.Keys {
		keys[i] = keyEntity(&a.Keys[i], false)
	}
	var disabled any
	if a.Disabled {
		disabled = true
	}
	return entity{
		{"id", a.ID.String()}, {"deletedDateTime", nil}, {"appId", a.ClientID.String()}, {"applicationTemplateId", nil},
		{"disabledByMicrosoftStatus", nil}, {"createdByAppId", nil}, {"createdDateTime", instant(a.Created)}, {"displayName", a.Name},
		{"description", k("description")}, {"groupMembershipClaims", k("groupMembershipClaims")}, {"identifierUris", orEmpty(a.IdentifierURIs)},
		{"isDeviceOnlyAuthSupported", k("isDeviceOnlyAuthSupported")}, {"isDisabled", disabled}, {"isFallbackPublicClient", k("isFallbackPublicClient")},
		{"notes", k("notes")}, {"publisherDomain", orNull(domain)}, {"serviceManagementReference", k("serviceManagementReference")},
		{"signInAudience", string(a.Audience)}, {"tags", k("tags")}, {"tokenEncryptionKeyId", k("tokenEncryptionKeyId")},
		{"uniqueName", orNull(a.UniqueName)}, {"samlMetadataUrl", k("samlMetadataUrl")}, {"defaultRedirectUri", k("defaultRedirectUri")},
		{"certification", nil}, {"optionalClaims", k("optionalClaims")}, {"requestSignatureVerification", k("requestSignatureVerification")},
		{"addIns", k("addIns")}, {"api", apiEntity(a)}, {"appRoles", roleEntities(a.AppRoles)}, {"info", k("info")}, {"keyCredentials", keys},
		{"parentalControlSettings", k("parentalControlSettings")}, {"passwordCredentials", []entity{}}, {"publicClient", k("publicClient")},
		{"requiredResourceAccess", k("requiredResourceAccess")}, {"verifiedPublisher", verifiedPublisher}, {"web", k("web")},
		{"servicePrincipalLockConfiguration", k("servicePrincipalLockConfiguration")}, {"oauth2RequirePostResponse", k("oauth2RequirePostResponse")},
		{"spa", k("spa")},
	}
}

func apiEntity(a *directory.Application) entity {
	var version any
	if a.TokenVersion != 0 {
		version = int(a.TokenVersion)
	}
	var stored map[string]json.RawMessage
	if raw, ok := a.Kept["api"]; ok && json.Unmarshal(raw, &stored) != nil {
		stored = nil
	}
	member := func(name string) any {
		if raw, ok := stored[name]; ok {
			return raw
		}
		absent, _ := apiShape.absent.(entity).get(name)
		return absent
	}
	return entity{
		{"acceptMappedClaims", member("acceptMappedClaims")}, {"knownClientApplications", member("knownClientApplications")},
		{"requestedAccessTokenVersion", version}, {"oauth2PermissionScopes", scopeEntities(a.Scopes)},
		{"preAuthorizedApplications", member("preAuthorizedApplications")},
	}
}

func roleEntities(roles []directory.AppRole) []entity {
	all := make([]entity, len(roles))
	for i, r := range roles {
		members := r.Members
		if members == nil {
			members = []string{"Application"}
		}
		all[i] = entity{
			{"allowedMemberTypes", members}, {"description", orNull(r.Description)}, {"displayName", r.DisplayName},
			{"id", r.ID.String()}, {"isEnabled", !r.Disabled}, {"origin", "Application"}, {"value", orNull(r.Value)},
		}
	}
	return all
}

func scopeEntities(scopes []directory.PermissionScope) []entity {
	all := make([]entity, len(scopes))
	for i, s := range scopes {
		all[i] = entity{
			{"adminConsentDescription", orNull(s.AdminConsentDescription)}, {"adminConsentDisplayName", orNull(s.AdminConsentDisplayName)},
			{"id", s.ID.String()}, {"isEnabled", !s.Disabled}, {"type", s.Kind}, {"userConsentDescription", orNull(s.UserConsentDescription)},
			{"userConsentDisplayName", orNull(s.UserConsentDisplayName)}, {"value", s.Value},
		}
	}
	return all
}

// applicationKey is the path's application: by object id, appId or uniqueName.
func (c *call) applicationKey(i int) (manage.Key, error) {
	name, value := keyOf(c.params[i])
	c.named = value
	var key manage.Key
	var err error
	switch name {
	case "", "id":
		key.ID, err = directory.ParseObjectID(value)
	case "appid":
		key.ClientID, err = directory.ParseClientID(value)
	case "uniquename":
		key.UniqueName = value
	default:
		return key, badRequest("The request URI is not valid: an application has no key '%s'.", printable(name))
	}
	if err != nil {
		return key, notFound(value)
	}
	return key, nil
}

func (c *call) domain() (string, error) { return c.api.manage.PublisherDomain(c.ctx, c.tenant) }

func (c *call) applicationLister() (lister[directory.Application], error) {
	domain, err := c.domain()
	return lister[directory.Application]{
		schema: &applicationSchema, narrow: narrowing{ids: "id", clientIDs: "appId", name: "displayName", aliases: []string{"identifierUris"}},
		page: func(s directory.Selection) ([]directory.Application, error) {
			return c.api.manage.Applications(c.ctx, c.caller, c.tenant, s)
		},
		count: func(s directory.Selection) (int, error) {
			return c.api.manage.CountApplications(c.ctx, c.caller, c.tenant, s)
		},
		cursor: func(a *directory.Application) directory.Cursor { return directory.Cursor{Name: a.Name, ID: a.ID} },
		render: func(a *directory.Application) (entity, error) {
			return c.expandApplication(applicationEntity(a, domain), a)
		},
		full: func(a *directory.Application) (entity, error) { return applicationEntity(a, domain), nil },
	}, err
}

// mostExpanded is how many objects an expanded navigation shows.
const mostExpanded = 20

func (c *call) expandApplication(e entity, a *directory.Application) (entity, error) {
	if len(c.query.Expand) > 1 {
		return nil, unsupportedQuery("One navigation property can be expanded at a time.")
	}
	for _, x := range c.query.Expand {
		key := manage.Key{ID: a.ID}
		var shown []entity
		switch x.Name {
		case "owners":
			owners, err := c.api.manage.Owners(c.ctx, c.caller, c.tenant, directory.ApplicationObject, key)
			if err != nil {
				return nil, err
			}
			if shown, err = c.objectEntities(owners); err != nil {
				return nil, err
			}
		case "federatedIdentityCredentials":
			all, _, err := c.api.manage.ApplicationCredentials(c.ctx, c.caller, c.tenant, key)
			if err != nil {
				return nil, err
			}
			for i := range all {
				shown = append(shown, federatedEntity(&all[i], c.version))
			}
		}
		e = e.with(x.Name, pickAll(shown[:min(len(shown), mostExpanded)], x.Select))
	}
	return e, nil
}

func pickAll(all []entity, names []string) []entity {
	picked := make([]entity, len(all))
	for i, e := range all {
		picked[i] = e.pick(names)
	}
	return picked
}

func listApplications(c *call) error {
	l, err := c.applicationLister()
	if err != nil {
		return err
	}
	values, next, count, err := list(c, l)
	if err != nil {
		return err
	}
	return c.replyAll("applications", values, next, count)
}

func countApplications(c *call) error {
	l, err := c.applicationLister()
	if err != nil {
		return err
	}
	return countAll(c, l)
}

func getApplication(c *call) error {
	key, err := c.applicationKey(0)
	if err != nil {
		return err
	}
	a, err := c.api.manage.Application(c.ctx, c.caller, c.tenant, key)
	if err != nil {
		return err
	}
	domain, err := c.domain()
	if err != nil {
		return err
	}
	e, err := c.expandApplication(applicationEntity(a, domain), a)
	if err != nil {
		return err
	}
	if slices.Contains(c.query.Select, "keyCredentials") {
		keys := make([]entity, len(a.Keys))
		for i := range a.Keys {
			keys[i] = keyEntity(&a.Keys[i], true)
		}
		e = e.with("keyCredentials", keys)
	}
	return c.reply(http.StatusOK, "applications", e, "")
}

// newApplication is an application of which nothing is said but its name.
func newApplication() directory.Application {
	// What an unstated audience means was recorded from the real service
	// (reference/graph.md, 3.1); the token version goes with it.
	return directory.Application{Audience: directory.MultiTenantAndPersons}
}

func registerApplication(c *call) error {
	b, err := c.readBody()
	if err != nil {
		return err
	}
	a, owners, err := c.readNewApplication(b)
	if err != nil {
		return err
	}
	made, err := c.api.manage.RegisterApplication(c.ctx, c.caller, c.tenant, a, owners)
	if err != nil {
		return applicationFault(err)
	}
	return c.replyCreated(made)
}

func (c *call) replyCreated(made *directory.Application) error {
	domain, err := c.domain()
	if err != nil {
		return err
	}
	return c.reply(http.StatusCreated, "applications", applicationEntity(made, domain), "/applications/"+made.ID.String())
}

func (c *call) readNewApplication(b body) (directory.Application, []directory.ObjectID, error) {
	owners, err := b.bound("owners")
	if err != nil {
		return directory.Application{}, nil, err
	}
	if err := b.readOnly(entity{}, applicationReadOnly...); err != nil {
		return directory.Application{}, nil, err
	}
	a := newApplication()
	if _, named := b["displayName"]; !named {
		return a, nil, badRequest("A value without a type name was found and no expected type is available: property 'displayName' is required.")
	}
	_, audience := b["signInAudience"]
	err = readApplication(b, &a, !audience)
	return a, owners, err
}

func changeApplication(c *call) error {
	key, err := c.applicationKey(0)
	if err != nil {
		return err
	}
	b, err := c.readBody()
	if err != nil {
		return err
	}
	if err := c.credentialsNeeded(b); err != nil {
		return err
	}
	domain, err := c.domain()
	if err != nil {
		return err
	}
	edit := func(a *directory.Application) error {
		current := applicationEntity(a, domain)
		if err := c.checkIfMatch(current); err != nil {
			return err
		}
		// The body is read anew each time: what is read is taken from it.
		offered := cloneBody(b)
		delete(offered, "owners")
		if _, ok := offered["owners@odata.bind"]; ok {
			return badRequest("Owners are added through /applications/{id}/owners/$ref.")
		}
		if err := offered.readOnly(current, applicationReadOnly...); err != nil {
			return err
		}
		return readApplication(offered, a, false)
	}
	if key.UniqueName == "" || !createIfMissing(c.r) {
		if _, err := c.api.manage.ChangeApplication(c.ctx, c.caller, c.tenant, key, edit); err != nil {
			return applicationFault(err)
		}
		return c.replyNone()
	}
	a, created, err := c.api.manage.PutApplication(c.ctx, c.caller, c.tenant, key.UniqueName, createApplication, edit,
		func() (directory.Application, []directory.ObjectID, error) {
			if len(c.r.Header.Values("If-Match")) > 0 {
				return directory.Application{}, nil, preconditionFailed()
			}
			offered := cloneBody(b)
			if raw, ok := offered["uniqueName"]; ok && !sameJSON(raw, key.UniqueName) {
				return directory.Application{}, nil, badRequest("Property 'uniqueName' differs from the name in the address.")
			}
			return c.readNewApplication(offered)
		})
	if err != nil {
		return applicationFault(err)
	}
	if created {
		return c.replyCreated(a)
	}
	return c.replyNone()
}

// credentialsNeeded asks for more where a change brings credentials.
func (c *call) credentialsNeeded(b body) error {
	if _, ok := b["keyCredentials"]; ok {
		c.caller.Need = updateCredentials
	}
	return nil
}

func cloneBody(b body) body {
	clone := make(body, len(b))
	for name, raw := range b {
		clone[name] = raw
	}
	return clone
}

// createIfMissing reports whether the caller wants what is not there to be made.
func createIfMissing(r *http.Request) bool {
	for _, v := range r.Header.Values("Prefer") {
		for one := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(one), "create-if-missing") {
				return true
			}
		}
	}
	return false
}

// noPasswords is the answer to whoever wants a client secret (design decision 2).
func noPasswords() *fault {
	return badRequest("Applications have no client secrets here. Give the application a federated identity credential (POST /applications/{id}/federatedIdentityCredentials) that trusts a managed identity, or a certificate (keyCredentials).")
}

// readApplication reads what may be written of an application.
func readApplication(b body, a *directory.Application, unstatedAudience bool) error {
	// Step 1: What has an address of its own, or is nowhere offered.
	if raw, ok := b["passwordCredentials"]; ok {
		if list, err := objects(raw, "passwordCredentials"); err != nil || len(list) > 0 {
			return noPasswords()
		}
		delete(b, "passwordCredentials")
	}
	if _, ok := b["federatedIdentityCredentials"]; ok {
		return badRequest("Federated identity credentials cannot be written with their application: POST each to /applications/{id}/federatedIdentityCredentials.")
	}

	// Step 2: What the platform reads.
	var text string
	if set, err := b.text("displayName", &text); err != nil {
		return err
	} else if set {
		a.Name = text
	}
	if set, err := b.text("uniqueName", &text); err != nil {
		return err
	} else if set {
		if len(text) > 120 || strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return badRequest("Property 'uniqueName' has at most 120 characters, none of them a control character.")
		}
		a.UniqueName = text
	}
	if set, err := b.text("signInAudience", &text); err != nil {
		return err
	} else if set {
		audience, ok := directory.ParseAudience(text)
		if !ok {
			return badRequest("Property signInAudience has the invalid value '%s': it is AzureADMyOrg, AzureADMultipleOrgs, AzureADandPersonalMicrosoftAccount or PersonalMicrosoftAccount.", printable(text))
		}
		a.Audience = audience
	}
	if _, err := b.texts("identifierUris", &a.IdentifierURIs); err != nil {
		return err
	}
	if _, err := b.flag("isDisabled", &a.Disabled); err != nil {
		return err
	}
	if raw, ok := b["appRoles"]; ok {
		roles, err := parseAppRoles(raw)
		if err != nil {
			return err
		}
		a.AppRoles = roles
	}
	versionStated := false
	if raw, ok := b["api"]; ok {
		var err error
		if versionStated, err = readAPI(raw, a); err != nil {
			return err
		}
	}
	if raw, ok := b["keyCredentials"]; ok {
		keys, err := readKeys(raw, a.Keys)
		if err != nil {
			return err
		}
		a.Keys = keys
	}
	for _, name := range []string{"displayName", "uniqueName", "signInAudience", "identifierUris", "isDisabled", "appRoles", "api", "keyCredentials"} {
		delete(b, name)
	}
	if err := entitlements(a); err != nil {
		return err
	}
	personal := a.Audience == directory.MultiTenantAndPersons || a.Audience == directory.PersonsOnly
	switch {
	case personal && !versionStated && (unstatedAudience || a.ID.IsZero()):
		a.TokenVersion = directory.V2
	case personal && a.TokenVersion != directory.V2:
		return badRequest("Property api.requestedAccessTokenVersion is invalid: it must be 2 for the signInAudience %s.", a.Audience)
	}

	// Step 3: What is only kept; and nothing else.
	var err error
	if a.Kept, err = b.keep(a.Kept, applicationParts); err != nil {
		return err
	}
	return b.refuse("application")
}

func parseAppRoles(raw json.RawMessage) ([]directory.AppRole, error) {
	all, err := objects(raw, "appRoles")
	if err != nil {
		return nil, err
	}
	roles := make([]directory.AppRole, 0, len(all))
	for i, b := range all {
		at := fmt.Sprintf("appRoles[%d].", i)
		if err := b.refuse("appRole", "allowedMemberTypes", "description", "displayName", "id", "isEnabled", "origin", "value"); err != nil {
			return nil, err
		}
		var r directory.AppRole
		if r.ID, err = b.guid(at, "id"); err != nil {
			return nil, err
		}
		if _, err := b.text("value", &r.Value); err != nil {
			return nil, err
		}
		if _, err := b.text("displayName", &r.DisplayName); err != nil {
			return nil, err
		}
		if _, err := b.text("description", &r.Description); err != nil {
			return nil, err
		}
		if len(r.Description) > 1000 {
			return nil, badRequest("Property '%sdescription' has more than 1000 bytes.", at)
		}
		enabled := true
		if _, err := b.flag("isEnabled", &enabled); err != nil {
			return nil, err
		}
		r.Disabled = !enabled
		if _, err := b.texts("allowedMemberTypes", &r.Members); err != nil {
			return nil, err
		}
		for _, m := range r.Members {
			if m != "Application" && m != "User" {
				return nil, badRequest("Property '%sallowedMemberTypes' holds 'Application', 'User' or both.", at)
			}
		}
		if len(r.Members) == 0 {
			return nil, badRequest("Property '%sallowedMemberTypes' is required.", at)
		}
		roles = append(roles, r)
	}
	return roles, nil
}

// id reads a member that must be a GUID.
func (b body) guid(at, name string) (directory.ObjectID, error) {
	var text string
	if _, err := b.text(name, &text); err != nil {
		return directory.ObjectID{}, err
	}
	id, err := directory.ParseObjectID(text)
	if err != nil {
		return id, badRequest("Property '%s%s' is required and must be a GUID.", at, name)
	}
	return id, nil
}

func readAPI(raw json.RawMessage, a *directory.Application) (versionStated bool, err error) {
	if string(raw) == "null" {
		return false, nil
	}
	b, err := parseBody(raw)
	if err != nil {
		return false, wrongType("api", "microsoft.graph.apiApplication")
	}
	if raw, ok := b["requestedAccessTokenVersion"]; ok {
		var v *int
		if json.Unmarshal(raw, &v) != nil || v != nil && *v != 1 && *v != 2 {
			return false, badRequest("Property api.requestedAccessTokenVersion is invalid: it is null, 1 or 2.")
		}
		a.TokenVersion = 0
		if v != nil {
			a.TokenVersion = directory.TokenVersion(*v)
		}
		versionStated = true
		delete(b, "requestedAccessTokenVersion")
	}
	if raw, ok := b["oauth2PermissionScopes"]; ok {
		if a.Scopes, err = readScopes(raw); err != nil {
			return false, err
		}
		delete(b, "oauth2PermissionScopes")
	}
	if len(b) == 0 {
		return versionStated, nil
	}
	rest, err := json.Marshal(b)
	if err != nil {
		return false, err
	}
	a.Kept, err = body{"api": rest}.keep(a.Kept, []part{{"api", apiShape}})
	return versionStated, err
}

func readScopes(raw json.RawMessage) ([]directory.PermissionScope, error) {
	all, err := objects(raw, "api.oauth2PermissionScopes")
	if err != nil {
		return nil, err
	}
	scopes := make([]directory.PermissionScope, 0, len(all))
	for i, b := range all {
		at := fmt.Sprintf("api.oauth2PermissionScopes[%d].", i)
		if err := b.refuse("permissionScope", "adminConsentDescription", "adminConsentDisplayName", "id", "isEnabled", "origin", "type",
			"userConsentDescription", "userConsentDisplayName", "value"); err != nil {
			return nil, err
		}
		s := directory.PermissionScope{Kind: "User"}
		if s.ID, err = b.guid(at, "id"); err != nil {
			return nil, err
		}
		for name, into := range map[string]*string{
			"value": &s.Value, "type": &s.Kind, "adminConsentDescription": &s.AdminConsentDescription, "adminConsentDisplayName": &s.AdminConsentDisplayName,
			"userConsentDescription": &s.UserConsentDescription, "userConsentDisplayName": &s.UserConsentDisplayName,
		} {
			if _, err := b.text(name, into); err != nil {
				return nil, err
			}
			if len(*into) > 1000 {
				return nil, badRequest("Property '%s%s' has more than 1000 bytes.", at, name)
			}
		}
		if s.Kind != "User" && s.Kind != "Admin" {
			return nil, badRequest("Property '%stype' is 'User' or 'Admin'.", at)
		}
		role := directory.AppRole{Value: s.Value, DisplayName: "scope"} // values follow the same rules
		if err := role.Validate(); err != nil {
			return nil, badRequest("Property '%svalue' is required: at most 120 printable characters without blanks, not beginning with a dot.", at)
		}
		enabled := true
		if _, err := b.flag("isEnabled", &enabled); err != nil {
			return nil, err
		}
		s.Disabled = !enabled
		scopes = append(scopes, s)
	}
	return scopes, nil
}

// maxEntitlements bounds roles and scopes together. Source: "Validation
// differences by supported account types" in the identity platform's documentation.
const maxEntitlements = 1200

// entitlements refuses scopes and roles that cannot be told apart. A scope and a
// role may be one permission: then they have the same id and value.
func entitlements(a *directory.Application) error {
	if len(a.AppRoles)+len(a.Scopes) > maxEntitlements {
		return badRequest("An application has at most %d app roles and scopes together.", maxEntitlements)
	}
	ids, values := make(map[directory.ObjectID]string), make(map[string]bool)
	for _, s := range a.Scopes {
		if _, twice := ids[s.ID]; twice {
			return badRequest("Property api.oauth2PermissionScopes is invalid: the id %s is used twice.", s.ID)
		}
		if values[s.Value] {
			return badRequest("Property api.oauth2PermissionScopes is invalid: the value '%s' is used twice.", printable(s.Value))
		}
		ids[s.ID], values[s.Value] = s.Value, true
	}
	for _, r := range a.AppRoles {
		if value, both := ids[r.ID]; both && value != r.Value {
			return badRequest("Property appRoles is invalid: the id %s is that of a scope with another value.", r.ID)
		}
	}
	return nil
}

// applicationFault gives refusals of the rules the form that clients look for.
func applicationFault(err error) error {
	var p *problem.Error
	switch {
	case errors.Is(err, manage.ErrStillEnabled):
		return &fault{status: http.StatusBadRequest, code: "CannotDeleteOrUpdateEnabledEntitlement", message: notDisabled, kind: problem.Invalid}
	case errors.Is(err, manage.ErrNotLocal):
		return &fault{status: http.StatusForbidden, code: "Authorization_RequestDenied", kind: problem.Denied,
			message: "When using this permission, the backing application of the service principal being created must in the local tenant"}
	case errors.As(err, &p) && p.Kind == problem.Conflict && strings.HasPrefix(p.Target, "identifierUris"):
		f := sameKey("Another object with the same value for property identifierUris already exists.")
		f.status = http.StatusBadRequest
		return f
	case errors.As(err, &p) && p.Kind == problem.Conflict && p.Target == "servicePrincipalNames":
		return sameKey("%s", p.Message)
	case errors.As(err, &p) && p.Kind == problem.Conflict && strings.HasPrefix(p.Target, "appRoles"):
		return badRequest("One or more property values specified are invalid. %s: %s", p.Target, p.Message)
	}
	return err
}

func removeApplication(c *call) error {
	key, err := c.applicationKey(0)
	if err != nil {
		return err
	}
	domain, err := c.domain()
	if err != nil {
		return err
	}
	err = c.api.manage.DeleteApplication(c.ctx, c.caller, c.tenant, key, func(a *directory.Application) error {
		return c.checkIfMatch(applicationEntity(a, domain))
	})
	if err != nil {
		return err
	}
	return c.replyNone()
}
