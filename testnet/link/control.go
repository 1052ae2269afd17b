package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

const (
	// tellTimeout bounds one conversation: the node reads one small file meanwhile.
	tellTimeout = 10 * time.Second
	// maxAnswer bounds the answer: one line.
	maxAnswer = 4 << 10
	done      = "done\n"
)

// socket is where a node in testnet mode is told of a new plan: beside the socket of its API, by a name that is no
// longer than that one's, which a kernel takes.
func socket(home string) string {
	return strings.TrimSuffix(strings.TrimSuffix(api.SocketPath(home), "api.sock"), ".sock") + "bed.sock"
}

// Tell makes the node that runs in home read its plan again; when it returns, the plan is in force. Errors:
// ErrNotRunning, ErrBadPlan, ctx's.
func Tell(ctx context.Context, home string) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket(home))
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("tell of the plan: %w", ErrNotRunning)
	}
	if err != nil {
		return fmt.Errorf("tell of the plan: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	answer, err := io.ReadAll(io.LimitReader(c, maxAnswer))
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("tell of the plan: %w", ctx.Err())
	case err != nil || len(answer) == 0: // it ended meanwhile
		return fmt.Errorf("tell of the plan: %w", ErrNotRunning)
	case string(answer) != done:
		return fmt.Errorf("tell of the plan: %w: %s", ErrBadPlan, strings.TrimSpace(string(answer)))
	}
	return nil
}

// Run answers Tell until ctx ends. The caller holds the lock of the home.
func (b *Bed) Run(ctx context.Context) error {
	l, err := api.ListenAt(socket(b.home))
	if err != nil {
		return fmt.Errorf("testnet mode: %w", err)
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	if err := b.reload(); err != nil { // a plan that came before anybody could be told
		b.log.Warn("testnet mode", "err", err)
	}
	close(b.listening)
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("testnet mode: %w", err)
		}
		if err != nil {
			b.log.Warn("testnet mode", "err", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		b.answer(c)
	}
}

// acceptPause is how long a lack, such as of file descriptors, is left to pass.
const acceptPause = 100 * time.Millisecond

// Listening is closed once Run can be told.
func (b *Bed) Listening() <-chan struct{} { return b.listening }

// answer reads the plan for one who asked by connecting.
func (b *Bed) answer(c net.Conn) {
	defer c.Close()
	answer := done
	if err := b.reload(); err != nil {
		answer = strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
	}
	c.SetWriteDeadline(time.Now().Add(tellTimeout))
	if _, err := io.WriteString(c, answer); err != nil {
		b.log.Debug("testnet mode", "err", err)
	}
}
