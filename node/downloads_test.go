package node

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/api"
)

// pages is a layout of files with one leaf each.
func pages(leaves ...int) *dag.Layout {
	lay := &dag.Layout{}
	for i, l := range leaves {
		c := blockstore.FromDigest(cid.Raw, [32]byte{byte(l >> 16), byte(l >> 8), byte(l), 24: byte(l >> 16), 25: byte(l >> 8), 26: byte(l)})
		lay.Leaves = append(lay.Leaves, blockstore.Leaf{Cid: c, Size: 1})
		lay.Entries = append(lay.Entries, dag.Entry{Path: fmt.Sprint(i), Kind: dag.KindFile, Size: 1, Leaves: []uint32{uint32(i)}})
	}
	return lay
}

// sent counts a leaf as a reader does.
func sent(keys []uint64, lay *dag.Layout, i int) (at int) {
	at, ok := slices.BinarySearch(keys, keyOf(lay.Leaves[i].Cid))
	if !ok {
		return -1
	}
	return at
}

func TestDownloadsFollowRevisions(t *testing.T) {
	d, set, now := &downloads{}, setID(1), time.Unix(1e9, 0)
	first, second := pages(1, 2, 3, 2), pages(2, 4, 1)
	keys, counts := d.of(set, now).at(setID(10), func() (*dag.Layout, error) { return first, nil })
	if len(keys) != 3 || !slices.IsSorted(keys) {
		t.Fatalf("keys %v", keys)
	}
	for i, times := range []int{5, 2, 1, 1} {
		for range times {
			counts[sent(keys, first, i)].Add(1)
		}
	}
	expect := func(lay *dag.Layout, want ...uint64) {
		t.Helper()
		for i, e := range lay.Entries {
			if got := d.count(set, lay, e); got != want[i] {
				t.Errorf("%s: %d, want %d", e.Path, got, want[i])
			}
		}
	}
	expect(first, 5, 3, 1, 3) // two files are alike
	broken := errors.New("not here")
	if keys, _ := d.of(set, now).at(setID(11), func() (*dag.Layout, error) { return nil, broken }); keys != nil {
		t.Error("what cannot be read is counted")
	}
	expect(first, 5, 3, 1, 3)
	d.of(set, now).at(setID(11), func() (*dag.Layout, error) { return second, nil })
	expect(second, 3, 0, 5)
	d.of(set, now).at(setID(11), func() (*dag.Layout, error) { t.Error("read again"); return nil, broken })
	if got := d.count(set, second, dag.Entry{Kind: dag.KindDir}); got != 0 {
		t.Errorf("a folder: %d", got)
	}
	d.forget(set)
	expect(second, 0, 0, 0)
}

func TestDownloadsAreBounded(t *testing.T) {
	d := &downloads{}
	all := make([]int, maxTallied)
	for i := range all {
		all[i] = i
	}
	large := pages(all...)
	if n := len(firsts(large)); n != maxTallied {
		t.Fatalf("%d keys", n)
	}
	if n := len(firsts(pages(append(all, maxTallied)...))); n != 0 {
		t.Errorf("a set that is too large: %d keys", n)
	}
	for i := range byte(10) {
		d.of(setID(i), time.Unix(int64(i), 0)).at(setID(100), func() (*dag.Layout, error) { return large, nil })
		d.of(setID(200), time.Unix(100, 0))
	}
	if len(d.sets) != 1+maxTallies/maxTallied {
		t.Errorf("%d sets are kept", len(d.sets))
	}
	for set := range d.sets {
		if set != setID(200) && d.sets[set].used.Load() < 10-maxTallies/maxTallied {
			t.Errorf("an old one is kept: %d", d.sets[set].used.Load())
		}
	}
}

func TestDownloadsOfPeers(t *testing.T) {
	t.Parallel()
	author := startLimited(t, Config{})
	dir := newFolder(t)
	shared := author.share(dir)
	ctx := within(t)
	getter := startLimited(t, Config{Bootstrap: []string{author.addr()}})
	if _, err := getter.Get(ctx, api.GetRequest{Ticket: shared.Ticket, Dest: filepath.Join(t.TempDir(), "d")}, quiet); err != nil {
		t.Fatal(err)
	}
	found, err := author.Search(ctx, api.SearchRequest{Pattern: "*"})
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, h := range found.Items {
		if h.Kind != "file" {
			continue
		}
		files++
		want := min(uint64(h.Size), 1) // an empty one has nothing to send
		ls, err := author.Ls(ctx, api.LsRequest{Set: shared.Set, Path: h.Path})
		if err != nil || len(ls.Entries) != 1 || h.Downloads != want || ls.Entries[0].Downloads != want {
			t.Errorf("%+v %+v %v", h, ls, err)
		}
	}
	if files != 11 {
		t.Errorf("%d files", files)
	}
	if res, err := getter.Search(ctx, api.SearchRequest{Pattern: "large"}); err != nil || len(res.Items) != 1 || res.Items[0].Downloads != 0 {
		t.Errorf("nobody took it from here: %+v %v", res, err)
	}
}
