package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/avouch/avouch/internal/controlapi"
	"github.com/spf13/cobra"
)

func explainCommand(s streams) *cobra.Command {
	var dir string
	var asJSON bool
	var request controlapi.ExplainRequest
	cmd := &cobra.Command{
		Use:   "explain [FILE]",
		Short: "Explain what the exchange would answer to an assertion",
		Long: `Explain, field by field, whether an assertion speaks for an application: what
matches and what does not, the code that the exchange would answer, and the
edit that mends it. The assertion is read from FILE or standard input; nothing
is issued and nothing is recorded.`,
		Example: `  avouch token --identity msi-webapp1 --resource api://AzureADTokenExchange |
    avouch explain --application orders --tenant fabrikam`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if request.Application == "" {
				return &usageError{"name the --application"}
			}
			path := "-"
			if len(args) == 1 {
				path = args[0]
			}
			if path == "-" && isTerminal(s.in) {
				fmt.Fprintln(s.err, "Paste the assertion, then press Enter and Ctrl-D.")
			}
			_, data, err := readInput(s, path)
			if err != nil {
				return err
			}
			request.Assertion = strings.TrimSpace(string(data))
			if request.Assertion == "" {
				return &usageError{"the assertion is empty: name a file that holds it, or give it on standard input"}
			}
			response, err := controlapi.NewClient(dir).Explain(cmd.Context(), request)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(s.out)
				encoder.SetIndent("", "  ")
				err = encoder.Encode(response)
			} else {
				err = writeExplanation(s.out, response)
			}
			if err == nil && !response.Issued {
				return &quietError{}
			}
			return err
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&request.Application, "application", "", "application: name, tenant/name or client id")
	cmd.Flags().StringVar(&request.Tenant, "tenant", "", "tenant of the exchange (default: the application's home)")
	cmd.Flags().StringVar(&request.Resource, "resource", "", "what the token would be for (default: storage)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func writeExplanation(w io.Writer, r *controlapi.ExplainResponse) error {
	var b strings.Builder
	fmt.Fprintf(&b, "application  %s (%s)\ntenant       %s\nresource     %s\n", r.Application, r.ClientID, r.Tenant, r.Resource)
	verified := "yes"
	if !r.Verified {
		verified = "no; what follows is unproven"
	}
	fmt.Fprintf(&b, "verified     %s\n", verified)
	last := ""
	for _, c := range r.Comparisons {
		if c.Credential != last {
			note := ""
			if c.Credential == r.Credential {
				note = "  <- matches"
			}
			fmt.Fprintf(&b, "\ncredential %s%s\n", oneLine(c.Credential), note)
			last = c.Credential
		}
		if c.Same {
			fmt.Fprintf(&b, "  ok   %-10s %s\n", c.Field, oneLine(c.Stored))
			continue
		}
		fmt.Fprintf(&b, "  no   %-10s stored   %q\n       %-10s offered  %q\n", c.Field, c.Stored, "", c.Offered)
		if c.Difference != "" {
			fmt.Fprintf(&b, "       %-10s why      %s\n", "", oneLine(c.Difference))
		}
		if c.Mend != "" {
			fmt.Fprintf(&b, "       %-10s mend     %s\n", "", oneLine(c.Mend))
		}
	}
	if r.Issued {
		fmt.Fprintf(&b, "\nThe exchange would issue a token.\n")
	} else {
		fmt.Fprintf(&b, "\nThe exchange would refuse: %s, AADSTS%d (%s)\n  %s\n", r.Error, r.Code, r.Reason, oneLine(r.Text))
		if r.Mend != "" && !strings.Contains(r.Text, r.Mend) {
			fmt.Fprintf(&b, "To mend it: %s\n", oneLine(r.Mend))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
