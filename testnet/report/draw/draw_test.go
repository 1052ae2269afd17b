package draw

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/testnet/report/figures"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

func TestMoments(t *testing.T) {
	for _, c := range []struct {
		end   time.Duration
		count int
		want  []string
	}{
		{0, 10, []string{"0 s"}},
		{400 * time.Millisecond, 5, []string{"0 s", "0.1 s", "0.2 s", "0.3 s", "0.4 s"}},
		{24100 * time.Millisecond, 6, []string{"0 s", "5 s", "10 s", "15 s", "20 s"}},
		{2 * time.Minute, 5, []string{"0 s", "30 s", "1:00", "1:30", "2:00"}},
		{3 * time.Hour, 3, []string{"0 s", "1:00:00", "2:00:00", "3:00:00"}},
	} {
		var got []string
		for _, at := range Moments(c.end, c.count) {
			got = append(got, Clock(at))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v in %d: %v, want %v", c.end, c.count, got, c.want)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		end := time.Duration(rapid.Int64Range(0, int64(365*24*time.Hour)).Draw(r, "end"))
		count := rapid.IntRange(0, 40).Draw(r, "count")
		all := Moments(end, count)
		if len(all) == 0 || len(all) > max(count, 1)+1 || all[0] != 0 || all[len(all)-1] > end {
			r.Fatalf("%v in %d: %v", end, count, all)
		}
	})
}

func TestRound(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		v := rapid.Float64Range(1e-6, 1e18).Draw(r, "v")
		top, step := Round(v)
		if top < v*(1-1e-9) || top > 2*v+1e-9 || step <= 0 || math.Abs(top/step-math.Round(top/step)) > 1e-9 {
			r.Fatalf("%v: %v by %v", v, top, step)
		}
	})
	for _, v := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if top, step := Round(v); top != 1 || step != 1 {
			t.Errorf("%v: %v by %v", v, top, step)
		}
	}
}

func TestClip(t *testing.T) {
	if got := Clip("a-node-with-a-long-name-17", 100); !strings.HasPrefix(got, "a-node") || !strings.HasSuffix(got, "-17") || !strings.Contains(got, "…") {
		t.Errorf("got %q", got)
	}
	rapid.Check(t, func(r *rapid.T) {
		in, width := rapid.String().Draw(r, "s"), rapid.Float64Range(20, 400).Draw(r, "width")
		got := Clip(in, width)
		if !utf8.ValidString(got) || measure(got) > width || measure(figures.Clean(in)) <= width && got != figures.Clean(in) {
			r.Fatalf("%q in %v: %q, %v wide", in, width, got, measure(got))
		}
	})
}

// TestThin keeps the ends, the peaks and no more than four points for each pixel.
func TestThin(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 1500).Draw(r, "n")
		seed := rapid.Uint64().Draw(r, "seed")
		points := make([]point, n)
		for i := range points {
			seed = seed*6364136223846793005 + 1442695040888963407 // Knuth, MMIX
			points[i] = point{float64(i) / float64(n) * 300, float64(seed >> 40 % 100)}
		}
		got := thin(points)
		if got[0] != points[0] || got[len(got)-1] != points[n-1] || len(got) > 4*300+4 || !slices.Equal(got, thin(points)) {
			r.Fatalf("%d of %d points remain", len(got), n)
		}
		for _, p := range points {
			high, low := math.Inf(-1), math.Inf(1) // of what remains around it
			for _, k := range got {
				if math.Abs(math.Floor(k.x)-math.Floor(p.x)) <= 1 {
					high, low = max(high, k.y), min(low, k.y)
				}
			}
			if n >= 300 && (p.y > high+0.5 || p.y < low-0.5) {
				r.Fatalf("%v is a peak that is gone", p)
			}
		}
	})
	var ramp []point
	for i := range 100 {
		ramp = append(ramp, point{float64(i), 0})
	}
	if got := thin(ramp); len(got) != 2 {
		t.Errorf("a line has %d points", len(got))
	}
}

// TestRoom gives labels places that never overlap in a row.
func TestRoom(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		place := room{taken: make([][][2]float64, 3)}
		for range rapid.IntRange(0, 50).Draw(r, "labels") {
			x := rapid.Float64Range(0, 500).Draw(r, "x")
			place.place(x, x+rapid.Float64Range(1, 200).Draw(r, "w"))
		}
		for _, row := range place.taken {
			for i, a := range row {
				for _, b := range row[i+1:] {
					if a[0] < b[1] && b[0] < a[1] {
						r.Fatalf("%v and %v touch", a, b)
					}
				}
			}
		}
	})
}

// TestSpots puts marks no closer than they are wide, and keeps the grave ones.
func TestSpots(t *testing.T) {
	kinds := []string{trace.Published, trace.Complete, trace.Killed, trace.Violation, trace.Paused, trace.Refused}
	rapid.Check(t, func(r *rapid.T) {
		var events []trace.Event
		kills := 0
		for range rapid.IntRange(0, 60).Draw(r, "events") {
			e := trace.Event{At: time.Duration(rapid.IntRange(0, 1000).Draw(r, "at")), Kind: rapid.SampledFrom(kinds).Draw(r, "kind"), Node: "a"}
			if e.Kind == trace.Violation {
				kills++
			}
			events = append(events, e)
		}
		all := spots(events, span{0, 1000, 1000}, 10, 1)
		seen := 0
		for i, a := range all {
			if a.mark.Glyph == "violation" {
				seen += a.count
			}
			for _, b := range all[i+1:] {
				if math.Abs(a.x-b.x) < 10 {
					r.Fatalf("marks at %v and %v", a.x, b.x)
				}
			}
		}
		if seen != kills {
			r.Fatalf("%d violations, %d in marks", kills, seen)
		}
	})
}

func TestRuleSays(t *testing.T) {
	for want, l := range map[string]trace.Link{
		"cut":                              {Cut: true, Rate: 5},
		"plain":                            {},
		"20 ms ± 5 ms, 1 % lost, 1.2 MB/s": {Latency: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.01, Rate: 1_200_000},
		"0.5 ms":                           {Latency: 500 * time.Microsecond},
		"0 ms ± 1.5 s":                     {Jitter: 1500 * time.Millisecond},
	} {
		if got := RuleSays(l); got != want {
			t.Errorf("%+v: %q, want %q", l, got, want)
		}
	}
}

func TestEdges(t *testing.T) {
	ms := time.Millisecond
	got := edges([]trace.Link{{From: "a", To: "b", Latency: ms}, {From: "b", To: "a", Latency: ms}, {From: "a", To: "c", Cut: true}, {From: "c", To: "a", Latency: ms}, {From: "d", To: "d"}})
	var said []string
	for _, e := range got {
		said = append(said, fmt.Sprintf("%s %s %v %s", e.from, e.to, e.both, e.text))
	}
	if want := []string{"a b true 1 ms", "a c false cut", "c a false 1 ms"}; !slices.Equal(said, want) {
		t.Errorf("got %q", said)
	}
}

func TestGapSays(t *testing.T) {
	g := figures.Gap{Was: "origin", Now: "b", Cause: trace.Killed, From: 10, Primary: 10 + 400*time.Millisecond, Accepted: figures.Never, To: 10 + 400*time.Millisecond}
	if got := GapSays(g); got != "origin killed, b primary after 0.40 s" {
		t.Errorf("got %q", got)
	}
	g.Primary, g.Accepted = figures.Never, g.To
	if got := GapSays(g); got != "origin killed, publish accepted after 0.40 s" {
		t.Errorf("got %q", got)
	}
	if got := GapSays(figures.Gap{Was: "a", Cause: trace.Cut, Open: true, Others: 1}); got != "a cut off, no primary since" {
		t.Errorf("got %q", got)
	}
}

// TestEscape draws names that would be markup, in every picture, and reads the result as XML.
func TestEscape(t *testing.T) {
	bad := `<script x="'&` + "\x00\u202E"
	e := trace.Event{At: 5, Kind: trace.Killed, Node: bad, Text: bad, Set: bad}
	segment := figures.Segment{From: 1, To: 9, Life: figures.Running, Role: bad}
	gap := figures.Gap{Set: bad, Was: bad, Now: bad, Cause: bad, From: 2, To: 4, Primary: 4, Accepted: 7}
	rates := figures.Throughput{Bin: 1, Nodes: []figures.Traffic{{Node: bad, Sent: []float64{1e6, 1e6, 1e6}, Received: []float64{0, 0, 1}, BytesSent: 5}}}
	curve := figures.Curve{Node: bad, Points: []figures.Point{{At: 1, Part: 0.5}, {At: 5, Part: math.NaN()}}, Whole: []time.Duration{3}}
	for _, width := range []float64{344, 664, 1206} {
		gaps, _ := Gaps([]figures.Gap{gap}, width)
		for name, pic := range map[string]SVG{
			"lanes":  Lanes([]figures.Lane{{Node: bad, Segments: []figures.Segment{segment}, Marks: []trace.Event{e}}}, []figures.Gap{gap}, []trace.Event{e}, 10, width),
			"rates":  Rates(rates, []figures.Gap{gap}, 10, width),
			"curves": Curves([]figures.Curve{curve}, []figures.Gap{gap}, 10, width),
			"bytes":  Bytes([]Bar{{bad, trace.Transfer{Total: 5, Reused: 3, WireIn: 9}}}, width),
			"gaps":   gaps,
			"ring": Ring([]trace.Node{{Name: bad}, {Name: "b"}}, map[string]figures.Segment{bad: segment},
				[]trace.Link{{From: bad, To: "b", Loss: 0.5}, {From: bad, To: "nobody"}}, width),
		} {
			if texts, err := parsed(string(pic)); err != nil || strings.Contains(string(pic), "NaN") {
				t.Errorf("%s of %v: %v", name, width, err)
			} else if !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, "<") }) {
				t.Errorf("%s of %v says the name nowhere: %q", name, width, texts)
			}
		}
	}
}

// parsed are the texts of a picture, which has to be XML without elements that run or load anything.
func parsed(pic string) (texts []string, err error) {
	for d := xml.NewDecoder(strings.NewReader(pic)); ; {
		token, err := d.Token()
		switch token := token.(type) {
		case xml.StartElement:
			if !slices.Contains([]string{"svg", "g", "path", "rect", "ellipse", "use", "text", "title"}, token.Name.Local) {
				return texts, fmt.Errorf("element %s", token.Name.Local)
			}
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" && !strings.HasPrefix(a.Value, "#g-") {
					return texts, fmt.Errorf("attribute %s=%q", a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			texts = append(texts, string(token))
		}
		if errors.Is(err, io.EOF) {
			return texts, nil
		} else if err != nil {
			return texts, err
		}
	}
}
