//go:build unix

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// scan: how fast a folder becomes a set, beside hashing it with as many processes as there are cores.
func (b *bench) scan(ctx context.Context) error {
	data := b.fresh("scan-data")
	for i := range 4 {
		if err := writeRandom(filepath.Join(data, fmt.Sprintf("file-%d", i)), int64(b.size)<<18, uint64(i)+1); err != nil {
			return err
		}
	}
	return b.compare(ctx, []contender{
		{"xargs -P2 sha256sum", func(ctx context.Context) (usage, error) {
			u, _, err := timed(ctx, "sh", "-c", "ls '"+data+"'/* | xargs -n1 -P2 sha256sum")
			return u, err
		}},
		{"node share (scan)", func(ctx context.Context) (usage, error) {
			d, _, err := b.startNode(ctx, "home")
			if err != nil {
				return usage{}, err
			}
			defer d.kill()
			before := d.cpu()
			u, r, err := b.node(ctx, d.home, "share", data)
			u.cpu, u.peak = d.cpu()-before, d.peak()
			if err != nil {
				return u, err
			}
			again, _, err := b.node(ctx, d.home, "share", data)
			used, _ := diskUsage(d.home)
			u.note = fmt.Sprintf("in the node %.2f s; unchanged again %.2f s; own state %.2f %%", r.Seconds, again.wall.Seconds(), percent(used, int64(b.size)<<20))
			return u, err
		}},
	})
}

func percent(part, whole int64) float64 { return 100 * float64(part) / float64(whole) }

// full: one file of random bytes, from one process to another.
func (b *bench) full(ctx context.Context) error {
	data := b.fresh("full-data")
	if err := writeRandom(filepath.Join(data, "file"), int64(b.size)<<20, 7); err != nil {
		return err
	}
	return b.transfer(ctx, data, int64(b.size)<<20)
}

// small: ten thousand files of 1 to 16 KiB.
func (b *bench) small(ctx context.Context) error {
	data := b.fresh("small-data")
	total, err := writeSmall(data, 10_000)
	if err != nil {
		return err
	}
	return b.transfer(ctx, data, total)
}

// transfer compares the tools on one folder.
func (b *bench) transfer(ctx context.Context, data string, total int64) error {
	rsync, url, err := b.startRsync(ctx, data)
	if err != nil {
		return err
	}
	defer rsync.kill()
	node, _, err := b.startNode(ctx, "seeder")
	if err != nil {
		return err
	}
	defer node.kill()
	_, shared, err := b.node(ctx, node.home, "share", data)
	if err != nil {
		return err
	}
	all := []contender{
		{"rsync daemon (plain text)", func(ctx context.Context) (usage, error) {
			u, _, err := timed(ctx, "rsync", "-a", url, b.fresh("rsync")+"/")
			return u, err
		}},
		{"node get", func(ctx context.Context) (usage, error) { return b.get(ctx, node, shared, data, total) }},
		{"cp -a", func(ctx context.Context) (usage, error) {
			u, _, err := timed(ctx, "cp", "-a", data, b.fresh("cp"))
			return u, err
		}},
	}
	aria, stop, err := b.aria2(ctx, data)
	if err != nil {
		fmt.Println("without aria2:", err)
	} else {
		defer stop()
		all = append(all, aria)
	}
	return b.compare(ctx, all)
}

// get measures one whole command with a home of its own, and checks the copy by other means.
func (b *bench) get(ctx context.Context, seeder *daemon, shared result, data string, total int64) (usage, error) {
	dest, home := filepath.Join(b.fresh("get"), "d"), b.fresh("getter")
	before := seeder.cpu()
	u, r, err := b.node(ctx, home, "get", shared.Ticket, dest, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return u, err
	}
	if out, err := exec.CommandContext(ctx, "diff", "-rq", data, dest).CombinedOutput(); err != nil {
		return u, fmt.Errorf("the copy differs: %s", out)
	}
	served := seeder.cpu() - before
	used, apparent := diskUsage(home)
	u.note = fmt.Sprintf("inside %.2f s; seeder %.2f cpu s, peak %.0f MB; wire %.1f MB in, %.2f out; own state %.2f %% (apparent %.2f %%)",
		r.Seconds, served.Seconds(), float64(seeder.peak())/1e6, float64(r.WireIn)/1e6, float64(r.WireOut)/1e6, percent(used, total), percent(apparent, total))
	return u, nil
}

// aria2 seeds the folder as a torrent and returns a contender that fetches it.
func (b *bench) aria2(ctx context.Context, data string) (contender, func(), error) {
	for _, tool := range []string{"aria2c", "mktorrent"} {
		if _, err := exec.LookPath(tool); err != nil {
			return contender{}, nil, err
		}
	}
	torrent := filepath.Join(b.dir, fmt.Sprintf("t-%d.torrent", b.serial))
	const port = 26881
	tracker := startTracker(port)
	if _, _, err := timed(ctx, "mktorrent", "-l", "18", "-a", tracker.URL+"/announce", "-o", torrent, data); err != nil {
		tracker.Close()
		return contender{}, nil, err
	}
	seed := exec.CommandContext(ctx, "aria2c", "-q", "--check-integrity=false", "--bt-seed-unverified=true", "--seed-ratio=0", "--enable-dht=false",
		fmt.Sprintf("--listen-port=%d", port), "--dir="+filepath.Dir(data), torrent)
	if err := seed.Start(); err != nil {
		tracker.Close()
		return contender{}, nil, err
	}
	stop := func() {
		tracker.Close()
		_ = seed.Process.Kill()
		_ = seed.Wait()
	}
	return contender{"aria2 (BitTorrent)", func(ctx context.Context) (usage, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // it waits for ever when it finds no peer
		defer cancel()
		u, _, err := timed(ctx, "aria2c", "-q", "--seed-time=0", "--enable-dht=false", "--file-allocation=none",
			"--listen-port=26882", "--dir="+b.fresh("aria"), torrent)
		return u, err
	}}, stop, nil
}

// startTracker tells every BitTorrent client of one seeder on this machine.
func startTracker(port uint16) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		peer := binary.BigEndian.AppendUint16([]byte{127, 0, 0, 1}, port)
		fmt.Fprintf(w, "d8:intervali60e5:peers%d:%se", len(peer), peer)
	}))
}

// resume: the getter is killed at about half; how much is fetched in total.
func (b *bench) resume(ctx context.Context) error {
	data := b.fresh("resume-data")
	total := int64(b.size) << 20
	if err := writeRandom(filepath.Join(data, "file"), total, 9); err != nil {
		return err
	}
	node, _, err := b.startNode(ctx, "seeder", "--up", "200MB/s")
	if err != nil {
		return err
	}
	defer node.kill()
	_, shared, err := b.node(ctx, node.home, "share", data)
	if err != nil {
		return err
	}
	for range b.rounds {
		before := shared
		home, dest := b.fresh("getter"), filepath.Join(b.fresh("get"), "d")
		first, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() {
			_, _, err := b.node(first, home, "get", before.Ticket, dest, "--listen", "/ip4/127.0.0.1/tcp/0")
			done <- err
		}()
		if err := waitFor(ctx, func() bool { used, _ := diskUsage(dest); return used > total/2 }, done); err != nil {
			cancel()
			return err
		}
		cancel() // SIGKILL
		<-done
		_, r, err := b.node(ctx, home, "get", before.Ticket, dest, "--listen", "/ip4/127.0.0.1/tcp/0")
		if err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, "diff", "-rq", data, dest).CombinedOutput(); err != nil {
			return fmt.Errorf("the copy differs: %s", out)
		}
		kept := r.BytesTotal - r.BytesFetched
		fmt.Printf("killed with kill -9; second run found %.1f %% here and fetched the other %.1f %%\n", percent(kept, total), percent(r.BytesFetched, total))
	}
	st, err := b.sent(ctx, node)
	if err != nil {
		return err
	}
	fmt.Printf("the seeder sent %.4f x the set for %d interrupted gets, each in two runs\n", float64(st)/float64(total)/float64(b.rounds), b.rounds)
	return nil
}

// waitFor polls until ready, or until the command ended too early.
func waitFor(ctx context.Context, ready func() bool, done <-chan error) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !ready() {
		select {
		case err := <-done:
			return errors.Join(errors.New("it ended before it was killed"), err)
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
	return nil
}

// sent is the bytes a node has sent on all protocols.
func (b *bench) sent(ctx context.Context, d *daemon) (int64, error) {
	_, r, err := b.node(ctx, d.home, "status")
	return r.WireOut, err
}

// crowd: four getters at once from a seeder with 100 Mbit/s.
func (b *bench) crowd(ctx context.Context) error {
	const uplink = 12_500_000 // bytes a second
	total := int64(128) << 20
	data := b.fresh("crowd-data")
	if err := writeRandom(filepath.Join(data, "file"), total, 11); err != nil {
		return err
	}
	for range b.rounds {
		node, addrs, err := b.startNode(ctx, "seeder", "--up", "12.5MB/s")
		if err != nil {
			return err
		}
		_, shared, err := b.node(ctx, node.home, "share", data)
		if err != nil {
			node.kill()
			return err
		}
		took, err := b.getters(ctx, shared, addrs, 4)
		if err != nil {
			node.kill()
			return err
		}
		out, err := b.sent(ctx, node)
		node.kill()
		if err != nil {
			return err
		}
		one := float64(total) / uplink
		var ratios []string
		for _, t := range took {
			ratios = append(ratios, fmt.Sprintf("%.2f", t.Seconds()/one))
		}
		fmt.Printf("one copy takes %.1f s; four getters took %s of that; the seeder sent %.2f copies\n", one, strings.Join(ratios, ", "), float64(out)/float64(total))
	}
	return nil
}

// getters runs n gets at once, by set id alone, and returns how long each took.
func (b *bench) getters(ctx context.Context, shared result, bootstrap []string, n int) ([]time.Duration, error) {
	took, errs := make([]time.Duration, n), make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		home, dest := b.fresh("getter"), filepath.Join(b.fresh("get"), "d")
		group.Go(func() {
			args := []string{"get", shared.Set, dest, "--seed", "--listen", "/ip4/127.0.0.1/tcp/0", "--bootstrap", bootstrap[0]}
			took[i], errs[i] = b.getAndSeed(ctx, home, args)
		})
	}
	group.Wait()
	return took, errors.Join(errs...)
}

// getAndSeed runs a get inside a node that goes on seeding, so that it serves the others to the end.
func (b *bench) getAndSeed(ctx context.Context, home string, args []string) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	cmd := exec.CommandContext(ctx, b.exe, append(args, "--home", home, "--json")...)
	cmd.Env = append(os.Environ(), "SHOAL_P2P__MDNS=false")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	took, err := untilResult(out, start)
	linger := time.NewTimer(3 * time.Second) // the others are at most this far behind
	defer linger.Stop()
	select {
	case <-linger.C:
	case <-ctx.Done():
	}
	cancel()
	_ = cmd.Wait()
	return took, err
}
