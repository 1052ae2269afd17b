package testnet

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// hear listens to a node until the test ends.
func hear(t *testing.T, p *running) *ear {
	t.Helper()
	e, err := listen(testContext(t), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

func share(t *testing.T, p *running, q api.ShareRequest) api.ShareResult {
	t.Helper()
	r, err := p.client.Share(testContext(t), q, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func publish(t *testing.T, p *running, dir string) api.PublishResult {
	t.Helper()
	r, err := p.client.Publish(testContext(t), api.PublishRequest{Target: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// follow hands a set over to a node and waits until its folder holds a revision.
func follow(t *testing.T, p *running, q api.FollowRequest, revision uint64) *ear {
	t.Helper()
	e := hear(t, p)
	r, err := p.client.Follow(testContext(t), q, nil)
	if err != nil {
		t.Fatal(err)
	}
	await(t, e, r.Set, revision)
	return e
}

func await(t *testing.T, e *ear, set string, revision uint64) api.GetResult {
	t.Helper()
	r, err := e.complete(testContext(t), set, revision)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// caughtUp waits until a node that has just started holds a revision, also if it did before it was asked.
func caughtUp(t *testing.T, p *running, set string, revision uint64) {
	t.Helper()
	e := hear(t, p)
	info, err := p.client.Show(testContext(t), set)
	if err != nil {
		t.Fatal(err)
	}
	if info.Revision < revision || info.State != "complete" {
		await(t, e, set, revision)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// What the author publishes is in the follower's folder moments later, and then its command runs there.
func TestFollowPublishHook(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the command is for sh")
	}
	s := newSwarm(t)
	author, reader := s.node("author"), s.node("reader")
	data, dest, log := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "copy"), filepath.Join(s.dir, "hook.log")
	writeFiles(t, data, map[string]int{"large": 4 << 20, "old/name": 200_000, "gone": 10})
	shared := share(t, author, api.ShareRequest{Path: data})
	e := follow(t, reader, api.FollowRequest{Ticket: shared.Ticket, Dest: dest,
		Exec: fmt.Sprintf(`echo "$SHOAL_PREVIOUS-$SHOAL_REVISION $SHOAL_NAME $(echo *)" >> '%s'`, log)}, 1)

	b := noise("large", 4<<20)
	copy(b[1<<20:], noise("fresh", 4<<10))
	write(t, filepath.Join(data, "large"), b)
	if err := os.Rename(filepath.Join(data, "old"), filepath.Join(data, "new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(data, "gone")); err != nil {
		t.Fatal(err)
	}
	second := publish(t, author, data)
	if !second.Changed || second.Revision != 2 {
		t.Fatalf("published %+v", second)
	}
	seen := map[string]api.Event{}
	for seen[api.EventComplete].Kind == "" || seen[api.EventHook].Kind == "" {
		ev, err := e.until(testContext(t), func(ev api.Event) bool { return ev.Revision == 2 })
		if err != nil {
			t.Fatal(err)
		}
		seen[ev.Kind] = ev
	}
	if detail := seen[api.EventHook].Detail; detail != "" {
		t.Fatalf("the command failed: %s", detail)
	}
	sameTree(t, data, dest)
	got := seen[api.EventComplete].Result
	if sent := got.WireIn + got.WireOut; sent > 100_000 { // all that is new is 4 KiB
		t.Errorf("%d bytes on the wire: %+v", sent, got)
	}
	lines, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if want := "0-1 data gone large old\n1-2 data large new\n"; string(lines) != want {
		t.Fatalf("the command wrote %q, want %q", lines, want)
	}
	if again := publish(t, author, data); again.Changed || again.Revision != 2 {
		t.Fatalf("unchanged, but published %+v", again)
	}
}

// A follower that was away when two revisions were published has the newest once it runs again.
func TestFollowerCatchesUp(t *testing.T) {
	s := newSwarm(t)
	author, reader := s.node("author"), s.node("reader")
	data, dest := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "copy")
	writeFiles(t, data, map[string]int{"a": 1 << 20, "b": 100})
	shared := share(t, author, api.ShareRequest{Path: data})
	follow(t, reader, api.FollowRequest{Ticket: shared.Ticket, Dest: dest}, 1)
	reader.Kill()
	for i := range 2 {
		writeFiles(t, data, map[string]int{fmt.Sprintf("added-%d", i): 1000})
		publish(t, author, data)
	}
	reader = s.node("reader")
	caughtUp(t, reader, shared.Set, 3)
	sameTree(t, data, dest)
	h, err := reader.client.History(testContext(t), api.HistoryRequest{Set: shared.Set, Verify: true})
	if err != nil || len(h.Revisions) != 3 {
		t.Fatalf("history %+v: %v", h, err)
	}
}

// A follower that is killed with SIGKILL in the middle of an update has only files that are old or new, and
// when it runs again its folder becomes the author's.
func TestKilledFollowerGoesOn(t *testing.T) {
	s := newSwarm(t)
	// 36 MB: the first files are put in place when the first 16 MiB have come, the last a third of a second later.
	const files, size = 60, 600_000
	author, reader := s.node("author", "--up", "60MB/s"), s.node("reader")
	data, dest := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "copy")
	old := map[string]int{}
	for i := range files {
		old[fmt.Sprintf("f%02d", i)] = size
	}
	writeFiles(t, data, old)
	shared := share(t, author, api.ShareRequest{Path: data})
	follow(t, reader, api.FollowRequest{Ticket: shared.Ticket, Dest: dest}, 1)

	for name := range old { // every file gets other content, and so all of it has to be sent
		write(t, filepath.Join(data, name), noise("second "+name, size))
	}
	publish(t, author, data)
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	ctx := testContext(t)
	for renewed(t, dest, "second ") == 0 {
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatal("the update never got anywhere")
		}
	}
	reader.Kill()
	half := renewed(t, dest, "second ")
	for name := range old { // also when a slow machine let it become complete
		b, err := os.ReadFile(filepath.Join(dest, name))
		if err != nil || !bytes.Equal(b, noise(name, size)) && !bytes.Equal(b, noise("second "+name, size)) {
			t.Fatalf("%s is neither old nor new after the kill: %v", name, err)
		}
	}
	t.Logf("killed when %d of %d files were new", half, files)
	reader = s.node("reader")
	caughtUp(t, reader, shared.Set, 2)
	sameTree(t, data, dest)
}

// renewed counts the files below dir whose first bytes are those of noise(prefix+name).
func renewed(t *testing.T, dir, prefix string) (n int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type()&fs.ModeType != 0 {
			continue
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // it is just being replaced
		}
		var first [16]byte
		_, err = f.Read(first[:])
		f.Close()
		if err == nil && bytes.Equal(first[:], noise(prefix+e.Name(), len(first))) {
			n++
		}
	}
	return n
}

// `share --watch` goes on after the node was killed: what changed meanwhile is published at once, what
// changes later when it has come to rest.
func TestWatchedShareResumes(t *testing.T) {
	s := newSwarm(t)
	s.node("boot")
	author, reader := s.node("author"), s.node("reader")
	data, dest := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "copy")
	writeFiles(t, data, map[string]int{"a": 100_000, "sub/b": 100})
	shared := share(t, author, api.ShareRequest{Path: data, Watch: true})
	e := follow(t, reader, api.FollowRequest{Ticket: shared.Ticket, Dest: dest}, 1)

	author.Kill()
	writeFiles(t, data, map[string]int{"while-away": 1000})
	author = s.node("author")
	await(t, e, shared.Set, 2)
	sameTree(t, data, dest)

	writeFiles(t, data, map[string]int{"sub/new/later": 1000})
	await(t, e, shared.Set, 3)
	sameTree(t, data, dest)
	info, err := author.client.Show(testContext(t), shared.Set)
	if err != nil || !info.Watching || info.Revision != 3 {
		t.Fatalf("at the author: %+v %v", info, err)
	}
}
