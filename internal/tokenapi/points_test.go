package tokenapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/avouch/avouch/avouchtest"
	"github.com/avouch/avouch/internal/directory"
)

// TestConformance is the conformance list of the token service fact sheet,
// section 9, point by point.
func TestConformance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, point := range []struct {
		name string
		test func(*testing.T, *world)
	}{
		{"point 1: the scope may hold OpenID scopes in any order", point01},
		{"point 2: the answer holds nothing that belongs to users", point02},
		{"point 3: the identity token's audience is the GUID, the credential's the URI", point03},
		{"point 4: a domain in the path gives the GUID, and case does not matter", point04},
		{"point 5: another tenant answers after it has a service principal, as itself", point05},
		{"point 6: a credential across tenants is refused", point06},
		{"point 7: each wrong kind of token has its own code", point07},
		{"point 8: case of the subject and a slash at the issuer have their codes", point08},
		{"point 9: only an invalid client is 401, and errors are complete", point09},
		{"point 10: instance discovery knows the own host and no foreign one", point10},
		{"point 11: keys carry an issuer, version 2 tokens no x5t, nbf is five minutes ago", point11},
		{"point 12: both spellings of the device code grant answer alike", point12},
		{"point 13: what is mended on the platform is answered with 401, never 400", point13},
		{"point 14: unknown fields, raw blanks and pipes and a stray query are accepted", point14},
	} {
		t.Run(point.name, func(t *testing.T) { point.test(t, w) })
	}
}

func point01(t *testing.T, w *world) {
	for _, scope := range []string{
		storage + "/.default",
		storage + "/.default openid offline_access profile", // MSAL Go
		"openid profile offline_access " + storage + "/.default",
		"profile " + storage + "/.default offline_access openid", // MSAL Java
		"offline_access openid " + storage + "/.default profile email",
		"  openid   " + storage + "/.default  ",
	} {
		token := issued(t, w.ask(contoso, with(form(orders, w.proof()), "scope", scope)))
		if claims, err := avouchtest.Claims(token); err != nil || claims["aud"] != storage {
			t.Errorf("scope %q: audience %v, %v", scope, claims["aud"], err)
		}
	}
}

func point02(t *testing.T, w *world) {
	a := w.ask(contoso, with(with(form(orders, w.proof()), "client_info", "1"), "scope", "openid offline_access "+storage+"/.default"))
	issued(t, a)
	for name := range a.body {
		switch name {
		case "token_type", "expires_in", "ext_expires_in", "access_token":
		default:
			t.Errorf("the answer holds %s: %v", name, a.body[name])
		}
	}
}

func point03(t *testing.T, w *world) {
	claims, err := avouchtest.Claims(w.proof())
	if err != nil || claims["aud"] != exchangeID {
		t.Fatalf("the identity token's audience is %v, want %s (%v)", claims["aud"], exchangeID, err)
	}
	issued(t, w.ask(contoso, form(orders, w.proof())))
	guidAudience := w.clientTrusting(trusting(issuer, msi, exchangeID))
	w.refused(t, w.ask(contoso, form(guidAudience, w.proof())), 700214)
}

func point04(t *testing.T, w *world) {
	for _, name := range []string{contoso, strings.ToUpper(contoso), "contoso.example", "Contoso.EXAMPLE", "contoso.onmicrosoft.example"} {
		for path, issuer := range map[string]string{
			"/v2.0/.well-known/openid-configuration": issuer,
			"/.well-known/openid-configuration":      "https://sts.windows.net/" + contoso + "/",
		} {
			document := w.get("/" + name + path)
			if document.body["issuer"] != issuer {
				t.Errorf("%s%s: issuer %v", name, path, document.body["issuer"])
			}
			for member, value := range document.body {
				if text, ok := value.(string); ok && strings.HasPrefix(text, w.URL()) && member != "jwks_uri" && !strings.HasPrefix(text, w.URL()+"/"+contoso+"/") {
					t.Errorf("%s%s: %s is %s, without the id", name, path, member, text)
				}
			}
		}
		claims, err := avouchtest.Claims(issued(t, w.ask(name, form(orders, w.proof()))))
		if err != nil || claims["tid"] != contoso || claims["iss"] != "https://sts.windows.net/"+contoso+"/" {
			t.Errorf("token asked for in %s: tid %v, iss %v, %v", name, claims["tid"], claims["iss"], err)
		}
	}
}

func point05(t *testing.T, w *world) {
	request := form(billing, w.IdentityToken("contoso/msi-other", exchangeURI))
	home, err := avouchtest.Claims(issued(t, w.ask(contoso, request)))
	if err != nil {
		t.Fatal(err)
	}
	w.refused(t, w.ask(northwind, request), 7000229)
	w.Apply(`tenants: [{name: northwind, servicePrincipals: [{application: contoso/billing}]}]`)
	there, err := avouchtest.Claims(issued(t, w.ask(northwind, request)))
	if err != nil {
		t.Fatal(err)
	}
	if there["tid"] != northwind || there["iss"] != "https://sts.windows.net/"+northwind+"/" || there["idp"] != there["iss"] {
		t.Errorf("the token of northwind says tid %v, iss %v, idp %v", there["tid"], there["iss"], there["idp"])
	}
	if there["oid"] == home["oid"] || there["oid"] != there["sub"] {
		t.Errorf("oid %v and sub %v; at home the principal is %v", there["oid"], there["sub"], home["oid"])
	}
	if there["appid"] != billing {
		t.Errorf("appid %v", there["appid"])
	}
	w.Apply(`tenants: [{name: northwind, servicePrincipals: []}]`)
	w.refused(t, w.ask(northwind, request), 7000229)
}

func point06(t *testing.T, w *world) {
	w.refused(t, w.ask(fabrikam, form("cccccccc-0000-4000-8000-0000000000f1", w.proof())), 700236)
}

func point07(t *testing.T, w *world) {
	system := w.IdentityToken("contoso/host:web-vm", exchangeURI)
	w.refused(t, w.ask(contoso, form(w.clientTrusting(trusting(issuer, subject(t, system), exchangeURI)), system)), 700222)

	application := issued(t, w.ask(contoso, with(form(orders, w.proof()), "scope", exchangeURI+"/.default")))
	w.refused(t, w.ask(contoso, form(w.clientTrusting(trusting(issuer, subject(t, application), exchangeURI)), application)), 700226)

	user := w.resigned(map[string]any{"scp": "user_impersonation", "idtyp": "user"})
	w.refused(t, w.ask(contoso, form(orders, user)), 700229)

	w.refused(t, w.ask(contoso, form(orders, w.IdentityToken("contoso/msi-webapp1", "https://management.azure.com"))), 7002121)

	usgov := directory.USGov().V2IssuerOf(directory.MustTenantID(contoso))
	foreign := w.clientTrusting(trusting(usgov, msi, exchangeURI))
	w.refused(t, w.ask(contoso, form(foreign, w.resigned(map[string]any{"iss": usgov}))), 700238)
}

func subject(t testing.TB, token string) string {
	t.Helper()
	claims, err := avouchtest.Claims(token)
	if err != nil {
		t.Fatal(err)
	}
	sub, _ := claims["sub"].(string)
	return sub
}

func point08(t *testing.T, w *world) {
	w.refused(t, w.ask(contoso, form(w.clientTrusting(trusting(issuer, strings.ToUpper(msi), exchangeURI)), w.proof())), 7002138)
	w.refused(t, w.ask(contoso, form(w.clientTrusting(trusting(issuer+"/", msi, exchangeURI)), w.proof())), 700211)
}

func point09(t *testing.T, w *world) {
	for code, want := range contract {
		if (want.oauth == "invalid_client") != (want.status == http.StatusUnauthorized) {
			t.Errorf("code %d: %s with status %d", code, want.oauth, want.status)
		}
	}
	// refused checks the members, their types and the time stamp.
	w.refused(t, w.ask(contoso, form(orders, avouchtest.Forge(w.proof()))), 50006)
	w.refused(t, w.ask(contoso, with(form(orders, w.proof()), "scope", "-")), 900144)
}

func point10(t *testing.T, w *world) {
	ask := func(host string) answer {
		return w.get("/common/discovery/instance?api-version=1.1&authorization_endpoint=" + url.QueryEscape("https://"+host+"/common/oauth2/v2.0/authorize"))
	}
	own := strings.TrimPrefix(w.URL(), "https://")
	if a := ask(own); a.status != http.StatusOK {
		t.Errorf("own host: %d %s", a.status, a.raw)
	}
	w.refused(t, ask("login.example.org"), 50049)
}

func point11(t *testing.T, w *world) {
	keys, _ := w.get("/" + contoso + "/discovery/v2.0/keys").body["keys"].([]any)
	for _, key := range keys {
		if got := key.(map[string]any)["issuer"]; got != issuer {
			t.Errorf("a key's issuer is %v", got)
		}
	}
	if len(keys) < 2 {
		t.Errorf("%d keys, want at least two", len(keys))
	}
	token := issued(t, w.ask(contoso, with(form(orders, w.proof()), "scope", "api://ledger/.default")))
	if header := part(t, token, 0); strings.Contains(header, "x5t") {
		t.Errorf("the header of a version 2 token: %s", header)
	}
	now := w.Now().Unix()
	for _, token := range []string{token, w.proof(), issued(t, w.ask(contoso, form(orders, w.proof())))} {
		claims, err := avouchtest.Claims(token)
		if err != nil {
			t.Fatal(err)
		}
		nbf := number(t, claims["nbf"])
		if age := now - nbf; age < 298 || age > 330 {
			t.Errorf("nbf is %d seconds ago, want 300", age)
		}
		if iat := number(t, claims["iat"]); iat != nbf {
			t.Errorf("iat %d is not nbf %d", iat, nbf)
		}
	}
}

func point12(t *testing.T, w *world) {
	for _, grant := range []string{"device_code", "urn:ietf:params:oauth:grant-type:device_code"} {
		for name, f := range map[string]url.Values{
			"as Go, .NET and JavaScript poll": {"device_code": {"abc"}},
			"as Python polls":                 {"device_code": {"abc"}, "code": {"abc"}},
		} {
			f.Set("grant_type", grant)
			f.Set("client_id", orders)
			t.Run(name, func(t *testing.T) { w.refused(t, w.ask(contoso, f), 70018) })
		}
		w.refused(t, w.ask(contoso, url.Values{"grant_type": {grant}, "client_id": {orders}}), 900144)
	}
}

// point13: MSAL Python remembers a 400 for a minute, so everything that an
// administrator mends while clients retry must be 401.
func point13(t *testing.T, w *world) {
	client := w.clientTrusting()
	w.refused(t, w.ask(contoso, form(client, w.proof())), 70025)
	if contract[70025].status != http.StatusUnauthorized {
		t.Error("a client without credentials is not answered with 401")
	}
	for _, code := range []int{70025, 700211, 700212, 700213, 700214, 7002138, 7002121, 700024, 700027, 7000229} {
		if contract[code].status != http.StatusUnauthorized {
			t.Errorf("code %d has status %d", code, contract[code].status)
		}
	}
}

func point14(t *testing.T, w *world) {
	body := "grant_type=client_credentials&client_id=" + orders + "&client_assertion_type=" + jwtBearer + "&client_assertion=" + w.proof() +
		"&scope=" + storage + "/.default openid offline_access" +
		"&x-ms-lib-capability=retry-after, h429&x-client-current-telemetry=5|771,2,,,|,&x-client-SKU=msal.js.node&x-anything=a;b;c&flag&=&"
	body = strings.Replace(body, "&=&", "", 1)
	a := w.do(w.request(http.MethodPost, "/"+contoso+"/oauth2/v2.0/token?client-request-id=3fa85f64-5717-4562-b3fc-2c963f66afa6&grant_type=password", body))
	issued(t, a)
}
