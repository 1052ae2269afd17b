//go:build unix

package testnet

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-p2p/shoal/testnet/process"
)

// The console blocks of the README are typed as they stand there, in one folder, and print what stands
// there; "…" is anything on that line, and a line of just that is any number of lines.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFiles(t, filepath.Join(dir, "photos"), map[string]int{"a.jpg": 8, "b.jpg": 8, "2026/c.jpg": 8})
	blocks := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatal("the README has no transcript")
	}
	for _, b := range blocks {
		for _, step := range strings.Split("\n"+b[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(step, "\n")
			transcript(t, dir, command, want)
		}
	}
}

// transcript runs one command; one that ends with & goes on until the test ends.
func transcript(t *testing.T, dir, command, want string) {
	t.Helper()
	pattern := regexp.MustCompile(`^(?s)` + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(want, "\n")), "…", `.*?`) + `\n*$`)
	line, background := strings.CutSuffix(command, " &")
	ctx, cancel := context.WithCancel(testContext(t))
	cmd := exec.CommandContext(ctx, "sh", "-c", "exec "+line)
	cmd.Dir = dir
	cmd.Env = append(process.WithoutShoal(os.Environ()), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"), "SHOAL_HOME="+filepath.Join(dir, "home"),
		"SHOAL_P2P__MDNS=false", "SHOAL_P2P__LISTEN=/ip4/127.0.0.1/tcp/0", "XDG_RUNTIME_DIR=")
	printed := &output{changed: make(chan struct{}, 1)}
	cmd.Stderr = printed
	if !strings.Contains(line, ">") {
		cmd.Stdout = printed
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !background {
		err := cmd.Wait()
		cancel()
		if err != nil || !pattern.MatchString(printed.talk()) {
			t.Errorf("$ %s\n%s\nerror: %v, want:\n%s", command, printed.talk(), err, want)
		}
		return
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	for !pattern.MatchString(printed.talk()) {
		select {
		case <-printed.changed:
		case <-time.After(patience):
			t.Fatalf("$ %s\n%s\nwant:\n%s", command, printed.talk(), want)
		}
	}
}

// output keeps what a command prints.
type output struct {
	mu      sync.Mutex // guards text
	text    bytes.Buffer
	changed chan struct{}
}

// talk is what was printed, without progress lines.
func (o *output) talk() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var kept []string
	progress := regexp.MustCompile(`^(share|get|verify|follow|publish|restore): (scan|find|list|check|fetch|finish) `)
	for line := range strings.Lines(o.text.String()) {
		if !progress.MatchString(line) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	n, err := o.text.Write(b)
	o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return n, err
}
