package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/avouch/avouch/internal/controlapi"
	"github.com/avouch/avouch/internal/platform"
	"github.com/spf13/cobra"
)

var formats = []string{"sh", "json", "dotenv"}

func envCommand(s streams) *cobra.Command {
	var dir, host, format string
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the environment of a workload on a host",
		Long: `Print shell exports that let unmodified SDKs of every language run as a
workload on a host of the running platform: the authority, the host's managed
identity endpoint, and trust in the private certificate authority beside the
system's own roots. Without --host the identity endpoint is left out.`,
		Example: `  eval "$(avouch env --host web-app)"
  avouch env --host web-vm --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(formats, format) {
				return &usageError{fmt.Sprintf("unknown format %q: there are sh, json and dotenv", format)}
			}
			w, err := controlapi.NewClient(dir).Environment(cmd.Context(), host)
			if err != nil {
				return err
			}
			return writeEnvironment(s.out, w, format)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&host, "host", "", "host to be a workload on: its name, or tenant/name")
	cmd.Flags().StringVar(&format, "format", "sh", "sh, json or dotenv")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func writeEnvironment(w io.Writer, vars []platform.Variable, format string) error {
	switch format {
	case "sh":
		for _, v := range vars {
			line := fmt.Sprintf("export %s=%s", v.Name, shellQuote(v.Value))
			if v.Unset {
				line = "unset " + v.Name
			}
			if _, err := fmt.Fprintf(w, "%s # %s\n", line, v.Why); err != nil {
				return err
			}
		}
		return nil
	case "dotenv":
		for _, v := range vars {
			if !v.Unset {
				if _, err := fmt.Fprintf(w, "%s=%s\n", v.Name, dotenvQuote(v.Value)); err != nil {
					return err
				}
			}
		}
		return nil
	case "json":
		set := make(map[string]string)
		for _, v := range vars {
			if !v.Unset {
				set[v.Name] = v.Value
			}
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(set)
	}
	return fmt.Errorf("unknown format %q", format)
}

// shellQuote makes a value one word of any POSIX shell.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// dotenvQuote quotes a value only where it must be: the readers of such files
// agree on plain values, and less on quoted ones.
func dotenvQuote(s string) string {
	if !strings.ContainsAny(s, "#'\"\\`$\t\n") {
		return s
	}
	if !strings.Contains(s, "'") {
		return "'" + s + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`).Replace(s) + `"`
}
