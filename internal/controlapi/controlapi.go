// Package controlapi is how the command line drives a running platform: HTTP
// over a Unix socket in the data directory. The socket can be opened by the
// platform's own user only; there is no other way to administer it.
package controlapi

import (
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/platform"
	"github.com/avouch/avouch/internal/trust"
)

// socketFile is the socket's name in the data directory.
const socketFile = "control.sock"

// Status says where things are.
type Status struct {
	URL      string   `json:"url"`
	Identity string   `json:"identity"`
	Dir      string   `json:"dir"`
	CA       string   `json:"ca"`
	Cloud    string   `json:"cloud"`
	Engine   string   `json:"engine"`
	Tenants  []string `json:"tenants"` // ids
}

// ApplyRequest carries the declarative files as the caller read them.
type ApplyRequest struct {
	Files  []File `json:"files"`
	DryRun bool   `json:"dryRun,omitempty"`
	Colour bool   `json:"colour,omitempty"`
}

// File is one declarative file.
type File struct {
	Name string `json:"name"` // for messages
	Text string `json:"text"`
}

// ApplyResponse is the plan that was carried out, or would be.
type ApplyResponse struct {
	Diff  string       `json:"diff"`
	Empty bool         `json:"empty"`
	Plan  *manage.Plan `json:"plan"`
}

// EnvironmentRequest names a host; none leaves the identity endpoint out.
type EnvironmentRequest struct {
	Host string `json:"host,omitempty"`
}

// EnvironmentResponse is what a process on the host finds in its environment.
type EnvironmentResponse struct {
	Variables []platform.Variable `json:"variables"`
}

// Workload is one way to get a token: which host to ask as, for which
// identity, and for which application in which tenant.
type Workload struct {
	Host             string              `json:"host"`
	Tenant           string              `json:"tenant"` // the tenant to ask for a token in, by id
	Application      string              `json:"application,omitempty"`
	ClientID         string              `json:"clientId,omitempty"`
	Identity         string              `json:"identity,omitempty"`
	IdentityClientID string              `json:"identityClientId,omitempty"`
	Environment      []platform.Variable `json:"environment"`
	ExchangeAudience string              `json:"exchangeAudience"`
}

// OperatorRequest asks for an administrator's token. Tenant may be empty where
// there is one tenant.
type OperatorRequest struct {
	Tenant   string `json:"tenant,omitempty"`
	Resource string `json:"resource"`
}

// OperatorResponse is the token and whom it acts for.
type OperatorResponse struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
	Tenant  string    `json:"tenant"`
	User    string    `json:"user"`
}

// WorkloadRequest names what is wanted; empty fields are chosen.
type WorkloadRequest struct {
	Host        string `json:"host,omitempty"`
	Identity    string `json:"identity,omitempty"`
	Application string `json:"application,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
}

// ExplainRequest asks what the exchange would answer.
type ExplainRequest struct {
	Assertion   string `json:"assertion"`
	Application string `json:"application"`
	Tenant      string `json:"tenant,omitempty"`   // default: the application's home
	Resource    string `json:"resource,omitempty"` // default: storage
}

// ExplainResponse is the answer, field by field.
type ExplainResponse struct {
	Issued      bool               `json:"issued"` // the exchange would issue a token
	Code        int                `json:"code,omitempty"`
	Error       string             `json:"error,omitempty"`
	Text        string             `json:"text,omitempty"`
	Reason      string             `json:"reason,omitempty"`
	Mend        string             `json:"mend,omitempty"`
	Verified    bool               `json:"verified"` // signature and times are good
	Claims      []Claim            `json:"claims,omitempty"`
	Comparisons []trust.Comparison `json:"comparisons,omitempty"`
	Credential  string             `json:"credential,omitempty"` // the one that matched
	Application string             `json:"application"`
	ClientID    string             `json:"clientId"`
	Tenant      string             `json:"tenant"`
	Resource    string             `json:"resource"`
}

// Claim is one member of the assertion, in order.
type Claim struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// LogRequest selects records.
type LogRequest struct {
	Tenant  string        `json:"tenant,omitempty"`
	Client  string        `json:"client,omitempty"`
	Refused bool          `json:"refused,omitempty"`
	Since   time.Duration `json:"since,omitempty"` // back from now
	Limit   int           `json:"limit,omitempty"`
}

// LogResponse holds both kinds of record, newest first.
type LogResponse struct {
	SignIns []audit.SignIn `json:"signIns"`
	Changes []audit.Change `json:"changes"`
}

// CertificateRequest asks for a server certificate.
type CertificateRequest struct {
	Names []string `json:"names"`
}

// CertificateResponse is PEM text.
type CertificateResponse struct {
	Chain string `json:"chain"`
	Key   string `json:"key"`
}

// errorBody is every failure's shape.
type errorBody struct {
	Message string `json:"message"`
}
