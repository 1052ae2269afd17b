package script

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limits of a script. They are far above what one machine plays, and keep a wrong file from becoming a large one.
const (
	maxText       = 64 << 10 // bytes
	maxStatements = 1000
	maxNodes      = 100
	maxName       = 32 // letters: a name becomes a folder
	maxErrors     = 10 // that Parse reports
	maxTimes      = 1000
	maxFiles      = 10000
)

// Parse reads a scenario; name is what errors call it. The error is Errors, with at most the first error of each line.
func Parse(name string, text []byte) (*Script, error) {
	if len(text) > maxText {
		return nil, Errors{{Name: name, Line: 1, Col: 1, Text: fmt.Sprintf("the script has %d bytes; expected at most %d", len(text), maxText)}}
	}
	s, known := &Script{}, newScope()
	var errs Errors
	about, begun := []string{}, false
	for i, line := range strings.Split(string(bytes.TrimSuffix(text, []byte("\n"))), "\n") {
		st, comment, err := parseLine(known, strings.TrimSuffix(line, "\r"), i+1)
		if err == nil && st.Do != nil && len(s.Statements) == maxStatements {
			err = &Error{Line: i + 1, Col: st.Col, Text: fmt.Sprintf("a script has at most %d statements; expected none here", maxStatements)}
		}
		if err != nil {
			err.Name = name
			errs = append(errs, *err)
		}
		if len(errs) == maxErrors || len(s.Statements) == maxStatements && err != nil {
			break
		}
		switch {
		case err == nil && st.Do != nil:
			s.Statements = append(s.Statements, st)
			begun = true
		case comment != "" && !begun:
			about = append(about, strings.TrimLeft(comment, "#"))
		case len(about) > 0:
			begun = true // the first comment has ended
		}
	}
	if errs != nil {
		return nil, errs
	}
	s.About = strings.Join(strings.Fields(strings.Join(about, " ")), " ")
	return s, nil
}

// ParseLine reads one statement that is typed at a running network of the nodes and sets named. The error is an Error
// without a name. There `at` has no meaning: nobody knows when such a network began.
func ParseLine(nodes, sets []string, text string) (Statement, error) {
	known := newScope()
	known.typed = true
	for _, n := range nodes {
		known.nodes[n] = true
	}
	for _, s := range sets {
		known.sets[s] = Share{Set: s, From: toolchain} // it may be: who plays the statement knows
	}
	if len(text) > maxText {
		return Statement{}, Error{Line: 1, Col: 1, Text: fmt.Sprintf("the statement has %d bytes; expected at most %d", len(text), maxText)}
	}
	st, _, err := parseLine(known, text, 1)
	if err == nil && st.Do == nil {
		err = &Error{Line: 1, Col: 1, Text: "expected a statement, such as: kill all"}
	}
	if err != nil {
		return Statement{}, *err
	}
	return st, nil
}

// scope is what a line can name.
type scope struct {
	nodes map[string]bool
	sets  map[string]Share
	last  time.Duration // the latest `at` so far
	typed bool          // a single line
}

func newScope() *scope { return &scope{nodes: map[string]bool{}, sets: map[string]Share{}} }

// parser reads the tokens of one line. After its first error it sees only the end of the line, so that whoever reads
// with it needs no checks of his own: what he returns is thrown away.
type parser struct {
	*scope
	tokens []token // at least the end
	err    *Error
}

// parseLine returns a statement whose Do is nil for a line without one. What the line declares is known afterwards.
func parseLine(known *scope, line string, number int) (st Statement, comment string, err *Error) {
	tokens, comment, err := lex(line)
	if err != nil {
		err.Line = number
		return st, "", err
	}
	if tokens[0].kind == end {
		return st, comment, nil
	}
	p := &parser{scope: known, tokens: tokens}
	st = Statement{Line: number, Col: tokens[0].col}
	st.Text = strings.Trim(strings.TrimSuffix(line, comment), " \t")
	st.When = p.when()
	st.Do = p.action(st.When)
	if t := p.peek(); p.err == nil && t.kind != end {
		p.expected(t, "the end of the line")
	}
	if p.err != nil {
		p.err.Line = number
		return Statement{}, comment, p.err
	}
	return st, comment, nil
}

func (p *parser) peek() token {
	if p.err != nil {
		return token{kind: end}
	}
	return p.tokens[0]
}

// take returns the next token; at the end of the line again and again.
func (p *parser) take() token {
	t := p.peek()
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept takes the next token if it is one of the words.
func (p *parser) accept(words ...string) bool {
	t := p.peek()
	ok := t.kind == word && slices.Contains(words, t.text)
	if ok {
		p.take()
	}
	return ok
}

// need takes one of the words, and says which.
func (p *parser) need(words ...string) string {
	t := p.peek()
	if !p.accept(words...) {
		p.nearly(t, words, "%s", list(words))
	}
	return t.text
}

// fail reports an error at a token, unless there is one already.
func (p *parser) fail(t token, format string, args ...any) {
	if p.err == nil {
		p.err = &Error{Col: t.col, Text: fmt.Sprintf(format, args...)}
	}
}

// expected reports what there should be in place of a token.
func (p *parser) expected(t token, format string, args ...any) { p.nearly(t, nil, format, args...) }

// nearly is expected, with the word that the token nearly is.
func (p *parser) nearly(t token, words []string, format string, args ...any) {
	hint := ""
	if t.kind == word {
		hint = didYouMean(t.text, words)
	}
	p.fail(t, "expected %s, not %s%s", fmt.Sprintf(format, args...), t, hint)
}

// when reads what may be before an action.
func (p *parser) when() (w When) {
	t := p.peek()
	switch {
	case p.accept("at"):
		w.At = p.duration(false)
		if p.typed {
			p.fail(t, "at counts from the beginning of a script; expected after, as in: after 2s")
		}
		if w.At < p.last {
			p.fail(t, "an earlier line is at %s already; expected that or later", formatDuration(p.last))
		}
		p.last = w.At
	case p.accept("after"):
		w.After = p.duration(false)
	case p.accept("every"):
		w.Every = p.duration(false)
		if t = p.peek(); p.accept("for") {
			if w.For = p.duration(false); w.For < w.Every {
				p.fail(t, "%s is less than %s; expected a time in which it happens", formatDuration(w.For), formatDuration(w.Every))
			}
			break
		}
		if t.kind != word || !isDigit(t.text[0]) {
			p.nearly(t, []string{"for"}, "for and a time, or a number and times, as in every 500ms for 10s or every 500ms 20 times")
		}
		w.Times = p.times()
	}
	return w
}

// times reads `20 times`.
func (p *parser) times() int {
	n := p.count("a number of times", 2, maxTimes)
	p.need("times")
	return n
}

// action reads the rest of a line.
func (p *parser) action(w When) Action {
	t := p.take()
	read, ok := verbs()[t.text]
	if t.kind != word || !ok {
		p.noStatement(t)
		return nil
	}
	switch t.text {
	case "nodes", "share", "wait":
		if w.Every > 0 {
			p.fail(t, "%s cannot be repeated; expected another statement behind every", t.text)
		}
	}
	return read(p)
}

// noStatement reports a line that begins with none of the verbs.
func (p *parser) noStatement(t token) {
	words := slices.Sorted(maps.Keys(verbs()))
	switch {
	case t.kind == word && (p.nodes[t.text] || p.isSet(t.text)):
		p.expected(t, "a statement, such as: expect %s …", t.text)
	case t.kind == word && didYouMean(t.text, words) != "":
		p.nearly(t, words, "a statement")
	default:
		p.expected(t, "a statement, which begins with %s", list(words))
	}
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }
