package badgerstore

import (
	"encoding/binary"
)

// Some chunks occur everywhere: the all-zero chunk of a disk image may fill most of it. More places
// than a few make such a chunk no safer but would make its record grow with every file, and each
// change of the record is a read and a write of all of it.
const (
	// maxRefsPerFile bounds the places of one chunk in one file: a file's places mostly fail together.
	maxRefsPerFile = 4
	// maxRefsPerSet bounds the places of one chunk per set (per set, because one set's places must
	// not keep another's out: membership is by place). 64 files are gone or changed before a reader
	// must look elsewhere.
	maxRefsPerSet = 64
)

// ref is one place of a chunk: a piece of a file.
type ref struct {
	set  uint32 // of the file
	tree uint32
	off  uint64 // bytes
	size uint32 // bytes
	path []byte // slash-separated, relative to the tree
}

// refList is a record of references: for each set, tree, offset, size, length of the path (all
// uvarint) and the path. That the path stands in every reference costs 40 bytes per 256 KiB and saves
// a record for each file and a lookup for each read.
type refList []byte

// next splits the first reference off. ok is false at the end of the list or where it is malformed.
func (l refList) next() (r ref, rest refList, ok bool) {
	f := fields{rest: l}
	r = ref{set: uint32(f.uint()), tree: uint32(f.uint()), off: f.uint(), size: uint32(f.uint())}
	r.path = f.bytes(f.uint())
	return r, f.rest, !f.bad
}

func (r ref) appendTo(l refList) refList {
	l = binary.AppendUvarint(l, uint64(r.set))
	l = binary.AppendUvarint(l, uint64(r.tree))
	l = binary.AppendUvarint(l, r.off)
	l = binary.AppendUvarint(l, uint64(r.size))
	l = binary.AppendUvarint(l, uint64(len(r.path)))
	return append(l, r.path...)
}

func (r ref) in(tree uint32, path string) bool { return r.tree == tree && string(r.path) == path }

func (r ref) equal(o ref) bool {
	return r.set == o.set && r.off == o.off && r.size == o.size && r.in(o.tree, string(o.path))
}

// add returns the list with r, or the list itself if r is in it or a bound is reached.
func (l refList) add(r ref) refList {
	inFile, inSet := 0, 0
	for rest := l; ; {
		old, next, ok := rest.next()
		if !ok {
			l = l[:len(l)-len(rest)] // a malformed tail is dropped
			break
		}
		if old.equal(r) {
			return l
		}
		if old.set == r.set {
			inSet++
		}
		if old.in(r.tree, string(r.path)) {
			inFile++
		}
		rest = next
	}
	if inFile >= maxRefsPerFile || inSet >= maxRefsPerSet {
		return l
	}
	return r.appendTo(l[:len(l):len(l)])
}

// without returns a list without the references that drop selects: the list itself if it selects none.
func (l refList) without(drop func(ref) bool) refList {
	var kept refList
	dropped := false
	for rest := l; ; {
		r, next, ok := rest.next()
		if !ok {
			break
		}
		switch {
		case drop(r) && !dropped:
			dropped = true
			kept = append(kept, l[:len(l)-len(rest)]...)
		case dropped && !drop(r):
			kept = r.appendTo(kept)
		}
		rest = next
	}
	if !dropped {
		return l
	}
	return kept
}
