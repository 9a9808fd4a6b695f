package route_test

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/route"
)

func surface() route.Surface {
	return route.Surface{
		NotFound: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not found", http.StatusNotFound) },
		BadMethod: func(w http.ResponseWriter, _ *http.Request, allowed []string) {
			http.Error(w, strings.Join(allowed, ","), http.StatusMethodNotAllowed)
		},
		Fault: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "fault", http.StatusServiceUnavailable)
		},
	}
}

func echo(w http.ResponseWriter, _ *http.Request, p route.Params) error {
	_, err := io.WriteString(w, strings.Join(p, "|"))
	return err
}

// TestServerLimits reads the timeouts and sizes of every server (threats H1,
// section 3).
func TestServerLimits(t *testing.T) {
	s := route.NewServer(http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler))
	for _, row := range []struct {
		name      string
		got, want time.Duration
	}{
		{"read header", s.ReadHeaderTimeout, 5 * time.Second},
		{"read", s.ReadTimeout, 15 * time.Second},
		{"write", s.WriteTimeout, 30 * time.Second},
		{"idle", s.IdleTimeout, 60 * time.Second},
	} {
		if row.got != row.want {
			t.Errorf("%s timeout %v, want %v", row.name, row.got, row.want)
		}
	}
	if s.MaxHeaderBytes != 32<<10 || s.HTTP2.MaxConcurrentStreams != 100 || s.ErrorLog == nil {
		t.Errorf("header bytes %d, streams %d", s.MaxHeaderBytes, s.HTTP2.MaxConcurrentStreams)
	}
	if s.Protocols != nil && s.Protocols.UnencryptedHTTP2() {
		t.Error("HTTP/2 in clear text is on")
	}
}

// TestTableWithGaps: a route that does not say who may call it, or what it may
// cost, stops the start (threats X2).
func TestTableWithGaps(t *testing.T) {
	good := route.Route{Method: http.MethodGet, Path: "/a", Auth: route.Public, Timeout: time.Second, Handle: echo}
	change := func(f func(*route.Route)) route.Route { r := good; f(&r); return r }
	for name, table := range map[string][]route.Route{
		"no authenticator":            {change(func(r *route.Route) { r.Auth = 0 })},
		"no timeout":                  {change(func(r *route.Route) { r.Timeout = 0 })},
		"no method":                   {change(func(r *route.Route) { r.Method = "" })},
		"no handler":                  {change(func(r *route.Route) { r.Handle = nil })},
		"a relative path":             {change(func(r *route.Route) { r.Path = "a" })},
		"the same twice":              {good, good},
		"the same twice, other case":  {good, change(func(r *route.Route) { r.Path = "/A" })},
		"the same twice, other names": {change(func(r *route.Route) { r.Path = "/{a}" }), change(func(r *route.Route) { r.Path = "/{b}" })},
	} {
		if _, err := route.New(surface(), table...); err == nil {
			t.Errorf("a table with %s was taken", name)
		}
	}
	if _, err := route.New(route.Surface{}, good); err == nil {
		t.Error("an empty surface was taken")
	}
}

func TestMux(t *testing.T) {
	mux, err := route.New(surface(),
		route.Route{Method: http.MethodGet, Path: "/{t}/keys", Auth: route.Public, Timeout: time.Second, Handle: echo},
		route.Route{Method: http.MethodPost, Path: "/{t}/token", Auth: route.ClientProof, MaxBody: 4, Timeout: time.Second,
			Handle: func(w http.ResponseWriter, r *http.Request, _ route.Params) error {
				_, err := io.Copy(w, r.Body)
				return err
			}},
		route.Route{Method: http.MethodGet, Path: "/{t}/body", Auth: route.Public, Timeout: time.Second,
			Handle: func(w http.ResponseWriter, r *http.Request, _ route.Params) error {
				_, err := io.Copy(w, r.Body)
				return err
			}},
		route.Route{Method: http.MethodGet, Path: "/panic", Auth: route.Public, Timeout: time.Second,
			Handle: func(http.ResponseWriter, *http.Request, route.Params) error { panic("secret") }},
		route.Route{Method: http.MethodGet, Path: "/fault", Auth: route.Public, Timeout: time.Second,
			Handle: func(http.ResponseWriter, *http.Request, route.Params) error { return errors.New("secret") }},
		route.Route{Method: http.MethodGet, Path: "/slow", Auth: route.Public, Timeout: time.Millisecond,
			Handle: func(w http.ResponseWriter, r *http.Request, _ route.Params) error {
				<-r.Context().Done()
				return r.Context().Err()
			}},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"GET", "/a/keys", "", 200, "a"},
		{"GET", "/A/KEYS/", "", 200, "A"},
		{"GET", "///a/keys", "", 200, "a"},
		{"GET", "/a/b/keys", "", 404, "not found\n"},
		{"GET", "//keys", "", 404, "not found\n"},
		{"GET", "/a//keys", "", 404, "not found\n"},
		{"GET", "/a/keys//", "", 404, "not found\n"},
		{"GET", "/./keys", "", 404, "not found\n"},
		{"GET", "/../keys", "", 404, "not found\n"},
		{"GET", "/a%2fkeys", "", 404, "not found\n"},
		{"GET", "/%61/keys", "", 404, "not found\n"},
		{"GET", "/a;b/keys", "", 404, "not found\n"},
		{"GET", `/a\b/keys`, "", 404, "not found\n"},
		{"GET", "/ä/keys", "", 404, "not found\n"},
		{"GET", "/a", "", 404, "not found\n"},
		{"GET", "/", "", 404, "not found\n"},
		{"POST", "/a/keys", "", 405, "GET\n"},
		{"HEAD", "/a/keys", "", 405, "GET\n"},
		{"GET", "/a/token", "", 405, "POST\n"},
		{"POST", "/a/token", "four", 200, "four"},
		{"POST", "/a/token", "fives", 503, "four"},
		{"GET", "/a/body", "unread", 200, ""},
		{"GET", "/panic", "", 503, "fault\n"},
		{"GET", "/fault", "", 503, "fault\n"},
		{"GET", "/slow", "", 503, "fault\n"},
	} {
		t.Run(row.method+" "+row.path, func(t *testing.T) {
			request := httptest.NewRequest(row.method, "/", strings.NewReader(row.body))
			if parsed, err := request.URL.Parse(row.path); err == nil && !strings.HasPrefix(row.path, "//") {
				request.URL = parsed
				request.URL.Path, request.URL.RawPath = parsed.Path, parsed.RawPath
			}
			if strings.HasPrefix(row.path, "//") || strings.Contains(row.path, "..") || strings.Contains(row.path, "/./") {
				request.URL.Path, request.URL.RawPath = row.path, ""
			}
			recorder := httptest.NewRecorder()
			mux.ServeHTTP(recorder, request)
			if row.answer == "four" && row.status == 503 {
				// Four bytes were already on their way when the limit was met.
				if recorder.Body.String() == "fives" {
					t.Error("a body over the limit was read")
				}
				return
			}
			if recorder.Code != row.status || recorder.Body.String() != row.answer {
				t.Errorf("%d %q, want %d %q", recorder.Code, recorder.Body, row.status, row.answer)
			}
			if recorder.Header().Get("Location") != "" {
				t.Error("redirected")
			}
		})
	}
	if got := len(mux.Routes()); got != 6 {
		t.Errorf("%d routes", got)
	}
}

// TestLimitedConnections: a full house closes newcomers at once and has room
// again when somebody leaves.
func TestLimitedConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := route.Limit(inner, route.Limits{Connections: 2})
	defer func() { _ = limited.Close() }()
	accepted := make(chan net.Conn, 8)
	go func() {
		for {
			conn, err := limited.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	dial()
	first := <-accepted
	dial()
	<-accepted
	third := dial()
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("a third connection was served")
	}
	for range 2 { // leaving twice counts once
		_ = first.Close()
	}
	dial()
	<-accepted
	fifth := dial()
	if _, err := fifth.Read(make([]byte, 1)); err == nil {
		t.Error("closing twice made room for two")
	}
}

func TestSource(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "192.0.2.7:1234"
	for _, name := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP"} {
		r.Header.Set(name, "198.51.100.1")
	}
	if got := route.Source(r); got != "192.0.2.7" {
		t.Errorf("source %s, not the socket's (threats H6)", got)
	}
}
