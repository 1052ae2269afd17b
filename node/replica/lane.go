package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/node/fetch"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

const (
	// lanesPerPeer is how many streams carry one peer's blocks: with four, verifying and writing keep up
	// with one TCP connection on two cores; more gain nothing (measured).
	lanesPerPeer = 4
	// laneRate, in bytes a second, is what a peer must deliver for each lane but the first: an average leaf a second. Of a
	// slower peer, or one of many that share a slow one, several lanes would only each wait longer for a leaf.
	laneRate = 256 << 10
	// laneQueue is the most requests one lane holds; the scheduler's window of 8 MiB is less even in
	// leaves of 8 KiB.
	laneQueue = 1024
)

// source is one peer's lanes. Its fields belong to the download's goroutine.
type source struct {
	d      *download
	peer   peer.ID
	ctx    context.Context
	cancel context.CancelFunc
	lanes  []*lane
	turn   int
}

// lane is one stream with its requests in order: one goroutine sends wants, another reads a block,
// verifies it and writes it into the files, in this order and without handing the bytes on.
type lane struct {
	wants chan []uint32

	mu      sync.Mutex // guards what follows, and sending on wants against dead
	dead    bool       // the stream broke: nobody reads wants any more
	leaf    uint32     // that is being read; see abort
	abort   func()     // ends the stream; nil = no leaf is being read
	useless map[uint32]bool
}

// begin notes which leaf is read next, and how to break off; false = it came from elsewhere meanwhile.
func (l *lane) begin(leaf uint32, abort func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.useless[leaf] {
		return false
	}
	l.leaf, l.abort = leaf, abort
	return true
}

func (l *lane) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.abort = nil
}

// forget breaks off the lane when it is, or comes to, this leaf.
func (l *lane) forget(leaf uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abort != nil && l.leaf == leaf {
		l.abort()
		return
	}
	if l.useless == nil {
		l.useless = map[uint32]bool{}
	}
	l.useless[leaf] = true
}

// push queues a request; false when the lane is dead or full.
func (l *lane) push(leaves []uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return false
	}
	select {
	case l.wants <- leaves:
		return true
	default:
		return false
	}
}

func (l *lane) die() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
}

// errUseless: what a lane was asked for is here.
var errUseless = errors.New("came from elsewhere")

// corruptThere is a Missing whose holder says that its own copy is corrupt.
type corruptThere struct{ fetch.Missing }

func newSource(ctx context.Context, d *download, p peer.ID) *source {
	s := &source{d: d, peer: p}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// width is how many lanes the peer is fast enough for.
func (s *source) width() int {
	return min(1+int(s.d.sched.Rate(fetch.Peer(s.peer))/laneRate), lanesPerPeer)
}

// forget is told of leaves that came from elsewhere. Of a fast peer they are cheaper to take than to stop; a slow one has
// better to send, though the rest of the lane must be asked for again.
func (s *source) forget(leaves []uint32) {
	if s.width() > 1 {
		return
	}
	for _, leaf := range leaves {
		for _, l := range s.lanes {
			l.forget(leaf)
		}
	}
}

// ask queues a request on the next lane, opening lanes as they are needed.
func (s *source) ask(leaves []uint32) {
	s.turn++
	i := s.turn % s.width()
	if i >= len(s.lanes) {
		i = len(s.lanes)
		s.lanes = append(s.lanes, s.open())
	}
	if s.lanes[i].push(leaves) {
		return
	}
	s.lanes[i] = s.open()
	s.lanes[i].push(leaves) // a new lane is neither dead yet nor full
}

func (s *source) open() *lane {
	l := &lane{wants: make(chan []uint32, laneQueue)}
	s.d.wg.Go(func() { s.run(l) })
	return l
}

func (s *source) send(ev fetch.Event) {
	select {
	case s.d.events <- ev:
	case <-s.ctx.Done():
	}
}

// run owns one lane from its first to its last block.
func (s *source) run(l *lane) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	order := make(chan []uint32, chunks.MaxOutstanding-1) // more would be refused
	var writer sync.WaitGroup
	sess, err := s.d.g.net.Streams.Chunks(ctx, s.peer, s.d.g.look.set, s.d.g.look.cap)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { sess.Close() }) // wakes whoever waits for the peer
		defer stop()
		sess.Throttle(s.d.g.throttle(ctx, s.peer))
		sess.Watch(func(n int) { s.send(fetch.Arriving{Peer: fetch.Peer(s.peer), Leaf: l.leaf, Bytes: n}) })
		writer.Go(func() { s.write(ctx, sess, l, order) })
		err = s.read(ctx, sess, l, order)
		sess.Close()
	}
	cancel()
	writer.Wait()
	l.die()
	if s.ctx.Err() != nil {
		return
	}
	s.d.g.r.cfg.Log.Debug("lane", "set", s.d.g.id, "peer", s.peer, "err", err)
	for { // what was queued before it died will not be answered
		select {
		case leaves := <-l.wants:
			s.send(fetch.Failed{Peer: fetch.Peer(s.peer), Leaves: leaves})
		case leaves := <-order:
			s.send(fetch.Failed{Peer: fetch.Peer(s.peer), Leaves: leaves})
		default:
			return
		}
	}
}

// write sends the wants; order tells the reader what will come.
func (s *source) write(ctx context.Context, sess *chunks.Session, l *lane, order chan<- []uint32) {
	for {
		select {
		case <-ctx.Done():
			return
		case leaves := <-l.wants:
			cids := make([]cid.Cid, len(leaves))
			for i, leaf := range leaves {
				cids[i] = s.d.s.lay.Leaves[leaf].Cid
			}
			select {
			case order <- leaves:
			case <-ctx.Done():
				s.send(fetch.Failed{Peer: fetch.Peer(s.peer), Leaves: leaves})
				return
			}
			if sess.Want(cids) != nil {
				return // the reader finds the end behind what is on its way
			}
		}
	}
}

// read takes the answers in the order of the wants until the stream breaks.
func (s *source) read(ctx context.Context, sess *chunks.Session, l *lane, order <-chan []uint32) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case leaves := <-order:
			if err := s.answers(sess, l, leaves); err != nil {
				return err
			}
		}
	}
}

// answers takes the answers to one request. The buffer is borrowed: in a crowd of sixteen there are sixty lanes,
// most of them idle at any time.
func (s *source) answers(sess *chunks.Session, l *lane, leaves []uint32) error {
	buf, ok := s.d.s.buffers.Get().(*[]byte)
	if !ok {
		b := make([]byte, 0, blockstore.MaxBlockSize/2) // the profile's largest leaf
		buf = &b
	}
	defer s.d.s.buffers.Put(buf)
	for i, leaf := range leaves {
		err := errUseless
		if l.begin(leaf, func() { sess.Close() }) {
			var rep chunks.Reply
			if rep, err = sess.Next(*buf); err == nil {
				err = s.take(leaf, rep)
			}
			l.end()
		}
		if err != nil {
			s.send(fetch.Failed{Peer: fetch.Peer(s.peer), Leaves: leaves[i:]})
			return err
		}
	}
	return nil
}

// take verifies one answer and writes it. An error ends the lane.
func (s *source) take(leaf uint32, rep chunks.Reply) error {
	name, want := fetch.Peer(s.peer), s.d.s.lay.Leaves[leaf]
	switch {
	case rep.Cid != want.Cid:
		return fmt.Errorf("take: answer to another question")
	case rep.Code == wire.NotFound:
		s.send(fetch.Missing{Peer: name, Leaf: leaf})
		return nil
	case rep.Code == wire.Corrupt:
		s.send(corruptThere{fetch.Missing{Peer: name, Leaf: leaf}})
		return nil
	case rep.Code != wire.OK:
		return fmt.Errorf("take: %v", rep.Code)
	}
	switch err := s.d.s.out.Write(leaf, rep.Data); { // which verifies before anything else
	case errors.Is(err, blockstore.ErrCorrupt):
		s.send(fetch.Bad{Peer: name, Leaf: leaf})
		return nil
	case err != nil:
		select {
		case s.d.fatal <- fmt.Errorf("write: %w", err):
		default: // another lane was first
		}
		return errors.New("write failed")
	}
	s.send(fetch.Received{Peer: name, Leaf: leaf, Bytes: len(rep.Data)})
	return nil
}
