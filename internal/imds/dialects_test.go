package imds

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/trust"
)

const vmGood = vmToken + "?api-version=2018-02-01&resource=api%3A%2F%2FAzureADTokenExchange"

func TestVirtualMachineBodies(t *testing.T) {
	const head = `{"access_token":"canary-eyJhbGciOi.token.text","client_id":"aaaaaaaa-0000-4000-8000-000000000001","expires_in":"86399","expires_on":"1795311953","ext_expires_in":"86399","not_before":"1795225254",`
	const tail = `"resource":"api://AzureADTokenExchange","token_type":"Bearer"}`
	tests := []struct{ name, target, want string }{
		{"the only identity", vmGood, head + tail},
		{"unescaped", vmToken + "?api-version=2018-02-01&resource=api://AzureADTokenExchange", head + tail},
		{"as JavaScript asks", "//metadata/identity/oauth2/token/?api-version=2018-02-01&resource=api%3A%2F%2FAzureADTokenExchange", head + tail},
		{"by client id", vmGood + "&" + msi1Client, head + tail},
		{"by client id in capitals", vmGood + "&client_id=AAAAAAAA-0000-4000-8000-000000000001", head + tail},
		{"empty id", vmGood + "&client_id=", head + tail},
		{"all ids empty", vmGood + "&client_id=&object_id=&msi_res_id=&clientid=", head + tail},
		{"by object id", vmGood + "&" + msi1Object, head + `"object_id":"bbbbbbbb-0000-4000-8000-000000000001",` + tail},
		{"by principal id", vmGood + "&principal_id=bbbbbbbb-0000-4000-8000-000000000001", head + `"object_id":"bbbbbbbb-0000-4000-8000-000000000001",` + tail},
		{"by msi_res_id", vmGood + "&msi_res_id=" + msi1Resource, head + `"msi_res_id":"` + msi1Resource + `",` + tail},
		{"by mi_res_id, escaped", vmGood + "&mi_res_id=" + url.QueryEscape(msi1Resource), head + `"msi_res_id":"` + msi1Resource + `",` + tail},
		{"by msi-res-id, in capitals", vmGood + "&msi-res-id=" + strings.ToUpper(msi1Resource), head + `"msi_res_id":"` + strings.ToUpper(msi1Resource) + `",` + tail},
		{"a later version", vmToken + "?api-version=2023-07-01&resource=" + exchange, head + tail},
		{"extras", vmGood + "&authority=x&xms_cc=cp1", head + tail},
		{"resource with a slash", vmToken + "?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F", head + `"resource":"https://management.azure.com/","token_type":"Bearer"}`},
		{"resource that JSON escapes", vmToken + "?api-version=2018-02-01&resource=https%3A%2F%2Fx%2F%22%5C%3C%C3%A9", head + `"resource":"https://x/\"\\<é","token_type":"Bearer"}`},
	}
	p := newPlatform(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := serve(t, p.vm, vmRequest(tt.target))
			if w.Code != http.StatusOK {
				t.Errorf("status %d", w.Code)
			}
			golden(t, w, tt.want)
			if !strings.HasPrefix(w.Header().Get("Server"), "IMDS/") {
				t.Errorf("Server %q", w.Header().Get("Server"))
			}
			var members map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &members); err != nil {
				t.Errorf("not an object of strings: %v", err)
			}
		})
	}
}

func TestVirtualMachineAsks(t *testing.T) {
	p := newPlatform(t)
	tests := []struct {
		query string
		want  trust.Selector
		fresh bool
	}{
		{"", trust.Selector{}, false},
		{"&bypass_cache=false", trust.Selector{}, false},
		{"&bypass_cache=true", trust.Selector{}, true},
		{"&" + msi1Client, trust.Selector{ClientID: msi1.ClientID}, false},
		{"&" + msi1Object, trust.Selector{ObjectID: msi1.PrincipalID}, false},
		{"&mi_res_id=" + msi1Resource, trust.Selector{ResourceID: msi1Resource}, false},
	}
	for _, tt := range tests {
		serve(t, p.vm, vmRequest(vmGood+tt.query))
		got := p.issuer.last(t)
		if got.Want != tt.want || got.Fresh != tt.fresh || !got.SoleUser || got.Tenant != contoso || got.Host != webVM || got.Resource != exchange {
			t.Errorf("%q asks %+v", tt.query, got)
		}
	}
}

func TestVirtualMachineErrors(t *testing.T) {
	const newest = `,"newest-versions":["2023-07-01","2021-02-01","2019-11-01"]}`
	set := func(all ...*directory.ManagedIdentity) func(*platform) {
		return func(p *platform) { p.issuer.assigned[webVM] = all }
	}
	disabled := *msi1
	disabled.Disabled = true
	tests := []struct {
		name   string
		setup  func(*platform)
		target string
		want   string
	}{
		{"not assigned", nil, vmGood + "&client_id=aaaaaaaa-0000-4000-8000-000000000002",
			`{"error":"invalid_request","error_description":"Identity not found: no identity with the id 'aaaaaaaa-0000-4000-8000-000000000002' is assigned to this host (host web-vm has msi-webapp1)."}`},
		{"client id is no GUID", nil, vmGood + "&client_id=msi-webapp1",
			`{"error":"invalid_request","error_description":"Identity not found: no identity with the id 'msi-webapp1' is assigned to this host (the id that was given is not a GUID)."}`},
		{"object id is no GUID", nil, vmGood + "&object_id=%7Baaaaaaaa-0000-4000-8000-000000000002%7D",
			`{"error":"invalid_request","error_description":"Identity not found: no identity with the id '{aaaaaaaa-0000-4000-8000-000000000002}' is assigned to this host (the id that was given is not a GUID)."}`},
		{"client id is a resource id", nil, vmGood + "&client_id=" + msi1Resource,
			`{"error":"invalid_request","error_description":"Identity not found: no identity with the id '` + msi1Resource + `' is assigned to this host (the id that was given is not a GUID)."}`},
		{"no identity at all", set(), vmGood,
			`{"error":"invalid_request","error_description":"Identity not found: this host has no identity to use when the request names none (host web-vm has )."}`},
		{"several and none named", set(msi1, msi2), vmGood,
			`{"error":"invalid_request","error_description":"Multiple user assigned identities exist, please specify the clientId or resourceId of the identity in the token request (host web-vm has msi-webapp1, msi-webapp2)."}`},
		{"disabled", set(&disabled), vmGood,
			`{"error":"unauthorized_client","error_description":"AADSTS12346: The managed identity is disabled."}`},
		{"host gone", func(p *platform) { delete(p.issuer.assigned, webVM) }, vmGood,
			`{"error":"invalid_request","error_description":"Identity not found: this host is not in the directory any more."}`},
		{"unknown resource", nil, vmToken + "?api-version=2018-02-01&resource=api://nobody",
			`{"error":"invalid_resource","error_description":"AADSTS12345: The resource principal named api://nobody was not found."}`},
		{"no resource", nil, vmToken + "?api-version=2018-02-01",
			`{"error":"invalid_request","error_description":"The parameter 'resource' is missing: it says what the token is for."}`},
		{"empty resource", nil, vmToken + "?api-version=2018-02-01&resource=",
			`{"error":"invalid_request","error_description":"The parameter 'resource' is missing: it says what the token is for."}`},
		{"two ids", nil, vmGood + "&" + msi1Client + "&msi_res_id=" + msi1Resource,
			`{"error":"invalid_request","error_description":"More than one identity is named: give one of the client id, the object id and the resource id."}`},
		{"two ids that agree", nil, vmGood + "&" + msi1Client + "&" + msi1Object,
			`{"error":"invalid_request","error_description":"More than one identity is named: give one of the client id, the object id and the resource id."}`},
		{"a parameter twice", nil, vmGood + "&resource=x",
			`{"error":"invalid_request","error_description":"The request is malformed: parameter 'resource' is given more than once."}`},
		{"one parameter in two spellings", nil, vmGood + "&msi_res_id=a&msi-res-id=a",
			`{"error":"invalid_request","error_description":"The request is malformed: parameter 'msi-res-id' is given more than once."}`},
		{"the other dialect's name", nil, vmGood + "&clientid=x",
			`{"error":"invalid_request","error_description":"The client id is named 'client_id' here, not 'clientid'."}`},
		{"no version", nil, vmToken + "?resource=x", `{"error":"Bad request. The parameter 'api-version' is missing."` + newest},
		{"an old version", nil, vmToken + "?api-version=2017-12-01&resource=x", `{"error":"Bad request. The api-version '2017-12-01' is not supported."` + newest},
		{"no date", nil, vmToken + "?api-version=2018-13-01&resource=x", `{"error":"Bad request. The api-version '2018-13-01' is not supported."` + newest},
		{"a date with more", nil, vmToken + "?api-version=2019-08-01-preview&resource=x", `{"error":"Bad request. The api-version '2019-08-01-preview' is not supported."` + newest},
		{"info without version", nil, vmInfo, `{"error":"Bad request. The parameter 'api-version' is missing."` + newest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			if tt.setup != nil {
				tt.setup(p)
			}
			w := serve(t, p.vm, vmRequest(tt.target))
			if w.Code != http.StatusBadRequest {
				t.Errorf("status %d", w.Code)
			}
			golden(t, w, tt.want)
			if !strings.HasPrefix(w.Header().Get("Server"), "IMDS/") {
				t.Errorf("Server %q", w.Header().Get("Server"))
			}
		})
	}

	p := newPlatform(t)
	began := time.Now()
	w := serve(t, p.vm, vmRequest(vmToken, header("Metadata")))
	if w.Code != 400 || time.Since(began) > 300*time.Millisecond {
		t.Errorf("the probe: %d after %s", w.Code, time.Since(began))
	}
	golden(t, w, `{"error":"invalid_request","error_description":"Required metadata header not specified: send 'Metadata: true', once."}`)
	// A probing client takes "Identity not found" for the final word.
	if w := serve(t, p.vm, vmRequest(vmGood+"&msi-res-id=/nobody", header("Metadata"))); w.Code != 400 || strings.Contains(w.Body.String(), "Identity not found") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	golden(t, serve(t, p.vm, vmRequest("/metadata/instance")), `{"error":"not_found","error_description":"There is no such endpoint here."}`)
	golden(t, serve(t, p.vm, vmRequest(vmToken, header("Via", "x"))), `{"error":"invalid_request","error_description":"Requests that were passed on are not answered here: remove the header 'Via'."}`)
	golden(t, serve(t, p.vm, vmRequest(vmToken, header("Origin", "x"))), `{"error":"forbidden","error_description":"Requests of web pages are not answered here."}`)
	p.issuer.fault = http.ErrBodyNotAllowed
	w = serve(t, p.vm, vmRequest(vmGood))
	if w.Code != 500 {
		t.Errorf("status %d", w.Code)
	}
	golden(t, w, `{"error":"server_error","error_description":"The managed identity endpoint failed. Its log says why."}`)
}

func TestVirtualMachineSystemIdentity(t *testing.T) {
	p := newPlatform(t)
	p.issuer.assigned[webVM] = []*directory.ManagedIdentity{msi1, msi2, system}
	w := serve(t, p.vm, vmRequest(vmGood))
	if w.Code != 200 || !strings.Contains(w.Body.String(), system.ClientID.String()) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestVirtualMachineOtherRoutes(t *testing.T) {
	p := newPlatform(t)
	golden(t, serve(t, p.vm, vmRequest(vmInfo+"?api-version=2018-02-01")), `{"tenantId":"3d1e2be9-a10a-4a0c-8380-7ce190f98ed9"}`)
	golden(t, serve(t, p.vm, vmRequest(vmVersions)), `{"apiVersions":["2018-02-01","2019-11-01","2021-02-01","2023-07-01"]}`)
	for _, path := range []string{vmInfo + "?api-version=2018-02-01", vmVersions} {
		if w := serve(t, p.vm, vmRequest(path, header("Metadata"))); w.Code != 400 {
			t.Errorf("%s without Metadata: %d", path, w.Code)
		}
	}
	if len(p.issuer.asked)+len(p.records.list()) != 0 {
		t.Error("what gives out no token asked or recorded something")
	}
}

const (
	appGood    = AppServicePath + "?api-version=2019-08-01&resource=api%3A%2F%2FAzureADTokenExchange"
	legacyGood = AppServicePath + "?api-version=2017-09-01&resource=api%3A%2F%2FAzureADTokenExchange"
)

func (p *platform) legacy(r *http.Request) {
	r.Header.Set("secret", r.Header.Get("X-Identity-Header"))
	r.Header.Del("X-Identity-Header")
}

func TestAppServiceBodies(t *testing.T) {
	const one = `{"access_token":"canary-eyJhbGciOi.token.text","client_id":"aaaaaaaa-0000-4000-8000-000000000001","expires_in":"86399","expires_on":"1795311953","not_before":"1795225254","resource":"api://AzureADTokenExchange","token_type":"Bearer"}`
	byDefault := strings.Replace(one, "0000001\"", "000000f\"", 1)
	legacyOne := strings.Replace(one, `"expires_in":"86399","expires_on":"1795311953","not_before":"1795225254"`, `"expires_on":"11/22/2026 01:45:53 +00:00","expires_in":"86399"`, 1)
	legacyDefault := strings.Replace(legacyOne, "0000001\"", "000000f\"", 1)
	p := newPlatform(t)
	as := func(*http.Request) {}
	tests := []struct {
		name, target string
		edit         func(*http.Request)
		want         string
	}{
		{"the default", appGood, as, byDefault},
		{"unescaped, trailing slash", AppServicePath + "/?resource=api://AzureADTokenExchange&api-version=2019-08-01", as, byDefault},
		{"a later version", AppServicePath + "?api-version=2020-06-01&resource=" + exchange, as, byDefault},
		{"by client id", appGood + "&" + msi1Client, as, one},
		{"by object id", appGood + "&" + msi1Object, as, one},
		{"by principal id", appGood + "&principal_id=bbbbbbbb-0000-4000-8000-000000000001", as, one},
		{"by mi_res_id", appGood + "&mi_res_id=" + msi1Resource, as, one},
		{"by msi_res_id", appGood + "&msi_res_id=" + msi1Resource, as, one},
		{"with Metadata", appGood, header("Metadata", "true"), byDefault},
		{"legacy default", legacyGood, p.legacy, legacyDefault},
		{"legacy empty id", legacyGood + "&clientid=", p.legacy, legacyDefault},
		{"legacy by client id", legacyGood + "&clientid=aaaaaaaa-0000-4000-8000-000000000001", p.legacy, legacyOne},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := serve(t, p.app, p.appRequest(tt.target, tt.edit))
			if w.Code != http.StatusOK || w.Header().Get("Server") != "" {
				t.Errorf("status %d, Server %q", w.Code, w.Header().Get("Server"))
			}
			golden(t, w, tt.want)
			if got := p.issuer.last(t); got.SoleUser || got.Host != webApp || got.Tenant != contoso {
				t.Errorf("asks %+v", got)
			}
		})
	}
}

func TestAppServiceErrors(t *testing.T) {
	p := newPlatform(t)
	const id = "5c5d1bf4-3c1f-4d2a-8c8e-0a1b2c3d4e5f"
	as := func(*http.Request) {}
	from := func(host directory.ObjectID) func(*http.Request) {
		return header("X-Identity-Header", p.secrets.Of(contoso, host).Reveal())
	}
	tests := []struct {
		name, target string
		edit         func(*http.Request)
		status       string
		message      string
	}{
		{"no secret", appGood, header("X-Identity-Header"), "401", "The secret header is missing: send X-IDENTITY-HEADER, once."},
		{"empty secret", appGood, header("X-Identity-Header", ""), "401", "The secret header is wrong: it must be the value of IDENTITY_HEADER as this run of the platform gave it out."},
		{"wrong secret", appGood, header("X-Identity-Header", strings.Repeat("0", 64)), "401", "The secret header is wrong: it must be the value of IDENTITY_HEADER as this run of the platform gave it out."},
		{"secret twice", appGood, func(r *http.Request) { r.Header.Add("X-Identity-Header", r.Header.Get("X-Identity-Header")) }, "401", "The secret header is missing: send X-IDENTITY-HEADER, once."},
		{"both headers", appGood, func(r *http.Request) { r.Header.Set("Secret", r.Header.Get("X-Identity-Header")) }, "401", "The secret header is missing: send X-IDENTITY-HEADER, once."},
		{"wrong secret, bad query", AppServicePath, header("X-Identity-Header", "x"), "401", "The secret header is wrong: it must be the value of IDENTITY_HEADER as this run of the platform gave it out."},
		{"legacy header, current version", appGood, p.legacy, "401", "With api-version 2019-08-01 the secret belongs in the header 'X-IDENTITY-HEADER'."},
		{"current header, legacy version", legacyGood, as, "401", "With api-version 2017-09-01 the secret belongs in the header 'secret'."},
		{"no system identity", appGood, from(otherApp), "400", "Identity not found: this host has no identity to use when the request names none (host web-vm has msi-webapp1, msi-webapp2)."},
		{"host gone", appGood, from(webVMGone), "400", "Identity not found: this host is not in the directory any more."},
		{"not assigned", appGood + "&client_id=aaaaaaaa-0000-4000-8000-000000000002", as, "400", "Identity not found: no identity with the id 'aaaaaaaa-0000-4000-8000-000000000002' is assigned to this host (host web-vm has msi-webapp1, web-vm)."},
		{"another host's identity", appGood + "&mi_res_id=" + msi2.ResourceID, as, "400", "Identity not found: no identity with the id '" + msi2.ResourceID + "' is assigned to this host (host web-vm has msi-webapp1, web-vm)."},
		{"unknown resource", AppServicePath + "?api-version=2019-08-01&resource=api://nobody", as, "400", "AADSTS12345: The resource principal named api://nobody was not found."},
		{"no resource", AppServicePath + "?api-version=2019-08-01", as, "400", "The parameter 'resource' is missing: it says what the token is for."},
		{"two ids", appGood + "&" + msi1Client + "&mi_res_id=x", as, "400", "More than one identity is named: give one of the client id, the object id and the resource id."},
		{"one id in two spellings", appGood + "&" + msi1Object + "&principal_id=x", as, "400", "The request is malformed: parameter 'principal_id' is given more than once."},
		{"no version", AppServicePath + "?resource=x", as, "400", "The request is malformed: the parameter 'api-version' is missing."},
		{"old version", AppServicePath + "?api-version=2018-02-01&resource=x", as, "400", "The request is malformed: the api-version '2018-02-01' is not supported; use 2019-08-01."},
		{"current name, legacy version", legacyGood + "&" + msi1Client, p.legacy, "400", "The request is malformed: api-version 2017-09-01 names an identity by 'clientid' only."},
		{"legacy name, current version", appGood + "&clientid=x", as, "400", "The request is malformed: the client id is named 'client_id' here, not 'clientid'."},
		{"elsewhere", "/msi", as, "404", "There is no such endpoint here."},
		{"foreign name", appGood, func(r *http.Request) { r.Host = "evil.example" }, "403", "The Host header is not an address of this endpoint."},
		{"POST", appGood, func(r *http.Request) { r.Method = http.MethodPost }, "405", "Only GET is answered here."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := serve(t, p.app, p.appRequest(tt.target, header("x-ms-client-request-id", id), tt.edit))
			golden(t, w, `{"statusCode":`+tt.status+`,"message":"`+tt.message+`","correlationId":"`+id+`"}`)
			if got := w.Result().Status[:3]; got != tt.status {
				t.Errorf("status %s", got)
			}
		})
	}
	w := serve(t, p.app, p.appRequest(AppServicePath, header("x-ms-client-request-id", "not a GUID")))
	var body struct{ CorrelationID string }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.CorrelationID) != 36 {
		t.Errorf("correlation id %q", body.CorrelationID)
	}
}

// webVMGone is a host that has a secret but is not in the directory.
var webVMGone = directory.MustObjectID("44444444-4444-4444-8444-444444444444")

// TestSecretsTellHostsApart: the secret decides which host is calling, and a
// forgotten one nobody.
func TestSecretsTellHostsApart(t *testing.T) {
	p := newPlatform(t)
	other := p.secrets.Of(contoso, otherApp).Reveal()
	target := appGood + "&mi_res_id=" + msi2.ResourceID
	if w := serve(t, p.app, p.appRequest(target, header("X-Identity-Header", other))); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := serve(t, p.app, p.appRequest(target)); w.Code != 400 {
		t.Errorf("an identity of another host: %d %s", w.Code, w.Body)
	}
	p.secrets.Forget(contoso, otherApp)
	if w := serve(t, p.app, p.appRequest(target, header("X-Identity-Header", other))); w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
