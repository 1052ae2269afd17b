package replica

import (
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"pgregory.net/rapid"
)

// story is everything that ever happened to a feed; what a watcher must know is computed from it anew.
type story struct {
	have     []uint32
	complete bool
	watchers []peer.ID
}

// picture is what a watcher knows from the news alone.
type picture struct {
	at       mark
	have     []uint32
	complete bool
	peers    []peer.ID
}

func TestFeedTellsEverythingOnce(t *testing.T) {
	addr := multiaddr.StringCast("/ip4/192.0.2.1/tcp/1")
	rapid.Check(t, func(t *rapid.T) {
		var f feed
		var truth story
		leave := map[peer.ID]func(){}
		watchers := []*picture{{}, {}, {}}
		ids := rapid.SampledFrom([]peer.ID{"a", "b", "c", "d"})
		catchUp := func(w *picture) {
			before := w.at
			n, at, changed := f.since(w.at)
			if changed != nil {
				if at != before || len(n.have) > 0 || n.fresh {
					t.Fatalf("nothing changed, and yet: %+v at %v", n, at)
				}
			} else {
				if n.fresh {
					w.have, w.peers = nil, nil
				}
				for _, l := range n.have {
					if slices.Contains(w.have, l) {
						t.Fatalf("leaf %d told twice", l)
					}
				}
				w.have, w.complete = append(w.have, n.have...), n.complete
				if n.peers != nil || n.fresh {
					w.peers = nil
					for _, p := range n.peers {
						w.peers = append(w.peers, p.ID)
					}
				}
				w.at = at
			}
			slices.Sort(w.peers)
			want := truth.watchers
			if len(want) == 0 {
				w.peers = nil // that the last ones left need not be told: peers are hints
			}
			if !slices.Equal(w.have, truth.have) || w.complete != truth.complete || !slices.Equal(w.peers, want) {
				t.Fatalf("watcher knows %v %v %v, truth is %+v", w.have, w.complete, w.peers, truth)
			}
		}
		next := uint32(0)
		t.Repeat(map[string]func(*rapid.T){
			"reset": func(t *rapid.T) {
				truth.complete = rapid.Bool().Draw(t, "complete")
				truth.have = nil
				next = 0
				f.reset(truth.complete)
			},
			"add": func(t *rapid.T) {
				var some []uint32
				for range rapid.IntRange(1, 5).Draw(t, "n") {
					some = append(some, next)
					next++
				}
				truth.have = append(truth.have, some...)
				f.add(some...)
			},
			"join": func(t *rapid.T) {
				p := ids.Draw(t, "peer")
				if leave[p] == nil {
					leave[p] = f.join(peer.AddrInfo{ID: p, Addrs: []multiaddr.Multiaddr{addr}})
					truth.watchers = append(truth.watchers, p)
					slices.Sort(truth.watchers)
				}
			},
			"leave": func(t *rapid.T) {
				p := ids.Draw(t, "peer")
				if leave[p] != nil {
					leave[p]()
					delete(leave, p)
					truth.watchers = slices.DeleteFunc(truth.watchers, func(q peer.ID) bool { return q == p })
				}
			},
			"read": func(t *rapid.T) { catchUp(rapid.SampledFrom(watchers).Draw(t, "watcher")) },
			"":     func(*rapid.T) {},
		})
		for _, w := range watchers {
			catchUp(w)
		}
	})
}

func TestFeedWakesWhoWaits(t *testing.T) {
	for name, change := range map[string]func(*feed){
		"add":   func(f *feed) { f.add(1) },
		"reset": func(f *feed) { f.reset(true) },
		"join":  func(f *feed) { f.join(peer.AddrInfo{ID: "p"}) },
		"end":   func(f *feed) { f.end() },
	} {
		var f feed
		_, at, _ := f.since(mark{})
		_, _, changed := f.since(at)
		if changed == nil {
			t.Fatalf("%s: there is news of nothing", name)
		}
		select {
		case <-changed:
			t.Fatalf("%s: woken too early", name)
		default:
		}
		change(&f)
		wait(t, changed, name)
		n, _, _ := f.since(at)
		if n.gone != (name == "end") {
			t.Errorf("%s: gone is %v", name, n.gone)
		}
	}
}

// The first news of every feed must carry the whole picture, or the watch is malformed.
func TestFeedOfANewSetBeginsFresh(t *testing.T) {
	var f feed
	f.join(peer.AddrInfo{ID: "p"})
	if n, _, changed := f.since(mark{}); changed != nil || !n.fresh {
		t.Errorf("first news %+v", n)
	}
}

func TestFeedCountsHoldersOfThisRevision(t *testing.T) {
	var f feed
	for _, p := range []peer.ID{"a", "b", "a"} {
		f.confirm(p)
	}
	if n := f.whole(); n != 2 {
		t.Errorf("%d holders, want 2", n)
	}
	f.reset(true)
	if n := f.whole(); n != 0 {
		t.Errorf("%d holders of a new revision, want 0", n)
	}
}
