package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/controlapi"
	"github.com/avouch/avouch/internal/demo"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"avouch": main})
}

// TestScripts runs the command lines of testdata/script. Beside the commands of
// testscript there are:
//
//	status N COMMAND   runs the command, which must end with status N
//	ready              waits until the platform on $AVOUCH_DIR answers
//	let NAME FILE      sets a variable to a file's text ("stdout" is a file too)
//	freeport NAME      sets a variable to a port that is free now
//	handshake CERT KEY CA HOST
//	                   a TLS server with CERT is trusted by a client that trusts CA
//	call STATUS URL CA TOKENFILE
//	                   the resource at URL answers the token with STATUS
//	mode MODE FILE     the file has the mode
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("AVOUCH_DIR", filepath.Join(env.WorkDir, "data"))
			env.Setenv("HOME", env.WorkDir)
			return os.WriteFile(filepath.Join(env.WorkDir, "demo.yaml"), demo.Directory, 0o600)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status":    status,
			"ready":     awaitReady,
			"let":       let,
			"freeport":  freePort,
			"handshake": handshake,
			"call":      call,
			"mode":      mode,
		},
	})
}

// patience bounds the waiting for a process to be ready.
const patience = 30 * time.Second

func need(ts *testscript.TestScript, neg bool, args []string, names ...string) {
	if neg || len(args) != len(names) {
		ts.Fatalf("want the arguments %s", strings.Join(names, " "))
	}
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("want the arguments N COMMAND...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("the command ended with status %d", got)
	}
}

func awaitReady(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args)
	client := controlapi.NewClient(ts.Getenv("AVOUCH_DIR"))
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err = client.Status(context.Background()); err == nil {
			return
		}
	}
	ts.Fatalf("the platform is not ready: %v", err)
}

func let(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "NAME", "FILE")
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

func freePort(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "NAME")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	if address, ok := l.Addr().(*net.TCPAddr); ok {
		ts.Setenv(args[0], strconv.Itoa(address.Port))
	}
	ts.Check(l.Close())
}

func pool(ts *testscript.TestScript, file string) *x509.CertPool {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ts.ReadFile(file))) {
		ts.Fatalf("%s holds no certificate", file)
	}
	return roots
}

func handshake(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "CERT", "KEY", "CA", "HOST")
	pair, err := tls.LoadX509KeyPair(ts.MkAbs(args[0]), ts.MkAbs(args[1]))
	ts.Check(err)
	client, server := net.Pipe()
	go func() {
		// Its error is the client's as well.
		_ = tls.Server(server, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}).Handshake()
	}()
	conn := tls.Client(client, &tls.Config{RootCAs: pool(ts, args[2]), ServerName: args[3], MinVersion: tls.VersionTLS12})
	ts.Check(conn.SetDeadline(time.Now().Add(patience)))
	ts.Check(conn.Handshake())
	ts.Check(errors.Join(client.Close(), server.Close()))
}

func call(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "STATUS", "URL", "CA", "TOKENFILE")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(ts, args[2]), MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequest(http.MethodGet, args[1], nil)
	ts.Check(err)
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(ts.ReadFile(args[3])))
	var response *http.Response
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if response, err = (&http.Client{Transport: transport, Timeout: patience}).Do(request); err == nil {
			break
		}
	}
	ts.Check(err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	if got := strconv.Itoa(response.StatusCode); got != args[0] {
		ts.Fatalf("the resource answered %s: %s", got, body)
	}
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, "MODE", "FILE")
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if info.Mode().Perm() != os.FileMode(want) {
		ts.Fatalf("%s has mode %04o", args[1], info.Mode().Perm())
	}
}
