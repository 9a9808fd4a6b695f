package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/avouch/avouch/internal/controlapi"
	"github.com/spf13/cobra"
)

func certCommand(s streams) *cobra.Command {
	var dir, certFile, keyFile string
	cmd := &cobra.Command{
		Use:   "cert NAME...",
		Short: "Issue a certificate for a local service",
		Long: `Issue a server certificate from the platform's private authority, for a service
on this machine that workloads call over HTTPS, such as a storage emulator.
Programs that run under 'avouch env' trust it.`,
		Example: `  avouch cert --cert storage.pem --key storage-key.pem localhost 127.0.0.1`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if filepath.Clean(certFile) == filepath.Clean(keyFile) {
				return &usageError{"--cert and --key must name two files"}
			}
			response, err := controlapi.NewClient(dir).Certificate(cmd.Context(), controlapi.CertificateRequest{Names: names})
			if err != nil {
				return err
			}
			if err := writeNew(keyFile, response.Key, 0o600); err != nil {
				return err
			}
			if err := writeNew(certFile, response.Chain, 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.err, "wrote %s and %s\n", certFile, keyFile)
			return err
		},
	}
	dirFlag(cmd, &dir)
	cmd.Flags().StringVar(&certFile, "cert", "cert.pem", "file for the certificate chain")
	cmd.Flags().StringVar(&keyFile, "key", "key.pem", "file for the private key")
	return cmd
}

// writeNew writes a file that has the mode from its first byte on, also where
// a file that others may read has been before.
func writeNew(path, text string, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // after the renaming there is none
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
