//go:build !linux && !darwin

package worktree

// moveNew renames a temporary into a folder where its name must not exist yet (fs.ErrExist if it does).
func moveNew(tmp *dirHandle, tmpName string, dir *dirHandle, name string) error {
	return moveNewChecked(tmp, tmpName, dir, name)
}
