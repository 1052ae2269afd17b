package beacon

import (
	"context"
	"reflect"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// stranger is a router that says what it likes.
func stranger(t *testing.T, ctx context.Context, h host.Host, topic string) *pubsub.Topic {
	t.Helper()
	ps, err := pubsub.NewGossipSub(ctx, h, pubsub.WithGossipSubProtocols([]protocol.ID{ID}, features), pubsub.WithFloodPublish(true),
		pubsub.WithMaxMessageSize(10*frameSize), pubsub.WithLogger(quiet), pubsub.WithRPCLogger(quiet))
	if err != nil {
		t.Fatal(err)
	}
	room, err := ps.Join(topic)
	if err != nil {
		t.Fatal(err)
	}
	return room
}

func TestMalformedIsRefused(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		connectAll(t, ctx, hosts)
		a, b := start(t, ctx, hosts[0], testTopic(t)), start(t, ctx, hosts[1], testTopic(t))
		bad := stranger(t, ctx, hosts[2], a.topic)
		time.Sleep(time.Second)
		for name, data := range malformed() {
			if err := bad.Publish(ctx, data); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		time.Sleep(time.Second)
		a.say(t, ctx, hello)
		good, err := encode(hello)
		if err != nil {
			t.Fatal(err)
		}
		if err := bad.Publish(ctx, good); err != nil { // it may still speak sense
			t.Error(err)
		}
		time.Sleep(time.Second)
		if heard := b.took(); len(heard) != 2 {
			t.Errorf("heard %+v", heard)
		}
		if heard := a.took(); len(heard) != 1 || heard[0].From != hosts[2].ID() {
			t.Errorf("heard %+v", heard)
		}
	})
}

// A frame that is too large ends the stream of whoever sent it and nothing else; it is heard again once it has connected anew.
func TestOversizedFrame(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		connectAll(t, ctx, hosts)
		a, b := start(t, ctx, hosts[0], testTopic(t)), start(t, ctx, hosts[1], testTopic(t))
		bad := stranger(t, ctx, hosts[2], a.topic)
		time.Sleep(time.Second)
		if err := bad.Publish(ctx, make([]byte, 5*frameSize)); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		a.say(t, ctx, hello)
		time.Sleep(time.Second)
		b.expect(t, a, hello)
		good, err := encode(hello)
		if err != nil {
			t.Fatal(err)
		}
		if err := hosts[2].Network().ClosePeer(hosts[1].ID()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		connect(t, ctx, hosts[2], hosts[1])
		time.Sleep(time.Second)
		if err := bad.Publish(ctx, good); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if heard := b.took(); len(heard) != 1 || heard[0].From != hosts[2].ID() {
			t.Errorf("heard %+v", heard)
		}
	})
}

// While one is slow to hear, a peer that talks much loses what it said first, and the others lose nothing.
func TestSlowHearer(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, ctx context.Context, hosts []host.Host) {
		connectAll(t, ctx, hosts)
		loud, calm := start(t, ctx, hosts[0], testTopic(t)), start(t, ctx, hosts[1], testTopic(t))
		slow, err := New(ctx, hosts[2], quiet)
		if err != nil {
			t.Fatal(err)
		}
		release, heard := make(chan struct{}), make(chan Heard, 2000)
		leave, err := slow.Join(loud.topic, func(h Heard) {
			<-release
			heard <- h
		}, func(peer.ID) {})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		const messages = 300
		for i := range messages {
			loud.say(t, ctx, Message{Boot: 1, No: uint64(i)})
			if i%100 == 50 {
				calm.say(t, ctx, Message{Boot: 1, No: uint64(i)})
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		close(release)
		time.Sleep(time.Second)
		leave()
		close(heard)
		var loudNos, calmNos []uint64
		for h := range heard {
			if h.From == calm.host.ID() {
				calmNos = append(calmNos, h.Message.No)
			} else {
				loudNos = append(loudNos, h.Message.No)
			}
		}
		want := []uint64{0} // was being heard
		for i := messages - inboxPeer; i < messages; i++ {
			want = append(want, uint64(i))
		}
		if !reflect.DeepEqual(calmNos, []uint64{50, 150, 250}) || !reflect.DeepEqual(loudNos, want) {
			t.Errorf("heard %v of the calm, %v of the loud", calmNos, loudNos)
		}
	})
}
