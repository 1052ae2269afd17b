//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

const (
	downloadBytes = 256 << 20
	// downloadRate makes the download last some seconds, so that there is a middle to kill somebody in.
	downloadRate = "64MB/s"
	// stallP and wasteP are the bars.
	stallP = time.Second
	wasteP = 1.02
)

// download: a reader fetches a large file from three voters, the primary of which is killed in the middle.
func (l *lab) download(ctx context.Context) error {
	c, err := l.cluster(ctx, setup{names: []string{"A", "B", "C"}, bytes: downloadBytes})
	if err != nil {
		return err
	}
	for round := range l.number {
		if err := l.fetchThrough(ctx, c, round); err != nil {
			if ctx.Err() == nil {
				l.report.broke("round %d: %v%s", round+1, err, c.describe(ctx))
			}
			return ctx.Err()
		}
	}
	return nil
}

// fetchThrough is one round with a reader that has nothing yet.
func (l *lab) fetchThrough(ctx context.Context, c *cluster, round int) error {
	reader, err := l.node(fmt.Sprintf("R%d", round+1))
	if err != nil {
		return err
	}
	defer func() {
		reader.kill()
		_ = os.RemoveAll(filepath.Dir(reader.home)) // it is of no use any more, and large
		l.nodes = l.nodes[:len(l.nodes)-1]
	}()
	reader.flags = []string{"--down", downloadRate}
	if err := reader.start(ctx); err != nil {
		return err
	}
	victim, err := c.primary(ctx, c.voters[0])
	if err != nil {
		return err
	}
	at := int64(downloadBytes * (0.25 + 0.5*l.random.Float64()))
	p := &pulse{last: time.Now(), reached: make(chan struct{}), mark: at}
	var killed sync.WaitGroup
	killed.Go(func() {
		select {
		case <-p.reached:
			victim.kill()
		case <-ctx.Done():
		}
	})
	got, err := reader.client.Get(ctx, api.GetRequest{Ticket: c.ticket, Dest: reader.dest}, p.beat)
	stall := p.end()
	killed.Wait()
	if err != nil {
		return fmt.Errorf("get, with %s killed after %d MiB: %w", victim.name, at>>20, err)
	}
	if out, err := exec.CommandContext(ctx, "cmp", filepath.Join(c.voters[0].dest, "large"), filepath.Join(reader.dest, "large")).CombinedOutput(); err != nil {
		return fmt.Errorf("the copy differs: %w: %s", err, out)
	}
	l.report.figure("longest time without progress in a download with a kill", 0, 0, stallP).add(stall)
	ratio := float64(got.WireIn) / float64(got.BytesTotal)
	l.report.bar(ratio < wasteP, "%s killed at %d of %d MiB: %.4f x its bytes received (< %.2f), from %d sources in %.1f s", victim.name, at>>20, got.BytesTotal>>20,
		ratio, wasteP, got.Sources, got.Seconds)
	if err := victim.start(ctx); err != nil {
		return err
	}
	return c.whole(ctx)
}

// pulse watches the progress of a get, which is told four times a second.
type pulse struct {
	mu      sync.Mutex // guards what follows
	bytes   int64
	last    time.Time // of the last progress
	stall   time.Duration
	mark    int64 // bytes; reached is closed there
	reached chan struct{}
	passed  bool
}

func (p *pulse) beat(now api.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.BytesDone <= p.bytes {
		return
	}
	if p.bytes > 0 { // before, it looks for holders
		p.stall = max(p.stall, time.Since(p.last))
	}
	p.bytes, p.last = now.BytesDone, time.Now()
	p.pass(p.bytes >= p.mark)
}

func (p *pulse) pass(now bool) {
	if now && !p.passed {
		p.passed = true
		close(p.reached)
	}
}

// end gives the longest time without progress, until now.
func (p *pulse) end() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pass(true)
	return max(p.stall, time.Since(p.last))
}
