package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Client acts on a network. Its methods make a connection each, and answer ErrNoNet when the network has ended by then.
type Client struct{ dir string }

// Dial finds the network that runs in dir; ErrNoNet when none does.
func Dial(ctx context.Context, dir string) (*Client, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("dial the test network: %w", err)
	}
	c := &Client{dir: dir}
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("dial the test network: %w", err)
	}
	return c, conn.Close()
}

// Do carries out one statement of a script, and calls say with what is told meanwhile. An error that the network
// answers is an *api.Error.
func (c *Client) Do(ctx context.Context, line string, say func(string)) error {
	_, err := c.ask(ctx, request{Op: "do", Line: line}, say)
	return err
}

// Finish carries out one statement as Do does, to its end even if the caller ends meanwhile: a node may ask for its own
// restart.
func (c *Client) Finish(ctx context.Context, line string) error {
	_, err := c.ask(ctx, request{Op: "do", Line: line, Alone: true}, nil)
	return err
}

// List tells what every node is.
func (c *Client) List(ctx context.Context) ([]Info, error) {
	a, err := c.ask(ctx, request{Op: "list"}, nil)
	return a.Nodes, err
}

// Quit ends the network, and returns when it answers nobody any more; its processes may take a moment longer.
func (c *Client) Quit(ctx context.Context) error {
	_, err := c.ask(ctx, request{Op: "quit"}, nil)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil // it has ended without a word
	}
	return err
}

func (c *Client) connect(ctx context.Context) (net.Conn, error) {
	path, done, err := socket(c.dir)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, frameDeadline)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTSOCK) || errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%w: %s", ErrNoNet, c.dir)
	}
	return conn, err
}

// ask sends a request and reads the answer to its last line.
func (c *Client) ask(ctx context.Context, r request, say func(string)) (answer, error) {
	r.V = version
	conn, err := c.connect(ctx)
	if err != nil {
		return answer{}, fmt.Errorf("ask the test network: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends what waits
	defer stop()
	a, err := converse(conn, r, say)
	switch {
	case err == nil && a.Error != nil:
		return a, a.Error
	case err != nil && ctx.Err() != nil:
		return a, fmt.Errorf("ask the test network: %w", ctx.Err())
	case errors.Is(err, os.ErrDeadlineExceeded):
		return a, fmt.Errorf("ask the test network: it runs and does not answer: %w", err)
	case errors.Is(err, io.EOF):
		return a, fmt.Errorf("ask the test network: it ended before it was done: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return a, fmt.Errorf("ask the test network: %w", err)
	}
	return a, nil
}

func converse(conn net.Conn, r request, say func(string)) (a answer, err error) {
	if err := writeLine(conn, r); err != nil {
		return a, err
	}
	for in := bufio.NewReader(conn); ; {
		if err := conn.SetReadDeadline(time.Now().Add(frameDeadline)); err != nil {
			return a, err
		}
		a = answer{}
		if err := readLine(in, maxAnswer, &a); err != nil {
			return a, err
		}
		if a.Say != "" && say != nil {
			say(a.Say)
		}
		if a.Done {
			return a, nil
		}
	}
}
