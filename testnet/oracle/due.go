package oracle

import (
	"context"
	"fmt"
	"path/filepath"
)

// What was acknowledged must stay, in its file or in a conflict's copy of it, until somebody changes that file again. A
// merge may move it, so it is looked for under every name. Only contents that nobody had published before are looked
// for, and of each path only the newest: who changes a file after another one may have meant to replace that content,
// or have it from there. So nothing is missed that may be gone, and what two authors wrote at paths of their own, or at
// one path, the later one, is found out if it is lost.

// changes notes what is different in a folder since it was published last, and gives the paths that have new contents.
// It comes before the snapshot is learned.
func (s *set) changes(dir string, snap Snapshot) (fresh []string) {
	before := s.authors[dir].entries
	for path, e := range snap.entries {
		old, was := before[path]
		if was && old.same(e) {
			continue
		}
		if was {
			s.release(old)
		}
		if want, ok := s.due[path]; ok && want.same(e) {
			continue // it came from who wrote it
		}
		delete(s.due, path)
		s.touched[path] = snap.number
		if e.kind != 'd' && !s.snapped[e.String()] {
			fresh = append(fresh, path)
		}
	}
	for path, old := range before {
		if _, ok := snap.entries[path]; !ok {
			s.release(old)
			delete(s.due, path)
			s.touched[path] = snap.number
		}
	}
	return fresh
}

// release lets a content go that somebody replaced or removed, under whatever name he had it: it is looked for under
// every name.
func (s *set) release(old entry) {
	for path, e := range s.due {
		if e.same(old) {
			delete(s.due, path)
		}
	}
}

// same tells whether two entries have one content.
func (e entry) same(o entry) bool { return e.kind == o.kind && e.sum == o.sum && e.target == o.target }

// Acknowledge says that the publish of a snapshot was called durable: what it brought must be in every folder that is
// at the newest revision from now on.
func (o *Oracle) Acknowledge(set string, snap Snapshot) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.of(set)
	for _, path := range snap.fresh {
		if s.touched[path] == snap.number {
			s.due[path] = snap.entries[path]
		}
	}
}

// Lost reads a folder that is complete at the newest revision, all merges done, and gives what was acknowledged and is
// nowhere in it, in the order of the paths it was published at, at most 100. Errors: those of Hash.
func (o *Oracle) Lost(ctx context.Context, set, dir string) ([]Wrong, error) {
	has := map[string]bool{}
	err := walk(ctx, filepath.Clean(dir), func(_ string, e entry) error {
		has[e.String()] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for what was acknowledged in %s: %w", dir, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.edited[filepath.Clean(dir)] { // by who has not published it yet: what he replaced is elsewhere
		return nil, nil
	}
	found := map[string]string{}
	for path, e := range o.of(set).due {
		if !has[e.String()] && !o.excuses(filepath.Clean(dir), path) {
			found[path] = fmt.Sprintf("%s was called durable, was not changed since, and is under no name", e)
		}
	}
	return sorted(found), nil
}
