package node

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Status implements api.Looker.
func (n *Node) Status(ctx context.Context) (api.Status, error) {
	st := api.Status{PeerID: n.self.String(), Listen: []string{}, Version: n.cfg.Version, Home: n.cfg.Home,
		API: filepath.Join(n.cfg.Home, "api.sock"), UptimeSeconds: n.now().Sub(n.life.start).Seconds(), Sets: []api.SetInfo{}, Peers: []api.PeerInfo{}}
	for _, rep := range n.sets.Replicas() {
		st.Sets = append(st.Sets, n.info(rep))
	}
	if stats, err := n.store.Stats(ctx); err == nil {
		st.DiskBytes = stats.DiskBytes
	}
	if k := n.loadedOwner(); k != nil {
		if id, err := peer.IDFromPublicKey(k.GetPublic()); err == nil {
			st.Owner = id.String()
		}
	}
	w := n.network()
	if w == nil {
		return st, nil
	}
	for _, a := range w.host.P2pAddrs() {
		st.Listen = append(st.Listen, a.String())
	}
	st.WireIn, st.WireOut = w.wire()
	st.Traffic = n.traffic()
	st.Peers = w.peers()
	return st, nil
}

// peers describes the connected peers in order of their ids.
func (w *network) peers() []api.PeerInfo {
	out := []api.PeerInfo{}
	store := w.host.Peerstore()
	for _, p := range w.host.Network().Peers() {
		conns := w.host.Network().ConnsToPeer(p)
		if len(conns) == 0 {
			continue // gone since
		}
		i := api.PeerInfo{PeerID: p.String(), Addr: conns[0].RemoteMultiaddr().String(), Transport: transport(conns[0]),
			RTTms: float64(store.LatencyEWMA(p).Microseconds()) / 1000}
		if agent, err := store.Get(p, "AgentVersion"); err == nil {
			i.Agent, _ = agent.(string)
		}
		if ids, err := store.SupportsProtocols(p, list.ID); err == nil && len(ids) > 0 {
			i.Role = "seeder"
		}
		i.RateIn, i.RateOut = w.bytes.flows.rate(p)
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b api.PeerInfo) int {
		if a.PeerID < b.PeerID {
			return -1
		}
		return 1
	})
	return out
}

// owns tells whether this home holds an owner key of the set.
func (n *Node) owns(g record.Genesis) bool {
	owner := n.loadedOwner()
	return owner != nil && slices.ContainsFunc(g.Owners, func(k crypto.PubKey) bool { return k.Equals(owner.GetPublic()) })
}

// loadedOwner is the owner key, or nil while this home has none.
func (n *Node) loadedOwner() crypto.PrivKey {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.owner
}
