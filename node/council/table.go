package council

import (
	"cmp"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/protocols/beacon"
)

// versionBits leaves room in a table's version for the changes of one start of the node: 2^32, more than a
// thousand a second for a month. The bits above count the starts, so that versions grow from start to start.
const versionBits = 32

// table is what this node says of its seats in a cohort. A seat that was given up stays in it, without data.
type table struct {
	version uint64
	rows    map[cid.Cid]beacon.Seat
}

func newTable(boot uint64) table {
	return table{version: boot << versionBits, rows: map[cid.Cid]beacon.Seat{}}
}

// set changes a row; no data gives the seat up. It tells whether that is a change.
func (t *table) set(set cid.Cid, data []byte) bool {
	old := t.rows[set]
	if string(old.Data) == string(data) {
		return false
	}
	t.version++
	t.rows[set] = beacon.Seat{Set: set, Version: t.version, Data: data}
	return true
}

// after are the rows that changed after a version, ascending by version.
func (t *table) after(since uint64) []beacon.Seat {
	if since >= t.version {
		return nil
	}
	var out []beacon.Seat
	for _, s := range t.rows {
		if s.Version > since {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b beacon.Seat) int { return cmp.Compare(a.Version, b.Version) })
	return out
}

// delta is what a beacon says of the changes after since: the newest of them that fit, and after which version they
// are all there are.
func (t *table) delta(since uint64) (from uint64, seats []beacon.Seat) {
	all := t.after(since)
	size := 0
	for i := len(all) - 1; i >= 0; i-- {
		size += len(all[i].Data)
		if len(all)-i > beacon.MaxSeats || size > beacon.MaxSeatsSize {
			return all[i].Version, all[i+1:]
		}
	}
	return since, all
}

// page is an answer of at most size bytes to who asks for the changes after since: the oldest of them, and the
// version that the asker then has.
func (t *table) page(since uint64, size int) (version uint64, seats []beacon.Seat) {
	all := t.after(since)
	for i, s := range all {
		size -= len(s.Data) + rowOverhead
		if size < 0 && i > 0 {
			return all[i-1].Version, all[:i]
		}
	}
	return t.version, all
}

// rowOverhead is more than the bytes of a row on the wire besides its data: set, version, lengths.
const rowOverhead = 64
