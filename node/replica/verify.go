package replica

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Checked is what reading every block of a revision found.
type Checked struct {
	Blocks  int // distinct, nodes and leaves
	Bytes   int64
	Damaged int      // blocks that are missing or wrong here
	Files   []string // paths that have a damaged block, sorted
}

// checkers is how many goroutines re-read a set: hashing is what takes the time.
const checkers = 4

// Verify reads and hashes every block of the set's newest revision. What it finds is what is known of the set from then
// on. An author's file that was put back counts as it is now.
func (r *Registry) Verify(ctx context.Context, rep *Replica, progress func(done, total int64)) (Checked, error) {
	v := rep.Verified()
	var out Checked
	_, _, total := head(v).Totals()
	// Not merely anywhere in the store: peers are served what is recorded under the set.
	get := func(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
		return r.cfg.Store.GetFrom(ctx, rep.id, c, buf)
	}
	err := chunks.WalkNodes(ctx, head(v).Root, get, func(b blockstore.Block) error {
		out.Blocks++
		out.Bytes += int64(len(b.Data()))
		return nil
	})
	if errors.Is(err, blockstore.ErrNotFound) || errors.Is(err, blockstore.ErrCorrupt) {
		out.Damaged++
		r.found(rep, head(v).Root, 1, []cid.Cid{head(v).Root}, nil)
		return out, nil // without its nodes nothing below can be named
	}
	if err != nil {
		return out, fmt.Errorf("verify: %w", err)
	}
	lay, err := dag.ReadLayout(ctx, head(v).Root, r.nodesOf(rep.id), dag.DefaultLimits())
	if err != nil {
		return out, fmt.Errorf("verify: %w", err)
	}
	report := func(done int64) { progress(done, int64(total)) }
	bad, err := r.checkLeaves(ctx, rep.id, lay, report)
	if err == nil && len(bad) > 0 && rep.State().Shared && r.reread(ctx, rep) == nil {
		bad, err = r.checkLeaves(ctx, rep.id, lay, report)
	}
	if err != nil {
		return out, fmt.Errorf("verify: %w", err)
	}
	for _, l := range lay.Leaves {
		out.Blocks++
		out.Bytes += int64(l.Size)
	}
	out.Damaged += len(bad)
	out.Files = filesWith(lay, bad)
	var lost []cid.Cid
	for n := range bad {
		lost = append(lost, lay.Leaves[n].Cid)
	}
	r.diagnose(rep, head(v).Root, func(h *health) {
		if h.found(head(v).Root, len(bad), lost, out.Files); len(bad) == 0 {
			h.harm.Refused = "" // whatever was gone is back
		}
	})
	r.LookAt(ctx, rep)
	return out, nil
}

// Heal fetches what Verify found damaged. It gets the very revision that was verified, replaces only files that
// look as they did when they were recorded, and leaves those that somebody edited as they are: they are in Got's
// Skipped. The author's own folder is never written: ErrInUse.
func (r *Registry) Heal(ctx context.Context, rep *Replica, c Checked) (Got, error) {
	st := rep.State()
	bad := make(map[string]bool, len(c.Files))
	for _, f := range c.Files {
		bad[f] = true
	}
	return r.Get(ctx, record.Ticket{Set: rep.id}, GetOptions{Dest: func(string) string { return st.Dir }, Pinned: true, KeepLocal: true,
		Distrust: func(path string) bool { return bad[path] }})
}

// checkLeaves reads every leaf and returns the ones that are missing or wrong.
func (r *Registry) checkLeaves(ctx context.Context, set cid.Cid, lay *dag.Layout, progress func(int64)) (map[uint32]bool, error) {
	var mu sync.Mutex // guards bad, done and next
	bad, done, next := map[uint32]bool{}, int64(0), 0
	group, ctx := errgroup.WithContext(ctx)
	for range checkers {
		group.Go(func() error {
			buf := make([]byte, 0, 1<<20) // the largest leaf
			for ctx.Err() == nil {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(lay.Leaves) {
					return nil
				}
				_, err := r.cfg.Store.GetFrom(ctx, set, lay.Leaves[i].Cid, buf)
				wrong := errors.Is(err, blockstore.ErrNotFound) || errors.Is(err, blockstore.ErrCorrupt)
				if err != nil && !wrong {
					return err
				}
				mu.Lock()
				if wrong {
					bad[uint32(i)] = true
				}
				done += int64(lay.Leaves[i].Size)
				now := done
				mu.Unlock()
				progress(now)
			}
			return ctx.Err()
		})
	}
	return bad, group.Wait()
}

// filesWith names the files that contain any of the leaves.
func filesWith(lay *dag.Layout, leaves map[uint32]bool) []string {
	var names []string
	for _, e := range lay.Entries {
		for _, l := range e.Leaves {
			if leaves[l] {
				names = append(names, e.Path)
				break
			}
		}
	}
	sort.Strings(names)
	return names
}

// Layout flattens the newest revision of a replica whose nodes are all here.
func (r *Registry) Layout(ctx context.Context, rep *Replica) (*dag.Layout, error) {
	return dag.ReadLayout(ctx, head(rep.Verified()).Root, r.nodesOf(rep.id), dag.DefaultLimits())
}

// Replicas lists what this node holds, by name.
func (r *Registry) Replicas() []*Replica { return r.all() }

// Head is the newest head of the set.
func (p *Replica) Head() (record.Head, bool) {
	v := p.Verified()
	if len(v.Heads) == 0 {
		return record.Head{}, false
	}
	return head(v), true
}

// Holders is how many nodes are known to hold the whole newest revision, this one included if it does.
func (p *Replica) Holders() int {
	n := p.feed.whole()
	root, ok := p.promised()
	p.mu.Lock()
	defer p.mu.Unlock()
	if ok && !p.health.of(root).Loses() {
		n++
	}
	return n
}
