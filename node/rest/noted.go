package rest

import (
	"context"
	"encoding/json"

	"github.com/shoal-p2p/shoal/node/api"
)

// Noted is the service, for those who ask it directly: their long calls are among the operations, and can be cancelled
// there. They end with their caller, as ever.
func (a *API) Noted() api.Service { return noted{a.service, a} }

type noted struct {
	api.Service
	api *API
}

// note does work of a caller who waits, as an operation.
func note[Q, R any](ctx context.Context, a *API, kind string, q Q, progress func(api.Progress),
	do func(context.Context, Q, func(api.Progress)) (R, error)) (res R, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	print, err := json.Marshal(q)
	if err != nil {
		return res, err
	}
	b := beginning(kind, print)
	b.Via = ViaCommand
	a.mu.Lock()
	op, _, err := a.ops.begin(a.opts.Now(), b, cancel)
	mark := a.ring.last
	a.mu.Unlock()
	if err != nil {
		return res, err
	}
	res, err = guard(ctx, a, kind, func(ctx context.Context) (R, error) {
		return do(ctx, q, func(p api.Progress) {
			a.progress(op.ID, p)
			if progress != nil {
				progress(p)
			}
		})
	})
	return res, a.finish(op.ID, res, err, mark)
}

// Share implements api.Service.
func (n noted) Share(ctx context.Context, q api.ShareRequest, p func(api.Progress)) (api.ShareResult, error) {
	return note(ctx, n.api, "share", q, p, n.Service.Share)
}

// Get implements api.Service.
func (n noted) Get(ctx context.Context, q api.GetRequest, p func(api.Progress)) (api.GetResult, error) {
	return note(ctx, n.api, "get", q, p, n.Service.Get)
}

// Publish implements api.Service.
func (n noted) Publish(ctx context.Context, q api.PublishRequest, p func(api.Progress)) (api.PublishResult, error) {
	return note(ctx, n.api, "publish", q, p, n.Service.Publish)
}

// Restore implements api.Service.
func (n noted) Restore(ctx context.Context, q api.RestoreRequest, p func(api.Progress)) (api.RestoreResult, error) {
	return note(ctx, n.api, "restore", q, p, n.Service.Restore)
}

// Follow implements api.Service.
func (n noted) Follow(ctx context.Context, q api.FollowRequest, p func(api.Progress)) (api.FollowResult, error) {
	return note(ctx, n.api, "follow", q, p, n.Service.Follow)
}

// Verify implements api.Service.
func (n noted) Verify(ctx context.Context, q api.VerifyRequest, p func(api.Progress)) (api.VerifyResult, error) {
	return note(ctx, n.api, "verify", q, p, n.Service.Verify)
}

// Failover implements api.Service.
func (n noted) Failover(ctx context.Context, q api.FailoverRequest, p func(api.Progress)) (api.FailoverResult, error) {
	return note(ctx, n.api, "failover", q, p, n.Service.Failover)
}

// Why implements api.Service.
func (n noted) Why(ctx context.Context, q api.WhyRequest, p func(api.Progress)) (api.WhyResult, error) {
	return note(ctx, n.api, "why", q, p, n.Service.Why)
}

// GC implements api.Service.
func (n noted) GC(ctx context.Context) (api.GCResult, error) {
	return note(ctx, n.api, "gc", None{}, nil, func(ctx context.Context, _ None, _ func(api.Progress)) (api.GCResult, error) {
		return n.Service.GC(ctx)
	})
}

// Peek implements api.Service.
func (n noted) Peek(ctx context.Context, q api.PeekRequest, p func(api.Progress)) (api.PeekResult, error) {
	return note(ctx, n.api, "peek", q, p, n.Service.Peek)
}
