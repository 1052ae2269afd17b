package testnet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/shoal-p2p/shoal/testnet/nodes"
)

const (
	// tempPrefix begins the names of temporary folders of networks.
	tempPrefix = "shoal-testnet-"
	// tempMark is a file in each that is not to outlive its network. It has a dot, which no node has.
	tempMark = "net.temporary"
)

// temporary makes a folder for a network below tmp. One that is not kept is cleared by a later run if nobody else does.
func temporary(tmp string, keep bool) (string, error) {
	dir, err := os.MkdirTemp(tmp, tempPrefix)
	if err == nil && !keep {
		if err = os.WriteFile(filepath.Join(dir, tempMark), nil, 0o600); err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	if err != nil {
		return "", fmt.Errorf("testnet: %w", err)
	}
	return dir, nil
}

// sweep removes what networks have left below tmp that were killed, and tells how many. What cannot be removed stays for
// the next time.
func sweep(tmp string) (swept int) {
	dirs, _ := filepath.Glob(filepath.Join(tmp, tempPrefix+"*")) // the pattern is a constant
	for _, dir := range dirs {
		if abandoned(dir) && removeTree(dir) == nil {
			swept++
		}
	}
	return swept
}

// abandoned tells that dir was a temporary folder of a network of this user that has ended. Others may have made what
// only looks like one, with links in it that lead into folders of this user: what they could write in is not touched.
func abandoned(dir string) bool {
	st, err := os.Lstat(dir)
	if err != nil || !st.IsDir() || st.Mode().Perm()&0o077 != 0 || !mine(st) {
		return false
	}
	if _, err := os.Lstat(filepath.Join(dir, tempMark)); err != nil {
		return false
	}
	ended, err := nodes.Ended(dir)
	return err == nil && ended
}
