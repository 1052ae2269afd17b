package rest

import (
	"context"
	"encoding/json"

	"github.com/shoal-p2p/shoal/node/api"
)

// launch begins an operation in a goroutine that Close waits for; one that its key began already is only found.
func (a *API) launch(b Beginning, do func(context.Context, func(api.Progress)) (any, error)) (Operation, error) {
	ctx, cancel := context.WithCancel(a.base)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		cancel()
		return Operation{}, stopping()
	}
	op, fresh, err := a.ops.begin(a.opts.Now(), b, cancel)
	if !fresh {
		cancel()
		return op, err
	}
	a.group.Go(func() {
		defer cancel()
		a.perform(ctx, op, do)
	})
	return op, nil
}

// perform does the work of an operation and notes how it went.
func (a *API) perform(ctx context.Context, op Operation, do func(context.Context, func(api.Progress)) (any, error)) {
	res, err := guard(ctx, a, op.Kind, func(ctx context.Context) (any, error) {
		return do(ctx, func(p api.Progress) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.ops.progress(op.ID, p)
		})
	})
	var body json.RawMessage
	if err == nil {
		body, err = json.Marshal(res)
	}
	e := api.AsError(err)
	if e != nil && a.base.Err() != nil {
		e = stopping()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ops.end(a.opts.Now(), op.ID, body, e)
}

// Known names an operation.
type Known struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) operationOf(_ context.Context, in *Known) (Operation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	op, ok := a.ops.get(a.opts.Now(), in.ID)
	if !ok {
		return op, noOperation(in.ID)
	}
	return op, nil
}

// dropOperation cancels one that runs, which ends soon after, and forgets one that has ended.
func (a *API) dropOperation(_ context.Context, in *Known) (Operation, error) {
	a.mu.Lock()
	op, cancel, ok := a.ops.drop(in.ID)
	a.mu.Unlock()
	if !ok {
		return op, noOperation(in.ID)
	}
	if cancel != nil {
		cancel()
	}
	return op, nil
}

func noOperation(id string) error {
	return &api.Error{Code: "unknown_operation", ExitCode: api.ExitNotFound, Title: "no such operation", Detail: id,
		Hint: "one that has ended is told of for an hour"}
}

// listed are the operations that changed after a mark, newest first.
func (a *API) listed(mark uint64) ([]Operation, uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ops.since(a.opts.Now(), mark)
}
