package storetest

import (
	"context"
	"errors"
	"sync"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/shoal-p2p/shoal/blockstore"
)

func testInline(e *env) {
	leaf := blockstore.NewBlock(cid.Raw, []byte("leaf"))
	node := blockstore.NewBlock(cid.DagProtobuf, []byte("leaf")) // same digest, other codec
	e.absent(leaf.Cid())
	e.must(e.store.Put(e.ctx, set("a"), leaf))
	e.gets(leaf.Cid(), leaf.Data(), set("a"))
	e.absent(node.Cid())
	e.must(e.store.Put(e.ctx, set("a"), node))
	e.gets(node.Cid(), node.Data(), set("a"))
	e.must(e.store.Put(e.ctx, set("a")))
}

// testSizes crosses the sizes where stores change their layout.
func testSizes(e *env) {
	var blocks []blockstore.Block
	for _, n := range []int{0, 1, 127, 128, 64<<10 - 1, 64 << 10, 64<<10 + 1, 256<<10 - 1, 256 << 10, 256<<10 + 1,
		512 << 10, 1 << 20, blockstore.MaxBlockSize - 1, blockstore.MaxBlockSize} {
		blocks = append(blocks, blockstore.NewBlock(cid.Raw, e.bytes(n)))
	}
	e.must(e.store.Put(e.ctx, set("a"), blocks...))
	for _, b := range blocks {
		e.gets(b.Cid(), b.Data(), set("a"))
	}
	e.must(e.store.DeleteSet(e.ctx, set("a")))
	for _, b := range blocks {
		e.absent(b.Cid())
	}
}

func testPutAgain(e *env) {
	for _, n := range []int{100, 300 << 10} {
		b := blockstore.NewBlock(cid.Raw, e.bytes(n))
		e.must(e.store.Put(e.ctx, set("a"), b, b))
		e.must(e.store.Put(e.ctx, set("a"), b))
		e.must(e.store.Put(e.ctx, set("b"), b))
		e.gets(b.Cid(), b.Data(), set("a"), set("b"))
	}
}

func testInvalid(e *env) {
	data := []byte("x")
	other, err := mh.Sum(data, mh.SHA2_512, -1)
	e.must(err)
	digest := blockstore.Digest(blockstore.Sum(cid.Raw, data))
	v0, err := mh.Encode(digest[:], mh.SHA2_256)
	e.must(err)
	for name, c := range map[string]cid.Cid{
		"undefined": {},
		"sha2-512":  cid.NewCidV1(cid.Raw, other),
		"version 0": cid.NewCidV0(v0),
		"dag-cbor":  blockstore.FromDigest(cid.DagCBOR, digest),
	} {
		if got, err := e.store.Get(e.ctx, c, nil); got != nil || !errors.Is(err, blockstore.ErrInvalid) {
			e.Errorf("%s: Get = %v, %v; want ErrInvalid", name, got, err)
		}
		if got, err := e.store.GetFrom(e.ctx, set("a"), c, nil); got != nil || !errors.Is(err, blockstore.ErrInvalid) {
			e.Errorf("%s: GetFrom = %v, %v; want ErrInvalid", name, got, err)
		}
		if has, err := e.store.Has(e.ctx, c); has || !errors.Is(err, blockstore.ErrInvalid) {
			e.Errorf("%s: Has = %v, %v; want ErrInvalid", name, has, err)
		}
	}
	good := blockstore.NewBlock(cid.Raw, data)
	long := blockstore.NewBlock(cid.Raw, make([]byte, blockstore.MaxBlockSize+1))
	for name, err := range map[string]error{
		"zero block":    e.store.Put(e.ctx, set("a"), good, blockstore.Block{}),
		"too long":      e.store.Put(e.ctx, set("a"), good, long),
		"dag-cbor":      e.store.Put(e.ctx, set("a"), good, blockstore.NewBlock(cid.DagCBOR, data)),
		"undefined set": e.store.Put(e.ctx, cid.Undef, good),
	} {
		if !errors.Is(err, blockstore.ErrInvalid) {
			e.Errorf("%s: Put = %v, want ErrInvalid", name, err)
		}
	}
	e.absent(good.Cid())
}

// testBuffer: the caller's memory is used when it is large enough, and left alone beyond the result.
func testBuffer(e *env) {
	inline := blockstore.NewBlock(cid.Raw, e.bytes(1000))
	e.must(e.store.Put(e.ctx, set("a"), inline))
	leaf := e.bytes(1000)
	f := e.put(set("a"), e.TempDir(), "f", leaf)
	buf := make([]byte, 10, 1001)
	for c, want := range map[cid.Cid][]byte{inline.Cid(): inline.Data(), f.Leaves[0].Cid: leaf} {
		buf[:1001][1000] = 42
		got, err := e.store.Get(e.ctx, c, buf)
		e.must(err)
		if len(got) != len(want) || &got[0] != &buf[0] || buf[:1001][1000] != 42 {
			e.Errorf("Get of %d bytes did not use the buffer, or more of it than its result", len(want))
		}
		got[0]++ // the store's own bytes must not change with it
		e.gets(c, want)
	}
}

func testCanceled(e *env) {
	b := blockstore.NewBlock(cid.Raw, []byte("x"))
	e.must(e.store.Put(e.ctx, set("a"), b))
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	_, err := e.store.Get(ctx, b.Cid(), nil)
	if !errors.Is(err, context.Canceled) {
		e.Errorf("Get = %v, want %v", err, context.Canceled)
	}
	if err := e.store.Put(ctx, set("b"), b); !errors.Is(err, context.Canceled) {
		e.Errorf("Put = %v, want %v", err, context.Canceled)
	}
	e.fails(set("b"), b.Cid(), blockstore.ErrNotFound)
}

func testSetsOfBlocks(e *env) {
	b := blockstore.NewBlock(cid.Raw, e.bytes(100))
	c := blockstore.NewBlock(cid.Raw, e.bytes(100))
	e.must(e.store.Put(e.ctx, set("a"), b))
	e.must(e.store.Put(e.ctx, set("b"), c))
	e.fails(set("b"), b.Cid(), blockstore.ErrNotFound)
	e.fails(set("a"), c.Cid(), blockstore.ErrNotFound)
	e.fails(set("never"), b.Cid(), blockstore.ErrNotFound)
	e.fails(cid.Undef, b.Cid(), blockstore.ErrNotFound)
	e.must(e.store.Put(e.ctx, set("b"), b))
	e.gets(b.Cid(), b.Data(), set("a"), set("b"))
	e.fails(set("a"), c.Cid(), blockstore.ErrNotFound)
}

func testDeleteSet(e *env) {
	both := blockstore.NewBlock(cid.Raw, e.bytes(100))
	only := blockstore.NewBlock(cid.Raw, e.bytes(300<<10))
	tree := e.TempDir()
	chunk, shared := e.bytes(50), e.bytes(60)
	e.must(e.store.Put(e.ctx, set("a"), both, only))
	e.must(e.store.Put(e.ctx, set("b"), both))
	f := e.put(set("a"), tree, "f", chunk, shared)
	e.put(set("b"), tree, "g", shared)
	e.must(e.store.DeleteSet(e.ctx, set("a")))
	e.absent(only.Cid())
	e.absent(f.Leaves[0].Cid)
	e.gets(both.Cid(), both.Data(), set("b"))
	e.gets(f.Leaves[1].Cid, shared, set("b"))
	e.fails(set("a"), both.Cid(), blockstore.ErrNotFound)
	e.fails(set("a"), f.Leaves[1].Cid, blockstore.ErrNotFound)
	if files := e.list(tree); len(files) != 1 || files[0].Path != "g" {
		e.Errorf("files after deletion: %+v", files)
	}
	e.must(e.store.DeleteSet(e.ctx, set("a")))
	e.must(e.store.DeleteSet(e.ctx, set("never")))
	e.must(e.store.Put(e.ctx, set("c"), only)) // a new set must not inherit
	e.fails(set("c"), both.Cid(), blockstore.ErrNotFound)
	e.must(e.store.Put(e.ctx, set("a"), only)) // and the old one starts empty
	e.gets(only.Cid(), only.Data(), set("a"), set("c"))
	e.fails(set("a"), both.Cid(), blockstore.ErrNotFound)
}

// testConcurrent has writers of disjoint and of common blocks, readers, and a set that comes and goes.
func testConcurrent(e *env) {
	const workers, rounds = 4, 15
	tree := e.TempDir()
	common := blockstore.NewBlock(cid.Raw, e.bytes(2000))
	chunk := e.bytes(3000)
	files := make([]blockstore.File, workers)
	own := make([][]blockstore.Block, workers)
	for w := range workers {
		files[w] = e.write(set("files"), tree, string(rune('a'+w)), chunk, e.bytes(100))
		for range rounds {
			own[w] = append(own[w], blockstore.NewBlock(cid.DagProtobuf, e.bytes(500)))
		}
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			mine := set(string(rune('a' + w)))
			for r := range rounds {
				err := errors.Join(
					e.store.Put(e.ctx, mine, common, own[w][r]),
					e.store.PutFiles(e.ctx, files[w]),
					e.store.Put(e.ctx, set("passing"), common),
					e.store.DeleteSet(e.ctx, set("passing")))
				got, err2 := e.store.GetFrom(e.ctx, mine, common.Cid(), nil)
				leaf, err3 := e.store.GetFrom(e.ctx, set("files"), files[w].Leaves[0].Cid, nil)
				if err := errors.Join(err, err2, err3); err != nil || len(got) != 2000 || len(leaf) != 3000 {
					e.Errorf("worker %d: %d and %d bytes, %v", w, len(got), len(leaf), err)
					return
				}
			}
			if err := e.store.DropFiles(e.ctx, tree, files[w].Path); err != nil {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	for w := range workers {
		for _, b := range own[w] {
			e.gets(b.Cid(), b.Data(), set(string(rune('a'+w))))
		}
	}
	e.absent(files[0].Leaves[0].Cid)
	e.fails(set("passing"), common.Cid(), blockstore.ErrNotFound)
}
