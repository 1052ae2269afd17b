package node

import (
	"net/http"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	libnet "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/meter"
	"github.com/shoal-p2p/shoal/node/replica"
)

// Metrics answers a scrape with what this node measures of itself.
func (n *Node) Metrics() http.Handler { return n.life.meter.Handler() }

// Instrument measures how the requests are answered that next takes.
func (n *Node) Instrument(next http.Handler) http.Handler {
	return n.life.meter.Instrument(next, time.Now)
}

// Standing implements meter.Source.
func (n *Node) Standing() meter.Standing {
	l := n.life
	s := meter.Standing{Uptime: n.now().Sub(l.start), Sets: n.setsStanding(),
		Bytes: meter.Bytes{Reused: l.reused.Load(), Patched: l.patched.Load(), Fetched: l.fetched.Load()}}
	all := n.limits.of(cid.Undef)
	s.Limit = meter.Traffic{In: all.down, Out: all.up}
	if size, err := n.store.DiskBytes(); err == nil { // else the store is being closed
		s.StoreBytes = size
	}
	if w := n.network(); w != nil {
		s.Wire, s.Connections = w.bytes.byKind(), w.paths()
		s.Peers = len(w.host.Network().Peers())
		if t, ok := w.table.(interface{ Size() int }); ok {
			s.Table = t.Size()
		}
	}
	return s
}

// libraryMetrics is where libp2p's own go; a node that ends with its command has nobody to show them to.
func (n *Node) libraryMetrics() prometheus.Registerer {
	if n.cfg.Brief {
		return nil
	}
	return n.life.meter.Registerer()
}

// traffic is the same for those who ask by the API.
func (n *Node) traffic() *api.Traffic {
	l := n.life
	t := &api.Traffic{In: map[string]int64{}, Out: map[string]int64{}, Reused: l.reused.Load(), Patched: l.patched.Load(), Fetched: l.fetched.Load()}
	if w := n.network(); w != nil {
		for kind, b := range w.bytes.byKind() {
			t.In[kind], t.Out[kind] = b.In, b.Out
		}
	}
	return t
}

// Moved is how many bytes came and went on the streams of our protocols so far, and how many of new revisions did not have
// to. Whoever calls it every few seconds has the rates of peers brought up to date.
func (n *Node) Moved() (in, out, saved int64) {
	if w := n.network(); w != nil {
		in, out = w.wire()
		w.bytes.flows.read(n.now(), func(p peer.ID) bool { return w.host.Network().Connectedness(p) == libnet.Connected })
	}
	return in, out, n.life.reused.Load() + n.life.patched.Load()
}

// paths counts the open connections by how they travel.
func (w *network) paths() map[meter.Path]int {
	out := map[meter.Path]int{}
	for _, c := range w.host.Network().Conns() {
		out[meter.Path{Transport: transport(c), Relayed: c.Stat().Limited}]++
	}
	return out
}

// setsStanding takes all sets together.
func (n *Node) setsStanding() meter.Sets {
	s := meter.Sets{Roles: map[string]int{}}
	for _, role := range []string{api.RolePrimary, api.RoleBackup, api.RoleReplica, api.RoleCandidate, api.RoleReader} {
		s.Roles[role] = 0
	}
	here := map[string]bool{}
	for _, rep := range n.sets.Replicas() {
		here[rep.State().Set] = true
		n.addStanding(&s, rep)
	}
	n.life.forget(here)
	return s
}

func (n *Node) addStanding(s *meter.Sets, rep *replica.Replica) {
	v := n.seats().Roles(rep.Set())
	s.Roles[v.Role]++
	s.Forks += v.Forks
	if v.Stale {
		s.Stale++
	}
	if len(n.alarms(rep, v)) > 0 {
		s.Alarmed++
	}
	if v.Primary == "" && slices.Contains(rep.Verified().Config.Voters, n.self) {
		s.Headless++
	}
	h, ok := rep.Head()
	if st := rep.State(); !ok || !st.Complete && !st.Shared {
		s.Incomplete++
	}
	if ok {
		files, _, bytes := h.Totals()
		s.Files, s.Bytes = s.Files+files, s.Bytes+bytes
	}
	if n.cfg.Nameless {
		return
	}
	t := n.life.ledger(rep.State().Set)
	name := rep.State().Name
	if !rep.Verified().Config.Public { // figures are for whoever reaches them: on this machine, every user
		name = ""
	}
	s.Each = append(s.Each, meter.Set{ID: rep.State().Set, Name: name, Behind: v.Behind, Downloads: t.downloads, Synced: t.synced})
}
