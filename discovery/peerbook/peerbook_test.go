package peerbook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	mh "github.com/multiformats/go-multihash"
	"pgregory.net/rapid"
)

func id(n int) peer.ID {
	h, _ := mh.Sum([]byte{byte(n), byte(n >> 8)}, mh.SHA2_256, -1)
	return peer.ID(h)
}

func addr(n int) multiaddr.Multiaddr {
	return multiaddr.StringCast(fmt.Sprintf("/ip4/10.0.0.1/tcp/%d", n))
}

func ok(n int, addrs ...int) Event {
	e := Event{ID: id(n), OK: true}
	for _, a := range addrs {
		e.Addrs = append(e.Addrs, addr(a))
	}
	return e
}

func ids(infos []peer.AddrInfo) []peer.ID {
	var l []peer.ID
	for _, i := range infos {
		l = append(l, i.ID)
	}
	return l
}

var start = time.Unix(1_800_000_000, 0)

func TestOrder(t *testing.T) {
	var b Book
	b.Update(start, ok(1, 1))
	b.Update(start.Add(time.Hour), ok(2, 1))
	b.Update(start.Add(2*time.Hour), ok(3, 1))
	b.Update(start, Event{ID: id(4), Addrs: ok(4, 1).Addrs}) // never worked
	b.Update(start, ok(5))                                   // without an address
	now := start.Add(3 * time.Hour)
	if got := ids(b.Best(now, 10)); !slices.Equal(got, []peer.ID{id(3), id(2), id(1)}) {
		t.Errorf("order %v", got)
	}
	b.Update(now, Event{ID: id(3)})
	if got := ids(b.Best(now, 2)); !slices.Equal(got, []peer.ID{id(2), id(1)}) {
		t.Errorf("after a failure of the third: %v", got)
	}
	b.Update(now, ok(3, 7))
	best := b.Best(now, 1)
	if !slices.Equal(ids(best), []peer.ID{id(3)}) || !best[0].Addrs[0].Equal(addr(7)) || len(best[0].Addrs) != 2 {
		t.Errorf("after it worked again: %v", best)
	}
	if len(b.Best(now, 0)) != 0 || len(b.Best(now, -1)) != 0 {
		t.Error("Best gives more than asked for")
	}
	// A clock that went back does not make an entry the best for ever.
	b.Update(now.Add(1000*time.Hour), ok(1, 1))
	b.Update(now, Event{ID: id(1)})
	if got := ids(b.Best(now, 1)); !slices.Equal(got, []peer.ID{id(3)}) {
		t.Errorf("a success in the future: %v", got)
	}
}

func TestBounds(t *testing.T) {
	var b Book
	for i := range MaxPeers + 50 {
		b.Update(start.Add(time.Duration(i)*time.Minute), ok(i, i+1))
	}
	best := b.Best(start.Add(time.Hour*24), 1000)
	if b.Len() != MaxPeers || !slices.Contains(ids(best), id(MaxPeers+49)) || slices.Contains(ids(best), id(0)) {
		t.Errorf("%d peers; the newest and not the oldest should be among them", b.Len())
	}
	for i := range 3 * MaxAddrs {
		b.Update(start.Add(24*time.Hour), ok(99, i+1))
	}
	b.Update(start.Add(24*time.Hour), Event{ID: id(99), OK: true, Addrs: []multiaddr.Multiaddr{
		nil, multiaddr.StringCast("/dns/" + strings.Repeat("x", 2*maxAddr) + "/tcp/1"),
	}})
	best = b.Best(start.Add(24*time.Hour), 1)
	if best[0].ID != id(99) || len(best[0].Addrs) != MaxAddrs || !best[0].Addrs[0].Equal(addr(3*MaxAddrs)) {
		t.Errorf("addresses: %v", best[0])
	}
}

func TestGivenUp(t *testing.T) {
	var b Book
	b.Update(start, ok(1, 1))
	for range 3 * maxFailures {
		b.Update(start.Add(24*time.Hour), Event{ID: id(1)})
	}
	if b.Len() != 1 {
		t.Fatal("given up after a day")
	}
	if b.Update(start.Add(forgetAfter+time.Hour), Event{ID: id(1)}); b.Len() != 0 {
		t.Error("never given up")
	}
}

// Whatever happens, the book is within its bounds, in order, and the same after a round trip.
func TestRandomHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Book
		now := start
		last := map[peer.ID]time.Time{} // of success
		for range rapid.IntRange(0, 400).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "seconds")) * time.Second)
			e := ok(rapid.IntRange(0, 300).Draw(t, "peer"), rapid.IntRange(1, 20).Draw(t, "addr"))
			if e.OK = rapid.Bool().Draw(t, "ok"); e.OK {
				last[e.ID] = now
			}
			b.Update(now, e)
		}
		best := b.Best(now, MaxPeers)
		if b.Len() > MaxPeers || b.Len() != min(len(last), b.Len()) || len(best) != b.Len() {
			t.Fatalf("%d peers, %d known good, best %d", b.Len(), len(last), len(best))
		}
		for _, p := range best {
			if _, good := last[p.ID]; !good || len(p.Addrs) == 0 || len(p.Addrs) > MaxAddrs {
				t.Fatalf("%v is in the book", p)
			}
		}
		text, err := json.Marshal(&b)
		if err != nil || len(text) > MaxJSON {
			t.Fatalf("%d bytes: %v", len(text), err)
		}
		var c Book
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ids(c.Best(now, MaxPeers)), ids(best)) {
			t.Fatal("the order changed by a round trip")
		}
	})
}

func TestMalformed(t *testing.T) {
	good := fmt.Sprintf(`{"id":%q,"addrs":["/ip4/10.0.0.1/tcp/1"],"last_success":5}`, id(1).String())
	var b Book
	if err := json.Unmarshal([]byte("["+good+"]"), &b); err != nil || b.Len() != 1 {
		t.Fatal(err)
	}
	for _, text := range []string{
		`{}`, `[1]`, `[{}]`, "[" + good + "," + good + "]", strings.Replace("["+good+"]", "5}", "-5}", 1),
		strings.Replace("["+good+"]", "5}", `5,"failures":-1}`, 1), strings.Replace("["+good+"]", "5}", `5,"x":1}`, 1),
		strings.Replace("["+good+"]", "/tcp/1", "/tcp/x", 1), "[" + strings.Repeat(" ", MaxJSON) + "]",
	} {
		if err := b.UnmarshalJSON([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.60s: %v", text, err)
		}
		if b.Len() != 1 {
			t.Fatalf("%.60s: changed the book", text)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`[]`))
	f.Add([]byte(fmt.Sprintf(`[{"id":%q,"addrs":["/ip4/10.0.0.1/tcp/1","/dns/x/udp/1/quic-v1"],"last_success":5,"failures":3}]`, id(1).String())))
	f.Add([]byte(`[{"id":"12D3KooWCwdtw7R6yJXDjvcSZQbVp9yBXpY9mVVL2V5VFTjRYZ2V","addrs":[],"last_success":253402300799}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var b, c Book
		if err := b.UnmarshalJSON(text); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if b.Len() > MaxPeers {
			t.Fatalf("%d peers", b.Len())
		}
		b.Best(start, MaxPeers)
		once, err := json.Marshal(&b)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(once, &c); err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice, _ := json.Marshal(&c); !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s", once, twice)
		}
	})
}
