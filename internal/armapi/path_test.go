package armapi

import (
	"net/url"
	"strings"
	"testing"
)

func TestParseResourceID(t *testing.T) {
	const s = "/subscriptions/eeeeeeee-0000-4000-8000-000000000001"
	for _, row := range []struct{ id, want string }{
		{"/", "/"},
		{strings.ToUpper(s), s},
		{s + "/RESOURCEgroups/Web", s + "/resourceGroups/Web"},
		{s + "/resourceGroups/web/", s + "/resourceGroups/web"},
		{s + "/resourcegroups/web/Providers/A.B/c/d/e/f", s + "/resourceGroups/web/providers/A.B/c/d/e/f"},
		{s + "/providers/A.B/c/d", s + "/providers/A.B/c/d"},
		{"", ""}, {"subscriptions", ""}, {"/subscriptions", ""}, {"/subscriptions/x", ""}, {s + "//resourceGroups/web", ""},
		{s + "/resourceGroups", ""}, {s + "/resourceGroups/..", ""}, {s + "/resourceGroups/a%2Fb", ""}, {s + "/resourceGroups/web/providers/A.B", ""},
		{s + "/resourceGroups/web/providers/A.B/c", ""}, {s + "/other/web", ""}, {s + "/resourceGroups/web/providers/A.B/c/d/providers/A.B", ""},
		{s + "/resourceGroups/web?x=1", ""}, {s + "/resourceGroups/ä", ""}, {s + "/resourceGroups/ web", ""},
		{"/providers/Microsoft.Management/managementGroups/root", ""},
	} {
		got := ""
		if id, ok := parseResourceID(row.id); ok {
			got = id.String()
		}
		if got != row.want {
			t.Errorf("%q: %q, want %q", row.id, got, row.want)
		}
	}
}

func TestParseFilter(t *testing.T) {
	for _, row := range []struct {
		filter string
		terms  int
		ok     bool
	}{
		{"", 0, true}, {"atScope()", 1, true}, {"atScope() and assignedTo('x')", 2, true}, {"roleName eq 'a ''b'' and c'", 1, true},
		{"principalId eq x", 0, false}, {"atScope() and", 0, false}, {"atScope() or atScope()", 0, false}, {"a eq 'b", 0, false}, {"a ne 'b'", 0, false}, {"()", 0, false},
	} {
		terms, ok := parseFilter(row.filter)
		if ok != row.ok || len(terms) != row.terms {
			t.Errorf("%q: %v, %v", row.filter, terms, ok)
		}
	}
}

// FuzzResourceID: a path has one reading, whose links read the same again, and a
// resource id is a fixed point of its own spelling.
func FuzzResourceID(f *testing.F) {
	const s = "/subscriptions/eeeeeeee-0000-4000-8000-000000000001"
	for _, seed := range []string{
		"/", "//", s, s + "/resourcegroups/web", s + "//resourceGroups//web/providers/Microsoft.Authorization/roleAssignments/x", "/providers/Microsoft.Authorization/roleDefinitions",
		s + "/a%2Fb", s + "/%2e%2e/x", s + "/a%2Db", s + "/x;y", s + "/providers/A.B/c/d/providers/Microsoft.ManagedIdentity/identities/default", "/%", "/%zz", "/ä",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if id, ok := parseResourceID(raw); ok {
			again, ok := parseResourceID(id.String())
			if !ok || again.String() != id.String() {
				t.Errorf("%q is written %q and read %q, %v", raw, id.String(), again.String(), ok)
			}
			if !id.subscription.IsZero() && !strings.EqualFold(strings.TrimSuffix(raw, "/"), id.String()) {
				t.Errorf("%q is written %q", raw, id.String())
			}
		}
		path, no := readPath(raw)
		if no != nil {
			return
		}
		for segment := range strings.SplitSeq(path.link[1:], "/") {
			if segment == "." || segment == ".." || strings.ContainsAny(segment, "%\\;?#") {
				t.Errorf("%q is read as %q", raw, path.link)
			}
		}
		again, no := readPath(path.link)
		if no != nil || again != path {
			t.Errorf("%q is read as %+v, and that as %+v, %v", raw, path, again, no)
		}
		if scope, rest, found := strings.Cut(path.routed, "/"); found && strings.Contains(scope, "%") {
			plain, err := url.PathUnescape(scope)
			if err != nil || strings.TrimSuffix(plain, "/")+"/"+rest != path.link {
				t.Errorf("%q is routed as %q", raw, path.routed)
			}
		}
	})
}
