package graphapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/odata"
	"github.com/avouch/avouch/internal/problem"
)

// bodyLimits bound one JSON body (threats A3). A large application manifest has
// a few thousand members.
var bodyLimits = assertion.Limits{Depth: 16, Members: 10000, String: 256 << 10}

// body is a JSON object that was sent, by member. Annotations are left out,
// except those that bind references.
type body map[string]json.RawMessage

// readBody reads the request's JSON object, unpacked where it was packed.
func (c *call) readBody() (body, error) {
	text, err := c.readText()
	if err != nil {
		return nil, err
	}
	return parseBody(text)
}

func (c *call) readText() ([]byte, error) {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, &fault{status: http.StatusUnsupportedMediaType, code: "Request_BadRequest", kind: problem.Invalid,
			message: "The content type must be application/json."}
	}
	limit := c.op.MaxBody
	if limit == 0 {
		limit = maxBody
	}
	var from io.Reader = c.r.Body
	switch encoding := c.r.Header.Get("Content-Encoding"); {
	case encoding == "" || strings.EqualFold(encoding, "identity"):
	case strings.EqualFold(encoding, "gzip"):
		packed, err := gzip.NewReader(c.r.Body)
		if err != nil {
			return nil, badRequest("The body is not gzip, as Content-Encoding says.")
		}
		from = packed
	default:
		return nil, &fault{status: http.StatusUnsupportedMediaType, code: "Request_BadRequest", kind: problem.Invalid,
			message: "The content encoding must be gzip or none."}
	}
	text, err := io.ReadAll(io.LimitReader(from, limit+1))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, err
	case err != nil:
		return nil, badRequest("The body cannot be read.")
	case int64(len(text)) > limit:
		return nil, &http.MaxBytesError{Limit: limit}
	}
	return text, nil
}

func parseBody(text []byte) (body, error) {
	members, err := assertion.ParseObject(text, bodyLimits)
	if err != nil {
		var malformed *assertion.Error
		if errors.As(err, &malformed) {
			return nil, badRequest("The body is not one JSON object: %s.", malformed.Detail)
		}
		return nil, badRequest("The body is not one JSON object.")
	}
	b := make(body, len(members))
	for _, m := range members {
		if annotation(m.Name) {
			continue
		}
		b[m.Name] = m.Value
	}
	return b, nil
}

// annotation reports whether a member says something about the message and not
// about the object. Those that bind references do both.
func annotation(name string) bool {
	return strings.HasPrefix(name, "@odata.") || strings.HasPrefix(name, "@microsoft.graph.") ||
		strings.Contains(name, "@odata.") && !strings.HasSuffix(name, "@odata.bind") ||
		strings.Contains(name, "@microsoft.graph.")
}

// refuse refuses members that the type does not have.
func (b body) refuse(typeName string, known ...string) error {
	for _, name := range b.names() {
		if !slices.Contains(known, name) {
			return unknownProperty(name, typeName)
		}
	}
	return nil
}

func (b body) names() []string {
	names := make([]string, 0, len(b))
	for name := range b {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func unknownProperty(name, typeName string) *fault {
	return badRequest("Property '%s' does not exist as a declared property or extension property of type 'microsoft.graph.%s'.", printable(name), typeName)
}

// readOnly refuses a member that nobody may write, unless it is sent as it is:
// clients send back what they have read (threats X12). current is the entity as
// it is; for a new object the values that it will have anyway.
func (b body) readOnly(current entity, names ...string) error {
	for _, name := range names {
		offered, sent := b[name]
		if !sent {
			continue
		}
		value, known := current.get(name)
		same := known && sameJSON(offered, value)
		if !same && !known && string(offered) == "null" {
			same = true
		}
		if !same {
			return badRequest("Property '%s' is read-only and cannot be set.", name)
		}
		delete(b, name)
	}
	return nil
}

// sameJSON compares values as JSON, times as instants to the second.
func sameJSON(offered json.RawMessage, value any) bool {
	var buffer bytes.Buffer
	if encode(&buffer, value) != nil {
		return false
	}
	var x, y any
	if json.Unmarshal(offered, &x) != nil || json.Unmarshal(buffer.Bytes(), &y) != nil {
		return false
	}
	if reflect.DeepEqual(x, y) {
		return true
	}
	a, isText := x.(string)
	b, alsoText := y.(string)
	if !isText || !alsoText {
		return false
	}
	if left, err := time.Parse(time.RFC3339Nano, a); err == nil {
		right, err := time.Parse(time.RFC3339Nano, b)
		return err == nil && left.Truncate(time.Second).Equal(right.Truncate(time.Second))
	}
	if left, err := directory.ParseObjectID(a); err == nil {
		right, err := directory.ParseObjectID(b)
		return err == nil && left == right
	}
	return false
}

// text reads a member that is text or null. set is false when it is not there.
func (b body) text(name string, into *string) (set bool, err error) {
	raw, ok := b[name]
	if !ok {
		return false, nil
	}
	var s *string
	if json.Unmarshal(raw, &s) != nil {
		return false, wrongType(name, "Edm.String")
	}
	*into = ""
	if s != nil {
		*into = *s
	}
	return true, nil
}

// flag reads a member that is true, false or null, null being false.
func (b body) flag(name string, into *bool) (set bool, err error) {
	raw, ok := b[name]
	if !ok {
		return false, nil
	}
	var v *bool
	if json.Unmarshal(raw, &v) != nil {
		return false, wrongType(name, "Edm.Boolean")
	}
	*into = v != nil && *v
	return true, nil
}

// texts reads a member that is a list of texts, null being the empty one.
func (b body) texts(name string, into *[]string) (set bool, err error) {
	raw, ok := b[name]
	if !ok {
		return false, nil
	}
	var v []*string
	if json.Unmarshal(raw, &v) != nil {
		return false, wrongType(name, "Collection(Edm.String)")
	}
	*into = nil
	for _, s := range v {
		if s == nil {
			return false, wrongType(name, "Collection(Edm.String)")
		}
		*into = append(*into, *s)
	}
	return true, nil
}

func wrongType(name, want string) *fault {
	return badRequest("Cannot convert the literal of property '%s' to the expected type '%s'.", printable(name), want)
}

// objects reads a member that is a list of objects, each as strictly as a body.
func objects(raw json.RawMessage, name string) ([]body, error) {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return nil, wrongType(name, "Collection(Edm.ComplexType)")
	}
	all := make([]body, 0, len(elements))
	for i, e := range elements {
		b, err := parseBody(e)
		if err != nil {
			return nil, wrongType(fmt.Sprintf("%s[%d]", name, i), "Edm.ComplexType")
		}
		all = append(all, b)
	}
	return all, nil
}

// reference reads a $ref body or the value of a bind: an address of which only
// the id at its end counts, because clients send any host.
func reference(address string) (directory.ObjectID, error) {
	address = strings.TrimSuffix(strings.TrimRight(address, "/"), "/$ref")
	last := address[strings.LastIndexAny(address, "/")+1:]
	if i := strings.LastIndexByte(last, '('); i >= 0 {
		last = strings.Trim(last[i:], "()'")
	}
	id, err := directory.ParseObjectID(last)
	if err != nil {
		return id, badRequest("Not a valid reference update: '%s' does not end in an object id.", printable(address))
	}
	return id, nil
}

// readReference reads the body of a POST to a $ref.
func (c *call) readReference() (directory.ObjectID, error) {
	text, err := c.readText()
	if err != nil {
		return directory.ObjectID{}, err
	}
	members, err := assertion.ParseObject(text, bodyLimits)
	if err != nil {
		return directory.ObjectID{}, badRequest("The body is not one JSON object.")
	}
	for _, m := range members {
		if m.Name == "@odata.id" {
			var address string
			if json.Unmarshal(m.Value, &address) != nil {
				break
			}
			return reference(address)
		}
		if !annotation(m.Name) {
			return directory.ObjectID{}, badRequest("A reference has the member '@odata.id' and no other; this one has '%s'.", printable(m.Name))
		}
	}
	return directory.ObjectID{}, badRequest("Not a valid reference update: the body lacks '@odata.id'.")
}

// bound reads the references of a member such as owners@odata.bind.
func (b body) bound(navigation string) ([]directory.ObjectID, error) {
	name := navigation + "@odata.bind"
	var addresses []string
	if _, err := b.texts(name, &addresses); err != nil {
		return nil, err
	}
	delete(b, name)
	var ids []directory.ObjectID
	for _, address := range addresses {
		id, err := reference(address)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// read gives a filter the values of an entity, as [odata.Get] describes them.
func (e entity) read(path odata.Path) any {
	var value any = e
	for _, segment := range path {
		object, ok := value.(entity)
		if !ok {
			if raw, isRaw := value.(json.RawMessage); isRaw {
				object, ok = decodeRaw(raw).(entity)
			}
			if !ok {
				return nil
			}
		}
		value, _ = object.get(segment)
	}
	return plain(value)
}

// plain turns a rendered value into one that filters understand.
func plain(value any) any {
	switch v := value.(type) {
	case nil, string, bool, int64, time.Time, []string, []bool, []int64:
		return v
	case int:
		return int64(v)
	case moment:
		return time.Time(v).UTC().Truncate(time.Second)
	case json.RawMessage:
		return plain(decodeRaw(v))
	case entity:
		m := make(map[string]any, len(v))
		for _, p := range v {
			m[p.name] = plain(p.value)
		}
		return m
	case []entity:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case fmt.Stringer:
		return v.String()
	}
	return nil
}

// decodeRaw reads JSON that is kept as it was sent.
func decodeRaw(raw json.RawMessage) any {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return nil
	}
	return fromAny(v)
}

func fromAny(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return nil
		}
		return n
	case map[string]any:
		var e entity
		for name, value := range v {
			e = append(e, property{name, fromAny(value)})
		}
		return e
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = fromAny(v[i])
		}
		return list
	}
	return v
}
