package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-p2p/shoal/node/api"
)

var failure = &api.Error{Code: "no", ExitCode: api.ExitNotFound, Title: "no"}

func TestOperationStates(t *testing.T) {
	at := time.Unix(1, 0)
	for _, tt := range []struct {
		name  string
		after func(o *operations, id string)
		state string
		set   string
		code  string
	}{
		{"runs", func(*operations, string) {}, StateRunning, "mine", ""},
		{"is done", func(o *operations, id string) { o.end(at, id, []byte(`{"set":"bafy"}`), nil) }, StateDone, "bafy", ""},
		{"is done, without a set", func(o *operations, id string) { o.end(at, id, []byte(`{"blocks":1}`), nil) }, StateDone, "mine", ""},
		{"fails", func(o *operations, id string) { o.end(at, id, nil, failure) }, StateFailed, "mine", "no"},
		{"is cancelled", func(o *operations, id string) { o.drop(id); o.end(at, id, nil, failure) }, StateCancelled, "mine", "no"},
		{"was done before it was cancelled", func(o *operations, id string) { o.drop(id); o.end(at, id, []byte(`{}`), nil) }, StateDone, "mine", ""},
		{"ends once", func(o *operations, id string) { o.end(at, id, nil, failure); o.end(at, id, []byte(`{}`), nil) }, StateFailed, "mine", "no"},
		{"names its set", func(o *operations, id string) {
			o.progress(id, api.Progress{Set: "bafy"})
			o.drop(id)
			o.end(at, id, nil, cancelled())
		}, StateCancelled, "bafy", "interrupted"},
		{"has no progress once it has ended", func(o *operations, id string) { o.end(at, id, nil, failure); o.progress(id, api.Progress{}) }, StateFailed, "mine", "no"},
	} {
		o := newOperations(at)
		op, _, err := o.begin(at, Beginning{Kind: "get", Set: "mine"}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		tt.after(o, op.ID)
		got, ok := o.get(at, op.ID)
		if !ok || got.State != tt.state || got.Set != tt.set || (got.Error == nil) != (tt.code == "") || got.Error != nil && got.Error.Code != tt.code {
			t.Errorf("%s: %v %+v", tt.name, ok, got)
		}
		if (got.Progress != nil) != (tt.name == "names its set") || got.Error != nil && got.Error.Status >= http.StatusInternalServerError || (got.Ended == "") != (tt.state == StateRunning) {
			t.Errorf("%s: progress %v, ended %q", tt.name, got.Progress, got.Ended)
		}
	}
}

func TestOperationKeys(t *testing.T) {
	at := time.Unix(1, 0)
	o := newOperations(at)
	begin := func(at time.Time, key, print string) (Operation, bool, error) {
		return o.begin(at, Beginning{Kind: "get", Key: key, Print: print}, func() {})
	}
	first, fresh, err := begin(at, "k", "a")
	if err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	if again, fresh, err := begin(at, "k", "a"); err != nil || fresh || again.ID != first.ID {
		t.Errorf("the same request: %v %v %v", again, fresh, err)
	}
	var e *api.Error
	if _, _, err := begin(at, "k", "b"); !errors.As(err, &e) || e.Code != "key_reused" {
		t.Errorf("another request under the key: %v", err)
	}
	o.end(at, first.ID, nil, failure)
	if again, fresh, _ := begin(at.Add(keyFor-1), "k", "a"); fresh || again.State != StateFailed {
		t.Errorf("within a day: %v %v", again, fresh)
	}
	if again, fresh, err := begin(at.Add(keyFor), "k", "b"); err != nil || !fresh || again.ID == first.ID {
		t.Errorf("after a day: %v %v %v", again, fresh, err)
	}
	if a, b := must(begin(at, "", "x")), must(begin(at, "", "x")); a.ID == b.ID {
		t.Error("no key is no key")
	}
	if later := newOperations(at.Add(time.Millisecond)); must(later.begin(at, Beginning{}, nil)).ID == first.ID {
		t.Error("an id returned after a restart")
	}
}

func must(op Operation, _ bool, err error) Operation {
	if err != nil {
		panic(err)
	}
	return op
}

func TestOperationsAreBounded(t *testing.T) {
	at := time.Unix(1, 0)
	o := newOperations(at)
	var ids []string
	for range maxRunning {
		ids = append(ids, must(o.begin(at, Beginning{}, nil)).ID)
	}
	var e *api.Error
	if _, _, err := o.begin(at, Beginning{}, nil); !errors.As(err, &e) || !e.Retryable {
		t.Errorf("one too many: %v", err)
	}
	for _, id := range ids {
		o.end(at, id, nil, nil)
	}
	for range 2 * maxKept {
		o.end(at, must(o.begin(at, Beginning{Key: fmt.Sprint(o.last)}, nil)).ID, nil, nil)
	}
	if len(o.all) != maxKept || len(o.keys) != maxKept {
		t.Errorf("%d operations and %d keys are kept", len(o.all), len(o.keys))
	}
	if _, ok := o.get(at, ids[0]); ok {
		t.Error("the oldest is kept")
	}
	big := json.RawMessage(strings.Repeat(" ", maxKeptBytes/4))
	for range 6 {
		o.end(at, must(o.begin(at, Beginning{}, nil)).ID, big, nil)
	}
	if len(o.all) > 4 {
		t.Errorf("%d operations of %d MiB are kept", len(o.all), len(big)>>20)
	}
	o.end(at, must(o.begin(at, Beginning{}, nil)).ID, json.RawMessage(strings.Repeat(" ", 2*maxKeptBytes)), nil)
	if all, _ := o.since(at, 0); len(all) != 1 || all[0].Result != nil {
		t.Errorf("a result beyond all bounds: %d kept", len(all))
	}
	if op, ok := o.get(at, must(firstOf(o.since(at, 0)), false, nil).ID); !ok || op.Result == nil {
		t.Error("the newest has lost its result")
	}
}

func firstOf(all []Operation, _ uint64) Operation { return all[0] }

// Whatever happens, who reads what changed since the mark before sees what is there.
func TestChangesAreComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(1, 0)
		o := newOperations(at)
		seen := map[string]string{}
		var mark uint64
		var ids []string
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			pick := func() string { return rapid.SampledFrom(append(ids, "none")).Draw(t, "id") }
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				op, _, err := o.begin(at, Beginning{Key: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key")}, func() {})
				if err == nil {
					ids = append(ids, op.ID)
				}
			case 2:
				o.progress(pick(), api.Progress{BytesDone: rapid.Int64().Draw(t, "bytes")})
			case 3:
				o.end(at, pick(), []byte(`{}`), nil)
			case 4:
				o.drop(pick())
			case 5:
				at = at.Add(time.Duration(rapid.IntRange(0, int(25*time.Hour)).Draw(t, "time")))
			}
			if rapid.Bool().Draw(t, "look") {
				var news []Operation
				news, mark = o.since(at, mark)
				for _, op := range news {
					seen[op.ID] = view(op)
				}
			}
		}
		news, _ := o.since(at, mark)
		for _, op := range news {
			seen[op.ID] = view(op)
		}
		all, _ := o.since(at, 0)
		for i, op := range all {
			if seen[op.ID] != view(op) {
				t.Fatalf("saw %q, is %q", seen[op.ID], view(op))
			}
			if i > 0 && all[i-1].seq <= op.seq {
				t.Fatal("not newest first")
			}
			if r := o.all[op.ID]; op.State != StateRunning && at.Sub(r.ended) >= keyFor {
				t.Fatal("kept too long")
			}
		}
	})
}

func view(op Operation) string { return fmt.Sprint(op.State, op.Progress, op.Ended) }

// Every endpoint that begins an operation, and no other, hears of keys: the same request finds its operation, and any other
// is refused.
func TestEveryBeginningHasAKey(t *testing.T) {
	f := &fake{sets: manySets(1)}
	a := serve(t, f, Options{Stop: func() {}})
	spec, err := a.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name string }
			Responses  map[string]any
			ID         string `json:"operationId"`
		}
	}
	if err := json.Unmarshal(spec, &doc); err != nil {
		t.Fatal(err)
	}
	begins := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			told := false
			for _, p := range op.Parameters {
				told = told || p.Name == "Idempotency-Key"
			}
			if begins[op.ID] = op.Responses["202"] != nil; told != begins[op.ID] {
				t.Errorf("%s %s: the document tells of keys: %v", method, path, told)
			}
		}
	}
	n := 0
	for _, e := range endpoints(t, a) {
		if !begins[e.id] {
			continue
		}
		n++
		first := call(t, a, e.method, e.path, e.body, "Idempotency-Key", e.id)
		op := settle(t, a, first)
		if again := call(t, a, e.method, e.path, e.body, "Idempotency-Key", e.id); again.header.Get("Location") != first.header.Get("Location") {
			t.Errorf("%s: %s began another operation", e.id, again.body)
		}
		other, body := prefix+"/gc", ""
		if e.id == "gc" {
			other, body = prefix+"/why", `{"ticket":"t"}`
		}
		if r := call(t, a, "POST", other, body, "Idempotency-Key", e.id); r.status != http.StatusUnprocessableEntity || !strings.Contains(r.body, op.ID) {
			t.Errorf("%s: the key for something else: %d %s", e.id, r.status, r.body)
		}
	}
	if n < 11 {
		t.Errorf("only %d begin operations", n)
	}
}
