package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/shoal-p2p/shoal/node/api"
)

// process is all that a command touches besides its home: one struct, so that a test can be a process.
type process struct {
	name    string // what the user typed to get here, for help and hints
	args    []string
	environ []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	signals <-chan os.Signal
	exit    func(code int) // ends the process at once, for the second signal
	version string
	newHost func(hostConfig) (host, error)
	demo    func(context.Context, demoOptions) error
	nets    networks

	supervisor supervisor
}

// globals are the flags that mean the same at every verb.
type globals struct {
	home, config, api string
	json              bool
	quiet, verbose    bool
	progress, color   string
	noInput, yes      bool
	timeout           time.Duration
	noDaemon          bool
	requireDaemon     bool
}

// app is one command line being executed.
type app struct {
	process
	opts    globals
	looking atomic.Bool // an interrupt is not worth a word: the command only looks at another process, or its log tells
}

// Main runs one command line and returns its exit code.
func Main(p process) (code int) {
	out := &checkedWriter{w: p.stdout}
	p.stdout = out
	a := &app{process: p}
	defer func() {
		if err := out.failed(); err != nil && code == api.ExitOK {
			code = a.report(fmt.Errorf("write the result: %w", err))
		}
	}()
	// Before flags are parsed, an error about flags has to know already in which form it is wanted.
	a.opts.json = slices.Contains(p.args, "--json")
	defer func() {
		if r := recover(); r != nil {
			code = a.report(crashed(a.homeDir(), p.version, r, debug.Stack()))
		}
	}()
	root := a.rootCommand()
	if err := refuseNodeJS(p.name, p.args, a.env, verbs(root)); err != nil {
		return a.report(err)
	}
	ctx, release := a.untilSignal()
	defer release()
	root.SetArgs(p.args)
	return a.report(interruption(ctx, root.ExecuteContext(ctx)))
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   a.name,
		Short: "Share folders between machines, peer to peer",
		Long: "Share a folder on one machine and get it on another, peer to peer: found without a server,\n" +
			"verified to the last byte, resumed where it stopped.",
		Example: fmt.Sprintf("  %[1]s share ./photos        # prints a ticket\n  %[1]s get TICKET            # on the other machine", a.name),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return a.unknownVerb(cmd, args[0])
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.opts.validate() },
		SilenceErrors:     true,
		SilenceUsage:      true,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetIn(a.stdin)
	root.SetFlagErrorFunc(a.flagError)
	a.globalFlags(root.PersistentFlags())
	root.AddCommand(
		newRunCommand(a), newShareCommand(a), newGetCommand(a), newLsCommand(a), newShowCommand(a),
		newVerifyCommand(a), newStatusCommand(a), newLimitCommand(a), newSearchCommand(a), newPeersCommand(a), newIDCommand(a), newRmCommand(a),
		newGCCommand(a), newStopCommand(a), newVersionCommand(a), newTestnetCommand(a),
		newPublishCommand(a), newFollowCommand(a), newUnfollowCommand(a), newHistoryCommand(a), newDiffCommand(a),
		newRestoreCommand(a), newEventsCommand(a),
		newConfigCommand(a), newManCommand(a),
		newMembersCommand(a), newGrantCommand(a), newRevokeCommand(a), newInviteCommand(a), newRenameCommand(a),
		newReplicateCommand(a), newDashboardCommand(a), newPromoteCommand(a), newFailoverCommand(a),
		newWhyCommand(a), newDoctorCommand(a),
	)
	root.AddCommand(topics(a.name)...)
	return root
}

func (a *app) globalFlags(f *pflag.FlagSet) {
	o := &a.opts
	f.StringVar(&o.home, "home", "", "folder of the node's state (default $SHOAL_HOME, else $XDG_DATA_HOME/shoal)")
	f.StringVar(&o.config, "config", "", "configuration file (YAML)")
	f.StringVar(&o.api, "api", "", "socket of the node to ask")
	f.BoolVar(&o.json, "json", false, "print JSON, errors included")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print results and errors only")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print more of what happens")
	f.StringVar(&o.progress, "progress", "auto", "auto, bar, plain, json or none")
	f.StringVar(&o.color, "color", "auto", "auto, always or never")
	f.BoolVar(&o.noInput, "no-input", false, "never ask")
	f.BoolVarP(&o.yes, "yes", "y", false, "answer every question with yes")
	f.DurationVar(&o.timeout, "timeout", 0, "give up after this time, as 90s or 5m (get: without any answer)")
	f.BoolVar(&o.noDaemon, "no-daemon", false, "never use a running node")
	f.BoolVar(&o.requireDaemon, "require-daemon", false, "never host a node in this process")
}

func (o *globals) validate() error {
	for _, f := range []struct {
		name, value string
		allowed     []string
	}{
		{"progress", o.progress, []string{"auto", "bar", "plain", "json", "none"}},
		{"color", o.color, []string{"auto", "always", "never"}},
	} {
		if !slices.Contains(f.allowed, f.value) {
			return usagef("--%s is one of %s, not %q%s", f.name, strings.Join(f.allowed, ", "), f.value, didYouMean(f.value, f.allowed))
		}
	}
	switch {
	case o.noDaemon && o.requireDaemon:
		return usagef("--no-daemon and --require-daemon exclude each other")
	case o.quiet && o.verbose:
		return usagef("--quiet and --verbose exclude each other")
	case o.timeout < 0:
		return usagef("--timeout is negative")
	}
	return nil
}

func verbs(root *cobra.Command) []string {
	names := []string{"help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	return names
}

func (a *app) unknownVerb(root *cobra.Command, word string) error {
	e := usagef("unknown command %s%s", printable(word), didYouMean(word, verbs(root)[4:]))
	e.Hint = fmt.Sprintf("`%s --help`", a.name)
	return e
}

func (a *app) flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	e := usagef("%s", err)
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		e = usagef("unknown flag --%s%s", printable(unknown.GetSpecifiedName()), didYouMean(unknown.GetSpecifiedName(), known))
	}
	e.Hint = fmt.Sprintf("`%s --help`", cmd.CommandPath())
	return e
}

// arguments refuses any other number of arguments than min to max.
func (a *app) arguments(min, max int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= min && len(args) <= max {
			return nil
		}
		what := "needs an argument"
		switch {
		case len(args) > max && max == 0:
			what = "takes no arguments"
		case len(args) > max:
			what = fmt.Sprintf("takes at most %d arguments, not %d", max, len(args))
		case min > 1:
			what = fmt.Sprintf("needs %d arguments", min)
		}
		e := usagef("%s %s", cmd.Name(), what)
		e.Detail = "usage: " + cmd.UseLine()
		e.Hint = fmt.Sprintf("`%s --help`", cmd.CommandPath())
		return e
	}
}

// env is one variable of the process.
func (a *app) env(name string) string {
	// The last one wins, as in execve's callers.
	for _, kv := range slices.Backward(a.environ) {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			return v
		}
	}
	return ""
}

// homeDir is the absolute folder of the node's state.
func (a *app) homeDir() string {
	dir := a.opts.home
	if dir == "" {
		dir = a.env("SHOAL_HOME")
	}
	if dir == "" {
		if data := a.env("XDG_DATA_HOME"); filepath.IsAbs(data) {
			dir = filepath.Join(data, "shoal")
		}
	}
	if dir == "" {
		dir = filepath.Join(a.env("HOME"), ".local", "share", "shoal")
	}
	return absolute(dir)
}

// ownHome tells that the user chose the home: then nothing outside of it is looked at.
func (a *app) ownHome() bool { return a.opts.home != "" || a.env("SHOAL_HOME") != "" }

// absolute is path seen from the root; a working folder that is gone leaves it as it is.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// bounded applies --timeout to a whole operation.
func (a *app) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.opts.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, a.opts.timeout)
}

var _ api.Service = host(nil)
