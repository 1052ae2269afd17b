package fetch

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// FuzzStep feeds arbitrary events. model checks the actions; the counters and bitmaps must agree with
// what can be counted the slow way after every step.
func FuzzStep(f *testing.F) {
	f.Add(uint64(1), []byte{0, 1, 0, 3, 0, 1, 4, 0, 2, 7, 0, 0})
	f.Add(uint64(2), []byte{0, 1, 0xff, 0, 2, 0, 5, 1, 3, 5, 1, 4, 5, 1, 5, 6, 2, 9, 7, 200, 0, 2, 1, 0})
	f.Add(uint64(3), []byte("\x00\x01\x00\x00\x02\x0f\x07\xff\x00\x07\xff\x00\x03\x02\x00\x08\x01\x00\x01\x02\x44"))
	f.Fuzz(randomEvents)
}

// TestRandomEvents is the fuzz target over random data, so that every plain run has it.
func TestRandomEvents(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		data := make([]byte, 600)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		randomEvents(t, r.Uint64(), data)
	}
}

func randomEvents(t *testing.T, seed uint64, data []byte) {
	leaves := make([]uint32, 1+seed%300)
	for i := range leaves {
		leaves[i] = uint32(seed>>(i%32)) % (300 << 10)
	}
	s := New(Config{Leaves: leaves, Need: all(len(leaves) + 3), Self: "p0", Rand: seed, MaxWindow: 1 << 20})
	m := newModel(t, s)
	now := epoch
	for ; len(data) >= 3; data = data[3:] {
		peer, leaf := Peer(fmt.Sprint("p", data[1]%8)), uint32(data[2])
		var ev Event
		switch data[0] % 10 {
		case 0:
			ev = PeerUp{Peer: peer, Complete: leaf%2 == 0, Have: []byte{data[2], 0xff, data[2]}}
		case 1:
			ev = PeerHave{Peer: peer, Leaves: []uint32{leaf, leaf + 1, leaf * 7, leaf}, Complete: leaf == 99}
		case 2:
			ev = PeerDown{peer}
		case 3:
			ev = Bad{peer, leaf}
		case 4:
			ev = Missing{peer, leaf}
		case 5:
			ev = Failed{peer, []uint32{leaf, leaf + 1}}
		case 6:
			now = now.Add(time.Duration(data[2]) * 50 * time.Millisecond)
			ev = Tick{}
		default:
			ev = oldest(s, peer, leaf)
		}
		m.before(ev)
		for _, a := range s.Step(now, ev) {
			m.check(a)
		}
		audit(t, s, m)
	}
}

// oldest answers what the peer was asked first, or leaf if it was asked nothing.
func oldest(s *Scheduler, p Peer, leaf uint32) Event {
	if q := s.index[p]; q != nil && q.head != 0 {
		leaf = s.ledger.slab[q.head].leaf
	}
	return Received{p, leaf, 1}
}

func audit(t *testing.T, s *Scheduler, m *model) {
	t.Helper()
	var inflight, wanted int64
	left, held := 0, make([]int, len(s.pieces.spans))
	open := newBitmap(len(s.pieces.spans))
	for i := range s.cfg.Leaves {
		leaf := uint32(i)
		out := s.pieces.out[leaf]
		n := 0
		for _, id := range out {
			if id != 0 {
				n++
				inflight += int64(s.cfg.Leaves[leaf])
				if p := s.ledger.slab[id].peer; !m.out[leaf][p.id] {
					t.Fatalf("leaf %d is not in flight at %s", leaf, p.id)
				}
			}
		}
		want := s.pieces.want.get(leaf)
		free, lent := want && n == 0, want && n == 1 && s.isStalled(out[0])
		if n != len(m.out[leaf]) || want == m.done[leaf] || s.pieces.free.get(leaf) != free || s.pieces.lent.get(leaf) != lent {
			t.Fatalf("leaf %d: %d requests, model %d; want %v, free %v, lent %v", leaf, n, len(m.out[leaf]), want, free, lent)
		}
		if want {
			left++
			wanted += int64(s.cfg.Leaves[leaf])
		}
		if free || lent {
			open.set(s.pieces.spanOf[leaf])
		}
		some := false
		for _, p := range s.peers {
			if !p.have.get(leaf) {
				continue
			}
			some = some || !p.origin()
			if !p.full {
				held[s.pieces.spanOf[leaf]]++
			}
		}
		if some != s.held.get(leaf) {
			t.Fatalf("leaf %d: held %v", leaf, !some)
		}
	}
	if inflight != s.ledger.inflight || left != s.pieces.left || wanted != s.pieces.bytes {
		t.Fatalf("in flight %d, counted %d; left %d, counted %d", s.ledger.inflight, inflight, s.pieces.left, left)
	}
	for i, sp := range s.pieces.spans {
		_, who := bestOwner(s, i)
		if sp.held != held[i] || open.get(uint32(i)) != s.pieces.open.get(uint32(i)) || who != s.owners.who[i] || s.owners.mine.get(uint32(i)) != (who == nil) {
			t.Fatalf("span %d: held %d, counted %d, owner %v, should be %v", i, sp.held, held[i], s.owners.who[i], who)
		}
	}
}

// bestOwner is the owner of a span by definition.
func bestOwner(s *Scheduler, i int) (uint64, *peer) {
	best, who := score(hashPeer(s.cfg.Self), i), (*peer)(nil)
	for _, p := range s.peers {
		if p.active {
			if v := score(p.hash, i); v > best {
				best, who = v, p
			}
		}
	}
	return best, who
}
