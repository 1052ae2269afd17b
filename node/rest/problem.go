package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shoal-p2p/shoal/node/api"
)

// Problem is an error as its receiver reads it: application/problem+json of RFC 9457 with the members of api.Error.
type Problem struct {
	Type      string `json:"type" doc:"urn:shoal:problem: and the code"`
	Title     string `json:"title"`
	Status    int    `json:"status" doc:"HTTP status"`
	Detail    string `json:"detail,omitempty"`
	Code      string `json:"code" doc:"stable, snake_case"`
	ExitCode  int    `json:"exit_code" doc:"what the command line ends with"`
	Hint      string `json:"hint,omitempty" doc:"what to do next"`
	Retryable bool   `json:"retryable"`
	// Errors names the members of a request that were refused.
	Errors []Fault `json:"errors,omitempty"`
}

// Fault is one member of a request that was refused. The value is not repeated: it may be a secret.
type Fault struct {
	Location string `json:"location"`
	Message  string `json:"message"`
}

// maxFaults bounds Errors: a body of 1 MiB can have 100,000 of them.
const maxFaults = 20

// Codes whose status is not that of their exit code.
const (
	codeChanged   = "changed_meanwhile"
	codeKeyReused = "key_reused"
)

func statusOf(e *api.Error) int {
	switch e.Code {
	case codeChanged:
		return http.StatusPreconditionFailed
	case codeKeyReused:
		return http.StatusUnprocessableEntity
	default:
		return api.StatusOf(e)
	}
}

func problemOf(e *api.Error) *Problem {
	return &Problem{Type: "urn:shoal:problem:" + e.Code, Title: e.Title, Status: statusOf(e), Detail: e.Detail, Code: e.Code,
		ExitCode: e.ExitCode, Hint: e.Hint, Retryable: e.Retryable}
}

// Error implements error.
func (p *Problem) Error() string { return p.Title }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// failed is how a handler ends with an error of the service.
func failed(err error) error { return problemOf(api.AsError(err)) }

// toProblem replaces what huma says of a request that it refused.
func toProblem(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	e := &api.Error{Code: api.CodeBadRequest, ExitCode: api.ExitUsage, Title: "request not understood", Detail: m.Detail}
	switch {
	case m.Status == http.StatusRequestEntityTooLarge:
		e.Code = api.CodeTooLarge
	case m.Status >= http.StatusInternalServerError:
		e.Code, e.ExitCode, e.Title = api.CodeBug, api.ExitBug, "the node ran into a bug"
	}
	p := problemOf(e)
	p.Status = m.Status
	for _, f := range m.Errors {
		if f != nil && len(p.Errors) < maxFaults {
			p.Errors = append(p.Errors, Fault{Location: f.Location, Message: f.Message})
		}
	}
	return p, nil
}

// guard turns a panic of the service into an error: one broken request must not take the node down, and the stack
// belongs in the log, not in the answer.
func guard[R any](ctx context.Context, a *API, name string, do func(context.Context) (R, error)) (res R, err error) {
	defer func() {
		if p := recover(); p != nil {
			a.opts.Log.Error("panic in a request", "operation", name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = &api.Error{Code: api.CodeBug, ExitCode: api.ExitBug, Title: "the node ran into a bug", Detail: fmt.Sprint(p)}
		}
	}()
	return do(ctx)
}

// stopping is why an operation or a stream is not begun any more.
func stopping() *api.Error {
	return &api.Error{Code: api.CodeStopping, ExitCode: api.ExitNeedsNode, Title: "the node is stopping", Retryable: true}
}

// indented is a document for people's eyes and for comparing.
func indented(b []byte, err error) ([]byte, error) {
	var out bytes.Buffer
	if err = errors.Join(err, json.Indent(&out, b, "", "  ")); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
