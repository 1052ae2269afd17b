package replica

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// base is what lies on this disk that a revision is probably much like.
type base struct {
	lay    *dag.Layout     // nil = nothing is known of
	ours   bool            // it is a revision of this set, whose nodes are all here
	inDest bool            // and the destination holds it, or held it before the get that is gone on with
	whole  bool            // and the destination has nothing of any other but of the one that is being got
	lost   map[string]bool // files of it that look different in the destination; true: that are not there
	links  []dag.Entry     // its symlinks by path
	forget func()          // what was recorded for this get only
}

// findBase finds the revision that the destination holds, else one that lies elsewhere, else reads the folders
// that may be of use.
func (g *get) findBase(ctx context.Context, h record.Head) (base, error) {
	b := base{forget: func() {}}
	st := g.rep.State()
	if root, err := cid.Decode(st.Base); err == nil && !g.fresh {
		if b.lay, err = g.r.layoutOf(ctx, g.rep.id, root); err == nil {
			now, merr := markerOf(g.dest)
			b.ours, b.inDest = true, st.Dir == g.dest && merr == nil && !st.Marker.differs(now)
			if g.o.Attached && st.Dir == g.dest && !b.inDest {
				return b, fmt.Errorf("%s: %w", g.dest, ErrFolderGone)
			}
			for _, e := range b.lay.Entries {
				if e.Kind == dag.KindSymlink {
					b.links = append(b.links, e)
				}
			}
			if b.inDest {
				b.look(g.dest, g.o.Partial)
			}
			slices.SortFunc(b.links, func(a, b dag.Entry) int { return strings.Compare(a.Path, b.Path) })
			b.whole = b.inDest && (st.Complete && st.Onto == "" && !worktree.Interrupted(g.dest) || st.Onto == h.Root.String())
		}
	}
	implied := g.o.Force && b.lay == nil // the old content makes the get a difference before it is overwritten
	if info, err := os.Stat(g.dest); err != nil || !info.IsDir() {
		implied = false
	}
	using := slices.Clone(g.o.Using)
	if implied {
		using = append(using, g.dest)
	}
	err := g.lend(ctx, &b, using, implied)
	return b, err
}

// lend records for this get what lies in folders that may be of use, until b.forget is called. If b has no layout it
// gets that of the first of them. implied says that the last folder was not asked for: that it cannot be read is no error.
func (g *get) lend(ctx context.Context, b *base, using []string, implied bool) error {
	if len(using) == 0 {
		return nil
	}
	g.o.Progress(Progress{Phase: "scan"})
	scratch, suffix, release, err := g.r.scratch()
	if err != nil {
		return err
	}
	b.forget = func() {
		defer release()
		if err := g.r.cfg.Store.DeleteSet(context.WithoutCancel(ctx), scratch); err != nil {
			g.r.cfg.Log.Warn("forget what was read to be used", "set", g.id, "err", err)
		}
	}
	for i, dir := range using {
		lay, err := g.use(ctx, scratch, dir, suffix)
		if err != nil && implied && i == len(using)-1 && ctx.Err() == nil {
			g.r.cfg.Log.Info("what lies in the folder is not used", "set", g.id, "folder", dir, "err", err)
			continue
		}
		if err != nil {
			b.forget()
			return fmt.Errorf("use %s: %w", dir, err)
		}
		if b.lay == nil {
			b.lay = lay
		}
	}
	return nil
}

// maxScratch is how many gets may use other folders at once.
const maxScratch = 8

// scratchSet is the set that what one of them reads is recorded under: no peer can ask for it.
func scratchSet(i int) cid.Cid { return blockstore.Sum(cid.Raw, fmt.Appendf(nil, "scratch %d", i)) }

// scratch reserves a set to record under what is read to be used. One that a crash left is emptied by Open. The
// suffix makes of a folder's path another one that leads there, and is nobody else's: see treeOf.
func (r *Registry) scratch() (set cid.Cid, suffix string, release func(), err error) {
	for i := range maxScratch {
		set = scratchSet(i)
		if err = r.claim(set.String()); err == nil {
			return set, strings.Repeat(string(filepath.Separator)+".", 2+i), func() { r.unclaim(set.String()) }, nil
		}
	}
	return cid.Undef, "", nil, err
}

// forgetScratch empties the sets that a crash may have left.
func (r *Registry) forgetScratch(ctx context.Context) error {
	for i := range maxScratch {
		if err := r.cfg.Store.DeleteSet(ctx, scratchSet(i)); err != nil {
			return fmt.Errorf("forget what was read to be used: %w", err)
		}
	}
	return nil
}

// use records what lies in a folder under a set of its own that nobody is served: the set it may be shared as
// keeps its own records.
func (g *get) use(ctx context.Context, scratch cid.Cid, dir, suffix string) (*dag.Layout, error) {
	snap, err := worktree.Scan(ctx, dir, treeSink{g.r.cfg.Store, dir + suffix}, worktree.ScanOptions{
		Set: scratch, Profile: g.v.Genesis.Profile, Private: []string{g.r.cfg.Home}, PrivateMarks: g.r.cfg.HomeMarks, Now: g.r.cfg.Now,
		Progress: func(_ int, bytes int64) { g.o.Progress(Progress{Phase: "scan", Done: bytes}) },
	})
	if err != nil {
		return nil, err
	}
	return dag.ReadLayout(ctx, snap.Root, g.r.nodesOf(scratch), dag.DefaultLimits())
}

// plan compares the revision with what is here; nil if nothing of it is, and nothing like it.
func (g *get) plan(ctx context.Context, lay *dag.Layout) *diff.Plan {
	if g.base.lay == nil && len(g.r.all()) == 1 {
		return nil // nothing else lies here
	}
	plan := diff.NewPlan(lay, g.base.lay, g.here(ctx))
	if plan.Reused == 0 && plan.Patched == 0 && g.base.lay == nil {
		return nil
	}
	return plan
}

// here tells of leaves whether they are on this disk.
func (g *get) here(ctx context.Context) func(cid.Cid) bool {
	ask := g.r.cfg.Store.Has
	if g.base.inDest {
		ask = g.base.here(g.r.cfg.Store)
	}
	return func(c cid.Cid) bool {
		has, err := ask(ctx, c)
		return err == nil && has
	}
}

// preview plans what a get would do, and what it would take. A destination that it knows nothing of it looks at as the
// checkout would.
func (g *get) preview(ctx context.Context, s *session, got *Got) error {
	if g.base.inDest {
		return g.estimate(ctx, s, diff.NewPlan(s.lay, g.base.lay, g.here(ctx)), got)
	}
	g.o.Progress(Progress{Phase: "check", Total: s.lay.Bytes})
	o := worktree.CheckoutOptions{Known: g.known(ctx), MinLeaf: g.v.Genesis.Profile.Min, Now: g.r.cfg.Now}
	g.r.parts.of(g.dest).into(&o)
	there, err := worktree.Look(ctx, g.dest, g.id, s.lay, o)
	if err != nil {
		return err
	}
	got.InWay = there.InWay
	return g.estimate(ctx, s, planAmid(s.lay, g.base.lay, there, g.here(ctx)), got)
}

// look finds the files of the base that are not in the destination any more and, unless only those are of interest,
// those that look different: by size and, where the set keeps it, mtime.
func (b *base) look(dest string, onlyGone bool) {
	b.lost = map[string]bool{}
	root, err := os.OpenRoot(dest)
	if err != nil {
		root = nil
	} else {
		defer root.Close()
	}
	for _, e := range b.lay.Entries {
		if e.Kind != dag.KindFile {
			continue
		}
		if root == nil {
			b.lost[e.Path] = true
			continue
		}
		info, err := root.Lstat(filepath.FromSlash(e.Path))
		switch {
		case err != nil:
			b.lost[e.Path] = true
		case onlyGone: // what somebody edited is left alone until the author changes it too
		case !info.Mode().IsRegular() || info.Size() != e.Size || !e.Attr.Mtime.IsZero() && !info.ModTime().Equal(e.Attr.Mtime):
			b.lost[e.Path] = false
		}
	}
}

// here tells of leaves whether they are on this disk: those of the base's files that look as they should are, those
// of the others only if they can be read, and for the rest the index tells.
func (b *base) here(store Store) func(context.Context, cid.Cid) (bool, error) {
	const intact, doubted = 1, 2
	state := make(map[cid.Cid]int, len(b.lay.Leaves))
	for _, e := range b.lay.Entries {
		_, lost := b.lost[e.Path]
		for _, l := range e.Leaves {
			if c := b.lay.Leaves[l].Cid; !lost {
				state[c] = intact
			} else if state[c] == 0 {
				state[c] = doubted
			}
		}
	}
	return func(ctx context.Context, c cid.Cid) (bool, error) {
		switch state[c] {
		case intact:
			return true, nil
		case doubted:
			_, err := store.Get(ctx, c, nil)
			return err == nil, nil
		}
		return store.Has(ctx, c)
	}
}

// checkout prepares the destination: all of it, or the part that the plan touches. records is what the store is going to
// write beside it, bytes.
func (g *get) checkout(ctx context.Context, lay *dag.Layout, plan *diff.Plan, records int64) (*target, error) {
	o := worktree.CheckoutOptions{Known: g.known(ctx), Force: g.o.Force, FreeSpace: g.r.spaceFor(records), KeepLocal: g.o.KeepLocal, CopyConflicts: g.o.CopyConflicts,
		MinLeaf: g.v.Genesis.Profile.Min, Now: g.r.cfg.Now}
	part, whole := lay, []uint32(nil)
	if plan != nil {
		o.Hold, o.Local = true, g.r.cfg.Store.Get
		if g.base.inDest {
			o.Moves, o.Links, o.Ours = moves(plan), g.base.hasLink, true
		}
		if g.o.Partial && g.base.whole {
			part, whole = lay.Part(func(i int) bool { return plan.Touches(i) || g.base.lost[lay.Entries[i].Path] })
			o.Partial = true
		}
	}
	if !g.base.inDest {
		g.r.parts.of(g.dest).into(&o)
	}
	c, err := worktree.NewCheckout(ctx, g.dest, g.rep.id, part, o)
	if err != nil {
		return nil, err
	}
	return newTarget(c, whole), nil
}

// hasLink tells whether the base has a symlink.
func (b base) hasLink(path, target string) bool {
	i, ok := slices.BinarySearchFunc(b.links, path, func(e dag.Entry, path string) int { return strings.Compare(e.Path, path) })
	return ok && b.links[i].Target == target
}

// moves lists the files that are renamed: new path, old path.
func moves(plan *diff.Plan) map[string]string {
	m := map[string]string{}
	for _, f := range plan.Files {
		if f.Action == diff.Move {
			m[f.Path] = f.From
		}
	}
	return m
}

// update gets what the plan patches, saves what the update is about to lose, and puts in place what is complete
// by then. Until all of that has been read, no file is replaced.
func (g *get) update(ctx context.Context, s *session, plan *diff.Plan, nodes *nodeWriter, got *Got) error {
	saved := make(chan error, 1)
	go func() { saved <- g.save(ctx, s.lay) }()
	p, err := g.newPatcher(s, plan, s.out.Need())
	if err == nil {
		err = p.run(ctx)
		got.Patched, got.Fetched, got.Sources = p.patched, p.fetched, len(p.sources)
	}
	if serr := <-saved; err == nil {
		err = serr
	}
	if err == nil {
		err = nodes.wait()
	}
	if err != nil {
		return err
	}
	if got.Removed, err = g.remove(g.gone(ctx, s.lay, plan)); err != nil {
		return err
	}
	if g.rep.seated() != nil { // what a file is replaced by must not be lost to a power cut before what it had
		if err := worktree.Sync(g.dest); err != nil {
			return err
		}
	}
	return g.files.Release(ctx)
}

// save keeps what only the revision has that the destination holds.
func (g *get) save(ctx context.Context, lay *dag.Layout) (err error) {
	if !g.base.inDest || g.base.lay.Root == lay.Root {
		return nil
	}
	if err := g.setAside(ctx, lay); err != nil {
		return err
	}
	old, ok := g.rep.headOf(g.base.lay.Root)
	if !ok {
		g.r.cfg.Log.Info("the revision before is not kept: its record is not known any more", "set", g.id)
		return nil
	}
	g.saved, err = g.r.copyOut(ctx, g.rep, old, g.base.lay, lay)
	return err
}

// departed is what the destination holds of the base and the revision has not.
type departed struct {
	files []blockstore.File // as recorded
	rest  []dag.Entry       // folders and symlinks
	dirs  map[string]bool   // folders of the revision
}

func (g *get) gone(ctx context.Context, lay *dag.Layout, plan *diff.Plan) departed {
	out := departed{dirs: map[string]bool{}}
	if !g.base.inDest {
		return out
	}
	for _, e := range lay.Entries {
		if e.Kind == dag.KindDir {
			out.dirs[e.Path] = true
		}
	}
	gone := map[string]bool{}
	for _, path := range plan.Gone {
		gone[path] = true
	}
	known := g.r.known(ctx, g.dest)
	for _, e := range g.base.lay.Entries {
		if !gone[e.Path] {
			continue
		}
		if e.Kind != dag.KindFile {
			out.rest = append(out.rest, e)
		} else if f, ok := known(e.Path); ok && f.Set == g.rep.id {
			out.files = append(out.files, f)
		}
	}
	return out
}

// remove deletes what is gone and nobody changed since it was recorded: what was changed is somebody's, and is
// reported to stay.
func (g *get) remove(gone departed) (int, error) {
	files, err := worktree.Remove(g.dest, gone.files, func(dir string) bool { return gone.dirs[dir] })
	if err != nil {
		return files, err
	}
	for _, f := range gone.files {
		if info, err := os.Lstat(filepath.Join(g.dest, filepath.FromSlash(f.Path))); err == nil && info.Mode().IsRegular() {
			g.kept = append(g.kept, worktree.Conflict{Path: f.Path, Copy: f.Path})
		}
	}
	rest, err := worktree.Prune(g.dest, gone.rest)
	return files + rest, err
}

// removeGone ends an update: folders that lost their last file to a move go, and what is not in the revision is
// forgotten. Without a base, the records tell what an earlier revision had.
func (g *get) removeGone(ctx context.Context, lay *dag.Layout, plan *diff.Plan) (int, error) {
	if plan == nil || !g.base.inDest {
		return g.removeRecorded(ctx, lay)
	}
	gone := g.gone(ctx, lay, plan)
	// A move that could not be one, because somebody was quicker, leaves its source behind.
	sources := map[string]bool{}
	for _, from := range moves(plan) {
		sources[from] = true
	}
	for _, e := range lay.Entries {
		delete(sources, e.Path)
	}
	drop, known := gone.files, g.r.known(ctx, g.dest)
	gone.files = nil
	for from := range sources {
		if f, ok := known(from); ok && f.Set == g.id {
			gone.files, drop = append(gone.files, f), append(drop, f)
		}
	}
	n, err := g.remove(gone)
	if err == nil {
		err = g.r.drop(ctx, g.dest, drop)
	}
	if err == nil && g.saved.Path != "" && crowded(g.base.lay) {
		err = g.r.cfg.Store.PutFiles(ctx, g.saved) // see copyOut
	}
	return n, err
}

// crowded tells whether a leaf lies in so many places that the store may not have remembered one more.
func crowded(lay *dag.Layout) bool {
	const many = 32 // half of what the store remembers of a chunk and set
	places := make([]int, len(lay.Leaves))
	for _, e := range lay.Entries {
		for _, l := range e.Leaves {
			if places[l]++; places[l] > many {
				return true
			}
		}
	}
	return false
}

// removeRecorded deletes the recorded files that the revision does not have.
func (g *get) removeRecorded(ctx context.Context, lay *dag.Layout) (int, error) {
	if g.r.writes(g.rep) {
		return 0, nil // a file that was read to be published, and was not, is recorded too, and lies nowhere else
	}
	gone, err := g.r.gone(ctx, g.rep.id, g.dest, lay)
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	dirs := map[string]bool{}
	for _, e := range lay.Entries {
		dirs[e.Path] = e.Kind == dag.KindDir
	}
	n, err := worktree.Remove(g.dest, gone, func(dir string) bool { return dirs[dir] })
	if err != nil {
		return n, err
	}
	return n, g.r.drop(ctx, g.dest, gone)
}

const (
	// chunkCost is what a leaf costs on the wire beside its bytes, in the chunks protocol: its part of a want, and
	// the reply's header.
	chunkCost = 33 + 40
	// sessionCost is what opening a stream of chunks, or telling the holder at the end, costs: two small frames.
	sessionCost = 100
)

// estimate finds out what the plan would take on the wire, by asking for the lengths of all patches.
func (g *get) estimate(ctx context.Context, s *session, plan *diff.Plan, got *Got) error {
	got.Plan, got.Patched, got.Fetched = plan, plan.Patched, plan.Fetched
	var need []uint32
	for i, l := range plan.Leaves {
		if l.Source != diff.Reuse {
			need = append(need, uint32(i))
		}
	}
	p, err := g.newPatcher(s, plan, need)
	if err != nil {
		return err
	}
	if g.base.lay != nil { // else all of it is fetched, from as many as there are
		if err := p.run(ctx); err != nil {
			return err
		}
	}
	got.Estimate = p.price + sessionCost
	rest := int64(0)
	for _, i := range need {
		if !p.priced[i] {
			rest += int64(s.lay.Leaves[i].Size) + chunkCost
		}
	}
	if rest > 0 {
		got.Estimate += rest + sessionCost*lanesPerPeer
	}
	return nil
}

// arrived tells the watchers of leaves that came.
func (g *get) arrived(leaves ...uint32) {
	if g.rep != nil {
		g.rep.feed.add(leaves...)
	}
}
