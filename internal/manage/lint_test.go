package manage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/trust"
)

// TestLintCredential holds the table of what is said about the values of a
// credential. The function is pure; the facts are what manage looks up.
func TestLintCredential(t *testing.T) {
	cloud := directory.Global()
	home := directory.MustTenantID("11111111-1111-4111-8111-111111111111")
	other := directory.MustTenantID("22222222-2222-4222-8222-222222222222")
	right := cloud.V2IssuerOf(home)
	msi := &directory.ManagedIdentity{
		Tenant: home, Name: "msi-one", Kind: directory.UserAssigned,
		PrincipalID: directory.MustObjectID("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"), ClientID: directory.MustClientID("bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"),
		ResourceID: "/subscriptions/x/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/msi-one",
	}
	system := &directory.ManagedIdentity{Tenant: home, Name: "vm", Kind: directory.SystemAssigned, PrincipalID: directory.MustObjectID("cccccccc-cccc-4ccc-8ccc-cccccccccccc")}
	app := &directory.Application{Tenant: home, Name: "orders", ID: directory.MustObjectID("dddddddd-dddd-4ddd-8ddd-dddddddddddd"), ClientID: directory.MustClientID("eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee")}
	sp := &directory.ServicePrincipal{Name: "orders", ID: directory.MustObjectID("ffffffff-ffff-4fff-8fff-ffffffffffff")}

	const (
		setIssuer   = "set issuer to https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/v2.0"
		setSubject  = "set subject to aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa, the principal id of msi-one"
		anySubject  = "set subject to the principal id of a user-assigned managed identity of this tenant"
		setAudience = "set audiences to [api://AzureADTokenExchange]"
		literal     = "holds a wildcard, which is compared as a plain character and matches nothing else"
		writeOut    = "write the whole value out, and one credential for each value"
		blank       = "begins or ends with white space, which blocks the exchange"
	)
	good := directory.FederatedCredential{Name: "one", Issuer: right, Subject: msi.PrincipalID.String(), Audience: cloud.ExchangeURI}
	external := directory.FederatedCredential{Name: "one", Issuer: "https://token.actions.githubusercontent.com", Subject: "repo:contoso/web:ref:refs/heads/main", Audience: cloud.ExchangeURI}

	type finding struct{ Field, Message, Mend string }
	for _, tt := range []struct {
		name  string
		from  directory.FederatedCredential
		edit  func(*directory.FederatedCredential)
		facts trust.LintFacts
		want  []finding
	}{
		{name: "right", from: good, facts: trust.LintFacts{Identity: msi}},
		{name: "right, from another issuer", from: external},
		{"blank after the issuer", good, func(c *directory.FederatedCredential) { c.Issuer += " " }, trust.LintFacts{Identity: msi},
			[]finding{{"issuer", blank, `set issuer to "` + right + `"`}}},
		{"v1 issuer", good, func(c *directory.FederatedCredential) { c.Issuer = cloud.V1IssuerOf(home) }, trust.LintFacts{Identity: msi},
			[]finding{{"issuer", "is the v1.0 issuer; the tokens that managed identities get for the exchange carry the v2.0 issuer", setIssuer}}},
		{"slash at the end", good, func(c *directory.FederatedCredential) { c.Issuer += "/" }, trust.LintFacts{Identity: msi},
			[]finding{{"issuer", "ends with a slash that no token's issuer has", setIssuer}}},
		{"issuer in capitals", good, func(c *directory.FederatedCredential) {
			c.Issuer = "https://LOGIN.microsoftonline.com/11111111-1111-4111-8111-111111111111/v2.0"
		}, trust.LintFacts{Identity: msi},
			[]finding{{"issuer", "differs from the issuer in tokens in upper and lower case; the comparison is case-sensitive", setIssuer}}},
		{"alias host", good, func(c *directory.FederatedCredential) {
			c.Issuer = "https://login.windows.net/11111111-1111-4111-8111-111111111111/v2.0"
		}, trust.LintFacts{Identity: msi},
			[]finding{{"issuer", "names this platform in a spelling that stands in no token", setIssuer}}},
		{"another tenant", good, func(c *directory.FederatedCredential) { c.Issuer = cloud.V2IssuerOf(other) }, trust.LintFacts{},
			[]finding{{"issuer", "names another tenant; a managed identity must live in the home tenant of the application that trusts it", "use an identity of the application's home tenant, whose issuer is " + right}}},
		{"another cloud", good, func(c *directory.FederatedCredential) { c.Issuer = directory.USGov().V2IssuerOf(home) }, trust.LintFacts{},
			[]finding{{"issuer", "is an issuer of another cloud (usgov); tokens of another cloud are always refused", setIssuer}}},
		{"http", external, func(c *directory.FederatedCredential) { c.Issuer = "http://issuer.example" }, trust.LintFacts{},
			[]finding{{"issuer", "does not begin with https://, so its keys cannot be fetched safely and every token is refused", "set issuer to the https URL under which the issuer publishes its keys"}}},
		{"wildcards", external, func(c *directory.FederatedCredential) { c.Issuer, c.Subject = "https://*.example", "repo:contoso/*" }, trust.LintFacts{},
			[]finding{{"issuer", literal, writeOut}, {"subject", literal, writeOut}}},
		{"credential of an identity for own tokens", good, func(*directory.FederatedCredential) {}, trust.LintFacts{Identity: msi, OnIdentity: true},
			[]finding{{"issuer", "is this platform; a managed identity's token is not accepted as a credential of another managed identity", "put the credential on the application that the managed identity shall speak for"}}},
		{"subject in capitals", good, func(c *directory.FederatedCredential) { c.Subject = "AAAAAAAA-aaaa-4aaa-8aaa-aaaaaaaaaaaa" }, trust.LintFacts{Identity: msi},
			[]finding{{"subject", "differs from the principal id of identity msi-one in upper and lower case only; the comparison is case-sensitive", setSubject}}},
		{"client id for principal id", good, func(c *directory.FederatedCredential) { c.Subject = msi.ClientID.String() }, trust.LintFacts{Identity: msi},
			[]finding{{"subject", "is the client id of identity msi-one; its tokens carry the principal id as subject", setSubject}}},
		{"name for principal id", good, func(c *directory.FederatedCredential) { c.Subject = "msi-one" }, trust.LintFacts{Identity: msi},
			[]finding{{"subject", "names identity msi-one; its tokens carry the principal id as subject", setSubject}}},
		{"resource id for principal id", good, func(c *directory.FederatedCredential) { c.Subject = msi.ResourceID }, trust.LintFacts{Identity: msi},
			[]finding{{"subject", "names identity msi-one; its tokens carry the principal id as subject", setSubject}}},
		{"blank before the subject", good, func(c *directory.FederatedCredential) { c.Subject = " " + c.Subject }, trust.LintFacts{Identity: msi},
			[]finding{{"subject", blank, `set subject to "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"`}}},
		{"system-assigned", good, func(c *directory.FederatedCredential) { c.Subject = system.PrincipalID.String() }, trust.LintFacts{Identity: system},
			[]finding{{"subject", "belongs to the system-assigned identity of host vm; only user-assigned identities may be a credential", "assign a user-assigned identity to the host and name its principal id"}}},
		{"application's client id", good, func(c *directory.FederatedCredential) { c.Subject = app.ClientID.String() }, trust.LintFacts{Application: app},
			[]finding{{"subject", "is the client id of application orders; an application's token is never accepted as a credential, only a managed identity's", anySubject}}},
		{"application's object id", good, func(c *directory.FederatedCredential) { c.Subject = app.ID.String() }, trust.LintFacts{Application: app},
			[]finding{{"subject", "is the object id of application orders; an application's token is never accepted as a credential, only a managed identity's", anySubject}}},
		{"application's service principal", good, func(c *directory.FederatedCredential) { c.Subject = sp.ID.String() }, trust.LintFacts{Principal: sp},
			[]finding{{"subject", "is the service principal of application orders; an application's token is never accepted as a credential, only a managed identity's", anySubject}}},
		{"nobody", good, func(c *directory.FederatedCredential) { c.Subject = "nobody" }, trust.LintFacts{},
			[]finding{{"subject", "is not the principal id of any managed identity in this tenant", anySubject}}},
		{"the same subject twice", good, func(*directory.FederatedCredential) {}, trust.LintFacts{Identity: msi, Siblings: []directory.FederatedCredential{good, {Name: "two", Issuer: cloud.V1IssuerOf(home), Subject: good.Subject}}},
			[]finding{{"subject", "is also the subject of credential two, whose issuer is another spelling of the same tenant; the exchange refuses such pairs", "delete one of the two"}}},
		{"GUID for audience", good, func(c *directory.FederatedCredential) { c.Audience = cloud.ExchangeID.String() }, trust.LintFacts{Identity: msi},
			[]finding{{"audiences", "is the application id of the token exchange; the credential must name its URI", setAudience}}},
		{"another cloud's audience", good, func(c *directory.FederatedCredential) { c.Audience = directory.China().ExchangeURI }, trust.LintFacts{Identity: msi},
			[]finding{{"audiences", "is the exchange audience of another cloud (china)", setAudience}}},
		{"audience in another case", good, func(c *directory.FederatedCredential) { c.Audience = "api://azureadtokenexchange" }, trust.LintFacts{Identity: msi},
			[]finding{{"audiences", "differs from api://AzureADTokenExchange in upper and lower case only; the comparison is case-sensitive", setAudience}}},
		{"slash after the audience", good, func(c *directory.FederatedCredential) { c.Audience += "/" }, trust.LintFacts{Identity: msi},
			[]finding{{"audiences", "ends with a slash that api://AzureADTokenExchange does not have", setAudience}}},
		{"some other audience", good, func(c *directory.FederatedCredential) { c.Audience = "api://orders" }, trust.LintFacts{Identity: msi},
			[]finding{{"audiences", "is not api://AzureADTokenExchange, the one audience that the exchange accepts for managed identities in this cloud", setAudience}}},
		{"some other audience of another issuer", external, func(c *directory.FederatedCredential) { c.Audience = "https://github.com/contoso" }, trust.LintFacts{},
			[]finding{{"audiences", "is not api://AzureADTokenExchange, the usual one; it works only if the issuer's tokens carry exactly this audience", setAudience}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, facts := tt.from, tt.facts
			if tt.edit != nil {
				tt.edit(&c)
			}
			facts.Cloud, facts.Tenant = cloud, home
			var got []finding
			for _, f := range trust.LintCredential(c, facts) {
				got = append(got, finding(f))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
