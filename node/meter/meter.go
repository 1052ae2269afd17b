// Package meter tells Prometheus how a node is doing: it names the metrics, keeps those that nobody else counts, and
// serves them as text.
//
// All names begin with shoal_ and have base units. No peer, path or ticket is ever a label: they come and go, and each
// would be a time series for as long as the database keeps data. What a label may say is fixed in this package or in the
// program, but for the names of the sets of this node, which somebody put here and somebody has to keep an eye on. Other
// figures of one set or peer are to be had from the API.
//
// Beside them are the metrics of the Go runtime (go_), of the process (process_), and what others register with
// Registerer, such as libp2p (libp2p_).
package meter

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "shoal"

const (
	// scrapes is how many may be answered at once: each takes milliseconds, and more than one is a mistake of whoever
	// asks.
	scrapes = 2
	// patience bounds one: no server waits longer for it by default.
	patience = 10 * time.Second
)

// Meter is the metrics of one node. Its methods may be called from any goroutine.
type Meter struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	downloads *prometheus.CounterVec
	failovers *prometheus.CounterVec
	gaps      *prometheus.HistogramVec
	lookups   *prometheus.HistogramVec
	http      *prometheus.HistogramVec
}

// New makes the metrics of a node that runs version of the program. s is asked at every scrape.
func New(s Source, version string) *Meter {
	m := &Meter{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "requests_total",
			Help: "Requests of other nodes, by protocol and how they were answered."}, []string{"protocol", "result"}),
		downloads: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "downloads_total",
			Help: "Revisions that this node set out to bring into a folder, by how that ended."}, []string{"result"}),
		failovers: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "failovers_total",
			Help: "Times that another node became primary of a set that this node votes on, by why."}, []string{"reason"}),
		gaps: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "failover_duration_seconds",
			Help: "From the moment that this node missed the primary of a set until it knew the next one, by why there was a next one.",
			// An election takes about a second on a LAN; a quarter more or less is told apart, and a minute is an outage.
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60}}, []string{"reason"}),
		lookups: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "dht_lookup_duration_seconds",
			Help: "Look-ups of a set in the hash table, until a holder was heard of or none was.",
			// Milliseconds on a LAN; five seconds is where one is given up.
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5}}, []string{"result"}),
		http: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "http_request_duration_seconds",
			Help:    "From a request to the API until its answer began, by route, method and status code.",
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10}}, []string{"route", "method", "code"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "What runs here; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	m.registry.MustRegister(build, m.requests, m.downloads, m.failovers, m.gaps, m.lookups, m.http, newAsked(s),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, r := range []string{Handover, Lost} { // a rate needs to see the zero before the first one
		m.failovers.WithLabelValues(r)
		m.gaps.WithLabelValues(r)
	}
	for _, r := range []string{Found, Nothing} {
		m.lookups.WithLabelValues(r)
	}
	return m
}

// Registerer takes the metrics of others. Names that begin with shoal_ are this package's.
func (m *Meter) Registerer() prometheus.Registerer { return m.registry }

// Gatherer is what Handler shows.
func (m *Meter) Gatherer() prometheus.Gatherer { return named(m.registry) }

// Handler answers a scrape in the format that it asks for. It asks for no rights: that is left to whoever serves it.
func (m *Meter) Handler() http.Handler {
	return promhttp.HandlerFor(m.Gatherer(), promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapes, Timeout: patience})
}

// How a request of another node was answered.
const (
	Served  = "ok"
	Refused = "refused" // it is not here, or the peer may not read it: a stranger cannot tell which
	Failed  = "failed"
)

// Request counts a request of another node. protocol is one of a fixed list.
func (m *Meter) Request(protocol, result string) { m.requests.WithLabelValues(protocol, result).Inc() }

// Download counts a revision that was brought here, or was not. result is one of a fixed list.
func (m *Meter) Download(result string) { m.downloads.WithLabelValues(result).Inc() }

// Why another node became primary of a set.
const (
	Handover = "handover" // the one before still takes part: it gave the role away, or somebody asked for that
	Lost     = "lost"     // the one before is not heard any more
)

// Failover counts that another node became primary of a set, after a gap that this node saw.
func (m *Meter) Failover(reason string, gap time.Duration) {
	m.failovers.WithLabelValues(reason).Inc()
	m.gaps.WithLabelValues(reason).Observe(gap.Seconds())
}

// What a look-up came to.
const (
	Found   = "found"
	Nothing = "nothing"
)

// Lookup counts a look-up in the hash table: how long it took until it heard of a holder, or was over without one.
func (m *Meter) Lookup(took time.Duration, found bool) {
	result := Nothing
	if found {
		result = Found
	}
	m.lookups.WithLabelValues(result).Observe(took.Seconds())
}
