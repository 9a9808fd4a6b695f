// Package route holds what every HTTP surface shares: the route table, in
// which each route states who may call it and how much it may cost, the
// normalising of paths, and the limits on connections.
package route

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// Auth says how a route learns who is calling. The zero Auth is invalid: a
// route that does not say stops the start.
type Auth int

// The authenticators.
const (
	_           Auth = iota
	Public           // anyone; answers what is published anyway
	ClientProof      // the body carries the client's proof; the token service verifies it
	HostAddress      // whoever reaches the address is a workload of the host
	HostSecret       // the host's secret header
	SameUser         // the operating system vouches that the peer is the platform's own user
	BearerToken      // an access token, verified by the handler
)

// Route is one entry of a table.
type Route struct {
	Method  string
	Path    string // "/{tenant}/oauth2/token": {x} matches one segment, other segments match without case
	Auth    Auth
	MaxBody int64         // bytes; 0 means that no body is read
	Timeout time.Duration // of the handler; must be set
	Handle  Handler
}

// Handler answers one request. A returned error is a fault: the surface's
// Fault function answers it.
type Handler func(w http.ResponseWriter, r *http.Request, p Params) error

// Params are the path's {x} segments in order, as the caller wrote them.
type Params []string

// Surface is how one family of endpoints answers what no route answers. All
// fields but Path are required.
type Surface struct {
	// Path reads a request's path for matching, without a slash at either end; ok
	// is false when it is no path of the surface. Nil means Clean. A surface whose
	// keys hold more than plain segments brings its own, which must give one
	// reading for each path and put one segment where the table has a parameter.
	Path func(*http.Request) (path string, ok bool)

	NotFound  func(w http.ResponseWriter, r *http.Request)
	BadMethod func(w http.ResponseWriter, r *http.Request, allowed []string)
	// Fault logs and answers a handler's error or panic; the text of err must
	// not be shown to strangers.
	Fault func(w http.ResponseWriter, r *http.Request, err error)
}

// Mux serves a table of routes. It never redirects.
type Mux struct {
	surface Surface
	routes  []compiled
}

type compiled struct {
	Route
	segments []string // "" stands for a parameter
	params   int
}

// New checks the table; an incomplete entry or two entries for one method and
// path are errors.
func New(surface Surface, routes ...Route) (*Mux, error) {
	m := &Mux{surface: surface}
	if surface.NotFound == nil || surface.BadMethod == nil || surface.Fault == nil {
		return nil, fmt.Errorf("route: the surface is incomplete")
	}
	seen := make(map[string]bool)
	for _, r := range routes {
		c := compiled{Route: r}
		for segment := range strings.SplitSeq(strings.TrimPrefix(r.Path, "/"), "/") {
			if strings.HasPrefix(segment, "{") {
				segment = ""
				c.params++
			}
			c.segments = append(c.segments, strings.ToLower(segment))
		}
		key := r.Method + " /" + strings.Join(c.segments, "/")
		switch {
		case r.Method == "" || !strings.HasPrefix(r.Path, "/") || r.Handle == nil:
			return nil, fmt.Errorf("route %s %s: incomplete", r.Method, r.Path)
		case r.Auth == 0:
			return nil, fmt.Errorf("route %s %s: names no authenticator", r.Method, r.Path)
		case r.Timeout <= 0:
			return nil, fmt.Errorf("route %s %s: names no timeout", r.Method, r.Path)
		case seen[key]:
			return nil, fmt.Errorf("route %s: stated twice", key)
		}
		seen[key] = true
		m.routes = append(m.routes, c)
	}
	return m, nil
}

// Routes lists the table, for tests that walk it.
func (m *Mux) Routes() []Route {
	all := make([]Route, 0, len(m.routes))
	for _, c := range m.routes {
		all = append(all, c.Route)
	}
	return all
}

// ServeHTTP implements http.Handler.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			m.surface.Fault(w, r, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	clean := m.surface.Path
	if clean == nil {
		clean = Clean
	}
	path, ok := clean(r)
	if !ok {
		m.surface.NotFound(w, r)
		return
	}
	var allowed []string
	var room [4]string
	for i := range m.routes {
		c := &m.routes[i]
		params, ok := c.match(path, room[:0])
		if !ok {
			continue
		}
		if c.Method != r.Method {
			allowed = append(allowed, c.Method)
			continue
		}
		if c.MaxBody > 0 {
			r.Body = http.MaxBytesReader(w, r.Body, c.MaxBody)
		} else {
			r.Body = http.NoBody
		}
		ctx, cancel := context.WithTimeout(r.Context(), c.Timeout)
		defer cancel()
		if err := c.Handle(w, r.WithContext(ctx), params); err != nil {
			m.surface.Fault(w, r, err)
		}
		return
	}
	if len(allowed) > 0 {
		m.surface.BadMethod(w, r, allowed)
		return
	}
	m.surface.NotFound(w, r)
}

func (c *compiled) match(path string, params Params) (Params, bool) {
	rest := path
	for i, want := range c.segments {
		segment, after, more := strings.Cut(rest, "/")
		if more == (i == len(c.segments)-1) {
			return nil, false
		}
		switch {
		case want == "" && segment != "":
			params = append(params, segment)
		case want == "" || !strings.EqualFold(segment, want):
			return nil, false
		}
		rest = after
	}
	return params, true
}

// Clean is the request's path without its leading slashes and without one
// trailing slash: the two liberties that real clients take. Anything else that
// is unusual in a path (an escape, a backslash, a semicolon, an empty or dot
// segment, a byte outside ASCII) makes it no path of ours. Nothing is decoded,
// so there is only one reading.
func Clean(r *http.Request) (string, bool) {
	path := r.URL.EscapedPath()
	if r.URL.Path != path || !strings.HasPrefix(path, "/") {
		return "", false
	}
	path = strings.TrimLeft(path, "/")
	path = strings.TrimSuffix(path, "/")
	for i := range len(path) {
		switch c := path[i]; {
		case c <= ' ' || c >= 0x7f || c == '\\' || c == ';' || c == '%':
			return "", false
		case c == '/' && (i == len(path)-1 || path[i+1] == '/'):
			return "", false
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "", false
		}
	}
	return path, true
}
