package record

import (
	"fmt"
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
	m.Readers, err = encodePeerIDs("readers", c.Readers)
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
	return nil
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
	c.Readers, err = decodePeerIDs("readers", m.GetReaders())
	return c, err
}
