//go:build faults && unix

package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/controlapi"
	"github.com/avouch/avouch/internal/fixture"
	"github.com/avouch/avouch/internal/workload"
)

// Threat M2: a page in a real browser on the workload's machine gets no managed
// identity token and reads nothing of the identity endpoints, whatever it
// tries: from another origin, and from a name that it has rebound to the
// endpoint, so that the browser takes the two for one. The page even knows the
// web app's secret: only what tells browsers from workloads is in its way.
//
// The same page first attacks an endpoint that answers anybody. What it gets
// there it would get here, if nothing stopped it.
func TestBrowserCannotReachIdentityEndpoint(t *testing.T) {
	b := findBrowser(t)
	p := start(t, filepath.Join(t.TempDir(), "data"))
	p.applyDemo()
	vm, app := p.identityRequest("web-vm"), p.identityRequest("web-app")

	careless := httptest.NewServer(http.HandlerFunc(answerAnybody))
	defer careless.Close()
	endpoint := hostOf(t, careless.URL)
	control := attack(t, b, vm, app, endpoint, endpoint)
	for _, label := range slices.Sorted(maps.Keys(control.got)) {
		if got := control.got[label]; readsAnswers(label) && got != carelessAnswer {
			t.Errorf("%s reads %q from an endpoint that answers anybody, so it proves nothing", label, got)
		}
	}

	attempts := attack(t, b, vm, app, vm.URL.Host, app.URL.Host)
	if diff := cmp.Diff(control.reached, attempts.reached); diff != "" {
		t.Errorf("what arrived at the endpoint that answers anybody, and at the platform (-careless +platform):\n%s", diff)
	}
	refused := 0
	for _, label := range slices.Sorted(maps.Keys(attempts.got)) {
		got := attempts.got[label]
		switch {
		case got == "":
		case !strings.HasPrefix(label, rebound):
			t.Errorf("%s reads %q from another origin", label, got)
		case strings.Contains(got, hostRefused), strings.Contains(got, "Only GET is answered here."):
			// The browser believes that the page reads its own server.
			refused++
		default:
			t.Errorf("%s reads %q", label, got)
		}
	}
	if refused == 0 {
		t.Error("no page was refused for its name: the platform was not asked")
	}
	t.Logf("%d attempts, of which %d arrived; an endpoint that answers anybody gave %d tokens, the platform %d refusals that a page could read",
		len(attempts.got), len(attempts.reached), control.tokens(), refused)

	for _, request := range []*http.Request{vm, app} {
		for name, want := range map[string]string{rebound: hostRefused, sameSite: "Requests of web pages are not answered here."} {
			tap := openTap(t, request.URL.Port(), request.URL.Host, "")
			shown := b.open(t, "http://"+name+":"+request.URL.Port()+request.URL.RequestURI())
			tap.close()
			if !strings.Contains(shown, want) || strings.Contains(shown, "access_token") {
				t.Errorf("%s as %s, opened in a tab, shows %s", request.URL.Path, name, shown)
			}
		}
	}

	// A token that is given out again leaves no record, so the records are
	// read before anybody has had one.
	if all := p.identityRecords(); len(all) != 0 {
		t.Errorf("the platform recorded identity requests of the browser: %+v", all)
	}
	for _, request := range []*http.Request{vm, app} {
		response, err := p.http().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("access_token")) {
			t.Errorf("a workload that asks for the same gets %d %s (%v)", response.StatusCode, body, err)
		}
	}
	records := p.identityRecords()
	if len(records) != 2 {
		t.Errorf("two tokens of a workload left %d records", len(records))
	}
	for _, r := range records {
		if r.Outcome != audit.Succeeded {
			t.Errorf("the workload's request is recorded as %+v", r)
		}
	}
}

// The names that the attacker's page has: one of its own, one that it rebinds,
// and the endpoints' own with another port.
const (
	attacker = "attacker.example"
	rebound  = "rebound.example"
	sameSite = "127.0.0.1"
)

const (
	hostRefused    = "The Host header is not an address of this endpoint."
	carelessAnswer = `{"access_token":"for anybody"}`
)

// identityRequest is what a workload on the host asks its endpoint.
func (s *server) identityRequest(host string) *http.Request {
	s.t.Helper()
	w, err := s.client().Workload(s.t.Context(), controlapi.WorkloadRequest{Host: host, Identity: "msi-webapp1"})
	if err != nil {
		s.t.Fatal(err)
	}
	player, err := workload.New(s.where.CA, s.where.Authority, w.Environment)
	if err != nil {
		s.t.Fatal(err)
	}
	request, err := player.IdentityRequest(s.t.Context(), w.IdentityClientID, w.ExchangeAudience)
	if err != nil {
		s.t.Fatal(err)
	}
	return request
}

func (s *server) identityRecords() []audit.SignIn {
	s.t.Helper()
	log, err := s.client().Log(s.t.Context(), controlapi.LogRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(log.SignIns, func(r audit.SignIn) bool { return r.Kind != audit.IdentitySignIn })
}

// answerAnybody is an identity endpoint without any defence, and with leave for
// every page to read it.
func answerAnybody(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Headers", "metadata, x-identity-header")
	if r.Method == http.MethodOptions {
		return
	}
	body := carelessAnswer
	h.Set("Content-Type", "application/json")
	if r.Header.Get("Accept") == "text/event-stream" {
		h.Set("Content-Type", "text/event-stream")
		body = "data: " + body + "\n\n"
	}
	_, _ = io.WriteString(w, body)
}

// outcome is what came of the attempts, by their labels.
type outcome struct {
	got     map[string]string // what the page could read; empty for nothing
	reached map[string]bool   // the endpoint was asked
}

func (o *outcome) tokens() (n int) {
	for _, got := range o.got {
		if got == carelessAnswer {
			n++
		}
	}
	return n
}

// readsAnswers reports whether the attempt is of a kind that reads an answer
// when its server lets every page read it. The others only make the browser
// send something, or need the endpoint for their own origin.
func readsAnswers(label string) bool {
	_, way, _ := strings.Cut(label, "~")
	switch way {
	case "fetch", "fetch-header", "fetch-post", "fetch-redirected", "xhr", "xhr-header", "import", "events", "sandbox":
		return true
	case "fetch-no-cors", "fetch-no-cors-header", "fetch-same-origin", "object", "iframe", "form":
		return strings.HasPrefix(label, rebound)
	}
	return false
}

// target is one spelling of an endpoint.
type target struct {
	Name    string            `json:"name"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

// plan is what the attacking page is told.
type plan struct {
	Targets  []target `json:"targets"`
	Frames   []string `json:"frames"`   // the same page from other origins
	Redirect string   `json:"redirect"` // sends the browser on to what follows
}

// attack opens the attacker's page in the browser. What the page sends to the
// ports of the two endpoints reaches the two given addresses.
func attack(t *testing.T, b *browser, vm, app *http.Request, toVM, toApp string) *outcome {
	t.Helper()
	var own string
	ended := make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) })
	serve := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "hold":
			select {
			case <-ended:
			case <-time.After(callTime): // to see how far the script came
			}
			return
		case "end":
			end()
			return
		}
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Access-Control-Allow-Headers", "metadata, x-identity-header")
			if r.Method == http.MethodOptions {
				return
			}
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
			return
		}
		name, port, _ := net.SplitHostPort(r.Host)
		told := plan{Redirect: "http://" + attacker + ":" + own + "/attacker/?to="}
		for dialect, request := range map[string]*http.Request{"vm": vm, "app": app} {
			names := []string{sameSite, "localhost", "0.0.0.0", "other.example", "other.localhost"}
			switch name {
			case attacker:
				told.Frames = append(told.Frames, "http://"+rebound+":"+request.URL.Port()+"/attacker/")
			case sameSite:
				names = []string{sameSite}
			case rebound:
				if names = []string{rebound}; port != request.URL.Port() {
					continue
				}
			}
			headers := make(map[string]string)
			for key := range request.Header {
				headers[key] = request.Header.Get(key)
			}
			for _, n := range names {
				told.Targets = append(told.Targets, target{
					Name: name + "_" + dialect + "_" + n, Headers: headers,
					URL: "http://" + n + ":" + request.URL.Port() + request.URL.RequestURI(),
				})
			}
		}
		if name == attacker {
			told.Frames = append(told.Frames, "http://"+sameSite+":"+own+"/attacker/")
		}
		text, err := json.Marshal(told)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, attackingPage, text)
	}
	listener := listenAside(t, "0")
	_, own, _ = net.SplitHostPort(listener.Addr().String())
	server := &http.Server{Handler: http.HandlerFunc(serve), ReadHeaderTimeout: callTime}
	// A connection that is used again would not be rebound.
	server.SetKeepAlivesEnabled(false)
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	first := openTap(t, vm.URL.Port(), toVM, listener.Addr().String())
	second := openTap(t, app.URL.Port(), toApp, listener.Addr().String())
	shown := b.open(t, "http://"+attacker+":"+own+"/attacker/")
	first.close()
	second.close()

	result := &outcome{got: make(map[string]string), reached: make(map[string]bool)}
	found := regexp.MustCompile(`(?s)<pre id="results">(.+?)</pre>`).FindStringSubmatch(shown)
	if found == nil {
		t.Fatalf("the page's script did not come to its end:\n%s\n%s", shown, b.log)
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(found[1])), &result.got); err != nil {
		t.Fatalf("the page's results: %v", err)
	}
	for _, m := range regexp.MustCompile(`attempt=(\S+)`).FindAllStringSubmatch(first.sent.String()+second.sent.String(), -1) {
		label, err := url.QueryUnescape(m[1])
		if err != nil {
			t.Fatal(err)
		}
		result.reached[label] = true
	}
	return result
}

// aside is where the browser finds every name: a loopback address at which the
// ports of the platform are free.
const aside = "127.0.0.2"

func listenAside(t *testing.T, port string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(aside, port))
	if err != nil {
		fixture.Missing(t, fmt.Sprintf("there is no second loopback address: %v", err))
	}
	return listener
}

// tap stands between the browser and an endpoint. It passes on every byte and
// keeps what the browser sent.
type tap struct {
	listener           net.Listener
	endpoint, attacker string
	sent               fixture.Buffer
}

func openTap(t *testing.T, port, endpoint, attacker string) *tap {
	t.Helper()
	p := &tap{listener: listenAside(t, port), endpoint: endpoint, attacker: attacker}
	t.Cleanup(p.close)
	go func() {
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			go p.pass(conn)
		}
	}()
	return p
}

func (p *tap) close() { _ = p.listener.Close() }

// pass leads a connection to the endpoint, or to the attacker when it asks for
// his page: that is what the browser sees of a name that is rebound.
func (p *tap) pass(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	from, to := bufio.NewReader(conn), p.endpoint
	const his = "GET /attacker/"
	// Less than this is nothing that he is asked for.
	if head, _ := from.Peek(len(his)); string(head) == his {
		to = p.attacker
	}
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	go func() {
		_, _ = io.Copy(far, io.TeeReader(from, &p.sent))
		_ = far.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, far)
}

type browser struct {
	path string
	log  *fixture.Buffer // standard error of the last run
}

func findBrowser(t *testing.T) *browser {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return &browser{path: path}
		}
	}
	fixture.Missing(t, "there is no browser here: install chromium")
	return nil
}

// open shows a page until it is loaded, and returns its document. The browser finds every name at the address aside, and with it no
// network.
func (b *browser) open(t *testing.T, address string) string {
	t.Helper()
	// Its processes may still write here for a moment after its end, which
	// t.TempDir would call a failure.
	profile, err := os.MkdirTemp("", "avouch-browser-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(profile) }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*callTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.path,
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir="+profile, "--host-resolver-rules=MAP * "+aside,
		"--dump-dom", address)
	cmd.Env = append(os.Environ(), "HOME="+profile)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	var shown bytes.Buffer
	b.log = &fixture.Buffer{}
	cmd.Stdout, cmd.Stderr = &shown, b.log
	err = cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left running
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", b.path, address, err, b.log)
	}
	return shown.String()
}

// attackingPage tries every way there is for a page to get an answer from
// another server. Its results are what each attempt could read. The picture is
// what keeps the page loading until they are there.
const attackingPage = `<!doctype html>
<title>attack</title>
<pre id="results"></pre>
<img src="?hold" hidden>
<script type="module">
const plan = %s;

const text = answer => answer.then(a => a.text());
const event = (on, name) => new Promise((done, failed) => {
	on.addEventListener(name, done);
	on.addEventListener("error", failed);
});
const put = (kind, properties) => {
	const element = Object.assign(document.createElement(kind), properties);
	const loaded = event(element, "load");
	document.body.append(element);
	return loaded.then(() => element);
};
const contentOf = frame => frame.contentDocument.body.textContent;
const xhr = (url, headers) => {
	const x = new XMLHttpRequest();
	x.open("GET", url);
	Object.entries(headers).forEach(([name, value]) => x.setRequestHeader(name, value));
	x.send();
	return event(x, "load").then(() => x.responseText);
};
const message = from => new Promise(done => addEventListener("message", m => m.source === from() && done(m.data)));

const ways = {
	"fetch": url => text(fetch(url)),
	"fetch-header": (url, headers) => text(fetch(url, {headers})),
	"fetch-post": (url, headers) => text(fetch(url, {method: "POST", headers, body: "a"})),
	"fetch-redirected": (url, headers) => text(fetch(plan.redirect + encodeURIComponent(url), {headers})),
	"fetch-no-cors": url => text(fetch(url, {mode: "no-cors"})),
	"fetch-no-cors-header": (url, headers) => text(fetch(url, {mode: "no-cors", headers})),
	"fetch-same-origin": (url, headers) => text(fetch(url, {mode: "same-origin", headers})),
	"xhr": url => xhr(url, {}),
	"xhr-header": xhr,
	"import": url => import(url, {with: {type: "json"}}).then(module => JSON.stringify(module.default)),
	"events": url => {
		const source = new EventSource(url);
		return event(source, "message").then(m => m.data).finally(() => source.close());
	},
	"socket": url => event(new WebSocket(url.replace("http", "ws")), "message").then(m => m.data),
	"beacon": url => void navigator.sendBeacon(url, "a"),
	"image": src => put("img", {src}).then(() => ""),
	"video": src => put("video", {src, preload: "auto"}).then(() => ""),
	"object": data => put("object", {data}).then(contentOf),
	"script": src => put("script", {src}).then(() => ""),
	"stylesheet": href => put("link", {rel: "stylesheet", href}).then(l => [...l.sheet.cssRules].map(r => r.cssText).join()),
	"prefetch": href => put("link", {rel: "prefetch", href}).then(() => ""),
	"iframe": src => put("iframe", {src}).then(contentOf),
	"form": (url, _, label) => {
		const frame = document.createElement("iframe");
		frame.name = label;
		document.body.append(frame);
		const form = Object.assign(document.createElement("form"), {method: "POST", action: url, target: label});
		document.body.append(form);
		const loaded = event(frame, "load");
		form.submit();
		return loaded.then(() => contentOf(frame));
	},
	"sandbox": (url, headers) => {
		const frame = document.createElement("iframe");
		frame.sandbox = "allow-scripts";
		frame.srcdoc = "<script>fetch(" + JSON.stringify(url) + ", {headers: " + JSON.stringify(headers) + "})" +
			".then(a => a.text()).catch(() => '').then(got => parent.postMessage(got, '*'))<\/script>";
		const answered = message(() => frame.contentWindow);
		document.body.append(frame);
		return answered;
	},
};

const results = {};
const deadline = () => new Promise(done => setTimeout(done, 20000));
const attempt = async (target, way) => {
	const label = target.name + "~" + way;
	const url = target.url + "&attempt=" + label;
	let got;
	try {
		got = await Promise.race([ways[way](url, target.headers, label), deadline()]);
	} catch {}
	results[label] = got || "";
};
const frames = plan.frames?.map(src => {
	const frame = document.createElement("iframe");
	const reported = message(() => frame.contentWindow);
	frame.src = src;
	document.body.append(frame);
	return reported.then(theirs => Object.assign(results, theirs));
});
for (const target of plan.targets) {
	await Promise.all(Object.keys(ways).map(way => attempt(target, way)));
}
await Promise.all(frames || []);
if (parent !== window) {
	parent.postMessage(results, "*");
} else {
	document.getElementById("results").textContent = JSON.stringify(results);
	fetch("?end");
}
</script>
`
