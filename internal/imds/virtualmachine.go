package imds

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/route"
	"github.com/avouch/avouch/internal/sts"
)

// The paths of the virtual machine dialect. Nothing else of a metadata service
// is here, and what is not here is 404 whatever the headers: clients take any
// other answer for a sign that it exists.
const (
	vmToken    = "/metadata/identity/oauth2/token"
	vmInfo     = "/metadata/identity/info"
	vmVersions = "/metadata/versions"
)

// vmOldest is the first version of the identity endpoints; any later date is
// answered alike.
const vmOldest = "2018-02-01"

const (
	tokenTime = 15 * time.Second
	quickTime = 5 * time.Second
)

var virtualMachineDialect = &dialect{
	soleUser: true,
	// One client reads this header to tell a metadata service from a proxy.
	server:  []string{"IMDS/1.0 (Avouch)"},
	success: appendVMToken,
	failure: appendVMFailure,
}

// VirtualMachine is the metadata service of one host: whoever reaches it is a
// workload of that host. The host names are the Host header values it answers
// to, with the port where it is not 80; there must be one.
func (s *Service) VirtualMachine(t directory.TenantID, host directory.ObjectID, hostNames ...string) (http.Handler, error) {
	if t.IsZero() || host.IsZero() {
		return nil, fmt.Errorf("imds: the virtual machine dialect needs a tenant and a host")
	}
	g, err := newGuard(hostNames)
	if err != nil {
		return nil, err
	}
	vm := &virtualMachine{Service: s, guard: g, who: caller{t, host}}
	get := func(path string, limit time.Duration, handle route.Handler) route.Route {
		return route.Route{Method: http.MethodGet, Path: path, Auth: route.HostAddress, Timeout: limit, Handle: handle}
	}
	mux, err := route.New(s.surface(virtualMachineDialect),
		get(vmToken, tokenTime, vm.token),
		get(vmInfo, quickTime, vm.info),
		get(vmVersions, quickTime, vm.versions),
	)
	if err != nil {
		return nil, err
	}
	return mux, nil
}

// virtualMachine is the metadata service of one host.
type virtualMachine struct {
	*Service
	guard *guard
	who   caller
}

func (vm *virtualMachine) token(w http.ResponseWriter, r *http.Request, _ route.Params) error {
	if !vm.admit(w, r) {
		return nil
	}
	q, no := vmQuery(r)
	if no == nil && q.value[legacyClientID] != "" {
		no = badRequest("The client id is named 'client_id' here, not 'clientid'.")
	}
	if no != nil {
		vm.refuseEarly(w, r, virtualMachineDialect, vm.who, reasonRequest, no)
		return nil
	}
	vm.Service.token(w, r, virtualMachineDialect, vm.who, &q)
	return nil
}

// info tells the tenant that the host's identities belong to.
func (vm *virtualMachine) info(w http.ResponseWriter, r *http.Request, _ route.Params) error {
	if !vm.admit(w, r) {
		return nil
	}
	if _, no := vmQuery(r); no != nil {
		vm.fail(w, r, virtualMachineDialect, vm.event(r), no)
		return nil
	}
	vm.write(w, virtualMachineDialect, http.StatusOK, append(appendMember(nil, `{"tenantId":`, vm.who.tenant.String()), '}'))
	return nil
}

func (vm *virtualMachine) versions(w http.ResponseWriter, r *http.Request, _ route.Params) error {
	if !vm.admit(w, r) {
		return nil
	}
	vm.write(w, virtualMachineDialect, http.StatusOK, []byte(`{"apiVersions":["2018-02-01","2019-11-01","2021-02-01","2023-07-01"]}`))
	return nil
}

// admit answers whatever no workload would send, and reports whether the
// request is still to be answered.
func (vm *virtualMachine) admit(w http.ResponseWriter, r *http.Request) bool {
	if no := vm.guard.check(r); no != nil {
		vm.repel(w, r, virtualMachineDialect, no)
		return false
	}
	if !hasMetadataHeader(r) {
		// This is how clients find out whether there is a metadata service:
		// nothing to record or to warn about.
		vm.fail(w, r, virtualMachineDialect, vm.event(r), badRequest("Required metadata header not specified: send 'Metadata: true', once."))
		return false
	}
	return true
}

// vmQuery reads the query of the routes that have versions.
func vmQuery(r *http.Request) (query, *failure) {
	q, wrong := parseQuery(r.URL.RawQuery)
	if wrong != "" {
		return q, badRequest("The request is malformed: " + wrong + ".")
	}
	version := q.value[apiVersion]
	if version == vmOldest || isDate(version) && version > vmOldest {
		return q, nil
	}
	text := "Bad request. The parameter 'api-version' is missing."
	if version != "" {
		text = "Bad request. The api-version '" + printable(version) + "' is not supported."
	}
	return q, &failure{status: http.StatusBadRequest, text: text, versions: true}
}

// hasMetadataHeader reports whether the request shows that its sender chose
// the headers itself, which one that was tricked into fetching a URL cannot.
func hasMetadataHeader(r *http.Request) bool {
	values := r.Header["Metadata"]
	return len(values) == 1 && strings.EqualFold(values[0], "true")
}

// isDate reports whether s is a calendar date of the form 2018-02-01; such
// dates order as strings.
func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil && len(s) == len(time.DateOnly)
}

func appendVMToken(b []byte, q *query, r *sts.IdentityResponse) []byte {
	left := secondsLeft(r)
	b = appendToken(b, r)
	b = appendNumber(b, `,"expires_in":`, left)
	b = appendNumber(b, `,"expires_on":`, r.Expires.Unix())
	b = appendNumber(b, `,"ext_expires_in":`, left)
	b = appendNumber(b, `,"not_before":`, r.NotBefore.Unix())
	if id := q.value[objectID]; id != "" {
		b = appendMember(b, `,"object_id":`, id)
	}
	if id := q.value[resourceID]; id != "" {
		b = appendMember(b, `,"msi_res_id":`, id)
	}
	b = appendMember(b, `,"resource":`, q.value[resource])
	return append(b, `,"token_type":"Bearer"}`...)
}

func appendVMFailure(b []byte, f *failure, _ string) []byte {
	if f.versions {
		b = appendMember(b, `{"error":`, f.text)
		return append(b, `,"newest-versions":["2023-07-01","2021-02-01","2019-11-01"]}`...)
	}
	b = appendMember(b, `{"error":`, f.oauth)
	b = appendMember(b, `,"error_description":`, f.text)
	return append(b, '}')
}
