package testnet

import (
	"context"
	"errors"
	"fmt"

	"github.com/shoal-p2p/shoal/node/api"
)

// ear hears what happens at one node. Its owner closes it.
type ear struct {
	node   string
	events chan api.Event // closed when the stream has ended
	stop   context.CancelFunc
	failed string // the last failure that was heard
}

// earRoom events may wait for their listener: a revision makes about three.
const earRoom = 256

// listen returns when nothing that happens later can be missed.
func listen(ctx context.Context, p *running) (*ear, error) {
	ctx, stop := context.WithCancel(ctx)
	e := &ear{node: p.name, events: make(chan api.Event, earRoom), stop: stop}
	go func() {
		defer close(e.events)
		_ = p.client.Events(ctx, api.EventsRequest{}, func(ev api.Event) { // why it ended is seen at the node
			select {
			case e.events <- ev:
			case <-ctx.Done():
			}
		})
	}()
	if _, err := e.until(ctx, func(ev api.Event) bool { return ev.Kind == api.EventReady }); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// until returns the first event that is wanted.
func (e *ear) until(ctx context.Context, wanted func(api.Event) bool) (api.Event, error) {
	for {
		select {
		case ev, ok := <-e.events:
			if !ok {
				return ev, e.ended(ctx, "the stream ended")
			}
			if ev.Kind == api.EventFailed {
				e.failed = ev.Detail
			}
			if wanted(ev) {
				return ev, nil
			}
		case <-ctx.Done():
			return api.Event{}, e.ended(ctx, "not in time")
		}
	}
}

func (e *ear) ended(ctx context.Context, why string) error {
	if e.failed != "" {
		why += ", after a failure: " + e.failed
	}
	return fmt.Errorf("wait for an event of %s: %w", e.node, errors.Join(errors.New(why), ctx.Err()))
}

// complete waits until the node's folder holds a revision of a set, or a later one.
func (e *ear) complete(ctx context.Context, set string, revision uint64) (api.GetResult, error) {
	ev, err := e.until(ctx, func(ev api.Event) bool {
		return ev.Kind == api.EventComplete && ev.Set == set && ev.Revision >= revision && ev.Result != nil
	})
	if err != nil {
		return api.GetResult{}, err
	}
	return *ev.Result, nil
}

// close ends the stream and waits for it.
func (e *ear) close() {
	e.stop()
	for range e.events {
	}
}
