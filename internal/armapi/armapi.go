// Package armapi is the resource manager's face on the wire: subscriptions,
// resource groups, managed identities with their federated identity
// credentials, the hosts that use them, and role assignments. It parses, calls
// package manage, which decides and writes, and renders. It is the only home of
// the resource manager's error codes.
package armapi

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/access"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/route"
)

// Config is what the surface needs. All but Audiences and Explain are required.
type Config struct {
	Manage *manage.Service
	// Authenticate verifies an access token whose audience must be one of the
	// given; its error is a *sts.BearerError.
	Authenticate func(bearer string, audiences []string) (*access.Caller, error)
	Cloud        *directory.Cloud
	// Audiences are accepted beside those of the cloud's own resource manager.
	Audiences []string
	// Endpoints are the platform's addresses, as the metadata states them.
	Endpoints Endpoints
	Log       *slog.Logger
	Now       func() time.Time
	// Explain adds what is missing, and the likely fix, to refusals: for platforms
	// whose callers are their administrators.
	Explain bool
}

// API serves the resource manager.
type API struct {
	manage       *manage.Service
	authenticate func(string, []string) (*access.Caller, error)
	cloud        *directory.Cloud
	audiences    []string
	endpoints    Endpoints
	log          *slog.Logger
	now          func() time.Time
	explain      bool
	pageKey      [32]byte // authenticates continuation tokens
}

// New makes the API.
func New(cfg Config) *API {
	a := &API{
		manage: cfg.Manage, authenticate: cfg.Authenticate, cloud: cfg.Cloud, endpoints: cfg.Endpoints.withDefaults(cfg.Cloud),
		log: cfg.Log, now: cfg.Now, explain: cfg.Explain,
	}
	a.audiences = append(audiencesOf(cfg.Cloud), cfg.Audiences...)
	_, _ = rand.Read(a.pageKey[:]) // never fails; see crypto/rand
	return a
}

// audiencesOf are the cloud's own: both addresses of the management API, each
// with and without its slash, and its client id.
func audiencesOf(c *directory.Cloud) []string {
	for _, fp := range c.FirstParties() {
		if fp.ClientID == directory.ManagementClientID {
			return append(slices.Clone(fp.URIs), fp.ClientID.String())
		}
	}
	return nil
}

// Limits of the routes. Sources: docs/limits.md.
const (
	maxBody     = 1 << 20
	requestTime = 30 * time.Second
	publicTime  = 5 * time.Second
)

// Route is one entry of the surface's table, for tests and documents.
type Route struct {
	Method, Path string
	// Action is what Azure RBAC must allow the caller at the resource; "" where
	// Public or Anyone is set.
	Action string
	Public bool // no token
	Anyone bool // every caller with a token of the tenant
}

// entry is a route with its handler.
type entry struct {
	Route
	handle func(*call) (*reply, error)
}

// Routes lists the table.
func (a *API) Routes() []Route {
	var all []Route
	for _, e := range a.table() {
		all = append(all, e.Route)
	}
	return all
}

// check refuses an entry that does not say who may call it.
func (e entry) check() error {
	stated := 0
	for _, is := range []bool{e.Action != "", e.Public, e.Anyone} {
		if is {
			stated++
		}
	}
	if stated != 1 || e.handle == nil {
		return fmt.Errorf("armapi: route %s %s does not say who may call it", e.Method, e.Path)
	}
	return nil
}

// Handler is the whole surface under the base, such as
// https://management.azure.com, which links in answers begin with. Requests come
// without the path of the base. A table with a gap in it is an error.
func (a *API) Handler(base string) (http.Handler, error) {
	var routes []route.Route
	for _, e := range a.table() {
		if err := e.check(); err != nil {
			return nil, err
		}
		r := route.Route{Method: e.Method, Path: e.Path, Auth: route.BearerToken, Timeout: requestTime, Handle: a.serve(e)}
		if e.Public {
			r.Auth, r.Timeout = route.Public, publicTime
		}
		if e.Method == http.MethodPut || e.Method == http.MethodPatch || e.Method == http.MethodPost {
			r.MaxBody = maxBody
		}
		routes = append(routes, r)
	}
	mux, err := route.New(route.Surface{
		Path:      func(r *http.Request) (string, bool) { return callOf(r).path, true },
		NotFound:  func(w http.ResponseWriter, r *http.Request) { c := callOf(r); c.answer(w, nil, c.notThere()) },
		BadMethod: badMethod,
		Fault:     func(w http.ResponseWriter, r *http.Request, err error) { callOf(r).answer(w, nil, err) },
	}, routes...)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.enter(w, r, base, mux) }), nil
}

func badMethod(w http.ResponseWriter, r *http.Request, allowed []string) {
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(slices.Compact(allowed), ", "))
	callOf(r).answer(w, nil, badVerb(r.Method))
}

// enter does what comes before routing: the path is read once, the caller is
// authenticated whatever the path is, and only then anything is told about it.
func (a *API) enter(w http.ResponseWriter, r *http.Request, base string, mux http.Handler) {
	// Step 1: Name the request and read its path.
	c := a.newCall(r, base)
	path, malformed := readPath(r.URL.EscapedPath())
	c.path, c.link = path.routed, path.link
	if strings.EqualFold(c.path, metadataPath) && malformed == nil {
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
		return
	}
	// Step 2: Authenticate.
	caller, no := a.bearer(r)
	if no != nil {
		c.answer(w, nil, no)
		return
	}
	c.tenant = caller.Tenant
	c.caller = manage.Caller{Actor: manage.ActorOf(caller), Correlation: c.correlation, Access: caller}
	// Step 3: Refuse what no route could answer.
	if malformed != nil {
		c.answer(w, nil, malformed)
		return
	}
	if no := c.readQuery(r.URL.RawQuery); no != nil {
		c.answer(w, nil, no)
		return
	}
	mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
}

// serve runs one entry's handler.
func (a *API) serve(e entry) route.Handler {
	return func(w http.ResponseWriter, r *http.Request, p route.Params) error {
		c := callOf(r)
		c.ctx, c.request, c.params, c.action = r.Context(), r, p, e.Action
		rep, err := e.handle(c)
		c.answer(w, rep, err)
		return nil
	}
}

const (
	subscriptionPath = "/subscriptions/{subscription}"
	groupPath        = subscriptionPath + "/resourceGroups/{group}"
	identityRoot     = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
	identityPath     = groupPath + identityRoot + "/{name}"
	credentialsPath  = identityPath + "/federatedIdentityCredentials"
	metadataPath     = "metadata/endpoints"
)

// table states every route, and the action that its caller needs there.
func (a *API) table() []entry {
	const (
		get, put, patch, del, post, head = http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodPost, http.MethodHead

		resources = "Microsoft.Resources/"
		groups    = "Microsoft.Resources/subscriptions/resourceGroups/"
		identity  = "Microsoft.ManagedIdentity/userAssignedIdentities/"
		roles     = "Microsoft.Authorization/"
	)
	may := func(method, path, action string, h func(*call) (*reply, error)) entry {
		return entry{Route{Method: method, Path: path, Action: action}, h}
	}
	anyone := func(method, path string, h func(*call) (*reply, error)) entry {
		return entry{Route{Method: method, Path: path, Anyone: true}, h}
	}
	all := []entry{
		{Route{Method: get, Path: "/" + metadataPath, Public: true}, metadata},

		anyone(get, "/tenants", tenants),
		anyone(get, "/subscriptions", subscriptions),
		anyone(get, "/providers/Microsoft.ManagedIdentity/operations", operations),
		may(get, subscriptionPath, resources+"subscriptions/read", subscription),
		may(get, subscriptionPath+"/locations", resources+"subscriptions/locations/read", locations),
		anyone(get, subscriptionPath+"/operationresults/{operation}", operationResult),
		may(get, subscriptionPath+"/providers", resources+"subscriptions/providers/read", providers),
		may(get, subscriptionPath+"/providers/{namespace}", resources+"subscriptions/providers/read", provider),
		may(post, subscriptionPath+"/providers/{namespace}/register", "{namespace}/register/action", register),
		may(get, subscriptionPath+"/resources", resources+"subscriptions/resources/read", listResources),

		may(get, subscriptionPath+"/resourceGroups", groups+"read", listGroups),
		may(get, groupPath, groups+"read", getGroup),
		may(head, groupPath, groups+"read", headGroup),
		may(put, groupPath, groups+"write", putGroup),
		may(patch, groupPath, groups+"write", patchGroup),
		may(del, groupPath, groups+"delete", deleteGroup),
		may(get, groupPath+"/resources", resources+"subscriptions/resources/read", listResources),

		may(get, subscriptionPath+identityRoot, identity+"read", listIdentities),
		may(get, groupPath+identityRoot, identity+"read", listIdentities),
		may(get, identityPath, identity+"read", getIdentity),
		may(put, identityPath, identity+"write", putIdentity),
		may(patch, identityPath, identity+"write", patchIdentity),
		may(del, identityPath, identity+"delete", deleteIdentity),
		may(post, identityPath+"/listAssociatedResources", identity+"listAssociatedResources/action", associatedResources),
		may(get, credentialsPath, identity+"federatedIdentityCredentials/read", listCredentials),
		may(get, credentialsPath+"/{credential}", identity+"federatedIdentityCredentials/read", getCredential),
		may(put, credentialsPath+"/{credential}", identity+"federatedIdentityCredentials/write", putCredential),
		may(del, credentialsPath+"/{credential}", identity+"federatedIdentityCredentials/delete", deleteCredential),
		may(get, "/{scope}/providers/Microsoft.ManagedIdentity/identities/default", "Microsoft.ManagedIdentity/identities/read", systemIdentity),

		may(get, groupPath+"/providers/Microsoft.Compute/virtualMachines/{name}/instanceView", "Microsoft.Compute/virtualMachines/instanceView/read", instanceView),
		may(get, groupPath+"/providers/Microsoft.Web/sites/{name}/config/web", "Microsoft.Web/sites/config/read", siteConfig),

		may(get, "/{scope}/providers/Microsoft.Authorization/roleAssignments", roles+"roleAssignments/read", listAssignments),
		may(get, "/{scope}/providers/Microsoft.Authorization/roleAssignments/{id}", roles+"roleAssignments/read", getAssignment),
		may(put, "/{scope}/providers/Microsoft.Authorization/roleAssignments/{id}", roles+"roleAssignments/write", putAssignment),
		may(del, "/{scope}/providers/Microsoft.Authorization/roleAssignments/{id}", roles+"roleAssignments/delete", deleteAssignment),
		may(get, "/{scope}/providers/Microsoft.Authorization/roleDefinitions", roles+"roleDefinitions/read", listDefinitions),
		may(get, "/{scope}/providers/Microsoft.Authorization/roleDefinitions/{id}", roles+"roleDefinitions/read", getDefinition),
	}
	for _, kind := range []directory.HostKind{directory.VirtualMachine, directory.WebApp} {
		of := "/providers/" + kind.ResourceType()
		all = append(all,
			may(get, subscriptionPath+of, kind.ResourceType()+"/read", listHosts(kind)),
			may(get, groupPath+of, kind.ResourceType()+"/read", listHosts(kind)),
			may(get, groupPath+of+"/{name}", kind.ResourceType()+"/read", getHost(kind)),
			may(put, groupPath+of+"/{name}", kind.ResourceType()+"/write", writeHost(kind, false)),
			may(patch, groupPath+of+"/{name}", kind.ResourceType()+"/write", writeHost(kind, true)),
			may(del, groupPath+of+"/{name}", kind.ResourceType()+"/delete", deleteHost(kind)),
		)
	}
	of := "/providers/" + planType
	return append(all,
		may(get, subscriptionPath+of, planType+"/read", listPlans),
		may(get, groupPath+of, planType+"/read", listPlans),
		may(get, groupPath+of+"/{name}", planType+"/read", getPlan),
		may(put, groupPath+of+"/{name}", planType+"/write", writePlan(false)),
		may(patch, groupPath+of+"/{name}", planType+"/write", writePlan(true)),
		may(del, groupPath+of+"/{name}", planType+"/delete", deletePlan),
	)
}
