package list

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"

	"github.com/shoal-p2p/shoal/blockstore"
	listpb "github.com/shoal-p2p/shoal/protocols/list/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// catalog is a Catalog of one private set, that only reader may read. The zero value has no set.
type catalog struct {
	set      cid.Cid
	reader   peer.ID
	info     Info
	updates  chan Update
	watching atomic.Int32
	err      error // instead of any answer
}

func (c *catalog) Sets(_ context.Context, p peer.ID) ([]SetEntry, error) {
	if c.err != nil || p != c.reader {
		return nil, c.err
	}
	return []SetEntry{{Set: c.set, Name: "photos", Revision: 3, Bytes: 1 << 40, Files: 12}}, nil
}

func (c *catalog) Info(_ context.Context, p peer.ID, set cid.Cid, capability []byte) (Info, error) {
	switch {
	case c.err != nil:
		return Info{}, c.err
	case !set.Equals(c.set) || (p != c.reader && string(capability) != "invite"):
		return Info{}, ErrNotFound
	}
	return c.info, nil
}

func (c *catalog) Watch(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (<-chan Update, error) {
	if _, err := c.Info(ctx, p, set, capability); err != nil {
		return nil, err
	}
	c.watching.Add(1)
	context.AfterFunc(ctx, func() { c.watching.Add(-1) })
	return c.updates, nil
}

// world is a serving host, a reader and a stranger, all connected, in virtual time.
type world struct {
	server, reader, stranger host.Host
	catalog                  *catalog
}

// inWorld runs test in a bubble with simulated QUIC links of 20 ms.
func inWorld(t *testing.T, test func(t *testing.T, ctx context.Context, w *world)) {
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
		w.catalog = &catalog{
			set: blockstore.Sum(cid.Raw, []byte("set")), reader: w.reader.ID(), updates: make(chan Update), info: *infoWith(100, 1, 2, 50),
		}
		w.catalog.info.Peers = []peer.AddrInfo{{ID: w.stranger.ID(), Addrs: w.stranger.Addrs()}}
		ctx := t.Context()
		for _, h := range meta.Nodes[1:] {
			if err := h.Connect(ctx, peer.AddrInfo{ID: w.server.ID(), Addrs: w.server.Addrs()}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // identify is done, every host knows the others' protocols
		stop := Register(w.server, w.catalog, slog.New(slog.DiscardHandler))
		test(t, ctx, w)
		stop()
	})
}

func TestSetsAndInfo(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w *world) {
		sets, err := Sets(ctx, w.reader, w.server.ID())
		if err != nil || len(sets) != 1 || sets[0] != (SetEntry{w.catalog.set, "photos", 3, 1 << 40, 12}) {
			t.Errorf("sets %+v, %v", sets, err)
		}
		if sets, err := Sets(ctx, w.stranger, w.server.ID()); err != nil || len(sets) != 0 {
			t.Errorf("stranger's sets %+v, %v", sets, err)
		}
		i, err := GetInfo(ctx, w.reader, w.server.ID(), w.catalog.set, nil, nil)
		if err != nil || i.Leaves != 100 || i.Have.Count() != 3 || !i.Has(50) || i.Has(51) || i.Complete || string(i.Bundle.Genesis) != "g" {
			t.Errorf("info %+v, %v", i, err)
		}
		if len(i.Peers) != 1 || i.Peers[0].ID != w.stranger.ID() || len(i.Peers[0].Addrs) != len(w.stranger.Addrs()) {
			t.Errorf("peers %v", i.Peers)
		}
		if _, err := GetInfo(ctx, w.stranger, w.server.ID(), w.catalog.set, []byte("invite"), nil); err != nil {
			t.Errorf("with an invite: %v", err)
		}
		w.catalog.err = errors.New("disk on fire")
		if _, err := GetInfo(ctx, w.reader, w.server.ID(), w.catalog.set, nil, nil); !errors.Is(err, ErrRemote) {
			t.Errorf("failing catalog: %v", err)
		}
		if _, err := Sets(ctx, w.reader, w.server.ID()); !errors.Is(err, ErrRemote) {
			t.Errorf("failing catalog: %v", err)
		}
		if _, err := GetInfo(ctx, w.reader, w.server.ID(), cid.Undef, nil, nil); !errors.Is(err, blockstore.ErrInvalid) {
			t.Errorf("undefined set: %v", err)
		}
	})
}

// rawAnswer sends one request and gives every byte of the answer.
func rawAnswer(t *testing.T, ctx context.Context, from, to host.Host, req *listpb.Request) []byte {
	t.Helper()
	s, err := from.NewStream(ctx, to.ID(), ID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if err := wire.WriteMsg(s, req); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A stranger cannot tell a set that is not here from one that is kept from him.
func TestPrivateLooksMissing(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w *world) {
		stop := Register(w.server, historian{catalog: w.catalog}, slog.New(slog.DiscardHandler)) // takes the place of the other
		defer stop()
		here, missing := blockstore.Digest(w.catalog.set), blockstore.Digest(blockstore.Sum(cid.Raw, nil))
		rawAnswer(t, ctx, w.stranger, w.server, &listpb.Request{Kind: listpb.Kind_SETS}) // the first stream negotiates
		for _, kind := range []listpb.Kind{listpb.Kind_INFO, listpb.Kind_WATCH, listpb.Kind_HISTORY} {
			begin := time.Now()
			private := rawAnswer(t, ctx, w.stranger, w.server, &listpb.Request{Kind: kind, Set: here[:], Capability: []byte("guess")})
			took := time.Since(begin)
			absent := rawAnswer(t, ctx, w.stranger, w.server, &listpb.Request{Kind: kind, Set: missing[:], Capability: []byte("guess")})
			if !bytes.Equal(private, absent) || len(private) == 0 {
				t.Errorf("%v: private %x, missing %x", kind, private, absent)
			}
			if again := time.Since(begin) - took; took != again {
				t.Errorf("%v: private took %v, missing %v", kind, took, again)
			}
		}
		if _, err := GetInfo(ctx, w.stranger, w.server.ID(), w.catalog.set, nil, nil); !errors.Is(err, ErrNotFound) || !errors.Is(err, blockstore.ErrNotFound) {
			t.Errorf("client: %v", err)
		}
		if err := Watch(ctx, w.stranger, w.server.ID(), w.catalog.set, nil, nil, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("client: %v", err)
		}
	})
}

func TestWatch(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w *world) {
		got := make(chan Update, 1000)
		end := make(chan error, 1)
		go func() {
			end <- Watch(ctx, w.reader, w.server.ID(), w.catalog.set, nil, nil, func(u Update) error { got <- u; return nil })
		}()
		tell := func(u Update) {
			select {
			case w.catalog.updates <- u:
			case err := <-end:
				t.Fatalf("the watch ended: %v", err)
			}
		}
		hear := func() Update {
			select {
			case u := <-got:
				return u
			case err := <-end:
				t.Fatalf("the watch ended: %v", err)
			}
			return Update{}
		}
		tell(Update{Info: &w.catalog.info})
		u := hear()
		if u.Info == nil || u.Info.Have.Count() != 3 || len(u.Have) != 0 {
			t.Fatalf("first update %+v", u)
		}
		// 80 leaves within two seconds come in at most four updates a second.
		for i := range uint32(80) {
			tell(Update{Have: []uint32{i}})
			time.Sleep(25 * time.Millisecond)
		}
		time.Sleep(time.Second)
		updates, leaves := len(got), 0
		for range updates {
			leaves += len((<-got).Have)
		}
		if updates > 9 || leaves != 77 { // 1, 2 and 50 were there already
			t.Errorf("%d updates, %d leaves", updates, leaves)
		}
		// An hour of silence does not end it.
		time.Sleep(time.Hour)
		tell(Update{Complete: true, Peers: []peer.AddrInfo{{ID: w.reader.ID()}}})
		if u := hear(); !u.Complete || len(u.Peers) != 1 {
			t.Errorf("after an hour: %+v", u)
		}
		// A new head, then the set goes away.
		tell(Update{Info: infoWith(7, 3)})
		close(w.catalog.updates)
		if u := <-got; u.Info == nil || u.Info.Leaves != 7 || u.Complete {
			t.Errorf("new head: %+v", u)
		}
		if err := <-end; err != nil {
			t.Errorf("the set went away: %v", err)
		}
		synctest.Wait()
		if n := w.catalog.watching.Load(); n != 0 {
			t.Errorf("%d watches left", n)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	fed := errors.New("fed up")
	tests := map[string]struct {
		act  func(cancel func(), w *world) error // by the callback
		want error
	}{
		"context":    {func(cancel func(), _ *world) error { cancel(); return nil }, context.Canceled},
		"callback":   {func(func(), *world) error { return fed }, fed},
		"connection": {func(_ func(), w *world) error { return w.reader.Network().ClosePeer(w.server.ID()) }, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, ctx context.Context, w *world) {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				go func() { w.catalog.updates <- Update{Info: &w.catalog.info} }()
				err := Watch(ctx, w.reader, w.server.ID(), w.catalog.set, nil, nil, func(Update) error { return test.act(cancel, w) })
				if err == nil || (test.want != nil && !errors.Is(err, test.want)) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				time.Sleep(time.Second)
				if n := w.catalog.watching.Load(); n != 0 {
					t.Errorf("the server still watches a second later")
				}
			})
		})
	}
}

// Closing the server ends watches and hanging requests, and waits for them.
func TestCloseEndsEverything(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w *world) {
		stop := Register(w.server, w.catalog, slog.New(slog.DiscardHandler)) // takes the place of the other
		end := make(chan error, 1)
		go func() {
			end <- Watch(ctx, w.reader, w.server.ID(), w.catalog.set, nil, nil, func(Update) error { return nil })
		}()
		w.catalog.updates <- Update{Info: &w.catalog.info}
		time.Sleep(time.Second)
		stop()
		if err := <-end; err == nil || ctx.Err() != nil {
			t.Errorf("watch: %v", err)
		}
	})
}

// What a client may do wrong ends its stream soon and harms nobody.
func TestHostileClient(t *testing.T) {
	digest := blockstore.Digest(blockstore.Sum(cid.Raw, []byte("set")))
	frame, err := wire.Append(nil, &listpb.Request{Kind: listpb.Kind_INFO, Set: digest[:]})
	if err != nil {
		t.Fatal(err)
	}
	short, err := wire.Append(nil, &listpb.Request{Kind: listpb.Kind_INFO, Set: digest[:5]})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		send   []byte
		within time.Duration
	}{
		"nothing":          {nil, 11 * time.Second},
		"half a request":   {frame[:10], 11 * time.Second},
		"frame of 2^63":    {binary.AppendUvarint(nil, 1<<63), time.Second},
		"one over the cap": {binary.AppendUvarint(nil, wire.MaxControl+1), time.Second},
		"garbage":          {bytes.Repeat([]byte{0x7f}, 200), time.Second},
		"short set id":     {short, time.Second},
	}
	inWorld(t, func(t *testing.T, ctx context.Context, w *world) {
		for name, test := range tests {
			s, err := w.reader.NewStream(ctx, w.server.ID(), ID)
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if _, err := s.Write(test.send); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(s); err == nil {
				t.Errorf("%s: answered %x", name, b)
			}
			if took := time.Since(begin); took > test.within {
				t.Errorf("%s: took %v", name, took)
			}
			s.Reset()
		}
		// One byte a second does not stretch the time of a request.
		s, err := w.reader.NewStream(ctx, w.server.ID(), ID)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		for _, b := range frame {
			if _, err := s.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(begin); took > 13*time.Second {
			t.Errorf("slow request: ended after %v", took)
		}
		s.Reset()
		if b := rawAnswer(t, ctx, w.reader, w.server, &listpb.Request{Kind: 77}); !bytes.Equal(b, []byte{2, 8, byte(wire.BadRequest)}) {
			t.Errorf("unknown kind: %x", b)
		}
		if _, err := GetInfo(ctx, w.reader, w.server.ID(), w.catalog.set, nil, nil); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestTooManyStreams(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w *world) {
		for range MaxStreams {
			s, err := w.reader.NewStream(ctx, w.server.ID(), ID)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Reset()
			if _, err := s.Write([]byte{100}); err != nil { // the rest of the request does not come
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		if _, err := GetInfo(ctx, w.reader, w.server.ID(), w.catalog.set, nil, nil); !errors.Is(err, ErrBusy) {
			t.Errorf("stream %d: %v", MaxStreams+1, err)
		}
		if _, err := Sets(ctx, w.stranger, w.server.ID()); err != nil {
			t.Errorf("another peer: %v", err)
		}
		time.Sleep(requestTimeout)
		if _, err := GetInfo(ctx, w.reader, w.server.ID(), w.catalog.set, nil, nil); err != nil {
			t.Errorf("after the others timed out: %v", err)
		}
	})
}

// What a server may do wrong ends the client's call soon.
func TestHostileServer(t *testing.T) {
	frames := func(ms ...*listpb.Update) (b []byte) {
		for _, m := range ms {
			var err error
			if b, err = wire.Append(b, m); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	first := &listpb.Update{Info: wholeInfo(*infoWith(10))}
	big := wholeInfo(*infoWith(10))
	big.Leaves = MaxLeaves + 1
	flood := []*listpb.Update{first}
	for range 100 {
		flood = append(flood, &listpb.Update{Complete: true})
	}
	tests := map[string]struct {
		send   []byte
		close  bool
		within time.Duration
	}{
		"silence":              {nil, false, 46 * time.Second},
		"silence after a byte": {[]byte{10}, false, 46 * time.Second},
		"nothing":              {nil, true, time.Second},
		"2^63":                 {binary.AppendUvarint(nil, 1<<63), false, time.Second},
		"one over the cap":     {binary.AppendUvarint(nil, MaxFrame+1), false, time.Second},
		"garbage":              {bytes.Repeat([]byte{0x7f}, 200), false, time.Second},
		"leaves without info":  {frames(&listpb.Update{Have: &listpb.Leaves{Bitmap: []byte{1}}}), false, time.Second},
		"leaves beyond":        {frames(first, &listpb.Update{Have: &listpb.Leaves{Bitmap: []byte{0, 0, 1}}}), false, time.Second},
		"too many leaves":      {frames(&listpb.Update{Info: big}), false, time.Second},
		"no bundle":            {frames(&listpb.Update{Info: &listpb.Info{}}), false, time.Second},
		"flood":                {frames(flood...), false, time.Second},
		"end in a frame":       {frames(first, first)[:20], true, time.Second},
	}
	inWorld(t, func(t *testing.T, ctx context.Context, w *world) {
		type act struct {
			send  []byte
			close bool
		}
		acts := make(chan act, 1) // what the server does in the stream that comes next
		w.stranger.SetStreamHandler(ID, func(s network.Stream) {
			if err := wire.ReadMsg(bufio.NewReader(s), &listpb.Request{}, wire.MaxControl); err != nil {
				t.Error(err)
			}
			a := <-acts
			s.Write(a.send)
			if a.close {
				s.Close()
				return
			}
			io.Copy(io.Discard, s) // until the client has enough
			s.Reset()
		})
		if err := w.reader.Connect(ctx, peer.AddrInfo{ID: w.stranger.ID(), Addrs: w.stranger.Addrs()}); err != nil {
			t.Fatal(err)
		}
		for name, test := range tests {
			acts <- act{test.send, test.close}
			begin := time.Now()
			err := Watch(ctx, w.reader, w.stranger.ID(), w.catalog.set, nil, nil, func(Update) error { return nil })
			if err == nil || time.Since(begin) > test.within {
				t.Errorf("%s: %v after %v", name, err, time.Since(begin))
			}
			time.Sleep(time.Second)
		}
	})
}
