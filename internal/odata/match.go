package odata

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Get reads the value of an entity at a path of the schema:
//
//   - nil for null
//   - a string for String, StringExact and GUID; a bool, an int64, a [time.Time]
//     for the other kinds
//   - a []string, []bool, []int64, []time.Time or []any of those for collections,
//     nil for an empty one
//   - a []map[string]any or []any of map[string]any for collections of complex
//     values, with members by name, themselves as here
//   - for a path that only stands before /$count, such as a navigation, its number
//     of elements as int64
//
// Paths through complex values come whole: api/requestedAccessTokenVersion is one
// call.
type Get func(Path) any

// FromMap reads from nested maps, as [Get] describes their values. A path through
// an absent or null member is null.
func FromMap(m map[string]any) Get {
	return func(path Path) any {
		var v any = m
		for _, name := range path {
			inner, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			v = inner[name]
		}
		return v
	}
}

// Fold maps texts that differ only in case to one text, by Unicode's simple
// folding. Two values of kind String are equal when their folds are, and a text
// starts with another when its fold does, so an index over folds answers as
// [Match] does.
func Fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.Map(foldRune, s)
		}
	}
	return strings.ToLower(s)
}

// foldRune picks one of the runes that fold together: the smallest, but of ASCII
// the lower case. ToLower alone would not do, because it takes İ for i.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

// Match says whether the entity that get reads fulfils the condition; a nil
// condition is fulfilled by every entity.
//
// Kinds decide how values compare: String and GUID in any case, StringExact byte
// for byte, times as instants. Null equals null and nothing else; every other
// comparison and every function is false of a null, and ne is the opposite of eq
// (OData 4.01 part 2, section 5.1.1.1). There is no third truth value: not is
// always the opposite. has is true when each of the comma-separated names of the
// literal is among those of the property.
//
// The error is ours, never the caller's, when the condition passed [Query.Check]
// against the same schema: get gave a value that does not fit it.
func Match(s *Schema, e Expr, get Get) (bool, error) {
	if e == nil {
		return true, nil
	}
	m := matcher{schema: s, get: get}
	return m.match(e)
}

// matcher holds the variables of the lambdas around, outermost first.
type matcher struct {
	schema   *Schema
	get      Get
	elements []element
}

type element struct {
	name     string
	property Property
	value    any
}

func mismatch(path Path, format string, args ...any) error {
	return fmt.Errorf("odata: %s "+format, append([]any{path}, args...)...)
}

func (m *matcher) match(e Expr) (bool, error) {
	switch e := e.(type) {
	case And:
		for _, term := range e.Terms {
			if ok, err := m.match(term); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	case Or:
		for _, term := range e.Terms {
			if ok, err := m.match(term); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	case Not:
		ok, err := m.match(e.Term)
		return !ok && err == nil, err
	case Compare:
		property, value, err := m.value(e.Path)
		if err != nil {
			return false, err
		}
		return compare(e.Path, property, value, e.Op, e.Value)
	case In:
		property, value, err := m.value(e.Path)
		if err != nil {
			return false, err
		}
		for _, v := range e.Values {
			if ok, err := compare(e.Path, property, value, OpEq, v); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	case Call:
		property, value, err := m.value(e.Path)
		if err != nil {
			return false, err
		}
		return call(e.Path, property, value, e.Func, e.Value)
	case Any:
		return m.quantify(e.Path, e.Var, e.Cond, true)
	case All:
		ok, err := m.quantify(e.Path, e.Var, e.Cond, false)
		return !ok && err == nil, err
	case CountCompare:
		n, err := m.count(e.Path)
		return err == nil && holds(e.Op, cmp.Compare(n, e.N)), err
	}
	return false, fmt.Errorf("odata: no condition: %T", e)
}

// resolve finds what a path means and its value.
func (m *matcher) resolve(path Path) (Property, any, error) {
	if len(path) == 0 {
		return Property{}, nil, mismatch(path, "is empty")
	}
	for i := len(m.elements) - 1; i >= 0; i-- {
		el := m.elements[i]
		if el.name != path[0] {
			continue
		}
		if len(path) == 1 {
			return el.property, el.value, nil
		}
		property, ok := member(el.property.Members, path[1:])
		if !ok {
			return Property{}, nil, mismatch(path, "is not in the schema")
		}
		members, ok := el.value.(map[string]any)
		if !ok {
			return Property{}, nil, mismatch(path, "is a member of %T", el.value)
		}
		return property, FromMap(members)(path[1:]), nil
	}
	property, ok := m.schema.property(path)
	if !ok {
		return Property{}, nil, mismatch(path, "is not in the schema")
	}
	return property, m.get(path), nil
}

// value is resolve for what must be one primitive value.
func (m *matcher) value(path Path) (Property, any, error) {
	property, value, err := m.resolve(path)
	if err == nil && (property.Collection || property.Kind == Complex) {
		err = mismatch(path, "is no single value")
	}
	return property, value, err
}

// quantify says whether an element makes cond have the wanted truth.
func (m *matcher) quantify(path Path, name string, cond Expr, want bool) (bool, error) {
	property, value, err := m.resolve(path)
	if err != nil {
		return false, err
	}
	if !property.Collection {
		return false, mismatch(path, "is no collection")
	}
	list, err := items(path, value)
	if err != nil {
		return false, err
	}
	if cond == nil {
		return len(list) > 0, nil
	}
	property.Collection = false
	for _, item := range list {
		m.elements = append(m.elements, element{name, property, item})
		ok, err := m.match(cond)
		m.elements = m.elements[:len(m.elements)-1]
		if err != nil {
			return false, err
		}
		if ok == want {
			return true, nil
		}
	}
	return false, nil
}

func (m *matcher) count(path Path) (int64, error) {
	var value any
	if len(path) == 1 && len(m.elements) == 0 && m.schema.Navigations[path[0]].Count {
		value = m.get(path)
	} else {
		property, v, err := m.resolve(path)
		if err != nil {
			return 0, err
		}
		if !property.Collection {
			return 0, mismatch(path, "is no collection")
		}
		value = v
	}
	if n, ok := value.(int64); ok {
		return n, nil
	}
	list, err := items(path, value)
	return int64(len(list)), err
}

func items(path Path, value any) ([]any, error) {
	switch list := value.(type) {
	case nil:
		return nil, nil
	case []any:
		return list, nil
	case []string:
		return boxed(list), nil
	case []bool:
		return boxed(list), nil
	case []int64:
		return boxed(list), nil
	case []time.Time:
		return boxed(list), nil
	case []map[string]any:
		return boxed(list), nil
	}
	return nil, mismatch(path, "is %T, not a collection", value)
}

func boxed[T any](list []T) []any {
	all := make([]any, len(list))
	for i, item := range list {
		all[i] = item
	}
	return all
}

// texts are the text values to search: those of a collection, or one, or none.
func texts(path Path, value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []string:
		return v, nil
	case []any:
		all := make([]string, len(v))
		for i, item := range v {
			text, ok := item.(string)
			if !ok {
				return nil, mismatch(path, "has %T, not text", item)
			}
			all[i] = text
		}
		return all, nil
	}
	return nil, mismatch(path, "is %T, not text", value)
}

func compare(path Path, property Property, value any, op Op, literal Value) (bool, error) {
	if value == nil || literal.Kind == LiteralNull {
		both := value == nil && literal.Kind == LiteralNull
		return op == OpEq && both || op == OpNe && !both, nil
	}
	if op == OpHas {
		text, ok := value.(string)
		if !ok || literal.Kind != LiteralString {
			return false, mismatch(path, "is %T, not names", value)
		}
		return hasNames(text, literal.String), nil
	}
	sign, err := order(path, property.Kind, value, literal)
	return err == nil && holds(op, sign), err
}

// order compares a value with a literal, neither null.
func order(path Path, kind Kind, value any, literal Value) (int, error) {
	switch v := value.(type) {
	case string:
		if kind.text() && (literal.Kind == LiteralString || literal.Kind == LiteralGUID) {
			return compareText(kind, v, literal.String), nil
		}
	case bool:
		if kind == Bool && literal.Kind == LiteralBool {
			return compareBool(v, literal.Bool), nil
		}
	case int64:
		if kind == Int && literal.Kind == LiteralInt {
			return cmp.Compare(v, literal.Int), nil
		}
	case time.Time:
		if kind == Time && literal.Kind == LiteralTime {
			return v.Compare(literal.Time), nil
		}
	}
	return 0, mismatch(path, "is %T, which does not compare as %s with %s", value, kind, literal.Text())
}

func compareText(kind Kind, a, b string) int {
	if kind == StringExact {
		return strings.Compare(a, b)
	}
	return strings.Compare(Fold(a), Fold(b))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func holds(op Op, sign int) bool {
	switch op {
	case OpEq:
		return sign == 0
	case OpNe:
		return sign != 0
	case OpGt:
		return sign > 0
	case OpGe:
		return sign >= 0
	case OpLt:
		return sign < 0
	case OpLe:
		return sign <= 0
	}
	return false
}

func call(path Path, property Property, value any, function Op, literal Value) (bool, error) {
	if value == nil || literal.Kind == LiteralNull {
		return false, nil
	}
	text, ok := value.(string)
	if !ok || !property.Kind.text() || literal.Kind != LiteralString {
		return false, mismatch(path, "is %T, which %s does not read as text", value, function)
	}
	part := literal.String
	if property.Kind != StringExact {
		text, part = Fold(text), Fold(part)
	}
	switch function {
	case OpStartsWith:
		return strings.HasPrefix(text, part), nil
	case OpEndsWith:
		return strings.HasSuffix(text, part), nil
	case OpContains:
		return strings.Contains(text, part), nil
	}
	return false, mismatch(path, "is asked for %s, which is no function", function)
}

func hasNames(value, wanted string) bool {
	have := make(map[string]bool)
	for name := range strings.SplitSeq(value, ",") {
		have[Fold(strings.TrimSpace(name))] = true
	}
	for name := range strings.SplitSeq(wanted, ",") {
		if !have[Fold(strings.TrimSpace(name))] {
			return false
		}
	}
	return true
}

// CompareBy orders two entities by the keys of $orderby: negative when a comes
// first, zero when the keys do not tell. Null comes before every value, and so
// after it when descending (OData 4.01 part 1, section 11.2.6.2). Values compare
// as in [Match], and so do errors.
func CompareBy(s *Schema, by []Order, a, b Get) (int, error) {
	for _, key := range by {
		property, ok := s.property(key.Property)
		if !ok {
			return 0, mismatch(key.Property, "is not in the schema")
		}
		sign, err := compareValues(key.Property, property.Kind, a(key.Property), b(key.Property))
		if err != nil {
			return 0, err
		}
		if key.Descending {
			sign = -sign
		}
		if sign != 0 {
			return sign, nil
		}
	}
	return 0, nil
}

func compareValues(path Path, kind Kind, a, b any) (int, error) {
	if a == nil || b == nil {
		return compareBool(a != nil, b != nil), nil
	}
	switch b := b.(type) {
	case string:
		return order(path, kind, a, Value{Kind: LiteralString, String: b})
	case bool:
		return order(path, kind, a, Value{Kind: LiteralBool, Bool: b})
	case int64:
		return order(path, kind, a, Value{Kind: LiteralInt, Int: b})
	case time.Time:
		return order(path, kind, a, Value{Kind: LiteralTime, Time: b})
	}
	return 0, mismatch(path, "is %T, which has no order", b)
}
