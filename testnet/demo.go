// Package testnet runs swarms of real nodes on this machine, as separate processes, does to them what a script says,
// and checks what must hold. Nothing leaves the machine. The language of scripts is in package script, what statements
// do in play, the processes in nodes, how bytes travel in link, what must hold in judge and oracle, pictures in report.
package testnet

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// DemoOptions says how to run the demo.
type DemoOptions struct {
	Exe     string    // the program whose `run` is a node
	Data    string    // folder to share; "" = the sources of Go
	Exit    bool      // end when the checks are done; else leave the swarm running until ctx ends
	Keep    bool      // keep the nodes' folders
	JSON    bool      // print only the result, as one JSON object
	Report  string    // folder for the report; "" = none
	Out     io.Writer // where it prints
	Version string    // of the program, for the report
}

// demoSeed makes all demos the same.
const demoSeed = 1

// Demo does the main job on real data with six nodes: share, hold as replicas, follow, publish a real change and see how
// little of it travels, lose the author's node in the middle of what others fetch, publish without it, have it back,
// compare everything. It returns ErrChecksFailed if something did not hold.
func Demo(ctx context.Context, o DemoOptions) error {
	scenario, err := Named("demo")
	if err != nil {
		return err
	}
	text := string(scenario.Text)
	if o.Data != "" {
		if strings.ContainsAny(o.Data, "\"\n") {
			return fmt.Errorf("demo: the name of the folder %q holds what a script cannot say", o.Data)
		}
		text = strings.Replace(text, "from toolchain", `from "`+o.Data+`"`, 1)
		text = strings.Replace(text, "upgrade", "overwrite 4KiB", 1)
	}
	return Run(ctx, RunOptions{Name: "demo", Text: []byte(text), Exe: o.Exe, Report: o.Report, Seed: demoSeed, Keep: o.Keep, Stay: !o.Exit, JSON: o.JSON, Out: o.Out, Version: o.Version})
}
