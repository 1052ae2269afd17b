package replica

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// layoutOfPaths makes entries, and the folders above them; a path with a slash at its end is an empty folder.
func layoutOfPaths(paths ...string) *dag.Layout {
	kinds := map[string]dag.Kind{"": dag.KindDir}
	for _, p := range paths {
		dir := strings.HasSuffix(p, "/")
		p = strings.Trim(p, "/")
		if _, ok := kinds[p]; !ok || dir {
			kinds[p] = dag.KindFile
			if dir {
				kinds[p] = dag.KindDir
			}
		}
		for up := path.Dir(p); up != "."; up = path.Dir(up) {
			kinds[up] = dag.KindDir
		}
	}
	lay := &dag.Layout{}
	for p, k := range kinds {
		lay.Entries = append(lay.Entries, dag.Entry{Path: p, Kind: k})
	}
	slices.SortFunc(lay.Entries, func(a, b dag.Entry) int {
		return slices.Compare(strings.Split(a.Path, "/"), strings.Split(b.Path, "/"))
	})
	return lay
}

// files are the chosen ones.
func files(lay *dag.Layout, chosen []bool) []string {
	var out []string
	for i, e := range lay.Entries {
		if chosen[i] && e.Kind == dag.KindFile {
			out = append(out, e.Path)
		}
	}
	return out
}

func choose(lay *dag.Layout, patterns ...string) ([]string, error) {
	s, err := NewSelection(patterns)
	if err != nil {
		return nil, err
	}
	chosen, err := s.of(lay)
	if err != nil {
		return nil, err
	}
	return files(lay, chosen), nil
}

func TestSelection(t *testing.T) {
	t.Parallel()
	lay := layoutOfPaths("a.jpg", "b.txt", "docs/a.jpg", "docs/deep/c.jpg", "docs/deep/d.txt", "docs2/e", "[x].txt", "x.txt", "-", "docs/**/f", "void/")
	for _, test := range []struct {
		patterns, want string
		err            error
	}{
		{"a.jpg", "a.jpg", nil}, // a path is from the top
		{"docs", "docs/**/f docs/a.jpg docs/deep/c.jpg docs/deep/d.txt", nil},
		{"docs/", "docs/**/f docs/a.jpg docs/deep/c.jpg docs/deep/d.txt", nil},
		{"/docs/deep", "docs/deep/c.jpg docs/deep/d.txt", nil},
		{"*.jpg", "a.jpg docs/a.jpg docs/deep/c.jpg", nil},
		{"/*.jpg", "a.jpg", nil},
		{"docs/*.jpg", "docs/a.jpg", nil},
		{"docs/**/*.jpg", "docs/a.jpg docs/deep/c.jpg", nil},
		{"**/deep/*", "docs/deep/c.jpg docs/deep/d.txt", nil},
		{"doc?", "docs/**/f docs/a.jpg docs/deep/c.jpg docs/deep/d.txt", nil},
		{"doc[rs]*", "docs/**/f docs/a.jpg docs/deep/c.jpg docs/deep/d.txt docs2/e", nil},
		{"[x].txt", "[x].txt", nil}, // as it is written
		{`\[x].txt`, "[x].txt", nil},
		{"[xy].txt", "x.txt", nil},
		{"docs/**/f", "docs/**/f", nil},
		{"void", "", nil},
		{"a.jpg,b.txt", "a.jpg b.txt", nil},
		{"docs,docs/deep/c.jpg,*.jpg", "a.jpg docs/**/f docs/a.jpg docs/deep/c.jpg docs/deep/d.txt", nil},
		{".", "-all-", nil},
		{"/", "-all-", nil},
		{"**", "-all-", nil},
		{"*", "-all-", nil},
		{"./docs/../a.jpg", "a.jpg", nil},

		{"A.JPG", "", ErrSelected},
		{"deep", "", ErrSelected},
		{"../../etc/passwd", "", ErrSelected},
		{"/etc/passwd", "", ErrSelected},
		{"../*", "", ErrSelected},
		{"a.jpg,nothing", "", ErrSelected}, // a slip is not passed over
		{"b.txt/**/x", "", ErrSelected},
		{"[x", "", ErrPattern},
		{"a/[x/]b", "", ErrPattern},
		{"", "", ErrPattern},
		{strings.Repeat("a", maxPattern+1), "", ErrPattern},
	} {
		got, err := choose(lay, strings.Split(test.patterns, ",")...)
		if !errors.Is(err, test.err) {
			t.Errorf("%q: %v, want %v", test.patterns, err, test.err)
			continue
		}
		if test.want == "-all-" {
			test.want = strings.Join(files(lay, slices.Repeat([]bool{true}, len(lay.Entries))), " ")
		}
		if g := strings.Join(got, " "); err == nil && g != test.want {
			t.Errorf("%q chooses %q, want %q", test.patterns, g, test.want)
		}
	}
	if _, err := NewSelection(slices.Repeat([]string{"a"}, maxPatterns+1)); !errors.Is(err, ErrPattern) {
		t.Errorf("too many patterns: %v", err)
	}
	if _, err := choose(lay, slices.Repeat([]string{"*"}, maxGlobs+1)...); !errors.Is(err, ErrPattern) {
		t.Errorf("too many globs: %v", err)
	}
	_, err := choose(lay, "docs/deep/*.png")
	if want := `nothing fits "docs/deep/*.png"; there is in "docs/deep": "c.jpg", "d.txt"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("what there is: %v", err)
	}
	_, err = choose(layoutOfPaths("a", "b", "c/x", "d", "e", "f", "g", "h", "i", "j", "k", "l"), "z")
	if err == nil || !strings.Contains(err.Error(), `at the top: "a", "b", "c" (a folder), "d"`) || !strings.HasSuffix(err.Error(), `"j" and 2 more`) {
		t.Errorf("what there is: %v", err)
	}
}

// dumb says the same of one pattern with a regular expression.
func dumb(lay *dag.Layout, pattern string) (chosen []string) {
	exact := strings.Trim(path.Clean("/"+pattern), "/")
	expr := regexp.QuoteMeta(exact)
	if !slices.ContainsFunc(lay.Entries, func(e dag.Entry) bool { return e.Path == exact }) {
		if !strings.ContainsAny(pattern, "*?[") {
			return nil
		}
		p := pattern
		if !strings.Contains(p, "/") {
			p = "**/" + p
		}
		var b strings.Builder
		names := slices.CompactFunc(strings.Split(strings.Trim(p, "/"), "/"), func(a, b string) bool { return a == b && a == "**" })
		for i := 0; i < len(names); i++ {
			switch n := names[i]; {
			case n == "**" && i == len(names)-1:
				b.WriteString(".*")
			case n == "**":
				b.WriteString("([^/]+/)*")
			default:
				n = strings.NewReplacer("**", "[^/]*", "*", "[^/]*", "?", "[^/]", ".", `\.`).Replace(n)
				b.WriteString(n)
				if slices.Equal(names[i+1:], []string{"**"}) { // which is no folder, too
					b.WriteString("(|/.*)")
					names = names[:i+1]
				} else if i < len(names)-1 {
					b.WriteString("/")
				}
			}
		}
		expr = b.String()
	}
	fits := regexp.MustCompile("^" + expr + "(/.*)?$")
	if expr == "" {
		fits = regexp.MustCompile("")
	}
	for _, e := range lay.Entries {
		if e.Kind == dag.KindFile && fits.MatchString(e.Path) {
			chosen = append(chosen, e.Path)
		}
	}
	return chosen
}

// pathsOf draws a small world in which much is alike, so that patterns fit often.
func pathsOf(t *rapid.T) *dag.Layout {
	name := rapid.SampledFrom([]string{"a", "b", "ab", "aa.c", "b.c"})
	depth := rapid.IntRange(1, 4)
	return layoutOfPaths(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(name, 1, depth.Draw(t, "depth")).Draw(t, "names"), "/")
	}), 1, 12).Draw(t, "paths")...)
}

func patternOf(t *rapid.T) string {
	part := rapid.SampledFrom([]string{"a", "b", "*", "?", "[ab]", "[^a]", ".c", "*.c", "a*", "ab"})
	name := rapid.OneOf(rapid.Just("**"), rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(part, 1, 2).Draw(t, "parts"), "")
	}).Filter(func(s string) bool { return s != "**" }))
	p := strings.Join(rapid.SliceOfN(name, 1, 4).Draw(t, "pattern"), "/")
	return rapid.SampledFrom([]string{"", "/"}).Draw(t, "top") + p + rapid.SampledFrom([]string{"", "/"}).Draw(t, "end")
}

// TestSelectionIsWhatAnExpressionSays holds patterns against a second reading of them.
func TestSelectionIsWhatAnExpressionSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lay, pattern := pathsOf(t), patternOf(t)
		got, err := choose(lay, pattern)
		want := dumb(lay, pattern)
		if errors.Is(err, ErrSelected) {
			got = nil
		} else if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q of %v chooses %q, want %q", pattern, lay.Entries, got, want)
		}
	})
}

// FuzzSelection: whatever is asked, what is chosen lies in the set, and the answer says so or why not.
func FuzzSelection(f *testing.F) {
	for _, p := range []string{"a", "**", "a/**/b*", "[", `\`, "../..", "/", "[^-]", "a/./b", strings.Repeat("*a", 100) + "b", strings.Repeat("**/", 50) + "x"} {
		f.Add(p)
	}
	lay := layoutOfPaths("a", "b/a", "b/c/d", "aaa/"+strings.Repeat("a", 200), `\`, "[")
	f.Fuzz(func(t *testing.T, pattern string) {
		s, err := NewSelection([]string{pattern})
		if err != nil {
			return
		}
		chosen, err := s.of(lay)
		switch {
		case err == nil:
			if !slices.Contains(chosen, true) {
				t.Fatalf("%q chooses nothing, and that is no error", pattern)
			}
			for i, e := range lay.Entries {
				for j, k := range lay.Entries {
					if chosen[i] && strings.HasPrefix(k.Path, e.Path+"/") && !chosen[j] {
						t.Fatalf("%q chooses %q and not %q", pattern, e.Path, k.Path)
					}
				}
			}
		case !errors.Is(err, ErrPattern) && !errors.Is(err, ErrSelected):
			t.Fatal(fmt.Errorf("%q: %w", pattern, err))
		}
	})
}
