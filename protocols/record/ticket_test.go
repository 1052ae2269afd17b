package record

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore"
	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

func sampleTicket(t testing.TB) Ticket {
	return Ticket{
		Set:  blockstore.Sum(cid.Raw, []byte("set")),
		Name: "photos",
		Addrs: []peer.AddrInfo{
			{ID: newActor(t, 1).id, Addrs: []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.1/tcp/4001"), ma.StringCast("/ip4/192.0.2.1/udp/4001/quic-v1")}},
			{ID: newActor(t, 2).id},
		},
		Cap: []byte("capability"),
	}
}

func TestTicketRoundTrip(t *testing.T) {
	ids := []peer.ID{newActor(t, 1).id, newActor(t, 2).id, newActor(t, 3).id}
	rapid.Check(t, func(t *rapid.T) {
		want := Ticket{Set: blockstore.Sum(cid.Raw, rapid.SliceOf(rapid.Byte()).Draw(t, "set"))}
		if rapid.Bool().Draw(t, "named") {
			want.Name = rapid.StringMatching(`[a-zA-Zäöü ]{1,60}`).Draw(t, "name")
		}
		for i := range rapid.IntRange(0, len(ids)).Draw(t, "peers") {
			p := peer.AddrInfo{ID: ids[i]}
			for range rapid.IntRange(0, 3).Draw(t, "addrs") {
				p.Addrs = append(p.Addrs, ma.StringCast(fmt.Sprintf("/ip4/192.0.2.%d/tcp/%d",
					rapid.IntRange(1, 254).Draw(t, "host"), rapid.IntRange(1, 65535).Draw(t, "port"))))
			}
			want.Addrs = append(want.Addrs, p)
		}
		want.Cap = rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "cap")
		if len(want.Cap) == 0 {
			want.Cap = nil
		}
		text := want.String()
		if strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || !strings.HasPrefix(text, "shoal1") {
			t.Fatalf("text %q", text)
		}
		for _, s := range []string{text, "  " + text + "\r\n", strings.ToUpper(text)} {
			got, err := ParseTicket(s)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
			}
		}
	})
}

func TestBareSetID(t *testing.T) {
	set := sampleTicket(t).Set
	for _, s := range []string{set.String(), "\t" + set.String() + "\n"} {
		got, err := ParseTicket(s)
		if err != nil || !got.Set.Equals(set) || got.Name != "" || got.Addrs != nil {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
}

// Every single wrong, missing, doubled or swapped character is noticed.
func TestTyposAreNoticed(t *testing.T) {
	text := sampleTicket(t).String()
	check := func(what string, s string) {
		if _, err := ParseTicket(s); !errors.Is(err, ErrBadTicket) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range text {
		for _, r := range "aq27x01-!ä" {
			if s := text[:i] + string(r) + text[i+1:]; s != text {
				check(fmt.Sprintf("%q at %d", r, i), s)
			}
		}
		check(fmt.Sprintf("without %d", i), text[:i]+text[i+1:])
		check(fmt.Sprintf("cut at %d", i), text[:i])
		if i > 0 && text[i] != text[i-1] {
			check(fmt.Sprintf("swapped at %d", i), text[:i-1]+text[i:i+1]+text[i-1:i]+text[i+1:])
		}
	}
	check("doubled", text+text)
}

func TestBadTicketSaysWhy(t *testing.T) {
	text := sampleTicket(t).String()
	raw := func(m *recordpb.Ticket) string {
		b := must(encode(m))(t)
		return ticketPrefix + ticketEncoding().EncodeToString(append(b, checksum(b)...))
	}
	digest := blockstore.Digest(sampleTicket(t).Set)
	tests := map[string]struct{ in, want string }{
		"empty":           {"  \n", "empty"},
		"newer":           {"shoal2" + text[6:], "newer"},
		"bad character":   {text[:20] + "!" + text[21:], `character 21, '!'`},
		"checksum":        {text[:20] + other(text[20]) + text[21:], "checksum"},
		"cut":             {text[:10], "cut short"},
		"not a ticket":    {"hello", "neither"},
		"huge":            {strings.Repeat("a", maxTicketText+1), "characters"},
		"CID of a folder": {blockstore.Sum(cid.DagProtobuf, nil).String(), "not that of a set"},
		"short set":       {raw(&recordpb.Ticket{Set: digest[:31]}), "set id has 31 bytes"},
		"hostile name":    {raw(&recordpb.Ticket{Set: digest[:], Name: "../../etc"}), "name"},
		"bad peer":        {raw(&recordpb.Ticket{Set: digest[:], Peers: []*recordpb.Peer{{Id: []byte("x")}}}), "peers"},
		"17 peers":        {raw(&recordpb.Ticket{Set: digest[:], Peers: make17(newActor(t, 1).id)}), "17 peers"},
		"huge capability": {raw(&recordpb.Ticket{Set: digest[:], Capability: make([]byte, MaxCapability+1)}), "capability"},
	}
	for name, test := range tests {
		_, err := ParseTicket(test.in)
		if !errors.Is(err, ErrBadTicket) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want a bad ticket with %q", name, err, test.want)
		}
	}
}

// other is another character of the alphabet.
func other(c byte) string {
	if c == 'a' {
		return "b"
	}
	return "a"
}

func make17(id peer.ID) (out []*recordpb.Peer) {
	for range 17 {
		out = append(out, &recordpb.Peer{Id: []byte(id)})
	}
	return out
}

// What breaks a limit is left out, never the set.
func TestTicketKeepsWithinLimits(t *testing.T) {
	full := sampleTicket(t)
	full.Name = "a/b"
	full.Cap = bytes.Repeat([]byte{1}, MaxCapability)
	long := "/dns4/" + strings.Repeat(strings.Repeat("x", 60)+".", 3) + "example/tcp/1"
	full.Addrs = nil
	for i := range byte(20) {
		p := peer.AddrInfo{ID: newActor(t, i).id}
		for range 20 {
			p.Addrs = append(p.Addrs, ma.StringCast(long))
		}
		full.Addrs = append(full.Addrs, p)
	}
	text := full.String()
	got, err := ParseTicket(text)
	if err != nil || len(text) > maxTicketText {
		t.Fatalf("%d characters: %v", len(text), err)
	}
	if !got.Set.Equals(full.Set) || got.Name != "" || len(got.Addrs) == 0 || len(got.Addrs) > MaxTicketPeers || len(got.Addrs[0].Addrs) != MaxPeerAddrs {
		t.Errorf("got %d peers, name %q", len(got.Addrs), got.Name)
	}
	if s := (Ticket{}).String(); s != "" {
		t.Errorf("ticket without a set: %q", s)
	}
}

func FuzzParseTicket(f *testing.F) {
	f.Add(sampleTicket(f).String())
	f.Add(sampleTicket(f).Set.String())
	f.Add("shoal1")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTicket(s)
		if err != nil {
			if !errors.Is(err, ErrBadTicket) {
				t.Fatalf("%v is not ErrBadTicket", err)
			}
			return
		}
		again, err := ParseTicket(got.String())
		if err != nil || !again.Set.Equals(got.Set) || again.Name != got.Name || len(again.Addrs) != len(got.Addrs) {
			t.Fatalf("%q reads as %+v, then as %+v, %v", s, got, again, err)
		}
	})
}
