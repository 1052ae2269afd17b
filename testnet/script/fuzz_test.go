package script

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// readAgain checks a statement that was read: it prints as one that is read as the same.
func readAgain(t *testing.T, st Statement, parse func(string) (Statement, error)) {
	again, err := parse(st.String())
	if err != nil {
		t.Fatalf("%q prints as %q: %v", st.Text, st, err)
	}
	if d := cmp.Diff(st.Do, again.Do); d != "" || st.When != again.When {
		t.Fatalf("%q prints as %q, which is another statement\n%s", st.Text, st, d)
	}
}

// inside checks that an error names a place of the text and says something that can be printed.
func inside(t *testing.T, e Error, text string) {
	lines := strings.Split(text, "\n")
	if e.Line < 1 || e.Line > len(lines) || e.Col < 1 || e.Col > utf8.RuneCountInString(lines[e.Line-1])+1 {
		t.Errorf("%v is outside of %q", e, text)
	}
	if e.Text == "" || printable(e.Error(), 1) != nil {
		t.Errorf("%q is no sentence", e.Error())
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range scenarios(f) {
		f.Add(read(f, file))
	}
	for _, e := range examples() {
		f.Add([]byte(stage + e.line))
	}
	for _, m := range mistakes() {
		f.Add([]byte(stage + m.line))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("t", text)
		if err != nil {
			errs, ok := err.(Errors)
			if !ok || len(errs) == 0 || len(errs) > maxErrors {
				t.Fatalf("%T %v", err, err)
			}
			for _, e := range errs {
				inside(t, e, string(text))
			}
			return
		}
		var lines []string
		for _, st := range s.Statements {
			lines = append(lines, st.String())
		}
		printed := strings.Join(lines, "\n")
		if len(printed) > maxText {
			return // spelled out, ranges are longer
		}
		again, err := Parse("t", []byte(printed))
		if err != nil {
			t.Fatal(err)
		}
		for i, st := range s.Statements {
			readAgain(t, st, func(string) (Statement, error) { return again.Statements[i], nil })
		}
	})
}

func FuzzParseLine(f *testing.F) {
	nodes, sets := []string{"a", "b", "edge-1", "edge-2"}, []string{"docs"}
	for _, e := range examples() {
		f.Add(e.line)
	}
	for _, m := range mistakes() {
		f.Add(m.line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		st, err := ParseLine(nodes, sets, text)
		if err != nil {
			e, ok := err.(Error)
			if !ok {
				t.Fatalf("%T %v", err, err)
			}
			inside(t, e, text)
			return
		}
		readAgain(t, st, func(s string) (Statement, error) { return ParseLine(nodes, sets, s) })
	})
}
