package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/shoal-p2p/shoal/node/api"
)

// barReporter draws one bar for the total of an operation, for a terminal.
type barReporter struct {
	w    io.Writer
	verb string
	out  *mpb.Progress
	bar  *mpb.Bar

	mu    sync.Mutex // guards what the drawing goroutine reads: meter and state
	meter meter
	state api.Progress
}

func newBarReporter(w io.Writer, verb string, options ...mpb.ContainerOption) *barReporter {
	r := &barReporter{w: w, verb: verb}
	// Five frames a second: the node sends four states in that time.
	r.out = mpb.New(append([]mpb.ContainerOption{mpb.WithOutput(w), mpb.WithRefreshRate(200 * time.Millisecond), mpb.WithWidth(100)}, options...)...)
	// A total of 0 keeps the bar open until end, also while the size is not known.
	r.bar = r.out.New(0, mpb.BarStyle(),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return r.head() })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return r.words() })))
	return r
}

func (r *barReporter) head() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%s %-6s ", r.verb, r.state.Phase)
}

func (r *barReporter) words() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return " " + describe(r.state, r.meter)
}

func (r *barReporter) update(now time.Time, p api.Progress) {
	r.mu.Lock()
	r.meter.update(now, p.BytesDone)
	r.state = p
	r.mu.Unlock()
	for _, sentence := range strings.Split(p.Message, "\n") {
		if sentence != "" {
			fmt.Fprintf(r.out, "%s: %s\n", r.verb, oneLine(sentence)) // mpb prints it above the bar
		}
	}
	r.bar.SetTotal(p.BytesTotal, false)
	r.bar.SetCurrent(p.BytesDone)
}

// end leaves the last state on the screen.
func (r *barReporter) end() {
	r.bar.Abort(false)
	r.out.Wait()
}
