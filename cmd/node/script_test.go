package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// checked runs the tests and then looks for goroutines they left behind; those that libraries start
// when they are loaded are not the tests'.
type checked struct{ m *testing.M }

func (c checked) Run() int {
	loaded := goleak.IgnoreCurrent()
	code := c.m.Run()
	// lumberjack starts one goroutine for each file and never ends it; a process has one file.
	rotates := goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun")
	if err := goleak.Find(loaded, rotates); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestMain installs the program as a command for the scripts: node has a fake node in it, shoal a real one.
func TestMain(m *testing.M) {
	run := func(name string, newHost func(hostConfig) (host, error), nets networks) func() {
		return func() {
			p := thisProcess()
			p.name, p.version, p.newHost, p.nets = name, "v0.0.0-test", newHost, nets
			os.Exit(Main(p))
		}
	}
	testscript.Main(checked{m}, map[string]func(){
		"node":  run("node", newFakeHost(os.Getenv), networks{}),
		"shoal": run("shoal", newHost, newNetworks(os.Executable)),
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("SHOAL_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("BAD", "\x1b[2J")
			e.Setenv("FAKE_NET", filepath.Join(e.WorkDir, "net"))
			return os.Mkdir(filepath.Join(e.WorkDir, "net"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": exitCode, "awaitfile": awaitFile, "supervise": supervise},
	})
}

// exitCode is `code N command...`: the command ends with exactly this code. Output is kept for stdout and stderr.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command args...")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = fmt.Sprint(err)
	}
	if got != args[0] && got != "exit status "+args[0] {
		ts.Fatalf("%s, want exit code %s", got, args[0])
	}
}
