package election

import (
	"bytes"
	"math"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

const never = time.Duration(math.MaxInt64)

// Member is one node's part in the order of one set. It is not safe for concurrent use: one loop of the shell
// owns it.
type Member struct {
	self  identity
	cfg   Config
	disk  Persistent // what the next Persist writes
	role  Role
	voter bool         // this store is listed
	peers []*peerState // the other voters, ascending by id
	time  times
	dirty bool // disk is to be written before anything else leaves
	halt  halt
	cand  candidacy
	reign reign
	heads pursuit
	rng   *rand.Rand
	said  *State // what the next beacon says; nil = to be made again
	acts  []Action
}

type identity struct {
	id       peer.ID
	instance string // record.InstanceKey of the store
}

// times are in the same time as Step's now; never means not at all.
type times struct {
	now      time.Duration
	interval time.Duration // of our own beacons
	no       uint64        // of the last beacon
	sent     time.Duration // the last beacon
	beacon   time.Duration // the next beacon is due
	care     time.Duration // slow checks are due
	primary  time.Duration // the current primary last had a sign of life, or was given time for one
	heard    time.Duration // a beacon of the current primary, as primary; -1 = none in this epoch
	doubt    time.Duration // somebody first suspected the primary after heard; a former one's before
	retry    time.Duration // no candidacy before
	fresh    time.Duration // a fresh store may stand alone after
}

// halt says why the member no longer takes part.
type halt struct {
	disk   bool // silent for ever
	cloned bool // read-only: follows, but neither leads, votes nor acknowledges
}

// New makes a member from what the disk holds. now is any time that never goes back; id is the node's. The
// first actions of Step persist the new boot number.
func New(now time.Duration, id peer.ID, cfg Config, disk Persistent, opt Options) *Member {
	if opt.Interval <= 0 {
		opt.Interval = DefaultInterval
	}
	disk.Boot++
	m := &Member{
		self: identity{id: id, instance: record.InstanceKey(disk.Instance)},
		disk: disk, dirty: true,
		rng: rand.New(rand.NewPCG(opt.Seed, disk.Boot)),
		time: times{
			now: now, interval: opt.Interval, sent: now - opt.Interval, beacon: now, care: now,
			primary: now, heard: -1, retry: now,
		},
	}
	m.setConfig(cfg)
	m.enterVersion()
	m.time.fresh = now + freshFails*m.fail()
	for _, h := range disk.Known {
		m.ownHead(h)
	}
	return m
}

// Step takes one event in and returns what to do. A now before the last one counts as the last one. Equal
// seeds and events give equal actions.
func (m *Member) Step(now time.Duration, ev Event) []Action {
	if m.halt.disk {
		return nil
	}
	m.time.now = max(m.time.now, now)
	m.dispatch(ev)
	if m.time.now >= m.time.care {
		m.time.care = m.time.now + m.time.interval
		m.care()
	}
	m.campaign()
	m.order()
	return m.flush()
}

func (m *Member) dispatch(ev Event) {
	switch e := ev.(type) {
	case Received:
		m.received(e)
	case Fetched:
		m.fetched(e.Head)
	case Lost:
		m.lostBytes(e)
	case Proposed:
		m.proposed(e.ID)
	case Made:
		m.made(e)
	case Disconnected:
		m.disconnected(e.Peer)
	case Joined:
		if m.peer(e.Peer) != nil {
			m.beaconSoon()
		}
	case ConfigChanged:
		m.configured(e)
	case HandoverRequested:
		m.handover(e.To, true)
	case PromoteRequested:
		m.promoteAsked()
	case IntervalChanged:
		m.time.interval = min(max(e.Interval, time.Millisecond), maxInterval)
		m.beaconSoon()
	case PersistFailed:
		m.halt.disk = true
		m.role = Follower
		m.act(Alarm{Kind: DiskFailed, Peer: m.self.id})
	}
}

func (m *Member) received(r Received) {
	p := m.peer(r.From)
	if p == nil || p.instance != "" && p.instance != r.Instance {
		m.stranger(r)
		return
	}
	if b, ok := r.Message.(*Beacon); ok {
		m.beacon(p, r.Instance, b)
		return
	}
	if s, ok := r.Message.(Seen); ok {
		m.seen(s)
		return
	}
	if !p.speaks(r.Instance) {
		return
	}
	p.alive(m.time.now)
	switch msg := r.Message.(type) {
	case Suspect:
		m.suspected(msg)
	case VoteReq:
		m.voteAsked(p, msg)
	case Vote:
		m.voted(p, msg)
	case Ack:
		m.acked(p, msg)
	case WaiveReq:
		m.waiveAsked(p, msg)
	case Waive:
		m.waived(p, msg)
	case HandoverReq:
		m.handoverAsked(p)
	case Handover:
		m.handed(p, msg)
	}
}

// care does what need not be done at once.
func (m *Member) care() {
	for _, p := range m.peers {
		if p.fellSilent(m.time.now) {
			m.act(Redial{p.id})
		}
	}
	m.chase()
	if m.role == Primary {
		m.holdMajority()
		m.chooseBackup()
		m.giveUp()
	}
}

// flush sends the beacon that is due and puts the write before everything.
func (m *Member) flush() []Action {
	if m.voter && m.time.now >= m.time.beacon && !m.halt.disk {
		m.sendBeacon()
	}
	acts := m.acts
	m.acts = nil
	if m.dirty && !m.halt.disk {
		m.dirty = false
		acts = append([]Action{Persist{m.disk}}, acts...)
	}
	return acts
}

// Next is when Tick is due at the latest. It is after the now of the last Step.
func (m *Member) Next() time.Duration {
	if m.halt.disk {
		return never
	}
	next := m.time.care
	if m.voter {
		next = min(next, m.time.beacon)
	}
	next = min(next, m.campaignAt(), m.orderAt())
	return max(next, m.time.now+1)
}

func (m *Member) act(a Action) { m.acts = append(m.acts, a) }

// touch notes that the state changed in a way that must survive a restart.
func (m *Member) touch() {
	m.dirty = true
	m.said = nil
}

// Role is what the member does now.
func (m *Member) Role() Role { return m.role }

// Backup is the backup the member knows of: its own choice as primary, else what the primary announced.
func (m *Member) Backup() peer.ID { return m.reign.backup }

// Persistent is the state as the last Step left it.
func (m *Member) Persistent() Persistent { return m.disk }

// Config is the config in force.
func (m *Member) Config() Config { return m.cfg }

// Absorbed tells whether a primary may publish: always in ap, in strict once it has what the majority had.
func (m *Member) Absorbed() bool { return m.role == Primary && m.missing() == nil }

// Halted tells whether the member has stopped taking part, see Cloned and DiskFailed.
func (m *Member) Halted() bool { return m.halt.disk || m.halt.cloned }

// owns tells whether this store is the owner of epoch e.
func (m *Member) owns(e record.Epoch) bool {
	return e.Owner == m.self.id && bytes.Equal(e.Instance, m.disk.Instance)
}

// able tells whether the member may lead, vote and acknowledge.
func (m *Member) able() bool { return m.voter && !m.halt.cloned && !m.halt.disk }

// peer is the voter id, nil if there is none other than this node.
func (m *Member) peer(id peer.ID) *peerState {
	for _, p := range m.peers { // a handful
		if p.id == id {
			return p
		}
	}
	return nil
}

// interval is the longest that any live voter announces: who asks must give all of them time to answer.
func (m *Member) interval() time.Duration {
	d := m.time.interval
	for _, p := range m.peers {
		if p.live(m.time.now) {
			d = max(d, p.interval)
		}
	}
	return d
}

// fail is the TFail of voters that have not announced an interval.
func (m *Member) fail() time.Duration { return failIntervals * m.time.interval }

// jitter is between 0 and d.
func (m *Member) jitter(d time.Duration) time.Duration {
	return time.Duration(m.rng.Int64N(int64(d) + 1))
}
