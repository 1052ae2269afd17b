//go:build linux || darwin

package worktree

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
)

// BenchmarkScan reads four files of 256 MiB and prints its speed beside that of sha256sum, two at a
// time, over the same files in the same run.
func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	const files, size = 4, 256 << 20
	for i := range files {
		fillFile(b, filepath.Join(dir, fmt.Sprint(i)), uint64(i), size)
	}
	var scanned, summed time.Duration
	b.SetBytes(files * size)
	for b.Loop() {
		start := time.Now()
		_, err := Scan(b.Context(), dir, &recorder{}, ScanOptions{Set: testSet(), Profile: dag.DefaultProfile()})
		must(b, err)
		scanned += time.Since(start)
		b.StopTimer()
		summed += sha256sum(b, dir)
		b.StartTimer()
	}
	mb := float64(files*size) * float64(b.N) / 1e6
	b.ReportMetric(mb/scanned.Seconds(), "scan-MB/s")
	if summed > 0 {
		b.ReportMetric(mb/summed.Seconds(), "sha256sum-MB/s")
		b.ReportMetric(summed.Seconds()/scanned.Seconds(), "of-sha256sum")
	}
}

// sha256sum is how long "xargs -P2 sha256sum" takes over the files of dir; 0 where it is not installed.
func sha256sum(b *testing.B, dir string) time.Duration {
	if _, err := exec.LookPath("sha256sum"); err != nil {
		return 0
	}
	list, err := filepath.Glob(dir + "/*")
	must(b, err)
	cmd := exec.CommandContext(b.Context(), "xargs", "-P2", "-n1", "sha256sum")
	cmd.Stdin = strings.NewReader(strings.Join(list, "\n"))
	start := time.Now()
	must(b, cmd.Run())
	return time.Since(start)
}

func fillFile(b *testing.B, name string, seed uint64, size int64) {
	f, err := os.Create(name)
	must(b, err)
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{byte(seed), 1}), size)
	must(b, err)
	must(b, f.Close())
}

// BenchmarkScanOneFile: one file must keep all cores busy.
func BenchmarkScanOneFile(b *testing.B) {
	dir := b.TempDir()
	fillFile(b, dir+"/f", 7, 512<<20)
	b.SetBytes(512 << 20)
	for b.Loop() {
		_, err := Scan(b.Context(), dir, &recorder{}, ScanOptions{Set: testSet(), Profile: dag.DefaultProfile()})
		must(b, err)
	}
}

// smallFiles shares 10,000 files of 1 to 16 KiB in 100 folders, with their leaves in memory.
func smallFiles(b *testing.B) (source, [][]byte) {
	dir := b.TempDir()
	for i := range 10000 {
		write(b, filepath.Join(dir, fmt.Sprint(i/100), fmt.Sprint(i%100)), random(uint64(i), 1<<10+i%15<<10))
	}
	st := memstore.New()
	snap := scan(b, dir, st, ScanOptions{Set: testSet(), Profile: dag.DefaultProfile()})
	s := source{dir, st, layout(b, st, snap.Root)}
	leaves := make([][]byte, len(s.lay.Leaves))
	for i := range leaves {
		leaves[i] = s.leaf(b, uint32(i))
	}
	return s, leaves
}

// BenchmarkCheckoutSmallFiles writes them from four goroutines, as four streams would.
func BenchmarkCheckoutSmallFiles(b *testing.B) {
	s, leaves := smallFiles(b)
	base := b.TempDir()
	n := 0
	start := cpuTime(b)
	for b.Loop() {
		n++
		c, err := NewCheckout(b.Context(), filepath.Join(base, fmt.Sprint(n)), testSet(), s.lay, CheckoutOptions{})
		must(b, err)
		need := c.Need()
		var wg sync.WaitGroup
		const streams = 4
		for k := range streams {
			wg.Go(func() {
				for _, i := range need[len(need)*k/streams : len(need)*(k+1)/streams] {
					must(b, c.Write(i, leaves[i]))
				}
			})
		}
		wg.Wait()
		finish(b, c, memstore.New())
	}
	b.ReportMetric((cpuTime(b)-start).Seconds()/float64(b.N), "cpu-s/op")
	b.ReportMetric(float64(len(s.lay.Entries)*b.N)/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkScanSmallFiles reads them, then once more unread.
func BenchmarkScanSmallFiles(b *testing.B) {
	s, _ := smallFiles(b)
	for _, known := range []bool{false, true} {
		b.Run(fmt.Sprintf("known=%v", known), func(b *testing.B) {
			o := aged(ScanOptions{Set: testSet(), Profile: dag.DefaultProfile()})
			if known {
				scan(b, s.dir, s.st, o)
				o.Known, o.Get = knownOf(b, s.st, s.dir), s.st
			}
			for b.Loop() {
				snap, err := Scan(b.Context(), s.dir, &recorder{}, o)
				must(b, err)
				if known && snap.BytesRead > 0 {
					b.Fatal("read")
				}
			}
		})
	}
}

// cpuTime is what this process used so far: comparable on a busy machine, where elapsed time is not.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
