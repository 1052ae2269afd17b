package worktree

import (
	"context"
	"runtime"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// CheckoutOptions of NewCheckout; the zero value is usable.
type CheckoutOptions struct {
	// Known is what this node wrote or scanned in this folder before; nil is nothing.
	Known Known
	// Force overwrites files that this node did not write or that were changed since, and mixes the
	// revision with foreign files. It never removes a folder that holds anything of theirs.
	Force bool
	// KeepLocal leaves files that are in conflict as they are and skips their entries, instead of refusing
	// the folder.
	KeepLocal bool
	Workers   int              // for hashing what is there; 0 is GOMAXPROCS
	Now       func() time.Time // clock of the machine that keeps the files; nil is time.Now
	// MinLeaf is the least size in bytes of a leaf that is not its file's last, by the set's profile: it
	// bounds the places a small hostile revision can claim. 0 is no bound.
	MinLeaf int
	// FreeSpace is what may still be written below dir, bytes; nil asks the file system.
	FreeSpace func(dir string) (int64, error)

	// Local finds a leaf elsewhere on this disk and gives it verified, in buf if that has the capacity; an
	// error means that it is nowhere. nil looks into dest only.
	Local func(ctx context.Context, c cid.Cid, buf []byte) ([]byte, error)
	// Moves maps the path of an entry to the path in dest of a file that becomes it by being renamed. It is
	// ignored where the file is not as it is recorded in Known, has other content than the entry, or lies
	// where the layout has a file.
	Moves map[string]string
	// Links tells whether this node may have made the symlink at path that leads to target, so that it may be
	// replaced; nil is no.
	Links func(path, target string) bool
	// Wrote tells whether this node put a file that looks like s at path without recording it, so that it may be replaced;
	// nil is no.
	Wrote func(path string, s blockstore.Stamp) bool
	// Ours says that dest is a worktree of this node, so that foreign files in it are no reason to refuse it. Without
	// it that is found out by what is recorded.
	Ours bool
	// Partial says that the layout is a part of what dest holds (see dag.Layout.Part) and that it is Ours:
	// nothing but its entries is looked at, and a file that was kept unread is not recorded again. It needs a
	// dest that no checkout of something else was interrupted in: see Interrupted.
	Partial bool
	// Theirs tells of a path whether a folder that was there before is the user's: it keeps the mode that it was given,
	// and is not removed without Force to make room for an entry, not even if it is empty. nil is no; dest keeps its
	// mode in any case.
	Theirs func(path string) bool
	// Hold puts nothing in place before Release.
	Hold bool
	// CopyConflicts renames what is in conflict aside when the new content is put in its place, instead of
	// refusing the folder: see Result.Conflicts. Folders are renamed so even with Force, files and symlinks
	// without. KeepLocal comes before it.
	CopyConflicts bool

	step func() error // for tests: called before every change of the file system, which an error prevents
}

// copies tells whether what is in conflict is renamed aside.
func (o *CheckoutOptions) copies() bool { return o.CopyConflicts && !o.KeepLocal }

func (o *CheckoutOptions) applyDefaults() {
	if o.Known == nil {
		o.Known = func(string) (blockstore.File, bool) { return blockstore.File{}, false }
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FreeSpace == nil {
		o.FreeSpace = freeSpace
	}
	if o.Links == nil {
		o.Links = func(string, string) bool { return false }
	}
	if o.Wrote == nil {
		o.Wrote = func(string, blockstore.Stamp) bool { return false }
	}
	if o.Theirs == nil {
		o.Theirs = func(string) bool { return false }
	}
	if o.step == nil {
		o.step = func() error { return nil }
	}
}

// FreeSpace asks the file system how much may still be written below dir, bytes.
func FreeSpace(dir string) (int64, error) { return freeSpace(dir) }
