package figures

import (
	"fmt"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Verdict is what came of a trace.
type Verdict int

// Verdicts.
const (
	Passed  Verdict = iota // there were checks, and all held
	Failed                 // a check did not hold or an invariant broke
	Nothing                // nothing was checked
)

// Held is how many checks held, and what follows from it.
func Held(t trace.Trace) (held int, v Verdict) {
	for _, c := range t.Checks {
		if c.OK {
			held++
		}
	}
	switch {
	case held < len(t.Checks) || violations(t) > 0:
		return held, Failed
	case held == 0:
		return 0, Nothing
	default:
		return held, Passed
	}
}

func violations(t trace.Trace) (n int) {
	for _, e := range t.Events {
		if e.Kind == trace.Violation {
			n++
		}
	}
	return n
}

// Headline is a tidy trace in one sentence that begins with PASS or FAIL.
func Headline(t trace.Trace) string {
	return strings.Join(append([]string{verdict(t)}, highlights(t)...), "; ")
}

func verdict(t trace.Trace) string {
	held, v := Held(t)
	about := fmt.Sprintf("%s, %s", count(len(t.Nodes), "node"), Seconds(End(t)))
	switch {
	case v == Nothing:
		return "DONE: nothing was checked, " + about
	case v == Passed:
		return fmt.Sprintf("PASS: %d of %s held, %s", held, count(len(t.Checks), "check"), about)
	case held < len(t.Checks):
		return fmt.Sprintf("FAIL: %d of %s did not hold (%s), %s", len(t.Checks)-held, count(len(t.Checks), "check"), broken(t), about)
	default:
		return fmt.Sprintf("FAIL: %s broke, %s", count(violations(t), "invariant"), about)
	}
}

// broken are the names of the checks that did not hold, or the first of many.
func broken(t trace.Trace) string {
	var names []string
	for _, c := range t.Checks {
		if !c.OK {
			names = append(names, Clean(c.Name))
		}
	}
	if len(names) > 2 {
		return fmt.Sprintf("%s, and %d others", names[0], len(names)-1)
	}
	return strings.Join(names, "; ")
}

// highlights are what people ask for first: the failover and the bytes saved.
func highlights(t trace.Trace) (said []string) {
	var closed, open int
	var worst, nobody time.Duration
	for _, g := range Gaps(t) {
		switch {
		case !g.Open:
			closed++
			worst = max(worst, g.Length())
		case !g.Alone():
			open++
			nobody = max(nobody, g.Length())
		}
	}
	switch {
	case closed == 1:
		said = append(said, "primary replaced in "+Seconds(worst))
	case closed > 1:
		said = append(said, fmt.Sprintf("primary replaced %d times, in %s at most", closed, Seconds(worst)))
	}
	if open > 0 {
		said = append(said, "not replaced for the last "+Seconds(nobody))
	}
	return append(said, saved(t)...)
}

func saved(t trace.Trace) []string {
	var total, wire int64
	var updates []Revision
	for _, r := range Revisions(t) {
		if r.Update() && r.NotSent() > 0 {
			updates = append(updates, r)
			total += r.Total
			wire += r.WireIn
		}
	}
	switch len(updates) {
	case 0:
		return nil
	case 1:
		return []string{fmt.Sprintf("%s of the %s revision's bytes not sent", Percent(NotSent(total, wire)), ordinal(updates[0].Number))}
	default:
		return []string{fmt.Sprintf("%s of the bytes of %d updates not sent", Percent(NotSent(total, wire)), len(updates))}
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
