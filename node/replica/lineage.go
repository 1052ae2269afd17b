package replica

import (
	"context"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// headOf finds the head of a revision that was here by its root, also where the chain of heads has a gap.
func (p *Replica) headOf(root cid.Cid) (record.Head, bool) {
	p.mu.Lock()
	v, sealed := p.verified, slices.Concat(p.state.Bundle.Heads, p.state.Past)
	p.mu.Unlock()
	for _, b := range sealed {
		for i := range v.Configs {
			if h, _, err := record.OpenHead(b, v.Configs[i], v.ConfigHashes[i]); err == nil && h.Root == root {
				return h, true
			}
		}
	}
	return record.Head{}, false
}

// lineage makes Past the chain of heads before the newest where revisions were skipped, or never seen, with what a
// holder remembers. Otherwise it costs nothing.
func (g *get) lineage(st *State) {
	heads, _, err := record.OpenChain(g.v, st.Past)
	if err == nil && (head(g.v).Revision == 1 || len(heads) > 0) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
	defer cancel()
	for p, h := range g.holders {
		if head(h.v).Root != head(g.v).Root {
			continue
		}
		sealed, err := g.net.Streams.History(ctx, p, g.id, g.look.cap)
		if err == nil {
			var told []record.Head
			if told, _, err = record.OpenChain(g.v, sealed); len(told) > 0 {
				st.Past = sealed[:min(len(told), maxPast)]
				return
			}
		}
		g.r.cfg.Log.Debug("history", "peer", p, "err", err)
	}
}
