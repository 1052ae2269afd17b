package election

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// resting is a member at rest in a set of three voters that all have the same head, and the two others' beacons,
// whose states do not change. They are decoded: nothing in them is shared with the member but what they say.
type resting struct {
	m     *Member
	now   time.Duration
	says  []*Beacon
	hears []Event
}

func rest(tb testing.TB, role Role, mode Mode) *resting {
	tb.Helper()
	lead := map[Role]string{Primary: "a", Follower: "b"}[role]
	e := epoch(1, 1, lead)
	copied := func() Frontier { return Frontier{NewHead(head(e, 1).ID, e, record.Vector{key(lead): 1}, nil)} }
	m := New(0, "a", config(1, mode, "abc"), Persistent{
		Instance: storeOf("a"), Epoch: e, Known: copied(), Have: copied(), Durable: copied(), Seq: 1,
	}, Options{Seed: 1})
	x := &resting{m: m}
	m.Step(0, Tick{})
	if role == Primary {
		m.promote(e, copied())
	}
	for _, v := range []string{"b", "c"} {
		s := &State{ConfigVersion: 1, ConfigHash: "1", Epoch: epoch(1, 1, lead), Known: copied(), Have: copied(), Durable: copied()}
		if v == lead {
			s.Role, s.Backup = Primary, "a"
		}
		b := &Beacon{Stamp: Stamp{Boot: 1}, Interval: h, State: s}
		x.says = append(x.says, b)
		x.hears = append(x.hears, Received{From: peer.ID(v), Instance: key(v), Message: b})
	}
	for range 8 * 4 { // until nothing changes any more
		x.interval(tb, nil)
	}
	if m.Role() != role {
		tb.Fatalf("%v, want %v", m.Role(), role)
	}
	return x
}

// interval lets the others speak once, and the member when it wants to. Its own actions, beyond a beacon in an
// interval, are counted in odd.
func (x *resting) interval(tb testing.TB, odd *int) {
	end := x.now + h
	for i, ev := range x.hears {
		x.now += h / 4
		x.says[i].Stamp.No++
		x.take(tb, x.m.Step(x.now, ev), odd)
	}
	for x.m.Next() <= end {
		x.now = max(x.now, x.m.Next())
		x.take(tb, x.m.Step(x.now, Tick{}), odd)
	}
	x.now = end
}

func (x *resting) take(tb testing.TB, acts []Action, odd *int) {
	for _, a := range acts {
		if b, ok := a.(Broadcast); ok {
			if _, ok := b.Message.(*Beacon); ok {
				continue
			}
		}
		if odd == nil {
			continue
		}
		*odd++
		tb.Errorf("at rest: %T", a)
	}
}

// A member at rest says nothing but its beacon, writes nothing, and its state is the same one each time: a shell
// with a thousand sets sends and stores what has changed.
func TestRestIsQuiet(t *testing.T) {
	for _, role := range []Role{Follower, Primary} {
		for _, mode := range []Mode{AP, Strict} {
			x := rest(t, role, mode)
			odd, before := 0, x.m.state()
			for range 100 {
				x.interval(t, &odd)
			}
			if x.m.state() != before {
				t.Errorf("%v: the state was made again", role)
			}
			ev := x.hears[0]
			heard := testing.AllocsPerRun(100, func() {
				x.now++
				x.says[0].Stamp.No++
				x.m.time.beacon, x.m.time.care = never, never
				x.m.Step(x.now, ev)
			})
			if heard > 0 {
				t.Errorf("%v: a beacon heard costs %v allocations", role, heard)
			}
		}
	}
}

// BenchmarkIdleStep is what a member at rest costs for each beacon of another voter, its own beacons and checks
// included. A step that has nothing to say must not allocate.
func BenchmarkIdleStep(b *testing.B) {
	for _, role := range []Role{Follower, Primary} {
		for _, mode := range []Mode{AP, Strict} {
			b.Run(fmt.Sprintf("%v/%s", role, [...]string{"ap", "strict"}[mode]), func(b *testing.B) {
				x := rest(b, role, mode)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += len(x.hears) {
					x.interval(b, nil)
				}
				if !slices.ContainsFunc(x.says, func(s *Beacon) bool { return s.Stamp == x.m.peers[0].now.stamp }) {
					b.Fatal("not heard")
				}
			})
		}
	}
}
