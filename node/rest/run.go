package rest

import (
	"cmp"
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
	mark := a.ring.last
	if !fresh {
		cancel()
		return op, err
	}
	a.group.Go(func() {
		defer cancel()
		res, err := guard(ctx, a, op.Kind, func(ctx context.Context) (any, error) {
			return do(ctx, func(p api.Progress) { a.progress(op.ID, p) })
		})
		_ = a.finish(op.ID, res, err, mark) // who asks for the operation hears of it
	})
	return op, nil
}

// progress notes how far an operation is.
func (a *API) progress(id string, p api.Progress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ops.progress(id, p)
}

// finish notes how the work of an operation went, and answers what its caller hears of it. mark is the newest event before
// it began.
func (a *API) finish(id string, res any, err error, mark int) error {
	var body json.RawMessage
	if err == nil {
		body, err = json.Marshal(res)
	}
	if f, ok := res.(api.FollowResult); ok && err == nil {
		a.awaitRevision(id, f, body, mark)
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch r := a.ops.all[id]; {
	case err == nil:
	case r != nil && r.canceled:
		err = cancelled()
	case a.base.Err() != nil:
		err = stopping()
	}
	a.ops.end(a.opts.Now(), id, body, api.AsError(err))
	return err
}

// beginning tells what an operation is about: by the request, which is JSON.
func beginning(kind string, request []byte) Beginning {
	var named struct{ Set, Target, Path, Dest string }
	_ = json.Unmarshal(request, &named) // one that names nothing
	b := Beginning{Kind: kind, Set: cmp.Or(named.Set, named.Target), Folder: named.Dest}
	if kind == "share" {
		b.Folder = named.Path
	}
	return b
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
