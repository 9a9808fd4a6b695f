package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/controlapi"
)

// tenants is how many tenants the applications of a directory are spread over.
// Each has one managed identity, on one web app host, which every application
// of the tenant trusts.
const tenants = 10

// resource is what all tokens are for: every tenant has it.
const resource = "https://storage.azure.com"

// sample is a data directory that has been filled.
type sample struct {
	dir          string
	applications int
	applyTook    time.Duration
}

func tenantName(tenant int) string { return fmt.Sprintf("tenant%d", tenant) }

// clientID is that of the nth application; it lives in tenant n modulo tenants.
func clientID(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n+1) }

// fill makes a data directory with that many applications, tenant by tenant,
// and ends the platform that did it.
func (b *bench) fill(ctx context.Context, name string, applications int) (_ *sample, err error) {
	s := &sample{dir: filepath.Join(b.root, name), applications: applications}
	if _, err := os.Stat(s.dir); err == nil {
		return s, nil // an earlier row has made it
	}
	platform, err := b.start(ctx, s.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, platform.stop()) }()
	for tenant := range tenants {
		file := filepath.Join(b.root, fmt.Sprintf("%s-%d.yaml", name, tenant))
		if err := writeTenant(file, tenant, applications); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := platform.apply(ctx, file); err != nil {
			return nil, err
		}
		s.applyTook += time.Since(began)
	}
	return s, nil
}

func writeTenant(path string, tenant, applications int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	fmt.Fprintf(w, "tenants:\n  - name: %s\n    managedIdentities: [{name: workload, resourceGroup: bench, location: westeurope}]\n", tenantName(tenant))
	fmt.Fprint(w, "    hosts: [{name: web, kind: webApp, resourceGroup: bench, identities: [workload]}]\n    applications:\n")
	for n := tenant; n < applications; n += tenants {
		fmt.Fprintf(w, "      - {name: app-%d, clientId: %s, federatedIdentityCredentials: [{name: workload, managedIdentity: workload}]}\n", n, clientID(n))
	}
	return errors.Join(w.Flush(), f.Close())
}

// workload is what a program on the tenant's host knows.
type workload struct {
	tenant   string // id
	endpoint *url.URL
	header   string // the host's secret
	identity string // client id
	audience string // of the token exchange
}

func (s *server) workload(ctx context.Context, tenant int) (*workload, error) {
	name := tenantName(tenant)
	found, err := s.control.Workload(ctx, controlapi.WorkloadRequest{Host: name + "/web", Identity: name + "/workload"})
	if err != nil {
		return nil, err
	}
	w := &workload{tenant: found.Tenant, identity: found.IdentityClientID, audience: found.ExchangeAudience}
	for _, v := range found.Environment {
		switch v.Name {
		case "IDENTITY_ENDPOINT":
			if w.endpoint, err = url.Parse(v.Value); err != nil {
				return nil, err
			}
		case "IDENTITY_HEADER":
			w.header = v.Value
		}
	}
	if w.endpoint == nil {
		return nil, fmt.Errorf("host %s/web has no identity endpoint", name)
	}
	return w, nil
}

// identityTarget asks the managed identity endpoint, in the App Service
// dialect, for a token that may be exchanged.
func (w *workload) identityTarget() *target {
	query := url.Values{"api-version": {"2019-08-01"}, "resource": {w.audience}, "client_id": {w.identity}}
	return &target{address: w.endpoint.Host, requests: [][]byte{fmt.Appendf(nil,
		"GET %s?%s HTTP/1.1\r\nHost: %s\r\nX-Identity-Header: %s\r\n\r\n", w.endpoint.Path, query.Encode(), w.endpoint.Host, w.header)}}
}

// proof is a managed identity token, asked for over the wire.
func (w *workload) proof() (string, error) {
	c, err := w.identityTarget().dial()
	if err != nil {
		return "", err
	}
	defer c.close()
	return c.token(0)
}

// exchangeTarget exchanges the identities' tokens for those of the first n
// applications of the directory, or of as many spread over all of it as the
// stride says.
func (s *server) exchangeTarget(ctx context.Context, n, stride int) (*target, error) {
	t := &target{address: s.authority.Host, tls: s.tls}
	var workloads [tenants]*workload
	var proofs [tenants]string
	for i := range n {
		application := i * stride
		tenant := application % tenants
		if workloads[tenant] == nil {
			w, err := s.workload(ctx, tenant)
			if err != nil {
				return nil, err
			}
			if proofs[tenant], err = w.proof(); err != nil {
				return nil, err
			}
			workloads[tenant] = w
		}
		form := url.Values{
			"grant_type":            {"client_credentials"},
			"client_id":             {clientID(application)},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {proofs[tenant]},
			"scope":                 {resource + "/.default"},
		}.Encode()
		t.requests = append(t.requests, fmt.Appendf(nil,
			"POST /%s/oauth2/v2.0/token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
			workloads[tenant].tenant, s.authority.Host, len(form), form))
	}
	return t, nil
}

// token sends the target's nth request and returns the token of the answer.
func (c *client) token(n int) (string, error) {
	answer, err := c.send(c.target.requests[n])
	if err != nil {
		return "", err
	}
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	var content struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &content); err != nil {
		return "", fmt.Errorf("the answer is not JSON: %w", err)
	}
	return content.Token, nil
}
