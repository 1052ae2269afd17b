package dag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// walker reads the distinct nodes of one DAG.
type walker struct {
	ctx    context.Context // of the one call the walker lives for
	get    Get
	lim    Limits
	nodes  int    // read so far
	places uint64 // of leaves in the files read so far

	objects map[cid.Cid]*object // every file, folder and symlink met so far
	leaves  []blockstore.Leaf   // distinct
	index   map[cid.Cid]uint32  // of each leaf in leaves
}

func newWalker(ctx context.Context, get Get, lim Limits) *walker {
	return &walker{ctx: ctx, get: get, lim: lim, objects: map[cid.Cid]*object{}, index: map[cid.Cid]uint32{}}
}

func isNotFound(err error) bool { return errors.Is(err, blockstore.ErrNotFound) }

// fetch gets and verifies a block.
func (w *walker) fetch(c cid.Cid) (blockstore.Block, error) {
	if err := w.ctx.Err(); err != nil {
		return blockstore.Block{}, err
	}
	if w.nodes++; w.nodes > w.lim.Nodes {
		return blockstore.Block{}, fmt.Errorf("%w: more than %d nodes", ErrLimit, w.lim.Nodes)
	}
	data, err := w.get(w.ctx, c)
	if err != nil {
		return blockstore.Block{}, fmt.Errorf("get node %s: %w", c, err)
	}
	return blockstore.Receive(c, data)
}

// node gets and decodes a node, and reckons its Tsize.
func (w *walker) node(c cid.Cid) (Node, uint64, error) {
	b, err := w.fetch(c)
	if err != nil {
		return Node{}, 0, err
	}
	n, err := Decode(b)
	if err != nil {
		return Node{}, 0, err
	}
	return n, n.link("", b).Tsize, nil
}

// child gets the node that l refers to, which must have the Tsize that l says.
func (w *walker) child(l Link) (Node, error) {
	n, tsize, err := w.node(l.Cid)
	if err == nil {
		err = checkTsize(l, tsize)
	}
	return n, err
}

func checkTsize(l Link, tsize uint64) error {
	if l.Tsize != tsize {
		return fmt.Errorf("%w: %s has Tsize %d, its parent says %d", ErrMalformed, l.Cid, tsize, l.Tsize)
	}
	return nil
}

// openFolder is a folder whose kids are being read.
type openFolder struct {
	dir   *folder
	links []Link // entries in name order; len(dir.kids) of them are read
}

// readTree reads every distinct file and folder below root, depth first, entries in name order, and
// returns the root folder with its totals.
func (w *walker) readTree(c cid.Cid) (*object, error) {
	n, _, err := w.node(c)
	if err != nil {
		return nil, err
	}
	if n.Kind != KindDir {
		return nil, fmt.Errorf("%w: the root is not a folder", ErrMalformed)
	}
	root, links, err := w.open(c, n)
	if err != nil {
		return nil, err
	}
	for stack := []openFolder{{dir: root.dir, links: links}}; len(stack) > 0; {
		if len(stack) > w.lim.Depth {
			return nil, fmt.Errorf("%w: more than %d folders below one another", ErrLimit, w.lim.Depth)
		}
		f := &stack[len(stack)-1]
		// The kid read last is complete now, whether it was a file or a folder just taken off the stack.
		if err := f.dir.addLast(w.lim); err != nil {
			return nil, err
		}
		if len(f.dir.kids) == len(f.links) {
			stack = stack[:len(stack)-1]
			continue
		}
		l := f.links[len(f.dir.kids)]
		obj, links, err := w.entry(l)
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", l.Name, err)
		}
		f.dir.kids = append(f.dir.kids, kid{name: l.Name, obj: obj})
		if len(links) > 0 {
			stack = append(stack, openFolder{dir: obj.dir, links: links})
		}
	}
	return root, nil
}

// entry reads the object l refers to, or remembers it. A folder met for the first time comes with its
// entries, which are still to be read.
func (w *walker) entry(l Link) (obj *object, links []Link, err error) {
	if obj := w.objects[l.Cid]; obj != nil {
		return obj, nil, checkTsize(l, obj.tsize)
	}
	if l.Cid.Type() == cid.Raw { // a file that is its only leaf
		obj = &object{cid: l.Cid, kind: KindFile, attr: Attr{Mode: DefaultFileMode}, size: l.Size}
		obj.leaves = make([]uint32, 1)
		obj.leaves[0], err = w.leaf(l)
	} else {
		var n Node
		if n, err = w.child(l); err == nil {
			obj, links, err = w.open(l.Cid, n)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	obj.tsize = l.Tsize
	w.objects[l.Cid] = obj
	return obj, links, nil
}

// open makes an object of its root node: a file with all its leaves, a folder without its kids, but with
// the links to them.
func (w *walker) open(c cid.Cid, n Node) (obj *object, links []Link, err error) {
	obj = &object{cid: c, kind: n.Kind, attr: n.Attr, size: n.Size, target: n.Target}
	switch {
	case n.Kind == KindFile:
		obj.leaves, err = w.readFile(n)
		return obj, nil, err
	case n.Kind == KindDir:
		obj.dir = &folder{height: 1}
		obj.dir.count[KindDir] = 1
		if !n.Shard {
			return obj, n.Links, nil
		}
		links, err = w.readShards(n)
	}
	return obj, links, err
}

// openShard is a shard whose slots are being read.
type openShard struct {
	node  Node
	next  int    // link to be read next
	level int    // 0 is the folder's root shard
	hash  uint64 // the bytes that all names in the shard have in front of their hashes, then zeros
}

// prefix is what the names below slot i of the shard have in front of their hashes, then zeros. A name that lies there is
// checked: none can pass twice, as its hash leads to one slot only.
func (s *openShard) prefix(i int) (uint64, error) {
	l, hash := s.node.Links[i], s.hash|uint64(s.node.Slots[i])<<(56-8*s.level)
	if unused := 56 - 8*s.level; l.Name != "" && hashName(l.Name)>>unused != hash>>unused {
		return 0, fmt.Errorf("%w: entry %q is in a slot of another hash", ErrMalformed, l.Name)
	}
	return hash, nil
}

// below opens the shard that l, a link of s, leads to.
func (w *walker) below(s openShard, l Link, hash uint64) (openShard, error) {
	if s.level+1 == hamtLevels {
		return openShard{}, fmt.Errorf("%w: more than %d levels of shards", ErrMalformed, hamtLevels)
	}
	sub, err := w.child(l)
	if err != nil {
		return openShard{}, err
	}
	if !sub.Shard || sub.HasMode || (len(sub.Links) == 1 && sub.Links[0].Name != "") {
		return openShard{}, fmt.Errorf("%w: %s is no shard inside a folder", ErrMalformed, l.Cid)
	}
	return openShard{node: sub, level: s.level + 1, hash: hash}, nil
}

// readShards returns the entries of a sharded folder in name order.
func (w *walker) readShards(root Node) (entries []Link, err error) {
	for stack := []openShard{{node: root}}; len(stack) > 0; {
		s := &stack[len(stack)-1]
		if s.next == len(s.node.Links) {
			stack = stack[:len(stack)-1]
			continue
		}
		l := s.node.Links[s.next]
		hash, err := s.prefix(s.next)
		if err != nil {
			return nil, err
		}
		s.next++
		if l.Name != "" {
			if entries = append(entries, l); len(entries) > w.lim.Entries {
				return nil, fmt.Errorf("%w: more than %d entries", ErrLimit, w.lim.Entries)
			}
			continue
		}
		sub, err := w.below(*s, l, hash)
		if err != nil {
			return nil, err
		}
		stack = append(stack, sub)
	}
	slices.SortFunc(entries, func(a, b Link) int { return cmp.Compare(a.Name, b.Name) })
	return entries, nil
}
