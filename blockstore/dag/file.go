package dag

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// part is one distinct node of a file, in the middle of its tree.
type part struct {
	// items are its children in order: the index of a leaf in walker.leaves, or, as the complement ^i,
	// the index of another part.
	items  []int64
	size   uint64
	tsize  uint64
	places uint64 // leaves below, each as often as it occurs; known when all items are
}

// openPart is a part whose items are being read.
type openPart struct {
	index int
	links []Link
}

// fileTree is the distinct nodes of a file, the root first.
type fileTree struct {
	parts []part
	index map[cid.Cid]int // of each node but the root in parts
}

// readFile returns the leaves of the file with this root node, as indexes into w.leaves. Like readTree it
// reckons first: a few nodes can name a great many leaves.
func (w *walker) readFile(root Node) ([]uint32, error) {
	t := fileTree{parts: []part{{items: make([]int64, 0, len(root.Links)), size: root.Size}}}
	for stack := []openPart{{links: root.Links}}; len(stack) > 0; {
		if len(stack) > w.lim.Depth {
			return nil, fmt.Errorf("%w: more than %d levels of a file", ErrLimit, w.lim.Depth)
		}
		o := stack[len(stack)-1]
		done := len(t.parts[o.index].items)
		if done == len(o.links) {
			stack = stack[:len(stack)-1]
			if t.count(o.index) > maxPlaces-w.places {
				return nil, fmt.Errorf("%w: more than %d leaves", ErrLimit, maxPlaces)
			}
			continue
		}
		item, links, err := w.item(&t, o.links[done])
		if err != nil {
			return nil, err
		}
		t.parts[o.index].items = append(t.parts[o.index].items, item)
		if links != nil {
			stack = append(stack, openPart{index: int(^item), links: links})
		}
	}
	w.places += t.parts[0].places
	return t.expand(), nil
}

// item reads the child that l refers to. A node met for the first time comes with its links.
func (w *walker) item(t *fileTree, l Link) (item int64, links []Link, err error) {
	if l.Cid.Type() == cid.Raw {
		i, err := w.leaf(l)
		return int64(i), nil, err
	}
	i, known := t.index[l.Cid]
	if !known {
		n, err := w.child(l)
		if err != nil {
			return 0, nil, err
		}
		if n.Kind != KindFile || n.HasMode || !n.Attr.Mtime.IsZero() {
			return 0, nil, fmt.Errorf("%w: %s is no node inside a file", ErrMalformed, l.Cid)
		}
		if t.index == nil {
			t.index = map[cid.Cid]int{}
		}
		i, links = len(t.parts), n.Links
		t.index[l.Cid] = i
		t.parts = append(t.parts, part{items: make([]int64, 0, len(links)), size: n.Size, tsize: l.Tsize})
	}
	if p := &t.parts[i]; p.size != l.Size || p.tsize != l.Tsize {
		return 0, nil, fmt.Errorf("%w: %s has %d bytes and Tsize %d, its parent says %d and %d",
			ErrMalformed, l.Cid, p.size, p.tsize, l.Size, l.Tsize)
	}
	return ^int64(i), links, nil
}

// count reckons the places of part i, whose items are all counted, and returns them. No part has more
// than the limit, so the sum of its at most 2^16 items does not overflow.
func (t *fileTree) count(i int) uint64 {
	p := &t.parts[i]
	for _, item := range p.items {
		if item >= 0 {
			p.places++
		} else {
			p.places += t.parts[^item].places
		}
	}
	return p.places
}

// expand lists the leaves of the whole file.
func (t *fileTree) expand() []uint32 {
	leaves := make([]uint32, 0, t.parts[0].places)
	for stack := [][]int64{t.parts[0].items}; len(stack) > 0; {
		items := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for i, item := range items {
			if item < 0 {
				if rest := items[i+1:]; len(rest) > 0 {
					stack = append(stack, rest)
				}
				stack = append(stack, t.parts[^item].items)
				break
			}
			leaves = append(leaves, uint32(item))
		}
	}
	return leaves
}

// leaf returns the index of the leaf that l refers to. Its size, which nobody has checked against its
// bytes yet, must be the same wherever it occurs.
func (w *walker) leaf(l Link) (uint32, error) {
	i, known := w.index[l.Cid]
	if !known {
		i = uint32(len(w.leaves)) // at most maxPlaces + lim.Entries of them
		w.index[l.Cid] = i
		w.leaves = append(w.leaves, blockstore.Leaf{Cid: l.Cid, Size: uint32(l.Size)})
	}
	if uint64(w.leaves[i].Size) != l.Size {
		return 0, fmt.Errorf("%w: leaf %s has %d bytes here and %d there", ErrMalformed, l.Cid, l.Size, w.leaves[i].Size)
	}
	return i, nil
}

// FileLeaves returns the chunks of the file whose root is c, in order. If c is a leaf, it is the file, and
// the leaf itself is got for its size; otherwise only nodes are. Errors as ReadLayout, with DefaultLimits.
func FileLeaves(ctx context.Context, c cid.Cid, get Get) ([]blockstore.Leaf, error) {
	w := newWalker(ctx, get, DefaultLimits())
	if c.Type() == cid.Raw {
		b, err := w.fetch(c)
		if err != nil {
			return nil, fmt.Errorf("leaves of file %s: %w", c, err)
		}
		return []blockstore.Leaf{{Cid: c, Size: uint32(len(b.Data()))}}, nil
	}
	n, _, err := w.node(c)
	if err == nil && n.Kind != KindFile {
		err = fmt.Errorf("%w: not a file", ErrMalformed)
	}
	var indexes []uint32
	if err == nil {
		indexes, err = w.readFile(n)
	}
	if err != nil {
		return nil, fmt.Errorf("leaves of file %s: %w", c, err)
	}
	leaves := make([]blockstore.Leaf, len(indexes))
	for i, at := range indexes {
		leaves[i] = w.leaves[at]
	}
	return leaves, nil
}

// Reader gives the bytes of a file, one leaf at a time. It is not safe for concurrent use.
type Reader struct {
	ctx    context.Context // of the request the Reader serves
	get    Get
	leaves []blockstore.Leaf
	ends   []int64 // offset behind each leaf
	offset int64

	current int // index of the leaf that is in data; -1 at first
	data    []byte
}

// NewReader reads the nodes of the file whose root is c, and returns a reader of its bytes, which gets
// each leaf when it is needed and verifies it. ctx holds for all reads. Errors as FileLeaves.
func NewReader(ctx context.Context, c cid.Cid, get Get) (*Reader, error) {
	leaves, err := FileLeaves(ctx, c, get)
	if err != nil {
		return nil, err
	}
	r := &Reader{ctx: ctx, get: get, leaves: leaves, ends: make([]int64, len(leaves)), current: -1}
	var end int64
	for i, l := range leaves {
		end += int64(l.Size)
		r.ends[i] = end
	}
	return r, nil
}

// Size is the length of the file in bytes.
func (r *Reader) Size() int64 {
	if len(r.ends) == 0 {
		return 0
	}
	return r.ends[len(r.ends)-1]
}

// Read reads to the end of a leaf at most. Errors: io.EOF, what get returns, blockstore.ErrCorrupt, and
// ErrMalformed for a leaf that has not the size its parent says.
func (r *Reader) Read(p []byte) (int, error) {
	if r.offset >= r.Size() {
		return 0, io.EOF
	}
	i := sort.Search(len(r.ends), func(i int) bool { return r.ends[i] > r.offset })
	if i != r.current {
		if err := r.load(i); err != nil {
			return 0, err
		}
	}
	start := r.ends[i] - int64(r.leaves[i].Size)
	n := copy(p, r.data[r.offset-start:])
	r.offset += int64(n)
	return n, nil
}

func (r *Reader) load(i int) error {
	r.current = -1 // get may write over the bytes it returned before
	l := r.leaves[i]
	data, err := r.get(r.ctx, l.Cid)
	if err != nil {
		return fmt.Errorf("get leaf %s: %w", l.Cid, err)
	}
	if err := blockstore.Verify(l.Cid, data); err != nil {
		return err
	}
	if len(data) != int(l.Size) {
		return fmt.Errorf("%w: leaf %s has %d bytes, its parent says %d", ErrMalformed, l.Cid, len(data), l.Size)
	}
	r.current, r.data = i, data
	return nil
}

// Seek moves to an offset, which may lie behind the end.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.Size()
	default:
		return 0, errors.New("seek: invalid whence")
	}
	if offset < 0 {
		return 0, errors.New("seek: negative position")
	}
	r.offset = offset
	return offset, nil
}
