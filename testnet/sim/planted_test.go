package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// The tests of the tester: bugs planted around the production core. Each must be found.

// mutant is a core with something wrong before its inside, in, or behind it, out. Either may be nil.
type mutant struct {
	*election.Member
	in  func(m *election.Member, ev election.Event) election.Event // nil event = swallowed
	out func(m *election.Member, ev election.Event, acts []election.Action) []election.Action
}

func (u mutant) Step(now time.Duration, ev election.Event) []election.Action {
	if u.in != nil {
		if ev = u.in(u.Member, ev); ev == nil {
			ev = election.Tick{}
		}
	}
	acts := u.Member.Step(now, ev)
	if u.out != nil {
		acts = u.out(u.Member, ev, acts)
	}
	return acts
}

type bug struct {
	name     string
	interval time.Duration // instead of what the seeds draw
	in       func(m *election.Member, ev election.Event) election.Event
	out      func(m *election.Member, ev election.Event, acts []election.Action) []election.Action
}

// budget is how many seeds a bug may survive.
const budget = 10_000

// rare tells which bugs need a thousand seeds and more, half a minute in all: they are looked for with -planted only.
func rare(name string) bool {
	return slices.Contains([]string{
		"acknowledges though another is voted for", "acknowledgements of any epoch count", "voters waive what they have", "majority not absorbed",
	}, name)
}

func TestPlantedBugsAreFound(t *testing.T) {
	if *oneSeed != 0 || *seeds != 0 {
		t.Skip("seeds asked for")
	}
	for _, b := range bugs() {
		if rare(b.name) && !*planted {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			find(t, Options{Interval: b.interval, Wrap: func(m *election.Member, _ *rand.Rand) Core { return mutant{m, b.in, b.out} }})
		})
	}
	for _, p := range []struct {
		name  string
		plant Plant
	}{
		{"no store instance in epochs", Plant{Reuse: true}},
		{"wiped voters vote (strict)", Plant{AnyStore: true}},
		{"configs in a hurry (strict)", Plant{Rash: true}},
		{"older state taken for the newest", Plant{Credulous: true}},
		{"row changes and its version does not", Plant{SameRow: true}},
		{"reads answered at once (strict)", Plant{Hasty: true}},
	} {
		t.Run(p.name, func(t *testing.T) { find(t, Options{Plant: p.plant}) })
	}
}

// find plays seeds in order until one is found out, and says which.
func find(t *testing.T, o Options) {
	var found *Result
	s := many(o, 1, budget, func(r Result) bool {
		if r.Violation != nil && (found == nil || r.Seed < found.Seed) {
			found = &r
		}
		return found != nil
	})
	if found == nil {
		t.Fatalf("not found in %d seeds", s.seeds)
	}
	t.Logf("found at seed %d, in %v: %v", found.Seed, s.took.Round(time.Millisecond), found.Violation)
}

func bugs() []bug {
	return slices.Concat(diskBugs(), voteBugs(), configBugs(), replicaBugs(), countBugs(), orderBugs())
}

// onDisk changes what is written.
func onDisk(change func(p *election.Persistent)) func(*election.Member, election.Event, []election.Action) []election.Action {
	return func(_ *election.Member, _ election.Event, acts []election.Action) []election.Action {
		for i, a := range acts {
			if p, ok := a.(election.Persist); ok {
				change(&p.State)
				acts[i] = p
			}
		}
		return acts
	}
}

func diskBugs() []bug {
	return []bug{
		{name: "messages before the write", out: func(_ *election.Member, _ election.Event, acts []election.Action) []election.Action {
			if len(acts) > 1 {
				if p, ok := acts[0].(election.Persist); ok {
					acts = append(slices.Clone(acts[1:]), p)
				}
			}
			return acts
		}},
		{name: "vote not written", out: onDisk(func(p *election.Persistent) { p.Granted = record.Epoch{} })},
		{name: "number not written", out: onDisk(func(p *election.Persistent) { p.Seq = 0 })},
		{name: "known not written", out: onDisk(func(p *election.Persistent) { p.Known = p.Have })},
		{name: "bytes had not written", out: onDisk(func(p *election.Persistent) { p.Have = p.Have[:len(p.Have)/2] })},
		{name: "boot not counted", out: onDisk(func(p *election.Persistent) { p.Boot = 0 })},
		{name: "epoch not written", out: onDisk(func(p *election.Persistent) { p.Epoch.N = max(p.Epoch.N, 1) - 1 })},
	}
}

// message changes what is received.
func message(change func(m *election.Member, r election.Received) election.Message) func(*election.Member, election.Event) election.Event {
	return func(m *election.Member, ev election.Event) election.Event {
		r, ok := ev.(election.Received)
		if !ok {
			return ev
		}
		if r.Message = change(m, r); r.Message == nil {
			return nil
		}
		return r
	}
}

func voteBugs() []bug {
	return []bug{
		{name: "majority not absorbed", in: message(func(_ *election.Member, r election.Received) election.Message {
			if v, ok := r.Message.(election.Vote); ok {
				return election.Vote{Want: v.Want}
			}
			return r.Message
		})},
		{name: "votes for whoever asks", out: func(m *election.Member, ev election.Event, acts []election.Action) []election.Action {
			r, ok := ev.(election.Received)
			if !ok {
				return acts
			}
			if q, ok := r.Message.(election.VoteReq); ok {
				p := m.Persistent()
				acts = append(acts, election.Send{To: r.From, Message: election.Vote{Want: q.Want, Known: p.Known, Have: p.Have}})
			}
			return acts
		}},
		{name: "old primary not fenced", in: message(func(m *election.Member, r election.Received) election.Message {
			if b, ok := r.Message.(*election.Beacon); ok && b.State != nil && m.Role() == election.Primary &&
				b.State.Epoch.Compare(m.Persistent().Epoch) > 0 {
				return nil
			}
			return r.Message
		})},
		{name: "one vote is a majority", out: func(m *election.Member, _ election.Event, acts []election.Action) []election.Action {
			for _, a := range acts {
				if a, ok := a.(election.Send); ok {
					if q, ok := a.Message.(election.VoteReq); ok {
						vote := election.Received{From: a.To, Instance: storeListed(m, a.To), Message: election.Vote{Want: q.Want}}
						acts = append(acts, m.Step(0, vote)...)
					}
				}
			}
			return acts
		}},
	}
}

func configBugs() []bug {
	return []bug{
		{name: "lower hash of two configs wins", in: func(m *election.Member, ev election.Event) election.Event {
			if c, ok := ev.(election.ConfigChanged); ok && c.Config.Version == m.Config().Version && c.Config.Hash > m.Config().Hash {
				return nil
			}
			return ev
		}},
		{name: "config ignored", in: func(_ *election.Member, ev election.Event) election.Event {
			if _, ok := ev.(election.ConfigChanged); ok {
				return nil
			}
			return ev
		}},
		{name: "cuts ignored", in: func(_ *election.Member, ev election.Event) election.Event {
			if c, ok := ev.(election.ConfigChanged); ok {
				c.Config.Cuts, c.Known, c.Have = nil, nil, nil
				return c
			}
			return ev
		}},
		{name: "cut takes what lay below, too", in: func(_ *election.Member, ev election.Event) election.Event {
			if c, ok := ev.(election.ConfigChanged); ok && c.Known != nil {
				c.Known, c.Have = &election.Frontier{}, &election.Frontier{}
				return c
			}
			return ev
		}},
		{name: "config does not raise the epoch", out: func(m *election.Member, ev election.Event, acts []election.Action) []election.Action {
			f, ok := ev.(election.Fetched)
			if e := m.Persistent().Epoch; ok && e.N == 0 && f.Head.Epoch.ConfigVersion+1 == e.ConfigVersion {
				acts = append(acts, election.Send{To: f.Head.Epoch.Owner, Message: election.Ack{Epoch: f.Head.Epoch, Seq: f.Head.Seq()}})
			}
			return acts
		}},
		{name: "copies of a home not noticed", out: func(_ *election.Member, _ election.Event, acts []election.Action) []election.Action {
			return slices.DeleteFunc(acts, func(a election.Action) bool {
				x, ok := a.(election.Alarm)
				return ok && x.Kind == election.Cloned
			})
		}},
	}
}

// storeListed is the store of a voter that the config names.
func storeListed(m *election.Member, id peer.ID) string {
	for _, v := range m.Config().Voters {
		if v.ID == id {
			return v.Instance
		}
	}
	return ""
}

// countBugs are of the one that counts acknowledgements and consents.
func countBugs() []bug {
	return []bug{
		{name: "acknowledgements of any epoch count", in: message(func(m *election.Member, r election.Received) election.Message {
			if a, ok := r.Message.(election.Ack); ok {
				return election.Ack{Epoch: m.Persistent().Epoch, Seq: a.Seq}
			}
			return r.Message
		})},
		{name: "one acknowledgement counts for all", out: func(m *election.Member, ev election.Event, acts []election.Action) []election.Action {
			r, ok := ev.(election.Received)
			if !ok {
				return acts
			}
			if a, ok := r.Message.(election.Ack); ok {
				for _, v := range m.Config().Voters {
					again := election.Received{From: v.ID, Instance: v.Instance, Message: a}
					if v.ID != r.From && v.Instance != "" {
						acts = append(acts, m.Step(0, again)...)
					}
				}
			}
			return acts
		}},
		// At short intervals abandonments, for which a primary waits 16 of them, come more often.
		{name: "voters waive what they have", interval: 100 * time.Millisecond, out: func(_ *election.Member, ev election.Event, acts []election.Action) []election.Action {
			r, ok := ev.(election.Received)
			if !ok {
				return acts
			}
			if q, ok := r.Message.(election.WaiveReq); ok {
				w := election.Waive{Epoch: q.Epoch}
				for _, h := range q.Heads {
					w.Heads = append(w.Heads, h.ID)
				}
				acts = append(acts, election.Send{To: r.From, Message: w})
			}
			return acts
		}},
		{name: "handover to whoever is behind", out: func(m *election.Member, ev election.Event, acts []election.Action) []election.Action {
			if _, ok := ev.(election.HandoverRequested); ok && m.Role() == election.Primary && m.Backup() != "" {
				acts = append(acts, election.Send{To: m.Backup(), Message: election.Handover{Epoch: m.Persistent().Epoch}})
			}
			return acts
		}},
	}
}

func replicaBugs() []bug {
	return []bug{
		{name: "acknowledges heads of old epochs", out: func(_ *election.Member, ev election.Event, acts []election.Action) []election.Action {
			if f, ok := ev.(election.Fetched); ok {
				acts = append(acts, election.Send{To: f.Head.Epoch.Owner, Message: election.Ack{Epoch: f.Head.Epoch, Seq: f.Head.Seq()}})
			}
			return acts
		}},
		{name: "acknowledges though another is voted for", out: func(m *election.Member, ev election.Event, acts []election.Action) []election.Action {
			e := m.Persistent().Epoch
			for i, a := range acts {
				if b, ok := a.(election.Broadcast); ok {
					acts[i] = hideVote(b)
				}
			}
			if f, ok := ev.(election.Fetched); ok && f.Head.Epoch.Compare(e) == 0 {
				acts = append(acts, election.Send{To: e.Owner, Message: election.Ack{Epoch: e, Seq: f.Head.Seq()}})
			}
			return acts
		}},
		{name: "acknowledges before the bytes are there", out: func(m *election.Member, ev election.Event, acts []election.Action) []election.Action {
			r, ok := ev.(election.Received)
			if !ok {
				return acts
			}
			if b, ok := r.Message.(*election.Beacon); ok && b.State != nil && b.State.Role == election.Primary {
				for _, h := range b.State.Have {
					if e := m.Persistent().Epoch; h.Epoch.Compare(e) == 0 {
						acts = append(acts, election.Send{To: r.From, Message: election.Ack{Epoch: e, Seq: h.Seq()}})
					}
				}
			}
			return acts
		}},
		{name: "durable at one too few", out: func(_ *election.Member, _ election.Event, acts []election.Action) []election.Action {
			for _, a := range acts {
				if a, ok := a.(election.Accepted); ok {
					acts = append(acts, election.Durable{Head: a.Head})
				}
			}
			return acts
		}},
		{name: "incomplete heads are had", out: func(m *election.Member, ev election.Event, acts []election.Action) []election.Action {
			for _, a := range acts {
				if f, ok := a.(election.Fetch); ok {
					acts = append(acts, m.Step(0, election.Fetched{Head: f.Head})...)
				}
			}
			return acts
		}},
	}
}

// hideVote takes the vote out of a beacon.
func hideVote(b election.Broadcast) election.Broadcast {
	if m, ok := b.Message.(*election.Beacon); ok {
		said, state := *m, *m.State
		state.Granted = record.Epoch{}
		said.State = &state
		b.Message = &said
	}
	return b
}

// plans changes what a head is made of.
func plans(change func(m *election.Member, p *election.Plan)) func(*election.Member, election.Event, []election.Action) []election.Action {
	return func(m *election.Member, _ election.Event, acts []election.Action) []election.Action {
		for _, a := range acts {
			if a, ok := a.(election.Make); ok {
				change(m, a.Plan)
			}
		}
		return acts
	}
}

func orderBugs() []bug {
	return []bug{
		{name: "equal number twice", out: plans(func(m *election.Member, p *election.Plan) {
			if p.Seq%8 == 0 {
				p.Seq--
				p.Vector[record.InstanceKey(m.Persistent().Instance)] = p.Seq
			}
		})},
		{name: "merge keeps one side", out: plans(func(_ *election.Member, p *election.Plan) {
			p.Parents = p.Parents[:min(1, len(p.Parents))]
		})},
		{name: "lacking heads abandoned at once", out: plans(func(m *election.Member, p *election.Plan) {
			for _, h := range m.Persistent().Known {
				if !m.Persistent().Have.Covers(h) {
					p.Dropped = append(p.Dropped, h)
					p.Vector = p.Vector.Merge(h.Vector)
				}
			}
		})},
		{name: "strict merges what lost", out: plans(func(_ *election.Member, p *election.Plan) {
			if n := len(p.Dropped); n > 0 && p.Kind == election.Merge {
				p.Parents, p.Dropped = p.Dropped[:1], append(p.Dropped[1:], p.Parents...)
			}
		})},
		{name: "forks never merged", out: func(_ *election.Member, _ election.Event, acts []election.Action) []election.Action {
			return slices.DeleteFunc(acts, func(a election.Action) bool {
				m, ok := a.(election.Make)
				return ok && m.Plan.Kind == election.Merge
			})
		}},
	}
}
