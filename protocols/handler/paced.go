package handler

import (
	"io"
	"time"
)

const (
	// Slowest is how many bytes a second a peer must get on at that we read from. It tells one that drips from one that is
	// slow: the least limit that a node takes, of 1 kB/s, shared by fifteen readers, is more.
	Slowest = 64
	// rearm is how much too early a deadline may come, so that it need not be set anew at every read.
	rearm = time.Second
	// toldEvery is how often at most somebody is told of what came.
	toldEvery = 250 * time.Millisecond
)

// Paced reads a peer that may be slow for as long as it gets on: a message has Patience to begin, each byte that comes
// gives time for Slowest-th of a second more, and never more than Patience is left. So neither silence nor a drip holds the
// reader for long, and whatever the size of a message, one that comes slowly is not begun again.
type Paced struct {
	From     Deadlined
	Patience time.Duration
	// Came is told of bytes that came since the last time, or since Begin, as long as they come no slower than Slowest; nil
	// = nobody is. Who reads a short message hears nothing.
	Came func(n int)
	// Most is what one read may bring, for who must not read ahead; 0 = any.
	Most int

	until time.Time // when the peer is given up
	armed time.Time // From's deadline
	since time.Time // Came was told
	fresh int       // bytes since then
}

// Deadlined is the reading half of a stream.
type Deadlined interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

// Begin begins a message.
func (p *Paced) Begin() {
	now := time.Now()
	p.until, p.since, p.fresh = now.Add(p.Patience), now, 0
}

// Rested tells that nothing was read for a while because we did not want to.
func (p *Paced) Rested(d time.Duration) {
	p.until = p.until.Add(d)
}

func (p *Paced) Read(b []byte) (int, error) {
	if p.until.Sub(p.armed) >= rearm {
		_ = p.From.SetReadDeadline(p.until) // of a stream that is over, Read says so
		p.armed = p.until
	}
	if p.Most > 0 && p.Most < len(b) {
		b = b[:p.Most]
	}
	n, err := p.From.Read(b)
	now := time.Now()
	p.until = p.until.Add(time.Duration(n) * time.Second / Slowest)
	if most := now.Add(p.Patience); p.until.After(most) {
		p.until = most
	}
	p.tell(now, n)
	return n, err
}

func (p *Paced) tell(now time.Time, n int) {
	p.fresh += n
	age := now.Sub(p.since)
	if p.Came == nil || age < toldEvery || time.Duration(p.fresh)*time.Second < Slowest*age {
		return
	}
	p.Came(p.fresh)
	p.fresh, p.since = 0, now
}
