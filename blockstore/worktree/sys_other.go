//go:build !unix

package worktree

import "io/fs"

const openNoBlock = 0

// inodeCtime: this platform has neither without opening the file.
func inodeCtime(fs.FileInfo) (uint64, int64) { return 0, 0 }
