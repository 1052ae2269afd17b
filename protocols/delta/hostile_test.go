package delta

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/patch"
	deltapb "github.com/shoal-p2p/shoal/protocols/delta/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// frames are messages as they stand on a stream.
func frames(t testing.TB, ms ...proto.Message) (b []byte) {
	t.Helper()
	for _, m := range ms {
		b = must(wire.Append(b, m))(t)
	}
	return b
}

// What a client may do wrong ends its session soon and harms nobody.
func TestHostileClient(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		a, b, old, new := edited(t, w)
		request := func(change func(*deltapb.Request)) []byte {
			m := must(Request{Set: testSet, Want: b, Have: []cid.Cid{a}, Push: MaxPush}.message())(t)
			change(m)
			return frames(t, m)
		}
		good := request(func(*deltapb.Request) {})
		after := func(m *deltapb.Ask) []byte { return append(slices.Clone(good), frames(t, m)...) }
		ask := must(Ask{Cid: new.Cid(), Size: 1, Bases: []cid.Cid{old.Cid()}}.message())(t)
		digest := ask.Cids[:32]
		tests := map[string]struct {
			send   []byte
			within time.Duration
		}{
			"nothing":             {nil, 11 * time.Second},
			"half a request":      {good[:9], 11 * time.Second},
			"request of 2^63":     {binary.AppendUvarint(nil, 1<<63), time.Second},
			"request over cap":    {binary.AppendUvarint(nil, wire.MaxControl+1), time.Second},
			"garbage":             {bytes.Repeat([]byte{0x7f}, 200), time.Second},
			"no want root":        {request(func(m *deltapb.Request) { m.Want = nil }), time.Second},
			"short set id":        {request(func(m *deltapb.Request) { m.Set = m.Set[:31] }), time.Second},
			"five have-roots":     {request(func(m *deltapb.Request) { m.Have = bytes.Repeat(m.Have, 5) }), time.Second},
			"2,000 have-roots":    {request(func(m *deltapb.Request) { m.Have = bytes.Repeat(m.Have, 2000) }), time.Second},
			"half a have-root":    {request(func(m *deltapb.Request) { m.Have = m.Have[:16] }), time.Second},
			"half an ask":         {after(ask)[:len(good)+20], 11 * time.Second},
			"empty ask":           {after(&deltapb.Ask{}), time.Second},
			"six leaves":          {after(&deltapb.Ask{Cids: bytes.Repeat(digest, 6)}), time.Second},
			"half a leaf":         {after(&deltapb.Ask{Cids: digest[:20]}), time.Second},
			"signed nothing":      {after(&deltapb.Ask{Cids: digest, Signature: []byte{1}}), time.Second},
			"signature of 64 KiB": {after(&deltapb.Ask{Cids: ask.Cids, Signature: make([]byte, 64<<10)}), time.Second},
			"garbage as asks":     {append(slices.Clone(good), bytes.Repeat([]byte{0xff}, 100)...), time.Second},
		}
		for name, test := range tests {
			s := must(w.reader.NewStream(ctx, w.server.ID(), ID))(t)
			begin := time.Now()
			s.Write(test.send) // may fail: the server need not read it all
			if _, err := io.Copy(io.Discard, s); err == nil {
				t.Errorf("%s: ended as if all were well", name)
			}
			if took := time.Since(begin); took > test.within {
				t.Errorf("%s: took %v", name, took)
			}
			s.Reset()
		}
		synctest.Wait()
		if n := w.src.open.Load(); n != 0 {
			t.Errorf("%d sessions left", n)
		}
	})
}

// A client that says that it will not ask, or does not for a minute, gets its items and a clean end.
func TestClientThatOnlyListens(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		a, b, _, _ := edited(t, w)
		for _, says := range []bool{true, false} {
			s := must(w.reader.NewStream(ctx, w.server.ID(), ID))(t)
			defer s.Reset()
			if _, err := s.Write(frames(t, must(Request{Set: testSet, Want: b, Have: []cid.Cid{a}, Push: MaxPush}.message())(t))); err != nil {
				t.Fatal(err)
			}
			if says {
				s.CloseWrite()
			}
			begin := time.Now()
			got, err := io.ReadAll(s)
			if took := time.Since(begin); err != nil || len(got) < 300 || took > 61*time.Second || (took < time.Second) != says {
				t.Errorf("%d bytes, %v after %v", len(got), err, took)
			}
		}
	})
}

// Asks that nobody reads the answers of wait outside of the server, and are not waited for for ever.
func TestClientThatDoesNotRead(t *testing.T) {
	for name, signature := range map[string][]byte{
		"small asks":     nil,
		"asks of 28 KiB": append([]byte{0x80, 1, 0x80, 0x80, 0x20}, random(7, 28<<10)...), // of 512 KiB in blocks of 128 bytes
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
				b := build(t, files{"f": random(1, 3<<20)}, w.src)
				leaf := must(reader{w.src}.Layout(ctx, b))(t).Leaves[0]
				ask := Ask{Cid: leaf.Cid, Size: int(leaf.Size)}
				if signature != nil {
					ask.Bases, ask.Signature = []cid.Cid{leaf.Cid}, signature
				}
				s := must(w.reader.NewStream(ctx, w.server.ID(), ID))(t)
				defer s.Reset()
				if _, err := s.Write(frames(t, must(Request{Set: testSet, Want: b}.message())(t))); err != nil {
					t.Fatal(err)
				}
				one := frames(t, must(ask.message())(t))
				s.SetWriteDeadline(time.Now().Add(10 * time.Second))
				n, err := s.Write(bytes.Repeat(one, 10000))
				if signature != nil && err == nil || n > 8<<20 {
					t.Errorf("the server took %d bytes of asks: %v", n, err)
				}
				time.Sleep(4 * time.Minute) // a write's frameTimeout, a leaf at slowest, and again for what was buffered
				if n := w.src.open.Load(); n != 0 {
					t.Error("the session is still served")
				}
			})
		})
	}
}

// A client that reads slowly but steadily is served.
func TestSlowClient(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		b := build(t, files{"f": random(1, 9<<20)}, w.src, w.mine)
		lay := must(reader{w.src}.Layout(ctx, b))(t)
		s := w.session(t, ctx, Request{Want: b})
		defer s.Close()
		unasked(t, s)
		for _, l := range lay.Leaves {
			if err := s.Ask(Ask{Cid: l.Cid, Size: int(l.Size)}); err != nil {
				t.Fatal(err)
			}
		}
		for range lay.Leaves {
			must(s.Next())(t)
			time.Sleep(10 * time.Second)
		}
	})
}

func TestTooManySessions(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		b := build(t, many(3, 1), w.src)
		for range MaxStreams {
			defer w.session(t, ctx, Request{Want: b}).Close()
		}
		if _, err := Open(ctx, w.reader, w.server.ID(), Request{Set: testSet, Want: b}); !errors.Is(err, ErrBusy) {
			t.Errorf("one more: %v", err)
		}
		s := must(Open(ctx, w.stranger, w.server.ID(), Request{Set: testSet, Want: b, Capability: []byte("invite")}))(t)
		s.Close()
	})
}

// A stranger cannot tell a set that is not here from one that is kept from him.
func TestPrivateLooksMissing(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		b := build(t, many(3, 1), w.src)
		answer := func(set cid.Cid) []byte {
			s := must(w.stranger.NewStream(ctx, w.server.ID(), ID))(t)
			defer s.Reset()
			if _, err := s.Write(frames(t, must(Request{Set: set, Want: b}.message())(t))); err != nil {
				t.Fatal(err)
			}
			return must(io.ReadAll(s))(t)
		}
		private, absent := answer(testSet), answer(blockstore.Sum(cid.Raw, nil))
		if !bytes.Equal(private, absent) || len(private) == 0 {
			t.Errorf("private %x, missing %x", private, absent)
		}
		if _, err := Open(ctx, w.stranger, w.server.ID(), Request{Set: testSet, Want: b}); !errors.Is(err, blockstore.ErrNotFound) {
			t.Errorf("stranger: %v", err)
		}
	})
}

// A server that goes away in the middle leaves its client with an error, at once.
func TestServerCloses(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		b := build(t, many(50, 2), w.src)
		compare := make(chan struct{})
		w.src.look = func(cid.Cid) { <-compare }
		stop := Register(w.stranger, w.src, ServerOptions{})
		s := must(Open(ctx, w.reader, w.stranger.ID(), Request{Set: testSet, Want: b, Push: MaxPush}))(t)
		defer s.Close()
		for must(s.Next())(t).Kind != EndNodes {
		}
		if err := s.Ask(Ask{Cid: blockstore.Sum(cid.Raw, nil), Size: 5}); err != nil {
			t.Fatal(err)
		}
		go stop()
		synctest.Wait()
		begin := time.Now()
		if i, err := s.Next(); err == nil || time.Since(begin) > time.Second {
			t.Errorf("%+v, %v after %v", i, err, time.Since(begin))
		}
		close(compare)
		synctest.Wait() // the handler notices
	})
}

// What a server may do wrong ends the client's session soon.
func TestHostileServer(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		node, leaf := blockstore.Sum(cid.DagProtobuf, []byte("n")), blockstore.Sum(cid.Raw, []byte("l"))
		cids := func(n int) []byte { return bytes.Repeat(must(refs(leaf, nil))(t), n) }
		welcome, end := &deltapb.Welcome{}, &deltapb.Item{}
		send := func(ms ...proto.Message) []byte { return frames(t, append([]proto.Message{welcome}, ms...)...) }
		raw := func(n int) []byte { return make([]byte, n+1) }
		tests := map[string]struct {
			send   []byte
			within time.Duration
		}{
			"silence":                {nil, 61 * time.Second},
			"welcome, silence":       {send(), 61 * time.Second},
			"half an item":           {send(&deltapb.Item{Cids: cids(1), Size: 9, Patch: raw(9)})[:20], 61 * time.Second},
			"EOF later":              {send(end), 61 * time.Second},
			"garbage":                {bytes.Repeat([]byte{0xff}, 100), time.Second},
			"base out of range":      {frames(t, &deltapb.Welcome{Base: 3}), time.Second},
			"base 2^32-1":            {frames(t, &deltapb.Welcome{Base: 1<<32 - 1}), time.Second},
			"unknown code":           {frames(t, &deltapb.Welcome{Code: 77}), time.Second},
			"item over cap":          {binary.AppendUvarint(send(), maxItem+1), time.Second},
			"node without patch":     {send(&deltapb.Item{Cids: cids(1), Size: 9}), time.Second},
			"node with a code":       {send(&deltapb.Item{Cids: cids(1), Code: uint32(wire.NotFound)}), time.Second},
			"node with two bases":    {send(&deltapb.Item{Cids: cids(3), Size: 9, Patch: raw(9)}), time.Second},
			"half a digest":          {send(&deltapb.Item{Cids: cids(1)[:20], Size: 9, Patch: raw(9)}), time.Second},
			"patch longer than node": {send(&deltapb.Item{Cids: cids(1), Size: 9, Patch: raw(10)}), time.Second},
			"node of 3 MiB":          {send(&deltapb.Item{Cids: cids(1), Size: 3 << 20, Patch: raw(9)}), time.Second},
			"node with a length":     {send(&deltapb.Item{Cids: cids(1), Size: 9, Patch: raw(9), Length: 10}), time.Second},
			"end with a size":        {send(&deltapb.Item{Size: 9}), time.Second},
			"end with a patch":       {send(&deltapb.Item{Patch: raw(9), Size: 9}), time.Second},
			"code with a patch":      {send(end, &deltapb.Item{Cids: cids(1), Code: 1, Size: 9, Patch: raw(9)}), time.Second},
			"leaf with five bases":   {send(end, &deltapb.Item{Cids: cids(6), Size: 9, Patch: raw(9)}), time.Second},
			"pushed over budget":     {send(end, &deltapb.Item{Cids: cids(1), Size: 1 << 16, Patch: raw(1 << 16)}), time.Second},
			"codes over budget":      {send(slices.Repeat([]proto.Message{&deltapb.Item{Cids: cids(2), Size: 9, Code: 6}}, 2000)...), time.Second},
			"other leaf":             {send(end, end, &deltapb.Item{Cids: append([]byte{1}, cids(1)[1:]...), Size: 9, Patch: raw(9)}), time.Second},
			"other size":             {send(end, end, &deltapb.Item{Cids: cids(1), Size: 10, Patch: raw(9)}), time.Second},
			"answer with bases":      {send(end, end, &deltapb.Item{Cids: cids(2), Size: 9, Patch: raw(9)}), time.Second},
			"a third end":            {send(end, end, end), time.Second},
		}
		sends := make(chan []byte, 1) // what the server sends in the session that comes next
		w.stranger.SetStreamHandler(ID, func(s network.Stream) {
			in := bufio.NewReader(s)
			if err := wire.ReadMsg(in, &deltapb.Request{}, wire.MaxControl); err != nil {
				t.Error(err)
			}
			s.Write(<-sends)
			io.Copy(io.Discard, in) // until the client has enough
			s.Reset()
		})
		for name, test := range tests {
			sends <- test.send
			begin := time.Now()
			s, err := Open(ctx, w.reader, w.stranger.ID(), Request{Set: testSet, Want: node, Have: []cid.Cid{node, node}, Push: 50 << 10})
			if err == nil {
				if err := s.Ask(Ask{Cid: leaf, Size: 9}, Ask{Cid: leaf, Size: 9}); err != nil {
					t.Fatal(err)
				}
				for err == nil {
					_, err = s.Next()
				}
				if s.Ask(Ask{Cid: leaf, Size: 9}) == nil {
					t.Errorf("%s: the session goes on", name)
				}
			}
			if took := time.Since(begin); took > test.within {
				t.Errorf("%s: %v after %v", name, err, took)
			}
			synctest.Wait()
		}
	})
}

// A server that drips a byte a second is given up within the patience for one item.
func TestDrippingServer(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		node := blockstore.Sum(cid.DagProtobuf, []byte("n"))
		w.stranger.SetStreamHandler(ID, func(s network.Stream) {
			s.Write(frames(t, &deltapb.Welcome{}))
			s.Write(binary.AppendUvarint(nil, 1<<20))
			for {
				if _, err := s.Write([]byte{10}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		s := must(Open(ctx, w.reader, w.stranger.ID(), Request{Set: testSet, Want: node}))(t)
		begin := time.Now()
		if _, err := s.Next(); err == nil || time.Since(begin) > 62*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		time.Sleep(2 * time.Second) // the handler notices
	})
}

// Opening ends with its context.
func TestOpenEnds(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		w.stranger.SetStreamHandler(ID, func(s network.Stream) { io.Copy(io.Discard, s); s.Reset() })
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		node := blockstore.Sum(cid.DagProtobuf, []byte("n"))
		if _, err := Open(ctx, w.reader, w.stranger.ID(), Request{Set: testSet, Want: node}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A server whose patches are wrong costs its client a refetch of those blocks, and nothing else.
func TestWrongPatches(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		a, b, old, new := edited(t, w)
		w.stranger.SetStreamHandler(ID, func(s network.Stream) {
			wrong := append([]byte{byte(patch.Raw)}, random(9, len(new.Data()))...)
			item := &deltapb.Item{Cids: must(refs(new.Cid(), []cid.Cid{old.Cid()}))(t), Size: uint32(len(new.Data())), Patch: wrong}
			s.Write(frames(t, &deltapb.Welcome{Base: 1}, &deltapb.Item{}, item, &deltapb.Item{}))
			io.Copy(io.Discard, s)
			s.Reset()
		})
		s := must(Open(ctx, w.reader, w.stranger.ID(), Request{Set: testSet, Want: b, Have: []cid.Cid{a}, Push: MaxPush}))(t)
		defer s.Close()
		p := newPuller(t, w.mine, b)
		for _, i := range unasked(t, s) {
			if i.Kind != Leaf {
				continue
			}
			if _, err := p.take(ctx, i); !errors.Is(err, blockstore.ErrCorrupt) {
				t.Errorf("wrong patch: %v", err)
			}
		}
		honest := w.session(t, ctx, Request{Want: b, Have: []cid.Cid{a}})
		defer honest.Close()
		if err := p.pull(ctx, honest); err != nil {
			t.Error(err)
		}
		complete(t, w.mine, b)
	})
}

func always(l *rate.Limiter) func(network.Conn, cid.Cid) Limiter {
	return func(network.Conn, cid.Cid) Limiter { return bucket{l} }
}

// bucket is a Limiter.
type bucket struct{ *rate.Limiter }

func (b bucket) Wait(ctx context.Context, n int) (int, error) {
	n = min(n, b.Burst())
	return n, b.WaitN(ctx, n)
}

// A throttle of our own makes nobody give up, however long a leaf takes with it, and is asked before bytes are read.
func TestThrottle(t *testing.T) {
	for _, perSecond := range []int{64 << 10, 1000} {
		testThrottle(t, perSecond)
	}
}

func testThrottle(t *testing.T, perSecond int) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		b := build(t, files{"f": random(1, 1<<20)}, w.src)
		lay := must(reader{w.src}.Layout(ctx, b))(t)
		s := w.session(t, ctx, Request{Want: b})
		defer s.Close()
		limit, allowed := bucket{rate.NewLimiter(rate.Limit(perSecond), perSecond)}, 0
		s.Throttle(func(n int) (int, error) {
			n, err := limit.Wait(ctx, n)
			allowed += n
			return n, err
		})
		begin, came := time.Now(), 0
		unasked(t, s)
		for _, l := range lay.Leaves {
			if err := s.Ask(Ask{Cid: l.Cid, Size: int(l.Size)}); err != nil {
				t.Fatal(err)
			}
		}
		for range lay.Leaves {
			i := must(s.Next())(t)
			came += i.Length
		}
		if allowed < came || came < 1<<20 {
			t.Errorf("%d bytes were allowed, %d came", allowed, came)
		}
		if took, want := time.Since(begin), time.Duration(allowed-perSecond)*time.Second/time.Duration(perSecond); took < want || took > want+time.Second {
			t.Errorf("took %v, want %v", took, want)
		}
	})
}

// A rate that makes one leaf take longer than either side's patience is no reason to give up, as long as bytes
// come.
func TestSlowServer(t *testing.T) {
	const perSecond = 4 << 10
	inWorld(t, ServerOptions{Limit: always(rate.NewLimiter(perSecond, perSecond))}, func(t *testing.T, ctx context.Context, w *world) {
		b := build(t, files{"f": random(1, 1<<20)}, w.src)
		lay := must(reader{w.src}.Layout(ctx, b))(t)
		s := w.session(t, ctx, Request{Want: b})
		defer s.Close()
		unasked(t, s)
		for _, l := range lay.Leaves {
			if err := s.Ask(Ask{Cid: l.Cid, Size: int(l.Size)}); err != nil {
				t.Fatal(err)
			}
		}
		longest := time.Duration(0)
		for range lay.Leaves {
			begin := time.Now()
			must(s.Next())(t)
			longest = max(longest, time.Since(begin))
		}
		if longest < 65*time.Second {
			t.Errorf("the largest leaf took only %v", longest)
		}
		if err := s.Ask(Ask{Cid: lay.Leaves[0].Cid, Size: int(lay.Leaves[0].Size)}); err != nil {
			t.Fatal(err)
		}
		if i := must(s.Next())(t); i.Code != wire.OK {
			t.Errorf("asked for after all that time: %+v", i)
		}
	})
}

// What an ask holds is reserved until it is answered, and no longer.
func TestMemoryOfAsks(t *testing.T) {
	client, server, _ := tcpPair(t)
	src := newSide()
	src.reader = client.ID()
	b := build(t, many(1, 1), src)
	leaf := must(reader{src}.Layout(t.Context(), b))(t).Leaves[0]
	stop := Register(server, src, ServerOptions{})
	defer stop()
	if err := client.Connect(t.Context(), peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}); err != nil {
		t.Fatal(err)
	}
	s := must(Open(t.Context(), client, server.ID(), Request{Set: testSet, Want: b, Push: 1}))(t)
	defer s.Close()
	const size = 48 << 10
	ask := Ask{Cid: leaf.Cid, Size: int(leaf.Size), Bases: []cid.Cid{leaf.Cid}, Signature: make([]byte, size)}
	if err := s.Ask(slices.Repeat([]Ask{ask}, 20)...); err != nil {
		t.Fatal(err)
	}
	unasked(t, s)
	for range 20 {
		must(s.Next())(t)
	}
	err := server.Network().ResourceManager().ViewService(ServiceName, func(x network.ServiceScope) error {
		// All but the last are surely given back.
		if n := x.Stat().Memory; n < StreamMemory+wire.MaxControl || n > StreamMemory+wire.MaxControl+size+1<<10 {
			t.Errorf("%d bytes reserved, want %d and at most one ask", n, StreamMemory+wire.MaxControl)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
