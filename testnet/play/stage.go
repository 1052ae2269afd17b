// Package play gives the statements of a script their meaning over real nodes: it starts and ends them, edits and
// publishes folders, sets links, watches every node while it does so, and holds what it sees against the invariants.
//
//	s := New(Options{…})
//	go s.Watch(ctx)        // samples and events of every node, until ctx ends
//	err := s.Play(ctx, sc) // the statements; an expectation that fails is a check of the trace, not an error
//	s.Finish(ctx)          // everything is healed and started again, and the invariants must hold
//	s.Trace()
package play

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/oracle"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Options says over what a stage plays.
type Options struct {
	Life context.Context // ends what statements leave running: fetches, and what repeats
	Net  *nodes.Net
	Seed uint64                              // of contents, edits, and what else is left to chance
	Say  func(format string, a ...any)       // a line for people, by any goroutine; nil = silent
	Now  func() time.Time                    // nil = time.Now
	Step func(at time.Duration, text string) // a statement begins, likewise; nil = silent
}

// Stage is a network that statements are played on. Its methods are safe for concurrent use.
type Stage struct {
	net    *nodes.Net
	seed   uint64
	say    func(string, ...any)
	step   func(time.Duration, string)
	rec    *recorder
	oracle *oracle.Oracle
	born   chan struct{} // holds a token while there may be nodes that are not watched

	repeats    crew // repeated statements, until life ends
	background crew // gets and follows, likewise

	mu     sync.Mutex // guards what follows
	alive  lifetime
	sets   map[string]*set
	jobs   []*job
	marks  map[string]mark    // by node
	cuts   map[[2]string]bool // from, to
	rotten map[string]bool    // nodes whose stores were damaged, until they have another one
	drawn  int                // random streams handed out to statements without a line
}

// New makes a stage; nothing runs yet.
func New(o Options) *Stage {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if o.Step == nil {
		o.Step = func(time.Duration, string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Stage{net: o.Net, seed: o.Seed, say: o.Say, step: o.Step, oracle: oracle.New(), born: make(chan struct{}, 1), sets: map[string]*set{}, marks: map[string]mark{}, cuts: map[[2]string]bool{}, rotten: map[string]bool{}}
	s.alive.outer = o.Life
	s.alive.ctx, s.alive.end = context.WithCancel(o.Life)
	s.rec = newRecorder(o.Now, o.Seed)
	return s
}

// Trace is what was observed so far.
func (s *Stage) Trace() trace.Trace { return s.rec.trace(s.net) }

// Play carries out a script's statements. An error is one that ends the script: a statement that could not be carried
// out, a wait that was in vain, or ctx. Whatever goes on beside the statements has ended when it returns: what repeats
// has its number or its time, and transfers get waitPatience; one that has not ended by then is a failed check.
func (s *Stage) Play(ctx context.Context, sc *script.Script) error {
	defer context.AfterFunc(ctx, s.end)()
	for _, st := range sc.Statements {
		if err := s.statement(ctx, st); err != nil {
			s.Close()
			return fmt.Errorf("line %d: %s: %w", st.Line, st.Text, err)
		}
	}
	s.repeats.Wait()
	late := time.AfterFunc(waitPatience, s.unfinished)
	s.background.Wait()
	late.Stop()
	return ctx.Err() // with it, they ended in the middle
}

// lifetime is how long what statements left running may go on.
type lifetime struct {
	outer context.Context // of the stage
	ctx   context.Context
	end   context.CancelFunc
}

// life is the context of what a statement leaves running. Where it was ended and the stage goes on, a new one begins.
func (s *Stage) life() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alive.ctx.Err() != nil && s.alive.outer.Err() == nil {
		s.alive.ctx, s.alive.end = context.WithCancel(s.alive.outer)
	}
	return s.alive.ctx
}

// end ends what statements left running.
func (s *Stage) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alive.end()
}

// unfinished ends the transfers that go on and says which.
func (s *Stage) unfinished() {
	s.mu.Lock()
	jobs := slices.Clone(s.jobs)
	s.mu.Unlock()
	for _, j := range jobs {
		if !j.ended() {
			s.rec.check(trace.Check{Name: fmt.Sprintf("%s of %s at %s ends", j.what, j.set, j.node),
				Detail: fmt.Sprintf("not within %v after the last statement", waitPatience)})
		}
	}
	s.end()
}

// Close ends what statements left running.
func (s *Stage) Close() {
	s.end()
	s.repeats.Wait()
	s.background.Wait()
}

// Do carries out one statement that somebody typed. Errors: ErrFailed.
func (s *Stage) Do(ctx context.Context, st script.Statement) error {
	st.Line = 0 // it is of no script
	s.mu.Lock()
	before := len(s.jobs)
	s.mu.Unlock()
	err := s.statement(ctx, st)
	if err == nil {
		err = s.outcome(ctx, before)
	}
	if err != nil && !strings.HasPrefix(err.Error(), st.Text+":") {
		err = fmt.Errorf("%s: %w", st.Text, err)
	}
	return err
}

// outcome waits for the jobs from the n-th on: who typed a statement wants to know what came of it.
func (s *Stage) outcome(ctx context.Context, n int) error {
	s.mu.Lock()
	jobs := slices.Clone(s.jobs[n:])
	s.mu.Unlock()
	for _, j := range jobs {
		for !j.ended() {
			if err := pass(ctx, askEvery); err != nil {
				return err
			}
		}
		if err := j.failed(); err != nil {
			return fmt.Errorf("%s: %w", j.node, err)
		}
	}
	return nil
}

// ErrFailed is answered by Do for a check that failed.
var ErrFailed = errors.New("it does not hold")

// statement waits for the moment of a statement and carries it out.
func (s *Stage) statement(ctx context.Context, st script.Statement) error {
	switch {
	case st.When.Every > 0:
		s.begins(st)
		life, end := s.life(), s.rec.since()+st.When.For
		first := s.act(life, st, s.random(st, 0)) // before the next line
		s.repeats.Go(func() { s.repeat(life, st, end, first) })
		return nil
	case st.When.After > 0:
		if err := pass(ctx, st.When.After); err != nil {
			return err
		}
	case st.When.At > 0:
		if err := pass(ctx, st.When.At-s.rec.since()); err != nil {
			return err
		}
	}
	s.begins(st)
	return s.act(ctx, st, s.random(st, 0))
}

func (s *Stage) begins(st script.Statement) {
	if say, ok := st.Do.(script.Say); ok {
		s.step(s.rec.event(trace.Event{Kind: trace.Note, Text: say.Text}), say.Text)
		return
	}
	at := s.rec.event(trace.Event{Kind: trace.Step, Text: st.Text})
	s.step(at, st.Text)
}

// repeat carries out a statement again and again after its first round. A failure is an event: the next time it may
// work; how many did is said in the end.
func (s *Stage) repeat(ctx context.Context, st script.Statement, end time.Duration, first error) {
	t := time.NewTicker(st.When.Every)
	defer t.Stop()
	rounds, failed, last := 1, 0, first
	note := func(err error) {
		if err != nil && ctx.Err() == nil {
			failed, last = failed+1, err
			s.rec.event(trace.Event{Kind: trace.Failed, Text: st.Text + ": " + err.Error()})
		}
	}
	note(first)
	for ; rounds != st.When.Times; rounds++ {
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil || st.When.For > 0 && s.rec.since() >= end {
			break
		}
		note(s.act(ctx, st, s.random(st, rounds)))
	}
	if failed > 0 {
		s.say("%s: %d of %s did not work, the last: %s", st.Text, failed, english.Plural(rounds, "round", ""), oneLine(last))
	}
}

// random is the source of what a statement leaves to chance: it depends on the seed and the statement alone, so that the
// same script does the same whatever else goes on.
func (s *Stage) random(st script.Statement, round int) *rand.Rand {
	line := uint64(st.Line)
	if line == 0 { // typed at a running net
		s.mu.Lock()
		s.drawn++
		line = 1<<32 + uint64(s.drawn)
		s.mu.Unlock()
	}
	return rand.New(rand.NewPCG(s.seed, line<<20+uint64(round)))
}

// set is a file set of the script.
type set struct {
	name   string
	id     string
	author string // node that made it, and holds the owner's key
	strict bool
	size   int64 // bytes of its first revision

	seating sync.Mutex // held while a node becomes a replica

	mu     sync.Mutex             // guards what follows
	last   published              // the newest that was acknowledged
	nth    []published            // in the order in which they were acknowledged
	edited map[string]bool        // nodes whose folders the script edited
	folder map[string]*sync.Mutex // by node: held while its folder is edited or published
}

// published is a publish that was acknowledged.
type published struct {
	api.PublishResult
	nth  int // of those that were acknowledged in the run, from 1
	node string
	at   time.Duration
	took time.Duration
}

func (x *set) latest() published {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last
}

// revision is the nth that was acknowledged, from 1; the newest for 0.
func (x *set) revision(nth uint64) (published, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case nth == 0:
		return x.last, nil
	case nth > uint64(len(x.nth)):
		return published{}, fmt.Errorf("%d revisions of %s were published so far", len(x.nth), x.name)
	}
	return x.nth[nth-1], nil
}

// lock keeps a node's folder of the set still.
func (x *set) lock(node string) (unlock func()) {
	x.mu.Lock()
	m := x.folder[node]
	if m == nil {
		m = &sync.Mutex{}
		x.folder[node] = m
	}
	x.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// set finds a set by its name in the script.
func (s *Stage) set(name string) (*set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.sets[name]; x != nil {
		return x, nil
	}
	return nil, fmt.Errorf("there is no set %q", name)
}

// setName is the name of a set in the script; false for one that is not of the script.
func (s *Stage) setName(id string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, x := range s.sets {
		if x.id == id {
			return name, true
		}
	}
	return "", false
}

// Sets lists the names of the sets there are.
func (s *Stage) Sets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.sets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Names lists the nodes there are.
func (s *Stage) Names() []string {
	var names []string
	for _, n := range s.net.Nodes() {
		names = append(names, n.Name)
	}
	return names
}

// dir is a node's folder of a set. The folders around it are there.
func dir(n *nodes.Node, set string) string { return filepath.Join(n.Dir, "sets", set) }

// who are the nodes that a statement names, at this moment.
func (s *Stage) who(ctx context.Context, w script.Who) ([]*nodes.Node, error) {
	switch w.Role {
	case "all":
		return s.net.Nodes(), nil
	case "":
		var out []*nodes.Node
		for _, name := range w.Names {
			n, ok := s.net.Node(name)
			if !ok {
				return nil, fmt.Errorf("there is no node %q", name)
			}
			out = append(out, n)
		}
		return out, nil
	}
	x, err := s.set(w.Set)
	if err != nil {
		return nil, err
	}
	for _, n := range s.net.Nodes() {
		if info, err := s.show(ctx, n, x); err == nil && info.Role == w.Role {
			return []*nodes.Node{n}, nil
		}
	}
	return nil, fmt.Errorf("no node is %s of %s now", w.Role, w.Set)
}

// one is a node where a statement needs a single one.
func (s *Stage) one(ctx context.Context, w script.Who) (*nodes.Node, error) {
	all, err := s.who(ctx, w)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("%d nodes are named where it takes one", len(all))
	}
	return all[0], nil
}

var errDown = errors.New("it is not running")

// askPatience bounds a question to a node: it answers in a millisecond, or is stopped.
const askPatience = 3 * time.Second

// show asks a node about a set.
func (s *Stage) show(ctx context.Context, n *nodes.Node, x *set) (api.SetInfo, error) {
	c := n.Client()
	if c == nil || n.State() != nodes.Running {
		return api.SetInfo{}, fmt.Errorf("%s: %w", n.Name, errDown)
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	return c.Show(ctx, x.id)
}

// running gives a node's client, or why there is none.
func running(n *nodes.Node) (*api.Client, error) {
	if c := n.Client(); c != nil && n.State() == nodes.Running {
		return c, nil
	}
	if n.State() == nodes.Paused {
		return nil, fmt.Errorf("%s: it is paused", n.Name)
	}
	return nil, fmt.Errorf("%s: %w", n.Name, errDown)
}

// nodeName is the name of the node with a peer id, or the id.
func (s *Stage) nodeName(id string) string {
	for _, n := range s.net.Nodes() {
		if id != "" && n.PeerID == id {
			return n.Name
		}
	}
	return id
}

func (s *Stage) nodeNames(ids []string) string {
	var names []string
	for _, id := range ids {
		names = append(names, s.nodeName(id))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// pass waits; not at all for a moment that is over.
func pass(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
