package badgerstore

import (
	"math"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/blockstore/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func plenty(string) (int64, error) { return math.MaxInt64 / 4, nil }

// open opens a store that does not look at the machine's own disk.
func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{FreeSpace: plenty})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return open(t, t.TempDir()) })
}
