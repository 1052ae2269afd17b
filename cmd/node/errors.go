package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
)

// errPartial ends a command whose result was printed and names skipped files: exit 3, no more words.
var errPartial = errors.New("finished with skipped files")

// errNotDurable ends a publish whose result was printed and says that no other replica has it: exit 12, no more words.
var errNotDurable = errors.New("published, not durable")

// errStopped ends the operation of a hosting command that was told to stop by another one.
var errStopped = errors.New("stopped by another command")

// interrupted is the cause of a context ended by a signal.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "interrupted by " + i.signal.String() }

func (i interrupted) exitCode() int {
	if i.signal == syscall.SIGTERM {
		return api.ExitTerminated
	}
	return api.ExitInterrupted
}

// reported is an error whose words were said already.
type reported struct{ code int }

func (r reported) Error() string { return fmt.Sprintf("exit %d", r.code) }

func usagef(format string, args ...any) *api.Error {
	return &api.Error{Code: "usage", ExitCode: api.ExitUsage, Title: fmt.Sprintf(format, args...)}
}

// untilSignal is a context that ends with the first signal; the second ends the process at once.
func (a *app) untilSignal() (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	released, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for first := true; ; first = false {
			select {
			case s := <-a.signals:
				if !first {
					a.exit(interrupted{s}.exitCode())
				}
				cancel(interrupted{s})
				if !a.looking.Load() {
					a.say("stopping; once more stops at once")
				}
			case <-released:
				return
			}
		}
	}()
	return ctx, func() {
		close(released)
		<-ended
		cancel(nil)
	}
}

// interruption gives an error its cause back: behind the API a signal is only a cancelled context.
func interruption(ctx context.Context, err error) error {
	var i interrupted
	if err == nil || !errors.As(context.Cause(ctx), &i) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, api.ErrHostGone) || api.AsError(err).Code == api.CodeInterrupted {
		return i
	}
	return err
}

// explain maps every error to what people and scripts see of it.
func explain(err error) *api.Error {
	var i interrupted
	switch {
	case errors.As(err, &i):
		return &api.Error{Code: api.CodeInterrupted, ExitCode: i.exitCode(), Title: "interrupted before it was complete",
			Hint: "the same command again goes on where it stopped", Retryable: true}
	case errors.Is(err, errStopped):
		return &api.Error{Code: "stopped", ExitCode: api.ExitTerminated, Title: "stopped by another command before it was complete",
			Hint: "the same command again goes on where it stopped", Retryable: true}
	case errors.Is(err, errYielded):
		return &api.Error{Code: "yielded", ExitCode: api.ExitNeedsNode, Title: "`node run` took this home over", Hint: "the same command again", Retryable: true}
	case errors.Is(err, api.ErrNoNode):
		return noNode("")
	case errors.Is(err, api.ErrHostGone):
		return &api.Error{Code: "host_gone", ExitCode: api.ExitNeedsNode, Title: "the node went away", Detail: err.Error(),
			Hint: "the same command again", Retryable: true}
	}
	var e *api.Error
	if errors.As(err, &e) {
		return e
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &api.Error{Code: "permission", ExitCode: api.ExitFailed, Title: "not permitted by the operating system", Detail: err.Error()}
	case errors.Is(err, syscall.ENOSPC):
		return &api.Error{Code: "no_space", ExitCode: api.ExitNoSpace, Title: "no space left on the disk", Detail: err.Error(), Hint: "free some space, then the same command again"}
	default:
		return api.AsError(err)
	}
}

func noNode(where string) *api.Error {
	e := &api.Error{Code: "no_node", ExitCode: api.ExitNeedsNode, Title: "no node is running", Hint: "`node run`", Retryable: true}
	if where != "" {
		e.Detail = "nobody answers at " + where
	}
	return e
}

// report says what went wrong and returns the exit code: the only way out for an error.
func (a *app) report(err error) int {
	var r reported
	switch {
	case err == nil:
		return api.ExitOK
	case errors.Is(err, errNotDurable):
		return api.ExitNotDurable
	case errors.Is(err, errPartial):
		return api.ExitPartial
	case errors.As(err, &r):
		return r.code
	}
	e := *explain(err)
	e.Hint = strings.ReplaceAll(e.Hint, "`node ", "`"+a.name+" ") // hints name the program as it was called
	if e.ExitCode == api.ExitOK {
		e.ExitCode = api.ExitFailed // an error never looks like success, wherever it came from
	}
	if !a.opts.json || a.emit("error", &e) != nil {
		a.complain(&e)
	}
	return e.ExitCode
}

// complain prints an error in at most three lines: what, why, and what to type next.
func (a *app) complain(e *api.Error) {
	prefix := a.name + ":"
	if a.colored() {
		prefix = "\x1b[31m" + prefix + "\x1b[0m"
	}
	fmt.Fprintln(a.stderr, prefix, oneLine(e.Title))
	if e.Detail != "" {
		fmt.Fprintln(a.stderr, "  "+oneLine(e.Detail))
	}
	if e.Hint != "" {
		fmt.Fprintln(a.stderr, "  try: "+oneLine(e.Hint))
	}
}

// crashed keeps what a bug report needs in the home. Arguments are left out: a ticket is a secret.
func crashed(home, version string, value any, stack []byte) error {
	e := &api.Error{Code: api.CodeBug, ExitCode: api.ExitBug, Title: "this is a bug in the program", Detail: fmt.Sprint(value)}
	path := filepath.Join(home, "crash-"+time.Now().UTC().Format("20060102-150405")+".txt")
	text := fmt.Sprintf("version %s\npanic: %v\n\n%s", version, value, stack)
	if os.MkdirAll(home, 0o700) == nil && os.WriteFile(path, []byte(text), 0o600) == nil {
		e.Hint = "report it with " + path
	}
	return e
}
