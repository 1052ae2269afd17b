package chunks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// source is a Source of one private set that reader may read, or whoever shows the capability "invite".
type source struct {
	set    cid.Cid
	reader peer.ID
	ownMem bool // Get answers with its own memory instead of the caller's
	get    func(ctx context.Context, c cid.Cid) error

	mu     sync.Mutex // guards what follows
	blocks map[cid.Cid][]byte
	open   atomic.Int32
}

func (s *source) add(codec uint64, data []byte) cid.Cid {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := blockstore.Sum(codec, data)
	if s.blocks == nil {
		s.blocks = make(map[cid.Cid][]byte)
	}
	s.blocks[c] = data
	return c
}

func (s *source) Open(_ context.Context, p peer.ID, set cid.Cid, capability []byte) (Reader, error) {
	if !set.Equals(s.set) || (p != s.reader && string(capability) != "invite") {
		return nil, ErrNotFound
	}
	s.open.Add(1)
	return (*reader)(s), nil
}

type reader source

func (r *reader) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	if r.get != nil {
		if err := r.get(ctx, c); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	data, ok := r.blocks[c]
	r.mu.Unlock()
	switch {
	case !ok:
		return nil, fmt.Errorf("get %s: %w", c, blockstore.ErrNotFound)
	case r.ownMem:
		return data, nil
	}
	return append(buf[:0], data...), nil
}

func (r *reader) Walk(ctx context.Context, root cid.Cid, fn func(blockstore.Block) error) error {
	return WalkNodes(ctx, root, r.Get, fn)
}

func (r *reader) Close() error { r.open.Add(-1); return nil }

// world is a serving host, a reader and a stranger, all connected, in virtual time.
type world struct {
	server, reader, stranger host.Host
	src                      *source
	stop                     func() // closes the server
}

// inWorld runs test in a bubble with simulated QUIC links of 20 ms and 100 Mbit/s.
func inWorld(t *testing.T, o ServerOptions, test func(t *testing.T, ctx context.Context, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		link := simnet.NodeBiDiLinkSettings{
			Downlink: simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}, Uplink: simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps},
		}
		nw, meta, err := simlibp2p.SimpleLibp2pNetwork([]simlibp2p.NodeLinkSettingsAndCount{{LinkSettings: link, Count: 3}},
			simnet.StaticLatency(10*time.Millisecond), simlibp2p.NetworkSettings{})
		if err != nil {
			t.Fatal(err)
		}
		nw.Start()
		defer nw.Close()
		for _, h := range meta.Nodes {
			defer h.Close()
		}
		w := &world{server: meta.Nodes[0], reader: meta.Nodes[1], stranger: meta.Nodes[2]}
		w.src = &source{set: blockstore.Sum(cid.Raw, []byte("set")), reader: w.reader.ID()}
		ctx := t.Context()
		for _, h := range meta.Nodes[1:] {
			if err := h.Connect(ctx, peer.AddrInfo{ID: w.server.ID(), Addrs: w.server.Addrs()}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // identify is done, every host knows the others' protocols
		w.stop = Register(w.server, w.src, o)
		test(t, ctx, w)
		w.stop()
		if n := w.src.open.Load(); n != 0 {
			t.Errorf("%d readers were not closed", n)
		}
	})
}

func (w *world) session(t testing.TB, ctx context.Context) *Session {
	t.Helper()
	s, err := Open(ctx, w.reader, w.server.ID(), w.src.set, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func random(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// Blocks of all sizes, some of them missing, come as they were wanted, from either kind of source.
func TestBlocksComeInOrder(t *testing.T) {
	for name, ownMem := range map[string]bool{"caller's memory": false, "own memory": true} {
		t.Run(name, func(t *testing.T) {
			sent := 0
			o := ServerOptions{Sent: func(_ peer.ID, n int) { sent += n }}
			inWorld(t, o, func(t *testing.T, ctx context.Context, w *world) {
				w.src.ownMem = ownMem
				var cids []cid.Cid
				total := 0
				for i, n := range []int{0, 1, 100, 4055, 4056, 4057, 65495, 65496, 65497, 65536, 1 << 18, 1 << 20, 1<<20 + 1, blockstore.MaxBlockSize} {
					cids = append(cids, w.src.add(cid.Raw, random(byte(i), n)))
					cids = append(cids, blockstore.Sum(cid.Raw, []byte{byte(i), 1})) // missing
					total += n
				}
				s := w.session(t, ctx)
				defer s.Close()
				for c := range slices.Chunk(cids, 5) {
					if err := s.Want(c); err != nil {
						t.Fatal(err)
					}
				}
				buf := make([]byte, 0, 300<<10) // too small for the largest
				for i, c := range cids {
					r, err := s.Next(buf)
					if err != nil {
						t.Fatal(err)
					}
					want := wire.OK
					if i%2 == 1 {
						want = wire.NotFound
					}
					if r.Code != want || !r.Cid.Equals(c) || !bytes.Equal(r.Data, w.src.blocks[c]) {
						t.Errorf("reply %d: %v of %d bytes", i, r.Code, len(r.Data))
					}
					if n := len(r.Data); n > 0 && (n <= cap(buf)) != (&r.Data[0] == &buf[:1][0]) {
						t.Errorf("reply %d: %d bytes, in the caller's buffer: %v", i, n, n > cap(buf))
					}
				}
				if sent != total {
					t.Errorf("sent %d bytes, want %d", sent, total)
				}
			})
		})
	}
}

// One goroutine wants, one takes: the way it is meant.
func TestManySmallBlocks(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		var cids []cid.Cid
		for i := range 10000 {
			cids = append(cids, w.src.add(cid.Raw, []byte(fmt.Sprint("block ", i))))
		}
		s := w.session(t, ctx)
		defer s.Close()
		var wg sync.WaitGroup
		room := make(chan struct{}, 32) // wants of 64
		wg.Go(func() {
			for c := range slices.Chunk(cids, MaxWant) {
				room <- struct{}{}
				if err := s.Want(c); err != nil {
					t.Error(err)
					return
				}
			}
		})
		buf := make([]byte, 0, 100)
		for i, c := range cids {
			r, err := s.Next(buf)
			if err != nil || blockstore.Verify(c, r.Data) != nil {
				t.Fatalf("block %d: %v", i, err)
			}
			if i%MaxWant == 0 {
				<-room
			}
		}
		wg.Wait()
	})
}

func TestWindow(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		c := w.src.add(cid.Raw, random(1, 1<<20))
		cids := slices.Repeat([]cid.Cid{c}, MaxWant)
		s := w.session(t, ctx)
		defer s.Close()
		// Nobody takes replies, so the server is stuck in the first; yet no Want blocks.
		begin := time.Now()
		for i := range MaxOutstanding {
			if err := s.Want(cids); err != nil {
				t.Fatalf("want %d: %v", i, err)
			}
		}
		if err := s.Want(cids); !errors.Is(err, ErrWindow) {
			t.Errorf("one more: %v", err)
		}
		if time.Since(begin) > time.Second {
			t.Errorf("wants took %v", time.Since(begin))
		}
		if _, err := s.Next(nil); err != nil { // the first want is begun: room for one more
			t.Fatal(err)
		}
		if err := s.Want(cids); err != nil {
			t.Errorf("after a reply: %v", err)
		}
	})
}

func TestErrorsOfTheSource(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		fail := map[cid.Cid]error{
			blockstore.Sum(cid.Raw, []byte("1")): blockstore.ErrCorrupt,
			blockstore.Sum(cid.Raw, []byte("2")): errors.New("disk on fire"),
		}
		w.src.get = func(_ context.Context, c cid.Cid) error { return fail[c] }
		s := w.session(t, ctx)
		defer s.Close()
		for c, err := range fail {
			if err := s.Want([]cid.Cid{c}); err != nil {
				t.Fatal(err)
			}
			r, nextErr := s.Next(nil)
			if nextErr != nil || r.Code != wire.CodeOf(err) || r.Code == wire.OK || len(r.Data) != 0 {
				t.Errorf("%v: %+v, %v", err, r, nextErr)
			}
		}
	})
}

// tree makes a folder that holds the same file twice, in two folders, and gives the nodes in the order
// a walk must send them.
func tree(t testing.TB, src *source) (root cid.Cid, want []cid.Cid) {
	p := dag.DefaultProfile()
	emit := func(b blockstore.Block) error { src.add(b.Cid().Type(), b.Data()); return nil }
	link := func(l dag.Link, err error) dag.Link {
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	named := func(name string, l dag.Link) dag.Link { l.Name = name; return l }
	var leaves []blockstore.Leaf
	for i := range 300 {
		leaves = append(leaves, blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, []byte{byte(i), byte(i >> 8)}), Size: 70000})
	}
	file := link(dag.BuildFile(p, dag.Attr{Mode: 0o644}, leaves, emit))
	small := link(dag.BuildFile(p, dag.Attr{Mode: 0o600}, leaves[:2], emit))
	a := link(dag.BuildDir(p, dag.Attr{Mode: 0o755}, []dag.Link{named("big", file), named("small", small)}, emit))
	b := link(dag.BuildDir(p, dag.Attr{Mode: 0o755}, []dag.Link{named("again", file)}, emit))
	top := link(dag.BuildDir(p, dag.Attr{Mode: 0o755}, []dag.Link{named("a", a), named("b", b)}, emit))
	// The plain way, recursively, as the check of the clever one.
	seen := make(map[cid.Cid]bool)
	var visit func(c cid.Cid)
	visit = func(c cid.Cid) {
		if seen[c] {
			return
		}
		seen[c] = true
		want = append(want, c)
		n, err := blockstore.Receive(c, src.blocks[c])
		if err != nil {
			t.Fatal(err)
		}
		next, err := dag.NextNodes(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range next {
			visit(c)
		}
	}
	visit(top.Cid)
	if len(want) < 8 {
		t.Fatalf("the tree has only %d nodes", len(want))
	}
	return top.Cid, want
}

func TestWalk(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		root, want := tree(t, w.src)
		leaf := w.src.add(cid.Raw, []byte("leaf"))
		s := w.session(t, ctx)
		defer s.Close()
		walk := func() (got []cid.Cid, code wire.Code) {
			for {
				r, err := s.Next(nil)
				if err != nil {
					t.Fatal(err)
				}
				if !r.Cid.Defined() {
					return got, r.Code
				}
				if err := blockstore.Verify(r.Cid, r.Data); err != nil {
					t.Fatal(err)
				}
				got = append(got, r.Cid)
			}
		}
		// Three requests at once: their replies do not mix.
		for _, err := range []error{s.Walk(root), s.Want([]cid.Cid{leaf}), s.Walk(root)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, code := walk(); code != wire.OK || !slices.Equal(got, want) {
			t.Errorf("walk: %v\n got %v\nwant %v", code, got, want)
		}
		if r, err := s.Next(nil); err != nil || !r.Cid.Equals(leaf) || string(r.Data) != "leaf" {
			t.Errorf("block between walks: %+v, %v", r, err)
		}
		if got, code := walk(); code != wire.OK || !slices.Equal(got, want) {
			t.Errorf("second walk: %v, %d nodes", code, len(got))
		}
		// A node is missing.
		w.src.mu.Lock()
		delete(w.src.blocks, want[3])
		w.src.mu.Unlock()
		if err := s.Walk(root); err != nil {
			t.Fatal(err)
		}
		if got, code := walk(); code != wire.NotFound || !slices.Equal(got, want[:3]) {
			t.Errorf("walk with a hole: %v, %d nodes", code, len(got))
		}
	})
}
