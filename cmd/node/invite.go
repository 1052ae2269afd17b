package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newInviteCommand(a *app) *cobra.Command {
	var q api.InviteRequest
	var expires string
	var qr bool
	cmd := &cobra.Command{
		Use:   "invite SET",
		Short: "Print a ticket that lets its holder read a private set",
		Long: "Print a ticket that lets whoever holds it read a private set, for a week unless --expires says\n" +
			"otherwise. Any node that has the set lets its holder in; this one need not run. It takes the owner\n" +
			"key of the set. With --revoke an invite that `members` lists is taken back.",
		Example:           fmt.Sprintf("  %[1]s invite photos --expires 2d\n  %[1]s invite photos --revoke 5f1c", a.name),
		Args:              a.arguments(1, 1),
		ValidArgsFunction: a.completeSet,
	}
	f := cmd.Flags()
	f.StringVar(&expires, "expires", "7d", "from now on, as 36h or 7d; 0 never expires")
	f.StringVar(&q.Reader, "for", "", "only this peer may use it")
	f.StringVar(&q.Revoke, "revoke", "", "take back the invite whose nonce begins so")
	f.BoolVar(&qr, "qr", false, "show the ticket as a QR code too")
	addSettingFlags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Set = setArgument(args[0])
		life, err := days(expires)
		if err != nil {
			return err
		}
		if q.Expires = life.String(); q.Revoke != "" && (f.Changed("expires") || q.Reader != "") {
			return usagef("--revoke goes with neither --expires nor --for")
		}
		ctx, cancel := a.bounded(cmd.Context())
		defer cancel()
		how := attach{flags: f, offline: q.Revoke != ""} // a ticket names addresses
		return a.withNode(ctx, how, func(ctx context.Context, s session) error {
			res, err := s.Invite(ctx, q)
			if err != nil {
				return err
			}
			if !a.opts.json {
				a.sayInvite(res, qr, s)
			}
			return a.result(res, func(w io.Writer) {
				if res.Ticket != "" {
					fmt.Fprintln(w, res.Ticket)
				}
			})
		})
	}
	return cmd
}

func (a *app) sayInvite(r api.InviteResult, qr bool, s session) {
	switch {
	case r.Ticket == "" && !r.Changed:
		a.say("nothing changed: the invite was revoked already")
		return
	case r.Ticket == "":
		a.say("the invite lets nobody into %s any more", printable(r.Name))
		a.sayConfig(r.Version, s)
		return
	}
	if qr {
		qrterminal.GenerateHalfBlock(r.Ticket, qrterminal.L, a.stderr)
	}
	until := "for ever"
	if r.Expires != "" {
		until = "until " + r.Expires
	}
	a.say("lets %s read %s %s; `%s invite %s --revoke %s` takes it back", inviteReader(r.Invite), printable(r.Name), until,
		a.name, printable(r.Name), r.Nonce[:min(8, len(r.Nonce))])
	if s.hosted != nil {
		a.say("nobody serves it after this command: `%s run`", a.name)
	}
}

func inviteReader(i api.Invite) string {
	if i.Reader == "" {
		return "whoever has it"
	}
	return i.Reader
}

func inviteExpiry(i api.Invite) string {
	if i.Expires == "" {
		return "never"
	}
	return i.Expires
}

// days reads a duration that may be in days.
func days(text string) (time.Duration, error) {
	wrong := func() error {
		e := usagef("--expires %s is no time from now on", printable(text))
		e.Hint = "write it like 36h or 7d; 0 never expires"
		return e
	}
	if number, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return 0, wrong()
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, wrong()
	}
	return d, nil
}
