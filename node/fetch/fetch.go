package fetch

import "time"

// Peer is the opaque name of a peer, the same at every node (rendezvous hashing relies on that).
type Peer string

// Config says what to fetch and within which limits; a limit of zero means its default.
type Config struct {
	Leaves []uint32 // size in bytes of every leaf of the revision
	Need   []uint32 // indexes of the leaves to fetch; those out of range are ignored
	Self   Peer     // our own name, as other getters know it
	Rand   uint64   // seed of the random ties

	// MaxBatchBytes and MaxBatchLeaves bound a request and cut the spans. All getters of a set should
	// use the same values, or they disagree on who owns what (slower, never wrong). Defaults 1 MiB
	// (a quarter of the bytes that four streams keep moving) and 64 (one machine word).
	MaxBatchBytes  int
	MaxBatchLeaves int
	// InitialWindow is what a new peer is asked for at once. Default 512 KiB: four getters that arrive
	// together burden a 100 Mbit/s uplink with 0.16 s, and loopback outgrows it in 4 round trips.
	InitialWindow int
	// MaxWindow bounds the bytes in flight over all peers that are not stalled, give or take one leaf. Default 8 MiB: a kill
	// then loses less than 1 % of 1 GiB, and 1 GB/s is kept busy for 8 ms.
	MaxWindow int
	// StallAfter is the least silence after which a peer's leaves are given to others. Default 2 s,
	// several times what a lost packet costs TCP.
	StallAfter time.Duration
	// BanAfter is the number of blocks with wrong bytes after which a peer is banned. Default 3.
	BanAfter int
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.MaxBatchBytes, 1<<20)
	def(&c.MaxBatchLeaves, 64)
	def(&c.InitialWindow, 512<<10)
	def(&c.MaxWindow, 8<<20)
	def(&c.BanAfter, 3)
	c.MaxBatchLeaves = min(c.MaxBatchLeaves, 64)
	c.InitialWindow = min(c.InitialWindow, c.MaxWindow)
	if c.StallAfter <= 0 {
		c.StallAfter = 2 * time.Second
	}
	return c
}

// Event is something that happened. Events about peers that are not up are ignored, except Received.
type Event interface{ event() }

// PeerUp: a peer is connected and said what it has. A second PeerUp replaces the first and, like
// PeerDown, ends the requests in flight. Getters that come up before the sources save these the leaves
// that every getter asks for as long as it believes to be alone.
type PeerUp struct {
	Peer     Peer
	Complete bool   // it has every leaf: a source; otherwise it counts as a getter
	Have     []byte // bit i is byte i/8, 1<<(i%8); short is padded with zeros; ignored if Complete
}

// PeerHave: a peer has more leaves than it said before.
type PeerHave struct {
	Peer     Peer
	Leaves   []uint32
	Complete bool
}

// PeerDown: the connection is gone, and with it every request made to the peer.
type PeerDown struct{ Peer Peer }

// Arriving: so many more bytes of a leaf have come, which is not whole yet. Who reports this of leaves that take long is not
// told to drop a peer for being slow.
type Arriving struct {
	Peer  Peer
	Leaf  uint32
	Bytes int
}

// Limit: no more than so many bytes a second are taken in from all peers together; 0 = there is no limit. Less is asked for
// at once then, or all of it would wait for its turn at once, and be late.
type Limit struct{ Rate int64 }

// Received: the bytes of a leaf arrived and are verified and kept.
type Received struct {
	Peer  Peer
	Leaf  uint32
	Bytes int
}

// Bad: a peer answered with bytes that are not the leaf.
type Bad struct {
	Peer Peer
	Leaf uint32
}

// Missing: a peer answered that it has not got the leaf, or that its copy is corrupt. It is not asked for
// that leaf again until a PeerHave names the leaf or a PeerUp replaces what is known.
type Missing struct {
	Peer Peer
	Leaf uint32
}

// Failed: requests ended without an answer (stream reset, deadline, peer busy). The peer is left in
// peace for a while: 100 ms at first, doubling up to 5 s until it delivers again.
type Failed struct {
	Peer   Peer
	Leaves []uint32
}

// Tick: time passed. The shell sends one every 100 ms or so; all patience is measured on ticks.
type Tick struct{}

func (PeerUp) event()   {}
func (PeerHave) event() {}
func (PeerDown) event() {}
func (Arriving) event() {}
func (Limit) event()    {}
func (Received) event() {}
func (Bad) event()      {}
func (Missing) event()  {}
func (Failed) event()   {}
func (Tick) event()     {}

// Action is something the shell must do, in the order given.
type Action interface{ action() }

// Request asks one peer for leaves, in ascending order; each ends in exactly one of Received, Bad,
// Missing, Failed or PeerDown.
type Request struct {
	Peer   Peer
	Leaves []uint32
}

// Cancel tells that answers are no longer of use. It is advice: the request still ends as every request
// does, in Received if the bytes come all the same, or in Failed (which costs the peer nothing then).
type Cancel struct {
	Peer   Peer
	Leaves []uint32
}

// Ban: the peer sent wrong bytes too often; it is down now and its later PeerUps are ignored.
type Ban struct {
	Peer   Peer
	Reason string
}

// Drop: the peer has been silent too long, or is far too slow, and others have what it was asked for; it counts as down. The shell closes its streams and may
// dial it again; it will then be given more patience.
type Drop struct{ Peer Peer }

// Finished: every needed leaf is here. Sent once, and nothing is asked for afterwards.
type Finished struct{}

// Starved: Total needed leaves are held by no connected peer; Leaves names the first few (at most 64).
// Sent when Total changes, at most once a second; Total 0 says that the famine is over.
type Starved struct {
	Leaves []uint32
	Total  int
}

func (Request) action()  {}
func (Cancel) action()   {}
func (Ban) action()      {}
func (Drop) action()     {}
func (Finished) action() {}
func (Starved) action()  {}

// Stats is the progress of a download.
type Stats struct {
	Received   int64 // bytes of needed leaves, each counted once
	Duplicate  int64 // bytes that arrived again, or that nobody needed
	InFlight   int64 // bytes asked for and not here yet
	Left       int   // leaves still needed
	LeftBytes  int64
	Sources    int // peers that delivered at least one useful leaf, connected or not
	Banned     int
	Peers      []PeerStats // connected peers, in order of arrival
	Duplicated int         // requests made for a leaf that was in flight elsewhere
}

// PeerStats is one connected peer's part.
type PeerStats struct {
	Peer     Peer
	Complete bool
	Bytes    int64   // useful bytes delivered since it came up
	Rate     float64 // bytes per second, moving average over the time it was busy
	InFlight int64
	Window   int64
	Bad      int
	Stalled  bool
}
