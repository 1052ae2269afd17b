package dag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
)

// ErrNoEntry: nothing lies at that path of the revision.
var ErrNoEntry = errors.New("no such entry")

// aheadShards is how many shards of a folder are opened together: a quarter of what one has at most, so that a folder of
// which only some entries are wanted is not read much further than that.
const aheadShards = fanout / 4

// ReadFolder lists the folder at path of the revision whose root folder is root, by name, or the one file or symlink that
// lies there; an Entry has its path from the root, and no leaves. It gets the nodes on the way, the folder's shards and
// the nodes of its entries, once each, and tells ahead of those that it is about to get together. Of a folder with more
// than most entries it lists that many, and more is true: which, is up to the hashes of their names.
//
// A file's size is what its node says, a folder's that of all blocks below it, as the link to it says. Errors: ErrNoEntry; what get and ahead return; blockstore.ErrCorrupt; ErrMalformed.
func ReadFolder(ctx context.Context, root cid.Cid, path string, most int, get Get, ahead func(context.Context, []cid.Cid) error) (entries []Entry, more bool, err error) {
	w := newWalker(ctx, get, DefaultLimits())
	n, _, err := w.node(root)
	if err == nil && n.Kind != KindDir {
		err = fmt.Errorf("%w: the root is not a folder", ErrMalformed)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read folder of %s: %w", root, err)
	}
	if path != "" {
		e, err := w.descend(&n, strings.Split(path, "/"))
		if err != nil {
			return nil, false, fmt.Errorf("read folder %q of %s: %w", path, root, err)
		}
		if e.Kind != KindDir {
			e.Path = path
			return []Entry{e}, false, nil
		}
		path += "/"
	}
	links, more, err := w.some(n, most, ahead)
	if err == nil {
		err = ahead(ctx, nodesOf(links))
	}
	for i := 0; i < len(links) && err == nil; i++ {
		var e Entry
		if e, _, err = w.peek(links[i]); err == nil {
			e.Path = path + links[i].Name
			entries = append(entries, e)
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("read folder %q of %s: %w", path, root, err)
	}
	return entries, more, nil
}

// nodesOf are the distinct nodes that links lead to.
func nodesOf(links []Link) []cid.Cid {
	var nodes []cid.Cid
	seen := map[cid.Cid]bool{}
	for _, l := range links {
		if l.Cid.Type() == cid.DagProtobuf && !seen[l.Cid] {
			seen[l.Cid] = true
			nodes = append(nodes, l.Cid)
		}
	}
	return nodes
}

// peek makes an entry of the node that l refers to, and nothing below it.
func (w *walker) peek(l Link) (Entry, Node, error) {
	if l.Cid.Type() == cid.Raw { // a file that is its only leaf
		return Entry{Kind: KindFile, Attr: Attr{Mode: DefaultFileMode}, Cid: l.Cid, Size: int64(l.Size)}, Node{}, nil
	}
	n, err := w.child(l)
	if err != nil {
		return Entry{}, n, fmt.Errorf("entry %q: %w", l.Name, err)
	}
	e := Entry{Kind: n.Kind, Attr: n.Attr, Cid: l.Cid, Size: int64(n.Size), Target: n.Target}
	if e.Kind == KindDir {
		e.Size = int64(l.Tsize)
	}
	return e, n, nil
}

// descend goes from folder n down along names, and leaves in n the node it arrives at.
func (w *walker) descend(n *Node, names []string) (e Entry, err error) {
	if len(names) >= w.lim.Depth {
		return e, ErrNoEntry
	}
	for _, name := range names {
		if n.Kind != KindDir {
			return e, ErrNoEntry
		}
		l, err := w.named(*n, name)
		if err != nil {
			return e, err
		}
		if e, *n, err = w.peek(l); err != nil {
			return e, err
		}
		if l.Cid.Type() == cid.Raw {
			n.Kind = KindFile
		}
	}
	return e, nil
}

// named finds the entry of a folder that has the name.
func (w *walker) named(n Node, name string) (Link, error) {
	if !n.Shard {
		i, ok := slices.BinarySearchFunc(n.Links, name, func(l Link, name string) int { return cmp.Compare(l.Name, name) })
		if !ok {
			return Link{}, ErrNoEntry
		}
		return n.Links[i], nil
	}
	for s := (openShard{node: n}); ; {
		i, ok := slices.BinarySearch(s.node.Slots, slotAt(hashName(name), s.level))
		if !ok {
			return Link{}, ErrNoEntry
		}
		hash, err := s.prefix(i)
		if err != nil {
			return Link{}, err
		}
		switch l := s.node.Links[i]; l.Name {
		case name:
			return l, nil
		case "":
			if s, err = w.below(s, l, hash); err != nil {
				return Link{}, err
			}
		default:
			return Link{}, ErrNoEntry
		}
	}
}

// some lists at most so many entries of a folder, in name order.
func (w *walker) some(n Node, most int, ahead func(context.Context, []cid.Cid) error) (entries []Link, more bool, err error) {
	if !n.Shard {
		return n.Links[:min(most, len(n.Links))], len(n.Links) > most, nil
	}
	open, todo := []openShard{{node: n}}, []subShard(nil)
	for len(open) > 0 && !more {
		for _, s := range open {
			if entries, todo, err = s.unfold(entries, todo); err != nil {
				return nil, false, err
			}
		}
		if more = len(entries) > most || len(entries) == most && len(todo) > 0; more {
			entries = entries[:most]
			break
		}
		next := todo[max(0, len(todo)-aheadShards):] // the last first: entries are found before there is much to do
		todo = todo[:len(todo)-len(next)]
		if open, err = w.enter(next, ahead); err != nil {
			return nil, false, err
		}
	}
	slices.SortFunc(entries, func(a, b Link) int { return cmp.Compare(a.Name, b.Name) })
	return entries, more, nil
}

// subShard is a shard that is still to be opened.
type subShard struct {
	level int // of the one above
	link  Link
	hash  uint64 // as in openShard
}

// unfold adds what a shard has: entries, and shards below it.
func (s *openShard) unfold(entries []Link, todo []subShard) ([]Link, []subShard, error) {
	for i, l := range s.node.Links {
		hash, err := s.prefix(i)
		if err != nil {
			return nil, nil, err
		}
		if l.Name != "" {
			entries = append(entries, l)
		} else {
			todo = append(todo, subShard{s.level, l, hash})
		}
	}
	return entries, todo, nil
}

// enter opens shards together.
func (w *walker) enter(todo []subShard, ahead func(context.Context, []cid.Cid) error) ([]openShard, error) {
	links := make([]Link, len(todo))
	for i, t := range todo {
		links[i] = t.link
	}
	if err := ahead(w.ctx, nodesOf(links)); err != nil {
		return nil, err
	}
	open := make([]openShard, len(todo))
	for i, t := range todo {
		var err error
		if open[i], err = w.below(openShard{level: t.level}, t.link, t.hash); err != nil {
			return nil, err
		}
	}
	return open, nil
}
