package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/fixture"
)

const container = "reports"

// A harness is one running platform, with a protected resource and a storage
// service beside it, and the programs to run against them.
type harness struct {
	root string // this folder
	bin  string // what was built
	dir  string // the platform's data directory
	// avouchBin is the program under test: AVOUCH_BIN, or built here.
	avouchBin string
	node      string // the interpreters; empty when missing
	python    string

	platform ready // where it is

	storageURL  string
	resourceURL string

	environments map[string]map[string]string // by host: what avouch env prints
	slots        chan struct{}                // bounds the programs that run at a time
}

// ready is what a platform says of itself once it runs.
type ready struct{ Authority, Graph, ResourceManager, CA string }

// newHarness builds and starts everything for testdata/directory.yaml, and ends
// it with the test.
func newHarness(t *testing.T) *harness {
	t.Helper()
	h := newPlatform(t, "directory.yaml", appService.host, virtualMachine.host)
	if h.node == "" {
		fixture.Missing(t, "the storage emulator needs node and its packages; run sh setup.sh")
	}
	h.build(t, h.root, "./go/azidentity", "azidentity")
	h.build(t, h.root, "./go/msal", "msal")

	var resource struct{ URL string }
	h.start(t, h.command("demo", "resource", "--dir", h.dir, "--listen", "127.0.0.1:0",
		"--audience", "api://reports", "--role", "Reports.Read"), isReady(&resource))
	h.resourceURL = resource.URL

	h.startStorage(t)
	return h
}

// newPlatform builds and starts a platform alone, with a directory file of
// testdata and with environments for programs on some of its hosts.
func newPlatform(t *testing.T, directory string, hosts ...string) *harness {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{
		root: root, bin: t.TempDir(), dir: t.TempDir(),
		environments: map[string]map[string]string{}, slots: make(chan struct{}, 2),
	}
	h.findLanguages()
	h.avouchBin = os.Getenv("AVOUCH_BIN")
	if h.avouchBin == "" {
		h.build(t, filepath.Dir(root), "./cmd/avouch", "avouch")
		h.avouchBin = filepath.Join(h.bin, "avouch")
	}
	h.start(t, h.command("dev", "--dir", h.dir, "--listen", "127.0.0.1:0", "--identity-listen", "127.0.0.1:0",
		"--apply", filepath.Join(root, "testdata", directory)), isReady(&h.platform))
	t.Logf("the platform is at %s", h.platform.Authority)

	for _, host := range hosts {
		var environment map[string]string
		out := h.avouch(t, "env", "--dir", h.dir, "--host", host, "--format", "json")
		if err := json.Unmarshal([]byte(out), &environment); err != nil {
			t.Fatalf("avouch env: %v\n%s", err, out)
		}
		h.environments[host] = environment
	}
	return h
}

// findLanguages looks for the interpreters whose packages setup.sh installed.
func (h *harness) findLanguages() {
	installed := func(stamp string) bool {
		_, err := os.Stat(filepath.Join(h.root, stamp))
		return err == nil
	}
	if node, err := exec.LookPath("node"); err == nil && installed("javascript/node_modules/.installed") {
		h.node = node
	}
	if installed("python/.venv/.installed") {
		h.python = filepath.Join(h.root, "python", ".venv", "bin", "python")
	}
}

func (h *harness) build(t *testing.T, module, pkg, name string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(h.bin, name), pkg)
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
}

// startStorage starts Azurite over TLS with a certificate of the platform's,
// in memory, and puts two blobs into a container.
func (h *harness) startStorage(t *testing.T) {
	t.Helper()
	cert, key := filepath.Join(h.bin, "storage.pem"), filepath.Join(h.bin, "storage.key")
	h.avouch(t, "cert", "--dir", h.dir, "--cert", cert, "--key", key, "localhost", "127.0.0.1")

	azurite := exec.Command(h.node, filepath.Join(h.root, "javascript", "node_modules", "azurite", "dist", "src", "blob", "main.js"),
		"--blobHost", "127.0.0.1", "--blobPort", "0",
		"--oauth", "basic", "--cert", cert, "--key", key,
		"--skipApiVersionCheck", // it is older than the SDKs
		"--loose",
		"--disableTelemetry", "--silent",
		"--inMemoryPersistence", "--extentMemoryLimit", "16",
	)
	azurite.Dir = t.TempDir()
	azurite.Env = variables(bareEnvironment(t))
	listening := regexp.MustCompile(`successfully listens on (https://\S+)`)
	h.start(t, azurite, func(line string) bool {
		match := listening.FindStringSubmatch(line)
		if match != nil {
			h.storageURL = match[1] + "/devstoreaccount1"
		}
		return match != nil
	})
	h.workload(t, appService.host, []string{h.node, filepath.Join(h.root, "javascript", "seed-storage.mjs")}, map[string]string{
		"AVOUCH_STORAGE_URL": h.storageURL,
		"AVOUCH_CONTAINER":   container,
	})
}

// command is the avouch program with arguments.
func (h *harness) command(args ...string) *exec.Cmd {
	return exec.Command(h.avouchBin, args...)
}

// avouch runs a subcommand to its end and returns what it printed.
func (h *harness) avouch(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := h.command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("avouch %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return stdout.String()
}

// token gets a token of the application orders, in its own tenant.
func (h *harness) token(t *testing.T, scope string) string {
	t.Helper()
	return strings.TrimSpace(h.avouch(t, "token", "--dir", h.dir, "--application", "orders", "--tenant", "contoso", "--scope", scope))
}

// workload runs a program as it would run on a host of the directory: with
// what avouch env says, with nothing of the tester's own environment, and in an
// empty folder of its own.
func (h *harness) workload(t *testing.T, host string, command []string, environment map[string]string) string {
	t.Helper()
	h.slots <- struct{}{}
	defer func() { <-h.slots }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	all := bareEnvironment(t)
	maps.Copy(all, h.environments[host])
	maps.Copy(all, environment)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = all["HOME"]
	cmd.Env, cmd.Stdout, cmd.Stderr = variables(all), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}

func bareEnvironment(t *testing.T) map[string]string {
	return map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
	}
}

func variables(environment map[string]string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		list = append(list, name+"="+environment[name])
	}
	return list
}

// isReady tells the line READY {...} and reads its JSON.
func isReady(into any) func(line string) bool {
	return func(line string) bool {
		text, ok := strings.CutPrefix(line, "READY ")
		return ok && json.Unmarshal([]byte(text), into) == nil
	}
}

// start starts a server, waits until a line of its output makes it ready, and
// ends it with the test.
func (h *harness) start(t *testing.T, cmd *exec.Cmd, up func(line string) bool) {
	t.Helper()
	name := filepath.Base(cmd.Path) + " " + strings.Join(cmd.Args[1:], " ")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	output := new(fixture.Buffer)
	cmd.Stderr = output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	isUp, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		seen := false
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			io.WriteString(output, lines.Text()+"\n")
			if !seen && up(lines.Text()) {
				seen = true
				close(isUp)
			}
		}
		io.Copy(io.Discard, stdout) // a line too long for the scanner must not block the server
		ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, output)
		}
	})
	select {
	case <-isUp:
	case err := <-ended:
		t.Fatalf("%s ended before it was ready: %v", name, err)
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		t.Fatalf("%s is not ready after a minute", name)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%s did not end cleanly: %v", name, err)
			}
		case <-time.After(20 * time.Second):
			cmd.Process.Kill()
			t.Errorf("%s did not end 20 seconds after SIGTERM", name)
		}
	})
}
