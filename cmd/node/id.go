package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newIDCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "id",
		Short: "Print the peer id of this home and the fingerprint of its owner key",
		Args:  a.arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, s session) error {
				st, err := s.Status(ctx)
				if err != nil {
					return err
				}
				id := struct {
					PeerID string `json:"peer_id"`
					Owner  string `json:"owner,omitempty"`
				}{st.PeerID, st.Owner}
				return a.result(id, func(w io.Writer) {
					if id.Owner != "" {
						a.say("owner key %s", id.Owner)
					}
					fmt.Fprintln(w, id.PeerID)
				})
			})
		},
	}
	cmd.AddCommand(newExportOwnerCommand(a), newImportOwnerCommand(a))
	return cmd
}

// maxKeyFile bounds what is read in search of a key: one is some hundred bytes.
const maxKeyFile = 64 << 10

func newExportOwnerCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "export-owner FILE",
		Short: "Write the key that decides who takes part in the sets of this home to a file, or - for stdout",
		Long: "Write the owner key of this home to a new file (mode 0600), or with - to stdout. Who has it decides who\n" +
			"takes part in the sets that were made here; where it is lost, that cannot be changed any more, while\n" +
			"the sets go on. Nothing protects the file but its mode: keep it where nobody else can read it.",
		Args: a.arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, s session) error {
				key, err := s.ExportOwner(ctx)
				if err != nil {
					return err
				}
				if args[0] == "-" {
					return a.result(key, func(w io.Writer) { _, _ = io.WriteString(w, key.Key) })
				}
				if err := writeSecret(args[0], key.Key); err != nil {
					return err
				}
				res := struct {
					Owner string `json:"owner"`
					File  string `json:"file"`
				}{key.Owner, absolute(args[0])}
				if !a.opts.json {
					a.say("wrote owner key %s to %s: it is not encrypted, keep it where nobody else can read it", res.Owner, printable(args[0]))
				}
				return a.result(res, func(io.Writer) {})
			})
		},
	}
}

// writeSecret makes a file that only this user can read, on stable storage; one that is there stays.
func writeSecret(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &api.Error{Code: "file_exists", ExitCode: api.ExitConflict, Title: "the file is there already", Detail: printable(path), Hint: "another name"}
	}
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	_, err = io.WriteString(f, text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the key: %w", errors.Join(err, os.Remove(path))) // half a key is none
	}
	return nil
}

func newImportOwnerCommand(a *app) *cobra.Command {
	var q api.ImportOwnerRequest
	cmd := &cobra.Command{
		Use:   "import-owner FILE",
		Short: "Take the owner key of another home from a file, or - for stdin",
		Long: "Take an owner key that export-owner wrote from a file, or with - from stdin: from then on this home may\n" +
			"change who takes part in the sets of that owner, and new sets made here are its own. Another owner\n" +
			"key that is here is not given up without --replace, which keeps it aside in the home.",
		Args: a.arguments(1, 1),
	}
	cmd.Flags().BoolVar(&q.Replace, "replace", false, "also if this home has another owner key")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if q.Key, err = a.readSecret(args[0]); err != nil {
			return err
		}
		return a.ask(cmd.Context(), func(ctx context.Context, s session) error {
			res, err := s.ImportOwner(ctx, q)
			if err != nil {
				return err
			}
			switch {
			case a.opts.json:
			case !res.Changed:
				a.say("nothing changed: owner key %s is here already", res.Owner)
			default:
				a.say("owner key %s is in this home now", res.Owner)
				if res.Kept != "" {
					a.say("the one before lies in %s", printable(res.Kept))
				}
			}
			return a.result(res, func(io.Writer) {})
		})
	}
	return cmd
}

// readSecret reads a key file, and says so if others can read it too.
func (a *app) readSecret(path string) (string, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", &api.Error{Code: "no_such_path", ExitCode: api.ExitNotFound, Title: "no such file", Detail: err.Error(), Hint: "the file that `node id export-owner` wrote"}
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			a.say("warning: %s can be read by other users: chmod 600", printable(path))
		}
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxKeyFile))
	if err != nil {
		return "", fmt.Errorf("read the key: %w", err)
	}
	if strings.TrimSpace(string(b)) == "" {
		return "", usagef("there is no key in %s", printable(path))
	}
	return string(b), nil
}
