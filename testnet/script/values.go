package script

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// unit is a word behind a number and how many bytes, or bytes per second, one of it is.
type unit struct {
	name  string
	bytes float64
}

// sizes and rates are from small to large; the decimal prefixes are SI's, the binary ones IEC's.
func sizes() []unit {
	return []unit{{"B", 1}, {"kB", 1e3}, {"KiB", 1 << 10}, {"MB", 1e6}, {"MiB", 1 << 20}, {"GB", 1e9}, {"GiB", 1 << 30}}
}

func rates() []unit {
	all := []unit{{"kbit/s", 1e3 / 8}, {"Mbit/s", 1e6 / 8}, {"Gbit/s", 1e9 / 8}}
	for _, u := range sizes() {
		all = append(all, unit{u.name + "/s", u.bytes})
	}
	return all
}

// maxBytes is 1 TiB: no network on one machine has more, and every number of bytes below it is exact in a float64.
const maxBytes = 1 << 40

// number splits a word into a number without a sign, of at most 13 digits (as maxBytes) and 3 decimals, and what is
// behind it.
func number(word string) (n float64, behind string, ok bool) {
	digits := func(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }
	whole := digits(word)
	length, decimals := whole, 0
	if strings.HasPrefix(word[whole:], ".") {
		decimals = digits(word[whole+1:])
		length += 1 + decimals
	}
	if whole == 0 || whole > 13 || decimals > 3 || length == whole+1 {
		return 0, "", false
	}
	n, err := strconv.ParseFloat(word[:length], 64)
	return n, word[length:], err == nil
}

// bytes takes a number with one of the units, as in example. It is more than nothing.
func (p *parser) bytes(what string, units []unit, example string) int64 {
	t := p.take()
	n, behind, ok := number(t.text)
	names := make([]string, len(units))
	for i, u := range units {
		names[i] = u.name
	}
	switch {
	case t.kind != word || !ok:
		p.expected(t, "%s such as %s", what, example)
		return 0
	case behind == "":
		p.fail(t, "%s has no unit; expected it right behind the number, as in %s", t.text, example)
		return 0
	}
	for _, u := range units {
		if u.name != behind {
			continue
		}
		bytes := math.Round(n * u.bytes)
		if bytes < 1 || bytes > maxBytes {
			p.fail(t, "%s is too %s; expected %s from 1 byte to 1 TiB, as in %s", t.text, pick(bytes < 1, "small", "large"), what, example)
			return 0
		}
		return int64(bytes)
	}
	hint := didYouMean(behind, names)
	if slices.Contains(names, behind+"/s") {
		hint = didYouMean(behind+"/s", names)
	}
	if bits, ok := strings.CutSuffix(strings.ToLower(behind), "bps"); ok && len(bits) == 1 { // not bytes
		for _, name := range names {
			if strings.EqualFold(name, bits+"bit/s") {
				hint = didYouMean(name, names)
			}
		}
	}
	p.fail(t, "there is no unit %q; expected one of %s%s", behind, list(names), hint)
	return 0
}

func (p *parser) size() int64 { return p.bytes("a size", sizes(), "64MiB") }
func (p *parser) rate() int64 { return p.bytes("a rate", rates(), "100Mbit/s") }

// rateOrUnlimited is 0 for unlimited.
func (p *parser) rateOrUnlimited() int64 {
	if p.accept("unlimited") {
		return 0
	}
	return p.bytes("a rate or unlimited, a rate", rates(), "100Mbit/s")
}

// maxDuration of anything in a script. Longer is a typing mistake: scenarios are played while somebody waits.
const maxDuration = 24 * time.Hour

// duration takes one as Go writes it. zero says whether it may be 0.
func (p *parser) duration(zero bool) time.Duration {
	t := p.take()
	d, err := time.ParseDuration(t.text)
	_, behind, isNumber := number(t.text)
	switch {
	case t.kind == word && isNumber && behind == "":
		p.fail(t, "%s has no unit; expected ms, s, m or h right behind the number, as in 500ms", t.text)
	case t.kind != word || err != nil || !isDigit(t.text[0]):
		p.expected(t, "a time such as 500ms, 2s or 1m30s")
	case d == 0 && !zero:
		p.fail(t, "%s is no time at all; expected more than 0", t.text)
	case d > maxDuration:
		p.fail(t, "%s is too long; expected at most %s", t.text, formatDuration(maxDuration))
	}
	return d
}

// maxLatency of a link is what shaping takes: longer than any real one, and than most patience of a node.
const maxLatency = time.Minute

// latency takes a time that bytes may be on their way.
func (p *parser) latency() time.Duration {
	t := p.peek()
	d := p.duration(true)
	if p.err == nil && d > maxLatency {
		p.fail(t, "%s is too long for a link; expected at most %s", t.text, formatDuration(maxLatency))
	}
	return d
}

// percent is 0 to 1. zero says whether it may be 0.
func (p *parser) percent(zero bool) float64 {
	t := p.take()
	n, behind, ok := number(t.text)
	switch {
	case t.kind != word || !ok || behind != "%":
		p.expected(t, "a percentage such as 1%%")
	case n > 100 || n == 0 && !zero:
		p.fail(t, "%s is out of range; expected %s to 100%%", t.text, pick(zero, "0%", "more than 0%"))
	}
	return n / 100
}

// count takes a whole number.
func (p *parser) count(what string, least, most int) int {
	t := p.take()
	n, err := strconv.Atoi(t.text)
	if t.kind != word || err != nil || !isDigit(t.text[0]) || n < least || n > most {
		p.expected(t, "%s from %d to %d", what, least, most)
	}
	return n
}

// formatBytes is the shortest way to write an amount exactly.
func formatBytes(n int64, units []unit) string {
	best := ""
	for _, u := range units {
		count := int64(math.Round(float64(n) / u.bytes))
		if math.Round(float64(count)*u.bytes) != float64(n) || count == 0 {
			continue
		}
		if s := strconv.FormatInt(count, 10) + u.name; best == "" || len(s) < len(best) {
			best = s
		}
	}
	return best
}

func formatRate(n int64) string {
	if n == 0 {
		return "unlimited"
	}
	return formatBytes(n, rates())
}

// formatNumber undoes number for those up to 1000, also if it was divided by 100 and multiplied again.
func formatNumber(n float64) string {
	return strconv.FormatFloat(math.Round(n*1000)/1000, 'f', -1, 64)
}

// formatDuration is Go's way without the zeros behind: 1m, not 1m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
