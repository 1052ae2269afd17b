package node

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/shoal-p2p/shoal/node/meter"
	"github.com/shoal-p2p/shoal/protocols/beacon"
	"github.com/shoal-p2p/shoal/protocols/chunks"
	wirecouncil "github.com/shoal-p2p/shoal/protocols/council"
	"github.com/shoal-p2p/shoal/protocols/delta"
	"github.com/shoal-p2p/shoal/protocols/list"
)

// wireCounter counts the bytes on all streams by what they are for, exactly and at once: the library's own counter is
// brought up to date only once a second, by when a small get is over.
type wireCounter struct {
	in, out [wireKinds]atomic.Int64
	flows   flows
}

var _ metrics.Reporter = (*wireCounter)(nil)

// What bytes on the wire are for. Those before wireOther are of our protocols.
const (
	wireChunks = iota
	wireDelta
	wireList
	wireCouncil
	wireBeacon
	wireTable // the hash table
	wireOther // what keeps connections: identify, ping
	wireKinds
)

// kindOf is called for every read and write of a stream.
func kindOf(p protocol.ID) int {
	switch p {
	case chunks.ID:
		return wireChunks
	case delta.ID:
		return wireDelta
	case list.ID:
		return wireList
	case wirecouncil.ID:
		return wireCouncil
	case beacon.ID:
		return wireBeacon
	}
	if strings.HasPrefix(string(p), "/shoal/") { // the table's name for itself is made by its library
		return wireTable
	}
	return wireOther
}

// kindNames are how metrics call them.
func kindNames() [wireKinds]string {
	return [wireKinds]string{"chunks", "delta", "list", "council", "beacon", "dht", "other"}
}

// ours is the bytes on the streams of all our protocols so far.
func (c *wireCounter) ours() (in, out int64) {
	for k := range wireOther {
		in, out = in+c.in[k].Load(), out+c.out[k].Load()
	}
	return in, out
}

// byKind is what was counted so far.
func (c *wireCounter) byKind() map[string]meter.Traffic {
	out := make(map[string]meter.Traffic, wireKinds)
	for k, name := range kindNames() {
		out[name] = meter.Traffic{In: c.in[k].Load(), Out: c.out[k].Load()}
	}
	return out
}

// LogSentMessageStream counts n bytes written to a stream.
func (c *wireCounter) LogSentMessageStream(n int64, p protocol.ID, to peer.ID) {
	c.out[kindOf(p)].Add(n)
	c.flows.of(to).out.Add(n)
}

// LogRecvMessageStream counts n bytes read from a stream.
func (c *wireCounter) LogRecvMessageStream(n int64, p protocol.ID, from peer.ID) {
	c.in[kindOf(p)].Add(n)
	c.flows.of(from).in.Add(n)
}

// The rest of metrics.Reporter is asked by nobody.

// LogSentMessage is told about bytes that LogSentMessageStream counts.
func (c *wireCounter) LogSentMessage(int64) {}

// LogRecvMessage is told about bytes that LogRecvMessageStream counts.
func (c *wireCounter) LogRecvMessage(int64) {}

// GetBandwidthForPeer is not kept.
func (c *wireCounter) GetBandwidthForPeer(peer.ID) (s metrics.Stats) { return s }

// GetBandwidthForProtocol is not kept.
func (c *wireCounter) GetBandwidthForProtocol(protocol.ID) (s metrics.Stats) { return s }

// GetBandwidthTotals is what was counted of our protocols.
func (c *wireCounter) GetBandwidthTotals() metrics.Stats {
	in, out := c.ours()
	return metrics.Stats{TotalIn: in, TotalOut: out}
}

// GetBandwidthByPeer is not kept.
func (c *wireCounter) GetBandwidthByPeer() map[peer.ID]metrics.Stats { return nil }

// GetBandwidthByProtocol is not kept.
func (c *wireCounter) GetBandwidthByProtocol() map[protocol.ID]metrics.Stats { return nil }

// Reset does nothing: the counts are of the node's life.
func (c *wireCounter) Reset() {}

// TrimIdle does nothing: flows forgets who left by itself.
func (c *wireCounter) TrimIdle(time.Time) {}
