package tokenapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/route"
	"github.com/avouch/avouch/internal/sts"
)

// The values of client_assertion_type.
const (
	jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	jwtPoP    = "urn:ietf:params:oauth:client-assertion-type:jwt-pop"
)

// token answers the token endpoint of one protocol version.
func (a *API) token(v version) route.Handler {
	return func(w http.ResponseWriter, r *http.Request, p route.Params) error {
		began := time.Now()
		ev := a.event(r)
		rec := audit.SignIn{
			ID: ev.trace, Time: ev.now, Kind: audit.ApplicationSignIn,
			TenantName: audit.Clip(p[0]), Source: route.Source(r),
		}
		response, no, err := a.exchange(r, v, p[0], ev, &rec)
		rec.Correlation = ev.correlationID()
		rec.Took = time.Since(began)
		switch {
		case err != nil:
			rec.Outcome, rec.Detail = audit.Failed, "internal fault"
			a.records.Record(rec)
			a.fault(w, r, ev, err)
			return nil
		case no != nil:
			rec.Outcome, rec.Code = audit.Refused, no.code
			if rec.Reason == "" {
				rec.Reason, rec.Detail = "request", no.text
			}
			a.records.Record(rec)
			a.fail(w, ev, no)
			return nil
		}
		rec.Outcome = audit.Succeeded
		a.records.Record(rec)
		ev.headers(w)
		return writeJSON(w, http.StatusOK, success(v, response))
	}
}

// exchange checks the form of the request and passes it on.
func (a *API) exchange(r *http.Request, v version, tenant string, ev *event, rec *audit.SignIn) (*sts.Response, *failure, error) {
	f, no := readForm(r)
	if no != nil {
		return nil, no, nil
	}
	ev.correlate(f["client-request-id"])
	if no := a.grant(f); no != nil {
		return nil, no, nil
	}
	request := sts.Request{Tenant: tenant, ClientID: f["client_id"], Assertion: f["client_assertion"]}
	if request.ClientID == "" {
		return nil, missing("client_id"), nil
	}
	rec.ClientName = audit.Clip(request.ClientID)
	if no := proofForm(r, f); no != nil {
		return nil, no, nil
	}
	if request.Resource, no = a.target(v, f); no != nil {
		return nil, no, nil
	}
	response, err := a.service.Exchange(r.Context(), request, rec)
	if refusal, ok := sts.AsRefusal(err); ok {
		// The detail repeats values that a stranger chose.
		rec.Reason, rec.Detail = string(refusal.Reason), audit.Clip(refusal.Detail)
		return nil, a.describe(refusal), nil
	}
	return response, nil, err
}

// grant refuses every grant but client_credentials: the list is closed
// (threats F16).
func (a *API) grant(f form) *failure {
	switch grant := f["grant_type"]; grant {
	case "":
		return missing("grant_type")
	case "client_credentials":
	case "device_code", "urn:ietf:params:oauth:grant-type:device_code":
		// No device code was ever given out, so none is known.
		if f["device_code"] == "" && f["code"] == "" {
			return missing("device_code")
		}
		return unknownDeviceCode()
	default:
		return unsupportedGrant(grant)
	}
	switch {
	case f["fmi_path"] != "":
		return featureOff("FmiPath")
	case f["token_type"] != "" && !strings.EqualFold(f["token_type"], "Bearer"):
		return featureOff("TokenType:" + printable(f["token_type"]))
	case f["req_cnf"] != "":
		return featureOff("ProofOfPossession")
	}
	if claims := f["claims"]; claims != "" {
		// Asking for claims changes nothing here, but what is not JSON is a
		// mistake that the caller wants to hear of.
		if _, err := assertion.ParseObject([]byte(claims), claimsLimits); err != nil {
			return malformed("the value of parameter 'claims' is not a JSON object")
		}
	}
	return nil
}

var claimsLimits = assertion.Limits{Depth: 8, Members: 1000, String: maxForm}

// proofForm checks that the request carries one signed assertion and no
// secret.
func proofForm(r *http.Request, f form) *failure {
	switch {
	case f["client_secret"] != "" || r.Header.Get("Authorization") != "":
		return secretOffered(f["client_id"])
	case f["client_assertion"] == "":
		return noProof()
	case f["client_assertion_type"] == "":
		return missing("client_assertion_type")
	case f["client_assertion_type"] == jwtPoP:
		return featureOff("MtlsClientAuth")
	case f["client_assertion_type"] != jwtBearer:
		return proofKindUnknown()
	}
	return nil
}

// target is the resource that the token is asked for: scope in version 2,
// resource in version 1.
func (a *API) target(v version, f form) (string, *failure) {
	if v == version1 {
		if f["resource"] == "" {
			return "", missing("resource")
		}
		return f["resource"], nil
	}
	if f["resource"] != "" {
		return "", resourceOnVersion2()
	}
	if f["scope"] == "" {
		return "", missing("scope")
	}
	return a.scopeTarget(f["scope"])
}

// deviceCode refuses to start a sign-in: there are no people to sign in.
func (a *API) deviceCode(w http.ResponseWriter, r *http.Request, _ route.Params) error {
	a.fail(w, a.event(r), featureOff("DeviceCodeFlow"))
	return nil
}

// version2Success is the whole answer: a scope, a refresh token or client_info
// in it would make clients fail or believe that a user signed in.
type version2Success struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	ExtExpiresIn int64  `json:"ext_expires_in"`
	AccessToken  string `json:"access_token"`
}

// version1Success has every number as a string.
type version1Success struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    string `json:"expires_in"`
	ExtExpiresIn string `json:"ext_expires_in"`
	ExpiresOn    string `json:"expires_on"`
	NotBefore    string `json:"not_before"`
	Resource     string `json:"resource"`
	AccessToken  string `json:"access_token"`
}

func success(v version, response *sts.Response) any {
	seconds := int64(response.ExpiresIn / time.Second)
	if v == version2 {
		return version2Success{"Bearer", seconds, seconds, response.Token}
	}
	text := strconv.FormatInt(seconds, 10)
	return version1Success{
		"Bearer", text, text,
		strconv.FormatInt(response.Expires.Unix(), 10), strconv.FormatInt(response.NotBefore.Unix(), 10),
		response.Resource, response.Token,
	}
}
