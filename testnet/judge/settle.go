package judge

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/script"
)

// Settle gives the violations in what the nodes that are up show when all is quiet: nothing is published or fetched any
// more. It may be asked for again when more has happened. Finals are those of all sets; what nobody was told of a set
// is not missed.
func (j *Judge) Settle(finals []Final) []Violation {
	var found []Violation
	by := map[string][]Final{}
	for _, f := range finals {
		by[f.Set] = append(by[f.Set], f)
	}
	for _, name := range slices.Sorted(maps.Keys(j.sets)) {
		found = append(found, j.present(j.sets[name], by[name])...)
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		for _, group := range groups(by[name]) {
			found = append(found, agree(name, group)...)
		}
	}
	found = append(found, j.untold()...)
	for i := range found {
		found[i].At = j.now
	}
	return found
}

// untold says how many violations were left out.
func (j *Judge) untold() (found []Violation) {
	for _, k := range slices.SortedFunc(maps.Keys(j.told), kind.compare) {
		if n := j.told[k] - maxTold; n > 0 {
			j.told[k] = maxTold
			found = append(found, Violation{Invariant: k.invariant, Node: k.node, Set: k.set, Text: fmt.Sprintf("and %d more like those before", n)})
		}
	}
	return found
}

func (k kind) compare(o kind) int {
	return cmp.Or(cmp.Compare(k.invariant, o.invariant), cmp.Compare(k.set, o.set), cmp.Compare(k.node, o.node))
}

// groups parts finals by who reaches whom, and leaves out nodes that need not be at the newest revision.
func groups(finals []Final) [][]Final {
	by := map[int][]Final{}
	for _, f := range finals {
		if f.Keeps {
			by[f.Group] = append(by[f.Group], f)
		}
	}
	var out [][]Final
	for _, g := range slices.Sorted(maps.Keys(by)) {
		out = append(out, by[g])
	}
	return out
}

// agree looks for different roots in a group. One in which everybody says that there may be something newer, as a
// minority of a strict set does, need not agree.
func agree(set string, group []Final) []Violation {
	if !slices.ContainsFunc(group, func(f Final) bool { return !f.Stale }) {
		return nil
	}
	by := map[string][]Final{}
	for _, f := range group {
		by[f.Root] = append(by[f.Root], f)
	}
	if len(by) == 1 {
		return nil
	}
	var all []string
	for _, root := range slices.SortedFunc(maps.Keys(by), func(a, b string) int { // the newest first
		return cmp.Or(cmp.Compare(by[b][0].Revision, by[a][0].Revision), cmp.Compare(a, b))
	}) {
		shown := fmt.Sprintf("revision %d, root %s", by[root][0].Revision, root)
		if root == "" {
			shown = "nothing"
		}
		all = append(all, fmt.Sprintf("%s: %s", names(by[root]), shown))
	}
	return []Violation{{Invariant: script.Agree, Set: set, Text: "nodes that reach each other show different roots. " + strings.Join(all, "; ")}}
}

func names(finals []Final) string {
	var out []string
	for _, f := range finals {
		out = append(out, f.Node)
	}
	return strings.Join(out, ", ")
}

// present looks for every head that was called durable.
func (j *Judge) present(s *set, finals []Final) (found []Violation) {
	for _, f := range finals {
		found = append(found, s.abandoned(f.Node, f.History)...)
	}
	for _, group := range groups(finals) {
		due := j.due(s, group)
		if len(due) == 0 {
			continue
		}
		for _, f := range group {
			found = append(found, lacks(f, due)...)
		}
		if !slices.ContainsFunc(group, func(f Final) bool { return f.Holds }) {
			found = append(found, Violation{Invariant: script.Acknowledged, Set: s.name,
				Text: fmt.Sprintf("%s, and none of %s has all of the revision it shows", due[0].text(), names(group))})
		}
	}
	return found
}

// due are the heads that a group must show, the newest first: one of its nodes had it on a disk that was not damaged
// since. Of a strict set a minority may hide what it does not know to be durable.
func (j *Judge) due(s *set, group []Final) (due []Acked) {
	minority := !slices.ContainsFunc(group, func(f Final) bool { return !f.Stale })
	had := func(a Acked) bool {
		return len(a.On) == 0 || slices.ContainsFunc(a.On, func(n string) bool {
			since, damaged := j.damaged[n]
			return !(damaged && since >= a.At) && slices.ContainsFunc(group, func(f Final) bool { return f.is(n) })
		})
	}
	wanted := map[string]Acked{}
	for _, a := range s.due {
		wanted[a.Head] = a
	}
	maps.Copy(wanted, s.recent)
	for _, a := range wanted {
		if !(a.Strict && minority) && had(a) {
			due = append(due, a)
		}
	}
	slices.SortFunc(due, func(a, b Acked) int { return cmp.Or(cmp.Compare(b.At, a.At), cmp.Compare(a.Head, b.Head)) })
	return due
}

// lacks tells of the first of some heads that a node's newest does not include, and how many more there are.
func lacks(f Final, due []Acked) []Violation {
	blame := func(format string, a ...any) []Violation {
		return []Violation{{Invariant: script.Acknowledged, Node: f.Node, Set: f.Set, Text: fmt.Sprintf(format, a...)}}
	}
	head, ok := f.head()
	if !ok {
		return blame("%s, and %s shows no history that begins with the revision it is at, %d: nobody can look for it there", due[0].text(), f.Node, f.Revision)
	}
	tree := trace(f.History)
	var missing []Acked
	for _, a := range due {
		if !Vector(head.Vector).covers(a.Vector) || tree.excludes(a) {
			missing = append(missing, a)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	first := missing[len(missing)-1] // the oldest
	more := ""
	if n := len(missing) - 1; n > 0 {
		more = fmt.Sprintf("; nor does it include %d that were called durable later", n)
	}
	return blame("%s, and %s is at revision %d (head %s), which does not include it%s", first.text(), f.Node, head.Revision, head.Head, more)
}

// ancestry is what a history shows to be included in its first revision.
type ancestry struct {
	heads map[string]bool // by id
	// edge: no head of this revision or a later one is included that is not in heads. A parent that is not shown itself
	// is named at least; what lies before it has a lower number.
	edge uint64
}

// trace follows the parents of the first revision of a history.
func trace(history []api.Revision) ancestry {
	known := map[string]api.Revision{}
	for _, r := range history {
		known[r.Head] = r
	}
	t := ancestry{heads: map[string]bool{}}
	for todo := []string{history[0].Head}; len(todo) > 0; {
		id := todo[0]
		if todo = todo[1:]; t.heads[id] {
			continue
		}
		t.heads[id] = true
		for _, p := range known[id].Parents {
			if _, ok := known[p]; !ok {
				t.heads[p] = true
				t.edge = max(t.edge, known[id].Revision-1) // a parent's number is below its child's
				continue
			}
			todo = append(todo, p)
		}
	}
	return t
}

// excludes tells whether a is certainly not included.
func (t ancestry) excludes(a Acked) bool { return !t.heads[a.Head] && a.Revision >= t.edge }

// text says what was acknowledged.
func (a Acked) text() string {
	on := ""
	if len(a.On) > 0 {
		on = " on " + strings.Join(a.On, ", ")
	}
	return fmt.Sprintf("revision %d of %s (head %s) was called durable%s at %s, at %s", a.Revision, a.Set, a.Head, on, a.Node, seconds(a.At))
}

func crashText(e Ended) string {
	if e.Detail == "" {
		return e.Node + " ended, and nobody had asked it to"
	}
	return fmt.Sprintf("%s ended, and nobody had asked it to: %s", e.Node, e.Detail)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }
