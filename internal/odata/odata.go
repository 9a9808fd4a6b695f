// Package odata reads the query options that clients of Microsoft Graph send,
// turns them into typed trees, and evaluates the trees over entities. It knows
// no web and no database: nothing here is ever a statement, a column or a
// pattern (threats A1).
//
// Using it is three calls:
//
//	q, err := odata.Parse(r.URL.RawQuery)       // shape and size; knows no properties
//	err = q.Check(&applications, eventual)      // closed list of properties and operators
//	ok, err := odata.Match(&applications, q.Filter, get)
//
// A store may look at [Conjuncts] of a checked filter, answer one of them by an
// index, and leave the rest to [Match].
//
// The rules are those of OData 4.01 part 2 (URL conventions), narrowed to what
// the Microsoft Graph pages "Use query parameters", "Use the $filter query
// parameter", "Use the $search query parameter" and "Advanced query
// capabilities" describe. What is not understood is refused, never skipped.
package odata

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/avouch/avouch/internal/problem"
)

const (
	// MaxQuery is the longest query string, in bytes as received.
	MaxQuery = 8 << 10
	// MaxFilter is the longest $filter or $search, in bytes after decoding.
	MaxFilter = 2 << 10
	// MaxDepth is how deep parentheses, negations and lambdas may nest.
	MaxDepth = 8
	// MaxNodes is how many operators, functions and listed values a $filter
	// may have, and how many clauses a $search.
	MaxNodes = 40
	// MaxString is the longest text literal, in bytes after decoding.
	MaxString = 1 << 10
	// MaxName is the longest segment of a property path, in bytes (OData 4.01
	// CSDL section 15.2).
	MaxName = 128
	// MaxTop is the largest page that a caller may ask for (Microsoft Graph, list
	// operations on directory objects).
	MaxTop = 999
	// MaxSkipToken is the longest continuation token, in bytes after decoding.
	MaxSkipToken = 4 << 10
)

// ErrUnsupported is in the chain of every error that the service reports as
// Request_UnsupportedQuery: the query is understood, but this property, this
// operator or this combination is not offered. Every other error of this package
// is Request_BadRequest.
var ErrUnsupported = errors.New("unsupported query")

// Query is the system query options of one request (OData 4.01 part 2, section
// 5.1). The zero Query asks for everything.
type Query struct {
	Select    []string // paths as "a/b", each once; nil for all
	Expand    []Expand // each name once
	Filter    Expr     // nil for everything
	OrderBy   []Order  // the most significant first, each path once
	Search    *Search  // nil for everything
	Top       int      // page size, 1 to MaxTop; 0 when not said
	Count     bool     // $count=true; without ConsistencyLevel: eventual it has no effect
	SkipToken string   // opaque here, "" when not said: who made it must authenticate it
	Format    string   // "json" or a media type of it, as sent; "" when not said
}

// Expand is one navigation property of $expand with its nested $select.
type Expand struct {
	Name   string
	Select []string // as in [Query]
}

// Order is one key of $orderby. Ascending is the default.
type Order struct {
	Property   Path
	Descending bool
}

// Parse reads the options from a query string as received.
//
// Names of options begin with "$", encoded or not. They are read in any case,
// because OData 4.01 section 5.1 demands it and Microsoft's pages write
// $skipToken and $orderBy; two spellings of one name are a repetition. Parameters
// without "$" are the client's own and ignored. In values, "+" is a blank, and
// blanks and commas need no encoding, as az sends them.
//
// It returns a [*problem.Error] of kind Invalid whose target is the option in
// lower case, or "query" when no option is to blame: for an unknown option, a
// repeated one, a malformed or empty value, a control character, or a limit. The
// message counts characters of the decoded value from 1.
func Parse(rawQuery string) (*Query, error) {
	if len(rawQuery) > MaxQuery {
		return nil, invalid("query", "The query string is longer than %d bytes: ask for less at once.", MaxQuery)
	}
	q := new(Query)
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(rawQuery, "&") {
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(rawName)
		if err != nil {
			return nil, invalid("query", "A parameter name is not valid percent-encoding: write %% as %%25.")
		}
		if !strings.HasPrefix(name, "$") {
			continue
		}
		name = strings.ToLower(name)
		read, known := options[name]
		if !known {
			return nil, invalid(clip(name), "The query parameter '%s' is not supported: leave it out.", clip(name))
		}
		if seen[name] {
			return nil, invalid(name, "Query option '%s' was specified more than once, but it must be specified at most once.", name)
		}
		seen[name] = true
		value, err := decode(name, rawValue)
		if err != nil {
			return nil, err
		}
		if err := read(q, value); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// options is the closed list of what is read.
var options = map[string]func(*Query, string) error{
	"$select": func(q *Query, v string) (err error) {
		q.Select, err = parseSelect("$select", v)
		return err
	},
	"$expand": func(q *Query, v string) (err error) {
		q.Expand, err = parseExpand(v)
		return err
	},
	"$filter": func(q *Query, v string) (err error) {
		q.Filter, err = ParseFilter(v)
		return err
	},
	"$orderby": func(q *Query, v string) (err error) {
		q.OrderBy, err = parseOrderBy(v)
		return err
	},
	"$search": func(q *Query, v string) (err error) {
		q.Search, err = ParseSearch(v)
		return err
	},
	"$top":       parseTop,
	"$count":     parseCount,
	"$skiptoken": parseSkipToken,
	"$format":    parseFormat,
}

func decode(name, raw string) (string, error) {
	value, err := url.QueryUnescape(raw)
	if err != nil {
		return "", invalid(name, "The value is not valid percent-encoding: write %% as %%25.")
	}
	if strings.TrimSpace(value) == "" {
		return "", invalid(name, "The value for OData query '%s' cannot be empty: give a value or leave the option out.", name)
	}
	return value, wellFormed(name, value)
}

// wellFormed keeps out what no option needs and databases and logs stumble over.
func wellFormed(name, value string) error {
	if !utf8.ValidString(value) {
		return invalid(name, "The value is not UTF-8: percent-encode the bytes of UTF-8 text.")
	}
	n := 0
	for _, r := range value {
		n++
		if r < ' ' || r == 0x7f {
			return invalid(name, "Character %d is a control character: leave it out.", n)
		}
	}
	return nil
}

func parseSelect(option, value string) ([]string, error) {
	var names []string
	all := false
	for item := range strings.SplitSeq(value, ",") {
		item = strings.TrimSpace(item)
		if item == "*" {
			all = true
			continue
		}
		if _, ok := parsePath(item); !ok {
			return nil, invalid(option, "'%s' is not the name of a property: separate names by one comma.", clip(item))
		}
		if !slices.Contains(names, item) {
			names = append(names, item)
		}
	}
	if all {
		return nil, nil
	}
	return names, nil
}

func parseExpand(value string) ([]Expand, error) {
	var list []Expand
	for rest := value; ; {
		end := strings.IndexAny(rest, ",(")
		if end < 0 {
			end = len(rest)
		}
		e := Expand{Name: strings.TrimSpace(rest[:end])}
		if !isName(e.Name) {
			return nil, invalid("$expand", "'%s' is not the name of a navigation property: write one name, like owners.", clip(e.Name))
		}
		if slices.ContainsFunc(list, func(o Expand) bool { return o.Name == e.Name }) {
			return nil, invalid("$expand", "'%s' stands there twice: name it once.", clip(e.Name))
		}
		rest = rest[end:]
		if strings.HasPrefix(rest, "(") {
			inner, after, closed := strings.Cut(rest[1:], ")")
			if !closed {
				return nil, invalid("$expand", "The parenthesis after '%s' is not closed: add ).", clip(e.Name))
			}
			name, names, _ := strings.Cut(inner, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "$select") {
				return nil, invalid("$expand", "Only $select may stand inside the parentheses of '%s': write %s($select=id).", clip(e.Name), clip(e.Name))
			}
			var err error
			if e.Select, err = parseSelect("$expand", names); err != nil {
				return nil, err
			}
			rest = strings.TrimSpace(after)
		}
		list = append(list, e)
		if rest == "" {
			return list, nil
		}
		after, comma := strings.CutPrefix(rest, ",")
		if !comma {
			return nil, invalid("$expand", "'%s' is left over after '%s': separate names by commas.", clip(rest), clip(e.Name))
		}
		rest = after
	}
}

func parseOrderBy(value string) ([]Order, error) {
	var list []Order
	for item := range strings.SplitSeq(value, ",") {
		fields := strings.Fields(item)
		if len(fields) == 0 || len(fields) > 2 {
			return nil, invalid("$orderby", "'%s' is not a property with asc or desc: write displayName desc.", clip(strings.TrimSpace(item)))
		}
		path, ok := parsePath(fields[0])
		if !ok {
			return nil, invalid("$orderby", "'%s' is not the name of a property: sort by properties only.", clip(fields[0]))
		}
		o := Order{Property: path}
		if len(fields) == 2 {
			switch strings.ToLower(fields[1]) {
			case "asc":
			case "desc":
				o.Descending = true
			default:
				return nil, invalid("$orderby", "'%s' is neither asc nor desc.", clip(fields[1]))
			}
		}
		if slices.ContainsFunc(list, func(other Order) bool { return slices.Equal(other.Property, path) }) {
			return nil, invalid("$orderby", "'%s' stands there twice: name it once.", path)
		}
		list = append(list, o)
	}
	return list, nil
}

func parseTop(q *Query, value string) error {
	n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
	if errors.Is(err, strconv.ErrSyntax) {
		return invalid("$top", "Invalid value '%s' for $top query option found. The $top query option requires a non-negative integer value.", clip(value))
	}
	if err != nil || n < 1 || n > MaxTop {
		return invalid("$top", "Invalid page size specified: '%s'. Must be between 1 and %d inclusive.", clip(value), MaxTop)
	}
	q.Top = int(n)
	return nil
}

func parseCount(q *Query, value string) error {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "true":
		q.Count = true
	case "false":
	default:
		return invalid("$count", "Invalid value '%s' for $count query option found. Valid values are true and false.", clip(value))
	}
	return nil
}

func parseSkipToken(q *Query, value string) error {
	if len(value) > MaxSkipToken {
		return invalid("$skiptoken", "The token is longer than %d bytes: follow @odata.nextLink unchanged.", MaxSkipToken)
	}
	q.SkipToken = value
	return nil
}

func parseFormat(q *Query, value string) error {
	media, _, _ := strings.Cut(value, ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "json", "application/json":
		q.Format = value
		return nil
	}
	return invalid("$format", "'%s' is not offered: ask for json.", clip(value))
}

// invalid is a refusal of what the caller wrote.
func invalid(target, format string, args ...any) *problem.Error {
	return problem.Newf(problem.Invalid, target, format, args...)
}

// unsupported is a refusal of what is written well but not offered. Its message
// begins as the service's does.
func unsupported(target, format string, args ...any) *problem.Error {
	p := problem.Newf(problem.Invalid, target, "Unsupported Query. "+format, args...)
	p.Cause = ErrUnsupported
	return p
}

// clip keeps quotations in messages short.
func clip(s string) string {
	const most = 64
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return fmt.Sprintf("%s…", string([]rune(s)[:most]))
}
