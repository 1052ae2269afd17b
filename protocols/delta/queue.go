package delta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	deltapb "github.com/shoal-p2p/shoal/protocols/delta/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// waiting is an ask that was read and not answered.
type waiting struct {
	Ask
	mem int // bytes reserved for it
}

// askQueue is the reading half of a session.
type askQueue struct {
	s    network.Stream
	in   *bufio.Reader
	asks chan waiting // closed at the end
	open atomic.Int64 // asks in the channel or being answered, and one until EndPush
	err  error        // why reading ended, nil if the client ended it; set before asks is closed
}

// fill reads asks until the client has no more, which is nil, or reading fails, or ctx ends.
func (q *askQueue) fill(ctx context.Context) error {
	for {
		a, err := q.read()
		if wire.Ended(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read ask: %w", err)
		}
		q.open.Add(1)
		select {
		case q.asks <- a:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read reads one ask: io.EOF if the client ended the stream between two, or has had all it asked for and been
// silent since. That end is a clean one, as it may have much to take yet that is on its way.
func (q *askQueue) read() (waiting, error) {
	for {
		q.s.SetReadDeadline(time.Now().Add(idleTimeout))
		_, err := q.in.Peek(1)
		if err == nil {
			break
		}
		if !isTimeout(err) {
			return waiting{}, err
		}
		if q.open.Load() == 0 { // else it waits for our items
			return waiting{}, io.EOF
		}
	}
	q.s.SetReadDeadline(time.Now().Add(helloTimeout))
	n, err := wire.ReadLen(q.in, wire.MaxControl)
	if err != nil {
		return waiting{}, err
	}
	if err := q.s.Scope().ReserveMemory(n, network.ReservationPriorityAlways); err != nil {
		return waiting{}, fmt.Errorf("reserve memory: %w", err)
	}
	var m deltapb.Ask
	if err := wire.ReadBody(q.in, &m, n); err != nil {
		return waiting{}, err
	}
	a, err := parseAsk(&m)
	return waiting{a, n}, err
}

// done gives back what an ask holds.
func (q *askQueue) done(a waiting) {
	q.open.Add(-1)
	q.s.Scope().ReleaseMemory(a.mem)
}

// isTimeout tells whether err is a deadline's. Not every muxer's error is os.ErrDeadlineExceeded, but all
// say so by this method.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
