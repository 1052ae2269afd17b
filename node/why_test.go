package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	netswarm "github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// startWith is start with a table of another kind, as "server", "client" or "off".
func startWith(t *testing.T, table string, bootstrap ...string) *running {
	t.Helper()
	n, err := New(Config{Home: t.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: bootstrap, Net: NetConfig{DHT: table}, Reserve: 1, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return run(t, n)
}

func (r *running) why(q api.WhyRequest) api.WhyResult {
	r.t.Helper()
	res, err := r.Why(within(r.t), q, quiet)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range res.Steps {
		r.t.Logf("%s %v %s", s.Name, s.OK, s.Detail)
	}
	return res
}

// stopsAt checks that a result names what is broken, at which step, and what to type.
func stopsAt(t *testing.T, res api.WhyResult, code, step string) {
	t.Helper()
	var names []string
	for _, s := range whySteps() {
		names = append(names, s.name)
	}
	last := len(res.Steps) - 1
	if res.OK || res.Code != code || last < 0 || res.Steps[last].Name != step {
		t.Fatalf("got %+v, want %s at %s", res, code, step)
	}
	for i, s := range res.Steps {
		if s.OK != (i < last) || s.Name != names[i] || s.Detail == "" || (s.Hint != "") != (i == last) {
			t.Errorf("step %d of %s: %+v", i, code, s)
		}
	}
	if !strings.Contains(res.Steps[last].Hint, "`node ") && code != api.WhyDialRefused {
		t.Errorf("%s: nothing to type in %q", code, res.Steps[last].Hint)
	}
	if res.ExitCode == api.ExitOK {
		t.Errorf("%s: exit code 0", code)
	}
}

func TestWhyNamesWhatIsBroken(t *testing.T) {
	t.Parallel()
	ticketOf := func(t *testing.T, text string) record.Ticket {
		k, err := record.ParseTicket(text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for name, breaks := range map[string]struct {
		code, step string
		why        func(t *testing.T) api.WhyResult
	}{
		"malformed ticket": {api.WhyBadTicket, api.StepLink, func(t *testing.T) api.WhyResult {
			a := start(t, t.TempDir())
			text := []byte(a.share(newFolder(t)).Ticket)
			text[20] ^= 1 // a letter of the alphabet becomes another one, or none
			return start(t, t.TempDir()).why(api.WhyRequest{Ticket: string(text)})
		}},
		"wrong key: an invite for another node": {api.WhyWrongKey, api.StepKey, func(t *testing.T) api.WhyResult {
			a, b, other := start(t, t.TempDir()), start(t, t.TempDir()), start(t, t.TempDir())
			shared, err := a.Share(within(t), api.ShareRequest{Path: newFolder(t), Private: true}, quiet)
			if err != nil {
				t.Fatal(err)
			}
			invite, err := a.Invite(within(t), api.InviteRequest{Set: shared.Set, Reader: other.self.String()})
			if err != nil {
				t.Fatal(err)
			}
			return b.why(api.WhyRequest{Ticket: invite.Ticket})
		}},
		"wrong key: another node at the address": {api.WhyWrongKey, api.StepDial, func(t *testing.T) api.WhyResult {
			a, b, other := start(t, t.TempDir()), start(t, t.TempDir()), start(t, t.TempDir())
			k := ticketOf(t, a.share(newFolder(t)).Ticket)
			k.Addrs[0].Addrs = other.network().host.Addrs()
			return b.why(api.WhyRequest{Ticket: k.String()})
		}},
		"no bootstrap": {api.WhyNoBootstrap, api.StepBootstrap, func(t *testing.T) api.WhyResult {
			set := start(t, t.TempDir()).share(newFolder(t)).Set
			return start(t, t.TempDir()).why(api.WhyRequest{Ticket: set})
		}},
		"empty table: the bootstrap node serves none": {api.WhyEmptyTable, api.StepTable, func(t *testing.T) api.WhyResult {
			set := start(t, t.TempDir()).share(newFolder(t)).Set
			return start(t, t.TempDir(), startWith(t, "off").addr()).why(api.WhyRequest{Ticket: set})
		}},
		"empty table: the bootstrap node is away": {api.WhyEmptyTable, api.StepTable, func(t *testing.T) api.WhyResult {
			away := start(t, t.TempDir())
			set, addr := away.share(newFolder(t)).Set, away.addr()
			away.stop()
			return start(t, t.TempDir(), addr).why(api.WhyRequest{Ticket: set})
		}},
		"no provider record": {api.WhyNoRecord, api.StepRecord, func(t *testing.T) api.WhyResult {
			set := start(t, t.TempDir()).share(newFolder(t)).Set
			return start(t, t.TempDir(), start(t, t.TempDir()).addr()).why(api.WhyRequest{Ticket: set})
		}},
		"provider gone": {api.WhyProviderGone, api.StepDial, func(t *testing.T) api.WhyResult {
			third := start(t, t.TempDir())
			a, b := start(t, t.TempDir(), third.addr()), start(t, t.TempDir(), third.addr())
			shared := a.share(newFolder(t))
			if res := b.why(api.WhyRequest{Ticket: shared.Set}); !res.OK { // it is on record
				t.Fatalf("before: %+v", res)
			}
			a.stop()
			return b.why(api.WhyRequest{Ticket: shared.Set})
		}},
		"dial refused: nobody listens there": {api.WhyDialRefused, api.StepDial, func(t *testing.T) api.WhyResult {
			a := start(t, t.TempDir())
			shared := a.share(newFolder(t))
			a.stop()
			begun := time.Now()
			res := start(t, t.TempDir()).why(api.WhyRequest{Ticket: shared.Ticket})
			if took := time.Since(begun); took >= dialPatience { // else it is the answer and not the silence that was told
				t.Errorf("it took %v to hear a refusal", took)
			} else {
				t.Logf("a refusal is told after %v", took)
			}
			return res
		}},
		"dial refused": {api.WhyDialRefused, api.StepDial, func(t *testing.T) api.WhyResult {
			a, b := start(t, t.TempDir()), start(t, t.TempDir())
			shared := a.share(newFolder(t))
			a.network().Ban(b.self, "a test")
			return b.why(api.WhyRequest{Ticket: shared.Ticket})
		}},
		"not authorised": {api.WhyNotAuthorised, api.StepAuthorisation, func(t *testing.T) api.WhyResult {
			a, b := start(t, t.TempDir()), start(t, t.TempDir())
			shared, err := a.Share(within(t), api.ShareRequest{Path: newFolder(t), Private: true}, quiet)
			if err != nil {
				t.Fatal(err)
			}
			return b.why(api.WhyRequest{Ticket: shared.Ticket})
		}},
		"revision not held": {api.WhyNoRevision, api.StepRevision, func(t *testing.T) api.WhyResult {
			a, b := start(t, t.TempDir()), start(t, t.TempDir())
			return b.why(api.WhyRequest{Ticket: a.share(newFolder(t)).Ticket, Rev: 99})
		}},
		"chunk missing everywhere": {api.WhyNoChunk, api.StepChunk, func(t *testing.T) api.WhyResult {
			a, b := start(t, t.TempDir()), start(t, t.TempDir())
			dir := newFolder(t)
			shared := a.share(dir)
			write(t, filepath.Join(dir, "sub", "7"), 7000) // other bytes
			return b.why(api.WhyRequest{Ticket: shared.Ticket})
		}},
		"damaged here: a file of the author": {api.WhyDamagedHere, api.StepChunk, func(t *testing.T) api.WhyResult {
			a := start(t, t.TempDir())
			dir := newFolder(t)
			shared := a.share(dir)
			write(t, filepath.Join(dir, "sub", "7"), 7000)
			res := a.why(api.WhyRequest{Ticket: shared.Set, Deep: true})
			if last := res.Steps[len(res.Steps)-1]; !strings.Contains(last.Detail, `"sub/7" at byte 0`) {
				t.Errorf("%q names no file", last.Detail)
			}
			return res
		}},
		"damaged here: the folder of the author": {api.WhyDamagedHere, api.StepChunk, func(t *testing.T) api.WhyResult {
			a := start(t, t.TempDir())
			dir := newFolder(t)
			shared := a.share(dir)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			res := a.why(api.WhyRequest{Ticket: shared.Set})
			if last := res.Steps[len(res.Steps)-1]; !strings.Contains(last.Detail, dir+" is gone") || !strings.Contains(last.Hint, "`node rm data`") {
				t.Errorf("%+v", last)
			}
			return res
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stopsAt(t, breaks.why(t), breaks.code, breaks.step)
		})
	}
}

// Nothing is broken: every step is walked, and of a set that is here already nothing is asked for.
func TestWhyWalksToTheEnd(t *testing.T) {
	t.Parallel()
	third := start(t, t.TempDir())
	a, b := start(t, t.TempDir(), third.addr()), start(t, t.TempDir(), third.addr())
	dir := newFolder(t)
	shared := a.share(dir)
	whole := func(q api.WhyRequest) api.WhyResult {
		t.Helper()
		res := b.why(q)
		if !res.OK || res.Code != "" || res.ExitCode != api.ExitOK || len(res.Steps) != len(whySteps()) || res.Set != shared.Set {
			t.Fatalf("%+v", res)
		}
		return res
	}
	whole(api.WhyRequest{Ticket: shared.Set})
	whole(api.WhyRequest{Ticket: shared.Ticket, Rev: 1, Deep: true})
	write(t, filepath.Join(dir, "sub", "3"), 3000)
	a.share(dir)
	res := b.why(api.WhyRequest{Ticket: shared.Ticket, Rev: 1}) // its folders are kept, and what was overwritten is gone
	stopsAt(t, res, api.WhyNoChunk, api.StepChunk)
	if s := res.Steps[len(res.Steps)-1]; !strings.Contains(s.Detail, `"sub/3" at byte 0`) {
		t.Errorf("%q names no file", s.Detail)
	}
	whole(api.WhyRequest{Ticket: shared.Ticket, Rev: 2})
	if sets := b.sets.Replicas(); len(sets) != 0 {
		t.Errorf("asking left %d sets", len(sets))
	}
	if _, err := b.Get(within(t), api.GetRequest{Ticket: shared.Ticket, Dest: filepath.Join(t.TempDir(), "d")}, quiet); err != nil {
		t.Fatal(err)
	}
	if res := whole(api.WhyRequest{Ticket: "data"}); !strings.Contains(res.Steps[len(res.Steps)-1].Detail, "here") {
		t.Errorf("of a set that is here: %+v", res)
	}
	if res := a.why(api.WhyRequest{Ticket: "data", Deep: true}); !res.OK || res.Steps[len(res.Steps)-1].Name != api.StepChunk {
		t.Errorf("at its author: %+v", res)
	}
}

func TestWhyWithoutNetwork(t *testing.T) {
	n, err := New(Config{Home: t.TempDir(), Offline: true, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var e *api.Error
	if _, err := n.Why(t.Context(), api.WhyRequest{Ticket: "x"}, quiet); !errors.As(err, &e) || e.Code != "offline" {
		t.Errorf("%v", err)
	}
}

// A word that is nothing is called so.
func TestWhyOfAWord(t *testing.T) {
	t.Parallel()
	res := start(t, t.TempDir()).why(api.WhyRequest{Ticket: "foo"})
	stopsAt(t, res, api.WhyBadTicket, api.StepLink)
	if text := res.Steps[0].Detail; !strings.Contains(text, "no set of that name is here, and it is no ticket") || strings.Contains(text, "cid") {
		t.Errorf("%q", text)
	}
}

// Where every machine refuses, what says nothing over UDP is not waited for; where one may answer yet it is.
func TestRefusalsAreBelieved(t *testing.T) {
	tcp, quic := multiaddr.StringCast("/ip4/192.0.2.2/tcp/4581"), multiaddr.StringCast("/ip4/192.0.2.2/udp/4581/quic-v1")
	other := multiaddr.StringCast("/ip4/192.0.2.3/udp/4581/quic-v1")
	for name, c := range map[string]struct {
		addrs []multiaddr.Multiaddr
		says  error // what a TCP connection comes to
		after time.Duration
	}{
		"all refuse":            {[]multiaddr.Multiaddr{quic, tcp}, syscall.ECONNREFUSED, refusedAfter + refusedGrace},
		"nobody refuses":        {[]multiaddr.Multiaddr{quic, tcp}, nil, dialPatience},
		"one does not answer":   {[]multiaddr.Multiaddr{quic, tcp}, context.DeadlineExceeded, dialPatience},
		"UDP only":              {[]multiaddr.Multiaddr{quic}, syscall.ECONNREFUSED, dialPatience},
		"UDP of another":        {[]multiaddr.Multiaddr{tcp, other}, syscall.ECONNREFUSED, dialPatience},
		"there may be a relay":  {[]multiaddr.Multiaddr{tcp, multiaddr.StringCast("/ip4/192.0.2.2/tcp/4581/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp/p2p-circuit")}, syscall.ECONNREFUSED, dialPatience},
		"no address is to hand": {nil, syscall.ECONNREFUSED, dialPatience},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), dialPatience)
				defer cancel()
				begun := time.Now()
				err := impatient(ctx, c.addrs, func(context.Context, string, string) error { return c.says }, func(ctx context.Context) error {
					<-ctx.Done()
					return ctx.Err()
				})
				if took := time.Since(begun); took != c.after || errors.Is(err, syscall.ECONNREFUSED) != (c.after < dialPatience) {
					t.Errorf("%v after %v, want %v", err, took, c.after)
				}
			})
		})
	}
	if err := impatient(t.Context(), []multiaddr.Multiaddr{tcp}, func(context.Context, string, string) error {
		t.Error("looked at what is connected already")
		return nil
	}, func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
}

// Who dials is told whom and where, and how long that may take.
func TestWhyTellsWhomItCalls(t *testing.T) {
	set, info, blocks, _ := specimen(t)
	p := peer.AddrInfo{ID: "first peer", Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/192.0.2.2/tcp/4581"), multiaddr.StringCast("/ip4/192.0.2.2/udp/4581/quic-v1")}}
	var said []string
	w := &world{off: true, infos: map[peer.ID]list.Info{p.ID: info}, blocks: blocks}
	i := &inquiry{self: "self", find: func(string) (record.Ticket, *ownCopy, error) {
		return record.Ticket{Set: set, Addrs: []peer.AddrInfo{p}}, nil, nil
	}, routes: w, peers: w, now: time.Now, shuffle: func(int, func(a, b int)) {}, tell: func(p api.Progress) { said = append(said, p.Phase+": "+p.Message) }}
	if res, err := i.walk(t.Context(), whySteps()); err != nil || !res.OK {
		t.Fatalf("%+v, %v", res, err)
	}
	want := "dial: calling " + shortPeer(p.ID) + " at /ip4/192.0.2.2/tcp/4581 and 1 more, 5s at most"
	if !slices.Contains(said, want) {
		t.Errorf("%q is not in %q", want, said)
	}
}

// What real nodes are not easily brought to do.
func TestWhyInABrokenWorld(t *testing.T) {
	t.Parallel()
	set, info, blocks, lay := specimen(t)
	v, err := record.VerifyBundle(set, info.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	p, q := peer.AddrInfo{ID: "first peer"}, peer.AddrInfo{ID: "second peer"}
	ticket := record.Ticket{Set: set, Addrs: []peer.AddrInfo{p}}
	lost := lay.Leaves[len(lay.Leaves)-1].Cid
	partial := info
	partial.Complete, partial.Have = false, list.NewBitmap(len(lay.Leaves))
	for i := range len(lay.Leaves) - 1 {
		partial.Have.Set(i)
	}
	without := func(c cid.Cid) ([]byte, error) {
		if c == lost {
			return nil, blockstore.ErrNotFound
		}
		return blocks(c)
	}
	forged := info
	forged.Bundle.Heads = [][]byte{bytes.Repeat([]byte{7}, 100)}
	ahead := v
	ahead.Heads = slices.Clone(v.Heads)
	ahead.Heads[0].Revision, ahead.Heads[0].Root = 5, blockstore.Sum(cid.DagProtobuf, []byte("newer"))
	here := multiaddr.StringCast("/ip4/192.0.2.2/tcp/4581")
	own, moved := ownOf(v, info, blocks, lay), ownOf(v, info, blocks, lay)
	moved.harm = func(context.Context) (string, string) { return "/x is gone", "`node rm data`" }
	private := v
	private.Config.Public = false
	for name, c := range map[string]struct {
		world  world
		ticket record.Ticket
		mine   *ownCopy
		code   string // "" = nothing is broken
		step   string
		says   string
	}{
		"all is well without a table": {world: world{off: true, infos: map[peer.ID]list.Info{p.ID: info}, blocks: blocks}, ticket: ticket, step: api.StepChunk, says: "came"},
		"no table, a bare id":         {world: world{off: true, known: []peer.AddrInfo{p}, refusal: list.ErrNotFound}, ticket: record.Ticket{Set: set}, code: api.WhyEmptyTable, step: api.StepTable, says: "discovery.dht is off"},
		"a bootstrap node has it":     {world: world{size: 1, known: []peer.AddrInfo{p}, infos: map[peer.ID]list.Info{p.ID: info}, blocks: blocks}, ticket: record.Ticket{Set: set}, step: api.StepChunk},
		"this node is on record":      {world: world{size: 1, known: []peer.AddrInfo{q}, records: []peer.AddrInfo{{ID: "self"}}, refusal: list.ErrNotFound}, ticket: record.Ticket{Set: set}, mine: own, step: api.StepChunk, says: "all of it is here"},
		"nobody is at its author's":   {world: world{off: true}, ticket: record.Ticket{Set: set}, mine: own, step: api.StepChunk, says: "all of it is here"},
		"its other members are away":  {world: world{size: 1, connect: context.DeadlineExceeded}, ticket: ticket, mine: own, step: api.StepChunk, says: "all of it is here"},
		"its author has lost a chunk": {world: world{off: true}, ticket: record.Ticket{Set: set}, mine: ownOf(v, info, without, lay), code: api.WhyDamagedHere, step: api.StepChunk, says: "1 of the"},
		"its author lost the folder":  {world: world{off: true}, ticket: record.Ticket{Set: set}, mine: moved, code: api.WhyDamagedHere, step: api.StepChunk, says: "/x is gone"},
		"nobody listens there":        {world: world{size: 1, connect: syscall.ECONNREFUSED}, ticket: ticket, code: api.WhyDialRefused, step: api.StepDial, says: "refused"},
		"on record, nobody listens":   {world: world{size: 1, records: []peer.AddrInfo{p}, connect: syscall.ECONNREFUSED}, ticket: ticket, code: api.WhyProviderGone, step: api.StepDial, says: "refused"},
		"its address is ours now": {world: world{size: 1, connect: &netswarm.DialError{DialErrors: []netswarm.TransportError{{Address: here, Cause: netswarm.ErrDialToSelf}}}}, ticket: ticket,
			code: api.WhyProviderGone, step: api.StepDial, says: "an address of this node itself"},
		"a silent peer":                 {world: world{size: 1, connect: context.DeadlineExceeded}, ticket: ticket, code: api.WhyProviderGone, step: api.StepDial},
		"a busy peer":                   {world: world{size: 1, refusal: list.ErrBusy}, ticket: ticket, code: api.WhyDialRefused, step: api.StepDial, says: "busy"},
		"given up by its holders":       {world: world{size: 1, refusal: list.ErrNotFound}, ticket: ticket, mine: &ownCopy{verified: v}, code: api.WhyProviderGone, step: api.StepAuthorisation, says: "given it up"},
		"forged records":                {world: world{size: 1, infos: map[peer.ID]list.Info{p.ID: forged}}, ticket: ticket, code: api.WhyWrongKey, step: api.StepRevision},
		"a damaged invite":              {world: world{}, ticket: record.Ticket{Set: set, Cap: []byte("x")}, code: api.WhyWrongKey, step: api.StepKey},
		"a newer one is known here":     {world: world{size: 1, infos: map[peer.ID]list.Info{p.ID: info}, blocks: blocks}, ticket: ticket, mine: &ownCopy{verified: ahead}, code: api.WhyNoRevision, step: api.StepRevision, says: "revision 5"},
		"a head without its folders":    {world: world{size: 1, infos: map[peer.ID]list.Info{p.ID: info}}, ticket: ticket, code: api.WhyNoRevision, step: api.StepRevision},
		"two holders lack one chunk":    {world: world{size: 1, records: []peer.AddrInfo{q}, infos: map[peer.ID]list.Info{p.ID: partial, q.ID: partial}, blocks: without}, ticket: ticket, code: api.WhyNoChunk, step: api.StepChunk, says: "1 of the"},
		"the peer ends it half way":     {world: world{size: 1, infos: map[peer.ID]list.Info{p.ID: info}, blocks: blocks, silentAt: 2}, ticket: ticket, code: api.WhyProviderGone, step: api.StepChunk, says: "stream reset"},
		"one ends, the other has all":   {world: world{size: 1, records: []peer.AddrInfo{q}, infos: map[peer.ID]list.Info{p.ID: info, q.ID: info}, blocks: blocks, silentAt: 2, silentOf: p.ID}, ticket: ticket, step: api.StepChunk, says: "came"},
		"one ends, the other lacks one": {world: world{size: 1, records: []peer.AddrInfo{q}, infos: map[peer.ID]list.Info{p.ID: info, q.ID: info}, blocks: without, silentAt: 2, silentOf: p.ID}, ticket: ticket, code: api.WhyProviderGone, step: api.StepChunk, says: "1 of the"},
		"it ends before it has begun":   {world: world{size: 1, infos: map[peer.ID]list.Info{p.ID: info}, hangUp: errors.New("stream reset")}, ticket: ticket, code: api.WhyProviderGone, step: api.StepRevision, says: "stream reset"},
	} {
		t.Run(name, func(t *testing.T) {
			res := c.world.why(t, c.ticket, c.mine)
			if c.code != "" {
				stopsAt(t, res, c.code, c.step)
			} else if last := len(res.Steps) - 1; !res.OK || res.Steps[last].Name != c.step {
				t.Fatalf("%+v", res)
			}
			if s := res.Steps[len(res.Steps)-1]; !strings.Contains(s.Detail, c.says) {
				t.Errorf("%q is not in %q", c.says, s.Detail)
			}
		})
	}
}

// Every code has words, a hint and an exit code, and every step can be broken by itself.
func TestWhyStepsAreATable(t *testing.T) {
	for _, b := range breakages() {
		if b.title == "" || b.hint == "" || b.exit == api.ExitOK {
			t.Errorf("%+v", b)
		}
	}
	for n, s := range whySteps() {
		steps := whySteps()
		for i := range steps {
			steps[i].walk = func(*inquiry, context.Context) (string, error) { return "fine", nil }
		}
		steps[n].walk = func(*inquiry, context.Context) (string, error) { return "", breakf(api.WhyNoChunk, "made so") }
		i := &inquiry{now: time.Now, tell: quiet}
		res, err := i.walk(t.Context(), steps)
		if err != nil || res.OK || len(res.Steps) != n+1 || res.Steps[n].Name != s.name || res.ExitCode != api.ExitIntegrity { // as of a get
			t.Errorf("%s: %+v, %v", s.name, res, err)
		}
	}
}

// A large set is sampled, what nobody claims to have first, and wholly with Deep.
func TestWhySamples(t *testing.T) {
	lay := &dag.Layout{}
	for n := range 1000 {
		lay.Leaves = append(lay.Leaves, blockstore.Leaf{Cid: blockstore.Sum(cid.Raw, fmt.Append(nil, n)), Size: 64 << 10})
	}
	have := list.NewBitmap(1000)
	for n := range 1000 {
		if n != 700 {
			have.Set(n)
		}
	}
	holder := shown{record.Verified{Heads: []record.Head{{Root: lay.Root}}}, &witness{info: list.Info{Have: have}}}
	i := &inquiry{shuffle: func(int, func(a, b int)) {}, target: &target{holders: []shown{holder}}}
	ask, all := i.sample(lay)
	if all != 1000 || len(ask) != sampleBytes/(64<<10) || ask[0] != 700 {
		t.Errorf("%d of %d, first %d", len(ask), all, ask[0])
	}
	i.q.Deep = true
	if ask, _ := i.sample(lay); len(ask) != 1000 {
		t.Errorf("deep: %d", len(ask))
	}
}

// Whatever is typed as a ticket has an answer.
func FuzzWhyLink(f *testing.F) {
	n, err := New(Config{Home: f.TempDir(), Offline: true, Reserve: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { n.Close() })
	f.Add("shoal1aaaa")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		i := &inquiry{find: n.looked, now: time.Now, tell: quiet, routes: &world{}, peers: &world{refusal: list.ErrNotFound, connect: os.ErrDeadlineExceeded}, q: api.WhyRequest{Ticket: text}}
		if res, err := i.walk(t.Context(), whySteps()); err != nil || res.OK || res.Code == "" {
			t.Errorf("%q: %+v, %v", text, res, err)
		}
	})
}
