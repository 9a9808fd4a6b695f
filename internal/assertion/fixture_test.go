package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

// Keys are made once: RSA key generation under the race detector is slow.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	ec384    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	ec521    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

const (
	issuer   = "https://login.microsoftonline.com/8e2f6a8e-6b1c-4c7f-9f55-0c2d6f4ab7f1/v2.0"
	subject  = "0f6b4b8a-93e7-4d53-a6a5-6a6e6a6e3c55"
	audience = "api://AzureADTokenExchange"
	kid      = "key-1"
)

// noon is now in every test.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(offset time.Duration) int64 { return noon.Add(offset).Unix() }

// encode is base64url without padding.
func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// sign makes a token of any header and payload text, well formed or not, signed as
// alg says whatever the header says.
func sign(alg string, key crypto.Signer, header, payload string) string {
	return signSegments(alg, key, encode([]byte(header)), encode([]byte(payload)))
}

func signSegments(alg string, key crypto.Signer, header, payload string) string {
	signed := header + "." + payload
	m, ok := methodOf(alg)
	if !ok {
		panic(alg)
	}
	h := m.hash.New()
	h.Write([]byte(signed))
	digest := h.Sum(nil)
	var signature []byte
	switch key := key.(type) {
	case *rsa.PrivateKey:
		var options crypto.SignerOpts = m.hash
		if m.pss {
			options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: m.hash}
		}
		signature = must(key.Sign(rand.Reader, digest, options))
	case *ecdsa.PrivateKey:
		r, s := must2(ecdsa.Sign(rand.Reader, key, digest))
		signature = rawECDSA(r, s, fieldSize(key.Curve))
	}
	return signed + "." + encode(signature)
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

func rawECDSA(r, s *big.Int, size int) []byte {
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out
}

const rs256Header = `{"typ":"JWT","alg":"RS256","kid":"key-1"}`

// goodClaims is the payload of a token that is valid at noon.
func goodClaims() string {
	return fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"nbf":%d,"iat":%d,"exp":%d}`,
		issuer, subject, audience, at(-5*time.Minute), at(-5*time.Minute), at(time.Hour))
}

// withClaim is goodClaims with one member replaced or added; JSON "" removes it.
func withClaim(name, value string) string {
	values := map[string]string{
		"iss": fmt.Sprintf("%q", issuer), "sub": fmt.Sprintf("%q", subject), "aud": fmt.Sprintf("%q", audience),
		"exp": fmt.Sprint(at(time.Hour)),
	}
	values[name] = value
	var members []string
	for name, value := range values {
		if value != "" {
			members = append(members, fmt.Sprintf("%q:%s", name, value))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func goodToken() string { return sign("RS256", rsaKey(), rs256Header, goodClaims()) }

// entraToken is like a managed identity token, about 1.5 KB.
func entraToken() string {
	header := `{"typ":"JWT","alg":"RS256","x5t":"L1KfKFI_jnXbwWc22xZxw1sUHH0","kid":"L1KfKFI_jnXbwWc22xZxw1sUHH0"}`
	payload := fmt.Sprintf(`{"aud":%q,"iss":%q,"iat":%d,"nbf":%d,"exp":%d,"aio":"k2RgYHjP9Wv2mV8zHu5Y8Y1jK7+t7Qd2Zt3z1n8qkqHsQ1e9cA0A",`+
		`"azp":"0f0a6c1b-4a0e-4b0e-8f55-1a2b3c4d5e6f","azpacr":"2","idtyp":"app","oid":%q,"rh":"1.AVwAjo4vjmwbf0yfVQwtb0q38Q.",`+
		`"roles":["Files.Read.All","Files.ReadWrite.All"],"sub":%q,"tid":"8e2f6a8e-6b1c-4c7f-9f55-0c2d6f4ab7f1","uti":"Nn0JtyZ5T0Sh6mEyZ1MAAA","ver":"2.0",`+
		`"xms_ftd":"9vXQz0s1m0yC3hPq9kq5m3u2h1Y0a8V7b6C5d4E3f2G1BAA","xms_idrel":"7 14",`+
		`"xms_mirid":"/subscriptions/6a1c0f3e-7d1b-4c55-8a51-2f0d0e8b9c7d/resourcegroups/production/providers/Microsoft.ManagedIdentity/userAssignedIdentities/deployer","xms_rd":"0.42LjYBJi2sUkJMLBLiSwZ"}`,
		audience, issuer, at(-5*time.Minute), at(-5*time.Minute), at(24*time.Hour-5*time.Minute), subject, subject)
	return sign("RS256", rsaKey(), header, payload)
}

func entraKeys() KeySet {
	return NewKeySet(Key{ID: "L1KfKFI_jnXbwWc22xZxw1sUHH0", Algorithm: "RS256", Public: rsaKey().Public()})
}

func rsaKeys() KeySet {
	return NewKeySet(Key{ID: kid, Algorithm: "RS256", Public: rsaKey().Public()})
}

// expecting is what a credential of a plain external issuer demands.
func expecting(keys KeySet, algorithms ...string) Expectation {
	if len(algorithms) == 0 {
		algorithms = []string{"RS256"}
	}
	return Expectation{Keys: keys, Algorithms: algorithms, Skew: 5 * time.Minute, MaxLife: 24 * time.Hour}
}

// verify is Parse and Verify by a verifier without memory, at noon.
func verify(raw string, want Expectation) (*Claims, error) {
	u, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	return NewVerifier(0).Verify(u, want, noon)
}

// faultOf is the fault of a refusal, 0 for nil, and fails the test for any other
// error or for a refusal that leaks part of the token.
func faultOf(t testing.TB, err error) Fault {
	t.Helper()
	if err == nil {
		return 0
	}
	var refusal *Error
	if !errors.As(err, &refusal) {
		t.Fatalf("error is %T, want *Error: %v", err, err)
	}
	if refusal.Detail == "" {
		t.Fatalf("refusal %v has no detail", refusal.Fault)
	}
	return refusal.Fault
}

func wantFault(t testing.TB, err error, want Fault) {
	t.Helper()
	if got := faultOf(t, err); got != want {
		t.Fatalf("got %v (%v), want %v", got, err, want)
	}
}

// jwkOf is the published form of a public key with further members.
func jwkOf(public crypto.PublicKey, more string) string {
	var out string
	switch k := public.(type) {
	case *rsa.PublicKey:
		out = fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q`, encode(k.N.Bytes()), encode(big.NewInt(int64(k.E)).Bytes()))
	case *ecdsa.PublicKey:
		point := must(k.Bytes())
		size := fieldSize(k.Curve)
		out = fmt.Sprintf(`{"kty":"EC","crv":%q,"x":%q,"y":%q`, k.Params().Name, encode(point[1:1+size]), encode(point[1+size:]))
	}
	if more != "" {
		out += "," + more
	}
	return out + "}"
}

func jwks(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

func quote(s string) string { return string(must(json.Marshal(s))) }
