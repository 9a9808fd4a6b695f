package controlapi

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/platform"
)

// serve starts a platform with its control socket in dir.
func serve(t *testing.T, dir string) (*platform.Platform, *Client) {
	t.Helper()
	p, err := platform.Open(t.Context(), platform.Config{Dir: dir, Listen: "127.0.0.1:0", IdentityListen: "127.0.0.1:0", Engine: "go"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	s, err := Serve(p, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return p, NewClient(dir)
}

func TestSocket(t *testing.T) {
	for _, dir := range []string{"short", strings.Repeat("a-long-name/", 15)} {
		dir := filepath.Join(t.TempDir(), dir)
		t.Run(fmt.Sprint(len(dir)), func(t *testing.T) {
			p, err := platform.Open(t.Context(), platform.Config{Dir: dir, Listen: "127.0.0.1:0", IdentityListen: "127.0.0.1:0", Engine: "go"})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			s, err := Serve(p, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, socketFile)
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != os.ModeSocket|0o600 {
				t.Errorf("the socket's mode is %v", info.Mode())
			}
			status, err := NewClient(dir).Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if status.URL != p.URL() || status.Dir != p.Dir() {
				t.Errorf("status %+v", status)
			}
			s.Close()
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("the socket is still there: %v", err)
			}
			_, err = NewClient(dir).Status(t.Context())
			wantError(t, err, "no platform is running", "avouch dev", dir)
		})
	}
}

func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
	for _, noise := range []string{"http://avouch", "Post ", "dial unix"} {
		if strings.Contains(err.Error(), noise) {
			t.Errorf("the error shows the client's inside: %v", err)
		}
	}
}

func TestErrorsAreTold(t *testing.T) {
	_, c := serve(t, filepath.Join(t.TempDir(), "data"))
	ctx := t.Context()
	apply := func(text string) error {
		_, err := c.Apply(ctx, ApplyRequest{Files: []File{{Name: "d.yaml", Text: text}}})
		return err
	}
	if err := apply("tenants: [{name: contoso, hosts: [{name: web-app, kind: webApp}]}]"); err != nil {
		t.Fatal(err)
	}
	wantError(t, apply("tenants: [{nam: x}]"), "d.yaml:1:12: tenants[0].nam", "Did you mean name?")
	wantError(t, apply("tenants: [{name: contoso, hosts: [{name: h, kind: webApp, identities: [x]}]}]"), "d.yaml:1:", "identities[0]")
	_, err := c.Environment(ctx, "web-ap")
	wantError(t, err, `there is no host "web-ap"`, "Did you mean web-app")
	_, err = c.Certificate(ctx, CertificateRequest{Names: []string{"www.contoso.com"}})
	wantError(t, err, "may not vouch for", "www.contoso.com")
	_, err = c.Explain(ctx, ExplainRequest{Application: "x", Assertion: "a"})
	wantError(t, err, `there is no application "x"`)
	_, err = c.Workload(ctx, WorkloadRequest{Identity: "x"})
	wantError(t, err, `there is no managed identity "x"`)
	_, err = c.Log(ctx, LogRequest{Tenant: "contos"})
	wantError(t, err, "Did you mean contoso?")
}

// A command of another version is told so.
func TestOtherVersions(t *testing.T) {
	_, c := serve(t, filepath.Join(t.TempDir(), "data"))
	_, err := call[Status](t.Context(), c, "/tomorrow", struct{}{})
	wantError(t, err, "another version")
	_, err = call[Status](t.Context(), c, pathEnvironment, map[string]string{"tomorrow": "x"})
	wantError(t, err, "another version")
	_, err = call[[]int](t.Context(), c, pathStatus, struct{}{})
	wantError(t, err, "does not fit this version")
	response, err := c.http.Get("http://avouch" + pathStatus)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a GET gets %d", response.StatusCode)
	}
}

// A platform that ends in the middle of a call leaves its caller with words,
// not with "EOF".
func TestPlatformGoesAway(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, socketFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for answer := range 2 {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil && answer == 1 {
				_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"))
			}
			_ = conn.Close()
		}
	}()
	for range 2 {
		_, err = NewClient(dir).Apply(t.Context(), ApplyRequest{})
		wantError(t, err, "ended before it answered", "may have been done or not", "repeat the command", dir)
	}
}

func TestCallerGivesUp(t *testing.T) {
	_, c := serve(t, filepath.Join(t.TempDir(), "data"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Status(ctx); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("%v", err)
	}
}

// Explaining and asking for the log show no token and no secret.
func TestNoSecretsInAnswers(t *testing.T) {
	p, c := serve(t, filepath.Join(t.TempDir(), "data"))
	_, err := c.Apply(t.Context(), ApplyRequest{Files: []File{{Name: "d", Text: "tenants: [{name: contoso, hosts: [{name: web-app, kind: webApp}]}]"}}})
	if err != nil {
		t.Fatal(err)
	}
	vars, err := c.Environment(t.Context(), "web-app")
	if err != nil {
		t.Fatal(err)
	}
	secret := ""
	for _, v := range vars {
		if v.Name == "IDENTITY_HEADER" {
			secret = v.Value
		}
	}
	if len(secret) < 32 {
		t.Fatalf("the host's secret has %d characters", len(secret))
	}
	status, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log, err := c.Log(t.Context(), LogRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v %+v", status, log); strings.Contains(text, secret) {
		t.Error("the status or the log shows the host's secret")
	}
	if status.Dir != p.Dir() {
		t.Errorf("status %+v", status)
	}
}
