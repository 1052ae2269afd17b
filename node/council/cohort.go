package council

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/beacon"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
)

const (
	// gathering is the part of an interval by which members that are due are kept waiting for others, 25 ms of 250:
	// half of what beacons are early or late by anyway. Candidates wait for less.
	gathering, hasty = 10, 50
	// gap is the part of an interval that beacons are apart at least, however much changes: the core's bound.
	gap = 10
	// lonely is the interval of beacons while no set here has another voter: for readers, who see the primary.
	lonely = 5 * time.Second
)

// cohort is the seats of one topic.
type cohort struct {
	council *Council
	topic   string
	leave   func()        // the topic
	ended   chan struct{} // the loop has
	stop    chan struct{}
	signal  chan struct{} // holds a token when the loop must look again

	mu       sync.Mutex // guards what follows; nothing that can wait is done under it
	running  bool
	interval time.Duration
	members  map[cid.Cid]*member
	talkers  map[peer.ID]*talker
	queue    queue
	table    table
	speech   speech
	gathered time.Duration // members were stepped last
	wake     time.Duration // the loop sleeps until then
}

// speech is what is to be said, and what was.
type speech struct {
	no     uint64
	sent   time.Duration // the last beacon
	next   time.Duration // the next regular one is due
	urgent bool
	full   bool               // with all rows, if they fit
	repeat [resend]uint64     // versions of the table before the last beacons
	asks   []beacon.Ask       // waiting
	extra  map[cid.Cid]bool   // rows asked for
	rng    *rand.Rand         // of the jitter
	muted  map[cid.Cid][]byte // rows of seats that have been busy for too long
}

// resend is in how many beacons a changed row is told: so many in a row are rarely lost.
const resend = 3

func newCohort(c *Council, topic string) *cohort {
	t := newTable(c.cfg.Boot)
	last, again := c.lastSpoken(topic)
	if again {
		t.version = last.version
	}
	return &cohort{
		council: c, topic: topic, interval: c.interval(),
		ended: make(chan struct{}), stop: make(chan struct{}), signal: make(chan struct{}, 1),
		members: map[cid.Cid]*member{}, talkers: map[peer.ID]*talker{}, table: t,
		speech: speech{
			no:     last.no,
			repeat: [resend]uint64{t.version, t.version, t.version}, extra: map[cid.Cid]bool{},
			rng: rand.New(rand.NewPCG(c.seed(topic), c.cfg.Boot)), muted: map[cid.Cid][]byte{},
		},
	}
}

func (c *cohort) now() time.Duration { return c.council.now() }

// nudge makes the loop look again if it sleeps for longer than at.
func (c *cohort) nudge(at time.Duration) {
	if at < c.wake {
		c.wake = at
		select {
		case c.signal <- struct{}{}:
		default:
		}
	}
}

// schedule puts an idle member into the queue. The lock is held.
func (c *cohort) schedule(m *member, due time.Duration) {
	c.queue.set(m, due)
	c.nudge(c.stepAt())
}

// stepAt is when members are stepped next.
func (c *cohort) stepAt() time.Duration {
	return max(c.queue.next(), c.gathered+c.interval/hasty)
}

// spawn runs f in a goroutine of the council, unless the cohort is not running. The lock is held.
func (c *cohort) spawn(f func()) bool {
	if c.running {
		c.council.group.Go(f)
	}
	return c.running
}

// run is the cohort's loop: it steps members that are due and sends beacons.
func (c *cohort) run() {
	defer close(c.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		c.mu.Lock()
		now := c.now()
		c.step(now)
		messages := c.speak(now)
		c.wake = min(c.stepAt(), c.speakAt())
		pause := c.wake - c.now()
		c.mu.Unlock()
		for _, m := range messages {
			if err := c.council.cfg.Bus.Publish(c.council.life, c.topic, m); err != nil && c.council.life.Err() == nil {
				c.council.cfg.Log.Warn("beacon not sent", "topic", c.topic, "err", err)
			}
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-c.signal:
		case <-c.stop:
			return
		}
	}
}

// step steps the members that are due.
func (c *cohort) step(now time.Duration) {
	if now < c.stepAt() {
		return
	}
	c.gathered = now
	for c.running && c.queue.next() <= now {
		c.queue.members[0].idle(now) // which moves it, or takes it out
	}
}

// speakAt is when the next beacon is due.
func (c *cohort) speakAt() time.Duration {
	s := &c.speech
	switch {
	case len(s.asks) > 0:
		return 0
	case len(c.members) == 0 || c.table.version == c.council.cfg.Boot<<versionBits: // it never had a row
		return never
	case s.urgent:
		return min(s.next, s.sent+c.interval/gap)
	}
	return s.next
}

// hurry makes the next beacon due at once, or as soon as the last one is a tenth of an interval old. The lock is held.
func (c *cohort) hurry() {
	c.speech.urgent = true
	c.nudge(c.speakAt())
}

// speak gives what is to be sent now, which is more than one beacon only if there are many questions.
func (c *cohort) speak(now time.Duration) (out []beacon.Message) {
	if now < c.speakAt() {
		return nil
	}
	c.mute(now)
	s := &c.speech
	for {
		s.no++
		m := beacon.Message{Boot: c.council.cfg.Boot, No: s.no, Interval: c.pace(), Table: c.table.version}
		m.Since, m.Seats = c.table.delta(c.since())
		m.Seats = c.withExtra(m.Seats)
		m.Asks = s.asks[:min(len(s.asks), beacon.MaxAsks)]
		s.asks = s.asks[len(m.Asks):]
		s.urgent, s.full = false, false
		copy(s.repeat[:], s.repeat[1:])
		s.repeat[resend-1] = m.Table
		out = append(out, m)
		if len(s.asks) == 0 {
			break
		}
	}
	s.asks, s.sent = nil, now
	jitter := time.Duration(s.rng.Int64N(int64(c.pace() / 5)))
	s.next = now + c.pace()*9/10 + jitter
	return out
}

// pace is the interval of regular beacons.
func (c *cohort) pace() time.Duration {
	if len(c.talkers) == 0 {
		return max(c.interval, lonely)
	}
	return c.interval
}

// since is the version after which the next beacon tells the changes. Who has just joined is told all, and so are
// all now and then as long as that is cheap: who cannot reach this node cannot pull what it has missed.
func (c *cohort) since() uint64 {
	since := c.speech.repeat[0]
	if c.speech.full || since == c.council.cfg.Boot<<versionBits {
		return 0
	}
	if len(c.table.rows) > beacon.MaxSeats {
		return since
	}
	size := 0
	for _, s := range c.table.rows {
		size += len(s.Data) + rowOverhead
	}
	if period := uint64(max(fullEvery, size/fullCost)); size <= beacon.MaxSeatsSize && c.speech.no%period == 0 {
		return 0
	}
	return since
}

// fullEvery is after how many beacons the whole table is told again, fullCost what that may add to each, in bytes.
const fullEvery, fullCost = 8, 40

// withExtra adds the rows that were asked for.
func (c *cohort) withExtra(seats []beacon.Seat) []beacon.Seat {
	size := 0
	for _, s := range seats {
		size += len(s.Data)
	}
	for set := range c.speech.extra {
		row, ok := c.table.rows[set]
		told := slices.ContainsFunc(seats, func(s beacon.Seat) bool { return s.Set == set })
		if ok && !told && len(seats) < beacon.MaxSeats && size+len(row.Data) <= beacon.MaxSeatsSize {
			seats, size = append(seats, row), size+len(row.Data)
		}
	}
	clear(c.speech.extra)
	return seats
}

// say changes a seat's row; no data repeats it.
func (c *cohort) say(m *member, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.box.gone {
		return
	}
	news := data != nil && c.table.set(m.set, data)
	m.spoken(c.now(), news)
}

// giveUp empties a seat.
func (c *cohort) giveUp(m *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.table.set(m.set, nil) {
		c.hurry()
	}
}

// replace changes the row of a seat that has one.
func (c *cohort) replace(m *member, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.table.rows[m.set].Data) > 0 && c.table.set(m.set, data) {
		c.hurry()
	}
}

// mute empties the seats that have been busy for TFail: a disk that hangs must not look alive. The lock is held.
func (c *cohort) mute(now time.Duration) {
	for set, m := range c.members {
		if !m.box.busy || now-m.box.since <= silentFails*c.interval {
			continue
		}
		if row := c.table.rows[set].Data; len(row) > 0 {
			c.speech.muted[set] = row
			c.table.set(set, nil)
			m.log.Warn("the seat has been busy for too long and is given up for now")
		}
	}
}

// unmute gives a seat back that is busy no more. The lock is held.
func (c *cohort) unmute(m *member) {
	if row, ok := c.speech.muted[m.set]; ok {
		delete(c.speech.muted, m.set)
		if m.own.core != nil && len(c.table.rows[m.set].Data) == 0 && c.table.set(m.set, row) {
			c.hurry()
		}
	}
}

// ask sends a question, at once.
func (c *cohort) ask(set cid.Cid, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.speech.asks = append(c.speech.asks, beacon.Ask{Set: set, Data: data})
	c.nudge(c.speakAt())
}

// answer sends a beacon soon, with the row of set.
func (c *cohort) answer(set cid.Cid) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.speech.extra[set] = true
	c.hurry()
}

// stamp is that of the last beacon.
func (c *cohort) stamp() election.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return election.Stamp{Boot: c.council.cfg.Boot, No: c.speech.no}
}

// page answers a pull of the table.
func (c *cohort) page(since uint64) (uint64, []wirecouncil.Seat) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version, rows := c.table.page(since, wirecouncil.MaxTable)
	seats := make([]wirecouncil.Seat, len(rows))
	for i, s := range rows {
		seats[i] = wirecouncil.Seat(s)
	}
	return version, seats
}
