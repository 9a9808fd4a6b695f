package armapi

import (
	"net/http"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

// Endpoints are the addresses that the metadata states: what a client needs to
// know of a cloud that it was not built for. An address may end in a slash or
// not; each is written as clients expect it. What is empty is the cloud's own.
type Endpoints struct {
	Name            string // of the cloud: AzureCloud
	Login           string // https://login.microsoftonline.com
	Graph           string // https://graph.microsoft.com: base of the API and audience of its tokens
	ResourceManager string // https://management.azure.com
	Portal          string
	Suffixes        Suffixes
}

// Suffixes are the ends of host names of data services, without a leading dot.
type Suffixes struct {
	Storage   string `json:"storage"`
	KeyVault  string `json:"keyVaultDns"`
	Registry  string `json:"acrLoginServer"`
	SQLServer string `json:"sqlServerHostname"`
}

func (e Endpoints) withDefaults(c *directory.Cloud) Endpoints {
	name, suffixes := "AzureCloud", Suffixes{KeyVault: "vault.azure.net", Registry: "azurecr.io", SQLServer: "database.windows.net"}
	switch c.Name {
	case "usgov":
		name, suffixes = "AzureUSGovernment", Suffixes{KeyVault: "vault.usgovcloudapi.net", Registry: "azurecr.us", SQLServer: "database.usgovcloudapi.net"}
	case "china":
		name, suffixes = "AzureChinaCloud", Suffixes{KeyVault: "vault.azure.cn", Registry: "azurecr.cn", SQLServer: "database.chinacloudapi.cn"}
	}
	suffixes.Storage = strings.TrimPrefix(c.StorageHosts, ".")
	for _, f := range []struct {
		to      *string
		instead string
	}{
		{&e.Name, name}, {&e.Login, "https://" + c.LoginHost}, {&e.Graph, "https://" + c.GraphHost},
		{&e.ResourceManager, "https://" + c.ARMHost}, {&e.Portal, "https://" + c.PortalHost},
		{&e.Suffixes.Storage, suffixes.Storage}, {&e.Suffixes.KeyVault, suffixes.KeyVault},
		{&e.Suffixes.Registry, suffixes.Registry}, {&e.Suffixes.SQLServer, suffixes.SQLServer},
	} {
		if *f.to == "" {
			*f.to = f.instead
		}
	}
	for _, address := range []*string{&e.Login, &e.Graph, &e.ResourceManager, &e.Portal} {
		*address = strings.TrimRight(*address, "/")
	}
	return e
}

type authentication struct {
	LoginEndpoint    string   `json:"loginEndpoint"`
	Audiences        []string `json:"audiences"`
	Tenant           string   `json:"tenant"`
	IdentityProvider string   `json:"identityProvider"`
}

type cloudMetadata struct {
	Portal                   string         `json:"portal"`
	Authentication           authentication `json:"authentication"`
	GraphAudience            string         `json:"graphAudience"`
	Graph                    string         `json:"graph"`
	Name                     string         `json:"name"`
	Suffixes                 Suffixes       `json:"suffixes"`
	ResourceManager          string         `json:"resourceManager"`
	MicrosoftGraphResourceID string         `json:"microsoftGraphResourceId"`
}

// oldMetadata is what clients of 2015 read.
type oldMetadata struct {
	GalleryEndpoint string `json:"galleryEndpoint"`
	GraphEndpoint   string `json:"graphEndpoint"`
	PortalEndpoint  string `json:"portalEndpoint"`
	Authentication  struct {
		LoginEndpoint string   `json:"loginEndpoint"`
		Audiences     []string `json:"audiences"`
	} `json:"authentication"`
}

// document is the metadata in the shape of a version: an object of old names, a
// list of clouds, or the cloud itself (reference/graph.md, 9.1).
func (a *API) document(version string) any {
	e := a.endpoints
	// The first audience is what az asks its tokens for: the older name, with its
	// slash. The five of the cloud are the API, the older name, and its id.
	older := a.audiences[3]
	legacy := "https://" + a.cloud.GraphLegacy + "/"
	if version < "2018" {
		var old oldMetadata
		old.GraphEndpoint, old.PortalEndpoint = legacy, e.Portal+"/"
		old.Authentication.LoginEndpoint = e.Login + "/"
		old.Authentication.Audiences = []string{older, a.audiences[1]}
		return old
	}
	cloud := cloudMetadata{
		Portal: e.Portal, GraphAudience: legacy, Graph: legacy, Name: e.Name, Suffixes: e.Suffixes,
		ResourceManager: e.ResourceManager, MicrosoftGraphResourceID: e.Graph + "/",
		Authentication: authentication{LoginEndpoint: e.Login, Audiences: []string{older, a.audiences[1]}, Tenant: "common", IdentityProvider: "AAD"},
	}
	if version < "2022" {
		return []cloudMetadata{cloud}
	}
	return cloud
}

// metadata tells clients about this cloud. It is public: they have no token yet.
func metadata(c *call) (*reply, error) {
	if no := c.readQuery(c.request.URL.RawQuery); no != nil {
		return nil, no
	}
	return ok(c.api.document(c.version))
}

// Metadata serves GET /metadata/endpoints alone, for where no Handler stands.
func (a *API) Metadata() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := a.newCall(r, "")
		path, malformed := readPath(r.URL.EscapedPath())
		switch {
		case malformed != nil:
			c.answer(w, nil, malformed)
		case !strings.EqualFold(path.routed, metadataPath):
			c.answer(w, nil, &failure{status: http.StatusNotFound, code: "NotFound", text: "No HTTP resource was found that matches the request URI."})
		case r.Method != http.MethodGet:
			w.Header().Set("Allow", http.MethodGet)
			c.answer(w, nil, badVerb(r.Method))
		default:
			c.request = r
			rep, err := metadata(c)
			c.answer(w, rep, err)
		}
	})
}
