package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
	"github.com/shoal-p2p/shoal/node/watch"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Follow implements api.Follower.
func (n *Node) Follow(_ context.Context, q api.FollowRequest, _ func(api.Progress)) (api.FollowResult, error) {
	if n.network() == nil {
		return api.FollowResult{}, explain(replica.ErrOffline)
	}
	t, err := n.ticket(q.Ticket)
	if err != nil {
		return api.FollowResult{}, explain(err)
	}
	if dir := cmp.Or(q.Dest, q.Cwd); dir != "" && !filepath.IsAbs(dir) {
		return api.FollowResult{}, usage("relative_path", "", "follow needs an absolute path, got %q", dir)
	}
	set := t.Set.String()
	name := t.Name
	if rep, err := n.sets.Resolve(set); err == nil {
		st := rep.State()
		name = st.Name
		if st.Shared {
			return api.FollowResult{}, explain(fmt.Errorf("follow %s: %w: it is shared from %s", name, replica.ErrInUse, st.Dir))
		}
	}
	if q.Replicate {
		q.Dest, q.Cwd = n.replicaDest(q, t), ""
	}
	wish := followWish{Ticket: t.String(), Dest: q.Dest, Cwd: q.Cwd, Exec: q.Exec, Replicate: q.Replicate, Granted: n.votes(set)}
	already := false
	n.jobs.turn.Lock()
	err = n.jobs.change(func(w *wishes) {
		var was followWish
		if was, already = w.Follow[set]; was.Exec == wish.Exec {
			wish.Hooked = was.Hooked
		}
		w.Follow[set] = wish
	})
	if err == nil {
		n.startFollow(t, wish, q.Force, false)
	}
	n.jobs.turn.Unlock()
	if err != nil {
		return api.FollowResult{}, explain(err)
	}
	out := api.FollowResult{Set: set, Name: name, Following: true, Already: already}
	if q.Replicate {
		instance, err := n.sets.Instance(t.Set)
		if err != nil {
			return api.FollowResult{}, explain(err)
		}
		out.Member, out.Granted = memberName(n.self, instance), wish.Granted
	}
	if q.Dest != "" || name != "" {
		out.Dest = n.dest(api.GetRequest{Dest: q.Dest, Cwd: q.Cwd}, t, name)
	}
	return out, nil
}

// Unfollow implements api.Follower.
func (n *Node) Unfollow(ctx context.Context, q api.UnfollowRequest) (api.UnfollowResult, error) {
	t, err := n.ticket(q.Set)
	if errors.Is(err, record.ErrBadTicket) {
		err = fmt.Errorf("unfollow %q: %w", q.Set, replica.ErrUnknownSet)
	}
	if err != nil {
		return api.UnfollowResult{}, explain(err)
	}
	out := api.UnfollowResult{Set: t.Set.String(), Name: t.Name}
	if rep, err := n.sets.Resolve(out.Set); err == nil {
		out.Name = rep.State().Name
	}
	if !n.wished(out.Set) {
		return out, &api.Error{Code: "not_followed", ExitCode: api.ExitNotFound, Title: "the set is not followed", Hint: "`ls` tells which are"}
	}
	out.Replicated = n.jobs.list().Follow[out.Set].Replicate
	if err := n.withdraw(out.Set, out.Name); err != nil {
		return out, explain(err)
	}
	if out.Replicated {
		out.Member, out.To = n.standDown(ctx, t.Set)
	}
	return out, nil
}

// wished tells whether the node does something by itself with a set.
func (n *Node) wished(set string) bool {
	w := n.jobs.list()
	_, follows := w.Follow[set]
	_, watches := w.Watch[set]
	return follows || watches
}

// withdraw ends what the node does by itself with a set.
func (n *Node) withdraw(set, name string) error {
	n.jobs.turn.Lock()
	defer n.jobs.turn.Unlock()
	err := n.jobs.change(func(w *wishes) {
		delete(w.Follow, set)
		delete(w.Watch, set)
	})
	n.jobs.stop("follow " + set)
	n.jobs.stop("watch " + set)
	n.tell(api.Event{Kind: api.EventEnded, Set: set, Name: name})
	return err
}

// resume starts again what the node did when it ended.
func (n *Node) resume() {
	w := n.jobs.list()
	for set, wish := range w.Follow {
		t, err := record.ParseTicket(wish.Ticket)
		if err != nil {
			n.cfg.Log.Error("a set is not followed any more", "set", set, "err", err)
			continue
		}
		n.startFollow(t, wish, false, true)
	}
	for set, wish := range w.Watch {
		n.startWatch(set, wish)
	}
}

// startFollow begins to follow; resumed: the folder must be the one that was followed before.
func (n *Node) startFollow(t record.Ticket, wish followWish, force, resumed bool) {
	set := t.Set.String()
	n.jobs.start("follow "+set, func(ctx context.Context) {
		name := func() string {
			if rep, err := n.sets.Resolve(set); err == nil {
				return rep.State().Name
			}
			return t.Name
		}
		begun := n.now()
		o := replica.FollowOptions{
			Get: replica.GetOptions{Force: force, Attached: resumed,
				Dest: func(name string) string {
					return n.dest(api.GetRequest{Dest: wish.Dest, Cwd: wish.Cwd}, t, name)
				},
				Begin: func(revision uint64) {
					begun = n.now()
					n.tell(api.Event{Kind: api.EventAvailable, Set: set, Name: name(), Revision: revision})
				},
				Progress: func(p replica.Progress) {
					n.tell(api.Event{Kind: api.EventProgress, Set: set, Name: name(), Progress: &api.Progress{
						Phase: p.Phase, BytesDone: p.Done, BytesTotal: p.Total, Sources: p.Sources}})
				}},
			Done: func(ctx context.Context, got replica.Got) {
				n.life.downloaded(nil)
				r := n.getResult(got)
				if got.Began.After(begun) { // of a replica, which hears of revisions by its vote
					begun = got.Began
				}
				r.Seconds = n.now().Sub(begun).Seconds()
				n.reconfigured(t.Set)
				if len(r.Conflicts) > 0 {
					n.tell(api.Event{Kind: api.EventConflict, Set: set, Name: r.Name, Revision: r.Revision, Detail: conflictText(r.Conflicts)})
				}
				n.tell(api.Event{Kind: api.EventComplete, Set: set, Name: r.Name, Revision: r.Revision, Result: &r})
				if wish.Exec != "" && wish.Hooked != r.Revision {
					n.hook(ctx, wish.Exec, r, wish.Hooked)
					wish.Hooked = r.Revision
					n.hooked(set, wish)
				}
			},
			Failed: func(err error) {
				n.life.downloaded(err)
				text := explain(err).Error()
				n.cfg.Log.Warn("follow", "set", set, "err", err)
				n.tell(api.Event{Kind: api.EventFailed, Set: set, Name: name(), Detail: text})
			},
		}
		if err := n.sets.Follow(ctx, t, o); err != nil && ctx.Err() == nil {
			n.cfg.Log.Error("follow ended", "set", set, "err", err)
			n.tell(api.Event{Kind: api.EventEnded, Set: set, Name: name(), Detail: explain(err).Error()})
		}
	})
}

// hooked notes what the hook of a follow was last run for, unless it is not followed any more.
func (n *Node) hooked(set string, wish followWish) {
	err := n.jobs.change(func(w *wishes) {
		if was, ok := w.Follow[set]; ok && was.Exec == wish.Exec {
			was.Hooked = wish.Hooked
			w.Follow[set] = was
		}
	})
	if err != nil {
		n.cfg.Log.Warn("hook: its revision", "set", set, "err", err)
	}
}

func conflictText(all []api.Conflict) string {
	var lines []string
	for _, c := range all {
		if c.Copy == c.Path {
			lines = append(lines, c.Path+" was edited here: it stays, although the revision has it no more")
			continue
		}
		lines = append(lines, c.Path+" was edited here: the edit is kept as "+c.Copy)
	}
	return strings.Join(lines, "\n")
}

// maxHookOutput is how much of what a hook prints is logged.
const maxHookOutput = 4 << 10

// head keeps the beginning of what is written to it.
type head []byte

// Write implements io.Writer.
func (h *head) Write(b []byte) (int, error) {
	*h = append(*h, b[:min(len(b), maxHookOutput-len(*h))]...)
	return len(b), nil
}

// hook runs a follower's command in the folder, with the revision in its environment.
func (n *Node) hook(ctx context.Context, command string, r api.GetResult, previous uint64) {
	shell, flag := "sh", "-c"
	if runtime.GOOS == "windows" {
		shell, flag = "cmd", "/C"
	}
	cmd := exec.CommandContext(ctx, shell, flag, command)
	cmd.Dir = r.Dest
	ownGroup(cmd)
	cmd.WaitDelay = 2 * time.Second // a child of its own may hold its output open
	cmd.Env = append(os.Environ(), "SHOAL_SET="+r.Set, "SHOAL_NAME="+r.Name, "SHOAL_ROOT="+r.Root, "SHOAL_DEST="+r.Dest,
		"SHOAL_REVISION="+strconv.FormatUint(r.Revision, 10), "SHOAL_PREVIOUS="+strconv.FormatUint(previous, 10))
	var out head
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	text := strings.TrimSpace(string(out))
	e := api.Event{Kind: api.EventHook, Set: r.Set, Name: r.Name, Revision: r.Revision}
	if err != nil {
		e.Detail = strings.TrimSpace(err.Error() + "\n" + text)
		n.cfg.Log.Warn("hook failed", "set", r.Set, "revision", r.Revision, "err", err, "output", text)
	} else {
		n.cfg.Log.Info("hook ran", "set", r.Set, "revision", r.Revision, "output", text)
	}
	n.tell(e)
}

// startWatch publishes a shared folder whenever it has changed.
func (n *Node) startWatch(set string, wish watchWish) {
	n.jobs.start("watch "+set, func(ctx context.Context) {
		st, err := os.Stat(wish.Path)
		dir := wish.Path
		if err == nil && !st.IsDir() {
			dir = filepath.Dir(dir) // a set of one file
		}
		notice := func(text string) {
			n.cfg.Log.Warn("watch", "set", set, "path", wish.Path, "notice", text)
			n.tell(api.Event{Kind: api.EventNotice, Set: set, Detail: text})
			n.lookAt(ctx, set) // the folder may be gone, or back
		}
		o := n.watchOptions()
		o.Notice, o.Log = notice, n.cfg.Log.With("set", set)
		o.Skip = func(rel string) bool {
			return rel == worktree.TempDir || strings.HasPrefix(rel, worktree.TempDir+"/")
		}
		err = watch.Folder(ctx, dir, o, func(ctx context.Context, why string) error {
			n.cfg.Log.Debug("watch", "set", set, "path", wish.Path, "why", why)
			q, err := shareOptions(api.ShareRequest{Path: wish.Path, Set: set})
			if err == nil {
				_, err = n.shareNow(ctx, q)
			}
			if err != nil && ctx.Err() == nil {
				n.tell(api.Event{Kind: api.EventFailed, Set: set, Detail: explain(err).Error()})
			}
			return err // it is tried again, with growing pauses
		})
		if err != nil && ctx.Err() == nil {
			notice(fmt.Sprintf("%s is not watched any more: %v", wish.Path, err))
			n.tell(api.Event{Kind: api.EventEnded, Set: set, Detail: err.Error()})
		}
	})
}

// shareNow shares, and tells who listens if there is a new revision.
func (n *Node) shareNow(ctx context.Context, o replica.ShareOptions) (replica.Shared, error) {
	done, err := n.sets.Share(ctx, o)
	if err == nil && done.Changed {
		st := done.Replica.State()
		e := api.Event{Kind: api.EventPublished, Set: st.Set, Name: st.Name, Revision: done.Head.Revision}
		if done.Head.Revision > 1 {
			_, summary, err := n.sets.Diff(ctx, done.Replica, done.Head.Revision-1, done.Head.Revision)
			if err == nil {
				e.Detail = summary.String()
			}
		}
		n.cfg.Log.Info(e.Kind, "set", e.Set, "name", e.Name, "revision", e.Revision, "durable", done.Durable,
			"files", done.Snapshot.Files, "bytes", done.Snapshot.Bytes, "changes", e.Detail)
		n.tell(e)
	}
	return done, err
}
