package node

import (
	"path/filepath"
	"testing"

	libnet "github.com/libp2p/go-libp2p/core/network"

	"github.com/shoal-p2p/shoal/node/api"
)

// The peers of a set are the connected ones that hold something of it, on both sides, meanwhile and afterwards.
func TestPeersOfASet(t *testing.T) {
	t.Parallel()
	author := start(t, t.TempDir())
	getter := startLimited(t, Config{Bootstrap: []string{author.addr()}, Transfer: TransferConfig{Down: 4 << 20}}) // there is a middle to look at
	start(t, t.TempDir(), author.addr())                                                                           // knows nothing of the set, and counts nowhere
	shared := author.share(newFolder(t))
	ctx := within(t)
	peers := func(r *running) int {
		t.Helper()
		info, err := r.Show(ctx, shared.Set)
		if err != nil {
			t.Fatal(err)
		}
		return info.Peers
	}
	if n := peers(author); n != 0 {
		t.Errorf("shared: %d peers", n)
	}
	meanwhile := false
	dest := filepath.Join(t.TempDir(), "dest")
	if _, err := getter.Get(ctx, api.GetRequest{Ticket: shared.Ticket, Dest: dest}, func(p api.Progress) {
		if p.Phase == "fetch" && p.BytesDone > 0 && p.BytesDone < p.BytesTotal {
			meanwhile = meanwhile || peers(getter) == 1 && peers(author) == 1
		}
	}); err != nil {
		t.Fatal(err)
	}
	if !meanwhile {
		t.Error("nobody counts the other while the set is fetched")
	}
	if a, g := peers(author), peers(getter); a != 1 || g != 1 {
		t.Errorf("afterwards the author counts %d, the getter %d", a, g)
	}
	for _, p := range getter.network().host.Network().Peers() {
		if err := getter.network().host.Network().ClosePeer(p); err != nil {
			t.Fatal(err)
		}
	}
	if getter.network().host.Network().Connectedness(author.self) != libnet.Connected && peers(getter) != 0 {
		t.Error("one that is not connected is counted")
	}
}
