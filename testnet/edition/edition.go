// Package edition makes real data for test networks and changes it as its authors would: a copy of a folder, and for
// the sources of Go the newer versions of the modules that they vendor.
package edition

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"
)

// Edition is what became of the data.
type Edition struct {
	What  string // in words
	Bytes int64  // size of the files whose content is new; 0 = nothing changed
}

// CopyTree copies folders, files and links with their permission bits and times; other kinds are left out.
// A folder may be written in the copy even where it may not in the original.
func CopyTree(from, to string) error {
	var files []string
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			info, err := d.Info()
			if err != nil {
				return err
			}
			return os.MkdirAll(filepath.Join(to, rel), info.Mode().Perm()|0o700)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, filepath.Join(to, rel))
		case d.Type().IsRegular():
			files = append(files, rel)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("copy the data: %w", err)
	}
	var group errgroup.Group
	workers := 2 * runtime.GOMAXPROCS(0) // half of them wait for the disk
	for part := range slices.Chunk(files, max(1, len(files)/workers+1)) {
		group.Go(func() error {
			for _, rel := range part {
				if err := copyFile(filepath.Join(from, rel), filepath.Join(to, rel)); err != nil {
					return fmt.Errorf("copy the data: %w", err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

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
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}

// vendored are the modules that the Go toolchain's source carries copies of.
var vendored = []string{"crypto", "net", "sys", "text"}

// UpdateVendored brings a copy of the Go toolchain's source to the newest golang.org/x modules of this
// machine's module cache: a change as its authors make it twice a year, without a network.
func UpdateVendored(ctx context.Context, src string) (Edition, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
	if err != nil {
		return Edition{}, fmt.Errorf("go env GOMODCACHE: %w", err)
	}
	cache := filepath.Join(strings.TrimSpace(string(out)), "golang.org", "x")
	var changed, gone int
	var size int64
	for _, name := range vendored {
		module := newestModule(cache, name)
		if module == "" {
			continue
		}
		here := filepath.Join(src, "vendor", "golang.org", "x", name)
		err := filepath.WalkDir(here, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == here {
				return fs.SkipDir // this toolchain does not carry it
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(here, path)
			if err != nil {
				return err
			}
			fresh, err := os.ReadFile(filepath.Join(module, rel))
			if errors.Is(err, fs.ErrNotExist) {
				gone++
				return os.Remove(path)
			}
			if err != nil {
				return err
			}
			if old, err := os.ReadFile(path); err != nil || bytes.Equal(old, fresh) {
				return err
			}
			changed++
			size += int64(len(fresh))
			return os.WriteFile(path, fresh, 0o644)
		})
		if err != nil {
			return Edition{}, fmt.Errorf("update vendored %s: %w", name, err)
		}
	}
	return Edition{fmt.Sprintf("vendored golang.org/x/{%s} updated: %d files changed, %d gone", strings.Join(vendored, ","), changed, gone), size}, nil
}

// newestModule is the folder of a module's highest version in the cache; "" = there is none.
func newestModule(cache, name string) string {
	found, err := filepath.Glob(filepath.Join(cache, name+"@v*"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return slices.MaxFunc(found, func(a, b string) int { return slices.Compare(versionOf(a), versionOf(b)) })
}

// versionOf is the three numbers of a folder like net@v0.59.0; what follows them does not matter here.
func versionOf(dir string) []int {
	_, version, _ := strings.Cut(filepath.Base(dir), "@v")
	version, _, _ = strings.Cut(version, "-")
	var numbers []int
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part) // not a number sorts first
		numbers = append(numbers, n)
	}
	return numbers
}

// overwritten is how much of the largest file an edit replaces.
const overwritten = 4 << 10

// Edit changes any folder: new bytes in the middle of the largest file, and the first folder renamed.
func Edit(dir string) (Edition, error) {
	var largest string
	size := int64(-1)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil {
		return Edition{}, fmt.Errorf("edit the data: %w", err)
	}
	if size <= 0 {
		return Edition{}, fmt.Errorf("edit the data: %s holds no file with content", dir)
	}
	if err := overwriteMiddle(largest, size); err != nil {
		return Edition{}, fmt.Errorf("edit the data: %w", err)
	}
	rel, err := filepath.Rel(dir, largest)
	if err != nil {
		return Edition{}, err
	}
	what := fmt.Sprintf("%s overwritten in %s", humanize.IBytes(uint64(min(size, overwritten))), rel)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Edition{}, fmt.Errorf("edit the data: %w", err)
	}
	if i := slices.IndexFunc(entries, fs.DirEntry.IsDir); i >= 0 {
		name := entries[i].Name()
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, name+"-renamed")); err != nil {
			return Edition{}, fmt.Errorf("edit the data: %w", err)
		}
		what += fmt.Sprintf(", folder %s renamed", name)
	}
	return Edition{what, size}, nil
}

func overwriteMiddle(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	fresh := make([]byte, min(size, overwritten))
	_, _ = rand.Read(fresh) // never fails
	_, err = f.WriteAt(fresh, (size-int64(len(fresh)))/2)
	return errors.Join(err, f.Close())
}
