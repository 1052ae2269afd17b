package badgerstore

import (
	"encoding/binary"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// names numbers sets and trees, so that records name them in a byte or two. Numbers start at 1, are
// shared by both kinds and never used again: a record left behind by a crash cannot end up in a set
// that came later.
type names struct {
	mu   sync.RWMutex // guards the following
	no   map[string]uint32
	name map[uint32]string // kind byte and name
	last uint32
}

func (n *names) number(kind byte, name string) (uint32, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	no, ok := n.no[string(kind)+name]
	return no, ok
}

// of returns the name of a number, which must be of the kind.
func (n *names) of(kind byte, no uint32) (string, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	name, ok := n.name[no]
	if !ok || name[0] != kind {
		return "", false
	}
	return name[1:], true
}

func (n *names) lastNumber() uint32 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.last
}

func (n *names) add(name string, no uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.no[name], n.name[no] = no, name
	n.last = max(n.last, no)
}

func (n *names) remove(kind byte, no uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, ok := n.name[no]; ok && name[0] == kind {
		delete(n.no, name)
		delete(n.name, no)
	}
}

// loadNames reads all names: sets and shared folders are few.
func loadNames(txn *badger.Txn) (*names, error) {
	n := &names{no: map[string]uint32{}, name: map[uint32]string{}}
	for _, kind := range []byte{kindSet, kindTree, kindCounter} {
		err := scan(txn, []byte{kind}, nil, func(item *badger.Item) error {
			return item.Value(func(v []byte) error {
				if len(v) != 4 {
					return errRecord
				}
				no := binary.BigEndian.Uint32(v)
				if kind == kindCounter {
					n.last = max(n.last, no)
				} else {
					n.add(string(item.Key()), no)
				}
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return n, nil
}

// scan calls fn for the records with prefix in key order, starting at from if that is not nil.
func scan(txn *badger.Txn, prefix, from []byte, fn func(*badger.Item) error) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = prefix
	o.PrefetchValues = false // values lie in the mapped tables; fetching ahead would start goroutines
	it := txn.NewIterator(o)
	defer it.Close()
	if from == nil {
		from = prefix
	}
	for it.Seek(from); it.ValidForPrefix(prefix); it.Next() {
		if err := fn(it.Item()); err != nil {
			return err
		}
	}
	return nil
}
