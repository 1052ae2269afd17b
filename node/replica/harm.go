package replica

import (
	"maps"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
)

// Harm is what is wrong, as far as it is known, with the bytes of a set's newest revision on this disk: others are
// told that they are here, and cannot be given them. The zero value is none.
type Harm struct {
	Folder  string   // what has become of the folder; "" = it is there
	Refused string   // why the folder as it is now was not published; "" = it was, or nobody tried
	Blocks  int      // that are missing or wrong
	Files   []string // some of those that they are of
}

// Any tells whether something is wrong.
func (h Harm) Any() bool { return h.Folder != "" || h.Refused != "" || h.Blocks > 0 }

// Loses tells whether bytes are known to be missing.
func (h Harm) Loses() bool { return h.Folder != "" || h.Blocks > 0 }

const (
	// maxSuspects bounds the blocks of a set that wait to be looked at, and those that are looked at again: enough to
	// name files, and little to read once a minute.
	maxSuspects = 256
	// maxHarmed is how many files a Harm names: a person reads no more.
	maxHarmed = 8
)

// health is what a replica knows of the bytes it promises. It decides and does not look; its zero value is in best
// health. What it knows of one revision counts for no other.
type health struct {
	suspects map[cid.Cid]time.Time // blocks that could not be given, and when that was first so
	root     cid.Cid               // of the revision that harm and lost are of
	harm     Harm
	lost     []cid.Cid // some of the blocks that harm counts
	told     bool      // that there is harm
	seen     string    // how the files of harm looked when they were read last
}

// suspect notes a block that could not be given.
func (h *health) suspect(c cid.Cid, now time.Time) {
	if _, ok := h.suspects[c]; ok || len(h.suspects) >= maxSuspects {
		return
	}
	if h.suspects == nil {
		h.suspects = map[cid.Cid]time.Time{}
	}
	h.suspects[c] = now
}

// clear forgets what was suspected of some blocks.
func (h *health) clear(all []cid.Cid) {
	for _, c := range all {
		delete(h.suspects, c)
	}
}

// due are the suspects that have been so for patience, and how long it is until the next one will have been; 0 = there
// is none.
func (h *health) due(now time.Time, patience time.Duration) (all []cid.Cid, next time.Duration) {
	for _, c := range slices.Collect(maps.Keys(h.suspects)) {
		left := patience - now.Sub(h.suspects[c])
		switch {
		case left <= 0:
			all = append(all, c)
		case next == 0 || left < next:
			next = left
		}
	}
	return all, next
}

// of is what is known of the revision with that root; it begins anew when that is another one. The folder is the same.
func (h *health) of(root cid.Cid) *Harm {
	if h.root != root {
		h.root, h.harm, h.lost = root, Harm{Folder: h.harm.Folder}, nil
	}
	return &h.harm
}

// found takes the blocks of a revision that were found to be missing or wrong in place of what was known of them, with
// the files that they are of.
func (h *health) found(root cid.Cid, blocks int, lost []cid.Cid, files []string) {
	harm := h.of(root)
	harm.Blocks, harm.Files = blocks, slices.Clone(files[:min(len(files), maxHarmed)])
	h.lost = slices.Clone(lost[:min(len(lost), maxSuspects)])
}

// changed tells whether there is harm now where there was none, or the other way round, since it was asked last.
func (h *health) changed(root cid.Cid) (Harm, bool) {
	harm := *h.of(root)
	if harm.Any() == h.told {
		return harm, false
	}
	h.told = harm.Any()
	return harm, true
}
