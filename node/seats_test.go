package node

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/node/api"
)

// trio is a set with three voters, all of which may write it. The first is its author.
type trio struct {
	t     *testing.T
	nodes []*running
	homes []string
	dirs  []string // of the set at each
	set   string
}

func newTrio(t *testing.T, share api.ShareRequest) *trio {
	t.Helper()
	x := &trio{t: t, dirs: []string{newFolder(t)}}
	for i := range 3 {
		home := t.TempDir()
		x.homes = append(x.homes, home)
		if i == 0 {
			x.nodes = append(x.nodes, start(t, home))
			continue
		}
		x.nodes = append(x.nodes, start(t, home, x.nodes[0].addr()))
		x.dirs = append(x.dirs, filepath.Join(t.TempDir(), "copy"))
	}
	share.Path, share.Name = x.dirs[0], "data"
	made, err := x.nodes[0].Share(within(t), share, quiet)
	if err != nil {
		t.Fatal(err)
	}
	x.set = made.Set
	for i := 1; i < 3; i++ {
		f, err := x.nodes[i].Follow(within(t), api.FollowRequest{Ticket: made.Ticket, Dest: x.dirs[i], Replicate: true}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		for _, right := range []string{api.RightReplica, api.RightWriter} {
			x.grant(f.Member, right)
		}
		x.wait("the new voter is in touch with a primary", func() bool {
			v := x.nodes[i].seats().Roles(x.id(i))
			return v.Primary != "" && len(v.Voters) == i+1
		})
		x.wait("it knows that it may publish", func() bool {
			m, err := x.nodes[i].Members(within(t), api.MembersRequest{Set: x.set})
			return err == nil && slices.ContainsFunc(m.Members, func(m api.Member) bool { return m.Self && slices.Contains(m.Rights, api.RightWriter) })
		})
		x.wait("something is durable", func() bool { return x.nodes[0].seats().Roles(x.id(0)).Durable })
	}
	return x
}

// grant waits until a strict set has taken the change before in.
func (x *trio) grant(member, right string) {
	x.t.Helper()
	var err error
	x.wait("grant "+right, func() bool {
		_, err = x.nodes[0].Grant(within(x.t), api.GrantRequest{Set: x.set, Peer: member, Right: right})
		return err == nil || !strings.Contains(err.Error(), "taken hold")
	})
	if err != nil {
		x.t.Fatal(err)
	}
}

func (x *trio) wait(what string, so func() bool) {
	x.t.Helper()
	clock := time.NewTicker(10 * time.Millisecond)
	defer clock.Stop()
	for until := time.After(limit); !so(); {
		select {
		case <-until:
			x.t.Fatalf("not in time: %s", what)
		case <-clock.C:
		}
	}
}

// primary waits until all nodes that run agree on who is primary, and gives its index.
func (x *trio) primary() (p int) {
	x.t.Helper()
	x.wait("all agree on the primary", func() bool {
		p = -1
		for i, n := range x.nodes {
			if n.ended == nil {
				continue
			}
			v := n.seats().Roles(x.id(i))
			at := -1
			for j, m := range x.nodes {
				if v.Primary == m.self && m.ended != nil {
					at = j
				}
			}
			if at < 0 || p >= 0 && at != p {
				return false
			}
			p = at
		}
		return p >= 0
	})
	return p
}

func (x *trio) publish(i int) api.PublishResult {
	x.t.Helper()
	p, err := x.nodes[i].Publish(within(x.t), api.PublishRequest{Target: x.dirs[i]}, quiet)
	if err != nil {
		x.t.Fatalf("publish at node %d: %v", i, err)
	}
	return p
}

// holds waits until a folder has a file with a text.
func (x *trio) holds(i int, name, text string) {
	x.t.Helper()
	x.wait(name+" at node", func() bool {
		b, err := os.ReadFile(filepath.Join(x.dirs[i], name))
		return err == nil && string(b) == text
	})
}

func (x *trio) put(i int, name, text string) {
	x.t.Helper()
	if err := os.WriteFile(filepath.Join(x.dirs[i], name), []byte(text), 0o644); err != nil {
		x.t.Fatal(err)
	}
}

func TestAnyWriterPublishesDurably(t *testing.T) {
	x := newTrio(t, api.ShareRequest{})
	for i := range 3 {
		name := "from-" + string(rune('a'+i))
		x.put(i, name, name)
		p := x.publish(i)
		if !p.Durable || len(p.On) < 2 {
			t.Errorf("node %d: durable %v on %v", i, p.Durable, p.On)
		}
		for j := 1; j < 3; j++ {
			x.holds(j, name, name)
		}
	}
	for i := 1; i < 3; i++ { // the author's own folder is never written
		if _, err := os.Stat(filepath.Join(x.dirs[0], "from-"+string(rune('a'+i)))); err == nil {
			t.Error("the author's folder was written")
		}
	}
}

func TestAPrimaryThatLeavesHandsOver(t *testing.T) {
	x := newTrio(t, api.ShareRequest{})
	p := x.primary()
	writer := (p + 1) % 3
	if writer == 0 { // whose folder nobody brings up to date
		writer = (p + 2) % 3
	}
	x.put(writer, "before", "1")
	x.publish(writer)
	x.nodes[p].stop()
	begun := time.Now()
	x.put(writer, "after", "2")
	if got := x.publish(writer); !got.Durable {
		t.Errorf("not durable: on %v", got.On)
	}
	t.Logf("published %v after the primary had left", time.Since(begun))
	if q := x.primary(); q == p {
		t.Error("the one that left is primary still")
	}
	x.nodes[p] = start(t, x.homes[p], x.nodes[writer].addr())
	x.wait("the one that came back has it all", func() bool {
		v := x.nodes[p].seats().Roles(x.id(p))
		return v.Behind == 0 && v.Forks == 0 && x.revision(p) == x.revision(writer)
	})
}

func TestEditsOfTwoWritersAreMerged(t *testing.T) {
	x := newTrio(t, api.ShareRequest{})
	x.put(1, "shared", "base")
	x.publish(1)
	x.holds(2, "shared", "base")
	x.wait("node 2 is done", func() bool { return x.revision(2) == x.revision(1) })
	folder := func() api.SetInfo {
		i, err := x.nodes[2].Show(within(t), x.set)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	var was api.SetInfo
	x.wait("its folder is there, too", func() bool { was = folder(); return was.DirRevision == 0 })
	// Node 2 does not follow while it edits: its folder stays what it was made of.
	if _, err := x.nodes[2].Unfollow(within(t), api.UnfollowRequest{Set: x.set}); err != nil {
		t.Fatal(err)
	}
	x.put(1, "shared", "one")
	x.put(1, "only-1", "1")
	one := x.publish(1)
	x.wait("node 2 has it beside its folder", func() bool { i := folder(); return i.State == "complete" && i.Revision == one.Revision })
	if i := folder(); i.DirRevision != was.Revision {
		t.Errorf("the folder is told to be at %d, and is at %d", i.DirRevision, was.Revision)
	}
	x.put(2, "shared", "two")
	x.put(2, "only-2", "2")
	p := x.publish(2)
	if !p.Merged {
		t.Error("not said to be merged")
	}
	x.holds(1, "only-2", "2")
	x.holds(1, "shared", "one")
	x.includes(1, one, p)
	copies, err := filepath.Glob(filepath.Join(x.dirs[1], "shared.conflict-*"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies: %v, %v", copies, err)
	}
	if b, _ := os.ReadFile(copies[0]); string(b) != "two" {
		t.Errorf("the copy holds %q", b)
	}
	// What is made of the same folder later is not merged with what it already had.
	x.put(2, "only-2", "2b")
	x.publish(2)
	x.holds(1, "only-2", "2b")
	if all, _ := filepath.Glob(filepath.Join(x.dirs[1], "*.conflict-*")); len(all) != 1 {
		t.Errorf("copies: %v", all)
	}
}

// includes checks that a node's history begins with the last of some revisions and leads to all of them.
func (x *trio) includes(i int, all ...api.PublishResult) {
	x.t.Helper()
	h, err := x.nodes[i].History(within(x.t), api.HistoryRequest{Set: x.set, Verify: true})
	if err != nil {
		x.t.Fatal(err)
	}
	top, named := h.Revisions[0], map[string]bool{}
	for _, r := range h.Revisions {
		for _, p := range r.Parents {
			named[p] = true
		}
	}
	for _, p := range all {
		if p.Head != top.Head && !named[p.Head] {
			x.t.Errorf("revision %d, head %q, is neither the newest nor anybody's parent", p.Revision, p.Head)
		}
		for store, n := range p.Vector {
			if top.Vector[store] < n {
				x.t.Errorf("revision %d: vector %v is not within %v", p.Revision, p.Vector, top.Vector)
			}
		}
		if len(p.Vector) == 0 {
			x.t.Errorf("revision %d has no vector", p.Revision)
		}
	}
	if last := all[len(all)-1]; last.Head != top.Head {
		x.t.Errorf("the newest is %s, not %s", top.Head, last.Head)
	}
}

// Who is left alone with a set orders it from then on, but not in the epoch of somebody else.
func TestTheLastVoterLeadsNoEpochOfAnother(t *testing.T) {
	x := newTrio(t, api.ShareRequest{})
	p := x.primary()
	last := 1 + p%2 // the author is not to be it
	x.put(last, "a", "1")
	x.publish(last)
	i, err := x.nodes[last].Show(within(t), x.set)
	if err != nil || i.EpochOwner != x.nodes[p].self.String() || i.Primary != i.EpochOwner || i.Epoch == "" {
		t.Fatalf("epoch %q of %q, primary %q, error %v", i.Epoch, i.EpochOwner, i.Primary, err)
	}
	if since, err := time.Parse(time.RFC3339, i.PrimarySince); err != nil || since.After(time.Now()) {
		t.Errorf("primary since %q", i.PrimarySince)
	}
	for j, n := range x.nodes {
		if j == last {
			continue
		}
		_, err := x.nodes[0].Revoke(within(t), api.RevokeRequest{Set: x.set, Peer: n.self.String(), Right: api.RightReplica, Own: true})
		if err != nil {
			t.Fatal(err)
		}
	}
	x.wait("it is alone", func() bool {
		i, err = x.nodes[last].Show(within(t), x.set)
		return err == nil && i.Role == api.RolePrimary
	})
	if i.Primary != x.nodes[last].self.String() || i.EpochOwner != "" && i.EpochOwner != i.Primary {
		t.Errorf("epoch %q of %q, primary %q", i.Epoch, i.EpochOwner, i.Primary)
	}
}

func TestAStrictMinorityRefuses(t *testing.T) {
	x := newTrio(t, api.ShareRequest{Strict: true})
	x.put(1, "a", "1")
	if p := x.publish(1); !p.Durable {
		t.Fatalf("not durable: %+v", p)
	}
	x.nodes[0].stop()
	x.put(1, "b", "2")
	if p := x.publish(1); !p.Durable {
		t.Fatalf("two of three: not durable: %+v", p)
	}
	x.nodes[2].stop()
	x.wait("reads are marked stale", func() bool { return x.nodes[1].seats().Roles(x.id(1)).Stale })
	var err error
	for i := 0; err == nil && i < 10; i++ { // one that was handed the role is primary until it misses the others
		x.put(1, "c", strings.Repeat("3", i+1))
		var p api.PublishResult
		if p, err = x.nodes[1].Publish(within(t), api.PublishRequest{Target: x.dirs[1], Wait: "1s"}, quiet); err == nil && p.Durable {
			t.Fatal("durable on one of three")
		}
	}
	wantExit(t, "publish in a minority", err, api.ExitTimeout)
}

func (x *trio) id(int) cid.Cid {
	c, err := cid.Decode(x.set)
	if err != nil {
		x.t.Fatal(err)
	}
	return c
}

func (x *trio) revision(i int) uint64 {
	info, err := x.nodes[i].Show(within(x.t), x.set)
	if err != nil {
		x.t.Fatal(err)
	}
	return info.Revision
}

func TestReplicasThatForgotTheSetComeBack(t *testing.T) {
	x := newTrio(t, api.ShareRequest{})
	x.put(2, "a", "1")
	x.publish(2)
	info, err := x.nodes[2].Show(within(t), x.set)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := x.nodes[i].Rm(within(t), api.RmRequest{Set: x.set}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		x.dirs[i] = filepath.Join(t.TempDir(), "again")
		if _, err := x.nodes[i].Follow(within(t), api.FollowRequest{Ticket: info.Ticket, Dest: x.dirs[i], Replicate: true}, quiet); err != nil {
			t.Fatal(err)
		}
		x.wait("it votes again", func() bool {
			v := x.nodes[i].seats().Roles(x.id(i))
			return v.Primary != "" && v.Backup != ""
		})
	}
	x.put(2, "b", "2")
	if p := x.publish(2); !p.Durable {
		t.Errorf("not durable: on %v", p.On)
	}
	for i := range 2 {
		x.holds(i, "b", "2")
	}
}
