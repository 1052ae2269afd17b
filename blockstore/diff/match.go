package diff

import (
	"cmp"
	"crypto/sha256"
	"path"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// tree is a layout with what the flat list does not say. Indexes fit 32 bits: dag.Limits.
type tree struct {
	entries []dag.Entry
	leaves  []blockstore.Leaf
	parent  []int32            // of each entry, its folder; -1 for the root
	end     []int32            // of each entry, the index behind the last entry below it
	kids    []int32            // of each entry, how many entries it has as a folder
	content map[cid.Cid]string // of files met: see contentOf
}

func newTree(lay *dag.Layout) *tree {
	if lay == nil {
		lay = &dag.Layout{}
	}
	n := len(lay.Entries)
	t := &tree{
		entries: lay.Entries, leaves: lay.Leaves,
		parent: make([]int32, n), end: make([]int32, n), kids: make([]int32, n),
		content: map[cid.Cid]string{},
	}
	var open []int32 // the folders above
	for i := range lay.Entries {
		depth := 0 // folders above
		if p := lay.Entries[i].Path; p != "" {
			depth = 1 + strings.Count(p, "/")
		}
		open = t.close(open, depth, i)
		t.parent[i] = -1
		if depth > 0 {
			t.parent[i] = open[depth-1]
			t.kids[open[depth-1]]++
		}
		open = append(open, int32(i))
	}
	t.close(open, 0, n)
	return t
}

// close ends all open entries but the first depth in front of entry i.
func (t *tree) close(open []int32, depth, i int) []int32 {
	for len(open) > depth {
		t.end[open[len(open)-1]] = int32(i)
		open = open[:len(open)-1]
	}
	return open
}

// comparePaths orders paths as a layout does: a folder, then all below it, then its next sibling. That is the
// order of bytes if a slash comes before every other one; a name holds no NUL.
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if x, y := a[i], b[i]; x != y {
			switch {
			case x == '/':
				return -1
			case y == '/':
				return 1
			}
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}

func sameAttr(a, b dag.Attr) bool { return a.Mode == b.Mode && a.Mtime.Equal(b.Mtime) }

// contentOf is equal for two files, or two symlinks, exactly if they have the same content; "" for nothing. It
// is worked out once for each distinct file.
func (t *tree) contentOf(i int) string {
	e := &t.entries[i]
	switch {
	case e.Kind == dag.KindSymlink:
		return e.Cid.KeyString()
	case e.Kind == dag.KindDir || len(e.Leaves) == 0:
		return ""
	case len(e.Leaves) == 1:
		return t.leaves[e.Leaves[0]].Cid.KeyString()
	}
	key, known := t.content[e.Cid]
	if !known {
		h := sha256.New()
		for _, l := range e.Leaves {
			d := blockstore.Digest(t.leaves[l].Cid)
			h.Write(d[:])
		}
		key = string(h.Sum(nil)) // shorter than a CID, so never one
		t.content[e.Cid] = key
	}
	return key
}

// comparison is two trees whose entries have been paired: by path, and what that left by content.
type comparison struct {
	old, new *tree
	toNew    []int32 // of each old entry, what it became; -1 if it is gone
	toOld    []int32 // the inverse
	// oldLeaf is the index in the old leaves of each leaf that a file holds which was added, modified or
	// retyped, and -1 for all others.
	oldLeaf []int32
}

func compare(old, new *dag.Layout) *comparison {
	c := &comparison{old: newTree(old), new: newTree(new)}
	c.toNew, c.toOld = unset(len(c.old.entries)), unset(len(c.new.entries))
	c.pairPaths()
	c.pairFolders()
	c.pairFiles()
	c.foldUp()
	c.findLeaves()
	return c
}

func unset(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = -1
	}
	return s
}

// pair pairs n entries from old entry i and new entry j on.
func (c *comparison) pair(i, j, n int) {
	for k := range n {
		c.toNew[i+k], c.toOld[j+k] = int32(j+k), int32(i+k)
	}
}

// pairPaths pairs entries of one path, of whatever kind.
func (c *comparison) pairPaths() {
	for i, j := 0, 0; i < len(c.old.entries) && j < len(c.new.entries); {
		o, n := &c.old.entries[i], &c.new.entries[j]
		switch d := comparePaths(o.Path, n.Path); {
		case d < 0:
			i++
		case d > 0:
			j++
		default:
			same := 1
			if o.Cid == n.Cid { // then all below is the same too
				same = int(c.old.end[i]) - i
			}
			c.pair(i, j, same)
			i, j = i+same, j+same
		}
	}
}

// key names entries that may be the same one under two paths.
type key struct{ content, name string }

// queues hands out old entries by key, in order, each until it is paired.
type queues struct {
	c     *comparison
	byKey map[key][]int32
}

func (q *queues) add(k key, i int) { q.byKey[k] = append(q.byKey[k], int32(i)) }

// next is the first old entry of k that has not been paired, or -1. Those before it never will be again.
func (q *queues) next(k key) int {
	for rest := q.byKey[k]; len(rest) > 0; rest = rest[1:] {
		if c := rest[0]; q.c.toNew[c] < 0 {
			q.byKey[k] = rest
			return int(c)
		}
	}
	delete(q.byKey, k)
	return -1
}

// pairFolders pairs folders that are gone and new with one CID. Everything below a folder whose path is gone
// is gone too. Larger ones come first, so that what lies below a folder is never paired before it.
func (c *comparison) pairFolders() {
	q := queues{c: c, byKey: map[key][]int32{}}
	for i, e := range c.old.entries {
		if c.toNew[i] < 0 && e.Kind == dag.KindDir {
			q.add(key{e.Cid.KeyString(), path.Base(e.Path)}, i)
			if c.old.kids[i] > 0 {
				q.add(key{content: e.Cid.KeyString()}, i)
			}
		}
	}
	if len(q.byKey) == 0 {
		return
	}
	var folders []int
	for j, e := range c.new.entries {
		if c.toOld[j] < 0 && e.Kind == dag.KindDir {
			folders = append(folders, j)
		}
	}
	size := func(j int) int { return int(c.new.end[j]) - j }
	slices.SortStableFunc(folders, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	for _, j := range folders {
		if c.toOld[j] >= 0 {
			continue // below one that was paired
		}
		k := key{c.new.entries[j].Cid.KeyString(), path.Base(c.new.entries[j].Path)}
		i := q.next(k)
		if i < 0 {
			i = q.next(key{content: k.content})
		}
		if i >= 0 {
			c.pair(i, j, size(j))
		}
	}
}

// pairFiles pairs files and symlinks that are gone and new with one content: of one name first, then in order.
func (c *comparison) pairFiles() {
	q := queues{c: c, byKey: map[key][]int32{}}
	for i, e := range c.old.entries {
		if c.toNew[i] < 0 && e.Kind != dag.KindDir {
			content := c.old.contentOf(i)
			q.add(key{content, path.Base(e.Path)}, i)
			if content != "" {
				q.add(key{content: content}, i)
			}
		}
	}
	if len(q.byKey) == 0 {
		return
	}
	for _, byName := range []bool{true, false} {
		for j, e := range c.new.entries {
			if c.toOld[j] >= 0 || e.Kind == dag.KindDir {
				continue
			}
			k := key{content: c.new.contentOf(j)}
			if byName {
				k.name = path.Base(e.Path)
			}
			if i := q.next(k); i >= 0 {
				c.pair(i, j, 1)
			}
		}
	}
}

// foldUp pairs a new folder with one that is gone if all entries of either are paired with each other under
// the same names. Entries come before what lies below them, so from the end on the inner folders are first.
func (c *comparison) foldUp() {
	for j := len(c.new.entries) - 1; j >= 0; j-- {
		if c.toOld[j] >= 0 || c.new.kids[j] == 0 {
			continue
		}
		if from := c.movedFrom(j); from >= 0 {
			c.pair(from, j, 1)
		}
	}
}

// movedFrom is the folder that is gone and that all entries of new folder j were moved out of, leaving nothing
// and keeping their names; or -1.
func (c *comparison) movedFrom(j int) int {
	from := int32(-1)
	for k := int32(j + 1); k < c.new.end[j]; k = c.new.end[k] {
		i := c.toOld[k]
		if i < 0 || path.Base(c.old.entries[i].Path) != path.Base(c.new.entries[k].Path) {
			return -1
		}
		if from < 0 {
			from = c.old.parent[i]
		}
		if from != c.old.parent[i] {
			return -1
		}
	}
	if from < 0 || c.toNew[from] >= 0 || c.old.kids[from] != c.new.kids[j] {
		return -1
	}
	return int(from)
}

// sameContent tells whether old entry i and new entry j, of one kind and path, differ at most in attributes.
// A folder's content is its entries', who speak for themselves.
func (c *comparison) sameContent(i, j int) bool {
	o, n := &c.old.entries[i], &c.new.entries[j]
	switch {
	case o.Cid == n.Cid || n.Kind == dag.KindDir:
		return true
	case o.Size != n.Size || len(o.Leaves) != len(n.Leaves):
		return false
	}
	return c.old.contentOf(i) == c.new.contentOf(j)
}

// changed tells whether new entry j is a file whose content is not that of the old entry it is paired with.
func (c *comparison) changed(j int) bool {
	n := &c.new.entries[j]
	if n.Kind != dag.KindFile {
		return false
	}
	i := int(c.toOld[j])
	return i < 0 || c.old.entries[i].Kind != dag.KindFile || !c.sameContent(i, j)
}

// findLeaves fills oldLeaf. The map has the changed files' leaves only, which are few as a rule.
func (c *comparison) findLeaves() {
	c.oldLeaf = unset(len(c.new.leaves))
	wanted, files := map[cid.Cid]uint32{}, map[cid.Cid]bool{}
	for j := range c.new.entries {
		e := &c.new.entries[j]
		if !c.changed(j) || files[e.Cid] {
			continue
		}
		files[e.Cid] = true
		for _, l := range e.Leaves {
			wanted[c.new.leaves[l].Cid] = l
		}
	}
	if len(wanted) == 0 {
		return
	}
	for i, l := range c.old.leaves {
		if j, ok := wanted[l.Cid]; ok {
			c.oldLeaf[j] = int32(i)
		}
	}
}
