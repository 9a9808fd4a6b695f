//go:build mutation && unix

package mutation

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// mutant is one change to the source that a test must notice.
type mutant struct {
	number   int
	position token.Position
	site
}

// site names a mutant by what survives edits elsewhere in the file.
type site struct {
	function string // with its receiver: KeySet.find
	text     string // what is changed, its white space folded
	change   string
	nth      int // from 1, of those in the function that read the same
}

// switchboard is the file that a mutated package gets beside its own: all mutants
// are compiled into one binary, and the environment says which one is alive.
const switchboard = `package %s

import (
	"os"
	"strconv"
)

var mutant, _ = strconv.Atoi(os.Getenv("AVOUCH_MUTANT"))

func mutated(number int) bool { return number == mutant }
`

// acceptance is what a result says, by its type, when nothing is refused.
var acceptance = map[string]string{"error": "nil", "Reason": `""`, "Verdict": "Verdict{}"}

// swapped are the operators that are mistaken for one another.
var swapped = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL, token.LAND: token.LOR, token.LOR: token.LAND,
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
}

// mutator writes all mutants of a file into it. It edits the text, so that lines
// keep their numbers.
type mutator struct {
	positions *token.FileSet
	source    []byte
	edits     []edit
	mutants   []mutant
	next      int
	function  string
}

// edit replaces a part of the source. Several that insert at one place are applied
// in the order of rank.
type edit struct {
	from, to, rank int
	text           string
}

// mutate returns the file with its mutants, which are numbered from first.
func mutate(path string, source []byte, first int) ([]byte, []mutant, error) {
	m := &mutator{positions: token.NewFileSet(), source: source, next: first}
	file, err := parser.ParseFile(m.positions, path, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		m.function = f.Name.Name
		if f.Recv != nil {
			m.function = strings.TrimLeft(m.text(f.Recv.List[0].Type), "*") + "." + m.function
		}
		m.walk(f.Body, f.Type)
	}
	return m.apply(), m.mutants, nil
}

// walk makes the mutants of a function's body.
func (m *mutator) walk(body *ast.BlockStmt, function *ast.FuncType) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			m.walk(n.Body, n.Type)
			return false
		case *ast.IfStmt:
			m.condition(n.Cond, m.head(n, n.Body.List))
		case *ast.SwitchStmt:
			m.cases(n)
		case *ast.BlockStmt:
			m.effects(n.List)
		case *ast.CaseClause:
			m.effects(n.Body)
		case *ast.ReturnStmt:
			m.result(n, function)
		case *ast.BinaryExpr:
			m.operator(n)
		}
		return true
	})
}

// condition drops what hangs on a condition, and turns the condition round.
func (m *mutator) condition(cond ast.Expr, text string) {
	m.wrap(cond, "(", ") && !%s", m.add(cond, text, "dropped"))
	if b, ok := cond.(*ast.BinaryExpr); ok && (b.Op == token.EQL || b.Op == token.NEQ) {
		return // operator turns it round
	}
	m.wrap(cond, "((", ") != %s)", m.add(cond, text, "negated"))
}

// cases treats each case as a condition. A switch over a value becomes one over
// comparisons with it, because those can be made false whatever their type.
func (m *mutator) cases(s *ast.SwitchStmt) {
	tag := ""
	if s.Tag != nil && s.Init != nil {
		tag = m.text(s.Tag)
		m.edits = append(m.edits, edit{m.offset(s.Tag.Pos()), m.offset(s.Tag.End()), 0, "true"})
	} else if s.Tag != nil {
		tag = fmt.Sprintf("tag%d", m.next)
		m.insert(s.Tag, tag+" := ", "; true")
	}
	for _, c := range s.Body.List {
		clause := c.(*ast.CaseClause)
		for _, value := range clause.List {
			text := m.head(clause, clause.Body)
			if tag == "" {
				m.condition(value, text)
				continue
			}
			if len(clause.List) > 1 {
				text = m.text(value) + " of " + text
			}
			m.wrap(value, tag+" == (", ") && !%s", m.add(value, text, "dropped"))
		}
	}
}

// operator swaps an operator for its neighbour.
func (m *mutator) operator(b *ast.BinaryExpr) {
	to, ok := swapped[b.Op]
	if !ok {
		return
	}
	alive := m.add(b, m.text(b), to.String()+" for "+b.Op.String())
	switch b.Op {
	case token.EQL, token.NEQ:
		m.wrap(b, "((", ") != %s)", alive)
	case token.LAND, token.LOR: // De Morgan: an or is an and with everything turned round
		for _, part := range []ast.Expr{b, b.X, b.Y} {
			m.wrap(part, "((", ") != %s)", alive)
		}
	// Here the operands stand twice. None of them has a side effect.
	case token.LSS, token.GTR:
		m.insert(b, "(", fmt.Sprintf(" || %s && (%s) == (%s))", alive, m.text(b.X), m.text(b.Y)))
	case token.LEQ, token.GEQ:
		m.insert(b, "(", fmt.Sprintf(" && !(%s && (%s) == (%s)))", alive, m.text(b.X), m.text(b.Y)))
	}
}

// result turns a refusal into an acceptance, and a yes or no into the other.
func (m *mutator) result(r *ast.ReturnStmt, function *ast.FuncType) {
	if len(r.Results) == 0 || len(r.Results) != function.Results.NumFields() {
		return // what another function returns is passed on
	}
	fields := function.Results.List
	kind, last := m.text(fields[len(fields)-1].Type), r.Results[len(r.Results)-1]
	text := m.text(last)
	instead, ok := acceptance[kind]
	switch {
	case ok && (text == instead || strings.HasPrefix(text, "Verdict{Credential:")):
		return // it accepts
	case ok:
	case kind == "bool" && (text == "true" || text == "false"):
		instead = fmt.Sprint(text == "false")
	case kind == "bool":
		if _, swapped := last.(*ast.BinaryExpr); !swapped {
			m.wrap(last, "((", ") != %s)", m.add(last, m.text(r), "negated"))
		}
		return
	default:
		return
	}
	values := ""
	for _, other := range r.Results[:len(r.Results)-1] {
		values += m.text(other) + ", "
	}
	alive := m.add(r, m.text(r), "returns "+instead)
	m.insert(r, fmt.Sprintf("if %s { return %s }; ", alive, values+instead), "")
}

// effects leaves out statements that are there for their effect.
func (m *mutator) effects(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok != token.ASSIGN {
				continue
			}
		case *ast.ExprStmt:
			if locks(s.X) {
				continue
			}
		case *ast.DeferStmt:
			if locks(s.Call) {
				continue
			}
		default:
			continue
		}
		m.insert(s, fmt.Sprintf("if !%s { ", m.add(s, m.text(s), "left out")), " }")
	}
}

// locks tells the calls of a mutex. Without them a program hangs, or only the race
// detector sees it.
func locks(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	return ok && slices.Contains([]string{"Lock", "Unlock", "RLock", "RUnlock"}, method.Sel.Name)
}

// add notes a mutant and returns the condition under which it is alive.
func (m *mutator) add(n ast.Node, text, change string) (alive string) {
	text = strings.Join(strings.Fields(text), " ")
	here := site{m.function, text, change, 1}
	for slices.ContainsFunc(m.mutants, func(other mutant) bool { return other.site == here }) {
		here.nth++
	}
	m.mutants = append(m.mutants, mutant{m.next, m.positions.Position(n.Pos()), here})
	m.next++
	return fmt.Sprintf("mutated(%d)", m.next-1)
}

func (m *mutator) offset(p token.Pos) int { return m.positions.Position(p).Offset }

func (m *mutator) text(n ast.Node) string {
	return string(m.source[m.offset(n.Pos()):m.offset(n.End())])
}

// head is the text of an if or a case up to its first statement.
func (m *mutator) head(n ast.Node, body []ast.Stmt) string {
	if len(body) == 0 {
		return m.text(n)
	}
	return string(m.source[m.offset(n.Pos()):m.offset(body[0].End())])
}

func (m *mutator) wrap(n ast.Node, before, after, alive string) {
	m.insert(n, before, fmt.Sprintf(after, alive))
}

// insert puts text around a node. What is inserted later stands nearer to it.
func (m *mutator) insert(n ast.Node, before, after string) {
	rank := len(m.edits) + 1
	from, to := m.offset(n.Pos()), m.offset(n.End())
	m.edits = append(m.edits, edit{from, from, rank, before}, edit{to, to, -rank, after})
}

func (m *mutator) apply() []byte {
	slices.SortStableFunc(m.edits, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.rank, b.rank))
	})
	var out bytes.Buffer
	at := 0
	for _, e := range m.edits {
		out.Write(m.source[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.Write(m.source[at:])
	return out.Bytes()
}
