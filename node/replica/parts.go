package replica

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/worktree"
)

// maxNote is how much of a note is read, bytes: half a million files. What is not read is somebody else's file again.
const maxNote = 64 << 20

// partNotes are notes of the files that were put into folders which are no replicas. They say nothing of what is in the files:
// only that one which looks as it did then may be replaced by what its set has by now.
type partNotes struct{ dir string }

// note is of one folder.
type note struct {
	Dest  string              `json:"dest"`
	Files map[string]partFile `json:"files,omitempty"` // by path
	Links map[string]string   `json:"links,omitempty"` // symlinks, with where they lead
}

// partFile is a blockstore.Stamp.
type partFile struct {
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"` // nanoseconds since the Unix epoch
	Ctime int64  `json:"ctime"`
	Inode uint64 `json:"inode"`
	Mode  uint32 `json:"mode"`
}

func (p partNotes) path(dest string) string {
	sum := sha256.Sum256([]byte(dest))
	return filepath.Join(p.dir, hex.EncodeToString(sum[:16])+".json")
}

// of reads the note of a folder; one that cannot be read is none.
func (p partNotes) of(dest string) note {
	n, err := readNote(p.path(dest))
	if err != nil || n.Dest != dest {
		return note{Dest: dest}
	}
	return n
}

func readNote(path string) (n note, err error) {
	f, err := os.Open(path)
	if err != nil {
		return note{}, err
	}
	defer f.Close()
	err = json.NewDecoder(io.LimitReader(f, maxNote)).Decode(&n)
	return n, err
}

// save writes a note, and drops those of folders that are gone.
func (p partNotes) save(n note) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("note what was written: %w", err)
	}
	p.sweep()
	b, err := json.Marshal(n)
	if err == nil {
		err = maybe.WriteFile(p.path(n.Dest), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("note what was written: %w", err)
	}
	return nil
}

// sweep leaves what it cannot read: it does no harm.
func (p partNotes) sweep() {
	all, _ := filepath.Glob(filepath.Join(p.dir, "*.json"))
	for _, path := range all {
		n, err := readNote(path)
		if err != nil {
			continue
		}
		if _, err := os.Lstat(n.Dest); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(path)
		}
	}
}

// drop forgets a folder: what is in it is recorded otherwise, or nobody's.
func (p partNotes) drop(dest string) { _ = os.Remove(p.path(dest)) }

// into makes a checkout take what is noted for this node's.
func (n note) into(o *worktree.CheckoutOptions) {
	o.Wrote = func(path string, s blockstore.Stamp) bool {
		f, ok := n.Files[path]
		return ok && f == seenAs(s)
	}
	links := o.Links
	o.Links = func(path, target string) bool {
		to, ok := n.Links[path]
		return ok && to == target || links != nil && links(path, target)
	}
}

func seenAs(s blockstore.Stamp) partFile {
	return partFile{Size: s.Size, Mtime: s.MtimeNs, Ctime: s.CtimeNs, Inode: s.Inode, Mode: s.Mode}
}

// files is a recorder of a checkout: it notes what is in place. A file that had been there as it is counts, too: whoever
// put it there, it is the set's.
func (n *note) files(all ...blockstore.File) error {
	if n.Files == nil {
		n.Files = map[string]partFile{}
	}
	for _, f := range all {
		n.Files[f.Path] = seenAs(f.Stamp)
	}
	return nil
}

// links notes the symlinks of a layout.
func (n *note) links(lay *dag.Layout) {
	for _, e := range lay.Entries {
		if e.Kind != dag.KindSymlink {
			continue
		}
		if n.Links == nil {
			n.Links = map[string]string{}
		}
		n.Links[e.Path] = e.Target
	}
}
