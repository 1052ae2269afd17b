package council

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// seat is a set at a node; what is on its disk survives the council.
type seat struct {
	n     *node
	set   cid.Cid
	mu    sync.Mutex // guards what follows
	fresh bool
	cfg   election.Config
	heads map[cid.Cid][]byte // with their blocks
	log   []string
	views []View
	slow  time.Duration // fetches take
	hang  chan struct{} // Changed waits for it
}

type fakeHead struct {
	CV, N    uint64
	Owner    string
	Instance []byte
	Vector   record.Vector
	Writes   []election.Write
	Content  []uint64 // proposals
}

func (s *seat) Set() cid.Cid     { return s.set }
func (s *seat) Topic() string    { return topic }
func (s *seat) Instance() []byte { return instance(s.n.i, s.n.store) }

func (s *seat) Fresh() bool { return s.fresh }

func (s *seat) Config() election.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

func (s *seat) Head(sealed []byte) (*election.Head, error) {
	var f fakeHead
	if err := json.Unmarshal(sealed, &f); err != nil {
		return nil, err
	}
	if f.CV > s.Config().Version {
		return nil, errors.New("config is not known")
	}
	e := record.Epoch{ConfigVersion: f.CV, N: f.N, Owner: peer.ID(f.Owner), Instance: f.Instance}
	return election.NewHead(blockstore.Sum(cid.Raw, sealed), e, f.Vector, f.Writes), nil
}

// Heads implements Archive.
func (s *seat) Heads() (out [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.heads))
}

// Uncut implements Archive.
func (s *seat) Uncut(c election.Config, h *election.Head, _ bool) (out [][]byte) {
	for _, b := range s.Heads() {
		if old, err := s.Head(b); err == nil && h.Covers(old) && !c.Refuses(old) {
			out = append(out, b)
		}
	}
	return out
}

func (s *seat) has(id cid.Cid) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heads[id]
}

func (s *seat) Fetch(h *election.Head, sealed []byte, from []peer.ID) {
	co := s.n.co
	time.AfterFunc(5*ms+s.slow, func() {
		got := s.has(h.ID) != nil
		for _, o := range s.n.w.nodes {
			if o != s.n && (len(from) == 0 || slices.Contains(from, o.id)) && s.n.w.both(s.n.i, o.i) && o.seats[s.set] != nil && o.seats[s.set].has(h.ID) != nil {
				got = true
			}
		}
		if !got {
			return
		}
		s.mu.Lock()
		s.heads[h.ID] = sealed
		s.mu.Unlock()
		co.Tell(s.set, election.Fetched{Head: h})
	})
}

func (s *seat) Make(p *election.Plan, sealed func(cid.Cid) []byte) {
	co := s.n.co
	time.AfterFunc(2*ms, func() {
		f := fakeHead{CV: p.Epoch.ConfigVersion, N: p.Epoch.N, Owner: string(p.Epoch.Owner), Instance: p.Epoch.Instance, Vector: p.Vector}
		for _, h := range p.Parents {
			b := sealed(h.ID)
			if b == nil {
				s.n.w.t.Errorf("node %d: parent %s is not known", s.n.i, h.ID)
			}
			f.Content = append(f.Content, content(b)...)
		}
		if p.Kind == election.Publish {
			f.Content = append(f.Content, p.Proposal)
			f.Writes = []election.Write{{Instance: fmt.Sprint("writer", p.Proposal/1000), Seq: p.Proposal % 1000}}
		}
		slices.Sort(f.Content)
		f.Content = slices.Compact(f.Content)
		b, err := json.Marshal(f)
		if err != nil {
			panic(err)
		}
		s.mu.Lock()
		s.heads[blockstore.Sum(cid.Raw, b)] = b
		s.mu.Unlock()
		co.MadeHead(s.set, p, b, nil)
	})
}

func content(sealed []byte) []uint64 {
	var f fakeHead
	if err := json.Unmarshal(sealed, &f); err != nil {
		panic(err)
	}
	return f.Content
}

func (s *seat) FetchConfig(from peer.ID) {
	co := s.n.co
	time.AfterFunc(3*hop, func() {
		o := s.n.w.at(from)
		if !s.n.w.both(s.n.i, o.i) {
			return
		}
		s.setConfig(o.seats[s.set].Config())
		co.Reconfigured(s.set)
	})
}

func (s *seat) setConfig(c election.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Compare(s.cfg) > 0 {
		s.cfg = c
	}
}

func (s *seat) note(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf(format, a...))
}

func (s *seat) noted(line string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.log, line)
}

func (s *seat) Accepted(p *election.Plan, h *election.Head, sealed []byte) {
	if p.Kind == election.Publish {
		s.note("accepted %d", p.Proposal)
	}
	if sealed == nil {
		s.n.w.t.Errorf("accepted without bytes")
	}
}
func (s *seat) Refused(id uint64, primary peer.ID) { s.note("refused %d", id) }
func (s *seat) Durable(h *election.Head)           { s.note("durable %v", content(s.has(h.ID))) }
func (s *seat) HandedOver(ok bool)                 { s.note("handed over %v", ok) }

func (s *seat) Changed(v View) {
	s.mu.Lock()
	if !s.n.w.silent {
		s.views = append(s.views, v)
	}
	hang := s.hang
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
}
