package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2/maybe"
	"github.com/ipfs/go-cid"

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

	Dir      string `json:"dir"`            // absolute path of the worktree
	Only     string `json:"only,omitempty"` // base name, when the set is this one file of Dir
	Shared   bool   `json:"shared"`         // Dir is the author's own folder: never written by this node
	Complete bool   `json:"complete"`       // every block of the head is here
	Leaves   int    `json:"leaves"`         // distinct leaves of the head, once known

	Instance []byte `json:"instance,omitempty"` // this store's writer instance, 8 random bytes
	Seq      uint64 `json:"seq,omitempty"`      // last writer sequence number used with Instance
	Cap      []byte `json:"cap,omitempty"`      // capability of the ticket this set was got with
}

// stateFormat is the version of State's JSON. A newer one is refused; older ones are migrated in load.
const stateFormat = 1

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
