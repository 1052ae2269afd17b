package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shoal-p2p/shoal/testnet/report"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

// small is a trace that can be read through.
func small() trace.Trace {
	return trace.Trace{
		Scenario: "small", About: "One node & one check <of> each kind.", Seed: 7, Started: time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC), Seconds: 12.5, Version: "v1",
		Nodes: []trace.Node{{Name: "a", PeerID: "12D3KooWa"}, {Name: "b", PeerID: "12D3KooWb"}},
		Sets:  []trace.Set{{Name: "docs", ID: "bafy", Files: 3, Bytes: 1000}},
		Events: []trace.Event{{At: s, Kind: trace.Role, Node: "a", Set: "docs", Text: "primary"}, {At: 2 * s, Kind: trace.Role, Node: "b", Set: "docs", Text: "backup"},
			{At: 5 * s, Kind: trace.Killed, Node: "a"}, {At: 5400 * ms, Kind: trace.Role, Node: "b", Set: "docs", Text: "primary"},
			{At: 9 * s, Kind: trace.Violation, Node: "b", Text: "agree: two roots \"x\" & 'y'"}},
		Samples:   []trace.Sample{{At: s, Node: "b", WireIn: 5, Peers: 1, Memory: 30_000_000, Sets: []trace.SetState{{Set: "docs", Revision: 1, Role: "backup", Part: 0.5}}}},
		Transfers: []trace.Transfer{{Node: "b", Set: "docs", Revision: 1, Began: s, Ended: 3 * s, Total: 1000, Fetched: 1000, WireIn: 1100, WireOut: 80, Sources: 1}},
		Checks: []trace.Check{{Name: "b has docs", OK: true, Detail: "revision 1", Line: 4, At: 3 * s, Seconds: 2}, {Name: "a sent at most 1kB", Detail: "1,100 B > 1 kB", Line: 5, At: 4 * s},
			{Name: "files", OK: true, Detail: "3 files", At: 12 * s}},
	}
}

func TestGolden(t *testing.T) {
	for name, format := range map[string]func(io.Writer, trace.Trace) error{"small.json": report.JSON, "small.xml": report.JUnit, "small.html": report.HTML} {
		var b bytes.Buffer
		if err := format(&b, small()); err != nil {
			t.Fatal(err)
		}
		got := b.Bytes()
		if name == "small.html" {
			got = body(got)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s: (-want +got), -update if it is meant so\n%s", name, diff)
		}
	}
}

// body is the page without its style, script and symbols, and without the pictures' coordinates: what it says.
func body(page []byte) []byte {
	for _, cut := range []string{`(?s)<head>.*</head>`, `(?s)<script>.*</script>`, `(?s)<svg class="defs".*?</svg>`, `(?s)<(path|rect|ellipse|use)[^>]*/>`, ` (x|y|d|width|height|viewBox|data-[a-z0-9]+)="[^"]*"`} {
		page = regexp.MustCompile(cut).ReplaceAll(page, nil)
	}
	return bytes.ReplaceAll(page, []byte("><"), []byte(">\n<"))
}

// TestJSON reads what was written and finds the trace.
func TestJSON(t *testing.T) {
	for name, tr := range all() {
		var b bytes.Buffer
		if err := report.JSON(&b, tr); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var back struct {
			Type           string
			V              int
			OK             bool
			Passed, Failed int
			Headline       string
			trace.Trace
		}
		if err := json.Unmarshal(b.Bytes(), &back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if back.Type != "report" || back.V != 1 || back.Headline != report.Headline(tr) || back.Passed+back.Failed != len(tr.Checks) || back.OK == strings.HasPrefix(back.Headline, "FAIL") {
			t.Errorf("%s: %+v", name, back)
		}
		if name == "hostile" {
			continue // JSON has no way to write what is no UTF-8
		}
		if tr.Nodes == nil {
			tr.Nodes, tr.Sets, tr.Events, tr.Samples, tr.Transfers, tr.Checks = []trace.Node{}, []trace.Set{}, []trace.Event{}, []trace.Sample{}, []trace.Transfer{}, []trace.Check{}
		}
		if diff := cmp.Diff(tr, back.Trace); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// TestNoNumbers writes what JSON has no word for, and leaves the caller's trace alone.
func TestNoNumbers(t *testing.T) {
	tr := small()
	tr.Seconds = math.NaN()
	tr.Samples[0].Sets[0].Part = math.Inf(1)
	tr.Checks[0].Seconds = math.NaN()
	tr.Links = []trace.Link{{From: "a", To: "b", Loss: math.NaN()}}
	for _, format := range []func(io.Writer, trace.Trace) error{report.JSON, report.JUnit, report.HTML} {
		var b bytes.Buffer
		if err := format(&b, tr); err != nil {
			t.Error(err)
		}
		if strings.Contains(b.String(), "NaN") {
			t.Error("NaN is written")
		}
	}
	if !math.IsInf(tr.Samples[0].Sets[0].Part, 1) || !math.IsNaN(tr.Checks[0].Seconds) || !math.IsNaN(tr.Links[0].Loss) {
		t.Error("the caller's trace was changed")
	}
}

// TestJUnit reads the file as a build server does.
func TestJUnit(t *testing.T) {
	for name, tr := range all() {
		var b bytes.Buffer
		if err := report.JUnit(&b, tr); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var back struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Suite    struct {
				Tests, Failures int `xml:",attr"`
				Cases           []struct {
					Name    string    `xml:"name,attr"`
					Failure *struct{} `xml:"failure"`
				} `xml:"testcase"`
			} `xml:"testsuite"`
		}
		if err := xml.Unmarshal(b.Bytes(), &back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, broken := 0, 0
		for _, c := range tr.Checks {
			want++
			if !c.OK {
				broken++
			}
		}
		for _, e := range tr.Events {
			if e.Kind == trace.Violation {
				want++
				broken++
			}
		}
		failures := 0
		for _, c := range back.Suite.Cases {
			if c.Failure != nil {
				failures++
			}
		}
		if back.Tests != want || len(back.Suite.Cases) != want || back.Failures != broken || failures != broken {
			t.Errorf("%s: %d tests and %d failures, want %d and %d", name, back.Tests, back.Failures, want, broken)
		}
	}
}

// TestHTML holds the page's size, that it is the same every time, and that names from a trace are text in it.
func TestHTML(t *testing.T) {
	most := map[string]int{"killed": 250_000, "crowd": 300_000, "many": 3_000_000, "hostile": 250_000, "empty": 30_000} // bytes
	for name, tr := range all() {
		var one, two bytes.Buffer
		if err := errors.Join(report.HTML(&one, tr), report.HTML(&two, tr)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		page := one.String()
		if page != two.String() {
			t.Errorf("%s: written twice, it differs", name)
		}
		if len(page) > most[name] {
			t.Errorf("%s: %d bytes, at most %d", name, len(page), most[name])
		}
		for _, bad := range []string{"<script>alert", "<img", `" on`, "\u202E", "\u2066", "\x00", "\x1b", "ZgotmplZ", "NaN", "http://", "https://", "@import", "url(h"} {
			if strings.Contains(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), bad) {
				t.Errorf("%s: the page has %q", name, bad)
			}
		}
		if n := strings.Count(page, "<script"); n != 1 {
			t.Errorf("%s: %d scripts", name, n)
		}
	}
}

// TestLong is the size of a run of seventeen nodes for half an hour, which is drawn as fine as half a minute.
func TestLong(t *testing.T) {
	tr := crowd(4)
	for i := range tr.Samples {
		tr.Samples[i].At *= 60
	}
	base := len(tr.Samples)
	for i := range base * 9 {
		next := tr.Samples[i%base]
		next.At += time.Duration(i/base+1) * 200 * ms
		next.Sets = []trace.SetState{{Set: "film", Part: float64(i%100) / 99}}
		tr.Samples = append(tr.Samples, next)
	}
	tr.Seconds = 1800
	var b bytes.Buffer
	if err := report.HTML(&b, tr); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 1_000_000 {
		t.Errorf("%d samples make a page of %d bytes", len(tr.Samples), b.Len())
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	for range 2 { // over what is there, too
		path, err := report.Write(dir, small())
		if err != nil {
			t.Fatal(err)
		}
		if path != filepath.Join(dir, "report.html") {
			t.Errorf("path is %s", path)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if diff := cmp.Diff([]string{"junit.xml", "report.html", "report.json"}, names); diff != "" {
			t.Errorf("files: %s", diff)
		}
	}
}

// TestWriteFails cannot write one of the files, and writes the others.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "junit.xml", "in-the-way"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := report.Write(dir, small()); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(filepath.Join(dir, "report.html")); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var failed *fs.PathError
	if _, err := report.Write(file, small()); !errors.As(err, &failed) {
		t.Errorf("a file as the folder: %v", err)
	}
}
