//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// followRounds are enough to tell a median from luck; each is a second or two.
const followRounds = 7

// follow: how long after a publish a follower's folder has the revision, in nodes that run.
func (b *bench) follow(ctx context.Context) error {
	big := edits(b.size)[1]
	for _, e := range []edit{
		{name: "10,000 files, one rewritten, one added", make: smallFiles(10_000), change: oneOfMany},
		big,
	} {
		if err := b.following(ctx, e); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

// oneOfMany rewrites one small file and adds another.
func oneOfMany(dir string, round int) (int64, error) {
	for _, path := range []string{small(dir, 50, round), filepath.Join(dir, fmt.Sprintf("new-%d", round))} {
		if err := writeRandom(path, 5_000, freshSeed()); err != nil {
			return 0, err
		}
	}
	return 10_000, nil
}

// lag is what one round took.
type lag struct {
	publish, inside   float64 // seconds: the command, and what it says itself
	toFollower        float64 // from the end of the publish command to the revision complete at the follower
	fromAnnouncement  float64 // from when the follower heard of it
	whole, rsync      float64 // from the start of the publish command; rsync's run
	wire, rsyncsBytes int64   // of the follower's node, announcements and all
}

func (b *bench) following(ctx context.Context, e edit) error {
	data := b.fresh("data")
	if err := e.make(data); err != nil {
		return err
	}
	if err := age(data); err != nil {
		return err
	}
	author, follower := b.machine("author"), b.machine("follower")
	if err := author.run(ctx); err != nil {
		return err
	}
	defer author.kill()
	_, shared, err := author.do(ctx, "share", data)
	if err != nil {
		return err
	}
	if err := follower.run(ctx, author); err != nil {
		return err
	}
	defer follower.kill()
	feed, err := follower.hear(ctx)
	if err != nil {
		return err
	}
	defer feed.end()
	if _, _, err := follower.do(ctx, "follow", shared.Ticket, follower.dest); err != nil {
		return err
	}
	if _, err := feed.until(ctx, "complete", 1); err != nil {
		return err
	}
	rsyncd, url, err := b.startRsync(ctx, data)
	if err != nil {
		return err
	}
	defer rsyncd.kill()
	copied := b.fresh("rsync-copy")
	if _, _, err := rsyncUpdate(ctx, nil, url, copied); err != nil {
		return err
	}
	var all []lag
	for round := range followRounds {
		if _, err := e.change(data, round); err != nil {
			return err
		}
		settle()
		l, err := followed(ctx, author, follower, feed, data)
		if err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		settle()
		u, bytes, err := rsyncUpdate(ctx, nil, url, copied)
		if err != nil {
			return err
		}
		l.rsync, l.rsyncsBytes = u.wall.Seconds(), bytes
		if err := same(ctx, data, follower.dest, copied); err != nil {
			return err
		}
		all = append(all, l)
	}
	printLags(e, all)
	return nil
}

// followed publishes once and waits for the follower.
func followed(ctx context.Context, author, follower *machine, feed *feed, data string) (lag, error) {
	_, before, err := follower.do(ctx, "status")
	if err != nil {
		return lag{}, err
	}
	start := time.Now()
	u, published, err := author.do(ctx, "publish", data)
	if err != nil {
		return lag{}, err
	}
	end := start.Add(u.wall)
	heard, err := feed.until(ctx, "available", published.Revision)
	if err != nil {
		return lag{}, err
	}
	complete, err := feed.until(ctx, "complete", published.Revision)
	if err != nil {
		return lag{}, err
	}
	_, after, err := follower.do(ctx, "status")
	return lag{publish: u.wall.Seconds(), inside: published.Seconds, toFollower: complete.Sub(end).Seconds(),
		fromAnnouncement: complete.Sub(heard).Seconds(), whole: complete.Sub(start).Seconds(),
		wire: after.WireIn + after.WireOut - before.WireIn - before.WireOut}, err
}

func printLags(e edit, all []lag) {
	fmt.Printf("\n%s (%d rounds)\n  %-62s %8s %8s %8s\n", e.name, len(all), "", "median", "min", "max")
	line := func(name, format string, f func(lag) float64) {
		var v []float64
		for _, l := range all {
			v = append(v, f(l))
		}
		fmt.Printf("  %-62s "+format+" "+format+" "+format+"\n", name, middle(v), least64(v), most64(v))
	}
	line("publish, the whole command, s", "%8.3f", func(l lag) float64 { return l.publish })
	line("publish, inside, s", "%8.3f", func(l lag) float64 { return l.inside })
	line("the follower heard of it -> complete on its disk, s", "%8.3f", func(l lag) float64 { return l.fromAnnouncement })
	line("publish command ended -> complete, s (negative: before)", "%8.3f", func(l lag) float64 { return l.toFollower })
	line("publish command started -> complete, s", "%8.3f", func(l lag) float64 { return l.whole })
	line("rsync -a --delete, the whole run, s", "%8.3f", func(l lag) float64 { return l.rsync })
	line("all bytes at the follower, both ways, from before the publish", "%8.0f", func(l lag) float64 { return float64(l.wire) })
	line("bytes rsync sent and received", "%8.0f", func(l lag) float64 { return float64(l.rsyncsBytes) })
}

// feed is the output of `events --json`.
type feed struct {
	cmd    *exec.Cmd
	events chan event // closed when the command ends
}

type event struct {
	Type     string    `json:"type"`
	Kind     string    `json:"kind"`
	Time     time.Time `json:"time"`
	Revision uint64    `json:"revision"`
	Detail   string    `json:"detail"`
}

// hear starts to read the events of the machine's node; nothing that happens later is missed.
func (m *machine) hear(ctx context.Context) (*feed, error) {
	line := m.exec("events")
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f := &feed{cmd: cmd, events: make(chan event, 256)} // a round has a handful
	go f.read(out)
	_, err = f.until(ctx, "ready", 0)
	return f, err
}

func (f *feed) read(out io.Reader) {
	defer close(f.events)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Type == "event" {
			f.events <- e
		}
	}
}

// until is the time of the next event of a kind, about a revision or a later one.
func (f *feed) until(ctx context.Context, kind string, revision uint64) (time.Time, error) {
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	for {
		select {
		case e, ok := <-f.events:
			switch {
			case !ok:
				return time.Time{}, errors.New("the events ended")
			case e.Kind == "failed":
				return time.Time{}, fmt.Errorf("the follower failed: %s", e.Detail)
			case e.Kind == kind && e.Revision >= revision:
				return e.Time, nil
			}
		case <-patience.C:
			return time.Time{}, fmt.Errorf("no event %q of revision %d in a minute", kind, revision)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

func (f *feed) end() {
	_ = f.cmd.Process.Kill()
	for range f.events { // until its output has ended
	}
	_ = f.cmd.Wait()
}
