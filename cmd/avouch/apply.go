package main

import (
	"encoding/json"
	"fmt"

	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/controlapi"
	"github.com/spf13/cobra"
)

func applyCommand(s streams) *cobra.Command {
	var dir string
	var paths []string
	var dryRun, asJSON bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make the directory match a file",
		Long: `Make the directory of a running platform match declarative YAML files, all or
nothing. Applying the same files again changes nothing.

For each tenant that a file names, every list that the file states is made to
match exactly: what is not listed is deleted. A list or a field that the file
leaves out is left as it is, and tenants that no file names are not touched.`,
		Example: `  avouch apply -f directory.yaml --dry-run
  avouch apply -f directory.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(paths) == 0 {
				return &usageError{"name at least one file with -f"}
			}
			request := controlapi.ApplyRequest{DryRun: dryRun, Colour: colour(s.out)}
			for _, path := range paths {
				name, data, err := readInput(s, path)
				if err != nil {
					return err
				}
				// Checked here too, so that mistakes are told without a platform.
				if _, err := config.ParseDirectory(name, data); err != nil {
					return err
				}
				request.Files = append(request.Files, controlapi.File{Name: name, Text: string(data)})
			}
			response, err := controlapi.NewClient(dir).Apply(cmd.Context(), request)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(s.out)
				encoder.SetIndent("", "  ")
				return encoder.Encode(response.Plan)
			}
			_, err = fmt.Fprint(s.out, response.Diff)
			return err
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringArrayVarP(&paths, "file", "f", nil, "declarative file; - is standard input; may be repeated")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change, change nothing")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	return cmd
}
