package node

import (
	"context"
	"fmt"

	"github.com/shoal-p2p/shoal/node/api"
)

// Warnings says what keeps a node that is ready from a part of its work. It stays ready: it serves, and its disk can be cleared
// through it. Whoever reaches its address may read them, so no set, path or peer is in them, and they cost next to nothing.
func (n *Node) Warnings() []string {
	e := &exam{cfg: n.cfg, m: thisMachine()}
	if space := n.cfg.Bed.storeSpace(n.cfg.Reserve); space != nil {
		e.m.free = space
	}
	var out []string
	if c := e.disk(context.Background()); c.State == api.CheckFail {
		out = append(out, "disk: "+c.Detail)
	}
	if w := n.network(); w != nil && len(w.host.Moved()) > 0 {
		out = append(out, fmt.Sprintf("ports: %d of the addresses to listen on are taken, others are used", len(w.host.Moved())))
	}
	return out
}
