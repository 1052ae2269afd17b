package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
)

// A running node follows and watches on behalf of commands that return at once; events show what it does.
func TestARunningNodeFollowsAndWatches(t *testing.T) {
	w := newWorld(t)
	run := w.start("run")
	run.err.await(t, `"msg":"ready"`)

	share := w.start("share", "--watch", w.data())
	share.err.await(t, "the running node publishes what changes")
	share.finish(t, 0)
	all, one := w.start("events"), w.start("events", "data")
	all.err.await(t, "listening; Ctrl-C stops")
	one.err.await(t, "listening; Ctrl-C stops")
	wait := w.start("follow", "--wait", "shoal1data", filepath.Join(w.home, "kept"))
	wait.err.await(t, "got data revision 2")
	wait.signals <- os.Interrupt
	wait.finish(t, 0)
	hand := w.start("follow", "--json", "shoal1data", filepath.Join(w.home, "kept"))
	hand.finish(t, 0)
	if got := hand.out.String(); !strings.HasSuffix(got, `"name":"data","dest":"`+filepath.Join(w.home, "kept")+`","following":true}`+"\n") {
		t.Errorf("follow printed %s", got)
	}
	one.signals <- os.Interrupt
	one.finish(t, 0) // Ctrl-C is the way to end it

	stop := w.start("stop")
	stop.finish(t, 0)
	run.finish(t, 0)
	all.finish(t, api.ExitNeedsNode)
	for what, want := range map[string]int{" available data revision 1\n": 2, " complete data revision 2: 100 MiB in 1 file": 2, " failed data revision 2: a peer; left\n": 2, "other": 2, "progress": 0} {
		if got := strings.Count(all.out.String(), what); got != want {
			t.Errorf("%q is %d times in the events, want %d:\n%s", what, got, want, all.out)
		}
	}
	if strings.Contains(one.out.String(), "other") {
		t.Errorf("events of another set:\n%s", one.out)
	}
}

func TestFollowEndsBySignal(t *testing.T) {
	for _, tt := range []struct {
		name, env, await string
		signal           os.Signal
		want             int
	}{
		{"complete", "", "got data revision 2", os.Interrupt, 0},
		{"files were left out", "FAKE_SKIP=1", "skipped", syscall.SIGTERM, api.ExitPartial},
		{"nothing is complete, SIGINT", "FAKE_QUIET=1", "following data", os.Interrupt, api.ExitInterrupted},
		{"nothing is complete, SIGTERM", "FAKE_QUIET=1", "following data", syscall.SIGTERM, api.ExitTerminated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.env)
			c := w.start("follow", "shoal1data", filepath.Join(w.home, "kept"))
			c.err.await(t, tt.await)
			c.signals <- tt.signal
			c.finish(t, tt.want)
		})
	}
}

// Commands that live on another command's node go on, and host, when that one ends.
func TestFollowAndWatchOutliveTheirHost(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		stays string
	}{
		{[]string{"follow", "shoal1data", "kept"}, "got data revision 2"},
		{[]string{"share", "--watch", "DATA"}, "published data revision 2"},
	} {
		w := newWorld(t, "FAKE_BLOCK="+os.DevNull)
		for i, arg := range tt.args {
			if arg == "DATA" {
				tt.args[i] = w.data()
			}
		}
		get := w.start("get", "shoal1data")
		get.err.await(t, "get: fetch")
		c := w.start(tt.args...)
		c.err.await(t, tt.stays)
		get.signals <- os.Interrupt
		get.finish(t, api.ExitInterrupted)
		c.err.await(t, "starting over")
		c.err.await(t, tt.stays)
		c.signals <- os.Interrupt
		c.finish(t, 0)
	}
}

func TestCompletionOffersTheSetsOfARunningNode(t *testing.T) {
	w := newWorld(t)
	complete := func() string {
		c := w.start("__complete", "diff", "")
		c.finish(t, 0)
		return c.out.String()
	}
	if got := complete(); got != ":0\n" {
		t.Errorf("without a node: %q", got)
	}
	run := w.start("run")
	run.err.await(t, `"msg":"ready"`)
	share := w.start("share", w.data())
	share.finish(t, 0)
	if got := complete(); got != "data\tshared, revision 1\n:0\n" {
		t.Errorf("with a node: %q", got)
	}
	run.signals <- os.Interrupt
	run.finish(t, 0)
}

// A part is never said to be all or nothing, and what is said is not far off.
func TestFraction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.Int64Range(1, 1<<50).Draw(t, "whole")
		part := rapid.Int64Range(0, whole).Draw(t, "part")
		if rapid.Bool().Draw(t, "near an end") {
			part = min(whole, rapid.Int64Range(0, 100).Draw(t, "few"))
			if rapid.Bool().Draw(t, "the upper") {
				part = whole - part
			}
		}
		got := fraction(part, whole)
		number, ok := strings.CutSuffix(got, " %")
		if !ok {
			t.Fatalf("%q", got)
		}
		if (number == "100") != (part == whole) || (number == "0") != (part == 0) {
			t.Fatalf("%d of %d is %q", part, whole, got)
		}
		exact := float64(part) / float64(whole) * 100
		if n, err := strconv.ParseFloat(number, 64); err == nil && (n-exact > 0.5 || exact-n > 0.5) {
			t.Fatalf("%d of %d is %q", part, whole, got)
		}
	})
}

func TestFractionHasTheDigitsItNeeds(t *testing.T) {
	for _, tt := range []struct {
		part, whole int64
		want        string
	}{
		{0, 0, "100 %"}, {1, 2, "50 %"}, {999, 1000, "99.9 %"}, {1<<30 - 4096, 1 << 30, "99.9996 %"},
		{1, 1000, "0.1 %"}, {1, 1 << 40, "under 0.000001 %"}, {1<<40 - 1, 1 << 40, "over 99.999999 %"},
	} {
		if got := fraction(tt.part, tt.whole); got != tt.want {
			t.Errorf("%d of %d: %s, want %s", tt.part, tt.whole, got, tt.want)
		}
	}
}

func TestHistoryTellsWhen(t *testing.T) {
	now := time.Date(2026, 1, 2, 6, 4, 5, 0, time.UTC)
	res := api.HistoryResult{Revisions: []api.Revision{{Revision: 2, Time: fakeTime}, {Revision: 1, Time: "later\x1b"}}}
	var b bytes.Buffer
	printHistory(&b, res, now, false)
	if got := b.String(); !strings.Contains(got, "3 hours ago") || !strings.Contains(got, `"later\x1b"`) {
		t.Error(got)
	}
	b.Reset()
	printHistory(&b, res, now, true)
	if got := b.String(); !strings.Contains(got, fakeTime) {
		t.Error(got)
	}
}

// Whatever a stranger calls a file, a change and an event are one printable line each.
func TestChangesAndEventsAreOneLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a\n\r\x1b\x{202e}]*`))
		ops := rapid.SampledFrom([]string{api.OpAdded, api.OpRemoved, api.OpModified, api.OpAttr, api.OpRenamed, api.OpRetyped, "later"})
		lines := []string{
			changeLine(api.Change{Op: ops.Draw(t, "op"), Path: text.Draw(t, "path"), From: text.Draw(t, "from"),
				Bytes: rapid.Int64Min(0).Draw(t, "bytes"), Entries: rapid.IntRange(1, 9).Draw(t, "entries")}),
			eventLine(api.Event{Kind: text.Draw(t, "kind"), Set: text.Draw(t, "set"), Name: text.Draw(t, "name"), Detail: text.Draw(t, "detail")}),
		}
		for _, line := range lines {
			for _, r := range line {
				if r < ' ' || r == '\u202e' {
					t.Fatalf("%U in %q", r, line)
				}
			}
		}
	})
}

func TestNotesThatNobodyCanHaveMeant(t *testing.T) {
	for note, good := range map[string]bool{
		"": true, "two\nlines\tand a tab": true, "ünï": true, strings.Repeat("x", 1024): true,
		strings.Repeat("x", 1025): false, "\xff": false, "\x1b[2J": false, "\u0085": false,
	} {
		var e *api.Error
		err := checkNote(note)
		if (err == nil) != good || err != nil && (!errors.As(err, &e) || e.ExitCode != api.ExitUsage) {
			t.Errorf("%.20q: %v", note, err)
		}
	}
}

// A node that was lost is followed by another one that finds all complete: that is no second result.
func TestARevisionIsPrintedOnce(t *testing.T) {
	var out bytes.Buffer
	f := follower{app: &app{process: process{name: "node", stdout: &out, stderr: io.Discard}}}
	for _, e := range []struct {
		rev     uint64
		changed bool
	}{{1, true}, {1, false}, {2, true}, {2, true}} {
		if err := f.event(api.Event{Kind: api.EventComplete, Result: &api.GetResult{Revision: e.rev, Changed: e.changed, Dest: "/d"}}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := out.String(), "revision 1 in /d\nrevision 2 in /d\nrevision 2 in /d\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
