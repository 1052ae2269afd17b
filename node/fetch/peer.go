package fetch

import (
	"math"
	"time"
)

const (
	// queueTarget is how much longer than the fastest answer an answer may take before the window
	// shrinks: the queue we keep at a peer. 150 ms rides out a scheduling hiccup of a busy machine, and
	// keeps decisions about a shared uplink fresh.
	queueTarget = 150 * time.Millisecond
	// minWindow keeps one average leaf on the way while another is being read.
	minWindow = 256 << 10
	// sampleTime is the least busy time over which a rate is measured: many leaves of a fast peer.
	sampleTime = 50 * time.Millisecond
)

// pace measures one peer and sets its window.
type pace struct {
	window int64
	base   time.Duration // least time from request to receipt so far; 0 = none yet
	rate   float64       // bytes per second while busy; 0 = unknown
	since  time.Duration // begin of the running sample
	bytes  int64         // of the running sample
}

// busy starts a sample when a peer that was idle is asked again.
func (w *pace) busy(t time.Duration) { w.since, w.bytes = t, 0 }

// received accounts a leaf that came took after its request; full tells that the window was in use.
func (w *pace) received(t, took time.Duration, size int64, full bool, limit int64) {
	if w.base == 0 || took < w.base {
		w.base = max(took, 1)
	}
	switch {
	case took > w.base+queueTarget:
		w.window = max(w.window-size/2, min(minWindow, limit))
	case full:
		w.window = min(w.window+size, limit)
	}
	w.moved(t, size)
}

// moved accounts bytes that came.
func (w *pace) moved(t time.Duration, n int64) {
	w.bytes += n
	if span := t - w.since; span >= sampleTime || w.rate == 0 && span > 0 {
		now := float64(w.bytes) / span.Seconds()
		if w.rate == 0 {
			w.rate = now
		}
		w.rate += (now - w.rate) * 0.3 // the last three samples weigh two thirds
		w.since, w.bytes = t, 0
	}
}

// need is the time the peer takes for n bytes, as far as known.
func (w *pace) need(n int64) time.Duration {
	if w.rate == 0 {
		return 0
	}
	return time.Duration(min(float64(n)/w.rate, 1e6) * float64(time.Second))
}

// meter is a rate with exponential forgetting over one second, so that silence shows.
type meter struct {
	rate float64 // bytes per second at the time at
	at   time.Duration
}

func (m *meter) value(t time.Duration) float64 { return m.rate * math.Exp(-(t - m.at).Seconds()) }

// add forgets in steps of 10 ms: an error of 1 % saves an exponential per leaf.
func (m *meter) add(t time.Duration, n int64) {
	if t-m.at > 10*time.Millisecond {
		m.rate, m.at = m.value(t), t
	}
	m.rate += float64(n)
}

// wait is the time until n more bytes have come at the present rate.
func (m *meter) wait(t time.Duration, n int64) time.Duration {
	return time.Duration(min(float64(n)/(m.value(t)+1), 1e6) * float64(time.Second))
}

// peer is one connected peer.
type peer struct {
	id   Peer
	full bool   // a source
	have bitmap // over leaves
	can  bitmap // over spans: those of which have holds something
	pace pace
	queue
	trust

	bytes   int64         // useful bytes delivered
	seen    uint64        // pieces.opened when nothing could be picked; skips the search until it changes
	retryAt time.Duration // of the search for foreign and late leaves
	getter
}

// queue is a peer's requests in flight, oldest first: a list through the slab of the ledger.
type queue struct {
	head, tail int32
	inflight   int64 // bytes
	came       int64 // of these, of leaves that are not whole yet
}

// trust is what a peer's failures led to.
type trust struct {
	*record
	lastRx  time.Duration
	paused  time.Duration // asked for nothing before this
	fails   int           // in a row
	stalled bool
}

// record is what is remembered of a peer beyond its connection.
type record struct {
	bad, drops   int
	banned, used bool
	grows        bool // it was a getter, at least at first
}

// origin tells whether p had every leaf when we met it. A getter that has become complete got all it has from
// others like us, and goes on giving: only origins are spared.
func (p *peer) origin() bool { return p.full && !p.grows }

// getter is what is known of another peer's own download.
type getter struct {
	hash     uint64
	active   bool // owns spans
	lastGain time.Duration
	gain     meter // of spans it owns
}
