package node

import (
	"encoding/base64"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
)

func TestMatcher(t *testing.T) {
	for _, tt := range []struct {
		pattern, path string
		want          bool
	}{
		{"holiday", "2024/Holiday.JPG", true},
		{"2024/h", "2024/Holiday.JPG", true},
		{"HOLI", "2024/Holiday.JPG", true},
		{"holliday", "2024/Holiday.JPG", false},
		{"straße", "STRASSE", false},
		{"übung", "ÜBUNG.txt", true},
		{"*.jpg", "2024/Holiday.JPG", true},
		{"*.jp", "2024/Holiday.JPG", false},
		{"h?liday.*", "2024/Holiday.JPG", true},
		{"[f-h]*", "2024/Holiday.JPG", true},
		{"2024/*", "2024/Holiday.JPG", true},
		{"*/*", "a/b/c", false},
		{"2024", "2024/Holiday.JPG", true},
		{"2024*", "2024/Holiday.JPG", false}, // the last part only
		{`\*`, "a*b", false},
		{`*\**`, "a*b", true},
		{".", "a.b", true},
	} {
		m, err := newMatcher(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.path(tt.path); got != tt.want {
			t.Errorf("%q in %q: %v", tt.pattern, tt.path, got)
		}
	}
}

// newLibrary is a node without network that holds some sets.
func newLibrary(t *testing.T) *Node {
	t.Helper()
	n, err := New(Config{Home: t.TempDir(), Offline: true, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	for name, files := range map[string][]string{
		"Photos": {"2024/Holiday.jpg", "2024/work.jpg", "2025/holiday.PNG", "readme"},
		"music":  {"a/holiday song.ogg", "b/song.ogg"},
		"empty":  nil,
	} {
		dir := filepath.Join(t.TempDir(), name)
		write(t, filepath.Join(dir, "always"), 3)
		for i, f := range files {
			write(t, filepath.Join(dir, f), i)
		}
		if _, err := n.Share(within(t), api.ShareRequest{Path: dir}, quiet); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// names are the hits as SET or SET/PATH.
func names(items []api.SearchHit) []string {
	out := []string{}
	for _, h := range items {
		out = append(out, strings.TrimSuffix(h.Name+"/"+h.Path, "/"))
	}
	return out
}

func TestSearch(t *testing.T) {
	t.Parallel()
	n := newLibrary(t)
	for _, tt := range []struct {
		q    api.SearchRequest
		want []string
	}{
		{api.SearchRequest{Pattern: "holiday"}, []string{"Photos/2024/Holiday.jpg", "Photos/2025/holiday.PNG", "music/a/holiday song.ogg"}},
		{api.SearchRequest{Pattern: "*.OGG"}, []string{"music/a/holiday song.ogg", "music/b/song.ogg"}},
		{api.SearchRequest{Pattern: "photos"}, []string{"Photos"}},
		{api.SearchRequest{Pattern: "m*"}, []string{"music"}},
		{api.SearchRequest{Pattern: "always"}, []string{"Photos/always", "empty/always", "music/always"}},
		{api.SearchRequest{Pattern: "always", Set: "music"}, []string{"music/always"}},
		{api.SearchRequest{Pattern: "2024", Set: "Photos"}, []string{"Photos/2024", "Photos/2024/Holiday.jpg", "Photos/2024/work.jpg"}},
		{api.SearchRequest{Pattern: "nowhere"}, []string{}},
	} {
		res, err := n.Search(t.Context(), tt.q)
		if err != nil || res.Next != "" || res.Unsearched != 0 {
			t.Fatalf("%+v: %+v %v", tt.q, res, err)
		}
		if d := cmp.Diff(tt.want, names(res.Items)); d != "" {
			t.Errorf("%+v: %s", tt.q, d)
		}
		for _, h := range res.Items {
			if h.Set == "" || h.Revision != 1 || h.Cid == "" || (h.Kind == "set") != (h.Path == "") {
				t.Errorf("%+v", h)
			}
		}
	}
	for code, q := range map[string]api.SearchRequest{
		"bad_pattern": {Pattern: ""}, "bad_limit": {Pattern: "a", Limit: 1001}, "bad_cursor": {Pattern: "a", Cursor: "x"}, "unknown_set": {Pattern: "a", Set: "nothing"},
	} {
		var e *api.Error
		if _, err := n.Search(t.Context(), q); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v", code, err)
		}
	}
	for _, pattern := range []string{"[", "a[", `*\`, strings.Repeat("x", maxPattern+1)} {
		var e *api.Error
		if _, err := n.Search(t.Context(), api.SearchRequest{Pattern: pattern}); !errors.As(err, &e) || e.Code != "bad_pattern" {
			t.Errorf("%.9q: %v", pattern, err)
		}
	}
}

// Pages of any size together are what one large page is.
func TestSearchPages(t *testing.T) {
	t.Parallel()
	n := newLibrary(t)
	rapid.Check(t, func(r *rapid.T) {
		q := api.SearchRequest{Pattern: rapid.SampledFrom([]string{"a", "*", "o", "song", "e", "s", "none"}).Draw(r, "pattern")}
		whole, err := n.Search(t.Context(), q)
		if err != nil {
			r.Fatal(err)
		}
		var all []api.SearchHit
		for pages := 0; ; pages++ {
			q.Limit = rapid.IntRange(1, 5).Draw(r, "limit")
			page, err := n.Search(t.Context(), q)
			if err != nil || len(page.Items) > q.Limit || pages > len(whole.Items) {
				r.Fatalf("%+v: %v", page, err)
			}
			all = append(all, page.Items...)
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if !slices.Equal(names(all), names(whole.Items)) {
			r.Fatalf("pages: %v, want %v", names(all), names(whole.Items))
		}
	})
}

func FuzzSearchInputs(f *testing.F) {
	f.Add("*.jpg", "a/b.jpg", place{"a name", "bafy", 3}.String())
	f.Add("[", "x", base64.RawURLEncoding.EncodeToString([]byte("-1 s n")))
	f.Add("a", "A", "!")
	f.Fuzz(func(t *testing.T, pattern, path, cursor string) {
		if m, err := newMatcher(pattern); err == nil {
			if !m.glob && path == pattern && !m.path(path) {
				t.Errorf("%q does not fit itself", path)
			}
			m.path(path)
		}
		p, err := parsePlace(cursor)
		if err != nil {
			return
		}
		if again, err := parsePlace(p.String()); err != nil || again != p || p.next < 0 {
			t.Errorf("%+v: %+v %v", p, again, err)
		}
	})
}
