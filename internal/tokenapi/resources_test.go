package tokenapi_test

import (
	"strings"
	"testing"

	"github.com/avouch/avouch/avouchtest"
	"github.com/avouch/avouch/internal/directory"
)

// TestDisabledResource: a resource that is disabled gets no tokens, neither at
// home nor where it is a guest.
func TestDisabledResource(t *testing.T) {
	directoryWith := func(disabled string) string {
		return `
tenants:
  - name: contoso
    managedIdentities: [{name: msi}]
    hosts: [{name: app, kind: webApp, identities: [msi]}]
    applications:
      - name: orders
        signInAudience: AzureADMultipleOrgs
        federatedIdentityCredentials: [{name: msi, managedIdentity: msi}]
      - {name: reports, signInAudience: AzureADMultipleOrgs, identifierUris: ["api://reports"], disabled: ` + disabled + `}
  - name: fabrikam
    servicePrincipals: [{application: contoso/orders}, {application: contoso/reports}]
`
	}
	p := avouchtest.NewPlatform(t)
	for _, disabled := range []string{"false", "true"} {
		p.Apply(directoryWith(disabled))
		for _, tenant := range []string{"contoso", "fabrikam"} {
			_, err := p.TryToken("orders", tenant, "api://reports")
			if disabled == "false" && err != nil {
				t.Errorf("in %s: %v", tenant, err)
			}
			if disabled == "true" && (err == nil || !strings.Contains(err.Error(), "AADSTS50001:")) {
				t.Errorf("disabled, in %s: %v", tenant, err)
			}
		}
	}
}

// TestExchangeIDOfEveryCloud: the other clouds' ids are not published, so the
// global one stands in for them.
func TestExchangeIDOfEveryCloud(t *testing.T) {
	for _, cloud := range directory.Clouds() {
		p := avouchtest.NewPlatform(t, avouchtest.WithCloud(cloud.Name))
		p.Apply(`
tenants:
  - name: contoso
    domains: [contoso.example]
    managedIdentities: [{name: msi}]
    hosts: [{name: app, kind: webApp, identities: [msi]}]
`)
		claims, err := avouchtest.Claims(p.IdentityToken("msi", cloud.ExchangeURI))
		if err != nil {
			t.Fatal(err)
		}
		if claims["aud"] != "fb60f99c-7a34-4190-8149-302f77469936" {
			t.Errorf("%s: aud is %v", cloud.Name, claims["aud"])
		}
		p.Close()
	}
}
