package platform

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/avouch/avouch/internal/directory"
)

// Variable is one line of a workload's environment. A zero Value with Unset
// true removes the variable.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	Unset bool   `json:"unset,omitempty"`
	Why   string `json:"why"`
}

// hostExists reports whether the host is still in the directory.
func (p *Platform) hostExists(ctx context.Context, key hostKey) (bool, error) {
	_, err := p.directory.Host(ctx, key.tenant, key.host)
	if errors.Is(err, directory.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Environment is what a process on the host finds in its environment: the
// authority, the host's managed identity endpoint, and trust in the private
// authority beside the system's own roots. A nil host leaves the endpoint out.
func (p *Platform) Environment(h *directory.Host) ([]Variable, error) {
	bundle := filepath.Join(p.dir, bundleFile)
	vars := []Variable{
		{Name: "AZURE_AUTHORITY_HOST", Value: p.url, Why: "the token service"},
		{Name: "AVOUCH_GRAPH", Value: p.Endpoints().Graph, Why: "Microsoft Graph: v1.0 and beta below it; also the audience of its tokens"},
		{Name: "AVOUCH_RESOURCE_MANAGER", Value: p.Endpoints().ResourceManager, Why: "the resource manager; az cloud register wants it"},
		{Name: "ARM_METADATA_HOSTNAME", Value: strings.TrimPrefix(p.url, "https://"), Why: "where Terraform's providers ask for all endpoints"},
		{Name: "AZURE_CORE_INSTANCE_DISCOVERY", Value: "false", Why: "az would ask the public cloud whether it knows this one"},
		{Name: "SSL_CERT_FILE", Value: bundle, Why: "roots for Go, .NET on Linux and OpenSSL: the system's and the private one"},
		{Name: "REQUESTS_CA_BUNDLE", Value: bundle, Why: "the same for Python"},
		{Name: "CURL_CA_BUNDLE", Value: bundle, Why: "the same for curl"},
		{Name: "NODE_EXTRA_CA_CERTS", Value: p.CAFile(), Why: "the private root for Node, beside its own"},
		{
			Name:  "JAVA_TOOL_OPTIONS",
			Value: "-Djavax.net.ssl.trustStore=" + filepath.Join(p.dir, javaFile) + " -Djavax.net.ssl.trustStorePassword=" + javaPassword,
			Why:   "roots for Java",
		},
	}
	if h == nil {
		return vars, nil
	}
	unset := func(names ...string) {
		for _, name := range names {
			vars = append(vars, Variable{Name: name, Unset: true, Why: "would point SDKs at another kind of host"})
		}
	}
	switch h.Kind {
	case directory.WebApp:
		vars = append(vars,
			Variable{Name: "IDENTITY_ENDPOINT", Value: p.IdentityURL(), Why: "the managed identity endpoint of web app " + h.Name},
			Variable{Name: "IDENTITY_HEADER", Value: p.endpoints.secrets.Of(h.Tenant, h.ID).Reveal(), Why: "says which web app is calling; new at every start"},
		)
		unset("AZURE_POD_IDENTITY_AUTHORITY_HOST", "MSI_ENDPOINT", "MSI_SECRET", "IMDS_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT")
	case directory.VirtualMachine:
		address, err := p.endpoints.machineAddress(h)
		if err != nil {
			return nil, err
		}
		vars = append(vars, Variable{
			Name: "AZURE_POD_IDENTITY_AUTHORITY_HOST", Value: "http://" + address,
			Why: "the metadata service of virtual machine " + h.Name + " (the Go SDK does not read this: use a web app host for it)",
		})
		unset("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET", "IMDS_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT")
	default:
		return nil, fmt.Errorf("host %s is of kind %q, which has no endpoint", h.Name, h.Kind)
	}
	return vars, nil
}
