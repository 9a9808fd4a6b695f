package assertion

import (
	"encoding/json"
	"fmt"
	"slices"
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
		{"an object that opens like an array", `["a":1}`, false},
		{"an object that opens with something else", `x"a":1}`, false},
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
		{"an equals sign for a colon", `{"a"=1}`, false},
		{"a comma for a colon", `{"a",1}`, false},
		{"a name that opens with another quote", `{'a":1}`, false},
		{"a bare name", `{a:1}`, false},
		{"single quotes", `{'a':1}`, false},
		{"a number as name", `{1:1}`, false},
		{"a comment", `{/**/}`, false},
		{"True", `{"a":True}`, false},
		{"nul", `{"a":nul}`, false},
		{"nulll", `{"a":nulll}`, false},
		{"NaN", `{"a":NaN}`, false},
		{"a word as long as null", `{"a":nope}`, false},
		{"a word as long as true", `{"a":trap}`, false},
		{"a word as long as false", `{"a":folly}`, false},

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
		{"the lowest byte beyond ASCII alone", "{\"a\":\"\x80\"}", false},
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

// The error names the place and what is wrong there, and the first such place.
func TestParseObjectSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                  "byte 0: not a JSON object",
		`{"a":1}x`:            "byte 7: more text after the value",
		`{1:1}`:               "byte 1: expected a name",
		`{"a" 1}`:             "byte 5: expected a colon",
		`{"a":1 "b":2}`:       "byte 7: expected a comma or the end",
		`{"a":[1 2]}`:         "byte 8: expected a comma or the end",
		`{"a":}`:              "byte 5: not a JSON value",
		`{"a":nope}`:          "byte 5: not a JSON value",
		`{"a":nul`:            "byte 5: not a JSON value",
		`{"a":null`:           "byte 9: expected a comma or the end",
		`{"a":[nope]}`:        "byte 6: not a JSON value",
		`{"a":-}`:             "byte 6: bad number",
		`{"a":1,"a":2}`:       "byte 10: the same name twice",
		`{"a":{"a":{"a":1}}}`: "byte 10: nested too deeply",
		`{"a":[[]]}`:          "byte 6: nested too deeply",
		`{"a":1,"b":1,"c":1}`: "byte 13: too many members",
		`{"a":"123456789"}`:   "byte 5: string too long",
		"{\"a\":\"\xff\"}":    "byte 5: not UTF-8",
		"{\"a\":\"\t\"}":      "byte 5: control character in a string",
		`{"a":"\x"}`:          "byte 5: bad escape in a string",
		`{"a":"\u00`:          "byte 5: bad escape in a string",
		`{"\x":1}`:            "byte 1: bad escape in a string",
		`{"a":"x`:             "byte 5: string without end",
	} {
		_, err := ParseObject([]byte(text), Limits{Depth: 2, Members: 2, String: 8})
		if wantFault(t, err, Malformed); err.(*Error).Detail != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// The callers of parseArray give it values that were accepted before. It does not
// rely on that.
func TestParseArray(t *testing.T) {
	for text, want := range map[string]string{
		` [ 1 , "a" ] `: "",
		`[]`:            "",
		`{}`:            "byte 0: not a JSON array",
		`x1]`:           "byte 0: not a JSON array",
		`[1 2]`:         "byte 3: expected a comma or the end",
		`[1`:            "byte 2: expected a comma or the end",
		`[1]x`:          "byte 3: more text after the value",
		`[[[]]]`:        "byte 2: nested too deeply",
	} {
		got := ""
		elements, err := parseArray(text, Limits{Depth: 2, String: 8})
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if got == "" && text != `[]` && !slices.Equal(elements, []string{"1", `"a"`}) {
			t.Errorf("%s: elements %q", text, elements)
		}
	}
	for _, text := range []string{`["a"`, `["a",1]`, `[`, `"a"`, `{}`} {
		if values, ok := stringArray(text); ok || values != nil {
			t.Errorf("%s is an array of strings: %q", text, values)
		}
	}
}

// Every escape, and every digit in each of its forms, means what it means to
// encoding/json.
func TestEscapes(t *testing.T) {
	for _, quoted := range []string{
		`"\"\\\/\b\f\n\r\t"`, `"\u0123\u4567\u89ab\ucdef\uABCD\uEFef"`, `"\u00aa\u00AA\u00ff\u00FF\u0099"`, `"\ud83d\ude00"`, `"\\\\"`, `"plain"`, `""`,
	} {
		var want string
		if err := json.Unmarshal([]byte(quoted), &want); err != nil {
			t.Fatal(err)
		}
		members, err := ParseObject([]byte("{"+quoted+":"+quoted+"}"), Limits{8, 8, 80})
		if err != nil {
			t.Fatal(err)
		}
		value, ok := unquote(string(members[0].Value))
		if members[0].Name != want || value != want || !ok {
			t.Errorf("%s reads as name %q and value %q, want %q", quoted, members[0].Name, value, want)
		}
	}
}
