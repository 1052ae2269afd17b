package dag

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// BuildDir makes the nodes of a folder out of its finished entries, in any order. The Link that is
// returned has no Name yet; its Size is the sum of the entries'. Errors: ErrName for a name that
// CheckName refuses or that occurs twice; blockstore.ErrInvalid for a foreign CID.
func BuildDir(p Profile, a Attr, entries []Link, emit Emit) (Link, error) {
	if err := p.Validate(); err != nil {
		return Link{}, err
	}
	sorted := slices.SortedFunc(slices.Values(entries), func(a, b Link) int { return cmp.Compare(a.Name, b.Name) })
	weight := 0 // what HAMTThreshold counts
	for i := range sorted {
		e := &sorted[i]
		if err := CheckName(e.Name); err != nil {
			return Link{}, fmt.Errorf("build folder: %w", err)
		}
		if i > 0 && e.Name == sorted[i-1].Name {
			return Link{}, fmt.Errorf("build folder: %w: %q occurs twice", ErrName, e.Name)
		}
		if err := blockstore.CheckCid(e.Cid); err != nil {
			return Link{}, fmt.Errorf("build folder: entry %q: %w", e.Name, err)
		}
		weight += len(e.Name) + e.Cid.ByteLen()
	}
	root := Node{Kind: KindDir, Links: sorted}
	root.Attr, root.HasMode = p.attr(KindDir, a)
	if weight > p.HAMTThreshold {
		return buildShards(&root, emit)
	}
	return emitNode(&root, emit)
}

// BuildSymlink makes the node of a symlink. The Link that is returned has no Name yet.
func BuildSymlink(p Profile, target string, emit Emit) (Link, error) {
	if err := p.Validate(); err != nil {
		return Link{}, err
	}
	if err := checkTarget(target); err != nil {
		return Link{}, err
	}
	return emitNode(&Node{Kind: KindSymlink, Target: target}, emit)
}

// FileLink rebuilds the Link of a file that was built before from its root: from the stored root node,
// or from the leaf if the file is one. Errors: ErrMalformed if it is not a file.
func FileLink(name string, root blockstore.Block) (Link, error) {
	if root.Cid().Type() == cid.Raw {
		size := uint64(len(root.Data()))
		return Link{Name: name, Cid: root.Cid(), Tsize: size, Size: size}, nil
	}
	n, err := Decode(root)
	if err != nil {
		return Link{}, err
	}
	if n.Kind != KindFile {
		return Link{}, fmt.Errorf("link of file %q: %w: %s is not a file", name, ErrMalformed, root.Cid())
	}
	return n.link(name, root), nil
}
