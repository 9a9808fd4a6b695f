//go:build faults && unix

// Package faults kills, starves and misuses the built program, and looks at
// what is left. Nothing of it runs inside the test's own process, except the
// client of the control socket and the ledger of what was acknowledged.
//
//	make faults
//	AVOUCH_FAULTS_SEED=7 AVOUCH_FAULTS_ROUNDS=500 make faults
package faults

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/controlapi"
	"github.com/avouch/avouch/internal/demo"
	"github.com/avouch/avouch/internal/fixture"
	"github.com/avouch/avouch/internal/workload"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	binary = os.Getenv("AVOUCH_BIN")
	if binary == "" {
		dir, err := os.MkdirTemp("", "avouch-faults-")
		if err != nil {
			return 1, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		binary = filepath.Join(dir, "avouch")
		if out, err := exec.Command("go", "build", "-o", binary, "../cmd/avouch").CombinedOutput(); err != nil {
			return 1, fmt.Errorf("building the program: %w\n%s", err, out)
		}
	}
	return m.Run(), nil
}

// Bounds of waiting. They are generous: the machine may be busy.
const (
	startTime = 30 * time.Second
	callTime  = 60 * time.Second
)

// server is one run of 'avouch dev'.
type server struct {
	t     *testing.T
	cmd   *exec.Cmd
	dir   string
	where where           // what READY said
	took  time.Duration   // from exec to READY
	log   *fixture.Buffer // standard error
	ready chan struct{}
	ended chan struct{}
	err   error // of Wait; after ended
}

type where struct {
	Authority, Identity, Dir, CA, Cloud, Engine string
}

// start runs the platform on dir and returns when it is ready. It is killed
// with the test.
func start(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	s := launch(t, dir, args...)
	if !s.awaitReady() {
		s.kill()
		t.Fatalf("the platform did not become ready (%v):\n%s", s.err, s.log)
	}
	return s
}

// launch starts the process without waiting for it.
func launch(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, log: &fixture.Buffer{}, ended: make(chan struct{})}
	s.cmd = exec.Command(binary, append([]string{"dev", "--dir", dir, "--listen", "127.0.0.1:0", "--identity-listen", "127.0.0.1:0"}, args...)...)
	s.cmd.Stderr = s.log
	// A process that has been killed may leave the pipe open no longer.
	s.cmd.WaitDelay = 5 * time.Second
	return s.run()
}

func (s *server) run() *server {
	s.t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Stdout = in
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = in.Close()
	ready := make(chan struct{})
	go func() {
		defer func() { _ = out.Close() }()
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "READY "); ok && json.Unmarshal([]byte(text), &s.where) == nil {
				s.took = time.Since(began)
				close(ready)
				break
			}
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	s.ready = ready
	s.t.Cleanup(s.kill)
	return s
}

func (s *server) awaitReady() bool {
	select {
	case <-s.ready:
		return true
	case <-s.ended:
		return false
	case <-time.After(startTime):
		return false
	}
}

// kill ends the process as a power cut would, and waits for its end.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}

// stop asks the process to end and returns its exit status and how long that
// took.
func (s *server) stop(signal os.Signal) (status int, took time.Duration) {
	s.t.Helper()
	began := time.Now()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatalf("signalling the platform: %v\n%s", err, s.log)
	}
	select {
	case <-s.ended:
	case <-time.After(startTime):
		s.kill()
		s.t.Fatalf("%v did not end the platform:\n%s", signal, s.log)
	}
	return s.cmd.ProcessState.ExitCode(), time.Since(began)
}

// mustStop is stop for tests about something else.
func (s *server) mustStop() {
	s.t.Helper()
	if status, _ := s.stop(syscall.SIGTERM); status != 0 {
		s.t.Fatalf("the platform ended with status %d:\n%s", status, s.log)
	}
}

// awaitEnd returns the exit status of a process that should end by itself.
func (s *server) awaitEnd() int {
	s.t.Helper()
	select {
	case <-s.ended:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(startTime):
		s.kill()
		s.t.Fatalf("the platform did not end:\n%s", s.log)
		return -1
	}
}

func (s *server) client() *controlapi.Client { return controlapi.NewClient(s.dir) }

// http is a client that trusts the platform.
func (s *server) http() *http.Client {
	s.t.Helper()
	pem, err := os.ReadFile(s.where.CA)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: callTime}
}

// keyIDs are the keys that the platform publishes, in order.
func (s *server) keyIDs() []string {
	s.t.Helper()
	response, err := s.http().Get(s.where.Authority + "/common/discovery/v2.0/keys")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var set struct {
		Keys []struct {
			ID string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		s.t.Fatal(err)
	}
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.ID)
	}
	sort.Strings(ids)
	if len(ids) < 2 {
		s.t.Fatalf("the platform publishes the keys %v; there should be two", ids)
	}
	return ids
}

// tokens gets an identity token and exchanges it in both tenants of the demo's
// directory, over the wire.
func (s *server) tokens(ctx context.Context) error {
	client := s.client()
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	for _, tenant := range []string{"contoso", "fabrikam"} {
		w, err := client.Workload(ctx, controlapi.WorkloadRequest{Application: "contoso/orders", Tenant: tenant})
		if err != nil {
			return err
		}
		player, err := workload.New(status.CA, status.URL, w.Environment)
		if err != nil {
			return err
		}
		defer player.Client().CloseIdleConnections()
		proof, err := player.IdentityToken(ctx, w.IdentityClientID, w.ExchangeAudience)
		if err != nil {
			return fmt.Errorf("the identity's token: %w", err)
		}
		if _, err := player.Exchange(ctx, w.Tenant, w.ClientID, proof, "https://storage.azure.com/.default"); err != nil {
			return fmt.Errorf("the exchange in %s: %w", tenant, err)
		}
	}
	return nil
}

func (s *server) mustIssueTokens() {
	s.t.Helper()
	if err := s.tokens(s.t.Context()); err != nil {
		s.t.Fatalf("tokens are not issued: %v\n%s", err, s.log)
	}
}

// applyDemo fills the directory with the demo's.
func (s *server) applyDemo() {
	s.t.Helper()
	if _, err := s.client().Apply(s.t.Context(), file(string(demo.Directory))); err != nil {
		s.t.Fatal(err)
	}
}

func file(text string) controlapi.ApplyRequest {
	return controlapi.ApplyRequest{Files: []controlapi.File{{Name: "faults.yaml", Text: text}}}
}

// result is one finished command.
type result struct {
	status   int
	out, err string
}

// command runs the program to its end.
func command(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	return finish(t, cmd, stdin)
}

func finish(t *testing.T, cmd *exec.Cmd, stdin string) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// refused runs the program, which must end with the status and say all of the
// words.
func refused(t *testing.T, status int, args []string, words ...string) {
	t.Helper()
	r := command(t, "", args...)
	if r.status != status {
		t.Errorf("%s ended with status %d, want %d:\n%s", strings.Join(args, " "), r.status, status, r.err)
	}
	for _, word := range words {
		if !strings.Contains(r.err, word) {
			t.Errorf("the message of %s does not say %q:\n%s", strings.Join(args, " "), word, r.err)
		}
	}
	if strings.Contains(r.err, "goroutine ") {
		t.Errorf("the message is a stack:\n%s", r.err)
	}
}
