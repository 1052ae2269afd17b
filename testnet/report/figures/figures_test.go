package figures

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/testnet/trace"
)

const s = time.Second

// script reads events of the form "12 origin killed", "3 origin role docs primary", "5 a published docs durable".
func script(t *testing.T, text string) trace.Trace {
	t.Helper()
	var tr trace.Trace
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		d, err := time.ParseDuration(w[0] + "s")
		if err != nil || len(w) < 3 {
			t.Fatalf("%q: %v", line, err)
		}
		e := trace.Event{At: d, Node: strings.Trim(w[1], "-"), Kind: w[2]}
		if len(w) > 3 {
			e.Set = w[3]
		}
		if len(w) > 4 {
			e.Text, e.Durable = w[4], w[4] == "durable"
		}
		tr.Events = append(tr.Events, e)
	}
	tr.Seconds = 30
	return Tidy(tr)
}

func TestGaps(t *testing.T) {
	const both = "1 a up\n1 b up\n2 a role docs primary\n3 b role docs backup\n"
	gap := func(cause, was, now string, from, primary, accepted, to time.Duration, others int) Gap {
		return Gap{Set: "docs", Cause: cause, Was: was, Now: now, From: from, Primary: primary, Accepted: accepted, To: to, Others: others,
			Open: primary == Never && accepted == Never}
	}
	for _, c := range []struct {
		name, text string
		want       []Gap
	}{
		{"nothing happens", both, nil},
		{"a kill", both + "10 a killed\n10.4 b role docs primary\n11 b published docs durable",
			[]Gap{gap(trace.Killed, "a", "b", 10*s, 10400*time.Millisecond, 11*s, 10400*time.Millisecond, 1)}},
		{"a publish is accepted before the role is seen", both + "10 a crashed\n11 b published docs\n12 b role docs primary",
			[]Gap{gap(trace.Crashed, "a", "b", 10*s, 12*s, 11*s, 11*s, 1)}},
		{"nobody comes", both + "10 a killed", []Gap{gap(trace.Killed, "a", "", 10*s, Never, Never, 30*s, 1)}},
		{"nobody was there to come", "1 a role docs primary\n10 a killed", []Gap{gap(trace.Killed, "a", "", 10*s, Never, Never, 30*s, 0)}},
		{"it comes back itself", both + "10 a killed\n12 a up\n13 a role docs primary", []Gap{gap(trace.Killed, "a", "a", 10*s, 13*s, Never, 13*s, 1)}},
		{"a stop after the role was handed over", both + "9 a role docs replica\n9.1 b role docs primary\n10 a stopped", nil},
		{"the backup is killed", both + "10 b killed", nil},
		{"a cut that harms nobody", both + "10 a cut\n12 - healed", nil},
		{"a cut healed for all before another is primary", both + "10 a cut\n12 - healed\n15 b role docs primary", nil},
		{"what the old primary calls published", both + "10 a cut\n12 b role docs primary\n13 a published docs",
			[]Gap{gap(trace.Cut, "a", "b", 10*s, 12*s, Never, 12*s, 1)}},
		{"what the old primary made durable", both + "10 a cut\n12 b role docs primary\n13 a published docs durable",
			[]Gap{gap(trace.Cut, "a", "b", 10*s, 12*s, 13*s, 12*s, 1)}},
		{"a cut, and the same primary in a new epoch", both + "10 a cut\n12 a role docs primary", nil},
		{"a cut that is not healed and harms nobody", both + "10 a cut", nil},
		{"a cut and another primary", both + "10 a cut\n10.5 a published docs\n12 b role docs primary\n14 - healed\n14.1 a role docs replica",
			[]Gap{gap(trace.Cut, "a", "b", 10*s, 12*s, Never, 12*s, 1)}},
		{"the second of two cuts", both + "10 a cut\n11 a healed\n13 a cut\n15 b role docs primary", []Gap{gap(trace.Cut, "a", "b", 13*s, 15*s, Never, 15*s, 1)}},
		{"a pause", both + "10 a paused\n12 b role docs primary\n14 a resumed", []Gap{gap(trace.Paused, "a", "b", 10*s, 12*s, Never, 12*s, 1)}},
		{"a pause that ends in time", both + "10 a paused\n11 a resumed\n15 b role docs primary", nil},
		{"two kills", both + "10 a killed\n11 b role docs primary\n12 a up\n13 a role docs backup\n20 b killed\n22 a role docs primary",
			[]Gap{gap(trace.Killed, "a", "b", 10*s, 11*s, Never, 11*s, 1), gap(trace.Killed, "b", "a", 20*s, 22*s, Never, 22*s, 1)}},
	} {
		if diff := cmp.Diff(c.want, Gaps(script(t, c.text))); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
	}
}

func TestGapsOfTwoSets(t *testing.T) {
	tr := script(t, "1 a role docs primary\n1 a role film primary\n2 b role docs backup\n10 a killed\n11 b role docs primary")
	got := Gaps(tr)
	if len(got) != 2 || got[0].Set != "docs" || got[0].Alone() || got[1].Set != "film" || !got[1].Alone() {
		t.Errorf("got %+v", got)
	}
}

func TestLanes(t *testing.T) {
	tr := script(t, `
		1 a up
		2 a role docs primary
		5 a paused
		7 a resumed
		10 a killed
		12 a up
		14 a role docs replica
		15 a role film reader
		3 b role docs backup`)
	tr.Samples = []trace.Sample{{At: 13 * s, Node: "a", Sets: []trace.SetState{{Set: "docs", Role: "candidate"}}},
		{At: 16 * s, Node: "a", Sets: []trace.SetState{{Set: "docs", Role: "primary"}}}} // an event knows better
	want := []Segment{{1 * s, 2 * s, Running, ""}, {2 * s, 5 * s, Running, "primary"}, {5 * s, 7 * s, Paused, "primary"}, {7 * s, 10 * s, Running, "primary"},
		{10 * s, 12 * s, Down, ""}, {12 * s, 13 * s, Running, ""}, {13 * s, 14 * s, Running, "candidate"}, {14 * s, 30 * s, Running, "replica"}}
	lanes := Lanes(tr, "docs")
	if diff := cmp.Diff(want, lanes[0].Segments); diff != "" {
		t.Errorf("a: (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]Segment{{3 * s, 30 * s, Running, "backup"}}, lanes[1].Segments); diff != "" {
		t.Errorf("b: (-want +got)\n%s", diff)
	}
	if last := Last(tr, ""); last["a"].Role != "replica" || last["b"].Role != "backup" || last["a"].Life != Running {
		t.Errorf("last: %+v", last)
	}
	if last := Last(tr, "film"); last["a"].Role != "reader" || last["b"].Role != "" {
		t.Errorf("last of film: %+v", last)
	}
}

// TestRatesKeepBytes moves bytes at random through processes that are started again, and finds as many in the bins.
func TestRatesKeepBytes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		tr := trace.Trace{Events: []trace.Event{{Kind: trace.Up, Node: "a"}}}
		var at time.Duration
		var in, out, allIn, allOut int64
		for range rapid.IntRange(1, 60).Draw(r, "samples") {
			at += time.Duration(rapid.Int64Range(1, int64(3*s)).Draw(r, "later"))
			if rapid.IntRange(0, 9).Draw(r, "again") == 0 {
				in, out = 0, 0
				tr.Events = append(tr.Events, trace.Event{At: at, Kind: trace.Up, Node: "a"})
				at += time.Duration(rapid.Int64Range(1, int64(s)).Draw(r, "up"))
			}
			i, o := rapid.Int64Range(0, 1e9).Draw(r, "in"), rapid.Int64Range(0, 1e9).Draw(r, "out")
			in, out, allIn, allOut = in+i, out+o, allIn+i, allOut+o
			tr.Samples = append(tr.Samples, trace.Sample{At: at, Node: "a", WireIn: in, WireOut: out})
		}
		tr = Tidy(tr)
		bin := BinFor(tr, rapid.IntRange(1, 300).Draw(r, "bins"))
		n := Rates(tr, bin).Nodes[0]
		for _, side := range []struct {
			rates []float64
			bytes float64
			want  int64
		}{{n.Sent, n.BytesSent, allOut}, {n.Received, n.BytesReceived, allIn}} {
			sum := 0.0
			for _, v := range side.rates {
				if v < 0 {
					r.Fatalf("a rate of %v", v)
				}
				sum += v * bin.Seconds()
			}
			if math.Abs(sum-float64(side.want)) > 1+1e-6*float64(side.want) || side.bytes != float64(side.want) {
				r.Fatalf("%v in bins, %v counted, %d moved", sum, side.bytes, side.want)
			}
		}
	})
}

func TestRatesSpreadEvenly(t *testing.T) {
	tr := Tidy(trace.Trace{Seconds: 4, Nodes: []trace.Node{{Name: "a"}}, Samples: []trace.Sample{
		{At: 1 * s, Node: "a", WireIn: 500},                                       // of no known time
		{At: 3 * s, Node: "a", WireIn: 2500}, {At: 4 * s, Node: "a", WireIn: 700}, // the process is a new one
	}})
	want := []float64{0, 1000, 1000, 700, 0}
	if got := Rates(tr, s).Nodes[0].Received; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBusiest(t *testing.T) {
	node := func(name string, sent, received float64) Traffic {
		return Traffic{Node: name, Sent: []float64{sent}, Received: []float64{received}, BytesSent: sent, BytesReceived: received}
	}
	r := Throughput{Nodes: []Traffic{node("a", 5, 5), node("idle", 0, 0), node("b", 20, 20), node("source", 9, 0), node("c", 7, 7), node("d", 1, 1)}}
	top, rest, others := r.Busiest(2)
	if len(top) != 2 || top[0].Node != "source" || top[1].Node != "b" || others != 3 || rest.BytesSent != 13 || rest.Received[0] != 13 {
		t.Errorf("top %v, %d others: %v", top, others, rest)
	}
	if top, _, others := r.Busiest(4); len(top) != 5 || others != 0 {
		t.Errorf("one other is not named: %v, %d", top, others)
	}
}

func TestCurves(t *testing.T) {
	tr := script(t, "4 edge complete docs\n9 dead killed\n7 late complete docs")
	tr.Samples = []trace.Sample{
		{At: 1 * s, Node: "author", Sets: []trace.SetState{{Set: "docs", Part: 1}}},
		{At: 2 * s, Node: "edge", Sets: []trace.SetState{{Set: "docs", Part: 0.5}}},
		{At: 8 * s, Node: "dead", Sets: []trace.SetState{{Set: "docs", Part: 0.25}}},
		{At: 12 * s, Node: "dead", Sets: []trace.SetState{{Set: "docs", Part: 0}}},
	}
	tr.Transfers = []trace.Transfer{{Node: "quick", Set: "docs", Began: 5 * s, Ended: 5*s + 1, Total: 100, Reused: 60}}
	curves := Curves(Tidy(tr), "docs")
	var names []string
	for _, c := range curves {
		names = append(names, c.Node)
	}
	if !slices.Equal(names, []string{"edge", "quick", "late", "dead"}) {
		t.Fatalf("got %v", names)
	}
	if diff := cmp.Diff([]Point{{2 * s, 0.5, false}, {4 * s, 1, false}}, curves[0].Points); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Point{{5 * s, 0.6, false}, {5*s + 1, 1, false}}, curves[1].Points); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Point{{8 * s, 0.25, false}, {12 * s, 0, true}}, curves[3].Points); diff != "" {
		t.Error(diff)
	}
}

func TestHeadline(t *testing.T) {
	ok, bad := trace.Check{Name: "x", OK: true}, trace.Check{Name: "y"}
	kill := "1 a role docs primary\n2 b role docs backup\n10 a killed\n10.4 b role docs primary\n"
	update := []trace.Transfer{{Node: "a", Set: "docs", Revision: 1, Total: 1000, Fetched: 1000, WireIn: 1000}, {Node: "a", Set: "docs", Revision: 2, Total: 1000, Reused: 990, WireIn: 25}}
	for _, c := range []struct {
		text      string
		checks    []trace.Check
		transfers []trace.Transfer
		want      string
	}{
		{"", nil, nil, "DONE: nothing was checked, 0 nodes, 30.0 s"},
		{"1 a up", []trace.Check{ok}, nil, "PASS: 1 of 1 check held, 1 node, 30.0 s"},
		{"1 a up", []trace.Check{ok, bad}, nil, "FAIL: 1 of 2 checks did not hold (y), 1 node, 30.0 s"},
		{"1 a violation", []trace.Check{ok}, nil, "FAIL: 1 invariant broke, 1 node, 30.0 s"},
		{kill, []trace.Check{ok}, update, "PASS: 1 of 1 check held, 2 nodes, 30.0 s; primary replaced in 0.40 s; 97 % of the second revision's bytes not sent"},
		{kill + "20 b killed", []trace.Check{ok}, nil, "PASS: 1 of 1 check held, 2 nodes, 30.0 s; primary replaced in 0.40 s"},
		{kill + "11 c role docs backup\n20 b killed", []trace.Check{ok}, nil, "PASS: 1 of 1 check held, 3 nodes, 30.0 s; primary replaced in 0.40 s; not replaced for the last 10.0 s"},
		{kill + "12 a up\n13 a role docs backup\n20 b killed\n21 a role docs primary", []trace.Check{ok},
			append(update, trace.Transfer{Node: "a", Set: "docs", Revision: 3, Total: 1000, Reused: 990, WireIn: 5}),
			"PASS: 1 of 1 check held, 2 nodes, 30.0 s; primary replaced 2 times, in 1.0 s at most; 98 % of the bytes of 2 updates not sent"},
	} {
		tr := script(t, c.text)
		tr.Checks, tr.Transfers = c.checks, c.transfers
		if got := Headline(tr); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 s", 1: "1 ms", 94 * time.Millisecond: "94 ms", 95 * time.Millisecond: "0.10 s", 380 * time.Millisecond: "0.38 s",
		999 * time.Millisecond: "1.0 s", 24100 * time.Millisecond: "24.1 s", 59990 * time.Millisecond: "1 min 0 s", 200 * s: "3 min 20 s", 2*time.Hour + 90*s: "2 h 2 min"} {
		if got := Seconds(d); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
	for p, want := range map[float64]string{0: "0 %", 0.0001: "under 0.1 %", 0.005: "0.5 %", 0.5: "50 %", 0.979: "97 %", 0.9999: "99.9 %", 1: "100 %", 7: "100 %", math.NaN(): "0 %"} {
		if got := Percent(p); got != want {
			t.Errorf("%v: %q, want %q", p, got, want)
		}
	}
	for n, want := range map[uint64]string{2: "second", 10: "tenth", 21: "21st", 12: "12th"} {
		if got := ordinal(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// wild draws traces that nobody observed: times and numbers of all sizes, names that are and are not listed.
func wild(r *rapid.T) trace.Trace {
	names := rapid.SampledFrom([]string{"", "a", "b", "c", "\xff<"})
	kinds := rapid.SampledFrom([]string{trace.Up, trace.Killed, trace.Crashed, trace.Stopped, trace.Paused, trace.Resumed, trace.Cut, trace.Healed, trace.Role,
		trace.Published, trace.Complete, trace.Violation, trace.Note, "what"})
	roles := rapid.SampledFrom([]string{"primary", "backup", "replica", "reader", "", "king"})
	times := rapid.Custom(func(r *rapid.T) time.Duration {
		return time.Duration(rapid.OneOf(rapid.Int64Range(0, int64(40*s)), rapid.Int64()).Draw(r, "time"))
	})
	tr := trace.Trace{Seconds: rapid.Float64().Draw(r, "seconds")}
	for range rapid.IntRange(0, 40).Draw(r, "events") {
		tr.Events = append(tr.Events, trace.Event{At: times.Draw(r, "at"), Kind: kinds.Draw(r, "kind"), Node: names.Draw(r, "node"), Set: names.Draw(r, "set"),
			Text: roles.Draw(r, "text"), Durable: rapid.Bool().Draw(r, "durable")})
	}
	for range rapid.IntRange(0, 20).Draw(r, "samples") {
		tr.Samples = append(tr.Samples, trace.Sample{At: times.Draw(r, "at"), Node: names.Draw(r, "node"), WireIn: rapid.Int64().Draw(r, "in"), WireOut: rapid.Int64().Draw(r, "out"),
			Sets: []trace.SetState{{Set: names.Draw(r, "set"), Role: roles.Draw(r, "role"), Part: rapid.Float64().Draw(r, "part")}}})
	}
	for range rapid.IntRange(0, 10).Draw(r, "transfers") {
		tr.Transfers = append(tr.Transfers, trace.Transfer{Node: names.Draw(r, "node"), Set: names.Draw(r, "set"), Revision: rapid.Uint64().Draw(r, "revision"),
			Began: times.Draw(r, "began"), Ended: times.Draw(r, "ended"), Total: rapid.Int64().Draw(r, "total"), Reused: rapid.Int64().Draw(r, "reused"), WireIn: rapid.Int64().Draw(r, "wire")})
	}
	return tr
}

// TestAnyTrace holds what a page relies on against traces of all kinds.
func TestAnyTrace(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		tr := wild(r)
		tidy := Tidy(tr)
		if again := Tidy(tidy); !reflect.DeepEqual(tidy, again) {
			r.Fatalf("tidy twice is something else:\n%s", cmp.Diff(tidy, again))
		}
		end := End(tidy)
		for _, set := range append(tidy.Sets, trace.Set{}) {
			for _, l := range Lanes(tidy, set.Name) {
				last := time.Duration(0)
				for _, g := range l.Segments {
					if g.From < last || g.To <= g.From || g.To > end {
						r.Fatalf("lane %q of %q: %+v ends at %v", l.Node, set.Name, l.Segments, end)
					}
					last = g.To
				}
			}
			for _, c := range Curves(tidy, set.Name) {
				for i, p := range c.Points {
					if p.Part < 0 || p.Part > 1 || i > 0 && p.At < c.Points[i-1].At {
						r.Fatalf("curve %+v", c)
					}
				}
			}
		}
		gaps := Gaps(tidy)
		for i, g := range gaps {
			if g.To < g.From || g.To > end || i > 0 && g.From < gaps[i-1].From {
				r.Fatalf("gap %+v of %v", g, end)
			}
		}
		if line := Headline(tidy); !reflect.DeepEqual(gaps, Gaps(tidy)) || line != Headline(tidy) {
			r.Fatal("asked twice, answered differently")
		}
		for _, x := range Revisions(tidy) {
			if x.Total < 0 || x.WireIn < 0 || x.NotSent() < 0 || x.NotSent() > 1 {
				r.Fatalf("revision %+v", x)
			}
		}
	})
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{"edge-1": "edge-1", "a\u202Eb": "a�b", "\x00\x1b[31m": "��[31m", "\xff": "�", "a\nb\tc": "a b c", "日本": "日本",
		"zero\u200Bwidth": "zero�width", strings.Repeat("x", 301): strings.Repeat("x", 299) + "…"} {
		if got := Clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
