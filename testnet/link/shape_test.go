package link

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newTravel(seed uint64) *travel { return &travel{random: rand.New(rand.NewPCG(seed, 0))} }

// content is n bytes of which no two pieces are alike.
func content(n int) []byte { return noise(1, n) }

// noise is content of its own for each seed.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func drawRule(t *rapid.T) Rule {
	r := Rule{
		Latency: time.Duration(rapid.Int64Range(0, int64(300*time.Millisecond)).Draw(t, "latency")),
		Jitter:  time.Duration(rapid.Int64Range(0, int64(50*time.Millisecond)).Draw(t, "jitter")),
	}
	if rapid.Bool().Draw(t, "lossy") {
		r.Loss = rapid.Float64Range(0, 0.5).Draw(t, "loss")
	}
	return r
}

func drawBucket(t *rapid.T, name string) *bucket {
	if rate := rapid.Int64Range(-1_000_000, 50_000_000).Draw(t, name); rate > 0 {
		return &bucket{rate: rate}
	}
	return nil
}

func drawLane(t *rapid.T) *lane {
	l := &lane{Rule: drawRule(t), link: drawBucket(t, "link"), total: drawBucket(t, "total")}
	l.Cut = rapid.IntRange(0, 3).Draw(t, "cut") == 0
	l.trip = 2 * l.Latency
	return l
}

// TestTravelKeepsOrder: whatever the rules are and however they change, what arrives is what was sent, and all of it
// has arrived when nothing holds it back any more, then the end.
func TestTravelKeepsOrder(t *testing.T) {
	data := content(3 << 20)
	rapid.Check(t, func(t *rapid.T) {
		tr, now, l := newTravel(rapid.Uint64().Draw(t, "seed")), epoch, drawLane(t)
		sent, got := 0, 0
		buf := make([]byte, maxPiece)
		take := func() {
			n := tr.take(now, l, buf[:rapid.IntRange(1, len(buf)).Draw(t, "room")])
			if !bytes.Equal(buf[:n], data[got:got+n]) {
				t.Fatalf("after %d bytes come other ones than were sent", got)
			}
			if got += n; got > sent {
				t.Fatalf("%d bytes came of %d", got, sent)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				n := min(rapid.IntRange(1, maxWaiting).Draw(t, "bytes"), len(data)-sent)
				tr.waiting.Write(data[sent : sent+n])
				sent += n
			},
			"pass": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "time")))
			},
			"lane": func(t *rapid.T) { l = drawLane(t) },
			"": func(t *rapid.T) {
				tr.step(now, l)
				take()
				if tr.flying.Len() > maxFlying {
					t.Fatalf("%d bytes fly", tr.flying.Len())
				}
			},
		})
		l = &lane{Rule: drawRule(t)}
		tr.finish(now, l, io.EOF)
		for range 100_000 {
			leaves, before := tr.step(now, l), got
			take()
			next := tr.next(leaves, l)
			if err := tr.over(now, l); err != nil {
				if got != sent || !errors.Is(err, io.EOF) {
					t.Fatalf("the end came after %d of %d bytes: %v", got, sent, err)
				}
				return
			}
			if got == before && !next.After(now) {
				t.Fatalf("nothing arrives at %v, and it is to be asked again at %v", now, next)
			}
			now = later(now, next)
		}
		t.Fatal("it never ends")
	})
}

// arrivals plays a travel that is asked exactly when it wants to be, and calls fn for what arrives.
func arrivals(t *rapid.T, tr *travel, now time.Time, l *lane, fn func(at time.Time, n int)) {
	buf := make([]byte, maxPiece)
	for {
		leaves := tr.step(now, l)
		for n := tr.take(now, l, buf); n > 0; n = tr.take(now, l, buf) {
			fn(now, n)
		}
		if tr.idle() {
			return
		}
		next := tr.next(leaves, l)
		if !next.After(now) {
			t.Fatalf("at %v it wants to be asked again at %v", now, next)
		}
		now = next
	}
}

// TestTravelIsNeverEarly: no byte arrives before its latency has passed, and without loss none much later.
func TestTravelIsNeverEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lane{Rule: drawRule(t)}
		l.trip = l.Latency + time.Duration(rapid.Int64Range(0, int64(100*time.Millisecond)).Draw(t, "back"))
		tr := newTravel(rapid.Uint64().Draw(t, "seed"))
		tr.waiting.Write(content(rapid.IntRange(1, 4*maxPiece).Draw(t, "bytes")))
		arrivals(t, tr, epoch, l, func(at time.Time, _ int) {
			switch took := at.Sub(epoch); {
			case took < l.Latency:
				t.Fatalf("arrived after %v with a latency of %v", took, l.Latency)
			case l.Loss == 0 && took > l.Latency+l.Jitter:
				t.Fatalf("arrived after %v with a latency of %v and jitter of %v", took, l.Latency, l.Jitter)
			case took > l.Latency+l.Jitter+maxLost*(l.trip+resend):
				t.Fatalf("arrived after %v: later than any loss explains", took)
			}
		})
	})
}

// TestLossOnlyDelays: with the same bytes and without jitter, loss makes each of them arrive as early at most.
func TestLossOnlyDelays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lane{Rule: drawRule(t), link: drawBucket(t, "link")}
		l.Jitter, l.trip = 0, 2*l.Latency
		size := rapid.IntRange(1, 4*maxPiece).Draw(t, "bytes")
		play := func(loss float64) (at []time.Time) {
			l.Loss = loss
			if l.link != nil {
				l.link = &bucket{rate: l.link.rate}
			}
			tr := newTravel(7)
			tr.waiting.Write(make([]byte, size))
			arrivals(t, tr, epoch, l, func(now time.Time, n int) {
				for range n {
					at = append(at, now)
				}
			})
			return at
		}
		clean, lossy := play(0), play(l.Loss)
		if len(clean) != size || len(lossy) != size {
			t.Fatalf("%d bytes sent, %d arrive without loss, %d with", size, len(clean), len(lossy))
		}
		for i := range clean {
			if lossy[i].Before(clean[i]) {
				t.Fatalf("byte %d arrives %v earlier with loss", i, clean[i].Sub(lossy[i]))
			}
		}
	})
}

// TestRateIsKept: over any span of time no more goes through a bucket than its rate allows, its credit and a piece, however
// many share it; and they use all of it.
func TestRateIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shared := &bucket{rate: rapid.Int64Range(10_000, 200_000_000).Draw(t, "rate")}
		all := make([]*travel, rapid.IntRange(1, 4).Draw(t, "connections"))
		l := &lane{total: shared}
		size := 0
		for i := range all {
			all[i] = newTravel(uint64(i))
			n := rapid.IntRange(1, 1<<20).Draw(t, "bytes")
			all[i].waiting.Write(make([]byte, n))
			size += n
		}
		type arrival struct {
			at time.Time
			n  int
		}
		var seen []arrival
		buf := make([]byte, maxPiece)
		for now := epoch; ; {
			var next time.Time
			for i, tr := range all {
				leaves := tr.step(now, l)
				for n := tr.take(now, l, buf); n > 0; n = tr.take(now, l, buf) {
					seen = append(seen, arrival{now, n})
				}
				at := tr.next(leaves, l)
				if !at.IsZero() && !at.After(now) {
					t.Fatalf("connection %d at %v wants to be asked again at %v", i, now, at)
				}
				next = until(next, at)
			}
			if next.IsZero() {
				break
			}
			now = next.Add(time.Duration(rapid.Int64Range(0, int64(credit)/2).Draw(t, "late")))
		}
		sum := func(span time.Duration) float64 { return float64(shared.rate) * span.Seconds() }
		for i := range seen {
			n := 0
			for j := i; j < min(len(seen), i+200); j++ {
				n += seen[j].n
				if most := sum(seen[j].at.Sub(seen[i].at)+2*credit) + float64(l.piece()*len(all)); float64(n) > most+1 {
					t.Fatalf("%d bytes in %v at %d bytes/s", n, seen[j].at.Sub(seen[i].at), shared.rate)
				}
			}
		}
		took := seen[len(seen)-1].at.Sub(epoch)
		if least := sum(took - 2*credit - pieceTime*time.Duration(len(all))); float64(size) < least {
			t.Fatalf("%d bytes took %v at %d bytes/s", size, took, shared.rate)
		}
	})
}

// TestFairness: who shares a rate waits for one piece of each other, not for all that the others have to send.
func TestFairness(t *testing.T) {
	l := &lane{total: &bucket{rate: 1_000_000}}
	bulk, ping := newTravel(1), newTravel(2)
	bulk.waiting.Write(make([]byte, maxWaiting))
	bulk.step(epoch, l)
	ping.waiting.Write(make([]byte, 10))
	now, buf := epoch, make([]byte, maxPiece)
	for ping.take(now, l, buf) == 0 {
		leaves := bulk.step(now, l)
		for bulk.take(now, l, buf) > 0 {
		}
		next := until(bulk.next(leaves, l), ping.next(ping.step(now, l), l))
		if next.After(now) {
			now = next
		}
	}
	if took := now.Sub(epoch); took > 2*pieceTime {
		t.Errorf("a ping waited %v behind the bulk of another connection", took)
	}
}

func TestCutHoldsBack(t *testing.T) {
	open, cut := &lane{Rule: Rule{Latency: time.Second}}, &lane{Rule: Rule{Cut: true, Latency: time.Second}}
	lost := &lane{Rule: Rule{Loss: 1}}
	tr, buf := newTravel(1), make([]byte, 10)
	tr.waiting.WriteString("flying")
	tr.step(epoch, open)
	tr.waiting.WriteString(" then waiting")
	now := epoch.Add(time.Hour)
	for _, l := range []*lane{cut, lost} {
		if next := tr.next(tr.step(now, l), l); !next.IsZero() || tr.take(now, l, buf) > 0 || tr.over(now, l) != nil {
			t.Errorf("something goes through %+v: %v", l.Rule, next)
		}
	}
	if tr.step(now, open); tr.take(now, open, buf) != len("flying") {
		t.Errorf("what had left before does not arrive after healing: %q", buf)
	}
	if next := tr.next(tr.step(now, open), open); !next.Equal(now.Add(time.Second)) {
		t.Errorf("what waited arrives at %v, not a second after healing", next)
	}
}

// TestNewRate: what waits for its turn at one rate waits no longer when the rate is another one.
func TestNewRate(t *testing.T) {
	slow, fast := &lane{link: &bucket{rate: 1}}, &lane{link: &bucket{rate: 1_000_000}}
	tr := newTravel(1)
	tr.waiting.Write(make([]byte, 1000))
	if leaves := tr.step(epoch, slow); leaves.Before(epoch.Add(10 * time.Minute)) {
		t.Fatalf("1,000 bytes leave at %v at 1 byte/s", leaves)
	}
	tr.step(epoch, fast)
	if n := tr.take(epoch.Add(time.Millisecond), fast, make([]byte, 1000)); n != 1000 {
		t.Errorf("%d bytes arrive at the new rate", n)
	}
}

func TestPiece(t *testing.T) {
	for _, tt := range []struct {
		link, total int64
		want        int
	}{{0, 0, maxPiece}, {1, 0, segment}, {1_000_000, 0, 10_000}, {1_000_000, 500_000, 5_000}, {1 << 40, 0, maxPiece}} {
		l := &lane{}
		if tt.link > 0 {
			l.link = &bucket{rate: tt.link}
		}
		if tt.total > 0 {
			l.total = &bucket{rate: tt.total}
		}
		if got := l.piece(); got != tt.want {
			t.Errorf("piece at %d and %d bytes/s: %d, want %d", tt.link, tt.total, got, tt.want)
		}
	}
}
