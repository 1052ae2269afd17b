package testnet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/node/api"
)

// fetches are readers that get the set at the same time.
type fetches struct {
	names   []string
	results []api.GetResult // when group has ended
	group   *errgroup.Group
	ctx     context.Context // ends when one has failed

	mu     sync.Mutex    // guards part
	part   []float64     // that each has of what it fetches, 0 to 1
	middle chan struct{} // closed when they have enough of it
}

// amid is how much of what they fetch the readers have when the author's node is killed.
const amid = 0.4

// read lets nodes get the set; the caller waits for the group.
func (d *demo) read(ctx context.Context, names []string) *fetches {
	f := &fetches{names: names, results: make([]api.GetResult, len(names)), part: make([]float64, len(names)), middle: make(chan struct{})}
	f.group, f.ctx = errgroup.WithContext(ctx)
	for i, name := range names {
		f.group.Go(func() (err error) {
			f.results[i], err = d.get(f.ctx, name, func(p api.Progress) {
				if p.Phase == "fetch" && p.BytesTotal > 0 {
					f.reached(i, float64(p.BytesDone)/float64(p.BytesTotal))
				}
			})
			f.reached(i, 1)
			return err
		})
	}
	return f
}

func (f *fetches) reached(i int, part float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.average()
	f.part[i] = max(f.part[i], part) // one that begins again has the most of it still
	if before < amid && f.average() >= amid {
		close(f.middle)
	}
}

// average needs mu to be held.
func (f *fetches) average() (sum float64) {
	for _, p := range f.part {
		sum += p / float64(len(f.part))
	}
	return sum
}

// state is how much the readers have, and how many of them have all.
func (f *fetches) state() (average float64, complete int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.part {
		if p == 1 {
			complete++
		}
	}
	return f.average(), complete
}

func (d *demo) get(ctx context.Context, name string, progress func(api.Progress)) (api.GetResult, error) {
	r, err := d.nodes[name].client.Get(ctx, api.GetRequest{Ticket: d.shared.Set, Dest: d.tree(name)}, progress)
	if err != nil {
		return r, fmt.Errorf("get on %s: %w", name, err)
	}
	return r, nil
}

// failover kills the author's node, which is primary, in the middle of what others fetch. The backup takes its role,
// another writer publishes, and the readers do not notice.
func (d *demo) failover(ctx context.Context) error {
	origin := d.nodes["origin"].client
	before, err := origin.Status(ctx)
	if err != nil {
		return fmt.Errorf("status of origin: %w", err)
	}
	reading, stop := context.WithCancel(ctx)
	f := d.read(reading, readers())
	defer func() {
		stop()
		_ = f.group.Wait() // it was told, or something before it
	}()
	select {
	case <-f.middle:
	case <-f.ctx.Done():
		return f.group.Wait()
	}
	now, err := origin.Status(ctx)
	if err != nil {
		return fmt.Errorf("status of origin: %w", err)
	}
	sent := now.WireOut - before.WireOut
	average, complete := f.state()
	d.say("[5/8] fetch   %s have %.0f %%, and origin has sent them %s", strings.Join(f.names, " and "), 100*average, humanize.Bytes(uint64(sent)))
	d.check("the readers are in the middle of it", complete == 0, "%.0f %%, %d of them complete", 100*average, complete)
	d.check("origin sends to the readers", sent > 0, "%d bytes", sent)
	err = d.lose(ctx)
	failed := f.group.Wait()
	d.check("the readers complete without an error", failed == nil, "error: %v", failed)
	if err != nil {
		return err
	}
	for i, r := range f.results {
		d.unnoticed(f.names[i], r)
	}
	d.source, err = treeHash(d.tree(d.writer))
	return err
}

// lose kills the author's node and publishes at once without it, at the replica that was not its backup.
func (d *demo) lose(ctx context.Context) error {
	ear, err := listen(ctx, d.nodes[follower])
	if err != nil {
		return err
	}
	defer ear.close()
	was, err := d.nodes["origin"].client.Show(ctx, d.shared.Set)
	if err != nil {
		return fmt.Errorf("show at origin: %w", err)
	}
	d.writer = replicas()[0]
	if d.name(was.Backup) == d.writer {
		d.writer = replicas()[1]
	}
	file := filepath.Join(d.tree(d.writer), "published-without-the-author")
	if err := os.WriteFile(file, []byte(d.writer+" wrote this\n"), 0o644); err != nil {
		return err
	}
	start := time.Now()
	d.nodes["origin"].kill()
	if d.third, err = d.publish(ctx, d.writer, d.tree(d.writer), "without the author"); err != nil {
		return err
	}
	took := time.Since(start)
	r, err := ear.complete(ctx, d.shared.Set, d.third.Revision)
	if err != nil {
		return err
	}
	d.say("[6/8] kill    SIGKILL origin, the primary → %s is primary, and revision %d, by %s, durable on %s after %.1f s",
		d.name(d.third.Primary), d.third.Revision, d.writer, d.names(d.third.On), took.Seconds())
	d.say("      follow  %s: has it %.1f s after the kill", follower, time.Since(start).Seconds())
	d.check("origin was primary", was.Role == api.RolePrimary, "%s", was.Role)
	d.check("its backup is primary", d.third.Primary == was.Backup, "%s, backup was %s", d.name(d.third.Primary), d.name(was.Backup))
	d.check("a revision is durable without origin", d.third.Durable && d.third.Revision > d.second.Revision, "revision %d on %s", d.third.Revision, d.names(d.third.On))
	d.check(follower+" has the revision that was published without origin", r.Root == d.third.Root, "%s", r.Root)
	return nil
}

// again bounds what a reader may receive twice: what was on its way when a sender died, which does not grow with the
// set. It is a fiftieth of 256 MiB, and of anything larger.
func again(chunks int64) int64 { return max(chunks, 256<<20) / 50 }

// unnoticed checks what a reader fetched through the kill.
func (d *demo) unnoticed(name string, r api.GetResult) {
	chunks := float64(r.WireIn-d.formal) / float64(max(r.BytesFetched, 1))
	d.say("      get     %s: %s, no error; received %.3f times what it needed", name, speed(r), max(chunks, 1))
	d.check(name+" fetched next to nothing twice", r.WireIn-d.formal-r.BytesFetched <= again(r.BytesFetched), "%.3f times its chunks", chunks)
	d.checkTree(name, r, d.second, d.source)
}
