package replica

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// ShareOptions says how to share a folder.
type ShareOptions struct {
	Dir  string // absolute
	Only string // base name, to share this one file of Dir
	Name string // of a new set
	Set  string // re-link this set to Dir, a folder that was moved
	Note string // what the author says of the revision; see record.Proposal
	// Existing refuses to make a new set.
	Existing bool
	// AllowDeletions publishes although more than half of the files are gone, or the folder is another one.
	AllowDeletions bool
	// Named says that somebody named Dir by its path: only then another folder in its place is published that has none of
	// the files. Whoever names the set means the folder that it had.
	Named bool
	// Private and Strict are of a new set: only members may read it; only a majority of its voters publishes.
	Private, Strict bool
	// Wait is how long to wait for a revision to be durable; 0 = 10 s.
	Wait     time.Duration
	Progress func(files int, bytes int64)
}

// Shared is what a share did.
type Shared struct {
	Replica  *Replica
	Head     record.Head
	HeadID   cid.Cid
	Snapshot worktree.Snapshot
	Changed  bool // a new revision was made

	Durable bool      // it survives the loss of any one voter
	On      []peer.ID // voters whose disks have it
	Primary peer.ID   // that ordered it
	Alone   bool      // the set has one voter, so that nothing can be durable
	Merged  bool      // it was merged with something newer
}

// Share scans a folder and makes the next revision of its set, a new set if it has none. An unchanged
// folder is read only by its stamps, and keeps its revision. Errors: ErrUnknownSet with Existing,
// ErrDeletions, ErrInUse, ErrBusy, record.ErrMalformed for a note that a proposal cannot hold.
func (r *Registry) Share(ctx context.Context, o ShareOptions) (Shared, error) {
	if err := record.CheckNote(o.Note); err != nil { // now, not after an hour of reading
		return Shared{}, fmt.Errorf("share %s: %w", o.Dir, err)
	}
	place := filepath.Join(o.Dir, o.Only)
	if err := r.claimSoon(ctx, place, busyWait); err != nil {
		return Shared{}, err
	}
	defer r.unclaim(place)
	out, err := r.share(ctx, o)
	r.concluded(ctx, o, err)
	return out, err
}

// share is Share while nobody else is at work on the folder.
func (r *Registry) share(ctx context.Context, o ShareOptions) (Shared, error) {
	rep, err := r.forFolder(o)
	if err != nil {
		return Shared{}, err
	}
	if err := rep.await(ctx, busyWait); err != nil {
		return Shared{}, err
	}
	defer rep.release()
	now, err := markerOf(o.Dir) // before the scan: what is marked must not be newer than what was read
	if err != nil {
		return Shared{}, fmt.Errorf("share %s: %w", o.Dir, err)
	}
	defer r.moving()()
	snap, err := r.scan(ctx, r.cfg.Store, rep.id, rep.Verified().Genesis.Profile, o)
	if err != nil {
		return Shared{}, err
	}
	out := Shared{Replica: rep, Snapshot: snap, Alone: len(rep.Verified().Config.Voters) == 1}
	st := rep.State()
	old := treeOf(st.Dir, st.Only)
	st.Dir, st.Only, st.Marker = o.Dir, o.Only, now
	if rep.built() == snap.Root {
		v := rep.Verified()
		out.Head, out.HeadID = head(v), v.HeadCids[0]
		r.announce(rep.id)
		return out, r.relink(ctx, rep, st, old)
	}
	if err := r.next(ctx, rep, st, old, snap.Root, o, &out); err != nil {
		return Shared{}, err
	}
	out.Changed = true
	r.announce(rep.id)
	return out, nil
}

// busyWait is how long a publish waits for an update of the same folder to end.
const busyWait = 10 * time.Second

// built is the root of the revision that the set's folder was made of, or that was made of it; undefined before the
// first.
func (p *Replica) built() cid.Cid {
	root, err := cid.Decode(p.State().Base)
	if err != nil {
		return cid.Undef
	}
	return root
}

// next publishes a root that was scanned as the set's next revision. old is the tree that the revision
// before is recorded under.
func (r *Registry) next(ctx context.Context, rep *Replica, st State, old string, root cid.Cid, o ShareOptions, out *Shared) error {
	lay, err := r.layoutOf(ctx, rep.id, root)
	if err != nil {
		return fmt.Errorf("share %s: %w", o.Dir, err)
	}
	gone, err := r.gone(ctx, rep.id, old, lay)
	if err != nil {
		return err
	}
	if err := guard(rep, len(gone), r.lost(ctx, rep, lay, len(gone)), st.Marker, o); err != nil {
		return err
	}
	if err := r.dropStale(ctx, rep.id, old, treeOf(o.Dir, o.Only), lay); err != nil {
		return err
	}
	if !r.writes(rep) {
		return fmt.Errorf("publish %s: %w", o.Dir, ErrNotWriter)
	}
	if !r.alone(rep) {
		return r.hand(ctx, rep, st, lay, o, out)
	}
	for err = errElected; errors.Is(err, errElected) && r.alone(rep); { // or only another name, or reader
		err = r.publish(rep, st, lay, o.Note)
	}
	if errors.Is(err, errElected) {
		return r.hand(ctx, rep, st, lay, o, out)
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.sets[rep.id] = rep
	r.mu.Unlock()
	rep.feed.reset(true)
	v := rep.Verified()
	out.Head, out.HeadID, out.Primary, out.On = head(v), v.HeadCids[0], r.self, []peer.ID{r.self}
	return nil
}

// dropStale forgets the recorded files that a revision does not have: all of a folder that was left for another
// one, and what is gone from where the set lies now.
func (r *Registry) dropStale(ctx context.Context, set cid.Cid, old, now string, lay *dag.Layout) error {
	if old != now {
		if err := r.dropGone(ctx, set, old, &dag.Layout{}); err != nil {
			return err
		}
	}
	return r.dropGone(ctx, set, now, lay)
}

func (r *Registry) dropGone(ctx context.Context, set cid.Cid, tree string, lay *dag.Layout) error {
	gone, err := r.gone(ctx, set, tree, lay)
	if err != nil {
		return err
	}
	return r.drop(ctx, tree, gone)
}

func (r *Registry) announce(id cid.Cid) {
	if n := r.network(); n != nil {
		n.Announce.Add(id)
	}
}

// relink notes where an unchanged folder lies now, if it was moved or copied: the set keeps its revision.
func (r *Registry) relink(ctx context.Context, rep *Replica, st State, old string) error {
	was := rep.State()
	if was.Dir == st.Dir && was.Only == st.Only && was.Marker == st.Marker {
		return nil
	}
	if was.Seated {
		if err := worktree.Sync(st.Dir); err != nil {
			return err
		}
	}
	err := r.change(rep, func(now *State) error {
		now.Dir, now.Only, now.Marker = st.Dir, st.Only, st.Marker
		return nil
	})
	if err != nil {
		return err
	}
	if old == treeOf(st.Dir, st.Only) {
		return nil
	}
	return r.dropGone(ctx, rep.id, old, &dag.Layout{})
}

// forFolder finds the replica a folder is, or makes a new set for it, not yet registered or saved.
func (r *Registry) forFolder(o ShareOptions) (*Replica, error) {
	rep, err := r.find(o)
	if err != nil || rep != nil {
		return rep, err
	}
	return r.newSet(o)
}

// find finds the replica a folder is; nil for none, which with Existing is ErrUnknownSet.
func (r *Registry) find(o ShareOptions) (*Replica, error) {
	var named *Replica
	if o.Set != "" {
		rep, err := r.Resolve(o.Set)
		if err != nil {
			return nil, err
		}
		if st := rep.State(); !st.Shared && !r.writes(rep) {
			return nil, fmt.Errorf("share %s as %q: %w: it was fetched to %s", o.Dir, st.Name, ErrInUse, st.Dir)
		}
		named = rep
	}
	for _, rep := range r.all() {
		st := rep.State()
		if st.Dir != o.Dir || st.Only != o.Only {
			continue
		}
		if !st.Shared && !r.writes(rep) || (named != nil && named != rep) {
			return nil, fmt.Errorf("share %s: %w: it is %q already", o.Dir, ErrInUse, st.Name)
		}
		return rep, nil
	}
	if named == nil && o.Existing {
		return nil, fmt.Errorf("publish %s: %w", filepath.Join(o.Dir, o.Only), ErrUnknownSet)
	}
	return named, nil
}

// newSet makes genesis and first config of a set owned by this home's owner key.
func (r *Registry) newSet(o ShareOptions) (*Replica, error) {
	owner, err := r.cfg.OwnerKey()
	if err != nil {
		return nil, fmt.Errorf("new set: %w", err)
	}
	nonce, instance := make([]byte, 16), make([]byte, 8) // 128 bits: no two sets alike; 64: no two stores of one writer alike
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("new set: %w", err)
	}
	if _, err := rand.Read(instance); err != nil {
		return nil, fmt.Errorf("new set: %w", err)
	}
	g := record.Genesis{Owners: []crypto.PubKey{owner.GetPublic()}, Nonce: nonce, Profile: dag.DefaultProfile()}
	sealed, err := record.SealGenesis(g, owner)
	if err != nil {
		return nil, fmt.Errorf("new set: %w", err)
	}
	g, set, err := record.OpenGenesis(sealed)
	if err != nil {
		return nil, fmt.Errorf("new set: %w", err)
	}
	self := []peer.ID{r.self}
	c := record.Config{Set: set, Version: 1, Name: o.Name, Voters: self, Writers: self, Public: !o.Private, Mode: record.ModeAP}
	if o.Strict {
		c.Mode, c.Instances = record.ModeStrict, map[peer.ID][]byte{r.self: instance}
	}
	sealedConfig, err := record.SealConfig(c, owner)
	if err != nil {
		return nil, fmt.Errorf("new set: %w", err)
	}
	c, hash, err := record.OpenConfig(sealedConfig, g)
	if err != nil {
		return nil, fmt.Errorf("new set: %w", err)
	}
	st := State{Set: set.String(), Name: o.Name, Dir: o.Dir, Only: o.Only, Shared: true, Instance: instance,
		Bundle: record.Bundle{Genesis: sealed, Configs: [][]byte{sealedConfig}}}
	return &Replica{id: set, state: st,
		verified: record.Verified{Set: set, Genesis: g, Config: c, ConfigHash: hash,
			Configs: []record.Config{c}, ConfigHashes: []cid.Cid{hash}}}, nil
}

// treeOf names the tree under which the store records the files of a set. A single file has one of its own,
// which leads to the same folder: else a set of the folder and a set of a file in it, which both are allowed,
// would take the record of that file from each other.
func treeOf(dir, only string) string {
	if only == "" {
		return dir
	}
	return dir + string(filepath.Separator) + "."
}

// treeSink records scanned files under a tree of our choice.
type treeSink struct {
	worktree.Sink
	tree string
}

// PutFiles implements blockstore.FilePutter.
func (s treeSink) PutFiles(ctx context.Context, files ...blockstore.File) error {
	for i := range files {
		files[i].Tree = s.tree
	}
	return s.Sink.PutFiles(ctx, files...)
}

// scan reads a folder as the next revision of a set; what it finds goes to sink.
func (r *Registry) scan(ctx context.Context, sink worktree.Sink, set cid.Cid, p dag.Profile, o ShareOptions) (worktree.Snapshot, error) {
	tree := treeOf(o.Dir, o.Only)
	return worktree.Scan(ctx, o.Dir, treeSink{sink, tree}, worktree.ScanOptions{
		Set: set, Profile: p, IgnoreFile: worktree.IgnoreFile, Private: []string{r.cfg.Home}, PrivateMarks: r.cfg.HomeMarks, Only: o.Only,
		Known: r.known(ctx, tree), Get: r.cfg.Store, Now: r.cfg.Now, Progress: o.Progress,
	})
}

// known looks files of a tree up in the store; a failing store only means that the file is read again.
func (r *Registry) known(ctx context.Context, tree string) worktree.Known {
	return func(path string) (blockstore.File, bool) {
		f, ok, err := r.cfg.Store.LookupFile(ctx, tree, path)
		return f, ok && err == nil
	}
}

// nodesOf reads nodes that are recorded under a set.
func (r *Registry) nodesOf(set cid.Cid) func(context.Context, cid.Cid) ([]byte, error) {
	return func(ctx context.Context, c cid.Cid) ([]byte, error) { return r.cfg.Store.GetFrom(ctx, set, c, nil) }
}

// lost counts the files of the newest revision that are not in lay under any path: what was moved is not gone. paths
// is how many paths are, which is all there is to say if the newest revision cannot be read.
func (r *Registry) lost(ctx context.Context, rep *Replica, lay *dag.Layout, paths int) int {
	v := rep.Verified()
	if len(v.Heads) == 0 || paths == 0 {
		return paths
	}
	old, err := r.layoutOf(ctx, rep.id, rep.built())
	if err != nil {
		return paths
	}
	n := 0
	for _, c := range diff.Compare(old, lay) {
		if c.Op == diff.Removed && old.Entries[c.Old].Kind == dag.KindFile {
			n++
		}
	}
	return n
}

// guard refuses a revision that lacks more than half of the files of the one before, and one that lacks any
// and was made of another folder in its place: a folder that was emptied or is not mounted must not empty the
// copies of everybody who follows it, and one that has nothing of the set not even if deletions are allowed. paths is how many of its files are not where they were, gone how many are nowhere; now marks the folder.
func guard(rep *Replica, paths, gone int, now marker, o ShareOptions) error {
	st, v := rep.State(), rep.Verified()
	if len(v.Heads) == 0 || paths == 0 {
		return nil
	}
	before, _, _ := head(v).Totals()
	other := st.Dir == o.Dir && st.Only == o.Only && st.Marker.differs(now)
	if other && !o.Named && uint64(gone) >= before {
		return fmt.Errorf("share %s: %w: %d of %d are missing, %w: it was replaced, or its disk is not mounted", o.Dir, ErrDeletions, gone, before, ErrEmptied)
	}
	if o.AllowDeletions {
		return nil
	}
	if uint64(gone)*2 > before {
		return fmt.Errorf("share %s: %w: %d of %d are missing", o.Dir, ErrDeletions, gone, before)
	}
	if other {
		return fmt.Errorf("share %s: %w: %d missing, and the folder is not the one that was shared: it was replaced, or another disk is mounted there",
			o.Dir, ErrDeletions, paths)
	}
	return nil
}

// gone lists the recorded files of a set's tree that a revision does not have.
func (r *Registry) gone(ctx context.Context, set cid.Cid, tree string, lay *dag.Layout) ([]blockstore.File, error) {
	live := make(map[string]bool, len(lay.Entries))
	for _, e := range lay.Entries {
		live[e.Path] = e.Kind == dag.KindFile
	}
	var gone []blockstore.File
	err := r.cfg.Store.Files(ctx, tree, func(f blockstore.File) error {
		if f.Set == set && !live[f.Path] {
			gone = append(gone, f)
		}
		return nil
	})
	return gone, err
}

// drop forgets files.
func (r *Registry) drop(ctx context.Context, tree string, files []blockstore.File) error {
	if len(files) == 0 {
		return nil // no path would mean all
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	return r.cfg.Store.DropFiles(ctx, tree, paths...)
}

// Ticket is the text that lets another machine find and verify the set.
func (r *Registry) Ticket(rep *Replica) record.Ticket {
	st := rep.State()
	t := record.Ticket{Set: rep.id, Name: st.Name, Cap: st.Cap}
	if n := r.network(); n != nil {
		t.Addrs = []peer.AddrInfo{n.Self()}
	}
	return t
}

// Remove forgets a set: its records, its index, what was kept of past revisions and, if files is set, the
// files this node wrote and nobody changed since. The author's own folder is never touched.
func (r *Registry) Remove(ctx context.Context, rep *Replica, files bool) (removed int, err error) {
	st := rep.State()
	if err := r.claim(st.Set); err != nil {
		return 0, err
	}
	defer r.unclaim(st.Set)
	if err := rep.acquire(); err != nil {
		return 0, err
	}
	defer rep.release()
	st = rep.State()
	files = files || st.Dir == r.Keep(rep.id)
	if files && st.Shared {
		return 0, fmt.Errorf("remove files of %s: %w: they are the author's own", st.Dir, ErrInUse)
	}
	if files {
		if removed, err = worktree.Remove(st.Dir, r.recorded(ctx, rep.id, st.Dir), func(string) bool { return false }); err != nil {
			return removed, err // the set stays known, so that the same command can be tried again
		}
	}
	r.forget(rep)
	r.stand(rep)
	rep.turn.Lock()
	defer rep.turn.Unlock()
	return removed, errors.Join(r.states.remove(st.Set), r.cfg.Store.DeleteSet(ctx, rep.id), r.dropSegments(ctx, st.Set))
}

// recorded lists what the store remembers of a set's files in a tree.
func (r *Registry) recorded(ctx context.Context, set cid.Cid, tree string) []blockstore.File {
	var all []blockstore.File
	err := r.cfg.Store.Files(ctx, tree, func(f blockstore.File) error {
		if f.Set == set {
			all = append(all, f)
		}
		return nil
	})
	if err != nil {
		r.cfg.Log.Warn("list files", "set", set, "tree", tree, "err", err)
	}
	return all
}
