package testnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/dustin/go-humanize/english"

	"github.com/shoal-p2p/shoal/testnet/control"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/play"
	"github.com/shoal-p2p/shoal/testnet/report"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// ErrChecksFailed: the script ran, and something did not hold.
var ErrChecksFailed = errors.New("checks failed")

// RunOptions says how a script is run.
type RunOptions struct {
	Name    string    // of the script, for messages and the report
	Text    []byte    // the script
	Dir     string    // where the nodes live; "" = a temporary folder
	Exe     string    // the program whose `run` is a node
	Report  string    // folder for report.html, report.json and junit.xml; "" = none
	Seed    uint64    // of everything that is left to chance
	NetNS   bool      // nodes in network namespaces; needs root
	Keep    bool      // leave the nodes' folders
	Stay    bool      // leave the network running after the checks, until ctx ends
	JSON    bool      // print only the result, as one JSON object
	Out     io.Writer // where it prints
	Version string    // of the program, for the report
}

// Result is what a run found.
type Result struct {
	Type    string        `json:"type"` // "result"
	V       int           `json:"v"`    // 1
	Checks  []trace.Check `json:"checks"`
	Passed  int           `json:"passed"`
	Failed  int           `json:"failed"`
	Seed    uint64        `json:"seed"`
	Seconds float64       `json:"seconds"`
	Report  string        `json:"report,omitempty"` // the HTML file
}

// UpOptions says what network is to run until ctx ends.
type UpOptions struct {
	N     int // nodes
	Dir   string
	Exe   string
	NetNS bool
	Seed  uint64
	JSON  bool
	Out   io.Writer
}

// Run plays a script over real nodes, and returns ErrChecksFailed if something did not hold. Errors of the script's
// text are script.Errors, before anything has started.
func Run(ctx context.Context, o RunOptions) error {
	sc, err := script.Parse(o.Name, o.Text)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(sc.Statements, func(st script.Statement) bool { _, ok := st.Do.(script.Nodes); return ok }) {
		return script.Errors{{Name: o.Name, Line: 1, Col: 1, Text: "the script starts no node; expected a statement such as: nodes a, b, c"}}
	}
	r, err := open(ctx, o)
	if err != nil {
		return err
	}
	err = r.run(ctx, sc)
	return errors.Join(err, r.close())
}

// Up starts nodes and leaves them running until ctx ends.
func Up(ctx context.Context, o UpOptions) error {
	sc, err := script.Parse("up", fmt.Appendf(nil, "nodes node-1 to node-%d\n", o.N))
	if err != nil {
		return err
	}
	r, err := open(ctx, RunOptions{Name: "up", Dir: o.Dir, Exe: o.Exe, Seed: o.Seed, NetNS: o.NetNS, Keep: true, JSON: o.JSON, Out: o.Out})
	if err != nil {
		return err
	}
	err = r.up(ctx, sc)
	return errors.Join(err, r.close())
}

// runner is one network and what is played on it.
type runner struct {
	o     RunOptions
	dir   string
	net   *nodes.Net
	stage *play.Stage
	life  context.Context // ends with the run
	began time.Time
	quit  chan struct{} // closed when somebody asks for the end from another terminal

	once  sync.Once  // closes quit
	shown sync.Once  // shows the dashboard
	mu    sync.Mutex // guards what follows, and Out
	heard map[int]chan<- string
	ears  int
}

func open(ctx context.Context, o RunOptions) (*runner, error) {
	r := &runner{o: o, dir: o.Dir, life: ctx, began: time.Now(), quit: make(chan struct{}), heard: map[int]chan<- string{}}
	var err error
	switch {
	case r.dir != "":
	case o.NetNS: // one name, so that what a run that was killed left is found and swept by the next
		r.dir = filepath.Join(os.TempDir(), "shoal-testnet-netns")
	default:
		if n := sweep(os.TempDir()); n > 0 {
			r.line("removed the folders of %s that never ended properly", english.Plural(n, "earlier network", ""))
		}
		if r.dir, err = temporary(os.TempDir(), o.Keep); err != nil {
			return nil, err
		}
	}
	if o.Report != "" { // better now than after the run
		if err := os.MkdirAll(o.Report, 0o755); err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
	}
	if r.net, err = nodes.Open(nodes.Options{Dir: r.dir, Exe: o.Exe, Seed: o.Seed, NetNS: o.NetNS}); err != nil {
		if o.Dir == "" {
			err = errors.Join(err, os.RemoveAll(r.dir))
		}
		return nil, err
	}
	r.stage = play.New(play.Options{Life: ctx, Net: r.net, Seed: o.Seed, Say: r.say, Step: r.step})
	return r, nil
}

// beside runs what goes on beside the script: watching, and answering other terminals.
func (r *runner) beside(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { r.stage.Watch(ctx) })
	group.Go(func() {
		if err := control.Serve(ctx, r.dir, r); err != nil && ctx.Err() == nil {
			r.say("no other terminal can act on this network: %v", err)
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

func (r *runner) run(ctx context.Context, sc *script.Script) error {
	ctx, cancel := r.asked(ctx)
	defer cancel()
	stop := r.beside(ctx)
	r.line("testnet  %s, seed %d: separate processes on this machine, nothing leaves it; they live in %s", r.o.Name, r.o.Seed, r.dir)
	err := r.stage.Play(ctx, sc)
	if ctx.Err() == nil {
		err = errors.Join(err, r.stage.Finish(ctx))
	} else {
		err = ctx.Err() // the invariants were not looked at
	}
	t := r.trace(sc)
	if err != nil {
		why := strings.ReplaceAll(err.Error(), "\n", "; ")
		if ctx.Err() != nil {
			why = "it was ended before"
		}
		t.Checks = append(t.Checks, trace.Check{Name: "the script runs to its end", Detail: why, At: time.Since(r.began)})
	}
	result, wrote := r.conclude(t)
	if ctx.Err() == nil && r.o.Stay && wrote == nil {
		r.showDashboard(ctx)
		r.line("The network is still running; Ctrl-C stops it. Act on it from another terminal:\n  %s testnet ls --dir %s", quoted(r.o.Exe), quoted(r.dir))
		<-ctx.Done()
	}
	stop()
	r.stage.Close()
	switch {
	case wrote != nil:
		return wrote
	case err != nil && ctx.Err() != nil && !r.asksEnd():
		return ctx.Err()
	case result.Failed > 0:
		return ErrChecksFailed
	}
	return nil
}

func (r *runner) up(ctx context.Context, sc *script.Script) error {
	ctx, cancel := r.asked(ctx)
	defer cancel()
	defer r.stage.Close()
	defer r.beside(ctx)()
	if err := r.stage.Play(ctx, sc); err != nil {
		return err
	}
	if err := r.stage.Adopt(ctx); err != nil {
		return err
	}
	if r.o.JSON {
		all := r.List(ctx)
		line, err := json.Marshal(struct {
			Type  string         `json:"type"`
			V     int            `json:"v"`
			Dir   string         `json:"dir"`
			Nodes []control.Info `json:"nodes"`
		}{"ready", 1, r.dir, all})
		if err != nil {
			return err
		}
		fmt.Fprintf(r.o.Out, "%s\n", line)
	} else {
		for _, n := range r.net.Nodes() {
			r.line("  %-10s process %-7d %s", n.Name, n.PID(), n.Home)
		}
		r.showDashboard(ctx)
		r.line("Act on them from another terminal, such as:\n  %[1]s testnet ls --dir %[2]s\n  %[1]s testnet do --dir %[2]s 'share docs at node-1 size 16MiB'\nCtrl-C stops all.", quoted(r.o.Exe), quoted(r.dir))
	}
	<-ctx.Done()
	return nil
}

// showDashboard prints a way into the dashboard of the first node that runs; it is good for a minute.
func (r *runner) showDashboard(ctx context.Context) {
	for _, n := range r.net.Nodes() {
		c := n.Client()
		if r.o.JSON || c == nil || n.State() != nodes.Running || n.Site() == "" {
			continue
		}
		if d, err := c.Dashboard(ctx); err == nil {
			r.line("dashboard  %s\n  good once and for a minute; others: %s testnet dashboard --dir %s [NODE]", d.Login, quoted(r.o.Exe), quoted(r.dir))
			return
		}
	}
}

// asked is ctx until another terminal asks for the end.
func (r *runner) asked(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-r.quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (r *runner) asksEnd() bool {
	select {
	case <-r.quit:
		return true
	default:
		return false
	}
}

func (r *runner) trace(sc *script.Script) trace.Trace {
	t := r.stage.Trace()
	t.Scenario, t.About, t.Version = r.o.Name, sc.About, r.o.Version
	return t
}

// conclude writes the report and says what was found.
func (r *runner) conclude(t trace.Trace) (Result, error) {
	res := Result{Type: "result", V: 1, Checks: t.Checks, Seed: t.Seed, Seconds: t.Seconds}
	for _, c := range t.Checks {
		if c.OK {
			res.Passed++
		} else {
			res.Failed++
		}
	}
	var unwritten error
	if r.o.Report != "" {
		res.Report, unwritten = report.Write(r.o.Report, t)
	}
	if r.o.JSON {
		line, err := json.Marshal(res)
		if err == nil {
			_, err = fmt.Fprintf(r.o.Out, "%s\n", line)
		}
		return res, errors.Join(err, unwritten)
	}
	for _, c := range t.Checks {
		if !c.OK {
			r.line("FAILED  %s: %s", c.Name, c.Detail)
		}
	}
	verdict, where := "PASS", ""
	if res.Failed > 0 {
		verdict = "FAIL"
	}
	if res.Report != "" {
		where = " · report: " + res.Report
	}
	r.line("%s  %d of %d checks · %.0f s · seed %d%s", verdict, res.Passed, res.Passed+res.Failed, res.Seconds, res.Seed, where)
	return res, unwritten
}

// close ends all nodes, and removes their folders unless they are to stay.
func (r *runner) close() error {
	err := r.net.Close()
	if r.o.Keep || r.o.Dir != "" {
		return err
	}
	r.line("removing the nodes' folders in %s", r.dir)
	return errors.Join(err, removeTree(r.dir))
}

// line prints for people.
func (r *runner) line(format string, a ...any) {
	if r.o.JSON {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.o.Out, format+"\n", a...)
}

// step says that a statement begins. Where the network stays, its dashboard is shown as soon as there are nodes.
func (r *runner) step(at time.Duration, text string) {
	if r.o.Stay && len(r.net.Nodes()) > 0 {
		r.shown.Do(func() { r.showDashboard(r.life) })
	}
	r.line("%6.1f s  %s", at.Seconds(), text)
}

// say tells what came of a statement, here and to those who ask for it.
func (r *runner) say(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	r.line("%10s%s", "", text)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, told := range r.heard {
		select {
		case told <- text:
		default:
		}
	}
}

// Do carries out a statement that was typed in another terminal.
func (r *runner) Do(ctx context.Context, line string, say func(string)) error {
	st, err := script.ParseLine(r.stage.Names(), r.stage.Sets(), line)
	if err != nil {
		return err
	}
	told := make(chan string, tellRoom)
	var telling sync.WaitGroup
	telling.Go(func() {
		for text := range told {
			say(text)
		}
	})
	r.mu.Lock()
	r.ears++
	ear := r.ears
	r.heard[ear] = told
	r.mu.Unlock()
	err = r.stage.Do(ctx, st)
	r.mu.Lock()
	delete(r.heard, ear)
	r.mu.Unlock()
	close(told) // nobody else has it now
	if err != nil {
		r.line("%10sDID NOT WORK: %v", "", err)
	}
	telling.Wait()
	return err
}

// tellRoom is how much may be told to another terminal that does not read; the rest it misses.
const tellRoom = 256

// List tells what every node is.
func (r *runner) List(ctx context.Context) []control.Info { return r.stage.List(ctx) }

// Quit ends the network.
func (r *runner) Quit() { r.once.Do(func() { close(r.quit) }) }

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@%,=", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
