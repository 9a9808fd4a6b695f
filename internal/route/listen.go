package route

import (
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Timeouts and sizes of every server. Source: the limits table in
// docs/limits.md.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 32 << 10
	maxStreams        = 100
)

// NewServer makes an HTTP server with the limits that hold on every listener.
// tlsConfig is nil for the plain endpoints.
func NewServer(handler http.Handler, tlsConfig *tls.Config, logger *slog.Logger) *http.Server {
	s := &http.Server{
		Handler:           limitHeaders(handler),
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		// Handshake failures and the like: the peer's doing, not worth a line
		// each at the default level.
		ErrorLog: log.New(debugWriter{logger}, "", 0),
	}
	return s
}

type debugWriter struct{ log *slog.Logger }

func (d debugWriter) Write(p []byte) (int, error) {
	d.log.Debug("http server", "message", string(p))
	return len(p), nil
}

// maxHeaderFields bounds the number of header fields of one request.
const maxHeaderFields = 100

func limitHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fields := 0
		for _, values := range r.Header {
			fields += len(values)
		}
		if fields > maxHeaderFields {
			http.Error(w, "too many header fields", http.StatusRequestHeaderFieldsTooLarge)
			return
		}
		if len(r.TransferEncoding) > 0 {
			// A Content-Length beside the chunks has been dropped by now, unseen.
			// Whoever stands between us and the client may have believed it, so
			// nothing more is read from this connection (RFC 9112 section 6.1).
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Limits bounds open connections. Zero means the default.
type Limits struct {
	Connections int // in all; default 8192
	PerSource   int // from one address other than loopback; default 512
}

// Limit wraps a listener so that connections over the limits are closed at
// once: a full house refuses newcomers cheaply instead of slowing everybody.
func Limit(l net.Listener, limits Limits) net.Listener {
	if limits.Connections == 0 {
		limits.Connections = 8192
	}
	if limits.PerSource == 0 {
		limits.PerSource = 512
	}
	return &limitListener{Listener: l, limits: limits, sources: make(map[netip.Addr]int)}
}

type limitListener struct {
	net.Listener
	limits  Limits
	mu      sync.Mutex
	open    int
	sources map[netip.Addr]int
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := addrOf(conn)
		if !l.admit(source) {
			_ = conn.Close()
			continue
		}
		return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { l.leave(source) })}, nil
	}
}

func (l *limitListener) admit(source netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.limits.Connections || !source.IsLoopback() && l.sources[source] >= l.limits.PerSource {
		return false
	}
	l.open++
	l.sources[source]++
	return true
}

func (l *limitListener) leave(source netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.sources[source]--; l.sources[source] <= 0 {
		delete(l.sources, source)
	}
}

// addrOf is the source that a connection counts for: an IPv4 address, or the /64
// that an IPv6 address lies in, since whoever has one address there has all of
// them.
func addrOf(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := tcp.AddrPort().Addr().Unmap()
	if addr.Is4() || addr.IsLoopback() {
		return addr
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.Addr()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// Source is the peer's address for records: always the socket's, never a
// header's.
func Source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
