package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestEverySettingIsExplained(t *testing.T) {
	s, err := newStack()
	if err != nil {
		t.Fatal(err)
	}
	names := keyNames()
	if got, want := slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(s.known)); !slices.Equal(got, want) {
		t.Errorf("help knows %q, the settings are %q", got, want)
	}
	for _, k := range s.known {
		if _, list := s.k.Get(k).([]string); list != isList(k) {
			t.Errorf("%s: isList is %v", k, isList(k))
		}
		if _, truth := s.k.Get(k).(bool); truth != isBool(k) {
			t.Errorf("%s: isBool is %v", k, isBool(k))
		}
	}
	for flag, key := range settingFlags() {
		if !slices.Contains(names, key) {
			t.Errorf("--%s stands for %s, which is no setting", flag, key)
		}
	}
}

func TestDefaultsAreGood(t *testing.T) {
	a := app{process: process{environ: []string{"HOME=" + t.TempDir()}, stderr: new(bytes.Buffer)}}
	c, err := a.loadConfig(nil, slog.LevelWarn)
	if err != nil {
		t.Fatal(err)
	}
	if c.API.Listen != "127.0.0.1:4580" || c.Metrics.Listen != "" || c.Net.MaxConnections != 256 || c.Share.Debounce != 2*time.Second || c.Share.Rescan != time.Hour {
		t.Errorf("%+v", c)
	}
}

func TestFileOfTheLogIsPutAside(t *testing.T) {
	dir := t.TempDir()
	const line = 1000
	l := newLogs(new(bytes.Buffer), logOptions{level: slog.LevelInfo, format: "auto", file: filepath.Join(dir, "node.log"), maxSize: 1, keep: 2})
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", line)
	for range 5 << 20 / line { // five files of 1 MiB, the least there is
		l.logger.Info(text)
	}
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
	for l.excess(t, dir) { // removed in the background
		if err := l.file.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) < 2 {
		t.Fatalf("%v %v", all, err)
	}
	for _, f := range all {
		i, err := f.Info()
		if err != nil || i.Size() > 1<<20 || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, mode %v, %v", f.Name(), i.Size(), i.Mode(), err)
		}
	}
}

// excess tells whether there are more files than one and those that are kept.
func (l *logs) excess(t *testing.T, dir string) bool {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(all) > 1+l.file.MaxBackups
}

func TestFormatsOfTheLog(t *testing.T) {
	for format, want := range map[string]string{"auto": `"msg":"hello","peer":"p1"`, "json": `"msg":"hello","peer":"p1"`, "text": `msg=hello peer=p1`} {
		var out bytes.Buffer
		newLogs(&out, logOptions{level: slog.LevelInfo, format: format}).logger.Info("hello", "peer", "p1")
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}

// FuzzConfig: no file makes the program fail in another way than by saying what is wrong, and what config set writes is
// read as it was typed, with everything else as it was.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{"", "p2p: {mdns: false}", "log:\n  level: info # so\n", "p2p:\n", "- a\n", "a: &a [*a]\n", "1: {2: 3}", "log: {level: , keep: 5}",
		"<<: {log: 1}\n", "p2p.mdns: true\n", "? [a]\n: b\n", "log: &l {level: warn}\nshare: *l\n", "---\na: 1\n---\nb: 2\n", "transfer: {up: {x: 1}}\n", "log: !!binary aGVsbG8=\n"} {
		f.Add([]byte(text), uint8(3), "5MB/s")
	}
	home := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte, which uint8, value string) {
		a := app{process: process{environ: []string{"HOME=" + home}, stderr: new(bytes.Buffer)}}
		before, err := read(&a, text)
		key := settingKeys()[int(which)%len(settingKeys())].name
		after, setErr := setInDocument(text, key, []string{value})
		if err != nil || setErr != nil {
			return
		}
		got, err := read(&a, after)
		if err != nil {
			return // the value is no good one for this key: config set says so and writes nothing
		}
		for k, v := range before.values {
			if k != key && !reflect.DeepEqual(v, got.values[k]) {
				t.Fatalf("%s was %v and is %v after %s was set in %q: %q", k, v, got.values[k], key, text, after)
			}
		}
		switch v := got.values[key].(type) {
		case string:
			if v != value {
				t.Fatalf("%s is %q, not %q: %q", key, v, value, after)
			}
		case []string:
			if !slices.Equal(v, []string{value}) {
				t.Fatalf("%s is %q, not %q: %q", key, v, value, after)
			}
		}
	})
}

// read is what a file with this text says over the defaults.
func read(a *app, text []byte) (layered, error) {
	s, err := newStack()
	if err != nil {
		return layered{}, err
	}
	s.file(text, "config.yaml")
	l, err := s.result()
	if err != nil {
		return layered{}, err
	}
	_, err = a.hostConfig(l, slog.LevelWarn)
	return l, err
}

// Commands that write at the same time lose nothing of each other's.
func TestSettingsWrittenAtOnce(t *testing.T) {
	home := t.TempDir()
	keys := map[string]string{"transfer.up": "5MB/s", "transfer.down": "3MB/s", "log.keep": "7", "p2p.mdns": "false", "log.level": "warn", "share.rescan": "2h"}
	var all sync.WaitGroup
	for range 6 {
		for key, value := range keys {
			all.Go(func() {
				a := app{process: process{stdout: io.Discard, stderr: io.Discard}}
				a.opts.home = home
				if err := a.configSet(t.Context(), []assignment{{key, []string{value}}}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	a := app{process: process{stderr: io.Discard}}
	a.opts.home = home
	l, err := a.layers(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range keys {
		if got := fmt.Sprint(l.values[key]); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
}

func TestKeysThatAreMeant(t *testing.T) {
	for word, want := range map[string]string{"limits.up": "transfer.up", "limits.upload": "transfer.up", "Limit.Down": "transfer.down", "swarm.bootstrap": "p2p.bootstrap",
		"log.levle": "log.level", "transfr.up": "transfer.up", "p2p.lisen": "p2p.listen", "transfer.foo": "", "foo.bar": "", "limits": "", "x": "", "": ""} {
		if want != "" {
			want = fmt.Sprintf(" (did you mean %q?)", want)
		}
		if got := nearestKey(word, keyNames()); got != want {
			t.Errorf("%q:%s, want%s", word, got, want)
		}
	}
}

func TestFileOfTheLogIsNobodyElses(t *testing.T) {
	if os.PathSeparator != '/' {
		t.Skip("modes are of Unix")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "node.log")
	open := func() error {
		l := newLogs(new(bytes.Buffer), logOptions{format: "auto", file: path, maxSize: 1 << 20, keep: 1})
		return l.open()
	}
	for range 2 {
		if err := open(); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", st, err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(dir, "typo", "logs", "node.log")
	if err := open(); err == nil {
		t.Error("a folder that nobody named was made")
	}
}

// labelled is an id as libraries have them: an object as JSON, and a word for people.
type labelled string

func (l labelled) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"/": string(l)})
}

func (l labelled) String() string { return string(l) }

func TestIdsAreWordsInTheLog(t *testing.T) {
	var out bytes.Buffer
	l := newLogs(&out, logOptions{format: "json", keep: 1})
	l.logger.With("set", labelled("bafk1")).Info("x", "peer", labelled("12D3"), "err", errors.New("no"), "list", []string{"a"})
	for _, want := range []string{`"set":"bafk1"`, `"peer":"12D3"`, `"err":"no"`, `"list":["a"]`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the line lacks %s: %s", want, out.String())
		}
	}
}
