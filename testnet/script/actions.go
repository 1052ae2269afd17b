package script

import (
	"slices"
	"time"
)

// verbs are the words a statement begins with, and what reads the rest of it.
func verbs() map[string]func(*parser) Action {
	return map[string]func(*parser) Action{
		"nodes": nodes, "share": share, "publish": publish, "edit": edit, "grant": grant,
		"get":       func(p *parser) Action { set, at := p.setAt(); return Get{set, at} },
		"follow":    func(p *parser) Action { set, at := p.setAt(); return Follow{set, at} },
		"replicate": func(p *parser) Action { set, at := p.setAt(); return Replicate{set, at} },

		"link": link, "slow": slow, "partition": partition, "heal": heal,
		"uplink":   func(p *parser) Action { w, rate := p.group(), p.rateOrUnlimited(); return Limit{Who: w, Up: &rate} },
		"downlink": func(p *parser) Action { w, rate := p.group(), p.rateOrUnlimited(); return Limit{Who: w, Down: &rate} },
		"cut":      func(p *parser) Action { from, to, both := p.sides(); return Cut{from, to, both} },

		Kill:    func(p *parser) Action { return Process{Kill, p.group()} },
		Stop:    func(p *parser) Action { return Process{Stop, p.group()} },
		Restart: func(p *parser) Action { return Process{Restart, p.group()} },
		Pause:   func(p *parser) Action { return Process{Pause, p.group()} },
		Resume:  func(p *parser) Action { return Process{Resume, p.group()} },

		"corrupt": corrupt,
		"fill":    func(p *parser) Action { return disk(p, true) },
		"free":    func(p *parser) Action { return disk(p, false) },
		"liar":    func(p *parser) Action { return Lie{p.group(), true} },
		"honest":  func(p *parser) Action { return Lie{p.group(), false} },

		"wait": wait, "expect": expect, "check": check, "say": say,
		"mark": func(*parser) Action { return Mark{} },
	}
}

func nodes(p *parser) Action {
	return Nodes{p.names(func(t token) {
		p.newName(t, "node")
		if len(p.nodes) == maxNodes {
			p.fail(t, "expected at most %d nodes", maxNodes)
		}
		if p.err == nil {
			p.nodes[t.text] = true
		}
	}, "and")}
}

// setAt reads `docs at edge-1`.
func (p *parser) setAt() (string, Who) {
	set := p.set()
	p.need("at")
	return set, p.group()
}

func share(p *parser) Action {
	name := p.take()
	p.newName(name, "set")
	s := Share{Set: name.text}
	if p.err == nil {
		defer func() { p.sets[s.Set] = s }() // also if the line has an error further on: one is enough
	}
	p.need("at")
	s.At = p.one()
	if p.need("size", "from") == "size" {
		s.Size, s.Files = p.size(), 1
		if p.accept("in") {
			s.Files = p.count("a number of files", 1, maxFiles)
			p.need("files", "file")
		}
	} else if t := p.take(); t.kind == quoted && t.text != "" || t.kind == word && t.text == toolchain {
		s.From = t.text
	} else {
		p.expected(t, `a folder in quotes, as in from "/some/folder", or toolchain`)
	}
	for t := p.peek(); p.accept("strict", "private"); t = p.peek() {
		s.Strict, s.Private = s.Strict || t.text == "strict", s.Private || t.text == "private"
	}
	return s
}

func publish(p *parser) Action {
	set, at := p.setAt()
	return Publish{set, at}
}

func edit(p *parser) Action {
	var e Edit
	e.Set, e.At = p.setAt()
	t := p.peek()
	e.Kind = p.need(Overwrite, Insert, Append, Add, Rename, Remove, Upgrade)
	switch e.Kind {
	case Overwrite, Insert, Append, Add:
		e.Size = p.size()
	case Upgrade:
		if p.sets[e.Set].From != toolchain {
			p.fail(t, "only a set that is shared from toolchain has an upgrade; expected another edit of %s", e.Set)
		}
		return e
	}
	e.Times = p.maybeTimes()
	return e
}

// maybeTimes reads `3 times` at the end of a line; 0 if it is not there.
func (p *parser) maybeTimes() int {
	if p.peek().kind == end {
		return 0
	}
	return p.times()
}

func grant(p *parser) Action {
	g := Grant{Set: p.set()}
	p.need("to")
	g.To = p.group()
	g.Right = p.need("reader", "writer")
	return g
}

func link(p *parser) Action {
	var l Link
	l.From, l.To, l.Both = p.sides()
	said := map[string]bool{}
	for p.peek().kind != end || len(said) == 0 && p.err == nil {
		t := p.peek()
		switch p.need("latency", "jitter", "loss", "rate", "plain") {
		case "latency":
			l.Latency = new(p.latency())
		case "jitter":
			l.Jitter = new(p.latency())
		case "loss":
			l.Loss = new(p.percent(true))
		case "rate":
			l.Rate = new(p.rateOrUnlimited())
		case "plain":
			l.Plain = true
		}
		if said[t.text] {
			p.fail(t, "%s is said twice; expected it once", t.text)
		}
		said[t.text] = true
		if l.Plain && len(said) > 1 {
			p.fail(t, "plain stands alone; expected nothing beside it")
		}
	}
	return l
}

func slow(p *parser) Action {
	l := Limit{Who: p.group()}
	p.need("to")
	rate := p.rate()
	l.Up, l.Down = &rate, &rate
	return l
}

func partition(p *parser) Action {
	var all Partition
	in := map[string]bool{}
	for {
		start := p.peek()
		w := p.group()
		for _, name := range w.Names {
			if in[name] {
				p.fail(start, "%s is in two groups; expected it in one", name)
			}
			in[name] = true
		}
		all.Groups = append(all.Groups, w)
		if len(all.Groups) > 1 && p.peek().kind == end {
			return all
		}
		p.need("from")
		if p.err != nil {
			return all
		}
	}
}

func heal(p *parser) Action {
	if p.peek().kind == end {
		return Heal{All: true}
	}
	from, to, both := p.sides()
	return Heal{From: from, To: to, Both: both}
}

func corrupt(p *parser) Action {
	var c Corrupt
	if p.accept("store") {
		p.need("of")
		c.Who = p.group()
	} else {
		c.Set, c.Who = p.setAt()
	}
	c.Times = p.maybeTimes()
	return c
}

func disk(p *parser, full bool) Action {
	p.need("disk")
	p.need("of")
	return Disk{p.group(), full}
}

func wait(p *parser) Action {
	if !p.accept("until") {
		if t := p.peek(); t.kind != word || !isDigit(t.text[0]) {
			p.nearly(t, []string{"until"}, "a time such as 2s, or until")
		}
		return Wait{For: p.duration(false)}
	}
	t := p.peek()
	w := Wait{Until: p.condition()}
	if now(w.Until) {
		p.fail(t, "this is only known now and not waited for; expected it behind expect")
	}
	w.Within = p.within()
	return w
}

// within reads `within 30s` at the end of a line; 0 if it is not there.
func (p *parser) within() time.Duration {
	if !p.accept("within") {
		return 0
	}
	return p.duration(false)
}

func expect(p *parser) Action {
	e := Expect{What: p.condition()}
	t := p.peek()
	if e.Within = p.within(); e.Within > 0 && now(e.What) {
		p.fail(t, "time makes this no better; expected no within")
	}
	return e
}

func check(p *parser) Action {
	if p.peek().kind == end {
		return Check{}
	}
	var c Check
	for {
		t := p.peek()
		name := p.need(Acknowledged, Primaries, Agree, Files, Crashes)
		if slices.Contains(c.Names, name) {
			p.fail(t, "%s is named twice; expected it once", name)
		}
		c.Names = append(c.Names, name)
		if p.peek().kind == comma {
			p.take()
		} else if !p.accept("and") {
			return c
		}
	}
}

func say(p *parser) Action {
	t := p.take()
	if t.kind != quoted || t.text == "" {
		p.expected(t, `a sentence in quotes, as in: say "The primary is gone."`)
	}
	return Say{t.text}
}
