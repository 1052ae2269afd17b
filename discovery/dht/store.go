package dht

import (
	"context"
	"strings"
	"sync"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

const (
	// maxProviders are remembered of one key. A reader dials at most maxPerLookup of an answer, and an
	// answer of 256 peers is some 50 KB.
	maxProviders = 256
	// maxRecords are remembered in all: under 20 MB, and 256 honest nodes with 400 sets each.
	maxRecords = 100_000
)

// providerStore keeps provider records in memory and bounds them, because a server has to accept a record
// for any key from anybody. The first to come stay (and may renew); a flood finds no room instead of
// pushing out those who were here before. Our own records are always taken. Records are named
// /providers/<key>/<peer> by the library.
type providerStore struct {
	self string // last part of the names of our own records

	mu     sync.Mutex // guards the rest
	groups map[string]map[string][]byte
	total  int
}

func newProviderStore(self string) *providerStore {
	return &providerStore{self: self, groups: make(map[string]map[string][]byte)}
}

// split cuts a name into the part before the peer and the peer.
func split(name string) (group, member string) {
	i := strings.LastIndexByte(name, '/')
	return name[:i+1], name[i+1:]
}

// Put keeps a record if there is room, and silently does not if not: a full store is no error of the
// batch it is part of.
func (s *providerStore) Put(_ context.Context, k datastore.Key, value []byte) error {
	group, member := split(k.String())
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[group]
	if _, renewed := g[member]; !renewed {
		if member != s.self && (len(g) >= maxProviders || s.total >= maxRecords) {
			return nil
		}
		if g == nil {
			g = make(map[string][]byte)
			s.groups[group] = g
		}
		s.total++
	}
	g[member] = value
	return nil
}

func (s *providerStore) Delete(_ context.Context, k datastore.Key) error {
	group, member := split(k.String())
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[group]
	if _, ok := g[member]; !ok {
		return nil
	}
	delete(g, member)
	s.total--
	if len(g) == 0 {
		delete(s.groups, group)
	}
	return nil
}

func (s *providerStore) Get(_ context.Context, k datastore.Key) ([]byte, error) {
	group, member := split(k.String())
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.groups[group][member]; ok {
		return v, nil
	}
	return nil, datastore.ErrNotFound
}

func (s *providerStore) Has(ctx context.Context, k datastore.Key) (bool, error) {
	_, err := s.Get(ctx, k)
	return err == nil, nil
}

func (s *providerStore) GetSize(ctx context.Context, k datastore.Key) (int, error) {
	v, err := s.Get(ctx, k)
	return len(v), err
}

// Query answers the two questions the library asks, all records of a key and all records, from a copy.
func (s *providerStore) Query(_ context.Context, q query.Query) (query.Results, error) {
	prefix := strings.TrimSuffix(q.Prefix, "/") + "/"
	var entries []query.Entry
	add := func(group string, members map[string][]byte) {
		for m, v := range members {
			entries = append(entries, query.Entry{Key: group + m, Value: v, Size: len(v)})
		}
	}
	s.mu.Lock()
	if g, ok := s.groups[prefix]; ok {
		add(prefix, g)
	} else {
		for group, g := range s.groups {
			if strings.HasPrefix(group, prefix) {
				add(group, g)
			}
		}
	}
	s.mu.Unlock()
	q.Prefix = "" // applied already
	return query.NaiveQueryApply(q, query.ResultsWithEntries(q, entries)), nil
}

func (s *providerStore) Batch(context.Context) (datastore.Batch, error) {
	return datastore.NewBasicBatch(s), nil
}

func (s *providerStore) Sync(context.Context, datastore.Key) error { return nil }

func (s *providerStore) Close() error { return nil }

// noCache is a cache that holds nothing. The library's own is filled past every bound of the store, and
// in front of memory it is of no use.
type noCache struct{}

func (noCache) Add(_, _ any) bool              { return false }
func (noCache) Get(any) (any, bool)            { return nil, false }
func (noCache) Contains(any) bool              { return false }
func (noCache) Peek(any) (any, bool)           { return nil, false }
func (noCache) Remove(any) bool                { return false }
func (noCache) RemoveOldest() (any, any, bool) { return nil, nil, false }
func (noCache) GetOldest() (any, any, bool)    { return nil, nil, false }
func (noCache) Keys() []any                    { return nil }
func (noCache) Len() int                       { return 0 }
func (noCache) Purge()                         {}
func (noCache) Resize(int) int                 { return 0 }
