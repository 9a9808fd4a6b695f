package odata

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Search is a tree of $search: exactly one of a clause (Property and Text), All
// and Any.
type Search struct {
	Property string
	Text     string
	All      []Search // two or more, joined by AND
	Any      []Search // two or more, joined by OR
}

// String is canonical text that [ParseSearch] reads back as the same tree.
func (s Search) String() string {
	joined := func(terms []Search, word string) string {
		texts := make([]string, len(terms))
		for i, t := range terms {
			texts[i] = t.String()
			if len(t.Any) > 0 || len(t.All) > 0 && len(s.All) > 0 {
				texts[i] = "(" + texts[i] + ")"
			}
		}
		return strings.Join(texts, word)
	}
	switch {
	case len(s.All) > 0:
		return joined(s.All, " AND ")
	case len(s.Any) > 0:
		return joined(s.Any, " OR ")
	}
	return `"` + s.Property + ":" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s.Text) + `"`
}

// ParseSearch reads a $search, already percent-decoded, by the rules of the
// Microsoft Graph page "Use the $search query parameter": clauses are
// "property:text" in double quotes, in which \" and \\ are a quote and a
// backslash; AND and OR stand between clauses in capitals, AND binds closer, and
// parentheses group.
//
// It returns a [*problem.Error] of kind Invalid with target $search for anything
// else, and for the limits of [ParseFilter].
func ParseSearch(text string) (*Search, error) {
	if len(text) > MaxFilter {
		return nil, invalid("$search", "The search is longer than %d bytes: ask for less at once.", MaxFilter)
	}
	if err := wellFormed("$search", text); err != nil {
		return nil, err
	}
	p := &searchParser{text: text}
	s, err := p.or(0)
	if err != nil {
		return nil, err
	}
	p.blanks()
	if p.at < len(text) {
		return nil, p.refuse("'%s' is left over; join clauses by AND or OR in capitals, and write & as %%26", clip(text[p.at:]))
	}
	return &s, nil
}

type searchParser struct {
	text    string
	at      int
	clauses int
}

func (p *searchParser) refuse(format string, args ...any) error {
	at := utf8.RuneCountInString(p.text[:p.at]) + 1
	return invalid("$search", "Invalid search clause at character %d: "+format+".", append([]any{at}, args...)...)
}

func (p *searchParser) blanks() {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
}

func (p *searchParser) next(token string) bool {
	p.blanks()
	if strings.HasPrefix(p.text[p.at:], token) {
		p.at += len(token)
		return true
	}
	return false
}

func (p *searchParser) or(depth int) (Search, error) {
	terms, err := p.chain("OR", depth, p.and)
	if err != nil || len(terms) == 1 {
		return firstSearch(terms), err
	}
	return Search{Any: terms}, nil
}

func (p *searchParser) and(depth int) (Search, error) {
	terms, err := p.chain("AND", depth, p.term)
	if err != nil || len(terms) == 1 {
		return firstSearch(terms), err
	}
	return Search{All: terms}, nil
}

func (p *searchParser) chain(word string, depth int, parse func(int) (Search, error)) ([]Search, error) {
	var terms []Search
	for {
		s, err := parse(depth)
		if err != nil {
			return nil, err
		}
		terms = append(terms, s)
		if !p.next(word) {
			return terms, nil
		}
	}
}

func firstSearch(terms []Search) Search {
	if len(terms) == 0 {
		return Search{}
	}
	return terms[0]
}

func (p *searchParser) term(depth int) (Search, error) {
	if depth > MaxDepth {
		return Search{}, p.refuse("nested deeper than %d; simplify the search", MaxDepth)
	}
	if p.next("(") {
		s, err := p.or(depth + 1)
		if err == nil && !p.next(")") {
			err = p.refuse(") is missing after the clauses in parentheses")
		}
		return s, err
	}
	if p.clauses++; p.clauses > MaxNodes {
		return Search{}, p.refuse("more than %d clauses; split the query", MaxNodes)
	}
	if !p.next(`"`) {
		return Search{}, p.refuse(`a clause is missing its double quotes; write "displayName:text"`)
	}
	start := p.at
	var b strings.Builder
	for {
		end := strings.IndexAny(p.text[p.at:], `"\`)
		if end < 0 || p.text[p.at+end] == '\\' && p.at+end+1 == len(p.text) {
			return Search{}, p.refuse(`the clause is not closed; add " and write a quote inside it as \"`)
		}
		b.WriteString(p.text[p.at : p.at+end])
		p.at += end + 1
		if p.text[p.at-1] == '"' {
			break
		}
		if p.text[p.at] != '"' && p.text[p.at] != '\\' {
			return Search{}, p.refuse(`only a quote and a backslash follow a backslash; write \\ for one backslash`)
		}
		b.WriteByte(p.text[p.at])
		p.at++
	}
	name, text, colon := strings.Cut(b.String(), ":")
	switch {
	case !colon || !isName(name):
		p.at = start
		return Search{}, p.refuse(`a clause names its property; write "displayName:text"`)
	case strings.TrimSpace(text) == "":
		p.at = start
		return Search{}, p.refuse("there is no text after '%s:'", clip(name))
	case len(text) > MaxString:
		p.at = start
		return Search{}, p.refuse("the text is longer than %d bytes", MaxString)
	}
	return Search{Property: name, Text: text}, nil
}

// MatchSearch says whether the entity that get reads is found by the search; a nil
// search finds everything.
//
// A property searched by tokens is found when each token of the text begins one
// of its tokens, in any order and case. One searched by its beginning is found
// when it begins with the text. A property that is null is not found.
//
// The error is ours, never the caller's, when the search passed [Query.Check]: get
// gave a value that does not fit the schema.
func MatchSearch(s *Schema, search *Search, get Get) (bool, error) {
	if search == nil {
		return true, nil
	}
	for i := range search.All {
		if ok, err := MatchSearch(s, &search.All[i], get); !ok || err != nil {
			return false, err
		}
	}
	for i := range search.Any {
		if ok, err := MatchSearch(s, &search.Any[i], get); ok || err != nil {
			return ok, err
		}
	}
	if len(search.All) > 0 || len(search.Any) > 0 {
		return len(search.All) > 0, nil
	}
	path := Path{search.Property}
	property, ok := s.property(path)
	if !ok || property.Search == SearchNone {
		return false, mismatch(path, "is not searchable")
	}
	texts, err := texts(path, get(path))
	if err != nil {
		return false, err
	}
	for _, text := range texts {
		if property.Search == SearchTokens && tokensMatch(text, search.Text) ||
			property.Search == SearchPrefix && strings.HasPrefix(Fold(text), Fold(search.Text)) {
			return true, nil
		}
	}
	return false, nil
}

func tokensMatch(value, text string) bool {
	have := tokens(value, true)
	for _, want := range tokens(text, false) {
		found := false
		for _, t := range have {
			found = found || strings.HasPrefix(t, want)
		}
		if !found {
			return false
		}
	}
	return true
}

// tokens splits text as the page does: by blanks, from lower to upper case,
// between letters and digits, and around symbols, each of which is a token. With
// joined, words that only symbols separate are a token together as well, so that
// helloworld finds hello-world.
func tokens(text string, joined bool) []string {
	const (
		none = iota
		letter
		digit
		symbol
	)
	var all []string
	for chunk := range strings.FieldsSeq(text) {
		var token, whole strings.Builder
		flush := func() {
			if token.Len() > 0 {
				all = append(all, Fold(token.String()))
				token.Reset()
			}
		}
		last, lower, symbols := none, false, false
		for _, r := range chunk {
			class := symbol
			switch {
			case unicode.IsLetter(r) || unicode.IsMark(r):
				class = letter
			case unicode.IsNumber(r):
				class = digit
			}
			if class != last || class == symbol || lower && unicode.IsUpper(r) {
				flush()
			}
			token.WriteRune(r)
			if class == symbol {
				symbols = true
			} else {
				whole.WriteRune(r)
			}
			last, lower = class, unicode.IsLower(r)
		}
		flush()
		if joined && symbols && whole.Len() > 0 {
			all = append(all, Fold(whole.String()))
		}
	}
	return all
}
