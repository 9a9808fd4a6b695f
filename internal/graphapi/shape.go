package graphapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/odata"
)

// shape is what the value of a member that is only kept may be. Everything else
// is refused, so that what is read back is what was understood.
type shape struct {
	kind    kind
	max     int      // characters of a text, elements of a list
	values  []string // the only texts allowed; nil: any
	members []part   // of objects, in the order in which they are written
	absent  any      // what reads show when nobody wrote the member
}

type part struct {
	name  string
	shape shape
}

type kind int

const (
	textKind kind = iota + 1
	flagKind
	numberKind
	guidKind
	textsKind // a list of texts
	guidsKind
	objectKind
	objectsKind // a list of objects
)

const (
	maxText = 1 << 10
	maxList = 256
)

func textShape(values ...string) shape { return shape{kind: textKind, max: maxText, values: values} }
func longText() shape                  { return shape{kind: textKind, max: 8 << 10} }
func flagShape() shape                 { return shape{kind: flagKind} }
func firmFlag() shape                  { return shape{kind: flagKind, absent: false} }
func numberShape() shape               { return shape{kind: numberKind} }
func guidShape() shape                 { return shape{kind: guidKind} }
func textsShape() shape                { return shape{kind: textsKind, max: maxList, absent: []string{}} }
func guidsShape() shape                { return shape{kind: guidsKind, max: maxList, absent: []string{}} }
func objectsShape(members ...part) shape {
	return shape{kind: objectsKind, max: maxList, members: members, absent: []entity{}}
}

// objectShape is an object that is always there, with its members as they are
// when nobody wrote them.
func objectShape(members ...part) shape {
	e := entity{}
	for _, m := range members {
		e = append(e, property{m.name, m.shape.absent})
	}
	return shape{kind: objectKind, members: members, absent: e}
}

// orNothing is an object that is null until somebody writes it.
func (s shape) orNothing() shape {
	s.absent = nil
	return s
}

// read checks a value and brings it to the form in which it is written. Of an
// object, members that are not sent stay as they were.
func (s shape) read(name string, raw, before json.RawMessage) (any, error) {
	if string(bytes.TrimSpace(raw)) == "null" {
		return s.absent, nil
	}
	switch s.kind {
	case textKind:
		var v string
		if json.Unmarshal(raw, &v) != nil {
			return nil, wrongType(name, "Edm.String")
		}
		return v, s.checkText(name, v)
	case flagKind:
		var v bool
		if json.Unmarshal(raw, &v) != nil {
			return nil, wrongType(name, "Edm.Boolean")
		}
		return v, nil
	case numberKind:
		var v int32
		if json.Unmarshal(raw, &v) != nil {
			return nil, wrongType(name, "Edm.Int32")
		}
		return int(v), nil
	case guidKind:
		var v string
		if json.Unmarshal(raw, &v) != nil {
			return nil, wrongType(name, "Edm.Guid")
		}
		return readGUID(name, v)
	case textsKind, guidsKind:
		return s.readList(name, raw)
	case objectKind:
		return s.readObject(name, raw, before)
	case objectsKind:
		all, err := objects(raw, name)
		if err != nil {
			return nil, err
		}
		if len(all) > s.max {
			return nil, badRequest("Property '%s' holds %d values; at most %d are allowed.", name, len(all), s.max)
		}
		list := make([]entity, len(all))
		for i, b := range all {
			if list[i], err = s.readMembers(fmt.Sprintf("%s[%d]", name, i), b, nil); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return nil, fmt.Errorf("property %s has no shape", name)
}

func (s shape) checkText(name, v string) error {
	if n := utf8.RuneCountInString(v); n > s.max {
		return badRequest("Property '%s' has %d characters; at most %d are allowed.", name, n, s.max)
	}
	if s.values != nil && !slices.Contains(s.values, v) {
		return badRequest("Property '%s' cannot be '%s'.", name, printable(v))
	}
	return nil
}

func readGUID(name, v string) (string, error) {
	id, err := directory.ParseObjectID(v)
	if err != nil {
		return "", wrongType(name, "Edm.Guid")
	}
	return id.String(), nil
}

func (s shape) readList(name string, raw json.RawMessage) (any, error) {
	var list []*string
	if json.Unmarshal(raw, &list) != nil {
		return nil, wrongType(name, "Collection(Edm.String)")
	}
	if len(list) > s.max {
		return nil, badRequest("Property '%s' holds %d values; at most %d are allowed.", name, len(list), s.max)
	}
	values := make([]string, len(list))
	for i, v := range list {
		if v == nil {
			return nil, wrongType(name, "Collection(Edm.String)")
		}
		values[i] = *v
		if s.kind == guidsKind {
			var err error
			if values[i], err = readGUID(name, *v); err != nil {
				return nil, err
			}
			continue
		}
		if n := utf8.RuneCountInString(*v); n > maxText {
			return nil, badRequest("A value of property '%s' has %d characters; at most %d are allowed.", name, n, maxText)
		}
	}
	return values, nil
}

func (s shape) readObject(name string, raw, before json.RawMessage) (any, error) {
	b, err := parseBody(raw)
	if err != nil {
		return nil, wrongType(name, "Edm.ComplexType")
	}
	var old map[string]json.RawMessage
	if before != nil {
		if err := json.Unmarshal(before, &old); err != nil {
			return nil, fmt.Errorf("reading what is kept as %s: %w", name, err)
		}
	}
	return s.readMembers(name, b, old)
}

func (s shape) readMembers(name string, b body, before map[string]json.RawMessage) (entity, error) {
	for _, sent := range b.names() {
		if !slices.ContainsFunc(s.members, func(m part) bool { return m.name == sent }) {
			return nil, unknownProperty(sent, name)
		}
	}
	e := make(entity, 0, len(s.members))
	for _, m := range s.members {
		raw, sent := b[m.name]
		if !sent {
			raw = before[m.name]
		}
		if raw == nil {
			e = append(e, property{m.name, m.shape.absent})
			continue
		}
		v, err := m.shape.read(name+"."+m.name, raw, before[m.name])
		if err != nil {
			return nil, err
		}
		e = append(e, property{m.name, v})
	}
	return e, nil
}

// schema is what queries may know of a member of the shape.
func (s shape) schema() odata.Property {
	members := func() map[string]odata.Property {
		m := make(map[string]odata.Property)
		for _, p := range s.members {
			m[p.name] = p.shape.schema()
		}
		return m
	}
	switch s.kind {
	case flagKind:
		return odata.Property{Kind: odata.Bool}
	case numberKind:
		return odata.Property{Kind: odata.Int}
	case textsKind, guidsKind:
		return odata.Property{Kind: odata.String, Collection: true}
	case objectKind:
		return odata.Property{Kind: odata.Complex, Type: "complex", Members: members()}
	case objectsKind:
		return odata.Property{Kind: odata.Complex, Type: "complex", Collection: true, Members: members()}
	}
	return odata.Property{Kind: odata.String}
}

// keep reads the members of a body that are only kept, and takes them from it.
func (b body) keep(k directory.Kept, parts []part) (directory.Kept, error) {
	for _, p := range parts {
		raw, sent := b[p.name]
		if !sent {
			continue
		}
		delete(b, p.name)
		v, err := p.shape.read(p.name, raw, k[p.name])
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		if err := encode(&text, v); err != nil {
			return nil, err
		}
		var absent bytes.Buffer
		if err := encode(&absent, p.shape.absent); err != nil {
			return nil, err
		}
		if bytes.Equal(text.Bytes(), absent.Bytes()) {
			k = k.With(p.name, nil)
			continue
		}
		k = k.With(p.name, text.Bytes())
	}
	return k, nil
}
