package oracle

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
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

// Without is the snapshot less some paths and what lies below them: a node leaves out what it cannot share.
func (s Snapshot) Without(paths []string) Snapshot {
	left := maps.Clone(s.entries)
	for _, p := range paths {
		p = filepath.ToSlash(p)
		maps.DeleteFunc(left, func(at string, _ entry) bool { return at == p || strings.HasPrefix(at, p+"/") })
	}
	s.entries = left
	return s
}
