package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/shoal-p2p/shoal/node/api"
)

// drainPatience bounds the clean end of a node: running chunks are finished, the store is closed.
const drainPatience = 15 * time.Second

// hosted is a node that runs in this process, behind its socket. Whoever holds one holds the home's lock.
type hosted struct {
	client *api.Client
	home   string
	lock   *flock.Flock

	stopServing context.CancelFunc
	stopNode    context.CancelFunc
	serving     sync.WaitGroup // the API servers
	nodeEnded   chan struct{}  // closed after nodeErr is set
	nodeErr     error
	stopAsked   chan struct{} // closed by POST stop
	yieldAsked  chan struct{} // closed by POST yield
	patience    time.Duration // drainPatience
}

// lockedError: another process holds the home.
type lockedError struct {
	home string
	pid  string // "" = not known
}

func (e *lockedError) Error() string { return "home is locked: " + e.home }

// Unwrap gives the words for it.
func (e *lockedError) Unwrap() error {
	out := &api.Error{Code: "home_locked", ExitCode: api.ExitStore, Title: "another process uses this home and does not answer",
		Detail: e.home, Hint: "wait for it to end, or use another --home", Retryable: true}
	if e.pid != "" {
		out.Title = fmt.Sprintf("process %s uses this home and does not answer", e.pid)
		out.Hint = fmt.Sprintf("wait for process %s to end, or use another --home", e.pid)
	}
	return out
}

// lockHome takes the home for this process, or says who has it (*lockedError).
func lockHome(home string) (*flock.Flock, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, storeError(err)
	}
	path := filepath.Join(home, "lock")
	lock := flock.New(path, flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, storeError(err)
	}
	if !ok {
		_ = lock.Close()
		b, _ := os.ReadFile(path) // the pid is a courtesy
		pid, _, _ := strings.Cut(string(b), "\n")
		if _, err := strconv.Atoi(pid); err != nil {
			pid = ""
		}
		return nil, &lockedError{home: home, pid: pid}
	}
	// Written into the locked file itself: a rename would leave two processes with a lock each.
	_ = os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
	return lock, nil
}

func storeError(err error) error {
	return &api.Error{Code: "home_unusable", ExitCode: api.ExitStore, Title: "the home cannot be opened", Detail: err.Error(), Hint: "another --home"}
}

// hosting says for what a node is hosted.
type hosting struct {
	extra   string // one more socket to serve; "" = none
	service bool   // until somebody stops it; else it ends with a command
	site    bool   // with its dashboard, as a service
}

// host takes the home's lock and runs the node here, until close. *lockedError if somebody else has the
// home.
func (a *app) host(ctx context.Context, cfg hostConfig, how hosting) (*hosted, error) {
	lock, err := takeHome(ctx, cfg, how)
	if err != nil {
		return nil, err
	}
	err = cfg.Logs.open()
	var listeners []net.Listener
	if err == nil {
		listeners, err = openSockets(ctx, cfg.Home, how.extra)
	}
	if err == nil {
		cfg.Metrics.Listener, err = openMetrics(ctx, cfg.Metrics, how)
	}
	var web *site
	if err == nil {
		web, err = a.openSite(ctx, cfg, how)
	}
	if err != nil {
		closeListeners(append(listeners, cfg.Metrics.Listener)...)
		_ = lock.Close()
		return nil, err
	}
	n, err := a.newHost(cfg)
	if err != nil {
		closeListeners(append(listeners, cfg.Metrics.Listener)...)
		web.close()
		_ = lock.Close()
		return nil, err
	}
	h := &hosted{home: cfg.Home, lock: lock, nodeEnded: make(chan struct{}), stopAsked: make(chan struct{}), yieldAsked: make(chan struct{}), patience: drainPatience}
	o := api.ServerOptions{Transient: !how.service, Settings: told(cfg.Settings)}
	if !how.service && !a.opts.noDaemon { // which could not go on through another node
		o.Yield = sync.OnceFunc(func() { close(h.yieldAsked) })
	}
	h.start(context.WithoutCancel(ctx), n, listeners, web, cfg, o)
	if err := h.await(ctx, n, listeners[0].Addr().String()); err != nil {
		_ = h.close() // the reason is err
		return nil, err
	}
	return h, nil
}

// takeHome takes the home's lock for what is to be hosted there.
func takeHome(ctx context.Context, cfg hostConfig, how hosting) (*flock.Flock, error) {
	if how.service {
		return claim(ctx, cfg.Home, cfg.Log)
	}
	return passed(cfg.Home)
}

func openSockets(ctx context.Context, home, extra string) ([]net.Listener, error) {
	own, err := api.Listen(home)
	if err != nil {
		return nil, storeError(err)
	}
	if extra == "" {
		return []net.Listener{own}, nil
	}
	// The lock of this home says nothing about another place: there only an answer tells.
	if c, err := api.Dial(ctx, extra); err == nil {
		c.Close()
		_ = own.Close()
		return nil, &api.Error{Code: "already_running", ExitCode: api.ExitStore, Title: "a node is running at " + printable(extra), Hint: "`node status`"}
	}
	other, err := api.ListenAt(extra)
	if err != nil {
		_ = own.Close()
		return nil, storeError(err)
	}
	return []net.Listener{own, other}, nil
}

// start runs the node and its API servers. The contexts are detached from the command's: on Ctrl-C the
// operation ends first, then the servers, then the node.
func (h *hosted) start(ctx context.Context, n host, listeners []net.Listener, web *site, cfg hostConfig, o api.ServerOptions) {
	nodeCtx, stopNode := context.WithCancel(ctx)
	serveCtx, stopServing := context.WithCancel(ctx)
	h.stopNode, h.stopServing = stopNode, stopServing
	o.Version, o.Log, o.Ready, o.Offline = cfg.Version, cfg.Log, n.Ready(), cfg.Offline
	o.Warnings = warningsOf(n)
	if o.Metrics = metricsOf(n); o.Metrics != nil && cfg.Metrics.Listener != nil {
		h.serving.Go(func() { serveMetrics(serveCtx, cfg.Metrics.Listener, o.Metrics, cfg.Log) })
	}
	o.Stop = sync.OnceFunc(func() { close(h.stopAsked) })
	service := api.Service(n)
	if web != nil {
		service = web.attach(n, &o)
		h.serving.Go(func() {
			if err := web.run(serveCtx); err != nil {
				cfg.Log.Error("the dashboard ended", "err", err)
			}
		})
	}
	for _, l := range listeners {
		h.serving.Go(func() {
			if err := api.Serve(serveCtx, l, service, o); err != nil {
				cfg.Log.Error("local API ended", "err", err)
				stopNode() // nobody could tell it to any more
			}
		})
	}
	go func() {
		defer close(h.nodeEnded)
		h.nodeErr = runNode(nodeCtx, n, cfg)
	}()
}

// runNode is Run with a bug in its own goroutine turned into an error.
func runNode(ctx context.Context, n host, cfg hostConfig) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = crashed(cfg.Home, cfg.Version, p, debug.Stack())
		}
	}()
	err = n.Run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // it did as it was told
	}
	return err
}

// await waits until the node is up and dials it.
func (h *hosted) await(ctx context.Context, n host, socket string) error {
	select {
	case <-n.Ready():
	case <-h.nodeEnded:
		return h.endError()
	case <-h.stopAsked:
		return errStopped
	case <-h.yieldAsked:
		return errYielded
	case <-ctx.Done():
		return ctx.Err()
	}
	// Under load the first answer can take longer than Dial waits.
	for giveUp := time.Now().Add(lockPatience); ; {
		c, err := api.Dial(ctx, socket)
		if err == nil {
			h.client = c
			return nil
		}
		if !errors.Is(err, api.ErrNoNode) || time.Now().After(giveUp) {
			return fmt.Errorf("reach the node hosted here: %w", err)
		}
	}
}

// endError is why the node ended by itself; call it after nodeEnded only.
func (h *hosted) endError() error {
	if h.nodeErr != nil {
		return h.nodeErr
	}
	return errors.New("the node ended by itself")
}

// onEnd calls cancel with the reason when the node ends or is told to; release ends the watch.
func (h *hosted) onEnd(cancel context.CancelCauseFunc) (release func()) {
	released, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-h.nodeEnded:
			cancel(h.endError())
		case <-h.stopAsked:
			cancel(errStopped)
		case <-h.yieldAsked:
			cancel(errYielded)
		case <-released:
		}
	}()
	return func() {
		close(released)
		<-ended
	}
}

// close ends the servers, drains the node and gives the home back, in this order: nobody is let in while
// the store is being closed, and the socket is gone before the lock is.
func (h *hosted) close() error {
	if h.client != nil {
		h.client.Close()
	}
	h.stopServing()
	served := make(chan struct{})
	go func() {
		h.serving.Wait()
		close(served)
	}()
	late := time.NewTimer(h.patience / 3) // with what the node has, no more than service managers wait
	defer late.Stop()
	select {
	case <-served:
	case <-late.C: // an operation does not heed that it was cancelled; the node still hands its roles over
	}
	h.stopNode()
	late.Reset(h.patience)
	select {
	case <-h.nodeEnded:
	case <-late.C:
		// The lock stays with this process until it exits: the store is still open.
		return fmt.Errorf("stop the node: not done after %v", h.patience)
	}
	err := h.nodeErr
	if unlockErr := h.lock.Close(); err == nil {
		err = unlockErr
	}
	return err
}
