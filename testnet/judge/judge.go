// Package judge holds what was seen of a network against the invariants that every network keeps whatever happens to
// it. It looks at nothing itself and knows no clock: who watches the nodes tells it, observation by observation, and
// asks for a verdict when all is quiet.
//
//	acknowledged  every head that was called durable is included in the head that is shown in the end, by every node
//	              that is to be at the newest revision and can reach a disk that had it; and so is its content
//	primaries     an epoch has one primary: the node that made it
//	agree         nodes that reach each other and are to be at the newest revision show one root
//	files         no file has bytes that nobody published
//	crashes       no node ended that was not to end
//
// A head includes another one if a path of parents leads from it to that one. Histories are short, so the path is
// followed as far as it is shown, and what is older is looked up in the head's vector: see Revision in package api. A
// head that another one abandoned is in that one's vector too, and is not included; a history that names it as
// abandoned gives that away, if it was looked at in time.
package judge

import (
	"fmt"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/testnet/script"
)

const (
	// maxTold is how many violations are told of one invariant, node and set; the others are only counted. Whoever
	// reads more than some of one kind learns nothing new.
	maxTold = 8
	// maxEpochs of a set are remembered, the newest: a node that is asked four times a second and names a primary of
	// so many elections ago would be news in itself.
	maxEpochs = 1024
	// maxRecent acknowledged heads of a set are remembered by their ids, the newest: a history shows 16, and is
	// looked at more often than so many revisions are made.
	maxRecent = 1024
)

// Judge remembers what it needs for a verdict, which is bounded whatever is observed. It is not safe for concurrent
// use.
type Judge struct {
	now     time.Duration // of the newest observation
	sets    map[string]*set
	damaged map[string]time.Duration // by name or peer id of a node
	told    map[kind]int
}

// kind is what violations are counted by.
type kind struct{ invariant, node, set string }

// set is what is remembered of one set.
type set struct {
	name   string
	due    []Acked          // what must be there in the end; none implies another one
	recent map[string]Acked // by head
	order  []string         // keys of recent, the oldest first
	epochs map[epoch]*reign
	reigns []epoch // keys of epochs, the oldest first
}

// epoch names an epoch of a set.
type epoch struct{ number, owner string }

// reign is what was said of an epoch.
type reign struct {
	primary, saidBy string          // the first primary that was named, and by whom
	leader          string          // the first node that said it leads
	at              time.Duration   // of the first of these
	blamed          map[string]bool // nodes whose claims about it were told
}

// New makes a judge that has seen nothing.
func New() *Judge {
	return &Judge{sets: map[string]*set{}, damaged: map[string]time.Duration{}, told: map[kind]int{}}
}

// Observe takes an observation, and gives the violations that can be seen already.
func (j *Judge) Observe(o Observation) []Violation {
	switch o := o.(type) {
	case Acked:
		return j.tell(o.At, j.acked(o))
	case Claim:
		return j.tell(o.At, j.claim(o))
	case Remembered:
		return j.tell(o.At, j.of(o.Set).abandoned(o.Node, o.History))
	case Ended:
		if o.Expected {
			return j.tell(o.At, nil)
		}
		return j.tell(o.At, []Violation{{Invariant: script.Crashes, Node: o.Node, Text: crashText(o)}})
	case OnDisk:
		return j.tell(o.At, []Violation{{Invariant: script.Files, Node: o.Node, Set: o.Set, Text: fmt.Sprintf("%s at %s: %s", o.Path, o.Node, o.Detail)}})
	case Lost:
		return j.tell(o.At, []Violation{{Invariant: script.Acknowledged, Node: o.Node, Set: o.Set, Text: fmt.Sprintf("%s at %s: %s", o.Path, o.Node, o.Detail)}})
	case Damaged:
		j.damaged[o.Node], j.damaged[o.Peer] = o.At, o.At
	}
	return nil
}

// tell dates violations, and leaves out those of which there were many.
func (j *Judge) tell(at time.Duration, found []Violation) []Violation {
	j.now = max(j.now, at)
	var out []Violation
	for _, v := range found {
		k := kind{v.Invariant, v.Node, v.Set}
		if j.told[k]++; j.told[k] <= maxTold {
			v.At = at
			out = append(out, v)
		}
	}
	return out
}

func (j *Judge) of(name string) *set {
	s := j.sets[name]
	if s == nil {
		s = &set{name: name, recent: map[string]Acked{}, epochs: map[epoch]*reign{}}
		j.sets[name] = s
	}
	return s
}

// acked remembers a head that was called durable.
func (j *Judge) acked(a Acked) []Violation {
	s := j.of(a.Set)
	if !a.Durable {
		return nil
	}
	blame := func(text string) []Violation {
		return []Violation{{Invariant: script.Acknowledged, Node: a.Node, Set: a.Set, Text: text}}
	}
	if a.Head == "" || len(a.Vector) == 0 {
		return blame(fmt.Sprintf("revision %d was called durable at %s without its head or vector: nobody can look for it", a.Revision, a.Node))
	}
	var found []Violation
	for _, o := range s.due {
		if a.Strict && o.Strict && !a.Vector.covers(o.Vector) && !o.Vector.covers(a.Vector) {
			found = append(found, blame(fmt.Sprintf("%s, and %s: neither includes the other, which cannot be in a strict set", a.text(), o.text()))...)
			break
		}
	}
	s.note(a)
	return found
}

// note adds a to what is remembered.
func (s *set) note(a Acked) {
	if _, known := s.recent[a.Head]; !known {
		s.order = append(s.order, a.Head)
	}
	s.recent[a.Head] = a
	if len(s.order) > maxRecent {
		delete(s.recent, s.order[0])
		s.order = s.order[1:]
	}
	if slices.ContainsFunc(s.due, func(o Acked) bool { return o.implies(a) }) {
		return
	}
	s.due = append(slices.DeleteFunc(s.due, a.implies), a)
	if len(s.due) > maxRecent { // so many disjoint places of disks there are in no network
		s.due = s.due[1:]
	}
}

// implies tells whether o must be included wherever a must be and is: a includes it, and was on all disks it was on.
func (a Acked) implies(o Acked) bool {
	if !a.Vector.covers(o.Vector) {
		return false
	}
	return !slices.ContainsFunc(o.On, func(n string) bool { return !slices.Contains(a.On, n) }) && (len(a.On) == 0) == (len(o.On) == 0)
}

// claim holds what a node says of a primary against what was said of that epoch before.
func (j *Judge) claim(c Claim) []Violation {
	if c.Epoch == "" || c.Primary == "" {
		return nil
	}
	r := j.of(c.Set).reign(c)
	text := ""
	switch {
	case r.blamed[c.Node]:
	case c.Owner != "" && c.Primary != c.Owner:
		text = fmt.Sprintf("%s names %s as primary in epoch %s, which %s made", c.Node, c.Primary, c.Epoch, c.Owner)
	case r.primary != c.Primary:
		text = fmt.Sprintf("%s names %s as primary in epoch %s, and %s named %s in the same epoch at %s", c.Node, c.Primary, c.Epoch, r.saidBy, r.primary, seconds(r.at))
	case c.Leads && r.leader != "" && r.leader != c.Node:
		text = fmt.Sprintf("%s says that it is primary in epoch %s of %s, and so did %s at %s", c.Node, c.Epoch, c.Primary, r.leader, seconds(r.at))
	}
	if c.Leads && r.leader == "" {
		r.leader = c.Node
	}
	if text == "" {
		return nil
	}
	if r.blamed == nil {
		r.blamed = map[string]bool{}
	}
	r.blamed[c.Node] = true
	return []Violation{{Invariant: script.Primaries, Node: c.Node, Set: c.Set, Text: text}}
}

// reign finds the epoch of a claim, or begins it.
func (s *set) reign(c Claim) *reign {
	key := epoch{c.Epoch, c.Owner}
	r := s.epochs[key]
	if r == nil {
		r = &reign{primary: c.Primary, saidBy: c.Node, at: c.At}
		s.epochs[key] = r
		if s.reigns = append(s.reigns, key); len(s.reigns) > maxEpochs {
			delete(s.epochs, s.reigns[0])
			s.reigns = s.reigns[1:]
		}
	}
	return r
}

// abandoned looks in a history for heads that were called durable and then given up.
func (s *set) abandoned(node string, history []api.Revision) (found []Violation) {
	for _, r := range history {
		for _, id := range r.Abandoned {
			a, ok := s.recent[id]
			if !ok {
				continue
			}
			delete(s.recent, id) // it is told once
			s.order = slices.DeleteFunc(s.order, func(h string) bool { return h == id })
			found = append(found, Violation{Invariant: script.Acknowledged, Node: node, Set: s.name,
				Text: fmt.Sprintf("%s, and revision %d at %s (head %s) abandons it", a.text(), r.Revision, node, r.Head)})
		}
	}
	return found
}
