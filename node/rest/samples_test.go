package rest

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2/sse"
	"pgregory.net/rapid"
)

// The newest quarter of an hour is kept, in order, and adds up to what moved in it.
func TestSamples(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s samples
		var m, first Moved
		now := time.Unix(1_700_000_000, 0)
		n := rapid.IntRange(1, 2*maxSamples).Draw(t, "samples")
		for i := range n {
			m = Moved{m.In + int64(i%7), m.Out + int64(i%5), m.Saved + int64(i%3)}
			if i == max(0, n-maxSamples) {
				first = m
			}
			now = now.Add(sampleEvery)
			s.add(now, m)
		}
		if len(s.kept) != min(n, maxSamples) || s.kept[len(s.kept)-1].T != float64(now.Unix()) {
			t.Fatalf("%d of %d are kept", len(s.kept), n)
		}
		var sum Moved
		for _, one := range s.kept[1:] {
			sum = Moved{sum.In + one.In, sum.Out + one.Out, sum.Saved + one.Saved}
		}
		if sum != (Moved{m.In - first.In, m.Out - first.Out, m.Saved - first.Saved}) {
			t.Fatalf("%+v moved after %+v, the samples say %+v", m, first, sum)
		}
	})
}

// A page that is opened knows what moved before.
func TestSnapshotHasSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var moved atomic.Int64
		f := &fake{heard: make(chan struct{})}
		a := New(f, Options{Moved: func() Moved { n := moved.Add(10); return Moved{n, 2 * n, 3 * n} }})
		time.Sleep(5 * sampleEvery / 2) // of the bubble
		var first Snapshot
		v := viewer{send: func(m sse.Message) error { first = m.Data.(Snapshot); return nil }}
		if err := v.first(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if k := first.Samples; len(k) != 3 || k[0].In != 0 || k[2].In != 10 || k[2].Out != 20 || k[2].Saved != 30 || k[2].T-k[1].T != 2 {
			t.Errorf("%+v", k)
		}
		a.Close()
	})
}
