package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

const (
	// sampleBytes are asked for unless all are: seconds on a slow line, and all of most sets.
	sampleBytes = 8 << 20
	// samplePatience is when the chunks that came are taken for the others, unless all are asked for.
	samplePatience = 20 * time.Second
	// walkPatience bounds reading the folders of a revision at one peer: those of 100,000 files over a slow line.
	walkPatience = time.Minute
	// maxWalked bounds the bytes of folders that are kept meanwhile: those of a million files.
	maxWalked = 256 << 20
)

// blockReader reads blocks of a set at one peer; *chunks.Session is one.
type blockReader interface {
	Want(cids []cid.Cid) error
	Walk(root cid.Cid) error
	Next(buf []byte) (chunks.Reply, error)
	Close() error
}

// target is the revision that is to be had, and who has it.
type target struct {
	head    record.Head
	holders []shown
}

func (i *inquiry) revision(ctx context.Context) (string, error) {
	good, bad := i.verified()
	if len(good) == 0 {
		return "", breakf(api.WhyWrongKey, "the records that are shown are not those of the set: %v", bad)
	}
	h, err := i.wanted(ctx, good)
	if err != nil {
		return "", err
	}
	t := &target{head: h}
	var lack []string
	for _, s := range good {
		err := i.first(ctx, s, h.Root)
		if err == nil {
			t.holders = append(t.holders, s)
		} else if len(lack) < maxTold {
			w := *s.witness
			w.err = err
			lack = append(lack, fmt.Sprintf("%v (it is at revision %d)", w, s.v.Heads[0].Revision))
		}
	}
	if len(t.holders) == 0 && !i.have(h.Root) {
		return "", breakf(api.WhyNoRevision, "revision %d: %s", h.Revision, strings.Join(lack, "; "))
	}
	i.target = t
	where := plural(len(t.holders), "peer")
	if i.have(h.Root) {
		where += ", and here"
	}
	return fmt.Sprintf("revision %d is at %s", h.Revision, where), nil
}

// wanted is the head of the revision that was asked for, or the newest that anybody knows.
func (i *inquiry) wanted(ctx context.Context, good []shown) (record.Head, error) {
	newest := good[0].v.Heads[0]
	if i.mine != nil && len(i.mine.verified.Heads) > 0 && i.mine.verified.Heads[0].Revision > newest.Revision {
		newest = i.mine.verified.Heads[0]
	}
	if i.q.Rev == 0 || i.q.Rev == newest.Revision {
		return newest, nil
	}
	for _, s := range good {
		for _, h := range s.v.Heads {
			if h.Revision == i.q.Rev {
				return h, nil
			}
		}
	}
	if i.mine != nil {
		if h, err := i.mine.head(i.q.Rev); err == nil {
			return h, nil
		}
	}
	for _, s := range good {
		if h, ok := i.past(ctx, s); ok {
			return h, nil
		}
	}
	return record.Head{}, breakf(api.WhyNoRevision, "revision %d: nobody knows it, the newest is %d", i.q.Rev, newest.Revision)
}

// past asks a peer for the head of the revision among those before its newest.
func (i *inquiry) past(ctx context.Context, s shown) (record.Head, bool) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	sealed, err := i.peers.History(ctx, s.peer.ID, i.ticket.Set, i.ticket.Cap)
	if err != nil {
		return record.Head{}, false
	}
	heads, _, _ := record.OpenAncestors(s.v, sealed) // those before one that is not good are good
	for _, h := range heads {
		if h.Revision == i.q.Rev {
			return h, true
		}
	}
	return record.Head{}, false
}

// have tells whether all of a revision is here.
func (i *inquiry) have(root cid.Cid) bool {
	return i.mine != nil && i.mine.picture.Complete && len(i.mine.verified.Heads) > 0 && i.mine.verified.Heads[0].Root == root
}

// first asks a peer for the root of a revision. Errors: blockstore.ErrNotFound, blockstore.ErrCorrupt, those of the stream.
func (i *inquiry) first(ctx context.Context, s shown, root cid.Cid) error {
	r, err := i.peers.Blocks(ctx, s.peer.ID, i.ticket.Set, i.ticket.Cap)
	if err != nil {
		return err
	}
	defer r.Close()
	defer context.AfterFunc(ctx, func() { r.Close() })()
	if err := r.Want([]cid.Cid{root}); err != nil {
		return err
	}
	_, err = received(r, nil)
	return err
}

// received is the next reply, if it is a good block.
func received(r blockReader, buf []byte) (blockstore.Block, error) {
	reply, err := r.Next(buf)
	if err != nil {
		return blockstore.Block{}, fmt.Errorf("%w: %w", errSilent, err)
	}
	if reply.Code != wire.OK {
		return blockstore.Block{}, fmt.Errorf("%w: %v", blockstore.ErrNotFound, reply.Code)
	}
	return blockstore.Receive(reply.Cid, reply.Data)
}

// errSilent: nothing more will come from this peer.
var errSilent = errors.New("the peer ended it")

func (i *inquiry) chunk(ctx context.Context) (string, error) {
	if i.have(i.target.head.Root) {
		return "all of it is here", nil
	}
	lay, err := i.layout(ctx)
	if err != nil {
		return "", breakf(api.WhyNoChunk, "the folders of revision %d are at nobody whole: %v", i.target.head.Revision, err)
	}
	ask, all := i.sample(lay)
	giveUp := i.now().Add(samplePatience)
	left := ask
	for _, s := range i.target.holders {
		if len(left) == 0 {
			break
		}
		var stop bool
		if left, stop = i.check(ctx, s, lay, left, giveUp); stop {
			return fmt.Sprintf("%d of %s came, the others were not waited for", len(ask)-len(left), plural(all, "chunk")), nil
		}
	}
	if len(left) > 0 {
		return "", breakf(api.WhyNoChunk, "%d of the %s asked for are at none of %s: %s", len(left), plural(len(ask), "chunk"),
			plural(len(i.target.holders), "holder"), files(lay, left))
	}
	if len(ask) < all {
		return fmt.Sprintf("%d of %s were asked for and came; --deep asks for all", len(ask), plural(all, "chunk")), nil
	}
	return fmt.Sprintf("%s are not here, and came", plural(all, "chunk")), nil
}

// sample chooses the leaves to ask for: first those that nobody says to have, then others at random. all is how many
// are not here.
func (i *inquiry) sample(lay *dag.Layout) (ask []int, all int) {
	same := i.mine != nil && len(i.mine.verified.Heads) > 0 && i.mine.verified.Heads[0].Root == lay.Root
	var doubtful, others []int
	for n := range lay.Leaves {
		switch {
		case same && i.mine.picture.Has(n):
		case slices.ContainsFunc(i.target.holders, func(s shown) bool { return s.v.Heads[0].Root != lay.Root || s.info.Has(n) }):
			others = append(others, n)
		default:
			doubtful = append(doubtful, n)
		}
	}
	i.shuffle(len(others), func(a, b int) { others[a], others[b] = others[b], others[a] })
	ask = append(doubtful, others...)
	all = len(ask)
	if i.q.Deep {
		return ask, all
	}
	var bytes int64
	for n, leaf := range ask {
		if bytes += int64(lay.Leaves[leaf].Size); bytes > sampleBytes && n > 0 {
			return ask[:n], all
		}
	}
	return ask, all
}

// check asks one holder for leaves, and returns those that it does not give. stop: it takes too long, and none was missing
// so far.
func (i *inquiry) check(ctx context.Context, s shown, lay *dag.Layout, ask []int, giveUp time.Time) (left []int, stop bool) {
	r, err := i.peers.Blocks(ctx, s.peer.ID, i.ticket.Set, i.ticket.Cap)
	if err != nil {
		return ask, false
	}
	defer r.Close()
	defer context.AfterFunc(ctx, func() { r.Close() })()
	var buf []byte
	for from := 0; from < len(ask); from += chunks.MaxWant {
		batch := ask[from:min(from+chunks.MaxWant, len(ask))]
		i.tell(api.Progress{Phase: api.StepChunk, Files: from})
		if !i.q.Deep && i.now().After(giveUp) && len(left) == 0 {
			return ask[from:], true
		}
		cids := make([]cid.Cid, len(batch))
		for n, leaf := range batch {
			cids[n] = lay.Leaves[leaf].Cid
		}
		if r.Want(cids) != nil {
			return append(left, ask[from:]...), false
		}
		for n := range batch {
			b, err := received(r, buf)
			switch {
			case errors.Is(err, errSilent):
				return append(left, ask[from+n:]...), false
			case err != nil:
				left = append(left, batch[n])
			default:
				buf = b.Data()
			}
		}
	}
	return left, false
}

// files names those that leaves are of, and where in them the first is.
func files(lay *dag.Layout, leaves []int) string {
	lost := map[uint32]bool{}
	for _, n := range leaves {
		lost[uint32(n)] = true
	}
	var told []string
	for _, e := range lay.Entries {
		n := slices.IndexFunc(e.Leaves, func(l uint32) bool { return lost[l] })
		if n < 0 {
			continue
		}
		if len(told) == maxTold {
			return strings.Join(told, ", ") + " and others"
		}
		var at int64
		for _, l := range e.Leaves[:n] {
			at += int64(lay.Leaves[l].Size)
		}
		told = append(told, fmt.Sprintf("%q at byte %d", e.Path, at))
	}
	return strings.Join(told, ", ")
}

// layout flattens the revision: out of what is here, else with the folders of a holder.
func (i *inquiry) layout(ctx context.Context) (*dag.Layout, error) {
	root := i.target.head.Root
	err := error(blockstore.ErrNotFound)
	if i.mine != nil {
		var lay *dag.Layout
		if lay, err = i.mine.layout(ctx, root); err == nil {
			return lay, nil
		}
	}
	for _, s := range i.target.holders {
		var lay *dag.Layout
		if lay, err = i.walkAt(ctx, s, root); err == nil {
			return lay, nil
		}
	}
	return nil, err
}

// walkAt reads the folders of a revision at one peer, as many as a get would take.
func (i *inquiry) walkAt(ctx context.Context, s shown, root cid.Cid) (*dag.Layout, error) {
	walk, cancel := context.WithTimeout(ctx, walkPatience)
	defer cancel()
	r, err := i.peers.Blocks(walk, s.peer.ID, i.ticket.Set, i.ticket.Cap)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	defer context.AfterFunc(walk, func() { r.Close() })()
	if err := r.Walk(root); err != nil {
		return nil, err
	}
	lim := dag.DefaultLimits()
	_, entries, bytes := i.target.head.Totals()
	most := int64(min(entries<<10+bytes/512, maxWalked)) + 1<<20 // as what was signed makes them at most, and some
	nodes := map[cid.Cid][]byte{}
	for size := int64(0); ; {
		reply, err := r.Next(nil)
		if err != nil {
			return nil, err
		}
		if !reply.Cid.Defined() {
			break // what is missing the layout finds
		}
		b, err := blockstore.Receive(reply.Cid, reply.Data)
		if err != nil {
			return nil, err
		}
		nodes[b.Cid()] = b.Data()
		if size += int64(len(b.Data())); len(nodes) > lim.Nodes || size > most {
			return nil, dag.ErrLimit
		}
	}
	return dag.ReadLayout(ctx, root, func(_ context.Context, c cid.Cid) ([]byte, error) {
		if b, ok := nodes[c]; ok {
			return b, nil
		}
		return nil, fmt.Errorf("folder %s: %w", c, blockstore.ErrNotFound)
	}, lim)
}
