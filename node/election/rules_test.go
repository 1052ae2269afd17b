package election

import (
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/protocols/record"
)

func TestRule1EpochsGrow(t *testing.T) {
	r := start(t, "B", AP, "ABC")
	r.lead("AC")
	own := r.m.disk.Epoch
	acts := r.beacon("C", State{Epoch: epoch(1, own.N+3, "C"), Role: Primary})
	r.want(Follower)
	if len(pick[Persist](acts)) != 1 || len(said[*Beacon](acts)) > 1 {
		t.Errorf("%v", acts)
	}
	r.beacon("A", State{Epoch: own, Role: Primary})
	if e := r.m.disk.Epoch; e.N != own.N+3 {
		t.Errorf("epoch went back to %v", e)
	}
	// The new owner has a full TFail, whatever the old one did.
	if at := r.m.suspectAt() - r.now; at < 3*h {
		t.Errorf("suspected after %v", at)
	}
	// An epoch of a config that is not known yet is none; it is asked for.
	s := State{ConfigVersion: 2, ConfigHash: "2", Epoch: epoch(2, 1, "A"), Role: Primary}
	if acts := r.beacon("A", s); len(pick[FetchConfig](acts)) != 1 || r.m.disk.Epoch.ConfigVersion != 1 {
		t.Errorf("%v", acts)
	}
}

func TestRule2Beacons(t *testing.T) {
	r := start(t, "A", AP, "ABC")
	acts := r.run(10 * h)
	if n := len(said[*Beacon](acts)); n < 9 || n > 12 {
		t.Errorf("%d beacons in 10 intervals", n)
	}
	// Many changes share a beacon.
	n := 0
	for range 50 {
		n += len(said[*Beacon](r.step(ms, Joined{Peer: "B"})))
	}
	if n == 0 || n > 4 {
		t.Errorf("%d beacons for 50 changes in 50 ms", n)
	}
	r = start(t, "A", AP, "ABC")
	// Older ones are nothing; the state of the last may come after it, once.
	e := epoch(1, 5, "B")
	alive := &Beacon{Stamp: Stamp{3, 7}, Interval: h}
	full := &Beacon{Stamp: Stamp{3, 7}, Interval: h, State: &State{ConfigVersion: 1, ConfigHash: "1", Epoch: e, Role: Primary}}
	old := &Beacon{Stamp: Stamp{2, 9}, Interval: h, State: &State{ConfigVersion: 1, ConfigHash: "1", Epoch: epoch(1, 9, "B")}}
	r.hear("B", alive)
	if r.m.livePrimary() || !r.m.peer("B").live(r.now) {
		t.Error("alive is not primary")
	}
	r.hear("B", old)
	if r.hear("B", full); r.m.disk.Epoch.Compare(e) != 0 || !r.m.livePrimary() {
		t.Errorf("epoch %v", r.m.disk.Epoch)
	}
	r.now += 2 * h
	r.hear("B", full)
	if r.m.time.heard > r.now-h {
		t.Error("a repeated beacon is a sign of life")
	}
}

func TestRule3Suspicion(t *testing.T) {
	// B is the backup, so C waits one TStagger longer.
	for id, wait := range map[string]time.Duration{"B": 4 * h, "C": 5 * h, "D": 6 * h} {
		r := start(t, id, AP, "ABCD")
		r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary, Backup: "B"})
		if at := r.m.suspectAt() - r.now; at != wait {
			t.Errorf("%s suspects after %v, want %v", id, at, wait)
		}
		r.run(wait)
		if acts := r.step(ms, Tick{}); r.m.Role() != Candidate && len(acts) >= 0 {
			t.Errorf("%s is %v", id, r.m.Role())
		}
		r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary, Backup: "B"})
		r.step(h/5, Disconnected{Peer: "A"})
		r.want(Follower) // one candidacy in TFail
	}
	r := start(t, "B", AP, "ABC")
	r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary, Backup: "B"})
	acts := r.step(ms, Disconnected{Peer: "A"})
	if r.want(Candidate); len(said[Suspect](acts)) != 1 || len(pick[Redial](acts)) != 1 {
		t.Errorf("%v", acts)
	}
	r = start(t, "C", AP, "ABC")
	r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary, Backup: "B"})
	r.step(ms, Disconnected{Peer: "A"})
	r.want(Follower) // not the first in line
}

func TestRule3FreshStoresWait(t *testing.T) {
	r := startFrom(t, "A", config(1, AP, "AB"), Persistent{Instance: storeOf("A"), Fresh: true})
	r.run(8*4*h - h)
	r.want(Follower)
	r.run(4 * h)
	r.want(Primary)
	r = startFrom(t, "A", config(1, AP, "AB"), Persistent{Instance: storeOf("A"), Fresh: true})
	r.beacon("B", State{})
	r.run(9 * h)
	r.want(Primary)
	r = startFrom(t, "A", config(1, AP, "A"), Persistent{Instance: storeOf("A")})
	r.want(Primary) // nobody to ask
}

func TestRule3PrimaryAnswers(t *testing.T) {
	r := start(t, "A", AP, "ABC")
	r.lead("BC")
	r.now += h / 5
	r.m.time.beacon = r.now + h
	if acts := r.hear("B", Suspect{Epoch: r.m.disk.Epoch}); len(said[*Beacon](acts)) != 1 {
		t.Errorf("%v", acts)
	}
}

func TestRule4Abort(t *testing.T) {
	r := start(t, "B", AP, "ABC")
	s := State{Epoch: epoch(1, 1, "A"), Role: Primary, Backup: "B"}
	r.beacon("A", s)
	r.step(ms, Disconnected{Peer: "A"})
	r.beacon("C", State{Epoch: s.Epoch})
	r.want(Candidate)
	r.beacon("A", s)
	r.want(Follower)
	if r.run(2 * h); r.m.disk.Epoch.Compare(s.Epoch) != 0 {
		t.Error("promoted all the same")
	}
}

func TestRule5Promotion(t *testing.T) {
	for voters, wait := range map[string]time.Duration{"ABC": h, "AB": 2 * h} {
		r := start(t, "B", AP, voters)
		r.beacon("A", State{Epoch: epoch(1, 4, "A"), Role: Primary, Backup: "B"})
		if voters == "ABC" {
			r.beacon("C", State{Epoch: epoch(1, 4, "A")})
		}
		r.step(ms, Disconnected{Peer: "A"})
		r.run(wait - ms)
		r.want(Candidate)
		acts := r.run(2 * ms)
		r.want(Primary)
		b := pick[Became](acts)
		if len(b) != 1 || b[0].Epoch.Compare(epoch(1, 5, "B")) != 0 || len(said[*Beacon](acts)) != 1 {
			t.Errorf("%s: %v", voters, acts)
		}
	}
}

func TestRule6VotesAreGivenOnce(t *testing.T) {
	r := start(t, "B", Strict, "ABC")
	acts := r.hear("C", VoteReq{Want: epoch(1, 2, "C")})
	if len(sent[Vote](acts, "C")) != 1 || len(pick[Persist](acts)) != 1 {
		t.Fatalf("%v", acts)
	}
	for _, want := range []uint64{1, 2} {
		if acts := r.hear("A", VoteReq{Want: epoch(1, want, "A")}); len(sent[Vote](acts, "A")) != 0 {
			t.Errorf("voted for %d of A after 2 of C", want)
		}
	}
	if acts := r.hear("C", VoteReq{Want: epoch(1, 2, "C")}); len(sent[Vote](acts, "C")) != 1 {
		t.Error("asked again, not answered again")
	}
	if acts := r.hear("A", VoteReq{Want: epoch(1, 3, "C")}); len(sent[Vote](acts, "A")) != 0 {
		t.Error("voted for another's epoch")
	}
}

func TestRule6LivePrimaryKeepsItsVoters(t *testing.T) {
	r := start(t, "B", Strict, "ABC")
	r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary})
	ask := VoteReq{Want: epoch(1, 2, "C")}
	if acts := r.hear("C", ask); len(sent[Vote](acts, "C")) != 0 {
		t.Error("voted against a live primary")
	}
	if acts := r.hear("A", VoteReq{Want: epoch(1, 2, "A")}); len(sent[Vote](acts, "A")) != 1 {
		t.Error("the primary itself may ask")
	}
	r = start(t, "B", Strict, "ABC")
	r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary})
	r.hear("C", Suspect{Epoch: epoch(1, 1, "A")})
	r.now += h
	if acts := r.hear("C", ask); len(sent[Vote](acts, "C")) != 1 {
		t.Error("a primary that does not answer is not live")
	}
	r = start(t, "B", Strict, "ABC")
	r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary})
	ask.Handed = true
	if acts := r.hear("C", ask); len(sent[Vote](acts, "C")) != 1 {
		t.Error("a primary that handed over is no obstacle")
	}
}

func TestRule6AbsorbsTheMajority(t *testing.T) {
	r := start(t, "A", Strict, "ABC")
	r.m.suspect()
	acts := r.run(2 * h)
	if len(sent[VoteReq](acts, "B")) == 0 || r.m.Role() != Candidate {
		t.Fatalf("%v", acts)
	}
	old := head(epoch(1, 1, "C"), 1)
	r.beacon("B", State{Have: frontier(old), Known: frontier(old)})
	r.hear("B", Vote{Want: r.m.cand.want, Known: frontier(old), Have: frontier(old)})
	r.want(Primary)
	if acts := r.step(ms, Proposed{ID: 1}); len(pick[Make](acts)) != 0 || r.m.Absorbed() {
		t.Error("orders before it has what the majority has")
	}
	acts = r.step(ms, Fetched{Head: old})
	makes := pick[Make](acts)
	if len(makes) != 1 || len(makes[0].Plan.Parents) != 1 || makes[0].Plan.Parents[0] != old {
		t.Errorf("%v", acts)
	}
}

func TestRule6LosesItsMajority(t *testing.T) {
	r := start(t, "A", Strict, "ABC")
	r.lead("BC")
	r.run(4 * h)
	r.want(Primary)
	r.run(2 * h)
	if r.m.Role() == Primary {
		t.Error("primary without a majority")
	}
	if acts := r.step(ms, Proposed{ID: 7}); len(pick[Refused](acts)) != 1 {
		t.Errorf("%v", acts)
	}
}

func TestRule6AsksAgainAfterAVoteForAnother(t *testing.T) {
	r := start(t, "A", Strict, "ABC")
	r.lead("BC")
	was := r.m.disk.Epoch
	acts := r.beacon("B", State{Epoch: was, Granted: epoch(1, 9, "C")})
	if len(sent[VoteReq](acts, "B")) != 1 || r.m.cand.want.N != 10 {
		t.Fatalf("%v", acts)
	}
	r.want(Primary)
	r.hear("B", Vote{Want: r.m.cand.want})
	if r.want(Primary); r.m.disk.Epoch.N != 10 {
		t.Errorf("epoch %v", r.m.disk.Epoch)
	}
}

func TestRule7Backup(t *testing.T) {
	r := start(t, "A", AP, "ABCD")
	r.lead("B")
	if r.m.Backup() != "B" {
		t.Fatalf("backup %q", string(r.m.Backup()))
	}
	first, _ := r.publish(1)
	e := r.m.disk.Epoch
	r.beacon("C", State{Epoch: e, Have: frontier(first)})
	if r.m.Backup() != "B" {
		t.Error("a backup that lives is kept")
	}
	for range 6 { // B silent, C and D follow, C has more
		r.run(h)
		r.beacon("D", State{Epoch: e})
		r.beacon("C", State{Epoch: e, Have: frontier(first)})
	}
	if r.m.Backup() != "C" {
		t.Errorf("backup %q", string(r.m.Backup()))
	}
	r.publish(2)
	for range 20 { // C lives and acknowledges nothing
		r.run(h)
		r.beacon("D", State{Epoch: e})
		r.beacon("C", State{Epoch: e, Have: frontier(first)})
	}
	if r.m.Backup() != "D" {
		t.Errorf("a stalled backup is kept: %q", string(r.m.Backup()))
	}
}

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
