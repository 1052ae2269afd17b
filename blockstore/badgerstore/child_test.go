package badgerstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/blockstore"
)

// The test binary runs itself as a child where a test ends, or may end, with the death of a process.
const (
	childDir  = "SHOAL_TEST_CHILD_DIR"
	childMode = "SHOAL_TEST_CHILD_MODE"
)

func child(dir string) {
	run := map[string]func(dir string) error{"put": putForEver, "full": fillDisk}[os.Getenv(childMode)]
	if err := run(dir); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func childCommand(t *testing.T, mode, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir, childMode+"="+mode)
	return cmd
}

// numbered is block n: small ones, leaves and an occasional one in pieces.
func numbered(n int) blockstore.Block {
	size := 50 + n*37%3000
	switch {
	case n%50 == 49:
		size = 300 << 10
	case n%7 == 0:
		size = 30 << 10
	}
	return blockstore.NewBlock(cid.Raw, []byte(strings.Repeat(fmt.Sprintf("%07d", n), size/7+1)))
}

// numberedFile is the record of a file that is not on disk.
func numberedFile(tree string, n int) blockstore.File {
	return blockstore.File{Set: benchSet, Tree: tree, Path: fmt.Sprintf("%07d", n), Cid: digestCid(cid.DagProtobuf, n),
		Stamp: blockstore.Stamp{Size: 100}, Leaves: []blockstore.Leaf{{Cid: digestCid(cid.Raw, n), Size: 100}}}
}

// background is for child processes, which have no test's context.
func background() context.Context { return context.Background() }

func putForEver(dir string) error {
	s, err := Open(dir, Options{FreeSpace: plenty})
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		err := s.Put(background(), benchSet, numbered(n))
		if err == nil {
			err = s.PutFiles(background(), numberedFile(dir, n))
		}
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// TestKill: what was acknowledged before a kill -9 is there afterwards.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	for round, lines := range []int{1, 40, 300} {
		cmd := childCommand(t, "put", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := ""
		scanner := bufio.NewScanner(out)
		for n := 0; scanner.Scan(); n++ {
			if last = scanner.Text(); n == lines {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("child was not killed: %v, last line %q", err, last)
		}
		var acked int
		if _, err := fmt.Sscan(last, &acked); err != nil {
			t.Fatalf("last line %q: %v", last, err)
		}
		checkNumbered(t, dir, acked)
		t.Logf("round %d: %d acknowledged, all there", round, acked+1)
	}
}

func checkNumbered(t *testing.T, dir string, last int) {
	t.Helper()
	s, err := Open(dir, Options{FreeSpace: plenty})
	if err != nil {
		t.Fatal(err)
	}
	for n := range last + 1 {
		b, f := numbered(n), numberedFile(dir, n)
		if _, err := s.GetFrom(t.Context(), benchSet, b.Cid(), nil); err != nil {
			t.Errorf("block %d: %v", n, err)
		}
		if _, ok, err := s.LookupFile(t.Context(), dir, f.Path); !ok || err != nil {
			t.Errorf("file %d: %v, %v", n, ok, err)
		}
		if ok, err := s.Has(t.Context(), f.Leaves[0].Cid); !ok || err != nil {
			t.Errorf("reference %d: %v, %v", n, ok, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// fillDisk runs on a file system of 128 MiB. Another's file fills it to the last byte, again and again,
// while the store is in use. Badger is given the time to end what it rewrites: no reserve helps where the
// disk fills up in the middle of that.
func fillDisk(dir string) error {
	o := Options{Reserve: 64 << 20} // three times what the store will hold, for its compactions
	s, err := Open(filepath.Join(dir, "store"), o)
	if err != nil {
		return err
	}
	n := 0
	put := func() (err error) {
		if err = s.Put(background(), benchSet, numbered(n)); err == nil {
			n++
		}
		return err
	}
	for range 8 {
		for range 200 {
			if err := put(); err != nil {
				return err
			}
		}
		if err := errors.Join(s.compact(), fill(filepath.Join(dir, "filler"))); err != nil {
			return err
		}
		for range 10 {
			if err := put(); !errors.Is(err, blockstore.ErrNoSpace) {
				return fmt.Errorf("put on a full disk: %v", err)
			}
		}
		if _, err := Open(filepath.Join(dir, "second"), o); !errors.Is(err, blockstore.ErrNoSpace) {
			return fmt.Errorf("open on a full disk: %v", err)
		}
		for i := range n {
			if _, err := s.Get(background(), numbered(i).Cid(), nil); err != nil {
				return err
			}
		}
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			return err
		}
	}
	if err := errors.Join(s.compact(), fill(filepath.Join(dir, "filler"))); err != nil {
		return err
	}
	if err := s.Close(); !errors.Is(err, blockstore.ErrNoSpace) {
		return fmt.Errorf("close on a full disk: %v", err)
	}
	fmt.Println("stored", n)
	return nil // the process ends as in a crash
}

func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for block := make([]byte, size); ; {
			if _, err := f.Write(block); err != nil {
				break // smaller pieces until nothing fits
			}
		}
	}
	return nil
}
