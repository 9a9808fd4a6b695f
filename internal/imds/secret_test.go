package imds

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

func TestSecretsAreKept(t *testing.T) {
	s := NewSecrets()
	one, two := s.Of(contoso, webApp), s.Of(contoso, otherApp)
	if one.Reveal() == two.Reveal() || one != s.Of(contoso, webApp) {
		t.Fatal("a secret is not its host's own")
	}
	if raw, err := hex.DecodeString(one.Reveal()); err != nil || len(raw) < 16 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	if who, ok := s.caller(one.Reveal()); !ok || who != (caller{contoso, webApp}) {
		t.Errorf("%v %t", who, ok)
	}
	for _, guess := range []string{
		"", "x", one.Reveal()[:63], one.Reveal() + "0", strings.ToUpper(one.Reveal()), " " + one.Reveal()[1:],
		strings.Repeat("0", 64), one.Reveal()[:63] + "x", NewSecrets().Of(contoso, webApp).Reveal(),
	} {
		if _, ok := s.caller(guess); ok {
			t.Errorf("%q is taken", guess)
		}
	}
	s.Forget(contoso, webApp)
	s.Forget(contoso, webApp)
	if _, ok := s.caller(one.Reveal()); ok {
		t.Error("a forgotten secret works")
	}
	if _, ok := s.caller(two.Reveal()); !ok {
		t.Error("another host's secret was forgotten too")
	}
	if s.Of(contoso, webApp).Reveal() == one.Reveal() {
		t.Error("the secret came back")
	}
	if (Secret{}).Reveal() != "" {
		t.Error("the zero secret has a text")
	}
}

func TestSecretRedacts(t *testing.T) {
	secret := NewSecrets().Of(contoso, webApp)
	nested := struct {
		Open   Secret
		hidden Secret
		list   []Secret
		m      map[string]Secret
	}{secret, secret, []Secret{secret}, map[string]Secret{"x": secret}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%t", "%10s", "%T %v"} {
		fmt.Fprintf(&out, verb, secret)
		fmt.Fprintf(&out, verb, &secret)
		fmt.Fprintf(&out, verb, nested)
		fmt.Fprintf(&out, verb, &nested)
	}
	fmt.Fprint(&out, secret.String(), secret.GoString())
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
		logger.Info("x", "secret", secret, "pointer", &secret, "nested", nested)
	}
	data, err := json.Marshal(map[string]any{"a": secret, "b": &secret, "c": nested})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(data)
	if err := fmt.Errorf("wrapped: %w: %v", http.ErrAbortHandler, secret); err != nil {
		out.WriteString(err.Error())
	}
	text := strings.ToLower(out.String())
	if strings.Contains(text, secret.Reveal()) || strings.Contains(text, hex.EncodeToString([]byte(secret.Reveal()))) {
		t.Errorf("the secret shows in %s", out.String())
	}
	if !strings.Contains(text, redacted) {
		t.Error("nothing says that something was left out")
	}
}

// TestNoSecretIsLogged is the canary scan: whatever is asked, with the right
// secret or a wrong one, neither secret nor token stands in a log, a record or
// an answer that refuses.
func TestNoSecretIsLogged(t *testing.T) {
	p := newPlatform(t)
	right := p.secrets.Of(contoso, webApp).Reveal()
	wrong := strings.Repeat("deadbeef", 8)
	const q = AppServicePath + "?api-version=2019-08-01&resource=" + exchange
	var answers strings.Builder
	for _, secret := range []string{right, wrong} {
		for _, edit := range []func(*http.Request){
			header("X-Nothing"), header("Origin", "x"), header("Via", "x"), header("Secret", secret),
			header("X-Identity-Header", secret, secret),
			func(r *http.Request) { r.URL.RawQuery = "api-version=1" },
			func(r *http.Request) { r.URL.RawQuery += "&resource=x" },
			func(r *http.Request) { r.URL.RawQuery += "&client_id=nobody" },
			func(r *http.Request) { r.Method = http.MethodPost },
			func(r *http.Request) { r.URL.Path = "/nowhere" },
			func(r *http.Request) { p.issuer.fault = fmt.Errorf("fault") },
		} {
			p.issuer.fault = nil
			w := serve(t, p.app, p.appRequest(q, header("X-Identity-Header", secret), edit))
			fmt.Fprint(&answers, w.Header())
			if w.Code != http.StatusOK {
				answers.WriteString(w.Body.String())
			}
		}
	}
	recorded, err := json.Marshal(p.records.list())
	if err != nil {
		t.Fatal(err)
	}
	if p.log.Len() == 0 || len(recorded) < 10 {
		t.Fatal("nothing to scan")
	}
	for where, text := range map[string]string{"the log": p.log.String(), "the records": string(recorded), "the answers": answers.String()} {
		for _, secret := range []string{right, wrong, canary} {
			if strings.Contains(text, secret) {
				t.Errorf("%q stands in %s", secret, where)
			}
		}
	}
}
