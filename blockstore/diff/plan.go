package diff

import (
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// Source is where a leaf comes from.
type Source uint8

// The sources.
const (
	Reuse Source = iota + 1 // it lies on this disk
	Patch                   // it is rebuilt from a patch and leaves that lie on this disk
	Fetch                   // it is received whole
)

// String is a word for people.
func (s Source) String() string {
	words := [...]string{"unknown", "reused", "patched", "fetched"}
	if int(s) >= len(words) {
		s = 0
	}
	return words[s]
}

// LeafPlan says how to come by a leaf.
type LeafPlan struct {
	Source Source
	Base   []cid.Cid // of Patch: the leaves to patch, at most MaxBases, all on this disk, in file order
}

// Action is what happens to a file of the new revision.
type Action uint8

// The actions.
const (
	Keep  Action = iota + 1 // its content is in place
	Move                    // it is renamed; the old revision had its content under a path that is gone
	Build                   // it is put together from its leaves
)

// String is a word for people.
func (a Action) String() string {
	words := [...]string{"unknown", "keep", "move", "build"}
	if int(a) >= len(words) {
		a = 0
	}
	return words[a]
}

// FilePlan says what happens to a file of the new revision.
type FilePlan struct {
	Entry  int // in the new layout
	Path   string
	Action Action
	From   string // of Move: the old path
	Attr   bool   // of Keep and Move: mode or mtime are to be set
	// Where its bytes come from. A leaf that is patched or fetched counts so at its first place in the revision
	// and as reused at all others.
	Reused, Patched, Fetched int64
}

// Plan says how to get a revision onto a disk. It is a value: whoever prints it and whoever carries it out use
// the same one. It holds no order of steps; whoever carries it out keeps the bytes of a file that is replaced,
// moved or removed until everything that needs them as source or base is done.
type Plan struct {
	Root   cid.Cid
	Leaves []LeafPlan // of each leaf of the new layout
	Files  []FilePlan // of each file, in the order of the layout
	// Others are the symlinks and folders that are made or get another target, mode or mtime: entries of the new
	// layout, in order.
	Others []int
	// Gone are the paths of the old revision that are to be removed, a folder before what lies in it: those
	// that the new one lacks, but for files that are moved, and those where it has another kind of entry.
	Gone []string
	// Total is Reused + Patched + Fetched: the bytes of all files, counted as in FilePlan.
	Total, Reused, Patched, Fetched int64
}

// NewPlan plans how to get from the old revision, which may be nil, to the new one. here tells whether a leaf is
// on this disk, in whatever file; it is asked once for each leaf of the new revision, and for bases.
func NewPlan(new, old *dag.Layout, here func(cid.Cid) bool) *Plan {
	c := compare(old, new)
	p := &Plan{Root: new.Root, Leaves: make([]LeafPlan, len(new.Leaves))}
	for i, l := range new.Leaves {
		p.Leaves[i].Source = Fetch
		if here(l.Cid) {
			p.Leaves[i].Source = Reuse
		}
	}
	for _, f := range c.leaves() {
		for _, r := range f.Runs {
			p.patch(c, f, r, here)
		}
	}
	p.addFiles(c)
	p.addOthers(c)
	for i, e := range c.old.entries {
		j := c.toNew[i]
		if j < 0 || c.new.entries[j].Kind != e.Kind || c.new.entries[j].Path != e.Path && !p.moves(c, int(j)) {
			p.Gone = append(p.Gone, e.Path)
		}
	}
	return p
}

// patch makes patches of the leaves of run r of file f, if they are not here and some of its bases are.
func (p *Plan) patch(c *comparison, f FileRuns, r Run, here func(cid.Cid) bool) {
	var base []cid.Cid
	for _, place := range r.Base {
		b := c.old.leaves[c.old.entries[f.Old].Leaves[place]].Cid
		if !slices.Contains(base, b) && here(b) {
			base = append(base, b)
		}
	}
	if len(base) == 0 {
		return
	}
	for _, l := range c.new.entries[f.New].Leaves[r.New.First : r.New.First+r.New.N] {
		if p.Leaves[l].Source == Fetch {
			p.Leaves[l] = LeafPlan{Source: Patch, Base: base}
		}
	}
}

// addFiles fills Files and the totals.
func (p *Plan) addFiles(c *comparison) {
	counted := make([]bool, len(p.Leaves))
	whole := map[cid.Cid]bool{} // of each distinct file, whether all of its leaves are here
	for j := range c.new.entries {
		e := &c.new.entries[j]
		if e.Kind != dag.KindFile {
			continue
		}
		f := FilePlan{Entry: j, Path: e.Path, Action: Build}
		if _, again := whole[e.Cid]; !again {
			all := true
			for _, l := range e.Leaves {
				all = all && p.Leaves[l].Source == Reuse
				if counted[l] {
					continue
				}
				counted[l] = true
				switch size := int64(c.new.leaves[l].Size); p.Leaves[l].Source {
				case Patch:
					f.Patched += size
				case Fetch:
					f.Fetched += size
				}
			}
			whole[e.Cid] = all
		}
		f.Reused = e.Size - f.Patched - f.Fetched
		if i := c.toOld[j]; i >= 0 && whole[e.Cid] && !c.changed(j) {
			f.Action, f.Attr = Keep, !sameAttr(c.old.entries[i].Attr, e.Attr)
			if from := c.old.entries[i].Path; from != e.Path {
				f.Action, f.From = Move, from
			}
		}
		p.Files = append(p.Files, f)
		p.Total += e.Size
		p.Reused += f.Reused
		p.Patched += f.Patched
		p.Fetched += f.Fetched
	}
}

// addOthers fills Others.
func (p *Plan) addOthers(c *comparison) {
	for j := range c.new.entries {
		n := &c.new.entries[j]
		if n.Kind == dag.KindFile {
			continue
		}
		if i := c.toOld[j]; i >= 0 {
			o := &c.old.entries[i]
			if o.Path == n.Path && o.Kind == n.Kind && o.Target == n.Target && sameAttr(o.Attr, n.Attr) {
				continue
			}
		}
		p.Others = append(p.Others, j)
	}
}

// Touches tells whether an entry of the new layout is not already on a disk that holds the old revision as it
// was: the entries for which it is true are all that must be made or changed there, besides removing Gone. It
// is what dag.Layout.Part asks for.
func (p *Plan) Touches(entry int) bool {
	if at, ok := p.file(entry); ok {
		return p.Files[at].Action != Keep || p.Files[at].Attr
	}
	_, other := slices.BinarySearch(p.Others, entry)
	return other
}

// file finds the plan of an entry of the new layout, if it is a file.
func (p *Plan) file(entry int) (at int, ok bool) {
	return slices.BinarySearchFunc(p.Files, entry, func(f FilePlan, entry int) int { return f.Entry - entry })
}

// moves tells whether new entry j is a file that is moved.
func (p *Plan) moves(c *comparison, j int) bool {
	at, ok := p.file(j)
	return ok && p.Files[at].Action == Move
}

// Equal tells whether p and q say the same.
func (p *Plan) Equal(q *Plan) bool {
	return p.Root == q.Root &&
		p.Total == q.Total && p.Reused == q.Reused && p.Patched == q.Patched && p.Fetched == q.Fetched &&
		slices.Equal(p.Files, q.Files) && slices.Equal(p.Others, q.Others) && slices.Equal(p.Gone, q.Gone) &&
		slices.EqualFunc(p.Leaves, q.Leaves, func(a, b LeafPlan) bool {
			return a.Source == b.Source && slices.Equal(a.Base, b.Base)
		})
}

// Lines describes the plan in words: a line for each file that is not simply kept, a line for each path that
// goes, and two with the totals. Paths are quoted; no line contains a line break. Sizes are in bytes.
func (p *Plan) Lines() []string {
	var lines []string
	count := map[Action]int{}
	for _, f := range p.Files {
		count[f.Action]++
		switch {
		case f.Action == Move && f.Attr:
			lines = append(lines, fmt.Sprintf("move %q from %q and set attributes", f.Path, f.From))
		case f.Action == Move:
			lines = append(lines, fmt.Sprintf("move %q from %q", f.Path, f.From))
		case f.Action == Build:
			lines = append(lines, fmt.Sprintf("build %q: %d bytes reused, %d patched, %d fetched",
				f.Path, f.Reused, f.Patched, f.Fetched))
		case f.Attr:
			lines = append(lines, fmt.Sprintf("keep %q and set attributes", f.Path))
		}
	}
	for _, path := range p.Gone {
		lines = append(lines, fmt.Sprintf("remove %q", path))
	}
	return append(lines,
		fmt.Sprintf("%d files: %d kept, %d moved, %d built; %d paths removed",
			len(p.Files), count[Keep], count[Move], count[Build], len(p.Gone)),
		fmt.Sprintf("%d bytes: %d reused, %d patched, %d fetched", p.Total, p.Reused, p.Patched, p.Fetched))
}
