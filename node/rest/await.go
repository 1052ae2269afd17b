package rest

import (
	"context"
	"encoding/json"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// await keeps an operation running whose work goes on at the node, until a revision of set is complete: then it is done,
// with result. wished tells whether the set was not followed before. An older one that awaits the same ends now, so that
// there is one for each set: the new one stands for both.
func (o *operations) await(now time.Time, id, set string, result json.RawMessage, wished bool, cancel func()) {
	r := o.all[id]
	if r == nil || r.State != StateRunning {
		return
	}
	for _, other := range o.all {
		if other.awaited != nil && other.Set == set {
			wished = wished || other.wished
			o.end(now, other.ID, nil, &api.Error{Code: api.CodeInterrupted, ExitCode: api.ExitInterrupted,
				Title: "the same was asked for again", Detail: r.ID})
		}
	}
	r.Set, r.awaited, r.wished, r.cancel = set, result, wished, cancel
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
func (a *API) awaitRevision(id string, f api.FollowResult, result json.RawMessage, mark int) {
	a.mu.Lock()
	a.ops.await(a.opts.Now(), id, f.Set, result, !f.Already, func() { a.abandon(id) })
	for _, n := range a.ring.after(mark) {
		a.ops.heard(a.opts.Now(), n.Event)
	}
	r := a.ops.all[id]
	canceled := r != nil && r.canceled // while the node was asked
	a.mu.Unlock()
	if canceled {
		a.abandon(id)
	}
}

// abandon is how an operation is cancelled whose work goes on at the node: the set is not followed any more, unless it
// was before the operation.
func (a *API) abandon(id string) {
	a.mu.Lock()
	set := ""
	if r := a.ops.all[id]; r != nil && r.wished {
		set = r.Set
	}
	a.mu.Unlock()
	e := cancelled()
	if set != "" {
		if _, err := guard(a.base, a, "unfollow", func(ctx context.Context) (api.UnfollowResult, error) {
			return a.service.Unfollow(ctx, api.UnfollowRequest{Set: set})
		}); err != nil {
			e = api.AsError(err)
		}
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
