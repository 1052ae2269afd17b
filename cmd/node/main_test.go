package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
)

// world is one home with a swarm of its own, and the processes that are run in it.
type world struct {
	t    *testing.T
	home string
	env  []string
}

func newWorld(t *testing.T, env ...string) *world {
	t.Helper()
	// Not t.TempDir: its name is made of the test's, too long for a socket.
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, d := range []string{"net", "data"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(dir, "home")
	return &world{t: t, home: home, env: append([]string{"SHOAL_HOME=" + home, "FAKE_NET=" + filepath.Join(dir, "net")}, env...)}
}

func (w *world) data() string { return filepath.Join(filepath.Dir(w.home), "data") }

// lines is stderr as a stream of lines.
type lines struct {
	*io.PipeWriter
	seen chan string
}

func newLines() *lines {
	r, w := io.Pipe()
	l := &lines{PipeWriter: w, seen: make(chan string, 100)}
	go func() {
		defer close(l.seen)
		for s := bufio.NewScanner(r); s.Scan(); {
			l.seen <- s.Text()
		}
	}()
	return l
}

// testPatience is many times what a command of these tests takes on a machine under load. A host that is not told to end
// stays for ever, so nothing here waits for one without a bound.
const testPatience = time.Minute

func (l *lines) await(t *testing.T, text string) {
	t.Helper()
	late := time.After(testPatience)
	var before []string
	for {
		select {
		case line, more := <-l.seen:
			if !more {
				t.Fatalf("stderr ended without %q: %q", text, before)
			}
			if before = append(before, line); strings.Contains(line, text) {
				return
			}
		case <-late:
			t.Fatalf("stderr without %q: %q", text, before)
		}
	}
}

type command struct {
	out     *bytes.Buffer
	err     *lines
	signals chan os.Signal
	exits   chan int
	done    chan int
}

// start runs a command in this process, as a process of its own would.
func (w *world) start(args ...string) *command {
	c := &command{out: new(bytes.Buffer), err: newLines(), signals: make(chan os.Signal, 2), exits: make(chan int, 1), done: make(chan int, 1)}
	p := process{name: "node", args: args, environ: w.env, stdin: strings.NewReader(""), stdout: c.out, stderr: c.err,
		signals: c.signals, exit: func(code int) { c.exits <- code }, version: "test"}
	a := app{process: p}
	p.newHost = newFakeHost(a.env)
	go func() {
		code := Main(p)
		_ = c.err.Close()
		c.done <- code
	}()
	return c
}

func (c *command) finish(t *testing.T, want int) {
	t.Helper()
	go func() {
		for range c.err.seen { // nobody reads on, but the command may still talk
		}
	}()
	select {
	case got := <-c.done:
		if got != want {
			t.Fatalf("exit code %d, want %d", got, want)
		}
	case <-time.After(testPatience):
		t.Fatal("the command does not end")
	}
}

func TestSignals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		env    string
		await  string
		signal os.Signal
		want   int
	}{
		{"run ends cleanly", []string{"run"}, "", `"msg":"ready"`, syscall.SIGTERM, 0},
		{"share was complete", []string{"share", "DATA"}, "", "sharing; Ctrl-C stops", os.Interrupt, 0},
		{"get was not, SIGINT", []string{"get", "shoal1data"}, "FAKE_BLOCK=" + os.DevNull, "get: fetch", os.Interrupt, 130},
		{"get was not, SIGTERM", []string{"get", "shoal1data"}, "FAKE_BLOCK=" + os.DevNull, "get: fetch", syscall.SIGTERM, 143},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, tt.env)
			for i, arg := range tt.args {
				if arg == "DATA" {
					tt.args[i] = w.data()
				}
			}
			c := w.start(tt.args...)
			c.err.await(t, tt.await)
			c.signals <- tt.signal
			c.finish(t, tt.want)
			lock := flock.New(filepath.Join(w.home, "lock"))
			if ok, err := lock.TryLock(); !ok || err != nil {
				t.Fatalf("the home is not free: %v", err)
			}
			_ = lock.Close()
		})
	}
}

func TestSecondSignalExitsAtOnce(t *testing.T) {
	w := newWorld(t)
	c := w.start("run")
	c.err.await(t, "ready")
	c.signals <- os.Interrupt
	c.signals <- syscall.SIGTERM
	select {
	case code := <-c.exits:
		if code != api.ExitTerminated {
			t.Fatalf("exit %d, want 143", code)
		}
		c.finish(t, 0)
	case code := <-c.done: // it drained before the second signal was looked at
		if code != 0 {
			t.Fatalf("exit %d, want 0", code)
		}
	}
}

func TestPanicLeavesACrashFile(t *testing.T) {
	w := newWorld(t)
	c := &command{out: new(bytes.Buffer)}
	var stderr bytes.Buffer
	code := Main(process{name: "node", args: []string{"testnet", "demo"}, environ: w.env, stdin: strings.NewReader(""), stdout: c.out,
		stderr: &stderr, signals: make(chan os.Signal), exit: func(int) {}, version: "test",
		demo: func(context.Context, demoOptions) error { panic("demo broke") }})
	if code != api.ExitBug {
		t.Fatalf("exit %d, want 70: %s", code, stderr.String())
	}
	crashes, _ := filepath.Glob(filepath.Join(w.home, "crash-*.txt"))
	if len(crashes) != 1 || !strings.Contains(stderr.String(), crashes[0]) {
		t.Fatalf("crash files %v, stderr %s", crashes, stderr.String())
	}
	text, err := os.ReadFile(crashes[0])
	if err != nil || !bytes.Contains(text, []byte("demo broke")) {
		t.Fatalf("crash file: %v %s", err, text)
	}
}

func TestDemoGetsItsOptions(t *testing.T) {
	w := newWorld(t)
	var got demoOptions
	code := Main(process{name: "node", args: []string{"testnet", "demo", "--data", w.data(), "--keep", "--json"}, environ: w.env,
		stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, signals: make(chan os.Signal), exit: func(int) {}, version: "test",
		demo: func(_ context.Context, o demoOptions) error { got = o; return nil }})
	if code != 0 || !got.Exit || !got.Keep || !got.JSON || got.Data != w.data() {
		t.Fatalf("exit %d, options %+v", code, got)
	}
}

// A share that is served by another command's node stays, and hosts when that command ends.
func TestShareOutlivesItsHost(t *testing.T) {
	w := newWorld(t, "FAKE_BLOCK="+os.DevNull)
	get := w.start("get", "shoal1data")
	get.err.await(t, "get: fetch")
	share := w.start("share", w.data())
	share.err.await(t, "sharing; Ctrl-C stops")
	get.signals <- os.Interrupt
	get.finish(t, api.ExitInterrupted)
	share.err.await(t, "starting over")
	share.err.await(t, "sharing; Ctrl-C stops")
	share.signals <- os.Interrupt
	share.finish(t, 0)
	if got := share.out.String(); got != "shoal1data\n" {
		t.Errorf("stdout %q, want the ticket once", got)
	}
}

// Ten commands at once on an idle home: one hosts, the others become its clients or hosts after it, all succeed.
func TestManyCommandsAtOnce(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	codes := make([]int, 10)
	for i := range codes {
		all.Go(func() {
			var out, errs bytes.Buffer
			p := process{name: "node", args: []string{"id"}, environ: w.env, stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
				signals: make(chan os.Signal), exit: func(int) {}, version: "test"}
			p.newHost = newFakeHost((&app{process: p}).env)
			codes[i] = Main(p)
			if codes[i] != 0 {
				t.Errorf("command %d: exit %d: %s", i, codes[i], errs.String())
			} else if out.String() != "12D3KooWFake\n" {
				t.Errorf("command %d printed %q", i, out.String())
			}
		})
	}
	all.Wait()
}

func TestHomeLockedBySomebodySilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lock, err := lockHome(w.home)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	start := time.Now()
	var errs bytes.Buffer
	p := process{name: "node", args: []string{"ls"}, environ: w.env, stdin: strings.NewReader(""), stdout: io.Discard, stderr: &errs,
		signals: make(chan os.Signal), exit: func(int) {}, version: "test", newHost: newFakeHost(func(string) string { return "" })}
	if code := Main(p); code != api.ExitStore {
		t.Fatalf("exit %d, want 10", code)
	}
	if took := time.Since(start); took < lockPatience || took > 2*lockPatience {
		t.Errorf("gave up after %v, want about %v", took, lockPatience)
	}
	if want := "process " + pid() + " uses this home"; !strings.Contains(errs.String(), want) {
		t.Errorf("stderr %q does not contain %q", errs.String(), want)
	}
}

func pid() string { return strconv.Itoa(os.Getpid()) }

func TestExplainKeepsEveryErrorAFailure(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
	}{
		{errors.New("x"), 1},
		{usagef("x"), 2},
		{context.DeadlineExceeded, 5},
		{context.Canceled, 130},
		{interrupted{os.Interrupt}, 130},
		{interrupted{syscall.SIGTERM}, 143},
		{errStopped, 143},
		{api.ErrNoNode, 8},
		{api.ErrHostGone, 8},
		{syscall.ENOSPC, 11},
		{os.ErrPermission, 1},
		{errPartial, 3},
		{reported{6}, 6},
		{&lockedError{home: "/h", pid: "12"}, 10},
		{&api.Error{Code: "zero", Title: "no exit code set"}, 1},
	} {
		var out bytes.Buffer
		a := app{process: process{name: "shoal", stdout: io.Discard, stderr: &out}}
		if got := a.report(tt.err); got != tt.code {
			t.Errorf("%v: exit %d, want %d", tt.err, got, tt.code)
		}
		if n := strings.Count(out.String(), "\n"); n > 3 {
			t.Errorf("%v: %d lines", tt.err, n)
		}
	}
}

func TestErrorIsThreeLinesAtMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		a := app{process: process{name: "shoal", stdout: io.Discard, stderr: &out}}
		a.report(&api.Error{ExitCode: 1, Title: rapid.String().Draw(t, "title"), Detail: rapid.String().Draw(t, "detail"), Hint: rapid.String().Draw(t, "hint")})
		if strings.Count(out.String(), "\n") > 3 {
			t.Fatalf("%q", out.String())
		}
		for _, r := range out.String() {
			if r < ' ' && r != '\n' || r == '\u202e' {
				t.Fatalf("control character %U in %q", r, out.String())
			}
		}
	})
}

func TestSockets(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opts   globals
		env    []string
		want   string
		chosen bool
	}{
		{"flag wins", globals{api: "/a.sock", home: "/h"}, []string{"SHOAL_API=/b.sock"}, "/a.sock", true},
		{"--home means its own", globals{home: "/h"}, []string{"SHOAL_API=/b.sock", "XDG_RUNTIME_DIR=/run"}, "/h/api.sock", false},
		{"variable", globals{}, []string{"SHOAL_API=/b.sock", "SHOAL_HOME=/h"}, "/b.sock", true},
		{"runtime folder before the home", globals{}, []string{"XDG_RUNTIME_DIR=/run", "XDG_DATA_HOME=/d"}, "/run/shoal/api.sock /d/shoal/api.sock", false},
		{"a home of one's own", globals{}, []string{"XDG_RUNTIME_DIR=/run", "SHOAL_HOME=/h"}, "/h/api.sock", false},
		{"default", globals{}, []string{"HOME=/me"}, "/me/.local/share/shoal/api.sock", false},
	} {
		a := app{process: process{environ: tt.env}, opts: tt.opts}
		paths, chosen := a.sockets()
		if got := strings.Join(paths, " "); got != tt.want || chosen != tt.chosen {
			t.Errorf("%s: %s %v, want %s %v", tt.name, got, chosen, tt.want, tt.chosen)
		}
	}
}
