//go:build linux || darwin

package worktree

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// ignoreCases are ignore files (by folder) and the paths to ask about; a trailing slash makes a folder.
var ignoreCases = []struct {
	name  string
	files map[string]string
	paths []string
}{
	{"names", map[string]string{"": "*.log\nbuild/\n# c\n\n\\#x\n\\!y\n"},
		[]string{"a.log", "d/a.log", "build/", "d/build/", "e/build", "#x", "!y", "c"}},
	{"anchored", map[string]string{"": "/top\nfoo/bar\nx/*.c\n"},
		[]string{"top", "d/top", "foo/bar", "e/foo/bar", "x/a.c", "x/y/a.c", "d/x/a.c"}},
	{"stars", map[string]string{"": "**/deep\na/**\nb/**/z\nc**d\n**.tmp\ne/**/*.o\n"},
		[]string{"deep", "p/q/deep", "a/", "a/x", "a2/x", "b/z", "b/y/z", "b/x/y/z", "c1d", "q/cxxd", "x.tmp", "q/y.tmp", "e/1.o", "e/f/g/1.o", "e/1.c"}},
	{"metacharacters", map[string]string{"": "a+b\nC++/\nsecret?.txt\n(x)\n$y\nz{1}\n.dot\n"},
		[]string{"a+b", "aab", "C++/", "secret1.txt", "secret.txt", "secret12.txt", "(x)", "x", "$y", "z{1}", "z", ".dot", "xdot"}},
	{"classes", map[string]string{"": "[a-c]1\n[!a-c]2\n[^x]3\n[]]4\n[-a]5\n[a-]6\n[[:digit:]]7\n[\\]]8\n[ab\nd[/]e\nf[!x]g\n"},
		[]string{"a1", "d1", "a2", "d2", "x3", "y3", "]4", "-5", "a5", "b5", "-6", "17", "x7", "]8", "ab", "[ab", "d/e", "f/g", "fyg"}},
	{"negation", map[string]string{"": "*.log\n!keep.log\n!keep/\nout/\n!out/back\n"},
		[]string{"a.log", "keep.log", "d/keep.log", "keep/a.log", "out/back", "out/x"}},
	{"nested", map[string]string{"": "*.log\n/only\n", "d": "!*.log\nsub/x\n/y\n", "d/sub": "*.log\n"},
		[]string{"a.log", "d/a.log", "d/sub/a.log", "d/sub/x", "d/e/sub/x", "d/y", "d/e/y", "d/only", "only", "e/d/sub/x"}},
	{"blanks and ends", map[string]string{"": "tr \nesc\\ \r\nwin\r\nback\\\nund\u00e9?\n"},
		[]string{"tr", "tr ", "esc ", "esc", "win", "back", "back\\", "undéx", "undé12"}},
}

func TestIgnoreLikeGit(t *testing.T) {
	for _, tc := range ignoreCases {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for folder, text := range tc.files {
				write(t, filepath.Join(dir, folder, ".gitignore"), text)
			}
			for _, p := range tc.paths {
				if strings.HasSuffix(p, "/") {
					must(t, os.MkdirAll(filepath.Join(dir, p), 0o755))
				} else {
					write(t, filepath.Join(dir, p), "x")
				}
			}
			want := gitIgnored(t, dir, tc.paths)
			for _, p := range tc.paths {
				if got := ignoredPath(tc.files, p); got != want[p] {
					t.Errorf("%q: ignored %v, git says %v", p, got, want[p])
				}
			}
		})
	}
}

// ignoredPath asks folder by folder, as the walk does.
func ignoredPath(files map[string]string, p string) bool {
	var rules *ignoreRules
	dir := ""
	parts := strings.Split(strings.TrimSuffix(p, "/"), "/")
	for i, name := range parts {
		if text, ok := files[dir]; ok {
			rules = rules.with(dir, text)
		}
		isDir := i < len(parts)-1 || strings.HasSuffix(p, "/")
		if rules.ignored(dir, name, isDir) {
			return true
		}
		dir = join(dir, name)
	}
	return false
}

func gitIgnored(t *testing.T, dir string, paths []string) map[string]bool {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	run := func(stdin string, args ...string) []byte {
		cmd := exec.CommandContext(t.Context(), git, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); err != nil && code != 1 { // 1: nothing is ignored
			t.Fatalf("git %v: %v", args, err)
		}
		return out
	}
	run("", "init", "-q")
	ignored := map[string]bool{}
	stdin := strings.ReplaceAll(strings.Join(paths, "\x00"), "/\x00", "\x00")
	out := run(strings.TrimSuffix(stdin, "/")+"\x00", "check-ignore", "-z", "--stdin")
	for p := range bytes.SplitSeq(out, []byte{0}) {
		ignored[string(p)] = true
	}
	for _, p := range paths {
		ignored[p] = ignored[strings.TrimSuffix(p, "/")]
	}
	return ignored
}

func TestTempDirIsAlwaysIgnored(t *testing.T) {
	rules := (*ignoreRules)(nil).with("", "!"+TempDir+"\n")
	for _, name := range []string{TempDir, strings.ToUpper(TempDir)} {
		if !rules.ignored("", name, true) {
			t.Errorf("%s is not ignored", name)
		}
	}
	if rules.ignored("sub", TempDir, true) {
		t.Error("only the root's is ours")
	}
}

func FuzzParseRule(f *testing.F) {
	for _, tc := range ignoreCases {
		for _, text := range tc.files {
			for line := range strings.SplitSeq(text, "\n") {
				f.Add(line, "a/b.log")
			}
		}
	}
	f.Fuzz(func(t *testing.T, line, p string) {
		r, ok := parseRule(line)
		if ok && r.re == nil {
			t.Fatal("a rule without an expression")
		}
		if ok {
			r.matches(p, path.Base(p), false)
		}
	})
}
