package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// operationsOf lists them as a client does.
func operationsOf(t *testing.T, a *API) []Operation {
	t.Helper()
	var page Page[Operation]
	call(t, a, "GET", prefix+"/operations", "").into(t, &page)
	return page.Items
}

// What commands ask for is listed with its progress while it runs, and how it went.
func TestCommandsAreOperations(t *testing.T) {
	f := &fake{}
	a := serve(t, f, Options{})
	s, ctx := a.Noted(), t.Context()
	heard := 0
	hear := func(api.Progress) { heard++ }
	for kind, do := range map[string]func() (any, error){
		"share":   func() (any, error) { return s.Share(ctx, api.ShareRequest{Path: "/d"}, hear) },
		"get":     func() (any, error) { return s.Get(ctx, api.GetRequest{Ticket: "t", Dest: "/d"}, hear) },
		"publish": func() (any, error) { return s.Publish(ctx, api.PublishRequest{Target: "s"}, hear) },
		"restore": func() (any, error) { return s.Restore(ctx, api.RestoreRequest{Set: "s", Dest: "/d"}, hear) },
		"follow":  func() (any, error) { return s.Follow(ctx, api.FollowRequest{Ticket: "s", Dest: "/d"}, hear) },
		"verify":  func() (any, error) { return s.Verify(ctx, api.VerifyRequest{Set: "s"}, hear) },
		"failover": func() (any, error) {
			return s.Failover(ctx, api.FailoverRequest{Set: "s"}, hear)
		},
		"why":  func() (any, error) { return s.Why(ctx, api.WhyRequest{Ticket: "t"}, hear) },
		"peek": func() (any, error) { return s.Peek(ctx, api.PeekRequest{Ticket: "t"}, hear) },
		"gc":   func() (any, error) { hear(api.Progress{}); return s.GC(ctx) },
	} {
		heard = 0
		res, err := do()
		op := operationsOf(t, a)[0]
		want, _ := json.Marshal(res)
		if err != nil || heard != 1 || op.Kind != kind || op.State != StateDone || op.Via != ViaCommand || string(op.Result) != string(want) {
			t.Errorf("%s: %v, %d progress, %+v", kind, err, heard, op)
		}
		if named := kind == "share" || kind == "get" || kind == "restore" || kind == "follow"; (op.Folder == "/d") != named || op.Progress == nil && kind != "gc" {
			t.Errorf("%s: %+v", kind, op)
		}
	}
}

// A command is cancelled where operations are listed, and by its own end; one that fails is listed so, and told so.
func TestCommandsAreCancelled(t *testing.T) {
	began := make(chan struct{}, 1)
	f := &fake{work: func(ctx context.Context, _ func(api.Progress)) error {
		began <- struct{}{}
		<-ctx.Done()
		return fmt.Errorf("fetch: %w", ctx.Err())
	}}
	a := serve(t, f, Options{})
	ctx, leave := context.WithCancel(t.Context())
	get := func() chan error {
		errs := make(chan error, 1)
		go func() { _, err := a.Noted().Get(ctx, api.GetRequest{Dest: "/d"}, nil); errs <- err }()
		<-began
		return errs
	}
	errs := get()
	id := operationsOf(t, a)[0].ID
	call(t, a, "DELETE", prefix+"/operations/"+id, "")
	var e *api.Error
	if err := <-errs; !errors.As(err, &e) || e.ExitCode != api.ExitInterrupted || e.Hint == "" {
		t.Errorf("cancelled from outside: %v", err)
	}
	if op := operationsOf(t, a)[0]; op.ID != id || op.State != StateCancelled {
		t.Errorf("cancelled from outside: %+v", op)
	}
	errs = get()
	leave()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("left: %v", err)
	}
	if op := operationsOf(t, a)[0]; op.State != StateCancelled {
		t.Errorf("left: %+v", op)
	}
	f.work = func(context.Context, func(api.Progress)) error { return errors.New("disk") }
	if _, err := a.Noted().Get(t.Context(), api.GetRequest{}, nil); err == nil {
		t.Error("a failure is a success")
	}
	if op := operationsOf(t, a)[0]; op.State != StateFailed || op.Error.Title != "disk" {
		t.Errorf("failed: %+v", op)
	}
	f.work = func(context.Context, func(api.Progress)) error { panic("broken") }
	if _, err := a.Noted().Get(t.Context(), api.GetRequest{}, nil); api.AsError(err).Code != api.CodeBug {
		t.Errorf("a panic: %v", err)
	}
	if op := operationsOf(t, a)[0]; op.State != StateFailed {
		t.Errorf("a panic: %+v", op)
	}
}

// A follow runs until a revision is complete, whatever failed before, and says how far it is.
func TestFollowRunsUntilARevisionIsComplete(t *testing.T) {
	f := &fake{slow: true}
	a := serve(t, f, Options{})
	begin := func() reply { return call(t, a, "POST", prefix+"/follows", `{"ticket":"s","dest":"/d"}`) }
	first := begin()
	awaitSet := func(r reply) (op Operation) {
		for op.Set != "s" || op.State == StateRunning && op.Progress != nil && op.Progress.Phase == "scan" {
			call(t, a, "GET", r.header.Get("Location"), "").into(t, &op)
			f.tell(api.Event{Kind: api.EventProgress, Set: "s", Progress: &api.Progress{Phase: "fetch", BytesDone: 7}})
		}
		return op
	}
	if op := awaitSet(first); op.State != StateRunning || op.Progress.BytesDone != 7 {
		t.Errorf("it runs: %+v", op)
	}
	f.tell(api.Event{Kind: api.EventFailed, Set: "s", Detail: "nobody answers"})
	f.tell(api.Event{Kind: api.EventComplete, Set: "other"})
	var op Operation
	call(t, a, "GET", first.header.Get("Location"), "").into(t, &op)
	if op.State != StateRunning || op.Progress.Message != "nobody answers" {
		t.Errorf("a failure: %+v", op)
	}
	f.tell(api.Event{Kind: api.EventComplete, Set: "s"})
	if op := settle(t, a, first); op.State != StateDone || string(op.Result) == "" {
		t.Errorf("complete: %+v", op)
	}

	second, third := begin(), reply{}
	awaitSet(second)
	third = begin()
	awaitSet(third)
	if op := settle(t, a, second); op.State != StateCancelled || f.last() == (api.UnfollowRequest{Set: "s"}) {
		t.Errorf("one that is asked for again: %+v", op)
	}
	call(t, a, "DELETE", third.header.Get("Location"), "")
	if op := settle(t, a, third); op.State != StateCancelled || f.last() != (api.UnfollowRequest{Set: "s"}) {
		t.Errorf("cancelled: %+v, asked %v", op, f.last())
	}
	fourth := begin()
	awaitSet(fourth)
	f.tell(api.Event{Kind: api.EventEnded, Set: "s"})
	if op := settle(t, a, fourth); op.State != StateCancelled {
		t.Errorf("not followed any more: %+v", op)
	}
	fifth := begin()
	awaitSet(fifth)
	f.tell(api.Event{Kind: api.EventEnded, Set: "s", Detail: "not authorised"})
	if op := settle(t, a, fifth); op.State != StateFailed || op.Error.Detail != "not authorised" {
		t.Errorf("ended by itself: %+v", op)
	}
}

// Cancelling ends what the operation began, and nothing else: a set that was followed before stays so.
func TestCancelledFollow(t *testing.T) {
	f := &fake{slow: true}
	a := serve(t, f, Options{})
	begin := func(body string) reply { return call(t, a, "POST", prefix+"/follows", body) }
	running := func(r reply) {
		var op Operation
		for op.Set != "s" {
			call(t, a, "GET", r.header.Get("Location"), "").into(t, &op)
		}
	}
	unfollowed := func() bool { return f.last() == (api.UnfollowRequest{Set: "s"}) }
	drop := func(r reply) Operation {
		call(t, a, "DELETE", r.header.Get("Location"), "")
		return settle(t, a, r)
	}

	again := begin(`{"ticket":"s","dest":"/already"}`)
	running(again)
	if op := drop(again); op.State != StateCancelled || unfollowed() {
		t.Errorf("followed before: %+v, asked %v", op, f.last())
	}
	first := begin(`{"ticket":"s","dest":"/d"}`)
	running(first)
	again = begin(`{"ticket":"s","dest":"/already"}`)
	running(again)
	if op := drop(again); op.State != StateCancelled || !unfollowed() {
		t.Errorf("followed by the one before, which it stands for: %+v, asked %v", op, f.last())
	}

	asked, asking := make(chan struct{}), make(chan struct{})
	f.work = func(context.Context, func(api.Progress)) error { // the node does not look whether anybody waits still
		close(asking)
		<-asked
		return nil
	}
	soon := begin(`{"ticket":"s","dest":"/d"}`)
	<-asking
	call(t, a, "DELETE", soon.header.Get("Location"), "")
	close(asked)
	if op := settle(t, a, soon); op.State != StateCancelled || !unfollowed() {
		t.Errorf("cancelled while the node was asked: %+v, asked %v", op, f.last())
	}
}

// What commands do, and what only waits for a revision, takes no place from what is begun over the API.
func TestBoundIsOfTheAPI(t *testing.T) {
	at := time.Unix(1, 0)
	o := newOperations(at)
	for i := range 2 * maxRunning {
		must(o.begin(at, Beginning{Via: ViaCommand}, nil))
		op := must(o.begin(at, Beginning{Via: ViaAPI}, nil))
		o.await(at, op.ID, fmt.Sprint("set", i), []byte(`{}`), true, nil)
	}
	if n := o.running(); n != 0 {
		t.Errorf("%d are counted", n)
	}
}
