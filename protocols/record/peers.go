package record

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	recordpb "github.com/shoal-p2p/shoal/protocols/record/pb"
)

// Limits of addresses that travel. A host has a few addresses for each transport and interface.
const (
	MaxPeerAddrs = 16  // addresses of one peer
	maxAddrSize  = 256 // bytes of one address; the longest usual one, through a relay, has about 120
)

// EncodePeers gives at most most peers as messages. What breaks a limit is left out: it is a hint.
func EncodePeers(peers []peer.AddrInfo, most int) []*recordpb.Peer {
	var out []*recordpb.Peer
	for _, p := range peers {
		if len(out) == most {
			break
		}
		id, err := encodePeerID("peer", p.ID)
		if err != nil {
			continue
		}
		m := &recordpb.Peer{Id: id}
		for _, a := range p.Addrs {
			if len(a) > 0 && len(a.Bytes()) <= maxAddrSize && len(m.Addrs) < MaxPeerAddrs {
				m.Addrs = append(m.Addrs, a.Bytes())
			}
		}
		out = append(out, m)
	}
	return out
}

// DecodePeers is the inverse of EncodePeers. An address of a kind we do not know is left out. Errors:
// ErrMalformed for more peers than most, or more or longer addresses than the limits, or a bad peer id.
func DecodePeers(ms []*recordpb.Peer, most int) ([]peer.AddrInfo, error) {
	if len(ms) > most {
		return nil, fmt.Errorf("%w: %d peers, at most %d", ErrMalformed, len(ms), most)
	}
	var out []peer.AddrInfo
	for _, m := range ms {
		id, err := decodePeerID("peer", m.GetId())
		if err == nil {
			_, err = encodePeerID("peer", id)
		}
		if err != nil {
			return nil, err
		}
		if len(m.GetAddrs()) > MaxPeerAddrs {
			return nil, fmt.Errorf("%w: %d addresses of a peer, at most %d", ErrMalformed, len(m.GetAddrs()), MaxPeerAddrs)
		}
		info := peer.AddrInfo{ID: id}
		for _, b := range m.GetAddrs() {
			if len(b) > maxAddrSize {
				return nil, fmt.Errorf("%w: address of %d bytes, at most %d", ErrMalformed, len(b), maxAddrSize)
			}
			if a, err := ma.NewMultiaddrBytes(b); err == nil && len(a) > 0 {
				info.Addrs = append(info.Addrs, a)
			}
		}
		out = append(out, info)
	}
	return out, nil
}
