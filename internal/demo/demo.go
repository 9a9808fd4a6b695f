// Package demo runs the whole flow once, on a platform of its own that is gone
// afterwards, and tells it as a story.
package demo

import (
	"context"
	"crypto/tls"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/demo/resource"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/platform"
	"github.com/avouch/avouch/internal/route"
	"github.com/avouch/avouch/internal/sts"
	"github.com/avouch/avouch/internal/workload"
)

// Directory is the declarative file that the demo applies.
//
//go:embed directory.yaml
var Directory []byte

// The protected resource of the demo.
const (
	Audience = "api://reports"
	Role     = "Reports.Read"
)

// Run tells the story to out. It returns an error when anything goes other
// than told; everything it started and wrote is gone when it returns.
func Run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "avouch-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &story{out: out}

	s.chapter("A platform of your own")
	p, err := platform.Open(ctx, platform.Config{Dir: dir, Listen: "127.0.0.1:0", IdentityListen: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer p.Close()
	s.say("token service        %s", p.URL())
	s.say("identity endpoints   %s", p.IdentityURL())
	s.say("signing keys         two RSA-2048 keys, made just now, signing with %s", p.Engine())

	s.chapter("A directory: two tenants, one identity, one application, one protected resource")
	parsed, err := config.ParseDirectory("directory.yaml", Directory)
	if err != nil {
		return err
	}
	me := manage.Caller{Actor: audit.Actor{Kind: "system", Name: "demo"}}
	plan, err := p.Manage().Apply(ctx, me, []*config.Directory{parsed}, manage.ApplyOptions{})
	if err != nil {
		return err
	}
	for _, step := range plan.Steps {
		if step.Target.Kind != "servicePrincipal" {
			s.say("+ %-28s %s", step.Target.Kind, step.Target.Name)
		}
	}
	for _, w := range plan.Warnings {
		s.say("! %s: %s", w.Target.Name, w.Message)
	}

	wish, err := p.Manage().FindWorkload(ctx, manage.WorkloadWish{Application: "orders"})
	if err != nil {
		return err
	}
	environment, err := p.Environment(wish.Host)
	if err != nil {
		return err
	}
	player, err := workload.New(p.CAFile(), p.URL(), environment)
	if err != nil {
		return err
	}
	url, stop, err := s.serveResource(ctx, p, player.Client())
	if err != nil {
		return err
	}
	defer stop()

	s.chapter("The workload asks its host for a managed identity token")
	request, err := player.IdentityRequest(ctx, wish.Identity.ClientID.String(), p.Cloud().ExchangeURI)
	if err != nil {
		return err
	}
	s.say("GET %s", request.URL)
	s.say("X-IDENTITY-HEADER: (the host's own, never shown)")
	proof, err := player.IdentityToken(ctx, wish.Identity.ClientID.String(), p.Cloud().ExchangeURI)
	if err != nil {
		return err
	}
	if err := s.claims("token A", proof, map[string]string{
		"iss": "the workload's tenant",
		"aud": "the token exchange, and nothing else: no API accepts this token",
		"sub": "the principal id of " + wish.Identity.Name,
		"exp": "a day",
	}); err != nil {
		return err
	}

	for _, tenant := range []string{"contoso", "fabrikam"} {
		if err := s.exchange(ctx, p, player, wish, tenant, proof, url); err != nil {
			return err
		}
	}
	if err := s.mistake(ctx, p, player, proof); err != nil {
		return err
	}

	s.chapter("That was all of it")
	s.say("No secret was made, stored or sent. Start a platform of your own with 'avouch dev'.")
	return s.err
}

// serveResource starts the protected resource beside the platform.
func (s *story) serveResource(ctx context.Context, p *platform.Platform, client *http.Client) (url string, stop func(), err error) {
	var tenants []string
	summary, err := p.Manage().Summarize(ctx)
	if err != nil {
		return "", nil, err
	}
	for _, t := range summary.Tenants {
		tenants = append(tenants, t.ID.String())
	}
	guard, err := resource.New(resource.Config{
		Authority: p.URL(), Client: client, Tenants: tenants, Audiences: []string{Audience}, Role: Role,
	})
	if err != nil {
		return "", nil, err
	}
	chain, key, err := p.ServerCertificate("localhost", "127.0.0.1")
	if err != nil {
		return "", nil, err
	}
	return ServeResource(guard, "127.0.0.1:0", chain, key)
}

// ServeResource serves a handler over HTTPS on the address until stop is called.
func ServeResource(h http.Handler, address string, chain, key []byte) (url string, stop func(), err error) {
	certificate, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return "", nil, errors.Join(err, listener.Close())
	}
	server := route.NewServer(h, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Serving ends with Close; nothing else ends it.
		_ = server.ServeTLS(listener, "", "")
	}()
	return "https://localhost:" + port + "/", func() { _ = server.Close(); <-done }, nil
}

// exchange tells one tenant's part: the exchange and the call.
func (s *story) exchange(ctx context.Context, p *platform.Platform, player *workload.Player, w *manage.Workload, tenant, proof, url string) error {
	t, err := p.Manage().FindTenant(ctx, tenant)
	if err != nil {
		return err
	}
	home := ""
	if t.ID != w.Application.Tenant {
		home = ", where the application is a guest"
	}
	s.chapter(fmt.Sprintf("It exchanges token A for the application's token in %s%s", tenant, home))
	s.say("POST %s/%s/oauth2/v2.0/token", p.URL(), t.ID)
	s.say("client_id=%s  scope=%s/.default  client_assertion=(token A)", w.Application.ClientID, Audience)
	answer, err := p.Tokens().Explain(ctx, sts.Request{
		Tenant: t.ID.String(), ClientID: w.Application.ClientID.String(), Assertion: proof, Resource: Audience,
	})
	if err != nil {
		return err
	}
	if answer.Refusal != nil {
		return answer.Refusal
	}
	s.say("")
	s.say("why the answer is yes: credential %q of %s says what token A says", answer.Credential, w.Application.Name)
	for _, c := range answer.Comparisons {
		s.say("  ok  %-10s %s", c.Field, c.Stored)
	}
	s.say("  ok  and the subject is %s, a user-assigned managed identity of the application's own tenant", w.Identity.Name)
	token, err := player.Exchange(ctx, t.ID.String(), w.Application.ClientID.String(), proof, Audience+"/.default")
	if err != nil {
		return err
	}
	s.say("")
	if err := s.claims("token B", token, map[string]string{
		"iss":   tenant,
		"aud":   "the protected resource",
		"appid": "the application " + w.Application.Name,
		"oid":   "its service principal in " + tenant,
		"roles": "what " + tenant + " lets it do",
	}); err != nil {
		return err
	}
	status, body, err := call(ctx, player.Client(), url, token)
	if err != nil {
		return err
	}
	s.say("")
	s.say("GET %s with token B", url)
	s.say("%d %s", status, body)
	if status != http.StatusOK {
		return fmt.Errorf("the protected resource answered %d", status)
	}
	return nil
}

// mistake tells what happens when a credential is wrong.
func (s *story) mistake(ctx context.Context, p *platform.Platform, player *workload.Player, proof string) error {
	s.chapter("The same with one wrong subject")
	app, err := p.Manage().FindApplication(ctx, "contoso/orders-mistaken")
	if err != nil {
		return err
	}
	_, err = player.Exchange(ctx, app.Tenant.String(), app.ClientID.String(), proof, Audience+"/.default")
	var refused *workload.Refused
	if !errors.As(err, &refused) {
		return fmt.Errorf("the exchange should have been refused, but: %w", err)
	}
	text, _, _ := strings.Cut(refused.Text, " Trace ID:")
	s.say("%d %s", refused.Status, text)
	answer, err := p.Tokens().Explain(ctx, sts.Request{
		Tenant: app.Tenant.String(), ClientID: app.ClientID.String(), Assertion: proof, Resource: Audience,
	})
	if err != nil {
		return err
	}
	if answer.Refusal == nil {
		return errors.New("the explanation says yes where the exchange said no")
	}
	s.say("")
	s.say("what 'avouch explain' says of it:")
	for _, c := range answer.Comparisons {
		if c.Same {
			s.say("  ok  %-10s %s", c.Field, c.Stored)
			continue
		}
		s.say("  no  %-10s stored   %s", c.Field, c.Stored)
		s.say("                 offered  %s", c.Offered)
		s.say("                 %s", c.Difference)
	}
	s.say("  mend it: %s", answer.Refusal.Detail)
	return nil
}

func call(ctx context.Context, client *http.Client, url, token string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		return 0, "", err
	}
	return response.StatusCode, strings.TrimSpace(string(body)), nil
}

// story prints; the first failure to print ends up in err.
type story struct {
	out    io.Writer
	number int
	err    error
}

func (s *story) say(format string, args ...any) {
	line := strings.TrimRight("   "+fmt.Sprintf(format, args...), " ")
	if _, err := fmt.Fprintln(s.out, line); err != nil && s.err == nil {
		s.err = err
	}
}

func (s *story) chapter(title string) {
	s.number++
	if _, err := fmt.Fprintf(s.out, "\n%d. %s\n\n", s.number, title); err != nil && s.err == nil {
		s.err = err
	}
}

// claims shows the claims that matter, with what they mean.
func (s *story) claims(name, token string, means map[string]string) error {
	shown, err := workload.Show(token)
	if err != nil {
		return err
	}
	s.say("%s says:", name)
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	for _, line := range shown.Claims {
		meaning, matters := means[line.Name]
		if !matters {
			continue
		}
		value := line.Value
		if line.Name == "exp" {
			_, value, _ = strings.Cut(value, "  ")
		}
		if json.Valid([]byte(value)) {
			value = strings.Trim(value, `[]"`)
		}
		fmt.Fprintf(table, "  %s\t%s\t(%s)\n", line.Name, value, meaning)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range slices.Values(strings.Split(strings.TrimRight(b.String(), "\n"), "\n")) {
		s.say("%s", line)
	}
	return nil
}
