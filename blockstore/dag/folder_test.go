package dag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// peeked counts what is got and checks that it was told ahead.
type peeked struct {
	*blocks
	got, told map[cid.Cid]int
}

func (p *peeked) get(ctx context.Context, c cid.Cid) ([]byte, error) {
	p.got[c]++
	return p.blocks.get(ctx, c)
}

func (p *peeked) ahead(_ context.Context, nodes []cid.Cid) error {
	for _, c := range nodes {
		p.told[c]++
	}
	return nil
}

func peekInto(s *blocks) *peeked { return &peeked{s, map[cid.Cid]int{}, map[cid.Cid]int{}} }

// A folder that is read alone is what it is in the whole layout, and little else is got for it.
func TestReadFolderIsPartOfTheLayout(t *testing.T) {
	t.Parallel()
	for _, p := range profiles() {
		s := newBlocks()
		root, err := sample().build(p, s)
		if err != nil {
			t.Fatal(err)
		}
		lay, err := ReadLayout(t.Context(), root.Cid, s.get, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range lay.Entries {
			if dir.Kind == KindFile && strings.Contains(dir.Path, "entry-") && !strings.HasSuffix(dir.Path, "7") {
				continue // some of the many will do
			}
			var want []Entry
			for _, e := range lay.Entries {
				up := path.Dir(e.Path)
				if up == "." {
					up = ""
				}
				if e.Path != "" && dir.Kind == KindDir && up == dir.Path || dir.Kind != KindDir && e.Path == dir.Path {
					e.Leaves = nil
					want = append(want, e)
				}
			}
			slices.SortFunc(want, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
			from := peekInto(s)
			got, more, err := ReadFolder(t.Context(), root.Cid, dir.Path, 1000, from.get, from.ahead)
			if err != nil || more {
				t.Fatalf("%q: %v, more %v", dir.Path, err, more)
			}
			for i, e := range got {
				if e.Kind == KindDir { // of which little more than its files
					size := int64(0)
					for _, below := range lay.Entries {
						if strings.HasPrefix(below.Path, e.Path+"/") {
							size += below.Size + 200
						}
					}
					if e.Size <= 0 || e.Size > size+200 {
						t.Errorf("%q has %d bytes, of %d at most", e.Path, e.Size, size)
					}
					got[i].Size = 0
				}
			}
			compareEntries(t, got, want)
			for i := range got {
				if got[i].Cid != want[i].Cid {
					t.Fatalf("%q: cid %v, want %v", got[i].Path, got[i].Cid, want[i].Cid)
				}
			}
			for c := range from.got {
				if c.Type() == cid.Raw {
					t.Fatalf("%q: a leaf was got", dir.Path)
				}
			}
		}
	}
}

func TestReadFolderStops(t *testing.T) {
	t.Parallel()
	s := newBlocks()
	kids := map[string]*tree{}
	for i := range 30_000 {
		kids[fmt.Sprintf("a file with a name %d", i)] = &tree{kind: KindFile, attr: Attr{Mode: 0o600}, data: []byte{byte(i)}}
	}
	root, err := (&tree{kind: KindDir, kids: map[string]*tree{"many": {kind: KindDir, kids: kids}}}).build(DefaultProfile(), s)
	if err != nil {
		t.Fatal(err)
	}
	from := peekInto(s)
	got, more, err := ReadFolder(t.Context(), root.Cid, "many", 100, from.get, from.ahead)
	if err != nil || !more || len(got) != 100 {
		t.Fatalf("%d entries, more %v, %v", len(got), more, err)
	}
	if !slices.IsSortedFunc(got, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) }) {
		t.Error("not by name")
	}
	if n := len(from.got); n > 2+aheadShards+100 {
		t.Errorf("%d nodes for 100 entries", n)
	}
	for c, n := range from.told {
		if n != 1 {
			t.Fatalf("%v was told ahead %d times", c, n)
		}
	}
	from = peekInto(s)
	one, _, err := ReadFolder(t.Context(), root.Cid, "many/a file with a name 29999", 100, from.get, from.ahead)
	if err != nil || len(one) != 1 || len(from.got) > 6 {
		t.Errorf("one file: %v, %v, %d nodes", one, err, len(from.got))
	}
}

func TestReadFolderRefuses(t *testing.T) {
	t.Parallel()
	s := newBlocks()
	root, err := sample().build(DefaultProfile(), s)
	if err != nil {
		t.Fatal(err)
	}
	from := peekInto(s)
	for _, p := range []string{"nothing", "small/x", "dir/x", "shards/nothing", "link/small", "dir//", "/", "..", "many/../small", strings.Repeat("dir/", 70) + "x"} {
		if _, _, err := ReadFolder(t.Context(), root.Cid, p, 10, from.get, from.ahead); !errors.Is(err, ErrNoEntry) {
			t.Errorf("%q: %v", p, err)
		}
	}
	lay, err := ReadLayout(t.Context(), root.Cid, s.get, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	var file Entry
	for _, e := range lay.Entries {
		if e.Path == "big" {
			file = e
		}
	}
	if _, _, err := ReadFolder(t.Context(), file.Cid, "", 10, from.get, from.ahead); !errors.Is(err, ErrMalformed) {
		t.Errorf("a file as root: %v", err)
	}
	lie := func(ctx context.Context, c cid.Cid) ([]byte, error) {
		b, err := s.get(ctx, c)
		if c == file.Cid {
			b = append(slices.Clone(b), 0)
		}
		return b, err
	}
	if _, _, err := ReadFolder(t.Context(), root.Cid, "", 100, lie, from.ahead); !errors.Is(err, blockstore.ErrCorrupt) {
		t.Errorf("a node that is another: %v", err)
	}
	broken := errors.New("broken")
	fails := func(context.Context, []cid.Cid) error { return broken }
	for _, p := range []string{"", "shards"} {
		if _, _, err := ReadFolder(t.Context(), root.Cid, p, 10, from.get, fails); !errors.Is(err, broken) {
			t.Errorf("%q: what ahead says is lost: %v", p, err)
		}
	}
}

// FuzzReadFolder: whatever a root is and a path, it is entries in order, or an error that says what is wrong.
func FuzzReadFolder(f *testing.F) {
	s := newBlocks()
	if _, err := sample().build(profiles()[3], s); err != nil {
		f.Fatal(err)
	}
	for i, c := range s.order {
		if i%50 == 0 || i == len(s.order)-1 {
			f.Add(s.m[c].Data(), "many/entry-001")
			f.Add(s.m[c].Data(), "")
		}
	}
	for _, n := range malformedNodes() {
		f.Add(n.encode(), "a")
	}
	const most = 5
	f.Fuzz(func(t *testing.T, data []byte, p string) {
		b := blockstore.NewBlock(cid.DagProtobuf, data)
		get := func(ctx context.Context, c cid.Cid) ([]byte, error) {
			if c == b.Cid() {
				return data, nil
			}
			return s.get(ctx, c)
		}
		got, more, err := ReadFolder(t.Context(), b.Cid(), p, most, get, func(context.Context, []cid.Cid) error { return nil })
		if err != nil {
			for _, known := range []error{ErrMalformed, ErrNoEntry, blockstore.ErrNotFound, ErrLimit} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatal(err)
		}
		if len(got) > most || more && len(got) < most || !slices.IsSortedFunc(got, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) }) {
			t.Fatalf("%d entries, more %v: %v", len(got), more, got)
		}
	})
}
