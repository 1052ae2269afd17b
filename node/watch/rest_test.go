package watch

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var names = map[string]event{
	"started": started, "change": changes, "overflow": overflowed, "gone": gone, "back": back, "done": succeeded, "failed": failed,
}

// play gives rest the events of a script, each "seconds event", rings its clock, and tells every call as
// "seconds reason". It plays until the given second.
func play(r *rest, script string, until float64) (calls []string) {
	at := func(s float64) time.Time { return time.Unix(1e9, 0).Add(time.Duration(s * float64(time.Second))) }
	step := func(now time.Time, e event) {
		if a := r.step(now, e); a.call != "" {
			calls = append(calls, fmt.Sprintf("%g %s", now.Sub(at(0)).Seconds(), a.call))
		}
	}
	ring := func(until time.Time) {
		for !r.wake.IsZero() && !r.wake.After(until) {
			step(r.wake, ticked)
		}
	}
	for line := range strings.FieldsFuncSeq(script, func(r rune) bool { return r == ',' }) {
		var s float64
		var name string
		if _, err := fmt.Sscan(line, &s, &name); err != nil {
			panic(err)
		}
		ring(at(s))
		step(at(s), names[name])
	}
	ring(at(until))
	return calls
}

func TestRest(t *testing.T) {
	for _, test := range []struct {
		name, script string
		until        float64
		want         string
	}{
		{"the first call is made at once", "0 started", 100, "0 start"},
		{"a change waits for rest", "0 started, 1 done, 10 change, 11 change, 12.5 change", 100, "0 start, 14.5 changed"},
		{"but not for ever", "0 started, 1 done, 10 change, 11 change, 12 change, 13 change, 14 change, 15 change, 16 change, 17 change, " +
			"18 change, 19 change, 20 change, 21 change, 22 change, 23 change, 24 change, 25 change, 26 change, 27 change, 28 change, " +
			"29 change, 29.5 change, 31 change", 30.5, "0 start, 30 changed"},
		{"what changes during a call leads to another", "0 started, 1 change, 9 done", 100, "0 start, 9 changed"},
		{"and waits for rest again", "0 started, 8 change, 9 done", 100, "0 start, 10 changed"},
		{"nothing is called during a call", "0 started, 1 change, 2 overflow", 9000, "0 start"},
		{"in the end all is looked through", "0 started, 1 done", 3601, "0 start, 3601 rescan"},
		{"a rescan takes in what changed", "0 started, 1 done, 3600 change", 3605, "0 start, 3601 rescan"},
		{"lost reports lead to a call at once", "0 started, 1 done, 10 overflow", 100, "0 start, 10 overflow"},
		{"but not always", "0 started, 1 done, 1.5 overflow, 3 done, 3.1 overflow", 100, "0 start, 3 overflow, 5 overflow"},
		{"a folder that is never at rest takes half of the time",
			"0 started, 30 done, 30 overflow", 100, "0 start, 60 overflow"},
		{"a call that failed is made again, and again",
			"0 started, 1 failed, 32 failed, 93 failed, 214 done", 215, "0 start, 31 rescan, 92 rescan, 213 rescan"},
		{"or when something changes", "0 started, 1 failed, 5 change", 10, "0 start, 7 changed"},
		{"success ends that", "0 started, 1 failed, 32 done", 3631, "0 start, 31 rescan"},
		{"a folder that is gone is left alone", "0 started, 1 done, 2 change, 3 gone", 9000, "0 start"},
		{"until it is back", "0 started, 1 done, 3 gone, 100 back", 200, "0 start, 102 changed"},
		{"it may go during a call", "0 started, 1 gone, 2 failed, 100 back, 101 change", 200, "0 start, 103 changed"},
		{"or before the first", "0 gone, 0 started, 50 back", 100, "50 start"},
	} {
		r := &rest{debounce: 2 * time.Second, maxDelay: 20 * time.Second, rescan: time.Hour, poll: time.Second}
		if got := strings.Join(play(r, test.script, test.until), ", "); got != test.want {
			t.Errorf("%s: %q became %q instead of %q", test.name, test.script, got, test.want)
		}
	}
}

func TestRestBlind(t *testing.T) {
	r := &rest{debounce: 2 * time.Second, maxDelay: 20 * time.Second, rescan: time.Hour, poll: time.Second, blind: true}
	want := []string{"0 start", "31 rescan", "62 rescan"}
	if got := play(r, "0 started, 1 done, 32 done", 70); !reflect.DeepEqual(got, want) {
		t.Errorf("%q instead of %q", got, want)
	}
}

// Whatever happens, at most one call is going on, none while the folder is gone, no change waits longer than it
// may, and none that could still be at rest is called for early.
func TestRestAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &rest{debounce: 2 * time.Second, maxDelay: 20 * time.Second, rescan: time.Hour, poll: time.Second}
		now := time.Unix(1e9, 0)
		var first, last time.Time // changes that no call has begun after
		var running, absent bool
		took, began := time.Duration(0), now
		var over time.Time
		step := func(e event) {
			a := r.step(now, e)
			if a.call == "" {
				if !running && r.wake.IsZero() {
					t.Fatal("neither a call nor a clock")
				}
				return
			}
			if running || absent {
				t.Fatalf("call %q: another is going on: %v; the folder is gone: %v", a.call, running, absent)
			}
			if a.call == Changed && now.Before(last.Add(r.debounce)) && now.Before(first.Add(r.maxDelay)) {
				t.Fatalf("called %v after the last, %v after the first change", now.Sub(last), now.Sub(first))
			}
			first, last, running, began = time.Time{}, time.Time{}, true, now
		}
		step(started)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			to := now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			for !running && !r.wake.IsZero() && !r.wake.After(to) {
				now = later(now, r.wake)
				step(ticked)
			}
			now = to
			if !first.IsZero() && !running && !absent {
				if limit := later(first.Add(r.maxDelay), over.Add(took)); now.After(limit) {
					t.Fatalf("a change waits for %v, the last call ended %v ago", now.Sub(first), now.Sub(over))
				}
			}
			switch k := rapid.IntRange(0, 9).Draw(t, "event"); {
			case k < 5:
				if first.IsZero() {
					first = now
				}
				last = now
				step(changes)
			case k == 5:
				step(overflowed)
			case k == 6 && !absent:
				absent = true
				step(gone)
			case k == 7 && absent:
				absent = false
				if first.IsZero() {
					first = now
				}
				last = now
				// The time while it was gone does not count.
				over = now
				step(back)
			case running:
				running, took, over = false, now.Sub(began), now
				step([]event{succeeded, failed}[k%2])
			}
		}
	})
}
