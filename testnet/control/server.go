package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// Serve answers at dir's socket until ctx ends, which is no error, and waits for the statements that are carried out
// then. No other network may use dir: a socket that lies there is removed.
func Serve(ctx context.Context, dir string, s Stage) error {
	l, err := listen(dir)
	if err != nil {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	defer os.Remove(filepath.Join(dir, "control.sock")) // a stale one would do no harm
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var talks sync.WaitGroup
	defer talks.Wait()
	places := make(chan struct{}, maxTalks)
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if err != nil {
			_ = l.Close()
			return fmt.Errorf("serve the control socket: %w", err)
		}
		places <- struct{}{} // who comes later waits in the kernel's queue
		talks.Go(func() {
			defer func() { <-places }()
			newTalk(ctx, c).answer(s)
		})
	}
}

// talk is one connection at the network's end.
type talk struct {
	net  context.Context // ends with the network
	ctx  context.Context // likewise, and when the client has gone away
	stop context.CancelFunc
	conn net.Conn
	in   *bufio.Reader

	mu    sync.Mutex // guards ended, and lets one write at a time
	ended bool       // the last line is written, or no more can be
}

func newTalk(ctx context.Context, c net.Conn) *talk {
	t := &talk{net: ctx, conn: c, in: bufio.NewReader(c)}
	t.ctx, t.stop = context.WithCancel(ctx)
	return t
}

// answer reads the request and answers it.
func (t *talk) answer(s Stage) {
	defer t.conn.Close()
	defer t.stop()
	unblock := context.AfterFunc(t.ctx, func() { _ = t.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer unblock()
	if t.conn.SetReadDeadline(time.Now().Add(frameDeadline)) != nil || t.ctx.Err() != nil {
		return
	}
	var r request
	switch err := readLine(t.in, maxRequest, &r); {
	case errors.Is(err, io.EOF): // it only wanted to know whether a network runs
		return
	case err != nil:
		t.last(answer{Error: misused("not a request: " + err.Error())})
		return
	}
	var beside sync.WaitGroup
	beside.Go(t.awaitEnd)
	beside.Go(t.live)
	last := t.carryOut(r, s)
	t.stop()
	beside.Wait()
	t.last(last)
}

func misused(why string) *api.Error {
	return &api.Error{Code: api.CodeBadRequest, ExitCode: api.ExitUsage, Title: why}
}

// carryOut does what is asked, and returns the last line of the answer.
func (t *talk) carryOut(r request, s Stage) answer {
	switch {
	case r.V != version:
		return answer{Error: misused(fmt.Sprintf("the network speaks version %d of the control socket, not %d: it was started by another version of the program", version, r.V))}
	case r.Op == "do":
		ctx := t.ctx
		if r.Alone {
			ctx = t.net
		}
		if err := s.Do(ctx, r.Line, func(text string) { t.write(answer{Say: text}) }); err != nil {
			return answer{Error: problem(err)}
		}
		return answer{}
	case r.Op == "list":
		return answer{Nodes: s.List(t.ctx)}
	case r.Op == "quit":
		s.Quit()
		<-t.ctx.Done() // the answer is that nobody serves any more
		return answer{}
	default:
		return answer{Error: misused(fmt.Sprintf("%q cannot be asked", r.Op))}
	}
}

// awaitEnd ends the talk when the client goes away; it has nothing more to say.
func (t *talk) awaitEnd() {
	if t.conn.SetReadDeadline(time.Time{}) == nil && t.ctx.Err() == nil {
		_, _ = t.in.ReadByte()
	}
	t.stop()
}

// live gives signs of life until the talk ends.
func (t *talk) live() {
	clock := time.NewTicker(alive)
	defer clock.Stop()
	for {
		select {
		case <-clock.C:
			t.write(answer{})
		case <-t.ctx.Done():
			return
		}
	}
}

// write writes a line, unless the last one is written; a client that does not read ends the talk.
func (t *talk) write(a answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	err := writeLine(t.conn, a)
	t.ended = a.Done || err != nil
	if err != nil {
		t.stop()
	}
}

func (t *talk) last(a answer) {
	a.Done = true
	t.write(a)
}
