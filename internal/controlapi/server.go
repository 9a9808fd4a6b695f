package controlapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/platform"
	"github.com/avouch/avouch/internal/problem"
	"github.com/avouch/avouch/internal/route"
	"github.com/avouch/avouch/internal/sts"
)

// Paths of the calls. Every call is a POST with a JSON body.
const (
	pathStatus      = "/status"
	pathApply       = "/apply"
	pathEnvironment = "/environment"
	pathWorkload    = "/workload"
	pathExplain     = "/explain"
	pathLog         = "/log"
	pathCertificate = "/certificate"
	pathOperator    = "/operator"
)

// Times of a call: reading and carrying it out, and writing the answer.
const (
	callTimeout   = 10 * time.Minute
	answerTimeout = time.Minute
)

// maxBody bounds a call: the largest declarative file and its escaping.
const maxBody = 64 << 20

// Server answers on the control socket.
type Server struct {
	platform *platform.Platform
	log      *slog.Logger
	http     *http.Server
	cancel   context.CancelFunc // of the calls under way
	done     chan struct{}
}

// Serve opens the socket in the platform's data directory and answers on it
// until Close.
func Serve(p *platform.Platform, log *slog.Logger) (*Server, error) {
	s := &Server{platform: p, log: log, done: make(chan struct{})}
	mux, err := route.New(s.surface(),
		s.route(pathStatus, status), s.route(pathApply, apply), s.route(pathEnvironment, environment),
		s.route(pathWorkload, workload), s.route(pathExplain, explain), s.route(pathLog, logs),
		s.route(pathCertificate, certificate), s.route(pathOperator, operator),
	)
	if err != nil {
		return nil, err
	}
	listener, err := listen(p.Dir())
	if err != nil {
		return nil, err
	}
	s.http = route.NewServer(mux, nil, log)
	// The caller is the platform's own user, and a directory of many thousands
	// of objects takes its time.
	s.http.ReadTimeout, s.http.WriteTimeout = callTimeout, callTimeout+answerTimeout
	calls, cancel := context.WithCancel(context.Background())
	s.http.BaseContext, s.cancel = func(net.Listener) context.Context { return calls }, cancel
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the control socket failed", "error", err)
		}
	}()
	return s, nil
}

// Close waits a moment for the calls under way, then cancels them and lets them
// say so, and removes the socket.
func (s *Server) Close() {
	defer s.cancel()
	if s.shutdown(time.Second) != nil {
		s.cancel()
		if s.shutdown(time.Second/2) != nil {
			_ = s.http.Close()
		}
	}
	<-s.done
	_, _ = withSocketPath(s.platform.Dir(), func(path string) (struct{}, error) { return struct{}{}, os.Remove(path) })
}

func (s *Server) shutdown(grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	return s.http.Shutdown(ctx)
}

// LocalUser is the actor of changes made by the user that runs the platform.
func LocalUser() manage.Caller {
	name := "uid " + itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return manage.Caller{Actor: audit.Actor{Kind: "localUser", ID: itoa(os.Getuid()), Name: name}}
}

// handler answers one call from its decoded request.
type handler func(ctx context.Context, p *platform.Platform, body []byte) (any, error)

func (s *Server) route(path string, h handler) route.Route {
	return route.Route{
		Method: http.MethodPost, Path: path, Auth: route.SameUser, MaxBody: maxBody, Timeout: callTimeout,
		Handle: func(w http.ResponseWriter, r *http.Request, _ route.Params) error {
			body, err := readAll(r)
			if err != nil {
				return err
			}
			answer, err := h(r.Context(), s.platform, body)
			if err != nil {
				return err
			}
			writeJSON(w, http.StatusOK, answer)
			return nil
		},
	}
}

func (s *Server) surface() route.Surface {
	return route.Surface{
		NotFound: func(w http.ResponseWriter, r *http.Request) {
			writeJSON(w, http.StatusNotFound, errorBody{"this platform knows no such call; it may be of another version than the command"})
		},
		BadMethod: func(w http.ResponseWriter, r *http.Request, _ []string) {
			writeJSON(w, http.StatusMethodNotAllowed, errorBody{"every call is a POST"})
		},
		Fault: func(w http.ResponseWriter, r *http.Request, err error) {
			var told *problem.Error
			var files config.Errors
			switch {
			case errors.As(err, &files):
				writeJSON(w, http.StatusBadRequest, errorBody{files.Error()})
			case errors.As(err, &told) && told.Kind != problem.Internal:
				writeJSON(w, http.StatusBadRequest, errorBody{told.Public()})
			case errors.Is(err, context.Canceled):
				// Either nobody reads this, or the platform is ending. A commit
				// that has begun is never cancelled.
				writeJSON(w, http.StatusServiceUnavailable, errorBody{"the platform is ending, and nothing was changed; start it again, then repeat the command"})
			default:
				s.log.Error("a control call failed", "call", r.URL.Path, "error", err)
				// The caller is the platform's own user: nothing to hide from him.
				writeJSON(w, http.StatusInternalServerError, errorBody{err.Error()})
			}
		},
	}
}

func status(ctx context.Context, p *platform.Platform, _ []byte) (any, error) {
	summary, err := p.Manage().Summarize(ctx)
	if err != nil {
		return nil, err
	}
	tenants := make([]string, 0, len(summary.Tenants))
	for _, t := range summary.Tenants {
		tenants = append(tenants, t.ID.String())
	}
	return Status{
		URL: p.URL(), Identity: p.IdentityURL(), Dir: p.Dir(), CA: p.CAFile(), Cloud: p.Cloud().Name, Engine: p.Engine(),
		Tenants: tenants,
	}, nil
}

func apply(ctx context.Context, p *platform.Platform, body []byte) (any, error) {
	req, err := decode[ApplyRequest](body)
	if err != nil {
		return nil, err
	}
	files := make([]*config.Directory, 0, len(req.Files))
	for _, f := range req.Files {
		d, err := config.ParseDirectory(f.Name, []byte(f.Text))
		if err != nil {
			return nil, err
		}
		files = append(files, d)
	}
	plan, err := p.Manage().Apply(ctx, LocalUser(), files, manage.ApplyOptions{DryRun: req.DryRun})
	if err != nil {
		return nil, err
	}
	var diff strings.Builder
	if err := plan.WriteDiff(&diff, req.Colour); err != nil {
		return nil, err
	}
	return ApplyResponse{Diff: diff.String(), Empty: plan.Empty(), Plan: plan}, nil
}

func environment(ctx context.Context, p *platform.Platform, body []byte) (any, error) {
	req, err := decode[EnvironmentRequest](body)
	if err != nil {
		return nil, err
	}
	var host *directory.Host
	if req.Host != "" {
		if host, err = p.Manage().FindHost(ctx, req.Host); err != nil {
			return nil, err
		}
	}
	vars, err := p.Environment(host)
	if err != nil {
		return nil, err
	}
	return EnvironmentResponse{vars}, nil
}

func workload(ctx context.Context, p *platform.Platform, body []byte) (any, error) {
	req, err := decode[WorkloadRequest](body)
	if err != nil {
		return nil, err
	}
	found, err := p.Manage().FindWorkload(ctx, manage.WorkloadWish{
		Host: req.Host, Identity: req.Identity, Application: req.Application, Tenant: req.Tenant,
	})
	if err != nil {
		return nil, err
	}
	vars, err := p.Environment(found.Host)
	if err != nil {
		return nil, err
	}
	w := Workload{
		Host: found.Host.Name, Tenant: found.Tenant.ID.String(), Environment: vars,
		ExchangeAudience: p.Cloud().ExchangeURI,
	}
	if found.Identity != nil {
		w.Identity, w.IdentityClientID = found.Identity.Name, found.Identity.ClientID.String()
	}
	if found.Application != nil {
		w.Application, w.ClientID = found.Application.Name, found.Application.ClientID.String()
	}
	return w, nil
}

func operator(ctx context.Context, p *platform.Platform, body []byte) (any, error) {
	req, err := decode[OperatorRequest](body)
	if err != nil {
		return nil, err
	}
	tenant, err := p.Manage().OnlyTenant(ctx, req.Tenant)
	if err != nil {
		return nil, err
	}
	user, err := p.Manage().Operator(ctx, LocalUser(), tenant.ID)
	if err != nil {
		return nil, err
	}
	token, expires, err := p.OperatorToken(ctx, user, req.Resource)
	if err != nil {
		return nil, err
	}
	return OperatorResponse{Token: token, Expires: expires, Tenant: tenant.ID.String(), User: user.UPN}, nil
}

func explain(ctx context.Context, p *platform.Platform, body []byte) (any, error) {
	req, err := decode[ExplainRequest](body)
	if err != nil {
		return nil, err
	}
	app, err := p.Manage().FindApplication(ctx, req.Application)
	if err != nil {
		return nil, err
	}
	tenantRef := req.Tenant
	if tenantRef == "" {
		tenantRef = app.Tenant.String()
	}
	tenant, err := p.Manage().FindTenant(ctx, tenantRef)
	if err != nil {
		return nil, err
	}
	if req.Resource == "" {
		req.Resource = "https://storage.azure.com"
	}
	e, err := p.Tokens().Explain(ctx, sts.Request{
		Tenant: tenant.ID.String(), ClientID: app.ClientID.String(), Assertion: req.Assertion, Resource: req.Resource,
	})
	if err != nil {
		return nil, err
	}
	out := ExplainResponse{
		Issued: e.Refusal == nil, Verified: e.Verified, Comparisons: e.Comparisons, Credential: e.Credential,
		Application: app.Name, ClientID: app.ClientID.String(), Tenant: tenant.Name, Resource: req.Resource,
	}
	if e.Refusal != nil {
		out.Code, out.Error, out.Text = p.Describe(e.Refusal)
		out.Reason, out.Mend = string(e.Refusal.Reason), e.Refusal.Detail
	}
	if e.Claims != nil {
		for _, m := range e.Claims.Members {
			out.Claims = append(out.Claims, Claim{m.Name, string(m.Value)})
		}
	}
	return out, nil
}

func logs(ctx context.Context, p *platform.Platform, body []byte) (any, error) {
	req, err := decode[LogRequest](body)
	if err != nil {
		return nil, err
	}
	q := audit.Query{Client: req.Client, Limit: req.Limit}
	if req.Tenant != "" {
		tenant, err := p.Manage().FindTenant(ctx, req.Tenant)
		if err != nil {
			return nil, err
		}
		q.Tenant = tenant.ID
	}
	if req.Refused {
		q.Outcome = audit.Refused
	}
	if req.Since > 0 {
		q.Since = time.Now().Add(-req.Since)
	}
	signIns, err := p.SignIns(ctx, q)
	if err != nil {
		return nil, err
	}
	var changes []audit.Change
	if req.Client == "" {
		if changes, err = p.Changes(ctx, q); err != nil {
			return nil, err
		}
	}
	return LogResponse{SignIns: signIns, Changes: changes}, nil
}

func certificate(_ context.Context, p *platform.Platform, body []byte) (any, error) {
	req, err := decode[CertificateRequest](body)
	if err != nil {
		return nil, err
	}
	chain, key, err := p.ServerCertificate(req.Names...)
	if err != nil {
		return nil, problem.Newf(problem.Invalid, "", "%s", err.Error())
	}
	return CertificateResponse{Chain: string(chain), Key: string(key)}, nil
}

func decode[T any](body []byte) (T, error) {
	var v T
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return v, problem.Newf(problem.Invalid, "", "the call does not fit this platform: %s; the command may be of another version", err)
	}
	return v, nil
}
