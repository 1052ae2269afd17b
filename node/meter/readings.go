package meter

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reading is a metric that is asked for at every scrape, and not kept here.
type reading struct {
	name, help string
	counts     bool // else it goes up and down
	labels     []string
	read       func(s Standing, say func(v float64, labels ...string))
}

// one is a reading without labels.
func one(value func(Standing) float64) func(Standing, func(float64, ...string)) {
	return func(s Standing, say func(float64, ...string)) { say(value(s)) }
}

func readings() []reading {
	return slices.Concat(setReadings(), eachReadings(), []reading{
		{name: "uptime_seconds", help: "How long this node has been running.",
			read: one(func(s Standing) float64 { return s.Uptime.Seconds() })},
		{name: "transfer_bytes_total", help: "Bytes on the streams of all connections, by direction and what they are for.", counts: true,
			labels: []string{"direction", "kind"}, read: func(s Standing, say func(float64, ...string)) {
				for kind, t := range s.Wire {
					say(float64(t.In), "in", kind)
					say(float64(t.Out), "out", kind)
				}
			}},
		{name: "transfer_limit_bytes_per_second", help: "What the node as a whole may receive and send; 0 = no limit.", labels: []string{"direction"},
			read: func(s Standing, say func(float64, ...string)) {
				say(float64(s.Limit.In), "in")
				say(float64(s.Limit.Out), "out")
			}},
		{name: "delta_reused_bytes_total", help: "Content of new revisions that was on this disk.", counts: true,
			read: one(func(s Standing) float64 { return float64(s.Bytes.Reused) })},
		{name: "delta_patched_bytes_total", help: "Content of new revisions that was made of patches and what was on this disk.", counts: true,
			read: one(func(s Standing) float64 { return float64(s.Bytes.Patched) })},
		{name: "delta_fetched_bytes_total", help: "Content of new revisions that was received whole.", counts: true,
			read: one(func(s Standing) float64 { return float64(s.Bytes.Fetched) })},
		{name: "peers", help: "Connected nodes.", read: one(func(s Standing) float64 { return float64(s.Peers) })},
		{name: "peer_connections", help: "Open connections, by transport and path.", labels: []string{"transport", "path"},
			read: func(s Standing, say func(float64, ...string)) {
				for p, n := range s.Connections {
					say(float64(n), p.Transport, p.text())
				}
			}},
		{name: "dht_table_peers", help: "Nodes in the routing table of the hash table.",
			read: one(func(s Standing) float64 { return float64(s.Table) })},
		{name: "blockstore_bytes", help: "Disk space of the node's own store; the content of sets lies in their folders.",
			read: one(func(s Standing) float64 { return float64(s.StoreBytes) })},
	})
}

// setReadings are about all sets taken together.
func setReadings() []reading {
	return []reading{
		{name: "filesets", help: "File sets of this node, by its role in them.", labels: []string{"role"},
			read: func(s Standing, say func(float64, ...string)) {
				for role, n := range s.Sets.Roles {
					say(float64(n), role)
				}
			}},
		{name: "fileset_files", help: "Files of all sets.", read: one(func(s Standing) float64 { return float64(s.Sets.Files) })},
		{name: "fileset_bytes", help: "Content of all sets.", read: one(func(s Standing) float64 { return float64(s.Sets.Bytes) })},
		{name: "filesets_incomplete", help: "Sets of which no revision is complete here.",
			read: one(func(s Standing) float64 { return float64(s.Sets.Incomplete) })},
		{name: "filesets_stale", help: "Strict sets that are not in touch with a primary and a majority.",
			read: one(func(s Standing) float64 { return float64(s.Sets.Stale) })},
		{name: "fileset_forks", help: "Newest revisions beside those shown, until they are merged.",
			read: one(func(s Standing) float64 { return float64(s.Sets.Forks) })},
		{name: "filesets_alarmed", help: "Sets that somebody has to look at; the status of the node says why.",
			read: one(func(s Standing) float64 { return float64(s.Sets.Alarmed) })},
		{name: "filesets_without_primary", help: "Sets that this node votes on and of which no primary is heard.",
			read: one(func(s Standing) float64 { return float64(s.Sets.Headless) })},
	}
}

// eachReadings are about one set each.
func eachReadings() []reading {
	each := func(read func(Set) (v float64, known bool)) func(Standing, func(float64, ...string)) {
		return func(s Standing, say func(float64, ...string)) {
			for label, set := range labelled(s.Sets.Each) {
				if v, known := read(set); known {
					say(v, label)
				}
			}
		}
	}
	return []reading{
		{name: "fileset_downloads_total", help: "Times that another node said it has all of a set that this node serves.", counts: true, labels: []string{"set"},
			read: each(func(s Set) (float64, bool) { return float64(s.Downloads), true })},
		{name: "fileset_revisions_behind", help: "Revisions of a set that are known and not complete here.", labels: []string{"set"},
			read: each(func(s Set) (float64, bool) { return float64(s.Behind), true })},
		{name: "fileset_last_sync_timestamp_seconds", help: "When a set was last known to be at its newest revision here.", labels: []string{"set"},
			// Where there was none since the start, 1970 would be an alarm.
			read: each(func(s Set) (float64, bool) { return unix(s.Synced), !s.Synced.IsZero() })},
	}
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (p Path) text() string {
	if p.Relayed {
		return "relayed"
	}
	return "direct"
}

// asked is the readings of a source as a prometheus.Collector.
type asked struct {
	source   Source
	readings []reading
	descs    []*prometheus.Desc // of readings
}

func newAsked(s Source) *asked {
	a := &asked{source: s, readings: readings()}
	for _, r := range a.readings {
		a.descs = append(a.descs, prometheus.NewDesc(prometheus.BuildFQName(namespace, "", r.name), r.help, r.labels, nil))
	}
	return a
}

// Describe implements prometheus.Collector.
func (a *asked) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range a.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (a *asked) Collect(ch chan<- prometheus.Metric) {
	s := a.source.Standing()
	for i, r := range a.readings {
		kind := prometheus.GaugeValue
		if r.counts {
			kind = prometheus.CounterValue
		}
		r.read(s, func(v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(a.descs[i], kind, v, labels...)
		})
	}
}
