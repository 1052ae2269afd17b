package link

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
)

func TestZZBloat(t *testing.T) {
	for _, rate := range []int64{125_000, 1_250_000, 12_500_000} {
		r := map[string]Rule{"server": {Rate: rate}}
		for name, p := range map[string][2]Plan{
			"out":  {{}, {Out: r}},
			"in":   {{}, {In: r}},
			"down": {{}, {Down: rate}},
			"up":   {{Up: rate}, {}},
			"slow": {{}, {Up: rate, Down: rate}},
			"none": {{}, {}},
		} {
			server := newHost(t, newBed(p[0]))
			bulk := func(s network.Stream) {
				b := make([]byte, 1<<18)
				for {
					if _, err := s.Write(b); err != nil {
						return
					}
				}
			}
			server.SetStreamHandler("/bulk", bulk)
			pl := p[1]
			pl.Peers = map[string]string{address(t, server): "server"}
			client := newHost(t, newBed(pl))
			must(t, client.Connect(t.Context(), *host.InfoFromHost(server)))
			s, idle := echo(t, client, server)
			if name == "out" {
				go bulk(s)
			} else {
				s, err := client.NewStream(t.Context(), server.ID(), "/bulk")
				must(t, err)
				s.Write([]byte("x"))
				go io.Copy(io.Discard, s)
			}
			time.Sleep(2 * time.Second)
			e, err := client.NewStream(t.Context(), server.ID(), sink)
			must(t, err)
			start := time.Now()
			must(t, second(e.Write([]byte("ping"))))
			must(t, second(io.ReadFull(e, make([]byte, 4))))
			fmt.Printf("%9d %5s idle %v loaded %v\n", rate, name, idle, time.Since(start))
			client.Close()
			server.Close()
		}
	}
}
