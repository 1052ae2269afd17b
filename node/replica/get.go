package replica

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// GetOptions says how to get a set.
type GetOptions struct {
	Dest  func(name string) string // absolute folder for a set of this name
	Force bool                     // overwrite files this node did not write
	// KeepLocal leaves such files as they are and reports them as skipped, instead of refusing the folder.
	KeepLocal bool
	// Distrust names files that are to be read again although their stamps are those recorded; nil = none.
	Distrust func(path string) bool
	// Pinned gets the revision this node has accepted before, even if there is a newer one.
	Pinned bool
	// Revision is of Restore: which one; 0 = the newest.
	Revision uint64
	// Plan finds out what there is to do and what it would take, and does nothing.
	Plan bool
	// Using names folders whose files may be of use: they are read, and not changed.
	Using []string
	// CopyConflicts renames files that somebody edited out of the way, instead of refusing the folder.
	CopyConflicts bool
	// Attached refuses a destination that is not the folder that held the set: it may not be mounted.
	Attached bool
	// Partial looks only at the files that differ from the revision the folder holds.
	Partial  bool
	MaxBytes int64                 // refuse more; 0 = no bound
	Patience time.Duration         // give up after this long without a new byte; 0 = a minute
	Grace    time.Duration         // wait this long for an intact copy once all are known to be damaged; 0 = 5 s
	Progress func(Progress)        // may be nil
	Begin    func(revision uint64) // told of a revision that is not complete here yet; may be nil
}

// Progress is where a get stands.
type Progress struct {
	Phase   string // "find", "list", "check", "fetch", "finish"
	Done    int64  // leaf bytes here, of Total
	Total   int64
	Sources int // peers that delivered
}

// Got is what a get did.
type Got struct {
	Replica *Replica // nil for a past revision of a set that is not here
	Head    record.Head
	Name    string // of the set
	Dest    string
	Files   int
	Links   int // of Select, as Folders: what was chosen itself, or lies in it
	Folders int
	Total   int64 // leaf bytes of the revision, each distinct leaf once for every place it has
	Patched int64 // of Total, rebuilt from patches in this run
	Fetched int64 // of Total, received whole and verified in this run; what is left was on this disk
	Sources int
	Changed bool // the folder did not hold this revision before
	Removed int  // files an earlier revision had and this one has not
	Done    worktree.Result
	WireIn  int64
	WireOut int64
	Began   time.Time // with the search for holders, or when a follower heard of the revision
	// Unconfirmed: nobody could be asked whether there is a newer one.
	Unconfirmed bool

	Plan     *diff.Plan              // with GetOptions.Plan
	InWay    *worktree.ConflictError // with GetOptions.Plan: what the get would be refused for; nil = it would not
	Estimate int64                   // with GetOptions.Plan: bytes on the wire, both ways, that the get would take
}

// Reused is how many bytes of Total were on this disk.
func (g Got) Reused() int64 { return g.Total - g.Patched - g.Fetched }

// defaultPatience is how long a get waits for a source to appear or go on: long enough for a publisher
// to reboot, short enough that a script notices.
const defaultPatience = time.Minute

// defaultGrace is how long a leaf that every holder has only damaged, or that only liars had, is waited for:
// another seeder may be about to be found.
const defaultGrace = 5 * time.Second

// get is one run of Get; its fields belong to the goroutine that runs it.
type get struct {
	r    *Registry
	net  *Network
	id   cid.Cid // of the set
	o    GetOptions
	look *lookout

	holders map[peer.ID]*holding
	failed  map[peer.ID]error
	ever    map[peer.ID]bool // every peer that was a holder at some time
	rep     *Replica
	fresh   bool            // rep was made by this get, and is not saved yet
	v       record.Verified // whose newest head is being fetched
	bundle  record.Bundle   // v as it came
	dest    string
	base    base                // what lies here that the revision is probably much like
	kept    []worktree.Conflict // edited files that the revision has not
	saved   blockstore.File     // the segment with what only the base had, if there is one
	delta   *deltaStream        // what is open of the delta protocol, or nil
	held    time.Time           // since when the folder is not taken back; zero = it is not about to be
	wait    time.Duration       // how long another command on the same folder is waited for
	refused map[cid.Cid]bool    // heads that turned out to be forged
	older   bool                // folders of earlier revisions are wanted: whoever is complete may have them
	files   *target             // the folder as a sink; nil of a get that does not write one
}

// Get brings the newest revision of a set into a folder: find, list, difference, fetch, verify, store.
// Every step may be repeated: the same call after a crash goes on where the last one was.
// Errors: ErrOffline, ErrNoPeers, ErrNobody, ErrTimeout, ErrDamaged, ErrTooBig, ErrInUse, ErrBusy,
// worktree.ErrConflict, worktree.ErrNotWritable, blockstore.ErrNoSpace.
func (r *Registry) Get(ctx context.Context, t record.Ticket, o GetOptions) (Got, error) {
	net := r.network()
	if net == nil {
		return Got{}, ErrOffline
	}
	o = o.withDefaults()
	t, err := r.completed(t)
	if err != nil {
		return Got{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	g := r.newGet(ctx, net, t, o)
	defer g.look.wg.Wait()
	defer cancel()
	got, err := g.once(ctx, t)
	if o.Plan {
		got.Estimate += got.WireIn + got.WireOut // what was said so far would be said again
	}
	return got, err
}

func (o GetOptions) withDefaults() GetOptions {
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Begin == nil {
		o.Begin = func(uint64) {}
	}
	return o
}

// newGet starts to look for holders.
func (r *Registry) newGet(ctx context.Context, net *Network, t record.Ticket, o GetOptions) *get {
	g := &get{r: r, net: net, id: t.Set, o: o, holders: map[peer.ID]*holding{}, failed: map[peer.ID]error{}, ever: map[peer.ID]bool{}, refused: map[cid.Cid]bool{}}
	have := func() *record.Bundle {
		rep, ok := r.lookup(t.Set)
		if !ok {
			return nil
		}
		b := rep.State().Bundle
		return &b
	}
	g.look = look(ctx, net, t, have, r.cfg.Log.With("set", t.Set))
	return g
}

// completed adds to a ticket what is remembered of its set: the capability, and who had it the last time.
// Errors: ErrInUse for a set that is shared from here.
func (r *Registry) completed(t record.Ticket) (record.Ticket, error) {
	rep, ok := r.lookup(t.Set)
	if !ok {
		return t, nil
	}
	st := rep.State()
	if st.Shared { // before anybody is asked
		return t, fmt.Errorf("get %s: %w: it is shared from %s", st.Name, ErrInUse, st.Dir)
	}
	return r.acquainted(t), nil
}

func (g *get) run(ctx context.Context, t record.Ticket) (got Got, err error) {
	g.o.Progress(Progress{Phase: "find"})
	if err := g.choose(ctx, t); err != nil {
		return Got{}, err
	}
	h := head(g.v)
	if rep, ok := g.r.lookup(t.Set); !ok || !rep.State().Complete || head(rep.Verified()).Root != h.Root {
		g.o.Begin(h.Revision)
	}
	g.dest = filepath.Clean(g.o.Dest(g.v.Config.Name))
	if err := worktree.CheckOutside(g.dest, g.r.cfg.Home); err != nil && g.dest != g.r.Keep(g.id) {
		return Got{}, fmt.Errorf("get: %w", err)
	}
	if err := g.r.claimSoon(ctx, g.dest, g.wait); err != nil {
		return Got{}, err
	}
	defer g.r.unclaim(g.dest)
	if g.wait > 0 { // what was published from this folder meanwhile must not be taken back
		g.pick(t)
		h = head(g.v)
	}
	if err := g.open(ctx, t, h); err != nil {
		return Got{}, err
	}
	defer g.leave()
	if !g.o.Plan {
		g.r.announce(g.rep.id) // at once: whoever looks for the set may find this node's first chunks
	}
	g.o.Progress(Progress{Phase: "list"})
	defer g.hangUp()
	g.saved, g.kept = blockstore.File{}, nil
	if g.base, err = g.findBase(ctx, h); err != nil {
		return Got{}, err
	}
	defer g.base.forget()
	s, nodes, err := g.layout(ctx, h)
	if err != nil {
		return Got{}, err
	}
	if err := g.vet(ctx, entry{h, g.v.HeadCids[0], nil}, nil); err != nil {
		if errors.Is(err, ErrForged) {
			g.refused[g.v.HeadCids[0]] = true
		}
		return Got{}, err
	}
	got = Got{Replica: g.rep, Head: h, Name: g.v.Config.Name, Dest: g.dest, Files: s.lay.Files, Total: s.lay.Bytes}
	got.Changed = !g.base.ours || g.base.lay.Root != h.Root || !g.rep.State().Complete
	got.Unconfirmed = len(g.holders) == 0
	if g.o.Plan {
		return got, g.preview(ctx, s, &got)
	}
	plan := g.plan(ctx, s.lay)
	records, err := g.r.room(got, s.lay, plan, nodes)
	if err != nil {
		return Got{}, err
	}
	g.o.Progress(Progress{Phase: "check", Total: s.lay.Bytes})
	if g.files, err = g.checkout(ctx, s.lay, plan, records); err != nil {
		return Got{}, err
	}
	s.out = g.files
	if err = g.accept(t, h); err == nil {
		err = g.fill(ctx, t, s, nodes, plan, &got)
	}
	if err != nil {
		s.close() // which notes what the next run needs to know
		return got, err
	}
	g.r.closing.Go(s.close) // to give back the space of a large file that was replaced takes a second
	return got, nil
}

// Keep is the folder in the home for a set that is only kept here for others.
func (r *Registry) Keep(set cid.Cid) string { return filepath.Join(r.cfg.Home, "sets", set.String()) }

// known is what this node remembers of the destination's files.
func (g *get) known(ctx context.Context) worktree.Known {
	known := g.r.known(ctx, g.dest)
	if g.o.Distrust == nil {
		return known
	}
	return func(path string) (blockstore.File, bool) {
		f, ok := known(path)
		if g.o.Distrust(path) {
			f.ScannedNs = 0 // read at the beginning of time: see worktree.Trusted
		}
		return f, ok
	}
}

// fill fetches what the checkout lacks and finishes it, while the session is served to others.
func (g *get) fill(ctx context.Context, t record.Ticket, s *session, nodes []blockstore.Block, plan *diff.Plan, got *Got) error {
	g.rep.serve(s)
	defer g.rep.unserve(s)
	store := g.keep(ctx, s, nodes)
	defer store.wait()
	if plan != nil {
		if err := g.update(ctx, s, plan, store, got); err != nil {
			return err
		}
	}
	d := newDownload(g, s)
	if d.needs() > deltaWhole {
		g.look.widen()
	}
	err := d.run(ctx)
	got.Fetched += d.fetched
	got.Sources = max(got.Sources, d.delivered)
	if err != nil {
		return err
	}
	g.o.Progress(Progress{Phase: "finish", Done: s.lay.Bytes, Total: s.lay.Bytes, Sources: got.Sources})
	if err := store.wait(); err != nil {
		return err
	}
	if g.rep.seated() != nil { // as in update
		if err := worktree.Sync(g.dest); err != nil {
			return err
		}
	}
	if got.Done, err = g.files.Finish(ctx, func(f ...blockstore.File) error { return g.r.cfg.Store.PutFiles(ctx, f...) }); err != nil {
		return err
	}
	g.r.parts.drop(g.dest)
	removed, err := g.removeGone(ctx, s.lay, plan)
	got.Removed += removed
	got.Done.Conflicts = append(got.Done.Conflicts, g.kept...)
	if err != nil {
		return err
	}
	return g.complete(t, s, holdsAll(s.lay, got.Done.Skipped))
}

// holdsAll tells whether every leaf is on disk although entries were skipped: a symlink that could not be made
// takes nothing away from what can be served.
func holdsAll(lay *dag.Layout, skipped []worktree.Skipped) bool {
	for _, s := range skipped {
		for _, e := range lay.Entries {
			if (e.Path == s.Path || strings.HasPrefix(e.Path, s.Path+"/")) && len(e.Leaves) > 0 {
				return false
			}
		}
	}
	return true
}

// serve makes a session visible to the peers that ask.
func (p *Replica) serve(s *session) {
	p.mu.Lock()
	p.session = s
	p.mu.Unlock()
	p.feed.reset(p.State().Complete)
}

// unserve ends a session that is still visible, and tells the watchers what is here without it.
func (p *Replica) unserve(s *session) {
	p.mu.Lock()
	seen := p.session == s
	p.session = nil
	p.mu.Unlock()
	if seen {
		p.feed.reset(p.State().Complete)
	}
}
