package tokenapi_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/avouchtest"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/sts"
	"github.com/avouch/avouch/internal/trust"
)

func number(t testing.TB, v any) int64 {
	t.Helper()
	n, ok := v.(json.Number)
	if !ok {
		t.Fatalf("%v is a %T, not a number", v, v)
	}
	i, err := n.Int64()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestRefusals says for each cause, with a request that has it, which code is
// answered and which reason is recorded.
func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Apply(`tenants: [{name: fabrikam, servicePrincipals: [{application: contoso/orders}, {application: contoso/reports, disabled: true}]}]`)
	good := func() url.Values { return form(orders, w.proof()) }
	proofOf := func(change map[string]any) url.Values { return form(orders, w.resigned(change)) }
	trusts := func(issuer, subject, audience string) url.Values {
		return form(w.clientTrusting(trusting(issuer, subject, audience)), w.proof())
	}
	v1Issuer := "https://sts.windows.net/" + contoso + "/"
	external := "https://issuer.example"
	in := func(d time.Duration) json.Number { return json.Number(strconv.FormatInt(w.Now().Add(d).Unix(), 10)) }

	for _, row := range []struct {
		cause  string
		tenant string
		form   url.Values
		code   int
		reason trust.Reason
	}{
		{"a tenant that nobody made", "9c3f0e6f-0000-4000-8000-000000000009", good(), 90002, trust.TenantUnknown},
		{"a domain that nobody has", "unknown.example", good(), 90002, trust.TenantUnknown},
		{"a word for a tenant", "contoso", good(), 900023, trust.TenantMalformed},
		{"the tenant of the zero id", "00000000-0000-0000-0000-000000000000", good(), 900023, trust.TenantMalformed},
		{"common", "common", good(), 9001023, trust.TenantNotNamed},
		{"consumers", "Consumers", good(), 9001023, trust.TenantNotNamed},
		{"organizations", "organizations", good(), 50059, trust.TenantNotNamed},

		{"a client that nobody made", contoso, form(stranger, w.proof()), 700016, trust.ClientUnknown},
		{"a client id that is no GUID", contoso, form("orders", w.proof()), 700016, trust.ClientUnknown},
		{"a system-assigned identity as client", contoso, form(systemClient(t, w), w.proof()), 700016, trust.ClientUnknown},
		{"a single-tenant application in another tenant", fabrikam, form(single, w.proof()), 700016, trust.ClientUnknown},
		{"a disabled application", contoso, form(closed, w.proof()), 7000112, trust.ClientDisabled},
		{"a multi-tenant application that is not provisioned", northwind, good(), 7000229, trust.PrincipalMissing},

		{"no JWT", contoso, form(orders, "not-a-token"), 50027, trust.ProofMalformed},
		{"an array of two audiences", contoso, proofOf(map[string]any{"aud": []string{exchangeID, "x"}}), 50027, trust.ProofClaims},
		{"a forged signature", contoso, form(orders, avouchtest.Forge(w.proof())), 50006, trust.ProofSignature},
		{"a key that was never ours", contoso, form(orders, w.signRaw(`{"alg":"RS256","kid":"no-such-key"}`, payload(t, w.proof()))), 700027, trust.ProofKeyUnknown},
		{"an assertion that has expired", contoso, proofOf(map[string]any{"nbf": in(-2 * time.Hour), "iat": in(-2 * time.Hour), "exp": in(-301 * time.Second)}), 700024, trust.ProofExpired},
		{"an assertion of tomorrow", contoso, proofOf(map[string]any{"nbf": in(20 * time.Minute)}), 700024, trust.ProofExpired},
		{"an assertion that lives for years", contoso, proofOf(map[string]any{"exp": in(9000 * time.Hour)}), 700024, trust.ProofExpired},
		{"an assertion that the application signed itself", contoso, proofOf(map[string]any{"iss": orders, "sub": orders, "aud": w.URL() + "/" + contoso + "/oauth2/v2.0/token"}), 700027, trust.CertificateUnknown},
		{"an issuer of somebody else that is trusted", contoso, form(w.clientTrusting(trusting(external, "x", exchangeURI)), w.resigned(map[string]any{"iss": external, "sub": "x", "aud": exchangeURI})), 501661, trust.IssuerUnreachable},

		{"an application without credentials", contoso, form(bare, w.proof()), 70025, trust.NoCredentials},
		{"an issuer that no credential names", contoso, proofOf(map[string]any{"iss": external}), 700211, trust.IssuerMismatch},
		{"a credential with a slash at the issuer", contoso, trusts(issuer+"/", msi, exchangeURI), 700211, trust.IssuerMismatch},
		{"a credential with another subject", contoso, trusts(issuer, "00000000-0000-0000-0000-000000000000", exchangeURI), 700213, trust.SubjectMismatch},
		{"a credential with the client id for a subject", contoso, trusts(issuer, msiClient, exchangeURI), 700213, trust.SubjectMismatch},
		{"a credential in upper case", contoso, trusts(issuer, strings.ToUpper(msi), exchangeURI), 7002138, trust.SubjectCase},
		{"a credential with the audience's GUID", contoso, trusts(issuer, msi, exchangeID), 700214, trust.CredentialAudience},
		{"a credential with another cloud's audience", contoso, trusts(issuer, msi, directory.China().ExchangeURI), 700214, trust.CredentialAudience},
		{"a credential with the v1.0 issuer", contoso, trusts(v1Issuer, msi, exchangeURI), 700227, trust.V1Issuer},
		{"a credential of another cloud, and a token as if from there", contoso, form(w.clientTrusting(trusting("https://login.microsoftonline.us/"+contoso+"/v2.0", msi, exchangeURI)),
			w.resigned(map[string]any{"iss": "https://login.microsoftonline.us/" + contoso + "/v2.0"})), 700238, trust.ForeignCloud},
		{"an application of one tenant that trusts another tenant's identity", fabrikam, form("cccccccc-0000-4000-8000-0000000000f1", w.proof()), 700236, trust.ForeignTenant},
		{"both issuers of one tenant for one subject", contoso, form(w.clientTrusting(trusting(issuer, msi, exchangeURI), trusting(v1Issuer, msi, exchangeURI)), w.proof()), 700263, trust.DuplicateSubject},
		{"a token for the resource manager", contoso, form(orders, w.IdentityToken("contoso/msi-webapp1", "https://management.azure.com/")), 7002121, trust.TokenAudience},
		{"a token that acts for a user", contoso, proofOf(map[string]any{"scp": "user_impersonation"}), 700229, trust.NotAppOnly},
		{"a token without idtyp", contoso, proofOf(map[string]any{"idtyp": nil}), 700229, trust.NotAppOnly},
		{"a token that came from a federation", contoso, proofOf(map[string]any{"xms_ficinfo": map[string]any{}}), 700231, trust.FromFederation},
		{"a subject that is gone", contoso, form(w.clientTrusting(trusting(issuer, "bbbbbbbb-0000-4000-8000-00000000dead", exchangeURI)),
			w.resigned(map[string]any{"sub": "bbbbbbbb-0000-4000-8000-00000000dead", "oid": "bbbbbbbb-0000-4000-8000-00000000dead"})), 7000229, trust.IdentityGone},
		{"a subject that is not the object id", contoso, proofOf(map[string]any{"oid": "bbbbbbbb-0000-4000-8000-000000000002"}), 7000229, trust.IdentityGone},
		{"an identity that trusts another identity", contoso, form(trustingMSI, w.proof()), 700222, trust.ClientIsIdentity},

		{"a resource that nobody made", contoso, with(good(), "scope", "api://nothing/.default"), 500011, trust.ResourceUnknown},
		{"a resource of the home tenant in a tenant that has it not", fabrikam, with(good(), "scope", "api://ledger/.default"), 500011, trust.ResourceUnknown},
		{"a resource with a slash too many", contoso, with(good(), "scope", "api://reports//.default"), 500011, trust.ResourceUnknown},
		{"a resource in another case", contoso, with(good(), "scope", "api://Reports/.default"), 500011, trust.ResourceUnknown},
		{"a resource that is disabled in the tenant", fabrikam, with(good(), "scope", "api://reports/.default"), 50001, trust.ResourceDisabled},
		{"a resource that wants an assignment", contoso, with(good(), "scope", "api://locked/.default"), 501051, trust.NotAssigned},

		{"no grant type", contoso, with(good(), "grant_type", "-"), 900144, "request"},
		{"no client id", contoso, with(good(), "client_id", "-"), 900144, "request"},
		{"no assertion", contoso, with(good(), "client_assertion", "-"), 7000216, "request"},
		{"no assertion type", contoso, with(good(), "client_assertion_type", "-"), 900144, "request"},
		{"an assertion type that is none", contoso, with(good(), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), 9002313, "request"},
		{"an assertion bound to a certificate", contoso, with(good(), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-pop"), 51000, "request"},
		{"a secret", contoso, with(with(good(), "client_assertion", "-"), "client_secret", "s"), 7000215, "request"},
		{"a secret beside the assertion", contoso, with(good(), "client_secret", "s"), 7000215, "request"},
		{"no scope", contoso, with(good(), "scope", "-"), 900144, "request"},
		// After ten like refusals they are only counted: the rest comes by domain.
		{"a scope without /.default", "contoso.example", with(good(), "scope", storage), 1002012, "request"},
		{"OpenID scopes only", "contoso.example", with(good(), "scope", "openid profile"), 1002012, "request"},
		{"two resources", "contoso.example", with(good(), "scope", storage+"/.default api://reports/.default"), 70011, "request"},
		{"a resource on the version 2 endpoint", "contoso.example", with(good(), "resource", storage), 901002, "request"},
		{"claims that are not JSON", "contoso.example", with(good(), "claims", "{"), 9002313, "request"},
		{"a federated managed identity path", "contoso.example", with(good(), "fmi_path", "a/b"), 51000, "request"},
		{"a token bound to a certificate", "contoso.example", with(good(), "token_type", "mtls_pop"), 51000, "request"},
		{"a proof of possession", "contoso.example", with(good(), "req_cnf", "abc"), 51000, "request"},
	} {
		t.Run(row.cause, func(t *testing.T) {
			a := w.ask(row.tenant, row.form)
			w.refused(t, a, row.code)
			for _, record := range w.signIns() {
				if record.ID == a.header.Get("X-Ms-Request-Id") {
					if record.Reason != string(row.reason) || record.Code != row.code {
						t.Errorf("recorded as %q with code %d, want %q, %d", record.Reason, record.Code, row.reason, row.code)
					}
					return
				}
			}
			t.Error("not recorded")
		})

	}
}

func systemClient(t testing.TB, w *world) string {
	t.Helper()
	claims, err := avouchtest.Claims(w.IdentityToken("contoso/host:web-vm", exchangeURI))
	if err != nil {
		t.Fatal(err)
	}
	client, _ := claims["azp"].(string)
	return client
}

// hostReasons concern the identity endpoints, which have a wire form of their
// own: no exchange is ever refused for them.
var hostReasons = map[trust.Reason]bool{
	trust.HostUnknown: true, trust.IdentityNotAssigned: true, trust.IdentityAmbiguous: true, trust.IdentityNone: true,
}

// TestEveryReasonHasAWireForm walks the reasons as package trust declares them.
func TestEveryReasonHasAWireForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := 0
	for name, reason := range declaredReasons(t) {
		if hostReasons[reason] {
			continue
		}
		seen++
		code, oauth, text := w.Internal().Describe(&sts.Refusal{Reason: reason, Value: "value"})
		want, ok := contract[code]
		if !ok || code == 90033 {
			t.Errorf("%s: code %d, %q: no wire form", name, code, text)
			continue
		}
		if oauth != want.oauth {
			t.Errorf("%s: %d is %s, want %s", name, code, oauth, want.oauth)
		}
	}
	if seen < 30 {
		t.Errorf("only %d reasons found", seen)
	}
	if strings.Contains(w.Logs(), "has no wire form") {
		t.Error("the log complains of a reason without wire form")
	}
}

func declaredReasons(t testing.TB) map[string]trust.Reason {
	t.Helper()
	source, err := os.ReadFile("../trust/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := make(map[string]trust.Reason)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, name := range spec.Names {
			literal, ok := spec.Values[i].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is not a literal", name)
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			reasons[name.Name] = trust.Reason(value)
		}
		return true
	})
	return reasons
}

// TestOrderOfRefusals: when several things are wrong, the first check of
// section 4.5 speaks: what concerns the request, then the client, then the
// proof.
func TestOrderOfRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, row := range []struct {
		wrong string
		a     answer
		code  int
	}{
		{"the form, the tenant and the client", w.ask("unknown.example", with(form(stranger, "x"), "scope", "-")), 900144},
		{"the tenant and the client", w.ask("unknown.example", form(stranger, "x")), 90002},
		{"the client and the assertion", w.ask(contoso, form(stranger, "x")), 700016},
		{"the assertion and the resource", w.ask(contoso, with(form(orders, "x"), "scope", "api://nothing/.default")), 50027},
		{"the signature and the subject", w.ask(contoso, form(orders, avouchtest.Forge(w.resigned(map[string]any{"sub": "x"})))), 50006},
		{"the times and the subject", w.ask(contoso, form(orders, w.resigned(map[string]any{"sub": "x", "nbf": 1, "iat": 1, "exp": 2}))), 700024},
		{"the audience and the subject", w.ask(contoso, form(orders, w.resigned(map[string]any{"sub": "x", "aud": "y"}))), 7002121},
		{"the subject and the principal", w.ask(northwind, form(orders, w.resigned(map[string]any{"sub": "x"}))), 700213},
		{"the principal and the resource", w.ask(northwind, with(form(orders, w.proof()), "scope", "api://nothing/.default")), 7000229},
	} {
		t.Run(row.wrong, func(t *testing.T) { w.refused(t, row.a, row.code) })
	}
}

// TestClosedListOfGrants tries every grant name of the RFCs and of the
// clients, and some that are none (threats F16).
func TestClosedListOfGrants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, grant := range []string{
		"authorization_code", "implicit", "password", "refresh_token", "jwt-bearer", "user_fic", "srv_challenge",
		"urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:saml2-bearer",
		"urn:ietf:params:oauth:grant-type:saml1_1-bearer", "urn:ietf:params:oauth:grant-type:token-exchange",
		"urn:ietf:params:oauth:grant-type:uma-ticket", "urn:ietf:params:oauth:grant-type:pre-authorized_code",
		"urn:openid:params:grant-type:ciba", "urn:ietf:params:oauth:grant-type:device_code2",
		"Client_Credentials", "client_credentials ", " client_credentials", "client_credentials,password", "client credentials", "null", "<script>",
		strings.Repeat("x", 5000),
	} {
		f := with(form(orders, w.proof()), "grant_type", grant)
		for _, extra := range []string{"assertion", "subject_token", "refresh_token", "code", "username", "password", "user_federated_identity_credential"} {
			f.Set(extra, w.proof())
		}
		t.Run(grant[:min(len(grant), 60)], func(t *testing.T) { w.refused(t, w.ask(contoso, f), 70003) })
	}
}

// TestTenantOddities: only ids and domains name a tenant (threats X5).
func TestTenantOddities(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, row := range []struct {
		tenant string
		code   int
	}{
		{"COMMON", 9001023}, {"common", 9001023}, {"consumers", 9001023}, {"ORGANIZATIONS", 50059},
		{"9188040d-6c67-4c5b-b112-36a304b66dad", 90002},
		{strings.ReplaceAll(contoso, "-", ""), 900023},
		{contoso + "0", 900023},
		{"contoso.example.", 900023}, {".contoso.example", 900023}, {"contoso..example", 900023},
		{"xcontoso.example", 90002}, {"contoso.example.evil.example", 90002},
		{"tenantid", 900023}, {"-", 900023}, {strings.Repeat("a", 300) + ".example", 900023},
		{"a_b.example", 900023}, {"*", 900023}, {"contoso@example", 900023}, {"urn:uuid:" + contoso, 900023},
	} {
		t.Run(row.tenant[:min(len(row.tenant), 50)], func(t *testing.T) { w.refused(t, w.ask(row.tenant, form(orders, w.proof())), row.code) })
	}
	for _, path := range []string{"{" + contoso + "}", "%63ontoso.example", contoso + "%00", contoso + "%20", ".", "..", "%2e%2e", contoso + ";x=1", "a/" + contoso, `contoso\`} {
		t.Run("path "+path, func(t *testing.T) {
			request := w.request("POST", "/", form(orders, w.proof()).Encode())
			request.URL.Opaque = "/" + path + "/oauth2/v2.0/token"
			a := w.do(request)
			w.refusedAs(t, a, 90100, wire{"invalid_request", 404, false})
			if a.header.Get("Location") != "" {
				t.Errorf("redirected to %s", a.header.Get("Location"))
			}
		})
	}
}

// TestExplanationIsWhole: when all three values of a credential are wrong, the
// answer holds the edit for each, the last one included.
func TestExplanationIsWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.ask(contoso, form(w.clientTrusting(trusting("https://login.windows.net/"+contoso+"/v2.0", msiClient, exchangeID)), w.proof()))
	w.refused(t, a, 700211)
	text, _ := a.body["error_description"].(string)
	for _, edit := range []string{"set issuer to " + issuer, "set subject to " + msi, "set audiences to [" + exchangeURI + "]"} {
		if !strings.Contains(text, edit) {
			t.Errorf("the explanation lacks %q: %s", edit, text)
		}
	}
}
