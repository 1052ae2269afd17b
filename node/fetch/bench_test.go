package fetch

import (
	"fmt"
	"testing"
	"time"
)

// benchmark measures the CPU of whole downloads, New included, from peers that answer in turns.
func benchmark(b *testing.B, leaves []uint32, peers int) {
	need := all(len(leaves))
	b.ReportAllocs()
	for b.Loop() {
		s := New(Config{Leaves: leaves, Need: need, Self: "me"})
		var up []Event
		for i := range peers {
			up = append(up, PeerUp{Peer: Peer(fmt.Sprint("peer-", i)), Complete: true})
		}
		drain(s, epoch, 10*time.Microsecond, up...)
		if s.Stats().Left != 0 {
			b.Fatal("not done")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(leaves)), "ns/leaf")
}

func BenchmarkSmallFiles(b *testing.B) { benchmark(b, equal(20_000, 8<<10), 1) }
func BenchmarkTenPeers(b *testing.B)   { benchmark(b, equal(20_000, 8<<10), 10) }
func BenchmarkGigabyte(b *testing.B)   { benchmark(b, randomLeaves(1, 1<<30), 1) }
func BenchmarkMillion(b *testing.B)    { benchmark(b, equal(1_000_000, 8<<10), 4) }

// BenchmarkMillionLarge has 250,000 spans: what a scan of words costs in a set of 256 GiB.
func BenchmarkMillionLarge(b *testing.B) { benchmark(b, equal(1_000_000, 256<<10), 4) }

// BenchmarkCrowd is a getter among getters: rarest-first, have-updates of 16 leaves, owners.
func BenchmarkCrowd(b *testing.B) {
	const n, others = 100_000, 15
	leaves, need := equal(n, 8<<10), all(n)
	b.ReportAllocs()
	for b.Loop() {
		s := New(Config{Leaves: leaves, Need: need, Self: "me"})
		up := []Event{PeerUp{Peer: "seeder", Complete: true}}
		for i := range others {
			up = append(up, PeerUp{Peer: Peer(fmt.Sprint("getter-", i))})
		}
		for i := 0; i < n; i += 16 {
			for j := range 4 {
				up = append(up, PeerHave{Peer: Peer(fmt.Sprint("getter-", (i/16+j)%others)), Leaves: need[i : i+16]})
			}
		}
		drain(s, epoch, 10*time.Microsecond, up...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/leaf")
}
