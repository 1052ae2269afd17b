package meter

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLabel bounds a label in bytes: a dashboard's legend has room for less, and names of sets are chosen by others.
const maxLabel = 64

// labelled gives every set a label of its own: the beginning of its name, and of its id's end where that alone would
// not tell it from another. Never the whole id: of a public set that is a ticket.
func labelled(sets []Set) map[string]Set {
	count := map[string]int{}
	for _, s := range sets {
		count[label(s.Name)]++
	}
	out := make(map[string]Set, len(sets))
	for _, s := range sets {
		l := label(s.Name)
		if _, taken := out[l]; l == "" || count[l] > 1 || taken {
			l += "~" + s.ID[max(0, len(s.ID)-tail):]
		}
		out[l] = s
	}
	return out
}

// tail is how much of an id is shown, in characters of base32: 40 bits, so that two of a thousand sets are alike once
// in two million nodes.
const tail = 8

// label is a name as far as it is fit for a label: what could be a path, an address or a terminal's control is not.
func label(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == '~' || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	for len(clean) > maxLabel {
		_, n := utf8.DecodeLastRuneInString(clean)
		clean = clean[:len(clean)-n]
	}
	return clean
}
