package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newGetCommand(a *app) *cobra.Command {
	var r api.GetRequest
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get [TICKET|SET] [DEST]",
		Short: "Fetch a file set into a folder",
		Long: "Fetch a revision of a file set, the newest by default, into DEST (default ./NAME). What lies there\n" +
			"already is used, so that little more than what changed is sent; what this node did not write is\n" +
			"never overwritten without --force, and the same command again goes on where the last one stopped.\n" +
			"With --only no more than the files that are named come, once: DEST becomes no folder of the set, what\n" +
			"else is in it stays, and nothing of it is served to others. A path is from the top of the set, a folder\n" +
			"means all below it; * ? [ fit within a name, ** any folders, and a pattern without a slash fits a name in\n" +
			"any folder. The list of the set's files is fetched whole: a few hundred bytes for each of them. The same\n" +
			"command brings them to a newer revision; what was edited since is replaced with --force only.\n" +
			"The ticket may be \"-\" (stdin), \"@FILE\", or come from SHOAL_TICKET when no argument is given.",
		Example: fmt.Sprintf("  %[1]s get TICKET ./photos --plan         # what would be done, and what it costs\n"+
			"  %[1]s get TICKET ./some --only docs --only '*.jpg'\n"+
			"  %[1]s get photos ./old-photos --rev 3", a.name),
		Args:              a.arguments(0, 2),
		ValidArgsFunction: a.completeSet,
	}
	f := cmd.Flags()
	f.StringVar(&o.dest, "dest", "", "same as DEST")
	f.BoolVar(&r.Force, "force", false, "overwrite files that differ")
	f.StringVar(&o.maxBytes, "max-bytes", "", "refuse a set larger than this, as 10GB")
	f.StringVar(&o.rev, "rev", "", "revision to fetch (default: the newest)")
	f.BoolVar(&r.Plan, "plan", false, "say what would be done and what it would cost; nothing is written")
	f.StringArrayVar(&r.Using, "using", nil, "folder whose files may hold parts of the set; may be repeated")
	f.StringArrayVar(&r.Only, "only", nil, "path or pattern of files to fetch, and no others; may be repeated")
	f.BoolVar(&o.seed, "seed", false, "go on serving the set until Ctrl-C")
	addSettingFlags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.getRequest(&r, args, o); err != nil {
			return err
		}
		printed := false // a host that goes away later does not make a second result
		return a.withNode(cmd.Context(), attach{flags: f, brief: !o.seed}, func(ctx context.Context, s session) error {
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
			a.conflicts(res.Conflicts)
			partial := a.skipped(res.Skipped)
			if err == nil && o.seed && !s.outlives() {
				err = a.seed(ctx, s, res.Set, false)
			}
			return errors.Join(err, partial)
		})
	}
	return cmd
}

// getOptions are the flags of get that need reading.
type getOptions struct {
	dest, maxBytes, rev string
	seed                bool
}

// getRequest fills r from what the user typed.
func (a *app) getRequest(r *api.GetRequest, args []string, o getOptions) error {
	switch {
	case r.Plan && r.Force:
		return usagef("--plan and --force exclude each other: a plan writes nothing")
	case r.Plan && o.seed:
		return usagef("--plan and --seed exclude each other: a plan fetches nothing")
	case r.Only != nil && o.seed:
		return usagef("--only and --seed exclude each other: a part of a set is not served")
	}
	var err error
	if o.rev != "" {
		if r.Rev, err = revision(o.rev); err != nil {
			return err
		}
	}
	if r.Ticket, err = a.source("get", args); err != nil {
		return err
	}
	if r.Dest, r.Cwd, err = destination(args, o.dest); err != nil {
		return err
	}
	for i, dir := range r.Using {
		r.Using[i] = absolute(dir)
		if err := readable(r.Using[i]); err != nil {
			return err
		}
	}
	if o.maxBytes != "" {
		if r.MaxBytes, err = parseSize(o.maxBytes); err != nil {
			return usagef("--max-bytes: %s", err)
		}
	}
	if a.opts.timeout > 0 {
		r.Timeout = a.opts.timeout.String()
	}
	return nil
}

// source is the ticket or set that the first argument, or else the environment, names.
func (a *app) source(verb string, args []string) (string, error) {
	arg := a.env("SHOAL_TICKET")
	if len(args) > 0 {
		arg = args[0]
	}
	if arg == "" {
		e := usagef("%s needs a ticket or a set", verb)
		e.Hint = "`node help tickets`"
		return "", e
	}
	return a.ticket(arg)
}

// destination is where files go: the second argument or --dest, made absolute, and else the working folder
// with a name that the node knows.
func destination(args []string, flag string) (dest, cwd string, err error) {
	if len(args) > 1 {
		if flag != "" {
			return "", "", usagef("DEST and --dest are the same; give one")
		}
		flag = args[1]
	}
	if flag != "" {
		dest = absolute(flag)
	}
	if cwd, err = os.Getwd(); err != nil && dest == "" {
		return "", "", fmt.Errorf("find the working folder: %w", err)
	}
	return dest, cwd, nil
}

func (a *app) printGet(w io.Writer, res api.GetResult) {
	if res.Plan {
		a.printPlan(w, res)
		return
	}
	what := printable(res.Name)
	if res.Only != nil {
		what = "what was chosen of " + what
	}
	a.say("got %s revision %d: %s", what, res.Revision, gotWords(res))
	if res.FilesMoved > 0 {
		a.say("%s moved", count(res.FilesMoved, "file"))
	}
	if res.FilesRemoved > 0 {
		a.say("%s gone in this revision removed", count(res.FilesRemoved, "file"))
	}
	fmt.Fprintln(w, printable(res.Dest))
}

// gotWords is what a get did, in one line: the whole set, what of it had to be made, and everything that went
// over the wire in both directions.
func gotWords(r api.GetResult) string {
	took := time.Duration(r.Seconds * float64(time.Second)).Round(10 * time.Millisecond)
	words := fmt.Sprintf("%s in %s; %s; %s received, %s sent in %v", size(r.BytesTotal), filesOf(r), madeOf(r), size(r.WireIn), size(r.WireOut), took)
	if r.Unconfirmed && !r.Plan {
		words += "; nobody could be asked for a newer one"
	}
	return words
}

// filesOf is how much a get is about. Folders are worth a word where there is nothing in them.
func filesOf(r api.GetResult) string {
	var parts []string
	if r.Files > 0 || r.Links+r.Folders == 0 {
		parts = append(parts, count(r.Files, "file"))
	}
	if r.Links > 0 {
		parts = append(parts, count(r.Links, "link"))
	}
	if r.Folders > 0 && r.Files+r.Links == 0 {
		parts = append(parts, count(r.Folders, "folder"))
	}
	return strings.Join(parts, " and ")
}

// madeOf is where the bytes of a set came from.
func madeOf(r api.GetResult) string {
	if r.BytesReused >= r.BytesTotal {
		switch {
		case r.Changed && r.BytesTotal == 0:
			return "made"
		case r.Changed:
			return "all of it was here"
		}
		return "complete already"
	}
	var parts []string
	if r.BytesReused > 0 {
		parts = append(parts, fraction(r.BytesReused, r.BytesTotal)+" was here")
	}
	if r.BytesPatched > 0 {
		parts = append(parts, size(r.BytesPatched)+" patched")
	}
	if r.BytesFetched > 0 {
		parts = append(parts, size(r.BytesFetched)+" fetched")
	}
	return strings.Join(parts, ", ") + " from " + count(r.Sources, "peer")
}
