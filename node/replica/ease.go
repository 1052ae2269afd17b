package replica

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// easeAfter is how long nothing is sent, fetched or scanned before memory is given back: whoever follows a busy set, or
	// serves a crowd one after the other, needs it again at once.
	easeAfter = 5 * time.Second
	// easeFrom is how many bytes must have been moved for it: less leaves little behind.
	easeFrom = 16 << 20
)

// ease gives memory back to the system when the node has come to rest after much work. The runtime by itself waits for
// its next collection, two minutes in a node that does nothing, and one more for what pools hold: half a minute after
// 64 MiB from sixteen peers a getter still had 75 MB resident, and the seeder 98, of which 46 were in use.
type ease struct {
	give func() // gives it back

	mu    sync.Mutex // guards what follows
	busy  int        // gets, readers and scans
	read  int64      // bytes that were read to share them
	moved int64      // bytes on all streams of our protocols, and read, when it was given back last
	timer *time.Timer
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

// scanned notes that bytes were read to share them.
func (e *ease) scanned(bytes int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.read += bytes
}

// end ends what begin began; moved is how many bytes were on the streams in the life of the node.
func (e *ease) end(moved int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.busy--
	moved += e.read
	if e.busy > 0 || moved-e.moved < easeFrom {
		return
	}
	e.stop()
	e.timer = time.AfterFunc(easeAfter, func() {
		e.mu.Lock()
		idle := e.busy == 0
		if idle {
			e.moved = moved
		}
		e.mu.Unlock()
		if idle {
			e.give()
		}
	})
}

// stop must be called with mu held.
func (e *ease) stop() {
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
}

// close ends what end may have begun.
func (e *ease) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop()
}

// moving notes that bytes are being moved until the function it returns is called.
func (r *Registry) moving() (done func()) {
	r.ease.begin()
	return func() {
		var moved int64
		if net := r.network(); net != nil {
			in, out := net.Wire()
			moved = in + out
		}
		r.ease.end(moved)
	}
}
