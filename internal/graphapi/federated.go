package graphapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
	"github.com/avouch/avouch/internal/problem"
)

// What callers need. Source: reference/graph.md, 8.2. One credential is read with
// the permission that writes it, a list is not.
var (
	listFederated = access.Permission{
		Delegated: []string{"Application.Read.All", "Application.ReadWrite.All"}, Action: "microsoft.directory/applications/standard/read",
		Application: []string{"Application.Read.All", "Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"}, Member: true,
	}
	getFederated = access.Permission{
		Delegated: applicationWriters, Application: applicationWriting, Action: "microsoft.directory/applications/standard/read", Member: true,
	}
)

func (a *API) federatedRoutes() []Operation {
	const all, one = "/applications/{id}/federatedIdentityCredentials", "/applications/{id}/federatedIdentityCredentials/{fic}"
	return []Operation{
		{Method: http.MethodGet, Path: all, Need: listFederated, Query: &federatedSchema, Options: listing, Handle: listFederatedCredentials},
		{Method: http.MethodGet, Path: all + "/$count", Need: listFederated, Query: &federatedSchema, Options: filtering, Handle: countFederatedCredentials},
		{Method: http.MethodPost, Path: all, Need: updateCredentials, Handle: createFederatedCredential},
		{Method: http.MethodGet, Path: one, Need: getFederated, Query: &federatedSchema, Options: selecting, Handle: getFederatedCredential},
		{Method: http.MethodPatch, Path: one, Need: updateCredentials, Handle: changeFederatedCredential},
		{Method: http.MethodDelete, Path: one, Need: updateCredentials, Handle: deleteFederatedCredential},
	}
}

var federatedSchema = odata.Schema{
	Type: "federatedIdentityCredential",
	Properties: map[string]odata.Property{
		"id":                       {Kind: odata.GUID, Filter: odata.OpEq},
		"name":                     {Kind: odata.StringExact, Filter: odata.OpEq, Sort: odata.Always},
		"issuer":                   {Kind: odata.StringExact},
		"subject":                  {Kind: odata.StringExact, Filter: odata.OpEq},
		"description":              {Kind: odata.String},
		"audiences":                {Kind: odata.StringExact, Collection: true},
		"claimsMatchingExpression": {Kind: odata.Complex, Type: "federatedIdentityExpression", Members: map[string]odata.Property{"value": {Kind: odata.String}, "languageVersion": {Kind: odata.Int}}},
	},
}

// federatedEntity is a credential, its members in the order of the real service.
func federatedEntity(c *directory.FederatedCredential, version string) entity {
	e := entity{
		{"id", c.ID.String()}, {"name", c.Name}, {"issuer", c.Issuer}, {"subject", c.Subject},
		{"description", orNull(c.Description)}, {"audiences", []string{c.Audience}},
	}
	if version == "beta" {
		e = append(e, property{"claimsMatchingExpression", nil})
	}
	return e
}

func federatedContext(a *directory.Application) string {
	return "applications('" + a.ID.String() + "')/federatedIdentityCredentials"
}

// readFederatedList reads what the filter leaves of an application's credentials.
func (c *call) readFederatedList() (*directory.Application, []entity, error) {
	key, err := c.applicationKey(0)
	if err != nil {
		return nil, nil, err
	}
	all, a, err := c.api.manage.ApplicationCredentials(c.ctx, c.caller, c.tenant, key)
	if err != nil {
		return nil, nil, err
	}
	values := make([]entity, len(all))
	for i := range all {
		values[i] = federatedEntity(&all[i], c.version)
	}
	return a, values, nil
}

func listFederatedCredentials(c *call) error {
	a, all, err := c.readFederatedList()
	if err != nil {
		return err
	}
	values, next, count, err := listAll(c, &federatedSchema, all)
	if err != nil {
		return err
	}
	return c.replyAll(federatedContext(a), values, next, count)
}

func countFederatedCredentials(c *call) error {
	_, all, err := c.readFederatedList()
	if err != nil {
		return err
	}
	values, _, _, err := listAll(c, &federatedSchema, all)
	if err != nil {
		return err
	}
	return c.replyCount(len(values))
}

// federatedName is the path's credential: by id or name.
func (c *call) federatedName(i int) (name string, byName bool, err error) {
	key, value := keyOf(c.params[i])
	c.named = value
	switch key {
	case "", "id":
		return value, false, nil
	case "name":
		return value, true, nil
	}
	return "", false, badRequest("The request URI is not valid: a federated identity credential has no key '%s'.", printable(key))
}

func getFederatedCredential(c *call) error {
	key, err := c.applicationKey(0)
	if err != nil {
		return err
	}
	all, a, err := c.api.manage.ApplicationCredentials(c.ctx, c.caller, c.tenant, key)
	if err != nil {
		return err
	}
	name, _, err := c.federatedName(1)
	if err != nil {
		return err
	}
	found := manage.CredentialIn(all, name)
	if found == nil {
		return notFound(name)
	}
	return c.reply(http.StatusOK, federatedContext(a), federatedEntity(found, c.version), "")
}

// invalidFederated is the refusal of a value (reference/graph.md, 2.4).
func invalidFederated(property, value, format string, args ...any) *fault {
	text := fmt.Sprintf(format, args...)
	return &fault{status: http.StatusBadRequest, code: "InvalidFederatedIdentityCredentialValue", kind: problem.Invalid,
		message: fmt.Sprintf("%s paramName: FederatedIdentityCredential.%s, paramValue: %s, objectType: Microsoft.Online.DirectoryServices.Application", text, property, printable(value))}
}

// readFederated reads what may be written of a credential. A name is there to be
// refused when it differs.
func readFederated(b body, into *directory.FederatedCredential) error {
	for name, to := range map[string]*string{"name": &into.Name, "issuer": &into.Issuer, "subject": &into.Subject, "description": &into.Description} {
		if _, err := b.text(name, to); err != nil {
			return err
		}
	}
	if raw, ok := b["audiences"]; ok {
		var audiences []string
		if _, err := b.texts("audiences", &audiences); err != nil {
			return err
		}
		if len(audiences) != 1 {
			return invalidFederated("Audiences", string(raw), "Exactly one audience is needed.")
		}
		into.Audience = audiences[0]
	}
	if raw, ok := b["claimsMatchingExpression"]; ok && string(raw) != "null" {
		return invalidFederated("ClaimsMatchingExpression", "", "Claims matching expressions are not offered here: state the whole subject.")
	}
	return b.refuse("federatedIdentityCredential", "name", "issuer", "subject", "description", "audiences", "claimsMatchingExpression")
}

// federatedFault gives the refusals of the rules the form that clients compare.
func federatedFault(err error, c *directory.FederatedCredential) error {
	var own *fault
	var p *problem.Error
	if errors.As(err, &own) || !errors.As(err, &p) {
		return err
	}
	switch {
	case p.Kind == problem.Conflict && p.Target == "name":
		return sameKey("FederatedIdentityCredential with name %s already exists.", c.Name)
	case p.Kind == problem.Conflict && p.Target == "subject":
		return invalidFederated("Subject", c.Subject, "The combination of issuer and subject must be unique for the application. Issuer %s and Subject: %s already exist.", printable(c.Issuer), printable(c.Subject))
	case p.Kind != problem.Invalid:
		return err
	}
	values := map[string]struct{ property, value string }{
		"name": {"Name", c.Name}, "issuer": {"Issuer", c.Issuer}, "subject": {"Subject", c.Subject},
		"audiences": {"Audiences", c.Audience}, "description": {"Description", c.Description},
	}
	v, ok := values[p.Target]
	if !ok {
		return err
	}
	if p.Target == "name" && !urlSafe(c.Name) {
		return invalidFederated("Name", c.Name, "The specified Name value is not a valid URI last segment.")
	}
	return invalidFederated(v.property, v.value, "The value %s.", p.Message)
}

// urlSafe reports whether a name has no character that an address could not hold.
func urlSafe(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
		default:
			return false
		}
	}
	return true
}

func createFederatedCredential(c *call) error {
	key, err := c.applicationKey(0)
	if err != nil {
		return err
	}
	b, err := c.readBody()
	if err != nil {
		return err
	}
	if err := b.readOnly(entity{}, "id"); err != nil {
		return err
	}
	var offered directory.FederatedCredential
	if err := readFederated(b, &offered); err != nil {
		return err
	}
	made, a, _, err := c.api.manage.PutApplicationCredential(c.ctx, c.caller, c.tenant, key, offered.Name, nil, func(fresh *directory.FederatedCredential) error {
		id := fresh.ID
		*fresh = offered
		fresh.ID = id
		return nil
	})
	if err != nil {
		return federatedFault(err, &offered)
	}
	return c.replyFederated(a, made)
}

func (c *call) replyFederated(a *directory.Application, made *directory.FederatedCredential) error {
	return c.reply(http.StatusCreated, federatedContext(a), federatedEntity(made, c.version),
		"/applications/"+a.ID.String()+"/federatedIdentityCredentials/"+made.ID.String())
}

func changeFederatedCredential(c *call) error {
	key, err := c.applicationKey(0)
	if err != nil {
		return err
	}
	b, err := c.readBody()
	if err != nil {
		return err
	}
	name, byName, err := c.federatedName(1)
	if err != nil {
		return err
	}
	var written directory.FederatedCredential // for the texts of refusals
	edit := func(current *directory.FederatedCredential) error {
		shown := federatedEntity(current, c.version)
		if err := c.checkIfMatch(shown); err != nil {
			return err
		}
		offered := cloneBody(b)
		if err := offered.readOnly(shown, "id"); err != nil {
			return err
		}
		before := current.Name
		if err := readFederated(offered, current); err != nil {
			return err
		}
		written = *current
		if current.Name != before {
			return invalidFederated("Name", current.Name, "The name of a federated identity credential cannot be changed from %s: delete it and make a new one.", before)
		}
		return nil
	}
	var add func(*directory.FederatedCredential) error
	if byName && createIfMissing(c.r) {
		add = func(fresh *directory.FederatedCredential) error {
			if len(c.r.Header.Values("If-Match")) > 0 {
				return preconditionFailed()
			}
			offered := cloneBody(b)
			if raw, ok := offered["name"]; ok && !sameJSON(raw, name) {
				return invalidFederated("Name", name, "The name in the body differs from the name in the address.")
			}
			if err := offered.readOnly(entity{}, "id"); err != nil {
				return err
			}
			id := fresh.ID
			if err := readFederated(offered, fresh); err != nil {
				return err
			}
			fresh.ID, fresh.Name = id, name
			written = *fresh
			return nil
		}
	}
	made, a, created, err := c.api.manage.PutApplicationCredential(c.ctx, c.caller, c.tenant, key, name, edit, add)
	if err != nil {
		return federatedFault(err, &written)
	}
	if created {
		return c.replyFederated(a, made)
	}
	return c.replyNone()
}

func deleteFederatedCredential(c *call) error {
	key, err := c.applicationKey(0)
	if err != nil {
		return err
	}
	name, _, err := c.federatedName(1)
	if err != nil {
		return err
	}
	err = c.api.manage.DeleteApplicationCredential(c.ctx, c.caller, c.tenant, key, name, func(current *directory.FederatedCredential) error {
		return c.checkIfMatch(federatedEntity(current, c.version))
	})
	if err != nil {
		return err
	}
	return c.replyNone()
}
