package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/record"
)

func somePeer(t testing.TB) peer.ID {
	t.Helper()
	k, _, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// owner is a node without a network that shares one set, whose time is what the test says.
type owner struct {
	*Node
	set  string
	time time.Time
}

func newOwner(t *testing.T) *owner {
	t.Helper()
	n, err := New(Config{Home: t.TempDir(), Offline: true, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.sets.Wait()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	o := &owner{Node: n, time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	n.now = func() time.Time { return o.time }
	res, err := n.Share(within(t), api.ShareRequest{Path: newFolder(t), Name: "data"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	o.set = res.Set
	return o
}

func (o *owner) amend(t *testing.T, edit func(*record.Config)) {
	t.Helper()
	_, err := o.sets.Amend(within(t), o.replica(t), func(c *record.Config) error { edit(c); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func (o *owner) replica(t *testing.T) *replica.Replica {
	t.Helper()
	rep, err := o.sets.Resolve(o.set)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func (o *owner) config(t *testing.T) record.Config { return o.replica(t).Verified().Config }

func TestInvitesExpireAndAreRevoked(t *testing.T) {
	t.Parallel()
	o, ctx := newOwner(t), within(t)
	reader, stranger := somePeer(t), somePeer(t)
	_, err := o.Invite(ctx, api.InviteRequest{Set: o.set})
	wantExit(t, "to a public set", err, api.ExitUsage)
	o.amend(t, func(c *record.Config) { c.Public = false })

	invite := func(q api.InviteRequest) (api.InviteResult, record.Invite) {
		t.Helper()
		q.Set = o.set
		res, err := o.Invite(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := record.ParseTicket(res.Ticket)
		if err != nil || ticket.Set.String() != o.set || ticket.Name != "data" {
			t.Fatalf("ticket %q: %v, %+v", res.Ticket, err, ticket)
		}
		i, err := record.OpenInvite(ticket.Cap, o.replica(t).Verified().Genesis)
		if err != nil || hex.EncodeToString(i.Nonce) != res.Nonce {
			t.Fatalf("invite %+v: %v", i, err)
		}
		return res, i
	}
	allows := func(i record.Invite, p peer.ID) bool { return i.Allows(p, o.config(t), o.time) }
	week, weekly := invite(api.InviteRequest{})
	one, only := invite(api.InviteRequest{Expires: "1h", Reader: reader.String()})
	ever, forever := invite(api.InviteRequest{Expires: "0s"})
	if !allows(weekly, stranger) || allows(only, stranger) || !allows(only, reader) || !allows(forever, stranger) {
		t.Error("an invite lets in whom it names, or whoever has it")
	}
	if want := "2026-01-09T03:04:05Z"; week.Expires != want || ever.Expires != "" || one.Reader != reader.String() {
		t.Errorf("made %+v, %+v, %+v", week, one, ever)
	}

	states := func() string {
		t.Helper()
		res, err := o.Members(ctx, api.MembersRequest{Set: o.set})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, i := range res.Invites {
			all = append(all, i.State)
		}
		return strings.Join(all, " ")
	}
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{59 * time.Minute, "open open open"}, {time.Minute, "open expired open"}, {7 * 24 * time.Hour, "expired expired open"}} {
		o.time = o.time.Add(step.after)
		if got := states(); got != step.want {
			t.Errorf("%v later: %s, want %s", step.after, got, step.want)
		}
	}
	if allows(weekly, stranger) || allows(only, reader) || !allows(forever, stranger) {
		t.Error("an invite lets nobody in when it has expired")
	}

	before := o.config(t).Version
	gone, err := o.Invite(ctx, api.InviteRequest{Set: o.set, Revoke: ever.Nonce[:6]})
	if err != nil || !gone.Changed || gone.State != "revoked" || gone.Ticket != "" || gone.Version != before+1 {
		t.Errorf("revoked %+v: %v", gone, err)
	}
	if allows(forever, stranger) || states() != "expired expired revoked" {
		t.Errorf("it lets in still, or is listed as %s", states())
	}
	again, err := o.Invite(ctx, api.InviteRequest{Set: o.set, Revoke: ever.Nonce})
	if err != nil || again.Changed || again.Version != before+1 {
		t.Errorf("revoked twice: %+v: %v", again, err)
	}
	elsewhere := strings.Repeat("ab", record.NonceSize)
	if res, err := o.Invite(ctx, api.InviteRequest{Set: o.set, Revoke: elsewhere}); err != nil || !res.Changed {
		t.Errorf("one that was made elsewhere: %+v: %v", res, err)
	}
	_, err = o.Invite(ctx, api.InviteRequest{Set: o.set, Revoke: "zz"})
	wantExit(t, "an unknown invite", err, api.ExitNotFound)
	_, err = o.Invite(ctx, api.InviteRequest{Set: o.set, Expires: "soon"})
	wantExit(t, "a bad time", err, api.ExitUsage)

	o.time = o.time.Add(inviteMemory)
	invite(api.InviteRequest{})
	if got := states(); got != "revoked open" {
		t.Errorf("long after: %s, want those that expired long ago forgotten", got)
	}
}

// A writer that is struck off keeps what it published and gets its stores cut there; when it is let in again, they are not.
func TestRevokedWriterIsCut(t *testing.T) {
	t.Parallel()
	o, ctx := newOwner(t), within(t)
	self := o.self.String()
	_, err := o.Revoke(ctx, api.RevokeRequest{Set: o.set, Peer: self, Right: api.RightWriter})
	wantExit(t, "one's own right", err, api.ExitConflict)
	res, err := o.Revoke(ctx, api.RevokeRequest{Set: o.set, Peer: self, Right: api.RightWriter, Own: true})
	if err != nil || len(res.Cuts) != 1 || len(o.config(t).Cuts) != 1 {
		t.Fatalf("revoked %+v: %v; cuts %v", res, err, o.config(t).Cuts)
	}
	for store, seq := range res.Cuts {
		if seq != 1 || o.config(t).Cuts[store] != 1 || store != hex.EncodeToString(o.replica(t).State().Instance) {
			t.Errorf("cut %s at %d, config %v", store, seq, o.config(t).Cuts)
		}
	}
	if res, err := o.Grant(ctx, api.GrantRequest{Set: o.set, Peer: self, Right: api.RightWriter}); err != nil || !res.Changed || len(o.config(t).Cuts) != 0 {
		t.Errorf("granted again %+v: %v; cuts %v", res, err, o.config(t).Cuts)
	}
	_, err = o.Revoke(ctx, api.RevokeRequest{Set: o.set, Peer: self, Own: true})
	wantExit(t, "the last replica", err, api.ExitConflict)
	if got := rights(o.config(t), o.self); !slices.Equal(got, []string{api.RightReplica, api.RightWriter}) {
		t.Errorf("a refused revocation left %v", got)
	}
}

func TestGrantInStrictSets(t *testing.T) {
	a, b := somePeer(t), somePeer(t)
	one, two := []byte("12345678"), []byte("abcdefgh")
	c := record.Config{Mode: record.ModeStrict, Voters: []peer.ID{a}, Instances: map[peer.ID][]byte{a: one}}
	if err := grant(&c, b, api.RightReplica, nil, nil); !errors.Is(err, errNoInstance) || len(c.Voters) != 1 {
		t.Errorf("without its store: %v, voters %v", err, c.Voters)
	}
	for _, step := range []struct {
		instance []byte
		want     error
	}{{one, nil}, {one, replica.ErrUnchanged}, {nil, replica.ErrUnchanged}, {two, nil}} {
		if err := grant(&c, b, api.RightReplica, step.instance, nil); !errors.Is(err, step.want) || len(c.Voters) != 2 {
			t.Errorf("store %q: %v, want %v; voters %v", step.instance, err, step.want, c.Voters)
		}
	}
	if string(c.Instances[b]) != string(two) {
		t.Errorf("its store is %q", c.Instances[b])
	}
	if err := revoke(&c, b, "", nil); err != nil || len(c.Voters) != 1 || len(c.Instances) != 1 {
		t.Errorf("revoked: %v, %+v", err, c)
	}
	c.Mode = record.ModeAP
	if err := grant(&c, b, api.RightReplica, two, nil); err != nil || c.Instances[b] != nil {
		t.Errorf("outside strict any store votes: %v, %v", err, c.Instances)
	}
}

// Whatever is granted and revoked, a second time changes nothing, and rights are those granted last.
func TestGrantsAndRevocations(t *testing.T) {
	peers := []peer.ID{somePeer(t), somePeer(t), somePeer(t)}
	all := []string{api.RightReplica, api.RightWriter, api.RightReader}
	rapid.Check(t, func(t *rapid.T) {
		c := record.Config{Mode: record.ModeAP, Voters: []peer.ID{peers[0]}}
		has := map[peer.ID]map[string]bool{peers[0]: {api.RightReplica: true}, peers[1]: {}, peers[2]: {}}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			p, right := rapid.SampledFrom(peers).Draw(t, "peer"), rapid.SampledFrom(all).Draw(t, "right")
			change := func() error { return grant(&c, p, right, nil, nil) }
			give := rapid.Bool().Draw(t, "give")
			if !give {
				if right == api.RightReplica && len(c.Voters) == 1 {
					continue // refused: another test
				}
				change = func() error { return revoke(&c, p, right, map[string]uint64{"s": 1}) }
			}
			if err := change(); (err == nil) != (has[p][right] != give) {
				t.Fatalf("give %v, had %v: %v", give, has[p][right], err)
			}
			has[p][right] = give
			if err := change(); !errors.Is(err, replica.ErrUnchanged) {
				t.Fatalf("twice: %v", err)
			}
		}
		for _, p := range peers {
			for _, right := range all {
				if slices.Contains(rights(c, p), right) != has[p][right] {
					t.Fatalf("%s %s: has %v", p, right, rights(c, p))
				}
			}
		}
	})
}

func TestMatchPeer(t *testing.T) {
	known := []peer.ID{somePeer(t), somePeer(t)}
	known = append(known, known[0]) // a member that is connected, too
	id := known[0].String()
	part := id[:20]
	end := "…" + id[len(id)-10:]
	for _, tt := range []struct {
		text string
		want peer.ID
		err  error
	}{
		{part, known[0], nil}, {end, known[0], nil}, {"12D3KooW", "", errAmbiguousPeer}, {"", "", errUnknownPeer},
		{"…", "", errUnknownPeer}, {"nobody", "", errUnknownPeer}, {id[1:], "", errUnknownPeer},
	} {
		if got, err := matchPeer(tt.text, known); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: %s, %v; want %s, %v", tt.text, got, err, tt.want, tt.err)
		}
	}
}

// script is roles that change as it says: one view for each look, the last for ever.
type script struct {
	views  []roleView
	looks  int
	asked  []peer.ID
	refuse error
}

func (s *script) Roles(cid.Cid) roleView {
	v := s.views[min(s.looks, len(s.views)-1)]
	s.looks++
	return v
}

func (s *script) Promote(_ context.Context, _ cid.Cid, to peer.ID) error {
	s.asked = append(s.asked, to)
	return s.refuse
}

func TestDrill(t *testing.T) {
	t.Parallel()
	o, ctx := newOwner(t), within(t)
	a, b := o.self, somePeer(t)
	first, gap, second := roleView{Primary: a, Backup: b}, roleView{Backup: b}, roleView{Primary: b}
	back := roleView{Primary: b, Backup: a}
	var said []string
	start := func(views ...roleView) (*drill, *script) {
		s := &script{views: views}
		return &drill{node: o.Node, seats: s, rep: o.replica(t), begun: o.time, say: func(text string) { said = append(said, text) }}, s
	}
	d, s := start(first, first, gap, gap, second, back, back, gap, first)
	if err := d.run(ctx, true); err != nil {
		t.Fatal(err)
	}
	res := d.result()
	if !res.Passed || len(res.Stages) != 2 || res.Stages[0].To != b.String() || res.Stages[1].To != a.String() || res.Primary != a.String() ||
		res.Revision != 1 || res.Reads < 5 || !slices.Equal(s.asked, []peer.ID{b, a}) || len(said) != 2 {
		t.Errorf("%+v, asked %v, said %q", res, s.asked, said)
	}
	d, s = start(first, first, second)
	if err := d.run(ctx, false); err != nil || len(d.result().Stages) != 1 || len(s.asked) != 1 {
		t.Errorf("one way: %v, %+v", err, d.result())
	}
	d, _ = start(roleView{}, roleView{Primary: a})
	wantExit(t, "one replica", explain(d.run(ctx, false)), api.ExitTimeout)
	if _, err := elected(ctx, &script{views: []roleView{{}, {Primary: a}, first}}, d.rep.Set(), func(v roleView) bool { return v.Backup != "" }); err != nil {
		t.Errorf("after an election: %v", err)
	}
	d, s = start(first)
	s.refuse = errNotPrimary
	wantExit(t, "not here", explain(d.run(ctx, false)), api.ExitFailed)
	d, _ = start(first)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := d.run(ended, false); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	d, _ = start(first, first, second)
	d.read(ctx)
	d.revision = 7 // as if a newer one had been seen before
	d.read(ctx)
	if d.reads != 2 || d.failed != 1 {
		t.Errorf("%d of %d reads failed, want the one that went back", d.failed, d.reads)
	}
}

func TestOwnerKeyText(t *testing.T) {
	k, _, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := ownerText(k)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseOwner("> quoted mail\n" + strings.ReplaceAll(text, "\n", "\r\n")); err != nil || !got.Equals(k) {
		t.Errorf("read back: %v", err)
	}
	for _, bad := range []string{"", "hello", text[:len(text)-40], strings.ReplaceAll(text, "SHOAL", "SHOEL"), strings.Replace(text, "CAES", "CAEA", 1)} {
		if _, err := parseOwner(bad); !errors.Is(err, errNoKey) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
	if strings.Contains(errNoKey.Error(), text) {
		t.Error("the error shows the key")
	}
}

func FuzzParseOwner(f *testing.F) {
	f.Add("-----BEGIN SHOAL OWNER KEY-----\nCAESQA==\n-----END SHOAL OWNER KEY-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseOwner(text)
		if err != nil {
			return
		}
		again, err := ownerText(k)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := parseOwner(again); err != nil || !same.Equals(k) {
			t.Fatalf("not the same key again: %v", err)
		}
	})
}

func TestWaitFor(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "0s": 1, "30s": 30 * time.Second} {
		if got, err := waitFor(text); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"soon", "-1s", "5"} {
		_, err := waitFor(text)
		wantExit(t, fmt.Sprintf("%q", text), err, api.ExitUsage)
	}
}

// A node that replicates says what to grant it as, and when it was granted.
func TestReplicate(t *testing.T) {
	t.Parallel()
	author := start(t, t.TempDir())
	dir := newFolder(t)
	shared := author.share(dir)
	other := start(t, t.TempDir(), author.addr())
	ctx := within(t)
	events := make(chan api.Event, 64)
	leave := other.events.listen(func(e api.Event) { events <- e })
	defer leave()
	dest := filepath.Join(t.TempDir(), "copy")
	q := api.FollowRequest{Ticket: shared.Ticket, Dest: dest, Replicate: true}
	res, err := other.Follow(ctx, q, quiet)
	if err != nil || !strings.HasPrefix(res.Member, other.self.String()+"/") || res.Granted || res.Dest != dest {
		t.Fatalf("replicate: %+v, %v", res, err)
	}
	if again, err := other.Follow(ctx, q, quiet); err != nil || again.Member != res.Member {
		t.Errorf("the same again: %+v, %v", again, err)
	}
	await := func(kind string) {
		t.Helper()
		for {
			select {
			case e := <-events:
				if e.Kind == kind {
					return
				}
			case <-ctx.Done():
				t.Fatalf("no event %s", kind)
			}
		}
	}
	await(api.EventComplete)
	sameFolder(t, dir, dest)
	info, err := other.Show(ctx, shared.Set)
	if err != nil || !info.Replicating || info.Following {
		t.Errorf("shown as %+v: %v", info, err)
	}
	if _, err := author.Grant(ctx, api.GrantRequest{Set: shared.Set, Peer: res.Member, Right: api.RightReplica}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "more"), 100)
	if _, err := author.Publish(ctx, api.PublishRequest{Target: shared.Set, Wait: "0s"}, quiet); err != nil {
		t.Fatal(err)
	}
	await(api.EventGranted)
	if again, err := other.Follow(ctx, q, quiet); err != nil || !again.Granted || again.Member != res.Member {
		t.Errorf("after the grant: %+v, %v", again, err)
	}
}
