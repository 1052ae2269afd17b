package discovery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	mh "github.com/multiformats/go-multihash"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testKey(text string) cid.Cid {
	h, _ := mh.Sum([]byte(text), mh.SHA2_256, -1)
	return cid.NewCidV1(cid.Raw, h)
}

// finder sends what it holds and then closes, or waits for the end of ctx.
type finder struct {
	peers []peer.AddrInfo
	stay  bool
}

func (f finder) Providers(ctx context.Context, _ cid.Cid) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		for _, p := range f.peers {
			if !send(ctx, out, p) {
				return
			}
		}
		if f.stay {
			<-ctx.Done()
		}
	}()
	return out
}

func info(id string, addrs ...string) peer.AddrInfo {
	i := peer.AddrInfo{ID: peer.ID(id)}
	for _, a := range addrs {
		i.Addrs = append(i.Addrs, multiaddr.StringCast(a))
	}
	return i
}

func TestMergePassesNewsOnly(t *testing.T) {
	const one, two = "/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1"
	m := Merge(
		finder{peers: []peer.AddrInfo{info("a"), info("a"), info("a", one), info("a", one), info("a", one, two)}},
		finder{peers: []peer.AddrInfo{info("b", one), info("b", one), info("b")}},
		finder{},
	)
	got := map[peer.ID]int{}
	for i := range m.Providers(t.Context(), testKey("k")) {
		got[i.ID]++
	}
	if got["a"] != 3 || got["b"] != 1 || len(got) != 2 {
		t.Errorf("passed on %v, want a thrice (bare, and with each new address) and b once", got)
	}
	for range Merge().Providers(t.Context(), testKey("k")) {
		t.Error("a merge of nothing found something")
	}
}

func TestMergeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	found := Merge(finder{peers: []peer.AddrInfo{info("a"), info("b")}, stay: true}).Providers(ctx, testKey("k"))
	<-found
	cancel()
	for range found {
	}
}

func TestDedupIsBounded(t *testing.T) {
	d := make(dedup)
	for i := range 2 * maxMerged {
		d.fresh(peer.AddrInfo{ID: peer.ID(rune(i))})
	}
	for i := range 2 * maxMergedAddrs {
		d.fresh(info(string(peer.ID(rune(1))), "/ip4/10.0.0.1/tcp/"+string(rune('0'+i%10))+string(rune('0'+i/10))))
	}
	if len(d) != maxMerged || len(d[peer.ID(rune(1))]) != maxMergedAddrs {
		t.Errorf("%d peers, %d addresses are remembered", len(d), len(d[peer.ID(rune(1))]))
	}
}

func TestBackoffProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		try, r := rapid.IntRange(-3, 1000).Draw(t, "try"), rapid.Float64Range(0, 0.999).Draw(t, "r")
		d := Backoff(try, r)
		if d < 160*time.Millisecond || d > 36*time.Second {
			t.Fatalf("attempt %d after %v", try, d)
		}
		if Backoff(try+1, r) < d {
			t.Fatalf("attempt %d comes sooner than the one before", try+1)
		}
	})
	for try, want := range []time.Duration{200, 500, 1000, 2000, 5000, 10000, 10000} {
		if got := Backoff(try, 0.5); got != want*time.Millisecond {
			t.Errorf("attempt %d after %v, want %v", try, got, want*time.Millisecond)
		}
	}
}

func TestAnnouncePause(t *testing.T) {
	for _, c := range []struct {
		done, failed int
		r            float64
		want         time.Duration
	}{
		{1, 0, 0.5, time.Minute}, {2, 0, 0.5, 10 * time.Minute}, {3, 0, 0.5, 40 * time.Minute}, {4, 0, 0, 2 * time.Hour},
		{90, 0, 0.5, 150 * time.Minute}, {0, 1, 0.5, time.Second}, {9, 3, 0.5, 4 * time.Second}, {0, 1000, 0.5, 32 * time.Second},
	} {
		if got := announcePause(c.done, c.failed, c.r); got != c.want {
			t.Errorf("announcePause(%d, %d, %v) = %v, want %v", c.done, c.failed, c.r, got, c.want)
		}
	}
}

// announcer notes when each key was provided, and fails while told to.
type announcer struct {
	mu    sync.Mutex // guards the rest
	err   error
	calls map[cid.Cid][]time.Time
}

func (a *announcer) Provide(_ context.Context, key cid.Cid) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[key] = append(a.calls[key], time.Now())
	return a.err
}

func (a *announcer) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

// since returns the offsets of all calls for key from start.
func (a *announcer) since(key cid.Cid, start time.Time) []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var d []time.Duration
	for _, t := range a.calls[key] {
		d = append(d, t.Sub(start))
	}
	return d
}

// announcing runs Announcements over an announcer in virtual time, without jitter (0.5 is the middle).
func announcing(t *testing.T, test func(a *announcer, n *Announcements)) {
	synctest.Test(t, func(t *testing.T) {
		a := &announcer{calls: map[cid.Cid][]time.Time{}}
		n := NewAnnouncements(a, func() float64 { return 0.5 }, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- n.Run(ctx) }()
		test(a, n)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
}

func TestAnnouncementsRepeat(t *testing.T) {
	announcing(t, func(a *announcer, n *Announcements) {
		start := time.Now()
		n.Add(testKey("a"))
		n.Add(testKey("a"))
		n.Add(testKey("b"))
		time.Sleep(51*time.Minute + time.Second)
		n.Remove(testKey("b"))
		time.Sleep(5 * time.Hour)
		m := time.Minute
		if got := a.since(testKey("a"), start); !slices.Equal(got, []time.Duration{0, m, 11 * m, 51 * m, 201 * m, 351 * m}) {
			t.Errorf("a was announced after %v", got)
		}
		if got := a.since(testKey("b"), start); len(got) != 4 {
			t.Errorf("b was announced after %v though removed", got)
		}
	})
}

func TestAnnouncementsRetryAndNudge(t *testing.T) {
	announcing(t, func(a *announcer, n *Announcements) {
		start, s := time.Now(), time.Second
		a.fail(errors.New("nobody there"))
		n.Add(testKey("a"))
		time.Sleep(20 * s)
		if got := a.since(testKey("a"), start); !slices.Equal(got, []time.Duration{0, 1 * s, 3 * s, 7 * s, 15 * s}) {
			t.Errorf("failures were repeated after %v", got)
		}
		a.fail(nil)
		n.Nudge() // at 20 s, though the next retry is at 31 s
		time.Sleep(time.Second)
		for range 5 { // five peers join: one announcement, half a minute after the last
			n.Nudge()
		}
		time.Sleep(40 * s)
		got := a.since(testKey("a"), start)[5:]
		if !slices.Equal(got, []time.Duration{20*s + nudgeDelay, 50*s + nudgeDelay}) {
			t.Errorf("nudges made it announce after %v", got)
		}
	})
}

func TestAnnouncementsOfManyKeys(t *testing.T) {
	announcing(t, func(a *announcer, n *Announcements) {
		for i := range 500 {
			n.Add(testKey(string(rune(i))))
		}
		time.Sleep(time.Second)
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.calls) != 500 {
			t.Errorf("%d of 500 keys announced", len(a.calls))
		}
	})
}
