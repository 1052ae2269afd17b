package link

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const away = "127.0.0.1:4001" // where the other end of a test listens

// twoWays is a plan with a rule for each direction to and from the other end.
func twoWays(out, in Rule) Plan {
	return Plan{Peers: map[string]string{away: "other"}, Out: map[string]Rule{"other": out}, In: map[string]Rule{"other": in}}
}

// pipe is a shaped connection to a raw one, in memory; in a bubble of synctest its times are exact.
func pipe(t *testing.T, p Plan) (*Bed, *conn, net.Conn) {
	t.Helper()
	b := &Bed{}
	b.apply(p)
	near, far := net.Pipe()
	c := b.wrap(near, away)
	t.Cleanup(func() {
		c.Close()
		far.Close()
		time.Sleep(orphanTime) // in the bubble it takes no time
	})
	return b, c, far
}

// got reads n bytes and says when they were there.
func got(t *testing.T, c net.Conn, want []byte) time.Duration {
	t.Helper()
	start, b := time.Now(), make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		t.Fatalf("other bytes came than were sent: %.20q, not %.20q", b, want)
	}
	return time.Since(start)
}

func send(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if n, err := c.Write(b); n != len(b) || err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(b), err)
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, far := pipe(t, twoWays(Rule{Latency: 20 * time.Millisecond}, Rule{Latency: 30 * time.Millisecond}))
		for range 3 {
			send(t, c, []byte("ping"))
			if took := got(t, far, []byte("ping")); took != 20*time.Millisecond {
				t.Errorf("there in %v", took)
			}
			go far.Write([]byte("pong"))
			if took := got(t, c, []byte("pong")); took != 30*time.Millisecond {
				t.Errorf("back in %v", took)
			}
		}
	})
}

// TestRate: 10 s of full speed take 10 s, alone and when several connections share it, in both directions.
func TestRate(t *testing.T) {
	const mbit, seconds = 1_000_000 / 8, 10
	for _, tt := range []struct {
		name  string
		plan  Plan
		rate  int
		conns int
	}{
		{"link 10 Mbit/s", twoWays(Rule{Rate: 10 * mbit}, Rule{Rate: 10 * mbit}), 10 * mbit, 1},
		{"link with latency", twoWays(Rule{Rate: mbit, Latency: 100 * time.Millisecond}, Rule{Rate: mbit, Latency: 100 * time.Millisecond}), mbit, 1},
		{"all together", Plan{Up: 8 * mbit, Down: 8 * mbit}, 8 * mbit, 4},
	} {
		for _, up := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := &Bed{}
					b.apply(tt.plan)
					data := content(tt.rate * seconds / tt.conns)
					start := time.Now()
					var all sync.WaitGroup
					for range tt.conns {
						near, far := net.Pipe()
						from, to := net.Conn(b.wrap(near, away)), net.Conn(far)
						if !up {
							from, to = to, from
						}
						all.Go(func() { from.Write(data) })
						all.Go(func() {
							defer from.Close()
							defer to.Close()
							got(t, to, data)
						})
					}
					all.Wait()
					if took := time.Since(start); took < seconds*time.Second*98/100 || took > seconds*time.Second*102/100 {
						t.Errorf("%v for %d s of bytes", took, seconds)
					}
					time.Sleep(orphanTime)
				})
			})
		}
	}
}

// TestCutAndHeal: what a cut holds back arrives after healing, in order and only then, in the direction that is cut.
func TestCutAndHeal(t *testing.T) {
	for name, cut := range map[string]Plan{
		"both":    twoWays(Rule{Cut: true}, Rule{Cut: true}),
		"there":   twoWays(Rule{Cut: true}, Rule{}),
		"back":    twoWays(Rule{}, Rule{Cut: true}),
		"latency": twoWays(Rule{Cut: true, Latency: time.Second}, Rule{Cut: true, Latency: time.Second}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, c, far := pipe(t, Plan{})
				there, back := reader(c), reader(far)
				send(t, far, []byte("before "))
				send(t, c, []byte("before "))
				synctest.Wait()
				b.apply(cut)
				go far.Write([]byte("during "))
				go c.Write([]byte("during "))
				time.Sleep(time.Minute)
				synctest.Wait()
				for _, way := range []struct {
					cut bool
					in  *inbox
				}{{cut.In["other"].Cut, there}, {cut.Out["other"].Cut, back}} {
					want := "before during "
					if way.cut {
						want = "before "
					}
					if got := way.in.String(); got != want {
						t.Errorf("cut %v: %q arrived, not %q", way.cut, got, want)
					}
				}
				b.apply(Plan{})
				time.Sleep(time.Millisecond)
				go far.Write([]byte("after"))
				go c.Write([]byte("after"))
				time.Sleep(time.Millisecond)
				synctest.Wait()
				for _, in := range []*inbox{there, back} {
					if got := in.String(); got != "before during after" {
						t.Errorf("%q arrived in the end", got)
					}
				}
				if c.in.busy || c.out.busy {
					t.Error("a healed connection is still carried")
				}
			})
		})
	}
}

// inbox is what came out of a connection so far.
type inbox struct {
	mu  sync.Mutex
	b   []byte
	err error
}

func reader(c net.Conn) *inbox {
	in := &inbox{}
	go func() {
		buf := make([]byte, 1000)
		for {
			n, err := c.Read(buf)
			in.mu.Lock()
			in.b, in.err = append(in.b, buf[:n]...), err
			in.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return in
}

func (in *inbox) String() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return string(in.b)
}

func (in *inbox) end() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.err
}

// TestRulesThatChange: bytes keep their order while the rules change under way, and all arrive.
func TestRulesThatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, far := pipe(t, Plan{})
		plans := []Plan{{}, twoWays(Rule{Rate: 3_000_000}, Rule{Latency: 30 * time.Millisecond}), {Up: 2_000_000, Down: 1_000_000},
			twoWays(Rule{Cut: true}, Rule{}), twoWays(Rule{Loss: 0.1, Latency: 5 * time.Millisecond}, Rule{Cut: true}), {}}
		data := content(8 << 20)
		var all sync.WaitGroup
		for _, way := range [][2]net.Conn{{c, far}, {far, c}} {
			all.Go(func() {
				for rest := data; len(rest) > 0; rest = rest[min(len(rest), 50_000):] {
					way[0].Write(rest[:min(len(rest), 50_000)])
				}
			})
			all.Go(func() { got(t, way[1], data) })
		}
		ended := make(chan struct{})
		go func() {
			all.Wait()
			close(ended)
		}()
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			case <-time.After(70 * time.Millisecond):
				b.apply(plans[i%len(plans)])
			}
		}
	})
}

func TestDeadlines(t *testing.T) {
	for name, p := range map[string]Plan{"plain": {}, "slow": {Up: 1000, Down: 1000}, "cut": twoWays(Rule{Cut: true}, Rule{Cut: true})} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, _ := pipe(t, p)
				big := make([]byte, 2*maxWaiting)
				for range 2 {
					start := time.Now()
					must(t, c.SetReadDeadline(start.Add(time.Second)))
					if _, err := c.Read(big); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
						t.Errorf("Read: %v after %v", err, time.Since(start))
					}
					start = time.Now()
					must(t, c.SetWriteDeadline(start.Add(time.Second)))
					if n, err := c.Write(big); n == len(big) || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
						t.Errorf("Write: %d, %v after %v", n, err, time.Since(start))
					}
				}
				must(t, c.SetDeadline(time.Time{}))
				ended := make(chan error)
				go func() {
					_, err := c.Read(big)
					ended <- err
				}()
				synctest.Wait()
				must(t, c.SetDeadline(time.Now()))
				if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("a Read that waits: %v", err)
				}
			})
		})
	}
}

// TestDeadlineIsNotTheCouriers: a deadline that passes after Write has returned takes nothing back.
func TestDeadlineIsNotTheCouriers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, far := pipe(t, twoWays(Rule{Latency: time.Second}, Rule{Latency: time.Second}))
		must(t, c.SetDeadline(time.Now().Add(time.Millisecond)))
		send(t, c, []byte("late"))
		got(t, far, []byte("late"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		go far.Write([]byte("later"))
		time.Sleep(2 * time.Second)
		must(t, c.SetDeadline(time.Time{}))
		if took := got(t, c, []byte("later")); took != 0 {
			t.Errorf("read after %v", took)
		}
	})
}

// TestHealingKeepsOrder: what is written to or read from a plain connection comes behind what still flies.
func TestHealingKeepsOrder(t *testing.T) {
	late := Rule{Latency: time.Second}
	synctest.Test(t, func(t *testing.T) {
		b, c, far := pipe(t, twoWays(late, late))
		there, back := reader(far), reader(c)
		send(t, c, []byte("first "))
		send(t, far, []byte("first "))
		synctest.Wait()
		b.apply(Plan{})
		send(t, c, []byte("second"))
		send(t, far, []byte("second"))
		time.Sleep(time.Second)
		synctest.Wait()
		if there.String() != "first second" || back.String() != "first second" {
			t.Errorf("%q, %q", there, back)
		}
	})
}

// TestDeadlineOutlivesShaping: a deadline is set once, and the rules change before it has passed.
func TestDeadlineOutlivesShaping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c, far := pipe(t, twoWays(Rule{Latency: time.Millisecond}, Rule{Latency: time.Millisecond}))
		start := time.Now()
		must(t, c.SetDeadline(start.Add(time.Minute)))
		for range 2 { // of each, one is carried and one goes straight
			go far.Write([]byte("x"))
			got(t, c, []byte("x"))
			go c.Write([]byte("x"))
			got(t, far, []byte("x"))
			synctest.Wait()
			b.apply(Plan{})
		}
		ended := make(chan error)
		go func() { ended <- second(c.Read(make([]byte, 1))) }()
		go func() { ended <- second(c.Write(make([]byte, 1))) }()
		for range 2 {
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		}
	})
}

// TestSlowReader: nothing runs hot while a reader takes its time, and everything comes when it does not.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, far := pipe(t, twoWays(Rule{}, Rule{Latency: time.Millisecond, Rate: 100_000_000}))
		data := content(3 * maxFlying)
		go far.Write(data)
		got(t, c, data[:1])
		time.Sleep(time.Minute)
		got(t, c, data[1:])
	})
}

// TestMemory: what a sender can leave with a connection that is cut or slow is bounded.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, far := pipe(t, twoWays(Rule{Latency: time.Minute}, Rule{Latency: time.Minute}))
		must(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
		if n, err := c.Write(make([]byte, 20<<20)); err == nil || n > maxFlying+maxWaiting+maxPiece {
			t.Errorf("took %d bytes: %v", n, err)
		}
		must(t, c.SetReadDeadline(time.Now()))
		c.Read(make([]byte, 1)) // the pump starts
		must(t, far.SetWriteDeadline(time.Now().Add(time.Second)))
		if n, err := far.Write(make([]byte, 20<<20)); err == nil || n > maxFlying+2*maxPiece {
			t.Errorf("read ahead %d bytes: %v", n, err)
		}
	})
}
