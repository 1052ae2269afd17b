package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// reporter shows the progress of one operation; its methods are called by one goroutine at a time.
type reporter interface {
	update(now time.Time, p api.Progress)
	end() // the operation is over, well or not; nothing is drawn any more
}

// progress gives the callback for an operation of verb, and the end to call after it.
func (a *app) progress(verb string) (update func(api.Progress), end func()) {
	r := a.reporter(verb)
	return func(p api.Progress) { r.update(time.Now(), p) }, r.end
}

func (a *app) reporter(verb string) reporter {
	switch chooseProgress(a.opts, isTerminal(a.stderr) && a.env("TERM") != "dumb") {
	case "bar":
		return newBarReporter(a.stderr, verb)
	case "plain":
		return &plainReporter{w: a.stderr, verb: verb}
	case "json":
		w := a.stderr
		if a.opts.json {
			w = a.stdout
		}
		return &jsonReporter{w: w}
	default:
		return noReporter{}
	}
}

// chooseProgress resolves auto: a bar for people, lines for logs, objects for scripts.
func chooseProgress(o globals, terminal bool) string {
	switch {
	case o.progress != "auto":
		return o.progress
	case o.json:
		return "json"
	case o.quiet:
		return "none"
	case terminal:
		return "bar"
	default:
		return "plain"
	}
}

type noReporter struct{}

func (noReporter) update(time.Time, api.Progress) {}
func (noReporter) end()                           {}

// jsonReporter writes at most two objects a second; a sentence or another phase is never left out.
type jsonReporter struct {
	w     io.Writer
	last  time.Time
	phase string
}

func (r *jsonReporter) update(now time.Time, p api.Progress) {
	const every = 500 * time.Millisecond
	if now.Sub(r.last) < every && p.Message == "" && p.Phase == r.phase {
		return
	}
	r.last, r.phase = now, p.Phase
	if line, err := api.Line("progress", p); err == nil {
		_, _ = r.w.Write(line) // the result will meet the same broken pipe
	}
}

func (r *jsonReporter) end() {}

// meter follows the rate of an operation: an exponential mean over about two seconds, short enough to
// notice a stall and long enough not to jump.
type meter struct {
	start time.Time
	at    time.Time
	done  int64
	rate  float64 // bytes a second
}

func (m *meter) update(now time.Time, done int64) {
	const window = 2.0 // seconds
	dt := now.Sub(m.at).Seconds()
	if m.at.IsZero() || done < m.done {
		*m = meter{start: now, at: now, done: done} // a new phase counts from its own start
		return
	}
	if dt <= 0 {
		return
	}
	weight := dt / min(window, now.Sub(m.start).Seconds()) // the plain mean at first
	weight = min(1, weight)
	m.rate += weight * (float64(done-m.done)/dt - m.rate)
	m.at, m.done = now, done
}

// left is the time to go, or 0 when it cannot be told.
func (m *meter) left(total int64) time.Duration {
	const sensible = 100 * time.Hour // beyond it a number tells nobody anything
	if m.rate < 1 || total <= m.done {
		return 0
	}
	seconds := float64(total-m.done) / m.rate
	if seconds > sensible.Seconds() {
		return 0
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second)
}

// describe is one state in words: amounts first, then percent, rate, time to go and sources.
func describe(p api.Progress, m meter) string {
	var parts []string
	amount := size(p.BytesDone)
	if p.BytesTotal > 0 {
		amount = fmt.Sprintf("%s of %s (%d %%)", amount, size(p.BytesTotal), percent(p))
	}
	parts = append(parts, amount)
	if m.rate >= 1 && p.BytesDone != p.BytesTotal {
		parts = append(parts, size(int64(m.rate))+"/s")
	}
	if left := m.left(p.BytesTotal); left > 0 {
		parts = append(parts, left.String()+" left")
	}
	if p.Files > 0 {
		parts = append(parts, count(p.Files, "file"))
	}
	if p.Sources > 0 {
		parts = append(parts, count(p.Sources, "source"))
	}
	return strings.Join(parts, ", ")
}

func percent(p api.Progress) int64 {
	if p.BytesTotal <= 0 {
		return 0
	}
	return int64(float64(min(p.BytesDone, p.BytesTotal)) / float64(p.BytesTotal) * 100)
}

// plainReporter prints lines for a log: the first state, then one every 10 s or 10 %, whichever is
// later, then the last.
type plainReporter struct {
	w    io.Writer
	verb string

	meter   meter
	newest  api.Progress
	shown   api.Progress
	at      time.Time
	started bool
}

func (r *plainReporter) update(now time.Time, p api.Progress) {
	r.meter.update(now, p.BytesDone)
	for _, sentence := range strings.Split(p.Message, "\n") {
		if sentence != "" {
			fmt.Fprintf(r.w, "%s: %s\n", r.verb, oneLine(sentence))
		}
	}
	p.Message = ""
	r.newest = p
	if r.started && !r.due(now, p) {
		return
	}
	r.started, r.at = true, now
	r.print(p)
}

func (r *plainReporter) due(now time.Time, p api.Progress) bool {
	const every, step = 10 * time.Second, 10 // percent
	if now.Sub(r.at) < every {
		return false
	}
	return p.BytesTotal == 0 || p.Phase != r.shown.Phase || percent(p)-percent(r.shown) >= step
}

func (r *plainReporter) print(p api.Progress) {
	r.shown = p
	fmt.Fprintf(r.w, "%s: %s %s\n", r.verb, p.Phase, describe(p, r.meter))
}

func (r *plainReporter) end() {
	if r.started && r.newest != r.shown {
		r.print(r.newest)
	}
}
