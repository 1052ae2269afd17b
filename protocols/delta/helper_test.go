package delta

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
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
	"github.com/shoal-p2p/shoal/blockstore/chunk"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
	"github.com/shoal-p2p/shoal/blockstore/patch"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

var testSet = blockstore.Sum(cid.Raw, []byte("set"))

// side is a node's blocks, and as a Source a set that reader may read, or whoever shows the capability "invite".
type side struct {
	*memstore.Store
	reader peer.ID
	open   atomic.Int32

	look func(root cid.Cid) // called by Layout, nil = nothing
	slow time.Duration      // that every Get takes

	mu   sync.Mutex // guards what follows
	gone map[cid.Cid]error
	left map[cid.Cid]int // Gets that still succeed
}

func newSide() *side {
	return &side{Store: memstore.New(), gone: map[cid.Cid]error{}, left: map[cid.Cid]int{}}
}

func (s *side) Open(_ context.Context, p peer.ID, set cid.Cid, capability []byte) (Reader, error) {
	if !set.Equals(testSet) || (p != s.reader && string(capability) != "invite") {
		return nil, ErrNotFound
	}
	s.open.Add(1)
	return reader{s}, nil
}

// lose makes Get fail with err for these blocks.
func (s *side) lose(err error, cids ...cid.Cid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range cids {
		s.gone[c] = err
	}
}

type reader struct{ *side }

func (r reader) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	if r.slow > 0 {
		time.Sleep(r.slow)
	}
	r.mu.Lock()
	err := r.gone[c]
	if r.left[c] > 0 {
		r.left[c]--
		err = nil
	}
	r.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", c, err)
	}
	return r.GetFrom(ctx, testSet, c, buf)
}

func (r reader) Layout(ctx context.Context, root cid.Cid) (*dag.Layout, error) {
	if r.look != nil {
		r.look(root)
	}
	get := func(ctx context.Context, c cid.Cid) ([]byte, error) { return r.Get(ctx, c, nil) }
	return dag.ReadLayout(ctx, root, get, dag.DefaultLimits())
}

func (r reader) Close() error { r.open.Add(-1); return nil }

// files are a revision: content by path, folders at most one deep.
type files map[string][]byte

// build puts a revision into every one of the sides and returns its root.
func build(t testing.TB, f files, sides ...*side) cid.Cid {
	t.Helper()
	p := dag.DefaultProfile()
	cutter := must(chunk.New(chunk.Default()))(t)
	blocks := map[cid.Cid]blockstore.Block{}
	emit := func(b blockstore.Block) error { blocks[b.Cid()] = b; return nil }
	dirs := map[string][]dag.Link{}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		var leaves []blockstore.Leaf
		for data := f[name]; len(data) > 0; {
			n := cutter.Cut(data, true)
			b := blockstore.NewBlock(cid.Raw, data[:n])
			blocks[b.Cid()] = b
			leaves = append(leaves, blockstore.Leaf{Cid: b.Cid(), Size: uint32(n)})
			data = data[n:]
		}
		l := must(dag.BuildFile(p, dag.Attr{Mode: 0o644, Mtime: time.Unix(1, 0)}, leaves, emit))(t)
		l.Name = path.Base(name)
		dirs[path.Dir(name)] = append(dirs[path.Dir(name)], l)
	}
	root := dirs["."]
	for _, name := range slices.Sorted(maps.Keys(dirs)) {
		if name == "." {
			continue
		}
		l := must(dag.BuildDir(p, dag.Attr{Mode: 0o755}, dirs[name], emit))(t)
		l.Name = name
		root = append(root, l)
	}
	top := must(dag.BuildDir(p, dag.Attr{Mode: 0o755}, root, emit))(t)
	for _, s := range sides {
		if err := s.Put(t.Context(), testSet, slices.Collect(maps.Values(blocks))...); err != nil {
			t.Fatal(err)
		}
	}
	return top.Cid
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func random(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// overwrite returns data with n random bytes at off.
func overwrite(data []byte, off, n int, seed byte) []byte {
	data = slices.Clone(data)
	copy(data[off:], random(seed, n))
	return data
}

// world is a serving host, a reader and a stranger, all connected, in virtual time. Both sides begin empty.
type world struct {
	server, reader, stranger host.Host
	src, mine                *side
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
		w := &world{server: meta.Nodes[0], reader: meta.Nodes[1], stranger: meta.Nodes[2], src: newSide(), mine: newSide()}
		w.src.reader = w.reader.ID()
		ctx := t.Context()
		for _, h := range meta.Nodes[1:] {
			if err := h.Connect(ctx, peer.AddrInfo{ID: w.server.ID(), Addrs: w.server.Addrs()}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.reader.Connect(ctx, peer.AddrInfo{ID: w.stranger.ID(), Addrs: w.stranger.Addrs()}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // identify is done, every host knows the others' protocols
		stop := Register(w.server, w.src, o)
		test(t, ctx, w)
		stop()
		if n := w.src.open.Load(); n != 0 {
			t.Errorf("%d readers were not closed", n)
		}
	})
}

func (w *world) session(t testing.TB, ctx context.Context, q Request) *Session {
	t.Helper()
	q.Set = testSet
	return must(Open(ctx, w.reader, w.server.ID(), q))(t)
}

// puller is a client as it is meant to be: what it got, by how it came.
type puller struct {
	mine  *side
	codec *patch.Codec
	want  cid.Cid

	nodes, pushed, noBase, asked, whole int
	ends                                [2]wire.Code
}

func newPuller(t testing.TB, mine *side, want cid.Cid) *puller {
	return &puller{mine: mine, want: want, codec: must(patch.New(patch.DefaultLimits()))(t)}
}

// join is the bytes of bases, and whether they are all here.
func (p *puller) join(ctx context.Context, bases []cid.Cid) (joined []byte, err error) {
	for _, c := range bases {
		data, err := p.mine.Get(ctx, c, nil)
		if err != nil {
			return nil, err
		}
		joined = append(joined, data...)
	}
	return joined, nil
}

// take verifies an item and keeps its block.
func (p *puller) take(ctx context.Context, i Item) (blockstore.Block, error) {
	base, err := p.join(ctx, i.Bases)
	if err != nil {
		return blockstore.Block{}, err
	}
	b, err := i.Apply(p.codec, base)
	if err != nil {
		return b, err
	}
	if !i.NeedsBase() && i.Kind == Leaf {
		p.whole++
	}
	return b, p.mine.Put(ctx, testSet, b)
}

// sign is the ask for a leaf that the server lacks the base of.
func (p *puller) sign(ctx context.Context, i Item) (Ask, error) {
	base, err := p.join(ctx, i.Bases)
	if err != nil {
		return Ask{}, err
	}
	sig := patch.AppendSignature(nil, patch.Sign(base, patch.BlockSize(len(base))))
	return Ask{Cid: i.Cid, Size: i.Size, Bases: i.Bases, Signature: sig}, nil
}

// pull takes everything, and asks for what is missing after the push: with a signature where the server said
// so, else whole.
func (p *puller) pull(ctx context.Context, s *Session) error {
	front := NewFrontier(p.want)
	var asks []Ask
	for {
		i, err := s.Next()
		if err != nil {
			return err
		}
		switch {
		case i.Kind == EndNodes:
			p.ends[0] = i.Code
		case i.Kind == EndPush:
			p.ends[1] = i.Code
			return p.rest(ctx, s, asks)
		case i.Code == wire.NoBase:
			p.noBase++
			a, err := p.sign(ctx, i)
			if err != nil {
				return err
			}
			asks = append(asks, a)
		case i.Kind == Node:
			b, err := p.take(ctx, i)
			if err == nil {
				err = front.Take(b)
			}
			if err != nil {
				return err
			}
			p.nodes++
		case i.Code != wire.OK:
			return fmt.Errorf("%s: %v", i.Cid, i.Code)
		default:
			if _, err := p.take(ctx, i); err != nil {
				return err
			}
			p.pushed++
		}
	}
}

// rest asks for what is missing after the push.
func (p *puller) rest(ctx context.Context, s *Session, asks []Ask) error {
	lay, err := reader{p.mine}.Layout(ctx, p.want)
	if err != nil {
		return err
	}
	for _, l := range lay.Leaves {
		has, err := p.mine.Has(ctx, l.Cid)
		if err != nil {
			return err
		}
		if !has && !slices.ContainsFunc(asks, func(a Ask) bool { return a.Cid == l.Cid }) {
			asks = append(asks, Ask{Cid: l.Cid, Size: int(l.Size)})
		}
	}
	for some := range slices.Chunk(asks, MaxAsks) {
		if err := s.Ask(some...); err != nil {
			return err
		}
		for range some {
			i, err := s.Next()
			if err != nil {
				return err
			}
			if _, err := p.take(ctx, i); err != nil {
				return err
			}
			p.asked++
		}
	}
	return nil
}

// complete fails unless the side holds every block of the revision.
func complete(t testing.TB, s *side, root cid.Cid) {
	t.Helper()
	lay := must(reader{s}.Layout(t.Context(), root))(t)
	for _, l := range lay.Leaves {
		if _, err := s.Get(t.Context(), l.Cid, nil); err != nil {
			t.Error(err)
		}
	}
}

// newLeaves are the leaves of revision b that a lacks, and all bases that package diff names for them.
func newLeaves(t testing.TB, s *side, a, b cid.Cid) (leaves, bases []cid.Cid) {
	t.Helper()
	old, new := must(reader{s}.Layout(t.Context(), a))(t), must(reader{s}.Layout(t.Context(), b))(t)
	for _, f := range diff.Leaves(old, new) {
		for _, r := range f.Runs {
			for _, l := range new.Entries[f.New].Leaves[r.New.First : r.New.First+r.New.N] {
				leaves = append(leaves, new.Leaves[l].Cid)
			}
			for _, place := range r.Base {
				bases = append(bases, old.Leaves[old.Entries[f.Old].Leaves[place]].Cid)
			}
		}
	}
	return leaves, bases
}

var errDisk = errors.New("disk on fire")
