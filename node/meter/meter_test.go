package meter

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// standing is a Source that says always the same.
type standing Standing

func (s standing) Standing() Standing { return Standing(s) }

// full is a standing with something of everything.
func full() standing {
	return standing{Uptime: 90 * time.Second, Wire: map[string]Traffic{"chunks": {In: 1, Out: 2}, "other": {In: 3, Out: 4}},
		Bytes: Bytes{Reused: 5, Patched: 6, Fetched: 7}, Peers: 9, Table: 10,
		Connections: map[Path]int{{Transport: "tcp"}: 11, {Transport: "quic-v1", Relayed: true}: 12}, StoreBytes: 13, Limit: Traffic{In: 26, Out: 27},
		Sets: Sets{Roles: map[string]int{"primary": 14, "reader": 15}, Files: 16, Bytes: 17, Incomplete: 19, Stale: 20, Forks: 21,
			Alarmed: 22, Headless: 23,
			Each: []Set{{ID: "bafkone", Name: "photos", Behind: 18, Downloads: 8, Synced: time.UnixMilli(24_500)}, {ID: "bafktwo", Name: "films"}}}}
}

// busy is a meter that has counted something of everything.
func busy(s Source) *Meter {
	m := New(s, "1.2.3")
	m.Request("chunks", Served)
	m.Download("ok")
	m.Failover(Lost, 1200*time.Millisecond)
	m.Lookup(30*time.Millisecond, true)
	m.Lookup(5*time.Second, false)
	m.Instrument(http.NotFoundHandler(), time.Now).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
	return m
}

// ours is what a meter shows of this package's own, as text.
func ours(t *testing.T, m *Meter) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var out []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "shoal_") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

func TestNamesAreAsPrometheusWantsThem(t *testing.T) {
	families, err := busy(full()).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestStandingIsShown(t *testing.T) {
	got := ours(t, New(full(), "1.2.3"))
	for _, want := range []string{
		`shoal_build_info{goversion="`,
		`version="1.2.3"} 1`,
		"shoal_uptime_seconds 90\n",
		`shoal_transfer_bytes_total{direction="in",kind="chunks"} 1`,
		`shoal_transfer_bytes_total{direction="out",kind="other"} 4`,
		"shoal_delta_reused_bytes_total 5\n", "shoal_delta_patched_bytes_total 6\n", "shoal_delta_fetched_bytes_total 7\n",
		`shoal_fileset_downloads_total{set="photos"} 8`, `shoal_fileset_downloads_total{set="films"} 0`, "shoal_peers 9\n", "shoal_dht_table_peers 10\n",
		`shoal_peer_connections{path="direct",transport="tcp"} 11`,
		`shoal_peer_connections{path="relayed",transport="quic-v1"} 12`,
		"shoal_blockstore_bytes 13\n",
		`shoal_transfer_limit_bytes_per_second{direction="in"} 26`, `shoal_transfer_limit_bytes_per_second{direction="out"} 27`,
		`shoal_filesets{role="primary"} 14`, `shoal_filesets{role="reader"} 15`,
		"shoal_fileset_files 16\n", "shoal_fileset_bytes 17\n", `shoal_fileset_revisions_behind{set="photos"} 18`, "shoal_filesets_incomplete 19\n",
		"shoal_filesets_stale 20\n", "shoal_fileset_forks 21\n", "shoal_filesets_alarmed 22\n", "shoal_filesets_without_primary 23\n",
		`shoal_fileset_last_sync_timestamp_seconds{set="photos"} 24.5`,
		`shoal_failovers_total{reason="handover"} 0`, `shoal_failovers_total{reason="lost"} 0`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not shown: %s", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

func TestNothingIsSaidOfWhatNeverWas(t *testing.T) {
	for _, never := range []standing{{}, {Sets: Sets{Each: []Set{{Name: "never synced"}}}}} {
		if got := ours(t, New(never, "")); strings.Contains(got, "last_sync") {
			t.Errorf("%v tells a time", never.Sets.Each)
		}
	}
}

func TestEventsAreCounted(t *testing.T) {
	got := ours(t, busy(standing{}))
	for _, want := range []string{
		`shoal_requests_total{protocol="chunks",result="ok"} 1`,
		`shoal_downloads_total{result="ok"} 1`,
		`shoal_failovers_total{reason="lost"} 1`,
		`shoal_failover_duration_seconds_bucket{reason="lost",le="1"} 0`,
		`shoal_failover_duration_seconds_bucket{reason="lost",le="1.5"} 1`,
		`shoal_dht_lookup_duration_seconds_count{result="found"} 1`,
		`shoal_dht_lookup_duration_seconds_sum{result="nothing"} 5`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not shown: %s", want)
		}
	}
}

// TestLabelsAreFew holds every label against a list: a new one is to be thought about.
func TestLabelsAreFew(t *testing.T) {
	known := []string{"code", "direction", "goversion", "kind", "method", "path", "protocol", "reason", "result", "role", "route", "set", "transport", "version"}
	families, err := busy(full()).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "shoal_") {
			continue
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if !slices.Contains(known, l.GetName()) {
					t.Errorf("%s has a label %q", f.GetName(), l.GetName())
				}
			}
		}
	}
}

func TestRoutes(t *testing.T) {
	clock := time.Unix(0, 0)
	now := func() time.Time { return clock }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/sets/{set}", func(w http.ResponseWriter, r *http.Request) {
		clock = clock.Add(time.Second)
		w.WriteHeader(http.StatusEarlyHints) // announces an answer, and is none
		clock = clock.Add(time.Second)
		_, _ = io.WriteString(w, "{}")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("a stream cannot be flushed: %v", err)
		}
		clock = clock.Add(time.Hour) // of streaming
	})
	mux.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) })
	m := New(standing{}, "")
	h := m.Instrument(mux, now)
	for _, r := range []struct{ method, path string }{{"GET", "/api/v1/sets/abc"}, {"GET", "/api/v1/sets/def"}, {"GET", "/empty"},
		{"GET", "/made/up"}, {"BREW", "/made/up"}, {"BREW2", "/x"}} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(r.method, r.path, nil))
	}
	got := ours(t, m)
	for _, want := range []string{
		`shoal_http_request_duration_seconds_sum{code="200",method="GET",route="/api/v1/sets/{set}"} 4`,
		`shoal_http_request_duration_seconds_count{code="200",method="GET",route="/api/v1/sets/{set}"} 2`,
		`shoal_http_request_duration_seconds_count{code="200",method="GET",route="/empty"} 1`,
		`shoal_http_request_duration_seconds_count{code="404",method="GET",route="other"} 1`,
		`shoal_http_request_duration_seconds_count{code="404",method="other",route="other"} 2`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("not shown: %s\n%s", want, got)
		}
	}
}

func FuzzInstrument(f *testing.F) {
	f.Add("GET", "/a/b")
	f.Add("X", "/%00")
	m := New(standing{}, "")
	only := prometheus.NewRegistry()
	only.MustRegister(m.http)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a/{b}", func(w http.ResponseWriter, _ *http.Request) {})
	h := m.Instrument(mux, time.Now)
	f.Fuzz(func(t *testing.T, method, path string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method, r.URL.Path = method, path
		h.ServeHTTP(httptest.NewRecorder(), r)
		// Whatever is asked, the series are of two routes, eight methods and the codes of the mux.
		families, err := only.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if n := len(families[0].Metric); n > 2*8*6 {
			t.Fatalf("%d series", n)
		}
	})
}

// broken is metrics of somebody else that fail.
type broken struct{ prometheus.Collector }

func (broken) Describe(ch chan<- *prometheus.Desc) { ch <- prometheus.NewDesc("x", "x", nil, nil) }
func (broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(prometheus.NewDesc("x", "x", nil, nil), errors.New("broken"))
}

func TestOneBrokenMetricDoesNotHideTheOthers(t *testing.T) {
	m := New(full(), "")
	m.Registerer().MustRegister(broken{})
	if got := ours(t, m); !strings.Contains(got, "shoal_peers 9") {
		t.Error("nothing is shown")
	}
}
