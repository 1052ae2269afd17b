package memstore_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/blockstore/memstore"
	"github.com/shoal-p2p/shoal/blockstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Store { return memstore.New() })
}

func TestZeroValue(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Store { return new(memstore.Store) })
}
