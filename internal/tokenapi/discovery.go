package tokenapi

import (
	"context"
	"encoding/base64"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/route"
)

// anyTenant stands for the tenant in documents that serve every tenant. It is
// literal: receivers put the token's tenant in its place.
const anyTenant = "{tenantid}"

// metadata is the OpenID provider metadata, OpenID Connect Discovery 1.0
// section 3, with the members that the real service adds.
type metadata struct {
	TokenEndpoint         string   `json:"token_endpoint"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	JWKSURI               string   `json:"jwks_uri"`
	ResponseModes         []string `json:"response_modes_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	SigningAlgorithms     []string `json:"id_token_signing_alg_values_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	Scopes                []string `json:"scopes_supported"`
	Issuer                string   `json:"issuer"`
	MultiRefreshToken     bool     `json:"microsoft_multi_refresh_token,omitempty"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint"`
	HTTPLogout            bool     `json:"http_logout_supported"`
	FrontchannelLogout    bool     `json:"frontchannel_logout_supported"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	Claims                []string `json:"claims_supported"`
	CheckSessionFrame     string   `json:"check_session_iframe,omitempty"`
	KerberosEndpoint      string   `json:"kerberos_endpoint,omitempty"`
	TenantRegionScope     *string  `json:"tenant_region_scope"`
	CloudInstance         string   `json:"cloud_instance_name"`
	CloudGraphHost        string   `json:"cloud_graph_host_name"`
	GraphHost             string   `json:"msgraph_host"`
	RBACURL               string   `json:"rbac_url"`
}

// published is a document that anyone may read, of one tenant or of all.
type published func(base string, of tenantNames) any

// tenantNames is how a document names its tenant.
type tenantNames struct {
	segment string  // in paths: the tenant's id, however it was asked for, or the name that stands for all
	issuer  string  // in issuers: the id, or the literal that stands for any
	region  *string // nil where the document serves every tenant
}

// publish answers a document for the tenant of the path, named by id or domain,
// or for the names that stand for every tenant.
func (a *API) publish(document published) route.Handler {
	return func(w http.ResponseWriter, r *http.Request, p route.Params) error {
		of, err := a.names(r.Context(), p[0])
		if errors.Is(err, directory.ErrNotFound) {
			no := tenantUnknown(p[0])
			no.oauth = "invalid_tenant"
			a.fail(w, a.event(r), no)
			return nil
		}
		if err != nil {
			return err
		}
		publicHeaders(w)
		return writeJSON(w, http.StatusOK, document(a.base(r), of))
	}
}

func (a *API) names(ctx context.Context, name string) (tenantNames, error) {
	switch lower := strings.ToLower(name); lower {
	case "common", "organizations":
		return tenantNames{segment: lower, issuer: anyTenant}, nil
	}
	tenant, err := a.service.Tenant(ctx, name)
	if err != nil {
		return tenantNames{}, err
	}
	id, region := tenant.ID.String(), a.service.Cloud().RegionScope
	return tenantNames{segment: id, issuer: id, region: &region}, nil
}

// discovery is the metadata document.
func (a *API) discovery(v version) route.Handler {
	return a.publish(func(base string, of tenantNames) any { return a.metadata(v, base, of) })
}

func (a *API) metadata(v version, base string, of tenantNames) *metadata {
	cloud := a.service.Cloud()
	root := base + "/" + of.segment
	m := &metadata{
		AuthMethods:       []string{"private_key_jwt"},
		ResponseModes:     []string{"query", "fragment", "form_post"},
		SubjectTypes:      []string{"pairwise"},
		SigningAlgorithms: []string{"RS256"},
		ResponseTypes:     []string{"code", "id_token", "code id_token", "id_token token"},
		Scopes:            []string{"openid", "profile", "email", "offline_access"},
		HTTPLogout:        true, FrontchannelLogout: true,
		Claims: []string{
			"sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name", "msgraph_host",
			"aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver", "at_hash", "c_hash", "email",
		},
		TenantRegionScope: of.region,
		CloudInstance:     cloud.Instance, CloudGraphHost: cloud.GraphLegacy, GraphHost: cloud.GraphHost,
		RBACURL: "https://pas.windows.net",
	}
	if v == version1 {
		m.Issuer = cloud.V1Issuer + of.issuer + "/"
		m.TokenEndpoint = root + "/oauth2/token"
		m.AuthorizationEndpoint = root + "/oauth2/authorize"
		m.DeviceEndpoint = root + "/oauth2/devicecode"
		m.EndSessionEndpoint = root + "/oauth2/logout"
		m.CheckSessionFrame = root + "/oauth2/checksession"
		m.JWKSURI = base + "/common/discovery/keys"
		m.UserinfoEndpoint = root + "/openid/userinfo"
		m.MultiRefreshToken = true
		return m
	}
	m.Issuer = "https://" + cloud.LoginHost + "/" + of.issuer + "/v2.0"
	m.TokenEndpoint = root + "/oauth2/v2.0/token"
	m.AuthorizationEndpoint = root + "/oauth2/v2.0/authorize"
	m.DeviceEndpoint = root + "/oauth2/v2.0/devicecode"
	m.EndSessionEndpoint = root + "/oauth2/v2.0/logout"
	m.JWKSURI = root + "/discovery/v2.0/keys"
	m.UserinfoEndpoint = "https://" + cloud.GraphHost + "/oidc/userinfo"
	m.KerberosEndpoint = root + "/kerberos"
	return m
}

// jsonWebKey is one published key, RFC 7517 section 4.
type jsonWebKey struct {
	Type       string   `json:"kty"`
	Use        string   `json:"use"`
	ID         string   `json:"kid"`
	Thumbprint string   `json:"x5t"`
	N          string   `json:"n"`
	E          string   `json:"e"`
	Chain      []string `json:"x5c"`
	Cloud      string   `json:"cloud_instance_name,omitempty"`
	Issuer     string   `json:"issuer,omitempty"`
}

// keySet answers the keys that tokens may be signed with: the one in use, the
// next one and those whose tokens still live. In version 2 each key names the
// issuer it may speak for.
func (a *API) keySet(v version) route.Handler {
	return a.publish(func(_ string, of tenantNames) any {
		cloud := a.service.Cloud()
		keys := make([]jsonWebKey, 0, 3)
		for _, k := range a.keys.Published() {
			key := jsonWebKey{
				Type: "RSA", Use: "sig", ID: k.ID, Thumbprint: k.ID,
				N:     base64.RawURLEncoding.EncodeToString(k.Key.N.Bytes()),
				E:     base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.Key.E)).Bytes()),
				Chain: []string{base64.StdEncoding.EncodeToString(k.Certificate)},
			}
			if v == version2 {
				key.Issuer = "https://" + cloud.LoginHost + "/" + of.issuer + "/v2.0"
				key.Cloud = cloud.Instance
			}
			keys = append(keys, key)
		}
		return struct {
			Keys []jsonWebKey `json:"keys"`
		}{keys}
	})
}

// publicHeaders sets the headers of documents that anyone may read and keep for a
// while: a quarter of the time for which a key is published before it signs.
func publicHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "max-age=21600, private")
	h.Set("Access-Control-Allow-Origin", "*")
	h["X-Content-Type-Options"] = noSniff
	h["Strict-Transport-Security"] = onlyTLS
}

// instanceDocument is the answer to "is this host an authority?".
type instanceDocument struct {
	TenantDiscoveryEndpoint string          `json:"tenant_discovery_endpoint"`
	APIVersion              string          `json:"api-version"`
	Metadata                []instanceAlias `json:"metadata"`
}

type instanceAlias struct {
	PreferredNetwork string   `json:"preferred_network"`
	PreferredCache   string   `json:"preferred_cache"`
	Aliases          []string `json:"aliases"`
}

// instance answers instance discovery: 200 for hosts that this platform
// answers for, with and without port, invalid_instance for all others.
func (a *API) instance(w http.ResponseWriter, r *http.Request, _ route.Params) error {
	refuse := func() error {
		a.fail(w, a.event(r), &failure{code: 50049, oauth: "invalid_instance", status: http.StatusBadRequest, lines: true,
			text: "Unknown or invalid instance."})
		return nil
	}
	query := r.URL.Query()
	endpoint, err := url.Parse(query.Get("authorization_endpoint"))
	if err != nil || endpoint.Scheme != "https" || endpoint.User != nil || len(query["authorization_endpoint"]) != 1 {
		return refuse()
	}
	base, ok := a.authority(strings.ToLower(endpoint.Host))
	if !ok {
		return refuse()
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(endpoint.Path, "/"), "/")
	for _, c := range tenant {
		if c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return refuse()
		}
	}
	if tenant == "" {
		return refuse()
	}
	own, err := url.Parse(base)
	if err != nil {
		return err
	}
	apiVersion := "1.1"
	if query.Get("api-version") == "1.0" {
		apiVersion = "1.0"
	}
	publicHeaders(w)
	return writeJSON(w, http.StatusOK, instanceDocument{
		TenantDiscoveryEndpoint: base + "/" + strings.ToLower(tenant) + "/v2.0/.well-known/openid-configuration",
		APIVersion:              apiVersion,
		Metadata:                a.instanceAliases(own.Host),
	})
}

// authority finds the base URL of a host of ours; the port may be left out.
func (a *API) authority(host string) (string, bool) {
	own, err := url.Parse(a.publicURL)
	if err == nil && (host == own.Host || host == own.Hostname()) {
		return a.publicURL, true
	}
	if base, ok := a.hosts[host]; ok {
		return base, true
	}
	for known, base := range a.hosts {
		if name, _, err := net.SplitHostPort(known); err == nil && name == strings.Trim(host, "[]") {
			return base, true
		}
	}
	return "", false
}

// instanceAliases lists the cloud's own names as the client libraries have
// them built in, and the host the caller came by, with and without port.
func (a *API) instanceAliases(host string) []instanceAlias {
	cloud := a.service.Cloud()
	all := []instanceAlias{{PreferredNetwork: cloud.LoginHost, PreferredCache: cloud.CacheHost(), Aliases: cloud.LoginAliases}}
	for _, alias := range cloud.LoginAliases {
		if alias == host {
			return all
		}
	}
	aliases := []string{host}
	if name, _, err := net.SplitHostPort(host); err == nil {
		aliases = append(aliases, name)
	}
	return append(all, instanceAlias{PreferredNetwork: host, PreferredCache: host, Aliases: aliases})
}
