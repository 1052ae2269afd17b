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
	if len(good) == 0 && !i.published() {
		return "", breakf(api.WhyWrongKey, "the records that are shown are not those of the set: %v", bad)
	}
	h, err := i.wanted(ctx, good)
	if err != nil {
		return "", err
	}
	t := &target{head: h}
	var lack []string
	code := api.WhyProviderGone // unless one of them answers
	for _, s := range good {
		err := i.first(ctx, s, h.Root)
		if err == nil {
			t.holders = append(t.holders, s)
			continue
		}
		if denied(err) {
			code = api.WhyNoRevision
		}
		if len(lack) < maxTold {
			w := *s.witness
			w.err = err
			lack = append(lack, fmt.Sprintf("%v (it is at revision %d)", w, s.v.Heads[0].Revision))
		}
	}
	if len(t.holders) == 0 && !i.have(h.Root) && !i.published() {
		return "", breakf(code, "revision %d: %s", h.Revision, strings.Join(lack, "; "))
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
	var newest record.Head
	if len(good) > 0 {
		newest = good[0].v.Heads[0]
	}
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

// denied tells whether a peer has answered that it has not got a block, or has given a wrong one; else it has not
// answered.
func denied(err error) bool {
	return errors.Is(err, blockstore.ErrNotFound) || errors.Is(err, blockstore.ErrCorrupt)
}

// errSilent: nothing more will come from this peer.
var errSilent = errors.New("the peer ended it")

func (i *inquiry) chunk(ctx context.Context) (string, error) {
	if i.have(i.target.head.Root) {
		return i.ownBytes(ctx)
	}
	lay, err := i.layout(ctx)
	if err != nil {
		code := api.WhyProviderGone
		if denied(err) {
			code = api.WhyNoChunk
		}
		return "", breakf(code, "the folders of revision %d are at nobody whole: %v", i.target.head.Revision, err)
	}
	ask, all := i.sample(lay)
	asked := len(ask)
	ask = i.lacking(ctx, lay, ask)
	all -= asked - len(ask)
	left, late, gone := i.askAll(ctx, lay, ask)
	switch {
	case late:
		return fmt.Sprintf("%d of %s came, the others were not waited for", len(ask)-len(left), plural(all, "chunk")), nil
	case len(left) > 0 && len(gone) > 0:
		return "", breakf(api.WhyProviderGone, "%d of the %s asked for did not come: %s", len(left), plural(len(ask), "chunk"), strings.Join(gone, "; "))
	case len(left) > 0:
		return "", breakf(api.WhyNoChunk, "%d of the %s asked for, at none of %s: %s", len(left), plural(len(ask), "chunk"),
			plural(len(i.target.holders), "holder"), files(lay, left))
	case len(ask) < all:
		return fmt.Sprintf("%d of %s were asked for and came; --deep asks for all", len(ask), plural(all, "chunk")), nil
	}
	return are(all, "chunk") + " not here, and came", nil
}

// askAll asks one holder after the other for leaves, and returns those that did not come. gone are holders that did not
// answer for some of those: without them it is not known whether these are missing. late: it took too long, and none was
// missing so far.
func (i *inquiry) askAll(ctx context.Context, lay *dag.Layout, ask []int) (left []int, late bool, gone []string) {
	giveUp := i.now().Add(samplePatience)
	unanswered := map[int][]string{} // by leaf: who did not answer
	left = ask
	for _, s := range i.target.holders {
		if len(left) == 0 {
			break
		}
		a := i.check(ctx, s, lay, left, giveUp)
		if a.late {
			return a.rest, true, nil
		}
		if left = append(a.denied, a.rest...); len(a.rest) > 0 {
			w := *s.witness
			w.err = a.err
			for _, leaf := range a.rest {
				unanswered[leaf] = append(unanswered[leaf], w.String())
			}
		}
	}
	lost := slices.DeleteFunc(slices.Clone(left), func(leaf int) bool { return unanswered[leaf] != nil })
	if len(lost) > 0 {
		return lost, false, nil
	}
	for _, leaf := range left {
		for _, who := range unanswered[leaf] {
			if !slices.Contains(gone, who) && len(gone) < maxTold {
				gone = append(gone, who)
			}
		}
	}
	return left, false, gone
}

// answers are what a holder said of the leaves that it was asked for.
type answers struct {
	denied []int // that it has not got, or not intact
	rest   []int // of which it said nothing
	late   bool  // because it took too long, and none was missing so far
	err    error // else why it ended
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
	return i.some(lay, ask), len(ask)
}

// some is the beginning of leaves, of as many bytes as take a moment; with Deep it is all.
func (i *inquiry) some(lay *dag.Layout, leaves []int) []int {
	var bytes int64
	for n, leaf := range leaves {
		if bytes += int64(lay.Leaves[leaf].Size); bytes > sampleBytes && n > 0 && !i.q.Deep {
			return leaves[:n]
		}
	}
	return leaves
}

// check asks one holder for leaves.
func (i *inquiry) check(ctx context.Context, s shown, lay *dag.Layout, ask []int, giveUp time.Time) (a answers) {
	r, err := i.peers.Blocks(ctx, s.peer.ID, i.ticket.Set, i.ticket.Cap)
	if err != nil {
		return answers{rest: ask, err: err}
	}
	defer r.Close()
	defer context.AfterFunc(ctx, func() { r.Close() })()
	var buf []byte
	for from := 0; from < len(ask); from += chunks.MaxWant {
		batch := ask[from:min(from+chunks.MaxWant, len(ask))]
		i.tell(api.Progress{Phase: api.StepChunk, Files: from})
		a.rest = ask[from:]
		if !i.q.Deep && i.now().After(giveUp) && len(a.denied) == 0 {
			a.late = true
			return a
		}
		cids := make([]cid.Cid, len(batch))
		for n, leaf := range batch {
			cids[n] = lay.Leaves[leaf].Cid
		}
		if a.err = r.Want(cids); a.err != nil {
			return a
		}
		for n := range batch {
			b, err := received(r, buf)
			if err != nil && !denied(err) {
				a.rest, a.err = ask[from+n:], err
				return a
			}
			if err != nil {
				a.denied = append(a.denied, batch[n])
				continue
			}
			buf = b.Data()
		}
	}
	a.rest = nil
	return a
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
