package tokenapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/avouch/avouch/avouchtest"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

// The world that every test of the surface starts in.
const (
	contoso   = "3d1e2be9-a10a-4a0c-8380-7ce190f98ed9"
	fabrikam  = "7a0b4f7e-5a3c-4d53-9d2f-16c8a6a6a001"
	northwind = "5c1d9f70-0000-4000-8000-000000000003"

	msi       = "bbbbbbbb-0000-4000-8000-000000000001" // principal id of msi-webapp1
	msiClient = "aaaaaaaa-0000-4000-8000-000000000001"

	orders      = "cccccccc-0000-4000-8000-000000000001" // multi-tenant, trusts msi-webapp1
	single      = "cccccccc-0000-4000-8000-000000000002" // single-tenant, trusts msi-webapp1
	bare        = "cccccccc-0000-4000-8000-000000000003" // trusts nobody
	reports     = "cccccccc-0000-4000-8000-000000000004"
	ledger      = "cccccccc-0000-4000-8000-000000000005" // wants version 2 tokens
	locked      = "cccccccc-0000-4000-8000-000000000006" // assignment required
	billing     = "cccccccc-0000-4000-8000-000000000007" // trusts msi-other
	closed      = "cccccccc-0000-4000-8000-000000000008" // a disabled application
	trustingMSI = "aaaaaaaa-0000-4000-8000-000000000003" // an identity with a credential of its own
	stranger    = "cccccccc-0000-4000-8000-0000000000ff" // nobody

	exchangeURI = "api://AzureADTokenExchange"
	exchangeID  = "fb60f99c-7a34-4190-8149-302f77469936"
	issuer      = "https://login.microsoftonline.com/" + contoso + "/v2.0"
	jwtBearer   = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	storage     = "https://storage.azure.com"
)

// freeApps is how many applications without credentials a world has for tests
// that state their own.
const freeApps = 40

func worldYAML(loginHost, audience string) string {
	var free strings.Builder
	for i := range freeApps {
		fmt.Fprintf(&free, "      - {name: free-%02d, id: %s, clientId: %s, signInAudience: AzureADMultipleOrgs}\n", i, freeObject(i), freeClient(i))
	}
	return strings.NewReplacer("$HOST", loginHost, "$AUDIENCE", audience, "$FREE", strings.TrimRight(free.String(), "\n")).Replace(`
tenants:
  - name: contoso
    id: ` + contoso + `
    displayName: Contoso Ltd
    domains: [contoso.example, contoso.onmicrosoft.example]
    subscription: eeeeeeee-0000-4000-8000-000000000001
    managedIdentities:
      - {name: msi-webapp1, resourceGroup: web, location: westeurope, principalId: ` + msi + `, clientId: ` + msiClient + `}
      - {name: msi-other, resourceGroup: web, principalId: bbbbbbbb-0000-4000-8000-000000000002, clientId: aaaaaaaa-0000-4000-8000-000000000002}
      - name: msi-trusting
        resourceGroup: web
        principalId: bbbbbbbb-0000-4000-8000-000000000003
        clientId: ` + trustingMSI + `
        federatedIdentityCredentials:
          - {name: msi-webapp1, managedIdentity: msi-webapp1}
    hosts:
      - {name: web-app, kind: webApp, resourceGroup: web, identities: [msi-webapp1, msi-other]}
      - {name: web-vm, kind: virtualMachine, resourceGroup: web, systemAssigned: true, identities: [msi-webapp1]}
    applications:
      - {name: orders, clientId: ` + orders + `, signInAudience: AzureADMultipleOrgs, federatedIdentityCredentials: [{name: msi-webapp1, managedIdentity: msi-webapp1}]}
      - {name: single, clientId: ` + single + `, federatedIdentityCredentials: [{name: msi-webapp1, managedIdentity: msi-webapp1}]}
      - {name: bare, clientId: ` + bare + `}
      - {name: reports, clientId: ` + reports + `, signInAudience: AzureADMultipleOrgs, identifierUris: ["api://reports"], appRoles: [{value: Reports.Read, displayName: Read reports}]}
      - {name: ledger, clientId: ` + ledger + `, signInAudience: AzureADMultipleOrgs, requestedAccessTokenVersion: 2, identifierUris: ["api://ledger"], appRoles: [{value: Ledger.Write, displayName: Write}, {value: Ledger.Read, displayName: Read}]}
      - {name: locked, clientId: ` + locked + `, assignmentRequired: true, identifierUris: ["api://locked"], appRoles: [{value: Locked.Use, displayName: Use}]}
      - {name: billing, clientId: ` + billing + `, signInAudience: AzureADMultipleOrgs, federatedIdentityCredentials: [{name: msi-other, managedIdentity: msi-other}]}
      - {name: closed, clientId: ` + closed + `, disabled: true, federatedIdentityCredentials: [{name: msi-webapp1, managedIdentity: msi-webapp1}]}
$FREE
    appRoleAssignments:
      - {principal: orders, resource: reports, role: Reports.Read}
      - {principal: orders, resource: ledger, role: Ledger.Write}
      - {principal: orders, resource: ledger, role: Ledger.Read}
  - name: fabrikam
    id: ` + fabrikam + `
    domains: [fabrikam.example]
    managedIdentities:
      - {name: msi-fabrikam, principalId: bbbbbbbb-0000-4000-8000-0000000000f1, clientId: aaaaaaaa-0000-4000-8000-0000000000f1}
    hosts:
      - {name: fab-app, kind: webApp, identities: [msi-fabrikam]}
    applications:
      - name: fab-trusts-contoso
        clientId: cccccccc-0000-4000-8000-0000000000f1
        federatedIdentityCredentials:
          - {name: of-contoso, issuer: "https://$HOST/` + contoso + `/v2.0", subject: ` + msi + `, audiences: [$AUDIENCE]}
    servicePrincipals:
      - {application: contoso/orders}
      - {application: contoso/reports}
  - name: northwind
    id: ` + northwind + `
    domains: [northwind.example]
`)
}

func freeObject(i int) string { return fmt.Sprintf("dddddddd-0000-4000-8000-%012d", i) }
func freeClient(i int) string { return fmt.Sprintf("cccccccc-0000-4000-8000-1%011d", i) }

// seeds holds, for each cloud, a data directory with keys and the directory in
// it, made once: making RSA keys is what would cost every test a second.
var seeds = struct {
	sync.Mutex
	dir string
}{}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "tokenapi-world-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	seeds.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func seed(t testing.TB, cloud *directory.Cloud) string {
	seeds.Lock()
	defer seeds.Unlock()
	dir := filepath.Join(seeds.dir, cloud.Name)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	p := avouchtest.NewPlatform(t, avouchtest.WithDir(dir), avouchtest.WithCloud(cloud.Name))
	p.Apply(worldYAML(cloud.LoginHost, cloud.ExchangeURI))
	p.Close()
	return dir
}

func copyDir(t testing.TB, to, from string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(from, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, entry.Name()), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// world is a platform with the directory above.
type world struct {
	*avouchtest.Platform
	t      testing.TB
	client *http.Client
	free   int

	once  sync.Once
	token string
}

func newWorld(t testing.TB) *world { return newWorldIn(t, directory.Global()) }

func newWorldIn(t testing.TB, cloud *directory.Cloud) *world {
	t.Helper()
	dir := t.TempDir()
	copyDir(t, dir, seed(t, cloud))
	p := avouchtest.NewPlatform(t, avouchtest.WithDir(dir), avouchtest.WithCloud(cloud.Name))
	return &world{Platform: p, t: t, client: p.Client()}
}

// proof is msi-webapp1's token for the exchange, fetched once.
func (w *world) proof() string {
	w.once.Do(func() { w.token = w.IdentityToken("contoso/msi-webapp1", w.Internal().Cloud().ExchangeURI) })
	return w.token
}

// resigned is the proof with other claims, signed by the platform's key.
func (w *world) resigned(change map[string]any) string {
	w.t.Helper()
	return w.resign(w.proof(), change)
}

// resign changes claims of any token; a nil value takes the claim out.
func (w *world) resign(token string, change map[string]any) string {
	w.t.Helper()
	claims, err := avouchtest.Claims(token)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, value := range change {
		if value == nil {
			delete(claims, name)
			continue
		}
		claims[name] = value
	}
	return w.Sign(claims)
}

// signRaw signs a header and a payload as they are.
func (w *world) signRaw(header, payload string) string {
	w.t.Helper()
	enc := base64.RawURLEncoding
	signed := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(payload))
	signature, err := w.Internal().Ring().Active().Sign(sha256.Sum256([]byte(signed)))
	if err != nil {
		w.t.Fatal(err)
	}
	return signed + "." + enc.EncodeToString(signature)
}

func (w *world) kid() string { return w.Internal().Ring().Active().ID }

// payload is the decoded payload of a token.
func payload(t testing.TB, token string) string { t.Helper(); return part(t, token, 1) }

func part(t testing.TB, token string, i int) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts, not a signed token", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

var caller = manage.Caller{Actor: audit.Actor{Kind: "system", Name: "test"}}

// clientTrusting gives an application that had no credential the one stated
// and returns its client id.
func (w *world) clientTrusting(credentials ...directory.FederatedCredential) string {
	w.t.Helper()
	n := w.free
	if w.free++; n >= freeApps {
		w.t.Fatal("the world has no free application left")
	}
	for i, c := range credentials {
		c.Name = "credential-" + strconv.Itoa(i)
		_, _, err := w.Internal().Manage().CreateFederatedCredential(context.Background(), caller,
			directory.MustTenantID(contoso), directory.MustObjectID(freeObject(n)), c)
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return freeClient(n)
}

func trusting(issuer, subject, audience string) directory.FederatedCredential {
	return directory.FederatedCredential{Issuer: issuer, Subject: subject, Audience: audience}
}

// answer is what an endpoint answered.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (w *world) do(request *http.Request) answer {
	w.t.Helper()
	response, err := w.client.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, raw: string(raw)}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&a.body); err != nil {
		w.t.Errorf("the answer is not JSON: %v: %q", err, raw)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		w.t.Errorf("Content-Type %q", got)
	}
	return a
}

func (w *world) request(method, path, body string, header ...string) *http.Request {
	w.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, w.URL()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			request.Host = header[i+1]
			continue
		}
		request.Header.Set(header[i], header[i+1])
	}
	return request
}

func (w *world) get(path string, header ...string) answer {
	w.t.Helper()
	return w.do(w.request(http.MethodGet, path, "", header...))
}

// post sends a body to a version 2 token endpoint.
func (w *world) post(tenant, body string, header ...string) answer {
	w.t.Helper()
	return w.do(w.request(http.MethodPost, "/"+tenant+"/oauth2/v2.0/token", body, header...))
}

// ask is post with a form.
func (w *world) ask(tenant string, form url.Values, header ...string) answer {
	w.t.Helper()
	return w.post(tenant, form.Encode(), header...)
}

// form is a good request of the client with the proof.
func form(client, proof string) url.Values {
	return url.Values{
		"grant_type": {"client_credentials"}, "client_id": {client},
		"client_assertion_type": {jwtBearer}, "client_assertion": {proof},
		"scope": {storage + "/.default"},
	}
}

// with is the form with a field set, or taken out when the value is "-".
func with(form url.Values, name, value string) url.Values {
	form.Del(name)
	if value != "-" {
		form.Set(name, value)
	}
	return form
}

// issued ends the test unless the answer is a token, which it returns.
func issued(t testing.TB, a answer) string {
	t.Helper()
	token, ok := a.body["access_token"].(string)
	if a.status != http.StatusOK || !ok {
		t.Fatalf("no token: %d %s", a.status, a.raw)
	}
	return token
}

// wire is what the error contract says of a code: section 5 of the fact sheet.
type wire struct {
	oauth  string
	status int
	page   bool // error_uri names a page
}

var contract = map[int]wire{
	50001:   {"invalid_resource", 400, false},
	50006:   {"invalid_client", 401, false},
	50027:   {"invalid_request", 400, false},
	50049:   {"invalid_instance", 400, false},
	50059:   {"invalid_request", 400, false},
	51000:   {"invalid_request", 400, false},
	70003:   {"unsupported_grant_type", 400, false},
	70011:   {"invalid_scope", 400, false},
	70018:   {"bad_verification_code", 400, false},
	70025:   {"invalid_client", 401, false},
	90002:   {"invalid_request", 400, false},
	90033:   {"temporarily_unavailable", 503, false},
	500011:  {"invalid_resource", 400, false},
	501051:  {"invalid_grant", 400, false},
	501661:  {"invalid_request", 400, false},
	700016:  {"unauthorized_client", 400, true},
	700024:  {"invalid_client", 401, true},
	700027:  {"invalid_client", 401, false},
	700211:  {"invalid_client", 401, false},
	700212:  {"invalid_client", 401, false},
	700213:  {"invalid_client", 401, false},
	700214:  {"invalid_client", 401, false},
	700222:  {"invalid_client", 401, false},
	700226:  {"invalid_client", 401, false},
	700227:  {"invalid_client", 401, false},
	700229:  {"invalid_client", 401, false},
	700231:  {"invalid_client", 401, false},
	700236:  {"invalid_client", 401, false},
	700238:  {"invalid_client", 401, false},
	700263:  {"invalid_client", 401, false},
	900023:  {"invalid_request", 400, false},
	900144:  {"invalid_request", 400, false},
	901002:  {"invalid_request", 400, false},
	1002012: {"invalid_scope", 400, false},
	7000112: {"unauthorized_client", 400, false},
	7000215: {"invalid_client", 401, false},
	7000216: {"invalid_client", 401, false},
	7000229: {"invalid_client", 401, false},
	7002121: {"invalid_client", 401, false},
	7002138: {"invalid_client", 401, false},
	9001023: {"invalid_request", 400, false},
	9002313: {"invalid_request", 400, false},
}

// refused checks that the answer is the refusal with that code, complete as
// the error contract has it.
func (w *world) refused(t testing.TB, a answer, code int) {
	t.Helper()
	want, ok := contract[code]
	if !ok {
		t.Fatalf("the contract does not know code %d", code)
	}
	w.refusedAs(t, a, code, want)
}

const guid = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

var (
	guidForm    = regexp.MustCompile(`^` + guid + `$`)
	stampForm   = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$`)
	description = regexp.MustCompile(`(?s)^AADSTS(\d+): (.+?)(?: Trace ID: (` + guid + `) Correlation ID: (` + guid + `) Timestamp: (.+)` +
		`|\r\nTrace ID: (` + guid + `)\r\nCorrelation ID: (` + guid + `)\r\nTimestamp: (.+))$`)
)

// membersOfError is every member an error may have.
var membersOfError = []string{"error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id", "error_uri"}

func (w *world) refusedAs(t testing.TB, a answer, code int, want wire) {
	t.Helper()
	if a.status != want.status {
		t.Errorf("status %d, want %d", a.status, want.status)
	}
	var body struct {
		Error         string `json:"error"`
		Description   string `json:"error_description"`
		Codes         []int  `json:"error_codes"`
		Timestamp     string `json:"timestamp"`
		TraceID       string `json:"trace_id"`
		CorrelationID string `json:"correlation_id"`
		URI           string `json:"error_uri"`
	}
	decoder := json.NewDecoder(strings.NewReader(a.raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		t.Fatalf("the body is not that of an error: %v: %s", err, a.raw)
	}
	for _, name := range membersOfError[:6] {
		if _, ok := a.body[name]; !ok {
			t.Errorf("member %s is missing", name)
		}
	}
	if body.Error != want.oauth {
		t.Errorf("error %q, want %q", body.Error, want.oauth)
	}
	if len(body.Codes) != 1 || body.Codes[0] != code {
		t.Errorf("error_codes %v, want [%d]: %s", body.Codes, code, body.Description)
	}
	if !stampForm.MatchString(body.Timestamp) {
		t.Errorf("timestamp %q", body.Timestamp)
	}
	if !guidForm.MatchString(body.TraceID) || body.TraceID != a.header.Get("X-Ms-Request-Id") {
		t.Errorf("trace_id %q beside x-ms-request-id %q", body.TraceID, a.header.Get("X-Ms-Request-Id"))
	}
	if !guidForm.MatchString(body.CorrelationID) {
		t.Errorf("correlation_id %q", body.CorrelationID)
	}
	m := description.FindStringSubmatch(body.Description)
	if m == nil {
		t.Fatalf("the description has another form: %q", body.Description)
	}
	if m[1] != strconv.Itoa(code) {
		t.Errorf("the description says AADSTS%s, want %d", m[1], code)
	}
	if got := []string{m[3] + m[6], m[4] + m[7], m[5] + m[8]}; got[0] != body.TraceID || got[1] != body.CorrelationID || got[2] != body.Timestamp {
		t.Errorf("the description's ids are %v, the members' %s, %s, %s", got, body.TraceID, body.CorrelationID, body.Timestamp)
	}
	uri := ""
	if want.page {
		uri = "https://" + w.Internal().Cloud().LoginHost + "/error?code=" + strconv.Itoa(code)
	}
	if body.URI != uri {
		t.Errorf("error_uri %q, want %q", body.URI, uri)
	}
	if got := a.header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
		t.Errorf("Cache-Control %q lets a refusal be kept", got)
	}
	if a.header.Get("WWW-Authenticate") != "" || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers that the token endpoint never sends: %v", a.header)
	}
}

// signIns are the records of requests so far, newest first.
func (w *world) signIns() []audit.SignIn {
	w.t.Helper()
	all, err := w.Internal().SignIns(context.Background(), audit.Query{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}
