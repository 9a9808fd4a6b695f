package assertion

import (
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits bounds one JSON text. The zero Limits accepts nothing.
type Limits struct {
	Depth   int // objects and arrays inside one another, the outermost included
	Members int // object members in the whole text, at all depths together
	String  int // bytes of one string or name, as written
}

var (
	headerLimits = Limits{Depth: 4, Members: 64, String: MaxHeader}
	// Real tokens nest up to four deep (Keycloak resource_access, Kubernetes
	// kubernetes.io) and have some thirty members. The room above that is small,
	// because finding repeated names is the costliest thing a stranger can ask for.
	claimLimits = Limits{Depth: 8, Members: 256, String: MaxToken}
)

// Member is one name and value of a JSON object. Name is unescaped; Value is the
// value as written.
type Member struct {
	Name  string
	Value json.RawMessage
}

// ParseObject reads data as exactly one JSON object and returns its members in the
// order written. It is stricter than encoding/json, so that no two readers can
// differ about the meaning: UTF-8 must be valid, names are unique after unescaping
// at every depth and are never matched by case, a lone surrogate escape is an error,
// and nothing but white space may follow. Nested values are checked as strictly.
//
// Values are copies. An empty object gives no members and no error. The error is an
// [*Error] with fault Malformed; it names a byte offset and none of the text.
func ParseObject(data []byte, max Limits) ([]Member, error) {
	text := string(data)
	members, err := parseObject(text, max)
	if err != nil {
		return nil, refuse(Malformed, err.Error())
	}
	return export(text, members), nil
}

// member is one member of an object inside a text: immutable, unlike Member.
type member struct {
	name  string
	raw   string
	start int // of raw in the text
}

// text is the value if it is a JSON string.
func (m member) text() (string, bool) { return unquote(m.raw) }

func export(text string, members []member) []Member {
	if len(members) == 0 {
		return nil
	}
	buf := []byte(text)
	out := make([]Member, len(members))
	for i, m := range members {
		end := m.start + len(m.raw)
		out[i] = Member{Name: m.name, Value: buf[m.start:end:end]}
	}
	return out
}

func parseObject(text string, max Limits) ([]member, error) {
	s := scanner{text: text, left: max.Members, longest: max.String}
	members := make([]member, 0, min(len(text)/32+4, 32))
	s.space()
	if s.peek() != '{' {
		return nil, s.fail("not a JSON object")
	}
	if err := s.object(max.Depth, &members); err != nil {
		return nil, err
	}
	return members, s.end()
}

// parseArray returns the elements, as written, of a JSON array.
func parseArray(text string, max Limits) ([]string, error) {
	s := scanner{text: text, left: max.Members, longest: max.String}
	var elements []string
	s.space()
	if s.peek() != '[' {
		return nil, s.fail("not a JSON array")
	}
	if err := s.array(max.Depth, &elements); err != nil {
		return nil, err
	}
	return elements, s.end()
}

// scanner walks one JSON text (RFC 8259). Each method reads what it is named after
// and leaves pos behind it.
type scanner struct {
	text    string
	pos     int
	left    int // members still allowed
	longest int // bytes allowed in a string
}

type syntaxError struct {
	pos  int
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("byte %d: %s", e.pos, e.what) }

func (s *scanner) fail(what string) error { return &syntaxError{s.pos, what} }

// peek is the next byte, or 0, which begins nothing in JSON, at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	// Most tokens have none: one comparison then.
	for s.pos < len(s.text) && s.text[s.pos] <= ' ' {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) end() error {
	s.space()
	if s.pos != len(s.text) {
		return s.fail("more text after the value")
	}
	return nil
}

func (s *scanner) value(depth int) error {
	switch c := s.peek(); {
	case c == '"':
		_, _, err := s.string()
		return err
	case c == '{':
		return s.object(depth, nil)
	case c == '[':
		return s.array(depth, nil)
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.fail("not a JSON value")
}

func (s *scanner) literal(word string) error {
	end := s.pos + len(word)
	if end > len(s.text) || s.text[s.pos:end] != word {
		return s.fail("not a JSON value")
	}
	s.pos = end
	return nil
}

// open enters an object or array.
func (s *scanner) open(depth int) error {
	if depth <= 0 {
		return s.fail("nested too deeply")
	}
	s.pos++
	s.space()
	return nil
}

// more steps behind the comma after a member or element; at closing it steps behind
// that and returns false.
func (s *scanner) more(closing byte) (bool, error) {
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		return true, nil
	case closing:
		s.pos++
		return false, nil
	}
	return false, s.fail("expected a comma or the end")
}

// object reads an object whose opening brace is next, and appends its members to
// keep unless that is nil. depth is how many levels may still be opened.
func (s *scanner) object(depth int, keep *[]member) error {
	if err := s.open(depth); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	var names nameSet
	for more := true; more; {
		if s.left <= 0 {
			return s.fail("too many members")
		}
		s.left--
		if s.peek() != '"' {
			return s.fail("expected a name")
		}
		name, escaped, err := s.string()
		if err != nil {
			return err
		}
		if escaped {
			name = unescape(name)
		}
		if !names.add(name) {
			return s.fail("the same name twice")
		}
		s.space()
		if s.peek() != ':' {
			return s.fail("expected a colon")
		}
		s.pos++
		s.space()
		start := s.pos
		if err := s.value(depth - 1); err != nil {
			return err
		}
		if keep != nil {
			*keep = append(*keep, member{name, s.text[start:s.pos], start})
		}
		if more, err = s.more('}'); err != nil {
			return err
		}
	}
	return nil
}

// array is object for arrays.
func (s *scanner) array(depth int, keep *[]string) error {
	if err := s.open(depth); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for more := true; more; {
		start := s.pos
		err := s.value(depth - 1)
		if err != nil {
			return err
		}
		if keep != nil {
			*keep = append(*keep, s.text[start:s.pos])
		}
		if more, err = s.more(']'); err != nil {
			return err
		}
	}
	return nil
}

// string reads a string and returns what stands between its quotes, and whether
// that contains escapes.
func (s *scanner) string() (inner string, escaped bool, err error) {
	start := s.pos + 1
	ascii := true
	for i := start; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			inner = s.text[start:i]
			if !ascii && !utf8.ValidString(inner) {
				return "", false, s.fail("not UTF-8")
			}
			if len(inner) > s.longest {
				return "", false, s.fail("string too long")
			}
			s.pos = i + 1
			return inner, escaped, nil
		case c == '\\':
			n := escapeLen(s.text[i:])
			if n == 0 {
				return "", false, s.fail("bad escape in a string")
			}
			escaped = true
			i += n - 1
		case c < 0x20:
			return "", false, s.fail("control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", false, s.fail("string without end")
}

// escapeLen is the length of the escape that text begins with, a surrogate pair
// counting as one; 0 if it is not allowed.
func escapeLen(text string) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		r, ok := hex4(text)
		if !ok {
			return 0
		}
		if !utf16.IsSurrogate(r) {
			return 6
		}
		low, ok := hex4(text[6:])
		if !ok || utf16.DecodeRune(r, low) == utf8.RuneError {
			return 0
		}
		return 12
	}
	return 0
}

// hex4 is the code unit of the \uXXXX that text begins with.
func hex4(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(text[2:6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape resolves the escapes of a string that scanner.string has accepted.
func unescape(inner string) string {
	out := make([]byte, 0, len(inner))
	for i := 0; i < len(inner); {
		if inner[i] != '\\' {
			out = append(out, inner[i])
			i++
			continue
		}
		n := escapeLen(inner[i:])
		switch c := inner[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := hex4(inner[i:])
			if n == 12 {
				low, _ := hex4(inner[i+6:])
				r = utf16.DecodeRune(r, low)
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
		i += n
	}
	return string(out)
}

// unquote is the string that raw, a value accepted by the scanner, stands for. It
// returns false if raw is another type of value.
func unquote(raw string) (string, bool) {
	if raw == "" || raw[0] != '"' {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	for i := range len(inner) {
		if inner[i] == '\\' {
			return unescape(inner), true
		}
	}
	return inner, true
}

// number reads a number by the grammar of RFC 8259 section 6.
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return s.fail("bad number")
	}
	c := s.peek()
	if c == '.' {
		s.pos++
		if !s.digits() {
			return s.fail("bad number")
		}
		c = s.peek()
	}
	if c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.fail("bad number")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.text) && s.text[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos > start
}

// nameSet finds repeated names. Objects are small, so it compares one by one; only
// one that grows large, which may be an attack on that, pays for a map.
type nameSet struct {
	few  [32]string
	n    int
	many map[string]struct{}
}

// add returns false if the name was there already.
func (ns *nameSet) add(name string) bool {
	if ns.many == nil {
		for _, old := range ns.few[:ns.n] {
			if old == name {
				return false
			}
		}
		if ns.n < len(ns.few) {
			ns.few[ns.n] = name
			ns.n++
			return true
		}
		ns.many = make(map[string]struct{}, 4*len(ns.few))
		for _, old := range ns.few {
			ns.many[old] = struct{}{}
		}
	}
	if _, twice := ns.many[name]; twice {
		return false
	}
	ns.many[name] = struct{}{}
	return true
}
