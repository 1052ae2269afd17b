package play

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/process"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shoal-play-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = process.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	loaded := goleak.IgnoreCurrent()
	code := m.Run()
	if err := goleak.Find(loaded); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// patience bounds everything here from above; on a quiet machine nothing takes a tenth of it.
const patience = 60 * time.Second

// scene is a stage with nodes that a test plays on.
type scene struct {
	*Stage
	t     *testing.T
	ctx   context.Context
	net   *nodes.Net
	mu    sync.Mutex // guards what follows
	said  []string
	unrun func() // ends Watch and waits for it
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return newSceneOf(t, time.Now)
}

// hasty is a time that goes by twenty times as fast: what is waited for in vain is given up as much earlier.
func hasty() func() time.Time {
	began := time.Now()
	return func() time.Time { return began.Add(20 * time.Since(began)) }
}

func newSceneOf(t *testing.T, now func() time.Time) *scene {
	t.Helper()
	t.Parallel() // nodes mostly wait
	net, err := nodes.Open(nodes.Options{Dir: t.TempDir(), Exe: binary, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	x := &scene{t: t, ctx: ctx, net: net}
	x.Stage = New(Options{Life: ctx, Net: net, Seed: 1, Now: now, Say: func(format string, a ...any) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.said = append(x.said, fmt.Sprintf(format, a...))
	}})
	watching, unwatch := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { x.Watch(watching) })
	x.unrun = sync.OnceFunc(func() {
		unwatch()
		group.Wait()
	})
	t.Cleanup(func() {
		x.unrun()
		x.Stage.Close()
		cancel()
		if err := net.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(x.story())
		}
	})
	return x
}

// story is what happened, for whoever reads of a failure.
func (x *scene) story() string {
	var b strings.Builder
	tr := x.Trace()
	for _, e := range tr.Events {
		fmt.Fprintf(&b, "%6.2f %-9s %-8s %-5s %d %s\n", e.At.Seconds(), e.Kind, e.Node, e.Set, e.Revision, e.Text)
	}
	for _, c := range tr.Checks {
		fmt.Fprintf(&b, "%6.2f %v %s: %s\n", c.At.Seconds(), c.OK, c.Name, c.Detail)
	}
	return b.String()
}

// try plays a script as it is run.
func (x *scene) try(text string) error {
	x.t.Helper()
	sc, err := script.Parse(x.t.Name(), []byte(text))
	if err != nil {
		x.t.Fatal(err)
	}
	return x.Play(x.ctx, sc)
}

// play plays a script that must come to its end.
func (x *scene) play(text string) {
	x.t.Helper()
	if err := x.try(text); err != nil {
		x.t.Fatal(err)
	}
}

// line carries out one statement as it is typed.
func (x *scene) line(text string) error {
	x.t.Helper()
	st, err := script.ParseLine(x.Names(), x.Sets(), text)
	if err != nil {
		x.t.Fatal(err)
	}
	return x.Do(x.ctx, st)
}

// do carries out statements that must work; what does not hold is for failing to say.
func (x *scene) do(lines ...string) {
	x.t.Helper()
	for _, text := range lines {
		if err := x.line(text); err != nil && !errors.Is(err, ErrFailed) {
			x.t.Fatal(err)
		}
	}
}

// failing are the checks that failed, by name: but for those, all must have held.
func (x *scene) failing(names ...string) {
	x.t.Helper()
	failed := map[string]string{}
	for _, c := range x.Trace().Checks {
		if !c.OK {
			failed[c.Name] = c.Detail
		}
	}
	for _, name := range names {
		if _, ok := failed[name]; !ok {
			x.t.Errorf("%q did not fail", name)
		}
		delete(failed, name)
	}
	for name, detail := range failed {
		x.t.Errorf("%s: %s", name, detail)
	}
}

// finish brings the network to rest; all must hold but what is named.
func (x *scene) finish(failing ...string) {
	x.t.Helper()
	if err := x.Finish(x.ctx); err != nil {
		x.t.Fatal(err)
	}
	for _, name := range []string{script.Agree, script.Files, script.Crashes} {
		looked := slices.ContainsFunc(x.Trace().Checks, func(c trace.Check) bool { return c.Name == meaning(name) })
		if !looked && (name == script.Crashes || len(x.Sets()) > 0) {
			x.t.Errorf("%s was not looked for", name)
		}
	}
	x.failing(failing...)
}

var errPatience = errors.New("it did not come true")

// until waits for what no statement waits for.
func (x *scene) until(what string, holds func() bool) {
	x.t.Helper()
	for !holds() {
		if pass(x.ctx, askEvery) != nil {
			x.t.Fatalf("%s: %v", what, errPatience)
		}
	}
}

// events of a kind at a node, or at any for "".
func (x *scene) events(kind, node string) (all []trace.Event) {
	for _, e := range x.Trace().Events {
		if e.Kind == kind && (node == "" || e.Node == node) {
			all = append(all, e)
		}
	}
	return all
}

func (x *scene) home(node string) string {
	x.t.Helper()
	n, ok := x.net.Node(node)
	if !ok {
		x.t.Fatalf("there is no node %s", node)
	}
	return n.Home
}

func (x *scene) file(node, set, name string) string {
	x.t.Helper()
	n, ok := x.net.Node(node)
	if !ok {
		x.t.Fatalf("there is no node %s", node)
	}
	return filepath.Join(dir(n, set), filepath.FromSlash(name))
}
