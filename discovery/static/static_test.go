package static

import (
	"context"
	"testing"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	one = "12D3KooWCwdtw7R6yJXDjvcSZQbVp9yBXpY9mVVL2V5VFTjRYZ2V"
	two = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
)

func TestParseAndFind(t *testing.T) {
	p, err := Parse("/ip4/10.0.0.1/tcp/1/p2p/"+one, "/ip4/10.0.0.2/udp/1/quic-v1/p2p/"+one, "/dns/example.org/tcp/1/p2p/"+two)
	if err != nil || len(p) != 2 {
		t.Fatalf("parsed %v: %v", p, err)
	}
	addrs := map[string]int{}
	for info := range p.Providers(t.Context(), cid.Undef) {
		addrs[info.ID.String()] += len(info.Addrs)
	}
	if addrs[one] != 2 || addrs[two] != 1 || len(addrs) != 2 {
		t.Errorf("found %v", addrs)
	}
	for _, bad := range []string{"", "nonsense", "/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1/p2p/x"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("parsed %q", bad)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range p.Providers(ctx, cid.Undef) { // closes though nobody had to read
	}
}
