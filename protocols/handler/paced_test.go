package handler

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A peer is given up for silence and for a drip, within a bound, and for nothing else: not for how long a message takes.
func TestPaced(t *testing.T) {
	for name, c := range map[string]struct {
		size    int           // of the message
		piece   int           // that comes at once
		every   time.Duration // that long after the one before
		burst   int           // that comes first, at once
		gone    time.Duration // when the reader has given up; 0 = it gets all of it
		notices bool
	}{
		"silence":             {1000, 1000, time.Hour, 0, 30 * time.Second, false},
		"drip":                {1 << 20, 1, time.Second, 0, 31 * time.Second, false},
		"drip of half a rate": {1 << 20, Slowest / 2, time.Second, 0, 61 * time.Second, false},
		"drip after a burst":  {1 << 20, 1, time.Second, 1 << 19, 31 * time.Second, true},
		"slow":                {20_000, 100, time.Second, 0, 0, true},
		"slow, in lumps":      {50_000, 5_000, 25 * time.Second, 0, 0, true},
		"fast":                {1 << 20, 1 << 16, time.Millisecond, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer ours.Close()
				go func() {
					defer theirs.Close()
					if _, err := theirs.Write(make([]byte, c.burst)); c.burst > 0 && err != nil {
						return
					}
					for left := c.size - c.burst; left > 0; left -= c.piece {
						select {
						case <-time.After(c.every):
						case <-t.Context().Done():
							return
						}
						if _, err := theirs.Write(make([]byte, c.piece)); err != nil {
							return
						}
					}
				}()
				came := 0
				p := Paced{From: ours, Patience: 30 * time.Second, Came: func(n int) { came += n }}
				p.Begin()
				begun := time.Now()
				n, err := io.ReadFull(&p, make([]byte, c.size))
				took := time.Since(begun)
				switch {
				case c.gone == 0 && err != nil:
					t.Errorf("%d bytes, %v after %v", n, err, took)
				case c.gone > 0 && (!errors.Is(err, os.ErrDeadlineExceeded) || took > c.gone || took < c.gone-3*time.Second):
					t.Errorf("%v after %v, want the end after %v", err, took, c.gone)
				case came > n || c.notices != (came > 0):
					t.Errorf("told of %d bytes of %d", came, n)
				}
				ours.Close()
				synctest.Wait()
			})
		})
	}
}

// What we do not want to read for a while is not the peer's fault.
func TestPacedRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		go theirs.Write(make([]byte, 1000))
		p := Paced{From: ours, Patience: 30 * time.Second, Most: 10}
		p.Begin()
		for got := 0; got < 1000; {
			time.Sleep(20 * time.Second)
			p.Rested(20 * time.Second)
			n, err := p.Read(make([]byte, 100))
			if got += n; err != nil || n > p.Most {
				t.Fatalf("%d bytes, then %d: %v", got, n, err)
			}
		}
	})
}
