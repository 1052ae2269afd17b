//go:build unix

package main

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// edit is one case of the delta table: what the set holds at first, what its author then changes in place,
// and how many bytes may go over the streams for it, in both directions together.
type edit struct {
	name    string
	make    func(dir string) error
	change  func(dir string, round int) (written int64, err error) // written: bytes of files that were rewritten
	held    int64                                                  // bar if the sender has the old bytes
	inPlace int64                                                  // bar if it has not, because the author edited in place
	perByte bool                                                   // written counts on top of both bars
	large   bool                                                   // rsync's whole run bars the wall time too
}

// edits are the cases; the large file has size MiB. The bars are round numbers of 1,000 bytes.
func edits(size int) []edit {
	big := int64(size) << 20
	scattered := min(256<<20, big/4)
	label := func(bytes int64) string {
		if bytes%(1<<30) == 0 {
			return fmt.Sprintf("%d GiB", bytes>>30)
		}
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return []edit{
		{name: "4 KiB overwritten in 10 MiB", make: oneFile(10 << 20), change: overwrite(1, 4<<10), held: 6_000, inPlace: 12_000},
		{name: "4 KiB overwritten in " + label(big), make: oneFile(big), change: overwrite(1, 4<<10), held: 8_000, inPlace: 20_000, large: true},
		{name: "4 KiB inserted at a third of " + label(big), make: oneFile(big), change: insertAtThird(4 << 10), held: 10_000, inPlace: 24_000, large: true},
		{name: "64 scattered overwrites of 1 KiB in " + label(scattered), make: oneFile(scattered), change: overwrite(64, 1<<10), held: 160_000, inPlace: 400_000},
		{name: "a file of " + label(big) + " renamed", make: oneFile(big), change: renameOnly, held: 2_000, inPlace: 2_000, large: true},
		{name: "a folder of 100 files moved, of 1,000", make: smallFiles(1_000), change: moveFolder, held: 12_000, inPlace: 12_000},
		{name: "10,000 files: 10 rewritten, 10 renamed, 100 moved", make: smallFiles(10_000), change: shuffle, held: 24_000, inPlace: 24_000, perByte: true},
		{name: "nothing changed, 10,000 files", make: smallFiles(10_000), change: nothing, held: 1_000, inPlace: 1_000},
	}
}

func oneFile(size int64) func(string) error {
	return func(dir string) error { return writeRandom(filepath.Join(dir, "file-0"), size, uint64(size)) }
}

func smallFiles(n int) func(string) error {
	return func(dir string) error {
		_, err := writeSmall(dir, n)
		return err
	}
}

// age sets the times of everything below dir back by an hour, so that no tool takes a file for one that may
// have changed within the granularity of its clock.
func age(dir string) error {
	then := time.Now().Add(-time.Hour)
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, then, then)
	})
}

func nothing(string, int) (int64, error) { return 0, nil }

// overwrite puts n runs of size new bytes at places spread over the file by chance.
func overwrite(n, size int) func(string, int) (int64, error) {
	return func(dir string, round int) (int64, error) {
		f, err := os.OpenFile(filepath.Join(dir, "file-0"), os.O_WRONLY, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return 0, err
		}
		rng := mathrand.New(mathrand.NewPCG(uint64(n), uint64(round)))
		part := st.Size() / int64(n)
		fresh := make([]byte, size)
		for i := range int64(n) {
			_, _ = rand.Read(fresh) // never fails
			if _, err := f.WriteAt(fresh, i*part+rng.Int64N(part-int64(size))); err != nil {
				return 0, err
			}
		}
		return st.Size(), f.Close()
	}
}

// insertAtThird moves the last two thirds of the file up by size and fills the gap with new bytes, in place.
func insertAtThird(size int) func(string, int) (int64, error) {
	return func(dir string, _ int) (int64, error) {
		f, err := os.OpenFile(filepath.Join(dir, "file-0"), os.O_RDWR, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return 0, err
		}
		at := st.Size() / 3
		buf := make([]byte, 4<<20)
		for end := st.Size(); end > at; {
			n := min(int64(len(buf)), end-at)
			if _, err := f.ReadAt(buf[:n], end-n); err != nil && err != io.EOF {
				return 0, err
			}
			if _, err := f.WriteAt(buf[:n], end-n+int64(size)); err != nil {
				return 0, err
			}
			end -= n
		}
		fresh := make([]byte, size)
		_, _ = rand.Read(fresh)
		if _, err := f.WriteAt(fresh, at); err != nil {
			return 0, err
		}
		return st.Size() + int64(size), f.Close()
	}
}

func renameOnly(dir string, round int) (int64, error) {
	return 0, os.Rename(filepath.Join(dir, fmt.Sprintf("file-%d", round)), filepath.Join(dir, fmt.Sprintf("file-%d", round+1)))
}

// moveFolder moves one folder of 100 files into another, new one.
func moveFolder(dir string, round int) (int64, error) {
	return 0, moveInto(dir, fmt.Sprintf("%03d", round), "elsewhere")
}

func moveInto(dir, name, parent string) error {
	if err := os.MkdirAll(filepath.Join(dir, parent), 0o755); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, name), filepath.Join(dir, parent, name))
}

// shuffle rewrites ten files, renames ten others and moves a folder of 100 more.
func shuffle(dir string, round int) (written int64, err error) {
	for i := range 10 {
		size := int64(1<<10 + (round*7919+i*1543)%(15<<10))
		folder := 10 * i
		if err := writeRandom(small(dir, folder, round), size, freshSeed()); err != nil {
			return 0, err
		}
		written += size
		from := small(dir, folder+1, round)
		if err := os.Rename(from, from+"-renamed"); err != nil {
			return 0, err
		}
	}
	return written, moveInto(dir, fmt.Sprintf("%03d", 5+10*round), "elsewhere")
}

// small is the path of a file that writeSmall made.
func small(dir string, folder, i int) string {
	return filepath.Join(dir, fmt.Sprintf("%03d", folder), fmt.Sprintf("file-%05d", folder*100+i))
}

func freshSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}
