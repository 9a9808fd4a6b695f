package graphapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

const someGUID = "0a1b2c3d-0000-4000-8000-00000000000f"

// TestApplicationDefaults compares a new application with what was recorded from
// the real service (reference/graph.md, 3.1).
func TestApplicationDefaults(t *testing.T) {
	p := newPlatform(t)
	a := p.must(201, "POST", "/v1.0/applications", `{"displayName":"plain"}`)
	if got := a.header.Get("Location"); got != testBase+"/v1.0/applications/"+a.str("id") {
		t.Errorf("location %q", got)
	}
	names := strings.Split("id deletedDateTime appId applicationTemplateId disabledByMicrosoftStatus createdDateTime displayName description groupMembershipClaims identifierUris isDeviceOnlyAuthSupported isFallbackPublicClient notes publisherDomain serviceManagementReference signInAudience tags tokenEncryptionKeyId defaultRedirectUri certification optionalClaims addIns api appRoles info keyCredentials parentalControlSettings passwordCredentials publicClient requiredResourceAccess verifiedPublisher web spa", " ")
	last := -1
	for _, name := range names {
		at := strings.Index(a.text, `"`+name+`":`)
		if at <= last {
			t.Errorf("%s is missing or out of its order", name)
		}
		last = at
	}
	want := map[string]string{
		"api":                     `{"acceptMappedClaims":null,"knownClientApplications":[],"requestedAccessTokenVersion":2,"oauth2PermissionScopes":[],"preAuthorizedApplications":[]}`,
		"info":                    `{"logoUrl":null,"marketingUrl":null,"privacyStatementUrl":null,"supportUrl":null,"termsOfServiceUrl":null}`,
		"parentalControlSettings": `{"countriesBlockedForMinors":[],"legalAgeGroupRule":"Allow"}`,
		"publicClient":            `{"redirectUris":[]}`, "spa": `{"redirectUris":[]}`,
		"web":               `{"homePageUrl":null,"logoutUrl":null,"redirectUris":[],"implicitGrantSettings":{"enableAccessTokenIssuance":false,"enableIdTokenIssuance":false},"redirectUriSettings":[]}`,
		"verifiedPublisher": `{"displayName":null,"verifiedPublisherId":null,"addedDateTime":null}`,
		"signInAudience":    `"AzureADandPersonalMicrosoftAccount"`, "publisherDomain": `"contoso.example"`, "notes": "null", "tags": "[]", "passwordCredentials": "[]",
	}
	for name, text := range want {
		if !strings.Contains(a.text, `"`+name+`":`+text) {
			t.Errorf("%s is not %s in %s", name, text, a.text)
		}
	}
	read := p.must(200, "GET", "/v1.0/applications/"+a.str("id"), "")
	if diff := cmp.Diff(a.body, read.body); diff != "" {
		t.Errorf("created and read differ:\n%s", diff)
	}
	org := p.must(201, "POST", "/v1.0/applications", `{"displayName":"plain","signInAudience":"AzureADMyOrg"}`)
	if !strings.Contains(org.text, `"requestedAccessTokenVersion":null`) {
		t.Error("an organisation's application has a token version")
	}
}

func TestApplicationKeys(t *testing.T) {
	p := newPlatform(t)
	id, appID := p.register(`{"displayName":"keyed","uniqueName":"it's/one"}`)
	for _, target := range []string{"/" + id, "(appId='" + appID + "')", "(appId=%27" + strings.ToUpper(appID) + "%27)", "(uniqueName='it''s%2Fone')", "('" + id + "')"} {
		if a := p.must(200, "GET", "/V1.0/Applications"+target, ""); a.str("id") != id {
			t.Errorf("%s: %s", target, a.text)
		}
	}
	p.must(404, "GET", "/v1.0/applications/not-a-guid", "")
	p.must(400, "GET", "/v1.0/applications(colour='red')", "")
	// A managed identity has a service principal and no application.
	sp := p.must(200, "GET", "/v1.0/servicePrincipals?$filter=displayName eq 'mi-orders'", "").values()[0]
	p.must(404, "GET", "/v1.0/applications(appId='"+sp["appId"].(string)+"')", "")
	p.must(404, "POST", "/v1.0/applications/"+sp["id"].(string)+"/federatedIdentityCredentials", `{"name":"one","issuer":"i","subject":"s","audiences":["a"]}`)
}

func TestApplicationUpdates(t *testing.T) {
	p := newPlatform(t)
	id, appID := p.register(`{"displayName":"moving","signInAudience":"AzureADMyOrg"}`)
	at := "/v1.0/applications/" + id
	p.must(204, "PATCH", at, `{"@odata.type":"#microsoft.graph.application","notes":"<b>","web":{"homePageUrl":"https://h.example","redirectUris":["https://r.example"]},
		"requiredResourceAccess":[{"resourceAppId":"00000003-0000-0000-c000-000000000000","resourceAccess":[{"id":"`+someGUID+`","type":"Role"}]}],
		"optionalClaims":{"accessToken":[{"name":"ipaddr"}]},"identifierUris":["api://`+appID+`"],"tags":["a"]}`)
	p.must(204, "PATCH", at, `{"web":{"redirectUris":["https://s.example"]}}`)
	a := p.must(200, "GET", at, "")
	for _, want := range []string{
		`"homePageUrl":"https://h.example"`, `"redirectUris":["https://s.example"]`, `"identifierUris":["api://` + appID + `"]`,
		`"optionalClaims":{"accessToken":[{"additionalProperties":[],"essential":false,"name":"ipaddr","source":null}],"idToken":[],"saml2Token":[]}`,
		`"resourceAccess":[{"id":"` + someGUID + `","type":"Role"}]`, `"tags":["a"]`,
	} {
		if !strings.Contains(a.text, want) {
			t.Errorf("%s is missing in %s", want, a.text)
		}
	}
	if a.body["notes"] != "<b>" {
		t.Errorf("notes %v", a.body["notes"])
	}
	// What was read may be sent back whole.
	whole := slices.Clone([]byte(a.text))
	p.must(204, "PATCH", at, string(whole))
	for _, bad := range []string{
		`{"web":{"zebra":1}}`, `{"web":[]}`, `{"notes":7}`, `{"tags":[null]}`, `{"parentalControlSettings":{"legalAgeGroupRule":"Never"}}`,
		`{"requiredResourceAccess":[{"resourceAccess":[{"id":"x"}]}]}`, `{"signInAudience":"Everybody"}`, `{"signInAudience":"AzureADandPersonalMicrosoftAccount"}`,
		`{"api":{"requestedAccessTokenVersion":3}}`, `{"identifierUris":["no uri"]}`, `{"passwordCredentials":[{"displayName":"x"}]}`,
		`{"owners@odata.bind":[]}`, `{"federatedIdentityCredentials":[]}`, `{"displayName":""}`,
	} {
		if a := p.as("admin", "PATCH", at, bad); a.status != 400 {
			t.Errorf("%s: %d %s", bad, a.status, a.text)
		}
	}
	other, _ := p.register(`{"displayName":"moving"}`)
	if a := p.as("admin", "PATCH", "/v1.0/applications/"+other, `{"identifierUris":["api://`+appID+`"]}`); a.status != 400 || a.code() != "Request_MultipleObjectsWithSameKeyValue" {
		t.Errorf("taken URI: %d %s", a.status, a.text)
	}
}

// TestReadOnlyMembersAreRefused sends every member that nobody writes (threats X12).
func TestReadOnlyMembersAreRefused(t *testing.T) {
	p := newPlatform(t)
	id, _ := p.register(`{"displayName":"fixed"}`)
	read := p.must(200, "GET", "/v1.0/applications/"+id, "")
	for _, name := range append(slices.Clone(applicationReadOnly), "tenantId", "roles", "owners") {
		for _, value := range []string{`"` + someGUID + `"`, `"2020-01-01T00:00:00Z"`, `{"displayName":"x"}`} {
			body := `{"displayName":"fixed","` + name + `":` + value + `}`
			if name != "owners" {
				if a := p.as("admin", "PATCH", "/v1.0/applications/"+id, body); a.status != 400 {
					t.Errorf("PATCH %s: %d", body, a.status)
				}
			}
			if a := p.as("admin", "POST", "/v1.0/applications", body); a.status != 400 {
				t.Errorf("POST %s: %d", body, a.status)
			}
		}
		if present, ok := read.body[name]; ok {
			text, _ := json.Marshal(map[string]any{name: present})
			p.must(204, "PATCH", "/v1.0/applications/"+id, string(text))
		}
	}
	principal := p.must(201, "POST", "/v1.0/servicePrincipals", `{"appId":"`+read.str("appId")+`"}`)
	for _, name := range append(slices.Clone(principalReadOnly), "tenantId") {
		if a := p.as("admin", "PATCH", "/v1.0/servicePrincipals/"+principal.str("id"), `{"`+name+`":"`+someGUID+`"}`); a.status != 400 {
			t.Errorf("PATCH of a service principal's %s: %d", name, a.status)
		}
	}
}

func TestUpsertByUniqueName(t *testing.T) {
	p := newPlatform(t)
	at := "/v1.0/applications(uniqueName='bicep')"
	p.must(404, "PATCH", at, `{"displayName":"one"}`)
	made := p.must(201, "PATCH", at, `{"displayName":"one","signInAudience":"AzureADMyOrg"}`, "Prefer", "create-if-missing")
	p.must(204, "PATCH", at, `{"displayName":"two"}`, "Prefer", "create-if-missing")
	read := p.must(200, "GET", at, "")
	if read.str("id") != made.str("id") || read.str("displayName") != "two" || read.str("uniqueName") != "bicep" {
		t.Error(read.text)
	}
	p.must(400, "PATCH", "/v1.0/applications/"+made.str("id"), `{"uniqueName":"other"}`)
	if a := p.as("admin", "POST", "/v1.0/applications", `{"displayName":"x","uniqueName":"bicep"}`); a.status != 409 {
		t.Errorf("taken unique name: %d", a.status)
	}
}

func TestIfMatch(t *testing.T) {
	p := newPlatform(t)
	id, _ := p.register(`{"displayName":"raced"}`)
	at := "/v1.0/applications/" + id
	tag := p.must(200, "GET", at, "").header.Get("ETag")
	p.must(204, "PATCH", at, `{"notes":"1"}`, "If-Match", tag)
	p.must(412, "PATCH", at, `{"notes":"2"}`, "If-Match", tag)
	p.must(412, "DELETE", at, "", "If-Match", tag)
	p.must(204, "DELETE", at, "", "If-Match", "*")
}

func TestRolesAreDisabledFirst(t *testing.T) {
	p := newPlatform(t)
	role := func(enabled bool) string {
		return fmt.Sprintf(`{"appRoles":[{"id":"%s","value":"Read","displayName":"Read","description":"d","isEnabled":%v,"allowedMemberTypes":["Application"]}]}`, someGUID, enabled)
	}
	scope := func(enabled bool) string {
		return fmt.Sprintf(`{"api":{"oauth2PermissionScopes":[{"id":"%s","value":"Write","type":"Admin","isEnabled":%v,"adminConsentDisplayName":"w"}]}}`, someGUID[:35]+"e", enabled)
	}
	id, _ := p.register(`{"displayName":"roles","signInAudience":"AzureADMyOrg"}`)
	at := "/v1.0/applications/" + id
	for _, row := range []struct {
		of   func(bool) string
		none string
	}{{role, `{"appRoles":[]}`}, {scope, `{"api":{"oauth2PermissionScopes":[]}}`}} {
		p.must(204, "PATCH", at, row.of(true))
		a := p.must(400, "PATCH", at, row.none)
		if a.code() != "CannotDeleteOrUpdateEnabledEntitlement" || a.message() != "Permission (scope or role) cannot be deleted or updated unless disabled first." {
			t.Error(a.text)
		}
		p.must(204, "PATCH", at, row.of(false))
		p.must(204, "PATCH", at, row.none)
	}
}

func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(der)
	return string(text)
}

func TestCertificates(t *testing.T) {
	p := newPlatform(t)
	id, _ := p.register(`{"displayName":"certified"}`)
	at := "/v1.0/applications/" + id
	entry := func(more string) string {
		return `{"keyCredentials":[{"type":"AsymmetricX509Cert","usage":"Verify","displayName":"c"` + more + `}]}`
	}
	cert := certificate(t)
	p.must(204, "PATCH", at, entry(`,"key":`+cert))
	a := p.must(200, "GET", at, "")
	keys, _ := json.Marshal(a.body["keyCredentials"])
	if !strings.Contains(string(keys), `"key":null`) || !strings.Contains(string(keys), `"endDateTime":"2027-01-01T00:00:00Z"`) {
		t.Errorf("%s", keys)
	}
	if b := p.must(200, "GET", at+"?$select=keyCredentials", ""); !strings.Contains(b.text, cert) {
		t.Error("the certificate is not shown when asked for")
	}
	p.must(204, "PATCH", at, `{"keyCredentials":`+string(keys)+`}`) // as read: it stays
	for _, bad := range []string{``, `,"key":"AAAA"`, `,"key":` + cert + `,"endDateTime":"2030-01-01T00:00:00Z"`, `,"key":` + cert + `,"keyId":"x"`} {
		p.must(400, "PATCH", at, entry(bad))
	}
	p.must(400, "PATCH", at, `{"keyCredentials":[{"type":"Symmetric","usage":"Sign","key":"AAAA"}]}`)
	keyID := a.body["keyCredentials"].([]any)[0].(map[string]any)["keyId"].(string)
	p.must(204, "POST", at+"/removeKey", `{"keyId":"`+keyID+`","proof":"x"}`)
	p.must(400, "POST", at+"/removeKey", `{"keyId":"`+keyID+`"}`)
}

func TestNoSecrets(t *testing.T) {
	p := newPlatform(t)
	id, _ := p.register(`{"displayName":"secretless"}`)
	for _, a := range []answer{
		p.as("admin", "POST", "/v1.0/applications/"+id+"/addPassword", `{}`),
		p.as("admin", "POST", "/v1.0/applications/"+id+"/microsoft.graph.removePassword", `{}`),
		p.as("admin", "POST", "/v1.0/applications", `{"displayName":"x","passwordCredentials":[{}]}`),
	} {
		if a.status != 400 || !strings.Contains(a.message(), "federated") || !strings.Contains(a.message(), "managed identity") || !strings.Contains(a.message(), "certificate") {
			t.Error(a.text)
		}
	}
}

func TestOwnership(t *testing.T) {
	p := newPlatform(t)
	modest := p.user("modest", "contoso.example")
	other := p.user("other", "contoso.example")
	owned, _ := p.app("owned-by", "Application.ReadWrite.OwnedBy")
	foreign, _ := p.register(`{"displayName":"not mine"}`)
	for _, who := range []struct {
		token string
		id    directory.ObjectID
	}{{"modest", modest.Principal}, {"owned-by", owned.Principal}} {
		a := p.as(who.token, "POST", "/v1.0/applications", `{"displayName":"mine"}`)
		if a.status != 201 {
			t.Fatal(a.text)
		}
		at := "/v1.0/applications/" + a.str("id")
		owners := p.as(who.token, "GET", at+"/owners", "")
		if v := owners.values(); len(v) != 1 || v[0]["id"] != who.id.String() || v[0]["@odata.type"] == nil {
			t.Errorf("%s: owners %s", who.token, owners.text)
		}
		if b := p.as(who.token, "PATCH", at, `{"notes":"x"}`); b.status != 204 {
			t.Errorf("%s: own: %d %s", who.token, b.status, b.text)
		}
		if b := p.as(who.token, "PATCH", "/v1.0/applications/"+foreign, `{"notes":"x"}`); b.status != 403 || b.message() != "Insufficient privileges to complete the operation." || b.body["error"].(map[string]any)["details"] != nil {
			t.Errorf("%s: foreign: %s", who.token, b.text)
		}
		if b := p.as(who.token, "DELETE", at, ""); b.status != 204 {
			t.Errorf("%s: delete: %s", who.token, b.text)
		}
		if b := p.as(who.token, "DELETE", at, ""); b.status != 404 {
			t.Errorf("%s: second delete: %d", who.token, b.status)
		}
	}
	if v := p.must(200, "GET", "/v1.0/applications/"+foreign+"/owners", "").values(); len(v) != 0 {
		t.Errorf("an administrator became an owner: %v", v)
	}
	ref := `{"@odata.id":"https://any.host/v1.0/directoryObjects/` + other.Principal.String() + `"}`
	p.must(204, "POST", "/v1.0/applications/"+foreign+"/owners/$ref", ref)
	if a := p.must(400, "POST", "/v1.0/applications/"+foreign+"/owners/$ref", ref); !strings.Contains(a.message(), "One or more added object references already exist") {
		t.Error(a.text)
	}
	p.must(204, "DELETE", "/v1.0/applications/"+foreign+"/owners/"+other.Principal.String()+"/$ref", "")
	if a := p.must(400, "DELETE", "/v1.0/applications/"+foreign+"/owners/"+other.Principal.String()+"/$ref", ""); !strings.Contains(a.message(), "One or more removed object references do not exist") {
		t.Error(a.text)
	}
	bound := p.must(201, "POST", "/v1.0/applications", `{"displayName":"bound","owners@odata.bind":["https://x/v1.0/directoryObjects/`+other.Principal.String()+`"]}`)
	a := p.must(200, "GET", "/v1.0/applications/"+bound.str("id")+"?$expand=owners($select=id)&$select=id", "")
	if !strings.Contains(a.text, other.Principal.String()) {
		t.Error(a.text)
	}
}

// TestNobodyClimbs is design decision 16: an application administrator may not
// become what he could not make himself (threats X10).
func TestNobodyClimbs(t *testing.T) {
	p := newPlatform(t)
	p.user("appadmin", "contoso.example", applicationAdministrator)
	mallory := p.user("mallory", "contoso.example")
	_, strong := p.app("strong", "RoleManagement.ReadWrite.Directory")
	_, weak := p.app("weak")
	const fic = `{"name":"one","issuer":"https://i.example","subject":"s","audiences":["api://AzureADTokenExchange"]}`
	key := `{"keyCredentials":[{"type":"AsymmetricX509Cert","usage":"Verify","key":` + certificate(t) + `}]}`
	owner := `{"@odata.id":"https://x/` + mallory.Principal.String() + `"}`
	try := func(a *directory.Application, fic string) []int {
		at := "/v1.0/applications/" + a.ID.String()
		return []int{
			p.as("appadmin", "POST", at+"/federatedIdentityCredentials", fic).status,
			p.as("appadmin", "PATCH", at, key).status,
			p.as("appadmin", "POST", at+"/owners/$ref", owner).status,
		}
	}
	if got := try(weak, fic); !slices.Equal(got, []int{201, 204, 204}) {
		t.Errorf("weak: %v", got)
	}
	if got := try(strong, fic); !slices.Equal(got, []int{403, 403, 403}) {
		t.Errorf("strong: %v", got)
	}
	// Nor by way of the deleted service principal.
	sp := p.must(200, "GET", "/v1.0/servicePrincipals(appId='"+strong.ClientID.String()+"')", "").str("id")
	if a := p.as("appadmin", "DELETE", "/v1.0/servicePrincipals/"+sp, ""); a.status != 204 {
		t.Fatal(a.text)
	}
	if got := try(strong, fic); !slices.Equal(got, []int{403, 403, 403}) {
		t.Errorf("deleted service principal: %v", got)
	}
	p.must(200, "POST", "/v1.0/directory/deletedItems/"+sp+"/restore", "{}")
	p.must(201, "POST", "/v1.0/applications/"+strong.ID.String()+"/federatedIdentityCredentials", fic)
	// Changing one is no less than adding one.
	if a := p.as("appadmin", "PATCH", "/v1.0/applications/"+strong.ID.String()+"/federatedIdentityCredentials/one", `{"subject":"mine"}`); a.status != 403 {
		t.Errorf("update: %d", a.status)
	}
	p.manage.AllowClimbing()
	if a := p.as("appadmin", "PATCH", "/v1.0/applications/"+strong.ID.String()+"/federatedIdentityCredentials/one", `{"subject":"mine"}`); a.status != 204 {
		t.Errorf("allowed: %s", a.text)
	}
}

func TestExplanations(t *testing.T) {
	p := newPlatform(t)
	p.api.explain = true
	p.user("modest", "contoso.example")
	id, _ := p.register(`{"displayName":"x"}`)
	a := p.as("modest", "PATCH", "/v1.0/applications/"+id, `{"notes":"x"}`)
	if a.message() != "Insufficient privileges to complete the operation." || !strings.Contains(a.text, "assign the directory role") {
		t.Error(a.text)
	}
}

func TestGoneCallers(t *testing.T) {
	p := newPlatform(t)
	c := p.user("leaver", "contoso.example")
	p.must(204, "DELETE", "/v1.0/users/"+c.Principal.String(), "")
	if a := p.as("leaver", "GET", "/v1.0/applications", ""); a.status != 401 || a.code() != "InvalidAuthenticationToken" {
		t.Error(a.text)
	}
}

func TestSoftDeletion(t *testing.T) {
	p := newPlatform(t)
	c, a := p.app("doomed", "Application.Read.All")
	id, appID := a.ID.String(), a.ClientID.String()
	at := "/v1.0/applications/" + id
	owner := p.user("owner", "contoso.example")
	p.must(201, "POST", at+"/federatedIdentityCredentials", `{"name":"one","issuer":"https://i.example","subject":"s","audiences":["x"]}`)
	p.must(204, "POST", at+"/owners/$ref", `{"@odata.id":"x/`+owner.Principal.String()+`"}`)
	p.must(204, "PATCH", at, `{"keyCredentials":[{"type":"AsymmetricX509Cert","usage":"Verify","key":`+certificate(t)+`}],"notes":"kept"}`)
	before := []string{p.must(200, "GET", at, "").text, p.must(200, "GET", at+"/federatedIdentityCredentials", "").text, p.must(200, "GET", at+"/owners", "").text,
		p.must(200, "GET", "/v1.0/servicePrincipals/"+c.Principal.String(), "").text}

	p.must(204, "DELETE", at, "")
	for _, gone := range []string{at, at + "/federatedIdentityCredentials", "/v1.0/servicePrincipals/" + c.Principal.String()} {
		p.must(404, "GET", gone, "")
	}
	p.must(404, "DELETE", at, "")
	if a := p.as("doomed", "GET", "/v1.0/applications", ""); a.status != 401 {
		t.Errorf("a deleted application calls: %d", a.status)
	}
	listed := p.must(200, "GET", "/v1.0/directory/deletedItems/microsoft.graph.application?$filter=appId eq '"+appID+"'", "").values()
	if len(listed) != 1 || listed[0]["deletedDateTime"] != "2026-03-01T12:00:00Z" {
		t.Errorf("%v", listed)
	}
	p.must(200, "GET", "/v1.0/directory/deletedItems/"+id, "")
	// The client id stays taken.
	if _, err := p.manage.ProvisionPrincipal(t.Context(), operator, p.tenant.ID, a.ClientID, nil, func(*manage.PrincipalView) error { return nil }); err == nil {
		t.Error("provisioned from a deleted application")
	}
	p.must(200, "POST", "/v1.0/directory/deletedItems/"+id+"/restore", "")
	after := []string{p.must(200, "GET", at, "").text, p.must(200, "GET", at+"/federatedIdentityCredentials", "").text, p.must(200, "GET", at+"/owners", "").text,
		p.must(200, "GET", "/v1.0/servicePrincipals/"+c.Principal.String(), "").text}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("restored:\n%s", diff)
	}
	if a := p.as("doomed", "GET", "/v1.0/applications", ""); a.status != 200 {
		t.Errorf("its app role did not come back: %s", a.text)
	}

	p.must(204, "DELETE", at, "")
	p.must(204, "DELETE", "/v1.0/directory/deletedItems/"+id, "")
	p.must(404, "DELETE", "/v1.0/directory/deletedItems/"+id, "")

	// What nobody restores goes in time.
	old, _ := p.register(`{"displayName":"old"}`)
	p.must(204, "DELETE", "/v1.0/applications/"+old, "")
	for _, row := range []struct {
		after time.Duration
		want  int
	}{{directory.DeletedFor - time.Hour, 0}, {2 * time.Hour, 1}} {
		p.clock = p.clock.Add(row.after)
		if n, err := p.manage.PurgeDeleted(t.Context()); err != nil || n != row.want {
			t.Errorf("purged %d, %v; want %d", n, err, row.want)
		}
	}
	p.must(404, "GET", "/v1.0/directory/deletedItems/"+old, "")
}

func TestServicePrincipals(t *testing.T) {
	p := newPlatform(t)
	id, appID := p.register(`{"displayName":"served","signInAudience":"AzureADMyOrg","identifierUris":["api://served"]}`)
	made := p.must(201, "POST", "/v1.0/servicePrincipals", `{"@odata.type":"#microsoft.graph.servicePrincipal","appId":"`+appID+`","accountEnabled":true,"tags":["t"],"displayName":"served"}`)
	a := p.must(409, "POST", "/v1.0/servicePrincipals", `{"appId":"`+appID+`"}`)
	if a.code() != "Request_MultipleObjectsWithSameKeyValue" || !strings.Contains(a.text, `"code":"ObjectConflict"`) ||
		a.message() != "The service principal cannot be created, updated, or restored because the service principal name "+appID+" is already in use." {
		t.Error(a.text)
	}
	if got := fmt.Sprint(made.body["servicePrincipalNames"]); got != "["+appID+" api://served]" {
		t.Error(got)
	}
	// Unknown, and another tenant's own, are told alike.
	own := p.foreignApp("own")
	for _, missing := range []string{someGUID, own.ClientID.String()} {
		a := p.must(400, "POST", "/v1.0/servicePrincipals", `{"appId":"`+missing+`"}`)
		if a.message() != "The appId '"+missing+"' of the service principal does not reference a valid application object." {
			t.Error(a.text)
		}
	}
	shared := p.foreignApp("shared")
	if a := p.must(201, "POST", "/v1.0/servicePrincipals", `{"appId":"`+shared.ClientID.String()+`"}`); a.str("appOwnerOrganizationId") != p.away.ID.String() {
		t.Error(a.text)
	}
	p.app("owned-by", "Application.ReadWrite.OwnedBy")
	p.must(204, "DELETE", "/v1.0/servicePrincipals(appId='"+shared.ClientID.String()+"')", "")
	if a := p.as("owned-by", "POST", "/v1.0/servicePrincipals", `{"appId":"`+shared.ClientID.String()+`"}`); a.status != 403 || !strings.HasPrefix(a.message(), "When using this permission, the backing application") {
		t.Error(a.text)
	}

	for filter, want := range map[string]string{
		"appId eq '" + appID + "'": "served", "servicePrincipalNames/any(c:c eq '" + strings.ToUpper(appID) + "')": "served", "servicePrincipalNames/any(c:c eq 'api://served')": "served",
		"displayName eq 'SERVED'": "served", "startswith(displayName,'serv')": "served", "id eq '" + made.str("id") + "'": "served", "displayName eq 'mi-orders'": "mi-orders",
	} {
		v := p.must(200, "GET", "/v1.0/servicePrincipals?$filter="+filter, "").values()
		if len(v) != 1 || v[0]["displayName"] != want {
			t.Errorf("%s: %v", filter, v)
		}
	}
	graph := p.must(200, "GET", "/v1.0/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')", "")
	if !strings.Contains(graph.text, "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30") || !strings.Contains(graph.text, "c79f8feb-a9db-4090-85f9-90d820caa0eb") {
		t.Error("Microsoft Graph lacks its permissions")
	}
	mi := p.must(200, "GET", "/v1.0/servicePrincipals?$filter=displayName eq 'mi-orders'", "").values()[0]
	names, _ := mi["alternativeNames"].([]any)
	if mi["servicePrincipalType"] != "ManagedIdentity" || len(names) != 2 || names[0] != "isExplicit=True" || mi["appOwnerOrganizationId"] != nil {
		t.Errorf("%v", mi)
	}
	for _, fixed := range []string{mi["id"].(string), graph.str("id")} {
		p.must(400, "PATCH", "/v1.0/servicePrincipals/"+fixed, `{"notes":"x"}`)
		p.must(400, "DELETE", "/v1.0/servicePrincipals/"+fixed, "")
	}

	at := "/v1.0/servicePrincipals/" + made.str("id")
	p.must(204, "PATCH", at, `{"accountEnabled":false,"appRoleAssignmentRequired":true,"notes":"n","alternativeNames":["x"]}`)
	read := p.must(200, "GET", at, "")
	if read.body["accountEnabled"] != false || read.body["appRoleAssignmentRequired"] != true || read.str("notes") != "n" {
		t.Error(read.text)
	}
	p.must(204, "DELETE", at, "")
	p.must(404, "DELETE", at, "")
	if v := p.must(200, "GET", "/v1.0/directory/deletedItems/servicePrincipal", "").values(); len(v) == 0 {
		t.Error("not among the deleted")
	}
	p.must(200, "POST", "/v1.0/directory/deletedItems/"+made.str("id")+"/restore", "")
	if again := p.must(200, "GET", at, ""); again.text != read.text {
		t.Errorf("restored as %s", again.text)
	}
	p.must(204, "PATCH", "/v1.0/applications/"+id, `{"displayName":"renamed"}`)
	if got := p.must(200, "GET", at, "").str("displayName"); got != "renamed" {
		t.Error(got)
	}
}

func (p *platform) foreignApp(name string) *directory.Application {
	p.t.Helper()
	all, err := p.manage.Applications(p.t.Context(), operator, p.away.ID, directory.Selection{Name: name})
	if err != nil || len(all) != 1 {
		p.t.Fatal(err, len(all))
	}
	return &all[0]
}

// TestFiltersAnswerAsTheModel compares what indexes answer with a plain look at
// every object (threats A1).
func TestFiltersAnswerAsTheModel(t *testing.T) {
	p := newPlatform(t)
	var ids []string
	for i := range 12 {
		id, _ := p.register(fmt.Sprintf(`{"displayName":"%s %d","identifierUris":["api://u%d"],"tags":["t%d"]}`, []string{"Alpha", "alpha", "Beta's", "ALPHABET"}[i%4], i%3, i, i%2))
		ids = append(ids, id)
	}
	all := p.must(200, "GET", "/v1.0/applications?$top=999", "").values()
	text := func(v map[string]any, name string) string { s, _ := v[name].(string); return s }
	for filter, fits := range map[string]func(map[string]any) bool{
		"displayName eq 'ALPHA 0'": func(v map[string]any) bool { return strings.EqualFold(text(v, "displayName"), "alpha 0") },
		"startswith(displayName,'alpha')": func(v map[string]any) bool {
			return strings.HasPrefix(strings.ToLower(text(v, "displayName")), "alpha")
		},
		"displayName eq 'Beta''s 2'":                func(v map[string]any) bool { return strings.EqualFold(text(v, "displayName"), "beta's 2") },
		"id eq '" + ids[3] + "'":                    func(v map[string]any) bool { return v["id"] == ids[3] },
		"id in ('" + ids[1] + "','" + ids[2] + "')": func(v map[string]any) bool { return v["id"] == ids[1] || v["id"] == ids[2] },
		"identifierUris/any(s:s eq 'api://u4')":     func(v map[string]any) bool { return strings.Contains(fmt.Sprint(v["identifierUris"]), "api://u4") },
		"tags/any(x:x eq 't1') and startswith(displayName,'a')": func(v map[string]any) bool {
			return strings.Contains(fmt.Sprint(v["tags"]), "t1") && strings.HasPrefix(strings.ToLower(text(v, "displayName")), "a")
		},
		"displayName eq 'Alpha 0' or displayName eq 'alpha 1'": func(v map[string]any) bool {
			return strings.EqualFold(text(v, "displayName"), "alpha 0") || strings.EqualFold(text(v, "displayName"), "alpha 1")
		},
		"applicationTemplateId eq '" + someGUID + "' and displayName eq 'Alpha 0'": func(map[string]any) bool { return false },
		"displayName eq ''' or 1 eq 1'":                                            func(map[string]any) bool { return false },
	} {
		var want, got []string
		for _, v := range all {
			if fits(v) {
				want = append(want, text(v, "id"))
			}
		}
		for _, v := range p.must(200, "GET", "/v1.0/applications?$filter="+filter, "").values() {
			got = append(got, text(v, "id"))
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s: %v, want %v", filter, got, want)
		}
		n := p.must(200, "GET", "/v1.0/applications/$count?$filter="+filter, "", "ConsistencyLevel", "eventual")
		if n.text != fmt.Sprint(len(want)) {
			t.Errorf("%s: $count %s, want %d", filter, n.text, len(want))
		}
	}
}

func TestFederatedCredentials(t *testing.T) {
	p := newPlatform(t)
	id, appID := p.register(`{"displayName":"trusting"}`)
	at := "/v1.0/applications/" + id + "/federatedIdentityCredentials"
	const one = `{"@odata.type":"#microsoft.graph.federatedIdentityCredential","audiences":["api://AzureADTokenExchange"],"description":"","issuer":"https://login.example/v2.0","name":"one","subject":"s-1"}`
	if a := p.must(200, "GET", at, ""); a.text != `{"@odata.context":"`+testBase+`/v1.0/$metadata#applications('`+id+`')/federatedIdentityCredentials","value":[]}` {
		t.Error(a.text)
	}
	made := p.must(201, "POST", at, one)
	fic := made.str("id")
	want := `{"@odata.context":"` + testBase + `/v1.0/$metadata#applications('` + id + `')/federatedIdentityCredentials/$entity","id":"` + fic +
		`","name":"one","issuer":"https://login.example/v2.0","subject":"s-1","description":null,"audiences":["api://AzureADTokenExchange"]}`
	if made.text != want || made.header.Get("Location") == "" {
		t.Errorf("got  %s\nwant %s", made.text, want)
	}
	for _, same := range []string{at + "/" + fic, at + "/one", at + "(name='one')", "/v1.0/applications(appId='" + appID + "')/federatedIdentityCredentials/" + fic} {
		if a := p.must(200, "GET", same, ""); a.text != want {
			t.Errorf("%s: %s", same, a.text)
		}
	}
	if a := p.must(200, "GET", strings.Replace(at, "v1.0", "beta", 1)+"/one", ""); !strings.Contains(a.text, `"claimsMatchingExpression":null`) {
		t.Error(a.text)
	}
	p.must(204, "PATCH", at+"/"+fic, `{"id":"`+fic+`","name":"one","subject":"s-2","description":"d"}`)
	p.must(204, "PATCH", at+"(name='one')", `{"description":"e"}`)
	p.must(404, "PATCH", at+"(name='two')", `{"subject":"x"}`)
	p.must(201, "PATCH", at+"(name='two')", `{"issuer":"https://i","subject":"x","audiences":["a"]}`, "Prefer", "create-if-missing")
	p.must(204, "PATCH", at+"(name='two')", `{"subject":"y"}`, "Prefer", "create-if-missing")
	for filter, n := range map[string]int{"name eq 'two'": 1, "name eq 'TWO'": 0, "subject eq 's-2'": 1, "subject eq 'none'": 0} {
		if v := p.must(200, "GET", at+"?$filter="+filter, "").values(); len(v) != n {
			t.Errorf("%s: %v", filter, v)
		}
	}
	if a := p.must(200, "GET", at+"/$count", ""); a.text != "2" || a.header.Get("Content-Type") != "text/plain" {
		t.Error(a.text)
	}
	if a := p.must(200, "GET", "/v1.0/applications/"+id+"?$expand=federatedIdentityCredentials", ""); !strings.Contains(a.text, fic) {
		t.Error("not expanded")
	}

	long := strings.Repeat("x", 601)
	for _, row := range []struct {
		method, target, body string
		status               int
		code, message        string
	}{
		{"POST", at, `{"name":"one","issuer":"https://z","subject":"z","audiences":["a"]}`, 409, "Request_MultipleObjectsWithSameKeyValue", "FederatedIdentityCredential with name one already exists."},
		{"POST", at, `{"name":"three","issuer":"https://login.example/v2.0","subject":"s-2","audiences":["a"]}`, 400, "InvalidFederatedIdentityCredentialValue",
			"The combination of issuer and subject must be unique for the application. Issuer https://login.example/v2.0 and Subject: s-2 already exist. paramName: FederatedIdentityCredential.Subject, paramValue: s-2, objectType: Microsoft.Online.DirectoryServices.Application"},
		{"POST", at, `{"name":"a b/c","issuer":"https://z","subject":"z","audiences":["a"]}`, 400, "InvalidFederatedIdentityCredentialValue",
			"The specified Name value is not a valid URI last segment. paramName: FederatedIdentityCredential.Name, paramValue: a b/c, objectType: Microsoft.Online.DirectoryServices.Application"},
		{"POST", at, `{"name":"ab","issuer":"https://z","subject":"z","audiences":["a"]}`, 400, "InvalidFederatedIdentityCredentialValue", ""},
		{"POST", at, `{"name":"_abc","issuer":"https://z","subject":"z","audiences":["a"]}`, 400, "InvalidFederatedIdentityCredentialValue", ""},
		{"POST", at, `{"name":"abc","subject":"z","audiences":["a"]}`, 400, "InvalidFederatedIdentityCredentialValue", ""},
		{"POST", at, `{"name":"abc","issuer":"https://z","subject":"z","audiences":[]}`, 400, "InvalidFederatedIdentityCredentialValue", ""},
		{"POST", at, `{"name":"abc","issuer":"https://z","subject":"z","audiences":["a","b"]}`, 400, "InvalidFederatedIdentityCredentialValue", ""},
		{"POST", at, `{"name":"abc","issuer":"https://z","subject":"` + long + `","audiences":["a"]}`, 400, "InvalidFederatedIdentityCredentialValue", ""},
		{"POST", at, `{"name":"abc","issuer":"https://z","audiences":["a"],"claimsMatchingExpression":{"value":"x","languageVersion":1}}`, 400, "InvalidFederatedIdentityCredentialValue", ""},
		{"POST", at, `{"name":"abc","issuer":"https://z","subject":"z","audiences":["a"],"zebra":1}`, 400, "Request_BadRequest", ""},
		{"POST", at, `{"id":"` + someGUID + `","name":"abc","issuer":"https://z","subject":"z","audiences":["a"]}`, 400, "Request_BadRequest", ""},
		{"PATCH", at + "/" + fic, `{"name":"renamed"}`, 400, "InvalidFederatedIdentityCredentialValue", ""},
		{"PATCH", at + "/" + fic, `{"id":"` + someGUID + `"}`, 400, "Request_BadRequest", ""},
		{"GET", at + "/nobody", "", 404, "Request_ResourceNotFound", "Resource 'nobody' does not exist or one of its queried reference-property objects are not present."},
		{"GET", at + "?$filter=issuer eq 'x'", "", 400, "Request_UnsupportedQuery", ""},
		{"POST", "/v1.0/applications", `{"displayName":"x","federatedIdentityCredentials":[` + one + `]}`, 400, "Request_BadRequest", ""},
	} {
		a := p.as("admin", row.method, row.target, row.body)
		if a.status != row.status || a.code() != row.code || row.message != "" && a.message() != row.message {
			t.Errorf("%s %s %.80s: %d %s", row.method, row.target, row.body, a.status, a.text)
		}
	}
	p.must(204, "DELETE", at+"/"+fic, "")
	p.must(404, "DELETE", at+"/"+fic, "")
}

func TestTwentyCredentialsUnderConcurrency(t *testing.T) {
	p := newPlatform(t)
	id, _ := p.register(`{"displayName":"full"}`)
	at := "/v1.0/applications/" + id + "/federatedIdentityCredentials"
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", at, strings.NewReader(fmt.Sprintf(`{"name":"cred-%d","issuer":"https://i.example","subject":"s%d","audiences":["a"]}`, i, i)))
			r.Header.Set("Authorization", "Bearer admin")
			r.Header.Set("Content-Type", "application/json")
			p.handler.ServeHTTP(w, r)
			mu.Lock()
			defer mu.Unlock()
			statuses[w.Code]++
			if w.Code == 403 && !strings.Contains(w.Body.String(), "Directory_ResourceSizeExceeded") {
				t.Error(w.Body.String())
			}
		})
	}
	wg.Wait()
	if statuses[201] != directory.MaxCredentials || statuses[403] != 10 {
		t.Errorf("%v", statuses)
	}
}

func TestPermissionsOfReadingOneCredential(t *testing.T) {
	p := newPlatform(t)
	id, _ := p.register(`{"displayName":"x"}`)
	at := "/v1.0/applications/" + id + "/federatedIdentityCredentials"
	p.must(201, "POST", at, `{"name":"one","issuer":"https://i","subject":"s","audiences":["a"]}`)
	p.app("reader", "Application.Read.All")
	if a := p.as("reader", "GET", at, ""); a.status != 200 {
		t.Errorf("list: %s", a.text)
	}
	if a := p.as("reader", "GET", at+"/one", ""); a.status != 403 || a.code() != "Authorization_RequestDenied" {
		t.Errorf("one: %s", a.text)
	}
}
