package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
)

func TestWatched(t *testing.T) {
	before := api.Status{PeerID: "p", UptimeSeconds: 10, WireIn: 1000, WireOut: 5 << 20}
	now := api.Status{PeerID: "p", UptimeSeconds: 12, WireIn: 1000 + 4096, WireOut: 1, Traffic: &api.Traffic{Reused: 3 << 20}}
	if text := watched(api.Status{}, now, true); strings.Contains(text, "receiving") || !strings.HasPrefix(text, "peer ") {
		t.Errorf("the first: %s", text)
	}
	// The node was started again in between: it has sent less than before.
	if text := watched(before, now, false); !strings.HasPrefix(text, "receiving 2.0 KiB/s, sending 0 B/s, 3.0 MiB not sent thanks to what was there\n\npeer ") {
		t.Errorf("the second: %s", text)
	}
	if text := watched(now, before, false); strings.Contains(text, "receiving") {
		t.Errorf("time went back: %s", text)
	}
}

// A frame never scrolls the terminal: it has fewer rows than the terminal, and none is wider.
func TestFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringMatching(`[a-zü ]{0,30}`)).Draw(t, "lines")
		width, height := rapid.IntRange(1, 20).Draw(t, "width"), rapid.IntRange(2, 10).Draw(t, "height")
		out := frame(strings.Join(lines, "\n")+"\n", width, height)
		body, ok := strings.CutPrefix(out, toHome)
		body, end := strings.CutSuffix(body, clearBelow)
		if !ok || !end {
			t.Fatalf("%q", out)
		}
		rows := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
		if len(rows) != max(1, min(len(lines), height-1)) {
			t.Fatalf("%d rows of %d lines", len(rows), len(lines))
		}
		for i, row := range rows {
			text, ok := strings.CutSuffix(row, clearRight)
			if !ok || len([]rune(text)) > width || len(lines) > 0 && !strings.HasPrefix(lines[i], text) {
				t.Fatalf("row %q", row)
			}
		}
	})
}

// statuses answers with one status after the other, then with an error.
type statuses struct {
	api.Looker
	left []api.Status
	last error
}

func (s *statuses) Status(context.Context) (api.Status, error) {
	if len(s.left) == 0 {
		return api.Status{}, s.last
	}
	st := s.left[0]
	s.left = s.left[1:]
	return st, nil
}

func TestWatchStatusEnds(t *testing.T) {
	ticks := make(chan time.Time, 2)
	ticks <- time.Time{}
	ticks <- time.Time{}
	var out bytes.Buffer
	a := &app{process: process{stdout: &out}, opts: globals{json: true}}
	gone := errors.New("gone")
	s := &statuses{left: []api.Status{{PeerID: "a"}, {PeerID: "b"}}, last: gone}
	if err := a.watchStatus(t.Context(), s, ticks); !errors.Is(err, gone) || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("%v: %s", err, &out)
	}
	out.Reset()
	a.opts.json = false
	s.left = []api.Status{{PeerID: "a"}}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errStopped)
	if err := a.watchStatus(ctx, s, nil); err != nil || out.Len() > 0 {
		t.Errorf("told to end: %v, %s", err, &out)
	}
}
