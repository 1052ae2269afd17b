package rest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shoal-p2p/shoal/node/api"
)

// An ETag has two parts, "WRITTEN.TOLD". The first is of what people write: If-Match compares it alone, so that a peer that
// comes or goes refuses nobody's change. The second is of the whole answer, and only a browser's cache needs it.

// Seen makes an answer conditional.
type Seen struct {
	IfNone string `header:"If-None-Match" maxLength:"1024" doc:"ETag of the answer before: 304 if it still is the answer"`
}

func (s Seen) seen() string { return s.IfNone }

// Held makes a change conditional.
type Held struct {
	Match string `header:"If-Match" maxLength:"1024" doc:"ETag of what is changed, as it was read: 412 if somebody else has changed it since"`
}

// version reads the ETag of what a change is for.
type version func(ctx context.Context, set string) (string, error)

func etag(written, told any) string { return `"` + digest(written) + "." + digest(told) + `"` }

// digest is short: whoever could make two states of a node of one digest may change them anyway.
func digest(v any) string {
	b, _ := json.Marshal(v) // it is an answer: what cannot be encoded fails there
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// named tells whether the list of a condition names a tag, as far as its parts agree that same compares.
func named(list, tag string, same func(string) string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if t = strings.TrimSpace(t); t == "*" || same(strings.TrimPrefix(t, "W/")) == same(tag) {
			return true
		}
	}
	return false
}

func whole(tag string) string { return tag }

func written(tag string) string {
	w, _, _ := strings.Cut(tag, ".")
	return w
}

// taggedAnswer is a body with its ETag, or 304 without it.
type taggedAnswer[T any] struct {
	Status int
	ETag   string `header:"ETag" doc:"of this answer"`
	Body   T
}

func tagged[T any](body T, tag, ifNone string) *taggedAnswer[T] {
	out := &taggedAnswer[T]{Status: http.StatusOK, ETag: tag, Body: body}
	if ifNone != "" && named(ifNone, tag, whole) {
		out.Status = http.StatusNotModified
	}
	return out
}

func unmodified(op *huma.Operation) {
	op.Responses["304"] = &huma.Response{Description: "the answer is the one of If-None-Match"}
}

// poll registers an endpoint that is asked again and again.
func poll[In interface{ seen() string }, Out any](a *API, r route, tag func(Out) string, do func(context.Context, *In) (Out, error)) {
	op := a.operation(r)
	unmodified(&op)
	huma.Register(a.huma, op, func(ctx context.Context, in *In) (*taggedAnswer[Out], error) {
		res, err := guard(ctx, a, r.id, func(ctx context.Context) (Out, error) { return do(ctx, in) })
		if err != nil {
			return nil, failed(err)
		}
		return tagged(res, tag(res), (*in).seen()), nil
	})
}

// holding makes a change if what it is for is what its asker read. Of two who read the same only one changes it: those with
// a condition take turns.
func holding[R any](ctx context.Context, a *API, match string, now func(context.Context) (string, error), do func(context.Context) (R, error)) (res R, err error) {
	if match == "" {
		return do(ctx)
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return res, ctx.Err()
	}
	tag, err := now(ctx)
	if err == nil && !named(match, tag, written) {
		err = &api.Error{Code: codeChanged, ExitCode: api.ExitConflict, Title: "somebody else has changed this meanwhile",
			Hint: "read it again, and send the new ETag"}
	}
	if err != nil {
		return res, err
	}
	return do(ctx)
}

func statusTag(s api.Status) string {
	s.UptimeSeconds = 0 // an answer that is older by a second is the same
	return etag(s.PeerID, s)
}

func setTag(s api.SetInfo) string {
	return etag([]any{s.Set, s.Name, s.Head, s.Dir, s.Public, s.Following, s.Watching, s.Replicating, s.Primary, s.Epoch, s.Mode, s.Profile}, s)
}

func membersTag(m api.MembersResult) string {
	written := []any{m.Set, m.Version, m.Name, m.Mode, m.Public, m.Invites}
	for _, one := range m.Members {
		written = append(written, one.PeerID, one.Rights)
	}
	return etag(written, m)
}

func limitsTag(l api.Limits) string {
	return etag([]any{l.Up, l.Down, l.LANExempt, l.Sets}, l)
}

func (a *API) setVersion(ctx context.Context, set string) (string, error) {
	s, err := a.service.Show(ctx, set)
	return setTag(s), err
}

func (a *API) membersVersion(ctx context.Context, set string) (string, error) {
	m, err := a.service.Members(ctx, api.MembersRequest{Set: set})
	return membersTag(m), err
}

func (a *API) limitsVersion(ctx context.Context, _ string) (string, error) {
	l, err := a.service.Limits(ctx)
	return limitsTag(l), err
}
