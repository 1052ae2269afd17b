package judge_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/shoal-p2p/shoal/node/api"
)

// manners are the ways in which a node may be broken.
var manners = map[string]func(api.Service) api.Service{
	"":        func(s api.Service) api.Service { return s },
	"botcher": func(s api.Service) api.Service { return botcher{s} },
	"boaster": func(s api.Service) api.Service { return boaster{s} },
	"usurper": func(s api.Service) api.Service { return usurper{s} },
	"sleeper": func(s api.Service) api.Service { return sleeper{s} },
	"crasher": func(s api.Service) api.Service { return &crasher{Service: s} },
}

// botcher writes a wrong byte into what it fetched, and leaves size and mtime as they are.
type botcher struct{ api.Service }

func (b botcher) Get(ctx context.Context, r api.GetRequest, progress func(api.Progress)) (api.GetResult, error) {
	got, err := b.Service.Get(ctx, r, progress)
	if err != nil {
		return got, err
	}
	name := filepath.Join(got.Dest, "file-1")
	info, err := os.Stat(name)
	if err != nil {
		return got, err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return got, err
	}
	text[len(text)/2] ^= 1
	return got, errors.Join(os.WriteFile(name, text, 0), os.Chtimes(name, info.ModTime(), info.ModTime()))
}

// boaster publishes nothing, and calls it durable. The head it names counts as the next one of its store.
type boaster struct{ api.Service }

func (b boaster) Publish(ctx context.Context, r api.PublishRequest, progress func(api.Progress)) (api.PublishResult, error) {
	if r.Note != "boast" {
		return b.Service.Publish(ctx, r, progress)
	}
	r.DryRun = true
	done, err := b.Service.Publish(ctx, r, progress)
	if err != nil {
		return done, err
	}
	h, err := b.History(ctx, api.HistoryRequest{Set: done.Set})
	if err != nil {
		return done, err
	}
	done.DryRun, done.Durable, done.Head, done.Vector = false, true, "nothing-"+h.Revisions[0].Head, h.Revisions[0].Vector
	for store := range done.Vector {
		done.Vector[store]++
	}
	st, err := b.Status(ctx)
	done.On = []string{st.PeerID}
	return done, err
}

// usurper says that it is primary of whatever epoch there is.
type usurper struct{ api.Service }

func (u usurper) Show(ctx context.Context, set string) (api.SetInfo, error) {
	i, err := u.Service.Show(ctx, set)
	if err != nil {
		return i, err
	}
	st, err := u.Status(ctx)
	i.Role, i.Primary = api.RolePrimary, st.PeerID
	return i, err
}

// sleeper fetches once what it is to follow, and says that it follows.
type sleeper struct{ api.Service }

func (s sleeper) Follow(ctx context.Context, r api.FollowRequest, progress func(api.Progress)) (api.FollowResult, error) {
	got, err := s.Get(ctx, api.GetRequest{Ticket: r.Ticket, Dest: r.Dest}, progress)
	return api.FollowResult{Set: got.Set, Name: got.Name, Dest: got.Dest, Following: true}, err
}

func (s sleeper) Show(ctx context.Context, set string) (api.SetInfo, error) {
	i, err := s.Service.Show(ctx, set)
	i.Following = true
	return i, err
}

// crasher ends when it is asked for something a few times.
type crasher struct {
	api.Service
	asked atomic.Int32
}

func (c *crasher) Show(ctx context.Context, set string) (api.SetInfo, error) {
	if c.asked.Add(1) == 3 {
		fmt.Fprintln(os.Stderr, "fatal: this node is broken")
		os.Exit(2)
	}
	return c.Service.Show(ctx, set)
}
