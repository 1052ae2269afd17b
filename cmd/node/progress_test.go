package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
)

func TestPlainReporter(t *testing.T) {
	const mib = 1 << 20
	var out bytes.Buffer
	r := &plainReporter{w: &out, verb: "get"}
	t0 := time.Unix(1000, 0)
	for _, s := range []struct {
		at   int // seconds
		done int64
		msg  string
	}{
		{0, 0, ""},
		{1, 30 * mib, ""},                      // 30 %, but 1 s
		{10, 31 * mib, ""},                     // both
		{21, 32 * mib, "a peer left\x1b[2J"},   // 10 s, but 1 %
		{40, 45 * mib, ""},                     // both
		{41, 100 * mib, "two words\nand more"}, // only the end shows it
	} {
		r.update(t0.Add(time.Duration(s.at)*time.Second), api.Progress{Phase: "fetch", BytesDone: s.done, BytesTotal: 100 * mib, Sources: 2, Message: s.msg})
	}
	r.end()
	want := []string{
		"get: fetch 0 B of 100 MiB (0 %), 2 sources",
		"get: fetch 31 MiB of 100 MiB (31 %), 114 KiB/s, 10m21s left, 2 sources",
		`get: "a peer left\x1b[2J"`,
		"get: fetch 45 MiB of 100 MiB (45 %), 701 KiB/s, 1m20s left, 2 sources",
		"get: two words",
		"get: and more",
		"get: fetch 100 MiB of 100 MiB (100 %), 2 sources",
	}
	if got := strings.Split(strings.TrimSpace(out.String()), "\n"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Whatever the node sends, a log gets at most a line in 10 s, plus the first and the last.
func TestPlainReporterNeverFloods(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		r := &plainReporter{w: &out, verb: "get"}
		now := time.Unix(0, 0)
		for range rapid.IntRange(1, 200).Draw(t, "states") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			r.update(now, api.Progress{Phase: "fetch", BytesDone: rapid.Int64Range(-1, 1<<40).Draw(t, "done"), BytesTotal: rapid.Int64Range(0, 1<<40).Draw(t, "total")})
		}
		r.end()
		if got, most := strings.Count(out.String(), "\n"), int(now.Unix()/10)+2; got > most {
			t.Fatalf("%d lines in %d s", got, now.Unix())
		}
	})
}

func TestJSONReporterPace(t *testing.T) {
	var out bytes.Buffer
	r := &jsonReporter{w: &out}
	t0 := time.Unix(1000, 0)
	for ms := 0; ms < 2000; ms += 50 {
		r.update(t0.Add(time.Duration(ms)*time.Millisecond), api.Progress{Phase: "fetch", BytesDone: int64(ms)})
	}
	if got := strings.Count(out.String(), "\n"); got != 4 {
		t.Errorf("%d objects in 2 s, want 4", got)
	}
	out.Reset()
	r.update(t0.Add(2*time.Second), api.Progress{Phase: "fetch"})
	r.update(t0.Add(2*time.Second), api.Progress{Phase: "finish"})
	if !strings.HasSuffix(out.String(), `{"type":"progress","v":1,"phase":"finish","bytes_done":0,"bytes_total":0,"files":0,"sources":0}`+"\n") {
		t.Errorf("a new phase was left out: %s", out.String())
	}
}

func TestBarEndsAndShowsTheLastState(t *testing.T) {
	var out bytes.Buffer
	r := newBarReporter(&out, "get", mpb.WithAutoRefresh())
	r.update(time.Unix(1, 0), api.Progress{Phase: "find"})
	r.update(time.Unix(2, 0), api.Progress{Phase: "fetch", BytesDone: 50 << 20, BytesTotal: 100 << 20, Sources: 3, Message: "hello"})
	r.end()
	for _, want := range []string{"get fetch", "50 MiB of 100 MiB (50 %)", "3 sources", "get: hello"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
}

func TestChooseProgress(t *testing.T) {
	for _, tt := range []struct {
		opts     globals
		terminal bool
		want     string
	}{
		{globals{progress: "auto"}, true, "bar"},
		{globals{progress: "auto"}, false, "plain"},
		{globals{progress: "auto", json: true}, true, "json"},
		{globals{progress: "auto", quiet: true}, true, "none"},
		{globals{progress: "plain", json: true}, true, "plain"},
		{globals{progress: "none"}, true, "none"},
	} {
		if got := chooseProgress(tt.opts, tt.terminal); got != tt.want {
			t.Errorf("%+v terminal %v: %s, want %s", tt.opts, tt.terminal, got, tt.want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	word := rapid.StringMatching(`[a-c]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if got, want := editDistance(a, b), slowDistance(a, b); got != want {
			t.Fatalf("%q %q: %d, want %d", a, b, got, want)
		}
	})
}

// slowDistance is the definition.
func slowDistance(a, b string) int {
	switch {
	case a == "":
		return len(b)
	case b == "":
		return len(a)
	case a[0] == b[0]:
		return slowDistance(a[1:], b[1:])
	}
	return 1 + min(slowDistance(a[1:], b), slowDistance(a, b[1:]), slowDistance(a[1:], b[1:]))
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "5MB/s": 5e6, "5MiB": 5 << 20, " 1k ": 1000} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: %d %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "fast", "-1", "5 MB/h", "99999999EiB"} {
		if n, err := parseSize(text); err == nil {
			t.Errorf("%q: %d, want an error", text, n)
		}
	}
}
