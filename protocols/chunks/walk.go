package chunks

import (
	"context"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// nodeSize is room for usual nodes, in bytes: a full directory of the default profile has about 32 KiB.
const nodeSize = 64 << 10

// WalkNodes is Reader's Walk for whoever has a Get: it reads the dag-pb nodes below and including root
// in depth-first preorder, each distinct one once, and calls fn with it; the block is valid until fn
// returns. Errors: fn's and get's, dag.ErrMalformed, dag.ErrLimit.
func WalkNodes(ctx context.Context, root cid.Cid, get func(context.Context, cid.Cid, []byte) ([]byte, error), fn func(blockstore.Block) error) error {
	most := dag.DefaultLimits().Nodes
	seen := make(map[cid.Cid]bool)
	buf := make([]byte, 0, nodeSize)
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[c] || c.Prefix().Codec != cid.DagProtobuf {
			continue
		}
		if len(seen) == most {
			return fmt.Errorf("walk %s: %w: more than %d nodes", root, dag.ErrLimit, most)
		}
		seen[c] = true
		data, err := get(ctx, c, buf)
		if err != nil {
			return fmt.Errorf("walk %s: %w", root, err)
		}
		b, err := blockstore.Receive(c, data)
		if err != nil {
			return fmt.Errorf("walk %s: %w", root, err)
		}
		next, err := dag.NextNodes(b)
		if err != nil {
			return fmt.Errorf("walk %s: %w", root, err)
		}
		if err := fn(b); err != nil {
			return err
		}
		slices.Reverse(next) // the first child is on top
		todo = append(todo, next...)
	}
	return nil
}
