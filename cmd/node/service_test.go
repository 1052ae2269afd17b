package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/rogpeppe/go-internal/testscript"
)

// awaitFile is `awaitfile FILE REGEXP`: a line of the file matches, or does within a moment.
func awaitFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: awaitfile FILE REGEXP")
	}
	const patience, every = 20 * time.Second, 10 * time.Millisecond
	want := regexp.MustCompile("(?m)" + args[1])
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	clock := time.NewTicker(every)
	defer clock.Stop()
	for {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && want.Match(text) {
			return
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			ts.Fatalf("%s does not match %s: %v\n%s", args[0], args[1], err, text)
		}
	}
}

// supervise is `supervise FILE`: a service manager listens at $NOTIFY_SOCKET until the script ends, and writes what it is
// told to the file, a line for each assignment.
func supervise(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: supervise FILE")
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: ts.Getenv("NOTIFY_SOCKET"), Net: "unixgram"})
	ts.Check(err)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			_, _ = f.Write(append(buf[:n:n], '\n'))
		}
	}()
	ts.Defer(func() {
		_ = conn.Close()
		<-ended
		_ = f.Close()
	})
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestAdoptHandsSocketsOverByName(t *testing.T) {
	one, two, metrics, other := loopback(t), loopback(t), loopback(t), loopback(t)
	var log bytes.Buffer
	var cfg hostConfig
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	s := supervisor{sockets: func() (map[string][]net.Listener, error) {
		return map[string][]net.Listener{"api": {one, two}, "metrics": {metrics}, "LISTEN_FD_6": {other}}, nil
	}}
	if err := s.adopt(&cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.API.Listener != one || cfg.Metrics.Listener != metrics {
		t.Errorf("api %v, metrics %v", cfg.API.Listener, cfg.Metrics.Listener)
	}
	for _, l := range []net.Listener{two, other} {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v is open: whoever dials it waits for ever", l.Addr())
		}
		if !strings.Contains(log.String(), l.Addr().String()) {
			t.Errorf("nothing is said of %v", l.Addr())
		}
	}
}

// A port that the service manager opened is served by the node that it starts: who dialled it before only waits.
func TestPortOfTheServiceManager(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets are not handed over there")
	}
	w := newWorld(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "shoal") // this test program is a node under that name
	if err := os.Symlink(exe, program); err != nil {
		t.Fatal(err)
	}
	l := loopback(t)
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The variables are for one process alone, whose id they hold.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" run -q`, program)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = append(os.Environ(), append(w.env, "LISTEN_FDS=1", "LISTEN_FDNAMES=metrics", "SHOAL_P2P__LISTEN=/ip4/127.0.0.1/tcp/0",
		"SHOAL_P2P__MDNS=false", "SHOAL_DISCOVERY__DHT=off", "SHOAL_API__LISTEN=off")...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // the child has it still
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := client.Get("http://" + l.Addr().String() + "/metrics")
	if err == nil {
		var body []byte
		if body, err = io.ReadAll(got.Body); err == nil && (got.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("shoal_"))) {
			t.Errorf("%s: %.200s", got.Status, body)
		}
		_ = got.Body.Close()
	}
	if err != nil {
		t.Error(err)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, stderr.String())
	}
}

func TestBeatLeavesRoomForLostOnes(t *testing.T) {
	for _, d := range []time.Duration{time.Second, 10 * time.Second, time.Hour} {
		if b := (supervisor{watchdog: d}).beat(); b > d/3 || b <= 0 {
			t.Errorf("watchdog %v: beat %v", d, b)
		}
	}
	if b := (supervisor{}).beat(); b != tellEvery {
		t.Errorf("no watchdog: beat %v", b)
	}
}

func TestSupervisorThatIsGone(t *testing.T) {
	w := newWorld(t)
	c := w.started(t, supervisor{notify: func(string) error { return errors.New("nobody there") }})
	c.err.await(t, `"msg":"ready"`)
	c.signals <- os.Interrupt
	c.finish(t, 0)
}

// started is `run` with a supervisor.
func (w *world) started(t *testing.T, s supervisor) *command {
	t.Helper()
	c := &command{out: new(bytes.Buffer), err: newLines(), signals: make(chan os.Signal, 2), exits: make(chan int, 1), done: make(chan int, 1)}
	p := process{name: "node", args: []string{"run"}, environ: w.env, stdin: strings.NewReader(""), stdout: io.Discard, stderr: c.err,
		signals: c.signals, exit: func(code int) { c.exits <- code }, version: "test", supervisor: s}
	p.newHost = newFakeHost((&app{process: p}).env)
	go func() {
		code := Main(p)
		_ = c.err.Close()
		c.done <- code
	}()
	return c
}

func TestUnitFiles(t *testing.T) {
	for file, want := range map[string][]string{
		"shoal.service": {"Service Type notify", "Service DynamicUser yes", "Service StateDirectory shoal", "Service ProtectSystem strict",
			"Service Restart on-failure", "Service RestartPreventExitStatus 2", "Unit StartLimitBurst 300", "Service Environment GOTRACEBACK=crash", "Service WatchdogSec 60", "Service NotifyAccess main", "Install WantedBy multi-user.target"},
		"shoal.socket": {"Socket FileDescriptorName api", "Socket ListenStream 127.0.0.1:4580", "Socket Service shoal.service"},
	} {
		text, err := os.ReadFile(filepath.Join("contrib", file))
		if err != nil {
			t.Fatal(err)
		}
		options, err := unit.DeserializeOptions(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		var got []string
		for _, o := range options {
			got = append(got, o.Section+" "+o.Name+" "+o.Value)
		}
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: no %q in %q", file, w, got)
			}
		}
	}
}

func TestContributedFilesNameSettings(t *testing.T) {
	var known []string
	for _, k := range settingKeys() {
		known = append(known, variable(k.name))
	}
	files, err := filepath.Glob(filepath.Join("contrib", "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%q %v", files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range regexp.MustCompile(`SHOAL_[A-Z0-9]+__[A-Z0-9_]+`).FindAllString(string(text), -1) {
			if v != "SHOAL_SECTION__KEY" && !slices.Contains(known, v) {
				t.Errorf("%s: %s is no setting", f, v)
			}
		}
	}
}
