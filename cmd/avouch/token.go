package main

import (
	"context"
	"fmt"
	"io"

	"github.com/avouch/avouch/internal/controlapi"
	"github.com/avouch/avouch/internal/workload"
	"github.com/spf13/cobra"
)

func tokenCommand(s streams) *cobra.Command {
	var dir, resource, scope string
	var decode, administrator bool
	var want controlapi.WorkloadRequest
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Get a token the way a workload would",
		Long: `Get a token the way a workload would: from the managed identity endpoint of a
host and, with --application, by exchanging it at the token endpoint. The same
requests go over the same wire as those of an SDK.

What is left out is chosen: the host by the identity, the identity by the
application's federated credentials, the tenant by the application.

With --administrator the token acts for the platform's operator, a user of the
tenant that is Global Administrator and Owner of the subscription. Whoever runs
the platform is its first administrator; nobody else can ask for this.`,
		Example: `  avouch token --identity msi-webapp1 --resource api://AzureADTokenExchange --decode
  avouch token --application orders --tenant fabrikam --scope https://storage.azure.com/.default
  avouch token --administrator --tenant contoso --resource https://graph.microsoft.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := workload.Target(resource, scope)
			if err != nil {
				return &usageError{err.Error()}
			}
			if administrator {
				if want.Application != "" || want.Identity != "" || want.Host != "" {
					return &usageError{"--administrator stands alone: no --application, --identity or --host beside it"}
				}
				answer, err := controlapi.NewClient(dir).Operator(cmd.Context(), controlapi.OperatorRequest{Tenant: want.Tenant, Resource: target})
				if err != nil {
					return err
				}
				return writeToken(s.out, answer.Token, decode)
			}
			if want.Application == "" && want.Identity == "" && want.Host == "" {
				return &usageError{"name an --application, an --identity or a --host, or --administrator"}
			}
			client := controlapi.NewClient(dir)
			status, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			found, err := client.Workload(cmd.Context(), want)
			if err != nil {
				return err
			}
			token, err := getToken(cmd.Context(), status, found, target)
			if err != nil {
				return err
			}
			return writeToken(s.out, token, decode)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&want.Identity, "identity", "", "managed identity: name, tenant/name or client id")
	cmd.Flags().StringVar(&want.Application, "application", "", "application: name, tenant/name or client id")
	cmd.Flags().StringVar(&want.Tenant, "tenant", "", "tenant to get the application's token in (default: its home)")
	cmd.Flags().StringVar(&want.Host, "host", "", "host to ask on: name or tenant/name")
	cmd.Flags().StringVar(&resource, "resource", "", "what the token is for, such as https://storage.azure.com")
	cmd.Flags().StringVar(&scope, "scope", "", "the same as a scope, such as https://storage.azure.com/.default")
	cmd.Flags().BoolVar(&administrator, "administrator", false, "a token of the tenant's administrator, for the management APIs")
	cmd.Flags().BoolVar(&decode, "decode", false, "show what the token says instead of the token")
	return cmd
}

func writeToken(w io.Writer, token string, decode bool) error {
	if decode {
		return writeDecoded(w, token)
	}
	_, err := fmt.Fprintln(w, token)
	return err
}

// getToken plays the workload.
func getToken(ctx context.Context, status *controlapi.Status, w *controlapi.Workload, resource string) (string, error) {
	player, err := workload.New(status.CA, status.URL, w.Environment)
	if err != nil {
		return "", err
	}
	if w.ClientID == "" {
		return player.IdentityToken(ctx, w.IdentityClientID, resource)
	}
	proof, err := player.IdentityToken(ctx, w.IdentityClientID, w.ExchangeAudience)
	if err != nil {
		return "", err
	}
	return player.Exchange(ctx, w.Tenant, w.ClientID, proof, resource+"/.default")
}

// writeDecoded shows a token's claims in the order they stand in.
func writeDecoded(w io.Writer, token string) error {
	shown, err := workload.Show(token)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "header\n  %-12s %s\n  %-12s %s\nclaims\n", "alg", shown.Algorithm, "kid", shown.KeyID)
	for _, line := range shown.Claims {
		fmt.Fprintf(w, "  %-12s %s\n", line.Name, line.Value)
	}
	return nil
}
