package tokenapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/avouch/avouch/internal/sts"
	"github.com/avouch/avouch/internal/trust"
)

// failure is one error of the wire contract: the number clients match on, the
// OAuth error and status that they branch on, and a text for people. Sources:
// the public list of authentication error codes, and what the client libraries
// look for.
type failure struct {
	code   int
	oauth  string
	status int
	text   string
	mend   string // the edit that would mend it; shown only where callers are administrators
	page   bool   // the code has a public page, named in error_uri
	lines  bool   // the older form: the ids stand on lines of their own
}

// The OAuth errors and their statuses. An invalid client is 401 and nothing
// else is: clients remember a 400 for a minute and would go on failing after
// the credential was mended.
func invalidClient(code int, text string) *failure {
	return &failure{code: code, oauth: "invalid_client", status: http.StatusUnauthorized, text: text}
}

func invalidRequest(code int, text string) *failure {
	return &failure{code: code, oauth: "invalid_request", status: http.StatusBadRequest, text: text, lines: true}
}

func unauthorizedClient(code int, text string) *failure {
	return &failure{code: code, oauth: "unauthorized_client", status: http.StatusBadRequest, text: text}
}

func invalidScope(code int, text string) *failure {
	return &failure{code: code, oauth: "invalid_scope", status: http.StatusBadRequest, text: text}
}

func invalidResource(code int, text string) *failure {
	return &failure{code: code, oauth: "invalid_resource", status: http.StatusBadRequest, text: text}
}

// Failures of form.

func missing(parameter string) *failure {
	return invalidRequest(900144, fmt.Sprintf("The request body must contain the following parameter: '%s'.", parameter))
}

func malformed(why string) *failure {
	return invalidRequest(9002313, "Invalid request. The request is malformed: "+why+".")
}

func unsupportedBody(why string) *failure {
	f := malformed(why)
	f.status = http.StatusUnsupportedMediaType
	return f
}

func bodyTooLarge() *failure {
	f := malformed(fmt.Sprintf("the body is larger than %d bytes", maxForm))
	f.status = http.StatusRequestEntityTooLarge
	return f
}

func unsupportedGrant(grant string) *failure {
	return &failure{code: 70003, oauth: "unsupported_grant_type", status: http.StatusBadRequest,
		text: fmt.Sprintf("The app requested the grant type '%s', which is not supported here. Use 'client_credentials' with a client assertion.", printable(grant))}
}

func unknownDeviceCode() *failure {
	return &failure{code: 70018, oauth: "bad_verification_code", status: http.StatusBadRequest,
		text: "The device code is not one that was issued here."}
}

func featureOff(feature string) *failure {
	return invalidRequest(51000, fmt.Sprintf("The required feature is disabled. Required feature: %s.", feature))
}

func scopeWithoutDefault(scope string) *failure {
	return invalidScope(1002012, fmt.Sprintf("The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", printable(scope)))
}

func severalResources(scope string) *failure {
	return invalidScope(70011, fmt.Sprintf("The provided value for the input parameter 'scope' is not valid: %s names more than one resource.", printable(scope)))
}

func resourceOnVersion2() *failure {
	return invalidRequest(901002, "The 'resource' request parameter is not supported on this endpoint. Use 'scope' with the resource followed by /.default.")
}

func noProof() *failure {
	return invalidClient(7000216, "'client_assertion' is required for the 'client_credentials' grant type: a managed identity token for the token exchange.")
}

func proofKindUnknown() *failure {
	return malformed("the value of parameter 'client_assertion_type' must be '" + jwtBearer + "'")
}

func secretOffered(client string) *failure {
	return invalidClient(7000215, fmt.Sprintf("Invalid client secret provided for app '%s': no application here has one. Send a managed identity token as 'client_assertion' instead, and no secret.", printable(client)))
}

func notThere(path string) *failure {
	f := invalidRequest(90100, fmt.Sprintf("There is no endpoint at '%s'.", printable(path)))
	f.status = http.StatusNotFound
	return f
}

func badVerb(allowed []string, got string) *failure {
	f := invalidRequest(900561, fmt.Sprintf("The endpoint only accepts %s requests. Received a %s request.", strings.Join(allowed, ", "), printable(got)))
	f.status = http.StatusMethodNotAllowed
	return f
}

func internalFault() *failure {
	return &failure{code: 90033, oauth: "temporarily_unavailable", status: http.StatusServiceUnavailable,
		text: "A transient error has occurred. Please try again."}
}

func tenantUnknown(name string) *failure {
	return invalidRequest(90002, fmt.Sprintf("Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", printable(name)))
}

func tenantMalformed(name string) *failure {
	return invalidRequest(900023, fmt.Sprintf("Specified tenant identifier '%s' is neither a valid DNS name, nor a valid external domain.", printable(name)))
}

// describe turns a refusal into its wire form: one distinct code for each
// cause.
func (a *API) describe(r *sts.Refusal) *failure {
	f := a.failureOf(r)
	f.mend = r.Detail
	return f
}

func (a *API) failureOf(r *sts.Refusal) *failure {
	value := printable(r.Value)
	clientID, clientName, tenantName, tenantID, resource := "", "", "", "", value
	if r.Client != nil {
		clientID, clientName = r.Client.ClientID.String(), printable(r.Client.Name)
	}
	if r.Tenant != nil {
		tenantName, tenantID = printable(r.Tenant.Title()), r.Tenant.ID.String()
	}
	if r.Resource != nil {
		resource = r.Resource.Principal.ClientID.String()
	}
	switch r.Reason {
	case trust.TenantUnknown:
		return tenantUnknown(r.Value)
	case trust.TenantMalformed:
		return tenantMalformed(r.Value)
	case trust.TenantNotNamed:
		if strings.EqualFold(r.Value, "organizations") {
			return invalidRequest(50059, "No tenant-identifying information found in either the request or implied by any provided credentials.")
		}
		return invalidRequest(9001023, fmt.Sprintf("The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint instead of /%s.", value))

	case trust.ClientUnknown:
		f := unauthorizedClient(700016, fmt.Sprintf("Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant. You may have sent your authentication request to the wrong tenant.", value, tenantName))
		f.page = true
		return f
	case trust.ClientDisabled:
		return unauthorizedClient(7000112, fmt.Sprintf("Application '%s'(%s) is disabled.", clientID, clientName))
	case trust.PrincipalMissing:
		return invalidClient(7000229, fmt.Sprintf("The client application %s is missing a service principal in the tenant %s.", clientID, tenantID))

	case trust.NoProof:
		return noProof()
	case trust.SecretOffered:
		return secretOffered(r.Value)
	case trust.ProofKindUnknown:
		return proofKindUnknown()
	case trust.ProofMalformed, trust.ProofClaims:
		return invalidRequest(50027, "JWT token is invalid or malformed: "+r.Detail+".")
	case trust.ProofKeyUnknown:
		return invalidClient(700027, fmt.Sprintf("The key was not found. The client assertion names key '%s', which its issuer does not publish.", printable(r.KeyID)))
	case trust.ProofSignature:
		return invalidClient(50006, "Signature verification failed because of an invalid signature.")
	case trust.ProofExpired:
		f := invalidClient(700024, fmt.Sprintf("Client assertion is not within its valid time range. Current time: %s, assertion valid from %s, expiry time of assertion %s.",
			stamp(a.now()), stamp(r.NotBefore), stamp(r.Expires)))
		f.page = true
		return f
	case trust.CertificateUnknown:
		return invalidClient(700027, fmt.Sprintf("The certificate with identifier used to sign the client assertion is not registered on application. Thumbprint of key used by client: '%s'.", value))
	case trust.IssuerUnreachable:
		return invalidRequest(501661, fmt.Sprintf("Request to the external OIDC endpoint of issuer '%s' failed.", value))

	case trust.NoCredentials:
		return invalidClient(70025, fmt.Sprintf("The client application '%s'(%s) has no configured federated identity credentials.", clientID, clientName))
	case trust.IssuerMismatch:
		return invalidClient(700211, fmt.Sprintf("No matching federated identity record found for presented assertion issuer '%s'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.", value))
	case trust.AudienceMismatch:
		return invalidClient(700212, fmt.Sprintf("No matching federated identity record found for presented assertion audience '%s'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.", value))
	case trust.TokenAudience:
		return invalidClient(7002121, fmt.Sprintf("No matching federated identity record found for presented assertion audience '%s'. The assertion must be issued for the token exchange.", value))
	case trust.CredentialAudience:
		return invalidClient(700214, fmt.Sprintf("The audience configured in the federated identity credential must be '%s'.", a.service.Cloud().ExchangeURI))
	case trust.SubjectMismatch:
		return invalidClient(700213, fmt.Sprintf("No matching federated identity record found for presented assertion subject '%s'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.", value))
	case trust.SubjectCase:
		return invalidClient(7002138, fmt.Sprintf("No matching federated identity record found for presented assertion subject '%s'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison.", value))
	case trust.V1Issuer:
		return invalidClient(700227, fmt.Sprintf("The federated identity credential names the v1.0 issuer of the tenant, but the assertion is issued by '%s'.", value))
	case trust.ForeignCloud:
		return invalidClient(700238, fmt.Sprintf("Tokens issued by issuer '%s' may not be used: it belongs to another cloud.", value))
	case trust.ForeignTenant:
		return invalidClient(700236, fmt.Sprintf("Tokens issued by issuer '%s' may not be used for federated identity credential flows for applications or managed identities registered in this tenant.", value))
	case trust.DuplicateSubject:
		return invalidClient(700263, fmt.Sprintf("More than one federated identity credential was found for subject '%s'.", value))
	case trust.NotAppOnly:
		return invalidClient(700229, "The token type is not allowed: only app-only tokens may be used as a federated identity credential.")
	case trust.NotManagedIdentity:
		return invalidClient(700226, "Only tokens of managed identities may be used as a federated identity credential.")
	case trust.SystemIdentity, trust.ClientIsIdentity:
		return invalidClient(700222, "Tokens issued here may not be used for this federated identity flow.")
	case trust.FromFederation:
		return invalidClient(700231, "A token that was obtained through a federated identity credential may not be used as a federated identity credential.")
	case trust.IdentityGone:
		return invalidClient(7000229, fmt.Sprintf("The managed identity with principal id '%s' is missing a service principal in the tenant.", value))
	case trust.IdentityDisabled:
		return unauthorizedClient(7000112, fmt.Sprintf("The managed identity with principal id '%s' is disabled.", value))

	case trust.ResourceUnknown:
		return invalidResource(500011, fmt.Sprintf("The resource principal named %s was not found in the tenant named %s. This can happen if the application has not been installed by the administrator of the tenant.", value, tenantName))
	case trust.ResourceDisabled:
		return invalidResource(50001, fmt.Sprintf("The resource named %s is disabled or does not exist.", value))
	case trust.NotAssigned:
		return &failure{code: 501051, oauth: "invalid_grant", status: http.StatusBadRequest,
			text: fmt.Sprintf("Application '%s'(%s) is not assigned to a role for the application '%s'.", clientID, clientName, resource)}
	}
	a.log.Error("a refusal has no wire form", "reason", string(r.Reason))
	return internalFault()
}

// CodeOf is the number and OAuth error that the exchange answers for a
// refusal, for people who ask beforehand.
func (a *API) CodeOf(r *sts.Refusal) (code int, oauth string, text string) {
	f := a.failureOf(r)
	return f.code, f.oauth, f.text
}

// errorBody is the shape of every error. Every member is always there but the
// last.
type errorBody struct {
	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	Timestamp     string `json:"timestamp"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
	URI           string `json:"error_uri,omitempty"`
}

// fail writes a failure.
func (a *API) fail(w http.ResponseWriter, ev *event, f *failure) {
	const layout = "2006-01-02 15:04:05Z"
	now := ev.now.Format(layout)
	separator := " "
	if f.lines {
		separator = "\r\n"
	}
	text := f.text
	if a.explain && f.mend != "" && !strings.Contains(text, f.mend) {
		text += " Explanation: " + printableTo(f.mend, 1024) + "."
	}
	body := errorBody{
		Error: f.oauth,
		Description: fmt.Sprintf("AADSTS%d: %s%sTrace ID: %s%sCorrelation ID: %s%sTimestamp: %s",
			f.code, text, separator, ev.trace, separator, ev.correlationID(), separator, now),
		Codes: []int{f.code}, Timestamp: now, TraceID: ev.trace, CorrelationID: ev.correlationID(),
	}
	if f.page {
		// The page is the real service's: it describes the code to a person.
		body.URI = "https://" + a.service.Cloud().LoginHost + "/error?code=" + strconv.Itoa(f.code)
	}
	ev.headers(w)
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	// A body of strings and numbers always marshals.
	_ = writeJSON(w, f.status, body)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }

func quote(s string) string { return "'" + printable(s) + "'" }

// printable makes a caller's value safe to repeat: at most 256 characters,
// without control or direction marks, and without the words that some clients
// take for a demand to sign in.
func printable(s string) string { return printableTo(s, 256) }

// printableTo is printable with another limit, for sentences of our own around
// such values.
func printableTo(s string, most int) string {
	s = strings.ToValidUTF8(s, "�")
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return '�'
		}
		return r
	}, s)
	for _, word := range signInWords {
		if strings.Contains(s, word) {
			s = strings.ReplaceAll(s, word, strings.ReplaceAll(word, "_", "-"))
		}
	}
	return s
}

// signInWords make MSAL JS believe that a person must act when they stand
// anywhere in a description.
var signInWords = []string{"interaction_required", "consent_required", "login_required", "bad_token", "ui_not_allowed", "interrupted_user"}
