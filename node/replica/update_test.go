package replica

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// next gets the newest revision into the same folder again.
func (m *member) next(old Got) Got {
	m.t.Helper()
	got, err := m.Get(within(m.t), record.Ticket{Set: old.Head.Set}, into(old.Dest))
	if err != nil {
		m.t.Fatal(err)
	}
	return got
}

// overwrite changes n bytes of a file in place.
func overwrite(t testing.TB, path string, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
}

func insert(t testing.TB, path string, at int, data []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, bytes.Join([][]byte{b[:at], data, b[at:]}, nil))
}

// The author edits in place, so its node has lost the old bytes; a reader that has made the step keeps them.
func TestUpdateMovesTheChangedBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		edit           func(dir string)
		signed, dict   int64 // most bytes on the wire in both directions, from the author and from a reader
		patched, moved int64
	}{
		{"overwritten", func(dir string) { overwrite(t, filepath.Join(dir, "large"), 5_000_000, noise(7, 4096)) }, 12_000, 6_000, 1, 0},
		{"inserted", func(dir string) { insert(t, filepath.Join(dir, "large"), 3_333_333, noise(8, 4096)) }, 14_000, 7_000, 1, 0},
		{"renamed", func(dir string) {
			if err := os.Rename(filepath.Join(dir, "large"), filepath.Join(dir, "bulky")); err != nil {
				t.Fatal(err)
			}
		}, 2_000, 2_000, 0, 1},
		{"nothing", func(string) {}, 1_000, 1_000, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newMember(t, role{})
			dir := bigTree(t, 5, 40)
			id := a.share(dir).Replica.Set()
			b := newMember(t, role{}, a)
			first := b.fetch(id)
			d := newMember(t, role{}, b)
			second := d.fetch(id)
			c.edit(dir)
			a.share(dir)
			got := b.next(first)
			sameTree(t, dir, got.Dest)
			if sum := got.WireIn + got.WireOut; sum > c.signed {
				t.Errorf("from the author: %d bytes on the wire, want at most %d", sum, c.signed)
			}
			if (got.Patched > 0) != (c.patched > 0) || got.Fetched != 0 || got.Done.Moved != int(c.moved) {
				t.Errorf("from the author: %d patched, %d fetched, %d moved", got.Patched, got.Fetched, got.Done.Moved)
			}
			a.host.Close() // from now on only readers are there
			next := d.next(second)
			sameTree(t, dir, next.Dest)
			if sum := next.WireIn + next.WireOut; sum > c.dict {
				t.Errorf("from a reader: %d bytes on the wire, want at most %d", sum, c.dict)
			}
			t.Logf("from the author %d, from a reader %d bytes on the wire", got.WireIn+got.WireOut, next.WireIn+next.WireOut)
			if c := d.check(next.Replica); c.Damaged != 0 {
				t.Errorf("verify: %+v", c)
			}
		})
	}
}

func TestUpdateOfManyFiles(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := t.TempDir()
	for i := range 600 {
		write(t, filepath.Join(dir, fmt.Sprintf("d%d/f%d", i%6, i)), noise(uint64(i), 1000+17*i))
	}
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	first := b.fetch(id)
	for i := range 10 {
		write(t, filepath.Join(dir, fmt.Sprintf("d%d/f%d", i%6, i)), noise(uint64(1000+i), 3000))
	}
	if err := os.Rename(filepath.Join(dir, "d3"), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "d5", "f599")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "d1", "new"), noise(5000, 2000))
	a.share(dir)
	got := b.next(first)
	sameTree(t, dir, got.Dest)
	if sum := got.WireIn + got.WireOut; sum > 32_000+24_000 {
		t.Errorf("%d bytes on the wire", sum)
	}
	t.Logf("%d bytes on the wire, %d patched, %d fetched, %d moved, %d removed", got.WireIn+got.WireOut, got.Patched, got.Fetched, got.Done.Moved, got.Removed)
	if c := b.check(got.Replica); c.Damaged != 0 {
		t.Errorf("verify: %+v", c)
	}
}

// What a plan says is what the run then reports, and the wire within a fifth.
func TestPlanIsWhatIsDone(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := newTree(t, 40)
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	first := b.fetch(id)
	overwrite(t, filepath.Join(dir, "big"), 1_000_000, noise(9, 5000))
	write(t, filepath.Join(dir, "fresh"), noise(10, 100_000))
	a.share(dir)
	before := contents(t, first.Dest)
	o := into(first.Dest)
	o.Plan = true
	plan, err := b.Get(within(t), record.Ticket{Set: id}, o)
	if err != nil {
		t.Fatal(err)
	}
	if after := contents(t, first.Dest); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("a plan has changed the folder")
	}
	got := b.next(first)
	if plan.Patched != got.Patched || plan.Fetched != got.Fetched || plan.Reused() != got.Reused() {
		t.Errorf("planned %d reused, %d patched, %d fetched; done %d, %d, %d",
			plan.Reused(), plan.Patched, plan.Fetched, got.Reused(), got.Patched, got.Fetched)
	}
	if wire := got.WireIn + got.WireOut; plan.Estimate < wire*8/10 || plan.Estimate > wire*12/10 {
		t.Errorf("planned %d bytes on the wire, it took %d", plan.Estimate, wire)
	}
}

// What a plan says of a folder that nothing is remembered of is what the get then finds there.
func TestPlanLooksIntoTheFolder(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := newTree(t, 45)
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	b.choose(id, into(dest), "twin", "small")
	plan := into(dest)
	plan.Plan = true
	ask := func() Got {
		t.Helper()
		before := contents(t, dest)
		told, err := b.Get(within(t), record.Ticket{Set: id}, plan)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, contents(t, dest)); diff != "" {
			t.Errorf("a plan has changed the folder:\n%s", diff)
		}
		return told
	}
	kept := func(told Got) (n int) {
		for _, f := range told.Plan.Files {
			if f.Action == diff.Keep {
				n++
			}
		}
		return n
	}
	told := ask()
	files := 0
	for path, what := range contents(t, dest) {
		if (path == "twin" || strings.HasPrefix(path, "small/")) && !strings.HasPrefix(what, "d") {
			files++
		}
	}
	if kept(told) != files || told.InWay != nil {
		t.Errorf("%d files are kept of %d, %v in the way", kept(told), files, told.InWay)
	}
	write(t, filepath.Join(dest, "mine"), []byte("mine"))
	write(t, filepath.Join(dest, "small/1/file"), []byte("edited"))
	edited := ask()
	if w := edited.InWay; w == nil || !slices.Equal(w.Paths, []string{"small/1/file"}) || !slices.Equal(w.Beside, []string{"mine"}) || kept(edited) != files-1 {
		t.Errorf("%d kept, in the way %+v", kept(edited), w)
	}
	part := plan
	only, _ := NewSelection([]string{"small"})
	if got, err := b.Select(within(t), record.Ticket{Set: id}, only, part); err != nil || got.InWay == nil || len(got.InWay.Beside) > 0 {
		t.Errorf("of a part: %v, in the way %+v", err, got.InWay)
	}
	for _, path := range []string{"mine", "small/1/file"} {
		if err := os.Remove(filepath.Join(dest, path)); err != nil {
			t.Fatal(err)
		}
	}
	told = ask()
	got, err := b.Get(within(t), record.Ticket{Set: id}, into(dest))
	if err != nil {
		t.Fatal(err)
	}
	if told.Fetched != got.Fetched || told.Reused() != got.Reused() || got.Reused() < 700<<10 {
		t.Errorf("planned %d reused, %d fetched; done %d, %d", told.Reused(), told.Fetched, got.Reused(), got.Fetched)
	}
}

// liar makes patches of other bytes than it should: what it reads of some leaves is not what it serves as chunks.
type liar struct {
	delta.Source
	most *atomic.Int64 // leaves that are still to be lied about
}

func (l liar) Open(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (delta.Reader, error) {
	r, err := l.Source.Open(ctx, p, set, k)
	return lyingReader{r, l.most}, err
}

type lyingReader struct {
	delta.Reader
	most *atomic.Int64
}

func (r lyingReader) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	b, err := r.Reader.Get(ctx, c, buf)
	if err == nil && c.Type() == cid.Raw && r.most.Add(-1) >= 0 {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
	}
	return b, err
}

// A wrong patch costs that its leaf is fetched whole; a holder that sends many is not asked any more.
func TestWrongPatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lies   int64
		banned bool
	}{{1, false}, {2, false}, {1000, true}} { // banned only if it was asked before the other
		most := new(atomic.Int64)
		a := newMember(t, role{})
		dir := bigTree(t, 80, 40)
		id := a.share(dir).Replica.Set()
		b := newMember(t, role{deltas: func(s delta.Source) delta.Source { return liar{s, most} }}, a)
		d := newMember(t, role{}, b)
		first, second := b.fetch(id), d.fetch(id)
		for i := range 8 {
			overwrite(t, filepath.Join(dir, "large"), int64(i)*1_200_000, noise(uint64(90+i), 1000))
		}
		a.share(dir)
		b.next(first)
		d.peers = append(d.peers, a.host.AddrInfo()) // so that somebody is left
		most.Store(c.lies)
		got := d.next(second)
		sameTree(t, dir, got.Dest)
		if c := d.check(got.Replica); c.Damaged != 0 {
			t.Errorf("verify: %+v", c)
		}
		if c.lies < 3 && (got.Fetched > 2<<20*c.lies || got.Patched == 0) {
			t.Errorf("%d lies: %d patched, %d fetched whole", c.lies, got.Patched, got.Fetched)
		}
		if d.isBanned(b) && !c.banned {
			t.Errorf("%d lies: banned", c.lies)
		}
	}
}
