package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

const (
	// peekPatience is how long a peek may take in all: a person waits for it.
	peekPatience = 30 * time.Second
	// peekBytes bounds the nodes of one peek, which are kept in memory until it is answered: 10,000 entries are some MB, and
	// a folder of files of many GB each has larger ones.
	peekBytes = 64 << 20
)

// Peeked is what lies in a folder of a revision.
type Peeked struct {
	Head    record.Head
	Name    string // of the set
	Entries []dag.Entry
	More    bool // than were wanted
}

// Peek lists a folder of a set that need not be here: of GetOptions only Revision, Patience, which here is for all of it,
// and Progress count. Only the nodes that dag.ReadFolder gets are fetched; nothing is kept, announced or recorded.
// Errors: as Get, ErrNoRevision, dag.ErrNoEntry.
func (r *Registry) Peek(ctx context.Context, t record.Ticket, path string, most int, o GetOptions) (Peeked, error) {
	net := r.network()
	if net == nil {
		return Peeked{}, ErrOffline
	}
	if o.Patience == 0 {
		o.Patience = peekPatience
	}
	o.Plan = true // nothing that is heard is taken over
	o = o.withDefaults()
	t = r.acquainted(t)
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	g := r.newGet(ctx, net, t, o)
	defer g.look.wg.Wait()
	defer cancel()
	out, err := g.peek(ctx, t, path, most)
	if err != nil && whole.Err() == nil && ctx.Err() != nil {
		return Peeked{}, fmt.Errorf("peek: %w", g.late())
	}
	return out, err
}

// late is why nothing was found out in time.
func (g *get) late() error {
	if len(g.ever) == 0 {
		return g.nobody()
	}
	return ErrTimeout
}

// acquainted adds to a ticket what is remembered of its set: the capability, and who had it the last time.
func (r *Registry) acquainted(t record.Ticket) record.Ticket {
	if rep, ok := r.lookup(t.Set); ok {
		st := rep.State()
		if len(t.Cap) == 0 {
			t.Cap = st.Cap
		}
		t.Addrs = joinAddrs(t.Addrs, st.holders())
	}
	return t
}

func (g *get) peek(ctx context.Context, t record.Ticket, path string, most int) (Peeked, error) {
	if err := g.settleOn(ctx, t); err != nil {
		return Peeked{}, err
	}
	g.o.Progress(Progress{Phase: "list"})
	h := head(g.v)
	p := &peeker{g: g, root: h.Root, got: map[cid.Cid][]byte{}, left: min(nodeBytes(h), peekBytes), tried: map[peer.ID]int{}}
	defer p.hangUp()
	entries, more, err := dag.ReadFolder(ctx, h.Root, path, most, p.get, p.ahead)
	if err != nil {
		return Peeked{}, fmt.Errorf("peek: %w", err)
	}
	return Peeked{Head: h, Name: g.v.Config.Name, Entries: entries, More: more}, nil
}

// settleOn finds holders, and the revision that is wanted.
func (g *get) settleOn(ctx context.Context, t record.Ticket) error {
	g.o.Progress(Progress{Phase: "find"})
	if err := g.choose(ctx, t); err != nil || g.o.Revision == 0 {
		return err
	}
	return g.pickRevision(ctx)
}

// peeker gets nodes of a revision from this disk, or from one holder after the other. It is used by one goroutine.
type peeker struct {
	g    *get
	root cid.Cid
	got  map[cid.Cid][]byte // verified
	left int64              // bytes that may still come

	from  peer.ID         // whom sess is with
	sess  *chunks.Session // nil: nobody is being asked
	pace  *pace           // of sess
	tried map[peer.ID]int // see get.nextHolder
}

// get is a dag.Get.
func (p *peeker) get(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := p.ahead(ctx, []cid.Cid{c}); err != nil {
		return nil, err
	}
	return p.got[c], nil
}

// ahead gets nodes that are about to be needed.
func (p *peeker) ahead(ctx context.Context, nodes []cid.Cid) error {
	var lacking []cid.Cid
	here := p.g.r.nodesOf(p.g.id)
	for _, c := range nodes {
		if p.got[c] != nil {
			continue
		}
		if b, err := here(ctx, c); err == nil {
			p.got[c] = b
		} else {
			lacking = append(lacking, c)
		}
	}
	for len(lacking) > 0 {
		n := min(len(lacking), chunks.MaxWant)
		if err := p.fetch(ctx, lacking[:n]); err != nil {
			return err
		}
		lacking = lacking[n:]
	}
	return nil
}

// fetch asks holders until one of them had each of the nodes, at most chunks.MaxWant. Errors: ErrDamaged, that of ctx, errRevision.
func (p *peeker) fetch(ctx context.Context, nodes []cid.Cid) error {
	start, damaged := p.g.r.cfg.Now(), false
	for {
		err := p.dial(ctx)
		if err == nil {
			if nodes, err = p.ask(ctx, nodes); err == nil && len(nodes) == 0 || errors.Is(err, errRevision) {
				return err
			}
			if errors.Is(err, blockstore.ErrCorrupt) {
				p.g.net.Swarm.Ban(p.from, "sent a wrong node")
				p.tried[p.from] = maxWalks
			}
			h := p.g.holders[p.from]
			damaged = damaged || p.tried[p.from] == maxWalks || err == nil && h != nil && h.complete
			p.hangUp()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.g.absorb()
		if !errors.Is(err, errAllAsked) {
			continue
		}
		if damaged && p.g.r.cfg.Now().Sub(start) > p.g.o.Grace {
			return fmt.Errorf("%w: folders of the set", ErrDamaged)
		}
		p.again(ctx)
	}
}

// errAllAsked: every holder that is known was asked.
var errAllAsked = errors.New("all holders were asked")

// dial opens a session with the next holder, unless there is one.
func (p *peeker) dial(ctx context.Context) error {
	if p.sess != nil {
		return nil
	}
	next, ok := p.g.nextHolder(p.root, p.tried)
	if !ok {
		return errAllAsked
	}
	p.from = next
	p.tried[next]++
	sess, err := p.g.net.Streams.Chunks(ctx, next, p.g.id, p.g.look.cap)
	if err != nil {
		return err
	}
	p.sess = sess
	p.pace = &pace{now: p.g.r.cfg.Now, end: func() { sess.Close() }, another: func() bool { return false }, silence: walkStall}
	p.pace.start()
	sess.Throttle(p.pace.patiently(p.g.throttle(ctx, next)))
	sess.Watch(p.pace.came)
	return nil
}

// again waits for news of the holders, or until they are asked once more.
func (p *peeker) again(ctx context.Context) {
	p.g.look.widen()
	pause := time.NewTimer(walkPause)
	defer pause.Stop()
	select {
	case <-p.g.look.signal:
		p.g.absorb()
	case <-pause.C:
		for id := range p.tried {
			if p.tried[id] < maxWalks {
				p.tried[id] = 0
			}
		}
	case <-ctx.Done():
	}
}

// ask takes the nodes that the holder has and returns those that it has not.
func (p *peeker) ask(ctx context.Context, nodes []cid.Cid) (lacking []cid.Cid, err error) {
	sess := p.sess
	defer context.AfterFunc(ctx, func() { sess.Close() })()
	if err := sess.Want(nodes); err != nil {
		return nodes, err
	}
	for i := range nodes {
		var rep chunks.Reply
		err := p.pace.wait(func() (int, error) {
			var err error
			rep, err = sess.Next(nil) // kept as it is
			return len(rep.Data), err
		})
		if err != nil {
			return append(lacking, nodes[i:]...), err
		}
		if rep.Code != wire.OK {
			lacking = append(lacking, nodes[i])
			continue
		}
		if p.left -= int64(len(rep.Data)); p.left < 0 {
			return lacking, fmt.Errorf("%w: %w", errRevision, dag.ErrLimit)
		}
		b, err := blockstore.Receive(nodes[i], rep.Data)
		if err != nil {
			return append(lacking, nodes[i:]...), err
		}
		p.got[nodes[i]] = b.Data()
	}
	return lacking, nil
}

// hangUp ends the session with the holder that is being asked.
func (p *peeker) hangUp() {
	if p.sess != nil {
		p.sess.Close()
		p.sess = nil
	}
}
