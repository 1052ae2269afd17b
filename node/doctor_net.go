package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/sync/errgroup"

	"github.com/shoal-p2p/shoal/discovery/static"
	"github.com/shoal-p2p/shoal/node/api"
	"github.com/shoal-p2p/shoal/node/swarm"
)

// ports looks whether what is to be listened on is free, or what the running node listens on.
func (e *exam) ports(ctx context.Context) api.Check {
	if e.net != nil {
		var moved, got []string
		for _, m := range e.net.host.Moved() {
			moved = append(moved, fmt.Sprintf("%s is taken, %s is used instead", m.Wanted, m.Got))
		}
		if len(moved) > 0 {
			return warn("end what uses the port, or give this node another: `node config set p2p.listen ADDRESS`", "%s", strings.Join(moved, "; "))
		}
		for _, a := range e.net.host.Network().ListenAddresses() {
			got = append(got, a.String())
		}
		return fine("listening on %s", strings.Join(got, ", "))
	}
	listen := e.cfg.Listen
	if len(listen) == 0 {
		listen = swarm.DefaultListen(swarm.DefaultPort)
	}
	var taken, free []string
	for _, text := range listen {
		network, address, err := dialArgs(text)
		if err != nil {
			return fail("an address looks like /ip4/0.0.0.0/tcp/4581", "%q: %v", text, err)
		}
		switch err := e.m.listen(ctx, network, address); {
		case err == nil:
			free = append(free, text)
		case strings.HasSuffix(network, "6") && len(e.cfg.Listen) == 0: // a machine without IPv6: then it does without
		default:
			taken = append(taken, fmt.Sprintf("%s: %v", text, err))
		}
	}
	if len(taken) > 0 {
		return warn("end what uses the port, or give this node another: `node config set p2p.listen ADDRESS`", "%s", strings.Join(taken, "; "))
	}
	return fine("free: %s", strings.Join(free, ", "))
}

// dialArgs is a multiaddress as the standard library takes it.
func dialArgs(text string) (network, address string, err error) {
	a, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return "", "", err
	}
	network, address, err = manet.DialArgs(a)
	if err != nil { // the library does not know what comes after the port
		if first, _ := multiaddr.SplitFunc(a, func(c multiaddr.Component) bool {
			return c.Protocol().Code != multiaddr.P_IP4 && c.Protocol().Code != multiaddr.P_IP6 && c.Protocol().Code != multiaddr.P_TCP &&
				c.Protocol().Code != multiaddr.P_UDP && c.Protocol().Code != multiaddr.P_DNS && c.Protocol().Code != multiaddr.P_DNS4 && c.Protocol().Code != multiaddr.P_DNS6
		}); first != nil {
			return manet.DialArgs(first)
		}
	}
	return network, address, err
}

// wantedBuffer is what the QUIC library asks for: with less, packets are lost at some 100 MB/s.
const wantedBuffer = 7 << 20

func (e *exam) udpBuffer(context.Context) api.Check {
	for _, name := range []string{"net/core/rmem_max", "net/core/wmem_max"} {
		n, err := e.m.sysctl(name)
		if err != nil {
			return skip("not known on this system")
		}
		if n < wantedBuffer {
			return warn("sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000, and the same in /etc/sysctl.d/ to keep it",
				"%s is %d, QUIC wants %d: fast transfers over it are slower; TCP is not", strings.ReplaceAll(name, "/", "."), n, wantedBuffer)
		}
	}
	return fine("large enough for QUIC")
}

// wantedFiles are 512 connections, a few hundred tables of the store, and files that are read and written.
const wantedFiles = 4096

func (e *exam) openFiles(context.Context) api.Check {
	n, err := e.m.files()
	switch {
	case err != nil:
		return skip("not known on this system")
	case n < wantedFiles:
		return warn(fmt.Sprintf("`ulimit -n %d` before it is started, or LimitNOFILE=%[1]d in its systemd unit", 2*wantedFiles), "%d at most, a busy node needs %d", n, wantedFiles)
	}
	return fine("%d at most", n)
}

// watches looks whether every folder of the sets that are watched can be.
func (e *exam) watches(ctx context.Context) api.Check {
	j, err := loadJobs(home{e.cfg.Home}.jobs())
	if err != nil {
		return fail("put the file back from a copy; `node follow` and `node share --watch` make a new one", "%v", err)
	}
	if len(j.wishes.Watch) == 0 {
		return fine("no set is watched")
	}
	most, err := e.m.sysctl("fs/inotify/max_user_watches")
	if err != nil {
		return skip("not known on this system")
	}
	var folders uint64
	for _, w := range j.wishes.Watch {
		err := filepath.WalkDir(w.Path, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				folders++
			}
			if folders > most {
				return fs.SkipAll
			}
			return ctx.Err() // what cannot be read is not watched
		})
		if err != nil {
			return skip("%v", err)
		}
	}
	if folders > most {
		return warn(fmt.Sprintf("sysctl -w fs.inotify.max_user_watches=%d, and the same in /etc/sysctl.d/ to keep it", max(4*most, 1<<19)),
			"the sets that are watched have more than the %d folders that can be: changes are found by looking now and then", most)
	}
	return fine("%s watched, %d can be", plural(int(folders), "folder"), most)
}

const (
	// maxProbed bounds the bootstrap addresses that are tried: a node dials as many at once.
	maxProbed = 8
	// probePatience bounds one attempt.
	probePatience = 3 * time.Second
)

// bootstrap tries the nodes to join through: the running node as peers, else only whether their port is open.
func (e *exam) bootstrap(ctx context.Context) api.Check {
	known, err := static.Parse(e.cfg.Bootstrap...)
	if err != nil {
		return fail("an address looks like /ip4/192.0.2.1/tcp/4581/p2p/12D3...", "%v", err)
	}
	if len(known) == 0 {
		near := ", remembered peers and on the local network only"
		if !e.cfg.Net.MDNS {
			near = " and remembered peers only"
		}
		return warn("`node config set p2p.bootstrap ADDRESS` with an address that `node status` prints on a machine that is up",
			"none is configured: sets are found by full tickets%s", near)
	}
	known = known[:min(len(known), maxProbed)]
	errs := make([]error, len(known))
	var group errgroup.Group
	for i, p := range known {
		group.Go(func() error {
			probe, cancel := context.WithTimeout(ctx, probePatience)
			defer cancel()
			errs[i] = e.probe(probe, p)
			return nil
		})
	}
	_ = group.Wait() // nobody fails
	var away []string
	unknown := 0
	for i, err := range errs {
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			unknown++
		case err != nil:
			away = append(away, witness{peer: known[i], err: err}.String())
		}
	}
	const hint = "check that it runs, and that its port can be reached from here"
	switch reached := len(known) - len(away) - unknown; {
	case len(away) > 0 && reached == 0:
		return fail(hint, "none of %s can be reached: %s", plural(len(known), "peer"), strings.Join(away[:min(len(away), maxTold)], "; "))
	case len(away) > 0:
		return warn(hint, "%d of %s reached: %s", reached, plural(len(known), "peer"), strings.Join(away[:min(len(away), maxTold)], "; "))
	case reached == 0:
		return skip("%s over UDP only: a running node is needed to try them", plural(unknown, "peer"))
	}
	return fine("%s reached", plural(len(known)-unknown, "peer"))
}

// probe tries one peer. Without a node that runs only TCP can be tried: errors.ErrUnsupported if it has no such address.
func (e *exam) probe(ctx context.Context, p peer.AddrInfo) error {
	if e.net != nil {
		e.net.host.ClearBackoff(p.ID)
		return e.net.Connect(ctx, p)
	}
	out := fmt.Errorf("probe: %w", errors.ErrUnsupported)
	for _, a := range p.Addrs {
		network, address, err := dialArgs(a.String())
		if err != nil || !strings.HasPrefix(network, "tcp") {
			continue
		}
		if out = e.m.dial(ctx, network, address); out == nil {
			return nil
		}
		var op *net.OpError
		if errors.As(out, &op) && op.Addr == nil {
			out = fmt.Errorf("%s: %w", address, out)
		}
	}
	return out
}
