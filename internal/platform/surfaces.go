package platform

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/avouch/avouch/internal/armapi"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/graphapi"
)

// Where the management APIs stand below the platform's own addresses. Clients
// tell the APIs apart by the beginning of an address, so each has its own.
const (
	graphPath      = "/graph"
	managementPath = "/arm"
	metadataPath   = "/metadata/endpoints"
)

// addresses are the names that one API is called by, and the audiences that
// tokens for it may have.
type addresses struct {
	bases     []string // without a slash at the end
	audiences []string
}

func addressesOf(path, host string, client directory.ClientID, cloud *directory.Cloud, own map[string]string) addresses {
	a := addresses{audiences: []string{client.String()}}
	for _, fp := range cloud.FirstParties() {
		if fp.ClientID == client {
			a.audiences = append(a.audiences, fp.URIs...)
		}
	}
	for name, base := range own {
		// The cloud's own names of the token service are no addresses of other APIs.
		if !isLogin(cloud, name) {
			a.bases = append(a.bases, base+path)
			a.audiences = append(a.audiences, base+path, base+path+"/")
		}
	}
	a.bases = append(a.bases, "https://"+host)
	return a
}

func isLogin(cloud *directory.Cloud, hostport string) bool {
	host, _, _ := strings.Cut(hostport, ":")
	for _, alias := range cloud.LoginAliases {
		if alias == host {
			return true
		}
	}
	return false
}

// surfaces answers every API on one listener: by host name where the cloud's own
// names are used, by path otherwise. What belongs to no other surface goes to
// the token service.
func (p *Platform) surfaces(tokens http.Handler, own map[string]string, local bool) (http.Handler, error) {
	graph := addressesOf(graphPath, p.cloud.GraphHost, directory.GraphClientID, p.cloud, own)
	management := addressesOf(managementPath, p.cloud.ARMHost, directory.ManagementClientID, p.cloud, own)
	aliases := make(map[string]directory.ClientID)
	for _, base := range graph.bases {
		aliases[base], aliases[base+"/"] = directory.GraphClientID, directory.GraphClientID
	}
	// az asks for the first of its endpoints that has a request's origin, and the
	// token service's comes before Graph's.
	graph.audiences = append(graph.audiences, p.url)
	aliases[p.url] = directory.GraphClientID
	for _, base := range management.bases {
		aliases[base], aliases[base+"/"] = directory.ManagementClientID, directory.ManagementClientID
	}
	p.directory.Alias(aliases)

	graphAPI := graphapi.New(graphapi.Config{
		Manage: p.manage, Authenticate: p.service.Authenticate, Cloud: p.cloud, Audiences: graph.audiences,
		SignIns: p.SignIns, Changes: p.Changes, Log: p.log, Now: p.now, Explain: local,
	})
	managementAPI := armapi.New(armapi.Config{
		Manage: p.manage, Authenticate: p.service.Authenticate, Cloud: p.cloud, Audiences: management.audiences,
		Log: p.log, Now: p.now, Explain: local, Endpoints: p.Endpoints(),
	})
	p.graph, p.resources = graphAPI, managementAPI
	d := &dispatcher{tokens: tokens, metadata: managementAPI.Metadata(), hosts: make(map[string]http.Handler), paths: make(map[string]map[string]http.Handler)}
	for _, api := range []struct {
		path    string
		bases   []string
		handler func(base string) (http.Handler, error)
	}{
		{graphPath, graph.bases, graphAPI.Handler},
		{managementPath, management.bases, managementAPI.Handler},
	} {
		d.paths[api.path] = make(map[string]http.Handler)
		for i, base := range api.bases {
			// The tables differ in the base alone, so the first shows whether they
			// have gaps. The others are made when somebody comes by that address.
			made := sync.OnceValues(func() (http.Handler, error) { return api.handler(base) })
			if i == 0 {
				if _, err := made(); err != nil {
					return nil, err
				}
			}
			handler := p.whenCalled(made)
			if host, below := strings.CutSuffix(strings.TrimPrefix(base, "https://"), api.path); below {
				d.paths[api.path][host] = http.StripPrefix(api.path, handler)
			} else {
				d.hosts[host] = handler
			}
		}
	}
	d.own = strings.TrimPrefix(p.url, "https://")
	return d, nil
}

// Endpoints are the platform's own addresses, as tools that are told of a cloud
// want them. The resource manager has another host name than the others: az tells
// the audiences of its requests apart by scheme, host and port.
func (p *Platform) Endpoints() armapi.Endpoints {
	return armapi.Endpoints{
		Name: "Avouch", Login: p.url, Graph: p.url + graphPath, ResourceManager: p.managementURL + managementPath,
		Portal: p.url,
	}
}

// managementURL is the base of the resource manager's address. Where the
// listener is not on the loopback address that stands beside localhost, it is the
// platform's own.
func managementURL(url string, ip net.IP, port string) string {
	if ip.IsUnspecified() || ip.Equal(net.IPv4(127, 0, 0, 1)) {
		return "https://127.0.0.1:" + port
	}
	return url
}

// whenCalled is a handler that is made at its first request.
func (p *Platform) whenCalled(made func() (http.Handler, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, err := made()
		if err != nil {
			p.log.Error("making the table of a surface", "error", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// dispatcher finds the surface of a request. Nothing is built from what the
// request says: its host only chooses among handlers that are there.
type dispatcher struct {
	own      string // host and port of the public URL
	tokens   http.Handler
	metadata http.Handler
	hosts    map[string]http.Handler            // by host, with or without the port
	paths    map[string]map[string]http.Handler // by first path segment, then by host and port
}

func (d *dispatcher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Clients that join addresses by hand begin a path with two slashes.
	path := "/" + strings.TrimLeft(r.URL.EscapedPath(), "/")
	if strings.EqualFold(strings.TrimPrefix(strings.TrimSuffix(path, "/"), managementPath), metadataPath) {
		d.metadata.ServeHTTP(w, withPath(r, metadataPath))
		return
	}
	host := strings.ToLower(r.Host)
	if handler, ok := d.hosts[strings.SplitN(host, ":", 2)[0]]; ok {
		handler.ServeHTTP(w, r)
		return
	}
	for prefix, byHost := range d.paths {
		if path != prefix && !strings.HasPrefix(path, prefix+"/") {
			continue
		}
		handler, ok := byHost[host]
		if !ok {
			handler = byHost[d.own]
		}
		handler.ServeHTTP(w, withPath(r, path))
		return
	}
	d.tokens.ServeHTTP(w, r)
}

// withPath is the request with another spelling of its path.
func withPath(r *http.Request, escaped string) *http.Request {
	if escaped == r.URL.EscapedPath() {
		return r
	}
	u := *r.URL
	if plain, err := url.PathUnescape(escaped); err == nil {
		u.Path, u.RawPath = plain, escaped
	}
	changed := *r
	changed.URL = &u
	return &changed
}
