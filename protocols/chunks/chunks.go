// Package chunks is the stream protocol that moves blocks: a client names a set, then wants blocks by
// CID, and gets them in the order it wanted them.
//
// Terms: a session is one stream, good for one set; a want is one frame with up to 64 CIDs; a reply is
// one block, or the reason why not. A source is where the serving node's blocks come from and who
// decides which peer may read which set.
//
// The session is strictly pipelined, so that a long fat path is kept full: the client sends wants ahead,
// up to MaxOutstanding frames, and the server reads them ahead while it replies. Neither side verifies
// anything here: the source's reads are verified, and so must be every block that the client is given.
//
// This is the hot path. After the greeting, frames have a fixed layout instead of protobuf: no lengths
// to distrust but one, no allocation for a reply on either side, and a block goes from the source's
// buffer to the stream, and from the stream to the caller's buffer, in one piece. All numbers are
// big-endian.
//
//	want   0  op     1 = blocks, 2 = walk
//	       1  count  1 to 64 CIDs; 1 for a walk
//	       2  zero   2 bytes
//	       4  CIDs   33 bytes each: codec (0x55 raw, 0x70 dag-pb), SHA-256 digest
//
//	reply  0  code   see wire.Code
//	       1  codec  0x55, 0x70; 0 = the end of a walk
//	       2  zero   2 bytes
//	       4  length 4 bytes: of the block, at most 2 MiB; 0 unless the code is OK
//	       8  digest 32 bytes; zero at the end of a walk
//	      40  the block
//
// A walk is answered with one reply for each distinct dag-pb node below and including the root, in
// depth-first preorder, and one more that ends it and whose code says how it went.
package chunks

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// ID is the protocol's id on streams, and ServiceName its name in the resource manager.
const (
	ID          = "/shoal/chunks/1.0.0"
	ServiceName = "shoal.chunks"
)

// Limits of the protocol.
const (
	// MaxWant is the most CIDs in one want. Measured: 64 a frame make 10,000 small blocks three times
	// as fast as one a frame; more brings nothing.
	MaxWant = 64
	// MaxOutstanding is how many wants a client may have sent whose replies it has not begun to take.
	// At 2,116 bytes each they fit the smallest stream window (256 KiB), so a Want never blocks on a
	// server that is busy writing.
	MaxOutstanding = 64
	// MaxStreams is the most sessions one peer may have open with us.
	MaxStreams = 64
	// StreamMemory is what the server reserves for a session, in bytes: a reply with the largest leaf
	// of the default profile, the small replies waiting to be flushed, and the wants read ahead.
	StreamMemory = bufferSize + flushSize + (MaxOutstanding+2)*maxWantSize
)

// Times of the protocol.
const (
	helloTimeout = 10 * time.Second // for the greeting, and for the rest of a want once it began
	idleTimeout  = 60 * time.Second // without a want and without anything to reply
	frameTimeout = 30 * time.Second // without a byte of a reply
	// writeTimeout is for each writePiece of a reply: a muxer that reads at 1 kB/s, the least limit a node takes, opens its
	// window half by half, which is 128 KiB and 131 seconds.
	writeTimeout = 150 * time.Second
)

// Sizes in bytes.
const (
	wantHeader  = 4
	cidSize     = 1 + sha256.Size
	maxWantSize = wantHeader + MaxWant*cidSize
	replyHeader = 40
	bufferSize  = replyHeader + 1<<20 // the largest leaf of the default profile fits
	flushSize   = 64 << 10            // small replies are joined up to this
	writePiece  = 128 << 10           // what a window lets pass at once when it opens
	// Piece is how much a limiter should let pass at once: sessions take turns, and who waits for one shows that it lives.
	Piece = 64 << 10
)

// The ops of a want.
const (
	opBlocks = 1
	opWalk   = 2
)

// Errors of the protocol. They are returned wrapped; test with errors.Is.
var (
	// ErrNotFound: the peer has no such set, or does not let us read it. It is a blockstore.ErrNotFound.
	ErrNotFound = wire.ErrNotFound
	// ErrBusy: too many of our sessions are open with the peer.
	ErrBusy = wire.ErrBusy
	// ErrRemote: the peer failed, or did not understand us.
	ErrRemote = wire.ErrRemote
	// ErrMalformed: the peer sent what is not an answer of this protocol, or not the answer to our want.
	ErrMalformed = errors.New("malformed reply")
	// ErrWindow: MaxOutstanding wants wait for their replies already.
	ErrWindow = errors.New("too many wants outstanding")
	// ErrClosed: the session was closed.
	ErrClosed = errors.New("session is closed")
)

// Source opens sets for peers.
type Source interface {
	// Open gives the blocks of set to p, the authenticated peer that asks. A set that is not here and
	// one that p may not read are both ErrNotFound (or blockstore.ErrNotFound), and take the same time.
	Open(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (Reader, error)
}

// Reader reads blocks of one set. It is used by one goroutine.
type Reader interface {
	// Get is blockstore.Getter's Get, for blocks of the set only: verified, in buf if that is large
	// enough. Errors: blockstore.ErrNotFound, blockstore.ErrCorrupt.
	Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error)
	// Walk calls fn for each distinct dag-pb node below and including root, in depth-first preorder,
	// until fn fails. See WalkNodes. Errors: fn's, and as Get.
	Walk(ctx context.Context, root cid.Cid, fn func(blockstore.Block) error) error
	Close() error
}

// Limiter bounds what is sent. It is asked before every piece, as a limit may change at any time.
type Limiter interface {
	// Wait waits until some of n bytes may pass, and tells how many: 1 to n. Where there is no limit now, that is n at once.
	Wait(ctx context.Context, n int) (int, error)
}

// appendWant appends the frame of a want.
func appendWant(b []byte, op byte, cids []cid.Cid) ([]byte, error) {
	if len(cids) == 0 || len(cids) > MaxWant {
		return nil, fmt.Errorf("%w: want of %d blocks, 1 to %d", blockstore.ErrInvalid, len(cids), MaxWant)
	}
	b = append(b, op, byte(len(cids)), 0, 0)
	for _, c := range cids {
		if err := blockstore.CheckCid(c); err != nil {
			return nil, err
		}
		d := blockstore.Digest(c)
		b = append(append(b, byte(c.Prefix().Codec)), d[:]...)
	}
	return b, nil
}

// want is a decoded request.
type want struct {
	op   byte
	cids []cid.Cid
}

// wantCount checks the header of a want and tells how many CIDs follow.
func wantCount(h [wantHeader]byte) (int, error) {
	n := int(h[1])
	switch {
	case h[0] != opBlocks && h[0] != opWalk:
		return 0, fmt.Errorf("%w: op %d", ErrMalformed, h[0])
	case n == 0 || n > MaxWant || (h[0] == opWalk && n != 1):
		return 0, fmt.Errorf("%w: want of %d blocks", ErrMalformed, n)
	case h[2] != 0 || h[3] != 0:
		return 0, fmt.Errorf("%w: padding is not zero", ErrMalformed)
	}
	return n, nil
}

// decodeCids reads the CIDs of a want.
func decodeCids(b []byte) ([]cid.Cid, error) {
	out := make([]cid.Cid, 0, len(b)/cidSize)
	for ; len(b) >= cidSize; b = b[cidSize:] {
		if b[0] != cid.Raw && b[0] != cid.DagProtobuf {
			return nil, fmt.Errorf("%w: codec 0x%x", ErrMalformed, b[0])
		}
		out = append(out, blockstore.FromDigest(uint64(b[0]), [sha256.Size]byte(b[1:cidSize])))
	}
	return out, nil
}

// header is the fixed part of a reply.
type header struct {
	code   wire.Code
	codec  byte
	length int
	digest [sha256.Size]byte
}

// headerOf is the header of a reply about c; an undefined c ends a walk.
func headerOf(c cid.Cid, code wire.Code, length int) header {
	h := header{code: code, length: length}
	if c.Defined() {
		h.codec, h.digest = byte(c.Prefix().Codec), blockstore.Digest(c)
	}
	return h
}

// put writes h into the first replyHeader bytes of b.
func (h header) put(b []byte) {
	b[0], b[1], b[2], b[3] = byte(h.code), h.codec, 0, 0
	binary.BigEndian.PutUint32(b[4:8], uint32(h.length))
	copy(b[8:replyHeader], h.digest[:])
}

// parseHeader checks everything that does not depend on what was wanted.
func parseHeader(b [replyHeader]byte) (header, error) {
	h := header{code: wire.Code(b[0]), codec: b[1], digest: [sha256.Size]byte(b[8:])}
	n := binary.BigEndian.Uint32(b[4:8])
	switch {
	case b[2] != 0 || b[3] != 0:
		return h, fmt.Errorf("%w: padding is not zero", ErrMalformed)
	case n > blockstore.MaxBlockSize:
		return h, fmt.Errorf("%w: block of %d bytes", ErrMalformed, n)
	case n > 0 && h.code != wire.OK:
		return h, fmt.Errorf("%w: %d bytes with the code %v", ErrMalformed, n, h.code)
	case h.codec != 0 && h.codec != cid.Raw && h.codec != cid.DagProtobuf:
		return h, fmt.Errorf("%w: codec 0x%x", ErrMalformed, h.codec)
	case h.codec == 0 && (n > 0 || h.digest != [sha256.Size]byte{}):
		return h, fmt.Errorf("%w: the end of a walk has content", ErrMalformed)
	}
	h.length = int(n)
	return h, nil
}

// cid is the CID the reply is about, undefined at the end of a walk.
func (h header) cid() cid.Cid {
	if h.codec == 0 {
		return cid.Undef
	}
	return blockstore.FromDigest(uint64(h.codec), h.digest)
}
