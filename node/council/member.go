package council

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

const (
	// maxFrames is how many frames wait for a member. Frames may get lost.
	maxFrames = 256
	// firstMend and maxMend are the pauses between attempts to make a member anew whose disk failed; they double.
	firstMend, maxMend = time.Second, 30 * time.Second
)

// member is one seat with its core.
type member struct {
	cohort *cohort
	seat   Seat
	set    cid.Cid
	key    string // of the store, record.InstanceKey
	log    *slog.Logger
	heads  heads
	own    owned
	box    box
}

// owned is what only the member's present owner touches: its goroutine while it is busy, else whoever
// holds the cohort's lock.
type owned struct {
	core   *election.Member // nil while the disk has failed
	disk   *store           // nil with it
	acts   []election.Action
	said   *election.State // what the row says
	spoke  time.Duration   // the core's last beacon
	open   map[uint64]bool // proposals that are not answered
	acked  map[peer.ID]election.Ack
	alarms []election.Alarm
	shown  gist
	// what pending gave last, made once
	beacons []beaconHeard
	mend    mend
	leave   leave
	pulls   int // of heads for frames
}

// mend says when a failed disk is tried again.
type mend struct{ pause, at time.Duration }

// box is what others leave for the member; the cohort's lock guards it.
type box struct {
	letters []func()
	frames  int // of the letters
	urgent  bool
	busy    bool
	since   time.Duration // busy with the same letters
	gone    bool
	rest    chan struct{} // closed when it is gone and not busy
	due     time.Duration
	place   int // in the cohort's queue; -1 = not in it
	ears    []*ear
	view    *View
}

// post leaves a letter, which the member's owner calls. It tells whether the member is there to read it.
func (m *member) post(letter func()) bool {
	m.cohort.mu.Lock()
	defer m.cohort.mu.Unlock()
	return m.leaveLetter(letter)
}

// leaveLetter is post for who holds the cohort's lock.
func (m *member) leaveLetter(letter func()) bool {
	if m.box.gone {
		return false
	}
	m.box.letters = append(m.box.letters, letter)
	m.start()
	return true
}

// postFrame is post for what a voter sends, which may get lost.
func (m *member) postFrame(from peer.ID, letter func()) {
	m.cohort.mu.Lock()
	defer m.cohort.mu.Unlock()
	voter := slices.ContainsFunc(m.box.ears, func(e *ear) bool { return e.talker.id == from })
	if voter && m.box.frames < maxFrames {
		m.box.frames++
		m.leaveLetter(letter)
	}
}

// start gives the member a goroutine, unless it has one. The cohort's lock is held.
func (m *member) start() {
	if m.box.busy || m.box.gone || !m.cohort.running {
		return
	}
	m.box.busy, m.box.since = true, m.cohort.now()
	m.cohort.queue.remove(m)
	m.cohort.council.group.Go(m.work)
}

// kick makes an idle member hear what is new. The cohort's lock is held.
func (m *member) kick() {
	m.box.urgent = true
	if !m.box.busy && !m.box.gone && m.cohort.running {
		m.idle(m.cohort.now())
	}
}

// idle steps a member that is not busy, and gives it a goroutine if there is anything to do but to say the same
// again. The cohort's lock is held.
func (m *member) idle(now time.Duration) {
	if m.own.core == nil || len(m.box.letters) > 0 {
		m.start()
		return
	}
	m.hear(m.pending(), now)
	if m.gist(now) == m.own.shown && m.quiet(now) {
		m.own.acts = m.own.acts[:0]
		m.cohort.schedule(m, m.due(now))
		return
	}
	m.start()
}

// due is when the core is to be stepped: when it says, but for a core at rest. Unless it is about an election, that is a
// moment when others are stepped too. The cohort's lock is held.
func (m *member) due(now time.Duration) time.Duration {
	due := m.own.core.Next()
	if m.own.core.Role() == election.Candidate || due == never {
		return due
	}
	if n := m.rest(now); n > 0 {
		due = max(due, now+n*m.cohort.interval)
	}
	step := m.cohort.interval / gathering
	return (due + step - 1) / step * step
}

const (
	// restIntervals is how long a core at rest is not stepped. It would only look around and say that it is there, which
	// the cohort does for it. The voters that it has been told of spoke within as many intervals, so that it is stepped
	// before it can suspect any: their TFail is four.
	restIntervals = 2
	// aloneIntervals is that for a set without other voters.
	aloneIntervals = 8
)

// rest is for how many intervals the member has nothing to do of its own accord; 0 = none. All of its voters have
// just spoken, or were given up long ago; there is a primary, and all heads are where they should be. The cohort's
// lock is held.
func (m *member) rest(now time.Duration) time.Duration {
	p := m.own.core.Persistent()
	if len(p.Known) > 1 || !p.Known.Equal(p.Have) || len(m.own.open) > 0 || m.own.leave.done != nil {
		return 0
	}
	led := m.own.core.Role() == election.Primary
	if len(m.box.ears) == 0 && led {
		return aloneIntervals
	}
	if !p.Have.Equal(p.Durable) {
		return 0
	}
	for _, e := range m.box.ears {
		r, heard := m.speaker(e)
		if r == nil {
			continue
		}
		switch age := now - heard.heard; {
		case age <= restIntervals*heard.interval:
			led = led || r.row.state.Role == election.Primary
		case age <= 2*silentFails*heard.interval:
			return 0
		}
	}
	if !led {
		return 0
	}
	return restIntervals
}

// quiet tells whether all that is to be done is to say what the row says already, and does so. The cohort's lock is
// held.
func (m *member) quiet(now time.Duration) bool {
	for _, a := range m.own.acts {
		b, ok := a.(election.Broadcast)
		if !ok {
			return false
		}
		if said, ok := b.Message.(*election.Beacon); !ok || said.State != m.own.said {
			return false
		}
	}
	if len(m.own.acts) > 0 {
		m.spoken(now, false)
	}
	return true
}

// spoken notes that the core has sent a beacon. One that comes before its time, or with news, does not wait for the
// cohort's. The cohort's lock is held.
func (m *member) spoken(now time.Duration, news bool) {
	if news || now-m.own.spoke < m.cohort.interval*8/10 { // regular ones are nine tenths apart
		m.cohort.hurry()
	}
	m.own.spoke = now
}

// hear gives the core beacons at the times they came, and a tick if one is due then.
func (m *member) hear(beacons []beaconHeard, now time.Duration) {
	for _, b := range beacons {
		m.own.acts = append(m.own.acts, m.own.core.Step(b.at, b.event)...)
	}
	if m.own.core.Next() <= now {
		m.own.acts = append(m.own.acts, m.own.core.Step(now, election.Tick{})...)
	}
}

// step gives the core an event. While the disk has failed there is no core, and whoever waits is told no.
func (m *member) step(ev election.Event) {
	if p, ok := ev.(election.Proposed); ok {
		m.own.open[p.ID] = true
	}
	if m.own.core != nil {
		m.own.acts = append(m.own.acts, m.own.core.Step(m.cohort.now(), ev)...)
		return
	}
	switch ev.(type) {
	case election.Proposed:
		m.refuseAll()
	case election.HandoverRequested:
		m.handedOver(false)
	}
}

// work is the member's goroutine: it ends when nothing is left to do.
func (m *member) work() {
	for {
		letters, beacons, more := m.take()
		if !more {
			return
		}
		now := m.cohort.now()
		if m.own.core == nil && now >= m.own.mend.at {
			m.makeAnew()
		}
		if m.own.core != nil {
			m.hear(beacons, now)
		}
		for _, letter := range letters {
			letter()
		}
		m.perform()
	}
}

// take gives what there is to do. If that is nothing, the member is not busy any more.
func (m *member) take() (letters []func(), beacons []beaconHeard, more bool) {
	m.cohort.mu.Lock()
	defer m.cohort.mu.Unlock()
	now, next := m.cohort.now(), m.own.mend.at
	if m.own.core != nil {
		next = m.own.core.Next()
	}
	m.cohort.unmute(m)
	more = len(m.box.letters) > 0 || m.box.urgent || len(m.own.acts) > 0 || next <= now
	if m.box.gone || !more {
		m.box.busy = false
		switch {
		case m.box.gone:
			close(m.box.rest)
		case m.own.core != nil:
			m.cohort.schedule(m, m.due(now))
		default:
			m.cohort.schedule(m, next)
		}
		return nil, nil, false
	}
	m.box.since = now
	letters, m.box.letters, m.box.frames = m.box.letters, nil, 0
	m.box.urgent = false
	if m.own.core != nil {
		beacons = m.pending()
	}
	return letters, beacons, true
}

// open makes the core from what the disk holds. Errors: slots.ErrLost, those of the disk, of the seat's heads.
func (m *member) open(c *Council) error {
	disk, value, err := c.openStore(c.cfg.Dir, m.set)
	if err != nil {
		return err
	}
	p, err := m.restore(disk, value)
	if err == nil && string(p.Instance) != string(m.seat.Instance()) {
		err = fmt.Errorf("%w: it is that of store %x", ErrOtherStore, p.Instance)
	}
	if err != nil {
		disk.close()
		return err
	}
	cfg := m.seat.Config()
	if cut(cfg, p) { // the config came to disk, and the node stopped
		p.Known, p.Have = m.spare(cfg, p)
	}
	if value != nil && disk.file.Recovered() {
		m.log.Warn("the newest state was damaged: the one before it is used")
		p = beyond(p, c.cfg.Self, cfg, m.held())
	}
	opt := election.Options{Interval: c.interval(), Seed: c.seed(m.set.KeyString())}
	m.own.disk = disk
	m.own.core = election.New(c.now(), c.cfg.Self, cfg, p, opt)
	return nil
}

// restore is what the disk holds. Without a state file there may be heads that were made before there was one.
func (m *member) restore(disk *store, value []byte) (election.Persistent, error) {
	if value != nil {
		return disk.load(value, func(sealed []byte) (*election.Head, error) {
			h, err := m.seat.Head(sealed)
			if err == nil {
				m.heads.add(h, sealed)
			}
			return h, err
		})
	}
	p := election.Persistent{Instance: m.seat.Instance(), Fresh: m.seat.Fresh()}
	for _, h := range m.held() {
		p.Known, p.Have = p.Known.Add(h), p.Have.Add(h)
		p.Seq = max(p.Seq, h.Vector[m.key])
		if h.Epoch.Compare(p.Epoch) > 0 {
			p.Epoch = h.Epoch
		}
	}
	return p, nil
}

// beyond is p after whatever the one save that is missing may have said: what lies on disk was acknowledged, numbers
// of heads and reigns are not given again, and nothing is acknowledged in an epoch below one that this store may have
// voted for.
func beyond(p election.Persistent, self peer.ID, cfg election.Config, held []*election.Head) election.Persistent {
	const margin = 1 << 16 // more than one save is ahead of the one before
	p.Seq += margin
	for _, h := range held {
		p.Known, p.Have = p.Known.Add(h), p.Have.Add(h)
	}
	if p.Epoch.ConfigVersion == cfg.Version {
		p.Epoch = record.Epoch{ConfigVersion: cfg.Version, N: p.Epoch.N + margin}
	}
	if cfg.Mode == election.Strict {
		n := p.Epoch.N
		if p.Granted.ConfigVersion == cfg.Version {
			n = max(n, p.Granted.N)
		}
		p.Granted = record.Epoch{ConfigVersion: cfg.Version, N: n + margin, Owner: self, Instance: p.Instance}
	}
	return p
}

// makeAnew tries to make the member again after its disk failed.
func (m *member) makeAnew() {
	if err := m.open(m.cohort.council); err != nil {
		m.log.Warn("state cannot be read: the seat stays empty", "err", err)
		m.putOff()
		return
	}
	m.log.Info("the seat is taken again")
	m.seated()
}

// putOff sets when the disk is tried again.
func (m *member) putOff() {
	m.own.mend.pause = min(max(2*m.own.mend.pause, firstMend), maxMend)
	m.own.mend.at = m.cohort.now() + m.own.mend.pause
}

// fail gives the seat up because the state could not be written. What the core wanted done after that is not done.
func (m *member) fail(err error) {
	m.log.Error("state could not be written: the seat is given up", "err", err)
	m.own.acts = nil
	for _, a := range m.own.core.Step(m.cohort.now(), election.PersistFailed{}) {
		if alarm, ok := a.(election.Alarm); ok {
			m.alarm(alarm)
		}
	}
	m.own.core, m.own.said = nil, nil
	m.own.disk.close() // it has failed anyway
	m.own.disk = nil
	m.putOff()
	m.cohort.giveUp(m)
	m.refuseAll()
	if m.own.leave.done != nil {
		m.handedOver(false)
	}
	m.look()
}

// refuseAll answers the proposals that wait.
func (m *member) refuseAll() {
	for id := range m.own.open {
		m.seat.Refused(id, "")
	}
	clear(m.own.open)
}

// alarm notes an alarm, once.
func (m *member) alarm(a election.Alarm) {
	same := func(b election.Alarm) bool {
		return a.Kind == b.Kind && a.Peer == b.Peer && slices.Equal(a.Heads, b.Heads)
	}
	if !slices.ContainsFunc(m.own.alarms, same) && len(m.own.alarms) < maxAlarms {
		m.own.alarms = append(slices.Clip(m.own.alarms), a)
	}
}

// ended answers whoever waits for a member that is gone.
func (m *member) ended() {
	if done := m.own.leave.done; done != nil {
		close(done)
		m.own.leave = leave{}
	}
}

// maxAlarms bounds the alarms shown: more tell people nothing new.
const maxAlarms = 64
