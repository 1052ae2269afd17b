package nodes

import (
	"context"
	"fmt"
	"maps"

	"github.com/shoal-p2p/shoal/testnet/link"
)

// Shape is how bytes travel in a network, and what the nodes' disks and answers are like. A pair or node that is not
// named is plain.
type Shape struct {
	Rules    map[[2]string]link.Rule // by names: from, to
	Up, Down map[string]int64        // bytes a second of all that a node sends, receives
	Lies     map[string]bool         // serves wrong bytes
	Full     map[string]bool         // its disk is full
}

func plainShape() Shape {
	return Shape{Rules: map[[2]string]link.Rule{}, Up: map[string]int64{}, Down: map[string]int64{}, Lies: map[string]bool{}, Full: map[string]bool{}}
}

func (s Shape) clone() Shape {
	return Shape{maps.Clone(s.Rules), maps.Clone(s.Up), maps.Clone(s.Down), maps.Clone(s.Lies), maps.Clone(s.Full)}
}

// Shape lets change alter the shape of the network and returns when every node that it concerns and that is awake goes
// by it; the others will when they run or go on. change must not keep what it is given. Where it fails the shape is
// what it was, and the next call brings those nodes to it that went by the other one already. ErrUnsupported for what
// the mode or the kernel cannot do.
func (n *Net) Shape(ctx context.Context, change func(*Shape)) error {
	ctx, done, err := n.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	release, err := n.shapingTurn(ctx)
	if err != nil {
		return err
	}
	defer release()
	next := n.shape.clone()
	change(&next)
	if err := n.ground.apply(ctx, next, n.settled); err != nil {
		return fmt.Errorf("shape the network: %w", err)
	}
	n.shape = next
	return nil
}

// shapingTurn waits until nobody else changes the shape or the residents.
func (n *Net) shapingTurn(ctx context.Context) (release func(), err error) {
	select {
	case n.shaping <- struct{}{}:
		return func() { <-n.shaping }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
