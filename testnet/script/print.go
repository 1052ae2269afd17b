package script

import (
	"fmt"
	"strings"
	"time"
)

// String is the statement in its one canonical form, which Parse reads as the same statement.
func (s Statement) String() string { return s.When.String() + words(s.Do) }

// String ends with a blank unless it is empty.
func (w When) String() string {
	switch {
	case w.At > 0:
		return "at " + formatDuration(w.At) + " "
	case w.After > 0:
		return "after " + formatDuration(w.After) + " "
	case w.For > 0:
		return "every " + formatDuration(w.Every) + " for " + formatDuration(w.For) + " "
	case w.Every > 0:
		return fmt.Sprintf("every %s %d times ", formatDuration(w.Every), w.Times)
	}
	return ""
}

// String is the nodes as a script names them, ranges spelled out.
func (w Who) String() string {
	switch w.Role {
	case "":
		return strings.Join(w.Names, ", ")
	case "all":
		return w.Role
	}
	return w.Role + " of " + w.Set
}

// several says whether the nodes take the plural.
func (w Who) several() bool { return w.Role == "all" || len(w.Names) > 1 }

// words is an action without its moment.
func words(a Action) string {
	switch a := a.(type) {
	case Nodes:
		return "nodes " + strings.Join(a.Names, ", ")
	case Share:
		return a.words()
	case Publish:
		return fmt.Sprintf("publish %s at %s", a.Set, a.At)
	case Edit:
		return a.words()
	case Get:
		return fmt.Sprintf("get %s at %s", a.Set, a.At)
	case Follow:
		return fmt.Sprintf("follow %s at %s", a.Set, a.At)
	case Replicate:
		return fmt.Sprintf("replicate %s at %s", a.Set, a.At)
	case Grant:
		return fmt.Sprintf("grant %s to %s %s", a.Set, a.To, a.Right)
	case Wait:
		if a.Until == nil {
			return "wait " + formatDuration(a.For)
		}
		return "wait until " + conditionWords(a.Until) + withinWords(a.Within)
	case Expect:
		return "expect " + conditionWords(a.What) + withinWords(a.Within)
	case Check:
		return strings.TrimSpace("check " + strings.Join(a.Names, ", "))
	case Say:
		return `say "` + a.Text + `"`
	case Mark:
		return "mark"
	}
	return harmWords(a)
}

// harmWords is an action on nodes and links.
func harmWords(a Action) string {
	switch a := a.(type) {
	case Link:
		return a.words()
	case Limit:
		return a.words()
	case Cut:
		return "cut " + sidesWords(a.From, a.To, a.Both)
	case Partition:
		groups := make([]string, len(a.Groups))
		for i, g := range a.Groups {
			groups[i] = g.String()
		}
		return "partition " + strings.Join(groups, " from ")
	case Heal:
		if a.All {
			return "heal"
		}
		return "heal " + sidesWords(a.From, a.To, a.Both)
	case Process:
		return a.Do + " " + a.Who.String()
	case Corrupt:
		if a.Set == "" {
			return "corrupt store of " + a.Who.String() + timesWords(a.Times)
		}
		return fmt.Sprintf("corrupt %s at %s%s", a.Set, a.Who, timesWords(a.Times))
	case Disk:
		return pick(a.Full, "fill", "free") + " disk of " + a.Who.String()
	case Lie:
		return pick(a.Lies, "liar ", "honest ") + a.Who.String()
	}
	return fmt.Sprintf("%T", a)
}

func (s Share) words() string {
	text := fmt.Sprintf("share %s at %s ", s.Set, s.At)
	switch s.From {
	case "":
		text += fmt.Sprintf("size %s in %d %s", formatBytes(s.Size, sizes()), s.Files, pick(s.Files == 1, "file", "files"))
	case toolchain:
		text += "from toolchain"
	default:
		text += `from "` + s.From + `"`
	}
	return text + pick(s.Strict, " strict", "") + pick(s.Private, " private", "")
}

func (e Edit) words() string {
	text := fmt.Sprintf("edit %s at %s %s", e.Set, e.At, e.Kind)
	if e.Size > 0 {
		text += " " + formatBytes(e.Size, sizes())
	}
	return text + timesWords(e.Times)
}

func (l Link) words() string {
	text := "link " + sidesWords(l.From, l.To, l.Both)
	if l.Latency != nil {
		text += " latency " + formatDuration(*l.Latency)
	}
	if l.Jitter != nil {
		text += " jitter " + formatDuration(*l.Jitter)
	}
	if l.Loss != nil {
		text += " loss " + formatNumber(*l.Loss*100) + "%"
	}
	if l.Rate != nil {
		text += " rate " + formatRate(*l.Rate)
	}
	return text + pick(l.Plain, " plain", "")
}

func (l Limit) words() string {
	switch {
	case l.Up != nil && l.Down != nil:
		return fmt.Sprintf("slow %s to %s", l.Who, formatRate(*l.Up))
	case l.Up != nil:
		return fmt.Sprintf("uplink %s %s", l.Who, formatRate(*l.Up))
	}
	return fmt.Sprintf("downlink %s %s", l.Who, formatRate(*l.Down))
}

func sidesWords(from, to Who, both bool) string {
	return from.String() + pick(both, " and ", " to ") + to.String()
}

func timesWords(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" %d times", n)
}

func withinWords(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return " within " + formatDuration(d)
}

func conditionWords(c Condition) string {
	switch c := c.(type) {
	case Has:
		text := c.Who.String() + pick(c.Who.several(), " have ", " has ")
		if c.Revision > 0 {
			text += fmt.Sprintf("revision %d of ", c.Revision)
		}
		if c.Part > 0 {
			text += formatNumber(c.Part*100) + "% of "
		}
		return text + c.Set
	case Is:
		return c.words()
	case There:
		return c.Set + map[string]string{"primary": " has a primary", "backup": " has a backup", "durable": " is durable", "agrees": " agrees"}[c.What]
	case Moved:
		return c.words()
	case Took:
		return c.words()
	case Refuses:
		return c.Who.String() + pick(c.Who.several(), " refuse", " refuses") + " to publish " + c.Set
	}
	return fmt.Sprintf("%T", c)
}

func (i Is) words() string {
	text := i.Who.String() + pick(i.Who.several(), " are ", " is ") + pick(i.Not, "not ", "") + i.What
	if i.Who.several() && (i.What == "replica" || i.What == "reader") {
		text += "s"
	}
	if i.Set != "" {
		text += " of " + i.Set
	}
	return text
}

func (m Moved) words() string {
	text := m.Who.String() + pick(m.Sent, " sent at ", " received at ") + pick(m.Least, "least ", "most ")
	if m.Times > 0 {
		return text + formatNumber(m.Times) + " " + m.Set
	}
	return text + formatBytes(m.Bytes, sizes())
}

func (t Took) words() string {
	text := t.What + pick(t.What == "failover", " of ", " ") + t.Set + " took at most " + formatDuration(t.Most)
	if who := t.At.String(); who != "" {
		text += " at " + who
	}
	return text
}

func pick(yes bool, then, otherwise string) string {
	if yes {
		return then
	}
	return otherwise
}
