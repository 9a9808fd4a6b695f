package odata

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	byName := Compare{OpEq, Path{"displayName"}, Value{Kind: LiteralString, String: "Shop Front"}}
	for _, tc := range []struct {
		name string
		raw  string
		want Query
	}{
		{"nothing asks for everything", "", Query{}},
		{"az sends blanks as they are", "$filter=displayName eq 'Shop Front'", Query{Filter: byName}},
		{"or as pluses", "$filter=displayName+eq+'Shop+Front'", Query{Filter: byName}},
		{"or encoded", "$filter=displayName%20eq%20%27Shop%20Front%27", Query{Filter: byName}},
		{"Terraform encodes the dollar", "%24filter=displayName+eq+%27Shop+Front%27", Query{Filter: byName}},
		{"az sends commas as they are", "$filter=startswith(displayName,'a,b')",
			Query{Filter: Call{OpStartsWith, Path{"displayName"}, Value{Kind: LiteralString, String: "a,b"}}}},
		{"names may differ in case", "$skipToken=x&$orderBy=displayName", Query{SkipToken: "x", OrderBy: []Order{{Property: Path{"displayName"}}}}},
		{"selected names are listed once", "$select=id, displayName,id", Query{Select: []string{"id", "displayName"}}},
		{"members may be selected", "$select=api/requestedAccessTokenVersion", Query{Select: []string{"api/requestedAccessTokenVersion"}}},
		{"an asterisk selects all", "$select=id,*", Query{}},
		{"expand", "$expand=owners", Query{Expand: []Expand{{Name: "owners"}}}},
		{"expand and select", "$expand=owners($select=id,displayName), x", Query{Expand: []Expand{{"owners", []string{"id", "displayName"}}, {Name: "x"}}}},
		{"expand with encoded dollar inside", "%24expand=owners(%24select%3Did)", Query{Expand: []Expand{{"owners", []string{"id"}}}}},
		{"keys of order", "$orderby=displayName desc,api/x,id asc",
			Query{OrderBy: []Order{{Path{"displayName"}, true}, {Property: Path{"api", "x"}}, {Property: Path{"id"}}}}},
		{"a page", "$top=999&$skiptoken=a%2Bb%2F%3D&$count=true", Query{Top: 999, SkipToken: "a+b/=", Count: true}},
		{"no count", "$count=false", Query{}},
		{"a format", "$format=application/json;odata.metadata=none", Query{Format: "application/json;odata.metadata=none"}},
		{"a search", `$search="displayName:shop"`, Query{Search: &Search{Property: "displayName", Text: "shop"}}},
		{"the client's own parameters are ignored", "api-version=1.6&filter=x&top=-1&=&&x=%zz;y", Query{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q, err := Parse(tc.raw)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tc.want, q); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, raw, target, text string
	}{
		{"an unknown option", "$skip=1", "$skip", "The query parameter '$skip' is not supported"},
		{"the bare dollar", "$=1", "$", "not supported"},
		{"an option twice", "$top=1&$top=1", "$top", "more than once"},
		{"an option twice, once encoded", "$top=1&%24top=2", "$top", "more than once"},
		{"an option twice, once in capitals", "$top=1&$TOP=2", "$top", "more than once"},
		{"an empty value", "$filter=", "$filter", "cannot be empty"},
		{"an option without value", "$count", "$count", "cannot be empty"},
		{"a blank value", "$select=+", "$select", "cannot be empty"},
		{"bad percent-encoding in a value", "$filter=%zz", "$filter", "%25"},
		{"bad percent-encoding in a name", "%2=1", "query", "%25"},
		{"a value that is not UTF-8", "$filter=%ff", "$filter", "UTF-8"},
		{"NUL", "$skiptoken=ab%00", "$skiptoken", "Character 3"},
		{"a line feed in a literal", "$filter=a eq 'x%0ay'", "$filter", "Character 8"},
		{"a long query", "$filter=" + strings.Repeat("x", MaxQuery), "query", "longer than 8192 bytes"},
		{"zero on a page", "$top=0", "$top", "between 1 and 999"},
		{"a thousand on a page", "$top=1000", "$top", "between 1 and 999"},
		{"a huge page", "$top=99999999999999999999", "$top", "between 1 and 999"},
		{"a negative page", "$top=-1", "$top", "non-negative integer"},
		{"a page of words", "$top=ten", "$top", "'ten'"},
		{"a count of words", "$count=yes", "$count", "true and false"},
		{"select of an expression", "$select=a eq 1", "$select", "'a eq 1'"},
		{"select with a trailing comma", "$select=id,", "$select", "''"},
		{"select with a type cast", "$select=microsoft.graph.user", "$select", "microsoft.graph.user"},
		{"select with a quote", "$select=id';drop", "$select", "not the name"},
		{"expand of a path", "$expand=a/b", "$expand", "'a/b'"},
		{"expand of everything", "$expand=*", "$expand", "'*'"},
		{"expand twice", "$expand=a,a", "$expand", "twice"},
		{"expand with a nested filter", "$expand=a($filter=b eq 1)", "$expand", "Only $select"},
		{"expand with two nested options", "$expand=a($select=b;$top=1)", "$expand", "'b;$top=1'"},
		{"expand not closed", "$expand=a($select=b", "$expand", "add )"},
		{"expand with a rest", "$expand=a($select=b)c", "$expand", "'c'"},
		{"order of an expression", "$orderby=tolower(a)", "$orderby", "'tolower(a)'"},
		{"order in an unknown direction", "$orderby=a down", "$orderby", "'down'"},
		{"order of too much", "$orderby=a desc b", "$orderby", "'a desc b'"},
		{"order of nothing", "$orderby=a,", "$orderby", "''"},
		{"order twice", "$orderby=a,a desc", "$orderby", "twice"},
		{"another format", "$format=xml", "$format", "json"},
		{"a long token", "$skiptoken=" + strings.Repeat("x", MaxSkipToken+1), "$skiptoken", "@odata.nextLink"},
		{"a bad filter", "$filter=x", "$filter", "character 2"},
		{"a bad search", "$search=x", "$search", "double quotes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q, err := Parse(tc.raw)
			if q != nil {
				t.Error("a query came with the error")
			}
			wantProblem(t, err, tc.target, tc.text)
		})
	}
}

// What the parser accepts is bounded and well-formed, whatever comes.
func FuzzQuery(f *testing.F) {
	f.Add("$filter=displayName+eq+'x'&$select=id&$top=1")
	f.Add("%24expand=owners(%24select%3Did)&$orderby=a desc,b&$count=true&$skiptoken=x")
	f.Add(`$search="displayName:a b" AND ("c:d" OR "e:\"f\\")&$format=json`)
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := Parse(raw)
		if err != nil {
			wantProblem(t, err, problemTarget(err))
			return
		}
		for _, name := range q.Select {
			if _, ok := parsePath(name); !ok {
				t.Errorf("selected %q", name)
			}
		}
		if q.Top < 0 || q.Top > MaxTop {
			t.Errorf("top %d", q.Top)
		}
		if q.Search != nil {
			again, err := Parse("$search=" + url.QueryEscape(q.Search.String()))
			if err != nil || !cmp.Equal(again.Search, q.Search) {
				t.Errorf("%s reads back as %v, %v", q.Search, again, err)
			}
			if _, err := MatchSearch(&applications, q.Search, shop()); err == nil {
				_ = q.Check(&applications, true)
			}
		}
		for _, advanced := range []bool{false, true} {
			if err := q.Check(&applications, advanced); err != nil {
				wantProblem(t, err, problemTarget(err))
				continue
			}
			if _, err := Match(&applications, q.Filter, shop()); err != nil {
				t.Errorf("%s passed the check: %v", q.Filter, err)
			}
			if _, err := MatchSearch(&applications, q.Search, shop()); err != nil {
				t.Errorf("%s passed the check: %v", q.Search, err)
			}
			if _, err := CompareBy(&applications, q.OrderBy, shop(), shop()); err != nil {
				t.Errorf("%v passed the check: %v", q.OrderBy, err)
			}
		}
	})
}
