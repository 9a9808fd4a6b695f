package imds

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// CheckAddress refuses every listening address that others than this machine
// could reach: what is left is loopback and link-local.
func CheckAddress(addr netip.AddrPort) error {
	ip := addr.Addr().Unmap()
	switch {
	case !ip.IsValid():
		return fmt.Errorf("the managed identity endpoint needs an IP address to listen on, such as 127.0.0.1:0")
	case ip.IsLoopback(), ip.IsLinkLocalUnicast():
		return nil
	case ip.IsUnspecified():
		return fmt.Errorf("the managed identity endpoint may not listen on %s: that is every address of this machine, and whoever reaches the endpoint gets tokens; use 127.0.0.1, ::1 or 169.254.169.254", ip)
	}
	return fmt.Errorf("the managed identity endpoint may not listen on %s: whoever reaches the endpoint gets tokens; use a loopback or link-local address, such as 127.0.0.1, ::1 or 169.254.169.254", ip)
}

// guard keeps out requests that a workload did not send itself: those that a
// web page made a browser send, and those that a proxy or a careless web
// application passed on (threats M1, M2).
type guard struct {
	names map[string]bool // Host header values, in lower case, without the default port
}

// check returns nil for a request that may have come from a workload.
func (g *guard) check(r *http.Request) *failure {
	if !g.names[r.Host] && !g.names[plainHost(r.Host)] {
		return &failure{
			status: http.StatusForbidden, oauth: "forbidden",
			text: "The Host header is not an address of this endpoint.",
		}
	}
	for name, values := range r.Header {
		switch {
		case fromBrowser(name, values):
			return &failure{
				status: http.StatusForbidden, oauth: "forbidden",
				text: "Requests of web pages are not answered here.",
			}
		case forwarding(name):
			return badRequest("Requests that were passed on are not answered here: remove the header '" + name + "'.")
		}
	}
	return nil
}

func plainHost(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ":80")
}

// fromBrowser reports whether the header is one that browsers add and pages
// cannot take away. Node's own fetch, and with it the JavaScript client
// libraries, sends a Sec-Fetch-Mode of its own; a browser never sends that
// one without the others.
func fromBrowser(name string, values []string) bool {
	if name == "Sec-Fetch-Mode" {
		return len(values) != 1 || values[0] != "cors"
	}
	return name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-")
}

// forwarding reports whether the header is one that proxies add.
func forwarding(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		// Some servers behind a proxy read X_Forwarded_For as its twin.
		name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	switch name {
	case "Forwarded", "Forwarded-For", "Via", "Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip",
		"X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Remote-Ip", "X-Remote-Addr", "X-Proxyuser-Ip",
		"X-Azure-Clientip", "X-Azure-Socketip", "X-Envoy-External-Address", "X-Host", "X-Rewrite-Url":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded") || strings.HasPrefix(name, "X-Original-")
}
