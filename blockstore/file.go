package blockstore

import "github.com/ipfs/go-cid"

// Stamp is what the file system tells about a file without reading it. Two equal stamps of one path
// mean "unchanged" only under the racy-timestamp rule: see package worktree.
type Stamp struct {
	Size    int64  // bytes
	MtimeNs int64  // nanoseconds since the Unix epoch
	CtimeNs int64  // the same, of the inode; 0 where the platform has none
	Inode   uint64 // 0 where the platform has none
	Mode    uint32 // permission bits, the low nine
}

// Leaf is one chunk of a file.
type Leaf struct {
	Cid  cid.Cid // codec raw
	Size uint32  // bytes
}

// File is a file of a worktree whose bytes a store refers to.
type File struct {
	Set   cid.Cid // the set the file belongs to
	Tree  string  // absolute path of the worktree's root folder
	Path  string  // slash-separated, relative to Tree
	Stamp Stamp   // as it was while the file was read or written
	// ScannedNs is when the stamp was taken, nanoseconds since the Unix epoch by the clock of the file
	// system's machine: a file whose times are not older than this is never trusted unread.
	ScannedNs int64
	Cid       cid.Cid // root of the file's DAG; what an unchanged file is published as again
	Leaves    []Leaf  // its chunks in order; their sizes add up to Stamp.Size
}
