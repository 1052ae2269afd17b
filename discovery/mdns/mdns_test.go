package mdns

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Two hosts on every interface find each other; on a machine without multicast Run says so at once.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found := make(chan peer.ID, 100)
	var ids [2]peer.ID
	ended := make(chan error)
	for i := range ids {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/0.0.0.0/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		ids[i] = h.ID()
		go func() {
			ended <- Run(ctx, h, func(p peer.AddrInfo) {
				select {
				case found <- p.ID:
				default: // enough
				}
			})
		}()
	}
	for seen := map[peer.ID]bool{}; !seen[ids[0]] || !seen[ids[1]]; {
		select {
		case id := <-found:
			seen[id] = true
		case err := <-ended:
			if errors.Is(err, ErrNoMulticast) {
				<-ended
				t.Skip("this machine has no multicast interface: Run said so")
			}
			t.Fatalf("ended with %v, having found %d of 2", err, len(seen))
		}
	}
	cancel()
	for range ids {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	}
}

func TestFloodIsDropped(t *testing.T) {
	calls := 0
	n := &notifee{slots: make(chan struct{}, 1), ctx: t.Context()}
	n.found = func(p peer.AddrInfo) {
		calls++
		n.HandlePeerFound(p) // while the only slot is taken
	}
	n.HandlePeerFound(peer.AddrInfo{})
	if calls != 1 {
		t.Errorf("found was called %d times, want 1", calls)
	}
}
