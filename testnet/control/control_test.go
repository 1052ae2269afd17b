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
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a network that does as its fields say.
type stage struct {
	do    func(ctx context.Context, line string, say func(string)) error
	nodes []Info
	quit  func()
}

func (s stage) Do(ctx context.Context, line string, say func(string)) error {
	return s.do(ctx, line, say)
}
func (s stage) List(context.Context) []Info { return s.nodes }
func (s stage) Quit()                       { s.quit() }

// served serves s in dir until the test ends, or until end is called, which waits.
func served(t *testing.T, dir string, s stage) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, dir, s) }()
	var c *Client
	for err := ErrNoNet; errors.Is(err, ErrNoNet); {
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
		c, err = Dial(ctx, dir)
		if err != nil && !errors.Is(err, ErrNoNet) {
			t.Fatal(err)
		}
	}
	_ = c
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return end
}

func dial(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// folders are names of every sort.
func folders(t *testing.T) map[string]string {
	t.Helper()
	long := t.TempDir()
	for range 5 {
		long = filepath.Join(long, strings.Repeat("long ", 10)+"x")
	}
	spaced := filepath.Join(t.TempDir(), "a b\n'c")
	for _, dir := range []string{long, spaced} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{"short": t.TempDir(), "long": long, "spaced": spaced}
}

func TestConversation(t *testing.T) {
	for name, dir := range folders(t) {
		t.Run(name, func(t *testing.T) {
			want := []Info{{Name: "node-1", State: "running", PID: 7, Memory: 1 << 20, Sets: []trace.SetState{{Set: "docs", Revision: 3, Part: 0.5}}}, {Name: "node-2", State: "down"}}
			served(t, dir, stage{nodes: want, do: func(_ context.Context, line string, say func(string)) error {
				for word := range strings.FieldsSeq(line) {
					say(word)
				}
				return nil
			}})
			if st, err := os.Stat(filepath.Join(dir, "control.sock")); err != nil || st.Mode() != fs.ModeSocket|0o600 {
				t.Errorf("the socket: %v, %v", st, err)
			}
			c := dial(t, dir)
			var said []string
			if err := c.Do(t.Context(), "kill node-1", func(text string) { said = append(said, text) }); err != nil {
				t.Error(err)
			}
			if !slices.Equal(said, []string{"kill", "node-1"}) {
				t.Errorf("it said %q", said)
			}
			got, err := c.List(t.Context())
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("listed %v: %v", got, err)
			}
		})
	}
}

func TestErrorsCross(t *testing.T) {
	_, wrong := script.ParseLine([]string{"node-1"}, nil, "kill node-2")
	for name, tt := range map[string]struct {
		err  error
		want api.Error
	}{
		"of the statement": {wrong, api.Error{Code: "bad_statement", ExitCode: api.ExitUsage, Title: wrong.Error()}},
		"of a node":        {fmt.Errorf("publish: %w", &api.Error{Code: "denied", ExitCode: api.ExitDenied, Title: "no", Hint: "ask"}), api.Error{Code: "denied", ExitCode: api.ExitDenied, Title: "no", Hint: "ask"}},
		"another":          {errors.New("disk\non fire"), api.Error{Code: api.CodeFailed, ExitCode: api.ExitFailed, Title: "disk\non fire"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			served(t, dir, stage{do: func(context.Context, string, func(string)) error { return tt.err }})
			err := dial(t, dir).Do(t.Context(), "x", nil)
			var got *api.Error
			if !errors.As(err, &got) || *got != tt.want {
				t.Errorf("%+v", err)
			}
		})
	}
}

func TestNoNet(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{dir, filepath.Join(dir, "missing"), plain, filepath.Join(dir, strings.Repeat("x", 200))} {
		if _, err := Dial(t.Context(), where); !errors.Is(err, ErrNoNet) {
			t.Errorf("%s: %v", where, err)
		}
	}
	end := served(t, dir, stage{})
	c := dial(t, dir)
	end()
	if _, err := c.List(t.Context()); !errors.Is(err, ErrNoNet) {
		t.Errorf("it has ended: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "control.sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its socket is still there: %v", err)
	}
}

// A network that was killed leaves its socket; the next one takes its place.
func TestStaleSocket(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "control.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNoNet) {
		t.Errorf("a stale socket: %v", err)
	}
	served(t, dir, stage{})
	dial(t, dir)
}

func TestSomethingElseInItsPlace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "control.sock")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), dir, stage{}); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file is %q: %v", b, err)
	}
}

// Quit returns when the network answers no more, whichever of the two is told first.
func TestQuit(t *testing.T) {
	dir := t.TempDir()
	asked := make(chan struct{})
	end := served(t, dir, stage{quit: func() { close(asked) }})
	c := dial(t, dir)
	result := make(chan error, 1)
	go func() { result <- c.Quit(t.Context()) }()
	<-asked
	select {
	case err := <-result:
		t.Fatalf("it still serves, and Quit has returned: %v", err)
	default:
	}
	end()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNoNet) {
		t.Errorf("it serves: %v", err)
	}
}

// A statement's context ends with the terminal that typed it, and with the network.
func TestStatementIsGivenUp(t *testing.T) {
	for _, by := range []string{"terminal", "network"} {
		t.Run(by, func(t *testing.T) {
			dir := t.TempDir()
			began, gone := make(chan struct{}), make(chan struct{})
			end := served(t, dir, stage{do: func(ctx context.Context, _ string, _ func(string)) error {
				close(began)
				<-ctx.Done()
				close(gone)
				return ctx.Err()
			}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			c := dial(t, dir)
			go func() { result <- c.Do(ctx, "wait 1h", nil) }()
			<-began
			if by == "terminal" {
				cancel()
			} else {
				end()
			}
			<-gone
			if err := <-result; err == nil || by == "terminal" && !errors.Is(err, context.Canceled) {
				t.Errorf("given up: %v", err)
			}
		})
	}
}

// A node may ask for its own restart: such a statement goes on when its client has gone away, and ends with the network.
func TestStatementIsFinished(t *testing.T) {
	for line, stays := range map[string]bool{`{"v":1,"op":"do","line":"restart a","alone":true}`: true, `{"v":1,"op":"do","line":"restart a"}`: false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, end := context.WithCancel(t.Context())
			near, far := net.Pipe()
			given := make(chan context.Context, 1)
			done := make(chan struct{})
			go func() {
				defer close(done)
				newTalk(ctx, far).answer(stage{do: func(ctx context.Context, _ string, _ func(string)) error {
					given <- ctx
					<-ctx.Done()
					return nil
				}})
			}()
			if _, err := near.Write([]byte(line + "\n")); err != nil {
				t.Fatal(err)
			}
			statement := <-given
			_ = near.Close()
			synctest.Wait()
			if goesOn := statement.Err() == nil; goesOn != stays {
				t.Errorf("%s: the client has gone, and it goes on: %v", line, goesOn)
			}
			end()
			<-done
		})
	}
}

func TestBadRequests(t *testing.T) {
	dir := t.TempDir()
	served(t, dir, stage{do: func(context.Context, string, func(string)) error { return errors.New("carried out") }})
	for _, bad := range []string{"\n", "{}\n", "[]\n", `{"v":1,"op":"dance"}` + "\n", `{"v":2,"op":"list"}` + "\n", `{"v":1,"op":7}` + "\n", strings.Repeat("x", maxRequest+10), `{"v":1,"op":"do","line":"` + strings.Repeat("x", maxRequest) + `"}` + "\n"} {
		c, err := net.Dial("unix", filepath.Join(dir, "control.sock"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, bad) // the other end may have had enough
		var a answer
		line, err := bufio.NewReader(c).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &a)
		}
		_ = c.Close()
		if strings.Contains(bad, "xxx") && err != nil {
			continue // what was not read makes the kernel reset the connection
		}
		if err != nil || a.Error == nil || a.Error.ExitCode != api.ExitUsage || !a.Done {
			t.Errorf("%.40q: %+v, %v", bad, a, err)
		}
	}
	dial(t, dir) // it serves on
}

// A network that is halted, or somebody else in its place, keeps nobody waiting for ever.
func TestSilentNetwork(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := dial(t, dir).List(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody answers: %v", err)
	}
	go func() {
		for range 4 { // two of Dial, which says nothing, then of List and of Do
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	if err := dial(t, dir).Do(t.Context(), "x", nil); err == nil || errors.Is(err, ErrNoNet) {
		t.Errorf("it hangs up: %v", err)
	}
}

// A statement may take longer than any line: signs of life tell that it is still carried out. A network that is halted
// gives none.
func TestSignsOfLife(t *testing.T) {
	const long = 20 * frameDeadline
	for _, halted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			talk := newTalk(t.Context(), far)
			var end sync.WaitGroup
			end.Go(func() {
				if halted {
					_, _ = talk.in.ReadBytes('\n')
					return
				}
				talk.answer(stage{do: func(ctx context.Context, _ string, _ func(string)) error {
					select {
					case <-time.After(long):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}})
			})
			began := time.Now()
			a, err := converse(near, request{V: version, Op: "do"}, nil)
			took := time.Since(began)
			if halted && (!errors.Is(err, os.ErrDeadlineExceeded) || took != frameDeadline) {
				t.Errorf("halted: after %v %v", took, err)
			}
			if !halted && (err != nil || a.Error != nil || took != long) {
				t.Errorf("after %v %+v, %v", took, a, err)
			}
			_ = near.Close()
			end.Wait()
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	served(t, dir, stage{do: func(_ context.Context, line string, say func(string)) error {
		say(line)
		return nil
	}})
	results := make(chan error)
	const terminals = 3 * maxTalks
	for i := range terminals {
		go func() {
			c, err := Dial(t.Context(), dir)
			heard := ""
			if err == nil {
				err = c.Do(t.Context(), fmt.Sprint(i), func(text string) { heard = text })
			}
			if err == nil && heard != fmt.Sprint(i) {
				err = fmt.Errorf("%d heard %q", i, heard)
			}
			results <- err
		}()
	}
	for range terminals {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// FuzzRequest: whatever a client sends, it is answered by one last line, and nothing is done that it did not ask for.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"v":1,"op":"do","line":"kill node-1"}` + "\n"))
	f.Add([]byte(`{"v":1,"op":"list"}` + "\n"))
	f.Add([]byte(`{"v":1}` + "\n{}"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			newTalk(ctx, far).answer(stage{quit: cancel, do: func(_ context.Context, line string, _ func(string)) error {
				var r request
				if json.Unmarshal(sent[:slices.Index(sent, '\n')+1], &r) != nil || r.Line != line || r.Op != "do" {
					t.Errorf("carried out %q", line)
				}
				return nil
			}})
		}()
		go func() {
			_, _ = near.Write(sent)
			if !slices.Contains(sent, '\n') {
				_ = near.Close()
			}
		}()
		in := bufio.NewReader(near)
		last := answer{Done: true} // if there was no request at all
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				break
			}
			last = answer{}
			if err := json.Unmarshal(line, &last); err != nil {
				t.Errorf("answered %q: %v", line, err)
			}
		}
		if !last.Done {
			t.Errorf("%q was answered by %+v in the end", sent, last)
		}
		_ = near.Close()
		<-done
	})
}
