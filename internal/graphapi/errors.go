package graphapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/odata"
	"github.com/avouch/avouch/internal/problem"
	"github.com/avouch/avouch/internal/sts"
)

// fault is one error of the wire contract: the status and code that clients
// branch on, and a text that some of them compare. Sources: reference/graph.md,
// 1.2 and 2.4.
type fault struct {
	status  int
	code    string
	message string
	details []detail
	kind    problem.Kind // for records
}

// detail is one element of an error's details.
type detail struct {
	Code        string `json:"code"`
	Message     string `json:"message"`
	Target      string `json:"target"`
	BlockedWord string `json:"blockedWord"`
	Prefix      string `json:"prefix"`
	Suffix      string `json:"suffix"`
}

func (f *fault) Error() string { return f.code + ": " + f.message }

// Unwrap lets records tell a refusal from a failure of ours.
func (f *fault) Unwrap() error { return &problem.Error{Kind: f.kind, Message: f.message} }

// The texts that clients compare.
const (
	insufficient  = "Insufficient privileges to complete the operation."
	sizeExceeded  = "The size of the object has exceeded its limit. Please reduce the number of values and retry your request."
	alreadyLinked = "One or more added object references already exist for the following modified properties: '%s'."
	notLinked     = "One or more removed object references do not exist for the following modified properties: '%s'."
	conflicting   = "A conflicting object with one or more of the specified property values is present in the directory."
	notDisabled   = "Permission (scope or role) cannot be deleted or updated unless disabled first."
	badReference  = "Not a valid reference update."
)

// badRequest is a breach of a rule.
func badRequest(format string, args ...any) *fault {
	return &fault{status: http.StatusBadRequest, code: "Request_BadRequest", message: fmt.Sprintf(format, args...), kind: problem.Invalid}
}

func unsupportedQuery(text string) *fault {
	return &fault{status: http.StatusBadRequest, code: "Request_UnsupportedQuery", message: text, kind: problem.Invalid}
}

// notFound tells of an object that is absent, deleted or another tenant's: the
// same in each case.
func notFound(what string) *fault {
	return &fault{
		status: http.StatusNotFound, code: "Request_ResourceNotFound", kind: problem.NotFound,
		message: fmt.Sprintf("Resource '%s' does not exist or one of its queried reference-property objects are not present.", printable(what)),
	}
}

// sameKey is a conflict with an object that exists.
func sameKey(format string, args ...any) *fault {
	f := &fault{status: http.StatusConflict, code: "Request_MultipleObjectsWithSameKeyValue", message: fmt.Sprintf(format, args...), kind: problem.Conflict}
	f.details = []detail{{Code: "ObjectConflict", Message: f.message}}
	return f
}

func deniedFault() *fault {
	return &fault{status: http.StatusForbidden, code: "Authorization_RequestDenied", message: insufficient, kind: problem.Denied}
}

func preconditionFailed() *fault {
	return &fault{status: http.StatusPreconditionFailed, code: "Request_PreconditionFailed", kind: problem.Conflict,
		message: "The object has changed since the state that If-Match names: read it again."}
}

func badMethod() *fault {
	return &fault{status: http.StatusMethodNotAllowed, code: "Request_BadRequest", message: "Specified HTTP method is not allowed for the request target.", kind: problem.Invalid}
}

func segmentNotFound(segment string) *fault {
	return &fault{status: http.StatusBadRequest, code: "BadRequest", kind: problem.Invalid,
		message: fmt.Sprintf("Resource not found for the segment '%s'.", printable(segment))}
}

// notOffered says that an operation of the real service is left out here.
func notOffered(format string, args ...any) *fault { return badRequest(format, args...) }

// noSuchSegment names the first segment that no operation has.
func (a *API) noSuchSegment(r *http.Request) *fault {
	path, ok := readPath(r.URL.EscapedPath())
	if !ok {
		return &fault{status: http.StatusBadRequest, code: "BadRequest", message: "The request URI is not valid.", kind: problem.Invalid}
	}
	segments := strings.Split(path, "/")
	deepest := 0
	for _, known := range identityOf(r).mux.Routes() {
		want := strings.Split(strings.TrimPrefix(known.Path, "/"), "/")
		n := 0
		for n < len(want) && n < len(segments) && (strings.HasPrefix(want[n], "{") || strings.EqualFold(want[n], segments[n])) {
			n++
		}
		deepest = max(deepest, n)
	}
	if deepest == 0 {
		return &fault{status: http.StatusBadRequest, code: "BadRequest", kind: problem.Invalid,
			message: fmt.Sprintf("Invalid version: %s. Paths begin with /v1.0 or /beta.", printable(segments[0]))}
	}
	if deepest == len(segments) {
		return &fault{status: http.StatusBadRequest, code: "BadRequest", kind: problem.Invalid,
			message: fmt.Sprintf("The request URI is not valid: nothing is offered at the segment '%s' itself.", printable(segments[deepest-1]))}
	}
	return segmentNotFound(segments[deepest])
}

// unauthenticated is the refusal of an access token. The detail is for callers on
// this machine only.
func (a *API) unauthenticated(cause error) *fault {
	f := &fault{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", kind: problem.Denied}
	var refused *sts.BearerError
	if !errors.As(cause, &refused) {
		f.message = "Access token validation failure."
		return f
	}
	switch refused.Fault {
	case sts.BearerEmpty:
		f.message = "Access token is empty."
	case sts.BearerExpired:
		f.message = "Lifetime validation failed, the token is expired."
	case sts.BearerAudience:
		f.message = "Access token validation failure. Invalid audience."
	case sts.BearerIssuer:
		f.message = "Access token validation failure. Invalid issuer."
	case sts.BearerForged:
		f.message = "Invalid authentication token: the signature is invalid."
	default:
		f.message = "IDX14100: JWT is not well formed."
	}
	if a.explain && refused.Detail != "" {
		f.details = []detail{{Code: string(refused.Fault), Message: refused.Detail}}
	}
	return f
}

// toFault finds the wire form of an error; ok is false for a fault of ours.
func (a *API) toFault(err error, named string) (f *fault, ok bool) {
	if errors.As(err, &f) {
		return f, true
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &fault{status: http.StatusRequestEntityTooLarge, code: "Request_BadRequest", kind: problem.Limit,
			message: fmt.Sprintf("The body is larger than %d bytes.", large.Limit)}, true
	}
	var p *problem.Error
	if !errors.As(err, &p) {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return &fault{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", message: "The request took too long: try again."}, true
		}
		return nil, false
	}
	switch p.Kind {
	case problem.Invalid:
		switch {
		case errors.Is(err, odata.ErrUnsupported):
			return unsupportedQuery(p.Message), true
		case strings.HasPrefix(p.Target, "$") || p.Target == "query" || p.Target == "":
			return badRequest("%s", p.Message), true
		}
		return badRequest("One or more property values specified are invalid. %s: %s", p.Target, p.Message), true
	case problem.NotFound:
		return notFound(named), true
	case problem.Conflict:
		return sameKey("Another object with the same value for property %s already exists. %s", orObject(p.Target), p.Message), true
	case problem.Limit:
		return &fault{status: http.StatusForbidden, code: "Directory_ResourceSizeExceeded", message: sizeExceeded, details: a.explanation("limit", p.Public()), kind: p.Kind}, true
	case problem.Denied:
		if errors.Is(err, manage.ErrCallerGone) {
			return &fault{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", message: p.Message, kind: p.Kind}, true
		}
		f := deniedFault()
		var refusal *access.Refusal
		if errors.As(err, &refusal) {
			f.details = a.explanation(string(refusal.Reason), refusal.Error())
		}
		return f, true
	case problem.Unavailable:
		return &fault{status: http.StatusServiceUnavailable, code: "ServiceUnavailable", message: p.Message, kind: p.Kind}, true
	}
	return nil, false
}

func orObject(target string) string {
	if target == "" {
		return "id"
	}
	return target
}

func (a *API) explanation(code, text string) []detail {
	if !a.explain {
		return nil
	}
	return []detail{{Code: code, Message: text}}
}

// fail writes an error's envelope. What is not meant for callers is logged, and
// they learn nothing of it.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error, named string) {
	who := identityOf(r)
	f, ok := a.toFault(err, named)
	if !ok {
		a.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "requestId", who.id, "error", err)
		f = &fault{status: http.StatusInternalServerError, code: "InternalServerError", message: "An error has occurred on this side; it is in the log under the request id."}
	}
	type inner struct {
		Date            string `json:"date"`
		RequestID       string `json:"request-id"`
		ClientRequestID string `json:"client-request-id"`
	}
	type body struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Details []detail `json:"details,omitempty"`
		Inner   inner    `json:"innerError"`
	}
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="", authorization_uri="https://`+a.cloud.LoginHost+`/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"`)
	}
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	if err := writeJSON(w, f.status, struct {
		Error body `json:"error"`
	}{body{f.code, f.message, f.details, inner{a.now().UTC().Format("2006-01-02T15:04:05"), who.id, who.clientID}}}); err != nil {
		a.log.DebugContext(r.Context(), "reply not written", "requestId", who.id, "error", err)
	}
}

// printable keeps what a caller sent from being more than a short visible text
// in a message.
func printable(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
