package tokenapi_test

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/avouch/avouch/avouchtest"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

var b64 = base64.RawURLEncoding

func compact(header, payload string, signature []byte) string {
	return b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(payload)) + "." + b64.EncodeToString(signature)
}

// TestForgedAssertions offers tokens with good claims that our key did not
// sign as it should (threats J1, J2, J5, J6, J7, J8).
func TestForgedAssertions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	claims, kid := payload(t, w.proof()), w.kid()
	head, _, _ := strings.Cut(w.proof(), ".")
	signature, err := b64.DecodeString(w.proof()[strings.LastIndexByte(w.proof(), '.')+1:])
	if err != nil {
		t.Fatal(err)
	}
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(map[string]string{"kty": "RSA", "kid": kid, "n": b64.EncodeToString(own.N.Bytes()), "e": "AQAB"})
	if err != nil {
		t.Fatal(err)
	}
	var canary atomic.Int64
	listener := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		canary.Add(1)
		_, _ = fmt.Fprintf(rw, `{"keys":[%s]}`, jwk)
	}))
	defer listener.Close()
	listener.Config.ConnState = func(net.Conn, http.ConnState) { canary.Add(1) }

	signed := func(header string) string {
		text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(claims))
		digest := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(nil, own, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + b64.EncodeToString(signature)
	}
	type row struct {
		name  string
		token string
		code  int
	}
	rows := []row{
		{"the proof with its signature of another message", head + "." + b64.EncodeToString([]byte(strings.Replace(claims, msi, "bbbbbbbb-0000-4000-8000-000000000002", 1))) + "." + b64.EncodeToString(signature), 50006},
		{"the proof without its signature", w.proof()[:strings.LastIndexByte(w.proof(), '.')+1], 50027},
		{"the proof without its last part", w.proof()[:strings.LastIndexByte(w.proof(), '.')], 50027},
		{"the proof with a padded signature", w.proof() + "==", 50027},
		{"the proof with a line end", w.proof()[:40] + "\n" + w.proof()[40:], 50027},
		{"the proof with a blank after it", w.proof() + " ", 50027},
		{"another key under our kid", signed(`{"alg":"RS256","kid":"` + kid + `"}`), 50006},
		{"another key without kid", signed(`{"alg":"RS256"}`), 700027},
		{"a key in the header", signed(`{"alg":"RS256","kid":"` + kid + `","jwk":` + string(jwk) + `}`), 50006},
		{"an address of keys in the header", signed(`{"alg":"RS256","kid":"` + kid + `","jku":"` + listener.URL + `/keys"}`), 50006},
		{"an address of a certificate in the header", signed(`{"alg":"RS256","kid":"new","x5u":"` + listener.URL + `/cert"}`), 700027},
		{"a critical extension", w.signRaw(`{"alg":"RS256","kid":"`+kid+`","crit":["exp"]}`, claims), 50006},
		{"an empty list of critical extensions", w.signRaw(`{"alg":"RS256","kid":"`+kid+`","crit":[]}`, claims), 50006},
		{"an unencoded payload", w.signRaw(`{"alg":"RS256","kid":"`+kid+`","b64":false}`, claims), 50006},
		{"a compressed payload", w.signRaw(`{"alg":"RS256","kid":"`+kid+`","zip":"DEF"}`, claims), 50006},
		{"alg twice in the header", w.signRaw(`{"alg":"RS256","alg":"none","kid":"`+kid+`"}`, claims), 50027},
		{"a claim twice", w.signRaw(`{"alg":"RS256","kid":"`+kid+`"}`, strings.Replace(claims, `{"aud"`, `{"iss":"https://issuer.example","aud"`, 1)), 50027},
		{"a claim spelled with a long s", w.signRaw(`{"alg":"RS256","kid":"`+kid+`"}`, strings.Replace(claims, `"iss"`, `"iſs"`, 1)), 50027},
		{"five parts: encrypted, with a bomb in it", `eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIiwiemlwIjoiREVGIn0..AAAA.` + strings.Repeat("A", 4000) + `.AAAA`, 50006},
		{"the JSON serialisation", `{"payload":"` + b64.EncodeToString([]byte(claims)) + `","signatures":[]}`, 50006},
		{"sixteen thousand dots", strings.Repeat(".", 16<<10), 50027},
		{"one byte over the limit", strings.Repeat("a", 16<<10+1), 50027},
		{"a header over its limit", signed(`{"alg":"RS256","kid":"` + kid + `","x":"` + strings.Repeat("x", 4<<10) + `"}`), 50027},
		{"a kid over its limit", signed(`{"alg":"RS256","kid":"` + strings.Repeat("k", 257) + `"}`), 50027},
		{"a kid that is a path", signed(`{"alg":"RS256","kid":"../../../../dev/null"}`), 700027},
		{"a kid that is SQL", signed(`{"alg":"RS256","kid":"' OR '1'='1"}`), 700027},
		{"a kid with line ends", signed(`{"alg":"RS256","kid":"a\r\nSet-Cookie: x=1"}`), 700027},
		{"a kid that is no string", signed(`{"alg":"RS256","kid":["` + kid + `"]}`), 50027},
		{"RS384 by our kid", signed(`{"alg":"RS384","kid":"` + kid + `"}`), 50006},
		{"PS256 by our kid", signed(`{"alg":"PS256","kid":"` + kid + `"}`), 50006},
		{"ES256 by our kid", signed(`{"alg":"ES256","kid":"` + kid + `"}`), 50006},
		{"alg in lower case", signed(`{"alg":"rs256","kid":"` + kid + `"}`), 50006},
		{"no alg", signed(`{"kid":"` + kid + `"}`), 50027},
		{"no issuer", w.resigned(map[string]any{"iss": nil}), 50027},
		{"an issuer in an array", w.resigned(map[string]any{"iss": []string{issuer}}), 50027},
		{"a subject that is a number", w.resigned(map[string]any{"sub": 1}), 50027},
		{"no subject", w.resigned(map[string]any{"sub": nil}), 50027},
		{"no expiry", w.resigned(map[string]any{"exp": nil}), 50027},
		{"an expiry in a string", w.resigned(map[string]any{"exp": "9999999999"}), 50027},
		{"an expiry that is null", w.signRaw(`{"alg":"RS256","kid":"`+kid+`"}`, `{"iss":"`+issuer+`","sub":"`+msi+`","aud":"`+exchangeID+`","exp":null}`), 50027},
		{"a negative expiry", w.resigned(map[string]any{"exp": -1}), 50027},
		{"an expiry with an exponent", w.resigned(map[string]any{"exp": json.Number("9e9")}), 50027},
		{"an audience that is an object", w.resigned(map[string]any{"aud": map[string]any{exchangeID: true}}), 50027},
		{"a tenant in an array", w.resigned(map[string]any{"tid": []string{contoso}}), 50027},
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		rows = append(rows,
			row{"alg " + alg + " and no signature", b64.EncodeToString([]byte(`{"alg":"`+alg+`"}`)) + "." + b64.EncodeToString([]byte(claims)) + ".", 50027})
		code := 50006
		if alg == "" {
			code = 50027
		}
		rows = append(rows, row{"alg " + alg + " and the old signature", compact(`{"alg":"`+alg+`","kid":"`+kid+`"}`, claims, signature), code})
	}
	for name, secret := range publicKeyForms(t, w) {
		for alg, header := range map[string]string{"HS256": `{"alg":"HS256","kid":"` + kid + `"}`, "hs256": `{"alg":"hs256","kid":"` + kid + `"}`} {
			text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString([]byte(claims))
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(text))
			rows = append(rows, row{alg + " over the public key as " + name, text + "." + b64.EncodeToString(mac.Sum(nil)), 50006})
		}
	}
	for _, typ := range []string{"dpop+jwt", "logout+jwt", "secevent+jwt", "oauth-authz-req+jwt", "token-introspection+jwt", "entity-statement+jwt", "application/DPoP+jwt"} {
		rows = append(rows, row{"a token of type " + typ, w.signRaw(`{"alg":"RS256","typ":"`+typ+`","kid":"`+kid+`"}`, claims), 50006})
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			a := w.ask(contoso, form(orders, row.token))
			w.refused(t, a, row.code)
			if strings.ContainsAny(a.header.Get("Set-Cookie"), "=") {
				t.Error("a header came out of the assertion")
			}
		})
	}
	if n := canary.Load(); n != 0 {
		t.Errorf("the server made %d connections to an address in a token", n)
	}
	issued(t, w.ask(contoso, form(orders, w.proof())))
	issued(t, w.ask(contoso, form(orders, w.signRaw(`{"alg":"RS256","kid":"`+kid+`","typ":"at+jwt"}`, claims))))
}

// publicKeyForms is the active key's public half in the forms that forgers
// take for a secret.
func publicKeyForms(t testing.TB, w *world) map[string][]byte {
	t.Helper()
	published := w.Internal().Ring().Published()[0]
	spki, err := x509.MarshalPKIXPublicKey(published.Key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := x509.MarshalPKCS1PublicKey(published.Key)
	return map[string][]byte{
		"PEM":             pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}),
		"PKCS 1 PEM":      pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}),
		"certificate PEM": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: published.Certificate}),
		"DER":             spki, "PKCS 1 DER": pkcs1, "certificate": published.Certificate,
		"modulus":      published.Key.N.Bytes(),
		"modulus text": []byte(b64.EncodeToString(published.Key.N.Bytes())),
		"JWK":          []byte(`{"e":"AQAB","kty":"RSA","n":"` + b64.EncodeToString(published.Key.N.Bytes()) + `"}`),
		"kid":          []byte(published.ID), "nothing": {},
	}
}

// TestOtherTokensOfOurs offers every other kind of token that the platform
// signs or might sign (threats J20 and F8).
func TestOtherTokensOfOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	application := func(resource string) string {
		return issued(t, w.ask(contoso, with(form(orders, w.proof()), "scope", resource+"/.default")))
	}
	asSubject := func(token string) string {
		return w.clientTrusting(trusting(issuer, subject(t, token), exchangeURI))
	}
	system := w.IdentityToken("contoso/host:web-vm", exchangeURI)
	exchanged := application(exchangeURI)
	foreign := w.IdentityToken("fabrikam/msi-fabrikam", exchangeURI)
	fabIssuer := "https://login.microsoftonline.com/" + fabrikam + "/v2.0"
	for _, row := range []struct {
		kind   string
		client string
		token  string
		code   int
	}{
		{"another tenant's identity, which nobody trusts", orders, foreign, 700211},
		{"another tenant's identity, which the application trusts", w.clientTrusting(trusting(fabIssuer, subject(t, foreign), exchangeURI)), foreign, 700236},
		{"the identity of another tenant passed off as this tenant's", orders, w.resign(foreign, map[string]any{"iss": issuer, "tid": contoso}), 700213},
		{"a system-assigned identity", asSubject(system), system, 700222},
		{"a user's token", orders, w.resigned(map[string]any{"scp": "User.Read", "idtyp": "user", "upn": "a@contoso.example"}), 700229},
		{"a user's token that says it is an application's", orders, w.resigned(map[string]any{"scp": "User.Read"}), 700229},
		{"an application's token for the exchange", asSubject(exchanged), exchanged, 700226},
		{"an application's token for Microsoft Graph", orders, application("https://graph.microsoft.com"), 7002121},
		{"an application's token for storage, trusted by name", asSubject(exchanged), application(storage), 7002121},
		{"the application's own token", orders, exchanged, 700213},
		{"a token from a federation", orders, w.resigned(map[string]any{"xms_ficinfo": nil, "azp": msiClient, "uti": "x"}), 0},
		{"a token from a federation, marked", orders, w.resigned(map[string]any{"xms_ficinfo": json.RawMessage("null")}), 700231},
		{"an ID token", orders, w.resigned(map[string]any{"aud": orders, "nonce": "n", "idtyp": nil, "preferred_username": "a@contoso.example"}), 7002121},
		{"the identity's token for storage", orders, w.IdentityToken("contoso/msi-webapp1", storage), 7002121},
		{"the identity's token with the URI as audience", orders, w.resigned(map[string]any{"aud": exchangeURI}), 0},
		{"one audience in an array", orders, w.resigned(map[string]any{"aud": []string{exchangeID}}), 0},
		{"two audiences, the right one first (F4)", orders, w.resigned(map[string]any{"aud": []string{exchangeID, "api://reports"}}), 50027},
		{"two audiences, the right one last (F4)", orders, w.resigned(map[string]any{"aud": []string{"api://reports", exchangeID}}), 50027},
		{"the right audience twice (F4)", orders, w.resigned(map[string]any{"aud": []string{exchangeID, exchangeID}}), 50027},
		{"no audience at all (F4)", orders, w.resigned(map[string]any{"aud": []string{}}), 50027},
		{"iss and sub are the client (F6)", orders, w.resigned(map[string]any{"iss": orders, "sub": orders}), 700027},
		{"iss is the client in upper case (F6)", orders, w.resigned(map[string]any{"iss": strings.ToUpper(orders)}), 700027},
		{"iss is another client (F6)", orders, w.resigned(map[string]any{"iss": billing, "sub": billing}), 700211},
		{"signed for the token endpoint (F5)", orders, w.resigned(map[string]any{"iss": orders, "sub": orders, "aud": "https://login.microsoftonline.com/" + contoso + "/oauth2/v2.0/token"}), 700027},
		{"another application's credential (F7)", billing, w.proof(), 700213},
		{"the client id's own identity (F7)", orders, w.IdentityToken("contoso/msi-other", exchangeURI), 700213},
		{"a managed identity as client, by itself", msiClient, w.proof(), 70025},
	} {
		t.Run(row.kind, func(t *testing.T) {
			a := w.ask(contoso, form(row.client, row.token))
			if row.code == 0 {
				issued(t, a)
				return
			}
			w.refused(t, a, row.code)
		})
	}
}

// TestIssuerSpellings gives one application every spelling of our issuer that
// is not the issuer, one after the other, and asks with a good proof (F2) and
// with a proof of that very spelling under our own key (F9).
func TestIssuerSpellings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := w.clientTrusting(trusting("https://issuer.example", msi, exchangeURI))
	manager, ctx := w.Internal().Manage(), context.Background()
	tenant, object := directory.MustTenantID(contoso), directory.MustObjectID(freeObject(0))
	credentials, err := manager.FederatedCredentials(ctx, tenant, object)
	if err != nil {
		t.Fatal(err)
	}
	spellings := []string{
		issuer + "/", issuer + " ", " " + issuer, issuer + "\t", issuer + "?", issuer + "#", issuer + "//", issuer + "/.",
		"https://LOGIN.microsoftonline.com/" + contoso + "/v2.0", "HTTPS://login.microsoftonline.com/" + contoso + "/v2.0",
		"https://login.microsoftonline.com/" + strings.ToUpper(contoso) + "/v2.0", "https://login.microsoftonline.com/" + contoso + "/V2.0",
		"https://login.microsoftonline.com:443/" + contoso + "/v2.0", "https://login.microsoftonline.com:8443/" + contoso + "/v2.0",
		"https://login.microsoftonline.com./" + contoso + "/v2.0", "https://user@login.microsoftonline.com/" + contoso + "/v2.0",
		"https://a@b@login.microsoftonline.com/" + contoso + "/v2.0", "https://login.microsoftonline.com\\/" + contoso + "/v2.0",
		"https://login%2Emicrosoftonline.com/" + contoso + "/v2.0", "https://ｌogin.microsoftonline.com/" + contoso + "/v2.0",
		"https://login.microsoftonline.com/" + contoso + "%2Fv2.0", "https://login.microsoftonline.com//" + contoso + "/v2.0",
		"http://login.microsoftonline.com/" + contoso + "/v2.0", "login.microsoftonline.com/" + contoso + "/v2.0",
		"https://login.windows.net/" + contoso + "/v2.0", "https://login.microsoft.com/" + contoso + "/v2.0", "https://sts.windows.net/" + contoso + "/v2.0",
		"https://sts.windows.net/" + contoso, "https://login.microsoftonline.com/" + contoso, "https://login.microsoftonline.com/" + contoso + "/",
		"https://login.microsoftonline.com/contoso.example/v2.0", "https://login.microsoftonline.com/common/v2.0", "https://login.microsoftonline.com/{tenantid}/v2.0",
		"https://login.microsoftonline.com/" + fabrikam + "/v2.0", "https://sts.windows.net/" + fabrikam + "/",
		"https://login.microsoftonline.com.evil.example/" + contoso + "/v2.0", "https://evil.example/login.microsoftonline.com/" + contoso + "/v2.0",
		w.URL() + "/" + contoso + "/v2.0", strings.Replace(w.URL(), "localhost", "127.0.0.1", 1) + "/" + contoso + "/v2.0",
		strings.ReplaceAll(issuer, "o", "о"), // a Cyrillic letter
		issuer[:len(issuer)-1], issuer + "0", "",
	}
	// One changed byte in each tenth place.
	for i := 8; i < len(issuer); i += 10 {
		spellings = append(spellings, issuer[:i]+string(issuer[i]^1)+issuer[i+1:])
	}
	for _, spelling := range spellings {
		if spelling != "" {
			if _, _, err := manager.UpdateFederatedCredential(ctx, caller, tenant, object, credentials[0].ID, manage.CredentialUpdate{Issuer: &spelling}); err != nil {
				t.Fatalf("issuer %q: %v", spelling, err)
			}
			if a := w.ask(contoso, form(client, w.proof())); a.status == http.StatusOK {
				t.Errorf("a credential for issuer %q let the proof in", spelling)
			}
		}
		claims := w.resigned(map[string]any{"iss": spelling})
		if a := w.ask(contoso, form(client, claims)); a.status == http.StatusOK {
			t.Errorf("issuer %q on both sides let a token of our own key in", spelling)
		}
		if a := w.ask(contoso, form(orders, claims)); a.status == http.StatusOK {
			t.Errorf("a token of issuer %q matched the credential for %q", spelling, issuer)
		}
	}
	right := issuer
	if _, _, err := manager.UpdateFederatedCredential(ctx, caller, tenant, object, credentials[0].ID, manage.CredentialUpdate{Issuer: &right}); err != nil {
		t.Fatal(err)
	}
	issued(t, w.ask(contoso, form(client, w.proof())))
}

// TestNoConnectionToANamedIssuer: whatever an anonymous caller writes, and
// also what an application trusts, nothing leaves the machine (F1, I10).
func TestNoConnectionToANamedIssuer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	canary := "http://" + listener.Addr().String()
	trusted := w.clientTrusting(trusting(canary, msi, exchangeURI))
	w.refused(t, w.ask(contoso, form(orders, w.resigned(map[string]any{"iss": canary}))), 700211)
	w.refused(t, w.ask(contoso, form(trusted, w.resigned(map[string]any{"iss": canary, "aud": exchangeURI}))), 501661)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections to an issuer that a token names", n)
	}
}

// TestAssertionMayBeUsedAgain: SDKs keep a managed identity's token for a day
// (F11).
func TestAssertionMayBeUsedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := make(map[any]bool)
	for range 5 {
		claims, err := avouchtest.Claims(issued(t, w.ask(contoso, form(orders, w.proof()))))
		if err != nil {
			t.Fatal(err)
		}
		ids[claims["uti"]] = true
	}
	if len(ids) != 5 {
		t.Errorf("five tokens carry %d ids", len(ids))
	}
}

// TestTimesOfAnAssertion moves the platform's clock past both ends of the
// proof's life, with the skew of five minutes on each side.
func TestTimesOfAnAssertion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	claims, err := avouchtest.Claims(w.proof())
	if err != nil {
		t.Fatal(err)
	}
	at := func(claim string) time.Time { return time.Unix(number(t, claims[claim]), 0) }
	for _, row := range []struct {
		when  string
		now   time.Time
		valid bool
	}{
		{"a minute before it expires", at("exp").Add(-time.Minute), true},
		{"four minutes after it expired", at("exp").Add(4 * time.Minute), true},
		{"six minutes after it expired", at("exp").Add(6 * time.Minute), false},
		{"six minutes before it is valid", at("nbf").Add(-6 * time.Minute), false},
		{"four minutes before it is valid", at("nbf").Add(-4 * time.Minute), false}, // and so valid for longer than a day
		{"when it is valid", at("nbf").Add(6 * time.Minute), true},
	} {
		t.Run(row.when, func(t *testing.T) {
			w.Advance(row.now.Sub(w.Now()))
			a := w.ask(contoso, form(orders, w.proof()))
			if row.valid {
				issued(t, a)
				return
			}
			w.refused(t, a, 700024)
		})
	}
	short := w.resigned(map[string]any{"nbf": w.Now().Add(4 * time.Minute).Unix(), "iat": w.Now().Unix(), "exp": w.Now().Add(time.Hour).Unix()})
	issued(t, w.ask(contoso, form(orders, short)))
}

// TestKeysComeAndGo: a proof is good as long as its key is published, and
// never after.
func TestKeysComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ring, ctx := w.Internal().Ring(), context.Background()
	old := ring.Active()
	sign := func() string {
		text := b64.EncodeToString([]byte(`{"alg":"RS256","kid":"`+old.ID+`"}`)) + "." + b64.EncodeToString(fmt.Appendf(nil,
			`{"iss":%q,"sub":%q,"oid":%[2]q,"aud":%q,"idtyp":"app","exp":%d}`, issuer, msi, exchangeID, w.Now().Add(time.Hour).Unix()))
		signature, err := old.Sign(sha256.Sum256([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		return text + "." + b64.EncodeToString(signature)
	}
	published := func(id string) bool {
		for _, k := range ring.Published() {
			if k.ID == id {
				return true
			}
		}
		return false
	}
	issued(t, w.ask(contoso, form(orders, sign())))
	retired := false
	for day := 0; published(old.ID); day++ {
		if day > 400 {
			t.Fatal("the key never goes")
		}
		w.Advance(24 * time.Hour)
		if err := ring.Advance(ctx); err != nil {
			t.Fatal(err)
		}
		if ring.Active().ID != old.ID && published(old.ID) && !retired {
			retired = true
			issued(t, w.ask(contoso, form(orders, sign())))
		}
	}
	if !retired {
		t.Error("the key was never retired and published")
	}
	w.refused(t, w.ask(contoso, form(orders, sign())), 700027)
	issued(t, w.ask(contoso, form(orders, w.IdentityToken("contoso/msi-webapp1", exchangeURI))))
	issued(t, w.ask(contoso, form(orders, w.resigned(map[string]any{
		"nbf": w.Now().Unix(), "iat": w.Now().Unix(), "exp": w.Now().Add(time.Hour).Unix(),
	}))))
}
