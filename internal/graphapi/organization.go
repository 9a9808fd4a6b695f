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
	readOrganization = access.Permission{
		Delegated:   []string{"User.Read", "Organization.Read.All", "Directory.Read.All", "Directory.ReadWrite.All", "User.Read.All", "User.ReadWrite.All"},
		Application: []string{"Organization.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"},
		Action:      "microsoft.directory/organization/standard/read", Member: true,
	}
	readDomains = access.Permission{
		Delegated:   directoryScopes,
		Application: directoryScopes,
		Action:      "microsoft.directory/domains/standard/read", Member: true,
	}
)

func (a *API) organizationRoutes() []Operation {
	return []Operation{
		{Method: http.MethodGet, Path: "/organization", Need: readOrganization, Query: &organizationSchema, Options: selecting | filtering | paging, Handle: listOrganization},
		{Method: http.MethodGet, Path: "/organization/{id}", Need: readOrganization, Query: &organizationSchema, Options: selecting, Handle: getOrganization},
		{Method: http.MethodGet, Path: "/domains", Need: readDomains, Query: &domainSchema, Options: selecting | filtering | paging, Handle: listDomains},
		{Method: http.MethodGet, Path: "/domains/{id}", Need: readDomains, Query: &domainSchema, Options: selecting, Handle: getDomain},
	}
}

var (
	verifiedDomain = odata.Property{Kind: odata.Complex, Type: "verifiedDomain", Collection: true, Members: map[string]odata.Property{
		"capabilities": {Kind: odata.String}, "isDefault": {Kind: odata.Bool}, "isInitial": {Kind: odata.Bool}, "name": {Kind: odata.String}, "type": {Kind: odata.String},
	}}
	organizationSchema = odata.Schema{Type: "organization", Properties: map[string]odata.Property{
		"id": {Kind: odata.GUID, Filter: odata.OpEq}, "deletedDateTime": {Kind: odata.Time}, "displayName": {Kind: odata.String, Filter: odata.OpEq | odata.OpStartsWith},
		"tenantType": {Kind: odata.String}, "createdDateTime": {Kind: odata.Time}, "countryLetterCode": {Kind: odata.String},
		"verifiedDomains": verifiedDomain, "businessPhones": {Kind: odata.String, Collection: true},
		"assignedPlans":              {Kind: odata.Complex, Type: "assignedPlan", Collection: true},
		"provisionedPlans":           {Kind: odata.Complex, Type: "provisionedPlan", Collection: true},
		"technicalNotificationMails": {Kind: odata.String, Collection: true},
		"defaultUsageLocation":       {Kind: odata.String}, "preferredLanguage": {Kind: odata.String}, "onPremisesSyncEnabled": {Kind: odata.Bool},
	}}
	domainSchema = odata.Schema{Type: "domain", Properties: map[string]odata.Property{
		"id": {Kind: odata.String, Filter: odata.OpEq}, "authenticationType": {Kind: odata.String}, "availabilityStatus": {Kind: odata.String},
		"isAdminManaged": {Kind: odata.Bool}, "isDefault": {Kind: odata.Bool, Filter: odata.OpEq}, "isInitial": {Kind: odata.Bool}, "isRoot": {Kind: odata.Bool},
		"isVerified": {Kind: odata.Bool, Filter: odata.OpEq}, "supportedServices": {Kind: odata.String, Collection: true},
	}}
)

// domainsOf lists the domains of a tenant. One without any is shown with the
// name that the real service gives every tenant at its birth, under a name that
// nobody can register.
func domainsOf(t *directory.Tenant) []string {
	if len(t.Domains) == 0 {
		return []string{strings.ToLower(t.Name) + ".avouch.invalid"}
	}
	return t.Domains
}

func organizationEntity(t *directory.Tenant) entity {
	var domains []entity
	for i, d := range domainsOf(t) {
		domains = append(domains, entity{
			{"capabilities", "Email, OfficeCommunicationsOnline"}, {"isDefault", i == 0}, {"isInitial", i == 0}, {"name", d}, {"type", "Managed"},
		})
	}
	return entity{
		{"id", t.ID.String()}, {"deletedDateTime", nil}, {"businessPhones", []string{}}, {"countryLetterCode", nil}, {"createdDateTime", nil},
		{"defaultUsageLocation", nil}, {"displayName", t.Title()}, {"onPremisesSyncEnabled", nil}, {"preferredLanguage", nil},
		{"technicalNotificationMails", []string{}}, {"tenantType", "AAD"}, {"assignedPlans", []entity{}}, {"provisionedPlans", []entity{}},
		{"verifiedDomains", domains},
	}
}

func domainEntity(name string, first bool) entity {
	return entity{
		{"authenticationType", "Managed"}, {"availabilityStatus", nil}, {"id", name}, {"isAdminManaged", true}, {"isDefault", first},
		{"isInitial", first}, {"isRoot", true}, {"isVerified", true}, {"supportedServices", []string{}},
	}
}

func listOrganization(c *call) error {
	t, err := c.api.manage.Organization(c.ctx, c.caller, c.tenant)
	if err != nil {
		return err
	}
	values, next, count, err := listAll(c, &organizationSchema, []entity{organizationEntity(t)})
	if err != nil {
		return err
	}
	return c.replyAll("organization", values, next, count)
}

func getOrganization(c *call) error {
	name, value := keyOf(c.params[0])
	t, err := c.api.manage.Organization(c.ctx, c.caller, c.tenant)
	if err != nil {
		return err
	}
	if id, err := directory.ParseTenantID(value); err != nil || id != t.ID || name != "" && name != "id" {
		return notFound(value)
	}
	return c.reply(http.StatusOK, "organization", organizationEntity(t), "")
}

func listDomains(c *call) error {
	t, err := c.api.manage.Organization(c.ctx, c.caller, c.tenant)
	if err != nil {
		return err
	}
	var all []entity
	for i, d := range domainsOf(t) {
		all = append(all, domainEntity(d, i == 0))
	}
	values, next, count, err := listAll(c, &domainSchema, all)
	if err != nil {
		return err
	}
	return c.replyAll("domains", values, next, count)
}

func getDomain(c *call) error {
	_, value := keyOf(c.params[0])
	t, err := c.api.manage.Organization(c.ctx, c.caller, c.tenant)
	if err != nil {
		return err
	}
	i := slices.Index(domainsOf(t), strings.ToLower(value))
	if i < 0 {
		return notFound(value)
	}
	return c.reply(http.StatusOK, "domains", domainEntity(domainsOf(t)[i], i == 0), "")
}
