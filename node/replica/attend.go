package replica

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

const (
	// foldersEvery is how often the folders of sets are looked for: somebody who is told by an alert is so within
	// minutes anyway, and to look for one is one call of the system.
	foldersEvery = time.Minute
	// attendSoon is how long blocks are gathered that could not be given, before they are looked at: who asks for one
	// block of a file asks for the others next. A set that is being worked on is looked at again after it, too.
	attendSoon = time.Second
	// attendShare bounds what those can cost who ask for what is no block of a set: a twentieth of a core.
	attendShare = 20
)

// Attend looks after the bytes that this node promises to others, until ctx ends: whether the folders of its sets are
// there, and whether what could not be given to somebody is lost.
func (r *Registry) Attend(ctx context.Context) error {
	folders := time.NewTicker(foldersEvery)
	defer folders.Stop()
	wake := time.NewTimer(0)
	defer wake.Stop()
	look, soon, pause := true, true, attendSoon
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-folders.C:
			look, soon = true, true
			wake.Reset(0)
		case <-r.worries:
			if !soon { // who asks again and again does not put it off
				soon = true
				wake.Reset(pause)
			}
		case <-wake.C:
			begun := time.Now()
			next := r.attendAll(ctx, look)
			look, soon, pause = false, false, max(attendSoon, attendShare*time.Since(begun))
			if next > 0 {
				wake.Reset(max(next, pause))
			}
		}
	}
}

// attendAll attends to every set; with look also to the folders, and to what was found before. It tells when to come
// again, 0 = when somebody worries.
func (r *Registry) attendAll(ctx context.Context, look bool) (next time.Duration) {
	for _, rep := range r.all() {
		if ctx.Err() != nil {
			return 0
		}
		if look {
			r.LookAt(ctx, rep)
		}
		if again := r.attend(ctx, rep); again > 0 && (next == 0 || again < next) {
			next = again
		}
	}
	return next
}

// worry notes that a block could not be given to somebody. Others may ask for anything: whether it is lost is found out
// by Attend.
func (r *Registry) worry(rep *Replica, c cid.Cid) {
	now := r.cfg.Now()
	rep.mu.Lock()
	rep.health.suspect(c, now)
	rep.mu.Unlock()
	select {
	case r.worries <- struct{}{}:
	default: // it is about to be looked at
	}
}

// promised is the root of the revision that others are told is here; false if they are told of none.
func (p *Replica) promised() (root cid.Cid, ok bool) {
	h, ok := p.Head()
	return h.Root, ok && p.State().Complete
}

// relied tells whether others count on this node for a set: as its author, as a replica, or because it holds the set for
// them. What somebody has fetched for himself is his to change and to remove.
func (r *Registry) relied(rep *Replica) bool {
	st := rep.State()
	return st.Shared || st.Dir == r.Keep(rep.id) || slices.Contains(rep.Verified().Config.Voters, r.self)
}

// Harm is what is known to be wrong with what others are promised of a set.
func (r *Registry) Harm(rep *Replica) Harm {
	root, ok := rep.promised()
	rep.mu.Lock()
	defer rep.mu.Unlock()
	if !ok {
		return Harm{}
	}
	return *rep.health.of(root)
}

// patience is how long what could not be given may be missing without being lost.
func (r *Registry) patience(rep *Replica) time.Duration {
	if r.cfg.Settles == nil {
		return 0
	}
	return r.cfg.Settles(rep)
}

// attend finds out whether blocks of a set are lost that could not be given to somebody. It tells when to come again, 0 =
// when somebody worries. Blocks of other revisions than the newest nobody was promised.
func (r *Registry) attend(ctx context.Context, rep *Replica) (again time.Duration) {
	rep.mu.Lock()
	calm := len(rep.health.suspects) == 0
	rep.mu.Unlock()
	if calm {
		return 0
	}
	now, patience := r.cfg.Now(), r.patience(rep)
	root, ok := rep.promised()
	ok = ok && r.relied(rep)
	rep.mu.Lock()
	if !ok {
		rep.health.suspects = nil
		rep.mu.Unlock()
		return 0
	}
	if rep.busy || rep.session != nil { // what its folder is being made into nobody can say yet
		rep.mu.Unlock()
		return attendSoon
	}
	every, _ := rep.health.due(now, 0)
	due, next := rep.health.due(now, patience)
	lost := slices.Clone(rep.health.lost)
	rep.mu.Unlock()
	lay, others, err := r.sift(ctx, rep, root, every)
	if err != nil {
		r.cfg.Log.Debug("look after a set", "set", rep.id, "err", err)
	}
	rep.mu.Lock()
	rep.health.clear(others)
	rep.mu.Unlock()
	due = slices.DeleteFunc(due, func(c cid.Cid) bool { return slices.Contains(others, c) })
	if len(due) == 0 {
		return next
	}
	r.judge(ctx, rep, lay, root, append(lost, due...))
	rep.mu.Lock()
	rep.health.clear(due)
	rep.mu.Unlock()
	return next
}

// sift flattens a promised revision and tells which of the suspects are none of its blocks. A layout of nil means that
// its own folders cannot be read.
func (r *Registry) sift(ctx context.Context, rep *Replica, root cid.Cid, suspects []cid.Cid) (lay *dag.Layout, others []cid.Cid, err error) {
	nodes := slices.ContainsFunc(suspects, func(c cid.Cid) bool { return c.Type() != cid.Raw })
	if nodes { // the one in memory says nothing of the store
		lay, err = dag.ReadLayout(ctx, root, r.nodesOf(rep.id), dag.DefaultLimits())
	} else {
		lay, err = r.layoutOf(ctx, rep.id, root)
	}
	switch {
	case isMissing(err):
		return nil, nil, nil
	case err != nil:
		return nil, suspects, err
	}
	left := make(map[cid.Cid]bool, len(suspects))
	for _, c := range suspects {
		left[c] = true
	}
	for _, l := range lay.Leaves {
		delete(left, l.Cid)
	}
	for c := range left {
		others = append(others, c)
	}
	return lay, others, nil
}

// judge reads blocks of a promised revision again, and takes those that are not to be had for lost.
func (r *Registry) judge(ctx context.Context, rep *Replica, lay *dag.Layout, root cid.Cid, blocks []cid.Cid) {
	if lay == nil {
		r.found(rep, root, 1, []cid.Cid{root}, nil)
		return
	}
	var buf []byte
	lost := map[cid.Cid]bool{}
	for _, c := range blocks {
		data, err := r.cfg.Store.GetFrom(ctx, rep.id, c, buf)
		switch {
		case isMissing(err):
			lost[c] = true
		case err == nil:
			buf = data
		}
	}
	bad := map[uint32]bool{}
	var all []cid.Cid
	for n, l := range lay.Leaves {
		if lost[l.Cid] {
			bad[uint32(n)] = true
			all = append(all, l.Cid)
		}
	}
	r.found(rep, root, len(all), all, filesWith(lay, bad))
}

// found takes what was found of a promised revision for what is so, and tells of it.
func (r *Registry) found(rep *Replica, root cid.Cid, blocks int, lost []cid.Cid, files []string) {
	r.diagnose(rep, root, func(h *health) { h.found(root, blocks, lost, files) })
}

// diagnose changes what is known of a promised revision, and tells if harm has come or gone by it.
func (r *Registry) diagnose(rep *Replica, root cid.Cid, change func(*health)) {
	if now, ok := rep.promised(); !ok || now != root {
		return
	}
	rep.mu.Lock()
	change(&rep.health)
	harm, changed := rep.health.changed(root)
	lost := slices.Clone(rep.health.lost)
	known := rep.state.Refused == harm.Refused && (len(rep.state.Lost) > 0) == (len(lost) > 0)
	rep.mu.Unlock()
	if !known {
		r.remember(rep, harm, lost)
	}
	if changed && r.cfg.Harmed != nil {
		r.cfg.Harmed(rep, harm)
	}
}

// LookAt looks whether the folder of a set is there, and whether what was found to be lost is back.
func (r *Registry) LookAt(ctx context.Context, rep *Replica) {
	root, ok := r.glance(ctx, rep)
	if !ok {
		return
	}
	rep.mu.Lock()
	lost, files, seen := slices.Clone(rep.health.lost), rep.health.harm.Files, rep.health.seen
	rep.mu.Unlock()
	if len(lost) == 0 {
		return
	}
	if st := rep.State(); st.Shared {
		if now := looks(st, files); now != seen && r.reread(ctx, rep) == nil {
			rep.mu.Lock()
			rep.health.seen = now
			rep.mu.Unlock()
		}
	}
	if lay, _, err := r.sift(ctx, rep, root, lost); err == nil {
		r.judge(ctx, rep, lay, root, lost)
	}
}

// glance looks whether the folder of a set is there, and reads nothing in it; false if there is nothing to look at now.
func (r *Registry) glance(ctx context.Context, rep *Replica) (root cid.Cid, ok bool) {
	root, ok = rep.promised()
	if !ok || rep.working() {
		return root, false
	}
	gone := ""
	if r.relied(rep) {
		gone = r.missing(ctx, rep)
	}
	back := gone == "" && r.Harm(rep).Refused != "" && r.complete(ctx, rep, root)
	r.diagnose(rep, root, func(h *health) {
		if h.of(root).Folder = gone; back {
			h.of(root).Refused = ""
		}
	})
	return root, true
}

// complete tells whether every file of a revision is in the folder of the set, whatever is in it.
func (r *Registry) complete(ctx context.Context, rep *Replica, root cid.Cid) bool {
	lay, err := r.layoutOf(ctx, rep.id, root)
	if err != nil {
		return false
	}
	b, st := base{lay: lay}, rep.State()
	b.look(st.Dir, true)
	return len(b.lost) == 0
}

// working tells whether a set is being shared or fetched.
func (p *Replica) working() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy || p.session != nil
}

// concluded takes into account what came of a publish: it read the folder as it is now.
func (r *Registry) concluded(ctx context.Context, o ShareOptions, err error) {
	rep, unknown := r.find(o)
	if unknown != nil || rep == nil {
		return
	}
	if root, ok := rep.promised(); ok && (err == nil || errors.Is(err, ErrDeletions)) {
		refused := ""
		if err != nil {
			refused = strings.TrimPrefix(err.Error(), "share "+o.Dir+": ")
		}
		r.diagnose(rep, root, func(h *health) { h.of(root).Refused = refused })
	}
	r.LookAt(ctx, rep)
}

// remember has harm outlive the program: an alert must not end because the machine was started anew.
func (r *Registry) remember(rep *Replica, h Harm, lost []cid.Cid) {
	err := r.change(rep, func(st *State) error {
		st.Refused, st.Lost = h.Refused, nil
		for _, c := range lost {
			st.Lost = append(st.Lost, c.String())
		}
		return nil
	})
	if err != nil {
		r.cfg.Log.Warn("remember what is lost of a set", "set", rep.id, "err", err)
	}
}

// recall takes up what was remembered: blocks are looked at again before anybody is told.
func (h *health) recall(st State, root cid.Cid, now time.Time) {
	h.of(root).Refused = st.Refused
	for _, text := range st.Lost {
		if c, err := cid.Decode(text); err == nil { // else a hint, and a damaged one
			h.suspect(c, now)
		}
	}
}

// reread reads the author's folder anew where bytes of it were missing: the store knows a file that was put back only
// once it has been scanned. Nothing is published.
func (r *Registry) reread(ctx context.Context, rep *Replica) error {
	st := rep.State()
	place := filepath.Join(st.Dir, st.Only)
	if err := r.claim(place); err != nil {
		return err
	}
	defer r.unclaim(place)
	if err := rep.acquire(); err != nil {
		return err
	}
	defer rep.release()
	_, err := r.scan(ctx, r.cfg.Store, rep.id, rep.Verified().Genesis.Profile, ShareOptions{Dir: st.Dir, Only: st.Only})
	return err
}
