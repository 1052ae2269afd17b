package link

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// segment is what TCP puts into a packet of 1,500 bytes.
	segment = 1460
	// maxPiece is the most bytes that travel as one: half a millisecond at 1 Gbit/s, and timers are no finer.
	maxPiece = 64 << 10
	// pieceTime is how long a piece may take to leave: connections that share a rate take turns so often.
	pieceTime = 10 * time.Millisecond
	// credit is how much of the time that went unused a rate gives back, so that a timer that is late costs no
	// bandwidth; a busy machine's are, by some milliseconds.
	credit = 5 * time.Millisecond
	// resend is how much later than a round trip a lost segment is sent again.
	resend = 20 * time.Millisecond
	// maxFlying is the most bytes of a direction that have left and not arrived.
	maxFlying = 4 << 20
	// maxWaiting is the most bytes of a direction that wait to leave, as in the send buffer of a socket: at 1 MB/s
	// a ping waits behind them for an eighth of a second.
	maxWaiting = 128 << 10
	// keepBuffer is the capacity up to which an empty buffer keeps its memory.
	keepBuffer = 2 * maxWaiting
)

// bucket lets a number of bytes a second through, of all who share it. nil lets everything through.
type bucket struct {
	rate int64 // bytes a second, above 0

	mu   sync.Mutex // guards free
	free time.Time  // when all that was let through is through
}

// take says when the last of n bytes is through; the caller lets them go then.
func (b *bucket) take(now time.Time, n int) time.Time {
	if b == nil {
		return now
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = later(b.free, now.Add(-credit)).Add(time.Duration(float64(n) / float64(b.rate) * float64(time.Second)))
	return b.free
}

// lane is how bytes travel in one direction of a connection; it never changes, another takes its place.
type lane struct {
	Rule
	trip  time.Duration // there and back
	link  *bucket       // of all connections to that peer, in this direction
	total *bucket       // of all connections
	gone  chan struct{} // closed when another takes its place
}

// plain tells that bytes travel as the machine can.
func (l *lane) plain() bool { return l.Rule == Rule{} && l.total == nil }

// cut tells that nothing leaves and nothing arrives.
func (l *lane) cut() bool { return l.Cut || l.Loss >= 1 }

// piece is the most bytes that leave at once.
func (l *lane) piece() int {
	n := int64(maxPiece)
	for _, b := range []*bucket{l.link, l.total} {
		if b != nil {
			n = min(n, max(segment, b.rate/int64(time.Second/pieceTime)))
		}
	}
	return int(n)
}

// leave says when n bytes have left.
func (l *lane) leave(now time.Time, n int) time.Time {
	return later(l.link.take(now, n), l.total.take(now, n))
}

// delay is how long n bytes fly: as long as the segment of them that is lost most often.
func (l *lane) delay(random *rand.Rand, n int) time.Duration {
	d := l.Latency
	if l.Jitter > 0 {
		d += time.Duration(random.Int64N(int64(l.Jitter) + 1))
	}
	if l.Loss <= 0 || l.Loss >= 1 {
		return d
	}
	worst := 0
	for left := n; left > 0; left -= segment {
		lost := 0
		for random.Float64() < l.Loss && lost < maxLost {
			lost++
		}
		worst = max(worst, lost)
	}
	return d + time.Duration(worst)*(l.trip+resend)
}

// maxLost is how often a segment is lost at most: with Loss 0.5 more happens once in 64,000.
const maxLost = 16

// travel is one direction of a connection: bytes wait to leave, fly, and have arrived. Its methods are given the
// time, which does not go backwards, and the lane of that moment.
type travel struct {
	random  *rand.Rand
	waiting bytes.Buffer
	flying  bytes.Buffer
	marks   []mark // of flying
	slot    slot
	end     error     // what comes behind all bytes; nil = not said yet
	endAt   time.Time // when it arrives at the earliest
}

// mark is bytes that arrive together: at that time, or when those before them have been taken.
type mark struct {
	n  int
	at time.Time
}

// slot is the place of the first bytes of waiting in the buckets; none for n = 0.
type slot struct {
	n           int
	at          time.Time // when they have left
	link, total *bucket
}

// finish says that err comes behind all bytes, and not at once either.
func (t *travel) finish(now time.Time, l *lane, err error) { t.end, t.endAt = err, now.Add(l.Latency) }

// idle tells that nothing is under way and no end was said.
func (t *travel) idle() bool { return t.waiting.Len() == 0 && len(t.marks) == 0 && t.end == nil }

// step lets leave what may. It returns when to call it again; zero = not before something is put in or taken out, or the
// lane changes.
func (t *travel) step(now time.Time, l *lane) time.Time {
	if l.cut() {
		t.slot = slot{}
		return time.Time{}
	}
	for t.waiting.Len() > 0 {
		if t.slot.n == 0 || t.slot.link != l.link || t.slot.total != l.total {
			n := min(t.waiting.Len(), l.piece())
			t.slot = slot{n: n, at: l.leave(now, n), link: l.link, total: l.total}
		}
		if t.flying.Len()+t.slot.n > maxFlying {
			return time.Time{}
		}
		if t.slot.at.After(now) {
			return t.slot.at
		}
		t.fly(now, l)
	}
	return time.Time{}
}

// fly sends the bytes of the slot on their way.
func (t *travel) fly(now time.Time, l *lane) {
	t.marks = append(t.marks, mark{t.slot.n, now.Add(l.delay(t.random, t.slot.n))})
	t.flying.Write(t.waiting.Next(t.slot.n))
	t.slot = slot{}
	shrink(&t.waiting)
}

// next is when to ask take and over again, after step has returned leaves; zero as there.
func (t *travel) next(leaves time.Time, l *lane) time.Time {
	switch {
	case l.cut():
		return time.Time{}
	case len(t.marks) > 0:
		return until(leaves, t.marks[0].at)
	case t.waiting.Len() == 0 && t.end != nil:
		return t.endAt
	}
	return leaves
}

// take moves bytes that have arrived to p and says how many.
func (t *travel) take(now time.Time, l *lane, p []byte) int {
	n := 0
	for !l.cut() && n < len(p) && len(t.marks) > 0 && !t.marks[0].at.After(now) {
		k := copy(p[n:], t.flying.Next(min(t.marks[0].n, len(p)-n)))
		n += k
		if t.marks[0].n -= k; t.marks[0].n == 0 {
			t.marks = t.marks[1:]
		}
	}
	if len(t.marks) == 0 {
		shrink(&t.flying)
	}
	return n
}

// over is what was said to come behind all bytes, once it has arrived.
func (t *travel) over(now time.Time, l *lane) error {
	if t.waiting.Len() > 0 || len(t.marks) > 0 || l.cut() || now.Before(t.endAt) {
		return nil
	}
	return t.end
}

// shrink gives the memory of a large buffer back when it is empty.
func shrink(b *bytes.Buffer) {
	if b.Len() == 0 && b.Cap() > keepBuffer {
		*b = bytes.Buffer{}
	}
}

// until is the earlier of two moments of which zero is never.
func until(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
