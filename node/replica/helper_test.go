package replica

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"log/slog"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
	"github.com/shoal-p2p/shoal/discovery/static"
	"github.com/shoal-p2p/shoal/node/swarm"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	proposals "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// limit is the upper bound of everything a test waits for; nothing comes near it unless it hangs.
const limit = 30 * time.Second

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func newKey(t testing.TB) crypto.PrivKey {
	t.Helper()
	k, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// member is a node reduced to what package replica knows of one: a host, a store and a registry.
type member struct {
	council *proposals.Client
	*Registry
	t     testing.TB
	host  *swarm.Swarm
	cfg   Config
	sent  atomic.Int64  // payload bytes of blocks
	peers static.Peers  // whom its finder names
	bans  chan struct{} // closed at the first ban
	wire  wireBytes
	down  chunks.Limiter

	mu     sync.Mutex // guards what follows
	banned map[peer.ID]string
	served map[peer.ID]bool
	keys   map[cid.Cid]bool // announced
}

// wireBytes counts the bytes on the streams of our protocols.
type wireBytes struct {
	metrics.Reporter // nil: the rest is never asked for
	in, out          atomic.Int64
	got, sent        atomic.Int64 // of blocks and patches
}

func (w *wireBytes) LogSentMessageStream(n int64, p protocol.ID, _ peer.ID) {
	if strings.HasPrefix(string(p), "/shoal/") {
		w.out.Add(n)
	}
	if p == chunks.ID || p == delta.ID {
		w.sent.Add(n)
	}
}
func (w *wireBytes) LogRecvMessageStream(n int64, p protocol.ID, _ peer.ID) {
	if strings.HasPrefix(string(p), "/shoal/") {
		w.in.Add(n)
	}
	if p == chunks.ID || p == delta.ID {
		w.got.Add(n)
	}
}
func (w *wireBytes) LogSentMessage(int64) {}
func (w *wireBytes) LogRecvMessage(int64) {}

// role changes how a member serves.
type role struct {
	source  func(chunks.Source) chunks.Source
	catalog func(list.Catalog) list.Catalog
	deltas  func(delta.Source) delta.Source
	store   Store
	limiter chunks.Limiter
	down    chunks.Limiter
	host    func(*swarm.Config) // where it is
}

func newMember(t testing.TB, r role, knows ...*member) *member {
	t.Helper()
	m := &member{t: t, bans: make(chan struct{}), banned: map[peer.ID]string{}, served: map[peer.ID]bool{}, keys: map[cid.Cid]bool{}}
	key, owner := newKey(t), newKey(t)
	if r.store == nil {
		r.store = memstore.New()
	}
	m.cfg = Config{Store: r.store, Home: t.TempDir(), Dir: t.TempDir(), Segments: filepath.Join(t.TempDir(), "segments"), Key: key, OwnerKey: func() (crypto.PrivKey, error) { return owner, nil },
		Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	m.down = r.down
	where := swarm.Config{Key: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Protocols: []protocol.ID{list.ID, chunks.ID, delta.ID}, Bandwidth: &m.wire}
	if r.host != nil {
		r.host(&where)
	}
	host, err := swarm.New(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	m.host, m.council = host, proposals.New(host, m.cfg.Log)
	for _, k := range knows {
		m.peers = append(m.peers, k.host.AddrInfo())
	}
	m.reopen()
	var source chunks.Source = current{m}
	if r.source != nil {
		source = r.source(source)
	}
	var catalog list.Catalog = current{m}
	if r.catalog != nil {
		catalog = r.catalog(catalog)
	}
	stopList := list.Register(host, catalog, m.cfg.Log)
	stopChunks := chunks.Register(host, source, chunks.ServerOptions{Limit: func(network.Conn, cid.Cid) chunks.Limiter { return r.limiter }, Sent: func(p peer.ID, n int) {
		m.sent.Add(int64(n))
		m.mu.Lock()
		defer m.mu.Unlock()
		m.served[p] = true
	}})
	var deltas delta.Source = currentDeltas{m}
	if r.deltas != nil {
		deltas = r.deltas(deltas)
	}
	stopDelta := delta.Register(host, deltas, delta.ServerOptions{})
	t.Cleanup(func() {
		m.council.Close()
		host.Close()
		m.Wait()
		stopDelta()
		stopChunks()
		stopList()
	})
	return m
}

// reopen loads the registry again from what is on disk, as a node does that was killed.
func (m *member) reopen() {
	m.t.Helper()
	r, err := Open(m.cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	m.Registry = r
	r.Attach(&Network{Down: func(peer.ID, cid.Cid) chunks.Limiter { return m.down }, Self: m.host.AddrInfo, Swarm: m, Streams: m, Finder: m, Announce: m,
		Peers: func() int { return len(m.host.Network().Peers()) }, Wire: func() (int64, int64) { return m.wire.in.Load(), m.wire.out.Load() }})
}

// current serves from whatever registry the member has now.
type current struct{ m *member }

func (c current) Open(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (chunks.Reader, error) {
	return c.m.Source().Open(ctx, p, set, k)
}

type currentDeltas struct{ m *member }

func (c currentDeltas) Open(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (delta.Reader, error) {
	return c.m.Deltas().Open(ctx, p, set, k)
}
func (c current) History(ctx context.Context, p peer.ID, set cid.Cid, k []byte) ([][]byte, error) {
	return c.m.Catalog().History(ctx, p, set, k)
}
func (c current) Sets(ctx context.Context, p peer.ID) ([]list.SetEntry, error) {
	return c.m.Catalog().Sets(ctx, p)
}
func (c current) Info(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (list.Info, error) {
	return c.m.Catalog().Info(ctx, p, set, k)
}
func (c current) Watch(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (<-chan list.Update, error) {
	return c.m.Catalog().Watch(ctx, p, set, k)
}
func (c current) Confirm(ctx context.Context, p peer.ID, set, root cid.Cid, k []byte) error {
	return c.m.Catalog().Confirm(ctx, p, set, root, k)
}

// The roles of Network.

func (m *member) Connect(ctx context.Context, p peer.AddrInfo) error {
	err := m.host.Connect(ctx, p)
	if err != nil {
		m.host.ClearBackoff(p.ID)
	}
	return err
}
func (m *member) Known(ctx context.Context, p peer.ID) peer.AddrInfo {
	for _, c := range m.host.Network().ConnsToPeer(p) {
		select {
		case <-m.host.Host.(interface{ IDService() identify.IDService }).IDService().IdentifyWait(c):
		case <-ctx.Done():
		}
	}
	return m.host.Peerstore().PeerInfo(p)
}
func (m *member) Ban(p peer.ID, why string) {
	m.mu.Lock()
	if len(m.banned) == 0 {
		close(m.bans)
	}
	m.banned[p] = why
	m.mu.Unlock()
	if err := m.host.Ban(p, time.Hour); err != nil {
		m.t.Error(err)
	}
}
func (m *member) Watch(ctx context.Context, p peer.ID, set cid.Cid, k []byte, known *record.Bundle, fn func(list.Update) error) error {
	return list.Watch(ctx, m.host, p, set, k, known, fn)
}
func (m *member) Delta(ctx context.Context, p peer.ID, q delta.Request) (*delta.Session, error) {
	return delta.Open(ctx, m.host, p, q)
}
func (m *member) History(ctx context.Context, p peer.ID, set cid.Cid, k []byte) ([][]byte, error) {
	return list.History(ctx, m.host, p, set, k)
}
func (m *member) Chunks(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (*chunks.Session, error) {
	return chunks.Open(ctx, m.host, p, set, k)
}
func (m *member) Confirm(ctx context.Context, p peer.ID, set, root cid.Cid, k []byte) error {
	return list.Confirm(ctx, m.host, p, set, root, k)
}
func (m *member) Heads(ctx context.Context, p peer.ID, set cid.Cid, ids []cid.Cid) ([][]byte, error) {
	return m.council.Heads(ctx, p, set, ids)
}
func (m *member) Propose(ctx context.Context, p peer.ID, set cid.Cid, sealed []byte, tell func(proposals.Outcome) error) error {
	return m.council.Propose(ctx, p, set, sealed, tell)
}
func (m *member) Providers(ctx context.Context, key cid.Cid) <-chan peer.AddrInfo {
	return m.peers.Providers(ctx, key)
}
func (m *member) Add(key cid.Cid) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[key] = true
}

// Remove of Announcer; Registry.Remove is reached as m.Registry.Remove.
func (m *member) Remove(key cid.Cid) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, key)
}

func (m *member) isBanned(p *member) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.banned[p.host.ID()]
	return ok
}

func (m *member) announces(set cid.Cid) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[set]
}

func (m *member) share(dir string) Shared {
	m.t.Helper()
	s, err := m.Share(within(m.t), ShareOptions{Dir: dir, Name: "data"})
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// fetch gets a set into a new folder or dies.
func (m *member) fetch(set cid.Cid) Got {
	m.t.Helper()
	got, err := m.Get(within(m.t), record.Ticket{Set: set}, into(filepath.Join(m.t.TempDir(), "dest")))
	if err != nil {
		m.t.Fatal(err)
	}
	return got
}

// into are the options of a get that gives up soon.
func into(dest string) GetOptions {
	return GetOptions{Dest: func(string) string { return dest }, Patience: limit, Grace: 100 * time.Millisecond}
}

func (m *member) check(rep *Replica) Checked {
	m.t.Helper()
	c, err := m.Verify(within(m.t), rep, func(int64, int64) {})
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// replica of a set that must be there.
func (m *member) replica(set cid.Cid) *Replica {
	m.t.Helper()
	rep, ok := m.lookup(set)
	if !ok {
		m.t.Fatalf("set %s is not here", set)
	}
	return rep
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	var k [32]byte
	k[0], k[1], k[2], k[3] = byte(seed), byte(seed>>8), byte(seed>>16), byte(seed>>24)
	mrand.NewChaCha8(k).Read(b)
	return b
}

// newTree makes a folder with everything a set may hold: files of no, one and many leaves, equal files,
// folders, an empty one too, modes and symlinks.
func newTree(t testing.TB, seed uint64) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 20 {
		write(t, filepath.Join(dir, fmt.Sprintf("small/%d/file", i)), noise(seed+uint64(i), 100+i*701))
	}
	write(t, filepath.Join(dir, "big"), noise(seed+100, 3<<20))
	write(t, filepath.Join(dir, "small", "middle"), noise(seed+101, 700<<10))
	write(t, filepath.Join(dir, "twin"), noise(seed+101, 700<<10))
	write(t, filepath.Join(dir, "nothing"), nil)
	for _, err := range []error{
		os.Mkdir(filepath.Join(dir, "empty"), 0o750),
		os.Chmod(filepath.Join(dir, "twin"), 0o755),
		os.Symlink("small/middle", filepath.Join(dir, "link")),
		os.Chtimes(filepath.Join(dir, "big"), time.Time{}, time.Unix(1_000_000_000, 123_456_789)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// bigTree is only large leaves: n of about 256 KiB.
func bigTree(t testing.TB, seed uint64, n int) string {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "large"), noise(seed, n<<18))
	return dir
}

// contents describes everything below dir.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			all[rel], err = os.Readlink(path)
		case info.IsDir() && rel != ".":
			all[rel] = info.Mode().String()
		case info.Mode().IsRegular():
			var b []byte
			b, err = os.ReadFile(path)
			all[rel] = fmt.Sprint(info.Mode(), info.ModTime().UnixNano(), blockstore.Sum(cid.Raw, b))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func sameTree(t testing.TB, want, got string) {
	t.Helper()
	if diff := cmp.Diff(contents(t, want), contents(t, got)); diff != "" {
		t.Errorf("folders differ (-want +got):\n%s", diff)
	}
}

// flip changes one byte of a file and puts its mtime back.
func flip(t testing.TB, path string, at int64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// serving is one leaf about to be sent.
type serving struct {
	ctx  context.Context // of the stream
	n    int64           // the how many-th leaf of all sessions, from 1
	to   peer.ID
	data []byte // may be changed
}

// hooked is a source that does something to whatever it serves.
type hooked struct {
	chunks.Source
	leaf func(serving)     // nil: leaves are left alone
	node func(data []byte) // nil: nodes are left alone
	n    *atomic.Int64
}

// leaves serves leaves through fn.
func leaves(fn func(serving)) role { return hooks(fn, nil) }

func hooks(leaf func(serving), node func([]byte)) role {
	return role{source: func(s chunks.Source) chunks.Source { return hooked{s, leaf, node, new(atomic.Int64)} }}
}

func (h hooked) Open(ctx context.Context, p peer.ID, set cid.Cid, k []byte) (chunks.Reader, error) {
	r, err := h.Source.Open(ctx, p, set, k)
	return hookedReader{r, h, p}, err
}

type hookedReader struct {
	chunks.Reader
	h hooked
	p peer.ID
}

func (r hookedReader) Get(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error) {
	data, err := r.Reader.Get(ctx, c, buf)
	if err == nil && c.Type() == cid.Raw && r.h.leaf != nil {
		r.h.leaf(serving{ctx, r.h.n.Add(1), r.p, data})
	}
	return data, err
}

func (r hookedReader) Walk(ctx context.Context, root cid.Cid, fn func(blockstore.Block) error) error {
	return r.Reader.Walk(ctx, root, func(b blockstore.Block) error {
		if r.h.node != nil {
			r.h.node(b.Data())
		}
		return fn(b)
	})
}

// wait blocks until ch is closed or the test's time is over.
func wait(t testing.TB, ch <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-ch:
	case <-within(t).Done():
		t.Fatalf("waited in vain: %s", what)
	}
}

func emptyDir(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if len(entries) > 0 {
		t.Errorf("%s holds %v", dir, entries)
	}
}

// commit replaces what is remembered of a set.
func (m *member) commit(rep *Replica, st State) error {
	return m.change(rep, func(now *State) error {
		*now = st
		return nil
	})
}

// bucket is a chunks.Limiter.
type bucket struct{ *rate.Limiter }

func (b bucket) Wait(ctx context.Context, n int) (int, error) {
	n = min(n, b.Burst())
	return n, b.WaitN(ctx, n)
}
