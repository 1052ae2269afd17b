package watch

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// BenchmarkLook sets the watches of 10,000 folders; bytes/folder is what they keep of the heap, without the
// system's own memory, on Linux about a kilobyte each.
func BenchmarkLook(b *testing.B) {
	const folders = 10000
	dir := b.TempDir()
	for i := range folders / 100 {
		for j := range 99 {
			mkdir(b, filepath.Join(dir, fmt.Sprintf("folder-%03d", i), fmt.Sprintf("folder-%03d", j)))
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	w := &watcher{dir: dir, o: Options{Notice: func(text string) { b.Error(text) }}.withDefaults(), open: openSource}
	defer w.close()
	before, start := heap(), time.Now()
	for b.Loop() {
		w.look()
	}
	perLook := time.Since(start) / time.Duration(b.N)
	if n := len(w.folders); n != folders+1 {
		b.Errorf("%d folders watched", n)
	}
	b.ReportMetric(float64(heap()-before)/folders, "bytes/folder")
	b.ReportMetric(perLook.Seconds()*1e6/folders, "us/folder")
	runtime.KeepAlive(w)
}
