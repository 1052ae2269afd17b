package diff

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// The walk of Nodes. A step is a node of the new DAG that is not known to be in an old one, with the old nodes
// in its place: an entry of the same name in the parent's old version, a shard in the same slot, the nodes of a
// file between the same anchors (the algorithm of Runs, with links for leaves). Both are read, the links of the
// old ones become known, and each child that is not known is a step again.
//
// What has nothing in its place, an entry that was added or moved here, waits until all steps that have are
// done: a step somewhere else may find it in the folder it was moved from, and then nothing of it is read. If
// none does, a few entries that vanished elsewhere are read, which it may have been in or been made of.

// remembered is how many links of old nodes, and how many new nodes, are kept in memory: 8 Mi of about 200
// bytes, as many as dag.DefaultLimits allow nodes. Where there are more old ones, more is listed.
const remembered = 8 << 20

// NodeChange is a node of a new DAG that the old ones lack.
type NodeChange struct {
	Cid  cid.Cid
	Base cid.Cid // the old node it is most like; undefined if none is
}

// Nodes lists the nodes below and including newRoot that no old DAG has, each once and behind one that links to
// it. An old node that get does not have (blockstore.ErrNotFound or ErrCorrupt) is as if it were nowhere.
//
// The number of calls of get is proportional to the change, whatever the size of the DAGs: to the nodes listed
// and those that seem new until the place they were moved from is met. Hence two things may be listed though
// they are old: copies of nodes from parts of the old DAGs that have not changed, and nodes that were moved out
// of the depths of a folder that is gone. Nothing new is ever left out.
//
// Errors: what get returns for a new node; blockstore.ErrCorrupt; dag.ErrMalformed; dag.ErrLimit for more than
// lim.Nodes calls of get, the only limit that counts here, or more than 8 Mi new nodes. Nodes checks each node,
// but no rules that several together have to obey: that is dag.ReadLayout's.
func Nodes(ctx context.Context, oldRoots []cid.Cid, newRoot cid.Cid, get dag.Get, lim dag.Limits) ([]NodeChange, error) {
	w := nodeWalk{
		ctx: ctx, get: get, lim: lim,
		holder: map[cid.Cid]cid.Cid{}, queued: map[cid.Cid]bool{}, vanished: newVanished(),
	}
	for _, r := range oldRoots {
		w.holder[r] = r // no other node is asked for it
	}
	w.paired.push(step{link: dag.Link{Cid: newRoot}, parent: -1, olds: oldRoots})
	for err := error(nil); ; {
		if s, ok := w.paired.pop(); ok {
			err = w.visit(s)
		} else if s, ok := w.loose.pop(); ok {
			err = w.search(s)
		} else {
			return w.result(), nil
		}
		if err != nil {
			return nil, fmt.Errorf("compare nodes of %s: %w", newRoot, err)
		}
	}
}

// nodeWalk is the state of one call of Nodes.
type nodeWalk struct {
	ctx   context.Context // of the call
	get   dag.Get
	lim   dag.Limits
	reads int

	holder   map[cid.Cid]cid.Cid // of each block known to be in an old DAG, a node that links to it; roots themselves
	vanished *vanished
	queued   map[cid.Cid]bool // nodes that became steps
	paired   queue
	loose    queue // steps without old nodes
	listed   []listedNode
}

type listedNode struct {
	NodeChange
	parent int // in listed, a node that links to it; -1 for the root
}

type step struct {
	link   dag.Link
	parent int       // in listed
	olds   []cid.Cid // in its place
}

// queue is first in, first out.
type queue struct {
	steps []step
	next  int
}

func (q *queue) push(s step) { q.steps = append(q.steps, s) }

func (q *queue) pop() (s step, ok bool) {
	if q.next == len(q.steps) {
		*q = queue{}
		return step{}, false
	}
	s, q.steps[q.next] = q.steps[q.next], step{}
	q.next++
	return s, true
}

// oldNode is an old node that was read.
type oldNode struct {
	cid  cid.Cid
	node dag.Node
}

func (w *nodeWalk) read(c cid.Cid) (dag.Node, error) {
	if err := w.ctx.Err(); err != nil {
		return dag.Node{}, err
	}
	if w.reads++; w.reads > w.lim.Nodes {
		return dag.Node{}, fmt.Errorf("%w: more than %d nodes", dag.ErrLimit, w.lim.Nodes)
	}
	data, err := w.get(w.ctx, c)
	if err != nil {
		return dag.Node{}, fmt.Errorf("get node %s: %w", c, err)
	}
	b, err := blockstore.Receive(c, data)
	if err != nil {
		return dag.Node{}, err
	}
	return dag.Decode(b)
}

// readOld reads an old node and makes its links known; ok is false if it is not to be had.
func (w *nodeWalk) readOld(c cid.Cid) (o oldNode, ok bool, err error) {
	n, err := w.read(c)
	if errors.Is(err, blockstore.ErrNotFound) || errors.Is(err, blockstore.ErrCorrupt) {
		return o, false, nil
	}
	if err != nil {
		return o, false, err
	}
	for _, l := range n.Links {
		if w.known(l.Cid) || len(w.holder) >= remembered {
			continue
		}
		w.holder[l.Cid] = c
		if n.Kind == dag.KindDir && l.Cid.Type() == cid.DagProtobuf && !w.queued[l.Cid] {
			w.vanished.add(l) // until it is found to be still there
		}
	}
	return oldNode{c, n}, true, nil
}

func (w *nodeWalk) known(c cid.Cid) bool {
	_, known := w.holder[c]
	return known
}

// settled tells whether a step has become known to be old meanwhile, by itself or as a child of such a node.
func (w *nodeWalk) settled(s step) bool {
	return w.known(s.link.Cid) || s.parent >= 0 && w.known(w.listed[s.parent].Cid)
}

// visit does a step whose place has old nodes.
func (w *nodeWalk) visit(s step) error {
	if w.settled(s) {
		return nil
	}
	var olds []oldNode
	for _, c := range s.olds {
		o, ok, err := w.readOld(c)
		if err != nil {
			return err
		}
		if ok {
			olds = append(olds, o)
		}
	}
	n, err := w.read(s.link.Cid)
	if err != nil {
		return err
	}
	return w.list(s, n, olds)
}

// search does a step that has no old node in its place.
func (w *nodeWalk) search(s step) error {
	var olds []oldNode
	for try := range tries {
		if w.settled(s) {
			return nil
		}
		c, ok := w.vanished.take(s.link, try)
		if !ok {
			continue
		}
		o, ok, err := w.readOld(c)
		if err != nil {
			return err
		}
		if ok {
			olds = append(olds, o)
		}
	}
	if w.settled(s) {
		return nil
	}
	n, err := w.read(s.link.Cid)
	if err != nil {
		return err
	}
	olds = slices.DeleteFunc(olds, func(o oldNode) bool { return common(n, o.node) == 0 })
	return w.list(s, n, olds)
}

// list lists the node n of step s, and makes steps of its children. olds are like it.
func (w *nodeWalk) list(s step, n dag.Node, olds []oldNode) error {
	olds = slices.DeleteFunc(olds, func(o oldNode) bool { return o.node.Kind != n.Kind })
	likeness := make(map[cid.Cid]int, len(olds))
	for _, o := range olds {
		likeness[o.cid] = common(n, o.node)
	}
	slices.SortStableFunc(olds, func(a, b oldNode) int { return likeness[b.cid] - likeness[a.cid] })
	if len(olds) == 0 || likeness[olds[0].cid] == 0 {
		if c, ok := w.vote(n); ok {
			o, ok, err := w.readOld(c)
			if err != nil {
				return err
			}
			if ok && o.node.Kind == n.Kind {
				olds = slices.Insert(olds, 0, o)
			}
		}
	}
	var base cid.Cid
	if len(olds) > 0 {
		base = olds[0].cid
	}
	w.listed = append(w.listed, listedNode{NodeChange{s.link.Cid, base}, s.parent})
	switch n.Kind {
	case dag.KindFile:
		return w.fileChildren(n, olds)
	case dag.KindDir:
		return w.dirChildren(n, olds)
	default:
		return nil
	}
}

// common counts the links of n whose child is also one of o's.
func common(n, o dag.Node) (count int) {
	in := make(map[cid.Cid]bool, len(o.Links))
	for _, l := range o.Links {
		in[l.Cid] = true
	}
	for _, l := range n.Links {
		if in[l.Cid] {
			count++
		}
	}
	return count
}

// vote returns the old node that holds most of n's children, the first one of equals.
func (w *nodeWalk) vote(n dag.Node) (winner cid.Cid, ok bool) {
	votes := map[cid.Cid]int{}
	for _, l := range n.Links {
		if h, known := w.holder[l.Cid]; known {
			if votes[h]++; votes[h] > votes[winner] {
				winner = h
			}
		}
	}
	return winner, winner.Defined()
}

// step makes a step of a child of the node listed last, unless it is an old node or was a step before.
func (w *nodeWalk) step(l dag.Link, olds []cid.Cid) error {
	if w.queued[l.Cid] {
		return nil
	}
	if len(w.queued) >= remembered {
		return fmt.Errorf("%w: more than %d new nodes", dag.ErrLimit, remembered)
	}
	w.queued[l.Cid] = true
	s := step{link: l, parent: len(w.listed) - 1, olds: olds}
	if len(olds) > 0 || l.Name == "" { // inside a file or between shards only the parent says where to look
		w.paired.push(s)
	} else {
		w.loose.push(s)
	}
	return nil
}

// dirChildren makes steps of the children of a folder's node.
func (w *nodeWalk) dirChildren(n dag.Node, olds []oldNode) error {
	for i, l := range n.Links {
		if l.Cid.Type() != cid.DagProtobuf {
			continue
		}
		if w.known(l.Cid) {
			w.vanished.remove(l.Cid)
			continue
		}
		var at []cid.Cid
		for _, o := range olds {
			if c, ok := inPlace(n, i, o.node); ok && !slices.Contains(at, c) {
				at = append(at, c)
				w.vanished.remove(c)
			}
		}
		if err := w.step(l, at); err != nil {
			return err
		}
	}
	return nil
}

// inPlace returns the node in o, if there is one, that stands where link i stands in n, both of a folder.
func inPlace(n dag.Node, i int, o dag.Node) (c cid.Cid, ok bool) {
	l := n.Links[i]
	at := -1
	switch {
	case !o.Shard && l.Name != "":
		at, ok = slices.BinarySearchFunc(o.Links, l.Name, func(l dag.Link, name string) int {
			return strings.Compare(l.Name, name)
		})
	case o.Shard && n.Shard:
		at, ok = slices.BinarySearch(o.Slots, n.Slots[i])
		ok = ok && o.Links[at].Name == l.Name
	}
	if !ok || o.Links[at].Cid.Type() != cid.DagProtobuf {
		return cid.Undef, false
	}
	return o.Links[at].Cid, true
}

// fileChildren makes steps of the nodes inside a file. The first of olds is the one to find their places in.
func (w *nodeWalk) fileChildren(n dag.Node, olds []oldNode) error {
	inner := func(l dag.Link) bool { return l.Cid.Type() == cid.DagProtobuf }
	if !slices.ContainsFunc(n.Links, inner) {
		return nil
	}
	var old []dag.Link
	if len(olds) > 0 {
		old = olds[0].node.Links
	}
	for _, r := range linkRuns(old, n.Links) {
		var at []cid.Cid
		for _, i := range r.Base {
			if inner(old[i]) {
				at = append(at, old[i].Cid)
			}
		}
		for _, l := range n.Links[r.New.First : r.New.First+r.New.N] {
			if !inner(l) || w.known(l.Cid) {
				continue
			}
			if err := w.step(l, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// result leaves out what became known after it was listed, and what lies below: it is in an old DAG too.
func (w *nodeWalk) result() []NodeChange {
	changes := make([]NodeChange, 0, len(w.listed))
	old := make([]bool, len(w.listed))
	for i, l := range w.listed {
		old[i] = w.known(l.Cid) || l.parent >= 0 && old[l.parent]
		if !old[i] {
			changes = append(changes, l.NodeChange)
		}
	}
	return changes
}
