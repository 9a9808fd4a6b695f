package imds

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/avouch/avouch/internal/route"
	"github.com/avouch/avouch/internal/sts"
)

// AppServicePath is where the App Service dialect answers.
const AppServicePath = "/msi/token"

// The two generations of the App Service dialect; any date after the current
// one is answered like it.
const (
	appServiceCurrent = "2019-08-01"
	appServiceLegacy  = "2017-09-01"
)

// The header that carries the secret, current and legacy.
const (
	secretHeader       = "X-Identity-Header"
	legacySecretHeader = "Secret"
)

// There is no default among user-assigned identities here: a web app without a
// system-assigned identity must say which one it means.
var (
	appServiceDialect = &dialect{success: appendAppServiceToken, failure: appendAppServiceFailure}
	legacyDialect     = &dialect{success: appendLegacyToken, failure: appendAppServiceFailure}
)

// AppService answers every web app host behind one address, at AppServicePath:
// the secret header says which host is calling. The host names are the Host
// header values it answers to, with the port where it is not 80; there must be
// one.
func (s *Service) AppService(secrets *Secrets, hostNames ...string) (http.Handler, error) {
	if secrets == nil {
		return nil, fmt.Errorf("imds: the App Service dialect needs the hosts' secrets")
	}
	g, err := newGuard(hostNames)
	if err != nil {
		return nil, err
	}
	mux, err := route.New(s.surface(appServiceDialect), route.Route{
		Method: http.MethodGet, Path: AppServicePath, Auth: route.HostSecret, Timeout: tokenTime,
		Handle: func(w http.ResponseWriter, r *http.Request, _ route.Params) error {
			s.appService(w, r, g, secrets)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return mux, nil
}

func (s *Service) appService(w http.ResponseWriter, r *http.Request, g *guard, secrets *Secrets) {
	d := appServiceDialect
	if no := g.check(r); no != nil {
		s.repel(w, r, d, no)
		return
	}
	presented, legacyHeader, ok := presentedSecret(r)
	if !ok {
		s.unauthorized(w, r, caller{}, "The secret header is missing: send X-IDENTITY-HEADER, once.")
		return
	}
	who, ok := secrets.caller(presented)
	if !ok {
		s.unauthorized(w, r, caller{}, "The secret header is wrong: it must be the value of IDENTITY_HEADER as this run of the platform gave it out.")
		return
	}
	q, wrong := parseQuery(r.URL.RawQuery)
	if wrong != "" {
		s.malformed(w, r, d, who, wrong)
		return
	}
	version := q.value[apiVersion]
	legacy := version == appServiceLegacy
	switch {
	case version == "":
		s.malformed(w, r, d, who, "the parameter 'api-version' is missing")
	case !legacy && version != appServiceCurrent && (!isDate(version) || version < appServiceCurrent):
		s.malformed(w, r, d, who, "the api-version '"+printable(version)+"' is not supported; use "+appServiceCurrent)
	case legacy != legacyHeader && legacy:
		s.unauthorized(w, r, who, "With api-version "+appServiceLegacy+" the secret belongs in the header 'secret'.")
	case legacy != legacyHeader:
		s.unauthorized(w, r, who, "With api-version "+appServiceCurrent+" the secret belongs in the header 'X-IDENTITY-HEADER'.")
	case legacy && q.value[clientID]+q.value[objectID]+q.value[resourceID] != "":
		s.malformed(w, r, d, who, "api-version "+appServiceLegacy+" names an identity by 'clientid' only")
	case !legacy && q.value[legacyClientID] != "":
		s.malformed(w, r, d, who, "the client id is named 'client_id' here, not 'clientid'")
	case legacy:
		s.token(w, r, legacyDialect, who, &q)
	default:
		s.token(w, r, d, who, &q)
	}
}

// presentedSecret is the value of the one secret header. Two are none: there
// is no "first one".
func presentedSecret(r *http.Request) (presented string, legacy, ok bool) {
	current, old := r.Header[secretHeader], r.Header[legacySecretHeader]
	switch {
	case len(current) == 1 && len(old) == 0:
		return current[0], false, true
	case len(current) == 0 && len(old) == 1:
		return old[0], true, true
	}
	return "", false, false
}

func (s *Service) unauthorized(w http.ResponseWriter, r *http.Request, who caller, text string) {
	s.refuseEarly(w, r, appServiceDialect, who, reasonSecret, &failure{status: http.StatusUnauthorized, text: text})
}

func appendAppServiceToken(b []byte, q *query, r *sts.IdentityResponse) []byte {
	b = appendToken(b, r)
	b = appendNumber(b, `,"expires_in":`, secondsLeft(r))
	b = appendNumber(b, `,"expires_on":`, r.Expires.Unix())
	b = appendNumber(b, `,"not_before":`, r.NotBefore.Unix())
	b = appendMember(b, `,"resource":`, q.value[resource])
	return append(b, `,"token_type":"Bearer"}`...)
}

// appendLegacyToken differs in expires_on, which is a date.
func appendLegacyToken(b []byte, q *query, r *sts.IdentityResponse) []byte {
	b = appendToken(b, r)
	b = append(b, `,"expires_on":"`...)
	b = r.Expires.UTC().AppendFormat(b, "01/02/2006 15:04:05 -07:00")
	b = append(b, '"')
	b = appendNumber(b, `,"expires_in":`, secondsLeft(r))
	b = appendMember(b, `,"resource":`, q.value[resource])
	return append(b, `,"token_type":"Bearer"}`...)
}

func appendAppServiceFailure(b []byte, f *failure, correlation string) []byte {
	b = append(b, `{"statusCode":`...)
	b = strconv.AppendInt(b, int64(f.status), 10)
	b = appendMember(b, `,"message":`, f.text)
	b = appendMember(b, `,"correlationId":`, correlation)
	return append(b, '}')
}
