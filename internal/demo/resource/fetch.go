package resource

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	connectTime = 3 * time.Second
	fetchTime   = 5 * time.Second // for a document and its keys together
	maxDocument = 256 << 10
)

// fetcher is the one way out: GET requests to the authority, https only, bounded in
// time and size. The addresses it dials are not vetted like those of issuers that
// strangers name, because the operator's configuration names this one host.
type fetcher struct {
	authority string // host and port
	client    *http.Client
}

func newFetcher(authority string, from *http.Client) (*fetcher, error) {
	if from == nil {
		return nil, errors.New("resource: Client is nil; give one that trusts the platform's certificate")
	}
	var given *http.Transport
	switch t := from.Transport.(type) {
	case nil:
		given = &http.Transport{}
	case *http.Transport:
		given = t
	default:
		return nil, fmt.Errorf("resource: Client has a transport of type %T, which cannot be guarded; use an *http.Transport", t)
	}
	trust := &tls.Config{}
	if given.TLSClientConfig != nil {
		trust = given.TLSClientConfig.Clone()
	}
	if trust.InsecureSkipVerify {
		return nil, errors.New("resource: Client does not verify certificates; give it the platform's CA instead")
	}
	trust.MinVersion = max(trust.MinVersion, tls.VersionTLS12)
	trust.Certificates, trust.GetClientCertificate, trust.NextProtos = nil, nil, nil
	dial := given.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	return &fetcher{authority: authority, client: &http.Client{
		Timeout:       fetchTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: trust,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, connectTime)
				defer cancel()
				return dial(ctx, network, address)
			},
			TLSHandshakeTimeout:    connectTime,
			MaxResponseHeaderBytes: 32 << 10,
			DisableCompression:     true, // so that the limit is that of the text
			DisableKeepAlives:      true, // hourly use
		},
	}}, nil
}

// parseAuthority is the host and port of an authority URL.
func parseAuthority(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || text != "https://"+u.Host || !plainHost(u.Host) {
		return "", fmt.Errorf("resource: Authority %q must be https://host or https://host:port, in lower case, without a path", text)
	}
	return u.Host, nil
}

// plainHost leaves out every way to write a host that two readers could take for two
// hosts: user info, escapes, zones, capitals, other alphabets.
func plainHost(host string) bool {
	for _, c := range []byte(host) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z':
		case c == '-', c == '.', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return true
}

// owns reports whether address is a plain https URL of the authority's host.
func (f *fetcher) owns(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Path != "" && u.Host == f.authority && address == "https://"+f.authority+u.EscapedPath()
}

// get reads one JSON text of at most max bytes.
func (f *fetcher) get(ctx context.Context, address string, max int64) ([]byte, error) {
	if !f.owns(address) {
		return nil, fmt.Errorf("address %q is not at https://%s", address, f.authority)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "avouch-resource")
	res, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading %s: status %d, want 200", address, res.StatusCode)
	}
	switch kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind {
	case "application/json", "application/jwk-set+json":
	default:
		return nil, fmt.Errorf("reading %s: content type %q, want application/json", address, kind)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, max+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", address, err)
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("reading %s: longer than %d bytes", address, max)
	}
	return data, nil
}
