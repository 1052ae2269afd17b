package chunks

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/blockstore"
)

// tcpPair is two connected hosts on loopback, with the transport that bulk data takes.
func tcpPair(t testing.TB) (client, server host.Host) {
	t.Helper()
	mux := *yamux.DefaultTransport
	mux.MaxMessageSize = 256 << 10
	newHost := func() host.Host {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Transport(tcp.NewTCPTransport),
			libp2p.Security(tls.ID, tls.New), libp2p.Muxer(yamux.ID, &mux), libp2p.DisableRelay())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}
	client, server = newHost(), newHost()
	if err := client.Connect(t.Context(), peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// The default resource manager lets the usual four sessions a peer through, and then some.
func TestOverTCP(t *testing.T) {
	client, server := tcpPair(t)
	src := &source{set: blockstore.Sum(cid.Raw, []byte("set")), reader: client.ID()}
	var cids []cid.Cid
	for i := range 64 {
		cids = append(cids, src.add(cid.Raw, random(byte(i), i<<12)))
	}
	stop := Register(server, src, ServerOptions{})
	defer stop()
	var g errgroup.Group
	for range 8 {
		g.Go(func() error { return fetch(t.Context(), client, server.ID(), src.set, cids, true) })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// Not every muxer's deadline error is the same one; the idle timer must know them all.
func TestTimeoutsOfYamuxAreKnown(t *testing.T) {
	client, server := tcpPair(t)
	src := &source{set: blockstore.Sum(cid.Raw, []byte("set")), reader: client.ID()}
	stop := Register(server, src, ServerOptions{})
	defer stop()
	s, err := Open(t.Context(), client, server.ID(), src.set, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.s.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := s.s.Read(make([]byte, 1)); !isTimeout(err) {
		t.Errorf("%v is not seen as a timeout", err)
	}
}

// fetch takes all blocks over one session, 16 wants of 8 blocks outstanding.
func fetch(ctx context.Context, h host.Host, p peer.ID, set cid.Cid, cids []cid.Cid, verify bool) error {
	s, err := Open(ctx, h, p, set, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	const ahead, batch = 16, 8
	wants := slices.Collect(slices.Chunk(cids, batch))
	buf := make([]byte, 0, 1<<20)
	for i := -ahead; i < len(wants); i++ {
		if next := i + ahead; next < len(wants) {
			if err := s.Want(wants[next]); err != nil {
				return err
			}
		}
		if i < 0 {
			continue
		}
		for range wants[i] {
			r, err := s.Next(buf)
			if err != nil {
				return err
			}
			if verify {
				err = blockstore.Verify(r.Cid, r.Data)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// BenchmarkSessions moves 1 GiB of 256 KiB blocks, or 10,000 of 8 KiB, over four sessions of one TCP
// connection on loopback, both sides in this process.
func BenchmarkSessions(b *testing.B) {
	for name, test := range map[string]struct {
		size, count int
		verify      bool
	}{
		"1GiB":         {256 << 10, 4096, false},
		"1GiBverified": {256 << 10, 4096, true},
		"10000x8KiB":   {8 << 10, 10000, true},
	} {
		b.Run(name, func(b *testing.B) {
			client, server := tcpPair(b)
			src := &source{set: blockstore.Sum(cid.Raw, []byte("set")), reader: client.ID()}
			var cids []cid.Cid
			for i := range 16 { // distinct blocks; the rest repeats them
				cids = append(cids, src.add(cid.Raw, random(byte(i), test.size)))
			}
			stop := Register(server, src, ServerOptions{})
			defer stop()
			const sessions = 4
			share := slices.Repeat(cids, test.count/sessions/len(cids)+1)[:test.count/sessions]
			b.SetBytes(int64(sessions * len(share) * test.size))
			b.ReportAllocs()
			for b.Loop() {
				var g errgroup.Group
				for range sessions {
					g.Go(func() error { return fetch(b.Context(), client, server.ID(), src.set, share, test.verify) })
				}
				if err := g.Wait(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
