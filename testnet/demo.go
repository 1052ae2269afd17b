// Package testnet runs swarms of real nodes on this machine, as separate processes on loopback, does things
// to them, and checks what must hold. Nothing leaves the machine.
package testnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// DemoOptions says how to run the demo.
type DemoOptions struct {
	Exe    string    // the program to start as `Exe run ...`
	Data   string    // folder to share; "" = the src folder of the Go toolchain
	Exit   bool      // end when the checks are done; else leave the swarm running until ctx ends
	Keep   bool      // keep the nodes' folders
	JSON   bool      // print only the result, as one JSON object
	Report string    // file for the result; "" = none
	Out    io.Writer // where it prints
}

// Check is one thing that had to hold.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Result is what a demo found.
type Result struct {
	Type    string  `json:"type"` // "result"
	V       int     `json:"v"`    // 1
	Checks  []Check `json:"checks"`
	Passed  int     `json:"passed"`
	Failed  int     `json:"failed"`
	Seconds float64 `json:"seconds"`
	Report  string  `json:"report,omitempty"`
}

// ErrChecksFailed: the demo ran to its end, and something did not hold.
var ErrChecksFailed = errors.New("checks failed")

// demo is one run.
type demo struct {
	o       DemoOptions
	dir     string
	starter *starter
	nodes   map[string]*process
	checks  []Check

	boot      []string // addresses of the node that everybody knows
	authors   string   // folder of the author, a copy of the data
	toolchain bool     // the data is the Go toolchain's source
	size      int64    // of the data, bytes
	source    string   // hash of the set's folder as it was published last
	shared    api.ShareResult
	second    api.PublishResult // by the author
	third     api.PublishResult // by another writer, without the author
	made      edition           // what the second revision changed
	writer    string            // that publishes without the author
	formal    int64             // bytes that a reader receives beside chunks: the DAG's nodes, lists, frames
}

// roster are the demo's nodes; the first is the one that everybody knows.
func roster() []string { return append(append(replicas(), "origin", follower), readers()...) }

// replicas become primary and backup, and may publish, when origin, the author's node, is gone.
func replicas() []string { return []string{"backup-1", "backup-2"} }

// follower is told of every revision.
const follower = "edge-1"

// readers are in the middle of fetching when the author's node is killed.
func readers() []string { return []string{"edge-2", "edge-3"} }

// Demo does the main job on real data with six nodes: share, find by set id alone, follow, hold as replicas, publish a
// real change and see how little of it travels, lose the author's node in the middle of what others fetch, publish
// without it, have it back, verify. It returns ErrChecksFailed if something did not hold.
func Demo(ctx context.Context, o DemoOptions) error {
	start := time.Now()
	dir, err := os.MkdirTemp("", "shoal-testnet-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d := &demo{o: o, dir: dir, starter: newStarter(), nodes: map[string]*process{}, authors: filepath.Join(dir, "shared")}
	defer d.cleanUp()
	err = d.run(ctx)
	r := Result{Type: "result", V: 1, Checks: d.checks, Seconds: time.Since(start).Seconds(), Report: o.Report}
	for _, c := range d.checks {
		if c.OK {
			r.Passed++
		} else {
			r.Failed++
		}
	}
	if err != nil {
		r.Failed++
		r.Checks = append(r.Checks, Check{Name: "run", Detail: err.Error()})
	}
	if werr := d.conclude(r, len(r.Checks)); werr != nil {
		return errors.Join(err, werr)
	}
	if err == nil && r.Failed > 0 {
		err = ErrChecksFailed
	}
	if err == nil && !o.Exit {
		d.say("The swarm is still running; Ctrl-C stops it. Look at it from another terminal:\n  %s status --home %s", d.o.Exe, d.nodes[follower].home)
		<-ctx.Done()
		return nil
	}
	return err
}

func (d *demo) conclude(r Result, total int) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if d.o.Report != "" {
		if err := os.WriteFile(d.o.Report, append(b, '\n'), 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	if d.o.JSON {
		line, err := json.Marshal(r)
		if err == nil {
			_, err = fmt.Fprintf(d.o.Out, "%s\n", line)
		}
		return err
	}
	for _, c := range r.Checks {
		if !c.OK {
			d.say("FAILED %s: %s", c.Name, c.Detail)
		}
	}
	verdict := "PASS"
	if r.Failed > 0 {
		verdict = "FAIL"
	}
	report := ""
	if d.o.Report != "" {
		report = " · report: " + d.o.Report
	}
	d.say("%s %d of %d checks · %.1f s%s", verdict, r.Passed, total, r.Seconds, report)
	return nil
}

// cleanUp ends every process and removes the folders.
func (d *demo) cleanUp() {
	for _, p := range d.nodes {
		p.kill()
	}
	d.starter.close()
	if d.o.Keep {
		d.say("kept: %s", d.dir)
		return
	}
	if err := removeTree(d.dir); err != nil {
		d.say("%v", err)
	}
}

func (d *demo) say(format string, args ...any) {
	if !d.o.JSON {
		fmt.Fprintf(d.o.Out, format+"\n", args...)
	}
}

func (d *demo) check(name string, ok bool, format string, args ...any) {
	d.checks = append(d.checks, Check{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)})
}

// run is the story, a step a function.
func (d *demo) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.prepare, d.swarm, d.share, d.replicate, d.delta, d.failover, d.rejoin, d.verify} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}
