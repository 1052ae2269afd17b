package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/node/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is the upper bound of everything a test waits for.
const limit = 30 * time.Second

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// running is a node that runs.
type running struct {
	*Node
	t      testing.TB
	cancel context.CancelFunc
	ended  chan error
}

// start runs a node of a home until stop or the end of the test.
func start(t testing.TB, home string, bootstrap ...string) *running {
	t.Helper()
	n, err := New(Config{Home: home, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Bootstrap: bootstrap, Reserve: 1, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return run(t, n)
}

func run(t testing.TB, n *Node) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{Node: n, t: t, cancel: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- n.Run(ctx) }()
	t.Cleanup(func() { cancel(); r.stop() })
	select {
	case <-n.Ready():
	case err := <-r.ended:
		r.ended = nil
		t.Fatalf("run: %v", err)
	case <-within(t).Done():
		t.Fatal("the node does not get ready")
	}
	return r
}

// stop ends the node as a signal does and waits for it.
func (r *running) stop() {
	r.t.Helper()
	if r.ended == nil {
		return
	}
	r.cancel()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("run: %v", err)
		}
	case <-time.After(limit):
		r.t.Error("the node does not end")
	}
	r.ended = nil
}

func (r *running) addr() string {
	r.t.Helper()
	st, err := r.Status(within(r.t))
	if err != nil || len(st.Listen) == 0 {
		r.t.Fatalf("status: %v, listens on %v", err, st.Listen)
	}
	return st.Listen[0]
}

func quiet(api.Progress) {}

func newFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	for i := range 10 {
		write(t, filepath.Join(dir, "sub", fmt.Sprint(i)), 1000*i)
	}
	write(t, filepath.Join(dir, "large"), 2<<20)
	return dir
}

func write(t testing.TB, path string, size int) {
	t.Helper()
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func sameFolder(t *testing.T, want, got string) {
	t.Helper()
	read := func(dir string) map[string]string {
		all := map[string]string{}
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			rel, _ := filepath.Rel(dir, path)
			all[rel] = string(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	a, b := read(want), read(got)
	if len(a) != len(b) {
		t.Errorf("%d files, want %d", len(b), len(a))
	}
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("%s differs", name)
		}
	}
}

func (r *running) share(dir string) api.ShareResult {
	r.t.Helper()
	res, err := r.Share(within(r.t), api.ShareRequest{Path: dir}, quiet)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// Publisher and getter know nothing but a third node, and the getter only the set id.
func TestGetBySetIDThroughAThirdNode(t *testing.T) {
	t.Parallel()
	third := start(t, t.TempDir())
	home := t.TempDir()
	publisher, getter := start(t, home, third.addr()), start(t, t.TempDir(), third.addr())
	dir := newFolder(t)
	shared := publisher.share(dir)
	began := time.Now()
	get := func(n *running, dest string) api.GetResult {
		res, err := n.Get(within(t), api.GetRequest{Ticket: shared.Set, Dest: dest}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	dest := filepath.Join(t.TempDir(), "dest")
	res := get(getter, dest)
	t.Logf("found and fetched %v after the share", time.Since(began))
	sameFolder(t, dir, dest)
	if res.BytesFetched != shared.Bytes || res.BytesReused != 0 || res.BytesTotal != shared.Bytes || res.Sources != 1 ||
		res.Root != shared.Root || res.WireIn < shared.Bytes || res.WireIn > shared.Bytes*11/10 || res.Name != "data" {
		t.Errorf("get %+v of %+v", res, shared)
	}

	// Once more after a restart of the publisher, whose port is another one then: it shares on by itself.
	getter.stop()
	publisher.stop()
	publisher = start(t, home, third.addr())
	again := filepath.Join(t.TempDir(), "again")
	get(start(t, t.TempDir(), third.addr()), again)
	sameFolder(t, dir, again)
	if res := publisher.share(dir); res.Revision != 1 || res.BytesNew != 0 || res.Set != shared.Set {
		t.Errorf("shared again after the restart: %+v", res)
	}
}

func TestServiceAnswers(t *testing.T) {
	t.Parallel()
	a := start(t, t.TempDir())
	b := start(t, t.TempDir())
	dir := newFolder(t)
	shared := a.share(dir)
	dest := filepath.Join(t.TempDir(), "dest")
	if _, err := b.Get(within(t), api.GetRequest{Ticket: shared.Ticket, Dest: dest}, quiet); err != nil {
		t.Fatal(err)
	}
	ctx := within(t)

	st, err := b.Status(ctx)
	if err != nil || len(st.Sets) != 1 || len(st.Peers) != 1 || st.Owner != "" || st.WireIn < shared.Bytes || st.DiskBytes == 0 {
		t.Errorf("status (%v): %+v", err, st)
	}
	if st.Peers[0].PeerID != a.self.String() || st.Peers[0].Transport != "tcp" || st.Peers[0].Agent != "shoal/test" || st.Peers[0].Role != "seeder" {
		t.Errorf("the other: %+v", st.Peers[0])
	}
	for _, x := range []struct {
		n               *running
		role, state, at string
		owner           bool
	}{{a, "primary", "shared", dir, true}, {b, "reader", "complete", dest, false}} {
		i, err := x.n.Show(ctx, shared.Set[:14])
		if err != nil || i.Role != x.role || i.State != x.state || i.Dir != x.at || i.Owner != x.owner || !i.Public ||
			i.Revision != 1 || i.Root != shared.Root || i.Files != 11 || i.Bytes != uint64(shared.Bytes) || i.Ticket == "" {
			t.Errorf("show (%v): %+v", err, i)
		}
	}
	if i, _ := a.Show(ctx, "data"); i.Holders != 2 {
		t.Errorf("the author knows %d holders, want 2", i.Holders)
	}

	sets, err := b.Ls(ctx, api.LsRequest{})
	if err != nil || len(sets.Sets) != 1 || sets.Sets[0].Name != "data" {
		t.Errorf("ls (%v): %+v", err, sets)
	}
	for path, want := range map[string]string{"": "large sub", "/": "large sub", "sub": "sub/0 sub/1 sub/2 sub/3 sub/4 sub/5 sub/6 sub/7 sub/8 sub/9",
		"sub/": "sub/0 sub/1 sub/2 sub/3 sub/4 sub/5 sub/6 sub/7 sub/8 sub/9", "sub/3": "sub/3", "../large": "large"} {
		res, err := b.Ls(ctx, api.LsRequest{Set: "data", Path: path})
		var names []string
		for _, e := range res.Entries {
			names = append(names, e.Path)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("ls data %q (%v): %s, want %s", path, err, got, want)
		}
	}
	_, err = b.Ls(ctx, api.LsRequest{Set: "data", Path: "none"})
	wantExit(t, "ls of nothing", err, api.ExitNotFound)

	rot(t, filepath.Join(dest, "sub/4"))
	v, err := b.Verify(ctx, api.VerifyRequest{Set: "data"}, quiet)
	if err != nil || v.Damaged != 1 || !slices.Equal(v.Files, []string{"sub/4"}) {
		t.Errorf("verify (%v): %+v", err, v)
	}
	v, err = b.Verify(ctx, api.VerifyRequest{Set: "data", Heal: true}, quiet)
	if err != nil || v.Healed != 1 || v.Damaged != 1 || len(v.Files) > 0 {
		t.Errorf("heal (%v): %+v", err, v)
	}
	sameFolder(t, dir, dest)

	work := filepath.Join(dest, "sub/5")
	before, err := os.ReadFile(work)
	if err != nil {
		t.Fatal(err)
	}
	write(t, work, 4000)
	mine, err := os.ReadFile(work)
	if err != nil {
		t.Fatal(err)
	}
	v, err = b.Verify(ctx, api.VerifyRequest{Set: "data", Heal: true}, quiet)
	if err != nil || v.Healed != 0 || len(v.Skipped) != 1 || v.Skipped[0].Path != "sub/5" {
		t.Errorf("heal of an edited file (%v): %+v", err, v)
	}
	if now, err := os.ReadFile(work); err != nil || !bytes.Equal(now, mine) || bytes.Equal(mine, before) {
		t.Errorf("heal touched a file that was edited: %v", err)
	}
	if err := os.Remove(work); err != nil {
		t.Fatal(err)
	}
	if v, err = b.Verify(ctx, api.VerifyRequest{Set: "data", Heal: true}, quiet); err != nil || v.Healed != 1 {
		t.Errorf("heal of a missing file (%v): %+v", err, v)
	}
	sameFolder(t, dir, dest)
	if g, err := b.GC(ctx); err != nil || g.DiskBytes == 0 {
		t.Errorf("gc (%v): %+v", err, g)
	}
	if v, err := b.Verify(ctx, api.VerifyRequest{Set: "data"}, quiet); err != nil || v.Damaged != 0 {
		t.Errorf("verify after gc (%v): %+v", err, v)
	}
	if r, err := b.Rm(ctx, api.RmRequest{Set: "data", Files: true}); err != nil || r.FilesRemoved != 11 || r.Set != shared.Set {
		t.Errorf("rm (%v): %+v", err, r)
	}
	if _, err := os.Stat(dest); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
	if g, err := b.GC(ctx); err != nil {
		t.Errorf("gc (%v): %+v", err, g)
	}
	_, err = b.Show(ctx, "data")
	wantExit(t, "show of what was removed", err, api.ExitNotFound)
	_, err = a.Rm(ctx, api.RmRequest{Set: "data", Files: true})
	wantExit(t, "rm of the author's files", err, api.ExitConflict)
}

func wantExit(t *testing.T, what string, err error, exit int) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.ExitCode != exit {
		t.Errorf("%s: %v, want exit %d", what, err, exit)
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	n, err := New(Config{Home: t.TempDir(), Offline: true, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	r, ctx := run(t, n), within(t)
	dir := newFolder(t)
	shared := r.share(dir)
	pipe := filepath.Join(t.TempDir(), "socket")
	if err := os.Symlink("/dev/null", pipe); err != nil {
		t.Fatal(err)
	}
	share := func(path, name, set string) error {
		_, err := r.Share(ctx, api.ShareRequest{Path: path, Name: name, Set: set}, quiet)
		return err
	}
	get := func(q api.GetRequest) error { _, err := r.Get(ctx, q, quiet); return err }
	none := "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy"
	for what, x := range map[string]struct {
		err  error
		exit int
	}{
		"relative path":     {share("data", "", ""), api.ExitUsage},
		"no such path":      {share(filepath.Join(dir, "none"), "", ""), api.ExitNotFound},
		"neither of both":   {share(pipe, "", ""), api.ExitUsage},
		"bad name":          {share(dir, "a/b", ""), api.ExitUsage},
		"no such set":       {share(dir, "", "none"), api.ExitNotFound},
		"bad ticket":        {get(api.GetRequest{Ticket: "shoal1nonsense", Dest: dir}), api.ExitUsage},
		"no ticket at all":  {get(api.GetRequest{Dest: dir}), api.ExitUsage},
		"bad timeout":       {get(api.GetRequest{Ticket: shared.Set, Dest: dir, Timeout: "soon"}), api.ExitUsage},
		"relative dest":     {get(api.GetRequest{Ticket: shared.Set, Dest: "data"}), api.ExitUsage},
		"offline":           {get(api.GetRequest{Ticket: none, Dest: dir}), api.ExitNeedsNode},
		"verify of nothing": {func() error { _, err := r.Verify(ctx, api.VerifyRequest{Set: none}, quiet); return err }(), api.ExitNotFound},
		"ls of nothing":     {func() error { _, err := r.Ls(ctx, api.LsRequest{Set: "none"}); return err }(), api.ExitNotFound},
	} {
		wantExit(t, what, x.err, x.exit)
	}
	// A single file is a set, too.
	one := r.share(filepath.Join(dir, "large"))
	if one.Files != 1 || one.Name != "large" || one.Set == shared.Set {
		t.Errorf("a file shared: %+v", one)
	}
	if again := r.share(dir); again.BytesNew != 0 || again.Revision != 1 {
		t.Errorf("the folder after that: %+v", again)
	}
	if i, err := r.Show(ctx, "large"); err != nil || i.Dir != filepath.Join(dir, "large") {
		t.Errorf("show (%v): %+v", err, i)
	}
	_, err = New(Config{Home: n.cfg.Home, Offline: true, Reserve: 1})
	wantExit(t, "a home in use", err, api.ExitStore)
	bad, err := New(Config{Home: t.TempDir(), Bootstrap: []string{"nowhere"}, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	wantExit(t, "bad bootstrap", bad.Run(ctx), api.ExitUsage)
}

// rot changes a byte of a file and nothing else that an editor would change.
func rot(t *testing.T, path string) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
}
