package imds

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestCheckAddress(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:0":               true,
		"127.7.0.9:80":              true,
		"[::1]:80":                  true,
		"[::ffff:127.0.0.1]:80":     true,
		"169.254.169.254:80":        true,
		"[fe80::1%eth0]:80":         true,
		"0.0.0.0:80":                false,
		"[::]:80":                   false,
		"[::ffff:0.0.0.0]:80":       false,
		"[::ffff:10.0.0.1]:80":      false,
		"10.0.0.1:80":               false,
		"192.168.1.2:80":            false,
		"203.0.113.9:80":            false,
		"[2001:db8::1]:80":          false,
		"[fd00::1]:80":              false,
		"224.0.0.1:80":              false,
		"[ff02::1]:80":              false,
		"255.255.255.255:80":        false,
		"[64:ff9b::7f00:1]:80":      false,
		"[2002:7f00:1::]:80":        false,
		"[::127.0.0.1]:80":          false,
		"168.63.129.16:80":          false,
		"[fec0::1]:80":              false,
		"100.64.0.1:80":             false,
		"[fe80:0:0:0:0:0:0:ffff]:1": true,
	} {
		err := CheckAddress(netip.MustParseAddrPort(addr))
		if (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
		if err != nil && !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: the message names no way out: %v", addr, err)
		}
	}
	if CheckAddress(netip.AddrPort{}) == nil {
		t.Error("no address at all is accepted")
	}
}

// TestHeaders is the matrix of threats M1 and M2, over both dialects.
func TestHeaders(t *testing.T) {
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	tests := []struct {
		name string
		edit func(*http.Request)
		want int
	}{
		{"as clients send it", header("User-Agent", "azsdk-go"), 200},
		{"what clients add", func(r *http.Request) {
			header("Content-Type", "application/x-www-form-urlencoded;charset=utf-8")(r)
			header("x-client-SKU", "MSAL.Go")(r)
			header("x-client-Ver", "1.10.1")(r)
			header("Accept", "application/json")(r)
			header("Accept-Language", "*")(r)
			header("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")(r)
			header("Proxy-Connection", "Keep-Alive")(r)
		}, 200},
		{"Node's fetch", header("Sec-Fetch-Mode", "cors"), 200},

		{"X-Forwarded-For", header("X-Forwarded-For", "1.2.3.4"), 400},
		{"X-Forwarded-For empty", header("X-Forwarded-For", ""), 400},
		{"X_Forwarded_For", header("X_Forwarded_For", "1.2.3.4"), 400},
		{"X-Forwarded-Host", header("X-Forwarded-Host", "a"), 400},
		{"X-Forwarded-Proto", header("X-Forwarded-Proto", "https"), 400},
		{"X-Forwarded-Port", header("X-Forwarded-Port", "1"), 400},
		{"X-Forwarded", header("X-Forwarded", "for=1.2.3.4"), 400},
		{"Forwarded", header("Forwarded", "for=1.2.3.4"), 400},
		{"Via", header("Via", "1.1 squid"), 400},
		{"X-Real-IP", header("X-Real-IP", "1.2.3.4"), 400},
		{"X-Client-IP", header("X-Client-IP", "1.2.3.4"), 400},
		{"True-Client-IP", header("True-Client-IP", "1.2.3.4"), 400},
		{"CF-Connecting-IP", header("CF-Connecting-IP", "1.2.3.4"), 400},
		{"X-Original-URL", header("X-Original-URL", "/"), 400},
		{"X-Rewrite-URL", header("X-Rewrite-URL", "/"), 400},

		{"Origin", header("Origin", "http://evil.example"), 403},
		{"Origin null", header("Origin", "null"), 403},
		{"Origin, own", header("Origin", "http://169.254.169.254"), 403},
		{"Sec-Fetch-Site", header("Sec-Fetch-Site", "same-origin"), 403},
		{"Sec-Fetch-Site none", header("Sec-Fetch-Site", "none"), 403},
		{"Sec-Fetch-Dest", header("Sec-Fetch-Dest", "empty"), 403},
		{"Sec-Fetch-User", header("Sec-Fetch-User", "?1"), 403},
		{"Sec-Fetch-Mode navigate", header("Sec-Fetch-Mode", "navigate"), 403},
		{"Sec-Fetch-Mode no-cors", header("Sec-Fetch-Mode", "no-cors"), 403},
		{"Sec-Fetch-Mode twice", header("Sec-Fetch-Mode", "cors", "cors"), 403},
		{"what a browser's fetch sends", func(r *http.Request) {
			header("Sec-Fetch-Mode", "cors")(r)
			header("Sec-Fetch-Site", "cross-site")(r)
			header("Sec-Fetch-Dest", "empty")(r)
		}, 403},

		{"Host of a rebinding page", host("evil.example"), 403},
		{"Host of a rebinding page with the port", host("evil.example:41232"), 403},
		{"Host 0.0.0.0", host("0.0.0.0:41232"), 403},
		{"Host empty", host(""), 403},
		{"Host decimal", host("2852039166"), 403},
		{"Host with a dot", host("localhost.:41232"), 403},
		{"Host with another port", host("127.0.0.1:1"), 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			for name, w := range map[string]*httptest.ResponseRecorder{
				"vm":       serve(t, p.vm, vmRequest(vmToken+"?api-version=2018-02-01&resource="+exchange, tt.edit)),
				"info":     serve(t, p.vm, vmRequest(vmInfo+"?api-version=2018-02-01", tt.edit)),
				"versions": serve(t, p.vm, vmRequest(vmVersions, tt.edit)),
				"app":      serve(t, p.app, p.appRequest(AppServicePath+"?api-version=2019-08-01&resource="+exchange, tt.edit)),
			} {
				if w.Code != tt.want {
					t.Errorf("%s: %d, want %d: %s", name, w.Code, tt.want, w.Body)
				}
			}
			if tt.want != 200 && len(p.issuer.asked) != 0 {
				t.Error("the issuer was asked")
			}
		})
	}
	t.Run("Host in other spellings", func(t *testing.T) {
		p := newPlatform(t)
		for _, name := range []string{"169.254.169.254", "169.254.169.254:80", "127.0.0.1:41231"} {
			if w := serve(t, p.vm, vmRequest(vmVersions, host(name))); w.Code != 200 {
				t.Errorf("%s: %d", name, w.Code)
			}
		}
		if w := serve(t, p.app, p.appRequest(AppServicePath+"?api-version=2019-08-01&resource="+exchange, host("LocalHost:41232"))); w.Code != 200 {
			t.Errorf("%d", w.Code)
		}
	})
}

func TestMetadataHeader(t *testing.T) {
	const good = vmToken + "?api-version=2018-02-01&resource=" + exchange
	tests := []struct {
		name string
		edit func(*http.Request)
		want int
	}{
		{"true", header("Metadata", "true"), 200},
		{"True", header("Metadata", "True"), 200},
		{"absent", header("Metadata"), 400},
		{"empty", header("Metadata", ""), 400},
		{"false", header("Metadata", "false"), 400},
		{"1", header("Metadata", "1"), 400},
		{"true, true", header("Metadata", "true, true"), 400},
		{"twice", header("Metadata", "true", "true"), 400},
		{"true and false", header("Metadata", "true", "false"), 400},
		{"in the query", func(r *http.Request) { r.Header.Del("Metadata"); r.URL.RawQuery += "&Metadata=true" }, 400},
		{"another name", func(r *http.Request) { r.Header.Del("Metadata"); r.Header.Set("X-Metadata", "true") }, 400},
	}
	p := newPlatform(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if w := serve(t, p.vm, vmRequest(good, tt.edit)); w.Code != tt.want {
				t.Errorf("%d, want %d: %s", w.Code, tt.want, w.Body)
			}
		})
	}
	if w := serve(t, p.app, p.appRequest(AppServicePath+"?api-version=2019-08-01&resource="+exchange, header("Metadata", "true"))); w.Code != 200 {
		t.Errorf("the App Service dialect minds the header: %d", w.Code)
	}
}

func TestMethods(t *testing.T) {
	p := newPlatform(t)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "get"} {
		as := func(r *http.Request) { r.Method = method }
		preflight := func(r *http.Request) {
			as(r)
			header("Origin", "http://evil.example")(r)
			header("Access-Control-Request-Method", "GET")(r)
			header("Access-Control-Request-Headers", "metadata")(r)
			header("Access-Control-Request-Private-Network", "true")(r)
		}
		const q = "?api-version=2019-08-01&resource=" + exchange
		for name, w := range map[string]*httptest.ResponseRecorder{
			"vm":           serve(t, p.vm, vmRequest(vmToken+q, as)),
			"vm preflight": serve(t, p.vm, vmRequest(vmToken+q, preflight)),
			"versions":     serve(t, p.vm, vmRequest(vmVersions, as)),
			"app":          serve(t, p.app, p.appRequest(AppServicePath+q, as)),
			"app without":  serve(t, p.app, p.appRequest(AppServicePath, preflight, header("X-IDENTITY-HEADER"))),
		} {
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET" {
				t.Errorf("%s %s: %d %v", name, method, w.Code, w.Header())
			}
		}
	}
	golden(t, serve(t, p.vm, vmRequest(vmToken, func(r *http.Request) { r.Method = "POST" })),
		`{"error":"method_not_allowed","error_description":"Only GET is answered here."}`)
	if len(p.issuer.asked) != 0 {
		t.Error("the issuer was asked")
	}
}

// TestPaths is the table of threat M3, over real sockets: what the HTTP server
// does to a request line is part of the answer.
func TestPaths(t *testing.T) {
	p := newPlatform(t)
	p.issuer.assigned[webVM] = nil // a 400 that only the token route gives
	const q = "?api-version=2018-02-01&resource=" + exchange
	vm := []struct {
		path string
		want int
	}{
		{"/metadata/identity/oauth2/token", 400},
		{"/metadata/identity/oauth2/token/", 400},
		{"//metadata/identity/oauth2/token", 400},
		{"//metadata/identity/oauth2/token/", 400},
		{"///metadata/identity/oauth2/token", 400},
		{"/METADATA/identity/oauth2/token", 400},
		{"/Metadata/Identity/OAuth2/Token", 400},
		{"http://169.254.169.254/metadata/identity/oauth2/token", 400},

		{"/metadata/identity/oauth2/token//", 404},
		{"/metadata//identity/oauth2/token", 404},
		{"/metadata/identity/oauth2/./token", 404},
		{"/metadata/identity/x/../oauth2/token", 404},
		{"/metadata/identity/oauth2/token/.", 404},
		{"/metadata/identity/oauth2/token/x", 404},
		{"/metadata/identity/oauth2", 404},
		{"/metadata/identity/oauth2/token;x", 404},
		{"/metadata/identity;x/oauth2/token", 404},
		{`/metadata\identity\oauth2\token`, 404},
		{`/metadata/identity/oauth2\token`, 404},
		{`\metadata/identity/oauth2/token`, 0},
		{"/metadata%2fidentity/oauth2/token", 404},
		{"/%6detadata/identity/oauth2/token", 404},
		{"/metadata/identity/oauth2/token%2f", 404},
		{"/metadata/identity/oauth2/token%00", 404},
		{"/metadata/identity/oauth2/token%20", 404},
		{"/metadata%5cidentity/oauth2/token", 404},
		{"/metadata/identity/oauth2/to%C4%B1ken", 404},
		{"/metadata/identity/oauth2/to\xc4\xb1ken", 404},
		{"/metadata/identity/oauth2/to\xe2\x84\xaaen", 404}, // the Kelvin sign folds to k
		{"/msi/token", 404},
		{"/", 404},
		{"/metadata", 404},
		{"/metadata/instance", 404},
		{"/metadata/instance/compute", 404},
		{"/metadata/attested/document", 404},
		{"/metadata/identity/getplatformmetadata", 404},
		{"/metadata/identity/issuecredential", 404},
	}
	for _, tt := range vm {
		for _, metadata := range []string{"Metadata: true\r\n", ""} {
			status, head := ask(t, p.vm, "GET "+tt.path+q+" HTTP/1.1\r\nHost: 169.254.169.254\r\n"+metadata+"\r\n")
			want := tt.want
			if want == 0 {
				want = 400 // the HTTP server's own
			}
			if status != want || strings.Contains(head, "Location") {
				t.Errorf("%q %q: %d, want %d", tt.path, metadata, status, want)
			}
		}
	}
	for path, want := range map[string]int{
		"/msi/token": 401, "/msi/token/": 401, "//msi/token": 401, "/MSI/token": 401,
		"/msi/token//": 404, "/msi": 404, "/msi/token/x": 404, "/msi/./token": 404, "/msi%2ftoken": 404,
		`/msi\token`: 404, "/msi/token;": 404, "/metadata/identity/oauth2/token": 404,
	} {
		status, _ := ask(t, p.app, "GET "+path+q+" HTTP/1.1\r\nHost: 127.0.0.1:41232\r\n\r\n")
		if status != want {
			t.Errorf("%q: %d, want %d", path, status, want)
		}
	}
}

// ask sends text as it is to a server of its own and returns the status.
func ask(t *testing.T, h http.Handler, text string) (int, string) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var status int
	if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil {
		t.Fatal(line)
	}
	return status, line
}

// TestSilentConnection: some clients look only whether somebody listens.
func TestSilentConnection(t *testing.T) {
	p := newPlatform(t)
	server := httptest.NewServer(p.vm)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	server.Close()
	if p.log.Len() != 0 || len(p.records.list()) != 0 {
		t.Errorf("log %s", p.log)
	}
}

// TestTurnedAwayIsLogged: whoever reads the log sees the attempt, however
// often it is made, in few lines.
func TestTurnedAwayIsLogged(t *testing.T) {
	p := newPlatform(t)
	for range 1000 {
		serve(t, p.vm, vmRequest(vmToken, header("X-Forwarded-For", "1.2.3.4")))
	}
	n := strings.Count(p.log.String(), "level=WARN")
	if n < 1 || n > 20 {
		t.Errorf("%d lines", n)
	}
}
