// Package worktree is the folder side of a file set: Scan turns a folder into blocks and references,
// a Checkout turns a layout back into a folder.
//
// Terms: a worktree is a folder that materialises a revision. A stamp (blockstore.Stamp) is what the
// file system says of a file without reading it. A place is one occurrence of a leaf in a file; equal
// chunks have several.
//
// Scan: walk the folder, applying the ignore rules; for each regular file whose stamp cannot be trusted
// read slabs, cut them into chunks, hash the chunks on all cores, build the file's nodes; then build the
// directories from the leaves up. Nodes are put into the sink inline, files as references.
//
// Checkout: look at what lies in the folder and refuse it if something would be lost; fill temporaries with the
// leaves that are on this disk; then accept leaves in any order, write each at all its places in temporaries,
// and rename a file into place when its last leaf has arrived. Finish adds what has no bytes and records the
// files. Files that a newer revision no longer has are left alone by a checkout; Remove deletes those that
// nobody changed, and Prune folders and symlinks.
//
// An update of a folder that holds a revision is the checkout of a part of the next one:
//  1. NewCheckout with Partial, Hold, Local, Moves and Links. Nothing is in place until Release, so that the
//     bytes of the old revision can be read: patches need them.
//  2. Write the leaves that Need lists, as far as they come of old ones.
//  3. Release: files that only move are renamed, complete ones put in place.
//  4. Write the others, each file is put in place with its last leaf. Finish, Remove, Prune.
//
// A file is replaced by one rename, and one that the user changed gets its conflict name before that as a second
// name: at any moment its path has the old content or the new. If one kind of entry becomes another the path may
// be free for a moment. A checkout that is killed is completed by the same one, and one of a newer revision may
// follow instead: what was put in place stands in a journal in TempDir until it is recorded, and is replaced or
// removed without being taken for the user's. The newer one must not be Partial: see Interrupted.
//
// Everything goes through os.Root and no symlink that lies in a folder is ever followed: a directory is
// opened from its parent's handle and refused if it is not the one that lstat saw. That does not stop
// somebody who moves a directory out of the worktree while its handle is open.
//
// Racy timestamps: a stamp is proof of "unchanged" only if mtime and ctime are older than the moment the
// content was known by more than the clock's granularity, because a write within the same tick leaves
// both as they are. See Trusted.
package worktree

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/blockstore"
)

// TempDir is the folder in a worktree's root where a checkout keeps unfinished files. A scan ignores it.
const TempDir = ".shoal-tmp"

// IgnoreFile is the usual value of ScanOptions.IgnoreFile.
const IgnoreFile = ".shoalignore"

// Errors. They are returned wrapped or stand in a Skipped; test with errors.Is.
var (
	// ErrConflict: something in the folder differs from the revision and was not written by this node,
	// or was changed since.
	ErrConflict = errors.New("conflict with local files")
	// ErrForeign: the folder was never ours and holds files that are not in the revision. It is an ErrConflict.
	ErrForeign = errors.New("files of something else")
	// ErrNotWritable: the destination cannot be created or written.
	ErrNotWritable = errors.New("destination not writable")
	// ErrIncomplete: Finish was called while leaves are missing.
	ErrIncomplete = errors.New("checkout incomplete")
	// ErrCollision: the file system takes the name for another one that is already there (upper and
	// lower case, Unicode forms).
	ErrCollision = errors.New("name collides with another on this file system")
	// ErrKind: neither a regular file nor a directory nor a symlink.
	ErrKind = errors.New("unsupported kind of file")
	// ErrSymlink: an absolute symlink, or one that may leave the set.
	ErrSymlink = errors.New("symlink leaves the set")
	// ErrName: a name the set or this operating system cannot hold.
	ErrName = errors.New("unsupported file name")
	// ErrChanging: a file changed at each attempt to read it.
	ErrChanging = errors.New("file changes while being read")
)

// Sink takes what a scan finds.
type Sink interface {
	blockstore.Putter
	blockstore.FilePutter
}

// Known is what the store remembers of a file of this tree, without Leaves; path is slash-separated.
type Known func(path string) (blockstore.File, bool)

// Skipped is a path that was left out, and why.
type Skipped struct {
	Path string
	Err  error
}

// ConflictError lists paths that a checkout would have to overwrite or mix with (at most 10 of them).
// It is an ErrConflict, and an ErrForeign if nothing would be overwritten.
type ConflictError struct {
	Paths  []string // would be overwritten
	Beside []string // are not in the revision: with CheckoutOptions.Force they stay as they are
}

func (e *ConflictError) Error() string {
	text := ErrConflict.Error()
	if len(e.Paths) > 0 {
		text += ": " + quoted(e.Paths)
	}
	if len(e.Beside) > 0 {
		text += "; of something else, and not to be overwritten: " + quoted(e.Beside)
	}
	return text
}

func quoted(paths []string) string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = fmt.Sprintf("%q", p)
	}
	return strings.Join(out, ", ")
}

// Is tells whether the error is one of the sentinels.
func (e *ConflictError) Is(target error) bool {
	return target == ErrConflict || target == ErrForeign && len(e.Paths) == 0
}

// maxTarget is the longest symlink target: PATH_MAX of Linux less the final NUL.
const maxTarget = 4095

// checkTarget refuses a symlink target that could lead out of the set. linkPath is where the link lies,
// relative to the root. ".." is allowed only at the start: behind another name it would be resolved
// from wherever that name leads, which a textual check cannot see.
func checkTarget(linkPath, target string) error {
	bad := func(why string) error { return fmt.Errorf("symlink to %q: %w: %s", target, ErrSymlink, why) }
	switch {
	case target == "" || len(target) > maxTarget || !utf8.ValidString(target):
		return bad("not a usable target")
	case strings.ContainsAny(target, "\x00\\") || path.IsAbs(target) || hasDrive(target):
		return bad("not a relative path") // a backslash or a drive is a path on Windows
	}
	up, down := 0, false
	for part := range strings.SplitSeq(target, "/") {
		switch {
		case part == ".." && down:
			return bad("\"..\" behind a name")
		case part == "..":
			up++
		case part != "" && part != ".":
			down = true
		}
	}
	if up > strings.Count(linkPath, "/") {
		return bad("outside")
	}
	return nil
}

func hasDrive(s string) bool {
	return len(s) >= 2 && s[1] == ':' && (s[0]|0x20) >= 'a' && (s[0]|0x20) <= 'z'
}

// join is path.Join of a clean slash path and one name.
func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
