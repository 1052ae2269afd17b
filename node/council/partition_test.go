package council

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/node/election"
)

// others are the nodes but n.
func (w *world) others(n *node) (out []int) {
	for _, o := range w.nodes {
		if o != n {
			out = append(out, o.i)
		}
	}
	return out
}

// includes fails unless the newest head of every node has the proposals.
func (w *world) includes(ids ...uint64) {
	w.t.Helper()
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		have := content(n.seat0().has(n.view().Best))
		for _, id := range ids {
			if !slices.Contains(have, id) {
				w.t.Errorf("node %d has %v, without %d", n.i, have, id)
			}
		}
	}
}

func TestPartition(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		synctest.Test(t, func(t *testing.T) {
			w := begin(t, n, election.AP)
			defer w.end()
			p, backup := w.settle()
			p.publish(1)
			time.Sleep(2 * time.Second)
			w.split([]int{p.i}, w.others(p), false)
			w.until(3*time.Second, "second primary", func() bool { return len(w.primaries()) == 2 })
			p.publish(2)
			backup.publish(3)
			time.Sleep(2 * time.Second)
			if p.seat0().noted("durable [1 2]") {
				t.Error("durable on one disk")
			}
			if n > 2 && !backup.seat0().noted("durable [1 3]") {
				t.Error("not durable on two disks")
			}
			w.heal()
			d := w.until(5*time.Second, "agreement", func() bool { return w.agreed() && len(p.view().Durable) == 1 })
			t.Logf("%d voters agree after %v", n, d)
			w.includes(1, 2, 3)
		})
	}
}

// TestOneWay cuts the way from the primary to its backup, which needs both to acknowledge: what is durable
// then is so by another backup, or not at all, and in the end everything is there.
func TestOneWay(t *testing.T) {
	for _, relay := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := begin(t, 3, election.AP)
			defer w.end()
			w.relay = relay
			p, backup := w.settle()
			p.publish(1)
			time.Sleep(2 * time.Second)
			w.split([]int{p.i}, []int{backup.i}, true)
			p.publish(2)
			time.Sleep(20 * time.Second)
			now := w.nodes[w.primaries()[0]]
			if relay && now != p {
				t.Error("the primary was replaced though its beacons were relayed")
			}
			now.publish(3)
			w.heal()
			w.until(10*time.Second, "agreement", w.agreed)
			w.includes(1, 2, 3)
		})
	}
}

// TestFlapping breaks the link between primary and backup again and again. A third voter relays.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.AP)
		defer w.end()
		p, backup := w.settle()
		time.Sleep(3 * time.Second)
		first := p.view().Epoch.N
		for i := range 60 {
			w.split([]int{p.i}, []int{backup.i}, false)
			p.co.Disconnected(backup.id)
			backup.co.Disconnected(p.id)
			if i%10 == 0 {
				p.co.Tell(setID(0), election.Proposed{ID: uint64(i + 1)})
			}
			time.Sleep(5 * time.Second)
			w.heal()
			time.Sleep(5 * time.Second)
		}
		w.settle()
		if n := p.view().Epoch.N - first; n > 2 {
			t.Errorf("%d changes of primary in ten minutes", n)
		}
	})
}

func TestStrictMinority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.Strict)
		defer w.end()
		p, _ := w.settle()
		p.publish(1)
		time.Sleep(2 * time.Second)
		w.split([]int{p.i}, w.others(p), false)
		// Before the primary notices, it makes a head that nobody else gets.
		p.publish(2)
		begun := time.Now()
		w.until(2*time.Second, "stale", func() bool { return p.view().Stale && p.view().Role != election.Primary })
		p.co.Tell(setID(0), election.Proposed{ID: 3})
		w.until(100*ms, "refusal", func() bool { return p.seat0().noted("refused 3") })
		t.Logf("refuses after %v", time.Since(begun))
		var now *node
		w.until(5*time.Second, "majority", func() bool {
			ps := w.primaries()
			if len(ps) == 1 {
				now = w.nodes[ps[0]]
			}
			return now != nil && now.view().Absorbed && !now.view().Stale
		})
		now.publish(4)
		w.until(time.Second, "durable", func() bool { return now.seat0().noted("durable [1 4]") })
		w.heal()
		w.until(8*time.Second, "agreement", w.agreed)
		w.includes(1, 4)
		if slices.Contains(content(p.seat0().has(p.view().Best)), 2) {
			t.Error("what lost to a majority was merged")
		}
		if p.seat0().noted("durable [1 2]") {
			t.Error("durable in a minority")
		}
	})
}

// TestStrictAbsorbs loses the primary right after something became durable: its successor must have it
// before it publishes, though it was not the backup's disk that had it.
func TestStrictAbsorbs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.Strict)
		defer w.end()
		p, backup := w.settle()
		time.Sleep(2 * time.Second)
		third := w.nodes[3-p.i-backup.i]
		backup.seat0().slow = 3 * time.Second
		p.publish(1)
		w.until(time.Second, "durable", func() bool { return p.seat0().noted("durable [1]") })
		p.kill(true)
		var now *node
		w.until(10*time.Second, "absorbed", func() bool {
			ps := w.primaries()
			if len(ps) != 1 {
				return false
			}
			now = w.nodes[ps[0]]
			return now.view().Absorbed
		})
		if len(now.view().Have) != 1 || content(now.seat0().has(now.view().Best))[0] != 1 {
			t.Errorf("node %d leads without what is durable (third is %d)", now.i, third.i)
		}
		now.publish(2)
		p.restart()
		w.settle()
		w.includes(1, 2)
	})
}

func TestHandover(t *testing.T) {
	for _, mode := range []election.Mode{election.AP, election.Strict} {
		for _, n := range []int{1, 2, 3} {
			synctest.Test(t, func(t *testing.T) {
				w := begin(t, n, mode)
				defer w.end()
				p, backup := w.settle()
				p.publish(1)
				time.Sleep(2 * time.Second)
				begun := time.Now()
				p.co.Leave(t.Context())
				d := time.Since(begun)
				if n == 1 {
					if d != 0 {
						t.Errorf("a lone voter left after %v", d)
					}
					return
				}
				if d > beat || backup.view().Role != election.Primary || !p.seat0().noted("handed over true") {
					t.Errorf("left after %v, backup is %v", d, backup.view().Role)
				}
				p.kill(true)
				if mode == election.AP || n == 3 {
					backup.publish(2)
				}
			})
		}
	}
}

func TestPromote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.AP)
		defer w.end()
		p, backup := w.settle()
		p.publish(1)
		time.Sleep(2 * time.Second)
		third := w.nodes[3-p.i-backup.i]
		p.co.Tell(setID(0), election.HandoverRequested{To: third.id})
		w.until(time.Second, "handover", func() bool { return w.agreed() && slices.Equal(w.primaries(), []int{third.i}) })
		time.Sleep(2 * time.Second)
		p.co.Tell(setID(0), election.PromoteRequested{})
		w.until(time.Second, "promotion", func() bool { return w.agreed() && slices.Equal(w.primaries(), []int{p.i}) })
	})
}

func TestConfigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4)
		defer w.end()
		first := w.config(1, election.AP, 0, 1)
		w.start(first, 0, 1, 2)
		w.nodes[3].start()
		p, _ := w.settle()
		if v := w.nodes[2].view(); v.Primary != p.id || v.Role != election.Follower {
			t.Errorf("who is no voter sees %q", v.Primary)
		}
		p.publish(1)
		// Node 2 learns of the change from the owner, the others from it; node 3 comes late.
		second := w.config(2, election.AP, 0, 1, 2, 3)
		s := w.nodes[2].seat0()
		s.setConfig(second)
		w.nodes[2].co.Reconfigured(s.set)
		w.until(3*time.Second, "all know", func() bool {
			return slices.IndexFunc(w.nodes[:3], func(n *node) bool { return n.seat0().Config().Version != 2 }) < 0 && w.agreed()
		})
		w.nodes[3].sit(setID(0), second)
		w.until(3*time.Second, "late joiner", w.agreed)
		p, _ = w.settle()
		p.publish(2)
		w.until(3*time.Second, "all have it", w.agreed)
		w.includes(1, 2)
		// The primary is removed.
		var rest []int
		for i := range w.nodes {
			if i != p.i {
				rest = append(rest, i)
			}
		}
		third := w.config(3, election.AP, rest...)
		p.seat0().setConfig(third)
		p.co.Reconfigured(p.seat0().set)
		w.until(3*time.Second, "another primary", func() bool { return w.agreed() && !slices.Contains(w.primaries(), p.i) })
		next, _ := w.settle()
		next.publish(3)
		w.until(3*time.Second, "all have it", w.agreed)
		w.includes(1, 2, 3)
		if n := p.room(topic); n == nil {
			t.Error("who is removed does not listen any more")
		}
	})
}

func TestCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 2, election.AP)
		defer w.end()
		p, backup := w.settle()
		for id := range uint64(3) {
			p.publish(1001 + id) // writer 1's
		}
		p.publish(2001)
		p.publish(1004)
		w.until(3*time.Second, "agreement", w.agreed)
		c := w.config(2, election.AP, 0, 1)
		c.Cuts = election.Cuts{"writer1": 3}
		for _, n := range w.nodes {
			n.seat0().setConfig(c)
			n.co.Reconfigured(setID(0))
		}
		w.until(3*time.Second, "cut", func() bool { return w.agreed() && p.view().Epoch.ConfigVersion == 2 && len(p.view().Have) == 1 })
		have := content(backup.seat0().has(backup.view().Best))
		if want := []uint64{1001, 1002, 1003, 2001}; !slices.Equal(have, want) {
			t.Errorf("left is %v, want %v", have, want)
		}
		p, _ = w.settle()
		p.publish(2002)
		// The next config comes to disk, and the node stops before it says so.
		c = w.config(3, election.AP, 0, 1)
		c.Cuts = election.Cuts{"writer1": 3, "writer2": 1}
		for _, n := range w.nodes {
			n.kill(false)
			n.seat0().setConfig(c)
		}
		for _, n := range w.nodes {
			n.restart()
		}
		w.until(10*time.Second, "cut", func() bool { return w.agreed() })
		if have := content(p.seat0().has(p.view().Best)); !slices.Equal(have, []uint64{1001, 1002, 1003, 2001}) {
			t.Errorf("left is %v", have)
		}
	})
}

func TestViewOfVoters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.AP)
		defer w.end()
		p, backup := w.settle()
		third := w.nodes[3-p.i-backup.i]
		third.seat0().slow = 2 * time.Second
		p.publish(1)
		w.until(time.Second, "durable", func() bool { return p.seat0().noted("durable [1]") })
		holders := func() (out string) {
			v := p.view()
			for _, voter := range v.Voters {
				if voter.Holds(v.Have[0].Head) {
					out += fmt.Sprint(w.at(voter.ID).i)
				}
			}
			return out
		}
		ids := []int{p.i, backup.i}
		slices.Sort(ids)
		if got, want := holders(), fmt.Sprint(ids[0], ids[1]); got != fmt.Sprintf("%d%d", ids[0], ids[1]) {
			t.Errorf("holders are %s, want %s", got, want)
		}
		w.until(4*time.Second, "third", func() bool { return holders() == "012" })
		third.kill(false)
		w.until(3*time.Second, "third is not live", func() bool {
			v := p.view()
			return !v.Voters[third.i].Live && v.Voters[backup.i].Live
		})
	})
}
