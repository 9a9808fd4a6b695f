// Package platform puts the parts together: store, keys, token service,
// identity endpoints and their listeners, as one thing that starts and stops.
// It holds no rule of its own. The dev command, the tests and applications'
// tests all run this same platform.
package platform

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/avouch/avouch/internal/armapi"
	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/graphapi"
	"github.com/avouch/avouch/internal/imds"
	"github.com/avouch/avouch/internal/keyring"
	"github.com/avouch/avouch/internal/keyring/openssl"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/problem"
	"github.com/avouch/avouch/internal/route"
	"github.com/avouch/avouch/internal/store"
	"github.com/avouch/avouch/internal/sts"
	"github.com/avouch/avouch/internal/tokenapi"
)

// Config says how to run a platform for development. Zero fields have useful
// defaults, except Dir.
type Config struct {
	Dir            string           // data directory; made when absent
	Listen         string           // HTTPS address; default 127.0.0.1:8443, port 0 picks a free one
	IdentityListen string           // plain HTTP for identity endpoints, loopback or link-local; default 127.0.0.1:8442
	Cloud          string           // "global" (default), "usgov" or "china"; fixed when Dir is made
	Engine         string           // signing engine: "auto" (default), "openssl" or "go"
	AllowClimbing  bool             // let callers add credentials to applications that hold more than they could grant, as the real service does
	Throttle       bool             // rehearse the real metadata service's throttling
	Now            func() time.Time // nil means time.Now
	Log            *slog.Logger     // nil discards
}

// Defaults of the listeners.
const (
	DefaultListen         = "127.0.0.1:8443"
	DefaultIdentityListen = "127.0.0.1:8442"
)

// Files in the data directory.
const (
	databaseFile = "avouch.db"
	kekFile      = "key-encryption.key"
	lockFile     = "lock"
)

// Keys of the facts that a data directory keeps about itself.
const (
	metaMadeBy = "made-by"
	metaCloud  = "cloud"
	madeByDev  = "dev"
)

// signInsKept bounds the sign-in records in a development directory.
const (
	signInsKept    = 200_000
	signInsKeptFor = 30 * 24 * time.Hour
)

// Platform is a running platform.
type Platform struct {
	dir       string
	cloud     *directory.Cloud
	authority *authority
	lock      *os.File
	db        *store.DB
	directory *store.Directory
	ring      *keyring.Ring
	engine    string
	service   *sts.Service
	manage    *manage.Service
	tokens    *tokenapi.API
	graph     *graphapi.API
	resources *armapi.API
	records   *audit.Recorder
	log       *slog.Logger
	now       func() time.Time
	url       string // https://localhost:8443
	// managementURL is the same under another name of this machine.
	managementURL string
	endpoints     *endpoints

	servers   sync.WaitGroup
	listening []*http.Server // of the fixed addresses
	stop      context.CancelFunc
	close     []func() // in the order of opening; run backwards
	closing   sync.Once
	failures  chan error
}

// Open starts a platform: when it returns, all listeners answer. Close it.
func Open(ctx context.Context, cfg Config) (_ *Platform, err error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.IdentityListen == "" {
		cfg.IdentityListen = DefaultIdentityListen
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Engine == "" {
		cfg.Engine = "auto"
	}
	if cfg.Dir == "" {
		return nil, errors.New("no data directory named")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}

	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Platform{dir: dir, log: cfg.Log, now: cfg.Now, stop: stop, failures: make(chan error, 1)}
	p.close = append(p.close, stop)
	defer func() {
		if err != nil {
			p.Close()
		}
	}()

	if err := p.openDirectory(); err != nil {
		return nil, err
	}
	if p.authority, err = openAuthority(dir, cfg.Now()); err != nil {
		return nil, err
	}
	if err := p.authority.writeBundles(dir, cfg.Now()); err != nil {
		return nil, err
	}
	if p.db, err = store.OpenSQLite(ctx, filepath.Join(dir, databaseFile)); err != nil {
		return nil, err
	}
	p.close = append(p.close, func() {
		if err := p.db.Close(); err != nil {
			p.log.Error("closing the store", "error", err)
		}
	})
	if err := p.settleCloud(ctx, cfg.Cloud); err != nil {
		return nil, err
	}
	if err := p.openKeys(ctx, background, cfg); err != nil {
		return nil, err
	}

	p.records = audit.NewRecorder(p.db, cfg.Now, cfg.Log)
	p.close = append(p.close, p.records.Close)
	p.directory = p.db.Directory(p.cloud)
	p.service = sts.New(sts.Config{Cloud: p.cloud, Directory: p.directory, Keys: p.ring, Now: cfg.Now})
	p.manage = manage.New(p.db, p.cloud, cfg.Now, cfg.Log)
	if cfg.AllowClimbing {
		p.manage.AllowClimbing()
	}
	go p.prune(background)
	p.close = append(p.close, p.closeServers)
	if err := p.serveTokens(cfg); err != nil {
		return nil, err
	}
	if err := p.serveIdentities(background, cfg); err != nil {
		return nil, err
	}
	return p, nil
}

// openDirectory makes the data directory and takes its lock, so that two
// platforms never share one.
func (p *Platform) openDirectory() error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	info, err := os.Stat(p.dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		// The control socket's safety rests on the directory as well.
		if err := os.Chmod(p.dir, 0o700); err != nil {
			return fmt.Errorf("data directory %s is open to other users and cannot be closed: %w", p.dir, err)
		}
	}
	lock, err := lockDirectory(filepath.Join(p.dir, lockFile))
	if err != nil {
		return fmt.Errorf("data directory %s: %w", p.dir, err)
	}
	p.lock = lock
	p.close = append(p.close, func() { _ = lock.Close() })
	return p.removeUnfinished()
}

// removeUnfinished removes the files that a start which was killed had not
// finished. Nobody else writes such files: the directory is locked.
func (p *Platform) removeUnfinished() error {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".new-") && !strings.HasPrefix(e.Name(), ".key-") {
			continue
		}
		if err := os.Remove(filepath.Join(p.dir, e.Name())); err != nil {
			return fmt.Errorf("removing what an earlier start left unfinished: %w", err)
		}
	}
	return nil
}

// settleCloud checks the wanted cloud against the one the directory was made
// for: the names in its stored credentials would all be wrong in another.
func (p *Platform) settleCloud(ctx context.Context, wanted string) error {
	made, err := p.db.Meta(ctx, metaCloud)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return err
	}
	if made == "" {
		made = wanted
		if made == "" {
			made = "global"
		}
		if _, ok := directory.CloudByName(made); !ok {
			return unknownCloud(made)
		}
		// The cloud last: it is what tells a directory that is settled.
		if err := p.db.SetMeta(ctx, metaMadeBy, madeByDev); err != nil {
			return err
		}
		if err := p.db.SetMeta(ctx, metaCloud, made); err != nil {
			return err
		}
	}
	if wanted != "" && wanted != made {
		return fmt.Errorf("data directory %s was made for cloud %q; start it without --cloud %s, or name another directory with --dir", p.dir, made, wanted)
	}
	cloud, ok := directory.CloudByName(made)
	if !ok {
		return unknownCloud(made)
	}
	p.cloud = cloud
	return nil
}

func unknownCloud(name string) error {
	return fmt.Errorf("unknown cloud %q: there are global, usgov and china", name)
}

func (p *Platform) openKeys(ctx, background context.Context, cfg Config) error {
	sealer, err := p.openSealer(ctx)
	if err != nil {
		return err
	}
	engine, err := openssl.Choose(cfg.Engine)
	if err != nil {
		return err
	}
	p.engine = engine.Name()
	p.ring, err = keyring.Open(ctx, p.db, sealer, keyring.Config{Engine: engine, Now: cfg.Now})
	if err != nil {
		return err
	}
	go p.ring.Run(background, time.Minute, func(err error) {
		p.log.Error("advancing the signing keys", "error", err)
	})
	return nil
}

// openSealer reads the key-encryption key, and makes one only for a directory
// that has no signing keys yet: a new one would open none of them.
func (p *Platform) openSealer(ctx context.Context) (*keyring.Sealer, error) {
	path := filepath.Join(p.dir, kekFile)
	keys, err := p.db.Keys(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); len(keys) > 0 && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the key-encryption key %s is gone, and the signing keys cannot be opened without it: restore it from a backup, or start anew in another directory with --dir", path)
	}
	kek, err := keyring.LoadOrCreateKEK(path)
	if err != nil {
		return nil, err
	}
	sealer, err := keyring.NewSealer(kek)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if _, err := sealer.Open(key.ID, key.Sealed); err != nil {
			return nil, fmt.Errorf("the key-encryption key %s does not open signing key %s: one of the two has been replaced; restore the file and %s from one backup, or start anew in another directory with --dir", path, key.ID, databaseFile)
		}
	}
	return sealer, nil
}

func (p *Platform) prune(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, err := p.manage.PurgeDeleted(ctx); err != nil && ctx.Err() == nil {
				p.log.Error("purging deleted objects", "error", err)
			}
			if _, err := p.db.PruneSignIns(ctx, p.now().Add(-signInsKeptFor), signInsKept); err != nil && ctx.Err() == nil {
				p.log.Error("pruning sign-in records", "error", err)
			}
		}
	}
}

// serveTokens opens the HTTPS listener.
func (p *Platform) serveTokens(cfg Config) error {
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening for HTTPS: %w (name another address with --listen, port 0 picks a free one)", err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return errors.Join(fmt.Errorf("%s is not a TCP address", cfg.Listen), listener.Close())
	}
	port := strconv.Itoa(address.Port)
	p.url = "https://localhost:" + port
	p.managementURL = managementURL(p.url, address.IP, port)
	certificate, err := p.authority.serverCertificate(p.now(), p.serverNames(address.IP)...)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	p.tokens = tokenapi.New(tokenapi.Config{
		Service: p.service, Keys: p.ring, Records: p.records, Log: p.log, Now: p.now,
		PublicURL: p.url, Hosts: p.hostNames(address.IP, port),
		// Callers on this machine are the developers themselves. Others are told
		// what the real service would tell them.
		Explain: address.IP.IsLoopback(),
	})
	tokens, err := p.tokens.Handler()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	handler, err := p.surfaces(tokens, p.hostNames(address.IP, port), address.IP.IsLoopback())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}}
	server := route.NewServer(handler, tlsConfig, p.log)
	p.serve(server, func() error { return server.ServeTLS(route.Limit(listener, route.Limits{}), "", "") })
	return nil
}

// serverNames are the names that the HTTPS certificate is good for.
func (p *Platform) serverNames(ip net.IP) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if !ip.IsUnspecified() && !ip.IsLoopback() {
		names = append(names, ip.String())
	}
	for _, domain := range cloudDomains(p.cloud) {
		names = append(names, domain, "*."+domain)
	}
	return names
}

// hostNames are the Host header values that have documents of their own.
func (p *Platform) hostNames(ip net.IP, port string) map[string]string {
	hosts := make(map[string]string)
	own := []string{"localhost", "127.0.0.1", "[::1]"}
	if !ip.IsUnspecified() && !ip.IsLoopback() {
		own = append(own, strings.TrimSuffix(net.JoinHostPort(ip.String(), ""), ":"))
	}
	for _, host := range own {
		base := "https://" + host + ":" + port
		hosts[host+":"+port] = base
		if port == "443" {
			hosts[host] = "https://" + host
		}
	}
	for _, alias := range p.cloud.LoginAliases {
		hosts[alias] = "https://" + alias
		hosts[alias+":"+port] = "https://" + alias + ":" + port
	}
	return hosts
}

// serve runs a server until Close; its failure ends the platform.
func (p *Platform) serve(server *http.Server, run func() error) {
	p.listening = append(p.listening, server)
	p.servers.Add(1)
	go func() {
		defer p.servers.Done()
		if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			select {
			case p.failures <- err:
			default:
			}
		}
	}()
}

// grace is how long requests under way may take when their server ends.
const grace = 2 * time.Second

// shutdown lets requests under way finish, for a moment. The servers share the
// moment: however many there are, the end comes after it.
func shutdown(servers ...*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	var all sync.WaitGroup
	for _, server := range servers {
		all.Go(func() {
			if err := server.Shutdown(ctx); err != nil {
				_ = server.Close()
			}
		})
	}
	all.Wait()
}

func (p *Platform) closeServers() {
	servers := p.listening
	if p.endpoints != nil {
		servers = append(servers, p.endpoints.end()...)
	}
	shutdown(servers...)
	p.servers.Wait()
}

func (p *Platform) serveIdentities(background context.Context, cfg Config) error {
	address, err := netip.ParseAddrPort(cfg.IdentityListen)
	if err != nil {
		return fmt.Errorf("the identity endpoints need an IP address and a port, such as %s: %w", DefaultIdentityListen, err)
	}
	if err := imds.CheckAddress(address); err != nil {
		return err
	}
	service := imds.New(imds.Config{
		Issuer: p.service, Records: p.records, Log: p.log, Now: p.now,
		Describe: p.tokens.CodeOf, Throttle: cfg.Throttle,
	})
	p.endpoints = newEndpoints(p, service, address)
	if err := p.endpoints.openShared(); err != nil {
		return err
	}
	go p.endpoints.follow(background)
	return nil
}

// Wait returns when the context ends, with nil, or when a listener fails.
func (p *Platform) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.failures:
		return err
	}
}

// Close ends everything in the reverse order of its opening. It may be called
// more than once.
func (p *Platform) Close() {
	p.closing.Do(func() {
		for i := len(p.close) - 1; i >= 0; i-- {
			p.close[i]()
		}
	})
}

// URL is the platform's own base URL, without a slash at the end.
func (p *Platform) URL() string { return p.url }

// IdentityURL is the web apps' managed identity endpoint.
func (p *Platform) IdentityURL() string { return "http://" + p.endpoints.shared + "/msi/token" }

// Dir is the data directory, absolute.
func (p *Platform) Dir() string { return p.dir }

// Cloud is the cloud profile.
func (p *Platform) Cloud() *directory.Cloud { return p.cloud }

// Engine is the name of the signing engine in use.
func (p *Platform) Engine() string { return p.engine }

// CAFile is the path of the private authority's certificate.
func (p *Platform) CAFile() string { return filepath.Join(p.dir, caFile) }

// CAPEM is the private authority's certificate.
func (p *Platform) CAPEM() []byte { return p.authority.pem }

// Manage is the one way to change the directory.
func (p *Platform) Manage() *manage.Service { return p.manage }

// Tokens is the token service.
func (p *Platform) Tokens() *sts.Service { return p.service }

// Describe gives the wire code of a refusal.
func (p *Platform) Describe(r *sts.Refusal) (code int, oauth, text string) { return p.tokens.CodeOf(r) }

// OperatorToken issues a token that acts for the operator's user, and records it.
func (p *Platform) OperatorToken(ctx context.Context, user *directory.User, resource string) (string, time.Time, error) {
	rec := audit.SignIn{
		ID: directory.NewObjectID().String(), Time: p.now(), Kind: audit.OperatorSignIn, Outcome: audit.Succeeded,
		Tenant: user.Tenant, PrincipalID: user.ID, ClientName: user.UPN, Resource: resource,
	}
	token, expires, err := p.service.Operator(ctx, user, resource, &rec)
	if err != nil {
		rec.Outcome, rec.Detail = audit.Failed, "no token was issued"
		if told := (*problem.Error)(nil); errors.As(err, &told) {
			rec.Outcome, rec.Detail = audit.Refused, told.Public()
		}
	}
	p.records.Record(rec)
	return token, expires, err
}

// Ring is the signing keys.
func (p *Platform) Ring() *keyring.Ring { return p.ring }

// SignIns returns records of token requests, newest first, including those of
// requests that have just been answered.
func (p *Platform) SignIns(ctx context.Context, q audit.Query) ([]audit.SignIn, error) {
	if err := p.records.Flush(ctx); err != nil {
		return nil, err
	}
	return p.db.SignIns(ctx, q)
}

// Changes returns records of changes to the directory, newest first.
func (p *Platform) Changes(ctx context.Context, q audit.Query) ([]audit.Change, error) {
	return p.db.Changes(ctx, q)
}

// ServerCertificate issues a certificate for local services that stand beside
// the platform, as PEM: the chain and the private key.
func (p *Platform) ServerCertificate(names ...string) (chain, key []byte, err error) {
	certificate, err := p.authority.serverCertificate(p.now(), names...)
	if err != nil {
		return nil, nil, err
	}
	return encodePair(certificate)
}
