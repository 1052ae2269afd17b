package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/record"
)

func (p Peeked) paths() (out []string) {
	for _, e := range p.Entries {
		out = append(out, e.Path)
	}
	return out
}

func TestPeek(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 1000)
	for i := range 300 {
		write(t, filepath.Join(dir, "crowd", fmt.Sprintf("a rather long name of a file, number %03d, so that there are shards", i)), noise(uint64(2000+i), 10))
	}
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	tk := record.Ticket{Set: id}
	got, err := b.Peek(within(t), tk, "", 100, GetOptions{})
	if err != nil || got.Name != "data" || got.Head.Revision != 1 || got.More {
		t.Fatalf("%+v, %v", got, err)
	}
	if p := got.paths(); !slices.Equal(p, []string{"big", "crowd", "empty", "link", "nothing", "small", "twin"}) {
		t.Errorf("the top: %q", p)
	}
	for path, n := range map[string]int{"small": 21, "small/3": 1, "small/3/file": 1, "empty": 0, "crowd": 300} {
		sent := a.sent.Load()
		got, err := b.Peek(within(t), tk, path, 1000, GetOptions{})
		if err != nil || len(got.Entries) != n || got.More {
			t.Errorf("%q: %d entries, %v, %v", path, len(got.Entries), got.More, err)
		}
		if took := a.sent.Load() - sent; took > 4000+200*int64(n) {
			t.Errorf("%q: %d bytes were sent", path, took)
		}
	}
	if got, err := b.Peek(within(t), tk, "crowd", 50, GetOptions{}); err != nil || len(got.Entries) != 50 || !got.More {
		t.Errorf("some of many: %d, %v, %v", len(got.Entries), got.More, err)
	}
	for _, path := range []string{"nothing/x", "no", "small/3/file/x", "crowd/x"} {
		if _, err := b.Peek(within(t), tk, path, 10, GetOptions{}); !errors.Is(err, dag.ErrNoEntry) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if len(b.all()) != 0 || b.announces(id) {
		t.Error("something was recorded")
	}
	if has, err := b.cfg.Store.Has(t.Context(), got.Head.Root); err != nil || has {
		t.Errorf("something was stored: %v, %v", has, err)
	}
	// One that is here lends its nodes, and a revision of the past is to be had.
	if err := os.Remove(filepath.Join(dir, "twin")); err != nil {
		t.Fatal(err)
	}
	a.share(dir)
	b.fetch(id)
	sent := a.sent.Load()
	if got, err := b.Peek(within(t), tk, "small", 100, GetOptions{}); err != nil || got.Head.Revision != 2 || a.sent.Load() != sent {
		t.Errorf("what is here: revision %d, %d bytes, %v", got.Head.Revision, a.sent.Load()-sent, err)
	}
	past, err := b.Peek(within(t), tk, "", 100, GetOptions{Revision: 1})
	if err != nil || past.Head.Revision != 1 || !slices.Contains(past.paths(), "twin") {
		t.Errorf("of the past: %+v, %v", past, err)
	}
	if _, err := b.Peek(within(t), tk, "", 100, GetOptions{Revision: 9}); !errors.Is(err, ErrNoRevision) {
		t.Errorf("a revision that is not: %v", err)
	}
}

// twister serves wrong bytes for every node that is asked for by name.
type twister struct{ chunks.Source }

func (l twister) Open(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (chunks.Reader, error) {
	r, err := l.Source.Open(ctx, p, set, k)
	return twistingReader{r}, err
}

type twistingReader struct{ chunks.Reader }

func (r twistingReader) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	b, err := r.Reader.Get(ctx, c, buf)
	if err == nil {
		b = slices.Clone(b)
		b[len(b)/2] ^= 1
	}
	return b, err
}

// mute serves no block.
type mute struct{ chunks.Source }

func (m mute) Open(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (chunks.Reader, error) {
	r, err := m.Source.Open(ctx, p, set, k)
	return muteReader{r}, err
}

type muteReader struct{ chunks.Reader }

func (muteReader) Get(context.Context, cid.Cid, []byte) ([]byte, error) {
	return nil, blockstore.ErrNotFound
}

// What a holder says is verified; another one is asked, and in the end it is over.
func TestPeekOfBadHolders(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 1100)
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	lies := newMember(t, role{source: func(s chunks.Source) chunks.Source { return twister{s} }}, a)
	lies.fetch(id)
	lacks := newMember(t, role{source: func(s chunks.Source) chunks.Source { return mute{s} }}, a)
	lacks.fetch(id)
	tk := record.Ticket{Set: id}
	b := newMember(t, role{}, lies, lacks, a)
	got, err := b.Peek(within(t), tk, "small", 100, GetOptions{})
	if err != nil || len(got.Entries) != 21 {
		t.Errorf("with an honest one: %d entries, %v", len(got.Entries), err)
	}
	c := newMember(t, role{}, lies)
	if _, err := c.Peek(within(t), tk, "small", 100, GetOptions{Patience: time.Second, Grace: 100 * time.Millisecond}); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTimeout) {
		t.Errorf("with a liar: %v", err)
	}
	if !c.isBanned(lies) {
		t.Error("the liar is not banned")
	}
	d := newMember(t, role{}, lacks)
	if _, err := d.Peek(within(t), tk, "small", 100, GetOptions{Grace: 100 * time.Millisecond}); !errors.Is(err, ErrDamaged) {
		t.Errorf("with one that has nothing: %v", err)
	}
	e := newMember(t, role{})
	if _, err := e.Peek(within(t), tk, "", 100, GetOptions{Patience: 100 * time.Millisecond}); !errors.Is(err, ErrNoPeers) {
		t.Errorf("with nobody: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Peek(ctx, tk, "", 100, GetOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
