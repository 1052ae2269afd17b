package script

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func scenarios(t testing.TB) []string {
	files, err := filepath.Glob("../scenarios/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t testing.TB, file string) []byte {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestScenarios reads the scenarios that come with the program.
func TestScenarios(t *testing.T) {
	files := scenarios(t)
	for _, name := range []string{
		"flash-crowd", "publisher-leaves", "kill-the-primary", "rolling-restart", "split-brain", "slow-seeder", "liars",
		"flapping-link", "corrupt-store", "delta-storm",
	} {
		if !slices.ContainsFunc(files, func(f string) bool { return filepath.Base(f) == name+".txt" }) {
			t.Errorf("there is no %s", name)
		}
	}
	for _, file := range files {
		s, err := Parse(file, read(t, file))
		if err != nil {
			t.Error(err)
			continue
		}
		if s.About == "" {
			t.Errorf("%s does not say what it teaches", file)
		}
		if !slices.ContainsFunc(s.Statements, func(st Statement) bool { _, ok := st.Do.(Expect); return ok }) {
			t.Errorf("%s expects nothing", file)
		}
	}
}

const page = "../../docs/scenarios.md"

// examplesOf are the texts in the first cells of the table below a heading of the page.
func examplesOf(t *testing.T, heading string) (all []string) {
	_, section, ok := strings.Cut(string(read(t, page)), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		all = append(all, row[1])
	}
	if !ok || len(all) == 0 {
		t.Fatalf("%s has no examples below %q", page, heading)
	}
	return all
}

// TestPage reads every example of the page about the language, and looks for every statement in it.
func TestPage(t *testing.T) {
	text := string(read(t, page))
	_, script, _ := strings.Cut(text, "```scenario\n")
	script, _, _ = strings.Cut(script, "```")
	if s, err := Parse(page, []byte(script)); err != nil || len(s.Statements) == 0 {
		t.Errorf("its scenario: %v", err)
	}
	began := map[string]bool{}
	nodes := []string{"origin", "keeper", "edge-1", "edge-2"}
	for _, example := range examplesOf(t, "Statements") {
		known, sets := nodes, []string{"docs"}
		switch began[strings.Fields(example)[0]] = true; strings.Fields(example)[0] {
		case "nodes":
			known = nil
		case "share":
			sets = nil
		}
		if _, err := ParseLine(known, sets, example); err != nil {
			t.Errorf("%q: %v", example, err)
		}
	}
	for _, example := range examplesOf(t, "Conditions") {
		if _, err := ParseLine(nodes, []string{"docs"}, "expect "+example); err != nil {
			t.Errorf("%q: %v", example, err)
		}
	}
	for verb := range verbs() {
		if !began[verb] && !strings.Contains(text, "; `"+verb) {
			t.Errorf("%s has no example", verb)
		}
	}
}

// TestGrammarHasEveryKeyword holds the words in quotes of the page's grammar against those that name nothing.
func TestGrammarHasEveryKeyword(t *testing.T) {
	_, grammar, _ := strings.Cut(string(read(t, page)), "## Grammar\n")
	grammar, _, _ = strings.Cut(grammar, "| in capitals |")
	written := map[string]bool{}
	for _, quoted := range regexp.MustCompile(`"[a-z ]+"`).FindAllString(grammar, -1) {
		for _, w := range strings.Fields(strings.Trim(quoted, `"`)) {
			if written[w] = true; !isKeyword(w) && w != "a" {
				t.Errorf("%s is in the grammar and can be the name of a node", w)
			}
		}
	}
	for _, w := range strings.Fields(keywords) {
		if !written[w] && w != "file" { // `in 1 file` is `in 1 files`
			t.Errorf("%s can be no name, and is not in the grammar", w)
		}
	}
}
