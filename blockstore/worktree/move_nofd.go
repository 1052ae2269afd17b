//go:build !unix

package worktree

import (
	"path"
	"time"
)

// move renames a temporary into a folder, over what has its name there. Without calls that take two
// directory handles it goes by the path from the root's handle.
func move(tmp *dirHandle, tmpName string, dir *dirHandle, name string) error {
	return tmp.top.Rename(path.Join(TempDir, tmpName), join(dir.path, name))
}

// setMtime sets both times of a file.
func setMtime(dir *dirHandle, name string, t time.Time) error { return dir.root.Chtimes(name, t, t) }
