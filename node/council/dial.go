package council

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// dialer dials voters that are away.
type dialer struct {
	swarm  Swarm
	now    func() time.Duration
	signal chan struct{} // holds a token when there may be somebody to dial earlier than thought

	mu      sync.Mutex // guards what follows
	redials redials
	wanted  map[*member][]peer.ID
}

func newDialer(s Swarm, now func() time.Duration, grace time.Duration) *dialer {
	return &dialer{
		swarm: s, now: now, signal: make(chan struct{}, 1),
		redials: redials{grace: grace}, wanted: map[*member][]peer.ID{},
	}
}

// run dials until ctx ends.
func (d *dialer) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		d.mu.Lock()
		now := d.now()
		dial, next := d.redials.due(now)
		d.mu.Unlock()
		for _, p := range dial {
			d.swarm.Redial(p)
		}
		timer.Reset(next - now)
		select {
		case <-timer.C:
		case <-d.signal:
		case <-ctx.Done():
			return
		}
	}
}

// change changes the redials, and looks at them again if wake is set.
func (d *dialer) change(wake bool, f func(r *redials)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.redials)
	if wake {
		select {
		case d.signal <- struct{}{}:
		default:
		}
	}
}

// want sets the voters a seat needs: none if it is no voter itself.
func (d *dialer) want(m *member, voters []peer.ID, voter bool) {
	if !voter {
		voters = nil
	}
	d.change(true, func(r *redials) {
		for _, p := range voters {
			r.want(p, d.now())
		}
		for _, p := range d.wanted[m] {
			r.unwant(p)
		}
		d.wanted[m] = voters
		if len(voters) == 0 {
			delete(d.wanted, m)
		}
	})
}

func (d *dialer) heard(p peer.ID)  { d.change(false, func(r *redials) { r.heard(p) }) }
func (d *dialer) joined(p peer.ID) { d.change(true, func(r *redials) { r.joined(p, d.now()) }) }
func (d *dialer) broke(p peer.ID)  { d.change(true, func(r *redials) { r.broke(p, d.now()) }) }
func (d *dialer) silent(p peer.ID) { d.change(true, func(r *redials) { r.silent(p, d.now()) }) }
