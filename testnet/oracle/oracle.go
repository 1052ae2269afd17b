// Package oracle knows which bytes may be on the disks of a network: those that an author's folder held when it was
// published. It reads folders itself, with no code of the node, and so finds what a node would never find.
//
// What may be at a path at any moment is what was published there by then, whether or not the publish was accepted: a
// node that refused it may have told others first. A conflict's copy may have whatever was published somewhere in the
// set. So may every path of a set that more than one folder was published to, because a merge follows renames, and a
// path that nobody published, for the same reason; a folder that must equal a snapshot is held against it exactly.
//
// What must be in the folders in the end is what was acknowledged (due.go).
package oracle

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

const (
	// maxRoots of a set are remembered with their snapshots, the newest: checks are of what was published last.
	maxRoots = 64
	// maxWrong files of a folder are named: nobody reads more.
	maxWrong = 100
)

// Wrong is something in a folder that should not be as it is, or there.
type Wrong struct {
	Path   string // slash-separated, in the folder
	Detail string // how it should be, and how it is
}

// Oracle remembers what was published. It is safe for concurrent use.
type Oracle struct {
	mu      sync.Mutex // guards what follows; not held while a file is read
	sets    map[string]*set
	excused map[string]map[string]bool // folder -> path; "" = all of it
	edited  map[string]bool            // folders that differ from what was published last of them
	number  uint64                     // of the last snapshot
}

// set is what was published of one set.
type set struct {
	at      map[place]bool
	paths   map[string][]entry  // each content once
	content map[string]bool     // of any path: entry.String
	authors map[string]Snapshot // folders it was published from, as they were published last
	snapped map[string]bool     // contents of any path that were published: entry.String
	due     map[string]entry    // by path, the last content of it that must be somewhere
	touched map[string]uint64   // by path, the number of the last publish that changed it
	roots   map[string]Snapshot
	order   []string // keys of roots, the oldest first
}

// place is a content at a path.
type place struct{ path, content string }

// New makes an oracle that has seen nothing.
func New() *Oracle {
	return &Oracle{sets: map[string]*set{}, excused: map[string]map[string]bool{}, edited: map[string]bool{}}
}

func (o *Oracle) of(name string) *set {
	s := o.sets[name]
	if s == nil {
		s = &set{at: map[place]bool{}, paths: map[string][]entry{}, content: map[string]bool{}, authors: map[string]Snapshot{}, roots: map[string]Snapshot{},
			snapped: map[string]bool{}, due: map[string]entry{}, touched: map[string]uint64{}}
		o.sets[name] = s
	}
	return s
}

// Publish reads an author's folder, which is about to be published and must not change until that has begun. What it
// holds may be on every disk from now on. Errors: those of Hash.
func (o *Oracle) Publish(set, dir string) (Snapshot, error) {
	snap, err := Hash(context.Background(), dir)
	if err != nil {
		return Snapshot{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	dir = filepath.Clean(dir)
	delete(o.edited, dir)
	o.number++
	snap.number = o.number
	s := o.of(set)
	snap.fresh = s.changes(dir, snap)
	s.learn(snap)
	s.authors[dir] = snap
	return snap, nil
}

func (s *set) learn(snap Snapshot) {
	for path, e := range snap.entries {
		s.add(path, e)
		s.snapped[e.String()] = true
	}
}

// add takes note of what may be at a path.
func (s *set) add(path string, e entry) {
	if p := (place{path, e.String()}); !s.at[p] {
		s.at[p], s.content[p.content] = true, true
		s.paths[path] = append(s.paths[path], e)
	}
}

// Accept remembers that a snapshot became a revision with this root.
func (o *Oracle) Accept(set string, snap Snapshot, root string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.of(set)
	if _, known := s.roots[root]; !known {
		s.order = append(s.order, root)
	}
	s.roots[root] = snap
	if len(s.order) > maxRoots {
		delete(s.roots, s.order[0])
		s.order = s.order[1:]
	}
}

// Snapshot is what was accepted as a root. It is not known of a merge that nobody accepted as a snapshot.
func (o *Oracle) Snapshot(set, root string) (Snapshot, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.of(set).roots[root]
	return s, ok
}

// Edited says that an author is about to edit a folder, or has: what is in it is not checked until it is published.
func (o *Oracle) Edited(dir string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.edited[filepath.Clean(dir)] = true
}

// Excuse says that a path of a folder, or all below it, may hold anything from now on, as may copies of it that a
// conflict makes: somebody edited or damaged it on purpose. "" = all of the folder.
func (o *Oracle) Excuse(dir, path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	dir = filepath.Clean(dir)
	if o.excused[dir] == nil {
		o.excused[dir] = map[string]bool{}
	}
	o.excused[dir][filepath.ToSlash(path)] = true
}

// Insist takes back what was excused in a folder: the damage was healed.
func (o *Oracle) Insist(dir string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.excused, filepath.Clean(dir))
}

// Check reads a node's folder of a set. Without final, each of its files and symlinks must be one that was published;
// with it, the folder must equal it. What a node has not finished is left out. At most 100 are given, in the order of
// their paths. Errors: those of Hash.
func (o *Oracle) Check(ctx context.Context, set, dir string, final *Snapshot) ([]Wrong, error) {
	dir = filepath.Clean(dir)
	found := map[string]string{} // path -> why
	seen := map[string]bool{}
	err := walk(ctx, dir, func(path string, e entry) error {
		seen[path] = true
		why := ""
		if final != nil {
			why = o.exactly(dir, path, e, *final)
		} else {
			why = o.published(set, dir, path, e)
		}
		if why != "" {
			found[path] = why
		}
		if len(found) >= maxWrong {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", dir, err)
	}
	if final != nil && len(found) < maxWrong {
		for path, want := range final.entries {
			if !seen[path] && !o.free(dir, path) {
				found[path] = fmt.Sprintf("it should be %s, and is not there", want)
			}
		}
	}
	return sorted(found), nil
}

func sorted(found map[string]string) []Wrong {
	var out []Wrong
	for path, why := range found {
		out = append(out, Wrong{path, why})
	}
	slices.SortFunc(out, func(a, b Wrong) int { return cmp.Compare(a.Path, b.Path) })
	return out[:min(len(out), maxWrong)]
}

// exactly says in what an entry is not as a snapshot has it.
func (o *Oracle) exactly(dir, path string, e entry, final Snapshot) string {
	want, ok := final.entries[path]
	why := e.differs(want)
	switch {
	case ok && why == "" || o.free(dir, path):
		return ""
	case !ok:
		return fmt.Sprintf("it should not be there, and is %s", e)
	}
	return why
}

// published says why an entry is none that was published. Whether it is excused is asked after it was read.
func (o *Oracle) published(set, dir, path string, e entry) string {
	if e.kind == 'd' || o.free(dir, path) {
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s, content := o.of(set), e.String()
	was := s.paths[path]
	anywhere := original(path) != path || len(s.authors) > 1 || len(was) == 0
	switch {
	case s.at[place{path, content}] || anywhere && s.content[content]:
		return ""
	case len(was) == 0:
		return fmt.Sprintf("it is %s, and nobody published that under any name", content)
	}
	last := was[len(was)-1]
	return fmt.Sprintf("it is %s, which is none of the %d contents that were published there; the last was %s", content, len(was), last)
}

// mark is what a conflict puts into the name of a copy, by a node or in a merge.
var mark = regexp.MustCompile(`\.conflict-[0-9A-Za-z]+-[0-9]+(-[0-9]+)?`)

// original is the path that a conflict's copy is of; path itself if it is none.
func original(path string) string { return mark.ReplaceAllString(path, "") }

// free tells whether a path of a folder may hold anything.
func (o *Oracle) free(dir, path string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.edited[dir] || o.excuses(dir, path)
}

// excuses tells whether a path of a folder was damaged or edited on purpose. mu is held.
func (o *Oracle) excuses(dir, path string) bool {
	excused := o.excused[dir]
	if len(excused) == 0 {
		return false
	}
	for _, p := range []string{path, original(path)} {
		for at := range maps.Keys(excused) {
			if at == "" || at == p || strings.HasPrefix(p, at+"/") {
				return true
			}
		}
	}
	return false
}
