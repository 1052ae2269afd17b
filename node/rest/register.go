package rest

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shoal-p2p/shoal/node/api"
)

// route is one line of the table of endpoints.
type route struct {
	id, method, path string
	summary          string
	needs            string  // of the body: the members that must be there, separated by spaces
	given            string  // of the body: the members that the path gives, and that the body must not
	of               version // what a change is for, when If-Match is heard
	status           int     // of success; 0 = 200
}

// operation is a route as huma knows it. Every failure is a Problem.
func (a *API) operation(r route) huma.Operation {
	problem := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "")
	tag, _, _ := strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
	return huma.Operation{OperationID: r.id, Method: r.method, Path: prefix + r.path, Summary: r.summary, Tags: []string{tag}, DefaultStatus: r.status,
		Responses: map[string]*huma.Response{"default": {Description: "what went wrong",
			Content: map[string]*huma.MediaType{"application/problem+json": {Schema: problem}}}}}
}

// BySet is the input of an endpoint about one set.
type BySet struct {
	Set string `path:"set" maxLength:"512" doc:"set id, name, or the unique beginning of either"`
}

// answer is a body.
type answer[T any] struct{ Body T }

// ask registers an endpoint whose answer is at hand.
func ask[In, Out any](a *API, r route, do func(context.Context, *In) (Out, error)) {
	huma.Register(a.huma, a.operation(r), func(ctx context.Context, in *In) (*answer[Out], error) {
		res, err := guard(ctx, a, r.id, func(ctx context.Context) (Out, error) { return do(ctx, in) })
		if err != nil {
			return nil, failed(err)
		}
		return &answer[Out]{res}, nil
	})
}

// Resolve keeps the address for the link to the next page.
func (s *Slice) Resolve(ctx huma.Context) []error {
	s.at = ctx.URL()
	return nil
}

// part is what an input that embeds a Slice asks for.
func (s *Slice) part() Slice { return *s }

// pageAnswer is a page, with the link to the next.
type pageAnswer[T any] struct {
	Status int
	Link   string `header:"Link" doc:"rel=next: the next page"`
	ETag   string `header:"ETag" doc:"of this answer"`
	Body   Page[T]
}

// list registers an endpoint that answers in pages; In has a Slice in it.
func list[In, T any](a *API, r route, key func(T) string, do func(context.Context, *In) ([]T, error)) {
	op := a.operation(r)
	unmodified(&op)
	huma.Register(a.huma, op, func(ctx context.Context, in *In) (*pageAnswer[T], error) {
		part := any(in).(interface{ part() Slice }).part()
		page, err := guard(ctx, a, r.id, func(ctx context.Context) (Page[T], error) {
			all, err := do(ctx, in)
			if err != nil {
				return Page[T]{}, err
			}
			return cut(all, key, part)
		})
		if err != nil {
			return nil, failed(err)
		}
		t := tagged(page, etag(nil, page), part.IfNone)
		return &pageAnswer[T]{t.Status, link(part.at, page.Next), t.ETag, t.Body}, nil
	})
}

// Input is what a request with a body brings. The headers only count, and are only told of, where an operation is begun and
// where If-Match is heard.
type Input[Q any] struct {
	Key string `header:"Idempotency-Key" maxLength:"255" doc:"the same key within 24 h is the same operation; with another body it is refused"`
	Held
	Body *Q
}

// SetInput is an Input about one set.
type SetInput[Q any] struct {
	BySet
	Input[Q]
}

// request is the body with what the path gives.
func request[Q any](body *Q, aim func(*Q, string), set string) Q {
	var q Q
	if body != nil {
		q = *body
	}
	if aim != nil {
		aim(&q, set)
	}
	return q
}

// withBody registers a route with a body of type Q; aim, when the path names a set, puts it into the request.
func withBody[Q, Out any](a *API, r route, aim func(*Q, string), do func(ctx context.Context, q Q, set string, in Input[Q]) (*Out, error)) {
	op := a.operation(r)
	defer a.untold(r)
	op.RequestBody = &huma.RequestBody{Required: r.needs != "",
		Content: map[string]*huma.MediaType{"application/json": {Schema: bodySchema[Q](a, r)}}}
	if aim == nil {
		huma.Register(a.huma, op, func(ctx context.Context, in *Input[Q]) (*Out, error) {
			return do(ctx, request(in.Body, nil, ""), "", *in)
		})
		return
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *SetInput[Q]) (*Out, error) {
		return do(ctx, request(in.Body, aim, in.Set), in.Set, in.Input)
	})
}

// untold takes out of the document what a route with a body does not hear.
func (a *API) untold(r route) {
	item := a.huma.OpenAPI().Paths[prefix+r.path]
	for _, op := range []*huma.Operation{item.Post, item.Put} {
		if op == nil {
			continue
		}
		op.Parameters = slices.DeleteFunc(op.Parameters, func(p *huma.Param) bool {
			return p.Name == "Idempotency-Key" && r.status != http.StatusAccepted || p.Name == "If-Match" && r.of == nil
		})
	}
}

// bodySchema is the schema of Q without the members that the path gives. What is not needed may be left out.
func bodySchema[Q any](a *API, r route) *huma.Schema {
	s := huma.SchemaFromType(a.huma.OpenAPI().Components.Schemas, reflect.TypeFor[Q]())
	for name := range strings.FieldsSeq(r.given) {
		delete(s.Properties, name)
	}
	s.Required = strings.Fields(r.needs)
	s.PrecomputeMessages()
	return s
}

// act registers an endpoint that changes something and answers at once.
func act[Q, R any](a *API, r route, aim func(*Q, string), do func(context.Context, Q) (R, error)) {
	withBody(a, r, aim, func(ctx context.Context, q Q, set string, in Input[Q]) (*answer[R], error) {
		if r.of == nil {
			in.Match = ""
		}
		res, err := guard(ctx, a, r.id, func(ctx context.Context) (R, error) {
			return holding(ctx, a, in.Match, func(ctx context.Context) (string, error) { return r.of(ctx, set) },
				func(ctx context.Context) (R, error) { return do(ctx, q) })
		})
		if err != nil {
			return nil, failed(err)
		}
		return &answer[R]{res}, nil
	})
}

// accepted is the answer to the beginning of an operation.
type accepted struct {
	Location string `header:"Location" doc:"where the operation is asked for"`
	Body     Operation
}

// long registers an endpoint that begins an operation.
func long[Q, R any](a *API, r route, aim func(*Q, string), do func(context.Context, Q, func(api.Progress)) (R, error)) {
	a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[R](), true, r.id+"Result") // for who reads a result
	r.method, r.status = http.MethodPost, http.StatusAccepted
	kind, _, _ := strings.Cut(r.id, "-")
	withBody(a, r, aim, func(_ context.Context, q Q, set string, in Input[Q]) (*accepted, error) {
		if err := misplaced(q); err != nil {
			return nil, failed(err)
		}
		print, err := json.Marshal(q)
		if err != nil {
			return nil, failed(err)
		}
		b := beginning(kind, print)
		b.Set, b.Via, b.Key, b.Print = cmp.Or(set, b.Set), ViaAPI, in.Key, r.id+string(print)
		op, err := a.launch(b,
			func(ctx context.Context, progress func(api.Progress)) (any, error) { return do(ctx, q, progress) })
		if err != nil {
			return nil, failed(err)
		}
		return &accepted{Location: prefix + "/operations/" + url.PathEscape(op.ID), Body: op}, nil
	})
}
