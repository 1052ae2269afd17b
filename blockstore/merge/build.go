package merge

import (
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// textPerEntry is how many bytes of paths dag.Limits.Entries allows per entry.
const textPerEntry = 256

// flattener writes a tree out as a result.
type flattener struct {
	lim          dag.Limits
	r            Result
	number       map[cid.Cid]uint32   // of each leaf in r.Leaves
	files        map[cid.Cid][]uint32 // leaves of the distinct files of r
	bytes, texts int64
}

func flatten(root *node, lim dag.Limits) (Result, error) {
	f := flattener{lim: lim, number: map[cid.Cid]uint32{}, files: map[cid.Cid][]uint32{}}
	if err := f.add(root, ""); err != nil {
		return Result{}, err
	}
	return f.r, nil
}

// add adds n and all below it at a path. It recurses as deep as folders are.
func (f *flattener) add(n *node, path string) error {
	if n.copyOf != "" {
		f.r.Conflicts = append(f.r.Conflicts, Conflict{Path: join(parent(path), n.copyOf), Copy: path, Side: n.side})
	}
	if !n.opened { // as it was
		for i := n.at; i < int(n.src.end[n.at]); i++ {
			e := &n.src.lay.Entries[i]
			if err := f.entry(n.src, e, join(path, rel(n.entry.Path, e.Path))); err != nil {
				return err
			}
		}
		return nil
	}
	if err := f.entry(n.src, n.entry, path); err != nil {
		return err
	}
	for _, k := range n.kids {
		if err := f.add(k, join(path, k.name)); err != nil {
			return err
		}
	}
	return nil
}

// rel is a path below dir, or dir itself, relative to dir.
func rel(dir, path string) string {
	if dir == "" || len(path) == len(dir) {
		return path[len(dir):]
	}
	return path[len(dir)+1:]
}

func join(dir, name string) string {
	if dir == "" || name == "" {
		return dir + name
	}
	return dir + "/" + name
}

// entry adds one entry and counts it.
func (f *flattener) entry(src *source, e *dag.Entry, path string) error {
	kept := *e
	kept.Path = path
	if e.Kind == dag.KindFile {
		var err error
		if kept.Leaves, err = f.leaves(src, e); err != nil {
			return fmt.Errorf("entry %q: %w", path, err)
		}
	}
	f.r.Entries = append(f.r.Entries, kept)
	f.bytes, f.texts = f.bytes+e.Size, f.texts+int64(len(path))
	depth := depthOf(path) // folders that path is in, and itself if it is one
	if e.Kind == dag.KindDir {
		depth++
	}
	switch {
	case depth > f.lim.Depth:
		return fmt.Errorf("%w: more than %d folders below one another", dag.ErrLimit, f.lim.Depth)
	case len(f.r.Entries) > f.lim.Entries:
		return fmt.Errorf("%w: more than %d entries", dag.ErrLimit, f.lim.Entries)
	case f.texts > textPerEntry*int64(f.lim.Entries):
		return fmt.Errorf("%w: paths of more than %d bytes in all", dag.ErrLimit, textPerEntry*int64(f.lim.Entries))
	case f.bytes > f.lim.Bytes:
		return fmt.Errorf("%w: more than %d bytes", dag.ErrLimit, f.lim.Bytes)
	}
	return nil
}

// leaves renumbers the leaves of file e, once for all files that are equal to it.
func (f *flattener) leaves(src *source, e *dag.Entry) ([]uint32, error) {
	if known, ok := f.files[e.Cid]; ok || len(e.Leaves) == 0 {
		return known, nil
	}
	leaves := make([]uint32, len(e.Leaves))
	for i, l := range e.Leaves {
		leaf := src.lay.Leaves[l]
		at, known := f.number[leaf.Cid]
		if !known {
			at = uint32(len(f.r.Leaves))
			f.number[leaf.Cid] = at
			f.r.Leaves = append(f.r.Leaves, leaf)
		}
		if f.r.Leaves[at].Size != leaf.Size {
			return nil, fmt.Errorf("%w: leaf %s has %d bytes here and %d there", dag.ErrMalformed, leaf.Cid, leaf.Size, f.r.Leaves[at].Size)
		}
		leaves[i] = at
	}
	f.files[e.Cid] = leaves
	return leaves, nil
}

// Build makes the root of a merged revision under the profile of its set, and emits the nodes that are on no side,
// children first. What is on a side is taken over by its CID. A file or folder that the profile would build in
// another way, which only a foreign tool makes, is made anew: its parent must know the sizes of its nodes.
//
// Whoever checks a merge compares the root with the one that was signed; emit may then drop what it gets. The
// result depends on the arguments only. Errors: what emit returns; dag.ErrName if a sharded folder comes to have
// two names with the same hash, which nobody finds by chance.
func Build(p dag.Profile, r Result, emit dag.Emit) (root dag.Link, err error) {
	b := builder{profile: p, r: r, emit: emit, cids: make([]cid.Cid, len(r.Entries)), files: map[cid.Cid]dag.Link{}}
	if root, err = b.build(); err != nil {
		return dag.Link{}, fmt.Errorf("build merge: %w", err)
	}
	return root, nil
}

// Layout is what dag.ReadLayout gives for the root that Build makes, without any block. With it, the merge of several
// common ancestors can be the base of another. Errors as Build.
func Layout(p dag.Profile, r Result) (*dag.Layout, error) {
	drop := func(blockstore.Block) error { return nil }
	b := builder{profile: p, r: r, emit: drop, cids: make([]cid.Cid, len(r.Entries)), files: map[cid.Cid]dag.Link{}}
	root, err := b.build()
	if err != nil {
		return nil, fmt.Errorf("lay out merge: %w", err)
	}
	lay := &dag.Layout{Root: root.Cid, Entries: make([]dag.Entry, len(r.Entries)), Leaves: r.Leaves}
	for i, e := range r.Entries {
		e.Cid = b.cids[i]
		lay.Entries[i] = e
		lay.Bytes += e.Size
		switch e.Kind {
		case dag.KindFile:
			lay.Files++
		case dag.KindDir:
			lay.Dirs++
		case dag.KindSymlink:
			lay.Symlinks++
		}
	}
	return lay, nil
}

// builder makes nodes from the leaves up.
type builder struct {
	profile dag.Profile
	r       Result
	emit    dag.Emit
	cids    []cid.Cid            // of each entry
	files   map[cid.Cid]dag.Link // of files of several leaves, which may stand at many paths
	open    []openDir            // the folders above
}

// openDir is a folder whose entries are being made.
type openDir struct {
	entry int
	links []dag.Link
}

func (b *builder) build() (root dag.Link, err error) {
	if len(b.r.Entries) == 0 {
		return root, fmt.Errorf("%w: no entries", ErrInvalid)
	}
	for i := range b.r.Entries {
		e := &b.r.Entries[i]
		if _, err := b.close(depthOf(e.Path)); err != nil {
			return root, err
		}
		if e.Kind == dag.KindDir {
			b.open = append(b.open, openDir{entry: i})
			continue
		}
		l, err := b.file(e)
		if err != nil {
			return root, fmt.Errorf("entry %q: %w", e.Path, err)
		}
		b.finish(i, l)
	}
	return b.close(0)
}

// close makes all open folders but the first depth, and returns the last that was made.
func (b *builder) close(depth int) (l dag.Link, err error) {
	for len(b.open) > depth {
		d := b.open[len(b.open)-1]
		b.open = b.open[:len(b.open)-1]
		e := &b.r.Entries[d.entry]
		l, err = b.make(e, func(emit dag.Emit) (dag.Link, error) {
			return dag.BuildDir(b.profile, e.Attr, d.links, emit)
		})
		if err != nil {
			return l, fmt.Errorf("entry %q: %w", e.Path, err)
		}
		b.finish(d.entry, l)
	}
	return l, nil
}

// finish gives entry i to the folder it is in.
func (b *builder) finish(i int, l dag.Link) {
	b.cids[i] = l.Cid
	if n := len(b.open); n > 0 {
		l.Name = baseName(b.r.Entries[i].Path)
		b.open[n-1].links = append(b.open[n-1].links, l)
	}
}

// file makes the link of a file or symlink.
func (b *builder) file(e *dag.Entry) (dag.Link, error) {
	if e.Kind == dag.KindSymlink {
		return b.make(e, func(emit dag.Emit) (dag.Link, error) {
			return dag.BuildSymlink(b.profile, e.Target, emit)
		})
	}
	if e.Cid.Type() == cid.Raw { // it is its only leaf
		return dag.Link{Cid: e.Cid, Tsize: uint64(e.Size), Size: uint64(e.Size)}, nil
	}
	if l, known := b.files[e.Cid]; known {
		return l, nil
	}
	leaves := make([]blockstore.Leaf, len(e.Leaves))
	for i, l := range e.Leaves {
		leaves[i] = b.r.Leaves[l]
	}
	l, err := b.make(e, func(emit dag.Emit) (dag.Link, error) {
		return dag.BuildFile(b.profile, e.Attr, leaves, emit)
	})
	if err == nil && len(leaves) > 1 {
		b.files[e.Cid] = l
	}
	return l, err
}

// make makes the nodes of an entry, and emits them unless it has the CID they lead to: then they are on a side.
func (b *builder) make(e *dag.Entry, build func(dag.Emit) (dag.Link, error)) (dag.Link, error) {
	var made []blockstore.Block
	l, err := build(func(n blockstore.Block) error {
		made = append(made, n)
		return nil
	})
	if err != nil || l.Cid == e.Cid {
		return l, err
	}
	for _, n := range made {
		if err := b.emit(n); err != nil {
			return l, err
		}
	}
	return l, nil
}
