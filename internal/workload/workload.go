// Package workload plays a workload: it asks the managed identity endpoint
// that its environment names for a token and exchanges it at the token
// endpoint, over the same wire as an SDK. The command line and the demo use it.
package workload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/assertion"
	"github.com/avouch/avouch/internal/platform"
)

// Player is one workload.
type Player struct {
	authority string
	env       map[string]string
	client    *http.Client
}

// New makes a workload with that environment, which trusts the certificate
// authority in caFile and nothing else.
func New(caFile, authority string, env []platform.Variable) (*Player, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	p := &Player{authority: authority, env: make(map[string]string), client: &http.Client{
		Timeout:       15 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, v := range env {
		if !v.Unset {
			p.env[v.Name] = v.Value
		}
	}
	return p, nil
}

// Client is the workload's HTTP client, for calling resources.
func (p *Player) Client() *http.Client { return p.client }

// IdentityRequest is the request for a managed identity's token, as the
// environment says it is made. An empty clientID asks for the default identity.
func (p *Player) IdentityRequest(ctx context.Context, clientID, resource string) (*http.Request, error) {
	query := url.Values{"resource": {resource}}
	if clientID != "" {
		query.Set("client_id", clientID)
	}
	var endpoint string
	header := http.Header{}
	switch {
	case p.env["IDENTITY_ENDPOINT"] != "":
		endpoint = p.env["IDENTITY_ENDPOINT"]
		query.Set("api-version", "2019-08-01")
		header.Set("X-Identity-Header", p.env["IDENTITY_HEADER"])
	case p.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] != "":
		endpoint = p.env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] + "/metadata/identity/oauth2/token"
		query.Set("api-version", "2018-02-01")
		header.Set("Metadata", "true")
	default:
		return nil, errors.New("the environment names no managed identity endpoint")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	request.Header = header
	return request, nil
}

// IdentityToken gets a managed identity's token.
func (p *Player) IdentityToken(ctx context.Context, clientID, resource string) (string, error) {
	request, err := p.IdentityRequest(ctx, clientID, resource)
	if err != nil {
		return "", err
	}
	return p.token(request)
}

// Exchange gets the application's token in the tenant, with a managed identity
// token as its client assertion.
func (p *Player) Exchange(ctx context.Context, tenant, clientID, proof, scope string) (string, error) {
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {clientID},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {proof},
		"scope":                 {scope},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.authority+"/"+url.PathEscape(tenant)+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.token(request)
}

// Refused is an answer that is no token: what the endpoint said.
type Refused struct {
	Status int
	Text   string
}

func (e *Refused) Error() string {
	return fmt.Sprintf("the endpoint answered %d: %s", e.Status, e.Text)
}

func (p *Player) token(request *http.Request) (string, error) {
	response, err := p.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return "", err
	}
	var body struct {
		Token       string `json:"access_token"`
		Description string `json:"error_description"`
		Message     string `json:"message"`
		Error       string `json:"error"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return "", &Refused{response.StatusCode, "not JSON"}
	}
	if response.StatusCode != http.StatusOK || body.Token == "" {
		for _, text := range []string{body.Description, body.Message, body.Error} {
			if text != "" {
				return "", &Refused{response.StatusCode, strings.ReplaceAll(text, "\r\n", " ")}
			}
		}
		return "", &Refused{response.StatusCode, "no token and no error"}
	}
	return body.Token, nil
}

// Target is the resource that a --resource or a --scope names; exactly one of
// them is given.
func Target(resource, scope string) (string, error) {
	switch {
	case resource != "" && scope != "":
		return "", errors.New("give --resource or --scope, not both")
	case resource != "":
		return resource, nil
	case scope == "":
		return "", errors.New("say what the token is for with --resource or --scope")
	}
	target, ok := strings.CutSuffix(scope, "/.default")
	if !ok || target == "" || strings.ContainsAny(target, " \t") {
		return "", fmt.Errorf("scope %q must be one resource followed by /.default", scope)
	}
	return target, nil
}

// Shown is what a token says, for people: unverified, in the order it stands in.
type Shown struct {
	Algorithm, KeyID string
	Claims           []ClaimLine
}

// Show reads a token for showing it. Nothing may be decided by it.
func Show(token string) (*Shown, error) {
	parsed, err := assertion.Parse(token)
	if err != nil {
		return nil, err
	}
	claims, err := parsed.ClaimsUnverified()
	if err != nil {
		return nil, err
	}
	return &Shown{Algorithm: parsed.Algorithm(), KeyID: parsed.KeyID(), Claims: ClaimLines(&claims)}, nil
}

// ClaimLine is one claim for showing.
type ClaimLine struct{ Name, Value string }

// ClaimLines are the claims in the order they stand in, strings without
// quotes and times in words.
func ClaimLines(c *assertion.Claims) []ClaimLine {
	var lines []ClaimLine
	for _, m := range c.Members {
		value := string(m.Value)
		var text string
		if json.Unmarshal(m.Value, &text) == nil {
			value = text
		}
		var seconds int64
		switch m.Name {
		case "iat", "nbf", "exp":
			if json.Unmarshal(m.Value, &seconds) == nil {
				value += "  " + time.Unix(seconds, 0).UTC().Format(time.RFC3339)
			}
		}
		lines = append(lines, ClaimLine{m.Name, value})
	}
	return lines
}
