package replica

import (
	"maps"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/list"
)

// Inside reads a set for this node's own people, also one that is being got; the caller closes it.
func (r *Registry) Inside(rep *Replica) delta.Reader { return &deltaReader{r.reader(rep, "", nil)} }

// Picture is what this node tells others of the set: its records and which leaves it has.
func (p *Replica) Picture() list.Info { return p.info() }

// Crowd lists the peers that watch the set here or said that they hold all of it, in order of their ids.
func (p *Replica) Crowd() []peer.ID {
	p.feed.mu.Lock()
	defer p.feed.mu.Unlock()
	all := slices.AppendSeq(slices.Collect(maps.Keys(p.feed.watchers)), maps.Keys(p.feed.confirmed))
	slices.Sort(all)
	return slices.Compact(all)
}

// Partners lists the peers that are known to hold some of the set, or are getting it from here, in order of their ids: those
// of Crowd, those that showed it when this node got the set, and voters that said so. They need not be connected.
func (r *Registry) Partners(p *Replica) []peer.ID {
	all := p.Crowd()
	p.feed.mu.Lock()
	all = slices.AppendSeq(all, maps.Keys(p.feed.holders))
	p.feed.mu.Unlock()
	for _, h := range p.State().holders() {
		all = append(all, h.ID)
	}
	if v, ok := r.View(p); ok {
		for _, o := range v.Voters {
			if len(o.Have) > 0 {
				all = append(all, o.ID)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
