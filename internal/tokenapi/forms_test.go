package tokenapi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/sts"
	"github.com/avouch/avouch/internal/tokenapi"
)

// TestForms says what bodies the token endpoint takes.
func TestForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := form(orders, w.proof()).Encode()
	large := wire{"invalid_request", http.StatusRequestEntityTooLarge, false}
	media := wire{"invalid_request", http.StatusUnsupportedMediaType, false}
	bad := contract[9002313]

	for _, contentType := range []string{
		"application/x-www-form-urlencoded", "application/x-www-form-urlencoded;charset=utf-8", "application/x-www-form-urlencoded; charset=utf-8",
		"application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-Urlencoded",
	} {
		issued(t, w.post(contoso, good, "Content-Type", contentType))
	}
	for _, contentType := range []string{"", "application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencodedx", "application/x-www-form-urlencoded, text/plain", ";"} {
		t.Run("content type "+contentType, func(t *testing.T) { w.refusedAs(t, w.post(contoso, good, "Content-Type", contentType), 9002313, media) })
	}
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	if _, err := zip.Write([]byte(good)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	for _, encoding := range []string{"gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x"} {
		t.Run("encoding "+encoding, func(t *testing.T) {
			w.refusedAs(t, w.post(contoso, zipped.String(), "Content-Encoding", encoding), 9002313, media)
		})
	}
	two := w.request(http.MethodPost, "/"+contoso+"/oauth2/v2.0/token", zipped.String())
	two.Header["Content-Encoding"] = []string{"identity", "gzip"}
	w.refusedAs(t, w.do(two), 9002313, media)
	issued(t, w.post(contoso, good, "Content-Encoding", "identity"))

	full := good + "&pad=" + strings.Repeat("x", 64<<10-len(good)-5)
	issued(t, w.post(contoso, full))
	w.refusedAs(t, w.post(contoso, full+"x"), 9002313, large)
	chunked := w.request(http.MethodPost, "/"+contoso+"/oauth2/v2.0/token", "")
	chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader(full+strings.Repeat("x", 4096))), -1
	w.refusedAs(t, w.do(chunked), 9002313, large)
	chunked = w.request(http.MethodPost, "/"+contoso+"/oauth2/v2.0/token", "")
	chunked.Body, chunked.ContentLength = io.NopCloser(strings.NewReader(good)), -1
	issued(t, w.do(chunked))

	for name, body := range map[string]string{
		"a parameter twice":                good + "&client_id=" + orders,
		"a parameter twice, one escaped":   good + "&%63lient_id=" + billing,
		"an unknown parameter twice":       good + "&x=1&x=2",
		"a bad escape":                     good + "&x=%zz",
		"a NUL":                            good + "&x=%00",
		"a raw NUL":                        good + "&x=\x00",
		"a hundred and one parameters":     good + strings.Join(numbered(101), ""),
		"JSON under a form's content type": `{"=":1}&{"=":2}`,
	} {
		t.Run(name, func(t *testing.T) { w.refusedAs(t, w.post(contoso, body), 9002313, bad) })
	}
	for name, body := range map[string]string{
		"unknown parameters":              good + "&a=1&b=2&x-client-SKU=msal.js.node&client_info=1",
		"raw separators":                  good + "&t=5|771,2,,,|,&u=a;b;c&v=retry-after, h429",
		"eighty parameters more":          good + strings.Join(numbered(80), ""),
		"claims with null and capability": good + "&claims=" + url.QueryEscape(`{"access_token":{"xms_cc":{"values":["cp1"]},"nbf":null},"id_token":{"signin_state":{"essential":false}}}`),
		"token_type Bearer":               good + "&token_type=bearer",
		"an empty secret":                 good + "&client_secret=",
	} {
		t.Run(name, func(t *testing.T) { issued(t, w.post(contoso, body)) })
	}

	t.Run("the query is never read", func(t *testing.T) {
		f := form(orders, w.proof())
		f.Del("client_assertion")
		a := w.do(w.request(http.MethodPost, "/"+contoso+"/oauth2/v2.0/token?"+good, f.Encode()))
		w.refused(t, a, 7000216)
		a = w.do(w.request(http.MethodPost, "/"+contoso+"/oauth2/v2.0/token?"+good, ""))
		w.refused(t, a, 900144)
		issued(t, w.do(w.request(http.MethodPost, "/"+contoso+"/oauth2/v2.0/token?client_id="+stranger+"&scope=x&%zz&a;b", good)))
	})
	t.Run("the authorization header holds no proof", func(t *testing.T) {
		w.refused(t, w.post(contoso, good, "Authorization", "Basic "+orders+":s"), 7000215)
		w.refused(t, w.post(contoso, good, "Authorization", "Bearer "+w.proof()), 7000215)
	})
}

func numbered(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("&p%d=%d", i, i)
	}
	return all
}

// dial opens a TLS connection that speaks HTTP/1.1.
func (w *world) dial() net.Conn {
	w.t.Helper()
	pem, err := os.ReadFile(w.CAFile())
	if err != nil {
		w.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(w.URL(), "https://"), &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// raw sends bytes and returns the first answer's status and whether the
// server then closed the connection.
func (w *world) raw(t testing.TB, request string) (status int, more string) {
	t.Helper()
	conn := w.dial()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	rest, _ := io.ReadAll(reader)
	return response.StatusCode, string(rest)
}

// TestSmuggling sends requests that two parsers could read differently
// (threats H2): no part of one is ever taken for another request.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := form(orders, w.proof()).Encode()
	head := "POST /" + contoso + "/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	smuggled := "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(good))
	for name, request := range map[string]string{
		"two lengths that differ":         head + length + "Content-Length: 5\r\n\r\n" + good,
		"a length that is no number":      head + "Content-Length: 0x10\r\n\r\n" + good,
		"a negative length":               head + "Content-Length: -1\r\n\r\n" + good,
		"a length with a sign":            head + strings.Replace(length, ": ", ": +", 1) + "\r\n" + good,
		"an encoding nobody knows":        head + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + smuggled,
		"an encoding with a tab":          head + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + smuggled,
		"a blank before the colon":        head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"no host":                         strings.Replace(head, "Host: localhost\r\n", "", 1) + length + "\r\n" + good,
		"two hosts":                       head + "Host: evil.example\r\n" + length + "\r\n" + good,
		"a NUL in a header":               head + "X-A: b\x00c\r\n" + length + "\r\n" + good,
		"chunks that end with bare LF":    head + "Transfer-Encoding: chunked\r\n\r\n5\na=b&c\n0\n\n" + smuggled,
		"a chunk's size that is too long": head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 20) + "5\r\na=b&c\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if status, more := w.raw(t, request); status != http.StatusBadRequest && status != http.StatusNotImplemented || more != "" {
				t.Errorf("status %d, then %q", status, more)
			}
		})
	}
	t.Run("length and chunks together", func(t *testing.T) {
		// RFC 9112 section 6.1: the chunks count, and the connection ends.
		body := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(good), good)
		status, more := w.raw(t, strings.Replace(head, "Connection: close\r\n", "", 1)+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"+body+smuggled)
		if more != "" {
			t.Errorf("status %d, and the rest was taken for a request: %q", status, more)
		}
	})
	t.Run("a folded header is one field", func(t *testing.T) {
		// RFC 9112 section 5.2 leaves the choice between refusing and unfolding;
		// net/http unfolds before anybody can see it.
		if status, more := w.raw(t, head+"X-A: b\r\n Content-Length: 5\r\n"+length+"\r\n"+good); status != http.StatusOK || more != "" {
			t.Errorf("status %d, then %q", status, more)
		}
	})
	t.Run("a body shorter than its length", func(t *testing.T) {
		conn := w.dial()
		if _, err := io.WriteString(conn, head+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(good)+100)+good); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*tls.Conn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(conn)
		if bytes.Contains(data, []byte("access_token")) {
			t.Error("a token for half a request")
		}
	})
	t.Run("a body longer than its length", func(t *testing.T) {
		if status, more := w.raw(t, head+"Content-Length: 10\r\n\r\n"+good); status == http.StatusOK || strings.Contains(more, "access_token") {
			t.Errorf("status %d, then %q", status, more)
		}
	})
	t.Run("a header block that is too large", func(t *testing.T) {
		if status, _ := w.raw(t, head+"X-A: "+strings.Repeat("a", 40<<10)+"\r\n"+length+"\r\n"+good); status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d", status)
		}
	})
	t.Run("too many header fields", func(t *testing.T) {
		if status, _ := w.raw(t, head+strings.Repeat("X-A: b\r\n", 100)+length+"\r\n"+good); status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("status %d", status)
		}
	})
	t.Run("clear text on the secure port", func(t *testing.T) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.URL(), "https://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, head+length+"\r\n"+good); err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(conn)
		if bytes.Contains(data, []byte("access_token")) || !bytes.Contains(data, []byte("400")) {
			t.Errorf("answered %q", data)
		}
	})
}

// TestSlowClients holds some hundred connections that never finish a request
// beside a client that does (threats H1). The limits themselves are read from
// the server in package route.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	issued(t, w.ask(contoso, form(orders, w.proof())))
	address := strings.TrimPrefix(w.URL(), "https://")
	for range 200 { // never begin the handshake
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	head := "POST /" + contoso + "/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\n"
	began := time.Now()
	slowHeader := w.dial()
	if _, err := io.WriteString(slowHeader, head); err != nil {
		t.Fatal(err)
	}
	for range 30 { // never end the header, or the body
		for _, rest := range []string{"X-Slow: ", "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ngrant_type="} {
			if _, err := io.WriteString(w.dial(), head+rest); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 20 {
		asked := time.Now()
		issued(t, w.ask(contoso, form(orders, w.proof())))
		if took := time.Since(asked); took > 3*time.Second {
			t.Errorf("beside slow connections a token took %v", took)
		}
	}
	// The server closes the first one by itself.
	if err := slowHeader.SetReadDeadline(began.Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := io.ReadAll(slowHeader)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("the connection with half a header is still open after 15 seconds")
	}
	if open := time.Since(began); open < 4*time.Second {
		t.Errorf("closed after %v already", open)
	}
}

// brokenDirectory is a store that has gone away.
type brokenDirectory struct{ sts.Directory }

const privateText = "pq: connection to /var/lib/private refused"

func (brokenDirectory) Tenant(context.Context, string) (*directory.Tenant, error) {
	return nil, errors.New(privateText)
}

type records struct {
	mu  sync.Mutex
	all []audit.SignIn
}

func (r *records) Record(s audit.SignIn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, s)
}

// TestFault: when the store is away the answer is 503 without a word about why
// (threats A8), and answer, record and log carry one trace id.
func TestFault(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	kept := &records{}
	api := tokenapi.New(tokenapi.Config{
		Service: sts.New(sts.Config{Cloud: directory.Global(), Directory: brokenDirectory{}}),
		Records: kept, Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now, PublicURL: "https://localhost",
	})
	handler, err := api.Handler()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	const correlation = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
	w := &world{t: t, client: server.Client()}
	for _, path := range []string{"/" + contoso + "/oauth2/v2.0/token", "/" + contoso + "/oauth2/token"} {
		f := with(form(orders, "a.b.c"), "resource", "-")
		if !strings.Contains(path, "v2.0") {
			f = with(f, "resource", storage)
		}
		request := httptest.NewRequest(http.MethodPost, server.URL+path, strings.NewReader(f.Encode()))
		request.RequestURI = ""
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("client-request-id", correlation)
		a := w.do(request)
		if a.status != http.StatusServiceUnavailable || a.body["error"] != "temporarily_unavailable" || a.header.Get("Retry-After") == "" {
			t.Errorf("%d %s", a.status, a.raw)
		}
		if strings.Contains(a.raw, "private") {
			t.Errorf("the answer tells about the fault: %s", a.raw)
		}
		if len(kept.all) != 1 {
			t.Fatalf("%d records", len(kept.all))
		}
		record := kept.all[0]
		kept.all = nil
		if record.ID != a.body["trace_id"] || record.ID != a.header.Get("X-Ms-Request-Id") || record.Outcome != audit.Failed {
			t.Errorf("recorded as %s, %s; answered with trace id %v", record.ID, record.Outcome, a.body["trace_id"])
		}
		if record.Correlation != correlation || a.body["correlation_id"] != correlation {
			t.Errorf("correlation id %s recorded, %v answered", record.Correlation, a.body["correlation_id"])
		}
		if !strings.Contains(log.String(), record.ID) || !strings.Contains(log.String(), privateText) {
			t.Errorf("the log does not name the request and the cause: %s", log.String())
		}
	}
	response, err := server.Client().Get(server.URL + "/" + contoso + "/v2.0/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("discovery answers %d", response.StatusCode)
	}
}
