package node

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// What comes at one pace is told as that pace after a few readings, and as nothing soon after it ended.
func TestRatesOfPeers(t *testing.T) {
	c, now := &wireCounter{}, time.Unix(1, 0)
	here := func(p peer.ID) bool { return p != "left" }
	c.LogRecvMessageStream(1<<30, "/x", "a") // before anybody looked
	c.flows.read(now, here)
	for range 10 {
		c.LogRecvMessageStream(20_000, "/x", "a")
		c.LogSentMessageStream(2_000, protocol.ID("/y"), "a")
		c.LogSentMessageStream(10, "/x", "left")
		now = now.Add(2 * time.Second)
		c.flows.read(now, here)
	}
	in, out := c.flows.rate("a")
	if math.Abs(float64(in)-10_000) > 10 || math.Abs(float64(out)-1_000) > 10 {
		t.Errorf("%d in and %d out a second, want 10000 and 1000", in, out)
	}
	if len(c.flows.all) != 1 {
		t.Errorf("%d peers are kept", len(c.flows.all))
	}
	c.LogSentMessageStream(10, "/x", "b")
	if c.flows.forget("b"); len(c.flows.all) != 1 {
		t.Errorf("%d peers are kept after one was forgotten", len(c.flows.all))
	}
	for range 10 {
		now = now.Add(2 * time.Second)
		c.flows.read(now, here)
	}
	if in, out := c.flows.rate("a"); in > 1 || out > 1 {
		t.Errorf("20 s after the end: %d in and %d out", in, out)
	}
	c.flows.read(now, here) // no time has passed
	if in, _ := c.flows.rate("nobody"); in != 0 {
		t.Errorf("of nobody: %d", in)
	}
}

func TestFlowsOfManyAtOnce(t *testing.T) {
	var f flows
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 1000 {
				f.of(peer.ID(rune('a' + (i+j)%20))).in.Add(1)
				if j%100 == 0 {
					f.read(time.Unix(int64(j), 0), func(peer.ID) bool { return true })
				}
			}
		})
	}
	all.Wait()
	sum := int64(0)
	for _, one := range f.all {
		sum += one.in.Load()
	}
	if sum != 8000 {
		t.Errorf("%d of 8000 were counted", sum)
	}
}
