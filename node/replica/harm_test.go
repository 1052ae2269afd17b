package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

func TestHealth(t *testing.T) {
	name := func(n int) cid.Cid { return blockstore.Sum(cid.Raw, fmt.Append(nil, n)) }
	first, second := name(-1), name(-2)
	begun := time.Unix(1000, 0)
	var h health
	h.suspect(name(1), begun)
	h.suspect(name(2), begun.Add(4*time.Second))
	h.suspect(name(1), begun.Add(9*time.Second)) // it was suspected before
	due, next := h.due(begun.Add(10*time.Second), 10*time.Second)
	if len(due) != 1 || due[0] != name(1) || next != 4*time.Second {
		t.Errorf("due are %v, the next in %v", due, next)
	}
	if due, next := h.due(begun.Add(time.Hour), 10*time.Second); len(due) != 2 || next != 0 {
		t.Errorf("later %v, %v", due, next)
	}
	h.clear(due)
	for n := range 2 * maxSuspects {
		h.suspect(name(n), begun)
	}
	if len(h.suspects) != maxSuspects {
		t.Errorf("%d suspects", len(h.suspects))
	}

	if _, changed := h.changed(first); changed {
		t.Error("harm without a reason")
	}
	files := make([]string, 2*maxHarmed)
	h.found(first, 3, []cid.Cid{name(1), name(2), name(3)}, files)
	if harm, changed := h.changed(first); !changed || harm.Blocks != 3 || len(harm.Files) != maxHarmed || len(h.lost) != 3 {
		t.Errorf("found %+v", harm)
	}
	h.found(first, 2, []cid.Cid{name(1), name(2)}, nil)
	if harm, changed := h.changed(first); changed || harm.Blocks != 2 {
		t.Errorf("said again: %+v, %v", harm, changed)
	}
	h.of(first).Folder = "gone"
	if harm := *h.of(second); harm.Blocks != 0 || harm.Folder != "gone" || len(h.lost) != 0 {
		t.Errorf("of the next revision: %+v", harm)
	}
	h.of(second).Folder = ""
	if harm, changed := h.changed(second); !changed || harm.Any() {
		t.Errorf("mended: %+v, %v", harm, changed)
	}
}
