package armapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

type tenantItem struct {
	ID             string   `json:"id"`
	TenantID       string   `json:"tenantId"`
	CountryCode    string   `json:"countryCode"`
	DisplayName    string   `json:"displayName"`
	Domains        []string `json:"domains"`
	DefaultDomain  string   `json:"defaultDomain,omitempty"`
	TenantCategory string   `json:"tenantCategory"`
	TenantType     string   `json:"tenantType"`
}

// tenants lists the one tenant that the token is of.
func tenants(c *call) (*reply, error) {
	account, err := c.api.manage.Account(c.ctx, c.caller, c.tenant)
	if err != nil {
		return nil, err
	}
	t := &account.Tenant
	item := tenantItem{
		ID: "/tenants/" + t.ID.String(), TenantID: t.ID.String(), CountryCode: "US", DisplayName: t.Title(),
		Domains: append([]string{}, t.Domains...), TenantCategory: "Home", TenantType: "AAD",
	}
	if len(t.Domains) > 0 {
		item.DefaultDomain = t.Domains[0]
	}
	return ok(list[tenantItem]{Value: []tenantItem{item}})
}

type subscriptionItem struct {
	ID                   string            `json:"id"`
	AuthorizationSource  string            `json:"authorizationSource"`
	ManagedByTenants     []string          `json:"managedByTenants"`
	SubscriptionID       string            `json:"subscriptionId"`
	TenantID             string            `json:"tenantId"`
	DisplayName          string            `json:"displayName"`
	State                string            `json:"state"`
	SubscriptionPolicies map[string]string `json:"subscriptionPolicies"`
}

func subscriptionOf(t *directory.Tenant) subscriptionItem {
	return subscriptionItem{
		ID: manage.SubscriptionScope(t.Subscription), AuthorizationSource: "RoleBased", ManagedByTenants: []string{},
		SubscriptionID: t.Subscription.String(), TenantID: t.ID.String(), DisplayName: t.Title(), State: "Enabled",
		SubscriptionPolicies: map[string]string{"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
	}
}

// subscriptions lists the tenant's subscription to those who hold a role in it.
func subscriptions(c *call) (*reply, error) {
	account, err := c.api.manage.Account(c.ctx, c.caller, c.tenant)
	if err != nil {
		return nil, err
	}
	type total struct {
		Type  string `json:"type"`
		Value int    `json:"value"`
	}
	all := struct {
		Value []subscriptionItem `json:"value"`
		Count total              `json:"count"`
	}{Value: []subscriptionItem{}, Count: total{Type: "Total"}}
	if account.Subscriber && !account.Tenant.Subscription.IsZero() {
		all.Value, all.Count.Value = append(all.Value, subscriptionOf(&account.Tenant)), 1
	}
	return ok(all)
}

func subscription(c *call) (*reply, error) {
	p, err := c.subscriptionPlace()
	if err != nil {
		return nil, err
	}
	t, err := c.api.manage.Subscription(c.ctx, c.caller, p)
	if err != nil {
		return nil, err
	}
	return ok(subscriptionOf(t))
}

// regions are those that clients know by heart; any other name will do as well.
var regions = [][2]string{
	{"local", "Local"}, {"eastus", "East US"}, {"eastus2", "East US 2"}, {"westus", "West US"}, {"westus2", "West US 2"}, {"westus3", "West US 3"},
	{"centralus", "Central US"}, {"northeurope", "North Europe"}, {"westeurope", "West Europe"}, {"uksouth", "UK South"},
	{"germanywestcentral", "Germany West Central"}, {"francecentral", "France Central"}, {"swedencentral", "Sweden Central"},
	{"switzerlandnorth", "Switzerland North"}, {"southeastasia", "Southeast Asia"}, {"eastasia", "East Asia"}, {"japaneast", "Japan East"},
	{"australiaeast", "Australia East"}, {"centralindia", "Central India"}, {"brazilsouth", "Brazil South"}, {"canadacentral", "Canada Central"},
}

func locations(c *call) (*reply, error) {
	p, err := c.subscriptionPlace()
	if err != nil {
		return nil, err
	}
	if _, err := c.api.manage.Subscription(c.ctx, c.caller, p); err != nil {
		return nil, err
	}
	type item struct {
		ID                  string            `json:"id"`
		Name                string            `json:"name"`
		Type                string            `json:"type"`
		DisplayName         string            `json:"displayName"`
		RegionalDisplayName string            `json:"regionalDisplayName"`
		Metadata            map[string]string `json:"metadata"`
	}
	var all []item
	for _, r := range regions {
		all = append(all, item{manage.SubscriptionScope(p.Subscription) + "/locations/" + r[0], r[0], "Region", r[1], r[1],
			map[string]string{"regionType": "Physical", "regionCategory": "Recommended"}})
	}
	return ok(list[item]{Value: all})
}

// operationResult answers those who come back after a deletion: every operation
// of this surface is over when its first answer is written, so there is nothing
// to look up.
func operationResult(c *call) (*reply, error) {
	p, err := c.subscriptionPlace()
	if err != nil {
		return nil, err
	}
	account, err := c.api.manage.Account(c.ctx, c.caller, c.tenant)
	if err != nil {
		return nil, err
	}
	if account.Tenant.Subscription != p.Subscription {
		return nil, noSubscription(p.Subscription)
	}
	if guid(c.params[1]) == "" {
		return nil, &failure{status: http.StatusNotFound, code: "OperationNotFound", text: "The operation could not be found."}
	}
	return &reply{status: http.StatusNoContent}, nil
}

func noSubscription(id directory.ObjectID) *failure {
	return &failure{status: http.StatusNotFound, code: "SubscriptionNotFound", text: "The subscription '" + id.String() + "' could not be found."}
}

// namespace is a resource provider and the types of it that live here.
type namespace struct {
	name  string
	types []string
}

// namespaces are the providers with something behind them.
var namespaces = []namespace{
	{"Microsoft.Authorization", []string{"roleAssignments", "roleDefinitions"}},
	{"Microsoft.Compute", []string{"virtualMachines"}},
	{"Microsoft.ManagedIdentity", []string{"identities", "operations", "userAssignedIdentities", "userAssignedIdentities/federatedIdentityCredentials"}},
	{"Microsoft.Resources", []string{"locations", "operationresults", "providers", "resourceGroups", "resources", "subscriptions", "tenants"}},
	{"Microsoft.Web", []string{"serverfarms", "sites", "sites/config"}},
}

// emptyNamespaces are what the Terraform provider registers before it begins.
// They have no types: registering one changes nothing.
var emptyNamespaces = strings.Fields(`
	Microsoft.AlertsManagement Microsoft.ApiManagement Microsoft.App Microsoft.AppConfiguration Microsoft.AppPlatform Microsoft.Automation
	Microsoft.AVS Microsoft.Blueprint Microsoft.BotService Microsoft.Cache Microsoft.Cdn Microsoft.CognitiveServices
	Microsoft.ContainerInstance Microsoft.ContainerRegistry Microsoft.ContainerService Microsoft.CostManagement
	Microsoft.CustomProviders Microsoft.Dashboard Microsoft.Databricks Microsoft.DataFactory Microsoft.DataLakeAnalytics Microsoft.DataLakeStore
	Microsoft.DataMigration Microsoft.DataProtection Microsoft.DBforMariaDB Microsoft.DBforMySQL Microsoft.DBforPostgreSQL
	Microsoft.DesktopVirtualization Microsoft.Devices Microsoft.DevTestLab Microsoft.DocumentDB Microsoft.EventGrid Microsoft.EventHub
	Microsoft.GuestConfiguration Microsoft.HDInsight Microsoft.HealthcareApis Microsoft.Insights Microsoft.KeyVault Microsoft.Kusto
	Microsoft.Logic Microsoft.MachineLearningServices Microsoft.Maintenance Microsoft.ManagedServices Microsoft.Management Microsoft.Maps
	Microsoft.MarketplaceOrdering Microsoft.Media Microsoft.MixedReality Microsoft.Network Microsoft.NotificationHubs
	Microsoft.OperationalInsights Microsoft.OperationsManagement Microsoft.PolicyInsights Microsoft.PowerBIDedicated
	Microsoft.RecoveryServices Microsoft.Relay Microsoft.Search Microsoft.Security Microsoft.SecurityInsights Microsoft.ServiceBus
	Microsoft.ServiceFabric Microsoft.ServiceLinker Microsoft.SignalRService Microsoft.Sql Microsoft.Storage Microsoft.StreamAnalytics
	Microsoft.TimeSeriesInsights`)

func namespaceNamed(name string) *namespace {
	for i := range namespaces {
		if strings.EqualFold(namespaces[i].name, name) {
			return &namespaces[i]
		}
	}
	for _, empty := range emptyNamespaces {
		if strings.EqualFold(empty, name) {
			return &namespace{name: empty}
		}
	}
	return nil
}

type providerItem struct {
	ID                 string         `json:"id"`
	Namespace          string         `json:"namespace"`
	RegistrationPolicy string         `json:"registrationPolicy"`
	ResourceTypes      []providerType `json:"resourceTypes"`
	RegistrationState  string         `json:"registrationState"`
}

type providerType struct {
	ResourceType      string   `json:"resourceType"`
	Locations         []string `json:"locations"`
	APIVersions       []string `json:"apiVersions"`
	DefaultAPIVersion string   `json:"defaultApiVersion"`
	Capabilities      string   `json:"capabilities"`
}

// versionsOf are what generic clients choose from. Any other date works too.
func versionsOf(namespace string) []string {
	switch namespace {
	case "Microsoft.ManagedIdentity":
		return []string{"2024-11-30", "2023-01-31", "2022-01-31-preview", "2018-11-30"}
	case "Microsoft.Authorization":
		return []string{"2022-04-01", "2020-04-01-preview", "2018-01-01-preview"}
	case "Microsoft.Compute":
		return []string{"2024-07-01", "2023-03-01", "2021-11-01"}
	case "Microsoft.Web":
		return []string{"2024-11-01", "2023-12-01", "2022-03-01"}
	}
	return []string{"2022-12-01", "2021-04-01", "2019-11-01"}
}

func providerOf(subscription directory.ObjectID, n *namespace) providerItem {
	item := providerItem{
		ID: manage.SubscriptionScope(subscription) + "/providers/" + n.name, Namespace: n.name,
		RegistrationPolicy: "RegistrationRequired", RegistrationState: "Registered", ResourceTypes: []providerType{},
	}
	versions := versionsOf(n.name)
	var places []string
	for _, r := range regions {
		places = append(places, r[1])
	}
	for _, t := range n.types {
		item.ResourceTypes = append(item.ResourceTypes, providerType{t, places, versions, versions[0], "SupportsTags, SupportsLocation"})
	}
	return item
}

func providers(c *call) (*reply, error) {
	p, err := c.subscriptionPlace()
	if err != nil {
		return nil, err
	}
	if _, err := c.api.manage.Subscription(c.ctx, c.caller, p); err != nil {
		return nil, err
	}
	var all []providerItem
	for i := range namespaces {
		all = append(all, providerOf(p.Subscription, &namespaces[i]))
	}
	for _, name := range emptyNamespaces {
		all = append(all, providerOf(p.Subscription, &namespace{name: name}))
	}
	return ok(list[providerItem]{Value: all})
}

func provider(c *call) (*reply, error) {
	p, err := c.subscriptionPlace()
	if err != nil {
		return nil, err
	}
	if _, err := c.api.manage.Subscription(c.ctx, c.caller, p); err != nil {
		return nil, err
	}
	n := namespaceNamed(c.params[1])
	if n == nil {
		return nil, noNamespace(c.params[1])
	}
	return ok(providerOf(p.Subscription, n))
}

// register answers that the provider is registered, which every provider is. It
// asks for the right all the same.
func register(c *call) (*reply, error) {
	p, err := c.subscriptionPlace()
	if err != nil {
		return nil, err
	}
	n := namespaceNamed(c.params[1])
	if n == nil {
		return nil, noNamespace(c.params[1])
	}
	p.Action = strings.Replace(c.action, "{namespace}", n.name, 1)
	if err := c.api.manage.DecideResource(c.ctx, c.caller, p); err != nil {
		return nil, err
	}
	return ok(providerOf(p.Subscription, n))
}

// operations lists what Microsoft.ManagedIdentity can be asked to do.
func operations(c *call) (*reply, error) {
	if _, err := c.api.manage.Account(c.ctx, c.caller, c.tenant); err != nil {
		return nil, err
	}
	type operation struct {
		Name    string            `json:"name"`
		Display map[string]string `json:"display"`
	}
	all := []operation{{"Microsoft.ManagedIdentity/register/action", map[string]string{"provider": "Microsoft.ManagedIdentity", "operation": "register"}}}
	for _, e := range c.api.table() {
		if strings.HasPrefix(e.Action, "Microsoft.ManagedIdentity/") && !slices.ContainsFunc(all, func(o operation) bool { return o.Name == e.Action }) {
			all = append(all, operation{e.Action, map[string]string{"provider": "Microsoft.ManagedIdentity", "operation": e.Action[strings.LastIndexByte(strings.TrimSuffix(e.Action, "/action"), '/')+1:]}})
		}
	}
	all = append(all, operation{manage.AssignIdentity, map[string]string{"provider": "Microsoft.ManagedIdentity", "operation": "assign"}})
	return ok(list[operation]{Value: all})
}

type groupItem struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       json.RawMessage   `json:"tags"`
	Properties map[string]string `json:"properties"`
}

const groupType = "Microsoft.Resources/resourceGroups"

func groupOf(p manage.Place, g *directory.ResourceGroup) groupItem {
	return groupItem{
		ID: manage.GroupScope(p.Subscription, g.Name), Name: g.Name, Type: groupType, Location: g.Location,
		Tags: orNone(manage.Tags(g.Kept)), Properties: map[string]string{"provisioningState": "Succeeded"},
	}
}

func listGroups(c *call) (*reply, error) {
	p, err := c.subscriptionPlace()
	if err != nil {
		return nil, err
	}
	if err := c.noFilter(); err != nil {
		return nil, err
	}
	groups, err := c.api.manage.ResourceGroups(c.ctx, c.caller, p)
	if err != nil {
		return nil, err
	}
	all := make([]groupItem, 0, len(groups))
	for i := range groups {
		all = append(all, groupOf(p, &groups[i]))
	}
	return paged(c, all, func(g groupItem) string { return g.ID })
}

func (c *call) noFilter() error {
	if c.query.Get("$filter") != "" {
		return badFilter()
	}
	return nil
}

func badFilter() *failure {
	return badRequest("InvalidFilterInQueryString", "The '$filter' of the request is not one that this list supports.")
}

func getGroup(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	g, err := c.api.manage.ResourceGroup(c.ctx, c.caller, p)
	if err != nil {
		return nil, err
	}
	return ok(groupOf(p, g))
}

func headGroup(c *call) (*reply, error) {
	if _, err := getGroup(c); err != nil {
		return nil, err
	}
	return &reply{status: http.StatusNoContent}, nil
}

func putGroup(c *call) (*reply, error)   { return writeGroup(c, false) }
func patchGroup(c *call) (*reply, error) { return writeGroup(c, true) }

func writeGroup(c *call, patch bool) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	if err := body.own(manage.GroupScope(p.Subscription, p.Group), p.Group, groupType); err != nil {
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
	rw.Change = func(before directory.Kept) (directory.Kept, error) {
		if patch && tags == nil {
			return before, nil
		}
		return before.With("tags", tags), nil
	}
	g, created, err := c.api.manage.PutResourceGroup(c.ctx, c.caller, p, rw)
	if err != nil {
		return nil, err
	}
	if !created {
		return ok(groupOf(p, g))
	}
	return &reply{status: http.StatusCreated, body: groupOf(p, g)}, nil
}

// deleteGroup deletes at once and answers as the real service does, which takes
// its time: with the place where the end of the operation can be seen.
func deleteGroup(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	if err := c.api.manage.DeleteResourceGroup(c.ctx, c.caller, p); err != nil {
		return nil, err
	}
	return &reply{status: http.StatusAccepted, header: map[string]string{
		"Location":       c.base + manage.SubscriptionScope(p.Subscription) + "/operationresults/" + uuid.NewString() + "?api-version=" + url.QueryEscape(c.version),
		"Retry-After":    "1",
		"Content-Length": "0",
	}}, nil
}

// genericItem is a resource in a list of all types.
type genericItem struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Type     string          `json:"type"`
	Location string          `json:"location"`
	Tags     json.RawMessage `json:"tags,omitempty"`
	Identity *identityBlock  `json:"identity,omitempty"`
}

func listResources(c *call) (*reply, error) {
	p, err := c.place()
	if err != nil {
		return nil, err
	}
	terms, valid := parseFilter(c.query.Get("$filter"))
	kind := ""
	for _, t := range terms {
		switch {
		case t.name == "resourcetype" && !t.call:
			kind = t.value
		case t.name == "resourcegroup" && !t.call && p.Group == "":
			p.Group = t.value
		default:
			valid = false
		}
	}
	if !valid {
		return nil, badFilter()
	}
	contents, err := c.api.manage.Resources(c.ctx, c.caller, p)
	if err != nil {
		return nil, err
	}
	var all []genericItem
	for i := range contents.Identities {
		m := identityOf(&contents.Identities[i])
		all = append(all, genericItem{ID: m.ID, Name: m.Name, Type: m.Type, Location: m.Location, Tags: m.Tags})
	}
	for i := range contents.Hosts {
		h := &contents.Hosts[i]
		all = append(all, genericItem{
			ID: hostID(p.Subscription, h), Name: h.Name, Type: h.Kind.ResourceType(), Location: h.Location, Tags: manage.Tags(h.Kept),
			Identity: c.blockOf(p.Subscription, h, contents.Assigned),
		})
	}
	for i := range contents.Plain {
		r := &contents.Plain[i]
		all = append(all, genericItem{ID: planID(p.Subscription, r), Name: r.Name, Type: r.Type, Location: r.Location, Tags: manage.Tags(r.Kept)})
	}
	if kind != "" {
		all = slices.DeleteFunc(all, func(g genericItem) bool { return !strings.EqualFold(g.Type, kind) })
	}
	return paged(c, all, func(g genericItem) string { return g.ID })
}
