package swarm

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"pgregory.net/rapid"
)

// counted counts the calls of Write and the bytes they carried.
type counted struct {
	net.Conn
	calls, bytes atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.calls.Add(1)
	c.bytes.Add(int64(n))
	return n, err
}

// securePair is a corked client and its server over a real socket; raw is under the client.
func securePair(t testing.TB) (client, server sec.SecureConn, raw *counted) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw = &counted{Conn: conn}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var sides [2]*corkedTLS
	var ids [2]peer.ID
	for i := range sides {
		key, _, _ := crypto.GenerateEd25519Key(rand.Reader)
		ids[i], _ = peer.IDFromPrivateKey(key)
		if sides[i], err = newCorkedTLS(libp2ptls.ID, key, nil); err != nil {
			t.Fatal(err)
		}
	}
	var serverErr error
	var wg sync.WaitGroup
	wg.Go(func() { server, serverErr = sides[1].SecureInbound(t.Context(), other, ids[0]) })
	client, err = sides[0].SecureOutbound(t.Context(), raw, ids[1])
	wg.Wait()
	if err = errors.Join(err, serverErr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server, raw
}

func TestCorkLeavesNothingBehind(t *testing.T) {
	client, server, raw := securePair(t)
	rapid.Check(t, func(rt *rapid.T) {
		data := make([]byte, rapid.SampledFrom([]int{
			1, 100, record - 1, record, record + 1, 65 << 10, maxMessage + 12, 600_001,
		}).Draw(rt, "size"))
		rand.Read(data)
		got := make([]byte, len(data))
		var wg sync.WaitGroup
		var readErr error
		wg.Go(func() { _, readErr = io.ReadFull(server, got) })
		before := raw.bytes.Load()
		if n, err := client.Write(data); n != len(data) || err != nil {
			rt.Fatalf("wrote %d of %d bytes: %v", n, len(data), err)
		}
		if sent := raw.bytes.Load() - before; sent < int64(len(data)) {
			rt.Fatalf("the write of %d bytes returned when %d were sent", len(data), sent)
		}
		if wg.Wait(); readErr != nil || !bytes.Equal(got, data) {
			rt.Fatalf("read something else: %v", readErr)
		}
	})
}

func TestCorkSavesSystemCalls(t *testing.T) {
	client, server, raw := securePair(t)
	go io.Copy(io.Discard, server)
	frame := make([]byte, maxMessage)
	for range 10 { // past the short records that TLS begins with
		client.Write(frame)
	}
	before := raw.calls.Load()
	client.Write(frame)
	if n := raw.calls.Load() - before; n != 4 {
		t.Errorf("a frame of %d bytes took %d writes, want 4", len(frame), n)
	}
	before = raw.calls.Load()
	client.Write(frame[:100])
	if n := raw.calls.Load() - before; n != 1 {
		t.Errorf("a small message took %d writes, want 1", n)
	}
}

func TestCorkWithManyWriters(t *testing.T) {
	client, server, _ := securePair(t)
	const writers, times = 4, 30
	var wg sync.WaitGroup
	total := 0
	for w := range writers {
		size := 1 + w*30_000
		total += size * times
		wg.Go(func() {
			for range times {
				if _, err := client.Write(make([]byte, size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if n, err := io.CopyN(io.Discard, server, int64(total)); err != nil {
		t.Errorf("read %d of %d bytes: %v", n, total, err)
	}
	wg.Wait()
}

func TestCorkKeepsDeadlines(t *testing.T) {
	client, _, _ := securePair(t) // nobody reads
	client.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	var err error
	for range 1000 { // more than sockets buffer
		if _, err = client.Write(make([]byte, maxMessage)); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the blocked write ended with %v", err)
	}
	client.SetWriteDeadline(time.Time{})
	if _, err := client.Write([]byte("x")); err == nil {
		t.Error("wrote after a hole in the stream")
	}
}

func TestCloseEndsABlockedWrite(t *testing.T) {
	client, _, _ := securePair(t) // nobody reads
	ended := make(chan error)
	go func() {
		for {
			if _, err := client.Write(make([]byte, maxMessage)); err != nil {
				ended <- err
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	<-ctx.Done() // by now it blocks; if not, the test proves less but cannot fail wrongly
	start := time.Now()
	client.Close()
	if took := time.Since(start); took > 3*time.Second { // TLS would wait 5 s to say farewell
		t.Errorf("Close took %v", took)
	}
	if err := <-ended; err == nil {
		t.Error("wrote to a closed connection")
	}
}
