package api

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// maxQueued bounds the events kept for a client that does not read: some minutes of a busy home.
const maxQueued = 256

// events serves the stream of events. The service never waits for the client: it puts events into a queue,
// and one goroutine writes them.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	var q EventsRequest
	if e := decode(w, r, &q); e != nil {
		writeProblem(w, httpStatus(e), e)
		return
	}
	lines := newLineWriter(w)
	if !h.ready(r.Context()) {
		return
	}
	queue := &eventQueue{now: time.Now, progress: q.Progress, kick: make(chan struct{}, 1), shown: map[string]time.Time{}}
	finish := queue.start(func(e Event) { lines.write("event", e) })
	_, err := guard(h, r, func() (none, error) { return none{}, h.service.Events(r.Context(), q, queue.put) })
	finish()
	h.lastLine(lines, none{}, err)
}

// eventQueue keeps events in order until they are written. When it is full the newest are dropped and
// counted, and the count takes their place.
type eventQueue struct {
	now      func() time.Time
	progress bool          // EventProgress is wanted
	kick     chan struct{} // holds a token while there is something to write

	mu      sync.Mutex // guards what follows
	waiting []Event
	dropped int
	shown   map[string]time.Time // of each set being fetched: when its progress was last let through
}

// put never blocks.
func (q *eventQueue) put(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case e.Kind == EventProgress && !q.due(e):
		return
	case q.dropped > 0 || len(q.waiting) >= maxQueued:
		if e.Kind != EventProgress { // the next one makes up for it
			q.dropped++
		}
	default:
		q.waiting = append(q.waiting, e)
	}
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// due lets four states a second and set through, and every sentence. It must be called with mu held.
func (q *eventQueue) due(e Event) bool {
	now := q.now()
	if !q.progress || now.Sub(q.shown[e.Set]) < progressEvery && (e.Progress == nil || e.Progress.Message == "") {
		return false
	}
	q.shown[e.Set] = now
	return true
}

// take empties the queue.
func (q *eventQueue) take() []Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.waiting
	if q.dropped > 0 {
		text := fmt.Sprintf("%d events were dropped", q.dropped)
		if q.dropped == 1 {
			text = "1 event was dropped"
		}
		all = append(all, Event{Time: q.now().UTC().Format(time.RFC3339Nano), Kind: EventNotice, Detail: text})
	}
	q.waiting, q.dropped = nil, 0
	return all
}

// start writes events until finish is called, which writes what is left.
func (q *eventQueue) start(write func(Event)) (finish func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	flush := func() {
		for _, e := range q.take() {
			write(e)
		}
	}
	go func() {
		defer close(ended)
		for {
			select {
			case <-q.kick:
				flush()
			case <-end:
				flush()
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
