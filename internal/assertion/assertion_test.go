package assertion

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestGoodTokensVerify(t *testing.T) {
	for _, tc := range []struct {
		alg string
		key interface {
			sign(header, payload string) string
			set(id string) KeySet
		}
	}{
		{"RS256", rsaSigner{"RS256"}}, {"RS384", rsaSigner{"RS384"}}, {"RS512", rsaSigner{"RS512"}},
		{"PS256", rsaSigner{"PS256"}}, {"PS384", rsaSigner{"PS384"}}, {"PS512", rsaSigner{"PS512"}},
		{"ES256", ecSigner{"ES256", ecKey()}}, {"ES384", ecSigner{"ES384", ec384()}}, {"ES512", ecSigner{"ES512", ec521()}},
	} {
		t.Run(tc.alg, func(t *testing.T) {
			raw := tc.key.sign(fmt.Sprintf(`{"alg":%q,"kid":"key-1"}`, tc.alg), goodClaims())
			claims, err := verify(raw, expecting(tc.key.set(kid), tc.alg))
			if err != nil {
				t.Fatal(err)
			}
			if claims.Issuer != issuer || claims.Subject != subject || claims.Audience != audience {
				t.Errorf("claims are %+v", claims)
			}
			if !joseAgrees(raw, tc.key.set(kid)) {
				t.Error("go-jose refuses the token")
			}
		})
	}
}

type rsaSigner struct{ alg string }

func (s rsaSigner) sign(header, payload string) string {
	return sign(s.alg, rsaKey(), header, payload)
}
func (s rsaSigner) set(id string) KeySet {
	return NewKeySet(Key{ID: id, Algorithm: s.alg, Public: rsaKey().Public()})
}

type ecSigner struct {
	alg string
	key *ecdsa.PrivateKey
}

func (s ecSigner) sign(header, payload string) string { return sign(s.alg, s.key, header, payload) }
func (s ecSigner) set(id string) KeySet {
	return NewKeySet(Key{ID: id, Algorithm: s.alg, Public: s.key.Public()})
}

// joseAgrees asks the independent implementation whether a key of the set made the
// signature.
func joseAgrees(raw string, set KeySet) bool {
	for _, key := range set.keys {
		parsed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(key.algorithm)})
		if err != nil {
			continue
		}
		if _, err := parsed.Verify(key.public); err == nil {
			return true
		}
	}
	return false
}

// The unverified answers are those of the text, and printing shows none of it.
func TestUnverified(t *testing.T) {
	header := `{"alg":"RS256","kid":"key-1","x5t":"one","x5t#S256":"two"}`
	raw := sign("RS256", rsaKey(), header, goodClaims())
	u, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	x5t, x5tS256 := u.Thumbprints()
	got := []string{u.Issuer(), u.Subject(), u.KeyID(), u.Algorithm(), x5t, x5tS256}
	if diff := cmp.Diff([]string{issuer, subject, kid, "RS256", "one", "two"}, got); diff != "" {
		t.Error(diff)
	}
	if u.Hash() != sha256.Sum256([]byte(raw)) {
		t.Error("Hash is not SHA-256 of the token")
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", u)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", u)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb+verb, u, *u)
	}
	if want := fmt.Sprintf("unverified token %x", u.hash[:4]); fmt.Sprint(u) != want {
		t.Errorf("prints as %q, want %q", fmt.Sprint(u), want)
	}
	for _, part := range strings.Split(raw, ".") {
		if strings.Contains(log.String(), part[:20]) {
			t.Errorf("printing shows the token: %s", log.String())
		}
	}

	numeric, err := Parse(sign("RS256", rsaKey(), rs256Header, withClaim("sub", "7")))
	if err != nil {
		t.Fatal(err)
	}
	if numeric.Subject() != "" {
		t.Errorf("a numeric subject reads as %q, want nothing", numeric.Subject())
	}
	if _, err := numeric.ClaimsUnverified(); faultOf(t, err) != BadClaims {
		t.Errorf("ClaimsUnverified of a numeric subject: %v", err)
	}
	claims, err := u.ClaimsUnverified()
	if err != nil || claims.Subject != subject {
		t.Errorf("ClaimsUnverified: %+v, %v", claims, err)
	}
}

func TestZeroUnverifiedNeverVerifies(t *testing.T) {
	for _, u := range []*Unverified{nil, {}} {
		claims, err := NewVerifier(10).Verify(u, expecting(rsaKeys()), noon)
		if claims != nil {
			t.Error("got claims")
		}
		wantFault(t, err, Malformed)
	}
}

// J1, J8, J9, J11: what is not exactly three strict parts goes no further.
func TestBounds(t *testing.T) {
	good := goodToken()
	parts := strings.Split(good, ".")
	header, payload, signature := parts[0], parts[1], parts[2]
	long := sign("RS256", rsaKey(), rs256Header, withClaim("pad", quote(strings.Repeat("x", MaxToken))))
	for _, tc := range []struct {
		name string
		raw  string
		want Fault
	}{
		{"nothing", "", Malformed},
		{"two dots", "..", Malformed},
		{"one part", header, Malformed},
		{"J1 two parts: no signature and no dot", header + "." + payload, Malformed},
		{"J1 an empty signature", header + "." + payload + ".", Malformed},
		{"an empty header", "." + payload + "." + signature, Malformed},
		{"an empty payload", header + ".." + signature, Malformed},
		{"four parts", good + ".x", Malformed},
		{"four parts, the last empty", good + ".", Malformed},
		{"J8 five parts", good + ".x.x", Unsupported},
		{"J8 five empty parts", "....", Unsupported},
		{"six parts", good + ".x.x.x", Malformed},
		{"J9 60 KiB of dots", strings.Repeat(".", 60<<10), Malformed},
		{"J9 16 KiB of dots", strings.Repeat(".", 16<<10), Malformed},
		{"one byte too long", long, Malformed},
		{"a header one byte too long", sign("RS256", rsaKey(), rs256Header+strings.Repeat(" ", MaxHeader+1-len(rs256Header)), goodClaims()), Malformed},
		{"the longest header", sign("RS256", rsaKey(), rs256Header+strings.Repeat(" ", MaxHeader-len(rs256Header)), goodClaims()), 0},
		{"a header too long", sign("RS256", rsaKey(), `{"alg":"RS256","x":"`+strings.Repeat("x", MaxHeader)+`"}`, goodClaims()), Malformed},
		{"JSON serialisation", `{"payload":"` + payload + `","protected":"` + header + `","signature":"` + signature + `"}`, Unsupported},
		{"white space around", " " + good, Malformed},
		{"a line end after", good + "\n", Malformed},
		{"a scheme before", "Bearer " + good, Malformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(tc.raw)
			wantFault(t, err, tc.want)
		})
	}

	for length, want := range map[int]Fault{MaxToken - 1: 0, MaxToken: 0, MaxToken + 1: Malformed} {
		t.Run(fmt.Sprintf("a token of %d bytes", length), func(t *testing.T) {
			_, err := verify(tokenOfLength(t, length), expecting(rsaKeys()))
			wantFault(t, err, want)
		})
	}
}

// tokenOfLength is a good token that is padded with white space.
func tokenOfLength(t *testing.T, length int) string {
	rest := length - 2 - base64.RawURLEncoding.EncodedLen(rsaKey().Size())
	for i := range 3 {
		header := encode([]byte(rs256Header + strings.Repeat(" ", i)))
		size := base64.RawURLEncoding.DecodedLen(rest - len(header))
		if base64.RawURLEncoding.EncodedLen(size) != rest-len(header) {
			continue
		}
		payload := goodClaims() + strings.Repeat(" ", size-len(goodClaims()))
		return signSegments("RS256", rsaKey(), header, encode([]byte(payload)))
	}
	t.Fatal("no token has this length")
	return ""
}

// J11: the one encoding of step 2, in each of the three parts.
func TestBase64(t *testing.T) {
	for _, tc := range []struct {
		name string
		text string
		want string // "" refuses
	}{
		{"four characters", "Zm9v", "foo"},
		{"three characters", "Zm8", "fo"},
		{"two characters", "Zg", "f"},
		{"both special characters", "-_-_", "\xfb\xff\xbf"},
		{"nothing", "", ""},
		{"one character", "Z", ""},
		{"five characters", "Zm9vZ", ""},
		{"padding", "Zg==", ""},
		{"one padding character", "Zm8=", ""},
		{"only padding", "====", ""},
		{"spare bits in two characters", "Zh", ""},
		{"spare bits in three characters", "Zm9", ""},
		{"the other alphabet's plus", "+_-_", ""},
		{"the other alphabet's slash", "-/-_", ""},
		{"a space inside", "Zm 9v", ""},
		{"a line feed inside", "Zm\n9v", ""},
		{"a carriage return inside", "Zm\r9v", ""},
		{"both at the end", "Zm9v\r\n", ""},
		{"only line feeds", "\n\n\n\n", ""},
		{"a tab", "Zm9v\t", ""},
		{"NUL", "Zm9\x00", ""},
		{"a letter of two bytes", "Zm\u00e9", ""},
		{"full-width letters", "\uff3a\uff4d", ""},
		{"a dot", "Zm.v", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := decode([]byte(tc.text))
			if (err == nil) != (tc.want != "") || string(got) != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}

	t.Run("every byte in every place", func(t *testing.T) {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for place := range 4 {
			for b := range 256 {
				text := []byte("AAAA")
				text[place] = byte(b)
				_, err := decode(text)
				if (err == nil) != (strings.IndexByte(alphabet, byte(b)) >= 0) {
					t.Errorf("byte %#x at %d: %v", b, place, err)
				}
			}
		}
	})

	t.Run("in a signed token", func(t *testing.T) {
		h, p := encode([]byte(rs256Header)), encode([]byte(goodClaims()))
		padded := base64.URLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"key-1" } `))
		if !strings.HasSuffix(padded, "=") {
			t.Fatal("the header needs no padding")
		}
		for name, raw := range map[string]string{
			"line feed in the header":  signSegments("RS256", rsaKey(), h[:4]+"\n"+h[4:], p),
			"line feed in the payload": signSegments("RS256", rsaKey(), h, p[:4]+"\n"+p[4:]),
			"CR in the payload":        signSegments("RS256", rsaKey(), h, p[:4]+"\r"+p[4:]),
			"padding in the header":    signSegments("RS256", rsaKey(), padded, p),
			"line end in signature":    goodToken() + "\n",
		} {
			if _, err := Parse(raw); faultOf(t, err) != Malformed {
				t.Errorf("%s: got %v, want malformed", name, err)
			}
		}
	})
}

// J1, J4, J6, J7, J8, J10, J20: the header.
func TestHeader(t *testing.T) {
	for _, tc := range []struct {
		name   string
		header string
		want   Fault
	}{
		{"the plain one", rs256Header, 0},
		{"white space", " { \"alg\" : \"RS256\" ,\r\n\t\"kid\":\"key-1\" } ", 0},
		{"unknown members", `{"alg":"RS256","kid":"key-1","nonce":"x","rh":{"a":[1,{"b":2}]}}`, 0},
		{"an escaped name", `{"\u0061lg":"RS256","kid":"key-1"}`, 0},
		{"typ in capitals", `{"alg":"RS256","kid":"key-1","typ":"JWT"}`, 0},
		{"typ of an access token", `{"alg":"RS256","kid":"key-1","typ":"at+jwt"}`, 0},
		{"J5 jku, x5u, x5c and jwk are not looked at", `{"alg":"RS256","kid":"key-1","jku":7,"x5u":null,"x5c":{},"jwk":[]}`, 0},

		{"no alg", `{"kid":"key-1"}`, Malformed},
		{"alg null", `{"alg":null,"kid":"key-1"}`, Malformed},
		{"alg an array", `{"alg":["RS256"],"kid":"key-1"}`, Malformed},
		{"alg a number", `{"alg":256,"kid":"key-1"}`, Malformed},
		{"alg empty", `{"alg":"","kid":"key-1"}`, Malformed},
		{"J10 ALG only", `{"ALG":"RS256","kid":"key-1"}`, Malformed},
		{"J1 none", `{"alg":"none","kid":"key-1"}`, Unsupported},
		{"J1 None", `{"alg":"None","kid":"key-1"}`, Unsupported},
		{"J1 NONE", `{"alg":"NONE","kid":"key-1"}`, Unsupported},
		{"J1 nOnE", `{"alg":"nOnE","kid":"key-1"}`, Unsupported},
		{"J2 HS256", `{"alg":"HS256","kid":"key-1"}`, Unsupported},
		{"alg in small letters", `{"alg":"rs256","kid":"key-1"}`, Unsupported},
		{"alg with a space", `{"alg":"RS256 ","kid":"key-1"}`, Unsupported},
		{"alg with NUL", `{"alg":"RS256\u0000","kid":"key-1"}`, Unsupported},
		{"another known algorithm", `{"alg":"RS512","kid":"key-1"}`, Unsupported},

		{"J6 crit empty", `{"alg":"RS256","kid":"key-1","crit":[]}`, Unsupported},
		{"J6 crit null", `{"alg":"RS256","kid":"key-1","crit":null}`, Unsupported},
		{"J6 crit naming a known member", `{"alg":"RS256","kid":"key-1","crit":["alg"]}`, Unsupported},
		{"J6 crit naming an unknown member", `{"alg":"RS256","kid":"key-1","crit":["exp"],"exp":1}`, Unsupported},
		{"J6 crit a string", `{"alg":"RS256","kid":"key-1","crit":"exp"}`, Unsupported},
		{"J6 crit an object", `{"alg":"RS256","kid":"key-1","crit":{}}`, Unsupported},
		{"J6 crit false", `{"alg":"RS256","kid":"key-1","crit":false}`, Unsupported},
		{"J7 b64 false", `{"alg":"RS256","kid":"key-1","b64":false}`, Unsupported},
		{"J7 b64 true", `{"alg":"RS256","kid":"key-1","b64":true}`, Unsupported},
		{"J8 zip", `{"alg":"RS256","kid":"key-1","zip":"DEF"}`, Unsupported},
		{"J8 enc", `{"alg":"RS256","kid":"key-1","enc":"A128GCM"}`, Unsupported},

		{"J20 DPoP proof", `{"alg":"RS256","kid":"key-1","typ":"dpop+jwt"}`, Unsupported},
		{"J20 logout token", `{"alg":"RS256","kid":"key-1","typ":"logout+jwt"}`, Unsupported},
		{"J20 security event", `{"alg":"RS256","kid":"key-1","typ":"secevent+jwt"}`, Unsupported},
		{"J20 request object", `{"alg":"RS256","kid":"key-1","typ":"oauth-authz-req+jwt"}`, Unsupported},
		{"J20 introspection answer", `{"alg":"RS256","kid":"key-1","typ":"token-introspection+jwt"}`, Unsupported},
		{"J20 entity statement", `{"alg":"RS256","kid":"key-1","typ":"entity-statement+jwt"}`, Unsupported},
		{"J20 other case", `{"alg":"RS256","kid":"key-1","typ":"DPoP+JWT"}`, Unsupported},
		{"J20 full media type", `{"alg":"RS256","kid":"key-1","typ":"application/dpop+jwt"}`, Unsupported},
		{"J20 media type with parameter", `{"alg":"RS256","kid":"key-1","typ":"Application/logout+jwt ; v=1"}`, Unsupported},
		{"typ a number", `{"alg":"RS256","kid":"key-1","typ":1}`, Malformed},

		{"J10 alg twice", `{"alg":"RS256","alg":"RS256","kid":"key-1"}`, Malformed},
		{"J10 alg twice, once escaped", `{"alg":"RS256","\u0061lg":"none","kid":"key-1"}`, Malformed},
		{"J10 a name twice, deep", `{"alg":"RS256","kid":"key-1","x":{"a":[{"b":1,"b":2}]}}`, Malformed},
		{"five deep", `{"alg":"RS256","kid":"key-1","x":[[[[1]]]]}`, Malformed},
		{"four deep", `{"alg":"RS256","kid":"key-1","x":[[[1]]]}`, 0},
		{"an array", `["RS256"]`, Malformed},
		{"a string", `"RS256"`, Malformed},
		{"null", `null`, Malformed},
		{"text after", `{"alg":"RS256","kid":"key-1"}x`, Malformed},
		{"a second object", `{"alg":"RS256","kid":"key-1"}{}`, Malformed},
		{"NUL after", "{\"alg\":\"RS256\",\"kid\":\"key-1\"}\x00", Malformed},
		{"a byte order mark", "\ufeff" + rs256Header, Malformed},
		{"not UTF-8", "{\"alg\":\"RS256\",\"kid\":\"key-1\",\"x\":\"\xff\"}", Malformed},
		{"UTF-16", "{\x00}\x00", Malformed},

		{"J4 kid not in the set", `{"alg":"RS256","kid":"key-2"}`, UnknownKey},
		{"J4 kid in other case", `{"alg":"RS256","kid":"KEY-1"}`, UnknownKey},
		{"J4 kid a path", `{"alg":"RS256","kid":"../../key-1"}`, UnknownKey},
		{"J4 kid SQL", `{"alg":"RS256","kid":"key-1' OR '1'='1"}`, UnknownKey},
		{"J4 kid with NUL", `{"alg":"RS256","kid":"key-1\u0000"}`, UnknownKey},
		{"J4 kid with a line end", `{"alg":"RS256","kid":"key-1\r\n"}`, UnknownKey},
		{"J4 kid of 256 bytes", `{"alg":"RS256","kid":"` + strings.Repeat("k", 256) + `"}`, UnknownKey},
		{"J4 kid of 257 bytes", `{"alg":"RS256","kid":"` + strings.Repeat("k", 257) + `"}`, Malformed},
		{"J4 kid null", `{"alg":"RS256","kid":null}`, Malformed},
		{"J4 kid an object", `{"alg":"RS256","kid":{}}`, Malformed},
		{"no kid, one key", `{"alg":"RS256"}`, 0},
		{"empty kid, one key (old Kubernetes)", `{"alg":"RS256","kid":""}`, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claims, err := verify(sign("RS256", rsaKey(), tc.header, goodClaims()), expecting(rsaKeys()))
			wantFault(t, err, tc.want)
			if (claims != nil) == (err != nil) {
				t.Errorf("claims %v with error %v", claims, err) // J16
			}
		})
	}
}

// J4: a header cannot be made expensive by its key ID.
func TestKeyIDOf64KiB(t *testing.T) {
	header := `{"alg":"RS256","kid":"` + strings.Repeat("k", 64<<10) + `"}`
	_, err := Parse(sign("RS256", rsaKey(), header, goodClaims()))
	wantFault(t, err, Malformed)
}

// J2: whatever bytes of the public key serve as an HMAC secret, HS256 refuses, even
// when a caller lists it.
func TestPublicKeyAsSecret(t *testing.T) {
	public := &rsaKey().PublicKey
	der := must(x509.MarshalPKIXPublicKey(public))
	for name, secret := range map[string][]byte{
		"PEM":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"DER":       der,
		"PKCS1":     x509.MarshalPKCS1PublicKey(public),
		"JWK":       []byte(jwkOf(public, "")),
		"modulus":   public.N.Bytes(),
		"modulus64": []byte(encode(public.N.Bytes())),
		"empty":     {},
	} {
		for _, alg := range []string{"HS256", "RS256"} {
			signed := encode(fmt.Appendf(nil, `{"alg":%q,"kid":"key-1"}`, alg)) + "." + encode([]byte(goodClaims()))
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(signed))
			raw := signed + "." + encode(mac.Sum(nil))
			claims, err := verify(raw, expecting(rsaKeys(), "HS256", "RS256", "none"))
			if err == nil || claims != nil {
				t.Errorf("%s over %s verified", alg, name)
			}
		}
	}
	if NewKeySet(Key{ID: kid, Algorithm: "HS256", Public: public}).Len() != 0 ||
		NewKeySet(Key{ID: kid, Algorithm: "HS256", Public: []byte("secret")}).Len() != 0 ||
		NewKeySet(Key{ID: kid, Algorithm: "none", Public: public}).Len() != 0 ||
		NewKeySet(Key{ID: kid, Public: public}).Len() != 0 {
		t.Error("a key without an asymmetric algorithm is usable")
	}
}

// J3: an algorithm is bound to its key and to what is expected.
func TestAlgorithmBinding(t *testing.T) {
	public := rsaKey().Public()
	key := func(alg string) KeySet { return NewKeySet(Key{ID: kid, Algorithm: alg, Public: public}) }
	for _, tc := range []struct {
		name     string
		raw      string
		keys     KeySet
		expected []string
		want     Fault
	}{
		{"an RS256 token with an RS256 key", goodToken(), key("RS256"), []string{"RS256"}, 0},
		{"an RS256 token with a PS256 key", goodToken(), key("PS256"), []string{"RS256", "PS256"}, Unsupported},
		{"an RS256 token with an RS512 key", goodToken(), key("RS512"), []string{"RS256", "RS512"}, Unsupported},
		{"an RS256 token where PS256 is expected", goodToken(), key("RS256"), []string{"PS256"}, Unsupported},
		{"an RS256 token where nothing is expected", goodToken(), key("RS256"), nil, Unsupported},
		{"a PSS signature that says RS256", sign("PS256", rsaKey(), rs256Header, goodClaims()), key("RS256"), []string{"RS256"}, BadSignature},
		{"a PKCS 1 signature that says PS256", sign("RS256", rsaKey(), `{"alg":"PS256","kid":"key-1"}`, goodClaims()), key("PS256"), []string{"PS256"}, BadSignature},
		{"SHA-512 that says RS256", sign("RS512", rsaKey(), rs256Header, goodClaims()), key("RS256"), []string{"RS256"}, BadSignature},
		{"one certificate for both RS256 and PS256", goodToken(),
			NewKeySet(Key{kid, "RS256", public}, Key{kid, "PS256", public}), []string{"RS256", "PS256"}, 0},
		{"ES256 by a P-384 key", sign("ES256", ec384(), `{"alg":"ES256","kid":"key-1"}`, goodClaims()),
			NewKeySet(Key{kid, "ES256", ec384().Public()}), []string{"ES256"}, UnknownKey},
		{"ES256 by a P-384 key for ES384", sign("ES256", ec384(), `{"alg":"ES256","kid":"key-1"}`, goodClaims()),
			NewKeySet(Key{kid, "ES384", ec384().Public()}), []string{"ES256", "ES384"}, Unsupported},
		{"RS256 with an EC key", goodToken(), NewKeySet(Key{kid, "ES256", ecKey().Public()}), []string{"RS256", "ES256"}, Unsupported},
		{"the key of another", goodToken(), NewKeySet(Key{kid, "RS256", otherRSA().Public()}), []string{"RS256"}, BadSignature},
		{"no keys", goodToken(), KeySet{}, []string{"RS256"}, UnknownKey},
		{"no keys, made empty", goodToken(), NewKeySet(), []string{"RS256"}, UnknownKey},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claims, err := verify(tc.raw, expecting(tc.keys, append([]string{""}, tc.expected...)...))
			wantFault(t, err, tc.want)
			if (claims != nil) == (err != nil) {
				t.Errorf("claims %v with error %v", claims, err)
			}
		})
	}
	t.Run("the zero expectation", func(t *testing.T) {
		u := must(Parse(goodToken()))
		for _, tc := range []struct {
			want Expectation
			got  Fault
		}{
			{Expectation{}, Unsupported},
			{Expectation{Keys: rsaKeys(), Skew: time.Hour, MaxLife: time.Hour}, Unsupported},
			{Expectation{Algorithms: []string{"RS256"}, MaxLife: time.Hour}, UnknownKey},
		} {
			claims, err := NewVerifier(0).Verify(u, tc.want, noon)
			wantFault(t, err, tc.got)
			if claims != nil {
				t.Errorf("%+v accepts", tc.want)
			}
		}
	})
}

// J5: the token brings its own key; nothing is fetched and nothing believed.
func TestKeyFromTheToken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	canary := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"keys":[%s]}`, jwkOf(otherRSA().Public(), `"kid":"mine"`))
	}), ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			calls.Add(1)
		}
	}}
	go canary.Serve(listener)
	defer canary.Close()
	url := "http://" + listener.Addr().String() + "/keys"

	embedded := jwkOf(otherRSA().Public(), `"kid":"mine"`)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: noon.AddDate(10, 0, 0)}
	certificate := must(x509.CreateCertificate(rand.Reader, template, template, otherRSA().Public(), otherRSA()))
	x5c := base64.StdEncoding.EncodeToString(certificate)
	for _, id := range []string{"mine", kid, ""} {
		for name, member := range map[string]string{
			"jku": quote(url), "x5u": quote(url), "jwk": embedded, "x5c": `["` + x5c + `"]`,
		} {
			header := fmt.Sprintf(`{"alg":"RS256","kid":%q,%q:%s}`, id, name, member)
			claims, err := verify(sign("RS256", otherRSA(), header, withClaim("iss", quote(url))), expecting(rsaKeys()))
			if err == nil || claims != nil {
				t.Errorf("a token with its own %s and kid %q verified", name, id)
			}
		}
	}
	time.Sleep(50 * time.Millisecond)
	if n := calls.Load(); n != 0 {
		t.Errorf("%d connections reached the canary", n)
	}
}

// J17, J22: ECDSA forms.
func TestECDSAForms(t *testing.T) {
	header := `{"alg":"ES256","kid":"key-1"}`
	raw := sign("ES256", ecKey(), header, goodClaims())
	cut := strings.LastIndexByte(raw, '.') + 1
	signature := must(base64.RawURLEncoding.DecodeString(raw[cut:]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	n := elliptic.P256().Params().N
	digest := sha256.Sum256([]byte(raw[:cut-1]))
	der := must(ecdsa.SignASN1(rand.Reader, ecKey(), digest[:]))
	zero := big.NewInt(0)
	keys := NewKeySet(Key{kid, "ES256", ecKey().Public()})
	for _, tc := range []struct {
		name      string
		signature []byte
		want      Fault
	}{
		{"as it should be", signature, 0},
		{"r zero", rawECDSA(zero, s, 32), BadSignature},
		{"s zero", rawECDSA(r, zero, 32), BadSignature},
		{"both zero", make([]byte, 64), BadSignature},
		{"both the order", rawECDSA(n, n, 32), BadSignature},
		{"DER", der, BadSignature},
		{"one byte short", signature[:63], BadSignature},
		{"one byte", signature[:1], BadSignature},
		{"a zero after", append(slices.Clone(signature), 0), BadSignature},
		{"a zero between", slices.Concat(signature[:32], []byte{0}, signature[32:]), BadSignature},
		{"longer numbers", rawECDSA(r, s, 33), BadSignature},
		{"r and s swapped", rawECDSA(s, r, 32), BadSignature},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := verify(raw[:cut]+encode(tc.signature), expecting(keys, "ES256"))
			wantFault(t, err, tc.want)
		})
	}

	t.Run("an algorithm or a key that does not exist", func(t *testing.T) {
		for _, key := range []*usableKey{
			{algorithm: "none", public: ecKey().Public()}, {algorithm: "HS256", public: ecKey().Public()},
			{algorithm: "", public: ecKey().Public()}, {algorithm: "ES256"}, {algorithm: "RS256"},
		} {
			if key.made(signature, raw[:cut-1]) {
				t.Errorf("a key %T for %q made the signature", key.public, key.algorithm)
			}
		}
	})

	// J22: (r, n−s) is a second good signature; it must be a second token.
	t.Run("the mirrored signature is another token", func(t *testing.T) {
		v := NewVerifier(100)
		mirrored := raw[:cut] + encode(rawECDSA(r, new(big.Int).Sub(n, s), 32))
		for _, token := range []string{raw, mirrored} {
			if _, err := v.Verify(must(Parse(token)), expecting(keys, "ES256"), noon); err != nil {
				t.Fatal(err)
			}
		}
		if got := v.memory.size(); got != 2 {
			t.Errorf("memory holds %d, want 2", got)
		}
	})
}

// J12, J14: types and ranges of every claim.
func TestClaimTypes(t *testing.T) {
	wrong := map[string]string{"null": "null", "number": "7", "true": "true", "object": `{}`, "array": `["x"]`, "nested": `[["x"]]`}
	for _, name := range []string{"iss", "sub", "tid", "oid", "appid", "azp", "idtyp", "xms_mirid", "jti", "uti"} {
		for kind, value := range wrong {
			t.Run(name+" is "+kind, func(t *testing.T) {
				_, err := verify(sign("RS256", rsaKey(), rs256Header, withClaim(name, value)), expecting(rsaKeys()))
				wantFault(t, err, BadClaims)
			})
		}
	}
	for _, tc := range []struct {
		name, claim, value string
		want               Fault
	}{
		{"issuer absent", "iss", "", BadClaims},
		{"issuer empty", "iss", `""`, BadClaims},
		{"subject absent", "sub", "", BadClaims},
		{"subject empty", "sub", `""`, BadClaims},
		{"audience absent", "aud", "", BadClaims},
		{"audience empty", "aud", `""`, BadClaims},
		{"audience null", "aud", `null`, BadClaims},
		{"audience a number", "aud", `1`, BadClaims},
		{"audience an object", "aud", `{"0":"api://AzureADTokenExchange"}`, BadClaims},
		{"one audience in an array", "aud", `["api://AzureADTokenExchange"]`, 0},
		{"no audience in an array", "aud", `[]`, BadClaims},
		{"F4 two audiences, ours first", "aud", `["api://AzureADTokenExchange","other"]`, BadClaims},
		{"F4 two audiences, ours last", "aud", `["other","api://AzureADTokenExchange"]`, BadClaims},
		{"F4 ours twice", "aud", `["api://AzureADTokenExchange","api://AzureADTokenExchange"]`, BadClaims},
		{"an empty audience in an array", "aud", `[""]`, BadClaims},
		{"null in an array", "aud", `[null]`, BadClaims},
		{"an array in an array", "aud", `[["api://AzureADTokenExchange"]]`, BadClaims},

		{"scope a string", "scp", `"a b"`, 0},
		{"scope an array (Okta)", "scp", `["a","b"]`, 0},
		{"scope a number", "scp", `1`, BadClaims},
		{"scope a mixed array", "scp", `["a",1]`, BadClaims},
		{"version a string", "ver", `"2.0"`, 0},
		{"version a number (Okta)", "ver", `1`, 0},
		{"version zero", "ver", `0`, 0},
		{"version nine", "ver", `9`, 0},
		{"version an object", "ver", `{}`, BadClaims},
		{"roles an array", "roles", `["a"]`, 0},
		{"roles of another shape", "roles", `{"a":1}`, 0},
		{"an unknown claim of any shape", "x", `[[{"y":null}]]`, 0},

		{"J10 iss twice", "iss", quote(issuer) + `,"iss":"https://evil.example"`, Malformed},
		{"J10 iss twice, once escaped", "iss", quote(issuer) + `,"\u0069ss":"https://evil.example"`, Malformed},
		{"J10 sub twice", "sub", quote(subject) + `,"sub":"x"`, Malformed},
		{"J10 a name twice, deep", "x", `{"y":[{"a":1,"\u0061":1}]}`, Malformed},
		{"J10 an ISS beside iss counts for nothing", "ISS", `"https://evil.example"`, 0},
		{"J10 U+017F beside iss counts for nothing", "iſs", `"https://evil.example"`, 0},
		{"J10 a Sub beside sub counts for nothing", "Sub", `7`, 0},
		{"eight deep", "x", `[[[[[[[1]]]]]]]`, 0},
		{"nine deep", "x", `[[[[[[[[1]]]]]]]]`, Malformed},
		{"256 members", "x", `[` + strings.Repeat(`{"y":0},`, 250) + `{"y":0}]`, 0},
		{"257 members", "x", `[` + strings.Repeat(`{"y":0},`, 251) + `{"y":0}]`, Malformed},
		{"200 groups", "groups", `[` + strings.Repeat(`"8e2f6a8e-6b1c-4c7f-9f55-0c2d6f4ab7f1",`, 199) + `"x"]`, 0},
		{"a lone surrogate", "sub", `"\ud800"`, Malformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			claims, err := verify(sign("RS256", rsaKey(), rs256Header, withClaim(tc.claim, tc.value)), expecting(rsaKeys()))
			wantFault(t, err, tc.want)
			if tc.want == 0 && (claims.Issuer != issuer || claims.Subject != subject || claims.Audience != audience) {
				t.Errorf("claims are %+v", claims)
			}
		})
	}
	t.Run("ISS alone is no issuer", func(t *testing.T) {
		payload := strings.Replace(goodClaims(), `"iss"`, `"ISS"`, 1)
		_, err := Parse(sign("RS256", rsaKey(), rs256Header, payload))
		wantFault(t, err, BadClaims)
	})
	t.Run("U+017F is no issuer", func(t *testing.T) {
		payload := strings.Replace(goodClaims(), `"iss"`, `"i`+"\u017f"+`s"`, 1)
		_, err := Parse(sign("RS256", rsaKey(), rs256Header, payload))
		wantFault(t, err, BadClaims)
	})
	for name, payload := range map[string]string{
		"text": "foo", "an array": "[]", "null": "null", "a string": `"x"`, "two objects": goodClaims() + goodClaims(),
		"an object without end": goodClaims()[:40], "white space": " ", "a JWT": goodToken(),
	} {
		t.Run("the payload is "+name, func(t *testing.T) {
			_, err := Parse(sign("RS256", rsaKey(), rs256Header, payload))
			wantFault(t, err, Malformed)
		})
	}
}

// A bad signature is reported as such even when the claims are bad too: nothing of
// an unproven token is judged (order of the contract).
func TestSignatureBeforeClaims(t *testing.T) {
	for _, payload := range []string{withClaim("exp", ""), withClaim("exp", fmt.Sprint(at(-time.Hour))), withClaim("aud", "[]")} {
		_, err := verify(sign("RS256", otherRSA(), rs256Header, payload), expecting(rsaKeys()))
		wantFault(t, err, BadSignature)
	}
}

func TestClaimsAreRead(t *testing.T) {
	payload := `{"aud":["one"],"iss":"https:\/\/i.example\/\u00e9","sub":"s \ud83d\ude00","exp":` + fmt.Sprint(at(time.Hour)) + `.9,"nbf":1,"iat":0.5,
		"tid":"t","oid":"o","appid":"a","azp":"z","idtyp":"app","scp":["x","y"],"ver":1.0,"xms_mirid":"/m","uti":"u","jti":"j",
		"roles":["r1","r\u0032"],"xms_ficinfo":null,"other":{"a":[1, 2]}}`
	got, err := verify(sign("RS256", rsaKey(), rs256Header, payload), expecting(rsaKeys()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range got.Members {
		names = append(names, m.Name)
	}
	if want := strings.Fields("aud iss sub exp nbf iat tid oid appid azp idtyp scp ver xms_mirid uti jti roles xms_ficinfo other"); !slices.Equal(names, want) {
		t.Errorf("members are %v", names)
	}
	if last := string(got.Members[18].Value); last != `{"a":[1, 2]}` {
		t.Errorf("last member is %s", last)
	}
	got.Members = nil
	want := &Claims{
		Issuer: "https://i.example/é", Subject: "s 😀", Audience: "one", TenantID: "t", ObjectID: "o", AppID: "a",
		AuthorizedParty: "z", IDType: "app", Scope: "x y", Version: "1.0", ManagedResource: "/m", ID: "j",
		Roles: []string{"r1", "r2"}, Federated: true,
		Expires: noon.Add(time.Hour), NotBefore: time.Unix(1, 0).UTC(), IssuedAt: time.Unix(0, 0).UTC(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	other, err := verify(sign("RS256", rsaKey(), rs256Header, withClaim("uti", `"u"`)), expecting(rsaKeys()))
	if err != nil || other.ID != "u" || other.Federated || other.Roles != nil {
		t.Errorf("uti without jti: %+v, %v", other, err)
	}
}

// J14: NumericDate.
func TestNumericDate(t *testing.T) {
	for _, tc := range []struct {
		raw  string
		want int64 // -1 refuses
	}{
		{"0", 0}, {"1", 1}, {"1767225600", 1767225600}, {"1767225600.0", 1767225600}, {"1767225600.999999999999999999", 1767225600},
		{"0.5", 0}, {"253402300799", 253402300799}, {"253402300799.0", 253402300799},
		{"253402300799.000001", -1}, {"253402300800", -1}, {"999999999999", -1}, {"1000000000000", -1},
		{"9223372036854775808", -1}, {"18446744073709551616", -1}, {"99999999999999999999999999999999", -1},
		{"-1", -1}, {"-0", -1}, {"-0.5", -1}, {"1e9", -1}, {"1E9", -1}, {"1.7e9", -1}, {"1767225600e0", -1}, {"1e-5", -1}, {"0e0", -1}, {"1e400", -1},
		{`"1767225600"`, -1}, {"null", -1}, {"true", -1}, {"[1767225600]", -1}, {`{}`, -1}, {`""`, -1},
	} {
		got, ok := numericDate(tc.raw)
		if !ok {
			got = -1
		}
		if got != tc.want {
			t.Errorf("numericDate(%s) = %d, want %d", tc.raw, got, tc.want)
		}
		for _, claim := range []string{"exp", "nbf", "iat"} {
			c, err := must(Parse(sign("RS256", rsaKey(), rs256Header, withClaim(claim, tc.raw)))).ClaimsUnverified()
			if (err == nil) != (tc.want >= 0) {
				t.Errorf("claim %s of %s: %v", claim, tc.raw, err)
			}
			if err == nil && claim == "exp" && c.Expires.Unix() != tc.want {
				t.Errorf("exp of %s is %v", tc.raw, c.Expires)
			}
		}
	}
	t.Run("not JSON numbers at all", func(t *testing.T) {
		for _, raw := range []string{"01", "1.", ".5", "+1", "0x10", "NaN", "Infinity", "1_000", "१"} {
			_, err := Parse(sign("RS256", rsaKey(), rs256Header, withClaim("exp", raw)))
			wantFault(t, err, Malformed)
		}
	})
	t.Run("exp absent", func(t *testing.T) {
		_, err := verify(sign("RS256", rsaKey(), rs256Header, withClaim("exp", "")), expecting(rsaKeys()))
		wantFault(t, err, BadClaims)
	})
}

// J15 and step 9, to the second, with skew 5 min and life 24 h.
func TestTimes(t *testing.T) {
	const skew, life = 5 * time.Minute, 24 * time.Hour
	none := time.Duration(-1 << 62)
	for _, tc := range []struct {
		name          string
		nbf, iat, exp time.Duration // from noon
		now           time.Duration
		want          Fault
	}{
		{"an ordinary hour", -time.Minute, -time.Minute, time.Hour, 0, 0},
		{"neither nbf nor iat", none, none, time.Hour, 0, 0},
		{"at the expiry", none, none, 0, 0, 0},
		{"at the end of skew", none, none, -skew, 0, 0},
		{"a nanosecond after skew", none, none, -skew, 1, Expired},
		{"a second after skew", none, none, -skew - time.Second, 0, Expired},
		{"long expired", none, none, -life, 0, Expired},
		{"nbf eight seconds ahead", 8 * time.Second, none, time.Hour, 0, 0},
		{"nbf at the end of skew", skew, none, time.Hour, 0, 0},
		{"nbf a second beyond", skew + time.Second, none, time.Hour, 0, NotYetValid},
		{"nbf a nanosecond beyond", skew, none, time.Hour, -1, NotYetValid},
		{"iat at the end of skew", none, skew, time.Hour, 0, 0},
		{"iat a second beyond", none, skew + time.Second, time.Hour, 0, NotYetValid},
		{"nbf equals exp", time.Minute, none, time.Minute, 0, BadClaims},
		{"nbf after exp", 2 * time.Minute, none, time.Minute, 0, BadClaims},
		{"nbf just before exp", time.Minute - time.Second, none, time.Minute, 0, 0},
		{"the longest life", none, none, life + skew, 0, 0},
		{"a second longer", none, none, life + skew + time.Second, 0, LifeTooLong},
		{"a nanosecond early for the longest life", none, none, life + skew, -1, LifeTooLong},
		{"thirty years", none, none, 30 * 365 * life, 0, LifeTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			payload := fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"exp":%d`, issuer, subject, audience, at(tc.exp))
			if tc.nbf != none {
				payload += fmt.Sprintf(`,"nbf":%d`, at(tc.nbf))
			}
			if tc.iat != none {
				payload += fmt.Sprintf(`,"iat":%d`, at(tc.iat))
			}
			u := must(Parse(sign("RS256", rsaKey(), rs256Header, payload+"}")))
			v := NewVerifier(10)
			want := Expectation{Keys: rsaKeys(), Algorithms: []string{"RS256"}, Skew: skew, MaxLife: life}
			for range 2 { // fresh and, if it was good, remembered
				claims, err := v.Verify(u, want, noon.Add(tc.now))
				wantFault(t, err, tc.want)
				if (claims != nil) == (err != nil) {
					t.Errorf("claims %v with error %v", claims, err)
				}
				switch tc.want {
				case Expired, NotYetValid, LifeTooLong:
					refusal := err.(*Error)
					start := max(tc.nbf, tc.iat)
					if !refusal.Expires.Equal(noon.Add(tc.exp)) || (start != none && !refusal.NotBefore.Equal(noon.Add(start))) {
						t.Errorf("refusal has times %v to %v", refusal.NotBefore, refusal.Expires)
					}
				}
			}
		})
	}

	u := must(Parse(goodToken()))
	for _, tc := range []struct {
		name string
		want Expectation
		now  time.Time
		got  Fault
	}{
		{"no life", Expectation{Skew: skew}, noon, LifeTooLong},
		{"no life at the expiry", Expectation{Skew: skew}, noon.Add(time.Hour), LifeTooLong},
		{"no life within the skew after it", Expectation{Skew: skew}, noon.Add(time.Hour + skew), LifeTooLong},
		{"negative life", Expectation{Skew: skew, MaxLife: -life}, noon, LifeTooLong},
		{"the longest possible life and skew", Expectation{Skew: 1<<63 - 1, MaxLife: 1<<63 - 1}, noon, 0},
		{"no skew", Expectation{MaxLife: life}, noon, 0},
		{"negative skew is none", Expectation{Skew: -10 * time.Hour, MaxLife: life}, noon, 0},
		{"the zero time", Expectation{Skew: skew, MaxLife: life}, time.Time{}, NotYetValid},
		{"the end of time", Expectation{Skew: skew, MaxLife: life}, time.Unix(1<<40, 0), Expired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.want.Keys, tc.want.Algorithms = rsaKeys(), []string{"RS256"}
			_, err := NewVerifier(0).Verify(u, tc.want, tc.now)
			wantFault(t, err, tc.got)
		})
	}
}

// J13, and the whole of the signature: one byte changed anywhere never verifies,
// also by a verifier that remembers the true token.
func TestOneByteChangedNeverVerifies(t *testing.T) {
	for alg, key := range map[string]interface{ sign(h, p string) string }{"RS256": rsaSigner{"RS256"}, "ES256": ecSigner{"ES256", ecKey()}} {
		t.Run(alg, func(t *testing.T) {
			raw := key.sign(fmt.Sprintf(`{"alg":%q,"kid":"key-1"}`, alg), goodClaims())
			keys := NewKeySet(Key{kid, "RS256", rsaKey().Public()})
			if alg == "ES256" {
				keys = NewKeySet(Key{kid, "ES256", ecKey().Public()})
			}
			want := expecting(keys, "RS256", "ES256")
			v := NewVerifier(100)
			if _, err := v.Verify(must(Parse(raw)), want, noon); err != nil {
				t.Fatal(err)
			}
			rapid.Check(t, func(t *rapid.T) {
				changed := []byte(raw)
				changed[rapid.IntRange(0, len(raw)-1).Draw(t, "place")] = rapid.Byte().Draw(t, "byte")
				u, err := Parse(string(changed))
				if err == nil {
					_, err = v.Verify(u, want, noon)
				}
				if (err == nil) != (string(changed) == raw) {
					t.Fatalf("%q: %v", changed, err)
				}
			})
			for place := range raw { // and every place once, with the bit that base64 may ignore
				changed := []byte(raw)
				changed[place] ^= 1
				u, err := Parse(string(changed))
				if err == nil {
					_, err = v.Verify(u, want, noon)
				}
				if err == nil {
					t.Fatalf("bit flipped at %d verified", place)
				}
			}
		})
	}
}

// J21: a panic below is a refusal without claims.
func TestPanicIsRefusal(t *testing.T) {
	u := must(Parse(goodToken()))
	u.members = []member{{name: "iss", raw: quote(issuer)}, {name: "aud", raw: ""}} // cannot come from Parse
	claims, err := NewVerifier(0).Verify(u, expecting(rsaKeys()), noon)
	if claims != nil {
		t.Error("got claims")
	}
	wantFault(t, err, Malformed)
	if !strings.Contains(err.Error(), "failed") {
		t.Errorf("no panic happened: %v", err)
	}
}

// Parse has refused a token without issuer, but what it lets through is no reason
// for the reader of claims to keep its promise less.
func TestClaimsWithoutIssuer(t *testing.T) {
	for name, iss := range map[string][]member{"absent": nil, "empty": {{name: "iss", raw: `""`}}} {
		u := must(Parse(goodToken()))
		u.members = append(iss, u.members[1:]...)
		claims, err := NewVerifier(0).Verify(u, expecting(rsaKeys()), noon)
		if claims != nil {
			t.Errorf("%s: got claims", name)
		}
		wantFault(t, err, BadClaims)
	}
}

// A refusal says which part is wrong, and the first thing that is.
func TestRefusalsSayWhatIsWrong(t *testing.T) {
	header, payload := encode([]byte(rs256Header)), encode([]byte(goodClaims()))
	for _, tc := range []struct {
		name  string
		raw   string
		wants []string // algorithms
		says  string
	}{
		{"a header too long", sign("RS256", rsaKey(), rs256Header+strings.Repeat(" ", MaxHeader), goodClaims()), nil, "header longer than 4096 bytes"},
		{"the header is no base64url", "=." + payload + ".AAAA", nil, "header: not base64url"},
		{"no header", "." + payload + ".AAAA", nil, "header: empty"},
		{"the payload is no base64url", header + ".=.AAAA", nil, "payload: not base64url"},
		{"no payload", header + "..AAAA", nil, "payload: empty"},
		{"the signature is no base64url", header + "." + payload + ".=", nil, "signature: not base64url"},
		{"no signature", header + "." + payload + ".", nil, "signature: empty"},
		{"alg is a number", sign("RS256", rsaKey(), `{"alg":256}`, goodClaims()), nil, "header member alg is not a name"},
		{"alg is empty", sign("RS256", rsaKey(), `{"alg":""}`, goodClaims()), nil, "header member alg is not a name"},
		{"no alg", sign("RS256", rsaKey(), `{}`, goodClaims()), nil, "header has no alg"},
		{"two audiences", sign("RS256", rsaKey(), rs256Header, withClaim("aud", `["a","b"]`)), []string{"RS256"}, "claim aud is not one string or an array of one string"},
		{"no audience", sign("RS256", rsaKey(), rs256Header, withClaim("aud", "")), []string{"RS256"}, "claim aud is absent or empty"},
		{"another algorithm", goodToken(), []string{"PS256", "ES256"}, "algorithm is not one of PS256, ES256"},
		{"no algorithm is expected", goodToken(), nil, "no algorithm is accepted here"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := verify(tc.raw, Expectation{Keys: rsaKeys(), Algorithms: tc.wants, MaxLife: time.Hour})
			if faultOf(t, err) == 0 || err.(*Error).Detail != tc.says {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

// No refusal may quote the token (threats section 6).
func TestErrorsAreSafeToShow(t *testing.T) {
	const secret = "S3cr3tMarker"
	for _, raw := range []string{
		secret, secret + ".", secret + "." + secret + "." + secret,
		sign("RS256", rsaKey(), `{"alg":"`+secret+`"}`, goodClaims()),
		sign("RS256", rsaKey(), `{"alg":"RS256","kid":"`+secret+`"}`, goodClaims()),
		sign("RS256", rsaKey(), `{"alg":"RS256","`+secret+`":1,"`+secret+`":1}`, goodClaims()),
		sign("RS256", rsaKey(), rs256Header, withClaim("aud", `["`+secret+`","x"]`)),
		sign("RS256", rsaKey(), rs256Header, withClaim("exp", `"`+secret+`"`)),
		sign("RS256", otherRSA(), rs256Header, withClaim("sub", `"`+secret+`"`)),
	} {
		_, err := verify(raw, expecting(rsaKeys()))
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), encode([]byte(secret))[:12]) {
			t.Errorf("refusal is %v", err)
		}
	}
	_, err := verify(sign("RS256", rsaKey(), `{"alg":"RS256","kid":"new"}`, goodClaims()), expecting(rsaKeys()))
	if refusal := err.(*Error); refusal.KeyID != "new" {
		t.Errorf("unknown key has key ID %q", refusal.KeyID)
	}
}

func TestFaultNames(t *testing.T) {
	seen := map[string]bool{}
	for f := Malformed; f <= LifeTooLong; f++ {
		if seen[f.String()] || f.String() == Fault(0).String() {
			t.Errorf("fault %d is named %q", f, f)
		}
		seen[f.String()] = true
	}
}

// S2, J2: the verifier's imports are an allow-list.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		if path == "crypto/hmac" || path == "net/http" || path == "database/sql" ||
			(strings.Contains(path, ".") && path != "github.com/go-jose/go-jose/v4") {
			t.Errorf("imports %s", path)
		}
	}
}
