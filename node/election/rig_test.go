package election

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/shoal-p2p/shoal/protocols/record"
)

const (
	ms = time.Millisecond
	h  = DefaultInterval
)

// rig drives one member by hand. The other voters are letters.
type rig struct {
	t   *testing.T
	m   *Member
	now time.Duration
	no  uint64 // of the last beacon made for others
}

// start makes member id of a set whose voters are the letters of voters.
func start(t *testing.T, id string, mode Mode, voters string) *rig {
	return startFrom(t, id, config(1, mode, voters), Persistent{Instance: storeOf(id)})
}

func startFrom(t *testing.T, id string, c Config, disk Persistent) *rig {
	t.Helper()
	r := &rig{t: t, m: New(0, peer.ID(id), c, disk, Options{Seed: 1})}
	r.step(0, Tick{})
	return r
}

func config(version uint64, mode Mode, voters string) Config {
	c := Config{Version: version, Hash: fmt.Sprint(version), Mode: mode}
	for _, v := range voters {
		v := Voter{ID: peer.ID(string(v))}
		if mode == Strict {
			v.Instance = key(string(v.ID))
		}
		c.Voters = append(c.Voters, v)
	}
	return c
}

// storeOf is the instance of a node's first store, key its text.
func storeOf(id string) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, id[0]} }

func key(id string) string { return record.InstanceKey(storeOf(id)) }

func epoch(version, n uint64, owner string) record.Epoch {
	return record.Epoch{ConfigVersion: version, N: n, Owner: peer.ID(owner), Instance: storeOf(owner)}
}

// head is the seq-th of e's owner, on top of others.
func head(e record.Epoch, seq uint64, on ...*Head) *Head {
	v := record.Vector{record.InstanceKey(e.Instance): seq}
	for _, o := range on {
		v = v.Merge(o.Vector)
	}
	sum, err := multihash.Sum(fmt.Append(nil, e, seq, len(on)), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return NewHead(cid.NewCidV1(cid.Raw, sum), e, v, []Write{{Instance: "w", Seq: seq}})
}

func frontier(heads ...*Head) (f Frontier) {
	for _, h := range heads {
		f = f.Add(h)
	}
	return f
}

// step gives an event after d.
func (r *rig) step(d time.Duration, ev Event) []Action {
	r.now += d
	acts := r.m.Step(r.now, ev)
	for i, a := range acts {
		if _, ok := a.(Persist); ok && i > 0 {
			r.t.Errorf("Persist after %T", acts[0])
		}
	}
	return acts
}

// run ticks until d has passed, as a shell would.
func (r *rig) run(d time.Duration) (all []Action) {
	for end := r.now + d; r.now < end; {
		next := min(r.m.Next(), end)
		if next <= r.now {
			r.t.Fatalf("Next is %v at %v", next, r.now)
		}
		all = append(all, r.step(next-r.now, Tick{})...)
	}
	return all
}

func (r *rig) hear(from string, msg Message) []Action {
	return r.step(ms, Received{From: peer.ID(from), Instance: key(from), Message: msg})
}

// beacon lets a voter speak.
func (r *rig) beacon(from string, s State) []Action {
	r.no++
	if s.ConfigVersion == 0 {
		s.ConfigVersion, s.ConfigHash = r.m.cfg.Version, r.m.cfg.Hash
	}
	return r.hear(from, &Beacon{Stamp: Stamp{1, r.no}, Interval: h, State: &s})
}

// lead makes the member primary of a set that has been silent, and lets the others follow.
func (r *rig) lead(others string) []Action {
	r.t.Helper()
	r.m.suspect()
	acts := r.run(2 * h)
	for _, v := range others {
		if r.m.cfg.Mode == Strict {
			acts = append(acts, r.hear(string(v), Vote{Want: r.m.cand.want})...)
		}
	}
	if r.m.Role() != Primary {
		r.t.Fatalf("%v, not primary", r.m.Role())
	}
	for _, v := range others {
		acts = append(acts, r.beacon(string(v), State{Epoch: r.m.disk.Epoch})...)
	}
	return acts
}

// publish proposes and makes.
func (r *rig) publish(id uint64) (*Head, []Action) {
	r.t.Helper()
	acts := r.step(ms, Proposed{ID: id})
	makes := pick[Make](acts)
	if len(makes) != 1 {
		r.t.Fatalf("%d plans", len(makes))
	}
	made, more := r.make(makes[0].Plan)
	return made, append(acts, more...)
}

func (r *rig) make(p *Plan) (*Head, []Action) {
	made := NewHead(head(p.Epoch, p.Seq).ID, p.Epoch, p.Vector, nil)
	return made, r.step(ms, Made{Plan: p, Head: made})
}

// pick is the actions of one type.
func pick[T Action](acts []Action) (out []T) {
	for _, a := range acts {
		if a, ok := a.(T); ok {
			out = append(out, a)
		}
	}
	return out
}

// sent is the messages of one type sent to a peer.
func sent[T Message](acts []Action, to string) (out []T) {
	for _, s := range pick[Send](acts) {
		if m, ok := s.Message.(T); ok && s.To == peer.ID(to) {
			out = append(out, m)
		}
	}
	return out
}

// said is the messages of one type sent to all.
func said[T Message](acts []Action) (out []T) {
	for _, b := range pick[Broadcast](acts) {
		if m, ok := b.Message.(T); ok {
			out = append(out, m)
		}
	}
	return out
}

func (r *rig) want(role Role) {
	r.t.Helper()
	if r.m.Role() != role {
		r.t.Fatalf("%v at %v, want %v", r.m.Role(), r.now, role)
	}
}

func hasAlarm(acts []Action, k AlarmKind) bool {
	return slices.ContainsFunc(pick[Alarm](acts), func(a Alarm) bool { return a.Kind == k })
}
