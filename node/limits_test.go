package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/node/api"
)

func rateOf(n int64) *int64 { return &n }

func TestLimitsOfSetsAreRemembered(t *testing.T) {
	t.Parallel()
	home, dir := t.TempDir(), newFolder(t)
	open := func() *Node {
		n, err := New(Config{Home: home, Offline: true, Reserve: 1, Transfer: TransferConfig{Up: 1000, LANExempt: true}, Store: StoreConfig{MaxSize: 1 << 40}})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := open()
	ctx := within(t)
	shared, err := n.Share(ctx, api.ShareRequest{Path: dir, Name: "pictures"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	no := false
	for _, q := range []api.LimitsRequest{
		{Set: "pictures", Up: rateOf(5000)},
		{Set: shared.Set, Down: rateOf(7000)}, // what is not named stays
		{Down: rateOf(2000)},
		{LANExempt: &no},
	} {
		if _, err := n.SetLimits(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	want := api.Limits{Up: 1000, Down: 2000, Sets: []api.SetLimits{{Set: shared.Set, Name: "pictures", Up: 5000, Down: 7000}}, MaxConnections: 256, MaxSize: 1 << 40}
	compare := func() {
		t.Helper()
		got, err := n.Limits(ctx)
		if err != nil || got.Size < 100 { // keys and records are there
			t.Errorf("%+v %v", got, err)
		}
		got.Size = 0
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	compare()
	reopen := func() {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		n = open()
	}
	reopen()
	want.Down, want.LANExempt = 0, true // as configured
	compare()
	if _, err := n.SetLimits(ctx, api.LimitsRequest{Set: "pictures", Up: rateOf(0)}); err != nil {
		t.Fatal(err)
	}
	want.Sets[0].Up = 0
	compare()
	if _, err := n.Rm(ctx, api.RmRequest{Set: "pictures"}); err != nil {
		t.Fatal(err)
	}
	want.Sets = []api.SetLimits{}
	compare()
	reopen()
	compare()
	if len(n.limits.sets) > 0 {
		t.Errorf("limits of a set that is gone: %v", n.limits.sets)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// Who goes on with the work of a node keeps to what it was told; who is started later does not.
func TestLimitsAreInherited(t *testing.T) {
	home := t.TempDir()
	open := func(inherit bool) *Node {
		n, err := New(Config{Home: home, Offline: true, Reserve: 1, Transfer: TransferConfig{Up: 1000, Inherit: inherit}})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	shut := func(n *Node) {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	n, yes := open(false), true
	if _, err := n.SetLimits(t.Context(), api.LimitsRequest{Down: rateOf(5000), LANExempt: &yes}); err != nil {
		t.Fatal(err)
	}
	shut(n)
	for _, tt := range []struct {
		inherit bool
		down    int64
	}{{true, 5000}, {true, 5000}, {false, 0}, {true, 0}} {
		n := open(tt.inherit)
		if got, err := n.Limits(t.Context()); err != nil || got.Up != 1000 || got.Down != tt.down || got.LANExempt != (tt.down > 0) {
			t.Errorf("inherit %v: %+v %v", tt.inherit, got, err)
		}
		shut(n)
	}
}

func TestLimitsThatAreRefused(t *testing.T) {
	t.Parallel()
	n, err := New(Config{Home: t.TempDir(), Offline: true, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	yes := true
	for code, q := range map[string]api.LimitsRequest{
		"bad_rate":     {Up: rateOf(5000), Down: rateOf(api.LeastRate - 1)},
		"unknown_set":  {Set: "nothing", Up: rateOf(1000)},
		"not_of_a_set": {Set: "nothing", LANExempt: &yes},
	} {
		var e *api.Error
		if _, err := n.SetLimits(t.Context(), q); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v", code, err)
		}
	}
	if got := n.limits.of(cid.Undef); got.up != 0 {
		t.Errorf("what was refused counts: %+v", got)
	}
}

func TestDamagedLimits(t *testing.T) {
	for _, text := range []string{"{", `{"sets":{"x":{}}}`, `{"sets":{"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku":{"up":-1}}}`, `{"sets":[]}`, `{"node":{"down":-1}}`} {
		file := filepath.Join(t.TempDir(), "limits.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := openLimits(file, TransferConfig{}); err == nil {
			t.Errorf("%s: %v", text, l.sets)
		}
	}
}

// The quota counts what goes into the home; where it is used up, nothing is fetched anywhere.
func TestQuota(t *testing.T) {
	t.Parallel()
	author := startLimited(t, Config{})
	dir := newFolder(t)
	shared := author.share(dir) // 2 MiB and some
	ctx := within(t)
	for name, tt := range map[string]struct {
		quota int64
		dest  string // "" = in the home
		exit  int
	}{
		"used up":               {1, filepath.Join(t.TempDir(), "d"), api.ExitNoSpace},
		"used up, inside":       {1, "", api.ExitNoSpace},
		"elsewhere":             {1 << 20, filepath.Join(t.TempDir(), "d"), 0},
		"not enough for it all": {1 << 20, "", api.ExitNoSpace},
		"enough":                {4 << 20, "", 0},
		"none":                  {0, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			getter := startLimited(t, Config{Store: StoreConfig{MaxSize: tt.quota}, Bootstrap: []string{author.addr()}})
			before, err := getter.ownSize()
			if err != nil {
				t.Fatal(err)
			}
			if tt.quota > 1 { // what a store takes from the start is not in question
				getter.cfg.Store.MaxSize += before
			}
			if tt.dest == "" {
				if e := replicated(t, ctx, getter, shared.Ticket); (e.Kind == api.EventFailed) != (tt.exit != 0) {
					t.Errorf("%+v", e)
				}
				return
			}
			if _, err = getter.Get(ctx, api.GetRequest{Ticket: shared.Ticket, Dest: tt.dest}, quiet); tt.exit != 0 {
				wantExit(t, name, err, tt.exit)
			} else if err != nil {
				t.Error(err)
			}
			if files, _ := os.ReadDir(tt.dest); (len(files) == 0) != (tt.exit != 0) {
				t.Errorf("%d files", len(files))
			}
		})
	}
}

// replicated holds a set in the node's own folder and tells how that went.
func replicated(t *testing.T, ctx context.Context, r *running, ticket string) api.Event {
	t.Helper()
	ended := make(chan api.Event, 16) // it tries again until the test ends
	defer r.events.listen(func(e api.Event) {
		if e.Kind == api.EventComplete || e.Kind == api.EventFailed {
			select {
			case ended <- e:
			default:
			}
		}
	})()
	if _, err := r.Follow(ctx, api.FollowRequest{Ticket: ticket, Replicate: true}, quiet); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-ended:
		return e
	case <-ctx.Done():
		t.Fatal("nothing came of it")
		return api.Event{}
	}
}
