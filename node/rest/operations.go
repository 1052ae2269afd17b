package rest

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// States of an Operation.
const (
	StateRunning   = "running"
	StateDone      = "done"
	StateFailed    = "failed"
	StateCancelled = "cancelled"
)

const (
	// keptFor is how long an operation that has ended is told of: a person who comes back from lunch.
	keptFor = time.Hour
	// keyFor is how long a key means the same operation, from its beginning: a client that tries again after a night.
	keyFor = 24 * time.Hour
	// maxKept and maxKeptBytes bound those that have ended: a result is some hundred bytes, but one that lists changes
	// can have megabytes.
	maxKept      = 1000
	maxKeptBytes = 32 << 20
	// maxRunning bounds those begun here that have not: each is a goroutine with files open.
	maxRunning = 64
)

// Operation is work that outlives the request that began it.
type Operation struct {
	ID       string          `json:"id"`
	Kind     string          `json:"kind" doc:"the id of the endpoint that began it"`
	Set      string          `json:"set,omitempty" doc:"as it was asked for; its id once that is known"`
	Folder   string          `json:"folder,omitempty" doc:"the one that was named"`
	Via      string          `json:"via" enum:"api,command" doc:"who began it"`
	State    string          `json:"state" enum:"running,done,failed,cancelled" doc:"a follow runs until a revision is complete"`
	Progress *api.Progress   `json:"progress,omitempty" doc:"the newest"`
	Result   json.RawMessage `json:"result,omitempty" doc:"of one that is done: by its kind; lists and events leave out one over 16 KiB"`
	Error    *Problem        `json:"error,omitempty"`
	Began    string          `json:"began" format:"date-time"`
	Ended    string          `json:"ended,omitempty" format:"date-time"`

	seq uint64 // in order of their beginnings
}

// Values of Operation.Via.
const (
	ViaAPI     = "api"
	ViaCommand = "command"
)

// Beginning is what an operation is begun with.
type Beginning struct {
	Kind   string
	Set    string
	Folder string
	Via    string
	Key    string // the client's; "" = none
	Print  string // the request: another one under the same key is refused
}

// operations remembers operations. It only decides: it has no clock and no goroutine, and its caller serialises.
type operations struct {
	begun  string // when this store was made, so that no id returns after a restart
	last   uint64
	change uint64 // grows with every change
	all    map[string]*record
	keys   map[string]string // of clients, to ids
}

type record struct {
	Operation
	changed  uint64
	began    time.Time
	ended    time.Time
	key      string
	print    [sha256.Size]byte
	cancel   func()
	canceled bool
	awaited  json.RawMessage // the result that it has once a revision of Set is complete; nil = it waits for none
	wished   bool            // of one that awaits: Set was not followed before it
}

func newOperations(now time.Time) *operations {
	return &operations{begun: fmt.Sprintf("%x", now.UnixMilli()), all: map[string]*record{}, keys: map[string]string{}}
}

// begin adds an operation, or finds the one that its key began; fresh tells which. Errors: *api.Error.
func (o *operations) begin(now time.Time, b Beginning, cancel func()) (op Operation, fresh bool, err error) {
	o.expire(now)
	print := sha256.Sum256([]byte(b.Print))
	if r := o.all[o.keys[b.Key]]; b.Key != "" && r != nil {
		if r.print != print {
			return Operation{}, false, &api.Error{Code: codeKeyReused, ExitCode: api.ExitConflict, Title: "this idempotency key began something else",
				Detail: r.Kind + " " + r.ID, Hint: "use a new key for a new request"}
		}
		return r.Operation, false, nil
	}
	if n := o.running(); n >= maxRunning && b.Via != ViaCommand {
		return Operation{}, false, &api.Error{Code: "too_many_operations", ExitCode: api.ExitConflict, Title: "too much is being done at once",
			Detail: fmt.Sprintf("%d operations are running", n), Hint: "wait for one to end, or cancel one", Retryable: true}
	}
	o.last++
	r := &record{began: now, key: b.Key, print: print, cancel: cancel,
		Operation: Operation{ID: fmt.Sprintf("%s-%d", o.begun, o.last), Kind: b.Kind, Set: b.Set, Folder: b.Folder, Via: b.Via,
			State: StateRunning, Began: stamp(now), seq: o.last}}
	o.all[r.ID] = r
	if b.Key != "" {
		o.keys[b.Key] = r.ID
	}
	o.touch(r)
	return r.Operation, true, nil
}

// running counts what maxRunning bounds: a command has a process that waits, and what awaits a revision is no work here.
func (o *operations) running() (n int) {
	for _, r := range o.all {
		if r.State == StateRunning && r.Via != ViaCommand && r.awaited == nil {
			n++
		}
	}
	return n
}

func (o *operations) touch(r *record) {
	o.change++
	r.changed = o.change
}

// progress notes how far a running operation is.
func (o *operations) progress(id string, p api.Progress) {
	if r := o.all[id]; r != nil && r.State == StateRunning {
		r.Progress, r.Set = &p, cmp.Or(p.Set, r.Set)
		o.touch(r)
	}
}

// end notes how an operation ended: with a result, or with e.
func (o *operations) end(now time.Time, id string, result json.RawMessage, e *api.Error) {
	r := o.all[id]
	if r == nil || r.State != StateRunning {
		return
	}
	r.ended, r.Ended, r.cancel, r.awaited = now, stamp(now), nil, nil
	switch {
	case e == nil:
		r.State, r.Result = StateDone, result
		r.Set = cmp.Or(setOf(result), r.Set)
	case r.canceled, e.Code == api.CodeInterrupted:
		r.State, r.Error = StateCancelled, problemOf(e)
	default:
		r.State, r.Error = StateFailed, problemOf(e)
	}
	o.touch(r)
	o.expire(now)
}

// setOf is the set that a result names.
func setOf(result json.RawMessage) string {
	var named struct {
		Set string `json:"set"`
	}
	if json.Unmarshal(result, &named) != nil { // one without a set
		return ""
	}
	return named.Set
}

// drop cancels a running operation and forgets one that has ended. The caller calls cancel, if there is one.
func (o *operations) drop(id string) (op Operation, cancel func(), ok bool) {
	r := o.all[id]
	if r == nil {
		return Operation{}, nil, false
	}
	if r.State != StateRunning {
		o.forget(r)
		return r.Operation, nil, true
	}
	r.canceled = true
	return r.Operation, r.cancel, true
}

func (o *operations) forget(r *record) {
	delete(o.all, r.ID)
	delete(o.keys, r.key)
}

// expire forgets what has ended long ago, and the oldest of what is too much.
func (o *operations) expire(now time.Time) {
	ended := slices.DeleteFunc(slices.Collect(maps.Values(o.all)), func(r *record) bool { return r.State == StateRunning })
	slices.SortFunc(ended, func(x, y *record) int { return cmp.Compare(y.seq, x.seq) }) // newest first
	bytes := 0
	for i, r := range ended {
		bytes += len(r.Result)
		old := now.Sub(r.ended) >= keptFor && (r.key == "" || now.Sub(r.began) >= keyFor)
		if old || i >= maxKept || i > 0 && bytes > maxKeptBytes {
			o.forget(r)
		}
	}
}

// get finds an operation.
func (o *operations) get(now time.Time, id string) (Operation, bool) {
	o.expire(now)
	r := o.all[id]
	if r == nil {
		return Operation{}, false
	}
	return r.Operation, true
}

// maxListed bounds a result that is told where nobody asked for it.
const maxListed = 16 << 10

// since lists the operations that changed after a mark, newest first, and the mark that now holds; 0 is before all.
func (o *operations) since(now time.Time, mark uint64) ([]Operation, uint64) {
	o.expire(now)
	var found []*record
	for _, r := range o.all {
		if r.changed > mark {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(x, y *record) int { return cmp.Compare(y.seq, x.seq) })
	out := make([]Operation, len(found))
	for i, r := range found {
		if out[i] = r.Operation; len(r.Result) > maxListed {
			out[i].Result = nil
		}
	}
	return out, o.change
}

// stamp is a time as the API writes it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
