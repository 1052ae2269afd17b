package meter

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"
)

// What is shipped for others to watch nodes with.
const (
	dashboardFile = "../../cmd/node/contrib/grafana.json"
	alertsFile    = "../../cmd/node/contrib/alerts.yml"
)

// grammar is what is looked at of a query: there is no parser of the language here.
type grammar struct{ word, counter, selector, label, grouping *regexp.Regexp }

func newGrammar() grammar {
	return grammar{
		word:     regexp.MustCompile(`\b(?:up\b|(?:shoal|libp2p|process|go)_[a-z0-9_]+)`),
		counter:  regexp.MustCompile(`\b(?:rate|increase)\(([a-z0-9_]+)`),
		selector: regexp.MustCompile(`\b([a-z0-9_]+)\{([^}]*)\}`),
		label:    regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`),
		grouping: regexp.MustCompile(`\b(?:by|without)\s*\(([^)]*)\)`),
	}
}

// series are the names that a query may use, each with its labels.
func series(t *testing.T) map[string][]string {
	t.Helper()
	families, err := busy(full()).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{"up": {"instance", "job"}}
	for _, f := range families {
		labels := []string{"instance", "job"}
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		if f.Metric[0].Histogram == nil {
			all[f.GetName()] = labels
			continue
		}
		all[f.GetName()+"_bucket"], all[f.GetName()+"_sum"], all[f.GetName()+"_count"] = append(labels, "le"), labels, labels
	}
	return all
}

// check tells what is wrong with a query.
func (g grammar) check(known map[string][]string, q string) error {
	var labels []string
	for _, name := range g.word.FindAllString(q, -1) {
		of, ok := known[name]
		if !ok {
			return fmt.Errorf("no metric is called %s", name)
		}
		labels = append(labels, of...)
	}
	if len(labels) == 0 {
		return errors.New("it asks for nothing of ours")
	}
	for _, c := range g.counter.FindAllStringSubmatch(q, -1) {
		if !slices.ContainsFunc([]string{"_total", "_bucket", "_sum", "_count"}, func(s string) bool { return strings.HasSuffix(c[1], s) }) {
			return fmt.Errorf("%s does not only grow", c[1])
		}
	}
	for _, s := range g.selector.FindAllStringSubmatch(q, -1) {
		for _, l := range g.label.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(known[s[1]], l[1]) {
				return fmt.Errorf("%s has no label %s", s[1], l[1])
			}
		}
	}
	for _, by := range g.grouping.FindAllStringSubmatch(q, -1) {
		for l := range strings.SplitSeq(by[1], ",") {
			if l = strings.TrimSpace(l); !slices.Contains(labels, l) {
				return fmt.Errorf("nothing has a label %s", l)
			}
		}
	}
	return balanced(q)
}

func balanced(q string) error {
	var open []byte // what is to close
	for i := range len(q) {
		switch at := strings.IndexByte("([{", q[i]); {
		case at >= 0:
			open = append(open, ")]}"[at])
		case strings.IndexByte(")]}", q[i]) >= 0:
			if len(open) == 0 || open[len(open)-1] != q[i] {
				return fmt.Errorf("%q closes nothing", q[i])
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("%q is missing", open)
	}
	return nil
}

func TestCheckOfQueries(t *testing.T) {
	known, g := series(t), newGrammar()
	for q, ok := range map[string]bool{
		`rate(shoal_transfer_bytes_total{direction="in"}[5m])`:                                            true,
		`histogram_quantile(0.9, sum by (le, reason) (rate(shoal_failover_duration_seconds_bucket[1h])))`: true,
		`up{job="x"} == 0`:                               true,
		`rate(shoal_transfer_byte_total[5m])`:            false,
		`rate(shoal_transfer_bytes_total{dir="in"}[5m])`: false,
		`sum by (set) (shoal_peers)`:                     false,
		`rate(shoal_peers[5m])`:                          false,
		`shoal_failover_duration_seconds > 1`:            false,
		`sum(shoal_peers`:                                false,
		`sum(shoal_peers])`:                              false,
		`vector(1)`:                                      false,
	} {
		if err := g.check(known, q); (err == nil) != ok {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func TestDashboard(t *testing.T) {
	b, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	type box struct{ H, W, X, Y int }
	var d struct {
		Title, UID  string
		Annotations struct{ List []struct{ Expr string } }
		Panels      []struct {
			ID          int
			Type, Title string
			Description string
			GridPos     box
			Targets     []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || len(d.Panels) < 10 {
		t.Fatalf("%q %q with %d panels", d.Title, d.UID, len(d.Panels))
	}
	known, g := series(t), newGrammar()
	check := func(where, q string) {
		if err := g.check(known, strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h").Replace(q)); err != nil {
			t.Errorf("%s: %v: %s", where, err, q)
		}
	}
	for _, a := range d.Annotations.List {
		check("annotation", a.Expr)
	}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %d is there twice", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies over %s, or beside the page", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("%s says or asks nothing", p.Title)
		}
		for _, q := range p.Targets {
			check(p.Title, q.Expr)
		}
	}
}

func TestAlerts(t *testing.T) {
	b, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := yaml.Parser().Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	again, err := json.Marshal(tree)
	if err == nil {
		err = json.Unmarshal(again, &f)
	}
	if err != nil || len(f.Groups) == 0 {
		t.Fatalf("%v, %d groups", err, len(f.Groups))
	}
	known, g := series(t), newGrammar()
	names := map[string]bool{}
	span := regexp.MustCompile(`^(\d+[smhd])?$`)
	for _, group := range f.Groups {
		for _, r := range group.Rules {
			if names[r.Alert] || !strings.HasPrefix(r.Alert, "Shoal") {
				t.Errorf("%q is no name, or there twice", r.Alert)
			}
			names[r.Alert] = true
			if err := g.check(known, r.Expr); err != nil {
				t.Errorf("%s: %v", r.Alert, err)
			}
			if !slices.Contains([]string{"info", "warning", "critical"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || !span.MatchString(r.For) {
				t.Errorf("%s: severity %q, summary %q, for %q", r.Alert, r.Labels["severity"], r.Annotations["summary"], r.For)
			}
		}
	}
	if len(names) < 10 {
		t.Errorf("only %d alerts", len(names))
	}
}
