package diff

import (
	"math/bits"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// tries is how many vanished entries are read at most for a node that has no old one in its place: one of its
// name, one of about its size, and six that are larger, which may contain it, each within the one before.
const tries = 8

// vanished is the entries of old folders that have not been found in the new DAG.
type vanished struct {
	here   map[cid.Cid]bool
	byName map[string][]cid.Cid // these two also hold some that have been taken or removed
	bySize [sizeClasses][]dag.Link
}

// Sizes are put into classes, eight for each power of two.
const (
	classBits   = 3
	sizeClasses = (64 + 1) << classBits
)

// sizeClass grows with size.
func sizeClass(size uint64) int {
	n := bits.Len64(size)
	if n <= classBits {
		return int(size)
	}
	return n<<classBits | int(size>>(n-1-classBits))&(1<<classBits-1)
}

func newVanished() *vanished {
	return &vanished{here: map[cid.Cid]bool{}, byName: map[string][]cid.Cid{}}
}

func (v *vanished) add(l dag.Link) {
	v.here[l.Cid] = true
	if l.Name != "" {
		v.byName[l.Name] = append(v.byName[l.Name], l.Cid)
	}
	class := sizeClass(l.Tsize)
	v.bySize[class] = append(v.bySize[class], l)
}

func (v *vanished) remove(c cid.Cid) { delete(v.here, c) }

// take returns and removes an entry that l may have been in or been made of; try counts from 0 to tries-1.
func (v *vanished) take(l dag.Link, try int) (c cid.Cid, ok bool) {
	if len(v.here) == 0 {
		return cid.Undef, false
	}
	class := sizeClass(l.Tsize)
	switch try {
	case 0:
		c, ok = v.named(l.Name)
	case 1:
		for d := 0; d < sizeClasses && !ok; d++ {
			if c, ok = v.sized(class+d, l.Tsize); !ok {
				c, ok = v.sized(class-d, l.Tsize)
			}
		}
	default:
		for class++; class < sizeClasses && !ok; class++ {
			c, ok = v.sized(class, l.Tsize)
		}
	}
	v.remove(c)
	return c, ok
}

func (v *vanished) named(name string) (cid.Cid, bool) {
	list := v.byName[name]
	for len(list) > 0 && !v.here[list[len(list)-1]] {
		list = list[:len(list)-1]
	}
	v.byName[name] = list
	if len(list) == 0 {
		return cid.Undef, false
	}
	return list[len(list)-1], true
}

// look is how many entries of one class are compared with the size wanted.
const look = 8

// sized returns the entry of a class that is nearest in size among the last few of it.
func (v *vanished) sized(class int, size uint64) (best cid.Cid, ok bool) {
	if class < 0 || class >= sizeClasses {
		return cid.Undef, false
	}
	list := v.bySize[class]
	for len(list) > 0 && !v.here[list[len(list)-1].Cid] {
		list = list[:len(list)-1]
	}
	v.bySize[class] = list
	var nearest uint64
	for _, l := range list[max(0, len(list)-look):] {
		far := max(l.Tsize, size) - min(l.Tsize, size)
		if v.here[l.Cid] && (!ok || far < nearest) {
			best, nearest, ok = l.Cid, far, true
		}
	}
	return best, ok
}
