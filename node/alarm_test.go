package node

import (
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
)

// journal is a log and the events of a node.
type journal struct {
	mu     sync.Mutex // guards what follows
	log    strings.Builder
	events chan api.Event
}

// Write implements io.Writer.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.log.Write(b)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.log.String()
}

// next waits for an event of a kind.
func (j *journal) next(t *testing.T, kind string) api.Event {
	t.Helper()
	ctx := within(t)
	for {
		select {
		case e := <-j.events:
			if e.Kind == kind {
				return e
			}
			if e.Kind == api.EventAlarm || e.Kind == api.EventMended {
				t.Fatalf("%+v before %s", e, kind)
			}
		case <-ctx.Done():
			t.Fatalf("no %s", kind)
		}
	}
}

// startWatched is start with a log and events, and quick watching.
func startWatched(t *testing.T) (*running, *journal) {
	t.Helper()
	j := &journal{events: make(chan api.Event, 256)}
	n, err := New(Config{Home: t.TempDir(), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Reserve: 1, Version: "test",
		Share: ShareConfig{Debounce: 10 * time.Millisecond}, Log: slog.New(slog.NewTextHandler(j, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.events.listen(func(e api.Event) { j.events <- e }))
	return run(t, n), j
}

// alarmed checks all places where an admin may look: ok says that nothing is wrong.
func (r *running) alarmed(ok bool, says ...string) {
	r.t.Helper()
	st, err := r.Status(within(r.t))
	if err != nil {
		r.t.Fatal(err)
	}
	set := st.Sets[0]
	shown, err := r.Show(within(r.t), set.Set)
	if err != nil || !slices.Equal(shown.Alarms, set.Alarms) || len(set.Alarms) == 0 != ok {
		r.t.Fatalf("status says %q, show %q, %v", set.Alarms, shown.Alarms, err)
	}
	res, err := r.Doctor(within(r.t))
	if err != nil {
		r.t.Fatal(err)
	}
	if gone := strings.Contains(strings.Join(set.Alarms, " "), " is gone"); set.FolderGone != gone {
		r.t.Errorf("the folder is gone: %v, want %v", set.FolderGone, gone)
	}
	if loses := set.FolderGone || strings.Contains(strings.Join(set.Alarms, " "), "bytes of "); ok && set.Holders != 1 || loses && set.Holders != 0 {
		r.t.Errorf("%d nodes hold all of it: %q", set.Holders, set.Alarms)
	}
	i := slices.IndexFunc(res.Checks, func(c api.Check) bool { return c.Name == "sets" })
	check := res.Checks[i]
	if (check.State == api.CheckOK) != ok || res.OK != ok {
		r.t.Errorf("doctor says %+v", res)
	}
	rec := httptest.NewRecorder()
	r.Metrics().ServeHTTP(rec, httptest.NewRequestWithContext(within(r.t), "GET", "/metrics", nil))
	want := "shoal_filesets_alarmed 1"
	if ok {
		want = "shoal_filesets_alarmed 0"
	}
	if !strings.Contains(rec.Body.String(), want+"\n") {
		r.t.Errorf("no %s", want)
	}
	for _, text := range says {
		if alarms := strings.Join(set.Alarms, " "); !strings.Contains(alarms, text) || !strings.Contains(check.Detail+strings.ReplaceAll(check.Hint, "`node ", "`"), text) {
			r.t.Errorf("%q is not in %q, or not in %+v", text, alarms, check)
		}
	}
}

// What an author has lost everybody who looks is told, from when the first reader asks in vain until it is mended.
func TestAlarmOfTheAuthor(t *testing.T) {
	t.Parallel()
	a, j := startWatched(t)
	b := start(t, t.TempDir())
	dir := newFolder(t)
	shared := a.share(dir)
	a.alarmed(true)
	was, err := os.ReadFile(filepath.Join(dir, "sub", "7"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "sub", "7"), 7000)
	stopsAt(t, b.why(api.WhyRequest{Ticket: shared.Ticket}), api.WhyNoChunk, api.StepChunk)
	if e := j.next(t, api.EventAlarm); e.Set != shared.Set || !strings.Contains(e.Detail, `"sub/7"`) {
		t.Errorf("%+v", e)
	}
	a.alarmed(false, `"sub/7"`, "`publish data`", "`verify data`")
	if have := a.ownShare("data"); have <= 0.5 || have >= 1 {
		t.Errorf("the author says to have %v of it", have)
	}
	if text := j.text(); strings.Count(text, "level=WARN msg=alarm") != 1 {
		t.Errorf("log: %s", text)
	}
	if err := os.WriteFile(filepath.Join(dir, "sub", "7"), was, 0o644); err != nil {
		t.Fatal(err)
	}
	if res, err := a.Verify(within(t), api.VerifyRequest{Set: "data"}, quiet); err != nil || res.Damaged != 0 {
		t.Errorf("put back: %+v, %v", res, err)
	}
	j.next(t, api.EventMended)
	a.alarmed(true)

	if err := os.Remove(filepath.Join(dir, "sub", "7")); err != nil {
		t.Fatal(err)
	}
	if res, err := a.Verify(within(t), api.VerifyRequest{Set: "data"}, quiet); err != nil || res.Damaged != 1 {
		t.Errorf("removed: %+v, %v", res, err)
	}
	j.next(t, api.EventAlarm)
	a.alarmed(false, `"sub/7"`)
	a.share(dir)
	j.next(t, api.EventMended)
	a.alarmed(true)
}

// The folder of a watched set goes and comes back; what is edited in it and asked for before it is published is no alarm.
func TestAlarmOfAWatchedFolder(t *testing.T) {
	t.Parallel()
	a, j := startWatched(t)
	b := start(t, t.TempDir())
	dir := newFolder(t)
	shared, err := a.Share(within(t), api.ShareRequest{Path: dir, Watch: true}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := a.sets.Resolve(shared.Set)
	if err != nil {
		t.Fatal(err)
	}
	if most := (10*10*time.Millisecond + scanSlack); a.settles(rep) != most {
		t.Errorf("settles in %v, want %v", a.settles(rep), most)
	}
	j.next(t, api.EventPublished)
	write(t, filepath.Join(dir, "sub", "7"), 7000)
	b.why(api.WhyRequest{Ticket: shared.Ticket, Rev: 1}) // with or without it
	j.next(t, api.EventPublished)
	a.alarmed(true)

	aside := dir + ".aside"
	if err := os.Rename(dir, aside); err != nil {
		t.Fatal(err)
	}
	if e := j.next(t, api.EventAlarm); !strings.Contains(e.Detail, dir+" is gone") {
		t.Errorf("%+v", e)
	}
	a.alarmed(false, dir+" is gone", "`rm data`")
	if have := a.ownShare("data"); have != 0 {
		t.Errorf("without its folder the author says to have %v of it", have)
	}
	if err := os.Rename(aside, dir); err != nil {
		t.Fatal(err)
	}
	j.next(t, api.EventMended)
	a.alarmed(true)
	if have := a.ownShare("data"); have != 1 {
		t.Errorf("with it back %v", have)
	}
}

// ownShare is how much of a set a node says to have itself.
func (r *running) ownShare(set string) float64 {
	r.t.Helper()
	res, err := r.Availability(within(r.t), api.AvailabilityRequest{Set: set})
	if err != nil || len(res.Peers) == 0 || !res.Peers[0].Self {
		r.t.Fatalf("%+v, %v", res, err)
	}
	return float64(res.Peers[0].Leaves) / float64(res.Leaves)
}

func TestAlarmWords(t *testing.T) {
	shared, kept := replica.State{Name: "data", Set: "bafy", Shared: true}, replica.State{Name: "two words", Set: "bafy"}
	for _, c := range []struct {
		st   replica.State
		harm replica.Harm
		says []string
	}{
		{shared, replica.Harm{Folder: "/d is gone"}, []string{"/d is gone", "`node share --set data FOLDER` if it was moved", "`node rm data`"}},
		{kept, replica.Harm{Folder: "/d is gone"}, []string{"`node rm bafy`", "`node verify --heal bafy`"}},
		{shared, replica.Harm{Refused: "too many"}, []string{"not published, too many", "`node publish --allow-deletions data`"}},
		{shared, replica.Harm{Blocks: 9, Files: []string{"1", "2", "3", "4"}}, []string{`"1", "2", "3" and others`, "`node publish data`", "`node verify data`"}},
		{kept, replica.Harm{Blocks: 1}, []string{"some of its files", "`node verify --heal bafy`"}},
	} {
		what, cure := harmText(c.st, c.harm, "node ")
		for _, text := range c.says {
			if !strings.Contains(what+": "+cure, text) {
				t.Errorf("%q is not in %q: %q", text, what, cure)
			}
		}
	}
	if text := harmAlarm(shared, replica.Harm{Blocks: 1}); strings.Contains(text, "`node ") || !strings.Contains(text, "`publish data`") {
		t.Errorf("%q", text)
	}
}
