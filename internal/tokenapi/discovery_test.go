package tokenapi_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/directory"
)

// The documents of section 1.2 of the fact sheet. $BASE is the platform's own
// address, $T the tenant as the document names it, $I the tenant in issuers.
const (
	version2Document = `{
"token_endpoint":"$BASE/$T/oauth2/v2.0/token",
"token_endpoint_auth_methods_supported":["private_key_jwt"],
"jwks_uri":"$BASE/$T/discovery/v2.0/keys",
"response_modes_supported":["query","fragment","form_post"],
"subject_types_supported":["pairwise"],
"id_token_signing_alg_values_supported":["RS256"],
"response_types_supported":["code","id_token","code id_token","id_token token"],
"scopes_supported":["openid","profile","email","offline_access"],
"issuer":"https://login.microsoftonline.com/$I/v2.0",
"request_uri_parameter_supported":false,
"userinfo_endpoint":"https://graph.microsoft.com/oidc/userinfo",
"authorization_endpoint":"$BASE/$T/oauth2/v2.0/authorize",
"device_authorization_endpoint":"$BASE/$T/oauth2/v2.0/devicecode",
"http_logout_supported":true,
"frontchannel_logout_supported":true,
"end_session_endpoint":"$BASE/$T/oauth2/v2.0/logout",
"claims_supported":["sub","iss","cloud_instance_name","cloud_instance_host_name","cloud_graph_host_name","msgraph_host","aud","exp","iat","auth_time","acr","nonce","preferred_username","name","tid","ver","at_hash","c_hash","email"],
"kerberos_endpoint":"$BASE/$T/kerberos",
"tenant_region_scope":$REGION,
"cloud_instance_name":"microsoftonline.com",
"cloud_graph_host_name":"graph.windows.net",
"msgraph_host":"graph.microsoft.com",
"rbac_url":"https://pas.windows.net"}`
	version1Document = `{
"token_endpoint":"$BASE/$T/oauth2/token",
"token_endpoint_auth_methods_supported":["private_key_jwt"],
"jwks_uri":"$BASE/common/discovery/keys",
"response_modes_supported":["query","fragment","form_post"],
"subject_types_supported":["pairwise"],
"id_token_signing_alg_values_supported":["RS256"],
"response_types_supported":["code","id_token","code id_token","id_token token"],
"scopes_supported":["openid","profile","email","offline_access"],
"issuer":"https://sts.windows.net/$I/",
"microsoft_multi_refresh_token":true,
"request_uri_parameter_supported":false,
"userinfo_endpoint":"$BASE/$T/openid/userinfo",
"authorization_endpoint":"$BASE/$T/oauth2/authorize",
"device_authorization_endpoint":"$BASE/$T/oauth2/devicecode",
"http_logout_supported":true,
"frontchannel_logout_supported":true,
"end_session_endpoint":"$BASE/$T/oauth2/logout",
"claims_supported":["sub","iss","cloud_instance_name","cloud_instance_host_name","cloud_graph_host_name","msgraph_host","aud","exp","iat","auth_time","acr","nonce","preferred_username","name","tid","ver","at_hash","c_hash","email"],
"check_session_iframe":"$BASE/$T/oauth2/checksession",
"tenant_region_scope":$REGION,
"cloud_instance_name":"microsoftonline.com",
"cloud_graph_host_name":"graph.windows.net",
"msgraph_host":"graph.microsoft.com",
"rbac_url":"https://pas.windows.net"}`
)

func TestDiscovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, golden := range map[string]string{
		"/v2.0/.well-known/openid-configuration":  version2Document,
		"/v2.0/.well-known/openid-configuration?": version2Document, // MSAL Go's URL ends so
		"/.well-known/openid-configuration":       version1Document,
	} {
		for _, row := range []struct{ asked, named, issuer, region string }{
			{contoso, contoso, contoso, `"WW"`},
			{strings.ToUpper(contoso), contoso, contoso, `"WW"`},
			{"CONTOSO.example", contoso, contoso, `"WW"`},
			{"common", "common", "{tenantid}", "null"},
			{"Organizations", "organizations", "{tenantid}", "null"},
		} {
			t.Run(row.asked+path, func(t *testing.T) {
				a := w.get("/" + row.asked + path)
				want := strings.NewReplacer("\n", "", "$BASE", w.URL(), "$T", row.named, "$I", row.issuer, "$REGION", row.region).Replace(golden)
				if diff := cmp.Diff(indented(t, want), indented(t, a.raw)); a.status != http.StatusOK || diff != "" {
					t.Errorf("status %d (-want +got):\n%s", a.status, diff)
				}
				if got := a.header.Get("Access-Control-Allow-Origin"); got != "*" {
					t.Errorf("Access-Control-Allow-Origin %q", got)
				}
				if got := a.header.Get("Cache-Control"); got != "max-age=21600, private" {
					t.Errorf("Cache-Control %q", got)
				}
			})
		}
	}
	for _, name := range []string{northwind[:35] + "4", "unknown.example", "word", "consumers"} {
		for _, path := range []string{"/v2.0/.well-known/openid-configuration", "/.well-known/openid-configuration", "/discovery/v2.0/keys", "/discovery/keys"} {
			a := w.get("/" + name + path)
			w.refusedDiscovery(t, a, 90002)
		}
	}
}

// refusedDiscovery is refused for documents, where an unknown tenant has
// another name.
func (w *world) refusedDiscovery(t testing.TB, a answer, code int) {
	t.Helper()
	w.refusedAs(t, a, code, wire{"invalid_tenant", http.StatusBadRequest, false})
}

func indented(t testing.TB, text string) string {
	t.Helper()
	var out strings.Builder
	var raw json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	data, err := json.MarshalIndent(raw, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	out.Write(data)
	return out.String()
}

func TestKeySets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type key struct {
		KTY    string   `json:"kty"`
		Use    string   `json:"use"`
		KID    string   `json:"kid"`
		X5T    string   `json:"x5t"`
		N      string   `json:"n"`
		E      string   `json:"e"`
		X5C    []string `json:"x5c"`
		Cloud  string   `json:"cloud_instance_name"`
		Issuer string   `json:"issuer"`
	}
	for _, row := range []struct{ path, issuer, cloud string }{
		{"/" + contoso + "/discovery/v2.0/keys", issuer, "microsoftonline.com"},
		{"/contoso.example/discovery/v2.0/keys", issuer, "microsoftonline.com"},
		{"/common/discovery/v2.0/keys", "https://login.microsoftonline.com/{tenantid}/v2.0", "microsoftonline.com"},
		{"/" + contoso + "/discovery/keys", "", ""},
		{"/common/discovery/keys", "", ""},
	} {
		t.Run(row.path, func(t *testing.T) {
			var set struct {
				Keys []key `json:"keys"`
			}
			a := w.get(row.path)
			decoder := json.NewDecoder(strings.NewReader(a.raw))
			decoder.DisallowUnknownFields() // no private member either
			if err := decoder.Decode(&set); err != nil {
				t.Fatal(err)
			}
			if len(set.Keys) < 2 || set.Keys[0].KID == set.Keys[1].KID {
				t.Errorf("%d keys: %s", len(set.Keys), a.raw)
			}
			active := false
			for _, k := range set.Keys {
				active = active || k.KID == w.kid()
				if k.KTY != "RSA" || k.Use != "sig" || k.E != "AQAB" || k.X5T != k.KID || k.KID == "" || len(k.X5C) != 1 {
					t.Fatalf("key %+v", k)
				}
				if k.Issuer != row.issuer || k.Cloud != row.cloud {
					t.Errorf("issuer %q, cloud %q", k.Issuer, k.Cloud)
				}
				der, err := base64.StdEncoding.DecodeString(k.X5C[0])
				if err != nil {
					t.Fatal(err)
				}
				certificate, err := x509.ParseCertificate(der)
				if err != nil {
					t.Fatal(err)
				}
				n, err := base64.RawURLEncoding.DecodeString(k.N)
				if err != nil {
					t.Fatal(err)
				}
				if !(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}).Equal(certificate.PublicKey) {
					t.Error("x5c holds another key than n and e")
				}
			}
			if !active {
				t.Error("the key that signs is not published")
			}
		})
	}
}

func TestInstanceDiscovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(w.URL(), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(query string) answer { return w.get("/common/discovery/instance?" + query) }
	endpoint := func(host string) string {
		return "authorization_endpoint=" + url.QueryEscape("https://"+host+"/"+contoso+"/oauth2/v2.0/authorize")
	}
	login := "https://login.microsoftonline.com"
	for _, row := range []struct{ host, base string }{
		{"localhost:" + port, w.URL()},
		{"LOCALHOST:" + port, w.URL()},
		{"localhost", w.URL()}, // MSAL Python leaves the port out
		{"127.0.0.1:" + port, "https://127.0.0.1:" + port},
		{"127.0.0.1", "https://127.0.0.1:" + port},
		{"[::1]:" + port, "https://[::1]:" + port},
		{"[::1]", "https://[::1]:" + port},
		{"login.microsoftonline.com", login},
		{"login.windows.net", "https://login.windows.net"},
		{"sts.windows.net", "https://sts.windows.net"},
		{"login.microsoftonline.com:" + port, login + ":" + port},
	} {
		for _, version := range []string{"1.0", "1.1"} {
			t.Run(row.host+" "+version, func(t *testing.T) {
				a := ask("api-version=" + version + "&" + endpoint(row.host))
				if a.status != http.StatusOK {
					t.Fatalf("%d %s", a.status, a.raw)
				}
				if got, want := a.body["tenant_discovery_endpoint"], row.base+"/"+contoso+"/v2.0/.well-known/openid-configuration"; got != want {
					t.Errorf("tenant_discovery_endpoint %v, want %s", got, want)
				}
				if a.body["api-version"] != version {
					t.Errorf("api-version %v", a.body["api-version"])
				}
				if !aliased(a, strings.ToLower(row.host)) && !aliased(a, strings.Trim(row.host, "[]")) {
					t.Errorf("no alias is the host as it was asked for: %s", a.raw)
				}
				if a.header.Get("Access-Control-Allow-Origin") != "*" {
					t.Error("not readable for browsers")
				}
			})
		}
	}
	for name, query := range map[string]string{
		"a foreign host":                 endpoint("login.example.org"),
		"another cloud":                  endpoint("login.microsoftonline.us"),
		"the own host with another port": endpoint("localhost:1"),
		"a host that begins like ours":   endpoint("localhost.evil.example"),
		"a host that ends like ours":     endpoint("evil-localhost"),
		"user information":               endpoint("localhost@evil.example"),
		"user information before ours":   endpoint("evil@localhost"),
		"plain HTTP":                     "authorization_endpoint=" + url.QueryEscape("http://localhost/common/oauth2/authorize"),
		"no endpoint":                    "api-version=1.1",
		"an empty endpoint":              "authorization_endpoint=",
		"two endpoints":                  endpoint("localhost") + "&" + endpoint("evil.example"),
		"no tenant":                      "authorization_endpoint=" + url.QueryEscape(w.URL()+"/"),
		"a tenant with markup":           "authorization_endpoint=" + url.QueryEscape(w.URL()+"/<b>/x"),
		"no URL":                         "authorization_endpoint=%3A%2F%2F",
	} {
		t.Run(name, func(t *testing.T) { w.refused(t, ask(query), 50049) })
	}
}

func aliased(a answer, host string) bool {
	entries, _ := a.body["metadata"].([]any)
	for _, entry := range entries {
		aliases, _ := entry.(map[string]any)["aliases"].([]any)
		for _, alias := range aliases {
			if alias == host {
				return true
			}
		}
	}
	return false
}

// TestHostileHeaders: documents are made from configuration only (threats K8).
func TestHostileHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paths := []string{
		"/" + contoso + "/v2.0/.well-known/openid-configuration", "/common/.well-known/openid-configuration",
		"/" + contoso + "/discovery/v2.0/keys",
		"/common/discovery/instance?authorization_endpoint=" + url.QueryEscape(w.URL()+"/common/oauth2/authorize"),
	}
	headers := [][]string{
		{"Host", "evil.example"}, {"Host", "localhost:1"}, {"Host", "localhost.evil.example:8443"}, {"Host", "login.microsoftonline.us"}, {"Host", "x"},
		{"X-Forwarded-Host", "evil.example"}, {"X-Forwarded-Proto", "http"}, {"X-Forwarded-Port", "1"}, {"X-Forwarded-Server", "evil.example"},
		{"X-Forwarded-Prefix", "/evil"}, {"X-Forwarded-For", "192.0.2.1"}, {"X-Original-Host", "evil.example"}, {"X-Original-URL", "/evil"},
		{"X-Rewrite-URL", "/evil"}, {"X-Host", "evil.example"}, {"X-HTTP-Host-Override", "evil.example"}, {"Forwarded", "host=evil.example;proto=http"},
		{"Origin", "https://evil.example"}, {"Referer", "https://evil.example/"}, {"X-HTTP-Method-Override", "POST"},
	}
	for _, path := range paths {
		want := w.get(path).raw
		for _, header := range headers {
			a := w.get(path, header...)
			if a.raw != want {
				t.Errorf("%s with %v: another document: %s", path, header, a.raw)
			}
			for name, values := range a.header {
				if strings.Contains(strings.Join(values, " "), "evil") {
					t.Errorf("%s with %v: header %s: %v", path, header, name, values)
				}
			}
		}
	}
	for _, header := range headers {
		a := w.ask(contoso, form(stranger, "x"), header...)
		w.refused(t, a, 700016)
		if strings.Contains(a.raw, "evil") {
			t.Errorf("a refusal with %v: %s", header, a.raw)
		}
		if a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Error("the token endpoint answers other origins")
		}
	}
	// The platform's own names, as configured, do count.
	a := w.get(paths[0], "Host", "login.microsoftonline.com")
	if got := a.body["token_endpoint"]; got != "https://login.microsoftonline.com/"+contoso+"/oauth2/v2.0/token" {
		t.Errorf("under the cloud's own name the token endpoint is %v", got)
	}
}

// TestPaths: no route, another method and unclean paths have JSON answers, and
// nothing is ever redirected.
func TestPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/", "/favicon.ico", "/" + contoso, "/" + contoso + "/oauth2/v2.0/authorize", "/debug/pprof/", "/debug/vars", "/metrics",
		"/" + contoso + "//oauth2/v2.0/token", "/" + contoso + "/oauth2/v2.0/token/x", "/" + contoso + "/./oauth2/v2.0/token", "/oauth2/v2.0/token"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, "BREW"} {
			a := w.do(w.request(method, path, ""))
			w.refusedAs(t, a, 90100, wire{"invalid_request", http.StatusNotFound, false})
			if a.header.Get("Location") != "" {
				t.Errorf("%s %s redirects to %s", method, path, a.header.Get("Location"))
			}
		}
	}
	for _, row := range []struct{ method, path, allow string }{
		{http.MethodGet, "/" + contoso + "/oauth2/v2.0/token", "POST"},
		{http.MethodPut, "/" + contoso + "/oauth2/token", "POST"},
		{http.MethodOptions, "/" + contoso + "/oauth2/v2.0/token", "POST"},
		{http.MethodPost, "/" + contoso + "/v2.0/.well-known/openid-configuration", "GET"},
		{http.MethodDelete, "/common/discovery/instance", "GET"},
	} {
		a := w.do(w.request(row.method, row.path, ""))
		w.refusedAs(t, a, 900561, wire{"invalid_request", http.StatusMethodNotAllowed, false})
		if got := a.header.Get("Allow"); got != row.allow {
			t.Errorf("%s %s: Allow %q", row.method, row.path, got)
		}
	}
	if a := w.get("/health"); a.status != http.StatusOK || a.raw != `{"status":"ok"}` {
		t.Errorf("health: %d %s", a.status, a.raw)
	}
	issued(t, w.do(w.request(http.MethodPost, "//"+contoso+"/OAuth2/V2.0/Token/", form(orders, w.proof()).Encode())))
	a := w.do(w.request(http.MethodPost, "/"+contoso+"/oauth2/v2.0/devicecode", "client_id="+orders))
	w.refused(t, a, 51000)
}

// TestClouds runs the exchange in the other two clouds.
func TestClouds(t *testing.T) {
	t.Parallel()
	tenant := directory.MustTenantID(contoso)
	for _, cloud := range []*directory.Cloud{directory.USGov(), directory.China()} {
		t.Run(cloud.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorldIn(t, cloud)
			names := map[string][3]string{ // v2 issuer, v1 issuer, audience
				"usgov": {"https://login.microsoftonline.us/" + contoso + "/v2.0", "https://sts.windows.net/" + contoso + "/", "api://AzureADTokenExchangeUSGov"},
				"china": {"https://login.partner.microsoftonline.cn/" + contoso + "/v2.0", "https://sts.chinacloudapi.cn/" + contoso + "/", "api://AzureADTokenExchangeChina"},
			}[cloud.Name]
			if got := w.get("/" + contoso + "/v2.0/.well-known/openid-configuration").body["issuer"]; got != names[0] {
				t.Errorf("version 2 issuer %v", got)
			}
			if got := w.get("/" + contoso + "/.well-known/openid-configuration").body["issuer"]; got != names[1] {
				t.Errorf("version 1 issuer %v", got)
			}
			if cloud.ExchangeURI != names[2] {
				t.Errorf("audience %s", cloud.ExchangeURI)
			}
			if got := payload(t, w.proof()); !strings.Contains(got, `"iss":"`+names[0]+`"`) {
				t.Errorf("identity token %s", got)
			}
			storageToken := payload(t, issued(t, w.ask(contoso, form(orders, w.proof()))))
			if !strings.Contains(storageToken, `"iss":"`+names[1]+`"`) {
				t.Errorf("application token %s", storageToken)
			}
			ledgerToken := payload(t, issued(t, w.ask(contoso, with(form(orders, w.proof()), "scope", "api://ledger/.default"))))
			if !strings.Contains(ledgerToken, `"iss":"`+names[0]+`"`) {
				t.Errorf("version 2 token %s", ledgerToken)
			}
			claims := map[string]any{"iss": "https://login.microsoftonline.com/" + contoso + "/v2.0"}
			w.refused(t, w.ask(contoso, form(orders, w.resigned(claims))), 700211)
			global := w.clientTrusting(trusting("https://login.microsoftonline.com/"+contoso+"/v2.0", msi, exchangeURI))
			w.refused(t, w.ask(contoso, form(global, w.resigned(claims))), 700238)
			audience := w.clientTrusting(trusting(cloud.V2IssuerOf(tenant), msi, exchangeURI))
			w.refused(t, w.ask(contoso, form(audience, w.proof())), 700214)
			a := w.get("/common/discovery/instance?authorization_endpoint=" + url.QueryEscape("https://login.microsoftonline.com/common/oauth2/authorize"))
			w.refused(t, a, 50049)
		})
	}
}
