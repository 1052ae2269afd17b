package judge_test

import (
	"fmt"
	"testing"

	"github.com/shoal-p2p/shoal/node/api"
)

func TestTmpHistory(t *testing.T) {
	for _, strict := range []bool{false, true} {
		l := newLab(t, "a", "b", "c")
		p := l.nodes[0]
		l.edit(p, "file-0", "zero")
		r, err := p.Share(within(t), api.ShareRequest{Path: p.data(), Name: "docs", Strict: strict}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.set, l.ticket = r.Set, r.Ticket
		l.replicas()
		show := func(what string) {
			l.agreed()
			s := ""
			for _, f := range l.finals() {
				s += fmt.Sprintf(" %s:%d/%d", f.Node, len(f.History), f.Revision)
			}
			t.Logf("strict %v %s:%s", strict, what, s)
		}
		show("granted")
		for i := range 5 {
			l.durable(l.nodes[i%3], fmt.Sprint("x", i))
		}
		show("5 publishes")
		l.nodes[2].kill()
		l.nodes[2].start()
		show("c restarted")
		l.nodes[0].kill()
		l.durable(l.nodes[1], "y")
		l.nodes[0].start()
		show("a killed, y, a back")
		for i := range 5 {
			l.durable(l.nodes[i%3], fmt.Sprint("z", i))
		}
		show("5 more")
		for _, p := range l.nodes {
			p.kill()
		}
		for _, p := range l.nodes {
			p.start()
		}
		show("all restarted")
	}
}
