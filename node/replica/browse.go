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
