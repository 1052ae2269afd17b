package dag

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// Limits bound what a revision may cost whoever reads it. Everything but Nodes counts once per path, as a
// checkout would write it.
type Limits struct {
	Depth   int   // most folders below one another, the root included; and most levels of a file's tree
	Entries int   // most files, folders and symlinks; at the limit their paths may have 256 bytes on average
	Nodes   int   // most nodes read
	Bytes   int64 // most bytes of all files
}

// DefaultLimits allow more than one machine is likely to share, and about 2 GB of memory at worst.
func DefaultLimits() Limits {
	return Limits{
		Depth:   64,       // more do not fit into the 4096 bytes of a Linux path with names of 64
		Entries: 4 << 20,  // about 300 bytes of memory each
		Nodes:   8 << 20,  // one for each file, and as many for folders and large files
		Bytes:   16 << 40, // 16 TiB, 64 Mi chunks of 256 KiB
	}
}

// textPerEntry is how many bytes of paths Limits.Entries allows per entry. A path is long only where many
// folders lie below one another, and a few nodes can name millions of such paths.
const textPerEntry = 256

// maxPlaces is the most chunks all distinct files together may have, each counted as often as it occurs:
// 16 TiB of 256 KiB, or 256 MiB of memory.
const maxPlaces = 64 << 20

// Layout is a whole revision, flattened: what a checkout builds and a fetch asks for.
type Layout struct {
	Root    cid.Cid
	Entries []Entry           // a folder before its entries, entries of a folder in byte order; the first is the root
	Leaves  []blockstore.Leaf // distinct, in order of first occurrence
	Bytes   int64             // sum of Size of all entries

	Files, Dirs, Symlinks int // number of entries of each kind; Dirs includes the root
}

// Entry is a file, folder or symlink of a revision.
type Entry struct {
	Path   string // slash-separated, relative to the root; "" is the root folder itself
	Kind   Kind
	Attr   Attr     // Mode is the default where the revision names none; 0 for a symlink
	Cid    cid.Cid  // a folder's or file's root, or the leaf that is a file
	Size   int64    // bytes of a file; 0 for others
	Target string   // of a symlink
	Leaves []uint32 // of a file: indexes into Layout.Leaves in order; shared between equal files, read-only
}

// Get gives the bytes of a block by its CID. They are verified by whoever calls it.
type Get = func(context.Context, cid.Cid) ([]byte, error)

// ReadLayout flattens the revision whose root folder is root. It never gets a leaf, and the root of a
// file or folder once, however many paths lead there; only nodes inside two files or two sharded folders
// that differ are got for each. It keeps nothing of the bytes. The result depends on root only.
//
// It works in two steps, so that a few nodes that name a great many paths cost nothing: first every
// distinct file and folder is read and reckoned up, bottom-up and under the limits; then, when the totals
// are known, the entries are written out.
//
// Errors: what get returns; blockstore.ErrCorrupt; ErrMalformed, also for sizes that are not those of the
// children; ErrLimit.
func ReadLayout(ctx context.Context, root cid.Cid, get Get, lim Limits) (*Layout, error) {
	w := newWalker(ctx, get, lim)
	top, err := w.readTree(root)
	if err != nil {
		return nil, fmt.Errorf("read layout of %s: %w", root, err)
	}
	dir := top.dir
	return &Layout{
		Root:     root,
		Entries:  expand(top),
		Leaves:   w.leaves,
		Bytes:    int64(dir.bytes),
		Files:    int(dir.count[KindFile]),
		Dirs:     int(dir.count[KindDir]),
		Symlinks: int(dir.count[KindSymlink]),
	}, nil
}

// Missing returns the CIDs of the nodes below root (or root itself) for which get answers with
// blockstore.ErrNotFound, each once, in the order in which a walk from the root meets them: the frontier
// of an incomplete DAG. Errors as ReadLayout; lim.Nodes bounds the walk.
func Missing(ctx context.Context, root cid.Cid, get Get, lim Limits) ([]cid.Cid, error) {
	var missing []cid.Cid
	w := newWalker(ctx, get, lim)
	seen := map[cid.Cid]bool{root: true}
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		b, err := w.fetch(c)
		if isNotFound(err) {
			missing = append(missing, c)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("missing nodes of %s: %w", root, err)
		}
		next, err := NextNodes(b)
		if err != nil {
			return nil, fmt.Errorf("missing nodes of %s: %w", root, err)
		}
		for i := len(next) - 1; i >= 0; i-- { // the first child on top
			if !seen[next[i]] {
				seen[next[i]] = true
				todo = append(todo, next[i])
			}
		}
	}
	return missing, nil
}

// NextNodes decodes a node and returns the CIDs of its children that are nodes, in link order, as often
// as they occur. A leaf has none. Errors: ErrMalformed.
func NextNodes(b blockstore.Block) ([]cid.Cid, error) {
	if b.Cid().Type() == cid.Raw {
		return nil, nil
	}
	n, err := Decode(b)
	if err != nil {
		return nil, err
	}
	var next []cid.Cid
	for _, l := range n.Links {
		if l.Cid.Type() == cid.DagProtobuf {
			next = append(next, l.Cid)
		}
	}
	return next, nil
}

// object is one distinct file, folder or symlink.
type object struct {
	cid    cid.Cid
	kind   Kind
	attr   Attr
	tsize  uint64
	size   uint64
	target string
	leaves []uint32
	dir    *folder // of a folder
}

// folder is what an object is as a folder, and the totals of all that lies below it.
type folder struct {
	kids   []kid // in name order
	height int   // folders below one another, itself included

	// The totals count itself. They stay below the limits, each at most one addition above, so that
	// nothing overflows.
	count [KindSymlink + 1]uint64 // entries by kind
	text  uint64                  // bytes of the paths below, relative to the folder
	bytes uint64                  // bytes of files
}

// kid is an entry of a folder.
type kid struct {
	name string
	obj  *object
}

func (d *folder) entries() uint64 {
	return d.count[KindFile] + d.count[KindDir] + d.count[KindSymlink]
}

// addLast counts the last kid of d, if there is one, and refuses totals above the limits.
func (d *folder) addLast(lim Limits) error {
	if len(d.kids) == 0 {
		return nil
	}
	k := d.kids[len(d.kids)-1]
	entries, text := uint64(1), uint64(0)
	if sub := k.obj.dir; sub != nil {
		entries, text = sub.entries(), sub.text
		for kind, n := range sub.count {
			d.count[kind] += n
		}
		d.bytes += sub.bytes
		d.height = max(d.height, 1+sub.height)
	} else {
		d.count[k.obj.kind]++
		d.bytes += k.obj.size
	}
	// Every path below the kid gets its name and, but for the kid's own, a slash in front.
	d.text += text + entries*uint64(len(k.name)) + entries - 1
	switch {
	case d.height > lim.Depth:
		return fmt.Errorf("%w: more than %d folders below one another", ErrLimit, lim.Depth)
	case d.entries() > uint64(lim.Entries):
		return fmt.Errorf("%w: more than %d entries", ErrLimit, lim.Entries)
	case d.text > textPerEntry*uint64(lim.Entries):
		return fmt.Errorf("%w: paths of more than %d bytes in all", ErrLimit, textPerEntry*uint64(lim.Entries))
	case d.bytes > uint64(lim.Bytes):
		return fmt.Errorf("%w: more than %d bytes", ErrLimit, lim.Bytes)
	}
	return nil
}

// expand writes out the entries of a revision.
func expand(root *object) []Entry {
	type frame struct {
		dir  *folder
		path string // with a slash at the end, but for the root
		next int
	}
	entries := append(make([]Entry, 0, root.dir.entries()), root.entry(""))
	stack := []frame{{dir: root.dir}}
	for len(stack) > 0 {
		f := &stack[len(stack)-1]
		if f.next == len(f.dir.kids) {
			stack = stack[:len(stack)-1]
			continue
		}
		k := f.dir.kids[f.next]
		f.next++
		path := f.path + k.name
		entries = append(entries, k.obj.entry(path))
		if k.obj.dir != nil {
			stack = append(stack, frame{dir: k.obj.dir, path: path + "/"})
		}
	}
	return entries
}

func (o *object) entry(path string) Entry {
	return Entry{
		Path: path, Kind: o.kind, Attr: o.attr, Cid: o.cid,
		Size: int64(o.size), Target: o.target, Leaves: o.leaves,
	}
}
