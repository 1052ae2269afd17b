package council

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-p2p/shoal/node/election"
)

func TestFirstPrimary(t *testing.T) {
	for _, mode := range []election.Mode{election.AP, election.Strict} {
		for _, n := range []int{1, 2, 3, 5} {
			synctest.Test(t, func(t *testing.T) {
				w := begin(t, n, mode)
				defer w.end()
				d := w.until(10*time.Second, "agreement", w.agreed)
				p, backup := w.settle()
				if (backup == nil) != (n == 1) {
					t.Errorf("backup is %v", backup)
				}
				p.publish(1)
				t.Logf("mode %v, %d voters: after %v", mode, n, d)
				if n == 1 {
					return
				}
				w.until(time.Second, "durable", func() bool { return p.seat0().noted("durable [1]") })
				w.until(time.Second, "all have it", func() bool {
					for _, n := range w.nodes {
						if v := n.view(); len(v.Durable) != 1 || v.Best != v.Durable[0].ID {
							return false
						}
					}
					return true
				})
			})
		}
	}
}

func TestFailover(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		for _, noticed := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				w := begin(t, n, election.AP)
				defer w.end()
				p, backup := w.settle()
				p.publish(1)
				time.Sleep(3 * time.Second) // nobody stands twice within TFail
				p.kill(noticed)
				begun := time.Now()
				w.until(3*time.Second, "failover", func() bool { return len(w.primaries()) == 1 })
				backup.publish(2)
				d := time.Since(begun)
				t.Logf("%d voters, noticed %v: %v", n, noticed, d)
				if noticed && d > 600*ms || d > 2500*ms {
					t.Errorf("took %v", d)
				}
				p.restart()
				w.settle()
			})
		}
	}
}

// TestManySeats: 1,000 sets, one of whose voters fails: all are led again. The tables are pulled in part, as they do
// not fit into beacons.
func TestManySeats(t *testing.T) {
	sets := 1000
	if testing.Short() {
		sets = 100
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.silent = true
		defer w.end()
		c := w.config(1, election.AP, 0, 1, 2)
		for _, n := range w.nodes {
			n.start()
			for i := range sets {
				n.sit(setID(i), c)
			}
		}
		led := func() bool {
			for i := range sets {
				n := 0
				for _, o := range w.nodes {
					if !o.up {
						continue
					}
					v, ok := o.co.View(setID(i))
					if !ok || v.Primary == "" {
						return false
					}
					if v.Role == election.Primary {
						n++
					}
				}
				if n != 1 {
					return false
				}
			}
			return true
		}
		t.Logf("led after %v", w.until(20*time.Second, "primaries", led))
		time.Sleep(5 * time.Second)
		victim := w.nodes[0]
		leads := 0
		for i := range sets {
			if v, _ := victim.co.View(setID(i)); v.Role == election.Primary {
				leads++
			}
		}
		victim.kill(true)
		t.Logf("%d led again after %v", leads, w.until(5*time.Second, "failover", led))
		time.Sleep(5 * time.Second)
		for _, n := range w.nodes[1:] {
			r := n.room(topic)
			r.mu.Lock()
			r.sent, r.bytes = 0, 0
			r.mu.Unlock()
		}
		time.Sleep(10 * time.Second)
		for _, n := range w.nodes[1:] {
			r := n.room(topic)
			r.mu.Lock()
			if r.sent > 45 || r.bytes > 0 {
				t.Errorf("%d beacons with %d bytes of rows in 10 s at rest", r.sent, r.bytes)
			}
			r.mu.Unlock()
		}
	})
}

// TestSlowLinks: the interval grows with the round trips, and nobody takes the slower beacons for silence.
func TestSlowLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.rtt = 200 * ms
		w.start(w.config(1, election.AP, 0, 1, 2), 0, 1, 2)
		defer w.end()
		p, _ := w.settle()
		epoch := p.view().Epoch
		time.Sleep(measureEvery + time.Second)
		r := p.room(topic)
		r.mu.Lock()
		r.sent = 0
		r.mu.Unlock()
		time.Sleep(80 * time.Second)
		r.mu.Lock()
		if want := int(80 * time.Second / election.IntervalFor(w.rtt)); r.sent < want-5 || r.sent > want+5 {
			t.Errorf("%d beacons, want %d", r.sent, want)
		}
		r.mu.Unlock()
		if p.view().Epoch.Compare(epoch) != 0 || !w.agreed() {
			t.Error("the primary was replaced")
		}
	})
}
