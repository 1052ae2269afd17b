package meter

import "time"

// Source is a node as far as it is measured.
type Source interface {
	// Standing is how the node stands now. It is called at every scrape, and does little I/O.
	Standing() Standing
}

// Standing is how a node stands. Counts are of its life; keys of maps are from fixed lists.
type Standing struct {
	Uptime      time.Duration
	Wire        map[string]Traffic // bytes on the streams, by what they are for
	Bytes       Bytes
	Peers       int // connected
	Table       int // peers in the routing table of the hash table
	Connections map[Path]int
	StoreBytes  int64   // on disk, of the store
	Limit       Traffic // bytes per second of the node as a whole; 0 = no limit
	Sets        Sets
}

// Traffic is bytes on streams.
type Traffic struct{ In, Out int64 }

// Bytes is where the content of the revisions came from that were brought here.
type Bytes struct {
	Reused  int64 // it was on this disk
	Patched int64 // made of what was on this disk and of a patch
	Fetched int64 // received whole
}

// Path is how a connection travels.
type Path struct {
	Transport string // "tcp", "quic-v1"
	Relayed   bool
}

// Sets is all file sets of a node taken together.
type Sets struct {
	Roles      map[string]int // how many there are, by what this node is in them
	Files      uint64
	Bytes      uint64
	Incomplete int   // sets of which this node has no complete revision
	Stale      int   // strict sets that are not in touch with a primary or a majority
	Forks      int   // newest revisions beside the one shown, over all sets
	Alarmed    int   // sets that somebody has to look at
	Headless   int   // sets that this node votes on and of which no primary is heard
	Each       []Set // in any order
}

// Set is one file set.
type Set struct {
	ID, Name  string    // no name where those who read figures must not know it
	Behind    int       // revisions that are known and not complete here
	Downloads int64     // times that a peer said it has all of it
	Synced    time.Time // when its folder was last known to be at the newest revision; zero = not in the life of this node
}
