package council

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	councilpb "github.com/shoal-p2p/shoal/protocols/council/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

const (
	// queueFrames and queueSize are the most frames, and bytes of them, that wait for one peer: four frames for each of
	// 1,000 sets of ordinary size.
	queueFrames = 4000
	queueSize   = 1 << 20
	// batchSize is the most bytes that go out in one write, unless a single frame has more: what a line of half a
	// megabit takes within sendTimeout.
	batchSize = 32 << 10
	// closeTimeout is how long Close lets what is queued go out.
	closeTimeout = time.Second
)

// line is the way of frames to one peer. Its queue is guarded by the client's mutex.
type line struct {
	peer   peer.ID
	queue  [][]byte      // encoded frames, oldest first
	size   int           // bytes in queue
	signal chan struct{} // holds one token when there may be something to do
}

// Send hands f to the link to p and returns at once. f is lost, and nobody is told, when there is no connection to p,
// when p does not take it within half a second, or when more waits for p than there is room for; then the oldest
// frames go first. After a break some frames may arrive twice. A frame that breaks a limit is logged and not sent.
func (c *Client) Send(p peer.ID, f Frame) {
	m, err := encodeFrame(f)
	var b []byte
	if err == nil {
		b, err = wire.Append(nil, m)
	}
	if err != nil {
		c.log.Warn("frame is not sent", "peer", p, "set", f.Set, "err", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	l := c.lines[p]
	if l == nil {
		l = &line{peer: p, signal: make(chan struct{}, 1)}
		c.lines[p] = l
		c.wg.Go(func() { c.carry(l) })
	}
	l.push(b)
}

// Close takes no more frames, gives those that wait a second to go out, and waits for that. Questions go on.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	for _, l := range c.lines {
		l.wake()
	}
	c.mu.Unlock()
	stop := time.AfterFunc(closeTimeout, c.end)
	defer stop.Stop()
	c.wg.Wait()
	c.end()
}

func (l *line) push(b []byte) {
	l.queue = append(l.queue, b)
	l.size += len(b)
	for len(l.queue) > queueFrames || l.size > queueSize {
		l.pop()
	}
	l.wake()
}

func (l *line) pop() []byte {
	b := l.queue[0]
	l.queue[0], l.queue = nil, l.queue[1:]
	l.size -= len(b)
	return b
}

func (l *line) wake() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// take gives frames for one write; none if nothing waits. over: there will never be any more.
func (c *Client) take(l *line) (batch []byte, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(l.queue) > 0 && (len(batch) == 0 || len(batch)+len(l.queue[0]) <= batchSize) {
		batch = append(batch, l.pop()...)
	}
	return batch, len(batch) == 0 && c.closed
}

// retire takes a line away if nothing waits for it.
func (c *Client) retire(l *line) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(l.queue) > 0 {
		return false
	}
	delete(c.lines, l.peer)
	return true
}

// carry sends what is queued until the client is closed, or nothing was queued for idleTime.
func (c *Client) carry(l *line) {
	var s network.Stream // nil: none is open
	defer func() { c.hangUp(s) }()
	idle := time.NewTimer(idleTime)
	defer idle.Stop()
	for c.ctx.Err() == nil {
		batch, over := c.take(l)
		if over {
			return
		}
		if len(batch) > 0 {
			var err error
			if s, err = c.deliver(s, l.peer, batch); err != nil {
				c.log.Debug("frames are lost", "peer", l.peer, "bytes", len(batch), "err", err)
			}
			idle.Reset(idleTime)
			continue
		}
		select {
		case <-c.ctx.Done():
		case <-l.signal:
		case <-idle.C:
			if c.retire(l) {
				return
			}
			idle.Reset(idleTime)
		}
	}
}

// deliver writes b to s, and gives the stream to use next. One that has broken since it was used last is replaced, and
// b goes out on the other; one that is too slow is given up, with b.
func (c *Client) deliver(s network.Stream, p peer.ID, b []byte) (network.Stream, error) {
	if s != nil {
		err := write(s, b)
		if err == nil {
			return s, nil
		}
		s.Reset()
		if isTimeout(err) {
			return nil, err
		}
	}
	s, err := c.open(p)
	if err != nil {
		return nil, err
	}
	hello, err := wire.Append(nil, &councilpb.Request{Kind: councilpb.Kind_MESSAGES})
	if err == nil {
		err = write(s, append(hello, b...))
	}
	if err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

func (c *Client) open(p peer.ID) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(c.ctx, openTimeout)
	defer cancel()
	// What is to be said is of no use any more when a connection has been made.
	s, err := c.host.NewStream(network.WithNoDial(ctx, "frames"), p, ID)
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	if err := s.Scope().SetService(ServiceName); err != nil {
		s.Reset()
		return nil, fmt.Errorf("attach to service: %w", err)
	}
	return s, nil
}

// hangUp ends a stream so that what was written still arrives.
func (c *Client) hangUp(s network.Stream) {
	if s == nil {
		return
	}
	s.SetDeadline(time.Now().Add(sendTimeout)) // for the rest of the negotiation, if there is any
	if c.ctx.Err() != nil || s.Close() != nil {
		s.Reset()
	}
}

func write(s network.Stream, b []byte) error {
	s.SetWriteDeadline(time.Now().Add(sendTimeout))
	if _, err := s.Write(b); err != nil {
		return fmt.Errorf("write frames: %w", err)
	}
	return nil
}

// isTimeout tells whether err is a deadline's. Not every muxer's error is os.ErrDeadlineExceeded, but all say so by
// this method.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
