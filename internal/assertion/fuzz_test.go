package assertion

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	jose "github.com/go-jose/go-jose/v4"
)

// What Parse accepts has one issuer, and a lenient reader finds the same.
func FuzzParse(f *testing.F) {
	f.Add(goodToken())
	f.Add(entraToken())
	f.Add(sign("ES256", ecKey(), `{"alg":"ES256"}`, goodClaims()))
	f.Add(sign("RS256", rsaKey(), rs256Header, `{"\u0069ss":"\ud83d\ude00","x":[{"y":1e5}]}`))
	f.Add(strings.Repeat(".", 100))
	f.Add("e30.e30.e30")
	f.Add("eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.")
	f.Add("....")
	f.Add(`{"payload":"e30"}`)
	for _, group := range loadVectors(f, "json_web_signature_test.json").TestGroups {
		f.Add(tokenText(group.Tests[0].JWS))
	}
	keys, v := rsaKeys(), NewVerifier(10)
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := Parse(raw)
		if err != nil {
			faultOf(t, err)
			if u != nil {
				t.Fatal("token with error")
			}
			return
		}
		part := strings.Split(raw, ".")
		if len(part) != 3 {
			t.Fatalf("%d parts", len(part))
		}
		for _, p := range part {
			if back := must(base64.RawURLEncoding.DecodeString(p)); encode(back) != p {
				t.Fatal("base64 does not encode back")
			}
		}
		var lenient map[string]any
		if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(part[1])), &lenient); err != nil {
			t.Fatal(err)
		}
		if lenient["iss"] != u.Issuer() || u.Issuer() == "" {
			t.Fatalf("issuer %q, encoding/json reads %q", u.Issuer(), lenient["iss"])
		}
		if sub, _ := lenient["sub"].(string); sub != u.Subject() {
			t.Fatalf("subject %q, encoding/json reads %q", u.Subject(), sub)
		}
		c, claimsErr := u.ClaimsUnverified()
		if claimsErr == nil && (c.Expires.IsZero() || c.Subject == "" || c.Audience == "" || len(c.Members) != len(lenient)) {
			t.Fatalf("claims %+v", c)
		}
		verified, err := v.Verify(u, expecting(keys), noon)
		if (verified == nil) == (err == nil) {
			t.Fatal("neither claims nor error, or both")
		}
		if err == nil {
			token, joseErr := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
			if joseErr != nil {
				t.Fatal(joseErr)
			}
			if _, joseErr = token.Verify(rsaKey().Public()); joseErr != nil || claimsErr != nil {
				t.Fatalf("verified, but go-jose says %v and the claims %v", joseErr, claimsErr)
			}
		}
	})
}

// What the strict parser accepts, encoding/json accepts and reads the same.
func FuzzStrictJSON(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"a":1,"b":[true,null,{"c":"\u00e9\ud83d\ude00"}]}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, ` {"":-0.5e+7}`,
		`{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":01}`, `[]`, `{"a":[[[[[[[[[1]]]]]]]]]}`, `{"iss":1,"ISS":2,"i\u017fs":3}`, goodClaims(),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := ParseObject(data, Limits{Depth: 8, Members: 200, String: 200})
		if err != nil {
			faultOf(t, err)
			return
		}
		if !json.Valid(data) || !utf8.Valid(data) {
			t.Fatal("accepted what encoding/json or UTF-8 refuses")
		}
		var rebuilt bytes.Buffer
		for i, m := range members {
			if i > 0 {
				rebuilt.WriteByte(',')
			}
			fmt.Fprintf(&rebuilt, "%s:%s", must(json.Marshal(m.Name)), m.Value)
			if inner, isString := unquote(string(m.Value)); isString {
				var want string
				if json.Unmarshal(m.Value, &want) != nil || want != inner {
					t.Fatalf("string %s reads as %q, encoding/json reads %q", m.Value, inner, want)
				}
			}
		}
		read := func(text []byte) (value map[string]any) {
			d := json.NewDecoder(bytes.NewReader(text))
			d.UseNumber()
			if err := d.Decode(&value); err != nil {
				t.Fatal(err)
			}
			return value
		}
		first, second := read(data), read([]byte("{"+rebuilt.String()+"}"))
		if len(first) != len(members) || !reflect.DeepEqual(first, second) {
			t.Fatalf("encoding/json reads %v, the members say %v", first, second)
		}
	})
}

// Every usable key of an accepted set is one that go-jose would take as well.
func FuzzKeySet(f *testing.F) {
	f.Add(jwks(jwkOf(rsaKey().Public(), `"kid":"a","use":"sig"`), jwkOf(ecKey().Public(), `"kid":"b"`)))
	f.Add(jwks(jwkOf(ec521().Public(), `"alg":"ES512","key_ops":["verify"]`), `{"kty":"oct","k":"AA"}`, `7`))
	f.Add([]byte(`{"keys":[]}`))
	for _, group := range loadVectors(f, "json_web_key_test.json").TestGroups {
		f.Add([]byte(append(group.Public, group.Private...)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, skipped, err := ParseKeySet(data)
		if err != nil {
			faultOf(t, err)
			if set.Len() != 0 || skipped != nil {
				t.Fatal("keys with error")
			}
			return
		}
		if set.Len() > MaxKeys || len(skipped) > MaxKeys+1 {
			t.Fatalf("%d keys, %d skipped", set.Len(), len(skipped))
		}
		var lenient struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(data, &lenient); err != nil {
			t.Fatal(err)
		}
		for _, key := range set.keys {
			if (Key{key.id, key.algorithm, key.public}).Validate() != nil {
				t.Fatal("an invalid key is usable")
			}
			found := false
			for _, raw := range lenient.Keys {
				var other jose.JSONWebKey
				if json.Unmarshal(raw, &other) != nil || other.KeyID != key.id || !other.Valid() {
					continue
				}
				k, err := newUsableKey(Key{other.KeyID, key.algorithm, other.Key})
				found = found || err == nil && k.print == key.print
			}
			if !found {
				t.Fatalf("go-jose finds no such key in %s", data)
			}
		}
	})
}

// A date that is accepted is the floor of the exact value.
func FuzzNumericDate(f *testing.F) {
	for _, raw := range []string{"0", "1767225600", "1767225600.9", "253402300799", "253402300799.1", "253402300800", "-1", "-0", "1e9", "null", `"1"`, "00", "1."} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if len(raw) > 1000 || !json.Valid([]byte(raw)) || strings.TrimSpace(raw) != raw {
			return
		}
		got, ok := numericDate(raw)
		plain := strings.Trim(raw, "0123456789.") == ""
		exact, isNumber := new(big.Rat).SetString(raw)
		isNumber = isNumber && plain
		inRange := isNumber && exact.Sign() >= 0 && exact.Cmp(big.NewRat(lastSecond, 1)) <= 0
		if ok != inRange {
			t.Fatalf("%s accepted: %v", raw, ok)
		}
		if ok && new(big.Int).Quo(exact.Num(), exact.Denom()).Cmp(big.NewInt(got)) != 0 {
			t.Fatalf("%s reads as %d", raw, got)
		}
	})
}
