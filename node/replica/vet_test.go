package replica

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// scanned is the root of a folder as it is now, recorded under a set.
func (m *member) scanned(rep *Replica, dir string) cid.Cid {
	m.t.Helper()
	s, err := m.scan(within(m.t), m.cfg.Store, rep.id, rep.Verified().Genesis.Profile, ShareOptions{Dir: dir})
	if err != nil {
		m.t.Fatal(err)
	}
	return s.Root
}

// A voter that is no writer signs a merge one side of which nobody proposed.
func TestReadersRefuseAMergeOfWhatNobodyProposed(t *testing.T) {
	dir := newTree(t, 1)
	m := newMember(t, role{})
	rep := m.share(dir).Replica
	good, id, store := rep.Verified().Heads[0], rep.Verified().HeadCids[0], rep.State().Instance
	if _, err := m.Amend(within(t), rep, func(c *record.Config) error {
		c.Writers = append(c.Writers[:0], idOf(newKey(t)))
		c.Cuts[record.InstanceKey(store)] = 1
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "evil"), []byte("nobody wrote that"))
	evil := m.scanned(rep, dir)
	v := rep.Verified()
	merged := &record.Merge{Sides: []record.MergeSide{{Root: evil, Writer: "abc", Seq: 1}, {Root: good.Root, Writer: "abd", Seq: 1}}}
	var nodes []blockstore.Block
	root, err := compute(v.Genesis.Profile, merged, func(c cid.Cid) (*dag.Layout, error) { return m.layoutOf(t.Context(), rep.id, c) },
		func(b blockstore.Block) error { nodes = append(nodes, b); return nil })
	if err == nil && len(nodes) > 0 {
		err = m.cfg.Store.Put(within(t), rep.id, nodes...)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, parents := range map[string][]cid.Cid{"of a known parent": {id}, "of a parent that nobody knows": {blockstore.Sum(cid.Raw, []byte("made up"))}} {
		t.Run(name, func(t *testing.T) {
			sealed := must(record.SealHead(record.Head{Set: rep.id, ConfigVersion: 2, ConfigHash: v.ConfigHash, Root: root, Revision: 2, Parents: parents,
				Merge: merged, Proposals: good.Proposals, Vector: record.Vector{record.InstanceKey(store): 2}, Time: m.cfg.Now(),
				Epoch: record.Epoch{ConfigVersion: 2, N: 1, Owner: m.self, Instance: store}}, m.cfg.Key))
			if err := m.change(rep, func(st *State) error {
				st.Past, st.Bundle.Heads = [][]byte{rep.State().Bundle.Heads[0]}, [][]byte{sealed}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			b := newMember(t, role{}, m)
			dest := filepath.Join(t.TempDir(), "dest")
			_, err := b.Get(within(t), record.Ticket{Set: rep.id}, into(dest))
			if !errors.Is(err, ErrForged) {
				t.Errorf("got %v, want ErrForged", err)
			}
			if _, err := os.Stat(filepath.Join(dest, "evil")); err == nil {
				t.Error("the reader has a file that no writer signed")
			}
		})
	}
}

// An author's proposal was ordered by a primary that died before anybody had it; the next one goes to another primary.
func TestNothingOfALostRevisionIsTakenForDeleted(t *testing.T) {
	dir := newTree(t, 1)
	m := newMember(t, role{})
	rep := m.share(dir).Replica
	v, store := rep.Verified(), rep.State().Instance
	first := entry{v.Heads[0], v.HeadCids[0], rep.State().Bundle.Heads[0]}
	names := func(root cid.Cid) map[string]bool {
		lay, err := m.layoutOf(within(t), rep.id, root)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for _, e := range lay.Entries {
			out[e.Path] = true
		}
		return out
	}
	s := newSeat(m.Registry, rep, &voting{ctx: t.Context()})
	ordered := func(root, base, from cid.Cid, n uint64) entry {
		lay, err := m.layoutOf(within(t), rep.id, root)
		if err != nil {
			t.Fatal(err)
		}
		p := record.Proposal{Set: rep.id, Root: root, Writer: m.self, Instance: store, Seq: n, Base: []cid.Cid{base}, From: from,
			Files: uint64(lay.Files), Entries: uint64(len(lay.Entries)), Bytes: uint64(lay.Bytes)}
		h := record.Head{Set: rep.id, ConfigVersion: 1, ConfigHash: v.ConfigHash, Revision: 2, Parents: []cid.Cid{first.id}, Time: m.cfg.Now(),
			Epoch: record.Epoch{ConfigVersion: 1, N: n, Owner: m.self, Instance: store}, Vector: record.Vector{record.InstanceKey(store): n}}
		if err := s.put(t.Context(), &h, proposal{Proposal: p, sealed: must(record.SealProposal(p, m.cfg.Key))}, []entry{first}); err != nil {
			t.Fatal(err)
		}
		return must(open(rep.Verified(), must(record.SealHead(h, m.cfg.Key))))
	}
	write(t, filepath.Join(dir, "four"), []byte("four"))
	lost := ordered(m.scanned(rep, dir), first.id, cid.Undef, 4)
	write(t, filepath.Join(dir, "five"), []byte("five"))
	next := ordered(m.scanned(rep, dir), lost.id, cid.Undef, 5)
	if n := names(next.Root); !n["four"] || !n["five"] {
		t.Errorf("four %v, five %v: the author's folder has both", n["four"], n["five"])
	}
	if left := distinct([]entry{next, lost}, []entry{first}, []entry{first}); len(left) != 2 {
		t.Errorf("%d sides are left to merge, want both", len(left))
	}
}

// The same where the author's folder never held all of the set: its proposals say what the folder was, and others' files
// are neither in it nor deleted by it.
func TestAFolderThatHoldsLessDeletesNothing(t *testing.T) {
	all, dir := newTree(t, 1), t.TempDir()
	m := newMember(t, role{})
	write(t, filepath.Join(all, "stale"), []byte("1"))
	write(t, filepath.Join(all, "log"), []byte("1"))
	m.share(all)
	write(t, filepath.Join(all, "stale"), []byte("1 and what somebody else added"))
	rep := m.share(all).Replica
	v, store := rep.Verified(), rep.State().Instance
	first := entry{v.Heads[0], v.HeadCids[0], rep.State().Bundle.Heads[0]}
	write(t, filepath.Join(dir, "stale"), []byte("1"))
	write(t, filepath.Join(dir, "log"), []byte("1 2"))
	write(t, filepath.Join(dir, "mine", "old"), []byte("in a revision that is lost"))
	write(t, filepath.Join(dir, "mine", "gone"), []byte("deleted later"))
	held := m.scanned(rep, dir)
	if err := os.Remove(filepath.Join(dir, "mine", "gone")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "mine", "new"), []byte("new"))
	write(t, filepath.Join(dir, "log"), []byte("1 2 3"))
	root := m.scanned(rep, dir)
	known := rep.pool()
	lost := must(record.SealHead(record.Head{Set: rep.id, ConfigVersion: 1, ConfigHash: v.ConfigHash, Revision: 3, Parents: []cid.Cid{first.id}, Root: first.Root,
		Proposals: first.Proposals, Time: m.cfg.Now(), Epoch: record.Epoch{ConfigVersion: 1, N: 9, Owner: m.self, Instance: store},
		Vector: record.Vector{record.InstanceKey(store): 9}}, m.cfg.Key))
	if len(known) != 2 {
		t.Fatalf("%d heads are known", len(known))
	}
	lay, err := m.layoutOf(within(t), rep.id, root)
	if err != nil {
		t.Fatal(err)
	}
	s := newSeat(m.Registry, rep, &voting{ctx: t.Context()})
	s.remember(lost)
	p := record.Proposal{Set: rep.id, Root: root, From: held, Base: []cid.Cid{must(open(v, lost)).id}, Writer: m.self, Instance: store, Seq: 7,
		Files: uint64(lay.Files), Entries: uint64(len(lay.Entries)), Bytes: uint64(lay.Bytes)}
	h := record.Head{Set: rep.id, ConfigVersion: 1, ConfigHash: v.ConfigHash, Revision: 3, Parents: []cid.Cid{first.id}, Time: m.cfg.Now(),
		Epoch: record.Epoch{ConfigVersion: 1, N: 2, Owner: m.self, Instance: store}, Vector: record.Vector{record.InstanceKey(store): 3}}
	if err := s.put(t.Context(), &h, proposal{Proposal: p, sealed: must(record.SealProposal(p, m.cfg.Key))}, []entry{first}); err != nil {
		t.Fatal(err)
	}
	merged, err := m.layoutOf(within(t), rep.id, h.Root)
	if err != nil {
		t.Fatal(err)
	}
	names, sizes := map[string]bool{}, map[string]int64{}
	for _, e := range merged.Entries {
		names[e.Path] = true
		sizes[e.Path] = e.Size
		if strings.Contains(e.Path, ".conflict-") {
			t.Errorf("a copy: %q", e.Path)
		}
	}
	if sizes["log"] != int64(len("1 2 3")) || sizes["stale"] != int64(len("1 and what somebody else added")) {
		t.Errorf("log has %d bytes, stale %d", sizes["log"], sizes["stale"])
	}
	before, err := m.layoutOf(within(t), rep.id, first.Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range before.Entries {
		if !names[e.Path] {
			t.Errorf("%q is gone", e.Path)
		}
	}
	if !names["mine/old"] || !names["mine/new"] || names["mine/gone"] {
		t.Errorf("old %v, new %v, gone %v", names["mine/old"], names["mine/new"], names["mine/gone"])
	}
}
