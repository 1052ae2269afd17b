package replica

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/merge"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Heads with several parents, or made of something older than their parent, are merges. What they were merged from
// is written in them, so that whoever has the folders of that, or can get them, computes the root again.

// proposal is what a writer asks to have published. All of it lies here.
type proposal struct {
	record.Proposal
	sealed []byte
	fresh  int64 // bytes of it that who orders it lacks, probably; of this node's own
}

// layoutFunc flattens a revision, or what is to be one, by its root.
type layoutFunc func(root cid.Cid) (*dag.Layout, error)

// build makes and signs the head that a plan asks for. New nodes are stored before it returns.
func (s *seat) build(ctx context.Context, p *election.Plan, sealed func(cid.Cid) []byte) ([]byte, error) {
	v := s.rep.Verified()
	if p.Epoch.ConfigVersion != v.Config.Version {
		return nil, fmt.Errorf("make head: config %d, now %d", p.Epoch.ConfigVersion, v.Config.Version)
	}
	var parents []entry
	for _, h := range p.Parents {
		e, err := s.rep.open(sealed(h.ID))
		if err != nil {
			return nil, fmt.Errorf("make head: %w", err)
		}
		parents = append(parents, e)
	}
	winnersFirst(parents)
	h := record.Head{Set: s.rep.id, ConfigVersion: v.Config.Version, ConfigHash: v.ConfigHash, Epoch: p.Epoch, Vector: p.Vector,
		Revision: 1, Time: s.r.cfg.Now()}
	for _, e := range parents {
		h.Revision = max(h.Revision, e.Revision+1)
		h.Parents = append(h.Parents, e.id)
	}
	for _, d := range p.Dropped {
		h.Abandoned = append(h.Abandoned, d.ID)
	}
	if err := s.fill(ctx, &h, p, parents); err != nil {
		return nil, fmt.Errorf("make head: %w", err)
	}
	return record.SealHead(h, s.r.cfg.Key)
}

// winnersFirst orders heads as their contents win in a merge.
func winnersFirst(all []entry) {
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(b.Epoch.Compare(a.Epoch), cmp.Compare(seqOf(b.Head), seqOf(a.Head)), cmp.Compare(b.id.KeyString(), a.id.KeyString()))
	})
}

func seqOf(h record.Head) uint64 { return h.Vector[record.InstanceKey(h.Epoch.Instance)] }

// fill gives a head its content.
func (s *seat) fill(ctx context.Context, h *record.Head, p *election.Plan, parents []entry) error {
	if p.Kind == election.Publish {
		prop, ok := s.proposal(p.Proposal)
		if !ok {
			return fmt.Errorf("proposal %d is not wanted any more", p.Proposal)
		}
		return s.put(ctx, h, prop, parents)
	}
	if len(parents) == 0 {
		return fmt.Errorf("nothing to repeat")
	}
	pool := s.rep.pool(s.sealedHave()...)
	shared := common(parents, pool)
	parents = distinct(parents, shared, pool)
	if sameRoot(parents) {
		best := parents[0]
		h.Root, h.Proposals, h.Merge = best.Root, best.Proposals, best.Merge
		return nil
	}
	return s.merge(ctx, h, rootsOf(shared), sidesOf(parents), gather(parents))
}

// distinct leaves out the sides that only have what another one has too: a primary that was cut off may have ordered a
// proposal that its writer then gave to the next one as well.
func distinct(sides, shared, pool []entry) []entry {
	writes := make([]map[proposed]bool, len(sides)) // nil where it is not known
	for i, e := range sides {
		writes[i] = written(e, shared, pool)
	}
	within := func(a, b map[proposed]bool) bool {
		for w := range a {
			if !b[w] {
				return false
			}
		}
		return a != nil
	}
	var out []entry
	for i, e := range sides {
		redundant := false
		for j := range sides { // of two with the same, the first one stays
			redundant = redundant || j != i && within(writes[i], writes[j]) && (j < i || !within(writes[j], writes[i]))
		}
		if !redundant {
			out = append(out, e)
		}
	}
	return out
}

// proposed names a proposal: the seq-th of a writer's store.
type proposed struct {
	store string
	seq   uint64
}

// written is the proposals in e and its ancestors that are not shared; nil if not all of these are known.
func written(e entry, shared, pool []entry) map[proposed]bool {
	out, seen := map[proposed]bool{}, map[cid.Cid]bool{}
	for todo := []entry{e}; len(todo) > 0; {
		at := todo[0]
		todo = todo[1:]
		if seen[at.id] || slices.ContainsFunc(shared, func(s entry) bool { return s.Vector.Covers(at.Vector) }) {
			continue
		}
		seen[at.id] = true
		all, _ := at.Written() // it was opened
		for _, p := range all {
			out[proposed{record.InstanceKey(p.Instance), p.Seq}] = true
		}
		for _, id := range at.Parents {
			p, ok := find(pool, id)
			if !ok {
				return nil
			}
			todo = append(todo, p)
		}
	}
	return out
}

// put makes a proposal the content of a head, on top of what the parents have.
func (s *seat) put(ctx context.Context, h *record.Head, prop proposal, parents []entry) error {
	bases, err := s.basesOf(ctx, prop, parents)
	if err != nil {
		return err
	}
	if len(parents) == 0 || sameRoot(parents) && len(bases) == 1 && bases[0] == parents[0].Root {
		h.Root, h.Proposals = prop.Root, [][]byte{prop.sealed}
		return nil
	}
	sides := append(sidesOf(parents), record.MergeSide{Root: prop.Root, Writer: shortName(prop.Writer), Seq: prop.Seq})
	return s.merge(ctx, h, bases, sides, append(gather(parents), prop.sealed))
}

// basesOf is what a proposal and the parents of its head have in common. If they include what it was made from, it is
// that. Else it is the common ancestors of both, if its folder held all of a head; and of a folder that did not, see
// within.
func (s *seat) basesOf(ctx context.Context, prop proposal, parents []entry) ([]cid.Cid, error) {
	pool := append(slices.Clone(parents), s.rep.pool(s.sealedHave()...)...)
	var made []entry
	covered := true
	for _, id := range prop.Base {
		e, ok := find(pool, id)
		covered = covered && ok && slices.ContainsFunc(parents, func(p entry) bool { return p.includes(e, pool) })
		if ok {
			made = append(made, e)
		}
	}
	switch {
	case covered && prop.From.Defined():
		return []cid.Cid{prop.From}, nil
	case covered:
		return rootsOf(made), nil
	}
	var shared []entry // of heads that are not known nothing is
	if len(made) == len(prop.Base) {
		shared = common(append(slices.Clone(made), parents...), pool)
	}
	if !prop.From.Defined() {
		return rootsOf(shared), nil
	}
	base, err := s.within(ctx, prop.From, shared, parents, pool)
	if err != nil || !base.Defined() {
		return nil, err
	}
	return []cid.Cid{base}, nil
}

// within makes a base of what a folder held before it was changed, where the heads do not include all of that. The
// folder held less than the revision it stands for, so what it lacks was not deleted in it; and what its writer added in
// revisions that are not included was not deleted by the heads: only the paths count that root and a head both have.
// What the folder had of a file is the base where it is what an ancestor had; else it is an edit that is not included
// either, and the common ancestor's is. undefined: nothing is left.
func (s *seat) within(ctx context.Context, root cid.Cid, shared, parents, pool []entry) (cid.Cid, error) {
	held, err := s.r.layoutOf(ctx, s.rep.id, root)
	if err != nil {
		return cid.Undef, err
	}
	now, err := s.versionsOf(ctx, parents)
	if err != nil {
		return cid.Undef, err
	}
	var first *dag.Layout
	ours := func(int) bool { return true }
	if len(shared) > 0 {
		if first, err = s.r.layoutOf(ctx, s.rep.id, shared[0].Root); err != nil {
			return cid.Undef, err
		}
		past, err := s.versionsOf(ctx, slices.DeleteFunc(slices.Clone(pool), func(e entry) bool { return !shared[0].Vector.Covers(e.Vector) }))
		if err != nil {
			return cid.Undef, err
		}
		then := versions{}
		then.add(first)
		ours = func(i int) bool {
			e := held.Entries[i]
			return e.Kind == dag.KindDir || past[e.Path][contentOf(held, i)] || then[e.Path] == nil
		}
		now.add(first)
	}
	both := func(path string) bool { return now[path] != nil }
	part, _ := held.Part(func(i int) bool { return both(held.Entries[i].Path) && ours(i) })
	if first == nil {
		return s.store(ctx, resultOf(part))
	}
	edited := map[string]bool{}
	for i, e := range held.Entries {
		edited[e.Path] = !ours(i)
	}
	rest, _ := first.Part(func(i int) bool { return edited[first.Entries[i].Path] })
	var sides []merge.Side // which have no file in common
	for i, p := range []*dag.Layout{part, rest} {
		lay, err := merge.Layout(s.rep.Verified().Genesis.Profile, resultOf(p))
		if err != nil {
			return cid.Undef, err
		}
		sides = append(sides, merge.Side{Layout: lay, Writer: "base", Seq: uint64(i)})
	}
	res, err := merge.Merge(nil, sides...)
	if err != nil {
		return cid.Undef, err
	}
	return s.store(ctx, resultOf(&dag.Layout{Entries: res.Entries, Leaves: res.Leaves})) // nobody has its folders
}

// versions is what stands at each path in some revisions.
type versions map[string]map[string]bool

func (c versions) add(lay *dag.Layout) {
	for i, e := range lay.Entries {
		if c[e.Path] == nil {
			c[e.Path] = map[string]bool{}
		}
		c[e.Path][contentOf(lay, i)] = true
	}
}

// contentOf is what an entry says without its mode and mtime.
func contentOf(lay *dag.Layout, i int) string {
	e := lay.Entries[i]
	key := []byte(e.Target)
	for _, l := range e.Leaves {
		key = append(key, lay.Leaves[l].Cid.KeyString()...)
	}
	return string(key)
}

// versionsOf is of heads whose folders are here.
func (s *seat) versionsOf(ctx context.Context, heads []entry) (versions, error) {
	all := versions{}
	for _, e := range heads {
		lay, err := s.r.layoutOf(ctx, s.rep.id, e.Root)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all.add(lay)
	}
	return all, nil
}

// resultOf makes a part of a layout fit to be built: its folders may have less in them than their ids say.
func resultOf(part *dag.Layout) merge.Result {
	entries := slices.Clone(part.Entries)
	for i := range entries {
		if entries[i].Kind == dag.KindDir {
			entries[i].Cid = cid.Undef
		}
	}
	return merge.Result{Entries: entries, Leaves: part.Leaves}
}

// store builds what was merged, and stores its new nodes.
func (s *seat) store(ctx context.Context, res merge.Result) (cid.Cid, error) {
	if len(res.Entries) == 0 {
		return cid.Undef, nil
	}
	var nodes []blockstore.Block
	root, err := merge.Build(s.rep.Verified().Genesis.Profile, res, func(b blockstore.Block) error {
		nodes = append(nodes, b)
		return nil
	})
	if err != nil {
		return cid.Undef, err
	}
	return root.Cid, s.r.putNodes(ctx, s.rep.id, nodes)
}

func sameRoot(all []entry) bool {
	return !slices.ContainsFunc(all, func(e entry) bool { return e.Root != all[0].Root })
}

func rootsOf(all []entry) (roots []cid.Cid) {
	for _, e := range all {
		if !slices.Contains(roots, e.Root) {
			roots = append(roots, e.Root)
		}
	}
	return roots
}

// sidesOf describes heads as sides of a merge: each by the writer whose content it is, or, of a merge, by who made it.
func sidesOf(all []entry) []record.MergeSide {
	sides := make([]record.MergeSide, 0, len(all)+1)
	for _, e := range all {
		side := record.MergeSide{Root: e.Root, Writer: shortName(e.Epoch.Owner), Seq: seqOf(e.Head)}
		if p, err := e.Written(); err == nil && len(p) == 1 && !e.Merged() {
			side.Writer, side.Seq = shortName(p[0].Writer), p[0].Seq
		}
		sides = append(sides, side)
	}
	return sides
}

// shortName is what tells a set's writers apart in the names of copies: the end of a peer id, its beginning is the
// same for all.
func shortName(p peer.ID) string {
	text := p.String()
	return text[max(0, len(text)-8):]
}

// gather joins the proposals that say where the content of heads comes from: of plain ones theirs, and of a merge, which
// says so itself, none. If all are merges, it is the last of them: a head has at least one proposal.
func gather(all []entry) (out [][]byte) {
	for _, e := range all {
		if !e.Merged() && !slices.ContainsFunc(out, func(o []byte) bool { return bytes.Equal(o, e.Proposals[0]) }) {
			out = append(out, e.Proposals[0])
		}
	}
	if len(out) == 0 {
		out = all[0].Proposals[:1:1]
	}
	return out
}

// merge gives a head the merged content of sides.
func (s *seat) merge(ctx context.Context, h *record.Head, bases []cid.Cid, sides []record.MergeSide, proposals [][]byte) error {
	profile := s.rep.Verified().Genesis.Profile
	m := &record.Merge{Bases: bases, Sides: sides}
	var nodes []blockstore.Block
	root, err := compute(profile, m, s.layouts(ctx), func(b blockstore.Block) error {
		nodes = append(nodes, b)
		return nil
	})
	if err != nil {
		return err
	}
	if len(nodes) > 0 {
		if err := s.r.cfg.Store.Put(ctx, s.rep.id, nodes...); err != nil {
			return err
		}
	}
	h.Root, h.Proposals, h.Merge = root, proposals, m
	return nil
}

// layouts flattens what lies here, or was got when a proposal came.
func (s *seat) layouts(ctx context.Context) layoutFunc {
	return func(root cid.Cid) (*dag.Layout, error) { return s.r.layoutOf(ctx, s.rep.id, root) }
}

// compute merges what m names, fills in the totals and gives the root.
func compute(profile dag.Profile, m *record.Merge, layout layoutFunc, emit dag.Emit) (cid.Cid, error) {
	base, err := baseOf(profile, m.Bases, layout)
	if err != nil {
		return cid.Undef, err
	}
	sides := make([]merge.Side, len(m.Sides))
	for i, s := range m.Sides {
		lay, err := layout(s.Root)
		if err != nil {
			return cid.Undef, err
		}
		sides[i] = merge.Side{Layout: lay, Writer: s.Writer, Seq: s.Seq}
	}
	res, err := merge.Merge(base, sides...)
	if err != nil {
		return cid.Undef, err
	}
	root, err := merge.Build(profile, res, emit)
	if err != nil {
		return cid.Undef, err
	}
	m.Files, m.Entries, m.Bytes = 0, uint64(len(res.Entries)), 0
	for _, e := range res.Entries {
		if m.Bytes += uint64(e.Size); e.Kind == dag.KindFile {
			m.Files++
		}
	}
	return root.Cid, nil
}

// baseOf is what several common ancestors have together, as if they had been merged.
func baseOf(profile dag.Profile, roots []cid.Cid, layout layoutFunc) (*dag.Layout, error) {
	if len(roots) == 0 {
		return nil, nil
	}
	var sides []merge.Side
	for i, root := range roots {
		lay, err := layout(root)
		if err != nil {
			return nil, err
		}
		if len(roots) == 1 {
			return lay, nil
		}
		sides = append(sides, merge.Side{Layout: lay, Writer: "base", Seq: uint64(i)})
	}
	res, err := merge.Merge(nil, sides...)
	if err != nil {
		return nil, err
	}
	return merge.Layout(profile, res)
}

// checkMerge computes the root of a merged head again. That what was merged is what writers proposed is looked at
// when the head is held against its parents (record.OpenAncestors), as far as they are known. Errors: ErrForged, and
// those of layout.
func checkMerge(h record.Head, profile dag.Profile, layout layoutFunc) error {
	if h.Merge == nil {
		return nil
	}
	m := *h.Merge
	root, err := compute(profile, &m, layout, func(blockstore.Block) error { return nil })
	if err != nil {
		return fmt.Errorf("check merge: %w", err)
	}
	if root != h.Root || !m.Equal(h.Merge) {
		return fmt.Errorf("check merge: %w: it gives %s with %d files, the head says %s with %d", ErrForged, root, m.Files, h.Root, h.Merge.Files)
	}
	return nil
}
