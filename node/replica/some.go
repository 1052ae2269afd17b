package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Select brings some files of a revision into a folder, which becomes no replica: of it only a note is kept, this node is
// announced as no holder, and what is known of the set here stays as it is. Of the revision all nodes are
// fetched, and of the files' bytes those that are lacking. What lies in the folder beside them stays; a file in the way
// that is another is a conflict, unless this call was killed before and had put it there. Of GetOptions all but KeepLocal,
// CopyConflicts, Pinned and Attached count. Errors: as Get, ErrPattern, ErrSelected, ErrNoRevision.
func (r *Registry) Select(ctx context.Context, t record.Ticket, only Selection, o GetOptions) (Got, error) {
	net := r.network()
	if net == nil {
		return Got{}, ErrOffline
	}
	if o.Patience == 0 && o.Revision != 0 {
		o.Patience = pastPatience
	}
	t = r.acquainted(t)
	ctx, cancel := context.WithCancel(ctx)
	g := r.newGet(ctx, net, t, o.withDefaults())
	defer g.look.wg.Wait()
	defer cancel()
	defer r.moving()()
	in0, out0 := net.Wire()
	got, err := g.some(ctx, t, only)
	for errors.Is(err, errSuperseded) { // what was fetched by now is in the temporaries
		before := got.Fetched
		got, err = g.some(ctx, t, only)
		got.Fetched = min(got.Fetched+before, got.Total)
	}
	in1, out1 := net.Wire()
	got.WireIn, got.WireOut = in1-in0, out1-out0
	if o.Plan {
		got.Estimate += got.WireIn + got.WireOut // what was said so far would be said again
	}
	g.account(got, err)
	return got, err
}

func (g *get) some(ctx context.Context, t record.Ticket, only Selection) (got Got, err error) {
	if err := g.settleOn(ctx, t); err != nil {
		return Got{}, err
	}
	dest, done, err := g.destination()
	if err != nil {
		return Got{}, err
	}
	defer done()
	g.o.Progress(Progress{Phase: "list"})
	h := head(g.v)
	s, _, err := g.layout(ctx, h)
	if err != nil {
		return Got{}, err
	}
	if err := g.vetted(ctx, h); err != nil {
		return Got{}, err
	}
	chosen, err := only.of(s.lay)
	if err != nil {
		return Got{}, fmt.Errorf("%s revision %d: %w", g.v.Config.Name, h.Revision, err)
	}
	part, whole := s.lay.Part(func(i int) bool { return chosen[i] })
	rep, _ := g.r.lookup(g.id)
	got = Got{Replica: rep, Head: h, Name: g.v.Config.Name, Dest: dest, Files: part.Files, Total: part.Bytes, Unconfirmed: len(g.holders) == 0}
	if g.o.MaxBytes > 0 && part.Bytes > g.o.MaxBytes {
		return got, fmt.Errorf("get %s: %w: %d bytes", got.Name, ErrTooBig, part.Bytes)
	}
	b := base{lay: part, forget: func() {}}
	if err := g.lend(ctx, &b, g.o.Using, false); err != nil {
		return got, err
	}
	defer b.forget()
	b.look(dest, false)
	got.Changed = len(b.lost) > 0 || got.others(s.lay, chosen)
	if g.o.Plan {
		return got, g.foretell(ctx, part, &got)
	}
	return got, g.bring(ctx, s, portion{part, whole, folders(s.lay, chosen)}, &got)
}

// others counts the chosen entries that are no files, and tells whether any of them is not in the destination.
func (g *Got) others(lay *dag.Layout, chosen []bool) (lacking bool) {
	for i, e := range lay.Entries {
		if !chosen[i] || e.Kind == dag.KindFile {
			continue
		}
		if e.Kind == dag.KindSymlink {
			g.Links++
		} else {
			g.Folders++
		}
		_, err := os.Lstat(filepath.Join(g.Dest, filepath.FromSlash(e.Path))) // only for what is said of it
		lacking = lacking || err != nil
	}
	return lacking
}

// vetted checks the newest head as a get does; one of the past was named by it.
func (g *get) vetted(ctx context.Context, h record.Head) error {
	if !g.v.HeadCids[0].Defined() {
		return nil
	}
	err := g.vet(ctx, entry{h, g.v.HeadCids[0], nil}, nil)
	if errors.Is(err, ErrForged) {
		g.refused[g.v.HeadCids[0]] = true
	}
	return err
}

// portion is what of a revision is wanted.
type portion struct {
	*dag.Layout                 // with the folders above
	whole       []uint32        // leaf of the portion -> leaf of the revision
	chosen      map[string]bool // the folders that were chosen: they get the modes of the revision
}

// folders are the paths of the chosen ones.
func folders(lay *dag.Layout, chosen []bool) map[string]bool {
	out := map[string]bool{}
	for i, e := range lay.Entries {
		if chosen[i] && e.Kind == dag.KindDir {
			out[e.Path] = true
		}
	}
	return out
}

// bring fetches what the portion of a revision lacks and puts it into the destination. s is of the whole revision: peers
// name its leaves by their numbers there. A folder of the user's that is only on the way keeps its mode.
func (g *get) bring(ctx context.Context, s *session, part portion, got *Got) error {
	g.o.Progress(Progress{Phase: "check", Total: part.Bytes})
	noted := g.r.parts.of(got.Dest)
	o := worktree.CheckoutOptions{Force: g.o.Force, Ours: true, FreeSpace: g.r.spaceFor(0), Theirs: func(path string) bool { return !part.chosen[path] },
		Local: g.r.cfg.Store.Get, Hold: true, MinLeaf: g.v.Genesis.Profile.Min, Now: g.r.cfg.Now}
	noted.into(&o)
	out, err := worktree.NewCheckout(ctx, got.Dest, g.id, part.Layout, o)
	if err != nil {
		return err
	}
	s.out = newTarget(out, part.whole)
	defer s.close()
	report, rest := g.o.Progress, s.lay.Bytes-part.Bytes
	g.o.Progress = func(p Progress) { // a download counts the rest of the revision as here
		report(Progress{Phase: p.Phase, Done: max(p.Done-rest, 0), Total: part.Bytes, Sources: p.Sources})
	}
	defer func() { g.o.Progress = report }()
	d := newDownload(g, s)
	if g.o.Revision != 0 || d.needs() > deltaWhole {
		g.look.widen()
	}
	err = d.run(ctx)
	got.Fetched, got.Sources = min(d.fetched, got.Total), d.delivered
	if err == nil {
		err = out.Release(ctx)
	}
	if err != nil {
		return err
	}
	report(Progress{Phase: "finish", Done: part.Bytes, Total: part.Bytes, Sources: got.Sources})
	got.Changed = got.Changed || got.Fetched > 0
	if got.Done, err = out.Finish(ctx, noted.files); err != nil {
		return err
	}
	noted.links(part.Layout)
	if err := g.r.parts.save(noted); err != nil { // the files are there: the next time they are somebody else's
		g.r.cfg.Log.Warn("get a part of a set", "set", g.id, "err", err)
	}
	return nil
}

// foretell plans what bring would do.
func (g *get) foretell(ctx context.Context, part *dag.Layout, got *Got) error {
	o := worktree.CheckoutOptions{Ours: true, Theirs: func(string) bool { return true }, MinLeaf: g.v.Genesis.Profile.Min, Now: g.r.cfg.Now}
	g.r.parts.of(got.Dest).into(&o)
	there, err := worktree.Look(ctx, got.Dest, g.id, part, o)
	if err != nil {
		return err
	}
	plan := planAmid(part, nil, there, func(c cid.Cid) bool {
		has, err := g.r.cfg.Store.Has(ctx, c)
		return err == nil && has
	})
	got.Plan, got.Fetched, got.InWay = plan, plan.Fetched, there.InWay
	need := 0
	for _, l := range plan.Leaves {
		if l.Source != diff.Reuse {
			need++
		}
	}
	if need > 0 {
		got.Estimate = plan.Fetched + int64(need)*chunkCost + sessionCost*lanesPerPeer
	}
	return nil
}

// planAmid plans how to get to a revision in a folder where something of it lies.
func planAmid(lay, old *dag.Layout, there worktree.Survey, here func(cid.Cid) bool) *diff.Plan {
	inDest := make(map[cid.Cid]bool, len(there.Leaves))
	for i, right := range there.Leaves {
		if right {
			inDest[lay.Leaves[i].Cid] = true
		}
	}
	plan := diff.NewPlan(lay, old, func(c cid.Cid) bool { return inDest[c] || here(c) })
	for i, f := range plan.Files {
		if f.Action == diff.Build && there.Placed[f.Entry] {
			plan.Files[i].Action = diff.Keep
		}
	}
	return plan
}
