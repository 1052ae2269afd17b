package beacon

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// realHosts are connected over loopback.
func realHosts(t testing.TB, n int) []host.Host {
	t.Helper()
	var hosts []host.Host
	for range n {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		for _, other := range hosts {
			if err := h.Connect(t.Context(), peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()}); err != nil {
				t.Fatal(err)
			}
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// join gives a bus that has joined, when it has heard of as many peers as there are.
func join(t testing.TB, ctx context.Context, h host.Host, topic string, heard func(Heard)) (*Bus, func()) {
	t.Helper()
	b, err := New(ctx, h, quiet)
	if err != nil {
		t.Fatal(err)
	}
	peers := make(chan peer.ID, 100)
	if _, err := b.Join(topic, heard, func(p peer.ID) { peers <- p }); err != nil {
		t.Fatal(err)
	}
	return b, func() {
		t.Helper()
		seen := map[peer.ID]bool{}
		for deadline := time.After(20 * time.Second); len(seen) < len(h.Network().Peers()); {
			select {
			case p := <-peers:
				seen[p] = true
			case <-deadline:
				t.Fatalf("%d of %d peers joined", len(seen), len(h.Network().Peers()))
			}
		}
	}
}

// On real hosts, over TCP and QUIC; when its context has ended nothing of a bus is left, though the hosts go on.
func TestRealHosts(t *testing.T) {
	hosts := realHosts(t, 3)
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan Heard, 100)
	var buses []*Bus
	var ready []func()
	for _, h := range hosts {
		b, wait := join(t, ctx, h, testTopic(t), func(h Heard) { heard <- h })
		buses, ready = append(buses, b), append(ready, wait)
	}
	for _, wait := range ready {
		wait()
	}
	for i, b := range buses {
		if err := b.Publish(ctx, testTopic(t), hello); err != nil {
			t.Fatal(err)
		}
		for range len(buses) - 1 {
			select {
			case h := <-heard:
				if h.From != hosts[i].ID() {
					t.Errorf("heard %+v", h)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("not heard")
			}
		}
	}
	cancel()
	var left error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if left = goleak.Find(before); left == nil { // it waits for half a second
			return
		}
	}
	t.Error(left)
}

// BenchmarkBeat is one small message from publishing to having been heard by the last of three others, under the
// rate that is taken from a neighbour.
func BenchmarkBeat(b *testing.B) {
	hosts := realHosts(b, 4)
	heard := make(chan Heard, 100)
	topic := topicNo(1)
	speaker, ready := join(b, b.Context(), hosts[0], topic, func(Heard) {})
	for _, h := range hosts[1:] {
		join(b, b.Context(), h, topic, func(h Heard) { heard <- h })
	}
	ready()
	beat := time.NewTicker(2 * time.Second / peerRate)
	defer beat.Stop()
	no, took := uint64(0), time.Duration(0)
	for b.Loop() {
		<-beat.C
		no++
		start := time.Now()
		if err := speaker.Publish(b.Context(), topic, Message{Boot: 1, No: no}); err != nil {
			b.Fatal(err)
		}
		for range hosts[1:] {
			<-heard
		}
		took += time.Since(start)
	}
	b.ReportMetric(float64(took.Microseconds())/float64(b.N), "us/beat")
}
