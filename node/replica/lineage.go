package replica

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// headOf finds the head of a revision that was here by its root.
func (p *Replica) headOf(root cid.Cid) (record.Head, bool) {
	for _, e := range p.pool() {
		if e.Root == root {
			return e.Head, true
		}
	}
	return record.Head{}, false
}

// InFolder is the revision that the folder of a set that was fetched holds, as far as it was left alone; false if that is
// not known.
func (p *Replica) InFolder() (uint64, bool) {
	root := p.built()
	if p.State().Shared || !root.Defined() {
		return 0, false
	}
	h, ok := p.headOf(root)
	return h.Revision, ok
}

// lineage lists the sealed heads before the newest, where revisions were skipped, or never seen, with what a holder
// remembers. Otherwise it costs nothing. connected: none is missing between them.
func (g *get) lineage() (past [][]byte, connected bool) {
	h := head(g.v)
	if past = ancestry(h, g.rep.pool()); len(past) > 0 || h.Revision == 1 {
		return past, true
	}
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
	defer cancel()
	for p, holder := range g.holders {
		if head(holder.v).Root != h.Root {
			continue
		}
		sealed, err := g.net.Streams.History(ctx, p, g.id, g.look.cap)
		if err == nil {
			if past = ancestry(h, poolOf(g.v, sealed)); len(past) > 0 {
				return past, true
			}
		}
		g.r.cfg.Log.Debug("history", "set", g.id, "peer", p, "err", err)
	}
	return nil, false
}
