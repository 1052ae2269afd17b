package record

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
)

// history is heads of one set, the oldest first, each the parent of the next, and their CIDs.
type history struct {
	sealed [][]byte
	ids    []cid.Cid
}

// newHistory makes n heads. From revision 3 on they are made under config 2, which is returned sealed.
func newHistory(t testing.TB, w *world, n int) (history, []byte) {
	c2 := w.config
	c2.Version, c2.Prev, c2.Name = 2, w.configHash, "pictures"
	config := must(SealConfig(c2, w.owner.key))(t)
	_, hash2, err := OpenConfig(config, w.genesis)
	if err != nil {
		t.Fatal(err)
	}
	all := history{w.bundle.Heads, []cid.Cid{w.headCid}}
	for rev := uint64(2); rev <= uint64(n); rev++ {
		b := w.child(t, func(h *Head) {
			h.Revision, h.Parents = rev, all.ids[len(all.ids)-1:]
			h.Vector = Vector{InstanceKey([]byte("voter--1")): rev}
			if rev >= 3 {
				h.ConfigVersion, h.Epoch.ConfigVersion, h.ConfigHash = 2, 2, hash2
			}
		})
		_, o, err := openHead(b)
		if err != nil {
			t.Fatal(err)
		}
		all.sealed, all.ids = append(all.sealed, b), append(all.ids, o.id)
	}
	return all, config
}

// verified is a bundle with one head and both configs.
func (w *world) verified(t testing.TB, config []byte, head ...[]byte) Verified {
	t.Helper()
	return must(VerifyBundle(w.set, Bundle{w.bundle.Genesis, [][]byte{w.bundle.Configs[0], config}, head}))(t)
}

func TestOpenChain(t *testing.T) {
	w := newWorld(t)
	all, config := newHistory(t, w, 5)
	v := w.verified(t, config, all.sealed[4])
	if len(v.Configs) != 2 || v.Configs[0].Name != "photos" || v.Configs[1].Name != "pictures" || !v.ConfigHashes[0].Equals(w.configHash) ||
		v.Config.Version != 2 || !v.ConfigHash.Equals(v.ConfigHashes[1]) {
		t.Errorf("configs %+v, %v; newest %+v, %v", v.Configs, v.ConfigHashes, v.Config, v.ConfigHash)
	}
	past := slices.Clone(all.sealed[:4])
	slices.Reverse(past)
	for n := range len(past) + 1 {
		heads, ids, err := OpenChain(v, past[:n])
		if err != nil || len(heads) != n || len(ids) != n {
			t.Fatalf("%d heads: got %d and %d CIDs, %v", n, len(heads), len(ids), err)
		}
		for i := range heads {
			if rev := uint64(4 - i); heads[i].Revision != rev || !ids[i].Equals(all.ids[rev-1]) {
				t.Errorf("head %d: revision %d, %s", i, heads[i].Revision, ids[i])
			}
		}
	}
}

// A chain with something wrong in it gives what stands before, and no more.
func TestOpenChainRefuses(t *testing.T) {
	w := newWorld(t)
	all, config := newHistory(t, w, 5)
	v := w.verified(t, config, all.sealed[4])
	at := func(rev int) []byte { return all.sealed[rev-1] }
	// on makes a newest head whose only fault is what it says of its parent, revision 4.
	on := func(change func(*Head)) Verified {
		last, _, err := openHead(at(5))
		if err != nil {
			t.Fatal(err)
		}
		change(&last)
		return w.verified(t, config, must(SealHead(last, w.voter.key))(t))
	}
	old, _, err := openHead(at(4))
	if err != nil {
		t.Fatal(err)
	}
	stranger := old
	stranger.Epoch.Owner = w.stranger.id
	foreign := must(SealHead(stranger, w.stranger.key))(t)
	_, o, err := openHead(foreign)
	if err != nil {
		t.Fatal(err)
	}
	noConfig := v
	noConfig.Configs, noConfig.ConfigHashes = v.Configs[:1], v.ConfigHashes[:1]
	tests := map[string]struct {
		v      Verified
		sealed [][]byte
		good   int // heads that are returned all the same
		want   error
	}{
		"a gap":                    {v, [][]byte{at(4), at(2)}, 1, ErrForged},
		"the head itself":          {v, [][]byte{at(5)}, 0, ErrForged},
		"one twice":                {v, [][]byte{at(4), at(4)}, 1, ErrForged},
		"the wrong way":            {v, [][]byte{at(1), at(2), at(3), at(4)}, 0, ErrForged},
		"behind the first":         {v, [][]byte{at(4), at(3), at(2), at(1), at(1)}, 4, ErrForged},
		"garbage":                  {v, [][]byte{at(4), at(3), []byte("garbage")}, 2, ErrMalformed},
		"a config":                 {v, [][]byte{config}, 0, ErrForged},
		"a bit flipped":            {v, [][]byte{at(4), flip(at(3))}, 1, ErrForged},
		"a config that is missing": {noConfig, [][]byte{at(4)}, 0, ErrForged},
		"no head to begin at":      {Verified{Set: w.set}, [][]byte{at(4)}, 0, ErrForged},
		// The newest head names it, but no voter made it.
		"parent by a stranger": {on(func(h *Head) { h.Parents = []cid.Cid{o.id} }), [][]byte{foreign}, 0, ErrForged},
		"revision jumps":       {on(func(h *Head) { h.Revision = 6 }), [][]byte{at(4)}, 0, ErrForged},
		"vector falls behind":  {on(func(h *Head) { h.Vector = Vector{InstanceKey([]byte("voter--1")): 3} }), [][]byte{at(4)}, 0, ErrForged},
	}
	for name, test := range tests {
		heads, ids, err := OpenChain(test.v, test.sealed)
		if !errors.Is(err, test.want) || len(heads) != test.good || len(ids) != test.good {
			t.Errorf("%s: %d heads, %d CIDs, %v; want %d and %v", name, len(heads), len(ids), err, test.good, test.want)
		}
	}
	if heads, _, err := OpenChain(Verified{Set: w.set}, nil); err != nil || heads != nil {
		t.Errorf("nothing before nothing: %v, %v", heads, err)
	}
}

// flip changes the signature, at the end of the envelope.
func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// A chain may lead through a merge by any of its parents.
func TestOpenChainThroughMerge(t *testing.T) {
	w := newWorld(t)
	_, config := newHistory(t, w, 1)
	other := w.child(t, func(h *Head) {
		h.Vector = Vector{InstanceKey([]byte("voter--1")): 1, InstanceKey([]byte("voter--2")): 1}
	})
	_, left, err := openHead(w.child(t, func(*Head) {}))
	_, right, err2 := openHead(other)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	merge := w.child(t, func(h *Head) {
		h.Revision, h.Parents = 3, []cid.Cid{left.id, right.id}
		h.Vector = Vector{InstanceKey([]byte("voter--1")): 2, InstanceKey([]byte("voter--2")): 1}
	})
	v := w.verified(t, config, merge)
	for name, parent := range map[string][]byte{"left": w.child(t, func(*Head) {}), "right": other} {
		heads, _, err := OpenChain(v, [][]byte{parent, w.bundle.Heads[0]})
		if err != nil || len(heads) != 2 || heads[1].Revision != 1 {
			t.Errorf("%s: %d heads, %v", name, len(heads), err)
		}
	}
}

func TestNote(t *testing.T) {
	w := newWorld(t)
	full := strings.Repeat("x", MaxNote)
	for _, note := range []string{"", "new lenses\n\n\tand the old ones", "größer 日本 👩‍👩‍👧", full} {
		p := w.proposal
		p.Note = note
		opened, _, err := OpenProposal(must(SealProposal(p, w.writer.key))(t), w.config)
		if err != nil || opened.Note != note {
			t.Errorf("%.20q: got %.20q, %v", note, opened.Note, err)
		}
	}
	for _, note := range []string{full + "x", "a\x00", "a\r\n", "\x1b[31m", "a\u202eb", "a\u2028b", "a\x7f", "a\u0085", "\xff"} {
		p := w.proposal
		p.Note = note
		if _, err := SealProposal(p, w.writer.key); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.20q: %v, want ErrMalformed", note, err)
		}
		m := must(w.proposal.encode())(t)
		if m.Note = note; strings.ToValidUTF8(note, "") != note {
			continue // protobuf refuses to encode it
		}
		if _, _, err := OpenProposal(must(seal(kindProposal, m, w.writer.key))(t), w.config); !errors.Is(err, ErrMalformed) {
			t.Errorf("opening %.20q: %v, want ErrMalformed", note, err)
		}
	}
}

func FuzzOpenChain(f *testing.F) {
	w := newWorld(f)
	all, config := newHistory(f, w, 3)
	v := w.verified(f, config, all.sealed[2])
	f.Add(all.sealed[1], all.sealed[0])
	f.Add(all.sealed[0], all.sealed[1])
	f.Fuzz(func(t *testing.T, a, b []byte) {
		heads, _, err := OpenChain(v, [][]byte{a, b})
		if err != nil && !errors.Is(err, ErrForged) && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		given := [][]byte{a, b}
		for i := range heads {
			if !bytes.Equal(given[i], all.sealed[1-i]) {
				t.Fatalf("head %d was accepted, but is not ours", i)
			}
		}
	})
}
