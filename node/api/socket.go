package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/renameio/v2/maybe"
)

// maxSunPath is the longest path of a Unix socket that every platform takes: sun_path has 104 bytes on
// macOS and the BSDs (108 on Linux), one of them for the final NUL.
const maxSunPath = 103

// redirect is HOME/api.json: where the socket is when HOME/api.sock would be too long, and where the dashboard is.
type redirect struct {
	Socket string `json:"socket,omitempty"`
	URL    string `json:"url,omitempty"`
}

// SocketPath is where the node of home (absolute) is asked: HOME/api.sock, or what HOME/api.json names,
// or the place that Listen would choose.
func SocketPath(home string) string {
	b, err := os.ReadFile(filepath.Join(home, "api.json"))
	if err == nil {
		var r redirect
		if json.Unmarshal(b, &r) == nil && filepath.IsAbs(r.Socket) {
			return r.Socket
		}
	}
	return chooseSocket(home, os.TempDir(), os.Getuid())
}

// chooseSocket is HOME/api.sock if the kernel can take it, else a short name made of home's hash in a
// folder of this user.
func chooseSocket(home, tmp string, uid int) string {
	path := filepath.Join(home, "api.sock")
	if len(path) <= maxSunPath {
		return path
	}
	if len(tmp) > 40 { // leaves room for "/shoal-UID/HASH.sock" below maxSunPath
		tmp = "/tmp"
	}
	sum := sha256.Sum256([]byte(home))
	// 16 hex digits: 64 bits are enough to tell the homes of one user apart.
	return filepath.Join(tmp, "shoal-"+strconv.Itoa(uid), hex.EncodeToString(sum[:8])+".sock")
}

// Listen opens the socket of home (absolute, existing). The caller must hold the home's lock: a socket
// left behind by a process that died is removed, and only the lock tells that it died. Closing the
// listener removes the socket.
func Listen(home string) (net.Listener, error) {
	path := chooseSocket(home, os.TempDir(), os.Getuid())
	record := filepath.Join(home, "api.json")
	if path == filepath.Join(home, "api.sock") {
		if err := os.Remove(record); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open the API socket: %w", err)
		}
		return ListenAt(path)
	}
	if err := privateFolder(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("open the API socket: %w", err)
	}
	b, err := json.Marshal(redirect{Socket: path})
	if err != nil {
		return nil, fmt.Errorf("open the API socket: %w", err)
	}
	if err := maybe.WriteFile(record, append(b, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("open the API socket: %w", err)
	}
	return ListenAt(path)
}

// ListenAt opens a socket of mode 0600 at path and removes one that lies there; the caller knows that
// nobody serves it.
func ListenAt(path string) (net.Listener, error) {
	if st, err := os.Lstat(path); err == nil {
		if st.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("open the API socket: %s exists and is no socket", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("open the API socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the API socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("open the API socket: %w", err)
	}
	return l, nil
}

// privateFolder makes dir, or accepts it if it is a folder of this user alone: in a shared place another
// user may have made it first.
func privateFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !st.IsDir() || !ownedByMe(st) {
		return fmt.Errorf("%s belongs to somebody else", dir)
	}
	return os.Chmod(dir, 0o700)
}
