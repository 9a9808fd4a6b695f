// Package tokenapi is the token service's face on the wire: discovery, key
// sets, instance discovery and the token endpoints, version 1 and version 2.
// It parses, calls package sts and renders; it decides nothing. It is the only
// home of AADSTS numbers.
package tokenapi

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/keyring"
	"github.com/avouch/avouch/internal/route"
	"github.com/avouch/avouch/internal/sts"
)

// Recorder takes finished sign-in records. Record must not block on storage.
type Recorder interface {
	Record(audit.SignIn)
}

// Config is what the endpoints need. PublicURL and all others but Explain are
// required.
type Config struct {
	Service *sts.Service
	Keys    *keyring.Ring
	Records Recorder
	Log     *slog.Logger
	Now     func() time.Time
	// PublicURL is the platform's own base, such as https://localhost:8443,
	// without a slash at the end. It stands in documents served to any host
	// name that is not in Hosts: nothing is ever built from a Host header.
	PublicURL string
	// Hosts maps further Host header values, in lower case and with the port
	// where there is one, to the base URL that documents served under them
	// name. A client that came by one name must be sent on under that name.
	Hosts map[string]string
	// Explain adds the edit that mends a refusal to its description: for
	// platforms whose callers are their administrators.
	Explain bool
}

// API serves the token service.
type API struct {
	service   *sts.Service
	keys      *keyring.Ring
	records   Recorder
	log       *slog.Logger
	now       func() time.Time
	publicURL string
	hosts     map[string]string
	explain   bool
}

// New makes the API.
func New(cfg Config) *API {
	return &API{
		service: cfg.Service, keys: cfg.Keys, records: cfg.Records, log: cfg.Log, now: cfg.Now,
		publicURL: cfg.PublicURL, hosts: cfg.Hosts, explain: cfg.Explain,
	}
}

// Limits of the routes. Sources: docs/limits.md.
const (
	maxForm    = 64 << 10
	tokenTime  = 15 * time.Second
	publicTime = 5 * time.Second
)

// Handler is the whole surface. A table with a gap in it is an error.
func (a *API) Handler() (http.Handler, error) {
	mux, err := route.New(a.surface(), a.routes()...)
	if err != nil {
		return nil, err
	}
	return mux, nil
}

func (a *API) routes() []route.Route {
	get := func(path string, h route.Handler) route.Route {
		return route.Route{Method: http.MethodGet, Path: path, Auth: route.Public, Timeout: publicTime, Handle: h}
	}
	post := func(path string, h route.Handler) route.Route {
		return route.Route{Method: http.MethodPost, Path: path, Auth: route.ClientProof, MaxBody: maxForm, Timeout: tokenTime, Handle: h}
	}
	return []route.Route{
		post("/{tenant}/oauth2/v2.0/token", a.token(version2)),
		post("/{tenant}/oauth2/token", a.token(version1)),
		post("/{tenant}/oauth2/v2.0/devicecode", a.deviceCode),
		post("/{tenant}/oauth2/devicecode", a.deviceCode),
		get("/{tenant}/v2.0/.well-known/openid-configuration", a.discovery(version2)),
		get("/{tenant}/.well-known/openid-configuration", a.discovery(version1)),
		get("/{tenant}/discovery/v2.0/keys", a.keySet(version2)),
		get("/{tenant}/discovery/keys", a.keySet(version1)),
		get("/common/discovery/instance", a.instance),
		get("/health", a.health),
	}
}

// version is which generation of the protocol an endpoint speaks. It does not
// decide the format of the token: the resource does.
type version int

const (
	version1 version = 1
	version2 version = 2
)

func (a *API) surface() route.Surface {
	return route.Surface{
		NotFound: func(w http.ResponseWriter, r *http.Request) {
			a.fail(w, a.event(r), notThere(r.URL.Path))
		},
		BadMethod: func(w http.ResponseWriter, r *http.Request, allowed []string) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			a.fail(w, a.event(r), badVerb(allowed, r.Method))
		},
		Fault: func(w http.ResponseWriter, r *http.Request, err error) { a.fault(w, r, a.event(r), err) },
	}
}

// fault logs and answers what is no decision.
func (a *API) fault(w http.ResponseWriter, r *http.Request, ev *event, err error) {
	a.log.Error("request failed", "path", r.URL.Path, "trace", ev.trace, "error", err)
	a.fail(w, ev, internalFault())
}

// base is the URL that documents served for this request name. Only
// configured values are ever returned (threats K8).
func (a *API) base(r *http.Request) string {
	if base, ok := a.hosts[strings.ToLower(r.Host)]; ok {
		return base
	}
	return a.publicURL
}

// health answers liveness checks: reaching it is the answer.
func (a *API) health(w http.ResponseWriter, r *http.Request, _ route.Params) error {
	return writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}
