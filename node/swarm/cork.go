package swarm

import (
	"context"
	"net"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

const (
	// record is the most plain bytes of one TLS record; a write that fits one is one system call anyway.
	record = 16 << 10
	// corkSize holds four full records of 16,406 bytes. Measured with 256 KiB frames on loopback, two
	// cores: no cork 1.97 GB/s and 0.70 CPU s per GiB, 64 KiB 2.24 and 0.62, 128 KiB 2.13 and 0.61,
	// 256 KiB 1.95 and 0.60: larger pieces leave the receiver idle while they are encrypted.
	corkSize = 80 << 10
)

// corkedTLS is libp2p's TLS with one system call for four records of 16 KiB instead of one for each: the
// records of one Write are gathered and have all left before that Write returns. Nothing waits for a
// later Write, so nothing is delayed beyond the time of encrypting 64 KiB, some 30 microseconds.
type corkedTLS struct {
	*libp2ptls.Transport
	buffers *sync.Pool // of *[]byte with capacity corkSize; idle connections hold none
}

func newCorkedTLS(id protocol.ID, key crypto.PrivKey, muxers []upgrader.StreamMuxer) (*corkedTLS, error) {
	t, err := libp2ptls.New(id, key, muxers)
	if err != nil {
		return nil, err
	}
	return &corkedTLS{Transport: t, buffers: &sync.Pool{New: func() any {
		b := make([]byte, 0, corkSize)
		return &b
	}}}, nil
}

func (t *corkedTLS) SecureInbound(ctx context.Context, insecure net.Conn, p peer.ID) (sec.SecureConn, error) {
	raw := &corkedConn{Conn: insecure}
	c, err := t.Transport.SecureInbound(ctx, raw, p)
	return t.wrap(c, raw, err)
}

func (t *corkedTLS) SecureOutbound(ctx context.Context, insecure net.Conn, p peer.ID) (sec.SecureConn, error) {
	raw := &corkedConn{Conn: insecure}
	c, err := t.Transport.SecureOutbound(ctx, raw, p)
	return t.wrap(c, raw, err)
}

func (t *corkedTLS) wrap(c sec.SecureConn, raw *corkedConn, err error) (sec.SecureConn, error) {
	if err != nil {
		return nil, err
	}
	return &corkingConn{SecureConn: c, raw: raw, buffers: t.buffers}, nil
}

// corkingConn is the encrypted side: it corks the raw side for the time of a large Write.
type corkingConn struct {
	sec.SecureConn
	raw     *corkedConn
	buffers *sync.Pool
	// writing serialises Writes, as encryption does anyway: the bytes of a Write that returned must
	// not wait in a buffer for another's flush.
	writing sync.Mutex
	active  atomic.Int32 // Writes that have begun and not returned
}

// Close closes. As with plain TLS, there is no farewell while a Write is blocked: it would have to wait
// behind it.
func (c *corkingConn) Close() error {
	if c.active.Load() > 0 {
		c.raw.Conn.Close()
	}
	return c.SecureConn.Close()
}

func (c *corkingConn) Write(p []byte) (int, error) {
	c.active.Add(1)
	defer c.active.Add(-1)
	c.writing.Lock()
	defer c.writing.Unlock()
	if len(p) <= record {
		return c.SecureConn.Write(p)
	}
	buf := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(buf)
	c.raw.cork((*buf)[:0])
	n, err := c.SecureConn.Write(p)
	if flushErr := c.raw.uncork(); err == nil && flushErr != nil {
		return 0, flushErr
	}
	return n, err
}

// corkedConn is the raw side. While corked, what is written is gathered.
type corkedConn struct {
	net.Conn

	// mu guards the rest. It is held while gathered bytes are written, as any connection serialises
	// its writers: records must reach the wire in the order in which they were numbered.
	mu     sync.Mutex
	buf    []byte // gathered; nil when not corked
	failed error  // of a flush: the stream has a hole, so nothing may follow
}

func (c *corkedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return 0, c.failed
	}
	if c.buf == nil {
		return c.Conn.Write(p)
	}
	if len(c.buf)+len(p) > cap(c.buf) {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) > cap(c.buf) {
		return c.Conn.Write(p)
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

func (c *corkedConn) cork(buf []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = buf
}

func (c *corkedConn) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.flush()
	c.buf = nil
	return err
}

// flush writes what is gathered. The caller holds mu.
func (c *corkedConn) flush() error {
	if c.failed != nil || len(c.buf) == 0 {
		return c.failed
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	if err != nil {
		c.failed = err
	}
	return err
}
