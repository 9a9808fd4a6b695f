package resource

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/fixture"
)

func call(r *Resource, method, target string, authorization ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, nil)
	for _, a := range authorization {
		req.Header.Add("Authorization", a)
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

func TestGoodTokens(t *testing.T) {
	p := newPlatform(t)
	r := p.resource(t)
	for name, row := range map[string]struct {
		token        *token
		version, aud string
	}{
		"version 1.0": {v1Token(noon), "1.0", uri},
		"version 2.0": {v2Token(noon), "2.0", self},
	} {
		t.Run(name, func(t *testing.T) {
			w := call(r, "GET", "/", row.token.bearer())
			var got welcome
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.Message == "" {
				t.Fatalf("%d %s: %v", w.Code, w.Body, err)
			}
			want := caller{TenantID: home, ClientID: app, ObjectID: object, Roles: []string{role}, Version: row.version, Audience: row.aud}
			if fmt.Sprint(got.Caller) != fmt.Sprint(want) {
				t.Errorf("caller %+v, want %+v", got.Caller, want)
			}
		})
	}
	check(t, r, "bearer "+v2Token(noon).signed(), 200, "") // the scheme is case-insensitive
	if p.fetched(v2Keys) != 1 {
		t.Errorf("keys read %d times, want once", p.fetched(v2Keys))
	}
}

func TestPartnerTenant(t *testing.T) {
	p := newPlatform(t)
	r := p.resource(t)
	check(t, r, v2Token(noon).set("tid", partner).set("iss", v2Issuer(partner)).bearer(), 200, "")
	check(t, r, v1Token(noon).set("tid", partner).set("iss", v1Issuer(partner)).bearer(), 200, "")
}

func TestRefusals(t *testing.T) {
	p := newPlatform(t)
	p.publish(
		published{id: "key-1", key: firstKey()},
		published{id: "foreign", key: secondKey(), issuer: v2Issuer(stranger)},
		published{id: "elsewhere", key: secondKey(), cloud: "microsoftonline.us"},
		published{id: "unscoped", key: secondKey(), issuer: "none"},
	)
	r := p.resource(t)
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	tok := func() *token { return v2Token(noon) }
	tampered := tok().signed()
	tampered = tampered[:len(tampered)-8] + "AAAAAAAA"

	for _, row := range []struct {
		name, header string
		status       int
		why          string
	}{
		{"no header", "", 401, "no Authorization header"},
		{"basic", "Basic dXNlcjpwYXNz", 401, "not of scheme Bearer"},
		{"no token", "Bearer", 401, "malformed"},
		{"two tokens", "Bearer " + tok().signed() + ", Bearer " + tok().signed(), 401, ""},
		{"not a token", "Bearer abc", 401, "malformed"},

		{"changed signature", "Bearer " + tampered, 401, "bad signature"},
		{"forged under a known kid", tok().by("key-1", secondKey()).bearer(), 401, "bad signature"},
		{"alg none", "Bearer " + tok().unsigned(""), 401, "malformed"},
		{"alg none with a signature", "Bearer " + tok().unsigned("AAAA"), 401, "unsupported: algorithm is not one of RS256"},
		{"HS256 with the public key", "Bearer " + tok().hmacSigned(), 401, "unsupported: algorithm is not one of RS256"},
		{"unknown kid", tok().by("nobody's", secondKey()).bearer(), 401, "unknown key"},
		{"key of another issuer", tok().by("foreign", secondKey()).bearer(), 401, "key 'foreign' is published for another issuer"},
		{"key of another cloud", tok().by("elsewhere", secondKey()).bearer(), 401, "key 'elsewhere' is published for another issuer"},
		{"key without issuer", tok().by("unscoped", secondKey()).bearer(), 401, "key 'unscoped' is published for another issuer"},

		{"expired", tok().set("nbf", at(-time.Hour)).set("exp", at(-301*time.Second)).bearer(), 401, "expired: the token has expired (exp 2026-03-01T11:54:59Z)"},
		{"expired within the skew", tok().set("nbf", at(-time.Hour)).set("exp", at(-299*time.Second)).bearer(), 200, ""},
		{"not yet valid", tok().set("nbf", at(301*time.Second)).bearer(), 401, "not yet valid"},
		{"issued in the future", tok().set("iat", at(301*time.Second)).bearer(), 401, "not yet valid"},
		{"for a year", tok().set("exp", at(365*24*time.Hour)).bearer(), 401, "life too long"},
		{"no expiry", tok().set("exp", nil).bearer(), 401, "exp is absent"},

		{"foreign tenant", tok().set("tid", stranger).set("iss", v2Issuer(stranger)).bearer(), 401, "tenant '" + stranger + "' are not accepted"},
		{"foreign tenant, own issuer", tok().set("tid", stranger).bearer(), 401, "not accepted"},
		{"other tenant's issuer", tok().set("tid", partner).bearer(), 401, "is none of tenant " + partner},
		{"no tenant", tok().set("tid", nil).bearer(), 401, "tenant ''"},
		{"tenant common", tok().set("tid", "common").bearer(), 401, "not accepted"},
		{"tenant in capitals", tok().set("tid", strings.ToUpper(home)).bearer(), 401, "not accepted"},
		{"wrong issuer", tok().set("iss", "https://login.microsoftonline.com/"+home+"/v2.0/").bearer(), 401, "is none of tenant"},
		{"issuer template", tok().set("iss", "https://login.microsoftonline.com/{tenantid}/v2.0").bearer(), 401, "is none of tenant"},
		{"version of the other issuer", tok().set("ver", "1.0").bearer(), 401, "version '1.0' is not the issuer's"},
		{"no version", tok().set("ver", nil).bearer(), 401, "version ''"},
		{"v1 issuer with ver 2.0", v1Token(noon).set("ver", "2.0").bearer(), 401, "version '2.0'"},

		{"foreign audience", tok().set("aud", "api://payroll").bearer(), 401, "audience 'api://payroll', not for this resource"},
		{"audience with a slash", tok().set("aud", uri+"/").bearer(), 401, "audience"},
		{"audience in capitals", tok().set("aud", "API://REPORTS").bearer(), 401, "audience"},
		{"two audiences", tok().set("aud", []string{self, "api://payroll"}).bearer(), 401, "aud"},
		{"user token", tok().set("idtyp", "user").set("scp", "Reports.Read").bearer(), 401, "not issued to an application"},
		{"user token that says app", tok().set("scp", "Reports.Read").bearer(), 401, "not issued to an application"},
		{"no idtyp", tok().set("idtyp", nil).bearer(), 401, "not issued to an application"},
		{"no service principal", tok().set("oid", nil).bearer(), 401, "names no service principal"},
		{"client under the name of v1", tok().set("azp", nil).set("appid", app).bearer(), 401, "no application"},
		{"missing role", tok().set("roles", []string{"Reports.Write"}).bearer(), 403, "insufficient permissions"},
		{"role in small letters", tok().set("roles", []string{"reports.read"}).bearer(), 403, "lacks app role 'Reports.Read'"},
		{"no roles", tok().set("roles", nil).bearer(), 403, "insufficient permissions"},
		{"role as text", tok().set("roles", role).bearer(), 403, "insufficient permissions"},
		{"hostile text", tok().set("aud", "a\"b\\c\r\nSet-Cookie: d=é"+strings.Repeat("x", 500)).bearer(), 401, "a'b'c??Set-Cookie: d="},
	} {
		t.Run(row.name, func(t *testing.T) { check(t, r, row.header, row.status, row.why) })
	}
	if n := p.fetched("/" + stranger + "/v2.0/.well-known/openid-configuration"); n != 0 {
		t.Errorf("the foreign tenant's document was read %d times", n)
	}
}

// A key for another issuer is accepted with a version 1.0 token only because the real
// service's v1 keys name no issuer; if one does, the rule holds for it too.
func TestKeyRule(t *testing.T) {
	v1 := &issuer{name: v1Issuer(home), tenant: home, version: version1, cloud: "c"}
	v2 := &issuer{name: v2Issuer(home), tenant: home, version: version2, cloud: "c"}
	for _, row := range []struct {
		of   *issuer
		key  string
		want bool
	}{
		{v1, `{}`, true},
		{v1, `{"issuer":"https://sts.windows.net/{tenantid}/"}`, true},
		{v1, `{"issuer":"` + v2Issuer(home) + `"}`, false},
		{v2, `{}`, false},
		{v2, `{"issuer":""}`, false},
		{v2, `{"issuer":null}`, false},
		{v2, `{"issuer":["` + v2Issuer(home) + `"]}`, false},
		{v2, `{"issuer":"` + v2Issuer(home) + `"}`, true},
		{v2, `{"issuer":"` + v2Issuer(anyTenant) + `"}`, true},
		{v2, `{"issuer":"` + v2Issuer("{TenantID}") + `"}`, false},
		{v2, `{"issuer":"` + v2Issuer(partner) + `"}`, false},
		{v2, `{"issuer":"` + v2Issuer(home) + `","cloud_instance_name":"c"}`, true},
		{v2, `{"issuer":"` + v2Issuer(home) + `","cloud_instance_name":"C"}`, false},
		{v2, `{"issuer":"` + v2Issuer(home) + `","cloud_instance_name":1}`, false},
	} {
		key, err := assertion.ParseObject([]byte(row.key), assertion.Limits{Depth: 3, Members: 9, String: 999})
		if err != nil {
			t.Fatal(err)
		}
		if got := row.of.mayUse(key); got != row.want {
			t.Errorf("version %s, key %s: %v, want %v", row.of.version, row.key, got, row.want)
		}
	}
}

func TestDocuments(t *testing.T) {
	for doc, ok := range map[string]bool{
		`{"issuer":"` + v2Issuer(home) + `","jwks_uri":"x"}`:                                   true,
		`{"issuer":"` + v2Issuer(partner) + `","jwks_uri":"x"}`:                                false,
		`{"issuer":"https://login.microsoftonline.com/{tenantid}/v2.0","jwks_uri":"x"}`:        false,
		`{"issuer":"https://a.example/` + home + `x/v2.0","jwks_uri":"x"}`:                     false,
		`{"issuer":"https://a.example/?` + home + `","jwks_uri":"x"}`:                          false,
		`{"issuer":"http://a.example/` + home + `/","jwks_uri":"x"}`:                           false,
		`{"issuer":"` + v2Issuer(home) + `"}`:                                                  false,
		`{"issuer":"` + v2Issuer(home) + `","jwks_uri":null}`:                                  false,
		`{"issuer":"` + v2Issuer(home) + `","issuer":"` + v2Issuer(home) + `","jwks_uri":"x"}`: false,
		`{"issuer":"` + v2Issuer(home) + `","jwks_uri":"x"} {}`:                                false,
		`{"issuer":"` + v2Issuer(home) + `","jwks_uri":"x","cloud_instance_name":{}}`:          false,
		`{"ISSUER":"` + v2Issuer(home) + `","jwks_uri":"x"}`:                                   false,
		`[]`: false,
	} {
		if _, _, err := readDocument([]byte(doc), home, version2); (err == nil) != ok {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestHTTP(t *testing.T) {
	p := newPlatform(t)
	r := p.resource(t)
	good := v2Token(noon).bearer()
	for _, row := range []struct {
		name, method, target string
		authorization        []string
		status               int
		code                 string
	}{
		{"none", "GET", "/", nil, 401, "invalid_token"},
		{"empty", "GET", "/", []string{""}, 401, "invalid_token"},
		{"twice", "GET", "/", []string{good, good}, 401, "invalid_token"},
		{"two schemes", "GET", "/", []string{good, "Basic eA=="}, 401, "invalid_token"},
		{"other scheme", "GET", "/", []string{"Negotiate eA=="}, 401, "invalid_token"},
		{"token in the query", "GET", "/?access_token=" + v2Token(noon).signed(), nil, 401, "invalid_token"},
		{"no role", "GET", "/", []string{v2Token(noon).set("roles", nil).bearer()}, 403, "insufficient_permissions"},
		{"post", "POST", "/", []string{good}, 405, "method_not_allowed"},
		{"head", "HEAD", "/", []string{good}, 405, "method_not_allowed"},
		{"other path", "GET", "/admin", []string{good}, 404, "not_found"},
		{"escaped path", "GET", "/%2e", []string{good}, 404, "not_found"},
		{"query", "GET", "/?a=b", []string{good}, 200, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := call(r, row.method, row.target, row.authorization...)
			var body refusal
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
			if w.Code != row.status || body.Error != row.code || (body.Reason == "") != (row.status == 200) {
				t.Fatalf("%d %s, want %d %s", w.Code, w.Body, row.status, row.code)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json; charset=utf-8" {
				t.Error("content type", got)
			}
			challenge := w.Header().Values("WWW-Authenticate")
			if row.status != 401 {
				if challenge != nil {
					t.Error("challenge", challenge)
				}
				return
			}
			want := `Bearer authorization_uri="` + p.URL + `/common", error="invalid_token", error_description="` + body.Reason + `"`
			if len(challenge) != 1 || challenge[0] != want {
				t.Errorf("challenge %q, want %q", challenge, want)
			}
		})
	}
	if got := call(r, "PUT", "/").Header().Get("Allow"); got != "GET" {
		t.Error("Allow:", got)
	}
	one := p.resource(t, func(c *Config) { c.Tenants = []string{strings.ToUpper(home)} })
	if got := call(one, "GET", "/").Header().Get("WWW-Authenticate"); !strings.Contains(got, `"`+p.URL+"/"+home+`"`) {
		t.Error("challenge of one tenant:", got)
	}
	check(t, one, good, 200, "")
}

func TestNothingConfiguredRefusesEverything(t *testing.T) {
	p := newPlatform(t)
	check(t, p.resource(t, func(c *Config) { c.Tenants = nil }), v2Token(noon).bearer(), 401, "not accepted")
	check(t, p.resource(t, func(c *Config) { c.Audiences = nil }), v2Token(noon).bearer(), 401, "audience")
}

func TestConfig(t *testing.T) {
	p := newPlatform(t)
	for name, change := range map[string]func(*Config){
		"no role":              func(c *Config) { c.Role = "" },
		"empty audience":       func(c *Config) { c.Audiences = []string{uri, ""} },
		"tenant common":        func(c *Config) { c.Tenants = []string{"common"} },
		"tenant domain":        func(c *Config) { c.Tenants = []string{"contoso.com"} },
		"empty tenant":         func(c *Config) { c.Tenants = []string{""} },
		"odd tenant":           func(c *Config) { c.Tenants = []string{home[:35] + "/"} },
		"no client":            func(c *Config) { c.Client = nil },
		"other transport":      func(c *Config) { c.Client = &http.Client{Transport: http.NewFileTransport(nil)} },
		"no certificate check": func(c *Config) { c.Client = insecure() },
		"plain http":           func(c *Config) { c.Authority = "http://localhost:8443" },
		"no authority":         func(c *Config) { c.Authority = "" },
		"path":                 func(c *Config) { c.Authority = "https://localhost:8443/a" },
		"slash":                func(c *Config) { c.Authority = "https://localhost:8443/" },
		"query":                func(c *Config) { c.Authority = "https://localhost:8443?a" },
		"user info":            func(c *Config) { c.Authority = "https://a@localhost:8443" },
		"capitals":             func(c *Config) { c.Authority = "https://LOCALHOST:8443" },
		"other alphabet":       func(c *Config) { c.Authority = "https://localhos\u0442" },
		"only a port":          func(c *Config) { c.Authority = "https://:8443" },
	} {
		c := p.config()
		change(&c)
		if r, err := New(c); err == nil || r != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func insecure() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

func TestUnknownKeyRefetchesOnceInHalfAMinute(t *testing.T) {
	p := newPlatform(t)
	r := p.resource(t)
	check(t, r, v2Token(noon).bearer(), 200, "")
	check(t, r, v1Token(noon).bearer(), 200, "")
	flood := func() {
		t.Helper()
		var wait sync.WaitGroup
		for i := range 50 {
			wait.Go(func() {
				d := r.Check(context.Background(), v2Token(p.now()).by(fmt.Sprint("random-", i), secondKey()).bearer())
				if d.Status != 401 || !strings.HasPrefix(d.Reason, "unknown key") {
					t.Errorf("%d %s", d.Status, d.Reason)
				}
				if d := r.Check(context.Background(), v2Token(p.now()).bearer()); d.Status != 200 {
					t.Errorf("clean client: %d %s", d.Status, d.Reason)
				}
			})
		}
		wait.Wait()
	}
	for _, row := range []struct {
		after time.Duration
		want  int
	}{{0, 2}, {29 * time.Second, 2}, {time.Second, 3}, {time.Second, 3}} {
		p.pass(row.after)
		flood()
		if got := p.fetched(v2Keys); got != row.want {
			t.Fatalf("keys read %d times, want %d", got, row.want)
		}
	}
	if got := p.fetched("/common/discovery/keys"); got != 1 {
		t.Errorf("the other issuer's keys were read %d times, want once", got)
	}
}

func TestRollover(t *testing.T) {
	p := newPlatform(t)
	r := p.resource(t)
	old := v2Token(noon).bearer()
	fresh := v2Token(noon).by("key-2", secondKey()).bearer()
	check(t, r, old, 200, "")

	p.publish(published{id: "key-1", key: firstKey()}, published{id: "key-2", key: secondKey()})
	check(t, r, fresh, 200, "") // an unknown key is asked for at once
	check(t, r, old, 200, "")

	// A key that is withdrawn stops working when the set is read again, though its
	// signature is remembered.
	p.publish(published{id: "key-2", key: secondKey()})
	p.pass(time.Hour)
	eventually(t, "the old key is gone", func() bool { return r.Check(context.Background(), old).Status == 401 })
	check(t, r, old, 401, "unknown key")
	check(t, r, v2Token(p.now()).by("key-2", secondKey()).bearer(), 200, "")
}

func TestOutage(t *testing.T) {
	p := newPlatform(t)
	r := p.resource(t)
	check(t, r, v2Token(noon).bearer(), 200, "")

	p.intercept(outage)
	for age := time.Duration(0); age < 24*time.Hour; age += time.Hour {
		check(t, r, v2Token(p.now()).bearer(), 200, "")
		check(t, r, v2Token(p.now()).by("random", secondKey()).bearer(), 401, "unknown key")
		if age < 23*time.Hour {
			p.pass(time.Hour)
		}
	}
	p.pass(time.Hour) // 24 hours
	check(t, r, v2Token(p.now()).bearer(), 503, "cannot be read now")
	w := call(r, "GET", "/", v2Token(p.now()).bearer())
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "temporarily_unavailable") {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	p.intercept(nil)
	p.pass(time.Second)
	check(t, r, v2Token(p.now()).bearer(), 200, "")
}

// One issuer whose document cannot be read does not harm the other.
func TestHalfAnOutage(t *testing.T) {
	p := newPlatform(t)
	p.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Path == "/"+home+"/.well-known/openid-configuration" && outage(w, r)
	})
	r := p.resource(t)
	for range 3 {
		check(t, r, v2Token(noon).bearer(), 200, "")
		check(t, r, v1Token(noon).bearer(), 503, "cannot be read now")
	}
	if n := p.fetched("/" + home + "/.well-known/openid-configuration"); n != 1 {
		t.Errorf("the broken document was read %d times in one second, want once", n)
	}
}

// badSets are key sets that must neither be used nor replace a good one.
var badSets = map[string]func(w http.ResponseWriter){
	"empty":     func(w http.ResponseWriter) { send(w, jsonObject{"keys": []any{}}) },
	"no keys":   func(w http.ResponseWriter) { send(w, jsonObject{}) },
	"no array":  func(w http.ResponseWriter) { send(w, jsonObject{"keys": jsonObject{}}) },
	"malformed": func(w http.ResponseWriter) { fmt.Fprint(w, `{"keys":[`) },
	"twice":     func(w http.ResponseWriter) { fmt.Fprint(w, `{"keys":[],"keys":[]}`) },
	"symmetric": func(w http.ResponseWriter) {
		send(w, jsonObject{"keys": []any{jsonObject{"kty": "oct", "k": "AAAA", "kid": "key-1", "issuer": v2Issuer(home)}}})
	},
	"private": func(w http.ResponseWriter) {
		k := firstKey()
		send(w, jsonObject{"keys": []any{jsonObject{"kty": "RSA", "n": encode(k.N.Bytes()), "e": "AQAB", "d": encode(k.D.Bytes()), "kid": "key-1", "issuer": v2Issuer(home)}}})
	},
	"foreign only": func(w http.ResponseWriter) {
		send(w, jsonObject{"keys": []any{jsonObject{"kty": "RSA", "n": encode(firstKey().N.Bytes()), "e": "AQAB", "kid": "key-1", "issuer": v2Issuer(partner)}}})
	},
	"not an object": func(w http.ResponseWriter) { fmt.Fprint(w, `{"keys":["a",1,null]}`) },
	"oversized": func(w http.ResponseWriter) {
		send(w, jsonObject{"keys": []any{goodKey()}, "padding": strings.Repeat("x", assertion.MaxKeySet)})
	},
	"endless": func(w http.ResponseWriter) {
		chunk := bytes.Repeat([]byte("\n"), 1<<16)
		for range 1 << 10 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	},
	"other type": func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/html")
		send(w, jsonObject{"keys": []any{goodKey()}})
	},
	"redirect": func(w http.ResponseWriter) {
		w.Header().Set("Location", "/"+home+"/discovery/v2.0/moved")
		w.WriteHeader(http.StatusTemporaryRedirect)
		send(w, jsonObject{"keys": []any{goodKey()}})
	},
	"not 200": func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusAccepted)
		send(w, jsonObject{"keys": []any{goodKey()}})
	},
}

func goodKey() jsonObject {
	return jsonObject{"kty": "RSA", "n": encode(firstKey().N.Bytes()), "e": "AQAB", "kid": "key-1", "issuer": v2Issuer(home)}
}

func TestBadKeySets(t *testing.T) {
	for name, bad := range badSets {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t)
			serveBad := func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != v2Keys {
					return false
				}
				w.Header().Set("Content-Type", "application/json")
				bad(w)
				return true
			}
			p.intercept(serveBad)
			check(t, p.resource(t), v2Token(noon).bearer(), 503, "cannot be read now")

			p.intercept(nil)
			r := p.resource(t)
			check(t, r, v2Token(noon).bearer(), 200, "")
			p.intercept(serveBad)
			before := p.fetched(v2Keys)
			check(t, r, v2Token(noon).by("random", secondKey()).bearer(), 401, "unknown key")
			if p.fetched(v2Keys) != before+1 {
				t.Error("the keys were not read again")
			}
			check(t, r, v2Token(noon).bearer(), 200, "")
			if n := p.fetched("/" + home + "/discovery/v2.0/moved"); n != 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

func TestBadDocuments(t *testing.T) {
	elsewhere := newPlatform(t)
	p := newPlatform(t)
	host := strings.TrimPrefix(p.URL, "https://")
	good := jsonObject{"issuer": v2Issuer(home), "jwks_uri": p.URL + v2Keys}
	with := func(name string, value any) jsonObject {
		doc := jsonObject{name: value}
		for n, v := range good {
			if n != name {
				doc[n] = v
			}
		}
		return doc
	}
	for name, doc := range map[string]jsonObject{
		"keys on another host":   with("jwks_uri", elsewhere.URL+v2Keys),
		"keys over plain http":   with("jwks_uri", "http://"+host+v2Keys),
		"keys with user info":    with("jwks_uri", "https://a@"+host+v2Keys),
		"host as user info":      with("jwks_uri", "https://"+host+"@"+strings.TrimPrefix(elsewhere.URL, "https://")+v2Keys),
		"keys behind backslash":  with("jwks_uri", "https://"+host+`\@evil.example`+v2Keys),
		"relative keys":          with("jwks_uri", v2Keys),
		"keys in a file":         with("jwks_uri", "file:///etc/passwd"),
		"other tenant's issuer":  with("issuer", v2Issuer(partner)),
		"issuer of every tenant": with("issuer", v2Issuer(anyTenant)),
		"oversized":              with("padding", strings.Repeat("x", maxDocument)),
	} {
		t.Run(name, func(t *testing.T) {
			p.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/"+home+"/v2.0/.well-known/openid-configuration" {
					return false
				}
				w.Header().Set("Content-Type", "application/json")
				send(w, doc)
				return true
			})
			check(t, p.resource(t), v2Token(noon).bearer(), 503, "cannot be read now")
		})
	}
	if len(elsewhere.asked) != 0 {
		t.Error("another host was asked")
	}
	p.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/v2.0/.well-known/openid-configuration") {
			w.Header().Set("Content-Type", "application/json")
			send(w, good)
			return true
		}
		return false
	})
	check(t, p.resource(t), v2Token(noon).bearer(), 200, "") // the rows differ from this in one thing
}

// Callers look at the clock one after the other and take the lock in another order.
func TestCallersOutOfOrder(t *testing.T) {
	p := newPlatform(t)
	r := p.resource(t)
	check(t, r, v2Token(noon).bearer(), 200, "")
	check(t, r, v2Token(noon).by("random", secondKey()).bearer(), 401, "unknown key")
	p.intercept(outage)
	p.pass(-time.Millisecond)
	check(t, r, v2Token(noon).bearer(), 200, "")
	check(t, r, v2Token(noon).by("random", secondKey()).bearer(), 401, "unknown key")
	if got := p.fetched(v2Keys); got != 2 {
		t.Errorf("keys read %d times, want 2", got)
	}
}

// A platform that hangs costs a caller with an unknown key a bounded wait, and the
// others nothing.
func TestTarpit(t *testing.T) {
	p := newPlatform(t)
	r := p.resource(t)
	check(t, r, v2Token(noon).bearer(), 200, "")
	release := make(chan struct{})
	p.intercept(func(http.ResponseWriter, *http.Request) bool { <-release; return true })
	defer close(release)

	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	done := make(chan Decision)
	go func() { done <- r.Check(ctx, v2Token(noon).by("random", secondKey()).bearer()) }()
	start := time.Now()
	for range 20 {
		check(t, r, v2Token(noon).bearer(), 200, "")
	}
	want(t, <-done, 401, "unknown key")
	if waited := time.Since(start); waited > 4*time.Second {
		t.Errorf("waited %v", waited)
	}
}

// What the caller's client carries stays here.
func TestBareClient(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	p := newPlatform(t)
	own, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(own, []*http.Cookie{{Name: "session", Value: "secret", Path: "/"}})
	transport := p.Client().Transport.(*http.Transport).Clone()
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	client := &http.Client{Transport: transport, Jar: jar}

	r := p.resource(t, func(c *Config) { c.Client = client })
	check(t, r, v2Token(noon).bearer(), 200, "")
	check(t, r, v1Token(noon).bearer(), 200, "")
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.asked) != 4 {
		t.Errorf("%d requests, want 4", len(p.asked))
	}
	for _, h := range p.asked {
		if h.Get("Cookie") != "" || h.Get("Authorization") != "" {
			t.Errorf("sent %v", h)
		}
	}
	if client.Jar == nil || client.CheckRedirect != nil || transport.Proxy == nil {
		t.Error("the caller's client was changed")
	}
}

// A platform whose certificate is not trusted is not believed.
func TestUntrustedCertificate(t *testing.T) {
	p := newPlatform(t)
	r := p.resource(t, func(c *Config) { c.Client = &http.Client{} })
	check(t, r, v2Token(noon).bearer(), 503, "cannot be read now")
}

func TestClockSetBack(t *testing.T) {
	p := newPlatform(t)
	r := p.resource(t)
	check(t, r, v2Token(noon).bearer(), 200, "")
	p.pass(-48 * time.Hour)
	check(t, r, v2Token(p.now()).bearer(), 200, "")
}

func TestTokensStayOutOfTheLog(t *testing.T) {
	var buf fixture.Buffer
	p := newPlatform(t)
	r := p.resource(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&buf, nil)) })
	good, bad := v2Token(noon).signed(), v2Token(noon).set("aud", "api://x").signed()
	call(r, "GET", "/", "Bearer "+good)
	call(r, "GET", "/", "Bearer "+bad)
	out := buf.String()
	for _, raw := range []string{good, bad} {
		for part := range strings.SplitSeq(raw, ".") {
			if strings.Contains(out, part) {
				t.Error("a part of a token was logged")
			}
		}
	}
	if !strings.Contains(out, "status=200") || !strings.Contains(out, "status=401") || !strings.Contains(out, app) {
		t.Errorf("log: %s", out)
	}
}
