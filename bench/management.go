package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/controlapi"
)

// management is row 8: Microsoft Graph, asked one request after the other over
// one connection, in a tenant that has all of the applications.
func (b *bench) management(ctx context.Context) ([]row, error) {
	crowd, err := b.crowd(ctx, b.effort.many)
	if err != nil {
		return nil, err
	}
	var rows []row
	err = b.running(ctx, crowd, func(s *server) error {
		g, err := s.graph(ctx)
		if err != nil {
			return err
		}
		defer g.http.CloseIdleConnections()
		if rows, err = g.pages(ctx, crowd.applications); err != nil {
			return err
		}
		more, err := g.single(ctx, crowd.applications)
		rows = append(rows, more...)
		return err
	})
	return rows, err
}

// crowd is a data directory in which one tenant has all of the applications.
func (b *bench) crowd(ctx context.Context, applications int) (_ *sample, err error) {
	s := &sample{dir: filepath.Join(b.root, "crowd"), applications: applications}
	platform, err := b.start(ctx, s.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, platform.stop()) }()
	file := filepath.Join(b.root, "crowd.yaml")
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriter(f)
	fmt.Fprint(w, "tenants:\n  - name: crowd\n    applications:\n")
	for n := range applications {
		fmt.Fprintf(w, "      - {name: app-%06d, clientId: %s, identifierUris: ['api://app-%d']}\n", n, clientID(n), n)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := platform.apply(ctx, file); err != nil {
		return nil, err
	}
	s.applyTook = time.Since(began)
	return s, nil
}

// graph is a client of Microsoft Graph that acts for the operator.
type graph struct {
	http  *http.Client
	base  string
	token string
}

func (s *server) graph(ctx context.Context) (*graph, error) {
	answer, err := s.control.Operator(ctx, controlapi.OperatorRequest{Resource: "https://graph.microsoft.com"})
	if err != nil {
		return nil, err
	}
	return &graph{
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: s.tls, DisableCompression: true}, Timeout: time.Minute},
		base: s.authority.String() + "/graph/v1.0", token: answer.Token,
	}, nil
}

// call sends one request and decodes the answer; it returns how long the whole took.
func (g *graph) call(ctx context.Context, method, address string, body, answer any) (time.Duration, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		sent = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, sent)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+g.token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	began := time.Now()
	response, err := g.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	if response.StatusCode >= 300 {
		return 0, fmt.Errorf("%s %s: %s\n%s", method, address, response.Status, text)
	}
	if answer != nil {
		err = json.Unmarshal(text, answer)
	}
	return took, err
}

// pages reads the whole list, and compares what its first and its last pages cost.
func (g *graph) pages(ctx context.Context, applications int) ([]row, error) {
	const size, ends = 100, 50
	var took []time.Duration
	read := 0
	for next := fmt.Sprintf("%s/applications?$top=%d&$select=id,appId,displayName", g.base, size); next != ""; {
		var page struct {
			Value []struct{ ID string }
			Next  string `json:"@odata.nextLink"`
		}
		d, err := g.call(ctx, http.MethodGet, next, nil, &page)
		if err != nil {
			return nil, err
		}
		took, read, next = append(took, d), read+len(page.Value), page.Next
	}
	if read != applications {
		return nil, fmt.Errorf("the pages hold %d applications, not %d", read, applications)
	}
	first, last := median(took[:ends]), median(took[len(took)-ends:])
	return []row{{
		what:     fmt.Sprintf("a page of %d of %d applications, the first %d beside the last", size, applications, ends),
		measured: fmt.Sprintf("%s beside %s", millis(first), millis(last)),
		goal:     "flat",
		outcome:  outcome(float64(last) <= 1.5*float64(first), "what stands before the page"),
	}}, nil
}

// single measures questions about one application of many, and writes to it.
func (g *graph) single(ctx context.Context, applications int) ([]row, error) {
	const asked = 300
	each := func(do func(n int) (time.Duration, error)) ([]time.Duration, error) {
		var all []time.Duration
		for i := range asked {
			d, err := do(i * (applications/asked - 1))
			if err != nil {
				return nil, err
			}
			all = append(all, d)
		}
		slices.Sort(all)
		return all, nil
	}
	ids := make(map[int]string)
	filtered := func(filter func(n int) string) func(n int) (time.Duration, error) {
		return func(n int) (time.Duration, error) {
			var page struct{ Value []struct{ ID string } }
			d, err := g.call(ctx, http.MethodGet, g.base+"/applications?$filter="+url.QueryEscape(filter(n)), nil, &page)
			if err == nil && len(page.Value) != 1 {
				err = fmt.Errorf("%s found %d applications", filter(n), len(page.Value))
			}
			if err == nil {
				ids[n] = page.Value[0].ID
			}
			return d, err
		}
	}
	credential := func(n int) map[string]any {
		return map[string]any{
			"name": "bench", "issuer": "https://token.example", "subject": fmt.Sprint(n), "audiences": []string{"api://AzureADTokenExchange"},
		}
	}
	var rows []row
	for _, m := range []struct {
		what, goal string
		do         func(n int) (time.Duration, error)
	}{
		{"$filter by appId", "", filtered(func(n int) string { return "appId eq '" + clientID(n) + "'" })},
		{"$filter by beginning of the name", "", filtered(func(n int) string { return fmt.Sprintf("startswith(displayName,'app-%06d')", n) })},
		{"$filter by identifier URI", "", filtered(func(n int) string { return fmt.Sprintf("identifierUris/any(u:u eq 'api://app-%d')", n) })},
		{"read of one application", "p99 under 5 ms", func(n int) (time.Duration, error) {
			return g.call(ctx, http.MethodGet, g.base+"/applications/"+ids[n], nil, nil)
		}},
		{"write of a credential", "p99 under 5 ms", func(n int) (time.Duration, error) {
			return g.call(ctx, http.MethodPost, g.base+"/applications/"+ids[n]+"/federatedIdentityCredentials", credential(n), nil)
		}},
		{"removal of a credential", "p99 under 5 ms", func(n int) (time.Duration, error) {
			return g.call(ctx, http.MethodDelete, g.base+"/applications/"+ids[n]+"/federatedIdentityCredentials/bench", nil, nil)
		}},
	} {
		all, err := each(m.do)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.what, err)
		}
		p99 := all[len(all)*99/100]
		r := row{
			what:     fmt.Sprintf("%s, %d applications", m.what, applications),
			measured: fmt.Sprintf("p50 %s, p99 %s", millis(all[len(all)/2]), millis(p99)),
			goal:     m.goal,
		}
		if strings.HasPrefix(m.goal, "p99") {
			r.outcome = outcome(p99 < 5*time.Millisecond, "other programs' time slices, and the disk for writes")
		}
		rows = append(rows, r)
	}
	return rows, nil
}
