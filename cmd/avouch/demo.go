package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/avouch/avouch/internal/controlapi"
	"github.com/avouch/avouch/internal/demo"
	"github.com/avouch/avouch/internal/demo/resource"
	"github.com/spf13/cobra"
)

func demoCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole flow once and tell it as a story",
		Long: `Run the whole flow once, on a platform of its own that is gone afterwards: get a
managed identity's token, exchange it in two tenants, call a protected resource,
and see a refusal explained.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return demo.Run(cmd.Context(), s.out) },
	}
	cmd.AddCommand(demoResourceCommand(s))
	return cmd
}

// demoResourceCommand runs the demo's protected resource on its own, against a
// running platform, for trying SDKs out.
func demoResourceCommand(s streams) *cobra.Command {
	var dir, listen, role string
	var audiences []string
	cmd := &cobra.Command{
		Use:   "resource",
		Short: "Run the demo's protected resource beside a running platform",
		Long: `Run the demo's protected resource beside a running platform. It verifies access
tokens as any resource server must: keys from discovery, issuer, audience, times
and app role.`,
		Example: `  avouch demo resource --audience api://reports --role Reports.Read`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := controlapi.NewClient(dir)
			status, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			certificate, err := client.Certificate(cmd.Context(), controlapi.CertificateRequest{Names: []string{"localhost", "127.0.0.1"}})
			if err != nil {
				return err
			}
			pem, err := os.ReadFile(status.CA)
			if err != nil {
				return err
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(pem)
			guard, err := resource.New(resource.Config{
				Authority: status.URL,
				Client:    &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}},
				Tenants:   status.Tenants, Audiences: audiences, Role: role,
				Log: slog.New(slog.NewTextHandler(s.err, nil)),
			})
			if err != nil {
				return err
			}
			url, stop, err := demo.ServeResource(guard, listen, []byte(certificate.Chain), []byte(certificate.Key))
			if err != nil {
				return err
			}
			defer stop()
			line, err := json.Marshal(map[string]string{"url": url})
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(s.out, "READY %s\n", line); err != nil {
				return err
			}
			<-cmd.Context().Done()
			return nil
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8444", "HTTPS address; port 0 picks a free port")
	cmd.Flags().StringArrayVar(&audiences, "audience", []string{demo.Audience}, "accepted audience; may be repeated")
	cmd.Flags().StringVar(&role, "role", demo.Role, "app role that callers need")
	return cmd
}
