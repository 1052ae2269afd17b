package figures

import (
	"cmp"
	"slices"
	"time"

	"github.com/shoal-p2p/shoal/testnet/trace"
)

// Throughput is what nodes sent and received, in bins of equal length.
type Throughput struct {
	Bin   time.Duration
	Nodes []Traffic // in the order of the trace
}

// Traffic is of one node. Its rates are bytes per second, one for each bin.
type Traffic struct {
	Node                     string
	Sent, Received           []float64
	BytesSent, BytesReceived float64 // in all
}

// counter is what a node's process had moved at one moment.
type counter struct {
	at      time.Duration
	in, out int64
	ok      bool
}

// Rates are computed of the counters in samples. The bytes between two samples are spread evenly over the time between
// them, and over no more than the life of the node's process, whose start sets its counters to zero.
func Rates(t trace.Trace, bin time.Duration) Throughput {
	n := int(End(t)/bin) + 1
	r := Throughput{Bin: bin, Nodes: make([]Traffic, len(t.Nodes))}
	index := map[string]int{}
	for i, node := range t.Nodes {
		r.Nodes[i] = Traffic{Node: node.Name, Sent: make([]float64, n), Received: make([]float64, n)}
		index[node.Name] = i
	}
	last := map[string]counter{}
	inOrder(t, func(e trace.Event) {
		if e.Kind == trace.Up {
			last[e.Node] = counter{at: e.At, ok: true}
		}
	}, func(s trace.Sample) {
		before, now := last[s.Node], counter{at: s.At, in: s.WireIn, out: s.WireOut, ok: true}
		last[s.Node] = now
		i, known := index[s.Node]
		if !known || !before.ok {
			return // what came before the first look is of no known time
		}
		if now.in < before.in || now.out < before.out { // a new process, and nobody said so
			before.in, before.out = 0, 0
		}
		node := &r.Nodes[i]
		node.BytesReceived += spread(node.Received, bin, before.at, now.at, now.in-before.in)
		node.BytesSent += spread(node.Sent, bin, before.at, now.at, now.out-before.out)
	})
	return r
}

// spread adds bytes to the bins between two moments as rates, and returns how many these were.
func spread(bins []float64, width, from, to time.Duration, bytes int64) float64 {
	if bytes <= 0 {
		return 0
	}
	to = max(to, from+1) // all of one moment belongs to its bin
	first, last := int(from/width), min(int((to-1)/width), len(bins)-1)
	for i := first; i <= last; i++ {
		begin, end := max(from, time.Duration(i)*width), min(to, time.Duration(i+1)*width)
		part := float64(end-begin) / float64(to-from)
		bins[i] += part * float64(bytes) / width.Seconds()
	}
	return float64(bytes)
}

// BinFor is the shortest of the round lengths from 0.5 s upwards of which no more than count are needed for the trace.
// Shorter ones would show the sampling and not the traffic.
func BinFor(t trace.Trace, count int) time.Duration {
	end := End(t)
	for unit := 100 * time.Millisecond; ; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if bin := n * unit; bin >= 500*time.Millisecond && int64(end/bin) < int64(max(count, 1)) {
				return bin
			}
		}
	}
}

// Busiest are k nodes, and the sum of all others: at first who sent the most beyond what it received, where the bytes come
// from, then those that moved the most. What moved nothing is left out; others is how many the sum is of.
func (r Throughput) Busiest(k int) (top []Traffic, rest Traffic, others int) {
	moved := func(n Traffic) float64 { return n.BytesSent + n.BytesReceived }
	busy := slices.DeleteFunc(slices.Clone(r.Nodes), func(n Traffic) bool { return moved(n) == 0 })
	slices.SortStableFunc(busy, func(a, b Traffic) int { return cmp.Compare(moved(b), moved(a)) })
	source, given := 0, 0.0
	for i, n := range busy {
		if g := n.BytesSent - n.BytesReceived; g > given {
			source, given = i, g
		}
	}
	if given > 0 {
		n := busy[source]
		busy = slices.Insert(slices.Delete(busy, source, source+1), 0, n)
	}
	if len(busy) <= k+1 { // one in a sum is better shown by itself
		return busy, Traffic{}, 0
	}
	return busy[:k], Sum(busy[k:]), len(busy) - k
}

// Sum is the traffic of several nodes together.
func Sum(nodes []Traffic) Traffic {
	var all Traffic
	for _, n := range nodes {
		if all.Sent == nil {
			all.Sent, all.Received = make([]float64, len(n.Sent)), make([]float64, len(n.Received))
		}
		for i := range n.Sent {
			all.Sent[i] += n.Sent[i]
			all.Received[i] += n.Received[i]
		}
		all.BytesSent += n.BytesSent
		all.BytesReceived += n.BytesReceived
	}
	return all
}
