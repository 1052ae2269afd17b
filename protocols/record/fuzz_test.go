package record

import (
	"bytes"
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
)

func FuzzOpen(f *testing.F) {
	w := newWorld(f)
	sealed := [][]byte{w.bundle.Genesis, w.bundle.Configs[0], w.head.Proposals[0], w.bundle.Heads[0], must(SealInvite(w.invite(), w.owner.key))(f)}
	for _, b := range sealed {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, err := OpenGenesis(b)
		_, _, err2 := OpenConfig(b, w.genesis)
		_, _, err3 := OpenProposal(b, w.config)
		_, _, err4 := OpenHead(b, w.config, w.configHash)
		_, err5 := OpenInvite(b, w.genesis)
		for i, err := range []error{err, err2, err3, err4, err5} {
			if err == nil {
				// A fuzzer may sign a genesis of its own, but never another record of ours.
				if i > 0 && !bytes.Equal(b, sealed[i]) {
					t.Fatalf("record %d was accepted, but is not ours", i)
				}
			} else if !errors.Is(err, ErrForged) && !errors.Is(err, ErrMalformed) {
				t.Fatalf("record %d: %v", i, err)
			}
		}
	})
}

// FuzzPayload signs whatever payload: shape alone must decide, and what is accepted has one encoding.
func FuzzPayload(f *testing.F) {
	w := newWorld(f)
	noted := w.proposal
	noted.Note, noted.From = "a note\n", rootOf("origin")
	merged := w.head
	w.merge(f)(&merged)
	f.Add(must(encode(must(w.config.encode())(f)))(f))
	f.Add(must(encode(must(fullConfig(w).encode())(f)))(f))
	f.Add(must(encode(must(w.head.encode())(f)))(f))
	f.Add(must(encode(must(merged.encode())(f)))(f))
	f.Add(must(encode(must(noted.encode())(f)))(f))
	f.Add(must(encode(must(w.invite().encode())(f)))(f))
	f.Fuzz(func(t *testing.T, payload []byte) {
		sign := func(k kind, key crypto.PrivKey) []byte { return must(sealRaw(k, payload, key))(t) }
		same := func(k kind, again []byte, err error) {
			if err != nil || !bytes.Equal(again, payload) {
				t.Fatalf("%s has two encodings, %v", k, err)
			}
		}
		if c, _, err := OpenConfig(sign(kindConfig, w.owner.key), w.genesis); err == nil {
			same(kindConfig, must(encode(must(c.encode())(t)))(t), nil)
			next := c.Next(w.configHash)
			_, err := next.encode()
			same(kindConfig, must(encode(must(c.encode())(t)))(t), err)
		}
		if h, _, err := openHead(sign(kindHead, w.voter.key)); err == nil {
			h.Totals() // of proposals that nobody looked at
			same(kindHead, must(encode(must(h.encode())(t)))(t), nil)
		}
		if g, id, err := OpenGenesis(sign(kindGenesis, w.owner.key)); err == nil && !must(g.ID())(t).Equals(id) {
			t.Fatal("genesis has two ids")
		}
		if p, _, err := OpenProposal(sign(kindProposal, w.writer.key), w.config); err == nil {
			same(kindProposal, must(encode(must(p.encode())(t)))(t), nil)
		}
		if i, err := OpenInvite(sign(kindInvite, w.owner.key), w.genesis); err == nil {
			same(kindInvite, must(encode(must(i.encode())(t)))(t), nil)
		}
	})
}
