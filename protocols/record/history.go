package record

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
)

// named is a head with its CID.
type named struct {
	Head
	id cid.Cid
}

// openHead opens a head under the config that it names, which must be one of v's.
func (v Verified) openHead(sealed []byte) (named, error) {
	h, o, err := openHead(sealed)
	if err == nil && h.ConfigVersion > uint64(len(v.Configs)) {
		err = fmt.Errorf("%w: %w: %d", ErrForged, ErrNoConfig, h.ConfigVersion)
	}
	if err == nil {
		err = h.authorised(o.signer, v.Configs[:h.ConfigVersion], v.ConfigHashes[h.ConfigVersion-1])
	}
	if err != nil {
		return named{}, fmt.Errorf("open head: %w", err)
	}
	return named{h, o.id}, nil
}

// OpenHeads opens heads one by one, each under the config it names, which must be one of v's. How they lie to each
// other is not looked at: they may be of a frontier. The heads before one that does not verify are returned with
// their CIDs all the same. Errors: ErrForged, ErrNoConfig (which is an ErrForged too), ErrMalformed.
func OpenHeads(v Verified, sealed [][]byte) (heads []Head, ids []cid.Cid, err error) {
	for i, b := range sealed {
		h, err := v.openHead(b)
		if err != nil {
			return heads, ids, fmt.Errorf("open heads of %s: head %d: %w", v.Set, i+1, err)
		}
		heads, ids = append(heads, h.Head), append(ids, h.id)
	}
	return heads, ids, nil
}

// OpenChain opens heads before v's newest, newest first: each must be a parent of the one before it in the
// list, and the first one of v.Heads[0]. A parent is named by its CID in a signed head, which is the proof that
// it was a revision of the set; besides, each is checked as VerifyBundle checks the heads of a bundle, under
// the config it names, which must be one of v's. The heads that verify are returned with their CIDs even if
// one after them does not. Errors: ErrForged, ErrMalformed.
func OpenChain(v Verified, sealed [][]byte) (heads []Head, ids []cid.Cid, err error) {
	if len(sealed) > 0 && len(v.Heads) == 0 {
		return nil, nil, fmt.Errorf("open chain of %s: %w: there is no head to begin at", v.Set, ErrForged)
	}
	var child named
	for i, b := range sealed {
		if i == 0 {
			child = named{v.Heads[0], v.HeadCids[0]}
		}
		h, err := v.openHead(b)
		if err == nil && !slices.Contains(child.Parents, h.id) {
			err = fmt.Errorf("%w: head %s is no parent of %s", ErrForged, h.id, child.id)
		}
		if err == nil {
			err = checkParents([]named{child, h})
		}
		if err != nil {
			return heads, ids, fmt.Errorf("open chain of %s: head %d: %w", v.Set, i+1, err)
		}
		heads, ids = append(heads, h.Head), append(ids, h.id)
		child = h
	}
	return heads, ids, nil
}

// OpenAncestors opens heads before v's, of a history that may fork: each must be a parent, or an abandoned head, of
// one of v.Heads or of one before it in the list. Being named in a signed head is the proof that it was a head of
// the set; besides, each is checked as VerifyBundle checks the heads of a bundle, under the config it names, which
// must be one of v's. The heads that verify are returned with their CIDs even if one after them does not. Errors:
// ErrForged, ErrMalformed if one comes twice or is among v.Heads.
func OpenAncestors(v Verified, sealed [][]byte) (heads []Head, ids []cid.Cid, err error) {
	known := newView()
	for i, h := range v.Heads {
		known.put(named{h, v.HeadCids[i]})
	}
	for i, b := range sealed {
		h, err := v.openHead(b)
		if err == nil && len(known.by[h.id]) == 0 {
			err = fmt.Errorf("%w: no head names %s", ErrForged, h.id)
		}
		if err == nil {
			err = known.add(h)
		}
		if err != nil {
			return heads, ids, fmt.Errorf("open ancestors of %s: head %d: %w", v.Set, i+1, err)
		}
		heads, ids = append(heads, h.Head), append(ids, h.id)
	}
	return heads, ids, nil
}

// checkParents holds heads against those of their parents and abandoned heads that are there.
func checkParents(heads []named) error {
	all := newView()
	for _, h := range heads {
		if err := all.add(h); err != nil {
			return err
		}
	}
	return nil
}

// view is heads that are held against each other. What a head says is checked against what is there, so a head is
// checked again whenever one that it names comes in.
type view struct {
	heads map[cid.Cid]Head
	by    map[cid.Cid][]cid.Cid // a head -> the heads in view that name it as a parent or abandon it
}

func newView() view {
	return view{make(map[cid.Cid]Head), make(map[cid.Cid][]cid.Cid)}
}

func (v view) put(h named) {
	v.heads[h.id] = h.Head
	for _, id := range slices.Concat(h.Parents, h.Abandoned) {
		v.by[id] = append(v.by[id], h.id)
	}
}

// add puts h into view and checks it, and those that name it, with all that is there.
func (v view) add(h named) error {
	if _, twice := v.heads[h.id]; twice {
		return fmt.Errorf("%w: head %s twice", ErrMalformed, h.id)
	}
	v.put(h)
	for _, id := range append([]cid.Cid{h.id}, v.by[h.id]...) {
		if err := v.check(id, v.heads[id]); err != nil {
			return err
		}
	}
	return nil
}

// check holds h against what it names. What depends on all parents is checked when all are there.
func (v view) check(id cid.Cid, h Head) error {
	var parents []Head
	most := uint64(0)
	for i, named := range slices.Concat(h.Parents, h.Abandoned) {
		p, ok := v.heads[named]
		if !ok {
			continue
		}
		if !h.Vector.Covers(p.Vector) {
			return fmt.Errorf("%w: head %s does not include %s, which it names", ErrForged, id, named)
		}
		if i < len(h.Parents) {
			parents, most = append(parents, p), max(most, p.Revision)
		}
	}
	all := len(parents) == len(h.Parents)
	if h.Revision <= most || (all && h.Revision != most+1) {
		return fmt.Errorf("%w: head %s has revision %d after %d", ErrForged, id, h.Revision, most)
	}
	if all && !h.founded(parents) {
		return fmt.Errorf("%w: head %s merges a root that nobody proposed", ErrForged, id)
	}
	return nil
}

// founded tells whether the content of h, whose parents these are, comes from its proposals and parents. Without
// that, a primary could name any root as a side of a merge, and so invent content.
func (h Head) founded(parents []Head) bool {
	if !h.Merged() || slices.ContainsFunc(parents, h.repeats) {
		return true
	}
	roots := make(map[cid.Cid]bool, MaxParents+MaxProposals)
	for _, p := range parents {
		roots[p.Root] = true
	}
	proposals, err := h.Written()
	if err != nil {
		return false
	}
	for _, p := range proposals {
		roots[p.Root] = true
	}
	return !slices.ContainsFunc(h.Merge.Sides, func(s MergeSide) bool { return !roots[s.Root] })
}

// repeats tells whether h has the content of its parent p, and the same proof of it.
func (h Head) repeats(p Head) bool {
	return h.Root.Equals(p.Root) && h.Merge.Equal(p.Merge) && slices.EqualFunc(h.Proposals, p.Proposals, bytes.Equal)
}
