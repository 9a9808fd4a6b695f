package odata

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Every row is true of the entity in fixture_test.go, and so is its opposite
// false.
func TestMatch(t *testing.T) {
	for _, text := range []string{
		// Case is by kind.
		"displayName eq 'SHOP FRONT'",
		"startswith(displayName,'sHoP')",
		"publisherDomain in ('x','CONTOSO.COM')",
		"endswith(publisherDomain,'OSO.com')",
		"appId eq '" + guid + "' and id eq " + guid,
		"subject eq 'repo:Shop' and not (subject eq 'repo:shop')",
		"startswith(subject,'repo') and not startswith(subject,'Repo')",
		"contains(subject,':S') and not contains(subject,':s')",
		"endswith(subject,'Shop') and not endswith(subject,'shop')",
		"displayName gt 'SHOP' and displayName lt 'shop g'",
		"subject gt 'Zebra'",
		// Null equals null only, and nothing is above or below it.
		"description eq null and not (description ne null)",
		"description ne 'x' and not (description eq 'x')",
		"not (description gt 'x') and not (description le 'x') and not (description ge null)",
		"displayName ne null and not (displayName eq null)",
		"description in ('x',null) and not (description in ('x'))",
		"not startswith(description,'x') and not contains(description,'')",
		"not (platforms has 'x') and not (description has 'x')",
		// The other kinds.
		"isDisabled eq false and isDisabled ne true",
		"version gt 1 and version ge 2 and version le 2 and version lt 3 and version in (1,2)",
		"createdDateTime eq 2026-01-02T02:04:05Z",
		"createdDateTime ge 2026-01-02 and createdDateTime lt 2026-01-02T04:00:00+01:00",
		"platforms has 'spa' and platforms has 'Web,spa' and not (platforms has 'we')",
		"api/requestedAccessTokenVersion eq 2",
		// Collections.
		"identifierUris/any(s:s eq 'API://SHOP') and not identifierUris/any(s:s eq 'api://shop/')",
		"identifierUris/all(s:contains(s,'shop')) and not identifierUris/all(s:startswith(s,'api'))",
		"identifierUris/any() and not redirectUris/any()",
		"redirectUris/all(u:u eq 'x') and not redirectUris/any(u:u ne 'x')",
		"tags/any(t:t eq 'B')",
		"appRoles/any(r:r/value eq 'read' and r/id eq " + guid + ")",
		"appRoles/any(r:r/value eq null) and not appRoles/all(r:r/value ne null)",
		"appRoles/any(r:r/allowedMemberTypes/any(a:a eq 'user' and r/value eq 'read'))",
		"appRoles/any(r:not r/allowedMemberTypes/any())",
		"appRoles/any(r:r/allowedMemberTypes/$count eq 2)",
		"identifierUris/$count eq 2 and redirectUris/$count eq 0 and appRoles/$count gt 1",
		"owners/$count eq 1 and owners/$count ne 0 and owners/$count le 1",
		// Structure.
		"version eq 2 or version eq 3 and version eq 4",
		"not ((version eq 2 or version eq 3) and version eq 4)",
		"not not (version eq 2)",
	} {
		t.Run(text, func(t *testing.T) {
			e := must(ParseFilter(text))
			if ok, err := Match(&applications, e, shop()); !ok || err != nil {
				t.Errorf("got %v, %v, want a match", ok, err)
			}
			if ok, err := Match(&applications, Not{e}, shop()); ok || err != nil {
				t.Errorf("the opposite: got %v, %v, want none", ok, err)
			}
		})
	}
	if ok, err := Match(&applications, nil, shop()); !ok || err != nil {
		t.Error("no condition must be fulfilled")
	}
}

// A lambda may look only into the element of the one around it, so matching costs
// no more than conditions times elements, however deep lambdas nest.
func TestMatchCost(t *testing.T) {
	text, variable := "appRoles/any(v0:", "v0"
	for i := 1; i < 6; i++ {
		text += fmt.Sprintf("v0/allowedMemberTypes/any(v%d:", i)
		variable = fmt.Sprint("v", i)
	}
	_, err := ParseFilter(text + variable + " eq 'x'" + strings.Repeat(")", 6))
	wantProblem(t, err, "$filter", "look into v1")
}

// A getter that does not fit its schema is our fault and no match.
func TestMatchMismatch(t *testing.T) {
	for text, value := range map[string]any{
		"nope eq 1":                          nil,
		"version eq 1":                       1, // an int is no int64
		"displayName eq 'x'":                 true,
		"version eq 'x'":                     int64(1),
		"startswith(displayName,'x')":        int64(1),
		"startswith(version,'x')":            int64(1),
		"displayName/any(x:x eq 'y')":        "x",
		"identifierUris/any(x:x eq 'y')":     "x",
		"identifierUris/any(x:x/y eq 'z')":   []string{"x"},
		"appRoles/any(r:r/value eq 'x')":     []string{"x"},
		"appRoles/any(r:r/nope eq 'x')":      []map[string]any{{}},
		"identifierUris eq 'x'":              []string{"x"},
		"displayName/$count eq 0":            "x",
		"identifierUris/$count eq 0":         map[string]any{},
		"not (displayName eq 'x')":           true,
		"version eq 7 or displayName eq 'x'": false,
		"displayName in ('x','y')":           true,
		"identifierUris/all(x:x eq 'y')":     "x",
		"platforms has 'x'":                  int64(1),
	} {
		ok, err := Match(&applications, must(ParseFilter(text)), func(p Path) any {
			if p[0] == "version" && strings.Contains(text, " or ") {
				return int64(0)
			}
			return value
		})
		if ok || err == nil {
			t.Errorf("%s of %v: got %v, %v, want an error", text, value, ok, err)
		}
	}
}

func TestFold(t *testing.T) {
	for _, pair := range [][2]string{{"AbZ-1", "aBz-1"}, {"ÉCOLE", "école"}, {"ΣΑΣ", "σας"}, {"\u212a", "k"}, {"ſ", "S"}, {"Дом", "дОМ"}, {"", ""}} {
		if Fold(pair[0]) != Fold(pair[1]) {
			t.Errorf("%q and %q do not fold together", pair[0], pair[1])
		}
	}
	if Fold("İ") == Fold("i") || Fold("ß") == Fold("ss") || Fold("é") == Fold("e") {
		t.Error("different letters fold together")
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if (Fold(a) == Fold(b)) != strings.EqualFold(a, b) {
			t.Fatalf("%q and %q", a, b)
		}
		if Fold(Fold(a)) != Fold(a) {
			t.Fatalf("%q folds twice", a)
		}
	})
}

// Null comes first, and last when descending; equal keys keep their order.
func TestCompareBy(t *testing.T) {
	entity := func(name any, version any) Get {
		return FromMap(map[string]any{"displayName": name, "version": version, "createdDateTime": time.Unix(0, 0), "isDisabled": true})
	}
	list := []Get{entity("b", int64(1)), entity("A", int64(2)), entity(nil, int64(3)), entity("B", int64(4)), entity("a", nil)}
	sorted := func(orderBy string) (names []any) {
		by := query("$orderby=" + orderBy).OrderBy
		all := slices.Clone(list)
		slices.SortStableFunc(all, func(a, b Get) int { return must(CompareBy(&applications, by, a, b)) })
		for _, e := range all {
			names = append(names, e(Path{"displayName"}))
		}
		return names
	}
	for orderBy, want := range map[string][]any{
		"displayName":                        {nil, "A", "a", "b", "B"},
		"displayName desc":                   {"b", "B", "A", "a", nil},
		"displayName,version":                {nil, "a", "A", "b", "B"},
		"displayName desc,version desc":      {"B", "b", "A", "a", nil},
		"createdDateTime,isDisabled,version": {"a", "b", "A", nil, "B"},
	} {
		if got := sorted(orderBy); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", orderBy, got, want)
		}
	}
	if _, err := CompareBy(&applications, []Order{{Property: Path{"nope"}}}, list[0], list[1]); err == nil {
		t.Error("an unknown key compared")
	}
	if _, err := CompareBy(&applications, []Order{{Property: Path{"displayName"}}}, list[0], entity(int64(1), nil)); err == nil {
		t.Error("text and a number compared")
	}
}

// record is an entity for the naive model, which reads it without any path.
type record struct {
	name, subject *string
	version       *int64
	disabled      bool
	created       time.Time
	uris          []string
	roles         []role
}

type role struct{ id, value *string }

func (r record) get() Get {
	m := map[string]any{"isDisabled": r.disabled, "createdDateTime": r.created, "identifierUris": r.uris}
	put := func(m map[string]any, name string, v *string) {
		if v != nil {
			m[name] = *v
		}
	}
	put(m, "displayName", r.name)
	put(m, "subject", r.subject)
	if r.version != nil {
		m["version"] = *r.version
	}
	var roles []map[string]any
	for _, x := range r.roles {
		inner := map[string]any{}
		put(inner, "id", x.id)
		put(inner, "value", x.value)
		roles = append(roles, inner)
	}
	m["appRoles"] = roles
	return FromMap(m)
}

// condition is a condition twice: as text, and as what it means.
type condition struct {
	text string
	of   func(record) bool
}

// A1: what is evaluated is what the text says, by a model that knows no tree.
func TestMatchEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, c := anyRecord(t), anyCondition(t, 3)
		e, err := ParseFilter(c.text)
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		got, err := Match(&applications, e, r.get())
		if want := c.of(r); err != nil || got != want {
			t.Fatalf("%s of %+v: got %v, %v, want %v", c.text, r, got, err, want)
		}
		for _, conjunct := range Conjuncts(e) {
			if ok, _ := Match(&applications, conjunct, r.get()); got && !ok {
				t.Fatalf("%s matches but its conjunct %s does not", c.text, conjunct)
			}
		}
	})
}

func anyText(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "a", "A", "ab", "Ab", "b", "it's", "É", "é"}).Draw(t, "text")
}

func anyRecord(t *rapid.T) record {
	optional := func() *string {
		if rapid.Bool().Draw(t, "null") {
			return nil
		}
		s := anyText(t)
		return &s
	}
	r := record{name: optional(), subject: optional(), disabled: rapid.Bool().Draw(t, "disabled"),
		created: time.Unix(rapid.Int64Range(0, 3).Draw(t, "created"), 0)}
	if rapid.Bool().Draw(t, "versioned") {
		v := rapid.Int64Range(-2, 2).Draw(t, "version")
		r.version = &v
	}
	for range rapid.IntRange(0, 3).Draw(t, "uris") {
		r.uris = append(r.uris, anyText(t))
	}
	for range rapid.IntRange(0, 2).Draw(t, "roles") {
		r.roles = append(r.roles, role{value: optional()})
	}
	return r
}

func anyCondition(t *rapid.T, depth int) condition {
	if depth > 0 {
		sub := func() condition { return anyCondition(t, depth-1) }
		switch rapid.IntRange(0, 3).Draw(t, "node") {
		case 0:
			a, b := sub(), sub()
			return condition{"(" + a.text + ") and (" + b.text + ")", func(r record) bool { return a.of(r) && b.of(r) }}
		case 1:
			a, b := sub(), sub()
			return condition{"(" + a.text + ") or (" + b.text + ")", func(r record) bool { return a.of(r) || b.of(r) }}
		case 2:
			a := sub()
			return condition{"not (" + a.text + ")", func(r record) bool { return !a.of(r) }}
		}
	}
	text := anyText(t)
	literal := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	n := rapid.Int64Range(-2, 2).Draw(t, "n")
	number := num(n).Text()
	// folded is case folding enough for the texts above.
	folded := strings.ToLower(text)
	name := func(r record, is func(string) bool) bool { return r.name != nil && is(strings.ToLower(*r.name)) }
	all := []condition{
		{"displayName eq " + literal, func(r record) bool { return name(r, func(s string) bool { return s == folded }) }},
		{"displayName ne " + literal, func(r record) bool { return !name(r, func(s string) bool { return s == folded }) }},
		{"displayName ge " + literal, func(r record) bool { return name(r, func(s string) bool { return s >= folded }) }},
		{"startswith(displayName," + literal + ")", func(r record) bool { return name(r, func(s string) bool { return strings.HasPrefix(s, folded) }) }},
		{"displayName in (null," + literal + ")", func(r record) bool { return r.name == nil || strings.ToLower(*r.name) == folded }},
		{"displayName eq null", func(r record) bool { return r.name == nil }},
		{"subject eq " + literal, func(r record) bool { return r.subject != nil && *r.subject == text }},
		{"subject lt " + literal, func(r record) bool { return r.subject != nil && *r.subject < text }},
		{"contains(subject," + literal + ")", func(r record) bool { return r.subject != nil && strings.Contains(*r.subject, text) }},
		{"version gt " + number, func(r record) bool { return r.version != nil && *r.version > n }},
		{"version le " + number, func(r record) bool { return r.version != nil && *r.version <= n }},
		{"isDisabled eq true", func(r record) bool { return r.disabled }},
		{"createdDateTime lt 1970-01-01T00:00:02Z", func(r record) bool { return r.created.Unix() < 2 }},
		{"identifierUris/$count gt " + number, func(r record) bool { return int64(len(r.uris)) > n }},
		{"identifierUris/any(x:endswith(x," + literal + "))", func(r record) bool {
			return slices.ContainsFunc(r.uris, func(s string) bool { return strings.HasSuffix(strings.ToLower(s), folded) })
		}},
		{"identifierUris/all(x:x ne " + literal + ")", func(r record) bool {
			return !slices.ContainsFunc(r.uris, func(s string) bool { return strings.ToLower(s) == folded })
		}},
		{"appRoles/any(x:x/value eq " + literal + ")", func(r record) bool {
			return slices.ContainsFunc(r.roles, func(x role) bool { return x.value != nil && strings.ToLower(*x.value) == folded })
		}},
	}
	return rapid.SampledFrom(all).Draw(t, "leaf")
}
