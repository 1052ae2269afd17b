package oracle

import (
	"fmt"
	"path/filepath"
)

// Allow says that the file at a path below dir, which may lie outside of every node's folder, is about to be put at
// that path of the set's: its content may be there, and in copies that a conflict makes of it, from now on. Errors: the
// file cannot be read.
func (o *Oracle) Allow(set, dir, path string) error {
	e, err := read(filepath.Join(dir, path))
	if err != nil {
		return fmt.Errorf("allow %s: %w", path, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of(set).add(filepath.ToSlash(path), e)
	return nil
}
