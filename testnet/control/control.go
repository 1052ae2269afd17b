package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

// ErrNoNet is answered by Dial when no network runs in the folder.
var ErrNoNet = errors.New("no test network runs there")

const (
	// version of the conversation.
	version = 1
	// maxRequest is that of a script, and more than anybody types.
	maxRequest = 64 << 10
	// maxAnswer bounds one line of an answer: a hundred nodes with a hundred sets each are under 4 MiB.
	maxAnswer = 4 << 20
	// maxTalks is how many requests are answered at the same time: a terminal each, and some that wait.
	maxTalks = 32
	// frameDeadline is how long a line may take, either way. A local one takes a millisecond; signs of life come ten
	// times as often.
	frameDeadline = 10 * time.Second
	alive         = frameDeadline / 10
)

// Info is what there is to know of a node.
type Info struct {
	Name   string           `json:"name"`
	PeerID string           `json:"peer_id"`
	State  string           `json:"state"`           // running, paused or down
	Ended  string           `json:"ended,omitempty"` // of one that is down: killed, stopped or crashed
	Home   string           `json:"home"`
	Addr   string           `json:"addr"`
	PID    int              `json:"pid,omitempty"`
	Memory int64            `json:"memory,omitempty"` // resident bytes
	Harm   []string         `json:"harm,omitempty"`   // what is done to it and its links, in words
	Sets   []trace.SetState `json:"sets,omitempty"`
	Site   string           `json:"dashboard,omitempty"` // URL
	Delay  float64          `json:"delay_ms,omitempty"`  // the longest that its links add, one way
	Rate   int64            `json:"rate,omitempty"`      // bytes a second that it sends or receives at most, or its slowest link carries
}

// Stage is the network that is acted on.
type Stage interface {
	// Do carries out one statement, and calls say with what is to be told meanwhile. ctx ends when the other terminal
	// has gone away.
	Do(ctx context.Context, line string, say func(string)) error
	// List tells what every node is.
	List(ctx context.Context) []Info
	// Quit begins to end the network, and does not wait.
	Quit()
}

// request is what a client asks.
type request struct {
	V     int    `json:"v"`
	Op    string `json:"op"`
	Line  string `json:"line,omitempty"`
	Alone bool   `json:"alone,omitempty"` // of do: it is carried out also when the client goes away
}

// answer is one line of what it is told.
type answer struct {
	Say   string     `json:"say,omitempty"`
	Nodes []Info     `json:"nodes,omitempty"`
	Error *api.Error `json:"error,omitempty"`
	Done  bool       `json:"done,omitempty"`
}

// maxSunPath is the longest name of a Unix socket that every platform takes: 104 bytes on macOS and the BSDs, one of
// them for the final NUL.
const maxSunPath = 103

// socket is a name of dir's socket that is short enough for the kernel: the plain one, or one that leads there over a
// symbolic link in the folder for temporary files, to be removed by done after use.
func socket(dir string) (path string, done func(), err error) {
	path = filepath.Join(dir, "control.sock")
	if len(path) <= maxSunPath {
		return path, func() {}, nil
	}
	tmp, err := os.MkdirTemp("", "shoal-")
	if err == nil && len(tmp)+len("/net/control.sock") > maxSunPath {
		_ = os.Remove(tmp) // it is empty
		tmp, err = os.MkdirTemp("/tmp", "shoal-")
	}
	if err != nil {
		return "", nil, err
	}
	link := filepath.Join(tmp, "net")
	if err := os.Symlink(dir, link); err != nil {
		return "", nil, errors.Join(err, os.Remove(tmp))
	}
	return filepath.Join(link, "control.sock"), func() {
		_ = os.Remove(link) // what stays is an empty folder among temporary files
		_ = os.Remove(tmp)
	}, nil
}

// listen opens dir's socket, of mode 0600, and removes one that a network has left that was killed.
func listen(dir string) (*net.UnixListener, error) {
	path, done, err := socket(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	if st, err := os.Lstat(path); err == nil && st.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s exists and is no socket", path)
	}
	// It gets its name once it has its mode: nobody is to find it with another one. The name for so long is no longer.
	fresh := filepath.Join(filepath.Dir(path), "control.new")
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the name may not lead there any more
	if err = os.Chmod(fresh, 0o600); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(fresh), l.Close())
	}
	return l, nil
}

// readLine reads one line of JSON of at most limit bytes.
func readLine(r *bufio.Reader, limit int, v any) error {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) { // most lines are short: room is only made for those that are not
		line = append([]byte(nil), line...)
	}
	for errors.Is(err, bufio.ErrBufferFull) && len(line) < limit {
		var more []byte
		more, err = r.ReadSlice('\n')
		line = append(line, more...)
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull), len(line) > limit:
		return errors.New("a line is too long")
	case errors.Is(err, io.EOF) && len(line) > 0:
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	return json.Unmarshal(line, v)
}

// writeLine writes one line of JSON within frameDeadline.
func writeLine(c net.Conn, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(frameDeadline)); err != nil {
		return err
	}
	_, err = c.Write(append(b, '\n'))
	return err
}

// problem is an error for another terminal: what is wrong with a statement's text is a wrong use of the program.
func problem(err error) *api.Error {
	var wrong script.Error
	if errors.As(err, &wrong) {
		return &api.Error{Code: "bad_statement", ExitCode: api.ExitUsage, Title: err.Error()}
	}
	return api.AsError(err)
}
