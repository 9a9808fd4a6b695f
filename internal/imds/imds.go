// Package imds holds the managed identity endpoints: where a workload asks the
// host it runs on for a managed identity's token. One file is one dialect, as
// the client libraries speak it. The endpoints parse, guard, ask the token
// service and render; which identity a host may use is decided elsewhere.
//
// They listen apart from everything else, on plain HTTP, at local addresses
// only (CheckAddress). They never redirect, never decode a path, and never
// answer a web page.
package imds

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/route"
	"github.com/avouch/avouch/internal/sts"
)

// Issuer issues the tokens. The error is a *sts.Refusal for every decided
// "no". What it returns is shared: it is not changed here. It must not keep
// rec after it returned.
type Issuer interface {
	Identity(ctx context.Context, req sts.IdentityRequest, rec *audit.SignIn) (*sts.IdentityResponse, error)
}

// Config is what the endpoints need. Issuer, Records, Log and Describe are
// required.
type Config struct {
	Issuer Issuer
	// Records takes finished sign-in records. Record must not block on storage.
	Records interface{ Record(audit.SignIn) }
	Log     *slog.Logger
	Now     func() time.Time // nil means time.Now
	// Describe is the token service's words for a refusal. It is not asked
	// about the reasons that concern which identity a host may use: the token
	// service has no number for those.
	Describe func(*sts.Refusal) (code int, oauthError, text string)
	// Throttle makes every host keep to the rate of the original service: 20
	// token requests a second with bursts of 40, and 5 at once. It is for
	// rehearsal and off by default.
	Throttle bool
}

// Service makes the handlers of the dialects. Its methods may be called
// concurrently.
type Service struct {
	issuer   Issuer
	records  interface{ Record(audit.SignIn) }
	log      *slog.Logger
	now      func() time.Time
	describe func(*sts.Refusal) (code int, oauthError, text string)
	throttle bool

	mu     sync.Mutex
	meters map[caller]*meter

	warnings rate.Sometimes // a flood of foreign requests is not a flood of log lines
	scratch  sync.Pool
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{
		issuer: cfg.Issuer, records: cfg.Records, log: cfg.Log, now: cfg.Now,
		describe: cfg.Describe, throttle: cfg.Throttle,
		meters:   make(map[caller]*meter),
		warnings: rate.Sometimes{First: 10, Interval: time.Second},
		scratch:  sync.Pool{New: func() any { return new(scratch) }},
	}
}

// caller is the host on whose behalf a request comes.
type caller struct {
	tenant directory.TenantID
	host   directory.ObjectID
}

// dialect is how one family of clients wants to be answered.
type dialect struct {
	soleUser bool     // without a selector, an only user-assigned identity will do
	server   []string // the Server header; nil for none
	// success appends the body that gives out a token.
	success func(b []byte, q *query, r *sts.IdentityResponse) []byte
	// failure appends the body of an error.
	failure func(b []byte, f *failure, correlation string) []byte
}

// failure is an answer that gives out no token.
type failure struct {
	status   int
	oauth    string // OAuth-like error code, for the dialects that have one
	text     string // for people; says what is wrong and what to do
	versions bool   // the api-version is absent or unsupported
}

func badRequest(text string) *failure {
	return &failure{status: http.StatusBadRequest, oauth: "invalid_request", text: text}
}

// Header values are shared: the HTTP server only reads them.
var (
	jsonType = []string{"application/json; charset=utf-8"}
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
	onlyGet  = []string{http.MethodGet}
	oneSec   = []string{"1"}
)

// surface answers what no route of the dialect answers.
func (s *Service) surface(d *dialect) route.Surface {
	return route.Surface{
		NotFound: func(w http.ResponseWriter, r *http.Request) {
			s.fail(w, r, d, s.event(r), &failure{
				status: http.StatusNotFound, oauth: "not_found", text: "There is no such endpoint here.",
			})
		},
		BadMethod: func(w http.ResponseWriter, r *http.Request, _ []string) {
			w.Header()["Allow"] = onlyGet
			s.fail(w, r, d, s.event(r), &failure{
				status: http.StatusMethodNotAllowed, oauth: "method_not_allowed", text: "Only GET is answered here.",
			})
		},
		Fault: func(w http.ResponseWriter, r *http.Request, err error) {
			ev := s.event(r)
			s.log.Error("a managed identity request failed", "trace", ev.trace, "error", err)
			s.fail(w, r, d, ev, internalFault())
		},
	}
}

func internalFault() *failure {
	return &failure{
		status: http.StatusInternalServerError, oauth: "server_error",
		text: "The managed identity endpoint failed. Its log says why.",
	}
}

// newGuard prepares the defence of one listening address; the host names are
// what its clients may have in the Host header.
func newGuard(hostNames []string) (*guard, error) {
	if len(hostNames) == 0 {
		return nil, fmt.Errorf("imds: no host name is given: a browser could be led here by any name")
	}
	g := &guard{names: make(map[string]bool, len(hostNames))}
	for _, name := range hostNames {
		if name == "" || strings.ContainsAny(name, "/*@ \t") {
			return nil, fmt.Errorf("imds: %q is not a Host header value", name)
		}
		g.names[plainHost(name)] = true
	}
	return g, nil
}
