package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/shoal-p2p/shoal/node/api"
)

// fakeHost is a node without a network: sets lie in HOME/fake.json, and the folder that the variable
// FAKE_NET names stands for the swarm, so that commands in other processes and homes see what was shared.
type fakeHost struct {
	cfg    hostConfig
	ready  chan struct{}
	getenv func(string) string

	mu sync.Mutex // guards the files of the home

	listening sync.Mutex // guards listeners
	listeners map[int]func(api.Event)
}

func newFakeHost(getenv func(string) string) func(hostConfig) (host, error) {
	return func(cfg hostConfig) (host, error) {
		if getenv("FAKE_NEW_ERROR") != "" {
			return nil, &api.Error{Code: "store_damaged", ExitCode: api.ExitStore, Title: "the store is damaged", Detail: "MANIFEST", Hint: "`node verify`"}
		}
		return &fakeHost{cfg: cfg, ready: make(chan struct{}), getenv: getenv}, nil
	}
}

func (f *fakeHost) Ready() <-chan struct{} { return f.ready }

func (f *fakeHost) Run(ctx context.Context) error {
	switch f.getenv("FAKE_RUN") {
	case "error":
		return errors.New("listen: address in use")
	case "panic":
		panic("run broke")
	case "ends":
		close(f.ready)
		return errors.New("the radio caught fire")
	}
	tell(f.getenv("FAKE_READY"))
	close(f.ready)
	<-ctx.Done()
	return ctx.Err()
}

// tell writes to a named pipe: it returns when somebody has read.
func tell(pipe string) {
	if pipe != "" {
		_ = os.WriteFile(pipe, []byte("x"), 0o600)
	}
}

func (f *fakeHost) file() string { return filepath.Join(f.cfg.Home, "fake.json") }

func (f *fakeHost) load() (map[string]api.SetInfo, error) {
	sets := map[string]api.SetInfo{}
	b, err := os.ReadFile(f.file())
	if errors.Is(err, fs.ErrNotExist) {
		return sets, nil
	}
	if err != nil {
		return nil, err
	}
	return sets, json.Unmarshal(b, &sets)
}

func (f *fakeHost) put(s api.SetInfo) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	sets, err := f.load()
	if err != nil {
		return err
	}
	sets[s.Set] = s
	return f.save(sets)
}

func (f *fakeHost) save(sets map[string]api.SetInfo) error {
	b, err := json.Marshal(sets)
	if err != nil {
		return err
	}
	return os.WriteFile(f.file(), b, 0o600)
}

func (f *fakeHost) find(name string) (api.SetInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sets, err := f.load()
	if err != nil {
		return api.SetInfo{}, err
	}
	for id, s := range sets {
		if strings.HasPrefix(id, name) || s.Name == name || s.Dir == name {
			return s, nil
		}
	}
	return api.SetInfo{}, &api.Error{Code: "unknown_set", ExitCode: api.ExitNotFound, Title: "no such set here", Detail: name, Hint: "`node ls`"}
}

func (f *fakeHost) Share(ctx context.Context, r api.ShareRequest, progress func(api.Progress)) (api.ShareResult, error) {
	if f.getenv("FAKE_PANIC") != "" {
		panic("share broke")
	}
	name := r.Name
	if name == "" {
		name = filepath.Base(r.Path)
	}
	var files int
	var bytes int64
	err := filepath.WalkDir(r.Path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			info, statErr := d.Info()
			files, bytes, err = files+1, bytes+info.Size(), statErr
		}
		return err
	})
	if err != nil {
		return api.ShareResult{}, err
	}
	progress(api.Progress{Phase: "scan", BytesDone: bytes, BytesTotal: bytes, Files: files})
	s := api.SetInfo{Set: "set-" + name, Name: name, Revision: 1, Root: "root-" + name, Dir: r.Path, State: "shared",
		Role: "primary", Files: uint64(files), Bytes: uint64(bytes), Public: true, Owner: true, Ticket: "shoal1" + name, Holders: 2,
		Primary: "12D3KooWFake", Epoch: "1.1", Mode: "ap"}
	if r.Strict {
		s.Mode = "strict"
	}
	if f.getenv("FAKE_TROUBLE") != "" {
		s.Backup, s.Stale, s.Behind, s.Forks, s.Alarms = fakeOther, true, 2, 1, []string{"two stores\nunder one id"}
	}
	if err := f.put(s); err != nil {
		return api.ShareResult{}, err
	}
	if f.getenv("FAKE_NET") == "" {
		return api.ShareResult{}, errors.New("FAKE_NET is to name a folder: the working folder is the source's")
	}
	if err := os.WriteFile(filepath.Join(f.getenv("FAKE_NET"), name), []byte(r.Path), 0o600); err != nil {
		return api.ShareResult{}, err
	}
	res := api.ShareResult{Set: s.Set, Ticket: s.Ticket, Name: name, Revision: 1, Root: s.Root, Files: files, Bytes: bytes, BytesNew: bytes, Holders: 1, Seconds: 0.5,
		On: []string{}, Primary: "12D3KooWFake", Alone: true, Private: r.Private}
	if f.getenv("FAKE_SKIP") != "" {
		res.Skipped = []api.Skipped{{Path: "evil\u202ename", Reason: "not permitted"}}
	}
	if r.Watch {
		f.watched(res)
	}
	return res, ctx.Err()
}

func (f *fakeHost) Get(ctx context.Context, r api.GetRequest, progress func(api.Progress)) (api.GetResult, error) {
	if f.getenv("FAKE_PANIC") != "" {
		panic("get broke")
	}
	name, ok := strings.CutPrefix(r.Ticket, "shoal1")
	if !ok {
		return api.GetResult{}, &api.Error{Code: "bad_ticket", ExitCode: api.ExitUsage, Title: "not a ticket", Detail: r.Ticket, Hint: "`node help tickets`"}
	}
	progress(api.Progress{Phase: "fetch", BytesTotal: 100})
	if r.Plan {
		return f.plan(r, name), nil
	}
	attempt := filepath.Join(f.cfg.Home, "attempt")
	if _, err := os.Stat(attempt); err != nil && f.getenv("FAKE_BLOCK") != "" {
		if err := os.WriteFile(attempt, nil, 0o600); err != nil {
			return api.GetResult{}, err
		}
		tell(f.getenv("FAKE_BLOCK"))
		<-ctx.Done()
		return api.GetResult{}, ctx.Err()
	}
	src, err := os.ReadFile(filepath.Join(f.getenv("FAKE_NET"), name))
	if err != nil {
		return api.GetResult{}, &api.Error{Code: "no_providers", ExitCode: api.ExitNotFound, Title: "nobody has this set", Detail: "asked 0 peers", Hint: "`node peers`", Retryable: true}
	}
	dest := r.Dest
	if dest == "" {
		dest = filepath.Join(r.Cwd, name)
	}
	res := api.GetResult{Set: "set-" + name, Name: name, Revision: 1, Root: "root-" + name, Dest: dest, Files: 1, BytesTotal: 100, Sources: 2, Seconds: 1.25}
	if _, err := os.Stat(filepath.Join(dest, "mine")); err == nil && !r.Force {
		return api.GetResult{}, &api.Error{Code: "conflict", ExitCode: api.ExitConflict, Title: "would overwrite files", Detail: "mine", Hint: "--force"}
	}
	if err := os.CopyFS(dest, os.DirFS(string(src))); err != nil && !errors.Is(err, fs.ErrExist) {
		return api.GetResult{}, err
	}
	res.BytesFetched, res.WireIn, res.WireOut, res.Changed = 100, 120, 30, true
	if r.Rev > 0 {
		res.Revision = r.Rev
	}
	if res.Only = r.Only; r.Only != nil {
		return res, nil // nothing is remembered of it
	}
	return res, f.put(api.SetInfo{Set: res.Set, Name: name, Revision: 1, Root: res.Root, Dir: dest, State: "complete", Role: "reader", Files: 1, Bytes: 100, Public: true})
}

func (f *fakeHost) Ls(_ context.Context, r api.LsRequest) (api.LsResult, error) {
	if r.Set == "" {
		f.mu.Lock()
		defer f.mu.Unlock()
		sets, err := f.load()
		var res api.LsResult
		for _, s := range sets {
			res.Sets = append(res.Sets, s)
		}
		return res, err
	}
	s, err := f.find(r.Set)
	if err != nil {
		return api.LsResult{}, err
	}
	return api.LsResult{Entries: []api.Entry{
		{Path: r.Path + "a.txt", Kind: "file", Size: int64(s.Bytes), Mode: "0644", Mtime: "2026-01-02T03:04:05Z", Cid: "bafk"},
		{Path: "evil\x1b[2J", Kind: "symlink", Cid: "bafy", Mode: "0777", Target: "a.txt"},
	}}, nil
}

func (f *fakeHost) Show(_ context.Context, set string) (api.SetInfo, error) { return f.find(set) }

func (f *fakeHost) Status(ctx context.Context) (api.Status, error) {
	l, err := f.Ls(ctx, api.LsRequest{})
	return api.Status{PeerID: "12D3KooWFake", Owner: "owner-fp", Listen: append([]string{"/ip4/127.0.0.1/tcp/4581/p2p/12D3KooWFake"}, f.cfg.Bootstrap...),
		Version: f.cfg.Version, API: api.SocketPath(f.cfg.Home), Home: f.cfg.Home, UptimeSeconds: 61, Sets: l.Sets,
		Peers: []api.PeerInfo{{PeerID: "12D3KooWOther", Addr: "/ip4/10.0.0.2/tcp/4581", Transport: "tcp", RTTms: 1.5, Agent: "shoal/1", Role: "seeder"}}}, err
}

func (f *fakeHost) Verify(ctx context.Context, r api.VerifyRequest, progress func(api.Progress)) (api.VerifyResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.VerifyResult{}, err
	}
	if pipe := f.getenv("FAKE_VERIFY_WAIT"); pipe != "" {
		tell(pipe)
		_, _ = os.ReadFile(pipe)
	}
	progress(api.Progress{Phase: "check", BytesDone: int64(s.Bytes), BytesTotal: int64(s.Bytes)})
	res := api.VerifyResult{Set: s.Set, Blocks: 3, Bytes: int64(s.Bytes)}
	if f.getenv("FAKE_DAMAGE") != "" {
		res.Damaged, res.Files = 1, []string{"a.txt"}
		if r.Heal {
			res.Healed = 1
		}
	}
	return res, nil
}

func (f *fakeHost) Rm(_ context.Context, r api.RmRequest) (api.RmResult, error) {
	s, err := f.find(r.Set)
	if err != nil {
		return api.RmResult{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	sets, err := f.load()
	if err != nil {
		return api.RmResult{}, err
	}
	delete(sets, s.Set)
	return api.RmResult{Set: s.Set, Name: s.Name}, f.save(sets)
}

func (f *fakeHost) GC(context.Context) (api.GCResult, error) {
	return api.GCResult{Blocks: 4, Bytes: 4096, DiskBytes: 1 << 20}, nil
}
