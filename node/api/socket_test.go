package api

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDialNobody(t *testing.T) {
	dir := shortDir(t)
	silent := filepath.Join(dir, "silent") // accepts and never answers
	l, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dead := filepath.Join(dir, "dead") // a socket whose process was killed
	d, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	d.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = d.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{silent, dead, file, filepath.Join(dir, "missing")} {
		begin := time.Now()
		if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNoNode) {
			t.Errorf("%s: %v, want ErrNoNode", path, err)
		}
		if took := time.Since(begin); took > 2*dialPatience {
			t.Errorf("%s: took %v", path, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, silent); !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoNode) {
		t.Errorf("cancelled: %v", err)
	}
	// Listening again replaces what a dead process left, and nothing that is no socket.
	l2, err := ListenAt(dead)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dead); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v, want 0600", st.Mode(), err)
	}
	_ = l2.Close()
	if _, err := ListenAt(file); err == nil {
		t.Error("a plain file was replaced by a socket")
	}
}

func TestLongHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(home)
	if err != nil {
		t.Fatal(err)
	}
	path := SocketPath(home)
	if len(path) > maxSunPath || l.Addr().String() != path {
		t.Errorf("socket %s, listening at %s", path, l.Addr())
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("its folder: %v %v", st.Mode(), err)
	}
	b, err := os.ReadFile(filepath.Join(home, "api.json"))
	if err != nil || !bytes.Contains(b, []byte(path)) {
		t.Errorf("api.json: %s %v", b, err)
	}
	_ = l.Close()

	short := shortDir(t)
	if err := os.WriteFile(filepath.Join(short, "api.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if SocketPath(short) != path {
		t.Error("api.json is not followed")
	}
	l, err = Listen(short) // the home was moved to a shorter place
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := SocketPath(short); got != filepath.Join(short, "api.sock") {
		t.Errorf("socket %s", got)
	}
}

func TestSocketIsAlwaysShortEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		home := "/" + rapid.StringMatching(`[a-zé/]{0,300}`).Draw(t, "home")
		tmp := "/" + rapid.StringMatching(`[a-z/]{0,200}`).Draw(t, "tmp")
		path := chooseSocket(home, tmp, rapid.IntRange(0, 1<<31-1).Draw(t, "uid"))
		if len(path) > maxSunPath {
			t.Fatalf("%d bytes: %s", len(path), path)
		}
		if want := filepath.Join(home, "api.sock"); len(want) <= maxSunPath && path != want {
			t.Fatalf("%s, want %s", path, want)
		}
	})
}

func TestPrivateFolder(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := privateFolder(open); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(open); st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", st.Mode())
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(open, link); err != nil {
		t.Skip(err)
	}
	if err := privateFolder(link); err == nil {
		t.Error("a symlink was accepted")
	}
}
