package imds

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseQuery(t *testing.T) {
	tests := []struct {
		raw   string
		is    parameter
		want  string
		wrong bool
	}{
		{"resource=api%3A%2F%2FAzureADTokenExchange", resource, exchange, false},
		{"resource=api://AzureADTokenExchange", resource, exchange, false},
		{"resource=api%3a%2f%2fAzureADTokenExchange&", resource, exchange, false},
		{"&&resource=x", resource, "x", false},
		{"resource=a+b", resource, "a b", false},
		{"resource=a%2Bb", resource, "a+b", false},
		{"resource=a=b", resource, "a=b", false},
		{"resource=%C3%A9", resource, "é", false},
		{"Resource=x", resource, "x", false},
		{"re%73ource=x", resource, "x", false},
		{"clientid=", legacyClientID, "", false},
		{"client_id", clientID, "", false},
		{"principal_id=x", objectID, "x", false},
		{"mi_res_id=x", resourceID, "x", false},
		{"msi-res-id=x", resourceID, "x", false},
		{"xms_cc=cp1&authority=x&token_sha256_to_refresh=y", resource, "", false},

		{"resource=a&resource=a", 0, "", true},
		{"resource=a&RESOURCE=b", 0, "", true},
		{"resource=a&re%73ource=b", 0, "", true},
		{"resource=&resource=a", 0, "", true},
		{"api-version=2018-02-01&api-version=2018-02-01", 0, "", true},
		{"msi_res_id=a&mi_res_id=a", 0, "", true},
		{"msi_res_id=a&msi-res-id=a", 0, "", true},
		{"object_id=a&principal_id=a", 0, "", true},
		{"client_id=&client_id=a", 0, "", true},
		{"foo=1&foo=2", 0, "", true},
		{"foo=1&FOO=2", 0, "", true},
		{"resource=a;b", 0, "", true},
		{"resource=a;resource=b", 0, "", true},
		{"resource=%", 0, "", true},
		{"resource=%2", 0, "", true},
		{"resource=%zz", 0, "", true},
		{"resource=a%00", 0, "", true},
		{"resource=a%0d%0ab", 0, "", true},
		{"resource=%7f", 0, "", true},
		{"resource=%ff", 0, "", true},
		{"resource=\xff", 0, "", true},
		{"re%C5%BFource=x", 0, "", true}, // the long s folds to s
		{"%zz=x", 0, "", true},
		{strings.Repeat("a=1&", 1) + params(32), 0, "", true},
	}
	for _, tt := range tests {
		q, wrong := parseQuery(tt.raw)
		if (wrong != "") != tt.wrong {
			t.Errorf("%q: %q", tt.raw, wrong)
			continue
		}
		if wrong != "" && q != (query{}) {
			t.Errorf("%q: refused, but read as %v", tt.raw, q)
		}
		if q.value[tt.is] != tt.want {
			t.Errorf("%q: %q, want %q", tt.raw, q.value[tt.is], tt.want)
		}
	}
	if _, wrong := parseQuery(params(32)); wrong != "" {
		t.Errorf("32 parameters: %s", wrong)
	}
}

func params(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("p" + string(rune('A'+i/26)) + string(rune('a'+i%26)) + "=1&")
	}
	return b.String()
}

// FuzzQuery: whatever is accepted, the standard library reads the same; and
// every answer's text is JSON.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "api-version=2018-02-01&resource=api%3A%2F%2FAzureADTokenExchange&client_id=3d1e2be9-a10a-4a0c-8380-7ce190f98ed9",
		"api-version=2018-02-01&resource=api://AzureADTokenExchange&msi_res_id=/subscriptions/x/y",
		"resource=a+b%20c", "clientid=&resource=x", "resource=a&Resource=b", "mi_res_id=a&msi-res-id=b",
		"a;b", "%", "%00", "=x", "a&b&c", "resource=%c5%bf", "re\u017fource=x", "bypass_cache=true&x=\"\\",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, wrong := parseQuery(raw)
		if wrong != "" {
			if !json.Valid(appendString(nil, wrong)) {
				t.Fatalf("%q is refused with what is no JSON", raw)
			}
			return
		}
		values, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatalf("accepted %q, net/url says %v", raw, err)
		}
		for p := range parameters {
			var given []string
			for name, all := range values {
				for _, s := range spellings {
					if s.is == p && strings.EqualFold(name, s.name) {
						given = append(given, all...)
					}
				}
			}
			switch {
			case len(given) > 1:
				t.Fatalf("accepted %q, which gives parameter %d %d times", raw, p, len(given))
			case len(given) == 1 && given[0] != q.value[p], len(given) == 0 && q.value[p] != "":
				t.Fatalf("%q: parameter %d is %q, net/url says %q", raw, p, q.value[p], given)
			}
			var back string
			if err := json.Unmarshal(appendString(nil, q.value[p]), &back); err != nil || back != q.value[p] {
				t.Fatalf("%q becomes %q in JSON (%v)", q.value[p], back, err)
			}
		}
	})
}

func FuzzString(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\\x00\x1f\x7f é 😀 \u2028 \xff \xe2\x80")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil {
			t.Fatal(err)
		}
		want, _ := json.Marshal(s)
		var std string
		_ = json.Unmarshal(want, &std)
		if back != std {
			t.Fatalf("%q: %q, encoding/json %q", s, back, std)
		}
		if p := printable(s); !utf8.ValidString(p) || strings.Contains(strings.ToLower(p), "unreachable") {
			t.Fatalf("%q", p)
		}
	})
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                  "plain",
		"a\r\nb":                 "a\uFFFD\uFFFDb",
		"a\u202eb":               "a\uFFFDb",
		"host UNREACHABLE":       "…",
		strings.Repeat("x", 200): strings.Repeat("x", 128) + "…",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
