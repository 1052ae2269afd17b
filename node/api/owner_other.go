//go:build !unix

package api

import "io/fs"

// ownedByMe trusts the folder where temporary folders are per user anyway.
func ownedByMe(fs.FileInfo) bool { return true }
