package interop

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/avouchtest"
	"github.com/avouch/avouch/internal/fixture"
)

// What testdata/management.yaml defines.
const (
	adminIdentity = "ad1f6d2c-3e5b-4c7d-8e9f-0a1b2c3d4e5f"
	administrator = "ad000000-0000-4000-8000-00000000000a"
	shopPrincipal = "5402c8d9-f1a2-4b3c-9d4e-5f6a7b8c9d0e"
	subscription  = "5b1c9a52-6c0e-4d0f-9a53-0d0c6c1d9e11"

	adminMachine = "admin-vm"
	adminApp     = "admin-app"

	webMachineID = "/subscriptions/" + subscription + "/resourceGroups/web/providers/Microsoft.Compute/virtualMachines/web-vm"
	webAppID     = "/subscriptions/" + subscription + "/resourceGroups/web/providers/Microsoft.Web/sites/web-app"
)

// A managementReport is what every administering program prints as its last
// line: what it read back, and status and code of the refusals that it met.
type managementReport struct {
	SDK         string            `json:"sdk"`
	ClientID    string            `json:"clientId"`    // of the application that it made
	PrincipalID string            `json:"principalId"` // of the identity that it made
	Read        map[string]any    `json:"read"`
	Refusals    map[string]string `json:"refusals"`
}

// graphStory is what a program reads back from Graph that made the application
// of a name.
func graphStory(name string) map[string]any {
	return map[string]any{
		"principal":   "Application",
		"found":       list(name),
		"changed":     list("made by a program", "AzureADMultipleOrgs"),
		"trusted":     list("the shop's own identity"),
		"credentials": list("msi-shop"),
		"assigned":    list("reports"),
		"owners":      list(name),
		"firstPage":   2.0,
		"spare":       list(name+"-spare-1", name+"-spare-2", name+"-spare-3"),
	}
}

var graphRefusals = map[string]string{
	"principalTwice":  "409 Request_MultipleObjectsWithSameKeyValue",
	"credentialTwice": "409 Request_MultipleObjectsWithSameKeyValue",
	"deleted":         "404 Request_ResourceNotFound",
}

// resourceStory is what a program reads back from the resource manager that
// made the group of a name and the identity msi-orders in it.
func resourceStory(principal string) map[string]any {
	return map[string]any{
		"group":           list("westeurope", "Succeeded"),
		"identity":        list("msi-orders", "Microsoft.ManagedIdentity/userAssignedIdentities"),
		"identities":      list("msi-orders"),
		"credentials":     list("build repo:two"),
		"credentialsLeft": list(),
		"roles":           list("ServicePrincipal"),
		"host":            list("UserAssigned", principal),
	}
}

var resourceRefusals = map[string]string{
	"missing":   "404 ResourceNotFound",
	"badName":   "400 BadRequest",
	"roleTwice": "409 RoleAssignmentExists",
}

func list(items ...string) []any {
	all := []any{}
	for _, item := range items {
		all = append(all, item)
	}
	return all
}

func TestGraphJavaScript(t *testing.T) {
	h := newPlatform(t, "management.yaml", adminMachine)
	testGraph(t, h, adminMachine, "shop-js", "@microsoft/microsoft-graph-client ", javaScript("graph.mjs")(h))
}

func TestGraphPython(t *testing.T) {
	h := newPlatform(t, "management.yaml", adminApp)
	testGraph(t, h, adminApp, "shop-py", "msgraph-sdk ", python("graph_app.py")(h))
}

func testGraph(t *testing.T, h *harness, host, name, sdk string, command []string) {
	got := h.administer(t, host, command, map[string]string{
		"AVOUCH_CLIENT_ID": administrator, "AVOUCH_NAME": name, "AVOUCH_SUBJECT": shopPrincipal,
	})
	got.want(t, sdk, graphStory(name), graphRefusals)

	claims := h.exchange(t, name, got.ClientID, "api://reports/.default")
	if roles := claims["roles"]; !reflect.DeepEqual(roles, list("Reports.Read")) {
		t.Errorf("the token has the roles %v, want Reports.Read", roles)
	}
}

func TestResourceManagerPython(t *testing.T) {
	h := newPlatform(t, "management.yaml", adminMachine)
	testResourceManager(t, h, adminMachine, webMachineID, "azure-mgmt-msi ", python("msi_app.py")(h))
}

func TestResourceManagerGo(t *testing.T) {
	h := newPlatform(t, "management.yaml", adminApp)
	h.build(t, h.root, "./go/armmsi", "armmsi")
	testResourceManager(t, h, adminApp, webAppID, "armmsi ", goProgram("armmsi")(h))
}

func testResourceManager(t *testing.T, h *harness, host, hostID, sdk string, command []string) {
	got := h.administer(t, host, command, map[string]string{
		"AVOUCH_CLIENT_ID": administrator, "AVOUCH_SUBSCRIPTION": subscription, "AVOUCH_NAME": "made", "AVOUCH_HOST_ID": hostID,
	})
	got.want(t, sdk, resourceStory(got.PrincipalID), resourceRefusals)

	// The other half is Graph's business: the application trusts the identity.
	h.trust(t, orders, got.PrincipalID)
	h.exchange(t, "orders", orders, "https://storage.azure.com/.default")
}

func TestCurl(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			fixture.Missing(t, "there is no "+tool+" on this machine")
		}
	}
	h := newPlatform(t, "management.yaml")
	got := h.administer(t, "", []string{"sh", filepath.Join(h.root, "curl", "administer.sh")}, map[string]string{
		"AVOUCH_DIR": h.dir, "PATH": h.path(t),
	})
	got.want(t, "curl ", map[string]any{
		"credentials": list("msi-curl"),
		"host":        list("UserAssigned", got.PrincipalID),
		"roles":       list("ServicePrincipal"),
	}, map[string]string{
		"credentialTwice": "409 Request_MultipleObjectsWithSameKeyValue",
		"roleTwice":       "409 RoleAssignmentExists",
	})
	h.exchange(t, "shop-curl", got.ClientID, "https://storage.azure.com/.default")
}

// administer runs a program that configures the platform, on a host, and
// returns what it printed.
func (h *harness) administer(t *testing.T, host string, command []string, environment map[string]string) managementReport {
	t.Helper()
	if command == nil {
		fixture.Missing(t, "the program's language or its packages are missing; run sh setup.sh")
	}
	environment["AVOUCH_TENANT"] = contoso
	environment["AVOUCH_IDENTITY_CLIENT_ID"] = adminIdentity
	began := time.Now()
	out := h.workload(t, host, command, environment)
	t.Logf("it took %v", time.Since(began).Round(time.Millisecond))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var r managementReport
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("the last line is not a report: %v\n%s", err, out)
	}
	return r
}

func (r managementReport) want(t *testing.T, sdk string, read map[string]any, refusals map[string]string) {
	t.Helper()
	if !strings.HasPrefix(r.SDK, sdk) {
		t.Errorf("ran %q, want %s", r.SDK, sdk)
	}
	for name, want := range read {
		if got := r.Read[name]; !reflect.DeepEqual(got, want) {
			t.Errorf("it read %s = %v, want %v", name, got, want)
		}
	}
	for name := range r.Read {
		if _, ok := read[name]; !ok {
			t.Errorf("it read %s, which nobody compares", name)
		}
	}
	if !reflect.DeepEqual(r.Refusals, refusals) {
		t.Errorf("it was refused with %v, want %v", r.Refusals, refusals)
	}
}

// trust makes an application trust an identity, as the platform's operator.
func (h *harness) trust(t *testing.T, clientID, principalID string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"name": "msi-orders", "issuer": "https://login.microsoftonline.com/" + contoso + "/v2.0",
		"subject": principalID, "audiences": []string{"api://AzureADTokenExchange"},
	})
	if err != nil {
		t.Fatal(err)
	}
	url := h.platform.Graph + "/v1.0/applications(appId='" + clientID + "')/federatedIdentityCredentials"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	token := h.avouch(t, "token", "--dir", h.dir, "--administrator", "--tenant", "contoso", "--resource", "https://graph.microsoft.com")
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	req.Header.Set("Content-Type", "application/json")
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(h.platform.CA)
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("the platform's certificate %s is not there: %v", h.platform.CA, err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		answer, _ := io.ReadAll(resp.Body)
		t.Fatalf("POST %s: %s\n%s", url, resp.Status, answer)
	}
}

// exchange gets a token of an application as its host would, and returns what
// it says.
func (h *harness) exchange(t *testing.T, application, clientID, scope string) map[string]any {
	t.Helper()
	token := strings.TrimSpace(h.avouch(t, "token", "--dir", h.dir, "--application", application, "--scope", scope))
	claims, err := avouchtest.Claims(token)
	if err != nil {
		t.Fatal(err)
	}
	if claims["appid"] != clientID || claims["tid"] != contoso {
		t.Errorf("the token is for %v of %v, want %s (%s) of contoso", claims["appid"], claims["tid"], clientID, application)
	}
	return claims
}

// path is the PATH of a program that calls avouch by its name.
func (h *harness) path(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(h.avouchBin, filepath.Join(dir, "avouch")); err != nil {
		t.Fatal(err)
	}
	return dir + string(filepath.ListSeparator) + os.Getenv("PATH")
}

// TestPagesSayWhatIsRun: every line of code that a page shows stands in the
// program that the tests run, in the same order. The programs hold more than
// the pages: what they compare.
func TestPagesSayWhatIsRun(t *testing.T) {
	for _, page := range []struct {
		file     string
		language string
		program  string
	}{
		{"graph-sdk.md", "js", "javascript/graph.mjs"},
		{"graph-sdk.md", "python", "python/graph_app.py"},
		{"resource-manager-sdk.md", "python", "python/msi_app.py"},
		{"resource-manager-sdk.md", "go", "go/armmsi/main.go"},
		{"curl.md", "sh", "curl/administer.sh"},
	} {
		t.Run(page.file+" "+page.language, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "docs", page.file))
			if err != nil {
				t.Fatal(err)
			}
			program, err := os.ReadFile(filepath.FromSlash(page.program))
			if err != nil {
				t.Fatal(err)
			}
			rest := strings.Split(string(program), "\n")
			blocks := regexp.MustCompile("(?s)```"+page.language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1)
			if len(blocks) == 0 {
				t.Fatal("there is no code")
			}
			for _, block := range blocks {
				for line := range strings.SplitSeq(block[1], "\n") {
					line = strings.TrimSpace(line)
					at := slices.IndexFunc(rest, func(l string) bool { return strings.TrimSpace(l) == line })
					if line == "" {
						continue
					}
					if at < 0 {
						t.Fatalf("%s does not hold this line, or holds it earlier: %s", page.program, line)
					}
					rest = rest[at+1:]
				}
			}
		})
	}
}
