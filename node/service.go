package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ipfs/go-cid"
	libnet "github.com/libp2p/go-libp2p/core/network"

	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Share implements api.Mover.
func (n *Node) Share(ctx context.Context, q api.ShareRequest, progress func(api.Progress)) (api.ShareResult, error) {
	start := n.now()
	o, err := shareOptions(q)
	if err == nil {
		err = n.sameKind(o)
	}
	if err != nil {
		return api.ShareResult{}, explain(err)
	}
	o.Progress = func(files int, bytes int64) {
		progress(api.Progress{Phase: "scan", Files: files, BytesDone: bytes})
	}
	done, err := n.shareNow(ctx, o)
	if err != nil {
		return api.ShareResult{}, explain(err)
	}
	if was, ok := n.jobs.list().Watch[done.Replica.State().Set]; q.Watch || ok && was.Path != filepath.Join(o.Dir, o.Only) {
		set, wish := done.Replica.State().Set, watchWish{Path: filepath.Join(o.Dir, o.Only)}
		n.jobs.turn.Lock()
		defer n.jobs.turn.Unlock()
		if err := n.jobs.change(func(w *wishes) { w.Watch[set] = wish }); err != nil {
			return api.ShareResult{}, explain(err)
		}
		n.startWatch(set, wish)
	}
	return n.shareResult(done, start), nil
}

func (n *Node) shareResult(done replica.Shared, start time.Time) api.ShareResult {
	rep, snap := done.Replica, done.Snapshot
	return api.ShareResult{
		On: peerTexts(done.On), Primary: done.Primary.String(), Merged: done.Merged, Alone: done.Alone, Private: !rep.Verified().Config.Public,
		Set: rep.Set().String(), Ticket: n.sets.Ticket(rep).String(), Name: rep.State().Name,
		Revision: done.Head.Revision, Root: done.Head.Root.String(), Files: snap.Files, Bytes: snap.Bytes, BytesNew: snap.BytesRead,
		Durable: done.Durable, Holders: max(rep.Holders(), len(done.On)), Seconds: n.now().Sub(start).Seconds(), Skipped: skipped(snap.Skipped),
		Head: done.HeadID.String(), Vector: done.Head.Vector,
	}
}

// shareOptions checks the path and tells a folder from a single file.
func shareOptions(q api.ShareRequest) (replica.ShareOptions, error) {
	if !filepath.IsAbs(q.Path) {
		return replica.ShareOptions{}, usage("relative_path", "", "share needs an absolute path, got %q", q.Path)
	}
	// The folder is known by its real path, so that the same folder reached by another link is the same set.
	real, err := filepath.EvalSymlinks(q.Path)
	if err != nil {
		return replica.ShareOptions{}, err
	}
	st, err := os.Stat(real)
	if err != nil {
		return replica.ShareOptions{}, err
	}
	o := replica.ShareOptions{Dir: real, Name: q.Name, Set: q.Set, AllowDeletions: q.AllowDeletions, Named: true, Note: q.Note, Private: q.Private, Strict: q.Strict}
	if o.Wait, err = waitFor(q.Wait); err != nil {
		return o, err
	}
	switch {
	case st.Mode().IsRegular():
		o.Dir, o.Only = filepath.Split(real)
		o.Dir = filepath.Clean(o.Dir)
	case !st.IsDir():
		return o, usage("not_a_folder", "share a folder or a regular file", "%s is neither a folder nor a file", q.Path)
	}
	if o.Name == "" {
		o.Name = filepath.Base(real)
	}
	if err := record.CheckName(o.Name); err != nil {
		return o, usage("bad_name", "give one with --name", "%q cannot be the name of a set", o.Name)
	}
	return o, nil
}

func skipped(all []worktree.Skipped) []api.Skipped {
	var out []api.Skipped
	for _, s := range all {
		out = append(out, api.Skipped{Path: s.Path, Reason: s.Err.Error()})
	}
	return out
}

// Get implements api.Mover.
func (n *Node) Get(ctx context.Context, q api.GetRequest, progress func(api.Progress)) (api.GetResult, error) {
	start := n.now()
	ticket, err := n.ticket(q.Ticket)
	if err != nil {
		return api.GetResult{}, explain(err)
	}
	if dir := cmp.Or(q.Dest, q.Cwd); dir != "" && !filepath.IsAbs(dir) {
		return api.GetResult{}, usage("relative_path", "", "get needs an absolute path, got %q", dir)
	}
	o, err := n.getOptions(q, ticket, progress)
	if err != nil {
		return api.GetResult{}, err
	}
	progress(api.Progress{Phase: "find", Set: ticket.Set.String()})
	var got replica.Got
	switch {
	case q.Only != nil:
		got, err = n.choose(ctx, q, ticket, o)
	case q.Rev != 0:
		got, err = n.restore(ctx, q, ticket, o)
	default:
		got, err = n.sets.Get(ctx, ticket, o)
	}
	if !q.Plan {
		n.life.downloaded(err)
	}
	if err != nil {
		n.noteGet(q, ticket, err)
		return api.GetResult{}, explain(at(cmp.Or(q.Dest, q.Cwd), err))
	}
	out := n.getResult(got)
	out.Seconds = n.now().Sub(start).Seconds()
	out.Only = q.Only
	if got.Changed && !q.Plan && q.Rev == 0 && q.Only == nil {
		n.tell(api.Event{Kind: api.EventComplete, Set: out.Set, Name: out.Name, Revision: out.Revision, Result: &out})
	}
	return out, nil
}

// noteGet writes into the log that a get came to nothing.
func (n *Node) noteGet(q api.GetRequest, t record.Ticket, err error) {
	level, reason := slog.LevelWarn, resultOf(err)
	if q.Plan || reason == "cancelled" {
		level = slog.LevelInfo
	}
	n.cfg.Log.Log(context.Background(), level, "get failed", "set", t.Set, "folder", cmp.Or(q.Dest, q.Cwd), "reason", reason, "err", err)
}

func (n *Node) getOptions(q api.GetRequest, ticket record.Ticket, progress func(api.Progress)) (replica.GetOptions, error) {
	patience, err := timeout(q.Timeout)
	if err != nil {
		return replica.GetOptions{}, err
	}
	o := replica.GetOptions{
		Dest: func(name string) string { return n.dest(q, ticket, name) }, Force: q.Force,
		MaxBytes: q.MaxBytes, Patience: patience, Plan: q.Plan,
		Progress: func(p replica.Progress) {
			progress(api.Progress{Phase: p.Phase, BytesDone: p.Done, BytesTotal: p.Total, Sources: p.Sources})
		},
	}
	for _, dir := range q.Using {
		if !filepath.IsAbs(dir) {
			return replica.GetOptions{}, usage("relative_path", "", "get needs an absolute path, got %q", dir)
		}
		o.Using = append(o.Using, realPath(dir))
	}
	return o, nil
}

// choose gets some files of a revision into a folder of its own.
func (n *Node) choose(ctx context.Context, q api.GetRequest, t record.Ticket, o replica.GetOptions) (replica.Got, error) {
	only, err := replica.NewSelection(q.Only)
	if err != nil {
		return replica.Got{}, err
	}
	o.Dest, o.Revision = aside(q), q.Rev
	return n.sets.Select(ctx, t, only, o)
}

// aside is where a get that makes no replica writes: what was asked, else ./NAME, or ./NAME@REVISION of a past one. Where
// the set lies it may not.
func aside(q api.GetRequest) func(name string) string {
	return func(name string) string {
		if q.Dest != "" {
			return realPath(q.Dest)
		}
		if q.Rev != 0 {
			name = fmt.Sprintf("%s@%d", name, q.Rev)
		}
		return realPath(filepath.Join(q.Cwd, name))
	}
}

// timeout reads how long to be patient; 0 is the default.
func timeout(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, usage("bad_timeout", "write it like 30s or 5m", "%q is not a duration", text)
	}
	return d, nil
}

// ticket reads a ticket or set id, or finds a set this node knows by that text.
func (n *Node) ticket(text string) (record.Ticket, error) {
	t, err := record.ParseTicket(text)
	if err == nil {
		return t, nil
	}
	rep, rerr := n.sets.Resolve(text)
	if errors.Is(rerr, replica.ErrUnknownSet) {
		return t, err
	}
	if rerr != nil {
		return t, rerr
	}
	return record.Ticket{Set: rep.Set(), Name: rep.State().Name}, nil
}

// dest is the folder a get goes to: what was asked, else where the set lies already, else ./NAME. It is the
// real path, as a share's is, so that one folder has one name whatever links lead to it.
func (n *Node) dest(q api.GetRequest, t record.Ticket, name string) string {
	if q.Dest != "" {
		return realPath(q.Dest)
	}
	if rep, err := n.sets.Resolve(t.Set.String()); err == nil && rep.State().Dir != "" {
		return rep.State().Dir
	}
	return realPath(filepath.Join(q.Cwd, name))
}

// realPath resolves the links of as much of a path as exists.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(realPath(parent), filepath.Base(path))
}

// Show implements api.Looker.
func (n *Node) Show(_ context.Context, set string) (api.SetInfo, error) {
	rep, err := n.sets.Resolve(set)
	if err != nil {
		return api.SetInfo{}, explain(err)
	}
	info := n.info(rep)
	info.Ticket = n.sets.Ticket(rep).String()
	return info, nil
}

func (n *Node) info(rep *replica.Replica) api.SetInfo {
	st, v := rep.State(), rep.Verified()
	p := v.Genesis.Profile
	i := api.SetInfo{Set: st.Set, Name: st.Name, Dir: filepath.Join(st.Dir, st.Only), Public: v.Config.Public, State: "incomplete",
		Peers: n.partners(rep), Holders: rep.Holders(), Owner: n.owns(v.Genesis),
		Profile: fmt.Sprintf("%s %d/%d/%d %s hamt>%d %s", p.Chunker, p.Min, p.Avg, p.Max, p.Tree, p.HAMTThreshold, p.Meta)}
	if h, ok := rep.Head(); ok {
		i.Revision, i.Root = h.Revision, h.Root.String()
		i.Head = v.HeadCids[0].String()
		i.Files, _, i.Bytes = h.Totals()
	}
	if held, ok := rep.InFolder(); ok && held != i.Revision {
		i.DirRevision = held
	}
	n.standing(rep, &i)
	w := n.jobs.list()
	wish, follows := w.Follow[st.Set]
	i.Following, i.Replicating = follows && !wish.Replicate, wish.Replicate
	_, i.Watching = w.Watch[st.Set]
	i.InHome = st.Dir == n.sets.Keep(rep.Set())
	switch {
	case st.Shared:
		i.State = "shared"
	case st.Complete:
		i.State = "complete"
	}
	return i
}

// partners is how many connected peers are known to hold at least a part of a set.
func (n *Node) partners(rep *replica.Replica) (count int) {
	w := n.network()
	if w == nil {
		return 0
	}
	for _, p := range n.sets.Partners(rep) {
		if p != n.self && w.host.Network().Connectedness(p) == libnet.Connected {
			count++
		}
	}
	return count
}

// Verify implements api.Keeper. With Heal, what is damaged is fetched again from peers.
func (n *Node) Verify(ctx context.Context, q api.VerifyRequest, progress func(api.Progress)) (api.VerifyResult, error) {
	rep, err := n.sets.Resolve(q.Set)
	if err != nil {
		return api.VerifyResult{}, explain(err)
	}
	if err := n.store.VerifyChecksums(ctx); err != nil {
		return api.VerifyResult{}, explain(err)
	}
	report := func(done, total int64) { progress(api.Progress{Phase: "check", BytesDone: done, BytesTotal: total}) }
	c, err := n.sets.Verify(ctx, rep, report)
	if err != nil {
		return api.VerifyResult{}, explain(err)
	}
	res := api.VerifyResult{Set: rep.Set().String(), Blocks: c.Blocks, Bytes: c.Bytes, Damaged: c.Damaged, Files: c.Files}
	if !q.Heal || c.Damaged == 0 {
		return res, nil
	}
	if rep.State().Shared {
		return res, &api.Error{Code: "own_folder", ExitCode: api.ExitConflict, Title: "the author's own folder is never rewritten",
			Hint: "restore the file, or `share` again to publish it as it is now"}
	}
	got, err := n.sets.Heal(ctx, rep, c)
	if err != nil {
		return res, explain(err)
	}
	again, err := n.sets.Verify(ctx, rep, report)
	if err != nil {
		return res, explain(err)
	}
	res.Healed, res.Files, res.Skipped = c.Damaged-again.Damaged, again.Files, skipped(got.Done.Skipped)
	return res, nil
}

// Rm implements api.Keeper.
func (n *Node) Rm(ctx context.Context, q api.RmRequest) (api.RmResult, error) {
	rep, err := n.sets.Resolve(q.Set)
	if err != nil {
		return api.RmResult{}, explain(err)
	}
	st := rep.State()
	if n.wished(st.Set) { // else the set would come back
		if err := n.withdraw(st.Set, st.Name); err != nil {
			return api.RmResult{}, explain(err)
		}
	}
	removed, err := n.sets.Remove(ctx, rep, q.Files)
	if err == nil {
		n.downloads.forget(rep.Set())
		err = n.limits.forget(rep.Set())
	}
	return api.RmResult{Set: st.Set, Name: st.Name, FilesRemoved: removed}, explain(err)
}

// GC implements api.Keeper.
func (n *Node) GC(ctx context.Context) (api.GCResult, error) {
	var res api.GCResult
	err := n.sets.Collect(ctx, func(keep func(set, c cid.Cid) bool) error {
		freed, err := n.store.GC(ctx, keep)
		res.Blocks, res.Bytes = freed.Blocks, freed.Bytes
		return err
	})
	if err != nil {
		return api.GCResult{}, explain(err)
	}
	st, err := n.store.Stats(ctx)
	res.DiskBytes = st.DiskBytes
	return res, explain(err)
}
