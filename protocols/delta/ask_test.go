package delta

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/patch"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// edited is one leaf that was overwritten in the middle, in the sides' two revisions.
func edited(t testing.TB, w *world) (a, b cid.Cid, old, new blockstore.Block) {
	data := random(1, 50<<10)
	changed := overwrite(data, 20<<10, 100, 2)
	a, b = build(t, files{"f": data}, w.src, w.mine), build(t, files{"f": changed}, w.src)
	return a, b, blockstore.NewBlock(cid.Raw, data), blockstore.NewBlock(cid.Raw, changed)
}

// An ask is answered according to what it names.
func TestAsk(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		a, b, old, new := edited(t, w)
		gone := blockstore.NewBlock(cid.Raw, []byte("gone"))
		signed := func(base []byte) []byte {
			return patch.AppendSignature(nil, patch.Sign(base, patch.BlockSize(len(base))))
		}
		ask := func(bases []cid.Cid, signature []byte) Ask {
			return Ask{Cid: new.Cid(), Size: len(new.Data()), Bases: bases, Signature: signature}
		}
		big := slices.Repeat([]cid.Cid{old.Cid()}, 4)
		tests := []struct {
			name string
			ask  Ask
			base []byte
			code wire.Code
			most int // bytes of patch
		}{
			{"whole", ask(nil, nil), nil, wire.OK, 51 << 10},
			{"base", ask([]cid.Cid{old.Cid()}, nil), old.Data(), wire.OK, 200},
			{"four bases", ask(big, nil), bytes.Repeat(old.Data(), 4), wire.OK, 250},
			{"signature", ask([]cid.Cid{old.Cid()}, signed(old.Data())), old.Data(), wire.OK, 2000},
			{"signature of a base that is not here", ask([]cid.Cid{gone.Cid()}, signed(gone.Data())), gone.Data(), wire.OK, 51 << 10},
			{"base that is not here", ask([]cid.Cid{gone.Cid()}, nil), nil, wire.NoBase, 0},
			{"one base of two is here", ask([]cid.Cid{old.Cid(), gone.Cid()}, nil), nil, wire.NoBase, 0},
			{"bad signature", ask([]cid.Cid{old.Cid()}, []byte("bad")), nil, wire.BadRequest, 0},
			{"signature of 1 TiB", ask([]cid.Cid{old.Cid()}, []byte{0x80, 0x20, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20}), nil, wire.BadRequest, 0},
			{"leaf that is not in the set", Ask{Cid: gone.Cid(), Size: 4}, nil, wire.NotFound, 0},
			{"whole again", ask(nil, nil), nil, wire.OK, 51 << 10},
		}
		s := w.session(t, ctx, Request{Want: b, Have: []cid.Cid{a}})
		defer s.Close()
		for _, test := range tests { // before anything is read
			if err := s.Ask(test.ask); err != nil {
				t.Fatal(test.name, err)
			}
		}
		unasked(t, s)
		codec := newPuller(t, w.mine, b).codec
		for _, test := range tests {
			i := must(s.Next())(t)
			if i.Kind != Leaf || i.Code != test.code || !i.Cid.Equals(test.ask.Cid) || !slices.Equal(i.Bases, test.ask.Bases) || i.Size != test.ask.Size {
				t.Errorf("%s: %+v", test.name, i)
			}
			if i.Length > test.most || i.Length != len(i.Patch) {
				t.Errorf("%s: patch of %d bytes", test.name, i.Length)
			}
			if i.Code != wire.OK {
				if _, err := i.Apply(codec, nil); !errors.Is(err, blockstore.ErrInvalid) {
					t.Errorf("%s: applied: %v", test.name, err)
				}
			} else if got, err := i.Apply(codec, test.base); err != nil || !bytes.Equal(got.Data(), new.Data()) {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	})
}

// A patch over the wrong base, or a wrong patch, makes no block.
func TestApplyVerifies(t *testing.T) {
	codec := must(patch.New(patch.DefaultLimits()))(t)
	base, target := random(1, 5000), overwrite(random(1, 5000), 100, 50, 2)
	dict, raw := must(codec.EncodeDict(nil, base, target))(t), append([]byte{byte(patch.Raw)}, target...)
	item := func(p []byte, size int) Item {
		return Item{Kind: Leaf, Cid: blockstore.Sum(cid.Raw, target), Size: size, Patch: p, Length: len(p)}
	}
	tests := map[string]struct {
		item Item
		base []byte
		want error
	}{
		"right":           {item(dict, 5000), base, nil},
		"whole":           {item(raw, 5000), nil, nil},
		"wrong base":      {item(dict, 5000), random(3, 5000), blockstore.ErrCorrupt},
		"no base":         {item(dict, 5000), nil, blockstore.ErrCorrupt},
		"other size":      {item(dict, 4999), base, blockstore.ErrCorrupt},
		"other bytes":     {item(overwrite(raw, 50, 1, 1), 5000), nil, blockstore.ErrCorrupt},
		"cut":             {item(dict[:20], 5000), base, blockstore.ErrCorrupt},
		"unknown coding":  {item([]byte{99, 1}, 5000), base, blockstore.ErrCorrupt},
		"5 MiB of base":   {item(dict, 5000), make([]byte, 5<<20), patch.ErrLimit},
		"nothing":         {item(nil, 5000), base, blockstore.ErrInvalid},
		"first byte only": {Item{Cid: blockstore.Sum(cid.Raw, target), Size: 5000, Patch: dict[:1], Length: len(dict)}, base, blockstore.ErrInvalid},
	}
	for name, test := range tests {
		b, err := test.item.Apply(codec, test.base)
		if !errors.Is(err, test.want) || err == nil && !bytes.Equal(b.Data(), target) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	inWorld(t, ServerOptions{}, func(t *testing.T, ctx context.Context, w *world) {
		a, b, old, new := edited(t, w)
		for name, q := range map[string]Request{
			"no set":         {Want: b},
			"leaf as root":   {Set: testSet, Want: new.Cid()},
			"five have":      {Set: testSet, Want: b, Have: slices.Repeat([]cid.Cid{a}, 5)},
			"undefined have": {Set: testSet, Want: b, Have: []cid.Cid{cid.Undef}},
			"push -1":        {Set: testSet, Want: b, Push: -1},
		} {
			if _, err := Open(ctx, w.reader, w.server.ID(), q); !errors.Is(err, blockstore.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		s := w.session(t, ctx, Request{Want: b, Have: []cid.Cid{a}})
		defer s.Close()
		good := Ask{Cid: new.Cid(), Size: 50 << 10}
		for name, ask := range map[string]Ask{
			"node":                 {Cid: b, Size: 10},
			"five bases":           {Cid: new.Cid(), Size: 10, Bases: slices.Repeat([]cid.Cid{old.Cid()}, 5)},
			"signature of nothing": {Cid: new.Cid(), Size: 10, Signature: []byte("x")},
			"3 MiB":                {Cid: new.Cid(), Size: 3 << 20},
			"64 KiB of signature":  {Cid: new.Cid(), Size: 10, Bases: []cid.Cid{old.Cid()}, Signature: make([]byte, 64<<10)},
		} {
			if err := s.Ask(good, ask); !errors.Is(err, blockstore.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		// None of the good ones was sent.
		if err := s.Ask(slices.Repeat([]Ask{good}, MaxAsks)...); err != nil {
			t.Error(err)
		}
		if err := s.Ask(good); !errors.Is(err, ErrWindow) {
			t.Errorf("one more: %v", err)
		}
		unasked(t, s)
		must(s.Next())(t)
		if err := s.Ask(good); err != nil {
			t.Errorf("after an item: %v", err)
		}
		s.Close()
		if _, err := s.Next(); !errors.Is(err, ErrClosed) {
			t.Errorf("next after close: %v", err)
		}
		if err := s.Ask(good); !errors.Is(err, ErrClosed) {
			t.Errorf("ask after close: %v", err)
		}
	})
}

// One goroutine asks, one takes, at full windows, with a limit on the rate.
func TestManyAsks(t *testing.T) {
	sent := 0
	o := ServerOptions{
		Limit: always(rate.NewLimiter(1<<20, 64<<10)),
		Sent:  func(_ peer.ID, n int) { sent += n },
	}
	inWorld(t, o, func(t *testing.T, ctx context.Context, w *world) {
		b := build(t, many(1000, 1), w.src)
		lay := must(reader{w.src}.Layout(ctx, b))(t)
		s := w.session(t, ctx, Request{Want: b})
		defer s.Close()
		begin := time.Now()
		room := make(chan struct{}, MaxAsks)
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, l := range lay.Leaves {
				room <- struct{}{}
				if err := s.Ask(Ask{Cid: l.Cid, Size: int(l.Size)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
		got := 0
		for _, i := range unasked(t, s) {
			got += i.Length
		}
		codec := newPuller(t, w.mine, b).codec
		for _, l := range lay.Leaves {
			i := must(s.Next())(t)
			<-room
			if block, err := i.Apply(codec, nil); err != nil || block.Cid() != l.Cid {
				t.Fatal(err)
			}
			got += i.Length
		}
		wg.Wait()
		if got != sent {
			t.Errorf("%d bytes of patches came, %d were sent", got, sent)
		}
		if took := time.Since(begin); took < time.Duration(got-2*64<<10)*time.Second>>20 {
			t.Errorf("%d bytes took %v at 1 MiB/s", got, took)
		}
	})
}

// What one server encodes at once is bounded, over all sessions.
func TestWorkersAreFew(t *testing.T) {
	shop := newWorkshop()
	busy, most := 0, 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			err := shop.use(t.Context(), func(w *worker) error {
				mu.Lock()
				busy++
				most = max(most, busy)
				mu.Unlock()
				_, err := w.codec.EncodeDict(nil, w.one[:5000], w.target[:5000])
				mu.Lock()
				busy--
				mu.Unlock()
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most > Workers {
		t.Errorf("%d workers at once", most)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	shop.slots <- struct{}{}
	shop.slots <- struct{}{}
	if err := shop.use(ctx, func(*worker) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ends with %v", err)
	}
}
