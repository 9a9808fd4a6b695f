package assertion

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// J10: one reading of every text.
func TestParseObject(t *testing.T) {
	names := func(n int) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf(`"n%d":0`, i))
		}
		return strings.Join(out, ",")
	}
	for _, tc := range []struct {
		name string
		text string
		ok   bool
	}{
		{"an empty object", `{}`, true},
		{"white space everywhere", " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } \n", true},
		{"every type", `{"a":null,"b":true,"c":false,"d":0,"e":"","f":[],"g":{}}`, true},
		{"an empty name", `{"":1}`, true},
		{"names that differ by case", `{"iss":1,"ISS":2,"Iss":3}`, true},
		{"names that only fold together", `{"iss":1,"i\u017fs":2,"iſS":3}`, true},
		{"names that only normalise together", `{"\u00e9":1,"e\u0301":2}`, true},
		{"the same name on different levels", `{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}`, true},
		{"33 names", `{` + names(33) + `}`, true},
		{"200 names", `{` + names(200) + `}`, true},

		{"the same name twice", `{"a":1,"a":1}`, false},
		{"the same name twice, once escaped", `{"iss":1,"\u0069ss":2}`, false},
		{"the same name twice, escaped both ways", `{"/":1,"\/":2}`, false},
		{"the same letter outside the first plane twice", `{"😀":1,"\ud83d\ude00":2}`, false},
		{"the same empty name twice", `{"":1,"":2}`, false},
		{"the same name twice inside", `{"x":{"a":1,"a":2}}`, false},
		{"the same name twice in an array", `{"x":[{"a":1,"a":2}]}`, false},
		{"the same name with 31 between", `{"z":1,` + names(31) + `,"z":2}`, false},
		{"the same name with 32 between", `{"z":1,` + names(32) + `,"z":2}`, false},
		{"the same name with 200 between", `{"z":1,` + names(200) + `,"z":2}`, false},
		{"the last of 200 twice", `{` + names(200) + `,"n199":2}`, false},

		{"nothing", ``, false},
		{"white space only", ` `, false},
		{"an array", `[]`, false},
		{"a string", `"{}"`, false},
		{"two objects", `{}{}`, false},
		{"a letter after", `{}x`, false},
		{"a comma after", `{},`, false},
		{"NUL after", "{}\x00", false},
		{"a byte order mark", "\ufeff{}", false},
		{"a form feed", "\f{}", false},
		{"a no-break space", "{\u00a0}", false},
		{"an open brace", `{`, false},
		{"a name only", `{"a"`, false},
		{"a name and a colon", `{"a":`, false},
		{"no closing brace", `{"a":1`, false},
		{"no closing bracket", `{"a":[1`, false},
		{"the wrong closing", `{"a":[1}]`, false},
		{"a trailing comma", `{"a":1,}`, false},
		{"a trailing comma in an array", `{"a":[1,]}`, false},
		{"a leading comma", `{,"a":1}`, false},
		{"two commas", `{"a":1,,"b":2}`, false},
		{"no comma", `{"a":1 "b":2}`, false},
		{"no colon", `{"a" 1}`, false},
		{"two colons", `{"a"::1}`, false},
		{"a bare name", `{a:1}`, false},
		{"single quotes", `{'a':1}`, false},
		{"a number as name", `{1:1}`, false},
		{"a comment", `{/**/}`, false},
		{"True", `{"a":True}`, false},
		{"nul", `{"a":nul}`, false},
		{"nulll", `{"a":nulll}`, false},
		{"NaN", `{"a":NaN}`, false},

		{"zero", `{"a":0}`, true},
		{"minus zero", `{"a":-0}`, true},
		{"fraction and exponent", `{"a":-12.50e+10,"b":1E-2,"c":1e400}`, true},
		{"a leading zero", `{"a":01}`, false},
		{"minus and a leading zero", `{"a":-01}`, false},
		{"a plus", `{"a":+1}`, false},
		{"a minus only", `{"a":-}`, false},
		{"no whole part", `{"a":.5}`, false},
		{"no fraction", `{"a":1.}`, false},
		{"no exponent", `{"a":1e}`, false},
		{"no exponent after its sign", `{"a":1e+}`, false},
		{"hexadecimal", `{"a":0x1}`, false},

		{"all escapes", `{"a":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\u0000"}`, true},
		{"DEL, which JSON allows", "{\"a\":\"\x7f\"}", true},
		{"a noncharacter, which is valid UTF-8", "{\"a\":\"\uffff\"}", true},
		{"an unknown escape", `{"a":"\x41"}`, false},
		{"an escaped apostrophe", `{"a":"\'"}`, false},
		{"an escape in capitals", `{"a":"\U0041"}`, false},
		{"a short escape", `{"a":"\u004"}`, false},
		{"a short escape at the end", `{"a":"\u00`, false},
		{"a backslash at the end", `{"a":"\`, false},
		{"a letter that is not hexadecimal", `{"a":"\u00g0"}`, false},
		{"a sign in an escape", `{"a":"\u+041"}`, false},
		{"a high surrogate alone", `{"a":"\ud800"}`, false},
		{"a low surrogate alone", `{"a":"\udc00"}`, false},
		{"a high surrogate before a letter", `{"a":"\ud800\u0041"}`, false},
		{"a high surrogate before a raw letter", `{"a":"\ud800A"}`, false},
		{"two high surrogates", `{"a":"\ud800\ud800"}`, false},
		{"surrogates the wrong way round", `{"a":"\udc00\ud800"}`, false},
		{"a lone surrogate in a name", `{"\ud800":1}`, false},
		{"a tab inside", "{\"a\":\"\t\"}", false},
		{"a line feed inside", "{\"a\":\"\n\"}", false},
		{"NUL inside", "{\"a\":\"\x00\"}", false},
		{"no closing quote", `{"a":"x`, false},
		{"a bad byte", "{\"a\":\"\xff\"}", false},
		{"a bad byte in a name", "{\"\xff\":1}", false},
		{"an overlong slash", "{\"a\":\"\xc0\xaf\"}", false},
		{"a surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", false},
		{"beyond Unicode", "{\"a\":\"\xf4\x90\x80\x80\"}", false},
		{"half a letter", "{\"a\":\"\xc3\"}", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseObject([]byte(tc.text), Limits{Depth: 8, Members: 1000, String: 1000})
			if (err == nil) != tc.ok {
				t.Errorf("got %v, want accepted %v", err, tc.ok)
			}
			if err != nil {
				wantFault(t, err, Malformed)
			}
		})
	}
}

func TestParseObjectLimits(t *testing.T) {
	for _, tc := range []struct {
		name string
		text string
		max  Limits
		ok   bool
	}{
		{"the zero limits refuse even an empty object", `{}`, Limits{}, false},
		{"depth 1 holds an object", `{}`, Limits{Depth: 1}, true},
		{"depth 1 holds no object in an object", `{"a":{}}`, Limits{1, 9, 9}, false},
		{"depth 1 holds no array", `{"a":[]}`, Limits{1, 9, 9}, false},
		{"depth 3 holds three", `{"a":[{}]}`, Limits{3, 9, 9}, true},
		{"a million brackets cost nothing", `{"a":` + strings.Repeat("[", 1<<20), Limits{8, 9, 9}, false},
		{"three members of three", `{"a":1,"b":2,"c":3}`, Limits{9, 3, 9}, true},
		{"four members of three", `{"a":1,"b":2,"c":3,"d":4}`, Limits{9, 3, 9}, false},
		{"elements do not count", `{"a":[1,2,3]}`, Limits{9, 1, 9}, true},
		{"members inside count as well", `{"a":{"b":1,"c":2}}`, Limits{9, 2, 9}, false},
		{"a string of three of three", `{"abc":"abc"}`, Limits{9, 9, 3}, true},
		{"a string of four of three", `{"a":"abcd"}`, Limits{9, 9, 3}, false},
		{"a name of four of three", `{"abcd":1}`, Limits{9, 9, 3}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := ParseObject([]byte(tc.text), tc.max); (err == nil) != tc.ok {
				t.Errorf("got %v, want accepted %v", err, tc.ok)
			}
		})
	}
}

func TestParseObjectMembers(t *testing.T) {
	data := []byte(` { "\u0061\n" : { "x" : [1] } , "b":"\u00e9" }`)
	got, err := ParseObject(data, Limits{8, 8, 8})
	if err != nil {
		t.Fatal(err)
	}
	want := []Member{{"a\n", []byte(`{ "x" : [1] }`)}, {"b", []byte(`"\u00e9"`)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_ = append(got[0].Value, "into the next"...)
	clear(data)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("members share memory with the text: %s", diff)
	}
}
