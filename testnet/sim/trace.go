package sim

import (
	"fmt"

	"github.com/shoal-p2p/shoal/node/election"
)

func (w *world) traceEvent(n *node, ev election.Event) {
	switch e := ev.(type) {
	case election.Tick:
	case election.Received:
		w.trace("%s <- %s %s", n.name, string(e.From), showMessage(e.Message))
	case election.Fetched:
		w.trace("%s fetched %s", n.name, showHead(e.Head))
	case election.Made:
		w.trace("%s made %s", n.name, showHead(e.Head))
	case election.ConfigChanged:
		w.trace("%s config %d", n.name, e.Config.Version)
	default:
		w.trace("%s %T%v", n.name, ev, ev)
	}
}

func (w *world) traceAction(n *node, a election.Action) {
	switch a := a.(type) {
	case election.Persist:
		s := a.State
		w.trace("%s   persist %s granted %s known %s have %s", n.name, show(s.Epoch), show(s.Granted), showFrontier(s.Known), showFrontier(s.Have))
	case election.Broadcast:
		w.trace("%s   broadcast %s", n.name, showMessage(a.Message))
	case election.Send:
		w.trace("%s   to %s %s", n.name, string(a.To), showMessage(a.Message))
	case election.Fetch:
		w.trace("%s   fetch %s from %v", n.name, showHead(a.Head), a.From)
	case election.Make:
		w.trace("%s   make #%d kind %d of %s drop %s", n.name, a.Plan.Seq, a.Plan.Kind, showFrontier(a.Plan.Parents), showFrontier(a.Plan.Dropped))
	case election.Accepted:
		w.trace("%s   accepted %s", n.name, showHead(a.Head))
	case election.Durable:
		w.trace("%s   durable %s", n.name, showHead(a.Head))
	case election.Became:
		w.trace("%s   became %v %s", n.name, a.Role, show(a.Epoch))
	default:
		w.trace("%s   %T%v", n.name, a, a)
	}
}

func showMessage(m election.Message) string {
	switch m := m.(type) {
	case *election.Beacon:
		if m.State == nil {
			return fmt.Sprintf("beacon %d.%d", m.Stamp.Boot, m.Stamp.No)
		}
		s := m.State
		return fmt.Sprintf("beacon %d.%d %v %s backup %s granted %s known %s have %s", m.Stamp.Boot, m.Stamp.No, s.Role,
			show(s.Epoch), string(s.Backup), show(s.Granted), showFrontier(s.Known), showFrontier(s.Have))
	case election.Suspect:
		return "suspect " + show(m.Epoch)
	case election.VoteReq:
		return "vote? " + show(m.Want)
	case election.Vote:
		return fmt.Sprintf("vote %s have %s", show(m.Want), showFrontier(m.Have))
	case election.Ack:
		return fmt.Sprintf("ack %s #%d", show(m.Epoch), m.Seq)
	}
	return fmt.Sprintf("%T%v", m, m)
}
