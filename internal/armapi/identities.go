package armapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
)

const (
	identityType   = "Microsoft.ManagedIdentity/userAssignedIdentities"
	credentialType = identityType + "/federatedIdentityCredentials"
)

type identityItem struct {
	ID         string             `json:"id"`
	Name       string             `json:"name"`
	Type       string             `json:"type"`
	Location   string             `json:"location"`
	Tags       json.RawMessage    `json:"tags"`
	Properties identityProperties `json:"properties"`
}

type identityProperties struct {
	TenantID       string `json:"tenantId"`
	PrincipalID    string `json:"principalId"`
	ClientID       string `json:"clientId"`
	IsolationScope string `json:"isolationScope,omitempty"`
}

func identityOf(m *directory.ManagedIdentity) identityItem {
	item := identityItem{
		ID: m.ResourceID, Name: m.Name, Type: identityType, Location: m.Location, Tags: orNone(manage.Tags(m.Kept)),
		Properties: identityProperties{TenantID: m.Tenant.String(), PrincipalID: m.PrincipalID.String(), ClientID: m.ClientID.String(), IsolationScope: "None"},
	}
	if scope := m.Kept.Text("isolationScope"); scope != "" {
		item.Properties.IsolationScope = scope
	}
	return item
}

func listIdentities(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	identities, err := c.api.manage.ManagedIdentities(c.ctx, c.caller, p)
	if err != nil {
		return nil, err
	}
	all := make([]identityItem, 0, len(identities))
	for i := range identities {
		all = append(all, identityOf(&identities[i]))
	}
	return paged(c, all, func(i identityItem) string { return i.ID })
}

func getIdentity(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	m, err := c.api.manage.ManagedIdentity(c.ctx, c.caller, p)
	if err != nil {
		return nil, err
	}
	return ok(identityOf(m))
}

func putIdentity(c *call) (*reply, error)   { return writeIdentity(c, false) }
func patchIdentity(c *call) (*reply, error) { return writeIdentity(c, true) }

func writeIdentity(c *call, patch bool) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	if err := body.own(directory.IdentityResourceID(p.Subscription, p.Group, p.Name), p.Name, identityType); err != nil {
		return nil, err
	}
	rw := manage.ResourceWrite{Patch: patch}
	if rw.Location, err = body.location(); err != nil {
		return nil, err
	}
	tags, err := body.tags()
	if err != nil {
		return nil, err
	}
	properties, err := body.object("properties")
	if err != nil {
		return nil, err
	}
	isolation := ""
	for _, f := range []struct {
		to   *string
		name string
	}{{&rw.TenantID, "tenantId"}, {&rw.PrincipalID, "principalId"}, {&rw.ClientID, "clientId"}, {&isolation, "isolationScope"}} {
		if *f.to, err = properties.text(f.name); err != nil {
			return nil, err
		}
	}
	switch {
	case isolation == "":
	case strings.EqualFold(isolation, "None"):
		isolation = "None"
	case strings.EqualFold(isolation, "Regional"):
		isolation = "Regional"
	default:
		return nil, badRequest("BadRequest", "The value of 'isolationScope' must be 'None' or 'Regional'.")
	}
	rw.Change = func(before directory.Kept) (directory.Kept, error) {
		after := before
		if !patch || tags != nil {
			after = after.With("tags", tags)
		}
		if isolation != "" {
			after = after.With("isolationScope", manage.KeptText(isolation))
		}
		return after, nil
	}
	m, created, err := c.api.manage.PutManagedIdentity(c.ctx, c.caller, p, rw)
	if err != nil {
		return nil, err
	}
	return written(created, identityOf(m), c.relative())
}

func deleteIdentity(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	existed, err := c.api.manage.DeleteManagedIdentity(c.ctx, c.caller, p)
	if err != nil {
		return nil, err
	}
	return deleted(existed)
}

func associatedResources(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	hosts, err := c.api.manage.IdentityHosts(c.ctx, c.caller, p)
	if err != nil {
		return nil, err
	}
	type item struct {
		ID             string `json:"id"`
		Name           string `json:"name"`
		Type           string `json:"type"`
		ResourceGroup  string `json:"resourceGroup"`
		SubscriptionID string `json:"subscriptionId"`
	}
	all := []item{}
	for i := range hosts {
		h := &hosts[i]
		all = append(all, item{hostID(p.Subscription, h), h.Name, h.Kind.ResourceType(), h.ResourceGroup, p.Subscription.String()})
	}
	return ok(struct {
		TotalCount int    `json:"totalCount"`
		Value      []item `json:"value"`
	}{len(all), all})
}

type credentialItem struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Properties struct {
		Issuer    string   `json:"issuer"`
		Subject   string   `json:"subject"`
		Audiences []string `json:"audiences"`
	} `json:"properties"`
}

func credentialOf(p manage.Place, c *directory.FederatedCredential) credentialItem {
	item := credentialItem{
		ID:   directory.IdentityResourceID(p.Subscription, p.Group, p.Name) + "/federatedIdentityCredentials/" + c.Name,
		Name: c.Name, Type: credentialType,
	}
	item.Properties.Issuer, item.Properties.Subject, item.Properties.Audiences = c.Issuer, c.Subject, []string{c.Audience}
	return item
}

func listCredentials(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	credentials, err := c.api.manage.IdentityCredentials(c.ctx, c.caller, p, "")
	if err != nil {
		return nil, err
	}
	all := make([]credentialItem, 0, len(credentials))
	for i := range credentials {
		all = append(all, credentialOf(p, &credentials[i]))
	}
	return paged(c, all, func(i credentialItem) string { return i.ID })
}

func getCredential(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	credentials, err := c.api.manage.IdentityCredentials(c.ctx, c.caller, p, c.params[3])
	if err != nil {
		return nil, err
	}
	return ok(credentialOf(p, &credentials[0]))
}

// The texts of the real service for what is wrong with a credential.
const (
	credentialFormat = "The request format was unexpected. Federated Identity Credential must specify 'issuer', 'subject' and 'audience'."
	credentialName   = "The name of a federated identity credentials must be within 3 and 120 characters, only contains letters (A-Z, a-z), numbers, hyphens and dashes and must start with a number or letter."
)

func putCredential(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	credential := directory.FederatedCredential{Name: c.params[3]}
	id := directory.IdentityResourceID(p.Subscription, p.Group, p.Name) + "/federatedIdentityCredentials/" + credential.Name
	if err := body.own(id, credential.Name, credentialType); err != nil {
		return nil, err
	}
	properties, err := body.object("properties")
	if err != nil {
		return nil, err
	}
	if properties.get("claimsMatchingExpression") != nil {
		return nil, badRequest("BadRequest", "Expressions that match claims are not supported; state 'subject'.")
	}
	if credential.Issuer, err = properties.text("issuer"); err != nil {
		return nil, err
	}
	if credential.Subject, err = properties.text("subject"); err != nil {
		return nil, err
	}
	var audiences []string
	if raw := properties.get("audiences"); raw != nil && json.Unmarshal(raw, &audiences) != nil {
		return nil, badContent("the value of 'audiences' must be a list of strings")
	}
	if credential.Issuer == "" || credential.Subject == "" || len(audiences) == 0 || audiences[0] == "" {
		return nil, badRequest("BadRequest", credentialFormat)
	}
	if len(audiences) > 1 {
		return nil, badRequest("BadRequest", "A federated identity credential has exactly one audience.")
	}
	credential.Audience = audiences[0]
	after, created, err := c.api.manage.PutIdentityCredential(c.ctx, c.caller, p, credential)
	if pe := (*problem.Error)(nil); errors.As(err, &pe) && pe.Kind == problem.Invalid && pe.Target == "name" {
		return nil, badRequest("BadRequest", credentialName)
	}
	if err != nil {
		return nil, err
	}
	return written(created, credentialOf(p, after), c.relative())
}

func deleteCredential(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	existed, err := c.api.manage.DeleteIdentityCredential(c.ctx, c.caller, p, c.params[3])
	if err != nil {
		return nil, err
	}
	return deleted(existed)
}

// systemIdentity is the identity of the host that the scope names.
func systemIdentity(c *call) (*reply, error) {
	id, err := c.scope()
	if err != nil {
		return nil, err
	}
	for _, kind := range []directory.HostKind{directory.VirtualMachine, directory.WebApp} {
		if !id.is(kind.ResourceType()) {
			continue
		}
		p := manage.Place{Tenant: c.tenant, Subscription: id.subscription, Group: id.group, Name: id.name(), Action: c.action}
		m, h, err := c.api.manage.SystemIdentity(c.ctx, c.caller, p, kind)
		if err != nil {
			return nil, err
		}
		item := identityOf(m)
		item.ID = hostID(p.Subscription, h) + "/providers/Microsoft.ManagedIdentity/identities/default"
		item.Name, item.Type, item.Properties.IsolationScope = "default", "Microsoft.ManagedIdentity/identities", ""
		return ok(item)
	}
	// No other resource has an identity; whether there is such a resource is told
	// to nobody.
	if err := c.api.manage.DecideAzure(c.ctx, c.caller, c.tenant, c.action, id.scope()); err != nil {
		return nil, err
	}
	return nil, &failure{status: http.StatusNotFound, code: "ResourceNotFound", text: "The resource has no system-assigned identity."}
}
