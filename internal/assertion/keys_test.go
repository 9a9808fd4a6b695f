package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// rsaNumber is an RSA-shaped public key of that many bits. Nobody can sign with it.
func rsaNumber(bits, e int) *rsa.PublicKey {
	n := must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits-1))))
	n.SetBit(n, bits-1, 1).SetBit(n, 0, 1)
	return &rsa.PublicKey{N: n, E: e}
}

// rocaNumber has the shape of the broken generator: a power of 65537 modulo the
// product of the small primes.
func rocaNumber() *rsa.PublicKey {
	m := big.NewInt(1)
	for p := int64(2); p <= 167; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			m.Mul(m, big.NewInt(p))
		}
	}
	n := new(big.Int).Lsh(big.NewInt(1), 2047)
	n.Sub(n, new(big.Int).Mod(n, m)).Add(n, m)
	n.Add(n, new(big.Int).Exp(big.NewInt(65537), big.NewInt(12345), m))
	return &rsa.PublicKey{N: n, E: 65537}
}

// J17, J18, J19: strength and kind.
func TestKeyValidate(t *testing.T) {
	even := rsaNumber(2048, 65537)
	even.N.SetBit(even.N, 0, 0)
	//lint:ignore SA1019 only the raw coordinates can make a bad point
	off := ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
	//lint:ignore SA1019 as above
	infinity := ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int), Y: new(big.Int)}
	edwards, _, _ := ed25519.GenerateKey(rand.Reader)
	for _, tc := range []struct {
		name   string
		alg    string
		public crypto.PublicKey
		ok     bool
	}{
		{"RSA of 2048 bits", "RS256", rsaNumber(2048, 65537), true},
		{"RSA of 8192 bits", "PS512", rsaNumber(8192, 65537), true},
		{"RSA with the largest exponent", "RS256", rsaNumber(2048, 1<<31-1), true},
		{"RSA of 512 bits", "RS256", rsaNumber(512, 65537), false},
		{"RSA of 1024 bits", "RS256", rsaNumber(1024, 65537), false},
		{"RSA of 2047 bits", "RS256", rsaNumber(2047, 65537), false},
		{"RSA of 8193 bits", "RS256", rsaNumber(8193, 65537), false},
		{"RSA of 16384 bits", "RS256", rsaNumber(16384, 65537), false},
		{"exponent 0", "RS256", rsaNumber(2048, 0), false},
		{"exponent 1", "RS256", rsaNumber(2048, 1), false},
		{"exponent 3", "RS256", rsaNumber(2048, 3), false},
		{"exponent 65535", "RS256", rsaNumber(2048, 65535), false},
		{"an even exponent", "RS256", rsaNumber(2048, 65538), false},
		{"a negative exponent", "RS256", rsaNumber(2048, -65537), false},
		{"an exponent of 2^31+1", "RS256", rsaNumber(2048, 1<<31+1), false},
		{"an even modulus", "RS256", even, false},
		{"the ROCA shape", "RS256", rocaNumber(), false},
		{"no modulus", "RS256", &rsa.PublicKey{E: 65537}, false},
		{"modulus zero", "RS256", &rsa.PublicKey{N: new(big.Int), E: 65537}, false},
		{"a negative modulus", "RS256", &rsa.PublicKey{N: new(big.Int).Neg(rsaKey().N), E: 65537}, false},
		{"a nil RSA key", "RS256", (*rsa.PublicKey)(nil), false},
		{"RSA for an EC algorithm", "ES256", rsaKey().Public(), false},

		{"P-256 for ES256", "ES256", ecKey().Public(), true},
		{"P-384 for ES384", "ES384", ec384().Public(), true},
		{"P-521 for ES512", "ES512", ec521().Public(), true},
		{"P-256 for ES384", "ES384", ecKey().Public(), false},
		{"P-384 for ES256", "ES256", ec384().Public(), false},
		{"EC for an RSA algorithm", "RS256", ecKey().Public(), false},
		{"a point off the curve", "ES256", &off, false},
		{"the point at infinity", "ES256", &infinity, false},
		{"no point", "ES256", &ecdsa.PublicKey{Curve: elliptic.P256()}, false},
		{"no curve", "ES256", &ecdsa.PublicKey{}, false},
		{"a nil EC key", "ES256", (*ecdsa.PublicKey)(nil), false},

		{"nothing", "RS256", nil, false},
		{"J2 bytes", "HS256", []byte("secret"), false},
		{"J19 a private key", "RS256", rsaKey(), false},
		{"Ed25519", "EdDSA", edwards, false},
		{"no algorithm", "", rsaKey().Public(), false},
		{"an algorithm that does not exist", "ES521", ec521().Public(), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			key := Key{ID: kid, Algorithm: tc.alg, Public: tc.public}
			err := key.Validate()
			if (err == nil) != tc.ok {
				t.Errorf("got %v, want usable %v", err, tc.ok)
			}
			// One bad key never disables the rest.
			want := 1
			if tc.ok {
				want = 2
			}
			if got := NewKeySet(key, Key{"other", "RS256", otherRSA().Public()}).Len(); got != want {
				t.Errorf("the set has %d keys, want %d", got, want)
			}
		})
	}
	if err := (Key{ID: strings.Repeat("k", 256), Algorithm: "RS256", Public: rsaKey().Public()}).Validate(); err != nil {
		t.Errorf("a key ID of 256 bytes: %v", err)
	}
	if (Key{ID: strings.Repeat("k", 257), Algorithm: "RS256", Public: rsaKey().Public()}).Validate() == nil {
		t.Error("a key ID of 257 bytes is accepted")
	}
}

func TestSoundKeysAreNotROCA(t *testing.T) {
	for range 1000 {
		if hasROCAShape(rsaNumber(2048, 65537).N) {
			t.Fatal("a random modulus has the ROCA shape")
		}
	}
}

// Step 6: which key is meant.
func TestKeyIDs(t *testing.T) {
	mine, other := rsaKey().Public(), otherRSA().Public()
	withKid, without := goodToken(), sign("RS256", rsaKey(), `{"alg":"RS256"}`, goodClaims())
	curve := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public()
	byEC := sign("ES256", ecKey(), `{"alg":"ES256","kid":"key-1"}`, goodClaims())
	copyOfMine := &rsa.PublicKey{N: new(big.Int).Set(rsaKey().N), E: rsaKey().E}
	for _, tc := range []struct {
		name string
		raw  string
		set  []Key
		want Fault
	}{
		{"the key of that ID among several", withKid, []Key{{"key-2", "RS256", other}, {kid, "RS256", mine}}, 0},
		{"the right key under another ID", withKid, []Key{{"key-2", "RS256", mine}}, UnknownKey},
		{"the right key without ID", withKid, []Key{{"", "RS256", mine}}, UnknownKey},
		{"two different keys under the ID", withKid, []Key{{kid, "RS256", mine}, {kid, "RS256", other}}, UnknownKey},
		{"two different keys, the other for another algorithm", withKid, []Key{{kid, "RS256", mine}, {kid, "ES256", ecKey().Public()}}, UnknownKey},
		{"the same modulus with another exponent", withKid, []Key{{kid, "RS256", mine}, {kid, "RS256", &rsa.PublicKey{N: rsaKey().N, E: 65539}}}, UnknownKey},
		{"two different EC keys under the ID", byEC, []Key{{kid, "ES256", ecKey().Public()}, {kid, "ES256", curve}}, UnknownKey},
		{"the same EC key twice under the ID", byEC, []Key{{kid, "ES256", ecKey().Public()}, {kid, "ES256", ecKey().Public()}}, 0},
		{"the same key twice under the ID", withKid, []Key{{kid, "RS256", mine}, {kid, "RS256", copyOfMine}}, 0},
		{"an unusable key under the ID as well", withKid, []Key{{kid, "RS256", rsaNumber(1024, 65537)}, {kid, "RS256", mine}}, 0},
		{"two different keys under another ID", withKid, []Key{{kid, "RS256", mine}, {"x", "RS256", mine}, {"x", "RS256", other}}, 0},

		{"no ID, one key", without, []Key{{kid, "RS256", mine}}, 0},
		{"no ID, one key without ID", without, []Key{{"", "RS256", mine}}, 0},
		{"no ID, one key that fits the algorithm", without, []Key{{kid, "RS256", mine}, {"x", "RS512", other}, {"y", "ES256", ecKey().Public()}}, 0},
		{"no ID, two keys that fit", without, []Key{{kid, "RS256", mine}, {"x", "RS256", other}}, UnknownKey},
		{"no ID, two keys without ID that fit", without, []Key{{"", "RS256", mine}, {"", "RS256", other}}, UnknownKey},
		{"no ID, no key that fits", without, []Key{{"y", "ES256", ecKey().Public()}}, UnknownKey},
		{"no ID, the only key ambiguous", without, []Key{{kid, "RS256", mine}, {kid, "PS256", other}}, UnknownKey},
		{"no ID, one key left beside ambiguous ones", without, []Key{{"x", "RS256", mine}, {"x", "RS256", other}, {kid, "RS256", mine}}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for range 2 { // in both orders
				_, err := verify(tc.raw, expecting(NewKeySet(tc.set...), "RS256", "ES256", "PS256"))
				wantFault(t, err, tc.want)
				slices.Reverse(tc.set)
			}
		})
	}
	if got := NewKeySet(Key{kid, "RS256", mine}, Key{kid, "RS256", other}).Len(); got != 0 {
		t.Errorf("a set of two keys under one ID has %d usable", got)
	}
}

func TestKeySetIsImmutable(t *testing.T) {
	public := &rsa.PublicKey{N: new(big.Int).Set(rsaKey().N), E: rsaKey().E}
	set := NewKeySet(Key{kid, "RS256", public})
	public.N.Set(otherRSA().N)
	if _, err := verify(goodToken(), expecting(set)); err != nil {
		t.Error(err)
	}
	if _, err := verify(sign("RS256", otherRSA(), rs256Header, goodClaims()), expecting(set)); err == nil {
		t.Error("changing the caller's key changed the set")
	}
}

func TestParseKeySet(t *testing.T) {
	mine := rsaKey().Public()
	n, e := encode(rsaKey().N.Bytes()), "AQAB"
	ec := ecKey().Public()
	point := must(ecKey().PublicKey.Bytes())
	x, y := encode(point[1:33]), encode(point[33:])
	for _, tc := range []struct {
		name   string
		key    string
		alg    string // of the usable key, "" if it is skipped
		reason string // part of it
	}{
		{"RSA with everything", jwkOf(mine, `"kid":"key-1","use":"sig","alg":"RS256","key_ops":["verify"],"x5t":"x","x5c":["x"]`), "RS256", ""},
		{"RSA as Entra publishes it, without alg", jwkOf(mine, `"kid":"key-1","use":"sig","issuer":"https://i.example"`), "RS256", ""},
		{"RSA for PS256", jwkOf(mine, `"kid":"key-1","alg":"PS256"`), "PS256", ""},
		{"EC without alg", jwkOf(ec, `"kid":"key-1"`), "ES256", ""},
		{"P-384 without alg", jwkOf(ec384().Public(), `"kid":"key-1"`), "ES384", ""},
		{"P-521 with alg", jwkOf(ec521().Public(), `"kid":"key-1","alg":"ES512"`), "ES512", ""},
		{"several operations", jwkOf(mine, `"kid":"key-1","key_ops":["sign","verify"]`), "RS256", ""},
		{"no kid", jwkOf(mine, ``), "RS256", ""},

		{"J3 use enc", jwkOf(mine, `"kid":"key-1","use":"enc"`), "", "use"},
		{"J3 use in capitals", jwkOf(mine, `"kid":"key-1","use":"SIG"`), "", "use"},
		{"J3 use empty", jwkOf(mine, `"kid":"key-1","use":""`), "", "use"},
		{"J3 use null", jwkOf(mine, `"kid":"key-1","use":null`), "", "use"},
		{"J3 operations without verify", jwkOf(mine, `"kid":"key-1","key_ops":["encrypt"]`), "", "key_ops"},
		{"J3 no operations", jwkOf(mine, `"kid":"key-1","key_ops":[]`), "", "key_ops"},
		{"J3 operations a string", jwkOf(mine, `"kid":"key-1","key_ops":"verify"`), "", "key_ops"},
		{"J3 an encryption algorithm", jwkOf(mine, `"kid":"key-1","alg":"RSA-OAEP"`), "", "algorithm"},
		{"J3 an EC algorithm on an RSA key", jwkOf(mine, `"kid":"key-1","alg":"ES256"`), "", "EC"},
		{"J3 another curve's algorithm", jwkOf(ec, `"kid":"key-1","alg":"ES384"`), "", "fit"},
		{"J2 HS256 on an RSA key", jwkOf(mine, `"kid":"key-1","alg":"HS256"`), "", "algorithm"},
		{"J1 alg none", jwkOf(mine, `"kid":"key-1","alg":"none"`), "", "algorithm"},
		{"alg empty", jwkOf(mine, `"kid":"key-1","alg":""`), "", "alg"},
		{"alg a number", jwkOf(mine, `"kid":"key-1","alg":1`), "", "alg"},
		{"kid a number", jwkOf(mine, `"kid":1`), "", "kid"},
		{"the longest kid", jwkOf(mine, `"kid":"`+strings.Repeat("k", 256)+`"`), "RS256", ""},
		{"kid too long", jwkOf(mine, `"kid":"`+strings.Repeat("k", 257)+`"`), "", "kid"},
		{"not an object", `"key"`, "", "object"},
		{"null", `null`, "", "object"},
		{"an empty object", `{}`, "", "kty"},
		{"kty in small letters", strings.Replace(jwkOf(mine, ``), `"RSA"`, `"rsa"`, 1), "", "kty"},
		{"kty OKP", `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, "", "kty"},
		{"KTY instead of kty", strings.Replace(jwkOf(mine, ``), `"kty"`, `"KTY"`, 1), "", "kty"},

		{"modulus absent", `{"kty":"RSA","e":"AQAB"}`, "", "base64url"},
		{"exponent absent", `{"kty":"RSA","n":"` + n + `"}`, "", "base64url"},
		{"modulus a number", `{"kty":"RSA","n":7,"e":"AQAB"}`, "", "string"},
		{"modulus padded", `{"kty":"RSA","n":"` + n + `=","e":"AQAB"}`, "", "base64url"},
		{"modulus with a line end", `{"kty":"RSA","n":"` + n + `\n","e":"AQAB"}`, "", "base64url"},
		{"modulus with a leading zero", `{"kty":"RSA","n":"` + encode(append([]byte{0}, rsaKey().N.Bytes()...)) + `","e":"AQAB"}`, "RS256", ""},
		{"J18 the largest exponent", jwkOf(&rsa.PublicKey{N: rsaKey().N, E: 1<<31 - 1}, ``), "RS256", ""},
		{"J18 exponent 1", `{"kty":"RSA","n":"` + n + `","e":"AQ"}`, "", "exponent"},
		{"J18 exponent 3", `{"kty":"RSA","n":"` + n + `","e":"Aw"}`, "", "exponent"},
		{"J18 exponent of 40 bits", `{"kty":"RSA","n":"` + n + `","e":"AQAAAAE"}`, "", "exponent"},
		{"J18 exponent of 2^64+65537, which must not be cut off", `{"kty":"RSA","n":"` + n + `","e":"` + encode([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1}) + `"}`, "", "exponent"},
		{"J18 exponent of 2048 bits", `{"kty":"RSA","n":"` + n + `","e":"` + n + `"}`, "", "exponent"},
		{"J18 1024 bits", jwkOf(rsaNumber(1024, 65537), ``), "", "2048"},
		{"J18 16384 bits", jwkOf(rsaNumber(16384, 65537), ``), "", "8192"},
		{"J18 ROCA", jwkOf(rocaNumber(), ``), "", "ROCA"},
		{"J19 private exponent", jwkOf(mine, `"kid":"key-1","d":"AQ"`), "", "secret"},
		{"J19 a prime", jwkOf(mine, `"kid":"key-1","p":"AQ"`), "", "secret"},
		{"J19 private member null", jwkOf(mine, `"kid":"key-1","q":null`), "", "secret"},
		{"J19 EC with d", jwkOf(ec, `"kid":"key-1","d":"AQ"`), "", "secret"},
		{"J19 a symmetric key", `{"kty":"oct","kid":"key-1","k":"AAAA","alg":"HS256"}`, "", "secret"},
		{"a symmetric key without its key", `{"kty":"oct","kid":"key-1"}`, "", "kty"},

		{"J17 a point off the curve", `{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + x + `"}`, "", "curve"},
		{"J17 infinity", `{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`, "", "curve"},
		{"J17 the wrong curve", `{"kty":"EC","crv":"P-384","x":"` + x + `","y":"` + y + `"}`, "", "length"},
		{"a short coordinate", `{"kty":"EC","crv":"P-256","x":"` + encode(point[2:33]) + `","y":"` + y + `"}`, "", "length"},
		{"a long coordinate", `{"kty":"EC","crv":"P-256","x":"` + encode(append([]byte{0}, point[1:33]...)) + `","y":"` + y + `"}`, "", "length"},
		{"no y", `{"kty":"EC","crv":"P-256","x":"` + x + `"}`, "", "length"},
		{"an unknown curve", `{"kty":"EC","crv":"secp256k1","x":"` + x + `","y":"` + y + `"}`, "", "curve"},
		{"RSA members on EC", `{"kty":"EC","n":"` + n + `","e":"` + e + `"}`, "", "curve"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Between two good keys: one bad key never disables the rest.
			before, after := jwkOf(otherRSA().Public(), `"kid":"before"`), jwkOf(otherRSA().Public(), `"kid":"after"`)
			set, skipped, err := ParseKeySet(jwks(before, tc.key, after))
			if err != nil {
				t.Fatal(err)
			}
			if tc.alg != "" {
				if set.Len() != 3 || len(skipped) != 0 || set.keys[1].algorithm != tc.alg {
					t.Fatalf("%d keys, skipped %v; want it for %s", set.Len(), skipped, tc.alg)
				}
				return
			}
			if set.Len() != 2 || len(skipped) != 1 {
				t.Fatalf("%d keys, skipped %v; want it skipped", set.Len(), skipped)
			}
			s := skipped[0]
			if s.Index != 1 || !strings.Contains(s.Reason, tc.reason) || s.Private != (tc.reason == "secret") {
				t.Errorf("skipped %+v, want a reason about %s", s, tc.reason)
			}
			if strings.Contains(tc.key, `"kid":"key-1"`) && s.KeyID != kid {
				t.Errorf("skipped has key ID %q", s.KeyID)
			}
		})
	}
}

func TestParseKeySetDocument(t *testing.T) {
	good := jwkOf(rsaKey().Public(), `"kid":"key-1"`)
	for _, tc := range []struct {
		name string
		text string
		keys int // -1 refuses
	}{
		{"one key", `{"keys":[` + good + `]}`, 1},
		{"other members", `{"x":{},"keys":[` + good + `],"y":1}`, 1},
		{"no keys in it", `{"keys":[]}`, 0},
		{"J10 keys twice", `{"keys":[` + good + `],"keys":[]}`, -1},
		{"J10 a name twice in a key", `{"keys":[` + good[:len(good)-1] + `,"e":"AQAB"}]}`, -1},
		{"J10 KEYS", `{"KEYS":[` + good + `]}`, -1},
		{"keys null", `{"keys":null}`, -1},
		{"keys an object", `{"keys":{"0":` + good + `}}`, -1},
		{"an empty object", `{}`, -1},
		{"a bare array", `[` + good + `]`, -1},
		{"a bare key", good, -1},
		{"nothing", ``, -1},
		{"a page", `<html></html>`, -1},
		{"text after", `{"keys":[]}]`, -1},
		{"not UTF-8", "{\"keys\":[],\"x\":\"\xff\"}", -1},
		{"the longest", `{"keys":[` + good + `]}` + strings.Repeat(" ", MaxKeySet-len(`{"keys":[]}`+good)), 1},
		{"one byte too long", `{"keys":[` + good + `]}` + strings.Repeat(" ", MaxKeySet+1-len(`{"keys":[]}`+good)), -1},
		{"too deep", `{"keys":[],"x":` + strings.Repeat("[", 10) + strings.Repeat("]", 10) + `}`, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set, skipped, err := ParseKeySet([]byte(tc.text))
			if tc.keys < 0 {
				wantFault(t, err, Malformed)
				if set.Len() != 0 || skipped != nil {
					t.Error("a refused set has keys")
				}
				return
			}
			if err != nil || set.Len() != tc.keys {
				t.Errorf("%d keys, %v; want %d", set.Len(), err, tc.keys)
			}
		})
	}
	t.Run("a hundred keys are used", func(t *testing.T) {
		var keys []string
		for i := range 150 {
			keys = append(keys, jwkOf(rsaKey().Public(), fmt.Sprintf(`"kid":"k%d"`, i)))
		}
		set, skipped, err := ParseKeySet(jwks(keys...))
		if err != nil || set.Len() != 100 || len(skipped) != 1 || skipped[0].Index != 100 {
			t.Errorf("%d keys, skipped %v, %v", set.Len(), skipped, err)
		}
	})
	t.Run("two different keys under one ID", func(t *testing.T) {
		set, _, err := ParseKeySet(jwks(good, jwkOf(otherRSA().Public(), `"kid":"key-1"`)))
		if err != nil || set.Len() != 0 {
			t.Errorf("%d keys, %v", set.Len(), err)
		}
		_, err = verify(goodToken(), expecting(set))
		wantFault(t, err, UnknownKey)
	})
	t.Run("the parsed set verifies", func(t *testing.T) {
		set, _, _ := ParseKeySet([]byte(`{"keys":[` + good + `]}`))
		if _, err := verify(goodToken(), expecting(set)); err != nil {
			t.Error(err)
		}
	})
}
