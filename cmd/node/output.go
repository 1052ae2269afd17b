package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"github.com/shoal-p2p/shoal/node/api"
)

// say prints talk: a line for people, on stderr.
func (a *app) say(format string, args ...any) {
	if !a.opts.quiet {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// emit prints v as one JSON line on stdout.
func (a *app) emit(kind string, v any) error {
	line, err := api.Line(kind, v)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(line)
	return err
}

// result prints the data of a verb: as JSON, or with print for people.
func (a *app) result(v any, print func(w io.Writer)) error {
	if a.opts.json {
		return a.emit("result", v)
	}
	print(a.stdout)
	return nil
}

// skipped lists what was left out, as talk; errPartial if there is any.
func (a *app) skipped(files []api.Skipped) error {
	if len(files) == 0 {
		return nil
	}
	const shown = 20 // a screenful; all of them are in --json
	if !a.opts.json {
		for _, s := range files[:min(shown, len(files))] {
			a.say("skipped %s: %s", printable(s.Path), oneLine(s.Reason))
		}
		if len(files) > shown {
			a.say("and %d more", len(files)-shown)
		}
	}
	return errPartial
}

// table prints rows in columns, the first row being the heading.
func table(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	_ = t.Flush() // a broken pipe shows at the next write
}

// facts prints "name  value" lines and leaves empty values out.
func facts(w io.Writer, pairs ...string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", pairs[i], pairs[i+1])
		}
	}
	_ = t.Flush()
}

// printable is s when every rune of it can be printed, else s quoted with the others escaped. Names come
// from strangers: a control or bidirectional character could rewrite what a terminal shows.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return strconv.Quote(s)
		}
	}
	return s
}

// oneLine is a sentence made safe, kept to one line.
func oneLine(s string) string {
	return printable(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; "))
}

// size is a number of bytes in words.
func size[N int | int64 | uint64](n N) string {
	if n < 0 {
		return "unknown"
	}
	return humanize.IBytes(uint64(n))
}

func count[N int | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return humanize.Comma(int64(n)) + " " + what + "s"
}

// short is an id for people: its end, where random ids differ.
func short(id string) string {
	const digits = 10 // 50 bits of base32, enough to name one among a home's sets
	if len(id) <= digits {
		return id
	}
	return "…" + id[len(id)-digits:]
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// onlyYes leaves a fact out that is rarely so.
func onlyYes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// isTerminal tells whether people look at w.
func isTerminal(w any) bool {
	if c, ok := w.(*checkedWriter); ok {
		w = c.w
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (a *app) colored() bool {
	switch {
	case a.opts.color == "always":
		return true
	case a.opts.color == "never", a.env("NO_COLOR") != "", a.env("TERM") == "dumb":
		return false
	default:
		return isTerminal(a.stderr)
	}
}
