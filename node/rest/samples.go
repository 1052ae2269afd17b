package rest

import (
	"time"
)

const (
	// sampleEvery and maxSamples are what a chart shows: the last quarter of an hour, at a point for every other second.
	sampleEvery = 2 * time.Second
	maxSamples  = 450
)

// Moved is how many bytes came and went since the node began, and how many did not have to.
type Moved struct{ In, Out, Saved int64 }

// Sample is what moved since the sample before.
type Sample struct {
	T     float64 `json:"t" doc:"seconds since 1970"`
	In    int64   `json:"in" doc:"bytes received since the sample before"`
	Out   int64   `json:"out" doc:"bytes sent since then"`
	Saved int64   `json:"saved" doc:"bytes of new revisions that were here, or were made of patches"`
}

// samples are the newest, in order. It has no clock; its caller serialises.
type samples struct {
	kept []Sample
	last Moved
}

// add takes what moved until now; what moved before the first is told by none.
func (s *samples) add(now time.Time, m Moved) {
	next := Sample{T: float64(now.UnixMilli()) / 1000}
	if len(s.kept) > 0 {
		next.In, next.Out, next.Saved = m.In-s.last.In, m.Out-s.last.Out, m.Saved-s.last.Saved
	}
	s.last = m
	if len(s.kept) == maxSamples {
		s.kept = s.kept[:copy(s.kept, s.kept[1:])]
	}
	s.kept = append(s.kept, next)
}

// sample reads what moved for as long as the API is open.
func (a *API) sample() {
	ticks := time.NewTicker(sampleEvery)
	defer ticks.Stop()
	for {
		m := a.opts.Moved()
		a.mu.Lock()
		a.samples.add(a.opts.Now(), m)
		a.mu.Unlock()
		select {
		case <-ticks.C:
		case <-a.base.Done():
			return
		}
	}
}
