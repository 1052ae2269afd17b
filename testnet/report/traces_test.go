package report_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/testnet/trace"
)

// flow is bytes that travel from one node to another at an even rate.
type flow struct {
	from, to   string
	begin, end time.Duration
	bytes      int64
}

// made is a trace that is being made: what happens is told in any order, and samples follow from it.
type made struct {
	trace.Trace
	flows  []flow
	rand   *rand.Rand
	author string // has all from the beginning
}

func newTrace(name string, seed uint64, length time.Duration, nodes ...string) *made {
	m := &made{rand: rand.New(rand.NewPCG(seed, 5))}
	m.Trace = trace.Trace{Scenario: name, Seed: seed, Seconds: length.Seconds(), Version: "0.5.0-test",
		Started: time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)}
	for i, n := range nodes {
		m.Nodes = append(m.Nodes, trace.Node{Name: n, PeerID: fmt.Sprintf("12D3KooWtest%d", i)})
		m.event(m.about(200*time.Millisecond+time.Duration(i/4)*300*time.Millisecond), trace.Up, n, "")
	}
	return m
}

// about is a moment near d.
func (m *made) about(d time.Duration) time.Duration {
	return d + time.Duration(m.rand.Int64N(int64(120*time.Millisecond)))
}

func (m *made) event(at time.Duration, kind, node, text string) *trace.Event {
	m.Events = append(m.Events, trace.Event{At: at, Kind: kind, Node: node, Text: text})
	return &m.Events[len(m.Events)-1]
}

func (m *made) role(at time.Duration, node, set, role string) {
	m.event(at, trace.Role, node, role).Set = set
}

func (m *made) publish(at time.Duration, node, set string, revision uint64, durable bool) {
	e := m.event(at, trace.Published, node, "")
	e.Set, e.Revision, e.Durable = set, revision, durable
}

// transfer lets a node fetch a revision: reused and patched parts need no or few bytes, the rest comes from the sources.
func (m *made) transfer(node, set string, revision uint64, begin, end time.Duration, total int64, reused, patched float64, from ...string) {
	x := trace.Transfer{Node: node, Set: set, Revision: revision, Began: begin, Ended: end, Total: total, Sources: len(from)}
	x.Reused, x.Patched = int64(float64(total)*reused), int64(float64(total)*patched)
	x.Fetched = total - x.Reused - x.Patched
	x.WireIn = x.Fetched + x.Patched/12 + 20_000
	x.WireOut = 30_000
	m.Transfers = append(m.Transfers, x)
	for _, s := range from {
		m.flows = append(m.flows, flow{s, node, begin, end, x.WireIn / int64(len(from))})
	}
	e := m.event(end, trace.Complete, node, "")
	e.Set, e.Revision = set, revision
}

func (m *made) check(ok bool, name, detail string, line int, at time.Duration) {
	m.Checks = append(m.Checks, trace.Check{Name: name, OK: ok, Detail: detail, Line: line, At: at, Seconds: at.Seconds() / 40})
}

// done sorts what was told, and samples it every 250 ms.
func (m *made) done() trace.Trace {
	byTime := func(a, b trace.Event) int { return cmp.Compare(a.At, b.At) }
	slices.SortStableFunc(m.Events, byTime)
	slices.SortStableFunc(m.Transfers, func(a, b trace.Transfer) int { return cmp.Compare(a.Ended, b.Ended) })
	for at := 250 * time.Millisecond; at.Seconds() <= m.Seconds; at += 250 * time.Millisecond {
		for _, n := range m.Nodes {
			if s, ok := m.sample(n.Name, at); ok {
				m.Samples = append(m.Samples, s)
			}
		}
	}
	return m.Trace
}

func (m *made) sample(node string, at time.Duration) (trace.Sample, bool) {
	var up time.Duration
	alive := false
	roles := map[string]string{}
	for _, e := range m.Events {
		if e.At > at || e.Node != node {
			continue
		}
		switch e.Kind {
		case trace.Up:
			up, alive = e.At, true
			clear(roles)
		case trace.Resumed:
			alive = true
		case trace.Killed, trace.Stopped, trace.Crashed, trace.Paused:
			alive = false
		case trace.Role:
			roles[e.Set] = e.Text
		}
	}
	s := trace.Sample{At: at, Node: node, Peers: len(m.Nodes) - 1, Memory: 40_000_000 + m.rand.Int64N(8_000_000)}
	for _, f := range m.flows {
		begin, end := max(f.begin, up), min(f.end, at)
		if end <= begin {
			continue
		}
		n := int64(float64(f.bytes) * float64(end-begin) / float64(f.end-f.begin))
		if f.to == node {
			s.WireIn += n
		}
		if f.from == node {
			s.WireOut += n
		}
	}
	for _, set := range m.Sets {
		s.Sets = append(s.Sets, m.state(node, set.Name, roles[set.Name], at))
	}
	return s, alive
}

func (m *made) state(node, set, role string, at time.Duration) trace.SetState {
	s := trace.SetState{Set: set, Role: role, Root: "bafyroot", Part: 1}
	fetches := false
	for _, x := range m.Transfers {
		if x.Node != node || x.Set != set {
			continue
		}
		if !fetches && at < x.Began && node != m.author {
			s.Part = 0
		}
		fetches = true
		if at >= x.Began && at < x.Ended {
			done := float64(at-x.Began) / float64(x.Ended-x.Began)
			had := float64(x.Reused) / float64(max(x.Total, 1))
			s.Part = had + (1-had)*done*done*(3-2*done)
		}
		if at >= x.Ended {
			s.Part, s.Revision = 1, x.Revision
		}
	}
	return s
}

const (
	ms = time.Millisecond
	s  = time.Second
)

// killed is five nodes: the primary is killed while others fetch, another takes over, an update is nearly free.
func killed(seed uint64) trace.Trace {
	m := newTrace("kill-the-primary", seed, 24100*ms, "origin", "backup-1", "backup-2", "edge-1", "edge-2")
	m.About = "A set stays writable when the node that orders its revisions dies, and nobody who reads it notices."
	m.Sets = []trace.Set{{Name: "docs", ID: "bafyset", Files: 11478, Bytes: 127_000_000}}
	m.role(1000*ms, "origin", "docs", "primary")
	m.role(2600*ms, "backup-1", "docs", "backup")
	m.role(2900*ms, "backup-2", "docs", "replica")
	m.role(3100*ms, "edge-1", "docs", "reader")
	m.role(3200*ms, "edge-2", "docs", "reader")
	m.publish(1100*ms, "origin", "docs", 1, false)
	m.transfer("backup-1", "docs", 1, 1300*ms, 4200*ms, 127_000_000, 0, 0, "origin")
	m.transfer("backup-2", "docs", 1, 1400*ms, 5100*ms, 127_000_000, 0, 0, "origin", "backup-1")
	m.transfer("edge-1", "docs", 1, 8*s, 14500*ms, 127_000_000, 0, 0, "origin", "backup-1", "backup-2")
	m.transfer("edge-2", "docs", 1, 8200*ms, 15600*ms, 127_000_000, 0, 0, "backup-1", "backup-2", "edge-1")
	for at := 5500 * ms; at < 7500*ms; at += 500 * ms {
		m.publish(m.about(at), "origin", "docs", 1, true)
	}
	m.event(11*s, trace.Step, "", "kill primary of docs")
	m.event(12*s, trace.Killed, "origin", "")
	m.event(12150*ms, trace.Refused, "backup-2", "there is no primary").Set = "docs"
	m.role(12380*ms, "backup-1", "docs", "primary")
	m.role(12700*ms, "backup-2", "docs", "backup")
	m.publish(12520*ms, "backup-1", "docs", 2, true)
	m.author = "origin"
	for i, n := range []string{"backup-2", "edge-1", "edge-2", "origin"} {
		m.transfer(n, "docs", 2, 16*s+time.Duration(i)*700*ms, 16900*ms+time.Duration(i)*800*ms, 127_400_000, 0.985, 0.012, "backup-1")
	}
	m.event(13*s, trace.Cut, "edge-2", "from backup-2")
	m.event(14200*ms, trace.Healed, "edge-2", "")
	m.event(16800*ms, trace.Up, "origin", "")
	m.role(17600*ms, "origin", "docs", "replica")
	m.event(19500*ms, trace.Paused, "edge-1", "")
	m.event(21*s, trace.Resumed, "edge-1", "")
	m.Links = []trace.Link{{From: "origin", To: "edge-2", Latency: 20 * ms, Jitter: 5 * ms, Loss: 0.01}, {From: "edge-2", To: "origin", Latency: 20 * ms, Jitter: 5 * ms, Loss: 0.01},
		{From: "backup-2", To: "edge-2", Cut: true}, {From: "backup-1", To: "edge-1", Rate: 1_250_000}}
	for i := range 12 {
		m.check(true, fmt.Sprintf("edge-%d has docs within 30s", i%2+1), "revision 2, root bafybeiclod4f4fhbn7wtz6anbkjju5j3o2wggn4ataahv4rqjwynclqsnm", i+4, time.Duration(i+8)*s)
	}
	return m.done()
}

// crowd is a seeder and sixteen nodes that fetch at the same time and serve each other.
func crowd(seed uint64) trace.Trace {
	names := []string{"origin"}
	for i := 1; i <= 16; i++ {
		names = append(names, fmt.Sprintf("edge-%d", i))
	}
	m := newTrace("some/folder/flash-crowd.txt", seed, 30*s, names...)
	m.About = "Sixteen nodes want the same 64 MiB at once; the seeder sends little more than one copy."
	m.Sets = []trace.Set{{Name: "film", ID: "bafyfilm", Files: 8, Bytes: 67_108_864}}
	m.role(900*ms, "origin", "film", "primary")
	m.event(1500*ms, trace.Linked, "origin", "uplink 100Mbit/s")
	for i, n := range names[1:] {
		m.role(m.about(2200*ms), n, "film", "reader")
		begin := m.about(2400*ms + time.Duration(i)*20*ms)
		end := m.about(9*s + time.Duration(m.rand.IntN(1800))*ms)
		m.transfer(n, "film", 1, begin, end, 67_108_864, 0, 0, names[i], names[(i+5)%16], names[(i+9)%16])
	}
	m.event(19*s, trace.Killed, "origin", "")
	m.check(true, "get film took at most 8.1s at edge-1 to edge-16", "8.06 s at edge-7", 9, 11*s)
	m.check(false, "origin sent at most 1.3 film", "1.41 film, 94.6 MB", 10, 11*s)
	m.check(true, "files", "1,088 files of 17 nodes", 0, 30*s)
	return m.done()
}

// many is a hundred nodes and ten thousand events.
func many(seed uint64) trace.Trace {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("node-%d", i+1))
	}
	m := newTrace("delta-storm", seed, 120*s, names...)
	m.Sets = []trace.Set{{Name: "log", ID: "bafylog", Files: 900, Bytes: 9_000_000}}
	for i, n := range names {
		m.role(m.about(9*s), n, "log", []string{"primary", "backup", "replica", "replica", "reader"}[min(i, 4)])
	}
	kinds := []string{trace.Published, trace.Complete, trace.Complete, trace.Complete, trace.Refused, trace.Paused, trace.Resumed, trace.Failed, trace.Linked}
	for len(m.Events) < 10_000 {
		e := m.event(10*s+time.Duration(m.rand.Int64N(int64(108*s))), kinds[m.rand.IntN(len(kinds))], names[m.rand.IntN(100)], "")
		e.Set, e.Revision, e.Durable = "log", uint64(m.rand.IntN(200)), m.rand.IntN(2) == 0
	}
	for i := range 300 {
		begin := 10*s + time.Duration(m.rand.Int64N(int64(100*s)))
		m.Transfers = append(m.Transfers, trace.Transfer{Node: names[i%100], Set: "log", Revision: uint64(i/20 + 1), Began: begin, Ended: begin + s,
			Total: 9_000_000, Reused: 8_900_000, Patched: 90_000, Fetched: 10_000, WireIn: 22_000})
	}
	for i := range 60 {
		m.Links = append(m.Links, trace.Link{From: names[i], To: names[(i*7+13)%100], Latency: 30 * ms, Cut: i%5 == 0})
	}
	sort := m.Events
	slices.SortStableFunc(sort, func(a, b trace.Event) int { return cmp.Compare(a.At, b.At) })
	for i := range 48 {
		for j, n := range names {
			m.Samples = append(m.Samples, trace.Sample{At: time.Duration(i) * 2500 * ms, Node: n, WireIn: int64(i * (j + 1) * 3000), WireOut: int64(i * (100 - j) * 3000),
				Sets: []trace.SetState{{Set: "log", Revision: uint64(i), Part: float64((i*7+j)%12) / 11}}})
		}
	}
	m.check(true, "log agrees", "", 7, 110*s)
	return m.Trace
}

// hostile has names and texts that try to leave the place they are put in.
func hostile() trace.Trace {
	long := strings.Repeat("endless-", 60)
	names := []string{`<script>alert(1)</script>`, `" onload="alert(2)`, "a\u202Eb\u2066c\u200Ed", long, "'];alert(3)//", "\x00\xff\xfe\x1b[31m", "</title></style></svg>", "日本語のとても長いノード名です"}
	m := newTrace(`</title><script>alert(4)</script>`, 1, 10*s, names...)
	m.About = "<!-- --> ]]> &amp; \u202E"
	m.Version = `"><img src=x onerror=alert(5)>`
	m.Sets = []trace.Set{{Name: `<b>set</b>`, Bytes: 5}, {Name: `"second" ]]>`, Bytes: 7}}
	for i, n := range names {
		m.role(s, n, m.Sets[0].Name, []string{"primary", "backup", "replica", "candidate", "reader", `x" onclick="alert(6)`, "", "primary"}[i])
		m.event(2*s+time.Duration(i)*900*ms, []string{trace.Violation, trace.Killed, trace.Cut, trace.Note, trace.Refused, `kind"><script>alert(7)</script>`, trace.Crashed, trace.Paused}[i], n, names[(i+1)%len(names)])
		m.transfer(n, m.Sets[i%2].Name, 2, 3*s, 4*s, 1000, 0.5, 0.2, names[(i+1)%len(names)])
		m.check(i%3 == 0, n, names[(i+3)%len(names)], i, 5*s)
		m.Links = append(m.Links, trace.Link{From: n, To: names[(i+2)%len(names)], Cut: i%2 == 0, Rate: 1000})
	}
	return m.done()
}

func empty() trace.Trace { return trace.Trace{} }

// all are the traces that every format has to do with.
func all() map[string]trace.Trace {
	return map[string]trace.Trace{"killed": killed(1), "crowd": crowd(2), "many": many(3), "hostile": hostile(), "empty": empty()}
}
