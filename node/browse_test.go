package node

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/protocols/list"
)

// Any range of a file is what a slice of its bytes is, and every one that a file does not have is refused.
func TestRangesOfAFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lay, all, bodies := &dag.Layout{}, []byte{}, map[cid.Cid][]byte{}
		for range rapid.IntRange(0, 5).Draw(t, "distinct leaves") {
			b := rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "bytes")
			id := blockstore.Sum(cid.Raw, b)
			bodies[id] = b
			lay.Leaves = append(lay.Leaves, blockstore.Leaf{Cid: id, Size: uint32(len(b))})
		}
		file := dag.Entry{Path: "sub/f", Kind: dag.KindFile, Cid: blockstore.Sum(cid.Raw, nil)}
		for range rapid.IntRange(0, 8).Draw(t, "leaves") {
			if len(lay.Leaves) > 0 {
				i := rapid.IntRange(0, len(lay.Leaves)-1).Draw(t, "leaf")
				file.Leaves = append(file.Leaves, uint32(i))
				all = append(all, bodies[lay.Leaves[i].Cid]...)
			}
		}
		file.Size = int64(len(all))
		lay.Entries = []dag.Entry{{Kind: dag.KindDir}, {Path: "sub", Kind: dag.KindDir}, file}
		q := api.ContentRequest{Path: rapid.SampledFrom([]string{"sub/f", "/sub//f/", "./sub/x/../f"}).Draw(t, "path"),
			Offset: rapid.Int64Range(-1, file.Size+1).Draw(t, "offset"), Length: rapid.Int64Range(-1, file.Size+1).Draw(t, "length")}
		found, err := fileIn(lay, q)
		if bad := q.Offset < 0 || q.Length < 0 || q.Offset+q.Length > file.Size; (err != nil) != bad {
			t.Fatalf("%+v of %d bytes: %v", q, file.Size, err)
		}
		if err != nil {
			return
		}
		var got []byte
		err = eachLeaf(lay, found, q, func(leaf blockstore.Leaf, skip, take int64) error {
			if take == 0 {
				t.Fatal("a leaf is read for nothing")
			}
			got = append(got, bodies[leaf.Cid][skip:skip+take]...)
			return nil
		})
		want := all[q.Offset:]
		if q.Length > 0 {
			want = want[:q.Length]
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%+v: %q %v, want %q", q, got, err, want)
		}
	})
}

func TestFileInRefuses(t *testing.T) {
	lay := &dag.Layout{Entries: []dag.Entry{{Kind: dag.KindDir}, {Path: "dir", Kind: dag.KindDir}, {Path: "link", Kind: dag.KindSymlink, Target: "/etc/passwd"},
		{Path: "file", Kind: dag.KindFile, Cid: blockstore.Sum(cid.Raw, nil), Size: 1 << 40}}}
	for path, code := range map[string]string{"": "not_a_file", "dir": "not_a_file", "link": "not_a_file", "nothing": "no_such_entry", "../../etc/passwd": "no_such_entry"} {
		var e *api.Error
		if _, err := fileIn(lay, api.ContentRequest{Path: path}); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, q := range []api.ContentRequest{{Path: "file", Cid: "other"}, {Path: "file", Offset: 1<<63 - 1, Length: 1<<63 - 1}, {Path: "file", Offset: 1, Length: 1 << 40}} {
		if _, err := fileIn(lay, q); err == nil {
			t.Errorf("%+v is answered", q)
		}
	}
}

// Columns add up to the leaves, are full exactly when nothing is missing, and copies are counted of full ones.
func TestColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaves := rapid.IntRange(0, 200).Draw(t, "leaves")
		a := api.AvailabilityResult{Leaves: leaves, Columns: min(leaves, rapid.IntRange(1, maxColumns).Draw(t, "columns"))}
		info := list.Info{Leaves: leaves, Have: list.NewBitmap(leaves), Complete: rapid.Bool().Draw(t, "complete")}
		held := 0
		for i := range leaves {
			if rapid.Bool().Draw(t, "has") {
				info.Have.Set(i)
				held++
			}
		}
		if info.Complete {
			held = leaves
		}
		row := has(info, a)
		if row.Leaves != held || len(row.Have) != a.Columns || (row.State == api.HaveAll) != info.Complete {
			t.Fatalf("%+v, held %d", row, held)
		}
		full := 0
		for _, percent := range row.Have {
			if percent < 0 || percent > 100 {
				t.Fatal(row.Have)
			}
			if percent == 100 {
				full++
			}
		}
		if (full == a.Columns) != (held == leaves) {
			t.Fatalf("%d of %d columns are full with %d of %d leaves", full, a.Columns, held, leaves)
		}
		twice := 0
		for _, n := range copies([]api.PeerHave{row, row, {State: api.HaveUnknown, Have: []int{}}}, a.Columns) {
			twice += n
		}
		if twice != 2*full {
			t.Fatalf("%d copies of %d full columns", twice, full)
		}
	})
}

func TestBrowse(t *testing.T) {
	t.Parallel()
	author := start(t, t.TempDir())
	n, err := New(Config{Home: t.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: []string{author.addr()}, Reserve: 1, Version: "test",
		Transfer: TransferConfig{Down: 4 << 20}}) // the set takes half a second, so that there is a middle to look at
	if err != nil {
		t.Fatal(err)
	}
	getter := run(t, n)
	start(t, t.TempDir(), author.addr()) // knows nothing of the set, and is in no row
	dir := newFolder(t)
	shared := author.share(dir)
	ctx := within(t)
	strip := func(r *running) map[string]api.PeerHave {
		t.Helper()
		res, err := r.Availability(ctx, api.AvailabilityRequest{Set: shared.Set})
		if err != nil || len(res.Peers) == 0 || !res.Peers[0].Self || len(res.Copies) != res.Columns || res.Columns > res.Leaves || res.Revision == 0 {
			t.Fatalf("availability: %+v %v", res, err)
		}
		rows := map[string]api.PeerHave{}
		for _, p := range res.Peers {
			rows[p.PeerID] = p
		}
		return rows
	}
	me, it := author.self.String(), getter.self.String()
	if rows := strip(author); len(rows) != 1 || rows[me].State != api.HaveAll {
		t.Errorf("shared: %+v", rows)
	}

	partly := false
	dest := filepath.Join(t.TempDir(), "dest")
	if _, err := getter.Get(ctx, api.GetRequest{Ticket: shared.Ticket, Dest: dest}, func(p api.Progress) {
		if row := strip(author)[it]; row.State == api.HaveSome && row.Leaves > 0 {
			partly = partly || strip(getter)[it].Leaves > 0
		}
	}); err != nil {
		t.Fatal(err)
	}
	if !partly {
		t.Error("nobody saw a part of the set at the getter")
	}
	for _, r := range []*running{author, getter} {
		if rows := strip(r); len(rows) != 2 || rows[me].State != api.HaveAll || rows[it].State != api.HaveAll || rows[it].Leaves != rows[me].Leaves {
			t.Errorf("got: %+v", rows)
		}
		sameContent(t, ctx, r, shared.Set, dir)
	}

	write(t, filepath.Join(dir, "more"), 1000)
	author.share(dir)
	if rows := strip(author); rows[it].State != api.HaveOther || rows[it].Revision != 1 {
		t.Errorf("published again: %+v", rows)
	}
	if rows := strip(getter); rows[me].Revision != 2 {
		t.Errorf("seen by the getter: %+v", rows)
	}
	behind := func(r *running, want int) { // who has seen a newer revision does not say that his is the newest
		t.Helper()
		if i, err := r.Show(ctx, shared.Set); err != nil || i.Behind != want {
			t.Errorf("behind %d of %d: %v", i.Behind, want, err)
		}
		if got := scrape(t, r.Node)[`shoal_fileset_revisions_behind{set="`+shared.Name+`"}`]; int(got) != want {
			t.Errorf("%v by the metric, want %d", got, want)
		}
	}
	behind(author, 0)
	behind(getter, 1)
	if _, err := getter.Get(ctx, api.GetRequest{Ticket: shared.Ticket, Dest: dest}, quiet); err != nil {
		t.Fatal(err)
	}
	behind(getter, 0)
	if _, err := author.Grant(ctx, api.GrantRequest{Set: shared.Set, Peer: it, Right: api.RightReader}); err != nil {
		t.Fatal(err)
	}
	getter.stop()
	if row := strip(author)[it]; row.State != api.HaveUnknown || row.Have == nil {
		t.Errorf("a member that is away: %+v", row)
	}
	var e *api.Error
	for _, columns := range []int{-1, maxColumns + 1} {
		if _, err := author.Availability(ctx, api.AvailabilityRequest{Set: shared.Set, Columns: columns}); !errors.As(err, &e) || e.ExitCode != api.ExitUsage {
			t.Errorf("%d columns: %v", columns, err)
		}
	}
}

// sameContent reads every file through the node, and a part of each.
func sameContent(t *testing.T, ctx context.Context, r *running, set, dir string) {
	t.Helper()
	for _, name := range []string{"large", "sub/0", "sub/9"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		ls, err := r.Ls(ctx, api.LsRequest{Set: set, Path: name})
		if err != nil || len(ls.Entries) != 1 {
			t.Fatal(ls, err)
		}
		var out bytes.Buffer
		if err := r.Content(ctx, api.ContentRequest{Set: set, Path: name, Cid: ls.Entries[0].Cid}, &out); err != nil || !bytes.Equal(out.Bytes(), want) {
			t.Errorf("%s: %d bytes of %d, %v", name, out.Len(), len(want), err)
		}
		if from := len(want) / 3; from > 0 {
			out.Reset()
			if err := r.Content(ctx, api.ContentRequest{Set: set, Path: name, Offset: int64(from), Length: int64(from)}, &out); err != nil || !bytes.Equal(out.Bytes(), want[from:2*from]) {
				t.Errorf("%s: a third: %d bytes, %v", name, out.Len(), err)
			}
		}
	}
	// What is wrong on disk is never handed out.
	name := filepath.Join(r.folder(t, ctx, set), "large")
	right, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	wrong := slices.Clone(right)
	wrong[len(wrong)-1] ^= 1
	if err := os.WriteFile(name, wrong, 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var e *api.Error
	if err := r.Content(ctx, api.ContentRequest{Set: set, Path: "large"}, &out); !errors.As(err, &e) || !bytes.HasPrefix(right, out.Bytes()) || out.Len() == len(right) {
		t.Errorf("a damaged file: %d bytes, %v", out.Len(), err)
	}
	if err := os.WriteFile(name, right, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (r *running) folder(t *testing.T, ctx context.Context, set string) string {
	info, err := r.Show(ctx, set)
	if err != nil {
		t.Fatal(err)
	}
	return info.Dir
}
