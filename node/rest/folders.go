package rest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/shoal-p2p/shoal/node/api"
)

// A request that names a folder which cannot be is refused at once, and not by an operation that fails later. Folders are of
// the node's machine.

// misplaced tells what is wrong with the folders of a request; nil = nothing shows yet.
func misplaced(request any) error {
	switch q := request.(type) {
	case api.ShareRequest:
		return existing(q.Path)
	case api.GetRequest:
		if q.Dest == "" && q.Cwd == "" {
			return errNowhere()
		}
		for _, dir := range q.Using {
			if err := existing(dir); err != nil {
				return err
			}
		}
		return writable(q.Dest, q.Cwd)
	case api.FollowRequest:
		switch {
		case q.Dest != "" || q.Cwd != "":
			return writable(q.Dest, q.Cwd)
		case !q.Replicate: // else it is a folder of the node's own
			return errNowhere()
		}
	case api.RestoreRequest:
		return writable(q.Dest, "")
	}
	return nil
}

// errNowhere refuses a fetch that would go to wherever the node was started.
func errNowhere() error {
	return &api.Error{Code: "no_dest", ExitCode: api.ExitUsage, Title: "say where to", Hint: "dest is the folder, as an absolute path"}
}

func absolute(path string) error {
	if filepath.IsAbs(path) {
		return nil
	}
	return &api.Error{Code: "relative_path", ExitCode: api.ExitUsage, Title: fmt.Sprintf("an absolute path is needed, got %q", path),
		Hint: "the node's machine decides what a path means, not yours"}
}

func existing(path string) error {
	if err := absolute(path); err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return &api.Error{Code: "no_such_path", ExitCode: api.ExitNotFound, Title: "no such file or folder", Detail: path,
			Hint: "check the path: it is one of the machine that the node runs on"}
	}
	return nil // what else is wrong the operation says better
}

// writable refuses a folder that nobody can make: dest in one that exists, or without dest a folder below cwd.
func writable(dest, cwd string) error {
	dir := cmp.Or(dest, cwd)
	if err := absolute(dir); err != nil {
		return err
	}
	if dest != "" {
		dir = filepath.Dir(filepath.Clean(dest))
	}
	st, err := os.Stat(dir)
	if err == nil && st.IsDir() || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &api.Error{Code: api.CodeNotWritable, ExitCode: api.ExitFailed, Title: "the folder cannot be written", Detail: dir + " is no folder",
		Hint: "choose a folder that you may write to, in one that exists"}
}
