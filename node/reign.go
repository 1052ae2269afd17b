package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/council"
	"github.com/shoal-p2p/shoal/node/meter"
)

// reign is who orders the revisions of a set, as this node has seen it last. The zero value has seen nothing.
type reign struct {
	primary peer.ID   // that is heard, or was the last one that was
	missed  time.Time // since when it is not heard; zero = it is
	since   time.Time // since when it was seen to be primary, without a break
	broke   time.Time // since when the connection to it is broken, by which a crash shows first; zero = it is not
	gave    bool      // it was heard and connected when it ceased to be primary
}

// change is that the primary of a set is another one, or none.
type change struct {
	from, to peer.ID       // "" = none is heard
	reason   string        // of meter.Handover and meter.Lost, if there are both
	gap      time.Duration // from when from was missed until to was known, if there are both; 0 = it was not missed
}

// after is the reign when a view shows how things stand now; false if that changes nothing. A primary that comes back
// is no other one.
func (r reign) after(v council.View, now time.Time) (reign, change, bool) {
	there := r.broke.IsZero() && slices.ContainsFunc(v.Voters, func(o council.VoterView) bool { return o.ID == r.primary && o.Live })
	switch {
	case v.Primary == "" && r.primary != "" && r.missed.IsZero():
		r.missed, r.gave = now, there
		return r, change{from: r.primary}, true
	case v.Primary == "" || v.Primary == r.primary && r.missed.IsZero():
		return r, change{}, false
	case v.Primary == r.primary || r.primary == "":
		return reign{primary: v.Primary, since: now}, change{to: v.Primary}, true
	}
	c := change{from: r.primary, to: v.Primary, reason: meter.Lost}
	missed := r.missed
	if r.gave || there && missed.IsZero() {
		c.reason = meter.Handover
	} else if !r.broke.IsZero() && (missed.IsZero() || r.broke.Before(missed)) {
		missed = r.broke
	}
	if !missed.IsZero() {
		c.gap = now.Sub(missed)
	}
	return reign{primary: v.Primary, since: now}, c, true
}

// parted is the reign when the connection to p breaks, and met when there is one again.
func (r reign) parted(p peer.ID, now time.Time) reign {
	if r.primary == p && r.broke.IsZero() {
		r.broke = now
	}
	return r
}

func (r reign) met(p peer.ID) reign {
	if r.primary == p {
		r.broke = time.Time{}
	}
	return r
}

// event is a change for those who listen.
func (c change) event() api.Event {
	p := &api.PrimaryChange{Reason: c.reason, Seconds: c.gap.Seconds()}
	if c.from != "" {
		p.From = c.from.String()
	}
	if c.to != "" {
		p.To = c.to.String()
	}
	return api.Event{Kind: api.EventPrimary, Detail: c.text(), Primary: p}
}

// text is a change in words.
func (c change) text() string {
	switch {
	case c.to == "":
		return fmt.Sprintf("%s is not heard any more", c.from)
	case c.from == "":
		return fmt.Sprintf("%s is primary", c.to)
	case c.reason == meter.Handover:
		return fmt.Sprintf("%s is primary: %s has given the role away", c.to, c.from)
	}
	return fmt.Sprintf("%s is primary after %.1f s without %s", c.to, c.gap.Seconds(), c.from)
}
