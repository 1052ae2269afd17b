package council

import (
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
)

// perform carries out what the core said, in order, and shows what has changed.
func (m *member) perform() {
	for len(m.own.acts) > 0 {
		acts := oneWrite(m.own.acts)
		m.own.acts = nil
		for _, a := range acts {
			p, ok := a.(election.Persist)
			if !ok {
				m.do(a)
			} else if err := m.own.disk.save(p.State, m.heads.sealed); err != nil {
				m.fail(err)
				return
			} else {
				m.own.mend.pause = 0
			}
		}
	}
	if m.own.core != nil {
		m.look()
		m.forget()
	}
}

// oneWrite writes the last state in the place of the first: what is on disk may be ahead of what was sent, as after
// a crash before it was.
func oneWrite(acts []election.Action) []election.Action {
	first := -1
	out := acts[:0]
	for _, a := range acts {
		if _, ok := a.(election.Persist); ok {
			if first >= 0 {
				out[first] = a
				continue
			}
			first = len(out)
		}
		out = append(out, a)
	}
	return out
}

func (m *member) do(a election.Action) {
	switch a := a.(type) {
	case election.Broadcast:
		m.broadcast(a.Message)
	case election.Send:
		m.send(a.To, a.Message)
	case election.Fetch:
		m.seat.Fetch(a.Head, m.heads.sealed(a.Head.ID), a.From)
	case election.Make:
		m.seat.Make(a.Plan, m.heads.sealed)
	case election.Accepted:
		if a.Plan.Kind == election.Publish {
			delete(m.own.open, a.Plan.Proposal)
		}
		m.seat.Accepted(a.Plan, a.Head, m.heads.sealed(a.Head.ID))
	case election.Refused:
		delete(m.own.open, a.Proposal)
		m.seat.Refused(a.Proposal, a.Primary)
	case election.Durable:
		m.seat.Durable(a.Head)
	case election.HandedOver:
		m.handedOver(a.OK)
	case election.FetchConfig:
		m.seat.FetchConfig(a.From)
	case election.Redial:
		m.cohort.council.dialer.silent(a.Peer)
	case election.Alarm:
		m.log.Warn("alarm", "kind", a.Kind, "peer", a.Peer, "heads", a.Heads)
		m.alarm(a)
	}
}

func (m *member) broadcast(msg election.Message) {
	switch msg := msg.(type) {
	case *election.Beacon:
		if msg.State == m.own.said {
			m.cohort.say(m, nil)
			return
		}
		data, err := encodeRow(m.seat.Instance(), msg.State)
		if err != nil {
			m.log.Error("state cannot be told", "err", err)
			return
		}
		m.own.said = msg.State
		m.cohort.say(m, data)
	case election.Suspect:
		data, err := encodeAsk(m.seat.Instance(), msg)
		if err != nil {
			m.log.Error("question cannot be asked", "err", err)
			return
		}
		m.cohort.ask(m.set, data)
	}
}

func (m *member) send(to peer.ID, msg election.Message) {
	data, err := encodeMessage(msg)
	if err != nil {
		m.log.Error("message cannot be sent", "err", err)
		return
	}
	m.cohort.council.cfg.Wire.Send(to, wirecouncil.Frame{Set: m.set, Instance: m.seat.Instance(), Payload: data})
}

// suspected hears a question. A primary's answer must not wait for the next regular beacon, even if the core's
// own is due just now.
func (m *member) suspected(from peer.ID, instance string, s election.Suspect) {
	m.step(election.Received{From: from, Instance: instance, Message: s})
	if m.own.core != nil && m.own.core.Role() == election.Primary {
		m.cohort.answer(m.set)
	}
}

// madeHead answers a plan.
func (m *member) madeHead(p *election.Plan, sealed []byte, err error) {
	made := election.Made{Plan: p}
	if err == nil {
		made.Head, err = m.seat.Head(sealed)
	}
	if err != nil {
		m.log.Error("head could not be made", "err", err)
		made.Head = nil
	} else {
		m.heads.add(made.Head, sealed)
	}
	m.step(made)
}

// fetched ends a fetch. A head that nobody has told the council of is not its business.
func (m *member) fetched(f election.Fetched) {
	if f.Head != nil && m.heads.find(f.Head.ID) != nil {
		m.step(f)
	}
}

// reconfigured takes the seat's config in.
func (m *member) reconfigured() {
	if m.own.core == nil {
		return // it is asked for when the member is made anew
	}
	cfg := m.seat.Config()
	if cfg.Compare(m.own.core.Config()) == 0 {
		return
	}
	ev := election.ConfigChanged{Config: cfg}
	p := m.own.core.Persistent()
	if cut(cfg, p) {
		known, have := m.spare(cfg, p)
		ev.Known, ev.Have = &known, &have
	}
	m.step(ev)
	m.seated()
}

// cut tells whether cfg refuses any of what p knows.
func cut(cfg election.Config, p election.Persistent) bool {
	return slices.ContainsFunc(p.Known, cfg.Refuses) || slices.ContainsFunc(p.Have, cfg.Refuses)
}

// spare gives what the cuts of cfg leave of p's frontiers, with what lay below.
func (m *member) spare(cfg election.Config, p election.Persistent) (known, have election.Frontier) {
	archive, ok := m.seat.(Archive)
	below := func(f election.Frontier, complete bool) (sealed [][]byte) {
		for _, h := range f {
			if ok && cfg.Refuses(h) {
				sealed = append(sealed, archive.Uncut(cfg, h, complete)...)
			}
		}
		return sealed
	}
	known, have = cfg.Spare(p.Known, p.Have, m.verified(below(p.Have, true)))
	for _, h := range m.verified(below(p.Known, false)) {
		if !cfg.Refuses(h) {
			known = known.Add(h)
		}
	}
	return known, have
}

// held are the heads that the seat has on disk.
func (m *member) held() []*election.Head {
	if archive, ok := m.seat.(Archive); ok {
		return m.verified(archive.Heads())
	}
	return nil
}

// verified takes heads of the seat's own in.
func (m *member) verified(sealed [][]byte) (out []*election.Head) {
	for _, b := range sealed {
		h, err := m.seat.Head(b)
		if err != nil {
			m.log.Error("head on disk is not valid", "err", err)
			continue
		}
		m.heads.add(h, b)
		out = append(out, h)
	}
	return out
}

// seated fits the member's surroundings to its core's config.
func (m *member) seated() {
	cfg := m.own.core.Config()
	var voters []peer.ID
	here := false
	for _, v := range cfg.Voters {
		if v.ID != m.cohort.council.cfg.Self {
			voters = append(voters, v.ID)
		} else {
			here = v.Instance == "" || v.Instance == m.key
		}
	}
	m.cohort.seated(m, voters, here)
	if !here {
		m.farewell(cfg)
	}
}

// farewell is the row of a store that is no voter any more: the others may not have heard why.
func (m *member) farewell(cfg election.Config) {
	s := &election.State{ConfigVersion: cfg.Version, ConfigHash: cfg.Hash, Epoch: m.own.core.Persistent().Epoch}
	data, err := encodeRow(m.seat.Instance(), s)
	if err != nil {
		m.log.Error("state cannot be told", "err", err)
	}
	m.cohort.replace(m, data)
}

// forget drops heads that nothing names any more.
func (m *member) forget() {
	if !m.heads.full() {
		return
	}
	named := map[cid.Cid]bool{}
	p := m.own.core.Persistent()
	m.cohort.mu.Lock()
	frontiers := []election.Frontier{p.Known, p.Have, p.Durable, p.Waived}
	for _, e := range m.box.ears {
		for _, h := range e.heard {
			if h.row != nil && h.row.state != nil {
				frontiers = append(frontiers, h.row.state.Known, h.row.state.Have, h.row.state.Durable)
			}
		}
	}
	m.cohort.mu.Unlock()
	for _, f := range frontiers {
		for _, h := range f {
			named[h.ID] = true
		}
	}
	m.heads.prune(named)
}

// leave is a handover on the node's way out.
type leave struct {
	done  chan struct{} // closed when nothing is left to wait for; nil = not leaving
	until time.Duration // for the successor to show itself; 0 = not handed over
}

// handedOver ends a handover. On the way out the node stays until the successor shows itself: what told it so
// may be on its way still.
func (m *member) handedOver(ok bool) {
	m.seat.HandedOver(ok)
	switch l := &m.own.leave; {
	case l.done == nil:
	case ok:
		l.until = m.cohort.now() + silentFails*m.cohort.interval
	default:
		close(l.done)
		*l = leave{}
	}
}

// handOver hands the role over if there is anybody to hand it to. done is closed in the end.
func (m *member) handOver(done chan struct{}) {
	core := m.own.core
	if core == nil || core.Role() != election.Primary || core.Backup() == "" || m.own.leave.done != nil {
		close(done)
		return
	}
	m.own.leave = leave{done: done}
	m.step(election.HandoverRequested{})
}
