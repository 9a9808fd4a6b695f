package graphapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// jsonType is the content type of every JSON reply. Source: reference/graph.md,
// section 1.
const jsonType = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"

// property is one member of an entity.
type property struct {
	name  string
	value any // JSON; an entity inside is written in its own order
}

// entity is an object whose members are written in their order.
type entity []property

// MarshalJSON implements [json.Marshaler].
func (e entity) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range e {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(p.name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		if err := encode(&b, p.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode writes a value without a line's end and without escapes for HTML.
func encode(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1)
	return nil
}

// get is the value of a member, and whether there is one.
func (e entity) get(name string) (any, bool) {
	for _, p := range e {
		if p.name == name {
			return p.value, true
		}
	}
	return nil, false
}

// with returns a copy in which the member has the value.
func (e entity) with(name string, value any) entity {
	e = slices.Clone(e)
	for i := range e {
		if e[i].name == name {
			e[i].value = value
			return e
		}
	}
	return append(e, property{name, value})
}

// pick keeps what $select names, in the entity's order. Annotations stay. Of a
// path, its first segment counts: complex members come whole.
func (e entity) pick(names []string) entity {
	if names == nil {
		return e
	}
	return slices.DeleteFunc(slices.Clone(e), func(p property) bool {
		return !strings.HasPrefix(p.name, "@") && !slices.ContainsFunc(names, func(n string) bool {
			first, _, _ := strings.Cut(n, "/")
			return first == p.name
		})
	})
}

// etag is a weak entity tag over the whole entity.
func (e entity) etag() (string, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return `W/"` + hex.EncodeToString(sum[:12]) + `"`, nil
}

// checkIfMatch refuses a write to an entity that is not what the caller has
// read. It belongs inside the writing transaction (threats A4).
func (c *call) checkIfMatch(e entity) error {
	values := c.r.Header.Values("If-Match")
	if len(values) == 0 {
		return nil
	}
	tag, err := e.etag()
	if err != nil {
		return err
	}
	for _, v := range values {
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.TrimSpace(one); one == "*" || one == tag {
				return nil
			}
		}
	}
	return preconditionFailed()
}

// writeHeaders sets what every reply carries.
func (a *API) writeHeaders(w http.ResponseWriter, who *identified) {
	h := w.Header()
	h.Set("request-id", who.id)
	h.Set("client-request-id", who.clientID)
	h.Set("Cache-Control", "no-cache")
	h.Set("Strict-Transport-Security", "max-age=31536000")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("x-ms-ags-diagnostic", `{"ServerInfo":{"DataCenter":"Local","Slice":"E","Ring":"1","ScaleUnit":"000","RoleInstance":"avouch"}}`)
	h.Set("x-ms-resource-unit", "1")
	h.Set("Date", a.now().UTC().Format(http.TimeFormat))
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	var b bytes.Buffer
	if err := encode(&b, v); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", jsonType)
	h.Set("OData-Version", "4.0")
	h.Add("Vary", "Accept-Encoding")
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	return err
}

// context is the value of @odata.context: what comes behind $metadata#, with the
// selected members where some are.
func (c *call) context(of string) string {
	context, of := c.base+"/$metadata#", of
	single := strings.HasSuffix(of, "/$entity")
	of = strings.TrimSuffix(of, "/$entity")
	context += of
	if c.query.Select != nil {
		context += "(" + strings.Join(c.query.Select, ",") + ")"
	}
	if single {
		context += "/$entity"
	}
	return context
}

// reply writes one entity. The context is as in "applications"; the location
// stands in a 201 only.
func (c *call) reply(status int, context string, e entity, location string) error {
	tag, err := e.etag()
	if err != nil {
		return err
	}
	if c.query.Expand == nil {
		c.w.Header().Set("ETag", tag)
	}
	if status == http.StatusCreated && location != "" {
		c.w.Header().Set("Location", c.base+location)
	}
	return writeJSON(c.w, status, append(entity{{"@odata.context", c.context(context + "/$entity")}}, c.picked(e)...))
}

// picked is what the query asks for of an entity: what it expands, it selects.
func (c *call) picked(e entity) entity {
	names := c.query.Select
	if names != nil {
		names = slices.Clone(names)
		for _, x := range c.query.Expand {
			names = append(names, x.Name)
		}
	}
	return e.pick(names)
}

// replyAll writes a collection. A nil count is not written, nor an empty link.
func (c *call) replyAll(context string, values []entity, next string, count *int) error {
	e := entity{{"@odata.context", c.context(context)}}
	if count != nil {
		e = append(e, property{"@odata.count", *count})
	}
	if next != "" {
		e = append(e, property{"@odata.nextLink", next})
	}
	picked := make([]entity, len(values))
	for i, v := range values {
		picked[i] = c.picked(v)
	}
	return writeJSON(c.w, http.StatusOK, append(e, property{"value", picked}))
}

// replyNone answers a write that shows nothing.
func (c *call) replyNone() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// replyCount answers a /$count.
func (c *call) replyCount(n int) error {
	c.w.Header().Set("Content-Type", "text/plain")
	c.w.Header().Set("OData-Version", "4.0")
	c.w.WriteHeader(http.StatusOK)
	_, err := c.w.Write([]byte(strconv.Itoa(n)))
	return err
}

// moment is a time as reads show it, to the second.
type moment time.Time

// MarshalJSON implements [json.Marshaler].
func (m moment) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Time(m).UTC().Truncate(time.Second).Format("2006-01-02T15:04:05Z"))
}

// instant is a time in an entity; null when it is not known.
func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return moment(t)
}

// orNull is the text, or null where there is none.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// orEmpty keeps a list without elements from being null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
