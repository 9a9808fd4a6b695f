package odata

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/avouch/avouch/internal/problem"
)

// ParseFilter reads one condition of $filter (OData 4.01 part 2, section 5.1.1),
// already percent-decoded:
//
//	property eq|ne|gt|ge|lt|le|has literal      property in (literal,…)
//	startswith|endswith|contains(property,literal)
//	collection/any(x:condition)   collection/any()   collection/all(x:condition)
//	collection/$count eq|ne|gt|ge|lt|le number
//	not condition   condition and condition   condition or condition   (condition)
//
// Words are read in any case; names of properties are not. "not" takes a
// condition in parentheses, a function or a lambda; "and" binds closer than "or".
// Inside a lambda every property begins with a variable, and a lambda inside it
// with its own.
//
// It returns a [*problem.Error] of kind Invalid with target $filter for anything
// else, and for what is longer than [MaxFilter], deeper than [MaxDepth] or larger
// than [MaxNodes], [MaxString] or [MaxName] allow.
func ParseFilter(text string) (Expr, error) {
	if len(text) > MaxFilter {
		return nil, invalid("$filter", "The filter is longer than %d bytes: ask for less at once.", MaxFilter)
	}
	if err := wellFormed("$filter", text); err != nil {
		return nil, err
	}
	p := &filterParser{text: text}
	e, err := p.or(0)
	if err != nil {
		return nil, err
	}
	p.blanks()
	if p.at < len(p.text) {
		return nil, p.refuse(p.at, "'%s' is left over: join conditions by and or or, double a quote inside text, and write & as %%26", clip(p.text[p.at:]))
	}
	return e, nil
}

// filterParser descends recursively; at is the byte it looks at next.
type filterParser struct {
	text  string
	at    int
	nodes int
	vars  []string // variables of the lambdas around, outermost first
}

func (p *filterParser) refuse(at int, format string, args ...any) *problem.Error {
	at = utf8.RuneCountInString(p.text[:at]) + 1
	return invalid("$filter", "Invalid filter clause at character %d: "+format+".", append([]any{at}, args...)...)
}

// grow counts what the tree will have, before it has it.
func (p *filterParser) grow() error {
	if p.nodes++; p.nodes > MaxNodes {
		return p.refuse(p.at, "more than %d conditions and values; split the query", MaxNodes)
	}
	return nil
}

func (p *filterParser) blanks() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
}

// next says whether the next byte that is no blank is c, and consumes it if so.
func (p *filterParser) next(c byte) bool {
	p.blanks()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *filterParser) expect(c byte, why string) error {
	if !p.next(c) {
		return p.refuse(p.at, "%c is missing %s", c, why)
	}
	return nil
}

// word is the name at the cursor, not consumed; empty when there is none.
func (p *filterParser) word() string {
	p.blanks()
	end := p.at
	for end < len(p.text) && isNameByte(p.text[end]) {
		end++
	}
	return p.text[p.at:end]
}

func (p *filterParser) keyword(k string) bool {
	if w := p.word(); strings.EqualFold(w, k) {
		p.at += len(w)
		return true
	}
	return false
}

func (p *filterParser) or(depth int) (Expr, error) {
	terms, err := p.chain("or", depth, p.and)
	if err != nil || len(terms) == 1 {
		return first(terms), err
	}
	return Or{terms}, p.grow()
}

func (p *filterParser) and(depth int) (Expr, error) {
	terms, err := p.chain("and", depth, p.term)
	if err != nil || len(terms) == 1 {
		return first(terms), err
	}
	return And{terms}, p.grow()
}

func (p *filterParser) chain(word string, depth int, parse func(int) (Expr, error)) ([]Expr, error) {
	var terms []Expr
	for {
		e, err := parse(depth)
		if err != nil {
			return nil, err
		}
		terms = append(terms, e)
		if !p.keyword(word) {
			return terms, nil
		}
	}
}

func first(terms []Expr) Expr {
	if len(terms) == 0 {
		return nil
	}
	return terms[0]
}

func (p *filterParser) term(depth int) (Expr, error) {
	if depth > MaxDepth {
		return nil, p.refuse(p.at, "nested deeper than %d; simplify the condition", MaxDepth)
	}
	if p.next('(') {
		e, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		return e, p.expect(')', "after the condition in parentheses")
	}
	if p.keyword("not") {
		if err := p.grow(); err != nil {
			return nil, err
		}
		p.blanks()
		start := p.at
		e, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		switch e.(type) {
		case Compare, In, CountCompare:
			if p.text[start] != '(' {
				return nil, p.refuse(start, "not binds closer than the comparison after it; write not (%s)", clip(e.String()))
			}
		}
		return Not{e}, nil
	}
	return p.predicate(depth)
}

// predicate is a condition without and, or, not: it begins with a function or a
// property.
func (p *filterParser) predicate(depth int) (Expr, error) {
	if err := p.grow(); err != nil {
		return nil, err
	}
	word := p.word()
	start := p.at
	switch {
	case start == len(p.text):
		return nil, p.refuse(start, "a condition is missing; write one like displayName eq 'x'")
	case word == "":
		return nil, p.refuse(start, "'%s' does not begin a condition; put the property left of the operator, like displayName eq 'x'", clip(p.text[start:]))
	}
	p.at += len(word)
	if p.next('(') {
		return p.call(start, word)
	}
	p.at = start
	path, last, err := p.path()
	if err != nil {
		return nil, err
	}
	switch last {
	case "any", "all":
		return p.lambda(path, last, depth)
	case "$count":
		return p.count(path)
	}
	return p.comparison(path)
}

func (p *filterParser) call(start int, word string) (Expr, error) {
	name := opNamed(word)
	if name&functions == 0 {
		if word == "any" || word == "all" {
			return nil, p.refuse(start, "%s needs a collection before it; write collection/%s(x:x eq 'y')", word, word)
		}
		return nil, p.refuse(start, "An unknown function with name '%s' was found; use startswith, endswith or contains", clip(word))
	}
	path, last, err := p.path()
	if err != nil {
		return nil, err
	}
	if last != "" {
		return nil, p.refuse(p.at, "%s takes a property and a text, not %s", name, last)
	}
	if err := p.expect(',', "between property and text"); err != nil {
		return nil, err
	}
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	if err := p.expect(')', "after the text"); err != nil {
		return nil, err
	}
	if opNamed(p.word())&comparisons != 0 {
		return nil, p.refuse(p.at, "%s is a condition already; leave out the comparison, or negate by not", name)
	}
	return Call{name, path, value}, nil
}

// path reads a property path. When it ends in /any( or /all( or /$count, last says
// so, and they are consumed with the parenthesis.
func (p *filterParser) path() (path Path, last string, err error) {
	for {
		word := p.word()
		if !isName(word) {
			return nil, "", p.refuse(p.at, "the name of a property is missing, or longer than %d; begin it with a letter", MaxName)
		}
		start := p.at
		p.at += len(word)
		if lambda := strings.ToLower(word); len(path) > 0 && (lambda == "any" || lambda == "all") && p.next('(') {
			// Otherwise lambdas over one collection multiply: n elements to the
			// power of the depth.
			if n := len(p.vars); n > 0 && slices.Contains(p.vars[:n-1], path[0]) {
				return nil, "", p.refuse(start, "a lambda inside a lambda must look into %s", clip(p.vars[n-1]))
			}
			return path, lambda, p.scope(path, start)
		}
		path = append(path, word)
		if p.at < len(p.text) && p.text[p.at] == '.' {
			return nil, "", p.refuse(start, "names with dots (type casts) are not supported; write the property alone")
		}
		if p.at == len(p.text) || p.text[p.at] != '/' {
			return path, "", p.scope(path, start)
		}
		p.at++
		if strings.HasPrefix(p.text[p.at:], "$count") {
			p.at += len("$count")
			if p.at < len(p.text) && p.text[p.at] != ' ' {
				return nil, "", p.refuse(p.at, "a blank is missing after $count")
			}
			return path, "$count", p.scope(path, start)
		}
		if p.at < len(p.text) && p.text[p.at] == ' ' {
			return nil, "", p.refuse(p.at, "a blank stands inside a path; leave it out")
		}
	}
}

// scope refuses paths that say nothing about the element of the lambda they are
// in: the service has no such conditions.
func (p *filterParser) scope(path Path, at int) error {
	if len(p.vars) > 0 && !slices.Contains(p.vars, path[0]) {
		inner := p.vars[len(p.vars)-1]
		return p.refuse(at, "'%s' is no variable of this lambda; begin the path with %s", clip(path.String()), clip(inner))
	}
	return nil
}

func (p *filterParser) lambda(path Path, name string, depth int) (Expr, error) {
	if p.next(')') {
		if name == "all" {
			return nil, p.refuse(p.at, "all needs a condition; write all(x:x eq 'y')")
		}
		return Any{Path: path}, nil
	}
	variable := p.word()
	if !isName(variable) || strings.EqualFold(variable, "not") {
		return nil, p.refuse(p.at, "%s needs a variable and a condition; write %s(x:x eq 'y')", name, name)
	}
	if slices.Contains(p.vars, variable) {
		return nil, p.refuse(p.at, "'%s' is the variable of a lambda around this one already; choose another", clip(variable))
	}
	p.at += len(variable)
	if err := p.expect(':', "after the variable"); err != nil {
		return nil, err
	}
	p.vars = append(p.vars, variable)
	cond, err := p.or(depth + 1)
	if err != nil {
		return nil, err
	}
	p.vars = p.vars[:len(p.vars)-1]
	if err := p.expect(')', "after the condition of "+name); err != nil {
		return nil, err
	}
	if name == "all" {
		return All{path, variable, cond}, nil
	}
	return Any{path, variable, cond}, nil
}

func (p *filterParser) count(path Path) (Expr, error) {
	word := p.word()
	op := opNamed(word)
	if op&comparisons == 0 {
		return nil, p.refuse(p.at, "$count must be compared with a number; write %s/$count eq 0", clip(path.String()))
	}
	p.at += len(word)
	p.blanks()
	start := p.at
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	if value.Kind != LiteralInt {
		return nil, p.refuse(start, "$count must be compared with a number, without quotes")
	}
	return CountCompare{op, path, value.Int}, nil
}

func (p *filterParser) comparison(path Path) (Expr, error) {
	word := p.word()
	op := opNamed(word)
	if op&(comparisons|OpHas|OpIn) == 0 {
		if rest := p.text[p.at:]; word == "" && rest != "" && rest[0] != ')' {
			word = rest
		}
		if word == "" || strings.EqualFold(word, "and") || strings.EqualFold(word, "or") {
			return nil, p.refuse(p.at, "'%s' is not compared with anything; write %s eq 'x', or eq true", clip(path.String()), clip(path.String()))
		}
		return nil, p.refuse(p.at, "'%s' is not an operator; use eq, ne, gt, ge, lt, le, in or has", clip(word))
	}
	p.at += len(word)
	if op != OpIn {
		value, err := p.value()
		return Compare{op, path, value}, err
	}
	if err := p.expect('(', "after in"); err != nil {
		return nil, err
	}
	in := In{Path: path}
	for {
		if err := p.grow(); err != nil {
			return nil, err
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		in.Values = append(in.Values, value)
		if !p.next(',') {
			return in, p.expect(')', "after the values of in")
		}
	}
}

func (p *filterParser) value() (Value, error) {
	p.blanks()
	if p.at < len(p.text) && p.text[p.at] == '\'' {
		return p.quoted()
	}
	start := p.at
	for p.at < len(p.text) && (isNameByte(p.text[p.at]) || strings.IndexByte("-+:.", p.text[p.at]) >= 0) {
		p.at++
	}
	word := p.text[start:p.at]
	if word == "" {
		return Value{}, p.refuse(start, "a value is missing; text stands in single quotes")
	}
	if p.at < len(p.text) && p.text[p.at] == '\'' {
		return Value{}, p.refuse(start, "'%s' before a quote is not supported; write text in quotes, a GUID or a time without", clip(word))
	}
	v, ok := literal(word)
	if !ok {
		return Value{}, p.refuse(start, "'%s' is not a value; text stands in single quotes, numbers are whole, times are like 2026-01-01T00:00:00Z", clip(word))
	}
	return v, nil
}

// quoted reads text in single quotes; a doubled quote is one quote.
func (p *filterParser) quoted() (Value, error) {
	start := p.at
	p.at++
	var b strings.Builder
	for {
		end := strings.IndexByte(p.text[p.at:], '\'')
		if end < 0 {
			return Value{}, p.refuse(start, "there is an unterminated string literal; close the quote, double a quote inside the text, and write & as %%26 and # as %%23")
		}
		b.WriteString(p.text[p.at : p.at+end])
		p.at += end + 1
		if b.Len() > MaxString {
			return Value{}, p.refuse(start, "the text is longer than %d bytes", MaxString)
		}
		if p.at == len(p.text) || p.text[p.at] != '\'' {
			return Value{Kind: LiteralString, String: b.String()}, nil
		}
		b.WriteByte('\'')
		p.at++
	}
}

// literal reads what stands without quotes.
func literal(word string) (Value, bool) {
	switch {
	case word == "null":
		return Value{}, true
	case strings.EqualFold(word, "true"):
		return Value{Kind: LiteralBool, Bool: true}, true
	case strings.EqualFold(word, "false"):
		return Value{Kind: LiteralBool}, true
	case isGUID(word):
		return Value{Kind: LiteralGUID, String: strings.ToLower(word)}, true
	}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil {
		return Value{Kind: LiteralInt, Int: n}, true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		t, err := time.Parse(layout, word)
		if t = t.UTC(); err == nil && t.Year() >= 1 && t.Year() <= 9999 {
			return Value{Kind: LiteralTime, Time: t}, true
		}
	}
	return Value{}, false
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return false
			}
		}
	}
	return true
}
