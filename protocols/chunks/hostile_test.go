package chunks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	chunkspb "github.com/shoal-p2p/shoal/protocols/chunks/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// What a client may do wrong ends its session soon and harms nobody.
func TestHostileClient(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		c := w.src.add(cid.Raw, random(1, 1<<20))
		digest := blockstore.Digest(w.src.set)
		hello, err := wire.Append(nil, &chunkspb.Hello{Set: digest[:]})
		if err != nil {
			t.Fatal(err)
		}
		short, err := wire.Append(nil, &chunkspb.Hello{Set: digest[:31]})
		if err != nil {
			t.Fatal(err)
		}
		good, err := appendWant(nil, opBlocks, []cid.Cid{c})
		if err != nil {
			t.Fatal(err)
		}
		after := func(b ...byte) []byte { return slices.Concat(hello, b) }
		tests := map[string]struct {
			send   []byte
			within time.Duration
		}{
			"nothing":              {nil, 11 * time.Second},
			"half a greeting":      {hello[:9], 11 * time.Second},
			"greeting of 2^63":     {binary.AppendUvarint(nil, 1<<63), time.Second},
			"greeting over cap":    {binary.AppendUvarint(nil, wire.MaxControl+1), time.Second},
			"garbage":              {bytes.Repeat([]byte{0x7f}, 200), time.Second},
			"short set id":         {short, time.Second},
			"no want":              {hello, 61 * time.Second},
			"half a want":          {after(good[:20]...), 11 * time.Second},
			"unknown op":           {after(9, 1, 0, 0), time.Second},
			"65 CIDs":              {after(1, 65, 0, 0), time.Second},
			"0 CIDs":               {after(1, 0, 0, 0), time.Second},
			"garbage after a want": {after(slices.Concat(good, bytes.Repeat([]byte{0xff}, 100))...), time.Second},
		}
		for name, test := range tests {
			s, err := w.reader.NewStream(ctx, w.server.ID(), ID)
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if _, err := s.Write(test.send); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, s); err == nil {
				t.Errorf("%s: ended as if all were well", name)
			}
			if took := time.Since(begin); took > test.within {
				t.Errorf("%s: took %v", name, took)
			}
			s.Reset()
		}
		time.Sleep(time.Second)
		if n := w.src.open.Load(); n != 0 {
			t.Errorf("%d sessions left", n)
		}
	})
}

// A client that asks and does not read holds a session only as long as one write may take.
func TestClientThatDoesNotRead(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		c := w.src.add(cid.Raw, random(1, 1<<20))
		s := w.session(t, ctx)
		defer s.Close()
		for range MaxOutstanding {
			if err := s.Want(slices.Repeat([]cid.Cid{c}, MaxWant)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(151 * time.Second) // writeTimeout, a little
		if n := w.src.open.Load(); n != 0 {
			t.Error("the session is still served")
		}
	})
}

// A client that reads slowly but steadily is served, though it sends no want for longer than idleTimeout.
func TestSlowClientIsNotIdle(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		c := w.src.add(cid.Raw, random(1, 1<<20))
		s := w.session(t, ctx)
		defer s.Close()
		const n = 30
		if err := s.Want(slices.Repeat([]cid.Cid{c}, n)); err != nil {
			t.Fatal(err)
		}
		var buf []byte
		for i := range n {
			r, err := s.Next(buf)
			if err != nil {
				t.Fatalf("block %d: %v", i, err)
			}
			buf = r.Data
			time.Sleep(20 * time.Second)
		}
	})
}

// What a server may do wrong ends the client's session soon.
func TestHostileServer(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		c, other := blockstore.Sum(cid.Raw, []byte("c")), blockstore.Sum(cid.Raw, []byte("d"))
		header := func(c cid.Cid, code wire.Code, n int) []byte {
			var b [replyHeader]byte
			headerOf(c, code, n).put(b[:])
			return b[:]
		}
		with := func(b []byte, at int, v byte) []byte { b[at] = v; return b }
		node := blockstore.Sum(cid.DagProtobuf, []byte("n"))
		tests := map[string]struct {
			send   []byte
			walk   bool
			within time.Duration
		}{
			"silence":               {nil, false, 31 * time.Second},
			"half a header":         {header(c, 0, 0)[:20], false, 31 * time.Second},
			"half a block":          {append(header(c, 0, 100), 1, 2, 3), false, 31 * time.Second},
			"another block":         {header(other, 0, 0), false, time.Second},
			"another codec":         {header(blockstore.Sum(cid.DagProtobuf, []byte("c")), 0, 0), false, time.Second},
			"3 GiB":                 {with(header(c, 0, 0), 4, 0xc0), false, time.Second},
			"one byte over the cap": {header(c, 0, blockstore.MaxBlockSize+1), false, time.Second},
			"error with bytes":      {header(c, wire.NotFound, 5), false, time.Second},
			"padding":               {with(header(c, 0, 0), 2, 1), false, time.Second},
			"garbage":               {bytes.Repeat([]byte{0xff}, 100), false, time.Second},
			"end of no walk":        {header(cid.Undef, 0, 0), false, time.Second},
			"leaf in a walk":        {header(c, 0, 0), true, time.Second},
			"error inside a walk":   {header(node, wire.NotFound, 0), true, time.Second},
		}
		sends := make(chan []byte, 1) // what the server sends in the session that comes next
		w.stranger.SetStreamHandler(ID, func(s network.Stream) {
			in := bufio.NewReader(s)
			if err := wire.ReadMsg(in, &chunkspb.Hello{}, wire.MaxControl); err != nil {
				t.Error(err)
			}
			wire.WriteMsg(s, &chunkspb.Welcome{})
			in.Discard(wantHeader + cidSize)
			s.Write(<-sends)
			io.Copy(io.Discard, in) // until the client has enough
			s.Reset()
		})
		if err := w.reader.Connect(ctx, peer.AddrInfo{ID: w.stranger.ID(), Addrs: w.stranger.Addrs()}); err != nil {
			t.Fatal(err)
		}
		for name, test := range tests {
			sends <- test.send
			s, err := Open(ctx, w.reader, w.stranger.ID(), w.src.set, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.walk {
				err = s.Walk(node)
			} else {
				err = s.Want([]cid.Cid{c})
			}
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if r, err := s.Next(nil); err == nil || time.Since(begin) > test.within {
				t.Errorf("%s: %+v, %v after %v", name, r, err, time.Since(begin))
			}
			if err := s.Want([]cid.Cid{c}); err == nil {
				t.Errorf("%s: the session goes on", name)
			}
			time.Sleep(time.Second)
		}
	})
}

// A server that drips one byte a second is given up within a piece's time.
func TestDrippingServer(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		c := blockstore.Sum(cid.Raw, []byte("c"))
		w.stranger.SetStreamHandler(ID, func(s network.Stream) {
			wire.WriteMsg(s, &chunkspb.Welcome{})
			var b [replyHeader]byte
			headerOf(c, wire.OK, 1<<20).put(b[:])
			s.Write(b[:])
			for {
				if _, err := s.Write([]byte{1}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		if err := w.reader.Connect(ctx, peer.AddrInfo{ID: w.stranger.ID(), Addrs: w.stranger.Addrs()}); err != nil {
			t.Fatal(err)
		}
		s, err := Open(ctx, w.reader, w.stranger.ID(), w.src.set, nil)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := s.Want([]cid.Cid{c}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Next(nil); err == nil || time.Since(begin) > 31*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		time.Sleep(2 * time.Second) // the handler notices
	})
}
