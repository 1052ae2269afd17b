package worktree

import (
	"io/fs"
	"time"

	"github.com/shoal-p2p/shoal/blockstore"
)

const (
	// tick is the granularity of file times where they have fractions of a second: file systems take
	// them from the kernel's tick, at most 10 ms long (Linux with CONFIG_HZ=100).
	tick = 10 * time.Millisecond
	// coarseTick is that of file systems that keep whole seconds only; FAT has the coarsest, 2 s.
	coarseTick = 2 * time.Second
)

// granularity is how close two changes of a file with stamp s may be without a difference in its times.
func granularity(s blockstore.Stamp) time.Duration {
	if s.MtimeNs%int64(time.Second) == 0 && s.CtimeNs%int64(time.Second) == 0 {
		return coarseTick
	}
	return tick
}

// Trusted tells whether a file that looks like now still has the content recorded as f: the stamps are
// equal and both times lie more than the clock's granularity before f.ScannedNs, so that a later change
// must show. Without a ctime (Windows) nothing is trusted: mtime can be set back.
func Trusted(now blockstore.Stamp, f blockstore.File) bool {
	if now != f.Stamp || now.CtimeNs == 0 {
		return false
	}
	limit := f.ScannedNs - int64(granularity(now))
	return now.MtimeNs < limit && now.CtimeNs < limit
}

// settle is how long to wait from now until a change of the file must show in its times; 0 if it would
// at once. Times in the future need no wait: a change would set them to the present.
func settle(s blockstore.Stamp, now time.Time) time.Duration {
	g := granularity(s)
	age := time.Duration(now.UnixNano() - max(s.MtimeNs, s.CtimeNs))
	if age > g || age < -g {
		return 0
	}
	return g - age + 1
}

// makeStamp reads the stamp of a regular file; the platform's part is inodeCtime.
func makeStamp(fi fs.FileInfo) blockstore.Stamp {
	ino, ctime := inodeCtime(fi)
	return blockstore.Stamp{
		Size:    fi.Size(),
		MtimeNs: fi.ModTime().UnixNano(),
		CtimeNs: ctime,
		Inode:   ino,
		Mode:    uint32(fi.Mode().Perm()),
	}
}
