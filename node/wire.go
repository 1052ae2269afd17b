package node

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// wireCounter counts the bytes on the streams of all our protocols, exactly and at once: the library's own
// counter is brought up to date only once a second, by when a small get is over.
type wireCounter struct{ in, out atomic.Int64 }

var _ metrics.Reporter = (*wireCounter)(nil)

func ours(p protocol.ID) bool {
	return strings.HasPrefix(string(p), "/shoal/") || strings.HasPrefix(string(p), "/meshsub/")
}

// LogSentMessageStream counts n bytes written to a stream.
func (c *wireCounter) LogSentMessageStream(n int64, p protocol.ID, _ peer.ID) {
	if ours(p) {
		c.out.Add(n)
	}
}

// LogRecvMessageStream counts n bytes read from a stream.
func (c *wireCounter) LogRecvMessageStream(n int64, p protocol.ID, _ peer.ID) {
	if ours(p) {
		c.in.Add(n)
	}
}

// The rest of metrics.Reporter is kept by nobody: what a peer or protocol cost by itself is not asked for.

// LogSentMessage is told about bytes that LogSentMessageStream counts.
func (c *wireCounter) LogSentMessage(int64) {}

// LogRecvMessage is told about bytes that LogRecvMessageStream counts.
func (c *wireCounter) LogRecvMessage(int64) {}

// GetBandwidthForPeer is not kept.
func (c *wireCounter) GetBandwidthForPeer(peer.ID) (s metrics.Stats) { return s }

// GetBandwidthForProtocol is not kept.
func (c *wireCounter) GetBandwidthForProtocol(protocol.ID) (s metrics.Stats) { return s }

// GetBandwidthTotals is what was counted.
func (c *wireCounter) GetBandwidthTotals() metrics.Stats {
	return metrics.Stats{TotalIn: c.in.Load(), TotalOut: c.out.Load()}
}

// GetBandwidthByPeer is not kept.
func (c *wireCounter) GetBandwidthByPeer() map[peer.ID]metrics.Stats { return nil }

// GetBandwidthByProtocol is not kept.
func (c *wireCounter) GetBandwidthByProtocol() map[protocol.ID]metrics.Stats { return nil }

// Reset does nothing: the counts are of the node's life.
func (c *wireCounter) Reset() {}

// TrimIdle does nothing: there is nothing per peer.
func (c *wireCounter) TrimIdle(time.Time) {}
