package slots

import (
	"io"
	"os"
)

// disk is the part of a file system that a File needs, so that tests can end it at any point.
type disk interface {
	open(path string, flag int) (handle, error)
	rename(from, to string) error
	syncDir(path string) error // makes the names in a folder durable
}

// handle is an open file.
type handle interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
}

type osDisk struct{}

// open gives new files to their owner only: the state says what a node promised to whom.
func (osDisk) open(path string, flag int) (handle, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err // not f, which would be a handle that is not nil
	}
	return f, nil
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) syncDir(path string) error { return syncDir(path) }
