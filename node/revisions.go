package node

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/diff"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Publish implements api.Publisher.
func (n *Node) Publish(ctx context.Context, q api.PublishRequest, progress func(api.Progress)) (api.PublishResult, error) {
	start := n.now()
	share := api.ShareRequest{Path: q.Target, AllowDeletions: q.AllowDeletions, Note: q.Note, Wait: q.Wait}
	if !filepath.IsAbs(q.Target) {
		rep, err := n.sets.Resolve(q.Target)
		if err != nil {
			return api.PublishResult{}, explain(err)
		}
		if !n.writes(rep) {
			return api.PublishResult{}, n.notWriter(rep)
		}
		st := rep.State()
		share.Path = filepath.Join(st.Dir, st.Only)
	}
	o, err := shareOptions(share)
	if err != nil {
		return api.PublishResult{}, explain(err)
	}
	o.Existing, o.Named = true, filepath.IsAbs(q.Target)
	o.Progress = func(files int, bytes int64) {
		progress(api.Progress{Phase: "scan", Files: files, BytesDone: bytes})
	}
	for _, rep := range n.sets.Replicas() {
		if st := rep.State(); st.Dir == o.Dir && st.Only == o.Only && !n.writes(rep) {
			return api.PublishResult{}, n.notWriter(rep)
		}
	}
	if q.DryRun {
		return n.dryRun(ctx, o, start)
	}
	done, err := n.shareNow(ctx, o)
	if err != nil {
		return api.PublishResult{}, explain(err)
	}
	out := api.PublishResult{ShareResult: n.shareResult(done, start), Changed: done.Changed}
	if done.Changed && done.Head.Revision > 1 {
		changes, summary, err := n.sets.Diff(ctx, done.Replica, done.Head.Revision-1, done.Head.Revision)
		if err != nil {
			n.cfg.Log.Warn("compare with the revision before", "set", out.Set, "err", err) // published all the same
		}
		out.Changes, out.Summary = changesOf(changes), summary.String()
	}
	return out, nil
}

// writes tells whether this node may publish a set.
func (n *Node) writes(rep *replica.Replica) bool {
	return slices.Contains(rep.Verified().Config.Writers, n.self)
}

// notWriter: only a writer publishes.
func (n *Node) notWriter(rep *replica.Replica) error {
	st := rep.State()
	detail := st.Name + " was fetched to " + st.Dir
	if st.Shared {
		detail = "its owner lets it publish " + st.Name + " no more"
	}
	return &api.Error{Code: "not_writer", ExitCode: api.ExitDenied, Title: "this node may not publish the set", Detail: detail,
		Hint: "publish on a machine that may; with the owner key: `grant " + st.Set + " " + n.self.String() + " writer`"}
}

func (n *Node) dryRun(ctx context.Context, o replica.ShareOptions, start time.Time) (api.PublishResult, error) {
	p, err := n.sets.DryRun(ctx, o)
	if err != nil {
		return api.PublishResult{}, explain(err)
	}
	st := p.Replica.State()
	revision := p.Old.Revision
	changed := p.Root != p.Old.Root
	if changed {
		revision++
	}
	return api.PublishResult{
		ShareResult: api.ShareResult{Set: st.Set, Ticket: n.sets.Ticket(p.Replica).String(), Name: st.Name, Revision: revision, Root: p.Root.String(),
			Files: p.Files, Bytes: p.Bytes, BytesNew: p.BytesRead, Holders: p.Replica.Holders(), Seconds: n.now().Sub(start).Seconds(), Skipped: skipped(p.Skipped),
			On: []string{}, Primary: n.seats().Roles(p.Replica.Set()).Primary.String(), Private: !p.Replica.Verified().Config.Public,
			Alone: len(p.Replica.Verified().Config.Voters) == 1},
		Changed: changed, DryRun: true, Changes: changesOf(p.Changes), Summary: p.Summary.String(),
	}, nil
}

func changesOf(all []diff.Change) []api.Change {
	ops := map[diff.Op]string{diff.Added: api.OpAdded, diff.Removed: api.OpRemoved, diff.Modified: api.OpModified,
		diff.Attr: api.OpAttr, diff.Renamed: api.OpRenamed, diff.Retyped: api.OpRetyped}
	out := make([]api.Change, 0, len(all))
	for _, c := range all {
		out = append(out, api.Change{Op: ops[c.Op], Path: c.Path, From: c.From, Bytes: c.Bytes, Entries: c.Entries})
	}
	return out
}

// Restore implements api.Publisher.
func (n *Node) Restore(ctx context.Context, q api.RestoreRequest, progress func(api.Progress)) (api.RestoreResult, error) {
	return n.Get(ctx, api.GetRequest{Ticket: q.Set, Dest: q.Dest, Force: q.Force, Rev: q.Rev}, progress)
}

// History implements api.Historian.
func (n *Node) History(ctx context.Context, q api.HistoryRequest) (api.HistoryResult, error) {
	rep, err := n.sets.Resolve(q.Set)
	if err != nil {
		return api.HistoryResult{}, explain(err)
	}
	all, err := n.sets.History(ctx, rep) // every head is verified, as is that the next one names it
	if err != nil && (q.Verify || len(all) == 0) {
		return api.HistoryResult{}, explain(err)
	}
	if err != nil {
		n.cfg.Log.Warn("history", "set", q.Set, "err", err)
	}
	st := rep.State()
	out := api.HistoryResult{Set: st.Set, Name: st.Name, Revisions: []api.Revision{}}
	for i, r := range all {
		out.Revisions = append(out.Revisions, api.Revision{Revision: r.Head.Revision, Root: r.Head.Root.String(), Head: r.Cid.String(),
			Time: r.Head.Time.UTC().Format(time.RFC3339), Note: r.Note, Files: r.Files, Bytes: r.Bytes, Kept: r.Kept, Current: i == 0 && st.Complete, Fork: r.Fork,
			Parents: cidTexts(r.Head.Parents), Abandoned: cidTexts(r.Head.Abandoned), Vector: r.Head.Vector})
	}
	return out, nil
}

func cidTexts(ids []cid.Cid) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}

// Diff implements api.Historian.
func (n *Node) Diff(ctx context.Context, q api.DiffRequest) (api.DiffResult, error) {
	rep, err := n.sets.Resolve(q.Set)
	if err != nil {
		return api.DiffResult{}, explain(err)
	}
	h, _ := rep.Head()
	q.B = cmp.Or(q.B, h.Revision)
	q.A = cmp.Or(q.A, q.B-1)
	if q.A == 0 {
		return api.DiffResult{}, usage("no_earlier", "`history` lists the revisions", "there is no revision before %d", q.B)
	}
	changes, summary, err := n.sets.Diff(ctx, rep, q.A, q.B)
	if err != nil {
		return api.DiffResult{}, explain(err)
	}
	st := rep.State()
	return api.DiffResult{Set: st.Set, Name: st.Name, A: q.A, B: q.B, Changes: changesOf(changes), Summary: summary.String()}, nil
}

// getResult is what a get did, for people and scripts.
func (n *Node) getResult(got replica.Got) api.GetResult {
	out := api.GetResult{Revision: got.Head.Revision, Root: got.Head.Root.String(),
		Dest: got.Dest, Files: got.Files, BytesTotal: got.Total, BytesReused: got.Reused(),
		BytesPatched: got.Patched, BytesFetched: got.Fetched,
		WireIn: got.WireIn, WireOut: got.WireOut, Sources: got.Sources, FilesRemoved: got.Removed, FilesMoved: got.Done.Moved,
		Changed: got.Changed, Skipped: skipped(got.Done.Skipped)}
	out.Set, out.Name = got.Head.Set.String(), got.Name
	for _, c := range got.Done.Conflicts {
		out.Conflicts = append(out.Conflicts, api.Conflict{Path: c.Path, Copy: c.Copy})
	}
	out.Unconfirmed, out.Links, out.Folders = got.Unconfirmed, got.Links, got.Folders
	if got.Plan != nil {
		out.FilesRemoved = len(got.Plan.Gone)
		for _, f := range got.Plan.Files {
			if f.Action == diff.Move {
				out.FilesMoved++
			}
		}
		out.Plan, out.WireEstimate, out.Lines = true, got.Estimate, got.Plan.Lines()
		if w := got.InWay; w != nil {
			out.InWay = slices.Concat(w.Paths, w.Beside)
		}
	}
	return out
}

// restore gets a past revision into a folder of its own.
func (n *Node) restore(ctx context.Context, q api.GetRequest, t record.Ticket, o replica.GetOptions) (replica.Got, error) {
	if q.Plan || len(q.Using) > 0 {
		return replica.Got{}, usage("rev_alone", "", "a past revision is restored as it is: without a plan and other folders")
	}
	o.Dest, o.Revision = aside(q), q.Rev
	return n.sets.Restore(ctx, t, o)
}
