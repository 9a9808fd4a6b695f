package tokenapi_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/avouch/avouch/avouchtest"
)

// normal replaces what differs from run to run: times, ids and random parts.
func normal(text string) string {
	for _, r := range []struct{ from, to string }{
		{`"(iat|nbf|exp)":\d+`, `"$1":0`},
		{`"uti":"[A-Za-z0-9_-]{22}"`, `"uti":"U"`},
		{`"(kid|x5t)":"[A-Za-z0-9_-]{27}"`, `"$1":"K"`},
		{`"(oid|sub)":"` + guid + `"`, `"$1":"P"`},
	} {
		text = regexp.MustCompile(r.from).ReplaceAllString(text, r.to)
	}
	return text
}

const subscription = "/subscriptions/eeeeeeee-0000-4000-8000-000000000001/resourcegroups/web/providers/"

// TestTokens pins what tokens say, member by member and in order.
func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exchange := func(tenant, resource string) string {
		return issued(t, w.ask(tenant, with(form(orders, w.proof()), "scope", resource+"/.default")))
	}
	v1 := func(tenant, audience, roles string) string {
		return `{"aud":"` + audience + `","iss":"https://sts.windows.net/` + tenant + `/","iat":0,"nbf":0,"exp":0,"appid":"` + orders +
			`","appidacr":"2","idp":"https://sts.windows.net/` + tenant + `/","idtyp":"app","oid":"P",` + roles + `"sub":"P","tid":"` + tenant + `","uti":"U","ver":"1.0"}`
	}
	const headerV1, headerV2 = `{"typ":"JWT","alg":"RS256","x5t":"K","kid":"K"}`, `{"typ":"JWT","alg":"RS256","kid":"K"}`
	for _, row := range []struct{ what, token, header, claims string }{
		{"storage", exchange(contoso, storage), headerV1, v1(contoso, storage, "")},
		{"storage with a slash", exchange(contoso, storage+"/"), headerV1, v1(contoso, storage+"/", "")},
		{"storage by its id", exchange(contoso, "e406a681-f3d4-42a8-90b6-c2b029497af1"), headerV1, v1(contoso, "e406a681-f3d4-42a8-90b6-c2b029497af1", "")},
		{"an account", exchange(contoso, "https://account1.blob.core.windows.net"), headerV1, v1(contoso, "https://account1.blob.core.windows.net", "")},
		{"a vault", exchange(contoso, "https://vault1.vault.azure.net"), headerV1, v1(contoso, "https://vault1.vault.azure.net", "")},
		{"the resource manager, as the command line asks", exchange(contoso, "https://management.core.windows.net/"), headerV1, v1(contoso, "https://management.core.windows.net/", "")},
		{"an application with a role", exchange(contoso, "api://reports"), headerV1, v1(contoso, "api://reports", `"roles":["Reports.Read"],`)},
		{"an application by its id", exchange(contoso, reports), headerV1, v1(contoso, reports, `"roles":["Reports.Read"],`)},
		{"the same in another tenant, where no role was given", exchange(fabrikam, "api://reports"), headerV1, v1(fabrikam, "api://reports", "")},
		{"Microsoft Graph, by nothing but .default", issued(t, w.ask(contoso, with(form(orders, w.proof()), "scope", ".default"))), headerV1, v1(contoso, "https://graph.microsoft.com", "")},
		{"a resource that wants version 2", exchange(contoso, "api://ledger"), headerV2, `{"aud":"` + ledger + `","iss":"` + issuer +
			`","iat":0,"nbf":0,"exp":0,"azp":"` + orders + `","azpacr":"2","idtyp":"app","oid":"P","roles":["Ledger.Read","Ledger.Write"],"sub":"P","tid":"` + contoso + `","uti":"U","ver":"2.0"}`},
		{"the identity, for the exchange", w.proof(), headerV2, `{"aud":"` + exchangeID + `","iss":"` + issuer + `","iat":0,"nbf":0,"exp":0,"azp":"` + msiClient +
			`","azpacr":"2","idtyp":"app","oid":"P","sub":"P","tid":"` + contoso + `","uti":"U","ver":"2.0","xms_az_rid":"` + subscription + `Microsoft.Web/sites/web-app","xms_mirid":"` +
			subscription + `Microsoft.ManagedIdentity/userAssignedIdentities/msi-webapp1"}`},
		{"the identity, for storage", w.IdentityToken("contoso/msi-webapp1", storage), headerV1, `{"aud":"` + storage + `","iss":"https://sts.windows.net/` + contoso +
			`/","iat":0,"nbf":0,"exp":0,"appid":"` + msiClient + `","appidacr":"2","idp":"https://sts.windows.net/` + contoso + `/","idtyp":"app","oid":"P","sub":"P","tid":"` + contoso +
			`","uti":"U","ver":"1.0","xms_az_rid":"` + subscription + `Microsoft.Web/sites/web-app","xms_mirid":"` + subscription + `Microsoft.ManagedIdentity/userAssignedIdentities/msi-webapp1"}`},
		{"a machine's own identity", w.IdentityToken("contoso/host:web-vm", exchangeURI), headerV2, `{"aud":"` + exchangeID + `","iss":"` + issuer +
			`","iat":0,"nbf":0,"exp":0,"azp":"` + systemClient(t, w) + `","azpacr":"2","idtyp":"app","oid":"P","sub":"P","tid":"` + contoso +
			`","uti":"U","ver":"2.0","xms_az_rid":"` + subscription + `Microsoft.Compute/virtualMachines/web-vm","xms_mirid":"` + subscription + `Microsoft.Compute/virtualMachines/web-vm"}`},
	} {
		t.Run(row.what, func(t *testing.T) {
			if got := normal(part(t, row.token, 0)); got != row.header {
				t.Errorf("header\n got %s\nwant %s", got, row.header)
			}
			if got := normal(payload(t, row.token)); got != row.claims {
				t.Errorf("claims\n got %s\nwant %s", got, row.claims)
			}
			claims, err := avouchtest.Claims(row.token)
			if err != nil {
				t.Fatal(err)
			}
			if claims["oid"] != claims["sub"] {
				t.Errorf("oid %v, sub %v", claims["oid"], claims["sub"])
			}
			if strings.Contains(row.what, "identity, for") && claims["sub"] != msi {
				t.Errorf("sub %v is not the identity's principal id", claims["sub"])
			}
			life := number(t, claims["exp"]) - number(t, claims["iat"])
			lowest, highest := int64(60*60+300), int64(90*60+300)
			if _, identity := claims["xms_mirid"]; identity {
				lowest, highest = 86700, 86700
			}
			if life < lowest || life > highest {
				t.Errorf("exp - iat = %d, want %d to %d", life, lowest, highest)
			}
			if claims["iat"] != claims["nbf"] {
				t.Errorf("iat %v, nbf %v", claims["iat"], claims["nbf"])
			}
		})
	}
	if got := header(t, storageKid(t, w)); got != w.kid() {
		t.Errorf("kid %s, want %s", got, w.kid())
	}
}

func storageKid(t testing.TB, w *world) string {
	t.Helper()
	return part(t, issued(t, w.ask(contoso, form(orders, w.proof()))), 0)
}

func header(t testing.TB, text string) string {
	t.Helper()
	var h struct{ KID, X5T string }
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		t.Fatal(err)
	}
	if h.X5T != h.KID {
		t.Errorf("x5t %s, kid %s", h.X5T, h.KID)
	}
	return h.KID
}

// TestNotAResource: a first-party resource is known by one label under its
// host names and by nothing that only looks like it.
func TestNotAResource(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, resource := range []string{
		"https://blob.core.windows.net", "https://.blob.core.windows.net", "https://a.b.blob.core.windows.net", "http://account1.blob.core.windows.net",
		"https://account1.blob.core.windows.net.evil.example", "https://account1.blob.core.windows.net:443", "https://account1.blob.core.windows.net/container",
		"https://evil@account1.blob.core.windows.net", "https://ACCOUNT1.blob.core.windows.net", "https://account1.blob.core.windows.net//",
		"https://account1.blob.core.usgovcloudapi.net", "api://AzureADTokenExchange/", "api://azureadtokenexchange", "api://AzureADTokenExchangeUSGov",
		"storage.azure.com", "https://storage.azure.com//", "e406a681f3d442a890b6c2b029497af1", orders + "x", "*", "%2a", strings.Repeat("x", 5000),
	} {
		t.Run(resource[:min(len(resource), 60)], func(t *testing.T) {
			w.refused(t, w.ask(contoso, with(form(orders, w.proof()), "scope", resource+"/.default")), 500011)
		})
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.ask(contoso, form(orders, w.proof()))
	issued(t, a)
	checkHeaders(t, a)
	if got := regexp.MustCompile(`"access_token":"[^"]+"`).ReplaceAllString(a.raw, `"access_token":"T"`); !regexp.MustCompile(
		`^{"token_type":"Bearer","expires_in":\d+,"ext_expires_in":\d+,"access_token":"T"}$`).MatchString(got) {
		t.Errorf("version 2 answer %s", got)
	}
	claims, err := avouchtest.Claims(issued(t, a))
	if err != nil {
		t.Fatal(err)
	}
	if want := number(t, claims["exp"]) - number(t, claims["iat"]) - 301; number(t, a.body["expires_in"]) != want || a.body["ext_expires_in"] != a.body["expires_in"] {
		t.Errorf("expires_in %v, ext_expires_in %v, want %d", a.body["expires_in"], a.body["ext_expires_in"], want)
	}

	f := with(with(form(orders, w.proof()), "scope", "-"), "resource", "https://management.azure.com/")
	a = w.do(w.request(http.MethodPost, "/"+contoso+"/oauth2/token", f.Encode()))
	issued(t, a)
	checkHeaders(t, a)
	if got := regexp.MustCompile(`"access_token":"[^"]+"`).ReplaceAllString(a.raw, `"access_token":"T"`); !regexp.MustCompile(
		`^{"token_type":"Bearer","expires_in":"\d+","ext_expires_in":"\d+","expires_on":"\d+","not_before":"\d+","resource":"https://management.azure.com/","access_token":"T"}$`).MatchString(got) {
		t.Errorf("version 1 answer %s", got)
	}
	if claims, err = avouchtest.Claims(issued(t, a)); err != nil {
		t.Fatal(err)
	}
	for member, claim := range map[string]string{"expires_on": "exp", "not_before": "nbf"} {
		if got := a.body[member]; got != strconv.FormatInt(number(t, claims[claim]), 10) {
			t.Errorf("%s is %v, the token's %s %v", member, got, claim, claims[claim])
		}
	}
	// The endpoint does not decide the format of the token: the resource does.
	a = w.do(w.request(http.MethodPost, "/"+contoso+"/oauth2/token", with(f, "resource", "api://ledger").Encode()))
	if claims, err = avouchtest.Claims(issued(t, a)); err != nil || claims["ver"] != "2.0" || claims["aud"] != ledger || a.body["resource"] != "api://ledger" {
		t.Errorf("from the version 1 endpoint: ver %v, aud %v, resource %v, %v", claims["ver"], claims["aud"], a.body["resource"], err)
	}
	w.refused(t, w.do(w.request(http.MethodPost, "/"+contoso+"/oauth2/token", with(f, "resource", "-").Encode())), 900144)
	w.refused(t, w.do(w.request(http.MethodPost, "/"+contoso+"/oauth2/token", with(f, "resource", storage+"/.default").Encode())), 500011)
}

func checkHeaders(t testing.TB, a answer) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control": "no-store, no-cache", "Pragma": "no-cache", "Expires": "-1", "X-Content-Type-Options": "nosniff",
		"Content-Type": "application/json; charset=utf-8", "Strict-Transport-Security": "max-age=31536000; includeSubDomains", "Set-Cookie": "", "Client-Request-Id": "",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !guidForm.MatchString(a.header.Get("X-Ms-Request-Id")) {
		t.Errorf("x-ms-request-id %q", a.header.Get("X-Ms-Request-Id"))
	}
}

// TestExpirySpread: tokens that are issued together do not expire together
// (threats H8).
func TestExpirySpread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lives := make(map[json.Number]bool)
	for range 12 {
		a := w.ask(contoso, form(orders, w.proof()))
		n, _ := a.body["expires_in"].(json.Number)
		lives[n] = true
	}
	if len(lives) < 6 {
		t.Errorf("twelve tokens have %d lifetimes", len(lives))
	}
}

// TestCorrelation says when the caller's id comes back, and where.
func TestCorrelation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const id = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
	for _, row := range []struct {
		name        string
		inHeader    string
		inForm      string
		wantsEcho   string
		correlation string // "" means one of the server's own
		echo        bool
	}{
		{"in the header, no echo asked for", id, "", "", id, false},
		{"in the header, echo refused (MSAL Go)", id, "", "false", id, false},
		{"in the header, echo asked for (.NET, Java)", id, "", "true", id, true},
		{"in upper case", strings.ToUpper(id), "", "True", id, true},
		{"in the form (JavaScript)", "", id, "", id, false},
		{"in the form, echo asked for", "", id, "true", id, true},
		{"in both, the header counts", id, "11111111-1111-4111-8111-111111111111", "true", id, true},
		{"none", "", "", "true", "", true},
		{"not a GUID", "hello", "", "true", "", true},
		{"almost a GUID", id + "0", "", "true", "", true},
		{"a GUID between other characters", "x" + id + "y", "", "true", "", true},
		{"a GUID as a URN", "urn:uuid:" + id, "", "true", "", true},
		{"markup", "<script>alert(1)</script>", "<b>", "true", "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, proof := range []string{w.proof(), "x"} {
				f := form(orders, proof)
				if row.inForm != "" {
					f.Set("client-request-id", row.inForm)
				}
				var header []string
				if row.inHeader != "" {
					header = append(header, "client-request-id", row.inHeader)
				}
				if row.wantsEcho != "" {
					header = append(header, "return-client-request-id", row.wantsEcho)
				}
				a := w.ask(contoso, f, header...)
				echoed := a.header.Get("client-request-id")
				if (echoed != "") != row.echo {
					t.Errorf("header client-request-id %q", echoed)
				}
				correlation := echoed
				if a.status != http.StatusOK {
					w.refused(t, a, 50027)
					correlation, _ = a.body["correlation_id"].(string)
					if row.echo && echoed != correlation {
						t.Errorf("header %q, correlation_id %q", echoed, correlation)
					}
				}
				if row.correlation != "" && correlation != "" && correlation != row.correlation {
					t.Errorf("correlation id %q, want %q", correlation, row.correlation)
				}
				if row.correlation == "" && (!guidForm.MatchString(correlation) || correlation == id) {
					t.Errorf("correlation id %q is not the server's", correlation)
				}
			}
		})
	}
}
