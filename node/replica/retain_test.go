package replica

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/segment"
)

func TestSurplus(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		keep   KeepPolicy
		newest uint64
		all    []kept
		want   []uint64
	}{
		"none":                    {KeepPolicy{}, 5, nil, nil},
		"the default keeps two":   {KeepPolicy{}, 5, []kept{{1, 1}, {2, 1}, {3, 1}, {4, 1}}, []uint64{2, 1}},
		"in any order":            {KeepPolicy{}, 5, []kept{{4, 1}, {1, 1}, {3, 1}, {2, 1}}, []uint64{2, 1}},
		"numbers may have gaps":   {KeepPolicy{}, 90, []kept{{7, 1}, {40, 1}}, nil},
		"empty ones count":        {KeepPolicy{}, 5, []kept{{2, 1}, {3, 0}, {4, 0}}, []uint64{2}},
		"only the newest":         {KeepPolicy{Revisions: 1}, 5, []kept{{3, 1}, {4, 1}}, []uint64{4, 3}},
		"many":                    {KeepPolicy{Revisions: 9}, 5, []kept{{1, 1}, {2, 1}, {3, 1}, {4, 1}}, nil},
		"default bytes":           {KeepPolicy{}, 5, []kept{{3, 1}, {4, 1024 * mib}}, []uint64{3}},
		"bytes, just":             {KeepPolicy{Bytes: 10}, 5, []kept{{3, 4}, {4, 6}}, nil},
		"bytes, one too many":     {KeepPolicy{Bytes: 9}, 5, []kept{{3, 4}, {4, 6}}, []uint64{3}},
		"not without the later":   {KeepPolicy{Bytes: 9}, 5, []kept{{3, 1}, {4, 10}}, []uint64{4, 3}},
		"under way takes no turn": {KeepPolicy{}, 5, []kept{{2, 1}, {3, 1}, {4, 1}, {5, 1}}, []uint64{2}},
		"under way takes space":   {KeepPolicy{Bytes: 9}, 5, []kept{{4, 5}, {5, 5}}, []uint64{4}},
		"under way is too large":  {KeepPolicy{Bytes: 9}, 5, []kept{{4, 5}, {5, 10}}, []uint64{5, 4}},
		"of no revision":          {KeepPolicy{}, 5, []kept{{3, 1}, {4, 1}, {6, 1}}, []uint64{6}},
	} {
		if got := c.keep.surplus(c.newest, c.all); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestSurplusHoldsTheLimits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		keep := KeepPolicy{Revisions: rapid.IntRange(1, 5).Draw(t, "revisions"), Bytes: rapid.Int64Range(1, 30).Draw(t, "bytes")}
		newest := rapid.Uint64Range(1, 12).Draw(t, "newest")
		var all []kept
		for n := range newest {
			if rapid.Bool().Draw(t, "there") {
				all = append(all, kept{n + 1, rapid.Int64Range(0, 12).Draw(t, "size")})
			}
		}
		drop := keep.surplus(newest, all)
		stay := slices.DeleteFunc(slices.Clone(all), func(s kept) bool { return slices.Contains(drop, s.revision) })
		var sum int64
		past := 0
		for _, s := range stay {
			if sum += s.bytes; s.revision < newest {
				past++
			}
			if len(drop) > 0 && s.revision < slices.Max(drop) {
				t.Fatalf("%d stays, a later one goes: %v", s.revision, drop)
			}
		}
		if sum > keep.Bytes || past > keep.Revisions-1 {
			t.Fatalf("%d bytes in %d past revisions stay with %+v", sum, past, keep)
		}
		if again := keep.surplus(newest, stay); len(again) > 0 {
			t.Fatalf("what stayed goes the next time: %v", again)
		}
		// The limits are used: the last to go would have broken one.
		if len(drop) > 0 {
			i := slices.IndexFunc(all, func(s kept) bool { return s.revision == drop[0] })
			if sum+all[i].bytes <= keep.Bytes && past < keep.Revisions-1 {
				t.Fatalf("%d goes without need", drop[0])
			}
		}
	})
}

func TestSegmentNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"1.seg": true, segmentName(1<<64 - 1): true, "01.seg": false, "x.seg": false, "-1.seg": false, "1": false, "1.seg.tmp": false} {
		if _, ok := segmentRevision(name); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
	if n, ok := segmentRevision(segmentName(77)); n != 77 || !ok {
		t.Errorf("77 became %d", n)
	}
}

// foresee is the layout a folder will have after change, which is done to a copy of it.
func (m *member) foresee(rep *Replica, dir string, change func(dir string)) *dag.Layout {
	m.t.Helper()
	dup := filepath.Join(m.t.TempDir(), "copy")
	if err := os.CopyFS(dup, os.DirFS(dir)); err != nil {
		m.t.Fatal(err)
	}
	change(dup)
	var found overlay
	snap, err := m.scan(within(m.t), &found, rep.id, rep.Verified().Genesis.Profile, ShareOptions{Dir: dup})
	if err != nil {
		m.t.Fatal(err)
	}
	lay, err := dag.ReadLayout(within(m.t), snap.Root, found.over(m.nodesOf(rep.id)), dag.DefaultLimits())
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.RemoveAll(dup); err != nil {
		m.t.Fatal(err)
	}
	return lay
}

// revise takes a set from one revision to the next as a reader's checkout does: first what goes is copied out,
// then the folder changes.
func (m *member) revise(rep *Replica, change func(dir string)) {
	m.t.Helper()
	m.copyOutFor(rep, change)
	dir := rep.State().Dir
	change(dir)
	m.share(dir)
	if err := m.retain(within(m.t), rep); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) copyOutFor(rep *Replica, change func(dir string)) {
	m.t.Helper()
	h, _ := rep.Head()
	old, err := m.layoutOf(within(m.t), rep.id, h.Root)
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := m.copyOut(within(m.t), rep, h, old, m.foresee(rep, rep.State().Dir, change)); err != nil {
		m.t.Fatal(err)
	}
}

// rewrite is a change of one file to noise.
func rewrite(t testing.TB, name string, seed uint64, n int) func(string) {
	return func(dir string) { write(t, filepath.Join(dir, name), noise(seed, n)) }
}

func (m *member) history(rep *Replica) []Revision {
	m.t.Helper()
	all, err := m.Registry.History(within(m.t), rep)
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// keptWords lists Kept of a history, newest first.
func (m *member) keptWords(rep *Replica) (words []string) {
	m.t.Helper()
	for _, rev := range m.history(rep) {
		words = append(words, rev.Kept)
	}
	return words
}

// segmentsOf lists the segment files of a set and checks that each is recorded, and nothing else.
func (m *member) segmentsOf(rep *Replica) (names []string) {
	m.t.Helper()
	dir := m.segments(rep.Set().String())
	files, err := segment.List(dir)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name)
	}
	var recorded []string
	err = m.cfg.Store.Files(within(m.t), dir, func(f blockstore.File) error {
		recorded = append(recorded, f.Path)
		return nil
	})
	if err != nil || !slices.Equal(recorded, names) {
		m.t.Errorf("recorded %v (%v), on disk %v", recorded, err, names)
	}
	return names
}

// readable counts the leaves of a layout that the set gives, and those that it does not.
func (m *member) readable(rep *Replica, lay *dag.Layout) (yes, no int) {
	m.t.Helper()
	for _, l := range lay.Leaves {
		if _, err := m.cfg.Store.GetFrom(within(m.t), rep.Set(), l.Cid, nil); err == nil {
			yes++
		} else {
			no++
		}
	}
	return yes, no
}

func TestPastRevisionsStayWhole(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	rep := a.share(newTree(t, 200)).Replica
	lays := map[uint64]*dag.Layout{}
	see := func() {
		h, _ := rep.Head()
		lay, err := a.Layout(within(t), rep)
		if err != nil {
			t.Fatal(err)
		}
		lays[h.Revision] = lay
	}
	see()
	for i, change := range []func(string){
		rewrite(t, "big", 201, 2<<20),
		rewrite(t, "small/9/file", 202, 10),
		rewrite(t, "added", 203, 5000), // nothing is lost by this one
		func(dir string) {
			if err := errors.Join(os.Remove(filepath.Join(dir, "big")), os.Remove(filepath.Join(dir, "twin"))); err != nil {
				t.Fatal(err)
			}
		},
	} {
		a.revise(rep, change)
		see()
		if want := uint64(i + 2); lays[want] == nil {
			t.Fatalf("revision %d was not made", want)
		}
	}
	for range 2 {
		if got, want := a.keptWords(rep), []string{KeptHere, KeptHere, KeptHere, KeptPartly, KeptPartly}; !slices.Equal(got, want) {
			t.Errorf("kept %v, want %v", got, want)
		}
		if got, want := a.segmentsOf(rep), []string{"3.seg", "4.seg"}; !slices.Equal(got, want) {
			t.Errorf("segments %v, want %v", got, want)
		}
		for n := uint64(3); n <= 5; n++ {
			if yes, no := a.readable(rep, lays[n]); yes == 0 || no > 0 {
				t.Errorf("revision %d: %d leaves can be read and %d cannot", n, yes, no)
			}
		}
		a.reopen()
		rep = a.replica(rep.Set())
	}
	if c := a.check(rep); c.Damaged > 0 {
		t.Errorf("verify: %+v", c)
	}
	// An update whose head was accepted before leaves the segments of others alone.
	h, err := a.RevisionHead(rep, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.copyOut(within(t), rep, h, lays[3], lays[4]); err != nil {
		t.Fatal(err)
	}
	if got, want := a.keptWords(rep), []string{KeptHere, KeptHere, KeptHere, KeptPartly, KeptPartly}; !slices.Equal(got, want) {
		t.Errorf("copied out once more: kept %v, want %v", got, want)
	}
	if _, err := a.Registry.Remove(within(t), rep, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(a.segments(rep.Set().String())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("segments of a set that was removed: %v", err)
	}
}

func TestKeepLimitsCopyOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keep KeepPolicy
		want []string
	}{
		"default":      {KeepPolicy{}, []string{"2.seg", "3.seg"}},
		"only newest":  {KeepPolicy{Revisions: 1}, nil},
		"two":          {KeepPolicy{Revisions: 2}, []string{"3.seg"}},
		"one by bytes": {KeepPolicy{Bytes: 250 << 10}, []string{"3.seg"}},
		"none by size": {KeepPolicy{Bytes: 100 << 10}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newMember(t, role{})
			a.cfg.Keep = c.keep
			a.reopen()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a"), noise(210, 200<<10))
			write(t, filepath.Join(dir, "b"), noise(211, 200<<10))
			rep := a.share(dir).Replica
			for i := range uint64(3) {
				a.revise(rep, rewrite(t, "a", 212+i, 200<<10))
			}
			if got := a.segmentsOf(rep); !slices.Equal(got, c.want) {
				t.Errorf("segments %v, want %v", got, c.want)
			}
		})
	}
}

// A segment that is larger than all that may be kept takes the older ones with it: they are not whole without.
func TestTooMuchToKeepEndsThePast(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	a.cfg.Keep.Bytes = 300 << 10
	a.reopen()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), noise(220, 200<<10))
	write(t, filepath.Join(dir, "b"), noise(221, 400<<10))
	rep := a.share(dir).Replica
	a.revise(rep, rewrite(t, "a", 222, 100))
	if got := a.segmentsOf(rep); !slices.Equal(got, []string{"1.seg"}) {
		t.Fatalf("segments %v", got)
	}
	a.revise(rep, rewrite(t, "b", 223, 100))
	if got := a.segmentsOf(rep); len(got) > 0 {
		t.Errorf("segments %v, want none", got)
	}
}

// An update that was killed half-way is begun again, or another one is: nothing that was copied out is lost.
func TestCopyOutAgainAfterACrash(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := t.TempDir()
	for i, name := range []string{"a", "b", "c"} {
		write(t, filepath.Join(dir, name), noise(230+uint64(i), 300<<10))
	}
	rep := a.share(dir).Replica
	old, err := a.Layout(within(t), rep)
	if err != nil {
		t.Fatal(err)
	}
	first := func(dir string) {
		rewrite(t, "a", 240, 1000)(dir)
		rewrite(t, "b", 241, 1000)(dir)
	}
	a.copyOutFor(rep, first)
	rewrite(t, "a", 240, 1000)(dir) // as far as it came
	a.reopen()
	rep = a.replica(rep.Set())
	if got := a.segmentsOf(rep); !slices.Equal(got, []string{"1.seg"}) {
		t.Fatalf("after the crash: %v", got)
	}
	a.revise(rep, func(dir string) { // by now there is a newer revision
		first(dir)
		rewrite(t, "c", 242, 1000)(dir)
	})
	if yes, no := a.readable(rep, old); yes == 0 || no > 0 {
		t.Errorf("of the revision before %d leaves can be read and %d cannot", yes, no)
	}
}

// What cannot be read any more does not stop an update.
func TestCopyOutLeavesOutWhatIsLost(t *testing.T) {
	t.Parallel()
	a := newMember(t, role{})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), noise(250, 100<<10))
	write(t, filepath.Join(dir, "b"), noise(251, 100<<10))
	rep := a.share(dir).Replica
	flip(t, filepath.Join(dir, "a"), 7)
	a.revise(rep, func(dir string) {
		rewrite(t, "a", 252, 1)(dir)
		rewrite(t, "b", 253, 1)(dir)
	})
	if got := a.keptWords(rep); !slices.Equal(got, []string{KeptHere, KeptPartly}) {
		t.Errorf("kept %v", got)
	}
}
