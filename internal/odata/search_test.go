package odata

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseSearch(t *testing.T) {
	clause := func(p, t string) Search { return Search{Property: p, Text: t} }
	a, b, c := clause("a", "1"), clause("b", "2"), clause("c", "3")
	for text, want := range map[string]Search{
		`"displayName:text"`:                     clause("displayName", "text"),
		`"displayName:two words"`:                clause("displayName", "two words"),
		`"a:x:y"`:                                clause("a", "x:y"),
		`"a:say \"x\" \\"`:                       clause("a", `say "x" \`),
		`"a:AND"`:                                clause("a", "AND"),
		`"a:1" AND "b:2"`:                        {All: []Search{a, b}},
		`"a:1" OR "b:2" OR "c:3"`:                {Any: []Search{a, b, c}},
		`"a:1" OR "b:2" AND "c:3"`:               {Any: []Search{a, {All: []Search{b, c}}}},
		`"a:1" AND ("b:2" OR "c:3")`:             {All: []Search{a, {Any: []Search{b, c}}}},
		` ( "a:1" ) `:                            a,
		`("a:1" AND "b:2") AND ("a:1" OR "c:3")`: {All: []Search{{All: []Search{a, b}}, {Any: []Search{a, c}}}},
	} {
		got, err := ParseSearch(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		again, err := ParseSearch(got.String())
		if err != nil || !cmp.Equal(got, again) {
			t.Errorf("%s reads back as %v, %v", got, again, err)
		}
	}
}

func TestParseSearchRefuses(t *testing.T) {
	for _, tc := range []struct{ text, message string }{
		{`displayName:x`, `missing its double quotes; write "displayName:text"`},
		{`'displayName:x'`, "missing its double quotes"},
		{`"x"`, "a clause names its property"},
		{`":x"`, "a clause names its property"},
		{`"a b:x"`, "a clause names its property"},
		{`"a:"`, "there is no text after 'a:'"},
		{`"a: "`, "there is no text"},
		{`"a:x`, "the clause is not closed"},
		{`"a:x\`, "the clause is not closed"},
		{`"a:x\"`, "the clause is not closed"},
		{`"a:\n"`, "only a quote and a backslash"},
		{`"a:x" "b:y"`, "at character 7: '\"b:y\"' is left over; join clauses by AND or OR in capitals"},
		{`"a:x" and "b:y"`, "in capitals"},
		{`"a:x" AND`, "missing its double quotes"},
		{`NOT "a:x"`, "missing its double quotes"},
		{`("a:x"`, ") is missing"},
		{`"a:x")`, "')' is left over"},
		{strings.Repeat("(", 9) + `"a:x"` + strings.Repeat(")", 9), "nested deeper than 8"},
		{strings.Repeat(`"a:x" OR `, 40) + `"a:x"`, "more than 40 clauses"},
		{`"a:` + strings.Repeat("x", MaxString+1) + `"`, "longer than 1024 bytes"},
		{strings.Repeat(" ", MaxFilter+1), "longer than 2048 bytes"},
		{"\"a:\x00\"", "control character"},
	} {
		s, err := ParseSearch(tc.text)
		if s != nil {
			t.Errorf("%s: got %v", tc.text, s)
		}
		wantProblem(t, err, "$search", tc.message)
	}
}

// The examples of "Use the $search query parameter".
func TestTokens(t *testing.T) {
	for text, want := range map[string]string{
		"hello world":   "hello world",
		"HelloWorld":    "hello world",
		"helloWORLD":    "hello world",
		"HELLOworld":    "helloworld",
		"hello.world":   "hello . world helloworld",
		"hello123world": "hello 123 world",
		"李四(David Li)":  "李四 ( david 李四david li ) li",
	} {
		if got := strings.Join(tokens(text, true), " "); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestMatchSearch(t *testing.T) {
	entity := func(name string) Get {
		return FromMap(map[string]any{"displayName": name, "publisherDomain": "OneVideo.com",
			"identifierUris": []any{"api://one", "api://two"}})
	}
	for _, tc := range []struct {
		name, search string
		want         bool
	}{
		{"李四(David Li)", `"displayName:李四(David Li)"`, true},
		{"李四(David Li)", `"displayName:李四"`, true},
		{"李四(David Li)", `"displayName:David"`, true},
		{"李四(David Li)", `"displayName:David)"`, true},
		{"李四(David Li)", `"displayName:(李四"`, true},
		{"李四(David Li)", `"displayName:Li 李"`, true},
		{"李四(David Li)", `"displayName:avid"`, false},
		{"hello-world", `"displayName:helloworld"`, true},
		{"hello.world", `"displayName:HELLOWORLD"`, true},
		{"A video called One", `"displayName:OneVideo"`, true},
		{"One", `"displayName:OneVideo"`, false},
		{"Guthrie", `"displayName:guthr"`, true},
		{"x", `"publisherDomain:onevideo"`, true},
		{"x", `"publisherDomain:video"`, false},
		{"x", `"identifierUris:API://two"`, true},
		{"x", `"identifierUris:two"`, false},
		{"x", `"description:x"`, false},
		{"x", `"displayName:x" AND "publisherDomain:two"`, false},
		{"x", `"displayName:x" OR "publisherDomain:two"`, true},
		{"x", `"displayName:y" OR "publisherDomain:two"`, false},
		{"x", `"publisherDomain:one" AND ("displayName:y" OR "displayName:X")`, true},
	} {
		got, err := MatchSearch(&applications, must(ParseSearch(tc.search)), entity(tc.name))
		if err != nil || got != tc.want {
			t.Errorf("%s in %s: got %v, %v, want %v", tc.search, tc.name, got, err, tc.want)
		}
	}
	if ok, err := MatchSearch(&applications, nil, entity("x")); !ok || err != nil {
		t.Error("no search must find everything")
	}
	for name, value := range map[string]any{"displayName": int64(1), "identifierUris": []any{true}, "appId": guid, "nope": "x"} {
		search := &Search{Property: name, Text: "x"}
		if ok, err := MatchSearch(&applications, search, func(Path) any { return value }); ok || err == nil {
			t.Errorf("%s: got %v, %v, want an error", name, ok, err)
		}
	}
}

func TestSearchesReadBack(t *testing.T) {
	var tree func(t *rapid.T, depth int) Search
	tree = func(t *rapid.T, depth int) Search {
		several := func() (all []Search) {
			for range rapid.IntRange(2, 3).Draw(t, "terms") {
				all = append(all, tree(t, depth-1))
			}
			return all
		}
		if depth > 0 {
			switch rapid.IntRange(0, 2).Draw(t, "node") {
			case 0:
				return Search{All: several()}
			case 1:
				return Search{Any: several()}
			}
		}
		return Search{Property: "p", Text: "x" + rapid.StringMatching(`[ a-z"\\:()€]{0,6}`).Draw(t, "text")}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := tree(t, 3)
		back, err := ParseSearch(s.String())
		if err != nil || !cmp.Equal(&s, back) {
			t.Fatalf("%s reads back as %v, %v", s, back, err)
		}
	})
}
