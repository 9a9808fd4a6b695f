package graphapi

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/avouch/avouch/internal/directory"
)

// maxPath is the longest path that is read, in bytes as received.
const maxPath = 4096

// casts are the types that a path may narrow a collection to. Other names
// behind microsoft.graph. are actions, which may be called by their short names.
var casts = map[string]bool{
	"application": true, "serviceprincipal": true, "user": true, "group": true, "directoryrole": true, "directoryobject": true,
	"administrativeunit": true, "device": true, "orgcontact": true,
}

// readPath gives a path its one reading, for matching: segments are decoded and
// written in one form, empty ones fall away, and a key in parentheses becomes a
// segment of its own that keeps its parentheses, so that
// applications(appId='x')/owners is applications/(appId='x')/owners. Segments
// are escaped again, so that a slash inside a key stays inside.
func readPath(escaped string) (string, bool) {
	if len(escaped) > maxPath || !strings.HasPrefix(escaped, "/") {
		return "", false
	}
	var segments []string
	for raw := range strings.SplitSeq(escaped, "/") {
		if raw == "" {
			continue
		}
		segment, err := url.PathUnescape(raw)
		if err != nil || !utf8.ValidString(segment) || segment == "." || segment == ".." ||
			strings.ContainsFunc(segment, func(r rune) bool { return unicode.IsControl(r) || r == '\\' }) {
			return "", false
		}
		name, inside, keyed := strings.Cut(segment, "(")
		if strings.Contains(name, "/") || name == "" {
			return "", false
		}
		if short, ok := cutPrefixFold(name, "microsoft.graph."); ok && !casts[strings.ToLower(short)] {
			name = short
		}
		segments = append(segments, url.PathEscape(name))
		if !keyed {
			continue
		}
		key, ok := readKey(inside)
		if !ok {
			return "", false
		}
		segments = append(segments, url.PathEscape(key))
	}
	return strings.Join(segments, "/"), true
}

// readKey reads what follows the opening parenthesis of a key: 'value'),
// name='value') or either without quotes. It gives (name='value') or, for the
// object's own key, the value alone.
func readKey(inside string) (string, bool) {
	inside, ok := strings.CutSuffix(inside, ")")
	if !ok || inside == "" {
		return "", false
	}
	name, value := "", inside
	if before, after, named := strings.Cut(inside, "="); named && !strings.Contains(before, "'") {
		name, value = strings.TrimSpace(before), strings.TrimSpace(after)
		if !word(name) {
			return "", false
		}
	}
	if strings.HasPrefix(value, "'") {
		if len(value) < 2 || !strings.HasSuffix(value, "'") {
			return "", false
		}
		value = value[1 : len(value)-1]
		if strings.Contains(strings.ReplaceAll(value, "''", ""), "'") {
			return "", false
		}
		value = strings.ReplaceAll(value, "''", "'")
	} else if strings.ContainsAny(value, "'(),= /") {
		return "", false
	}
	switch {
	case value == "" || value == "." || value == "..":
		return "", false
	case name != "":
		return "(" + name + "='" + value + "')", true
	case strings.HasPrefix(value, "(") || strings.HasPrefix(value, "$"):
		return "", false
	}
	return value, true
}

func word(s string) bool {
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return s != ""
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// keyOf splits a parameter into the name of an alternate key, in lower case, and
// its value; the name is "" for the object's own key.
func keyOf(param string) (name, value string) {
	inside, ok := strings.CutPrefix(param, "(")
	if !ok {
		return "", param
	}
	name, value, _ = strings.Cut(strings.TrimSuffix(inside, "')"), "='")
	return strings.ToLower(name), value
}

// objectID is the parameter as an object id. What is no id names nothing, as in
// the real service.
func (c *call) objectID(i int) (directory.ObjectID, error) {
	name, value := keyOf(c.params[i])
	c.named = value
	id, err := directory.ParseObjectID(value)
	if err != nil || name != "" && name != "id" {
		return directory.ObjectID{}, notFound(value)
	}
	return id, nil
}
