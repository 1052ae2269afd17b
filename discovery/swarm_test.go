package discovery_test

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

func TestFoundThroughAThirdNode(t *testing.T) {
	simulate(t, func(w *world) {
		boot := w.start(1)
		defer boot.stop()
		sharer := w.start(2, boot.info())
		defer sharer.stop()
		getter := w.start(3, boot.info())
		defer getter.stop()
		sharer.ann.Add(key("set")) // before there is anybody to announce it to
		took := w.find(getter, key("set"), sharer, 5*time.Second)
		t.Logf("found %v after all three started", took)
	})
}

func TestGetterThatAsksFirst(t *testing.T) {
	simulate(t, func(w *world) {
		boot := w.start(1)
		defer boot.stop()
		sharer, getter := w.start(2, boot.info()), w.start(3, boot.info())
		defer sharer.stop()
		defer getter.stop()
		found := make(chan time.Time)
		go func() {
			w.find(getter, key("set"), sharer, time.Hour)
			found <- time.Now()
		}()
		time.Sleep(time.Minute)
		shared := time.Now()
		sharer.ann.Add(key("set"))
		took := (<-found).Sub(shared)
		t.Logf("found %v after the share", took)
		if took > 6*time.Second {
			t.Errorf("found %v after the share", took)
		}
	})
}

func TestFiveNodesFindEachOther(t *testing.T) {
	simulate(t, func(w *world) {
		boot := w.start(1)
		defer boot.stop()
		nodes := []*node{boot}
		for i := 2; i <= 5; i++ {
			n := w.start(i, boot.info())
			defer n.stop()
			nodes = append(nodes, n)
		}
		for _, n := range nodes {
			n.ann.Add(key("set"))
		}
		for _, from := range nodes {
			for _, to := range nodes {
				if from != to {
					w.find(from, key("set"), to, 10*time.Second)
				}
			}
		}
	})
}

// The provider dies without a word: another one is still found, and so is the dead one again once it is
// back with nothing but its identity.
func TestProviderDiesAndReturns(t *testing.T) {
	simulate(t, func(w *world) {
		boot := w.start(1)
		defer boot.stop()
		a, b, getter := w.start(2, boot.info()), w.start(3, boot.info()), w.start(4, boot.info())
		defer b.stop()
		defer getter.stop()
		a.ann.Add(key("set"))
		b.ann.Add(key("set"))
		w.find(getter, key("set"), a, 5*time.Second)
		w.unplug(a)
		took := w.find(getter, key("set"), b, 10*time.Second)
		t.Logf("the living one found %v after the other died", took)
		a.stop()
		w.plug(a)
		time.Sleep(time.Minute)

		a = w.start(2, boot.info())
		defer a.stop()
		a.ann.Add(key("other"))
		took = w.find(getter, key("other"), a, 5*time.Second)
		t.Logf("the restarted one found after %v", took)
	})
}

// The only node that kept the records restarts with nothing: they come back without anybody's doing.
func TestBootstrapRestarts(t *testing.T) {
	simulate(t, func(w *world) {
		boot := w.start(1)
		sharer := w.start(2, boot.info())
		defer sharer.stop()
		sharer.ann.Add(key("set"))
		w.find(boot, key("set"), sharer, 5*time.Second)
		boot.stop()
		time.Sleep(5 * time.Minute)
		boot = w.start(1)
		defer boot.stop()
		getter := w.start(3, boot.info())
		defer getter.stop()
		took := w.find(getter, key("set"), sharer, 60*time.Second)
		t.Logf("found %v after the restart", took)
	})
}

func TestRedialAfterAHealedPartition(t *testing.T) {
	simulate(t, func(w *world) {
		a, b := w.start(1), w.start(2)
		defer a.stop()
		defer b.stop()
		a.redial.Keep(b.info())
		w.wait(a, b, network.Connected, time.Second)
		if !a.ConnManager().IsProtected(b.ID(), "") {
			t.Error("a kept peer is not protected")
		}
		for minutes := range 5 { // several, so that dials refused for minutes show in one of them
			w.unplug(b)
			w.wait(a, b, network.NotConnected, time.Minute) // QUIC takes 45 s to notice
			cut := time.Duration(3+4*minutes)*time.Minute + 7*time.Second
			time.Sleep(cut)
			w.plug(b)
			took := w.wait(a, b, network.Connected, 45*time.Second)
			t.Logf("connected %v after a cut of %v healed", took, cut)
		}
		a.redial.Forget(b.ID())
		a.Network().ClosePeer(b.ID())
		time.Sleep(time.Hour)
		if a.Network().Connectedness(b.ID()) == network.Connected {
			t.Error("a forgotten peer was dialled")
		}
	})
}

func TestRedialAfterARestart(t *testing.T) {
	simulate(t, func(w *world) {
		a, b := w.start(1), w.start(2)
		defer a.stop()
		a.redial.Keep(b.info())
		w.wait(a, b, network.Connected, time.Second)
		time.Sleep(time.Minute)
		b.stop()
		w.wait(a, b, network.NotConnected, time.Second)
		time.Sleep(2 * time.Second)
		b = w.start(2)
		defer b.stop()
		took := w.wait(a, b, network.Connected, 10*time.Second)
		t.Logf("connected %v after the restart", took)
	})
}

// Redial keeps more peers than it dials at once.
func TestRedialOfManyDeadPeers(t *testing.T) {
	simulate(t, func(w *world) {
		a, b := w.start(1), w.start(2)
		defer a.stop()
		defer b.stop()
		for i := range 40 {
			dead := w.start(10 + i)
			info := dead.info()
			dead.stop()
			a.redial.Keep(info)
		}
		a.redial.Keep(b.info())
		a.redial.Keep(peer.AddrInfo{ID: a.ID()}) // itself: nothing happens
		w.wait(a, b, network.Connected, 30*time.Second)
	})
}

// wait returns how long it takes until a sees b as want, looking every 10 ms.
func (w *world) wait(a, b *node, want network.Connectedness, limit time.Duration) time.Duration {
	w.t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	for a.Network().Connectedness(b.ID()) != want {
		time.Sleep(latency) // virtual
		if ctx.Err() != nil {
			w.t.Fatalf("not %s after %v", want, limit)
		}
	}
	return time.Since(start)
}
