package replica

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/chunks"
)

const (
	// dripAfter and dripRate (bytes per second) are when a peer that we wait for drips: a modem is faster. It is given up
	// if another one has the same; alone it may as well be a slow one, or one that serves many.
	dripAfter = 20 * time.Second
	dripRate  = 4 << 10
)

// pace watches one peer that is asked for nodes or patches: by silence, and by a drip if another holder could go on, it ends
// the session. Its methods are called by the one goroutine that reads.
type pace struct {
	now     func() time.Time
	end     func()        // closes the session
	another func() bool   // whether another holder could go on
	moved   func()        // told of bytes that came; may be nil
	silence time.Duration // that ends it; 0 = none but the protocol's own
	stall   *time.Timer   // nil = there is no silence

	begun  time.Time     // of the wait for a reply
	waited time.Duration // for replies before
	bytes  int64         // that came
	part   int64         // of the reply that is under way
}

// start begins to watch; stop ends it.
func (p *pace) start() {
	if p.silence > 0 {
		p.stall = time.AfterFunc(p.silence, p.end)
		p.stall.Stop()
	}
}

func (p *pace) stop() { p.rest(true) }

// rest stops the clock of silence, or sets it going.
func (p *pace) rest(yes bool) {
	switch {
	case p.stall == nil:
	case yes:
		p.stall.Stop()
	default:
		p.stall.Reset(p.silence)
	}
}

// wait takes one reply with next, which tells its length.
func (p *pace) wait(next func() (int, error)) error {
	p.begun = p.now()
	p.rest(false)
	defer p.rest(true)
	n, err := next()
	p.waited += p.now().Sub(p.begun)
	p.bytes += int64(n)
	p.part = 0
	if err == nil && n > 0 && p.moved != nil {
		p.moved()
	}
	if err == nil && p.drips(p.waited) {
		return ErrTimeout
	}
	return err
}

// came is told of n bytes of a reply that takes long.
func (p *pace) came(n int) {
	p.part += int64(n)
	p.rest(false)
	if p.moved != nil {
		p.moved()
	}
	if p.drips(p.waited + p.now().Sub(p.begun)) {
		p.end()
	}
}

func (p *pace) drips(waited time.Duration) bool {
	return waited > dripAfter && float64(p.bytes+p.part) < dripRate*waited.Seconds() && p.another()
}

// patiently is a throttle that does not let the peer pay for our limits: nothing is counted meanwhile.
func (p *pace) patiently(allow chunks.Throttle) chunks.Throttle {
	if allow == nil {
		return nil
	}
	return func(n int) (int, error) {
		p.rest(true)
		begun := p.now()
		n, err := allow(n)
		p.begun = p.begun.Add(p.now().Sub(begun))
		p.rest(false)
		return n, err
	}
}

// throttle makes a session with p read as fast as the limits for receiving want: before the bytes are read, and not after,
// or each of many lanes would have a leaf for nothing. nil = there are none.
func (g *get) throttle(ctx context.Context, p peer.ID) chunks.Throttle {
	if g.net.Down == nil {
		return nil
	}
	limit := g.net.Down(p, g.look.set)
	if limit == nil {
		return nil
	}
	return func(n int) (int, error) { return limit.Wait(ctx, n) }
}

// rated is a limiter that tells its rate in bytes a second, 0 = there is no limit.
type rated interface{ Rate() int64 }

// downRate is how fast this node may receive, from whomever; 0 = some holder is not limited, or none is.
func (g *get) downRate() (rate int64) {
	if g.net.Down == nil {
		return 0
	}
	for p := range g.holders {
		l, ok := g.net.Down(p, g.look.set).(rated)
		if !ok || l.Rate() == 0 {
			return 0
		}
		rate = max(rate, l.Rate())
	}
	return rate
}

// instead makes a pace.another for p: it tells whether a holder of everything is known that was not found to drip itself, and
// if so notes that p does.
func (g *get) instead(p peer.ID, root cid.Cid, drip map[peer.ID]bool) func() bool {
	return func() bool {
		g.absorb()
		for q, h := range g.holders {
			if q != p && h.complete && !drip[q] && g.mayHold(h, root) {
				drip[p] = true
				return true
			}
		}
		return false
	}
}
