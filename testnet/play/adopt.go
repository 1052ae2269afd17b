package play

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Adopt takes up the sets that an earlier network in the same folder has left, so that statements can be about them: those
// whose author has them where a script puts them, the first of each name. What was published then nobody here has seen:
// the bytes in their folders are not checked.
func (s *Stage) Adopt(ctx context.Context) error {
	left := map[*nodes.Node][]api.SetInfo{}
	for _, n := range s.net.Nodes() {
		c, err := running(n)
		if err != nil {
			return fmt.Errorf("adopt sets: %w", err)
		}
		all, err := c.Ls(ctx, api.LsRequest{})
		if err != nil {
			return fmt.Errorf("adopt sets of %s: %w", n.Name, err)
		}
		for _, info := range all.Sets {
			if filepath.Clean(info.Dir) == dir(n, info.Name) {
				left[n] = append(left[n], info)
			}
		}
	}
	for _, n := range s.net.Nodes() {
		for _, info := range left[n] {
			if info.Owner && !slices.Contains(s.Sets(), info.Name) {
				s.adopt(n, info)
			}
		}
	}
	for _, n := range s.net.Nodes() {
		for _, info := range left[n] {
			s.adoptCopy(n, info)
		}
	}
	return nil
}

// adopt takes up a set at its author. What is there now counts as published.
func (s *Stage) adopt(n *nodes.Node, info api.SetInfo) {
	r := api.ShareResult{Set: info.Set, Ticket: info.Ticket, Name: info.Name, Revision: info.Revision, Root: info.Root, Head: info.Head,
		Files: int(info.Files), Bytes: int64(info.Bytes), Durable: info.Durable}
	p := published{PublishResult: api.PublishResult{ShareResult: r}, nth: 1, node: n.Name, at: s.rec.since()}
	x := &set{name: info.Name, id: info.Set, author: n.Name, strict: info.Mode == "strict", size: int64(info.Bytes), last: p, nth: []published{p},
		edited: map[string]bool{}, folder: map[string]*sync.Mutex{}}
	s.mu.Lock()
	s.sets[x.name] = x
	s.mu.Unlock()
	s.rec.set(trace.Set{Name: x.name, ID: x.id, Files: r.Files, Bytes: r.Bytes})
	s.say("%s of %s is there from before: revision %d", x.name, n.Name, r.Revision)
}

// adoptCopy notes that a node has what another one published, or follows it.
func (s *Stage) adoptCopy(n *nodes.Node, info api.SetInfo) {
	name, known := s.setName(info.Set)
	if !known {
		return
	}
	s.oracle.Excuse(dir(n, name), "")
	x, err := s.set(name)
	if err != nil || x.author == n.Name {
		return
	}
	what := "get"
	if info.Following || info.Replicating {
		what = "follow"
	}
	j := s.job(what, n.Name, name)
	if whole(info) {
		j.complete(0)
	}
	j.end()
}
