package rest

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/shoal-p2p/shoal/node/api"
)

// Slice asks for a part of a list. The bounds of Limit: a screen, and what a browser lays out without a pause.
type Slice struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"most items of one answer"`
	Cursor string `query:"cursor" maxLength:"8192" doc:"next of the answer before; absent = from the beginning"`

	Seen

	at url.URL // where it was asked
}

// Page is a part of a list.
type Page[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next" doc:"cursor of the next page; empty = this is the last"`
}

// cursorMark begins a cursor, so that one is never empty.
const cursorMark = "/"

// cut gives the part of items that s asks for, in the order of their keys, which are unique. A cursor is the key of
// the last item before, so that a page stays where it was when items come and go.
func cut[T any](items []T, key func(T) string, s Slice) (Page[T], error) {
	text, err := base64.RawURLEncoding.DecodeString(s.Cursor)
	after, ok := strings.CutPrefix(string(text), cursorMark)
	if err != nil || !ok && s.Cursor != "" {
		return Page[T]{}, &api.Error{Code: "bad_cursor", ExitCode: api.ExitUsage, Title: "that is no cursor", Hint: "take `next` of the answer before"}
	}
	sorted := slices.Clone(items)
	slices.SortFunc(sorted, func(x, y T) int { return strings.Compare(key(x), key(y)) })
	if s.Cursor != "" {
		sorted = sorted[sort.Search(len(sorted), func(i int) bool { return key(sorted[i]) > after }):]
	}
	out := Page[T]{Items: sorted}
	if s.Limit > 0 && len(sorted) > s.Limit {
		out.Items = sorted[:s.Limit]
		out.Next = base64.RawURLEncoding.EncodeToString([]byte(cursorMark + key(out.Items[s.Limit-1])))
	}
	if out.Items == nil {
		out.Items = []T{}
	}
	return out, nil
}

// link is the Link header of a page (RFC 8288); u is the address it was asked at.
func link(u url.URL, next string) string {
	if next == "" {
		return ""
	}
	q := u.Query()
	q.Set("cursor", next)
	return fmt.Sprintf("<%s?%s>; rel=\"next\"", u.EscapedPath(), q.Encode())
}

// down is a key that puts larger numbers first.
func down(n uint64, tie string) string {
	text := strconv.FormatUint(^n, 16)
	return strings.Repeat("0", 16-len(text)) + text + " " + tie
}
