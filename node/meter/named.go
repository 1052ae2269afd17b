package meter

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// named gathers from g, with shorter names for what its owners did not name: libp2p calls a subscriber to its events by the
// source file that subscribes, with the path that this had where the program was built.
func named(g prometheus.Gatherer) prometheus.Gatherer {
	source := regexp.MustCompile(`\.go-L\d+$`)
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		all, err := g.Gather()
		for _, f := range all {
			for _, m := range f.Metric {
				for i, l := range m.Label {
					if !strings.Contains(l.GetValue(), "/") || !source.MatchString(l.GetValue()) {
						continue
					}
					short := unsourced(l.GetValue())
					m.Label = slices.Clone(m.Label) // they are the metric's own
					m.Label[i] = &dto.LabelPair{Name: l.Name, Value: &short}
				}
			}
		}
		return all, err
	})
}

// unsourced is a source file by its folder and its name; the version that a folder of the module cache ends with is left out.
func unsourced(file string) string {
	folder, _, _ := strings.Cut(path.Base(path.Dir(file)), "@")
	return folder + ":" + path.Base(file)
}
