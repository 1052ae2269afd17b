package list

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	listpb "github.com/shoal-p2p/shoal/protocols/list/pb"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// bundle makes one of that many configs and of heads, of bytes that are no records.
func bundle(chain string, configs int, heads ...int) (b record.Bundle) {
	b.Genesis = []byte("genesis")
	for i := range configs {
		b.Configs = append(b.Configs, fmt.Append(nil, chain, i))
	}
	for _, h := range heads {
		b.Heads = append(b.Heads, fmt.Append(nil, "head", h))
	}
	return b
}

func sameBundle(a, b record.Bundle) bool {
	byBytes := func(heads [][]byte) [][]byte { return slices.SortedFunc(slices.Values(heads), bytes.Compare) }
	return bytes.Equal(a.Genesis, b.Genesis) && slices.EqualFunc(a.Configs, b.Configs, bytes.Equal) &&
		slices.EqualFunc(byBytes(a.Heads), byBytes(b.Heads), bytes.Equal)
}

func TestLeaveOut(t *testing.T) {
	tests := map[string]struct {
		have, b        record.Bundle
		genesis        bool // is sent
		configs, heads int  // that are sent
	}{
		"nothing known":        {record.Bundle{}, bundle("c", 2, 1), true, 2, 1},
		"all known":            {bundle("c", 2, 1), bundle("c", 2, 1), false, 0, 0},
		"a new head":           {bundle("c", 2, 1), bundle("c", 2, 2), false, 0, 1},
		"a head more":          {bundle("c", 2, 1), bundle("c", 2, 1, 2), false, 0, 1},
		"a head less":          {bundle("c", 2, 1, 2), bundle("c", 2, 2), false, 0, 0},
		"heads the other way":  {bundle("c", 2, 1, 2, 3), bundle("c", 2, 3, 1), false, 0, 0},
		"a new config":         {bundle("c", 2, 1), bundle("c", 3, 1), false, 1, 0},
		"no head known":        {bundle("c", 2), bundle("c", 2, 1), false, 0, 1},
		"no head there":        {bundle("c", 2, 1), bundle("c", 2), false, 0, 0},
		"the other is ahead":   {bundle("c", 3, 1), bundle("c", 2, 1), true, 2, 0},
		"another chain":        {bundle("x", 2, 1), bundle("c", 2, 1), true, 2, 0},
		"records but no chain": {record.Bundle{Heads: [][]byte{[]byte("head1")}}, bundle("c", 1, 1), true, 1, 1},
	}
	for name, test := range tests {
		have := bundleOf(&test.have)
		var m listpb.Info
		next := decodeKnown(encodeKnown(have)).leaveOut(&m, test.b)
		if got := m.GetBundle(); (got.GetGenesis() != nil) != test.genesis || len(got.GetConfigs()) != test.configs || len(got.GetHeads()) != test.heads {
			t.Errorf("%s: sent %v", name, got)
		}
		b, err := putBack(&m, have)
		if err != nil || !sameBundle(b, test.b) {
			t.Errorf("%s: put back %q, %v", name, b, err)
		}
		// Both sides now agree on what is known, in its order.
		if want := decodeKnown(encodeKnown(bundleOf(&b))); !slices.EqualFunc(next.heads, want.heads, bytes.Equal) || next.configs != want.configs || !bytes.Equal(next.config, want.config) {
			t.Errorf("%s: next %v, want %v", name, next, want)
		}
	}
}

// TestBundlesOnAWatch: through any sequence of bundles, joined or not, the watcher sees each that is sent whole,
// and no record is sent that the bundle before had.
func TestBundlesOnAWatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.Custom(func(t *rapid.T) record.Bundle {
			heads := rapid.SliceOfNDistinct(rapid.IntRange(1, 5), 0, 4, rapid.ID[int]).Draw(t, "heads")
			return bundle(rapid.SampledFrom([]string{"c", "c", "c", "x"}).Draw(t, "chain"), rapid.IntRange(1, 3).Draw(t, "configs"), heads...)
		})
		have := record.Bundle{}
		if rapid.Bool().Draw(t, "known") {
			have = draw.Draw(t, "have")
		}
		p := pending{sent: decodeKnown(encodeKnown(have))}
		f := follower{bundle: have}
		for range rapid.IntRange(1, 8).Draw(t, "frames") {
			var b record.Bundle
			for range rapid.IntRange(1, 3).Draw(t, "joined") {
				b = draw.Draw(t, "bundle")
				p.add(Update{Info: &Info{Bundle: b, Complete: true}})
			}
			before := f.bundle
			m := p.take()
			u, ok, err := f.take(m)
			if err != nil || !ok || !sameBundle(u.Info.Bundle, b) {
				t.Fatalf("got %v, %v, want %v", u.Info, err, b)
			}
			for _, h := range m.GetInfo().GetBundle().GetHeads() {
				if slices.ContainsFunc(before.Heads, func(o []byte) bool { return bytes.Equal(o, h) }) {
					t.Fatalf("%q was sent again", h)
				}
			}
		}
	})
}

func TestPutBackRefuses(t *testing.T) {
	have := bundle("c", 2, 1, 2)
	whole := bundle("c", 1)
	tests := map[string]*listpb.Info{
		"nothing":               {},
		"more configs":          {KnownConfigs: 3},
		"2^32-1 configs":        {KnownConfigs: 1<<32 - 1},
		"genesis twice":         {KnownConfigs: 1, Bundle: whole.Encode()},
		"no such head":          {KnownConfigs: 2, KnownHeads: []uint32{2}},
		"head 2^32-1":           {KnownConfigs: 2, KnownHeads: []uint32{1<<32 - 1}},
		"a head twice":          {KnownConfigs: 2, KnownHeads: []uint32{1, 1}},
		"heads not ascending":   {KnownConfigs: 2, KnownHeads: []uint32{1, 0}},
		"too large with ours":   {KnownConfigs: 2, Bundle: record.Bundle{Configs: [][]byte{make([]byte, record.MaxBundle)}}.Encode()},
		"too many configs":      {KnownConfigs: 2, Bundle: record.Bundle{Configs: make([][]byte, record.MaxConfigs)}.Encode()},
		"heads, but no configs": {KnownHeads: []uint32{0}},
	}
	for name, m := range tests {
		if b, err := putBack(m, have); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	// Numbers of a client that are wrong are as if it knew nothing.
	for name, m := range map[string]*listpb.Known{
		"2^32-1 configs": {Configs: 1<<32 - 1, Config: sum(have.Configs[1])},
		"17 heads":       {Configs: 2, Config: sum(have.Configs[1]), Heads: make([][]byte, record.MaxParents+1)},
		"short sum":      {Configs: 2, Config: sum(have.Configs[1])[:5]},
		"no sum":         {Configs: 2},
		"empty":          {},
	} {
		var info listpb.Info
		decodeKnown(m).leaveOut(&info, have)
		if b, err := putBack(&info, record.Bundle{}); err != nil || !sameBundle(b, have) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// signed makes the records of a set with one member: a config and heads of revisions 1 and 2.
func signed(t *testing.T) (set cid.Cid, one, two record.Bundle) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, _, err := crypto.GenerateEd25519Key(rand.NewChaCha8([32]byte{1}))
	check(err)
	id, err := peer.IDFromPrivateKey(key)
	check(err)
	g := record.Genesis{Owners: []crypto.PubKey{key.GetPublic()}, Nonce: make([]byte, 16), Profile: dag.DefaultProfile()}
	set, err = g.ID()
	check(err)
	genesis, err := record.SealGenesis(g, key)
	check(err)
	c := record.Config{Set: set, Version: 1, Name: "photos", Voters: []peer.ID{id}, Writers: []peer.ID{id}, Mode: record.ModeAP, Public: true}
	config, err := record.SealConfig(c, key)
	check(err)
	_, hash, err := record.OpenConfig(config, g)
	check(err)
	instance := []byte("instance")
	head := func(revision uint64, parents ...cid.Cid) ([]byte, cid.Cid) {
		root := blockstore.Sum(cid.DagProtobuf, []byte{byte(revision)})
		p, err := record.SealProposal(record.Proposal{
			Set: set, Root: root, Base: parents, Writer: id, Instance: instance, Seq: revision, Files: 1000, Entries: 1100, Bytes: 1 << 30,
		}, key)
		check(err)
		b, err := record.SealHead(record.Head{
			Set: set, ConfigVersion: 1, ConfigHash: hash, Epoch: record.Epoch{ConfigVersion: 1, N: 1, Owner: id, Instance: instance},
			Vector: record.Vector{record.InstanceKey(instance): revision}, Revision: revision, Root: root, Parents: parents,
			Proposals: [][]byte{p}, Time: time.Date(2026, 11, 22, 3, 15, 0, 0, time.UTC),
		}, key)
		check(err)
		_, headID, err := record.OpenHead(b, c, hash)
		check(err)
		return b, headID
	}
	h1, id1 := head(1)
	h2, _ := head(2, id1)
	return set, record.Bundle{Genesis: genesis, Configs: [][]byte{config}, Heads: [][]byte{h1}},
		record.Bundle{Genesis: genesis, Configs: [][]byte{config}, Heads: [][]byte{h2}}
}

// TestBytesOfAWatch holds what a watch costs against its bars: frames of both directions, without peers.
func TestBytesOfAWatch(t *testing.T) {
	set, one, two := signed(t)
	digest := blockstore.Digest(set)
	frame := func(m proto.Message) int {
		b, err := wire.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	request := func(have record.Bundle) int {
		return frame(&listpb.Request{Kind: listpb.Kind_WATCH, Set: digest[:], Known: encodeKnown(have)})
	}
	answer := func(p *pending, b record.Bundle) int {
		p.add(Update{Info: &Info{Bundle: b, Leaves: 4096, Complete: true}})
		return frame(p.take())
	}
	var stranger pending
	friend := pending{sent: decodeKnown(encodeKnown(one))}
	tests := []struct {
		what                  string
		request, answer       int
		maxRequest, maxAnswer int
	}{
		{"nothing known", request(record.Bundle{}), answer(&stranger, one), 40, 1300},
		{"a new head on that watch", 0, answer(&stranger, two), 0, 750},
		{"all known", request(one), answer(&friend, one), 80, 30},
		{"a new head on that watch", 0, answer(&friend, two), 0, 750},
	}
	for _, test := range tests {
		t.Logf("%s: request %d bytes, answer %d", test.what, test.request, test.answer)
		if test.request > test.maxRequest || test.answer > test.maxAnswer {
			t.Errorf("%s: request of %d bytes, at most %d; answer of %d, at most %d",
				test.what, test.request, test.maxRequest, test.answer, test.maxAnswer)
		}
	}
}

// TestKnownOverStreams: what a caller has is put back into what it gets, by INFO and by WATCH.
func TestKnownOverStreams(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w *world) {
		have := bundle("c", 2, 1)
		w.catalog.info.Bundle = bundle("c", 3, 2)
		i, err := GetInfo(ctx, w.reader, w.server.ID(), w.catalog.set, nil, &have)
		if err != nil || !sameBundle(i.Bundle, w.catalog.info.Bundle) {
			t.Errorf("info: %q, %v", i.Bundle, err)
		}
		sent := []record.Bundle{have, bundle("c", 3, 1, 2), bundle("c", 3, 2), bundle("x", 1, 2)}
		go func() {
			for _, b := range sent {
				w.catalog.updates <- Update{Info: &Info{Bundle: b}}
				time.Sleep(time.Second)
			}
			close(w.catalog.updates)
		}()
		var got []record.Bundle
		err = Watch(ctx, w.reader, w.server.ID(), w.catalog.set, nil, &have, func(u Update) error {
			got = append(got, u.Info.Bundle)
			return nil
		})
		if err != nil || !slices.EqualFunc(got, sent, sameBundle) {
			t.Errorf("watch: %q, %v\nwant %q", got, err, sent)
		}
	})
}

// historian is a catalog that knows earlier heads.
type historian struct {
	*catalog
	heads [][]byte
}

func (c historian) History(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) ([][]byte, error) {
	if _, err := c.Info(ctx, p, set, capability); err != nil {
		return nil, err
	}
	return c.heads, nil
}

func TestHistory(t *testing.T) {
	inWorld(t, func(t *testing.T, ctx context.Context, w *world) {
		if _, err := History(ctx, w.reader, w.server.ID(), w.catalog.set, nil); !errors.Is(err, ErrRemote) {
			t.Errorf("a catalog without history: %v", err)
		}
		many := make([][]byte, MaxHistory+5)
		for i := range many {
			many[i] = fmt.Append(nil, "head", i)
		}
		large := [][]byte{make([]byte, record.MaxSealed), make([]byte, record.MaxSealed), make([]byte, 3*record.MaxSealed)}
		for name, test := range map[string]struct {
			heads [][]byte
			want  int
		}{
			"none": {nil, 0}, "three": {many[:3], 3}, "too many": {many, MaxHistory}, "too large": {large, 2},
		} {
			stop := Register(w.server, historian{w.catalog, test.heads}, slog.New(slog.DiscardHandler))
			got, err := History(ctx, w.reader, w.server.ID(), w.catalog.set, nil)
			if err != nil || !slices.EqualFunc(got, test.heads[:test.want], bytes.Equal) {
				t.Errorf("%s: %d heads, %v; want %d", name, len(got), err, test.want)
			}
			if _, err := History(ctx, w.stranger, w.server.ID(), w.catalog.set, []byte("invite")); err != nil {
				t.Errorf("%s, with an invite: %v", name, err)
			}
			if _, err := History(ctx, w.stranger, w.server.ID(), w.catalog.set, nil); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s, a stranger: %v", name, err)
			}
			stop()
		}
	})
}
