// Command avouch is an identity platform for workloads without secrets: the
// platform itself, and the commands that drive a running one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// streams are the standard streams, so that tests can give others.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run executes one command line and returns the exit status: 0 for done, 1 for
// a refusal or a failure, 2 for a wrong command line.
func run(ctx context.Context, args []string, s streams) int {
	root := rootCommand(s)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var usage *usageError
	var quiet *quietError
	switch {
	case errors.As(err, &quiet):
		return 1
	case errors.As(err, &usage):
		if cmd.Name() == "help" {
			cmd = cmd.Root()
		}
		fmt.Fprintf(s.err, "avouch: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
		return 2
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(s.err, "avouch: interrupted")
		return 1
	}
	fmt.Fprintf(s.err, "avouch: %s\n", indent(err.Error()))
	return 1
}

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// quietError ends a command whose output has already said what is wrong.
type quietError struct{}

func (*quietError) Error() string { return "failed" }

// indent sets the further lines of a message apart from the program's name.
func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }

func rootCommand(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "avouch",
		Short: "Identity platform for workloads without secrets",
		Long: `Avouch is a self-hosted identity platform for workloads without secrets,
wire-compatible with Microsoft Entra. A workload asks its host for a managed
identity token and exchanges it, as a federated identity credential, for the
access token of an application.

Start one on this machine with 'avouch dev', see it all happen with
'avouch demo'. The other commands talk to a running platform through a socket
in its data directory that only the same user can open.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(wrongFlag)
	root.AddCommand(
		devCommand(s), applyCommand(s), envCommand(s), tokenCommand(s), explainCommand(s),
		logCommand(s), certCommand(s), demoCommand(s), versionCommand(s),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	checkArguments(root)
	return root
}

// dirFlag adds --dir, which names the data directory of the platform.
func dirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", defaultDir(), "data directory of the platform (also AVOUCH_DIR)")
	_ = cmd.MarkFlagDirname("dir")
}

// defaultDir is where the platform of this user lives unless told otherwise.
func defaultDir() string {
	if dir := os.Getenv("AVOUCH_DIR"); dir != "" {
		return dir
	}
	if state := os.Getenv("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, "avouch")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), fmt.Sprintf("avouch-%d", os.Getuid()))
	}
	return filepath.Join(home, ".local", "state", "avouch")
}

// colour reports whether output to w may carry colours: a terminal, and no
// wish against it (https://no-color.org).
func colour(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && isTerminal(w)
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
