package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/protocols/chunks"
)

// ownBytes reads what is here: what is known to be lost, and some chunks, with Deep all.
func (i *inquiry) ownBytes(ctx context.Context) (string, error) {
	lay, err := i.mine.layout(ctx, i.target.head.Root)
	switch {
	case denied(err):
		return "", &broken{code: api.WhyDamagedHere, detail: "the list of its files cannot be read: " + err.Error(), hint: i.cure("")}
	case err != nil:
		return "", err
	}
	every := make([]int, len(lay.Leaves))
	for n := range every {
		every[n] = n
	}
	i.shuffle(len(every), func(a, b int) { every[a], every[b] = every[b], every[a] })
	ask := i.some(lay, every)
	lost, err := i.lost(ctx, lay, ask)
	if err != nil {
		return "", err
	}
	what, cure := i.mine.harm(ctx) // after it was tried to read them
	switch {
	case len(lost) > 0:
		what = strings.TrimPrefix(what+fmt.Sprintf("; %d of the %s read, of %s", len(lost), plural(len(ask), "chunk"), files(lay, lost)), "; ")
		return "", &broken{code: api.WhyDamagedHere, detail: what, hint: i.cure(cure)}
	case what != "":
		return "", &broken{code: api.WhyDamagedHere, detail: what, hint: i.cure(cure)}
	case len(ask) < len(every):
		return fmt.Sprintf("all of it is here: %d of %s were read; --deep reads all", len(ask), plural(len(every), "chunk")), nil
	}
	return "all of it is here, and was read", nil
}

// lost reads leaves here, and returns those that cannot be.
func (i *inquiry) lost(ctx context.Context, lay *dag.Layout, ask []int) (lost []int, err error) {
	var buf []byte
	for n, leaf := range ask {
		if n%chunks.MaxWant == 0 {
			i.tell(api.Progress{Phase: api.StepChunk, Files: n})
		}
		data, err := i.mine.read(ctx, lay.Leaves[leaf].Cid, buf)
		switch {
		case denied(err):
			lost = append(lost, leaf)
		case err != nil:
			return nil, err
		default:
			buf = data
		}
	}
	slices.Sort(lost)
	return lost, nil
}

// cure is what to type about own bytes that are lost, if nothing better is known.
func (i *inquiry) cure(known string) string {
	if known == "" && !i.mine.shared {
		return "`node verify --heal SET` to fetch them again"
	}
	return known
}

// lacking are the leaves that are not here either.
func (i *inquiry) lacking(ctx context.Context, lay *dag.Layout, leaves []int) []int {
	if i.mine == nil {
		return leaves
	}
	var buf []byte
	return slices.DeleteFunc(slices.Clone(leaves), func(leaf int) bool {
		data, err := i.mine.read(ctx, lay.Leaves[leaf].Cid, buf)
		if err == nil {
			buf = data
		}
		return err == nil
	})
}
