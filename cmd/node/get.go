package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newGetCommand(a *app) *cobra.Command {
	var r api.GetRequest
	var dest, maxBytes string
	var seed bool
	cmd := &cobra.Command{
		Use:   "get [TICKET|SET] [DEST]",
		Short: "Fetch a file set into a folder",
		Long: "Fetch the newest revision of a file set into DEST (default ./NAME). What lies there already is\n" +
			"used, what this node did not write is never overwritten without --force, and the same command\n" +
			"again goes on where the last one stopped. The ticket may be \"-\" (stdin), \"@FILE\", or come from\n" +
			"SHOAL_TICKET when no argument is given.",
		Args: a.arguments(0, 2),
	}
	f := cmd.Flags()
	f.StringVar(&dest, "dest", "", "same as DEST")
	f.BoolVar(&r.Force, "force", false, "overwrite files that differ")
	f.StringVar(&maxBytes, "max-bytes", "", "refuse a set larger than this, as 10GB")
	f.BoolVar(&seed, "seed", false, "go on serving the set until Ctrl-C")
	addSettingFlags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.getRequest(&r, args, dest, maxBytes); err != nil {
			return err
		}
		printed := false // a host that goes away later does not make a second result
		return a.withNode(cmd.Context(), attach{flags: f}, func(ctx context.Context, s session) error {
			update, end := a.progress("get")
			res, err := s.Get(ctx, r, update)
			end()
			if err != nil {
				return err
			}
			if !printed {
				err = a.result(res, func(w io.Writer) { a.printGet(w, res) })
				printed = true
			}
			partial := a.skipped(res.Skipped)
			if err == nil && seed && !s.outlives() {
				err = a.seed(ctx, s, res.Set, false)
			}
			return errors.Join(err, partial)
		})
	}
	return cmd
}

// getRequest fills r from what the user typed.
func (a *app) getRequest(r *api.GetRequest, args []string, dest, maxBytes string) error {
	arg := a.env("SHOAL_TICKET")
	if len(args) > 0 {
		arg = args[0]
	}
	if arg == "" {
		e := usagef("get needs a ticket or a set")
		e.Hint = "`node help tickets`"
		return e
	}
	var err error
	if r.Ticket, err = a.ticket(arg); err != nil {
		return err
	}
	if len(args) > 1 {
		if dest != "" {
			return usagef("DEST and --dest are the same; give one")
		}
		dest = args[1]
	}
	if dest != "" {
		r.Dest = absolute(dest)
	}
	if r.Cwd, err = os.Getwd(); err != nil && dest == "" {
		return fmt.Errorf("find the working folder: %w", err)
	}
	if maxBytes != "" {
		if r.MaxBytes, err = parseSize(maxBytes); err != nil {
			return usagef("--max-bytes: %s", err)
		}
	}
	if a.opts.timeout > 0 {
		r.Timeout = a.opts.timeout.String()
	}
	return nil
}

func (a *app) printGet(w io.Writer, res api.GetResult) {
	took := time.Duration(res.Seconds * float64(time.Second)).Round(10 * time.Millisecond)
	a.say("got %s revision %d: %s, %s; %s were here, %s fetched from %s in %v", printable(res.Name), res.Revision,
		count(res.Files, "file"), size(res.BytesTotal), size(res.BytesReused), size(res.BytesFetched), count(res.Sources, "peer"), took)
	if res.FilesRemoved > 0 {
		a.say("%s gone in this revision removed", count(res.FilesRemoved, "file"))
	}
	fmt.Fprintln(w, printable(res.Dest))
}
