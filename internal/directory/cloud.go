package directory

import "strings"

// Cloud is a cloud profile: the names that stand in tokens and discovery
// documents, and the one audience allowed for the exchange. Profiles are
// values; nothing in them changes at run time.
type Cloud struct {
	Name         string   // "global", "usgov", "china"
	Instance     string   // cloud_instance_name
	LoginHost    string   // the token service's own host name
	LoginAliases []string // other names of it, LoginHost included
	V1Issuer     string   // prefix; the tenant id and a slash follow
	ExchangeURI  string   // the audience of federated identity credentials
	ExchangeID   ClientID // the application behind ExchangeURI
	GraphHost    string
	GraphLegacy  string // host of the older Graph, still named in discovery
	ARMHost      string
	PortalHost   string
	StorageHosts string // suffix of storage account hosts, with a leading dot
	RegionScope  string
}

// V1IssuerOf is the issuer in v1.0 tokens of the tenant.
func (c *Cloud) V1IssuerOf(t TenantID) string { return c.V1Issuer + t.String() + "/" }

// V2IssuerOf is the issuer in v2.0 tokens of the tenant, and the issuer that a
// federated identity credential for a managed identity names.
func (c *Cloud) V2IssuerOf(t TenantID) string {
	return "https://" + c.LoginHost + "/" + t.String() + "/v2.0"
}

// CacheHost is the name under which client libraries keep this cloud's tokens.
func (c *Cloud) CacheHost() string {
	if c.Name == "global" {
		return "login.windows.net"
	}
	return c.LoginHost
}

// exchangeID is the application id of the token exchange resource. It is
// published for the global cloud; the other clouds' ids are not known, so the
// same one stands in for them.
const exchangeID = "fb60f99c-7a34-4190-8149-302f77469936"

// Global is the cloud for everybody; USGov and China are the other two that a
// platform can stand in for. Sources: "National clouds" in the identity
// platform's documentation, and the host lists built into the client libraries.
func Global() *Cloud {
	return &Cloud{
		Name: "global", Instance: "microsoftonline.com",
		LoginHost:    "login.microsoftonline.com",
		LoginAliases: []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"},
		V1Issuer:     "https://sts.windows.net/",
		ExchangeURI:  "api://AzureADTokenExchange", ExchangeID: MustClientID(exchangeID),
		GraphHost: "graph.microsoft.com", GraphLegacy: "graph.windows.net",
		ARMHost: "management.azure.com", PortalHost: "portal.azure.com",
		StorageHosts: ".core.windows.net", RegionScope: "WW",
	}
}

// USGov is the cloud for United States government tenants.
func USGov() *Cloud {
	return &Cloud{
		Name: "usgov", Instance: "microsoftonline.us",
		LoginHost:    "login.microsoftonline.us",
		LoginAliases: []string{"login.microsoftonline.us", "login.usgovcloudapi.net"},
		V1Issuer:     "https://sts.windows.net/",
		ExchangeURI:  "api://AzureADTokenExchangeUSGov", ExchangeID: MustClientID(exchangeID),
		GraphHost: "graph.microsoft.us", GraphLegacy: "graph.microsoftazure.us",
		ARMHost: "management.usgovcloudapi.net", PortalHost: "portal.azure.us",
		StorageHosts: ".core.usgovcloudapi.net", RegionScope: "USGov",
	}
}

// China is the cloud operated by 21Vianet.
func China() *Cloud {
	return &Cloud{
		Name: "china", Instance: "partner.microsoftonline.cn",
		LoginHost:    "login.partner.microsoftonline.cn",
		LoginAliases: []string{"login.partner.microsoftonline.cn", "login.chinacloudapi.cn"},
		V1Issuer:     "https://sts.chinacloudapi.cn/",
		ExchangeURI:  "api://AzureADTokenExchangeChina", ExchangeID: MustClientID(exchangeID),
		GraphHost: "microsoftgraph.chinacloudapi.cn", GraphLegacy: "graph.chinacloudapi.cn",
		ARMHost: "management.chinacloudapi.cn", PortalHost: "portal.azure.cn",
		StorageHosts: ".core.chinacloudapi.cn", RegionScope: "AS",
	}
}

// Clouds lists every profile.
func Clouds() []*Cloud { return []*Cloud{Global(), USGov(), China()} }

// CloudByName returns the profile, and false for an unknown name.
func CloudByName(name string) (*Cloud, bool) {
	for _, c := range Clouds() {
		if c.Name == name {
			return c, true
		}
	}
	return nil, false
}

// IssuerForm tells which of a cloud's own issuers a string is.
type IssuerForm int

// The forms of an issuer.
const (
	NotOurs   IssuerForm = iota
	V1Form               // issuer of v1.0 tokens
	V2Form               // issuer of v2.0 tokens
	AliasForm            // a spelling that names this cloud but stands in no token: an alias host, another case, a missing or extra slash
)

// OwnIssuer recognises the issuers of this cloud, of every tenant and in every
// spelling, so that none of them can be taken for somebody else's (threats F9).
// The tenant is zero when the string names none.
func (c *Cloud) OwnIssuer(issuer string) (IssuerForm, TenantID) {
	lower := strings.ToLower(strings.TrimSpace(issuer))
	rest, ok := strings.CutPrefix(lower, "https://")
	if !ok {
		if rest, ok = strings.CutPrefix(lower, "http://"); !ok {
			return NotOurs, TenantID{}
		}
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, `/\?#`); i >= 0 {
		authority, path = rest[:i], rest[i+1:]
	}
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	host, _, _ := strings.Cut(authority, ":")
	host = strings.TrimSuffix(host, ".")
	if !c.ownHost(host) {
		return NotOurs, TenantID{}
	}
	segment, _, _ := strings.Cut(path, "/")
	tenant, err := ParseTenantID(segment)
	if err != nil {
		return AliasForm, TenantID{}
	}
	switch issuer {
	case c.V2IssuerOf(tenant):
		return V2Form, tenant
	case c.V1IssuerOf(tenant):
		return V1Form, tenant
	}
	return AliasForm, tenant
}

func (c *Cloud) ownHost(host string) bool {
	v1 := strings.TrimSuffix(strings.TrimPrefix(c.V1Issuer, "https://"), "/")
	if host == v1 {
		return true
	}
	for _, alias := range c.LoginAliases {
		if host == alias {
			return true
		}
	}
	return false
}
