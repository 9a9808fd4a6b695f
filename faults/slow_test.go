//go:build faults && unix

package faults

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/controlapi"
	"github.com/avouch/avouch/internal/fixture"
	"github.com/avouch/avouch/internal/workload"
)

// Threat H1: 2,000 connections that get nowhere do not slow a client that
// does, and those that are only beginning are closed in time.
func TestSlowConnections(t *testing.T) {
	needDescriptors(t, 3000)
	p := start(t, filepath.Join(t.TempDir(), "data"))
	p.applyDemo()
	ask := p.cleanClient()
	const while = 2500 * time.Millisecond
	for range 100 { // caches, and the session keys of TLS
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	before := measure(t, ask, while)

	// Those that the server bears the shortest time come last.
	const each = 400
	address := hostOf(t, p.where.Authority)
	var held []*slow
	for _, kind := range []struct {
		name string
		open func(address string) (*slow, error)
	}{
		{"idle", idle}, {"slow reader", slowReader}, {"slow body", slowBody},
		{"slow header", slowHeader}, {"unfinished handshake", unfinishedHandshake},
	} {
		began := time.Now()
		opened, err := openMany(each, func() (*slow, error) { return kind.open(address) })
		defer closeAll(opened)
		if err != nil {
			t.Fatalf("%s: %v", kind.name, err)
		}
		for _, s := range opened {
			s.kind = kind.name
		}
		held = append(held, opened...)
		t.Logf("%d times %s, in %v", each, kind.name, time.Since(began).Round(time.Millisecond))
	}
	stop := drip(held)
	during := measure(t, ask, while)
	stop()

	if err := held[each].takeAnswer(); err != nil {
		t.Errorf("the %s was not what kept its answer back: %v", held[each].kind, err)
	}
	lost := make(map[string]int)
	for i, open := range areOpen(held, 100*time.Millisecond) {
		if !open {
			lost[held[i].kind]++
		}
	}
	if len(lost) != 0 {
		t.Errorf("of each %d connections the server closed %v before the end of the measurement", each, lost)
	}
	bound := max(3*before.p99, 50*time.Millisecond)
	t.Logf("before: %v", before)
	t.Logf("beside %d slow connections: %v; p99 may be %v", len(held), during, bound)
	if during.p99 > bound {
		t.Errorf("beside %d slow connections p99 is %v, before it was %v", len(held), during.p99, before.p99)
	}

	beginners := held[3*each:]
	for i, open := range areOpen(beginners, 10*time.Second) {
		if open {
			t.Fatalf("a connection with a %s is still open", beginners[i].kind)
		}
	}
}

// Limits of docs/limits.md.
const (
	mostConnections = 8192
	mostFromOne     = 512
)

// Threat H1: a listener that is full closes newcomers at once, disturbs nobody
// at the others, and has room again as soon as somebody leaves.
func TestSlowConnectionsFillAListener(t *testing.T) {
	const over = 64
	needDescriptors(t, mostConnections+over+500)
	p := start(t, filepath.Join(t.TempDir(), "data"))
	p.applyDemo()
	ask := p.cleanClient()
	address := hostOf(t, p.where.Identity)

	began := time.Now()
	served, err := openMany(mostConnections, func() (*slow, error) { return answered(address) })
	defer func() { closeAll(served) }()
	if err != nil {
		t.Fatalf("under the limit: %v", err)
	}
	t.Logf("%d connections in %v", len(served), time.Since(began).Round(time.Millisecond))
	began = time.Now()
	newcomers, err := openMany(over, func() (*slow, error) {
		s, err := answered(address)
		if err == nil {
			return s, nil
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil, err
		}
		return nil, nil
	})
	defer closeAll(newcomers)
	if err != nil {
		t.Errorf("a connection over the limit was kept waiting: %v", err)
	}
	for _, s := range newcomers {
		if s != nil {
			t.Error("a connection over the limit was served")
		}
	}
	t.Logf("%d more were closed in %v", over, time.Since(began).Round(time.Millisecond))
	t.Logf("at another listener: %v", measure(t, ask, 500*time.Millisecond))

	closeAll(served[:1])
	var s *slow
	for range 100 {
		if s, err = answered(address); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("somebody left, and there is no room: %v", err)
	}
	served[0] = s
}

// Threat H1: one address other than loopback gets a part of the connections
// and leaves the rest to others.
func TestSlowConnectionsOfOneSource(t *testing.T) {
	needDescriptors(t, 2000)
	own := ownAddress(t)
	p := start(t, filepath.Join(t.TempDir(), "data"), "--listen", "0.0.0.0:0")
	p.applyDemo()
	ask := p.cleanClient()
	_, port, err := net.SplitHostPort(hostOf(t, p.where.Authority))
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(own, port)

	served, err := openMany(mostFromOne, func() (*slow, error) { return idle(address) })
	defer closeAll(served)
	if err != nil {
		t.Fatalf("under the limit: %v", err)
	}
	for range 50 {
		if s, err := idle(address); err == nil {
			_ = s.raw.Close()
			t.Fatal("a connection over the limit was served")
		}
	}
	t.Logf("from another source: %v", measure(t, ask, 500*time.Millisecond))
	for _, open := range areOpen(served, 100*time.Millisecond) {
		if !open {
			t.Fatal("a connection was closed to make room for another of its source")
		}
	}
}

// needDescriptors is for tests with many connections. The Go runtime of both
// programs has raised the soft limit to the hard one already.
func needDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if uint64(limit.Max) < n {
		fixture.Missing(t, fmt.Sprintf("%d file descriptors are allowed, and %d are needed: raise the limit with ulimit -Hn", limit.Max, n))
	}
}

// ownAddress is an address of this machine that is not loopback. What is sent
// to it does not leave the machine.
func ownAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.IsGlobalUnicast() && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	fixture.Missing(t, "this machine has no IPv4 address but loopback")
	return ""
}

// cleanClient is a workload that exchanges its identity's token, each time over
// a new connection: what slow ones could keep it from is getting in.
func (s *server) cleanClient() (ask func() error) {
	s.t.Helper()
	w, err := s.client().Workload(s.t.Context(), controlapi.WorkloadRequest{Application: "contoso/orders", Host: "web-vm"})
	if err != nil {
		s.t.Fatal(err)
	}
	player, err := workload.New(s.where.CA, s.where.Authority, w.Environment)
	if err != nil {
		s.t.Fatal(err)
	}
	player.Client().Transport.(*http.Transport).DisableKeepAlives = true
	proof, err := player.IdentityToken(s.t.Context(), w.IdentityClientID, w.ExchangeAudience)
	if err != nil {
		s.t.Fatal(err)
	}
	return func() error {
		_, err := player.Exchange(s.t.Context(), w.Tenant, w.ClientID, proof, "https://storage.azure.com/.default")
		return err
	}
}

type latency struct {
	n                int
	median, p99, max time.Duration
}

func (l latency) String() string {
	return fmt.Sprintf("%d requests, median %v, p99 %v, slowest %v",
		l.n, l.median.Round(10*time.Microsecond), l.p99.Round(10*time.Microsecond), l.max.Round(10*time.Microsecond))
}

// measure asks again and again. Every request must succeed.
func measure(t *testing.T, ask func() error, while time.Duration) latency {
	t.Helper()
	var took []time.Duration
	for end := time.Now().Add(while); time.Now().Before(end); {
		began := time.Now()
		if err := ask(); err != nil {
			t.Fatalf("a clean request fails: %v", err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return latency{len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1]}
}

// slow is one connection that holds a place.
type slow struct {
	kind string
	raw  net.Conn // the socket
	conn net.Conn // what is spoken over it
	drip bool     // sends a byte now and then, as if it went on
}

func openMany(n int, open func() (*slow, error)) ([]*slow, error) {
	var mu sync.Mutex
	var all []*slow
	var failed error
	var group sync.WaitGroup
	turns := make(chan struct{}, n)
	for range n {
		turns <- struct{}{}
	}
	close(turns)
	for range 16 {
		group.Go(func() {
			for range turns {
				s, err := open()
				mu.Lock()
				if err != nil {
					failed = err
				} else {
					all = append(all, s)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return all, failed
}

func closeAll(all []*slow) {
	for _, s := range all {
		if s != nil {
			_ = s.raw.Close()
		}
	}
}

// drip sends a byte over each of the connections that go on, in turn, each
// about every two seconds. They do not come all at once: it is their number
// that is measured, not a burst of this process's own work.
func drip(all []*slow) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	var dripping []*slow
	for _, s := range all {
		if s.drip {
			dripping = append(dripping, s)
		}
	}
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Second / time.Duration(len(dripping)))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			// Whether it is still open is looked at later.
			_, _ = dripping[i%len(dripping)].conn.Write([]byte("a"))
		}
	}()
	return func() { close(ended); <-done }
}

// areOpen looks whether the server closes the sockets within a time.
func areOpen(all []*slow, within time.Duration) []bool {
	open := make([]bool, len(all))
	deadline := time.Now().Add(within)
	var group sync.WaitGroup
	for i, s := range all {
		group.Go(func() {
			_ = s.raw.SetReadDeadline(deadline)
			_, err := io.Copy(io.Discard, s.raw)
			open[i] = errors.Is(err, os.ErrDeadlineExceeded)
		})
	}
	group.Wait()
	return open
}

// plain connects, and gives up on a server that keeps it waiting.
func plain(address string) (*slow, error) {
	conn, err := net.DialTimeout("tcp", address, startTime)
	if err != nil {
		return nil, err
	}
	return &slow{raw: conn, conn: conn}, conn.SetDeadline(time.Now().Add(startTime))
}

func secure(address, protocol string) (*slow, error) {
	s, err := plain(address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(s.raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}) //nolint:gosec // only to be in the way
	if err := conn.Handshake(); err != nil {
		return nil, errors.Join(err, s.raw.Close())
	}
	s.conn = conn
	return s, nil
}

// begin sends what a connection begins with.
func (s *slow) begin(text string) (*slow, error) {
	if _, err := io.WriteString(s.conn, text); err != nil {
		return nil, errors.Join(err, s.raw.Close())
	}
	return s, nil
}

func unfinishedHandshake(address string) (*slow, error) {
	s, err := plain(address)
	if err != nil {
		return nil, err
	}
	// A record of 512 bytes, of which the first is there.
	return s.begin("\x16\x03\x01\x02\x00\x01")
}

const slowHead = "POST /common/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\n"

func slowHeader(address string) (*slow, error) {
	s, err := secure(address, "http/1.1")
	if err != nil {
		return nil, err
	}
	s.drip = true
	return s.begin(slowHead + "X-Slow: ")
}

func slowBody(address string) (*slow, error) {
	s, err := secure(address, "http/1.1")
	if err != nil {
		return nil, err
	}
	s.drip = true
	return s.begin(slowHead + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ngrant_type=")
}

const keysPath = "/common/discovery/v2.0/keys"

// idle has been served and stays.
func idle(address string) (*slow, error) {
	s, err := secure(address, "http/1.1")
	if err != nil {
		return nil, err
	}
	return s.served("GET " + keysPath + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

// answered is idle at a plain listener. What it asks for is not there, so that
// it leaves no record.
func answered(address string) (*slow, error) {
	s, err := plain(address)
	if err != nil {
		return nil, err
	}
	return s.served("GET / HTTP/1.1\r\nHost: " + address + "\r\n\r\n")
}

func (s *slow) served(request string) (*slow, error) {
	if _, err := s.begin(request); err != nil {
		return nil, err
	}
	answer := make([]byte, len("HTTP/1.1 "))
	if _, err := io.ReadFull(s.conn, answer); err != nil {
		return nil, errors.Join(err, s.raw.Close())
	}
	return s, nil
}

// slowReader asks over HTTP/2 and lets the server send no byte of the answer's
// body (RFC 9113 section 6.9): the buffers of a socket would take it all.
func slowReader(address string) (*slow, error) {
	s, err := secure(address, "h2")
	if err != nil {
		return nil, err
	}
	const noWindow = "\x00\x04\x00\x00\x00\x00"
	// Of the static table: GET, https, a path and an authority with values.
	header := "\x82\x87\x04" + counted(keysPath) + "\x01" + counted("localhost")
	return s.begin("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, noWindow) + frame(1, 5, 1, header))
}

func counted(s string) string { return string(rune(len(s))) + s }

// frame is a frame of HTTP/2 with a short payload.
func frame(kind, flags, stream byte, payload string) string {
	return string([]byte{0, 0, byte(len(payload)), kind, flags, 0, 0, 0, stream}) + payload
}

// takeAnswer opens the window of a slow reader and waits for the answer.
func (s *slow) takeAnswer() error {
	if err := s.conn.SetDeadline(time.Now().Add(startTime)); err != nil {
		return err
	}
	if _, err := s.begin(frame(8, 0, 1, "\x00\x01\x00\x00")); err != nil {
		return err
	}
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(s.conn, head); err != nil {
			return err
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(s.conn, payload); err != nil {
			return err
		}
		if head[3] == 0 {
			if !bytes.Contains(payload, []byte(`"keys"`)) {
				return fmt.Errorf("the answer is %q", payload)
			}
			return nil
		}
	}
}
