package web

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/google/renameio/v2/maybe"
)

const (
	// tokenBytes cannot be guessed.
	tokenBytes = 32
	// tokenLength is that of the text: base64url without padding.
	tokenLength = 43
	// maxTokenFile bounds what is read in search of a token.
	maxTokenFile = 4 << 10
	// codeLife is long enough for a browser to start.
	codeLife = time.Minute
	// maxCodes bounds those that wait for their browser: who asks oftener loses the oldest.
	maxCodes = 16
)

// secret is the hash of one: hashes are compared, in constant time, so that neither time nor length tells anything.
type secret [sha256.Size]byte

func hash(text string) secret { return sha256.Sum256([]byte(text)) }

func (s secret) is(text string) bool {
	other := hash(text)
	return subtle.ConstantTimeCompare(s[:], other[:]) == 1
}

func newToken(random io.Reader) (string, error) {
	var b [tokenBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// keepToken is the token in the file at path. A new one is written there unless keep is set and there is one; where
// it cannot be written, on a full disk, the one that is there stays good.
func keepToken(path string, keep bool, random io.Reader) (string, error) {
	if keep {
		token, err := readToken(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return token, err
		}
	}
	token, err := newToken(random)
	if err != nil {
		return "", err
	}
	if err := maybe.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		if old, readErr := readToken(path); readErr == nil {
			return old, nil
		}
		return "", err
	}
	return token, nil
}

// readToken reads a token that an operator keeps; one that others can read, or that could be guessed, is refused.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if st.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		return "", fmt.Errorf("%s can be read by other users: chmod 600", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	if err != nil {
		return "", err
	}
	token := string(bytes.TrimSpace(b))
	if len(token) < tokenLength {
		return "", fmt.Errorf("the token in %s is too short: it has %d characters, %d are needed", path, len(token), tokenLength)
	}
	return token, nil
}

// codes are good once and for a minute.
type codes struct {
	now    func() time.Time
	random io.Reader

	mu      sync.Mutex // guards what follows
	waiting []code     // oldest first
}

type code struct {
	hash secret
	ends time.Time
}

func (c *codes) issue() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, err := newToken(c.random)
	if err != nil {
		return "", err
	}
	c.waiting = append(c.waiting, code{hash(text), c.now().Add(codeLife)})
	c.waiting = c.waiting[max(0, len(c.waiting)-maxCodes):]
	return text, nil
}

// redeem tells whether text is a code, which it is not a second time.
func (c *codes) redeem(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, good := c.now(), false
	left := c.waiting[:0]
	for _, k := range c.waiting {
		switch {
		case !now.Before(k.ends):
		case k.hash.is(text):
			good = true
		default:
			left = append(left, k)
		}
	}
	c.waiting = left
	return good
}
