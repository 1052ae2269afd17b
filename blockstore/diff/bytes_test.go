package diff_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/chunk"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/blockstore/patch"
)

// scripts is how many random edit scripts one run tries: thousands, in some seconds.
const scripts = 3000

// side is one end of a delta: blocks by CID.
type side map[cid.Cid][]byte

func (s side) get(_ context.Context, c cid.Cid) ([]byte, error) {
	if b, ok := s[c]; ok {
		return b, nil
	}
	return nil, blockstore.ErrNotFound
}

// smallProfile cuts small files into many chunks, and makes shards of small folders.
func smallProfile() dag.Profile {
	p := dag.DefaultProfile()
	p.Min, p.Avg, p.Max = 64, 320, 1280
	p.FanMin, p.FanAvg, p.FanMax = 2, 3, 6
	p.HAMTThreshold = 400
	return p
}

// tree is a folder in memory: bytes by path.
type tree map[string][]byte

// publish cuts and builds a tree into blocks.
func publish(t *testing.T, p dag.Profile, files tree) (side, cid.Cid) {
	t.Helper()
	s := side{}
	emit := func(b blockstore.Block) error {
		s[b.Cid()] = bytes.Clone(b.Data())
		return nil
	}
	cut, err := chunk.New(chunk.Params{Min: p.Min, Avg: p.Avg, Max: p.Max})
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string][]dag.Link{"": nil}
	for name, data := range files {
		var leaves []blockstore.Leaf
		for len(data) > 0 {
			n := cut.Cut(data, true)
			b := blockstore.NewBlock(cid.Raw, data[:n])
			s[b.Cid()] = data[:n]
			leaves = append(leaves, blockstore.Leaf{Cid: b.Cid(), Size: uint32(n)})
			data = data[n:]
		}
		link, err := dag.BuildFile(p, dag.Attr{Mode: 0o644}, leaves, emit)
		if err != nil {
			t.Fatal(err)
		}
		link.Name = path.Base(name)
		dir := strings.TrimPrefix(path.Dir(name), ".")
		folders[dir] = append(folders[dir], link)
	}
	var root dag.Link
	for _, dir := range slices.Backward(slices.Sorted(maps.Keys(folders))) { // one level deep; "" comes last
		link, err := dag.BuildDir(p, dag.Attr{Mode: 0o755}, folders[dir], emit)
		if err != nil {
			t.Fatal(err)
		}
		link.Name = dir
		if root = link; dir != "" {
			folders[""] = append(folders[""], link)
		}
	}
	return s, root.Cid
}

// edit changes a tree at random: bytes overwritten, inserted, cut out, appended; files renamed, moved, copied,
// added, removed.
func edit(r *rand.Rand, old tree) tree {
	files := maps.Clone(old)
	for range 1 + r.IntN(6) {
		names := slices.Sorted(maps.Keys(files))
		name := names[r.IntN(len(names))]
		data := files[name]
		at, n := r.IntN(len(data)+1), r.IntN(300)
		switch r.IntN(9) {
		case 0:
			data = bytes.Clone(data)
			copy(data[at:], random(r, n))
			files[name] = data
		case 1:
			files[name] = slices.Concat(data[:at], random(r, n), data[at:])
		case 2:
			files[name] = slices.Concat(data[:at], data[min(len(data), at+n):])
		case 3:
			files[name] = slices.Concat(data, random(r, n))
		case 4, 5:
			delete(files, name)
			files[newName(r)] = data
		case 6:
			files[newName(r)] = data
		case 7:
			files[newName(r)] = random(r, r.IntN(3000))
		default:
			if len(files) > 1 {
				delete(files, name)
			}
		}
	}
	return files
}

func newName(r *rand.Rand) string {
	if d := r.IntN(4); d > 0 {
		return fmt.Sprintf("d%d/%x", d, r.Uint32())
	}
	return fmt.Sprintf("%x", r.Uint32())
}

// random is half noise, half text, so that every coding of a patch occurs.
func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	text := r.IntN(2) == 0
	for i := range b {
		if b[i] = byte(r.Uint32()); text {
			b[i] = 'a' + b[i]%4
		}
	}
	return b
}

// Whoever holds the old revision and takes what the difference says has the new one, byte for byte: whether the
// sender has the old bytes or only signatures of them.
func TestOldAndDeltaIsNew(t *testing.T) {
	t.Parallel()
	codec, err := patch.New(patch.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	p := smallProfile()
	var sent, whole int64
	for seed := range uint64(scripts) {
		r := rand.New(rand.NewPCG(seed, 1))
		old := tree{}
		for range 1 + r.IntN(12) {
			old[newName(r)] = random(r, r.IntN(6000))
		}
		fresh := edit(r, old)
		have, oldRoot := publish(t, p, old)
		theirs, newRoot := publish(t, p, fresh)
		d := receiver{t: t, seed: seed, codec: codec, here: have, there: theirs, signed: seed%2 == 0}
		got := d.update(oldRoot, newRoot)
		if !maps.EqualFunc(got, fresh, bytes.Equal) {
			t.Fatalf("seed %d: another tree", seed)
		}
		sent += d.sent
		for _, b := range theirs {
			whole += int64(len(b))
		}
	}
	if sent > whole/2 {
		t.Errorf("%d bytes sent of %d: no difference was made", sent, whole)
	}
}

// receiver brings what is here to what is there.
type receiver struct {
	t           *testing.T
	seed        uint64
	codec       *patch.Codec
	here, there side
	signed      bool // the sender has lost the old bytes
	sent        int64
}

func (d *receiver) take(c cid.Cid, base []byte, signed bool) {
	d.t.Helper()
	target := d.there[c]
	var p []byte
	var err error
	switch {
	case base == nil:
		p, err = d.codec.EncodeWhole(nil, target)
	case signed:
		p, err = d.codec.EncodeSigned(nil, patch.Sign(base, patch.BlockSize(len(base))), target)
	default:
		p, err = d.codec.EncodeDict(nil, base, target)
	}
	if err == nil {
		d.sent += int64(len(p))
		target, err = d.codec.Apply(nil, base, p, len(target))
	}
	if err == nil {
		err = blockstore.Verify(c, target)
	}
	if err != nil {
		d.t.Fatalf("seed %d: %v", d.seed, err)
	}
	d.here[c] = target
}

func (d *receiver) update(oldRoot, newRoot cid.Cid) tree {
	d.t.Helper()
	ctx, lim := context.Background(), dag.DefaultLimits()
	both := maps.Clone(d.there)
	maps.Copy(both, d.here)
	nodes, err := diff.Nodes(ctx, []cid.Cid{oldRoot}, newRoot, both.get, lim)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, n := range nodes {
		var base []byte
		if n.Base.Defined() {
			base = d.here[n.Base]
		}
		d.take(n.Cid, base, false)
	}
	old, err := dag.ReadLayout(ctx, oldRoot, d.here.get, lim)
	if err != nil {
		d.t.Fatal(err)
	}
	lay, err := dag.ReadLayout(ctx, newRoot, d.here.get, lim)
	if err != nil {
		d.t.Fatalf("seed %d: a node was left out: %v", d.seed, err)
	}
	plan := diff.NewPlan(lay, old, func(c cid.Cid) bool { return d.here[c] != nil })
	for i, l := range plan.Leaves {
		c := lay.Leaves[i].Cid
		if l.Source == diff.Reuse {
			continue
		}
		var base []byte
		for _, b := range l.Base {
			base = append(base, d.here[b]...)
		}
		d.take(c, base, d.signed)
	}
	got := tree{}
	for _, e := range lay.Entries {
		if e.Kind == dag.KindFile {
			data := []byte{}
			for _, l := range e.Leaves {
				data = append(data, d.here[lay.Leaves[l].Cid]...)
			}
			got[e.Path] = data
		}
	}
	return got
}
