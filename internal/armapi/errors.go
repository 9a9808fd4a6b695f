package armapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
	"github.com/avouch/avouch/internal/sts"
)

// failure is one error of the wire contract: the code that clients branch on,
// its status, and a text for people, of which some clients look for a part.
type failure struct {
	status int
	code   string
	text   string
	target string
	header map[string]string
}

// Error implements error, so that handlers return failures like any refusal.
func (f *failure) Error() string { return f.code + ": " + f.text }

type errorBody struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Target  string `json:"target,omitempty"`
	} `json:"error"`
}

func (f *failure) body() errorBody {
	var b errorBody
	b.Error.Code, b.Error.Message, b.Error.Target = f.code, f.text, f.target
	return b
}

func badRequest(code, text string) *failure {
	return &failure{status: http.StatusBadRequest, code: code, text: text}
}

func badContent(why string) *failure {
	return badRequest("InvalidRequestContent", "The request content was invalid and could not be deserialized: "+why+".")
}

func badURI() *failure {
	return badRequest("InvalidRequestUri", "The request URI is invalid: its path holds a segment that no resource has.")
}

func doubleEncoded() *failure {
	return badRequest("InvalidDoubleEncodedRequestUri", "The request URI is invalid because it contains an encoded slash or is encoded twice.")
}

func badVerb(method string) *failure {
	return &failure{status: http.StatusMethodNotAllowed, code: "MethodNotAllowed", text: "The requested resource does not support http method '" + printable(method) + "'."}
}

// notThere answers a path that no route has.
func (c *call) notThere() *failure {
	segments := strings.Split(c.path, "/")
	at := slices.IndexFunc(segments, func(s string) bool { return strings.EqualFold(s, "providers") })
	if at < 0 || at+1 >= len(segments) {
		return &failure{status: http.StatusNotFound, code: "NotFound", text: "No HTTP resource was found that matches the request URI."}
	}
	namespace := segments[at+1]
	known := namespaceNamed(namespace)
	switch {
	case known == nil:
		return noNamespace(namespace)
	case at+2 < len(segments):
		return &failure{status: http.StatusNotFound, code: "InvalidResourceType",
			text: "The resource type '" + printable(strings.Join(typesIn(segments[at+2:]), "/")) + "' could not be found in the namespace '" + known.name + "' for api version '" + c.version + "'."}
	}
	return &failure{status: http.StatusNotFound, code: "NotFound", text: "No HTTP resource was found that matches the request URI."}
}

// typesIn are the types of alternating types and names.
func typesIn(segments []string) []string {
	var types []string
	for i := 0; i < len(segments); i += 2 {
		types = append(types, segments[i])
	}
	return types
}

func noNamespace(name string) *failure {
	return &failure{status: http.StatusNotFound, code: "InvalidResourceNamespace", text: "The resource namespace '" + printable(name) + "' is invalid."}
}

// causes are the refusals of package manage that have a code of their own.
var causes = []struct {
	cause  error
	status int
	code   string
}{
	{manage.ErrCallerGone, http.StatusUnauthorized, "InvalidAuthenticationToken"},
	{manage.ErrNoSubscription, http.StatusNotFound, "SubscriptionNotFound"},
	{manage.ErrNoGroup, http.StatusNotFound, "ResourceGroupNotFound"},
	{manage.ErrNoParent, http.StatusNotFound, "ParentResourceNotFound"},
	{manage.ErrNoResource, http.StatusNotFound, "ResourceNotFound"},
	{manage.ErrNoRole, http.StatusNotFound, "RoleDefinitionDoesNotExist"},
	{manage.ErrNoAssignment, http.StatusNotFound, "RoleAssignmentNotFound"},
	{manage.ErrNoPrincipal, http.StatusBadRequest, "PrincipalNotFound"},
	{manage.ErrPrincipalKind, http.StatusBadRequest, "UnmatchedPrincipalType"},
	{manage.ErrAssignmentExists, http.StatusConflict, "RoleAssignmentExists"},
	{manage.ErrAssignmentFixed, http.StatusBadRequest, "RoleAssignmentUpdateNotPermitted"},
	{manage.ErrNoLocation, http.StatusBadRequest, "LocationRequired"},
	{manage.ErrMoved, http.StatusConflict, "InvalidResourceLocation"},
	{manage.ErrGroupMoved, http.StatusConflict, "InvalidResourceGroupLocation"},
	{manage.ErrLinkDenied, http.StatusForbidden, "LinkedAuthorizationFailed"},
	{manage.ErrLinkUnknown, http.StatusBadRequest, "FailedIdentityOperation"},
	{manage.ErrNameTaken, http.StatusConflict, "Conflict"},
}

// failureOf turns an error into its wire form. What is no decision is logged
// here, and its text stays inside.
func (c *call) failureOf(err error) *failure {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f
	}
	p := (*problem.Error)(nil)
	if !errors.As(err, &p) || p.Kind == problem.Internal {
		c.api.log.Error("request failed", "path", c.path, "trace", c.trace, "error", err)
		return &failure{status: http.StatusInternalServerError, code: "InternalServerError",
			text: "Encountered internal server error. Diagnostic information: timestamp '" + c.now.Format("20060102T150405Z") + "', tracking id '" + c.trace + "', request correlation id '" + c.correlation + "'."}
	}
	f := &failure{status: http.StatusBadRequest, code: "BadRequest", text: p.Public()}
	switch p.Kind {
	case problem.NotFound:
		f.status, f.code = http.StatusNotFound, "ResourceNotFound"
	case problem.Conflict:
		f.status, f.code = http.StatusConflict, "Conflict"
	case problem.Denied:
		f.status, f.code = http.StatusForbidden, "AuthorizationFailed"
	case problem.Unavailable:
		f.status, f.code, f.header = http.StatusServiceUnavailable, "ServiceUnavailable", map[string]string{"Retry-After": "5"}
	}
	for _, known := range causes {
		if errors.Is(err, known.cause) {
			f.status, f.code = known.status, known.code
			break
		}
	}
	if f.status == http.StatusUnauthorized {
		f.header = map[string]string{"WWW-Authenticate": c.api.challenge(c.tenant.String(), f.text)}
	}
	if refusal := (*access.Refusal)(nil); c.api.explain && errors.As(err, &refusal) {
		f.text += " (" + refusal.Error() + ")"
	}
	return f
}

func (a *API) challenge(tenant, why string) string {
	return `Bearer authorization_uri="` + a.endpoints.Login + "/" + tenant + `", error="invalid_token", error_description="` + strings.ReplaceAll(why, `"`, `'`) + `"`
}

// bearer authenticates the request.
func (a *API) bearer(r *http.Request) (*access.Caller, *failure) {
	no := func(code, why string) *failure {
		return &failure{status: http.StatusUnauthorized, code: code, text: why,
			header: map[string]string{"WWW-Authenticate": a.challenge("common", why)}}
	}
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return nil, no("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if len(values) > 1 || !found || !strings.EqualFold(scheme, "Bearer") {
		return nil, no("InvalidAuthenticationToken", "The 'Authorization' header is provided in an invalid format.")
	}
	caller, err := a.authenticate(strings.TrimSpace(token), a.audiences)
	if err != nil {
		code, why := "InvalidAuthenticationToken", "The access token is invalid."
		if e := (*sts.BearerError)(nil); errors.As(err, &e) {
			switch e.Fault {
			case sts.BearerExpired:
				code, why = "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time '"+a.now().UTC().Format(time.RFC1123)+"'."
			case sts.BearerAudience:
				code, why = "InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or resource. It should exactly match with one of the allowed audiences '"+strings.Join(a.audiences, "','")+"'."
			case sts.BearerIssuer:
				why = "The access token is from the wrong issuer."
			}
			if a.explain {
				why += " (" + printable(e.Detail) + ")"
			}
		} else {
			a.log.Error("authentication failed", "error", err)
		}
		return nil, no(code, why)
	}
	if caller.User && !slices.Contains(caller.Scopes, "user_impersonation") {
		return nil, &failure{status: http.StatusForbidden, code: "AuthorizationFailed", text: "The access token does not hold the scope 'user_impersonation', without which no client acts for its user here."}
	}
	return caller, nil
}

// printable makes a value that a stranger chose fit to be shown.
func printable(s string) string {
	const most = 256
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
