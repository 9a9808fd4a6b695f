package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/avouch/avouch/internal/config"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// checkArguments makes every wrong argument of the command and of those below
// it a usage error that names the likely fix.
func checkArguments(cmd *cobra.Command) {
	check := cmd.Args
	switch {
	case cmd.Name() == "help":
		cmd.RunE = help
	case !cmd.Runnable():
		// A mere group of commands would answer any word with its help.
		check = cobra.NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return wrongArguments(cmd, args)
			}
			return nil
		}
	}
	for _, below := range cmd.Commands() {
		checkArguments(below)
	}
}

func wrongArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return &usageError{fmt.Sprintf("an argument is missing: %s", cmd.UseLine())}
	case cmd.HasAvailableSubCommands():
		return unknownCommand(cmd, args[0])
	}
	text := fmt.Sprintf("%q is one argument too many for '%s'.", args[len(args)-1], cmd.CommandPath())
	if cmd.Flags().ShorthandLookup("f") != nil {
		text += " Did you mean -f " + args[len(args)-1] + "?"
	}
	return &usageError{text}
}

func unknownCommand(parent *cobra.Command, word string) error {
	var known []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			known = append(known, c.Name())
		}
	}
	text := fmt.Sprintf("unknown command %q for '%s'.", word, parent.CommandPath())
	if likely := config.DidYouMean(word, known); likely != "" {
		return &usageError{text + likely}
	}
	return &usageError{text + " There are " + strings.Join(known, ", ") + "."}
}

// wrongFlag adds the likely fix to what the flag parser says.
func wrongFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return &usageError{err.Error()}
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	return &usageError{err.Error() + "." + config.DidYouMean("--"+unknown.GetSpecifiedName(), known)}
}

// help shows the help of the command that its arguments name.
func help(cmd *cobra.Command, args []string) error {
	found, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		if found == nil {
			found = cmd.Root()
		}
		word := args[0]
		if len(rest) > 0 {
			word = rest[0]
		}
		return unknownCommand(found, word)
	}
	found.InitDefaultHelpFlag()
	return found.Help()
}
