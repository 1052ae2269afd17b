package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
)

const (
	// defaultSeed makes two runs alike that name none.
	defaultSeed = 1
	// maxNetNodes is how many nodes a script may have.
	maxNetNodes = 100
	// maxScript is how long the text of one may be, in bytes; one more is read to see that it is longer.
	maxScript = 64 << 10
)

// networks starts test networks, in the foreground.
type networks struct {
	up        func(context.Context, testnet.UpOptions) error
	run       func(context.Context, testnet.RunOptions) error
	scenarios func() []testnet.Scenario
}

func newUpCommand(a *app) *cobra.Command {
	var o testnet.UpOptions
	var dir string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a swarm and keep it running",
		Long: "Start nodes node-1, node-2 and so on, and keep them running until Ctrl-C. From a second terminal the\n" +
			"other commands of testnet act on them. What the nodes have on disk stays in the folder.",
		Args: a.arguments(0, 0),
	}
	f := cmd.Flags()
	f.IntVarP(&o.N, "nodes", "n", 5, "how many nodes")
	f.BoolVar(&o.NetNS, "netns", false, "give every node a network namespace (Linux, root)")
	f.Uint64Var(&o.Seed, "seed", defaultSeed, "of all that is left to chance")
	addNetDir(cmd, &dir)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.N < 1 || o.N > maxNetNodes {
			return usagef("--nodes is 1 to %d, not %d", maxNetNodes, o.N)
		}
		if a.nets.up == nil {
			return errNoNetworks
		}
		o.Dir, o.JSON, o.Out = a.netDir(dir), a.opts.json, a.stdout
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.foreground(ctx, o.Dir, a.nets.up(ctx, o))
	}
	return cmd
}

func newPlayCommand(a *app) *cobra.Command {
	var o testnet.RunOptions
	var dir string
	cmd := &cobra.Command{
		Use:   "run SCRIPT|SCENARIO",
		Short: "Play a script over a new swarm, and tell whether all held",
		Long: "Play a script over a swarm of its own: a file, - for standard input, or one of `testnet scenarios`.\n" +
			"Exit 0 if all that it expects came true and no invariant broke, else 1. The same script with the same\n" +
			"seed does the same. The report is a folder; its report.html is opened by any browser, without a network.",
		Args:              a.arguments(1, 1),
		ValidArgsFunction: a.completeScenario,
	}
	f := cmd.Flags()
	f.Uint64Var(&o.Seed, "seed", defaultSeed, "of all that is left to chance")
	f.StringVar(&o.Report, "report", "testnet-report", "folder for the report; empty = none")
	f.StringVar(&dir, "dir", "", "folder of the nodes (default: one that is removed afterwards)")
	f.BoolVar(&o.NetNS, "netns", false, "give every node a network namespace (Linux, root)")
	f.BoolVar(&o.Keep, "keep", false, "keep the nodes' folders")
	f.BoolVar(&o.Stay, "stay", false, "keep the swarm running after the checks, until Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if a.nets.run == nil {
			return errNoNetworks
		}
		if o.Name, o.Text, err = a.script(args[0]); err != nil {
			return err
		}
		if dir != "" {
			o.Dir = absolute(dir)
		}
		if o.Report != "" {
			o.Report = absolute(o.Report)
		}
		o.JSON, o.Out, o.Version = a.opts.json, a.stdout, a.version
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		return a.foreground(ctx, o.Dir, a.nets.run(ctx, o))
	}
	return cmd
}

// foreground is the end of a network that ran in this process.
func (a *app) foreground(ctx context.Context, dir string, err error) error {
	var wrong script.Errors
	var signalled interrupted
	switch {
	case errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &signalled):
		// A code of its own: what the one of operations on sets advises, to type it again, is no use here.
		return &api.Error{Code: "testnet_interrupted", ExitCode: signalled.exitCode(), Title: "interrupted before it was done"}
	case errors.Is(err, testnet.ErrChecksFailed):
		return reported{code: api.ExitFailed} // the checks were printed, and in JSON a result is the last line
	case errors.As(err, &wrong) && !a.opts.json:
		for _, e := range wrong { // in the form that editors jump to
			fmt.Fprintln(a.stderr, oneLine(e.Error()))
		}
		return reported{code: api.ExitUsage}
	case errors.As(err, &wrong):
		return &api.Error{Code: "bad_script", ExitCode: api.ExitUsage, Title: "the script cannot be played", Detail: wrong.Error()}
	case errors.Is(err, nodes.ErrInUse):
		return a.netRuns(dir)
	case errors.Is(err, nodes.ErrUnsupported):
		return &api.Error{Code: "unsupported", ExitCode: api.ExitFailed, Title: err.Error()}
	}
	return err
}

// netRuns is what a second network in a folder is told.
func (a *app) netRuns(dir string) error {
	e := &api.Error{Code: "testnet_runs", ExitCode: api.ExitStore, Title: "a test network runs there already", Detail: dir,
		Hint: fmt.Sprintf("`node testnet ls%[1]s`, `node testnet down%[1]s` to end it, or --dir for another one", a.dirFlag(dir))}
	if pid := nodes.Owner(dir); pid != 0 {
		e.Title += fmt.Sprintf(", process %d", pid)
	}
	return e
}

// script is the text that arg names: a file, standard input, or one that comes with the program.
func (a *app) script(arg string) (name string, text []byte, err error) {
	if arg == "-" {
		text, err = readScript(a.stdin)
		return "stdin", text, err
	}
	var known []string
	for _, s := range a.nets.scenarios() {
		if s.Name == arg {
			return s.Name, s.Text, nil
		}
		known = append(known, s.Name)
	}
	f, err := os.Open(arg)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e := &api.Error{Code: "no_script", ExitCode: api.ExitNotFound, Title: "no such script: " + printable(arg) + didYouMean(arg, known), Hint: "`node testnet scenarios`"}
		return "", nil, e
	case err != nil:
		return "", nil, err
	}
	defer f.Close()
	text, err = readScript(f)
	return filepath.Base(arg), text, err
}

// readScript leaves it to the parser to refuse what is too long.
func readScript(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxScript+1))
	if err != nil {
		return nil, fmt.Errorf("read the script: %w", err)
	}
	return text, nil
}

func newScenariosCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "scenarios [SCENARIO]",
		Short: "List the scripts that come with the program, or print one",
		Args:  a.arguments(0, 1),

		ValidArgsFunction: a.completeScenario,
		RunE: func(_ *cobra.Command, args []string) error {
			if a.nets.scenarios == nil {
				return errNoNetworks
			}
			if len(args) == 1 {
				name, text, err := a.script(args[0])
				if err != nil {
					return err
				}
				return a.result(scenarioResult{Name: name, Text: string(text)}, func(w io.Writer) { _, _ = w.Write(text) })
			}
			res := struct {
				Scenarios []scenarioResult `json:"scenarios"`
			}{}
			rows := [][]string{{"NAME", "WHAT IT SHOWS"}}
			for _, s := range a.nets.scenarios() {
				res.Scenarios = append(res.Scenarios, scenarioResult{Name: s.Name, About: s.About})
				rows = append(rows, []string{s.Name, strings.Join(strings.Fields(s.About), " ")})
			}
			return a.result(res, func(w io.Writer) { table(w, rows) })
		},
	}
}

type scenarioResult struct {
	Name  string `json:"name"`
	About string `json:"about,omitempty"`
	Text  string `json:"text,omitempty"`
}

// completeScenario completes the name of a scenario; scripts of one's own stay possible.
func (a *app) completeScenario(_ *cobra.Command, args []string, _ string) (out []cobra.Completion, _ cobra.ShellCompDirective) {
	if len(args) == 0 && a.nets.scenarios != nil {
		for _, s := range a.nets.scenarios() {
			out = append(out, cobra.CompletionWithDesc(s.Name, s.About))
		}
	}
	return out, cobra.ShellCompDirectiveDefault
}
