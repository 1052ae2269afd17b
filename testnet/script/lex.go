package script

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is something in a script that cannot be played.
type Error struct {
	Name      string // of the script; "" = one statement that was typed
	Line, Col int    // from 1; a column is a character
	Text      string // what is wrong and what was expected
}

// Error begins with the place, in the form that editors jump to.
func (e Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("column %d: %s", e.Col, e.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Col, e.Text)
}

// Errors are the first errors of a script, in the order of its lines; at least one.
type Errors []Error

// Error is one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i := range e {
		all[i] = e[i]
	}
	return all
}

// Kinds of token.
const (
	end    = iota // of the line
	word          // a keyword, a name, a number with its unit
	comma         // ,
	quoted        // text without its quotes
)

// token is a piece of a line.
type token struct {
	kind int
	text string
	col  int
}

// String is the token as an error shows it.
func (t token) String() string {
	switch t.kind {
	case end:
		return "the end of the line"
	case comma:
		return `","`
	case quoted:
		return "a text in quotes"
	}
	return fmt.Sprintf("%q", t.text)
}

// lexer cuts one line into tokens. Blanks are spaces and tabs.
type lexer struct {
	rest string
	col  int // of rest, from 1
}

// lex returns the tokens of a line, the last of which is an end, and the comment that follows them, with its mark.
func lex(line string) (tokens []token, comment string, err *Error) {
	l := lexer{rest: line, col: 1}
	for {
		l.skip(len(l.rest) - len(strings.TrimLeft(l.rest, " \t")))
		if l.rest == "" || l.rest[0] == '#' {
			comment = l.rest
			tokens = append(tokens, token{kind: end, col: l.col})
			return tokens, comment, printable(comment, l.col)
		}
		t, err := l.next()
		if err != nil {
			return nil, "", err
		}
		tokens = append(tokens, t)
	}
}

// printable reports the first character of a text at a column that would not show, or would move the cursor of whoever
// prints the script.
func printable(s string, col int) *Error {
	for i, r := range s {
		_, width := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && width == 1:
			return &Error{Col: col, Text: fmt.Sprintf("the byte %02x is no UTF-8; expected text", s[i])}
		case !unicode.IsPrint(r) && r != '\t':
			return &Error{Col: col, Text: fmt.Sprintf("%U cannot be printed; expected text, blanks and tabs", r)}
		}
		col++
	}
	return nil
}

// skip passes over bytes.
func (l *lexer) skip(n int) string {
	s := l.rest[:n]
	l.rest, l.col = l.rest[n:], l.col+utf8.RuneCountInString(s)
	return s
}

// next is called before a character that is no blank and begins no comment.
func (l *lexer) next() (token, *Error) {
	t := token{kind: word, col: l.col}
	switch l.rest[0] {
	case ',':
		t.kind, t.text = comma, l.skip(1)
	case '"':
		closing := strings.IndexByte(l.rest[1:], '"')
		if closing < 0 {
			return t, &Error{Col: l.col, Text: `this quote is not closed; expected another " on the same line`}
		}
		t.kind, t.text = quoted, l.skip(closing+2)
	default:
		n := strings.IndexAny(l.rest, " \t,#\"")
		if n < 0 {
			n = len(l.rest)
		}
		t.text = l.skip(n)
	}
	err := printable(t.text, t.col)
	t.text = strings.Trim(t.text, `"`) // only a quoted one has any
	return t, err
}
