package judge_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/judge"
	"github.com/shoal-p2p/shoal/testnet/oracle"
	"github.com/shoal-p2p/shoal/testnet/script"
)

// share makes the set, of some files, at the first node.
func (l *lab) share() {
	l.t.Helper()
	p := l.nodes[0]
	for i := range 4 {
		l.edit(p, fmt.Sprintf("file-%d", i), strings.Repeat(fmt.Sprintf("file %d, ", i), 1000))
	}
	snap := l.read(p)
	r, err := p.Share(within(l.t), api.ShareRequest{Path: p.data(), Name: "docs"}, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	l.set, l.ticket = r.Set, r.Ticket
	l.truth.Accept("docs", snap, r.Root)
	l.observe(judge.AckedOf(l.now(), "docs", p.name, false, r))
}

// read lets the oracle read a folder that is about to be published.
func (l *lab) read(p *process) oracle.Snapshot {
	l.t.Helper()
	snap, err := l.truth.Publish("docs", p.data())
	if err != nil {
		l.t.Fatal(err)
	}
	return snap
}

func (l *lab) edit(p *process, name, text string) {
	l.t.Helper()
	err := errors.Join(os.MkdirAll(p.data(), 0o755), os.WriteFile(filepath.Join(p.data(), name), []byte(text), 0o644))
	if err != nil {
		l.t.Fatal(err)
	}
}

// publish makes a file of a node's folder another one, and publishes it.
func (l *lab) publish(p *process, note string) api.PublishResult {
	l.t.Helper()
	l.edit(p, "file-of-"+p.name, note+" "+p.name)
	snap := l.read(p)
	r, err := p.Publish(within(l.t), api.PublishRequest{Target: l.set, Note: note, AllowLocal: true}, nil)
	if err != nil {
		l.t.Fatalf("publish at %s: %v", p.name, err)
	}
	if r.Durable {
		l.truth.Acknowledge("docs", snap)
	}
	l.observe(judge.AckedOf(l.now(), "docs", p.name, false, r.ShareResult))
	return r
}

// durable publishes until it is durable: a voter that was just granted may not be in touch yet.
func (l *lab) durable(p *process, note string) (r api.PublishResult) {
	l.t.Helper()
	n := 0
	l.until(note+" is durable at "+p.name, func() error {
		n++
		if r = l.publish(p, fmt.Sprint(note, n)); !r.Durable {
			return fmt.Errorf("revision %d is on %v", r.Revision, r.On)
		}
		return nil
	})
	return r
}

// replicas makes the other nodes replicas and writers.
func (l *lab) replicas() {
	l.t.Helper()
	for _, p := range l.nodes[1:] {
		f, err := p.Follow(within(l.t), api.FollowRequest{Ticket: l.ticket, Dest: p.data(), Replicate: true}, nil)
		if err != nil {
			l.t.Fatal(err)
		}
		l.until(p.name+" has the set", func() error {
			i, err := p.Show(within(l.t), l.set)
			if err == nil && i.State != "complete" {
				err = errors.New(i.State)
			}
			return err
		})
		for _, g := range []api.GrantRequest{{Set: l.set, Peer: p.peer, Right: api.RightWriter}, {Set: l.set, Peer: f.Member, Right: api.RightReplica}} {
			l.until("grant "+g.Right, func() error {
				_, err := l.nodes[0].Grant(within(l.t), g)
				return err
			})
		}
		l.until(p.name+" votes", func() error {
			i, err := p.Show(within(l.t), l.set)
			if err == nil && i.Role != api.RoleReplica && i.Role != api.RoleBackup {
				err = errors.New(i.Role)
			}
			return err
		})
	}
}

// agreed waits for all nodes to show one revision, which has no forks and is that of some files.
func (l *lab) agreed() {
	l.t.Helper()
	l.until("all agree", func() error {
		root := ""
		for _, p := range l.nodes {
			if !p.up() {
				continue
			}
			i, err := p.Show(within(l.t), l.set)
			if err != nil {
				return err
			}
			if root == "" {
				root = i.Root
			}
			if i.Root != root || i.Forks > 0 || i.Behind > 0 || i.State == "incomplete" {
				return fmt.Errorf("%s is %s at revision %d, %d forks, %d behind, primary %s", p.name, i.State, i.Revision, i.Forks, i.Behind, i.Primary)
			}
		}
		return nil
	})
}

// Nodes that work break nothing, whatever is done to them: two of four acknowledge, are killed, the other two acknowledge
// without them, and both are in what is shown when all are back.
func TestForksThatAreDurableAreMerged(t *testing.T) {
	l := newLab(t, "a", "b", "c", "d")
	l.share()
	l.replicas()
	first := l.durable(l.nodes[0], "all")
	l.agreed()
	l.claims()
	for _, p := range l.nodes[2:] {
		p.kill()
	}
	left := l.durable(l.nodes[0], "left")
	l.claims()
	for _, p := range l.nodes[:2] {
		p.kill()
	}
	for _, p := range l.nodes[2:] {
		p.start()
	}
	right := l.durable(l.nodes[2], "right")
	l.claims()
	for _, p := range l.nodes[:2] {
		p.start()
	}
	l.claims()
	l.agreed()
	l.claims()
	l.clean()
	h, err := l.nodes[1].History(within(t), api.HistoryRequest{Set: l.set})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []api.PublishResult{first, left, right} {
		if r.Head == "" || len(r.Vector) == 0 {
			t.Errorf("revision %d has head %q, vector %v", r.Revision, r.Head, r.Vector)
		}
	}
	t.Logf("left %v, right %v, shown %v", left.Vector, right.Vector, h.Revisions[0].Vector)
	begun := l.now()
	for _, p := range l.nodes[1:] { // the author's folder is never written
		l.until("the folder of "+p.name+" has everything", func() error { // it comes there after it is on the disk
			all, err := l.truth.Lost(within(t), "docs", p.data())
			if err == nil && len(all) > 0 {
				err = fmt.Errorf("%+v", all)
			}
			return err
		})
	}
	t.Logf("folders complete %v after all had agreed", l.now()-begun)
	l.look(false)
	l.clean()
	if err := os.Remove(filepath.Join(l.nodes[1].data(), "file-of-c")); err != nil {
		t.Fatal(err)
	}
	l.lost(l.nodes[1])
	l.only(script.Acknowledged, "file-of-c at b: ")
}

func TestBoasterIsCaught(t *testing.T) {
	l := newLab(t, "origin:boaster", "backup")
	l.share()
	l.replicas()
	l.durable(l.nodes[0], "true")
	l.agreed()
	l.clean()
	r := l.publish(l.nodes[0], "boast")
	l.only(script.Acknowledged, r.Head)
}

// A boast whose number is taken by a true revision is in its vector, and not among its parents.
func TestBoasterIsCaughtThoughItCounts(t *testing.T) {
	l := newLab(t, "origin:boaster", "backup")
	l.share()
	l.replicas()
	l.durable(l.nodes[0], "true")
	r := l.publish(l.nodes[0], "boast")
	l.durable(l.nodes[0], "true again")
	l.agreed()
	l.only(script.Acknowledged, r.Head)
}

// copyHome puts a copy of a home in the place of another one. Its keys are for nobody else to read.
func copyHome(t *testing.T, from, to string) {
	t.Helper()
	err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from)), os.Chmod(filepath.Join(to, "identity.key"), 0o600))
	if owner := filepath.Join(to, "owner.key"); err == nil {
		if err = os.Chmod(owner, 0o600); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Two disks that give back what they held before are two disks that lied.
func TestDisksThatForgetAreCaught(t *testing.T) {
	l := newLab(t, "origin", "backup")
	l.share()
	l.replicas()
	l.durable(l.nodes[0], "kept")
	l.agreed()
	for _, p := range l.nodes {
		p.stop()
		copyHome(t, p.home(), filepath.Join(l.dir, "copy-of-"+p.name))
		p.start()
	}
	l.agreed()
	r := l.durable(l.nodes[0], "forgotten")
	l.agreed()
	l.clean()
	for _, p := range l.nodes {
		p.kill()
		copyHome(t, filepath.Join(l.dir, "copy-of-"+p.name), p.home())
	}
	for _, p := range l.nodes {
		p.start()
	}
	l.agreed()
	l.only(script.Acknowledged, r.Head)
}

func TestUsurperIsCaught(t *testing.T) {
	l := newLab(t, "origin", "edge:usurper")
	l.share()
	l.claims()
	l.clean()
	if _, err := l.nodes[1].Get(within(t), api.GetRequest{Ticket: l.ticket, Dest: l.nodes[1].data()}, nil); err != nil {
		t.Fatal(err)
	}
	l.claims()
	l.only(script.Primaries, "edge names "+l.nodes[1].peer)
}

// A home that was copied makes two nodes of one identity, and both lead.
func TestCopiedHomeIsCaught(t *testing.T) {
	l := newLab(t, "origin", "twin")
	l.share()
	l.claims()
	l.clean()
	origin, twin := l.nodes[0], l.nodes[1]
	origin.stop()
	twin.stop()
	copyHome(t, origin.home(), twin.home())
	origin.start()
	twin.start()
	l.claims()
	l.only(script.Primaries, "twin says that it is primary")
}

func TestSleeperIsCaught(t *testing.T) {
	l := newLab(t, "origin", "edge", "lazy:sleeper")
	l.share()
	for _, p := range l.nodes[1:] {
		if _, err := p.Follow(within(t), api.FollowRequest{Ticket: l.ticket, Dest: p.data()}, nil); err != nil {
			t.Fatal(err)
		}
	}
	l.agreed()
	l.clean()
	r := l.publish(l.nodes[0], "news")
	l.until("edge has it", func() error {
		i, err := l.nodes[1].Show(within(t), l.set)
		if err == nil && (i.Root != r.Root || i.State != "complete") {
			err = errors.New(i.State)
		}
		return err
	})
	l.only(script.Agree, "lazy: revision 1")
}

func TestCrasherIsCaught(t *testing.T) {
	l := newLab(t, "origin", "edge:crasher")
	l.share()
	if _, err := l.nodes[1].Get(within(t), api.GetRequest{Ticket: l.ticket, Dest: l.nodes[1].data()}, nil); err != nil {
		t.Fatal(err)
	}
	l.claims()
	l.nodes[1].stop()
	l.clean()
	l.nodes[1].start()
	for range 3 {
		l.claims()
	}
	<-l.nodes[1].ended
	l.only(script.Crashes, "fatal: this node is broken")
}

func TestBotcherIsCaught(t *testing.T) {
	l := newLab(t, "origin", "edge", "smudge:botcher")
	l.share()
	for _, p := range l.nodes[1:] {
		if _, err := p.Get(within(t), api.GetRequest{Ticket: l.ticket, Dest: p.data()}, nil); err != nil {
			t.Fatal(err)
		}
		if p.name == "edge" {
			l.look(true)
			l.clean()
		}
	}
	l.look(true)
	l.only(script.Files, "file-1 at smudge: it ")
	if _, err := os.Stat(filepath.Join(l.nodes[1].data(), ".shoal-tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is unfinished is still there: %v", err)
	}
}

// look lets the oracle read the folders that there are, as at any moment, and exactly if they are to equal the author's.
func (l *lab) look(exactly bool) {
	l.t.Helper()
	info, err := l.nodes[0].Show(within(l.t), l.set)
	if err != nil {
		l.t.Fatal(err)
	}
	var final *oracle.Snapshot
	if snap, ok := l.truth.Snapshot("docs", info.Root); ok && exactly {
		final = &snap
	} else if exactly {
		l.t.Fatalf("nobody accepted %s", info.Root)
	}
	for _, p := range l.nodes {
		if _, err := os.Stat(p.data()); err != nil {
			continue
		}
		for _, want := range []*oracle.Snapshot{nil, final} {
			wrong, err := l.truth.Check(within(l.t), "docs", p.data(), want)
			if err != nil {
				l.t.Fatal(err)
			}
			for _, w := range wrong {
				l.observe(judge.OnDisk{At: l.now(), Node: p.name, Set: "docs", Path: w.Path, Detail: w.Detail})
			}
		}
	}
}

// lost lets the oracle look in a folder for what was acknowledged.
func (l *lab) lost(p *process) {
	l.t.Helper()
	all, err := l.truth.Lost(within(l.t), "docs", p.data())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, w := range all {
		l.observe(judge.Lost{At: l.now(), Node: p.name, Set: "docs", Path: w.Path, Detail: w.Detail})
	}
}
