// Package graphapi is the directory's face on the wire: the part of Microsoft
// Graph that manages workload identities, in versions v1.0 and beta. It parses,
// calls package manage and renders; it decides nothing. It is the only home of
// Graph's error codes.
package graphapi

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
	"github.com/avouch/avouch/internal/route"
)

// Config is what the API needs. All fields but Explain are required.
type Config struct {
	Manage *manage.Service
	// Authenticate verifies a bearer token; its refusal is a *sts.BearerError.
	Authenticate func(bearer string, audiences []string) (*access.Caller, error)
	Cloud        *directory.Cloud
	Audiences    []string // of tokens for this API, compared whole and exact
	// SignIns and Changes read the records of the tenant that the query names.
	SignIns func(context.Context, audit.Query) ([]audit.SignIn, error)
	Changes func(context.Context, audit.Query) ([]audit.Change, error)
	Log     *slog.Logger
	Now     func() time.Time
	// Explain adds to a refusal what is missing and how to mend it: for platforms
	// whose callers are their administrators.
	Explain bool
}

// API serves Microsoft Graph.
type API struct {
	manage       *manage.Service
	authenticate func(string, []string) (*access.Caller, error)
	cloud        *directory.Cloud
	audiences    []string
	signIns      func(context.Context, audit.Query) ([]audit.SignIn, error)
	changes      func(context.Context, audit.Query) ([]audit.Change, error)
	log          *slog.Logger
	now          func() time.Time
	explain      bool

	pages   cipher.AEAD // seals the places where pages end
	repeats repeats     // answers to creations
}

// New makes the API. Page tokens are sealed under a key of this process: after
// a restart, lists are read from their start again.
func New(cfg Config) *API {
	var key [32]byte
	rand.Read(key[:]) // never fails
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key's length is a constant
	}
	pages, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &API{
		manage: cfg.Manage, authenticate: cfg.Authenticate, cloud: cfg.Cloud, audiences: cfg.Audiences,
		signIns: cfg.SignIns, changes: cfg.Changes, log: cfg.Log, now: cfg.Now, explain: cfg.Explain, pages: pages,
	}
}

// Limits of the operations. Sources: docs/limits.md.
const (
	maxBody     = 1 << 20 // bytes of a body, unpacked too
	handlerTime = 30 * time.Second
)

// call is one request to one operation.
type call struct {
	ctx context.Context
	w   http.ResponseWriter
	r   *http.Request
	api *API
	op  *Operation

	version string   // "v1.0" or "beta"
	base    string   // what links begin with, the version included
	params  []string // the path's {x} segments, decoded
	query   *odata.Query
	caller  manage.Caller // with Access, Need and Correlation
	tenant  directory.TenantID

	id       string // of the request
	clientID string // client-request-id; the request's own when there is none
	named    string // the object that a "not found" names; by default the last parameter
}

// identified is what is known of a request before it is matched.
type identified struct {
	id, clientID string
	caller       *access.Caller
	refused      error // why there is no caller
	mux          *route.Mux
	inBatch      bool
}

type identifiedKey struct{}

func identityOf(r *http.Request) *identified {
	return r.Context().Value(identifiedKey{}).(*identified)
}

// Handler serves every operation. Links begin with the base, which is
// configured and never read from a request: "https://localhost:8443/graph" or
// "https://graph.microsoft.com". Request paths arrive without the base's own
// path. A table with a gap in it is an error.
func (a *API) Handler(base string) (http.Handler, error) {
	routes, err := a.table(strings.TrimSuffix(base, "/"))
	if err != nil {
		return nil, err
	}
	mux, err := route.New(a.surface(), routes...)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := &identified{id: directory.NewObjectID().String(), mux: mux}
		who.clientID = who.id
		if id, err := directory.ParseObjectID(r.Header.Get("client-request-id")); err == nil {
			who.clientID = id.String()
		}
		who.caller, who.refused = a.authenticateRequest(r)
		a.writeHeaders(w, who)
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identifiedKey{}, who)))
	}), nil
}

func (a *API) authenticateRequest(r *http.Request) (*access.Caller, error) {
	var bearer string
	if values := r.Header.Values("Authorization"); len(values) == 1 {
		scheme, token, _ := strings.Cut(values[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			bearer = strings.TrimSpace(token)
		}
	}
	return a.authenticate(bearer, a.audiences)
}

func (a *API) surface() route.Surface {
	return route.Surface{
		Path: func(r *http.Request) (string, bool) { return readPath(r.URL.EscapedPath()) },
		NotFound: func(w http.ResponseWriter, r *http.Request) {
			if who := identityOf(r); who.refused != nil {
				a.fail(w, r, a.unauthenticated(who.refused), "")
				return
			}
			a.fail(w, r, a.noSuchSegment(r), "")
		},
		BadMethod: func(w http.ResponseWriter, r *http.Request, allowed []string) {
			if who := identityOf(r); who.refused != nil {
				a.fail(w, r, a.unauthenticated(who.refused), "")
				return
			}
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			a.fail(w, r, badMethod(), "")
		},
		Fault: func(w http.ResponseWriter, r *http.Request, err error) { a.fail(w, r, err, "") },
	}
}
