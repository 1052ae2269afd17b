package script

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// toolchain is the folder every machine with Go has.
const toolchain = "toolchain"

// keywords are the words of the language, which name no node and no set: so a line reads in one way only. The article of
// `docs has a primary` is not among them: nothing else can stand there, and many nodes are called a.
const keywords = `
acknowledged add after agree agrees all and append are at backup check corrupt crashes cut disk down downlink durable
edit every expect failover file files fill follow for free from get grant has have heal honest in insert is jitter
kill latency least liar link loss mark most nodes not of overwrite partition pause plain primaries primary private
publish rate reader readers received refuse refuses remove rename replica replicas replicate restart resume revision
say sent share size slow stop store strict times to took toolchain unlimited until up upgrade uplink wait within
writer`

func isKeyword(s string) bool { return slices.Contains(strings.Fields(keywords), s) }

// newName looks at the name of a new node or set.
func (p *parser) newName(t token, what string) {
	switch {
	case t.kind != word:
		p.expected(t, "a name for a %s", what)
	case isKeyword(t.text):
		p.fail(t, "%s is a word of the language; expected another name for a %s, such as %s-1", t.text, what, t.text)
	case !isName(t.text):
		p.expected(t, "a name for a %s: a letter, then letters, digits and hyphens, at most %d, in lower case", what, maxName)
	case p.nodes[t.text]:
		p.fail(t, "there is a node %s already; expected a new name", t.text)
	case p.isSet(t.text):
		p.fail(t, "there is a set %s already; expected a new name", t.text)
	}
}

func (p *parser) isSet(name string) bool { _, ok := p.sets[name]; return ok }

// isName says whether a token can name a node or a set.
func (t token) isName() bool { return t.kind == word && isName(t.text) && !isKeyword(t.text) }

// isName says whether a word begins with a letter, so that it is no number, and can name a folder.
func isName(s string) bool {
	for i := range len(s) {
		letter := 'a' <= s[i] && s[i] <= 'z'
		if !letter && (i == 0 || !isDigit(s[i]) && s[i] != '-') {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// set takes the name of a set that was shared.
func (p *parser) set() string {
	t := p.take()
	switch {
	case t.kind != word:
		p.expected(t, "the name of a set")
	case !p.isSet(t.text):
		p.unknown(t, "set", slices.Collect(maps.Keys(p.sets)), "share it on an earlier line")
	}
	return t.text
}

// unknown reports a name that nothing has, with the nearest one or what there is or could be done.
func (p *parser) unknown(t token, what string, names []string, cure string) {
	hint := didYouMean(t.text, names)
	if hint == "" {
		hint = "; " + cure
		if len(names) > 0 && len(names) <= 5 {
			hint = "; expected " + list(slices.Sorted(slices.Values(names)))
		}
	}
	p.fail(t, "there is no %s %q%s", what, t.text, hint)
}

// role reads `all`, `primary of docs` or `backup of docs`.
func (p *parser) role() (w Who, ok bool) {
	t := p.peek()
	if !p.accept("all", "primary", "backup") {
		return Who{}, false
	}
	w.Role = t.text
	if w.Role != "all" {
		p.need("of")
		w.Set = p.set()
	}
	return w, true
}

// who reads nodes; joins are the words that, beside a comma, go on with a list.
func (p *parser) who(joins ...string) Who {
	if w, ok := p.role(); ok {
		return w
	}
	return Who{Names: p.names(p.known, joins...)}
}

// group reads nodes, the last of which may follow `and`.
func (p *parser) group() Who { return p.who("and") }

// names reads a list: `a`, `a, b`, `edge-1 to edge-4, origin`. add looks at each name.
func (p *parser) names(add func(token), joins ...string) (all []string) {
	for {
		for _, name := range p.span() {
			if slices.Contains(all, name.text) {
				p.fail(name, "%s is named twice; expected it once", name.text)
			}
			add(name)
			all = append(all, name.text)
		}
		if p.peek().kind == comma {
			p.take()
		} else if !p.accept(joins...) {
			return all
		}
	}
}

// known reports a node that was not started.
func (p *parser) known(t token) {
	switch {
	case t.kind != word || isKeyword(t.text):
		p.expected(t, "the name of a node")
	case !p.nodes[t.text]:
		p.unknown(t, "node", slices.Collect(maps.Keys(p.nodes)), "start it with nodes on an earlier line")
	}
}

// span reads one name, or the names from one to another: `edge-1 to edge-4`. What is behind `to` is a name if it begins
// with a letter: `slow edge-1 to 1MB/s` has no range.
func (p *parser) span() []token {
	first := p.take()
	if first.kind != word {
		p.expected(first, "the name of a node")
		return nil
	}
	if next := p.peek(); next.kind != word || next.text != "to" || !p.tokens[1].isName() {
		return []token{first}
	}
	p.take()
	last := p.take()
	stem, from, ok := numbered(first.text)
	stem2, to, ok2 := numbered(last.text)
	switch {
	case !ok || !ok2 || stem != stem2:
		p.fail(last, "%s to %s is no range; expected two names that differ in the number at their end, as edge-1 to edge-4", first.text, last.text)
		return nil
	case to < from || to-from >= maxNodes:
		p.fail(last, "expected a number from %d on, and at most %d names, not %s", from, maxNodes, last.text)
		return nil
	}
	var all []token
	for i := from; i <= to; i++ {
		all = append(all, token{kind: word, text: fmt.Sprint(stem, i), col: first.col})
	}
	return all
}

// numbered splits a name before the number at its end.
func numbered(name string) (stem string, n int, ok bool) {
	stem = strings.TrimRight(name, "0123456789")
	n, err := strconv.Atoi(name[len(stem):])
	return stem, n, err == nil && stem+strconv.Itoa(n) == name
}

// one reads nodes that must be a single one.
func (p *parser) one() Who {
	t := p.peek()
	w := p.group()
	if len(w.Names) > 1 || w.Role == "all" {
		p.fail(t, "expected one node, not several")
	}
	return w
}

// sides reads `a and b` or `a to b` of a link, a cut or a heal. Where the line has no `and`, the first `to` is the
// direction; everywhere else `to` makes a range.
func (p *parser) sides() (from, to Who, both bool) {
	start := p.peek()
	if both = slices.ContainsFunc(p.tokens, func(t token) bool { return t.kind == word && t.text == "and" }); both {
		from = p.who()
		p.need("and")
	} else {
		from = p.before("to")
		p.need("to")
	}
	to = p.who()
	if len(from.Names) == 1 && len(to.Names) == 1 && from.Names[0] == to.Names[0] {
		p.fail(start, "%s is on both sides; expected two nodes", from.Names[0])
	}
	return from, to, both
}

// before reads nodes without ranges, up to a word.
func (p *parser) before(stop string) Who {
	if w, ok := p.role(); ok {
		return w
	}
	var all []string
	for {
		t := p.take()
		if slices.Contains(all, t.text) {
			p.fail(t, "%s is named twice; expected it once", t.text)
		}
		p.known(t)
		all = append(all, t.text)
		if p.peek().kind != comma {
			if next := p.peek(); next.text != stop {
				p.expected(next, "and (both directions) or %s (one direction)", stop)
			}
			return Who{Names: all}
		}
		p.take()
	}
}
