package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newMembersCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "members SET",
		Short: "List who takes part in a set, and the invites made here",
		Long: "List the nodes that the owner of a set has named, and what each may do: a replica keeps all of the\n" +
			"set and can be primary or backup, a writer publishes, a reader reads what is private.",
		Args:              a.arguments(1, 1),
		ValidArgsFunction: a.completeMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, s session) error {
				res, err := s.Members(ctx, api.MembersRequest{Set: setArgument(args[0])})
				if err != nil {
					return err
				}
				return a.result(res, func(w io.Writer) { printMembers(w, res) })
			})
		},
	}
}

// ask runs an operation on the records of a home, which needs no network.
func (a *app) ask(ctx context.Context, op func(context.Context, session) error) error {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	return a.withNode(ctx, attach{offline: true}, op)
}

func printMembers(w io.Writer, r api.MembersResult) {
	readers := "members and the invited"
	if r.Public {
		readers = "everybody"
	}
	facts(w, "name", printable(r.Name), "set", r.Set, "mode", r.Mode, "read by", readers,
		"config", strconv.FormatUint(r.Version, 10), "owner key here", yesNo(r.Owner))
	fmt.Fprintln(w)
	rows := [][]string{{"PEER", "MAY", "ROLE", "NOTES"}}
	for _, m := range r.Members {
		rows = append(rows, []string{m.PeerID, rightsText(m.Rights), m.Role, memberNotes(m)})
	}
	table(w, rows)
	if len(r.Invites) == 0 {
		return
	}
	fmt.Fprintln(w)
	rows = [][]string{{"INVITE", "FOR", "EXPIRES", "STATE"}}
	for _, i := range r.Invites {
		const digits = 8 // of the nonce: enough to name one among those of a set
		rows = append(rows, []string{i.Nonce[:min(digits, len(i.Nonce))], inviteReader(i), inviteExpiry(i), i.State})
	}
	table(w, rows)
}

func memberNotes(m api.Member) string {
	var notes []string
	for _, n := range []struct {
		so   bool
		text string
	}{{m.Self, "this node"}, {m.Connected, "connected"}, {m.Durable, "has the newest revision"}, {m.Instance != "", "store " + m.Instance}} {
		if n.so {
			notes = append(notes, n.text)
		}
	}
	return strings.Join(notes, ", ")
}

func newGrantCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "grant SET PEER reader|replica|writer",
		Short: "Let another node read, publish, or be primary or backup",
		Long: "Let another node take part in a set; it takes the owner key of the set. PEER is what `id` prints on\n" +
			"that machine, or the beginning of one that is known here. A replica keeps all of the set and can be\n" +
			"primary or backup: `replicate TICKET` there begins it, and prints the whole line to type here.",
		Example:           "  " + a.name + " grant photos 12D3KooW... replica",
		Args:              a.arguments(3, 3),
		ValidArgsFunction: a.completeMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			q := api.GrantRequest{Set: setArgument(args[0]), Peer: args[1], Right: args[2]}
			if err := checkRight(q.Right); err != nil {
				return err
			}
			return a.ask(cmd.Context(), func(ctx context.Context, s session) error {
				res, err := s.Grant(ctx, q)
				if err != nil {
					return err
				}
				if !a.opts.json {
					a.sayGrant(res, q.Right, s)
				}
				return a.result(res, func(io.Writer) {})
			})
		},
	}
}

func (a *app) sayGrant(r api.GrantResult, right string, s session) {
	if !r.Changed {
		a.say("nothing changed: %s is %s of %s already", r.PeerID, articled(right), printable(r.Name))
		return
	}
	a.say("%s is %s of %s now", r.PeerID, articled(right), printable(r.Name))
	a.sayConfig(r.Version, s)
}

// sayConfig tells how others hear of a config.
func (a *app) sayConfig(version uint64, s session) {
	if s.hosted != nil {
		a.say("config %d; the others hear of it when a node of this home runs: `%s run`", version, a.name)
	}
}

func newRevokeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke SET PEER [reader|replica|writer]",
		Short: "Take rights from a node: all of them, or one",
		Long: "Take rights from a node: all of them, or the one that is named. What a writer has published stays;\n" +
			"whatever it signs later counts no more. It takes the owner key of the set.",
		Args:              a.arguments(2, 3),
		ValidArgsFunction: a.completeMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			q := api.RevokeRequest{Set: setArgument(args[0]), Peer: args[1], Own: a.opts.yes}
			if len(args) == 3 {
				q.Right = args[2]
				if err := checkRight(q.Right); err != nil {
					return err
				}
			}
			return a.ask(cmd.Context(), func(ctx context.Context, s session) error {
				res, err := a.revoke(ctx, s, q)
				if err != nil {
					return err
				}
				if !a.opts.json {
					a.sayRevoke(res, s)
				}
				return a.result(res, func(io.Writer) {})
			})
		},
	}
}

// revoke asks before this node loses its own rights.
func (a *app) revoke(ctx context.Context, s session, q api.RevokeRequest) (api.RevokeResult, error) {
	res, err := s.Revoke(ctx, q)
	var e *api.Error
	if !errors.As(err, &e) || e.Code != "own_rights" {
		return res, err
	}
	if err := a.confirm("take rights from this node itself"); err != nil {
		return res, err
	}
	q.Own = true
	return s.Revoke(ctx, q)
}

func (a *app) sayRevoke(r api.RevokeResult, s session) {
	if !r.Changed {
		a.say("nothing changed: %s has no such right in %s", r.PeerID, printable(r.Name))
		return
	}
	left := "takes no part in " + printable(r.Name) + " any more"
	if len(r.Rights) > 0 {
		left = "is only a " + strings.Join(r.Rights, " and ") + " of " + printable(r.Name) + " now"
	}
	a.say("%s %s", r.PeerID, left)
	a.sayConfig(r.Version, s)
}

func newRenameCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "rename SET NAME",
		Short:             "Give a set another name, for everybody",
		Args:              a.arguments(2, 2),
		ValidArgsFunction: a.completeSet,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, s session) error {
				res, err := s.Rename(ctx, api.RenameRequest{Set: setArgument(args[0]), Name: args[1]})
				if err != nil {
					return err
				}
				switch {
				case a.opts.json:
				case !res.Changed:
					a.say("nothing changed: it is called %s already", printable(res.Name))
				default:
					a.say("it is called %s now", printable(res.Name))
					a.sayConfig(res.Version, s)
				}
				return a.result(res, func(io.Writer) {})
			})
		},
	}
}

func allRights() []string { return []string{api.RightReader, api.RightReplica, api.RightWriter} }

func checkRight(right string) error {
	if slices.Contains(allRights(), right) {
		return nil
	}
	return usagef("%s is no right: there are %s%s", printable(right), strings.Join(allRights(), ", "), didYouMean(right, allRights()))
}

func rightsText(rights []string) string { return strings.Join(rights, ", ") }

func articled(right string) string { return "a " + right }

// completeMember completes a set, then a peer, then a right.
func (a *app) completeMember(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const noFiles = cobra.ShellCompDirectiveNoFileComp
	switch {
	case len(args) == 0:
		return a.completeSet(cmd, args, word)
	case cmd.Name() == "members", len(args) > 2, len(args) == 2 && cmd.Name() == "promote":
		return nil, noFiles
	case len(args) == 2:
		return allRights(), noFiles
	}
	paths, _ := a.sockets()
	c, err := dialAny(cmd.Context(), paths)
	if err != nil {
		return nil, noFiles
	}
	defer c.Close()
	const patience = 300 * time.Millisecond // somebody waits for the answer to a key
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	var out []cobra.Completion
	if res, err := c.Members(ctx, api.MembersRequest{Set: setArgument(args[0])}); err == nil {
		for _, m := range res.Members {
			out = append(out, cobra.CompletionWithDesc(m.PeerID, rightsText(m.Rights)))
		}
	}
	if st, err := c.Status(ctx); err == nil && cmd.Name() == "grant" {
		for _, p := range st.Peers {
			out = append(out, cobra.CompletionWithDesc(p.PeerID, "connected"))
		}
	}
	return out, noFiles
}
