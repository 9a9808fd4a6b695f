package graphapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

// maxBatch is how many requests one batch may hold. Source: "Combine multiple
// HTTP requests using JSON batching" in the documentation of Microsoft Graph.
const maxBatch = 20

func (a *API) batchRoutes() []Operation {
	return []Operation{
		{Method: http.MethodPost, Path: "/$batch", Public: true, MaxBody: 4 << 20, Handle: runBatch},
	}
}

type batchPart struct {
	ID        string
	Method    string
	URL       string
	Headers   map[string]string
	Body      json.RawMessage
	DependsOn []string
}

// runBatch carries out the parts one after another, each as a request of its own
// through the same table, so that each is authorised by itself (threats A6).
func runBatch(c *call) error {
	// Step 1: Read all parts before any is carried out.
	parts, err := readBatch(c)
	if err != nil {
		return err
	}

	// Step 2: Carry them out in their order.
	who := identityOf(c.r)
	if who.inBatch {
		return badRequest("A batch cannot hold a batch.")
	}
	failed := make(map[string]bool)
	replies := make([]entity, 0, len(parts))
	for _, part := range parts {
		reply := &recorded{header: make(http.Header)}
		r, err := c.partRequest(part)
		if err != nil {
			return err
		}
		inner := &identified{id: directory.NewObjectID().String(), clientID: who.clientID, caller: who.caller, mux: who.mux, inBatch: true}
		r = r.WithContext(context.WithValue(c.ctx, identifiedKey{}, inner))
		if slices.ContainsFunc(part.DependsOn, func(id string) bool { return failed[id] }) {
			c.api.fail(reply, r, &fault{status: http.StatusFailedDependency, code: "FailedDependency", message: "A request that this one depends on has failed."}, "")
		} else {
			who.mux.ServeHTTP(reply, r)
		}
		failed[part.ID] = reply.status >= http.StatusBadRequest
		replies = append(replies, reply.entity(part.ID))
	}

	// Step 3: Answer them together.
	return writeJSON(c.w, http.StatusOK, entity{{"responses", replies}})
}

func readBatch(c *call) ([]batchPart, error) {
	b, err := c.readBody()
	if err != nil {
		return nil, err
	}
	if err := b.refuse("batchRequest", "requests"); err != nil {
		return nil, err
	}
	elements, err := objects(b["requests"], "requests")
	if err != nil {
		return nil, err
	}
	if len(elements) == 0 || len(elements) > maxBatch {
		return nil, badRequest("A batch holds between 1 and %d requests; this one has %d.", maxBatch, len(elements))
	}
	seen := make(map[string]bool)
	var parts []batchPart
	for i, e := range elements {
		at := fmt.Sprintf("requests[%d]", i)
		if err := e.refuse("batchRequestStep", "id", "method", "url", "headers", "body", "dependsOn"); err != nil {
			return nil, err
		}
		var p batchPart
		if _, err := e.text("id", &p.ID); err != nil {
			return nil, err
		}
		if _, err := e.text("method", &p.Method); err != nil {
			return nil, err
		}
		if _, err := e.text("url", &p.URL); err != nil {
			return nil, err
		}
		if _, err := e.texts("dependsOn", &p.DependsOn); err != nil {
			return nil, err
		}
		if raw, ok := e["headers"]; ok && json.Unmarshal(raw, &p.Headers) != nil {
			return nil, wrongType(at+".headers", "Edm.ComplexType")
		}
		p.Body = e["body"]
		switch {
		case p.ID == "" || seen[p.ID]:
			return nil, badRequest("%s: 'id' is required and must be its own.", at)
		case !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete}, strings.ToUpper(p.Method)):
			return nil, badRequest("%s: '%s' is not a method.", at, printable(p.Method))
		case !strings.HasPrefix(p.URL, "/"):
			return nil, badRequest("%s: 'url' is a path below the version, beginning with a slash.", at)
		}
		for _, id := range p.DependsOn {
			if !seen[id] {
				return nil, badRequest("%s: depends on '%s', which is not an earlier request of this batch.", at, printable(id))
			}
		}
		path, _, _ := strings.Cut(p.URL, "?")
		if read, ok := readPath(path); ok && strings.EqualFold(read, "$batch") {
			return nil, badRequest("%s: a batch cannot hold a batch.", at)
		}
		seen[p.ID] = true
		parts = append(parts, p)
	}
	return parts, nil
}

// partRequest is a part as a request. Of its headers, only those count that
// change what is asked for: never who asks.
func (c *call) partRequest(p batchPart) (*http.Request, error) {
	path, query, _ := strings.Cut(p.URL, "?")
	u := &url.URL{RawQuery: query}
	escaped := "/" + c.version + path
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, badRequest("The url of request '%s' is not valid percent-encoding.", printable(p.ID))
	}
	u.Path, u.RawPath = decoded, escaped
	if u.EscapedPath() != escaped {
		// Blanks and the like, which clients put there unescaped.
		u.RawPath = ""
	}
	r := &http.Request{Method: strings.ToUpper(p.Method), URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header), Body: http.NoBody, RemoteAddr: c.r.RemoteAddr}
	for name, value := range p.Headers {
		switch http.CanonicalHeaderKey(name) {
		case "Content-Type", "Consistencylevel", "Prefer", "If-Match", "If-None-Match":
			r.Header.Set(name, value)
		}
	}
	if p.Body != nil && string(p.Body) != "null" {
		r.Body = io.NopCloser(bytes.NewReader(p.Body))
		if r.Header.Get("Content-Type") == "" {
			r.Header.Set("Content-Type", "application/json")
		}
	}
	return r, nil
}

// recorded is the reply to a part.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorded) Header() http.Header { return r.header }
func (r *recorded) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}
func (r *recorded) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

func (r *recorded) entity(id string) entity {
	headers := entity{}
	for _, name := range []string{"Content-Type", "Location", "ETag", "Retry-After", "OData-Version"} {
		if v := r.header.Get(name); v != "" {
			headers = append(headers, property{name, v})
		}
	}
	headers = append(headers, property{"Cache-Control", "no-cache"})
	e := entity{{"id", id}, {"status", r.status}, {"headers", headers}}
	switch {
	case r.body.Len() == 0:
	case strings.HasPrefix(r.header.Get("Content-Type"), "application/json"):
		e = append(e, property{"body", json.RawMessage(r.body.Bytes())})
	default:
		e = append(e, property{"body", r.body.String()})
	}
	return e
}
