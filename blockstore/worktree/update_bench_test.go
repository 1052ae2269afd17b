//go:build linux || darwin

package worktree

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
)

// localOf finds leaves in a store, as a node does.
func localOf(st *memstore.Store) func(context.Context, cid.Cid, []byte) ([]byte, error) {
	return func(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) { return st.Get(ctx, c, buf) }
}

// BenchmarkUpdateSmallFiles rewrites 10 files of 10,000 by a checkout of the part that changes.
func BenchmarkUpdateSmallFiles(b *testing.B) {
	s, _ := smallFiles(b)
	dest := filepath.Join(b.TempDir(), "dest")
	st := memstore.New()
	c, err := NewCheckout(b.Context(), dest, testSet(), s.lay, CheckoutOptions{Local: localOf(s.st)})
	must(b, err)
	finish(b, c, st)
	old := s.lay
	var part, total time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		for i := range 10 {
			write(b, filepath.Join(s.dir, fmt.Sprint(i*9), fmt.Sprint(i*7)), random(uint64(n*10+i+1e6), 10<<10))
		}
		n++
		snap := scan(b, s.dir, s.st, ScanOptions{Set: testSet(), Profile: dag.DefaultProfile()})
		new := layout(b, s.st, snap.Root)
		must(b, Sync(dest)) // revisions come seconds apart
		b.StartTimer()
		start := time.Now()
		lay := changed(old, new)
		cut := time.Now()
		c, err := NewCheckout(b.Context(), dest, testSet(), lay,
			CheckoutOptions{Known: knownOf(b, st, dest), Local: localOf(st), Partial: true, Hold: true})
		must(b, err)
		if len(c.Need()) != 10 {
			b.Fatalf("%d leaves are needed", len(c.Need()))
		}
		for _, i := range c.Need() {
			data, err := s.st.Get(b.Context(), lay.Leaves[i].Cid, nil)
			must(b, err)
			must(b, c.Write(i, data))
		}
		must(b, c.Release(b.Context()))
		_, err = c.Finish(b.Context(), func(fs ...blockstore.File) error { return st.PutFiles(b.Context(), fs...) })
		must(b, err)
		part += cut.Sub(start)
		total += time.Since(cut)
		must(b, c.Close())
		old = new
	}
	b.ReportMetric(part.Seconds()*1e3/float64(n), "part-ms")
	b.ReportMetric(bareReplace(b, dest).Seconds()*1e3, "bare-replace-ms")
	b.ReportMetric(total.Seconds()*1e3/float64(n), "update-ms")
}

// bareReplace, for comparison, is how long it takes to write ten files beside others and to rename them over these, and nothing else.
func bareReplace(b *testing.B, dest string) time.Duration {
	const rounds = 10
	data := []byte(random(3, 10<<10))
	must(b, Sync(dest))
	start := time.Now()
	for n := range rounds {
		for i := range 10 {
			name := filepath.Join(dest, fmt.Sprint(i*9), fmt.Sprint(n*7+1))
			must(b, os.WriteFile(name+".new", data, 0o644))
			must(b, os.Rename(name+".new", name))
		}
	}
	return time.Since(start) / rounds
}

// BenchmarkUpdateLargeFile inserts 4 KiB into a file of 1 GiB at one third, and takes them out again: all leaves but
// one or two are found on this disk. It needs 2 GiB of it. What Close takes is the file system's time to free the
// file that was replaced.
func BenchmarkUpdateLargeFile(b *testing.B) {
	const size = 1 << 30
	dir := b.TempDir()
	o := ScanOptions{Set: testSet(), Profile: dag.DefaultProfile()}
	st := memstore.New()
	src, dest := filepath.Join(dir, "src"), filepath.Join(dir, "dest")
	must(b, os.Mkdir(src, 0o755))
	must(b, os.Mkdir(dest, 0o755))
	fillFile(b, dest+"/f", 9, size)
	insertInto(b, dest+"/f", src+"/f", size/3, random(1, 4<<10))
	from := memstore.New()
	lays := []*dag.Layout{layout(b, from, scan(b, src, from, o).Root), layout(b, st, scan(b, dest, st, o).Root)}
	leaves := changedLeaves(b, lays, []*memstore.Store{from, st})
	must(b, os.RemoveAll(src))
	var update, release, closing time.Duration
	n := 0
	start := cpuTime(b)
	for b.Loop() {
		lay := lays[n%2]
		t0 := time.Now()
		c, err := NewCheckout(b.Context(), dest, testSet(), lay,
			CheckoutOptions{Known: knownOf(b, st, dest), Local: localOf(st), Partial: true, Hold: true})
		must(b, err)
		for _, i := range c.Need() {
			must(b, c.Write(i, leaves[lay.Leaves[i].Cid]))
		}
		if c.Reused() < size-4<<20 {
			b.Fatalf("%d bytes reused", c.Reused())
		}
		t1 := time.Now()
		must(b, c.Release(b.Context()))
		_, err = c.Finish(b.Context(), func(fs ...blockstore.File) error { return st.PutFiles(b.Context(), fs...) })
		must(b, err)
		t2 := time.Now()
		must(b, c.Close())
		update, release, closing = update+t2.Sub(t0), release+t2.Sub(t1), closing+time.Since(t2)
		n++
	}
	b.ReportMetric((cpuTime(b)-start).Seconds()/float64(n), "cpu-s/op")
	b.ReportMetric(update.Seconds()/float64(n), "update-s")
	b.ReportMetric(release.Seconds()/float64(n), "of-it-release-s")
	b.ReportMetric(closing.Seconds()/float64(n), "close-s")
}

// changedLeaves are the leaves that one of two layouts has, and not the other.
func changedLeaves(b *testing.B, lays []*dag.Layout, stores []*memstore.Store) map[cid.Cid][]byte {
	count, leaves := map[cid.Cid]int{}, map[cid.Cid][]byte{}
	for _, lay := range lays {
		for _, l := range lay.Leaves {
			count[l.Cid]++
		}
	}
	for i, lay := range lays {
		for _, l := range lay.Leaves {
			if count[l.Cid] > 1 {
				continue
			}
			data, err := stores[i].Get(b.Context(), l.Cid, nil)
			must(b, err)
			leaves[l.Cid] = data
		}
	}
	return leaves
}

// insertInto copies a file, with text at the given place.
func insertInto(b *testing.B, from, to string, at int64, text string) {
	in, err := os.Open(from)
	must(b, err)
	defer in.Close()
	out, err := os.Create(to)
	must(b, err)
	_, err = io.CopyN(out, in, at)
	must(b, err)
	_, err = out.WriteString(text)
	must(b, err)
	_, err = io.Copy(out, in)
	must(b, err)
	must(b, out.Close())
}
