package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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

	mu   sync.Mutex // guards dead, and sending on wants against it
	dead bool       // the stream broke: nobody reads wants any more
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

// corruptThere is a Missing whose holder says that its own copy is corrupt.
type corruptThere struct{ fetch.Missing }

func newSource(ctx context.Context, d *download, p peer.ID) *source {
	s := &source{d: d, peer: p}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// ask queues a request on the next lane, opening lanes as they are needed.
func (s *source) ask(leaves []uint32) {
	s.turn++
	i := s.turn % lanesPerPeer
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
		writer.Go(func() { s.write(ctx, cancel, sess, l, order) })
		err = s.read(ctx, sess, order)
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
func (s *source) write(ctx context.Context, cancel context.CancelFunc, sess *chunks.Session, l *lane, order chan<- []uint32) {
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
			if err := sess.Want(cids); err != nil {
				cancel()
				return
			}
		}
	}
}

// read takes the answers in the order of the wants until the stream breaks.
func (s *source) read(ctx context.Context, sess *chunks.Session, order <-chan []uint32) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case leaves := <-order:
			if err := s.answers(sess, leaves); err != nil {
				return err
			}
		}
	}
}

// answers takes the answers to one request. The buffer is borrowed: in a crowd of sixteen there are sixty lanes,
// most of them idle at any time.
func (s *source) answers(sess *chunks.Session, leaves []uint32) error {
	buf, ok := s.d.s.buffers.Get().(*[]byte)
	if !ok {
		b := make([]byte, 0, blockstore.MaxBlockSize/2) // the profile's largest leaf
		buf = &b
	}
	defer s.d.s.buffers.Put(buf)
	for i, leaf := range leaves {
		rep, err := sess.Next(*buf)
		if err == nil {
			err = s.take(leaf, rep)
		}
		if err != nil {
			s.send(fetch.Failed{Peer: fetch.Peer(s.peer), Leaves: leaves[i:]})
			return err
		}
	}
	return nil
}

// throttle makes a session with p read as fast as the limits for receiving want: before the bytes are read, and not after,
// or each of many lanes would have a leaf for nothing. nil = there are none.
func (g *get) throttle(ctx context.Context, p peer.ID) chunks.Throttle {
	if g.net.Down == nil {
		return nil
	}
	limit := g.net.Down(p, g.look.set)
	if limit == nil {
		return nil
	}
	return func(n int) (int, error) { return limit.Wait(ctx, n) }
}

// patiently is a throttle that does not let a peer pay for our limits: stall rests meanwhile, and p does not count it.
func (p *pace) patiently(allow chunks.Throttle, stall *time.Timer, after time.Duration, now func() time.Time) chunks.Throttle {
	if allow == nil {
		return nil
	}
	return func(n int) (int, error) {
		stall.Stop()
		begun := now()
		n, err := allow(n)
		p.waited -= now().Sub(begun)
		stall.Reset(after)
		return n, err
	}
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
