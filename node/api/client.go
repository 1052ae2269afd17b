package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// dialPatience is what a command waits for a sign of life before it hosts a node itself; a local
	// answer takes under 5 ms, a machine under load gets 60 times that.
	dialPatience = 300 * time.Millisecond
	// maxLine bounds one line of an answer: a result with 100,000 skipped files is about 20 MiB.
	maxLine = 64 << 20
)

// Client asks the node behind a socket. It implements Service; every method answers an *Error from the
// node, ErrHostGone when the node went away, or the error of ctx.
type Client struct {
	http    *http.Client
	socket  string
	version VersionInfo
}

var _ Service = (*Client)(nil)

// Dial finds the node at socketPath: it connects and asks GET /healthz, both within 300 ms, never by
// looking at files. ErrNoNode when nobody answers. A node of another API version is returned all the
// same, so that it can be stopped; its other methods answer an *Error with ExitNeedsNode.
func Dial(ctx context.Context, socketPath string) (*Client, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socketPath)
		},
		DisableCompression: true, // nothing to gain on a socket, and flushing must stay prompt
	}
	c := &Client{http: &http.Client{Transport: transport}, socket: socketPath}
	quick, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	if err := c.hello(quick); err != nil {
		c.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("dial %s: %w", socketPath, ctx.Err())
		}
		return nil, fmt.Errorf("dial %s: %w: %w", socketPath, ErrNoNode, err)
	}
	return c, nil
}

func (c *Client) hello(ctx context.Context) error {
	for _, path := range []string{"/healthz", "/version"} {
		body, err := c.get(ctx, path)
		if err != nil {
			return err
		}
		if path == "/version" {
			return json.Unmarshal(body, &c.version)
		}
	}
	return nil
}

func (c *Client) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://shoal"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxBody))
}

// Close releases idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Socket is the path this client dialled.
func (c *Client) Socket() string { return c.socket }

// Version is what the node said when it was dialled.
func (c *Client) Version() VersionInfo { return c.version }

// Stop asks the process that hosts the node to drain and end; it returns when that was accepted. It
// works with a node of any API version.
func (c *Client) Stop(ctx context.Context) error {
	path := prefix + "stop"
	if c.version.API < 2 {
		path = firstStop
	}
	_, err := call[struct{}](ctx, c, "stop", http.MethodPost, path, none{})
	return err
}

// Share implements Service.
func (c *Client) Share(ctx context.Context, r ShareRequest, progress func(Progress)) (ShareResult, error) {
	return await[ShareResult](ctx, c, "share", r, listener{progress: progress})
}

// Get implements Service.
func (c *Client) Get(ctx context.Context, r GetRequest, progress func(Progress)) (GetResult, error) {
	return await[GetResult](ctx, c, "get", r, listener{progress: progress})
}

// Publish implements Service.
func (c *Client) Publish(ctx context.Context, r PublishRequest, progress func(Progress)) (PublishResult, error) {
	return await[PublishResult](ctx, c, "publish", r, listener{progress: progress})
}

// Restore implements Service.
func (c *Client) Restore(ctx context.Context, r RestoreRequest, progress func(Progress)) (RestoreResult, error) {
	return await[RestoreResult](ctx, c, "restore", r, listener{progress: progress})
}

// Follow implements Service.
func (c *Client) Follow(ctx context.Context, r FollowRequest, progress func(Progress)) (FollowResult, error) {
	return await[FollowResult](ctx, c, "follow", r, listener{progress: progress})
}

// Events implements Service. An fn that takes its time loses events, and is told how many.
func (c *Client) Events(ctx context.Context, r EventsRequest, fn func(Event)) error {
	_, err := await[struct{}](ctx, c, "events", r, listener{event: fn})
	return err
}

// Verify implements Service.
func (c *Client) Verify(ctx context.Context, r VerifyRequest, progress func(Progress)) (VerifyResult, error) {
	return await[VerifyResult](ctx, c, "verify", r, listener{progress: progress})
}

// Ls implements Service.
func (c *Client) Ls(ctx context.Context, r LsRequest) (LsResult, error) {
	return checked[LsResult](ctx, c, "ls", http.MethodPost, "ls", r)
}

// History implements Service.
func (c *Client) History(ctx context.Context, r HistoryRequest) (HistoryResult, error) {
	return checked[HistoryResult](ctx, c, "history", http.MethodPost, "history", r)
}

// Diff implements Service.
func (c *Client) Diff(ctx context.Context, r DiffRequest) (DiffResult, error) {
	return checked[DiffResult](ctx, c, "diff", http.MethodPost, "diff", r)
}

// Unfollow implements Service.
func (c *Client) Unfollow(ctx context.Context, r UnfollowRequest) (UnfollowResult, error) {
	return checked[UnfollowResult](ctx, c, "unfollow", http.MethodPost, "unfollow", r)
}

// Show implements Service.
func (c *Client) Show(ctx context.Context, set string) (SetInfo, error) {
	return checked[SetInfo](ctx, c, "show", http.MethodGet, "show?set="+url.QueryEscape(set), nil)
}

// Status implements Service.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return checked[Status](ctx, c, "status", http.MethodGet, "status", nil)
}

// Rm implements Service.
func (c *Client) Rm(ctx context.Context, r RmRequest) (RmResult, error) {
	return checked[RmResult](ctx, c, "rm", http.MethodPost, "rm", r)
}

// GC implements Service.
func (c *Client) GC(ctx context.Context) (GCResult, error) {
	return checked[GCResult](ctx, c, "gc", http.MethodPost, "gc", none{})
}

func (c *Client) checkVersion() error {
	if c.version.API == Major {
		return nil
	}
	return &Error{Code: CodeAPIMismatch, ExitCode: ExitNeedsNode, Title: "the running node speaks another version of the API",
		Detail: fmt.Sprintf("the node is %s with API %d, this program needs API %d", c.version.Version, c.version.API, Major),
		Hint:   "restart it with `node stop` and `node run`"}
}

func checked[Res any](ctx context.Context, c *Client, op, method, path string, req any) (Res, error) {
	if err := c.checkVersion(); err != nil {
		var zero Res
		return zero, err
	}
	return call[Res](ctx, c, op, method, prefix+path, req)
}

// send does the request; a response that is not a success comes back as its error.
func (c *Client) send(ctx context.Context, op, method, path string, req any) (*http.Response, error) {
	var body io.Reader
	if req != nil {
		b, err := json.Marshal(req)
		if err != nil {
			return nil, fmt.Errorf("%s: encode request: %w", op, err)
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://shoal"+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, gone(ctx, op, err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, failure(ctx, op, resp)
}

func failure(ctx context.Context, op string, resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return gone(ctx, op, err)
	}
	e := new(Error)
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), problemMediaType) || json.Unmarshal(b, e) != nil || e.Title == "" {
		return fmt.Errorf("%s: the node answered %s", op, resp.Status)
	}
	if e.Code == CodeStopping {
		return gone(ctx, op, e)
	}
	return e
}

// gone tells a caller that gave up from a host that went away.
func gone(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	return fmt.Errorf("%s: %w: %v", op, ErrHostGone, err) // %v: a dead connection is no error of the operation
}

func call[Res any](ctx context.Context, c *Client, op, method, path string, req any) (Res, error) {
	var res Res
	resp, err := c.send(ctx, op, method, path, req)
	if err != nil {
		return res, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return res, gone(ctx, op, err)
	}
	if err := json.Unmarshal(b, &res); err != nil {
		return res, fmt.Errorf("%s: decode answer: %w", op, err)
	}
	return res, nil
}

// listener takes what comes before the last line; nil = not wanted.
type listener struct {
	progress func(Progress)
	event    func(Event)
}

// await reads the lines of an operation until its last.
func await[Res any](ctx context.Context, c *Client, op string, req any, to listener) (Res, error) {
	var res Res
	if err := c.checkVersion(); err != nil {
		return res, err
	}
	resp, err := c.send(ctx, op, http.MethodPost, prefix+op, req)
	if err != nil {
		return res, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		done, err := line(lines.Bytes(), &res, to)
		if err != nil || done {
			return res, err
		}
	}
	err = lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		return res, fmt.Errorf("%s: read answer: %w", op, err)
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return res, gone(ctx, op, err)
}

// line takes one line in; done after the last. Types that are not known are skipped: members and types
// are only ever added within a major version.
func line[Res any](b []byte, res *Res, to listener) (done bool, err error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return true, fmt.Errorf("decode answer: %w", err)
	}
	switch head.Type {
	case "progress":
		return hear("progress", b, to.progress)
	case "event":
		return hear("event", b, to.event)
	case "result":
		if err := json.Unmarshal(b, res); err != nil {
			return true, fmt.Errorf("decode result: %w", err)
		}
		return true, nil
	case "error":
		e := new(Error)
		if err := json.Unmarshal(b, e); err != nil {
			return true, fmt.Errorf("decode error: %w", err)
		}
		return true, e
	default:
		return false, nil
	}
}

// hear passes one line of an operation that goes on.
func hear[T any](kind string, b []byte, fn func(T)) (done bool, err error) {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return true, fmt.Errorf("decode %s: %w", kind, err)
	}
	if fn != nil {
		fn(v)
	}
	return false, nil
}
