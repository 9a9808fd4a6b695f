package armapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

// identityBlock is the identity of a compute resource.
type identityBlock struct {
	Type                   string                  `json:"type"`
	PrincipalID            string                  `json:"principalId,omitempty"`
	TenantID               string                  `json:"tenantId,omitempty"`
	UserAssignedIdentities map[string]assignedItem `json:"userAssignedIdentities,omitempty"`
}

type assignedItem struct {
	PrincipalID string `json:"principalId"`
	ClientID    string `json:"clientId"`
}

// The types of an identity block.
const (
	systemAssigned = "SystemAssigned"
	userAssigned   = "UserAssigned"
	bothAssigned   = "SystemAssigned, UserAssigned"
	noneAssigned   = "None"
)

// hostID is the host's resource id as clients parse it, some of them with regard
// to case.
func hostID(subscription directory.ObjectID, h *directory.Host) string {
	return manage.GroupScope(subscription, h.ResourceGroup) + "/providers/" + h.Kind.ResourceType() + "/" + h.Name
}

// blockOf is nil for a host without identities.
func (c *call) blockOf(subscription directory.ObjectID, h *directory.Host, assigned map[directory.ObjectID]directory.ManagedIdentity) *identityBlock {
	b := &identityBlock{}
	if !h.System.IsZero() {
		b.Type, b.PrincipalID, b.TenantID = systemAssigned, h.System.String(), h.Tenant.String()
	}
	for _, id := range h.Identities {
		m, known := assigned[id]
		if !known {
			continue
		}
		if b.UserAssignedIdentities == nil {
			b.UserAssignedIdentities = make(map[string]assignedItem)
		}
		key := manage.GroupScope(subscription, m.ResourceGroup) + "/providers/" + identityType + "/" + m.Name
		b.UserAssignedIdentities[key] = assignedItem{m.PrincipalID.String(), m.ClientID.String()}
	}
	switch {
	case b.UserAssignedIdentities == nil && b.Type == "":
		return nil
	case b.UserAssignedIdentities != nil && b.Type == "":
		b.Type = userAssigned
	case b.UserAssignedIdentities != nil:
		b.Type = bothAssigned
	}
	return b
}

// readBlock reads the identity block of a body; nil when it has none. Read-only
// members are ignored, because clients send back what they read.
func readBlock(body object, patch bool) (*manage.HostIdentities, error) {
	block, err := body.object("identity")
	if block == nil || err != nil {
		if body.get("identity") != nil && err == nil {
			err = badIdentity("The identity block names no type.") // {}
		}
		return nil, err
	}
	kind, err := block.text("type")
	if err != nil {
		return nil, err
	}
	ids := &manage.HostIdentities{Merge: patch}
	switch folded := strings.ToLower(strings.ReplaceAll(kind, " ", "")); folded {
	case "systemassigned":
		ids.System = true
	case "userassigned":
		ids.User = true
	case "systemassigned,userassigned", "userassigned,systemassigned":
		ids.System, ids.User = true, true
	case "none":
	default:
		return nil, badIdentity("The identity type '" + printable(kind) + "' is not one of 'None', 'SystemAssigned', 'UserAssigned' and 'SystemAssigned, UserAssigned'.")
	}
	entries, err := block.object("userAssignedIdentities")
	if err != nil {
		return nil, err
	}
	for _, m := range entries {
		id, valid := parseResourceID(m.Name)
		if !valid || !id.is(identityType) {
			return nil, badIdentity("'" + printable(m.Name) + "' is not the resource id of a user-assigned managed identity.")
		}
		remove := string(m.Value) == "null"
		if !ids.User && !remove {
			return nil, badIdentity("User-assigned identities are named, but the identity type '" + printable(kind) + "' does not include 'UserAssigned'.")
		}
		ids.Refs = append(ids.Refs, manage.IdentityRef{
			ResourceID: id.String(), Subscription: id.subscription, Group: id.group, Name: id.name(), Remove: remove,
		})
	}
	if ids.User && !patch && !slices.ContainsFunc(ids.Refs, func(r manage.IdentityRef) bool { return !r.Remove }) {
		return nil, badIdentity("The identity type includes 'UserAssigned', but no user-assigned identity is named.")
	}
	return ids, nil
}

func badIdentity(text string) *failure { return badRequest("InvalidIdentityValues", text) }

// readOnlyMembers of a resource are the platform's to say.
var readOnlyMembers = []string{"id", "name", "type", "location", "identity", "systemdata", "etag", "resources"}

// wireNames spells the members that are looked for, whatever case they come in.
var wireNames = []string{"tags", "properties", "sku", "plan", "zones", "kind", "extendedLocation"}

// secretMembers are taken out of what is stored: nobody could read them back
// from the real service either.
var secretMembers = []string{
	"adminpassword", "customdata", "userdata", "protectedsettings", "appsettings", "connectionstrings", "azurestorageaccounts",
	"publishingpassword", "accesskey", "secrets",
}

// keptOf is what is stored of a body, from what was stored before.
func keptOf(body object, patch bool) (func(directory.Kept) (directory.Kept, error), error) {
	tags, err := body.tags()
	if err != nil {
		return nil, err
	}
	stated := make(directory.Kept)
	for _, m := range body {
		name := m.Name
		for _, known := range wireNames {
			if strings.EqualFold(known, name) {
				name = known
			}
		}
		switch {
		case slices.Contains(readOnlyMembers, strings.ToLower(name)), string(m.Value) == "null":
			continue
		case name == "tags":
			stated[name] = tags
			continue
		case name == "properties":
			if _, err := body.object("properties"); err != nil {
				return nil, err
			}
		}
		value, err := withoutSecrets(m.Value)
		if err != nil {
			return nil, err
		}
		stated[name] = value
	}
	return func(before directory.Kept) (directory.Kept, error) {
		if !patch {
			return stated, nil
		}
		after := before
		for name, value := range stated {
			if name == "properties" && before[name] != nil {
				merged, err := merge(before[name], value)
				if err != nil {
					return nil, err
				}
				value = merged
			}
			after = after.With(name, value)
		}
		return after, nil
	}, nil
}

func decodeAny(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, badContent("a value is not JSON")
	}
	return v, nil
}

func withoutSecrets(raw json.RawMessage) (json.RawMessage, error) {
	v, err := decodeAny(raw)
	if err != nil {
		return nil, err
	}
	return json.Marshal(scrub(v))
}

func scrub(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			if slices.Contains(secretMembers, strings.ToLower(name)) {
				delete(v, name)
				continue
			}
			v[name] = scrub(v[name])
		}
	case []any:
		for i := range v {
			v[i] = scrub(v[i])
		}
	}
	return v
}

// merge puts the change into the object: members replace members, objects are
// merged, and null takes a member away (RFC 7396).
func merge(before, change json.RawMessage) (json.RawMessage, error) {
	to, err := decodeAny(before)
	if err != nil {
		return nil, err
	}
	from, err := decodeAny(change)
	if err != nil {
		return nil, err
	}
	return json.Marshal(mergeAny(to, from))
}

func mergeAny(to, from any) any {
	change, isObject := from.(map[string]any)
	if !isObject {
		return from
	}
	merged := make(map[string]any)
	if old, isObject := to.(map[string]any); isObject {
		maps.Copy(merged, old)
	}
	for name, value := range change {
		if value == nil {
			delete(merged, name)
			continue
		}
		merged[name] = mergeAny(merged[name], value)
	}
	return merged
}

// render is a stored resource as it is answered: what is kept, and over it what
// the platform says.
func render(kept directory.Kept, id, name, kind, location string, identity *identityBlock, defaults, properties map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(kept)+6)
	for member, value := range kept {
		out[member] = value
	}
	all := maps.Clone(defaults)
	if all == nil {
		all = make(map[string]any)
	}
	if raw := kept["properties"]; raw != nil {
		stored, err := decodeAny(raw)
		if err != nil {
			return nil, err
		}
		if stored, isObject := stored.(map[string]any); isObject {
			maps.Copy(all, stored)
		}
	}
	maps.Copy(all, properties)
	out["id"], out["name"], out["type"], out["location"] = id, name, kind, location
	out["tags"], out["properties"] = orNone(manage.Tags(kept)), all
	if identity != nil {
		out["identity"] = identity
	}
	return out, nil
}

// siteHosts is the domain of sites in the cloud.
func (a *API) siteHosts() string {
	switch a.cloud.Name {
	case "usgov":
		return "azurewebsites.us"
	case "china":
		return "chinacloudsites.cn"
	}
	return "azurewebsites.net"
}

func (c *call) renderHost(subscription directory.ObjectID, h *directory.Host, assigned map[directory.ObjectID]directory.ManagedIdentity) (map[string]any, error) {
	defaults, properties := map[string]any{}, map[string]any{}
	switch h.Kind {
	case directory.VirtualMachine:
		properties["provisioningState"], properties["vmId"] = "Succeeded", h.ID.String()
		if strings.EqualFold(c.query.Get("$expand"), "instanceView") {
			properties["instanceView"] = vmStatus()
		}
	case directory.WebApp:
		name := strings.ToLower(h.Name) + "." + c.api.siteHosts()
		defaults["enabled"], defaults["httpsOnly"], defaults["reserved"], defaults["hostNameSslStates"] = true, false, false, []any{}
		defaults["siteConfig"] = map[string]any{}
		properties["name"], properties["state"], properties["usageState"], properties["availabilityState"] = h.Name, "Running", "Normal", "Normal"
		properties["hostNames"], properties["enabledHostNames"] = []string{name}, []string{name}
		properties["defaultHostName"], properties["repositorySiteName"], properties["resourceGroup"] = name, h.Name, h.ResourceGroup
	}
	return render(h.Kept, hostID(subscription, h), h.Name, h.Kind.ResourceType(), h.Location, c.blockOf(subscription, h, assigned), defaults, properties)
}

func idOf(rendered map[string]any) string {
	id, _ := rendered["id"].(string)
	return id
}

func vmStatus() map[string]any {
	type status struct {
		Code          string `json:"code"`
		Level         string `json:"level"`
		DisplayStatus string `json:"displayStatus"`
	}
	return map[string]any{"statuses": []status{
		{"ProvisioningState/succeeded", "Info", "Provisioning succeeded"}, {"PowerState/running", "Info", "VM running"},
	}}
}

func listHosts(kind directory.HostKind) func(*call) (*reply, error) {
	return func(c *call) (*reply, error) {
		p, err := c.place()
		if err != nil {
			return nil, err
		}
		if err := c.noFilter(); err != nil {
			return nil, err
		}
		view, err := c.api.manage.ComputeHosts(c.ctx, c.caller, p, kind)
		if err != nil {
			return nil, err
		}
		all := make([]map[string]any, 0, len(view.Hosts))
		for i := range view.Hosts {
			rendered, err := c.renderHost(p.Subscription, &view.Hosts[i], view.Assigned)
			if err != nil {
				return nil, err
			}
			all = append(all, rendered)
		}
		return paged(c, all, idOf)
	}
}

func getHost(kind directory.HostKind) func(*call) (*reply, error) {
	return func(c *call) (*reply, error) {
		p, err := c.place()
		if err != nil {
			return nil, err
		}
		view, err := c.api.manage.ComputeHosts(c.ctx, c.caller, p, kind)
		if err != nil {
			return nil, err
		}
		rendered, err := c.renderHost(p.Subscription, &view.Hosts[0], view.Assigned)
		if err != nil {
			return nil, err
		}
		return ok(rendered)
	}
}

// writeHost answers at once with the finished resource: clients see its
// provisioning state and do not poll.
func writeHost(kind directory.HostKind, patch bool) func(*call) (*reply, error) {
	return func(c *call) (*reply, error) {
		p, err := c.place()
		if err != nil {
			return nil, err
		}
		body, err := c.body()
		if err != nil {
			return nil, err
		}
		at := directory.Host{Name: p.Name, ResourceGroup: p.Group, Kind: kind}
		if err := body.own(hostID(p.Subscription, &at), p.Name, kind.ResourceType()); err != nil {
			return nil, err
		}
		rw := manage.ResourceWrite{Patch: patch}
		if rw.Location, err = body.location(); err != nil {
			return nil, err
		}
		if rw.Change, err = keptOf(body, patch); err != nil {
			return nil, err
		}
		ids, err := readBlock(body, patch)
		if err != nil {
			return nil, err
		}
		view, created, err := c.api.manage.PutHost(c.ctx, c.caller, p, kind, rw, ids)
		if err != nil {
			return nil, err
		}
		rendered, err := c.renderHost(p.Subscription, &view.Hosts[0], view.Assigned)
		if err != nil {
			return nil, err
		}
		if created && kind == directory.VirtualMachine {
			return &reply{status: http.StatusCreated, body: rendered}, nil
		}
		return ok(rendered) // the clients of App Service know 200 and 202 only
	}
}

func deleteHost(kind directory.HostKind) func(*call) (*reply, error) {
	return func(c *call) (*reply, error) {
		p, err := c.place()
		if err != nil {
			return nil, err
		}
		existed, err := c.api.manage.DeleteComputeHost(c.ctx, c.caller, p, kind)
		if err != nil {
			return nil, err
		}
		return deleted(existed)
	}
}

// oneHost finds the host that the path names, for what stands below it.
func oneHost(c *call, kind directory.HostKind) (manage.Place, *directory.Host, error) {
	p, err := c.place()
	if err != nil {
		return p, nil, err
	}
	view, err := c.api.manage.ComputeHosts(c.ctx, c.caller, p, kind)
	if err != nil {
		return p, nil, err
	}
	return p, &view.Hosts[0], nil
}

func instanceView(c *call) (*reply, error) {
	if _, _, err := oneHost(c, directory.VirtualMachine); err != nil {
		return nil, err
	}
	return ok(vmStatus())
}

func siteConfig(c *call) (*reply, error) {
	p, h, err := oneHost(c, directory.WebApp)
	if err != nil {
		return nil, err
	}
	properties := struct {
		SiteConfig json.RawMessage `json:"siteConfig"`
	}{}
	if raw := h.Kept["properties"]; raw != nil {
		if err := json.Unmarshal(raw, &properties); err != nil {
			return nil, err
		}
	}
	if string(properties.SiteConfig) == "null" {
		properties.SiteConfig = nil
	}
	return ok(map[string]any{
		"id": hostID(p.Subscription, h) + "/config/web", "name": h.Name, "type": "Microsoft.Web/sites/config",
		"location": h.Location, "properties": orNone(properties.SiteConfig),
	})
}

// planType is stored for the sites that name one and does nothing.
const planType = "Microsoft.Web/serverfarms"

func planID(subscription directory.ObjectID, r *manage.PlainResource) string {
	return manage.GroupScope(subscription, r.Group) + "/providers/" + r.Type + "/" + r.Name
}

func renderPlan(p manage.Place, r *manage.PlainResource) (map[string]any, error) {
	return render(r.Kept, planID(p.Subscription, r), r.Name, r.Type, r.Location, nil, map[string]any{"reserved": false}, map[string]any{
		"provisioningState": "Succeeded", "status": "Ready", "resourceGroup": r.Group, "subscription": p.Subscription.String(),
	})
}

func listPlans(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	if err := c.noFilter(); err != nil {
		return nil, err
	}
	plans, err := c.api.manage.PlainResources(c.ctx, c.caller, p, planType)
	if err != nil {
		return nil, err
	}
	all := make([]map[string]any, 0, len(plans))
	for i := range plans {
		rendered, err := renderPlan(p, &plans[i])
		if err != nil {
			return nil, err
		}
		all = append(all, rendered)
	}
	return paged(c, all, idOf)
}

func getPlan(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	r, err := c.api.manage.PlainResource(c.ctx, c.caller, p, planType)
	if err != nil {
		return nil, err
	}
	rendered, err := renderPlan(p, r)
	if err != nil {
		return nil, err
	}
	return ok(rendered)
}

func writePlan(patch bool) func(*call) (*reply, error) {
	return func(c *call) (*reply, error) {
		p, err := c.place()
		if err != nil {
			return nil, err
		}
		body, err := c.body()
		if err != nil {
			return nil, err
		}
		at := manage.PlainResource{Group: p.Group, Type: planType, Name: p.Name}
		if err := body.own(planID(p.Subscription, &at), p.Name, planType); err != nil {
			return nil, err
		}
		rw := manage.ResourceWrite{Patch: patch}
		if rw.Location, err = body.location(); err != nil {
			return nil, err
		}
		if rw.Change, err = keptOf(body, patch); err != nil {
			return nil, err
		}
		r, _, err := c.api.manage.PutPlainResource(c.ctx, c.caller, p, planType, rw)
		if err != nil {
			return nil, err
		}
		rendered, err := renderPlan(p, r)
		if err != nil {
			return nil, err
		}
		return ok(rendered)
	}
}

func deletePlan(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	existed, err := c.api.manage.DeletePlainResource(c.ctx, c.caller, p, planType)
	if err != nil {
		return nil, err
	}
	return deleted(existed)
}
