package script

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// author writes a script at random, statement by statement, of what the lines before have declared.
type author struct {
	t     *rapid.T
	nodes []string
	sets  []Share
	last  time.Duration
}

func (a *author) of(words ...string) string { return rapid.SampledFrom(words).Draw(a.t, "word") }
func (a *author) bool() bool                { return rapid.Bool().Draw(a.t, "bool") }
func (a *author) int(least, most int) int   { return rapid.IntRange(least, most).Draw(a.t, "int") }
func (a *author) set() Share                { return rapid.SampledFrom(a.sets).Draw(a.t, "set") }

// thousandths is a number that has at most 3 decimals.
func (a *author) thousandths(least, most int) float64 { return float64(a.int(least, most)) / 1000 }

func (a *author) bytes() int64 { return rapid.Int64Range(1, maxBytes).Draw(a.t, "bytes") }

func (a *author) latency() time.Duration {
	return time.Duration(rapid.Int64Range(0, int64(maxLatency)).Draw(a.t, "latency"))
}

func (a *author) duration(least time.Duration) time.Duration {
	return time.Duration(rapid.Int64Range(int64(least), int64(maxDuration)).Draw(a.t, "duration"))
}

// newName is none of the names there are, and no word of the language.
func (a *author) newName() string {
	return rapid.StringMatching(`[a-z][a-z0-9-]{0,31}`).Filter(func(s string) bool {
		return !isKeyword(s) && !slices.Contains(a.nodes, s) && !slices.ContainsFunc(a.sets, func(x Share) bool { return x.Set == s })
	}).Draw(a.t, "name")
}

func (a *author) one() Who {
	if len(a.sets) > 0 && a.bool() {
		return Who{Role: a.of("primary", "backup"), Set: a.set().Set}
	}
	return named(a.of(a.nodes...))
}

func (a *author) who() Who {
	switch a.int(0, 2) {
	case 0:
		return a.one()
	case 1:
		return all
	}
	names := rapid.Permutation(a.nodes).Draw(a.t, "nodes")
	return named(names[:a.int(1, len(names))]...)
}

// sides have two nodes at least.
func (a *author) sides() (from, to Who, both bool) {
	for {
		from, to = a.who(), a.who()
		if len(from.Names) != 1 || len(to.Names) != 1 || from.Names[0] != to.Names[0] {
			return from, to, a.bool()
		}
	}
}

func (a *author) when() When {
	switch a.int(0, 4) {
	case 0:
		a.last = a.duration(max(a.last, 1))
		return When{At: a.last}
	case 1:
		return When{After: a.duration(1)}
	case 2:
		w := When{Every: a.duration(1)}
		w.For = a.duration(w.Every)
		return w
	case 3:
		return When{Every: a.duration(1), Times: a.int(2, maxTimes)}
	}
	return When{}
}

func (a *author) statement() Statement {
	st := Statement{When: a.when()}
	if len(a.nodes) == 0 || a.int(0, 9) == 0 && len(a.nodes) < maxNodes {
		st.When.Every, st.When.For, st.When.Times = 0, 0, 0
		name := a.newName()
		a.nodes = append(a.nodes, name)
		st.Do = Nodes{[]string{name}}
		return st
	}
	if len(a.sets) == 0 || a.int(0, 9) == 0 {
		st.When.Every, st.When.For, st.When.Times = 0, 0, 0
		s := a.share()
		a.sets = append(a.sets, s)
		st.Do = s
		return st
	}
	if st.When.Every == 0 && a.int(0, 9) == 0 {
		st.Do = a.wait()
		return st
	}
	switch a.int(0, 2) {
	case 0:
		st.Do = a.action()
	case 1:
		st.Do = a.harm()
	default:
		e := Expect{What: a.condition()}
		if !now(e.What) && a.bool() {
			e.Within = a.duration(1)
		}
		st.Do = e
	}
	return st
}

func (a *author) share() Share {
	s := Share{Set: a.newName(), At: a.one(), Strict: a.bool(), Private: a.bool()}
	switch a.int(0, 2) {
	case 0:
		s.From = "toolchain"
	case 1:
		s.From = rapid.StringMatching(`[ -!#-~äλ☃]+`).Draw(a.t, "folder")
		if s.From == "toolchain" {
			s.From = "/"
		}
	default:
		s.Size, s.Files = a.bytes(), a.int(1, maxFiles)
	}
	return s
}

func (a *author) wait() Action {
	if a.bool() {
		return Wait{For: a.duration(1)}
	}
	c := a.condition()
	for now(c) {
		c = a.condition()
	}
	return Wait{Until: c, Within: a.duration(1)}
}

func (a *author) action() Action {
	set := a.set()
	switch a.int(0, 7) {
	case 0:
		return Publish{set.Set, a.who()}
	case 1:
		return Get{set.Set, a.who()}
	case 2:
		return Follow{set.Set, a.who()}
	case 3:
		return Replicate{set.Set, a.who()}
	case 4:
		return Grant{set.Set, a.who(), a.of("reader", "writer")}
	case 5:
		return Check{slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(rapid.SampledFrom([]string{Acknowledged, Primaries, Agree, Files, Crashes}), 1, -1).Draw(a.t, "names"))))}
	case 6:
		return Say{rapid.StringMatching(`[ -!#-~äλ☃]+`).Draw(a.t, "sentence")}
	}
	e := Edit{Set: set.Set, At: a.who(), Kind: a.of(Overwrite, Insert, Append, Add, Rename, Remove, Upgrade), Size: a.bytes()}
	if a.bool() {
		e.Times = a.int(2, maxTimes)
	}
	switch e.Kind {
	case Rename, Remove:
		e.Size = 0
	case Upgrade:
		e.Size, e.Times = 0, 0
		if set.From != "toolchain" {
			return Mark{}
		}
	}
	return e
}

func (a *author) harm() Action {
	from, to, both := a.sides()
	switch a.int(0, 8) {
	case 0:
		return a.link()
	case 1:
		rate := a.bytes()
		return Limit{Who: a.who(), Up: &rate, Down: &rate}
	case 2:
		return Limit{Who: a.who(), Up: new(a.bytes())}
	case 3:
		return Limit{Who: a.who(), Down: new(int64)}
	case 4:
		return Cut{from, to, both}
	case 5:
		return Heal{From: from, To: to, Both: both}
	case 6:
		return Process{a.of(Kill, Stop, Restart, Pause, Resume), a.who()}
	case 7:
		return Partition{[]Who{named(a.nodes[0]), all, {Role: "primary", Set: a.set().Set}}[a.int(0, 1):]}
	}
	c := Corrupt{Set: a.of("", a.set().Set), Who: a.who()}
	if a.bool() {
		c.Times = a.int(2, maxTimes)
	}
	return c
}

func (a *author) link() Action {
	var l Link
	l.From, l.To, l.Both = a.sides()
	if a.bool() {
		l.Latency = new(a.latency())
	}
	if a.bool() {
		l.Jitter = new(a.latency())
	}
	if a.bool() {
		l.Loss = new(a.thousandths(0, 100_000) / 100)
	}
	if a.bool() {
		l.Rate = new(a.bytes())
	}
	l.Plain = l.Latency == nil && l.Jitter == nil && l.Loss == nil && l.Rate == nil
	return l
}

func (a *author) condition() Condition {
	set, w := a.set().Set, a.who()
	switch a.int(0, 8) {
	case 0:
		return Has{Who: w, Set: set, Revision: uint64(a.int(0, 1e9))}
	case 1:
		return Has{Who: w, Set: set, Part: a.thousandths(0, 100_000) / 100}
	case 2:
		return Is{Who: w, What: a.of("primary", "backup", "replica", "reader"), Set: set, Not: a.bool()}
	case 3:
		return Is{Who: w, What: a.of("up", "down"), Not: a.bool()}
	case 4:
		return There{set, a.of("primary", "backup", "durable", "agrees")}
	case 5:
		return Moved{Who: w, Sent: a.bool(), Least: a.bool(), Bytes: a.bytes()}
	case 6:
		return Moved{Who: w, Sent: a.bool(), Least: a.bool(), Times: a.thousandths(1, 1_000_000), Set: set}
	case 7:
		t := Took{What: a.of("get", "follow", "publish", "failover"), Set: set, Most: a.duration(1)}
		if t.What == "get" || t.What == "follow" {
			t.At = rapid.SampledFrom([]Who{{}, w}).Draw(a.t, "at")
		}
		return t
	}
	return Refuses{w, set}
}

// TestPrintedStatementsAreReadAgain prints statements at random and reads them; and shows that what they are made of
// names nothing: a word of a statement that is no name, number or text is a keyword.
func TestPrintedStatementsAreReadAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &author{t: t}
		var want []Statement
		var text strings.Builder
		for i := range a.int(1, 12) {
			st := a.statement()
			fmt.Fprintln(&text, st)
			st.Line, st.Col, st.Text = i+1, 1, st.String()
			want = append(want, st)
		}
		got, err := Parse("t", []byte(text.String()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text.String())
		}
		if d := cmp.Diff(want, got.Statements); d != "" {
			t.Fatalf("-want +got\n%s in\n%s", d, text.String())
		}
		for _, st := range want {
			a.onlyKeywords(st)
		}
	})
}

func (a *author) onlyKeywords(st Statement) {
	tokens, _, err := lex(st.String())
	if err != nil {
		a.t.Fatal(err)
	}
	for _, token := range tokens {
		isSet := slices.ContainsFunc(a.sets, func(s Share) bool { return s.Set == token.text })
		if token.kind == word && token.text != "a" && !isDigit(token.text[0]) && !isSet && !slices.Contains(a.nodes, token.text) && !isKeyword(token.text) {
			a.t.Fatalf("%q of %q is no keyword", token.text, st)
		}
	}
}

func TestVerbsAreKeywords(t *testing.T) {
	for verb := range verbs() {
		if !isKeyword(verb) {
			t.Errorf("%s can be the name of a node", verb)
		}
	}
}

// TestOneWrongLetterIsSuggested drops, doubles and swaps letters of every statement's first word.
func TestOneWrongLetterIsSuggested(t *testing.T) {
	for verb := range verbs() {
		for i := range len(verb) - 1 {
			for _, wrong := range []string{verb[:i] + verb[i+1:], verb[:i] + verb[i:i+1] + verb[i:], verb[:i] + verb[i+1:i+2] + verb[i:i+1] + verb[i+2:]} {
				if isKeyword(wrong) {
					continue
				}
				_, err := ParseLine(nil, nil, wrong+" a")
				if err == nil || !strings.Contains(err.Error(), "; did you mean ") {
					t.Errorf("%s for %s: %v", wrong, verb, err)
				}
			}
		}
	}
}

func TestEditDistanceIsAMetricOfNeighbours(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kill", "kil", 1}, {"edge", "egde", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
