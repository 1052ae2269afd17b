package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multiaddr"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/protocols/chunks"
)

// setID is a set that is nowhere.
func setID(i byte) cid.Cid { return blockstore.FromDigest(cid.Raw, [32]byte{i}) }

// drain moves bytes through a limiter as a server or a lane does, blocks of so many bytes, until ctx ends.
func drain(ctx context.Context, l chunks.Limiter, block int, moved *atomic.Int64) {
	for ctx.Err() == nil {
		for left := block; left > 0; {
			n, err := l.Wait(ctx, min(left, chunks.Piece))
			if err != nil {
				return
			}
			select { // the line itself carries this much
			case <-time.After(time.Duration(n) * time.Second / lineRate):
			case <-ctx.Done():
			}
			moved.Add(int64(n))
			left -= n
		}
	}
}

// lineRate is what a session without limit moves a second.
const lineRate = 100 << 20

// flow is one set being moved by some sessions.
type flow struct {
	set      byte
	sessions int
	lan      bool
	want     float64 // bytes a second
}

// measure moves all flows for some seconds of virtual time and compares what came through.
func measure(t *testing.T, b *bandwidth, down bool, seconds int, flows ...flow) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second)
	defer cancel()
	moved := make([]atomic.Int64, len(flows))
	var wg sync.WaitGroup
	for i, f := range flows {
		for range f.sessions {
			wg.Go(func() { drain(ctx, valve{b: b, set: setID(f.set), lan: f.lan, down: down}, 256<<10, &moved[i]) })
		}
	}
	wg.Wait()
	for i, f := range flows {
		got := float64(moved[i].Load()) / float64(seconds)
		if math.Abs(got-f.want) > f.want/20 {
			t.Errorf("set %d: %.0f bytes a second, want %.0f within 5 %%", f.set, got, f.want)
		}
	}
}

func TestLimitsHold(t *testing.T) {
	const k, m = 1 << 10, 1 << 20
	for name, tt := range map[string]struct {
		node  int64
		sets  map[byte]int64
		lan   bool
		flows []flow
	}{
		"none":                        {0, nil, false, []flow{{1, 2, false, 2 * lineRate}}},
		"a slow node":                 {10 * k, nil, false, []flow{{1, 4, false, 10 * k}}},
		"a node":                      {m, nil, false, []flow{{1, 1, false, m}}},
		"a fast node, many sessions":  {50 * m, nil, false, []flow{{1, 60, false, 50 * m}}},
		"two sets share a node":       {4 * m, nil, false, []flow{{1, 4, false, 2 * m}, {2, 4, false, 2 * m}}},
		"a set":                       {0, map[byte]int64{1: 100 * k}, false, []flow{{1, 4, false, 100 * k}}},
		"a set, and one without":      {0, map[byte]int64{1: 10 * k}, false, []flow{{1, 16, false, 10 * k}, {2, 1, false, lineRate}}},
		"a set does not slow another": {10 * m, map[byte]int64{1: m}, false, []flow{{1, 60, false, m}, {2, 1, false, 9 * m}}},
		"two sets with limits":        {10 * m, map[byte]int64{1: m, 2: 3 * m}, false, []flow{{1, 4, false, m}, {2, 4, false, 3 * m}}},
		"a set above the node":        {m, map[byte]int64{1: 5 * m}, false, []flow{{1, 2, false, m}}},
		"local peers count":           {m, nil, false, []flow{{1, 1, true, m}}},
		"local peers do not":          {m, map[byte]int64{1: k}, true, []flow{{1, 1, true, lineRate}, {2, 2, false, m}}},
	} {
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " down ", down), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := &bandwidth{}
					put := func(set cid.Cid, rate int64) {
						if down {
							b.set(set, 1, rate) // the other direction has a limit of its own
						} else {
							b.set(set, rate, 1)
						}
					}
					put(cid.Undef, tt.node)
					for set, rate := range tt.sets {
						put(setID(set), rate)
					}
					b.exempt(tt.lan)
					measure(t, b, down, 10, tt.flows...)
				})
			})
		}
	}
}

// Sessions that wait at a slow limit go on at the new one within a second, and those that were free obey.
func TestLimitsChangeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bandwidth{}
		ctx, cancel := context.WithCancel(t.Context())
		var moved atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { drain(ctx, valve{b: b, set: setID(1)}, 256<<10, &moved) })
		}
		for _, rate := range []int64{1 << 10, 5 << 20, 100, 0, 10 << 20, 1 << 20} {
			b.set(setID(1), rate, 0)
			time.Sleep(time.Second) // of virtual time: what was promised at the old rate
			before := moved.Load()
			time.Sleep(10 * time.Second)
			got, want := float64(moved.Load()-before)/10, float64(rate)
			if rate == 0 {
				want = 4 * lineRate
			}
			if math.Abs(got-want) > want/20 {
				t.Errorf("%d: %.0f bytes a second", rate, got)
			}
		}
		cancel()
		wg.Wait()
	})
}

// A wait ends with its context, whatever the limit.
func TestLimitsAreNotWaitedForInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bandwidth{}
		b.set(setID(1), 1, 1)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute+time.Second/2, cancel)
		begun, got := time.Now(), 0
		for {
			n, err := valve{b: b, set: setID(1)}.Wait(ctx, 1<<20)
			if err == nil {
				got += n
				continue
			}
			if !errors.Is(err, context.Canceled) || time.Since(begun) != time.Minute+time.Second/2 || got != 60 {
				t.Errorf("%v after %v and %d bytes", err, time.Since(begun), got)
			}
			return
		}
	})
}

// Whoever waits at a limit when another one comes has used nothing of that, and is not held up by the old one: from the
// change on, no window of ten seconds has more than five percent too much.
func TestLimitsThatAreLowered(t *testing.T) {
	for _, sessions := range []int{1, 4, 64} {
		for _, to := range []int64{1 << 10, 200_000, 500_000, 4_000_000} {
			synctest.Test(t, func(t *testing.T) {
				b := &bandwidth{}
				b.set(cid.Undef, 0, 5_000_000)
				ctx, cancel := context.WithCancel(t.Context())
				var moved atomic.Int64
				var wg sync.WaitGroup
				for range sessions {
					wg.Go(func() { drain(ctx, valve{b: b, set: setID(1), down: true}, 256<<10, &moved) })
				}
				time.Sleep(3*time.Second + time.Second/3) // of virtual time
				b.set(cid.Undef, 0, to)
				before := moved.Load()
				for second := range 10 {
					time.Sleep(time.Second)
					got, most := moved.Load()-before, float64(to)*(float64(second)+1)*1.05
					if least := float64(to) * (float64(second) + 0.7); float64(got) > most || float64(got) < least {
						t.Errorf("%d sessions, down to %d: %d bytes after %d s", sessions, to, got, second+1)
					}
				}
				cancel()
				wg.Wait()
			})
		}
	}
}

// Whatever is set in whatever order, a session is bounded by its set's and the node's newest limits, and by nothing else.
func TestLimitsThatAreInForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &bandwidth{}
		now := map[byte][2]int64{}
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			set := rapid.ByteRange(0, 3).Draw(t, "set")
			rate := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 1<<40))
			now[set] = [2]int64{rate.Draw(t, "up"), rate.Draw(t, "down")}
			id := cid.Undef
			if set > 0 {
				id = setID(set)
			}
			b.set(id, now[set][0], now[set][1])
		}
		for set := byte(1); set <= 3; set++ {
			for i, down := range []bool{false, true} {
				want, rate := int64(0), int64(0)
				for _, r := range []int64{now[0][i], now[set][i]} {
					if r > 0 && (want == 0 || max(r/10, 1) < want) {
						want = max(r/10, 1)
					}
					if r > 0 && (rate == 0 || r < rate) {
						rate = r
					}
				}
				got := int64(0)
				in, _ := b.in(setID(set), false, down)
				for _, l := range in {
					if l != nil && (got == 0 || int64(l.Burst()) < got) {
						got = int64(l.Burst())
					}
				}
				if got := (valve{b: b, set: setID(set), down: down}).Rate(); got != rate {
					t.Fatalf("set %d: rate %d, want %d", set, got, rate)
				}
				if got != want {
					t.Fatalf("set %d: pieces of %d, want %d: %v", set, got, want, now)
				}
			}
		}
		if len(b.sets) > 3 {
			t.Fatalf("%d sets", len(b.sets))
		}
	})
}

func TestIsLAN(t *testing.T) {
	for text, want := range map[string]bool{
		"/ip4/127.0.0.1/tcp/1": true, "/ip4/192.168.1.2/udp/1/quic-v1": true, "/ip4/10.0.0.1/tcp/1": true, "/ip6/::1/tcp/1": true,
		"/ip4/169.254.3.4/tcp/1": true, "/ip6/fe80::1/tcp/1": true, "/ip6zone/eth0/ip6/fe80::1/tcp/1": true, "/ip6/fd00::1/tcp/1": true,
		"/ip4/8.8.8.8/tcp/1": false, "/ip4/172.32.0.1/tcp/1": false, "/ip6/2001:db8::1/tcp/1": false, "/dns4/localhost/tcp/1": false,
		"/ip4/192.168.1.2/tcp/1/p2p/12D3KooWBhMbLvQHgcaaAeTZCVgyPcv1mRDPJbMgSHXKxbMmTCnF/p2p-circuit": false, "/memory/1": false,
	} {
		a, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := isLAN(a); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// BenchmarkLimits moves one set between two nodes at a limit and prints how well it is kept: bytes a second of payload,
// in percent of the limit.
func BenchmarkLimits(b *testing.B) {
	for _, side := range []string{"up", "down"} {
		b.Run(side, func(b *testing.B) {
			const rate, seconds = 4 << 20, 10
			rates := TransferConfig{}
			author, getter := rates, rates
			if side == "up" {
				author.Up = rate
			} else {
				getter.Down = rate
			}
			for range b.N {
				took := transfer(b, author, getter, rate*seconds)
				b.ReportMetric(100*rate*seconds/took.Seconds()/rate, "%of-limit")
			}
		})
	}
}

// transfer gets so many bytes from one node to another, and tells how long they were on the way.
func transfer(t testing.TB, up, down TransferConfig, size int) time.Duration {
	t.Helper()
	author := startLimited(t, Config{Transfer: up})
	getter := startLimited(t, Config{Transfer: down, Bootstrap: []string{author.addr()}})
	dir := filepath.Join(t.TempDir(), "data")
	write(t, filepath.Join(dir, "f"), size)
	shared := author.share(dir)
	begun := time.Time{}
	_, err := getter.Get(t.Context(), api.GetRequest{Ticket: shared.Ticket, Dest: filepath.Join(t.TempDir(), "d")}, func(p api.Progress) {
		if p.Phase == "fetch" && begun.IsZero() {
			begun = time.Now()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	author.stop()
	getter.stop()
	return took
}

// BenchmarkLimitsApart gets a set without a limit, alone and beside one that has a low limit at the same two nodes, and
// prints megabytes a second of both.
func BenchmarkLimitsApart(b *testing.B) {
	for _, address := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		for _, down := range []bool{false, true} {
			b.Run(fmt.Sprint(multiaddr.StringCast(address).Protocols()[1].Name, " down ", down), func(b *testing.B) {
				author := startLimited(b, Config{Listen: []string{address}})
				getter := startLimited(b, Config{Listen: []string{address}, Bootstrap: []string{author.addr()}})
				for range b.N {
					b.ReportMetric(apart(b, author, getter, down, 0), "MB/s-alone")
					b.ReportMetric(apart(b, author, getter, down, 1), "MB/s-beside")
				}
				author.stop()
				getter.stop()
			})
		}
	}
}

// apart gets a set and tells how fast, beside so many others that are being got slowly.
func apart(b *testing.B, author, getter *running, down bool, beside int) float64 {
	const size = 128 << 20
	get := func(ctx context.Context, size int, at int64, begin func()) (time.Duration, error) {
		dir := filepath.Join(b.TempDir(), "data")
		write(b, filepath.Join(dir, "f"), size)
		shared := author.share(dir)
		set, err := cid.Decode(shared.Set)
		if err != nil {
			return 0, err
		}
		if down {
			getter.limits.set(set, 0, at)
		} else {
			author.limits.set(set, at, 0)
		}
		begun := time.Now()
		_, err = getter.Get(ctx, api.GetRequest{Ticket: shared.Ticket, Dest: filepath.Join(b.TempDir(), "d")}, func(p api.Progress) {
			if p.Phase == "fetch" && p.BytesDone > 0 {
				begin()
			}
		})
		return time.Since(begun), err
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range beside {
		slow := make(chan struct{})
		wg.Go(func() { _, _ = get(ctx, size/4, 256<<10, sync.OnceFunc(func() { close(slow) })) })
		<-slow
	}
	took, err := get(ctx, size, 0, func() {})
	if err != nil {
		b.Fatal(err)
	}
	return size / 1e6 / took.Seconds()
}

// startLimited runs a node as cfg says, in a home of its own.
func startLimited(t testing.TB, cfg Config) *running {
	t.Helper()
	cfg.Home, cfg.Reserve, cfg.Version = t.TempDir(), 1, "test"
	if cfg.Listen == nil {
		cfg.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, n)
}
