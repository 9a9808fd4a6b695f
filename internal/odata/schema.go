package odata

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/problem"
)

// MaxIn is how many values in may list in a query that is not advanced (Microsoft
// Graph, known issue 13635). An advanced one is bounded by [MaxNodes].
const MaxIn = 15

// Kind is the type of a property's values.
type Kind int

// The kinds. The zero Kind is that of no property.
const (
	String      Kind = iota + 1 // text that compares in any case
	StringExact                 // text that compares byte for byte
	GUID                        // a GUID, written with or without quotes, in any case
	Bool
	Int  // whole, 64 bits with sign
	Time // an instant
	Complex
)

// String is the kind's name in the Entity Data Model.
func (k Kind) String() string {
	switch k {
	case String, StringExact:
		return "Edm.String"
	case GUID:
		return "Edm.Guid"
	case Bool:
		return "Edm.Boolean"
	case Int:
		return "Edm.Int64"
	case Time:
		return "Edm.DateTimeOffset"
	case Complex:
		return "Edm.ComplexType"
	default:
		return "Edm.Untyped"
	}
}

func (k Kind) text() bool { return k == String || k == StringExact || k == GUID }

// edm is the Entity Data Model's name of a literal's type.
func (l Literal) edm() string {
	switch l {
	case LiteralString:
		return "Edm.String"
	case LiteralInt:
		return "Edm.Int32"
	case LiteralBool:
		return "Edm.Boolean"
	case LiteralGUID:
		return "Edm.Guid"
	case LiteralTime:
		return "Edm.DateTimeOffset"
	default:
		return "<null>"
	}
}

// Support says under which condition something is offered. The zero Support is
// never.
type Support int

// The conditions.
const (
	Never    Support = iota
	Always           // without headers
	Advanced         // with ConsistencyLevel: eventual and $count=true
)

// SearchBy says how $search looks at a property. The zero SearchBy is not at all.
type SearchBy int

// The ways of searching (Microsoft Graph, "Use the $search query parameter").
const (
	SearchNone   SearchBy = iota
	SearchTokens          // displayName and description: by words
	SearchPrefix          // any other text: by its beginning
)

// Schema is what an entity type offers to queries. It must not change while in
// use.
type Schema struct {
	Type        string // without namespace: application
	Properties  map[string]Property
	Navigations map[string]Navigation
}

// Property is a property of an entity or a member of a complex value. Being listed
// makes it known and selectable, nothing more.
type Property struct {
	Kind       Kind
	Collection bool // its values are collections of Kind

	// Type and Members describe Kind Complex: its name without namespace, and
	// what it consists of.
	Type    string
	Members map[string]Property

	// Filter and Advanced are the operators offered: always, and in advanced
	// queries in addition. Of a collection they are those of its elements, with
	// OpAll and OpCount those of itself. OpEq brings OpIn along, and OpNe in
	// advanced queries. OpNe, OpEndsWith and OpCount are advanced wherever they
	// stand.
	Filter   Op
	Advanced Op

	Sort       Support
	Search     SearchBy // of text, or a collection of it
	FilterOnly bool     // not selectable
}

// Navigation is a relationship to other entities.
type Navigation struct {
	Type   *Schema // for a $select inside $expand; nil when none is offered
	Expand bool
	Count  bool // /$count may be compared in $filter, in advanced queries
}

// name is the type as messages have it.
func (s *Schema) name() string { return "microsoft.graph." + s.Type }

// typeName is the type of one value as messages have it.
func (p Property) typeName() string {
	if p.Kind == Complex {
		return "microsoft.graph." + p.Type
	}
	return p.Kind.String()
}

func (s *Schema) property(path Path) (Property, bool) { return member(s.Properties, path) }

// member finds a path through single complex values.
func member(members map[string]Property, path Path) (Property, bool) {
	if len(path) == 0 {
		return Property{}, false
	}
	p, ok := members[path[0]]
	if !ok || len(path) == 1 {
		return p, ok
	}
	if p.Collection {
		return Property{}, false
	}
	return member(p.Members, path[1:])
}

// Check says whether the schema offers what the query asks for. Advanced is
// whether the request has the header ConsistencyLevel: eventual; together with
// $count=true it makes the query an advanced one, which ne, not, endswith, /$count
// in $filter, $filter with $orderby, and single properties demand. For $search the
// header is enough. $count=true without the header is not refused but ignored, as
// Microsoft Graph documents.
//
// It returns a [*problem.Error] of kind Invalid whose target is the option. An
// unknown property, a literal that does not fit its property and the wrong shape
// of a path are bad requests; everything else has [ErrUnsupported] in its chain.
func (q *Query) Check(s *Schema, advanced bool) error {
	c := checker{schema: s, header: advanced, count: q.Count}
	for _, name := range q.Select {
		if err := s.selectable("$select", name); err != nil {
			return err
		}
	}
	if err := c.expand(q.Expand); err != nil {
		return err
	}
	if err := c.condition(q.Filter); err != nil {
		return err
	}
	if err := c.orderBy(q.OrderBy, q.Filter != nil); err != nil {
		return err
	}
	return c.search(q.Search)
}

type checker struct {
	schema *Schema
	header bool // ConsistencyLevel: eventual
	count  bool // $count=true
	vars   []variable
}

type variable struct {
	name     string
	property Property // of one element
}

// advanced refuses what needs an advanced query, unless this is one.
func (c *checker) advanced(target, what string) error {
	var missing []string
	if !c.header {
		missing = append(missing, "send the header 'ConsistencyLevel: eventual'")
	}
	if !c.count {
		missing = append(missing, "add $count=true to the query")
	}
	if len(missing) == 0 {
		return nil
	}
	return unsupported(target, "%s needs an advanced query: %s.", what, strings.Join(missing, " and "))
}

// unknown has the words of the service, which clients look for.
func unknown(target, name, typeName string, known map[string]Property) error {
	hint := ""
	for _, k := range slices.Sorted(maps.Keys(known)) {
		if strings.EqualFold(k, name) {
			hint = " Names are case-sensitive: write " + k + "."
		}
	}
	return invalid(target, "Could not find a property named '%s' on type '%s'.%s", clip(name), typeName, hint)
}

// lost finds the segment at which a path leaves what is known.
func lost(target string, path Path, typeName string, members map[string]Property) error {
	for i, name := range path {
		p, ok := members[name]
		if !ok {
			return unknown(target, name, typeName, members)
		}
		if i < len(path)-1 && p.Collection {
			return invalid(target, "'%s' is a collection: look inside it by %s/any(x:x/%s eq 'y').", path[:i+1], path[:i+1], path[i+1])
		}
		typeName, members = p.typeName(), p.Members
	}
	return nil
}

func (s *Schema) selectable(target, name string) error {
	path, ok := parsePath(name)
	if !ok {
		return unknown(target, name, s.name(), s.Properties)
	}
	if _, ok := s.Navigations[name]; ok {
		return nil
	}
	if err := lost(target, path, s.name(), s.Properties); err != nil {
		return err
	}
	if p, _ := s.property(path); p.FilterOnly {
		return unsupported(target, "'%s' is never returned: leave it out.", name)
	}
	return nil
}

func (c *checker) expand(list []Expand) error {
	const target = "$expand"
	for _, e := range list {
		nav, ok := c.schema.Navigations[e.Name]
		if !ok {
			return unknown(target, e.Name, c.schema.name(), nil)
		}
		if !nav.Expand {
			return unsupported(target, "'%s' cannot be expanded: read it by its own URL.", e.Name)
		}
		if len(e.Select) > 0 && nav.Type == nil {
			return unsupported(target, "'%s' takes no $select: leave it out.", e.Name)
		}
		for _, name := range e.Select {
			if err := nav.Type.selectable(target, name); err != nil {
				return err
			}
		}
	}
	if len(list) > 1 {
		return unsupported(target, "Only one navigation property can be expanded at a time: ask for the others separately.")
	}
	return nil
}

func (c *checker) orderBy(list []Order, filtered bool) error {
	const target = "$orderby"
	for _, o := range list {
		if err := lost(target, o.Property, c.schema.name(), c.schema.Properties); err != nil {
			return err
		}
		switch p, _ := c.schema.property(o.Property); {
		case p.Sort == Never || p.Collection || p.Kind == Complex:
			return unsupported(target, "Sorting by '%s' is not supported: sort the result yourself.", o.Property)
		case p.Sort == Advanced:
			if err := c.advanced(target, "Sorting by '"+o.Property.String()+"'"); err != nil {
				return err
			}
		}
	}
	if len(list) > 0 && filtered {
		return c.advanced(target, "Sorting not supported for current query. $orderby together with $filter")
	}
	return nil
}

func (c *checker) search(s *Search) error {
	const target = "$search"
	if s == nil {
		return nil
	}
	if !c.header {
		return unsupported(target, "Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'")
	}
	for _, terms := range [][]Search{s.All, s.Any} {
		for i := range terms {
			if err := c.search(&terms[i]); err != nil {
				return err
			}
		}
	}
	if len(s.All)+len(s.Any) > 0 {
		return nil
	}
	p, ok := c.schema.Properties[s.Property]
	switch {
	case !ok:
		return unknown(target, s.Property, c.schema.name(), c.schema.Properties)
	case p.Search == SearchNone:
		return unsupported(target, "'%s' cannot be searched: search displayName, or use $filter.", s.Property)
	}
	return nil
}

// filterTarget is the option that conditions stand in.
const filterTarget = "$filter"

func (c *checker) condition(e Expr) error {
	switch e := e.(type) {
	case nil:
		return nil
	case And:
		return c.conditions(e.Terms)
	case Or:
		return c.conditions(e.Terms)
	case Not:
		if err := c.condition(e.Term); err != nil {
			return err
		}
		return c.advanced(filterTarget, "Operator 'not'")
	case Compare:
		p, err := c.single(e.Path, e.Op)
		if err != nil {
			return err
		}
		return c.operand(p, e.Path, e.Op, e.Value)
	case In:
		p, err := c.single(e.Path, OpIn)
		if err != nil {
			return err
		}
		for _, v := range e.Values {
			if err := c.operand(p, e.Path, OpEq, v); err != nil {
				return err
			}
		}
		if len(e.Values) > MaxIn && !(c.header && c.count) {
			return unsupported(filterTarget, "Too many child clauses specified in search filter expression containing 'OR' operators: %d. Max allowed: %d. "+
				"Split the list, or send the header 'ConsistencyLevel: eventual' and add $count=true to the query.", len(e.Values), MaxIn)
		}
		return nil
	case Call:
		p, err := c.single(e.Path, e.Func)
		if err != nil {
			return err
		}
		if !p.Kind.text() || e.Value.Kind != LiteralString {
			return invalid(filterTarget, "No function signature for the function with name '%s' matches the specified arguments. "+
				"The function signatures considered are: %s(Edm.String Nullable=true, Edm.String Nullable=true). Give it a text property and a text in single quotes.", e.Func, e.Func)
		}
		return nil
	case Any:
		return c.lambda(e.Path, e.Var, e.Cond, 0)
	case All:
		return c.lambda(e.Path, e.Var, e.Cond, OpAll)
	case CountCompare:
		return c.size(e.Path)
	}
	return unsupported(filterTarget, "Unknown condition.")
}

func (c *checker) conditions(terms []Expr) error {
	for _, term := range terms {
		if err := c.condition(term); err != nil {
			return err
		}
	}
	return nil
}

// find resolves a path, through variables inside a lambda.
func (c *checker) find(path Path) (Property, error) {
	for i := len(c.vars) - 1; i >= 0; i-- {
		v := c.vars[i]
		if len(path) == 0 || v.name != path[0] {
			continue
		}
		if len(path) == 1 {
			return v.property, nil
		}
		if err := lost(filterTarget, path[1:], v.property.typeName(), v.property.Members); err != nil {
			return Property{}, err
		}
		p, _ := member(v.property.Members, path[1:])
		return p, nil
	}
	if err := lost(filterTarget, path, c.schema.name(), c.schema.Properties); err != nil {
		if len(path) > 0 && c.navigation(path[0]) {
			err = unsupported(filterTarget, "'%s' is a relationship: list it by its own URL.", path[0])
		}
		return Property{}, err
	}
	p, ok := c.schema.property(path)
	if !ok {
		return Property{}, errors.New("odata: a condition without a property")
	}
	return p, nil
}

func (c *checker) navigation(name string) bool {
	_, ok := c.schema.Navigations[name]
	return ok
}

// single resolves a path to one value on which the operator is offered.
func (c *checker) single(path Path, op Op) (Property, error) {
	p, err := c.find(path)
	switch {
	case err != nil:
		return p, err
	case p.Collection:
		return p, invalid(filterTarget, "'%s' is a collection: look inside it by %s/any(x:x eq 'y').", path, path)
	case p.Kind == Complex:
		return p, invalid(filterTarget, "'%s' is not one value: compare one of its members, %s/name.", path, path)
	}
	return p, c.offered(p, path, op)
}

// offered decides about one operator on one property.
func (c *checker) offered(p Property, path Path, op Op) error {
	always, ever := p.Filter, p.Filter|p.Advanced
	if always&OpEq != 0 {
		always |= OpIn
	}
	if ever&OpEq != 0 {
		ever |= OpIn | OpNe
	}
	always &^= OpNe | OpEndsWith | OpCount
	switch {
	case always&op != 0:
		return nil
	case ever&op != 0:
		return c.advanced(filterTarget, "Operator '"+op.String()+"' on '"+path.String()+"'")
	case ever&^(OpAll|OpCount) == 0:
		return unsupported(filterTarget, "Filtering by '%s' is not supported: filter by another property.", path)
	}
	return unsupported(filterTarget, "Unsupported or invalid query filter clause specified for property '%s' of resource '%s'. Operator '%s' is not offered on it: use %s.",
		path, resource(c.schema.Type), op, ever&^(OpAll|OpCount))
}

// resource is the type's name as the directory's own texts write it.
func resource(typeName string) string {
	if typeName == "" {
		return ""
	}
	return strings.ToUpper(typeName[:1]) + typeName[1:]
}

// operand decides whether a literal fits a property.
func (c *checker) operand(p Property, path Path, op Op, v Value) error {
	fits := v.Kind == LiteralNull
	switch p.Kind {
	case String, StringExact:
		fits = fits || v.Kind == LiteralString
	case GUID:
		if v.Kind == LiteralString && !isGUID(v.String) {
			return invalid(filterTarget, "Invalid value specified for property '%s' of resource '%s'. Write a GUID, like 00000000-0000-0000-0000-000000000001.", path, resource(c.schema.Type))
		}
		fits = fits || v.Kind == LiteralString || v.Kind == LiteralGUID
	case Bool:
		fits = fits || v.Kind == LiteralBool
	case Int:
		fits = fits || v.Kind == LiteralInt
	case Time:
		fits = fits || v.Kind == LiteralTime
	}
	if op == OpHas {
		fits = p.Kind.text() && v.Kind == LiteralString
	}
	if fits {
		return nil
	}
	return incompatible(p.Kind, op, v)
}

// incompatible has the words of the service.
func incompatible(k Kind, op Op, v Value) *problem.Error {
	kinds := map[Op]string{OpEq: "Equal", OpNe: "NotEqual", OpGt: "GreaterThan", OpGe: "GreaterThanOrEqual", OpLt: "LessThan", OpLe: "LessThanOrEqual", OpHas: "Has"}
	fix := map[Kind]string{
		String: "Write text in single quotes.", StringExact: "Write text in single quotes.",
		GUID: "Write a GUID.", Bool: "Write true or false without quotes.",
		Int: "Write a whole number without quotes.", Time: "Write a time without quotes, like 2026-01-01T00:00:00Z.",
	}
	return invalid(filterTarget, "A binary operator with incompatible types was detected. Found operand types '%s' and '%s' for operator kind '%s'. %s",
		k, v.Kind.edm(), kinds[op], fix[k])
}

func (c *checker) lambda(path Path, name string, cond Expr, needs Op) error {
	p, err := c.find(path)
	if err != nil {
		return err
	}
	word := "any"
	if needs != 0 {
		word = "all"
	}
	switch {
	case !p.Collection:
		return invalid(filterTarget, "'%s' is not a collection: compare it without %s.", path, word)
	case needs&^(p.Filter|p.Advanced) != 0:
		return unsupported(filterTarget, "Operator 'all' is not offered on '%s': use any, or not with any.", path)
	case needs&^p.Filter != 0:
		if err := c.advanced(filterTarget, "Operator 'all' on '"+path.String()+"'"); err != nil {
			return err
		}
	}
	if cond == nil {
		if !filterable(p) {
			return c.offered(Property{}, path, OpEq)
		}
		return nil
	}
	p.Collection = false
	c.vars = append(c.vars, variable{name, p})
	err = c.condition(cond)
	c.vars = c.vars[:len(c.vars)-1]
	return err
}

// filterable says whether some condition on the property is offered.
func filterable(p Property) bool {
	if p.Filter|p.Advanced != 0 {
		return true
	}
	for _, m := range p.Members {
		if filterable(m) {
			return true
		}
	}
	return false
}

// size checks a comparison of /$count.
func (c *checker) size(path Path) error {
	if len(c.vars) == 0 && len(path) == 1 && c.navigation(path[0]) {
		if !c.schema.Navigations[path[0]].Count {
			return unsupported(filterTarget, "'%s' cannot be counted in a filter: count it by its own URL.", path)
		}
		return c.advanced(filterTarget, "$count of '"+path.String()+"'")
	}
	p, err := c.find(path)
	switch {
	case err != nil:
		return err
	case !p.Collection:
		return invalid(filterTarget, "'%s' is not a collection: only collections have $count.", path)
	case (p.Filter|p.Advanced)&OpCount == 0:
		return unsupported(filterTarget, "'%s' cannot be counted in a filter: use %s/any().", path, path)
	}
	return c.advanced(filterTarget, "$count of '"+path.String()+"'")
}
