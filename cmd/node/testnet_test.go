package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet"
	"github.com/shoal-p2p/shoal/testnet/control"
	"github.com/shoal-p2p/shoal/testnet/nodes"
	"github.com/shoal-p2p/shoal/testnet/script"
	"github.com/shoal-p2p/shoal/testnet/trace"
)

func TestShellWord(t *testing.T) {
	for in, want := range map[string]string{
		"/tmp/net-1": "/tmp/net-1", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "a\nb": "'a\nb'", "ä": "'ä'", "~x": "'~x'", "a;b": "'a;b'",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestPrintNet(t *testing.T) {
	var b bytes.Buffer
	printNet(&b, []control.Info{
		{Name: "origin", State: "running", PID: 7, Memory: 40 << 20, Addr: "/ip4/127.0.0.1/tcp/20001/p2p/12D3KooW", Site: "http://127.0.0.1:16001", Sets: []trace.SetState{
			{Set: "docs", Revision: 3, Role: "primary", Part: 1}, {Set: "photos", Revision: 1, Role: "reader", Part: 0.4}}},
		{Name: "edge-1", State: "down", Addr: "/ip4/127.0.0.1/tcp/20002/p2p/12D3KooW", Harm: []string{"to origin cut", "disk full"}},
	})
	want := []string{
		"NODE STATE PROCESS MEMORY ADDRESS DASHBOARD SETS LINKS",
		"origin running 7 40 MiB /ip4/127.0.0.1/tcp/20001 http://127.0.0.1:16001 docs 3 primary, photos 1 reader 40%",
		"edge-1 down /ip4/127.0.0.1/tcp/20002 to origin cut, disk full",
	}
	for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if got := strings.Join(strings.Fields(line), " "); i >= len(want) || got != want[i] {
			t.Errorf("line %d: %s", i, got)
		}
	}
}

// The end of a network in the foreground: what a script's author, a shell and a second terminal make of it.
func TestForeground(t *testing.T) {
	_, wrong := script.Parse("s.txt", []byte("kil a\nwait\n"))
	stopped, stop := context.WithCancelCause(t.Context())
	stop(interrupted{syscall.SIGTERM})
	for name, tt := range map[string]struct {
		ctx  context.Context
		err  error
		want int
		says string // in the error, or on stderr
	}{
		"all held":       {t.Context(), nil, api.ExitOK, ""},
		"not all":        {t.Context(), errors.Join(testnet.ErrChecksFailed, nil), api.ExitFailed, ""},
		"mistakes":       {t.Context(), wrong, api.ExitUsage, "s.txt:1:1: "},
		"folder in use":  {t.Context(), errors.Join(nodes.ErrInUse), api.ExitStore, "testnet down --dir /n/e/t` to end it"},
		"no namespaces":  {t.Context(), errors.Join(nodes.ErrUnsupported), api.ExitFailed, "not possible here"},
		"Ctrl-C":         {stopped, context.Canceled, api.ExitTerminated, "interrupted before it was done"},
		"after Ctrl-C":   {stopped, nil, api.ExitOK, ""},
		"something else": {t.Context(), io.ErrShortWrite, api.ExitFailed, "short write"},
	} {
		t.Run(name, func(t *testing.T) {
			var errs bytes.Buffer
			a := &app{process: process{name: "shoal", environ: []string{"HOME=/h"}, stdout: io.Discard, stderr: &errs}}
			got := a.report(interruption(tt.ctx, a.foreground(tt.ctx, "/n/e/t", tt.err)))
			if got != tt.want || !strings.Contains(errs.String(), tt.says) || tt.says == "" && errs.Len() > 0 {
				t.Errorf("exit %d, want %d: %s", got, tt.want, errs.String())
			}
		})
	}
}

func TestScriptArgument(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	long := strings.Repeat("# long\n", maxScript)
	for name, text := range map[string]string{"mine.txt": "nodes a\n", "long.txt": long} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &app{process: process{stdin: strings.NewReader("nodes b\n"), nets: networks{scenarios: func() []testnet.Scenario {
		return []testnet.Scenario{{Name: "split-brain", Text: []byte("nodes c\n")}}
	}}}}
	for arg, want := range map[string]string{"mine.txt": "mine.txt: nodes a\n", "./mine.txt": "mine.txt: nodes a\n", "-": "stdin: nodes b\n", "split-brain": "split-brain: nodes c\n"} {
		name, text, err := a.script(arg)
		if got := name + ": " + string(text); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", arg, got, err, want)
		}
	}
	if _, text, err := a.script("long.txt"); err != nil || len(text) != maxScript+1 {
		t.Errorf("%d bytes were read of a script without end: %v", len(text), err)
	}
	if _, _, err := a.script("splt-brain"); api.AsError(err).ExitCode != api.ExitNotFound || !strings.Contains(err.Error(), `did you mean "split-brain"`) {
		t.Errorf("no script: %v", err)
	}
}

func TestNetError(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for name, tt := range map[string]struct {
		ctx  context.Context
		err  error
		want int
		code string
	}{
		"silent":   {t.Context(), os.ErrDeadlineExceeded, api.ExitTimeout, "testnet_silent"},
		"given up": {ended, context.Canceled, api.ExitInterrupted, api.CodeInterrupted},
		"ended":    {t.Context(), io.ErrUnexpectedEOF, api.ExitNeedsNode, "testnet_ended"},
		"gone":     {t.Context(), control.ErrNoNet, api.ExitNeedsNode, "testnet_ended"},
		"its own":  {t.Context(), &api.Error{Code: "denied", ExitCode: api.ExitDenied}, api.ExitDenied, "denied"},
	} {
		if got := explain(netError(tt.ctx, "/nowhere", tt.err)); got.ExitCode != tt.want || got.Code != tt.code {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
