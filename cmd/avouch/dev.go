package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/controlapi"
	"github.com/avouch/avouch/internal/manage"
	"github.com/avouch/avouch/internal/platform"
	"github.com/spf13/cobra"
)

var (
	clouds  = []string{"global", "usgov", "china"}
	engines = []string{"auto", "openssl", "go"}
)

func devCommand(s streams) *cobra.Command {
	var cfg platform.Config
	var dir string
	var apply []string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run the platform on this machine",
		Long: `Run the platform on this machine, for developing and testing what will run on
Entra: HTTPS with a private certificate authority, an embedded store, and
managed identity endpoints on loopback.

State and signing keys live in the data directory and survive a restart. The
private authority's certificate is written there as ca.pem; 'avouch env' makes
SDKs trust it. SIGINT and SIGTERM end the platform.`,
		Example: `  avouch dev --apply directory.yaml
  avouch dev --dir /tmp/avouch --listen 127.0.0.1:0 --identity-listen 127.0.0.1:0`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Cloud != "" && !slices.Contains(clouds, cfg.Cloud) {
				return &usageError{fmt.Sprintf("unknown cloud %q: there are global, usgov and china.%s", cfg.Cloud, config.DidYouMean(cfg.Cloud, clouds))}
			}
			if !slices.Contains(engines, cfg.Engine) {
				return &usageError{fmt.Sprintf("unknown signing engine %q: there are auto, openssl and go", cfg.Engine)}
			}
			cfg.Dir = dir
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			cfg.Log = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: level}))
			err := runDev(cmd, s, cfg, apply)
			if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
				return nil // asked to end before it was ready
			}
			return err
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&cfg.Listen, "listen", platform.DefaultListen, "HTTPS address; port 0 picks a free port")
	cmd.Flags().StringVar(&cfg.IdentityListen, "identity-listen", platform.DefaultIdentityListen, "address of the managed identity endpoints, loopback or link-local; port 0 picks a free port")
	cmd.Flags().StringVar(&cfg.Cloud, "cloud", "", "global, usgov or china; fixed when the data directory is made (default global)")
	cmd.Flags().StringArrayVar(&apply, "apply", nil, "apply this directory file at start; may be repeated")
	cmd.Flags().StringVar(&cfg.Engine, "engine", "auto", "signing engine: auto, openssl or go")
	cmd.Flags().BoolVar(&cfg.AllowClimbing, "allow-climbing", false, "let callers of Microsoft Graph add credentials to applications that hold rights which they could not grant, as Entra does")
	cmd.Flags().BoolVar(&cfg.Throttle, "throttle", false, "throttle the identity endpoints like the real metadata service: 20 a second, 5 at once")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log every detail")
	_ = cmd.RegisterFlagCompletionFunc("cloud", cobra.FixedCompletions(clouds, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("engine", cobra.FixedCompletions(engines, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// ready is what dev prints, as one line of JSON, for programs that start it.
type ready struct {
	Authority string `json:"authority"`
	Graph     string `json:"graph"`
	Resources string `json:"resourceManager"`
	Identity  string `json:"identity"`
	Dir       string `json:"dir"`
	CA        string `json:"ca"`
	Cloud     string `json:"cloud"`
	Engine    string `json:"engine"`
}

func runDev(cmd *cobra.Command, s streams, cfg platform.Config, apply []string) error {
	ctx := cmd.Context()
	// The files first: a mistake in one should not leave a platform behind.
	files, err := readDirectoryFiles(s, apply)
	if err != nil {
		return err
	}
	p, err := platform.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer p.Close()
	if len(files) > 0 {
		plan, err := p.Manage().Apply(ctx, localUser(), files, manage.ApplyOptions{})
		if err != nil {
			return err
		}
		if err := plan.WriteDiff(s.err, colour(s.err)); err != nil {
			return err
		}
	}
	control, err := controlapi.Serve(p, cfg.Log)
	if err != nil {
		return err
	}
	defer control.Close()
	summary, err := p.Manage().Summarize(ctx)
	if err != nil {
		return err
	}
	giveBack()
	where := ready{
		Authority: p.URL(), Graph: p.Endpoints().Graph, Resources: p.Endpoints().ResourceManager, Identity: p.IdentityURL(), Dir: p.Dir(), CA: p.CAFile(),
		Cloud: p.Cloud().Name, Engine: p.Engine(),
	}
	writeWhere(s.err, where, summary)
	if !isTerminal(s.out) {
		line, err := json.Marshal(where)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "READY %s\n", line)
	}
	return p.Wait(ctx)
}

func writeWhere(w io.Writer, where ready, summary *manage.Summary) {
	fmt.Fprintf(w, `
Avouch is ready (%s cloud, signing with %s).

  authority            %s
  Microsoft Graph      %s
  resource manager     %s
  identity endpoints   %s
  certificate          %s
  data                 %s
`, where.Cloud, where.Engine, where.Authority, where.Graph, where.Resources, where.Identity, where.CA, where.Dir)
	for _, t := range summary.Tenants {
		fmt.Fprintf(w, "  %-20s %s\n", "tenant "+t.Name, t.ID)
	}
	if len(summary.Tenants) == 0 {
		fmt.Fprint(w, "\nThe directory is empty: fill it with 'avouch apply -f directory.yaml'.\n")
	}
	env := "avouch env"
	if where.Dir != defaultDir() {
		env += " --dir " + where.Dir
	}
	if len(summary.Hosts) > 0 {
		env += " --host " + summary.Hosts[0].Name
	}
	fmt.Fprintf(w, "\nTo run a program as a workload:  eval \"$(%s)\"\n\n", env)
}

// readDirectoryFiles reads and checks declarative files; "-" is standard input.
func readDirectoryFiles(s streams, paths []string) ([]*config.Directory, error) {
	var files []*config.Directory
	for _, path := range paths {
		name, data, err := readInput(s, path)
		if err != nil {
			return nil, err
		}
		d, err := config.ParseDirectory(name, data)
		if err != nil {
			return nil, err
		}
		files = append(files, d)
	}
	return files, nil
}

// readInput reads a file, or standard input for "-".
func readInput(s streams, path string) (name string, data []byte, err error) {
	if path == "-" {
		data, err = io.ReadAll(s.in)
		return "standard input", data, err
	}
	data, err = os.ReadFile(path)
	return path, data, err
}

func localUser() manage.Caller {
	return controlapi.LocalUser()
}
