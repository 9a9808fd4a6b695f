package odata

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/problem"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func str(s string) Value { return Value{Kind: LiteralString, String: s} }
func num(n int64) Value  { return Value{Kind: LiteralInt, Int: n} }

func eq(path string, v Value) Expr { return Compare{OpEq, strings.Split(path, "/"), v} }

func TestParseFilter(t *testing.T) {
	a, b, c := eq("a", num(1)), eq("b", num(2)), eq("c", num(3))
	for _, tc := range []struct {
		text string
		want Expr
	}{
		// What the clients of section 7 send.
		{"appId eq '" + guid + "'", eq("appId", str(guid))},
		{"startswith(displayName,'x')", Call{OpStartsWith, Path{"displayName"}, str("x")}},
		{"identifierUris/any(s:s eq 'api://x')", Any{Path{"identifierUris"}, "s", eq("s", str("api://x"))}},
		{"servicePrincipalNames/any(c:c eq 'x')", Any{Path{"servicePrincipalNames"}, "c", eq("c", str("x"))}},
		{"applicationTemplateId eq 'x' and displayName eq 'y'", And{[]Expr{eq("applicationTemplateId", str("x")), eq("displayName", str("y"))}}},
		// The table of "Use the $filter query parameter".
		{"not(userType eq 'Member')", Not{eq("userType", str("Member"))}},
		{"NOT startsWith(displayName, 'Conf')", Not{Call{OpStartsWith, Path{"displayName"}, str("Conf")}}},
		{"NOT groupTypes/any(c:c eq 'Unified')", Not{Any{Path{"groupTypes"}, "c", eq("c", str("Unified"))}}},
		{"endsWith(mail,'@outlook.com')", Call{OpEndsWith, Path{"mail"}, str("@outlook.com")}},
		{"contains(scope/query, './members')", Call{OpContains, Path{"scope", "query"}, str("./members")}},
		{"proxyAddresses/any (p:endsWith(p, 'x'))", Any{Path{"proxyAddresses"}, "p", Call{OpEndsWith, Path{"p"}, str("x")}}},
		{"companyName in (null, 'Microsoft')", In{Path{"companyName"}, []Value{{}, str("Microsoft")}}},
		{"companyName ne null", Compare{OpNe, Path{"companyName"}, Value{}}},
		{"assignedLicenses/any(s:s/skuId eq 184EFA21-98c3-4e5d-95ab-d07053a96e67)",
			Any{Path{"assignedLicenses"}, "s", eq("s/skuId", Value{Kind: LiteralGUID, String: "184efa21-98c3-4e5d-95ab-d07053a96e67"})}},
		{"assignedLicenses/$count ne 0", CountCompare{OpNe, Path{"assignedLicenses"}, 0}},
		{"not(owners/$count eq 1)", Not{CountCompare{OpEq, Path{"owners"}, 1}}},
		{"scenarios has 'secureFoundation'", Compare{OpHas, Path{"scenarios"}, str("secureFoundation")}},
		{"createdDateTime ge 2021-01-02T12:00:00Z", Compare{OpGe, Path{"createdDateTime"}, Value{Kind: LiteralTime, Time: time.Date(2021, 1, 2, 12, 0, 0, 0, time.UTC)}}},
		{"receivedDateTime lt 2017-05-01", Compare{OpLt, Path{"receivedDateTime"}, Value{Kind: LiteralTime, Time: time.Date(2017, 5, 1, 0, 0, 0, 0, time.UTC)}}},
		{"t gt 2026-01-01T01:30+01:00", Compare{OpGt, Path{"t"}, Value{Kind: LiteralTime, Time: time.Date(2026, 1, 1, 0, 30, 0, 0, time.UTC)}}},
		{"t le 2026-01-01T00:00:00.5Z", Compare{OpLe, Path{"t"}, Value{Kind: LiteralTime, Time: time.Date(2026, 1, 1, 0, 0, 0, 5e8, time.UTC)}}},
		// Literals.
		{"displayName eq 'it''s'", eq("displayName", str("it's"))},
		{"displayName eq ''", eq("displayName", str(""))},
		{"displayName eq ''''", eq("displayName", str("'"))},
		{"displayName eq ') or (1 eq 1'", eq("displayName", str(") or (1 eq 1"))},
		{"displayName eq 'Žluťoučký'", eq("displayName", str("Žluťoučký"))},
		{"n eq -9223372036854775808", eq("n", num(-1<<63))},
		{"b eq true", eq("b", Value{Kind: LiteralBool, Bool: true})},
		{"b eq False", eq("b", Value{Kind: LiteralBool})},
		// Structure.
		{"a eq 1 or b eq 2 and c eq 3", Or{[]Expr{a, And{[]Expr{b, c}}}}},
		{"(a eq 1 or b eq 2) and c eq 3", And{[]Expr{Or{[]Expr{a, b}}, c}}},
		{"a eq 1 and (b eq 2 and c eq 3)", And{[]Expr{a, And{[]Expr{b, c}}}}},
		{"a eq 1 AND b eq 2 And c EQ 3", And{[]Expr{a, b, c}}},
		{" ( ( a  eq  1 ) ) ", a},
		{"not not (a eq 1)", Not{Not{a}}},
		{"x/any()", Any{Path: Path{"x"}}},
		{"x/all(y:y ne 'z')", All{Path{"x"}, "y", Compare{OpNe, Path{"y"}, str("z")}}},
		{"r/any(x:x/s/any(y:y/id eq 1 and x/id eq 2))",
			Any{Path{"r"}, "x", Any{Path{"x", "s"}, "y", And{[]Expr{eq("y/id", num(1)), eq("x/id", num(2))}}}}},
		// Words of the grammar are names, too.
		{"any eq 1", eq("any", num(1))},
		{"a/all eq 1", eq("a/all", num(1))},
		{"contains in (1)", In{Path{"contains"}, []Value{num(1)}}},
		{"and eq 1 and or eq 2", And{[]Expr{eq("and", num(1)), eq("or", num(2))}}},
	} {
		t.Run(tc.text, func(t *testing.T) {
			got, err := ParseFilter(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			again, err := ParseFilter(got.String())
			if err != nil || !cmp.Equal(got, again) {
				t.Errorf("%s reads back as %v, %v", got, again, err)
			}
		})
	}
}

func TestCanonicalText(t *testing.T) {
	for text, want := range map[string]string{
		"NOT(a EQ 'x''y')":                   "not (a eq 'x''y')",
		"a eq 1 or (b eq 2 and c eq 3)":      "a eq 1 or b eq 2 and c eq 3",
		"(a eq 1 or b eq 2) and (c eq 3)":    "(a eq 1 or b eq 2) and c eq 3",
		"not (not (startswith(a,'x')))":      "not not startswith(a,'x')",
		"startsWith( a , 'x' )":              "startswith(a,'x')",
		"a in ( 1 ,NULL)":                    "",
		"a in ( 1 ,null)":                    "a in (1,null)",
		"x/Any( y : y/z eq TRUE )":           "x/any(y:y/z eq true)",
		"x/all(y:y eq 2026-01-01)":           "x/all(y:y eq 2026-01-01T00:00:00Z)",
		"x/$count GE +5":                     "x/$count ge 5",
		"a eq " + strings.ToUpper(guid):      "a eq " + guid,
		"a eq 2026-01-01T02:00:00.120+02:00": "a eq 2026-01-01T00:00:00.12Z",
	} {
		e, err := ParseFilter(text)
		if want == "" {
			wantProblem(t, err, "$filter", "'NULL' is not a value")
			continue
		}
		if err != nil || e.String() != want {
			t.Errorf("%s: got %v, %v, want %s", text, e, err, want)
		}
	}
}

func TestParseFilterRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("(", n) + "a eq 1" + strings.Repeat(")", n) }
	many := func(n int) string { return strings.TrimSuffix(strings.Repeat("a eq 1 or ", n), " or ") }
	for _, tc := range []struct {
		name, text, message string
	}{
		{"nothing", "  ", "at character 3: a condition is missing"},
		{"half a condition", "a eq 1 and", "at character 11: a condition is missing"},
		{"a property alone", "accountEnabled", "write accountEnabled eq 'x', or eq true"},
		{"a property alone before and", "a and b eq 1", "'a' is not compared"},
		{"no value", "a eq", "at character 5: a value is missing"},
		{"a value alone", "'x'", "at character 1: ''x''"},
		{"a value on the left", "'x' eq a", "put the property left of the operator"},
		{"an always true statement", "1 eq 1", "the name of a property is missing"},
		{"text without quotes", "a eq Shop", "'Shop' is not a value; text stands in single quotes"},
		{"text in double quotes", `a eq "x"`, "a value is missing; text stands in single quotes"},
		{"an open quote", "a eq 'x", "at character 6: there is an unterminated string literal"},
		{"a quote that is not doubled", "a eq 'it's'", "double a quote inside text"},
		{"two statements", "a eq 'x'; drop table b", "'; drop table b' is left over"},
		{"a comment", "a eq 'x' --", "left over"},
		{"another operator", "a = 1", "'= 1' is not an operator"},
		{"an unknown operator", "a like 'x'", "'like' is not an operator"},
		{"arithmetic", "a add 1 eq 2", "'add' is not an operator"},
		{"a fraction", "a eq 1.5", "numbers are whole"},
		{"a number that is too large", "a eq 9223372036854775808", "'9223372036854775808' is not a value"},
		{"a day that is none", "a eq 2026-02-30T00:00:00Z", "is not a value"},
		{"the year zero", "a eq 0000-01-01T00:00:00Z", "is not a value"},
		{"a year of five digits by its zone", "a eq 9999-12-31T23:59:59-01:00", "is not a value"},
		{"a typed literal of OData 2", "a eq guid'x'", "'guid' before a quote"},
		{"an unknown function", "tolower(a) eq 'x'", "An unknown function with name 'tolower' was found"},
		{"a function in a function", "startswith(tolower(a),'x')", ", is missing between property and text"},
		{"a function that is compared", "startswith(a,'x') eq true", "leave out the comparison"},
		{"a function with one argument", "startswith(a)", ", is missing"},
		{"a function with three arguments", "contains(a,'x','y')", ") is missing"},
		{"a function of a count", "contains(a/$count ,'x')", "not $count"},
		{"not before a comparison", "not a eq 1", "at character 5: not binds closer than the comparison after it; write not (a eq 1)"},
		{"not alone", "not", "a condition is missing"},
		{"an open parenthesis", "(a eq 1", ") is missing"},
		{"a closed parenthesis", "a eq 1)", "')' is left over"},
		{"a missing and", "a eq 1 b eq 2", "'b eq 2' is left over"},
		{"in without parenthesis", "a in 'x'", "( is missing after in"},
		{"in nothing", "a in ()", "a value is missing"},
		{"in with a trailing comma", "a in (1,)", "a value is missing"},
		{"a path that begins with a slash", "/a eq 1", "does not begin a condition"},
		{"a path that ends in a slash", "a/ eq 1", "a blank stands inside a path"},
		{"a path with two slashes", "a//b eq 1", "the name of a property is missing"},
		{"a type cast", "microsoft.graph.user/a eq 1", "type casts"},
		{"a long name", strings.Repeat("x", 129) + " eq 1", "longer than 128"},
		{"a name that is not ASCII", "é eq 1", "does not begin a condition"},
		{"any without collection", "any(x:x eq 1)", "write collection/any(x:x eq 'y')"},
		{"any without variable", "a/any(x eq 1)", ": is missing after the variable"},
		{"any without condition", "a/any(x:)", "does not begin a condition"},
		{"all without condition", "a/all()", "all needs a condition"},
		{"a variable that is a word", "a/any(not:not eq 1)", "any needs a variable"},
		{"a variable of an outer lambda", "a/any(x:x/b/any(x:x eq 1))", "choose another"},
		{"a property outside of the element", "a/any(x:b eq 1)", "'b' is no variable of this lambda; begin the path with x"},
		{"a variable after its lambda", "a/any(x:x eq 1) and a/any(y:x eq 1)", "'x' is no variable"},
		{"a count that is not compared", "a/$count", "write a/$count eq 0"},
		{"a count compared with text", "a/$count eq '0'", "without quotes"},
		{"a count in a list", "a/$count in (1)", "write a/$count eq 0"},
		{"a count with a tail", "a/$counts eq 0", "a blank is missing"},
		{"another dollar", "$it eq 1", "does not begin a condition"},
		{"a parameter alias", "a eq @p", "a value is missing"},
		{"9 parentheses", deep(9), "nested deeper than 8"},
		{"a thousand parentheses", deep(1000), "nested deeper than 8"},
		{"many nots", strings.Repeat("not ", 400) + "a/any()", "nested deeper than 8"},
		{"40 conditions and their or", many(40), "more than 40"},
		{"40 values", "a in (1" + strings.Repeat(",1", 39) + ")", "more than 40"},
		{"long text", "a eq '" + strings.Repeat("x", MaxString+1) + "'", "longer than 1024 bytes"},
		{"a long filter", strings.Repeat(" ", MaxFilter+1), "longer than 2048 bytes"},
		{"a tab", "a\teq 1", "Character 2 is a control character"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := ParseFilter(tc.text)
			if e != nil {
				t.Errorf("got %v", e)
			}
			wantProblem(t, err, "$filter", tc.message)
		})
	}
	for _, good := range []string{deep(8), many(39), "a in (1" + strings.Repeat(",1", 38) + ")",
		"a eq '" + strings.Repeat("x", MaxString) + "'", strings.Repeat("x", 128) + " eq 1"} {
		if _, err := ParseFilter(good); err != nil {
			t.Errorf("at the limit: %v", err)
		}
	}
}

func TestConjuncts(t *testing.T) {
	var got []string
	for _, e := range Conjuncts(must(ParseFilter("a eq 1 and (b eq 2 and (c eq 3 or d eq 4)) and not (e eq 5 and f eq 6)"))) {
		got = append(got, e.String())
	}
	if diff := cmp.Diff([]string{"a eq 1", "b eq 2", "c eq 3 or d eq 4", "not (e eq 5 and f eq 6)"}, got); diff != "" {
		t.Error(diff)
	}
	if Conjuncts(nil) != nil || len(Conjuncts(eq("a", num(1)))) != 1 {
		t.Error("nothing has no conjuncts, one condition is its own")
	}
}

func TestRecognising(t *testing.T) {
	recognise := func(e Expr) string {
		if p, v, ok := Equals(e); ok {
			return fmt.Sprint("equals ", p, " ", v.Text())
		}
		if p, v, ok := StartsWith(e); ok {
			return fmt.Sprint("starts ", p, " ", v)
		}
		if p, v, ok := HasElement(e); ok {
			return fmt.Sprint("has ", p, " ", v.Text())
		}
		if p, v, ok := OneOf(e); ok {
			return fmt.Sprint("one of ", p, " ", len(v))
		}
		return "nothing"
	}
	for text, want := range map[string]string{
		"a/b eq 'x'":                       "equals a/b 'x'",
		"a eq null":                        "equals a null",
		"startswith(a,'x')":                "starts a x",
		"uris/any(x:x eq 'v')":             "has uris 'v'",
		"a in (1,2)":                       "one of a 2",
		"a ne 'x'":                         "nothing",
		"startswith(a,1)":                  "nothing",
		"endswith(a,'x')":                  "nothing",
		"uris/any()":                       "nothing",
		"uris/any(x:x ne 'v')":             "nothing",
		"uris/any(x:x/y eq 'v')":           "nothing",
		"uris/any(x:x eq 'v' or x eq 'w')": "nothing",
		"uris/all(x:x eq 'v')":             "nothing",
		"not (a eq 'x')":                   "nothing",
		"a eq 1 and b eq 2":                "nothing",
	} {
		if got := recognise(must(ParseFilter(text))); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// Every tree that the types allow reads back from its text.
func TestTreesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyTree(t, 3, nil)
		back, err := ParseFilter(e.String())
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Fatalf("%s: %s", e, diff)
		}
	})
}

func anyTree(t *rapid.T, depth int, vars []string) Expr {
	path := func() Path {
		p := Path(rapid.SliceOfN(rapid.StringMatching(`[a-z_][A-Za-z0-9_]{0,3}`).Filter(func(s string) bool { return s != "not" }), 1, 3).Draw(t, "path"))
		if len(vars) > 0 {
			p[0] = rapid.SampledFrom(vars).Draw(t, "variable")
		}
		return p
	}
	if depth == 0 {
		switch rapid.IntRange(0, 4).Draw(t, "leaf") {
		case 0:
			return In{path(), rapid.SliceOfN(rapid.Custom(anyValue), 1, 4).Draw(t, "values")}
		case 1:
			return Call{rapid.SampledFrom([]Op{OpStartsWith, OpEndsWith, OpContains}).Draw(t, "function"), path(), anyValue(t)}
		case 2:
			return CountCompare{rapid.SampledFrom([]Op{OpEq, OpNe, OpGt, OpGe, OpLt, OpLe}).Draw(t, "op"), path(), rapid.Int64().Draw(t, "n")}
		case 3:
			p := path()
			if len(vars) > 0 {
				p[0] = vars[len(vars)-1]
			}
			return Any{Path: p}
		}
		return Compare{rapid.SampledFrom([]Op{OpEq, OpNe, OpGt, OpGe, OpLt, OpLe, OpHas}).Draw(t, "op"), path(), anyValue(t)}
	}
	several := func() (terms []Expr) {
		for range rapid.IntRange(2, 3).Draw(t, "terms") {
			terms = append(terms, anyTree(t, depth-1, vars))
		}
		return terms
	}
	variable := fmt.Sprint("v", len(vars))
	collection := func() Path {
		p := path()
		if len(vars) > 0 {
			p[0] = vars[len(vars)-1]
		}
		return p
	}
	switch rapid.IntRange(0, 5).Draw(t, "node") {
	case 0:
		return And{several()}
	case 1:
		return Or{several()}
	case 2:
		return Not{anyTree(t, depth-1, vars)}
	case 3:
		return Any{collection(), variable, anyTree(t, depth-1, append(vars, variable))}
	case 4:
		return All{collection(), variable, anyTree(t, depth-1, append(vars, variable))}
	}
	return anyTree(t, 0, vars)
}

func anyValue(t *rapid.T) Value {
	switch rapid.IntRange(0, 5).Draw(t, "literal") {
	case 0:
		return str(rapid.StringMatching(`[ a-z',()éß€/]{0,8}`).Draw(t, "text"))
	case 1:
		return num(rapid.Int64().Draw(t, "number"))
	case 2:
		return Value{Kind: LiteralBool, Bool: rapid.Bool().Draw(t, "bool")}
	case 3:
		return Value{Kind: LiteralGUID, String: rapid.StringMatching(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).Draw(t, "guid")}
	case 4:
		return Value{Kind: LiteralTime, Time: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), rapid.Int64Range(0, 999999999).Draw(t, "nanoseconds")).UTC()}
	}
	return Value{}
}

// A1: what is accepted reads back the same, stays in its bounds, and is evaluated
// or refused without a fault.
func FuzzFilter(f *testing.F) {
	for _, text := range []string{
		"displayName eq 'x' and startswith(displayName,'it''s') or not (appId eq " + guid + ")",
		"identifierUris/any(s:s eq 'api://x') and owners/$count ne 0",
		"appRoles/any(r:r/value eq 'Read' and r/allowedMemberTypes/any(a:a eq 'User'))",
		"tags/all(t:t ne 'x') or appRoles/all(r:r/id eq null)",
		"version in (1,-2,null) and createdDateTime ge 2026-01-01T00:00:00.5+02:00",
		"platforms has 'web,spa' or isDisabled eq false or contains(subject,'x')",
		"((((((a eq 1))))))", "not not not a/any()", "a eq 'x", "$count eq 1", "a eq 9999-12-31T23:59:59-23:59",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseFilter(text)
		if err != nil {
			wantProblem(t, err, "$filter")
			if e != nil {
				t.Fatal("a tree came with the error")
			}
			return
		}
		canonical := e.String()
		back, err := ParseFilter(canonical)
		if len(canonical) <= MaxFilter {
			if err != nil {
				t.Fatalf("%s: %v", canonical, err)
			}
			if back.String() != canonical || !cmp.Equal(e, back) {
				t.Fatalf("%s reads back as %s", canonical, back)
			}
		}
		for _, c := range Conjuncts(e) {
			Equals(c)
			StartsWith(c)
			HasElement(c)
			OneOf(c)
		}
		_, matchErr := Match(&applications, e, shop())
		for _, advanced := range []bool{false, true} {
			q := Query{Filter: e, Count: advanced}
			if err := q.Check(&applications, advanced); err != nil {
				wantProblem(t, err, "$filter")
			} else if matchErr != nil {
				t.Fatalf("%s passed the check: %v", canonical, matchErr)
			}
		}
	})
}

func problemTarget(err error) string {
	var p *problem.Error
	if errors.As(err, &p) {
		return p.Target
	}
	return ""
}
