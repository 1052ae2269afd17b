package merge

import (
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// source is a layout that nodes come from.
type source struct {
	lay  *dag.Layout
	end  []int32 // of each entry, the index behind the last entry below it; dag.Limits fit 32 bits
	side int
}

func newSource(lay *dag.Layout, side int) *source {
	s := &source{lay: lay, end: make([]int32, len(lay.Entries)), side: side}
	var open []int32 // the folders above
	for i := range lay.Entries {
		open = s.close(open, depthOf(lay.Entries[i].Path), i)
		open = append(open, int32(i))
	}
	s.close(open, 0, len(lay.Entries))
	return s
}

// close ends all open entries but the first depth in front of entry i.
func (s *source) close(open []int32, depth, i int) []int32 {
	for len(open) > depth {
		s.end[open[len(open)-1]] = int32(i)
		open = open[:len(open)-1]
	}
	return open
}

// depthOf is the number of folders above an entry.
func depthOf(path string) int {
	if path == "" {
		return 0
	}
	return 1 + strings.Count(path, "/")
}

// baseName is the name of an entry in its folder.
func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// node is an entry in a tree that may be changed. The nil node is an entry that is not there.
type node struct {
	name   string
	entry  *dag.Entry // of src, or one made here; its Path is not kept up
	src    *source    // whose Leaves entry means; whose entries behind at are the kids, until opened
	at     int
	side   int    // that it comes from; nobody asks it of a folder
	copyOf string // of a copy that was made here: the name of the entry
	opened bool
	kids   []*node // once opened, in byte order of names
}

func (s *source) root() *node { return s.node(0) }

func (s *source) node(i int) *node {
	e := &s.lay.Entries[i]
	return &node{name: baseName(e.Path), entry: e, src: s, at: i, side: s.side}
}

// list is the entries of a folder. Only what differs between trees is ever opened.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	if !n.opened && n.isDir() {
		for i := n.at + 1; i < int(n.src.end[n.at]); i = int(n.src.end[i]) {
			n.kids = append(n.kids, n.src.node(i))
		}
	}
	n.opened = true
	return n.kids
}

func (n *node) isDir() bool { return n != nil && n.entry.Kind == dag.KindDir }

// asDir is n if it is a folder.
func (n *node) asDir() *node {
	if n.isDir() {
		return n
	}
	return nil
}

func sameAttr(a, b dag.Attr) bool { return a.Mode == b.Mode && a.Mtime.Equal(b.Mtime) }

// same tells whether two entries, which both may be absent, are the same with all that lies below them. Folders
// that were changed here are never found to be, although their entries may.
func (n *node) same(o *node) bool {
	switch {
	case n == nil || o == nil:
		return n == o
	case n.entry.Cid.Defined() && n.entry.Cid == o.entry.Cid:
		return true
	}
	return sameAttr(n.entry.Attr, o.entry.Attr) && n.sameContent(o)
}

// sameContent tells whether n and o are files or symlinks with the same content.
func (n *node) sameContent(o *node) bool {
	if n == nil || o == nil || n.isDir() || n.entry.Kind != o.entry.Kind {
		return false
	}
	a, b := n.entry, o.entry
	switch {
	case a.Cid == b.Cid:
		return true
	case a.Kind == dag.KindSymlink:
		return a.Target == b.Target
	}
	return slices.EqualFunc(a.Leaves, b.Leaves, func(i, j uint32) bool {
		return n.leaf(i).Cid == o.leaf(j).Cid
	})
}

func (n *node) leaf(i uint32) blockstore.Leaf { return n.src.lay.Leaves[i] }

// kid finds an entry of a folder by name, or where it would be.
func (n *node) kid(name string) (at int, found bool) {
	return slices.BinarySearchFunc(n.list(), name, func(k *node, name string) int { return strings.Compare(k.name, name) })
}

// find is the entry at a path below n, or nil.
func (n *node) find(path string) *node {
	for name := range strings.SplitSeq(path, "/") {
		at, found := n.kid(name)
		if !found {
			return nil
		}
		n = n.kids[at]
	}
	return n
}

// vacant tells whether an entry can be put at a path below n: nothing is there, and folders above it, as far as
// they are there, are folders.
func (n *node) vacant(path string) bool {
	for name := range strings.SplitSeq(path, "/") {
		if !n.isDir() {
			return false
		}
		at, found := n.kid(name)
		if !found {
			return true
		}
		n = n.kids[at]
	}
	return false
}

// touch readies a folder for a change: it has no CID from then on.
func (n *node) touch() {
	n.list()
	e := *n.entry
	e.Cid = cid.Undef
	n.entry = &e
}

// move takes the entry at from, which is there, to the path to, which is vacant. Folders that lack above it are
// made like those of the tree like, which has an entry at to.
func (n *node) move(from, to string, like *node) {
	dir, name := n, from
	for {
		dir.touch()
		first, rest, more := strings.Cut(name, "/")
		at, _ := dir.kid(first)
		if !more {
			moved := dir.kids[at]
			dir.kids = slices.Delete(dir.kids, at, at+1)
			n.put(moved, to, like)
			return
		}
		dir, name = dir.kids[at], rest
	}
}

func (n *node) put(moved *node, to string, like *node) {
	for dir := n; ; {
		dir.touch()
		first, rest, more := strings.Cut(to, "/")
		at, found := dir.kid(first)
		if !more {
			moved.name = first
			dir.kids = slices.Insert(dir.kids, at, moved)
			return
		}
		there, _ := like.kid(first)
		like = like.kids[there]
		if !found {
			made := &node{name: first, entry: like.entry, src: like.src, opened: true}
			dir.kids = slices.Insert(dir.kids, at, made)
		}
		dir, to = dir.kids[at], rest
	}
}
