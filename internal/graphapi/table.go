package graphapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
	"github.com/avouch/avouch/internal/route"
)

// options are the query options that an operation offers.
type options uint8

const (
	selecting options = 1 << iota
	filtering
	ordering
	searching
	paging // $top, and going on behind a page
	counting
	expanding

	listing = selecting | filtering | ordering | searching | paging | counting
)

// Operation is one entry of the table: what is called, and what its caller
// needs. An entry without a Need must be Public.
type Operation struct {
	Method   string
	Path     string // below the version: "/applications/{id}/owners"
	Need     access.Permission
	Public   bool     // any authenticated caller: the operation tells nothing that needs a right
	Versions []string // nil: v1.0 and beta

	Query   *odata.Schema // what $select, $filter and so on may name; nil: no options at all
	Options options
	MaxBody int64 // 0: maxBody for POST, PATCH and PUT, and no body otherwise

	Handle func(*call) error
}

var versions = []string{"v1.0", "beta"}

// Routes lists every operation, for tests and documents that walk the table.
func (a *API) Routes() []Operation {
	all := slices.Concat(
		a.batchRoutes(),
		a.applicationRoutes(),
		a.federatedRoutes(),
		a.ownerRoutes(),
		a.keyRoutes(),
		a.principalRoutes(),
		a.deletedRoutes(),
		a.peopleRoutes(),
		a.roleRoutes(),
		a.grantRoutes(),
		a.organizationRoutes(),
		a.auditRoutes(),
	)
	// The first route that fits is taken, so that what is named stands before
	// what is any key: /applications/$count before /applications/{id}.
	slices.SortStableFunc(all, func(x, y Operation) int { return strings.Compare(order(x.Path), order(y.Path)) })
	return all
}

func order(path string) string { return strings.ReplaceAll(path, "{", "\U0010ffff") }

// table makes the routes of both versions.
func (a *API) table(base string) ([]route.Route, error) {
	var routes []route.Route
	for _, op := range a.Routes() {
		if op.Handle == nil {
			return nil, fmt.Errorf("graphapi: %s %s has no handler", op.Method, op.Path)
		}
		if none := len(op.Need.Delegated) == 0 && len(op.Need.Application) == 0 && op.Need.Action == ""; none != op.Public {
			return nil, fmt.Errorf("graphapi: %s %s must either state what its caller needs or be public", op.Method, op.Path)
		}
		if op.Options != 0 && op.Query == nil {
			return nil, fmt.Errorf("graphapi: %s %s offers query options of no schema", op.Method, op.Path)
		}
		if op.MaxBody == 0 {
			switch op.Method {
			case http.MethodPost, http.MethodPatch, http.MethodPut:
				op.MaxBody = maxBody
			}
		}
		for _, version := range versions {
			if op.Versions != nil && !slices.Contains(op.Versions, version) {
				continue
			}
			routes = append(routes, route.Route{
				Method: op.Method, Path: "/" + version + op.Path, Auth: route.BearerToken,
				MaxBody: op.MaxBody, Timeout: handlerTime, Handle: a.handle(&op, version, base+"/"+version),
			})
		}
	}
	return routes, nil
}

// handle is what comes before every operation: who calls, and what the query asks.
func (a *API) handle(op *Operation, version, base string) route.Handler {
	return func(w http.ResponseWriter, r *http.Request, p route.Params) error {
		who := identityOf(r)
		if who.refused != nil {
			a.fail(w, r, a.unauthenticated(who.refused), "")
			return nil
		}
		c := &call{
			ctx: r.Context(), w: w, r: r, api: a, op: op, version: version, base: base,
			caller: manage.Caller{Actor: manage.ActorOf(who.caller), Correlation: who.clientID, Access: who.caller, Need: op.Need},
			tenant: who.caller.Tenant, id: who.id, clientID: who.clientID,
		}
		if err := c.run(p); err != nil {
			a.fail(w, r, err, c.named)
		}
		return nil
	}
}

func (c *call) run(p route.Params) error {
	for _, escaped := range p {
		param, err := url.PathUnescape(escaped)
		if err != nil || strings.HasPrefix(param, "$") {
			return segmentNotFound(escaped)
		}
		c.params = append(c.params, param)
		_, c.named = keyOf(param)
	}
	var err error
	if c.query, err = odata.Parse(c.r.URL.RawQuery); err != nil {
		return err
	}
	if err := c.offered(); err != nil {
		return err
	}
	return c.once(func() error { return c.op.Handle(c) })
}

// offered refuses query options that the operation has no use for: an option
// that is skipped would give an answer to another question.
func (c *call) offered() error {
	q, has := c.query, c.op.Options
	for _, o := range []struct {
		name string
		bit  options
		set  bool
	}{
		{"$select", selecting, q.Select != nil}, {"$filter", filtering, q.Filter != nil}, {"$orderby", ordering, q.OrderBy != nil},
		{"$search", searching, q.Search != nil}, {"$top", paging, q.Top != 0}, {"$skiptoken", paging, q.SkipToken != ""},
		{"$count", counting, q.Count}, {"$expand", expanding, q.Expand != nil},
	} {
		if o.set && has&o.bit == 0 {
			return badRequest("The query option '%s' is not offered by %s %s: leave it out.", o.name, c.op.Method, c.op.Path)
		}
	}
	if c.op.Query == nil {
		return nil
	}
	return q.Check(c.op.Query, c.eventual())
}

// eventual reports whether the caller accepts advanced queries.
func (c *call) eventual() bool {
	return strings.EqualFold(c.r.Header.Get("ConsistencyLevel"), "eventual")
}
