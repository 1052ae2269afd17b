package merge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// TestRules is what people may rely on. The sides write as A, B, C, with seq 1, 2, 3; A wins.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		name, base string
		sides      []string
		want       string
		conflicts  string
	}{
		{"nothing", "a=1", []string{"a=1", "a=1"}, "a=1", ""},
		{"changed on one side", "a=1 b=1", []string{"a=2 b=1", "a=1 b=3"}, "a=2 b=3", ""},
		{"equal changes", "a=1 b=2", []string{"a=3 b=2 c=4", "a=3 b=2 c=4"}, "a=3 b=2 c=4", ""},
		{"added and removed", "a=1 b=1 c=1", []string{"b=1 c=1 d=4", "a=1 c=1 e=5"}, "c=1 d=4 e=5", ""},
		{"removed on both", "a=1 b=2", []string{"b=2", "b=2"}, "b=2", ""},
		{"both changed", "a.txt=1", []string{"a.txt=2", "a.txt=3"}, "a.conflict-B-2.txt=3 a.txt=2", "a.txt>a.conflict-B-2.txt@1"},
		{"both added", "", []string{"d/a=2", "d/a=3"}, "d/a=2 d/a.conflict-B-2=3", "d/a>d/a.conflict-B-2@1"},
		{"copy's name taken", "a=1", []string{"a=2 a.conflict-B-2=7", "a=3 a.conflict-B-2-2=8"},
			"a=2 a.conflict-B-2=7 a.conflict-B-2-2=8 a.conflict-B-2-3=3", "a>a.conflict-B-2-3@1"},
		{"copy is there", "a=1", []string{"a=2 a.conflict-B-2=3", "a=3"}, "a=2 a.conflict-B-2=3", ""},
		{"three sides", "a=1", []string{"a=2", "a=3", "a=4"}, "a=2 a.conflict-B-2=3 a.conflict-C-3=4",
			"a>a.conflict-B-2@1 a>a.conflict-C-3@2"},
		{"three sides, two equal losers", "a=1", []string{"a=2", "a=3", "a=3"}, "a=2 a.conflict-B-2=3", "a>a.conflict-B-2@1"},
		{"three sides, winner unchanged", "a=1 b=1", []string{"a=1 b=1", "a=3 b=1", "a=4"}, "a=3 a.conflict-C-3=4", "a>a.conflict-C-3@2"},

		{"edit beats removal", "a=1 b=1 c->x", []string{"a=2 c->y", "b=3"}, "a=2 b=3 c->y", ""},
		{"mode change beats removal", "a=1 b=1", []string{"a=1!600", "b=1!700"}, "a=1!600 b=1!700", ""},
		{"both modes", "a=1 d/!700", []string{"a=1!600 d/!711", "a=1!700 d/!722"}, "a=1!600 d/!711", ""},
		{"mode and content", "a=1 b=1", []string{"a=1!600 b=2", "a=2 b=1!600"}, "a=2 b=2", ""},
		{"same content, other mode", "", []string{"a=1", "a=1!600"}, "a=1", ""},

		{"symlinks", "l->1 m->1 n->1", []string{"l->2 m->1 n->2", "l->1 m->3 n->3"}, "l->2 m->3 n->2 n.conflict-B-2->3", "n>n.conflict-B-2@1"},
		{"symlink and file", "a=1", []string{"a->x", "a=2"}, "a->x a.conflict-B-2=2", "a>a.conflict-B-2@1"},

		{"folder and file added", "", []string{"n=1", "n/a=2"}, "n/a=2 n.conflict-A-1=1", "n>n.conflict-A-1@0"},
		{"file becomes a folder", "n=1", []string{"n/a=2", "n=3"}, "n/a=2 n.conflict-B-2=3", "n>n.conflict-B-2@1"},
		{"file becomes a folder on one side", "n=1", []string{"n/a=2", "n=1"}, "n/a=2", ""},
		{"file becomes a folder, removed", "n=1", []string{"n/a=2", ""}, "n/a=2", ""},
		{"folder becomes a file", "n/a=1 n/b=1", []string{"n=2", "n/a=3 n/b=1"}, "n/a=3 n.conflict-A-1=2", "n>n.conflict-A-1@0"},
		{"folder becomes a file, emptied", "n/a=1 n/b=1", []string{"n=2", "n/a=1"}, "n=2", ""},
		{"file of the merged sides loses to a folder", "", []string{"", "n=2", "n/a=3"}, "n/a=3 n.conflict-B-2=2", "n>n.conflict-B-2@1"},

		{"empty folders", "d/ e/", []string{"d/ f/", "e/ g/ d/"}, "d/ f/ g/", ""},
		{"folder removed, added in", "d/a=1 d/b=2", []string{"", "d/a=1 d/b=2 d/c=3"}, "d/c=3", ""},
		{"folder removed, empty folder added in", "d/a=1", []string{"d/a=1 d/n/", ""}, "d/n/", ""},
		{"folder removed, edited in", "d/a=1 d/b=2", []string{"d/a=1 d/b=3", "x=1"}, "d/b=3 x=1", ""},
		{"folder removed, emptied", "d/a=1 d/e/b=2", []string{"", "d/e/b=2"}, "", ""},
		{"folder removed, mode changed", "d/a=1", []string{"", "d/!700 d/a=1"}, "d/!700", ""},

		{"folder's mode and work in it", "d/a=1", []string{"d/a=2", "d/!700 d/a=1 d/b=3"}, "d/!700 d/a=2 d/b=3", ""},
		{"symlink becomes an empty folder, removed", "n->x", []string{"n/!0", ""}, "n/!0", ""},

		{"file renamed, edited", "a=1", []string{"b=1", "a=2"}, "b=2", ""},
		{"file renamed, edited by the winner", "a=1", []string{"a=2", "n/b=1"}, "n/b=2", ""},
		{"file renamed, mode changed", "a=1", []string{"b=1", "a=1!600"}, "b=1!600", ""},
		{"file renamed, removed", "a=1", []string{"b=1", ""}, "b=1", ""},
		{"renamed twice", "a=1", []string{"b=1", "c=1"}, "b=1 c=1", ""},
		{"symlink renamed, edited", "a->x", []string{"b->x", "a->y"}, "b->y", ""},
		{"folder renamed, worked in", "d/a=1 d/b=2 d/c=3", []string{"e/a=1 e/b=2 e/c=3", "d/a=9 d/c=3 d/n/x=5"}, "e/a=9 e/c=3 e/n/x=5", ""},
		{"folder moved into a new folder, worked in", "d/a=1 d/b=2", []string{"n/m/d/a=1 n/m/d/b=2", "d/a=9 d/b=2"}, "n/m/d/a=9 n/m/d/b=2", ""},
		{"folder renamed, moved out of", "d/a=1 d/b=2", []string{"e/a=1 e/b=2", "d/a=1 z=2"}, "e/a=1 z=2", ""},
		{"folder renamed, moved into", "d/a=1 y=2", []string{"e/a=1 y=2", "d/a=1 d/y=2"}, "e/a=1 e/y=2", ""},
		{"folder renamed, renamed in", "d/a=1 d/b=2", []string{"e/a=1 e/b=2", "d/a=1 d/c=2"}, "e/a=1 e/c=2", ""},
		{"renames on both sides", "a=1 b=2", []string{"a2=1 b=9", "a=8 b2=2"}, "a2=8 b2=9", ""},
		{"moved into a folder that was removed", "a=1 d/x=2", []string{"d/a=1 d/x=2", "a=3"}, "d/a=3", ""},
		{"folder renamed and conflict in it", "d/a=1", []string{"e/a=1", "d/a=2", "e/a=3 d/"}, "e/a=2 e/a.conflict-C-3=3", "e/a>e/a.conflict-C-3@2"},

		{"file renamed, edited on two sides", "a=1", []string{"b=1", "a=2", "a=3"}, "b=2 b.conflict-C-3=3", "b>b.conflict-C-3@2"},
		{"renamed on two sides, edited", "a=1", []string{"b=1", "b=1", "a=2"}, "b=2", ""},
		{"folder renamed, worked in on two sides", "d/a=1", []string{"d/a=2", "e/a=1", "d/a=1 d/n=3"}, "e/a=2 e/n=3", ""},

		// Renames that are not followed.
		{"copied on one side, removed on another", "a=1", []string{"a=1 b=1", "", "a=2"}, "a=2 b=1", ""},
		{"new name taken on a third side", "a=1", []string{"a=2 b=9", "b=1", "a=3"}, "a=2 a.conflict-C-3=3 b=9 b.conflict-B-2=1",
			"a>a.conflict-C-3@2 b>b.conflict-B-2@1"},
		{"new name a folder on a third side", "a=1", []string{"a=1 b/x=5", "b=1", "a=2"}, "a=2 b/x=5 b.conflict-B-2=1", "b>b.conflict-B-2@1"},
		{"renamed to two names", "a=1", []string{"b=1", "c=1", "a=2"}, "a=2 b=1 c=1", ""},
		{"new name taken", "a=1", []string{"b=1", "a=2 b=3"}, "a=2 b=1 b.conflict-B-2=3", "b>b.conflict-B-2@1"},
		{"new name below a file", "a=1", []string{"n/b=1", "a=2 n=3"}, "a=2 n/b=1 n.conflict-B-2=3", "n>n.conflict-B-2@1"},
		{"which of two", "a=1 b=1", []string{"c=1 d=1", "a=2 b=1"}, "a=2 c=1 d=1", ""},
		{"renamed and copied", "a=1", []string{"b=1 c=1", "a=2"}, "a=2 b=1 c=1", ""},
		{"new name was a file", "a=1 n=2", []string{"n/b=1", "a=3"}, "a=3 n/b=1", ""},
		{"of two", "a=1 b=1", []string{"c=1", "a=2 b=1"}, "a=2 c=1", ""},
		{"empty file", "p/i= p/j=3 r/k=4", []string{"p/j=3 r/i= r/k=4", "p/i=5 p/j=3 r/k=4"}, "p/i=5 p/j=3 r/i= r/k=4", ""},
		{"renames that touch", "d/a=1 y=2", []string{"e/a=1 y=3", "d/a=1 d/y=2"}, "d/y=2 e/a=1 y=3", ""},
		{"other kind", "a=1", []string{"b=1", "a->x"}, "a->x b=1", ""},
		{"folder renamed and edited in, added in", "d/a=1 d/b=2", []string{"e/a=9 e/b=2", "d/a=1 d/b=3 d/c=4"}, "d/c=4 e/a=9 e/b=3", ""},

		{"no base", "none", []string{"a=1 b=2 d/x=1", "a=1 b=3 d/ e/"}, "a=1 b=2 b.conflict-B-2=3 d/x=1 e/", "b>b.conflict-B-2@1"},
		{"one side", "a=1", []string{"b=1 c->x d/"}, "b=1 c->x d/", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := blocks{}
			var base *dag.Layout
			if c.base != "none" {
				base = parse(t, c.base).lay(t, s)
			}
			var sides []Side
			for i, side := range c.sides {
				sides = append(sides, Side{Layout: parse(t, side).lay(t, s), Writer: string(rune('A' + i)), Seq: uint64(i + 1)})
			}
			r, err := Merge(base, sides...)
			if err != nil {
				t.Fatal(err)
			}
			root, err := Build(testProfile(), r, s.emit)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := text(s.layout(t, root.Cid)), text(parse(t, c.want).lay(t, s)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			var conflicts []string
			for _, k := range r.Conflicts {
				conflicts = append(conflicts, fmt.Sprintf("%s>%s@%d", k.Path, k.Copy, k.Side))
			}
			if got := strings.Join(conflicts, " "); got != c.conflicts {
				t.Errorf("conflicts %s, want %s", got, c.conflicts)
			}
		})
	}
}
