package node

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-p2p/shoal/blockstore/worktree"
	"github.com/shoal-p2p/shoal/node/api"
)

func TestTakenPortHasWords(t *testing.T) {
	for _, err := range []error{
		fmt.Errorf("listen: %w", syscall.EADDRINUSE),
		errors.New("failed to listen on any addresses: [listen tcp4 127.0.0.1:1: bind: " + syscall.EADDRINUSE.Error() + "]"),
	} {
		if e := api.AsError(explain(portTaken(err))); e.Code != "port_taken" || e.ExitCode != api.ExitUsage || e.Hint == "" {
			t.Errorf("%v: %+v", err, e)
		}
	}
	other := errors.New("no such device")
	if portTaken(nil) != nil || portTaken(other) != other {
		t.Error("another error changed")
	}
}

func TestUnwritableFolderIsNamed(t *testing.T) {
	e := api.AsError(explain(at("/no/such", fmt.Errorf("checkout: %w: %w", worktree.ErrNotWritable, fs.ErrNotExist))))
	if e.Code != api.CodeNotWritable || !strings.Contains(e.Detail, `"/no/such"`) || api.StatusOf(e) != 409 {
		t.Errorf("%+v, status %d", e, api.StatusOf(e))
	}
	if other := errors.New("other"); at("/x", other) != other {
		t.Error("another error changed")
	}
}

func TestAddressesAreChecked(t *testing.T) {
	const id = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"
	for text, good := range map[string][2]bool{ // to listen on, to join through
		"/ip4/0.0.0.0/tcp/0":                        {true, false},
		"/ip4/192.0.2.1/tcp/1/p2p/" + id:            {true, true},
		"/ip4/192.0.2.1/tcp/1/p2p/xx":               {false, false},
		"/ip4/192.0.2.1/tcp/1,/ip4/192.0.2.2/tcp/1": {false, false},
		"foo": {false, false},
		"":    {false, false},
	} {
		if got := [2]bool{CheckListen(text) == nil, CheckBootstrap(text) == nil}; got != good {
			t.Errorf("%q: %v, want %v", text, got, good)
		}
	}
}
