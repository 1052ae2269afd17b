package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	netswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"
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
	id := w.peer.ID.String()
	return fmt.Sprintf("…%s: %s", id[max(0, len(id)-10):], strings.Join(strings.Fields(reason(w.err)), " "))
}

// ask asks peers for the set, several at a time.
func (i *inquiry) ask(ctx context.Context, all []peer.AddrInfo) []witness {
	all = all[:min(len(all), maxWitnesses)]
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
		w.code = dialCode(w.err)
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
		i.arrived = true
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
			return "", breakf(code, "%s", strings.Join(told, "; "))
		}
	}
	return "", breakf(api.WhyProviderGone, "nobody is left to ask")
}

// dialCode tells who is at fault when a connection is not made.
func dialCode(err error) string {
	var other sec.ErrPeerIDMismatch
	if errors.As(err, &other) {
		return api.WhyWrongKey
	}
	var dial *netswarm.DialError
	if errors.As(err, &dial) && len(dial.DialErrors) > 0 {
		for _, e := range dial.DialErrors {
			if !absent(&e) {
				return api.WhyDialRefused
			}
		}
		return api.WhyProviderGone
	}
	if absent(err) {
		return api.WhyProviderGone
	}
	return api.WhyDialRefused
}

// absent tells whether an attempt failed because nothing is there: nobody listens, nothing answers, or there is no
// address to try.
func absent(err error) bool {
	for _, e := range []error{context.DeadlineExceeded, syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
		netswarm.ErrNoAddresses, netswarm.ErrNoGoodAddresses, netswarm.ErrDialTimeout, netswarm.ErrNoTransport} {
		if errors.Is(err, e) {
			return true
		}
	}
	var slow net.Error
	return errors.As(err, &slow) && slow.Timeout()
}

// reason is the part of an error that says why: of a failed dial what came of the first address.
func reason(err error) string {
	var dial *netswarm.DialError
	if errors.As(err, &dial) && len(dial.DialErrors) > 0 {
		e := dial.DialErrors[0]
		return fmt.Sprintf("%s: %v", e.Address, e.Cause)
	}
	return err.Error()
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
		i.arrived = true
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
