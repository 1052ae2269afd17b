package badgerstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// flushBytes and flushRecords bound the memory of a batch; it is written in several goes beyond.
const (
	flushBytes   = 4 << 20
	flushRecords = 16 << 10 // about 400 bytes each with the map's and Badger's own share: 6 MiB
)

// pending is a record that a batch has looked at.
type pending struct {
	key      string
	old, now []byte // nil: absent
}

// batch is a read-modify-write of many records: reads see its own writes, which go to Badger together
// at the end. There is one at a time (Store.update holds the writer's lock).
//
// Badger writes a large batch as several transactions, one after the other in the order given, and a
// crash may keep only the first of them. The order in flush makes every such prefix harmless: a file or
// block record appears after everything it relies on, and disappears before.
type batch struct {
	store   *Store
	db      *badger.DB
	txn     *badger.Txn
	records map[string]*pending
	order   []*pending
	bytes   int
	fresh   map[string]uint32 // names numbered by this batch and not yet on disk
}

func (s *Store) newBatch(db *badger.DB) *batch {
	b := &batch{store: s, db: db}
	b.reset()
	return b
}

func (b *batch) reset() {
	b.discard()
	b.txn = b.db.NewTransaction(false)
	b.records, b.order, b.bytes, b.fresh = map[string]*pending{}, nil, 0, nil
}

func (b *batch) discard() {
	if b.txn != nil {
		b.txn.Discard()
	}
}

// load returns the record at key, read from Badger the first time.
func (b *batch) load(key []byte) (*pending, error) {
	if p, ok := b.records[string(key)]; ok {
		return p, nil
	}
	var old []byte
	item, err := b.txn.Get(key)
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
	case err != nil:
		return nil, fmt.Errorf("read record: %w", err)
	default:
		if old, err = item.ValueCopy(nil); err != nil {
			return nil, fmt.Errorf("read record: %w", err)
		}
		if old == nil {
			old = []byte{} // present, though empty
		}
	}
	b.bytes += len(old)
	p := &pending{key: string(key), old: old, now: old}
	b.records[p.key] = p
	b.order = append(b.order, p)
	return p, nil
}

// set changes a loaded record; nil removes it.
func (b *batch) set(p *pending, value []byte) {
	p.now = value
	b.bytes += len(p.key) + len(value)
}

// put writes a record whatever was there.
func (b *batch) put(key, value []byte) error {
	p, err := b.load(key)
	if err == nil {
		b.set(p, value)
	}
	return err
}

func (b *batch) full() bool { return b.bytes >= flushBytes || len(b.order) >= flushRecords }

// flushIfFull may only be called where what was written so far is harmless by itself.
func (b *batch) flushIfFull() error {
	if !b.full() {
		return nil
	}
	return b.flush()
}

// phase orders the writes of a batch: what relies on others goes first when it is removed and last
// when it is written.
func (p *pending) phase() int {
	relies := p.key[0] == kindFile || p.key[0] == kindBlock
	switch {
	case relies && p.now == nil:
		return 0
	case relies:
		return 2
	}
	return 1
}

func (p *pending) changed() bool {
	return (p.old == nil) != (p.now == nil) || !bytes.Equal(p.old, p.now)
}

// flush makes the batch durable and empties it. Errors: blockstore.ErrNoSpace, having written nothing.
func (b *batch) flush() error {
	var need, before int64
	changes := 0
	for _, p := range b.order {
		if p.changed() {
			changes++
			need += int64(len(p.key) + len(p.now))
			before += int64(len(p.key) + len(p.old))
		}
	}
	if changes == 0 {
		b.reset()
		return nil
	}
	reserve := b.store.opts.Reserve
	if need <= before {
		reserve /= needed // it removes: who is out of space must be able to
	}
	if err := b.store.room(need, reserve); err != nil {
		return err
	}
	if err := b.write(); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	for name, no := range b.fresh {
		b.store.names.add(name, no)
	}
	b.reset()
	return nil
}

func (b *batch) write() error {
	wb := b.db.NewWriteBatch()
	defer wb.Cancel()
	for phase := range 3 {
		for _, p := range b.order {
			if !p.changed() || p.phase() != phase {
				continue
			}
			var err error
			if p.now == nil {
				err = wb.Delete([]byte(p.key))
			} else {
				err = wb.Set([]byte(p.key), p.now)
			}
			if err != nil {
				return err
			}
		}
	}
	return wb.Flush()
}

// setNo is the number of a set, given now if it has none.
func (b *batch) setNo(set cid.Cid) (uint32, error) {
	if !set.Defined() {
		return 0, fmt.Errorf("number set: %w: undefined set", blockstore.ErrInvalid)
	}
	return b.number(kindSet, set.KeyString())
}

// number is the number of a name, given now if it has none.
func (b *batch) number(kind byte, name string) (uint32, error) {
	if no, ok := b.store.names.number(kind, name); ok {
		return no, nil
	}
	key := string(kind) + name
	if no, ok := b.fresh[key]; ok {
		return no, nil
	}
	no := b.store.names.lastNumber() + uint32(len(b.fresh)) + 1
	v := binary.BigEndian.AppendUint32(nil, no)
	if err := b.put([]byte{kindCounter}, v); err != nil {
		return 0, err
	}
	if err := b.put([]byte(key), v); err != nil {
		return 0, err
	}
	if b.fresh == nil {
		b.fresh = map[string]uint32{}
	}
	b.fresh[key] = no
	return no, nil
}
