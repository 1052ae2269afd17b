// Package peerbook is the memory of good peers: whom to dial first after a restart, when every other
// source may be away. It is pure: time is an argument and whoever owns a Book keeps its JSON.
//
// A peer enters by a successful connection only, so made-up peers cannot push good ones out. Peers are
// ordered by worth: the time of the last success, less six hours for every failure since. Equal worth is
// ordered by id, so the same events give the same book.
package peerbook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

const (
	// MaxPeers are remembered; the least worthy goes first. Far more than a restart ever dials.
	MaxPeers = 256
	// MaxAddrs are remembered of each, the latest ones.
	MaxAddrs = 8
	// maxAddr is the length in bytes of the longest address worth keeping; a direct one has under 60.
	maxAddr = 256
	// MaxJSON is the longest text that is decoded: MaxPeers with MaxAddrs of 100 bytes fit twice.
	MaxJSON = 512 << 10
	// failurePenalty is what a failure costs in worth: after a day of two failures an hour-old peer
	// ranks below one seen at the weekend.
	failurePenalty = 6 * time.Hour
	// maxFailures is where counting stops; with forgetAfter it also says when a peer is given up.
	maxFailures = 20
	// forgetAfter without a success a peer that failed maxFailures times is forgotten.
	forgetAfter = 30 * 24 * time.Hour
)

// ErrMalformed: the text is not a peer book.
var ErrMalformed = errors.New("malformed peer book")

// Event is what happened between this node and a peer.
type Event struct {
	ID    peer.ID
	Addrs []multiaddr.Multiaddr // with success: where it was reached or says it listens; may be empty
	OK    bool                  // a connection worked; false: dialling it failed
}

// Book is an ordered memory of peers. The zero value is empty and ready. It is not safe for concurrent
// use.
type Book struct {
	peers []entry // in no order that matters; ids are distinct
}

type entry struct {
	id       peer.ID
	addrs    []multiaddr.Multiaddr
	success  time.Time // last; whole seconds
	failures int       // since then
}

// worth is comparable within one book; a success in the future (a clock went back) counts as now.
func (e *entry) worth(now time.Time) time.Time {
	t := e.success
	if t.After(now) {
		t = now
	}
	return t.Add(-time.Duration(e.failures) * failurePenalty)
}

// Len is the number of peers remembered.
func (b *Book) Len() int { return len(b.peers) }

// Update takes an event in.
func (b *Book) Update(now time.Time, ev Event) {
	i := slices.IndexFunc(b.peers, func(e entry) bool { return e.id == ev.ID })
	switch {
	case i < 0 && !ev.OK: // a stranger that does not answer
	case i < 0:
		b.peers = append(b.peers, entry{
			id: ev.ID, addrs: keepAddrs(ev.Addrs, nil), success: now.Truncate(time.Second),
		})
		b.trim(now)
	case ev.OK:
		e := &b.peers[i]
		e.addrs = keepAddrs(ev.Addrs, e.addrs)
		e.success, e.failures = now.Truncate(time.Second), 0
	default:
		e := &b.peers[i]
		e.failures = min(e.failures+1, maxFailures)
		if e.failures == maxFailures && now.Sub(e.success) > forgetAfter {
			b.peers = slices.Delete(b.peers, i, i+1)
		}
	}
}

// trim drops the least worthy peers beyond MaxPeers.
func (b *Book) trim(now time.Time) {
	if len(b.peers) > MaxPeers {
		b.sort(now)
		b.peers = b.peers[:MaxPeers]
	}
}

func (b *Book) sort(now time.Time) {
	slices.SortFunc(b.peers, func(x, y entry) int {
		return cmp.Or(y.worth(now).Compare(x.worth(now)), cmp.Compare(x.id, y.id))
	})
}

// Best returns up to n peers to dial, the most worthy first. Peers without an address are left out.
func (b *Book) Best(now time.Time, n int) []peer.AddrInfo {
	b.sort(now)
	best := make([]peer.AddrInfo, 0, max(0, min(n, len(b.peers))))
	for _, e := range b.peers {
		if len(best) >= n {
			break
		}
		if len(e.addrs) > 0 {
			best = append(best, peer.AddrInfo{ID: e.id, Addrs: slices.Clone(e.addrs)})
		}
	}
	return best
}

// keepAddrs joins new and old addresses, new ones first, without doubles and within the limits.
func keepAddrs(fresh, old []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	kept := make([]multiaddr.Multiaddr, 0, MaxAddrs)
	for _, a := range slices.Concat(fresh, old) {
		if len(kept) == MaxAddrs {
			break
		}
		if len(a) > 0 && len(a.Bytes()) <= maxAddr && !slices.ContainsFunc(kept, a.Equal) {
			kept = append(kept, a)
		}
	}
	return kept
}

// record is an entry in JSON.
type record struct {
	ID       string   `json:"id"`
	Addrs    []string `json:"addrs"`
	Success  int64    `json:"last_success"` // Unix seconds
	Failures int      `json:"failures,omitempty"`
}

// MarshalJSON writes the book as an array of peers.
func (b *Book) MarshalJSON() ([]byte, error) {
	records := make([]record, len(b.peers))
	for i, e := range b.peers {
		records[i] = record{ID: e.id.String(), Addrs: []string{}, Success: e.success.Unix(), Failures: e.failures}
		for _, a := range e.addrs {
			records[i].Addrs = append(records[i].Addrs, a.String())
		}
	}
	return json.Marshal(records)
}

// UnmarshalJSON replaces the book by what MarshalJSON wrote. Unknown fields are refused, so that a newer
// file is noticed. Errors: ErrMalformed; the book is then unchanged.
func (b *Book) UnmarshalJSON(text []byte) error {
	if len(text) > MaxJSON {
		return fmt.Errorf("%w: %d bytes", ErrMalformed, len(text))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var records []record
	if err := d.Decode(&records); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(records) > MaxPeers {
		return fmt.Errorf("%w: %d peers", ErrMalformed, len(records))
	}
	peers := make([]entry, 0, len(records))
	seen := make(map[peer.ID]struct{}, len(records))
	for _, r := range records {
		e, err := r.entry()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if _, ok := seen[e.id]; ok {
			return fmt.Errorf("%w: peer %s twice", ErrMalformed, e.id)
		}
		seen[e.id] = struct{}{}
		peers = append(peers, e)
	}
	b.peers = peers
	return nil
}

// maxUnix is 9999-12-31, where times stop being printable.
const maxUnix = 253402300799

func (r record) entry() (entry, error) {
	id, err := peer.Decode(r.ID)
	if err != nil {
		return entry{}, fmt.Errorf("peer id %q: %w", r.ID, err)
	}
	if len(r.Addrs) > MaxAddrs || r.Failures < 0 || r.Failures > maxFailures || r.Success < 0 || r.Success > maxUnix {
		return entry{}, fmt.Errorf("peer %s: number out of range", id)
	}
	addrs := make([]multiaddr.Multiaddr, len(r.Addrs))
	for i, text := range r.Addrs {
		if addrs[i], err = multiaddr.NewMultiaddr(text); err != nil {
			return entry{}, fmt.Errorf("peer %s: address %q: %w", id, text, err)
		}
	}
	return entry{
		id: id, addrs: keepAddrs(addrs, nil), success: time.Unix(r.Success, 0).UTC(), failures: r.Failures,
	}, nil
}
