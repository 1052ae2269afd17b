package node

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/replica"
)

const (
	// maxPattern is more than any name, and less than what a path may be.
	maxPattern = 1024
	// defaultHits are what a screen or two show; maxHits bounds an answer to some hundred kilobytes.
	defaultHits, maxHits = 100, 1000
)

// Search implements api.Searcher.
func (n *Node) Search(ctx context.Context, q api.SearchRequest) (api.SearchResult, error) {
	m, err := newMatcher(q.Pattern)
	if err != nil {
		return api.SearchResult{}, err
	}
	if q.Limit < 0 || q.Limit > maxHits {
		return api.SearchResult{}, usage("bad_limit", "", "a page has 1 to %d items", maxHits)
	}
	at, err := parsePlace(q.Cursor)
	if err != nil {
		return api.SearchResult{}, err
	}
	sets := n.sets.Replicas()
	if q.Set != "" {
		rep, err := n.sets.Resolve(q.Set)
		if err != nil {
			return api.SearchResult{}, explain(err)
		}
		sets = []*replica.Replica{rep}
	}
	page := searchPage{match: m, left: cmp.Or(q.Limit, defaultHits), out: api.SearchResult{Items: []api.SearchHit{}}}
	for _, rep := range sets {
		order := cmp.Or(cmp.Compare(rep.State().Name, at.name), cmp.Compare(rep.Set().String(), at.set))
		if order < 0 {
			continue
		}
		from := 0
		if order == 0 {
			from = at.next
		}
		if full, err := n.searchSet(ctx, rep, &page, from); err != nil || full {
			return page.out, explain(err)
		}
	}
	return page.out, nil
}

// searchPage is a page being filled.
type searchPage struct {
	match matcher
	left  int
	out   api.SearchResult
}

// add takes a hit, which is number i of its set; false when the page was full already, and goes on there.
func (p *searchPage) add(i int, h api.SearchHit) bool {
	if p.left == 0 {
		p.out.Next = place{h.Name, h.Set, i}.String()
		return false
	}
	p.left--
	p.out.Items = append(p.out.Items, h)
	return true
}

// searchSet looks at one set, from its candidate number from on: 0 is the set itself, those after it are its entries.
func (n *Node) searchSet(ctx context.Context, rep *replica.Replica, page *searchPage, from int) (full bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	h, ok := rep.Head()
	if !ok {
		return false, nil
	}
	_, _, bytes := h.Totals()
	hit := api.SearchHit{Set: rep.Set().String(), Name: rep.State().Name, Revision: h.Revision}
	if from == 0 && page.match.name(hit.Name) {
		self := hit
		self.Kind, self.Size, self.Cid = "set", int64(bytes), h.Root.String()
		if !page.add(0, self) {
			return true, nil
		}
	}
	inside := n.sets.Inside(rep)
	defer inside.Close()
	lay, err := inside.Layout(ctx, h.Root)
	if errors.Is(err, blockstore.ErrNotFound) {
		page.out.Unsearched++
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("search %s: %w", hit.Set, err)
	}
	for i := max(from-1, 0); i < len(lay.Entries); i++ {
		e := lay.Entries[i]
		if e.Path == "" || !page.match.path(e.Path) {
			continue
		}
		hit.Path, hit.Kind, hit.Size, hit.Cid, hit.Downloads = e.Path, kindName(e.Kind), e.Size, e.Cid.String(), n.downloads.count(rep.Set(), lay, e)
		if !page.add(i+1, hit) {
			return true, nil
		}
	}
	return false, nil
}

// matcher is a pattern in lower case.
type matcher struct {
	text string
	glob bool
}

func newMatcher(pattern string) (matcher, error) {
	m := matcher{strings.ToLower(pattern), strings.ContainsAny(pattern, `*?[`)}
	if pattern == "" || len(pattern) > maxPattern {
		return m, usage("bad_pattern", "", "a pattern has 1 to %d bytes", maxPattern)
	}
	if _, err := path.Match(m.text, ""); m.glob && err != nil {
		return m, usage("bad_pattern", "a [ has its ]; \\[ is the character", "%q is no pattern", pattern)
	}
	return m, nil
}

// name tells whether the name of a set fits.
func (m matcher) name(s string) bool {
	s = strings.ToLower(s)
	if !m.glob {
		return strings.Contains(s, m.text)
	}
	ok, _ := path.Match(m.text, s) // the pattern was checked
	return ok
}

// path tells whether the path of an entry fits.
func (m matcher) path(p string) bool {
	if m.glob && !strings.Contains(m.text, "/") {
		p = path.Base(p)
	}
	return m.name(p)
}

// place is where a page begins.
type place struct {
	name, set string
	next      int // candidate of that set
}

// String is a place for a cursor; callers take it as it is.
func (p place) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(p.next) + " " + p.set + " " + p.name))
}

func parsePlace(cursor string) (place, error) {
	if cursor == "" {
		return place{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	parts := strings.SplitN(string(b), " ", 3)
	if err == nil && len(parts) == 3 {
		if next, err := strconv.Atoi(parts[0]); err == nil && next >= 0 {
			return place{name: parts[2], set: parts[1], next: next}, nil
		}
	}
	return place{}, usage("bad_cursor", "take `next` of the page before", "the cursor is not one of a search")
}

// tallied adds to entries how often they were sent.
func (n *Node) tallied(rep *replica.Replica, lay *dag.Layout, entries []api.Entry) []api.Entry {
	byPath := map[string]dag.Entry{}
	for _, e := range lay.Entries {
		byPath[e.Path] = e
	}
	for i := range entries {
		entries[i].Downloads = n.downloads.count(rep.Set(), lay, byPath[entries[i].Path])
	}
	return entries
}
