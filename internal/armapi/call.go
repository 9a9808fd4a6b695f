package armapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/route"
)

// call is one request on its way.
type call struct {
	api         *API
	base        string
	trace       string // ours
	correlation string // the caller's if it is a GUID, else the trace
	clientID    string // x-ms-client-request-id; "" unless it is a GUID
	method      string
	now         time.Time

	path, link string
	query      url.Values
	version    string // api-version
	tenant     directory.TenantID
	caller     manage.Caller

	ctx     context.Context
	request *http.Request
	params  route.Params
	action  string
}

type callKey struct{}

func callOf(r *http.Request) *call {
	c, _ := r.Context().Value(callKey{}).(*call)
	return c
}

func (a *API) newCall(r *http.Request, base string) *call {
	c := &call{api: a, base: base, trace: uuid.NewString(), method: r.Method, now: a.now().UTC()}
	c.clientID = guid(r.Header.Get("x-ms-client-request-id"))
	if c.correlation = guid(r.Header.Get("x-ms-correlation-request-id")); c.correlation == "" {
		c.correlation = c.trace
	}
	return c
}

// guid is the text if it is a GUID in its usual form, else "": nothing that a
// stranger chose freely is echoed or recorded.
func guid(s string) string {
	if len(s) != 36 {
		return ""
	}
	parsed, err := uuid.Parse(s)
	if err != nil {
		return ""
	}
	return parsed.String()
}

// readQuery checks the query and takes the api-version, which every call must
// name. Any version that has the shape of one will do.
func (c *call) readQuery(raw string) *failure {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return badRequest("InvalidRequestUri", "The query of the request URI is malformed.")
	}
	c.query = make(url.Values, len(query))
	for name, values := range query {
		name = strings.ToLower(name)
		if c.query[name] != nil || len(values) != 1 {
			return badRequest("InvalidRequestUri", "A query parameter is stated more than once.")
		}
		c.query[name] = values
	}
	c.version = c.query.Get("api-version")
	if c.version == "" {
		return badRequest("MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	}
	if !versionShaped(c.version) {
		return badRequest("InvalidApiVersionParameter", "The api-version '"+printable(c.version)+"' is invalid. It must be a date such as '2023-01-31', optionally followed by '-preview'.")
	}
	return nil
}

func versionShaped(v string) bool {
	date, rest := v, ""
	if len(v) > 10 {
		date, rest = v[:10], v[10:]
	}
	if _, err := time.Parse("2006-01-02", date); err != nil {
		return false
	}
	if rest == "" {
		return true
	}
	return len(rest) > 1 && len(rest) <= 32 && rest[0] == '-' && !strings.ContainsFunc(rest[1:], func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.'
	})
}

// subscription is the one that the path names.
func (c *call) subscription() (directory.ObjectID, error) {
	id, err := directory.ParseObjectID(c.params[0])
	if err != nil {
		return id, badRequest("InvalidSubscriptionId", "The provided subscription identifier '"+printable(c.params[0])+"' is malformed or invalid.")
	}
	return id, nil
}

// place is what the path names: a subscription, in it a group, in it a resource.
func (c *call) place() (manage.Place, error) {
	subscription, err := c.subscription()
	p := manage.Place{Tenant: c.tenant, Subscription: subscription, Action: c.action}
	if len(c.params) > 1 {
		p.Group = c.params[1]
	}
	if len(c.params) > 2 {
		p.Name = c.params[2]
	}
	return p, err
}

// subscriptionPlace is place for paths whose further segments are no group.
func (c *call) subscriptionPlace() (manage.Place, error) {
	subscription, err := c.subscription()
	return manage.Place{Tenant: c.tenant, Subscription: subscription, Action: c.action}, err
}

// scope is the one that the path begins with.
func (c *call) scope() (resourceID, error) {
	text, err := url.PathUnescape(c.params[0])
	if err != nil {
		return resourceID{}, badURI()
	}
	id, ok := parseResourceID(text)
	if !ok {
		return id, &failure{status: http.StatusNotFound, code: "InvalidScope", text: "The scope '" + printable(text) + "' is not valid: it must be /, a subscription, a resource group or a resource."}
	}
	return id, nil
}

// reply is what a handler answers. The zero status is 200, a nil body is none.
type reply struct {
	status int
	body   any
	header map[string]string
}

func ok(body any) (*reply, error) { return &reply{body: body}, nil }

// written is the answer to a PUT.
func written(created bool, body any, location string) (*reply, error) {
	if !created {
		return ok(body)
	}
	return &reply{status: http.StatusCreated, body: body, header: map[string]string{"Location": location}}, nil
}

// deleted is the answer to a DELETE.
func deleted(existed bool) (*reply, error) {
	if existed {
		return &reply{header: map[string]string{"Content-Length": "0"}}, nil
	}
	return &reply{status: http.StatusNoContent}, nil
}

// relative is the path of the request with its version, as the location of what
// it created.
func (c *call) relative() string { return c.link + "?api-version=" + url.QueryEscape(c.version) }

// answer writes the reply, or the error as a failure of the wire.
func (c *call) answer(w http.ResponseWriter, rep *reply, err error) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "-1")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	h.Set("x-ms-request-id", c.trace)
	h.Set("x-ms-correlation-request-id", c.correlation)
	h.Set("x-ms-routing-request-id", "LOCAL:"+c.now.Format("20060102T150405Z")+":"+c.trace)
	if c.clientID != "" {
		h.Set("x-ms-client-request-id", c.clientID)
	}
	var body any
	status := http.StatusOK
	if err != nil {
		f := c.failureOf(err)
		for name, value := range f.header {
			h.Set(name, value)
		}
		status, body = f.status, f.body()
	} else {
		switch c.method {
		case http.MethodDelete:
			h.Set("x-ms-ratelimit-remaining-subscription-deletes", "14999")
		case http.MethodGet, http.MethodHead:
			h.Set("x-ms-ratelimit-remaining-subscription-reads", "11999")
		default:
			h.Set("x-ms-ratelimit-remaining-subscription-writes", "1199")
		}
		for name, value := range rep.header {
			h.Set(name, value)
		}
		if body = rep.body; rep.status != 0 {
			status = rep.status
		}
	}
	if body == nil {
		w.WriteHeader(status)
		return
	}
	data, err := json.Marshal(body)
	if err != nil {
		c.api.log.Error("answer cannot be encoded", "path", c.path, "trace", c.trace, "error", err)
		status, data = http.StatusInternalServerError, []byte(`{"error":{"code":"InternalServerError","message":"Encountered internal server error."}}`)
	}
	h.Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if c.method != http.MethodHead {
		_, _ = w.Write(data) // an error means that the caller has gone
	}
}

// list is a page of resources.
type list[T any] struct {
	Value    []T    `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// mostListed is how many resources one page holds.
const mostListed = 1000

// paged answers with a page of the items, in the order of their ids. A token for
// the next page is good for the same caller and the same question only (threats
// A2).
func paged[T any](c *call, items []T, id func(T) string) (*reply, error) {
	top := mostListed
	if t := c.query.Get("$top"); t != "" {
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 {
			return nil, badRequest("InvalidParameter", "The value of '$top' must be a positive number.")
		}
		top = min(n, mostListed)
	}
	key := func(item T) string { return strings.ToLower(id(item)) }
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if token := c.query.Get("$skiptoken"); token != "" {
		after, no := c.readToken(token)
		if no != nil {
			return nil, no
		}
		items = slices.DeleteFunc(items, func(item T) bool { return key(item) <= after })
	}
	page := list[T]{Value: append([]T{}, items[:min(top, len(items))]...)}
	if len(items) > top {
		next := url.Values{"api-version": {c.version}, "$skiptoken": {c.token(key(items[top-1]))}}
		for _, name := range []string{"$top", "$filter"} {
			if v := c.query.Get(name); v != "" {
				next.Set(name, v)
			}
		}
		page.NextLink = c.base + c.link + "?" + next.Encode()
	}
	return ok(page)
}

func (c *call) token(after string) string {
	return hex.EncodeToString(c.mac(after)) + hex.EncodeToString([]byte(after))
}

func (c *call) mac(after string) []byte {
	m := hmac.New(sha256.New, c.api.pageKey[:])
	for _, part := range []string{c.tenant.String(), c.caller.Access.Principal.String(), strings.ToLower(c.path), c.query.Get("$filter"), after} {
		_, _ = m.Write([]byte(strconv.Quote(part)))
	}
	return m.Sum(nil)
}

func (c *call) readToken(token string) (string, *failure) {
	bad := badRequest("InvalidSkipToken", "The value of '$skiptoken' is not one that was issued for this request.")
	raw, err := hex.DecodeString(token)
	if err != nil || len(raw) < sha256.Size {
		return "", bad
	}
	after := string(raw[sha256.Size:])
	if !hmac.Equal(raw[:sha256.Size], c.mac(after)) {
		return "", bad
	}
	return after, nil
}

// object is a JSON object of a body. Names compare without case, as the real
// service compares them.
type object []assertion.Member

func (o object) get(name string) json.RawMessage {
	for _, m := range o {
		if strings.EqualFold(m.Name, name) && string(m.Value) != "null" {
			return m.Value
		}
	}
	return nil
}

// text is the member if it is a string; "" when there is none.
func (o object) text(name string) (string, error) {
	raw := o.get(name)
	if raw == nil {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", badContent("the value of '" + name + "' must be a string")
	}
	return s, nil
}

// object is the member if it is an object; nil when there is none.
func (o object) object(name string) (object, error) {
	raw := o.get(name)
	if raw == nil {
		return nil, nil
	}
	return readObject(raw, name)
}

// bodyLimits bound a body's JSON (threats A3).
var bodyLimits = assertion.Limits{Depth: 32, Members: 20_000, String: maxBody}

func readObject(raw []byte, name string) (object, error) {
	members, err := assertion.ParseObject(raw, bodyLimits)
	if err != nil {
		return nil, badContent("'" + name + "' is not a JSON object, or holds a name twice, or nests too deep")
	}
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		folded := strings.ToLower(m.Name)
		if seen[folded] {
			return nil, badContent("'" + name + "' holds names that differ in case only")
		}
		seen[folded] = true
	}
	return members, nil
}

// body reads the request's JSON object.
func (c *call) body() (object, error) {
	if c.request.Header.Get("Content-Encoding") != "" {
		return nil, &failure{status: http.StatusUnsupportedMediaType, code: "UnsupportedMediaType", text: "The content encoding of the request is not supported."}
	}
	kind, params, err := mime.ParseMediaType(c.request.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, &failure{status: http.StatusUnsupportedMediaType, code: "UnsupportedMediaType",
			text: "The content media type '" + printable(c.request.Header.Get("Content-Type")) + "' is not supported. Only 'application/json' is supported."}
	}
	raw, err := io.ReadAll(c.request.Body)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &failure{status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLarge", text: "The request content exceeds the limit of " + strconv.Itoa(maxBody) + " bytes."}
	}
	if err != nil {
		return nil, badContent("the body could not be read to its end")
	}
	return readObject(raw, "body")
}

// own refuses a body whose id, name or type is not that of the resource.
func (o object) own(id, name, kind string) error {
	for _, m := range []struct{ member, want string }{{"id", id}, {"name", name}, {"type", kind}} {
		stated, err := o.text(m.member)
		if err != nil {
			return err
		}
		if parsed, ok := parseResourceID(stated); ok && m.member == "id" {
			stated = parsed.String()
			if of, ok := parseResourceID(m.want); ok {
				m.want = of.String()
			}
		}
		if stated != "" && !strings.EqualFold(stated, m.want) {
			return badContent("'" + m.member + "' is read-only and is not that of the resource in the request URI")
		}
	}
	return nil
}

// location is the region in the one spelling that is stored: "West Europe" and
// westeurope are the same.
func (o object) location() (string, error) {
	s, err := o.text("location")
	return strings.ToLower(strings.ReplaceAll(s, " ", "")), err
}

// Limits of tags. Source: "Use tags to organize your Azure resources", limitations.
const (
	maxTags     = 50
	maxTagName  = 512
	maxTagValue = 256
)

// tags checks the tags and returns them as they are kept; nil when the body has
// none.
func (o object) tags() (json.RawMessage, error) {
	tags, err := o.object("tags")
	if tags == nil || err != nil {
		return nil, err
	}
	if len(tags) > maxTags {
		return nil, badRequest("TooManyTags", "At most "+strconv.Itoa(maxTags)+" tags are allowed on a resource.")
	}
	kept := make(map[string]string, len(tags))
	for _, t := range tags {
		var value string
		if json.Unmarshal(t.Value, &value) != nil || t.Name == "" || len(t.Name) > maxTagName || len(value) > maxTagValue {
			return nil, badRequest("InvalidTag", "A tag has a name of at most "+strconv.Itoa(maxTagName)+" and a text of at most "+strconv.Itoa(maxTagValue)+" characters.")
		}
		kept[t.Name] = value
	}
	return json.Marshal(kept)
}

// orNone is the kept member, or an empty object.
func orNone(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("{}")
	}
	return raw
}
