package config

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/problem"
)

// ParseDirectory decodes a directory file, strictly: unknown and duplicate
// keys, values of another type, keys without a value, anchors, aliases, merge
// keys, tags and further documents are refused. Nothing is guessed: a number is
// not a string. The filename stands in positions only. What is returned for
// the same bytes is always the same.
//
// The error is Errors and lists what can be found wrong independently of each
// other, each with its position.
func ParseDirectory(filename string, data []byte) (*Directory, error) {
	d := &decoder{file: filename, index: make(map[string]place)}
	root := d.document(data)
	if root == nil {
		return nil, d.errs
	}
	dir := d.directory(root)
	if len(d.errs) > 0 {
		return nil, d.errs
	}
	return dir, nil
}

type decoder struct {
	file  string
	index map[string]place
	errs  Errors
}

func (d *decoder) failf(at Pos, format string, args ...any) {
	d.errs = append(d.errs, &Error{Pos: at, Kind: problem.Invalid, Message: fmt.Sprintf(format, args...)})
}

func (d *decoder) pos(n *yaml.Node, path string) Pos {
	return Pos{File: d.file, Line: n.Line, Column: n.Column, Path: path}
}

// document parses the text into its one root node; nil when it failed.
func (d *decoder) document(data []byte) *yaml.Node {
	whole := Pos{File: d.file}
	if len(data) > MaxFileSize {
		d.failf(whole, "has %d bytes; a directory file may have at most %d. Split it by tenant into several files.", len(data), MaxFileSize)
		return nil
	}
	if !utf8.Valid(data) {
		line, column := firstInvalid(data)
		d.failf(Pos{File: d.file, Line: line, Column: column}, "is not UTF-8 text from here on; save the file as UTF-8")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	root, err := nextDocument(dec)
	if err == io.EOF {
		d.failf(whole, "is empty; a directory file begins with the key tenants")
		return nil
	}
	if err != nil {
		d.syntax(err)
		return nil
	}
	second, err := nextDocument(dec)
	if err != nil && err != io.EOF {
		d.syntax(err)
		return nil
	}
	if err == nil {
		d.failf(d.pos(second, ""), "a second document begins here; put everything into one document, without '---' between")
		return nil
	}
	return root.Content[0]
}

// nextDocument turns panics of the YAML package into errors: its parser
// panics by design on states that its authors hold impossible.
func nextDocument(dec *yaml.Decoder) (n *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			n, err = nil, fmt.Errorf("cannot be read as YAML")
		}
	}()
	n = new(yaml.Node)
	if err := dec.Decode(n); err != nil {
		return nil, err
	}
	if n.Kind != yaml.DocumentNode || len(n.Content) != 1 {
		return nil, io.EOF
	}
	return n, nil
}

// countedFromZero are the errors that the YAML package's grammar, other than
// its scanner, reports one line too low. They point at the beginning of what
// could not be finished.
var countedFromZero = []string{
	"did not find expected ',' or ']'", "did not find expected ',' or '}'", "did not find expected key",
	"did not find expected '-' indicator", "did not find expected node content", "did not find expected <document start>",
}

// syntax reports an error of the YAML package, which carries its line in the text.
func (d *decoder) syntax(err error) {
	at, text := Pos{File: d.file}, strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if number, after, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(number); err == nil {
				at.Line, text = line, after
				if contains(countedFromZero, text) {
					at.Line++
				}
			}
		}
	}
	d.failf(at, "is not valid YAML: %s", text)
}

func firstInvalid(data []byte) (line, column int) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size <= 1:
			return line, column
		case r == '\n':
			line, column = line+1, 1
		default:
			column++
		}
		data = data[size:]
	}
	return line, column
}

// plain refuses the parts of YAML that make one node mean another.
func (d *decoder) plain(n *yaml.Node, path string) bool {
	at := d.pos(n, path)
	switch {
	case n.Kind == yaml.AliasNode:
		d.failf(at, "is an alias (*%s); aliases are not supported, write the value out", clip(n.Value))
	case n.Anchor != "":
		d.failf(at, "has an anchor (&%s); anchors are not supported, remove it", clip(n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		d.failf(at, "has a tag (%s); tags are not supported, remove it", clip(n.Tag))
	default:
		return true
	}
	return false
}

// object is a mapping whose keys are known.
type object struct {
	d      *decoder
	node   Node
	fields map[string]*yaml.Node
}

// object opens a mapping. It returns false, having reported why, when the node
// is no mapping; unknown keys are reported and passed over.
func (d *decoder) object(n *yaml.Node, path string, known ...string) (*object, bool) {
	o := &object{d: d, node: Node{Pos: d.pos(n, path), index: d.index}}
	d.index[path] = place{n.Line, n.Column}
	if !d.plain(n, path) {
		return nil, false
	}
	if n.Kind != yaml.MappingNode {
		d.failf(o.node.Pos, "must be an object with the keys %s; here is %s", strings.Join(known, ", "), describe(n))
		return nil, false
	}
	o.fields = make(map[string]*yaml.Node, len(n.Content)/2)
	keyLines := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			d.failf(d.pos(key, path), "has a merge key (<<); merge keys are not supported, write the keys out")
			continue
		}
		if !d.plain(key, path) {
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.failf(d.pos(key, path), "has %s for a key; keys are plain words", describe(key))
			continue
		}
		name := key.Value
		if line, twice := keyLines[name]; twice {
			d.failf(d.pos(key, join(path, printable(name))), "stands twice; first in line %d. Keep one of them.", line)
			continue
		}
		keyLines[name] = key.Line
		if !contains(known, name) {
			hint := DidYouMean(name, known)
			if hint == "" {
				hint = " Known keys are " + strings.Join(known, ", ") + "."
			}
			d.failf(d.pos(key, join(path, printable(name))), "is not a known key.%s", hint)
			continue
		}
		o.fields[name] = value
		d.index[join(path, name)] = place{value.Line, value.Column}
	}
	return o, true
}

// field returns the stated value of a key, nil when the key is absent.
func (o *object) field(name string) (*yaml.Node, string) {
	path := join(o.node.Pos.Path, name)
	n := o.fields[name]
	if n == nil {
		return nil, path
	}
	if !o.d.plain(n, path) {
		return nil, path
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		o.d.failf(o.d.pos(n, path), "has no value; write one ([] for an empty list), or remove the key to leave it as it is")
		return nil, path
	}
	return n, path
}

func (o *object) text(name string) Value[string] {
	n, path := o.field(name)
	if n == nil {
		return Value[string]{}
	}
	return o.d.text(n, path)
}

func (d *decoder) text(n *yaml.Node, path string) Value[string] {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.failf(d.pos(n, path), "must be a string; here is %s", describe(n))
	case n.ShortTag() != "!!str":
		d.failf(d.pos(n, path), `must be a string, and YAML reads this as %s; put it in quotes: "%s"`, describe(n), printable(n.Value))
	default:
		return Value[string]{V: n.Value, Set: true}
	}
	return Value[string]{}
}

// required is text that must be there and not be empty.
func (o *object) required(name string) string {
	if o.fields[name] == nil {
		o.d.failf(o.node.At(name), "is required")
		return ""
	}
	v := o.text(name)
	if v.Set && v.V == "" {
		o.d.failf(o.node.At(name), "must not be empty")
	}
	return v.V
}

func (o *object) flag(name string) Value[bool] {
	n, path := o.field(name)
	if n == nil {
		return Value[bool]{}
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
		o.d.failf(o.d.pos(n, path), "must be true or false; here is %s", describe(n))
		return Value[bool]{}
	}
	return Value[bool]{V: strings.EqualFold(n.Value, "true"), Set: true}
}

// parsed is text that a function turns into a checked value.
func parsed[T any](o *object, name string, parse func(string) (T, error)) Value[T] {
	v := o.text(name)
	if !v.Set {
		return Value[T]{}
	}
	t, err := parse(v.V)
	if err != nil {
		o.d.failf(o.node.At(name), "%s", err)
		return Value[T]{}
	}
	return Value[T]{V: t, Set: true}
}

// oneOf parses a word of a closed list.
func oneOf[T ~string](words ...T) func(string) (T, error) {
	return func(s string) (T, error) {
		var all []string
		for _, w := range words {
			if string(w) == s {
				return w, nil
			}
			all = append(all, string(w))
		}
		return "", fmt.Errorf("%q is not one of %s.%s", clip(s), strings.Join(all, ", "), DidYouMean(s, all))
	}
}

func (o *object) tokenVersion(name string) Value[directory.TokenVersion] {
	n, path := o.field(name)
	if n == nil {
		return Value[directory.TokenVersion]{}
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" {
		switch n.Value {
		case "1":
			return Value[directory.TokenVersion]{V: directory.V1, Set: true}
		case "2":
			return Value[directory.TokenVersion]{V: directory.V2, Set: true}
		}
	}
	o.d.failf(o.d.pos(n, path), "must be the number 1 or 2; here is %s", describe(n))
	return Value[directory.TokenVersion]{}
}

// sequence decodes a list with a function for one item.
func sequence[T any](o *object, name string, item func(n *yaml.Node, path string) (T, bool)) List[T] {
	n, path := o.field(name)
	if n == nil {
		return List[T]{}
	}
	if n.Kind != yaml.SequenceNode {
		o.d.failf(o.d.pos(n, path), "must be a list; here is %s", describe(n))
		return List[T]{}
	}
	list := List[T]{Items: make([]T, 0, len(n.Content)), Set: true}
	for i, c := range n.Content {
		if t, ok := item(c, path+"["+strconv.Itoa(i)+"]"); ok {
			list.Items = append(list.Items, t)
		}
	}
	return list
}

// texts is a list of strings, none of them empty or listed twice.
func (o *object) texts(name string) List[string] {
	seen := make(map[string]int)
	return sequence(o, name, func(n *yaml.Node, path string) (string, bool) {
		d := o.d
		d.index[path] = place{n.Line, n.Column}
		if !d.plain(n, path) {
			return "", false
		}
		v := d.text(n, path)
		if !v.Set {
			return "", false
		}
		if v.V == "" {
			d.failf(d.pos(n, path), "must not be empty")
			return "", false
		}
		if line, twice := seen[v.V]; twice {
			d.failf(d.pos(n, path), "%q is listed twice; first in line %d", clip(v.V), line)
			return "", false
		}
		seen[v.V] = n.Line
		return v.V, true
	})
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// describe says what a node is, in words for people.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	value := printable(n.Value)
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the truth value " + value
	case "!!int", "!!float":
		return "the number " + value
	case "!!timestamp":
		return "the date " + value
	}
	return `the string "` + value + `"`
}

// clip shortens what a file offers, for messages.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// printable is clip with control characters escaped, for use outside quotes.
func printable(s string) string {
	quoted := strconv.Quote(clip(s))
	return quoted[1 : len(quoted)-1]
}
