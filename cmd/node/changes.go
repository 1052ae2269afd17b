package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shoal-p2p/shoal/node/api"
)

// printChanges prints a line for each change, of many only the first most; 0 = all.
func printChanges(w io.Writer, changes []api.Change, most int) {
	if most == 0 || len(changes) <= most {
		most = len(changes)
	}
	for _, c := range changes[:most] {
		fmt.Fprintln(w, changeLine(c))
	}
	if more := len(changes) - most; more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
}

// changeLine is one change: + new, ~ changed, - gone, > moved, and how many bytes of it are new.
func changeLine(c api.Change) string {
	marks := map[string]string{api.OpAdded: "+", api.OpRemoved: "-", api.OpRenamed: ">"}
	mark, ok := marks[c.Op]
	if !ok {
		mark = "~" // also what a newer node says
	}
	line := mark + " " + printable(c.Path)
	if c.Op == api.OpRenamed {
		line = fmt.Sprintf("> %s -> %s", printable(c.From), printable(c.Path))
	}
	var about []string
	switch c.Op {
	case api.OpAdded:
		about = append(about, size(c.Bytes))
	case api.OpRemoved:
	case api.OpAttr:
		about = append(about, "mode or time")
	case api.OpRetyped:
		about = append(about, "another kind, "+size(c.Bytes)+" new")
	case api.OpRenamed:
		if c.Entries > 1 {
			about = append(about, fmt.Sprintf("%d entries", c.Entries))
		}
		if c.Bytes > 0 {
			about = append(about, size(c.Bytes)+" new")
		}
	default:
		about = append(about, size(c.Bytes)+" new")
	}
	if len(about) > 0 {
		line += "  (" + strings.Join(about, ", ") + ")"
	}
	return line
}

// summary counts changes in words, of entries: those below a moved folder too.
func summary(changes []api.Change) string {
	words := []struct{ op, text string }{
		{api.OpAdded, "added"}, {api.OpModified, "changed"}, {api.OpRenamed, "moved"}, {api.OpRemoved, "gone"},
		{api.OpRetyped, "of another kind"}, {api.OpAttr, "with another mode or time"},
	}
	entries, fresh := map[string]int{}, int64(0)
	for _, c := range changes {
		entries[c.Op] += c.Entries
		fresh += c.Bytes
	}
	var parts []string
	for _, w := range words {
		if n := entries[w.op]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, w.text))
		}
	}
	return strings.Join(append(parts, size(fresh)+" new"), ", ")
}

// revision reads the number of a revision as people type it.
func revision(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		e := usagef("%q is no revision", text)
		e.Detail = "a revision is a number from 1 on"
		e.Hint = "`node history SET` lists them"
		return 0, e
	}
	return n, nil
}

// checkNote refuses what cannot be the note of a revision, before any node is started.
func checkNote(note string) error {
	const most = 1 << 10 // what a head carries
	switch {
	case len(note) > most:
		return usagef("the note is %d bytes long, at most %d are possible", len(note), most)
	case !utf8.ValidString(note):
		return usagef("the note is not UTF-8 text")
	case strings.ContainsFunc(note, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }):
		return usagef("the note contains control characters")
	}
	return nil
}

// conflicts warns of local edits that were kept as copies; that is no failure.
func (a *app) conflicts(all []api.Conflict) {
	if a.opts.json {
		return
	}
	const shown = 20 // as with skipped files
	for _, c := range all[:min(shown, len(all))] {
		if c.Copy == c.Path {
			a.say("warning: %s was edited here: it stays, although the revision has it no more", printable(c.Path))
			continue
		}
		a.say("warning: %s was edited here: the edit is kept as %s", printable(c.Path), printable(c.Copy))
	}
	if len(all) > shown {
		a.say("and %d more", len(all)-shown)
	}
}

// fraction is a part of a whole in percent, with as many digits as it takes not to round a part to all or to nothing.
func fraction(part, whole int64) string {
	switch {
	case whole <= 0 || part >= whole:
		return "100 %"
	case part <= 0:
		return "0 %"
	}
	const digits = 6 // tells a byte in 100 MiB; what is nearer to either end is said to be
	for d := range digits + 1 {
		text := strconv.FormatFloat(float64(part)/float64(whole)*100, 'f', d, 64)
		if n, _ := strconv.ParseFloat(text, 64); n > 0 && n < 100 {
			return text + " %"
		}
	}
	if part > whole/2 {
		return "over 99.999999 %"
	}
	return "under 0.000001 %"
}
