//go:build unix

package testnet

import (
	"io/fs"
	"syscall"
)

func blocksOf(info fs.FileInfo) int64 { return int64(info.Sys().(*syscall.Stat_t).Blocks) * 512 }
