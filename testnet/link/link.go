// Package link decides how bytes travel between the nodes of a testnet. It runs inside a node that was started
// with the plan of its links in its home: every TCP connection of that node then has the latency, the loss, the
// rate and the cuts that the plan says, in each direction, and a change of the plan is in force when Tell returns.
//
// Who shapes: the dialler, both directions, for it knows who listens where it dials (Plan.Peers). Up and Down, which
// bound all connections of a node together, are applied by every node itself. What follows:
//
//   - Bytes that a cut holds back are late, not lost, as under TCP: they arrive after healing, unless a deadline or
//     a keepalive has given the connection up by then. A dial through a cut waits for its context.
//   - A connection that a node closes behind a cut is closed for the other end after healing, two minutes later at
//     most. When the dialler's process ends, though, the other end sees that at once, whatever is cut.
//   - A lost segment of 1,460 bytes arrives a round trip and 20 ms late, and all behind it waits for it. That TCP
//     also sends more slowly after a loss is not modelled.
//   - At most 4 MiB are under way in a direction: more than that over the latency is never reached.
//
// How: the bytes of one direction wait to leave, fly, and are delivered. When, travel says, which is pure: time and
// randomness are arguments, and the pace comes from token buckets. Around it, a conn carries the bytes; one that
// nothing slows down passes them through as they are.
package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2/maybe"
)

// ErrNotRunning: no node in testnet mode answers in that home. One that starts later reads the plan by itself.
var ErrNotRunning = errors.New("no node in testnet mode runs in this home")

// ErrBadPlan: the plan is not understood or asks for the impossible.
var ErrBadPlan = errors.New("bad plan of links")

// Rule is how bytes travel in one direction between two nodes. The zero value is as the machine can.
type Rule struct {
	Latency time.Duration `json:"latency,omitempty"` // of every byte, nanoseconds in JSON
	Jitter  time.Duration `json:"jitter,omitempty"`  // 0 to this much more; bytes are never reordered
	Loss    float64       `json:"loss,omitempty"`    // share of segments, 0 to 1; 1 is as a cut
	Rate    int64         `json:"rate,omitempty"`    // bytes per second of all connections that this end dialled; 0 = unlimited
	Cut     bool          `json:"cut,omitempty"`     // nothing arrives
}

// Plan is what one node has to know of its links.
type Plan struct {
	Seed  uint64            `json:"seed,omitempty"`  // of jitter and loss
	Peers map[string]string `json:"peers,omitempty"` // "127.0.0.1:4001" -> name: who listens where
	Out   map[string]Rule   `json:"out,omitempty"`   // by name: from this node to that one
	In    map[string]Rule   `json:"in,omitempty"`    // by name: from that one to this
	Up    int64             `json:"up,omitempty"`    // bytes per second sent on all connections together; 0 = unlimited
	Down  int64             `json:"down,omitempty"`  // the same received
	Lies  bool              `json:"lies,omitempty"`  // it serves wrong bytes
	Full  bool              `json:"full,omitempty"`  // its disk is full
	Name  string            `json:"name,omitempty"`  // of this node
	Net   string            `json:"net,omitempty"`   // folder of the network, absolute, where package control answers; "" = nobody does
}

const (
	planFile = "testnet.json"
	// maxPlan is thirty times the plan of a node among 100.
	maxPlan = 1 << 20
	// maxDelay bounds latency and jitter: a minute is longer than any keepalive waits.
	maxDelay = time.Minute
)

// Write puts the plan into the home, in the place of the one before, in one step.
func Write(home string, p Plan) error {
	if err := p.check(); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	b, err := json.Marshal(p)
	if err == nil {
		err = maybe.WriteFile(filepath.Join(home, planFile), append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// read is the plan of a home; the zero plan where there is none.
func read(home string) (Plan, error) {
	f, err := os.Open(filepath.Join(home, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Plan{}, nil
	}
	if err != nil {
		return Plan{}, fmt.Errorf("read plan: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPlan+1))
	if err != nil {
		return Plan{}, fmt.Errorf("read plan: %w", err)
	}
	return parse(b)
}

// parse reads a plan. Errors: ErrBadPlan.
func parse(b []byte) (Plan, error) {
	var p Plan
	if len(b) > maxPlan {
		return p, fmt.Errorf("%w: it is longer than %d bytes", ErrBadPlan, maxPlan)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrBadPlan, err)
	}
	return p, p.check()
}

func (p Plan) check() error {
	if p.Up < 0 || p.Down < 0 {
		return fmt.Errorf("%w: a rate below 0", ErrBadPlan)
	}
	if p.Net != "" && (p.Name == "" || !filepath.IsAbs(p.Net)) {
		return fmt.Errorf("%w: a network is an absolute folder, and its nodes have names", ErrBadPlan)
	}
	for _, rules := range []map[string]Rule{p.Out, p.In} {
		for name, r := range rules {
			if err := r.check(); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrBadPlan, name, err)
			}
		}
	}
	return nil
}

func (r Rule) check() error {
	switch {
	case r.Latency < 0 || r.Latency > maxDelay || r.Jitter < 0 || r.Jitter > maxDelay:
		return fmt.Errorf("latency and jitter are 0 to %v", maxDelay)
	case !(r.Loss >= 0 && r.Loss <= 1): // NaN, too
		return errors.New("loss is 0 to 1")
	case r.Rate < 0:
		return errors.New("a rate below 0")
	}
	return nil
}
