package election

import (
	"testing"
	"time"
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

func TestRule1FollowersGiveTheNewOwnerTime(t *testing.T) {
	r := start(t, "C", AP, "ABC")
	r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary, Backup: "B"})
	r.run(3 * h)
	r.beacon("A", State{Epoch: epoch(1, 2, "B")}) // B itself was not heard yet
	if at := r.m.suspectAt() - r.now; r.m.livePrimary() || at < 4*h {
		t.Errorf("suspected after %v", at)
	}
}

func TestRule2OldPrimariesAreTold(t *testing.T) {
	r := start(t, "C", AP, "ABC")
	r.beacon("B", State{Epoch: epoch(1, 2, "B"), Role: Primary})
	r.run(h)
	r.m.time.beacon, r.m.time.sent = r.now+h, r.now-h/2
	if acts := r.beacon("A", State{Epoch: epoch(1, 1, "A")}); len(said[*Beacon](acts)) != 0 {
		t.Error("followers need not be told")
	}
	if acts := r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary}); len(said[*Beacon](acts)) != 1 {
		t.Error("not told")
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

func TestRule3OneCandidacyInTFail(t *testing.T) {
	r := start(t, "B", AP, "ABC")
	r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary, Backup: "B"})
	r.step(ms, Disconnected{Peer: "A"})
	r.want(Candidate)
	r.beacon("C", State{Epoch: epoch(1, 2, "C"), Role: Primary, Backup: "B"})
	r.step(ms, Disconnected{Peer: "C"})
	r.want(Follower)
}

func TestRule3APrimaryThatStartedAgainIsNone(t *testing.T) {
	r := start(t, "B", AP, "ABC")
	r.beacon("A", State{Epoch: epoch(1, 1, "A"), Role: Primary, Backup: "B"})
	r.run(5 * ms)
	r.beacon("A", State{Epoch: epoch(1, 1, "A")})
	r.want(Candidate)
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

func TestRule6NoVoteBelowTheEpoch(t *testing.T) {
	r := start(t, "B", Strict, "ABC")
	r.beacon("C", State{Epoch: epoch(1, 5, "C")})
	if acts := r.hear("A", VoteReq{Want: epoch(1, 3, "A")}); len(sent[Vote](acts, "A")) != 0 {
		t.Error("voted for an epoch that is over")
	}
}

func TestRule6AVoteForAnotherEndsOnesOwn(t *testing.T) {
	r := start(t, "A", Strict, "ABC")
	r.m.suspect()
	r.run(2 * h)
	want := r.m.cand.want
	r.hear("C", VoteReq{Want: epoch(1, want.N+1, "C")})
	r.want(Follower)
	r.hear("B", Vote{Want: want})
	r.want(Follower)
}

func TestRule6AsksAnotherMajority(t *testing.T) {
	r := start(t, "A", Strict, "ABC")
	r.m.suspect()
	r.run(2 * h)
	r.hear("B", Vote{Want: r.m.cand.want, Have: frontier(head(epoch(1, 1, "C"), 1))})
	r.want(Primary)
	var acts []Action
	for range 6 { // B is gone and nobody else has the head
		acts = append(acts, r.run(h)...)
		r.beacon("C", State{Epoch: r.m.disk.Epoch})
	}
	if len(sent[VoteReq](acts, "C")) == 0 {
		t.Fatal("waits for ever for a head that is gone")
	}
	if r.hear("C", Vote{Want: r.m.cand.want}); !r.m.Absorbed() {
		t.Error("not absorbed")
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
