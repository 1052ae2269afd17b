package replica

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// What is amended is there after a restart; what may not be amended, or not so, leaves everything as it was.
func TestAmend(t *testing.T) {
	t.Parallel()
	m := newMember(t, role{})
	set := m.share(newTree(t, 1)).Replica.Set()
	other := idOf(newKey(t))
	ctx := within(t)
	amend := func(edit func(*record.Config) error) (record.Config, error) {
		return m.Amend(ctx, m.replica(set), edit)
	}
	c, err := amend(func(c *record.Config) error {
		c.Readers, c.Name, c.Public = append(c.Readers, other), "renamed", false
		return nil
	})
	if err != nil || c.Version != 2 || c.Name != "renamed" || !slices.Contains(c.Readers, other) {
		t.Fatalf("amended to %+v: %v", c, err)
	}
	boom := errors.New("boom")
	for what, tt := range map[string]struct {
		edit func(*record.Config) error
		want error
	}{
		"an edit that fails":     {func(*record.Config) error { return boom }, boom},
		"without voters":         {func(c *record.Config) error { c.Voters = nil; return nil }, record.ErrMalformed},
		"a version left out":     {func(c *record.Config) error { c.Version++; return nil }, record.ErrForged},
		"of another set":         {func(c *record.Config) error { c.Set = m.share(newTree(t, 2)).Replica.Set(); return nil }, record.ErrForged},
		"strict without a store": {func(c *record.Config) error { c.Mode = record.ModeStrict; return nil }, record.ErrMalformed},
	} {
		if _, err := amend(tt.edit); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.Amend(ended, m.replica(set), func(*record.Config) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	m.reopen()
	v, st := m.replica(set).Verified(), m.replica(set).State()
	if v.Config.Version != 2 || v.Config.Name != "renamed" || st.Name != "renamed" || len(st.Bundle.Configs) != 2 || len(v.Heads) != 1 {
		t.Errorf("after a restart: config %+v, state %q with %d configs", v.Config, st.Name, len(st.Bundle.Configs))
	}
}

func TestAmendTakesTheOwnersKey(t *testing.T) {
	t.Parallel()
	author := newMember(t, role{})
	set := author.share(newTree(t, 1)).Replica.Set()
	reader := newMember(t, role{}, author)
	reader.fetch(set)
	edit := func(c *record.Config) error { c.Name = "mine"; return nil }
	if _, err := reader.Amend(within(t), reader.replica(set), edit); !errors.Is(err, ErrNotOwner) {
		t.Errorf("a reader amends: %v", err)
	}
	if got := reader.replica(set).Verified().Config; got.Version != 1 {
		t.Errorf("config %d", got.Version)
	}
}

// A strict set changes one voter at a time; whatever else changes is not held up by that.
func TestAmendOneVoterAtATime(t *testing.T) {
	t.Parallel()
	m := newMember(t, role{})
	rep := m.share(newTree(t, 1)).Replica
	a, b := idOf(newKey(t)), idOf(newKey(t))
	one, two := []byte("12345678"), []byte("abcdefgh")
	add := func(c *record.Config, p peer.ID, instance []byte) {
		c.Voters = append(c.Voters, p)
		c.Instances[p] = instance
	}
	c := rep.Verified().Config
	c.Mode, c.Instances = record.ModeStrict, map[peer.ID][]byte{m.self: rep.State().Instance}
	for what, tt := range map[string]struct {
		edit func(*record.Config)
		want error
	}{
		"one more":                 {func(c *record.Config) { add(c, a, one) }, nil},
		"two more":                 {func(c *record.Config) { add(c, a, one); add(c, b, two) }, ErrTwoVoters},
		"one for another":          {func(c *record.Config) { c.Voters = nil; add(c, a, one) }, ErrTwoVoters},
		"another store":            {func(c *record.Config) { c.Instances[m.self] = two }, nil},
		"another store and a node": {func(c *record.Config) { c.Instances[m.self] = two; add(c, b, two) }, ErrTwoVoters},
		"readers":                  {func(c *record.Config) { c.Readers = []peer.ID{a, b} }, nil},
	} {
		next := c.Next(cid.Undef)
		tt.edit(&next)
		if err := m.mayVote(rep, c, next); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
		next.Mode = record.ModeAP
		if err := m.mayVote(rep, c, next); err != nil {
			t.Errorf("%s, not strict: %v", what, err)
		}
	}
}

func TestStoresOfAWriter(t *testing.T) {
	t.Parallel()
	m := newMember(t, role{})
	dir := newTree(t, 1)
	rep := m.share(dir).Replica
	write(t, filepath.Join(dir, "more"), noise(7, 1000))
	m.share(dir)
	key := record.InstanceKey(rep.State().Instance)
	if got := m.Stores(rep, m.self); len(got) != 1 || got[key] != 2 {
		t.Errorf("stores %v, want %s with 2 proposals", got, key)
	}
	if got := m.Stores(rep, idOf(newKey(t))); len(got) != 0 {
		t.Errorf("stores of somebody who wrote nothing: %v", got)
	}
}

// The name of a store is reserved before the set is here, taken with it, and never used again after it was forgotten.
func TestInstance(t *testing.T) {
	t.Parallel()
	author := newMember(t, role{})
	set := author.share(newTree(t, 1)).Replica.Set()
	m := newMember(t, role{}, author)
	instance := func() []byte {
		t.Helper()
		b, err := m.Instance(set)
		if err != nil || len(b) != record.InstanceSize {
			t.Fatalf("instance %x: %v", b, err)
		}
		return b
	}
	reserved := instance()
	if !bytes.Equal(instance(), reserved) {
		t.Error("another one was reserved the second time")
	}
	m.fetch(set)
	if got := instance(); !bytes.Equal(got, reserved) || !bytes.Equal(m.replica(set).State().Instance, reserved) {
		t.Errorf("taken %x, reserved %x, state %x", got, reserved, m.replica(set).State().Instance)
	}
	m.reopen()
	if got := instance(); !bytes.Equal(got, reserved) {
		t.Errorf("after a restart %x, before %x", got, reserved)
	}
	if _, err := m.Registry.Remove(within(t), m.replica(set), true); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(instance(), reserved) {
		t.Error("a store that forgot the set has its name still")
	}
	if b, err := author.Instance(set); err != nil || !bytes.Equal(b, author.replica(set).State().Instance) {
		t.Errorf("the author's: %x, %v", b, err)
	}
}
