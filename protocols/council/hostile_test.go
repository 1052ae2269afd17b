package council

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
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"google.golang.org/protobuf/proto"

	councilpb "github.com/shoal-p2p/shoal/protocols/council/pb"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// inWorld runs test in virtual time on two connected hosts with QUIC links of 20 ms; the second serves. The bubble fails
// if anything is left running in the end.
func inWorld(t *testing.T, test func(t *testing.T, ctx context.Context, p *pair)) {
	synctest.Test(t, func(t *testing.T) {
		link := simnet.NodeBiDiLinkSettings{
			Downlink: simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}, Uplink: simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps},
		}
		nw, meta, err := simlibp2p.SimpleLibp2pNetwork([]simlibp2p.NodeLinkSettingsAndCount{{LinkSettings: link, Count: 2}},
			simnet.StaticLatency(10*time.Millisecond), simlibp2p.NetworkSettings{})
		if err != nil {
			t.Fatal(err)
		}
		nw.Start()
		defer nw.Close()
		for _, h := range meta.Nodes {
			defer h.Close()
		}
		p := &pair{asker: meta.Nodes[0], server: meta.Nodes[1], client: New(meta.Nodes[0], quiet), node: newNode()}
		defer p.client.Close()
		if err := p.asker.Connect(t.Context(), peer.AddrInfo{ID: p.server.ID(), Addrs: p.server.Addrs()}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // identify is done
		p.stop = Register(p.server, p.node, quiet)
		test(t, t.Context(), p)
		p.stop()
	})
}

func frames(t *testing.T, ms ...proto.Message) (b []byte) {
	t.Helper()
	for _, m := range ms {
		var err error
		if b, err = wire.Append(b, m); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// What an asker may do wrong ends its stream soon and harms nobody.
func TestHostileAsker(t *testing.T) {
	d, err := setDigest(set("photos"))
	if err != nil {
		t.Fatal(err)
	}
	hello := &councilpb.Request{Kind: councilpb.Kind_MESSAGES}
	good := &councilpb.Frame{Set: d, Instance: instance, Payload: []byte("vote")}
	tests := map[string]struct {
		send   []byte
		within time.Duration
	}{
		"nothing":               {nil, requestTimeout + time.Second},
		"half a request":        {frames(t, &councilpb.Request{Kind: councilpb.Kind_HEADS, Set: d, Ids: d})[:20], requestTimeout + time.Second},
		"request of 2^63":       {binary.AppendUvarint(nil, 1<<63), time.Second},
		"one over the cap":      {binary.AppendUvarint(nil, maxRequest+1), time.Second},
		"garbage":               {bytes.Repeat([]byte{0x7f}, 200), time.Second},
		"heads of no set":       {frames(t, &councilpb.Request{Kind: councilpb.Kind_HEADS, Ids: d}), time.Second},
		"no heads":              {frames(t, &councilpb.Request{Kind: councilpb.Kind_HEADS, Set: d}), time.Second},
		"proposal of nothing":   {frames(t, &councilpb.Request{Kind: councilpb.Kind_PROPOSE, Set: d}), time.Second},
		"proposal to no set":    {frames(t, &councilpb.Request{Kind: councilpb.Kind_PROPOSE, Sealed: d}), time.Second},
		"long topic":            {frames(t, &councilpb.Request{Kind: councilpb.Kind_TABLE, Topic: string(make([]byte, maxTopic+1))}), time.Second},
		"frame of 2^63":         {binary.AppendUvarint(frames(t, hello), 1<<63), time.Second},
		"long frame":            {binary.AppendUvarint(frames(t, hello), maxFrame+1), time.Second},
		"no frame":              {append(frames(t, hello, good), bytes.Repeat([]byte{0x7f}, 200)...), time.Second},
		"frame of no set":       {frames(t, hello, good, &councilpb.Frame{Instance: instance}), time.Second},
		"half a frame":          {frames(t, hello, good, good)[:80], requestTimeout + time.Second},
		"silence after a frame": {frames(t, hello, good), idleLimit + time.Second},
	}
	inWorld(t, func(t *testing.T, ctx context.Context, p *pair) {
		for name, test := range tests {
			s, err := p.asker.NewStream(ctx, p.server.ID(), ID)
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
		if n := len(p.node.frames); n != 4 {
			t.Errorf("%d frames are heard", n)
		}
		s, err := p.asker.NewStream(ctx, p.server.ID(), ID)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Reset()
		if err := wire.WriteMsg(s, &councilpb.Request{Kind: 77}); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(s); err != nil || !bytes.Equal(b, []byte{2, 8, byte(wire.BadRequest)}) {
			t.Errorf("unknown kind: %x, %v", b, err)
		}
	})
}

// What a server may do wrong ends the question soon.
func TestHostileServer(t *testing.T) {
	d, err := setDigest(set("photos"))
	if err != nil {
		t.Fatal(err)
	}
	page := &councilpb.TableReply{Version: 9, More: true, Seats: []*councilpb.Seat{{Set: d, Version: 9, Data: make([]byte, MaxSeat)}}}
	outcome := &councilpb.OutcomeReply{Outcome: uint32(Accepted)}
	table := func(ctx context.Context, p *pair) error {
		_, _, err := p.client.Table(ctx, p.server.ID(), topic, 0)
		return err
	}
	heads := func(ctx context.Context, p *pair) error {
		_, err := p.client.Heads(ctx, p.server.ID(), p.node.set, []cid.Cid{set("a")})
		return err
	}
	propose := func(ctx context.Context, p *pair) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return p.client.Propose(ctx, p.server.ID(), p.node.set, []byte("proposal"), func(Outcome) error { return nil })
	}
	tests := map[string]struct {
		ask    func(context.Context, *pair) error
		send   []byte
		close  bool
		within time.Duration
	}{
		"silence":             {table, nil, false, answerTimeout + time.Second},
		"silence of heads":    {heads, nil, false, answerTimeout + time.Second},
		"no more of a table":  {table, frames(t, page), false, answerTimeout + time.Second},
		"end in a table":      {table, frames(t, page), true, time.Second},
		"endless table":       {table, frames(t, slices.Repeat([]proto.Message{page}, MaxTable/MaxSeat)...), false, time.Second},
		"empty pages":         {table, frames(t, &councilpb.TableReply{More: true}), false, time.Second},
		"page of 2^63":        {table, binary.AppendUvarint(nil, 1<<63), false, time.Second},
		"garbage":             {table, bytes.Repeat([]byte{0x7f}, 200), false, time.Second},
		"nothing":             {heads, nil, true, time.Second},
		"more than asked":     {heads, frames(t, &councilpb.HeadsReply{Heads: [][]byte{{1}, {2}}}), true, time.Second},
		"heads of 2 MiB":      {heads, binary.AppendUvarint(nil, 2<<20), false, time.Second},
		"no outcome":          {propose, nil, true, time.Second},
		"half an outcome":     {propose, frames(t, outcome, outcome)[:5], true, time.Second},
		"rest does not come":  {propose, frames(t, outcome, outcome)[:5], false, answerTimeout + 2*time.Second},
		"outcome of no code":  {propose, frames(t, &councilpb.OutcomeReply{}), true, time.Second},
		"many outcomes":       {propose, frames(t, slices.Repeat([]proto.Message{outcome}, MaxOutcomes+1)...), true, time.Second},
		"large outcome":       {propose, binary.AppendUvarint(nil, maxOutcome+1), false, time.Second},
		"silence of outcomes": {propose, frames(t, outcome), false, time.Minute + time.Second}, // the caller's own limit
	}
	inWorld(t, func(t *testing.T, ctx context.Context, p *pair) {
		type act struct {
			send  []byte
			close bool
		}
		acts := make(chan act, 1) // what the server does in the stream that comes next
		p.server.SetStreamHandler(ID, func(s network.Stream) {
			if err := wire.ReadMsg(bufio.NewReader(s), &councilpb.Request{}, maxRequest); err != nil {
				t.Error(err)
			}
			a := <-acts
			s.Write(a.send)
			if a.close {
				s.Close()
				return
			}
			io.Copy(io.Discard, s) // until the asker has enough
			s.Reset()
		})
		for name, test := range tests {
			acts <- act{test.send, test.close}
			begin := time.Now()
			err := test.ask(ctx, p)
			if err == nil || time.Since(begin) > test.within {
				t.Errorf("%s: %v after %v", name, err, time.Since(begin))
			}
			time.Sleep(time.Second)
		}
	})
}

// A line that is not used costs nothing after a while, and comes back when it is.
func TestIdleLine(t *testing.T) {
	inWorld(t, func(t *testing.T, _ context.Context, p *pair) {
		for range 3 {
			p.client.Send(p.server.ID(), p.node.frame("vote"))
			p.node.expect(t, p.asker, "vote")
			time.Sleep(idleTime / 2)
			p.client.Send(p.server.ID(), p.node.frame("again"))
			p.node.expect(t, p.asker, "again")
			time.Sleep(idleTime - time.Second)
			if n := p.streams(); n != 1 {
				t.Errorf("%d streams of a line that is in use", n)
			}
			time.Sleep(3 * time.Second)
			if n := p.streams(); n != 0 || len(p.client.lines) != 0 {
				t.Errorf("%d streams of a line that is not", n)
			}
		}
		time.Sleep(time.Hour)
	})
}

// A link that has gone dead loses frames for as long as it is dead, and no longer.
func TestDeadLink(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, p *pair) {
		p.client.Send(p.server.ID(), p.node.frame("vote"))
		p.node.expect(t, p.asker, "vote")
		p.stop()
		silent := make(chan network.Stream, 10)
		p.server.SetStreamHandler(ID, func(s network.Stream) { silent <- s }) // and takes nothing
		for range 2 * queueSize / MaxPayload {
			p.client.Send(p.server.ID(), Frame{p.node.set, instance, make([]byte, MaxPayload)})
		}
		time.Sleep(time.Minute / 2)
		p.stop = Register(p.server, p.node, quiet) // takes the place of the silent one
		for len(silent) > 0 {
			(<-silent).Reset()
		}
		time.Sleep(time.Second)
		p.client.Send(p.server.ID(), p.node.frame("alive"))
		time.Sleep(5 * time.Second)
		for n := len(p.node.frames); n > 1; n-- {
			<-p.node.frames // what was left
		}
		p.node.expect(t, p.asker, "alive")
	})
}

// One peer with frames as fast as they go is slowed down.
func TestFloodIsSlowed(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, p *pair) {
		s, err := p.asker.NewStream(ctx, p.server.ID(), ID)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Reset()
		speak(t, s, &councilpb.Request{Kind: councilpb.Kind_MESSAGES})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for m := slices.Repeat([]Frame{p.node.frame("flood")}, 1000); ctx.Err() == nil; {
				b := []byte{}
				for _, f := range m {
					e, _ := encodeFrame(f)
					b, _ = wire.Append(b, e)
				}
				if _, err := s.Write(b); err != nil {
					return
				}
			}
		}()
		begin, heard := time.Now(), 0
		for time.Since(begin) < 10*time.Second {
			<-p.node.frames
			heard++
		}
		s.Reset()
		<-done
		time.Sleep(time.Second)
		if most := frameBurst + 10*frameRate + frameRate; heard > most || heard < 10*frameRate {
			t.Errorf("%d frames in ten seconds, at most %d", heard, most)
		}
	})
}

// The queue of a line keeps the newest frames within its limits.
func TestQueueDropsTheOldest(t *testing.T) {
	for name, test := range map[string]struct{ size, keeps int }{
		"by number": {10, queueFrames},
		"by size":   {MaxPayload, queueSize / MaxPayload},
	} {
		l := &line{signal: make(chan struct{}, 1)}
		for i := range 3 * test.keeps {
			l.push(binary.BigEndian.AppendUint32(make([]byte, test.size-4), uint32(i)))
		}
		c := &Client{}
		var got []byte
		for batch, _ := c.take(l); batch != nil; batch, _ = c.take(l) {
			if len(batch) > max(batchSize, test.size) {
				t.Errorf("%s: a write of %d bytes", name, len(batch))
			}
			got = append(got, batch...)
		}
		if first := binary.BigEndian.Uint32(got[test.size-4:]); len(got) != test.keeps*test.size || int(first) != 2*test.keeps || l.size != 0 {
			t.Errorf("%s: %d bytes from number %d on", name, len(got), first)
		}
	}
}

var errGone = errors.New("gone")

// A sealed record of the largest size goes there and back.
func TestLargestProposal(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, p *pair) {
		p.node.tells = []Outcome{{Code: Accepted}}
		sealed := make([]byte, record.MaxSealed)
		err := p.client.Propose(ctx, p.server.ID(), p.node.set, sealed, func(o Outcome) error {
			if len(o.Head) != len(sealed) {
				t.Errorf("%d bytes came back", len(o.Head))
			}
			return errGone
		})
		if !errors.Is(err, errGone) {
			t.Error(err)
		}
		if err := p.client.Propose(ctx, p.server.ID(), p.node.set, append(sealed, 0), nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("one byte more: %v", err)
		}
	})
}
