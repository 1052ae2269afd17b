package replica

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/fetch"
)

const (
	// tick is the scheduler's clock: patience and late answers are measured in it.
	tick = 100 * time.Millisecond
	// reviveAfter is when a peer that was dropped for silence is tried again, if it still watches.
	reviveAfter = 5 * time.Second
	// eventBuffer lets the lanes run ahead of the loop by a window of small leaves.
	eventBuffer = 4096
)

// download is the shell of the fetch scheduler: one goroutine runs the scheduler and carries its actions
// out; lanes (see lane.go) move the bytes.
type download struct {
	g     *get
	s     *session
	sched *fetch.Scheduler

	events  chan fetch.Event
	fatal   chan error // the first local failure, for instance a full disk
	sources map[fetch.Peer]*source
	dropped map[fetch.Peer]time.Time
	wg      sync.WaitGroup // of lanes

	fetched   int64 // bytes of needed leaves received
	delivered int   // peers they came from
	starved   fetch.Starved
	corrupt   map[uint32]bool // leaves that a holder of everything turned out not to have intact
	banned    map[peer.ID]bool
	whole     map[fetch.Peer]bool // of the peers that are up: whether as holders of everything
	progress  time.Time           // of the last new byte
	rate      int64               // that the scheduler was told we may receive at
}

func newDownload(g *get, s *session) *download {
	sizes := make([]uint32, len(s.lay.Leaves))
	for i, l := range s.lay.Leaves {
		sizes[i] = l.Size
	}
	self := g.net.Self().ID
	return &download{g: g, s: s,
		sched:  fetch.New(fetch.Config{Leaves: sizes, Need: s.out.Need(), Self: fetch.Peer(self), Rand: rand.Uint64()}),
		events: make(chan fetch.Event, eventBuffer), fatal: make(chan error, 1),
		sources: map[fetch.Peer]*source{}, dropped: map[fetch.Peer]time.Time{}, corrupt: map[uint32]bool{}, banned: map[peer.ID]bool{}, whole: map[fetch.Peer]bool{}}
}

// needs is how many bytes are to be fetched.
func (d *download) needs() int64 { return d.sched.Stats().LeftBytes }

// run fetches every needed leaf. Errors: ErrTimeout, ErrDamaged, and what writing returns.
func (d *download) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer d.report()
	defer d.wg.Wait()
	defer cancel()
	d.progress = d.g.r.cfg.Now()
	clock := time.NewTicker(tick)
	defer clock.Stop()
	if done := d.start(ctx); done {
		return nil
	}
	for {
		var done bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-d.fatal:
			return err
		case ev := <-d.events:
			done = d.drain(ctx, ev)
		case <-d.g.look.signal:
			for _, s := range d.g.absorb() {
				done = d.sighted(ctx, s) || done
			}
		case <-clock.C:
			done = d.limit(ctx)
			done = d.step(ctx, fetch.Tick{}) || done
			d.report()
			if err := d.patience(ctx); err != nil && !done {
				return err
			}
		}
		if done {
			return nil
		}
	}
}

// start tells the scheduler who is there already.
func (d *download) start(ctx context.Context) (done bool) {
	done = d.limit(ctx)
	for p := range d.g.holders {
		done = d.up(ctx, p) || done
	}
	return d.step(ctx, fetch.Tick{}) || done
}

// limit tells the scheduler how fast we may receive, if that is news.
func (d *download) limit(ctx context.Context) (done bool) {
	rate := d.g.downRate()
	if rate == d.rate {
		return false
	}
	d.rate = rate
	return d.step(ctx, fetch.Limit{Rate: rate})
}

// up tells the scheduler what a holder has of the revision being fetched.
func (d *download) up(ctx context.Context, p peer.ID) (done bool) {
	h := d.g.holders[p]
	if h == nil {
		return false
	}
	ev := fetch.PeerUp{Peer: fetch.Peer(p)}
	switch {
	case head(h.v).Root == d.s.lay.Root:
		ev.Complete, ev.Have = h.complete, slices.Clone(h.have)
	case h.complete && (d.g.o.Revision != 0 || supersedes(head(h.v), head(d.g.v))):
		ev.Complete = true // most chunks of a revision are those of the next; what is gone it will say
	}
	whole, up := d.whole[ev.Peer]
	switch {
	case ev.Complete && whole:
		return false // what it was asked for is under way
	case ev.Complete && up: // what it was asked for before stays asked
		d.whole[ev.Peer] = true
		return d.step(ctx, fetch.PeerHave{Peer: ev.Peer, Complete: true})
	}
	d.whole[ev.Peer] = ev.Complete
	return d.step(ctx, ev)
}

// sighted passes the lookout's news on.
func (d *download) sighted(ctx context.Context, s sighting) (done bool) {
	name := fetch.Peer(s.peer)
	switch h := d.g.holders[s.peer]; {
	case s.err != nil:
		d.close(name)
		return d.step(ctx, fetch.PeerDown{Peer: name})
	case s.verified != nil:
		return d.up(ctx, s.peer)
	case h != nil && head(h.v).Root == d.s.lay.Root:
		return d.step(ctx, fetch.PeerHave{Peer: name, Leaves: s.have, Complete: s.complete})
	}
	return false
}

// drain takes what the lanes have reported so far, so that watchers are told once for many leaves.
func (d *download) drain(ctx context.Context, ev fetch.Event) (done bool) {
	var arrived []uint32
	for n := 0; ; n++ {
		switch e := ev.(type) {
		case fetch.Received:
			arrived = append(arrived, e.Leaf)
			d.progress = d.g.r.cfg.Now()
		case fetch.Arriving: // bytes of a leaf that is not whole yet
			d.progress = d.g.r.cfg.Now()
		case fetch.Missing:
			if d.complete(e.Peer) || d.g.o.Revision != 0 { // its store has found the damage before, and forgotten the place
				d.corrupt[e.Leaf] = true
			}
		case fetch.Bad:
			d.corrupt[e.Leaf] = true
		case corruptThere:
			d.corrupt[e.Leaf] = true
			ev = e.Missing
		}
		done = d.step(ctx, ev) || done
		if n == eventBuffer {
			break
		}
		select {
		case ev = <-d.events:
			continue
		default:
		}
		break
	}
	if len(arrived) > 0 {
		d.g.arrived(arrived...)
	}
	return done
}

// step runs the scheduler and carries its actions out.
func (d *download) step(ctx context.Context, ev fetch.Event) (done bool) {
	now := d.g.r.cfg.Now()
	for _, a := range d.sched.Step(now, ev) {
		switch a := a.(type) {
		case fetch.Request:
			d.request(ctx, a)
		case fetch.Ban:
			d.close(a.Peer)
			d.banned[peer.ID(a.Peer)] = true
			d.g.net.Swarm.Ban(peer.ID(a.Peer), a.Reason)
		case fetch.Drop:
			d.close(a.Peer)
			d.dropped[a.Peer] = now
		case fetch.Starved:
			d.starved = a
		case fetch.Finished:
			done = true
		case fetch.Cancel:
			if src := d.sources[a.Peer]; src != nil {
				src.forget(a.Leaves)
			}
		}
	}
	return done
}

func (d *download) request(ctx context.Context, a fetch.Request) {
	src := d.sources[a.Peer]
	if src == nil {
		src = newSource(ctx, d, peer.ID(a.Peer))
		d.sources[a.Peer] = src
	}
	src.ask(a.Leaves)
}

// close ends the lanes of a peer; what they were asked for is reported by nobody, so the caller tells the
// scheduler that the peer is down.
func (d *download) close(p fetch.Peer) {
	delete(d.whole, p)
	if src := d.sources[p]; src != nil {
		src.cancel()
		delete(d.sources, p)
	}
}

func (d *download) report() {
	st := d.sched.Stats()
	d.fetched, d.delivered = st.Received, st.Sources
	d.g.o.Progress(Progress{Phase: "fetch", Done: d.s.lay.Bytes - st.LeftBytes, Total: d.s.lay.Bytes, Sources: st.Sources})
}

// patience tries dropped peers again, and gives up when nothing has come for too long.
func (d *download) patience(ctx context.Context) error {
	now := d.g.r.cfg.Now()
	for p, since := range d.dropped {
		if now.Sub(since) > reviveAfter {
			delete(d.dropped, p)
			d.up(ctx, peer.ID(p))
		}
	}
	st := d.sched.Stats()
	quiet := now.Sub(d.progress)
	if quiet > movedGrace {
		d.g.look.widen()
	}
	switch starving := st.Left > 0 && d.starved.Total == st.Left; {
	case starving && d.superseded(): // what is gone was replaced, not damaged
		if quiet > movedGrace {
			return fmt.Errorf("fetch: %w", errSuperseded)
		}
	case starving && quiet > d.g.o.Grace && d.hopeless():
		return fmt.Errorf("fetch: %w: %s", ErrDamaged, d.names(d.starved.Leaves))
	}
	if quiet > d.g.o.Patience {
		if len(st.Peers) == 0 && len(d.g.holders) == 0 {
			return fmt.Errorf("fetch: %w: every holder is gone, %d bytes are missing", ErrTimeout, st.LeftBytes)
		}
		return fmt.Errorf("fetch: %w: %d bytes are missing%s", ErrTimeout, st.LeftBytes, d.of())
	}
	return nil
}

// complete tells whether a peer says it holds the whole revision that is being fetched.
func (d *download) complete(p fetch.Peer) bool {
	h := d.g.holders[peer.ID(p)]
	return h != nil && h.complete && head(h.v).Root == d.s.lay.Root
}

// errSuperseded: nobody has the rest of this revision any more, but a newer one is there.
var errSuperseded = errors.New("a newer revision took this one's place")

// movedGrace is how long a get waits for the rest of a revision when a newer one is offered: a moment more than
// the time between two updates of a holder.
const movedGrace = time.Second

func (d *download) superseded() bool {
	if d.g.o.Pinned || d.g.o.Revision != 0 || d.g.voted() {
		return false // the next run would choose the same one again
	}
	for _, h := range d.g.holders {
		if supersedes(head(h.v), head(d.g.v)) {
			return true
		}
	}
	return false
}

// hopeless tells whether every leaf that nobody connected has was seen only damaged, or the only holders there
// ever were have sent wrong bytes. One that is away may come back.
func (d *download) hopeless() bool {
	if len(d.banned) > 0 && len(d.banned) >= len(d.g.ever) {
		return true
	}
	for _, l := range d.starved.Leaves {
		if !d.corrupt[l] {
			return false
		}
	}
	return len(d.starved.Leaves) > 0
}

// of names the files whose leaves nobody has.
func (d *download) of() string {
	if names := d.names(d.starved.Leaves); names != "" {
		return ", of " + names
	}
	return ""
}

// names lists the files some leaves belong to, at most three.
func (d *download) names(leaves []uint32) string {
	want := map[uint32]bool{}
	for _, l := range leaves {
		want[l] = true
	}
	names := filesWith(d.s.lay, want)
	if len(names) > 3 {
		names = append(names[:3], fmt.Sprintf("and %d more", len(names)-3))
	}
	for i, n := range names {
		if i < 3 {
			names[i] = fmt.Sprintf("%q", n)
		}
	}
	return strings.Join(names, ", ")
}
