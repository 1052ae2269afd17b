package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/renameio/v2/maybe"
	"github.com/libp2p/go-libp2p/core/crypto"
)

// homeFormat is the version of the home's layout. A home of a newer format is refused; an older one is
// migrated when there is one.
const homeFormat = 1

// home is the folder a node keeps its own state in: keys, records of its sets, the store, remembered peers.
type home struct{ dir string }

// HomeDir is the default home: $SHOAL_HOME, else $XDG_DATA_HOME/shoal, else ~/.local/share/shoal.
func HomeDir(env func(string) string) string {
	if d := env("SHOAL_HOME"); d != "" {
		return d
	}
	if d := env("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "shoal")
	}
	return filepath.Join(env("HOME"), ".local", "share", "shoal")
}

// openHome makes the folder where it is missing and checks its format. Errors: errNewerHome.
func openHome(dir string) (home, error) {
	h := home{dir}
	for _, d := range []string{dir, h.records(), h.seats(), filepath.Join(dir, "sets")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return h, fmt.Errorf("open home: %w", err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "format"))
	if errors.Is(err, fs.ErrNotExist) {
		return h, maybe.WriteFile(filepath.Join(dir, "format"), []byte(strconv.Itoa(homeFormat)+"\n"), 0o600)
	}
	if err != nil {
		return h, fmt.Errorf("open home: %w", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || v > homeFormat {
		return h, fmt.Errorf("open home %s: %w: format %q, this program knows %d", dir, errNewerHome, strings.TrimSpace(string(b)), homeFormat)
	}
	return h, nil
}

var errNewerHome = errors.New("written by a newer version")

// homeMarks are the files that tell any node's home from other folders.
func homeMarks() []string { return []string{"identity.key", "format"} }

func (h home) records() string  { return filepath.Join(h.dir, "records") }
func (h home) store() string    { return filepath.Join(h.dir, "store") }
func (h home) segments() string { return filepath.Join(h.dir, "segments") }
func (h home) seats() string    { return filepath.Join(h.dir, "seats") }
func (h home) jobs() string     { return filepath.Join(h.dir, "jobs.json") }
func (h home) limits() string   { return filepath.Join(h.dir, "limits.json") }
func (h home) peers() string    { return filepath.Join(h.dir, "peers.json") }

// key reads the Ed25519 key in file, or makes one (0600). A file that others can read is refused: a key
// that leaked is no identity.
func (h home) key(file string) (crypto.PrivKey, error) {
	path := filepath.Join(h.dir, file)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h.newKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if st, err := os.Stat(path); err == nil && st.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		return nil, fmt.Errorf("read key %s: %w: mode %04o", path, errOpenKey, st.Mode().Perm())
	}
	k, err := crypto.UnmarshalPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	// An Ed25519 key is stored with its public half, and nothing else notices that the two do not belong together.
	probe := []byte("shoal key check")
	sig, err := k.Sign(probe)
	if err == nil {
		var ok bool
		if ok, err = k.GetPublic().Verify(probe, sig); err == nil && !ok {
			err = errBadKey
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	return k, nil
}

var errBadKey = errors.New("key is damaged")

var errOpenKey = errors.New("readable by other users")

func (h home) newKey(path string) (crypto.PrivKey, error) {
	k, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	b, err := crypto.MarshalPrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	if err := maybe.WriteFile(path, b, 0o600); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return k, nil
}

// boot counts the starts of the home, on stable storage before it is returned: what is said after a start is told from
// what was said before.
func (h home) boot() (uint64, error) {
	path := filepath.Join(h.dir, "boot")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("count starts: %w", err)
	}
	last, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil && len(text) > 0 {
		return 0, fmt.Errorf("count starts: %s is damaged: %w", path, err)
	}
	if err := maybe.WriteFile(path, fmt.Appendf(nil, "%d\n", last+1), 0o600); err != nil {
		return 0, fmt.Errorf("count starts: %w", err)
	}
	return last + 1, nil
}
