package figures

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// ordinal is "second" for 2, as long as there is a word that people like to read.
func ordinal(n uint64) string {
	words := []string{"", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"}
	if n > 0 && n < uint64(len(words)) {
		return words[n]
	}
	return humanize.Ordinal(int(n))
}

// Seconds is a duration for people: "0.38 s", "24.1 s", "3 min 20 s".
func Seconds(d time.Duration) string {
	s := d.Seconds()
	switch {
	case d == 0:
		return "0 s"
	case s < 0.095:
		return fmt.Sprintf("%.0f ms", max(s*1000, 1))
	case s < 0.995:
		return fmt.Sprintf("%.2f s", s)
	case s < 59.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 3599.5:
		whole := int(math.Round(s))
		return fmt.Sprintf("%d min %d s", whole/60, whole%60)
	default:
		whole := int(math.Round(s / 60))
		return fmt.Sprintf("%d h %d min", whole/60, whole%60)
	}
}

// Bytes is a number of bytes for people, in powers of 1000: "812 B", "1.4 MB", "127 MB".
func Bytes(n float64) string { return humanize.Bytes(uint64(max(n, 0))) }

// Percent is a part as people read it. It says 0 % and 100 % only of none and all.
func Percent(part float64) string {
	p := 100 * Part(part)
	switch {
	case p > 0 && p < 0.1:
		return "under 0.1 %"
	case p < 1 && p > 0, p > 99 && p < 100:
		return fmt.Sprintf("%.1f %%", math.Floor(p*10)/10)
	default:
		return fmt.Sprintf("%.0f %%", math.Floor(p))
	}
}

// readable is how much of a text is shown in the whole report; no name or reason is longer in earnest.
const readable = 300

// Clean is a text without what a reader could be deceived by: control characters and those that turn the direction of
// what follows become a visible replacement, as does what is no UTF-8. It is cut where it is longer than 300 characters.
func Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r) || unicode.Is(unicode.Cs, r):
			return '\uFFFD'
		case r == '\u2028' || r == '\u2029' || r == '\uFFFE' || r == '\uFFFF':
			return '\uFFFD'
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > readable {
		return string(runes[:readable-1]) + "…"
	}
	return s
}
