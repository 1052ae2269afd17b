//go:build linux || darwin

package worktree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/blockstore/dag"
	"github.com/shoal-p2p/shoal/blockstore/memstore"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022)
	goleak.VerifyTestMain(m)
}

func testSet() cid.Cid { return blockstore.Sum(cid.Raw, []byte("a set")) }

// smallProfile cuts chunks of about 4 KiB, so that small files have many leaves and a tree above them.
func smallProfile() dag.Profile {
	p := dag.DefaultProfile()
	p.Min, p.Avg, p.Max = 1<<10, 4<<10, 16<<10
	return p
}

func options(t testing.TB) ScanOptions {
	return ScanOptions{Set: testSet(), Profile: smallProfile(), IgnoreFile: IgnoreFile}
}

func write(t testing.TB, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(text), 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func random(seed uint64, n int) string {
	b := make([]byte, n)
	r := rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, seed)))
	r.Read(b)
	return string(b)
}

func scan(t testing.TB, dir string, st *memstore.Store, o ScanOptions) Snapshot {
	t.Helper()
	s, err := Scan(t.Context(), dir, st, o)
	must(t, err)
	return s
}

func layout(t testing.TB, st *memstore.Store, root cid.Cid) *dag.Layout {
	t.Helper()
	lay, err := dag.ReadLayout(t.Context(), root, func(ctx context.Context, c cid.Cid) ([]byte, error) {
		return st.Get(ctx, c, nil)
	}, dag.DefaultLimits())
	must(t, err)
	return lay
}

func knownOf(t testing.TB, st *memstore.Store, tree string) Known {
	return func(path string) (blockstore.File, bool) {
		f, ok, err := st.LookupFile(t.Context(), tree, path)
		must(t, err)
		return f, ok
	}
}

// source is a scanned folder: where the bytes of a checkout come from.
type source struct {
	dir string
	st  *memstore.Store
	lay *dag.Layout
}

func share(t testing.TB, dir string) source {
	t.Helper()
	st := memstore.New()
	s := scan(t, dir, st, options(t))
	if len(s.Skipped) > 0 {
		t.Fatalf("skipped: %v", s.Skipped)
	}
	return source{dir, st, layout(t, st, s.Root)}
}

func (s source) leaf(t testing.TB, i uint32) []byte {
	t.Helper()
	data, err := s.st.Get(t.Context(), s.lay.Leaves[i].Cid, nil)
	must(t, err)
	return data
}

func checkout(t testing.TB, dest string, s source, o CheckoutOptions) *Checkout {
	t.Helper()
	c, err := NewCheckout(t.Context(), dest, testSet(), s.lay, o)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// complete writes all that is needed and finishes.
func complete(t testing.TB, c *Checkout, s source, to *memstore.Store) Result {
	t.Helper()
	for _, i := range c.Need() {
		must(t, c.Write(i, s.leaf(t, i)))
	}
	return finish(t, c, to)
}

func finish(t testing.TB, c *Checkout, to *memstore.Store) Result {
	t.Helper()
	res, err := c.Finish(t.Context(), func(fs ...blockstore.File) error { return to.PutFiles(t.Context(), fs...) })
	must(t, err)
	must(t, c.Close())
	return res
}

// get checks s out into dest and expects nothing to be skipped.
func get(t testing.TB, dest string, s source, o CheckoutOptions) {
	t.Helper()
	if res := complete(t, checkout(t, dest, s, o), s, memstore.New()); len(res.Skipped) > 0 {
		t.Fatalf("skipped: %v", res.Skipped)
	}
}

// sameTree compares by our own root and by an independent listing.
func sameTree(t testing.TB, want, got string) {
	t.Helper()
	if a, b := listing(t, want), listing(t, got); a != b {
		t.Fatalf("trees differ\n--- %s\n%s--- %s\n%s", want, a, got, b)
	}
	o := options(t)
	if a, b := scan(t, want, memstore.New(), o), scan(t, got, memstore.New(), o); a.Root != b.Root {
		t.Fatalf("roots differ: %s and %s", a.Root, b.Root)
	}
}

// listing shows every entry with mode, mtime of files, content hash or target.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		must(t, err)
		rel, _ := filepath.Rel(dir, name)
		info, err := d.Info()
		must(t, err)
		switch {
		case d.IsDir():
			fmt.Fprintf(&b, "%s %s\n", info.Mode(), rel)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			must(t, err)
			fmt.Fprintf(&b, "link %s -> %s\n", rel, target)
		case info.Mode().IsRegular():
			data, err := os.ReadFile(name)
			must(t, err)
			fmt.Fprintf(&b, "%s %s %d %x\n", info.Mode(), rel, info.ModTime().UnixNano(), sha256.Sum256(data))
		default:
			fmt.Fprintf(&b, "%s %s\n", info.Mode(), rel)
		}
		return nil
	}))
	return b.String()
}

// sample is a folder with one of everything.
func sample(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample")
	big := random(1, 200<<10)
	write(t, dir+"/big", big)
	write(t, dir+"/sub/copy", big)
	write(t, dir+"/sub/half", big[:100<<10]+random(2, 50<<10))
	write(t, dir+"/sub/deep/er/small", "small")
	write(t, dir+"/empty", "")
	write(t, dir+"/zero", strings.Repeat("\x00", 300<<10))
	write(t, dir+"/exec", "#!/bin/sh\n")
	must(t, os.Chmod(dir+"/exec", 0o777))
	must(t, os.Chmod(dir+"/sub/copy", 0o400))
	must(t, os.Mkdir(dir+"/emptydir", 0o755))
	must(t, os.Mkdir(dir+"/closed", 0o755))
	write(t, dir+"/closed/x", "x")
	must(t, os.Chmod(dir+"/closed", 0o555))
	t.Cleanup(func() { os.Chmod(dir+"/closed", 0o755) })
	must(t, os.Symlink("../big", dir+"/sub/up"))
	must(t, os.Symlink("sub/deep", dir+"/down"))
	must(t, os.Symlink("nowhere", dir+"/dangling"))
	must(t, os.Chtimes(dir+"/big", time.Unix(1e9, 123456789), time.Unix(1e9, 123456789)))
	return dir
}

func skippedPaths(list []Skipped) string {
	var b strings.Builder
	for _, s := range list {
		kind := "?"
		for name, err := range map[string]error{"conflict": ErrConflict, "collision": ErrCollision, "kind": ErrKind,
			"symlink": ErrSymlink, "name": ErrName, "changing": ErrChanging, "limit": dag.ErrLimit} {
			if errors.Is(s.Err, err) {
				kind = name
			}
		}
		fmt.Fprintf(&b, "%s:%s ", s.Path, kind)
	}
	return strings.TrimSpace(b.String())
}
