package odata

import (
	"strconv"
	"strings"
	"time"
)

// Path is the segments of a property path: "a/b" is {"a", "b"}. Inside a lambda
// the first segment is a variable of that lambda or of one around it.
type Path []string

// String joins the segments by slashes.
func (p Path) String() string { return strings.Join(p, "/") }

func parsePath(s string) (Path, bool) {
	p := Path(strings.Split(s, "/"))
	for _, segment := range p {
		if !isName(segment) {
			return nil, false
		}
	}
	return p, true
}

// isName says whether s is a simple identifier (OData 4.01 CSDL section 15.2),
// of which Microsoft Graph uses ASCII only.
func isName(s string) bool {
	if s == "" || len(s) > MaxName || '0' <= s[0] && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return true
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// Op is an operator of $filter, or a set of several joined by |.
type Op uint16

// The operators. Their meaning is that of OData 4.01 part 2, section 5.1.1.
const (
	OpEq Op = 1 << iota
	OpNe
	OpGt
	OpGe
	OpLt
	OpLe
	OpHas
	OpIn
	OpStartsWith
	OpEndsWith
	OpContains
	OpAll   // any needs no permission beyond that of what it is told to look for
	OpCount // the /$count of a collection compared with a number
)

var opNames = []string{"eq", "ne", "gt", "ge", "lt", "le", "has", "in", "startswith", "endswith", "contains", "all", "$count"}

// opNamed finds comparisons and functions in any case: the pages of Microsoft
// Graph write NOT, OR, startsWith and endsWith, and OData 4.01 section 5.1.1.1
// lets names of operators and functions differ in case.
func opNamed(word string) Op {
	word = strings.ToLower(word)
	for i, name := range opNames {
		if name == word {
			return Op(1 << i)
		}
	}
	return 0
}

// String is the operator's name in $filter; those of a set are separated by
// commas.
func (o Op) String() string {
	var names []string
	for i, name := range opNames {
		if o&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

const (
	comparisons = OpEq | OpNe | OpGt | OpGe | OpLt | OpLe
	functions   = OpStartsWith | OpEndsWith | OpContains
)

// Literal is the type of a [Value].
type Literal int

// The literals (OData 4.01 ABNF, primitiveLiteral), a closed choice of them.
const (
	LiteralNull   Literal = iota // null
	LiteralString                // 'text', a quote inside doubled
	LiteralInt                   // a whole number of 64 bits with sign
	LiteralBool                  // true or false
	LiteralGUID                  // 8-4-4-4-12 hexadecimal digits without quotes
	LiteralTime                  // 2026-01-01T00:00:00Z, or a date alone: its first moment in UTC
)

// Value is a literal. The zero Value is null.
type Value struct {
	Kind   Literal
	String string // text; a GUID in lower case
	Int    int64
	Bool   bool
	Time   time.Time // UTC, year 1 to 9999
}

// Text is the value as $filter has it.
func (v Value) Text() string {
	switch v.Kind {
	case LiteralString:
		return "'" + strings.ReplaceAll(v.String, "'", "''") + "'"
	case LiteralInt:
		return strconv.FormatInt(v.Int, 10)
	case LiteralBool:
		return strconv.FormatBool(v.Bool)
	case LiteralGUID:
		return v.String
	case LiteralTime:
		return v.Time.UTC().Format(time.RFC3339Nano)
	default:
		return "null"
	}
}

// Expr is a condition of $filter: one of [And], [Or], [Not], [Compare], [In],
// [Call], [Any], [All] and [CountCompare]. Its String is canonical text, which
// [ParseFilter] reads back as the same tree.
type Expr interface {
	String() string
	expr()
}

// And is true when all of two or more terms are. Terms keep their parentheses: an
// And among them was written as one.
type And struct{ Terms []Expr }

// Or is true when one of two or more terms is.
type Or struct{ Terms []Expr }

// Not is true when its term is false.
type Not struct{ Term Expr }

// Compare is a property, a comparison and a literal: displayName eq 'x'. Op is one
// of OpEq, OpNe, OpGt, OpGe, OpLt, OpLe and OpHas.
type Compare struct {
	Op    Op
	Path  Path
	Value Value
}

// In is true when the property equals one of one or more values.
type In struct {
	Path   Path
	Values []Value
}

// Call is a function of a property and a literal: startswith(displayName,'x'). Func
// is one of OpStartsWith, OpEndsWith and OpContains.
type Call struct {
	Func  Op
	Path  Path
	Value Value
}

// Any is true when Cond is for an element of the collection at Path. Var stands
// for the element at the beginning of paths in Cond. Without Cond, Var is empty,
// and Any is true when the collection is not empty.
type Any struct {
	Path Path
	Var  string
	Cond Expr
}

// All is true when Cond is for every element of the collection at Path, so also
// when there is none.
type All struct {
	Path Path
	Var  string
	Cond Expr
}

// CountCompare compares the number of elements at Path: owners/$count eq 0. Op is
// one of OpEq, OpNe, OpGt, OpGe, OpLt and OpLe.
type CountCompare struct {
	Op   Op
	Path Path
	N    int64
}

func (And) expr()          {}
func (Or) expr()           {}
func (Not) expr()          {}
func (Compare) expr()      {}
func (In) expr()           {}
func (Call) expr()         {}
func (Any) expr()          {}
func (All) expr()          {}
func (CountCompare) expr() {}

func (e And) String() string {
	return join(e.Terms, " and ", func(e Expr) bool { return isA[And](e) || isA[Or](e) })
}
func (e Or) String() string {
	return join(e.Terms, " or ", func(e Expr) bool { return isA[Or](e) })
}
func (e Not) String() string {
	switch e.Term.(type) {
	case Not, Call, Any, All:
		return "not " + e.Term.String()
	}
	return "not (" + e.Term.String() + ")"
}
func (e Compare) String() string {
	return e.Path.String() + " " + e.Op.String() + " " + e.Value.Text()
}
func (e In) String() string {
	texts := make([]string, len(e.Values))
	for i, v := range e.Values {
		texts[i] = v.Text()
	}
	return e.Path.String() + " in (" + strings.Join(texts, ",") + ")"
}
func (e Call) String() string {
	return e.Func.String() + "(" + e.Path.String() + "," + e.Value.Text() + ")"
}
func (e Any) String() string {
	if e.Cond == nil {
		return e.Path.String() + "/any()"
	}
	return e.Path.String() + "/any(" + e.Var + ":" + e.Cond.String() + ")"
}
func (e All) String() string {
	return e.Path.String() + "/all(" + e.Var + ":" + e.Cond.String() + ")"
}
func (e CountCompare) String() string {
	return e.Path.String() + "/$count " + e.Op.String() + " " + strconv.FormatInt(e.N, 10)
}

// join writes parentheses only where the tree needs them, so that canonical text
// never nests deeper than what was read.
func join(terms []Expr, word string, nested func(Expr) bool) string {
	texts := make([]string, len(terms))
	for i, term := range terms {
		texts[i] = term.String()
		if nested(term) {
			texts[i] = "(" + texts[i] + ")"
		}
	}
	return strings.Join(texts, word)
}

func isA[T Expr](e Expr) bool {
	_, ok := e.(T)
	return ok
}

// Conjuncts are the conditions that must all hold for e to hold: the terms of the
// outermost ands, those in parentheses too, in order. They are {e} when e is no
// [And], and nil when e is nil.
func Conjuncts(e Expr) []Expr {
	if e == nil {
		return nil
	}
	and, ok := e.(And)
	if !ok {
		return []Expr{e}
	}
	var all []Expr
	for _, term := range and.Terms {
		all = append(all, Conjuncts(term)...)
	}
	return all
}

// Equals recognises prop eq value.
func Equals(e Expr) (Path, Value, bool) {
	c, ok := e.(Compare)
	if !ok || c.Op != OpEq {
		return nil, Value{}, false
	}
	return c.Path, c.Value, true
}

// StartsWith recognises startswith(prop,'text').
func StartsWith(e Expr) (Path, string, bool) {
	c, ok := e.(Call)
	if !ok || c.Func != OpStartsWith || c.Value.Kind != LiteralString {
		return nil, "", false
	}
	return c.Path, c.Value.String, true
}

// HasElement recognises prop/any(x:x eq value).
func HasElement(e Expr) (Path, Value, bool) {
	a, ok := e.(Any)
	if !ok {
		return nil, Value{}, false
	}
	element, value, ok := Equals(a.Cond)
	if !ok || len(element) != 1 || element[0] != a.Var {
		return nil, Value{}, false
	}
	return a.Path, value, true
}

// OneOf recognises prop in (values).
func OneOf(e Expr) (Path, []Value, bool) {
	in, ok := e.(In)
	return in.Path, in.Values, ok
}
