package imds

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/sts"
)

// readyIssuer answers from memory at once: what is measured is the endpoint.
type readyIssuer struct{ response sts.IdentityResponse }

func (i *readyIssuer) Identity(context.Context, sts.IdentityRequest, *audit.SignIn) (*sts.IdentityResponse, error) {
	return &i.response, nil
}

// silentWriter is a response writer that costs nothing of its own.
type silentWriter struct{ header http.Header }

func (w *silentWriter) Header() http.Header         { return w.header }
func (w *silentWriter) WriteHeader(int)             {}
func (w *silentWriter) Write(p []byte) (int, error) { return len(p), nil }

func benchmarkService() (*Service, *Secrets) {
	return New(Config{
		Issuer: &readyIssuer{sts.IdentityResponse{
			Token: strings.Repeat("x", 1700), Identity: msi1,
			NotBefore: start, Expires: start.Add(day), Now: start, Cached: true,
		}},
		Records: &records{}, Log: slog.New(slog.DiscardHandler),
	}), NewSecrets()
}

const day = 24 * 3600e9

func BenchmarkVirtualMachine(b *testing.B) {
	s, _ := benchmarkService()
	h, err := s.VirtualMachine(contoso, webVM, "169.254.169.254")
	if err != nil {
		b.Fatal(err)
	}
	r := vmRequest(vmGood+"&"+msi1Client, clientHeaders)
	benchmark(b, h, r)
}

func BenchmarkAppService(b *testing.B) {
	s, secrets := benchmarkService()
	h, err := s.AppService(secrets, "127.0.0.1:41232")
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, appGood+"&"+msi1Client, nil)
	r.Host = "127.0.0.1:41232"
	r.Header.Set("X-IDENTITY-HEADER", secrets.Of(contoso, webApp).Reveal())
	clientHeaders(r)
	benchmark(b, h, r)
}

// clientHeaders are what the Go client library sends.
func clientHeaders(r *http.Request) {
	r.Header.Set("Accept-Encoding", "gzip")
	r.Header.Set("User-Agent", "azsdk-go-azidentity/v1.15.0 (go1.26; linux)")
	r.Header.Set("X-Client-Sku", "MSAL.Go")
	r.Header.Set("X-Client-Ver", "1.10.1")
	r.Header.Set("X-Ms-Client-Request-Id", "5c5d1bf4-3c1f-4d2a-8c8e-0a1b2c3d4e5f")
}

func benchmark(b *testing.B, h http.Handler, r *http.Request) {
	if w := serve(b, h, r); w.Code != http.StatusOK {
		b.Fatalf("%d %s", w.Code, w.Body)
	}
	w := &silentWriter{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}
