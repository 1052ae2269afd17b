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
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

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
	source  string // hash of the tree that is shared
	shared  api.ShareResult
}

// roster are the demo's nodes: one that everybody knows, the author, and three that fetch.
func roster() []string { return []string{"boot", "origin", "edge-1", "edge-2", "edge-3"} }

// Demo does the main job on real data with five nodes: share, find by set id alone, fetch from several
// seeders, lose the author, verify. It returns ErrChecksFailed if something did not hold.
func Demo(ctx context.Context, o DemoOptions) error {
	start := time.Now()
	dir, err := os.MkdirTemp("", "shoal-testnet-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d := &demo{o: o, dir: dir, starter: newStarter(), nodes: map[string]*process{}}
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
		d.say("The swarm is still running; Ctrl-C stops it. Look at it from another terminal:\n  %s status --home %s", d.o.Exe, d.nodes["edge-1"].home)
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
	for _, step := range []func(context.Context) error{d.prepare, d.swarm, d.share, d.fetch, d.lose, d.verify} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// prepare finds the data.
func (d *demo) prepare(ctx context.Context) error {
	if d.o.Data == "" {
		out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
		if err != nil {
			return fmt.Errorf("the Go toolchain's source is the demo's data, and `go env GOROOT` failed: %w; name a folder with --data", err)
		}
		d.o.Data = filepath.Join(strings.TrimSpace(string(out)), "src")
	}
	var err error
	if d.o.Data, err = filepath.EvalSymlinks(d.o.Data); err != nil {
		return fmt.Errorf("demo data: %w", err)
	}
	d.source, err = treeHash(d.o.Data)
	return err
}

func (d *demo) swarm(ctx context.Context) error {
	start := time.Now()
	d.say("testnet    5 nodes on 127.0.0.1 (%s), separate processes, nothing leaves this machine", strings.Join(roster(), ", "))
	var bootstrap []string
	for _, name := range roster() {
		p, err := startNode(ctx, d.starter, d.o.Exe, d.dir, name, bootstrap)
		if err != nil {
			return err
		}
		d.nodes[name] = p
		if bootstrap == nil {
			bootstrap = p.addrs // everybody else knows only this one
		}
	}
	d.say("[1/5] up      5 nodes in %.1f s", time.Since(start).Seconds())
	return nil
}

func (d *demo) share(ctx context.Context) error {
	var err error
	d.shared, err = d.nodes["origin"].client.Share(ctx, api.ShareRequest{Path: d.o.Data}, nil)
	if err != nil {
		return fmt.Errorf("share: %w", err)
	}
	d.say("[2/5] share   %s: %s files, %s → revision %d in %.1f s, set %s", d.o.Data, humanize.Comma(int64(d.shared.Files)),
		humanize.Bytes(uint64(d.shared.Bytes)), d.shared.Revision, d.shared.Seconds, d.shared.Set)
	own, err := diskUsage(d.nodes["origin"].home)
	if err != nil {
		return err
	}
	d.check("nothing skipped", len(d.shared.Skipped) == 0, "%d files skipped", len(d.shared.Skipped))
	d.say("              the author's node keeps %s of its own beside them", humanize.Bytes(uint64(own)))
	return nil
}

// fetch lets two nodes get the set at once, knowing only its id.
func (d *demo) fetch(ctx context.Context) error {
	results := make([]api.GetResult, 2)
	group, gctx := errgroup.WithContext(ctx)
	for i, name := range []string{"edge-1", "edge-2"} {
		group.Go(func() (err error) {
			results[i], err = d.get(gctx, name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, r := range results {
		d.tell("[3/5]", fmt.Sprintf("edge-%d", i+1), r)
		d.check(fmt.Sprintf("edge-%d has the author's root", i+1), r.Root == d.shared.Root, "%s", r.Root)
	}
	return nil
}

func (d *demo) get(ctx context.Context, name string) (api.GetResult, error) {
	r, err := d.nodes[name].client.Get(ctx, api.GetRequest{Ticket: d.shared.Set, Dest: d.tree(name)}, nil)
	if err != nil {
		return r, fmt.Errorf("get on %s: %w", name, err)
	}
	return r, nil
}

func (d *demo) tree(name string) string { return filepath.Join(d.dir, name+"-files") }

func (d *demo) tell(step, name string, r api.GetResult) {
	d.say("%s get     %s: %s in %.1f s (%s/s) from %d seeders, %s on the wire", step, name, humanize.Bytes(uint64(r.BytesFetched)),
		r.Seconds, humanize.Bytes(uint64(float64(r.BytesFetched)/max(r.Seconds, 0.001))), r.Sources, humanize.Bytes(uint64(r.WireIn+r.WireOut)))
}

// lose kills the author's node; whoever has the set goes on serving it.
func (d *demo) lose(ctx context.Context) error {
	d.nodes["origin"].kill()
	d.say("[4/5] kill    SIGKILL origin: the author's node is gone")
	r, err := d.get(ctx, "edge-3")
	if err != nil {
		return err
	}
	d.tell("[4/5]", "edge-3", r)
	d.check("edge-3 has the author's root", r.Root == d.shared.Root, "%s", r.Root)
	d.check("edge-3 fetched from both others", r.Sources == 2, "%d sources", r.Sources)
	return nil
}

// verify compares every copy with the source by an independent hash, and lets the nodes re-read themselves.
func (d *demo) verify(ctx context.Context) error {
	for _, name := range []string{"edge-1", "edge-2", "edge-3"} {
		sum, err := treeHash(d.tree(name))
		if err != nil {
			return err
		}
		d.check(name+" equals the source tree", sum == d.source, "%s", sum)
		v, err := d.nodes[name].client.Verify(ctx, api.VerifyRequest{Set: d.shared.Set}, nil)
		if err != nil {
			return fmt.Errorf("verify on %s: %w", name, err)
		}
		d.check(name+" verifies", v.Damaged == 0, "%d of %d blocks damaged", v.Damaged, v.Blocks)
		own, err := diskUsage(d.nodes[name].home)
		if err != nil {
			return err
		}
		d.say("[5/5] verify  %s: equal to the source, %s blocks re-read, %s of own state", name, humanize.Comma(int64(v.Blocks)), humanize.Bytes(uint64(own)))
	}
	for _, name := range roster() {
		if name != "origin" {
			d.check(name+" is still running", d.nodes[name].alive(), "%s", d.nodes[name].log)
		}
	}
	return nil
}

// diskUsage sums the sizes of the files below dir.
func diskUsage(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil { // one that vanished meanwhile counts nothing
			total += info.Size()
		}
		return nil
	})
	return total, err
}
