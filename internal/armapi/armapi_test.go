package armapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/armapi"
)

// path fills the parameters of a route in a subscription.
func path(r armapi.Route, subscription string) string {
	return strings.NewReplacer("{subscription}", subscription, "{group}", "web", "{name}", "msi-webapp1", "{credential}", "some",
		"{scope}", "subscriptions/"+subscription, "{id}", owner, "{namespace}", "Microsoft.Web", "{operation}", owner).Replace(r.Path)
}

func bodyFor(r armapi.Route) string {
	switch {
	case r.Method != http.MethodPut && r.Method != http.MethodPatch:
		return ""
	case strings.Contains(r.Path, "roleAssignments"):
		return assignment(reader, msi, "")
	case strings.Contains(r.Path, "federatedIdentityCredentials"):
		return `{"properties":{"issuer":"https://issuer.example","subject":"s","audiences":["a"]}}`
	}
	return `{"location":"westeurope"}`
}

// TestMatrix walks the table: every route but the public one wants a token,
// every route with an action refuses a caller without rights in a form of its
// own, and a foreign subscription is as absent as one that nobody has.
func TestMatrix(t *testing.T) {
	w := newWorld(t)
	for _, r := range w.api.Routes() {
		t.Run(r.Method+" "+r.Path, func(t *testing.T) {
			w.t = t
			if r.Public {
				w.ok(200, "", r.Method, path(r, ours)+"?api-version=2022-09-01", "")
				return
			}
			want401 := "AuthenticationFailed"
			if r.Method == http.MethodHead {
				if a := w.do("", r.Method, path(r, ours)+v, ""); a.status != 401 {
					t.Errorf("without a token: %d", a.status)
				}
				return
			}
			w.refused(401, want401, "", r.Method, path(r, ours)+v, bodyFor(r))
			w.refused(401, "InvalidAuthenticationToken", "gone", r.Method, path(r, ours)+v, bodyFor(r))
			if r.Action == "" {
				return
			}
			// Lists of a whole subscription show nothing instead of refusing.
			if a := w.do("nobody", r.Method, path(r, ours)+v, bodyFor(r)); a.status == 200 {
				if len(a.names()) != 0 || r.Method != http.MethodGet {
					t.Errorf("a caller without rights was answered %s", a.raw)
				}
			} else {
				w.refused(403, "AuthorizationFailed", "nobody", r.Method, path(r, ours)+v, bodyFor(r))
			}
			foreign := w.refused(404, "SubscriptionNotFound", "owner", r.Method, path(r, theirs)+v, bodyFor(r))
			absent := w.refused(404, "SubscriptionNotFound", "owner", r.Method, path(r, nobodys)+v, bodyFor(r))
			if got := strings.ReplaceAll(foreign.at("error", "message"), theirs, nobodys); got != absent.at("error", "message") {
				t.Errorf("foreign and absent differ: %q and %q", got, absent.at("error", "message"))
			}
		})
	}
}

func TestAuthentication(t *testing.T) {
	w := newWorld(t)
	for _, row := range []struct{ token, code string }{
		{"forged", "InvalidAuthenticationToken"}, {"expired", "ExpiredAuthenticationToken"}, {"elsewhere", "InvalidAuthenticationTokenAudience"},
	} {
		a := w.refused(401, row.code, row.token, "GET", "/subscriptions"+v, "")
		challenge := a.header.Get("WWW-Authenticate")
		if !strings.HasPrefix(challenge, `Bearer authorization_uri="https://localhost:8443/common", error="invalid_token", error_description="`) {
			t.Errorf("%s: challenge %q", row.token, challenge)
		}
	}
	w.refused(401, "InvalidAuthenticationToken", "", "GET", "/subscriptions"+v, "", "Authorization", "Basic YTpi")
	w.refused(401, "AuthenticationFailed", "", "GET", "/no/such/path", "")
	w.refused(401, "AuthenticationFailed", "", "GET", "/subscriptions/a%2Fb", "")
	w.refused(403, "AuthorizationFailed", "ada-unscoped", "GET", "/subscriptions"+v, "")
	w.ok(200, "ada", "GET", web+v, "") // through a group
}

func TestConventions(t *testing.T) {
	w := newWorld(t)
	id := "0b0c0d0e-0000-4000-8000-000000000001"
	a := w.do("owner", "GET", web+v, "", "x-ms-client-request-id", id, "x-ms-correlation-request-id", id)
	for name, want := range map[string]string{
		"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "-1", "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
		"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding", "x-ms-client-request-id": id, "x-ms-correlation-request-id": id,
		"x-ms-ratelimit-remaining-subscription-reads": "11999",
		"x-ms-routing-request-id":                     "LOCAL:20260301T120000Z:" + a.header.Get("x-ms-request-id"),
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if a := w.do("owner", "GET", web+v, "", "x-ms-client-request-id", "anything"); a.header.Get("x-ms-client-request-id") != "" {
		t.Error("a request id that is no GUID is echoed")
	}
	big := `{"location":"` + strings.Repeat("x", 1<<20) + `"}`
	for _, row := range []struct {
		status             int
		code               string
		method, path, body string
		header             []string
	}{
		{400, "MissingApiVersionParameter", "GET", web, "", nil},
		{400, "InvalidApiVersionParameter", "GET", web + "?api-version=latest", "", nil},
		{400, "InvalidApiVersionParameter", "GET", web + "?api-version=2021-13-01", "", nil},
		{400, "InvalidRequestUri", "GET", web + v + "&API-VERSION=2021-04-01", "", nil},
		{400, "InvalidDoubleEncodedRequestUri", "GET", sub + "/resourceGroups/a%2Fb" + v, "", nil},
		{400, "InvalidDoubleEncodedRequestUri", "GET", sub + "/resourceGroups/a%252Fb" + v, "", nil},
		{400, "InvalidRequestUri", "GET", sub + "/resourceGroups/%2e%2e" + v, "", nil},
		{400, "InvalidRequestUri", "GET", sub + "/resourceGroups/../x" + v, "", nil},
		{400, "InvalidRequestUri", "GET", sub + "/resourceGroups/a;b" + v, "", nil},
		{400, "InvalidRequestUri", "GET", sub + "/resourceGroups/a%00" + v, "", nil},
		{400, "InvalidRequestUri", "GET", sub + "/resourceGroups/%C3%A4" + v, "", nil},
		{400, "InvalidSubscriptionId", "GET", "/subscriptions/mine" + v, "", nil},
		{404, "NotFound", "GET", "/nothing" + v, "", nil},
		{404, "InvalidResourceNamespace", "GET", web + "/providers/Contoso.Things/things/a" + v, "", nil},
		{404, "InvalidResourceType", "GET", web + "/providers/Microsoft.Compute/disks/a" + v, "", nil},
		{404, "InvalidResourceType", "PUT", web + "/providers/Microsoft.Storage/storageAccounts/a" + v, "{}", nil},
		{405, "MethodNotAllowed", "POST", web + v, "{}", nil},
		{415, "UnsupportedMediaType", "PUT", web + v, "{}", []string{"Content-Type", "text/plain"}},
		{415, "UnsupportedMediaType", "PUT", web + v, "{}", []string{"Content-Encoding", "gzip"}},
		{413, "RequestEntityTooLarge", "PUT", web + v, big, nil},
		{400, "InvalidRequestContent", "PUT", web + v, `{"location":"a","location":"b"}`, nil},
		{400, "InvalidRequestContent", "PUT", web + v, `{"location":"a","Location":"b"}`, nil},
		{400, "InvalidRequestContent", "PUT", web + v, strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), nil},
		{400, "InvalidRequestContent", "PUT", web + v, `[]`, nil},
		{400, "InvalidRequestContent", "PUT", web + v, `{"location":1}`, nil},
		{405, "MethodNotAllowed", "POST", web + v, "{}", []string{"X-HTTP-Method-Override", "DELETE"}},
	} {
		w.refused(row.status, row.code, "owner", row.method, row.path, row.body, row.header...)
	}
}

func TestCaseAndSlashes(t *testing.T) {
	w := newWorld(t)
	for _, p := range []string{
		lower + uami + "msi-webapp1", "/" + web + uami + "msi-webapp1/", strings.ReplaceAll(web+uami, "/", "//") + "msi-webapp1",
		strings.ToUpper(web + uami + "msi-webapp1"), sub + "/ResourceGroups/WEB" + uami + "MSI-WebApp1", web + uami + "msi%2Dwebapp1",
	} {
		a := w.ok(200, "reader", "GET", p+v, "")
		if got := a.at("id"); got != lower+uami+"msi-webapp1" {
			t.Errorf("GET %s: id %q", p, got)
		}
	}
}

func TestBootstrap(t *testing.T) {
	w := newWorld(t)
	a := w.ok(200, "nobody", "GET", "/tenants"+v, "")
	if got := a.body["value"].([]any)[0].(map[string]any)["tenantId"]; got != contoso {
		t.Errorf("tenant %v", got)
	}
	for caller, want := range map[string]int{"owner": 1, "ada": 1, "webreader": 1, "nobody": 0, "fab-owner": 1} {
		a := w.ok(200, caller, "GET", "/subscriptions"+v, "")
		if got := len(a.body["value"].([]any)); got != want {
			t.Errorf("%s sees %d subscriptions, want %d", caller, got, want)
		}
	}
	a = w.ok(200, "webreader", "GET", sub+v, "")
	if a.at("id") != sub || a.at("tenantId") != contoso || a.at("state") != "Enabled" || a.at("displayName") != "Contoso Ltd" {
		t.Errorf("subscription %s", a.raw)
	}
	w.ok(200, "reader", "GET", sub+"/locations"+v, "")
	if got := w.ok(200, "reader", "GET", sub+"/providers"+v, "").raw; !strings.Contains(got, `"namespace":"Microsoft.Storage"`) {
		t.Error("Microsoft.Storage is not listed")
	}
	if got := w.ok(200, "reader", "GET", sub+"/providers/microsoft.managedidentity"+v, "").at("registrationState"); got != "Registered" {
		t.Errorf("registrationState %q", got)
	}
	w.refused(404, "InvalidResourceNamespace", "reader", "GET", sub+"/providers/Contoso"+v, "")
	w.ok(200, "contributor", "POST", sub+"/providers/Microsoft.Network/register"+v, "")
	w.refused(403, "AuthorizationFailed", "reader", "POST", sub+"/providers/Microsoft.Network/register"+v, "")
	w.ok(200, "nobody", "GET", "/providers/Microsoft.ManagedIdentity/operations"+v, "")
}

func TestMetadata(t *testing.T) {
	w := newWorld(t)
	get := func(h http.Handler, method, version string) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, httptest.NewRequest(method, "/metadata/endpoints?api-version="+version, nil))
		return recorder
	}
	for _, h := range []http.Handler{w.handler, w.api.Metadata()} {
		want := `{"portal":"https://portal.azure.com","authentication":{"loginEndpoint":"https://localhost:8443","audiences":["https://management.core.windows.net/","https://management.azure.com/"],"tenant":"common","identityProvider":"AAD"},` +
			`"graphAudience":"https://graph.windows.net/","graph":"https://graph.windows.net/","name":"AzureCloud",` +
			`"suffixes":{"storage":"core.windows.net","keyVaultDns":"vault.azure.net","acrLoginServer":"azurecr.io","sqlServerHostname":"database.windows.net"},` +
			`"resourceManager":"` + base + `","microsoftGraphResourceId":"https://localhost:8443/graph/"}`
		if diff := cmp.Diff(want, get(h, "GET", "2022-09-01").Body.String()); diff != "" {
			t.Errorf("2022 (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff("["+want+"]", get(h, "GET", "2019-05-01").Body.String()); diff != "" {
			t.Errorf("2019 (-want +got):\n%s", diff)
		}
		if got := get(h, "GET", "2015-01-01").Body.String(); !strings.HasPrefix(got, `{"galleryEndpoint":"`) || !strings.Contains(got, `"audiences":["https://management.core.windows.net/"`) {
			t.Errorf("2015: %s", got)
		}
		if got := get(h, "POST", "2022-09-01").Code; got != 405 {
			t.Errorf("POST: %d", got)
		}
	}
}

func TestResourceGroups(t *testing.T) {
	w := newWorld(t)
	group := sub + "/resourcegroups/New.Group"
	w.refused(400, "LocationRequired", "owner", "PUT", group+v, `{}`)
	a := w.ok(201, "owner", "PUT", group+v, `{"location":"West Europe","tags":{"a":"b"}}`)
	if diff := cmp.Diff(map[string]any{
		"id": sub + "/resourceGroups/New.Group", "name": "New.Group", "type": "Microsoft.Resources/resourceGroups", "location": "westeurope",
		"tags": map[string]any{"a": "b"}, "properties": map[string]any{"provisioningState": "Succeeded"},
	}, a.body); diff != "" {
		t.Errorf("group (-want +got):\n%s", diff)
	}
	w.ok(200, "owner", "PUT", strings.ToLower(group)+v, `{"location":"westeurope","tags":{"a":"c"}}`)
	w.refused(409, "InvalidResourceGroupLocation", "owner", "PUT", group+v, `{"location":"eastus"}`)
	if got := w.ok(200, "owner", "PATCH", group+v, `{}`).at("tags", "a"); got != "c" {
		t.Errorf("tag %q after an empty PATCH", got)
	}
	w.ok(204, "owner", "HEAD", group+v, "")
	if a := w.do("owner", "HEAD", sub+"/resourceGroups/absent"+v, ""); a.status != 404 {
		t.Errorf("HEAD of an absent group: %d", a.status)
	}
	w.refused(404, "ResourceGroupNotFound", "owner", "GET", sub+"/resourceGroups/absent"+v, "")
	w.refused(404, "ResourceGroupNotFound", "owner", "PATCH", sub+"/resourceGroups/absent"+v, "{}")
	w.refused(400, "BadRequest", "owner", "PUT", sub+"/resourceGroups/a%20b"+v, `{"location":"westus"}`)
	w.refused(403, "AuthorizationFailed", "reader", "PUT", group+v, `{"location":"westeurope"}`)
	if diff := cmp.Diff([]string{"New.Group", "vms", "web"}, w.ok(200, "reader", "GET", sub+"/resourceGroups"+v, "").names()); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"web"}, w.ok(200, "webreader", "GET", sub+"/resourceGroups"+v, "").names()); diff != "" {
		t.Errorf("webreader's groups (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"web-vm", "msi-webapp1", "web-app"}, w.ok(200, "reader", "GET", lower+"/resources"+v, "").names()); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"web-app"}, w.ok(200, "reader", "GET", sub+"/resources"+v+"&$filter=resourceType%20eq%20'Microsoft.Web/sites'", "").names()); diff != "" {
		t.Errorf("sites (-want +got):\n%s", diff)
	}
	w.refused(400, "InvalidFilterInQueryString", "reader", "GET", sub+"/resources"+v+"&$filter=name%20eq%20'x'", "")
}

func TestPaging(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.ok(201, "owner", "PUT", fmt.Sprintf("%s/resourceGroups/g%d%s", sub, i, v), `{"location":"local"}`)
	}
	var all []string
	next := sub + "/resourceGroups" + v + "&$top=2"
	for pages := 0; next != ""; pages++ {
		if pages > 5 {
			t.Fatal("the list does not end")
		}
		a := w.ok(200, "reader", "GET", next, "")
		all = append(all, a.names()...)
		link := a.at("nextLink")
		if link != "" && !strings.HasPrefix(link, base+"/subscriptions/") {
			t.Fatalf("nextLink %q", link)
		}
		if next = strings.TrimPrefix(link, base); pages == 0 {
			w.refused(400, "InvalidSkipToken", "owner", "GET", next, "")                                                     // another caller's
			w.refused(400, "InvalidSkipToken", "reader", "GET", strings.Replace(next, "resourceGroups", "resources", 1), "") // another list's
			w.refused(400, "InvalidSkipToken", "reader", "GET", strings.Replace(next, "skiptoken=", "skiptoken=00", 1), "")
		}
	}
	if want := []string{"g0", "g1", "g2", "g3", "g4", "vms", "web"}; !slices.Equal(all, want) {
		t.Errorf("pages hold %q, want %q", all, want)
	}
}

// TestGroupDeletion: everything in the group goes, and so do the rights in it, so
// that the next group of that name begins empty (threats X6).
func TestGroupDeletion(t *testing.T) {
	w := newWorld(t)
	w.refused(403, "AuthorizationFailed", "reader", "DELETE", web+v, "")
	a := w.ok(202, "owner", "DELETE", web+v, "")
	location, found := strings.CutPrefix(a.header.Get("Location"), base)
	if !found || a.header.Get("Retry-After") == "" {
		t.Fatalf("headers %v", a.header)
	}
	w.ok(204, "owner", "GET", location, "")
	w.refused(404, "SubscriptionNotFound", "fab-owner", "GET", location, "")
	w.refused(404, "ResourceGroupNotFound", "owner", "GET", web+v, "")
	w.refused(404, "ResourceGroupNotFound", "owner", "DELETE", web+v, "")
	if got := w.ok(200, "owner", "GET", sub+"/resources"+v, "").names(); len(got) != 0 {
		t.Errorf("left over: %q", got)
	}
	w.ok(201, "owner", "PUT", web+v, `{"location":"local"}`)
	w.refused(403, "AuthorizationFailed", "webreader", "GET", web+v, "")
}
