package meter

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestSourceFilesAreNamedShortly(t *testing.T) {
	r := prometheus.NewRegistry()
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "x", Help: "Of a test."}, []string{"who"})
	r.MustRegister(v)
	for name, want := range map[string]string{
		"/home/me/go/pkg/mod/github.com/libp2p/go-libp2p-pubsub@v0.17.0/gossipsub.go-L708": "go-libp2p-pubsub:gossipsub.go-L708",
		"github.com/shoal-p2p/shoal/discovery/redial.go-L9":                                "discovery:redial.go-L9",
		"/yamux/1.0.0": "/yamux/1.0.0", "shoal-table": "shoal-table", "b.go-L1": "b.go-L1",
	} {
		v.Reset()
		v.WithLabelValues(name).Set(1)
		for range 2 { // the metric itself stays as it is
			all, err := named(r).Gather()
			if err != nil || len(all) != 1 || len(all[0].Metric) != 1 {
				t.Fatalf("%v %v", all, err)
			}
			if got := all[0].Metric[0].Label[0].GetValue(); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		if all, err := r.Gather(); err != nil || all[0].Metric[0].Label[0].GetValue() != name {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
}
