package avouchtest_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/avouchtest"
)

// directory is what the tests below run with: an application that trusts a
// managed identity, at home and in a second tenant.
const directory = `
tenants:
  - name: contoso
    domains: [contoso.example]
    managedIdentities: [{name: msi-webapp1}]
    hosts: [{name: web-app, kind: webApp, identities: [msi-webapp1]}]
    applications:
      - name: orders
        signInAudience: AzureADMultipleOrgs
        federatedIdentityCredentials: [{name: msi-webapp1, managedIdentity: msi-webapp1}]
  - name: fabrikam
    servicePrincipals: [{application: contoso/orders}]
`

// TestExample is how a program's own tests use a platform: start it, describe
// the directory, get tokens as the program would, move the clock.
func TestExample(t *testing.T) {
	p := avouchtest.NewPlatform(t)
	p.Apply(directory)

	// The application's token, at home and in the other tenant.
	for _, tenant := range []string{"", "contoso.example", "fabrikam"} {
		claims, err := avouchtest.Claims(p.Token("orders", tenant, "https://storage.azure.com"))
		if err != nil {
			t.Fatal(err)
		}
		if claims["aud"] != "https://storage.azure.com" {
			t.Errorf("tenant %q: audience %v", tenant, claims["aud"])
		}
	}

	// What a child process or an SDK needs to do the same.
	env := p.Env("web-app")
	if env["AZURE_AUTHORITY_HOST"] == "" || env["IDENTITY_ENDPOINT"] == "" {
		t.Errorf("environment %v", env)
	}

	// Applying again changes nothing; applying something else does, at once.
	if plan := p.Apply(directory); !plan.Empty() {
		t.Errorf("applying the same again: %v", plan.Steps)
	}
	p.Apply(`tenants: [{name: fabrikam, servicePrincipals: []}]`)
	if _, err := p.TryToken("orders", "fabrikam", "https://storage.azure.com"); err == nil || !strings.Contains(err.Error(), "AADSTS7000229") {
		t.Errorf("without its service principal: %v", err)
	}
	if _, err := p.TryApply(`tenants: [{name: contoso, colour: red}]`); err == nil {
		t.Error("a file with an unknown key was applied")
	}
}

// TestAdvance lets a day pass: what the identity proved itself with yesterday
// no longer does.
func TestAdvance(t *testing.T) {
	p := avouchtest.NewPlatform(t)
	p.Apply(directory)
	before := p.Now()
	yesterdays := p.IdentityToken("msi-webapp1", "api://AzureADTokenExchange")

	p.Advance(25 * time.Hour)

	if passed := p.Now().Sub(before); passed < 25*time.Hour || passed > 26*time.Hour {
		t.Errorf("%v have passed", passed)
	}
	if p.IdentityToken("msi-webapp1", "api://AzureADTokenExchange") == yesterdays {
		t.Error("the identity still gets yesterday's token")
	}
	p.Token("orders", "", "https://storage.azure.com")
}

// TestNegative makes the tokens that a protected resource must refuse: one
// that the platform would never issue, and one that it did not sign.
func TestNegative(t *testing.T) {
	p := avouchtest.NewPlatform(t)
	p.Apply(directory)
	token := p.Token("orders", "", "https://storage.azure.com")
	claims, err := avouchtest.Claims(token)
	if err != nil {
		t.Fatal(err)
	}
	claims["exp"] = 1
	if expired := p.Sign(claims); expired == token || strings.Count(expired, ".") != 2 {
		t.Errorf("not a token: %s", expired)
	}
	forged := avouchtest.Forge(token)
	if forged == token || len(forged) != len(token) || forged[:strings.LastIndexByte(forged, '.')] != token[:strings.LastIndexByte(token, '.')] {
		t.Error("a forged token differs in its signature and in nothing else")
	}
	if avouchtest.Forge("not a token") != "not a token" {
		t.Error("what is no token cannot be forged")
	}
}

// TestTwoPlatformsOnOneDirectory goes on from data that another platform left.
func TestTwoPlatformsOnOneDirectory(t *testing.T) {
	dir := t.TempDir()
	first := avouchtest.NewPlatform(t, avouchtest.WithDir(dir))
	first.Apply(directory)
	token := first.Token("orders", "", "https://storage.azure.com")
	first.Close()

	second := avouchtest.NewPlatform(t, avouchtest.WithDir(dir))
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, second.URL()+"/contoso.example/discovery/v2.0/keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := second.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK || second.Token("orders", "", "https://storage.azure.com") == token {
		t.Errorf("status %d", response.StatusCode)
	}
}
