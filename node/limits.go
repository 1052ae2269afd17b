package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/google/renameio/v2/maybe"
	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore/badgerstore"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/swarm"
)

// limits are the bounds of a node that can change while it runs. Those of sets are in one JSON file of the home, and those of
// the node that were set while it runs, for whoever goes on with its work: they are forgotten at the next start.
type limits struct {
	bandwidth
	file string
	turn sync.Mutex // of who changes them; held while the file is written
	told *savedNode // what was set of the node since it was started; nil = nothing. turn guards it
}

// savedLimits is that file.
type savedLimits struct {
	Sets map[string]savedRates `json:"sets"` // by set id
	Node *savedNode            `json:"node,omitempty"`
}

// savedNode are the limits of the node as a whole.
type savedNode struct {
	savedRates
	LANExempt bool `json:"lan_exempt,omitempty"`
}

// savedRates are in bytes a second; 0 = no limit.
type savedRates struct {
	Up   int64 `json:"up,omitempty"`
	Down int64 `json:"down,omitempty"`
}

// openLimits takes up those of the configuration and those of sets that are remembered in file.
func openLimits(file string, t TransferConfig) (*limits, error) {
	l := &limits{file: file}
	l.set(cid.Undef, t.Up, t.Down)
	l.exempt(t.LANExempt)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	var saved savedLimits
	if err == nil {
		err = json.Unmarshal(b, &saved)
	}
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", file, err)
	}
	for text, r := range saved.Sets {
		set, err := cid.Decode(text)
		if err != nil || r.Up < 0 || r.Down < 0 {
			return nil, fmt.Errorf("load %s: limits of %q are damaged", file, text)
		}
		l.set(set, r.Up, r.Down)
	}
	switch was := saved.Node; {
	case was == nil:
	case was.Up < 0 || was.Down < 0:
		return nil, fmt.Errorf("load %s: limits of the node are damaged", file)
	case t.Inherit:
		l.told = was
		l.bandwidth.set(cid.Undef, was.Up, was.Down)
		l.exempt(was.LANExempt)
	default:
		_ = l.save(cid.Undef, 0, 0) // what stays is looked at by nobody but an heir of this node
	}
	return l, nil
}

// save writes them, with set's as they are to be; cid.Undef for no set. turn is held.
func (l *limits) save(set cid.Cid, up, down int64) error {
	saved := savedLimits{Sets: map[string]savedRates{}, Node: l.told}
	l.mu.RLock()
	for s, r := range l.sets {
		saved.Sets[s.String()] = savedRates{r.up, r.down}
	}
	l.mu.RUnlock()
	if set.Defined() {
		saved.Sets[set.String()] = savedRates{up, down}
		if up == 0 && down == 0 {
			delete(saved.Sets, set.String())
		}
	}
	b, err := json.MarshalIndent(saved, "", "  ")
	if err == nil {
		err = maybe.WriteFile(l.file, append(b, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("remember limits: %w", err)
	}
	return nil
}

// change takes up new limits of a set, or with cid.Undef of the node; nil = as it is.
func (l *limits) change(set cid.Cid, up, down *int64) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	now := l.of(set)
	if up != nil {
		now.up = *up
	}
	if down != nil {
		now.down = *down
	}
	if set.Defined() { // on disk first
		if err := l.save(set, now.up, now.down); err != nil {
			return err
		}
	}
	l.set(set, now.up, now.down)
	return nil
}

// bequeath writes down what the node's limits are now, for who goes on with its work. That a disk is full is no reason not to
// change them.
func (l *limits) bequeath() {
	l.turn.Lock()
	defer l.turn.Unlock()
	now := l.of(cid.Undef)
	l.mu.RLock()
	l.told = &savedNode{savedRates{now.up, now.down}, l.lanExempt}
	l.mu.RUnlock()
	_ = l.save(cid.Undef, 0, 0)
}

// forget drops the limits of a set that is not here any more.
func (l *limits) forget(set cid.Cid) error {
	if now := l.of(set); now.up == 0 && now.down == 0 {
		return nil
	}
	none := int64(0)
	return l.change(set, &none, &none)
}

func (l *limits) of(set cid.Cid) rates {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !set.Defined() {
		return l.node
	}
	return l.sets[set]
}

// Limits implements api.Limiter.
func (n *Node) Limits(context.Context) (api.Limits, error) {
	out := api.Limits{Sets: []api.SetLimits{}, MaxConnections: cmp.Or(n.cfg.Net.MaxConnections, swarm.DefaultMaxConnections), MaxSize: n.cfg.Store.MaxSize}
	all := n.limits.of(cid.Undef)
	out.Up, out.Down = all.up, all.down
	n.limits.mu.RLock()
	out.LANExempt = n.limits.lanExempt
	n.limits.mu.RUnlock()
	for _, rep := range n.sets.Replicas() {
		if r := n.limits.of(rep.Set()); r.up > 0 || r.down > 0 {
			out.Sets = append(out.Sets, api.SetLimits{Set: rep.Set().String(), Name: rep.State().Name, Up: r.up, Down: r.down})
		}
	}
	var err error
	out.Size, err = n.ownSize()
	return out, explain(err)
}

// SetLimits implements api.Limiter.
func (n *Node) SetLimits(ctx context.Context, q api.LimitsRequest) (api.Limits, error) {
	for _, r := range []*int64{q.Up, q.Down} {
		if r != nil && *r != 0 && *r < api.LeastRate {
			return api.Limits{}, usage("bad_rate", fmt.Sprintf("the least is %d, and 0 is no limit", api.LeastRate),
				"a limit of %d bytes a second is too little to work with", *r)
		}
	}
	set := cid.Undef
	if q.Set != "" {
		if q.LANExempt != nil {
			return api.Limits{}, usage("not_of_a_set", "", "lan_exempt is the node's, not a set's")
		}
		rep, err := n.sets.Resolve(q.Set)
		if err != nil {
			return api.Limits{}, explain(err)
		}
		set = rep.Set()
	}
	if err := n.limits.change(set, q.Up, q.Down); err != nil {
		return api.Limits{}, explain(err)
	}
	if q.LANExempt != nil {
		n.limits.exempt(*q.LANExempt)
	}
	if q.Set == "" {
		n.limits.bequeath()
	}
	return n.Limits(ctx)
}

// ownSize is what the node's own state takes: the store on disk, and beside it everything in the home by its length, also
// what of a folder of the node's own is still to come.
func (n *Node) ownSize() (int64, error) {
	size, err := n.store.DiskBytes()
	if err != nil {
		return 0, err
	}
	err = filepath.WalkDir(n.home.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone meanwhile
		case err != nil:
			return err
		case path == n.home.store():
			return filepath.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		st, err := d.Info()
		if err == nil {
			size += st.Size()
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure home: %w", err)
	}
	return size, nil
}

// folderSpace is replica.Config.FreeSpace: what may still be written below a folder. Where the node's own state has
// reached its quota nothing more is fetched, wherever to; below it, only what goes into the home counts. It is looked at
// when a fetch begins: several that begin at once may pass it together.
func (n *Node) folderSpace() func(dir string) (int64, error) {
	space := n.cfg.Bed.folderSpace()
	if n.cfg.Store.MaxSize <= 0 {
		return space
	}
	if space == nil {
		space = badgerstore.FreeSpace
	}
	return func(dir string) (int64, error) {
		free, err := space(dir)
		if err != nil {
			return 0, err
		}
		size, err := n.ownSize()
		if err != nil {
			return 0, err
		}
		left := max(n.cfg.Store.MaxSize-size, 0)
		if inside, err := filepath.Rel(n.home.dir, dir); left == 0 || err == nil && filepath.IsLocal(inside) {
			free = min(free, left)
		}
		return free, nil
	}
}
