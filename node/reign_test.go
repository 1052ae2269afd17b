package node

import (
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/council"
	"github.com/shoal-p2p/shoal/node/meter"
)

// seen is a view that shows a primary, and who of "a" and "b" is heard.
func seen(primary, live string) council.View {
	v := council.View{Primary: peer.ID(primary)}
	for _, id := range []string{"a", "b"} {
		v.Voters = append(v.Voters, council.VoterView{ID: peer.ID(id), Live: id == live || live == "both"})
	}
	return v
}

func TestReign(t *testing.T) {
	type step struct {
		view council.View
		want change
		told bool
		link string // before it: "a" the connection to a breaks, "+a" there is one again
	}
	for name, steps := range map[string][]step{
		"the first one is no failover": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("a", "both"), change{}, false, ""},
		},
		"a crash": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("", "b"), change{from: "a"}, true, ""},
			{seen("", "b"), change{}, false, ""},
			{seen("b", "b"), change{from: "a", to: "b", reason: meter.Lost, gap: 2 * time.Second}, true, ""},
		},
		"a crash of which only the end is seen": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("b", "b"), change{from: "a", to: "b", reason: meter.Lost}, true, ""},
		},
		"a hand-over": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("", "both"), change{from: "a"}, true, ""},
			{seen("b", "both"), change{from: "a", to: "b", reason: meter.Handover, gap: time.Second}, true, ""},
			{seen("a", "both"), change{from: "b", to: "a", reason: meter.Handover}, true, ""},
		},
		"a crash that is answered sooner than it is heard": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("a", "both"), change{}, false, "a"},
			{seen("b", "both"), change{from: "a", to: "b", reason: meter.Lost, gap: time.Second}, true, ""},
		},
		"a crash, and the primary is dropped before the next one is known": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("a", "both"), change{}, false, "a"},
			{seen("", "both"), change{from: "a"}, true, ""},
			{seen("b", "b"), change{from: "a", to: "b", reason: meter.Lost, gap: 2 * time.Second}, true, ""},
		},
		"a connection that came back": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("a", "both"), change{}, false, "a"},
			{seen("a", "both"), change{}, false, "+a"},
			{seen("b", "both"), change{from: "a", to: "b", reason: meter.Handover}, true, ""},
		},
		"a hand-over to end": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("", "both"), change{from: "a"}, true, ""},
			{seen("b", "b"), change{from: "a", to: "b", reason: meter.Handover, gap: time.Second}, true, "a"},
		},
		"another's connection": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("b", "both"), change{from: "a", to: "b", reason: meter.Handover}, true, "b"},
		},
		"back after a silence, and another is primary": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("", "b"), change{from: "a"}, true, ""},
			{seen("b", "both"), change{from: "a", to: "b", reason: meter.Lost, gap: time.Second}, true, ""},
		},
		"one that comes back is no other one": {
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("", "b"), change{from: "a"}, true, ""},
			{seen("a", "both"), change{to: "a"}, true, ""},
			{seen("b", "both"), change{from: "a", to: "b", reason: meter.Handover}, true, ""},
		},
		"nobody": {{seen("", "b"), change{}, false, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			var r reign
			now := time.Unix(1000, 0)
			for i, s := range steps {
				var got change
				var told bool
				if back, ok := strings.CutPrefix(s.link, "+"); ok {
					r = r.met(peer.ID(back))
				} else if s.link != "" {
					r = r.parted(peer.ID(s.link), now)
				}
				r, got, told = r.after(s.view, now)
				if got != s.want || told != s.told {
					t.Fatalf("step %d: %+v %v, want %+v %v", i, got, told, s.want, s.told)
				}
				if told && s.want.to != "" && !r.since.Equal(now) || !told && r.since.Equal(now) {
					t.Fatalf("step %d: primary since %v, and it is %v", i, r.since, now)
				}
				now = now.Add(time.Second)
			}
		})
	}
}

// TestReignAddsUp: what is told, one after the other, is what was seen, and gaps are never longer than the time.
func TestReignAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r reign
		var shown, last peer.ID
		begin := time.Unix(1000, 0)
		now := begin
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			v := seen(rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "primary"), rapid.SampledFrom([]string{"", "a", "b", "both"}).Draw(t, "live"))
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			next, c, told := r.after(v, now)
			r = next
			if told != (v.Primary != shown) {
				t.Fatalf("told %v of %q after %q", told, v.Primary, shown)
			}
			if told && (c.to != v.Primary || c.gap < 0 || c.gap > now.Sub(begin)) {
				t.Fatalf("%+v, seen %q", c, v.Primary)
			}
			if failover := c.reason != ""; failover != (told && last != "" && v.Primary != "" && v.Primary != last) {
				t.Fatalf("%+v after %q", c, last)
			}
			if shown = v.Primary; shown != "" {
				last = shown
			}
		}
	})
}
