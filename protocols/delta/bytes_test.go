package delta

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"github.com/shoal-p2p/shoal/blockstore"
)

// counter is a metrics.Reporter for the bytes of one protocol, exact at once.
type counter struct {
	metrics.Reporter
	in, out atomic.Int64
}

func (c *counter) LogSentMessage(int64) {}
func (c *counter) LogRecvMessage(int64) {}

func (c *counter) LogSentMessageStream(n int64, id protocol.ID, _ peer.ID) {
	if id == ID {
		c.out.Add(n)
	}
}

func (c *counter) LogRecvMessageStream(n int64, id protocol.ID, _ peer.ID) {
	if id == ID {
		c.in.Add(n)
	}
}

// tcpPair is two hosts on loopback, and what goes through the client's streams.
func tcpPair(t testing.TB) (client, server host.Host, count *counter) {
	t.Helper()
	newHost := func(o ...libp2p.Option) host.Host {
		h := must(libp2p.New(append(o, libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Transport(tcp.NewTCPTransport),
			libp2p.Security(tls.ID, tls.New), libp2p.Muxer(yamux.ID, yamux.DefaultTransport), libp2p.DisableRelay())...))(t)
		t.Cleanup(func() { h.Close() })
		return h
	}
	count = &counter{}
	return newHost(libp2p.BandwidthReporter(count)), newHost(), count
}

// What an update costs: all bytes of the stream in both directions, those of multistream included. The most
// that may pass is a little more than what was measured when this was written.
func TestBytes(t *testing.T) {
	big := files{"big": random(1, 10<<20)}
	tree := many(10000, 1)
	changed := files{}
	rewritten := 0
	for name, data := range tree {
		changed[name] = data
	}
	for i := range 10 {
		name := fmt.Sprintf("dir%02d/file%04d", i, i*1001)
		if i > 0 {
			name = fmt.Sprintf("dir%02d/file%04d", i*1001%10, i*1001)
		}
		changed[name] = random(byte(100+i), len(tree[name]))
		rewritten += len(tree[name])
	}
	tests := []struct {
		name     string
		old, new files
		lose     bool // the server's old leaves
		push     int64
		most     int64
	}{
		{"nothing changed", big, big, false, MaxPush, 350},
		{"4 KiB overwritten in 10 MiB", big, files{"big": overwrite(big["big"], 5<<20, 4096, 2)}, false, MaxPush, 4900},
		{"the same, edited in place", big, files{"big": overwrite(big["big"], 5<<20, 4096, 2)}, true, MaxPush, 9500},
		{"the same, whole leaf", big, files{"big": overwrite(big["big"], 5<<20, 4096, 2)}, false, 0, 1 << 20},
		{"4 KiB inserted in 10 MiB", big, files{"big": append(append(append([]byte{}, big["big"][:5<<20]...), random(2, 4096)...), big["big"][5<<20:]...)}, false, MaxPush, 4900},
		{"10 of 10,000 files rewritten", tree, changed, false, MaxPush, int64(rewritten) + 6000},
		{"the same, edited in place", tree, changed, true, MaxPush, int64(rewritten) + 10000},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, server, count := tcpPair(t)
			src, mine := newSide(), newSide()
			src.reader = client.ID()
			a, b := build(t, test.old, src, mine), build(t, test.new, src)
			if test.lose {
				_, bases := newLeaves(t, src, a, b)
				src.lose(blockstore.ErrNotFound, bases...)
			}
			stop := Register(server, src, ServerOptions{})
			defer stop()
			if err := client.Connect(t.Context(), peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			s := must(Open(t.Context(), client, server.ID(), Request{Set: testSet, Want: b, Have: []cid.Cid{a}, Push: test.push}))(t)
			p := newPuller(t, mine, b)
			if err := p.pull(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			took := time.Since(begin)
			s.Close()
			complete(t, mine, b)
			in, out := count.in.Load(), count.out.Load()
			t.Logf("%d bytes in, %d out, %d in all; %d nodes, %d pushed, %d without base, %d asked; %v",
				in, out, in+out, p.nodes, p.pushed, p.noBase, p.asked, took.Round(time.Millisecond))
			if test.name == "10 of 10,000 files rewritten" {
				t.Logf("the 10 files have %d bytes", rewritten)
			}
			if in+out == 0 || in+out > test.most {
				t.Errorf("more than %d bytes", test.most)
			}
		})
	}
}
