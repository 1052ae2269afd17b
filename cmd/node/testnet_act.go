package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/control"
	"github.com/shoal-p2p/shoal/testnet/nodes"
)

// downPatience is how long the nodes of a network may take to end, after all who asked for it are gone.
const downPatience = 30 * time.Second

func addNetDir(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", "", "folder of the swarm (default: testnet in the home)")
}

// netDir is the absolute folder of the test network that is meant.
func (a *app) netDir(flag string) string {
	if flag != "" {
		return absolute(flag)
	}
	return filepath.Join(a.homeDir(), "testnet")
}

// dirFlag is what leads a command to the network in dir, with a blank before it; nothing if it looks there anyway.
func (a *app) dirFlag(dir string) string {
	if dir == a.netDir("") {
		return ""
	}
	return " --dir " + shellWord(dir)
}

// shellWord is s as a shell reads it as one word.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,=", r)
	}
	if s != "" && !slices.ContainsFunc([]rune(s), func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// dialNet finds the network that runs in dir.
func (a *app) dialNet(ctx context.Context, dir string) (*control.Client, error) {
	c, err := control.Dial(ctx, dir)
	if !errors.Is(err, control.ErrNoNet) {
		return c, err
	}
	if pid := nodes.Owner(dir); pid != 0 {
		return nil, &api.Error{Code: "testnet_starting", ExitCode: api.ExitNeedsNode, Title: fmt.Sprintf("the test network there begins or ends just now, process %d", pid), Detail: dir,
			Hint: "the same command again", Retryable: true}
	}
	return nil, &api.Error{Code: "no_testnet", ExitCode: api.ExitNeedsNode, Title: "no test network is running", Detail: "nobody answers in " + dir,
		Hint: "`node testnet up" + a.dirFlag(dir) + "`", Retryable: true}
}

// onNet runs op with the network of dir.
func (a *app) onNet(ctx context.Context, flag string, op func(context.Context, *control.Client) error) error {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	dir := a.netDir(flag)
	c, err := a.dialNet(ctx, dir)
	if err != nil {
		return err
	}
	return netError(ctx, dir, op(ctx, c))
}

// netError explains how a network in dir failed to answer.
func netError(ctx context.Context, dir string, err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
		e := &api.Error{Code: "testnet_silent", ExitCode: api.ExitTimeout, Title: "the test network does not answer", Detail: dir}
		if pid := nodes.Owner(dir); pid != 0 {
			e.Title += fmt.Sprintf(", process %d", pid)
			e.Hint = fmt.Sprintf("kill -9 %d: its nodes end with it", pid)
		}
		return e
	case errors.Is(err, control.ErrNoNet), errors.Is(err, io.ErrUnexpectedEOF):
		return &api.Error{Code: "testnet_ended", ExitCode: api.ExitNeedsNode, Title: "the test network ended before this was done", Detail: dir}
	}
	return err
}

// act carries out a statement and tells what came of it; names are the nodes in it.
func (a *app) act(ctx context.Context, dir, statement string, names ...string) error {
	return a.onNet(ctx, dir, func(ctx context.Context, c *control.Client) error {
		if err := a.known(ctx, c, dir, names); err != nil {
			return err
		}
		res := struct {
			Statement string   `json:"statement"`
			Said      []string `json:"said"`
		}{statement, []string{}}
		err := c.Do(ctx, statement, func(text string) {
			res.Said = append(res.Said, text)
			if !a.opts.json {
				fmt.Fprintln(a.stdout, oneLine(text))
			}
		})
		if err != nil {
			return err
		}
		return a.result(res, func(io.Writer) {})
	})
}

// known refuses names that no node of the network has.
func (a *app) known(ctx context.Context, c *control.Client, dir string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	all, err := c.List(ctx)
	if err != nil {
		return err
	}
	var there []string
	for _, n := range all {
		there = append(there, n.Name)
	}
	for _, name := range names {
		if name != "all" && !slices.Contains(there, name) {
			return &api.Error{Code: "no_such_node", ExitCode: api.ExitNotFound, Title: "no such node: " + printable(name) + didYouMean(name, there),
				Hint: "`node testnet ls" + a.dirFlag(a.netDir(dir)) + "`"}
		}
	}
	return nil
}

// newLivesCommands are the verbs that end, start and halt nodes.
func newLivesCommands(a *app) (all []*cobra.Command) {
	for _, verb := range []struct{ name, short string }{
		{"kill", "End nodes at once, as a power cut would (SIGKILL)"},
		{"stop", "End nodes cleanly, and wait for them"},
		{"restart", "Start nodes again, with what they had on disk"},
		{"pause", "Halt nodes: their connections stay and nothing answers (SIGSTOP)"},
		{"resume", "Let paused nodes go on"},
	} {
		var dir string
		cmd := &cobra.Command{
			Use:               verb.name + " NODE...",
			Short:             verb.short,
			Long:              verb.short + ".\nNODE may be \"all\", \"primary of SET\" or \"backup of SET\" too.",
			Args:              a.arguments(1, maxNetNodes),
			ValidArgsFunction: a.completeNode,
		}
		addNetDir(cmd, &dir)
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			who := strings.Fields(strings.Join(args, " "))
			if len(who) > 0 && slices.Contains([]string{"all", "primary", "backup"}, who[0]) {
				return a.act(cmd.Context(), dir, verb.name+" "+strings.Join(who, " "))
			}
			return a.act(cmd.Context(), dir, verb.name+" "+strings.Join(args, ", "), args...)
		}
		all = append(all, cmd)
	}
	return all
}

func newDoCommand(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "do STATEMENT",
		Short: "Carry out one statement of a script on a running swarm",
		Example: fmt.Sprintf("  %[1]s testnet do 'share docs at node-1 size 16MiB in 8 files'\n"+
			"  %[1]s testnet do 'get docs at node-2, node-3'\n  %[1]s testnet do 'wait until node-3 has docs within 30s'", a.name),
		Args: a.arguments(1, 1000),
	}
	addNetDir(cmd, &dir)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.act(cmd.Context(), dir, strings.Join(args, " "))
	}
	return cmd
}

// pair is the beginning of a statement about two nodes: `cut a and b`, or `cut a to b`.
func pair(verb string, args []string, oneWay bool) string {
	return fmt.Sprintf("%s %s %s %s", verb, args[0], map[bool]string{true: "to", false: "and"}[oneWay], args[1])
}

func newCutCommand(a *app) *cobra.Command {
	var dir string
	var oneWay bool
	cmd := &cobra.Command{
		Use:               "cut A B",
		Short:             "Drop all bytes between two nodes, until `testnet heal`",
		Args:              a.arguments(2, 2),
		ValidArgsFunction: a.completeNode,
	}
	addNetDir(cmd, &dir)
	cmd.Flags().BoolVar(&oneWay, "one-way", false, "only from A to B")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.act(cmd.Context(), dir, pair("cut", args, oneWay), args...)
	}
	return cmd
}

func newHealCommand(a *app) *cobra.Command {
	var dir string
	var oneWay bool
	cmd := &cobra.Command{
		Use:               "heal [A B]",
		Short:             "Drop no bytes any more, between two nodes or all",
		ValidArgsFunction: a.completeNode,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return usagef("heal needs two nodes, or none for all")
			}
			return a.arguments(0, 2)(cmd, args)
		},
	}
	addNetDir(cmd, &dir)
	cmd.Flags().BoolVar(&oneWay, "one-way", false, "only from A to B")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return a.act(cmd.Context(), dir, "heal")
		}
		return a.act(cmd.Context(), dir, pair("heal", args, oneWay), args...)
	}
	return cmd
}

func newLinkCommand(a *app) *cobra.Command {
	var dir string
	var oneWay bool
	cmd := &cobra.Command{
		Use:   "link A B WHAT...",
		Short: "Delay, lose or limit the bytes between two nodes",
		Long: "Delay, lose or limit the bytes between two nodes. WHAT is any of latency 20ms, jitter 5ms, loss 1%\n" +
			"and rate 10Mbit/s, which go one way each; what is not named stays as it is. plain is as it was.",
		Example: fmt.Sprintf("  %[1]s testnet link node-1 node-2 latency 40ms loss 1%%\n"+
			"  %[1]s testnet link node-1 node-2 --one-way rate 1Mbit/s\n  %[1]s testnet link node-1 node-2 plain", a.name),
		Args:              a.arguments(3, 10),
		ValidArgsFunction: a.completeNode,
	}
	addNetDir(cmd, &dir)
	cmd.Flags().BoolVar(&oneWay, "one-way", false, "only from A to B")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.act(cmd.Context(), dir, pair("link", args, oneWay)+" "+strings.Join(args[2:], " "), args[:2]...)
	}
	return cmd
}

func newNetLsCommand(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the nodes of a running swarm",
		Args:  a.arguments(0, 0),
	}
	addNetDir(cmd, &dir)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.onNet(cmd.Context(), dir, func(ctx context.Context, c *control.Client) error {
			all, err := c.List(ctx)
			if err != nil {
				return err
			}
			return a.result(struct {
				Dir   string         `json:"dir"`
				Nodes []control.Info `json:"nodes"`
			}{a.netDir(dir), all}, func(w io.Writer) { printNet(w, all) })
		})
	}
	return cmd
}

func printNet(w io.Writer, all []control.Info) {
	rows := [][]string{{"NODE", "STATE", "PROCESS", "MEMORY", "ADDRESS", "DASHBOARD", "SETS", "LINKS"}}
	for _, n := range all {
		process, memory, address := "", "", n.Addr
		if n.PID != 0 {
			process = strconv.Itoa(n.PID)
		}
		if n.Memory > 0 {
			memory = size(n.Memory)
		}
		if at, _, ok := strings.Cut(address, "/p2p/"); ok { // the peer id is in --json
			address = at
		}
		rows = append(rows, []string{printable(n.Name), n.State, process, memory, address, n.Site, netSets(n), strings.Join(n.Harm, ", ")})
	}
	table(w, rows)
}

// netSets is what a node has and is, such as `docs 3 primary, photos 1 reader 40%`.
func netSets(n control.Info) string {
	var out []string
	for _, s := range n.Sets {
		words := []string{printable(s.Set), strconv.FormatUint(s.Revision, 10)}
		if s.Role != "" {
			words = append(words, s.Role)
		}
		if s.Part < 1 {
			words = append(words, fmt.Sprintf("%.0f%%", 100*s.Part))
		}
		out = append(out, strings.Join(words, " "))
	}
	return strings.Join(out, ", ")
}

func newNetDashboardCommand(a *app) *cobra.Command {
	var dir string
	var printOnly bool
	cmd := &cobra.Command{
		Use:   "dashboard [NODE]",
		Short: "Open the dashboard of a node of a running swarm",
		Long: "Print a link to the dashboard of a node, the first one that runs if none is named, and open it on a\n" +
			"terminal. The link signs one browser in, once and within a minute. Its page \"Test network\" kills,\n" +
			"restarts, halts, slows and cuts off the nodes of the swarm.",
		Args:              a.arguments(0, 1),
		ValidArgsFunction: a.completeNode,
	}
	addNetDir(cmd, &dir)
	cmd.Flags().BoolVar(&printOnly, "no-open", false, "only print the link")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.onNet(cmd.Context(), dir, func(ctx context.Context, c *control.Client) error {
			if err := a.known(ctx, c, dir, args); err != nil {
				return err
			}
			all, err := c.List(ctx)
			if err != nil {
				return err
			}
			d, err := netLogin(ctx, netChoice(all, args))
			if err != nil {
				return err
			}
			if err = a.result(d, func(w io.Writer) { fmt.Fprintln(w, d.Login) }); err == nil && !printOnly && !a.opts.json && isTerminal(a.stdout) {
				a.browse(d.Login)
			}
			return err
		})
	}
	return cmd
}

// netChoice is the node that is named, or the first that runs; the first of all if none does.
func netChoice(all []control.Info, names []string) control.Info {
	for _, n := range all {
		if len(names) == 0 && n.State == "running" || slices.Contains(names, n.Name) {
			return n
		}
	}
	if len(all) == 0 {
		return control.Info{Name: "the network", State: "down"}
	}
	return all[0]
}

func newDownCommand(a *app) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End a running swarm, and wait for it",
		Long: "End a running swarm, `testnet run` included, and wait until all of its processes are gone. Where none\n" +
			"runs there is nothing to do, which is no error.",
		Args: a.arguments(0, 0),
	}
	addNetDir(cmd, &dir)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		ran, err := a.down(ctx, a.netDir(dir))
		if err != nil {
			return err
		}
		if !a.opts.json {
			a.say("%s", map[bool]string{true: "stopped", false: "no test network is running"}[ran])
		}
		return a.result(struct {
			Stopped bool `json:"stopped"`
		}{ran}, func(io.Writer) {})
	}
	return cmd
}

// down reports whether there was a network to end.
func (a *app) down(ctx context.Context, dir string) (bool, error) {
	owner := nodes.Owner(dir)
	c, err := control.Dial(ctx, dir)
	switch {
	case err == nil:
		err = c.Quit(ctx)
	case errors.Is(err, control.ErrNoNet) && owner == 0:
		return false, nil
	}
	if err != nil && !errors.Is(err, control.ErrNoNet) { // one that is about to end answers no more
		return false, netError(ctx, dir, err)
	}
	patience, cancel := context.WithTimeout(ctx, downPatience)
	defer cancel()
	if err := nodes.AwaitEnd(patience, dir); err != nil && ctx.Err() == nil {
		return false, &api.Error{Code: "testnet_stays", ExitCode: api.ExitTimeout, Title: fmt.Sprintf("the test network does not end, process %d", owner), Detail: dir,
			Hint: fmt.Sprintf("kill -9 %d: its nodes end with it", owner)}
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// completeNode completes the nodes of the network that runs; two of them where it is about a pair.
func (a *app) completeNode(cmd *cobra.Command, args []string, _ string) (out []cobra.Completion, _ cobra.ShellCompDirective) {
	if len(args) >= 2 && slices.Contains([]string{"cut", "heal", "link"}, cmd.Name()) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	const patience = 300 * time.Millisecond // somebody waits for the answer to a key
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	dir, _ := cmd.Flags().GetString("dir")
	c, err := control.Dial(ctx, a.netDir(dir))
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, _ := c.List(ctx)
	for _, n := range all {
		if !slices.Contains(args, n.Name) {
			out = append(out, cobra.CompletionWithDesc(n.Name, n.State))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
