//go:build !unix

package node

import "errors"

// openFilesLimit is not known here.
func openFilesLimit() (uint64, error) { return 0, errors.ErrUnsupported }
