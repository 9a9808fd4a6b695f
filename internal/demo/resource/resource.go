// Package resource is a small protected HTTP resource. It stands for any API that
// applications call with an access token of the platform, and verifies the token
// as the real service's resource servers must: against the discovery document and
// the keys of the tenant that the token names, if that tenant is accepted here.
//
// What leaves the machine is decided by the configuration alone. A token picks
// among the configured tenants and can make the resource read their keys again,
// at most once in half a minute; it never supplies an address.
package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/route"
)

const (
	// skew is how far the platform's clock may differ from ours.
	skew = 5 * time.Minute
	// maxLife is the life of the longest token there is, a managed identity's.
	maxLife = 24 * time.Hour
	// remembered is how many good signatures need not be checked again.
	remembered = 1024
	// answerTime bounds one answer: the issuers' first reading and one more.
	answerTime = 2*fetchTime + time.Second
)

// Config says whose tokens a resource accepts and for what.
type Config struct {
	// Authority is the platform's public URL, such as https://localhost:8443,
	// without a path. Discovery is read from there and the keys must be there too;
	// issuers have whatever names the discovery documents give them.
	Authority string
	// Client trusts the platform's certificate. Its TLS configuration and dialler
	// are copied into a client that follows no redirect, keeps no cookie, presents
	// no certificate and knows no proxy. Required; its transport must be an
	// *http.Transport that verifies certificates, or nil.
	Client *http.Client
	// Tenants are the ids of the tenants whose tokens are accepted. Without any,
	// every token is refused.
	Tenants []string
	// Audiences are the accepted values of aud, compared exactly: the resource's
	// identifier URI (v1.0 tokens) and its client id. Without any, every token is
	// refused.
	Audiences []string
	// Role is the app role that a caller must hold. Required.
	Role string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log gets one line per request and one per failed reading of keys; nil drops them.
	Log *slog.Logger
}

// Resource is the protected resource: an http.Handler, safe for concurrent use. Only
// [New] makes useful ones.
type Resource struct {
	tenants   map[string]*tenant
	audiences []string
	role      string
	challenge string // authorization_uri
	verifier  *assertion.Verifier
	now       func() time.Time
	log       *slog.Logger
}

// New makes a resource. It reads nothing from the platform before the first token
// comes, so that either may be started first.
func New(c Config) (*Resource, error) {
	authority, err := parseAuthority(c.Authority)
	if err != nil {
		return nil, err
	}
	if c.Role == "" {
		return nil, errors.New("resource: Role is empty; name the app role that callers must hold")
	}
	if slices.Contains(c.Audiences, "") {
		return nil, errors.New("resource: one of Audiences is empty")
	}
	r := &Resource{
		tenants:   make(map[string]*tenant),
		audiences: slices.Clone(c.Audiences),
		role:      c.Role,
		challenge: "https://" + authority + "/common",
		verifier:  assertion.NewVerifier(remembered),
		now:       c.Now,
		log:       c.Log,
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	f, err := newFetcher(authority, c.Client)
	if err != nil {
		return nil, err
	}
	for _, id := range c.Tenants {
		id = strings.ToLower(id)
		if !isTenantID(id) {
			return nil, fmt.Errorf("resource: tenant %q is not a tenant id; names such as domains and common are not accepted", id)
		}
		r.tenants[id] = newTenant(id, f, r.log)
		r.challenge = "https://" + authority + "/" + id
	}
	if len(r.tenants) > 1 {
		r.challenge = "https://" + authority + "/common"
	}
	return r, nil
}

// isTenantID reports whether id is a GUID in lower case.
func isTenantID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i, c := range []byte(id) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// Decision is the answer to one token.
type Decision struct {
	// Status is 200, 401, 403 (a good token without the role) or 503 (the
	// platform's keys are needed and cannot be read).
	Status int
	// Reason says why not, in printable ASCII without double quote and backslash.
	// It is "" with status 200.
	Reason string
	// Claims is what the token says; nil unless Status is 200.
	Claims *assertion.Claims
}

func refused(status int, format string, args ...any) Decision {
	reason := strings.Map(func(c rune) rune {
		switch {
		case c == '"' || c == '\\':
			return '\''
		case c < ' ' || c > '~':
			return '?'
		}
		return c
	}, fmt.Sprintf(format, args...))
	return Decision{Status: status, Reason: reason}
}

// shown is the sender's text for use in a reason.
func shown(text string) string {
	const longest = 120
	if len(text) > longest {
		text = text[:longest] + "..."
	}
	return "'" + text + "'"
}

// Check decides about the value of a request's Authorization header. Nothing the
// token says is believed before its signature has been verified; until then it only
// picks among the tenants, and among their two issuers, that are accepted here.
func (r *Resource) Check(ctx context.Context, authorizationHeader string) Decision {
	// Step 1: Find the token.
	if authorizationHeader == "" {
		return refused(http.StatusUnauthorized, "the request has no Authorization header; send a bearer token")
	}
	scheme, raw, _ := strings.Cut(authorizationHeader, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return refused(http.StatusUnauthorized, "the Authorization header is not of scheme Bearer")
	}
	u, err := assertion.Parse(raw)
	if err != nil {
		return refusedToken(err)
	}

	// Step 2: Pick the issuer.
	said, err := u.ClaimsUnverified()
	if err != nil {
		return refusedToken(err)
	}
	t, ok := r.tenants[said.TenantID]
	if !ok {
		return refused(http.StatusUnauthorized, "tokens of tenant %s are not accepted here", shown(said.TenantID))
	}
	now := r.now()
	source, of := t.pick(ctx, u.Issuer(), now)
	switch {
	case of == nil && source != nil:
		return refused(http.StatusServiceUnavailable, "the discovery document or keys of tenant %s cannot be read now; try again", t.id)
	case of == nil:
		return refused(http.StatusUnauthorized, "issuer %s is none of tenant %s", shown(u.Issuer()), t.id)
	}

	// Step 3: Verify the token with that issuer's keys.
	claims, err := r.verify(u, of, now)
	if fault(err) == assertion.UnknownKey {
		if fresh := source.refresh(ctx, now); fresh != nil {
			of = fresh
		}
		claims, err = r.verify(u, of, now)
		if fault(err) == assertion.UnknownKey && of.foreign[u.KeyID()] {
			return refused(http.StatusUnauthorized, "key %s is published for another issuer or cloud than the token's", shown(u.KeyID()))
		}
	}
	if err != nil {
		return refusedToken(err)
	}

	// Step 4: Decide what it is worth here.
	return r.decide(claims, of)
}

func (r *Resource) verify(u *assertion.Unverified, of *issuer, now time.Time) (*assertion.Claims, error) {
	return r.verifier.Verify(u, assertion.Expectation{
		Keys:       of.keys,
		Algorithms: []string{"RS256"},
		Skew:       skew,
		MaxLife:    maxLife,
	}, now)
}

// decide is the order of threats.md section 2: issuer, tenant, version, audience, kind of
// token, role. The keys' scope has been decided when they were read.
func (r *Resource) decide(c *assertion.Claims, of *issuer) Decision {
	switch {
	case c.Issuer != of.name:
		return refused(http.StatusUnauthorized, "issuer %s is not the one in the discovery document, %s", shown(c.Issuer), of.name)
	case c.TenantID != of.tenant:
		return refused(http.StatusUnauthorized, "tenant %s is not the issuer's", shown(c.TenantID))
	case c.Version != of.version:
		return refused(http.StatusUnauthorized, "version %s is not the issuer's, %s", shown(c.Version), of.version)
	case !slices.Contains(r.audiences, c.Audience):
		return refused(http.StatusUnauthorized, "the token is for audience %s, not for this resource (%s)", shown(c.Audience), strings.Join(r.audiences, ", "))
	case c.IDType != "app" || c.Scope != "":
		return refused(http.StatusUnauthorized, "the token was not issued to an application as itself; idtyp must be app and scp absent")
	case c.ObjectID == "" || callerID(c) == "":
		return refused(http.StatusUnauthorized, "the token names no service principal (oid) or no application")
	case !slices.Contains(c.Roles, r.role):
		return refused(http.StatusForbidden, "insufficient permissions: the application lacks app role %s in tenant %s; assign it and ask for a new token", shown(r.role), c.TenantID)
	}
	return Decision{Status: http.StatusOK, Claims: c}
}

// callerID is the client id of the application, under the name of the token's version.
func callerID(c *assertion.Claims) string {
	if c.Version == version1 {
		return c.AppID
	}
	return c.AuthorizedParty
}

// fault is 0 for nil.
func fault(err error) assertion.Fault {
	if refusal, ok := errors.AsType[*assertion.Error](err); ok {
		return refusal.Fault
	}
	return 0
}

func refusedToken(err error) Decision {
	refusal, ok := errors.AsType[*assertion.Error](err)
	if !ok {
		return refused(http.StatusUnauthorized, "the token cannot be verified")
	}
	more := ""
	switch refusal.Fault {
	case assertion.Expired, assertion.LifeTooLong:
		more = " (exp " + refusal.Expires.Format(time.RFC3339) + ")"
	case assertion.NotYetValid:
		more = " (from " + refusal.NotBefore.Format(time.RFC3339) + ")"
	case assertion.UnknownKey, assertion.BadSignature:
		more = " (kid " + shown(refusal.KeyID) + ")"
	}
	return refused(http.StatusUnauthorized, "%s: %s%s", refusal.Fault, refusal.Detail, more)
}

// caller is what the resource answers about who called.
type caller struct {
	TenantID string   `json:"tid"`
	ClientID string   `json:"appid"` // azp in v2.0 tokens
	ObjectID string   `json:"oid"`
	Roles    []string `json:"roles"`
	Version  string   `json:"ver"`
	Audience string   `json:"aud"`
}

type welcome struct {
	Message string `json:"message"`
	Caller  caller `json:"caller"`
}

type refusal struct {
	Error  string `json:"error"`
	Reason string `json:"reason"`
}

// ServeHTTP answers GET / for callers with a good token. It reads no body.
func (r *Resource) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path, ok := route.Clean(req)
	switch {
	case !ok || path != "":
		writeJSON(w, http.StatusNotFound, refusal{"not_found", "there is nothing here but GET /"})
		return
	case req.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		writeJSON(w, http.StatusMethodNotAllowed, refusal{"method_not_allowed", "only GET is answered"})
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), answerTime)
	defer cancel()

	var d Decision
	switch values := req.Header["Authorization"]; len(values) {
	case 0:
		d = r.Check(ctx, "")
	case 1:
		d = r.Check(ctx, values[0])
	default:
		d = refused(http.StatusUnauthorized, "the request has several Authorization headers")
	}
	r.answer(w, d)

	line := []any{"source", route.Source(req), "status", d.Status}
	if d.Claims != nil {
		line = append(line, "tid", d.Claims.TenantID, "appid", callerID(d.Claims), "oid", d.Claims.ObjectID, "token", d.Claims.ID)
	} else {
		line = append(line, "reason", d.Reason)
	}
	r.log.InfoContext(ctx, "resource called", line...)
}

func (r *Resource) answer(w http.ResponseWriter, d Decision) {
	switch d.Status {
	case http.StatusOK:
		c := d.Claims
		writeJSON(w, d.Status, welcome{
			Message: "the token is good: this application may read this resource",
			Caller: caller{
				TenantID: c.TenantID, ClientID: callerID(c), ObjectID: c.ObjectID,
				Roles: c.Roles, Version: c.Version, Audience: c.Audience,
			},
		})
	case http.StatusForbidden:
		writeJSON(w, d.Status, refusal{"insufficient_permissions", d.Reason})
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
		writeJSON(w, d.Status, refusal{"temporarily_unavailable", d.Reason})
	default:
		// RFC 6750 section 3. The reason needs no escape, see Decision.
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization_uri="%s", error="invalid_token", error_description="%s"`, r.challenge, d.Reason))
		writeJSON(w, http.StatusUnauthorized, refusal{"invalid_token", d.Reason})
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil { // the bodies are strings only
		status, data = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A write error means that the caller has gone; there is nobody to tell.
	_, _ = w.Write(data)
}
