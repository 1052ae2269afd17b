package replica

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// spoil changes what is served.
func spoil(s serving) { s.data[len(s.data)/2] ^= 0x10 }

func TestLiar(t *testing.T) {
	t.Parallel()
	dir := bigTree(t, 40, 24)
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	liar := newMember(t, leaves(spoil), a)
	liar.fetch(id)

	b := newMember(t, role{}, liar)
	dest := filepath.Join(t.TempDir(), "dest")
	got, err := b.Get(within(t), record.Ticket{Set: id}, into(dest))
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), `"large"`) {
		t.Errorf("from a liar alone: %v, want ErrDamaged that names the file", err)
	}
	if got.Fetched != 0 || !b.isBanned(liar) {
		t.Errorf("%d bytes accepted, banned %v", got.Fetched, b.isBanned(liar))
	}
	const smallest = 64 << 10 // leaf; what a checkout notes for itself is shorter
	err = filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && (info.Size() >= smallest || !strings.Contains(path, worktree.TempDir)) {
			t.Errorf("%s was written, %d bytes", path, info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if why := b.banned[liar.host.ID()]; !strings.Contains(why, "3 blocks") {
		t.Errorf("banned because it %s, want after 3 blocks", why)
	}

	// With an honest seeder, which waits until the liar has had its chance.
	c := newMember(t, role{}, liar)
	honest := newMember(t, leaves(func(s serving) {
		select {
		case <-c.bans:
		case <-s.ctx.Done():
		}
	}), a)
	honest.fetch(id)
	c.peers = append(c.peers, honest.host.AddrInfo())
	sent := liar.sent.Load()
	done := c.fetch(id)
	sameTree(t, dir, done.Dest)
	if done.Fetched != done.Total || !c.isBanned(liar) {
		t.Errorf("fetched %d of %d, banned %v", done.Fetched, done.Total, c.isBanned(liar))
	}
	// What a new peer is asked for at once, and a request more: about 3 leaves.
	if n := liar.sent.Load() - sent; n > 2<<20 {
		t.Errorf("the liar was asked on after it was found out: it sent %d bytes", n)
	}
}

func TestLiarAboutNodes(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 41)
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	liar := newMember(t, hooks(nil, func(b []byte) { b[len(b)/2] ^= 1 }), a)
	liar.fetch(id)
	b := newMember(t, role{}, liar)
	dest := filepath.Join(t.TempDir(), "dest")
	if _, err := b.Get(within(t), record.Ticket{Set: id}, into(dest)); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
	if !b.isBanned(liar) || len(b.Replicas()) != 0 || b.announces(id) {
		t.Errorf("banned %v, sets %d, announced %v", b.isBanned(liar), len(b.Replicas()), b.announces(id))
	}
	emptyDir(t, dest)
	b.peers = append(b.peers, a.host.AddrInfo())
	got, err := b.Get(within(t), record.Ticket{Set: id}, into(dest))
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, dir, got.Dest)
}

func TestDamagedFileOfASeeder(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 42)
	a := newMember(t, role{catalog: func(c list.Catalog) list.Catalog { return reticent{c} }})
	id := a.share(dir).Replica.Set()
	good := newMember(t, role{}, a)
	want := good.fetch(id).Dest
	flip(t, filepath.Join(dir, "big"), 2<<20)

	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	for i := range 2 { // the second time the seeder knows of the damage already
		_, err := b.Get(within(t), record.Ticket{Set: id}, into(dest))
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), `"big"`) {
			t.Errorf("get %d from the damaged one alone: %v, want ErrDamaged that names the file", i, err)
		}
	}
	if c := a.check(a.replica(id)); c.Damaged != 1 || len(c.Files) != 1 || c.Files[0] != "big" {
		t.Errorf("verify at the seeder: %+v", c)
	}
	b.peers = append(b.peers, good.host.AddrInfo())
	got, err := b.Get(within(t), record.Ticket{Set: id}, into(dest))
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, want, dest)
	if got.Fetched > 1<<20 || b.isBanned(a) {
		t.Errorf("fetched %d bytes for one damaged leaf, banned %v", got.Fetched, b.isBanned(a))
	}
}

func TestForgedRecordsAreRefused(t *testing.T) {
	t.Parallel()
	author := newMember(t, role{})
	real := author.share(newTree(t, 43)).Replica
	root := real.Verified().Heads[0].Root
	f := newForge(t)
	good := f.head(f.node, root, f.proposal(root, 1, 24, 1))
	with := func(change func(*record.Bundle)) record.Bundle {
		b := f.bundle
		b.Heads = [][]byte{good}
		change(&b)
		return b
	}
	if v, err := record.VerifyBundle(f.set, with(func(*record.Bundle) {})); err != nil || len(v.Heads) != 1 {
		t.Fatalf("the bundle that the others are made of: %v", err)
	}
	stranger := newKey(t)
	cases := map[string]record.Bundle{
		"genesis of another set": with(func(b *record.Bundle) { b.Genesis = real.State().Bundle.Genesis }),
		"all of another set":     real.State().Bundle,
		"config by another owner": with(func(b *record.Bundle) {
			g := newForge(t)
			b.Configs = g.bundle.Configs
		}),
		"head by a stranger": with(func(b *record.Bundle) {
			b.Heads = [][]byte{f.head(stranger, root, f.proposal(root, 1, 24, 1))}
		}),
		"root that nobody proposed": with(func(b *record.Bundle) {
			b.Heads = [][]byte{f.head(f.node, blockstore.Sum(cid.DagProtobuf, nil), f.proposal(root, 1, 24, 1))}
		}),
		"merge that cannot be checked": with(func(b *record.Bundle) {
			b.Heads = [][]byte{f.head(f.node, root, f.proposal(root, 1, 24, 1), f.proposal(root, 2, 24, 1))}
		}),
		"bytes": with(func(b *record.Bundle) { b.Heads = [][]byte{[]byte("no record")} }),
	}
	for name, bundle := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, f.set, offering(t, bundle))
		})
	}
}

// refused gets set from a forger alone and wants nothing to come of it.
func refused(t *testing.T, set cid.Cid, from *member) {
	store := memstore.New()
	b := newMember(t, role{store: store}, from)
	dest := filepath.Join(t.TempDir(), "dest")
	o := into(dest)
	o.Patience = 300 * time.Millisecond
	_, err := b.Get(within(t), record.Ticket{Set: set}, o)
	if !errors.Is(err, ErrForged) {
		t.Errorf("got %v, want ErrForged", err)
	}
	emptyDir(t, dest)
	emptyDir(t, b.cfg.Dir)
	if len(b.Replicas()) > 0 || b.announces(set) {
		t.Error("the set is registered")
	}
}

// The writer signed other totals than the tree has: the bound that a reader sets could be passed that way.
func TestFalseTotalsAreRefused(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	real := a.share(newTree(t, 44)).Replica
	root := real.Verified().Heads[0].Root
	f := newForge(t)
	f.bundle.Heads = [][]byte{f.head(f.node, root, f.proposal(root, 1, 24, 1))}
	// a serves the real tree under the false set.
	v := must(record.VerifyBundle(f.set, f.bundle))
	rep, _ := a.ensure(v, State{Set: f.set.String(), Name: "data", Bundle: f.bundle, Complete: true, Dir: "/nowhere"})
	rep.feed.reset(true)
	for _, n := range nodesBelow(t, a, real) {
		if err := a.cfg.Store.Put(within(t), f.set, n); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, f.set, a)
}

func nodesBelow(t *testing.T, m *member, rep *Replica) (all []blockstore.Block) {
	err := chunks.WalkNodes(within(t), head(rep.Verified()).Root, m.cfg.Store.Get, func(b blockstore.Block) error {
		all = append(all, blockstore.NewBlock(cid.DagProtobuf, bytes.Clone(b.Data())))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A signed root that leads to no folder is the publisher's fault, and nobody's copy is better.
func TestRootThatIsNoRevision(t *testing.T) {
	t.Parallel()
	bad := blockstore.NewBlock(cid.DagProtobuf, []byte("this is no node"))
	f := newForge(t)
	f.bundle.Heads = [][]byte{f.head(f.node, bad.Cid(), f.proposal(bad.Cid(), 1, 1, 1))}
	a := newMember(t, role{source: func(chunks.Source) chunks.Source { return only(bad) },
		catalog: func(c list.Catalog) list.Catalog { return impostor{c, list.Info{Bundle: f.bundle, Complete: true}} }})
	b := newMember(t, role{}, a)
	_, err := b.Get(within(t), record.Ticket{Set: f.set}, into(filepath.Join(t.TempDir(), "dest")))
	if !errors.Is(err, dag.ErrMalformed) || b.isBanned(a) {
		t.Errorf("got %v, banned %v", err, b.isBanned(a))
	}
}

// reticent names no other holders: whoever watches it a moment longer than its fetch takes would be named.
type reticent struct{ list.Catalog }

func (r reticent) Info(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (list.Info, error) {
	i, err := r.Catalog.Info(ctx, p, set, k)
	i.Peers = nil
	return i, err
}

func (r reticent) Watch(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (<-chan list.Update, error) {
	all, err := r.Catalog.Watch(ctx, p, set, k)
	if err != nil {
		return nil, err
	}
	out := make(chan list.Update)
	go func() {
		defer close(out)
		for u := range all { // ends with ctx
			if u.Peers = nil; u.Info != nil {
				i := *u.Info
				i.Peers, u.Info = nil, &i
			}
			select {
			case out <- u:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// only serves one node without looking at it.
type only blockstore.Block

func (o only) Open(context.Context, peer.ID, cid.Cid, []byte) (chunks.Reader, error) { return o, nil }
func (o only) Get(context.Context, cid.Cid, []byte) ([]byte, error) {
	return blockstore.Block(o).Data(), nil
}
func (o only) Walk(_ context.Context, _ cid.Cid, fn func(blockstore.Block) error) error {
	return fn(blockstore.Block(o))
}
func (o only) Close() error { return nil }

func TestNoGoingBack(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 45)
	a := newMember(t, role{})
	rep := a.share(dir).Replica
	old := rep.State().Bundle
	stale := newMember(t, role{}, a)
	stale.fetch(rep.Set())
	write(t, filepath.Join(dir, "more"), []byte("more"))
	a.share(dir)

	// Of several holders the newest counts, whoever answers first.
	b := newMember(t, role{}, stale, a)
	o := into(filepath.Join(t.TempDir(), "dest"))
	ticket := record.Ticket{Set: rep.Set(), Addrs: []peer.AddrInfo{stale.host.AddrInfo(), a.host.AddrInfo()}}
	got, err := b.Get(within(t), ticket, o)
	if err != nil || got.Head.Revision != 2 {
		t.Fatalf("revision %d (%v), want 2", got.Head.Revision, err)
	}
	// And what was accepted once is never given up for less.
	b.reopen()
	b.peers = nil
	for _, m := range []*member{stale, offering(t, old)} {
		b.peers = append(b.peers, m.host.AddrInfo())
	}
	got, err = b.Get(within(t), record.Ticket{Set: rep.Set()}, o)
	if err != nil || got.Head.Revision != 2 || got.Fetched != 0 {
		t.Errorf("from peers with revision 1: %v, revision %d, %d bytes", err, got.Head.Revision, got.Fetched)
	}
	sameTree(t, dir, got.Dest)
}

// makePrivate signs a second config, under which only readers may read.
func makePrivate(t *testing.T, m *member, rep *Replica, readers ...peer.ID) {
	t.Helper()
	owner := must(m.cfg.OwnerKey())
	v, st := rep.Verified(), rep.State()
	c := v.Config
	c.Version, c.Prev, c.Public, c.Readers = 2, v.ConfigHash, false, readers
	st.Bundle.Configs = append(st.Bundle.Configs, must(record.SealConfig(c, owner)))
	if err := m.commit(rep, st); err != nil {
		t.Fatal(err)
	}
}

func TestPrivateSetLooksLikeNone(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 46)
	a := newMember(t, role{})
	friend, stranger := newMember(t, role{}, a), newMember(t, role{}, a)
	rep := a.share(dir).Replica
	makePrivate(t, a, rep, friend.host.ID())
	sameTree(t, dir, friend.fetch(rep.Set()).Dest)

	ctx, h, p := within(t), stranger.host, a.host.ID()
	if err := stranger.Connect(ctx, a.host.AddrInfo()); err != nil {
		t.Fatal(err)
	}
	none := blockstore.Sum(cid.Raw, []byte("none"))
	ask := map[string]func(set cid.Cid) error{
		"info": func(set cid.Cid) error { _, err := list.GetInfo(ctx, h, p, set, nil, nil); return err },
		"watch": func(set cid.Cid) error {
			return list.Watch(ctx, h, p, set, nil, nil, func(list.Update) error { return nil })
		},
		"confirm": func(set cid.Cid) error {
			return list.Confirm(ctx, h, p, set, head(rep.Verified()).Root, nil)
		},
		"chunks": func(set cid.Cid) error { _, err := chunks.Open(ctx, h, p, set, nil); return err },
	}
	for name, fn := range ask {
		private, missing := fn(rep.Set()), fn(none)
		if !errors.Is(private, blockstore.ErrNotFound) || private.Error() != missing.Error() {
			t.Errorf("%s: private %v, missing %v", name, private, missing)
		}
	}
	if sets, err := list.Sets(ctx, h, p); err != nil || len(sets) > 0 {
		t.Errorf("the stranger is told of %v (%v)", sets, err)
	}
	o := into(filepath.Join(t.TempDir(), "dest"))
	o.Patience = 200 * time.Millisecond
	if _, err := stranger.Get(ctx, record.Ticket{Set: rep.Set()}, o); !errors.Is(err, ErrNobody) {
		t.Errorf("get: %v, want ErrNobody", err)
	}
	if a.replica(rep.Set()).Holders() != 2 { // the author and the friend
		t.Errorf("%d holders, want 2", rep.Holders())
	}
}

func TestNamingOneSetNeverReadsAnother(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	open := a.share(newTree(t, 47)).Replica
	secret := a.share(bigTree(t, 9048, 3)).Replica
	lay, err := a.Layout(within(t), secret)
	if err != nil {
		t.Fatal(err)
	}
	b := newMember(t, role{})
	ctx := within(t)
	if err := b.Connect(ctx, a.host.AddrInfo()); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		set  *Replica
		want wire.Code
	}{{open, wire.NotFound}, {secret, wire.OK}} {
		s, err := b.Chunks(ctx, a.host.ID(), x.set.Set(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []cid.Cid{lay.Leaves[0].Cid, lay.Root} {
			if err := s.Want([]cid.Cid{c}); err != nil {
				t.Fatal(err)
			}
			if r, err := s.Next(nil); err != nil || r.Code != x.want {
				t.Errorf("%s of the secret set under %v: %v (%v)", c, x.set == secret, r.Code, err)
			}
		}
		if err := s.Walk(lay.Root); err != nil {
			t.Fatal(err)
		}
		r, err := s.Next(nil)
		if err != nil || r.Cid.Defined() != (x.want == wire.OK) {
			t.Errorf("walk: %v %v (%v)", r.Cid, r.Code, err)
		}
		s.Close()
	}
}

// Two authors publish the same folder: whoever gets both holds, serves and proves both.
func TestTwoSetsWithTheSameContent(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 49)
	a, b := newMember(t, role{}), newMember(t, role{})
	one, two := a.share(dir).Replica.Set(), b.share(dir).Replica.Set()
	c := newMember(t, role{}, a, b)
	c.fetch(one)
	c.fetch(two)
	for _, id := range []cid.Cid{one, two} {
		if v := c.check(c.replica(id)); v.Damaged != 0 {
			t.Errorf("verify: %+v", v)
		}
		sameTree(t, dir, newMember(t, role{}, c).fetch(id).Dest)
	}
}
