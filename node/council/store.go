package council

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ipfs/go-cid"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	councilpb "github.com/shoal-p2p/shoal/node/council/pb"
	"github.com/shoal-p2p/shoal/node/election"
	"github.com/shoal-p2p/shoal/node/slots"
	"github.com/shoal-p2p/shoal/protocols/record"
)

const (
	stateExt = ".state"
	headExt  = ".head"
)

// file is a slots.File.
type file interface {
	Save(value []byte) error
	Recovered() bool // the value may be the one before the last
	Close() error
}

// store is the state file of a set, and the files of heads that do not fit into it.
type store struct {
	base  string // of the files' paths
	file  file
	aside map[cid.Cid]bool // heads in files of their own
}

// openStore gives the value of the set's state file, nil if there is none. Errors: slots.ErrLost, those of the disk.
func openStore(dir string, set cid.Cid) (*store, []byte, error) {
	s := &store{base: filepath.Join(dir, set.String()), aside: map[cid.Cid]bool{}}
	f, value, err := slots.Open(s.base + stateExt)
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		return nil, nil, err
	}
	s.file = f
	return s, value, nil
}

func (s *store) close() error { return s.file.Close() }

func (s *store) headPath(id cid.Cid) string { return s.base + "." + id.String() + headExt }

// save makes p the value. sealed gives the bytes of its heads. Errors: as slots.File.Save; the store must then be
// opened again.
func (s *store) save(p election.Persistent, sealed func(cid.Cid) []byte) error {
	var x index
	m := &councilpb.State{
		Instance: p.Instance, Boot: p.Boot, Fresh: p.Fresh, Epoch: encodeEpoch(p.Epoch), Granted: encodeEpoch(p.Granted), Seq: p.Seq,
		Known: x.add(p.Known), Have: x.add(p.Have), Durable: x.add(p.Durable), Waived: x.add(p.Waived),
	}
	for _, h := range x.heads {
		b := sealed(h.ID)
		if b == nil {
			return fmt.Errorf("save state: head %s is not known", h.ID)
		}
		d := blockstore.Digest(h.ID)
		m.Heads = append(m.Heads, &councilpb.StoredHead{Id: d[:], Sealed: b})
	}
	aside, err := s.lighten(m)
	if err != nil {
		return err
	}
	value, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if err := s.file.Save(value); err != nil {
		return err
	}
	s.drop(aside)
	return nil
}

// lighten puts the largest heads into files of their own until the rest fits into a slot.
func (s *store) lighten(m *councilpb.State) (aside map[cid.Cid]bool, err error) {
	size := proto.Size(m)
	if size <= slots.MaxData {
		return nil, nil
	}
	aside = map[cid.Cid]bool{}
	heads := slices.Clone(m.Heads)
	slices.SortFunc(heads, func(a, b *councilpb.StoredHead) int { return cmp.Compare(len(b.Sealed), len(a.Sealed)) })
	for _, h := range heads {
		if size <= slots.MaxData {
			break
		}
		id := blockstore.FromDigest(cid.Raw, [32]byte(h.Id))
		if !s.aside[id] {
			if err := writeHead(s.headPath(id), h.Sealed); err != nil {
				return nil, err
			}
			s.aside[id] = true
		}
		aside[id] = true
		size -= len(h.Sealed)
		h.Sealed = nil
	}
	return aside, nil
}

// drop removes the files of heads that the value does not name any more.
func (s *store) drop(named map[cid.Cid]bool) {
	for id := range s.aside {
		if !named[id] && os.Remove(s.headPath(id)) == nil {
			delete(s.aside, id)
		}
	}
}

// writeHead uses the two slots for what they are, a durable value.
func writeHead(path string, sealed []byte) error {
	f, _, err := slots.Open(path)
	if err != nil && !errors.Is(err, slots.ErrLost) {
		return err
	}
	return errors.Join(f.Save(sealed), f.Close())
}

func readHead(path string) ([]byte, error) {
	f, sealed, err := slots.Open(path)
	if err != nil {
		return nil, err
	}
	if len(sealed) == 0 {
		return nil, errors.Join(fmt.Errorf("%w: there is no file of a head", errMalformed), f.Close())
	}
	return sealed, f.Close()
}

// load reads a value of the store. Every head in it is given to verify with its bytes.
func (s *store) load(value []byte, verify func(sealed []byte) (*election.Head, error)) (p election.Persistent, err error) {
	m := &councilpb.State{}
	if err := proto.Unmarshal(value, m); err != nil {
		return p, fmt.Errorf("load state: %w: %v", errMalformed, err)
	}
	if len(m.GetInstance()) != record.InstanceSize {
		return p, fmt.Errorf("load state: %w: instance of %d bytes", errMalformed, len(m.GetInstance()))
	}
	heads, err := s.loadHeads(m, verify)
	if err != nil {
		return p, fmt.Errorf("load state: %w", err)
	}
	for _, places := range [][]uint32{m.Known, m.Have, m.Durable, m.Waived} {
		if err := checkPlaces(places, len(heads), len(heads)); err != nil {
			return p, fmt.Errorf("load state: %w", err)
		}
	}
	p = election.Persistent{
		Instance: m.Instance, Boot: m.Boot, Fresh: m.Fresh, Seq: m.Seq,
		Known: pick(heads, m.Known), Have: pick(heads, m.Have), Durable: pick(heads, m.Durable),
	}
	for _, at := range m.Waived {
		p.Waived = append(p.Waived, heads[at])
	}
	if p.Epoch, err = decodeEpoch(m.Epoch); err == nil {
		p.Granted, err = decodeEpoch(m.Granted)
	}
	if err != nil {
		return p, fmt.Errorf("load state: %w", err)
	}
	return p, nil
}

func (s *store) loadHeads(m *councilpb.State, verify func([]byte) (*election.Head, error)) (heads []*election.Head, err error) {
	for _, h := range m.GetHeads() {
		ids, err := decodeIDs([][]byte{h.GetId()})
		if err != nil {
			return nil, err
		}
		id, sealed := ids[0], h.GetSealed()
		if len(sealed) == 0 {
			if sealed, err = readHead(s.headPath(id)); err != nil {
				return nil, err
			}
			s.aside[id] = true
		}
		head, err := verify(sealed)
		if err != nil {
			return nil, fmt.Errorf("head %s: %w", id, err)
		}
		if head.ID != id {
			return nil, fmt.Errorf("%w: head %s is %s", errMalformed, id, head.ID)
		}
		heads = append(heads, head)
	}
	return heads, nil
}

// removeState removes the files of a set whose store is not open.
func removeState(dir string, set cid.Cid) error {
	base := filepath.Join(dir, set.String())
	heads, err := filepath.Glob(base + ".*" + headExt)
	for _, path := range append(heads, base+stateExt) {
		if e := os.Remove(path); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return fmt.Errorf("remove state: %w", err)
	}
	return nil
}
