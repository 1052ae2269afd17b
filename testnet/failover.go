package testnet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

	mu     sync.Mutex // guards part
	part   []float64  // that each has of what it fetches, 0 to 1
	middle chan struct{}
}

// amid is how much of what they fetch the readers have when the author's node is killed.
const amid = 0.4

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
	f.part[i] = part
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
	before, err := d.nodes["origin"].client.Status(ctx)
	if err != nil {
		return fmt.Errorf("status of origin: %w", err)
	}
	readers := d.read(ctx, readers())
	select {
	case <-readers.middle:
	case <-readers.ctx.Done():
		return readers.group.Wait()
	}
	err = d.lose(ctx, before.WireOut, readers)
	if failed := readers.group.Wait(); failed != nil || err != nil {
		d.check("the readers complete without an error", failed == nil, "%v", failed)
		return err
	}
	return d.unnoticed(readers)
}

// lose kills the author's node and publishes without it. sent is what that had sent before the readers began.
func (d *demo) lose(ctx context.Context, sent int64, readers *fetches) error {
	ears, err := d.ears(ctx, []string{follower})
	if err != nil {
		return err
	}
	defer closeEars(ears)
	file := filepath.Join(d.tree(writer), "published-without-the-author")
	if err := os.WriteFile(file, []byte(writer+" wrote this\n"), 0o644); err != nil {
		return err
	}
	was, err := d.nodes["origin"].client.Show(ctx, d.shared.Set)
	if err != nil {
		return fmt.Errorf("show at origin: %w", err)
	}
	st, err := d.nodes["origin"].client.Status(ctx)
	if err != nil {
		return fmt.Errorf("status of origin: %w", err)
	}
	average, complete := readers.state()
	start := time.Now()
	d.nodes["origin"].kill()
	if d.third, err = d.publish(ctx, writer, d.tree(writer), "without the author"); err != nil {
		return err
	}
	took := time.Since(start)
	d.say("[5/8] fetch   edge-2 and edge-3 had %.0f %% when origin, the primary, was killed with SIGKILL; it had sent them %s", 100*average,
		humanize.Bytes(uint64(st.WireOut-sent)))
	d.say("[6/8] kill    %s is primary, and revision %d, by %s, durable on %s %.1f s after the kill", d.name(d.third.Primary), d.third.Revision, writer,
		d.names(d.third.On), took.Seconds())
	d.check("the author's node was primary", was.Role == api.RolePrimary, "%s", was.Role)
	d.check("the readers were fetching when it was killed", complete == 0 && average > 0, "%.0f %%, %d of them complete", 100*average, complete)
	d.check("it was sending to them", st.WireOut > sent, "%d bytes", st.WireOut-sent)
	d.check("its backup is primary", d.third.Primary == was.Backup, "%s, backup was %s", d.name(d.third.Primary), d.name(was.Backup))
	d.check("a revision is durable without it", d.third.Durable && d.third.Revision == d.second.Revision+1, "revision %d on %s", d.third.Revision, d.names(d.third.On))
	r, err := ears[0].complete(ctx, d.shared.Set, d.third.Revision)
	if err != nil {
		return err
	}
	d.say("      follow  %s: revision %d is there %.1f s after the kill, %s on the wire", follower, r.Revision, time.Since(start).Seconds(),
		humanize.Bytes(uint64(r.WireIn+r.WireOut)))
	return nil
}

// twice is the most that a reader may receive of what it fetches: all of it once, and a fiftieth of it for the records,
// for what frames take, and for what was on its way when a sender died.
const twice = 1.02

// unnoticed checks what the readers fetched through the kill.
func (d *demo) unnoticed(readers *fetches) error {
	for i, r := range readers.results {
		name := readers.names[i]
		d.say("DEBUG in %d out %d", r.WireIn, r.WireOut)
		d.say("      get     %s: %s, no error, %s received: %.3f times the set", name, speed(r), humanize.Bytes(uint64(r.WireIn)), float64(r.WireIn)/float64(max(r.BytesTotal, 1)))
		d.check(name+" fetched nothing twice", float64(r.WireIn) <= twice*float64(r.BytesTotal)+formalities, "%d bytes received of %d", r.WireIn, r.BytesTotal)
		d.checkTree(name, r, d.second, d.source)
	}
	var err error
	d.source, err = treeHash(d.tree(writer))
	return err
}
