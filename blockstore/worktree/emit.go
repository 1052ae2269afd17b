package worktree

import (
	"context"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
)

// A store syncs each Put, so few large ones: a flush takes at most some ms on any disk.
const (
	batchBytes  = 1 << 20 // of nodes
	batchBlocks = 1000
	batchFiles  = 512
)

// found is a finished piece of a scan: nodes, and the file they describe if they do.
type found struct {
	blocks []blockstore.Block
	file   *blockstore.File
}

// collect puts what the workers find into the sink, in batches, nodes before the files they describe. It
// ends when the channel is closed, and calls Progress meanwhile.
func (s *scanner) collect(ctx context.Context, sink Sink) error {
	b := batch{set: s.o.Set, sink: sink}
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for {
		select {
		case f, ok := <-s.out:
			if !ok {
				s.progress()
				return b.flush(ctx)
			}
			if err := b.add(ctx, f); err != nil {
				return err
			}
		case <-ticker.C:
			s.progress()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *scanner) progress() {
	if s.o.Progress != nil {
		s.o.Progress(int(s.files.Load()), s.bytes.Load())
	}
}

// batch gathers blocks and files for few calls of the sink.
type batch struct {
	set    cid.Cid
	sink   Sink
	blocks []blockstore.Block
	bytes  int
	files  []blockstore.File
}

func (b *batch) add(ctx context.Context, f found) error {
	b.blocks = append(b.blocks, f.blocks...)
	for _, blk := range f.blocks {
		b.bytes += len(blk.Data())
	}
	if f.file != nil {
		b.files = append(b.files, *f.file)
	}
	if b.bytes >= batchBytes || len(b.blocks) >= batchBlocks || len(b.files) >= batchFiles {
		return b.flush(ctx)
	}
	return nil
}

func (b *batch) flush(ctx context.Context) error {
	if len(b.blocks) > 0 {
		if err := b.sink.Put(ctx, b.set, b.blocks...); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
	}
	if len(b.files) > 0 {
		if err := b.sink.PutFiles(ctx, b.files...); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
	}
	b.blocks, b.bytes, b.files = nil, 0, nil
	return nil
}

// send hands a finding to collect.
func (s *scanner) send(ctx context.Context, f found) error {
	s.nodes.Add(int64(len(f.blocks)))
	select {
	case s.out <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// emitFile builds the nodes of a file that was read and records it.
func (s *scanner) emitFile(ctx context.Context, name string, a dag.Attr, rec blockstore.File) (dag.Link, error) {
	var f found
	link, err := dag.BuildFile(s.o.Profile, a, rec.Leaves, f.emit)
	if err != nil {
		return dag.Link{}, err
	}
	link.Name = name
	rec.Cid = link.Cid
	f.file = &rec
	return link, s.send(ctx, f)
}

func (f *found) emit(b blockstore.Block) error {
	f.blocks = append(f.blocks, b)
	return nil
}

func (s *scanner) symlink(ctx context.Context, e *scanEntry, target string) error {
	var f found
	link, err := dag.BuildSymlink(s.o.Profile, target, f.emit)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	link.Name = e.name
	e.link = link
	s.symlinks.Add(1)
	return s.send(ctx, f)
}

// build makes the directories from the deepest up and returns the link of d.
func (s *scanner) build(ctx context.Context, d *scanDir) (dag.Link, error) {
	links := make([]dag.Link, 0, len(d.entries))
	for _, e := range d.entries {
		if e.dir != nil && !e.dir.failed {
			link, err := s.build(ctx, e.dir)
			if err != nil {
				return dag.Link{}, err
			}
			link.Name = e.name
			e.link = link
		}
		if e.link.Cid.Defined() {
			links = append(links, e.link)
		}
	}
	var f found
	link, err := dag.BuildDir(s.o.Profile, d.attr, links, f.emit)
	if err != nil {
		return dag.Link{}, fmt.Errorf("scan: %w", err)
	}
	return link, s.send(ctx, f)
}

// storedLink is the link of a recorded file, made from its nodes, all of which must be there.
func storedLink(ctx context.Context, get blockstore.Getter, f blockstore.File) (dag.Link, error) {
	link := dag.Link{Cid: f.Cid, Size: uint64(f.Stamp.Size), Tsize: uint64(f.Stamp.Size)}
	if f.Cid.Prefix().Codec == cid.Raw {
		return link, nil // one leaf without metadata: no node at all
	}
	var buf []byte
	for todo := []cid.Cid{f.Cid}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		data, err := get.Get(ctx, c, buf)
		if err != nil {
			return dag.Link{}, err
		}
		buf = data
		b, err := blockstore.Receive(c, data)
		if err != nil {
			return dag.Link{}, err
		}
		link.Tsize += uint64(len(data)) // Tsize: all nodes and leaves below, each occurrence
		children, err := dag.NextNodes(b)
		if err != nil {
			return dag.Link{}, err
		}
		todo = append(todo, children...)
	}
	return link, nil
}
