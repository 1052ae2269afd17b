//go:build !unix

package worktree

import "io/fs"

const openNoBlock = 0

// keepsOpen: whether a file may be replaced while it is open depends on how it was opened.
const keepsOpen = false

// inodeCtime: this platform has neither without opening the file.
func inodeCtime(fs.FileInfo) (uint64, int64) { return 0, 0 }
