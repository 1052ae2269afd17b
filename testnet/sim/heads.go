package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/shoal-p2p/shoal/node/election"
)

// content is the set of proposals that a revision includes: the merge of two is their union.
type content []uint64

func (c content) with(id uint64) content {
	w := int(id / 64)
	out := make(content, max(len(c), w+1))
	copy(out, c)
	out[w] |= 1 << (id % 64)
	return out
}

func (c content) union(o content) content {
	if len(o) > len(c) {
		c, o = o, c
	}
	out := make(content, len(c))
	copy(out, c)
	for i, w := range o {
		out[i] |= w
	}
	return out
}

func (c content) includes(o content) bool {
	for i, w := range o {
		var have uint64
		if i < len(c) {
			have = c[i]
		}
		if w&^have != 0 {
			return false
		}
	}
	return true
}

// made is what the world knows of a head.
type made struct {
	head     *election.Head
	content  content
	value    uint64        // the last proposal in it, what a register of it shows
	asked    time.Duration // the proposal came
	accepted bool
	holders  []disk // that had it when it became durable
}

// disk is one disk of one node.
type disk struct{ node, disk int }

// proposal is what a writer hands in.
type proposal struct {
	at    time.Duration
	write election.Write
	made  time.Duration // a head of it was, last
}

// pen is the writer at a node. Once it is revoked there, it is given another name.
type pen struct {
	name string
	used int // names
	seq  uint64
}

func (p *pen) write(n *node) election.Write {
	if _, revoked := n.cfg.Cuts[p.name]; revoked || p.name == "" {
		p.used++
		p.name, p.seq = fmt.Sprintf("%s%d", n.name, p.used), 0
	}
	p.seq++
	return election.Write{Instance: p.name, Seq: p.seq}
}

// registry holds every head ever made, and every proposal.
type registry struct {
	asked []proposal // from 1
	byID  map[cid.Cid]*made
	byDot map[dot]cid.Cid
	count uint64
}

type dot struct {
	instance string
	seq      uint64
}

// build makes a head as the shell would: the join of the parents, and the proposal on top.
func (w *world) build(p *election.Plan) *made {
	w.heads.count++
	r := &made{asked: w.now}
	for _, parent := range p.Parents {
		r.content = r.content.union(w.heads.byID[parent.ID].content)
		r.value = w.heads.byID[parent.ID].value
	}
	writes := embedded(p)
	if p.Kind == election.Publish {
		r.content, r.value = r.content.with(p.Proposal), p.Proposal
		r.asked = w.heads.asked[p.Proposal].at
		writes = append(writes, w.heads.asked[p.Proposal].write)
		w.heads.asked[p.Proposal].made = w.now
	}
	r.head = election.NewHead(fakeCid(w.heads.count), p.Epoch, p.Vector, writes)
	w.heads.byID[r.head.ID] = r
	return r
}

// embedded are the proposals in the head of a plan but its own: those of the sides of a merge, or of the head that
// it repeats.
func embedded(p *election.Plan) (writes []election.Write) {
	if len(p.Parents) == 1 && p.Kind == election.Publish {
		return nil
	}
	for _, parent := range p.Parents {
		for _, x := range parent.Writes {
			if !slices.Contains(writes, x) {
				writes = append(writes, x)
			}
		}
	}
	return writes
}

// fakeCid is a CID whose order has nothing to do with n.
func fakeCid(n uint64) cid.Cid {
	b := make([]byte, 34)
	b[0], b[1] = 0x12, 0x20 // sha2-256, 32 bytes
	x := n
	for i := 2; i < len(b); i += 8 {
		x += 0x9e3779b97f4a7c15 // splitmix64
		z := x
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(b[i:], z^z>>31)
	}
	return cid.NewCidV1(cid.Raw, b)
}
