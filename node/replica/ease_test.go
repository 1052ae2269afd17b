package replica

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestEase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var given atomic.Int32
		e := &ease{give: func() { given.Add(1) }}
		work := func(moved int64) {
			e.begin()
			e.end(moved)
		}
		after := func(d time.Duration, want int32, why string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if n := given.Load(); n != want {
				t.Fatalf("%s: given back %d times, want %d", why, n, want)
			}
		}
		work(easeFrom - 1)
		after(time.Minute, 0, "little was moved")
		e.begin()
		work(2 * easeFrom)
		after(time.Minute, 0, "somebody is at work")
		e.end(2 * easeFrom)
		after(easeAfter-1, 0, "too early")
		after(1, 1, "at rest")
		work(3*easeFrom - 1)
		after(time.Minute, 1, "little was moved since")
		work(3 * easeFrom)
		after(easeAfter/2, 1, "too early")
		e.begin()
		after(time.Minute, 1, "work goes on")
		e.end(3 * easeFrom)
		after(easeAfter, 2, "at rest again")
		work(9 * easeFrom)
		after(easeAfter, 3, "at rest after a get")
		e.begin()
		e.scanned(easeFrom - 1)
		e.end(9 * easeFrom)
		after(time.Minute, 3, "little was read")
		e.begin()
		e.scanned(1)
		e.end(9 * easeFrom)
		after(easeAfter, 4, "at rest after a scan")
		e.begin()
		e.end(9 * easeFrom)
		after(time.Minute, 4, "what was read is not counted twice")
		work(20 * easeFrom)
		e.close()
		after(time.Minute, 4, "closed")
	})
}
