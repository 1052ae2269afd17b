package play

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/shoal-p2p/shoal/testnet/script"
)

// fill makes files of together size bytes that no compression makes smaller, the same for the same random source.
func fill(dir string, size int64, files int, random *rand.Rand) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	files = max(files, 1)
	for i := range files {
		n := size / int64(files)
		if i == 0 {
			n += size % int64(files)
		}
		if err := writeNoise(filepath.Join(dir, fmt.Sprintf("file-%03d", i+1)), n, random); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return nil
}

// noise is n random bytes.
func noise(n int64, random *rand.Rand) io.Reader {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(random.Uint32())
	}
	return io.LimitReader(rand.NewChaCha8(seed), n)
}

func writeNoise(path string, n int64, random *rand.Rand) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, noise(n, random))
	return errors.Join(err, f.Close())
}

// edit changes a folder once, as the kind says. Which file it is, and where in it, follows from the random source and
// the names and sizes of the files. New content is made beside the folder, in aside, shown to whoever wants to know it,
// and then moved to its place: a node that is at work in the folder has it wholly or not at all.
func edit(dir, aside, kind string, size int64, random *rand.Rand, show func(path string) error) (text string, err error) {
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return "", fmt.Errorf("edit: %w", err)
	}
	if kind == script.Add {
		name := fmt.Sprintf("added-%08x", random.Uint32())
		if err := writeNoise(filepath.Join(aside, name), size, random); err != nil {
			return "", fmt.Errorf("edit: %w", err)
		}
		return fmt.Sprintf("%s of %s", name, bytes(size)), place(dir, aside, name, show)
	}
	all, err := regular(dir)
	if err != nil {
		return "", fmt.Errorf("edit: %w", err)
	}
	// The names of conflict copies are another node's choice: the same seed would not edit the same file.
	all = slices.DeleteFunc(all, func(name string) bool { return strings.Contains(name, ".conflict-") })
	if len(all) == 0 {
		return "", errors.New("edit: the folder holds no file")
	}
	name := all[random.IntN(len(all))]
	switch kind {
	case script.Remove:
		return name + " removed", os.Remove(filepath.Join(dir, name))
	case script.Rename:
		folder, base := filepath.Split(name)
		base, _, _ = strings.Cut(base, "-moved-") // of an earlier rename
		to := fmt.Sprintf("%s%s-moved-%04x", folder, base, random.Uint32()&0xffff)
		return name + " is " + to, os.Rename(filepath.Join(dir, name), filepath.Join(dir, to))
	}
	if err := copyFile(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil {
		return "", fmt.Errorf("edit: %w", err)
	}
	at, err := alter(filepath.Join(aside, name), kind, size, random)
	if err != nil {
		return "", fmt.Errorf("edit: %w", err)
	}
	return fmt.Sprintf("%s of %s at %s", bytes(size), name, bytes(at)), place(dir, aside, name, show)
}

// place moves a file that is shown first from aside to its place.
func place(dir, aside, name string, show func(path string) error) error {
	if err := show(name); err != nil {
		return fmt.Errorf("edit: %w", err)
	}
	if err := os.Rename(filepath.Join(aside, name), filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("edit: %w", err)
	}
	return nil
}

// copyFile copies content and permission bits; the copy may be written.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm()|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// alter changes the content of one file and tells where.
func alter(path, kind string, size int64, random *rand.Rand) (at int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	switch kind {
	case script.Append:
		at = info.Size()
	case script.Insert:
		at = random.Int64N(info.Size() + 1)
	default: // overwritten bytes lie inside, if the file is large enough
		at = random.Int64N(max(info.Size()-size, 0) + 1)
	}
	fresh := noise(size, random)
	if kind == script.Insert {
		rest := make([]byte, info.Size()-at)
		if _, err := f.ReadAt(rest, at); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if _, err := f.WriteAt(rest, at+size); err != nil {
			return 0, err
		}
	}
	_, err = io.Copy(io.NewOffsetWriter(f, at), fresh)
	return at, err
}

// flipTries is how often a byte is drawn that is not zero: of a file that is all zeros, any is as good.
const flipTries = 1000

// flip changes one bit of a file and leaves its times as they were, as a disk that rots does.
func flip(path string, random *rand.Rand) (at int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("flip: %w", err)
	}
	if info.Size() == 0 {
		return 0, fmt.Errorf("flip: %s is empty", filepath.Base(path))
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("flip: %w", err)
	}
	b := make([]byte, 1)
	for range flipTries { // zeros may be room that nobody has used yet
		at = random.Int64N(info.Size())
		if _, err = f.ReadAt(b, at); err != nil || b[0] != 0 {
			break
		}
	}
	if err == nil {
		b[0] ^= 1 << random.IntN(8)
		_, err = f.WriteAt(b, at)
	}
	err = errors.Join(err, f.Close(), os.Chtimes(path, info.ModTime(), info.ModTime()))
	if err != nil {
		return 0, fmt.Errorf("flip: %w", err)
	}
	return at, nil
}

// regular lists the files below a folder by their paths in it, sorted. What begins with a dot is a node's own.
func regular(dir string) ([]string, error) {
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() {
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			all = append(all, rel)
		}
		return nil
	})
	slices.Sort(all)
	return all, err
}

// bytes is a size for people.
func bytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
