//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// report is what a case found.
type report struct {
	figures []*figure // in the order of their first sample
	notes   []string
	broken  []string // invariants
}

// figure is a series of times with the bars it is to meet; a bar of 0 is none.
type figure struct {
	name          string
	p50, p99, max time.Duration
	samples       []time.Duration
}

// figure finds or makes one by its name.
func (r *report) figure(name string, p50, p99, most time.Duration) *figure {
	for _, f := range r.figures {
		if f.name == name {
			return f
		}
	}
	f := &figure{name: name, p50: p50, p99: p99, max: most}
	r.figures = append(r.figures, f)
	return f
}

func (f *figure) add(d time.Duration) { f.samples = append(f.samples, d) }

// at is the smallest sample that is not below a share of all samples (the nearest rank).
func (f *figure) at(share float64) time.Duration {
	sorted := slices.Sorted(slices.Values(f.samples))
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}

func (f *figure) print() {
	if len(f.samples) == 0 {
		fmt.Printf("  %-64s no sample\n", f.name)
		return
	}
	p50, p99, most := f.at(0.5), f.at(0.99), slices.Max(f.samples)
	fmt.Printf("  %-64s n %3d  p50 %6.3f  p99 %6.3f  max %6.3f s%s\n", f.name, len(f.samples), p50.Seconds(), p99.Seconds(), most.Seconds(),
		verdict("p50", p50, f.p50)+verdict("p99", p99, f.p99)+verdict("max", most, f.max))
}

func verdict(name string, got, bar time.Duration) string {
	switch {
	case bar == 0:
		return ""
	case got <= bar:
		return fmt.Sprintf("; %s <= %v met", name, bar)
	}
	return fmt.Sprintf("; %s <= %v MISSED", name, bar)
}

// note adds a line to the figures.
func (r *report) note(format string, a ...any) { r.notes = append(r.notes, fmt.Sprintf(format, a...)) }

// bar notes a figure that is not a time.
func (r *report) bar(met bool, format string, a ...any) {
	word := "met"
	if !met {
		word = "MISSED"
	}
	r.note("%s: %s", fmt.Sprintf(format, a...), word)
}

// broke says that an invariant broke, at once and in the summary.
func (r *report) broke(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	r.broken = append(r.broken, text)
	fmt.Println("  BROKEN:", text)
}

func (r *report) print(took time.Duration) {
	for _, f := range r.figures {
		f.print()
	}
	for _, n := range r.notes {
		fmt.Println(" ", n)
	}
	fmt.Printf("  %d invariants broken, %.0f s\n", len(r.broken), took.Seconds())
}
