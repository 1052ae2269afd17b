package chunks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/shoal-p2p/shoal/blockstore"
	chunkspb "github.com/shoal-p2p/shoal/protocols/chunks/pb"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// rawAnswer opens a stream, greets, and gives every byte of the answer.
func rawAnswer(t *testing.T, ctx context.Context, from, to host.Host, hello *chunkspb.Hello) []byte {
	t.Helper()
	s, err := from.NewStream(ctx, to.ID(), ID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	if err := wire.WriteMsg(s, hello); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A stranger cannot tell a set that is not here from one that is kept from him.
func TestPrivateLooksMissing(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		here, missing := blockstore.Digest(w.src.set), blockstore.Digest(blockstore.Sum(cid.Raw, nil))
		private := rawAnswer(t, ctx, w.stranger, w.server, &chunkspb.Hello{Set: here[:], Capability: []byte("guess")})
		absent := rawAnswer(t, ctx, w.stranger, w.server, &chunkspb.Hello{Set: missing[:], Capability: []byte("guess")})
		if !bytes.Equal(private, absent) || len(private) == 0 {
			t.Errorf("private %x, missing %x", private, absent)
		}
		if _, err := Open(ctx, w.stranger, w.server.ID(), w.src.set, nil); !errors.Is(err, ErrNotFound) || !errors.Is(err, blockstore.ErrNotFound) {
			t.Errorf("stranger: %v", err)
		}
		s, err := Open(ctx, w.stranger, w.server.ID(), w.src.set, []byte("invite"))
		if err != nil {
			t.Fatalf("with an invite: %v", err)
		}
		s.Close()
	})
}

func TestTooManySessions(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		var open []*Session
		for range MaxStreams {
			open = append(open, w.session(t, ctx))
		}
		if _, err := Open(ctx, w.reader, w.server.ID(), w.src.set, nil); !errors.Is(err, ErrBusy) {
			t.Errorf("session %d: %v", MaxStreams+1, err)
		}
		if s, err := Open(ctx, w.stranger, w.server.ID(), w.src.set, []byte("invite")); err != nil {
			t.Errorf("another peer: %v", err)
		} else {
			s.Close()
		}
		for _, s := range open {
			s.Close()
		}
		time.Sleep(time.Second)
		w.session(t, ctx).Close()
	})
}

func always(l *rate.Limiter) func(network.Conn, cid.Cid) Limiter {
	return func(network.Conn, cid.Cid) Limiter { return bucket{l} }
}

// bucket is a Limiter.
type bucket struct{ *rate.Limiter }

func (b bucket) Wait(ctx context.Context, n int) (int, error) {
	n = min(n, b.Burst(), Piece)
	return n, b.WaitN(ctx, n)
}

// The limiter holds in bytes, also where its burst is smaller than our pieces, and a slow limit does
// not make the client give up.
func TestLimiter(t *testing.T) {
	for _, test := range []struct {
		perSecond, burst, block, count int
	}{
		{1 << 20, 1 << 20, 1 << 20, 3},
		{1 << 20, 1000, 1 << 20, 3},
		{4 << 10, 16 << 10, 1 << 20, 3}, // 256 seconds for one block
		{1 << 10, 1 << 10, 1000, 60},    // a minute until the replies are worth a write
		{100, 10, 60_000, 1},            // one of ten that share the least limit
	} {
		o := ServerOptions{Limit: always(rate.NewLimiter(rate.Limit(test.perSecond), test.burst))}
		inWorld(t, o, func(t *testing.T, ctx context.Context, w *world) {
			var cids []cid.Cid
			for i := range test.count {
				cids = append(cids, w.src.add(cid.Raw, random(byte(i), test.block)))
			}
			s := w.session(t, ctx)
			defer s.Close()
			begin := time.Now()
			if err := s.Want(cids); err != nil {
				t.Fatal(err)
			}
			for range cids {
				r, err := s.Next(nil)
				if err != nil || blockstore.Verify(r.Cid, r.Data) != nil {
					t.Fatalf("%+v: %v after %v", test, err, time.Since(begin))
				}
			}
			want := time.Duration(test.count*test.block-test.burst) * time.Second / time.Duration(test.perSecond)
			if took := time.Since(begin); took < want || took > want*11/10+time.Second {
				t.Errorf("%+v: took %v, want %v", test, took, want)
			}
		})
	}
}

// A throttle is asked for every byte of every reply, and what it takes is the peer's fault in no way: a block that takes
// longer than a server waits comes all the same.
func TestThrottle(t *testing.T) {
	const k = 1 << 10
	for _, test := range []struct{ perSecond, block, count int }{
		{64 * k, 256 * k, 8}, {16 * k, 256 * k, 2}, {4 * k, 256 * k, 1}, {k, 256 * k, 1}, {1000, 1024 * k, 2},
	} {
		perSecond, block, count := test.perSecond, test.block, test.count
		inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
			var cids []cid.Cid
			for i := range count {
				cids = append(cids, w.src.add(cid.Raw, random(byte(i), block)))
			}
			s := w.session(t, ctx)
			defer s.Close()
			limit, allowed := bucket{rate.NewLimiter(rate.Limit(perSecond), perSecond)}, 0
			s.Throttle(func(n int) (int, error) {
				n, err := limit.Wait(ctx, n)
				allowed += n
				return n, err
			})
			begin := time.Now()
			if err := s.Want(cids); err != nil {
				t.Fatal(err)
			}
			for range cids {
				r, err := s.Next(nil)
				if err != nil || blockstore.Verify(r.Cid, r.Data) != nil {
					t.Fatalf("%d a second: %v after %v", perSecond, err, time.Since(begin))
				}
			}
			if want := count * (replyHeader + block); allowed != want {
				t.Errorf("%d bytes were allowed, %d came", allowed, want)
			}
			if took, want := time.Since(begin), time.Duration(allowed-perSecond)*time.Second/time.Duration(perSecond); took < want || took > want+time.Second {
				t.Errorf("%d a second: took %v, want %v", perSecond, took, want)
			}
		})
	}
}

func TestThrottleThatRefuses(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		s, no := w.session(t, ctx), errors.New("no")
		defer s.Close()
		s.Throttle(func(int) (int, error) { return 0, no })
		if err := s.Want([]cid.Cid{w.src.add(cid.Raw, random(1, 100))}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Next(nil); !errors.Is(err, no) {
			t.Errorf("refused: %v", err)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		c := w.src.add(cid.Raw, random(1, 1<<20))
		ends := map[string]func(s *Session){
			"close":      func(s *Session) { s.Close() },
			"server":     func(*Session) { w.stop(); w.stop = Register(w.server, w.src, ServerOptions{}) },
			"connection": func(*Session) { w.reader.Network().ClosePeer(w.server.ID()) },
		}
		for name, end := range ends {
			for _, wanted := range []int{0, 3, 40} {
				s := w.session(t, ctx)
				for range wanted {
					if err := s.Want([]cid.Cid{c}); err != nil {
						t.Fatal(err)
					}
				}
				failed := make(chan error, 1)
				go func() {
					for {
						if _, err := s.Next(nil); err != nil {
							failed <- err
							return
						}
						time.Sleep(100 * time.Millisecond)
					}
				}()
				time.Sleep(500 * time.Millisecond)
				end(s)
				if name != "close" && wanted < 40 {
					s.Close() // with nothing outstanding, Next waits for the caller's own next Want
				}
				if err := <-failed; name == "close" && !errors.Is(err, ErrClosed) {
					t.Errorf("%s with %d wanted: %v", name, wanted, err)
				}
				if err := s.Want([]cid.Cid{c}); err == nil {
					t.Errorf("%s with %d wanted: Want after the end", name, wanted)
				}
				time.Sleep(5 * time.Second)
				if n := w.src.open.Load(); n != 0 {
					t.Errorf("%s with %d wanted: %d sessions left on the server", name, wanted, n)
				}
			}
		}
	})
}

func TestOpenObeysItsContext(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		w.stranger.SetStreamHandler(ID, func(s network.Stream) { io.Copy(io.Discard, s); s.Reset() })
		if err := w.reader.Connect(ctx, peer.AddrInfo{ID: w.stranger.ID(), Addrs: w.stranger.Addrs()}); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		if _, err := Open(ctx, w.reader, w.stranger.ID(), w.src.set, nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// A source that hangs does not keep a session whose client is gone, nor the server from closing.
func TestHangingSource(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		w.src.get = func(ctx context.Context, _ cid.Cid) error { <-ctx.Done(); return ctx.Err() }
		s := w.session(t, ctx)
		if err := s.Want([]cid.Cid{blockstore.Sum(cid.Raw, nil)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.Close()
		time.Sleep(time.Second)
		if n := w.src.open.Load(); n != 0 {
			t.Error("the session of a client that is gone hangs")
		}
		s = w.session(t, ctx)
		if err := s.Want([]cid.Cid{blockstore.Sum(cid.Raw, nil)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Next(nil); err == nil { // after its own frame timeout
			t.Error("a reply out of nothing")
		}
	})
}

// A server that has sent all of a block, and heard nothing for a minute, ends the session; the block that is still being read
// comes all the same, also if another one is wanted meanwhile.
func TestWantBehindAnEnd(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		a, b := w.src.add(cid.Raw, random(1, 256<<10)), w.src.add(cid.Raw, random(2, 100))
		s := w.session(t, ctx)
		defer s.Close()
		limit := bucket{rate.NewLimiter(1000, 1000)}
		s.Throttle(func(n int) (int, error) { return limit.Wait(ctx, n) })
		if err := s.Want([]cid.Cid{a}); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(100*time.Second, func() { _ = s.Want([]cid.Cid{b}) }) // may fail, or not yet
		if r, err := s.Next(nil); err != nil || blockstore.Verify(r.Cid, r.Data) != nil {
			t.Errorf("the first block: %v", err)
		}
		if _, err := s.Next(nil); err == nil {
			t.Error("the server did not end the session")
		}
	})
}
