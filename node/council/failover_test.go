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
