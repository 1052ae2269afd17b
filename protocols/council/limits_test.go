package council

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	councilpb "github.com/shoal-p2p/shoal/protocols/council/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// A peer with too many questions is busy; its frames get through all the same.
func TestBusy(t *testing.T) {
	p := newPair(t)
	p.node.tells, p.node.hang = []Outcome{{Code: Accepted}}, true
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	accepted := make(chan struct{}, MaxStreams)
	for range MaxStreams {
		wg.Go(func() {
			p.client.Propose(ctx, p.server.ID(), p.node.set, []byte("proposal"), func(Outcome) error {
				accepted <- struct{}{}
				return nil
			})
		})
	}
	for range MaxStreams {
		<-accepted
	}
	if _, _, err := p.client.Table(t.Context(), p.server.ID(), topic, 0); !errors.Is(err, ErrBusy) {
		t.Errorf("question %d: %v", MaxStreams+1, err)
	}
	p.client.Send(p.server.ID(), p.node.frame("vote"))
	p.node.expect(t, p.asker, "vote")
	cancel()
	wg.Wait()
	for range MaxStreams {
		<-p.node.gone
	}
}

// The newest streams with frames are heard, of however many that a peer seems to have.
func TestOldestStreamGoes(t *testing.T) {
	p := newPair(t)
	var streams []network.Stream
	for i := range maxMessageStreams + 3 {
		s, err := p.asker.NewStream(t.Context(), p.server.ID(), ID)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Reset()
		streams = append(streams, s)
		speak(t, s, &councilpb.Request{Kind: councilpb.Kind_MESSAGES}, p.node.frame(fmt.Sprint(i)))
		p.node.expect(t, p.asker, fmt.Sprint(i))
	}
	for i, s := range streams {
		if i < 3 {
			s.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, network.ErrReset) {
				t.Errorf("stream %d: %v", i, err)
			}
			continue
		}
		speak(t, s, nil, p.node.frame(fmt.Sprint("again ", i)))
		p.node.expect(t, p.asker, fmt.Sprint("again ", i))
	}
}

// speak writes a request, unless it is nil, and frames.
func speak(t *testing.T, s network.Stream, req *councilpb.Request, frames ...Frame) {
	t.Helper()
	var b []byte
	var err error
	if req != nil {
		b, err = wire.Append(b, req)
	}
	for _, f := range frames {
		m, bad := encodeFrame(f)
		if err = errors.Join(err, bad); err == nil {
			b, err = wire.Append(b, m)
		}
	}
	if err == nil {
		_, err = s.Write(b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A peer that takes nothing costs its own frames. It holds up neither their sender nor those to others.
func TestStuckPeer(t *testing.T) {
	p, other := newPair(t), newPair(t)
	if err := p.asker.Connect(t.Context(), peer.AddrInfo{ID: other.server.ID(), Addrs: other.server.Addrs()}); err != nil {
		t.Fatal(err)
	}
	p.stop()
	opened := make(chan struct{}, 100)
	p.server.SetStreamHandler(ID, func(network.Stream) { opened <- struct{}{} }) // and does not read
	begin := time.Now()
	for range 4 * queueSize / MaxPayload {
		p.client.Send(p.server.ID(), Frame{p.node.set, instance, make([]byte, MaxPayload)})
	}
	if took := time.Since(begin); took > sendTimeout/2 {
		t.Errorf("sending took %v", took)
	}
	p.client.Send(other.server.ID(), other.node.frame("vote"))
	other.node.expect(t, p.asker, "vote")
	<-opened
	<-opened // the one that was stuck has been given up for another
	begin = time.Now()
	p.client.Close()
	if took := time.Since(begin); took > closeTimeout+2*sendTimeout {
		t.Errorf("closing took %v", took)
	}
}

// BenchmarkFrame is one frame from Send to the handler, over loopback.
func BenchmarkFrame(b *testing.B) {
	p := newPair(b)
	f := Frame{p.node.set, instance, make([]byte, 300)}
	for b.Loop() {
		p.client.Send(p.server.ID(), f)
		<-p.node.frames
	}
}

// BenchmarkBurst is what a node with 1,000 sets says when their primary is lost.
func BenchmarkBurst(b *testing.B) {
	p := newPair(b)
	f := Frame{p.node.set, instance, make([]byte, 300)}
	for b.Loop() {
		for range 1000 {
			p.client.Send(p.server.ID(), f)
		}
		for range 1000 {
			<-p.node.frames
		}
	}
}

// BenchmarkTable pulls 1,000 seats.
func BenchmarkTable(b *testing.B) {
	p := newPair(b)
	p.node.version = 1000
	for i := range uint64(1000) {
		p.node.seats = append(p.node.seats, Seat{set(fmt.Sprint(i)), i + 1, make([]byte, 300)})
	}
	for b.Loop() {
		if _, seats, err := p.client.Table(b.Context(), p.server.ID(), topic, 0); err != nil || len(seats) != 1000 {
			b.Fatal(len(seats), err)
		}
	}
}
