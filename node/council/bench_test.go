package council

import (
	"syscall"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/election"
)

// BenchmarkIdle measures what 1,000 sets of three voters at rest cost a node in real time: the share of a core, and
// the bytes of rows a second; a beacon has some 250 bytes more with its envelope.
func BenchmarkIdle(b *testing.B) {
	const sets = 1000
	w := newWorld(b, 3)
	w.silent = true
	cfg := w.config(1, election.AP, 0, 1, 2)
	for _, n := range w.nodes {
		n.start()
		for i := range sets {
			n.sit(setID(i), cfg)
		}
	}
	defer w.end()
	settled := func() bool {
		for i := range sets {
			primaries := 0
			for _, n := range w.nodes {
				v, ok := n.co.View(setID(i))
				if !ok || v.Primary == "" {
					return false
				}
				if v.Role == election.Primary {
					primaries++
				}
			}
			if primaries != 1 {
				return false
			}
		}
		return true
	}
	begun := time.Now()
	for !settled() {
		if time.Since(begun) > 2*time.Minute {
			b.Fatal("not settled")
		}
		<-time.After(100 * ms)
	}
	<-time.After(3 * time.Second)
	took := time.Since(begun)
	b.ResetTimer()
	for range b.N {
		from, messages, bytes := cpu(b), 0, 0
		for _, n := range w.nodes {
			r := n.room(topic)
			r.mu.Lock()
			r.sent, r.bytes = 0, 0
			r.mu.Unlock()
		}
		<-time.After(10 * time.Second)
		used := cpu(b) - from
		for _, n := range w.nodes {
			r := n.room(topic)
			r.mu.Lock()
			messages, bytes = messages+r.sent, bytes+r.bytes
			r.mu.Unlock()
		}
		b.ReportMetric(used.Seconds()/10/3*100, "%core/node")
		b.ReportMetric(float64(messages)/10/3, "beacons/s")
		b.ReportMetric(float64(bytes)/10/3, "row-B/s")
		b.ReportMetric(took.Seconds(), "s-to-settle")
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
