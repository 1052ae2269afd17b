package play

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/testnet/judge"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/oracle"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// snapshot is what a folder held when it was published.
type snapshot = oracle.Snapshot

const (
	// patrolPause is between the folders that are read while the script runs.
	patrolPause = time.Second
	// patrolShare bounds the time that this takes: one part reading, nineteen of rest.
	patrolShare = 19
)

// patrol reads one folder after the other, all the time: a wrong byte is to be found also if it is right in the end.
func (s *Stage) patrol(ctx context.Context) {
	for {
		for _, name := range s.Sets() {
			for _, n := range s.net.Nodes() {
				began := time.Now()
				if s.look(ctx, name, n, nil) != nil && ctx.Err() == nil {
					continue // the folder is not there yet, or goes away
				}
				if pass(ctx, patrolShare*time.Since(began)) != nil {
					return
				}
			}
		}
		if pass(ctx, patrolPause) != nil {
			return
		}
	}
}

// look reads a node's folder of a set. final is what it must equal; nil = each file must be one that was published.
func (s *Stage) look(ctx context.Context, set string, n *nodes.Node, final *snapshot) error {
	wrong, err := s.differs(ctx, set, n, final)
	if err != nil {
		return err
	}
	for _, w := range wrong {
		s.rec.observe(func(at time.Duration) judge.Observation {
			return judge.OnDisk{At: at, Node: n.Name, Set: set, Path: w.Path, Detail: w.Detail}
		})
	}
	return nil
}

// differs is what in a node's folder should be different.
func (s *Stage) differs(ctx context.Context, set string, n *nodes.Node, final *snapshot) ([]oracle.Wrong, error) {
	folder := dir(n, set)
	if _, err := os.Stat(folder); err != nil {
		return nil, err
	}
	wrong, err := s.oracle.Check(ctx, set, folder, final)
	if err != nil {
		return nil, fmt.Errorf("look at the files of %s: %w", n.Name, err)
	}
	return wrong, nil
}

// folderPatience is how long a folder may be behind what its node has: a replica acknowledges a revision before it
// brings its folder there.
const folderPatience = 20 * time.Second

// complete waits until a node's folder holds what was acknowledged, or reports what it lacks.
func (s *Stage) complete(ctx context.Context, x *set, n *nodes.Node) error {
	if n.Name == x.author || !s.keeps(n, x) {
		return nil // an author's folder is its own; what was fetched once stays as it is
	}
	for end := s.rec.since() + folderPatience; ; {
		lost, err := s.oracle.Lost(ctx, x.name, dir(n, x.name))
		if err != nil || len(lost) == 0 {
			return err
		}
		if s.rec.since() >= end {
			for _, w := range lost {
				s.rec.observe(func(at time.Duration) judge.Observation {
					return judge.Lost{At: at, Node: n.Name, Set: x.name, Path: w.Path, Detail: w.Detail}
				})
			}
			return nil
		}
		if err := pass(ctx, 10*askEvery); err != nil {
			return err
		}
	}
}

// equal waits until a node's folder is what it must be, or reports how it is not.
func (s *Stage) equal(ctx context.Context, x *set, n *nodes.Node) error {
	for end := s.rec.since() + folderPatience; ; {
		final := s.mustEqual(ctx, n, x)
		if final == nil || s.rec.since() >= end {
			return s.look(ctx, x.name, n, final)
		}
		if wrong, err := s.differs(ctx, x.name, n, final); err != nil || len(wrong) == 0 {
			return err
		}
		if wrong, err := s.differs(ctx, x.name, n, nil); err != nil || len(wrong) > 0 { // no time makes it right
			return errors.Join(err, s.look(ctx, x.name, n, final))
		}
		if err := pass(ctx, 10*askEvery); err != nil {
			return err
		}
	}
}

// everyFile compares every file of every node.
func (s *Stage) everyFile(ctx context.Context) error {
	for _, name := range s.Sets() {
		x, err := s.set(name)
		if err != nil {
			return err
		}
		for _, n := range s.net.Nodes() {
			err := s.equal(ctx, x, n)
			if errors.Is(err, fs.ErrNotExist) && (!s.keeps(n, x) || n.State() != nodes.Running) {
				continue // it has nothing of the set
			}
			if err == nil {
				err = s.complete(ctx, x, n)
			}
			if err != nil {
				return err
			}
			all, err := regular(dir(n, name))
			if err != nil {
				return err
			}
			s.rec.mu.Lock()
			s.rec.seen.files += len(all)
			s.rec.mu.Unlock()
		}
	}
	return nil
}

// mustEqual is what a node's folder has to be; nil where only its single files can be judged: an author's folder is its
// own, one that was edited has copies of what conflicted, and what a merge made nobody published.
func (s *Stage) mustEqual(ctx context.Context, n *nodes.Node, x *set) *snapshot {
	x.mu.Lock()
	edited := x.edited[n.Name]
	x.mu.Unlock()
	info, err := s.show(ctx, n, x)
	if edited || n.Name == x.author || err != nil || !whole(info) {
		return nil
	}
	snap, ok := s.oracle.Snapshot(x.name, info.Root)
	if !ok {
		return nil
	}
	return &snap
}

// corrupt flips bits on disks.
func (s *Stage) corrupt(ctx context.Context, do script.Corrupt, random *rand.Rand) error {
	return s.each(ctx, do.Who, func(n *nodes.Node) error {
		folder := filepath.Join(n.Home, "store")
		if do.Set != "" {
			folder = dir(n, do.Set)
		}
		files, err := damageable(folder, do.Set == "")
		if err != nil {
			return err
		}
		for range max(do.Times, 1) {
			if len(files) == 0 {
				return errors.New("there is no file to damage; a store has tables once its node was stopped")
			}
			if err := s.damage(n, do.Set, folder, files[random.IntN(len(files))], random); err != nil {
				return err
			}
		}
		return nil
	})
}

// damage flips one bit of one file. What the scenario broke nobody is blamed for.
func (s *Stage) damage(n *nodes.Node, set, folder, name string, random *rand.Rand) error {
	if set != "" {
		s.oracle.Excuse(folder, name)
	} else {
		s.mu.Lock()
		s.rotten[n.Name] = true
		s.mu.Unlock()
		s.rec.observe(func(at time.Duration) judge.Observation {
			return judge.Damaged{At: at, Node: n.Name, Peer: n.PeerID}
		})
	}
	at, err := flip(filepath.Join(folder, name), random)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("a bit of %s at %s", name, bytes(at))
	s.rec.event(trace.Event{Kind: trace.Damaged, Node: n.Name, Set: set, Text: text})
	s.say("%s: %s", n.Name, text)
	return nil
}

// damageable lists the files of a folder that hold something. Of a store these are its tables: what it writes at this
// moment lies in others.
func damageable(folder string, store bool) ([]string, error) {
	all, err := regular(folder)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(name string) bool {
		info, err := os.Stat(filepath.Join(folder, name))
		return err != nil || info.Size() == 0 || store && !strings.HasSuffix(name, ".sst")
	}), nil
}
