//go:build !linux

package nodes

import "fmt"

func newSpaces(Options) (ground, error) {
	return nil, fmt.Errorf("network namespaces: %w: only Linux has them", ErrUnsupported)
}
