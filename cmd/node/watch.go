package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/shoal-p2p/shoal/node/api"
)

// watchEvery is how often a status that is watched is asked for: as fast as people read.
const watchEvery = time.Second

// Escape sequences of every terminal there is.
const (
	toHome      = "\x1b[H"
	clearRight  = "\x1b[K"
	clearBelow  = "\x1b[J"
	clearScreen = "\x1b[2J"
)

// watchStatus prints the status at once and at every tick until ctx ends: over itself on a terminal, else one after the
// other.
func (a *app) watchStatus(ctx context.Context, s api.Looker, ticks <-chan time.Time) error {
	var before api.Status
	screen := isTerminal(a.stdout) && !a.opts.json && a.env("TERM") != "dumb"
	if screen {
		_, _ = io.WriteString(a.stdout, clearScreen)
	}
	for first := true; ; first = false {
		st, err := s.Status(ctx)
		if ctx.Err() != nil {
			return seedEnd(ctx)
		}
		if err != nil {
			return err
		}
		switch text := watched(before, st, first); {
		case a.opts.json:
			err = a.emit("status", st)
		case screen:
			width, height := screenSize(a.stdout)
			_, err = io.WriteString(a.stdout, frame(text, width, height))
		default:
			_, err = io.WriteString(a.stdout, text+"\n")
		}
		if err != nil {
			return err
		}
		before = st
		select {
		case <-ticks:
		case <-ctx.Done():
			return seedEnd(ctx)
		}
	}
}

// watched is a status and how fast bytes moved since the one before.
func watched(before, now api.Status, first bool) string {
	var b bytes.Buffer
	if seconds := now.UptimeSeconds - before.UptimeSeconds; !first && seconds > 0 {
		fmt.Fprintf(&b, "receiving %s/s, sending %s/s", perSecond(now.WireIn-before.WireIn, seconds), perSecond(now.WireOut-before.WireOut, seconds))
		if now.Traffic != nil {
			fmt.Fprintf(&b, ", %s not sent thanks to what was there", size(now.Traffic.Reused))
		}
		b.WriteString("\n\n")
	}
	printStatus(&b, now)
	return b.String()
}

// perSecond is a rate for people; a node that was started again has counted from zero.
func perSecond(bytes int64, seconds float64) string {
	return size(max(int64(float64(bytes)/seconds), 0))
}

// frame is what draws text over the frame before, on a terminal of so many columns and rows; none of its lines wraps, and
// the last row stays free.
func frame(text string, width, height int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > height-1 {
		lines = lines[:max(height-1, 1)]
	}
	var b strings.Builder
	b.WriteString(toHome)
	for _, line := range lines {
		if r := []rune(line); len(r) > width {
			line = string(r[:width])
		}
		b.WriteString(line + clearRight + "\n")
	}
	b.WriteString(clearBelow)
	return b.String()
}

// screenSize is that of the terminal that w is; one that does not say is as small as they come.
func screenSize(w any) (width, height int) {
	if c, ok := w.(*checkedWriter); ok {
		w = c.w
	}
	if f, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}
