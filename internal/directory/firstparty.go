package directory

import "strings"

// FirstParty is a resource that every tenant has from the start: its service
// principal is made together with the tenant.
type FirstParty struct {
	Name         string
	ClientID     ClientID
	Owner        TenantID
	URIs         []string // what it may be asked for by, beside its client id
	HostSuffixes []string // https://{one label}{suffix} also names it
	TokenVersion TokenVersion
	AppRoles     []AppRole
	Scopes       []PermissionScope
}

// ManagementClientID is the client id of the resource manager.
var ManagementClientID = MustClientID("797f4846-ba00-4fd7-ba43-dac1f8f63013")

// firstPartyOwner is the tenant that the real service's own applications live in.
const firstPartyOwner = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"

// FirstParties lists the resources that exist in every tenant of the cloud.
// Sources: the public list of first-party application ids, and the scopes that
// the SDKs of these services ask for. Each URI is known with and without its
// trailing slash, because clients use both.
func (c *Cloud) FirstParties() []FirstParty {
	owner := MustTenantID(firstPartyOwner)
	both := func(uris ...string) []string {
		var all []string
		for _, u := range uris {
			all = append(all, u, u+"/")
		}
		return all
	}
	vault, armCore := "https://vault.azure.net", "https://management.core.windows.net"
	switch c.Name {
	case "usgov":
		vault, armCore = "https://vault.usgovcloudapi.net", "https://management.core.usgovcloudapi.net"
	case "china":
		vault, armCore = "https://vault.azure.cn", "https://management.core.chinacloudapi.cn"
	}
	return []FirstParty{
		{
			Name: "Microsoft Graph", ClientID: GraphClientID, Owner: owner,
			URIs: both("https://" + c.GraphHost), TokenVersion: V1,
			AppRoles: graphAppRoles, Scopes: graphScopes,
		},
		{
			Name: "Windows Azure Service Management API", ClientID: ManagementClientID, Owner: owner,
			URIs: both("https://"+c.ARMHost, armCore), TokenVersion: V1,
		},
		{
			Name: "Azure Storage", ClientID: MustClientID("e406a681-f3d4-42a8-90b6-c2b029497af1"), Owner: owner,
			URIs: both("https://storage.azure.com"),
			HostSuffixes: []string{
				".blob" + c.StorageHosts, ".queue" + c.StorageHosts, ".table" + c.StorageHosts,
				".file" + c.StorageHosts, ".dfs" + c.StorageHosts,
			},
			TokenVersion: V1,
		},
		{
			Name: "Azure Key Vault", ClientID: MustClientID("cfa8b339-82a2-471a-a3c9-0fc0be7a4093"), Owner: owner,
			URIs: both(vault), HostSuffixes: []string{strings.Replace(vault, "https://", ".", 1)}, TokenVersion: V1,
		},
		{
			Name: "AAD Token Exchange Endpoint", ClientID: c.ExchangeID, Owner: owner,
			URIs: []string{c.ExchangeURI}, TokenVersion: V2,
		},
	}
}

// FirstPartyByHost finds the first-party resource that a URL such as
// https://account.blob.core.windows.net names. One label, nothing after the
// host but an optional slash, lower case.
func (c *Cloud) FirstPartyByHost(identifier string) (ClientID, bool) {
	host, ok := strings.CutPrefix(identifier, "https://")
	if !ok {
		return ClientID{}, false
	}
	host = strings.TrimSuffix(host, "/")
	for _, fp := range c.FirstParties() {
		for _, suffix := range fp.HostSuffixes {
			label, ok := strings.CutSuffix(host, suffix)
			if ok && label != "" && ValidateDomain("", label+suffix) == nil && !strings.Contains(label, ".") {
				return fp.ClientID, true
			}
		}
	}
	return ClientID{}, false
}
