package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"

	"github.com/shoal-p2p/shoal/node"
	"github.com/shoal-p2p/shoal/node/api"
)

// awaitHost is `awaithost HOME REGEXP`: a host answers there, and what it says of itself matches.
func awaitHost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: awaithost HOME REGEXP")
	}
	want := regexp.MustCompile(args[1])
	ctx, cancel := context.WithTimeout(context.Background(), testPatience)
	defer cancel()
	for text := []byte("nothing"); ; {
		if c, err := api.Dial(ctx, api.SocketPath(ts.MkAbs(args[0]))); err == nil {
			text, err = json.Marshal(c.Version())
			c.Close()
			ts.Check(err)
			if want.Match(text) {
				return
			}
		}
		if pause(ctx, redialEvery) != nil {
			ts.Fatalf("%s says %s", args[0], text)
		}
	}
}

// Who takes a home over goes by what the host before told: flags of its own command line count more, its environment less,
// and what the two programs do not both know does not count.
func TestHeirGoesByTheHostBefore(t *testing.T) {
	home := t.TempDir()
	config := func(heritage map[string]string, environ []string, args ...string) hostConfig {
		t.Helper()
		a := app{process: process{stderr: io.Discard, environ: environ}}
		a.opts.home = home
		flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
		addSettingFlags(flags)
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		cfg, err := a.heirConfig(flags, heritage, slog.LevelWarn)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	confined := []string{"--listen", "/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.2/tcp/0", "--mdns=false", "--dht", "off", "--up", "20kB/s"}
	before := config(nil, []string{"SHOAL_STORE__MAX_SIZE=5GB", "SHOAL_P2P__MAX_CONNECTIONS=20"}, confined...)
	heritage := told(before.Settings)
	heritage["p2p.of_the_future"] = "x"
	heir := config(heritage, []string{"SHOAL_P2P__MDNS=true", "SHOAL_LOG__LEVEL=debug"})
	for key, want := range before.Settings {
		if got := heir.Settings[key]; key != "log.level" && !cmp.Equal(got, want) {
			t.Errorf("%s is %v, and was %v", key, got, want)
		}
	}
	if heir.Settings["log.level"] != "debug" {
		t.Errorf("log.level %v: the log is of the process", heir.Settings["log.level"])
	}
	if d := cmp.Diff(before.Config.Net, heir.Config.Net); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(before.Listen, heir.Listen); d != "" {
		t.Error(d)
	}
	if own := config(heritage, nil, "--dht", "client", "--listen", "/ip4/127.0.0.9/tcp/0"); own.Net.DHT != "client" || own.Net.MDNS || !slices.Equal(own.Listen, []string{"/ip4/127.0.0.9/tcp/0"}) {
		t.Errorf("flags: %+v, %v", own.Net, own.Listen)
	}
	everywhere := told(config(nil, nil).Settings) // no addresses are every interface, also for an heir whose environment names some
	if open := config(everywhere, []string{"SHOAL_P2P__LISTEN=/ip4/127.0.0.1/tcp/0"}); len(open.Listen) > 0 {
		t.Errorf("listens on %v", open.Listen)
	}
}

// A limit that the command line names holds also where another one was set of the host before while it ran.
func TestOwnLimitsCountMore(t *testing.T) {
	flags := pflag.NewFlagSet("get", pflag.ContinueOnError)
	addSettingFlags(flags)
	if err := flags.Parse([]string{"--up", "5kB/s", "--dht", "off"}); err != nil {
		t.Fatal(err)
	}
	own := node.TransferConfig{Up: 5000, Down: 7000}
	for _, tt := range []struct {
		how  attach
		want []api.LimitsRequest
	}{
		{attach{flags: flags}, nil}, // the first host of its own
		{attach{after: new(api.VersionInfo)}, nil},
		{attach{after: new(api.VersionInfo), flags: flags}, []api.LimitsRequest{{Up: &own.Up}}},
	} {
		var n boundedNode
		if err := ownLimits(t.Context(), &n, tt.how, own); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, n.asked); d != "" {
			t.Error(d)
		}
	}
}

// What is told to whoever may ask at the socket says nothing of where the API is, of its key, or of the log.
func TestToldAreNoSettingsOfTheProcess(t *testing.T) {
	all := values{}
	for _, k := range settingKeys() {
		all[k.name] = "x"
	}
	for _, key := range slices.Sorted(maps.Keys(told(all))) {
		if strings.HasPrefix(key, "api.") || strings.HasPrefix(key, "metrics.") || strings.HasPrefix(key, "log.") || key == "version" {
			t.Errorf("%s is told", key)
		}
	}
}

// While a node that stays waits for a home, no command takes it; before and afterwards one does.
func TestGateKeepsCommandsFromTheHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	gate, err := gateOf(home)
	if err != nil {
		t.Fatal(err)
	}
	take := func() error {
		lock, err := passed(home)
		if err == nil {
			err = lock.Close()
		}
		return err
	}
	if err := take(); err != nil {
		t.Fatal(err)
	}
	if ok, err := gate.TryLock(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	var locked *lockedError
	if err := take(); !errors.As(err, &locked) {
		t.Errorf("a command took the home: %v", err)
	}
	lock, err := claimOnce(gate, home)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lock.Close(), gate.Close(), take()); err != nil {
		t.Error(err)
	}
}

// A node that stays gets the home of a command that hosts there; the command goes on through it, and so do those that were
// attached to the command.
func TestRunTakesTheHomeOfACommand(t *testing.T) {
	w := newWorld(t)
	hosts := w.start("share", w.data())
	hosts.err.await(t, "sharing; Ctrl-C stops")
	attached := w.start("share", "--wait", w.data())
	attached.err.await(t, "sharing; Ctrl-C stops")
	run := w.start("run")
	run.err.await(t, `"msg":"a command that hosted the node gives way"`)
	run.err.await(t, `"msg":"ready"`)
	hosts.err.await(t, "takes this home over")
	hosts.finish(t, 0) // shared by the node that stays
	c, err := api.Dial(t.Context(), api.SocketPath(w.home))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Version().Transient {
		t.Error("a command hosts the node")
	}
	attached.signals <- os.Interrupt
	attached.finish(t, 0)
	run.signals <- os.Interrupt
	run.finish(t, 0)
	if got := hosts.out.String() + attached.out.String(); got != "shoal1data\nshoal1data\n" {
		t.Errorf("tickets: %q", got)
	}
}

// Who may not go on through another node keeps the home, and `run` says who has it.
func TestRunRespectsNoDaemon(t *testing.T) {
	w := newWorld(t)
	hosts := w.start("--no-daemon", "share", w.data())
	hosts.err.await(t, "sharing; Ctrl-C stops")
	run := w.start("run", "--json")
	run.finish(t, api.ExitStore)
	if want := "does not give way, process " + pid(); !strings.Contains(run.out.String(), want) {
		t.Errorf("%s lacks %q", run.out, want)
	}
	hosts.signals <- os.Interrupt
	hosts.finish(t, 0)
}

// A command whose host was a service waits for it to come back, and does not take its home meanwhile.
func TestCommandWaitsForTheService(t *testing.T) {
	w := newWorld(t)
	first := w.start("run")
	first.err.await(t, `"msg":"ready"`)
	share := w.start("share", "--wait", w.data())
	share.err.await(t, "sharing; Ctrl-C stops")
	first.signals <- os.Interrupt
	share.err.await(t, "starting over when it is back")
	first.finish(t, 0)
	begun := time.Now()
	second := w.start("run")
	second.err.await(t, `"msg":"ready"`)
	share.err.await(t, "sharing; Ctrl-C stops")
	if took := time.Since(begun); took > comebackPatience {
		t.Errorf("back after %v", took)
	}
	for _, c := range []*command{share, second} {
		c.signals <- os.Interrupt
		c.finish(t, 0)
	}
}

// A node whose API cannot be asked any more ends: nobody could tell it to.
func TestNodeEndsWithItsAPI(t *testing.T) {
	dead, err := api.Listen(shortDir(t))
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	h, lock := emptyHost(t)
	cfg := hostConfig{}
	cfg.Log = slog.New(slog.DiscardHandler)
	n := &fakeHost{cfg: cfg, ready: make(chan struct{}), getenv: func(string) string { return "" }}
	h.start(t.Context(), n, []net.Listener{dead}, nil, cfg, api.ServerOptions{})
	select {
	case <-h.nodeEnded:
	case <-time.After(testPatience):
		t.Error("the node goes on")
	}
	if err := h.close(); err != nil || lock.Locked() {
		t.Errorf("%v, locked %v", err, lock.Locked())
	}
}

// An operation that does not heed its end keeps neither the node from its own nor the process from exiting.
func TestHostEndsWithoutItsOperations(t *testing.T) {
	h, lock := emptyHost(t)
	stuck := make(chan struct{})
	h.serving.Go(func() { <-stuck })
	h.stopServing, h.stopNode = func() {}, func() { close(h.nodeEnded) }
	if err := h.close(); err != nil || lock.Locked() {
		t.Errorf("%v, locked %v", err, lock.Locked())
	}
	close(stuck)
	h.serving.Wait()
}

// emptyHost is a host of nothing, and the lock it holds.
func emptyHost(t *testing.T) (*hosted, *flock.Flock) {
	lock, err := lockHome(shortDir(t))
	if err != nil {
		t.Fatal(err)
	}
	return &hosted{lock: lock, nodeEnded: make(chan struct{}), stopAsked: make(chan struct{}), patience: time.Second}, lock
}

// shortDir is a folder whose name leaves room for a socket: that of t.TempDir holds the test's name.
func shortDir(t *testing.T) string { return filepath.Dir(newWorld(t).home) }
