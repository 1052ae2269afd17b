// Package list is the stream protocol with which a peer asks what another has: which sets, the signed
// records of one set, which of its leaves are there already, and who else holds it.
//
// Terms: the leaves of a revision are its distinct chunks, numbered in the order of their first
// occurrence in a walk of its root; a Bitmap says which of them a peer holds. A catalog is what the
// serving node knows; it alone decides who may read what. A capability is a token that lets its bearer
// read a private set.
//
// One stream carries one request. SETS, INFO, CONFIRM and HISTORY are answered with one frame. WATCH is
// answered with updates for as long as both sides like: at first the whole Info, then what changed, joined
// into at most four frames a second, and an empty frame when nothing changed for 15 seconds. A set that is not
// there and a set that the asker may not read give the same bytes.
//
// Records that the asker has are not sent: a request for INFO or WATCH names them, and the client puts them
// back into the answer (known.go), so that its caller always sees a whole bundle.
package list

import (
	"context"
	"errors"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// ID is the protocol's id on streams, and ServiceName its name in the resource manager.
const (
	ID          = "/shoal/list/1.0.0"
	ServiceName = "shoal.list"
)

// Limits of the protocol.
const (
	// MaxLeaves is the most leaves a bitmap is sent for: 4 TiB in chunks of 256 KiB, a bitmap of 2 MiB.
	// Of a larger set only complete holders can be told.
	MaxLeaves = 1 << 24
	// MaxPeers is the most other holders in an answer: more than anyone fetches from at once.
	MaxPeers = 64
	// MaxHistory is the most heads in an answer to HISTORY: four times what a node keeps the nodes of.
	MaxHistory = 64
	// maxHistoryBytes bounds the same in bytes: 64 heads have about 40 KiB, but a single one may be large.
	maxHistoryBytes = record.MaxBundle
	// MaxSets is the most sets in an answer.
	MaxSets = 4096
	// MaxFrame is the cap of an answer in bytes: a full bundle (1 MiB) and a full bitmap (2 MiB) with
	// room for the peers; or 4,096 sets with the longest names (1.3 MiB).
	MaxFrame = 4 << 20
	// MaxStreams is the most streams one peer may have open with us, each with one request: it may watch nearly as
	// many sets. The host allows 256 streams of a protocol to a peer.
	MaxStreams = 200
)

// Times of the protocol.
const (
	requestTimeout = 10 * time.Second       // from the opening of the stream to the end of the request
	updateInterval = 250 * time.Millisecond // four updates a second, decided for swarms of tens of peers
	keepAlive      = 15 * time.Second       // between frames of a watch
	frameTimeout   = 45 * time.Second       // until the next frame begins: three that keep alive were missed
	slowest        = 16 << 10               // bytes a second a frame must get on at, after a first frameTimeout
)

// Errors of the protocol. They are returned wrapped; test with errors.Is.
var (
	// ErrNotFound: the peer has no such set, or does not let us read it. It is a blockstore.ErrNotFound.
	ErrNotFound = wire.ErrNotFound
	// ErrBusy: too many of our streams are open with the peer.
	ErrBusy = wire.ErrBusy
	// ErrRemote: the peer failed, or did not understand us.
	ErrRemote = wire.ErrRemote
	// ErrMalformed: the peer sent what is not an answer of this protocol, or broke a limit.
	ErrMalformed = errors.New("malformed answer")
)

// SetEntry is one set that a peer offers. All of it is hearsay until the set's records are verified.
type SetEntry struct {
	Set      cid.Cid
	Name     string
	Revision uint64
	Bytes    uint64
	Files    uint64
}

// Info is what a peer says of one set. The bundle is not verified.
type Info struct {
	Bundle   record.Bundle
	Leaves   int             // of the newest head's root; 0 = the peer does not know
	Have     Bitmap          // leaves the peer holds; may be shorter than Leaves; nil if Complete
	Complete bool            // it holds the whole newest revision, nodes and leaves
	Peers    []peer.AddrInfo // other holders, at most MaxPeers
}

// Has tells whether the peer says it holds leaf i.
func (i Info) Has(leaf int) bool { return i.Complete || i.Have.Get(leaf) }

// Update is what changed.
type Update struct {
	Info     *Info           // the first time, and when the head changes; what follows refers to it
	Have     []uint32        // leaves that are new since the last update, ascending
	Complete bool            // now (not: since the last update)
	Peers    []peer.AddrInfo // other holders; nil = unchanged
}

// Catalog is what the node knows of its sets, and who may read them. p is the authenticated peer that
// asks. "May not" must look like "is not here", in the answer and in the time it takes.
type Catalog interface {
	// Sets gives the sets that p may see.
	Sets(ctx context.Context, p peer.ID) ([]SetEntry, error)
	// Info describes one set. Errors: ErrNotFound (or blockstore.ErrNotFound).
	Info(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (Info, error)
	// Watch gives the set's Info as the first update and changes after it, until ctx ends. It closes
	// the channel when the set goes away or p may no longer read it. Errors: as Info.
	Watch(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (<-chan Update, error)
}

// Confirmer is a Catalog that wants to know who has completed a revision.
type Confirmer interface {
	// Confirm is told that p says it holds the whole revision root of set. Errors: as Info.
	Confirm(ctx context.Context, p peer.ID, set, root cid.Cid, capability []byte) error
}

// Historian is a Catalog that knows earlier revisions.
type Historian interface {
	// History gives the sealed heads before the set's newest, newest first; at most MaxHistory go out.
	// Errors: as Info.
	History(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) ([][]byte, error)
}

// frameTime is how long a frame of n bytes may take.
func frameTime(n int) time.Duration {
	return frameTimeout + time.Duration(n)*time.Second/slowest
}
