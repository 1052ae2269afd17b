// Package report writes what was observed of a test network for people and for other programs: one HTML file that
// needs no network and no script to be read, JSON, and JUnit XML for build servers. The numbers are made in figures, the
// pictures in draw; here they become pages. Only Write touches a disk.
package report

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/testnet/report/draw"
	"github.com/shoal-p2p/shoal/testnet/report/figures"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Headline is a trace in one sentence: "PASS: 12 of 12 checks held, 5 nodes, 24.1 s; primary replaced in 0.4 s".
func Headline(t trace.Trace) string { return figures.Headline(figures.Tidy(t)) }

// document is the trace with what follows from it.
type document struct {
	Type     string `json:"type"`
	V        int    `json:"v"`
	OK       bool   `json:"ok"` // nothing that was checked failed
	Passed   int    `json:"passed"`
	Failed   int    `json:"failed"`
	Headline string `json:"headline"`
	trace.Trace
}

// JSON writes the trace as it is, with a verdict. Durations are in nanoseconds.
func JSON(w io.Writer, t trace.Trace) error {
	tidy := figures.Tidy(t)
	held, verdict := figures.Held(tidy)
	d := document{Type: "report", V: 1, OK: verdict != figures.Failed, Passed: held, Failed: len(t.Checks) - held,
		Headline: figures.Headline(tidy), Trace: written(t)}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	if err := e.Encode(d); err != nil {
		return fmt.Errorf("write report as JSON: %w", err)
	}
	return nil
}

// written has lists instead of nulls, and no number that JSON does not know.
func written(t trace.Trace) trace.Trace {
	t.Seconds = finite(t.Seconds)
	t.Nodes, t.Sets, t.Events = append([]trace.Node{}, t.Nodes...), append([]trace.Set{}, t.Sets...), append([]trace.Event{}, t.Events...)
	t.Links = append([]trace.Link(nil), t.Links...)
	for i := range t.Links {
		t.Links[i].Loss = finite(t.Links[i].Loss)
	}
	t.Samples, t.Transfers = append([]trace.Sample{}, t.Samples...), append([]trace.Transfer{}, t.Transfers...)
	for i, s := range t.Samples {
		t.Samples[i].Sets = append([]trace.SetState(nil), s.Sets...)
		for j := range s.Sets {
			t.Samples[i].Sets[j].Part = finite(s.Sets[j].Part)
		}
	}
	t.Checks = append([]trace.Check{}, t.Checks...)
	for i := range t.Checks {
		t.Checks[i].Seconds = finite(t.Checks[i].Seconds)
	}
	return t
}

func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// The schema that build servers agree on: https://github.com/testmoapp/junitxml
type (
	suites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Time     string   `xml:"time,attr"`
		Suite    suite    `xml:"testsuite"`
	}
	suite struct {
		Name       string     `xml:"name,attr"`
		Tests      int        `xml:"tests,attr"`
		Failures   int        `xml:"failures,attr"`
		Time       string     `xml:"time,attr"`
		Timestamp  string     `xml:"timestamp,attr"`
		Properties []property `xml:"properties>property"`
		Cases      []testcase `xml:"testcase"`
		Out        string     `xml:"system-out,omitempty"`
	}
	property struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		Time    string   `xml:"time,attr"`
		Failure *failure `xml:"failure"`
		Out     string   `xml:"system-out,omitempty"`
	}
	failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes the checks as test cases, and every invariant that broke as one more that failed.
func JUnit(w io.Writer, t trace.Trace) error {
	tidy := figures.Tidy(t)
	s := suite{Name: figures.Clean(name(t)), Time: seconds(tidy.Seconds), Timestamp: t.Started.UTC().Format("2006-01-02T15:04:05")}
	s.Properties = []property{{"seed", fmt.Sprint(t.Seed)}, {"version", figures.Clean(t.Version)}, {"nodes", fmt.Sprint(len(tidy.Nodes))}}
	s.Out = figures.Headline(tidy)
	add := func(name, class, detail string, ok bool, took float64) {
		c := testcase{Name: name, Class: s.Name + "." + class, Time: seconds(finite(took))}
		if ok {
			c.Out = detail
		} else {
			c.Failure = &failure{Message: detail, Text: detail}
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	for _, c := range t.Checks {
		name, class := figures.Clean(c.Name), "invariants"
		if c.Line > 0 {
			name, class = fmt.Sprintf("%s (line %d)", name, c.Line), "checks"
		}
		add(name, class, figures.Clean(c.Detail), c.OK, c.Seconds)
	}
	for i, e := range violations(tidy) {
		add(fmt.Sprintf("violation %d", i+1), "violations", figures.Clean(draw.Sentence(e)), false, 0)
	}
	s.Tests = len(s.Cases)
	all := suites{Name: s.Name, Tests: s.Tests, Failures: s.Failures, Time: s.Time, Suite: s}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write report as JUnit XML: %w", err)
	}
	e := xml.NewEncoder(w)
	e.Indent("", " ")
	if err := e.Encode(all); err != nil {
		return fmt.Errorf("write report as JUnit XML: %w", err)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("write report as JUnit XML: %w", err)
	}
	return nil
}

// name is that of the script without its folder.
func name(t trace.Trace) string {
	return t.Scenario[strings.LastIndexAny(t.Scenario, `/\`)+1:]
}

func violations(t trace.Trace) (all []trace.Event) {
	for _, e := range t.Events {
		if e.Kind == trace.Violation {
			all = append(all, e)
		}
	}
	return all
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", max(s, 0)) }

// started is the moment of a run for people; the zero time is none.
func started(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return strings.TrimSuffix(t.Format("2 January 2006, 15:04:05 MST"), " ")
}
