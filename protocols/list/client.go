package list

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/shoal-p2p/shoal/blockstore"
	"github.com/shoal-p2p/shoal/protocols/handler"
	listpb "github.com/shoal-p2p/shoal/protocols/list/pb"
	"github.com/shoal-p2p/shoal/protocols/record"
	"github.com/shoal-p2p/shoal/protocols/wire"
)

// Frames a watched peer may send: twice its four a second, and a burst for the beginning. More is abuse.
const (
	frameBurst = 16
	frameRate  = 8 // a second
)

// asking is how this protocol asks.
func asking() handler.Protocol {
	return handler.Protocol{ID: ID, Service: ServiceName, Request: requestTimeout, Frame: frameTimeout, Slowest: slowest}
}

// Sets asks p which sets it offers us. Errors: ErrBusy, ErrRemote, ErrMalformed, those of the stream.
func Sets(ctx context.Context, h host.Host, p peer.ID) ([]SetEntry, error) {
	var reply listpb.SetsReply
	if err := ask(ctx, h, p, &listpb.Request{Kind: listpb.Kind_SETS}, &reply); err != nil {
		return nil, fmt.Errorf("ask for sets: %w", err)
	}
	if err := wire.ErrorOf(reply.GetCode()); err != nil {
		return nil, fmt.Errorf("ask for sets: %w", err)
	}
	sets, err := decodeSets(&reply)
	if err != nil {
		return nil, fmt.Errorf("ask for sets: %w", err)
	}
	return sets, nil
}

// Confirm tells p that this host holds the whole revision root of set. Errors: as GetInfo.
func Confirm(ctx context.Context, h host.Host, p peer.ID, set, root cid.Cid, capability []byte) error {
	s, r := blockstore.Digest(set), blockstore.Digest(root)
	var reply listpb.InfoReply
	if err := ask(ctx, h, p, &listpb.Request{Kind: listpb.Kind_CONFIRM, Set: s[:], Root: r[:], Capability: capability}, &reply); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	if err := wire.ErrorOf(reply.GetCode()); err != nil {
		return fmt.Errorf("confirm: %w", err)
	}
	return nil
}

// GetInfo asks p about one set. The bundle in the answer is not verified. known is what the caller has of the
// set's records, which then are not sent; nil = nothing. Errors: ErrNotFound, ErrBusy, ErrRemote, ErrMalformed,
// those of the stream.
func GetInfo(ctx context.Context, h host.Host, p peer.ID, set cid.Cid, capability []byte, known *record.Bundle) (Info, error) {
	info, err := getInfo(ctx, h, p, set, capability, known)
	if err != nil {
		return Info{}, fmt.Errorf("ask for info: %w", err)
	}
	return info, nil
}

func getInfo(ctx context.Context, h host.Host, p peer.ID, set cid.Cid, capability []byte, known *record.Bundle) (Info, error) {
	digest, err := setDigest(set)
	if err != nil {
		return Info{}, err
	}
	var reply listpb.InfoReply
	have := bundleOf(known)
	req := &listpb.Request{Kind: listpb.Kind_INFO, Set: digest, Capability: capability, Known: encodeKnown(have)}
	if err := ask(ctx, h, p, req, &reply); err != nil {
		return Info{}, err
	}
	if err := wire.ErrorOf(reply.GetCode()); err != nil {
		return Info{}, err
	}
	return decodeInfo(reply.GetInfo(), have)
}

// History asks p for the sealed heads before the set's newest, newest first, at most MaxHistory. They are not
// verified: see record.OpenAncestors. Errors: as GetInfo.
func History(ctx context.Context, h host.Host, p peer.ID, set cid.Cid, capability []byte) ([][]byte, error) {
	digest, err := setDigest(set)
	if err != nil {
		return nil, fmt.Errorf("ask for history: %w", err)
	}
	var reply listpb.HistoryReply
	err = ask(ctx, h, p, &listpb.Request{Kind: listpb.Kind_HISTORY, Set: digest, Capability: capability}, &reply)
	if err == nil {
		err = wire.ErrorOf(reply.GetCode())
	}
	if err == nil && len(reply.GetHeads()) > MaxHistory {
		err = fmt.Errorf("%w: %d heads, at most %d", ErrMalformed, len(reply.GetHeads()), MaxHistory)
	}
	if err != nil {
		return nil, fmt.Errorf("ask for history: %w", err)
	}
	return reply.GetHeads(), nil
}

// Watch asks p about one set and calls fn, one call at a time, with its Info and then with whatever
// changes. known is as for GetInfo. It blocks until ctx ends (its error is returned), fn returns an error (which is returned),
// the peer ends the stream because the set is gone (nil), or something fails. Errors: as GetInfo.
func Watch(ctx context.Context, h host.Host, p peer.ID, set cid.Cid, capability []byte, known *record.Bundle, fn func(Update) error) error {
	if err := watch(ctx, h, p, set, capability, bundleOf(known), fn); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	return nil
}

func watch(ctx context.Context, h host.Host, p peer.ID, set cid.Cid, capability []byte, have record.Bundle, fn func(Update) error) error {
	digest, err := setDigest(set)
	if err != nil {
		return err
	}
	req := &listpb.Request{Kind: listpb.Kind_WATCH, Set: digest, Capability: capability, Known: encodeKnown(have)}
	q, err := asking().Ask(ctx, h, p, req)
	if err != nil {
		return err
	}
	defer q.Close()
	begin := time.Now()
	f := follower{bundle: have}
	for n := 1.0; ; n++ {
		var m listpb.Update
		err := q.Read(&m, MaxFrame, frameTimeout)
		if errors.Is(err, io.EOF) && f.begun {
			return nil
		}
		if err == nil {
			err = wire.ErrorOf(m.GetCode())
		}
		if err != nil {
			return err
		}
		if n > frameBurst+frameRate*time.Since(begin).Seconds() {
			return fmt.Errorf("%w: too many updates", ErrMalformed)
		}
		u, ok, err := f.take(&m)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := fn(u); err != nil {
			return err
		}
	}
}

// ask sends one request and reads one answer.
func ask(ctx context.Context, h host.Host, p peer.ID, req *listpb.Request, reply proto.Message) error {
	q, err := asking().Ask(ctx, h, p, req)
	if err != nil {
		return err
	}
	defer q.Close()
	return q.Read(reply, MaxFrame, frameTimeout)
}
