package replica

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// easeAfter is how long nothing is sent, fetched or scanned before memory is given back: whoever follows a busy set, or
	// serves a crowd one after the other, needs it again at once.
	easeAfter = 5 * time.Second
	// easeEvery is how often a node at rest looks whether there is something to give back by now: beacons and answers to
	// others leave garbage, and the runtime lets it grow to what is in use.
	easeEvery = 30 * time.Second
	// easeFrom is how many bytes must be there to give back, a tenth of what a node at rest has resident: two collections
	// of its heap take 20 ms of a core, and are not worth less.
	easeFrom = 8 << 20
)

// ease gives memory back to the system when the node has come to rest after work that took much of it: content, or the
// lists of many small files. The runtime by itself waits for its next collection, two minutes in a node that does
// nothing, and one more for what pools hold: half a minute after 64 MiB from sixteen peers a getter still had 75 MB
// resident, and the seeder 98, of which 46 were in use; two minutes after 10,000 files of 1 kB a getter had 104.
type ease struct {
	spare func() int64 // how many bytes there are to give back
	give  func()       // gives them back

	mu    sync.Mutex  // guards what follows
	busy  int         // gets, readers and scans
	timer *time.Timer // of rest; nil = there is none
}

// newEase eases this process.
func newEase() ease { return ease{spare: spareMemory, give: giveBack} }

// spareMemory is how much of the heap's memory is not in use, as far as the last collection knows, and not the system's
// yet.
func spareMemory() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	var v [4]int64
	for i := range s {
		if s[i].Value.Kind() == metrics.KindUint64 {
			v[i] = int64(s[i].Value.Uint64())
		}
	}
	objects, unused, free, live := v[0], v[1], v[2], v[3]
	return max(objects-live, 0) + unused + free
}

// giveBack collects what is in no use twice, because pools keep what one collection finds in them for the next.
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
}

func (e *ease) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.busy++
	e.stop()
}

// end ends what begin began.
func (e *ease) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.busy--
	if e.busy > 0 {
		return
	}
	e.stop()
	e.timer = time.AfterFunc(easeAfter, e.rest)
}

// rest gives back what there is, and comes again.
func (e *ease) rest() {
	if e.spare() >= easeFrom {
		e.give()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer != nil && e.busy == 0 {
		e.timer.Reset(easeEvery)
	}
}

// stop must be called with mu held.
func (e *ease) stop() {
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
}

// close ends the rests that end has begun; one may still be under way.
func (e *ease) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop()
}

// moving notes that bytes are being moved until the function it returns is called.
func (r *Registry) moving() (done func()) {
	r.ease.begin()
	return r.ease.end
}
