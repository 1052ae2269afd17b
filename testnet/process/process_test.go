package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	switch os.Getenv("PROCESS_TEST_AS") {
	case "":
		goleak.VerifyTestMain(m)
	case "broken":
		_, _ = os.Stderr.WriteString("the store is damaged\n")
		os.Exit(1)
	case "silent":
		select {}
	}
}

// spec is this very program as a node that does as it is named.
func spec(t *testing.T, as string) Spec {
	t.Helper()
	t.Setenv("PROCESS_TEST_AS", as)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	return Spec{Exe: exe, Home: home, Log: filepath.Join(home, "log")}
}

func TestNodeThatEndsAtOnce(t *testing.T) {
	s := NewStarter()
	defer s.Close()
	for range 2 { // the second adds to the log of the first
		if _, err := s.Start(t.Context(), spec(t, "broken")); err == nil || !strings.Contains(err.Error(), "ended before it was ready; its log: the store is damaged") {
			t.Errorf("a node that ends: %v", err)
		}
	}
	if _, err := s.Start(t.Context(), Spec{Exe: filepath.Join(t.TempDir(), "missing"), Log: filepath.Join(t.TempDir(), "log")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

// Who gives up waiting leaves no process behind: Close would wait for it.
func TestNodeThatNeverListens(t *testing.T) {
	s := NewStarter()
	defer s.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	p, _, err := s.launch(spec(t, "silent"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Over() {
		t.Error("it has ended by itself")
	}
	p.Kill()
	if !p.Over() || p.State().Success() {
		t.Errorf("killed, and %v", p.State())
	}
	cancel(enough)
	if _, err := s.Start(ctx, spec(t, "silent")); !errors.Is(err, enough) {
		t.Errorf("given up: %v", err)
	}
}

func TestCommand(t *testing.T) {
	s := Spec{Exe: "node", Prefix: []string{"ip", "netns"}, Home: "/h", Listen: []string{"a", "b"}, Bootstrap: []string{"c"}, Flags: []string{"-v"}}
	want := strings.Fields("ip netns node run --home /h --json --listen a --listen b --bootstrap c -v")
	if got := s.command(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	t.Setenv("SHOAL_HOME", "/mine")
	t.Setenv("SHOAL_API__LISTEN", "0.0.0.0:1")
	for site, listen := range map[string]string{"": "SHOAL_API__LISTEN=127.0.0.1:0", "127.0.0.1:7": "SHOAL_API__LISTEN=127.0.0.1:7"} {
		s.Site = site
		var shoal []string
		for _, e := range s.environ() {
			if strings.HasPrefix(e, "SHOAL_") {
				shoal = append(shoal, e)
			}
		}
		if want := []string{"SHOAL_P2P__MDNS=false", listen}; !slices.Equal(shoal, want) {
			t.Errorf("%q", shoal)
		}
	}
}

func TestLastLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if got := LastLog(log); !strings.Contains(got, "no such file") && !strings.Contains(got, "cannot find") {
		t.Errorf("no log is %q", got)
	}
	for text, want := range map[string]string{
		"":                                "",
		"a\nb\n":                          "a\nb",
		strings.Repeat("x", 3000):         "",
		strings.Repeat("x", 1995) + "\nz": strings.Repeat("x", 1995) + "\nz",
		strings.Repeat("x\n", 2000) + "z": strings.Repeat("x\n", 999) + "z",
	} {
		if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := LastLog(log); got != want {
			t.Errorf("of %d bytes: %d, %.20q", len(text), len(got), got)
		}
	}
}
