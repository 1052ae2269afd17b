package council

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/node/slots"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
)

var errDisk = errors.New("input/output error")

// badFile fails to save while bad is set.
type badFile struct {
	file
	bad *atomic.Bool
}

func (f badFile) Save(b []byte) error {
	if f.bad.Load() {
		return errDisk
	}
	return f.file.Save(b)
}

// failing lets a node's disk fail while the flag is set, from the next start on.
func (n *node) failing(bad *atomic.Bool) {
	n.opener = func(dir string, set cid.Cid) (*store, []byte, error) {
		s, value, err := openStore(dir, set)
		if err == nil {
			s.file = badFile{s.file, bad}
		}
		return s, value, err
	}
}

func TestRestart(t *testing.T) {
	for _, mode := range []election.Mode{election.AP, election.Strict} {
		synctest.Test(t, func(t *testing.T) {
			w := begin(t, 3, mode)
			defer w.end()
			p, _ := w.settle()
			p.publish(1)
			w.until(3*time.Second, "agreement", w.agreed)
			epoch, best := p.view().Epoch, p.view().Best
			for _, n := range w.nodes {
				n.kill(false)
			}
			for _, n := range w.nodes {
				n.restart()
			}
			for _, n := range w.nodes {
				w.until(time.Second, "view", func() bool { _, ok := n.co.View(setID(0)); return ok })
				if v := n.view(); v.Best != best || v.Epoch.Compare(epoch) != 0 || v.Have[0].Sealed == nil {
					t.Errorf("node %d comes back with %v of epoch %v, had %v of %v", n.i, v.Best, v.Epoch, best, epoch)
				}
			}
			p, _ = w.settle()
			if p.view().Epoch.Compare(epoch) <= 0 {
				t.Errorf("epoch %v after %v", p.view().Epoch, epoch)
			}
			p.publish(2)
			w.until(3*time.Second, "agreement", w.agreed)
			w.includes(1, 2)
		})
	}
}

func TestDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		defer w.end()
		bad := &atomic.Bool{}
		for _, n := range w.nodes {
			n.failing(bad)
		}
		w.start(w.config(1, election.AP, 0, 1, 2), 0, 1, 2)
		p, _ := w.settle()
		p.publish(1)
		w.until(3*time.Second, "agreement", w.agreed)
		for _, n := range w.nodes { // only p's file is a bad one from now on
			if n != p {
				n.kill(false)
				n.opener = nil
				n.restart()
			}
		}
		w.until(5*time.Second, "agreement", w.agreed)
		victim := slices.IndexFunc(w.nodes, func(n *node) bool { return n.opener != nil })
		v := w.nodes[victim]
		bad.Store(true)
		v.co.Tell(setID(0), election.PromoteRequested{}) // if it is not primary it has something to write now
		time.Sleep(time.Second)
		v.co.Tell(setID(0), election.Proposed{ID: 2})
		w.until(3*time.Second, "answer", func() bool { return v.seat0().noted("refused 2") })
		if view := v.view(); !view.Halted || len(view.Alarms) != 1 || view.Alarms[0].Kind != election.DiskFailed {
			t.Errorf("halted %v, alarms %v", view.Halted, view.Alarms)
		}
		if v.seat0().noted("accepted 2") {
			t.Error("accepted what is not on disk")
		}
		var next *node
		w.until(5*time.Second, "failover", func() bool {
			ps := slices.DeleteFunc(w.primaries(), func(i int) bool { return i == victim })
			if len(ps) == 1 {
				next = w.nodes[ps[0]]
			}
			return next != nil
		})
		next.publish(3)
		v.co.Tell(setID(0), election.Proposed{ID: 4})
		w.until(time.Second, "answer", func() bool { return v.seat0().noted("refused 4") })
		bad.Store(false)
		w.until(maxMend+5*time.Second, "recovery", w.agreed)
		w.includes(1, 3)
	})
}

func TestWiped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.AP)
		defer w.end()
		p, _ := w.settle()
		p.publish(1)
		w.until(3*time.Second, "agreement", w.agreed)
		time.Sleep(2 * time.Second)
		p.kill(true)
		p.wipe()
		p.restart()
		w.until(5*time.Second, "agreement", w.agreed)
		w.includes(1)
		next, _ := w.settle()
		next.publish(2)
		w.until(5*time.Second, "agreement", w.agreed)
		w.includes(1, 2)
		if alarms := p.view().Alarms; len(alarms) > 0 {
			t.Errorf("alarms %v", alarms)
		}
	})
}

// TestPutBack restores a home from a copy: the store finds out from the others and is read-only.
func TestPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.AP)
		defer w.end()
		p, _ := w.settle()
		p.publish(1)
		time.Sleep(2 * time.Second)
		path := filepath.Join(p.dir, setID(0).String()+stateExt)
		p.kill(true)
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		boot := p.boot
		p.restart()
		w.settle()
		time.Sleep(10 * time.Second)
		p.kill(true)
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
		p.boot = boot
		p.restart()
		w.until(20*time.Second, "alarm", func() bool {
			v, _ := p.co.View(setID(0))
			return v.Halted && len(v.Alarms) == 1 && v.Alarms[0].Kind == election.Cloned
		})
	})
}

// TestClone runs a copy of a home beside the original: both have one identity, one store and one boot number.
func TestClone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.AP)
		defer w.end()
		p, backup := w.settle()
		p.publish(1)
		time.Sleep(20 * time.Second)
		// The copy is on the network in the place of the original until it is heard, then both are.
		copied := &node{w: w, i: p.i, id: p.id, dir: t.TempDir(), boot: p.boot - 1, seats: map[cid.Cid]*seat{}}
		if err := os.CopyFS(copied.dir, os.DirFS(p.dir)); err != nil {
			t.Fatal(err)
		}
		copied.seats[setID(0)] = &seat{n: copied, set: setID(0), cfg: p.seat0().cfg, heads: p.seat0().heads}
		copied.start()
		copied.sit(setID(0), p.seat0().cfg)
		w.mu.Lock()
		w.twin = copied
		w.mu.Unlock()
		defer copied.stop()
		w.until(20*time.Second, "alarm", func() bool {
			v, _ := copied.co.View(setID(0))
			return v.Halted
		})
		if v := backup.view(); v.Halted {
			t.Error("the other voter is halted")
		}
	})
}

func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 2, election.AP)
		defer w.end()
		p, _ := w.settle()
		if err := p.co.Sit(p.seat0()); !errors.Is(err, ErrSeated) {
			t.Errorf("seated twice: %v", err)
		}
		p.kill(false)
		path := filepath.Join(p.dir, setID(0).String()+stateExt)
		if err := os.WriteFile(path, []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.start()
		if err := p.co.Sit(p.seat0()); !errors.Is(err, slots.ErrLost) {
			t.Errorf("sits down with %v", err)
		}
		if _, ok := p.co.View(setID(0)); ok {
			t.Error("a set that is not seated has a view")
		}
		if err := p.co.Rise(setID(0), true); err != nil {
			t.Fatal(err)
		}
		p.store++
		p.sit(setID(0), p.seat0().cfg)
		w.until(5*time.Second, "agreement", w.agreed)
		if err := p.co.Rise(setID(0), false); err != nil {
			t.Fatal(err)
		}
		p.store++
		if err := p.co.Sit(p.seat0()); !errors.Is(err, ErrOtherStore) {
			t.Errorf("another store sits down with %v", err)
		}
		left, err := os.ReadDir(p.dir)
		if err != nil || len(left) != 1 {
			t.Errorf("left are %v, %v", left, err)
		}
	})
}

// TestHang: a member whose disk hangs must not look alive, though its node is.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.AP)
		defer w.end()
		p, backup := w.settle()
		time.Sleep(3 * time.Second)
		s := p.seat0()
		s.mu.Lock()
		s.hang = make(chan struct{})
		s.mu.Unlock()
		p.co.Tell(setID(0), election.Proposed{ID: 1})
		w.until(4*time.Second, "failover", func() bool { return backup.view().Role == election.Primary })
		backup.publish(2)
		s.mu.Lock()
		hang := s.hang
		s.hang = nil
		s.mu.Unlock()
		close(hang)
		w.until(5*time.Second, "agreement", w.agreed)
		w.includes(2)
	})
}

// TestLatePulls lets a node pull nothing for a while: beacons alone keep it from taking over, and it
// catches up.
func TestLatePulls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.AP)
		defer w.end()
		p, backup := w.settle()
		p.publish(1)
		time.Sleep(2 * time.Second)
		epoch := p.view().Epoch
		backup.lost = true
		p.publish(2)
		time.Sleep(3 * time.Second)
		if v := backup.view(); v.Epoch.Compare(epoch) != 0 || len(v.Known) != 1 || len(content(v.Known[0].Sealed)) != 1 {
			t.Errorf("epoch %d.%d after %d.%d", v.Epoch.ConfigVersion, v.Epoch.N, epoch.ConfigVersion, epoch.N)
		}
		backup.lost = false
		w.until(5*time.Second, "agreement", w.agreed)
		w.includes(1, 2)
	})
}

// TestTwoConfigs: the owner signed two configs with one version.
func TestTwoConfigs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 2, election.AP)
		defer w.end()
		p, backup := w.settle()
		a, b := w.config(2, election.AP, 0, 1), w.config(2, election.AP, 0, 1)
		b.Hash += "b"
		p.seat0().setConfig(a)
		p.co.Reconfigured(setID(0))
		backup.seat0().setConfig(b)
		backup.co.Reconfigured(setID(0))
		time.Sleep(2 * time.Second)
		w.until(5*time.Second, "agreement", w.agreed)
		if got := p.seat0().Config().Hash; got != b.Hash {
			t.Errorf("config %s won", got)
		}
		if alarms := p.view().Alarms; len(alarms) != 1 || alarms[0].Kind != election.TwoConfigs {
			t.Errorf("alarms are %v", alarms)
		}
		w.nodes[w.primaries()[0]].publish(1)
	})
}

// TestRise: a set that is given up at one node is led by another, and nothing of it is called any more.
func TestRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 3, election.AP)
		defer w.end()
		p, _ := w.settle()
		s := p.seat0()
		if err := p.co.Rise(setID(0), true); err != nil {
			t.Fatal(err)
		}
		calls := len(s.views)
		if p.co.Tell(setID(0), election.Proposed{ID: 1}) {
			t.Error("told a seat that is empty")
		}
		p.co.Frame(nodeID(1), wirecouncil.Frame{Set: setID(0), Instance: instance(1, 0)})
		delete(p.seats, setID(0))
		w.until(5*time.Second, "agreement", w.agreed)
		if len(s.views) != calls {
			t.Error("the seat was called after it was given up")
		}
		if p.room(topic) != nil {
			t.Error("the topic was not left")
		}
		if _, err := os.Stat(filepath.Join(p.dir, setID(0).String()+stateExt)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("state: %v", err)
		}
		p.sit(setID(0), s.cfg)
		w.until(5*time.Second, "agreement", w.agreed)
	})
}

func TestRedialsWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 2, election.AP)
		defer w.end()
		p, backup := w.settle()
		time.Sleep(3 * time.Second)
		backup.redialled()
		begun := time.Now()
		p.kill(true)
		time.Sleep(3 * time.Second)
		var at []string
		for _, r := range backup.redialled() {
			at = append(at, fmt.Sprint(r.at.Sub(begun).Round(10*ms)))
		}
		if want := []string{"200ms", "500ms", "1.5s", "2.5s"}; !slices.Equal(at, want) {
			t.Errorf("redialled at %v, want %v", at, want)
		}
		p.restart()
		w.settle()
		time.Sleep(time.Second)
		backup.redialled()
		time.Sleep(10 * time.Second)
		if got := backup.redialled(); len(got) > 0 {
			t.Errorf("redialled at %v though it is there", got)
		}
		w.split([]int{0}, []int{1}, false)
		time.Sleep(4 * time.Second)
		if got := backup.redialled(); len(got) < 4 {
			t.Errorf("redialled at %v", got)
		}
	})
}
