//go:build !unix

package testnet

import "io/fs"

func blocksOf(info fs.FileInfo) int64 { return info.Size() }
