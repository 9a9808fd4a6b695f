package main

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
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/avouch/avouch/internal/controlapi"
)

// server is a running 'avouch dev' and its data directory.
type server struct {
	binary  string
	dir     string
	command *exec.Cmd
	log     bytes.Buffer // what it says on its standard error; read it only after the end
	began   time.Time    // just before the process was made
	ready   time.Time    // when it had said so

	authority *url.URL
	tls       *tls.Config
	control   *controlapi.Client
}

// start runs the platform on the data directory until it is ready.
func (b *bench) start(ctx context.Context, dir string) (*server, error) {
	s := &server{binary: b.binary, dir: dir, control: controlapi.NewClient(dir)}
	s.command = exec.CommandContext(ctx, b.binary, "dev", "--dir", dir, "--listen", "127.0.0.1:0", "--identity-listen", "127.0.0.1:0")
	s.command.Cancel = func() error { return s.command.Process.Signal(syscall.SIGTERM) }
	s.command.WaitDelay = 10 * time.Second
	s.command.Stderr = &s.log
	out, err := s.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.began = time.Now()
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	if err := s.awaitReady(out); err != nil {
		_ = s.command.Process.Kill()
		_ = s.command.Wait()
		return nil, fmt.Errorf("starting the platform: %w\n%s", err, s.log.Bytes())
	}
	return s, nil
}

func (s *server) awaitReady(out io.Reader) error {
	line, err := bufio.NewReader(out).ReadString('\n')
	s.ready = time.Now()
	if err != nil {
		return err
	}
	text, ok := strings.CutPrefix(line, "READY ")
	if !ok {
		return fmt.Errorf("it said %q", line)
	}
	var where struct {
		Authority string `json:"authority"`
		CA        string `json:"ca"`
	}
	if err := json.Unmarshal([]byte(text), &where); err != nil {
		return err
	}
	if s.authority, err = url.Parse(where.Authority); err != nil {
		return err
	}
	pem, err := os.ReadFile(where.CA)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", where.CA)
	}
	s.tls = &tls.Config{RootCAs: roots, ServerName: s.authority.Hostname(), MinVersion: tls.VersionTLS12}
	return nil
}

// stop ends the platform as a user would.
func (s *server) stop() error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.command.Wait(); err != nil {
		return fmt.Errorf("the platform ended with: %w\n%s", err, s.log.Bytes())
	}
	return nil
}

// apply makes the directory match the file, with the program's own command.
func (s *server) apply(ctx context.Context, file string) error {
	var failure bytes.Buffer
	command := exec.CommandContext(ctx, s.binary, "apply", "--dir", s.dir, "-f", file)
	command.Stderr = &failure
	if err := command.Run(); err != nil {
		return fmt.Errorf("apply: %w\n%s", err, failure.Bytes())
	}
	return nil
}

// clockTicks is how many units of /proc/PID/stat make a second, on every Linux.
const clockTicks = 100

// processorTime is what the process has used so far, in user and kernel mode.
func (s *server) processorTime() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name, in parentheses and of any form.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	const user, system = 11, 12 // counted from the third field
	if len(fields) <= system {
		return 0, errors.New("/proc/PID/stat has an unknown form")
	}
	var ticks int64
	for _, i := range []int{user, system} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}

// residentMemory is the resident set and how much of it is the process's own,
// not pages of files such as the program itself; in bytes.
func (s *server) residentMemory() (all, own int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*int64{"VmRSS": &all, "RssAnon": &own}[name]
		if into == nil {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		*into = kilobytes << 10
	}
	return all, own, nil
}
