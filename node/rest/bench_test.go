package rest

import (
	"testing"

	"github.com/shoal-p2p/shoal/node/api"
)

// What a node pays at its start.
func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		a := New(&fake{heard: make(chan struct{})}, Options{})
		a.Close()
	}
}

// What a page of a thousand sets costs.
func BenchmarkSets(b *testing.B) {
	a := serve(b, &fake{sets: manySets(1000)}, Options{})
	b.ReportAllocs()
	for b.Loop() {
		call(b, a, "GET", prefix+"/sets?limit=100", "")
	}
}

// What an open stream costs at every look, with a thousand sets of which one has changed.
func BenchmarkChange(b *testing.B) {
	before, now := api.Status{Sets: manySets(1000)}, api.Status{Sets: manySets(1000)}
	now.Sets[500].Revision++
	b.ReportAllocs()
	for b.Loop() {
		if c, changed := changeOf(before, now); !changed || len(c.Sets) != 1 {
			b.Fatal(c)
		}
	}
}
