package workload

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/platform"
)

// endpoint is a server that answers every request with status and body, and
// keeps the last request.
func endpoint(t *testing.T, status int, body string) (*httptest.Server, string, *http.Request) {
	t.Helper()
	var seen http.Request
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		seen = *r
		w.Header().Set("Location", "https://elsewhere.test/")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that do not trust it
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return server, ca, &seen
}

func TestIdentityRequest(t *testing.T) {
	_, ca, _ := endpoint(t, http.StatusOK, "")
	for _, tt := range []struct {
		name             string
		env              []platform.Variable
		clientID         string
		path, query, key string
		value            string
	}{
		{
			"web app", []platform.Variable{{Name: "IDENTITY_ENDPOINT", Value: "http://127.0.0.1:1/msi/token"}, {Name: "IDENTITY_HEADER", Value: "secret"}}, "id",
			"/msi/token", "api-version=2019-08-01&client_id=id&resource=api%3A%2F%2Fx", "X-Identity-Header", "secret",
		},
		{
			"virtual machine", []platform.Variable{{Name: "AZURE_POD_IDENTITY_AUTHORITY_HOST", Value: "http://127.0.0.1:1"}}, "",
			"/metadata/identity/oauth2/token", "api-version=2018-02-01&resource=api%3A%2F%2Fx", "Metadata", "true",
		},
		{
			"a variable that is unset does not count",
			[]platform.Variable{{Name: "IDENTITY_ENDPOINT", Value: "http://127.0.0.1:1/no", Unset: true}, {Name: "AZURE_POD_IDENTITY_AUTHORITY_HOST", Value: "http://127.0.0.1:1"}}, "",
			"/metadata/identity/oauth2/token", "api-version=2018-02-01&resource=api%3A%2F%2Fx", "Metadata", "true",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := New(ca, "", tt.env)
			if err != nil {
				t.Fatal(err)
			}
			request, err := p.IdentityRequest(t.Context(), tt.clientID, "api://x")
			if err != nil {
				t.Fatal(err)
			}
			if request.Method != http.MethodGet || request.URL.Path != tt.path || request.URL.RawQuery != tt.query || request.Header.Get(tt.key) != tt.value {
				t.Errorf("%s %s with %v", request.Method, request.URL, request.Header)
			}
		})
	}
	p, err := New(ca, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.IdentityToken(t.Context(), "", "x"); err == nil || !strings.Contains(err.Error(), "names no managed identity endpoint") {
		t.Errorf("without an endpoint: %v", err)
	}
}

func TestExchange(t *testing.T) {
	server, ca, seen := endpoint(t, http.StatusOK, `{"token_type":"Bearer","expires_in":3599,"access_token":"a.b.c"}`)
	p, err := New(ca, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := p.Exchange(t.Context(), "contoso.example", "client", "proof", "api://x/.default")
	if err != nil || token != "a.b.c" {
		t.Fatalf("%q, %v", token, err)
	}
	want := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"client"}, "client_assertion": {"proof"}, "scope": {"api://x/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
	if seen.URL.Path != "/contoso.example/oauth2/v2.0/token" || seen.PostForm.Encode() != want.Encode() {
		t.Errorf("asked %s with %v", seen.URL.Path, seen.PostForm)
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"token service", 401, `{"error":"invalid_client","error_description":"AADSTS700213: No match.\r\nTrace ID: x"}`, "AADSTS700213: No match. Trace ID: x"},
		{"web app", 400, `{"statusCode":400,"message":"no such identity"}`, "no such identity"},
		{"code only", 429, `{"error":"too_many_requests"}`, "too_many_requests"},
		{"no JSON", 502, `<html>`, "not JSON"},
		{"nothing in it", 200, `{}`, "no token and no error"},
		{"a token with a wrong status", 500, `{"access_token":"a.b.c"}`, "no token and no error"},
		{"a redirect is not followed", 302, `{"error":"moved"}`, "moved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, ca, _ := endpoint(t, tt.status, tt.body)
			p, err := New(ca, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			token, err := p.Exchange(t.Context(), "t", "c", "p", "s")
			var refused *Refused
			if token != "" || !errors.As(err, &refused) || refused.Status != tt.status || refused.Text != tt.want {
				t.Errorf("%q, %v", token, err)
			}
		})
	}
}

// The workload trusts the private authority and nothing else.
func TestTrust(t *testing.T) {
	server, _, _ := endpoint(t, http.StatusOK, `{"access_token":"a.b.c"}`)
	dir := filepath.Join(t.TempDir(), "data")
	other, err := platform.Open(t.Context(), platform.Config{Dir: dir, Listen: "127.0.0.1:0", IdentityListen: "127.0.0.1:0", Engine: "go"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	p, err := New(other.CAFile(), server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token, err := p.Exchange(t.Context(), "t", "c", "p", "s"); err == nil {
		t.Errorf("a server of another authority is trusted: %q", token)
	}

	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, filepath.Join(dir, "missing.pem")} {
		if _, err := New(path, "", nil); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, tt := range []struct{ resource, scope, want, err string }{
		{"https://storage.azure.com", "", "https://storage.azure.com", ""},
		{"", "https://storage.azure.com/.default", "https://storage.azure.com", ""},
		{"", "https://storage.azure.com//.default", "https://storage.azure.com/", ""},
		{"a", "b/.default", "", "not both"},
		{"", "", "", "--resource or --scope"},
		{"", "api://x/Read", "", "one resource followed by /.default"},
		{"", "/.default", "", "one resource followed by /.default"},
		{"", "a b/.default", "", "one resource followed by /.default"},
		{"", "a/.default b/.default", "", "one resource followed by /.default"},
	} {
		got, err := Target(tt.resource, tt.scope)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("Target(%q, %q) = %q, %v", tt.resource, tt.scope, got, err)
		}
	}
}

func TestClaimLines(t *testing.T) {
	enc := base64.RawURLEncoding
	token := enc.EncodeToString([]byte(`{"alg":"RS256","kid":"k","typ":"JWT"}`)) + "." +
		enc.EncodeToString([]byte(`{"iss":"https://x.example","sub":"s","aud":"a","exp":1,"iat":0,"nbf":0,"roles":["a"],"ver":2}`)) + ".c2ln"
	parsed, err := assertion.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := parsed.ClaimsUnverified()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range ClaimLines(&claims) {
		got = append(got, line.Name+"="+line.Value)
	}
	if want := "iss=https://x.example|sub=s|aud=a|exp=1  1970-01-01T00:00:01Z|iat=0  1970-01-01T00:00:00Z|nbf=0  1970-01-01T00:00:00Z|roles=[\"a\"]|ver=2"; strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
}
