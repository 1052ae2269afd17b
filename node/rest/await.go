package rest

import (
	"context"
	"encoding/json"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// await keeps an operation running whose work goes on at the node, until a revision of set is complete: then it is done,
// with result. An older one that awaits the same is done now, so that there is one for each set.
func (o *operations) await(now time.Time, id, set string, result json.RawMessage, cancel func()) {
	r := o.all[id]
	if r == nil || r.State != StateRunning {
		return
	}
	for _, other := range o.all {
		if other.awaited != nil && other.Set == set {
			o.end(now, other.ID, other.awaited, nil)
		}
	}
	r.Set, r.awaited, r.cancel = set, result, cancel
	o.touch(r)
}

// heard passes an event on to who awaits a revision of its set. A revision that failed is tried again, and so awaited still.
func (o *operations) heard(now time.Time, e api.Event) {
	for _, r := range o.all {
		if r.awaited == nil || r.Set != e.Set {
			continue
		}
		switch e.Kind {
		case api.EventComplete:
			o.end(now, r.ID, r.awaited, nil)
		case api.EventEnded:
			o.end(now, r.ID, nil, left(r.canceled, e.Detail))
		case api.EventFailed:
			o.progress(r.ID, api.Progress{Phase: "find", Message: e.Detail})
		case api.EventProgress:
			if e.Progress != nil {
				o.progress(r.ID, *e.Progress)
			}
		}
	}
}

// left is why a follow ended before a revision was complete.
func left(canceled bool, detail string) *api.Error {
	e := &api.Error{Code: api.CodeInterrupted, ExitCode: api.ExitInterrupted, Title: "the set is not followed any more"}
	switch {
	case canceled:
		return cancelled()
	case detail != "": // nobody asked for it
		e.Code, e.ExitCode, e.Detail = api.CodeFailed, api.ExitFailed, detail
	}
	return e
}

// awaitRevision lets an operation run on until a revision of what is followed is complete. mark is the newest event
// before the follow was asked for: what the node told since then counts.
func (a *API) awaitRevision(id, set string, result json.RawMessage, mark int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ops.await(a.opts.Now(), id, set, result, func() { a.abandon(id, set) })
	for _, n := range a.ring.after(mark) {
		a.ops.heard(a.opts.Now(), n.Event)
	}
}

// abandon is how an operation is cancelled whose work goes on at the node: the set is not followed any more.
func (a *API) abandon(id, set string) {
	_, err := guard(a.base, a, "unfollow", func(ctx context.Context) (api.UnfollowResult, error) {
		return a.service.Unfollow(ctx, api.UnfollowRequest{Set: set})
	})
	e := api.AsError(err)
	if e == nil {
		e = cancelled()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ops.end(a.opts.Now(), id, nil, e)
}

// cancelled is how an operation ends that somebody cancelled where operations are listed.
func cancelled() *api.Error {
	return &api.Error{Code: api.CodeInterrupted, ExitCode: api.ExitInterrupted, Title: "the operation was cancelled in the dashboard or over the API",
		Hint: "begin it again: it goes on where it was", Retryable: true}
}
