package record

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// fullConfig has everything that a config may say.
func fullConfig(w *world) Config {
	c := w.config.Next(w.configHash)
	c.Mode = ModeStrict
	c.Voters = []peer.ID{w.voter.id, w.owner.id}
	slices.Sort(c.Voters)
	c.Instances = map[peer.ID][]byte{w.voter.id: []byte("voter--1"), w.owner.id: []byte("owner--1")}
	c.Cuts = map[string]uint64{InstanceKey([]byte("writer-1")): 3, InstanceKey([]byte("writer-0")): MaxCounter}
	c.Revoked = [][]byte{[]byte("aaaaaaaaaaaaaaaa"), []byte("bbbbbbbbbbbbbbbb")}
	return c
}

func TestConfigRoundTrip(t *testing.T) {
	w := newWorld(t)
	people := []peer.ID{w.owner.id, w.voter.id, w.writer.id, w.reader.id, w.stranger.id}
	slices.Sort(people)
	some := func(t *rapid.T, what string, least int) (out []peer.ID) {
		n := rapid.IntRange(least, len(people)).Draw(t, what)
		return slices.Sorted(slices.Values(rapid.Permutation(people).Draw(t, what)[:n]))
	}
	rapid.Check(t, func(t *rapid.T) {
		c := w.config.Next(w.configHash)
		c.Mode = rapid.SampledFrom([]string{ModeAP, ModeStrict}).Draw(t, "mode")
		c.Interval = time.Duration(rapid.Int64Range(0, int64(maxInterval)).Draw(t, "interval"))
		c.Public = rapid.Bool().Draw(t, "public")
		c.Voters, c.Writers, c.Readers = some(t, "voters", 1), some(t, "writers", 1), some(t, "readers", 1)
		c.Instances = map[peer.ID][]byte{}
		for _, p := range c.Voters {
			if c.Mode == ModeStrict || rapid.Bool().Draw(t, "named") {
				c.Instances[p] = rapid.SliceOfN(rapid.Byte(), InstanceSize, InstanceSize).Draw(t, "instance")
			}
		}
		c.Cuts = rapid.MapOfN(rapid.StringMatching(`[0-9a-f]{16}`), rapid.Uint64Range(1, MaxCounter), 0, 5).Draw(t, "cuts")
		for _, n := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{16}`), 0, 5, rapid.ID).Draw(t, "revoked") {
			c.Revoked = append(c.Revoked, []byte(n))
		}
		before := c.Next(cid.Undef)
		sealed, err := SealConfig(c, w.owner.key)
		if err != nil || !reflect.DeepEqual(before.Revoked, c.Revoked) {
			t.Fatalf("sealing made %q of %q, %v", c.Revoked, before.Revoked, err)
		}
		slices.SortFunc(c.Revoked, slices.Compare) // opening gives sets sorted, and empty ones as nil
		if len(c.Instances) == 0 {
			c.Instances = nil
		}
		if len(c.Cuts) == 0 {
			c.Cuts = nil
		}
		got, _, err := OpenConfig(sealed, w.genesis)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("got %+v, %v\nwant %+v", got, err, c)
		}
	})
}

func TestConfigRefuses(t *testing.T) {
	w := newWorld(t)
	nonces := func(n int) (out [][]byte) {
		for i := range n {
			out = append(out, append(make([]byte, NonceSize-2), byte(i>>8), byte(i)))
		}
		return out
	}
	key := InstanceKey([]byte("writer-1"))
	sealing := map[string]func(*Config){
		"instance of no voter":             func(c *Config) { c.Instances[w.stranger.id] = []byte("12345678") },
		"short instance":                   func(c *Config) { c.Instances[w.voter.id] = []byte("1234567") },
		"strict without a voter's":         func(c *Config) { delete(c.Instances, w.voter.id) },
		"strict without any":               func(c *Config) { c.Instances = nil },
		"strict, a stranger's for a voter": func(c *Config) { delete(c.Instances, w.voter.id); c.Instances[w.stranger.id] = []byte("12345678") },
		"cut of 0":                         func(c *Config) { c.Cuts[key] = 0 },
		"cut of 2^64-1":                    func(c *Config) { c.Cuts[key] = math.MaxUint64 },
		"cut of no instance":               func(c *Config) { c.Cuts["zz"] = 1 },
		"cut in upper case":                func(c *Config) { c.Cuts["AAAAAAAAAAAAAAAA"] = 1 },
		"short nonce":                      func(c *Config) { c.Revoked[0] = c.Revoked[0][1:] },
		"a nonce twice":                    func(c *Config) { c.Revoked[0] = c.Revoked[1] },
		"1,025 nonces":                     func(c *Config) { c.Revoked = nonces(MaxRevoked + 1) },
	}
	for name, change := range sealing {
		c := fullConfig(w)
		change(&c)
		if _, err := SealConfig(c, w.owner.key); !errors.Is(err, ErrMalformed) {
			t.Errorf("sealing, %s: %v, want ErrMalformed", name, err)
		}
	}
	opening := map[string]func(*recordpb.Config){
		"unsorted instances": func(m *recordpb.Config) { slices.Reverse(m.Instances) },
		"an instance twice":  func(m *recordpb.Config) { m.Instances = append(m.Instances, m.Instances[1]) },
		"no peer id":         func(m *recordpb.Config) { m.Instances[0].Voter = []byte("x") },
		"unsorted cuts":      func(m *recordpb.Config) { slices.Reverse(m.Cuts) },
		"a cut twice":        func(m *recordpb.Config) { m.Cuts = append(m.Cuts, m.Cuts[1]) },
		"unsorted nonces":    func(m *recordpb.Config) { slices.Reverse(m.Revoked) },
		"empty nonce":        func(m *recordpb.Config) { m.Revoked = append([][]byte{{}}, m.Revoked...) },
	}
	for name, change := range opening {
		m := must(fullConfig(w).encode())(t)
		change(m)
		if _, _, err := OpenConfig(must(seal(kindConfig, m, w.owner.key))(t), w.genesis); !errors.Is(err, ErrMalformed) {
			t.Errorf("opening, %s: %v, want ErrMalformed", name, err)
		}
	}
	c := fullConfig(w)
	c.Revoked = nonces(MaxRevoked)
	if _, err := SealConfig(c, w.owner.key); err != nil {
		t.Errorf("1,024 nonces: %v", err)
	}
}

// Editing the next config leaves the one it came from alone.
func TestNextIsADeepCopy(t *testing.T) {
	w := newWorld(t)
	c, want := fullConfig(w), fullConfig(w)
	hash := rootOf("hash")
	n := c.Next(hash)
	if n.Version != c.Version+1 || !n.Prev.Equals(hash) {
		t.Errorf("version %d after %s", n.Version, n.Prev)
	}
	n.Version, n.Prev = c.Version, c.Prev
	if !reflect.DeepEqual(n, c) {
		t.Errorf("got %+v, want %+v", n, c)
	}
	n.Voters[0], n.Writers[0], n.Readers[0] = "x", "x", "x"
	n.Instances[w.voter.id][0] = 'x'
	delete(n.Instances, w.owner.id)
	clear(n.Cuts)
	n.Revoked[0][0], n.Revoked[1] = 'x', nil
	if !reflect.DeepEqual(c, want) {
		t.Errorf("changed to %+v", c)
	}
	first := w.config.Next(w.configHash) // of one without maps
	first.Instances[w.voter.id], first.Cuts[InstanceKey([]byte("writer-1"))] = []byte("voter--1"), 1
	if _, err := SealConfig(first, w.owner.key); err != nil {
		t.Error(err)
	}
}

// A voter whose store is named orders with no other.
func TestHeadOfAnotherStore(t *testing.T) {
	w := newWorld(t)
	c := w.config.Next(w.configHash)
	c.Instances = map[peer.ID][]byte{w.voter.id: []byte("voter--1")}
	sealed := must(SealConfig(c, w.owner.key))(t)
	c, hash, err := OpenConfig(sealed, w.genesis)
	if err != nil {
		t.Fatal(err)
	}
	for instance, want := range map[string]error{"voter--1": nil, "voter--2": ErrForged} {
		b := w.child(t, func(h *Head) {
			h.ConfigVersion, h.Epoch.ConfigVersion, h.ConfigHash = 2, 2, hash
			h.Epoch.Instance = []byte(instance)
		})
		if _, _, err := OpenHead(b, c, hash); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", instance, err, want)
		}
	}
}

// What a writer published before it was struck off stays, up to the cut; what it says later does not count.
func TestWriterStruckOff(t *testing.T) {
	w := newWorld(t)
	key := InstanceKey(w.proposal.Instance)
	two := w.proposal
	two.Seq = 2
	byStranger := w.proposal
	byStranger.Writer = w.stranger.id
	second := must(SealProposal(two, w.writer.key))(t)
	tests := map[string]struct {
		listed   bool
		cuts     map[string]uint64
		proposal []byte
		want     error // within the chain of configs
		alone    error // under the config alone, as a new proposal is judged
	}{
		"listed":                    {true, nil, second, nil, nil},
		"listed, within the cut":    {true, map[string]uint64{key: 2}, second, nil, nil},
		"listed, beyond the cut":    {true, map[string]uint64{key: 1}, second, ErrForged, ErrForged},
		"listed, another's cut":     {true, map[string]uint64{"0000000000000000": 1}, second, nil, nil},
		"struck off, not cut":       {false, nil, second, ErrForged, ErrForged},
		"struck off, within":        {false, map[string]uint64{key: 2}, second, nil, ErrForged},
		"struck off, beyond":        {false, map[string]uint64{key: 1}, second, ErrForged, ErrForged},
		"stranger, writer's store":  {false, map[string]uint64{key: 2}, must(SealProposal(byStranger, w.stranger.key))(t), ErrForged, ErrForged},
		"stranger, nobody was cut":  {true, nil, must(SealProposal(byStranger, w.stranger.key))(t), ErrForged, ErrForged},
		"signature is not writer's": {true, nil, flip(second), ErrForged, ErrForged},
	}
	for name, test := range tests {
		c := w.config.Next(w.configHash)
		if c.Cuts = test.cuts; !test.listed {
			c.Writers = []peer.ID{w.owner.id}
		}
		sealed := must(SealConfig(c, w.owner.key))(t)
		c, hash, err := OpenConfig(sealed, w.genesis)
		if err != nil {
			t.Fatal(err)
		}
		b := w.child(t, func(h *Head) {
			h.ConfigVersion, h.Epoch.ConfigVersion, h.ConfigHash = 2, 2, hash
			h.Proposals = [][]byte{test.proposal}
		})
		if _, _, err := OpenHeads(w.verified(t, sealed), [][]byte{b}); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if _, _, err := OpenProposal(test.proposal, c); !errors.Is(err, test.alone) {
			t.Errorf("%s: as a new proposal %v, want %v", name, err, test.alone)
		}
		if _, _, err := OpenHead(b, c, hash); !errors.Is(err, test.alone) {
			t.Errorf("%s: without the chain %v, want %v", name, err, test.alone)
		}
	}
}
