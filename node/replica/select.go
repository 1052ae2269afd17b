package replica

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

var (
	ErrPattern  = errors.New("not a pattern") // of a selection
	ErrSelected = errors.New("nothing fits")  // a pattern of a selection
)

const (
	// maxPatterns is as many as one peek lists: a person chose them there.
	maxPatterns = 10_000
	// maxGlobs bounds those that are no path of the revision: each of them is held against every entry.
	maxGlobs = 100
	// maxPattern is what a path may have.
	maxPattern = 4096
)

// Selection says which part of a revision is wanted. A pattern that is the path of an entry chooses that entry, and what
// it chooses if it is a folder, all below it. Any other is held against paths: *, ? and [ fit within a name, as
// in path.Match, ** any number of folders, and a pattern without a slash fits a name in any folder. A slash in front
// stands for the top of the set. Nothing that a pattern says leads out of the set: it only chooses among its entries.
type Selection struct{ patterns []string }

// NewSelection checks patterns as far as that is possible without the revision. Errors: ErrPattern.
func NewSelection(patterns []string) (Selection, error) {
	if len(patterns) == 0 || len(patterns) > maxPatterns {
		return Selection{}, fmt.Errorf("%w: 1 to %d are possible, not %d", ErrPattern, maxPatterns, len(patterns))
	}
	for _, p := range patterns {
		if p == "" || len(p) > maxPattern {
			return Selection{}, fmt.Errorf("%w: one has 1 to %d bytes", ErrPattern, maxPattern)
		}
	}
	return Selection{slices.Clone(patterns)}, nil
}

// of tells of each entry whether it is chosen, itself or with a folder above it. Every pattern has to choose something.
// Errors: ErrPattern, ErrSelected.
func (s Selection) of(lay *dag.Layout) ([]bool, error) {
	chosen := make([]bool, len(lay.Entries))
	exact := make(map[string]bool, len(s.patterns)) // by path; true once it is one
	for _, p := range s.patterns {
		exact[bare(p)] = false
	}
	for i, e := range lay.Entries {
		if _, ok := exact[e.Path]; ok {
			exact[e.Path], chosen[i] = true, true
		}
	}
	globs, err := s.globs(exact)
	if err != nil {
		return nil, err
	}
	if len(globs) > 0 {
		for i, e := range lay.Entries {
			if e.Path == "" {
				continue
			}
			names := strings.Split(e.Path, "/")
			for _, g := range globs {
				if g.fits(names) {
					g.used, chosen[i] = true, true
				}
			}
		}
	}
	for _, p := range s.patterns {
		used := exact[bare(p)] || slices.ContainsFunc(globs, func(g *glob) bool { return g.text == p && g.used })
		if !used {
			return nil, fmt.Errorf("%w %q; %s", ErrSelected, p, lies(lay, p))
		}
	}
	inherit(lay, chosen)
	return chosen, nil
}

// inherit chooses what lies in chosen folders.
func inherit(lay *dag.Layout, chosen []bool) {
	var above []bool // of the folders above the entry looked at, the root first: whether they are chosen
	for i, e := range lay.Entries {
		depth := 0
		if e.Path != "" {
			depth = 1 + strings.Count(e.Path, "/")
			chosen[i] = chosen[i] || above[depth-1]
		}
		above = append(above[:depth], chosen[i])
	}
}

// bare is a pattern as the path that it may be.
func bare(pattern string) string { return strings.Trim(path.Clean("/"+pattern), "/") }

// glob is a pattern that is no path.
type glob struct {
	text  string
	names []string
	used  bool
	now   []bool // see fits
}

// globs are the patterns that are no path of the revision.
func (s Selection) globs(exact map[string]bool) ([]*glob, error) {
	var out []*glob
	for _, p := range s.patterns {
		if exact[bare(p)] || !strings.ContainsAny(p, `*?[\`) {
			continue
		}
		if len(out) == maxGlobs {
			return nil, fmt.Errorf("%w: %d with * ? or [ are possible, beside those that are paths", ErrPattern, maxGlobs)
		}
		g, err := newGlob(p)
		if err != nil {
			return nil, err
		}
		out = append(out, g)
	}
	return out, nil
}

func newGlob(text string) (*glob, error) {
	g := &glob{text: text}
	if !strings.Contains(text, "/") {
		g.names = []string{"**"}
	}
	for n := range strings.SplitSeq(text, "/") {
		if n == "" || n == "." || n == "**" && len(g.names) > 0 && g.names[len(g.names)-1] == n {
			continue
		}
		if _, err := path.Match(n, ""); err != nil {
			return nil, fmt.Errorf("%w: %q: a [ has its ], and \\[ is the character", ErrPattern, text)
		}
		g.names = append(g.names, n)
	}
	return g, nil
}

// fits holds the glob against the names of a path, in time proportional to those of both.
func (g *glob) fits(names []string) bool {
	now := append(g.now[:0], true) // now[j]: the glob's names so far fit the first j names of the path
	for range names {
		now = append(now, false)
	}
	g.now = now
	for _, want := range g.names {
		if want == "**" {
			for j := 1; j <= len(names); j++ {
				now[j] = now[j] || now[j-1]
			}
			continue
		}
		for j := len(names); j > 0; j-- {
			ok := false
			if now[j-1] {
				ok, _ = path.Match(want, names[j-1]) // it was checked
			}
			now[j] = ok
		}
		now[0] = false
	}
	return now[len(names)]
}

// lies says what there is where a pattern that chooses nothing looks: in the innermost folder that it names.
func lies(lay *dag.Layout, pattern string) string {
	const told = 10 // names, for one line
	dir := bare(pattern)
	for dir != "" && !slices.ContainsFunc(lay.Entries, func(e dag.Entry) bool { return e.Kind == dag.KindDir && e.Path == dir }) {
		dir = strings.TrimPrefix(path.Dir("/"+dir), "/")
	}
	var names []string
	more := 0
	for _, e := range lay.Entries {
		if e.Path == "" || strings.TrimPrefix(path.Dir("/"+e.Path), "/") != dir {
			continue
		}
		if len(names) == told {
			more++
			continue
		}
		name := fmt.Sprintf("%q", path.Base(e.Path))
		if e.Kind == dag.KindDir {
			name += " (a folder)"
		}
		names = append(names, name)
	}
	where := "at the top"
	if dir != "" {
		where = fmt.Sprintf("in %q", dir)
	}
	switch {
	case len(names) == 0:
		return "nothing is " + where
	case more > 0:
		return fmt.Sprintf("there is %s: %s and %d more", where, strings.Join(names, ", "), more)
	}
	return fmt.Sprintf("there is %s: %s", where, strings.Join(names, ", "))
}
