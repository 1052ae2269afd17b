package election

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/protocols/record"
)

func TestRule8PublishAndDurable(t *testing.T) {
	r := start(t, "A", AP, "ABC")
	if acts := r.step(ms, Proposed{ID: 1}); len(pick[Refused](acts)) != 1 {
		t.Error("a follower orders")
	}
	r.lead("BC")
	first, acts := r.publish(1)
	if a := pick[Accepted](acts); len(a) != 1 || a[0].Plan.Proposal != 1 || len(pick[Durable](acts)) != 0 {
		t.Fatalf("%v", acts)
	}
	second, _ := r.publish(2)
	if !second.Covers(first) || second.Seq() != first.Seq()+1 {
		t.Errorf("%v after %v", second.Vector, first.Vector)
	}
	ack := Ack{Epoch: r.m.disk.Epoch, Seq: second.Seq()}
	if acts := r.hear("C", ack); len(pick[Durable](acts)) != 0 {
		t.Error("durable without the backup")
	}
	old := ack
	old.Epoch.N--
	if acts := r.hear("B", old); len(pick[Durable](acts)) != 0 {
		t.Error("an acknowledgement of another epoch counts")
	}
	if d := pick[Durable](r.hear("B", ack)); len(d) != 2 || d[0].Head != first || d[1].Head != second {
		t.Errorf("%v", d)
	}
	if acts := r.hear("B", ack); len(pick[Durable](acts)) != 0 {
		t.Error("durable twice")
	}
	third, _ := r.publish(3)
	if d := pick[Durable](r.beacon("B", State{Epoch: r.m.disk.Epoch, Have: frontier(third)})); len(d) != 1 {
		t.Error("a beacon acknowledges too")
	}
}

func TestRule8AWipedStoreHasAcknowledgedNothing(t *testing.T) {
	r := start(t, "A", AP, "ABC")
	r.lead("BC")
	made, _ := r.publish(1)
	r.hear("C", Ack{Epoch: r.m.disk.Epoch, Seq: made.Seq()}) // B is the backup
	var acts []Action
	for no := range uint64(8) { // C comes with another store, B is gone
		acts = append(acts, r.run(h)...)
		b := &Beacon{Stamp: Stamp{1, no + 1}, Interval: h, State: &State{ConfigVersion: 1, ConfigHash: "1", Epoch: r.m.disk.Epoch}}
		acts = append(acts, r.step(ms, Received{From: "C", Instance: "new", Message: b})...)
	}
	if r.m.Backup() != "C" || len(pick[Durable](acts)) != 0 {
		t.Errorf("backup %q: %v", string(r.m.Backup()), pick[Durable](acts))
	}
}

func TestRule8StrictMajority(t *testing.T) {
	r := start(t, "A", Strict, "ABCDE")
	r.lead("BCDE")
	first, _ := r.publish(1)
	ack := Ack{Epoch: r.m.disk.Epoch, Seq: first.Seq()}
	if acts := r.hear("B", ack); len(pick[Durable](acts)) != 0 {
		t.Error("two of five")
	}
	if acts := r.hear("B", ack); len(pick[Durable](acts)) != 0 {
		t.Error("one voter twice")
	}
	if acts := r.hear("C", ack); len(pick[Durable](acts)) != 1 {
		t.Error("three of five")
	}
}

func TestRule8AMakeOfAnEndedReignIsDropped(t *testing.T) {
	r := start(t, "A", AP, "ABC")
	r.lead("BC")
	p := pick[Make](r.step(ms, Proposed{ID: 1}))[0].Plan
	r.step(ms, Proposed{ID: 2})
	acts := r.beacon("B", State{Epoch: epoch(1, 99, "B"), Role: Primary})
	if ids := pick[Refused](acts); len(ids) != 2 || ids[0].Proposal != 1 || ids[1].Proposal != 2 {
		t.Errorf("%v", ids)
	}
	if _, acts := r.make(p); len(pick[Accepted](acts)) != 0 || len(r.m.disk.Known) != 0 {
		t.Error("a head of an ended reign is shown")
	}
}

func TestRule9FetchAndAcknowledge(t *testing.T) {
	e := epoch(1, 3, "A")
	x, y := head(e, 1), head(epoch(1, 2, "C"), 1)
	for _, mode := range []Mode{AP, Strict} {
		r := start(t, "B", mode, "ABC")
		acts := r.beacon("A", State{Epoch: e, Role: Primary, Known: frontier(x), Have: frontier(x)})
		if f := pick[Fetch](acts); len(f) != 1 || f[0].Head != x || len(f[0].From) != 1 {
			t.Fatalf("%v", acts)
		}
		if a := sent[Ack](r.step(ms, Fetched{Head: x}), "A"); len(a) != 1 || a[0].Epoch.Compare(e) != 0 || a[0].Seq != 1 {
			t.Errorf("%v", a)
		}
		if a := sent[Ack](r.step(ms, Fetched{Head: y}), "C"); len(a) != 0 {
			t.Error("a head of an older epoch is acknowledged")
		}
		if len(r.m.disk.Have) != 2 {
			t.Errorf("%d heads", len(r.m.disk.Have))
		}
	}
	r := start(t, "B", Strict, "ABC")
	r.beacon("A", State{Epoch: e, Role: Primary, Known: frontier(x), Have: frontier(x)})
	r.hear("C", VoteReq{Want: epoch(1, 4, "C"), Handed: true})
	if a := sent[Ack](r.step(ms, Fetched{Head: x}), "A"); len(a) != 0 {
		t.Error("acknowledges to one it has voted against")
	}
}

func TestRule9LooksElsewhereForWhatNoVoterOffers(t *testing.T) {
	r := start(t, "B", AP, "ABC")
	x := head(epoch(1, 3, "A"), 1)
	r.beacon("C", State{Epoch: x.Epoch, Known: frontier(x)})
	f := pick[Fetch](r.run(2 * h))
	if len(f) != 1 || len(f[0].From) != 0 || f[0].Head != x {
		t.Fatalf("%v", f)
	}
	if f := pick[Fetch](r.beacon("A", State{Epoch: x.Epoch, Known: frontier(x), Have: frontier(x)})); len(f) != 1 || len(f[0].From) != 1 {
		t.Errorf("%v", f)
	}
}

func TestRule9LostBytesAreNotOffered(t *testing.T) {
	r := start(t, "B", AP, "ABC")
	e := epoch(1, 3, "A")
	below, x := head(e, 1), head(e, 2)
	r.step(0, Fetched{below})
	r.step(0, Fetched{x})
	r.step(0, Lost{Head: x, Held: []*Head{below}})
	if p := r.m.Persistent(); !p.Have.Equal(frontier(below)) || !p.Known.Equal(frontier(x)) {
		t.Errorf("%+v", p)
	}
	r.step(0, Fetched{x}) // somebody had it
	r.beacon("A", State{Epoch: e, Known: frontier(x), Have: frontier(x), Durable: frontier(x)})
	r.step(0, Lost{Head: x, Held: []*Head{below}})
	if p := r.m.Persistent(); !p.Have.Equal(frontier(x)) {
		t.Errorf("durable: %+v", p)
	}
}

// A store that has nothing else keeps a head whose bytes are gone: the next one is made of it.
func TestRule9TheOnlyHeadIsKept(t *testing.T) {
	r := start(t, "A", AP, "AB")
	x := head(epoch(1, 1, "A"), 1)
	r.step(0, Fetched{x})
	r.step(0, Lost{Head: x})
	if p := r.m.Persistent(); !p.Have.Equal(frontier(x)) {
		t.Errorf("%+v", p)
	}
}

func TestRule9TwoHeadsOfOneNumber(t *testing.T) {
	e := epoch(1, 1, "A")
	a := head(e, 1)
	twin := NewHead(head(e, 9).ID, e, a.Vector, nil)
	r := start(t, "B", AP, "ABC")
	r.beacon("A", State{Epoch: e, Known: frontier(a)})
	if acts := r.beacon("C", State{Epoch: e, Known: Frontier{twin}}); !hasAlarm(acts, TwoHeads) {
		t.Error("no alarm")
	}
	if len(r.m.disk.Known) != 2 {
		t.Error("not both kept")
	}
	if acts := r.beacon("C", State{Epoch: e, Known: Frontier{twin}}); hasAlarm(acts, TwoHeads) {
		t.Error("alarmed twice")
	}
}

func TestRule9KnownIsBounded(t *testing.T) {
	r := start(t, "B", AP, "AB")
	for n := range uint64(2 * maxKnown) {
		x := head(epoch(1, 1, "A"), n+1)
		x = NewHead(x.ID, x.Epoch, record.Vector{x.instance: 1}, nil) // all the first of one store
		r.beacon("A", State{Known: frontier(x)})
	}
	if n := len(r.m.disk.Known); n != maxKnown {
		t.Errorf("%d heads", n)
	}
}

func TestRule10Forks(t *testing.T) {
	x, y := head(epoch(1, 2, "B"), 1), head(epoch(1, 3, "C"), 1)
	for _, mode := range []Mode{AP, Strict} {
		r := start(t, "A", mode, "ABC")
		r.step(ms, Fetched{Head: x})
		r.step(ms, Fetched{Head: y})
		acts := r.lead("BC")
		if len(pick[Make](acts)) != 0 {
			t.Error("merges before the others had time to answer")
		}
		makes := pick[Make](r.run(2 * h))
		if len(makes) != 1 || makes[0].Plan.Kind != Merge {
			t.Fatalf("%v", makes)
		}
		p := makes[0].Plan
		if mode == AP && (len(p.Parents) != 2 || len(p.Dropped) != 0) {
			t.Error("ap merges")
		}
		if mode == Strict && (len(p.Parents) != 1 || p.Parents[0] != y || len(p.Dropped) != 1 || p.Dropped[0] != x) {
			t.Error("strict keeps the head of the highest epoch and hides the other")
		}
		if made, _ := r.make(p); len(r.m.disk.Have) != 1 || !made.Covers(x) || !made.Covers(y) {
			t.Error("a fork is left")
		}
	}
}

func TestRule10Confirm(t *testing.T) {
	x := head(epoch(1, 1, "B"), 1)
	for durable, want := range map[bool]int{false: 1, true: 0} {
		r := start(t, "A", AP, "ABC")
		r.step(ms, Fetched{Head: x})
		if durable {
			r.beacon("B", State{Epoch: x.Epoch, Durable: frontier(x)})
		}
		r.lead("BC")
		makes := pick[Make](r.run(3 * h))
		if len(makes) != want || want == 1 && makes[0].Plan.Kind != Confirm {
			t.Errorf("durable %v: %v", durable, makes)
		}
	}
}

func TestRule11AbandonNeedsEverybody(t *testing.T) {
	gone := head(epoch(1, 1, "C"), 1)
	lead := func() *rig {
		r := start(t, "A", AP, "ABC")
		r.lead("BC")
		r.publish(1)
		r.beacon("B", State{Epoch: r.m.disk.Epoch, Known: frontier(gone)})
		return r
	}
	wait := func(r *rig, who string, s State) (all []Action) {
		for range 20 {
			all = append(all, r.run(h)...)
			for _, v := range who {
				s.Epoch = r.m.disk.Epoch
				all = append(all, r.beacon(string(v), s)...)
			}
		}
		return all
	}
	r := lead()
	if acts := wait(r, "B", State{}); len(sent[WaiveReq](acts, "B")) != 0 {
		t.Error("asked while C was not heard")
	}
	r = lead()
	if acts := wait(r, "BC", State{Durable: frontier(gone)}); len(sent[WaiveReq](acts, "B")) != 0 {
		t.Error("asked for what was durable")
	}
	r = lead()
	acts := wait(r, "BC", State{})
	if len(sent[WaiveReq](acts, "B")) == 0 || len(sent[WaiveReq](acts, "C")) == 0 {
		t.Fatal("nobody asked")
	}
	w := Waive{Epoch: r.m.disk.Epoch, Heads: []cid.Cid{gone.ID}}
	// Somebody turns out to have it: whoever asked takes it, or nobody ever could.
	late := lead()
	wait(late, "BC", State{})
	late.hear("B", w)
	if f := pick[Fetch](late.beacon("C", State{Epoch: late.m.disk.Epoch, Have: frontier(gone)})); len(f) != 1 {
		t.Error("not fetched though offered")
	}
	late.step(ms, Fetched{Head: gone})
	if !late.m.disk.Have.Covers(gone) || len(pick[Make](late.hear("C", w))) > 0 && late.m.reign.making.Kind == Abandon {
		t.Error("abandoned though had")
	}
	if acts := r.hear("B", w); len(pick[Make](acts)) != 0 {
		t.Error("abandoned without C")
	}
	makes := pick[Make](r.hear("C", w))
	if len(makes) != 1 || makes[0].Plan.Kind != Abandon || makes[0].Plan.Dropped[0] != gone {
		t.Fatalf("%v", makes)
	}
	if r.make(makes[0].Plan); !r.m.disk.Have.CoversAll(r.m.disk.Known) {
		t.Error("still known and not had")
	}
}

func TestRule11Waive(t *testing.T) {
	e := epoch(1, 2, "A")
	gone, mine := head(epoch(1, 1, "C"), 1), head(epoch(1, 1, "C"), 2)
	ask := WaiveReq{Epoch: e, Heads: []*Head{gone}}
	r := start(t, "B", AP, "ABC")
	r.beacon("A", State{Epoch: e, Role: Primary})
	acts := r.hear("A", ask)
	if len(sent[Waive](acts, "A")) != 1 || len(pick[Persist](acts)) != 1 {
		t.Fatalf("%v", acts)
	}
	if r.step(ms, Fetched{Head: gone}); len(r.m.disk.Have) != 0 {
		t.Error("takes what it waived")
	}
	if acts := r.beacon("C", State{Epoch: e, Have: frontier(gone)}); len(pick[Fetch](acts)) != 0 {
		t.Error("fetches what it waived")
	}
	r.beacon("A", State{Epoch: epoch(1, 3, "C"), Role: Primary})
	if r.step(ms, Fetched{Head: gone}); len(r.m.disk.Have) != 1 {
		t.Error("the promise is for one epoch")
	}
	r = start(t, "B", AP, "ABC")
	r.step(ms, Fetched{Head: mine})
	r.beacon("A", State{Epoch: e, Role: Primary})
	if acts := r.hear("A", ask); len(sent[Waive](acts, "A")) != 0 {
		t.Error("waives though it has what the primary lacks")
	}
}

func TestRule12Configs(t *testing.T) {
	r := start(t, "A", AP, "ABC")
	r.lead("BC")
	acts := r.step(ms, ConfigChanged{Config: config(2, AP, "AB")})
	r.want(Primary)
	if e := r.m.disk.Epoch; e.Compare(epoch(2, 1, "A")) != 0 {
		t.Errorf("epoch %v", e)
	}
	if len(pick[Persist](acts)) != 1 {
		t.Error("not persisted")
	}
	if acts := r.beacon("C", State{Epoch: epoch(1, 50, "C")}); len(pick[FetchConfig](acts)) != 0 || r.m.disk.Epoch.ConfigVersion != 2 {
		t.Error("listens to one who is no voter")
	}
	r.step(ms, ConfigChanged{Config: config(3, AP, "BC")})
	r.want(Follower)
	if acts := r.run(20 * h); len(said[*Beacon](acts)) != 0 || r.m.Role() != Follower {
		t.Error("speaks though it is no voter")
	}
	other := config(3, AP, "ABC")
	other.Hash = "4"
	if acts := r.step(ms, ConfigChanged{Config: other}); !hasAlarm(acts, TwoConfigs) || len(r.m.cfg.Voters) != 3 {
		t.Error("the higher hash wins, with an alarm")
	}
	lower := config(3, AP, "AB")
	if r.step(ms, ConfigChanged{Config: lower}); len(r.m.cfg.Voters) != 3 {
		t.Error("the lower hash won")
	}
}

func TestRule12Cuts(t *testing.T) {
	x := head(epoch(1, 1, "A"), 1)
	y := head(epoch(1, 1, "A"), 2, x) // its writer is cut after number 1
	r := start(t, "B", AP, "AB")
	r.step(ms, Fetched{Head: y})
	c := config(2, AP, "AB")
	c.Cuts = Cuts{"w": 1}
	left := frontier(x)
	r.step(ms, ConfigChanged{Config: c, Known: &left, Have: &left})
	if !r.m.disk.Known.Equal(left) || !r.m.disk.Have.Equal(left) {
		t.Error("a cut head is left")
	}
	r.beacon("A", State{Known: frontier(y), Have: frontier(y)})
	r.step(ms, Fetched{Head: y})
	if !r.m.disk.Known.Equal(left) {
		t.Error("a cut head came back")
	}
}
