package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/google/renameio/v2/maybe"
)

// wishes are what a node goes on doing by itself while it runs, and again after a restart: one JSON file.
type wishes struct {
	Follow map[string]followWish `json:"follow,omitempty"` // by set id
	Watch  map[string]watchWish  `json:"watch,omitempty"`  // by set id
}

// followWish keeps a folder at the newest revision.
type followWish struct {
	Ticket string `json:"ticket"`
	Dest   string `json:"dest,omitempty"` // absolute; "" = the set's name below Cwd
	Cwd    string `json:"cwd,omitempty"`
	Exec   string `json:"exec,omitempty"`
	Hooked uint64 `json:"hooked,omitempty"` // the last revision that Exec was run for
	// Replicate holds the set for others; Granted: it was told that the owner let this node vote.
	Replicate bool `json:"replicate,omitempty"`
	Granted   bool `json:"granted,omitempty"`
}

// watchWish publishes what changes in a folder.
type watchWish struct {
	Path string `json:"path"` // absolute
}

// jobs runs wishes. A job ends with the node, or when its wish is withdrawn.
type jobs struct {
	file string
	save sync.Mutex // held while the file is written: by nobody else but who changes it
	turn sync.Mutex // held by a command from the change of a wish to the start or end of its job

	mu      sync.Mutex // guards what follows; never held while a job runs
	wishes  wishes
	ctx     context.Context // of the running node; nil before and after
	wg      sync.WaitGroup
	running map[string]*job // by what is done and set id
}

type job struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func loadJobs(file string) (*jobs, error) {
	j := &jobs{file: file, running: map[string]*job{}}
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &j.wishes)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("load %s: %w", file, err)
	}
	if j.wishes.Follow == nil {
		j.wishes.Follow = map[string]followWish{}
	}
	if j.wishes.Watch == nil {
		j.wishes.Watch = map[string]watchWish{}
	}
	return j, nil
}

// change edits the wishes, on disk first.
func (j *jobs) change(edit func(*wishes)) error {
	j.save.Lock()
	defer j.save.Unlock()
	w := j.list()
	edit(&w)
	b, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return fmt.Errorf("remember: %w", err)
	}
	if err := maybe.WriteFile(j.file, b, 0o600); err != nil {
		return fmt.Errorf("remember: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wishes = w
	return nil
}

// list returns a copy of the wishes.
func (j *jobs) list() wishes {
	j.mu.Lock()
	defer j.mu.Unlock()
	w := wishes{Follow: map[string]followWish{}, Watch: map[string]watchWish{}}
	for k, v := range j.wishes.Follow {
		w.Follow[k] = v
	}
	for k, v := range j.wishes.Watch {
		w.Watch[k] = v
	}
	return w
}

// open lets jobs run until ctx ends; close then waits for them.
func (j *jobs) open(ctx context.Context) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ctx = ctx
}

func (j *jobs) close() {
	j.mu.Lock()
	j.ctx = nil
	j.mu.Unlock()
	j.wg.Wait()
}

// start runs a job instead of the one of that name that may be running. It does nothing while the node has no
// network: the wish stays.
func (j *jobs) start(name string, run func(ctx context.Context)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.running[name] != nil {
		j.mu.Unlock()
		j.stop(name)
		j.mu.Lock()
	}
	if j.ctx == nil || j.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(j.ctx)
	me := &job{cancel: cancel, ended: make(chan struct{})}
	j.running[name] = me
	j.wg.Go(func() {
		defer close(me.ended)
		defer cancel()
		run(ctx)
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.running, name) // nobody takes its place before
	})
}

// stop ends a job and waits for its end.
func (j *jobs) stop(name string) {
	j.mu.Lock()
	me := j.running[name]
	j.mu.Unlock()
	if me != nil {
		me.cancel()
		<-me.ended
	}
}
