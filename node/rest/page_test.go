package rest

import (
	"errors"
	"net/url"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
)

func same(s string) string { return s }

// Who walks all pages sees every item once and in order; what comes and goes meanwhile changes nothing for the others.
func TestPagesAreComplete(t *testing.T) {
	word := rapid.StringMatching(`[a-c\x00é]{0,4}`)
	rapid.Check(t, func(t *rapid.T) {
		stay := rapid.SliceOfDistinct(word, same).Draw(t, "items")
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		var seen []string
		for s := (Slice{Limit: limit}); ; {
			items := slices.Clone(stay)
			for _, extra := range rapid.SliceOfN(word, 0, 3).Draw(t, "passing") {
				if !slices.Contains(items, extra) {
					items = append(items, extra)
				}
			}
			page, err := cut(items, same, s)
			if err != nil || len(page.Items) > limit || page.Items == nil {
				t.Fatal(page, err)
			}
			seen = append(seen, page.Items...)
			if page.Next == "" {
				break
			}
			s.Cursor = page.Next
		}
		if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
			t.Fatalf("%q", seen)
		}
		for _, item := range stay {
			if !slices.Contains(seen, item) {
				t.Fatalf("%q is missing of %q", item, seen)
			}
		}
	})
}

func TestLink(t *testing.T) {
	u := url.URL{Path: "/api/v1/sets/a b/files", RawQuery: "path=x%26y&cursor=old&limit=2"}
	if got := link(u, "ne&w"); got != `</api/v1/sets/a%20b/files?cursor=ne%26w&limit=2&path=x%26y>; rel="next"` {
		t.Error(got)
	}
	if got := link(u, ""); got != "" {
		t.Error(got)
	}
}

func TestDownPutsLargerNumbersFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		if (down(a, "") < down(b, "")) != (a > b) {
			t.Fatal(down(a, ""), down(b, ""))
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add("", 3)
	f.Add("YQ", 1)
	f.Add("=%00", -1)
	f.Fuzz(func(t *testing.T, cursor string, limit int) {
		page, err := cut([]string{"b", "a", "c"}, same, Slice{Limit: limit, Cursor: cursor})
		var e *api.Error
		if err != nil && (!errors.As(err, &e) || e.ExitCode != api.ExitUsage) {
			t.Fatal(err)
		}
		if !slices.IsSorted(page.Items) || len(page.Items) > 3 {
			t.Fatal(page)
		}
	})
}
