package wire

import (
	"errors"
	"fmt"

	"github.com/shoal-p2p/shoal/blockstore"
)

// What a code comes to at the asker. Protocols show these as their own; they are returned wrapped.
var (
	// ErrNotFound: the peer has no such thing, or does not let us have it. It is a blockstore.ErrNotFound.
	ErrNotFound = fmt.Errorf("set not found: %w", blockstore.ErrNotFound)
	// ErrBusy: too many of our streams are open with the peer.
	ErrBusy = errors.New("peer is busy")
	// ErrRemote: the peer failed, or did not understand us.
	ErrRemote = errors.New("peer failed")
)

// CodeOf is how the error of what is behind a server is told to its peer.
func CodeOf(err error) Code {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, blockstore.ErrNotFound):
		return NotFound
	case errors.Is(err, blockstore.ErrCorrupt):
		return Corrupt
	}
	return Internal
}

// ErrorOf is a peer's code as an error, nil for OK. Errors: ErrNotFound, ErrBusy, ErrRemote.
func ErrorOf(code uint32) error {
	switch c := Code(code); c {
	case OK:
		return nil
	case NotFound:
		return ErrNotFound
	case Busy:
		return ErrBusy
	default:
		return fmt.Errorf("%w: %v", ErrRemote, c)
	}
}
