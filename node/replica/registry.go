// Package replica lives the life of the file sets of one node: it shares folders, serves what it holds,
// finds and fetches what others hold, and checks what lies here. It is a shell: which peer to ask for
// which chunk is decided by node/fetch, what a folder must become by blockstore/worktree, who may say
// what by protocols/record; this package carries the bytes between them.
//
// Terms: a replica is this node's part in one set. A session is a get in progress: its partial files are
// served to others while they grow. The feed of a replica tells watching peers what has become available.
package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	proposals "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/list"
	"github.com/shoal-p2p/shoal/protocols/record"
)

// Errors of this package; texts for people are made by package node.
var (
	ErrUnknownSet = errors.New("unknown set")              // no set here by that name, id or prefix
	ErrAmbiguous  = errors.New("several sets match")       // a prefix or name that fits more than one
	ErrNobody     = errors.New("nobody has this set")      // peers were reached, none serves it
	ErrNoPeers    = errors.New("no peer could be reached") // not even a peer to ask
	ErrOffline    = errors.New("no network")               // the node was started without one
	ErrTimeout    = errors.New("timed out")                // sources were there but gave nothing for too long
	ErrDamaged    = errors.New("no good copy to be had")   // a block is corrupt at every holder
	ErrInUse      = errors.New("folder belongs to another set")
	ErrDeletions  = errors.New("too many files are gone")       // more than half, or any where the folder is another one
	ErrEmptied    = errors.New("and another folder lies there") // which has none of the files; an ErrDeletions
	ErrBusy       = errors.New("set is being fetched or shared already")
	ErrTooBig     = errors.New("set is larger than allowed")
	ErrForged     = errors.New("records of the set are not valid") // no holder showed records that verify
	ErrFolderGone = errors.New("the folder of the set is not there any more, or is another one")
	ErrNoRevision = errors.New("no such revision here") // its head or its folders are not known any more
)

// Store is what a replica needs of a store.
type Store interface {
	blockstore.Getter
	blockstore.SetGetter
	blockstore.Haser
	blockstore.Putter
	blockstore.FilePutter
	blockstore.FileDropper
	blockstore.FileLister
	blockstore.Deleter
	// LookupFile tells what is recorded of one file, without its leaves; false when nothing is or when
	// the file was found damaged.
	LookupFile(ctx context.Context, tree, path string) (blockstore.File, bool, error)
}

// Swarm reaches peers; the node implements it over its libp2p host.
type Swarm interface {
	Connect(ctx context.Context, p peer.AddrInfo) error
	// Known gives the addresses of a connected peer, possibly none, once it has said them or ctx ends.
	Known(ctx context.Context, p peer.ID) peer.AddrInfo
	Ban(p peer.ID, why string)
}

// Streams opens the protocols' streams; the node implements it over its libp2p host.
type Streams interface {
	Watch(ctx context.Context, p peer.ID, set cid.Cid, capability []byte, known *record.Bundle, fn func(list.Update) error) error
	Chunks(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) (*chunks.Session, error)
	Delta(ctx context.Context, p peer.ID, q delta.Request) (*delta.Session, error)
	History(ctx context.Context, p peer.ID, set cid.Cid, capability []byte) ([][]byte, error)
	Confirm(ctx context.Context, p peer.ID, set, root cid.Cid, capability []byte) error
	Heads(ctx context.Context, p peer.ID, set cid.Cid, ids []cid.Cid) ([][]byte, error)
	Propose(ctx context.Context, p peer.ID, set cid.Cid, sealed []byte, tell func(proposals.Outcome) error) error
}

// Finder looks for holders of a set; the channel stays open until ctx ends or there is nothing more to ask.
type Finder interface {
	Providers(ctx context.Context, key cid.Cid) <-chan peer.AddrInfo
}

// Announcer tells the swarm what this node can be asked for, until it is removed.
type Announcer interface {
	Add(key cid.Cid)
	Remove(key cid.Cid)
}

// Network is everything a replica needs of the world outside; nil in an offline node.
type Network struct {
	Self     func() peer.AddrInfo // dialable addresses of this node
	Swarm    Swarm
	Streams  Streams
	Finder   Finder
	Announce Announcer
	// Down bounds the payload received from a peer for a set; nil, or what it returns is: no limit.
	Down  func(p peer.ID, set cid.Cid) chunks.Limiter
	Peers func() int             // connected peers
	Wire  func() (in, out int64) // bytes on all streams of our protocols so far
}

// Config is what a Registry is made of; all fields but Segments, Keep, Changed, Moved, Settles, Harmed and
// FreeSpace are required.
type Config struct {
	Store Store
	Home  string // folder of the node's own state: never shared, never written by a get
	// HomeMarks are file names that together mark any node's home.
	HomeMarks []string
	Dir       string // of the state files; exists
	Segments  string // folder of what is kept of past revisions; "" = nothing is
	Keep      KeepPolicy
	Key       crypto.PrivKey                 // the node key
	OwnerKey  func() (crypto.PrivKey, error) // made on first use
	Changed   func(*Replica)                 // told when the elections of a set have changed something; may be nil
	Moved     func(Moved)                    // told of the content that was brought here; may be nil
	// Settles is how long what was changed in a set's folder may take to be published by itself; nil = nothing is.
	Settles func(*Replica) time.Duration
	Harmed  func(*Replica, Harm) // told when what others are promised of a set is not here any more, or is again; may be nil
	// FreeSpace is what may still be written below dir, bytes; nil asks the file system.
	FreeSpace func(dir string) (int64, error)
	Now       func() time.Time
	Log       *slog.Logger
}

// Registry holds the replicas of a node.
type Registry struct {
	cfg    Config
	self   peer.ID
	states states
	parts  partNotes

	layouts layouts
	closing sync.WaitGroup // of what is over and still gives back its files
	ease    ease
	worries chan struct{} // holds one token while blocks wait to be looked at that could not be given

	mu   sync.Mutex // guards what follows; never held across I/O
	net  *Network
	sets map[cid.Cid]*Replica

	followers  map[cid.Cid]chan peer.ID // of each set that is followed: hints of who has something newer
	places     map[string]bool          // folders and sets that are being worked on
	voting     *voting                  // nil while this node takes part in no election
	freed      chan struct{}            // closed when a place is free again; nil while nobody waits
	collecting bool                     // what the sets consist of is being compared with the store
}

// Replica is this node's part in one set.
type Replica struct {
	id   cid.Cid
	feed feed

	turn      sync.Mutex   // of who changes what is remembered; held while that is written
	seating   sync.Mutex   // of who takes or gives up the seat
	aside     sync.RWMutex // read-locked by who writes segments of what no folder holds, locked by who gives them up
	numbering sync.Mutex   // guards segment; held while the folder is looked at for the first time
	segment   int          // number of the last segment of what no folder holds

	mu       sync.Mutex // guards what follows; never held across I/O
	busy     bool       // a share or get of this set is running
	gone     bool       // not a replica of this node any more
	state    State
	opened   map[string]entry // by their sealed bytes
	verified record.Verified
	session  *session      // the get in progress, or nil
	seat     *seat         // this node votes on the set's order; nil = it does not
	bulk     *bulk         // what its follower is to fetch for the council, or nil
	haul     haul          // received for the council since the folder was brought to a revision last
	freed    chan struct{} // closed when busy ends; nil while nobody waits
	health   health
}

// Open loads the states of all sets and verifies their records again.
func Open(cfg Config) (*Registry, error) {
	self, err := peer.IDFromPrivateKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("open sets: %w", err)
	}
	r := &Registry{cfg: cfg, self: self, ease: newEase(), states: states{cfg.Dir}, parts: partNotes{filepath.Join(cfg.Home, "parts")}, sets: map[cid.Cid]*Replica{}, places: map[string]bool{}, worries: make(chan struct{}, 1), followers: map[cid.Cid]chan peer.ID{}}
	all, bad, err := r.states.load()
	if err != nil {
		return nil, err
	}
	for _, st := range all {
		if err := r.load(st); err != nil {
			bad = append(bad, err)
		}
	}
	for _, err := range bad {
		cfg.Log.Error("a set is left out: its records are damaged; share or get it again", "err", err)
	}
	if err := r.sweepSegments(context.Background(), len(bad) == 0); err != nil { // what is left takes space and does no harm
		cfg.Log.Warn("remove leftovers of past revisions", "err", err)
	}
	if err := r.forgetScratch(context.Background()); err != nil {
		cfg.Log.Warn("remove leftovers", "err", err)
	}
	return r, nil
}

// load adds a replica from its state, verifying its records again.
func (r *Registry) load(st State) error {
	id, err := st.setID()
	if err != nil {
		return err
	}
	v, err := record.VerifyBundle(id, st.Bundle)
	if err != nil {
		return fmt.Errorf("open set %s: %w", st.Set, err)
	}
	if st.Shared && st.Base == "" && len(v.Heads) > 0 { // written before there were others who publish
		st.Base = head(v).Root.String()
	}
	rep := &Replica{id: id, state: st, verified: v}
	rep.feed.reset(st.Complete)
	if root, ok := rep.promised(); ok {
		rep.health.recall(st, root, r.cfg.Now())
	}
	r.sets[id] = rep
	return nil
}

// Wait returns when nothing that was done holds files open any more; call it before the program ends.
func (r *Registry) Wait() {
	r.closing.Wait()
	r.ease.close()
}

// Attach gives the registry its network and announces every set it can serve.
func (r *Registry) Attach(n *Network) {
	r.mu.Lock()
	r.net = n
	var keys []cid.Cid
	for id := range r.sets {
		keys = append(keys, id)
	}
	r.mu.Unlock()
	for _, k := range keys {
		n.Announce.Add(k)
	}
}

func (r *Registry) network() *Network {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.net
}

// lookup finds a replica by its set id.
func (r *Registry) lookup(id cid.Cid) (*Replica, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep, ok := r.sets[id]
	return rep, ok
}

// ensure finds a replica or makes one with the records given; fresh tells that it was made.
func (r *Registry) ensure(v record.Verified, st State) (rep *Replica, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep, ok := r.sets[v.Set]
	if !ok {
		rep = &Replica{id: v.Set, state: st, verified: v}
		r.sets[v.Set] = rep
	}
	return rep, !ok
}

// forget takes a replica out of the registry: it is not announced any more, and its watchers are told. The
// caller has acquired it; nobody else ever will.
func (r *Registry) forget(p *Replica) {
	if n := r.network(); n != nil {
		n.Announce.Remove(p.id)
	}
	r.mu.Lock()
	delete(r.sets, p.id)
	r.mu.Unlock()
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	p.feed.end()
}

// claim reserves a folder, or a set by its id, for one command until unclaim. Errors: ErrBusy.
func (r *Registry) claim(place string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.collecting || r.places[place] {
		return fmt.Errorf("%s: %w", place, ErrBusy)
	}
	r.places[place] = true
	return nil
}

func (r *Registry) unclaim(place string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.places, place)
	r.wake()
}

// working tells whether something is at work on a place that begins so.
func (r *Registry) working(prefix string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for place := range r.places {
		if strings.HasPrefix(place, prefix) {
			return true
		}
	}
	return false
}

// wake tells those who wait for a claim. r.mu is held.
func (r *Registry) wake() {
	if r.freed != nil {
		close(r.freed)
		r.freed = nil
	}
}

// claimSoon is claim for who would rather wait than be refused. Errors: ErrBusy after patience, ctx's.
func (r *Registry) claimSoon(ctx context.Context, place string, patience time.Duration) error {
	until := time.NewTimer(patience)
	defer until.Stop()
	for {
		r.mu.Lock()
		if !r.collecting && !r.places[place] {
			r.places[place] = true
			r.mu.Unlock()
			return nil
		}
		if r.freed == nil {
			r.freed = make(chan struct{})
		}
		freed := r.freed
		r.mu.Unlock()
		select {
		case <-freed:
		case <-until.C:
			return fmt.Errorf("%s: %w", place, ErrBusy)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// all returns the replicas in order of name, then id.
func (r *Registry) all() []*Replica {
	r.mu.Lock()
	list := make([]*Replica, 0, len(r.sets))
	for _, rep := range r.sets {
		list = append(list, rep)
	}
	r.mu.Unlock()
	names := make(map[*Replica]string, len(list))
	for _, rep := range list {
		names[rep] = rep.State().Name + "\x00" + rep.id.String()
	}
	sort.Slice(list, func(i, j int) bool { return names[list[i]] < names[list[j]] })
	return list
}

// Resolve finds one set by ticket, id, name, folder or unique prefix of its id. Errors: ErrUnknownSet,
// ErrAmbiguous.
func (r *Registry) Resolve(text string) (*Replica, error) {
	if t, err := record.ParseTicket(text); err == nil {
		if rep, ok := r.lookup(t.Set); ok {
			return rep, nil
		}
		return nil, fmt.Errorf("resolve %s: %w", t.Set, ErrUnknownSet)
	}
	var exact, prefix []*Replica
	for _, rep := range r.all() {
		st := rep.State()
		switch {
		case st.Name == text || st.Dir == text:
			exact = append(exact, rep)
		case text != "" && strings.HasPrefix(st.Set, text):
			prefix = append(prefix, rep)
		}
	}
	if len(exact) == 0 {
		exact = prefix
	}
	switch len(exact) {
	case 0:
		return nil, fmt.Errorf("resolve %q: %w", text, ErrUnknownSet)
	case 1:
		return exact[0], nil
	}
	return nil, fmt.Errorf("resolve %q: %w", text, ErrAmbiguous)
}

// State returns a copy of what is remembered of the set.
func (p *Replica) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Set is the set's id.
func (p *Replica) Set() cid.Cid { return p.id }

// Verified returns the set's verified records.
func (p *Replica) Verified() record.Verified {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.verified
}

// head is the newest head of v, which must have one: every set that is registered does.
func head(v record.Verified) record.Head { return v.Heads[0] }

// acquire marks the replica as being worked on, so that two commands never build or scan one set at once.
func (p *Replica) acquire() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return fmt.Errorf("set %s: %w", p.state.Name, ErrUnknownSet)
	}
	if p.busy {
		return fmt.Errorf("set %s: %w", p.state.Name, ErrBusy)
	}
	p.busy = true
	return nil
}

func (p *Replica) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = false
	if p.freed != nil {
		close(p.freed)
		p.freed = nil
	}
}

// await is acquire for who would rather wait than be refused. Errors: ErrBusy after patience, ctx's.
func (p *Replica) await(ctx context.Context, patience time.Duration) error {
	until := time.NewTimer(patience)
	defer until.Stop()
	for {
		err := p.acquire()
		if !errors.Is(err, ErrBusy) {
			return err
		}
		p.mu.Lock()
		if !p.busy {
			p.mu.Unlock()
			continue
		}
		if p.freed == nil {
			p.freed = make(chan struct{})
		}
		freed := p.freed
		p.mu.Unlock()
		select {
		case <-freed:
		case <-until.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// seated is this node's seat in the set, nil if it has none.
func (p *Replica) seated() *seat {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seat
}
