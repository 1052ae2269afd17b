package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2/maybe"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/shoal-p2p/shoal/protocols/record"
)

// State is what a home remembers of one set between runs: its signed records and where its files lie. It
// is one small JSON file per set, replaced atomically and fsynced, because the store's database alone is
// not a safe place for it: everything in the database can be rebuilt from the worktree and from peers.
type State struct {
	Format int           `json:"format"` // of this file; see stateFormat
	Set    string        `json:"set"`
	Name   string        `json:"name"`
	Bundle record.Bundle `json:"bundle"`

	// Past holds the sealed heads before the newest, newest first, at most maxPast: each is a parent of the
	// one before it. With them in view the nodes of their revisions are kept.
	Past [][]byte `json:"past,omitempty"`

	// Forks holds sealed heads beside the newest whose blocks are all here too: of a voter, until they are merged.
	Forks [][]byte `json:"forks,omitempty"`

	Dir      string `json:"dir"`             // absolute path of the worktree
	Only     string `json:"only,omitempty"`  // base name, when the set is this one file of Dir
	Shared   bool   `json:"shared"`          // Dir is the author's own folder: never written by this node
	Complete bool   `json:"complete"`        // every block of the head is here
	Leaves   int    `json:"leaves"`          // distinct leaves of the head, once known
	Marker   marker `json:"marker,omitzero"` // of Dir when the newest revision was made of it, or was complete in it

	Base    string   `json:"base,omitempty"`    // root of the last revision that Dir held completely, or that was made of it
	Holders []string `json:"holders,omitempty"` // addresses of some that had the set the last time; of a get only
	// BaseHead is the head that Base is of, or the one that was made of what Base is the root of.
	BaseHead string `json:"base_head,omitempty"`
	// Draft is a sealed proposal of which it is not known what became of it.
	Draft []byte `json:"draft,omitempty"`
	// Onto is the root of the one revision that a get has begun to put onto Base, "mixed" after several: what Dir
	// holds of Base and Onto is the difference of the two, of several it is anybody's guess.
	Onto string `json:"onto,omitempty"`

	// Lost are some blocks of the newest revision that were found not to be in Dir any more; Refused is why Dir was not
	// published as it was last. Both are what an alarm is about, and say nothing else.
	Lost    []string `json:"lost,omitempty"`
	Refused string   `json:"refused,omitempty"`

	Instance []byte `json:"instance,omitempty"` // this store's writer instance, 8 random bytes
	Seq      uint64 `json:"seq,omitempty"`      // last writer sequence number used with Instance
	Seated   bool   `json:"seated,omitempty"`   // this store has taken part in elections of the set
	HeadSeq  uint64 `json:"head_seq,omitempty"` // last number of a head made with Instance
	Cap      []byte `json:"cap,omitempty"`      // capability of the ticket this set was got with
}

// mixed is what Onto says when parts of several revisions lie in Dir.
const mixed = "mixed"

// holders are the peers of Holders.
func (st State) holders() []peer.AddrInfo {
	var addrs []multiaddr.Multiaddr
	for _, text := range st.Holders {
		if a, err := multiaddr.NewMultiaddr(text); err == nil {
			addrs = append(addrs, a)
		}
	}
	all, err := peer.AddrInfosFromP2pAddrs(addrs...)
	if err != nil {
		return nil // a hint, and a damaged one
	}
	return all
}

// joinAddrs adds the peers remembered to those of a ticket, whose addresses come first.
func joinAddrs(ticket, remembered []peer.AddrInfo) []peer.AddrInfo {
	all := slices.Clone(ticket)
	for _, p := range remembered {
		i := slices.IndexFunc(all, func(q peer.AddrInfo) bool { return q.ID == p.ID })
		if i < 0 {
			all = append(all, p)
			continue
		}
		all[i].Addrs = slices.Concat(all[i].Addrs, p.Addrs)
	}
	return all
}

// stateFormat is the version of State's JSON. A newer one is refused. Version 1 had neither past nor marker,
// and its zero values say just that: nothing is known of either.
const stateFormat = 2

// maxPast with the newest makes 16 revisions whose nodes are kept: a reader that was away for as many still
// gets differences instead of whole nodes.
const maxPast = 15

// marker tells a folder from another one under the same path; zero where that is not known.
type marker struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

// differs is true only where both are known.
func (m marker) differs(now marker) bool {
	return m != marker{} && now != marker{} && m != now
}

// supersede moves the heads to Past, to make room for one that follows them.
func (st *State) supersede() {
	past := slices.Concat(st.Bundle.Heads, st.Past)
	st.Past = past[:min(len(past), maxPast)]
	st.Bundle.Heads = nil
}

// succeed makes sealed the newest head; the one it follows becomes the first of Past.
func (st *State) succeed(sealed []byte) {
	st.supersede()
	st.Bundle.Heads = [][]byte{sealed}
}

// ErrNewerFormat is returned for a home that a newer version of this program has written.
var ErrNewerFormat = errors.New("written by a newer version")

// states keeps one file per set in dir.
type states struct{ dir string }

func (s states) path(set string) string { return filepath.Join(s.dir, set+".json") }

// save writes st atomically and durably.
func (s states) save(st State) error {
	st.Format = stateFormat
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("save state of %s: %w", st.Set, err)
	}
	if err := maybe.WriteFile(s.path(st.Set), b, 0o600); err != nil {
		return fmt.Errorf("save state of %s: %w", st.Set, err)
	}
	return nil
}

// remove forgets a set; forgetting one that is not there is no error.
func (s states) remove(set string) error {
	if err := os.Remove(s.path(set)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove state: %w", err)
	}
	return nil
}

// load reads every set's state. One that cannot be understood is left out and named in bad: it must not
// take the other sets with it. Errors: ErrNewerFormat.
func (s states) load() (all []State, bad []error, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("load states: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue // a temporary of an interrupted save
		}
		b, err := os.ReadFile(filepath.Join(s.dir, e.Name()))
		if err != nil {
			return nil, nil, fmt.Errorf("load states: %w", err)
		}
		var st State
		if err := json.Unmarshal(b, &st); err != nil {
			bad = append(bad, fmt.Errorf("load state %s: %w", e.Name(), err))
			continue
		}
		if st.Format > stateFormat {
			return nil, nil, fmt.Errorf("load state %s: %w (format %d, this program knows %d)", e.Name(), ErrNewerFormat, st.Format, stateFormat)
		}
		all = append(all, st)
	}
	return all, bad, nil
}

// setID parses the set id of a state.
func (st State) setID() (cid.Cid, error) {
	c, err := cid.Decode(st.Set)
	if err != nil {
		return cid.Undef, fmt.Errorf("set id %q: %w", st.Set, err)
	}
	return c, nil
}
