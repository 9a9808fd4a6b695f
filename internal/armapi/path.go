package armapi

import (
	"net/url"
	"strings"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

// maxPath bounds a path; resource ids end well below it.
const maxPath = 4096

// requestPath is a path, read once (threats A7).
type requestPath struct {
	link   string // as links in answers name it: one slash between segments, the caller's case
	routed string // as the table knows it: a scope that extends over several segments is one
}

// readPath gives the one reading of a path. Doubled slashes and one at the end
// are tolerated; whatever else two readers could take in different ways is
// refused.
func readPath(escaped string) (requestPath, *failure) {
	if len(escaped) > maxPath {
		return requestPath{}, badURI()
	}
	var segments []string
	for raw := range strings.SplitSeq(escaped, "/") {
		if raw == "" {
			continue
		}
		segment, no := readSegment(raw)
		if no != nil {
			return requestPath{}, no
		}
		segments = append(segments, segment)
	}
	path := requestPath{link: "/" + strings.Join(segments, "/")}
	path.routed = path.link[1:]
	if at := extension(segments); at >= 0 {
		scope := "/" + strings.Join(segments[:at], "/")
		path.routed = url.PathEscape(scope) + "/" + strings.Join(segments[at:], "/")
	}
	return path, nil
}

// readSegment decodes a segment once. What would not survive being written
// again without escapes is refused.
func readSegment(raw string) (string, *failure) {
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			hi, lo := nibble(raw, i+1), nibble(raw, i+2)
			if hi < 0 || lo < 0 {
				return "", badURI()
			}
			c = byte(hi<<4 | lo)
			if c == '/' || c == '%' || c == '\\' {
				return "", doubleEncoded()
			}
			i += 2
		}
		if c < ' ' || c >= 0x7f || c == '\\' || c == ';' || c == '?' || c == '#' {
			return "", badURI()
		}
		b.WriteByte(c)
	}
	if s := b.String(); s != "." && s != ".." {
		return s, nil
	}
	return "", badURI()
}

// nibble is the value of the hexadecimal digit at i, or -1.
func nibble(s string, i int) int {
	if i >= len(s) {
		return -1
	}
	const digits = "0123456789abcdefABCDEF"
	n := strings.IndexByte(digits, s[i])
	if n >= 16 {
		n -= 6
	}
	return n
}

// extension finds where the part of a path begins that names a role assignment,
// a role definition or a host's own identity; what stands before it is a scope.
// It is -1 when there is none.
func extension(segments []string) int {
	is := func(at int, names ...string) bool {
		if at < 0 || at+len(names) > len(segments) {
			return false
		}
		for i, name := range names {
			if !strings.EqualFold(segments[at+i], name) {
				return false
			}
		}
		return true
	}
	n := len(segments)
	for _, kind := range []string{"roleAssignments", "roleDefinitions"} {
		for _, at := range []int{n - 3, n - 4} { // a list, and one with a name
			if is(at, "providers", "Microsoft.Authorization", kind) {
				return at
			}
		}
	}
	if is(n-4, "providers", "Microsoft.ManagedIdentity", "identities", "default") {
		return n - 4
	}
	return -1
}

// resourceID is a resource id, or a scope, in its parts.
type resourceID struct {
	subscription directory.ObjectID // zero for the root
	group        string
	provider     string
	types        []string // virtualMachines
	names        []string // one for each type
}

// parseResourceID reads a resource id whose segments are plain: the root, a
// subscription, a resource group, or a resource in one of these.
func parseResourceID(s string) (resourceID, bool) {
	var id resourceID
	if len(s) > maxPath || !strings.HasPrefix(s, "/") {
		return id, false
	}
	if s == "/" {
		return id, true
	}
	segments := strings.Split(strings.TrimSuffix(s[1:], "/"), "/")
	for _, segment := range segments {
		plain, no := readSegment(segment)
		if no != nil || plain != segment || segment == "" || strings.TrimSpace(segment) != segment {
			return id, false
		}
	}
	take := func(word string) (string, bool) {
		if len(segments) < 2 || !strings.EqualFold(segments[0], word) {
			return "", false
		}
		value := segments[1]
		segments = segments[2:]
		return value, true
	}
	subscription, ok := take("subscriptions")
	if !ok {
		return id, false
	}
	var err error
	if id.subscription, err = directory.ParseObjectID(subscription); err != nil {
		return id, false
	}
	id.group, _ = take("resourceGroups")
	if len(segments) == 0 {
		return id, true
	}
	if id.provider, ok = take("providers"); !ok || len(segments) == 0 || len(segments)%2 != 0 {
		return id, false
	}
	for i := 0; i < len(segments); i += 2 {
		if strings.EqualFold(segments[i], "providers") {
			return id, false // an extension of an extension: nothing here has one
		}
		id.types, id.names = append(id.types, segments[i]), append(id.names, segments[i+1])
	}
	return id, true
}

// String is the id in the one spelling that it is stored and compared in, but
// for case.
func (id resourceID) String() string {
	if id.subscription.IsZero() {
		return "/"
	}
	var b strings.Builder
	b.WriteString(manage.SubscriptionScope(id.subscription))
	if id.group != "" {
		b.WriteString("/resourceGroups/" + id.group)
	}
	if id.provider != "" {
		b.WriteString("/providers/" + id.provider)
		for i := range id.types {
			b.WriteString("/" + id.types[i] + "/" + id.names[i])
		}
	}
	return b.String()
}

// is reports whether the id names a resource of the type, in a resource group.
func (id resourceID) is(kind string) bool {
	return id.group != "" && strings.EqualFold(id.provider+"/"+strings.Join(id.types, "/"), kind)
}

// name is the resource's own.
func (id resourceID) name() string { return id.names[len(id.names)-1] }

func (id resourceID) scope() manage.AzureScope {
	return manage.AzureScope{Text: id.String(), Subscription: id.subscription, Group: id.group}
}
