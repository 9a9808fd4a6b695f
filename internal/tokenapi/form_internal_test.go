package tokenapi

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/sts"
)

func TestParseForm(t *testing.T) {
	many := ""
	for i := range maxParameters + 1 {
		many += "&p" + strings.Repeat("x", i) + "=1"
	}
	for _, row := range []struct {
		name string
		body string
		want form // nil: refused
	}{
		{"nothing", "", form{}},
		{"one parameter", "a=b", form{"a": "b"}},
		{"a name without a value", "a", form{"a": ""}},
		{"empty pairs between", "&&a=1&&b=2&", form{"a": "1", "b": "2"}},
		{"an equals sign in a value", "a=b=c==", form{"a": "b=c=="}},
		{"escapes in either case", "a=%2f%2F%c3%A4", form{"a": "//ä"}},
		{"a plus is a blank, an escaped one is not", "a=b+c%2Bd", form{"a": "b c+d"}},
		{"an escaped ampersand belongs to the value", "a=b%26c=d", form{"a": "b&c=d"}},
		{"raw semicolon, pipe, comma and blank stand for themselves", "a=5|771,2,,,|,&b=x;y z", form{"a": "5|771,2,,,|,", "b": "x;y z"}},
		{"a raw quote and a bracket", `c={"a":"b"}`, form{"c": `{"a":"b"}`}},
		{"names in other cases are other names", "a=1&A=2", form{"a": "1", "A": "2"}},
		{"bytes that are no UTF-8", "a=%ff", form{"a": "\xff"}},
		{"a name twice", "a=1&a=1", nil},
		{"a name twice, once escaped", "a=1&%61=2", nil},
		{"a name twice, once without a value", "a&a=", nil},
		{"no name", "=1", nil},
		{"a percent sign at the end", "a=%", nil},
		{"half an escape", "a=%2", nil},
		{"an escape that is none", "a=%zz", nil},
		{"an escape of a wide letter", "a=%u0041", nil},
		{"a bad escape in a name", "%zz=1", nil},
		{"NUL", "a=\x00", nil},
		{"NUL beside an escape", "a=%41\x00", nil},
		{"NUL escaped", "a=%00", nil},
		{"NUL in a name", "a%00=1", nil},
		{"too many parameters", many, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, no := parseForm(row.body)
			if (no != nil) != (row.want == nil) {
				t.Fatalf("refused: %v, want %v", no, row.want)
			}
			if no != nil {
				if no.code != 9002313 || no.status != 400 {
					t.Errorf("refused with %d, status %d", no.code, no.status)
				}
				return
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScopeTarget(t *testing.T) {
	a := New(Config{Service: sts.New(sts.Config{Cloud: directory.Global()})})
	for _, row := range []struct {
		scope, target string
		code          int
	}{
		{"https://storage.azure.com/.default", "https://storage.azure.com", 0},
		{"https://management.core.windows.net//.default", "https://management.core.windows.net/", 0},
		{"openid profile offline_access email api://x/.default", "api://x", 0},
		{"api://x/.default\topenid", "api://x", 0},
		{".default", "https://graph.microsoft.com", 0},
		{"api://x/.default/.default", "api://x/.default", 0},
		{"e406a681-f3d4-42a8-90b6-c2b029497af1/.default", "e406a681-f3d4-42a8-90b6-c2b029497af1", 0},
		{"/.default", "", 1002012},
		{"api://x", "", 1002012},
		{"api://x/.Default", "", 1002012},
		{"api://x/.default/", "", 1002012},
		{"User.Read", "", 1002012},
		{"openid", "", 1002012},
		{" ", "", 1002012},
		{"OpenID api://x/.default", "", 1002012},
		{"api://x/.default User.Read", "", 1002012},
		{"api://x/.default api://y/.default", "", 70011},
		{"api://x/.default api://x/.default", "", 70011},
		{".default api://x/.default", "", 70011},
	} {
		t.Run(row.scope, func(t *testing.T) {
			target, no := a.scopeTarget(row.scope)
			code := 0
			if no != nil {
				code = no.code
			}
			if target != row.target || code != row.code {
				t.Errorf("%q, code %d; want %q, %d", target, code, row.target, row.code)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"usual text", "api://orders/äß", "api://orders/äß"},
		{"line ends and NUL", "a\r\nb\x00c\td", "a��b�c�d"},
		{"a mark that turns the direction", "a\u202eb\u200bc", "a�b�c"},
		{"line separators", "a\u2028b\u2029c\u0085d", "a�b�c�d"},
		{"no UTF-8", "a\xff\xfeb", "a�b"},
		{"words that make a client ask for a person", "consent_required and interaction_required", "consent-required and interaction-required"},
		{"at the limit", strings.Repeat("ä", 256), strings.Repeat("ä", 256)},
		{"over the limit", strings.Repeat("ä", 257), strings.Repeat("ä", 256) + "…"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := printable(row.in); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
	for _, word := range signInWords {
		if got := printable("x" + word + word + "y"); strings.Contains(got, word) {
			t.Errorf("%q", got)
		}
	}
}

// FuzzTokenRequest reads form text and checks that what is accepted means the
// same to a second reader: the standard library, after what that refuses and
// we accept (a raw semicolon) is escaped.
func FuzzTokenRequest(f *testing.F) {
	for _, seed := range []string{
		"", "a=b", "grant_type=client_credentials&client_id=x&client_assertion=a.b.c&scope=s%2F.default",
		"x-client-current-telemetry=5|771,2,,,|,&x-ms-lib-capability=retry-after, h429", "a=1&a=2", "a=1&%61=2", "a=%00", "a=%", "=&=",
		"a=b;c", "%zz", "&&&", "a==", "a=%ff\xff", "+=+", "a=\x00",
	} {
		f.Add(seed)
	}
	a := New(Config{Service: sts.New(sts.Config{Cloud: directory.Global()})})
	f.Fuzz(func(t *testing.T, body string) {
		got, no := parseForm(body)
		if no != nil {
			if got != nil {
				t.Fatal("a form beside a refusal")
			}
			if text := no.text; strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
				t.Fatalf("the refusal repeats control characters: %q", text)
			}
			return
		}
		second, err := url.ParseQuery(strings.ReplaceAll(body, ";", "%3B"))
		if err != nil {
			t.Fatalf("accepted %q, the second reader says %v", body, err)
		}
		if len(second) != len(got) {
			t.Fatalf("%d parameters, the second reader finds %d: %q", len(got), len(second), body)
		}
		for name, values := range second {
			if value, ok := got[name]; !ok || len(values) != 1 || values[0] != value {
				t.Fatalf("parameter %q is %q, to the second reader %q", name, value, values)
			}
			if strings.ContainsRune(name+values[0], 0) {
				t.Fatalf("NUL in %q", name)
			}
		}
		again := url.Values{}
		for name, value := range got {
			again.Set(name, value)
		}
		if back, no := parseForm(again.Encode()); no != nil || !cmp.Equal(back, got) {
			t.Fatalf("%q does not survive writing and reading", body)
		}
		if a.grant(got) == nil {
			_, _ = a.target(version2, got)
		}
		if text := printable(body); !utf8.ValidString(text) || bytes.ContainsAny([]byte(text), "\r\n\x00") || utf8.RuneCountInString(text) > 257 {
			t.Fatalf("printable: %q", text)
		}
	})
}
