package worktree

import (
	"errors"
	"io/fs"
	"os"
)

// dirHandle is an open folder of the destination. Names given to it are single components.
type dirHandle struct {
	top  *os.Root // the destination
	root *os.Root // the folder
	self *os.File // the folder again: os.Root does not give its descriptor away
	path string   // relative to the destination
}

// newDirHandle takes over root, and closes it on error.
func newDirHandle(top, root *os.Root, path string) (*dirHandle, error) {
	self, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	return &dirHandle{top: top, root: root, self: self, path: path}, nil
}

func (d *dirHandle) Close() error { return errors.Join(d.self.Close(), d.root.Close()) }

// fd is valid as long as d is open.
func (d *dirHandle) fd() int { return int(d.self.Fd()) }

// moveNewChecked is moveNew where the system has no such call: somebody who makes the file between the
// two steps loses it.
func moveNewChecked(tmp *dirHandle, tmpName string, dir *dirHandle, name string) error {
	if _, err := dir.root.Lstat(name); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return move(tmp, tmpName, dir, name)
}

// dir is the handle of folder entry e; give it back with c.dirs.put.
func (c *Checkout) dir(e int32) (*handle[*dirHandle], error) {
	return c.dirs.get(e, func() (*dirHandle, error) {
		if e == 0 {
			root, err := c.root.OpenRoot(".")
			if err != nil {
				return nil, err
			}
			return newDirHandle(c.root, root, "")
		}
		parent, err := c.dir(c.plan.parent[e])
		if err != nil {
			return nil, err
		}
		defer c.dirs.put(parent)
		root, err := openDir(parent.v.root, c.plan.name(e))
		if err != nil {
			return nil, err
		}
		return newDirHandle(c.root, root, c.plan.Entries[e].Path)
	})
}

// dirAt is the handle of the folder at path, which need not be an entry; give it back with c.dirs.put.
func (c *Checkout) dirAt(path string) (*handle[*dirHandle], error) {
	if path == "" {
		return c.dir(0)
	}
	c.mu.Lock()
	key, ok := c.far[path]
	if !ok {
		key = -1 - int32(len(c.far))
		c.far[path] = key
	}
	c.mu.Unlock()
	return c.dirs.get(key, func() (*dirHandle, error) {
		up, name := splitPath(path)
		parent, err := c.dirAt(up)
		if err != nil {
			return nil, err
		}
		defer c.dirs.put(parent)
		root, err := openDir(parent.v.root, name)
		if err != nil {
			return nil, err
		}
		return newDirHandle(c.root, root, path)
	})
}
