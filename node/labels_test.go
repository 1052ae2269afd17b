package node

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/shoal-p2p/shoal/node/api"
)

// TestLabelsOfARealNode gathers everything that a node tells of itself and of its libraries after it has shared, fetched and
// looked up: no label is a file's path, a peer, a set's id or a ticket.
func TestLabelsOfARealNode(t *testing.T) {
	t.Parallel()
	author := startLimited(t, Config{})
	getter := startLimited(t, Config{Bootstrap: []string{author.addr()}})
	shared := author.share(newFolder(t))
	if _, err := getter.Get(within(t), api.GetRequest{Ticket: shared.Ticket, Dest: filepath.Join(t.TempDir(), "d")}, quiet); err != nil {
		t.Fatal(err)
	}
	// Those of protocols begin with a slash, too.
	protocol := regexp.MustCompile(`^/(shoal|ipfs|libp2p|yamux|tls)/[a-z0-9./-]+$`)
	id := regexp.MustCompile(`12D3Koo|Qm[1-9A-HJ-NP-Za-km-z]{20}|baf[a-z2-7]{20}|shoal1`)
	for _, n := range []*running{author, getter} {
		families, err := n.life.meter.Gatherer().Gather()
		if err != nil {
			t.Fatal(err)
		}
		libraries, own := 0, families[:0:0]
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "libp2p_") {
				libraries++
			}
			if strings.HasPrefix(f.GetName(), "shoal_") { // those of others are theirs to name
				own = append(own, f)
			}
			for _, m := range f.Metric {
				for _, l := range m.Label {
					v := l.GetValue()
					if strings.ContainsAny(v, `/\`) && !protocol.MatchString(v) || id.MatchString(v) || strings.Contains(v, filepath.Base(n.home.dir)) {
						t.Errorf("%s{%s=%q}", f.GetName(), l.GetName(), v)
					}
				}
			}
		}
		if libraries < 10 {
			t.Errorf("%d metrics of libraries: these are not all", libraries)
		}
		problems, err := promlint.NewWithMetricFamilies(own).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		n.stop()
	}
}
