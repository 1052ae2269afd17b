package replica

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2/maybe"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// Errors of changing who takes part in a set.
var (
	ErrNotOwner  = errors.New("this home has no owner key of the set")
	ErrUnchanged = errors.New("the config says so already")
	// ErrUnsettled: two changes of the voters in a row could leave two majorities that do not meet.
	ErrUnsettled = errors.New("no revision is durable yet since the voters changed last")
	ErrTwoVoters = errors.New("a strict set changes one voter at a time")
)

// Amend makes the next config of a set: edit changes a copy of the newest one, or returns an error and nothing
// happens. Errors: ErrNotOwner, ErrUnsettled, ErrTwoVoters, record.ErrMalformed for what a config cannot hold, edit's.
func (r *Registry) Amend(ctx context.Context, rep *Replica, edit func(*record.Config) error) (record.Config, error) {
	if err := ctx.Err(); err != nil {
		return record.Config{}, err
	}
	owner, err := r.cfg.OwnerKey()
	if err != nil {
		return record.Config{}, fmt.Errorf("amend %s: %w", rep.id, err)
	}
	if !Owns(rep.Verified().Genesis, owner.GetPublic()) {
		return record.Config{}, fmt.Errorf("amend %s: %w", rep.id, ErrNotOwner)
	}
	err = r.change(rep, func(st *State) error {
		v := rep.Verified()
		c := v.Config.Next(v.ConfigHash)
		if err := edit(&c); err != nil {
			return err
		}
		if err := r.mayVote(rep, v.Config, c); err != nil {
			return err
		}
		sealed, err := record.SealConfig(c, owner)
		if err != nil {
			return err
		}
		st.Bundle.Configs = append(slices.Clone(st.Bundle.Configs), sealed)
		st.Name = c.Name
		return nil
	})
	if err != nil {
		return record.Config{}, fmt.Errorf("amend %s: %w", rep.id, err)
	}
	r.amended(rep)
	return rep.Verified().Config, nil
}

// Owns tells whether key is one of the owner keys that a set was founded with.
func Owns(g record.Genesis, key crypto.PubKey) bool {
	return slices.ContainsFunc(g.Owners, func(k crypto.PubKey) bool { return k.Equals(key) })
}

// mayVote refuses a change of the voters of a strict set after which two majorities could order revisions that do
// not meet: of more than one voter at a time, or before the change before it has taken hold.
func (r *Registry) mayVote(rep *Replica, old, next record.Config) error {
	if next.Mode != record.ModeStrict {
		return nil
	}
	changed := 0
	for _, p := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(old.Voters, next.Voters)))) {
		if slices.Contains(old.Voters, p) != slices.Contains(next.Voters, p) || !bytes.Equal(old.Instances[p], next.Instances[p]) {
			changed++
		}
	}
	switch {
	case changed > 1:
		return ErrTwoVoters
	case changed == 1 && !r.settled(rep):
		return ErrUnsettled
	}
	return nil
}

// Stores lists the stores that a writer has published from (record.InstanceKey), each with the number of the last
// proposal of it, as far as the heads tell that are remembered here.
func (r *Registry) Stores(rep *Replica, writer peer.ID) map[string]uint64 {
	out := map[string]uint64{}
	for _, e := range rep.pool() {
		all, err := e.Written()
		if err != nil {
			continue // it was verified when it came
		}
		for _, p := range all {
			if key := record.InstanceKey(p.Instance); p.Writer == writer {
				out[key] = max(out[key], p.Seq)
			}
		}
	}
	return out
}

// Instance names this home's store of a set, as the config of a strict set lists a voter's. It is made when it is
// asked for first; for a set that is not here yet it is reserved, so that the owner can list it before this node may
// read anything.
func (r *Registry) Instance(set cid.Cid) ([]byte, error) {
	rep, ok := r.lookup(set)
	if !ok {
		return r.reserve(set)
	}
	if st := rep.State(); len(st.Instance) > 0 {
		return st.Instance, nil
	}
	if err := r.change(rep, r.nameStore); err != nil {
		return nil, fmt.Errorf("instance of %s: %w", set, err)
	}
	return rep.State().Instance, nil
}

// nameStore gives a set's state an instance, the one reserved for it if there is one.
func (r *Registry) nameStore(st *State) error {
	if len(st.Instance) > 0 {
		return nil
	}
	set, err := st.setID()
	if err != nil {
		return err
	}
	if st.Instance, err = r.reserve(set); err != nil {
		return err
	}
	// Before it is used: a store that forgot the set must never take the name again under which it voted.
	return os.Remove(r.reservation(set))
}

func (r *Registry) reservation(set cid.Cid) string {
	return filepath.Join(r.cfg.Dir, set.String()+".instance")
}

// reserve gives the instance that is reserved for a set, or reserves one.
func (r *Registry) reserve(set cid.Cid) ([]byte, error) {
	path := r.reservation(set)
	text, err := os.ReadFile(path)
	if err == nil {
		if b, err := hex.DecodeString(string(text)); err == nil && len(b) == record.InstanceSize {
			return b, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reserve instance: %w", err)
	}
	b := make([]byte, record.InstanceSize) // 64 random bits: no two stores of one set alike
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("reserve instance: %w", err)
	}
	if err := maybe.WriteFile(path, []byte(hex.EncodeToString(b)), 0o600); err != nil {
		return nil, fmt.Errorf("reserve instance: %w", err)
	}
	return b, nil
}
