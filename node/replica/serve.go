package replica

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// session is a get in progress. Its fields are set before it becomes visible and never change; what they
// point to is safe for concurrent use.
type session struct {
	lay   *dag.Layout
	nodes atomic.Pointer[map[cid.Cid][]byte] // nodes that are not in the store yet; nil once all are
	index map[cid.Cid]uint32                 // leaf -> its number in lay.Leaves
	out   sink
	haul  haul // of one that fetches for the council: what it received

	readers sync.WaitGroup // of out; grows only while the session is visible
	buffers sync.Pool      // of *[]byte: room for a leaf on its way in
}

// sink takes the leaves of a revision, numbered as in its layout.
type sink interface {
	Need() []uint32 // the leaves still to be had, in file order
	Have(i uint32) bool
	// Read returns the bytes of a leaf that was written. Errors: blockstore.ErrNotFound.
	Read(i uint32, buf []byte) ([]byte, error)
	// Write verifies a leaf and takes it. Errors: blockstore.ErrCorrupt, and those of the disk.
	Write(i uint32, data []byte) error
	Close() error // what was not finished is given up
}

// node finds a node that is on its way into the store.
func (s *session) node(c cid.Cid) ([]byte, bool) {
	if m := s.nodes.Load(); m != nil {
		b, ok := (*m)[c]
		return b, ok
	}
	return nil, false
}

// close ends a session that is not visible any more.
func (s *session) close() {
	s.readers.Wait()
	s.out.Close()
}

// readable tells whether p may read the set, as a member or with an invite: the same question for every protocol.
func (r *Registry) readable(set cid.Cid, p peer.ID, invite []byte) (*Replica, bool) {
	rep, ok := r.lookup(set)
	if !ok {
		return nil, false
	}
	v := rep.Verified()
	if v.Config.MayRead(p) {
		return rep, true
	}
	if len(invite) == 0 {
		return nil, false
	}
	i, err := record.OpenInvite(invite, v.Genesis)
	return rep, err == nil && i.Allows(p, v.Config, r.cfg.Now())
}

// Catalog serves the list protocol from the registry.
type Catalog struct{ r *Registry }

// Catalog is what the list protocol's server needs.
func (r *Registry) Catalog() Catalog { return Catalog{r} }

// Sets lists the sets p may read.
func (c Catalog) Sets(_ context.Context, p peer.ID) ([]list.SetEntry, error) {
	var out []list.SetEntry
	for _, rep := range c.r.all() {
		if _, ok := c.r.readable(rep.id, p, nil); !ok {
			continue
		}
		v := rep.Verified()
		e := list.SetEntry{Set: rep.id, Name: v.Config.Name}
		if len(v.Heads) > 0 {
			h := head(v)
			e.Revision = h.Revision
			e.Files, _, e.Bytes = h.Totals()
		}
		out = append(out, e)
	}
	return out, nil
}

// Info answers for one set.
func (c Catalog) Info(_ context.Context, p peer.ID, set cid.Cid, invite []byte) (list.Info, error) {
	rep, ok := c.r.readable(set, p, invite)
	if !ok {
		return list.Info{}, fmt.Errorf("info: %w", list.ErrNotFound)
	}
	return rep.info(), nil
}

func (p *Replica) info() list.Info {
	p.mu.Lock()
	st, s := p.state, p.session
	p.mu.Unlock()
	info := list.Info{Bundle: st.Bundle, Leaves: st.Leaves, Complete: st.Complete, Peers: p.feed.peers()}
	if s == nil || st.Complete {
		return info
	}
	info.Leaves, info.Have = len(s.lay.Leaves), list.NewBitmap(len(s.lay.Leaves))
	for i := range s.lay.Leaves {
		if s.out.Have(uint32(i)) {
			info.Have.Set(i)
		}
	}
	return info
}

// Watch answers for one set and goes on telling what changes until ctx ends.
func (c Catalog) Watch(ctx context.Context, p peer.ID, set cid.Cid, invite []byte) (<-chan list.Update, error) {
	rep, ok := c.r.readable(set, p, invite)
	if !ok {
		return nil, fmt.Errorf("watch: %w", list.ErrNotFound)
	}
	ch := make(chan list.Update)
	go func() {
		defer close(ch)
		defer rep.feed.join(peer.AddrInfo{ID: p})()
		var known sync.WaitGroup
		defer known.Wait()
		if n := c.r.network(); n != nil { // a peer that has just connected may not have said where others can dial it
			known.Go(func() {
				if who := n.Swarm.Known(ctx, p); len(who.Addrs) > 0 {
					rep.feed.learn(who)
				}
			})
		}
		rep.tell(ctx, p, ch, func() bool {
			_, ok := c.r.readable(set, p, invite)
			return ok
		})
	}()
	return ch, nil
}

// tell feeds one watcher for as long as it may read.
func (p *Replica) tell(ctx context.Context, who peer.ID, ch chan<- list.Update, may func() bool) {
	var at mark
	for {
		n, next, changed := p.feed.since(at)
		if changed != nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		if n.gone || n.fresh && !may() {
			return
		}
		at = next
		u := list.Update{Have: n.have, Complete: n.complete}
		if n.fresh {
			info := p.info()
			info.Peers = nil // they come beside it, without the watcher itself
			u = list.Update{Info: &info, Complete: info.Complete}
		}
		for _, other := range n.peers {
			if other.ID != who {
				u.Peers = append(u.Peers, other)
			}
		}
		select {
		case ch <- u:
		case <-ctx.Done():
			return
		}
	}
}

// Confirm counts p as a holder if root is the revision it was told of here.
func (c Catalog) Confirm(_ context.Context, p peer.ID, set, root cid.Cid, invite []byte) error {
	rep, ok := c.r.readable(set, p, invite)
	if !ok {
		return fmt.Errorf("confirm: %w", list.ErrNotFound)
	}
	if h, ok := rep.Head(); ok && h.Root == root {
		rep.feed.confirm(p)
	}
	return nil
}

// History answers with the heads before the newest one, as far as they are remembered.
func (c Catalog) History(_ context.Context, p peer.ID, set cid.Cid, invite []byte) ([][]byte, error) {
	rep, ok := c.r.readable(set, p, invite)
	if !ok {
		return nil, fmt.Errorf("history: %w", list.ErrNotFound)
	}
	return rep.State().Past, nil
}

// Deltas serves the delta protocol from the registry.
type Deltas struct{ r *Registry }

// Deltas is what the delta protocol's server needs.
func (r *Registry) Deltas() Deltas { return Deltas{r} }

// Open checks the read right of p once for the stream it is about to use.
func (s Deltas) Open(_ context.Context, p peer.ID, set cid.Cid, invite []byte) (delta.Reader, error) {
	rep, ok := s.r.readable(set, p, invite)
	if !ok {
		return nil, fmt.Errorf("open: %w", blockstore.ErrNotFound)
	}
	return &deltaReader{s.r.reader(rep, p, invite)}, nil
}

// deltaReader reads the blocks of one set, and flattens its revisions.
type deltaReader struct{ *reader }

// Layout flattens a revision of the set: the one that is being got, or one whose nodes are all here.
func (d *deltaReader) Layout(ctx context.Context, root cid.Cid) (*dag.Layout, error) {
	if !d.may() {
		return nil, fmt.Errorf("layout: %w", blockstore.ErrNotFound)
	}
	d.rep.mu.Lock()
	s := d.rep.session
	d.rep.mu.Unlock()
	if s != nil && s.lay.Root == root {
		return s.lay, nil
	}
	return d.r.layoutOf(ctx, d.rep.id, root)
}

// Source serves the chunks protocol from the registry.
type Source struct{ r *Registry }

// Source is what the chunks protocol's server needs.
func (r *Registry) Source() Source { return Source{r} }

// Open checks the read right of p once for the stream it is about to use.
func (s Source) Open(_ context.Context, p peer.ID, set cid.Cid, invite []byte) (chunks.Reader, error) {
	rep, ok := s.r.readable(set, p, invite)
	if !ok {
		return nil, fmt.Errorf("open: %w", blockstore.ErrNotFound)
	}
	return s.r.reader(rep, p, invite), nil
}

// reader serves the blocks of one set: those of a get in progress from its partial files, the others from
// the store. It does so for as long as its peer may read the set.
type reader struct {
	r       *Registry
	rep     *Replica
	peer    peer.ID
	invite  []byte
	version atomic.Uint64 // of the config that allows it
	done    func()
}

func (r *Registry) reader(rep *Replica, p peer.ID, invite []byte) *reader {
	rd := &reader{r: r, rep: rep, peer: p, invite: invite, done: r.moving()}
	rd.version.Store(rep.Verified().Config.Version)
	return rd
}

// may asks again when the config has changed. An invite that expires meanwhile ends with the stream.
func (rd *reader) may() bool {
	now := rd.rep.Verified().Config.Version
	if now == rd.version.Load() {
		return true
	}
	if _, ok := rd.r.readable(rd.rep.id, rd.peer, rd.invite); !ok {
		return false
	}
	rd.version.Store(now)
	return true
}

// Get returns verified bytes of a block of the set.
func (rd *reader) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	if !rd.may() {
		return nil, fmt.Errorf("get: %w", blockstore.ErrNotFound)
	}
	rd.rep.mu.Lock()
	s := rd.rep.session
	if s != nil {
		s.readers.Add(1)
		defer s.readers.Done()
	}
	rd.rep.mu.Unlock()
	if s != nil {
		if i, ok := s.index[c]; ok {
			if b, err := s.out.Read(i, buf); err == nil {
				return b, nil
			}
		} else if b, ok := s.node(c); ok {
			return append(buf[:0], b...), nil
		}
	}
	b, err := rd.r.cfg.Store.GetFrom(ctx, rd.rep.id, c, buf)
	if isMissing(err) {
		rd.r.worry(rd.rep, c)
		if seat := rd.rep.seated(); seat != nil {
			seat.doubt()
		}
	}
	return b, err
}

// Walk calls fn for the nodes below root, parents first, each once, in depth-first order.
func (rd *reader) Walk(ctx context.Context, root cid.Cid, fn func(blockstore.Block) error) error {
	return chunks.WalkNodes(ctx, root, rd.Get, fn)
}

// Close ends the reading.
func (rd *reader) Close() error {
	rd.done()
	return nil
}
