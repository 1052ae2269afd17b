package web

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
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
	// sessionLife is how long a browser is signed in: who looks at the node now and then does so once a month, and what a
	// browser that was left behind still shows is worth nothing after that.
	sessionLife = 30 * 24 * time.Hour
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

// credentials are what opens the API. All are derived from one token, so that neither a script nor a signed-in browser minds
// when the node is started anew.
type credentials struct {
	token secret
	seal  []byte // key of what signed-in browsers show
	life  context.Context
	end   context.CancelFunc // of life: they are good no more
}

// newCredentials derives the key of cookies: who reads one out of a browser's profile has not got the token, and one of
// another port opens nothing here.
func newCredentials(token, port string) *credentials {
	mac := hmac.New(sha256.New, []byte(token))
	_, _ = io.WriteString(mac, "shoal dashboard session, port "+port) // never fails
	life, end := context.WithCancel(context.Background())
	return &credentials{token: hash(token), seal: mac.Sum(nil), life: life, end: end}
}

// cookie is what a browser shows that is signed in until a time: that time, in seconds, and its seal.
func (k *credentials) cookie(until time.Time) string {
	ends := strconv.FormatInt(until.Unix(), 10)
	mac := hmac.New(sha256.New, k.seal)
	_, _ = io.WriteString(mac, ends) // never fails
	return ends + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// signed tells whether text is a cookie that is good still.
func (k *credentials) signed(text string, now time.Time) bool {
	ends, _, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(ends, 10, 64)
	return err == nil && now.Unix() < seconds && hash(k.cookie(time.Unix(seconds, 0))).is(text)
}

// keepToken is the token in the file at path; where there is none yet, a new one is written there.
func keepToken(path string, random io.Reader) (string, error) {
	token, err := readToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	return writeToken(path, random)
}

// writeToken puts a new token in the place of the one at path.
func writeToken(path string, random io.Reader) (string, error) {
	token, err := newToken(random)
	if err != nil {
		return "", err
	}
	if err := maybe.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("%w: %w", ErrTokenWrite, err)
	}
	return token, nil
}

// readToken reads a token; one that others can read or write, or that could be guessed, is refused.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", err
	} else if err != nil {
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	if why := Unsafe(path, st); why != "" {
		return "", fmt.Errorf("%w: %s %s", ErrToken, path, why)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	token := string(bytes.TrimSpace(b))
	if len(token) < tokenLength {
		return "", fmt.Errorf("%w: %s has %d characters, %d are needed", ErrToken, path, len(token), tokenLength)
	}
	return token, nil
}

// Unsafe is why the file at path, of which st is told, can hold no secret: others may read it, or could have written it; ""
// if it can. What cannot be known on a system is taken for good.
func Unsafe(path string, st fs.FileInfo) string {
	switch {
	case st.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/':
		return fmt.Sprintf("can be read by other users, its mode is %#o and not 0600", st.Mode().Perm())
	case !ours(path, st):
		return "belongs to another user"
	}
	return ""
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

// forget makes every code that waits worthless.
func (c *codes) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = nil
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
