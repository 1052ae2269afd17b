package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

const (
	// maxWitnesses bounds the peers that are asked: those of a full ticket, as many that are on record, and members.
	maxWitnesses = 48
	// dialPatience bounds one attempt to connect, as of a get; an answer of some KiB gets as long again.
	dialPatience = 5 * time.Second
	// maxTold is how many peers one line names: a person reads no more.
	maxTold = 3
)

// witness is a peer that was asked for the set, and what it said.
type witness struct {
	peer peer.AddrInfo
	info list.Info
	err  error
	code string // of api.Why*, of an error of the connection; "" if it answered
}

// String tells why a peer is of no use.
func (w witness) String() string {
	return fmt.Sprintf("%s: %s", shortPeer(w.peer.ID), strings.Join(strings.Fields(reason(w.err)), " "))
}

// shortPeer is the end of a peer's id, as tables print it.
func shortPeer(p peer.ID) string {
	id := p.String()
	return "…" + id[max(0, len(id)-10):]
}

// calling tells of a peer that is about to be asked.
func calling(p peer.AddrInfo) string {
	at := "at the addresses that are remembered"
	if len(p.Addrs) > 0 {
		at = "at " + p.Addrs[0].String()
	}
	if more := len(p.Addrs) - 1; more > 0 {
		at += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("calling %s %s, %v at most", shortPeer(p.ID), at, dialPatience)
}

// ask asks peers for the set, several at a time.
func (i *inquiry) ask(ctx context.Context, all []peer.AddrInfo) []witness {
	all = all[:min(len(all), maxWitnesses)]
	for _, p := range all[:min(len(all), maxTold)] {
		i.tell(api.Progress{Phase: i.step, Message: calling(p)})
	}
	if more := len(all) - maxTold; more > 0 {
		i.tell(api.Progress{Phase: i.step, Message: "and " + plural(more, "other peer")})
	}
	out := make([]witness, len(all))
	var group errgroup.Group
	for n, p := range all {
		group.Go(func() error {
			out[n] = i.askOne(ctx, p)
			return nil
		})
	}
	_ = group.Wait() // nobody fails
	return out
}

func (i *inquiry) askOne(ctx context.Context, p peer.AddrInfo) witness {
	w := witness{peer: p}
	dial, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	if w.err = i.peers.Connect(dial, p); w.err != nil {
		w.code = dialCode(w.err, i.onFile[p.ID])
		return w
	}
	answer, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	w.info, w.err = i.peers.Info(answer, p.ID, i.ticket.Set, i.ticket.Cap)
	switch {
	case w.err == nil, errors.Is(w.err, list.ErrNotFound):
	case answer.Err() != nil: // connected, and silent
		w.code = api.WhyProviderGone
	default:
		w.code = api.WhyDialRefused
	}
	return w
}

func (i *inquiry) dial(ctx context.Context) (string, error) {
	if i.published() && len(i.named) == 0 {
		return "there is nobody else to ask", nil
	}
	i.asked = i.ask(ctx, i.named)
	var failed []witness
	for _, w := range i.asked {
		if w.code != "" {
			failed = append(failed, w)
		}
	}
	if answered := len(i.asked) - len(failed); answered > 0 {
		return fmt.Sprintf("%d of %s answered", answered, plural(len(i.asked), "peer")), nil
	}
	if i.published() {
		return "nobody answered; this node shares the set itself", nil
	}
	// What is there and does not fit, or does not want, says more than what is not there.
	for _, code := range []string{api.WhyWrongKey, api.WhyDialRefused, api.WhyProviderGone} {
		var told []string
		for _, w := range failed {
			if w.code == code && len(told) < maxTold {
				told = append(told, w.String())
			}
		}
		if len(told) > 0 {
			return "", &broken{code: code, detail: strings.Join(told, "; "), hint: dialHint(code, failed)}
		}
	}
	return "", breakf(api.WhyProviderGone, "nobody is left to ask")
}

func (i *inquiry) authorisation(context.Context) (string, error) {
	let, refused := 0, 0
	for _, w := range i.asked {
		switch {
		case w.err == nil:
			let++
		case errors.Is(w.err, list.ErrNotFound):
			refused++
		}
	}
	if let > 0 {
		return fmt.Sprintf("%d of %s showed the set", let, plural(let+refused, "peer")), nil
	}
	if i.published() {
		return "nobody else has the set; this node shares it itself", nil
	}
	// A peer answers the same whether it has not got a set or keeps it to itself.
	who := plural(refused, "peer") + " that should have it will not show it"
	if i.mine != nil && i.mine.verified.Config.MayRead(i.self) {
		return "", breakf(api.WhyProviderGone, "%s, although this node may read it: they have given it up, or their records are older", who)
	}
	invite, err := record.ReadInvite(i.ticket.Cap)
	switch {
	case err != nil:
		return "", breakf(api.WhyNotAuthorised, "%s: it is private and the link has no invite, or they have given it up", who)
	case !invite.Expires.IsZero() && !i.now().Before(invite.Expires):
		return "", breakf(api.WhyNotAuthorised, "%s: the invite expired on %s", who, invite.Expires.UTC().Format(time.RFC3339))
	}
	return "", breakf(api.WhyNotAuthorised, "%s: the invite has been revoked, or was not made by an owner of the set", who)
}

// verified are the records that the peers show, as far as they are good, newest revision first.
func (i *inquiry) verified() (good []shown, bad error) {
	for n, w := range i.asked {
		if w.err != nil {
			continue
		}
		v, err := record.VerifyBundle(i.ticket.Set, w.info.Bundle)
		if err == nil && len(v.Heads) == 0 {
			err = fmt.Errorf("%w: it has no revision", blockstore.ErrNotFound)
		}
		if err != nil {
			bad = err
			continue
		}
		good = append(good, shown{v, &i.asked[n]})
	}
	slices.SortStableFunc(good, func(a, b shown) int {
		switch x, y := a.v.Heads[0].Revision, b.v.Heads[0].Revision; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return good, bad
}

// shown is a witness with the records it showed, which are good.
type shown struct {
	v record.Verified
	*witness
}
