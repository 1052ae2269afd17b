package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/shoal-p2p/shoal/node/api"
)

func newEventsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "events [SET]",
		Short: "Print what happens at the running node, until Ctrl-C",
		Long: "Print what happens at the running node, of one set or of all, until Ctrl-C: revisions that were\n" +
			"published, became available, are complete or failed, conflicts, hooks, notices.",
		Args:              a.arguments(0, 1),
		ValidArgsFunction: a.completeSet,
		RunE: func(cmd *cobra.Command, args []string) error {
			var q api.EventsRequest
			if len(args) == 1 {
				q.Set = setArgument(args[0])
			}
			return a.withNode(cmd.Context(), attach{needsNode: true}, func(ctx context.Context, s session) error {
				err := s.Events(ctx, q, func(e api.Event) { a.printEvent(a.stdout, e) })
				if ctx.Err() != nil {
					return seedEnd(ctx)
				}
				return err
			})
		},
	}
}

func (a *app) printEvent(w io.Writer, e api.Event) {
	switch {
	case a.opts.json:
		_ = a.emit("event", e) // a failed write is remembered and ends the command with an error
	case e.Kind == api.EventReady:
		a.say("listening; Ctrl-C stops")
	default:
		fmt.Fprintln(w, eventLine(e))
	}
}

// eventLine is an event for people, in local time.
func eventLine(e api.Event) string {
	line := printable(e.Kind)
	if t, err := time.Parse(time.RFC3339Nano, e.Time); err == nil {
		line = t.Local().Format(time.TimeOnly) + " " + line
	}
	if e.Name != "" || e.Set != "" {
		name := e.Name
		if name == "" {
			name = short(e.Set)
		}
		line += " " + printable(name)
	}
	if e.Revision > 0 {
		line += fmt.Sprintf(" revision %d", e.Revision)
	}
	switch {
	case e.Result != nil:
		line += ": " + gotWords(*e.Result)
	case e.Detail != "":
		line += ": " + oneLine(e.Detail)
	}
	return line
}

// feed is the stream of a node's events, read by one goroutine.
type feed struct {
	events chan api.Event // closed after err is set
	err    error
	stop   context.CancelFunc
}

// listen returns when nothing that happens later can be missed. Who listens must close.
func listen(ctx context.Context, s session, q api.EventsRequest) (*feed, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{events: make(chan api.Event), stop: cancel}
	go func() {
		defer close(f.events)
		f.err = s.Events(ctx, q, func(e api.Event) {
			select {
			case f.events <- e:
			case <-ctx.Done():
			}
		})
		if f.err == nil {
			f.err = errors.New("the node told no more events")
		}
	}()
	for {
		e, err := f.next()
		if err != nil {
			f.close()
			return nil, err
		}
		if e.Kind == api.EventReady { // an event before it happened while the node began to listen
			return f, nil
		}
	}
}

// next waits for an event, or for why there is none.
func (f *feed) next() (api.Event, error) {
	if e, ok := <-f.events; ok {
		return e, nil
	}
	return api.Event{}, f.err
}

func (f *feed) close() {
	f.stop()
	for range f.events { // until the goroutine has ended
	}
}

// ended is the end of what a command stays for: asked for, or with the reason.
func ended(what string, e api.Event) error {
	if e.Detail == "" {
		return nil
	}
	return &api.Error{Code: "ended", ExitCode: api.ExitFailed, Title: what, Detail: e.Detail, Hint: "the same command again", Retryable: true}
}
