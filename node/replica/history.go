package replica

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Revision is one revision of a set, as far as this node knows it.
type Revision struct {
	Head  record.Head
	Cid   cid.Cid // of Head
	Note  string  // of its author
	Files uint64
	Bytes uint64
	Kept  string // what is here of it: one of the words below
	Fork  bool   // it lies beside the newest, and waits to be merged, or to be passed over
}

// What is here of a revision, by the store's index: nothing is read, so what somebody changed in a folder
// since it was scanned counts as here.
const (
	KeptHere   = "here"   // all
	KeptPartly = "partly" // its folders and some of the bytes
	KeptNodes  = "nodes"  // its folders: it can be compared, and be the base of a difference
	KeptGone   = "gone"   // its record alone
)

// past is a head of the set's history.
type past struct {
	record.Head
	cid cid.Cid
}

// chain verifies and returns the heads this node remembers, newest first: as many as verify, with the error of
// the rest.
func (p *Replica) chain() ([]past, error) {
	p.mu.Lock()
	v, sealed := p.verified, p.state.Past // of one moment
	p.mu.Unlock()
	if len(v.Heads) == 0 {
		return nil, nil
	}
	heads, cids, err := record.OpenAncestors(v, sealed)
	all := []past{{head(v), v.HeadCids[0]}}
	for i, h := range heads {
		all = append(all, past{h, cids[i]})
	}
	return all, err
}

// History lists the revisions this node remembers, newest first, at most 16 and, of a voter, forks beside the newest. Every head is verified, and that the
// one after names it: those that verify are returned with the error of the first that does not.
func (r *Registry) History(ctx context.Context, rep *Replica) ([]Revision, error) {
	heads, broken := rep.chain()
	inv := inventory{r: r, set: rep.id, seen: map[cid.Cid]presence{}}
	var forks []past
	for _, e := range poolOf(rep.Verified(), rep.State().Forks) {
		forks = append(forks, past{e.Head, e.id})
	}
	all := make([]Revision, 0, len(heads)+len(forks))
	for i, h := range slices.Insert(heads, min(1, len(heads)), forks...) {
		rev := Revision{Head: h.Head, Cid: h.cid, Note: noteOf(h, heads), Fork: i > 0 && i <= len(forks)}
		rev.Files, _, rev.Bytes = h.Totals()
		has, err := inv.of(ctx, h.Root)
		if err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
		rev.Kept = has.word()
		all = append(all, rev)
	}
	if broken != nil {
		return all, fmt.Errorf("history: %w", broken)
	}
	return all, nil
}

// noteOf joins what the authors of a revision said, a line each; not what they said of those before, which a merge
// repeats.
func noteOf(h past, all []past) string {
	before := map[string]bool{}
	for _, o := range all {
		if o.Revision == h.Revision-1 && repeats(h.Head, o.Head) {
			return "no change: confirmed by the new primary …" + shortName(h.Epoch.Owner)
		}
		if o.Revision < h.Revision {
			for _, b := range o.Proposals {
				before[string(b)] = true
			}
		}
	}
	var notes []string
	written, _ := h.Written() // it was opened
	for i, p := range written {
		if p.Note != "" && !slices.Contains(notes, p.Note) && (!h.Merged() || !before[string(h.Proposals[i])]) {
			notes = append(notes, p.Note)
		}
	}
	return strings.Join(notes, "\n")
}

// RevisionHead is the head of a revision by its number. Errors: ErrNoRevision.
func (r *Registry) RevisionHead(rep *Replica, n uint64) (record.Head, error) {
	heads, err := rep.chain()
	for _, h := range heads {
		if h.Revision == n {
			return h.Head, nil
		}
	}
	if err != nil {
		return record.Head{}, fmt.Errorf("revision %d: %w: %w", n, ErrNoRevision, err)
	}
	return record.Head{}, fmt.Errorf("revision %d: %w", n, ErrNoRevision)
}

// Diff says what happened from revision a to revision b, which may be the older one. Errors: ErrNoRevision, also
// for one of which only the head is known.
func (r *Registry) Diff(ctx context.Context, rep *Replica, a, b uint64) ([]diff.Change, diff.Summary, error) {
	var lays [2]*dag.Layout
	for i, n := range []uint64{a, b} {
		h, err := r.RevisionHead(rep, n)
		if err != nil {
			return nil, diff.Summary{}, fmt.Errorf("diff: %w", err)
		}
		if lays[i], err = r.layoutOf(ctx, rep.id, h.Root); isMissing(err) {
			err = fmt.Errorf("revision %d: %w: %w", n, ErrNoRevision, err)
		}
		if err != nil {
			return nil, diff.Summary{}, fmt.Errorf("diff: %w", err)
		}
	}
	changes := diff.Compare(lays[0], lays[1])
	return changes, diff.Summarize(changes), nil
}

// presence says what is here of all that lies below a node, itself included.
type presence uint8

const (
	leafHere presence = 1 << iota // at least one
	leafGone
	nodeGone
)

func (p presence) word() string {
	switch {
	case p&nodeGone != 0:
		return KeptGone
	case p&leafGone == 0:
		return KeptHere
	case p&leafHere != 0:
		return KeptPartly
	}
	return KeptNodes
}

// inventory looks up what is here of several revisions; what they share is looked at once.
type inventory struct {
	r    *Registry
	set  cid.Cid
	seen map[cid.Cid]presence
	buf  []byte
}

// maxDepth is more nodes below one another than any revision that can be read has: 64 folders, each a tree of 8
// shards at most, and a file's tree of 64 levels.
const maxDepth = 1000

// of looks at c and all below it.
func (v *inventory) of(ctx context.Context, c cid.Cid) (presence, error) { return v.below(ctx, c, 0) }

func (v *inventory) below(ctx context.Context, c cid.Cid, depth int) (has presence, err error) {
	if has, ok := v.seen[c]; ok {
		return has, nil
	}
	if depth > maxDepth {
		return nodeGone, nil
	}
	if c.Type() == cid.Raw {
		ok, err := v.r.cfg.Store.Has(ctx, c)
		if err != nil {
			return 0, err
		}
		if has = leafGone; ok {
			has = leafHere
		}
		v.seen[c] = has
		return has, nil
	}
	n, mem, err := v.r.node(ctx, v.set, c, v.buf)
	if v.buf = mem; isMissing(err) {
		v.seen[c] = nodeGone
		return nodeGone, nil
	}
	if err != nil {
		return 0, err
	}
	for _, l := range n.Links {
		h, err := v.below(ctx, l.Cid, depth+1)
		if err != nil {
			return 0, err
		}
		has |= h
	}
	v.seen[c] = has
	return has, nil
}
