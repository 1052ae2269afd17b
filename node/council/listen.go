package council

import (
	"context"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/beacon"
)

// heard is the bus's callback.
func (c *cohort) heard(h beacon.Heard) {
	m := h.Message
	if m.Interval <= 0 && len(m.Seats) == 0 && len(m.Asks) == 0 {
		return // it only announces heads
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.talkers[h.From]
	if t == nil {
		c.stranger(h)
		return
	}
	c.council.dialer.heard(h.From)
	v := t.voice(m.Boot)
	if v.interval == 0 {
		v.interval, v.heard = c.interval, c.now()
	}
	c.changed(t, v, v.take(m, c.now(), c.seatedHere))
	for _, a := range m.Asks {
		if member := c.members[a.Set]; member != nil {
			if instance, s, err := decodeAsk(a.Data); err == nil {
				member.leaveLetter(func() { member.suspected(h.From, instance, s) })
			}
		}
	}
	c.pull(t, v)
}

func (c *cohort) seatedHere(set cid.Cid) bool { return c.members[set] != nil }

// changed lets members hear of rows at once.
func (c *cohort) changed(t *talker, v *voice, sets []cid.Cid) {
	for _, set := range sets {
		m := c.members[set]
		if slices.ContainsFunc(m.box.ears, func(e *ear) bool { return e.talker == t }) {
			m.kick()
		} else if r := v.rows[set].row; r != nil {
			c.newer(m, t.id, r)
		}
	}
}

// stranger hears a peer that is no voter as far as is known here. It may be one in a newer config.
func (c *cohort) stranger(h beacon.Heard) {
	for _, s := range h.Message.Seats {
		m := c.members[s.Set]
		if m == nil || len(s.Data) == 0 {
			continue
		}
		if r, err := decodeRow(s.Data); err == nil {
			c.newer(m, h.From, r)
		}
	}
}

// newer tells a member of a row of somebody who is no voter, for the config that the row names.
func (c *cohort) newer(m *member, from peer.ID, r *row) {
	b := &election.Beacon{Stamp: election.Stamp{Boot: 1, No: 1}, State: &election.State{
		ConfigVersion: r.state.ConfigVersion, ConfigHash: r.state.ConfigHash,
	}}
	if m.box.frames >= maxFrames {
		return
	}
	m.box.frames++
	m.leaveLetter(func() {
		if m.own.core != nil && m.own.core.Config().Compare(election.Config{Version: r.state.ConfigVersion, Hash: r.state.ConfigHash}) < 0 {
			m.step(election.Received{From: from, Instance: r.instance, Message: b})
		}
	})
}

// pull asks for the rows that were missed. The lock is held.
func (c *cohort) pull(t *talker, v *voice) {
	if !v.gap() || v.pulling || c.now() < v.retry {
		return
	}
	since := v.version
	v.pulling = c.spawn(func() {
		ctx, cancel := context.WithTimeout(c.council.life, pullTimeout)
		defer cancel()
		version, seats, err := c.council.cfg.Wire.Table(ctx, t.id, c.topic, since)
		rows := make([]beacon.Seat, len(seats))
		for i, s := range seats {
			rows[i] = beacon.Seat(s)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		v.pulling = false
		if err != nil || version>>versionBits != v.boot || version <= since {
			c.council.cfg.Log.Debug("table could not be pulled", "peer", t.id, "err", err)
			v.retry = c.now() + c.interval
			return
		}
		c.changed(t, v, v.apply(rows, version, c.seatedHere))
		v.version = max(v.version, version)
		c.pull(t, v)
	})
}

// joined is the bus's callback.
func (c *cohort) joined(p peer.ID) {
	c.council.dialer.joined(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.speech.full = true
	c.hurry()
}

// seated fits ears and talkers to a member's voters. here tells whether its own store is one.
func (c *cohort) seated(m *member, voters []peer.ID, here bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.box.gone {
		return
	}
	old := m.box.ears
	m.box.ears = nil
	for _, p := range voters {
		t := c.talkers[p]
		if t == nil {
			t = &talker{id: p}
			c.talkers[p] = t
		}
		i := slices.IndexFunc(old, func(e *ear) bool { return e.talker == t })
		if i >= 0 {
			m.box.ears = append(m.box.ears, old[i])
		} else {
			m.box.ears = append(m.box.ears, &ear{talker: t})
		}
	}
	for _, e := range m.box.ears {
		e.retry = 0 // a config may make heads known
	}
	m.box.urgent = true
	c.council.dialer.want(m, voters, here)
	c.drop(old)
	c.hurry() // the pace may be another one
}

// drop forgets talkers that no member listens to. The lock is held.
func (c *cohort) drop(ears []*ear) {
	for _, e := range ears {
		used := false
		for _, m := range c.members {
			if used = slices.ContainsFunc(m.box.ears, func(x *ear) bool { return x.talker == e.talker }); used {
				break
			}
		}
		if !used {
			delete(c.talkers, e.talker.id)
		}
	}
}

// add seats a member: rows of its set that were heard before were not kept, so all are pulled anew.
func (c *cohort) add(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[m.set] = m
	for _, t := range c.talkers {
		for _, v := range t.voices {
			v.version = 0
		}
	}
	c.start()
	m.start()
}

// remove unseats a member. What it gives is closed when the member has come to rest.
func (c *cohort) remove(m *member) (rest <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.members, m.set)
	m.box.gone = true
	c.queue.remove(m)
	if !m.box.busy {
		close(m.box.rest)
	}
	ears := m.box.ears
	m.box.ears = nil
	c.drop(ears)
	c.council.dialer.want(m, nil, false)
	for _, t := range c.talkers {
		for _, v := range t.voices {
			delete(v.rows, m.set)
		}
	}
	if c.table.set(m.set, nil) {
		c.hurry()
	}
	return m.box.rest
}

// start begins the loop when the council runs. The lock is held.
func (c *cohort) start() {
	if c.running || !c.council.isRunning() {
		return
	}
	c.running = true
	c.council.group.Go(c.run)
	for _, m := range c.members {
		m.start()
	}
}

// end ends the loop.
func (c *cohort) end() {
	c.mu.Lock()
	was := c.running
	c.running = false
	c.mu.Unlock()
	if was {
		close(c.stop)
		<-c.ended
	}
}
