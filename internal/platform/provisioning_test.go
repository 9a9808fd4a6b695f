package platform

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/sts"
	"github.com/avouch/avouch/internal/trust"
)

// TestProvisioning: an administrator of another tenant lets a multi-tenant
// application in; it gets tokens there until its service principal is removed,
// and none from then on. A single-tenant application is not let in (threats X8).
func TestProvisioning(t *testing.T) {
	p := open(t, Config{})
	p.apply(t, `tenants:
  - name: contoso
    domains: [contoso.example]
    managedIdentities: [{name: msi, resourceGroup: rg}]
    hosts: [{name: web, kind: webApp, resourceGroup: rg, identities: [msi]}]
    applications:
      - {name: shop, signInAudience: AzureADMultipleOrgs, federatedIdentityCredentials: [{name: msi, managedIdentity: msi}]}
      - {name: own, federatedIdentityCredentials: [{name: msi, managedIdentity: msi}]}
  - name: fabrikam
    domains: [fabrikam.example]
`)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fabrikam, err := p.Manage().FindTenant(ctx, "fabrikam")
	must(err)
	operator, err := p.Manage().Operator(ctx, manage.Caller{Actor: audit.Actor{Kind: "system", Name: "test"}}, fabrikam.ID)
	must(err)
	bearer, _, err := p.OperatorToken(ctx, operator, "https://graph.microsoft.com")
	must(err)
	host, err := p.Manage().FindHost(ctx, "web")
	must(err)
	identity, err := p.Manage().FindIdentity(ctx, "msi")
	must(err)
	proof, err := p.Tokens().Identity(ctx, sts.IdentityRequest{
		Tenant: host.Tenant, Host: host.ID, Resource: "api://AzureADTokenExchange", Want: trust.Selector{ClientID: identity.ClientID},
	}, &audit.SignIn{})
	must(err)

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.CAPEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: time.Minute}
	t.Cleanup(client.CloseIdleConnections)
	send := func(method, address, contentType, authorization string, body []byte) (int, map[string]any) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
		must(err)
		r.Header.Set("Content-Type", contentType)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		answer, err := client.Do(r)
		must(err)
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		must(err)
		var content map[string]any
		if len(text) > 0 {
			must(json.Unmarshal(text, &content))
		}
		return answer.StatusCode, content
	}
	graph := func(method, path, body string) (int, map[string]any) {
		t.Helper()
		return send(method, p.Endpoints().Graph+"/v1.0"+path, "application/json", "Bearer "+bearer, []byte(body))
	}
	exchange := func(app string) (int, map[string]any) {
		t.Helper()
		form := url.Values{
			"grant_type": {"client_credentials"}, "client_id": {app}, "scope": {"https://storage.azure.com/.default"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {proof.Token},
		}
		return send(http.MethodPost, p.URL()+"/fabrikam.example/oauth2/v2.0/token", "application/x-www-form-urlencoded", "", []byte(form.Encode()))
	}

	shop, err := p.Manage().FindApplication(ctx, "shop")
	must(err)
	own, err := p.Manage().FindApplication(ctx, "own")
	must(err)
	if status, answer := exchange(shop.ClientID.String()); status == http.StatusOK {
		t.Fatalf("a token before anybody let the application in: %v", answer)
	}
	if status, answer := graph(http.MethodPost, "/servicePrincipals", `{"appId":"`+own.ClientID.String()+`"}`); status < 400 {
		t.Errorf("a single-tenant application was let in: %d %v", status, answer)
	}
	status, made := graph(http.MethodPost, "/servicePrincipals", `{"appId":"`+shop.ClientID.String()+`"}`)
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, made)
	}
	if status, answer := exchange(shop.ClientID.String()); status != http.StatusOK {
		t.Fatalf("no token in the tenant that let it in: %d %v", status, answer)
	}
	id, _ := made["id"].(string)
	if status, answer := graph(http.MethodDelete, "/servicePrincipals/"+id, ""); status != http.StatusNoContent {
		t.Fatalf("%d %v", status, answer)
	}
	status, answer := exchange(shop.ClientID.String())
	if text, _ := answer["error_description"].(string); status == http.StatusOK || !strings.Contains(text, "AADSTS") {
		t.Errorf("after its removal: %d %v", status, answer)
	}
}
