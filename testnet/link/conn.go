package link

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// orphanTime is how long the end of a connection is held back by a cut: a kernel gives an orphaned one up after some
// two minutes.
const orphanTime = 2 * time.Minute

// conn is a connection whose bytes travel as the plan of its bed says. While a direction has a plain lane and is
// empty, its calls go straight to the raw connection; else a goroutine moves the bytes: the pump from the raw
// connection into the travel of the way in, the courier from the travel of the way out to the raw connection. Both
// end when they have nothing left to do, and at the latest orphanTime after Close.
type conn struct {
	net.Conn
	bed  *Bed
	addr string // that was dialled; "" = accepted

	in, out half
	once    sync.Once
	closed  chan struct{}
	giveUp  time.Time // when the courier ends in any case; set before closed is closed
}

// half is one direction of a conn.
type half struct {
	// serial is held by the one Read or Write that goes on. Unlike mu it is held while it waits: a second one
	// would have to wait behind it anyway, to keep the order.
	serial sync.Mutex

	mu       sync.Mutex // guards the rest
	travel   travel
	busy     bool          // a pump or courier runs, or the way in has come to its end
	news     chan struct{} // closed and replaced when something here changes
	deadline time.Time
	failed   error // of the courier: the raw connection takes no more
}

func (h *half) init(random *rand.Rand) {
	h.travel.random, h.news = random, make(chan struct{})
}

// tell wakes who waits for news. The caller holds mu.
func (h *half) tell() {
	close(h.news)
	h.news = make(chan struct{})
}

// moment is what a call waits for, besides the end of its lane.
type moment struct {
	at   time.Time // zero = no time
	news <-chan struct{}
}

// wait returns when something has happened.
func (c *conn) wait(m moment, l *lane, closed <-chan struct{}) {
	var clock <-chan time.Time
	if !m.at.IsZero() {
		timer := time.NewTimer(time.Until(m.at))
		defer timer.Stop()
		clock = timer.C
	}
	select {
	case <-clock:
	case <-m.news:
	case <-l.gone:
	case <-closed:
	}
}

func (c *conn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// Read reads what has arrived.
func (c *conn) Read(p []byte) (int, error) {
	c.in.serial.Lock()
	defer c.in.serial.Unlock()
	for {
		l := c.bed.lane(c.addr, inward)
		if c.readsDirectly(l) {
			n, err := c.Conn.Read(p)
			if c.isClosed() {
				return 0, net.ErrClosed
			}
			if c.bed.lane(c.addr, inward).plain() || errors.Is(err, os.ErrDeadlineExceeded) {
				return n, err
			}
			c.detain(p[:n], err)
			continue
		}
		n, m, err := c.receive(l, p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		c.wait(m, l, c.closed)
	}
}

// readsDirectly tells whether nothing stands between Read and the raw connection. If something is to, it begins.
func (c *conn) readsDirectly(l *lane) bool {
	h := &c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy || !h.travel.idle() {
		return false
	}
	if l.plain() {
		return true
	}
	c.startPump()
	return false
}

// startPump begins to pump. The caller holds mu of the way in.
func (c *conn) startPump() {
	c.in.busy = true
	c.Conn.SetReadDeadline(time.Time{}) // a deadline is for Read, and the pump is early
	if !c.isClosed() {
		go c.pump()
	}
}

// detain makes travel what a direct Read got after the lane had changed.
func (c *conn) detain(p []byte, err error) {
	h := &c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	h.travel.waiting.Write(p)
	if err != nil {
		h.busy = true
		h.travel.finish(time.Now(), c.bed.lane(c.addr, inward), err)
		return
	}
	c.startPump()
}

// receive is Read as far as it goes without waiting.
func (c *conn) receive(l *lane, p []byte) (n int, m moment, err error) {
	h := &c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	switch {
	case c.isClosed():
		return 0, m, net.ErrClosed
	case !h.deadline.IsZero() && !now.Before(h.deadline):
		return 0, m, os.ErrDeadlineExceeded
	}
	before := h.travel.waiting.Len() + h.travel.flying.Len()
	leaves := h.travel.step(now, l)
	if n = h.travel.take(now, l, p); n == 0 {
		err = h.travel.over(now, l)
	}
	if h.travel.waiting.Len()+h.travel.flying.Len() < before {
		h.tell() // the pump may go on
	}
	return n, moment{until(h.travel.next(leaves, l), h.deadline), h.news}, err
}

// pump reads the raw connection until it ends, c is closed, or nothing need be pumped any more.
func (c *conn) pump() {
	buf := make([]byte, maxPiece)
	for {
		n, err := c.Conn.Read(buf)
		if !c.pumped(buf[:n], err) {
			return
		}
	}
}

// pumped puts into the way in what was read, and waits until there is room for more. It tells whether to go on.
func (c *conn) pumped(p []byte, err error) bool {
	h := &c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	h.travel.waiting.Write(p)
	if err != nil {
		h.travel.finish(time.Now(), c.bed.lane(c.addr, inward), err)
	}
	h.tell()
	for {
		l := c.bed.lane(c.addr, inward)
		leaves := h.travel.step(time.Now(), l)
		switch {
		case c.isClosed() || err != nil:
			return false
		case l.plain():
			h.busy = false // what is here is read first
			c.Conn.SetReadDeadline(h.deadline)
			h.tell()
			return false
		case h.travel.waiting.Len() < l.piece():
			return true
		}
		m := moment{leaves, h.news}
		h.mu.Unlock()
		c.wait(m, l, c.closed)
		h.mu.Lock()
	}
}

// Write takes bytes for the way out. It returns when there was room for all of them.
func (c *conn) Write(p []byte) (int, error) {
	c.out.serial.Lock()
	defer c.out.serial.Unlock()
	if c.writesDirectly() {
		n, err := c.Conn.Write(p)
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || !c.deaf() {
			return n, err
		}
		return len(p), nil
	}
	done := 0
	for {
		l := c.bed.lane(c.addr, outward)
		n, m, err := c.offer(l, p[done:])
		if done += n; err != nil || done == len(p) {
			return done, err
		}
		c.wait(m, l, c.closed)
	}
}

// writesDirectly tells whether nothing stands between Write and the raw connection.
func (c *conn) writesDirectly() bool {
	l := c.bed.lane(c.addr, outward)
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return l.plain() && !c.out.busy && !c.isClosed()
}

// deaf tells that no end of the raw connection may be known here: who told of it would have told through a cut.
func (c *conn) deaf() bool { return c.bed.lane(c.addr, inward).cut() && !c.isClosed() }

// offer is Write as far as it goes without waiting.
func (c *conn) offer(l *lane, p []byte) (n int, m moment, err error) {
	h := &c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case c.isClosed():
		return 0, m, net.ErrClosed
	case !h.deadline.IsZero() && !time.Now().Before(h.deadline):
		return 0, m, os.ErrDeadlineExceeded
	case h.failed != nil && !c.deaf():
		return 0, m, h.failed
	}
	if n = min(len(p), max(0, maxWaiting-h.travel.waiting.Len())); n > 0 {
		h.travel.waiting.Write(p[:n])
		c.startCourier()
		h.tell()
	}
	return n, moment{h.deadline, h.news}, nil
}

// startCourier has the way out carried, if it is not. The caller holds its mu.
func (c *conn) startCourier() {
	if c.out.busy {
		return
	}
	c.out.busy = true
	c.Conn.SetWriteDeadline(time.Time{}) // a deadline is for Write, and the courier is late
	go c.courier()
}

// courier writes what arrives at the end of the way out to the raw connection, until nothing is left. When c is
// closed, so is the raw connection then.
func (c *conn) courier() {
	buf := make([]byte, maxPiece)
	for {
		l := c.bed.lane(c.addr, outward)
		n, m, done := c.carry(l, buf)
		switch {
		case done:
			return
		case n > 0:
			if _, err := c.Conn.Write(buf[:n]); err != nil {
				c.fail(err) // and what follows is for nobody
			}
		case c.isClosed():
			c.wait(m, l, nil)
		default:
			c.wait(m, l, c.closed)
		}
	}
}

// carry is the courier's work between two waits or writes.
func (c *conn) carry(l *lane, buf []byte) (n int, m moment, done bool) {
	h := &c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	waiting := h.travel.waiting.Len()
	leaves := h.travel.step(now, l)
	n = h.travel.take(now, l, buf)
	m.at = h.travel.next(leaves, l)
	if h.travel.waiting.Len() < waiting {
		h.tell() // there is room
	}
	m.news = h.news
	switch {
	case n > 0:
	case c.isClosed() && (h.travel.over(now, l) != nil || !now.Before(c.giveUp)):
		c.Conn.Close()
		return 0, m, true
	case c.isClosed():
		m.at = until(m.at, c.giveUp)
	case h.travel.idle():
		h.busy = false
		c.Conn.SetWriteDeadline(h.deadline)
		return 0, m, true
	}
	return n, m, false
}

// fail notes that the raw connection takes no more.
func (c *conn) fail(err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.failed = err
	c.out.tell()
}

// Close ends the connection here at once. What was written before, and the end, still travel.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() { err = c.close() })
	return err
}

func (c *conn) close() error {
	h := &c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	l := c.bed.lane(c.addr, outward)
	c.giveUp = time.Now().Add(orphanTime)
	if l.plain() && !h.busy {
		close(c.closed)
		return c.Conn.Close()
	}
	h.travel.finish(time.Now(), l, net.ErrClosed)
	c.startCourier()
	h.tell()
	close(c.closed)
	err := c.Conn.SetWriteDeadline(c.giveUp) // the other end may not be reading
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return errors.Join(err, c.Conn.SetReadDeadline(time.Unix(1, 0))) // ends the pump, or a direct Read
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline is for the Reads to come and the one that waits.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(&c.in, t, c.Conn.SetReadDeadline)
}

// SetWriteDeadline is for the Writes to come and the one that waits.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(&c.out, t, c.Conn.SetWriteDeadline)
}

// setDeadline passes it on to the raw connection while the calls go straight there.
func (c *conn) setDeadline(h *half, t time.Time, raw func(time.Time) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.isClosed() {
		return net.ErrClosed // those of the raw connection serve its end
	}
	h.deadline = t
	h.tell()
	if h.busy {
		return nil
	}
	return raw(t)
}
