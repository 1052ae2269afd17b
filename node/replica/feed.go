package replica

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// feed tells the peers that watch a set what has become available here: leaves in order of arrival,
// completion, and the other watchers (who are holders too, or are about to be).
type feed struct {
	mu        sync.Mutex // guards what follows
	have      []uint32   // leaf indexes of the session's layout, in order of arrival
	complete  bool
	gone      bool // the set is not here any more
	round     int  // grows when have starts over, for a new revision or session
	watchers  map[peer.ID]peer.AddrInfo
	streams   map[peer.ID]int  // how often each of them watches
	joined    int              // grows when watchers changes
	confirmed map[peer.ID]bool // peers that said they hold all of this round's revision
	holders   map[peer.ID]bool // peers that showed a get of the set that they hold some of it
	changed   chan struct{}    // closed at the next change; nil while nobody waits
}

// mark is how far a watcher has read; the zero mark is before everything.
type mark struct{ round, have, joined int }

// news is what happened since a mark.
type news struct {
	fresh    bool // a new round: the watcher's picture is to be replaced
	have     []uint32
	complete bool
	gone     bool            // nothing follows
	peers    []peer.AddrInfo // all watchers, when they changed
}

// reset starts a new round.
func (f *feed) reset(complete bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.have, f.complete, f.confirmed = nil, complete, nil
	f.round++
	f.wake()
}

// end tells the watchers that the set is gone.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	f.round++
	f.wake()
}

// add appends leaves that arrived.
func (f *feed) add(leaves ...uint32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.have = append(f.have, leaves...)
	f.wake()
}

// learn notes the addresses of a watcher.
func (f *feed) learn(p peer.AddrInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.streams[p.ID] > 0 {
		f.watchers[p.ID] = p
		f.joined++
		f.wake()
	}
}

// join adds a watcher until the function returned is called; a peer may watch more than once.
func (f *feed) join(p peer.AddrInfo) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == nil {
		f.watchers, f.streams = map[peer.ID]peer.AddrInfo{}, map[peer.ID]int{}
	}
	f.streams[p.ID]++
	if f.streams[p.ID] == 1 {
		f.watchers[p.ID] = p
	}
	f.joined++
	f.wake()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.streams[p.ID]--; f.streams[p.ID] == 0 {
			delete(f.streams, p.ID)
			delete(f.watchers, p.ID)
		}
		f.joined++
		f.wake()
	}
}

// wake must be called with mu held.
func (f *feed) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// since returns what happened after m and the mark that now holds; when nothing did, the channel is
// closed at the next change.
func (f *feed) since(m mark) (news, mark, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := mark{f.round + 1, len(f.have), f.joined} // never the zero mark, so that the first news is fresh
	if now == m {
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		return news{}, m, f.changed
	}
	n := news{fresh: m.round != now.round, complete: f.complete, gone: f.gone}
	from := m.have
	if n.fresh {
		from = 0
	}
	n.have = append(n.have, f.have[from:]...)
	if n.fresh || m.joined != f.joined {
		n.peers = f.list()
	}
	return n, now, nil
}

// list must be called with mu held.
func (f *feed) list() []peer.AddrInfo {
	var all []peer.AddrInfo
	for _, p := range f.watchers {
		if len(all) == maxPeersTold {
			break
		}
		if len(p.Addrs) > 0 {
			all = append(all, p)
		}
	}
	return all
}

// maxPeersTold bounds the holders one update names: the cap of the list protocol.
const maxPeersTold = 64

func (f *feed) peers() []peer.AddrInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list()
}

// meet notes whether p shows that it holds some of the set.
func (f *feed) meet(p peer.ID, holds bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !holds:
		delete(f.holders, p)
	case len(f.holders) < maxConfirmed:
		if f.holders == nil {
			f.holders = map[peer.ID]bool{}
		}
		f.holders[p] = true
	}
}

// maxConfirmed bounds the holders that are counted; saying it is free for anybody.
const maxConfirmed = 4096

// confirm notes that p holds the whole revision.
func (f *feed) confirm(p peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.confirmed == nil {
		f.confirmed = map[peer.ID]bool{}
	}
	if len(f.confirmed) < maxConfirmed {
		f.confirmed[p] = true
	}
}

// whole is how many peers said they hold the whole revision.
func (f *feed) whole() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.confirmed)
}
