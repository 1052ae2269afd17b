//go:build unix

package swarm

import (
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// BenchmarkBulk moves 256 MiB a round over one stream, in frames of 256 KiB, between two hosts of this
// process: over TCP with and without the cork, and over QUIC. Compare only within one run.
func BenchmarkBulk(b *testing.B) {
	const size, frame = 256 << 20, 256 << 10
	tcp, quic := []string{"/ip4/127.0.0.1/tcp/0"}, []string{"/ip4/127.0.0.1/udp/0/quic-v1"}
	for _, c := range []struct {
		name    string
		listen  []string
		options []libp2p.Option
	}{
		{"tcp-cork", tcp, nil},
		{"tcp-plain", tcp, []libp2p.Option{withoutCork}},
		{"quic", quic, nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			from := newSwarm(b, Config{Listen: c.listen, Options: c.options})
			to := newSwarm(b, Config{Listen: c.listen, Options: c.options})
			const id = protocol.ID("/bench/1")
			done := make(chan int64)
			to.SetStreamHandler(id, func(s network.Stream) {
				n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, s, make([]byte, frame))
				done <- n
				s.Close()
			})
			connect(b, from, to)
			data := make([]byte, frame)
			b.SetBytes(size)
			before := cpuTime(b)
			for b.Loop() {
				s, err := from.NewStream(b.Context(), to.ID(), id)
				if err != nil {
					b.Fatal(err)
				}
				for range size / frame {
					if _, err := s.Write(data); err != nil {
						b.Fatal(err)
					}
				}
				s.Close()
				if n := <-done; n != size {
					b.Fatalf("received %d bytes of %d", n, size)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}

// cpuTime is the processor time this process has used, both hosts together.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// withoutCork puts plain TLS in place of ours.
func withoutCork(cfg *libp2p.Config) error {
	var plain libp2p.Config
	if err := plain.Apply(libp2p.Security(libp2ptls.ID, libp2ptls.New)); err != nil {
		return err
	}
	cfg.SecurityTransports[0] = plain.SecurityTransports[0]
	return nil
}
