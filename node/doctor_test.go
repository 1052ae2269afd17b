package node

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// sound is a machine on which nothing is wrong.
func sound() machine {
	return machine{
		now:    func() time.Time { return time.Date(2040, 1, 2, 3, 4, 5, 0, time.UTC) },
		free:   func(string) (int64, error) { return 100 << 30, nil },
		files:  func() (uint64, error) { return 1 << 20, nil },
		sysctl: func(string) (uint64, error) { return 8 << 20, nil },
		listen: func(context.Context, string, string) error { return nil },
		dial:   func(context.Context, string, string) error { return nil },
	}
}

const (
	upAddr   = "/ip4/192.0.2.1/tcp/4581/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
	awayAddr = "/ip4/192.0.2.2/tcp/4581/p2p/12D3KooWHdiAxVd8uMQR1hGWXccidmfCwLqcMpGwR6QcTP6QRMuD"
	quicAddr = "/ip4/192.0.2.3/udp/4581/quic-v1/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"
)

func TestDoctorNamesWhatIsWrong(t *testing.T) {
	now := sound().now()
	file := func(name, text string, mode os.FileMode) func(*testing.T, *exam) {
		return func(t *testing.T, e *exam) {
			path := filepath.Join(e.cfg.Home, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		breaks func(*testing.T, *exam)
		check  string // the one that is not ok
		state  string
		says   string
	}{
		"home is a file": {func(t *testing.T, e *exam) {
			e.cfg.Home = filepath.Join(e.cfg.Home, "f")
			_ = os.WriteFile(e.cfg.Home, nil, 0o600)
		}, "home", api.CheckFail, "not a folder"},
		"home is open":         {func(t *testing.T, e *exam) { _ = os.Chmod(e.cfg.Home, 0o755) }, "permissions", api.CheckWarn, "chmod 700"},
		"key is open":          {file("identity.key", "x", 0o644), "keys", api.CheckFail, "chmod 600"},
		"key is damaged":       {file("owner.key", "x", 0o600), "keys", api.CheckFail, "from a copy"},
		"home is newer":        {file("format", "2\n", 0o600), "version", api.CheckFail, "update this program"},
		"version is no number": {file("format", "x", 0o600), "version", api.CheckFail, "not a number"},
		"disk is full":         {func(_ *testing.T, e *exam) { e.m.free = func(string) (int64, error) { return 1 << 20, nil } }, "disk", api.CheckFail, "something else"},
		"reserve is reached":   {func(_ *testing.T, e *exam) { e.m.free = func(string) (int64, error) { return 70 << 20, nil } }, "disk", api.CheckFail, "gives back"},
		"disk is nearly full":  {func(_ *testing.T, e *exam) { e.m.free = func(string) (int64, error) { return 1 << 30, nil } }, "disk", api.CheckWarn, "gc"},
		"clock was never set":  {func(_ *testing.T, e *exam) { e.m.now = func() time.Time { return time.Unix(0, 0) } }, "clock", api.CheckFail, "1970"},
		"clock went back": {func(t *testing.T, e *exam) {
			file("peers.json", "{}", 0o600)(t, e)
			_ = os.Chtimes(filepath.Join(e.cfg.Home, "peers.json"), now, now.Add(time.Hour))
		}, "clock", api.CheckFail, "1h0m0s"},
		"port is taken": {func(_ *testing.T, e *exam) {
			e.m.listen = func(_ context.Context, network, _ string) error {
				if network == "tcp4" {
					return syscall.EADDRINUSE
				}
				return nil
			}
		}, "ports", api.CheckWarn, "/ip4/0.0.0.0/tcp/4581"},
		"address to listen on": {func(_ *testing.T, e *exam) { e.cfg.Listen = []string{"nonsense"} }, "ports", api.CheckFail, "nonsense"},
		"small buffers":        {func(_ *testing.T, e *exam) { e.m.sysctl = func(string) (uint64, error) { return 212992, nil } }, "udp buffer", api.CheckWarn, "sysctl -w net.core.rmem_max"},
		"few files":            {func(_ *testing.T, e *exam) { e.m.files = func() (uint64, error) { return 1024, nil } }, "open files", api.CheckWarn, "LimitNOFILE=8192"},
		"few watches": {func(t *testing.T, e *exam) {
			watched(t, e)
			e.m.sysctl = func(name string) (uint64, error) {
				if strings.HasPrefix(name, "fs/") {
					return 1, nil
				}
				return 8 << 20, nil
			}
		}, "watches", api.CheckWarn, "max_user_watches=524288"},
		"a record is damaged": {func(t *testing.T, e *exam) {
			file(filepath.Join("records", "x.json"), "{", 0o600)(t, e)
		}, "sets", api.CheckFail, "x.json"},
		"disk does not say": {func(_ *testing.T, e *exam) {
			e.m.free = func(string) (int64, error) { return 0, errors.New("no such call") }
		}, "disk", api.CheckWarn, "df "},
		"jobs are damaged":        {file("jobs.json", "{", 0o600), "watches", api.CheckFail, "jobs.json"},
		"no bootstrap":            {func(_ *testing.T, e *exam) { e.cfg.Bootstrap = nil }, "bootstrap", api.CheckWarn, "config set p2p.bootstrap"},
		"bad bootstrap":           {func(_ *testing.T, e *exam) { e.cfg.Bootstrap = []string{"x"} }, "bootstrap", api.CheckFail, "an address looks like"},
		"bootstrap is away":       {func(_ *testing.T, e *exam) { e.cfg.Bootstrap = []string{awayAddr} }, "bootstrap", api.CheckFail, "none of 1 peer"},
		"one bootstrap is away":   {func(_ *testing.T, e *exam) { e.cfg.Bootstrap = []string{upAddr, awayAddr, quicAddr} }, "bootstrap", api.CheckWarn, "1 of 3 peers reached"},
		"bootstrap over UDP only": {func(_ *testing.T, e *exam) { e.cfg.Bootstrap = []string{quicAddr} }, "bootstrap", api.CheckSkipped, "a running node"},
	} {
		t.Run(name, func(t *testing.T) {
			e := healthy(t)
			c.breaks(t, e)
			res := e.run(t.Context())
			for _, check := range res.Checks {
				if check.Detail == "" || check.Name != c.check && check.State == api.CheckFail {
					t.Errorf("%+v", check)
				}
				if bad := check.State == api.CheckFail || check.State == api.CheckWarn; bad != (check.Hint != "") {
					t.Errorf("%+v: nothing to do, or too much", check)
				}
				if check.Name == c.check && (check.State != c.state || !strings.Contains(check.Detail+check.Hint, c.says)) {
					t.Errorf("%+v, want %s and %q", check, c.state, c.says)
				}
			}
			if res.OK != (c.state != api.CheckFail) {
				t.Errorf("ok is %v", res.OK)
			}
		})
	}
}

// healthy is an exam that finds nothing.
func healthy(t *testing.T) *exam {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	e := &exam{cfg: Config{Home: dir, Bootstrap: []string{upAddr}}, m: sound(), sets: asleep(dir)}
	e.m.dial = func(_ context.Context, network, address string) error {
		if network != "tcp4" || address != "192.0.2.1:4581" {
			return errors.New("no answer")
		}
		return nil
	}
	return e
}

// watched gives the home a set that is watched, of two folders.
func watched(t *testing.T, e *exam) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(wishes{Watch: map[string]watchWish{"set": {Path: dir}}})
	if err == nil {
		err = os.WriteFile(filepath.Join(e.cfg.Home, "jobs.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The JSON of an examination that finds nothing; members are only ever added.
func TestDoctorJSON(t *testing.T) {
	e := healthy(t)
	watched(t, e)
	b, err := json.MarshalIndent(e.run(t.Context()), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(string(b), e.cfg.Home, "HOME") + "\n"
	golden := filepath.Join("testdata", "doctor.json")
	if os.Getenv("UPDATE_SCRIPTS") != "" {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got != string(want) {
		t.Errorf("%v\n%s", err, got)
	}
	if left, err := os.ReadDir(e.cfg.Home); err != nil || len(left) != 1 {
		t.Errorf("an examination left %v, %v", left, err)
	}
}

// A node that runs is asked what it sees: here a bootstrap node that is up and one that is away.
func TestDoctorOfARunningNode(t *testing.T) {
	t.Parallel()
	up, away := start(t, t.TempDir()), start(t, t.TempDir())
	addr := away.addr()
	away.stop()
	n := start(t, t.TempDir(), up.addr(), addr)
	res, err := n.Doctor(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range res.Checks {
		switch c.Name {
		case "ports":
			if c.State != api.CheckOK || !strings.Contains(c.Detail, "listening on /ip4/127.0.0.1/tcp/") {
				t.Errorf("%+v", c)
			}
		case "bootstrap":
			if c.State != api.CheckWarn || !strings.Contains(c.Detail, "1 of 2 peers reached") || !strings.Contains(c.Detail, "refused") {
				t.Errorf("%+v", c)
			}
		case "keys":
			if c.State != api.CheckOK || !strings.Contains(c.Detail, "identity.key") {
				t.Errorf("%+v", c)
			}
		}
	}
}

// This machine has answers, whatever they are, and nothing is made in a home that is not there.
func TestExamine(t *testing.T) {
	home := filepath.Join(t.TempDir(), "none")
	res := Examine(within(t), Config{Home: home, Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}})
	if len(res.Checks) != 12 || !res.OK {
		t.Errorf("%+v", res)
	}
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the home was made: %v", err)
	}
}
