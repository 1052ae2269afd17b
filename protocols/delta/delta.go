// Package delta is the stream protocol that brings a holder of one revision to another one: the nodes and
// leaves that changed, as patches against those that the client has.
//
// Terms: the want root is the revision that the client lacks, a have-root one whose nodes it holds. An item is
// one block as a patch, or the reason why there is none. A leaf is pushed if it comes unasked. An ask is the
// client's wish for one leaf, if need be with a signature of its own base bytes (package patch).
//
// One stream is one session, good for one want root:
//
//	client   Request: set, want root, have-roots, push budget
//	server   Welcome: the have-root whose nodes it has, if any
//	         an item for each new node, a parent before its children; an end
//	         an item for each new leaf while the budget lasts; an end
//	client   asks, whenever it likes
//	server   an item for each ask, in order, after the second end
//
// Where the server has the old bytes too, everything comes with the first answer. Where it has not, because its
// folder was edited in place, it names the leaf and the base it lacks, 64 leaves ahead of the patches it pushes,
// so that the client signs while the server encodes: two round trips. The server finds the changes by package
// diff; nodes leave before the leaves are compared.
//
// The order is part of the protocol and costs no bytes: what an item is about follows from where it stands. An
// answer names its target but not the bases, which were the client's. The messages are protobuf
// (pb/delta.proto): a fixed layout would save four bytes an item and need its own parser.
//
// Neither side verifies anything here. A server's reads are verified; the client makes a block of an item with
// Apply, which hashes it, and holds nodes against a Frontier, so that nobody makes it keep what the want root
// does not lead to.
package delta

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/patch"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// ID is the protocol's id on streams, and ServiceName its name in the resource manager.
const (
	ID          = "/shoal/delta/1.0.0"
	ServiceName = "shoal.delta"
)

// Limits of the protocol.
const (
	// MaxHave is the most have-roots in a request: each may cost the server a look at a whole revision.
	MaxHave = 4
	// MaxBases is the most leaves one patch is against, see diff.MaxBases.
	MaxBases = diff.MaxBases
	// MaxPush is the most bytes that a server pushes, whatever the client allows: larger changes are better
	// fetched from many holders at once.
	MaxPush = 16 << 20
	// MaxAsks is how many asks may be sent whose items Next has not begun to take. The server reads so many
	// ahead, so that an Ask never waits for a server that is busy writing.
	MaxAsks = 64
	// MaxStreams is the most sessions one peer may have open with us.
	MaxStreams = 8
	// StreamMemory is what the server reserves for a session, in bytes: the largest frame, the small ones
	// waiting to be flushed, and what is read ahead. An ask that waits is reserved when it comes.
	StreamMemory = maxItem + flushSize + readAhead
	// Workers is how many items one server encodes, or revisions it compares, at once, over all sessions.
	// Each holds a codec (20 MiB) and the bytes it works on (at most 8 MiB) while there is work.
	// Who asks for much waits its turn: that is the only limit on time.
	Workers = 2
)

// Times of the protocol.
const (
	helloTimeout = 10 * time.Second // for the request, and for an ask once it began
	idleTimeout  = 60 * time.Second // without an ask and without anything to send
	// patience is how long the client waits for the next item: two large revisions may have to be compared.
	patience     = 60 * time.Second
	frameTimeout = 30 * time.Second // for the client's request, and for its asks
	// writeTimeout is for each writePiece: a muxer that reads at 1 kB/s, the least limit a node takes, opens its window half
	// by half, which is 128 KiB and 131 seconds.
	writeTimeout = 150 * time.Second
	flushEvery   = 10 * time.Millisecond
)

// Sizes in bytes.
const (
	// maxItem is the cap for an item: a patch is at most one byte longer than its block, and the other
	// fields have at most 192 bytes.
	maxItem    = blockstore.MaxBlockSize + 1 + 256
	flushSize  = 64 << 10  // small items are joined up to this
	writePiece = 128 << 10 // what a window lets pass at once when it opens
	readAhead  = 4 << 10
	// usualBlock is room for the largest leaf of the default profile.
	usualBlock = 1 << 20
)

// Errors of the protocol. They are returned wrapped; test with errors.Is.
var (
	// ErrNotFound: the peer has no such set, or does not let us read it. It is a blockstore.ErrNotFound.
	ErrNotFound = wire.ErrNotFound
	// ErrBusy: too many of our sessions are open with the peer.
	ErrBusy = wire.ErrBusy
	// ErrRemote: the peer failed, or did not understand us.
	ErrRemote = wire.ErrRemote
	// ErrMalformed: the peer sent what is not of this protocol, or not what was asked for.
	ErrMalformed = errors.New("malformed message")
	// ErrWindow: more than MaxAsks asks would wait for their items.
	ErrWindow = errors.New("too many asks outstanding")
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
	// Layout is the revision with this root; it is only read, and may be shared. Errors:
	// blockstore.ErrNotFound if a node is missing, those of dag.ReadLayout.
	Layout(ctx context.Context, root cid.Cid) (*dag.Layout, error)
	Close() error
}

// Limiter bounds what is sent. It is asked before every piece, as a limit may change at any time.
type Limiter interface {
	// Wait waits until some of n bytes may pass, and tells how many: 1 to n. Where there is no limit now, that is n at once.
	Wait(ctx context.Context, n int) (int, error)
}

// Request is what a session is for.
type Request struct {
	Set        cid.Cid
	Capability []byte
	Want       cid.Cid   // root of the revision
	Have       []cid.Cid // roots whose nodes the client holds all of, best first, at most MaxHave; none = every node is sent
	// Push is how many bytes of leaf items may come unasked, 0 = none; above MaxPush it is that. An item
	// costs the bytes of its message, and those of a patch that Dry leaves out.
	Push int64
	// Dry leaves the patches of leaves out, but for their first byte: to learn what they would cost. Nodes
	// are sent as they are.
	Dry bool
}

// Kind says what an item is.
type Kind uint8

// The kinds of items, in the order in which they come.
const (
	Node     Kind = iota + 1 // a node of the want root
	EndNodes                 // there are no more nodes; Code says how it went
	Leaf                     // a leaf: before EndPush a pushed one, then one that was asked for
	EndPush                  // no more leaves come unasked; Code says how it went
)

// Item is one block as a patch, or why there is none. Nothing of it is verified.
type Item struct {
	Kind Kind
	// Code is OK; NotFound or Corrupt if the server cannot read the target; NoBase if it cannot read Bases:
	// ask again, with their signature; BadRequest for a signature that is none. Others: the server failed.
	Code   wire.Code
	Cid    cid.Cid   // the target; undefined at an end
	Size   int       // bytes of the target; unknown (0) where a node is not OK
	Bases  []cid.Cid // what the patch is against, joined in this order: at most 1 node, or MaxBases leaves
	Patch  []byte    // valid until the next call of Next; of a leaf in a dry session only the first byte
	Length int       // of the whole patch
}

// NeedsBase tells whether Apply needs the bases: a patch may also be the whole target, though it has some.
func (i Item) NeedsBase() bool {
	coding, err := patch.CodingOf(i.Patch)
	return err == nil && coding.NeedsBase()
}

// Apply makes the block of an item whose Code is OK. base is its Bases joined, or nil if it needs none. The
// block has memory of its own. Errors: blockstore.ErrCorrupt if the patch does not make the target, be it that
// the peer lies or that base is wrong; blockstore.ErrInvalid for an item without a whole patch; patch.ErrLimit
// for a base that is too long.
func (i Item) Apply(codec *patch.Codec, base []byte) (blockstore.Block, error) {
	if i.Code != wire.OK || len(i.Patch) == 0 || len(i.Patch) != i.Length {
		return blockstore.Block{}, fmt.Errorf("apply item of %s: %w: no patch (%v)", i.Cid, blockstore.ErrInvalid, i.Code)
	}
	data, err := codec.Apply(nil, base, i.Patch, i.Size)
	if errors.Is(err, patch.ErrPatch) {
		err = fmt.Errorf("%w: %w", blockstore.ErrCorrupt, err)
	}
	if err != nil {
		return blockstore.Block{}, fmt.Errorf("apply item of %s: %w", i.Cid, err)
	}
	return blockstore.Receive(i.Cid, data)
}

// Ask is the wish for one leaf. With Bases only, the server encodes against its own copy of them; with
// Signature it needs none; with neither the leaf comes whole.
type Ask struct {
	Cid       cid.Cid
	Size      int       // bytes of the leaf
	Bases     []cid.Cid // leaves, at most MaxBases and together at most 4 MiB
	Signature []byte    // patch.AppendSignature of the joined bases, or nil
}

// codeOf is the code that tells a peer of a source's error.
func codeOf(err error) wire.Code {
	if errors.Is(err, errNoBase) { // before the cause it wraps
		return wire.NoBase
	}
	code := wire.CodeOf(err)
	if code == wire.Internal && (errors.Is(err, patch.ErrPatch) || errors.Is(err, patch.ErrLimit)) {
		return wire.BadRequest
	}
	return code
}
