package election

import (
	"cmp"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// Mode says what a set gives up in a partition.
type Mode uint8

// The modes there are.
const (
	AP     Mode = iota // both sides publish; forks are merged
	Strict             // only a majority of the voters publishes
)

// Config is what the core needs of a set's config.
type Config struct {
	Version uint64
	Hash    string // orders configs of the same version: the higher one wins
	Mode    Mode
	Voters  []Voter // ascending by ID
	Cuts    Cuts
}

// Voter is a node that may become primary.
type Voter struct {
	ID peer.ID
	// Instance is the only store of the node that is a voter (record.InstanceKey). Empty means any. A
	// strict config names all: a wiped voter has forgotten what it promised, and must be listed anew.
	Instance string
}

// Cuts maps a writer's store instance to the last sequence number of it that is accepted.
type Cuts map[string]uint64

// Compare orders configs by version, then hash.
func (c Config) Compare(o Config) int {
	return cmp.Or(cmp.Compare(c.Version, o.Version), cmp.Compare(c.Hash, o.Hash))
}

// majority is how many voters decide in strict mode.
func (c Config) majority() int { return len(c.Voters)/2 + 1 }

// lists tells whether store instance of node id is a voter.
func (c Config) lists(id peer.ID, instance string) bool {
	return slices.ContainsFunc(c.Voters, func(v Voter) bool {
		return v.ID == id && (v.Instance == "" || v.Instance == instance)
	})
}

// Refuses tells whether the cuts forbid h.
func (c Config) Refuses(h *Head) bool {
	if len(c.Cuts) == 0 {
		return false
	}
	return slices.ContainsFunc(h.Writes, func(w Write) bool {
		last, cut := c.Cuts[w.Instance]
		return cut && w.Seq > last
	})
}

// Spare gives what the cuts leave of frontiers. What lay below a refused head comes to light again; held are all
// heads that are on disk with their blocks. It is for ConfigChanged, and for New where the config on disk may be
// newer than the state.
func (c Config) Spare(known, have Frontier, held []*Head) (k, h Frontier) {
	if !slices.ContainsFunc(known, c.Refuses) && !slices.ContainsFunc(have, c.Refuses) {
		return known, have
	}
	h = have.without(c.Refuses)
	for _, x := range held {
		if !c.Refuses(x) {
			h = h.Add(x)
		}
	}
	k = known.without(c.Refuses)
	for _, x := range h {
		k = k.Add(x)
	}
	return k, h
}

// Write names a proposal: the Seq-th of a writer's store.
type Write struct {
	Instance string // record.InstanceKey
	Seq      uint64
}

// Head is what the core must know of a signed head. It is never modified, so copies share it.
type Head struct {
	ID     cid.Cid
	Epoch  record.Epoch  // of the primary that made it
	Vector record.Vector // counts heads by the store instance of their primary
	Writes []Write       // the proposals it embeds

	instance string // with seq: which head of which store it is
	seq      uint64
}

// NewHead describes the head id.
func NewHead(id cid.Cid, epoch record.Epoch, vector record.Vector, writes []Write) *Head {
	key := record.InstanceKey(epoch.Instance)
	return &Head{ID: id, Epoch: epoch, Vector: vector, Writes: writes, instance: key, seq: vector[key]}
}

// Seq is h's number among the heads that its primary's store made.
func (h *Head) Seq() uint64 { return h.seq }

// Instance is the key of the store that made h (record.InstanceKey).
func (h *Head) Instance() string { return h.instance }

// Covers tells whether h includes everything o includes.
func (h *Head) Covers(o *Head) bool {
	if h == o || h.ID == o.ID {
		return true
	}
	if h.twin(o) {
		return false
	}
	return h.Vector[o.instance] >= o.seq
}

// twin tells whether two different heads claim to be the same one of the same store: its owner
// equivocates, or two stores share an identity.
func (h *Head) twin(o *Head) bool {
	return h.ID != o.ID && h.seq == o.seq && h.instance == o.instance
}

// Role is what a member does for the set just now.
type Role uint8

// The roles there are.
const (
	Follower  Role = iota
	Candidate      // waits for the suspected primary's answer, or for votes
	Primary
)

func (r Role) String() string { return [...]string{"follower", "candidate", "primary"}[r] }

// Persistent is what survives a restart. Slices in it are never modified, so a copy is a snapshot.
type Persistent struct {
	Instance []byte // of this store, record.InstanceSize bytes; made once, with the store
	Boot     uint64 // how often the store was started
	Fresh    bool   // the store is new and has not heard a voter; false for the maker of the set

	Epoch   record.Epoch // the highest seen; never decreases
	Granted record.Epoch // the highest voted for (strict)
	Seq     uint64       // of the last head made here

	Known   Frontier // maximal heads heard of
	Have    Frontier // maximal heads whose blocks are all on disk
	Durable Frontier // maximal heads known to have been durable
	Waived  []*Head  // heads whose bytes this store promised not to take any more
}

// Renewed is what a store goes on with that may have forgotten promises: its newest state was damaged, or its home
// was put back from a copy. It becomes a new store, which has promised nothing, instance being its new name; held
// are heads that it finds on its disk with their blocks. In strict the owner must list it again.
func (p Persistent) Renewed(instance []byte, held []*Head) Persistent {
	n := Persistent{Instance: instance, Boot: p.Boot, Fresh: true, Epoch: p.Epoch, Known: p.Known, Have: p.Have, Durable: p.Durable}
	for _, h := range held {
		n.Known, n.Have = n.Known.Add(h), n.Have.Add(h)
	}
	return n
}

// Options are what a node sets for itself. Zero values get the defaults.
type Options struct {
	Interval time.Duration // of beacons; DefaultInterval
	Seed     uint64        // of the jitter; equal seeds and events give equal actions
}

// Intervals and what follows from them.
const (
	// DefaultInterval makes a silent primary noticed within a second on a LAN.
	DefaultInterval = 250 * time.Millisecond
	// slowest is the longest interval a node chooses itself, fastRTT the round trip up to which the default
	// does: a fifth of it.
	slowest = 2 * time.Second
	fastRTT = 50 * time.Millisecond
	// maxInterval bounds what others may announce: the same minute that records allow.
	maxInterval = time.Minute

	// latest is how late a beacon may come: held back on a link that stalls, and repeated. At short intervals that
	// is longer than a few TFails.
	latest = 15 * time.Second

	failIntervals   = 4  // TFail: three lost beacons are no failure
	settleIntervals = 2  // TSettle: everybody has heard of a new primary and answered
	freshFails      = 8  // TFails a fresh store waits for a voter before it stands alone
	stallFails      = 4  // TFails without an acknowledgement after which a backup is replaced
	abandonFails    = 4  // TFails nobody offers a head's bytes before it is abandoned
	gapFraction     = 10 // at most this many beacons an interval, however much changes
	jitterFraction  = 10 // beacons come within a tenth of their time
)

// IntervalFor gives the interval to announce where the 95th percentile of the round trips to a voter is rtt.
func IntervalFor(rtt time.Duration) time.Duration {
	if rtt <= fastRTT {
		return DefaultInterval
	}
	return min(max(DefaultInterval, 4*rtt), slowest)
}
