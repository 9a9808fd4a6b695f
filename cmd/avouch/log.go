package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/controlapi"
	"github.com/spf13/cobra"
)

func logCommand(s streams) *cobra.Command {
	var dir, only string
	var asJSON bool
	var request controlapi.LogRequest
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show sign-ins and changes",
		Long: `Show the platform's records, oldest first: sign-ins (every token that was
issued or refused) and changes to the directory. Tokens are named by their id
and the beginning of their hash, never shown.`,
		Example: `  avouch log --refused
  avouch log --only signins --client orders --since 1h --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if only != "" && only != "signins" && only != "changes" {
				return &usageError{fmt.Sprintf("unknown kind %q: there are signins and changes", only)}
			}
			if request.Limit < 1 || request.Limit > 1000 {
				return &usageError{fmt.Sprintf("--limit %d: between 1 and 1000 are allowed", request.Limit)}
			}
			if request.Since < 0 {
				return &usageError{fmt.Sprintf("--since %s: say how far back, without a sign", request.Since)}
			}
			response, err := controlapi.NewClient(dir).Log(cmd.Context(), request)
			if err != nil {
				return err
			}
			if only == "signins" {
				response.Changes = nil
			}
			if only == "changes" {
				response.SignIns = nil
			}
			if len(response.SignIns)+len(response.Changes) == 0 {
				fmt.Fprintln(s.err, "There are no such records.")
			}
			return writeLog(s.out, response, asJSON)
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&only, "only", "", "signins or changes")
	cmd.Flags().StringVar(&request.Tenant, "tenant", "", "records of this tenant: name, domain or id")
	cmd.Flags().StringVar(&request.Client, "client", "", "sign-ins of this application or identity: name or client id")
	cmd.Flags().BoolVar(&request.Refused, "refused", false, "refusals only")
	cmd.Flags().DurationVar(&request.Since, "since", 0, "how far back, such as 30m")
	cmd.Flags().IntVarP(&request.Limit, "limit", "n", 100, "how many records of each kind, at most 1000")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// logLine is one record of either kind.
type logLine struct {
	time   time.Time
	signIn *audit.SignIn
	change *audit.Change
}

func writeLog(w io.Writer, response *controlapi.LogResponse, asJSON bool) error {
	var lines []logLine
	for i := range response.SignIns {
		lines = append(lines, logLine{time: response.SignIns[i].Time, signIn: &response.SignIns[i]})
	}
	for i := range response.Changes {
		lines = append(lines, logLine{time: response.Changes[i].Time, change: &response.Changes[i]})
	}
	// The newest came first; records of one moment keep their order.
	slices.Reverse(lines)
	sort.SliceStable(lines, func(i, j int) bool { return lines[i].time.Before(lines[j].time) })
	if asJSON {
		encoder := json.NewEncoder(w)
		for _, line := range lines {
			record := any(line.change)
			kind := "change"
			if line.signIn != nil {
				record, kind = line.signIn, "signIn"
			}
			if err := encoder.Encode(map[string]any{"type": kind, "record": record}); err != nil {
				return err
			}
		}
		return nil
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	for _, line := range lines {
		var cells []string
		if line.signIn != nil {
			cells = signInCells(line.signIn)
		} else {
			cells = changeCells(line.change)
		}
		fmt.Fprintf(table, "%s\t%s\n", line.time.Local().Format("2006-01-02 15:04:05"), strings.Join(cells, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func signInCells(r *audit.SignIn) []string {
	outcome := "issued"
	note := ""
	switch r.Outcome {
	case audit.Refused:
		outcome = "refused"
		note = r.Reason
		if r.Code != 0 {
			note = "AADSTS" + strconv.Itoa(r.Code) + " " + note
		}
		if r.Detail != "" {
			note += ": " + r.Detail
		}
		if r.Repeats > 0 {
			note += fmt.Sprintf(" (and %d more like it)", r.Repeats)
		}
	case audit.Failed:
		outcome = "failed"
	case audit.Succeeded:
		note = "token " + string(r.Token)
		if r.Credential != "" {
			note += ", through " + r.Credential
		}
	}
	what := "application"
	if r.Kind == audit.IdentitySignIn {
		what = "identity"
		if r.Host != "" {
			note = "on " + r.Host + ", " + note
		}
	}
	resource := r.Resource
	if resource == "" {
		resource = "-"
	}
	return []string{outcome, what, orDash(r.TenantName), orDash(r.ClientName), resource, oneLine(note)}
}

func changeCells(r *audit.Change) []string {
	outcome := "changed"
	if r.Outcome != audit.Succeeded {
		outcome = string(r.Outcome)
	}
	return []string{outcome, r.Action + " " + r.Target.Kind, orDash(r.Target.Name), "by " + orDash(r.Actor.Name), "", oneLine(r.Detail)}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return oneLine(s)
}

// oneLine keeps values offered by strangers from breaking the table.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}
