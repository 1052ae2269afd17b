package dht

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	mh "github.com/multiformats/go-multihash"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func name(key, member int) datastore.Key {
	return datastore.NewKey(fmt.Sprintf("/providers/K%d/P%d", key, member))
}

func count(t *testing.T, s *providerStore, prefix string) int {
	t.Helper()
	res, err := s.Query(t.Context(), query.Query{Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := res.Rest()
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestProviderStoreIsBounded(t *testing.T) {
	s, ctx := newProviderStore("P999999"), t.Context()
	put := func(key, member int, v string) {
		if err := s.Put(ctx, name(key, member), []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	put(0, 0, "early")
	for i := range 100_000 { // a flood for one key
		put(0, i+1, "bogus")
	}
	put(0, 0, "renewed")
	put(0, 999999, "own")
	if v, err := s.Get(ctx, name(0, 0)); err != nil || string(v) != "renewed" {
		t.Errorf("the early record is %q: %v", v, err)
	}
	if ok, _ := s.Has(ctx, name(0, 999999)); !ok {
		t.Error("our own record found no room")
	}
	if n := count(t, s, "/providers/K0"); n != maxProviders+1 {
		t.Errorf("%d records of one key", n)
	}
	for i := range maxRecords + 10 { // a flood of keys
		put(i+1, 1, "bogus")
	}
	if s.total != maxRecords || count(t, s, "/providers/") != maxRecords {
		t.Errorf("%d records in all, counted %d", s.total, count(t, s, "/providers/"))
	}
	if n := count(t, s, "/providers/K1"); n != 1 { // and none of K10, K11...
		t.Errorf("%d records of a key with one", n)
	}
	for i := range maxRecords + 10 {
		s.Delete(ctx, name(i+1, 1))
	}
	if len(s.groups) != 1 || s.total != maxProviders+1 {
		t.Errorf("%d keys, %d records left", len(s.groups), s.total)
	}
}

func newHost(t *testing.T) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func newDHT(t *testing.T, h host.Host, o Options) *DHT {
	t.Helper()
	o.Server = true
	d, err := New(t.Context(), h, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// A server whose table is full of made-up holders: its answer costs the reader few peers, different
// ones each time.
func TestFloodOfProviders(t *testing.T) {
	server := newHost(t)
	sd := newDHT(t, server, Options{})
	reader := newDHT(t, newHost(t), Options{})
	h, _ := mh.Sum([]byte("set"), mh.SHA2_256, -1)
	key := cid.NewCidV1(cid.Raw, h)
	for i := range 2000 {
		if i == 1000 { // the server shares it too, when there is no room left for others
			if err := sd.kad.Provide(t.Context(), key, false); err != nil {
				t.Fatal(err)
			}
		}
		b := make([]byte, 32)
		rand.Read(b)
		id, _ := mh.Sum(b, mh.SHA2_256, -1)
		info := peer.AddrInfo{ID: peer.ID(id), Addrs: []multiaddr.Multiaddr{multiaddr.StringCast(fmt.Sprintf("/ip4/10.0.0.1/tcp/%d", i+1))}}
		if err := sd.kad.ProviderStore().AddProvider(t.Context(), h, info); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := reader.host.Connect(ctx, peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if err := reader.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	all := map[peer.ID]bool{}
	for range 3 {
		out, heard := make(chan peer.AddrInfo), 0
		go func() {
			reader.lookup(ctx, key, out)
			close(out)
		}()
		for info := range out {
			heard++
			all[info.ID] = true
		}
		if heard != maxPerLookup {
			t.Errorf("a lookup gave %d peers, want %d", heard, maxPerLookup)
		}
	}
	if len(all) <= maxPerLookup {
		t.Error("three lookups gave the same peers")
	}
	provs, err := sd.kad.ProviderStore().GetProviders(ctx, h)
	// What is not written to the store yet, fewer than 256, comes on top.
	if err != nil || len(provs) > maxProviders+256 {
		t.Errorf("the server holds %d records of one key: %v", len(provs), err)
	}
	if !slices.ContainsFunc(provs, func(p peer.AddrInfo) bool { return p.ID == server.ID() }) {
		t.Error("the server's own record found no room")
	}
}

func TestProvideWithoutPeers(t *testing.T) {
	d := newDHT(t, newHost(t), Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 120*time.Millisecond)
	defer cancel()
	h, _ := mh.Sum([]byte("set"), mh.SHA2_256, -1)
	if err := d.Provide(ctx, cid.NewCidV1(cid.Raw, h)); err == nil {
		t.Error("announced to nobody without an error")
	}
	// Who asks us hears of us all the same.
	provs, err := d.kad.ProviderStore().GetProviders(t.Context(), h)
	if err != nil || len(provs) != 1 || provs[0].ID != d.host.ID() {
		t.Errorf("holders known here: %v, %v", provs, err)
	}
}

func TestLookupsAreTold(t *testing.T) {
	server := newHost(t)
	sd := newDHT(t, server, Options{})
	var told []bool
	reader := newDHT(t, newHost(t), Options{Looked: func(took time.Duration, found bool) {
		if took < 0 || took > lookupTimeout+time.Second {
			t.Errorf("took %v", took)
		}
		told = append(told, found)
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := reader.host.Connect(ctx, peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}); err != nil {
		t.Fatal(err)
	}
	if err := reader.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	key := func(text string) cid.Cid {
		h, _ := mh.Sum([]byte(text), mh.SHA2_256, -1)
		return cid.NewCidV1(cid.Raw, h)
	}
	if err := sd.kad.Provide(ctx, key("held"), false); err != nil {
		t.Fatal(err)
	}
	if err := reader.kad.Provide(ctx, key("own"), false); err != nil {
		t.Fatal(err)
	}
	out := make(chan peer.AddrInfo, maxPerLookup)
	gone, end := context.WithCancel(ctx)
	end()
	reader.lookup(gone, key("nowhere"), out) // says nothing
	for _, text := range []string{"held", "nowhere", "own"} {
		reader.lookup(ctx, key(text), out)
	}
	if want := []bool{true, false, false}; !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
