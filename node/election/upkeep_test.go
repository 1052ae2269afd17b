package election

import (
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/protocols/record"
)

func TestHandover(t *testing.T) {
	for _, mode := range []Mode{AP, Strict} {
		r := start(t, "A", mode, "ABC")
		r.lead("BC")
		made, _ := r.publish(1)
		e := r.m.disk.Epoch
		acts := r.step(ms, HandoverRequested{To: "C"})
		if len(sent[Handover](acts, "C")) != 0 {
			t.Error("handed over to one who lacks a head")
		}
		if acts := r.step(ms, Proposed{ID: 2}); len(pick[Refused](acts)) != 1 || pick[Refused](acts)[0].Primary != "C" {
			t.Error("orders while it hands over")
		}
		acts = r.beacon("C", State{Epoch: e, Have: frontier(made)})
		if done := pick[HandedOver](acts); len(sent[Handover](acts, "C")) != 1 || len(done) != 1 || !done[0].OK {
			t.Errorf("%v", acts)
		}
		r.want(Follower)

		c := start(t, "C", mode, "ABC")
		c.beacon("A", State{Epoch: e, Role: Primary})
		acts = c.hear("A", Handover{Epoch: e})
		if mode == AP {
			c.want(Primary)
		} else if q := sent[VoteReq](acts, "B"); len(q) != 1 || !q[0].Handed {
			t.Error("no vote asked for")
		}
		c = start(t, "C", mode, "ABC")
		c.beacon("A", State{Epoch: epoch(1, e.N+1, "A"), Role: Primary})
		c.hear("A", Handover{Epoch: e})
		c.want(Follower) // of an older reign
	}
	r := start(t, "A", AP, "ABC")
	r.lead("BC")
	r.publish(1)
	r.step(ms, HandoverRequested{})
	if done := pick[HandedOver](r.run(9 * h)); len(done) != 1 || done[0].OK {
		t.Error("a target that does not catch up is waited for for ever")
	}
	r.want(Primary)
	r = start(t, "B", AP, "ABC")
	r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary})
	if acts := r.step(ms, PromoteRequested{}); len(sent[HandoverReq](acts, "A")) != 1 {
		t.Error("a live primary is not asked")
	}
	r = start(t, "A", AP, "ABC")
	r.lead("BC")
	if acts := r.hear("B", HandoverReq{}); len(sent[Handover](acts, "B")) != 0 {
		t.Error("a young reign is given away")
	}
	for range 5 {
		r.run(h)
		r.beacon("B", State{Epoch: r.m.disk.Epoch})
	}
	if acts := r.hear("B", HandoverReq{}); len(sent[Handover](acts, "B")) != 1 {
		t.Error("not handed over")
	}
}

func TestOneIdentityTwice(t *testing.T) {
	// Another store speaks for A long after B has begun to hear the first.
	r := start(t, "B", AP, "AB")
	say := func(instance string, no uint64) []Action {
		b := &Beacon{Stamp: Stamp{1, no}, Interval: h, State: &State{ConfigVersion: 1, ConfigHash: "1"}}
		return r.step(h/2, Received{From: "A", Instance: instance, Message: b})
	}
	say("old", 1)
	var acts []Action
	for no := range uint64(100) {
		acts = append(acts, say("new", no+1)...)
		if no < 10 && len(pick[Alarm](acts)) > 0 {
			t.Fatal("late beacons of a wiped store are no clone")
		}
		acts = append(acts, say("old", no+2)...)
	}
	if !hasAlarm(acts, ClonedPeer) || len(sent[Seen](acts, "A")) < 2 {
		t.Error("no alarm at the peer")
	}
	a := start(t, "A", AP, "AB")
	a.lead("B")
	if acts := a.hear("B", Seen{Instance: key("A"), Stamp: Stamp{1, 1}}); hasAlarm(acts, Cloned) {
		t.Error("what we said is no clone")
	}
	if acts := a.hear("B", Seen{Instance: key("A"), Stamp: Stamp{9, 1}}); !hasAlarm(acts, Cloned) {
		t.Error("somebody is ahead of us")
	}
	third := start(t, "A", AP, "AB")
	if acts := third.hear("B", Seen{Instance: key("C"), Other: true}); hasAlarm(acts, Cloned) {
		t.Error("two other stores are no business of this one")
	}
	if acts := third.hear("B", Seen{Instance: key("A"), Other: true}); !hasAlarm(acts, Cloned) {
		t.Error("another store speaks for us")
	}
	a.want(Follower)
	if a.run(40 * h); a.m.Role() != Follower || !a.m.Halted() {
		t.Error("a clone leads")
	}
}

func TestFailedWriteSilences(t *testing.T) {
	r := start(t, "A", AP, "ABC")
	r.lead("BC")
	if acts := r.step(ms, PersistFailed{}); !hasAlarm(acts, DiskFailed) || len(acts) != 1 {
		t.Errorf("%v", acts)
	}
	if acts := r.run(20 * h); len(acts) != 0 || r.m.Role() == Primary {
		t.Errorf("%v", acts)
	}
}

func TestIntervals(t *testing.T) {
	for rtt, want := range map[time.Duration]time.Duration{
		0: 250 * ms, 50 * ms: 250 * ms, 60 * ms: 250 * ms, 100 * ms: 400 * ms, time.Second: 2 * time.Second,
	} {
		if got := IntervalFor(rtt); got != want {
			t.Errorf("round trip %v: interval %v, want %v", rtt, got, want)
		}
	}
	// TFail is four of the intervals the other announces, not of one's own.
	r := start(t, "B", AP, "AB")
	r.hear("A", &Beacon{Stamp: Stamp{1, 1}, Interval: time.Second, State: &State{
		ConfigVersion: 1, ConfigHash: "1", Epoch: epoch(1, 1, "A"), Role: Primary, Backup: "B",
	}})
	if at := r.m.suspectAt() - r.now; at != 4*time.Second {
		t.Errorf("suspected after %v", at)
	}
}

// A store whose heads are known elsewhere and not here was put back from a copy: it follows, and no more.
func TestHomePutBack(t *testing.T) {
	mine := head(epoch(1, 1, "A"), 5)
	r := start(t, "A", AP, "AB")
	if acts := r.beacon("B", State{Known: frontier(head(epoch(1, 2, "B"), 1, mine))}); !hasAlarm(acts, Cloned) {
		t.Error("a head of this store that it does not know raises no alarm")
	}
	disk := r.m.Persistent()
	if r = startFrom(t, "A", config(1, AP, "AB"), disk); !r.m.Halted() {
		t.Error("a restart forgets it")
	}
	again := disk.Renewed([]byte("renewed!"), []*Head{mine})
	if r = startFrom(t, "A", config(1, AP, "AB"), again); r.m.Halted() {
		t.Error("a new store is halted")
	}
	if p := r.m.Persistent(); !p.Have.Holds(mine) || p.Seq != 0 || !p.Fresh || p.Granted.N != 0 {
		t.Errorf("renewed to %+v", p)
	}
}

// What lies below a refused head comes to light again.
func TestSpare(t *testing.T) {
	low := head(epoch(1, 1, "A"), 1)
	high := NewHead(head(epoch(1, 1, "A"), 2, low).ID, epoch(1, 1, "A"), record.Vector{key("A"): 2}, []Write{{"w", 2}})
	c := config(2, AP, "AB")
	c.Cuts = Cuts{"w": 1}
	known, have := c.Spare(frontier(high), frontier(high), []*Head{low, high})
	if !known.Equal(frontier(low)) || !have.Equal(frontier(low)) {
		t.Errorf("known %v, have %v", known, have)
	}
	if known, _ = c.Spare(frontier(high), nil, nil); len(known) != 0 {
		t.Errorf("known %v, and nothing is below", known)
	}
}
