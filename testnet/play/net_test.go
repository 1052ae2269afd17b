package play

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/testnet/link"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

func TestFilesTravel(t *testing.T) {
	x := newScene(t)
	x.play(`
nodes origin, edge-1, edge-2
share docs at origin size 2MiB in 8 files
expect docs has a primary
get docs at edge-1
follow docs at edge-2
wait until edge-1 and edge-2 have docs within 20s
expect get docs took at most 20s
expect get docs took at most 20s at edge-1
expect follow docs took at most 20s
expect edge-1 received at least 1 docs
expect origin sent at most 2.5 docs
expect edge-1 received at most 1.5 docs
expect edge-1 has revision 1 of docs
expect edge-1 is not primary of docs
mark
edit docs at origin overwrite 4KiB 2 times
edit docs at origin insert 1KiB
edit docs at origin append 1KiB
edit docs at origin add 2KiB
edit docs at origin rename
edit docs at origin remove
publish docs at origin
wait until edge-2 has docs within 20s
expect edge-2 has revision 2 of docs
expect edge-2 received at most 0.5 docs
expect publish docs took at most 10s
expect edge-1 has revision 1 of docs
expect docs agrees within 10s
`)
	x.failing()
	// and what does not hold is said
	x.do("expect edge-1 has revision 2 of docs", "expect edge-1 has docs", "expect origin sent at most 1kB", "expect edge-2 received at least 1 docs",
		"expect get docs took at most 1us", "expect docs is durable", "expect edge-2 is primary of docs", "expect origin is down", "expect origin refuses to publish docs")
	x.failing("expect edge-1 has revision 2 of docs", "expect edge-1 has docs", "expect origin sent at most 1kB", "expect edge-2 received at least 1 docs",
		"expect get docs took at most 1us", "expect docs is durable", "expect edge-2 is primary of docs", "expect origin is down", "expect origin refuses to publish docs")
	tr := x.Trace()
	if len(tr.Nodes) != 3 || len(tr.Sets) != 1 || tr.Sets[0].Files != 8 || tr.Sets[0].Bytes != 2<<20 || len(tr.Samples) == 0 {
		t.Errorf("nodes %v, sets %v, %d samples", tr.Nodes, tr.Sets, len(tr.Samples))
	}
	seen := map[string]int{}
	for _, c := range tr.Transfers {
		seen[c.Node]++
		if c.Ended <= c.Began || c.Total < 2<<19 || c.WireIn <= 0 {
			t.Errorf("transfer %+v", c)
		}
	}
	if seen["edge-1"] != 1 || seen["edge-2"] < 2 {
		t.Errorf("transfers %v", seen)
	}
	if n := len(x.events(trace.Published, "origin")); n != 2 {
		t.Errorf("%d publishes", n)
	}
	x.failing("expect edge-1 has revision 2 of docs", "expect edge-1 has docs", "expect origin sent at most 1kB", "expect edge-2 received at least 1 docs",
		"expect get docs took at most 1us", "expect docs is durable", "expect edge-2 is primary of docs", "expect origin is down", "expect origin refuses to publish docs")
}

func TestAPrimaryIsReplaced(t *testing.T) {
	x := newScene(t)
	x.play(`
nodes origin, keeper-1, keeper-2
share docs at origin size 256KiB in 2 files
replicate docs at keeper-1, keeper-2
wait until keeper-1 and keeper-2 are replicas of docs within 20s
wait until docs has a backup within 20s
grant docs to keeper-1 writer
grant docs to keeper-2 writer
wait until all have docs within 20s
edit docs at origin add 4KiB
publish docs at origin
expect docs is durable
kill primary of docs
expect origin is down
expect origin is not primary of docs
wait until docs has a primary within 20s
expect failover of docs took at most 20s
restart origin
expect origin is up
wait until origin has docs within 20s
`)
	x.failing()
	x.do("expect failover of docs took at most 1us")
	x.failing("expect failover of docs took at most 1us")
	if len(x.events(trace.Killed, "origin")) != 1 || len(x.events(trace.Up, "origin")) != 2 {
		t.Error("the end and the new beginning are not in the trace")
	}
	x.finish("expect failover of docs took at most 1us")
	if len(x.events(trace.Role, "keeper-1")) == 0 {
		t.Error("no role of keeper-1")
	}
}

func TestCutLinks(t *testing.T) {
	x := newScene(t)
	x.play(`
nodes origin, keeper-1, keeper-2
share ledger at origin size 64KiB in 2 files strict
replicate ledger at keeper-1, keeper-2
wait until keeper-1 and keeper-2 are replicas of ledger within 20s
wait until ledger has a backup within 20s
link keeper-1 and keeper-2 latency 5ms jitter 1ms
uplink origin 50MB/s
partition origin from keeper-1, keeper-2
edit ledger at origin add 4KiB
expect origin refuses to publish ledger
`)
	x.failing()
	if got := spelled(x.groups()); got != "keeper-1keeper-2 origin" {
		t.Errorf("groups %q", got)
	}
	cut := 0
	for _, l := range x.Trace().Links {
		if l.Cut {
			cut++
		}
	}
	if cut != 4 || len(x.Trace().Links) != 6 {
		t.Errorf("%d of %d links are cut", cut, len(x.Trace().Links))
	}
	x.do("heal")
	if len(x.events(trace.Cut, "origin")) != 1 || len(x.events(trace.Healed, "")) != 3 {
		t.Errorf("cut %v, healed %v", x.events(trace.Cut, ""), x.events(trace.Healed, ""))
	}
	for _, l := range x.Trace().Links {
		if l.Cut || (l.Latency > 0) != (l.From != "origin" && l.To != "origin") {
			t.Errorf("link %+v", l)
		}
	}
	x.do("wait until ledger has a primary within 20s", "wait until ledger agrees within 20s",
		"publish ledger at origin", "expect ledger is durable", "expect keeper-1 and keeper-2 have ledger within 20s")
	x.do("cut origin to keeper-1")
	if got := spelled(x.groups()); got != "keeper-1keeper-2origin" {
		t.Errorf("groups %q", got)
	}
	x.finish()
}

func TestDamageIsNotBlamedOnNodes(t *testing.T) {
	x := newScene(t)
	x.play(`
nodes origin, keeper, edge
share docs at origin size 2MiB in 2 files
follow docs at keeper
wait until keeper has docs within 20s
corrupt docs at keeper 3 times
stop keeper
corrupt store of keeper 2 times
restart keeper
get docs at edge
expect edge has docs within 20s
`)
	x.failing()
	if n := len(x.events(trace.Damaged, "keeper")); n != 5 {
		t.Errorf("%d times damaged", n)
	}
	if _, err := os.Stat(x.home("keeper") + "/store.damaged"); err != nil {
		t.Errorf("a node began with a damaged store: %v", err)
	}
	x.finish()
}

func TestAFullDisk(t *testing.T) {
	x := newScene(t)
	x.play(`
nodes origin, edge
share docs at origin size 1MiB in 2 files
fill disk of edge
get docs at edge
wait 100ms
`)
	if len(x.events(trace.Failed, "edge")) == 0 {
		t.Error("a get onto a full disk did not fail")
	}
	x.do("expect edge has docs within 30s")
	x.failing("expect edge has docs within 30s")
	if took := x.Trace().Checks[0].Seconds; took > 5 {
		t.Errorf("a get that has failed was waited for %g s", took)
	}
	x.do("free disk of edge", "get docs at edge", "wait until edge has docs within 20s")
	x.finish("expect edge has docs within 30s")
}

func TestALiarIsNotBelieved(t *testing.T) {
	x := newScene(t)
	x.play(`
nodes origin, liar-1, edge-1 to edge-3
share docs at origin size 2MiB in 2 files
follow docs at liar-1
wait until liar-1 has docs within 20s
liar liar-1
get docs at edge-1
wait until edge-1 has docs within 20s
liar origin, edge-1
get docs at edge-2
expect edge-2 has docs within 1s
`)
	x.failing("expect edge-2 has docs within 1s") // all who have it lie
	x.do("honest liar-1, origin, edge-1", "get docs at edge-3", "wait until edge-3 has docs within 20s")
	x.finish("expect edge-2 has docs within 1s")
	if len(x.events(trace.Lying, "")) != 3 || len(x.events(trace.Honest, "")) != 3 {
		t.Errorf("lying %v, honest %v", x.events(trace.Lying, ""), x.events(trace.Honest, ""))
	}
}

func TestHaltedNodesGoOn(t *testing.T) {
	x := newScene(t)
	x.play(`
nodes origin, edge-1, edge-2
share docs at origin size 64KiB in 2 files
follow docs at edge-1, edge-2
wait until all have docs within 20s
pause edge-1
stop edge-2
expect edge-2 is down
expect edge-1 is up
edit docs at origin append 1KiB
publish docs at origin
`)
	x.failing()
	x.do("expect edge-1 has docs", "expect docs agrees")
	x.failing("expect edge-1 has docs")
	x.do("resume edge-1", "wait until edge-1 has docs within 20s", "pause edge-1")
	x.finish("expect edge-1 has docs") // resumes and starts
	if len(x.events(trace.Resumed, "edge-1")) != 2 || len(x.events(trace.Stopped, "edge-2")) != 1 || len(x.events(trace.Up, "edge-2")) != 2 {
		t.Error("what was done to the nodes is not in the trace")
	}
	for _, i := range x.List(t.Context()) {
		if i.State != "running" || i.PID == 0 || len(i.Sets) != 1 || i.Memory == 0 {
			t.Errorf("%+v", i)
		}
	}
}

func TestFinishAfterAScriptThatEndedEarly(t *testing.T) {
	x := newScene(t)
	err := x.try(`
nodes origin, edge
share docs at origin size 64KiB in 2 files
every 50ms for 10m edit docs at origin append 100B
every 50ms for 10m publish docs at origin
cut origin and edge
get docs at edge
kill edge
wait until edge is up within 300ms
say "never"
`)
	if err == nil || !strings.HasPrefix(err.Error(), "line 9: wait until edge is up within 300ms: not within 300ms: ") {
		t.Errorf("error %v", err)
	}
	at := len(x.Trace().Events)
	x.failing()
	x.finish()
	for _, e := range x.Trace().Events[at:] {
		if e.Kind == trace.Published || e.Kind == trace.Note {
			t.Errorf("after the end: %+v", e)
		}
	}
	x.do("publish docs at origin", "get docs at edge", "wait until edge has docs within 20s") // the network can be used
}

func TestTypedStatementsBesideAScript(t *testing.T) {
	x := newScene(t)
	x.do("nodes origin, edge", "share docs at origin size 64KiB in 2 files")
	done := make(chan error, 1)
	go func() { done <- x.Play(x.ctx, &script.Script{Statements: besides()}) }()
	for range 5 {
		x.do("edit docs at origin add 1KiB", "publish docs at origin")
	}
	x.do("follow docs at edge", "wait until edge has docs within 20s")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	x.failing()
	x.finish()
	all, err := regular(x.file("origin", "docs", ""))
	if err != nil || len(all) != 2+5+5 {
		t.Errorf("%d files (%v): %v", len(all), err, all)
	}
	if failed := x.events(trace.Failed, ""); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
}

func besides() []script.Statement {
	origin := script.Who{Names: []string{"origin"}}
	return []script.Statement{
		{Line: 1, Text: "edit", When: script.When{Every: 50_000_000, Times: 5}, Do: script.Edit{Set: "docs", At: origin, Kind: script.Add, Size: 1000}},
		{Line: 2, Text: "publish", When: script.When{Every: 50_000_000, Times: 6}, Do: script.Publish{Set: "docs", At: origin}},
	}
}

func TestANodeThatEndsByItselfIsNoticed(t *testing.T) {
	x := newScene(t)
	x.do("nodes origin, edge")
	n, _ := x.net.Node("edge")
	p, err := os.FindProcess(n.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	x.until("the end of edge is noticed", func() bool { return len(x.events(trace.Crashed, "edge")) > 0 })
	if v := x.events(trace.Violation, "edge"); len(v) != 1 || !strings.HasPrefix(v[0].Text, script.Crashes) {
		t.Errorf("violations %v", v)
	}
	x.finish(meaning(script.Crashes))
	x.do("expect edge is up")
	x.failing(meaning(script.Crashes))
}

func TestAWrongByteIsFoundWhileTheScriptRuns(t *testing.T) {
	x := newScene(t)
	x.do("nodes origin, edge", "share docs at origin size 64KiB in 2 files", "get docs at edge", "wait until edge has docs within 20s")
	path := x.file("edge", "docs", "file-001")
	if _, err := flip(path, source(1)); err != nil {
		t.Fatal(err)
	}
	x.until("the patrol comes by", func() bool { return len(x.events(trace.Violation, "edge")) > 0 })
	if _, err := flip(path, source(1)); err != nil { // the same bit: it is right in the end
		t.Fatal(err)
	}
	x.do("check files")
	x.failing(meaning(script.Files))
	if c := x.Trace().Checks[0]; !strings.Contains(c.Detail, "file-001") {
		t.Errorf("check %+v", c)
	}
}

func TestAWrongByteIsFoundInTheEnd(t *testing.T) {
	x := newScene(t)
	x.do("nodes origin, edge", "share docs at origin size 64KiB in 2 files", "get docs at edge", "wait until edge has docs within 20s")
	x.unrun() // nobody looks meanwhile
	if _, err := flip(x.file("edge", "docs", "file-002"), source(1)); err != nil {
		t.Fatal(err)
	}
	x.finish(meaning(script.Files))
}

func TestFilesThatWereFetchedAreLeftAlone(t *testing.T) {
	x := newScene(t)
	x.do("nodes origin, edge", "share docs at origin size 64KiB in 2 files", "get docs at edge", "wait until edge has docs within 20s",
		"edit docs at origin append 1KiB", "publish docs at origin")
	x.finish() // edge has the first revision, and that is right
}

func TestSlowAndOddLinks(t *testing.T) {
	x := newScene(t)
	x.play(`
nodes origin, edge
share docs at origin size 2MiB in 2 files private
link origin to edge latency 2ms loss 1% rate 100Mbit/s
slow edge to 1MB/s
grant docs to edge reader
get docs at edge
wait until edge has 20% of docs within 20s
expect edge has docs
downlink edge unlimited
wait until edge has docs within 20s
`)
	x.failing("expect edge has docs")
	l := x.Trace().Links
	if len(l) != 1 || l[0].Rate != 12_500_000 || l[0].Loss != 0.01 || l[0].From != "origin" {
		t.Errorf("links %+v", l)
	}
	x.do("link origin and edge plain")
	if l := x.Trace().Links; len(l) != 2 || l[0] != (trace.Link{From: "edge", To: "origin"}) || l[1] != (trace.Link{From: "origin", To: "edge"}) {
		t.Errorf("links %+v", l)
	}
	x.do("cut origin to edge", "heal origin to edge", "check")
	x.failing("expect edge has docs")
}

func TestSharedFolders(t *testing.T) {
	x := newScene(t)
	from := plant(t, t.TempDir(), map[string]string{"a/b.go": "package b\n", "c.txt": strings.Repeat("c", 5000)})
	x.do("nodes origin, edge", `share docs at origin from "`+from+`"`, "follow docs at edge", "wait until edge has docs within 20s")
	for name, want := range contents(t, from) {
		if got, err := os.ReadFile(x.file("edge", "docs", name)); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes (%v), want %d", name, len(got), err, len(want))
		}
	}
	again := script.Share{Set: "docs", At: script.Who{Names: []string{"origin"}}, Size: 1000, Files: 1}
	if err := x.Do(x.ctx, script.Statement{Do: again}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("shared again: %v", err)
	}
	if err := x.line(`share more at origin from "` + from + `/none"`); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("shared what is not there: %v", err)
	}
	// where there is nothing newer to take, an upgrade is a small change
	before := contents(t, x.file("origin", "docs", ""))
	x.do("edit docs at origin upgrade", "publish docs at origin", "wait until edge has revision 2 of docs within 20s")
	if maps.Equal(before, contents(t, x.file("origin", "docs", ""))) {
		t.Error("the upgrade changed nothing")
	}
	x.finish()
	// that the folder cannot be published is no refusal
	x.do("edit docs at origin remove 2 times", "expect origin refuses to publish docs")
	x.failing("expect origin refuses to publish docs")
}

func TestOtherRevisionsOfWhatAgreesAreFound(t *testing.T) {
	x := newSceneOf(t, hasty())
	x.do("nodes origin, edge", "share docs at origin size 64KiB in 2 files", "follow docs at edge", "wait until edge has docs within 200s")
	err := x.net.Shape(x.ctx, func(s *nodes.Shape) { // nobody tells the stage
		s.Rules[[2]string{"origin", "edge"}] = link.Rule{Cut: true}
		s.Rules[[2]string{"edge", "origin"}] = link.Rule{Cut: true}
	})
	if err != nil {
		t.Fatal(err)
	}
	x.do("edit docs at origin append 1KiB", "publish docs at origin", "expect docs agrees", "check agree")
	x.failing(meaning(script.Agree), "expect docs agrees")
}

func TestWhatWasAcknowledgedAndIsGoneIsFound(t *testing.T) {
	x := newSceneOf(t, hasty())
	x.do("nodes origin, keeper, edge", "share docs at origin size 64KiB in 2 files", "replicate docs at keeper", "wait until docs has a backup within 200s",
		"follow docs at edge", "wait until all have docs within 200s", "edit docs at origin append 1KiB 9 times", "publish docs at origin",
		"expect docs is durable", "wait until edge has revision 2 of docs within 200s")
	x.do("check acknowledged, files")
	x.failing()
	x.unrun()
	for _, name := range []string{"file-001", "file-002"} {
		if err := os.Remove(x.file("edge", "docs", name)); err != nil {
			t.Fatal(err)
		}
	}
	x.do("check acknowledged, files")
	x.do("check acknowledged")
	x.failing(meaning(script.Files), meaning(script.Acknowledged))
}
