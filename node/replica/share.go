package replica

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// ShareOptions says how to share a folder.
type ShareOptions struct {
	Dir  string // absolute
	Only string // base name, to share this one file of Dir
	Name string // of a new set
	Set  string // re-link this set to Dir, a folder that was moved
	// AllowDeletions publishes although more than half of the files are gone.
	AllowDeletions bool
	Progress       func(files int, bytes int64)
}

// Shared is what a share did.
type Shared struct {
	Replica  *Replica
	Head     record.Head
	Snapshot worktree.Snapshot
	Changed  bool // a new revision was made
}

// Share scans a folder and makes the next revision of its set, a new set if it has none. An unchanged
// folder is read only by its stamps, and keeps its revision.
func (r *Registry) Share(ctx context.Context, o ShareOptions) (Shared, error) {
	place := filepath.Join(o.Dir, o.Only)
	if err := r.claim(place); err != nil {
		return Shared{}, err
	}
	defer r.unclaim(place)
	rep, err := r.forFolder(o)
	if err != nil {
		return Shared{}, err
	}
	if err := rep.acquire(); err != nil {
		return Shared{}, err
	}
	defer rep.release()
	snap, err := r.scan(ctx, rep, o)
	if err != nil {
		return Shared{}, err
	}
	out := Shared{Replica: rep, Snapshot: snap}
	st, v := rep.State(), rep.Verified()
	if len(v.Heads) > 0 && head(v).Root == snap.Root {
		out.Head = head(v)
		r.announce(rep.id)
		return out, r.relink(ctx, rep, st, v, o)
	}
	lay, err := dag.ReadLayout(ctx, snap.Root, r.nodesOf(rep.id), dag.DefaultLimits())
	if err != nil {
		return Shared{}, fmt.Errorf("share %s: %w", o.Dir, err)
	}
	gone, err := r.gone(ctx, rep.id, treeOf(o.Dir, o.Only), lay)
	if err != nil {
		return Shared{}, err
	}
	if err := guard(len(gone), v, o); err != nil {
		return Shared{}, err
	}
	if err := r.drop(ctx, treeOf(o.Dir, o.Only), gone); err != nil {
		return Shared{}, err
	}
	if err := r.publish(rep, st, v, o, lay); err != nil {
		return Shared{}, err
	}
	r.mu.Lock()
	r.sets[rep.id] = rep
	r.mu.Unlock()
	rep.feed.reset(true)
	out.Head, out.Changed = head(rep.Verified()), true
	r.announce(rep.id)
	return out, nil
}

func (r *Registry) announce(id cid.Cid) {
	if n := r.network(); n != nil {
		n.Announce.Add(id)
	}
}

// relink notes that an unchanged folder was moved: the set keeps its revision.
func (r *Registry) relink(ctx context.Context, rep *Replica, st State, v record.Verified, o ShareOptions) error {
	if st.Dir == o.Dir && st.Only == o.Only {
		return nil
	}
	old := treeOf(st.Dir, st.Only)
	st.Dir, st.Only = o.Dir, o.Only
	if err := r.commit(rep, st, v); err != nil {
		return err
	}
	gone, err := r.gone(ctx, rep.id, old, &dag.Layout{})
	if err != nil {
		return err
	}
	return r.drop(ctx, old, gone)
}

// forFolder finds the replica a folder is, or makes a new set for it, not yet registered or saved.
func (r *Registry) forFolder(o ShareOptions) (*Replica, error) {
	var named *Replica
	if o.Set != "" {
		rep, err := r.Resolve(o.Set)
		if err != nil {
			return nil, err
		}
		if st := rep.State(); !st.Shared {
			return nil, fmt.Errorf("share %s as %q: %w: it was fetched to %s", o.Dir, st.Name, ErrInUse, st.Dir)
		}
		named = rep
	}
	for _, rep := range r.all() {
		st := rep.State()
		if st.Dir != o.Dir || st.Only != o.Only {
			continue
		}
		if !st.Shared || (named != nil && named != rep) {
			return nil, fmt.Errorf("share %s: %w: it is %q already", o.Dir, ErrInUse, st.Name)
		}
		return rep, nil
	}
	if named != nil {
		return named, nil
	}
	return r.newSet(o)
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
	c := record.Config{Set: set, Version: 1, Name: o.Name, Voters: self, Writers: self, Public: true,
		Mode: "ap", Interval: 250 * time.Millisecond} // the default heartbeat of a LAN
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
		verified: record.Verified{Set: set, Genesis: g, Config: c, ConfigHash: hash}}, nil
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

// treeStore is a store that records scanned files under a tree of our choice.
type treeStore struct {
	Store
	tree string
}

// PutFiles implements blockstore.FilePutter.
func (s treeStore) PutFiles(ctx context.Context, files ...blockstore.File) error {
	for i := range files {
		files[i].Tree = s.tree
	}
	return s.Store.PutFiles(ctx, files...)
}

func (r *Registry) scan(ctx context.Context, rep *Replica, o ShareOptions) (worktree.Snapshot, error) {
	tree := treeOf(o.Dir, o.Only)
	return worktree.Scan(ctx, o.Dir, treeStore{r.cfg.Store, tree}, worktree.ScanOptions{
		Set: rep.id, Profile: rep.Verified().Genesis.Profile, IgnoreFile: worktree.IgnoreFile, Private: []string{r.cfg.Home}, PrivateMarks: r.cfg.HomeMarks, Only: o.Only,
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

// guard refuses a revision that lacks more than half of the files of the one before: a folder that was
// emptied or is not mounted must not empty the copies of everybody who follows it.
func guard(gone int, v record.Verified, o ShareOptions) error {
	if len(v.Heads) == 0 || o.AllowDeletions {
		return nil
	}
	if before, _ := Totals(head(v), v.Config); uint64(gone)*2 > before {
		return fmt.Errorf("share %s: %w: %d of %d files", o.Dir, ErrDeletions, gone, before)
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

// publish signs a proposal and the head that orders it, and commits both. The head goes last: everything
// it names is in the store by now.
func (r *Registry) publish(rep *Replica, st State, v record.Verified, o ShareOptions, lay *dag.Layout) error {
	st.Seq++
	h := record.Head{Set: rep.id, ConfigVersion: v.Config.Version, ConfigHash: v.ConfigHash, Root: lay.Root, Revision: 1,
		Epoch:  record.Epoch{ConfigVersion: v.Config.Version, N: 1, Owner: r.self, Instance: st.Instance},
		Vector: record.Vector{hex.EncodeToString(st.Instance): st.Seq}, Time: r.cfg.Now()}
	if len(v.Heads) > 0 {
		h.Revision, h.Parents = v.Heads[0].Revision+1, []cid.Cid{v.HeadCids[0]}
		h.Vector = v.Heads[0].Vector.Merge(h.Vector)
	}
	p := record.Proposal{Set: rep.id, Root: lay.Root, Base: h.Parents, Writer: r.self, Instance: st.Instance, Seq: st.Seq,
		Files: uint64(lay.Files), Entries: uint64(len(lay.Entries)), Bytes: uint64(lay.Bytes)}
	sealed, err := record.SealProposal(p, r.cfg.Key)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	h.Proposals = [][]byte{sealed}
	sealedHead, err := record.SealHead(h, r.cfg.Key)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	st.Bundle.Heads = [][]byte{sealedHead}
	st.Dir, st.Only, st.Shared, st.Complete, st.Leaves = o.Dir, o.Only, true, true, len(lay.Leaves)
	nv, err := record.VerifyBundle(rep.id, st.Bundle)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return r.commit(rep, st, nv)
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

// Remove forgets a set: its records, its index and, if files is set, the files this node wrote and nobody
// changed since. The author's own folder is never touched.
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
	if files && st.Shared {
		return 0, fmt.Errorf("remove files of %s: %w: they are the author's own", st.Dir, ErrInUse)
	}
	if files {
		if removed, err = worktree.Remove(st.Dir, r.recorded(ctx, rep.id, st.Dir), func(string) bool { return false }); err != nil {
			return removed, err // the set stays known, so that the same command can be tried again
		}
	}
	r.forget(rep)
	return removed, errors.Join(r.states.remove(st.Set), r.cfg.Store.DeleteSet(ctx, rep.id))
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
		r.cfg.Log.Warn("list files", "tree", tree, "err", err)
	}
	return all
}
