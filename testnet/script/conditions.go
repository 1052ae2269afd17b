package script

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// now says whether a condition is looked at once: it tries something, or waiting makes it no truer.
func now(c Condition) bool {
	switch c := c.(type) {
	case Moved:
		return !c.Least
	case Took, Refuses:
		return true
	}
	return false
}

// condition reads what wait and expect look at.
func (p *parser) condition() Condition {
	t := p.peek()
	switch {
	case t.kind == word && p.isSet(t.text):
		return p.there()
	case p.accept("get", "follow"):
		c := Took{What: t.text, Set: p.set(), Most: p.took()}
		if p.accept("at") {
			c.At = p.group()
		}
		return c
	case p.accept("publish"):
		return Took{What: t.text, Set: p.set(), Most: p.took()}
	case p.accept("failover"):
		p.need("of")
		return Took{What: t.text, Set: p.set(), Most: p.took()}
	case t.kind != word || isKeyword(t.text) && !slices.Contains([]string{"all", "primary", "backup"}, t.text):
		p.expected(t, "a condition, which begins with a node, a set, all, primary of, backup of, get, follow, publish or failover")
		return nil
	case t.isName() && !p.nodes[t.text]:
		names := append(slices.Collect(maps.Keys(p.nodes)), "all", "primary", "backup", "get", "follow", "publish", "failover")
		p.unknown(t, "node or set", slices.AppendSeq(names, maps.Keys(p.sets)), "start or share it on an earlier line")
		return nil
	}
	return p.of(p.group())
}

// took reads `took at most 8s`.
func (p *parser) took() time.Duration {
	p.need("took")
	p.need("at")
	p.need("most")
	return p.duration(false)
}

// there reads a condition about a set.
func (p *parser) there() Condition {
	c := There{Set: p.set()}
	switch p.need("has", "is", "agrees") {
	case "has":
		p.need("a")
		c.What = p.need("primary", "backup")
	case "is":
		c.What = p.need("durable")
	case "agrees":
		c.What = "agrees"
	}
	return c
}

// of reads a condition about nodes.
func (p *parser) of(w Who) Condition {
	switch verb := p.need("has", "have", "is", "are", "sent", "received", "refuses", "refuse"); verb {
	case "has", "have":
		return p.has(w)
	case "is", "are":
		return p.is(w)
	case "sent", "received":
		return p.moved(w, verb == "sent")
	case "refuses", "refuse":
		p.need("to")
		p.need("publish")
		return Refuses{w, p.set()}
	}
	return nil
}

func (p *parser) has(w Who) Condition {
	c := Has{Who: w}
	t := p.peek()
	switch {
	case p.accept("revision"):
		c.Revision = uint64(p.count("the number of a revision", 1, 1e9))
		p.need("of")
	case t.kind == word && isDigit(t.text[0]):
		c.Part = p.percent(false)
		p.need("of")
	case t.kind != word || isKeyword(t.text):
		p.expected(t, "a set, revision 2 of a set, or 40%% of a set")
	}
	c.Set = p.set()
	return c
}

func (p *parser) is(w Who) Condition {
	c := Is{Who: w, Not: p.accept("not")}
	switch c.What = p.need("primary", "backup", "replica", "replicas", "reader", "readers", "up", "down"); c.What {
	case "up", "down":
	default:
		c.What = strings.TrimSuffix(c.What, "s") // are replicas
		p.need("of")
		c.Set = p.set()
	}
	return c
}

// moved reads `at most 200kB` or `at least 1.3 docs`.
func (p *parser) moved(w Who, sent bool) Condition {
	c := Moved{Who: w, Sent: sent}
	p.need("at")
	c.Least = p.need("most", "least") == "least"
	t := p.peek()
	n, behind, ok := number(t.text)
	if t.kind != word || !ok || behind != "" {
		c.Bytes = p.bytes("an amount such as 1.3 of a set, or a size", sizes(), "1.3 docs or 200kB")
		return c
	}
	p.take()
	if n == 0 || n > maxTimes {
		p.fail(t, "%s is out of range; expected more than 0 and at most %d, as in 1.3 docs", t.text, maxTimes)
	}
	if t := p.peek(); t.kind != word {
		p.expected(t, "a set behind %s, or a unit right behind the number, as in 1.3 docs or 200kB", formatNumber(n))
	}
	c.Times, c.Set = n, p.set()
	return c
}
