// Package interop runs unmodified SDKs, each in its own language, against a
// real Avouch over real TLS. See README.md.
package interop

import (
	"encoding/json"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/avouchtest"
	"github.com/avouch/avouch/internal/fixture"
)

// What testdata/directory.yaml defines.
const (
	contoso   = "3d1e2be9-a10a-4a0c-8380-7ce190f98ed9"
	fabrikam  = "f4b21ca0-7d3e-4f58-9a6b-1c2d3e4f5a6b"
	northwind = "9c0a1d7e-2b4f-4e63-8d51-7e6f5a4b3c2d"

	orders             = "0de25000-0000-4000-8000-00000000000a"
	ordersWrongSubject = "0de25000-0000-4000-8000-00000000000b"
	ordersWrongCase    = "0de25000-0000-4000-8000-00000000000c"
	ordersWrongIssuer  = "0de25000-0000-4000-8000-00000000000d"
	ordersWrongAud     = "0de25000-0000-4000-8000-00000000000e"
	unknownApplication = "0de25000-0000-4000-8000-0000000000ff"
)

// A tenant as a program is told of it. One goes by its domain and one by its
// id, so that both are used.
type tenant struct{ name, authority, id string }

var (
	ownTenant       = tenant{"own-tenant", "contoso.example", contoso}
	secondTenant    = tenant{"second-tenant", fabrikam, fabrikam}
	untouchedTenant = tenant{"untouched-tenant", northwind, northwind}
)

// A dialect is a managed identity endpoint, named by the host that has it.
type dialect struct{ name, host string }

var (
	appService     = dialect{"app-service", "web-app"}
	virtualMachine = dialect{"virtual-machine", "web-vm"}
)

// An identity is the managed identity msi-webapp1, by one kind of id.
type identity struct{ name, variable, id string }

var (
	byClientID   = identity{"client-id", "AVOUCH_IDENTITY_CLIENT_ID", "a1f6d2c4-3e5b-4c7d-8e9f-0a1b2c3d4e5f"}
	byObjectID   = identity{"object-id", "AVOUCH_IDENTITY_OBJECT_ID", "b7c8d9e0-f1a2-4b3c-9d4e-5f6a7b8c9d0e"}
	byResourceID = identity{"resource-id", "AVOUCH_IDENTITY_RESOURCE_ID", "/subscriptions/5b1c9a52-6c0e-4d0f-9a53-0d0c6c1d9e11" +
		"/resourcegroups/web/providers/Microsoft.ManagedIdentity/userAssignedIdentities/msi-webapp1"}
)

// A program is a client to run, with what its SDK lets a caller choose.
type program struct {
	name       string
	sdk        string // how the SDK that it reports begins
	command    func(h *harness) []string
	dialects   []dialect
	identities []identity
}

// The Go SDK has the address of the virtual machine's endpoint built in. The
// product's sample names the identity by its client id.
var (
	onlyAppService = []dialect{appService}
	bothDialects   = []dialect{appService, virtualMachine}
	onlyClientID   = []identity{byClientID}
	everyID        = []identity{byClientID, byObjectID, byResourceID}
)

var programs = []program{
	{"go-azidentity", "azidentity ", goProgram("azidentity"), onlyAppService, everyID},
	{"go-msal", "microsoft-authentication-library-for-go ", goProgram("msal"), onlyAppService, everyID},
	{"javascript-azure-identity", "@azure/identity ", javaScript("azure-identity.mjs"), bothDialects, everyID},
	{"javascript-msal", "@azure/msal-node ", javaScript("msal.mjs"), bothDialects, everyID},
	{"python-announcement", "azure-identity ", python("run_announcement.py"), bothDialects, onlyClientID},
	{"python-azure-identity", "azure-identity ", python("identity_app.py"), bothDialects, everyID},
	{"python-msal", "msal ", python("msal_app.py"), bothDialects, everyID},
}

// refusals: each program meets each of them.
var refusals = []struct {
	name        string
	application string
	tenant      tenant
	code        string
}{
	{"wrong-subject", ordersWrongSubject, ownTenant, "AADSTS700213"},
	{"wrong-subject", ordersWrongSubject, secondTenant, "AADSTS700213"},
	{"wrong-case", ordersWrongCase, ownTenant, "AADSTS7002138"},
	{"wrong-issuer", ordersWrongIssuer, ownTenant, "AADSTS700211"},
	{"wrong-audience", ordersWrongAud, ownTenant, "AADSTS700214"},
	{"unknown-application", unknownApplication, ownTenant, "AADSTS700016"},
	{"no-service-principal", orders, untouchedTenant, "AADSTS7000229"},
}

// A report is what every program prints as its last line.
type report struct {
	SDK      string   `json:"sdk"`
	Blobs    []string `json:"blobs"`
	Resource struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	} `json:"resource"`
	Bad   map[string]int `json:"bad"`
	Token struct {
		TID   string `json:"tid"`
		AppID string `json:"appid"`
		AZP   string `json:"azp"`
		Iss   string `json:"iss"`
	} `json:"token"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Class   string `json:"class"`
	} `json:"error"`
}

func TestSDKs(t *testing.T) {
	h := newHarness(t)
	bad := badTokens(t, h)

	t.Run("programs", func(t *testing.T) {
		for _, p := range programs {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				command := p.command(h)
				if command == nil {
					fixture.Missing(t, p.name+": its language or its packages are missing; run sh setup.sh")
				}
				for _, d := range p.dialects {
					// Every way to name the identity at home; one way abroad.
					for _, id := range p.identities {
						wantSuccess(t, h, p, d, id, ownTenant, bad)
					}
					wantSuccess(t, h, p, d, byClientID, secondTenant, bad)
				}
				for i, r := range refusals {
					d := p.dialects[i%len(p.dialects)]
					id := p.identities[i%len(p.identities)]
					t.Run(strings.Join([]string{r.name, d.name, r.tenant.name}, "/"), func(t *testing.T) {
						t.Parallel()
						got := h.run(t, p, d, id, r.tenant, r.application, nil)
						if got.Error == nil {
							t.Fatalf("the application was let in, want %s", r.code)
						}
						if got.Error.Code != r.code {
							t.Errorf("the caller sees %q, want %s\n%s: %s", got.Error.Code, r.code, got.Error.Class, got.Error.Message)
						}
					})
				}
			})
		}
	})

	t.Run("java-trust", func(t *testing.T) { testJava(t, h) })

	if log := h.avouch(t, "log", "--dir", h.dir, "--json"); len(log) == 0 {
		t.Error("the log is empty")
	} else if strings.Contains(log, "eyJ") {
		t.Error("the log holds something that begins like a token")
	}
}

func wantSuccess(t *testing.T, h *harness, p program, d dialect, id identity, in tenant, bad map[string]string) {
	t.Run(strings.Join([]string{"let-in", d.name, in.name, id.name}, "/"), func(t *testing.T) {
		t.Parallel()
		got := h.run(t, p, d, id, in, orders, bad)
		if got.Error != nil {
			t.Fatalf("refused: %s: %s", got.Error.Class, got.Error.Message)
		}
		if !strings.HasPrefix(got.SDK, p.sdk) {
			t.Errorf("ran %q, want %s", got.SDK, p.sdk)
		}
		if want := []string{"a.txt", "b.txt"}; !slices.Equal(got.Blobs, want) {
			t.Errorf("blobs = %q, want %q", got.Blobs, want)
		}
		if got.Resource.Status != http.StatusOK {
			t.Errorf("the protected resource answered %d %s", got.Resource.Status, got.Resource.Body)
		}
		for _, name := range slices.Sorted(maps.Keys(bad)) {
			if status := got.Bad[name]; status != http.StatusUnauthorized {
				t.Errorf("the protected resource answered %d to a token that is %s, want 401", status, name)
			}
		}
		if got.Token.TID != in.id {
			t.Errorf("tid = %q, want %q", got.Token.TID, in.id)
		}
		if client := got.Token.AppID + got.Token.AZP; client != orders {
			t.Errorf("the token is for application %q, want %q", client, orders)
		}
		// The resource left its token version unset, which means 1.0.
		if want := "https://sts.windows.net/" + in.id + "/"; got.Token.Iss != want {
			t.Errorf("iss = %q, want %q", got.Token.Iss, want)
		}
	})
}

// run runs a program once, as a workload on the host of the dialect.
func (h *harness) run(t *testing.T, p program, d dialect, id identity, in tenant, application string, bad map[string]string) report {
	t.Helper()
	badJSON, err := json.Marshal(bad)
	if err != nil {
		t.Fatal(err)
	}
	if bad == nil {
		badJSON = nil
	}
	out := h.workload(t, d.host, p.command(h), map[string]string{
		"AVOUCH_TENANT":         in.authority,
		"AVOUCH_CLIENT_ID":      application,
		id.variable:             id.id,
		"AVOUCH_AUDIENCE":       "api://AzureADTokenExchange",
		"AVOUCH_STORAGE_URL":    h.storageURL,
		"AVOUCH_CONTAINER":      container,
		"AVOUCH_RESOURCE_URL":   h.resourceURL,
		"AVOUCH_RESOURCE_SCOPE": "api://reports/.default",
		"AVOUCH_BAD_TOKENS":     string(badJSON),
	})
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var r report
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("the last line is not a report: %v\n%s", err, out)
	}
	return r
}

// badTokens makes tokens that the protected resource must refuse, by what is
// wrong with them.
func badTokens(t *testing.T, h *harness) map[string]string {
	t.Helper()
	good := h.token(t, "api://reports/.default")
	return map[string]string{
		"forged":           avouchtest.Forge(good),
		"foreign-audience": h.token(t, "https://storage.azure.com/.default"),
		"expired":          expiredToken(t, h, good),
	}
}

// expiredToken is a token like good, properly signed with the platform's own
// key, whose life ended an hour ago.
func expiredToken(t *testing.T, h *harness, good string) string {
	t.Helper()
	claims, err := avouchtest.Claims(good)
	if err != nil {
		t.Fatal(err)
	}
	ended := time.Now().Add(-time.Hour).Unix()
	claims["exp"], claims["iat"], claims["nbf"] = ended, ended-3600, ended-3600
	return avouchtest.SignWithDataOf(t, h.dir, claims)
}

func goProgram(name string) func(*harness) []string {
	return func(h *harness) []string { return []string{filepath.Join(h.bin, name)} }
}

func javaScript(file string) func(*harness) []string {
	return func(h *harness) []string {
		if h.node == "" {
			return nil
		}
		return []string{h.node, filepath.Join(h.root, "javascript", file)}
	}
}

func python(file string) func(*harness) []string {
	return func(h *harness) []string {
		if h.python == "" {
			return nil
		}
		return []string{h.python, filepath.Join(h.root, "python", file)}
	}
}
