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
		var spare atomic.Int64
		e := &ease{give: func() { given.Add(1); spare.Store(0) }, spare: spare.Load}
		work := func(bytes int64) {
			e.begin()
			spare.Add(bytes)
			e.end()
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
		after(time.Minute, 0, "there is little to give back")
		e.begin()
		work(easeFrom)
		after(time.Minute, 0, "somebody is at work")
		e.end()
		after(easeAfter-1, 0, "too early")
		after(1, 1, "at rest")
		spare.Store(easeFrom)
		after(easeEvery-1, 1, "too early to look again")
		after(1, 2, "there is something again")
		given.Store(1)
		work(easeFrom - 1)
		after(time.Minute, 1, "there is little to give back again")
		work(1)
		after(easeAfter/2, 1, "too early")
		e.begin()
		after(time.Minute, 1, "work goes on")
		e.end()
		after(easeAfter, 2, "at rest again")
		work(easeFrom)
		e.close()
		after(time.Minute, 2, "closed")
	})
}

// What was in use and is not any more is there to give back, and gone afterwards.
func TestSpareMemory(t *testing.T) {
	giveBack()
	before := spareMemory()
	const size = 4 * easeFrom
	last := byte(0)
	for range 4 { // in one piece it would be the system's at once
		b := make([]byte, size/4)
		for i := range b {
			b[i] = byte(i)
		}
		last += b[len(b)-1]
	}
	if spare := spareMemory(); spare < before+easeFrom {
		t.Errorf("%d bytes to give back after %d were dropped (%d), %d before", spare, size, last, before)
	}
	giveBack()
	if spare := spareMemory(); spare > before+easeFrom {
		t.Errorf("%d bytes to give back after they were given back, %d before", spare, before)
	}
}
