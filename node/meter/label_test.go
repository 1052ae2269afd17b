package meter

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestLabels(t *testing.T) {
	for name, c := range map[string]struct {
		sets []Set
		want []string
	}{
		"a name":            {[]Set{{ID: "bafkreiaaaaaaaa", Name: "photos"}}, []string{"photos"}},
		"two of a name":     {[]Set{{ID: "bafkreiaaaaaaaa", Name: "x"}, {ID: "bafkreibbbbbbbb", Name: "x"}}, []string{"x~aaaaaaaa", "x~bbbbbbbb"}},
		"none":              {[]Set{{ID: "bafkreiaaaaaaaa"}}, []string{"~aaaaaaaa"}},
		"a path":            {[]Set{{ID: "bafkreiaaaaaaaa", Name: "/home/me"}}, []string{"_home_me"}},
		"a line, a tilde":   {[]Set{{ID: "bafkreiaaaaaaaa", Name: "a\nb~c"}}, []string{"a_b_c"}},
		"alike after all":   {[]Set{{ID: "bafkreiaaaaaaaa", Name: "a/b"}, {ID: "bafkreibbbbbbbb", Name: "a_b"}}, []string{"a_b~aaaaaaaa", "a_b~bbbbbbbb"}},
		"longer than shown": {[]Set{{ID: "bafkreiaaaaaaaa", Name: strings.Repeat("é", 40)}}, []string{strings.Repeat("é", 32)}},
	} {
		if got := slices.Sorted(maps.Keys(labelled(c.sets))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Whatever others call their sets: no label is long, or could be taken for a path or a ticket, and no set is lost.
func TestLabelsOfAnyName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"x", "", "x~", "a/b", "a_b", "\xff"}))).Draw(t, "names")
		var sets []Set
		for i, name := range names {
			id := rapid.StringMatching(`bafkrei[a-z2-7]{44}`).Draw(t, "id") + string(rune('a'+i%26)) + string(rune('a'+i/26%26))
			sets = append(sets, Set{ID: id, Name: name})
		}
		all := labelled(sets)
		if len(all) != len(sets) {
			t.Fatalf("%d labels of %d sets", len(all), len(sets))
		}
		for l, s := range all {
			if len(l) > maxLabel+1+tail || !utf8.ValidString(l) || strings.ContainsAny(l, "/\\\n") || strings.Contains(l, s.ID) {
				t.Fatalf("%q", l)
			}
		}
	})
}
