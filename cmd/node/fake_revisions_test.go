package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/shoal-p2p/shoal/node/api"
)

// fakeTime is when everything happens at a fake node.
const fakeTime = "2026-01-02T03:04:05Z"

func fakeChanges() []api.Change {
	return []api.Change{
		{Op: api.OpAdded, Path: "evil\x1b[2J", Bytes: 2048, Entries: 1},
		{Op: api.OpAttr, Path: "bin/run", Entries: 1},
		{Op: api.OpModified, Path: "data.bin", Bytes: 4096, Entries: 1},
		{Op: api.OpRenamed, Path: "new/place", From: "old/place", Entries: 101},
		{Op: api.OpRemoved, Path: "gone.txt", Entries: 1},
		{Op: api.OpRetyped, Path: "link", Bytes: 10, Entries: 1},
	}
}

const fakeSummary = "1 added, 1 removed, 1 modified"

func (f *fakeHost) Publish(_ context.Context, r api.PublishRequest, progress func(api.Progress)) (api.PublishResult, error) {
	s, err := f.find(r.Target)
	if err != nil {
		return api.PublishResult{}, err
	}
	progress(api.Progress{Phase: "scan", BytesDone: 6, Files: 1})
	res := api.PublishResult{DryRun: r.DryRun, ShareResult: api.ShareResult{Set: s.Set, Ticket: s.Ticket, Name: s.Name, Revision: s.Revision, Root: s.Root,
		Files: int(s.Files), Bytes: int64(s.Bytes), Holders: 3, Durable: f.getenv("FAKE_DURABLE") != "", Seconds: 0.25,
		On: []string{"12D3KooWFake"}, Primary: fakeOther, Alone: f.getenv("FAKE_REPLICAS") == "", Merged: f.getenv("FAKE_MERGED") != ""}}
	if res.Durable {
		res.On = append(res.On, fakeOther)
	}
	if f.getenv("FAKE_UNCHANGED") != "" {
		return res, nil
	}
	res.Revision++
	res.Changed, res.Changes, res.Summary, res.BytesNew = true, fakeChanges(), fakeSummary, 6154
	if f.getenv("FAKE_MANY") != "" {
		for i := range 20 {
			res.Changes = append(res.Changes, api.Change{Op: api.OpAdded, Path: fmt.Sprint("more", i), Entries: 1})
		}
	}
	if r.DryRun {
		return res, nil
	}
	s.Revision = res.Revision
	f.tell(api.Event{Kind: api.EventPublished, Set: s.Set, Name: s.Name, Revision: s.Revision, Detail: r.Note})
	return res, f.put(s)
}

func (f *fakeHost) Restore(_ context.Context, r api.RestoreRequest, progress func(api.Progress)) (api.RestoreResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.RestoreResult{}, err
	}
	if r.Rev > s.Revision {
		return api.RestoreResult{}, &api.Error{Code: "no_revision", ExitCode: api.ExitNotFound, Title: "no such revision", Detail: fmt.Sprint(r.Rev), Hint: "`node history SET`"}
	}
	progress(api.Progress{Phase: "fetch", BytesDone: 100, BytesTotal: 100})
	return fakeRevision(s.Name, r.Dest, r.Rev), nil
}

// fakeRevision is the result of an update: of 100 MiB all but 4 KiB were here.
func fakeRevision(name, dest string, rev uint64) api.GetResult {
	const total, patched, fetched = 100 << 20, 3 << 10, 1 << 10
	return api.GetResult{Set: "set-" + name, Name: name, Revision: rev, Root: "root-" + name, Dest: dest, Files: 1, Changed: true,
		BytesTotal: total, BytesReused: total - patched - fetched, BytesPatched: patched, BytesFetched: fetched,
		WireIn: 4300, WireOut: 700, FilesMoved: 2, FilesRemoved: 1, Sources: 2, Seconds: 0.5}
}

func (f *fakeHost) plan(r api.GetRequest, name string) api.GetResult {
	res := fakeRevision(name, r.Dest, r.Rev)
	res.Plan, res.WireIn, res.WireOut, res.WireEstimate = true, 0, 0, 4400
	res.Lines = append([]string{"patch data.bin", "move old\x1b[2J to new"}, r.Using...)
	return res
}

func (f *fakeHost) History(_ context.Context, r api.HistoryRequest) (api.HistoryResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.HistoryResult{}, err
	}
	return api.HistoryResult{Set: s.Set, Name: s.Name, Revisions: []api.Revision{
		{Revision: 2, Root: "root-2", Head: "head-2", Time: fakeTime, Note: "two\nlines " + strings.Repeat("x", 100), Files: 3, Bytes: 4096, Kept: "here", Current: true,
			Parents: []string{"head-1"}, Abandoned: []string{"head-0"}, Vector: map[string]uint64{"0a": 2, "0b": 1}},
		{Revision: 1, Root: "root-1", Head: "head-1", Time: "2001-01-02T03:04:05Z", Files: 2, Bytes: 12, Kept: "gone"},
	}}, nil
}

func (f *fakeHost) Diff(_ context.Context, r api.DiffRequest) (api.DiffResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.DiffResult{}, err
	}
	if r.B == 0 {
		r.B = 9
	}
	if r.A == 0 {
		r.A = r.B - 1
	}
	res := api.DiffResult{Set: s.Set, Name: s.Name, A: r.A, B: r.B, Changes: []api.Change{}}
	if r.A != r.B {
		res.Changes, res.Summary = fakeChanges(), fakeSummary
	}
	return res, nil
}

// Follow goes through two revisions at once; with FAKE_ENDS somebody unfollows then, or it ends for that reason.
func (f *fakeHost) Follow(_ context.Context, r api.FollowRequest, progress func(api.Progress)) (api.FollowResult, error) {
	name, ok := strings.CutPrefix(r.Ticket, "shoal1")
	if !ok {
		return api.FollowResult{}, &api.Error{Code: "bad_ticket", ExitCode: api.ExitUsage, Title: "not a ticket", Detail: r.Ticket, Hint: "`node help tickets`"}
	}
	progress(api.Progress{Phase: "find"})
	res := api.FollowResult{Set: "set-" + name, Name: name, Dest: r.Dest, Following: true}
	if r.Dest == "" {
		res.Dest = filepath.Join(r.Cwd, name)
	}
	if r.Replicate {
		res.Member, res.Granted = "12D3KooWFake/0102030405060708", f.getenv("FAKE_GRANTED") != ""
	}
	if err := f.put(api.SetInfo{Set: res.Set, Name: name, Revision: 2, Dir: res.Dest, State: "complete", Role: "reader", Following: !r.Replicate, Replicating: r.Replicate}); err != nil {
		return res, err
	}
	if f.getenv("FAKE_QUIET") != "" {
		return res, nil
	}
	if f.getenv("FAKE_NAMELESS") != "" {
		res.Name, res.Dest = "", ""
	}
	one, two := fakeRevision(name, r.Dest, 1), fakeRevision(name, r.Dest, 2)
	if f.getenv("FAKE_SKIP") != "" {
		two.Skipped = []api.Skipped{{Path: "evil\u202ename", Reason: "not permitted"}}
	}
	two.Conflicts = []api.Conflict{{Path: "a.txt", Copy: "a.conflict-20260102-030405.txt"}}
	for _, e := range []api.Event{
		{Kind: api.EventAvailable, Revision: 1},
		{Kind: api.EventProgress, Revision: 1, Progress: &api.Progress{Phase: "fetch", BytesDone: 50, BytesTotal: 100}},
		{Kind: api.EventComplete, Revision: 1, Result: &one},
		{Kind: api.EventFailed, Revision: 2, Detail: "a peer\nleft"},
		{Kind: api.EventConflict, Revision: 2, Detail: "a.txt"},
		{Kind: api.EventComplete, Revision: 2, Result: &two},
	} {
		e.Set, e.Name = res.Set, name
		f.tell(e)
	}
	if r.Replicate {
		f.tell(api.Event{Kind: api.EventGranted, Set: res.Set, Name: name, Detail: "this node is a replica of the set now"})
	}
	f.tell(api.Event{Kind: api.EventComplete, Set: "set-other", Name: "other", Revision: 7, Result: &one})
	if f.getenv("FAKE_ENDS") != "" {
		f.tell(api.Event{Kind: api.EventEnded, Set: res.Set, Name: name, Detail: strings.TrimPrefix(f.getenv("FAKE_ENDS"), "1")})
	}
	return res, nil
}

// watched publishes a second revision at once; with FAKE_ENDS somebody forgets the set then.
func (f *fakeHost) watched(r api.ShareResult) {
	f.tell(api.Event{Kind: api.EventPublished, Set: r.Set, Name: r.Name, Revision: 2, Detail: fakeSummary})
	if f.getenv("FAKE_ENDS") != "" {
		f.tell(api.Event{Kind: api.EventEnded, Set: r.Set, Name: r.Name, Detail: strings.TrimPrefix(f.getenv("FAKE_ENDS"), "1")})
	}
}

func (f *fakeHost) Unfollow(_ context.Context, r api.UnfollowRequest) (api.UnfollowResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.UnfollowResult{}, err
	}
	s.Following = false
	return api.UnfollowResult{Set: s.Set, Name: s.Name}, f.put(s)
}

func (f *fakeHost) Events(ctx context.Context, r api.EventsRequest, fn func(api.Event)) error {
	if r.Set != "" {
		s, err := f.find(r.Set)
		if err != nil {
			return err
		}
		all := fn
		fn = func(e api.Event) {
			if e.Set == s.Set || e.Set == "" {
				all(e)
			}
		}
	}
	f.listening.Lock()
	if f.listeners == nil {
		f.listeners = map[int]func(api.Event){}
	}
	id := len(f.listeners)
	for f.listeners[id] != nil {
		id++
	}
	f.listeners[id] = fn
	fn(api.Event{Time: fakeTime, Kind: api.EventNotice, Detail: "too early for you"})
	fn(api.Event{Time: fakeTime, Kind: api.EventReady})
	f.listening.Unlock()
	<-ctx.Done()
	f.listening.Lock()
	defer f.listening.Unlock()
	delete(f.listeners, id)
	return ctx.Err()
}

func (f *fakeHost) tell(e api.Event) {
	e.Time = fakeTime
	f.listening.Lock()
	defer f.listening.Unlock()
	for _, fn := range f.listeners {
		fn(e)
	}
}
