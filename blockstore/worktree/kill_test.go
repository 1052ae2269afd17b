//go:build linux || darwin

package worktree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
)

var errKilled = errors.New("killed")

// kill lets so many changes of the file system happen, and then none any more: what a process leaves that is
// killed there.
type kill struct{ left, steps atomic.Int64 }

func killAfter(n int64) *kill {
	k := &kill{}
	k.left.Store(n)
	return k
}

func (k *kill) step() error {
	k.steps.Add(1)
	if k.left.Add(-1) < 0 {
		return errKilled
	}
	return nil
}

// revision is a scanned tree whose leaves are kept although the tree changes.
type revision struct {
	dir    string // a copy of the tree
	lay    *dag.Layout
	leaves map[cid.Cid][]byte
}

func freeze(t testing.TB, dir, copyTo string) revision {
	t.Helper()
	must(t, os.CopyFS(copyTo, os.DirFS(dir)))
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		must(t, err)
		if d.Type()&fs.ModeSymlink != 0 {
			return nil
		}
		rel, _ := filepath.Rel(dir, name)
		info, err := d.Info()
		must(t, err)
		must(t, os.Chmod(filepath.Join(copyTo, rel), info.Mode().Perm()))
		return os.Chtimes(filepath.Join(copyTo, rel), info.ModTime(), info.ModTime())
	}))
	s := share(t, copyTo)
	r := revision{dir: copyTo, lay: s.lay, leaves: map[cid.Cid][]byte{}}
	for i, l := range s.lay.Leaves {
		r.leaves[l.Cid] = s.leaf(t, uint32(i))
	}
	return r
}

// signature of what lies at each path: "" for a folder, otherwise kind and content.
func (r revision) signatures() map[string]string {
	m := map[string]string{}
	for _, e := range r.lay.Entries[1:] {
		switch e.Kind {
		case dag.KindDir:
			m[e.Path] = "folder"
		case dag.KindSymlink:
			m[e.Path] = "link " + e.Target
		case dag.KindFile:
			var b strings.Builder
			for _, l := range e.Leaves {
				b.Write(r.leaves[r.lay.Leaves[l].Cid])
			}
			m[e.Path] = "file " + b.String()
		}
	}
	return m
}

func signaturesOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		must(t, err)
		rel, _ := filepath.Rel(dir, name)
		switch {
		case rel == ".":
		case rel == TempDir:
			return fs.SkipDir
		case d.IsDir():
			m[rel] = "folder"
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			must(t, err)
			m[rel] = "link " + target
		default:
			data, err := os.ReadFile(name)
			must(t, err)
			m[rel] = "file " + string(data)
		}
		return nil
	}))
	return m
}

// follower is a folder that holds one revision after another, with what its node remembers.
type follower struct {
	dest  string
	st    *memstore.Store
	old   *dag.Layout // of the revision it holds wholly; nil: none
	dirty []dag.Entry // of the revisions to which updates were interrupted since
}

// had is all that may lie in the folder by a revision.
func (f *follower) had() []dag.Entry {
	if f.old == nil {
		return f.dirty
	}
	return slices.Concat(f.old.Entries, f.dirty)
}

func (f *follower) options(t testing.TB, new *dag.Layout, k *kill) CheckoutOptions {
	o := CheckoutOptions{
		Known: knownOf(t, f.st, f.dest), Ours: f.had() != nil, CopyConflicts: true, step: k.step,
		Local: func(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) { return f.st.Get(ctx, c, buf) },
		Moves: map[string]string{},
	}
	kept := map[string]dag.Kind{}
	for _, e := range new.Entries {
		kept[e.Path] = e.Kind
	}
	content := func(lay *dag.Layout, e dag.Entry) string {
		var b strings.Builder
		for _, l := range e.Leaves {
			b.WriteString(lay.Leaves[l].Cid.KeyString())
		}
		return b.String()
	}
	sources := map[string]string{}
	links := map[[2]string]bool{}
	if f.old != nil {
		for _, e := range f.old.Entries {
			if e.Kind == dag.KindFile && kept[e.Path] != dag.KindFile {
				sources[content(f.old, e)] = e.Path
			}
		}
	}
	for _, e := range f.had() {
		if e.Kind == dag.KindSymlink {
			links[[2]string{e.Path, e.Target}] = true
		}
	}
	for _, e := range new.Entries {
		if from := sources[content(new, e)]; e.Kind == dag.KindFile && from != "" {
			o.Moves[e.Path] = from
		}
	}
	o.Links = func(path, target string) bool { return links[[2]string{path, target}] }
	return o
}

// changed is the part of new that differs from old.
func changed(old, new *dag.Layout) *dag.Layout {
	was := map[string]dag.Entry{}
	for _, e := range old.Entries {
		was[e.Path] = e
	}
	part, _ := new.Part(func(i int) bool {
		a, b := was[new.Entries[i].Path], new.Entries[i]
		if b.Kind == dag.KindDir {
			a.Cid, b.Cid = cid.Undef, cid.Undef
		}
		return a.Kind != b.Kind || a.Cid != b.Cid || a.Attr != b.Attr || a.Target != b.Target
	})
	return part
}

// update brings the follower to revision r, until it is killed.
func (f *follower) update(t testing.TB, r revision, k *kill, hold bool) (Result, error) {
	o := f.options(t, r.lay, k)
	lay := r.lay
	if f.old != nil && f.dirty == nil {
		o.Partial, lay = true, changed(f.old, r.lay)
	}
	o.Hold = hold
	f.dirty = append(f.dirty, r.lay.Entries...)
	c, err := NewCheckout(t.Context(), f.dest, testSet(), lay, o)
	if err != nil {
		return Result{}, err
	}
	defer c.Close()
	need := c.Need()
	for n, i := range need {
		if n == len(need)/2 && hold {
			if err := c.Release(t.Context()); err != nil {
				return Result{}, err
			}
		}
		if err := c.Write(i, r.leaves[lay.Leaves[i].Cid]); err != nil {
			return Result{}, err
		}
	}
	res, err := c.Finish(t.Context(), func(fs ...blockstore.File) error {
		return errors.Join(k.step(), f.st.PutFiles(t.Context(), fs...))
	})
	if err == nil {
		err = k.step()
	}
	if err != nil {
		return res, err
	}
	return res, f.settle(t, r.lay, k)
}

// settle removes what is gone.
func (f *follower) settle(t testing.TB, new *dag.Layout, k *kill) error {
	kinds := map[string]dag.Kind{}
	for _, e := range new.Entries {
		kinds[e.Path] = e.Kind
	}
	var gone []blockstore.File
	must(t, f.st.Files(t.Context(), f.dest, func(x blockstore.File) error {
		if kinds[x.Path] != dag.KindFile {
			gone = append(gone, x)
		}
		return nil
	}))
	_, err := Remove(f.dest, gone, func(dir string) bool { return kinds[dir] == dag.KindDir })
	must(t, err)
	for _, g := range gone {
		must(t, f.st.DropFiles(t.Context(), f.dest, g.Path))
	}
	if err := k.step(); err != nil {
		return err
	}
	entries := slices.DeleteFunc(f.had(), func(e dag.Entry) bool { return kinds[e.Path] == e.Kind })
	_, err = Prune(f.dest, entries)
	must(t, err)
	f.old, f.dirty = new, nil
	return nil
}

// editor changes a tree at random.
type editor struct {
	t testing.TB
	r *rand.Rand
}

func (e editor) bytes() string {
	n := []int{0, 1, 300, 5 << 10, 40 << 10}[e.r.IntN(5)]
	return random(e.r.Uint64N(6), n)
}

// pick lists files, folders or all below dir, and chooses one; "" if there is none.
func (e editor) pick(dir string, want func(fs.DirEntry) bool) string {
	var all []string
	must(e.t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		must(e.t, err)
		if name != dir && want(d) {
			all = append(all, name)
		}
		return nil
	}))
	if len(all) == 0 {
		return ""
	}
	return all[e.r.IntN(len(all))]
}

func isFile(d fs.DirEntry) bool { return d.Type().IsRegular() }
func anything(fs.DirEntry) bool { return true }

// fresh is a path that is not taken, in a folder of dir.
func (e editor) fresh(dir string) string {
	at := dir
	if sub := e.pick(dir, fs.DirEntry.IsDir); sub != "" && e.r.IntN(3) > 0 {
		at = sub
	}
	if below := filepath.Join(at, fmt.Sprintf("d%d", e.r.IntN(100))); e.r.IntN(2) == 0 && os.MkdirAll(below, 0o755) == nil {
		at = below
	}
	for {
		name := filepath.Join(at, fmt.Sprintf("%c%d", 'a'+rune(e.r.IntN(4)), e.r.IntN(1000)))
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
}

// put makes something new at name.
func (e editor) put(name string) {
	switch e.r.IntN(7) {
	case 0:
		must(e.t, os.Symlink(fmt.Sprintf("x%d", e.r.IntN(3)), name))
	case 1:
		must(e.t, os.Mkdir(name, 0o755))
	case 2:
		must(e.t, os.Mkdir(name, 0o755))
		write(e.t, name+"/in", e.bytes())
		write(e.t, name+"/sub/in", e.bytes())
	default:
		write(e.t, name, e.bytes())
		when := time.Unix(1e9+e.r.Int64N(100), 0)
		must(e.t, os.Chtimes(name, when, when))
		must(e.t, os.Chmod(name, []fs.FileMode{0o644, 0o755, 0o444}[e.r.IntN(3)]))
	}
}

func (e editor) edit(dir string) {
	any, file, sub := e.pick(dir, anything), e.pick(dir, isFile), e.pick(dir, fs.DirEntry.IsDir)
	rewrite := func(change func(b []byte) []byte) {
		b, err := os.ReadFile(file)
		must(e.t, err)
		must(e.t, os.Chmod(file, 0o644))
		must(e.t, os.WriteFile(file, change(b), 0o644))
	}
	switch op := e.r.IntN(12); {
	case op == 0 && file != "":
		rewrite(func(b []byte) []byte { copy(b[len(b)/3:], "overwritten"); return b })
	case op == 1 && file != "":
		rewrite(func(b []byte) []byte { return slices.Insert(b, len(b)/3, []byte("inserted")...) })
	case op == 2 && file != "":
		rewrite(func(b []byte) []byte { return append(b, "appended"...) })
	case op == 3 && any != "":
		must(e.t, os.RemoveAll(any))
	case op == 4 && any != "": // another kind of thing, or other content, at the same path
		must(e.t, os.RemoveAll(any))
		e.put(any)
	case op == 5 && file != "":
		must(e.t, os.Rename(file, e.fresh(dir)))
	case op == 6 && sub != "": // may lie in itself, which fails
		_ = os.Rename(sub, e.fresh(dir))
	case op == 7 && file != "": // a file becomes a folder that holds it
		must(e.t, os.Rename(file, dir+"/swap"))
		must(e.t, os.Mkdir(file, 0o755))
		must(e.t, os.Rename(dir+"/swap", file+"/was"))
	case op == 8 && sub != "": // and the other way round
		if in := e.pick(sub, isFile); in != "" {
			must(e.t, os.Rename(in, dir+"/swap"))
			must(e.t, os.RemoveAll(sub))
			must(e.t, os.Rename(dir+"/swap", sub))
		}
	case op == 9 && any != "":
		if info, err := os.Lstat(any); err == nil && info.Mode()&fs.ModeSymlink == 0 {
			must(e.t, os.Chmod(any, []fs.FileMode{0o700, 0o755, 0o750}[e.r.IntN(3)]))
		}
	default:
		e.put(e.fresh(dir))
	}
}

// scenario is three revisions of a tree, and edits that a follower's user makes to the first.
type scenario struct {
	base  string
	revs  []revision
	edits map[string]string // path: content
}

func newScenario(t testing.TB, seed uint64) *scenario {
	base, err := os.MkdirTemp("/dev/shm", "killed") // many more points in the same time
	if err != nil {
		base, err = os.MkdirTemp("", "killed")
	}
	must(t, err)
	e := editor{t, rand.New(rand.NewPCG(seed, 3))}
	s := &scenario{base: base, edits: map[string]string{}}
	work := base + "/work"
	must(t, os.Mkdir(work, 0o755))
	for range 3 + e.r.IntN(8) {
		e.put(e.fresh(work))
	}
	for i := range 3 {
		s.revs = append(s.revs, freeze(t, work, fmt.Sprint(base, "/rev", i)))
		for range 1 + e.r.IntN(6) {
			e.edit(work)
		}
	}
	if seed%3 == 0 {
		was, is := s.revs[0].signatures(), s.revs[1].signatures()
		for range 1 + e.r.IntN(2) {
			if file := e.pick(s.revs[0].dir, isFile); file != "" {
				rel, _ := filepath.Rel(s.revs[0].dir, file)
				if was[rel] != is[rel] { // an update does not look at the rest
					s.edits[rel] = fmt.Sprintf("file edited %d", e.r.Uint32())
				}
			}
		}
	}
	return s
}

// follower holds the first revision, with the user's edits.
func (s *scenario) follower(t testing.TB, name string) *follower {
	f := &follower{dest: filepath.Join(s.base, name), st: memstore.New()}
	if _, err := f.update(t, s.revs[0], killAfter(1e9), false); err != nil {
		t.Fatalf("first get: %v", err)
	}
	for path, text := range s.edits {
		must(t, os.Chmod(filepath.Join(f.dest, path), 0o644))
		must(t, os.WriteFile(filepath.Join(f.dest, path), []byte(strings.TrimPrefix(text, "file ")), 0o644))
	}
	return f
}

// between checks what a killed update leaves: at each path the old or the new, or nothing if one of them has
// nothing there or both have different kinds. Edits are somewhere.
func (s *scenario) between(dest string, now, old, new map[string]string) error {
	all := slices.Sorted(maps.Keys(now))
	for path := range old {
		all = append(all, path)
	}
	texts := map[string]bool{}
	for _, text := range now {
		texts[text] = true
	}
	for path, text := range s.edits {
		if !texts[text] {
			return fmt.Errorf("the edit of %q is lost", path)
		}
		old[path] = text
	}
	for path := range new {
		all = append(all, path)
	}
	for _, path := range all {
		is, was, will := now[path], old[path], new[path]
		switch {
		case is == was || is == will || strings.Contains(path, conflictMark):
		case is == "" && kindOf(was) != kindOf(will):
		default:
			return fmt.Errorf("%q is neither old nor new: %.40q, old %.40q, new %.40q", path, is, was, will)
		}
	}
	return nil
}

func kindOf(signature string) string { kind, _, _ := strings.Cut(signature, " "); return kind }

// complete checks that dest is revision r, but for the user's edits, which are still there, and takes them away.
func (s *scenario) complete(t testing.TB, f *follower, r revision, res Result) {
	t.Helper()
	texts, now := map[string]int{}, signaturesOf(t, f.dest)
	new := r.signatures()
	for path, text := range now {
		texts[text]++
		if _, stays := new[path]; stays && new[path] != text {
			t.Fatalf("%q is %.40q, want %.40q", path, text, new[path])
		}
	}
	for path, text := range s.edits {
		if n := texts[text]; n < 1 || n > 2 { // 2: it has a conflict name as well, and the newer revision left it alone
			t.Fatalf("the edit of %q is there %d times\n%v", path, texts[text], slices.Sorted(maps.Keys(now)))
		}
	}
	edited := func(path string) bool {
		_, ok := s.edits[path]
		return ok && new[path] == ""
	}
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(now))) {
		if strings.Contains(path, conflictMark) || edited(path) {
			must(t, os.RemoveAll(filepath.Join(f.dest, path)))
			for dir := filepath.Dir(path); dir != "." && new[dir] == ""; dir = filepath.Dir(dir) {
				_ = os.Remove(filepath.Join(f.dest, dir))
			}
		}
	}
	for _, c := range res.Conflicts {
		if len(s.edits) == 0 {
			t.Fatalf("conflict without an edit: %+v", c)
		}
	}
	if len(res.Skipped) > 0 {
		t.Fatalf("skipped: %v", res.Skipped)
	}
	if want, is := listing(t, r.dir), listing(t, f.dest); want != is {
		t.Fatalf("got\n%s\nwant\n%s", is, want)
	}
}

// Killed at any change of the file system, an update leaves each path old or new. The same command completes it,
// and so does the update to a newer revision.
func TestKilledUpdate(t *testing.T) {
	points := 0
	end := time.Now().Add(8 * time.Second)
	if testing.Short() {
		end = time.Now().Add(2 * time.Second)
	}
	seed := uint64(546)
	for ; time.Now().Before(end) && !t.Failed(); seed++ {
		points += killedUpdate(t, seed)
	}
	t.Logf("%d seeds, %d points of interruption", seed, points)
}

func killedUpdate(t *testing.T, seed uint64) (points int) {
	s := newScenario(t, seed)
	defer os.RemoveAll(s.base)
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	hold := seed%4 != 1
	r := rand.New(rand.NewPCG(seed, 4))
	all := killAfter(1e9)
	f := s.follower(t, "all")
	res, err := f.update(t, s.revs[1], all, hold)
	must(t, err)
	s.complete(t, f, s.revs[1], res)
	for n := range 6 {
		f := s.follower(t, fmt.Sprint("dest", n))
		at := r.Int64N(all.steps.Load() + 1)
		_, err := f.update(t, s.revs[1], killAfter(at), hold)
		if err == nil {
			must(t, os.RemoveAll(f.dest)) // goroutines took other turns
			continue
		}
		if !errors.Is(err, errKilled) {
			t.Fatalf("killed after %d: %v", at, err)
		}
		points++
		if err := s.between(f.dest, signaturesOf(t, f.dest), s.revs[0].signatures(), s.revs[1].signatures()); err != nil {
			t.Fatalf("killed after %d: %v", at, err)
		}
		next := s.revs[1+n%2]
		if n%3 == 2 { // killed again, on the way to either
			_, _ = f.update(t, next, killAfter(r.Int64N(all.steps.Load()+1)), hold)
			next = s.revs[1+r.IntN(2)]
		}
		res, err := f.update(t, next, killAfter(1e9), hold)
		if err != nil {
			t.Fatalf("after being killed after %d: %v", at, err)
		}
		s.complete(t, f, next, res)
		if t.Failed() {
			t.Logf("killed after %d", at)
		}
	}
	return points
}
