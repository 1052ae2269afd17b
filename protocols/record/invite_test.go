package record

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// noon is when w's invite is looked at; it expires an hour later.
func noon() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func (w *world) invite() Invite {
	return Invite{Set: w.set, Nonce: []byte("0123456789abcdef"), Reader: w.stranger.id, Expires: noon().Add(time.Hour)}
}

func TestInviteRoundTrip(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		want := Invite{Set: w.set, Nonce: rapid.SliceOfN(rapid.Byte(), NonceSize, NonceSize).Draw(t, "nonce")}
		want.Reader = rapid.SampledFrom([]peer.ID{"", w.reader.id, w.stranger.id}).Draw(t, "reader")
		if rapid.Bool().Draw(t, "expires") {
			want.Expires = time.Unix(rapid.Int64Range(1, 9e9).Draw(t, "s"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns")).UTC()
		}
		b, err := SealInvite(want, w.owner.key)
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := ParseTicket(Ticket{Set: w.set, Cap: b}.String())
		if err != nil {
			t.Fatal(err)
		}
		got, err := OpenInvite(ticket.Cap, w.genesis)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
		}
	})
}

func TestAllows(t *testing.T) {
	w := newWorld(t)
	revokes := func(nonces ...string) Config {
		c := w.config
		for _, n := range nonces {
			c.Revoked = append(c.Revoked, []byte(n))
		}
		return c
	}
	tests := map[string]struct {
		change func(*Invite)
		peer   peer.ID
		c      Config
		at     time.Duration // after noon
		want   bool
	}{
		"its reader":           {func(*Invite) {}, w.stranger.id, w.config, 0, true},
		"just before expiry":   {func(*Invite) {}, w.stranger.id, w.config, time.Hour - 1, true},
		"at expiry":            {func(*Invite) {}, w.stranger.id, w.config, time.Hour, false},
		"after expiry":         {func(*Invite) {}, w.stranger.id, w.config, 2 * time.Hour, false},
		"never expires":        {func(i *Invite) { i.Expires = time.Time{} }, w.stranger.id, w.config, 1e6 * time.Hour, true},
		"another reader":       {func(*Invite) {}, w.reader.id, w.config, 0, false},
		"nobody":               {func(*Invite) {}, "", w.config, 0, false},
		"whoever holds it":     {func(i *Invite) { i.Reader = "" }, w.reader.id, w.config, 0, true},
		"holder, expired":      {func(i *Invite) { i.Reader = "" }, w.reader.id, w.config, time.Hour, false},
		"revoked":              {func(*Invite) {}, w.stranger.id, revokes("0000000000000000", "0123456789abcdef"), 0, false},
		"holder, revoked":      {func(i *Invite) { i.Reader = "" }, w.reader.id, revokes("0123456789abcdef"), 0, false},
		"another is revoked":   {func(*Invite) {}, w.stranger.id, revokes("0000000000000000"), 0, true},
		"to another set":       {func(i *Invite) { i.Set = rootOf("x") }, w.stranger.id, w.config, 0, false},
		"a config of no set":   {func(*Invite) {}, w.stranger.id, Config{}, 0, false},
		"expiry is in the far": {func(i *Invite) { i.Expires = noon().AddDate(200, 0, 0) }, w.stranger.id, w.config, 0, true},
	}
	for name, test := range tests {
		i := w.invite()
		test.change(&i)
		if got := i.Allows(test.peer, test.c, noon().Add(test.at)); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestForgedInviteIsRefused(t *testing.T) {
	w := newWorld(t)
	other := w.genesis
	other.Nonce = bytes.Repeat([]byte{8}, 16)
	elsewhere := w.invite()
	elsewhere.Set = must(other.ID())(t)
	pb := func(change func(*recordpb.Invite)) []byte {
		m := must(w.invite().encode())(t)
		change(m)
		return must(seal(kindInvite, m, w.owner.key))(t)
	}
	good := must(SealInvite(w.invite(), w.owner.key))(t)
	tests := map[string]struct {
		sealed []byte
		want   error
	}{
		"good":              {good, nil},
		"by a stranger":     {must(SealInvite(w.invite(), w.stranger.key))(t), ErrForged},
		"by a voter":        {must(SealInvite(w.invite(), w.voter.key))(t), ErrForged},
		"by its reader":     {must(SealInvite(w.invite(), w.reader.key))(t), ErrForged},
		"to another set":    {must(SealInvite(elsewhere, w.owner.key))(t), ErrForged},
		"a bit flipped":     {flip(good), ErrForged},
		"a config":          {w.bundle.Configs[0], ErrForged},
		"nothing":           {nil, ErrMalformed},
		"too large":         {make([]byte, MaxCapability+1), ErrMalformed},
		"appended":          {append(bytes.Clone(good), 0x98, 0x06, 1), ErrMalformed},
		"short nonce":       {pb(func(m *recordpb.Invite) { m.Nonce = m.Nonce[1:] }), ErrMalformed},
		"no nonce":          {pb(func(m *recordpb.Invite) { m.Nonce = nil }), ErrMalformed},
		"reader is no peer": {pb(func(m *recordpb.Invite) { m.Reader = []byte("x") }), ErrMalformed},
		"expires in 2^63":   {pb(func(m *recordpb.Invite) { m.ExpiresNs = 1 << 63 }), ErrMalformed},
		"expires in 1970":   {pb(func(m *recordpb.Invite) { m.ExpiresNs = 1 }), ErrMalformed},
		"no set":            {pb(func(m *recordpb.Invite) { m.Set = nil }), ErrMalformed},
		"unknown field":     {pb(func(m *recordpb.Invite) { m.ProtoReflect().SetUnknown([]byte{0x98, 0x06, 1}) }), ErrMalformed},
	}
	for name, test := range tests {
		if _, err := OpenInvite(test.sealed, w.genesis); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if _, err := OpenInvite(good, other); !errors.Is(err, ErrForged) {
		t.Errorf("for another genesis: %v", err)
	}
	second := w.genesis
	second.Owners = append([]crypto.PubKey{w.stranger.key.GetPublic()}, second.Owners...)
	i := w.invite()
	i.Set = must(second.ID())(t)
	for name, key := range map[string]crypto.PrivKey{"first": w.stranger.key, "second": w.owner.key} {
		if _, err := OpenInvite(must(SealInvite(i, key))(t), second); err != nil {
			t.Errorf("by the %s of two owners: %v", name, err)
		}
	}
	for name, bad := range map[string]Invite{"empty": {}, "no set": {Nonce: i.Nonce}, "undefined set": {Set: cid.Undef, Nonce: i.Nonce}, "far": {Set: w.set, Nonce: i.Nonce, Expires: noon().AddDate(300, 0, 0)}} {
		if _, err := SealInvite(bad, w.owner.key); !errors.Is(err, ErrMalformed) {
			t.Errorf("sealing, %s: %v", name, err)
		}
	}
	if _, err := SealInvite(w.invite(), nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("sealing without a key: %v", err)
	}
}
