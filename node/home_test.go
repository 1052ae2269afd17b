package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/badgerstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/record"
)

func TestExplain(t *testing.T) {
	for _, x := range []struct {
		err  error
		code string
		exit int
	}{
		{record.ErrBadTicket, "bad_ticket", 2},
		{replica.ErrAmbiguous, "ambiguous", 2},
		{replica.ErrUnknownSet, "unknown_set", 4},
		{replica.ErrNobody, "no_providers", 4},
		{blockstore.ErrNotFound, "incomplete", 4},
		{fs.ErrNotExist, "no_such_path", 4},
		{replica.ErrNoPeers, "no_peers", 5},
		{replica.ErrTimeout, "timeout", 5},
		{replica.ErrForged, "forged_records", 6},
		{replica.ErrDamaged, "damaged", 6},
		{dag.ErrLimit, "over_limit", 6},
		{dag.ErrMalformed, "malformed", 6},
		{blockstore.ErrCorrupt, "corrupt", 6},
		{replica.ErrInUse, "in_use", 7},
		{replica.ErrBusy, "busy", 7},
		{&worktree.ConflictError{Paths: []string{"a"}}, "conflict", 7},
		{&worktree.ConflictError{Beside: []string{"a"}}, "conflict", 7},
		{replica.ErrOffline, "offline", 8},
		{replica.ErrNewerFormat, "newer_home", 10},
		{errNewerHome, "newer_home", 10},
		{errOpenKey, "open_key", 10},
		{badgerstore.ErrLocked, "store_locked", 10},
		{badgerstore.ErrDamaged, "store_damaged", 10},
		{replica.ErrTooBig, "too_big", 11},
		{blockstore.ErrNoSpace, "no_space", 11},
		{worktree.ErrNotWritable, "not_writable", 1},
		{fs.ErrPermission, "permission", 1},
		{errors.New("something else"), "failed", 1},
		// The cause that people can do something about wins.
		{fmt.Errorf("%w: %w", replica.ErrForged, record.ErrMalformed), "forged_records", 6},
		{fmt.Errorf("%w: %w", blockstore.ErrNoSpace, fs.ErrPermission), "no_space", 11},
		{fmt.Errorf("%w: %w", worktree.ErrNotWritable, fs.ErrNotExist), "not_writable", 1},
	} {
		var e *api.Error
		wrapped := fmt.Errorf("outer: %w", x.err)
		if !errors.As(explain(wrapped), &e) {
			t.Errorf("%v is not explained", x.err)
			continue
		}
		if e.Code != x.code || e.ExitCode != x.exit || e.Title == "" || e.Detail != wrapped.Error() || (e.Hint == "" && e.Code != "failed") {
			t.Errorf("%v: %+v, want %s, exit %d", x.err, e, x.code, x.exit)
		}
		if again := explain(fmt.Errorf("again: %w", e)); again != error(e) {
			t.Errorf("%v explained twice is %v", x.err, again)
		}
	}
	over, beside := explain(&worktree.ConflictError{Paths: []string{"a"}, Beside: []string{"b"}}).(*api.Error), explain(&worktree.ConflictError{Beside: []string{"b"}}).(*api.Error)
	if over.Title == beside.Title || strings.Contains(beside.Hint, "overwrite") || !strings.Contains(over.Detail, `"a"; `) || !strings.Contains(over.Detail, `not to be overwritten: "b"`) {
		t.Errorf("%+v, and where nothing would be overwritten %+v", over, beside)
	}
	if explain(nil) != nil || !errors.Is(explain(context.Canceled), context.Canceled) {
		t.Error("nil and cancellation are not for explaining")
	}
}

func TestHomeIsChecked(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name, file, content string
		mode                os.FileMode
		code                string
	}{
		{"newer format", "format", "2\n", 0o600, "newer_home"},
		{"format that is no number", "format", "new", 0o600, "newer_home"},
		{"identity others can read", "identity.key", "", 0o644, "open_key"},
		{"identity the group can read", "identity.key", "", 0o640, "open_key"},
		{"owner key others can read", "owner.key", "", 0o604, "open_key"},
		{"newer records", "records/x.json", `{"format": 99}`, 0o600, "newer_home"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			home := filepath.Join(t.TempDir(), "home")
			n, err := New(Config{Home: home, Offline: true, Reserve: 1})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.ownerKey(); err != nil {
				t.Fatal(err)
			}
			self := n.self
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(home, x.file)
			if x.content != "" {
				err = os.WriteFile(path, []byte(x.content), x.mode)
			} else {
				err = os.Chmod(path, x.mode)
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first refusal must have let the store go
				_, err = New(Config{Home: home, Offline: true, Reserve: 1})
				var e *api.Error
				if !errors.As(err, &e) || e.Code != x.code || e.ExitCode != api.ExitStore {
					t.Errorf("got %v, want %s", err, x.code)
				}
			}
			if x.content != "" {
				return
			}
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			n, err = New(Config{Home: home, Offline: true, Reserve: 1})
			if err != nil {
				t.Fatal(err)
			}
			if n.self != self {
				t.Error("the identity changed")
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestNewHomeIsPrivate(t *testing.T) {
	t.Parallel()
	home := filepath.Join(t.TempDir(), "a", "home")
	n, err := New(Config{Home: home, Offline: true, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.ownerKey(); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for name, want := range map[string]os.FileMode{".": 0o700, "records": 0o700, "identity.key": 0o600, "owner.key": 0o600, "format": 0o600} {
		st, err := os.Stat(filepath.Join(home, name))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %04o, want %04o", name, st.Mode().Perm(), want)
		}
	}
}

func TestHomeDir(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"/x":                    {"SHOAL_HOME": "/x", "XDG_DATA_HOME": "/y", "HOME": "/z"},
		"/y/shoal":              {"XDG_DATA_HOME": "/y", "HOME": "/z"},
		"/z/.local/share/shoal": {"HOME": "/z"},
	} {
		if got := HomeDir(func(k string) string { return env[k] }); got != want {
			t.Errorf("%v: %s, want %s", env, got, want)
		}
	}
}
