package replica

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"
	"golang.org/x/time/rate"

	"github.com/shoal-p2p/shoal/node/swarm"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// village are members in virtual time, on links of 100 Mbit/s.
type village struct {
	t     *testing.T
	net   *simnet.Simnet
	hosts int
}

func inVillage(t *testing.T, test func(v *village)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		v := &village{t: t, net: &simnet.Simnet{LatencyFunc: simnet.StaticLatency(10 * time.Millisecond)}}
		v.net.Start()
		t.Cleanup(func() { v.net.Close() })
		test(v)
	})
}

func (v *village) member(r role, knows ...*member) *member {
	v.hosts++
	link := simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}
	addr := fmt.Sprintf("/ip4/%s/udp/8000/quic-v1", net.IPv4(1, 0, 0, byte(v.hosts)))
	r.host = func(c *swarm.Config) {
		c.Listen = []string{addr}
		c.Options = []libp2p.Option{simlibp2p.QUICSimnet(v.net, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link})}
	}
	return newMember(v.t, r, knows...)
}

// limitOf is a limit like a node's own: so many bytes a second, in pieces of a tenth of a second.
func limitOf(perSecond int) capped {
	l := rate.NewLimiter(rate.Limit(perSecond), perSecond/10)
	l.AllowN(time.Now(), perSecond/10)
	return capped{bucket{l}}
}

// capped is a limiter that tells its rate.
type capped struct{ bucket }

func (c capped) Rate() int64 { return int64(c.Limit()) }

// gets lets all members get a set at once, and returns how long the last one took.
func gets(t *testing.T, ms []*member, s Shared) time.Duration {
	t.Helper()
	begun := time.Now()
	var wg sync.WaitGroup
	for i, m := range ms {
		dest := filepath.Join(t.TempDir(), "dest")
		wg.Go(func() {
			o := into(dest)
			o.Patience = defaultPatience
			if _, err := m.Get(t.Context(), record.Ticket{Set: s.Replica.Set()}, o); err != nil {
				t.Errorf("getter %d after %v: %v", i, time.Since(begun), err)
			}
		})
	}
	wg.Wait()
	return time.Since(begun)
}

// However little a holder gives, and however many share it, everybody gets everything in the end, and hardly a byte is sent
// in vain.
func TestHolderWithASmallLimit(t *testing.T) {
	for _, c := range []struct {
		perSecond, getters, files, size int
	}{
		{3_000, 1, 1, 600_000}, {5_000, 1, 1, 600_000}, {3_000, 1, 1500, 30},
		{10_000, 1, 1, 600_000}, {10_000, 4, 1, 600_000}, {10_000, 12, 1, 600_000}, {10_000, 4, 1500, 30},
		{50_000, 1, 1, 3_000_000}, {50_000, 4, 1, 3_000_000}, {50_000, 12, 1, 3_000_000}, {50_000, 12, 1500, 30},
	} {
		t.Run(fmt.Sprintf("%d getters at %d of %d files", c.getters, c.perSecond, c.files), func(t *testing.T) {
			inVillage(t, func(v *village) {
				dir := v.t.TempDir()
				for i := range c.files {
					write(v.t, filepath.Join(dir, fmt.Sprint("folder ", i%9), fmt.Sprint(i)), noise(uint64(i), c.size))
				}
				holder := v.member(role{limiter: limitOf(c.perSecond)})
				s := holder.share(dir)
				getters := make([]*member, c.getters)
				for i := range getters {
					getters[i] = v.member(role{}, append([]*member{holder}, getters[:i]...)...)
				}
				took := gets(v.t, getters, s)
				all := append([]*member{holder}, getters...)
				var sent int64
				for _, m := range all {
					sent += m.wire.sent.Load()
				}
				const want, header = 33, 40 // of package chunks, for each block; a walk has no wants
				need := int64(c.getters) * int64((c.size+want+header)*c.files)
				for _, n := range nodesBelow(v.t, holder, s.Replica) {
					need += int64(c.getters) * int64(len(n.Data())+header)
				}
				v.t.Logf("%v; %d bytes wanted, %.1f %% more sent by all, %.1f copies by the holder", took, need,
					100*float64(sent-need)/float64(need), float64(holder.wire.sent.Load())*float64(c.getters)/float64(need))
				if sent > need*105/100 {
					v.t.Errorf("%d bytes sent for %d", sent, need)
				}
			})
		})
	}
}

// A limit for receiving holds in every ten seconds, however many holders there are and however long a leaf takes with it,
// and is made use of.
func TestReceiverWithASmallLimit(t *testing.T) {
	for _, c := range []struct{ perSecond, holders, size int }{
		{50_000, 3, 6_000_000}, {50_000, 1, 3_000_000}, {200_000, 8, 20_000_000}, {4_000, 3, 1_500_000}, {1_000, 2, 1_200_000},
	} {
		t.Run(fmt.Sprintf("%d from %d", c.perSecond, c.holders), func(t *testing.T) {
			inVillage(t, func(v *village) {
				dir := v.t.TempDir()
				write(v.t, filepath.Join(dir, "f"), noise(1, c.size))
				holders := []*member{v.member(role{})}
				s := holders[0].share(dir)
				for range c.holders - 1 {
					h := v.member(role{}, holders...)
					h.fetch(s.Replica.Set())
					holders = append(holders, h)
				}
				getter := v.member(role{down: limitOf(c.perSecond)}, holders...)
				took := v.within(getter, c.perSecond, func() { gets(v.t, []*member{getter}, s) })
				if most := time.Duration(c.size) * time.Second / time.Duration(c.perSecond) * 11 / 10; took > most+5*time.Second {
					v.t.Errorf("took %v, want %v", took, most)
				}
				if got := getter.wire.got.Load(); got > int64(c.size)*105/100 {
					v.t.Errorf("%d bytes came of %d", got, c.size)
				}
				v.t.Logf("%d bytes in %v", c.size, took)
			})
		})
	}
}

// within runs fn and holds what m gets in every ten seconds against a limit. It returns how long fn took.
func (v *village) within(m *member, perSecond int, fn func()) time.Duration {
	const window = 10
	begun, done := time.Now(), make(chan time.Duration)
	go func() {
		fn()
		done <- time.Since(begun)
	}()
	var came []int64
	for clock := time.NewTicker(time.Second); ; {
		select {
		case took := <-done:
			clock.Stop()
			return took
		case <-clock.C:
			came = append(came, m.wire.got.Load())
			if n := len(came); n > window && came[n-1]-came[n-1-window] > int64(perSecond*window)*105/100 {
				v.t.Errorf("%d bytes in %d s, after %v", came[n-1]-came[n-1-window], window, time.Since(begun))
			}
		}
	}
}

// An attacker that drips, about the folders or about the leaves, costs little where somebody honest is, and does not hold a
// getter for ever where nobody is.
func TestDrippingHolder(t *testing.T) {
	for _, perSecond := range []int{1, 30, 100, 2000} {
		t.Run(fmt.Sprint(perSecond), func(t *testing.T) {
			inVillage(t, func(v *village) {
				dir := v.t.TempDir()
				write(v.t, filepath.Join(dir, "f"), noise(1, 5_000_000))
				for i := range 500 {
					write(v.t, filepath.Join(dir, fmt.Sprint(i)), nil)
				}
				honest := v.member(role{limiter: limitOf(500_000)})
				s := honest.share(dir)
				drip := limitOf(0)
				drip.SetBurst(max(perSecond/10, 1))
				loris := v.member(role{limiter: drip}, honest)
				loris.fetch(s.Replica.Set())
				drip.SetLimit(rate.Limit(perSecond))
				getter := v.member(role{}, loris, honest)
				took := gets(v.t, []*member{getter}, s)
				v.t.Logf("took %v", took)
				if took > 40*time.Second { // 10 s for the leaves, dripAfter for the folders
					v.t.Errorf("took %v", took)
				}
				if perSecond >= 100 { // slow, not silent
					return
				}
				alone := v.member(role{}, loris)
				begun := time.Now()
				o := into(filepath.Join(v.t.TempDir(), "dest"))
				o.Patience = defaultPatience
				if _, err := alone.Get(v.t.Context(), record.Ticket{Set: s.Replica.Set()}, o); !errors.Is(err, ErrTimeout) || time.Since(begun) > 2*defaultPatience {
					v.t.Errorf("from the attacker alone: %v after %v", err, time.Since(begun))
				}
			})
		})
	}
}

// brittle is a limiter that breaks each session after so many bytes of all of them.
type brittle struct {
	mu   sync.Mutex
	left int
}

func (b *brittle) Wait(_ context.Context, n int) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left -= n; b.left < 0 {
		b.left = 100_000
		return 0, errors.New("broken")
	}
	return n, nil
}

// What came of the folders before a session broke is kept: all of it comes, about once.
func TestBrokenWalksGoOn(t *testing.T) {
	inVillage(t, func(v *village) {
		dir := v.t.TempDir()
		for i := range 2000 {
			write(v.t, filepath.Join(dir, fmt.Sprint("folder ", i%40), fmt.Sprintf("%0200d", i)), nil)
		}
		holder := v.member(role{limiter: &brittle{left: 100_000}})
		s := holder.share(dir)
		getter := v.member(role{}, holder)
		gets(v.t, []*member{getter}, s)
		var need int64
		for _, n := range nodesBelow(v.t, holder, s.Replica) {
			need += int64(len(n.Data()))
		}
		got := getter.wire.got.Load()
		v.t.Logf("%d bytes came of %d", got, need)
		if need < 400_000 || got > need*11/10 {
			v.t.Errorf("%d bytes came of %d", got, need)
		}
	})
}

// To look into a folder keeps to the limits too, and is patient with them.
func TestPeekWithASmallLimit(t *testing.T) {
	inVillage(t, func(v *village) {
		dir := v.t.TempDir()
		for i := range 1000 {
			write(v.t, filepath.Join(dir, fmt.Sprintf("%0100d", i)), nil)
		}
		holder := v.member(role{})
		s := holder.share(dir)
		const perSecond = 5000
		looker := v.member(role{down: limitOf(perSecond)}, holder)
		took := v.within(looker, perSecond, func() {
			got, err := looker.Peek(v.t.Context(), record.Ticket{Set: s.Replica.Set()}, "", 10_000, GetOptions{Patience: time.Hour})
			if err != nil || len(got.Entries) != 1000 {
				v.t.Errorf("%d entries, %v", len(got.Entries), err)
			}
		})
		if came := looker.wire.got.Load(); came < 100_000 || took < time.Duration(came-perSecond)*time.Second/perSecond {
			v.t.Errorf("%d bytes in %v", came, took)
		}
	})
}
