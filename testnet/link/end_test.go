package link

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// TestEnd: the end of a connection travels as its bytes do, behind them.
func TestEnd(t *testing.T) {
	rule := Rule{Latency: 20 * time.Millisecond}
	synctest.Test(t, func(t *testing.T) {
		_, c, far := pipe(t, twoWays(rule, rule))
		start, in := time.Now(), reader(far)
		send(t, c, []byte("last words"))
		must(t, c.Close())
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
		if _, err := c.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Close after Close: %v", err)
		}
		synctest.Wait()
		if in.end() != nil {
			t.Error("the other end knows at once")
		}
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if in.String() != "last words" || in.end() != io.EOF {
			t.Errorf("%v later: %q, then %v", time.Since(start), in, in.end())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		_, c, far := pipe(t, twoWays(rule, rule))
		start := time.Now()
		go func() {
			far.Write([]byte("bye"))
			far.Close()
		}()
		got(t, c, []byte("bye"))
		if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(start) != 20*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// TestEndBehindCut: nobody learns of an end through a cut before healing, or before it has lasted too long.
func TestEndBehindCut(t *testing.T) {
	cut := twoWays(Rule{Cut: true}, Rule{Cut: true})
	t.Run("ours, healed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, c, far := pipe(t, cut)
			in := reader(far)
			send(t, c, []byte("x"))
			must(t, c.Close())
			time.Sleep(orphanTime / 2)
			synctest.Wait()
			if in.String() != "" || in.end() != nil {
				t.Fatal("the other end knows")
			}
			b.apply(Plan{})
			synctest.Wait()
			if in.String() != "x" || in.end() != io.EOF {
				t.Errorf("after healing: %q, %v", in, in.end())
			}
		})
	})
	t.Run("ours, never healed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c, far := pipe(t, cut)
			start, in := time.Now(), reader(far)
			must(t, c.Close())
			time.Sleep(orphanTime)
			synctest.Wait()
			if in.end() == nil {
				t.Errorf("not given up after %v", time.Since(start))
			}
		})
	})
	t.Run("theirs", func(t *testing.T) {
		deaf := twoWays(Rule{}, Rule{Cut: true})
		late := twoWays(Rule{Latency: time.Second}, Rule{Cut: true})
		for _, plans := range [][2]Plan{{{}, cut}, {cut, cut}, {{}, deaf}, {deaf, deaf}, {late, late}} {
			synctest.Test(t, func(t *testing.T) {
				b, c, far := pipe(t, plans[0]) // the pump runs, or a Read waits for the raw connection
				in := reader(c)
				synctest.Wait()
				b.apply(plans[1])
				far.Close()
				for range 2 { // what nobody receives is no error either
					send(t, c, []byte("hello?"))
					time.Sleep(time.Minute)
				}
				synctest.Wait()
				if in.end() != nil {
					t.Fatalf("learned through the cut: %v", in.end())
				}
				b.apply(Plan{})
				synctest.Wait()
				if in.end() != io.EOF {
					t.Errorf("after healing: %v", in.end())
				}
				if _, err := c.Write([]byte("hello?")); err == nil && plans[1].Out["other"] != cut.Out["other"] {
					t.Error("after healing a Write to nobody succeeds")
				}
			})
		}
	})
}

// TestEndOfOneWhoDoesNotRead: a connection whose other end reads nothing is closed all the same.
func TestEndOfOneWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, far := pipe(t, Plan{Up: 1_000_000})
		send(t, c, []byte("x"))
		time.Sleep(time.Second)
		must(t, c.Close())
		time.Sleep(orphanTime + time.Second)
		if n, err := far.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("read %d bytes, %v, of a connection that has ended long ago", n, err)
		}
	})
}

// TestCloseEndsCalls: Close ends a Read and a Write that wait, whatever they wait for, and leaves no goroutine.
func TestCloseEndsCalls(t *testing.T) {
	for name, p := range map[string]Plan{"plain": {}, "slow": {Up: 10, Down: 10}, "cut": twoWays(Rule{Cut: true}, Rule{Cut: true}), "late": twoWays(Rule{Latency: time.Minute}, Rule{Latency: time.Minute}), "deaf": twoWays(Rule{}, Rule{Cut: true})} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c, far := pipe(t, p)
				ended := make(chan error, 2)
				go far.Write(make([]byte, 2*maxPiece))
				go func() {
					_, err := io.Copy(io.Discard, c)
					ended <- err
				}()
				go func() {
					_, err := c.Write(make([]byte, 2*maxFlying))
					ended <- err
				}()
				time.Sleep(time.Second)
				start := time.Now()
				must(t, c.Close())
				for range 2 {
					if err := <-ended; err == nil {
						t.Error("a call succeeded in spite of Close")
					}
				}
				if time.Since(start) > 0 {
					t.Errorf("Close took %v to be noticed", time.Since(start))
				}
				far.Close()
				time.Sleep(orphanTime)
			})
		})
	}
}
