package council

import (
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/beacon"
)

const (
	// maxVoices is how many starts of one peer are told apart: the present one, the one before, whose beacons may be
	// late, and that of somebody who has the peer's identity too.
	maxVoices = 3
	// lateBeacons is how far behind the newest a beacon may come without being somebody else's: the core's bound.
	lateBeacons = 32
	// silentFails is TFail in intervals, as in node/election.
	silentFails = 4
)

// talker is a peer that is a voter somewhere in the cohort.
type talker struct {
	id     peer.ID
	voices []*voice
}

// voice is what was heard of one start of a peer. Its beacons are ordered by their numbers.
type voice struct {
	boot     uint64
	no       uint64 // of the newest beacon
	heard    time.Duration
	interval time.Duration
	stray    strays

	announced uint64 // version of the peer's table
	version   uint64 // up to which the rows are complete
	rows      map[cid.Cid]*heardRow

	pulling bool
	retry   time.Duration // no pull before
}

// strays are the beacons that were far behind the newest one: how many, and the last.
type strays struct{ count, no uint64 }

// heardRow is a row of a peer's table for a set that is seated here.
type heardRow struct {
	version uint64
	at      uint64          // the row is right in this version of the table
	row     *row            // nil: the seat was given up
	state   *election.State // of row; nil until all of its heads are known
	shown   *election.State // the last state
	asked   time.Duration   // heads of row were first pulled; 0 = not yet
}

// voice gives the one of boot, a new one if there is none. now is to be set by the caller.
func (t *talker) voice(boot uint64) *voice {
	for _, v := range t.voices {
		if v.boot == boot {
			return v
		}
	}
	v := &voice{boot: boot, rows: map[cid.Cid]*heardRow{}}
	if len(t.voices) == maxVoices {
		oldest := slices.MinFunc(t.voices, func(a, b *voice) int { return int(a.heard - b.heard) })
		t.voices = slices.DeleteFunc(t.voices, func(v *voice) bool { return v == oldest })
	}
	t.voices = append(t.voices, v)
	return v
}

// take takes a beacon in. It gives the sets among those wanted whose rows changed.
func (v *voice) take(m beacon.Message, now time.Duration, wanted func(cid.Cid) bool) (changed []cid.Cid) {
	switch {
	case m.No > v.no:
		v.no, v.heard = m.No, now
		if m.Interval > 0 {
			v.interval = m.Interval
		}
	case v.no-m.No > lateBeacons:
		v.stray = strays{count: v.stray.count + 1, no: m.No}
	}
	v.announced = max(v.announced, m.Table)
	changed = v.apply(m.Seats, m.Table, wanted)
	if m.Since <= v.version {
		v.version = max(v.version, m.Table)
	}
	return changed
}

// apply takes rows in that are right in version at of the table.
func (v *voice) apply(seats []beacon.Seat, at uint64, wanted func(cid.Cid) bool) (changed []cid.Cid) {
	for _, s := range seats {
		if !wanted(s.Set) {
			continue
		}
		r := v.rows[s.Set]
		switch {
		case r == nil:
			r = &heardRow{}
			v.rows[s.Set] = r
		case s.Version == r.version:
			r.at = max(r.at, at)
			continue
		case s.Version < r.version:
			continue
		}
		r.version, r.at, r.row, r.state, r.asked = s.Version, at, nil, nil, 0
		if len(s.Data) > 0 {
			r.row, _ = decodeRow(s.Data) // what cannot be read is no seat
		}
		changed = append(changed, s.Set)
	}
	return changed
}

// gap tells whether rows are missing.
func (v *voice) gap() bool { return v.version < v.announced }

// current tells whether r is what the peer last said.
func (v *voice) current(r *heardRow) bool { return !v.gap() || r.at >= v.announced }

// live tells whether the peer was heard within its TFail.
func (v *voice) live(now time.Duration) bool { return now-v.heard <= silentFails*v.interval }

// ear is what a member has heard of a talker.
type ear struct {
	talker  *talker
	heard   []*hearing
	pulling bool          // heads
	retry   time.Duration // no pull before
}

// hearing is what a member has heard of a voice.
type hearing struct {
	voice  *voice
	row    *heardRow
	no     uint64
	stray  uint64
	stated bool

	beacon election.Beacon // told last; made once, for the 8,000 a second that bring nothing new
	event  election.Event  // of it
}

// of gives what was heard of v.
func (e *ear) of(v *voice, set cid.Cid) *hearing {
	for _, h := range e.heard {
		if h.voice == v {
			if h.row == nil {
				h.row = v.rows[set]
			}
			return h
		}
	}
	e.heard = slices.DeleteFunc(e.heard, func(h *hearing) bool { return !slices.Contains(e.talker.voices, h.voice) })
	h := &hearing{voice: v, row: v.rows[set]}
	e.heard = append(e.heard, h)
	return h
}

// tell gives the event that the newest beacon is for a member. It is good until the next call.
func (h *hearing) tell(from peer.ID, s *election.State) election.Event {
	r, ok := h.event.(election.Received)
	if !ok || r.Instance != h.row.row.instance {
		h.event = election.Received{From: from, Instance: h.row.row.instance, Message: &h.beacon}
	}
	h.beacon = election.Beacon{Stamp: election.Stamp{Boot: h.voice.boot, No: h.voice.no}, Interval: h.voice.interval, State: s}
	return h.event
}
