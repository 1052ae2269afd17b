package replica

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/time/rate"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/protocols/record"
)

func TestGetFromSeveral(t *testing.T) {
	t.Parallel()
	dir := bigTree(t, 20, 24)
	a := newMember(t, role{limiter: bucket{rate.NewLimiter(16<<20, 64<<10)}})
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{limiter: bucket{rate.NewLimiter(16<<20, 64<<10)}}, a)
	b.fetch(id)
	c := newMember(t, role{}, a, b)
	before := a.sent.Load()
	got := c.fetch(id)
	sameTree(t, dir, got.Dest)
	if got.Sources != 2 || b.sent.Load() == 0 || a.sent.Load() == before {
		t.Errorf("%d sources; one sent %d bytes, the other %d", got.Sources, a.sent.Load()-before, b.sent.Load())
	}
}

func TestGetWhenASeederDies(t *testing.T) {
	t.Parallel()
	dir := bigTree(t, 21, 24)
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	var dying *member
	var once sync.Once
	dead, arrived := make(chan struct{}), make(chan struct{})
	var armed atomic.Bool // the other seeder may have heard of it, and fetch from it
	var served atomic.Int64
	dying = newMember(t, leaves(func(s serving) {
		if !armed.Load() {
			return
		}
		n := served.Add(1)
		if n == 5 {
			once.Do(func() {
				go func() {
					<-arrived // else what it has sent may be lost with it
					dying.host.Close()
					close(dead)
				}()
			})
		}
		if n >= 5 {
			<-s.ctx.Done()
		}
	}), a)
	dying.fetch(id)
	slow := newMember(t, leaves(func(s serving) { // so that the other one is needed
		select {
		case <-dead:
		case <-s.ctx.Done():
		}
	}), a)
	slow.fetch(id)
	armed.Store(true)
	o := into(filepath.Join(t.TempDir(), "dest"))
	var first sync.Once
	o.Progress = func(p Progress) {
		if p.Phase == "fetch" && p.Done > 0 {
			first.Do(func() { close(arrived) })
		}
	}
	got, err := newMember(t, role{}, dying, slow).Get(within(t), record.Ticket{Set: id}, o)
	if err != nil {
		t.Fatal(err)
	}
	sameTree(t, dir, got.Dest)
	if got.Sources != 2 {
		t.Errorf("%d sources, want 2", got.Sources)
	}
}

func TestGetWhenASeederStalls(t *testing.T) {
	t.Parallel()
	dir := bigTree(t, 22, 24)
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	stalled := newMember(t, leaves(func(s serving) {
		if s.n > 3 {
			<-s.ctx.Done()
		}
	}), a)
	stalled.fetch(id)
	b := newMember(t, role{}, stalled)
	o := into(filepath.Join(t.TempDir(), "dest"))
	o.Patience = 200 * time.Millisecond
	if _, err := b.Get(within(t), record.Ticket{Set: id}, o); !errors.Is(err, ErrTimeout) {
		t.Errorf("from the stalled one alone: %v, want ErrTimeout", err)
	}
	c := newMember(t, role{}, a, stalled)
	sameTree(t, dir, c.fetch(id).Dest)
}

// C knows only B, which has itself only a part: C gets on, and completes when B does.
func TestGetFromAnIncompleteGetter(t *testing.T) {
	t.Parallel()
	dir := bigTree(t, 23, 24)
	served := make(chan struct{})
	a := newMember(t, leaves(func(s serving) {
		if s.n <= 6 {
			return
		}
		select { // the rest of B's only when C has got something
		case <-served:
		case <-s.ctx.Done():
		}
	}))
	id := a.share(dir).Replica.Set()
	b, ready := newMember(t, role{}, a), make(chan struct{})
	c := newMember(t, role{}, b)
	dest, errs := filepath.Join(t.TempDir(), "b"), make(chan error, 1)
	go func() {
		o, once := into(dest), sync.Once{}
		o.Progress = func(p Progress) {
			if p.Phase == "fetch" && p.Done > 0 {
				once.Do(func() { close(ready) })
			}
		}
		_, err := b.Get(within(t), record.Ticket{Set: id}, o)
		errs <- err
	}()
	wait(t, ready, "B's first leaf")
	if st := b.replica(id).State(); st.Complete {
		t.Fatal("B is complete already")
	}
	o, once := into(filepath.Join(t.TempDir(), "c")), sync.Once{}
	o.Progress = func(p Progress) {
		if p.Phase == "fetch" && p.Done > 0 {
			once.Do(func() { close(served) })
		}
	}
	got, err := c.Get(within(t), record.Ticket{Set: id}, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	sameTree(t, dir, dest)
	sameTree(t, dir, got.Dest)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.served[c.host.ID()] {
		t.Error("C got bytes from A, which it does not know")
	}
}

// Each run is abandoned at another point; what was fetched stays.
func TestGetResumes(t *testing.T) {
	t.Parallel()
	dir := bigTree(t, 24, 64)
	var stop func()
	var quota atomic.Int64
	a := newMember(t, leaves(func(s serving) {
		if quota.Add(-1) == 0 {
			stop()
		}
	}))
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	var fetched, total int64
	for i, n := range []int64{3, 1, 11, 7, 19, 2, 1 << 30} {
		ctx, cancel := context.WithCancel(within(t))
		stop = cancel
		quota.Store(n)
		got, err := b.Get(ctx, record.Ticket{Set: id}, into(dest))
		cancel()
		if n < 1<<30 && !errors.Is(err, context.Canceled) {
			t.Fatalf("run %d: %v, want to be cancelled", i, err)
		}
		fetched, total = fetched+got.Fetched, got.Total
		if i == 2 || i == 4 { // killed: only what is on disk is left
			b.reopen()
			if st := b.replica(id).State(); st.Complete || st.Dir != dest {
				t.Errorf("after the restart: %+v", st)
			}
		}
		if n == 1<<30 {
			if err != nil {
				t.Fatal(err)
			}
			if got.Reused() == 0 || got.Fetched >= got.Total {
				t.Errorf("last run: %d reused + %d fetched of %d", got.Reused(), got.Fetched, got.Total)
			}
		}
	}
	if fetched > total*102/100 {
		t.Errorf("fetched %d bytes of a set of %d", fetched, total)
	}
	sameTree(t, dir, dest)
	again, err := b.Get(within(t), record.Ticket{Set: id}, into(dest))
	if err != nil || again.Fetched != 0 || again.Reused() != again.Total {
		t.Errorf("once more: %v, %+v", err, again)
	}
}

func TestGetRefuses(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 25)
	a := newMember(t, role{})
	rep := a.share(dir).Replica
	other := a.share(newTree(t, 26)).Replica
	foreign := t.TempDir()
	write(t, filepath.Join(foreign, "big"), []byte("somebody's"))
	b := newMember(t, role{}, a)
	held := b.fetch(other.Set())
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	fresh := filepath.Join(t.TempDir(), "fresh")
	for _, x := range []struct {
		name string
		at   *member
		set  cid.Cid
		o    GetOptions
		want error
	}{
		{"foreign files", b, rep.Set(), into(foreign), worktree.ErrConflict},
		{"folder of another set", b, rep.Set(), into(held.Dest), ErrInUse},
		{"not a folder", b, rep.Set(), into(file), worktree.ErrNotWritable},
		{"no such parent", b, rep.Set(), into(filepath.Join(fresh, "x", "y")), worktree.ErrNotWritable},
		{"own share", a, rep.Set(), into(fresh), ErrInUse},
		{"too big", b, rep.Set(), GetOptions{Dest: func(string) string { return fresh }, MaxBytes: 1 << 20}, ErrTooBig},
		{"unknown set", b, blockstore.Sum(cid.Raw, []byte("no set")), GetOptions{Patience: 100 * time.Millisecond}, ErrNobody},
	} {
		before := contents(t, foreign)
		states := len(b.Replicas())
		at := x.at
		if x.name == "own share" { // it has to hear of it from somebody
			c := newMember(t, role{}, a)
			c.fetch(x.set)
			at.peers = append(at.peers, c.host.AddrInfo())
		}
		_, err := at.Get(within(t), record.Ticket{Set: x.set}, x.o)
		if !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", x.name, err, x.want)
		}
		if len(b.Replicas()) != states || (at == b && b.announces(x.set)) {
			t.Errorf("%s: a trace of it is left", x.name)
		}
		if fmt.Sprint(contents(t, foreign)) != fmt.Sprint(before) {
			t.Errorf("%s: the foreign folder was touched", x.name)
		}
	}
	emptyDir(t, fresh)
	// The one with foreign files can be shared: a get that was refused has no claim on it.
	if _, err := b.Share(within(t), ShareOptions{Dir: foreign, Name: "mine"}); err != nil {
		t.Error(err)
	}
	if c := b.check(held.Replica); c.Damaged != 0 {
		t.Errorf("the set that was there: %+v", c)
	}
}

// A get that is refused leaves the revision that is here as it was.
func TestRefusedUpdateChangesNothing(t *testing.T) {
	t.Parallel()
	dir := newTree(t, 27)
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	old := b.fetch(id)
	write(t, filepath.Join(dir, "small/4/file"), []byte("new"))
	a.share(dir)
	write(t, filepath.Join(old.Dest, "small/4/file"), []byte("edited here"))
	_, err := b.Get(within(t), record.Ticket{Set: id}, into(old.Dest))
	if !errors.Is(err, worktree.ErrConflict) {
		t.Fatalf("got %v, want ErrConflict", err)
	}
	h, _ := b.replica(id).Head()
	if st := b.replica(id).State(); h.Revision != 1 || !st.Complete {
		t.Errorf("revision %d, complete %v after a refused update", h.Revision, st.Complete)
	}
	o := into(old.Dest)
	o.Force = true
	if _, err = b.Get(within(t), record.Ticket{Set: id}, o); err != nil {
		t.Fatal(err)
	}
	sameTree(t, dir, old.Dest)
}

func TestGetWithoutANetwork(t *testing.T) {
	t.Parallel()
	set := blockstore.Sum(cid.Raw, []byte("set"))
	a := newMember(t, role{})
	a.net = nil
	if _, err := a.Get(within(t), record.Ticket{Set: set}, into(t.TempDir())); !errors.Is(err, ErrOffline) {
		t.Errorf("offline: %v", err)
	}
	lonely := newMember(t, role{})
	o := into(t.TempDir())
	o.Patience = 100 * time.Millisecond
	if _, err := lonely.Get(within(t), record.Ticket{Set: set}, o); !errors.Is(err, ErrNoPeers) {
		t.Errorf("nobody known: %v", err)
	}
	gone := newMember(t, role{})
	lonely.peers = append(lonely.peers, gone.host.AddrInfo())
	gone.host.Close()
	if _, err := lonely.Get(within(t), record.Ticket{Set: set}, o); !errors.Is(err, ErrNoPeers) {
		t.Errorf("nobody reachable: %v", err)
	}
}

func TestTwoGetsAtOnce(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan struct{}), make(chan struct{})
	a := newMember(t, leaves(func(s serving) {
		if s.n == 1 {
			close(inside)
		}
		select {
		case <-goOn:
		case <-s.ctx.Done():
		}
	}))
	dir := newTree(t, 28)
	id := a.share(dir).Replica.Set()
	other := a.share(newTree(t, 29)).Replica.Set()
	b := newMember(t, role{}, a)
	dest := filepath.Join(t.TempDir(), "dest")
	errs := make(chan error, 1)
	go func() {
		_, err := b.Get(within(t), record.Ticket{Set: id}, into(dest))
		errs <- err
	}()
	wait(t, inside, "the first get")
	for _, second := range []struct {
		set  cid.Cid
		dest string
	}{{id, dest}, {id, filepath.Join(t.TempDir(), "elsewhere")}, {other, dest}} {
		_, err := b.Get(within(t), record.Ticket{Set: second.set}, into(second.dest))
		if !errors.Is(err, ErrBusy) {
			t.Errorf("second get: %v, want ErrBusy", err)
		}
	}
	if _, err := b.Registry.Remove(within(t), b.replica(id), true); !errors.Is(err, ErrBusy) {
		t.Errorf("remove: %v, want ErrBusy", err)
	}
	if err := b.Collect(within(t), nil); !errors.Is(err, ErrBusy) {
		t.Errorf("collect: %v, want ErrBusy", err)
	}
	close(goOn)
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if st := b.replica(id).State(); st.Dir != dest {
		t.Errorf("the second get moved the first one's folder to %s", st.Dir)
	}
	sameTree(t, dir, dest)
}

// The set changes while it is fetched, and nobody has the old bytes any more.
func TestGetOfASetThatChanges(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan struct{}), make(chan struct{})
	a := newMember(t, leaves(func(s serving) {
		if s.n == 4 {
			close(inside)
		}
		if s.n >= 4 {
			select {
			case <-goOn:
			case <-s.ctx.Done():
			}
		}
	}))
	dir := bigTree(t, 32, 24)
	write(t, filepath.Join(dir, "second"), noise(9032, 12<<18))
	id := a.share(dir).Replica.Set()
	b, dest, errs := newMember(t, role{}, a), filepath.Join(t.TempDir(), "dest"), make(chan error, 1)
	var got Got
	o := into(dest)
	o.Grace = 0 // longer than it takes to hear of the new revision
	go func() {
		var err error
		got, err = b.Get(within(t), record.Ticket{Set: id}, o)
		errs <- err
	}()
	wait(t, inside, "the fourth leaf")
	write(t, filepath.Join(dir, "large"), noise(9033, 20<<18))
	write(t, filepath.Join(dir, "second"), noise(9034, 12<<18))
	a.share(dir)
	close(goOn)
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if got.Head.Revision != 2 {
		t.Errorf("got revision %d, want 2", got.Head.Revision)
	}
	sameTree(t, dir, dest)
}

// Of a pinned revision that is gone there is no copy, and a newer one does not help.
func TestPinnedRevisionThatIsGone(t *testing.T) {
	t.Parallel()
	dir := bigTree(t, 33, 8)
	a := newMember(t, role{})
	id := a.share(dir).Replica.Set()
	b := newMember(t, role{}, a)
	got := b.fetch(id)
	write(t, filepath.Join(dir, "large"), noise(9035, 8<<18))
	a.share(dir)
	if err := os.Truncate(filepath.Join(got.Dest, "large"), 1<<20); err != nil {
		t.Fatal(err)
	}
	o := into(got.Dest)
	o.Pinned, o.Force, o.Patience = true, true, 2*time.Second
	_, err := b.Get(within(t), record.Ticket{Set: id}, o)
	if !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want ErrTimeout or ErrDamaged", err)
	}
	if h, _ := b.replica(id).Head(); h.Revision != 1 {
		t.Errorf("revision %d, want the pinned one", h.Revision)
	}
}
