package platform

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/imds"
	"github.com/avouch/avouch/internal/problem"
	"github.com/avouch/avouch/internal/route"
)

// endpoints are the plain HTTP listeners through which hosts get their tokens.
// Web apps share one address and are told apart by their secrets. A virtual
// machine has no secret: whoever reaches its address is on the machine, so each
// gets an address of its own, opened when first asked for.
type endpoints struct {
	platform *Platform
	service  *imds.Service
	secrets  *imds.Secrets
	base     netip.AddrPort

	mu       sync.Mutex
	shared   string // host:port of the web apps' endpoint
	machines map[hostKey]*machine
	ended    bool
}

type hostKey struct {
	tenant directory.TenantID
	host   directory.ObjectID
}

type machine struct {
	address string
	server  *http.Server
}

func newEndpoints(p *Platform, service *imds.Service, base netip.AddrPort) *endpoints {
	return &endpoints{
		platform: p, service: service, secrets: imds.NewSecrets(), base: base,
		machines: make(map[hostKey]*machine),
	}
}

// openShared opens the web apps' endpoint at the configured address.
func (e *endpoints) openShared() error {
	listener, err := net.Listen("tcp", e.base.String())
	if err != nil {
		return fmt.Errorf("listening for identity requests: %w (name another address with --identity-listen, port 0 picks a free one)", err)
	}
	e.shared = listener.Addr().String()
	handler, err := e.service.AppService(e.secrets, hostNamesOf(listener)...)
	if err != nil {
		_ = listener.Close()
		return err
	}
	server := route.NewServer(handler, nil, e.platform.log)
	e.platform.serve(server, func() error { return server.Serve(route.Limit(listener, route.Limits{})) })
	return nil
}

// hostNamesOf are the Host header values for a listener.
func hostNamesOf(l net.Listener) []string {
	names := []string{l.Addr().String()}
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		port := strconv.Itoa(tcp.Port)
		if tcp.IP.IsLoopback() {
			names = append(names, "localhost:"+port)
		}
		if port == "80" {
			names = append(names, tcp.IP.String())
		}
	}
	return names
}

// machineAddress is the address of a virtual machine's metadata service.
func (e *endpoints) machineAddress(h *directory.Host) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := hostKey{h.Tenant, h.ID}
	if m := e.machines[key]; m != nil {
		return m.address, nil
	}
	if e.ended {
		return "", problem.Newf(problem.Unavailable, "", "the platform is ending")
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(e.base.Addr().String(), "0"))
	if err != nil {
		return "", fmt.Errorf("listening for host %s: %w", h.Name, err)
	}
	handler, err := e.service.VirtualMachine(h.Tenant, h.ID, hostNamesOf(listener)...)
	if err != nil {
		_ = listener.Close()
		return "", err
	}
	m := &machine{address: listener.Addr().String(), server: route.NewServer(handler, nil, e.platform.log)}
	e.machines[key] = m
	e.platform.servers.Add(1)
	go func() {
		defer e.platform.servers.Done()
		// A failed listener of one host ends that host's endpoint, nothing else.
		if err := m.server.Serve(route.Limit(listener, route.Limits{})); err != http.ErrServerClosed {
			e.platform.log.Error("the endpoint of a host failed", "host", h.Name, "error", err)
		}
	}()
	return m.address, nil
}

// follow closes the endpoints of hosts that are gone.
func (e *endpoints) follow(ctx context.Context) {
	for {
		changed := e.platform.manage.Changed()
		e.closeGone(ctx)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (e *endpoints) closeGone(ctx context.Context) {
	e.mu.Lock()
	var open []hostKey
	for key := range e.machines {
		open = append(open, key)
	}
	e.mu.Unlock()
	for _, key := range open {
		if exists, err := e.platform.hostExists(ctx, key); err != nil || exists {
			continue
		}
		e.mu.Lock()
		gone := e.machines[key]
		delete(e.machines, key)
		e.mu.Unlock()
		e.secrets.Forget(key.tenant, key.host)
		if gone != nil {
			shutdown(gone.server)
		}
	}
}

// end takes the servers of all machines out and opens no more.
func (e *endpoints) end() []*http.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	var servers []*http.Server
	for _, m := range e.machines {
		servers = append(servers, m.server)
	}
	clear(e.machines)
	e.ended = true
	return servers
}
