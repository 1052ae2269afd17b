package record

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// Modes of a set after a partition.
const (
	ModeAP     = "ap"     // both sides publish; forks are merged
	ModeStrict = "strict" // only the side with a majority of voters publishes
)

// maxInterval bounds the beacon interval a config may ask for: at a minute, a dead primary is noticed
// after four minutes, later than anyone would call monitoring.
const maxInterval = time.Minute

// Config says who may do what in a set. Configs are chained: version n+1 names the hash of version n.
// Member lists are sets; opening one gives them in ascending order.
type Config struct {
	Set      cid.Cid
	Version  uint64        // 1, 2, 3 ...
	Prev     cid.Cid       // the config before; undefined in version 1
	Name     string        // see CheckName
	Voters   []peer.ID     // may become primary and sign heads; at least one
	Writers  []peer.ID     // may sign proposals
	Readers  []peer.ID     // may read, if not Public; voters and writers may anyway
	Public   bool          // anyone may read
	Mode     string        // ModeAP or ModeStrict
	Interval time.Duration // of beacons; 0 = the node's default

	// Instances names the only store (InstanceSize bytes) of a voter that may vote. A strict config names all
	// voters'; in another, a voter that is not named may use any.
	Instances map[peer.ID][]byte
	Cuts      map[string]uint64 // a writer's store (InstanceKey) -> the last of its proposals that is accepted
	Revoked   [][]byte          // nonces of invites that do not count any more
}

// Next is the config to be edited and sealed after c, whose hash is given. It shares no memory with c,
// and its maps are there to be written to.
func (c Config) Next(hash cid.Cid) Config {
	c.Version, c.Prev = c.Version+1, hash
	c.Voters, c.Writers, c.Readers = slices.Clone(c.Voters), slices.Clone(c.Writers), slices.Clone(c.Readers)
	instances, cuts := make(map[peer.ID][]byte), make(map[string]uint64)
	for p, instance := range c.Instances {
		instances[p] = slices.Clone(instance)
	}
	maps.Copy(cuts, c.Cuts)
	c.Instances, c.Cuts, c.Revoked = instances, cuts, slices.Clone(c.Revoked)
	for i, nonce := range c.Revoked {
		c.Revoked[i] = slices.Clone(nonce)
	}
	return c
}

// MayRead tells whether the config lets p read the set.
func (c Config) MayRead(p peer.ID) bool {
	return c.Public || slices.Contains(c.Readers, p) || slices.Contains(c.Writers, p) || slices.Contains(c.Voters, p)
}

// SealConfig signs c with an owner's key. Errors: ErrMalformed.
func SealConfig(c Config, owner crypto.PrivKey) ([]byte, error) {
	m, err := c.encode()
	if err != nil {
		return nil, fmt.Errorf("seal config: %w", err)
	}
	b, err := seal(kindConfig, m, owner)
	if err != nil {
		return nil, fmt.Errorf("seal config: %w", err)
	}
	return b, nil
}

// OpenConfig opens a sealed config of the set that g founds and gives its hash, the CID of its payload.
// That it follows the config before is for VerifyBundle to check. Errors: ErrMalformed, ErrForged.
func OpenConfig(b []byte, g Genesis) (Config, cid.Cid, error) {
	var m recordpb.Config
	o, err := open(kindConfig, b, &m)
	if err != nil {
		return Config{}, cid.Undef, fmt.Errorf("open config: %w", err)
	}
	c, err := decodeConfig(&m)
	if err != nil {
		return Config{}, cid.Undef, fmt.Errorf("open config: %w", err)
	}
	again, err := c.encode()
	if err == nil {
		err = o.canonical(again)
	}
	if err != nil {
		return Config{}, cid.Undef, fmt.Errorf("open config: %w", err)
	}
	set, err := g.ID()
	if err != nil {
		return Config{}, cid.Undef, fmt.Errorf("open config: genesis: %w", err)
	}
	if !c.Set.Equals(set) {
		return Config{}, cid.Undef, fmt.Errorf("open config: %w: of another set", ErrForged)
	}
	if !g.owns(o.signer) {
		return Config{}, cid.Undef, fmt.Errorf("open config: %w: not signed by an owner", ErrForged)
	}
	return c, o.id, nil
}

func (c Config) encode() (*recordpb.Config, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	m := &recordpb.Config{
		Version: c.Version, Name: c.Name, Public: c.Public, Mode: c.Mode, IntervalNs: uint64(c.Interval),
	}
	var err error
	if m.Set, err = encodeCid("set", c.Set); err != nil {
		return nil, err
	}
	if c.Version > 1 {
		if m.Prev, err = encodeCid("previous config", c.Prev); err != nil {
			return nil, err
		}
	}
	if m.Voters, err = encodePeerIDs("voters", c.Voters); err != nil {
		return nil, err
	}
	if m.Writers, err = encodePeerIDs("writers", c.Writers); err != nil {
		return nil, err
	}
	if m.Readers, err = encodePeerIDs("readers", c.Readers); err != nil {
		return nil, err
	}
	if m.Instances, err = c.encodeInstances(); err != nil {
		return nil, err
	}
	if m.Cuts, err = Vector(c.Cuts).encode(); err != nil {
		return nil, fmt.Errorf("cuts: %w", err)
	}
	m.Revoked, err = sorted("revoked invites", slices.Clone(c.Revoked))
	return m, err
}

// check looks at what encoding alone does not.
func (c Config) check() error {
	if err := checkCounter("config version", c.Version); err != nil {
		return err
	}
	if c.Version == 1 && c.Prev.Defined() {
		return fmt.Errorf("%w: config version 1 has a previous one", ErrMalformed)
	}
	if err := CheckName(c.Name); err != nil {
		return err
	}
	if len(c.Voters) == 0 {
		return fmt.Errorf("%w: no voters", ErrMalformed)
	}
	if c.Mode != ModeAP && c.Mode != ModeStrict {
		return fmt.Errorf("%w: mode %q", ErrMalformed, c.Mode)
	}
	if c.Interval < 0 || c.Interval > maxInterval {
		return fmt.Errorf("%w: interval %v, at most %v", ErrMalformed, c.Interval, maxInterval)
	}
	if len(c.Revoked) > MaxRevoked {
		return fmt.Errorf("%w: %d revoked invites, at most %d", ErrMalformed, len(c.Revoked), MaxRevoked)
	}
	for _, n := range c.Revoked {
		if err := checkNonce(n); err != nil {
			return err
		}
	}
	return nil
}

// encodeInstances gives the stores of voters in ascending order of the voters.
func (c Config) encodeInstances() ([]*recordpb.VoterInstance, error) {
	var out []*recordpb.VoterInstance
	for _, p := range slices.Sorted(maps.Keys(c.Instances)) {
		if !slices.Contains(c.Voters, p) {
			return nil, fmt.Errorf("%w: %s has an instance, but is no voter", ErrMalformed, p)
		}
		if err := checkInstance(c.Instances[p]); err != nil {
			return nil, err
		}
		out = append(out, &recordpb.VoterInstance{Voter: []byte(p), Instance: c.Instances[p]})
	}
	if c.Mode == ModeStrict && len(out) != len(c.Voters) {
		return nil, fmt.Errorf("%w: mode %s with the instances of %d of %d voters", ErrMalformed, c.Mode, len(out), len(c.Voters))
	}
	return out, nil
}

func decodeConfig(m *recordpb.Config) (c Config, err error) {
	if m.GetIntervalNs() > uint64(maxInterval) { // so that it fits a Duration
		return c, fmt.Errorf("%w: interval %d ns", ErrMalformed, m.GetIntervalNs())
	}
	c = Config{
		Version: m.GetVersion(), Name: m.GetName(), Public: m.GetPublic(), Mode: m.GetMode(),
		Interval: time.Duration(m.GetIntervalNs()),
	}
	if c.Set, err = decodeCid("set", m.GetSet()); err != nil {
		return c, err
	}
	if len(m.GetPrev()) > 0 {
		if c.Prev, err = decodeCid("previous config", m.GetPrev()); err != nil {
			return c, err
		}
	}
	if c.Voters, err = decodePeerIDs("voters", m.GetVoters()); err != nil {
		return c, err
	}
	if c.Writers, err = decodePeerIDs("writers", m.GetWriters()); err != nil {
		return c, err
	}
	if c.Readers, err = decodePeerIDs("readers", m.GetReaders()); err != nil {
		return c, err
	}
	c.Instances, err = decodeInstances(m.GetInstances())
	if cuts := m.GetCuts(); len(cuts) > 0 {
		c.Cuts = decodeVector(cuts)
	}
	c.Revoked = m.GetRevoked()
	return c, err
}

// decodeInstances does not mind the order or doubles: encoding again shows them.
func decodeInstances(ms []*recordpb.VoterInstance) (map[peer.ID][]byte, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	out := make(map[peer.ID][]byte, len(ms))
	for _, m := range ms {
		p, err := decodePeerID("voter with an instance", m.GetVoter())
		if err != nil {
			return nil, err
		}
		out[p] = m.GetInstance()
	}
	return out, nil
}
