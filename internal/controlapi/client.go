package controlapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/avouch/avouch/internal/platform"
)

// Client talks to the running platform of one data directory.
type Client struct {
	dir  string
	http *http.Client
}

// NewClient makes a client; nothing is opened until a call is made.
func NewClient(dir string) *Client {
	return &Client{dir: dir, http: &http.Client{
		Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(dir) },
		},
	}}
}

// Status asks where things are.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return call[Status](ctx, c, pathStatus, struct{}{})
}

// Apply makes the directory match files.
func (c *Client) Apply(ctx context.Context, req ApplyRequest) (*ApplyResponse, error) {
	return call[ApplyResponse](ctx, c, pathApply, req)
}

// Environment asks for a host's environment.
func (c *Client) Environment(ctx context.Context, host string) ([]platform.Variable, error) {
	response, err := call[EnvironmentResponse](ctx, c, pathEnvironment, EnvironmentRequest{host})
	if err != nil {
		return nil, err
	}
	return response.Variables, nil
}

// Operator gets an access token for the user that administers a tenant.
func (c *Client) Operator(ctx context.Context, req OperatorRequest) (*OperatorResponse, error) {
	return call[OperatorResponse](ctx, c, pathOperator, req)
}

// Workload finds a way to get a token, with the environment of its host.
func (c *Client) Workload(ctx context.Context, req WorkloadRequest) (*Workload, error) {
	return call[Workload](ctx, c, pathWorkload, req)
}

// Explain asks what the exchange would answer.
func (c *Client) Explain(ctx context.Context, req ExplainRequest) (*ExplainResponse, error) {
	return call[ExplainResponse](ctx, c, pathExplain, req)
}

// Log reads records.
func (c *Client) Log(ctx context.Context, req LogRequest) (*LogResponse, error) {
	return call[LogResponse](ctx, c, pathLog, req)
}

// Certificate issues a server certificate.
func (c *Client) Certificate(ctx context.Context, req CertificateRequest) (*CertificateResponse, error) {
	return call[CertificateResponse](ctx, c, pathCertificate, req)
}

func call[Response, Request any](ctx context.Context, c *Client, path string, req Request) (*Response, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://avouch"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.plain(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, c.gone(err)
	}
	if response.StatusCode != http.StatusOK {
		var failure errorBody
		if json.Unmarshal(data, &failure) == nil && failure.Message != "" {
			return nil, errors.New(failure.Message)
		}
		return nil, fmt.Errorf("the platform answered %s", response.Status)
	}
	var out Response
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("the platform's answer does not fit this version of the command: %w", err)
	}
	return &out, nil
}

// plain says what the HTTP client's error means here: the made-up URL of a
// socket tells nobody anything.
func (c *Client) plain(err error) error {
	var dialling *dialError
	switch {
	case errors.As(err, &dialling):
		return dialling
	case errors.Is(err, context.Canceled):
		return err
	}
	return c.gone(err)
}

// gone is the error of a call that was sent and not answered.
func (c *Client) gone(err error) error {
	return fmt.Errorf("the platform on %s ended before it answered (%w): what was asked for may have been done or not; look at the output of 'avouch dev', start it again if need be, and repeat the command", c.dir, rootCause(err))
}
