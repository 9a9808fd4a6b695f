package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// target is an endpoint and finished requests for it, which are sent in turn.
type target struct {
	address  string
	tls      *tls.Config // nil for plain HTTP
	requests [][]byte
}

// client is one connection that is kept alive. It speaks just enough HTTP/1.1
// to tell a good answer from a bad one, so that the generator takes little of
// the processors that it shares with the server.
type client struct {
	target *target
	conn   net.Conn
	buffer [16 << 10]byte
}

func (t *target) dial() (*client, error) {
	conn, err := net.Dial("tcp", t.address)
	if err != nil {
		return nil, err
	}
	if t.tls != nil {
		secure := tls.Client(conn, t.tls)
		if err := secure.Handshake(); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		conn = secure
	}
	return &client{target: t, conn: conn}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// send sends a request and returns the whole answer, which is good until the
// next call. Anything but a 200 with a token's length of content is an error.
func (c *client) send(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	have := 0
	for {
		n, err := c.conn.Read(c.buffer[have:])
		have += n
		if err != nil {
			return nil, err
		}
		done, err := whole(c.buffer[:have])
		if err != nil {
			return nil, err
		}
		if done {
			return c.buffer[:have], nil
		}
	}
}

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	contentLength = []byte("\r\nContent-Length: ")
	headerEnd     = []byte("\r\n\r\n")
)

// whole reports whether an answer has arrived to its end.
func whole(answer []byte) (bool, error) {
	end := bytes.Index(answer, headerEnd)
	if end < 0 {
		return false, nil
	}
	header, body := answer[:end+2], answer[end+len(headerEnd):]
	if !bytes.HasPrefix(header, statusOK) {
		return false, fmt.Errorf("the answer is %q", answer)
	}
	at := bytes.Index(header, contentLength)
	if at < 0 {
		return false, errors.New("the answer has no Content-Length")
	}
	text, _, _ := bytes.Cut(header[at+len(contentLength):], headerEnd[:2])
	length, err := strconv.Atoi(string(text))
	const shortestToken = 500
	if err != nil || length < shortestToken || len(body) > length {
		return false, fmt.Errorf("the answer says it has %s bytes of content and has %d", text, len(body))
	}
	return len(body) == length, nil
}

// clients are the connections of one load.
type clients []*client

func (t *target) open(n int) (clients, error) {
	var all clients
	for range n {
		c, err := t.dial()
		if err != nil {
			all.close()
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (all clients) close() {
	for _, c := range all {
		c.close()
	}
}

// round is what one round of load came to.
type round struct {
	requests  int
	took      time.Duration
	latencies []time.Duration // sorted
	server    time.Duration   // processor time of the server
	generator time.Duration   // processor time of this process
}

func (r *round) rate() float64 { return float64(r.requests) / r.took.Seconds() }

// perRequest is the server's processor time for one request.
func (r *round) perRequest() time.Duration { return r.server / time.Duration(max(r.requests, 1)) }

func (r *round) percentile(p int) time.Duration {
	return r.latencies[min(len(r.latencies)*p/100, len(r.latencies)-1)]
}

// run offers load for a while. Without a rate every connection sends its next
// request when it has the answer to the last. With one, the requests are due at
// times that do not depend on the answers, and latency counts from when a
// request was due: a server that stalls is not excused from what it held up.
// Any bad answer fails the round.
func (all clients) run(ctx context.Context, s *server, duration time.Duration, rate int) (*round, error) {
	var interval time.Duration
	if rate > 0 {
		interval = time.Second * time.Duration(len(all)) / time.Duration(rate)
	}
	before, err := s.processorTime()
	if err != nil {
		return nil, err
	}
	own := ownProcessorTime()
	start := time.Now()
	end := start.Add(duration)
	latencies := make([][]time.Duration, len(all))
	failures := make([]error, len(all))
	var group sync.WaitGroup
	for i, c := range all {
		group.Go(func() {
			if failures[i] = c.conn.SetDeadline(end.Add(10 * time.Second)); failures[i] != nil {
				return
			}
			took := make([]time.Duration, 0, 1<<16)
			// Each connection begins at another request, and at another time.
			next := i * len(c.target.requests) / len(all)
			due := start.Add(interval * time.Duration(i) / time.Duration(len(all)))
			for due.Before(end) && ctx.Err() == nil {
				if interval > 0 {
					time.Sleep(time.Until(due))
				}
				if _, failures[i] = c.send(c.target.requests[next%len(c.target.requests)]); failures[i] != nil {
					return
				}
				now := time.Now()
				took = append(took, now.Sub(due))
				next++
				if due = due.Add(interval); interval == 0 {
					due = now
				}
			}
			latencies[i] = took
		})
	}
	group.Wait()
	r := &round{took: time.Since(start), latencies: slices.Concat(latencies...), generator: ownProcessorTime() - own}
	if err := errors.Join(append(failures, ctx.Err())...); err != nil {
		return nil, err
	}
	after, err := s.processorTime()
	if err != nil {
		return nil, err
	}
	slices.Sort(r.latencies)
	r.requests, r.server = len(r.latencies), after-before
	if r.requests == 0 {
		return nil, errors.New("nothing was answered")
	}
	return r, nil
}

// ownProcessorTime is what this process has used so far.
func ownProcessorTime() time.Duration { return usage(syscall.RUSAGE_SELF) }

// childrenProcessorTime is what processes that have ended had used.
func childrenProcessorTime() time.Duration { return usage(syscall.RUSAGE_CHILDREN) }

func usage(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
